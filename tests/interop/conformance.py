# SPDX-License-Identifier: ISC
"""
Does a WebSocket server keep RFC 6455? Cases by family, against a channel that says back what it hears.

A case is what a client sends (each piece in a write of its own), which messages and pongs must come back, and how the connection ends:
CLEAN, the client closes with 1000 and sees that again; else the close codes that are right, None standing for a cut without a word.
Waived: one pong for each of many pings in one burst (RFC 6455, 5.5.3 lets a server answer the newest only).
"""
import contextlib
import socket
import time
from dataclasses import dataclass, field

from hostile import BINARY, CLOSE, CONT, PING, PONG, TEXT, closing, frame

CLEAN = "clean"
LIMIT = 65536  # the channel's longest message


@dataclass
class Case:
    name: str
    send: list
    expect: list = field(default_factory=list)
    close: object = CLEAN
    ends: bool = True  # and the server ends the connection at once


FAIL = {1002, None}
KINDS = {"text": TEXT, "binary": BINARY}


def chop(data, n):
    return [data[i:i + n] for i in range(0, len(data), n)]


def fragments(opcode, data, n):
    """The frames of a message in pieces of n bytes."""
    parts = chop(data, n) or [b""]
    return [frame(opcode if i == 0 else CONT, part, fin=i == len(parts) - 1) for i, part in enumerate(parts)]


def framing():
    for kind, opcode in KINDS.items():
        for n in (0, 1, 125, 126, 127, 128, 4096, 65535, LIMIT):
            data = b"*" * n if opcode == TEXT else bytes(range(256)) * (n // 256) + bytes(range(n % 256))
            yield Case(f"1-{kind}-{n}", [frame(opcode, data)], [(opcode, data)])
            if n in (126, 65535):
                yield Case(f"1-{kind}-{n}-chopped", chop(frame(opcode, data), 997), [(opcode, data)])
    for n in (1, 125, 126):
        data = b"x" * n
        yield Case(f"1-bytewise-{n}", chop(frame(TEXT, data), 1), [(TEXT, data)])
    for key in (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x80\x7f\xfe"):
        yield Case(f"1-mask-{key.hex()}", [frame(TEXT, "masked ä", key=key)], [(TEXT, "masked ä".encode())])


def pings():
    for name, data in {"empty": b"", "text": b"Hello", "binary": b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", "125": b"\xfe" * 125}.items():
        yield Case(f"2-ping-{name}", [frame(PING, data)], [(PONG, data)])
    yield Case("2-ping-125-bytewise", chop(frame(PING, b"\xfe" * 125), 1), [(PONG, b"\xfe" * 125)])
    yield Case("2-ping-126", [frame(PING, b"\xfe" * 126)], [], FAIL)
    yield Case("2-pong-unasked", [frame(PONG)], [])
    yield Case("2-pong-unasked-text", [frame(PONG, b"unasked"), frame(PING, b"asked")], [(PONG, b"asked")])
    yield Case("2-pong-126", [frame(PONG, b"x" * 126)], [], FAIL)


def reserved_bits():
    for rsv in range(1, 8):
        yield Case(f"3-text-{rsv}", [frame(TEXT, b"bits", rsv=rsv)], [], FAIL)
        yield Case(f"3-after-good-{rsv}", [frame(TEXT, b"good"), frame(TEXT, b"bits", rsv=rsv), frame(PING)], [(TEXT, b"good")], FAIL)
    for name, opcode in {"binary": BINARY, "ping": PING, "pong": PONG, "close": CLOSE}.items():
        yield Case(f"3-{name}", [frame(opcode, b"", rsv=5)], [], FAIL)
    yield Case("3-continuation", [frame(TEXT, b"a", fin=False), frame(CONT, b"b", rsv=4)], [], FAIL)


def opcodes():
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield Case(f"4-{opcode}-empty", [frame(opcode)], [], FAIL)
        yield Case(f"4-{opcode}-after-good", [frame(TEXT, b"good"), frame(opcode, b"?"), frame(PING)], [(TEXT, b"good")], FAIL)
    yield Case("4-in-message", [frame(TEXT, b"a", fin=False), frame(5, b"b"), frame(CONT, b"c")], [], FAIL)


def fragmentation():
    yield Case("5-ping-in-pieces", [frame(PING, b"a", fin=False), frame(CONT, b"b")], [], FAIL)
    yield Case("5-pong-in-pieces", [frame(PONG, b"a", fin=False), frame(CONT, b"b")], [], FAIL)
    for kind, opcode in KINDS.items():
        for n in (1, 5, 16):
            yield Case(f"5-{kind}-by-{n}", [b"".join(fragments(opcode, b"fragments of it", n))], [(opcode, b"fragments of it")])
        yield Case(f"5-{kind}-apart", fragments(opcode, b"fragments of it", 5), [(opcode, b"fragments of it")])
    two = fragments(TEXT, b"fragment1fragment2", 9)
    yield Case("5-ping-between", [two[0], frame(PING, b"between"), two[1]], [(PONG, b"between"), (TEXT, b"fragment1fragment2")])
    yield Case("5-ping-between-bytewise", chop(two[0] + frame(PING, b"between") + two[1], 1),
               [(PONG, b"between"), (TEXT, b"fragment1fragment2")])
    yield Case("5-pong-between", [two[0] + frame(PONG, b"between") + two[1]], [(TEXT, b"fragment1fragment2")])
    for name, opcode, fin in (("final", CONT, True), ("not-final", CONT, False)):
        yield Case(f"5-continuation-of-nothing-{name}", [frame(opcode, b"?", fin=fin), frame(TEXT, b"x")], [], FAIL)
        yield Case(f"5-continuation-after-good-{name}", [frame(TEXT, b"good"), frame(opcode, b"?", fin=fin)], [(TEXT, b"good")], FAIL)
    yield Case("5-text-within", [two[0], frame(TEXT, b"again")], [], FAIL)
    yield Case("5-binary-within", [two[0], frame(BINARY, b"again")], [], FAIL)
    yield Case("5-text-within-not-final", [two[0], frame(TEXT, b"again", fin=False), two[1]], [], FAIL)
    yield Case("5-empty-fragments", [frame(TEXT, b"", fin=False), frame(CONT, b"", fin=False), frame(CONT, b"")], [(TEXT, b"")])
    yield Case("5-empty-around", [frame(TEXT, b"", fin=False), frame(CONT, b"middle", fin=False), frame(CONT, b"")], [(TEXT, b"middle")])
    yield Case("5-two-messages", [b"".join(fragments(TEXT, b"first one", 4) + fragments(BINARY, b"second one", 3))],
               [(TEXT, b"first one"), (BINARY, b"second one")])
    yield Case("5-ping-between-each", [piece for part in fragments(TEXT, b"abcd", 1) for piece in (part, frame(PING, b"p"))],
               [(TEXT, b"abcd")])


GOOD_TEXTS = ["Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "\x00", "\x7f", "\x80", "߿", "ࠀ", "￿", "\U00010000", "\U0010ffff", "\ud7ff", "\ue000",
              "�", "\ufffe", "\U0001fffe", "😀" * 20, "א" * 63]
BAD_TEXTS = {
    "continuation": "80", "two-continuations": "80bf", "all-continuations": bytes(range(0x80, 0xc0)).hex(), "lead-2": "c220", "lead-3": "e0a020",
    "lead-4": "f0908020", "cut-2": "c2", "cut-3": "e282", "cut-4": "f09f98", "overlong-c0": "c080", "overlong-c1": "c1bf", "overlong-e0": "e080af",
    "overlong-f0": "f08080af", "five": "f888808080", "six": "fc8480808080", "fe": "fe", "ff": "ff", "surrogate-low": "eda080", "surrogate-high": "edbfbf",
    "pair": "eda080edb080", "too-high": "f4908080", "f5": "f5808080", "in-the-middle": "cebae1bdb9cf83cebcceb5eda080656469746564",
}


def utf8():
    for i, text in enumerate(GOOD_TEXTS):
        data = text.encode()
        yield Case(f"6-good-{i}", [frame(TEXT, data)], [(TEXT, data)])
        yield Case(f"6-good-{i}-split", [b"".join(fragments(TEXT, data, 1))], [(TEXT, data)])
    for name, digits in BAD_TEXTS.items():
        data = bytes.fromhex(digits)
        yield Case(f"6-bad-{name}", [frame(TEXT, data)], [], {1007})
        yield Case(f"6-bad-{name}-split", [b"".join(fragments(TEXT, b"ok " + data, 1))], [], {1007})
        yield Case(f"6-binary-{name}", [frame(BINARY, data)], [(BINARY, data)])
    # Seen at once: before the message ends.
    yield Case("6-fast-fragment", [frame(TEXT, b"a\xce\xba", fin=False), frame(CONT, b"\xf4\x90\x80\x80", fin=False)], [], {1007})
    yield Case("6-fast-within-frame", [frame(TEXT, b"\xed\xa0\x80" + b"x" * 2997)[:1000], b"\0" * 1100], [], {1007}, ends=False)


def closes():
    yield Case("7-none", [closing()], [], {1005})
    for code in (1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        yield Case(f"7-{code}", [closing(code)], [], {code})
    for code in (0, 1, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
        yield Case(f"7-{code}", [closing(code)], [], FAIL, ends=code < 5000)
    yield Case("7-reason", [closing(1000, b"bye")], [], {1000})
    yield Case("7-reason-123", [closing(1000, b"*" * 123)], [], {1000})
    yield Case("7-reason-124", [closing(1000, b"*" * 124)], [], FAIL)
    yield Case("7-one-byte", [frame(CLOSE, b"\x03")], [], FAIL, ends=False)
    yield Case("7-reason-bad-utf8", [closing(1000, bytes.fromhex("cebae1bdb9cf83cebcceb5eda080"))], [], {1007, 1002}, ends=False)
    yield Case("7-twice", [closing(1000) + closing(1000)], [], {1000})
    yield Case("7-then-ping", [closing(1000) + frame(PING, b"late")], [], {1000})
    yield Case("7-then-text", [closing(1000) + frame(TEXT, b"late")], [], {1000})
    yield Case("7-within-message", [frame(TEXT, b"a", fin=False), closing(1000), frame(CONT, b"b")], [], {1000})
    yield Case("7-after-good", [frame(TEXT, b"good"), closing(1000)], [(TEXT, b"good")], {1000})


def limits():
    for n in (64, 1000, 4096):
        data = b"0123456789abcdef" * (LIMIT // 16)
        yield Case(f"9-by-{n}", [b"".join(fragments(BINARY, data, n))], [(BINARY, data)])
        yield Case(f"9-chopped-{n}", chop(frame(TEXT, data), n), [(TEXT, data)])
    many = [b"%d" % i for i in range(1000)]
    yield Case("9-thousand", [b"".join(frame(TEXT, text) for text in many)], [(TEXT, text) for text in many])
    yield Case("9-thousand-apart", [frame(BINARY, text) for text in many], [(BINARY, text) for text in many])
    yield Case("9-over", [frame(TEXT, b"x" * (LIMIT + 1))], [], {1009})
    yield Case("9-over-in-pieces", [b"".join(fragments(TEXT, b"x" * (LIMIT + 1), 5000))], [], {1009})
    yield Case("9-over-announced", [frame(BINARY, b"x", length=1 << 33)], [], {1009}, ends=False)
    yield Case("9-top-bit", [frame(BINARY, b"x", length=1 << 63)], [], {1009, 1002, None})


def cases():
    for family in (framing, pings, reserved_bits, opcodes, fragmentation, utf8, closes, limits):
        yield from family()


def run(case, link, timeout=8):
    """Plays a case on an open link; an AssertionError says what differs."""
    for piece in case.send:
        link.send(piece)
    wanted, end = list(case.expect), time.monotonic() + timeout
    pinged = sum(piece[0] == 0x80 | PING for piece in case.send if piece)
    code = CLEAN
    while wanted or case.close != CLEAN:
        got = link.read(end - time.monotonic())
        if got is None:
            assert link.ended, f"nothing more came; missing: {wanted[:3]}, close {case.close}"
            code = None
            break
        fin, rsv, opcode, payload = got
        assert fin and rsv == 0, f"the answer is not one whole frame: {got[:3]}"
        if opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else 1005
            break
        # Messages come in order; a pong comes when the link is writable.
        if (opcode, payload) in wanted and (opcode == PONG or (opcode, payload) == next(w for w in wanted if w[0] != PONG)):
            wanted.remove((opcode, payload))
        else:
            assert opcode == PONG and pinged, f"came: {opcode} {payload[:50]!r}, wanted: {wanted[:1]}"
    assert not wanted, f"closed with {code} before {wanted[:3]}"
    if case.close == CLEAN:
        assert code == CLEAN
        link.send(closing(1000, b"done"))
        assert link.close_code(timeout, answer=False) == 1000
        return
    assert code in case.close, f"closed with {code}, right: {case.close}"
    if code is not None and case.ends:
        if code not in (1000, 1005):
            link.send(closing(code))
            with contextlib.suppress(OSError):  # after a wrong frame the server may be out of step and miss the answer
                link.s.shutdown(socket.SHUT_WR)
        assert link.rest(4) == b"" and link.ended, "frames came after the close frame, or the connection did not end"
