# SPDX-License-Identifier: ISC
"""muster-agent: what it measures and sends, how it holds a link, and how it ends."""
import asyncio
import json
import math
import os
import re
import socket
import subprocess
import time

import pytest
import websockets

from conftest import ALL_COLLECTORS, BUILD, ROOT, SANITIZED, SECRET, entry, eventually, fixture, free_port, get

PLUGIN_DIRS = f'plugin_dirs = [ "{BUILD}/lib/muster/plugins", "{BUILD}/tests/plugins" ];'
UPLINK = f'{{ name = "server_status"; config = {{ url = "ws://127.0.0.1:1/ws-report"; server_id = "demo"; secret = "{SECRET}"; }}; }}'


class Dashboard:
    """A WebSocket server that keeps what agents say, and may close or refuse them."""

    def __init__(self, port=None):
        self.port = port or free_port()
        self.messages, self.headers, self.closes = [], [], []

    async def __aenter__(self):
        self.server = await websockets.serve(self.handle, "127.0.0.1", self.port, ping_interval=None, close_timeout=2)
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def handle(self, link, path):
        self.headers.append((path, link.request_headers))
        try:
            async for message in link:
                self.messages.append(message)
        except websockets.ConnectionClosed:
            pass
        self.closes.append(link.close_code)

    @property
    def ws(self):
        return f"ws://127.0.0.1:{self.port}"

    async def has(self, messages, timeout=20):
        end = time.monotonic() + timeout
        while len(self.messages) < messages:
            assert time.monotonic() < end, f"{len(self.messages)} of {messages} messages"
            await asyncio.sleep(0.05)


def run_agent(folder, conf, *arguments, timeout=60, env=None):
    file = folder / "agent.conf"
    file.write_text(conf)
    file.chmod(0o600)
    return subprocess.run([BUILD / "bin/muster-agent", "-c", file, *arguments], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(env or {})})


def collectors(*names):
    return f"collectors = ( {', '.join(f'{{ name = %s; }}' % json.dumps(n) for n in names)} );\nuplinks = ( {UPLINK} );\n"


# ---- --once, --list ----------------------------------------------------------------------------


def test_once_prints_one_report(tmp_path):
    told = run_agent(tmp_path, collectors(*ALL_COLLECTORS), "--once")
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert set(report) == {"time", "node", "metrics"} and abs(report["time"] - time.time()) < 60
    metrics = report["metrics"]
    assert set(metrics) >= set(ALL_COLLECTORS)
    assert metrics["cpu"]["cores"] == len(os.sched_getaffinity(0)) or metrics["cpu"]["cores"] == os.cpu_count()
    assert 0 <= metrics["cpu"]["percent"] <= 100 and len(metrics["cpu"]["per_core"]) == metrics["cpu"]["cores"]
    memory = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in open("/proc/meminfo") if line.split()[1].isdigit()}
    assert 0 < metrics["memory"]["used"] <= metrics["memory"]["total"] <= memory["MemTotal"]
    assert abs(metrics["system"]["uptime"] - float(open("/proc/uptime").read().split()[0])) < 60
    assert metrics["system"]["kernel"] == os.uname().release and metrics["system"]["hostname"] == os.uname().nodename
    devices = [d["device"] for d in metrics["disk"]["disks"]]
    assert len(devices) == len(set(devices))  # each device once, whatever is mounted how often
    for numbers in metrics.values():
        for value in numbers.values():
            assert value is not None and not (isinstance(value, float) and not math.isfinite(value))
    assert SECRET not in told.stdout + told.stderr


@pytest.mark.skipif(not SANITIZED, reason="only AddressSanitizer sees that freed memory is read")
def test_once_ends_while_its_signals_are_late(tmp_path):
    """Who waits for signals is woken at the end, and may go on only when the loop is gone."""
    shim = BUILD / "tests" / "plugins" / "late_signal.so"
    assert shim.exists()
    told = run_agent(tmp_path, collectors("memory"), "--once", env={"LD_PRELOAD": str(shim), "ASAN_OPTIONS": "verify_asan_link_order=0"})
    assert told.returncode == 0 and "memory" in json.loads(told.stdout)["metrics"], told.stderr


def test_once_of_a_recorded_machine(tmp_path):
    root = ROOT / "tests" / "fixtures" / "proc" / "machine"
    told = run_agent(tmp_path, f'root = "{root}";\n' + collectors("cpu", "memory", "network", "system"), "--once")
    assert told.returncode == 0, told.stderr
    metrics = json.loads(told.stdout)["metrics"]
    meminfo = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in open(root / "proc/meminfo") if line.split()[1].isdigit()}
    assert metrics["memory"]["total"] <= meminfo["MemTotal"] and metrics["memory"]["swap_total"] == meminfo["SwapTotal"]
    assert metrics["system"]["uptime"] == int(float((root / "proc/uptime").read_text().split()[0]))


def test_once_without_a_working_collector_says_so(tmp_path):
    told = run_agent(tmp_path, 'root = "/nowhere/at/all";\n' + collectors("cpu", "memory"), "--once")
    assert "cpu: collect failed" in told.stderr and "memory: collect failed" in told.stderr
    assert told.returncode == 0 and json.loads(told.stdout)["metrics"]["agent"]["failures"] >= 2


def test_list(tmp_path):
    told = run_agent(tmp_path, collectors(*ALL_COLLECTORS), "--list")
    assert told.returncode == 0, told.stderr
    for name in (*ALL_COLLECTORS, "example", "server_status"):
        assert re.search(rf"\b{name}\b", told.stdout)
    assert re.search(r"^ +cpu +cpu +\w+, every 5 s, deadline \S+ s$", told.stdout, re.M), told.stdout
    assert SECRET not in told.stdout


# ---- what it sends -----------------------------------------------------------------------------


def accept_as_a_released_dashboard(text):
    """The released dashboard's demands: every sub-object, no null, whole non-negative integers, at most 10 240 bytes."""
    assert len(text.encode()) <= 10240
    def no_bad_number(word):
        raise AssertionError(word)
    report = json.loads(text, parse_constant=no_bad_number)
    recorded = json.loads(fixture("agent-report.json"))

    def demand(value, pattern, path):
        assert value is not None, f"{path} is null"
        if isinstance(pattern, dict):
            assert isinstance(value, dict), path
            for name, inner in pattern.items():
                assert name in value, f"{path}.{name} is missing"
                demand(value[name], inner, f"{path}.{name}")
        elif isinstance(pattern, list):
            assert isinstance(value, list), path
            for i, item in enumerate(value):
                demand(item, pattern[0], f"{path}[{i}]")
        elif isinstance(pattern, str):
            assert isinstance(value, str), path
        elif path.lower().endswith("percent") or ".load" in path:
            assert isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0, path
        else:
            assert isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63, f"{path}: {value!r}"

    demand(report, recorded, "")
    assert (report["id"], report["lastReportTime"]) == ("", 0)  # the dashboard fills them
    return report


@pytest.mark.parametrize("some", [ALL_COLLECTORS, ("cpu",), ("example",), (*ALL_COLLECTORS, "example")])
def test_the_deployed_form_is_what_a_released_dashboard_takes(agent, some):
    async def run():
        async with Dashboard() as dashboard:
            agent(dashboard, form="deployed", collectors=some)
            await dashboard.has(3)
            assert dashboard.headers[0][0] == "/ws-report"
            headers = dashboard.headers[0][1]
            assert headers["x-server-id"] == "demo" and headers["x-auth-secret"] == SECRET
            assert "Sec-WebSocket-Extensions" not in headers
            return dashboard.messages

    for text in asyncio.run(run()):
        report = accept_as_a_released_dashboard(text)
        if "memory" in some:
            assert report["virtualMemoryInfo"]["total"] > 0 and re.search(r" x \d+ $", report["cpuInfo"]["info"][0])
        if "example" in some:
            assert report["metrics"]["example"]["open_files"] > 0


def test_the_documented_form_has_what_is_required(agent):
    async def run():
        async with Dashboard() as dashboard:
            agent(dashboard, uplink='group = "lab"; country = "CN"; location = "Berlin"; server_name = "Näme";')
            await dashboard.has(3)
            return dashboard.messages

    for text in asyncio.run(run()):
        report = json.loads(text)
        assert (report["serverId"], report["serverName"], report["group"], report["countryCode"]) == ("demo", "Näme", "lab", "CN")
        assert set(report["cpu"]) >= {"percent", "cores", "modelName"} and set(report["memory"]) >= {"total", "used", "available", "usedPercent"}
        assert set(report["network"]) >= {"interfaceName", "bytesSent", "bytesRecv", "inSpeed", "outSpeed"}
        assert set(report["system"]) >= {"hostname", "os", "platform", "arch", "kernel", "uptime"}
        assert isinstance(report["disk"], list) and abs(report["timestamp"] - time.time()) < 60
        assert None not in report.values()


def test_reports_come_at_the_interval(agent):
    async def run():
        async with Dashboard() as dashboard:
            agent(dashboard, interval=0.5, more='adaptive = "off";')
            await dashboard.has(13)
            return [json.loads(message)["timestamp"] for message in dashboard.messages[:13]]

    times = asyncio.run(run())
    assert 5 <= times[-1] - times[0] < 12, times  # by the agent's own clock: twelve times half a second, and not in a burst


# ---- a hung collector --------------------------------------------------------------------------


def test_a_hung_collector_delays_nobody(agent):
    hung = '{ name = "hung"; interval = 1.0; deadline = 0.5; }'

    async def run():
        async with Dashboard() as dashboard:
            made = agent(dashboard, collectors=("cpu", "memory", "system", hung), interval=0.5, more=PLUGIN_DIRS + ' adaptive = "off";')
            await dashboard.has(2)
            began = time.monotonic()
            await dashboard.has(12)
            took = time.monotonic() - began
            report = json.loads(dashboard.messages[-1])
            await asyncio.to_thread(made.logged, "stuck")
            await asyncio.to_thread(made.stop)
            return took, report, made.log

    took, report, log = asyncio.run(run())
    assert took < 12 and report["metrics"]["agent"]["stuck"] == "hung" and report["memory"]["total"] > 0
    assert "hung" not in report["metrics"]
    assert any("hung" in line and "stuck" in line for line in log.splitlines())
    assert log.count("stuck") < 20


def test_a_hung_collector_is_shown_on_the_servers_side(server, agent):
    s = server(entry("demo"))
    agent(s, collectors=("cpu", "memory", "disk", "network", "system", '{ name = "hung"; interval = 1.0; deadline = 0.5; }'), more=PLUGIN_DIRS)

    async def run():
        async with websockets.connect(s.ws + "/api/console/live") as console:
            end = time.monotonic() + 20
            while time.monotonic() < end:
                seen = json.loads(await asyncio.wait_for(console.recv(), 20))
                if seen.get("metrics", {}).get("agent", {}).get("stuck"):
                    return seen["metrics"]["agent"]["stuck"]

    assert asyncio.run(run()) == "hung"


def test_once_with_a_hung_collector_ends(tmp_path):
    began = time.monotonic()
    told = run_agent(tmp_path, PLUGIN_DIRS + collectors("memory", "hung"), "--once")
    assert told.returncode == 0 and json.loads(told.stdout)["metrics"]["agent"]["stuck"] == "hung", told.stderr
    assert time.monotonic() - began < 15


# ---- the link ----------------------------------------------------------------------------------


def test_it_ends_with_a_close_frame(agent):
    async def run():
        async with Dashboard() as dashboard:
            made = agent(dashboard)
            await dashboard.has(1)
            await asyncio.to_thread(made.stop)
            await asyncio.to_thread(eventually, lambda: dashboard.closes)
            return dashboard.closes

    assert asyncio.run(run())[0] in (1000, 1001)


def test_it_ends_in_time_when_the_server_does_not_answer(agent):
    """A server that takes the connection and says nothing; collectors are in the middle of their first samples."""
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        dead.listen()
        dead.settimeout(10)
        for i in range(8):
            made = agent(None, url=f"ws://127.0.0.1:{dead.getsockname()[1]}/ws-report")
            link, _ = dead.accept()
            time.sleep(i * 0.0005)
            made.stop()
            link.close()


def test_it_comes_back_after_a_restart_of_the_server(server, agent):
    s = server(entry("demo"))
    made = agent(s)
    eventually(lambda: get(s.http + "/api/statistics")["data"]["onlineIds"])
    s.stop()
    made.logged("next try in")
    again = server(entry("demo"), port=s.port)
    eventually(lambda: get(again.http + "/api/statistics")["data"]["onlineIds"] == ["demo"], 25)
    assert made.log.count("connected to") == 2
    waits = [float(w) for w in re.findall(r"next try in ([0-9.]+) s", made.log)]
    assert waits and all(1 <= w <= 10 for w in waits)


def test_it_starts_before_the_server(server, agent):
    class Later:
        port = free_port()
        ws = f"ws://127.0.0.1:{port}"
    made = agent(Later)
    made.logged("next try in")
    s = server(entry("demo"), port=Later.port)
    eventually(lambda: get(s.http + "/api/statistics")["data"]["onlineIds"] == ["demo"], 25)


def test_a_wrong_secret_is_told_clearly(server, agent):
    s = server(entry("demo", secret="the-right-secret-000"))
    made = agent(s)
    made.logged("refused: unknown server id or wrong secret")
    line = next(line for line in made.log.splitlines() if "refused" in line)
    assert '"demo"' in line and "401" in line and "next try in" in line
    assert made.alive() and SECRET not in made.log and SECRET not in s.log


def test_two_agents_with_one_id_are_told_of(server, agent):
    s = server(entry("demo"))
    first = agent(s)
    first.logged("connected to")
    agent(s)
    first.logged('another agent reports as "demo"')


def test_a_report_waits_for_a_lost_link(agent):
    """Reports that were made while there was no link arrive, the newest at least."""
    port = free_port()

    async def run():
        async with Dashboard(port) as dashboard:
            agent(dashboard, interval=0.5, more='adaptive = "off";')
            await dashboard.has(2)
        await asyncio.sleep(1)
        async with Dashboard(port) as dashboard:
            await dashboard.has(4, 25)
            return [json.loads(m)["timestamp"] for m in dashboard.messages]

    times = asyncio.run(run())
    assert times == sorted(times)


def test_reload_of_an_agent(server, agent):
    s = server(entry("demo"), entry("other"))
    made = agent(s)
    eventually(lambda: get(s.http + "/api/statistics")["data"]["onlineIds"] == ["demo"])
    text = made.conf.read_text()
    made.reload(text.replace('name = "cpu"', 'name = "cpuu"'))
    made.logged("the new configuration is refused")
    assert made.alive() and 'did you mean "cpu"' in made.log
    made.reload(text.replace('server_id = "demo"', 'server_id = "other"'))
    eventually(lambda: "other" in get(s.http + "/api/statistics")["data"]["onlineIds"])


def test_it_listens_nowhere_and_starts_nothing(server, agent):
    s = server(entry("demo"))
    made = agent(s, collectors=(*ALL_COLLECTORS, "example"))
    eventually(lambda: get(s.http + "/api/statistics")["data"]["onlineIds"])
    inodes = set()
    for fd in os.listdir(f"/proc/{made.pid}/fd"):
        try:
            inodes.update(re.findall(r"socket:\[(\d+)\]", os.readlink(f"/proc/{made.pid}/fd/{fd}")))
        except FileNotFoundError:
            pass
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in open(f"/proc/{made.pid}/net/{table}").read().splitlines()[1:]:
            columns = line.split()
            if columns[9] in inodes:
                assert table.startswith("tcp") and columns[3] != "0A", line  # 0A: LISTEN
    children = " ".join(open(f"/proc/{made.pid}/task/{t}/children").read() for t in os.listdir(f"/proc/{made.pid}/task"))
    assert children.split() == []
