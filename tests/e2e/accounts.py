# SPDX-License-Identifier: ISC
"""What the tests of auth_accounts share: a server with people in a database, its REST API, and the database itself."""
import base64
import hashlib
import hmac
import http.client
import json
import sqlite3
import time

from conftest import BUILD, Server, eventually

JWT_SECRET = "a-jwt-secret-of-the-tests-0123456789-abcdef"
SESSION_SECRET = "a-session-secret-of-the-tests-0123456789"
PASSWORD = "Password1234"
ADMIN_PASSWORD = "Administrator1"
DIRS = f'plugin_dirs = [ "{BUILD}/lib/muster/plugins", "{BUILD}/tests/plugins" ];'
KINDS = ("sqlite", "mariadb")


class Answer:
    def __init__(self, response):
        self.status, self.headers = response.status, {k.lower(): v for k, v in response.getheaders()}
        self.text = response.read().decode()

    @property
    def json(self):
        return json.loads(self.text)

    @property
    def data(self):
        assert self.status in (200, 201), (self.status, self.text)
        return self.json["data"]

    @property
    def code(self):
        return self.json["error"]["code"]

    @property
    def fields(self):
        return [each["field"] for each in self.json["error"].get("details", [])]

    def __repr__(self):
        return f"{self.status} {self.text}"


class Accounts:
    """A musterd with a store and auth_accounts; the session protocol and others on top."""

    def __init__(self, kind, folder, database=None, options="", more=(), secret=JWT_SECRET, session=True, limits="", store=""):
        self.kind, self.folder, self.database, self.options = kind, folder, database, options
        self.more, self.secret, self.session, self.limits, self.store_options = list(more), secret, session, limits, store
        self.path = folder / "muster.db"
        self.password_file = folder / "first-password"
        self.server = None
        self.token = None
        self.secrets = {PASSWORD, ADMIN_PASSWORD, JWT_SECRET, SESSION_SECRET, "p@ss:w", "p%40ss%3Aw"}  # none of them may be in a log

    def store(self):
        where = f'path = "{self.path}";' if self.kind == "sqlite" else 'url = "env:DATABASE_URL";'
        return f'{{ name = "store_{self.kind}"; config = {{ {where} {self.store_options} }}; }}'

    def plugins(self):
        given = self.options
        for name, value in (("attempts", 100000), ("hash_queue", 1000), ("hash_threads", 2)):
            given += "" if f"{name} =" in given else f" {name} = {value};"
        given += f' password_file = "{self.password_file}";' if self.password_file else ""
        accounts = f'jwt_secret = "{self.secret}"; {given}'
        listed = [self.store(), f'{{ name = "auth_accounts"; config = {{ {accounts} }}; }}']
        if self.session:
            listed += ['{ name = "machines"; }', f'{{ name = "session"; config = {{ jwt_secret = "{SESSION_SECRET}"; failed_auths_per_minute = 100000; }}; }}']
        return listed + self.more + ['{ name = "counters"; }']

    @property
    def env(self):
        return {"DATABASE_URL": self.database.url()} if self.kind == "mariadb" else {}

    def start(self):
        self.folder.mkdir(exist_ok=True)
        if self.server:  # the log of before says "ready" too
            self.judge()
            self.server.log_path.unlink()
        self.server = Server(self.folder, self.plugins(), env=self.env, more=f"{DIRS} limits = {{ {self.limits} }};",
                             port=self.server.port if self.server else None)
        return self

    def stop(self):
        self.server.stop()
        self.judge()

    def judge(self):
        for secret in self.secrets:
            assert secret not in self.server.log, f"a secret is in the log: {secret[:4]}…"
        assert "$2b$" not in self.server.log and "eyJ" not in self.server.log

    def begin(self):
        """Starts, and gives the first administrator a password of its own."""
        self.start()
        self.token = self.first()
        return self

    def first(self):
        eventually(self.password_file.exists)
        name, password = self.password_file.read_text().split()
        self.secrets.add(password)
        token = self.login(name, password).data["token"]
        return self.call("PUT", "/api/auth/password", {"old_password": password, "new_password": ADMIN_PASSWORD}, token).data["token"]

    # ---- REST ----

    def call(self, method, path, body=None, token=None, headers=None, source=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=timeout,
                                                source_address=(source, 0) if source else None)
        try:
            given = {"Content-Type": "application/json"} if body is not None else {}
            if token:
                given["Authorization"] = f"Bearer {token}"
            text = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, body=text, headers={**given, **(headers or {})})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def login(self, username, password=PASSWORD, **how):
        return self.call("POST", "/api/auth/login", {"username": username, "password": password}, **how)

    def code(self, **body):
        answer = self.call("POST", "/api/admin/invite-codes", body, self.token)
        assert answer.status == 201, answer
        return answer.json["code"]

    def register(self, username, code=None, password=PASSWORD, email=None, **how):
        return self.call("POST", "/api/auth/register", {"inviteCode": code or self.code(), "username": username,
                                                        "email": email or f"{username}@example.com", "password": password}, **how)

    def person(self, username):
        """A new user: (id, token)."""
        id = self.register(username).data["user"]["id"]
        return id, self.login(username).data["token"]

    def me(self, token):
        return self.call("GET", "/api/auth/me", token=token)

    def key(self, token, name="agent"):
        """A new API key: (id, key)."""
        made = self.call("POST", "/api/auth/api-keys", {"name": name}, token).data["api_key"]
        self.secrets.add(made["key"])
        return made["id"], made["key"]

    def ban(self, id, token=None, **body):
        return self.call("POST", f"/api/admin/users/{id}/ban", body or None, token or self.token)

    def unban(self, id, token=None):
        return self.call("POST", f"/api/admin/users/{id}/unban", None, token or self.token)

    # ---- the database, as another program has it ----

    def sql(self, text, *values):
        """Rows, or how many were changed. Places are "?"."""
        if self.kind == "mariadb":
            return self.database.sql(text.replace("?", "%s"), *values)
        with sqlite3.connect(self.path, timeout=10) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            cursor = connection.execute(text, values)
            rows = cursor.fetchall()
            return rows if cursor.description else cursor.rowcount

    def value(self, text, *values):
        return self.sql(text, *values)[0][0]


# ---- tokens, by hand ----------------------------------------------------------------------------


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(claims, header=None, secret=JWT_SECRET, digest=hashlib.sha256):
    """A signed token; header and claims are dicts or texts."""
    parts = [part if isinstance(part, str) else json.dumps(part, separators=(",", ":")) for part in (header or {"alg": "HS256", "typ": "JWT"}, claims)]
    signed = ".".join(b64(part.encode()) for part in parts)
    return f"{signed}.{b64(hmac.new(secret.encode(), signed.encode(), digest).digest())}"


def released_token(id, **changes):
    """As the released server makes it: without ver."""
    now = int(time.time())
    claims = {"userId": id, "username": "whoever", "isAdmin": False, "iat": now, "exp": now + 7 * 86400}
    return forge({k: v for k, v in {**claims, **changes}.items() if v is not None})
