# SPDX-License-Identifier: ISC
"""musterd behind nginx, configured as docs/tls.md says: page, WebSockets, and whose address counts."""
import json
import re
import subprocess

import pytest
from conftest import ROOT, Server, entry, eventually, free_port
from hostile import PING, PONG, TEXT, Raw, closing, frame, refused_address, request, status_of, upgrade
from sessions import DIRS
from tls import Pair, Tls, context, dev_certificate

KEY = "a-key-of-the-tests-0123"
JWT = "a-signing-secret-of-the-tests-0123456789"


class Nginx:
    """nginx with the snippet of the documentation, its ports and files set to those of the test; it needs no privileges."""

    def __init__(self, folder, backend, pair, gate=""):  # `gate`: what is asked of everybody before anything is passed on
        text = (ROOT / "docs" / "tls.md").read_text()
        snippet = re.search(r"<!-- nginx -->\n```nginx\n(.*?)```", text, re.S)[1]
        self.port = free_port()
        for old, new in (("server 127.0.0.1:8900;", f"server 127.0.0.1:{backend};"), ("listen 443 ssl;", f"listen 127.0.0.1:{self.port} ssl;"),
                         ("/etc/muster/tls/fullchain.pem", str(pair.certificate)), ("/etc/muster/tls/privkey.pem", str(pair.key))):
            assert snippet.count(old) == 1, old
            snippet = snippet.replace(old, new)
        assert snippet.count("location / {") == 1
        snippet = snippet.replace("location / {", f"location / {{ {gate}")
        folder.mkdir()
        temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (folder / "nginx.conf").write_text(f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n"
                                           f"events {{ worker_connections 1000; }}\n"
                                           f"http {{ access_log off; {temporary}\n{snippet}\n}}\n")
        self.folder = folder
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-p", folder, "-c", folder / "nginx.conf"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        eventually(lambda: self.process.poll() is not None or self.answers())
        assert self.process.poll() is None, (folder / "error.log").read_text()

    def answers(self):
        try:
            Tls(self.port).s.close()
            return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        assert self.process.wait(10) == 0


def plugins(failures=5):
    users = f'users = ( {{ id = "ann"; name = "Ann"; api_keys = [ "{KEY}" ]; }} );'
    return [f'{{ name = "auth_static"; config = {{ servers = ( {entry("demo")} ); {users} }}; }}', '{ name = "machines"; }',
            '{ name = "server_status"; }', '{ name = "console"; }',
            f'{{ name = "session"; config = {{ jwt_secret = "{JWT}"; failed_auths_per_minute = {failures}; }}; }}', '{ name = "admin_push"; }']


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dev")
    dev_certificate(folder)
    return Pair(folder / "server.pem", folder / "server.key"), folder / "ca.pem"


@pytest.fixture
def behind(server, dev, tmp_path):
    """A function that starts a server and nginx in front of it."""
    started = []

    def start(trusted='"127.0.0.1"', limits="", **how):
        made = server(plugins=[*plugins(**how), '{ name = "rest_probe"; }'], more=f"{DIRS}\nlimits = {{ trusted_proxies = [ {trusted} ]; {limits} }};")
        front = Nginx(tmp_path / f"nginx{len(started)}", made.port, dev[0])
        started.append(front)
        return made, front

    yield start
    for front in started:
        front.stop()


def ask(port, message, *headers, link=None, path="/ws/session"):
    """The first answer of the session protocol to a message, over nginx; `link`: another connection."""
    with link or Tls(port) as made:
        made.open(path, *headers)
        made.send(frame(TEXT, json.dumps(message)))
        return json.loads(made.message())


def test_the_documented_proxy_passes_everything(behind, agent, dev):
    target, front = behind()
    with Tls(front.port, context(dev[1])) as link:
        link.send(request("GET / HTTP/1.1", f"Host: localhost:{front.port}", "Connection: close"))
        answer = link.rest()
        assert status_of(answer) == 200 and b"<html" in answer
    with Tls(front.port) as link:
        link.send(request("GET /api/probe/things/1 HTTP/1.1", f"Host: localhost:{front.port}", "Authorization: Bearer user:u", "Connection: close"))
        assert json.loads(link.rest().split(b"\r\n\r\n", 1)[1])["secure"] is True  # TLS is between the client and nginx
    # A page's WebSocket: its Origin is the proxy's name and port, and must be the page's own.
    for origin, status in ((f"https://localhost:{front.port}", 101), ("https://elsewhere.example", 403)):
        with Tls(front.port) as link:
            link.send(upgrade("/ws-frontend", f"Origin: {origin}", host=f"Host: localhost:{front.port}"))
            assert status_of(link.answer()) == status, origin
    # An agent over TLS reports, live, to who watches.
    made = agent(target, url=f"wss://localhost:{front.port}/ws-report", uplink=f'tls_ca_file = "{dev[1]}";')
    made.logged("connected to wss://")
    with Tls(front.port).open("/ws-frontend") as page:
        assert json.loads(page.message(10))["serverId"] == "demo"
    # The session protocol at both its paths.
    for path in ("/", "/ws/session"):
        answer = ask(front.port, {"type": "auth", "apiKey": KEY}, path=path)
        assert answer["type"] == "auth_success" and answer["userId"] == "ann"
    with Tls(front.port).open("/ws-frontend") as link:
        link.send(frame(PING, b"p"))
        while (got := link.read())[2] != PONG:
            assert got
        link.send(closing(1000))
        assert link.close_code(answer=False) == 1000


def test_whose_address_it_is(behind):
    target, front = behind('"127.0.0.1", "10.0.0.0/8", "2001:db8:77::/48"')
    real = "127.0.0.8"  # the client, as nginx sees it
    for forged in ([], ["X-Forwarded-For: 203.0.113.9"], ["X-Forwarded-For: 10.1.1.1, 203.0.113.9"], ["X-Forwarded-For: nonsense"],
                   ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-For: 203.0.113.10"], ["X-Real-IP: 203.0.113.9"],
                   ["Forwarded: for=203.0.113.9", "X-Forwarded-For: "]):
        assert refused_address(target, lambda: Tls(front.port, source=real), *forged) == real, forged
    # A second proxy in front of nginx, trusted too: then what it wrote counts.
    assert refused_address(target, lambda: Tls(front.port), "X-Forwarded-For: 203.0.113.9, 198.51.100.7") == "198.51.100.7"
    for written, address in {"198.51.100.7, 10.1.2.3": "198.51.100.7", "2001:DB8::0:5": "2001:db8::5", "[2001:db8::5]:4711": "2001:db8::5",
                             "203.0.113.9, 2001:db8:77::1": "203.0.113.9", "198.51.100.7:4711": "198.51.100.7", "::ffff:198.51.100.7": "198.51.100.7",
                             "10.1.2.3": "10.1.2.3", "198.51.100.7, nonsense": "127.0.0.1", "198.51.100.7, ": "127.0.0.1"}.items():
        assert refused_address(target, lambda: Tls(front.port), f"X-Forwarded-For: {written}") == address, written


def test_an_untrusted_proxy_is_the_client_itself(behind):
    target, front = behind('"192.0.2.1"')
    for headers in ([], ["X-Forwarded-For: 203.0.113.9"]):
        assert refused_address(target, lambda: Tls(front.port, source="127.0.0.8"), *headers) == "127.0.0.1"
    # Nor does going round the proxy help to become somebody else.
    assert refused_address(target, lambda: Raw(target.port), "X-Forwarded-For: 203.0.113.9") == "127.0.0.1"


WRONG = {"type": "auth", "apiKey": "a-wrong-key-of-the-tests"}


def test_failed_logins_count_for_the_client_behind_the_proxy(behind):
    target, front = behind('"127.0.0.1"', failures=3)

    def code(message, source, *headers):
        answer = ask(front.port, message, *headers, link=Tls(front.port, source=source))
        return answer.get("code", answer["type"])

    for n in range(3):
        assert code(WRONG, "127.0.0.8", f"X-Forwarded-For: 203.0.113.{n}") == "invalid_api_key"  # what it claims to be changes nothing
    assert code(WRONG, "127.0.0.8", "X-Forwarded-For: 203.0.113.200") == "rate_limited"
    assert code(WRONG, "127.0.0.9") == "invalid_api_key"  # another client of the same proxy is not held up
    assert code({"type": "auth", "apiKey": KEY}, "127.0.0.9") == "auth_success"


def test_failed_logins_of_ipv6_count_per_64(server):
    target = server(plugins=plugins(failures=2), more='limits = { trusted_proxies = [ "127.0.0.1" ]; };')

    def code(address):
        return ask(None, WRONG, f"X-Forwarded-For: {address}", link=Raw(target.port))["code"]

    assert [code(f"2001:db8:1:1::{n}") for n in range(1, 5)] == ["invalid_api_key", "invalid_api_key", "rate_limited", "rate_limited"]
    assert code("[2001:db8:1:1:ffff::1]:99") == "rate_limited"
    assert code("2001:db8:1:2::1") == "invalid_api_key"  # the next network


def test_many_through_one_proxy(behind):
    """More than the limit per address, at full speed: the proxy is not limited itself."""
    target, front = behind(limits="max_connections_per_peer = 10; connects_per_second = 5;")
    links = [Tls(front.port).open("/ws-frontend") for _ in range(150)]
    for link in links:
        link.send(frame(PING, b"p"))
        while (got := link.read())[2] != PONG:
            assert got
        link.s.close()
    assert "too many" not in target.log


# ---- a port for the session protocol ----------------------------------------------------------------


@pytest.mark.parametrize("with_tls", (False, True))
def test_the_sample_of_a_session_port(tmp_path, dev, with_tls):
    """etc/conf.d/session.conf.off as it is, renamed; only the port is the test's."""
    (tmp_path / "conf.d").mkdir(parents=True)
    sample = (ROOT / "etc" / "conf.d" / "session.conf.off").read_text()
    extra = free_port()
    for old, new in (("port = 5000;", f"port = {extra};"), ('"::"', '"127.0.0.1"')):
        assert sample.count(f"    {old}" if "port" in old else old) == 1
        sample = sample.replace(old, new, 1)
    if with_tls:
        sample = re.sub(r"#(tls = |certificate = |key = |\};)", r"\1", sample)
        sample = sample.replace("/etc/muster/tls/fullchain.pem", str(dev[0].certificate)).replace("/etc/muster/tls/privkey.pem", str(dev[0].key))
    (tmp_path / "conf.d" / "session.conf").write_text(sample)
    (tmp_path / "conf.d" / "session.conf").chmod(0o600)
    target = Server(tmp_path, plugins()[:4], env={"JWT_SECRET": JWT})  # without session and admin_push: they are the sample's
    try:
        connect = Tls if with_tls else Raw
        # Everything of the session protocol works on the new port, an admin's list of machines included ...
        answer = ask(None, {"type": "auth", "apiKey": KEY, "machineId": "m1"}, link=connect(extra), path="/")
        assert answer["type"] == "auth_success" and answer["machineId"] == "m1"
        token = ask(None, {"type": "auth", "apiKey": KEY, "scope": "admin"}, link=connect(extra), path="/")["sessionToken"]
        with connect(extra) as link:
            link.open("/ws/session")
            link.send(frame(TEXT, json.dumps({"type": "admin_connect", "token": token})))
            assert json.loads(link.message())["type"] == "admin_success"
            listed = json.loads(link.message())
            assert listed["type"] == "machine_list" and [machine["machineId"] for machine in listed["machines"]] == ["m1"]
        # ... and nothing else is served there.
        for data, status in ((upgrade("/ws-frontend"), 404), (request("GET / HTTP/1.1", "Host: t", "Connection: close"), 404),
                             (request("GET /api/statistics HTTP/1.1", "Host: t", "Connection: close"), 404)):
            with connect(extra) as link:
                link.send(data)
                assert status_of(link.answer()) == status, data
        # The first listener serves all, the session protocol as well.
        assert ask(None, {"type": "auth", "apiKey": KEY}, link=Raw(target.port))["type"] == "auth_success"
        with Raw(target.port) as link:
            link.open("/ws-frontend")
    finally:
        target.stop()
