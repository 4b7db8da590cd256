# SPDX-License-Identifier: ISC
"""The relay's WebSocket side over real sockets, on SQLite and on MariaDB. Rows are put in by hand, as another program would."""
import hashlib
import json
import re
import secrets
import socket
import sqlite3
import struct
import time
import urllib.error
import urllib.request
import uuid

import pytest

from conftest import SANITIZED, eventually
from hostile import CLOSE, PING, PONG, TEXT, frame, upgrade
from processor import starved
from relays import BINARY, KINDS, Channel, Relay, now


@pytest.fixture(scope="module", params=KINDS)
def relay(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("relay")
    database = request.getfixturevalue("mariadb").database() if request.param == "mariadb" else None
    made = Relay(request.param, folder / "r", database)
    yield made
    made.stop()
    if database:
        database.drop()


@pytest.fixture
def make(request, tmp_path):
    """A function that starts relays of their own, on SQLite."""
    made = []

    def start(options="", **how):
        made.append(Relay("sqlite", tmp_path / f"relay{len(made)}", options=options, **how))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def system(message, text=None):
    assert set(message) == {"type", "level", "message", "timestamp"} and message["type"] == "system" and message["level"] == "error", message
    assert abs(message["timestamp"] / 1000 - time.time()) < 60
    assert text is None or message["message"] == text
    return message["message"]


# ---- addresses ----


@pytest.mark.parametrize("path, reason", [
    ("/", "Invalid URL format"), ("/ws/", "Invalid URL format"), ("/ws/nonexistent", "Invalid endpoint"), ("/ws?token=a", "Invalid URL format"),
    ("/ws/a/b", "Invalid URL format"), ("/ws/a.b", "Invalid URL format"), ("/elsewhere", "Invalid URL format"), ("/ws/" + "x" * 40, "Invalid endpoint"),
    ("/ws/%61bc", None),
])
def test_wrong_addresses_are_told_after_the_handshake(relay, path, reason):
    channel = relay.join(path, wait=False)
    heard, code, said = channel.closing()
    assert code == 1008 and said == (reason or "Invalid endpoint") and len(heard) == 1
    system(heard[0], reason)


def test_the_query_is_ignored_and_case_is_not(relay):
    endpoint = relay.endpoint(key="Abc-_12345")
    relay.join("/ws/Abc-_12345?token=x&y").settle()
    assert relay.join("/ws/ABC-_12345", wait=False).closing()[1:] == (1008, "Invalid endpoint")
    assert endpoint.key == "Abc-_12345"


def test_nothing_is_sent_on_success_and_nobody_is_told_of_others(relay):
    endpoint = relay.endpoint()
    a = relay.join(endpoint)
    b = relay.join(endpoint)
    b.say("x")
    b.leave()
    assert a.text() == "x" and a.settle() == []
    assert relay.join(endpoint).settle() == []


@pytest.mark.parametrize("offer, chosen", [("arduino", "arduino"), ("mqtt, arduino", "mqtt"), ("a.b-c_d", "a.b-c_d")])
def test_the_first_subprotocol_is_echoed(relay, offer, chosen):
    endpoint = relay.endpoint()
    channel = Channel.__new__(Channel)
    super(Channel, channel).__init__(relay.server.port)
    channel.send(upgrade(endpoint.path, f"Sec-WebSocket-Protocol: {offer}"))
    head = channel.answer().decode().lower()
    assert " 101 " in head.split("\r\n")[0] and f"sec-websocket-protocol: {chosen}" in head, head
    channel.settle()


# ---- right after opening ----


def burst(count, word="m"):
    return b"".join(frame(TEXT, f"{word}{i}") for i in range(count))


def test_5000_messages_sent_right_after_opening_arrive_in_order(relay):
    endpoint = relay.endpoint()
    listener = relay.join(endpoint)
    relay.join(endpoint, wait=False, first=burst(5000), timeout=60)
    assert [listener.text() for _ in range(5000)] == [f"m{i}" for i in range(5000)]


def test_the_very_first_on_an_endpoint_loses_nothing_either(relay):
    """The endpoint is being looked up. Nobody listens that early, so what is kept tells: the newest 50, and the count."""
    endpoint = relay.endpoint()
    relay.join(endpoint, wait=False, first=burst(5000), timeout=60)
    eventually(lambda: (relay.stats(endpoint) or [0, 0, 0])[2] == 5000, 30)
    assert [row[0] for row in relay.messages(endpoint)] == [f"m{i}" for i in range(4999, 4949, -1)]


def test_a_pair_that_opens_at_once_on_an_unknown_endpoint(relay):
    """The second was open before the first spoke: it gets everything, though neither was admitted yet."""
    for _ in range(20):
        endpoint = relay.endpoint()
        listener = relay.join(endpoint, wait=False)
        sender = relay.join(endpoint, wait=False, first=burst(20))
        assert [listener.text() for _ in range(20)] == [f"m{i}" for i in range(20)]
        listener.s.close(), sender.s.close()


def test_many_that_open_at_once_lose_nothing(relay):
    endpoint = relay.endpoint()
    listener = relay.join(endpoint)
    senders = [relay.join(endpoint, wait=False, first=burst(50, f"{i}:")) for i in range(20)]
    got = [tuple(map(int, listener.text().split(":"))) for _ in range(1000)]
    assert all([n for who, n in got if who == i] == list(range(50)) for i in range(len(senders)))


# ---- modes ----

SENT = ['hello', '{"x":1}', '{"type":"foo","data":{"t":1},"timestamp":5,"extra":1}', '{"type":"message","data":2}', "[1,2]", "12", '{"type":"ping"}',
        '"s"', "null", b"\x01\x02\xff", '{"a":1,"a":2}', '{"n":123456789012345678901234567890,"e":1e400}', '"\\ud800"', '{"type":"a","data":1,"data":[ 2 ]}',
        "{bad", '{"a":1} x', "", " [ 1 ] ", "温室\u2028", '{"type":"identify","deviceId":5}', '{"type":"control_ack","status":"maybe"}']
DATA = ['"hello"', '{"x":1}', '{"t":1}', "2", "[1,2]", "12", '{"type":"ping"}', '"s"', "null", '"\\u0001\\u0002\ufffd"', '{"a":1,"a":2}',
        '{"n":123456789012345678901234567890,"e":1e400}', '"\\ud800"', "[ 2 ]", '"{bad"', '"{\\"a\\":1} x"', '""', "[ 1 ]", '"温室\u2028"',
        '{"type":"identify","deviceId":5}', '{"type":"control_ack","status":"maybe"}']


@pytest.mark.parametrize("n", range(len(SENT)))
def test_what_the_others_get(relay, pairs, n):
    message = SENT[n]
    data = message.encode() if isinstance(message, str) else message
    opcode = BINARY if isinstance(message, bytes) else TEXT
    for mode, (a, b) in pairs.items():
        a.say(message)
        if mode == "DIRECT":
            assert b.next() == (opcode, data)
        elif mode == "CUSTOM_HEADER":
            assert b.next() == (opcode, "AA55|é".encode() + data)
        else:
            text = b.text()
            found = re.fullmatch(r'\{"type":"message","data":(.*),"timestamp":(\d+)\}', text, re.S)
            assert found and found[1] == DATA[n], text
            assert (found[2] == "5") == (n == 2) and (n == 2 or abs(int(found[2]) / 1000 - time.time()) < 60)
        assert a.settle() == [] and b.settle() == []


@pytest.fixture(scope="module")
def pairs(relay):
    """Two channels of an endpoint in each mode."""
    made = {}
    for mode, header in (("DIRECT", None), ("CUSTOM_HEADER", "AA55|é"), ("JSON", None)):
        endpoint = relay.endpoint(mode=mode, header=header)
        made[mode] = relay.join(endpoint), relay.join(endpoint)
    return made


def test_binary_of_all_bytes_is_intact(relay, pairs):
    a, b = pairs["DIRECT"]
    data = bytes(range(256)) * 257
    a.say(data)
    assert b.next() == (BINARY, data)


def test_json_with_bad_utf8_in_a_binary_message_becomes_text(relay, pairs):
    a, b = pairs["JSON"]
    a.say(b'{"k":"\xff\x00"}')  # a raw NUL: no JSON
    assert b.json()["data"].startswith('{"k":"')
    a.say(b'{"k":"\xffz"}')
    assert b.json()["data"] == {"k": "\ufffdz"}


@pytest.mark.parametrize("text", ["[" * 33 + "]" * 33, '{"a":' * 40 + "1" + "}" * 40, "[" * 100000], ids=["33", "objects", "100000"])
def test_too_deep_is_told_to_the_sender_alone(relay, pairs, text):
    a, b = pairs["JSON"]
    a.say(text)
    system(a.json())
    assert b.settle() == []
    a.say("[" * 32 + "]" * 32)
    assert json.loads(b.text())["type"] == "message"
    a, b = pairs["DIRECT"]
    a.say(text)
    assert b.text() == text and a.settle() == []


def test_a_mode_that_another_program_changes_counts_within_10_s(relay):
    endpoint = relay.endpoint(mode="DIRECT")
    a, b = relay.join(endpoint), relay.join(endpoint)
    relay.db.sql("UPDATE endpoints SET forwarding_mode = 'CUSTOM_HEADER', custom_header = '>>' WHERE id = ?", endpoint.uuid)

    def changed():
        a.say("x")
        return b.text() == ">>x"

    eventually(changed, 10, 0.3)


def test_size_limit(make):
    relay = make("max_message = 2048;")
    endpoint = relay.endpoint()
    a, b = relay.join(endpoint), relay.join(endpoint)
    a.say("x" * 2048)
    assert b.text() == "x" * 2048
    a.say("x" * 2049)
    assert a.close_code() == 1009
    assert b.settle() == []


@pytest.mark.slow
def test_100_MiB_when_configured(make):
    relay = make("max_message = 104857600;")
    endpoint = relay.endpoint()
    a, b = relay.join(endpoint, timeout=60), relay.join(endpoint, timeout=60)
    size = 20 * 1024 * 1024 if SANITIZED else 104857600
    a.send(frame(TEXT, b"a" * size, key=b"\0\0\0\0"))
    end = time.monotonic() + 60
    while (got := b.read(end - time.monotonic())) and got[2] == PING:
        pass
    assert got and got[2] == TEXT and len(got[3]) == size and got[3].count(b"a") == size


# ---- who may join ----


def digest(token):
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.mark.parametrize("headers, welcome", [
    (["Authorization: Bearer s3cret-token"], True), (["authorization: bearer s3cret-token"], True), (["Sec-WebSocket-Protocol: muster.token.s3cret-token"], True),
    (["Sec-WebSocket-Protocol: arduino, muster.token.s3cret-token"], True), ([], False), (["Authorization: Bearer s3cret-toke"], False),
    (["Authorization: Bearer s3cret-tokenx"], False), (["Authorization: Basic s3cret-token"], False), (["Authorization: Bearer "], False),
    (["Sec-WebSocket-Protocol: muster.token."], False), (["Sec-WebSocket-Protocol: muster.token.wrong"], False),
])
def test_token_access(relay, headers, welcome):
    endpoint = relay.endpoint()
    relay.access(endpoint, "token", digest("s3cret-token"))
    channel = relay.join(endpoint, *headers, wait=False)
    if welcome:
        assert channel.settle() == [] and not channel.ended
        channel.say("x")
        channel.settle()
    else:
        heard, code, reason = channel.closing()
        assert (code, reason) == (1008, "Access denied") and "s3cret" not in system(heard[0])
    assert "s3cret-token" not in relay.server.log and digest("s3cret-token") not in relay.server.log


def test_the_query_is_no_credential_and_an_endpoint_without_token_lets_nobody_in(relay):
    endpoint = relay.endpoint()
    relay.access(endpoint, "token", digest("s3cret-token"))
    assert relay.join(endpoint.path + "?token=s3cret-token", wait=False).closing()[1] == 1008
    other = relay.endpoint()
    relay.access(other, "token", None)
    assert relay.join(other, "Authorization: Bearer ", wait=False).closing()[1] == 1008
    unknown = relay.endpoint()
    if relay.kind == "mariadb":  # SQLite's table does not take it
        relay.access(unknown, "else", None)
        assert relay.join(unknown, wait=False).closing()[1] == 1008


@pytest.mark.parametrize("origin, welcome", [("https://a.example", True), ("https://A.example", True), ("https://b.example", False), ("null", False),
                                             ("https://a.example.evil.test", False), (None, True)])
def test_origins(relay, origin, welcome):
    endpoint = relay.endpoint()
    relay.access(endpoint, "open", None, ["https://a.example", "https://c.example"])
    channel = relay.join(endpoint, *([f"Origin: {origin}"] if origin else []), wait=False)
    if welcome:
        assert channel.settle() == [] and not channel.data
        channel.say("x")
        assert channel.settle() == []
    else:
        assert channel.closing()[1:] == (1008, "Origin is not allowed")


def test_without_a_list_every_origin_is_fine(relay):
    endpoint = relay.endpoint()
    assert relay.join(endpoint, "Origin: https://anywhere.example").settle() == []


def login_token(user, secret=None, **claims):
    from relays import JWT_SECRET
    from sessions import jwt
    return jwt({"userId": user, "username": "u", "isAdmin": False, "iat": int(time.time()), "exp": int(time.time()) + 600, **claims},
               secret=secret or JWT_SECRET)


def api_key(relay, user):
    key = "mk_" + secrets.token_urlsafe(32)
    relay.db.sql("INSERT INTO muster_api_keys (id, user_id, name, digest, created_at) VALUES (?, ?, 'k', ?, ?)", str(uuid.uuid4()), user, digest(key), now())
    return key


def test_user_access_is_the_owners(relay):
    endpoint, stranger = relay.endpoint(), relay.user()
    relay.access(endpoint, "user")
    key = api_key(relay, endpoint.user)
    by_token = relay.join(endpoint, f"Authorization: Bearer {login_token(endpoint.user)}")
    by_key = relay.join(endpoint, f"Authorization: Bearer {key}")
    by_protocol = relay.join(endpoint, f"Sec-WebSocket-Protocol: muster.token.{key}")
    by_token.say("x")
    assert by_key.text() == "x" == by_protocol.text()
    for token in (login_token(stranger), login_token(endpoint.user, secret="another-secret-of-0123456789abcdefgh"), "a.b.c", "key", key[:-1],
                  api_key(relay, stranger), login_token(endpoint.user, exp=int(time.time()) - 5)):
        assert relay.join(endpoint, f"Authorization: Bearer {token}", wait=False).closing()[1:] == (1008, "Access denied"), token
    assert relay.join(endpoint, wait=False).closing()[1:] == (1008, "Access denied")
    # Messages sent while the token is judged are kept, too.
    eager = relay.join(endpoint, f"Authorization: Bearer {key}", wait=False, first=burst(100))
    assert [by_token.text() for _ in range(100)] == [f"m{i}" for i in range(100)] and not eager.ended
    assert key not in relay.server.log


def test_access_that_is_tightened_sends_everybody_away(relay):
    endpoint = relay.endpoint()
    channel = relay.join(endpoint)
    relay.access(endpoint, "token", digest("t"))
    heard, code, reason = channel.closing(12)
    assert (code, reason) == (1008, "Endpoint access changed") and system(heard[0])


# ---- what other programs change ----

REFUSALS = [("UPDATE endpoints SET is_disabled = 1, disabled_reason = 'because <b>', disabled_at = '2026-01-02 03:04:05.678' WHERE id = ?", "uuid",
             "Endpoint is disabled"),
            ("UPDATE users SET banned_at = '2026-01-02 03:04:05.678' WHERE id = ?", "user", "User is banned"),
            ("UPDATE users SET is_active = 0 WHERE id = ?", "user", "User is banned"),
            ("DELETE FROM endpoints WHERE id = ?", "uuid", "Invalid endpoint"), ("DELETE FROM users WHERE id = ?", "user", "Invalid endpoint")]


@pytest.mark.parametrize("statement, of, reason", REFUSALS)
@pytest.mark.parametrize("connected", [False, True])
def test_refused_and_closed_for_what_the_rows_say(relay, statement, of, reason, connected):
    endpoint = relay.endpoint()
    if connected:
        channel = relay.join(endpoint)
        device = relay.join(endpoint)
        device.identify("d1")
    relay.db.sql(statement, getattr(endpoint, of))
    if not connected:
        channel = relay.join(endpoint, wait=False)
    heard, code, said = channel.closing(12)
    assert (code, said) == (1008, reason)
    text = system(heard[0], reason if reason.startswith("Invalid") else None)
    if "disabled" in reason:
        assert "because <b>" in text and "2026-01-02T03:04:05.678Z" in text
    again = relay.join(endpoint, "Accept-Language: zh-CN,zh", wait=False)
    heard, code, said = again.closing()
    assert (code, said) == (1008, reason) and (reason.startswith("Invalid") or not heard[0]["message"].isascii())


# ---- devices ----


def test_identify_makes_renames_and_keeps(relay):
    endpoint = relay.endpoint()
    a = relay.join(endpoint)
    assert a.identify("probe-1") == "设备-prob"
    assert a.identify("probe-1", "P1") == "P1"
    b = relay.join(endpoint)
    assert b.identify("probe-1") == "P1"
    assert a.settle() == [] and b.settle() == []
    [[id, device, name]] = relay.devices(endpoint)
    assert (device, name) == ("probe-1", "P1") and uuid.UUID(id).version == 4
    assert relay.join(endpoint).identify("温室设备甲乙") == "设备-温室设备"
    assert relay.join(endpoint).identify("x" * 64, "n" * 150) == "n" * 100
    assert relay.join(endpoint).identify('q"\\\n', 'n"\\') == 'n"\\'
    assert len(relay.devices(endpoint)) == 4


def test_a_device_whose_row_was_replaced(relay):
    """By another program, with an id of its own kind, and a moment before the device says again who it is."""
    endpoint, new = relay.endpoint(), f"row-{secrets.token_hex(4)}"
    a = relay.join(endpoint)
    a.identify("swapped", "old")
    relay.db.sql("DELETE FROM devices WHERE endpoint_id = ?", endpoint.uuid)
    relay.db.sql("INSERT INTO devices (id, endpoint_id, device_id, custom_name, last_connected_at, created_at) VALUES (?, ?, 'swapped', 'new', ?, ?)",
                 new, endpoint.uuid, now(), now())
    assert a.identify("swapped") == "new"
    a.say({"data": {"x": 1}})
    eventually(lambda: relay.db.sql("SELECT data_key FROM device_data WHERE device_id = ?", new) == [["x"]])
    [listed] = rest(relay, endpoint, "/devices")[1]["data"]["devices"]
    assert (listed["id"], listed["is_online"]) == (new, True)


@pytest.mark.parametrize("id", ["", "x" * 65])
def test_identify_with_a_bad_id_is_told(relay, id):
    endpoint = relay.endpoint()
    a, b = relay.join(endpoint), relay.join(endpoint)
    a.say({"type": "identify", "deviceId": id})
    system(a.json())
    assert b.settle() == [] and relay.devices(endpoint) == []


def test_the_same_device_id_on_two_endpoints(relay):
    one, two = relay.endpoint(), relay.endpoint()
    relay.join(one).identify("same", "A")
    relay.join(two).identify("same", "B")
    assert relay.devices(one)[0][2] == "A" and relay.devices(two)[0][2] == "B"


@pytest.fixture(params=KINDS)
def released(request, tmp_path):
    """A relay over the released server's tables, in which device_id is unique alone."""
    database = request.getfixturevalue("released_database") if request.param == "mariadb" else None
    made = Relay(request.param, tmp_path / "relay", database)
    if request.param == "sqlite":
        made.db.sql("CREATE UNIQUE INDEX devices_device_id_key ON devices (device_id)")
    yield made
    made.stop()


def test_a_device_id_that_is_unique_alone_is_told(released):
    relay = released
    one, two = relay.endpoint(), relay.endpoint()
    first = relay.join(one)
    first.identify("only-one")
    b, listener = relay.join(two), relay.join(two)
    b.say({"type": "identify", "deviceId": "only-one"})
    assert "another endpoint" in system(b.json())
    b.say({"type": "data", "data": {"temperature": 1}})
    listener.text()
    assert b.settle() == [] and relay.devices(two) == []
    assert first.identify("only-one", "again") == "again"
    eventually(lambda: relay.stats(two) == [2, 2, 1])
    assert data_of(relay, two) == {}


def test_devices_per_endpoint_are_bounded(make):
    relay = make("max_devices = 2;")
    endpoint = relay.endpoint()
    a = relay.join(endpoint)
    a.identify("d1"), a.identify("d2")
    a.say({"type": "identify", "deviceId": "d3"})
    assert "too many devices" in system(a.json())
    assert a.identify("d1", "still") == "still"


def test_who_identified_in_two_spellings_is_one_device_in_mariadb(relay):
    endpoint = relay.endpoint()
    a, b = relay.join(endpoint), relay.join(endpoint)
    a.identify("Probe", "N")
    b.say({"type": "identify", "deviceId": "PROBE"})
    got = b.json()
    assert got["customName"] == ("N" if relay.kind == "mariadb" else "设备-PROB")
    assert len(relay.devices(endpoint)) == (1 if relay.kind == "mariadb" else 2)


def data_of(relay, endpoint):
    return {row[0]: tuple(row[1:]) for row in relay.db.sql(
        "SELECT d.data_key, d.data_value, d.data_type, d.unit FROM device_data d JOIN devices v ON v.id = d.device_id WHERE v.endpoint_id = ?", endpoint.uuid)}


def test_device_data(relay):
    endpoint = relay.endpoint(mode="JSON")
    device, stranger = relay.join(endpoint), relay.join(endpoint)
    stranger.say({"type": "data", "data": {"of_nobody": 1}})
    device.text()
    # In one breath: what follows `identify` is the device's, before the database has answered.
    device.send(frame(TEXT, '{"type":"identify","deviceId":"d"}') +
                frame(TEXT, '{"type":"data","data":{"temperature":21.5,"Humidity":44,"on":true,"s":"x\\ny","o":{"a":1},"n":null,"l":[1,2]},"timestamp":1795247250000}'))
    stranger.text()
    device.say('{"data":{"temp":1e2,"volt":3.3}}')
    device.say('{"current":0.5,"pressure":101325,"voltage":5}')
    device.say("12"), device.say("[1]"), device.say("text")
    device.say('{"type":"data","data":{"' + "k" * 101 + '":1,"long":"' + "v" * 20000 + '","fine":1,"":2}}')
    eventually(lambda: "fine" in data_of(relay, endpoint), 15)
    assert data_of(relay, endpoint) == {
        "temperature": ("21.5", "number", "°C"), "Humidity": ("44", "number", "%"), "on": ("true", "boolean", None), "s": ("x\ny", "string", None),
        "o": ('{"a":1}', "json", None), "n": ("null", "string", None), "l": ("[1,2]", "json", None), "temp": ("1e2", "number", "°C"),
        "volt": ("3.3", "number", "V"), "voltage": ("5", "number", "V"), "current": ("0.5", "number", "A"), "pressure": ("101325", "number", "Pa"),
        "fine": ("1", "number", None)}
    [[at]] = relay.db.sql("SELECT timestamp FROM device_data d JOIN devices v ON v.id = d.device_id WHERE v.endpoint_id = ? AND data_key = 'on'", endpoint.uuid)
    assert str(at).startswith("2026-11-21 07:47:30")


def test_a_device_that_leaves_at_once_loses_no_data(relay):
    endpoint = relay.endpoint()
    device = relay.join(endpoint)
    device.send(frame(TEXT, '{"type":"identify","deviceId":"sleepy"}') + frame(TEXT, '{"data":{"temp":1}}') + frame(CLOSE, struct.pack("!H", 1000)))
    eventually(lambda: "temp" in data_of(relay, endpoint), 15)
    assert [row[1] for row in relay.devices(endpoint)] == ["sleepy"]


def test_all_that_a_device_sent_is_written_at_the_end(make):
    """More than goes into one batch."""
    relay = make("flush_every = 5000;")
    endpoint = relay.endpoint()
    device = relay.join(endpoint)
    device.identify("d")
    for n in range(20):
        device.say({"data": {f"k{i}": n for i in range(200)}})
    device.settle()
    relay.stop()
    assert relay.db.sql("SELECT COUNT(*) FROM device_data") == [[4000]]


# ---- history and statistics ----


def test_the_newest_50_are_kept_in_order(relay):
    endpoint = relay.endpoint(mode="JSON")
    a = relay.join(endpoint)
    for i in range(30):
        a.say(f"first {i}")
    eventually(lambda: len(relay.messages(endpoint)) == 30)
    for i in range(120):
        a.say(f"second {i}")
    eventually(lambda: relay.messages(endpoint) and "second 119" in relay.messages(endpoint)[0][0], 15)
    kept = relay.messages(endpoint)
    assert [json.loads(row[0])["data"] for row in kept] == [f"second {i}" for i in range(119, 69, -1)]
    assert all(re.fullmatch(r"conn-[0-9a-f]+", row[1]) for row in kept) and len({row[1] for row in kept}) == 1
    a.identify("d", "Dev")
    a.say("by a device")
    eventually(lambda: relay.messages(endpoint)[0][1] == "Dev")
    assert len(relay.messages(endpoint)) == 50
    assert eventually(lambda: relay.stats(endpoint) == [1, 1, 151])


def test_long_and_binary_messages_are_kept_cut(relay):
    endpoint = relay.endpoint()
    a = relay.join(endpoint)
    a.say("é" * 5000)
    a.say("é" * 5001)
    a.say(b"\x00\x01\xff")
    a.say("nul \x00 inside")
    eventually(lambda: len(relay.messages(endpoint)) == 4)
    kept = [row[0] for row in relay.messages(endpoint)][::-1]
    assert kept[0] == "é" * 5000 and kept[1] == "é" * 5000 + "...[cut]" and kept[2] == "[binary, 3 bytes] 0001ff" and kept[3] == "nul \x00 inside"


def test_statistics_are_true_after_each_change(relay):
    endpoint = relay.endpoint()
    a, b = relay.join(endpoint), relay.join(endpoint)
    a.say("x"), a.settle()
    assert eventually(lambda: relay.stats(endpoint) == [2, 2, 1], 6)
    b.leave()
    eventually(lambda: relay.stats(endpoint) == [1, 2, 1], 3)
    a.s.close()
    eventually(lambda: relay.stats(endpoint) == [0, 2, 1], 3)
    [[last]] = relay.db.sql("SELECT last_active_at FROM endpoints WHERE id = ?", endpoint.uuid)
    assert last is not None


def test_statistics_start_from_the_truth(make):
    relay = make()
    endpoint = relay.endpoint()
    a = relay.join(endpoint)
    a.say("x"), a.settle()
    relay.stop()
    assert relay.stats(endpoint) == [0, 1, 1] and [row[0] for row in relay.messages(endpoint)] == ["x"]
    relay.db.sql("UPDATE endpoint_stats SET current_connections = 7")
    relay.db.sql("INSERT INTO devices (id, endpoint_id, device_id, custom_name) VALUES ('d', ?, 'd', 'd')", endpoint.uuid)
    relay.db.sql("INSERT INTO control_commands (id, endpoint_id, device_id, command_id, command_type, command_params, status, sent_at) "
                 "VALUES ('c', ?, 'd', 'c', 'x', '{}', 'pending', ?)", endpoint.uuid, now())
    relay.start()
    eventually(lambda: relay.stats(endpoint) == [0, 1, 1])
    eventually(lambda: relay.db.sql("SELECT status FROM control_commands") == [["timeout"]])


def test_killed_it_starts_again_and_goes_on(make):
    relay = make()
    endpoint = relay.endpoint()
    a = relay.join(endpoint)
    a.say("x"), a.settle()
    eventually(lambda: relay.stats(endpoint) == [1, 1, 1])
    relay.server.process.kill()
    relay.server.process.wait()
    relay.start()
    eventually(lambda: relay.stats(endpoint) == [0, 1, 1])
    b = relay.join(endpoint)
    eventually(lambda: relay.stats(endpoint) == [1, 2, 1])
    assert not b.ended


def test_an_endpoint_that_is_deleted_with_something_pending(relay):
    """The batch has nowhere to go; those of others go on."""
    endpoint, other = relay.endpoint(), relay.endpoint()
    a, b = relay.join(endpoint), relay.join(other)
    relay.db.sql("DELETE FROM endpoints WHERE id = ?", endpoint.uuid)
    a.say("lost"), b.say("kept")
    assert a.closing(12)[1:] == (1008, "Invalid endpoint")
    eventually(lambda: [row[0] for row in relay.messages(other)] == ["kept"])


def test_a_device_that_is_deleted_with_data_pending(relay):
    endpoint = relay.endpoint()
    a, listener = relay.join(endpoint), relay.join(endpoint)
    a.identify("doomed")
    relay.db.sql("DELETE FROM devices WHERE endpoint_id = ?", endpoint.uuid)
    a.say('{"data":{"x":1}}')
    listener.text()
    eventually(lambda: [row[0] for row in relay.messages(endpoint)] == ['{"data":{"x":1}}'])
    assert a.identify("doomed", "back") == "back"
    a.say('{"data":{"y":1}}')
    eventually(lambda: "y" in data_of(relay, endpoint))


@pytest.mark.slow
def test_a_device_that_is_missed_while_it_identifies_itself_again(make):
    """Nothing can be written for a while: the look for deleted rows comes before the row is made anew. Who was told "identified" is the device."""
    relay = make(store="limits = { wait = 60.0; };")
    endpoint = relay.endpoint()
    a = relay.join(endpoint)
    a.identify("doomed")
    relay.db.sql("DELETE FROM devices WHERE endpoint_id = ?", endpoint.uuid)
    other = sqlite3.connect(relay.db.path, timeout=20, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    a.say({"type": "identify", "deviceId": "doomed", "deviceName": "back"})
    time.sleep(5)  # rows are looked for every 4 s
    other.execute("ROLLBACK")
    other.close()
    assert a.json(20)["customName"] == "back"
    a.say('{"data":{"y":1}}')
    eventually(lambda: "y" in data_of(relay, endpoint), 20)


def test_a_device_that_is_deleted_takes_no_data_of_others_along(relay):
    endpoint = relay.endpoint()
    a, b = relay.join(endpoint), relay.join(endpoint)
    a.identify("doomed"), b.identify("fine")
    relay.db.sql("DELETE FROM devices WHERE endpoint_id = ? AND device_id = 'doomed'", endpoint.uuid)
    a.say('{"data":{"x":1}}'), b.say('{"data":{"y":1}}')
    eventually(lambda: "y" in data_of(relay, endpoint))
    assert list(data_of(relay, endpoint)) == ["y"] and len(relay.messages(endpoint)) == 2


# ---- links ----


def test_dead_peers_are_found(make):
    relay = make("ping_every = 2;")
    endpoint = relay.endpoint()
    dead, alive = relay.join(endpoint), relay.join(endpoint)
    dead.identify("d")
    pings, end = 0, time.monotonic() + 20
    while relay.stats(endpoint) != [1, 2, 0] and time.monotonic() < end:
        got = alive.read(0.2)
        if got and got[2] == PING:
            pings += 1
            alive.send(frame(PONG, got[3]))
    assert relay.stats(endpoint) == [1, 2, 0] and pings >= 1
    alive.say("x")
    alive.settle()


@pytest.mark.slow
@pytest.mark.alone
def test_100_links_cut_without_close_are_gone_within_30_s(make):
    """With the default of 15 s. Cut: the peers' machines are gone, nothing comes back, not even a reset."""
    relay = make()
    endpoint = relay.endpoint()
    channels = [relay.join(endpoint) for _ in range(100)]
    eventually(lambda: relay.stats(endpoint) == [100, 100, 0])
    began = time.monotonic()  # from here on nobody answers
    eventually(lambda: relay.stats(endpoint) == [0, 100, 0], 31)
    assert time.monotonic() - began <= 31 and len(channels) == 100


def test_a_slow_reader_is_closed_and_slows_nobody(make):
    relay = make("max_waiting = 262144; max_message = 65536;")
    endpoint = relay.endpoint()
    slow = relay.join(endpoint, rcvbuf=4096)
    a, b = relay.join(endpoint), relay.join(endpoint)
    for i in range(400):
        a.say(f"{i:05d}" + "x" * 32000)
        assert b.text()[:5] == f"{i:05d}"
    eventually(lambda: relay.stats(endpoint) and relay.stats(endpoint)[0] == 2, 15)
    assert "it reads too slowly" in relay.server.log
    slow.s.close()


def test_flood_protection_is_off_and_can_be_on(make):
    relay = make("messages_per_second = 20;")
    endpoint = relay.endpoint()
    a, b = relay.join(endpoint), relay.join(endpoint)
    for i in range(90):
        a.say(str(i))
    assert [b.text() for _ in range(90)] == [str(i) for i in range(90)]
    for i in range(90):
        a.say(str(i))
    heard, code, reason = a.closing()
    assert code == 4008 and reason == "Too many messages" and system(heard[-1])


def test_connections_per_endpoint_are_bounded(make):
    relay = make("max_connections = 3;")
    endpoint, other = relay.endpoint(), relay.endpoint()
    kept = [relay.join(endpoint) for _ in range(3)]
    assert relay.join(endpoint, wait=False).closing()[1] == 1013
    relay.join(other).settle()
    kept.pop().leave()
    eventually(lambda: (relay.stats(endpoint) or [0])[0] == 2)
    relay.join(endpoint).settle()


def test_log_lines(make):
    relay = make()
    endpoint = relay.endpoint()
    a = relay.join(endpoint)
    a.identify("dev-7")
    a.leave()
    relay.server.logged(f"code=1000")
    line = next(line for line in relay.server.log.splitlines() if "code=1000" in line)
    assert f"endpoint={endpoint.uuid}" in line and 'device="dev-7"' in line and re.search(r"seconds=\d+\.\d", line) and "info" in line.lower(), line
    b = relay.join(endpoint)
    b.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    b.s.close()
    relay.server.logged("code=1006")
    line = next(line for line in relay.server.log.splitlines() if "code=1006" in line)
    assert f"endpoint={endpoint.uuid}" in line and "reason=" in line and "warn" in line.lower(), line
    assert endpoint.key not in relay.server.log


def test_the_database_away_and_back(make):
    """Messages go on, what is kept is bounded, new endpoints are told, and the figures are whole in the end."""
    import sqlite3
    relay = make()
    endpoint, unknown = relay.endpoint(), relay.endpoint()
    a, b = relay.join(endpoint), relay.join(endpoint)
    eventually(lambda: relay.stats(endpoint) == [2, 2, 0])
    lock = sqlite3.connect(relay.db.path, timeout=10, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    for i in range(200):
        a.say(str(i))
    assert [b.text() for _ in range(200)] == [str(i) for i in range(200)]
    relay.server.logged("nothing can be stored now", 30)
    lock.execute("ROLLBACK")
    lock.close()
    eventually(lambda: relay.stats(endpoint) == [2, 2, 200], 30)
    assert [row[0] for row in relay.messages(endpoint)] == [str(i) for i in range(199, 149, -1)]
    relay.join(unknown).settle()


# ---- commands ----


def rest(relay, endpoint, path, body=None, method=None):
    """Status and JSON, asked as the endpoint's owner."""
    request = urllib.request.Request(f"{relay.server.http}/api/endpoints/{endpoint.uuid}{path}", method=method or ("POST" if body is not None else "GET"),
                                     data=None if body is None else json.dumps(body).encode(),
                                     headers={"Authorization": f"Bearer {login_token(endpoint.user)}", "Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def command_row(relay, id):
    return relay.db.sql("SELECT status, error_message, ack_at IS NOT NULL FROM control_commands WHERE command_id = ?", id)[0]


@pytest.fixture
def commanded(relay):
    """An endpoint with a device and another one; asks the first for something and gives its command's id."""
    made = type("Commanded", (), {})()
    made.endpoint = relay.endpoint()
    made.device, made.other = relay.join(made.endpoint), relay.join(made.endpoint)
    made.device.identify("dev"), made.other.identify("other")
    made.uuid = {row[1]: row[0] for row in relay.devices(made.endpoint)}

    def ask(command="setLight", **params):
        status, answer = rest(relay, made.endpoint, f"/devices/{made.uuid['dev']}/control", {"command": command, "params": params})
        assert status == 200, answer
        got = made.device.json()
        assert got == {"type": "control", "commandId": answer["commandId"], "deviceId": "dev", "command": command, "params": params,
                       "timestamp": got["timestamp"]}
        return answer["commandId"]

    made.ask = ask
    return made


def test_a_command_and_its_ack(relay, commanded):
    id = commanded.ask(on=True)
    assert command_row(relay, id)[0] == "pending"
    commanded.device.say({"type": "control_ack", "commandId": id, "status": "success", "message": "ok"})
    eventually(lambda: command_row(relay, id) == ["success", "ok", 1])
    id = commanded.ask(text='"\\\n温')
    commanded.device.say({"type": "control_ack", "status": "failed"})
    eventually(lambda: command_row(relay, id) == ["failed", None, 1])
    assert commanded.other.settle() == []


def test_acks_of_others_change_nothing(relay, commanded):
    id = commanded.ask(on=True)
    nobody = relay.join(commanded.endpoint)
    elsewhere = relay.join(relay.endpoint())
    elsewhere.identify("dev")
    for forger in (commanded.other, nobody, elsewhere):
        forger.say({"type": "control_ack", "commandId": id, "status": "success"})
        forger.say({"type": "control_ack", "status": "success"})
        assert forger.settle() == []
    commanded.device.say({"type": "control_ack", "commandId": "x" * 8, "status": "success"})
    commanded.device.say({"type": "control_ack", "commandId": 5, "status": "success"})
    assert commanded.device.settle() == []
    time.sleep(1)
    assert command_row(relay, id)[0] == "pending"
    commanded.device.say({"type": "control_ack", "commandId": id, "status": "success"})
    eventually(lambda: command_row(relay, id)[0] == "success")
    commanded.device.say({"type": "control_ack", "commandId": id, "status": "failed"})
    commanded.device.settle()
    assert command_row(relay, id)[0] == "success"


def test_without_an_ack_a_command_times_out(relay, commanded):
    id = commanded.ask()
    began = time.monotonic()
    eventually(lambda: command_row(relay, id)[0] == "timeout", 15)
    assert time.monotonic() - began > 3.5
    commanded.device.say({"type": "control_ack", "commandId": id, "status": "success"})
    commanded.device.settle()
    time.sleep(0.5)
    assert command_row(relay, id) == ["timeout", None, 0]


def test_the_newest_command_is_meant_without_an_id(relay, commanded):
    first, second = commanded.ask(n=1), commanded.ask(n=2)
    commanded.device.say({"type": "control_ack", "status": "success", "message": "two"})
    eventually(lambda: command_row(relay, second)[:2] == ["success", "two"])
    assert command_row(relay, first)[0] == "pending"


def test_commands_go_to_the_connection_that_identified_last(relay, commanded):
    late = relay.join(commanded.endpoint)
    late.identify("dev")
    status, answer = rest(relay, commanded.endpoint, f"/devices/{commanded.uuid['dev']}/control", {"command": "x"})
    assert status == 200 and late.json()["commandId"] == answer["commandId"] and commanded.device.settle() == []
    commanded.device.say({"type": "control_ack", "status": "success"})  # the same device
    eventually(lambda: command_row(relay, answer["commandId"])[0] == "success")
    late.leave()
    eventually(lambda: (relay.stats(commanded.endpoint) or [0])[0] == 2)
    commanded.ask(still=True)


def test_a_device_that_was_renamed_while_it_was_away(relay, commanded):
    """A command that nobody acknowledges keeps it in memory meanwhile."""
    commanded.ask()
    commanded.device.leave()
    eventually(lambda: (relay.stats(commanded.endpoint) or [0])[0] == 1, 4)
    assert rest(relay, commanded.endpoint, "/devices/dev", {"custom_name": "Renamed"}, "PUT")[0] == 200
    assert relay.join(commanded.endpoint).identify("dev") == "Renamed"


def test_an_offline_device_is_told_at_once(relay, commanded):
    began = time.monotonic()
    commanded.device.leave()

    def offline():
        status, answer = rest(relay, commanded.endpoint, f"/devices/{commanded.uuid['dev']}/control", {"command": "x"})
        return status == 503 and answer["error"]["code"] == "DEVICE_OFFLINE"

    eventually(offline, 5)
    assert time.monotonic() - began < 5


def test_rest_tells_what_is_stored(relay):
    """Messages and figures at once, without waiting for the next write."""
    endpoint = relay.endpoint()
    a = relay.join(endpoint)
    for i in range(60):
        a.say(f"m{i}")
        a.settle()
        if i % 20 == 0:
            status, answer = rest(relay, endpoint, "/stats")
            assert status == 200 and answer["data"]["total_messages"] == i + 1 and answer["data"]["current_connections"] == 1
            assert relay.stats(endpoint)[2] == i + 1
    status, answer = rest(relay, endpoint, "/messages")
    assert [m["content"] for m in answer["data"]["messages"]] == [f"m{i}" for i in range(59, 9, -1)]


def test_a_mode_set_by_rest_counts_for_the_next_message(relay):
    endpoint = relay.endpoint()
    a, b = relay.join(endpoint), relay.join(endpoint)
    for i in range(5):
        for mode, expected in (("CUSTOM_HEADER", f"H{i}|x"), ("DIRECT", "x")):
            status, _ = rest(relay, endpoint, "/forwarding-mode", {"forwarding_mode": mode, "custom_header": f"H{i}|"}, "PUT")
            a.say("x")
            assert status == 200 and b.text() == expected


def test_delete_by_rest_closes_within_a_second(relay):
    endpoint = relay.endpoint()
    channels = [relay.join(endpoint) for _ in range(3)]
    assert rest(relay, endpoint, "", method="DELETE")[0] == 200
    closes_within_a_second(relay, channels, 1008, "Invalid endpoint")
    assert relay.join(endpoint, wait=False).closing()[1:] == (1008, "Invalid endpoint")


# ---- people ----


def api(relay, method, path, body=None, token=None):
    request = urllib.request.Request(relay.server.http + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                     headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read()}") from None


def login(relay, name, password):
    return api(relay, "POST", "/api/auth/login", {"username": name, "password": password})["data"]["token"]


@pytest.fixture(scope="module")
def admin(relay):
    """An administrator's token, with a password of their own."""
    eventually((relay.folder / "admin-password").exists)
    once = re.findall(r"\S+", (relay.folder / "admin-password").read_text())[-1]
    token = login(relay, "admin", once)
    api(relay, "PUT", "/api/auth/password", {"old_password": once, "new_password": "Own-Password-1"}, token)
    return login(relay, "admin", "Own-Password-1")


def person(relay, admin):
    code = api(relay, "POST", "/api/admin/invite-codes", {}, admin)["code"]
    name = f"p_{secrets.token_hex(4)}"
    api(relay, "POST", "/api/auth/register", {"inviteCode": code, "username": name, "email": f"{name}@example.com", "password": "First-Password-1"})
    token = login(relay, name, "First-Password-1")
    endpoint = api(relay, "POST", "/api/endpoints", {"name": "E"}, token)["data"]["endpoint"]
    made = type("Person", (), {})()
    made.name, made.token, made.id = name, token, endpoint["user_id"]
    made.uuid, made.path = endpoint["id"], f"/ws/{endpoint['endpoint_id']}"
    return made


def closes_within_a_second(relay, channels, *expected):
    """What the server and this program waited for a processor is the machine's time."""
    began, waited = time.monotonic(), starved(relay.server.pid, "self")
    for channel in channels:
        heard, code, reason = channel.closing()
        assert (code, reason) == expected and system(heard[-1])
    assert time.monotonic() - began - (starved(relay.server.pid, "self") - waited) < 1 or SANITIZED


def test_a_new_password_and_a_ban_close_open_connections_within_a_second(relay, admin):
    someone, bystander = person(relay, admin), relay.endpoint()
    other = relay.join(bystander)
    channels = [relay.join(someone.path) for _ in range(5)]
    channels[0].identify("dev")
    api(relay, "PUT", "/api/auth/password", {"old_password": "First-Password-1", "new_password": "Second-Password-1"}, someone.token)
    closes_within_a_second(relay, channels, 1008, "User credentials changed")
    channels = [relay.join(someone.path) for _ in range(5)]  # its address is open still
    api(relay, "POST", f"/api/admin/users/{someone.id}/ban", {"reason": "r"}, admin)
    closes_within_a_second(relay, channels, 1008, "User is banned")
    assert relay.join(someone.path, wait=False).closing()[1:] == (1008, "User is banned")
    api(relay, "POST", f"/api/admin/users/{someone.id}/unban", {}, admin)
    assert relay.join(someone.path).settle() == []
    assert other.settle() == [] and not other.ended


def test_disable_and_enable_by_an_administrator(relay, admin):
    someone = person(relay, admin)
    channels = [relay.join(someone.path) for _ in range(3)]
    api(relay, "POST", f"/api/admin/endpoints/{someone.uuid}/disable", {"reason": "t"}, admin)
    closes_within_a_second(relay, channels, 1008, "Endpoint is disabled")
    assert relay.join(someone.path, wait=False).closing()[1:] == (1008, "Endpoint is disabled")
    api(relay, "POST", f"/api/admin/endpoints/{someone.uuid}/enable", {}, admin)
    assert relay.join(someone.path).settle() == []


def test_a_ban_while_connections_come_in_lets_nobody_stay(relay, admin):
    """Look-ups that began before the ban end after it."""
    import threading
    someone = person(relay, admin)
    made, stop = [], threading.Event()

    def come():
        while not stop.is_set():
            made.append(relay.join(someone.path, wait=False))
            time.sleep(0.02)

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    api(relay, "POST", f"/api/admin/users/{someone.id}/ban", {"reason": "r"}, admin)
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    for channel in made:
        assert channel.closing()[1:] == (1008, "User is banned")
