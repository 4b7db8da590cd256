# SPDX-License-Identifier: ISC
"""The way of a report, from an agent to a page, with the real programs."""
import asyncio
import json

import websockets

from conftest import agent_headers, documented, entry, eventually, get


async def next_report(link, timeout=10):
    return json.loads(await asyncio.wait_for(link.recv(), timeout))


def test_a_report_reaches_a_page(server):
    s = server(entry("demo", name="Demo", group="lab", country="CN"))

    async def run():
        async with websockets.connect(s.ws + "/ws-frontend") as page:
            async with websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers()) as link:
                await link.send(json.dumps(documented()))
                seen = await next_report(page)
        assert seen["serverId"] == "demo"
        assert (seen["serverName"], seen["group"], seen["countryCode"]) == ("Demo", "lab", "CN")  # the configuration wins
        assert "ip" not in seen
        assert seen["cpu"] == documented()["cpu"] and seen["disk"] == documented()["disk"]

    asyncio.run(run())


def test_a_real_agent_reaches_a_page_and_rest(server, agent):
    s = server(entry("demo", name="Demo"))
    agent(s)

    async def run():
        async with websockets.connect(s.ws + "/ws-frontend") as page:
            return await next_report(page)

    report = asyncio.run(run())
    assert report["serverId"] == "demo" and report["memory"]["total"] > 0 and report["system"]["uptime"] > 0
    assert set(report["metrics"]) >= {"cpu", "memory", "disk", "network", "system"}  # what the form has no members for
    shown = eventually(lambda: [m for m in get(s.http + "/api/server/statusInfo")["data"] if m["isOnline"]])[0]
    assert shown["id"] == "demo" and shown["hostInfo"]["RAMTotal"] == report["memory"]["total"]
    statistics = get(s.http + "/api/statistics")
    assert statistics["code"] == 200 and statistics["data"]["onlineIds"] == ["demo"]
