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
    for url, headers in ((live, {}), (live + "?token=", {}), (live + "?token=wrong", {}), (live, {"Authorization": "Bearer wrong"}),
                         (live, {"Authorization": TOKEN})):
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            asyncio.run(first(url, extra_headers=headers))
        assert refused.value.status_code == 401
    assert asyncio.run(first(f"{live}?token={TOKEN}"))["type"] == "hello"
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
