#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""Muster against a Node `ws` server and a raw epoll loop, paired in one run; then the relay (relay/bench.py). Prints medians and ratios.

Server pinned to one core, load generator to the other; rounds alternate between the servers. Usage: run.py BUILD [--rounds N] [--short] [--only live|relay]
"""
import argparse, json, os, socket, statistics, subprocess, sys, tempfile, time
from datetime import date
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.append(str(here.parent))
from ports import free_port  # noqa: E402

SECRET = "bench-secret-0123456789"


def pinned(core, *command):
    return ["taskset", "-c", str(core), *map(str, command)] if os.cpu_count() > 1 else list(map(str, command))


class Server:
    def __init__(self, name, make):
        self.name, self.make = name, make

    def __enter__(self):
        self.port = free_port()
        # Debian keeps its Node libraries where only Debian's own node looks by itself.
        environment = {**os.environ, "NODE_PATH": "/usr/share/nodejs"}
        self.process = subprocess.Popen(pinned(0, *self.make(self.port)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.1)
        self.process.kill()
        raise SystemExit(f"{self.name} did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def configuration(folder, machines):
    def make(port):
        path = Path(folder) / f"server-{port}.conf"
        entries = ",\n".join(f'{{ id = "bench-{n:05d}"; name = "bench-{n:05d}"; secret = "{SECRET}"; }}' for n in range(machines))
        path.write_text(f"""listen = ( {{ address = "127.0.0.1"; port = {port}; }} );
limits = {{ max_connections = 30000; max_connections_per_peer = 0; connects_per_second = 0; }};
plugins = ( {{ name = "auth_static"; config = {{ servers = (
{entries} ); }}; }},
  {{ name = "machines"; config = {{ max_per_owner = 10000; }}; }}, {{ name = "server_status"; }} );
""")
        path.chmod(0o600)
        return path

    return make


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="one quick round: proves that it runs, measures nothing")
    parser.add_argument("--only", choices=("live", "relay"))
    options = parser.parse_args()
    options.build = options.build.resolve()
    rounds = 1 if options.short else options.rounds
    status = live(options, rounds) if options.only != "relay" else 0
    if status == 0 and options.only != "live":
        sys.path.insert(0, str(here / "relay"))
        from bench import bench
        bench(options.build, rounds, options.short)
    return status


def live(options, rounds):
    seconds = 1 if options.short else 5
    with tempfile.TemporaryDirectory() as folder:
        configure = configuration(folder, 1000)
        muster = Server("muster", lambda port: [options.build / "bin/musterd", "-c", configure(port)])
        node = Server("node ws", lambda port: ["node", here / "rival.js", port])
        raw = Server("raw epoll", lambda port: [options.build / "tests/bench_raw", port])
        fan = 20 if options.short else 300
        cases = [
            ("ingest, 1 000 agents, closed loop", (muster, node, raw), ["ingest", f"seconds={seconds}"]),
            ("ingest, 1 000 agents, 1 000/s paced", (muster, node, raw), ["ingest", f"seconds={seconds}", "rate=1000"]),
            ("fan-out, 10 pages", (muster, node, raw), ["fanout", "subs=10", f"rounds={fan * 10}"]),
            ("fan-out, 100 pages", (muster, node, raw), ["fanout", "subs=100", f"rounds={fan * 2}"]),
            ("fan-out, 1 000 pages", (muster, node, raw), ["fanout", "subs=1000", f"rounds={fan}"]),
            ("fan-out, 100 pages, bursts of 32", (muster, node, raw), ["fanout", "subs=100", "burst=32", f"rounds={fan // 2}"]),
            ("fan-out, 100 pages, paced 20/s", (muster, node), ["fanout", "subs=100", f"rounds={fan // 3}", "gap_ms=50"]),
        ]
        print(f"{date.today()}, {os.cpu_count()} cores, {options.build}: CPU microseconds of the server per message or delivery, medians of {rounds}")
        print(f"{'':38}{'muster':>9}{'node ws':>9}{'raw':>9}{'node/muster':>13}{'raw/muster':>12}{'p50 m/n':>9}{'p99 m/n':>9}")
        for title, servers, arguments in cases:
            figures = {server.name: [] for server in servers}
            for number in range(rounds):
                order = servers if number % 2 == 0 else tuple(reversed(servers))
                for server in order:
                    with server:
                        done = subprocess.run(pinned(1, options.build / "tests/bench_load", arguments[0], server.port, server.process.pid, f"secret={SECRET}", *arguments[1:]),
                                              capture_output=True, text=True)
                        if done.returncode != 0:
                            print(f"{title}: {server.name}: {done.stderr.strip()} {done.stdout.strip()}")
                            return 1
                        figures[server.name].append(json.loads(done.stdout))
            middle = lambda name, key: statistics.median(f[key] for f in figures[name]) if name in figures else float("nan")
            m, n, r = (middle(name, "cpu_us") for name in ("muster", "node ws", "raw epoll"))
            ratio = lambda key: middle("muster", key) / middle("node ws", key) if middle("node ws", key) else float("nan")
            # What a case does not measure is a dash: agents that report at a pace wait for nothing, and the bound has no pace.
            shown = lambda value, width, spec, unit="": f"{format(value, spec) + unit if value == value else '–':>{width}}"
            print(f"{title:38}{shown(m, 9, '.2f')}{shown(n, 9, '.2f')}{shown(r, 9, '.2f')}{shown(n / m, 13, '.1f', '×')}{shown(r / m, 12, '.0%')}"
                  f"{shown(ratio('p50_us'), 9, '.2f')}{shown(ratio('p99_us'), 9, '.2f')}", flush=True)
    return 0


sys.exit(main())
