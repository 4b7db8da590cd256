# SPDX-License-Identifier: ISC
"""Links that end, well or badly, and how soon the API tells; what is written how soon."""
import contextlib
import ctypes
import os
import random
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import SANITIZED, eventually, free_port
from relays import KINDS, Channel, Relay
from test_relay_channel import rest

CLONE_NEWNET = 0x40000000
SILENT_S = 30


@pytest.fixture(params=KINDS)
def relay(request, tmp_path):
    database = request.getfixturevalue("mariadb_database") if request.param == "mariadb" else None
    made = Relay(request.param, tmp_path / "r", database)
    yield made
    made.stop()


def links(relay, port):
    """Descriptors of the server that are connections to this port of its."""
    listed = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
    known = {f"socket:[{each[9]}]" for each in listed if int(each[1].split(":")[1], 16) == port and each[3] != "0A"}  # 0A: listens
    count = 0
    for name in os.listdir(f"/proc/{relay.server.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/{relay.server.pid}/fd/{name}") in known
    return count


def online(relay, endpoint):
    """The device ids that REST calls online."""
    status, answer = rest(relay, endpoint, "/devices")
    assert status == 200
    return {each["device_id"] for each in answer["data"]["devices"] if each["is_online"]}


def current(relay, endpoint):
    return rest(relay, endpoint, "/stats")[1]["data"]["current_connections"]


# ---- another machine ----


class Elsewhere:
    """A network namespace on a wire of its own. cut(): from then on nothing comes back from there, not even a reset or an ARP answer."""

    def __init__(self):
        number = random.randrange(1, 1 << 14)
        self.name, self.here, self.there = f"muster{number}", f"mh{number}", f"mt{number}"
        self.net = f"198.18.{number >> 6}.{(number & 63) * 4 + 1}", f"198.18.{number >> 6}.{(number & 63) * 4 + 2}"

    def ip(self, *words):
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def __enter__(self):
        self.ip("netns", "add", self.name)
        try:
            self.ip("link", "add", self.here, "type", "veth", "peer", "name", self.there, "netns", self.name, "address", "02:00:00:00:00:02")
            self.ip("addr", "add", f"{self.net[0]}/30", "dev", self.here)
            self.ip("link", "set", self.here, "up")
            self.ip("neigh", "replace", self.net[1], "lladdr", "02:00:00:00:00:02", "dev", self.here, "nud", "permanent")
            self.join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "link", "del", self.here], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def join(self):
        self.ip("-n", self.name, "addr", "add", f"{self.net[1]}/30", "dev", self.there)
        self.ip("-n", self.name, "link", "set", self.there, "up")

    def cut(self):
        self.ip("-n", self.name, "addr", "flush", "dev", self.there)

    def run(self, what):
        """Calls it there; what its sockets are, they stay."""
        got = []

        def moved():
            with open(f"/run/netns/{self.name}") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
            got.append(what())

        thread = threading.Thread(target=moved)
        thread.start()
        thread.join()
        assert got, "it failed there"
        return got[0]


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.skipif(os.geteuid() != 0, reason="a network namespace needs root")
def test_100_devices_whose_network_is_gone_are_offline_within_30_s_and_nothing_leaks(tmp_path):
    with Elsewhere() as elsewhere, contextlib.ExitStack() as after:
        port, far_port = free_port(), free_port()
        relay = Relay("sqlite", tmp_path / "r", listen=f'{{ address = "127.0.0.1"; port = {port}; }}, {{ address = "{elsewhere.net[0]}"; port = {far_port}; }}')
        after.callback(relay.stop)
        relay.server.port = port
        endpoint = relay.endpoint()
        talker, listener = relay.join(endpoint), relay.join(endpoint)

        def come():
            made = [Channel(far_port, endpoint.path, host=elsewhere.net[0]) for _ in range(100)]
            for number, channel in enumerate(made):
                channel.identify(f"d{number}")
            return made

        channels = elsewhere.run(come)
        names = {f"d{number}" for number in range(100)}
        assert online(relay, endpoint) == names and current(relay, endpoint) == 102
        assert links(relay, far_port) == 100
        elsewhere.cut()
        began, said = time.monotonic(), 0
        while online(relay, endpoint):
            assert time.monotonic() - began < SILENT_S + 1 or SANITIZED
            talker.say(f"m{said}")
            talker.settle()
            assert listener.text(5) == f"m{said}"
            said += 1
            time.sleep(0.2)
        assert current(relay, endpoint) == 2 and relay.stats(endpoint) == [2, 102, said]
        eventually(lambda: links(relay, far_port) == 0)
        [device] = [each["id"] for each in rest(relay, endpoint, "/devices")[1]["data"]["devices"] if each["device_id"] == "d7"]
        assert rest(relay, endpoint, f"/devices/{device}/control", {"command": "x"})[0] == 503
        # the network is back, and so are they
        elsewhere.join()
        for channel in channels:
            channel.s.close()
        channels = elsewhere.run(come)
        assert online(relay, endpoint) == names and current(relay, endpoint) == 102
        for channel in channels:
            channel.leave()
        eventually(lambda: not online(relay, endpoint) and links(relay, far_port) == 0)
        eventually(lambda: relay.stats(endpoint) == [2, 202, said])


# ---- a second ----


def reset(channel):
    channel.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    channel.s.close()


ENDS = {"close": lambda channel: channel.leave(), "end": lambda channel: channel.s.close(), "reset": reset}


@pytest.mark.alone
@pytest.mark.parametrize("how", ENDS)
def test_a_disconnect_is_seen_in_the_api_within_a_second(relay, how):
    endpoint = relay.endpoint()
    talker = relay.join(endpoint)
    for _ in range(3):
        device = relay.join(endpoint)
        device.identify("dev")
        assert online(relay, endpoint) == {"dev"} and current(relay, endpoint) == 2
        for number in range(200):  # much waits to be written
            talker.say(f"m{number}")
        began = time.monotonic()
        ENDS[how](device)
        eventually(lambda: not online(relay, endpoint), step=0.01)
        eventually(lambda: current(relay, endpoint) == 1, step=0.01)
        assert time.monotonic() - began < 1 or SANITIZED
        eventually(lambda: relay.stats(endpoint)[0] == 1, step=0.01)  # and for other programs that read the row
        assert time.monotonic() - began < 1 or SANITIZED


@pytest.mark.alone
def test_100_that_leave_at_once_are_seen_within_a_second(relay):
    endpoint = relay.endpoint()
    channels = [relay.join(endpoint) for _ in range(100)]
    for number, channel in enumerate(channels):
        channel.identify(f"d{number}")
    assert len(online(relay, endpoint)) == 100
    began = time.monotonic()
    for channel in channels:
        channel.s.close()
    eventually(lambda: not online(relay, endpoint), step=0.01)
    eventually(lambda: relay.stats(endpoint) == [0, 100, 0], step=0.01)
    assert time.monotonic() - began < 1 or SANITIZED


# ---- statistics ----


@pytest.mark.alone
def test_statistics_are_written_within_5_s_or_at_100_messages(tmp_path):
    """With the longest flush_every that may be configured. Nobody asks REST, which would write them at once."""
    relay = Relay("sqlite", tmp_path / "r", options="flush_every = 5000;")
    try:
        endpoint = relay.endpoint()
        talker = relay.join(endpoint)
        for count in (1, 99):
            stored = (relay.stats(endpoint) or [0, 0, 0])[2]
            began = time.monotonic()
            for number in range(count):
                talker.say(f"m{number}")
            eventually(lambda: (relay.stats(endpoint) or [0, 0, 0])[2] == stored + count, 10, 0.01)
            assert time.monotonic() - began < 5.5 or SANITIZED
        began, stored = time.monotonic(), relay.stats(endpoint)[2]
        for number in range(100):
            talker.say(f"m{number}")
        eventually(lambda: relay.stats(endpoint)[2] == stored + 100, 10, 0.01)
        assert time.monotonic() - began < 2 or SANITIZED
    finally:
        relay.stop()
