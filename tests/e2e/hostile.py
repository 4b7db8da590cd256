# SPDX-License-Identifier: ISC
"""What hostile tests share: a raw WebSocket client that sends any bytes, a server that tells its counters, and a bystander."""
import base64
import contextlib
import hashlib
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

from processor import starved

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
WATCHED = "bystander"  # the id of the bystander's agent
BYSTANDER_ADDRESS = "127.0.0.2"  # its own, so that limits per address are not its limits


# ---- bytes --------------------------------------------------------------------------------------


def mask(payload, key):
    if not payload:
        return b""
    whole = key * (len(payload) // 4 + 1)
    return (int.from_bytes(payload, "big") ^ int.from_bytes(whole[:len(payload)], "big")).to_bytes(len(payload), "big")


def frame(opcode, payload=b"", fin=True, rsv=0, key=b"\x12\x34\x56\x78", length=None, form=None):
    """Any frame. `length`: what is announced instead of the payload's; `form`: 7, 16 or 64 bits of length; `key` None: unmasked."""
    if isinstance(payload, str):
        payload = payload.encode()
    n = len(payload) if length is None else length
    form = form or (7 if n < 126 else 16 if n < 65536 else 64)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0 if key is None else 0x80
    head += bytes([bit | n]) if form == 7 else bytes([bit | 126]) + struct.pack("!H", n) if form == 16 else \
        bytes([bit | 127]) + struct.pack("!Q", n)
    return head + (payload if key is None else key + mask(payload, key))


def closing(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def request(first, *headers, body=b""):
    return "\r\n".join([first, *headers, "", ""]).encode("latin-1") + body


def upgrade(path, *more, host="Host: t", method="GET", version="13", http="HTTP/1.1"):
    return request(f"{method} {path} {http}", *([host] if host else []), "Connection: Upgrade", "Upgrade: websocket",
                   f"Sec-WebSocket-Key: {KEY}", *([f"Sec-WebSocket-Version: {version}"] if version else []), *more)


def status_of(answer):
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", answer)
    return int(found[1]) if found else None


def refused_address(server, connect, *headers):
    """The address that the server names when it refuses an agent on this link, which is made by `connect`."""
    from conftest import eventually
    time.sleep(1.05)  # its line is not to be left out
    before = len(server.log)
    with connect() as link:
        link.send(upgrade("/ws-report", "X-SERVER-ID: demo", "X-AUTH-SECRET: wrong", *headers))
        assert status_of(link.answer()) == 401
    line = eventually(lambda: [line for line in server.log[before:].splitlines() if "refused:" in line])[0]
    return line.split(" from ")[1].split(" ")[0]


class Raw:
    """A connection that says exactly what it is told to, and reads what comes. Closing it is the caller's, or `with`'s."""

    def __init__(self, port, source=None, timeout=10, rcvbuf=None, host="127.0.0.1"):
        self.s = socket.socket()
        self.s.settimeout(timeout)
        if rcvbuf:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        if source:
            self.s.bind((source, 0))
        self.s.connect((host, port))
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.begun, self.parts = None, []
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, data):
        """False: the server has closed already, which is not the test's failure."""
        try:
            self.s.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def more(self, timeout):
        """Reads once; False at the end of the connection or of the time."""
        if self.ended:
            return False
        self.s.settimeout(max(0.001, timeout))
        try:
            piece = self.s.recv(262144)
        except socket.timeout:
            return False
        except ConnectionResetError:
            piece = b""
        self.ended = not piece
        self.data += piece
        return bool(piece)

    def need(self, n, end):
        while len(self.data) < n:
            if not self.more(end - time.monotonic()) and (self.ended or time.monotonic() >= end):
                return False
        return True

    def rest(self, timeout=5):
        """Everything up to the end of the connection, or of the time."""
        end = time.monotonic() + timeout
        while not self.ended and time.monotonic() < end:
            self.more(end - time.monotonic())
        data, self.data = self.data, b""
        return data

    def answer(self, timeout=5):
        """Head of an HTTP answer, b"" when there is none. What follows stays in self.data."""
        end = time.monotonic() + timeout
        while b"\r\n\r\n" not in self.data:
            if not self.more(end - time.monotonic()) and (self.ended or time.monotonic() >= end):
                return b""
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        return head

    def open(self, path, *headers, **how):
        """Upgrades, and fails the test unless the server agrees."""
        self.send(upgrade(path, *headers, **how))
        head = self.answer()
        assert status_of(head) == 101 and ACCEPT.encode() in head, head
        return self

    def read(self, timeout=5):
        """As piece(), but the fragments of a message come as one, with the control frames between them before it."""
        end = time.monotonic() + timeout
        while (got := self.piece(end - time.monotonic())):
            fin, rsv, opcode, payload = got
            if opcode > BINARY or (fin and not self.begun and opcode != CONT):
                return got
            assert (opcode == CONT) == bool(self.begun) and rsv == 0, f"frame {got[:3]} in the midst of {self.begun}"
            self.begun = self.begun or opcode
            self.parts.append(payload)
            if fin:
                opcode, payload = self.begun, b"".join(self.parts)
                self.begun, self.parts = None, []
                return True, 0, opcode, payload
        return None

    def piece(self, timeout=5):
        """The next frame as (fin, rsv, opcode, payload); None at the end of the connection or of the time."""
        end = time.monotonic() + timeout
        if not self.need(2, end):
            return None
        first, second = self.data[0], self.data[1]
        assert not second & 0x80, "a server's frames are not masked"
        n, at = second & 0x7f, 2
        if n >= 126:
            at = 4 if n == 126 else 10
            if not self.need(at, end):
                return None
            n = int.from_bytes(self.data[2:at], "big")
        if not self.need(at + n, end):
            return None
        payload, self.data = self.data[at:at + n], self.data[at + n:]
        return bool(first & 0x80), first >> 4 & 7, first & 15, payload

    def message(self, timeout=5):
        """The next text or binary message's payload, pings answered and passed over; None: it was closed, or none came."""
        end = time.monotonic() + timeout
        while (got := self.read(end - time.monotonic())) and got[2] != CLOSE:
            if got[2] == PING:
                self.send(frame(PONG, got[3]))
            elif got[2] in (TEXT, BINARY):
                return got[3]
        return None

    def close_code(self, timeout=8, answer=True):
        """Reads until the server closes: its code, 1005 for none given, None when the connection just ended. All must end."""
        end, code = time.monotonic() + timeout, None
        while (got := self.read(end - time.monotonic())):
            if got[2] == CLOSE:
                code = struct.unpack("!H", got[3][:2])[0] if got[3] else 1005
                if answer:  # within an unfinished frame the answer is no frame: the end of our side tells the same
                    self.send(frame(CLOSE, got[3][:2]))
                    with contextlib.suppress(OSError):
                        self.s.shutdown(socket.SHUT_WR)
                break
        while not self.ended and time.monotonic() < end:
            self.more(end - time.monotonic())
        assert self.ended, f"the server did not end the connection (close code {code})"
        return code


# ---- the bystander: a process of its own, so that the attacker's work does not slow its clock ------


class Bystander:
    def __init__(self, port, secret, pid):
        self.process = subprocess.Popen([sys.executable, __file__, str(port), secret, str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.said()

    def said(self):
        line = self.process.stdout.readline()
        assert line, "the bystander lost its connection"
        return json.loads(line)

    def check(self):
        """Since the last check: every sample arrived, none late; and the server counted each one, those too that no page was sent."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        said = self.said()
        assert not said["missing"] and said["sent"] > 0 and said["counted"] == said["total"], said
        assert said["worst"] < 1, said

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def counters_of(port):
    with Raw(port, BYSTANDER_ADDRESS) as link:
        link.send(request("GET /test/counters HTTP/1.1", "Host: t", "Connection: close"))
        answer = link.rest(10)
    assert status_of(answer) == 200, answer
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])


def bystander_main(port, secret, pid):
    def age(sent):
        return time.monotonic() - sent[0] - (starved(pid, "self") - sent[1])

    agent = Raw(port, BYSTANDER_ADDRESS).open("/ws-report", f"X-SERVER-ID: {WATCHED}", f"X-AUTH-SECRET: {secret}")
    page = Raw(port, BYSTANDER_ADDRESS).open("/ws-frontend")
    serial, waiting, worst, sent, due, asked = 0, {}, 0.0, 0, time.monotonic(), None
    report = {"serverId": WATCHED, "serverName": WATCHED, "cpu": {}, "memory": {}, "disk": [], "network": {}, "system": {}}
    print(json.dumps({"ready": True}), flush=True)
    while True:
        now = time.monotonic()
        if now >= due or asked and not sent:
            serial, sent, due = serial + 1, sent + 1, max(due + 0.2, now)
            waiting[serial] = now, starved(pid, "self")
            agent.s.sendall(frame(TEXT, json.dumps({**report, "timestamp": serial})))
        if asked and sent and (not waiting or now - asked > 3):
            worst = max([worst, *map(age, waiting.values())])
            # A page is told what came last, the server counts what came at all; nothing is under way now.
            print(json.dumps({"sent": sent, "worst": round(worst, 3), "missing": list(waiting), "total": serial,
                              "counted": counters_of(port)[f"reports.{WATCHED}"]}), flush=True)
            waiting, worst, sent, asked = {}, 0.0, 0, None
        ready = select.select([page.s, agent.s, sys.stdin], [], [], max(0, min(due - time.monotonic(), 0.05 if asked else 1)))[0]
        if sys.stdin in ready:
            if not sys.stdin.readline():
                return
            asked = time.monotonic()
        for link in (page, agent):
            if link.s in ready and not link.more(0.001):
                return
            while (got := link.read(0.0001) if link.data else None):
                if got[2] == PING:
                    link.send(frame(PONG, got[3]))
                elif got[2] == CLOSE:
                    return
                elif link is page and (seen := json.loads(got[3]))["serverId"] == WATCHED:
                    # Of two that came in one turn of a starved loop a page is sent the newer one.
                    for told in [each for each in waiting if each <= seen["timestamp"]]:
                        worst = max(worst, age(waiting.pop(told)))


# ---- the server under attack --------------------------------------------------------------------

# What moves in peace, too.
HARMLESS = ("net.open_ws", "net.messages_in", "server_status.agents_replaced", "auth_static.granted", "machines.reports")


class Target:
    """
    A server with the status page's plugins, an echo at /ws-parrot and its counters shown, and the bystander on it. `also`: one more
    listener.
    """

    def __init__(self, folder, *entries, status="", more="", limits="", plugins=(), also=""):
        from conftest import BUILD, SECRET, Server, entry, free_port, static_plugins
        port = free_port()
        self.secret = SECRET
        if "connects_per_second" not in limits:  # counters are asked for before and after each attack
            limits = "connects_per_second = 1000; " + limits
        folder.mkdir(exist_ok=True)
        dirs = f'plugin_dirs = [ "{BUILD}/lib/muster/plugins", "{BUILD}/tests/plugins" ];'
        listed = static_plugins(entry(WATCHED), *(entries or [entry("demo")]), status=status)
        self.server = Server(folder, [*listed, '{ name = "parrot"; }', '{ name = "counters"; }', *plugins],
                             listen=f'{{ address = "127.0.0.1"; port = {port}; }}' + (also and ", " + also), port=port,
                             more=f"{dirs}\nlimits = {{ {limits} }};\n{more}",
                             env={"ASAN_OPTIONS": "quarantine_size_mb=1:" + os.environ.get("ASAN_OPTIONS", "")})
        self.port, self.pid = self.server.port, self.server.pid
        self.bystander = Bystander(self.port, SECRET, self.pid)

    def stop(self):
        self.bystander.stop()
        self.server.stop()

    def raw(self, **how):
        return Raw(self.port, **how)

    def talk(self, data, timeout=5, half_close=False, **how):
        with self.raw(**how) as link:
            link.send(data)
            if half_close:
                with contextlib.suppress(OSError):
                    link.s.shutdown(socket.SHUT_WR)
            return link.rest(timeout)

    def agent(self, id="demo", **how):
        return self.raw(**how).open("/ws-report", f"X-SERVER-ID: {id}", f"X-AUTH-SECRET: {self.secret}")

    def parrot(self, **how):
        return self.raw(**how).open("/ws-parrot")

    def counters(self):
        """Those of the server and its plugins."""
        return {name: n for name, n in counters_of(self.port).items() if not name.startswith("reports.")}

    def cpu(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self):
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    @contextlib.contextmanager
    def attack(self, said=None, grows=32, **moved):
        """
        Around an attack. Afterwards: alive; the bystander's samples came, none late; exactly the counters named in `moved` moved,
        ('core__x=1' is core.x, by 1; True: by at least 1); `said` is in the log by now, and no subject there more than once a second;
        memory grew by less than `grows` MB. Gives a dict: moved may be put in there as well.
        """
        began, seen, before, held, waited = time.monotonic(), len(self.server.log), self.counters(), self.rss(), starved(self.pid)
        expected = {}
        yield expected
        expected.update({name.replace("__", ".", 1): n for name, n in moved.items()})
        assert self.server.alive(), self.server.log[seen:]
        self.bystander.check()
        settled, last = time.monotonic(), None
        while True:
            after = self.counters()
            delta = {name: n - before.get(name, 0) for name, n in after.items() if n != before.get(name, 0) and name not in HARMLESS}
            right = set(delta) == set(expected) and all(delta[k] >= 1 if n is True else delta[k] == n for k, n in expected.items())
            if delta != last:
                settled, last = time.monotonic(), delta
            if right or time.monotonic() - settled > 1:
                break
            time.sleep(0.05)
        from conftest import SANITIZED
        log = self.server.log[seen:]
        assert right, f"counters moved: {delta}, expected: {expected}\n{log}"
        assert said is None or said in self.server.log, log  # a line of an earlier test may hold this one back
        subjects, waited = {}, starved(self.pid) - waited
        for line in log.splitlines():
            if 'callback "' in line and (SANITIZED or waited > 0.1):
                continue  # slow under a sanitizer, and each time another callback; or the process had no processor
            subject = re.sub(r"\d+|\(.*\)", "", line.split(" ", 1)[1])[:60]
            subjects[subject] = subjects.get(subject, 0) + 1
        assert all(n <= time.monotonic() - began + 1 for n in subjects.values()), subjects
        assert self.rss() - held < grows << 20, f"{(self.rss() - held) >> 20} MB more"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        bystander_main(int(sys.argv[1]), *sys.argv[2:])
