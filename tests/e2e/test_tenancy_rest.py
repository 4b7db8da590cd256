# SPDX-License-Identifier: ISC
"""
Everybody against every route. The matrix is made from /api/openapi.json, so a route that is added is in it: anonymous, forged, banned, the owner, another user, an
administrator, with ids that are one's own, somebody else's, mixed and unknown. Nobody gets or changes what belongs to somebody else.
"""
import collections
import itertools
import json
import re
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, urlencode

import pytest

from accounts import KINDS, forge, released_token
from conftest import eventually
from described import Described

UNKNOWN = "00000000-0000-4000-8000-000000000000"
CANARY = "canary"
# Where the last of these ends a path, its parameter names that.
OWNED = {"/api/endpoints": "endpoint", "/api/visualization/endpoints": "endpoint", "/api/admin/endpoints": "endpoint", "/api/admin/users": "user",
         "/api/auth/api-keys": "key", "/api/alert-history": "alert"}
NAMED = {"uuid": "device", "device_id": "device_name", "commandId": "command", "batchId": "batch", "groupId": "/api/device-groups"}
IDS = {"endpoint": ("endpoint_id", "endpointId"), "device": ("device_id", "deviceId"), "alert": ("alertId",)}
LISTS = {"device": ("device_ids", "deviceIds"), "alert": ("ids", "alertIds")}
REFUSED = {400, 403, 404}


def iso(**ago):
    return (datetime.now(timezone.utc) - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class Person:
    def __init__(self, relay, name):
        self.name = name
        self.id, self.token = relay.person(name)
        self.things = {"user": self.id}


def example(name, schema, things, depth=0):
    """A value that the schema allows; ids are those of `things`."""
    for kind, names in IDS.items():
        if name in names:
            return things.get(kind, UNKNOWN)
    for kind, names in LISTS.items():
        if name in names:
            return [things.get(kind, UNKNOWN)]
    fixed = {"data_key": "temperature", "dataKey": "temperature", "threshold": "1", "operator": ">", "email": "someone@example.com", "username": "someone",
             "password": "Password1234", "old_password": "Wrong1234", "new_password": "Password5678", "inviteCode": "AAAAAAAAAA", "code": "AAAAAAAAAA",
             "allowed_origins": ["https://example.org"], "startTime": iso(hours=1), "start_time": iso(hours=1), "endTime": iso(hours=-1),
             "end_time": iso(hours=-1), "start_date": iso(hours=1), "end_date": iso(hours=-1), "expires_at": iso(hours=-1), "format": "json", "token": "a.b"}
    if name in fixed:
        return fixed[name]
    if schema.get("enum"):
        return schema["enum"][0]
    types = schema.get("type", "string")
    kind = types if isinstance(types, str) else types[0]
    if kind == "string":
        return things["name"][:schema.get("maxLength", 30)].ljust(schema.get("minLength", 0), "x")
    if kind in ("integer", "number"):
        return max(1, schema.get("minimum", 1))
    if kind == "boolean":
        return True
    if kind == "array":
        return [example(name, schema["items"], things, depth + 1) for _ in range(schema.get("minItems", 0))]
    return {k: example(k, s, things, depth + 1) for k, s in schema.get("properties", {}).items() if k in schema.get("required", ())}


def wanted(name, required):
    return required or any(name in names for names in (*IDS.values(), *LISTS.values()))


class World:
    def __init__(self, relay):
        self.relay, self.description = relay, relay.description
        self.asked = collections.Counter()
        self.alice, self.bob, self.mallory = (Person(relay, name) for name in (f"alice_{CANARY}", "bobby", "mallory"))
        self.admin = type("Admin", (), {"name": "admin", "token": relay.token, "id": relay.me(relay.token).data["user"]["id"]})()
        self.channels = {}
        for person, mark in ((self.alice, CANARY), (self.bob, "bobs")):
            self.furnish(person, mark)
        relay.ban(self.mallory.id)

    def close(self):
        for channel in self.channels.values():
            channel.s.close()

    # ---- what there is ----

    def furnish(self, person, mark):
        """Gives somebody one of everything, through the API."""
        relay, things = self.relay, person.things
        things["name"] = f"{mark}-{person.name}"
        endpoint = relay.endpoint(person.token, name=f"{mark}-endpoint", forwarding_mode="JSON")
        things |= {"endpoint": endpoint["id"], "endpoint_key": endpoint["endpoint_id"]}
        channel = self.channels[person.name] = relay.join(endpoint)
        things["device_name"] = f"{mark}-device"
        channel.identify(things["device_name"], f"{mark}-device-name")
        things["device"] = relay.value("SELECT id FROM devices WHERE endpoint_id = ?", endpoint["id"])
        things["key"], _ = relay.key(person.token, f"{mark}-key")
        for method, path in sorted(self.description.operations):
            makes = method == "POST" and "{" not in path and "201" in self.description.operations[method, path]["responses"]
            if makes and self.access(method, path) == "user" and path not in OWNED:
                answer = self.ask(method, path, things, person.token)
                assert answer.status == 201, f"{method} {path} → {answer}"
                things[path] = re.search(r'"id":"([^"]+)"', answer.text)[1]
        for n in range(3):
            channel.say({"type": "data", "data": {"temperature": 20 + n, "text": f"{mark}-value"}})
        channel.settle()
        self.command(person, channel)
        if "/api/alert-rules" in things:
            alerts = "SELECT h.id FROM alert_history h JOIN alert_rules r ON r.id = h.alert_rule_id WHERE r.user_id = ?"
            things["alert"] = eventually(lambda: relay.sql(alerts, person.id))[0][0]
        assert relay.call("GET", f"/api/endpoints/{endpoint['id']}/messages", token=person.token).data["messages"]  # all of it is written

    def command(self, person, channel):
        for path, member, thing in (("/api/endpoints/{id}/devices/{uuid}/control", "commandId", "command"),
                                    ("/api/device-groups/{id}/control", "batchId", "batch")):
            if ("POST", path) in self.description.operations:
                answer = self.ask("POST", path, person.things, person.token)
                assert answer.status in (200, 201), answer
                person.things[thing] = re.search(f'"{member}":"([^"]+)"', answer.text)[1]
                heard = channel.json()
                channel.say({"type": "control_ack", "commandId": heard["commandId"], "status": "success", "message": f"{person.things['name']}-ack"})
        channel.settle()

    # ---- asking ----

    def access(self, method, path):
        return self.description.operations[method, path]["x-muster-access"]

    def thing(self, path, parameter):
        """What a parameter of a path names; None: nobody told this test."""
        before = path[:path.index(f"/{{{parameter}}}")]
        return OWNED.get(before) or NAMED.get(parameter) or (before if "{" not in before and ("POST", before) in self.description.operations else None)

    def parameters(self, path):
        return re.findall(r"\{(\w+)\}", path)

    def schema(self, method, path):
        """Of the body; {}: there is none."""
        return self.description.operations[method, path].get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})

    def names_in_body(self, method, path):
        return any(wanted(name, False) for name in self.schema(method, path).get("properties", {}))

    def names_something(self, method, path):
        """Whether the request names one thing. Of lists of ids, and in filters, those of others may be passed over."""
        return bool(self.parameters(path)) or any(name in names for name in self.schema(method, path).get("properties", {}) for names in IDS.values())

    def ask(self, method, path, things, token, path_things=None):
        operation = self.description.operations[method, path]
        self.asked[method, path] += 1
        where = path
        for n, parameter in enumerate(self.parameters(path)):
            source = path_things[min(n, len(path_things) - 1)] if path_things else things
            where = where.replace(f"{{{parameter}}}", quote(source.get(self.thing(path, parameter), UNKNOWN), safe=""))
        query = {p["name"]: example(p["name"], p["schema"], things) for p in operation["parameters"]
                 if p["in"] == "query" and wanted(p["name"], p.get("required"))}
        if query:
            where += f"?{urlencode(query, doseq=True)}"
        schema = self.schema(method, path)
        body = None
        if schema:
            body = {k: example(k, s, things) for k, s in schema["properties"].items() if wanted(k, k in schema.get("required", ()))}
        return self.relay.call(method, where, body, token)

    # ---- judging ----

    def secrets(self, person):
        return [CANARY, person.id, person.things["endpoint_key"]]

    def rows(self, person):
        """Every row of the database in which something of theirs stands."""
        marks = [value for value in person.things.values() if value] + [CANARY]
        relay, found = self.relay, []
        if relay.kind == "sqlite":
            tables = [row[0] for row in relay.sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
        else:
            tables = [row[0] for row in relay.sql("SHOW TABLES")]
        for table in sorted(tables):
            for row in relay.sql(f"SELECT * FROM {table}"):
                text = json.dumps([str(value) for value in row])
                if any(mark in text for mark in marks):
                    found.append(f"{table} {text}")
        return sorted(found)

    def nothing_leaks(self, answer, person, what):
        assert not any(secret in answer.text for secret in self.secrets(person)), f"{what} → {answer}"


def code_of(answer):
    found = answer.json.get("error")
    return found.get("code") if isinstance(found, dict) else None


@pytest.fixture(scope="module", params=KINDS)
def world(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tenancy")
    database = request.getfixturevalue("mariadb").database() if request.param == "mariadb" else None
    relay = Described(request.param, folder / "r", database).begin()
    made = World(relay)
    yield made
    made.close()
    relay.stop()
    if database:
        database.drop()


def routes(world, *access):
    return sorted(each for each in world.description.operations if world.access(*each) in access)


def test_every_parameter_of_a_path_is_known_here(world):
    """Or else routes would be asked with ids that nobody has, and nothing would be proved."""
    for method, path in world.description.operations:
        for parameter in world.parameters(path):
            thing = world.thing(path, parameter)
            assert thing in world.alice.things and thing in world.bob.things, f"{method} {path}: what is {{{parameter}}}?"
    owners = [operation.get("x-muster-owner") for (_, path), operation in world.description.operations.items() if path.startswith("/api/endpoints/{")]
    assert owners and all(owner == "endpoint" for owner in owners)


def test_nobody_in_particular_gets_in_only_where_everybody_may(world):
    tokens = [(None, "MISSING_TOKEN"), ("x.y.z", "INVALID_TOKEN"), (forge({"userId": world.alice.id, "username": "a", "isAdmin": True, "iat": int(time.time()),
                                                                         "exp": int(time.time()) + 60}, secret="another-secret-0123456789-0123456789"), "INVALID_TOKEN"),
              (released_token(UNKNOWN), "INVALID_TOKEN"), (released_token(world.alice.id, exp=int(time.time()) - 10), "INVALID_TOKEN")]
    before = world.rows(world.alice)
    for (method, path), (token, code) in itertools.product(routes(world, "user", "admin"), tokens):
        answer = world.ask(method, path, world.alice.things, token)
        assert answer.status == 401 and code_of(answer) in (code, None), f"{method} {path} with {code} → {answer}"
        world.nothing_leaks(answer, world.alice, f"{method} {path}")
    for method, path in routes(world, "public"):
        answer = world.ask(method, path, world.bob.things, None)
        world.nothing_leaks(answer, world.alice, f"{method} {path}")
    assert world.rows(world.alice) == before


def test_the_banned_get_in_nowhere(world):
    for method, path in routes(world, "user", "admin"):
        answer = world.ask(method, path, {**world.alice.things, "name": "x"}, world.mallory.token)
        assert answer.status == 403 and code_of(answer) in ("USER_BANNED", None), f"{method} {path} → {answer}"
        world.nothing_leaks(answer, world.alice, f"{method} {path}")


def test_users_are_no_administrators(world):
    before = world.rows(world.alice)
    # what the token says about its owner does not count
    for token in (world.bob.token, released_token(world.bob.id, isAdmin=True)):
        for method, path in routes(world, "admin"):
            answer = world.ask(method, path, world.alice.things, token)
            assert answer.status == 403 and code_of(answer) == "FORBIDDEN", f"{method} {path} → {answer}"
            world.nothing_leaks(answer, world.alice, f"{method} {path}")
    assert world.rows(world.alice) == before


@pytest.mark.parametrize("who", ["bob", "admin"])
def test_what_belongs_to_others_is_neither_shown_nor_changed(world, who):
    asker, alice, bob = getattr(world, who), world.alice, world.bob
    alien = {**alice.things, "name": "x"}  # names that are made up here are the asker's
    mixed = [("all theirs", alien, None)]
    if who == "bob":
        mixed += [("their device at my endpoint", alien, [bob.things, alice.things]), ("my device at their endpoint", {**bob.things, "name": "x"}, [alice.things, bob.things]),
                  ("my path, their ids in it", alien, [bob.things])]
    before = world.rows(alice)
    world.channels[alice.name].settle()
    for (method, path), (what, things, path_things) in itertools.product(routes(world, "user"), mixed):
        names = len(world.parameters(path))
        if (path_things and (names == 0 or (len(path_things) == 2 and names < 2))) or (what.startswith("my path") and (method in ("GET", "DELETE") or
                                                                                                                     not world.names_in_body(method, path))):
            continue
        answer = world.ask(method, path, things, asker.token, path_things)
        world.nothing_leaks(answer, alice, f"{what}: {method} {path}")
        if world.names_something(method, path):
            assert answer.status in REFUSED, f"{what}: {method} {path} → {answer}"
        assert answer.status < 500, f"{what}: {method} {path} → {answer}"
    assert world.rows(alice) == before
    assert world.channels[alice.name].settle() == [], "a command of somebody else reached a device"


def test_what_nobody_has_is_not_found(world):
    for method, path in routes(world, "user"):
        names = world.parameters(path)
        if names:
            answer = world.ask(method, path, world.bob.things, world.bob.token, [{}])
            assert answer.status in (400, 404) and (method != "GET" or answer.status == 404), f"{method} {path} → {answer}"
        if len(names) > 1:
            answer = world.ask(method, path, world.bob.things, world.bob.token, [world.bob.things, {}])
            assert answer.status in (400, 404), f"{method} {path} → {answer}"
    for method, path in routes(world, "admin"):
        if world.parameters(path):
            answer = world.ask(method, path, world.bob.things, world.admin.token, [{}])
            assert answer.status == 404, f"{method} {path} → {answer}"


def test_owners_get_in_everywhere_and_see_what_is_theirs(world):
    """Last but one: with DELETE at its end. The answers are held against the description by call()."""
    bob = world.bob
    order = sorted(routes(world, "user"), key=lambda each: (each[1].endswith("/delete") or each[0] == "DELETE", each[1].endswith("/delete"), -each[1].count("/")))
    for method, path in order:
        answer = world.ask(method, path, bob.things, bob.token)
        allowed = (200, 201)
        if (method, path) == ("PUT", "/api/auth/password"):
            allowed = (400,)  # the old one is not told
        elif method == "POST" or (method == "PUT" and path == "/api/auth/profile"):
            allowed = (200, 201, 400, 409, 503)  # limits, names that are taken, devices that left
        assert answer.status in allowed, f"{method} {path} → {answer}"
        world.nothing_leaks(answer, world.alice, f"{method} {path}")


def test_administrators_get_in_everywhere_they_should(world):
    """Last: bans and disables."""
    for method, path in sorted(routes(world, "admin"), key=lambda each: each[0]):
        answer = world.ask(method, path, world.alice.things, world.admin.token)
        assert answer.status in (200, 201) or (answer.status == 400 and code_of(answer) in ("USER_NOT_BANNED", "ENDPOINT_NOT_DISABLED")), f"{method} {path} → {answer}"
    # whatever order they came in, all of them were asked, and so was every route
    assert set(world.asked) == set(world.description.operations)
