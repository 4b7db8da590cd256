# SPDX-License-Identifier: ISC
"""What the tests of the relay share: servers over both databases, rows put in by hand as another program would, channels."""
import json
import secrets
import sqlite3
import struct
import time
import uuid
from datetime import datetime, timezone

from conftest import Server, eventually
from hostile import CLOSE, PING, PONG, TEXT, Raw, frame

BINARY = 2
JWT_SECRET = "a-jwt-secret-of-the-tests-0123456789"
KINDS = ("sqlite", "mariadb")


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


class SQLite:
    def __init__(self, path):
        self.path = path

    def sql(self, text, *values):
        with sqlite3.connect(self.path, timeout=10) as db:
            db.execute("PRAGMA foreign_keys = ON")
            rows = [list(row) for row in db.execute(text, values)]
        db.close()
        return rows


class MariaDB:
    def __init__(self, database):
        self.database = database

    def sql(self, text, *values):
        rows = self.database.sql(text.replace("?", "%s"), *values)
        return [] if isinstance(rows, int) else [list(row) for row in rows]


class Relay:
    """A server with the relay, and its database as another program sees it."""

    def __init__(self, kind, folder, database=None, options="", more=(), listen=None, wait=True, store=""):
        self.kind, self.folder = kind, folder
        folder.mkdir(exist_ok=True)
        path = folder / "muster.db"
        store = (f'{{ name = "store_sqlite"; config = {{ path = "{path}"; synchronous = "normal"; {store} }}; }}' if kind == "sqlite" else
                 f'{{ name = "store_mariadb"; config = {{ url = "{database.url()}"; {store} }}; }}')
        self.plugins = [store, f'{{ name = "auth_accounts"; config = {{ jwt_secret = "{JWT_SECRET}"; password_file = "{folder}/admin-password"; attempts = 1000; }}; }}',
                        f'{{ name = "relay"; config = {{ {options} }}; }}', *more]
        self.listen, self.starts = listen, 0
        self.db = SQLite(path) if kind == "sqlite" else MariaDB(database)
        self.start(wait)

    def start(self, wait=True):
        self.starts += 1
        at = self.folder / f"run{self.starts}"
        at.mkdir()
        self.server = Server(at, self.plugins, self.listen)
        if wait:
            eventually(self.ready, 30)

    def ready(self):
        try:
            return self.db.sql("SELECT COUNT(*) FROM muster_endpoint_access") is not None
        except Exception:  # noqa: BLE001 - the tables are not there yet
            return False

    def stop(self):
        if self.server.process.returncode is None:
            self.server.stop()

    # ---- rows ----

    def user(self, **more):
        id = str(uuid.uuid4())
        name = f"u_{secrets.token_hex(4)}"
        self.db.sql("INSERT INTO users (id, username, email, password_hash, is_admin, created_at, is_active) VALUES (?, ?, ?, 'x', 0, ?, 1)",
                    id, name, f"{name}@example.com", now())
        return id

    def endpoint(self, user=None, mode="DIRECT", header=None, key=None):
        made = type("Endpoint", (), {})()
        made.user, made.uuid, made.key = user or self.user(), str(uuid.uuid4()), key or secrets.token_urlsafe(7)[:10]
        self.db.sql("INSERT INTO endpoints (id, endpoint_id, name, user_id, forwarding_mode, custom_header, created_at, is_disabled) "
                    "VALUES (?, ?, 'E', ?, ?, ?, ?, 0)", made.uuid, made.key, made.user, mode, header, now())
        made.path = f"/ws/{made.key}"
        return made

    def access(self, endpoint, access, token_sha256=None, origins=None):
        self.db.sql("DELETE FROM muster_endpoint_access WHERE endpoint_id = ?", endpoint.uuid)
        self.db.sql("INSERT INTO muster_endpoint_access (endpoint_id, access, token_sha256, origins) VALUES (?, ?, ?, ?)", endpoint.uuid, access,
                    token_sha256, json.dumps(origins) if origins is not None else None)

    def messages(self, endpoint):
        """[content, sender_info], newest first."""
        return self.db.sql("SELECT content, sender_info FROM messages WHERE endpoint_id = ? ORDER BY created_at DESC", endpoint.uuid)

    def stats(self, endpoint):
        rows = self.db.sql("SELECT current_connections, total_connections, total_messages FROM endpoint_stats WHERE endpoint_id = ?", endpoint.uuid)
        return [int(n) for n in rows[0]] if rows else None

    def devices(self, endpoint):
        return self.db.sql("SELECT id, device_id, custom_name FROM devices WHERE endpoint_id = ? ORDER BY device_id", endpoint.uuid)

    # ---- channels ----

    def join(self, endpoint, *headers, **how):
        return Channel(self.server.port, endpoint if isinstance(endpoint, str) else endpoint.path, *headers, **how)


class Channel(Raw):
    def __init__(self, port, path, *headers, wait=True, first=b"", **how):
        """`first` is sent as soon as the server agreed."""
        super().__init__(port, **how)
        self.open(path, *headers)
        self.send(first)
        if wait:
            self.settle()

    def say(self, message, opcode=None):
        if isinstance(message, (dict, list)):
            message = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        data = message.encode() if isinstance(message, str) else message
        return self.send(frame(opcode or (TEXT if isinstance(message, str) else BINARY), data))

    def next(self, timeout=10):
        """The next message as (opcode, payload), pings answered; fails when none comes."""
        end = time.monotonic() + timeout
        while (got := self.read(end - time.monotonic())) is not None:
            if got[2] == PING:
                self.send(frame(PONG, got[3]))
            elif got[2] in (TEXT, BINARY):
                return got[2], got[3]
            elif got[2] == CLOSE:
                raise AssertionError(f"closed: {got[3]!r}")
        raise AssertionError("nothing came")

    def text(self, timeout=10):
        opcode, payload = self.next(timeout)
        assert opcode == TEXT, (opcode, payload)
        return payload.decode()

    def json(self, timeout=10):
        return json.loads(self.text(timeout))

    def settle(self):
        """All that was sent before was handled (it is open, too). What came meanwhile."""
        mark, heard, end = secrets.token_bytes(8), [], time.monotonic() + 20
        self.send(frame(PING, mark))
        while (got := self.read(end - time.monotonic())) is not None:
            if got[2] == PONG and got[3] == mark:
                return heard
            if got[2] == PING:
                self.send(frame(PONG, got[3]))
            elif got[2] == CLOSE:
                self.data = bytes([0x88, len(got[3])]) + got[3] + self.data
                return heard
            elif got[2] in (TEXT, BINARY):
                heard.append(got[3])
        return heard

    def closing(self, timeout=10):
        """The messages until the close, its code and its reason."""
        heard, end = [], time.monotonic() + timeout
        while (got := self.read(end - time.monotonic())) is not None:
            if got[2] == PING:
                self.send(frame(PONG, got[3]))
            elif got[2] in (TEXT, BINARY):
                heard.append(json.loads(got[3]))
            elif got[2] == CLOSE:
                self.send(frame(CLOSE, got[3][:2]))
                code = struct.unpack("!H", got[3][:2])[0] if got[3] else 1005
                return heard, code, got[3][2:].decode()
        raise AssertionError(f"not closed; {heard}")

    def leave(self, code=1000):
        self.send(frame(CLOSE, struct.pack("!H", code)))
        self.s.close()

    def identify(self, device, name=None):
        self.say({"type": "identify", "deviceId": device, **({"deviceName": name} if name is not None else {})})
        got = self.json()
        assert got["type"] == "identified" and got["deviceId"] == device, got
        return got["customName"]
