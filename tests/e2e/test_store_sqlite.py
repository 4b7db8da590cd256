# SPDX-License-Identifier: ISC
"""store_sqlite in a running server: reloads while much waits, and the file's mode. What both stores promise is in test_store.py."""
import os
import stat
import threading
import urllib.error

import pytest

from conftest import eventually
from stores import EINVAL, ELIMIT, INDEX, Store


@pytest.fixture
def store(tmp_path):
    made = Store("sqlite", tmp_path / "server").start()
    made.made("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)")
    yield made
    made.stop()


def test_the_file_and_its_log_are_the_owners_alone(store):
    for name in (store.path, f"{store.path}-wal", f"{store.path}-shm"):
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o600, name


def ask(store, text):
    """The rows or the error; None while the desk does not run."""
    try:
        result = store.read(text)
    except urllib.error.HTTPError:
        return None
    return result.error or result.rows


def configuration(store, **changes):
    vars(store).update(changes)
    return store.server.text(store.plugins())


def test_limits_change_while_it_runs(store):
    store.server.reload(configuration(store, limits="queue = 16;"))
    store.logged("1 reconfigured")
    errors = [error for error, _ in store.flood(1000, ("INSERT INTO t (n) VALUES (?)", INDEX))]
    assert set(errors) == {0, ELIMIT} and errors.count(0) >= 16
    assert store.read("SELECT COUNT(*) FROM t").rows == [[errors.count(0)]]


def test_a_reload_that_restarts_the_store_loses_nothing_that_was_taken(store):
    """The desks stop first, then the store with what they left: all of a flood is there, or none that was not taken."""
    count = 5000

    def flood():
        try:
            store.flood(count, ("INSERT INTO t (n) VALUES (?)", INDEX))
        except OSError:
            pass  # the desk stopped before it had all answers

    thread = threading.Thread(target=flood)
    thread.start()
    store.server.reload(configuration(store, more='synchronous = "normal";'))
    store.logged("reloaded")
    thread.join(20)
    rows = eventually(lambda: ask(store, "SELECT COUNT(*), MIN(n), MAX(n) FROM t"))[0]
    assert rows in ([count, 0, count - 1], [0, None, None]), rows
    # The other instance goes on, from the same file.
    assert store.write(("INSERT INTO t (n) VALUES (?)", -1)).error == 0


def test_another_path_is_another_database(store, tmp_path):
    assert store.write("INSERT INTO t (n) VALUES (1)").error == 0
    old, other = store.path, tmp_path / "other.db"
    store.server.reload(configuration(store, path=other))
    eventually(other.exists)
    eventually(lambda: ask(store, "SELECT COUNT(*) FROM t") == EINVAL)  # no such table
    store.server.reload(configuration(store, path=old))
    eventually(lambda: ask(store, "SELECT COUNT(*) FROM t") == [[1]])
