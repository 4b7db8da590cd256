# SPDX-License-Identifier: ISC
"""Pages on slow links: what is live is kept down to the newest, and nobody is sent away for being slow."""
import asyncio
import json
import socket

import pytest
import websockets

from conftest import agent_headers, documented, entry, get, static_plugins
from hostile import TEXT, Raw, frame

COUNT = 80
FILLER = {"filler": {f"text_{i}": "x" * 240 for i in range(220)}}  # a report of about 60 kB


def slow(server, path):
    """A page that takes next to nothing until it is read."""
    return Raw(server.port, rcvbuf=4096).open(path)


def following(page):
    message = page.message(20)
    assert message is not None, "it was closed"
    return json.loads(message)


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
    page = slow(crowded, "/api/console/live")
    page.send(frame(TEXT, '{"type":"hello"}'))
    get(crowded.http + "/api/statistics")  # it was heard by now
    assert following(page)["type"] == "hello"
    seen = set()
    while True:
        message = following(page)
        if message.get("type") != "machine":
            break
        assert message["owner"] == "" and "ip" not in message  # the operator's, and everybody may look
        seen.add(message["id"])
    assert message == {"type": "ready"} and len(seen) == COUNT
    page.s.close()


def test_a_slow_page_may_ping(crowded):
    page = slow(crowded, "/ws-frontend")
    for _ in range(3):
        page.send(frame(TEXT, '{"type":"ping"}'))
    get(crowded.http + "/api/statistics")
    seen, pong = set(), False
    while len(seen) < COUNT or not pong:
        message = following(page)
        pong = pong or message.get("type") == "pong"
        if "serverId" in message:
            seen.add(message["serverId"])
    page.s.close()


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
