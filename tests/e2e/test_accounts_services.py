# SPDX-License-Identifier: ISC
"""auth/1 and accounts/1 as other plugins see them, through tests/plugin/asker.c."""
import concurrent.futures
import time
import urllib.parse

import pytest

from accounts import KINDS, PASSWORD, Accounts
from conftest import eventually, get

ASKER = '{ name = "asker"; }'
API_KEY, PASSWORDS, TOKEN, KNOWN = 2, 4, 8, 16
UNKNOWN, GRANTED, REFUSED, UNAVAILABLE = range(4)
USER, ADMIN = 2, 3


@pytest.fixture(params=KINDS)
def a(request, tmp_path):
    database = request.getfixturevalue("mariadb_database") if request.param == "mariadb" else None
    made = Accounts(request.param, tmp_path / "accounts", database, more=[ASKER]).begin()
    yield made
    if made.server.process.returncode is None:
        made.stop()


def ask(a, kind=None, **what):
    query = urllib.parse.urlencode({**({"kind": kind} if kind else {}), **what})
    return get(f"{a.server.http}/test/asker?{query}", timeout=30)


def test_passwords(a):
    id, _ = a.person("Ann")
    for name in ("Ann", "ann", "ann@example.com"):
        found = ask(a, PASSWORDS, id=name, secret=PASSWORD)
        assert found == {"verdict": GRANTED, "code": None, "retry": 0, "provider": "auth_accounts", "id": id, "name": "Ann", "role": USER,
                         "credential": "session:0"}
    assert ask(a, PASSWORDS, id="admin", secret="Administrator1")["role"] == ADMIN
    for name, secret in (("ann", "wrong"), ("nobody", PASSWORD), ("", PASSWORD), ("ann", ""), ("x" * 1100, "y")):
        found = ask(a, PASSWORDS, id=name, secret=secret)
        assert (found["verdict"], found["code"]) == (REFUSED, None) and "id" not in found, (name, found)
    a.sql("UPDATE users SET is_active = 0 WHERE id = ?", id)
    assert ask(a, PASSWORDS, id="ann", secret=PASSWORD)["verdict"] == REFUSED
    a.sql("UPDATE users SET is_active = 1, banned_at = '2026-01-01 00:00:00.000' WHERE id = ?", id)
    assert ask(a, PASSWORDS, id="ann", secret=PASSWORD)["code"] == "USER_BANNED"
    assert ask(a, PASSWORDS, id="ann", secret="wrong")["code"] is None


def test_rows_that_others_spoiled(a):
    """What stands in password_hash is no hash, or one that would take days."""
    id, token = a.person("ann")
    for hash in ("", "x", PASSWORD, "*0", "$2b$31$z6E6IsyskDrK3WjkBnZv.uSSv.ckLzD/blWvjEnEk3Vujiv9XRuz.", "$6$salt$abc", "$2b$10$", "%s%n"):
        a.sql("UPDATE users SET password_hash = ? WHERE id = ?", hash, id)
        began = time.monotonic()
        assert a.login("ann").code == "INVALID_CREDENTIALS" and a.login("ann", hash or "x").code == "INVALID_CREDENTIALS"
        assert time.monotonic() - began < 10
    assert a.me(token).status == 200


def test_tokens_and_keys(a):
    id, token = a.person("ann")
    key_id, key = a.key(token)
    assert ask(a, TOKEN, secret=token)["credential"] == "session:0"
    assert ask(a, API_KEY, secret=key)["credential"] == key_id
    # what is not of here is another provider's to judge; what was signed here and is void is not
    assert ask(a, TOKEN, secret=token[:-2] + "xx")["verdict"] == REFUSED  # the core's word for: nobody knows it
    a.sql("UPDATE users SET is_admin = 1 WHERE id = ?", id)
    assert ask(a, TOKEN, secret=token)["role"] == ask(a, API_KEY, secret=key)["role"] == ADMIN
    a.sql("UPDATE users SET banned_at = '2026-01-01 00:00:00.000' WHERE id = ?", id)
    for kind, secret in ((TOKEN, token), (API_KEY, key)):
        assert (ask(a, kind, secret=secret)["verdict"], ask(a, kind, secret=secret)["code"]) == (REFUSED, "USER_BANNED")


def test_known(a):
    id, token = a.person("ann")
    bob, bob_token = a.person("bob")
    key_id, _ = a.key(token)

    def known(who, credential="", provider="auth_accounts"):
        return ask(a, KNOWN, id=who, secret=credential, provider=provider)["verdict"]

    assert [known(id), known(id, "session:0"), known(id, key_id)] == [GRANTED] * 3
    assert [known("0" * 36), known(id, "session:1"), known(id, "x"), known(bob, key_id), known(id, "session:0", "another")] == [REFUSED] * 5
    assert a.call("PUT", "/api/auth/password", {"old_password": PASSWORD, "new_password": PASSWORD + "2"}, token).status == 200
    assert [known(id, "session:0"), known(id, "session:1"), known(id, key_id)] == [REFUSED, GRANTED, GRANTED]
    a.sql("DELETE FROM muster_api_keys WHERE id = ?", key_id)
    assert known(id, key_id) == REFUSED
    a.ban(id)
    assert [known(id), known(id, "session:2"), known(bob)] == [REFUSED, REFUSED, GRANTED]


def test_others_add_to_the_list_of_users(a):
    a.register("ann")
    listed = a.call("GET", "/api/admin/users", token=a.token).json
    assert [(each["username"], each["endpoint_count"], each["letters"]) for each in listed] == [("ann", 7, 3), ("admin", 7, 5)]
    # and take it with them
    a.more = []
    a.server.reload(a.server.text(a.plugins()))
    eventually(lambda: "letters" not in a.call("GET", "/api/admin/users", token=a.token).json[0])
    assert [each["endpoint_count"] for each in a.call("GET", "/api/admin/users", token=a.token).json] == [0, 0]


def test_administrators_on_demand(a):
    found = ask(a, admin="boss_1")
    a.secrets.add(found["password"])
    assert found["error"] == 0 and a.login("boss_1", found["password"]).data["password_change_required"] is True
    again = ask(a, admin="boss_1")
    a.secrets.add(again["password"])
    assert again["password"] != found["password"] and a.login("boss_1", found["password"]).code == "INVALID_CREDENTIALS"
    assert ask(a, admin="no name")["error"] == -1 and "letters" in ask(a, admin="no name")["reason"]


def test_a_reload_in_the_middle(a):
    """Plugins stop while people log in and hashes are made: everybody gets an answer, nothing crashes, nothing leaks."""
    a.person("ann")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def knock(i):
            try:
                return a.login("ann").status
            except OSError:
                return None
        answers = pool.map(knock, range(120))
        for i in range(6):
            a.options = f"attempts = {100000 + i};"  # routes are claimed anew: the instance is restarted
            a.server.reload(a.server.text(a.plugins()))
            time.sleep(0.4)
        statuses = list(answers)
    assert statuses.count(200) > 10 and set(statuses) <= {200, 404, 500, 503, 504, None}, statuses
    eventually(lambda: a.login("ann").status == 200)
