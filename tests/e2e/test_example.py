# SPDX-License-Identifier: ISC
"""The plugin to copy: its message type on the session protocol, added by one .so and one name in the configuration."""
import asyncio
import json

import websockets

KEY = "ann-key-0123456789abcdef"
SECRET = "a-jwt-secret-of-the-tests-0123456789"


def plugins(*more):
    return ['{ name = "auth_static"; config = { users = ( { id = "u1"; name = "Ann"; api_keys = [ "%s" ]; } ); }; }' % KEY,
            '{ name = "machines"; }', '{ name = "session"; config = { jwt_secret = "%s"; }; }' % SECRET, *more]


async def say(link, **message):
    await link.send(json.dumps(message))
    return json.loads(await asyncio.wait_for(link.recv(), 10))


def test_message_type_of_a_plugin(server):
    made = server(plugins=plugins('{ name = "example"; }'))

    async def run():
        async with websockets.connect(made.ws + "/ws/session") as link:
            assert (await say(link, type="note", text="too early"))["code"] == "not_authenticated"
            assert (await say(link, type="auth", apiKey=KEY, machineId="m1"))["type"] == "auth_success"
            assert await say(link, type="note", text='hello "you"') == {"type": "data", "payload": 'hello "you"'}
            for wrong in (7, "x" * 201, None, {}):
                answer = await say(link, type="note", text=wrong)
                assert answer["code"] == "bad_field" and "text" in answer["message"], wrong
            assert (await say(link, type="note"))["code"] == "bad_field"
            # At a reload the plugin goes, and its message type with it; the connection and the other types stay.
            made.reload(made.text(plugins()))
            for _ in range(50):
                await asyncio.sleep(0.1)
                answer = await say(link, type="note", text="?")
                if answer["type"] != "data":
                    break
            assert answer["code"] == "unknown_type"
            assert await say(link, type="ping") == {"type": "pong"}

    asyncio.run(run())
    made.logged("m1: note")
