# SPDX-License-Identifier: ISC
"""TLS on both sides: what is spoken, what is refused and why, and certificates that change while everybody is connected."""
import os
import re
import signal
import socket
import ssl
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import BUILD, SANITIZED, SECRET, Program, eventually, free_port, static_plugins
from hostile import PING, PONG, Raw, frame, request, status_of
from processor import starved
from tls import Listener, Pair, Tls, context, dev_certificate, run, self_signed

GET = request("GET / HTTP/1.1", "Host: localhost", "Connection: close")

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")  # that is the point


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    """A folder with a development certificate."""
    folder = tmp_path_factory.mktemp("dev")
    dev_certificate(folder)
    return folder


def pair_of(folder):
    return Pair(folder / "server.pem", folder / "server.key")


def listen(*places):
    """(port, pair or None), …"""
    return ", ".join(f'{{ address = "127.0.0.1"; port = {port}; {pair.conf if pair else ""} }}' for port, pair in places)


@pytest.fixture
def secure(server, dev):
    """A function that starts a server with TLS and, at .plain, a port without."""

    def start(pair=None, limits="connects_per_second = 0;", **how):
        port, plain = free_port(), free_port()
        made = server(listen=listen((port, pair or pair_of(dev)), (plain, None)), port=port, more=f"limits = {{ {limits} }};", **how)
        made.plain = plain
        return made

    return start


def talk(link, data=GET, timeout=10):
    with link:
        link.send(data)
        return link.rest(timeout)


# ---- the script -----------------------------------------------------------------------------------


def names_of(pair):
    shown = run("openssl", "x509", "-in", pair.certificate, "-noout", "-ext", "subjectAltName")
    return set(re.sub(r"IP Address:|DNS:|\s", "", shown.split(":", 1)[1].split("\n", 1)[1]).split(","))


def test_dev_certificate(tmp_path):
    folder = tmp_path / "a folder"
    said = dev_certificate(folder, "muster.example", "192.0.2.7")
    ca, pair = folder / "ca.pem", pair_of(folder)
    for key in (folder / "ca.key", pair.key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert names_of(pair) >= {"localhost", "127.0.0.1", "0:0:0:0:0:0:0:1", "muster.example", "192.0.2.7"}
    text = run("openssl", "x509", "-in", pair.certificate, "-noout", "-text")
    assert "prime256v1" in text and "CA:FALSE" in text and "TLS Web Server Authentication" in text
    run("openssl", "verify", "-x509_strict", "-CAfile", ca, "-verify_hostname", "muster.example", pair.certificate)
    run("openssl", "x509", "-in", pair.certificate, "-noout", "-checkend", str(396 * 86400))
    assert f'tls = {{ certificate = "{pair.certificate}"; key = "{pair.key}"; }};' in said and f'tls_ca_file = "{ca}";' in said
    # Again: the authority stays, so do the names; the certificate and its key are new.
    before = {path: path.read_bytes() for path in folder.iterdir()}
    dev_certificate("--days", "90", folder)
    assert {path.name for path in folder.iterdir()} == {"ca.pem", "ca.key", "server.pem", "server.key"}
    assert {path.name for path in folder.iterdir() if path.read_bytes() == before[path]} == {"ca.pem", "ca.key"}
    assert names_of(pair) >= {"muster.example", "192.0.2.7"}
    run("openssl", "verify", "-CAfile", ca, pair.certificate)
    run("openssl", "x509", "-in", pair.certificate, "-noout", "-checkend", str(91 * 86400), status=1)
    dev_certificate(folder, "other.example")
    assert "other.example" in names_of(pair) and "muster.example" not in names_of(pair)


def test_dev_certificates_made_at_once(tmp_path):
    """Whoever comes first makes the authority; what is left fits together, and nobody fails."""
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda n: dev_certificate(tmp_path, f"n{n}.example"), range(4)))
    assert sum("New authority" in each for each in said) == 1
    for name in ("ca", "server"):
        of_key = run("openssl", "pkey", "-in", tmp_path / f"{name}.key", "-pubout")
        assert run("openssl", "x509", "-in", tmp_path / f"{name}.pem", "-noout", "-pubkey") == of_key
    run("openssl", "verify", "-CAfile", tmp_path / "ca.pem", tmp_path / "server.pem")


def test_dev_certificate_says_what_is_wrong(tmp_path):
    assert "Usage:" in dev_certificate("--help")
    for arguments in ((), ("--days", "30", tmp_path), ("--days", "398", tmp_path), ("--days", "x", tmp_path), ("--frobnicate", tmp_path)):
        assert "Usage:" in dev_certificate(*arguments, status=2)
    for name in ("a b", "a,DNS:b", "a\nb", "-x", "$(id)", "", "a*"):
        assert "neither a host name nor an address" in dev_certificate(tmp_path, name, status=1)
    dev_certificate(tmp_path, "192.0.2.300", status=1)
    assert not (tmp_path / "server.pem").exists() and not list(tmp_path.glob(".new*"))
    (tmp_path / "ca.key").unlink(missing_ok=True)
    (tmp_path / "ca.pem").write_text("")
    assert "only one of" in dev_certificate(tmp_path, status=1)


# ---- what is spoken -------------------------------------------------------------------------------


def test_versions_ciphers_and_alpn(secure, dev):
    target = secure()
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        link = Tls(target.port, context(dev / "ca.pem", version, version))
        assert link.s.version() == {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}[version]
        assert status_of(talk(link)) == 200
    old = dict(ciphers="ALL:@SECLEVEL=0", lowest=ssl.TLSVersion.TLSv1)
    for refused, ctx, why in (("TLS 1.1", context(highest=ssl.TLSVersion.TLSv1_1, **old), "knows no TLS 1.2 or newer"),
                              ("TLS 1.0", context(highest=ssl.TLSVersion.TLSv1, **old), "knows no TLS 1.2 or newer"),
                              ("CBC", context(highest=ssl.TLSVersion.TLSv1_2, ciphers="ECDHE-ECDSA-AES128-SHA256"), "knows no cipher")):
        time.sleep(1.05)  # its line is not to be left out
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            Tls(target.port, ctx)
        target.logged(f"127.0.0.1: TLS handshake failed: the client {why}")
    for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None), (["http/1.1"], "http/1.1"), ([], None)):
        link = Tls(target.port, context(alpn=offered))
        assert link.s.selected_alpn_protocol() == chosen
        assert status_of(talk(link)) == 200


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_nothing_is_resumed(secure, version):
    """A ticket would let a client in, unseen, under a certificate that has been replaced."""
    target, ctx = secure(), context(lowest=version, highest=version)
    first = Tls(target.port, ctx)
    assert status_of(talk_open(first)) == 200
    session = first.s.session
    first.s.close()
    assert session is None or not session.has_ticket
    again = Tls(target.port, ctx, session=session)
    assert status_of(talk_open(again)) == 200
    assert not again.s.session_reused
    again.s.close()


def talk_open(link):
    link.send(GET)
    return link.rest()


def test_the_wrong_language_is_refused_and_said(secure):
    target = secure()
    hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\x41" * 600
    for port, data, said in ((target.port, GET, "127.0.0.1: TLS handshake failed: this port speaks TLS, and plain HTTP came"),
                             (target.port, b"\0" * 100, "127.0.0.1: TLS handshake failed: this port speaks TLS, and something else came"),
                             (target.plain, hello, "127.0.0.1: ended without a whole HTTP request: headers too large, another protocol, or TLS")):
        time.sleep(1.05)
        with Raw(port) as link:
            link.send(data)
            answer = link.rest(5)
            assert link.ended and status_of(answer) in (None, 403) and b"200 OK" not in answer
        target.logged(said)
    with pytest.raises((ssl.SSLError, ConnectionResetError)):
        Tls(target.plain)
    assert status_of(talk(Tls(target.port))) == 200 and status_of(talk(Raw(target.plain))) == 200


def test_who_has_reset_already_is_named(secure):
    """The server stands still, so that bytes and reset are both there when it accepts: the system no longer tells the address."""
    target = secure()
    os.kill(target.process.pid, signal.SIGSTOP)
    with Raw(target.port, source="127.0.0.9") as link:
        link.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        link.send(b"\0" * 100)
    os.kill(target.process.pid, signal.SIGCONT)
    target.logged("127.0.0.9: TLS handshake failed: ")


def test_each_listener_has_its_own_certificate(server, dev, tmp_path):
    other = self_signed(tmp_path, "other", names=("other.example",))
    ports = free_port(), free_port()
    target = server(listen=listen((ports[0], pair_of(dev)), (ports[1], other)), port=ports[0])
    assert Tls(ports[0], context(dev / "ca.pem")).shown == pair_of(dev).der
    assert Tls(ports[1], context(other.certificate), name="other.example").shown == other.der
    for name in ("other.example", "localhost", "nobody.example"):  # the name asked for changes nothing
        assert Tls(ports[0], name=name).shown == pair_of(dev).der and Tls(ports[1], name=name).shown == other.der
    # Certificates change places with their listeners.
    target.reload(target.text(static_plugins()).replace(target.listen, listen((ports[0], other), (ports[1], pair_of(dev)))))
    eventually(lambda: Tls(ports[0]).shown == other.der and Tls(ports[1]).shown == pair_of(dev).der)


def test_half_a_handshake_is_cut_and_holds_up_nobody(secure):
    target = secure(limits="header_timeout = 5.0; connects_per_second = 0;")
    hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\x41" * 200
    began = time.monotonic()
    links = [Raw(target.port) for _ in range(200)]
    for n, link in enumerate(links):
        link.send(hello[:n % 3 * 100])  # nothing, half, more
    worst = 0
    for _ in range(10):
        asked, waited = time.monotonic(), starved(target.pid, "self")
        assert status_of(talk(Tls(target.port))) == 200
        worst = max(worst, time.monotonic() - asked - (starved(target.pid, "self") - waited))
    assert worst < 1, worst
    assert not any(link.more(0.001) or link.ended for link in links), "they were cut before they could hold anybody up"
    for link in links:
        link.rest(10)
        assert link.ended
        link.s.close()
    assert time.monotonic() - began < (20 if SANITIZED else 12)
    target.logged("127.0.0.1: no request within 5 s")


def test_a_key_that_everybody_can_read_is_a_warning(secure, tmp_path):
    pair = self_signed(tmp_path, "loose")
    pair.key.chmod(0o644)
    target = secure(pair)
    target.logged(f"{pair.key} can be read or written by everybody")
    assert status_of(talk(Tls(target.port))) == 200
    pair.key.chmod(0o640)  # a group for keys is good practice
    assert "everybody" not in run(BUILD / "bin" / "musterd", "--check-config", "-c", target.conf)


# ---- certificates that change -----------------------------------------------------------------------


@pytest.mark.slow
def test_reload_under_load(secure, tmp_path):
    """200 connected, others coming all the time, 20 new certificates, EC and RSA in turn: nobody is lost, nobody sees an old one."""
    pairs = [self_signed(tmp_path / "new", f"c{n}", rsa=n % 2 == 1) for n in range(21)]
    live = Pair(tmp_path / "live.pem", tmp_path / "live.key")
    live.take(pairs[0])
    target = secure(live)
    idle = [Tls(target.port).open("/ws-frontend") for _ in range(200)]
    ders = [pair.der for pair in pairs]
    at, wrong, seen, stop = [0], [], [0], threading.Event()

    def come():
        while not stop.is_set():
            oldest = at[0]
            try:
                link = Tls(target.port)
                shown = ders.index(link.shown)
                if shown < oldest:
                    wrong.append(f"certificate {shown} after {oldest}")
                if status_of(talk(link)) != 200:
                    wrong.append("no answer")
                seen[0] += 1
            except Exception as error:  # whatever it is: nobody may notice
                wrong.append(repr(error))

    coming = [threading.Thread(target=come) for _ in range(4)]
    for thread in coming:
        thread.start()
    try:
        for n in range(1, 21):
            live.take(pairs[n])
            target.reload()
            eventually(lambda: target.log.count(f"{live.certificate}: the new certificate is in use") == n, 20)
            at[0] = n
            assert Tls(target.port).shown == ders[n]
    finally:
        stop.set()
        for thread in coming:
            thread.join(20)
    assert not wrong, wrong[:5]
    assert seen[0] >= 40
    for link in idle:
        link.send(frame(PING, b"still here"))
        while (got := link.read(10))[2] != PONG:
            assert got[2] != 8, "it was closed"
        assert got[3] == b"still here"
        link.s.close()


def break_mismatch(live, other):
    live.key.write_bytes(other.key.read_bytes())
    return live.key, "is not the key of"


def break_text(live, other):
    live.certificate.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    return live.certificate, "holds no certificate in PEM form"


def break_empty_key(live, other):
    live.key.write_text("")
    return live.key, "holds no private key"


def break_missing(live, other):
    live.key.unlink()
    return live.key, "No such file or directory"


def break_chain(live, other):
    live.certificate.write_text(live.certificate.read_text() + "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    return live.certificate, "certificate 2 in it is broken"


def break_expired(live, other):
    live.take(self_signed(live.key.parent / "old", "old", begins=-10, ends=-1))
    return live.certificate, "has expired"


def break_early(live, other):
    live.take(self_signed(live.key.parent / "early", "early", begins=1, ends=10))
    return live.certificate, "is not valid yet"


@pytest.mark.parametrize("spoil", (break_mismatch, break_text, break_empty_key, break_missing, break_chain, break_expired, break_early))
def test_a_broken_certificate_is_refused_and_the_old_one_stays(secure, tmp_path, spoil):
    first, second = self_signed(tmp_path / "a", "first"), self_signed(tmp_path / "b", "second")
    live = Pair(tmp_path / "live.pem", tmp_path / "live.key")
    live.take(first)
    target = secure(live)
    link = Tls(target.port).open("/ws-frontend")
    path, why = spoil(live, second)
    target.reload()
    target.logged("what ran before goes on")
    assert any(str(path) in line and why in line for line in target.log.splitlines()), target.log
    assert Tls(target.port).shown == first.der
    said = run(BUILD / "bin" / "musterd", "--check-config", "-c", target.conf, status=78)
    assert str(path) in said and why in said
    live.take(second)
    target.reload()
    target.logged(f"{live.certificate}: the new certificate is in use, valid until 20")
    assert Tls(target.port).shown == second.der
    link.send(frame(PING, b"x"))
    assert link.read()[2:] == (PONG, b"x")
    link.s.close()


def test_the_whole_chain_is_shown(secure, dev, tmp_path):
    ca = Pair(dev / "ca.pem", dev / "ca.key")
    pair = self_signed(tmp_path, "leaf", ca=ca)
    pair.certificate.write_bytes(pair.certificate.read_bytes() + ca.certificate.read_bytes())
    target = secure(pair)
    shown = run("openssl", "s_client", "-connect", f"127.0.0.1:{target.port}", "-showcerts")
    assert shown.count("BEGIN CERTIFICATE") == 2
    assert Tls(target.port, context(dev / "ca.pem")).shown == pair.der


# ---- agents ---------------------------------------------------------------------------------------


def uplink(instance, url, more=""):
    return (f'{{ name = "server_status"; instance = "{instance}"; config = {{ url = "{url}/ws-report"; server_id = "{instance}"; '
            f'secret = "{SECRET}"; {more} }}; }}')


@pytest.mark.slow
def test_agents_refuse_what_they_cannot_trust(dev, tmp_path):
    """Each says why, and tries again; with tls_insecure one goes through, and says that too."""
    dev_certificate(tmp_path / "stranger")
    ca, stranger = (Pair(folder / "ca.pem", folder / "ca.key") for folder in (dev, tmp_path / "stranger"))
    rows = {  # instance: server, what the agent says
        "expired": (Listener(self_signed(tmp_path, "expired", begins=-10, ends=-1, ca=ca)), "certificate has expired, or the clock here is wrong"),
        "early": (Listener(self_signed(tmp_path, "early", begins=5, ends=10, ca=ca)), "certificate is not valid yet"),
        "name": (Listener(self_signed(tmp_path, "name", names=("other.example",), ca=ca)), "certificate is for another name"),
        "unknown": (Listener(self_signed(tmp_path, "unknown", ca=stranger)), "the authority of the server's certificate is not known here"),
        "alone": (Listener(self_signed(tmp_path, "alone")), "the server's certificate is self-signed and not known here"),
        "old": (Listener(self_signed(tmp_path, "old", ca=ca), highest=ssl.TLSVersion.TLSv1_1), "the server knows no TLS 1.2 or newer"),
    }
    through = Listener(self_signed(tmp_path, "through", begins=-10, ends=-1, names=("other.example",)))
    uplinks = [uplink(name, f"wss://127.0.0.1:{row[0].port}", f'tls_ca_file = "{ca.certificate}";') for name, row in rows.items()]
    uplinks.append(uplink("through", f"wss://127.0.0.1:{through.port}", "tls_insecure = true;"))
    program = Program("muster-agent", tmp_path, f'collectors = ( {{ name = "cpu"; }} );\nuplinks = ( {", ".join(uplinks)} );\n')
    try:
        for name, (at, why) in rows.items():
            eventually(lambda: at.came >= 2 or not program.alive(), 30)  # it keeps trying
            assert program.alive()
            lines = [line for line in program.log.splitlines() if f" {name}: no link to wss://127.0.0.1:{at.port}/" in line]
            assert lines and all("TLS handshake failed: " in line and why in line for line in lines), (name, program.log)
            assert not at.said, f"{name}: it spoke to a server that it should not trust"
        eventually(lambda: through.said)
        assert through.said[0].startswith(b"GET /ws-report ")
        assert "through: tls_insecure: the certificate of 127.0.0.1 is NOT verified" in program.log
        program.stop()
    finally:
        if program.alive():
            program.process.kill()
        for at in [through, *(row[0] for row in rows.values())]:
            at.stop()


@pytest.mark.parametrize("host", ("localhost", "127.0.0.1", "[::1]"))
def test_agents_over_tls(server, agent, dev, host):
    port = free_port()
    places = ", ".join(f'{{ address = "{address}"; port = {port}; {pair_of(dev).conf} }}' for address in ("127.0.0.1", "::1"))
    target = server(listen=places, port=port)
    made = agent(target, url=f"wss://{host}:{port}/ws-report", uplink=f'tls_ca_file = "{dev / "ca.pem"}";')
    made.logged("connected to wss://")
    assert "TLS handshake failed" not in made.log + target.log and "libwebsockets" not in made.log + target.log


@pytest.mark.parametrize("names", (("localhost", "127.0.0.1"), ("::2",), ("[",), ()))
def test_an_ipv6_address_must_be_in_the_certificate(server, agent, tmp_path, names):
    pair = self_signed(tmp_path, "elsewhere", names=names or ("x",))
    port = free_port()
    target = server(listen=f'{{ address = "::1"; port = {port}; {pair.conf} }}', port=port)
    made = agent(target, url=f"wss://[::1]:{port}/ws-report", uplink=f'tls_ca_file = "{pair.certificate}";')
    made.logged("TLS handshake failed: the server's certificate is for another name")
    assert "connected" not in made.log


# ---- memory ---------------------------------------------------------------------------------------


def private_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(re.search(r"Private_Dirty:\s+(\d+) kB", rollup.read())[1])


@pytest.mark.slow
@pytest.mark.skipif(SANITIZED, reason="sanitizers have memory of their own")
def test_memory_of_an_idle_connection(secure, capsys):
    target = secure(limits="connects_per_second = 0; max_connections_per_peer = 0;")
    links = [Tls(target.port).open("/ws-frontend") for _ in range(100)]  # what is taken once is taken
    before = private_kb(target.pid)
    links += [Tls(target.port).open("/ws-frontend") for _ in range(700)]
    each = (private_kb(target.pid) - before) / 700
    for link in links:
        link.s.close()
    with capsys.disabled():
        print(f"\nidle TLS connection: {each:.1f} KB")
    assert each <= 19
