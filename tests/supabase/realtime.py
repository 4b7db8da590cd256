# SPDX-License-Identifier: ISC
"""Supabase Realtime's Phoenix channels for tests: postgres_changes out of the database's own logical decoding, able to fail on demand."""
import asyncio
import contextlib
import json
import os
import select
import struct
import threading
import time
import zlib
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs

import psycopg2
from aiohttp import WSMsgType, web
from psycopg2 import sql as compose
from psycopg2.extras import LogicalReplicationConnection

from postgrest import Refused, check_jwt

PUBLICATION = "supabase_realtime"
EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)
COMPARE = {"eq": "=", "neq": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}


class Channel:
    def __init__(self, session, topic, join_ref, wanted, claims):
        self.session, self.topic, self.join_ref, self.wanted, self.claims = session, topic, join_ref, wanted, claims
        self.live = False

    @property
    def name(self):
        return self.topic.partition(":")[2]

    async def push(self, event, payload):
        await self.session.send(self.join_ref, None, self.topic, event, payload)

    async def system(self, status, message, extension="postgres_changes"):
        await self.push("system", {"status": status, "message": message, "extension": extension, "channel": self.name})


class Session:
    """One WebSocket, in the form of frames that its vsn asks for."""

    def __init__(self, ws, vsn, key):
        self.ws, self.vsn, self.key, self.channels = ws, vsn, key, {}

    def read(self, text):
        """A frame as the five members of vsn 2.0.0; ValueError when it is none."""
        frame = json.loads(text)
        if self.vsn[0] == "1" and isinstance(frame, dict):
            frame = [frame.get(name) for name in ("join_ref", "ref", "topic", "event", "payload")]
        if not isinstance(frame, list) or len(frame) != 5 or [type(one) for one in frame[2:]] != [str, str, dict]:
            raise ValueError("no frame of Phoenix")
        return frame

    async def send(self, join_ref, ref, topic, event, payload):
        frame = [join_ref, ref, topic, event, payload] if self.vsn[0] == "2" else {"ref": ref, "topic": topic, "event": event, "payload": payload}
        try:
            await self.ws.send_str(json.dumps(frame, separators=(",", ":")))
        except (ConnectionError, RuntimeError):
            pass  # gone meanwhile; the reader ends the session

    async def reply(self, join_ref, ref, topic, status, response):
        await self.send(join_ref, ref, topic, "phx_reply", {"status": status, "response": response})


class Realtime:
    """Part of a Gateway: gateway.realtime. What tests ask and tell stands first."""

    JOINS = (None, "error", "hang", "no_system", "system_error")

    def __init__(self, gateway):
        self.gateway, self.database = gateway, gateway.database
        self.on_join = None  # one of JOINS: refuse, never answer, never say live, say a system error
        self.swallow = False  # changes happen and nobody is told
        self.late = 0.0  # seconds until a change is told
        self.answer_heartbeats = True
        self.idle_timeout = 60.0  # without any message from a client
        self.joins, self.heartbeats, self.subscribed, self.delivered, self.connections = [], 0, 0, 0, 0
        self.sessions, self.stream, self.over, self.starting = set(), None, False, threading.Lock()

    def drop(self, code=None):
        """Cuts every connection; with a code, closes them politely."""
        async def cut():
            for session in list(self.sessions):
                if code is not None:
                    await session.ws._writer.close(code)  # the reader goes on until the client has answered
                elif session.ws._req and session.ws._req.transport:
                    session.ws._req.transport.abort()
        self.gateway._call(cut())

    def shut_channels(self, message="Realtime is restarting, please standby"):
        """The server ends every channel and keeps the connections, as it does when a token expires."""
        async def shut():
            for session in list(self.sessions):
                for channel in list(session.channels.values()):
                    await self.shut(channel, message)
        self.gateway._call(shut())

    def wait_live(self, count=1, timeout=15):
        """Until so many channels have been told "Subscribed to PostgreSQL", since the start."""
        self._wait(lambda: self.subscribed >= count, timeout, f"{self.subscribed} of {count} channels are live; joins: {self.joins}")

    def wait_gone(self, timeout=15):
        """Until no client is connected."""
        self._wait(lambda: not self.sessions, timeout, "a client stays connected")

    @staticmethod
    def _wait(check, timeout, words):
        end = time.monotonic() + timeout
        while not check():
            assert time.monotonic() < end, words
            time.sleep(0.01)

    def stop(self):
        with self.starting:
            stream, self.stream, self.over = self.stream, None, True
        if stream:
            stream.stop()

    # ---- the protocol, on the gateway's loop ----

    async def serve(self, request, query):
        asked = parse_qs(query)
        vsn = asked.get("vsn", ["1.0.0"])[0]
        if vsn not in ("1.0.0", "2.0.0"):
            return web.Response(status=403)
        key = asked.get("apikey", [request.headers.get("apikey", "")])[0]
        ws = web.WebSocketResponse(max_msg_size=1 << 20)
        await ws.prepare(request)
        session = Session(ws, vsn, key)
        self.sessions.add(session)
        self.connections += 1
        try:
            while True:
                try:
                    message = await ws.receive(timeout=self.idle_timeout)
                except asyncio.TimeoutError:
                    await ws.close(code=1000)
                    break
                if message.type != WSMsgType.TEXT:
                    break
                try:
                    frame = session.read(message.data)
                except ValueError:
                    await ws.close(code=1011)
                    break
                await self.handle(session, *frame)
        finally:
            self.sessions.discard(session)
        return ws

    async def handle(self, session, join_ref, ref, topic, event, payload):
        channel = session.channels.get(topic)
        if topic == "phoenix" and event == "heartbeat":
            self.heartbeats += 1
            if self.answer_heartbeats:
                await session.reply(None, ref, topic, "ok", {})
        elif event == "phx_join":
            await self.join(session, join_ref, ref, topic, payload)
        elif channel is None:
            await session.reply(join_ref, ref, topic, "error", {"reason": "unmatched topic"})
        elif event == "phx_leave":
            del session.channels[topic]
            await session.reply(join_ref, ref, topic, "ok", {})
            await session.send(channel.join_ref, ref, topic, "phx_close", {})
        elif event == "access_token":
            try:
                channel.claims = self.claims(session, payload.get("access_token"))
            except ValueError as error:
                await self.shut(channel, str(error))

    async def shut(self, channel, message):
        channel.session.channels.pop(channel.topic, None)
        await channel.system("error", message, "system")
        await channel.push("phx_close", {})

    def claims(self, session, token):
        """Of the token in a join, else of the key in the URL. ValueError with the server's words."""
        if not token or token.startswith("sb_"):
            token = self.gateway.token(session.key) if self.gateway.role(session.key) else ""
        try:
            claims = check_jwt(self.gateway.keys.jwt_secret, token)
        except Refused as refused:
            words = {"JWT expired": "InvalidJWTToken: Token has expired", "No suitable key or wrong key type": "JwtSignatureError: Failed to validate JWT signature"}
            raise ValueError(words.get(str(refused), "MalformedJWT: The token provided is not a valid JWT")) from None
        if "role" not in claims or "exp" not in claims:
            raise ValueError("InvalidJWTToken: Fields `role` and `exp` are required in JWT")
        return claims

    async def join(self, session, join_ref, ref, topic, payload):
        self.joins.append((topic, payload))
        if self.on_join == "hang":
            return
        error = "Unauthorized: told to fail" if self.on_join == "error" else None
        claims = None
        if not topic.startswith("realtime:"):
            error = "unmatched topic"
        elif topic == "realtime:":
            error = "TopicNameRequired: You must provide a topic name"
        else:
            try:
                claims = self.claims(session, payload.get("access_token"))
            except ValueError as wrong:
                error = str(wrong)
        if error:
            await session.reply(join_ref, ref, topic, "error", {"reason": error})
            return
        older = session.channels.pop(topic, None)
        if older:
            await older.push("phx_close", {})
        wanted = (payload.get("config") or {}).get("postgres_changes") or []
        wanted = [{**one, "id": zlib.crc32(json.dumps([topic, one], sort_keys=True).encode()) & 0x7FFFFFF} for one in wanted]
        channel = session.channels[topic] = Channel(session, topic, join_ref, wanted, claims)
        await session.reply(join_ref, ref, topic, "ok", {"postgres_changes": wanted})
        if (payload.get("config") or {}).get("presence", {}).get("enabled"):
            await channel.push("presence_state", {})
        if wanted:
            asyncio.ensure_future(self.subscribe(channel))

    async def subscribe(self, channel):
        """A channel is live only when the decoding has begun: a change after "Subscribed" is told."""
        if self.on_join == "no_system":
            return
        loop = asyncio.get_running_loop()
        while channel.session in self.sessions and channel.session.channels.get(channel.topic) is channel:
            if self.on_join == "system_error":
                problem = "Unable to subscribe to changes with given parameters. Told to fail."
            else:
                problem = await loop.run_in_executor(None, self.prepare, channel.wanted)
            if problem is None:
                channel.live = True
                self.subscribed += 1
                await channel.system("ok", "Subscribed to PostgreSQL")
                return
            await channel.system("error", problem)
            await asyncio.sleep(1)

    def prepare(self, wanted):
        """Begins decoding, and checks that the publication has the tables. What is wrong, in the server's words, or None."""
        with self.starting:
            if self.stream is None and not self.over:
                self.stream = Stream(self)
            stream = self.stream
        if stream is None or not stream.ready.wait(5):
            return "Unable to connect to the project database"
        try:
            with contextlib.closing(self.database.connect()) as connection, connection.cursor() as cursor:
                for one in wanted:
                    schema, table = one.get("schema", "public"), one.get("table", "*")
                    cursor.execute("select 1 from pg_publication_tables where pubname = %s and %s in ('*', schemaname) and %s in ('*', tablename)",
                                   (PUBLICATION, schema, table))
                    if not cursor.fetchall():
                        return ("Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the given connect "
                                f"parameters: [event: {one.get('event', '*')}, schema: {schema}, table: {table}, filters: []]")
        except psycopg2.Error as error:
            return f"Unable to subscribe to changes: {error}"
        return None

    def again(self):
        """Decoding was lost and has begun anew: changes between are lost, and every channel is told that it is live."""
        async def tell():
            for session in list(self.sessions):
                for channel in list(session.channels.values()):
                    if channel.live:
                        self.subscribed += 1
                        await channel.system("ok", "Subscribed to PostgreSQL")
        asyncio.run_coroutine_threadsafe(tell(), self.gateway.loop)

    def live_channels(self):
        return [channel for session in list(self.sessions) for channel in list(session.channels.values()) if channel.live]

    def tell(self, channel, ids, data):
        async def push():
            if channel.session.channels.get(channel.topic) is channel:
                self.delivered += 1
                await channel.push("postgres_changes", {"ids": ids, "data": data})
        asyncio.run_coroutine_threadsafe(push(), self.gateway.loop)


class Relation:
    def __init__(self, id, schema, name, columns):
        self.id, self.schema, self.name, self.columns = id, schema, name, columns  # columns: (name, is key, type oid)


class Stream(threading.Thread):
    """pgoutput over a temporary slot, as the server itself reads it; in a thread of its own."""

    def __init__(self, realtime):
        super().__init__(name="realtime", daemon=True)
        self.realtime, self.database = realtime, realtime.database
        self.ready, self.over = threading.Event(), threading.Event()
        self.wake_in, self.wake_out = os.pipe()
        self.types, self.relations, self.commit, self.asking = {}, {}, None, None
        self.start()

    def stop(self):
        self.over.set()
        os.write(self.wake_out, b".")
        self.join(10)
        os.close(self.wake_in)
        os.close(self.wake_out)

    def run(self):
        before = False
        while not self.over.is_set():
            connection = None
            try:
                connection = self.database.connect(connection_factory=LogicalReplicationConnection)
                self.asking = self.database.connect()
                self.asking.autocommit = True
                self.read(connection, before)
            except psycopg2.Error:
                before = before or self.ready.is_set()
                self.ready.clear()
                self.over.wait(0.1)
            finally:
                for one in (connection, self.asking):
                    if one is not None:
                        one.close()
                self.asking = None

    def read(self, connection, again):
        cursor, slot = connection.cursor(), f"supabase_realtime_{os.getpid()}_{id(self) & 0xFFFFFF:x}"
        cursor.execute(f'CREATE_REPLICATION_SLOT "{slot}" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT')
        cursor.start_replication(slot_name=slot, options={"proto_version": "1", "publication_names": PUBLICATION})
        self.relations.clear()
        self.ready.set()
        if again:
            self.realtime.again()
        while not self.over.is_set():
            message = cursor.read_message()
            if message is None:
                select.select([cursor, self.wake_in], [], [], 1.0)
                continue
            self.decode(message.payload)
            cursor.send_feedback(flush_lsn=message.data_start)

    # ---- pgoutput ----

    def decode(self, data):
        kind, at = data[:1], 1
        if kind == b"B":
            self.commit = EPOCH + timedelta(microseconds=struct.unpack_from(">q", data, 9)[0])
        elif kind == b"R":
            self.relation(data)
        elif kind in (b"I", b"U", b"D"):
            relation = self.relations[struct.unpack_from(">I", data, at)[0]]
            at, old, new = at + 4, None, None
            while at < len(data):
                which = data[at:at + 1]
                row, at = self.row(relation, data, at + 1)
                if which == b"N":
                    new = row
                else:
                    # A key alone is sent with nulls for the rest; a whole row only under replica identity full.
                    old = {name: row[name] for name, key, _ in relation.columns if which == b"O" or key}
            self.change(relation, {b"I": "INSERT", b"U": "UPDATE", b"D": "DELETE"}[kind], old, new)

    def relation(self, data):
        id = struct.unpack_from(">I", data, 1)[0]
        schema, name, rest = data[5:].split(b"\0", 2)
        at, columns = 3, []
        for _ in range(struct.unpack_from(">H", rest, 1)[0]):
            key = rest[at] & 1
            end = rest.index(b"\0", at + 1)
            columns.append((rest[at + 1:end].decode(), bool(key), struct.unpack_from(">I", rest, end + 1)[0]))
            at = end + 9
        self.relations[id] = Relation(id, schema.decode() or "pg_catalog", name.decode(), columns)

    def row(self, relation, data, at):
        count, at, row = struct.unpack_from(">H", data, at)[0], at + 2, {}
        for name, _, type in relation.columns[:count]:
            kind, at = data[at:at + 1], at + 1
            if kind == b"t":
                size = struct.unpack_from(">I", data, at)[0]
                row[name] = self.value(type, data[at + 4:at + 4 + size].decode())
                at += 4 + size
            elif kind == b"n":
                row[name] = None
        return row, at

    @staticmethod
    def value(type, text):
        if type == 16:
            return text == "t"
        if type in (20, 21, 23):
            return int(text)
        if type in (114, 3802) or type in (700, 701, 1700) and text not in ("NaN", "Infinity", "-Infinity"):
            return json.loads(text)
        return text

    # ---- who may see it ----

    def ask(self, statement, *values):
        with self.asking.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchone()[0]

    def type_name(self, oid):
        if oid not in self.types:
            self.types[oid] = self.ask("select typname::text from pg_type where oid = %s", oid)
        return self.types[oid]

    def matches(self, relation, one, event, row):
        if one.get("event", "*").upper() not in ("*", event) or one.get("schema", "public") not in ("*", relation.schema):
            return False
        if one.get("table", "*") not in ("*", relation.name):
            return False
        for part in (one.get("filter") or "").split(",") if one.get("filter") and "=in." not in one["filter"] else [one.get("filter")]:
            if not part:
                continue
            name, _, rest = part.partition("=")
            op, _, value = rest.partition(".")
            type = next((self.type_name(oid) for column, _, oid in relation.columns if column == name), None)
            if type is None or row.get(name) is None:
                return False
            if op == "in":
                statement = compose.SQL("select %s::text::{t} = any (%s::text[]::{t}[])").format(t=compose.Identifier(type))
                value = value.strip("()").split(",")
            else:
                statement = compose.SQL("select %s::text::{t} " + COMPARE[op] + " %s::text::{t}").format(t=compose.Identifier(type))
            if not self.ask(statement, str(row[name]), value):
                return False
        return True

    def visible(self, relation, claims, event, row):
        """None: the role may not read the table at all. Deleted rows cannot be asked for any more: everybody is told their key."""
        role = claims["role"]
        if not self.ask("select has_table_privilege(%s, %s::oid, 'select')", role, relation.id):
            return None
        if event == "DELETE" or not self.ask("select relrowsecurity and not (select rolbypassrls from pg_roles where rolname = %s) "
                                             "from pg_class where oid = %s", role, relation.id):
            return True
        keys = [name for name, key, _ in relation.columns if key]
        where = compose.SQL(" and ").join(compose.SQL("{} = %s").format(compose.Identifier(name)) for name in keys)
        with self.asking.cursor() as cursor:
            cursor.execute("begin; select set_config('role', %s, true), set_config('request.jwt.claims', %s, true)", (role, json.dumps(claims)))
            try:
                cursor.execute(compose.SQL("select exists (select from {} where ").format(compose.Identifier(relation.schema, relation.name)) + where +
                               compose.SQL(")"), [str(row[name]) for name in keys])
                return cursor.fetchone()[0]
            finally:
                cursor.execute("rollback")

    def change(self, relation, event, old, new):
        if self.realtime.swallow:
            return
        time.sleep(self.realtime.late)
        row = old if event == "DELETE" else new
        secured = None
        for channel in self.realtime.live_channels():
            ids = [one["id"] for one in channel.wanted if self.matches(relation, one, event, row or {})]
            if not ids:
                continue
            allowed = self.visible(relation, channel.claims, event, row)
            if allowed is False:
                continue
            data = {"schema": relation.schema, "table": relation.name, "type": event,
                    "commit_timestamp": self.commit.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
                    "columns": [{"name": name, "type": self.type_name(oid)} for name, _, oid in relation.columns], "errors": None}
            if allowed is None:
                data.update(columns=[], errors=["Error 401: Unauthorized"])
            if event != "DELETE":
                data["record"] = new if allowed else {}
            if event != "INSERT":
                if secured is None:
                    secured = self.ask("select relrowsecurity from pg_class where oid = %s", relation.id)
                # Under row-level security the old row is its key alone, whatever the replica identity.
                keys = {name for name, key, _ in relation.columns if key} if not secured else self.primary(relation)
                data["old_record"] = {name: value for name, value in (old or {}).items() if name in keys or not secured} if allowed else {}
                if event == "UPDATE" and not old and allowed:
                    data["old_record"] = {name: new[name] for name in self.primary(relation)}
            self.realtime.tell(channel, ids, data)

    def primary(self, relation):
        with self.asking.cursor() as cursor:
            cursor.execute("select a.attname::text from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey) "
                           "where i.indisprimary and i.indrelid = %s", (relation.id,))
            return {row[0] for row in cursor.fetchall()}
