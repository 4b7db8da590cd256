# SPDX-License-Identifier: ISC
"""What the tests of the session protocol share: its server, and a client that knows nothing but frames and JSON."""
import base64
import hashlib
import hmac
import json
import time
import urllib.parse

from conftest import BUILD, get
from hostile import CLOSE, PING, PONG, TEXT, Raw, frame

JWT_SECRET = "a-secret-of-the-session-tests-0123456789"
KEY = "key-of-alice-0123456789abcdef"
SECOND_KEY = "second-key-of-alice-0123456789"
BOB_KEY = "key-of-bob-0123456789abcdefgh"
DIRS = f'plugin_dirs = [ "{BUILD}/lib/muster/plugins", "{BUILD}/tests/plugins" ];'
USERS = (f'{{ id = "alice"; name = "Alice"; api_keys = [ "{KEY}", "{SECOND_KEY}" ]; }}', f'{{ id = "bob"; api_keys = [ "{BOB_KEY}" ]; }}')


def static(*users):
    return f'{{ name = "auth_static"; config = {{ users = ( {", ".join(users or USERS)} ); }}; }}'


ORACLE = '{ name = "oracle"; }'


def plugins(auth=None, session="", secret=JWT_SECRET, more=(), push=True, machines=""):
    """`auth`: the entry of an auth plugin. Failed attempts are not limited unless a test says so."""
    options = f'jwt_secret = "{secret}"; '
    if "failed_auths_per_minute" not in session:
        options += "failed_auths_per_minute = 100000; "
    listed = [auth or static(), f'{{ name = "machines"; config = {{ {machines} }}; }}',
              f'{{ name = "session"; config = {{ {options}{session} }}; }}']
    return listed + (['{ name = "admin_push"; }'] if push else []) + list(more) + ['{ name = "counters"; }']


def counters(server):
    """Those of the plugin `session`."""
    return {k.split(".", 1)[1]: n for k, n in get(server.http + "/test/counters").items() if k.startswith("session.")}


def steer(server, plugin, **what):
    return get(f"{server.http}/test/{plugin}?{urllib.parse.urlencode(what)}")


# ---- a client -----------------------------------------------------------------------------------


class Client(Raw):
    """One connection; every message that it reads is a dict."""

    def __init__(self, server, path="/ws/session", headers=(), **how):
        super().__init__(server.port, **how)
        self.open(path, *headers)

    def say(self, type=None, **members):
        """A message; a `type` that is a str with a brace in it is sent as it is."""
        text = type if type is not None and "{" in type else json.dumps({"type": type, **members} if type is not None else members)
        return self.send(frame(TEXT, text))

    def hear(self, timeout=5):
        """The next message; None when the connection ended, or none came."""
        got = self.message(timeout)
        return None if got is None else json.loads(got)

    def until(self, type, timeout=10, **members):
        """The next message of this type with these members; others are passed over."""
        end = time.monotonic() + timeout
        while True:
            got = self.hear(max(0.01, end - time.monotonic()))
            assert got is not None, f"no {type} {members}"
            if got["type"] == type and all(got.get(k) == v for k, v in members.items()):
                return got

    def ask(self, type=None, **members):
        self.say(type, **members)
        return self.hear()

    def settle(self):
        """Everything sent before was judged: the messages that came meanwhile."""
        self.send(frame(PING, b"settle"))
        heard, end = [], time.monotonic() + 10
        while time.monotonic() < end:
            got = self.read(end - time.monotonic())
            assert got and got[2] != CLOSE, (got, heard)
            if got[2] == PONG and got[3] == b"settle":
                return heard
            if got[2] == TEXT:
                heard.append(json.loads(got[3]))
        raise AssertionError("no pong")

    def quiet(self, seconds=0.4):
        """Nothing comes, not even a close frame, and the connection stays open."""
        end = time.monotonic() + seconds
        while got := self.read(end - time.monotonic()):
            assert got[2] in (PING, PONG), got
            if got[2] == PING:
                self.send(frame(PONG, got[3]))
        assert not self.ended, "the connection ended"


def agent(server, key=KEY, **members):
    """An agent that is in; client.welcome is the auth_success."""
    how = {k: members.pop(k) for k in ("path", "source", "headers", "rcvbuf") if k in members}
    client = Client(server, **how)
    client.welcome = client.ask("auth", apiKey=key, **members)
    assert client.welcome and client.welcome["type"] == "auth_success", client.welcome
    return client


def admin(server, key=KEY, **how):
    """An admin that watches; client.machines is the first list, by id."""
    client = Client(server, **how)
    welcome = client.ask("auth", apiKey=key, scope="admin")
    assert welcome and welcome["type"] == "auth_success", welcome
    client.token = welcome["sessionToken"]
    said = client.ask("admin_connect", token=client.token)
    assert said["type"] == "admin_success", said
    client.machines = {m["machineId"]: m for m in client.until("machine_list")["machines"]}
    return client


def machines(server, key=KEY):
    """A user's machines as a fresh admin sees them, by id."""
    with admin(server, key) as watching:
        return watching.machines


def sample(seq, boot="boot-1", timestamp=None, **metrics):
    return {"boot": boot, "seq": seq, "timestamp": timestamp if timestamp is not None else int(time.time() * 1000),
            "metrics": metrics or {"cpu": {"percent": float(seq)}}}


# ---- tokens, by hand ----------------------------------------------------------------------------


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims_of(token):
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def jwt(claims, secret=JWT_SECRET, alg="HS256", header=None):
    """Any token; `claims` may be bytes."""
    head = b64(json.dumps(header or {"alg": alg, "typ": "JWT"}).encode())
    body = b64(claims if isinstance(claims, bytes) else json.dumps(claims).encode())
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}.get(alg)
    signature = b64(hmac.new(secret.encode(), f"{head}.{body}".encode(), digest).digest()) if digest else ""
    return f"{head}.{body}.{signature}"
