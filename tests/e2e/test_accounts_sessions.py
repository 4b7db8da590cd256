# SPDX-License-Identifier: ISC
"""What is open ends with the right to it: API keys and login tokens in the session protocol, bans, deletions, other programs."""
import base64
import json
import time
import urllib.request

import pytest

from accounts import KINDS, PASSWORD, Accounts
from conftest import eventually
from hostile import CLOSE
from relays import Relay
from sessions import Client

PROMISE_S = 10  # for what other programs change


@pytest.fixture(params=KINDS)
def accounts(request, tmp_path):
    running = []

    def start(options="", **more):
        database = request.getfixturevalue("mariadb_database") if request.param == "mariadb" else None
        made = Accounts(request.param, tmp_path / f"accounts{len(running)}", database, options, **more).begin()
        running.append(made)
        return made

    yield start
    for made in running:
        if made.server.process.returncode is None:
            made.stop()


def agent(a, key, machine="m1", answer="auth_success"):
    client = Client(a.server)
    client.say("auth", apiKey=key, machineId=machine)
    client.welcome = client.until(answer)
    return client


def closed(client, within=PROMISE_S):
    """It is closed with the code for a right that was taken back."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        got = client.read(max(0.01, end - time.monotonic()))
        if client.ended or (got and got[2] == CLOSE):
            return True
    return False


def test_a_key_is_its_user(accounts):
    a = accounts()
    id, token = a.person("ann")
    key_id, key = a.key(token)
    with agent(a, key) as client:
        assert client.welcome["userId"] == id
        client.quiet(0.3)
    used = eventually(lambda: a.call("GET", "/api/auth/api-keys", token=token).data["api_keys"][0]["last_used_at"])
    assert used.endswith("Z")
    for wrong in (key[:-1] + ("A" if key[-1] != "A" else "B"), key.lower(), key[3:], "mk_" + "A" * 43, "mk_", key + "x", "x" * 46):
        with agent(a, wrong, answer="auth_failed") as client:
            assert client.welcome["code"] == "invalid_api_key"


def test_a_deleted_key_ends_what_it_opened_and_nothing_else(accounts):
    a = accounts()
    _, token = a.person("ann")
    (first_id, first), (second_id, second) = a.key(token, "one"), a.key(token, "two")
    with agent(a, first, "m1") as one, agent(a, second, "m2") as two:
        session = one.welcome["sessionToken"]
        assert a.call("DELETE", f"/api/auth/api-keys/{first_id}", token=token).status == 200
        assert closed(one, 3)
        two.quiet(0.5)
        with agent(a, first, answer="auth_failed") as again:
            assert again.welcome["code"] == "invalid_api_key"
        with Client(a.server) as resumed:  # nor does what was signed for it
            resumed.say("auth", sessionToken=session, machineId="m1")
            assert resumed.until("auth_failed")
        assert a.me(token).status == 200


def test_a_ban_ends_everything_of_the_user(accounts):
    a = accounts()
    ann, ann_token = a.person("ann")
    bob, bob_token = a.person("bob")
    ann_key, bob_key = a.key(ann_token)[1], a.key(bob_token)[1]
    with agent(a, ann_key) as one, agent(a, ann_key, "m2") as two, agent(a, bob_key) as other:
        session = one.welcome["sessionToken"]
        assert a.ban(ann).status == 200
        assert closed(one, 3) and closed(two, 3)
        other.quiet(0.5)
        with agent(a, ann_key, answer="auth_failed"):
            pass
        with Client(a.server) as resumed:
            resumed.say("auth", sessionToken=session, machineId="m1")
            assert resumed.until("auth_failed")
        assert a.unban(ann).status == 200
        with agent(a, ann_key) as back:
            back.quiet(0.3)


def test_another_password_ends_what_is_open(accounts):
    a = accounts()
    _, token = a.person("ann")
    _, bob = a.person("bob")
    key, bob_key = a.key(token)[1], a.key(bob)[1]
    with agent(a, key) as one, agent(a, bob_key) as other:
        answer = a.call("PUT", "/api/auth/password", {"old_password": PASSWORD, "new_password": "Another1234"}, token)
        assert answer.status == 200 and closed(one, 3)
        other.quiet(0.5)
        # keys are not passwords: machines come back by themselves
        with agent(a, key) as back:
            back.quiet(0.3)
            # and the next look does not take this for the change of before
            back.quiet(5)


def test_another_spelling_of_an_id_ends_the_same(accounts):
    """MariaDB takes capitals for the same id. Other programs' changes are looked for too late to help here."""
    a = accounts("watch_every = 9.0;")
    id, token = a.person("ann")
    admin = a.me(a.token).data["user"]["id"]
    (key_id, key), (_, other) = a.key(token, "one"), a.key(token, "two")
    with agent(a, key) as one, agent(a, other, "m2") as two:
        deleted = a.call("DELETE", f"/api/auth/api-keys/{key_id.upper()}", token=token)
        if a.kind == "sqlite":
            assert deleted.code == "API_KEY_NOT_FOUND" and a.ban(id.upper()).code == a.ban(admin.upper()).code == "USER_NOT_FOUND"
            return
        assert deleted.status == 200 and closed(one, 3)
        two.quiet(0.5)
        assert a.ban(id.upper()).status == 200 and closed(two, 3)
    assert a.ban(admin.upper()).code == "CANNOT_BAN_SELF" and a.me(a.token).status == 200


CHANGES = {
    "banned": "UPDATE users SET banned_at = '2026-01-01 00:00:00.000' WHERE id = ?",
    "not active": "UPDATE users SET is_active = 0 WHERE id = ?",
    "deleted": "DELETE FROM users WHERE id = ?",
    "an administrator now": "UPDATE users SET is_admin = 1 WHERE id = ?",
    "another password": "UPDATE muster_users SET sessions = sessions + 1 WHERE user_id = ?",
    "key deleted": "DELETE FROM muster_api_keys WHERE user_id = ?",
}


def test_what_other_programs_change_ends_what_is_open(accounts):
    a = accounts()
    clients = {}
    for i, case in enumerate(CHANGES):
        id, token = a.person(f"user{i}")
        a.call("PUT", "/api/auth/password", {"old_password": PASSWORD, "new_password": PASSWORD + "2"}, token)
        clients[case] = (id, agent(a, a.key(a.login(f"user{i}", PASSWORD + "2").data["token"])[1]))
    _, token = a.person("bystander")
    bystander = agent(a, a.key(token)[1])
    time.sleep(1)
    began = time.monotonic()
    for case, (id, _) in clients.items():
        a.sql(CHANGES[case], id)
    for case, (_, client) in clients.items():
        assert closed(client, max(0.1, PROMISE_S - (time.monotonic() - began))), case
    bystander.quiet(1)
    for client in [bystander, *(client for _, client in clients.values())]:
        client.__exit__()


def test_more_users_than_are_watched(accounts):
    a = accounts("watch_users = 10; watch_every = 0.5;")
    people = [a.person(f"user{i}") for i in range(12)]
    clients = [agent(a, a.key(token)[1], f"m{i}") for i, (_, token) in enumerate(people)]
    a.server.logged("more people than watch_users")
    a.sql("UPDATE users SET banned_at = '2026-01-01 00:00:00.000' WHERE id = ?", people[-1][0])
    assert closed(clients[-1])
    for client in clients:
        client.__exit__()


def test_many_users_are_watched_in_batches(accounts):
    a = accounts("watch_every = 0.5;")
    people = [a.person(f"user{i}") for i in range(30)]
    clients = [agent(a, a.key(token)[1], f"m{i}") for i, (_, token) in enumerate(people)]
    for id, _ in people[::3]:
        a.sql("UPDATE users SET is_active = 0 WHERE id = ?", id)
    for i, client in enumerate(clients):
        if i % 3 == 0:
            assert closed(client), i
    for i, client in enumerate(clients):
        if i % 3:
            client.quiet(0.1)
        client.__exit__()


def test_two_servers_on_one_database(accounts, tmp_path):
    """What one of them changes the other one sees."""
    a = accounts()
    id, token = a.person("ann")
    key_id, key = a.key(token)
    b = Accounts(a.kind, tmp_path / "second", a.database)
    b.path = a.path
    b.start()
    with agent(b, key) as on_second:
        assert b.me(token).status == 200
        assert a.ban(id).status == 200
        assert b.me(token).code == "USER_BANNED"
        assert closed(on_second)
    assert not b.password_file.exists()
    b.secrets |= a.secrets
    b.stop()


def test_a_reload_of_plain_options_keeps_channels_open(tmp_path):
    """The relay needs auth_accounts: restarted, it would take every channel along."""
    relay = Relay("sqlite", tmp_path / "relay")

    def reload(text, count):
        relay.server.reload(relay.server.text([p.replace(f'password_file = "{tmp_path}/relay/admin-password"; attempts = 1000;', text) for p in relay.plugins]))
        eventually(lambda: relay.server.log.count("reloaded: ") == count)
        return next(line for line in reversed(relay.server.log.splitlines()) if "reloaded: " in line)

    try:
        first = tmp_path / "relay" / "admin-password"
        eventually(lambda: first.exists() and first.read_text().endswith("\n"))
        name, password = first.read_text().split()
        endpoint = relay.endpoint()
        channel = relay.join(endpoint)
        rest = "first_admin = \"root_1\"; api_keys = 7; hash_threads = 2; hash_queue = 9; watch_every = 2.0; watch_users = 50;"
        line = reload(f'attempts = 1000; token_days = 3; {rest} password_file = "{tmp_path}/elsewhere";', 1)
        assert "0 restarted, 1 reconfigured" in line, line
        other = relay.join(endpoint)
        other.say("still there")
        assert channel.text() == "still there"
        request = urllib.request.Request(f"http://127.0.0.1:{relay.server.port}/api/auth/login", headers={"Content-Type": "application/json"},
                                         data=json.dumps({"username": name, "password": password}).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            token = json.load(answer)["data"]["token"]
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        assert claims["exp"] - claims["iat"] == 3 * 86400
        # The one that is claimed with the routes.
        line = reload(f'attempts = 999; token_days = 3; {rest} password_file = "{tmp_path}/elsewhere";', 2)
        assert "2 restarted, 0 reconfigured" in line, line
        assert channel.closing()[1] in (1001, 1012)
    finally:
        relay.stop()
