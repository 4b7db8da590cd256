# SPDX-License-Identifier: ISC
"""Hostile frames, on the agents' and the pages' channels: the right close code, one counter, and nobody else notices."""
import json
import os
import random
import struct
import time
from pathlib import Path

import pytest
from conftest import documented
from hostile import BINARY, CLOSE, CONT, HARMLESS, PING, PONG, TEXT, Target, closing, frame


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = Target(tmp_path_factory.mktemp("frames"))
    yield made
    made.stop()


PAGES = {"frontend": "/ws-frontend", "console": "/api/console/live", "parrot": "/ws-parrot"}
LIMITS = {"report": 65536, "frontend": 4096, "console": 1024, "parrot": 65536}


@pytest.fixture(params=LIMITS)
def channel(request, shared):
    """A function that opens one of the channels."""
    def open():
        return shared.agent() if request.param == "report" else shared.raw().open(PAGES[request.param])
    open.limit, open.name = LIMITS[request.param], request.param
    return open


def text_of(n):
    return (b'"' + b"x" * (n - 2) + b'"')


# ---- too big ------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", (1, 7))
def test_over_the_limit_closes_with_1009(shared, channel, pieces):
    with shared.attack("message too big", core__messages_too_big=1), channel() as link:
        data = text_of(channel.limit + 1)
        step = len(data) // pieces + 1
        for i in range(0, len(data), step):
            link.send(frame(TEXT if i == 0 else CONT, data[i:i + step], fin=i + step >= len(data)))
        assert link.close_code() == 1009


def test_exactly_the_limit_is_taken(shared):
    with shared.attack(), shared.parrot() as link:
        link.send(frame(TEXT, b"y" * 65536))
        assert link.message() == b"y" * 65536


def test_a_tebibyte_announced_takes_nothing(shared, channel):
    with shared.attack("message too big", core__messages_too_big=20, grows=4):
        for _ in range(20):
            with channel() as link:
                link.send(frame(TEXT, b"x" * 100, length=1 << 40))
                assert link.close_code() == 1009


def test_a_length_that_does_not_come_takes_nothing(shared):
    """64 KiB are allowed, and announced by 500 links that send a byte of them: memory is for what has come."""
    def taken():  # touched or not
        return int(Path(f"/proc/{shared.pid}/statm").read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE")
    with shared.attack():
        links = [shared.parrot() for _ in range(500)]
        before = taken()
        for link in links:
            link.send(frame(TEXT, b"x", length=65536))
        shared.counters()  # all of it has been read when this is answered
        grown = taken() - before
        for link in links:
            link.s.close()
    assert grown < 500 * 65536 / 2, f"{grown >> 20} MB more"


@pytest.mark.parametrize("length", (1 << 63, (1 << 64) - 1, (1 << 63) + 5))
def test_top_bit_of_the_length(shared, channel, length):
    with shared.attack("b63 of length", core__library_complaints=1), channel() as link:
        link.send(frame(TEXT, b"x" * 10, length=length))
        assert link.close_code() is None  # the library cuts it without a word


# ---- without an end -----------------------------------------------------------------------------


@pytest.mark.parametrize("payload", (b"x", b""), ids=("1-byte", "empty"))
def test_fragments_without_end(shared, channel, payload):
    with shared.attack() as moved, channel() as link:
        link.send(frame(TEXT, b'"', fin=False))
        many = frame(CONT, payload, fin=False) * 500
        began = time.monotonic()
        while link.send(many) and time.monotonic() - began < 10:
            if link.more(0.001) and link.data:
                break
        code = link.close_code()
        assert code in (1008, 1009) or (code is None and link.ended)
        counters = {1008: "core.messages_in_too_many_frames", 1009: "core.messages_too_big"}
        moved[counters.get(code) or counters[1009 if payload and channel.limit < 2048 else 1008]] = 1


def test_fragments_of_a_good_message_are_taken(shared):
    with shared.attack(), shared.parrot() as link:
        data = "häßlich €𝄞".encode() * 5
        link.send(b"".join(frame(TEXT if i == 0 else CONT, data[i:i + 1], fin=i == len(data) - 1) + frame(PING, b"%d" % i)
                           for i in range(len(data))))
        assert link.message() == data
        link.send(frame(PING, b"last"))
        while (got := link.read()) and got[2:] != (PONG, b"last"):
            assert got[2] == PONG
            link.send(frame(PING, b"last"))  # pings share pongs: the library drops one that comes while an earlier one's pong waits
        assert got


# ---- text ---------------------------------------------------------------------------------------

BAD_UTF8 = {"lonely-continuation": b"\x80", "overlong": b"\xc0\xaf", "overlong-3": b"\xe0\x80\xaf", "surrogate": b"\xed\xa0\x80",
            "above-10ffff": b"\xf4\x90\x80\x80", "five-bytes": b"\xf8\x88\x80\x80\x80", "cut-off": b"\xe2\x82", "fe": b"\xfe",
            "latin-1": b"gr\xfc\xdfe"}


@pytest.mark.parametrize("name", BAD_UTF8)
def test_bad_utf8_whole(shared, channel, name):
    with shared.attack("not UTF-8", core__messages_bad_text=1), channel() as link:
        link.send(frame(TEXT, b'{"a":"' + BAD_UTF8[name] + (b"" if name == "cut-off" else b'"}')))
        assert link.close_code() == 1007


@pytest.mark.parametrize("name", BAD_UTF8)
def test_bad_utf8_split(shared, channel, name):
    with shared.attack("not UTF-8", core__messages_bad_text=1), channel() as link:
        data = b'{"a":"' + BAD_UTF8[name] + (b"" if name == "cut-off" else b'"}')
        link.send(b"".join(frame(TEXT if i == 0 else CONT, data[i:i + 1], fin=i == len(data) - 1) for i in range(len(data))))
        assert link.close_code() == 1007


def test_binary_where_text_is_spoken(shared, channel):
    if channel.name == "parrot":
        pytest.skip("it repeats binary messages too")
    with shared.attack("text only", core__messages_binary=1), channel() as link:
        link.send(frame(BINARY, b"{}"))
        assert link.close_code() == 1003


# ---- against the protocol -----------------------------------------------------------------------

WRONG = {
    **{f"rsv-{rsv}": frame(TEXT, b"{}", rsv=rsv) for rsv in range(1, 8)},
    **{f"rsv-{rsv}-ping": frame(PING, b"", rsv=rsv) for rsv in (1, 4)},
    **{f"opcode-{opcode}": frame(opcode, b"{}") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "ping-in-pieces": frame(PING, b"x", fin=False),
    "close-in-pieces": frame(CLOSE, b"", fin=False),
    "continuation-of-nothing": frame(CONT, b"{}"),
    "text-within-text": frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
}
LONG = {  # the library cuts the link without a word
    "ping": frame(PING, b"x" * 126),
    "pong": frame(PONG, b"x" * 126),
    "close": frame(CLOSE, struct.pack("!H", 1000) + b"x" * 124),
    "huge": frame(PING, b"", length=1 << 40),
}


@pytest.mark.parametrize("name", WRONG)
def test_against_the_protocol(shared, channel, name):
    with shared.attack("protocol error", core__protocol_errors=1), channel() as link:
        link.send(WRONG[name])
        assert link.close_code() == 1002


@pytest.mark.parametrize("name", LONG)
def test_long_control_frames(shared, channel, name):
    with shared.attack("libwebsockets:", core__library_complaints=1, grows=4), channel() as link:
        link.send(LONG[name])
        assert link.close_code() is None


def test_unmasked_frames_do_no_harm(shared):
    # RFC 6455 wants the link closed; libwebsockets 4.1.6 takes them and does not tell. They are judged as any other.
    with shared.attack("dropped", server_status__bad_reports=1), shared.agent() as link:
        link.send(frame(TEXT, b"{}", key=None) + frame(PING, b"there?"))
        assert link.read()[2:] == (PONG, b"there?")


def test_nothing_is_heard_after_an_error(shared):
    with shared.attack("protocol error", core__protocol_errors=1), shared.parrot() as link:
        link.send(frame(TEXT, b"before") + frame(3, b"x") + frame(TEXT, b"after") * 20)
        assert link.message() == b"before"
        assert link.close_code() == 1002
        assert b"after" not in link.data


@pytest.mark.parametrize("path", ("/ws-frontend", "/api/console/live"))
def test_nothing_is_said_after_the_close_frame(shared, path):
    # The bystander's reports go on meanwhile, and this page does not answer the close.
    with shared.attack("protocol error", core__protocol_errors=1), shared.raw().open(path) as link:
        while link.message(0.3):
            break
        link.send(frame(3, b"x"))
        while (got := link.read()) and got[2] != CLOSE:
            pass
        assert got and got[3][:2] == struct.pack("!H", 1002)
        assert link.rest(1) == b""


# ---- control ------------------------------------------------------------------------------------


def test_ping_flood(shared, channel):
    with shared.attack(grows=8), channel() as link:
        burst, pongs, began = frame(PING, b"flood") * 200, 0, time.monotonic()
        while time.monotonic() - began < 1.5:
            assert link.send(burst)
            while link.more(0.0005):
                pongs += link.data.count(b"\x8a\x05flood")
                link.data = link.data[-6:] if not link.data.endswith(b"flood") else b""
        assert pongs > 0


def test_ping_flood_that_reads_nothing(shared):
    # The pongs have nowhere to go: the server must neither keep them nor turn in circles.
    with shared.attack(grows=8), shared.agent(rcvbuf=4096) as link:
        burst, end = frame(PING, b"x" * 125) * 100, time.monotonic() + 2
        link.s.settimeout(0.2)
        while time.monotonic() < end:
            try:
                link.s.sendall(burst)
            except OSError:
                break
        began = shared.cpu()
        time.sleep(1)
        assert shared.cpu() - began < 0.6


CODES = {1000: 1000, 1001: 1001, 1003: 1003, 1007: 1007, 1011: 1011, 3000: 3000, 4999: 4999,
         0: 1002, 999: 1002, 1004: 1002, 1005: 1002, 1006: 1002, 1015: 1002, 1016: 1002, 1100: 1002, 2000: 1002, 2999: 1002,
         5000: 1002, 65535: 1002}


@pytest.mark.parametrize("code", CODES)
def test_close_codes(shared, code):
    expected = CODES[code]
    moved = {} if expected != 1002 else {"core__protocol_errors": 1}
    with shared.attack(**moved), shared.agent() as link:
        link.send(closing(code))
        assert link.close_code(answer=False) == expected


BAD_CLOSES = {"one-byte": (frame(CLOSE, b"\x03"), 1002), "bad-reason": (closing(1000, b"\xff"), 1007),
              "cut-reason": (closing(1000, b"\xe2\x82"), 1007)}


def test_bad_closes(shared):
    # All at once: the library waits 5 s for an answer to its own close frame, which does not come.
    with shared.attack("protocol error", core__protocol_errors=len(BAD_CLOSES) * 2):
        links = [(shared.raw().open(PAGES["frontend"]) if n else shared.parrot(), *BAD_CLOSES[name]) for name in BAD_CLOSES for n in range(2)]
        for link, data, _ in links:
            link.send(data)
        for link, _, expected in links:
            assert link.close_code(answer=False) == expected
            link.s.close()


def test_messages_after_a_close_are_not_heard(shared):
    with shared.attack(), shared.agent() as link:
        link.send(closing(1000) + frame(TEXT, b"not json") * 5)
        assert link.close_code(answer=False) == 1000


# ---- anything -----------------------------------------------------------------------------------


def test_random_bytes(shared):
    """Whatever comes, it ends well. The seed is printed when it fails."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    dice = random.Random(seed)
    with shared.attack() as moved:
        before = shared.counters()
        for _ in range(60):
            link = shared.agent() if dice.random() < 0.5 else shared.raw().open(dice.choice(list(PAGES.values())))
            with link:
                data = bytearray(dice.choice([dice.randbytes(dice.randrange(1, 3000)), frame(TEXT, json.dumps(documented())) * 3,
                                              frame(TEXT, b"{", fin=False) + frame(PING, b"p") + frame(CONT, b"}")]))
                for _ in range(dice.randrange(4)):
                    data[dice.randrange(len(data))] = dice.randrange(256)
                link.send(bytes(data))
                link.more(0.02)
        after, last = shared.counters(), None
        while after != last:  # until nothing moves any more
            time.sleep(0.3)
            after, last = shared.counters(), after
        moved.update({k: True for k in after if after[k] != before.get(k, 0) and k not in HARMLESS})
        assert set(moved) <= {"core.protocol_errors", "core.messages_too_big", "core.messages_bad_text", "core.messages_binary",
                              "server_status.bad_reports", "server_status.bad_page_messages", "server_status.identity_mismatch",
                              "core.messages_in_too_many_frames", "core.library_complaints"}, moved


# ---- slow ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_idle_and_dripping_links(tmp_path):
    """A message that drips in is given 30 s; a link that answers no ping, or drips a frame's head, is silent."""
    target = Target(tmp_path / "slow", status="ping_every = 3; silent_after = 4;")
    try:
        with target.attack("message took too long", core__messages_unfinished=1, core__links_silent=2):
            message, head, idle = target.parrot(), target.agent(), target.raw().open("/ws-frontend")
            message.send(frame(TEXT, b"", length=60000))
            drips, began, ended = iter(frame(TEXT, b"", length=60000, form=64)), time.monotonic(), {}
            while len(ended) < 3 and time.monotonic() - began < 45:
                if "message" not in ended:
                    message.send(b"x")
                if "head" not in ended and (byte := next(drips, None)) is not None:
                    head.send(bytes([byte]))
                for name, link in (("message", message), ("head", head), ("idle", idle)):
                    if name not in ended:
                        link.more(0.1)
                        if link.ended or name == "message" and b"took too long" in link.data:
                            ended[name] = time.monotonic() - began
            assert set(ended) == {"message", "head", "idle"}, ended
            assert 25 < ended["message"] < 40 and ended["head"] < 12 and ended["idle"] < 12, ended
            for link in (message, head, idle):
                link.s.close()
    finally:
        target.stop()
