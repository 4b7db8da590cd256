# SPDX-License-Identifier: ISC
"""What <muster/store.h> promises, of both databases alike."""
import contextlib
import sqlite3
import threading

import pytest

from conftest import eventually
from stores import EEXIST, EINVAL, ELIMIT, ENOENT, EREFUSED, EUNAVAILABLE, INDEX, KINDS, Store, fill, time_of


@pytest.fixture(params=KINDS)
def make(request, tmp_path, mariadb):
    """A function that starts servers with a store over the test's own database."""
    kind, made = request.param, []
    database = mariadb.database() if kind == "mariadb" else None

    def start(**how):
        how.setdefault("path", tmp_path / "muster.db")
        store = Store(kind, tmp_path / f"store{len(made)}", url=database.url() if database else None, **how).start()
        made.append(store)
        return store

    @contextlib.contextmanager
    def locked(store):
        """Within it nobody else can write to the table t."""
        other = database.connect() if database else sqlite3.connect(store.path, timeout=20, isolation_level=None)
        other.cursor().execute("LOCK TABLES t WRITE" if database else "BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.close()

    start.locked = locked
    yield start
    for store in made:
        if store.server.process.returncode is None:
            store.stop()
    if database:
        database.drop()


@pytest.fixture
def store(make):
    return make(limits="wait = 60.0;")  # a busy machine may need long for what many tests ask for at once


TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(100), big BIGINT, real_ DOUBLE, text_ TEXT, at DATETIME(3), flag BOOLEAN)"
USERS = "CREATE TABLE users (id VARCHAR(191) PRIMARY KEY, email VARCHAR(191) NOT NULL, name VARCHAR(100), UNIQUE (email))"
DEVICES = ("CREATE TABLE devices (id VARCHAR(191) PRIMARY KEY, user_id VARCHAR(191) NOT NULL, device_id VARCHAR(64) NOT NULL, UNIQUE (user_id, device_id), "
           "FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE)")


# ---- values ----


@pytest.mark.parametrize("column, value", [
    ("big", 0), ("big", -1), ("big", 2**63 - 1), ("big", -2**63), ("big", None), ("real_", 1.5), ("real_", -0.1), ("real_", 1e300),
    ("real_", 5e-324), ("real_", 3.0), ("real_", None), ("text_", ""), ("text_", "plain"), ("text_", "it's \"quoted\" \\ and ; -- so"),
    ("text_", "温室 😀 \U0010ffff ́"), ("text_", " trailing "), ("text_", "1"), ("text_", None),
    ("at", time_of(0)), ("at", time_of(1795247242357)), ("at", time_of(-1)), ("at", time_of(-86400000 * 365)), ("at", time_of(951782400000)),
    ("at", time_of(253402300799999)), ("at", None), ("flag", True), ("flag", False), ("flag", None),
], ids=str)
def test_values_come_back_as_they_were_given(values_store, column, value):
    assert values_store.write((f"INSERT INTO t (name, {column}) VALUES (?, ?)", "x", value)).error == 0
    result = values_store.read(f"SELECT {column} FROM t WHERE name = ?", "x")
    assert values_store.write("DELETE FROM t").changed == [1]
    assert result.rows == [[value]] and type(result.rows[0][0]) is (int if isinstance(value, bool) else type(value)), result


@pytest.fixture(scope="module", params=KINDS)
def values_store(request, tmp_path_factory, mariadb):
    folder = tmp_path_factory.mktemp("values")
    database = mariadb.database() if request.param == "mariadb" else None
    store = Store(request.param, folder / "server", path=folder / "muster.db", url=database.url() if database else None).start()
    store.made(TABLE.replace("id INTEGER PRIMARY KEY", "id INTEGER"))
    yield store
    store.stop()
    if database:
        database.drop()


def test_expressions_have_the_same_types_everywhere(store):
    store.made(TABLE)
    for id, at in ((1, 1000), (2, 1795247242357), (3, None)):
        assert store.write(("INSERT INTO t (id, big, real_, text_, at, flag) VALUES (?, ?, ?, ?, ?, ?)",
                            id, id * 10, id / 4, f"{id}", at and time_of(at), id == 1)).error == 0
    result = store.read("SELECT COUNT(*), SUM(big), AVG(big), SUM(real_), MAX(big), MIN(text_), MAX(flag) FROM t")
    assert result.rows == [[3, 60, 20.0, 1.5, 30, "1", 1]] and [type(v) for v in result.rows[0]] == [int, int, float, float, int, str, int]
    assert store.read("SELECT MAX(at) AS newest_at FROM t").value == time_of(1795247242357)
    assert store.read("SELECT at FROM t WHERE at >= ? ORDER BY at DESC LIMIT 1", time_of(1000)).value == time_of(1795247242357)
    assert store.read("SELECT COUNT(*) FROM t WHERE at > ? AND at <= ?", time_of(999), time_of(1000)).value == 1
    assert store.read("SELECT t.at, u.at FROM t LEFT JOIN t AS u ON u.id = t.id + 2 WHERE t.id = 1").rows == [[time_of(1000), None]]
    assert store.read("SELECT COALESCE(MAX(big), 0) FROM t WHERE id > 99").value == 0
    assert store.read("SELECT 1, 'a', NULL, 1.5e0").rows == [[1, "a", None, 1.5]]


def test_no_rows_and_many_columns(store):
    store.made(TABLE)
    result = store.read("SELECT * FROM t")
    assert (result.error, result.rows, result.columns) == (0, [], 7)


def test_texts_are_compared_as_released_databases_do_where_told_so(store):
    """Names that differ in case only are the same."""
    store.made({"sql": ("CREATE TABLE c (name VARCHAR(30) COLLATE NOCASE UNIQUE)",
                        "CREATE TABLE c (name VARCHAR(30) UNIQUE) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")})
    assert store.write(("INSERT INTO c VALUES (?)", "Alice")).error == 0
    assert store.read("SELECT name FROM c WHERE name = ?", "aLICE").value == "Alice"
    assert store.write(("INSERT INTO c VALUES (?)", "ALICE")).error == EEXIST


@pytest.mark.slow
def test_a_text_of_60_megabytes(make):
    size = 60 * 1024 * 1024
    store = make(limits="queue_bytes = 268435456; row_bytes = 134217728; run = 60.0; wait = 60.0;")
    store.made({"sql": ("CREATE TABLE b (id INTEGER PRIMARY KEY, t TEXT)", "CREATE TABLE b (id INTEGER PRIMARY KEY, t LONGTEXT)")})
    result = store.write(("INSERT INTO b VALUES (?, ?)", 1, fill(size)))
    assert result.error == 0, result
    assert store.read("SELECT t, LENGTH(t) FROM b").rows == [[{"bytes": size, "same": "x"}, size]]
    store.stop(copies=True)


def test_rows_with_texts_of_all_lengths(store):
    """Each finds room, whatever came before it."""
    store.made(TABLE)
    lengths = [0, 1, 255, 256, 257, 999, 3, 600, 256, 1000, 0, 700]
    for id, length in enumerate(lengths):
        assert store.write(("INSERT INTO t (id, name, text_) VALUES (?, ?, ?)", id, "n" * (length % 90), "z" * length)).error == 0
    for _ in range(3):
        assert store.read("SELECT text_, name, text_ FROM t ORDER BY id").rows == [["z" * n, "n" * (n % 90), "z" * n] for n in lengths]


# ---- transactions ----


def test_all_or_nothing(store):
    store.made(TABLE)
    result = store.write(("INSERT INTO t (id) VALUES (?)", 1), ("INSERT INTO t (id) VALUES (?)", 2), ("INSERT INTO t (id) VALUES (?)", 1))
    assert (result.error, result.failed, result.key) == (EEXIST, 2, "t.id"), result
    assert store.read("SELECT COUNT(*) FROM t").value == 0
    result = store.write(("INSERT INTO t (id) VALUES (?)", 1), ("INSERT INTO t (id) VALUES (?)", 2), "DELETE FROM t WHERE id < 3")
    assert (result.error, result.changed) == (0, [1, 1, 2])


def test_expected_rows(store):
    store.made(TABLE)
    assert store.write({"sql": "INSERT INTO t (id, big) VALUES (1, 5)", "expect": 1}).error == 0
    # Matched counts, whether it is altered or not.
    result = store.write({"sql": "UPDATE t SET big = 5 WHERE id = 1", "expect": 1})
    assert (result.error, result.changed) == (0, [1])
    # None matched: all is taken back, also what was before.
    result = store.write(("INSERT INTO t (id) VALUES (2)"), {"sql": "UPDATE t SET big = 6 WHERE id = 1 AND big = 4", "expect": 1},
                         ("INSERT INTO t (id) VALUES (3)"))
    assert (result.error, result.failed) == (EREFUSED, 1), result
    assert store.write({"sql": "DELETE FROM t WHERE id = 99", "expect": 1}).error == EREFUSED
    assert store.write({"sql": "DELETE FROM t WHERE id = 99", "expect": 0}).error == 0
    assert store.write({"sql": "UPDATE t SET big = 7", "expect": 0}).error == EREFUSED
    assert store.read("SELECT id, big FROM t").rows == [[1, 5]]


def test_one_code_one_user_also_in_a_race(store):
    """What many transactions at once want and one may have."""
    store.made("CREATE TABLE codes (code VARCHAR(12) PRIMARY KEY, used_by INTEGER)", "CREATE TABLE who (id INTEGER PRIMARY KEY)",
               "INSERT INTO codes (code) VALUES ('one')")
    done = store.flood(200, ("INSERT INTO who (id) VALUES (?)", INDEX),
                       {"sql": "UPDATE codes SET used_by = ? WHERE code = 'one' AND used_by IS NULL", "values": [INDEX], "expect": 1})
    good = [number for error, number in done if error == 0]
    assert len(good) == 1 and len(done) == 200 and {error for error, _ in done} == {0, EREFUSED}
    assert store.read("SELECT id FROM who").rows == [[good[0]]] and store.read("SELECT used_by FROM codes").value == good[0]


def test_those_that_are_committed_together_do_not_hurt_each_other(store):
    store.made(TABLE, "INSERT INTO t (id) VALUES (10), (20), (30)")
    before = store.counter("commits")
    done = store.flood(300, ("INSERT INTO t (id, name) VALUES (?, 'first')", INDEX), ("UPDATE t SET name = 'second' WHERE id = ?", INDEX))
    assert [number for _, number in done] == list(range(300)), "answered in another order than asked"
    assert {number for error, number in done if error} == {10, 20, 30} and {error for error, _ in done} == {0, EEXIST}
    assert store.read("SELECT COUNT(*) FROM t WHERE name = 'second'").value == 297
    assert store.counter("commits") - before < 100, "nothing was committed together"


def test_transactions_keep_their_order(store):
    store.made({"sql": ("CREATE TABLE o (n INTEGER PRIMARY KEY AUTOINCREMENT, i INTEGER)", "CREATE TABLE o (n INTEGER PRIMARY KEY AUTO_INCREMENT, i INTEGER)")},
               "CREATE TABLE last_ (i INTEGER)", "INSERT INTO last_ VALUES (-1)")
    # Each one works only right after the one before it.
    done = store.flood(1000, ("INSERT INTO o (i) VALUES (?)", INDEX),
                       {"sql": "UPDATE last_ SET i = i + 1 WHERE i = ? - 1", "values": [INDEX], "expect": 1})
    assert all(error == 0 for error, _ in done), [each for each in done if each[0]][:5]
    assert [row[0] for row in store.read("SELECT i FROM o ORDER BY n").rows] == list(range(1000))


def test_a_read_sees_what_was_done_before(store):
    store.made(TABLE, "INSERT INTO t (id, big) VALUES (1, 0)")
    for n in range(1, 150):
        assert store.write(("UPDATE t SET big = ? WHERE id = 1", n)).error == 0
        assert store.read("SELECT big FROM t WHERE id = 1").value == n


def test_reads_at_once(store):
    store.made(TABLE, "INSERT INTO t (id) VALUES (1)")
    wrong = []

    def ask(number):
        for _ in range(30):
            result = store.read("SELECT ? + id FROM t", number)
            if result.error or result.rows != [[number + 1]]:
                wrong.append(result)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:2]


def test_rows_of_a_transaction(store):
    """Those of the last statement that gives some."""
    store.made(TABLE)
    result = store.write("INSERT INTO t (id) VALUES (7)", "SELECT 1, 2", "SELECT id FROM t", "UPDATE t SET big = 1")
    assert (result.error, result.rows, result.changed) == (0, [[7]], [1, 0, 0, 1]), result


def test_rows_that_an_insert_gives_back(store):
    store.made(TABLE)
    result = store.write({"sql": "INSERT INTO t (id, name) VALUES (1, 'a'), (2, 'b') RETURNING id, name", "expect": 2})
    assert (result.error, result.rows, result.changed) == (0, [[1, "a"], [2, "b"]], [2]), result


def test_an_upsert_counts_each_row_once(store):
    store.made(TABLE)
    for values, changed in (("(1, 1)", 1), ("(1, 2)", 1), ("(1, 2)", 1), ("(1, 3), (2, 3)", 2), ("(1, 4), (2, 4), (3, 4)", 3)):
        result = store.write({"sql": (f"INSERT INTO t (id, big) VALUES {values} ON CONFLICT (id) DO UPDATE SET big = excluded.big",
                                      f"INSERT INTO t (id, big) VALUES {values} ON DUPLICATE KEY UPDATE big = VALUES(big)"), "expect": changed})
        assert (result.error, result.changed) == (0, [changed]), (values, result)
    for values, changed in (("(1, 9)", 1), ("(1, 9), (7, 9)", 2)):
        assert store.write(f"REPLACE INTO t (id, big) VALUES {values}").changed == [changed]
    assert store.write({"sql": ("INSERT OR IGNORE INTO t (id) VALUES (1), (50)", "INSERT IGNORE INTO t (id) VALUES (1), (50)")}).changed == [1]


# ---- errors ----


def test_unique_keys_are_named_by_their_columns(store):
    store.made(USERS, DEVICES)
    assert store.write(("INSERT INTO users (id, email) VALUES ('u1', 'a@b')"), "INSERT INTO devices VALUES ('d1', 'u1', 'probe')").error == 0
    for statement, key in ((("INSERT INTO users (id, email) VALUES ('u2', ?)", "a@b"), "users.email"),
                           (("INSERT INTO users (id, email) VALUES (?, 'b@b')", "u1"), "users.id"),
                           (("INSERT INTO devices VALUES ('d2', ?, 'probe')", "u1"), "devices.user_id, devices.device_id"),
                           (("UPDATE users SET email = ? WHERE id = 'u3'", "a@b"), "users.email")):
        assert store.write("DELETE FROM users WHERE id = 'u3'", "INSERT INTO users (id, email) VALUES ('u3', 'c@b')").error == 0
        result = store.write(statement)
        assert (result.error, result.key) == (EEXIST, key), result
        assert result.reason
    # What people send is no part of the key's name.
    assert store.write(("INSERT INTO users (id, email) VALUES ('u4', ?)", "x' for key 'PRIMARY")).error == 0
    assert store.write(("INSERT INTO users (id, email) VALUES ('u5', ?)", "x' for key 'PRIMARY")).key == "users.email"


def test_foreign_keys(store):
    store.made(USERS, DEVICES)
    result = store.write("INSERT INTO devices VALUES ('d1', 'nobody', 'probe')")
    assert (result.error, result.key) == (ENOENT, ""), result
    assert store.write("INSERT INTO users (id, email) VALUES ('u1', 'a')", "INSERT INTO devices VALUES ('d1', 'u1', 'p')").error == 0
    assert store.write({"sql": "DELETE FROM users WHERE id = 'u1'", "expect": 1}).changed == [1], "rows that go along do not count"
    assert store.read("SELECT COUNT(*) FROM devices").value == 0


@pytest.mark.parametrize("statement", [
    "SELEC 1", "", "INSERT INTO nowhere VALUES (1)", "SELECT nothing FROM t", ("SELECT ?",), ("SELECT ?", 1, 2), "INSERT INTO t (id, must) VALUES (1, NULL)",
    "SELECT 1; SELECT 2", "INSERT INTO t (id, must) VALUES (1, 2); DELETE FROM t",
], ids=str)
def test_wrong_statements(store, statement):
    store.made("CREATE TABLE t (id INTEGER PRIMARY KEY, must INTEGER NOT NULL)", "INSERT INTO t VALUES (5, 5)")
    result = store.write(statement)
    assert result["refused"] == EINVAL if "refused" in result else (result.error == EINVAL and result.reason), result
    assert store.read("SELECT id FROM t").rows == [[5]]
    # The others in the same commit are not hurt.
    done = store.flood(20, ("INSERT INTO t VALUES (?, 1)", INDEX))
    assert {number for error, number in done if error} == {5}


def test_a_read_cannot_change_anything(store):
    store.made(TABLE, "INSERT INTO t (id) VALUES (1)")
    for sql in ("DELETE FROM t", "UPDATE t SET big = 1", "INSERT INTO t (id) VALUES (2)", "DROP TABLE t"):
        result = store.read(sql)
        assert result.error < 0 and result.reason, (sql, result)
        assert store.read("SELECT id, big FROM t").rows == [[1, None]]
    assert store.write("INSERT INTO t (id) VALUES (2)").error == 0


# ---- limits ----


def test_more_rows_than_a_result_may_have(make):
    store = make(limits="rows = 100; row_bytes = 65536;")
    store.made(TABLE)
    assert all(error == 0 for error, _ in store.flood(300, ("INSERT INTO t (id, text_) VALUES (?, ?)", INDEX, "y" * 500)))
    assert len(store.read("SELECT id FROM t LIMIT 100").rows) == 100
    for sql in ("SELECT id FROM t LIMIT 101", "SELECT id FROM t", "SELECT t.id FROM t, t AS u, t AS v LIMIT 100000",
                "SELECT text_, text_, text_ FROM t LIMIT 90"):
        for ask in (store.read, store.write):
            result = ask(sql)
            assert (result.error, result.rows) == (ELIMIT, []), (sql, result)
    # Afterwards all goes on over the same connections, and nothing of the transaction was done.
    opened = store.counter("links_opened")
    assert store.write("INSERT INTO t (id) VALUES (999)", "SELECT id FROM t").error == ELIMIT
    assert store.read("SELECT COUNT(*) FROM t").value == 300
    assert store.counter("links_opened") == opened


def test_too_much_waits(make):
    store = make(limits="queue = 100;")
    store.made(TABLE)
    done = store.flood(2000, ("INSERT INTO t (id) VALUES (?)", INDEX))
    good = sorted(number for error, number in done if error == 0)
    assert {error for error, _ in done} == {0, ELIMIT} and len(good) >= 100
    assert [row[0] for row in store.read("SELECT id FROM t ORDER BY id").rows] == good
    assert store.counter("refused") == 2000 - len(good)


def test_too_many_bytes_wait(make):
    store = make(limits="queue_bytes = 1048576;")
    store.made(TABLE)
    assert store.write(("INSERT INTO t (id, text_) VALUES (1, ?)", fill(2 << 20)))["refused"] == ELIMIT
    assert store.write(("INSERT INTO t (id) VALUES (1)")).error == 0


def test_more_statements_than_are_kept(make):
    store = make(limits="statements = 8;")
    store.made(TABLE, "INSERT INTO t (id) VALUES (1)")
    for _ in range(2):
        for n in range(40):
            assert store.read(f"SELECT id + {n} FROM t").value == 1 + n
            assert store.write(f"UPDATE t SET big = {n}").changed == [1]


# ---- tables ----


def test_migrations_run_once_and_in_order(make):
    store = make()
    first = (1, "CREATE TABLE IF NOT EXISTS m (id INTEGER PRIMARY KEY)", "INSERT INTO m VALUES (1)")
    second = (5, "ALTER TABLE m ADD COLUMN name VARCHAR(20)", "UPDATE m SET name = 'old'")
    assert store.migrate("one", first).error == 0
    assert store.migrate("one", first).error == 0
    assert store.read("SELECT id FROM m").rows == [[1]]
    store.stop()
    store = make()
    assert store.migrate("one", first, second).error == 0
    assert store.migrate("other", (1, "CREATE TABLE m2 (id INTEGER)")).error == 0
    assert store.read("SELECT id, name FROM m").rows == [[1, "old"]]
    assert store.read("SELECT owner, version FROM muster_migrations ORDER BY owner, version").rows == [["one", 1], ["one", 5], ["other", 1]]
    store.stop()
    # An older program does not touch what a newer one made.
    store = make()
    result = store.migrate("one", first)
    assert result.error < 0 and "older" in result.reason, result
    assert store.write("INSERT INTO m (id) VALUES (2)").error == EUNAVAILABLE, "it works on tables that it does not know"
    assert store.migrate("other", (1, "CREATE TABLE m2 (id INTEGER)"), desk="desk_b").error == 0
    assert store.read("SELECT COUNT(*) FROM m", desk="desk_b").value == 1, "others are not concerned"


def test_versions_out_of_order(store):
    assert store.migrate("one", (2, "CREATE TABLE a (id INTEGER)"), (2, "CREATE TABLE b (id INTEGER)"))["refused"] == EINVAL
    assert store.migrate("one", (0, "CREATE TABLE a (id INTEGER)"))["refused"] == EINVAL


def test_a_wrong_step(store):
    result = store.migrate("bad", (1, "CREATE TABLE good (id INTEGER)"), (2, "CREATE TABEL bad (id INTEGER)"))
    assert result.error == EINVAL and result.reason, result
    store.logged("could not be brought to version 2")
    assert store.write("INSERT INTO good VALUES (1)").error == EUNAVAILABLE
    assert store.read("SELECT version FROM muster_migrations WHERE owner = 'bad'", desk="desk_b").rows == [[1]]


def test_what_is_asked_waits_for_the_tables(store):
    results = {}

    def migrate():
        results["migrate"] = store.migrate("big", *((n, f"CREATE TABLE big{n} (id INTEGER)") for n in range(1, 16)))

    def insert():
        results["insert"] = store.write("INSERT INTO big15 VALUES (1)")

    first = threading.Thread(target=migrate)
    first.start()
    eventually(lambda: "migrate" in results or store.read("SELECT MAX(version) FROM muster_migrations", desk="desk_b").error == 0)
    second = threading.Thread(target=insert)
    second.start()
    first.join()
    second.join()
    assert results["migrate"].error == 0 and results["insert"].error == 0, results


def test_two_processes_make_the_same_tables(make):
    stores = [make(), make()]
    steps = [(n, f"CREATE TABLE two{n} (id INTEGER PRIMARY KEY)", f"INSERT INTO two{n} VALUES (1)") for n in range(1, 9)]
    results = []
    threads = [threading.Thread(target=lambda s=s: results.append(s.migrate("two", *steps))) for s in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.error for result in results] == [0, 0], results
    assert stores[0].read("SELECT COUNT(*) FROM muster_migrations").value == 8
    assert all(stores[1].read(f"SELECT COUNT(*) FROM two{n}").value == 1 for n in range(1, 9))


# ---- coming and going ----


def test_what_was_asked_is_done_though_the_plugin_is_taken_away(make):
    store = make(limits="queue = 200000; wait = 60.0;")
    store.made(TABLE)
    log = store.server.log_path
    with make.locked(store), store.flooding(20000, ("INSERT INTO t (id) VALUES (?)", INDEX)) as link:
        store.desks = ("desk_b",)
        store.server.reload(store.server.text(store.plugins()))
        with contextlib.suppress(OSError):  # the desk answers no more
            assert link.getresponse().status != 200
    eventually(lambda: store.read("SELECT COUNT(*) FROM t", desk="desk_b").value == 20000, 60)
    assert "rror" not in log.read_text()


def test_a_stop_carries_out_what_waits(make):
    store = make(limits="queue = 50000;")
    store.made(TABLE)
    with store.flooding(20000, ("INSERT INTO t (id) VALUES (?)", INDEX)):
        store.server.process.terminate()
        store.server.process.wait(20)
    log = store.server.log
    count = make().read("SELECT COUNT(*) FROM t").value
    assert count == 20000 or (count > 0 and "were not carried out in the time that a stop has" in log), (count, log)
