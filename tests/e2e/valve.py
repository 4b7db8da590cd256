# SPDX-License-Identifier: ISC
"""A link to a database that can be held: what the database has read already arrives late."""
import contextlib
import socket
import threading


class Valve:
    """with Valve(port) as valve: connect to valve.port. hold(what); … arrived.wait() …; let_go()"""

    def __init__(self, port):
        self.to = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.lock, self.arrived = threading.Lock(), threading.Event()
        self.wanted = self.held = None  # what is looked for; the link that said it
        self.kept, self.sockets, self.threads = b"", [], []

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        """Who still waits at one of them is woken first: else it may go on at whatever is open under the same number next."""
        for each in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for each in self.threads:
            each.join(10)
        for each in (self.listener, *self.sockets):
            each.close()

    def hold(self, what):
        """What answers the next question with these bytes in it is kept back."""
        with self.lock:
            self.arrived.clear()
            self.wanted, self.held, self.kept = what.encode(), None, b""

    def let_go(self):
        with self.lock:
            link, self.held, self.wanted = self.held, None, None
            if link and self.kept:
                self._write(link, self.kept)

    def _start(self, what, *arguments):
        self.threads.append(threading.Thread(target=what, args=arguments, daemon=True))
        self.threads[-1].start()

    def _accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            self.sockets += [near, far]
            self._start(self._questions, near, far)
            self._start(self._answers, near, far)

    def _questions(self, near, far):
        tail = b""  # a question may come in parts
        while data := self._read(near):
            with self.lock:
                if self.wanted and self.held is None:
                    self.held = near if self.wanted in tail + data else None
                    tail = (tail + data)[1 - len(self.wanted):]
            self._write(far, data)
        self._write(far, None)

    def _answers(self, near, far):
        while data := self._read(far):
            with self.lock:
                held = self.held is near
                self.kept += data if held else b""
            if held:
                self.arrived.set()
            else:
                self._write(near, data)
        self._write(near, None)

    @staticmethod
    def _read(link):
        try:
            return link.recv(65536)
        except OSError:
            return b""

    @staticmethod
    def _write(link, data):
        """None: no more."""
        try:
            link.sendall(data) if data else link.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # whoever reads it has gone; the other direction tells
