# SPDX-License-Identifier: ISC
"""A relay whose every REST answer is held against /api/openapi.json, and people, endpoints and devices to ask with."""
import contextlib
import copy
import re
import secrets

import jsonschema

from accounts import DIRS, Accounts
from conftest import Server, eventually
from relays import Channel

LIMITS = "limits = { max_connections = 2000; max_connections_per_peer = 0; connects_per_second = 0; };"
METHODS = ("get", "post", "put", "patch", "delete")
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
formats = jsonschema.FormatChecker(formats=())
formats.checks("date-time")(lambda value: not isinstance(value, str) or ISO.fullmatch(value) is not None)


def closed(schema):
    """Nothing that the description does not name may be in an answer."""
    if isinstance(schema, dict):
        schema = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    elif isinstance(schema, list):
        schema = [closed(each) for each in schema]
    return schema


class Description:
    def __init__(self, document):
        assert document["openapi"].startswith("3.1")
        self.document = document
        self.operations = {(method.upper(), path): operation for path, item in document["paths"].items()
                           for method, operation in item.items() if method in METHODS}
        self.seen = set()

    def find(self, method, path):
        """(template, operation) of a request; (None, None): there is no such route."""
        segments = path.split("?")[0].strip("/").split("/")
        found = []
        for (each, template), operation in self.operations.items():
            parts = template.strip("/").split("/")
            if each == method and len(parts) == len(segments) and all(p.startswith("{") or p == s for p, s in zip(parts, segments)):
                found.append(([p.startswith("{") for p in parts], template, operation))
        return min(found, key=lambda each: each[0])[1:] if found else (None, None)  # a literal segment beats a parameter

    def judge(self, method, path, answer):
        """Fails when the answer is not what the description says."""
        template, operation = self.find(method, path)
        where = f"{method} {path} → {answer}"
        if operation is None:
            assert answer.status in (404, 405) or path == "/api/openapi.json", where
            return
        self.seen.add((method, template, answer.status))
        responses = operation["responses"]
        assert answer.status >= 400 or str(answer.status) in responses, f"a success that is not described: {where}"
        response = responses.get(str(answer.status), responses["default"])
        content = response.get("content")
        if content is None:
            return
        assert answer.headers["content-type"] == "application/json; charset=utf-8", where
        schema = closed(copy.deepcopy(content["application/json"]["schema"]))
        schema["components"] = closed(copy.deepcopy(self.document["components"]))
        try:
            jsonschema.Draft202012Validator(schema, format_checker=formats).validate(answer.json)
        except jsonschema.ValidationError as wrong:
            raise AssertionError(f"{where}: {wrong.message} at {list(wrong.absolute_path)}") from None


class Described(Accounts):
    """Accounts with the relay on top."""

    def __init__(self, kind, folder, database=None, options="", more=(), **how):
        super().__init__(kind, folder, database, more=[f'{{ name = "relay"; config = {{ {options} }}; }}', *more], session=False, **how)
        self.description = None

    def start(self):
        self.folder.mkdir(exist_ok=True)
        if self.server:  # the log of before says "ready" too
            self.judge()
            self.server.log_path.unlink()
        self.server = Server(self.folder, self.plugins(), more=f"{DIRS}\n{LIMITS}", env=self.env, port=self.server.port if self.server else None)
        self.description = Description(super().call("GET", "/api/openapi.json").json)
        eventually(lambda: super(Described, self).call("POST", "/api/auth/login", {"username": "nobody", "password": "x"}).status == 401, 30)
        return self

    def call(self, method, path, *rest, **how):
        answer = super().call(method, path, *rest, **how)
        if self.description:
            self.description.judge(method, path, answer)
        return answer

    # ---- things to ask for ----

    def endpoint(self, token, **body):
        made = self.call("POST", "/api/endpoints", body, token)
        assert made.status == 201, made
        return made.data["endpoint"]

    def join(self, endpoint, *headers, **how):
        return Channel(self.server.port, f"/ws/{endpoint['endpoint_id']}", *headers, **how)

    @contextlib.contextmanager
    def device(self, endpoint, name_id=None, name=None):
        """A connected device: (its row in REST's words, its channel)."""
        channel = self.join(endpoint)
        name_id = name_id or f"dev-{secrets.token_hex(3)}"
        channel.identify(name_id, name)
        rows = self.sql("SELECT id, custom_name FROM devices WHERE endpoint_id = ? AND device_id = ?", endpoint["id"], name_id)
        try:
            yield {"id": rows[0][0], "device_id": name_id, "custom_name": rows[0][1]}, channel
        finally:
            channel.s.close()


def error(answer, status, code):
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.headers["x-request-id"] == answer.json["error"]["requestId"], answer
    return answer
