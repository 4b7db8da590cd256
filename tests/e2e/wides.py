# SPDX-License-Identifier: ISC
"""What the tests of device data, commands, dashboards, alerts and groups share."""
import itertools
import json
import time
import uuid
from datetime import datetime, timedelta, timezone

UNKNOWN = "00000000-0000-0000-0000-000000000000"
numbers = itertools.count(1)


def iso(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def utc(**ago):
    return datetime.now(timezone.utc) - timedelta(**ago)


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
