# SPDX-License-Identifier: ISC
"""What the tests of the console share: a server with people, machines of theirs, and a reader of the live channel that knows only its README."""
import asyncio
import contextlib
import http.client
import json
import time

import pytest
import websockets

from accounts import Accounts


def people(folder, options="", more=(), console=""):
    """auth_accounts on SQLite, session, machines, console; the administrator is logged in."""
    listed = [f'{{ name = "console"; config = {{ {console} }}; }}', *more]
    return Accounts("sqlite", folder, None, options, more=listed).begin()


@pytest.fixture
def console(tmp_path):
    """A function that starts people(); all are stopped, and must stop well, at the end."""
    running = []

    def start(**how):
        made = people(tmp_path / f"console{len(running)}", **how)
        running.append(made)
        return made

    yield start
    for made in running:
        if made.server.process.returncode is None:
            made.stop()


def ask(server, path, headers=None, method="GET"):
    """Status, headers (lower case) and body; `server`: whatever has a port."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def merged(target, patch):
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


class Reader:
    """A page: what it knows of machines, made of nothing but the channel's messages."""

    def __init__(self, server, hello=None, **headers):
        self.url, self.hello, self.headers = server.ws + "/api/console/live", hello, headers
        self.machines, self.heard, self.user = {}, [], None
        self.seen = None

    async def __aenter__(self):
        self.link = await websockets.connect(self.url, close_timeout=1, max_size=None, ping_interval=None, **self.headers)
        if self.hello is not None:
            await self.link.send(json.dumps(self.hello))
        return self

    async def __aexit__(self, *_):
        await self.link.close()

    def take(self, message):
        self.heard.append(message)
        kind, key = message["type"], message.get("key")
        if kind == "hello":
            self.user, self.seen = message["user"], set()
        elif kind == "machine":
            self.machines[key] = {k: v for k, v in message.items() if k not in ("type", "key")}
            if self.seen is not None:
                self.seen.add(key)
        elif kind == "change":
            assert key in self.machines, f"a difference of a machine that is not known: {message}"
            self.machines[key] = merged(self.machines[key], message["m"])
            self.machines[key].setdefault("metrics", {})
        elif kind == "gone":
            self.machines.pop(key, None)
        elif kind == "ready":
            self.machines = {k: m for k, m in self.machines.items() if k in self.seen}
            self.seen = None

    async def next(self, timeout=10):
        message = json.loads(await asyncio.wait_for(self.link.recv(), timeout))
        self.take(message)
        return message

    async def until(self, kind, timeout=10):
        while (message := await self.next(timeout))["type"] != kind:
            pass
        return message

    async def settle(self, quiet=0.5):
        """Reads until nothing comes any more, from a server that answers: one that was held up has not said all."""
        while True:
            with contextlib.suppress(asyncio.TimeoutError):
                while True:
                    await self.next(quiet)
            before, pong, end = len(self.heard), await self.link.ping(), time.monotonic() + 20
            while not pong.done() and time.monotonic() < end:
                with contextlib.suppress(asyncio.TimeoutError):
                    await self.next(0.05)
            with contextlib.suppress(asyncio.TimeoutError):
                await self.next(min(quiet, 0.2))
            if len(self.heard) == before:
                return self

    def ids(self):
        return {machine["id"] for machine in self.machines.values()}


async def agree(*readers, within=30):
    """Reads until all know the same, or for so long."""
    end = time.monotonic() + within
    while True:
        await asyncio.gather(*(reader.settle() for reader in readers))
        if all(reader.machines == readers[0].machines for reader in readers) or time.monotonic() > end:
            return


def ticket(a, token):
    answer = a.call("POST", "/api/console/ticket", {}, token)
    assert answer.status == 200, answer
    return answer.json["ticket"]


async def machine(server, key, id, public=False, name=None):
    """An open link of the session protocol."""
    link = await websockets.connect(server.ws, close_timeout=1, ping_interval=None)
    await link.send(json.dumps({"type": "auth", "apiKey": key, "machineId": id, **({"name": name} if name else {})}))
    while json.loads(await asyncio.wait_for(link.recv(), 10))["type"] != "auth_success":
        pass
    await link.send(json.dumps({"type": "system_info", "public": public, "ip": "203.0.113.77"}))
    return link


async def report(link, seq, **metrics):
    await link.send(json.dumps({"type": "data", "boot": "b", "seq": seq, "metrics": metrics}))
