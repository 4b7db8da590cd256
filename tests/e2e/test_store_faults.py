# SPDX-License-Identifier: ISC
"""Databases that fail: nothing that was acknowledged is lost, nothing that was refused is there, and the loop never waits."""
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import threading
import time
import urllib.request

import pymysql
import pytest

from conftest import BUILD, Program, Server, eventually
from processor import starved
from stores import EEXIST, EINVAL, EIO, EUNAVAILABLE, INDEX, KINDS, Store, Writers, fill

TABLE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(100), text_ TEXT)"
QUICK = "run = 1.0; wait = 1.0;"


@pytest.fixture
def started(tmp_path):
    """A function that starts a server with a store of the kind; all must stop well at the end."""
    made = []

    def start(kind, **how):
        store = Store(kind, tmp_path / f"store{len(made)}", **how).start()
        made.append(store)
        return store

    yield start
    for store in made:
        if store.server.process.returncode is None:
            store.stop()


@pytest.fixture
def over(started, mariadb_database):
    """A store over MariaDB."""
    def start(**how):
        return started("mariadb", **{"url": mariadb_database.url(), **how})
    start.database = mariadb_database
    return start


class Prober:
    """Asks the server for something that needs no database, all the time: the loop does not wait."""

    def __init__(self, store):
        self.url, self.pid, self.slowest, self.count = f"{store.server.http}/test/counters", store.server.pid, 0, 0
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.ending.wait(0.02):
            began, waited = time.monotonic(), starved(self.pid, "thread-self")
            with urllib.request.urlopen(self.url, timeout=10) as answer:
                answer.read()
            took = time.monotonic() - began - (starved(self.pid, "thread-self") - waited)
            self.slowest, self.count = max(self.slowest, took), self.count + 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(15)
        assert self.count > 0 and self.slowest < 2, f"{self.count} answers, the slowest after {self.slowest:.2f} s"


def ids(store):
    return [row[0] for row in eventually(lambda: (lambda r: r.error == 0 and r)(store.read("SELECT id FROM t")), 30).rows]


# ---- the process dies ----


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_kill_minus_9_of_musterd(kind, started, mariadb_database, tmp_path):
    store = started(kind, url=mariadb_database.url() if kind == "mariadb" else None, path=tmp_path / "m.db")
    store.made(TABLE)
    with Writers(store) as writers:
        for _ in range(6):
            time.sleep(random.uniform(0.1, 0.5))
            store.kill()
            store.start()
        time.sleep(0.3)
    writers.judge(ids(store))


# ---- MariaDB dies, and comes back ----


@pytest.mark.slow
def test_kill_minus_9_of_mariadbd(started, own_mariadb):
    database = own_mariadb.database()
    store = started("mariadb", url=database.url())
    store.made(TABLE)
    with Writers(store) as writers, Prober(store):
        for _ in range(5):
            time.sleep(random.uniform(0.2, 0.6))
            own_mariadb.kill()
            time.sleep(random.uniform(0, 0.3))
            own_mariadb.start()
        count = len(writers.acked)
        eventually(lambda: len(writers.acked) > count + 20, 15)
    writers.judge([row[0] for row in database.sql("SELECT id FROM t")])
    assert "cannot be used now" in store.server.log and "can be used again" in store.server.log


@pytest.mark.slow
def test_mariadbd_is_away_for_longer_than_anybody_waits(started, own_mariadb):
    database = own_mariadb.database()
    store = started("mariadb", url=database.url(), limits=QUICK)
    store.made(TABLE)
    own_mariadb.stop()
    with Prober(store):
        began = time.monotonic()
        result = store.write("INSERT INTO t (id) VALUES (1)")
        assert result.error == EUNAVAILABLE and result.reason and time.monotonic() - began < 10, result
        assert store.read("SELECT 1").error == EUNAVAILABLE
        assert {error for error, _ in store.flood(500, ("INSERT INTO t (id) VALUES (?)", INDEX))} == {EUNAVAILABLE}
        time.sleep(3)
        own_mariadb.start()
        eventually(lambda: store.write(("INSERT INTO t (id) VALUES (?)", 1000)).error in (0, EEXIST), 10)
    assert [row[0] for row in database.sql("SELECT id FROM t")] == [1000], "what was refused was done after all"
    assert len(store.server.log.splitlines()) < 40, f"it talks too much:\n{store.server.log}"


@pytest.mark.slow
def test_it_starts_without_its_database(started, own_mariadb):
    database = own_mariadb.database()
    own_mariadb.stop()
    store = started("mariadb", url=database.url(), limits="wait = 2.0;")
    results = []
    waiting = threading.Thread(target=lambda: results.append(store.migrate("late", (1, "CREATE TABLE late (id INTEGER)"))))
    waiting.start()
    assert store.read("SELECT 1", desk="desk_b").error == EUNAVAILABLE
    store.logged("cannot be used now")
    own_mariadb.start()
    waiting.join(30)
    assert results and results[0].error == 0, results
    assert store.write("INSERT INTO late VALUES (1)").error == 0


@pytest.mark.slow
def test_mariadbd_stands_still(started, own_mariadb):
    """SIGSTOP: connections stay, and nobody answers."""
    database = own_mariadb.database()
    store = started("mariadb", url=database.url(connect_timeout=1), limits=QUICK)
    store.made(TABLE)
    with Writers(store) as writers, Prober(store):
        for seconds in (0.5, 6):
            time.sleep(0.5)
            own_mariadb.pause()
            time.sleep(seconds)
            own_mariadb.resume()
            count = len(writers.acked)
            eventually(lambda count=count: len(writers.acked) > count + 20, 15)
    assert writers.slowest < 25, writers.slowest
    writers.judge([row[0] for row in database.sql("SELECT id FROM t")])


@pytest.mark.slow
def test_a_stop_while_mariadbd_stands_still(started, own_mariadb):
    store = started("mariadb", url=own_mariadb.database().url())
    store.made(TABLE)
    own_mariadb.pause()
    threading.Thread(target=lambda: pytest.raises(Exception, store.write, "INSERT INTO t (id) VALUES (1)"), daemon=True).start()
    time.sleep(0.3)
    store.stop()  # in time
    own_mariadb.resume()


def test_connections_that_the_server_closes(over):
    """By an administrator, or because they did nothing for long: nobody notices."""
    store, database = over(limits="readers = 1;"), over.database
    store.made(TABLE)
    for n in range(6):
        for (id,) in database.sql("SELECT id FROM information_schema.processlist WHERE db = %s AND id <> CONNECTION_ID()", database.name):
            try:
                database.sql(f"KILL {id}")
            except pymysql.MySQLError:
                continue
        result = store.write((f"INSERT INTO t (id) VALUES ({n})"))
        assert result.error == 0, result
        assert store.read("SELECT COUNT(*) FROM t").value == n + 1
    assert store.counter("links_opened") >= 6


# ---- locks ----


@pytest.mark.slow
def test_a_row_that_others_hold(over):
    store, database = over(), over.database
    store.made(TABLE, "INSERT INTO t (id, name) VALUES (1, 'a')")
    other = database.connect()
    with other.cursor() as cursor:
        cursor.execute("START TRANSACTION")
        cursor.execute("UPDATE t SET name = 'other' WHERE id = 1")
        threading.Timer(3.5, lambda: other.commit()).start()  # longer than one wait for a lock
        began = time.monotonic()
        result = store.write({"sql": "UPDATE t SET name = CONCAT(name, '+') WHERE id = 1", "expect": 1})
    assert result.error == 0 and time.monotonic() - began > 3, result
    assert database.value("SELECT name FROM t WHERE id = 1") == "other+"
    other.close()


@pytest.mark.slow
def test_a_table_that_others_have_locked(over):
    store, database = over(limits="wait = 2.0; run = 3.0;"), over.database
    store.made(TABLE)
    other = database.connect()
    with other.cursor() as cursor, Prober(store):
        cursor.execute("LOCK TABLES t WRITE")
        result = store.write("INSERT INTO t (id) VALUES (1)")
        assert result.error == EUNAVAILABLE and result.reason, result
        assert store.read("SELECT * FROM t").error == EUNAVAILABLE
        assert store.read("SELECT 1").error == 0
        cursor.execute("UNLOCK TABLES")
        assert store.write("INSERT INTO t (id) VALUES (2)").error == 0
    assert [row[0] for row in database.sql("SELECT id FROM t")] == [2], "what was refused was done after all"
    other.close()


@pytest.mark.slow
def test_deadlocks_are_tried_again(over):
    store, database = over(), over.database
    store.made(TABLE, "INSERT INTO t (id, name) VALUES (1, ''), (2, ''), (3, '')")
    before = int(database.sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")[0][1])
    ending, others = threading.Event(), []

    def contend():
        connection = database.connect()
        with connection.cursor() as cursor:
            while not ending.is_set():
                try:
                    cursor.execute("START TRANSACTION")
                    cursor.execute("UPDATE t SET name = 'x' WHERE id = 2")
                    time.sleep(0.02)
                    # It has changed more, so that the server's victim is mostly the other one.
                    cursor.execute("UPDATE t SET text_ = CONCAT(COALESCE(text_, ''), 'x'), name = 'x' WHERE id IN (3, 1)")
                    cursor.execute("COMMIT")
                except pymysql.MySQLError as error:
                    others.append(error)
                    cursor.execute("ROLLBACK")
        connection.close()

    thread = threading.Thread(target=contend)
    thread.start()
    try:
        def deadlocked():
            result = store.write("UPDATE t SET name = 'm' WHERE id = 1", "UPDATE t SET name = 'm' WHERE id = 2")
            assert result.error == 0, result
            return int(database.sql("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")[0][1]) > before + len(others)
        eventually(deadlocked, 30, 0)
    finally:
        ending.set()
        thread.join()


@pytest.mark.slow
def test_a_statement_that_takes_too_long(over):
    store = over(limits="run = 1.0; wait = 5.0;")
    store.made(TABLE)
    for ask in (store.read, store.write):
        began = time.monotonic()
        result = ask("SELECT SLEEP(20)")
        assert result.error == EUNAVAILABLE and "too slow" in result.reason, result
        assert time.monotonic() - began < 15
    result = store.write("INSERT INTO t (id) VALUES (1)", "INSERT INTO t (id) SELECT COUNT(*) FROM seq_1_to_100000 AS a, seq_1_to_100000 AS b "
                         "WHERE a.seq * b.seq % 7 = 1")
    assert result.error == EUNAVAILABLE and "too slow" in result.reason, result
    assert store.read("SELECT COUNT(*) FROM t").value == 0


# ---- wrong, missing, forbidden ----


@pytest.mark.parametrize("what", ["password", "user", "database", "port", "name"])
def test_what_is_wrong_is_said(over, what):
    database = over.database
    wrong = {"password": {"password": "p@ss:wrong"}, "user": {"user": "stranger"}, "port": {"port": 1}, "name": {"host": "no-such-host.invalid"}}
    url = database.mariadb.url("not_there") if what == "database" else database.url(**wrong[what])
    store = over(url=url, limits=QUICK)
    result = store.read("SELECT 1")
    assert result.error == EUNAVAILABLE, result
    said = {"password": "Access denied for user 'muster'", "user": "Access denied for user 'stranger'", "database": "Unknown database 'not_there'",
            "port": "Can't connect to server", "name": "no-such-host.invalid"}[what]
    store.logged(said)
    store.judge()
    if what == "database":  # it is made while we run
        database.mariadb.admin("CREATE DATABASE not_there")
        try:
            eventually(lambda: store.read("SELECT 1").error == 0, 10)
        finally:
            database.mariadb.admin("DROP DATABASE not_there")


@pytest.mark.parametrize("url, said", [
    ("postgres://u:p%40ss@h/x", "it must begin with mysql://"), ("mysql://u:p%40ss@h", "it names no database"),
    ("mysql://u:p@ss/w@h/x", "must be percent-encoded"), ("mysql://u:p%40ss@h:/", "it names no database"), ("mysql://u:p%40ss@h/x?sslaccept=maybe", "it has a bad sslaccept"),
])
def test_a_wrong_address_is_refused_at_the_start(tmp_path, url, said):
    conf = tmp_path / "musterd.conf"
    conf.write_text(f'plugin_dirs = [ "{BUILD}/lib/muster/plugins" ];\nlisten = ( {{ port = 0; }} );\n'
                    'plugins = ( { name = "store_mariadb"; config = { url = "env:DATABASE_URL"; }; } );\n')
    conf.chmod(stat.S_IRUSR | stat.S_IWUSR)
    done = subprocess.run([BUILD / "bin" / "musterd", "-c", conf, "--check-config"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env={**os.environ, "DATABASE_URL": url})
    assert done.returncode != 0 and said in done.stdout and f"{conf}:3" in done.stdout, done.stdout
    assert "ss" not in done.stdout.replace("percent-encoded", "").replace("password", "").replace("address", "").replace("ssl", "")


def test_an_address_with_the_released_servers_parameters(over):
    store = over(url=over.database.url(connection_limit=5, pool_timeout=2, connect_timeout=3, socket_timeout=9, schema="x"))
    assert store.read("SELECT 1").value == 1
    warnings = [line for line in store.server.log.splitlines() if "warning" in line]
    assert len(warnings) == 1 and "connection_limit, pool_timeout, schema" in warnings[0], warnings


def test_by_its_socket(over):
    database = over.database
    database.mariadb.admin("GRANT ALL ON *.* TO muster@'localhost' IDENTIFIED BY %s", "local")
    try:
        store = over(url=database.url(password="local", host="localhost", port=1, socket=database.mariadb.socket))
        assert store.read("SELECT 1").value == 1
    finally:
        database.mariadb.admin("DROP USER muster@'localhost'")


def test_an_account_that_may_just_enough(over):
    """The rights that the README asks for, and a server that becomes read-only and back."""
    database = over.database
    database.mariadb.admin("CREATE USER lean@'%%' IDENTIFIED BY 'lean-p@ss:w'")
    database.mariadb.admin(f"GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX, REFERENCES, DROP ON {database.name}.* TO lean@'%%'")
    try:
        store = over(url=database.url(user="lean", password="lean-p@ss:w"), limits="wait = 2.0;")
        assert store.migrate("lean", (1, "CREATE TABLE p (id INTEGER PRIMARY KEY)", TABLE,
                                      "CREATE TABLE c (id INTEGER, CONSTRAINT fk FOREIGN KEY (id) REFERENCES p (id))", "CREATE INDEX i ON c (id)")).error == 0
        assert store.write("INSERT INTO t (id) VALUES (1)", "UPDATE t SET name = 'x'").error == 0
        database.sql("SET GLOBAL read_only = 1")
        result = store.write("INSERT INTO t (id) VALUES (2)")
        assert result.error == EUNAVAILABLE and "read-only" in result.reason, result
        assert store.read("SELECT COUNT(*) FROM t").value == 1
        database.sql("SET GLOBAL read_only = 0")
        eventually(lambda: store.write("INSERT INTO t (id) VALUES (3)").error == 0, 10)
        result = store.read("SELECT * FROM mysql.user")
        assert result.error == EINVAL and "denied" in result.reason, result
    finally:
        database.sql("SET GLOBAL read_only = 0")
        database.mariadb.admin("DROP USER lean@'%%'")


def test_values_that_do_not_fit(over):
    store, database = over(), over.database
    store.made("CREATE TABLE f (id INTEGER PRIMARY KEY, short VARCHAR(3), small TINYINT, kind ENUM('a', 'b'), at DATETIME(3), r DOUBLE)")
    for column, value in (("short", "long"), ("small", 1000), ("kind", "c"), ("short", {"bytes": 1}), ("at", {"ms": 2**62}), ("at", {"ms": -2**62}),
                          ("r", {"nan": 1}), ("small", "x"), ("at", "yesterday")):
        result = store.write((f"INSERT INTO f (id, {column}) VALUES (1, ?)", value))
        assert result.error == EINVAL and result.reason, (column, value, result)
    assert store.read("SELECT * FROM f").rows == []


def test_a_text_that_the_server_does_not_take(started, own_mariadb):
    own_mariadb.stop()
    own_mariadb.settings["max-allowed-packet"] = "1M"
    own_mariadb.start()
    store = started("mariadb", url=own_mariadb.database().url())
    store.made("CREATE TABLE b (id INTEGER PRIMARY KEY, t LONGTEXT)")
    result = store.write(("INSERT INTO b VALUES (1, ?)", fill(3 << 20)))
    assert result.error == EINVAL and "max_allowed_packet" in result.reason, result
    assert store.write(("INSERT INTO b VALUES (1, ?)", fill(900_000))).error == 0
    opened = store.counter("links_opened")
    # What became too long by itself.
    result = store.write("UPDATE b SET t = REPEAT(t, 3)")
    assert result.error == EINVAL and store.counter("links_opened") == opened, result


def test_foreign_types(over):
    """What other programs' tables have."""
    store, database = over(), over.database
    database.sql("CREATE TABLE f (d DATE, ts TIMESTAMP NULL, t TIME, y YEAR, dec2 DECIMAL(10,2), dec0 DECIMAL(18,0), wide DECIMAL(30,0), b BIT(9), e ENUM('a','b'), "
                 "s SET('x','y'), j JSON, u BIGINT UNSIGNED, ub BIGINT UNSIGNED, blob_ BLOB, f FLOAT, tiny TINYINT UNSIGNED, old DATETIME)")
    database.sql("SET sql_mode = ''")
    database.sql("INSERT INTO f VALUES ('2026-11-21', '2026-11-21 07:47:22', '12:00:00', 2026, 12.34, 42, 123456789012345678901234567890, b'100000001', 'b', 'x,y', "
                 "'{\"a\": 1}', 5, 18446744073709551615, 'bytes', 0.5, 255, '0000-00-00 00:00:00')")
    result = store.read("SELECT d, ts, t, y, dec2, dec0, wide, b, e, s, j, u, ub, blob_, f, tiny, old FROM f")
    assert result.rows == [[{"ms": 1795219200000}, {"ms": 1795247242000}, "12:00:00", 2026, 12.34, 42, 1.2345678901234568e29, 257, "b", "x,y", '{"a": 1}', 5,
                            18446744073709551615.0, "bytes", 0.5, 255, None]], result


def test_the_released_tables(started, released_database):
    store = started("mariadb", url=released_database.url())
    result = store.read("SELECT u.username, u.is_admin, u.banned_at, u.banned_reason, e.forwarding_mode FROM users u LEFT JOIN endpoints e ON e.user_id = u.id "
                        "WHERE u.username = ?", "CAROL")
    assert result.rows == [["carol", 0, {"ms": 1775044800250}, "滥用 😀", "JSON"]]
    result = store.write(("INSERT INTO devices (id, endpoint_id, device_id, custom_name) VALUES ('x', '3b37791c-27af-4ba5-8773-980824ce0002', ?, 'n')", "probe-1"))
    assert (result.error, result.key) == (EEXIST, "devices.device_id"), result


# ---- TLS ----


@pytest.mark.slow
def test_tls(started, certificates, tmp_path_factory, over):
    from mariadb import MariaDB
    from rig import make_certificates
    other = make_certificates(tmp_path_factory.mktemp("other"))
    strangers = make_certificates(tmp_path_factory.mktemp("strangers"), names=("DNS:elsewhere.example",))
    with MariaDB(tls=certificates) as own:
        database = own.database()

        def cipher(url=None, more=""):
            store = started("mariadb", url=url or database.url(), limits=QUICK, more=more)
            result = store.read("SHOW STATUS LIKE 'Ssl_cipher'")
            return result.rows[0][1] if result.error == 0 else result
        assert cipher(more=f'tls = "verified"; ca_file = "{certificates.ca}";').startswith("TLS_")
        assert cipher(more='tls = "unverified";').startswith("TLS_")
        assert cipher(database.url(sslaccept="accept_invalid_certs")).startswith("TLS_")
        assert cipher(database.url(sslcert=str(certificates.ca))).startswith("TLS_")
        assert cipher(database.url(sslcert=str(certificates.ca), host="localhost")).startswith("TLS_")
        assert cipher() == ""
        assert cipher(more=f'tls = "verified"; ca_file = "{other.ca}";').error == EUNAVAILABLE, "anybody may be the server"
        assert cipher(more='tls = "verified";').error == EUNAVAILABLE, "the system's authorities do not know this one"
    with MariaDB(tls=strangers) as own:
        store = started("mariadb", url=own.database().url(), limits=QUICK, more=f'tls = "verified"; ca_file = "{strangers.ca}";')
        assert store.read("SELECT 1").error == EUNAVAILABLE, "the certificate is another server's"
    store = over(more='tls = "unverified";', limits=QUICK)
    assert store.read("SELECT 1").error == EUNAVAILABLE, "not encrypted"


# ---- SQLite ----


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=0700", "muster-test", folder], capture_output=True).returncode != 0:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
def test_a_full_disk(started, small_disk):
    store = started("sqlite", path=small_disk / "m.db", limits="wait = 3.0;")
    store.made(TABLE)
    acked, refused = [], []
    with Prober(store):
        for id in range(1, 200):
            result = store.write(("INSERT INTO t (id, text_) VALUES (?, ?)", id, fill(100_000)))
            (acked if result.error == 0 else refused).append(id)
            if result.error:
                assert result.error in (EIO, EUNAVAILABLE) and "full" in result.reason, result
            if len(refused) == 5:
                break
        assert len(acked) > 5 and len(refused) == 5
        assert [row[0] for row in store.read("SELECT id FROM t ORDER BY id").rows] == acked, "reads go on"
        # There is room again.
        assert subprocess.run(["mount", "-o", "remount,size=64m", small_disk]).returncode == 0
        eventually(lambda: store.write(("INSERT INTO t (id, text_) VALUES (1000, ?)", fill(100_000))).error == 0, 10)
    store.kill()
    store.start()
    assert [row[0] for row in store.read("SELECT id FROM t ORDER BY id").rows] == [*acked, 1000]


def refuses(tmp_path, path):
    """What musterd says of a file that it cannot use; it did not change the file."""
    before = path.read_bytes() if path.is_file() else None
    store = Store("sqlite", tmp_path / "refusing", path=path)
    store.folder.mkdir()
    store.server = Server.__new__(Server)
    server = store.server
    server.port, server.more, server.listen = 0, f'plugin_dirs = [ "{BUILD}/lib/muster/plugins", "{BUILD}/tests/plugins" ];', "{ port = 0; }"
    Program.__init__(server, "musterd", store.folder, server.text(store.plugins()))
    server.logged("store_sqlite")
    eventually(lambda: "do not run" in server.log or not server.alive() or "cannot be used" in server.log, 10)
    log = server.log
    server.process.kill()
    server.process.wait()
    assert before is None or path.read_bytes() == before, "the file was changed"
    return log


def test_files_that_are_no_database(tmp_path):
    path = tmp_path / "m.db"
    path.write_bytes(b"This is a letter to my aunt.\n" * 400)
    path.chmod(0o600)
    assert "not a database" in refuses(tmp_path, path)


def test_a_corrupt_database(tmp_path):
    path = tmp_path / "m.db"
    with sqlite3.connect(path) as made:
        made.execute(TABLE)
        made.executemany("INSERT INTO t (id, text_) VALUES (?, ?)", [(n, "x" * 900) for n in range(400)])
    made.close()
    path.chmod(0o600)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096 * 3] + random.Random(1).randbytes(4096 * 20) + whole[4096 * 23:])
    said = refuses(tmp_path, path)
    assert "malformed" in said or "corrupt" in said, said
    shutil.rmtree(tmp_path / "refusing")
    path.write_bytes(whole[:len(whole) // 2])
    said = refuses(tmp_path, path)
    assert "malformed" in said or "corrupt" in said, said


def test_a_folder_that_is_missing(tmp_path):
    said = refuses(tmp_path, tmp_path / "missing" / "m.db")
    assert "missing" in said and "o such file or directory" in said or "does not exist" in said, said


def test_a_read_only_disk(tmp_path, small_disk):
    path = small_disk / "m.db"
    with sqlite3.connect(path) as made:
        made.execute(TABLE)
    made.close()
    path.chmod(0o600)
    assert subprocess.run(["mount", "-o", "remount,ro", small_disk]).returncode == 0
    said = refuses(tmp_path, path)
    assert "read-only" in said or "readonly" in said, said


def test_a_database_that_another_program_locks(started, tmp_path):
    store = started("sqlite", path=tmp_path / "m.db", limits="wait = 2.0;")
    store.made(TABLE)
    other = sqlite3.connect(tmp_path / "m.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with Prober(store):
        assert store.write("INSERT INTO t (id) VALUES (1)").error == EUNAVAILABLE
        assert store.read("SELECT COUNT(*) FROM t").value == 0, "reads go on"
        other.execute("COMMIT")
        assert store.write("INSERT INTO t (id) VALUES (2)").error == 0
    assert ids(store) == [2]
    other.close()
