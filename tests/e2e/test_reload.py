# SPDX-License-Identifier: ISC
"""SIGHUP while 500 agents are connected: what changed is applied, what did not is left alone, a bad file changes nothing."""
import asyncio
import json
import re
import socket
import urllib.error

import pytest
import websockets

from conftest import SECRET, agent_headers, documented, entry, eventually, free_port, get, static_plugins

AGENTS = 500
REVOKED = 4010
REFUSED = "the new configuration is refused"
LIMITS = "limits = { connects_per_second = 0; max_connections_per_peer = 2000; };"


def entries(count=AGENTS, **changed):
    """Entries a0…; `changed` maps an id to other members, or to None: left out."""
    texts = []
    for i in range(count):
        id = f"a{i}"
        if changed.get(id, 1) is not None:
            texts.append(entry(id, **{"group": "lab", **changed.get(id, {})}))
    return texts


async def reload(server, text=None, said="core: reloaded"):
    """Asks for a reload and waits until it is decided. What was logged since."""
    before = len(server.log)
    server.reload(text)
    await asyncio.to_thread(eventually, lambda: said in server.log[before:], 20)
    return server.log[before:]


class Fleet:
    """Agents that are connected, and what became of their links."""

    def __init__(self, server):
        self.server, self.links = server, {}

    async def connect(self, *ids, secret=SECRET):
        for start in range(0, len(ids), 50):
            batch = ids[start:start + 50]
            links = await asyncio.gather(*(websockets.connect(self.server.ws + "/ws-report", open_timeout=30, ping_interval=None,
                                                              extra_headers=agent_headers(id, secret)) for id in batch))
            self.links.update(zip(batch, links))

    async def report(self, *ids):
        for id in ids:
            await self.links[id].send(json.dumps(documented(id)))

    def lost(self):
        return {id: link.close_code for id, link in self.links.items() if link.closed}

    async def close(self):
        await asyncio.gather(*(link.close() for link in self.links.values()), return_exceptions=True)


async def refused(server, id, secret=SECRET):
    try:
        async with websockets.connect(server.ws + "/ws-report", extra_headers=agent_headers(id, secret)):
            return None
    except websockets.InvalidStatusCode as error:
        return error.status_code


def shown(server):
    return {m["id"]: m for m in get(server.http + "/api/server/statusInfo")["data"]}


def test_reload_under_500_agents(server):
    s = server(*entries(), more=LIMITS, status='push = "snapshot";')
    ids = [f"a{i}" for i in range(AGENTS)]
    text = lambda *given: s.text(static_plugins(*given, status='push = "snapshot";'))

    async def run():
        fleet = Fleet(s)
        await fleet.connect(*ids)
        async with websockets.connect(s.ws + "/ws-frontend", max_size=None, max_queue=None) as page:  # never read
            await fleet.report("a0", "a1", "a2", "a3")
            assert await asyncio.to_thread(lambda: get(s.http + "/api/statistics")["data"]["sessionMapLen"]) == AGENTS

            # A bad file: nothing changes, and it says where and what.
            good = s.conf.read_text()
            bad = text(*entries(a0=None, a1={"secret": "another-secret-0001"})).replace("limits =", "limitz =")
            said = await reload(s, bad, REFUSED)
            line = next(i for i, l in enumerate(bad.splitlines(), 1) if "limitz" in l)
            assert re.search(rf"musterd\.conf:{line}: .*'limitz'.*did you mean 'limits'", said), said
            said = await reload(s, good[:len(good) // 2], REFUSED)
            assert "musterd.conf:" in said
            await asyncio.sleep(0.3)
            assert fleet.lost() == {} and await refused(s, "a0") is None  # the newer link of a0 pushed the older away
            await asyncio.to_thread(eventually, lambda: fleet.lost())
            assert fleet.lost() == {"a0": 4009}
            await fleet.connect("a0")
            await fleet.report("a0")

            # The same file again: nothing happens to anybody.
            await reload(s, good)
            await asyncio.sleep(0.3)
            assert fleet.lost() == {} and page.open

            # A good change: one removed, one with another secret, one renamed, one added.
            await reload(s, text(*entries(a0=None, a1={"secret": "another-secret-0001"}, a2={"name": "Renamed"}),
                                 entry("added", group="lab")))
            await asyncio.to_thread(eventually, lambda: len(fleet.lost()) == 2)
            await asyncio.sleep(0.5)
            assert fleet.lost() == {"a0": REVOKED, "a1": REVOKED}
            assert await refused(s, "a0") == 401 and await refused(s, "a1") == 401
            del fleet.links["a0"]
            await fleet.connect("a1", secret="another-secret-0001")
            await fleet.connect("added")
            await fleet.report("a1", "added", "a3")
            await asyncio.to_thread(eventually, lambda: shown(s)["added"]["isOnline"])
            now = shown(s)
            assert now["a2"]["name"] == "Renamed" and now["a2"]["isOnline"] and "a0" not in now and now["a3"]["isOnline"]

            # Many signals at once: none is lost, nobody is cut off.
            for _ in range(20):
                s.reload()
            await asyncio.sleep(1)
            await reload(s, text(*entries(a0=None, a1={"secret": "another-secret-0001"}), entry("added", group="lab")))
            await asyncio.to_thread(eventually, lambda: shown(s)["a2"]["name"] == "a2")
            assert fleet.lost() == {} and page.open
            # Whoever was left alone still reports.
            await fleet.report("a499", "a250")
            await asyncio.to_thread(eventually, lambda: shown(s)["a499"]["isOnline"] and shown(s)["a250"]["isOnline"])
        await fleet.close()

    asyncio.run(run())
    assert "another-secret-0001" not in s.log


def listeners(*ports):
    return ", ".join(f'{{ address = "127.0.0.1"; port = {p}; }}' for p in ports)


def accepts(port):
    try:
        return get(f"http://127.0.0.1:{port}/api/statistics")["code"] == 200
    except (urllib.error.URLError, ConnectionError):
        return False


def test_listeners_come_and_go(server):
    s = server(entry("demo"))
    second = free_port()
    first = s.port

    async def run():
        fleet = Fleet(s)
        await fleet.connect("demo")
        s.listen = listeners(first, second)
        await reload(s, s.text(static_plugins()))
        assert accepts(first) and accepts(second)
        s.port = second
        async with websockets.connect(s.ws + "/ws-frontend") as page:
            await fleet.report("demo")
            assert json.loads(await asyncio.wait_for(page.recv(), 5))["serverId"] == "demo"
        s.listen = listeners(second)
        await reload(s, s.text(static_plugins()))
        await asyncio.to_thread(eventually, lambda: not accepts(first))
        assert accepts(second)
        await fleet.close()

    asyncio.run(run())


def test_a_port_that_is_taken_leaves_all_as_it_was(server):
    s = server(entry("demo"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        async def run():
            fleet = Fleet(s)
            await fleet.connect("demo")
            s.listen = listeners(s.port, port)
            said = await reload(s, s.text(static_plugins(entry("other"))), REFUSED)
            assert str(port) in said and "in use" in said
            await asyncio.sleep(0.3)
            assert fleet.lost() == {}
            assert set(shown(s)) == {"demo"}
            await fleet.close()

        asyncio.run(run())


def test_plugins_come_and_go(server):
    s = server(entry("demo"))

    async def run():
        fleet = Fleet(s)
        await fleet.connect("demo")
        await reload(s, s.text(static_plugins(console=False) + ['{ name = "example"; }']))
        await fleet.report("demo")
        await asyncio.to_thread(s.logged, "example: demo: online")
        with pytest.raises(urllib.error.HTTPError) as gone:
            get(s.http + "/")
        assert gone.value.code == 404
        await reload(s, s.text(static_plugins()))
        assert fleet.lost() == {}
        async with websockets.connect(s.ws + "/api/console/live") as console:
            assert json.loads(await console.recv())["type"] == "hello"
        await fleet.close()

    asyncio.run(run())


def test_another_push_sends_pages_away_and_agents_stay(server):
    s = server(entry("demo"))

    async def run():
        fleet = Fleet(s)
        await fleet.connect("demo")
        async with websockets.connect(s.ws + "/ws-frontend") as page:
            await reload(s, s.text(static_plugins(status='push = "snapshot";')))
            await asyncio.wait_for(page.wait_closed(), 5)
            assert page.close_code == 1001
        async with websockets.connect(s.ws + "/ws-frontend") as page:
            assert json.loads(await asyncio.wait_for(page.recv(), 5))["type"] == "server_status_update"
        assert fleet.lost() == {}
        await fleet.close()

    asyncio.run(run())


def test_agents_are_told_when_the_server_ends(server):
    s = server(*entries(100), more=LIMITS)

    async def run():
        fleet = Fleet(s)
        await fleet.connect(*(f"a{i}" for i in range(100)))
        await asyncio.to_thread(s.stop)
        await asyncio.to_thread(eventually, lambda: len(fleet.lost()) == 100)
        return set(fleet.lost().values())

    assert asyncio.run(run()) == {1001}
