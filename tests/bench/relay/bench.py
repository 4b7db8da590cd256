# SPDX-License-Identifier: ISC
"""The relay against relays written with Node: messages a second, CPU per message of the server and of its database, memory.

Muster on MariaDB and on SQLite, messages stored; Node `ws` + mysql2 on the same MariaDB, as the released server does it (rival.js "released") and
with no more than one look-up and one insert per message ("lean"); Node `ws` that stores nothing. Used by ../run.py.
"""
import hashlib
import json
import os
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.append(str(ROOT / "tests"))
from ports import free_port  # noqa: E402

ENDPOINTS, USER = 8, "00000000-0000-4000-8000-000000000000"
NODE = shutil.which("node") or shutil.which("nodejs") or "node"
# (title, arguments of bench_relay): closed loop but for the last, whose pace all can hold, so that all store every message.
CASES = [("1 receiver", ["receivers=1"]), ("10 receivers", ["receivers=10"]), ("100 receivers", ["receivers=100"]),
         ("10 receivers, 4 senders", ["receivers=10", "senders=4"]), ("1 receiver, 200 messages/s", ["receivers=1", "rate=200"])]
SHORT = [("10 receivers", ["receivers=10"])]


def pinned(core, *command):
    return ["taskset", "-c", str(core), *map(str, command)] if os.cpu_count() > 1 else list(map(str, command))


def node_modules(build):
    """`ws` and mysql2 as the lock file says; installed once, into the build folder."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = build / f"bench-relay-{hashlib.sha256(lock).hexdigest()[:12]}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(HERE / name, folder / name)
        done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        if done.returncode != 0:
            raise SystemExit(f"npm ci:\n{done.stdout}")
        (folder / "done").touch()
    return folder / "node_modules"


def rows():
    """A user and the endpoints, as (statement, values)."""
    now = time.strftime("%Y-%m-%d %H:%M:%S.000", time.gmtime())
    yield ("INSERT INTO users (id, username, email, password_hash, is_admin, created_at, is_active) VALUES (?, 'bench', 'bench@example.com', 'x', 0, ?, 1)",
           (USER, now))
    for n in range(ENDPOINTS):
        yield ("INSERT INTO endpoints (id, endpoint_id, name, user_id, forwarding_mode, created_at, is_disabled) VALUES (?, ?, 'E', ?, 'DIRECT', ?, 0)",
               (f"00000000-0000-4000-8000-0000000001{n:02}", f"bench-{n:04}", USER, now))


class Server:
    """One program under load: with it: it listens."""
    database = None

    def __init__(self, name):
        self.name = name

    def run(self, *command, env=None):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(pinned(0, *command), stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env={**os.environ, **(env or {})})
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.end()
        self.log.seek(0)
        raise SystemExit(f"{self.name} did not start:\n{self.log.read().decode()}")

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def memory(self):
        """(peak of resident, private dirty now) in MB."""
        status, private = Path(f"/proc/{self.process.pid}/status").read_text(), Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        of = lambda text, name: next(int(line.split()[1]) for line in text.splitlines() if line.startswith(name)) / 1024
        return of(status, "VmHWM:"), of(private, "Private_Dirty:")


class Muster(Server):
    def __init__(self, build, folder, mariadb):
        super().__init__("muster, MariaDB" if mariadb else "muster, SQLite")
        self.build, self.folder, self.mariadb = build, folder, mariadb

    def __enter__(self):
        self.port = free_port()
        at = Path(tempfile.mkdtemp(dir=self.folder))
        if self.mariadb:
            self.database = self.mariadb.database(ROOT / "tests/fixtures/relay/released.sql")
            store = f'{{ name = "store_mariadb"; config = {{ url = "{self.database.url()}"; }}; }}'
        else:
            store = f'{{ name = "store_sqlite"; config = {{ path = "{at}/muster.db"; }}; }}'
        conf = at / "server.conf"
        conf.write_text(f"""listen = ( {{ address = "127.0.0.1"; port = {self.port}; }} );
limits = {{ max_connections = 30000; max_connections_per_peer = 0; connects_per_second = 0; }};
plugins = ( {store}, {{ name = "auth_accounts"; config = {{ jwt_secret = "bench-secret-0123456789-0123456789-0123456789"; password_file = "{at}/password"; }}; }},
  {{ name = "relay"; }} );
""")
        conf.chmod(0o600)
        self.run(self.build / "bin/musterd", "-c", conf)
        if self.mariadb:
            self.insert(lambda: [self.database.sql(text.replace("?", "%s"), *values) for text, values in rows()])
        else:
            self.insert(lambda: self.insert_lite(at / "muster.db"))
        return self

    def insert(self, how):
        """As soon as its tables are there."""
        for _ in range(200):
            try:
                return how()
            except Exception as error:  # noqa: BLE001 - of one driver or the other
                last = error
                time.sleep(0.05)
        raise last

    def insert_lite(self, path):
        with sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=10) as db:
            for text, values in rows():
                db.execute(text, values)
        db.close()

    def __exit__(self, *_):
        self.end()
        if self.database:
            self.database.drop()


class Node(Server):
    def __init__(self, what, modules, mariadb):
        super().__init__({"none": "node ws", "lean": "node, lean", "released": "node, released"}[what])
        self.what, self.modules, self.mariadb = what, modules, mariadb

    def __enter__(self):
        self.port = free_port()
        env = {"NODE_PATH": str(self.modules)}
        if self.mariadb:
            self.database = self.mariadb.database(ROOT / "tests/fixtures/relay/released.sql")
            for text, values in rows():
                self.database.sql(text.replace("?", "%s"), *values)
            env["DATABASE_URL"] = self.database.url()
        self.run(NODE, HERE / "rival.js", self.port, self.what, env=env)
        return self

    __exit__ = Muster.__exit__


def measure(build, server, arguments, seconds):
    with server:
        database = [f"database={server.mariadb.process.pid}"] if server.mariadb else []
        done = subprocess.run(pinned(1, build / "tests/bench_relay", server.port, server.process.pid, f"endpoints={ENDPOINTS}", f"seconds={seconds}",
                                     *database, *arguments), capture_output=True, text=True)
        if done.returncode != 0:
            server.log.seek(0)
            raise SystemExit(f"{server.name}: {done.stderr.strip()}\n{server.log.read().decode()[-2000:]}")
        figures = json.loads(done.stdout)
        figures["rss"], figures["dirty"] = server.memory()
        return figures


def bench(build, rounds, short):
    """Prints the tables."""
    os.environ["MUSTER_BUILD"] = str(build)
    sys.path.insert(0, str(ROOT / "tests/mariadb"))
    from mariadb import MariaDB
    modules = node_modules(build)
    with tempfile.TemporaryDirectory() as folder, MariaDB() as mariadb:
        servers = [Muster(build, folder, mariadb), Muster(build, folder, None),
                   *(Node(what, modules, mariadb) for what in (["released"] if short else ["released", "lean"])), Node("none", modules, None)]
        print(f"\nRelay, {ENDPOINTS} endpoints, 1 KB of JSON: messages a second; CPU microseconds per message of the server and of MariaDB; MB; medians of {rounds}")
        for title, arguments in SHORT if short else CASES:
            got = {server.name: [] for server in servers}
            for turn in range(rounds):
                for server in servers if turn % 2 == 0 else reversed(servers):
                    got[server.name].append(measure(build, server, arguments, 1 if short else 4))
            middle = {name: {key: statistics.median(f[key] for f in each) for key in each[0]} for name, each in got.items()}
            show(title, middle)


def show(title, middle):
    print(f"{title:30}{'messages/s':>11}{'CPU':>9}{'MariaDB':>9}{'peak RSS':>10}{'dirty':>8}")
    for name, f in middle.items():
        print(f"  {name:28}{f['per_second']:11.0f}{f['cpu_us']:9.2f}{f['database_us']:9.2f}{f['rss']:10.1f}{f['dirty']:8.1f}")
    for ours in ("muster, MariaDB", "muster, SQLite"):
        us = middle[ours]
        ratios = "; ".join(f"{name} {them['cpu_us'] / us['cpu_us']:.1f}× CPU, {us['per_second'] / them['per_second']:.1f}× messages"
                           for name, them in middle.items() if not name.startswith("muster"))
        print(f"  {ours} against {ratios}")
    both = {name: f["cpu_us"] + f["database_us"] for name, f in middle.items() if f["database_us"]}
    ratios = "; ".join(f"{name} {us / both['muster, MariaDB']:.1f}×" for name, us in both.items() if not name.startswith("muster"))
    print(f"  MariaDB's CPU counted in: {ratios}", flush=True)
