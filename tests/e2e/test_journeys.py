# SPDX-License-Identifier: ISC
"""
Journeys through the console: tests/web drives Debian's Chromium with playwright-core against a real server with real agents.
MUSTER_SCREENSHOTS names a folder for pictures of all pages.
"""
import contextlib
import fcntl
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
import time

import pytest

from accounts import ADMIN_PASSWORD, PASSWORD
from conftest import ALL_COLLECTORS, BUILD, ROOT, SANITIZED, SECRET, Program, entry
from consoles import ask
from relays import Channel
from test_page import Feeder, moving
from test_proxy import Nginx
from tls import Pair, dev_certificate
from whole import REPORTERS, Whole

JOURNEYS = ROOT / "tests" / "web"
CHROMIUM = "/usr/bin/chromium"
missing = [name for name in ("node", "npm") if not shutil.which(name)]
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(bool(missing), reason=f"{' and '.join(missing)} missing: no console was built")]

PAGE_TOKEN = "a-token-of-the-page-0123"

HOSTILE = [
    '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>',
    "\x1b[31mred\x1b[0m\x1b]0;hacked\x07 \x1b[2J",
    "\u202emoc.elpmaxe \u2067\u05e9\u05dc\u05d5\u05dd",  # never ended
    "x" * 200,
    "漢字" * 40,
    "a" + "\u0301" * 100 + " zalgo",
    "javascript:window.hacked=1 {{7*7}} ${window.hacked=1}",
    "huge",
]

# What the last of them reports: numbers that are allowed, and of no use to anybody.
HUGE = {
    "cpu": {"percent": 1e308, "cores": 1e308, "load1": 1e308, "load5": -1e300, "load15": 1e20, "per_core": [1e308, -1e300]},
    "memory": {"total": 1e308, "used": 1e300, "used_percent": 55, "swap_total": 1e308, "swap_used": 1e308, "swap_used_percent": 1},
    "disk": {"total": 1e308, "used": 1e308, "free": 1e308, "used_percent": 56, "disks": [{"path": "/", "used_percent": 56, "total": 1e308, "used": 1e308, "read_speed": 1e308,
                                                                                         "write_speed": 1e30}]},
    "network": {"rx_speed": 1e308, "tx_speed": 1e30, "interfaces": [{"name": f"eth{n}", "rx_speed": 1e308, "tx_speed": 1e30, "rx_bytes": 1e308, "tx_bytes": 1e308} for n in range(3)]},
    "system": {"uptime": 1e308, "boot_time": 1e308, "temperatures": [{"name": "t", "celsius": 1e308}]},
    "zoo": {"great": 1e308, "low": -1e300, "most": 1.7976931348623157e308, "list": [1e308] * 8, "both": [1e308, -1.7e308], "all_bytes": 1e308, "x_speed": 1e308, "y_seconds": 1e308,
            "z_percent": 1e308, "rows": [{"name": f"row {n}", "value": 1e308 * (-1) ** n} for n in range(8)]},
    "herd": {f"sheep_{n}": "woolly" for n in range(250)},
}


@pytest.fixture(scope="module")
def installed():
    """The journeys beside what their lock file names, in the build folder."""
    packages = (JOURNEYS / "package-lock.json").read_bytes()
    folder = BUILD / f"journeys-{hashlib.sha256(packages).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        for name in ("package.json", "package-lock.json", "journey.mjs"):
            shutil.copyfile(JOURNEYS / name, folder / name)
        shutil.copytree(JOURNEYS / "journeys", folder / "journeys", dirs_exist_ok=True)
        if not (folder / ".done").exists():
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], cwd=folder, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
            assert done.returncode == 0, f"npm ci:\n{done.stdout}"
            (folder / ".done").touch()
    return folder


class Place:
    """The server, its agents, and all that a journey may ask for."""

    def __init__(self, folder, **how):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.whole = Whole(folder / "server", **how).begin()
        self.agents, self.joined, self.channel, self.heard = {}, None, None, []
        self.ends = contextlib.ExitStack()

    def start_agent(self, id):
        folder = self.folder / f"agent-{id}-{time.monotonic_ns()}"
        folder.mkdir()
        collectors = ", ".join(f'{{ name = "{name}"; interval = 0.5; }}' for name in (*ALL_COLLECTORS, "example"))
        self.agents[id] = Program("muster-agent", folder, f'adaptive = "off"; collectors = ( {collectors} );\nuplinks = ( {{ name = "server_status"; config = {{ '
                                  f'url = "{self.whole.server.ws}/ws-report"; server_id = "{id}"; secret = "{SECRET}"; }}; }} );')

    def stop_agent(self, id):
        self.agents.pop(id).stop()

    def paste(self, line):
        """The line as a person pastes it, but for where the agent and its files are; then the service."""
        folder = self.folder / "joined"
        folder.mkdir()
        command = f"{BUILD}/bin/muster-agent -c {folder}/muster-agent.conf"
        conf = f'key_dir = "{folder}/keys";\ncollectors = ( {{ name = "cpu"; interval = 0.5; }}, {{ name = "memory"; interval = 0.5; }} );\nadaptive = "off";\n'
        (folder / "muster-agent.conf").write_text(conf)
        said = "sudo muster-agent -c /etc/muster/agent.conf"  # what the service reads
        assert f"| {said} --join " in line
        done = subprocess.run(["sh", "-c", line.replace(said, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode == 0, done.stdout
        self.joined = Program("muster-agent", folder, conf, arguments=["--service"])

    def device(self, address, id, name):
        """A device at an endpoint that does as it is told, in a thread."""
        self.channel, self.heard = Channel(self.whole.port, address[address.index("/ws/"):]), []
        self.channel.say({"type": "identify", "deviceId": id, "deviceName": name})
        assert self.channel.json()["type"] == "identified"
        self.ended = threading.Event()

        def obey():
            while not self.ended.is_set():
                try:
                    message = self.channel.json(0.5)
                except AssertionError:
                    continue
                except OSError:
                    return
                if message.get("type") == "control":
                    self.heard.append({"command": message["command"], "params": message["params"]})
                    self.channel.say({"type": "control_ack", "commandId": message["commandId"], "status": "success"})
        self.obeying = threading.Thread(target=obey)
        self.obeying.start()

    def device_leaves(self):
        if self.channel:
            self.ended.set()
            self.obeying.join()
            self.channel.s.close()
            self.channel = None

    def answer(self, asked, user):
        what = asked["do"]
        if what in ("start_agent", "stop_agent"):
            getattr(self, what)(asked["id"])
        elif what == "past":
            time.sleep(max(0, asked["seconds"] - (time.monotonic() - self.began)))
        elif what == "stop":
            self.whole.server.stop()
        elif what == "start":
            self.whole.start()
        elif what == "restart_without":
            self.whole.server.stop()
            kept = [each for each in self.whole.plugins() if each.split('"')[1] not in asked["plugins"]]
            self.whole.plugins = lambda: kept
            self.whole.start()
        elif what == "change_password":
            token = self.whole.login(user).data["token"]
            assert self.whole.call("PUT", "/api/auth/password", {"old_password": PASSWORD, "new_password": PASSWORD + "x"}, token).status == 200
        elif what == "paste":
            self.paste(asked["line"])
        elif what == "device":
            self.device(asked["address"], asked["id"], asked["name"])
        elif what == "device_says":
            self.channel.say(asked["message"])
        elif what == "device_heard":
            return self.heard
        elif what == "device_leaves":
            self.device_leaves()
        elif what == "hostile_machines":
            self.ends.enter_context(Feeder(self.whole.server, {f"h{n}": hostile(f"h{n}", text) for n, text in enumerate(HOSTILE)}))
            return HOSTILE
        else:
            raise AssertionError(f"a journey asks for {what!r}")
        return True

    def close(self):
        self.ends.close()
        self.device_leaves()
        for each in self.agents.values():
            each.stop()
        if self.joined and self.joined.alive():  # its key may have been taken back: then it ended by itself
            self.joined.stop()
        self.whole.stop()


def hostile(id, text):
    """A machine that has this text wherever it may say something."""
    make = moving(id, disks=1, zoo={"text": text, text[:30]: 3})

    def report(n):
        made = json.loads(make(n))
        made.update(serverName=text, group="hostile", location=text, countryCode=text[:2])
        made["system"].update(hostname=text, platform=text, kernel=text)
        made["disk"][0]["path"] = "/" + text
        made["cpu"]["modelName"] = text
        made["network"]["interfaceName"] = text[:64]
        if text == "huge":
            made.update(metrics=HUGE)
        return json.dumps(made, ensure_ascii=False)  # limits are on texts as they are written
    return report


class Foreign(http.server.ThreadingHTTPServer):
    """A page of another site."""

    def __init__(self):
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                text = b"<!doctype html><title>Another site</title>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass
        super().__init__(("127.0.0.1", 0), Page)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def go(name, installed, place, seconds=240, **more):
    """Goes a journey; what it asks for is done here."""
    __tracebackhide__ = True
    user = f"j_{name}"
    if not any(row[0] == user for row in place.whole.sql("SELECT username FROM users")):
        place.whole.person(user)
    foreign = Foreign()
    pictures = os.environ.get("MUSTER_SCREENSHOTS")
    given = {"url": place.whole.server.http, "ws": place.whole.server.ws, "foreign": f"http://127.0.0.1:{foreign.server_address[1]}", "chromium": CHROMIUM,
             "user": user, "password": PASSWORD, "adminPassword": ADMIN_PASSWORD, "folder": str(place.folder), "pictures": pictures,
             "hostname": os.uname().nodename, "pageToken": PAGE_TOKEN, **more, "secrets": sorted(place.whole.secrets),
             "plugins": ["store_sqlite", "auth_accounts", "auth_static", "machines", "session", "admin_push", "server_status", "relay", "console"]}
    if pictures:
        os.makedirs(pictures, exist_ok=True)
    process = subprocess.Popen(["node", installed / "journey.mjs", name], cwd=installed, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    clock = threading.Timer(seconds, process.kill)
    clock.start()
    result = None
    try:
        process.stdin.write(json.dumps({"given": given}) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            message = json.loads(line)
            if "say" in message:
                print(message["say"])
            elif "do" in message:
                process.stdin.write(json.dumps({"done": place.answer(message, user)}) + "\n")
                process.stdin.flush()
            else:
                result = message
    finally:
        clock.cancel()
        process.kill()
        process.wait()
        foreign.shutdown()
        foreign.server_close()
    assert result is not None, f"the journey {name} did not end within {seconds} s"
    assert not result["failed"], f"{result['failed']}\nThe browser said: {result['complaints']}"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    named = [entry(id, name=f"Machine {id}", group="lab", country="DE") for id in REPORTERS]
    nameless = [f'{{ id = "h{n}"; secret = "{SECRET}"; }}' for n in range(len(HOSTILE))]
    made = Place(tmp_path_factory.mktemp("journeys"), entries=named + nameless, status="offline_after = 3;")
    for id in REPORTERS:
        made.start_agent(id)
    made.began = time.monotonic()
    yield made
    made.close()


@pytest.mark.parametrize("name", ("status", "charts", "login", "relay", "people", "plugins", "look", "origin", "sizes", "restart", "hostile"))
def test_journey(name, installed, place):
    go(name, installed, place)


def test_login_needs_no_relay(installed, tmp_path):
    made = Place(tmp_path / "p", only=("auth_static", "machines", "console"))
    try:
        go("small", installed, made)
    finally:
        made.close()


def test_a_token_opens_the_status_and_the_past(installed, tmp_path):
    made = Place(tmp_path / "p", only=("auth_static", "machines", "server_status", "console"), console=f'token = "{PAGE_TOKEN}";')
    made.whole.secrets.add(PAGE_TOKEN)
    try:
        made.start_agent("demo")
        go("token", installed, made)
    finally:
        made.close()


def test_a_login_in_front(installed, tmp_path):
    made = Place(tmp_path / "p", only=("auth_static", "machines", "server_status", "console"), limits='trusted_proxies = [ "127.0.0.1" ];')
    front = None
    try:
        made.start_agent("demo")
        dev_certificate(tmp_path / "tls")
        pair = Pair(tmp_path / "tls" / "server.pem", tmp_path / "tls" / "server.key")
        front = Nginx(tmp_path / "nginx", made.whole.port, pair, gate='if ($cookie_gate != "open") { return 403; }')
        go("front", installed, made, front=f"https://localhost:{front.port}")
    finally:
        if front:
            front.stop()
        made.close()


@pytest.mark.alone
@pytest.mark.skipif(SANITIZED, reason="a sanitizer's speed says nothing")
def test_500_machines_stay_smooth(installed, tmp_path):
    ids = [f"m{n:03d}" for n in range(500)]
    made = Place(tmp_path / "p", entries=[entry(id, name=f"Machine {id}", group=f"rack {int(id[1:]) // 25:02d}", country="DE") for id in ids],
                 limits="connects_per_second = 0;")
    try:
        with Feeder(made.whole.server, {id: moving(id, seed=n) for n, id in enumerate(ids)}):
            go("frames", installed, made)
    finally:
        made.close()


# ---- without a browser ----


def test_security_headers(place):
    status, headers, page = ask(place.whole, "/")
    assert status == 200
    names = [part.split('"')[0] for part in page.decode().split('src="')[1:] + page.decode().split('href="')[1:]]
    assets = [name.lstrip("./") for name in names if name.rstrip().endswith((".js", ".css"))]
    assert assets
    for path in ("/", *(f"/{name}" for name in assets)):
        status, headers, _ = ask(place.whole, path)
        assert status == 200, path
        policy = {part.split()[0]: part.split()[1:] for part in headers["content-security-policy"].split(";") if part.strip()}
        assert policy["default-src"] == ["'self'"] and policy["frame-ancestors"] == ["'none'"], policy
        assert all("unsafe" not in word and "*" not in word and "http" not in word for words in policy.values() for word in words), policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin" and "camera=()" in headers["permissions-policy"]
        assert ("immutable" in headers["cache-control"]) == bool(re.search(r"-[0-9a-f]{16}\.", path)), (path, headers)
    assert "<script>" not in page.decode() and "style=" not in page.decode() and "onclick" not in page.decode()
    for path in ("/api/console/site", "/api/auth/me", "/no-such-page"):
        _, headers, _ = ask(place.whole, path)
        assert headers.get("x-content-type-options") == "nosniff", (path, headers)
        assert "access-control-allow-origin" not in headers, path
