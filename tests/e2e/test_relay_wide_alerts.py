# SPDX-License-Identifier: ISC
"""Alert rules, alerts and who is told of them, on SQLite and on MariaDB."""
import hashlib
import hmac
import http.server
import json
import sqlite3
import threading
import time
import urllib.parse
import uuid

import pytest

from accounts import KINDS
from conftest import eventually
from described import Described, error
from relays import now
from wides import UNKNOWN, Home, own, shared, utc

LINK_SECRET = "a-link-secret-of-the-tests-0123456789"
HOOK_SECRET = "a-webhook-secret-of-the-tests"


@pytest.fixture(scope="module", params=KINDS)
def relay(request, tmp_path_factory):
    yield from shared(request, tmp_path_factory)


@pytest.fixture
def home(relay):
    made = Home(relay)
    yield made
    made.close()


@pytest.fixture
def other(relay):
    made = Home(relay)
    yield made
    made.close()


def alerts(home, **query):
    return home.call("GET", "/api/alert-history?" + urllib.parse.urlencode(query)).data


def hit(home, count=1):
    return eventually(lambda: (got := alerts(home))["total"] == count and got["data"])


def settled(home):
    """No alert is on its way any more: one of a rule of its own was stored after them."""
    home.rule(rule_name="mark", data_key="mark", operator="==", threshold="1", alert_level="info")
    home.channel.say({"mark": 1})
    eventually(lambda: alerts(home, data_key="mark")["total"] == 1)
    time.sleep(0.3)
    return [each for each in alerts(home)["data"] if each["data_key"] != "mark"]


# ---- rules ----


def test_rules(home):
    made = home.rule()
    assert made.status == 201 and list(made.data) == ["id", "user_id", "endpoint_id", "device_id", "rule_name", "data_key", "operator", "threshold",
                                                      "alert_level", "enabled", "created_at", "updated_at", "device"]
    assert made.data["enabled"] is True and made.data["threshold"] == "20" and made.data["device"] == {
        "device_id": home.device["device_id"], "custom_name": home.device["custom_name"]}
    second = home.rule(rule_name="text", operator="==", threshold="open", enabled=False, alert_level="info").data
    assert home.rule(threshold=20.5, rule_name="third").data["threshold"] == "20.5"
    listed = home.call("GET", f"/api/alert-rules?endpoint_id={home.endpoint['id']}").data
    assert len(listed["rules"]) == 3 and listed["pagination"] == {"total": 3, "page": 1, "pageSize": 20, "totalPages": 1}
    for query, count in (("alert_level=critical", 2), ("enabled=false", 1), ("enabled=true", 2), (f"deviceId={home.device['id']}", 3),
                         (f"device_id={UNKNOWN}", 0), ("data_key=temperature&pageSize=1", 1)):
        assert len(home.call("GET", f"/api/alert-rules?{query}").data["rules"]) == count, query
    place = f"/api/alert-rules/{made.data['id']}"
    assert home.call("GET", place).data == made.data
    changed = home.call("PUT", place, {"rule_name": "new", "operator": "<=", "threshold": -1, "alert_level": "warning"}).data
    assert (changed["rule_name"], changed["operator"], changed["threshold"], changed["alert_level"]) == ("new", "<=", "-1", "warning")
    assert error(home.call("PUT", place, {"threshold": "cold"}), 400, "VALIDATION_ERROR").fields == ["threshold"]
    assert error(home.call("PUT", f"/api/alert-rules/{second['id']}", {"operator": ">"}), 400, "VALIDATION_ERROR").fields == ["threshold"]
    toggled = home.call("PATCH", f"{place}/toggle", {"enabled": False}).data
    assert list(toggled) == ["id", "enabled", "updated_at"] and toggled["enabled"] is False and home.call("GET", place).data["enabled"] is False
    assert home.call("DELETE", place).status == 200
    error(home.call("GET", place), 404, "ALERT_RULE_NOT_FOUND")
    error(home.call("DELETE", place), 404, "ALERT_RULE_NOT_FOUND")


def test_rules_of_others(home, other):
    place = f"/api/alert-rules/{home.rule().data['id']}"
    for method, path, body in (("GET", place, None), ("PUT", place, {"rule_name": "x"}), ("PATCH", f"{place}/toggle", {"enabled": False}),
                               ("DELETE", place, None)):
        error(other.call(method, path, body), 404, "ALERT_RULE_NOT_FOUND")
    error(other.rule(endpoint_id=home.endpoint["id"], device_id=home.device["id"]), 404, "ENDPOINT_NOT_FOUND")
    error(other.rule(device_id=home.device["id"]), 404, "DEVICE_NOT_FOUND")
    assert other.call("GET", "/api/alert-rules").data["rules"] == [] and home.call("GET", place).data["enabled"] is True


def test_fifty_rules_are_the_most(home):
    for n in range(50):
        assert home.rule(rule_name=f"r{n}").status == 201
    error(home.rule(), 400, "ALERT_RULE_LIMIT_REACHED")
    assert home.call("GET", "/api/alert-rules?pageSize=100").data["pagination"]["total"] == 50


@pytest.mark.parametrize("more, field", [
    ({"operator": "~"}, "operator"), ({"threshold": "warm"}, "threshold"), ({"threshold": "1e999"}, "threshold"), ({"threshold": "0x10"}, "threshold"),
    ({"threshold": ""}, "threshold"), ({"threshold": {}}, "threshold"), ({"threshold": "1" * 101}, "threshold"), ({"alert_level": "bad"}, "alert_level"),
    ({"rule_name": "x" * 101}, "rule_name"), ({"data_key": "x" * 101}, "data_key"), ({"enabled": "yes"}, "enabled"),
])
def test_rules_that_are_none(home, more, field):
    assert error(home.rule(**more), 400, "VALIDATION_ERROR").fields == [field]


# ---- hits ----


def test_a_hit(home):
    home.rule()
    home.channel.say({"temperature": 21.5})
    got = hit(home)[0]
    assert (got["data_key"], got["triggered_value"], got["threshold"], got["alert_level"], got["status"]) == ("temperature", "21.5", "20", "critical", "unread")
    assert got["read_at"] is None and got["notification_sent"] is False and got["email_sent"] is False
    assert got["device"] == {"device_id": home.device["device_id"], "custom_name": home.device["custom_name"]}
    assert got["alert_rule"] == {"rule_name": "hot", "operator": ">", "endpoint_id": home.endpoint["id"]}
    assert (got["alertRuleId"], got["triggeredAt"], got["ruleName"]) == (got["alert_rule_id"], got["triggered_at"], "hot")
    assert home.call("GET", f"/api/alert-history/{got['id']}").data == got
    assert home.call("GET", "/api/alert-history/unread/count").data == {"count": 1}


@pytest.mark.parametrize("operator, threshold, sent, hits", [
    (">", 20, 20, 0), (">", 20, 20.01, 1), ("<", 20, 20, 0), ("<", 20, -3e2, 1), (">=", 20, 20, 1), (">=", 20, 19.9, 0), ("<=", 20, 20, 1), ("<=", 20, 21, 0),
    ("==", "20", 20.0, 1), ("==", "20", "20", 1), ("==", "20", "20.0", 0), ("!=", "20", 20.0, 0), ("!=", "20", 21, 1), ("==", "open", "open", 1),
    ("==", "open", "Open", 0), ("!=", "open", "shut", 1), ("!=", "open", "open", 0), ("==", "true", True, 1), (">", 20, "21", 0), (">", 20, True, 0),
    ("<", 20, None, 0),
])
def test_what_a_hit_is(home, operator, threshold, sent, hits):
    assert home.rule(operator=operator, threshold=threshold).status == 201
    home.channel.say({"temperature": sent, "Temperature": sent, "other": sent})
    assert len(settled(home)) == hits


def test_one_hit_in_five_minutes(home):
    rule = home.rule().data["id"]
    for n in range(20):
        home.channel.say({"temperature": 30 + n})
    assert [each["triggered_value"] for each in settled(home)] == ["30"]
    home.call("PATCH", f"/api/alert-rules/{rule}/toggle", {"enabled": False})
    home.call("PATCH", f"/api/alert-rules/{rule}/toggle", {"enabled": True})
    home.channel.say({"temperature": 99})
    time.sleep(1)
    assert alerts(home, data_key="temperature")["total"] == 1


def test_a_rule_is_in_force_when_it_is_answered(home):
    for n in range(10):
        rule = home.rule(data_key=f"k{n}", threshold=0).data["id"]
        home.channel.say({f"k{n}": 1})
        home.channel.settle()
        assert home.call("PATCH", f"/api/alert-rules/{rule}/toggle", {"enabled": False}).status == 200
        home.channel.say({f"k{n}": 2})
    assert {(each["data_key"], each["triggered_value"]) for each in settled(home)} == {(f"k{n}", "1") for n in range(10)}


def test_rules_of_another_program_count_within_ten_seconds(home):
    home.relay.sql("INSERT INTO alert_rules (id, user_id, endpoint_id, device_id, rule_name, data_key, operator, threshold, alert_level, enabled, created_at, "
                   "updated_at) VALUES (?, ?, ?, ?, 'other', 'x', '>', '1', 'info', 1, ?, ?)", str(uuid.uuid4()), home.id, home.endpoint["id"],
                   home.device["id"], now(), now())
    end = time.monotonic() + 10
    while not alerts(home)["total"]:
        assert time.monotonic() < end
        home.channel.say({"x": 5})
        time.sleep(0.3)


def test_a_rule_that_somebody_made_for_anothers_device_is_silent(home, other):
    for user, endpoint, device in ((other.id, home.endpoint["id"], home.device["id"]), (other.id, other.endpoint["id"], home.device["id"])):
        home.relay.sql("INSERT INTO alert_rules (id, user_id, endpoint_id, device_id, rule_name, data_key, operator, threshold, alert_level, enabled, "
                       "created_at, updated_at) VALUES (?, ?, ?, ?, 'spy', 'x', '>', '1', 'info', 1, ?, ?)", str(uuid.uuid4()), user, endpoint, device,
                       now(), now())
    home.rule(data_key="y")  # all are read again
    home.channel.say({"x": 5})
    assert settled(home) == [] and alerts(other)["total"] == 0


def test_the_first_value_of_a_connection_counts(relay):
    """The endpoint is not in memory: its rules are still being read when the value comes."""
    home = Home(relay)
    try:
        home.rule()
        home.close()
        relay.sql("UPDATE endpoints SET endpoint_id = ? WHERE id = ?", "Z" + uuid.uuid4().hex[:9], home.endpoint["id"])
        home.endpoint["endpoint_id"] = relay.value("SELECT endpoint_id FROM endpoints WHERE id = ?", home.endpoint["id"])
        channel = relay.join(home.endpoint, wait=False)
        channel.say({"type": "identify", "deviceId": home.device["device_id"]})
        channel.say({"temperature": 50})
        assert hit(home)[0]["triggered_value"] == "50"
        channel.s.close()
    finally:
        home.close()


# ---- alerts ----


def three(home):
    for n in range(3):
        home.rule(rule_name=f"r{n}", data_key=f"k{n}", threshold=0, alert_level=("info", "warning", "critical")[n])
        home.channel.say({f"k{n}": n + 1})
        hit(home, n + 1)
        time.sleep(0.01)
    return {each["data_key"]: each for each in alerts(home)["data"]}


def test_alerts(home):
    got = three(home)
    assert [each["data_key"] for each in alerts(home)["data"]] == ["k2", "k1", "k0"]
    for query, keys in (({"alert_level": "info"}, ["k0"]), ({"device_id": home.device["id"]}, ["k2", "k1", "k0"]), ({"deviceId": UNKNOWN}, []),
                        ({"endpointId": home.endpoint["id"], "pageSize": 2}, ["k2", "k1"]), ({"page": 2, "page_size": 2}, ["k0"]),
                        ({"start_time": got["k1"]["triggered_at"]}, ["k2", "k1"]), ({"endTime": got["k1"]["triggered_at"]}, ["k1", "k0"]),
                        ({"alert_rule_id": got["k1"]["alert_rule_id"]}, ["k1"]), ({"status": "processed"}, [])):
        assert [each["data_key"] for each in alerts(home, **query)["data"]] == keys, query
    read = home.call("PUT", f"/api/alert-history/{got['k0']['id']}/read").data
    assert read["status"] == "read" and read["read_at"] and read["processed_at"] is None
    assert home.call("PATCH", f"/api/alert-history/{got['k0']['id']}/read").data == read
    done = home.call("PUT", f"/api/alert-history/{got['k1']['id']}/processed").data
    assert done["status"] == "processed" and done["processed_at"] and done["read_at"]
    assert home.call("PUT", f"/api/alert-history/{got['k1']['id']}/read").data["status"] == "processed"
    assert home.call("GET", "/api/alert-history/unread/count").data == {"count": 1}
    assert [each["data_key"] for each in alerts(home, status="unread")["data"]] == ["k2"]
    ids = [each["id"] for each in got.values()]
    assert home.call("POST", "/api/alert-history/batch/read", {"alertIds": [*ids, UNKNOWN]}).data == {"count": 1}
    assert home.call("POST", "/api/alert-history/batch/delete", {"ids": ids[:2]}).data == {"count": 2}
    assert home.call("DELETE", "/api/alert-history/batch/delete", {"ids": ids}).data == {"count": 1}
    assert alerts(home)["data"] == []


def test_alerts_of_others(home, other):
    got = three(home)
    id = got["k0"]["id"]
    for method, path in (("GET", id), ("PUT", f"{id}/read"), ("PUT", f"{id}/processed"), ("DELETE", id)):
        error(other.call(method, f"/api/alert-history/{path}"), 404, "ALERT_NOT_FOUND")
    assert other.call("POST", "/api/alert-history/batch/read", {"ids": [id]}).data == {"count": 0}
    assert other.call("POST", "/api/alert-history/batch/delete", {"ids": [id]}).data == {"count": 0}
    assert other.call("GET", "/api/alert-history/unread/count").data == {"count": 0} and alerts(other)["data"] == []
    assert home.call("GET", f"/api/alert-history/{id}").data == got["k0"]
    assert home.call("DELETE", f"/api/alert-history/{id}").status == 200 and alerts(home)["total"] == 2


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": "x"}, {"alertIds": [5]}, {"ids": ["x"] * 501}])
def test_batches_that_are_none(home, body):
    error(home.call("POST", "/api/alert-history/batch/read", body), 400, "VALIDATION_ERROR")
    error(home.call("POST", "/api/alert-history/batch/delete", body), 400, "VALIDATION_ERROR")


def test_links_that_are_none(home):
    error(home.relay.call("GET", "/api/alert-history/mark-read"), 400, "VALIDATION_ERROR")
    for token in ("a.b", "a.b.c", home.token, "x" * 1000):
        error(home.relay.call("GET", f"/api/alert-history/mark-read?token={token}"), 401, "UNAUTHORIZED")


# ---- servers of their own: restarts, webhooks, what is old ----


@pytest.fixture
def make(tmp_path):
    for start in own(tmp_path):
        def with_secrets(options=""):
            made = start(options=options)
            made.secrets |= {LINK_SECRET, HOOK_SECRET}
            return made

        yield with_secrets


def test_five_minutes_go_over_a_restart(make):
    relay = make()
    home = Home(relay)
    rule = home.rule().data["id"]
    home.channel.say({"temperature": 30})
    hit(home)
    home.close()
    relay.server.stop()
    relay.start()
    channel = relay.join(home.endpoint)
    channel.identify(home.device["device_id"])
    home.channel = channel
    channel.say({"temperature": 31})
    assert len(settled(home)) == 1
    channel.s.close()
    relay.server.stop()
    relay.sql("UPDATE alert_history SET triggered_at = ? WHERE alert_rule_id = ?", utc(seconds=301).strftime("%Y-%m-%d %H:%M:%S.000"), rule)
    relay.start()
    channel = relay.join(home.endpoint)
    channel.identify(home.device["device_id"])
    channel.say({"temperature": 32})
    eventually(lambda: {each["triggered_value"] for each in alerts(home)["data"]} >= {"30", "32"})
    channel.s.close()


def test_a_hit_is_kept_when_the_server_ends_at_once(make):
    relay = make()
    home = Home(relay)
    home.rule()
    home.channel.say({"temperature": 30})
    home.channel.settle()
    relay.server.stop()
    assert relay.value("SELECT COUNT(*) FROM alert_history") == 1
    home.close()


def test_hits_behind_one_that_is_being_stored_are_kept_at_the_end(make):
    relay = make()
    home = Home(relay)
    for key in ("a", "b"):
        home.rule(data_key=key, threshold=0)
    lock = sqlite3.connect(relay.path, timeout=10, isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN IMMEDIATE")
    home.channel.say({"a": 1})
    time.sleep(0.6)  # the store has it
    home.channel.say({"b": 1})
    home.channel.settle()
    home.channel.leave()  # a stop waits for connections, and then for the plugins
    threading.Timer(0.4, lambda: lock.execute("ROLLBACK")).start()
    relay.server.stop()
    assert relay.value("SELECT COUNT(*) FROM alert_history") == 2
    lock.close()


class Hook:
    """A webhook that keeps what it gets; the first `refusals` it answers with 500."""

    def __init__(self, refusals=0):
        hook, self.got, self.refusals = self, [], refusals

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.got.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(500 if len(hook.got) <= hook.refusals else 204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?key=hidden-in-the-url"

    def options(self, more=""):
        return (f'alerts = {{ webhook = "{self.url}"; webhook_secret = "{HOOK_SECRET}"; public_url = "https://relay.example"; '
                f'link_secret = "{LINK_SECRET}"; {more} }};')


def test_a_webhook_and_its_link(make):
    hook = Hook(refusals=1)
    relay = make(hook.options())
    home = Home(relay)
    home.rule(rule_name='a "rule"')
    home.channel.say({"temperature": 30})
    eventually(lambda: len(hook.got) == 2, 15)  # refused once, and again after 5 s
    path, headers, body = hook.got[1]
    assert path == "/hook?key=hidden-in-the-url" and headers["content-type"].startswith("application/json")
    mac = hmac.new(HOOK_SECRET.encode(), headers["x-muster-timestamp"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["x-muster-signature"] == f"sha256={mac}" and abs(int(headers["x-muster-timestamp"]) - time.time()) < 60
    told = json.loads(body)
    assert told["type"] == "alert" and told["rule"]["rule_name"] == 'a "rule"' and told["triggered_value"] == "30" and told["user_id"] == home.id
    assert told["device"]["device_id"] == home.device["device_id"] and told["endpoint"] == {"id": home.endpoint["id"], "name": "Home"}
    assert home.endpoint["endpoint_id"] not in body.decode()
    eventually(lambda: alerts(home)["data"][0]["notification_sent"] is True)
    assert alerts(home)["data"][0]["id"] == told["id"]
    link = urllib.parse.urlsplit(told["mark_read_url"])
    assert (link.scheme, link.netloc, link.path) == ("https", "relay.example", "/api/alert-history/mark-read")
    damaged = f"{link.path}?{link.query[:-3]}{'abc' if link.query[-3:] != 'abc' else 'xyz'}"
    error(relay.call("GET", damaged), 401, "UNAUTHORIZED")
    assert alerts(home)["data"][0]["status"] == "unread"
    assert relay.call("GET", f"{link.path}?{link.query}").status == 200
    assert alerts(home)["data"][0]["status"] == "read"
    error(relay.call("GET", f"{link.path}?{link.query}"), 401, "UNAUTHORIZED")  # once
    assert "hidden-in-the-url" not in relay.server.log and link.query not in relay.server.log
    home.close()
    hook.server.shutdown()


@pytest.mark.slow
def test_a_webhook_that_a_reload_takes_away_is_tried_no_more(make):
    hook = Hook(refusals=100)
    relay = make(hook.options())
    home = Home(relay)
    home.rule()
    home.channel.say({"temperature": 30})
    relay.server.logged("the webhook did not take an alert: refused (status 500)")
    relay.more[0] = f'{{ name = "relay"; config = {{ alerts = {{ link_secret = "{LINK_SECRET}"; }}; }}; }}'
    relay.server.reload(relay.server.text(relay.plugins()))
    relay.server.logged("1 reconfigured")
    time.sleep(6)  # it would be tried again after 5 s
    assert len(hook.got) == 1 and relay.server.log.count("the webhook did not take") == 1
    home.close()
    hook.server.shutdown()


@pytest.mark.parametrize("options, said", [
    ('webhook = "http://example.com/"; webhook_secret = "0123456789abcdef";', "webhook is an https:// address"),
    ('webhook = "http://127.0.0.1.example.com/"; webhook_secret = "0123456789abcdef";', "webhook is an https:// address"),
    ('webhook = "http://localhost@example.com/"; webhook_secret = "0123456789abcdef";', "webhook is an https:// address"),
    ('webhook = "https://example.com/";', "webhook_secret needs at least 16 bytes"), ('public_url = "relay.example";', "public_url begins with"),
    ('public_url = "https://relay.example/";', "no slash at its end"), ('link_secret = "short";', "link_secret needs at least 32 bytes"),
])
def test_options_that_are_wrong_are_said(tmp_path, options, said):
    relay = Described("sqlite", tmp_path / "r", options=f"alerts = {{ {options} }};")
    with pytest.raises(AssertionError, match="ended without saying 'ready'"):
        relay.start()
    assert said in (tmp_path / "r" / "musterd.log").read_text()


def test_while_the_database_is_away(tmp_path, own_mariadb):
    """A hit waits and is stored once; REST says that it cannot tell."""
    relay = Described("mariadb", tmp_path / "r", own_mariadb.database()).begin()
    home = Home(relay)
    home.rule()
    group = home.group(home.device)["id"]
    own_mariadb.kill()
    home.channel.say({"temperature": 30})
    home.channel.say({"temperature": 31})
    home.channel.settle()
    for path in ("/api/alert-history", "/api/alert-rules", "/api/device-groups", home.path("data"), f"/api/device-groups/{group}/export"):
        answer = home.call("GET", path)
        assert answer.status == 503 and int(answer.headers["retry-after"]) > 0, answer
    assert home.call("POST", f"/api/device-groups/{group}/control", {"command": "x"}).status == 503
    own_mariadb.start()
    assert eventually(lambda: home.call("GET", "/api/alert-history").status == 200 and alerts(home)["data"], 30)[0]["triggered_value"] == "30"
    time.sleep(3)
    assert alerts(home)["total"] == 1
    home.close()
    relay.stop()


@pytest.mark.slow
def test_old_alerts_are_deleted(make):
    relay = make("alerts = { days = 10; };")
    home = Home(relay)
    rule = home.rule().data["id"]
    for days in [11] * 1500 + [9] * 3:
        at = utc(days=days).strftime("%Y-%m-%d %H:%M:%S.000")
        relay.sql("INSERT INTO alert_history (id, alert_rule_id, device_id, triggered_at, data_key, triggered_value, threshold, alert_level) "
                  "VALUES (?, ?, ?, ?, 'temperature', '1', '0', 'info')", str(uuid.uuid4()), rule, home.device["id"], at)
    eventually(lambda: relay.value("SELECT COUNT(*) FROM alert_history") == 3, 90)  # the first look comes a minute after the start
    home.close()
