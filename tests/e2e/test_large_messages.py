# SPDX-License-Identifier: ISC
"""Long messages to those who read, and to those who do not: whole, in order, and a stalled reader costs a position, not a copy."""
import asyncio
import hashlib
import os
import ssl
import struct
import subprocess
import time

import pytest
import websockets
from conftest import SANITIZED, eventually, free_port
from hostile import BINARY, CLOSE, CONT, PING, PONG, TEXT, Target, frame
from tls import Tls, self_signed

MB = 1_000_000
BIG = 20 * MB
SMALL_BUFFER = 65536


def letters(n, letter):
    return b"".join(bytes([ord(letter) + i % 20]) * 1000 for i in range(n // 1000 + 1))[:n]


@pytest.fixture(scope="module")
def bulk(tmp_path_factory):
    made = Target(tmp_path_factory.mktemp("bulk"), limits="send_timeout = 60;", plugins=('{ name = "bulk"; }',))
    yield made
    made.stop()


@pytest.fixture
def link(bulk):
    """A function that opens links; all are gone afterwards."""
    links = []

    def open(path="/ws-bulk", **how):
        links.append(bulk.raw(**how).open(path))
        return links[-1]

    yield open
    for one in links:
        one.s.close()
    gone(bulk)


def gone(bulk):
    with bulk.raw().open("/ws-bulk") as asker:
        def alone():
            asker.send(frame(TEXT, b"count"))
            return asker.message() == b"1"
        eventually(alone)


def ask(bulk, text):
    """Asks on a link of its own and waits until it was heard; large answers to the asker itself are not read."""
    with bulk.raw().open("/ws-bulk") as asker:
        asker.send(frame(TEXT, b"watch"))
        asker.send(frame(TEXT, text.encode()))
        asker.send(frame(TEXT, b"count"))
        while not (asker.message(20) or b"0" * 9)[:8].isdigit():
            pass


def piece(link, timeout=20):
    """The next frame but the server's pings, which come at any time and are answered."""
    end = time.monotonic() + timeout
    while (got := link.piece(end - time.monotonic())) and got[2] == PING:
        link.send(frame(PONG, got[3]))
    return got


def pieces(link, timeout=60):
    """The frames of one message, and the control frames between them, as (fin, opcode, payload)."""
    found, end = [], time.monotonic() + timeout
    while (got := piece(link, end - time.monotonic())):
        fin, rsv, opcode, payload = got
        assert rsv == 0 and len(payload) <= 65536
        found.append((fin, opcode, payload))
        if fin and opcode in (TEXT, BINARY, CONT) or opcode == CLOSE:
            return found
    raise AssertionError(f"no whole message; {len(found)} frames")


def check_whole(found, expected, opcode=TEXT):
    data = [one for one in found if one[1] <= BINARY]
    assert [one[1] for one in data] == [opcode] + [CONT] * (len(data) - 1)
    assert b"".join(one[2] for one in data) == expected
    return [one for one in found if one[1] > BINARY]


def test_long_messages_are_whole(bulk, link):
    one = link()
    for n in (0, 1, 65000, 65531, 65532, 65533, 65535, 65536, 65537, 131064, 131065, 131071, 5 * MB + 1):
        one.send(frame(TEXT, f"me {n} b"))
        one.send(frame(TEXT, b"count"))
        found = pieces(one)
        assert check_whole(found, letters(n, "b")) == []
        assert (len(found) == 1) == (n <= 65532), (n, len(found))
        assert one.message() == b"1"  # what follows is not within it
    one.send(frame(TEXT, b"watch"))
    one.send(frame(TEXT, f"binary {MB} c"))
    check_whole(pieces(one), letters(MB, "c"), BINARY)


def test_stalled_readers_share_one_text(bulk, link):
    stalled = [link() for _ in range(20)]
    with bulk.attack(grows=4096):
        held = bulk.rss()
        ask(bulk, f"all 1 {BIG} a")
        grown = []
        for _ in range(10):
            time.sleep(0.1)
            grown.append(bulk.rss() - held)
        # The text itself is there once.
        assert max(grown) < BIG + (40 if SANITIZED else 10) * MB + 20 * 65536, f"{max(grown) / MB:.0f} MB more"
    for one in stalled[:3]:
        check_whole(pieces(one), letters(BIG, "a"))


def test_control_frames_come_between(bulk, link):
    one = link(rcvbuf=SMALL_BUFFER)
    one.send(frame(TEXT, f"me {5 * MB} d"))
    first = piece(one)
    assert first[:3] == (False, 0, TEXT)
    one.send(frame(PING, b"now"))
    found = [(False, TEXT, first[3])] + pieces(one)
    assert check_whole(found, letters(5 * MB, "d")) == [(True, PONG, b"now")]


def test_what_is_begun_is_not_replaced(bulk, link):
    one = link(rcvbuf=SMALL_BUFFER)
    for letter in "abc":
        ask(bulk, f"all 7 {5 * MB} {letter}")
    ask(bulk, "all 8 10 d")
    check_whole(pieces(one), letters(5 * MB, "a"))
    check_whole(pieces(one), letters(5 * MB, "c"))
    check_whole(pieces(one), letters(10, "d"))


def test_different_messages_at_once(bulk, link):
    """Fragments of two texts, text and binary, go out in turns to many: none is written into another."""
    links = [link(rcvbuf=SMALL_BUFFER) for _ in range(12)]
    for one in links[::2]:
        one.send(frame(TEXT, b"watch"))
        one.send(frame(TEXT, b"count"))
        assert one.message()
    ask(bulk, f"all 1 {3 * MB} a")
    ask(bulk, f"stream {3 * MB} b")
    ask(bulk, f"binary {2 * MB} c")
    for one in links[1::2]:
        check_whole(pieces(one), letters(3 * MB, "a"))
    for one in links[::2]:
        check_whole(pieces(one), letters(3 * MB, "b"))
        check_whole(pieces(one), letters(2 * MB, "c"), BINARY)


def test_the_bound_closes_in_the_midst(bulk, link):
    with bulk.attack("", core__readers_too_slow=1):
        one = link("/ws-bulk-small", rcvbuf=SMALL_BUFFER)
        one.send(frame(TEXT, b"watch"))
        one.send(frame(TEXT, b"count"))
        assert one.message()
        ask(bulk, f"stream {5 * MB} a")  # one message may be larger than the bound, and what goes out waits no more
        ask(bulk, "stream 60000 b")
        ask(bulk, "stream 60000 c")
        found = pieces(one)
        assert found[-1][1] == CLOSE and found[-1][2][:2] == struct.pack("!H", 1013)
        assert len(found) < 60 and found[0][1] == TEXT and not any(one[0] for one in found[:-1])


def test_a_close_in_the_midst(bulk, link):
    with bulk.attack():
        one = link(rcvbuf=SMALL_BUFFER)
        ask(bulk, f"all 1 {5 * MB} a")
        assert piece(one)[:3] == (False, 0, TEXT)
        ask(bulk, "close")
        found = pieces(one)
        assert found[-1][1] == CLOSE and found[-1][2][:2] == struct.pack("!H", 4001)
        assert len(found) < 60
        one.send(frame(CLOSE, found[-1][2][:2]))
        assert one.rest(3) == b"" and one.ended


def test_the_last_words_are_said_before_the_close(bulk, link):
    one = link(rcvbuf=SMALL_BUFFER)
    one.send(frame(TEXT, f"bye {3 * MB} e"))
    check_whole(pieces(one), letters(3 * MB, "e"))
    assert one.close_code() == 4000


def test_leaving_in_the_midst(bulk, link):
    with bulk.attack():
        for n in range(20):
            one = link(rcvbuf=SMALL_BUFFER)
            one.send(frame(TEXT, f"me {2 * MB} e"))
            assert one.need(1000, time.monotonic() + 5)  # begun
            if n % 2:
                one.send(frame(CLOSE, struct.pack("!H", 1000)))
                assert one.close_code(answer=False) in (1000, None)  # the library drops its answer when a part of a fragment waits
            one.s.close()


@pytest.mark.slow
def test_who_takes_a_long_time_but_reads_is_not_silent(bulk, link):
    """It says nothing itself, and is asked between the fragments: only its pongs tell that it lives."""
    with bulk.attack():
        one = link(rcvbuf=SMALL_BUFFER)
        one.send(frame(TEXT, f"me {BIG} a"))
        began, found, pinged = time.monotonic(), [], 0
        while not found or not found[-1][0]:
            fin, _, opcode, payload = one.piece(10)
            assert opcode != CLOSE, (payload, time.monotonic() - began)
            if opcode == PING:
                one.send(frame(PONG, payload))
                pinged += 1
                continue
            found.append((fin, opcode, payload))
            time.sleep(max(0, began + 14 * len(found) / (BIG / 65532) - time.monotonic()))
        check_whole(found, letters(BIG, "a"))
        assert time.monotonic() - began > 10 and pinged >= 3


# ---- TLS, and clients that others wrote ----------------------------------------------------------


NODE = """
const WebSocket = require('ws'), hash = require('crypto').createHash('sha256');
const socket = new WebSocket(process.argv[1], { rejectUnauthorized: false, maxPayload: 0 });
socket.on('open', () => socket.send(process.argv[2]));
socket.on('message', (data, binary) => { console.log(hash.update(data).digest('hex'), data.length, !!binary); socket.close(); });
"""


@pytest.fixture(scope="module", params=("plain", "tls"))
def url(request, bulk, tmp_path_factory):
    if request.param == "plain":
        yield f"ws://127.0.0.1:{bulk.port}/ws-bulk", bulk
        return
    folder = tmp_path_factory.mktemp("bulk-tls")
    pair = self_signed(folder, "bulk")
    port = free_port()
    made = Target(folder / "server", limits="send_timeout = 60;", plugins=('{ name = "bulk"; }',),
                  also=f'{{ address = "127.0.0.1"; port = {port}; {pair.conf} }}')
    yield f"wss://127.0.0.1:{port}/ws-bulk", made
    made.stop()


def test_python_reads_it(url):
    async def read():
        context = ssl._create_unverified_context() if url[0].startswith("wss") else None
        async with websockets.connect(url[0], ssl=context, max_size=None) as link:
            await link.send(f"me {BIG} a")
            return await asyncio.wait_for(link.recv(), 60)
    assert asyncio.run(read()).encode() == letters(BIG, "a")


def test_node_reads_it(url):
    said = subprocess.run(["node", "-e", NODE, url[0], f"me {BIG} a"], env={**os.environ, "NODE_PATH": "/usr/share/nodejs"},
                          capture_output=True, text=True, timeout=60)
    assert said.stdout.split() == [hashlib.sha256(letters(BIG, "a")).hexdigest(), str(BIG), "false"], said.stderr


def test_stalled_readers_within_tls(url):
    if not url[0].startswith("wss"):
        pytest.skip("the plain ones have a test of their own")
    port = int(url[0].split(":")[2].split("/")[0])
    readers = [Tls(port).open("/ws-bulk") for _ in range(10)]
    held = url[1].rss()
    ask(url[1], f"all 1 {BIG} a")
    time.sleep(1)
    grown = url[1].rss() - held
    assert grown < BIG + (40 if SANITIZED else 10) * MB + 10 * 65536, f"{grown / MB:.0f} MB more"
    for one in readers[:2]:
        check_whole(pieces(one), letters(BIG, "a"))
    for one in readers:
        one.s.close()
