# SPDX-License-Identifier: ISC
"""A client that was written from the released protocol's README alone, in another language: tests/interop/session_client.js."""
import json
import os
import subprocess

import pytest

import sessions
from conftest import ROOT, eventually
from sessions import DIRS, KEY, ORACLE, machines, steer

CLIENT = ROOT / "tests" / "interop" / "session_client.js"


class Released:
    def __init__(self, server, key=KEY, more=2000, path=""):
        self.process = subprocess.Popen(["node", CLIENT, server.ws + path, str(more)], stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, "API_KEY": key, "NODE_PATH": "/usr/share/nodejs"})
        self.events = []

    def until(self, event):
        while not self.events or self.events[-1]["event"] != event:
            line = self.process.stdout.readline()
            assert line, self.events
            self.events.append(json.loads(line))
        return self.events[-1]

    def end(self):
        for line in self.process.stdout:
            self.events.append(json.loads(line))
        return self.process.wait(20)


@pytest.fixture
def s(server):
    return server(plugins=sessions.plugins(session="ping_every = 1;"), more=DIRS)


def test_a_session_with_pings(s):
    a = Released(s, more=4500)
    a.until("auth_success")
    seen = machines(s)
    assert len(seen) == 1 and all(i.startswith("auto-") and m["status"] == "online" for i, m in seen.items())
    assert a.end() == 0 and [e for e in a.events if e["event"] == "close"][0]["code"] in (1000, 1005)
    assert len([e for e in a.events if e["event"] == "ping"]) >= 3  # so the pongs were answers
    eventually(lambda: all(m["status"] == "offline" for m in machines(s).values()))
    again = Released(s, more=500)  # the same machine, not another one
    again.until("auth_success")
    assert set(machines(s)) == set(seen) and again.end() == 0


def test_a_wrong_key(s):
    a = Released(s, key="no-such-key-0123456789")
    assert a.end() == 2 and a.events[-1]["savedKey"] is False


def test_a_backend_that_is_down_costs_no_key(server):
    s = server(plugins=sessions.plugins(ORACLE), more=DIRS)
    steer(s, "oracle", mode="down")
    a = Released(s, key="user:u:one")
    assert a.end() == 1 and a.events[-1]["savedKey"] is True
    assert [e["code"] for e in a.events if e["event"] == "close"] == [1013]


def test_a_deleted_machine(server):
    s = server(plugins=sessions.plugins(ORACLE, more=['{ name = "keeper"; }']), more=DIRS)
    a = Released(s, key="user:u:one", more=20000)
    a.until("auth_success")
    (id,) = machines(s, "user:u:one")
    assert steer(s, "keeper", remove=id) == {"sent": 0}
    assert a.end() == 3 and a.events[-1]["savedKey"] is False
    assert [e["message"] for e in a.events if e["event"] == "machine_deleted"] == ["Your machine has been deleted. Please re-authenticate."]


def test_real_time_data_and_the_servers_end(server):
    s = server(plugins=sessions.plugins(ORACLE, more=['{ name = "keeper"; }']), more=DIRS)
    a = Released(s, key="user:u:one", more=20000)
    a.until("auth_success")
    (id,) = machines(s, "user:u:one")
    steer(s, "keeper", send=id, payload='{"hello":1}')
    assert a.until("data")["type"] == "data"
    s.stop()
    assert a.end() == 0 and a.events[-1]["savedKey"] is True
