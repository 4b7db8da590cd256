# SPDX-License-Identifier: ISC
"""
A run of the released server, recorded, is repeated against Muster: the same requests, and the same statuses, codes, member names and frames come back. Ids and times
are other ones, texts are Muster's own, and what the protocol's page corrects is listed here.
"""
import base64
import csv
import io
import json
import re
import time
import uuid
from datetime import datetime, timedelta, timezone

import pytest

from accounts import KINDS
from conftest import ROOT, eventually
from described import ISO, Described
from relays import BINARY, TEXT, Channel, now

RECORDED = ROOT / "tests" / "fixtures" / "relay" / "observed.txt"
REQUEST = re.compile(r"(GET|POST|PUT|PATCH|DELETE) (/\S*) ?(.*)")
FRAME = re.compile(r"  \[(.+?)\] (?:<- TXT (.*)|close (\d+) ?(.*))")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
STAMP = re.compile(r"20\d\d-\d\d-\d\dT[\d:.]+Z")
ADMIN_HASH = "$2b$10$6zX6WKFcyRpW.pBvJ533TugdMNULnsSIOuLY/dUsjGmN8B93A38ky"  # of the recorded password, admin123

# Bodies that the recording cut off.
WHOLE = {
    "/alert-rules": '{"endpoint_id":"ENDPOINT","device_id":"DEVICE","rule_name":"hot","data_key":"temperature","operator":">","threshold":"20",'
                    '"alert_level":"critical"}',
    "/device-groups": '{"endpoint_id":"ENDPOINT","group_name":"G","device_ids":["DEVICE"]}',
    "/visualization/cards": '{"endpointId":"ENDPOINT","deviceId":"DEVICE","cardType":"statistic","dataKey":"temperature","title":"T","config":{"unit":"C"},'
                            '"position":{"x":0,"y":0,"w":3,"h":2}}',
}
# The page's corrections: the released server answered most of these with 500.
CORRECTED = {
    'POST /auth/login "{bad json"': (400, "INVALID_JSON"),
    "POST /auth/login {}": (400, "VALIDATION_ERROR"),
    'POST /endpoints {"name":"E2","forwarding_mode":"BOGUS"}': (400, "VALIDATION_ERROR"),
    # recorded: no such route; here "batch" is an alert that nobody has, because POST is taken where released programs send PUT or PATCH
    'POST /alert-history/batch/processed {"ids":[]}': (404, "ALERT_NOT_FOUND"),
}
COUNTED = {"current_connections", "total_connections", "total_messages", "duration"}  # other figures: Muster loses no early message, and times differ
UNORDERED = {"dataKeys": "key", "aggregations": "data_key"}
OWN_WORDS = {"message", "error"}
DATA = [{"type": "data", "data": {"temperature": 21.5, "s": "x", "on": True, "o": {"a": 1}, "n": None}}, {"data": {"temperature": 22}},
        {"temperature": 23, "Humidity": 44}]


def camel(name):
    return re.sub(r"_(.)", lambda m: m[1].upper(), name)


def parse(text):
    """JSON, or what is left of it where the recording was cut: (value, whether it is whole)."""
    try:
        return json.loads(text), True
    except json.JSONDecodeError:
        return json.loads(text[:text.rindex('},{"')] + "}]}}"), False


class Replay:
    def __init__(self, relay):
        self.relay, self.token, self.ids, self.missing, self.compared = relay, None, {}, [], 0
        self.channels, self.frames = {}, []
        self.lines = RECORDED.read_text().split("\n")
        self.at = 0

    def next(self):
        self.at += 1
        return self.lines[self.at - 1]

    # ---- comparing ----

    def known(self, recorded):
        """A recorded text with the ids of this run."""
        for old, new in self.ids.items():
            recorded = recorded.replace(old, new)
        return recorded

    def same_id(self, recorded, got, where):
        assert isinstance(got, str) and got, where
        assert self.ids.setdefault(recorded, got) == got, f"{where}: another id than before"
        assert list(self.ids.values()).count(got) == 1, f"{where}: the same id for two things"
        assert not UUID.fullmatch(recorded) or UUID.fullmatch(got), f"{where}: no UUID: {got}"

    def same(self, recorded, got, key, where, whole=True):
        where = f"{where}.{key}" if key else where
        if isinstance(recorded, dict):
            assert isinstance(got, dict), f"{where}: no object: {got}"
            recorded = {self.known(name): value for name, value in recorded.items()}
            extra = {k for k in got if k not in recorded and camel(k) not in recorded and k != "details"}
            assert not extra and set(recorded) <= set(got), f"{where}: {set(recorded) ^ set(got)}"
            for name, value in recorded.items():
                self.same(value, got[name], name, where, whole)
        elif isinstance(recorded, list):
            assert isinstance(got, list) and (len(got) == len(recorded) or key == "details" or (not whole and len(got) > len(recorded))), f"{where}: {got}"
            if key == "details":
                assert {each["field"] for each in got} == {each["field"] for each in recorded} and all(set(each) == {"field", "message"} for each in got), where
                return
            if key in UNORDERED:
                recorded, got = (sorted(list_, key=lambda each: each[UNORDERED[key]]) for list_ in (recorded, got))
            for i, (a, b) in enumerate(zip(recorded, got)):
                self.same(a, b, f"[{i}]", where, whole)
        else:
            self.same_leaf(recorded, got, key, where)

    def same_leaf(self, recorded, got, key, where):
        if key == "last_active_at":
            assert got is None or ISO.fullmatch(got), f"{where}: {got}"
        elif isinstance(recorded, bool) or recorded is None:
            assert got is recorded, f"{where}: {got}"
        elif isinstance(recorded, (int, float)):
            assert isinstance(got, (int, float)) and not isinstance(got, bool), f"{where}: {got}"
            if recorded > 1.7e12:
                assert abs(got / 1000 - time.time()) < 300, f"{where}: {got}"
            elif key not in COUNTED:
                assert got == recorded, f"{where}: {got}"
        elif STAMP.fullmatch(recorded):
            assert ISO.fullmatch(got), f"{where}: {got}"
        elif key in OWN_WORDS and recorded not in ("Invalid URL format", "Invalid endpoint"):
            assert isinstance(got, str) and got, f"{where}: {got}"
        elif key == "content":
            self.same(json.loads(recorded), json.loads(got), None, where)
        elif key in ("token", "requestId"):
            assert isinstance(got, str) and re.fullmatch(r"\S{12,}", got), f"{where}: {got}"
        elif UUID.fullmatch(recorded) or key in ("commandId", "batchId", "endpoint_id") or (key == "code" and not recorded.isupper()):
            self.same_id(recorded, got, where)
        else:
            assert got == self.known(recorded), f"{where}: {got!r}, recorded {recorded!r}"

    def same_csv(self, recorded, got, where):
        def rows(text):
            return [{k: STAMP.sub("T", v) for k, v in row.items()} for row in csv.DictReader(io.StringIO(text.lstrip("\ufeff")))]
        assert rows(got) == rows(recorded), f"{where}: {got}"

    # ---- requests ----

    def body(self, path, text):
        if text.strip() and path in WHOLE:
            whole = WHOLE[path].replace("ENDPOINT", self.first("endpoint")).replace("DEVICE", self.first("device"))
            assert whole.startswith(text.strip()), "what is left of the recorded body is its beginning"
            text = whole
        made = json.loads(self.known(text)) if text.strip() else None
        return made.encode() if isinstance(made, str) else made

    def first(self, kind):
        """The recorded id of the only endpoint and the only device."""
        pattern = {"endpoint": r'"endpoint":\{"id":"([^"]+)"', "device": r'"devices":\[\{"id":"([^"]+)"'}[kind]
        return re.search(pattern, "\n".join(self.lines))[1]

    def request(self, method, path, text):
        head = f"{method} {path} {text}".strip()
        answer = re.match(r"  -> (\d+) (\S+; charset=utf-8) (.*)", self.next())
        status, content_type, recorded = int(answer[1]), answer[2], answer[3]
        while self.at < len(self.lines) and content_type.startswith("text/csv") and not REQUEST.match(self.lines[self.at]):
            recorded += "\n" + self.next()
        moment = datetime.now(timezone.utc)
        stamps = iter([moment - timedelta(hours=1), moment + timedelta(minutes=1)])
        where = STAMP.sub(lambda _: next(stamps).strftime("%Y-%m-%dT%H:%M:%S.000Z"), f"/api{self.known(path)}")
        if self.relay.description.find(method, where)[0] is None and '"NOT_FOUND"' not in recorded:
            self.missing.append(f"{method} {path}")
            self.frames.clear()
            return
        got = self.relay.call(method, where, self.body(path, text), self.token)
        self.compared += 1
        if head in CORRECTED:
            assert (got.status, got.code) == CORRECTED[head], f"{head} → {got}"
            return
        if path.endswith("/control/undefined"):  # recorded: 500
            assert got.status in (400, 404), got
            return
        if path == "/alert-history/batch/delete":  # both spellings are accepted, an empty list may be refused
            assert got.status in (200, 400), got
            return
        assert got.status == status and got.headers["content-type"] == content_type, f"{head} → {got}"
        if content_type.startswith("text/csv"):
            self.same_csv(recorded, got.text, head)
            return
        expected, whole = parse(recorded)
        if path.startswith("/admin/ban-logs"):
            expected["total"] = 1  # recorded: 3, of that server's whole life
        self.same(expected, got.json, None, head, whole)
        if path == "/auth/login" and status == 200:
            self.token = got.data["token"]
            self.claims(self.next())
        for channel, frame in self.frames:
            self.same(json.loads(frame), self.acknowledge(channel), None, f"the frame of {head}")
        self.frames.clear()

    def claims(self, line):
        recorded = [json.loads(each) for each in line.replace("} {", "}\n{").split("\n")]
        got = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in self.token.split(".")[:2]]
        assert got[0] == recorded[0] and set(recorded[1]) <= set(got[1])
        assert got[1]["exp"] - got[1]["iat"] == recorded[1]["exp"] - recorded[1]["iat"] and abs(got[1]["iat"] - time.time()) < 60
        assert self.known(recorded[1]["userId"]) == got[1]["userId"]

    def acknowledge(self, name):
        command = self.channels[name].json()
        self.channels[name].say({"type": "control_ack", "commandId": command["commandId"], "status": "success", "message": "ok"})
        self.channels[name].settle()
        return command

    # ---- channels ----

    def join(self, name, path=None, **how):
        key = next(key for key in self.ids if re.fullmatch(r"[\w-]{10}", key) and f"/ws/{key}" in RECORDED.read_text())
        self.channels[name] = Channel(self.relay.server.port, path or f"/ws/{self.ids[key]}", **how)
        return self.channels[name]

    def leave(self, name):
        self.channels.pop(name).leave()

    def bad_path(self, path, first):
        heard, code, reason = self.join(path, path, wait=False).closing()
        self.same(json.loads(first), heard[0], None, path)
        close = FRAME.fullmatch(self.next())
        assert len(heard) == 1 and close[1] == path and (code, reason) == (int(close[3]), close[4]), (path, code, reason)

    def early(self):
        """Recorded: 0 of them arrive. Muster keeps them."""
        listener = self.join("lst")
        self.join("early", wait=False, first=self.frame("early"))
        assert listener.json()["data"] == "early"
        self.leave("early")
        self.leave("lst")
        assert self.next().startswith("  [lst] close 1005")

    @staticmethod
    def frame(text):
        from hostile import frame
        return frame(TEXT, text.encode())

    def said(self, text, mode):
        binary = text.startswith("<Buffer ")
        payload = bytes.fromhex(text[8:-1]) if binary else text
        for name in ("A", "B"):
            if f"{name} {mode}" not in self.channels:
                self.join(f"{name} {mode}")
        self.channels[f"A {mode}"].say(payload)
        opcode, got = self.channels[f"B {mode}"].next()
        name, recorded = FRAME.fullmatch(self.next()).group(1, 2)
        assert name == f"B {mode}"
        if mode == "JSON":
            assert opcode == TEXT
            self.same(json.loads(recorded), json.loads(got), None, f"{mode}: {text}")
        elif binary:  # recorded: text, and damaged
            assert (opcode, got) == (BINARY, (b"AA55|" if mode == "CUSTOM_HEADER" else b"") + payload)
        else:
            assert (opcode, got.decode()) == (TEXT, recorded), f"{mode}: {text}"

    def identified(self, recorded):
        time.sleep(60 - time.time() % 60 if time.time() % 60 > 50 else 0)  # all of one minute
        device = self.join("dev")
        device.say({"type": "identify", "deviceId": "probe-1", "deviceName": "P1"})
        assert device.json() == json.loads(recorded)
        for each in DATA:
            device.say(each)
            device.settle()
            time.sleep(0.1)
        self.join("listener")

    def disabled(self, recorded):
        heard, code, reason = self.channels.pop("dev").closing()  # recorded: still open
        self.same(json.loads(recorded), heard[-1], None, "the device's last")
        assert (code, reason) == (1008, "Endpoint is disabled")
        heard, code, reason = self.join("disabled", wait=False).closing()
        self.same(json.loads(recorded), heard[0], None, "disabled")
        close = FRAME.fullmatch(self.next())
        assert (code, reason) == (int(close[3]), close[4])

    def long_frame(self):
        device, sender = self.join("dev"), self.join("long")
        text = "a" * (20 << 20)
        sender.say(text)
        got = device.json(60)
        assert set(got) == {"type", "data", "timestamp"} and got["data"] == text
        assert self.next().startswith("20MiB frame relayed: true")

    # ---- the run ----

    def run(self):
        mode = None
        while self.at < len(self.lines):
            line = self.next()
            request, frame = REQUEST.fullmatch(line), FRAME.fullmatch(line)
            if request:
                method, path, text = request.groups()
                mode = json.loads(text)["forwarding_mode"] if path.endswith("/forwarding-mode") else mode
                self.request(method, path, text)
            elif line.startswith(" A sends "):
                self.said(line[len(" A sends "):], mode)
            elif line.startswith("early delivered"):
                self.early()
            elif line.startswith("dev still open?"):
                assert "dev" not in self.channels
            elif line.startswith("dev after endpoint delete open?"):
                assert self.channels.pop("dev").closing()[1] == 1008  # recorded: still open
            elif frame:
                self.frame_line(*frame.group(1, 2, 3))
            else:
                assert not line or line.startswith("---"), f"a line that nobody knows: {line[:100]}"

    def frame_line(self, name, text, code):
        if code is not None:
            self.leave(name)
        elif name.startswith("/"):
            self.bad_path(name, text)
        elif name == "disabled":
            self.disabled(text)
        elif text.startswith('{"type":"identified"'):
            self.identified(text)
        elif text.startswith('{"type":"control"'):
            self.frames.append((name, text))
        else:
            assert text.startswith('{"type":"message","data":"aaa')
            self.long_frame()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_released_servers_run_repeats(request, tmp_path, kind):
    database = request.getfixturevalue("mariadb_database") if kind == "mariadb" else None
    # the page's languages are both allowed; this client says none
    relay = Described(kind, tmp_path / "r", database, options='websocket_base_url = "ws://localhost:3001"; max_message = 33554432; max_waiting = 104857600;')
    relay.options = 'first_admin = "";'
    relay.start()
    admin = str(uuid.uuid4())
    relay.sql("INSERT INTO users (id, username, email, password_hash, is_admin, created_at, is_active) VALUES (?, 'admin', 'admin@example.com', ?, 1, ?, 1)",
              admin, ADMIN_HASH, now())
    for n in range(2):  # it had two already
        relay.sql("INSERT INTO endpoints (id, endpoint_id, name, user_id, forwarding_mode, created_at, is_disabled) VALUES (?, ?, 'old', ?, 'JSON', ?, 0)",
                  str(uuid.uuid4()), f"old-{n}", admin, now())
    replay = Replay(relay)
    try:
        replay.run()
        eventually(lambda: relay.value("SELECT COUNT(*) FROM devices") == 0)
    finally:
        for channel in replay.channels.values():
            channel.s.close()
        relay.stop()
    assert replay.missing == [], f"{replay.compared} compared, not there: {replay.missing}"
