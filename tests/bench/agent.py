#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""What muster-agent costs, against Debian's collectd, and how soon its first report is accepted.

The agent has the five collectors at 1 Hz and reports to a real musterd on loopback; collectd has cpu, memory, df, disk, interface and
load at 1 Hz and sends to a UDP socket on loopback (its network plugin), or writes files or nothing. Rounds alternate. CPU is the sum of
/proc/PID/task/*/schedstat, memory Private_Dirty of /proc/PID/smaps_rollup. Usage: agent.py BUILD [--seconds 60]
"""
import argparse, collections, http.client, json, os, shutil, signal, socket, statistics, subprocess, sys, tempfile, time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
from ports import free_port  # noqa: E402

SECRET = "bench-secret-0123456789"
COLLECTORS = ("cpu", "memory", "disk", "network", "system")
WARM_UP_S = 3


def private_file(path, text):
    path.write_text(text)
    path.chmod(0o600)
    return path


def start(*command):
    log = open(os.devnull, "wb")
    return subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def cpu_ns(pid):
    """Nanoseconds on a CPU by thread, as {id: (name, ns)}."""
    threads = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            threads[task.name] = ((task / "comm").read_text().strip(), int((task / "schedstat").read_text().split()[0]))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return threads


def private_dirty_kb(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1])
    return 0


def observe(process, seconds):
    """(CPU ms per 60 s, private dirty KB, {thread name: CPU ms per 60 s}) of a process that is warm."""
    time.sleep(WARM_UP_S)
    before, began = cpu_ns(process.pid), time.monotonic()
    time.sleep(seconds)
    after, took = cpu_ns(process.pid), time.monotonic() - began
    threads = collections.Counter()
    for task, (name, ns) in after.items():
        threads[name] += (ns - before.get(task, (name, 0))[1]) / 1e6 * 60 / took
    if process.poll() is not None:
        raise SystemExit("a program ended during its measurement")
    return sum(threads.values()), private_dirty_kb(process.pid), threads


class Muster:
    """A server for the agent, and the agent."""
    name = "muster-agent"

    def __init__(self, build, folder):
        self.build, self.folder, self.port = build, folder, free_port()
        server = private_file(folder / "server.conf", f"""listen = ( {{ address = "127.0.0.1"; port = {self.port}; }} );
plugins = ( {{ name = "auth_static"; config = {{ servers = ( {{ id = "bench"; name = "bench"; secret = "{SECRET}"; }} ); }}; }},
  {{ name = "machines"; }}, {{ name = "server_status"; }} );
""")
        listed = ", ".join(f'{{ name = "{name}"; interval = 1.0; }}' for name in COLLECTORS)
        self.conf = private_file(folder / "agent.conf", f"""collectors = ( {listed} );
adaptive = "off";
uplinks = ( {{ name = "server_status"; config = {{ url = "ws://127.0.0.1:{self.port}/ws-report"; server_id = "bench";
  secret = "{SECRET}"; }}; }} );
""")
        self.server = start(build / "bin/musterd", "-c", server)
        for _ in range(100):
            try:
                self.http = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                self.newest()
                return
            except OSError:
                time.sleep(0.05)
        stop(self.server)
        raise SystemExit("musterd did not start")

    def newest(self):
        """The time of the newest report that the server has accepted; 0: it has none."""
        self.http.request("GET", "/api/statistics")
        return "bench" in json.load(self.http.getresponse())["data"]["onlineIds"]

    def start(self):
        return start(self.build / "bin/muster-agent", "-c", self.conf)

    def close(self):
        stop(self.server)


class Collectd:
    name = "collectd"

    def __init__(self, folder, write):
        self.folder, self.sink = folder, None
        port = free_port()
        if write == "network":
            # Nobody reads: a datagram to a full socket costs the sender what one that is read does.
            self.sink = socket.socket(type=socket.SOCK_DGRAM)
            self.sink.bind(("127.0.0.1", port))
        plugins = ["cpu", "memory", "df", "disk", "interface", "load"] + ([write] if write != "none" else [])
        self.conf = private_file(folder / "collectd.conf", f"""Hostname "bench"
FQDNLookup false
BaseDir "{folder}"
PIDFile "{folder}/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
Interval 1
{chr(10).join(f'LoadPlugin {name}' for name in plugins)}
<Plugin csv>
  DataDir "{folder}/csv"
</Plugin>
<Plugin network>
  Server "127.0.0.1" "{port}"
</Plugin>
""")

    def start(self):
        return start(shutil.which("collectd", path="/usr/sbin:/usr/bin"), "-f", "-C", self.conf)

    def close(self):
        if self.sink:
            self.sink.close()


def first_report_ms(build, folder):
    """From the start of the agent's process until its server shows the machine as online."""
    folder.mkdir()
    muster = Muster(build, folder)
    process, began = muster.start(), time.monotonic()
    try:
        while not muster.newest():
            if time.monotonic() - began > 10:
                raise SystemExit("no report was accepted within 10 s")
            time.sleep(0.002)
        return (time.monotonic() - began) * 1e3
    finally:
        stop(process)
        muster.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--seconds", type=float, default=60, help="measured for each program, over all rounds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", choices=("network", "csv", "none"), default="network", help="where collectd's figures go")
    parser.add_argument("--alone", action="store_true", help="the agent without collectd")
    options = parser.parse_args()
    if not options.alone and not shutil.which("collectd", path="/usr/sbin:/usr/bin"):
        print("collectd is not installed (Debian: collectd-core): the agent is measured alone", file=sys.stderr)
        options.alone = True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = [first_report_ms(options.build, folder / f"first{n}") for n in range(5)]
        rivals = [Muster(options.build, folder)]
        if not options.alone:
            rivals.append(Collectd(folder, options.write))
        cpu, memory, threads = collections.defaultdict(list), collections.defaultdict(list), collections.defaultdict(list)
        try:
            for turn in range(options.rounds):
                for rival in rivals if turn % 2 == 0 else reversed(rivals):
                    process = rival.start()
                    try:
                        spent, dirty, by_thread = observe(process, options.seconds / options.rounds)
                    finally:
                        stop(process)
                    cpu[rival.name].append(spent)
                    memory[rival.name].append(dirty)
                    if rival is rivals[0]:
                        for thread, ms in by_thread.items():
                            threads[thread].append(ms)
        finally:
            for rival in rivals:
                rival.close()
    for name in cpu:
        print(f"{name:14} {statistics.median(cpu[name]):7.1f} ms CPU per 60 s ({', '.join(f'{ms:.1f}' for ms in cpu[name])}), "
              f"{statistics.median(memory[name]):6.0f} KB private dirty")
    for thread, ms in sorted(threads.items()):
        print(f"  {thread:16} {sum(ms) / options.rounds:7.1f}")
    if len(cpu) == 2:
        ours, theirs = rivals[0].name, rivals[1].name
        print(f"agent / collectd: CPU {statistics.median(cpu[ours]) / statistics.median(cpu[theirs]):.2f} (must 0.33, aim 0.17), "
              f"memory {statistics.median(memory[ours]) / statistics.median(memory[theirs]):.2f} (must 2, aim 1)")
    print(f"start to first report accepted: median {statistics.median(first):.0f} ms, worst {max(first):.0f} ms (must 1000, aim 200)")


if __name__ == "__main__":
    main()
