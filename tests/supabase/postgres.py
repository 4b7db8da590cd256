# SPDX-License-Identifier: ISC
"""A real PostgreSQL of the tests' own: its own folder, its own port, never the system's cluster."""
import ctypes
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg2
from psycopg2 import sql as compose

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))
from ports import free_port  # noqa: E402, F401
libc = ctypes.CDLL(None, use_errno=True)
SETTINGS = {
    "listen_addresses": "127.0.0.1", "fsync": "off", "full_page_writes": "off",
    "shared_buffers": "32MB", "max_connections": "200", "wal_level": "logical", "max_wal_senders": "20",
    "max_replication_slots": "20", "wal_keep_size": "0", "max_wal_size": "256MB", "autovacuum": "off", "timezone": "UTC",
    "log_min_messages": "warning", "jit": "off", "lc_messages": "C",
}


def binaries():
    """The folder of PostgreSQL's programs: Debian's newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    assert found, "PostgreSQL is missing: apt-get install postgresql"
    return found[-1].parent


class Postgres:
    """with Postgres() as postgres: db = postgres.database(); db.sql("select 1")"""

    def __init__(self):
        self.bin = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="muster-pg-", dir="/tmp"))  # short: a socket's path has 107 bytes
        self.data, self.log_path = self.folder / "data", self.folder / "log"
        self.port = free_port()
        self.process = None
        self.numbers = itertools.count(1)
        self.account = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            for name in ("postgres", "nobody"):
                try:
                    self.account = pwd.getpwnam(name)
                    break
                except KeyError:
                    continue
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)

    def _as(self):
        """How a child becomes the unprivileged user."""
        if not self.account:
            return {}
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}

    def _run(self, program, *arguments):
        done = subprocess.run([self.bin / program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder,
                              text=True, **self._as())
        assert done.returncode == 0, f"{program}:\n{done.stdout}"

    def __enter__(self):
        try:
            self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
                      "--no-instructions")
            self.start()
            with self._connect("template1") as connection, connection.cursor() as cursor:
                cursor.execute((HERE / "roles.sql").read_text())
            connection.close()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connect(self, database="postgres", user="postgres", **more):
        return psycopg2.connect(host=str(self.folder), port=self.port, dbname=database, user=user, **more)

    def start(self):
        """Starts and waits until it answers; the same port every time."""
        assert not self.running()
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]  # a second try needs them again
        deadline = time.monotonic() + 30
        while True:
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    [self.bin / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.folder, *settings], stdout=log, stderr=log,
                    stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True,
                    preexec_fn=lambda: libc.prctl(1, signal.SIGQUIT), **self._as())  # 1: PR_SET_PDEATHSIG, it ends with the tests
            while self.process.poll() is None:
                try:
                    self._connect().close()
                    return
                except psycopg2.OperationalError:
                    assert time.monotonic() < deadline, f"PostgreSQL does not answer:\n{self.log}"
                    time.sleep(0.02)
            # After a kill the last children may still hold the shared memory.
            assert time.monotonic() < deadline, f"PostgreSQL does not start:\n{self.log}"
            time.sleep(0.1)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def _end(self, number):
        if self.running():
            self.process.send_signal(number)
            self.process.wait(30)
        self.process = None

    def stop(self):
        """A fast shutdown: every client is told and thrown out."""
        self._end(signal.SIGINT)

    def kill(self):
        """As a crash: SIGKILL to the postmaster and to its children."""
        if not self.running():
            self.process = None
            return
        pid = self.process.pid
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            children = []
        self._end(signal.SIGKILL)
        for child in children:
            try:
                os.kill(int(child), signal.SIGKILL)
            except ProcessLookupError:
                continue

    def restart(self):
        self.stop()
        self.start()

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def database(self, *scripts):
        """A fresh database with a Supabase project's roles, and these SQL texts or files run in it."""
        made = Database(self, f"t{next(self.numbers)}")
        for script in scripts:
            made.sql(script.read_text() if isinstance(script, Path) else script)
        return made

    def _admin(self, statement):
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()


class Database:
    """One database of the cluster, used as its superuser."""

    def __init__(self, postgres, name):
        self.postgres, self.name = postgres, name
        self.connection = None
        postgres._admin(compose.SQL("create database {}").format(compose.Identifier(name)))

    def dsn(self, user="postgres"):
        """For libpq: over TCP, as a server elsewhere would be reached."""
        return f"host=127.0.0.1 port={self.postgres.port} dbname={self.name} user={user}"

    def uri(self, user="postgres"):
        return f"postgresql://{user}@127.0.0.1:{self.postgres.port}/{self.name}"

    def connect(self, user="postgres", **more):
        return self.postgres._connect(self.name, user, **more)

    def sql(self, text, *values):
        """Runs and commits it. The rows as tuples, or how many rows it touched."""
        if self.connection is None or self.connection.closed:
            self.connection = self.connect()
            self.connection.autocommit = True
        with self.connection.cursor() as cursor:
            cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else cursor.rowcount

    def value(self, text, *values):
        return self.sql(text, *values)[0][0]

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        deadline = time.monotonic() + 10
        while self.postgres.running():
            try:
                self.postgres._admin(compose.SQL("drop database if exists {} with (force)").format(compose.Identifier(self.name)))
                return
            except psycopg2.errors.ObjectInUse:  # the end of Realtime's decoding takes a moment
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    # ---- rows of schema.sql ----

    def add_user(self, apikey, id=None, table="users", **columns):
        """Inserts a user; its id as text."""
        columns = {"apikey": apikey, **({"id": id} if id is not None else {}), **columns}
        return str(self._insert(table, columns))

    def add_machine(self, user_id, id=None, table="machines", **columns):
        columns = {"user_id": user_id, **({"id": id} if id is not None else {}), **columns}
        return str(self._insert(table, columns))

    def _insert(self, table, columns):
        names = compose.SQL(", ").join(map(compose.Identifier, columns))
        places = compose.SQL(", ").join([compose.Placeholder()] * len(columns))
        statement = compose.SQL("insert into {} ({}) values ({}) returning id").format(compose.Identifier(table), names, places)
        return self.value(statement, *columns.values())

    def remove(self, table, id):
        """Deletes a row; how many there were."""
        return self.sql(compose.SQL("delete from {} where id = %s").format(compose.Identifier(table)), id)
