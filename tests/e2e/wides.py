# SPDX-License-Identifier: ISC
"""What the tests of the relay's REST API share: relays on both databases, a home with devices."""
import itertools
import json
import time
import uuid
from datetime import datetime, timedelta, timezone

from described import Described

UNKNOWN = "00000000-0000-0000-0000-000000000000"
numbers = itertools.count(1)


def iso(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def utc(**ago):
    return datetime.now(timezone.utc) - timedelta(**ago)


def shared(request, tmp_path_factory):
    """For a fixture: one relay for all tests of a file, on the database that its parameter names."""
    database = request.getfixturevalue("mariadb").database() if request.param == "mariadb" else None
    made = Described(request.param, tmp_path_factory.mktemp("relay") / "r", database).begin()
    yield made
    made.stop()
    if database:
        database.drop()


def own(tmp_path):
    """For a fixture: a function that starts relays of their own; all are stopped, and must stop well, at the end."""
    made = []

    def start(kind="sqlite", database=None, **how):
        made.append(Described(kind, tmp_path / f"relay{len(made)}", database, **how).begin())
        return made[-1]

    yield start
    for one in made:
        if one.server.process.returncode is None:
            one.stop()


class Home:
    """A user with an endpoint and one device that is connected."""

    def __init__(self, relay):
        self.relay = relay
        self.id, self.token = relay.person(f"wide_{next(numbers)}")
        self.endpoint = relay.endpoint(self.token, name="Home")
        self.rooms = []
        self.device, self.channel = self.add()

    def add(self, name=None):
        room = self.relay.device(self.endpoint, name=name)
        self.rooms.append(room)
        return room.__enter__()

    def close(self):
        for room in self.rooms:
            room.__exit__(None, None, None)

    def call(self, method, path, body=None, **how):
        return self.relay.call(method, path, body, self.token, **how)

    def path(self, *more, device=None):
        return "/".join(["/api/endpoints", self.endpoint["id"], "devices", (device or self.device)["id"], *more])

    def stored(self, count, device=None):
        """So many values are in the database."""
        end = time.monotonic() + 10
        while self.relay.value("SELECT COUNT(*) FROM device_data WHERE device_id = ?", (device or self.device)["id"]) < count:
            assert time.monotonic() < end
            time.sleep(0.05)

    def put(self, key, value, at, kind="number", device=None):
        """A value of a time of its own, as another program stores it."""
        self.relay.sql("INSERT INTO device_data (id, device_id, data_key, data_value, data_type, unit, timestamp) VALUES (?, ?, ?, ?, ?, NULL, ?)",
                       str(uuid.uuid4()), (device or self.device)["id"], key, value if isinstance(value, str) else json.dumps(value), kind,
                       at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3])

    def rule(self, **more):
        body = {"endpoint_id": self.endpoint["id"], "device_id": self.device["id"], "rule_name": "hot", "data_key": "temperature",
                "operator": ">", "threshold": "20", "alert_level": "critical", **more}
        return self.call("POST", "/api/alert-rules", body)

    def group(self, *devices, name="G"):
        answer = self.call("POST", "/api/device-groups", {"endpoint_id": self.endpoint["id"], "group_name": name,
                                                         "device_ids": [each["id"] for each in devices]})
        assert answer.status == 201, answer
        return answer.data
