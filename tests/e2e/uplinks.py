# SPDX-License-Identifier: ISC
"""What the tests of the agent's side of the session protocol share: its configuration, and a server that they steer message by message."""
import asyncio
import json
import time

import websockets

from conftest import Program, free_port
from sessions import DIRS


def configuration(url, key=None, keys=None, interval=0.3, more="", collectors=("cpu", "memory", "system"), top=""):
    """agent.conf; `key`: api_key, `keys`: key_dir."""
    listed = ", ".join(f'{{ name = "{name}"; interval = {interval}; }}' for name in collectors)
    return (f'{DIRS}\n{top}\nadaptive = "off";\n' + (f'key_dir = "{keys}";\n' if keys else "") + f"collectors = ( {listed} );\n"
            f'uplinks = ( {{ name = "session"; config = {{ url = "{url}"; ' + (f'api_key = "{key}"; ' if key else "") + f"{more} }}; }} );\n")


class Agent(Program):
    def __init__(self, folder, url, arguments=("--service",), env=None, **how):
        folder.mkdir(exist_ok=True)
        how.setdefault("keys", folder / "keys")
        self.url, self.how, self.keys = url, how, how["keys"]
        super().__init__("muster-agent", folder, configuration(url, **how), env, arguments)

    def ended(self, timeout=15):
        """The status that it ends with by itself."""
        return self.process.wait(timeout)


def save(folder, server, key, mode=0o600):
    """A saved key, as the agent would have left it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / (server.replace(":", "_") + ".key")
    file.write_text(key + "\n")
    file.chmod(mode)
    return file


class Peer:
    """A server of the session protocol that says what a test makes it say. `script(peer, link, message)` answers; every message is kept."""

    def __init__(self, script=None, port=None, durable=False):
        self.port, self.script, self.durable = port or free_port(), script, durable
        self.heard, self.paths, self.links, self.closes = [], [], [], []

    async def __aenter__(self):
        self.server = await websockets.serve(self.handle, "127.0.0.1", self.port, ping_interval=None, close_timeout=1)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def handle(self, link, path):
        self.paths.append(path)
        self.links.append(link)
        try:
            async for text in link:
                message = {**json.loads(text), "link": len(self.paths) - 1, "at": time.monotonic()}
                self.heard.append(message)
                if not (self.script and await self.script(self, link, message)) and message["type"] == "auth":
                    await self.success(link)
        except websockets.ConnectionClosed:
            pass
        self.closes.append(link.close_code)

    async def say(self, link, type, **members):
        await link.send(json.dumps({"type": type, **members}))

    async def success(self, link, token="token.of.test", **members):
        await self.say(link, "auth_success", sessionToken=token, message="Authentication successful", userId="alice", machineId="m",
                       expiresIn=100, durable=self.durable, **members)

    async def fail(self, link, code, close=None, **members):
        await self.say(link, "auth_failed", code=code, message=members.pop("message", code), **members)
        if close:
            await link.close(close, code)

    def of(self, type, link=None):
        return [m for m in self.heard if m["type"] == type and link in (None, m["link"])]

    async def until(self, check, timeout=20):
        end = time.monotonic() + timeout
        while not check():
            assert time.monotonic() < end, f"{[(m['type'], m.get('seq')) for m in self.heard]}"
            await asyncio.sleep(0.02)

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}"

    @property
    def name(self):
        return f"127.0.0.1:{self.port}"
