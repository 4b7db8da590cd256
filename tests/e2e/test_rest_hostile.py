# SPDX-License-Identifier: ISC
"""Hostile connections and texts on REST routes, with a bystander on the same server: answered or cut, counted, and nobody else waits."""
import json
import random
import socket
import struct
import time

import pytest
from conftest import eventually
from hostile import Target, request, status_of

JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = Target(tmp_path_factory.mktemp("rest"), limits="body_timeout = 1; header_timeout = 2; connects_per_second = 0;",
                  plugins=['{ name = "rest_probe"; }'])
    yield made
    made.stop()


def post(path, body, *headers, length=None):
    body = body if isinstance(body, bytes) else body.encode()
    return request(f"POST {path} HTTP/1.1", "Host: t", JSON, f"Content-Length: {len(body) if length is None else length}", *headers, body=body)


def code(answer):
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]["code"]


def test_a_body_that_stops(shared):
    with shared.attack(rest_probe__rest_refused=1):
        answer = shared.talk(post("/api/probe/things", '{"text":', length=50), 5)
        assert (status_of(answer), code(answer)) == (408, "REQUEST_TIMEOUT")


def test_a_body_byte_by_byte(shared):
    """Each byte comes in time, the whole does not."""
    with shared.attack(rest_probe__rest_refused=1), shared.raw() as link:
        link.send(post("/api/probe/things", "", length=1000))
        began, said = time.monotonic(), b""
        link.s.settimeout(0.05)
        while time.monotonic() - began < 5 and not said:
            try:
                link.s.sendall(b" ")
                said = link.s.recv(4096)
            except socket.timeout:
                pass
        assert status_of(said) == 408 and time.monotonic() - began < 4


def test_clients_that_leave_anywhere(shared):
    """By a reset, inside the head, the body, while they are judged, while the handler takes its time, inside the answer."""
    whole = [post("/api/probe/things", '{"text":"abc"}'), post("/api/probe/later?page=100", '{"x":1}', "Authorization: Bearer slow:u"),
             request("GET /api/probe/later?page=50 HTTP/1.1", "Host: t"), request("GET /api/probe/things/1 HTTP/1.1", "Host: t", "Authorization: Bearer slow:u"),
             request("GET /api/openapi.json HTTP/1.1", "Host: t")]
    rng = random.Random(4)
    with shared.attack(core__requests_broken=True):
        for n in range(300):
            link = shared.raw()
            data = rng.choice(whole)
            link.s.sendall(data[:rng.randrange(1, len(data) + 1)] if n % 2 else data)
            if n % 5 == 0:
                time.sleep(0.02)
            link.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0) if n % 3 else struct.pack("ii", 0, 0))
            link.s.close()
        time.sleep(0.5)


def test_many_who_are_never_judged(shared):
    """A backend hangs: each address has its share of waiting requests, beyond that it is told so, and others are served."""
    with shared.attack(core__rest_refused=150 - 128):
        before = shared.counters().get("core.rest_refused", 0)
        links = [shared.raw(source="127.0.0.77") for _ in range(150)]
        for link in links:
            link.send(request("GET /api/probe/things/1 HTTP/1.1", "Host: t", "Authorization: Bearer never", "Connection: close"))
        eventually(lambda: shared.counters().get("core.rest_refused", 0) - before == 150 - 128)
        refused = []
        for link in links:
            link.s.settimeout(0.02)
            try:
                refused.append(link.s.recv(4096))
            except socket.timeout:
                continue
        assert len(refused) == 150 - 128 and all(status_of(a) == 429 and code(a) == "TOO_MANY_REQUESTS" for a in refused)
        assert status_of(shared.talk(request("GET /api/probe/things HTTP/1.1", "Host: t", "Connection: close"), source="127.0.0.78")) == 200
        for link in links:
            link.s.close()


def test_answers_that_nobody_reads(shared):
    with shared.attack(grows=64):
        links = [shared.raw(source="127.0.0.79", rcvbuf=4096) for _ in range(50)]
        for link in links:
            link.send(request("GET /api/openapi.json HTTP/1.1", "Host: t"))
        time.sleep(1)
        for link in links:
            link.s.close()
        time.sleep(0.3)


@pytest.mark.parametrize("text", ("[" * 100000, '{"text":"' + "a" * 100000 + '"}', "{" + ",".join(f'"k{n}":1' for n in range(9000)) + "}",
                                  '{"list":[' + ",".join("1" * 3 for _ in range(20000)) + "]}", '{"things":[' + ",".join("{}" for _ in range(30000)) + "]}",
                                  '{"code":"' + "a" * 90000 + '!"}', '{"text":"' + "\\u0041" * 16000 + '"}', '{"a":' * 16000 + "1" + "}" * 16000), ids=range(8))
def test_big_bodies_hold_nobody_up(shared, text):
    """The longest that is let in, of the shapes that cost most: the bystander is the judge."""
    with shared.attack(rest_probe__rest_refused=20):
        for _ in range(20):
            answer = shared.talk(post("/api/probe/things", text, "Connection: close"))
            assert status_of(answer) == 400 and code(answer) in ("INVALID_JSON", "VALIDATION_ERROR")


@pytest.mark.parametrize("path", ("/api/probe/things%0A", "/api/probe/things%0d", "/%0D%0AX:%20y", "/api/probe/things?q=%0A"))
def test_line_breaks_in_the_url(shared, path):
    """They end the request line for the library: a mistake of the URL, and not of the HTTP version."""
    answer = shared.talk(request(f"GET {path} HTTP/1.1", "Host: t", "Connection: close"))
    assert status_of(answer) == 400 and b"line break (%0A, %0D)" in answer, answer
    assert status_of(shared.talk(request("GET /api/probe/things HTTP/3.7", "Host: t"))) == 505


def test_mutated_requests(shared):
    """Whatever is done to good requests, each is answered with a status that fits or cut; no 5xx, no answer to nobody."""
    rng = random.Random(11)
    good = [post("/api/probe/things", '{"text":"abc","whole":5,"time":"2026-11-21T07:47:22Z","thing":{"x":1}}', "Connection: close"),
            request("GET /api/probe/things?page=5&q=abc&list=1&since=1795247242 HTTP/1.1", "Host: t", "Accept-Language: zh;q=0.9", "Connection: close"),
            request("GET /api/probe/things/a/parts/b HTTP/1.1", "Host: t", "Authorization: Bearer user:u", "Connection: close"),
            request("OPTIONS /api/probe/admin HTTP/1.1", "Host: t", "Origin: https://a", "Access-Control-Request-Method: PATCH", "Connection: close"),
            post("/api/probe/admin/act", "{}", "Authorization: Bearer admin:a", "Connection: close")]
    before = shared.counters()
    seen = {}
    for n in range(1500):
        data = bytearray(rng.choice(good))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            how = rng.randrange(4)
            if how == 0:
                data[at] = rng.randrange(256)
            elif how == 1:
                del data[at:at + rng.randrange(1, 6)]
            elif how == 2:
                data[at:at] = bytes(rng.choice(b" \r\n:/%{}[]\",0\x00\xff?&;=\\") for _ in range(rng.randrange(1, 4)))
            else:
                data[at:at] = data[at:at + rng.randrange(1, 30)]
        answer = shared.talk(bytes(data), 2, half_close=True)
        status = status_of(answer)
        seen[status] = seen.get(status, 0) + 1
        assert status is None or status < 500 or status == 505, (bytes(data), answer)
    assert seen.get(400, 0) > 50 and seen.get(404, 0) > 20 and len(seen) > 5, seen
    shared.bystander.check()
    after = shared.counters()
    assert after.get("rest_probe.rest_failed", 0) == before.get("rest_probe.rest_failed", 0)


def test_a_guest_of_rates_cannot_fill_the_log(shared):
    with shared.attack() as moved, shared.raw(source="127.0.0.80") as link:
        seen, refused = len(shared.server.log), 0
        for _ in range(503):
            link.send(request("GET /api/probe/try HTTP/1.1", "Host: t"))
            data = b""
            while b"\r\n\r\n" not in data or len(data.split(b"\r\n\r\n", 1)[1]) < int(data.lower().split(b"content-length: ")[1].split(b"\r\n")[0]):
                data += link.s.recv(65536)
            refused += status_of(data) == 429
        assert refused > 400  # each two seconds three are let in
        moved.update({"core.rest_rate_limited": refused, "rest_probe.rest_refused": refused})
        assert shared.server.log[seen:].count("more than 3 requests") <= 3
