# SPDX-License-Identifier: ISC
"""A real MariaDB of the tests' own: its own folder, its own port, never the system's server."""
import ctypes
import fcntl
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
from urllib.parse import quote, urlencode

import pymysql

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))
from ports import free_port  # noqa: E402
BUILD = Path(os.environ.get("MUSTER_BUILD", ROOT / "build")).resolve()
libc = ctypes.CDLL(None, use_errno=True)
USER, PASSWORD = "muster", "p@ss:w/rd %41?#ä"  # all that an address must encode
SETTINGS = {
    "bind-address": "127.0.0.1", "skip-name-resolve": None, "character-set-server": "utf8mb4", "collation-server": "utf8mb4_unicode_ci",
    "innodb-log-file-size": "16M", "innodb-buffer-pool-size": "64M", "innodb-flush-method": "nosync", "innodb-use-native-aio": "0",
    "innodb-fast-shutdown": "1", "performance-schema": "OFF", "max-connections": "200", "max-allowed-packet": "96M",
    "default-time-zone": "+05:30",  # not UTC: who forgets the session's time zone is found out
}


def program(name):
    found = shutil.which(name, path=f"/usr/sbin:/usr/bin:{os.environ.get('PATH', '')}")
    assert found, f"{name} is missing: apt-get install mariadb-server"
    return found


class MariaDB:
    """with MariaDB() as mariadb: db = mariadb.database(); db.sql("select 1")

    settings: more of mariadbd's options, {"ssl-ca": …}. tls: certificates of make_certificates().
    """

    def __init__(self, tls=None, **settings):
        self.folder = Path(tempfile.mkdtemp(prefix="muster-my-", dir="/tmp"))  # short: a socket's path has 107 bytes
        self.data, self.log_path, self.socket = self.folder / "data", self.folder / "log", self.folder / "s"
        self.port = free_port()
        self.process = None
        self.numbers = itertools.count(1)
        self.settings = {**SETTINGS, **{name.replace("_", "-"): value for name, value in settings.items()}}
        self.account = pwd.getpwnam("mysql") if os.geteuid() == 0 else None
        if tls:
            for name in ("ca", "certificate", "key"):
                shutil.copyfile(getattr(tls, name), self.folder / f"{name}.pem")
            self.settings |= {"ssl-ca": self.folder / "ca.pem", "ssl-cert": self.folder / "certificate.pem", "ssl-key": self.folder / "key.pem"}
        self._own(self.folder)

    def _own(self, top):
        """The server does not run as root; what it uses becomes its own."""
        if self.account:
            for path in (top, *top.rglob("*")):
                os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def _as(self):
        """How a child becomes the unprivileged user."""
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []} if self.account else {}

    def _install(self):
        """An empty data folder. It takes seconds to make, so one is kept in the build folder and copied."""
        version = subprocess.run([program("mariadbd"), "--no-defaults", "--version"], capture_output=True, text=True).stdout.split()[2]
        kept = BUILD / f"mariadb-{version}"
        BUILD.mkdir(parents=True, exist_ok=True)
        with open(BUILD / ".mariadb.lock", "w") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            if not kept.exists():
                done = subprocess.run(
                    [program("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}", "--auth-root-authentication-method=normal",
                     "--skip-test-db", "--skip-name-resolve", f"--tmpdir={self.folder}", "--innodb-log-file-size=16M", "--innodb-use-native-aio=0", "--innodb-flush-method=nosync"],
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=self.folder, **self._as())
                assert done.returncode == 0, f"mariadb-install-db:\n{done.stdout}"
                half = kept.with_suffix(f".{os.getpid()}")
                shutil.rmtree(half, ignore_errors=True)
                shutil.copytree(self.data, half)
                half.rename(kept)
                return
        shutil.copytree(kept, self.data)
        self._own(self.data)

    def __enter__(self):
        try:
            self._install()
            self.start()
            self.admin(f"create user {USER}@'%%' identified by %s", PASSWORD)
            self.admin(f"grant all on *.* to {USER}@'%%'")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self, database=None, **more):
        """As its administrator, over the socket."""
        return pymysql.connect(unix_socket=str(self.socket), user="root", database=database, charset="utf8mb4", autocommit=True,
                               init_command="set time_zone = '+00:00', lock_wait_timeout = 20", read_timeout=60, **more)

    def admin(self, statement, *values):
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall()
        finally:
            connection.close()

    def start(self):
        """Starts and waits until it answers; the same port every time."""
        assert not self.running()
        settings = [f"--{name}" if value is None else f"--{name}={value}" for name, value in self.settings.items()]
        deadline = time.monotonic() + 60
        while True:
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    [program("mariadbd"), "--no-defaults", f"--datadir={self.data}", f"--port={self.port}", f"--socket={self.socket}",
                     f"--pid-file={self.folder / 'pid'}", f"--tmpdir={self.folder}",  # /tmp: each that starts deletes the files of the others
                     *settings], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                    start_new_session=True, preexec_fn=lambda: libc.prctl(1, signal.SIGKILL), **self._as())  # 1: PR_SET_PDEATHSIG
            while self.process.poll() is None:
                try:
                    self.connect().close()
                    return
                except pymysql.MySQLError:
                    assert time.monotonic() < deadline, f"MariaDB does not answer:\n{self.log}"
                    time.sleep(0.02)
            assert time.monotonic() < deadline, f"MariaDB does not start:\n{self.log}"
            time.sleep(0.1)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def _end(self, number):
        if self.running():
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(60)
        self.process = None

    def stop(self):
        """An orderly shutdown: every client is thrown out."""
        self._end(signal.SIGTERM)

    def kill(self):
        """As a crash."""
        self._end(signal.SIGKILL)

    def restart(self):
        self.stop()
        self.start()

    def pause(self):
        """It stands still: connections are taken by the kernel, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def url(self, database, user=USER, password=PASSWORD, host="127.0.0.1", port=None, **query):
        """What DATABASE_URL would be."""
        more = f"?{urlencode(query)}" if query else ""
        return f"mysql://{quote(user, safe='')}:{quote(password, safe='')}@{host}:{port or self.port}/{quote(database, safe='')}{more}"

    def database(self, *scripts):
        """A fresh database, and these SQL texts or files run in it."""
        made = Database(self, f"t{next(self.numbers)}")
        for script in scripts:
            made.script(script.read_text() if isinstance(script, Path) else script)
        return made


class Database:
    """One database of the server, used as its administrator."""

    def __init__(self, mariadb, name):
        self.mariadb, self.name = mariadb, name
        self.connection = None
        mariadb.admin(f"create database {name} character set utf8mb4 collate utf8mb4_unicode_ci")

    def url(self, **more):
        """The address for a program under test; see MariaDB.url()."""
        return self.mariadb.url(self.name, **more)

    def connect(self, **more):
        return self.mariadb.connect(self.name, **more)

    def _cursor(self):
        if self.connection is None or not self.connection.open:
            self.connection = self.connect()
        try:
            self.connection.ping()
        except pymysql.MySQLError:
            self.connection = self.connect()
        return self.connection.cursor()

    def sql(self, text, *values):
        """Runs and commits it. The rows as tuples, or how many rows it touched."""
        with self._cursor() as cursor:
            count = cursor.execute(text, values or None)
            return cursor.fetchall() if cursor.description else count

    def value(self, text, *values):
        return self.sql(text, *values)[0][0]

    def script(self, text):
        """Many statements, parted by ";" at the ends of lines."""
        done = subprocess.run([program("mariadb"), "--no-defaults", f"--socket={self.mariadb.socket}", "--user=root",
                               "--default-character-set=utf8mb4", "--init-command=set time_zone='+00:00'", self.name],
                              input=text, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout

    def drop(self):
        if self.connection is not None and self.connection.open:
            self.connection.close()
        if self.mariadb.running():
            self.mariadb.admin(f"drop database if exists {self.name}")
