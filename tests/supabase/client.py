# SPDX-License-Identifier: ISC
"""The official supabase-js as a child process; installed once, as the lock file says, into the build folder."""
import fcntl
import hashlib
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("MUSTER_BUILD", HERE.parents[1] / "build")).resolve()
# Debian's nodejs and, where others are to be tried as well, those of MUSTER_NODES (paths between colons).
NODES = [path for path in os.environ.get("MUSTER_NODES", "").split(":") if path] or [shutil.which("nodejs") or "node"]


def installed():
    """The folder with node_modules; npm ci runs when the lock file is another one."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = BUILD / f"supabase-js-{hashlib.sha256(lock).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / ".done").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(HERE / name, folder / name)
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
            assert done.returncode == 0, f"npm ci:\n{done.stdout}"
            (folder / ".done").touch()
    return folder


class Client:
    """with Client(url, key) as client: client.query("users", ["select", "id"], ["eq", "id", 1])"""

    def __init__(self, url, key, node=NODES[0], **env):
        folder = installed()
        self.process = subprocess.Popen(
            [node, HERE / "client.cjs"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
            env={**os.environ, "CLIENT_FOLDER": str(folder), "URL_OF_PROJECT": url, "KEY_OF_PROJECT": key, **env})
        self.lines, self.kept, self.errors = queue.Queue(), [], []
        self.readers = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._read_errors, daemon=True)]
        for reader in self.readers:
            reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put({"failed": "the client ended"})

    def _read_errors(self):
        self.errors.extend(self.process.stderr)

    def __enter__(self):
        self.node = self.next("node")["node"]
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def next(self, member, timeout=20, **others):
        """The next message with this member, and with these values of others; the rest is kept for later."""
        def fits(message):
            return member in message and all(message.get(name) == value for name, value in others.items())
        for message in self.kept:
            if fits(message):
                self.kept.remove(message)
                return message
        end = time.monotonic() + timeout
        while True:
            try:
                message = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {member} {others} came; {self.kept} {''.join(self.errors)}") from None
            assert "failed" not in message, f"{message} {''.join(self.errors)}"
            if fits(message):
                return message
            self.kept.append(message)

    def does(self, what, **values):
        self.process.stdin.write(json.dumps({"does": what, **values}) + "\n")
        return self.next("result")["result"]

    def query(self, table, *calls):
        return self.does("query", table=table, calls=calls)

    def subscribe(self, name, *wanted):
        self.does("subscribe", name=name, wanted=wanted)

    def change(self, name, timeout=20):
        return self.next("change", timeout, channel=name)["change"]

    def quiet(self, member, seconds=0.5):
        """True when no message with this member comes for so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                self.kept.append(self.lines.get(timeout=0.05))
            except queue.Empty:
                continue
        return not any(member in message for message in self.kept)
