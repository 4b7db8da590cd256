# SPDX-License-Identifier: ISC
"""The server-status protocol in both forms, from real agents and recorded reports to pages and REST."""
import asyncio
import http.client
import json
import time

import pytest
import websockets

from accounts import PASSWORD, Accounts, forge
from conftest import agent_headers, documented, entry, eventually, fixture, get, static_plugins
from hostile import Raw, upgrade

RECORDED = fixture("agent-report.json")


def connect_agent(server, id="demo", **more):
    return websockets.connect(server.ws + "/ws-report", extra_headers=agent_headers(id), **more)


def connect_page(server):
    return websockets.connect(server.ws + "/ws-frontend", max_size=None)


async def receive(page, timeout=10):
    return json.loads(await asyncio.wait_for(page.recv(), timeout))


async def until(page, wanted, timeout=15):
    """The first message of a page that is as wanted."""
    end = time.monotonic() + timeout
    while True:
        message = await receive(page, max(0.1, end - time.monotonic()))
        if wanted(message):
            return message


def listed(message, id):
    return next((m for m in message.get("data", []) if m["id"] == id), {})


def shape(value):
    """What a reader of the wire relies on: names and kinds, not values. Of a list its first item."""
    if isinstance(value, dict):
        return {k: shape(v) for k, v in value.items() if k != "metrics"}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


async def settled():
    """Time for a message that must not come."""
    await asyncio.sleep(0.4)


# ---- both forms, both pages ---------------------------------------------------------------------


def test_both_forms_on_one_listener_each_report_pushed(server):
    s = server(entry("new", name="New", group="lab"), entry("old", name="Old", group="lab", country="US"), status='push = "report";')

    async def run():
        async with connect_page(s) as page, connect_agent(s, "new") as new, connect_agent(s, "old") as old:
            await new.send(json.dumps(documented("new")))
            seen = await receive(page)
            assert seen["serverId"] == "new" and seen["cpu"] == documented()["cpu"]
            await old.send(RECORDED)
            seen = await receive(page)
        return seen

    seen, recorded = asyncio.run(run()), json.loads(RECORDED)
    # The recorded deployed report, in the words of the documented form.
    assert (seen["serverId"], seen["serverName"], seen["group"], seen["countryCode"].lower()) == ("old", "Old", "lab", "us")
    assert seen["cpu"]["percent"] == pytest.approx(recorded["cpuInfo"]["percent"], abs=0.01)
    assert seen["cpu"]["cores"] == 2 and seen["cpu"]["modelName"] == "Intel(R) Xeon(R) Processor"
    assert seen["memory"]["total"] == 25276510208 and seen["memory"]["used"] == 373960704
    assert [d["path"] for d in seen["disk"]] == ["/", "/run/netns"] and seen["disk"][0]["free"] == 76620996608
    assert seen["network"]["bytesRecv"] == 1235595050 and seen["network"]["bytesSent"] == 3179976
    assert seen["system"]["kernel"] == "6.18.44-fc-v657" and seen["system"]["uptime"] == 2573
    assert abs(seen["timestamp"] - time.time()) < 30  # 0 in the report: the server's clock fills it
    # What the document marks as required is there, whichever form it came in.
    assert set(seen) >= {"serverId", "serverName", "cpu", "memory", "disk", "network", "system", "timestamp"}
    assert shape(documented("x"))["memory"].items() <= shape(seen)["memory"].items()


def test_both_forms_in_one_snapshot(server):
    s = server(entry("new", name="New", group="lab"), entry("old", name="Old", group="lab", country="US"), status='push = "snapshot";')

    async def run():
        async with connect_page(s) as page, connect_agent(s, "new") as new, connect_agent(s, "old") as old:
            await new.send(json.dumps(documented("new")))
            await old.send(RECORDED)
            return await until(page, lambda m: m["data"][0]["isOnline"] and m["data"][1]["isOnline"])

    seen, recorded = asyncio.run(run()), json.loads(RECORDED)
    assert seen["type"] == "server_status_update" and isinstance(seen["timestamp"], int)
    new, old = seen["data"]
    assert (old["id"], old["name"], old["loc"]) == ("old", "Old", "us")
    assert old["platform"] == "debian 12.11" and old["uptime"] == 2573
    assert old["cpuPercent"] == pytest.approx(recorded["cpuInfo"]["percent"], abs=0.01)
    assert old["hostInfo"]["cpuInfo"] == recorded["cpuInfo"]["info"]
    assert old["hostInfo"]["avgStat"] == recorded["hostInfo"]["avgStat"]
    assert old["hostInfo"]["diskPartitions"][1]["mountPoint"] == "/run/netns"
    assert old["diskPercent"] == recorded["diskInfo"]["usedPercent"] == pytest.approx(9.66, abs=0.01)  # of all there is, as sent
    assert old["hostInfo"]["diskPartitions"][0]["usedPercent"] == pytest.approx(25.43, abs=0.01)  # as df
    assert abs(old["lastReportTime"] - time.time()) < 30
    assert new["RAMPercent"] == 50 and new["hostInfo"]["RAMTotal"] == 16777216000 and new["netInSpeed"] == 1048576
    assert new["hostInfo"]["diskTotal"] == 107374182400 and new["hostInfo"]["kernelArch"] == "amd64"


def test_a_snapshot_has_the_members_of_the_recorded_one(server):
    s = server(entry("old", name="Old", country="US"), entry("silent", name="Silent"), status='push = "snapshot";')

    async def run():
        async with connect_page(s) as page, connect_agent(s, "old") as old:
            await old.send(RECORDED)
            return await until(page, lambda m: listed(m, "old").get("isOnline"))

    seen, recorded = asyncio.run(run()), json.loads(fixture("frontend-push.json"))
    assert {k: v for k, v in shape(seen).items() if k != "data"} == {k: v for k, v in shape(recorded).items() if k != "data"}
    assert shape(listed(seen, "old")) == shape(recorded["data"][0])
    # A configured machine that never reported: every member, with zeros and [].
    silent, wanted = listed(seen, "silent"), shape(recorded["data"][0])
    wanted["hostInfo"]["cpuInfo"] = wanted["hostInfo"]["diskPartitions"] = []
    assert shape(silent) == wanted
    assert silent["isOnline"] is False and silent["lastReportTime"] == 0 and silent["cpuPercent"] == 0
    assert silent["hostInfo"]["RAMTotal"] == 0 and silent["hostInfo"]["avgStat"] == {"load1": 0, "load5": 0, "load15": 0}
    assert "null" not in json.dumps(seen)


def test_a_report_page_gets_the_newest_on_connect_and_nothing_of_the_silent(server):
    s = server(entry("demo", group="a"), entry("silent", group="b"))

    async def run():
        async with connect_agent(s) as link:
            for uptime in (1, 2, 3):
                report = documented()
                report["system"]["uptime"] = uptime
                await link.send(json.dumps(report))
            await asyncio.get_running_loop().run_in_executor(None, eventually, lambda: get(
                s.http + "/api/server/statusInfo")["data"][0]["uptime"] == 3)
            async with connect_page(s) as page:
                assert (await receive(page))["system"]["uptime"] == 3
                with pytest.raises(asyncio.TimeoutError):
                    await receive(page, 0.5)

    asyncio.run(run())


def test_a_report_is_pushed_within_100_ms(server):
    s = server(entry("demo"))

    async def run():
        took = []
        async with connect_page(s) as page, connect_agent(s) as link:
            for _ in range(20):
                began = time.monotonic()
                await link.send(json.dumps(documented()))
                await receive(page)
                took.append(time.monotonic() - began)
        return sorted(took)[len(took) // 2]

    assert asyncio.run(run()) < 0.1


def test_snapshots_come_at_once_and_every_second(server):
    s = server(entry("demo"), status='push = "snapshot";')

    async def run():
        async with connect_page(s) as page:
            began = time.monotonic()
            times = []
            for _ in range(4):
                await receive(page)
                times.append(time.monotonic() - began)
        return times

    times = asyncio.run(run())
    assert times[0] < 0.9 and 1.5 < times[3] < 5


def test_the_snapshot_is_sorted_by_group_name_id(server):
    machines = [("z", "b", "Beta"), ("b", "a", "Same"), ("a", "a", "Same"), ("q", "b", "Alpha"), ("m", "", "Zed"), ("n", "a", "Äpfel")]
    s = server(*(entry(i, group=g, name=n) for i, g, n in machines), status='push = "snapshot";')
    expected = [i for g, n, i in sorted((g.encode(), n.encode(), i) for i, g, n in machines)]

    async def run():
        async with connect_page(s) as page:
            first = await receive(page)
            async with connect_agent(s, "z") as link:  # reporting moves nothing
                await link.send(json.dumps(documented("z")))
                second = await until(page, lambda m: listed(m, "z")["isOnline"])
        return [[m["id"] for m in seen["data"]] for seen in (first, second)]

    first, second = asyncio.run(run())
    assert first == second == expected
    assert [m["id"] for m in get(s.http + "/api/server/statusInfo")["data"]] == expected


def test_no_machine_at_all_is_an_empty_list(server):
    plugins = ['{ name = "auth_static"; }', '{ name = "machines"; }', '{ name = "server_status"; config = { push = "snapshot"; }; }']
    s = server(plugins=plugins)

    async def run():
        async with connect_page(s) as page:
            return await asyncio.wait_for(page.recv(), 5)

    text = asyncio.run(run())
    assert '"data":[]' in text and json.loads(text)["data"] == []
    assert get(s.http + "/api/server/statusInfo") == {"code": 200, "message": "success", "data": []}
    assert get(s.http + "/api/statistics")["data"] == {"configServersLen": 0, "onlineIds": [], "reportMapLen": 0, "sessionMapLen": 0}


def test_pong_on_snapshot_pages(server):
    s = server(entry("demo"), status='push = "snapshot";')

    async def run():
        async with connect_page(s) as page:
            await page.send('{"type":"ping"}')
            pong = await until(page, lambda m: m.get("type") == "pong")
            # Nonsense is counted and changes nothing.
            for text in ("", "{", '{"type":"pong"}', '{"type":7}', "[]", '{"type":"ping"} '):
                await page.send(text)
            await until(page, lambda m: m.get("type") == "server_status_update")
            await page.send('{"type":"ping"}')
            await until(page, lambda m: m.get("type") == "pong")
        return pong

    pong = asyncio.run(run())
    assert set(pong) == {"timestamp", "type"} and abs(pong["timestamp"] - time.time()) < 30


# ---- REST --------------------------------------------------------------------------------------


def request(server, method, path):
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    link.request(method, path)
    answer = link.getresponse()
    body = answer.read()
    link.close()
    return answer, body


def test_rest_has_the_recorded_shapes(server):
    s = server(entry("demo", name="Demo", country="US"), entry("silent"), entry("hidden", public=False))

    async def run():
        async with connect_agent(s) as link:
            await link.send(RECORDED)
            await asyncio.get_running_loop().run_in_executor(
                None, eventually, lambda: get(s.http + "/api/statistics")["data"]["onlineIds"])
            return get(s.http + "/api/server/statusInfo"), get(s.http + "/api/statistics")

    status, statistics = asyncio.run(run())
    assert shape(status) == shape(json.loads(fixture("api-server-statusInfo.json")))
    assert list(status["data"][0]["hostInfo"]) and [m["id"] for m in status["data"]] == ["demo", "silent"]
    assert shape(statistics) == shape(json.loads(fixture("api-statistics.json")))
    assert statistics["data"] == {"configServersLen": 2, "onlineIds": ["demo"], "reportMapLen": 1, "sessionMapLen": 1}


@pytest.mark.parametrize("path", ["/api/server/statusInfo", "/api/statistics"])
def test_head_is_get_without_a_body(server, path):
    s = server(entry("demo"))
    whole, text = request(s, "GET", path)
    head, nothing = request(s, "HEAD", path)
    assert (whole.status, head.status) == (200, 200) and nothing == b"" and text
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]
    assert head.headers["Content-Length"] == str(len(text)) == whole.headers["Content-Length"]
    refused, body = request(s, "POST", path)
    assert refused.status == 405 and json.loads(body)["code"]


# ---- real agents -------------------------------------------------------------------------------


def test_a_deployed_agent_on_a_documented_page(server, agent):
    s = server(entry("demo", name="Demo"))
    agent(s, form="deployed")

    async def run():
        async with connect_page(s) as page:
            return await until(page, lambda m: m["cpu"]["percent"] > 0 or m["memory"]["total"] > 0)

    seen = asyncio.run(run())
    assert seen["serverId"] == "demo" and seen["memory"]["total"] > seen["memory"]["used"] > 0
    assert seen["cpu"]["cores"] >= 1 and seen["system"]["hostname"] and seen["system"]["kernel"] and seen["system"]["uptime"] > 0
    assert seen["disk"] == [] or seen["disk"][0]["total"] > 0


def test_a_documented_agent_on_a_snapshot_page(server, agent):
    s = server(entry("demo", name="Demo"), status='push = "snapshot";')
    agent(s)

    async def run():
        async with connect_page(s) as page:
            return listed(await until(page, lambda m: listed(m, "demo")["isOnline"]), "demo")

    seen = asyncio.run(run())
    assert seen["hostInfo"]["RAMTotal"] > seen["hostInfo"]["RAMUsed"] > 0 and seen["uptime"] > 0
    assert seen["hostInfo"]["kernelArch"] and len(seen["hostInfo"]["cpuInfo"]) == 1
    # The documented form has no member for these: they travel as metrics, and arrive all the same.
    assert seen["hostInfo"]["avgStat"]["load1"] >= 0 and seen["platform"].count(" ") >= 1


@pytest.mark.parametrize("form", ["documented", "deployed"])
def test_a_drop_in_collector_is_seen_in_both_forms(server, agent, form):
    s = server(entry("demo"))
    snapshots = server(entry("demo"), status='push = "snapshot";')
    for one in (s, snapshots):
        agent(one, form=form, collectors=("cpu", "memory", "disk", "network", "system", "example"))

    async def run():
        async with connect_page(s) as page, connect_page(snapshots) as snapshot_page:
            report = await until(page, lambda m: "example" in m.get("metrics", {}))
            element = listed(await until(snapshot_page, lambda m: "example" in listed(m, "demo").get("metrics", {})), "demo")
        async with websockets.connect(s.ws + "/api/console/live", max_size=None) as console:
            shown = await until(console, lambda m: "example" in m.get("metrics", {}))
        return report, element, shown

    for seen in asyncio.run(run()):
        assert seen["metrics"]["example"]["open_files"] > 0 and seen["metrics"]["example"]["limit"] > 0


# ---- what must not be shown, and what must not be believed ---------------------------------------


def everything_shown(server):
    """All that people who did not log in can get of a server, as one text."""
    async def run():
        texts = []
        for path in ("/ws-frontend", "/api/console/live"):
            async with websockets.connect(server.ws + path, max_size=None) as page:
                try:
                    for _ in range(20):
                        texts.append(await asyncio.wait_for(page.recv(), 0.5))
                except asyncio.TimeoutError:
                    pass
        return texts

    texts = asyncio.run(run())
    for path in ("/api/server/statusInfo", "/api/statistics"):
        texts.append(request(server, "GET", path)[1].decode())
    return "\n".join(texts)


@pytest.mark.parametrize("push", ["report", "snapshot"])
def test_private_machines_and_addresses_never_show(server, push):
    s = server(entry("seen", name="Seen"), entry("hidden", name="Hidden", public=False), status=f'push = "{push}";')

    async def run():
        loop = asyncio.get_running_loop()
        async with connect_page(s) as page, websockets.connect(s.ws + "/api/console/live") as console:
            async with connect_agent(s, "seen") as seen, connect_agent(s, "hidden") as hidden:
                await hidden.send(json.dumps(documented("hidden")))
                deployed = json.loads(RECORDED)
                deployed["ip"] = "198.51.100.23"
                await seen.send(json.dumps(deployed))
                await hidden.send(json.dumps(documented("hidden", ip="198.51.100.24")))
                await loop.run_in_executor(None, eventually, lambda: get(s.http + "/api/statistics")["data"]["onlineIds"] == ["seen"])
                await settled()
                shown = await loop.run_in_executor(None, everything_shown, s)
                for channel in (page, console):
                    while True:
                        try:
                            shown += await asyncio.wait_for(channel.recv(), 0.3)
                        except asyncio.TimeoutError:
                            break
                        if len(shown) > 1_000_000:
                            break
                return shown

    shown = asyncio.run(run())
    assert "seen" in shown and "hidden" not in shown and "Hidden" not in shown
    assert "203.0.113." not in shown and "198.51.100." not in shown


def test_addresses_are_shown_when_the_operator_says_so(server):
    s = server(entry("demo"), status="show_ip = true;")

    async def run():
        async with connect_page(s) as page, connect_agent(s) as link:
            await link.send(json.dumps(documented()))
            first = await receive(page)
            await link.send(RECORDED.replace('"ip": ""', '"ip": "198.51.100.23"'))
            return first, await receive(page)

    first, second = asyncio.run(run())
    assert first["ip"] == "203.0.113.7" and second["ip"] == "198.51.100.23"


def test_addresses_that_were_shown_are_hidden_after_a_reload(server):
    s = server(entry("demo"), entry("old"), status="show_ip = true;")

    async def greeting(wanted):
        async with connect_page(s) as page:
            return [await receive(page) for _ in range(wanted)]

    async def report():
        for id, text in (("demo", json.dumps(documented())), ("old", RECORDED.replace('"ip": ""', '"ip": "198.51.100.23"'))):
            async with connect_agent(s, id) as link:
                await link.send(text)
        eventually(lambda: get(s.http + "/api/statistics")["data"]["reportMapLen"] == 2)
        return await greeting(2)

    assert all(m["ip"] for m in asyncio.run(report()))
    s.reload(s.text(static_plugins(entry("demo"), entry("old"), status="show_ip = false;")))
    s.logged("core: reloaded")
    hidden = asyncio.run(greeting(2))
    assert len({m["serverId"] for m in hidden}) == 2 and not any("ip" in m for m in hidden)


def test_another_machines_report_is_dropped_and_the_link_stays(server):
    s = server(entry("demo"), entry("victim"))

    async def run():
        async with connect_page(s) as page, connect_agent(s) as link:
            await link.send(json.dumps(documented("victim")))
            await link.send(json.dumps(documented("demo")))
            seen = await receive(page)
            with pytest.raises(asyncio.TimeoutError):
                await receive(page, 0.4)
        return seen

    assert asyncio.run(run())["serverId"] == "demo"
    s.logged("identity_mismatch")
    assert not [m for m in get(s.http + "/api/server/statusInfo")["data"] if m["id"] == "victim"][0]["lastReportTime"]


def test_bad_reports_are_dropped_and_the_link_stays(server):
    s = server(entry("demo"))
    bad = ["", "{", "[]", "null", '{"serverId":"demo"}', json.dumps(documented(cpu=None)), json.dumps(documented(timestamp="now")),
           json.dumps(documented(memory={"total": -1, "used": 0, "available": 0, "usedPercent": 0})),
           json.dumps(documented()).replace('"percent": 45.2', '"percent": NaN'),
           json.dumps(documented()).replace('"percent": 45.2', '"percent": 1e999'),
           json.dumps(documented()) + "x", "[" * 100_0, RECORDED.replace('"cpuInfo"', '"cpuinfo"')]

    async def run():
        async with connect_page(s) as page, connect_agent(s) as link:
            for text in bad:
                await link.send(text)
            await link.send(json.dumps(documented(unknown={"deep": [1, {"x": None}]})))
            return await receive(page)

    assert asyncio.run(run())["serverId"] == "demo"
    s.logged('report of "demo" dropped')
    assert s.log.count("dropped:") < 5  # at most one line a second


def test_over_the_limit_is_1009(server):
    s = server(entry("demo"), entry("other"))

    async def run():
        async with connect_agent(s) as link, connect_agent(s, "other") as other, connect_page(s) as page:
            await link.send(json.dumps(documented(padding="x" * 60_000)))
            assert (await receive(page))["serverId"] == "demo"
            await link.send(json.dumps(documented(padding="x" * 70_000)))
            await asyncio.wait_for(link.wait_closed(), 5)
            await other.send(json.dumps(documented("other")))
            assert (await receive(page))["serverId"] == "other"
            return link.close_code

    assert asyncio.run(run()) == 1009


def test_the_newer_connection_wins(server):
    s = server(entry("demo"))

    async def run():
        async with connect_page(s) as page, connect_agent(s) as older:
            await older.send(json.dumps(documented()))
            await receive(page)
            async with connect_agent(s) as newer:
                await asyncio.wait_for(older.wait_closed(), 5)
                await newer.send(json.dumps(documented()))
                await receive(page)
                return older.close_code, get(s.http + "/api/statistics")["data"]["sessionMapLen"]

    assert asyncio.run(run()) == (4009, 1)
    s.logged("a newer connection")


# ---- online, offline ----------------------------------------------------------------------------


def test_offline_after_and_back(server):
    s = server(entry("demo"), status='push = "snapshot"; offline_after = 1.5;')

    async def run():
        loop = asyncio.get_running_loop()
        async with connect_page(s) as page, websockets.connect(s.ws + "/api/console/live") as console, connect_agent(s) as link:
            async def reaches(online):
                await until(page, lambda m: listed(m, "demo").get("isOnline") is online)
                await until(console, lambda m: m.get("online") is online)
                await loop.run_in_executor(None, eventually, lambda: bool(get(s.http + "/api/statistics")["data"]["onlineIds"]) is online)
                return listed(await loop.run_in_executor(None, get, s.http + "/api/server/statusInfo"), "demo")

            async def reports():  # again and again: looking takes its time
                while True:
                    await link.send(json.dumps(documented()))
                    await asyncio.sleep(0.3)
            for _ in range(2):
                reporting = asyncio.create_task(reports())
                assert (await reaches(True))["isOnline"] is True
                reporting.cancel()
                gone = await reaches(False)  # though the link is there
                assert gone["isOnline"] is False and gone["hostInfo"]["RAMTotal"] > 0 and link.open

    asyncio.run(run())


def test_a_lost_link_alone_makes_nobody_offline(server):
    s = server(entry("demo"), status="offline_after = 30;")

    async def run():
        async with connect_page(s) as page:
            async with connect_agent(s) as link:
                await link.send(json.dumps(documented()))
                await receive(page)
        await settled()

    asyncio.run(run())
    assert get(s.http + "/api/statistics")["data"]["onlineIds"] == ["demo"]


# ---- who may look --------------------------------------------------------------------------------


def test_a_token_opens_pages_and_rest(server):
    token = "a-token-of-some-length-77"
    s = server(entry("demo"), status=f'push = "snapshot"; frontend_access = "token"; frontend_token = "{token}";')

    def status(path, headers=None):
        link = http.client.HTTPConnection("127.0.0.1", s.port, timeout=5)
        link.request("GET", path, headers=headers or {})
        answer = link.getresponse()
        answer.read()
        link.close()
        return answer.status

    async def page(path, headers=None):
        try:
            async with websockets.connect(s.ws + path, extra_headers=headers or {}) as link:
                return (await receive(link))["type"]
        except websockets.InvalidStatusCode as refused:
            return refused.status_code

    for path in ("/api/server/statusInfo", "/api/statistics"):
        assert status(path) == 401 and status(path + "?token=wrong") == 401 and status(path + f"?token={token}x") == 401
        assert status(path + f"?token={token}") == 200 and status(path, {"Authorization": f"Bearer {token}"}) == 200
    assert asyncio.run(page("/ws-frontend")) == 401 and asyncio.run(page("/ws-frontend?token=wrong")) == 401
    assert asyncio.run(page(f"/ws-frontend?token={token}")) == "server_status_update"
    assert asyncio.run(page("/ws-frontend", {"Authorization": f"Bearer {token}"})) == "server_status_update"
    assert token not in s.log


def test_a_login_opens_pages_and_rest(tmp_path):
    """The token of somebody who logged in, in a header: judged for REST and for pages, and a page ends when the login is taken back."""
    page = '{ name = "server_status"; config = { push = "snapshot"; frontend_access = "login"; }; }'
    a = Accounts("sqlite", tmp_path / "accounts", more=[page]).begin()
    id, ann = a.person("ann")
    _, bob = a.person("bob")

    def connect(token=None, path="/ws-frontend"):
        return websockets.connect(a.server.ws + path, extra_headers={"Authorization": f"Bearer {token}"} if token else {})

    async def refused(token=None, path="/ws-frontend"):
        """The status of the refusal, or the code that it was closed with once the token was judged."""
        try:
            async with connect(token, path) as link:
                await asyncio.wait_for(link.wait_closed(), 10)
                return link.close_code
        except websockets.InvalidStatusCode as answer:
            return answer.status_code

    async def run():
        for path in ("/api/server/statusInfo", "/api/statistics"):
            assert a.call("GET", path).status == a.call("GET", path, token=ann[:-2]).status == 401
            assert a.call("GET", f"{path}?token={ann}").status == 401
            assert a.call("GET", path, token=ann).status == 200
        assert await refused() == await refused(path=f"/ws-frontend?token={ann}") == 401
        assert await refused(ann[:-2]) in (401, 4002) and await refused("x") in (401, 4002)
        for _ in range(20):  # gone before anybody has judged
            with Raw(a.server.port) as link:
                link.send(upgrade("/ws-frontend", f"Authorization: Bearer {ann}"))
        async with connect(ann) as first, connect(bob) as second:
            assert (await receive(first))["data"] == (await receive(second))["data"] == []
            new = {"old_password": PASSWORD, "new_password": "Another12345"}
            assert (await asyncio.to_thread(a.call, "PUT", "/api/auth/password", new, ann)).status == 200
            await asyncio.wait_for(first.wait_closed(), 10)
            assert first.close_code == 4010
            for _ in range(2):
                await receive(second)
        assert await refused(ann) in (401, 4002)
        # It ends by itself as well.
        end = int(time.time()) + 4
        short = forge({"userId": id, "username": "ann", "isAdmin": False, "ver": 1, "iat": end - 4, "exp": end})
        async with connect(short) as link:
            assert (await receive(link))["data"] == []
            await asyncio.wait_for(link.wait_closed(), 20)
            assert link.close_code == 4010 and time.time() >= end
        # Another rule is another start of the plugin: everybody may look then.
        a.server.reload(a.server.conf.read_text().replace('frontend_access = "login"', 'frontend_access = "public"'))
        await asyncio.to_thread(eventually, lambda: a.call("GET", "/api/statistics").status == 200)
        async with connect() as link:
            assert (await receive(link))["data"] == []

    asyncio.run(run())
    a.stop()
