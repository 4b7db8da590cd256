# SPDX-License-Identifier: ISC
"""What the black-box tests share: a server and agents on free ports, with their logs, ended without mercy for leaks."""
import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "tests" / "supabase"), str(ROOT / "tests" / "mariadb"), str(ROOT / "tests")]
from fixtures import certificates, database, own_postgres, postgres, supabase  # noqa: E402, F401
from mariadb_fixtures import mariadb, mariadb_database, own_mariadb, released_database  # noqa: E402, F401
from ports import free_port  # noqa: E402, F401
from processor import starved_threads  # noqa: E402
BUILD = Path(os.environ.get("MUSTER_BUILD", ROOT / "build")).resolve()
SECRET = "a-secret-of-the-tests-0123"
CACHE = BUILD / "CMakeCache.txt"
SANITIZED = CACHE.exists() and "-fsanitize" in CACHE.read_text()


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
    config.addinivalue_line("markers", "browser: drives Chromium")
    config.addinivalue_line("markers", "alone: measures a promise in time, so nothing else runs beside it")


def eventually(check, timeout=10.0, step=0.05):
    """Waits until check() is true and returns its value; fails with the last value otherwise."""
    end = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, f"not within {timeout} s: {check!r} → {value!r}"
        time.sleep(step)


def get(url, timeout=5):
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        return json.load(answer)


def entry(id, secret=SECRET, **more):
    """One of auth_static's servers, as libconfig text."""
    members = {"id": id, "name": more.pop("name", id), "secret": secret, **more}
    def text(value):
        if isinstance(value, bool):
            return "true" if value else "false"
        return str(value) if isinstance(value, (int, float)) else '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "{ " + " ".join(f"{k} = {text(v)};" for k, v in members.items()) + " }"


class Program:
    """A musterd or muster-agent that is running. stop() fails the test if it ends badly or says that something leaked."""

    def __init__(self, name, folder, conf, env=None, arguments=()):
        self.name, self.folder = name, Path(folder)
        self.conf = self.folder / f"{name}.conf"
        self.log_path = self.folder / f"{name}.log"
        self.write(conf)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([BUILD / "bin" / name, "-c", self.conf, *arguments], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})

    def write(self, conf):
        """Replaces the configuration file as an editor would: by rename."""
        new = self.conf.with_suffix(".new")
        new.write_text(conf)
        new.chmod(stat.S_IRUSR | stat.S_IWUSR)
        new.rename(self.conf)

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def logged(self, text, timeout=10.0):
        eventually(lambda: text in self.log or not self.alive(), timeout)
        assert text in self.log, f"{self.name} ended without saying {text!r}:\n{self.log}"

    def reload(self, conf=None):
        if conf is not None:
            self.write(conf)
        self.process.send_signal(signal.SIGHUP)

    def stop(self, timeout=None):
        """SIGTERM; the promise is an end within 2 s (a sanitizer's leak check takes its own time)."""
        waited = self.lost = 0.0
        if self.alive():
            waited = starved_threads(self.pid)
            self.process.send_signal(signal.SIGTERM)
        try:
            end = time.monotonic() + (timeout or (15 if SANITIZED else 2.5))
            # What it waited for a processor is the machine's time.
            while self.alive() and time.monotonic() < end + min(10, self.lost):
                self.lost = max(self.lost, starved_threads(self.pid) - waited)
                time.sleep(0.005)
            status = self.process.wait(0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"{self.name} did not end in time:\n{self.log}") from None
        if status == 1 and self.lost > 0.2 and "is ended without order" in self.log:
            status = 0  # it has 1.9 s by the clock, of which plugins that hang take all but a third of a second
        assert status == 0, f"{self.name} ended with {status}:\n{self.log}"
        assert "Sanitizer" not in self.log and "runtime error:" not in self.log, self.log
        assert SECRET not in self.log, f"{self.name} wrote a secret into its log"


class Server(Program):
    def __init__(self, folder, plugins, listen=None, more="", port=None, env=None):
        self.port = port or free_port()
        self.more = more
        self.listen = listen or f'{{ address = "127.0.0.1"; port = {self.port}; }}'
        super().__init__("musterd", folder, self.text(plugins), env)
        self.logged("ready")

    def text(self, plugins):
        return f"listen = ( {self.listen} );\n{self.more}\nplugins = ( {', '.join(plugins)} );\n"

    @property
    def http(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self):
        return f"ws://127.0.0.1:{self.port}"


def static_plugins(*entries, status="", console=True, machines=""):
    """The plugins of the status page: auth_static with these entries, machines, server_status, console."""
    servers = ", ".join(entries or [entry("demo", group="lab", country="CN")])
    plugins = [f'{{ name = "auth_static"; config = {{ servers = ( {servers} ); }}; }}',
               f'{{ name = "machines"; config = {{ {machines} }}; }}',
               f'{{ name = "server_status"; config = {{ {status} }}; }}']
    return plugins + (['{ name = "console"; }'] if console else [])


@pytest.fixture
def server(tmp_path):
    """A function that starts servers; all are stopped, and must stop well, at the end."""
    running = []

    def start(*entries, plugins=None, status="", listen=None, more="", port=None, env=None, **rest):
        folder = tmp_path / f"server{len(running)}"
        folder.mkdir()
        made = Server(folder, plugins or static_plugins(*entries, status=status, **rest), listen, more, port, env)
        running.append(made)
        return made

    yield start
    for made in running:
        if made.process.returncode is None:
            made.stop()


ALL_COLLECTORS = ("cpu", "memory", "disk", "network", "system")


@pytest.fixture
def agent(tmp_path):
    """A function that starts agents; all are stopped, and must stop well, at the end."""
    running = []

    def start(server, id="demo", secret=SECRET, collectors=ALL_COLLECTORS, form="documented", more="", interval=1.0, uplink="", url=None):
        folder = tmp_path / f"agent{len(running)}"
        folder.mkdir()
        listed = ", ".join(c if c.startswith("{") else f'{{ name = "{c}"; interval = {interval}; }}' for c in collectors)
        conf = (f"{more}\ncollectors = ( {listed} );\n"
                f'uplinks = ( {{ name = "server_status"; config = {{ url = "{url or server.ws + "/ws-report"}"; '
                f'server_id = "{id}"; secret = "{secret}"; form = "{form}"; {uplink} }}; }} );\n')
        made = Program("muster-agent", folder, conf)
        running.append(made)
        return made

    yield start
    for made in running:
        if made.process.returncode is None:
            made.stop()


# ---- reports, as texts --------------------------------------------------------------------------


def documented(id="demo", **changes):
    """A documented report, as a dict."""
    report = {
        "serverId": id, "serverName": id, "group": "own", "countryCode": "DE", "location": "Berlin", "ip": "203.0.113.7",
        "cpu": {"percent": 45.2, "cores": 8, "modelName": "Test CPU"},
        "memory": {"total": 16777216000, "used": 8388608000, "available": 8388608000, "usedPercent": 50.0},
        "disk": [{"path": "/", "total": 107374182400, "used": 53687091200, "free": 53687091200, "usedPercent": 50.0,
                  "readSpeed": 1048576, "writeSpeed": 524288}],
        "network": {"interfaceName": "eth0", "bytesSent": 1073741824, "bytesRecv": 2147483648, "inSpeed": 1048576, "outSpeed": 524288},
        "system": {"hostname": "host", "os": "linux", "platform": "debian", "arch": "amd64", "kernel": "6.1.0", "uptime": 864000},
        "timestamp": int(time.time()),
    }
    report.update(changes)
    return report


def fixture(name):
    """A text that a released program sent or answered."""
    return (ROOT / "tests" / "fixtures" / "server-status" / name).read_text()


def agent_headers(id="demo", secret=SECRET):
    return {"X-SERVER-ID": id, "X-AUTH-SECRET": secret}
