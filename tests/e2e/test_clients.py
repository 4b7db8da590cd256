# SPDX-License-Identifier: ISC
"""
docs/clients.md: its code is that of examples/clients, and that code works against a real server.
After a change of the examples: /usr/bin/python3 tests/e2e/test_clients.py --write
"""
import asyncio
import contextlib
import fcntl
import functools
import hashlib
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "clients"
PAGE = ROOT / "docs" / "clients.md"
NAMES = {"mjs": "js", "sh": "sh", "tsx": "tsx", "vue": "vue", "html": "html", "js": "js", "ts": "ts", "go": "go"}
BLOCK = re.compile(r"<!-- (examples/clients/\S+) -->\n(?:```\w+\n(.*?)^```\n)?", re.S | re.M)


def shown(name):
    """A file as the page has it: without the line of its licence."""
    lines = (ROOT / name).read_text().splitlines(keepends=True)
    return "".join(line for line in lines if "SPDX-License-Identifier" not in line).lstrip("\n")


def write():
    def block(found):
        return f"<!-- {found[1]} -->\n```{NAMES[found[1].rsplit('.', 1)[1]]}\n{shown(found[1])}```\n"
    PAGE.write_text(BLOCK.sub(block, PAGE.read_text()))


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    write()
    sys.exit()

import pytest  # noqa: E402
import websockets  # noqa: E402

from conftest import BUILD, SANITIZED, SECRET, agent_headers, documented, eventually  # noqa: E402
from test_page import browser, errors  # noqa: E402, F401
from whole import USER, USER_PASSWORD, Whole  # noqa: E402

NODE_ENV = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
needs_npm = pytest.mark.skipif(not shutil.which("npm") or not shutil.which("node"), reason="node or npm is missing")
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is missing")


# ---- the page ----


def test_the_page_shows_the_files():
    blocks = {name: text for name, text in BLOCK.findall(PAGE.read_text())}
    for name, text in blocks.items():
        assert text == shown(name), f"{name} and docs/clients.md differ: run tests/e2e/test_clients.py --write"
    code = {str(p.relative_to(ROOT)) for p in EXAMPLES.rglob("*") if p.suffix[1:] in NAMES and "node_modules" not in p.parts and "built" not in p.parts}
    assert code - set(blocks) == {f"examples/clients/{name}" for name in ("vite.config.js", "vue/index.html", "vue/main.js", "react/index.html", "react/main.tsx")}
    assert set(blocks) <= code


def test_nothing_in_the_examples_names_a_registry():
    lock = json.loads((EXAMPLES / "package-lock.json").read_text())
    assert all("resolved" not in each for each in lock["packages"].values())
    own = json.loads((EXAMPLES / "package.json").read_text())
    web = json.loads((ROOT / "web" / "package.json").read_text())
    assert {name: own["devDependencies"][name] for name in ("typescript", "vite")} == {name: web["devDependencies"][name] for name in ("typescript", "vite")}


# ---- a server, pages of another site, programs ----


class Site(http.server.ThreadingHTTPServer):
    """Files at an address of their own: another Origin than Muster's."""

    def __init__(self, folder):
        class Quiet(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_):
                pass
        super().__init__(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def origin(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    made = Site(EXAMPLES)
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def built():
    """The examples, built as their lock file says, in the build folder."""
    packages = (EXAMPLES / "package-lock.json").read_bytes() + (EXAMPLES / "package.json").read_bytes()
    folder = BUILD / f"clients-{hashlib.sha256(packages).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        for each in EXAMPLES.iterdir():
            if each.is_dir() and each.name not in ("node_modules", "built"):
                shutil.copytree(each, folder / each.name, dirs_exist_ok=True)
            elif each.is_file():
                shutil.copyfile(each, folder / each.name)

        def run(*command):
            done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400)
            assert done.returncode == 0, f"{command}:\n{done.stdout}"
        if not (folder / ".done").exists():
            run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
            (folder / ".done").touch()
        shutil.rmtree(folder / "built", ignore_errors=True)
        run("node", "node_modules/typescript/bin/tsc", "-p", ".", "--noEmit")
        run("node", "node_modules/typescript/bin/tsc", "-p", ".", "--outDir", "built/typed")
        run("node", "node_modules/vite/bin/vite.js", "build", "--logLevel", "error", "--outDir", "built/pages")
    return folder / "built"


@pytest.fixture(scope="module")
def pages(built):
    made = Site(built / "pages")
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory, files):
    made = Whole(tmp_path_factory.mktemp("whole") / "w", session="ping_every = 1;", origins=[files.origin]).begin()
    made.user, made.user_token = made.person(USER)
    made.key_id, made.user_key = made.key(made.user_token)
    yield made
    made.stop()


@pytest.fixture
def home(whole):
    """An endpoint that is gone after the test: a user has at most five."""
    made = whole.endpoint(whole.user_token, name="E", forwarding_mode="JSON")
    yield made
    whole.call("DELETE", f"/api/endpoints/{made['id']}", token=whole.user_token)


class Run:
    """A program, and what it says."""

    def __init__(self, *command, env=None, cwd=None):
        self.text = ""
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        env={**NODE_ENV, **(env or {})}, cwd=cwd)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.text += line

    def says(self, words, timeout=20):
        def said():
            return words in self.text or (self.process.poll() is not None and not self.reader.is_alive())
        eventually(said, timeout)
        assert words in self.text, self.text

    def ends(self, timeout=20):
        code = self.process.wait(timeout)
        self.reader.join()
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def example(name, *arguments, **env):
    """An example for Node as it stands; `ws` is Debian's, which ES modules find beside them only."""
    folder = BUILD / "clients-node"
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / "node_modules").symlink_to("/usr/share/nodejs")
    copy = folder / f"{name}-{os.getpid()}.mjs"
    shutil.copyfile(EXAMPLES / "node" / f"{name}.mjs", copy)
    return Run("node", copy, *arguments, env=env)


async def hear(url, check, timeout=20, say=(), **how):
    """Messages of a link until check(message) is true of one; it is the answer."""
    async with websockets.connect(url, close_timeout=1, **how) as link:
        for each in say:
            await link.send(json.dumps(each))
        async def one():
            while True:
                message = json.loads(await link.recv())
                if check(message):
                    return message
        return await asyncio.wait_for(one(), timeout)


def machines(whole, key=None):
    """The user's machines, as an admin sees them."""
    async def run():
        async with websockets.connect(whole.server.ws, close_timeout=1) as link:
            await link.send(json.dumps({"type": "auth", "apiKey": key or whole.user_key, "scope": "admin"}))
            while True:
                message = json.loads(await asyncio.wait_for(link.recv(), 10))
                if message["type"] == "auth_success":
                    await link.send(json.dumps({"type": "admin_connect", "token": message["sessionToken"]}))
                elif message["type"] == "machine_list":
                    return {m["machineId"]: m for m in message["machines"]}
    return asyncio.run(run())


@contextlib.contextmanager
def reporting(whole, id="demo", percent=45.5):
    """A machine that reports each half second."""
    ended = threading.Event()

    async def run():
        while not ended.is_set():
            with contextlib.suppress(OSError, websockets.WebSocketException):
                async with websockets.connect(whole.server.ws + "/ws-report", extra_headers=agent_headers(id)) as link:
                    while not ended.is_set():
                        await link.send(json.dumps(documented(id, cpu={"percent": percent, "cores": 8, "modelName": "Test"})))
                        await asyncio.sleep(0.5)
            await asyncio.sleep(0.1)
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def talking(url):
    """A peer at an endpoint, in a thread: said() is what it heard; tell(message) says something."""
    heard, queue, there, ended = [], [], threading.Event(), threading.Event()

    async def run():
        async with websockets.connect(url, close_timeout=1) as link:
            there.set()
            with contextlib.suppress(websockets.ConnectionClosed):  # the test ends it
                while not ended.is_set():
                    while queue:
                        await link.send(json.dumps(queue.pop(0)))
                    with contextlib.suppress(asyncio.TimeoutError):
                        heard.append(json.loads(await asyncio.wait_for(link.recv(), 0.1)))
    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert there.wait(20), "it did not get in"
        yield heard, queue.append
    finally:
        ended.set()
        thread.join()


def command(whole, home, device_id, name, **params):
    """Sends a command to a device, and gives how it ended."""
    def devices():
        return {d["device_id"]: d for d in whole.call("GET", f"/api/endpoints/{home['id']}/devices", token=whole.user_token).data["devices"]}
    device = eventually(lambda: devices().get(device_id) if devices().get(device_id, {}).get("is_online") else None)
    path = f"/api/endpoints/{home['id']}/devices/{device['id']}/control"
    sent = whole.call("POST", path, {"command": name, "params": params}, whole.user_token)
    assert sent.status in (200, 201, 202), sent
    answer = sent.json.get("data", sent.json)
    def ended():
        got = whole.call("GET", f"{path}/{answer['commandId']}", token=whole.user_token).json
        got = got.get("data", got)
        return got if got["status"] != "pending" else None
    return eventually(ended)


class Refusal(http.server.ThreadingHTTPServer):
    """Refuses the first connection with this status and Retry-After: 2, and each one after that with 401."""

    def __init__(self, status):
        came = self.came = []

        class Door(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                came.append(time.monotonic())
                self.send_response(status if len(came) == 1 else 401)
                if len(came) == 1:
                    self.send_header("Retry-After", "2")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        super().__init__(("127.0.0.1", 0), Door)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.ws = f"ws://127.0.0.1:{self.server_address[1]}/"


def keeps_to_refusals(status, begin):
    """begin(address) is a client that comes back no sooner than it was told, by chance it would within 1.5 s; and ends at a 401."""
    refusal = Refusal(status)
    try:
        with begin(refusal.ws) as client:
            assert client.ends() == 77, client.text
            assert f"refused: {status}" in client.text and "refused: 401" in client.text, client.text
        assert len(refusal.came) == 2 and refusal.came[1] - refusal.came[0] >= 1.99, refusal.came
    finally:
        refusal.shutdown()
        refusal.server_close()


# ---- Node.js ----


@needs_node
@pytest.mark.parametrize("status", (429, 503))
@pytest.mark.parametrize("name", ("agent", "report", "device"))
def test_node_keeps_to_refusals(name, status):
    keeps_to_refusals(status, lambda address: example(name, address, "x", MUSTER_API_KEY="not-a-key-0123456789", MUSTER_SECRET="wrong"))


@needs_node
def test_node_an_agent_of_a_session(whole):
    with example("agent", whole.server.ws + "/", "node-1", MUSTER_API_KEY=whole.user_key, EVERY="200") as agent:
        agent.says("connected as node-1")
        seen = eventually(lambda: (m := machines(whole).get("node-1")) and m["metrics"].get("memory") and m)
        assert seen["status"] == "online" and seen["hostname"] == os.uname().nodename and seen["metrics"]["memory"]["total"] > 0
        time.sleep(3)  # pings each second: two without an answer would have closed it
        assert "closed" not in agent.text and agent.process.poll() is None
        with example("agent", whole.server.ws + "/", "node-1", MUSTER_API_KEY=whole.user_key) as second:  # the newer one wins
            second.says("connected as node-1")
            assert agent.ends() == 77 and "closed: 4009" in agent.text


@needs_node
def test_node_an_agent_with_a_wrong_key_ends(whole):
    with example("agent", whole.server.ws + "/", "node-2", MUSTER_API_KEY="not-a-key-0123456789") as agent:
        assert agent.ends() == 77 and "invalid_api_key" in agent.text and "forget this key" in agent.text


@needs_node
def test_node_an_agent_whose_key_is_taken_back_ends(whole):
    id, key = whole.key(whole.user_token, "short")
    with example("agent", whole.server.ws + "/", "node-3", MUSTER_API_KEY=key) as agent:
        agent.says("connected as node-3")
        assert whole.call("DELETE", f"/api/auth/api-keys/{id}", token=whole.user_token).status == 200
        agent.says("closed: 4010")  # it may be the token; the key tells
        assert agent.ends() == 77 and "invalid_api_key" in agent.text


@needs_node
def test_node_a_machine_that_reports(whole):
    async def page():
        return await hear(whole.server.ws + "/ws-frontend", lambda m: m.get("serverId") == "second", 20)
    with example("report", whole.server.ws + "/ws-report", "second", MUSTER_SECRET=SECRET) as agent:
        report = asyncio.run(page())
        assert agent.process.poll() is None and 0 <= report["cpu"]["percent"] <= 100 and report["memory"]["total"] > 0
    with example("report", whole.server.ws + "/ws-report", "second", MUSTER_SECRET="wrong") as agent:
        assert agent.ends() == 77 and "refused: 401" in agent.text


@needs_node
def test_node_a_device_at_an_endpoint(whole, home):
    with talking(home["websocket_url"]) as (heard, tell), example("device", home["websocket_url"], "lamp", EVERY="300") as device:
        device.says("identified as A lamp")
        eventually(lambda: any(m["data"] == {"light": False, "temperature": 21.5} for m in heard))
        assert command(whole, home, "lamp", "setLight", on=True)["status"] == "success"
        eventually(lambda: any(m["data"]["light"] for m in heard))
        refused = command(whole, home, "lamp", "explode")
        assert refused["status"] == "failed" and refused["errorMessage"] == "unknown command explode"
        tell({"hello": "lamp"})
        device.says('heard: {"hello":"lamp"}')
        assert whole.call("DELETE", f"/api/endpoints/{home['id']}", token=whole.user_token).status == 200
        assert device.ends() == 77 and "closed: 1008 Invalid endpoint" in device.text


@needs_node
def test_node_a_device_with_a_token(whole, home):
    token = whole.call("PUT", f"/api/endpoints/{home['id']}/access", {"access": "token"}, whole.user_token).data["token"]
    with example("device", home["websocket_url"], "lamp", ENDPOINT_TOKEN=token) as device:
        device.says("identified as")
    with example("device", home["websocket_url"], "lamp") as device:
        assert device.ends() == 77 and "Access denied" in device.text


# ---- pages ----


def lines(driver, list):
    return driver.execute_script("return [...document.querySelectorAll(`#${arguments[0]} li`)].map((li) => li.textContent);", list)


@pytest.mark.browser
@pytest.mark.slow
@needs_node
def test_browser_javascript(whole, home, files, browser):  # noqa: F811
    hostile = '<img src=x onerror="document.title=1"> \u202eevil'
    with reporting(whole), talking(home["websocket_url"]) as (heard, tell), \
            example("agent", whole.server.ws + "/", "node-1", MUSTER_API_KEY=whole.user_key) as agent:
        agent.says("connected")
        driver = browser()
        driver.get(files.origin + "/browser/index.html")
        driver.execute_script("""const form = document.getElementById("where");
            for (const name of ["server", "key", "endpoint"]) form[name].value = arguments[0][name];
            form.requestSubmit();""", {"server": whole.server.ws, "key": whole.user_key, "endpoint": home["endpoint_id"]})
        eventually(lambda: "Machine demo: 45.5 %" in lines(driver, "status"))
        eventually(lambda: f"{os.uname().nodename}: online" in lines(driver, "machines"))
        assert command(whole, home, "page-1", "blink", times=2)["status"] == "success"
        eventually(lambda: driver.title == 'blink {"times":2}')
        tell({"name": hostile})
        eventually(lambda: any(hostile.replace('"', '\\"') in line for line in lines(driver, "relay")))
        assert driver.title.startswith("blink") and driver.execute_script("return document.querySelectorAll('img').length;") == 0
        state = lambda: driver.execute_script("return document.getElementById('state').textContent;")  # noqa: E731
        assert state().startswith("open")
        # The server is away and comes back: so does the page, by itself, and it goes on.
        whole.server.stop()
        eventually(lambda: state().startswith(("waiting", "connecting")))
        before = len(lines(driver, "relay"))
        time.sleep(2)
        whole.start()
        eventually(lambda: state().startswith("open") and "Machine demo: 45.5 %" in lines(driver, "status"), 40)
        agent.says("closed: 1001")
        eventually(lambda: machines(whole).get("node-1", {}).get("status") == "online", 40)
        eventually(lambda: f"{os.uname().nodename}: online" in lines(driver, "machines"), 40)

        async def greet():
            async with websockets.connect(home["websocket_url"], close_timeout=1) as peer:
                for n in range(200):
                    await peer.send(json.dumps({"again": n}))
                    await asyncio.sleep(0.2)
                    if len(lines(driver, "relay")) > before:
                        return
        asyncio.run(greet())
        assert len(lines(driver, "relay")) > before
        assert errors(driver, but=("ERR_CONNECTION_REFUSED", "favicon", "WebSocket connection")) == []


@pytest.mark.browser
def test_a_page_of_an_unknown_site_is_refused(whole, files, browser):  # noqa: F811
    driver = browser()
    driver.get(files.origin.replace("127.0.0.1", "localhost") + "/browser/index.html")  # the same files, not the same Origin
    driver.execute_script("""const form = document.getElementById("where"); form.server.value = arguments[0]; form.requestSubmit();""", whole.server.ws)
    eventually(lambda: driver.execute_script("return document.getElementById('state').textContent;") == "waiting 1006")


@pytest.mark.browser
@pytest.mark.slow
@needs_npm
@pytest.mark.parametrize("frame", ("vue", "react"))
def test_vue_and_react(whole, home, pages, browser, frame):  # noqa: F811
    whole.origins.append(pages.origin)
    whole.server.stop()
    whole.start()
    with reporting(whole), talking(home["websocket_url"]) as (heard, tell), \
            example("agent", whole.server.ws + "/", f"{frame}-1", MUSTER_API_KEY=whole.user_key) as agent:
        agent.says("connected")
        driver = browser()
        driver.get(f"{pages.origin}/{frame}/index.html#server={whole.server.ws}&apiKey={whole.user_key}&endpoint={home['endpoint_id']}")
        eventually(lambda: lines(driver, "status") == ["Machine demo: 45.5 %"])
        eventually(lambda: any(line.endswith(": online") for line in lines(driver, "machines")))
        eventually(lambda: [d["device_id"] for d in whole.call("GET", f"/api/endpoints/{home['id']}/devices", token=whole.user_token).data["devices"]]
                   == [f"{frame}-1"])
        tell({"n": 1})
        eventually(lambda: len(lines(driver, "relay")) == 1)
        driver.execute_script("document.querySelector('button').click();")
        eventually(lambda: any("hello" in json.dumps(m) for m in heard))
        whole.server.stop()
        eventually(lambda: "waiting" in driver.execute_script("return document.querySelector('[role=status]').textContent;"))
        whole.start()
        eventually(lambda: "open" in driver.execute_script("return document.querySelector('[role=status]').textContent;"), 30)
        assert errors(driver, but=("ERR_CONNECTION_REFUSED", "favicon", "WebSocket connection")) == []


# ---- TypeScript, Go, curl ----


@pytest.mark.slow
@needs_npm
@pytest.mark.skipif(SANITIZED, reason="nothing that other clients here do not do, and its packages take long to install")
def test_typescript(whole, home, built):
    main = built / "typed" / "typescript" / "main.js"
    with reporting(whole), Run("node", main, "status", whole.server.ws + "/ws-frontend") as status, \
            Run("node", main, "machines", whole.server.ws + "/", env={"MUSTER_API_KEY": whole.user_key}) as own, \
            Run("node", main, "relay", home["websocket_url"]) as relay, talking(home["websocket_url"]) as (_, tell):
        status.says("Machine demo 45.5")
        relay.says("customName")
        tell("a text")
        relay.says("a text")
        with example("agent", whole.server.ws + "/", "typed-1", MUSTER_API_KEY=whole.user_key) as agent:
            agent.says("connected")
            own.says(f"{os.uname().nodename} online")
        own.says(f"{os.uname().nodename} offline")
        time.sleep(3)  # pings each second
        assert all(each.process.poll() is None for each in (status, own, relay)) and "_" not in own.text  # no error's code
    with Run("node", main, "machines", whole.server.ws + "/", env={"MUSTER_API_KEY": "not-a-key-0123456789"}) as own:
        own.says("invalid_api_key")
        assert own.ends() == 0  # nothing is left that would try again


@pytest.fixture(scope="module")
def go(tmp_path_factory):
    if not shutil.which("go"):
        pytest.skip("go is missing: apt-get install golang-go golang-github-gorilla-websocket-dev")
    made = tmp_path_factory.mktemp("go") / "client"
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "", "GOCACHE": str(made.parent / "cache"), "CGO_ENABLED": "0"}
    for command in (["go", "vet", "main.go"], ["go", "build", "-o", str(made), "main.go"]):
        done = subprocess.run(command, cwd=EXAMPLES / "go", env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        assert done.returncode == 0, done.stdout
    assert subprocess.run(["gofmt", "-l", EXAMPLES / "go"], stdout=subprocess.PIPE, text=True).stdout == ""
    return made


@pytest.mark.slow
def test_go(whole, home, go):
    with Run(go, "session", whole.server.ws + "/", env={"MUSTER_API_KEY": whole.user_key}) as session:
        session.says("connected as go-1")
        seen = eventually(lambda: (m := machines(whole).get("go-1")) and m["metrics"] and m)
        assert seen["status"] == "online" and seen["metrics"]["go"]["goroutines"] >= 1
        time.sleep(3)  # pings each second
        assert "closed" not in session.text
        whole.server.stop()
        session.says("closed: 1001")
        whole.start()
        eventually(lambda: session.text.count("connected as go-1") == 2, 30)
    with reporting(whole), Run(go, "status", whole.server.ws + "/ws-frontend") as status:
        status.says("Machine demo 45.5")
    with talking(home["websocket_url"]) as (heard, _), Run(go, "relay", home["websocket_url"]) as relay:
        relay.says("identified")
        eventually(lambda: any(m["data"] == {"temperature": 21.5} for m in heard))
        assert command(whole, home, "go-1", "anything")["status"] == "success"
    with Run(go, "session", whole.server.ws + "/", env={"MUSTER_API_KEY": "not-a-key-0123456789"}) as session:
        assert session.ends() == 77 and "invalid_api_key" in session.text
    with Run(go, "relay", whole.server.ws + "/ws/no-such-one") as relay:
        assert relay.ends() == 77 and "closed: 1008 Invalid endpoint" in relay.text


@pytest.mark.slow
@pytest.mark.parametrize("status", (429, 503))
def test_go_keeps_to_refusals(go, status):
    keeps_to_refusals(status, lambda address: Run(go, "status", address))


def curl(name, *arguments, given=""):
    done = subprocess.run([EXAMPLES / "curl" / name, *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_curl(whole):
    with reporting(whole):
        eventually(lambda: curl("status.sh", whole.server.http)[0] == "Machine demo: 45.5 % online")
    key, = curl("session.sh", whole.server.http, USER, given=USER_PASSWORD + "\n")
    whole.secrets.add(key)
    assert isinstance(machines(whole, key), dict)
    said = curl("relay.sh", whole.server.http, USER, given=USER_PASSWORD + "\n")
    assert said[0].startswith(whole.server.ws + "/ws/") and json.loads(said[1])["total_messages"] == 0
    access = json.loads(said[2])
    assert access["access"] == "token" and access["allowed_origins"] == ["https://example.org"] and len(access["token"]) >= 16
    assert whole.call("GET", "/api/endpoints", token=whole.user_token).data["endpoints"] == []
