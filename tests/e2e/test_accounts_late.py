# SPDX-License-Identifier: ISC
"""A right is taken back while a row of before is on its way: nobody is let in by it."""
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts import PASSWORD, Accounts
from test_accounts_services import API_KEY, ASKER, GRANTED, KNOWN, PASSWORDS, REFUSED, TOKEN, ask
from valve import Valve

ANOTHER = "Another12345"
NAME = "quentin"  # in no statement's own text ("ann" is in "banned"): the valve waits for a row, not for a statement that is made ready


class Behind:
    """A database as a server behind the valve reaches it."""

    def __init__(self, database, valve):
        self.database, self.sql = database, database.sql
        self.port = valve.port

    def url(self):
        return self.database.url(port=self.port)


@pytest.fixture
def held(mariadb, mariadb_database, tmp_path):
    """(accounts, valve)"""
    with Valve(mariadb.port) as valve:
        # Looks for what other programs changed ask for users, too.
        a = Accounts("mariadb", tmp_path / "a", Behind(mariadb_database, valve), "watch_every = 3600;", more=[ASKER],
                     store="limits = { readers = 3; };").begin()
        yield a, valve
        a.secrets.add(ANOTHER)
        a.stop()


def late(valve, about, ask, take_back):
    """What is answered to who asked, when that is taken back after the database answered and before the server knows it."""
    valve.hold(about)
    with ThreadPoolExecutor(1) as one:
        answer = one.submit(ask)
        while not valve.arrived.wait(0.02):
            assert not answer.done(), f"the database was not asked: {answer.result()}"
        try:
            assert take_back().status == 200
            assert not answer.done()
        finally:
            valve.let_go()
        return answer.result(30)


def another_password(a, token):
    return a.call("PUT", "/api/auth/password", {"old_password": PASSWORD, "new_password": ANOTHER}, token)


def test_what_is_late_and_still_true_lets_in(held):
    a, valve = held
    (ann, ann_token), (bob, _) = a.person(NAME), a.person("bob")
    assert late(valve, ann, lambda: a.me(ann_token), lambda: a.ban(bob)).status == 200


def test_a_request(held):
    a, valve = held
    ann, token = a.person(NAME)
    answer = late(valve, ann, lambda: a.me(token), lambda: a.ban(ann))
    assert (answer.status, answer.code) == (403, "USER_BANNED")
    assert a.unban(ann).status == 200 and a.me(token).status == 401
    token = a.login(NAME).data["token"]
    assert late(valve, ann, lambda: a.me(token), lambda: another_password(a, token)).status == 401


def test_a_login(held):
    """It may have been before. What it gives is of before, too, and opens nothing."""
    a, valve = held
    _, token = a.person(NAME)
    answer = late(valve, NAME, lambda: a.login(NAME), lambda: another_password(a, token))
    assert answer.status == 401 or a.me(answer.data["token"]).status == 401


@pytest.mark.parametrize("kind, how", [*itertools.product([API_KEY, PASSWORDS, TOKEN, KNOWN], ["ban", "password"]), (API_KEY, "key"), (KNOWN, "key")])
def test_every_kind(held, kind, how):
    a, valve = held
    ann, token = a.person(NAME)
    key_id, key = a.key(token)
    digest = a.value("SELECT digest FROM muster_api_keys WHERE id = ?", key_id)
    about, question = {API_KEY: (digest, {"secret": key}), PASSWORDS: (NAME, {"id": NAME, "secret": PASSWORD}), TOKEN: (ann, {"secret": token}),
                       KNOWN: (ann, {"id": ann, "provider": "auth_accounts", "secret": key_id if how == "key" else "session:0"})}[kind]
    assert ask(a, kind, **question)["verdict"] == GRANTED
    take_back = {"ban": lambda: a.ban(ann), "password": lambda: another_password(a, token),
                 "key": lambda: a.call("DELETE", f"/api/auth/api-keys/{key_id}", token=token)}[how]
    found = late(valve, about, lambda: ask(a, kind, **question), take_back)
    # A key outlives a change of password.
    assert found["verdict"] == (GRANTED if kind == API_KEY and how == "password" else REFUSED), found
    assert found["code"] == ("USER_BANNED" if how == "ban" else None)
