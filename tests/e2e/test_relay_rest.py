# SPDX-License-Identifier: ISC
"""The relay's REST API, on SQLite and on MariaDB: endpoints, devices, access, what administrators do. Each answer is held against the description."""
import calendar
import concurrent.futures
import hashlib
import http.client
import itertools
import json
import re
import sqlite3
import ssl
import time
import uuid

import pytest

from accounts import KINDS
from conftest import eventually, free_port
from described import Described, error
from hostile import Raw, request
from tls import self_signed
from wides import own, shared

E = ["id", "endpoint_id", "name", "user_id", "forwarding_mode", "custom_header", "created_at", "last_active_at", "is_disabled", "disabled_at",
     "disabled_reason", "disabled_by", "websocket_url"]
UNKNOWN = "00000000-0000-0000-0000-000000000000"
numbers = itertools.count(1)


@pytest.fixture(scope="module", params=KINDS)
def relay(request, tmp_path_factory):
    yield from shared(request, tmp_path_factory)


@pytest.fixture
def make(tmp_path):
    yield from own(tmp_path)


@pytest.fixture
def user(relay):
    """A new user's token; `user.id`."""
    return person(relay)


class Token(str):
    id = None


def person(relay):
    id, token = relay.person(f"user_{next(numbers)}")
    token = Token(token)
    token.id = id
    return token


def path(endpoint, *more):
    return "/".join(["/api/endpoints", endpoint["id"], *more])


# ---- endpoints ----


def test_health_needs_nobody(relay):
    answer = relay.call("GET", "/api/health")
    assert (answer.status, answer.text) == (200, '{"status":"ok"}')


def test_an_endpoint_is_made_and_shown(relay, user):
    before = time.time()
    made = relay.endpoint(user, name="E1", forwarding_mode="JSON")
    assert list(made) == E
    assert made["name"] == "E1" and made["user_id"] == user.id and made["forwarding_mode"] == "JSON" and made["custom_header"] is None
    assert made["is_disabled"] is False and made["last_active_at"] is None
    assert re.fullmatch(r"[A-Za-z0-9_-]{10}", made["endpoint_id"]) and str(uuid.UUID(made["id"])) == made["id"]
    assert made["websocket_url"] == f"ws://127.0.0.1:{relay.server.port}/ws/{made['endpoint_id']}"
    created = time.strptime(made["created_at"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert abs(calendar.timegm(created) - before) < 30
    assert relay.call("GET", path(made), token=user).data["endpoint"] == made
    second = relay.endpoint(user)
    assert second["forwarding_mode"] == "DIRECT" and second["name"].startswith("Endpoint-")
    third = relay.endpoint(user, name="", custom_header="AA55|", forwarding_mode="CUSTOM_HEADER")
    assert third["custom_header"] == "AA55|" and third["name"]
    listed = relay.call("GET", "/api/endpoints", token=user).data["endpoints"]
    assert listed == [third, second, made]


def test_words_are_chinese_for_those_who_read_it(relay, user):
    zh = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.5"}
    made = relay.call("POST", "/api/endpoints", {}, user, headers=zh).data["endpoint"]
    assert made["name"].startswith("端点-")
    answer = relay.call("GET", f"/api/endpoints/{UNKNOWN}", token=user, headers=zh)
    assert error(answer, 404, "ENDPOINT_NOT_FOUND").json["error"]["message"] == "端点不存在"
    assert relay.call("DELETE", path(made), token=user, headers=zh).data == {"message": "端点已删除"}


@pytest.mark.parametrize("body, field", [
    ({"name": 5}, "name"), ({"name": "x" * 101}, "name"), ({"forwarding_mode": "BOGUS"}, "forwarding_mode"), ({"forwarding_mode": None}, "forwarding_mode"),
    ({"custom_header": "x" * 256}, "custom_header"), ({"custom_header": []}, "custom_header"),
])
def test_a_new_endpoint_is_checked(relay, user, body, field):
    answer = error(relay.call("POST", "/api/endpoints", body, user), 400, "VALIDATION_ERROR")
    assert answer.fields == [field]
    assert relay.call("GET", "/api/endpoints", token=user).data["endpoints"] == []


def test_names_may_hold_any_text(relay, user):
    name = "名字 \"'; DROP TABLE endpoints; -- \U0001f600 %s ?"
    made = relay.endpoint(user, name=name, custom_header="\t\r\n\\'\"")
    assert relay.call("GET", path(made), token=user).data["endpoint"]["name"] == name
    assert relay.value("SELECT custom_header FROM endpoints WHERE id = ?", made["id"]) == "\t\r\n\\'\""
    assert len(relay.endpoint(user, name="\U0001f600" * 100)["name"]) == 100


def test_five_endpoints_per_user_and_no_more(relay, user):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: relay.call("POST", "/api/endpoints", {"name": f"n{n}"}, user), range(16)))
    assert sorted(a.status for a in answers) == [201] * 5 + [400] * 11
    assert {a.code for a in answers if a.status == 400} == {"ENDPOINT_LIMIT_REACHED"}
    listed = relay.call("GET", "/api/endpoints", token=user).data["endpoints"]
    assert len(listed) == 5 and relay.value("SELECT COUNT(*) FROM endpoints WHERE user_id = ?", user.id) == 5
    relay.call("DELETE", path(listed[0]), token=user)
    assert relay.endpoint(user)


def test_the_limit_holds_between_two_servers_on_one_database(make, mariadb_database):
    one = make("mariadb", mariadb_database)
    two = Described("mariadb", one.folder.parent / "second", mariadb_database, options="").start()
    try:
        token = person(one)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda n: (one, two)[n % 2].call("POST", "/api/endpoints", {}, token), range(16)))
        assert one.value("SELECT COUNT(*) FROM endpoints WHERE user_id = ?", token.id) == 5
        assert sum(a.status == 201 for a in answers) == 5 and {a.status for a in answers} <= {201, 400, 503}, answers
    finally:
        two.stop()


def test_what_belongs_to_others_is_forbidden(relay, user):
    other = person(relay)
    made = relay.endpoint(other, name="theirs")
    for method, where, body in (("GET", path(made), None), ("DELETE", path(made), None), ("GET", path(made, "stats"), None),
                                ("GET", path(made, "messages"), None), ("GET", path(made, "devices"), None), ("GET", path(made, "access"), None),
                                ("PUT", path(made, "forwarding-mode"), {"forwarding_mode": "JSON"}), ("PUT", path(made, "access"), {"access": "open"}),
                                ("PUT", path(made, "devices", "d"), {"custom_name": "x"})):
        for token in (user, relay.token):
            assert "theirs" not in error(relay.call(method, where, body, token), 403, "FORBIDDEN").text
        error(relay.call(method, where.replace(made["id"], UNKNOWN), body, user), 404, "ENDPOINT_NOT_FOUND")
        error(relay.call(method, where, body), 401, "MISSING_TOKEN")
        error(relay.call(method, where, body, "x.y.z"), 401, "INVALID_TOKEN")
    assert relay.call("GET", path(made), token=other).data["endpoint"] == made


def test_what_other_programs_change_counts_at_once(relay, user):
    made = relay.endpoint(user, name="before")
    relay.sql("UPDATE endpoints SET name = 'after', forwarding_mode = 'JSON' WHERE id = ?", made["id"])
    assert relay.call("GET", path(made), token=user).data["endpoint"] == {**made, "name": "after", "forwarding_mode": "JSON"}
    relay.sql("UPDATE endpoints SET user_id = (SELECT id FROM users WHERE username = 'admin') WHERE id = ?", made["id"])
    error(relay.call("GET", path(made), token=user), 403, "FORBIDDEN")
    assert relay.call("GET", "/api/endpoints", token=user).data["endpoints"] == []
    relay.sql("DELETE FROM endpoints WHERE id = ?", made["id"])
    error(relay.call("GET", path(made), token=user), 404, "ENDPOINT_NOT_FOUND")


def test_deleting_closes_connections_and_leaves_nothing(relay, user):
    made = relay.endpoint(user)
    relay.call("PUT", path(made, "access"), {"allowed_origins": ["https://example.org"]}, user)
    with relay.device(made, name="D") as (device, channel):
        channel.say("hello")
        channel.settle()
        assert relay.call("DELETE", path(made), token=user).data == {"message": "The endpoint was deleted"}
        heard, code, reason = channel.closing()
        assert (code, reason) == (1008, "Invalid endpoint")
    error(relay.call("GET", path(made), token=user), 404, "ENDPOINT_NOT_FOUND")
    error(relay.call("DELETE", path(made), token=user), 404, "ENDPOINT_NOT_FOUND")
    for table in ("messages", "devices", "endpoint_stats", "muster_endpoint_access"):
        eventually(lambda: relay.value(f"SELECT COUNT(*) FROM {table} WHERE endpoint_id = ?", made["id"]) == 0)
    assert relay.join(made, wait=False).closing()[1:] == (1008, "Invalid endpoint")


# ---- addresses ----


def test_the_address_is_the_configured_one(make):
    relay = make(options='websocket_base_url = "wss://relay.example.org:8443";')
    made = relay.endpoint(relay.token)
    assert made["websocket_url"] == f"wss://relay.example.org:8443/ws/{made['endpoint_id']}"


def test_the_address_is_the_one_that_was_asked(relay, user):
    made = relay.endpoint(user)
    for headers, base in (({"Host": "relay.example.org"}, "ws://relay.example.org"),
                          ({"Host": "relay.example.org", "X-Forwarded-Proto": "https"}, "wss://relay.example.org"),
                          ({"Host": "[::1]:3001"}, "ws://[::1]:3001")):
        assert relay.call("GET", path(made), token=user, headers=headers).data["endpoint"]["websocket_url"] == f"{base}/ws/{made['endpoint_id']}"


def test_the_address_is_a_safe_one_where_the_relay_itself_speaks_tls(make, tmp_path):
    relay = make()
    made, port = relay.endpoint(relay.token), free_port()
    relay.server.listen += f', {{ address = "127.0.0.1"; port = {port}; {self_signed(tmp_path, "localhost").conf} }}'
    relay.server.reload(relay.server.text(relay.plugins()))
    relay.server.logged("reloaded: ")
    link = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ssl._create_unverified_context())
    link.request("GET", path(made), headers={"Authorization": f"Bearer {relay.token}"})
    assert json.loads(link.getresponse().read())["data"]["endpoint"]["websocket_url"] == f"wss://127.0.0.1:{port}/ws/{made['endpoint_id']}"
    link.close()


# ---- forwarding ----


def test_a_mode_counts_for_open_connections_when_it_is_answered(relay, user):
    made = relay.endpoint(user)
    a, b = relay.join(made), relay.join(made)
    try:
        for body, header, heard in (({"forwarding_mode": "CUSTOM_HEADER", "custom_header": "AA55|"}, "AA55|", "AA55|hello"),
                                    ({"forwarding_mode": "JSON"}, "AA55|", None), ({"forwarding_mode": "CUSTOM_HEADER"}, "AA55|", "AA55|hello"),
                                    ({"forwarding_mode": "DIRECT", "custom_header": None}, None, "hello"),
                                    ({"forwarding_mode": "CUSTOM_HEADER", "custom_header": "名"}, "名", "名hello")):
            answer = relay.call("PUT", path(made, "forwarding-mode"), body, user).data["endpoint"]
            assert answer["forwarding_mode"] == body["forwarding_mode"] and answer["custom_header"] == header and list(answer) == E
            a.say("hello")
            got = b.text()
            assert got == heard or (heard is None and json.loads(got)["data"] == "hello"), (body, got)
    finally:
        a.s.close()
        b.s.close()


@pytest.mark.parametrize("body", [{"forwarding_mode": "BOGUS"}, {}, {"forwarding_mode": 1}, {"forwarding_mode": "JSON", "custom_header": "x" * 256},
                                  {"forwarding_mode": "JSON", "custom_header": 5}])
def test_a_wrong_mode_has_the_code_that_clients_know(relay, user, body):
    made = relay.endpoint(user)
    answer = error(relay.call("PUT", path(made, "forwarding-mode"), body, user), 400, "INVALID_INPUT")
    assert len(answer.fields) == 1
    assert relay.call("GET", path(made), token=user).data["endpoint"] == made


def test_a_mode_without_a_body_is_no_json(relay, user):
    made = relay.endpoint(user)
    error(relay.call("PUT", path(made, "forwarding-mode"), b"{bad", user, headers={"Content-Type": "application/json"}), 400, "INVALID_JSON")


# ---- figures, messages ----


def test_figures_and_messages_are_never_behind(relay, user):
    made = relay.endpoint(user, forwarding_mode="JSON")
    nothing = {"current_connections": 0, "total_connections": 0, "total_messages": 0, "last_active_at": None}
    assert relay.call("GET", path(made, "stats"), token=user).data == nothing
    assert relay.call("GET", path(made, "messages"), token=user).data == {"messages": []}
    with relay.device(made, name="P1") as (_, channel):
        other = relay.join(made)
        for n in range(60):
            channel.say(f"m{n}")
        channel.settle()
        other.say("last")
        other.settle()
        figures = relay.call("GET", path(made, "stats"), token=user).data
        assert figures["current_connections"] == 2 and figures["total_connections"] == 2 and figures["total_messages"] == 61
        assert figures["last_active_at"] == relay.call("GET", path(made), token=user).data["endpoint"]["last_active_at"] is not None
        messages = relay.call("GET", path(made, "messages"), token=user).data["messages"]
        assert len(messages) == 50 and list(messages[0]) == ["id", "endpoint_id", "content", "sender_info", "created_at"]
        assert [json.loads(m["content"])["data"] for m in messages if m["sender_info"] == "P1"] == [f"m{n}" for n in range(59, 10, -1)]
        assert {m["endpoint_id"] for m in messages} == {made["id"]} and len({m["id"] for m in messages}) == 50
        # what was told is in the database
        assert relay.value("SELECT total_messages FROM endpoint_stats WHERE endpoint_id = ?", made["id"]) == 61
        other.s.close()
    eventually(lambda: relay.call("GET", path(made, "stats"), token=user).data["current_connections"] == 0)


# ---- devices ----


def test_devices_are_listed_and_renamed(relay, user):
    made = relay.endpoint(user)
    assert relay.call("GET", path(made, "devices"), token=user).data == {"devices": []}
    with relay.device(made, "probe.1 ü?", "P1") as (device, channel):
        listed = relay.call("GET", path(made, "devices"), token=user).data["devices"]
        assert list(listed[0]) == ["id", "endpoint_id", "device_id", "custom_name", "last_connected_at", "created_at", "is_online"]
        assert listed[0]["is_online"] is True and listed[0]["custom_name"] == "P1" and listed[0]["id"] == device["id"]
        where = path(made, "devices", "probe.1%20%C3%BC%3F")
        renamed = relay.call("PUT", where, {"custom_name": "Renamed"}, user).data["device"]
        assert renamed == {k: v for k, v in {**listed[0], "custom_name": "Renamed"}.items() if k != "is_online"}
        channel.say("hello")
        channel.settle()
        assert relay.call("GET", path(made, "messages"), token=user).data["messages"][0]["sender_info"] == "Renamed"
        error(relay.call("PUT", path(made, "devices", "nobody"), {"custom_name": "x"}, user), 404, "DEVICE_NOT_FOUND")
        error(relay.call("PUT", path(made, "devices", device["id"]), {"custom_name": "x"}, user), 404, "DEVICE_NOT_FOUND")
        for bad in ({}, {"custom_name": ""}, {"custom_name": "x" * 101}, {"custom_name": None}, {"custom_name": 1}):
            assert error(relay.call("PUT", where, bad, user), 400, "VALIDATION_ERROR").fields == ["custom_name"]
    eventually(lambda: relay.call("GET", path(made, "devices"), token=user).data["devices"][0]["is_online"] is False)
    assert relay.call("GET", path(made, "devices"), token=user).data["devices"][0]["custom_name"] == "Renamed"


def test_a_device_whose_id_has_slashes_is_renamed(relay, user):
    made = relay.endpoint(user)
    with relay.device(made, "green/house 1/2") as (device, _):
        answer = relay.call("PUT", path(made, "devices", "green%2Fhouse%201%2F2"), {"custom_name": "G"}, user)
        assert (answer.data["device"]["id"], answer.data["device"]["custom_name"]) == (device["id"], "G")
        assert relay.call("PUT", path(made, "devices", "green%2Fhouse%201%2F2/"), {"custom_name": "H"}, user).data["device"]["custom_name"] == "H"
        error(relay.call("PUT", path(made, "devices", "green%2Fhouse"), {"custom_name": "x"}, user), 404, "DEVICE_NOT_FOUND")
        error(relay.call("GET", path(made, "devices", "green%2Fhouse"), token=user), 404, "NOT_FOUND")
        error(relay.call("GET", path(made, "devices", "green"), token=user), 405, "METHOD_NOT_ALLOWED")


# ---- access ----


def test_access_is_open_until_the_owner_says_otherwise(relay, user):
    made = relay.endpoint(user)
    shown = {"access": "open", "allowed_origins": [], "has_token": False}
    assert relay.call("GET", path(made, "access"), token=user).data == shown
    assert relay.call("PUT", path(made, "access"), {}, user).data == shown
    token = relay.call("PUT", path(made, "access"), {"access": "token"}, user).data
    assert token == {"access": "token", "allowed_origins": [], "has_token": True, "token": token["token"]} and len(token["token"]) == 32
    relay.secrets.add(token["token"])
    assert relay.call("GET", path(made, "access"), token=user).data == {**shown, "access": "token", "has_token": True}
    kept = relay.value("SELECT token_sha256 FROM muster_endpoint_access WHERE endpoint_id = ?", made["id"])
    assert kept == hashlib.sha256(token["token"].encode()).hexdigest()
    # what is not said stays, and no token is made that nobody asked for
    origins = relay.call("PUT", path(made, "access"), {"allowed_origins": ["https://example.org", "http://[::1]:3000"], "access": "token"}, user).data
    assert origins == {"access": "token", "allowed_origins": ["https://example.org", "http://[::1]:3000"], "has_token": True}
    again = relay.call("PUT", path(made, "access"), {"new_token": True}, user).data
    assert again["token"] != token["token"] and {**origins, "token": again["token"]} == again
    relay.secrets.add(again["token"])
    assert relay.call("PUT", path(made, "access"), {"access": "open", "allowed_origins": []}, user).data == {**shown, "has_token": True}


def test_access_is_enforced_when_it_is_answered(relay, user):
    made = relay.endpoint(user)

    def enters(*headers):
        with relay.join(made, *headers, wait=False) as channel:
            if channel.settle() == []:
                return True
            return False

    channel = relay.join(made)
    token = relay.call("PUT", path(made, "access"), {"access": "token"}, user).data["token"]
    relay.secrets.add(token)
    assert channel.closing()[1] == 1008
    assert not enters() and not enters("Authorization: Bearer wrong") and enters(f"Authorization: Bearer {token}")
    channel = relay.join(made, f"Authorization: Bearer {token}")
    new = relay.call("PUT", path(made, "access"), {"new_token": True}, user).data["token"]
    relay.secrets.add(new)
    assert channel.closing()[1] == 1008
    assert not enters(f"Authorization: Bearer {token}") and enters(f"Authorization: Bearer {new}")
    relay.call("PUT", path(made, "access"), {"access": "user"}, user)
    assert not enters() and not enters(f"Authorization: Bearer {new}") and enters(f"Authorization: Bearer {user}")
    assert not enters(f"Authorization: Bearer {person(relay)}")
    relay.call("PUT", path(made, "access"), {"access": "open", "allowed_origins": ["https://good.example"]}, user)
    assert enters() and enters("Origin: https://good.example") and not enters("Origin: https://bad.example")


@pytest.mark.parametrize("body, field", [
    ({"access": "closed"}, "access"), ({"access": None}, "access"), ({"new_token": "yes"}, "new_token"), ({"allowed_origins": "https://a.b"}, "allowed_origins"),
    ({"allowed_origins": ["https://a.b"] * 51}, "allowed_origins"), ({"allowed_origins": [5]}, "allowed_origins[0]"),
    *(({"allowed_origins": ["https://a.b", bad]}, "allowed_origins") for bad in ("", "a.b", "https://", "https://a.b/", "*", "https://*.b", "https://a b", "://a",
                                                                                 "https://user@a.b", 'https://a"b', "https://" + "a" * 300)),
])
def test_access_is_checked(relay, user, body, field):
    made = relay.endpoint(user)
    assert error(relay.call("PUT", path(made, "access"), body, user), 400, "VALIDATION_ERROR").fields == [field]
    assert relay.sql("SELECT endpoint_id FROM muster_endpoint_access WHERE endpoint_id = ?", made["id"]) in ([], ())


# ---- administrators ----


def test_administrators_see_the_endpoints_of_users(relay, user):
    assert relay.call("GET", f"/api/admin/users/{user.id}/endpoints", token=relay.token).data == {"endpoints": []}
    made = [relay.endpoint(user, name=f"n{n}") for n in range(3)]
    assert relay.call("GET", f"/api/admin/users/{user.id}/endpoints", token=relay.token).data == {"endpoints": made[::-1]}
    error(relay.call("GET", f"/api/admin/users/{UNKNOWN}/endpoints", token=relay.token), 404, "USER_NOT_FOUND")
    error(relay.call("GET", f"/api/admin/users/{user.id}/endpoints", token=user), 403, "FORBIDDEN")
    listed = {u["id"]: u for u in relay.call("GET", "/api/admin/users", token=relay.token).json}
    assert listed[user.id]["endpoint_count"] == 3
    assert set(listed[user.id]) == {"id", "username", "email", "is_admin", "created_at", "endpoint_count", "is_active", "banned_at", "banned_reason", "banned_by"}


def test_an_endpoint_is_disabled_and_enabled(relay, user):
    made = relay.endpoint(user, name="E")
    admin = relay.me(relay.token).data["user"]["id"]
    where = f"/api/admin/endpoints/{made['id']}"
    error(relay.call("POST", f"{where}/disable", {}, user), 403, "FORBIDDEN")
    error(relay.call("POST", f"{where}/enable", None, relay.token), 400, "ENDPOINT_NOT_DISABLED")
    channel = relay.join(made)
    answer = relay.call("POST", f"{where}/disable", {"reason": "because"}, relay.token).json
    assert channel.closing()[1:] == (1008, "Endpoint is disabled")
    assert list(answer) == ["message", "endpoint"] and list(answer["endpoint"]) == E[:-1]
    off = {"is_disabled": True, "disabled_reason": "because", "disabled_by": admin, "disabled_at": answer["endpoint"]["disabled_at"]}
    assert answer["endpoint"]["disabled_at"] and relay.call("GET", path(made), token=user).data["endpoint"] == {
        **made, **off, "last_active_at": answer["endpoint"]["last_active_at"]}
    heard, code, reason = relay.join(made, wait=False).closing()
    assert (code, reason) == (1008, "Endpoint is disabled") and "because" in heard[0]["message"]
    error(relay.call("POST", f"{where}/disable", {}, relay.token), 400, "ENDPOINT_ALREADY_DISABLED")
    answer = relay.call("POST", f"{where}/enable", None, relay.token).json
    assert answer["endpoint"]["is_disabled"] is False and [answer["endpoint"][k] for k in E[9:12]] == [None] * 3
    assert relay.join(made).settle() == []
    logs = relay.sql("SELECT target_type, action, reason, operator_id FROM ban_logs WHERE target_id = ? ORDER BY created_at", made["id"])
    assert [tuple(row) for row in logs] == [("endpoint", "disable", "because", admin), ("endpoint", "enable", None, admin)]
    for verb in ("disable", "enable"):
        error(relay.call("POST", f"/api/admin/endpoints/{UNKNOWN}/{verb}", None, relay.token), 404, "ENDPOINT_NOT_FOUND")
    assert error(relay.call("POST", f"{where}/disable", {"reason": "x" * 256}, relay.token), 400, "VALIDATION_ERROR").fields == ["reason"]


def test_of_many_who_disable_at_once_one_does(relay, user):
    made = relay.endpoint(user)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: relay.call("POST", f"/api/admin/endpoints/{made['id']}/disable", {}, relay.token), range(8)))
    assert sorted(a.status for a in answers) == [200] + [400] * 7
    assert relay.value("SELECT COUNT(*) FROM ban_logs WHERE target_id = ?", made["id"]) == 1


# ---- clients that leave, databases that go away ----


def test_what_was_begun_takes_effect_though_the_client_left(relay, user):
    made = relay.endpoint(user)
    channel = relay.join(made)
    with Raw(relay.server.port) as raw:
        raw.send(request(f"DELETE {path(made)} HTTP/1.1", "Host: t", f"Authorization: Bearer {user}"))
        eventually(lambda: relay.value("SELECT COUNT(*) FROM endpoints WHERE id = ?", made["id"]) == 0)
    assert channel.closing()[1] == 1008
    for n in range(30):  # left at any moment: nothing breaks
        made = relay.endpoint(user)
        with Raw(relay.server.port) as raw:
            raw.send(request(f"DELETE {path(made)} HTTP/1.1", "Host: t", f"Authorization: Bearer {user}"))
            time.sleep(n / 2000)
        relay.call("DELETE", path(made), token=user)
    assert relay.call("GET", "/api/endpoints", token=user).data["endpoints"] == []


def test_an_answer_that_would_be_too_large_is_told_so(make):
    """Not that the database is away: the next try would end the same."""
    relay = make(store="limits = { rows = 100; };")
    made = relay.endpoint(relay.token)
    for n in range(101):
        relay.sql("INSERT INTO devices (id, endpoint_id, device_id, custom_name) VALUES (?, ?, ?, 'D')", f"d{n}", made["id"], f"d{n}")
    answer = error(relay.call("GET", path(made, "devices"), token=relay.token), 400, "RESULT_TOO_LARGE")
    assert "retry-after" not in answer.headers
    relay.sql("DELETE FROM devices WHERE id = 'd0'")
    assert len(relay.call("GET", path(made, "devices"), token=relay.token).data["devices"]) == 100


def test_access_to_an_endpoint_that_goes_meanwhile_leaves_nothing(relay, user):
    """Another program has deleted it, and commits only when the change is under way."""
    made = relay.endpoint(user)
    if relay.kind == "mariadb":
        other = relay.database.connect()
        cursor = other.cursor()
        cursor.execute("START TRANSACTION")
        cursor.execute("DELETE FROM endpoints WHERE id = %s", (made["id"],))
    else:
        other = sqlite3.connect(relay.path, timeout=10)
        other.execute("PRAGMA foreign_keys = ON")
        other.execute("DELETE FROM endpoints WHERE id = ?", (made["id"],))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        asked = pool.submit(relay.call, "PUT", path(made, "access"), {"access": "token"}, user)
        time.sleep(0.5)
        assert not asked.done()
        other.commit()
        error(asked.result(), 404, "ENDPOINT_NOT_FOUND")
    other.close()
    assert relay.value("SELECT COUNT(*) FROM muster_endpoint_access WHERE endpoint_id = ?", made["id"]) == 0


@pytest.mark.slow
def test_a_database_that_is_away_is_told_and_comes_back(make, own_mariadb):
    relay = make("mariadb", own_mariadb.database())
    token = person(relay)
    made = relay.endpoint(token)
    own_mariadb.stop()
    for method, where, body in (("GET", "/api/endpoints", None), ("POST", "/api/endpoints", {}), ("GET", path(made, "stats"), None)):
        answer = error(relay.call(method, where, body, token, timeout=60), 503, "SERVICE_UNAVAILABLE")
        assert int(answer.headers["retry-after"]) > 0 and "mysql" not in answer.text.lower()
    assert relay.call("GET", "/api/health").status == 200
    own_mariadb.start()
    eventually(lambda: relay.call("GET", path(made), token=token, timeout=60).status == 200, 60, 0.5)
    assert relay.call("POST", "/api/endpoints", {}, token).status == 201


def test_a_server_that_stops_forgets_what_waits(make, own_mariadb):
    """Requests hang in a database that stands still, and the server ends in time and without leaks."""
    relay = make("mariadb", own_mariadb.database())
    token = person(relay)
    made = relay.endpoint(token)
    raws = [Raw(relay.server.port) for _ in range(4)]
    relay.sql("SELECT 1")
    own_mariadb.pause()
    try:
        for raw, (verb, where) in zip(raws, (("GET", path(made)), ("GET", path(made, "stats")), ("DELETE", path(made)), ("GET", "/api/endpoints"))):
            raw.send(request(f"{verb} {where} HTTP/1.1", "Host: t", f"Authorization: Bearer {token}"))
        time.sleep(0.3)
        relay.server.stop(timeout=30)
    finally:
        own_mariadb.resume()
        for raw in raws:
            raw.s.close()
