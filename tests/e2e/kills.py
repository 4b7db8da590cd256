# SPDX-License-Identifier: ISC
"""kill -9 during load: people, devices and programs at a relay that remember what they were told, and hold it against the database afterwards."""
import http.client
import itertools
import json
import random
import threading
import time
import uuid

from accounts import forge
from conftest import eventually
from relays import JWT_SECRET, Relay, now

TABLES = ("users", "invite_codes", "endpoints", "endpoint_stats", "messages", "devices", "device_data", "control_commands", "alert_rules", "alert_history",
          "visualization_cards", "device_groups", "device_group_members", "ban_logs", "muster_users", "muster_api_keys", "muster_endpoint_access")
REFERENCES = ("SELECT TABLE_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE "
              "WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL")
MODES = ("DIRECT", "JSON", "CUSTOM_HEADER")
KEPT = 50
serial = itertools.count(1)


class Gone(Exception):
    """The server was killed before it answered: what was asked for may have happened or not."""


class Refused(Exception):
    """503: the device is not connected, or the database was killed first; then what was asked for may have happened, too."""


def whole(relay):
    """The database is intact: its pages, and each row that another row names."""
    if relay.kind == "sqlite":
        assert relay.db.sql("PRAGMA integrity_check") == [["ok"]]
        assert relay.db.sql("PRAGMA foreign_key_check") == []
        return
    for table in TABLES:
        told = relay.db.sql(f"CHECK TABLE {table} EXTENDED")
        assert [row[2:] for row in told] == [["status", "OK"]], told
    references = relay.db.sql(REFERENCES)
    assert len(references) > 10
    for table, column, other, key in references:
        orphans = f"FROM {table} a LEFT JOIN {other} b ON a.{column} = b.{key} WHERE a.{column} IS NOT NULL AND b.{key} IS NULL"
        assert relay.db.sql(f"SELECT COUNT(*) {orphans}") == [[0]], orphans


class Actor:
    """Somebody with a thread per round. One request is never repeated: an answer that did not come leaves a doubt."""

    def __init__(self, home):
        self.home, self.relay = home, home.relay
        self.wrong = None

    def begin(self):
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            self.prepare()
            while not self.ending.is_set():
                try:
                    self.act()
                except Refused:
                    time.sleep(0.01)
        except (Gone, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - told by the main thread
            self.wrong = error

    def end(self):
        self.ending.set()
        self.thread.join(30)
        assert not self.thread.is_alive(), f"{self!r} was never answered"
        if self.wrong:
            raise self.wrong

    def prepare(self):
        self.http = http.client.HTTPConnection("127.0.0.1", self.relay.server.port, timeout=20)

    def call(self, method, path, body=None):
        """The answer's JSON; only 2xx is right."""
        try:
            self.http.request(method, path, body=None if body is None else json.dumps(body).encode(),
                              headers={"Authorization": f"Bearer {self.home.token}", "Content-Type": "application/json"})
            answer = self.http.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            raise Gone from None
        if answer.status == 503 and (self.home.rounds.falling or b"DEVICE_OFFLINE" in text):
            raise Refused
        assert 200 <= answer.status < 300, f"{method} {path}: {answer.status} {text}"
        return json.loads(text) if text else None

    def join(self):
        self.home.joined += 1
        try:
            channel = self.relay.join(self.home.endpoint)
        except (OSError, AssertionError):
            raise Gone from None
        if channel.ended:
            raise Gone
        return channel

    def say(self, channel, message):
        self.home.sent += 1
        if not channel.say(message):
            raise Gone

    def hear(self, channel, type):
        """The next message of a type; others come, too."""
        try:
            while True:
                text = channel.text(20)
                if f'"type":"{type}"' in text:
                    return json.loads(text)
        except AssertionError:
            if channel.ended or not self.relay.server.alive():
                raise Gone from None
            raise


class Owner(Actor):
    """Changes rows through REST. kept: {(table, name): value}, None for what was deleted; doubts: what was not answered."""

    def __init__(self, home):
        super().__init__(home)
        self.doubts = {}
        self.kept, self.ids = self.rows()

    def change(self, key, value, method, path, body=None):
        self.doubts.setdefault(key, []).append(value)
        answer = self.call(method, path, body)
        self.kept[key] = value
        self.doubts.pop(key)
        return answer

    def act(self):
        random.choice((self.mode, self.email, self.rename, self.card, self.rule, self.group, self.key, self.endpoint))()

    def mode(self):
        mode, header = random.choice(MODES), f"H{next(serial)}|"
        self.change(("mode", self.home.endpoint.uuid), f"{mode} {header}", "PUT", f"/api/endpoints/{self.home.endpoint.uuid}/forwarding-mode",
                    {"forwarding_mode": mode, "custom_header": header})

    def email(self):
        email = f"e{next(serial)}_{self.home.endpoint.key[:4].lower()}@example.com"
        self.change(("email", self.home.user), email, "PUT", "/api/auth/profile", {"email": email})

    def rename(self):
        name = f"N{next(serial)}"
        self.change(("device", "own"), name, "PUT", f"/api/endpoints/{self.home.endpoint.uuid}/devices/own", {"custom_name": name})

    def made(self, table, limit, path, body, id_of, value="", update=None):
        """Makes one, changes one or deletes one."""
        there = [name for kind, name in self.ids if kind == table]
        if len(there) >= limit or (there and random.random() < 0.3):
            name = random.choice(there)
            id = self.ids.pop((table, name))
            self.change((table, name), None, "DELETE", f"{path}/{id}")
        elif there and update and random.random() < 0.5:
            name, value = random.choice(there), str(next(serial))
            self.change((table, name), value, "PUT", f"{path}/{self.ids[table, name]}", update(value))
        else:
            name = f"{table}{next(serial)}"
            self.ids[table, name] = id_of(self.change((table, name), value, "POST", path, body(name)))

    def card(self):
        self.made("card", 20, "/api/visualization/cards",
                  lambda name: {"cardType": "statistic", "dataKey": "n", "title": name, "config": {"n": "0"}, "position": {"x": 0}},
                  lambda made: made["id"], "0", lambda value: {"config": {"n": value}})

    def rule(self):
        self.made("rule", 20, "/api/alert-rules",
                  lambda name: {"endpoint_id": self.home.endpoint.uuid, "device_id": self.home.device, "rule_name": name, "data_key": "n", "operator": ">",
                                "threshold": "7", "alert_level": "info", "enabled": False},
                  lambda made: made["data"]["id"], "7", lambda value: {"threshold": value})

    def group(self):
        self.made("group", 10, "/api/device-groups",
                  lambda name: {"endpoint_id": self.home.endpoint.uuid, "group_name": name, "device_ids": [self.home.device]}, lambda made: made["data"]["id"])

    def key(self):
        self.made("key", 3, "/api/auth/api-keys", lambda name: {"name": name}, lambda made: made["data"]["api_key"]["id"])

    def endpoint(self):
        self.made("endpoint", 3, "/api/endpoints", lambda name: {"name": name}, lambda made: made["data"]["endpoint"]["id"])

    def rows(self):
        """{(table, name): value} and {(table, name): id} of all that is there."""
        sql, user = self.relay.db.sql, self.home.user
        found = {("mode", row[0]): f"{row[1]} {row[2]}" for row in
                 sql("SELECT id, forwarding_mode, custom_header FROM endpoints WHERE id = ?", self.home.endpoint.uuid)}
        found |= {("email", user): row[0] for row in sql("SELECT email FROM users WHERE id = ?", user)}
        found |= {("device", "own"): row[0] for row in sql("SELECT custom_name FROM devices WHERE id = ?", self.home.device)}
        ids = {}
        for table, statement in (("card", "SELECT title, id, config FROM visualization_cards WHERE user_id = ?"),
                                 ("rule", "SELECT rule_name, id, threshold FROM alert_rules WHERE user_id = ?"),
                                 ("group", "SELECT group_name, id, '' FROM device_groups WHERE user_id = ?"),
                                 ("key", "SELECT name, id, '' FROM muster_api_keys WHERE user_id = ?"),
                                 ("endpoint", "SELECT name, id, '' FROM endpoints WHERE user_id = ? AND name <> 'E'")):
            for name, id, value in sql(statement, user):
                found[table, name] = json.loads(value)["n"] if table == "card" else value
                ids[table, name] = id
        return found, ids

    def check(self):
        found, ids = self.rows()
        for key in found.keys() | self.kept.keys():
            allowed = [self.kept.get(key), *self.doubts.get(key, [])]
            assert found.get(key) in allowed, f"{key} is {found.get(key)!r}, and was told to be {allowed[0]!r} (unanswered: {allowed[1:]})"
        groups = {id for (table, _), id in ids.items() if table == "group"}
        members = self.relay.db.sql("SELECT group_id FROM device_group_members WHERE device_id = ?", self.home.device)
        assert {row[0] for row in members} == groups, "a group without its device"
        self.kept, self.ids, self.doubts = found, ids, {}
        return len(found)


class Device(Actor):
    """Identifies itself, sends data, and answers commands."""

    def __init__(self, home):
        super().__init__(home)
        self.told, self.asked = {}, {}

    def prepare(self):
        self.channel = self.join()
        if not self.channel.say({"type": "identify", "deviceId": "own"}):  # its name is the owner's
            raise Gone
        self.hear(self.channel, "identified")

    def identify(self, id):
        name = f"D{next(serial)}"
        self.asked.setdefault(id, []).append(name)
        if not self.channel.say({"type": "identify", "deviceId": id, "deviceName": name}):
            raise Gone
        got = self.hear(self.channel, "identified")
        assert got["deviceId"] == id and got["customName"] == name
        self.told[id] = name
        self.asked.pop(id)

    def act(self):
        kind = random.random()
        if kind < 0.1 and len(self.told) < 300:
            self.identify(f"d{next(serial)}")
        elif kind < 0.3 and self.told:
            self.identify(random.choice(list(self.told)))
        else:
            self.say(self.channel, {"data": {"n": next(serial)}})
        time.sleep(0.002)

    def check(self):
        rows = dict(self.relay.db.sql("SELECT device_id, custom_name FROM devices WHERE endpoint_id = ? AND device_id LIKE ?",
                                      self.home.endpoint.uuid, "d%"))
        for id in rows.keys() | self.told.keys():
            allowed = [self.told.get(id), *self.asked.get(id, [])]
            assert rows.get(id) in allowed, f"device {id} is {rows.get(id)!r}, and was told to be {allowed}"
        self.told, self.asked = rows, {}
        return len(rows)


class Answerer(Actor):
    """The device "ack": answers each command but some."""

    def prepare(self):
        self.channel = self.join()
        self.channel.say({"type": "identify", "deviceId": "ack", "deviceName": "A"})
        self.hear(self.channel, "identified")

    def act(self):
        id = self.hear(self.channel, "control")["commandId"]
        if random.random() < 0.9 and not self.channel.say({"type": "control_ack", "commandId": id, "status": "success", "message": f"m-{id}"}):
            raise Gone

    def check(self):
        return 1


class Commander(Actor):
    """Asks the device "ack", and remembers what it was told of each command."""

    def __init__(self, home):
        super().__init__(home)
        self.told = {}

    def act(self):
        path = f"/api/endpoints/{self.home.endpoint.uuid}/devices/{self.home.acker}/control"
        answer = self.call("POST", path, {"command": "x", "params": {"n": next(serial)}})
        id = answer["commandId"]
        self.told[id] = "pending"
        for _ in range(3):
            self.told[id] = self.call("GET", f"{path}/{id}")["status"]
            if self.told[id] != "pending":
                break
            time.sleep(0.005)

    def check(self):
        rows = {id: (status, text) for id, status, text in
                self.relay.db.sql("SELECT command_id, status, error_message FROM control_commands WHERE endpoint_id = ?", self.home.endpoint.uuid)}
        for id, status in self.told.items():
            assert id in rows, f"command {id} was answered with 200, and is gone"
            assert status == "pending" or rows[id][0] == status, f"command {id} was told to be {status}, and is {rows[id][0]}"
            assert rows[id][0] != "success" or rows[id][1] == f"m-{id}", rows[id]
        return len(self.told)


class Talker(Actor):
    """Sends messages in short bursts, comes and goes."""

    def prepare(self):
        self.channel = self.join()

    def act(self):
        for _ in range(random.randrange(1, 80)):
            self.say(self.channel, f"t{next(serial)}")
        time.sleep(0.005)
        if random.random() < 0.1:
            self.channel.leave()
            self.channel = self.join()

    def check(self):
        return 1


class Teller(Actor):
    """Asks for messages, figures and data; what it was told must still be so."""

    def __init__(self, home):
        super().__init__(home)
        self.connections = self.messages = 0
        self.shown, self.data = [], {}

    def act(self):
        path = f"/api/endpoints/{self.home.endpoint.uuid}"
        what = random.randrange(3)
        if what == 0:
            told = self.call("GET", f"{path}/stats")["data"]
            assert told["total_connections"] >= self.connections and told["total_messages"] >= self.messages, (told, self.connections, self.messages)
            self.connections, self.messages = told["total_connections"], told["total_messages"]
            assert self.connections <= self.home.joined and self.messages <= self.home.sent, (told, self.home.joined, self.home.sent)
        elif what == 1:
            self.shown = self.call("GET", f"{path}/messages")["data"]["messages"]
            assert len(self.shown) <= KEPT
        else:
            for each in self.call("GET", f"{path}/devices/{self.home.device}/data")["data"]:
                self.data[each["timestamp"]] = str(each["value"])
        time.sleep(0.003)

    def check(self):
        sql, endpoint = self.relay.db.sql, self.home.endpoint
        rows = {id: (content, str(at)) for id, content, at in sql("SELECT id, content, created_at FROM messages WHERE endpoint_id = ?", endpoint.uuid)}
        lost = [each for each in self.shown if each["id"] not in rows]
        assert not lost or len(rows) >= KEPT, f"{len(lost)} messages that were shown are gone, and only {len(rows)} are there"
        oldest = min((at for _, at in rows.values()), default="")
        for each in self.shown:
            if each in lost:  # pushed out by newer ones
                at = each["created_at"].replace("T", " ").rstrip("Z")
                assert at < oldest[:23], f"{each} is gone, and the oldest there is of {oldest}"
            else:
                assert rows[each["id"]][0] == each["content"]
        values = {row[0] for row in sql("SELECT data_value FROM device_data WHERE device_id = ?", self.home.device)}
        assert values >= set(self.data.values()), f"values that were shown are gone: {set(self.data.values()) - values}"
        self.figures()
        return len(self.shown) + len(self.data)

    def figures(self):
        row = self.relay.stats(self.home.endpoint) or [0, 0, 0]
        assert self.connections <= row[1] <= self.home.joined, f"connections: told {self.connections}, stored {row[1]}, opened at most {self.home.joined}"
        assert self.messages <= row[2] <= self.home.sent, f"messages: told {self.messages}, stored {row[2]}, sent at most {self.home.sent}"
        self.connections, self.messages = row[1:]
        return row


class Home:
    """A user with an endpoint, and all who act there."""

    def __init__(self, rounds):
        self.rounds, self.relay = rounds, rounds.relay
        self.user = self.relay.user()
        at = int(time.time())
        self.token = forge({"userId": self.user, "username": "u", "isAdmin": False, "iat": at, "exp": at + 86400}, secret=JWT_SECRET)
        self.endpoint = self.relay.endpoint(self.user)
        self.device, self.acker = self.add("own"), self.add("ack")
        self.joined = self.sent = 0
        self.teller = Teller(self)
        self.actors = [Owner(self), Device(self), Answerer(self), Commander(self), Talker(self), self.teller]

    def add(self, name):
        id = str(uuid.uuid4())
        self.relay.db.sql("INSERT INTO devices (id, endpoint_id, device_id, custom_name, last_connected_at, created_at) VALUES (?, ?, ?, ?, ?, ?)", id,
                          self.endpoint.uuid, name, name, now(), now())
        return id


class Rounds:
    """A relay that is killed again and again. mariadb: its server, when that may be killed with it."""

    def __init__(self, kind, folder, database=None, mariadb=None, homes=2):
        self.mariadb = mariadb
        self.relay = Relay(kind, folder, database)
        self.homes = [Home(self) for _ in range(homes)]
        self.checked = self.count = 0
        self.falling = False  # the database is being killed

    def round(self):
        self.count += 1
        self.falling = False
        for home in self.homes:
            for actor in home.actors:
                actor.begin()
        time.sleep(random.uniform(0.1, 1.0))
        both = self.mariadb and self.count % 4 == 0
        if both and random.random() < 0.5:
            self.falling = True
            self.mariadb.kill()
            time.sleep(random.uniform(0, 0.2))
        self.relay.server.process.kill()
        self.relay.server.process.wait()
        if both:
            self.mariadb.kill()
            self.mariadb.start()
        for home in self.homes:
            for actor in home.actors:
                actor.end()
        whole(self.relay)
        for home in self.homes:
            self.checked += sum(actor.check() for actor in home.actors)
        self.relay.start()
        for home in self.homes:
            eventually(lambda home=home: (self.relay.stats(home.endpoint) or [0])[0] == 0)
            home.teller.prepare()
            told = home.teller.call("GET", f"/api/endpoints/{home.endpoint.uuid}/stats")["data"]
            assert [told[name] for name in ("current_connections", "total_connections", "total_messages")] == (home.teller.figures() or [0, 0, 0])

    def stop(self):
        self.relay.stop()
        whole(self.relay)
