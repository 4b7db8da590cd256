# SPDX-License-Identifier: ISC
"""The console's live channel: who may watch, and what comes."""
import asyncio
import json

import pytest
import websockets

from conftest import SECRET, agent_headers, documented, entry, static_plugins

TOKEN = "a-token-for-pages-0123"


async def first(url, **more):
    async with websockets.connect(url, **more) as page:
        return json.loads(await asyncio.wait_for(page.recv(), 10))


def test_without_a_token_everybody_watches(server):
    s = server()
    assert asyncio.run(first(s.ws + "/api/console/live"))["type"] == "hello"


def test_with_a_token_only_who_knows_it(server):
    plugins = static_plugins(console=False) + [f'{{ name = "console"; config = {{ token = "{TOKEN}"; }}; }}']
    s = server(plugins=plugins)
    live = s.ws + "/api/console/live"
    # Never in an address: those are logged on their way.
    for url, headers in ((live, {}), (live + "?token=", {}), (f"{live}?token={TOKEN}", {}), (live, {"Authorization": "Bearer wrong"}),
                         (live, {"Authorization": TOKEN})):
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            asyncio.run(first(url, extra_headers=headers))
        assert refused.value.status_code == 401
    assert asyncio.run(first(live, extra_headers={"Authorization": f"Bearer {TOKEN}"}))["type"] == "hello"
    assert TOKEN not in s.log


def test_a_large_list_reaches_a_page_whole(server):
    machines = [f"m-{n:03d}" for n in range(300)]
    s = server(*(entry(id) for id in machines))

    async def run():
        for id in machines:
            async with websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers(id)) as link:
                await link.send(json.dumps(documented(id, padding="x" * 2000)))
                await link.ping()
        seen = set()
        async with websockets.connect(s.ws + "/api/console/live", max_size=None) as page:
            while True:
                message = json.loads(await asyncio.wait_for(page.recv(), 20))
                if message["type"] == "machine":
                    seen.add(message["id"])
                    assert SECRET not in json.dumps(message) and "203.0.113.7" not in json.dumps(message)
                elif message["type"] == "ready":
                    return seen

    assert asyncio.run(run()) == set(machines)


JWT, KEY = "a-session-secret-of-the-tests-0123456789", "the-key-of-ann-0123456789"
SESSION = [f'{{ name = "auth_static"; config = {{ users = ( {{ id = "ann"; name = "Ann"; api_keys = [ "{KEY}" ]; }}, '
           '{ id = "u-2"; api_keys = [ "the-key-of-another-0123" ]; } ); }; }',
           '{ name = "machines"; }', f'{{ name = "session"; config = {{ jwt_secret = "{JWT}"; }}; }}', '{ name = "console"; }']


async def next_of(page, type, id=None):
    while True:
        message = json.loads(await asyncio.wait_for(page.recv(), 10))
        if message["type"] == type and (id is None or message["id"] == id):
            return message


def test_a_users_machine_shows_when_its_user_wants_that(server):
    """Its owner's name, online while it is linked, figures as it sent them; gone when it is private again."""
    s = server(plugins=SESSION)

    async def run():
        async with websockets.connect(s.ws + "/api/console/live", close_timeout=1) as page, websockets.connect(s.ws, close_timeout=1) as link:
            async def say(**message):
                await link.send(json.dumps(message))

            await next_of(page, "ready")
            await say(type="auth", apiKey=KEY, machineId="m1", name="Box")
            await say(type="data", boot="b", seq=1, metrics={"cpu": {"percent": 5}})
            await say(type="system_info", ip="203.0.113.7", ram=4096, cpu=4, public=True)
            shown = await next_of(page, "machine")
            assert (shown["id"], shown["name"], shown["owner"], shown["online"]) == ("m1", "Box", "Ann", True)
            assert shown["metrics"] == {"cpu": {"percent": 5}} and shown["lastSeen"] > 0
            assert "203.0.113.7" not in json.dumps(shown) and KEY not in json.dumps(shown)
            await say(type="data", boot="b", seq=2, metrics={"cpu": {"percent": 6.5}, "zoo": {"lions": 3}, "no collector": 4})
            assert (await next_of(page, "machine"))["metrics"] == {"cpu": {"percent": 6.5}, "zoo": {"lions": 3}}
            before = shown["lastSeen"]
            await asyncio.sleep(0.01)
            await say(type="heartbeat")
            assert (await next_of(page, "machine"))["lastSeen"] > before

            async with websockets.connect(s.ws, close_timeout=1) as other:  # of a user without a name
                await other.send(json.dumps({"type": "auth", "apiKey": "the-key-of-another-0123", "machineId": "m2"}))
                await other.send(json.dumps({"type": "system_info", "public": True}))
                shown = await next_of(page, "machine", "m2")
                assert (shown["owner"], shown["online"], shown["metrics"]) == ("u-2", True, {})
            assert (await next_of(page, "machine", "m2"))["online"] is False

            await say(type="system_info", public=False)
            await next_of(page, "gone")
            async with websockets.connect(s.ws + "/api/console/live", close_timeout=1) as late:
                ids = []
                while (message := json.loads(await asyncio.wait_for(late.recv(), 10)))["type"] != "ready":
                    ids += [message["id"]] if message["type"] == "machine" else []
                assert ids == ["m2"]

    asyncio.run(run())
    assert KEY not in s.log


def test_a_machine_that_reports_nothing_comes_online_by_its_connection(server):
    s = server(plugins=SESSION)

    async def run():
        async with websockets.connect(s.ws + "/api/console/live", close_timeout=1) as page:
            await next_of(page, "ready")
            async with websockets.connect(s.ws, close_timeout=1) as link:
                await link.send(json.dumps({"type": "auth", "apiKey": KEY, "machineId": "m1"}))
                await link.send(json.dumps({"type": "system_info", "public": True}))
                assert (await next_of(page, "machine"))["online"] is True
            while (await next_of(page, "machine"))["online"]:
                pass
            # Public already: the connection alone is the news.
            async with websockets.connect(s.ws, close_timeout=1) as link:
                await link.send(json.dumps({"type": "auth", "apiKey": KEY, "machineId": "m1"}))
                while not (await next_of(page, "machine"))["online"]:
                    pass

    asyncio.run(run())
