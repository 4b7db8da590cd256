# SPDX-License-Identifier: ISC
"""A mail server (aiosmtpd) for test_mail.c. Prints its ports as one line: one that takes mail, one that is silent after the text, one that is silent
at once, one that nobody listens at. Each mail it took becomes a file in FOLDER: 0.eml, 1.eml, … Ends with its stdin.

Usage: mail_server.py FOLDER
"""
import os
import socket
import sys
import threading
import time

from aiosmtpd.controller import Controller

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
from ports import free_port  # noqa: E402


class Handler:
    def __init__(self, folder):
        self.folder, self.count = folder, 0

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address.startswith("unknown@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):
        with open(f"{self.folder}/{self.count}.eml", "wb") as file:
            file.write(f"{envelope.mail_from} -> {' '.join(envelope.rcpt_tos)}\n".encode() + envelope.content)
        self.count += 1
        return "250 OK"


def port_of(socket_):
    return socket_.getsockname()[1]


def stuck(lines):
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(link):
        try:
            for line in lines:
                link.sendall(line)
                if not link.recv(65536):
                    break
            time.sleep(3600)
        except OSError:
            pass

    def run():
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    return port_of(listener)


free = socket.socket()  # bound, not listening: refuses
free.bind(("127.0.0.1", 0))
taking = free_port()
Controller(Handler(sys.argv[1]), hostname="127.0.0.1", port=taking, ready_timeout=60).start()
after_text = stuck([b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n"])
# It takes the mail, and never answers QUIT.
after_all = stuck([b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n", b"250 taken\r\n"])
print(taking, after_text, after_all, stuck([]), port_of(free), flush=True)
sys.stdin.read()
os._exit(0)
