# SPDX-License-Identifier: ISC
"""Hostile connections and upgrades on the product's own paths: refused or cut in time, counted, and nobody else notices."""
import functools
import json
import resource
import socket
import subprocess
import time

import pytest
from conftest import documented, eventually, free_port
from hostile import ACCEPT, PING, PONG, TEXT, Raw, Target, frame, refused_address, request, status_of, upgrade


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = Target(tmp_path_factory.mktemp("connections"), limits="header_timeout = 1.0;")
    yield made
    made.stop()


@pytest.fixture
def start(tmp_path):
    """Targets of a test's own."""
    running = []

    def make(**how):
        running.append(Target(tmp_path / f"target{len(running)}", **how))
        return running[-1]

    yield make
    for made in running:
        made.stop()


AGENT = ("X-SERVER-ID: demo", "X-AUTH-SECRET: a-secret-of-the-tests-0123")


# ---- floods -------------------------------------------------------------------------------------


def flood(port, count, source=None):
    """Connections that say nothing; those that the server kept."""
    links = []
    for _ in range(count):
        try:
            links.append(Raw(port, source))
        except OSError:
            pass
    with Raw(port, "127.0.0.99") as last:  # they are taken in their order: when this one knows, all know
        last.send(request("GET /test/counters HTTP/1.1", "Host: t", "Connection: close"))
        last.rest()
        assert last.ended
    kept = []
    for link in links:
        link.more(0.001)
        if link.ended:
            link.s.close()
        else:
            kept.append(link)
    return kept


def close(links):
    for link in links:
        link.s.close()


def test_flood_from_one_address(start):
    target = start(limits="max_connections_per_peer = 50; connects_per_second = 0; header_timeout = 60.0;")
    with target.attack("too many, or too fast, from this address", core__connects_over_peer_limit=150, net__refused=150):
        close(flood(target.port, 200))
    with target.attack(), target.agent() as link:  # it may come again
        link.send(frame(TEXT, json.dumps(documented())))


def test_reconnecting_too_fast_from_one_address(start):
    target = start(limits="connects_per_second = 5;")
    with target.attack("too many, or too fast, from this address", core__connects_over_peer_limit=True, net__refused=True):
        kept = flood(target.port, 100)
        assert 10 <= len(kept) <= 60
        close(kept)
    time.sleep(1)
    with target.attack(), target.agent():
        pass


def test_flood_in_all(start):
    target = start(limits="max_connections = 100; max_connections_per_peer = 0; connects_per_second = 0; header_timeout = 60.0;")
    # The bystander's two are within the hundred, and stay.
    with target.attack("there are too many connections", core__connects_over_limit=True, net__refused=True):
        kept = [link for n in range(10, 20) for link in flood(target.port, 30, f"127.0.0.{n}")]
        assert 90 <= len(kept) <= 98
        close(kept)
        eventually(lambda: status_of(target.talk(request("GET /api/statistics HTTP/1.1", "Host: t", "Connection: close"))) == 200)


@pytest.mark.parametrize("when", ("from-the-start", "later"))
def test_flood_at_the_descriptor_limit(start, monkeypatch, when):
    """Accepting pauses: no spin, one line, and it goes on when links have gone. Lowered later, the limit is met unawares (EMFILE)."""
    with monkeypatch.context() as patch:
        if when == "from-the-start":
            patch.setattr(subprocess, "Popen", functools.partial(
                subprocess.Popen, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))))
        target = start(limits="max_connections_per_peer = 0; connects_per_second = 0; header_timeout = 60.0;")
    moved, why = {"core.connects_without_descriptor": True, "net.refused": True}, "descriptors are running out"
    if when == "later":
        resource.prlimit(target.pid, resource.RLIMIT_NOFILE, (200, 200))
        moved, why = {}, "Too many open files"
    with target.attack() as expected:
        links = [Raw(target.port) for _ in range(300)]
        target.server.logged(f"accepting pauses: {why}")
        before = target.cpu()
        time.sleep(1)
        assert target.cpu() - before < 0.3
        close(links)
        target.server.logged("accepting again")
        with target.agent() as link:
            link.send(frame(TEXT, json.dumps(documented())) + frame(PING, b"p"))
            assert link.read()[2:] == (PONG, b"p")
        expected.update(moved)


def test_connect_and_leave(shared):
    """Thousands that connect, or upgrade, or begin to, and go at once."""
    with shared.attack(grows=8, core__requests_broken=True):
        for i in range(1500):
            with Raw(shared.port, f"127.0.1.{i % 200 + 1}") as link:
                if i % 3 == 1:
                    link.send(upgrade("/ws-frontend"))
                elif i % 3 == 2:
                    link.send(upgrade("/ws-frontend")[:40])
                    link.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


# ---- slow ---------------------------------------------------------------------------------------


def test_silent_and_slow_headers_are_cut(shared):
    with shared.attack("no request within 1 s", core__requests_too_slow=4):
        links = {"silent": shared.raw(), "slow": shared.raw(), "upgrade": shared.raw(), "one-byte": shared.raw()}
        links["one-byte"].send(b"G")
        drips = {"slow": iter(request("GET / HTTP/1.1", "Host: t", *["X-Slow: 1"] * 100)),
                 "upgrade": iter(upgrade("/ws-report", *AGENT, *["X-Slow: 1"] * 100))}
        began, ended = time.monotonic(), {}
        while len(ended) < 4 and time.monotonic() - began < 6:
            for name, link in links.items():
                if name in drips and name not in ended:
                    link.send(bytes([next(drips[name])]))
                if name not in ended and not link.more(0.02) and link.ended:
                    ended[name] = time.monotonic() - began
        assert len(ended) == 4 and max(ended.values()) < 4, ended
        close(links.values())


def test_request_split_at_any_byte(shared):
    whole = upgrade("/ws-report", *AGENT)
    with shared.attack():
        for at in range(1, len(whole), 7):
            with shared.raw() as link:
                link.send(whole[:at])
                time.sleep(0.001)
                link.send(whole[at:])
                assert status_of(link.answer()) == 101


def test_frames_right_behind_the_request(shared):
    with shared.attack(), shared.raw() as link:
        link.send(upgrade("/ws-parrot") + frame(TEXT, b"early"))
        head = link.answer()
        # Before the 101 it is a violation: taken or refused, but never as something else.
        assert status_of(head) in (101, None)
        assert link.message(1) in (b"early", None)


# ---- headers ------------------------------------------------------------------------------------

REFUSED = {  # name: (request, status, code in the body)
    "post": (upgrade("/ws-report", *AGENT, method="POST"), 400),
    "put": (upgrade("/ws-report", *AGENT, method="PUT"), 400),
    "version-8": (upgrade("/ws-report", *AGENT, version="8"), 426),
    "version-14": (upgrade("/ws-report", *AGENT, version="14"), 426),
    "version-013": (upgrade("/ws-report", *AGENT, version="013"), 426),
    "version-text": (upgrade("/ws-report", *AGENT, version="thirteen"), 426),
    "version-missing": (upgrade("/ws-report", *AGENT, version=None), 426),
    "two-hosts": (upgrade("/ws-report", *AGENT, "Host: other"), 400),
    "no-host": (upgrade("/ws-report", *AGENT, host=None), 400),
    "http-1.0": (upgrade("/ws-report", *AGENT, http="HTTP/1.0"), 400),
    "subprotocol": (upgrade("/ws-report", *AGENT, "Sec-WebSocket-Protocol: chat"), 400),
    "unknown-path": (upgrade("/ws-nothing", *AGENT), 404),
    "page-path": (upgrade("/", *AGENT), 404),
    "api-path": (upgrade("/api/statistics", *AGENT), 404),
    "path-below": (upgrade("/ws-report/x", *AGENT), 404),
    "path-case": (upgrade("/WS-REPORT", *AGENT), 404),
    "two-keys": (upgrade("/ws-report", *AGENT, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
    "short-key": (upgrade("/ws-report", *AGENT).replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhl"), 400),
    "with-body": (upgrade("/ws-report", *AGENT, "Content-Length: 5") + b"hallo", 400),
    "chunked": (upgrade("/ws-report", *AGENT, "Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "upgrade-h2c": (upgrade("/ws-report", *AGENT).replace(b"Upgrade: websocket", b"Upgrade: h2c"), 400),
}


@pytest.mark.parametrize("name", REFUSED)
def test_upgrades_refused_with_a_reason(shared, name):
    data, status = REFUSED[name]
    with shared.attack() as moved:
        answer = shared.talk(data, 6)
        assert status_of(answer) == status and b"Connection: close" in answer, answer
        assert answer.split(b"\r\n\r\n", 1)[1].startswith(b'{"code":"'), answer
        moved["core.upgrades_refused"] = 1


WRONG_AGENTS = {
    "no-headers": (), "no-secret": AGENT[:1], "no-id": AGENT[1:], "empty-secret": (AGENT[0], "X-AUTH-SECRET: "),
    "wrong-secret": (AGENT[0], "X-AUTH-SECRET: a-secret-of-the-tests-0124"), "unknown-id": ("X-SERVER-ID: nobody", AGENT[1]),
    "longer-secret": (AGENT[0], AGENT[1] + "4"), "long-secret": (AGENT[0], "X-AUTH-SECRET: " + "a" * 1500),
    "long-id": ("X-SERVER-ID: " + "a" * 1500, AGENT[1]), "query-instead": (),
}


@pytest.mark.parametrize("name", WRONG_AGENTS)
def test_wrong_credentials_get_401_before_the_upgrade(shared, name):
    with shared.attack("refused:") as moved:
        path = "/ws-report?X-SERVER-ID=demo&X-AUTH-SECRET=a-secret-of-the-tests-0123" if name == "query-instead" else "/ws-report"
        before = shared.counters()
        answer = shared.talk(upgrade(path, *WRONG_AGENTS[name]))
        assert status_of(answer) == 401 and b'"code":"unauthorized"' in answer, answer
        after = shared.counters()
        moved.update({k: 1 for k in after if after[k] - before.get(k, 0) == 1 and k.startswith("auth_static.")})
        moved.update({"server_status.agents_refused": 1, "core.upgrades_refused": 1})
        assert "a-secret-of-the-tests" not in shared.server.log


def test_header_names_in_any_case(shared):
    with shared.attack():
        for id, secret in (("x-server-id", "x-auth-secret"), ("X-Server-Id", "X-Auth-Secret"), ("X-SERVER-ID", "X-AUTH-SECRET")):
            with shared.raw().open("/ws-report", f"{id}: demo", f"{secret}:a-secret-of-the-tests-0123"):
                pass


# A request's line and headers have 16 kB in all. Beyond that the library ends the connection before it tells anybody.
LARGE = {
    "header-4k": "X-Long: " + "a" * 4096, "header-8k": "X-Long: " + "a" * 8192, "header-15k": "X-Long: " + "a" * 15000,
    "cookie-8k": "Cookie: " + "a" * 8192, "headers-500": "\r\n".join(f"X-{n}: {n}" for n in range(500)),
    "name-8k": "X" * 8192 + ": 1", "one-header-twice-4k": "\r\n".join(["X-Long: " + "a" * 4096] * 2),
}
TOO_LARGE = {"header-20k": "X-Long: " + "a" * 20000, "cookie-20k": "Cookie: " + "a" * 20000, "header-64k": "X-Long: " + "a" * 65536,
             "headers-5000": "\r\n".join(f"X-{n}: {n}" for n in range(5000)), "name-20k": "X" * 20000 + ": 1"}


def with_headers(kind, more):
    return upgrade("/ws-frontend", more) if kind == "upgrade" else request("GET / HTTP/1.1", "Host: t", "Connection: close", more)


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.parametrize("kind,status", (("upgrade", 101), ("page", 200)))
def test_large_headers(shared, name, kind, status):
    with shared.attack(grows=8), shared.raw() as link:
        link.send(with_headers(kind, LARGE[name]))
        head = link.answer(4)
        assert status_of(head) == status, head


@pytest.mark.parametrize("name", TOO_LARGE)
@pytest.mark.parametrize("kind", ("upgrade", "page"))
def test_too_large_headers(shared, name, kind):
    with shared.attack("is over 16384 bytes", grows=8, core__heads_too_large=1, core__requests_broken=1):
        began = time.monotonic()
        with shared.raw() as link:
            link.send(with_headers(kind, TOO_LARGE[name]))
            assert link.rest(4) == b"" and link.ended and time.monotonic() - began < 4


def test_too_large_headers_of_a_later_request(shared):
    with shared.attack("is over 16384 bytes", grows=8, core__heads_too_large=1), shared.raw() as link:
        link.send(request("GET /api/statistics HTTP/1.1", "Host: t"))
        assert status_of(link.answer(4)) == 200
        link.send(request("GET /api/statistics HTTP/1.1", "Host: t", TOO_LARGE["header-20k"]))
        link.rest(4)
        assert link.ended


@pytest.mark.parametrize("kind", ("upgrade", "page"))
def test_path_of_20_kb(shared, kind):
    path = "/ws-frontend" + "a" * 20000
    with shared.attack(grows=8, core__heads_too_large=1, core__requests_broken=1):
        assert shared.talk(upgrade(path) if kind == "upgrade" else request(f"GET {path} HTTP/1.1", "Host: t", "Connection: close")) == b""


@pytest.mark.parametrize("header", ("X-Auth: 1", "Accep: 1", "Hos: t", "Sec-WebSocket-Ke: 1", "Upgrad: 1", "X-Forwarded: 1", "O: 1", "Con: 1"))
def test_header_whose_name_begins_a_known_one(shared, header):
    """The library waits for ever for more of it: the time for a request ends that, or it works."""
    with shared.attack() as moved:
        began, before = time.monotonic(), shared.counters()
        with shared.raw() as link:
            link.send(upgrade("/ws-report", header, *AGENT))
            head = link.answer(5)
            if status_of(head) != 101:
                link.rest(4)
                assert link.ended and time.monotonic() - began < 4
        after = shared.counters()
        moved.update({k: 1 for k in ("core.requests_too_slow", "core.upgrades_refused", "server_status.agents_refused")
                      if after.get(k, 0) != before.get(k, 0)})


LF = upgrade("/ws-report", *AGENT).replace(b"\r\n", b"\n")
ODD = {"bare-lf": LF, "folded": upgrade("/ws-report", "X-A: 1\r\n 2", *AGENT), "no-colon": upgrade("/ws-report", "nonsense", *AGENT),
       "space-before-colon": upgrade("/ws-report", "X-A : 1", *AGENT), "nul": upgrade("/ws-report", "X-A: a\0b", *AGENT),
       "high-bytes": upgrade("/ws-report", "X-A: \xff\xfe", *AGENT), "absolute": upgrade("http://t/ws-report", *AGENT),
       "connection-list": upgrade("/ws-report", *AGENT).replace(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"),
       "upgrade-case": upgrade("/ws-report", *AGENT).replace(b"Upgrade: websocket", b"Upgrade: WebSocket"),
       "cr-only": upgrade("/ws-report", *AGENT).replace(b"\r\n", b"\r"), "tls": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\x41" * 600,
       "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 100, "junk": bytes(range(256)) * 8, "empty-lines": b"\r\n" * 500,
       "frames-without-upgrade": frame(TEXT, b"x" * 50) * 20}
GOOD = {"connection-list", "upgrade-case"}


@pytest.mark.parametrize("name", ODD)
def test_odd_requests(shared, name):
    """RFC-conforming ones work; of the rest the library takes some: an upgrade then works as any, or it is refused or cut in time."""
    with shared.attack() as moved:
        before, began = shared.counters(), time.monotonic()
        with shared.raw() as link:
            link.send(ODD[name])
            head = link.answer(5)
            assert status_of(head) == 101 or name not in GOOD, head
            if status_of(head) == 101:
                assert ACCEPT.encode() in head and name not in ("tls", "http2", "junk")
                link.send(frame(PING, b"p"))
                assert link.read()[2:] == (PONG, b"p")
            else:
                link.rest(4)
                assert link.ended and time.monotonic() - began < 5
        time.sleep(0.05)
        after = shared.counters()
        moved.update({k: True for k in after if after[k] != before.get(k, 0) and k.startswith(("core.", "server_status."))})
        assert set(moved) <= {"core.library_complaints", "core.requests_broken", "core.requests_too_slow", "core.upgrades_refused",
                              "server_status.agents_refused"}  # what came after the odd line was lost


# ---- who may come -------------------------------------------------------------------------------

ORIGINS = {"none": (None, True), "same": ("http://t", True), "same-port": ("http://t:80", True), "case": ("HTTP://T", True),
           "foreign": ("https://evil.example", False), "null": ("null", False), "empty": ("", None), "suffix": ("http://t.evil.example", False),
           "prefix": ("http://evilt", False), "user": ("http://t@evil.example", False), "other-port": ("http://t:8081", False),
           "path": ("http://evil.example/http://t", False), "no-scheme": ("t", False), "file": ("file://t", False), "javascript": ("javascript://t", False),
           "list": ("http://t, https://evil.example", False), "space": ("http://t https://evil.example", False),
           "fragment": ("https://evil.example#http://t", False), "query": ("https://evil.example?http://t", False), "long": ("http://" + "t" * 1500, False),
           "ipv6": ("http://[::1]", False), "backslash": ("http://evil.example\\t", False), "tab": ("http://t\tx", False)}


@pytest.mark.parametrize("path", ("/ws-frontend", "/api/console/live"))
@pytest.mark.parametrize("name", ORIGINS)
def test_origins(shared, path, name):
    origin, good = ORIGINS[name]
    with shared.attack() as moved:
        with shared.raw() as link:
            link.send(upgrade(path, *([] if origin is None else [f"Origin: {origin}"])))
            status = status_of(link.answer())
            assert status == 101 if good else status == 403 if good is False else status in (101, 403)
        if status == 403:
            moved["core.upgrades_refused"] = 1


def test_two_origins(shared):
    with shared.attack(core__upgrades_refused=2):
        for pair in (("http://t", "https://evil.example"), ("https://evil.example", "http://t")):
            assert status_of(shared.talk(upgrade("/ws-frontend", *[f"Origin: {o}" for o in pair]))) == 403


def test_programs_only_and_agents(shared):
    with shared.attack(core__upgrades_refused=1), shared.raw().open("/ws-report", "Origin: https://anything.example", *AGENT):
        assert status_of(shared.talk(upgrade("/ws-parrot", "Origin: http://t"))) == 403


def test_origins_of_the_listener(start):
    target = start()
    port = free_port()
    conf = target.server.conf.read_text().replace(target.server.listen, f'{target.server.listen}, {{ address = "127.0.0.1"; port = {port}; '
                                                  'origins = [ "https://status.example" ]; plugins = [ "server_status" ]; }')
    assert str(port) in conf
    target.server.reload(conf)
    target.server.logged("reloaded")
    for origin, path, status in (("https://status.example", "/ws-frontend", 101), ("https://STATUS.example", "/ws-frontend", 101),
                                 ("http://status.example", "/ws-frontend", 403), ("https://status.example.evil", "/ws-frontend", 403),
                                 ("https://status.example", "/api/console/live", 404)):  # not served there
        with Raw(port) as link:
            link.send(upgrade(path, f"Origin: {origin}"))
            assert status_of(link.answer()) == status, (origin, path)
    assert status_of(target.talk(upgrade("/ws-frontend", "Origin: https://status.example"))) == 403  # the other listener


FORGED = ("X-Forwarded-For: 198.51.100.7", "X-Forwarded-For: 198.51.100.7, 127.0.0.1", "Forwarded: for=198.51.100.7", "X-Real-IP: 198.51.100.7")


def test_forwarded_addresses_of_strangers_are_not_believed(shared):
    for header in FORGED:
        assert refused_address(shared.server, shared.raw, header) == "127.0.0.1"


def test_forwarded_addresses_of_trusted_proxies(start):
    target = start(limits='trusted_proxies = [ "127.0.0.9", "10.0.0.0/8" ]; max_connections_per_peer = 20; connects_per_second = 0;')
    for value, address in {"198.51.100.7": "198.51.100.7", "6.6.6.6, 198.51.100.7": "198.51.100.7", "198.51.100.7, 10.1.2.3": "198.51.100.7",
                           "2001:db8::1": "2001:db8::1", "::ffff:198.51.100.7": "198.51.100.7", "nonsense": "127.0.0.9",
                           "6.6.6.6, nonsense": "127.0.0.9", "198.51.100.7, ": "127.0.0.9", "<script>": "127.0.0.9"}.items():
        assert refused_address(target.server, lambda: target.raw(source="127.0.0.9"), f"X-Forwarded-For: {value}") == address, value
    assert refused_address(target.server, target.raw, "X-Forwarded-For: 198.51.100.7") == "127.0.0.1"  # not a proxy
    # A stranger cannot escape the limit by inventing addresses; a proxy is not limited itself.
    with target.attack("too many", core__connects_over_peer_limit=True, net__refused=True):
        kept = []
        for n in range(40):
            link = Raw(target.port)
            link.send(upgrade("/ws-frontend", f"X-Forwarded-For: 198.51.100.{n}"))
            kept.append(link)
        assert sum(status_of(link.answer()) == 101 for link in kept) <= 20
        close(kept)
        proxied = [Raw(target.port, "127.0.0.9").open("/ws-frontend", f"X-Forwarded-For: 198.51.100.{n}") for n in range(40)]
        close(proxied)


# ---- one id -------------------------------------------------------------------------------------


def test_the_newer_connection_of_an_id_wins(shared):
    with shared.attack("a newer connection"):
        links = [shared.agent()]
        for _ in range(20):
            links.append(shared.agent())
            assert links[-2].close_code() == 4009
        links[-1].send(frame(TEXT, json.dumps(documented())) + frame(PING, b"p"))
        assert links[-1].read()[2:] == (PONG, b"p")
        close(links)
