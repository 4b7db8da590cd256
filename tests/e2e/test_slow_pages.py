# SPDX-License-Identifier: ISC
"""Pages on slow links: what is live is kept down to the newest, and nobody is sent away for being slow."""
import asyncio
import json
import os
import socket
import struct

import pytest
import websockets

from conftest import agent_headers, documented, entry, get, static_plugins

COUNT = 80
FILLER = {"filler": {f"text_{i}": "x" * 240 for i in range(220)}}  # a report of about 60 kB


def frame(opcode, data):
    mask = os.urandom(4)
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    return bytes([0x80 | opcode]) + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


class SlowPage:
    """A WebSocket that takes nothing until it is asked to."""

    def __init__(self, server, path):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall((f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n").encode())
        self.file = self.socket.makefile("rb", buffering=65536)
        assert b" 101 " in self.file.readline()
        while self.file.readline() != b"\r\n":
            pass

    def say(self, message):
        self.socket.sendall(frame(1, json.dumps(message).encode()))

    def next(self):
        """The next message; a close as {"closed": code}."""
        message = b""
        while True:
            head = self.file.read(2)
            length = head[1] & 127
            if length == 126:
                length = struct.unpack(">H", self.file.read(2))[0]
            elif length == 127:
                length = struct.unpack(">Q", self.file.read(8))[0]
            data = self.file.read(length)
            if head[0] & 15 == 8:
                return {"closed": struct.unpack(">H", data[:2])[0]}
            if head[0] & 15 in (0, 1):
                message += data
                if head[0] & 0x80:
                    return json.loads(message)

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.fixture
def crowded(server):
    """A server that knows more than fits into a page's queue and socket."""
    ids = [f"m{i:02}" for i in range(COUNT)]
    s = server(*[entry(id) for id in ids])

    async def report():
        for id in ids:
            async with websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers(id)) as link:
                await link.send(json.dumps(documented(id, metrics=FILLER)))

    asyncio.run(report())
    assert get(s.http + "/api/statistics")["data"]["reportMapLen"] == COUNT
    return s


def test_the_console_gets_everything_however_slow_it_is(crowded):
    page = SlowPage(crowded, "/api/console/live")
    get(crowded.http + "/api/statistics")  # the snapshot was queued by now
    assert page.next()["type"] == "hello"
    seen = set()
    while True:
        message = page.next()
        if message.get("type") != "machine":
            break
        assert message["owner"] == "" and "ip" not in message  # the operator's, and everybody may look
        seen.add(message["id"])
    assert message == {"type": "ready"} and len(seen) == COUNT
    page.close()


def test_a_slow_page_may_ping(crowded):
    page = SlowPage(crowded, "/ws-frontend")
    for _ in range(3):
        page.say({"type": "ping"})
    get(crowded.http + "/api/statistics")
    seen, pong = set(), False
    while len(seen) < COUNT or not pong:
        message = page.next()
        assert "closed" not in message
        pong = pong or message.get("type") == "pong"
        if "serverId" in message:
            seen.add(message["serverId"])
    page.close()


def resident(server):
    with open(f"/proc/{server.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024


def test_slow_readers_of_the_list_share_it(crowded):
    url = crowded.http + "/api/server/statusInfo"
    size, before = len(json.dumps(get(url))), resident(crowded)
    assert size > 1_000_000
    readers = []
    for _ in range(60):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", crowded.port))
        s.sendall(b"GET /api/server/statusInfo HTTP/1.1\r\nHost: x\r\n\r\n")
        readers.append(s)
    for s in readers:
        assert s.recv(15) == b"HTTP/1.1 200 OK"
    assert resident(crowded) - before < 30 * size
    # What is shared is never older than who is on the list.
    assert len(get(url)["data"]) == COUNT
    crowded.reload(crowded.text(static_plugins(*[entry(f"m{i:02}") for i in range(COUNT - 1)])))
    crowded.logged("core: reloaded")
    assert len(get(url)["data"]) == COUNT - 1
    for s in readers:
        s.close()
