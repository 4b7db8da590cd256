# SPDX-License-Identifier: ISC
"""Device data, commands, dashboards, groups and their export, on SQLite and on MariaDB. Each answer is held against the description."""
import csv
import io
import itertools
import time
import uuid
from datetime import timedelta

import pytest

from accounts import KINDS
from conftest import eventually
from described import error
from hostile import TEXT, frame
from wides import UNKNOWN, Home, iso, own, shared, utc


@pytest.fixture(scope="module", params=KINDS)
def relay(request, tmp_path_factory):
    yield from shared(request, tmp_path_factory)


@pytest.fixture
def make(tmp_path):
    yield from own(tmp_path)


@pytest.fixture
def home(relay):
    made = Home(relay)
    yield made
    made.close()
    print(relay.server.log[-3000:])  # shown where a test failed


@pytest.fixture
def other(relay):
    made = Home(relay)
    yield made
    made.close()


def short(answer, status, code):
    assert answer.status == status and set(answer.json) == {"error"} and set(answer.json["error"]) == {"code", "message"}, answer
    assert answer.json["error"]["code"] == code, answer


def text(answer, status):
    assert answer.status == status and set(answer.json) == {"error"} and isinstance(answer.json["error"], str), answer


# ---- device data ----


def test_the_newest_value_of_each_key(home):
    home.channel.say({"temperature": 21.5, "s": "x", "on": True, "o": {"a": [1]}, "n": None, "long": 12345678901234567})
    home.channel.settle()
    time.sleep(0.01)
    home.channel.say({"temperature": -3.25e1, "s": ""})
    home.channel.settle()
    got = home.call("GET", home.path("data")).json
    assert list(got) == ["deviceId", "deviceName", "lastUpdate", "data"]
    assert (got["deviceId"], got["deviceName"]) == (home.device["id"], home.device["custom_name"])
    values = {each["key"]: (each["value"], each["type"], each["unit"]) for each in got["data"]}
    assert values == {"temperature": (-32.5, "number", "°C"), "s": ("", "string", None), "on": (True, "boolean", None), "o": ({"a": [1]}, "json", None),
                      "n": ("null", "string", None), "long": (12345678901234567, "number", None)}
    assert [each["key"] for each in got["data"]] == sorted(values)
    assert got["lastUpdate"] == max(each["timestamp"] for each in got["data"])
    keys = home.call("GET", home.path("data-keys")).json
    assert list(keys) == ["deviceId", "dataKeys"] and {each["key"] for each in keys["dataKeys"][:2]} == {"temperature", "s"}
    seen = [each["lastSeen"] for each in keys["dataKeys"]]
    assert seen == sorted(seen, reverse=True) and len(seen) == 6


def test_of_values_of_one_millisecond_the_last_counts(home):
    home.channel.send(b"".join(frame(TEXT, '{"v":%d}' % n) for n in range(20)))
    home.channel.settle()
    assert [each["value"] for each in home.call("GET", home.path("data")).json["data"]] == [19]


def test_a_device_without_data(home):
    assert home.call("GET", home.path("data")).json == {"deviceId": home.device["id"], "deviceName": home.device["custom_name"], "lastUpdate": None,
                                                       "data": []}
    assert home.call("GET", home.path("data-keys")).json == {"deviceId": home.device["id"], "dataKeys": []}


def test_many_keys_and_many_values(home):
    for n in range(30):
        home.channel.say({f"k{i:03}": n for i in range(100)})
        time.sleep(0.002)
    home.channel.settle()
    got = home.call("GET", home.path("data")).json["data"]
    assert [each["key"] for each in got] == [f"k{i:03}" for i in range(100)]
    assert {each["value"] for each in got} == {29}  # all that was sent before, however much that is


@pytest.mark.parametrize("what", ["data", "data-keys", "control/history", "control/abcdefgh"])
def test_what_is_not_there_or_not_yours(home, other, what):
    assert other.call("GET", home.path(*what.split("/"))).status == 403
    assert home.call("GET", home.path(*what.split("/"), device={"id": UNKNOWN})).status == 404
    assert home.call("GET", f"/api/endpoints/{UNKNOWN}/devices/{home.device['id']}/{what}").status == 404
    crossed = f"/api/endpoints/{other.endpoint['id']}/devices/{home.device['id']}/{what}"
    assert other.call("GET", crossed).status == 404  # the device is of another endpoint


# ---- commands ----


def test_a_command_and_its_way(home):
    sent = home.call("POST", home.path("control"), {"command": "setLight", "params": {"on": True, "level": 0.5}})
    assert sent.status == 200 and list(sent.json) == ["commandId", "status", "sentAt", "message"] and sent.json["status"] == "pending"
    id = sent.json["commandId"]
    asked = home.channel.json()
    assert (asked["commandId"], asked["command"], asked["params"]) == (id, "setLight", {"on": True, "level": 0.5})
    shown = home.call("GET", home.path("control", id)).json
    assert shown["status"] == "pending" and shown["ackAt"] is None and shown["duration"] is None
    home.channel.say({"type": "control_ack", "commandId": id, "status": "success", "message": "ok"})
    home.channel.settle()
    shown = home.call("GET", home.path("control", id)).json
    assert list(shown) == ["commandId", "deviceId", "deviceName", "endpointId", "endpointName", "commandType", "commandParams", "status", "sentAt", "ackAt",
                           "timeoutAt", "errorMessage", "duration"]
    assert (shown["status"], shown["errorMessage"], shown["commandType"], shown["commandParams"]) == ("success", "ok", "setLight", {"on": True, "level": 0.5})
    assert 0 <= shown["duration"] < 5000 and shown["endpointName"] == "Home"
    listed = home.call("GET", home.path("control", "history?page=1&pageSize=20&status=success")).json
    assert [each["commandId"] for each in listed["commands"]] == [id] and listed["pagination"] == {"total": 1, "page": 1, "pageSize": 20, "totalPages": 1}
    assert home.call("GET", home.path("control", "history?status=failed")).json["commands"] == []
    short(home.call("GET", home.path("control", "nowhere1")), 404, "COMMAND_NOT_FOUND")


def test_pages_of_commands(home):
    ids = [home.call("POST", home.path("control"), {"command": f"c{n}"}).json["commandId"] for n in range(5)]
    first = home.call("GET", home.path("control", "history?page=1&page_size=2")).json
    last = home.call("GET", home.path("control", "history?page=3&pageSize=2")).json
    beyond = home.call("GET", home.path("control", "history?page=9&pageSize=2")).json
    assert first["pagination"] == {"total": 5, "page": 1, "pageSize": 2, "totalPages": 3} and len(first["commands"]) == 2
    assert len(last["commands"]) == 1 and beyond["commands"] == [] and beyond["pagination"]["total"] == 5
    every = home.call("GET", home.path("control", "history?pageSize=5000")).json
    assert sorted(each["commandId"] for each in every["commands"]) == sorted(ids) and every["pagination"]["pageSize"] == 100


@pytest.mark.parametrize("body, code", [
    ({}, "INVALID_COMMAND"), ({"command": ""}, "INVALID_COMMAND"), ({"command": 5}, "INVALID_COMMAND"), ({"command": None}, "INVALID_COMMAND"),
    ({"command": "x" * 101}, "INVALID_COMMAND"), ({"command": "x", "params": []}, "INVALID_PARAMS"), ({"command": "x", "params": "a"}, "INVALID_PARAMS"),
    ({"command": "x", "params": {"a": "y" * 70000}}, "INVALID_PARAMS"),
])
def test_commands_that_are_none(home, body, code):
    short(home.call("POST", home.path("control"), body), 400, code)
    assert home.relay.value("SELECT COUNT(*) FROM control_commands WHERE device_id = ?", home.device["id"]) == 0


def test_a_body_that_is_no_json(home):
    short(home.call("POST", home.path("control"), b"{bad"), 400, "INVALID_JSON")


def test_a_device_that_is_offline(home):
    home.channel.leave()
    eventually(lambda: not home.call("GET", f"/api/visualization/endpoints/{home.endpoint['id']}/devices/online-status").json["onlineStatus"][home.device["id"]])
    short(home.call("POST", home.path("control"), {"command": "x"}), 503, "DEVICE_OFFLINE")


# ---- dashboards ----


def card(**more):
    return {"cardType": "statistic", "dataKey": "temperature", "title": "T", "config": {"unit": "C"}, "position": {"x": 0, "y": 1}, **more}


def test_cards(home):
    made = home.call("POST", "/api/visualization/cards", card(endpointId=home.endpoint["id"], deviceId=home.device["id"]))
    assert made.status == 201 and made.json["config"] == {"unit": "C"} and made.json["endpointId"] == home.endpoint["id"]
    assert list(made.json) == ["id", "userId", "endpointId", "deviceId", "cardType", "dataKey", "title", "config", "position", "createdAt", "updatedAt"]
    bare = home.call("POST", "/api/visualization/cards", {"card_type": "text", "title": "温室", "endpoint_id": None}).json
    assert (bare["endpointId"], bare["dataKey"], bare["config"], bare["title"]) == (None, None, {}, "温室")
    place = f"/api/visualization/cards/{made.json['id']}"
    changed = home.call("PUT", place, {"title": "New", "dataKey": None, "position": {"x": 9}})
    assert changed.status == 200 and {**made.json, "title": "New", "dataKey": None, "position": {"x": 9}, "updatedAt": 0} == {**changed.json, "updatedAt": 0}
    assert home.call("GET", place).json == changed.json
    assert home.call("GET", "/api/visualization/cards").json == {"cards": [changed.json, bare]}
    assert home.call("GET", f"/api/visualization/cards?endpointId={home.endpoint['id']}").json == {"cards": [changed.json]}
    gone = home.call("DELETE", place)
    assert gone.status == 200 and gone.json["success"] is True
    text(home.call("GET", place), 404)
    text(home.call("DELETE", place), 404)


def test_cards_of_others(home, other):
    made = home.call("POST", "/api/visualization/cards", card()).json
    place = f"/api/visualization/cards/{made['id']}"
    for method, body in (("GET", None), ("PUT", {"title": "mine"}), ("DELETE", None)):
        text(other.call(method, place, body), 404)
    text(other.call("POST", "/api/visualization/cards", card(endpointId=home.endpoint["id"])), 404)
    text(other.call("POST", "/api/visualization/cards", card(deviceId=home.device["id"])), 404)
    text(other.call("POST", "/api/visualization/cards", card(endpointId=other.endpoint["id"], deviceId=home.device["id"])), 404)
    mine = other.call("POST", "/api/visualization/cards", card()).json
    text(other.call("PUT", f"/api/visualization/cards/{mine['id']}", {"endpointId": home.endpoint["id"]}), 404)
    assert home.call("GET", place).json == made
    assert [each["id"] for each in other.call("GET", "/api/visualization/cards").json["cards"]] == [mine["id"]]


@pytest.mark.parametrize("body", [{}, card(title=""), card(title="x" * 101), card(cardType="x" * 51), card(config=[]), card(config={"a": "x" * 16001})])
def test_cards_that_are_none(home, body):
    text(home.call("POST", "/api/visualization/cards", body), 400)


def test_devices_and_who_is_online(home):
    _, channel = home.add()
    channel.leave()
    base = f"/api/visualization/endpoints/{home.endpoint['id']}/devices"
    listed = home.call("GET", base).json["devices"]
    assert [list(each) for each in listed] == [["id", "device_id", "custom_name", "last_connected_at"]] * 2
    away = next(each["id"] for each in listed if each["id"] != home.device["id"])
    eventually(lambda: home.call("GET", f"{base}/online-status").json == {"onlineStatus": {home.device["id"]: True, away: False}})
    text(home.call("GET", f"/api/visualization/endpoints/{UNKNOWN}/devices"), 404)


def history(home, **query):
    query = "&".join(f"{name}={value}" for name, value in query.items())
    return home.call("GET", f"/api/visualization/endpoints/{home.endpoint['id']}/devices/{home.device['id']}/data/history?{query}")


def test_history(home):
    start = utc(hours=5).replace(minute=0, second=0, microsecond=0)
    for minutes, value in ((0, 1), (0.5, 2), (1, 6), (59, 1.5), (60, -7), (119, 0.1)):
        home.put("t", value, start + timedelta(minutes=minutes))
    home.put("t", "many", start + timedelta(minutes=2), "string")
    home.put("u", 9, start)
    span = {"startTime": iso(start), "endTime": iso(start + timedelta(hours=2))}
    got = history(home, dataKey="t", **span).json
    assert list(got) == ["deviceId", "deviceName", "dataKey", "timeRange", "records"] and got["timeRange"] == span
    assert [each["value"] for each in got["records"]] == [1, 2, 6, "many", 1.5, -7, 0.1]
    assert got["records"][0]["timestamp"] == iso(start)
    by_minute = history(home, dataKey="t", aggregation="minute", **span).json
    assert list(by_minute) == ["deviceId", "deviceName", "dataKey", "timeRange", "aggregation", "aggregateType", "records"]
    assert [(each["timestamp"], each["value"], each["count"]) for each in by_minute["records"]][:2] == [
        (iso(start), 1.5, 2), (iso(start + timedelta(minutes=1)), 6, 1)]
    for kind, values in (("avg", [2.625, -3.45]), ("max", [6, 0.1]), ("min", [1, -7])):
        hours = history(home, data_key="t", aggregation="hour", aggregate_type=kind, **span).json
        assert hours["aggregateType"] == kind
        assert [(each["timestamp"], each["value"], each["count"]) for each in hours["records"]] == [
            (iso(start), values[0], 4), (iso(start + timedelta(hours=1)), values[1], 2)]
    day = history(home, dataKey="t", aggregation="day", **span).json["records"]
    assert sum(each["count"] for each in day) == 6 and all(each["timestamp"].endswith("T00:00:00.000Z") for each in day)
    assert [each["value"] for each in history(home, dataKey="t", limit=2, **span).json["records"]] == [-7, 0.1]
    assert history(home, dataKey="nothing", **span).json["records"] == []


def test_averages_have_six_decimals(home):
    at = utc(minutes=30).replace(second=0, microsecond=0)
    for n, value in enumerate((21.5, 22, 23)):
        home.put("t", value, at + timedelta(seconds=n))
    assert history(home, dataKey="t", aggregation="minute").json["records"] == [{"timestamp": iso(at), "value": 22.166667, "count": 3}]


def test_history_is_bounded(home):
    for n in range(0, 1200, 150):
        for i in range(150):
            home.channel.say({"t": n + i})
        home.channel.settle()
    home.stored(1200)
    records = history(home, dataKey="t").json["records"]
    assert len(records) == 1000 and {each["value"] for each in records} >= set(range(400, 1200))


@pytest.mark.parametrize("query", [{}, {"dataKey": ""}, {"dataKey": "t", "aggregation": "year"}, {"dataKey": "t", "aggregateType": "sum"},
                                   {"dataKey": "t", "startTime": "yesterday"}, {"dataKey": "t", "limit": 1001}, {"dataKey": "t", "limit": 0},
                                   {"dataKey": "t", "startTime": "2030-01-01T00:00:00Z", "endTime": "2029-01-01T00:00:00Z"}])
def test_history_that_nobody_can_tell(home, query):
    text(history(home, **query), 400)


# ---- groups ----


def test_groups(home):
    second, _ = home.add("Second")
    made = home.group(home.device)
    assert list(made) == ["id", "user_id", "endpoint_id", "group_name", "description", "device_count", "created_at", "updated_at"]
    assert made["device_count"] == 1 and made["description"] is None
    empty = home.call("POST", "/api/device-groups", {"endpointId": home.endpoint["id"], "groupName": "E", "description": "none"}).data
    assert empty["device_count"] == 0 and empty["description"] == "none"
    listed = home.call("GET", "/api/device-groups?page=1&page_size=1").data
    assert list(listed) == ["groups", "page", "page_size", "total"] and (listed["page"], listed["page_size"], listed["total"]) == (1, 1, 2)
    assert list(listed["groups"][0]) == ["id", "group_name", "endpoint_id", "endpoint_name", "device_count", "created_at"]
    place = f"/api/device-groups/{made['id']}"
    more = home.call("POST", f"{place}/devices", {"device_ids": [second["id"], home.device["id"], second["id"]]}).data
    assert more["device_count"] == 2
    shown = home.call("GET", place).data
    assert list(shown) == ["id", "group_name", "description", "endpoint_id", "endpoint_name", "device_count", "created_at", "devices"]
    assert shown["device_count"] == 2 and [each["id"] for each in shown["devices"]] == [home.device["id"], second["id"]]
    less = home.call("DELETE", f"{place}/devices", {"deviceIds": [home.device["id"], UNKNOWN]}).data
    assert less["device_count"] == 1 and [each["id"] for each in home.call("GET", place).data["devices"]] == [second["id"]]
    assert home.call("PUT", place, {"group_name": "N", "description": "d"}).data["group_name"] == "N"
    assert home.call("PATCH", place, {"description": None}).data["description"] is None
    assert home.call("DELETE", place).status == 200
    error(home.call("GET", place), 404, "GROUP_NOT_FOUND")
    error(home.call("DELETE", place), 404, "GROUP_NOT_FOUND")


def test_groups_of_others(home, other):
    made = home.group(home.device)
    place = f"/api/device-groups/{made['id']}"
    ids = {"device_ids": [other.device["id"]]}
    for method, path, body in (("GET", place, None), ("PUT", place, {"group_name": "x"}), ("DELETE", place, None), ("POST", f"{place}/devices", ids),
                               ("DELETE", f"{place}/devices", {"device_ids": [home.device["id"]]}), ("GET", f"{place}/data", None),
                               ("POST", f"{place}/control", {"command_type": "x"}), ("GET", f"{place}/control/abcdefghijkl", None),
                               ("GET", f"{place}/export", None)):
        error(other.call(method, path, body), 404, "GROUP_NOT_FOUND")
    error(home.call("POST", f"{place}/devices", ids), 404, "DEVICE_NOT_FOUND")
    error(other.call("POST", "/api/device-groups", {"endpoint_id": home.endpoint["id"], "group_name": "x"}), 404, "ENDPOINT_NOT_FOUND")
    error(other.call("POST", "/api/device-groups", {"endpoint_id": other.endpoint["id"], "group_name": "x", "device_ids": [home.device["id"]]}), 404,
          "DEVICE_NOT_FOUND")
    assert other.call("GET", "/api/device-groups").data["groups"] == []
    assert home.call("GET", place).data["device_count"] == 1


def test_twenty_groups_are_the_most(home):
    for n in range(20):
        home.group(name=f"g{n}")
    error(home.call("POST", "/api/device-groups", {"endpoint_id": home.endpoint["id"], "group_name": "x"}), 400, "GROUP_LIMIT_REACHED")
    assert home.call("GET", "/api/device-groups?pageSize=50").data["total"] == 20


@pytest.mark.parametrize("body, field", [({"group_name": ""}, "group_name"), ({"group_name": "x" * 51}, "group_name"), ({}, "group_name"),
                                         ({"group_name": "x", "description": "x" * 201}, "description"),
                                         ({"group_name": "x", "device_ids": "x"}, "device_ids"), ({"group_name": "x", "device_ids": [5]}, "device_ids[0]")])
def test_groups_that_are_none(home, body, field):
    answer = home.call("POST", "/api/device-groups", {"endpoint_id": home.endpoint["id"], **body})
    assert error(answer, 400, "VALIDATION_ERROR").fields == [field]


def test_what_a_group_measured(home):
    second, channel = home.add()
    home.channel.say({"temperature": 21.5, "on": True})
    channel.say({"temperature": 22, "o": {"a": 1}})
    home.channel.say({"temperature": 23})
    home.channel.settle(), channel.settle()
    home.put("temperature", 1000, utc(hours=25))
    got = home.call("GET", f"/api/device-groups/{home.group(home.device, second)['id']}/data").data
    assert list(got) == ["group_id", "device_count", "last_update", "aggregations"] and got["device_count"] == 2
    assert got["aggregations"] == [
        {"data_key": "o", "average": 0, "max": 0, "min": 0, "sample_count": 1}, {"data_key": "on", "average": 0, "max": 0, "min": 0, "sample_count": 1},
        {"data_key": "temperature", "unit": "°C", "average": 22.166667, "max": 23, "min": 21.5, "sample_count": 3}]
    alone = home.call("GET", f"/api/device-groups/{home.group()['id']}/data").data
    assert (alone["device_count"], alone["last_update"], alone["aggregations"]) == (0, None, [])


def test_a_command_to_a_group(home):
    second, channel = home.add()
    third, gone = home.add()
    gone.leave()
    online = f"/api/visualization/endpoints/{home.endpoint['id']}/devices/online-status"
    eventually(lambda: home.call("GET", online).json["onlineStatus"][third["id"]] is False)
    place = f"/api/device-groups/{home.group(home.device, second, third)['id']}/control"
    sent = home.call("POST", place, {"command_type": "x", "command_params": {"a": 1, "batchId": "forged"}}).data
    assert list(sent)[:3] == ["batchId", "totalDevices", "commands"] and sent["batch_id"] == sent["batchId"] and sent["totalDevices"] == 3
    status = {each["deviceId"]: each["status"] for each in sent["commands"]}
    assert status == {home.device["id"]: "pending", second["id"]: "pending", third["id"]: "failed"}
    for each in (home.channel, channel):
        asked = each.json()
        assert asked["command"] == "x" and asked["params"] == {"a": 1, "batchId": sent["batchId"]}
        each.say({"type": "control_ack", "commandId": asked["commandId"], "status": "success" if each is channel else "failed", "message": "done"})
        each.settle()
    got = home.call("GET", f"{place}/{sent['batchId']}").data
    assert {name: got[name] for name in ("totalDevices", "successCount", "failedCount", "pendingCount", "timeoutCount")} == {
        "totalDevices": 3, "successCount": 1, "failedCount": 2, "pendingCount": 0, "timeoutCount": 0}
    assert got["success_count"] == 1 and {each["commandId"] for each in got["commands"]} == {each["commandId"] for each in sent["commands"]}
    assert next(each for each in got["commands"] if each["deviceId"] == second["id"])["errorMessage"] == "done"
    for unknown in ("undefined", "abcdefghijkl", "%25%25%25%25%25%25%25%25%25%25%25%25", "____________"):
        error(home.call("GET", f"{place}/{unknown}"), 404, "BATCH_NOT_FOUND")
    error(home.call("POST", place, {}), 400, "INVALID_COMMAND")
    error(home.call("POST", place, {"command": "x", "params": []}), 400, "INVALID_PARAMS")
    error(home.call("POST", f"/api/device-groups/{home.group()['id']}/control", {"command": "x"}), 400, "GROUP_EMPTY")


def test_a_command_to_a_group_that_is_too_much_for_the_store(make):
    """Nothing is told of commands that are stored nowhere."""
    home = Home(make(store="limits = { queue_bytes = 1048576; };"))
    devices = [{"id": str(uuid.uuid4())} for _ in range(30)]
    for each in devices:
        home.relay.sql("INSERT INTO devices (id, endpoint_id, device_id, custom_name) VALUES (?, ?, ?, 'D')", each["id"], home.endpoint["id"], each["id"][:8])
    place = f"/api/device-groups/{home.group(*devices)['id']}/control"
    answer = home.call("POST", place, {"command_type": "x", "command_params": {"a": "y" * 50000}})
    assert error(answer, 503, "SERVICE_UNAVAILABLE").headers["retry-after"]
    told = home.call("POST", place, {"command_type": "x", "command_params": {"a": 1}}).data
    assert home.relay.value("SELECT COUNT(*) FROM control_commands") == 30
    assert all(each["status"] == "failed" and each["commandId"] for each in told["commands"])
    home.close()


def test_an_export(home):
    home.relay.sql("UPDATE devices SET custom_name = ? WHERE id = ?", "=cmd|' /C calc'!A0", home.device["id"])
    at = utc(minutes=10)
    home.put("t", 21.5, at)
    home.put("s", "=1+1", at, "string")
    home.put("q", 'a "b", c\nd', at, "string")
    home.put("on", True, at, "boolean")
    home.put("t", -7, at + timedelta(seconds=1))
    home.put("@k", "-1", at + timedelta(seconds=1), "string")
    home.put("t", 5, utc(days=2))
    place = f"/api/device-groups/{home.group(home.device)['id']}/export"
    answer = home.call("GET", f"{place}?start_time={iso(utc(hours=1))}&endTime={iso(utc())}&format=csv")
    assert answer.status == 200 and answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    head, *rows = csv.reader(io.StringIO(answer.text))
    assert head[:3] == ["device_id", "device_name", "timestamp"] and sorted(head[3:]) == ["'@k", "on", "q", "s", "t"]
    rows = [dict(zip(head, row)) for row in rows]
    assert len(rows) == 2 and all(row["device_name"] == "'=cmd|' /C calc'!A0" and row["device_id"] == home.device["device_id"] for row in rows)
    assert {key: rows[0][key] for key in head[3:]} == {"t": "21.5", "s": "'=1+1", "q": 'a "b", c\nd', "on": "true", "'@k": ""}
    assert (rows[1]["t"], rows[1]["'@k"], rows[1]["timestamp"]) == ("-7", "'-1", iso(at + timedelta(seconds=1)))
    got = home.call("GET", f"{place}?format=json").data
    assert list(got) == ["group_id", "group_name", "start_time", "end_time", "records"] and len(got["records"]) == 2
    assert got["records"][0]["data"] == {"t": 21.5, "s": "=1+1", "q": 'a "b", c\nd', "on": True} and got["records"][0]["device_name"].startswith("=cmd")
    assert home.call("GET", place).headers["content-type"].startswith("text/csv")
    error(home.call("GET", f"{place}?format=xml"), 400, "VALIDATION_ERROR")
    error(home.call("GET", f"{place}?start_time=2030-01-01T00:00:00Z"), 400, "VALIDATION_ERROR")
    nothing = home.call("GET", f"/api/device-groups/{home.group()['id']}/export")
    assert nothing.text == "device_id,device_name,timestamp\n"


@pytest.mark.slow
def test_an_export_that_is_too_large(home):
    at = utc(hours=1)
    for n in range(51):
        times = [(at + timedelta(milliseconds=n * 5 + i)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] for i in range(5)]
        rows = [(str(uuid.uuid4()), home.device["id"], f"k{k}", str(n), "number", time) for time in times for k in range(200)]
        home.relay.sql("INSERT INTO device_data (id, device_id, data_key, data_value, data_type, timestamp) VALUES " + ",".join(["(?,?,?,?,?,?)"] * len(rows)),
                       *itertools.chain(*rows))
    place = f"/api/device-groups/{home.group(home.device)['id']}/export"
    error(home.call("GET", place), 400, "EXPORT_TOO_LARGE")
    home.relay.sql("DELETE FROM device_data WHERE device_id = ? AND data_key < ?", home.device["id"], "k11")  # k0, k1, k10, k100 to k109
    records = home.call("GET", f"{place}?format=json").data["records"]
    assert len(records) == 255 and all(len(each["data"]) == 187 for each in records)
    head, *lines = csv.reader(io.StringIO(home.call("GET", place).text))
    assert len(lines) == 255 and {len(line) for line in lines} == {len(head)} == {190}
