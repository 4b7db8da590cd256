# SPDX-License-Identifier: ISC
"""Realtime's frames of vsn 2.0.0, which the pinned official client does not speak yet, and what the stand-in does when told to fail."""
import asyncio
import json
import ssl

import pytest
import websockets
from rig import make_jwt

pytestmark = pytest.mark.rig
TOPIC = "realtime:machines"
WANTED = {"event": "DELETE", "schema": "public", "table": "machines"}


class Phoenix:
    """A client that shows every frame."""

    def __init__(self, project, key=None, vsn="2.0.0", **more):
        base = project.url.replace("http", "ws", 1)
        self.opening = websockets.connect(f"{base}/realtime/v1/websocket?apikey={key or project.keys.secret}&vsn={vsn}", **more)

    async def __aenter__(self):
        self.ws = await self.opening.__aenter__()
        return self

    async def __aexit__(self, *error):
        await self.opening.__aexit__(*error)

    async def send(self, *frame):
        await self.ws.send(json.dumps(frame))

    async def get(self):
        return json.loads(await asyncio.wait_for(self.ws.recv(), 10))

    async def join(self, ref="1", **more):
        await self.send(ref, ref, TOPIC, "phx_join", {"config": {"postgres_changes": [WANTED]}, **more})

    async def live(self, ref="1"):
        """Joins until it is live; the id of what it asked for."""
        await self.join(ref)
        join_ref, ref_of, topic, event, payload = await self.get()
        assert (join_ref, ref_of, topic, event, payload["status"]) == (ref, ref, TOPIC, "phx_reply", "ok")
        [wanted] = payload["response"]["postgres_changes"]
        assert {name: wanted[name] for name in WANTED} == WANTED
        assert await self.get() == [ref, None, TOPIC, "system", {
            "status": "ok", "message": "Subscribed to PostgreSQL", "extension": "postgres_changes", "channel": "machines"}]
        return wanted["id"]

    async def refused(self):
        frame = await self.get()
        assert frame[3] == "phx_reply" and frame[4]["status"] == "error", frame
        return frame[4]["response"]["reason"]


def test_a_deletion(supabase, database, certificates):
    project = supabase(tls=certificates)
    user = database.add_user("somebody-1")
    machine = database.add_machine(user)

    async def run():
        async with Phoenix(project, ssl=ssl.create_default_context(cafile=certificates.ca)) as client:
            id = await client.live()
            database.remove("machines", machine)
            join_ref, ref, topic, event, payload = await client.get()
            assert (join_ref, ref, topic, event, payload["ids"]) == ("1", None, TOPIC, "postgres_changes", [id])
            data = payload["data"]
            assert (data["type"], data["old_record"], data["table"], data["schema"]) == ("DELETE", {"id": machine}, "machines", "public")
            assert "record" not in data and {"name": "id", "type": "uuid"} in data["columns"]
            await client.send(None, "2", "phoenix", "heartbeat", {})
            assert await client.get() == [None, "2", "phoenix", "phx_reply", {"status": "ok", "response": {}}]
            await client.send("1", "3", TOPIC, "phx_leave", {})
            assert (await client.get())[3:] == ["phx_reply", {"status": "ok", "response": {}}]
            assert (await client.get())[3] == "phx_close"
            await client.send("1", "4", TOPIC, "phx_leave", {})
            assert await client.refused() == "unmatched topic"
    asyncio.run(run())


def test_joining_again_closes_the_older(supabase):
    project = supabase()

    async def run():
        async with Phoenix(project) as client:
            await client.live("1")
            await client.join("5")
            assert await client.get() == ["1", None, TOPIC, "phx_close", {}]
            assert (await client.get())[0] == "5"
    asyncio.run(run())


def test_refused_handshakes(supabase):
    project = supabase()

    async def status(**more):
        try:
            async with Phoenix(project, **more):
                return 101
        except websockets.InvalidStatusCode as refused:
            return refused.status_code
    assert asyncio.run(status(key="sb_secret_wrong")) == 401
    assert asyncio.run(status(vsn="9.0.0")) == 403
    for key in project.keys[1:]:
        assert asyncio.run(status(key=key)) == 101
    project.behave(503, "/realtime")
    assert asyncio.run(status()) == 503


def test_refused_joins(supabase):
    project = supabase()

    async def run():
        async with Phoenix(project) as client:
            for topic, reason in (("realtime:", "TopicNameRequired"), ("machines", "unmatched topic")):
                await client.send("1", "1", topic, "phx_join", {})
                assert reason in await client.refused()
            for token, reason in ((make_jwt(project.keys.jwt_secret, {"role": "anon", "exp": 1}), "expired"), ("nonsense", "MalformedJWT"),
                                  (make_jwt("another", {"role": "anon", "exp": 1 << 40}), "JwtSignatureError"),
                                  (make_jwt(project.keys.jwt_secret, {"role": "anon"}), "required in JWT")):
                await client.join(access_token=token)
                assert reason in await client.refused()
            await client.join(access_token=project.keys.secret)
            assert (await client.get())[4]["status"] == "ok"
            assert (await client.get())[4]["status"] == "ok"
            await client.send("1", "2", TOPIC, "access_token", {"access_token": "nonsense"})
            frame = await client.get()
            assert frame[3] == "system" and frame[4]["status"] == "error" and (await client.get())[3] == "phx_close"
    asyncio.run(run())


def test_told_to_fail(supabase):
    project = supabase()
    realtime = project.realtime

    async def silent(client):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.ws.recv(), 0.5)

    async def run():
        async with Phoenix(project) as client:
            realtime.on_join = "error"
            await client.join()
            assert "Unauthorized" in await client.refused()
            realtime.on_join = "hang"
            await client.join()
            await silent(client)
            realtime.on_join = "no_system"
            await client.join()
            assert (await client.get())[4]["status"] == "ok"
            await silent(client)
        async with Phoenix(project) as client:
            realtime.on_join = "system_error"
            await client.join()
            assert (await client.get())[4]["status"] == "ok"
            frame = await client.get()
            assert frame[3] == "system" and frame[4]["status"] == "error"
            realtime.on_join = None  # it tries on by itself
            while frame[4]["status"] == "error":
                frame = await client.get()
            assert frame[4]["message"] == "Subscribed to PostgreSQL"
            await asyncio.to_thread(realtime.shut_channels)
            frame = await client.get()
            assert frame[3] == "system" and frame[4]["extension"] == "system" and (await client.get())[3] == "phx_close"
            realtime.answer_heartbeats = False
            await client.send(None, "2", "phoenix", "heartbeat", {})
            await silent(client)
            await asyncio.to_thread(realtime.drop)
            with pytest.raises(websockets.ConnectionClosedError):
                await client.get()
        async with Phoenix(project) as client:
            await asyncio.to_thread(realtime.drop, 1012)
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await client.get()
            assert closed.value.code == 1012
        realtime.idle_timeout = 0.3
        async with Phoenix(project) as client:
            with pytest.raises(websockets.ConnectionClosed):
                await client.get()
        realtime.wait_gone()
    asyncio.run(run())


def test_garbage_ends_the_connection_only(supabase):
    project = supabase()

    async def run():
        for text in ("nonsense", "[]", "[1,2,3]", "{}", "[null,null,7,8,9]"):
            async with Phoenix(project) as client:
                await client.ws.send(text)
                with pytest.raises(websockets.ConnectionClosed):
                    await client.get()
        async with Phoenix(project) as client:
            await client.live()
    asyncio.run(run())
