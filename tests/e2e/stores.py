# SPDX-License-Identifier: ISC
"""A server with a store and a desk at which tests ask it (tests/store/desk.c)."""
import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.request

from conftest import BUILD, SANITIZED, Server, eventually
from processor import starved

EINVAL, ENOENT, EEXIST, ELIMIT, EUNAVAILABLE, EREFUSED, ETIMEOUT, EIO = -1, -3, -4, -8, -14, -15, -17, -19
KINDS = ("sqlite", "mariadb")
INDEX = {"index": True}
PASSWORD_PARTS = ("p@ss:w", "p%40ss%3Aw")


def time_of(ms):
    return {"ms": ms}


def fill(size):
    return {"fill": size}


class Result(dict):
    def __getattr__(self, name):
        return self[name]

    @property
    def value(self):
        assert self.error == 0, self
        return self.rows[0][0]


class Store:
    """A musterd with one store and two desks. url: of the database, or path: of the file."""

    def __init__(self, kind, folder, url=None, path=None, limits="", more="", desks=("desk", "desk_b"), plugins=(), env=None):
        self.kind, self.folder, self.url, self.path = kind, folder, url, path or folder / "muster.db"
        self.limits, self.more, self.desks, self.extra, self.env = limits, more, desks, list(plugins), env or {}
        self.server = None

    def plugins(self):
        where = f'path = "{self.path}";' if self.kind == "sqlite" else 'url = "env:DATABASE_URL";'
        config = f"{where} limits = {{ {self.limits} }}; {self.more}"
        return [f'{{ name = "store_{self.kind}"; config = {{ {config} }}; }}', '{ name = "counters"; }', *self.extra,
                *(f'{{ name = "{desk}"; }}' for desk in self.desks)]

    def start(self, **changes):
        vars(self).update(changes)
        self.folder.mkdir(exist_ok=True)
        env = {**self.env, **({"DATABASE_URL": self.url} if self.url else {})}
        self.server = Server(self.folder, self.plugins(), env=env,
                             more='limits = { max_connections_per_peer = 0; connects_per_second = 0; };\n'
                             f'plugin_dirs = [ "{BUILD}/lib/muster/plugins", "{BUILD}/tests/plugins" ];')
        eventually(self._listens)  # "ready" may stand in the log of the run before
        return self

    def _listens(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.server.port)) == 0

    def stop(self, copies=False):
        """An orderly end; the log says nothing bad of the loop, and nothing secret. copies: the desk itself took its time for a big text."""
        waited = self._waited()
        self.server.stop()
        self.judge(copies, waited)

    def _waited(self):
        return starved(self.server.process.pid) if self.server.alive() else 0

    def judge(self, copies=False, waited=0.0):
        log = self.server.log
        # The watchdog cannot tell a call that takes its time from one that has no processor: where that was so, it is excused once, and
        # once more for each half second of it.
        excused = int(waited > 0.03) + int(waited / 0.5)
        assert copies or SANITIZED or log.count("has held the loop") <= excused, (waited, log)
        assert "has blocked the whole process" not in log, log
        assert not any(part in log for part in PASSWORD_PARTS), log

    def kill(self):
        waited = self._waited()
        self.server.process.kill()
        self.server.process.wait(10)
        self.judge(waited=waited)

    def ask(self, desk="desk", timeout=60, **question):
        request = urllib.request.Request(f"{self.server.http}/test/{desk}", data=json.dumps(question).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Result(json.load(answer))

    def read(self, sql, *values, **how):
        return self.ask(read={**self.sql(sql), "values": values}, **how)

    def write(self, *statements, **how):
        """Statements are texts, or (text, values…), or dicts with expect."""
        return self.ask(write=[self.statement(each) for each in statements], **how)

    def made(self, *statements):
        """Tables: each in a transaction of its own."""
        for each in statements:
            result = self.write(each)
            assert result.error == 0, result

    def flood(self, count, *statements, **how):
        """So many transactions at once: [(error, number)…] as they were answered."""
        result = self.ask(flood={"count": count, "statements": [self.statement(each) for each in statements]}, **how)
        return [tuple(each) for each in result["done"]]

    @contextlib.contextmanager
    def flooding(self, count, *statements):
        """Within it so many transactions are under way, for the desk has heard of them; gives the link on which it would answer."""
        link = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        flood = {"flood": {"count": count, "statements": [self.statement(each) for each in statements]}}
        link.request("POST", f"/test/{self.desks[0]}", json.dumps(flood).encode())
        self.counter("commits")  # when this is answered, that was heard
        try:
            yield link
        finally:
            link.close()

    def migrate(self, owner, *steps, **how):
        """Steps are (version, statement…)."""
        return self.ask(migrate={"owner": owner, "steps": [{"version": version, "what": f"step {version}", "statements": list(statements)}
                                                           for version, *statements in steps]}, **how)

    def statement(self, each):
        if isinstance(each, dict):
            return {**each, **self.sql(each["sql"])}
        sql, *values = (each,) if isinstance(each, str) else each
        return {**self.sql(sql), "values": values}

    def sql(self, sql):
        """A text, or one for each dialect."""
        return {"sql": sql} if isinstance(sql, str) else {"sqlite": sql[0], "mariadb": sql[1]}

    def counter(self, name):
        with urllib.request.urlopen(f"{self.server.http}/test/counters", timeout=10) as answer:
            return json.load(answer)[f"store_{self.kind}.{name}"]

    def logged(self, text, timeout=10):
        self.server.logged(text, timeout)


class Writers:
    """Threads that insert rows one after another, each a transaction: with Writers(store) as w: …; w.acked, w.refused, w.doubtful"""

    def __init__(self, store, threads=6, sql="INSERT INTO t (id) VALUES (?)"):
        self.store, self.sql = store, sql
        self.acked, self.refused, self.doubtful, self.other = [], [], [], []
        self.ending = threading.Event()
        self.slowest = 0
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(threads)]

    def _run(self, number):
        id = number * 10_000_000
        while not self.ending.is_set():
            id += 1
            began = time.monotonic()
            try:
                error = self.store.write((self.sql, id)).error
            except (OSError, ValueError):  # musterd is gone
                self.doubtful.append(id)
                time.sleep(0.05)
                continue
            self.slowest = max(self.slowest, time.monotonic() - began)
            {0: self.acked, EUNAVAILABLE: self.refused, ETIMEOUT: self.doubtful}.get(error, self.other).append(id)
            if error:
                time.sleep(0.01)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "somebody was never answered"

    def judge(self, ids):
        """What was acknowledged is there, what was refused is not."""
        ids = set(ids)
        assert self.acked and not self.other, (len(self.acked), self.other[:5])
        lost, ghosts = set(self.acked) - ids, set(self.refused) & ids
        assert not lost, f"{len(lost)} of {len(self.acked)} acknowledged rows are gone: {sorted(lost)[:5]}"
        assert not ghosts, f"{len(ghosts)} of {len(self.refused)} refused rows are there: {sorted(ghosts)[:5]}"
        assert ids <= set(self.acked) | set(self.doubtful), "rows that nobody wrote"
