# SPDX-License-Identifier: ISC
"""muster-agent over the session protocol: who it is, what it sends, what it keeps, and how it ends."""
import asyncio
import os
import re
import signal
import subprocess
import time

import pytest

import sessions
from conftest import BUILD, SANITIZED, eventually, free_port, get
from processor import starved
from sessions import DIRS, KEY, SECOND_KEY, machines, steer
from uplinks import Agent, Peer, configuration, save

KEEPER = '{ name = "keeper"; }'
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def start(server):
    def begin(auth=None, session="", **how):
        port = how.pop("port", None)
        return server(plugins=sessions.plugins(auth, session, **how), more=DIRS, port=port)
    return begin


@pytest.fixture
def agent(tmp_path):
    """A function that starts agents; all that still run must stop well, and none may have written a secret."""
    running = []

    def begin(url, **how):
        made = Agent(tmp_path / f"agent{len(running)}", url, **how)
        running.append(made)
        return made

    yield begin
    for made in running:
        if made.process.returncode is None:
            made.stop()
        for secret in (KEY, SECOND_KEY, "token.of.test", "typed-key", "wrong-key-0123"):
            assert secret not in made.log, made.log


def live(server, key=KEY):
    return eventually(lambda: {i: m for i, m in machines(server, key).items() if m["status"] == "online" and m["metrics"]}, 20)


# ---- with the real server -----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "/", "/ws/session"])
def test_a_machine_is_live(start, agent, path):
    s = start()
    a = agent(s.ws + path, key=KEY)
    (id, machine), = live(s).items()
    assert UUID.fullmatch(id)
    if os.path.exists("/etc/machine-id"):
        assert id.replace("-", "") != open("/etc/machine-id").read().strip()
    assert machine["userId"] == "alice" and machine["hostname"] == machine["name"] == os.uname().nodename
    assert machine["ip"] == "127.0.0.1" and machine["cpu"] == os.sysconf("SC_NPROCESSORS_ONLN") and machine["os"] == "linux"
    assert machine["ram"] > 1 << 20 and set(machine["metrics"]) >= {"cpu", "memory", "system", "agent"}
    before = machine["metrics"]["system"]["uptime"]
    eventually(lambda: live(s)[id]["metrics"]["system"]["uptime"] > before, 10)
    a.stop()
    eventually(lambda: machines(s)[id]["status"] == "offline")
    assert "agent ends" not in a.log


def test_names_and_ids_of_its_own(start, agent):
    s = start()
    agent(s.ws, key=KEY, more='name = "Nice \\"name\\""; machine_id = "web-1"; public = true;')
    (id, machine), = live(s).items()
    assert id == "web-1" and machine["name"] == 'Nice "name"' and machine["hostname"] == os.uname().nodename


def test_public_machines_are_on_the_page(server, agent):
    s = server(plugins=[*sessions.plugins(), '{ name = "server_status"; }'], more=DIRS)
    agent(s.ws, key=KEY, more='machine_id = "open"; public = true;')
    agent(s.ws, key=SECOND_KEY, more='machine_id = "closed";')
    eventually(lambda: len(live(s)) == 2)
    assert [m["id"] for m in get(s.http + "/api/server/statusInfo")["data"]] == ["open"]


def test_it_comes_back_with_its_session(start, agent):
    port = free_port()
    s = start(port=port)
    a = agent(s.ws, key=KEY)
    id, = live(s)
    s.stop()
    a.logged("no link to")
    s = start(port=port)
    a.logged("by its session", 20)
    assert set(live(s)) == {id}


def test_a_new_server_secret_means_the_key_again(start, agent):
    port = free_port()
    s = start(port=port)
    a = agent(s.ws, key=KEY)
    live(s)
    s.stop()
    start(port=port, secret="another-secret-of-the-session-tests-0123")
    a.logged("the session is over (token_invalid)", 20)
    eventually(lambda: a.log.count("with the API key: user alice") == 2)


def test_a_refused_key_is_forgotten(start, agent, tmp_path):
    s = start()
    file = save(tmp_path / "keys", f"127.0.0.1:{s.port}", "wrong-key-0123")
    other = save(tmp_path / "keys", "127.0.0.1:1", "other-key-0123")
    a = agent(s.ws, keys=tmp_path / "keys")
    assert a.ended() == 77 and not file.exists() and other.exists()
    assert "does not know the API key" in a.log


def test_a_refused_configured_key(start, agent, tmp_path):
    s = start()
    file = save(tmp_path / "keys", f"127.0.0.1:{s.port}", KEY)
    assert agent(s.ws, key="wrong-key-0123", keys=tmp_path / "keys").ended() == 77
    assert file.exists()  # it was another one


def test_a_saved_key_serves(start, agent, tmp_path):
    s = start()
    file = save(tmp_path / "keys", f"127.0.0.1:{s.port}", KEY)
    agent(s.ws, keys=tmp_path / "keys")
    live(s)
    assert file.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_saved_key_that_others_may_read_is_not_used(start, agent, tmp_path, mode):
    s = start()
    save(tmp_path / "keys", f"127.0.0.1:{s.port}", KEY, mode)
    a = agent(s.ws, keys=tmp_path / "keys")
    assert a.ended() == 78 and "chmod 600" in a.log and "there is no API key" in a.log


def test_a_service_without_a_key_ends(start, agent):
    a = agent(start().ws)
    assert a.ended() == 78 and "there is no API key" in a.log


def test_a_deleted_machine(start, agent, tmp_path):
    s = start(more=[KEEPER])
    file = save(tmp_path / "keys", f"127.0.0.1:{s.port}", KEY)
    a = agent(s.ws, keys=tmp_path / "keys", more='machine_id = "gone";')
    live(s)
    steer(s, "keeper", remove="gone")
    assert a.ended() == 79 and not file.exists() and "this machine was deleted" in a.log
    # It stays so: with a key in the configuration, too.
    b = agent(s.ws, key=KEY, more='machine_id = "gone";')
    assert b.ended() == 79 and "the saved API key" not in b.log


def test_two_agents_with_one_id(start, agent):
    s = start()
    first = agent(s.ws, key=KEY, more='machine_id = "twin";')
    live(s)
    second = agent(s.ws, key=KEY, more='machine_id = "twin";')
    first.logged("another agent reports as this machine (machine_id twin)")
    wait = float(re.search(r"this link was closed; next try in (\d+) s", first.log).group(1))
    assert 300 <= wait <= 361
    live(s)
    assert second.alive() and "another agent" not in second.log


@pytest.mark.slow
def test_stored_samples_are_sent_once_and_all(start, agent):
    """A server that is gone for a while: what was measured meanwhile comes, in order, without a hole."""
    port = free_port()
    s = start(more=[KEEPER], port=port)
    a = agent(s.ws, key=KEY)
    eventually(lambda: len(steer(s, "keeper")) >= 3, 20)
    os.kill(a.pid, signal.SIGSTOP)  # nothing comes between what is looked at and the end
    before = steer(s, "keeper")
    s.stop()
    os.kill(a.pid, signal.SIGCONT)
    time.sleep(2)
    s = start(more=[KEEPER], port=port)
    a.logged("by its session", 20)
    eventually(lambda: len(steer(s, "keeper")) >= 12, 20)
    after = steer(s, "keeper")
    assert len({k["boot"] for k in before + after}) == 1
    numbers = [k["seq"] for k in after]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert numbers[0] <= before[-1]["seq"] + 1
    assert "dropped" not in a.log


@pytest.mark.slow
def test_what_is_not_acknowledged_is_sent_again(start, agent):
    s = start(more=[KEEPER])
    steer(s, "keeper", hold=1)
    a = agent(s.ws, key=KEY, more='machine_id = "m";')
    eventually(lambda: len(steer(s, "keeper")) >= 4, 20)
    sessions.agent(s, KEY, machineId="n")  # another machine is none of its business
    held = steer(s, "keeper")
    assert [k["seq"] for k in held if k["boot"] == held[0]["boot"]] == list(range(1, len(held) + 1))
    steer(s, "keeper", hold=0)
    a.stop()


# ---- with a server that tests steer --------------------------------------------------------------


def run(coroutine):
    asyncio.run(coroutine)


def test_what_it_says_first(agent):
    async def body():
        async with Peer() as peer:
            began, waited = time.monotonic(), starved("self")
            a = agent(peer.url + "/?x=y", key=KEY, more='name = "Me"; machine_id = "m-1";')
            await peer.until(lambda: len(peer.of("data")) >= 2)
            first = peer.of("data")[0]
            waited = starved(a.pid, "self") - waited
            assert SANITIZED or first["at"] - began - waited < 3
            auth, info = peer.heard[0], peer.heard[1]
            assert {k: auth[k] for k in auth if k not in ("link", "at")} == {"type": "auth", "apiKey": KEY, "machineId": "m-1", "name": "Me"}
            assert info["type"] == "system_info" and info["at"] - auth["at"] - waited < 2.5
            assert info["ip"] == "127.0.0.1" and info["cpu"] == os.sysconf("SC_NPROCESSORS_ONLN") and info["ram"] > 1 << 20
            assert info["hostname"] == os.uname().nodename and info["kernel"] == os.uname().release and info["public"] is False
            assert info["collectors"] == ["cpu", "memory", "system"] and info["agentVersion"]
            assert [d["seq"] for d in peer.of("data")][:2] == [1, 2] and re.fullmatch("[0-9a-f]{32}", first["boot"])
            assert abs(first["timestamp"] / 1000 - time.time()) < 60 and "percent" in first["metrics"]["cpu"]
            assert peer.paths == ["/?x=y"] and len(peer.of("system_info")) <= 2
            await peer.say(peer.links[0], "ping")
            await peer.until(lambda: peer.of("pong"))
            a.stop()
            await peer.until(lambda: peer.closes)
            assert peer.closes == [1001]
    run(body())


def test_an_expired_session_falls_back_to_the_key(agent):
    async def script(peer, link, message):
        if message["type"] == "auth" and "sessionToken" in message:
            await peer.fail(link, "token_expired", retryable=False)
            return True

    async def body():
        async with Peer(script) as peer:
            agent(peer.url, key=KEY)
            await peer.until(lambda: peer.of("data"))
            await peer.links[0].close(1011)
            await peer.until(lambda: peer.of("data", 1))
            assert [sorted(set(m) & {"apiKey", "sessionToken"}) for m in peer.of("auth")] == [["apiKey"], ["sessionToken"], ["apiKey"]]
            assert [m["link"] for m in peer.of("auth")] == [0, 1, 1] and peer.of("auth")[1]["sessionToken"] == "token.of.test"
    run(body())


@pytest.mark.parametrize("code", ["unavailable", "rate_limited", "machine_limit"])
@pytest.mark.parametrize("closes", [True, False])
def test_not_now_keeps_the_key(agent, tmp_path, code, closes):
    async def script(peer, link, message):
        if message["type"] == "auth" and len(peer.of("auth")) <= 2:
            await peer.fail(link, code, 1013 if closes else None, retryable=True, retryAfter=1)
            return True

    async def body():
        async with Peer(script) as peer:
            file = save(tmp_path / "keys", peer.name, KEY)
            agent(peer.url, keys=tmp_path / "keys")
            await peer.until(lambda: peer.of("data"))
            times = [m["at"] for m in peer.of("auth")]
            assert len(times) == 3 and all(0.95 < b - a < 4 for a, b in zip(times, times[1:]))
            assert all(m["apiKey"] == KEY for m in peer.of("auth")) and file.exists()
    run(body())


@pytest.mark.parametrize("code,message", [("invalid_api_key", "Invalid API Key"), (None, "Invalid API Key"), ("forbidden", "no")])
def test_refusals_of_all_servers(agent, code, message):
    async def script(peer, link, _):
        await peer.say(link, "auth_failed", message=message, **({"code": code} if code else {}))
        await link.close(4002)
        return True

    async def body():
        async with Peer(script) as peer:
            a = agent(peer.url, key=KEY)
            assert await asyncio.to_thread(a.ended) == 77 and len(peer.of("auth")) == 1
    run(body())


def test_words_that_are_no_refusal(agent, tmp_path):
    """Neither a message nor a close code alone takes the key away."""
    async def script(peer, link, message):
        n = len(peer.of("auth"))
        if n == 1:
            await peer.say(link, "error", code="invalid_api_key", message="Invalid API Key")
            await link.close(4002)
        elif n == 2:
            await link.close(4003, "machine_deleted")
        elif n == 3:
            await peer.say(link, "auth_failed", message="Service unavailable")
            await link.close(1011)
        return n < 4 and message["type"] == "auth"

    async def body():
        async with Peer(script) as peer:
            file = save(tmp_path / "keys", peer.name, KEY)
            a = agent(peer.url, keys=tmp_path / "keys")
            await peer.until(lambda: len(peer.of("auth")) >= 2, 60)
            await asyncio.sleep(0.5)
            assert a.alive() and file.exists()
    run(body())


@pytest.mark.slow
def test_a_server_that_stores_nothing_gets_the_newest(agent):
    async def body():
        port = free_port()
        async with Peer(port=port) as peer:
            a = agent(peer.url, key=KEY)
            await peer.until(lambda: len(peer.of("data")) >= 3)
            last = peer.of("data")[-1]["seq"]
            for link in peer.links:
                await link.close(1001)
        await asyncio.sleep(2)
        async with Peer(port=port) as peer:
            await peer.until(lambda: len(peer.of("data")) >= 3)
            numbers = [m["seq"] for m in peer.of("data")]
            assert numbers[0] > last + 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            assert peer.of("data")[0]["at"] - peer.of("auth")[0]["at"] < 2.5  # not at the next interval only
            assert "samples that could not be sent were dropped" in a.log
    run(body())


def test_acknowledged_samples_are_not_sent_again(agent):
    async def script(peer, link, message):
        if message["type"] == "auth" and "sessionToken" in message:
            boot = peer.of("data")[0]["boot"]
            await peer.success(link, lastAck={"boot": boot, "seq": 3})
            return True
        if message["type"] == "data" and message["link"] == 0 and message["seq"] == 2:
            await peer.say(link, "ack", boot="0" * 32, seq=999)  # another run's
            await peer.say(link, "ack", boot=message["boot"], seq=2)

    async def body():
        async with Peer(script, durable=True) as peer:
            agent(peer.url, key=KEY)
            await peer.until(lambda: len(peer.of("data")) >= 5)
            await peer.links[0].close(1011)
            await peer.until(lambda: len(peer.of("data", 1)) >= 4)
            again = [m["seq"] for m in peer.of("data", 1)]
            assert again[0] == 4 and again == list(range(4, 4 + len(again)))
            first = {m["seq"]: m for m in peer.of("data", 0)}
            for m in peer.of("data", 1):
                if m["seq"] in first:
                    assert m["metrics"] == first[m["seq"]]["metrics"] and m["timestamp"] == first[m["seq"]]["timestamp"]
    run(body())


def test_a_rate_limit_is_waited_for(agent):
    async def script(peer, link, message):
        if message["type"] == "data" and len(peer.of("data")) == 3:
            await peer.say(link, "error", code="rate_limited", message="too many", refType="data", retryAfter=2)

    async def body():
        async with Peer(script, durable=True) as peer:
            a = agent(peer.url, key=KEY)
            await peer.until(lambda: len(peer.of("data")) >= 12)
            data = peer.of("data")
            refused = data[2]["at"]
            assert len([m for m in data if refused < m["at"] < refused + 1.9]) <= 4  # what was under way; six without the word
            assert sorted({m["seq"] for m in data}) == list(range(1, max(m["seq"] for m in data) + 1))
            assert len(peer.paths) == 1 and "rate_limited" in a.log
    run(body())


HOSTILE = ["", "{", "[]", "null", '"ping"', '{"type":7}', '{"type":null}', '{"type":"auth_success"}', '{"type":"auth_failed"}',
           '{"type":"ack"}', '{"type":"ack","boot":7,"seq":"x"}', '{"type":"ack","boot":null,"seq":-1}',
           '{"type":"ack","boot":"' + "a" * 5000 + '","seq":18446744073709551615}', '{"type":"error"}',
           '{"type":"error","code":{},"message":[1],"retryAfter":"soon"}', '{"type":"data","payload":' + "[" * 30 + "]" * 30 + "}",
           '{"type":"data"}', '{"type":"ping","type":"ping"}', '{"type":"' + "x" * 60000 + '"}', '{"type":"unheard_of"}',
           '{"type":"error","code":"\\u001b[31m","message":"a\\nb\\u0000"}', '{"type":"ping","lastAck":7}', b"\x00\x01", b""]


def test_hostile_servers(agent):
    async def body():
        async with Peer() as peer:
            a = agent(peer.url, key=KEY)
            await peer.until(lambda: peer.of("data"))
            for text in HOSTILE:
                await peer.links[-1].send(text)
            before = len(peer.of("data"))
            await peer.until(lambda: len(peer.of("data")) >= before + 3)
            assert len(peer.paths) == 1 and a.alive()
            assert "\x1b" not in a.log
            await peer.links[-1].send("x" * 100000)  # too long for it: 1009, and it comes back
            await peer.until(lambda: peer.closes)
            assert peer.closes[0] == 1009
    run(body())


def test_hostile_answers_to_auth(agent):
    answers = ['{"type":"auth_success","sessionToken":7,"userId":{"a":1},"machineId":[],"durable":"yes","lastAck":null,"expiresIn":-1}',
               '{"type":"auth_success","sessionToken":"a\\"b\\nc","userId":7,"lastAck":{"boot":1,"seq":{}}}']

    async def script(peer, link, message):
        if message["type"] == "auth" and len(peer.of("auth")) <= len(answers):
            await link.send(answers[len(peer.of("auth")) - 1])
            return True

    async def body():
        async with Peer(script) as peer:
            agent(peer.url, key=KEY)
            await peer.until(lambda: peer.of("data", 0))
            await peer.links[0].close(1011)
            await peer.until(lambda: peer.of("data", 1))
            assert peer.of("auth")[1].get("apiKey") == KEY  # 7 was no token
            await peer.links[1].close(1011)
            await peer.until(lambda: len(peer.of("auth")) == 3)
            assert peer.of("auth")[2]["sessionToken"] == 'a"b\nc'
    run(body())


# ---- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize("url,how,words", [
    ("http://host:5000", {}, "it must begin with wss:// or ws://"),
    ("wss://user:pass@host", {}, "must not have a user or password"),
    ("wss://host:70000", {}, "the port must be a number"),
    ("wss://", {}, "the host must be a name or an address"),
    ("wss://host", {"key": "short"}, "8 to 256 visible ASCII characters"),
    ("wss://host", {"key": "with a blank in it"}, "8 to 256 visible ASCII characters"),
    ("wss://host", {"more": 'machine_id = "a b";'}, "the id must be 1 to 128"),
    ("wss://host", {"more": 'name = "";'}, "the name is empty"),
    ("wss://host", {"keys": "relative"}, "must be an absolute path"),
])
def test_wrong_options(tmp_path, url, how, words):
    file = tmp_path / "agent.conf"
    file.write_text(configuration(url, **how))
    file.chmod(0o600)
    told = subprocess.run([BUILD / "bin/muster-agent", "--check-config", "-c", file], capture_output=True, text=True, timeout=30)
    assert told.returncode == 78 and words in told.stderr
    for secret in ("user:pass", "short", "with a blank"):
        assert f'"{secret}"' not in told.stderr and "user:pass" not in told.stderr


@pytest.mark.parametrize("url,more,words", [
    ("ws://muster.example:5000", "", "the link is not encrypted"),
    ("wss://muster.example:5000", "tls_verify = false;", "certificates are not checked"),
    ("ws://127.0.0.1:5000", "", None),
    ("wss://muster.example", "", None),
])
def test_dangerous_options_warn(tmp_path, url, more, words):
    file = tmp_path / "agent.conf"
    file.write_text(configuration(url, key=KEY, more=more))
    file.chmod(0o600)
    told = subprocess.run([BUILD / "bin/muster-agent", "--check-config", "-c", file], capture_output=True, text=True, timeout=30)
    assert told.returncode == 0 and KEY not in told.stderr
    assert words in told.stderr if words else "warning" not in told.stderr
