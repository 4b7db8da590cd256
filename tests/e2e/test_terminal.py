# SPDX-License-Identifier: ISC
"""muster-agent, and musterd, at a terminal: a real one, of tmux, with a shell in it."""
import contextlib
import os
import re
import shlex
import signal
import stat
import subprocess
import time

import pytest

import sessions
from conftest import BUILD, eventually, free_port
from sessions import DIRS, KEY, machines
from uplinks import configuration, save

PROMPT = "API Key:"
CONNECTED = "Connected To Server"


class Terminal:
    """A shell in a terminal of its own; what it shows is read back as a person would see it."""

    def __init__(self, folder):
        self.socket = folder / "tmux"
        self.tmux("new-session", "-d", "-x", "150", "-y", "60", "env", "-u", "XDG_CONFIG_HOME", "-u", "STATE_DIRECTORY", f"HOME={folder}", "PS1=$ ",
                  "bash", "--norc", "--noprofile")
        self.see("$")

    def tmux(self, *arguments):
        return subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *map(str, arguments)], check=True, capture_output=True,
                              text=True, timeout=10).stdout

    def text(self):
        return self.tmux("capture-pane", "-p", "-J", "-S", "-")

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def key(self, *names):
        self.tmux("send-keys", *names)

    def enter(self, text=""):
        if text:
            self.type(text)
        self.key("Enter")

    def see(self, what, count=1, timeout=20):
        """Waits until the text is there that many times."""
        try:
            eventually(lambda: self.text().count(what) >= count, timeout)
        except AssertionError:
            raise AssertionError(f"no {count} × {what!r} in:\n{self.text()}") from None

    def clear(self):
        self.enter("clear")
        eventually(lambda: "clear" not in self.text())
        self.tmux("clear-history")

    def echoes(self):
        """The shell is back, and what is typed is seen."""
        n = int(time.monotonic() * 1000) % 100000
        self.type(f"echo $(({n}+1))")
        self.see(f"$(({n}+1))", timeout=5)
        self.key("Enter")
        self.see(f"{n + 1}", timeout=5)

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, timeout=10)


@pytest.fixture
def terminal(tmp_path):
    made = Terminal(tmp_path)
    yield made
    made.close()


@pytest.fixture
def s(server):
    return server(plugins=sessions.plugins(), more=DIRS)


@pytest.fixture
def agent(terminal, tmp_path):
    """A function that starts the agent by typing its command; the last line then tells its status."""
    def begin(url, *arguments, to="", before="", **how):
        how.setdefault("keys", tmp_path / "config" / "keys")
        file = tmp_path / "agent.conf"
        file.write_text(configuration(url, **how))
        file.chmod(0o600)
        script = tmp_path / "run"
        script.write_text(f"{before}{shlex.quote(str(BUILD / 'bin/muster-agent'))} -c {file} {' '.join(arguments)} {to}\necho status=$?\n")
        terminal.enter(f". {script}")
        return how["keys"]
    return begin


def pid_of(folder, name="agent.conf"):
    """The agent of this test, or its server, found by its configuration file's path."""
    wanted = str(folder / name).encode()
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and wanted in open(f"/proc/{entry}/cmdline", "rb").read().split(b"\0"):
                return int(entry)
        except OSError:
            pass
    return None


def online(server):
    return eventually(lambda: [m for m in machines(server).values() if m["status"] == "online" and m["metrics"]], 20)


def the_file(keys):
    """The one saved key, in a folder and a file of this user alone."""
    file, = eventually(lambda: list(keys.glob("*.key")), 30)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(keys.stat().st_mode) == 0o700
    return file


def test_the_first_start_asks_once_and_unseen(terminal, agent, s):
    keys = agent(s.ws)
    terminal.see(PROMPT)
    shown = terminal.text()
    assert CONNECTED in shown and "##   ##  ##   ##" in shown and shown.index("##") < shown.index(CONNECTED) < shown.index(PROMPT)
    assert not keys.exists()
    terminal.type("wrong")
    terminal.key("C-u")
    terminal.type(KEY[:8] + "xyz")
    terminal.key("BSpace", "BSpace", "BSpace", "Left")
    terminal.enter(KEY[8:])
    machine, = online(s)
    assert the_file(keys).read_text() == KEY + "\n"
    time.sleep(0.5)
    for part in (KEY, KEY[:6], KEY[8:14], "wrong", "xyz", "*"):
        assert part not in terminal.text().split(PROMPT, 1)[1]
    terminal.key("C-c")
    terminal.see("status=0")
    terminal.echoes()
    # The second start asks nothing.
    terminal.clear()
    agent(s.ws)
    terminal.see(CONNECTED)
    assert online(s)[0]["machineId"] == machine["machineId"]
    assert PROMPT not in terminal.text()
    terminal.key("C-c")
    terminal.see("status=0")


def test_a_wrong_key_is_asked_for_again(terminal, agent, s):
    keys = agent(s.ws)
    terminal.see(PROMPT)
    terminal.enter("short")
    terminal.see("An API key has 8 to 256 visible characters.")
    terminal.see(PROMPT, 2)
    terminal.enter("wrong-key-0123")
    terminal.see("Invalid API Key")
    terminal.see(PROMPT, 3)
    assert not keys.exists()
    terminal.enter()  # nothing: asked again, without a link in between
    terminal.see(PROMPT, 4)
    terminal.enter(KEY)
    online(s)
    assert the_file(keys).read_text() == KEY + "\n" and "wrong-key" not in terminal.text()
    terminal.key("C-c")
    terminal.see("status=0")


def test_a_saved_key_that_is_refused(terminal, agent, s, tmp_path):
    file = save(tmp_path / "config" / "keys", f"127.0.0.1:{s.port}", "wrong-key-0123")
    agent(s.ws)
    terminal.see(PROMPT)
    assert "Invalid API Key" in terminal.text() and not file.exists()
    terminal.enter(KEY)
    online(s)
    eventually(file.exists)
    terminal.key("C-c")
    terminal.see("status=0")


def test_a_configured_key_that_is_refused(terminal, agent, s):
    keys = agent(s.ws, key="wrong-key-0123")
    terminal.see(PROMPT)
    terminal.enter(KEY)
    online(s)
    terminal.key("C-c")
    terminal.see("status=0")
    terminal.clear()
    the_file(keys)
    agent(s.ws, key="wrong-key-0123")  # the saved one helps out
    online(s)
    assert PROMPT not in terminal.text()
    terminal.key("C-c")
    terminal.see("status=0")


def test_a_configured_key_asks_nothing(terminal, agent, s):
    keys = agent(s.ws, key=KEY)
    terminal.see(CONNECTED)
    online(s)
    assert PROMPT not in terminal.text() and not keys.exists()
    terminal.key("C-c")
    terminal.see("status=0")


@pytest.mark.parametrize("end,status", [("C-c", 0), ("C-d", 78), (signal.SIGTERM, 0), (signal.SIGSEGV, None), (signal.SIGQUIT, None)])
def test_the_terminal_is_as_before(terminal, agent, s, tmp_path, end, status):
    agent(s.ws)
    terminal.see(PROMPT)
    terminal.type("half a key")
    time.sleep(0.3)  # tmux hands it on by itself
    if isinstance(end, str):
        terminal.key(end)
    else:
        os.kill(pid_of(tmp_path), end)
    terminal.see("status=" + ("" if status is None else str(status)))
    terminal.echoes()
    assert "half a key" not in terminal.text()


def test_it_cannot_be_stopped_while_it_asks(terminal, agent, s):
    agent(s.ws)
    terminal.see(PROMPT)
    terminal.key("C-z")
    terminal.key("C-\\")
    terminal.enter(KEY)
    online(s)
    terminal.key("C-c")
    terminal.see("status=0")


def test_log_lines_wait_for_the_answer(terminal, agent, s, tmp_path):
    agent(s.ws, top='log = { level = "debug"; };')
    terminal.see(PROMPT)
    os.kill(pid_of(tmp_path), signal.SIGHUP)
    time.sleep(1)
    assert terminal.text().rstrip().endswith(PROMPT)
    terminal.enter(KEY)
    terminal.see("reload")
    terminal.key("C-c")
    terminal.see("status=0")


@pytest.mark.parametrize("arguments,to", [(("--service",), ""), ((), "</dev/null"), ((), "2>&1 | cat; (exit ${PIPESTATUS[0]})")])
def test_nobody_is_asked(terminal, agent, s, arguments, to):
    """A service, and one whose input or output is not the terminal."""
    agent(s.ws, *arguments, to=to)
    terminal.see("status=78")
    assert PROMPT not in terminal.text() and CONNECTED not in terminal.text() and "there is no API key" in terminal.text()


@pytest.mark.slow
def test_a_server_that_is_not_there_yet(terminal, agent, server):
    port = free_port()
    agent(f"ws://127.0.0.1:{port}")
    terminal.see("cannot be reached")
    assert CONNECTED not in terminal.text() and PROMPT not in terminal.text()
    server(plugins=sessions.plugins(), more=DIRS, port=port)
    terminal.see(PROMPT, timeout=30)
    assert CONNECTED in terminal.text()
    terminal.key("C-c")
    terminal.see("status=0")


def test_a_backend_that_is_down_keeps_the_key(terminal, agent, server):
    s = server(plugins=sessions.plugins(sessions.ORACLE), more=DIRS)
    sessions.steer(s, "oracle", mode="down")
    keys = agent(s.ws)
    terminal.see(PROMPT)
    terminal.enter("user:alice:one")
    terminal.see("The server cannot check the API key now")
    assert "Invalid" not in terminal.text() and not keys.exists()
    sessions.steer(s, "oracle", mode="up")
    assert the_file(keys).read_text() == "user:alice:one\n" and terminal.text().count(PROMPT) == 1
    terminal.key("C-c")
    terminal.see("status=0")


def test_the_folder_of_the_user(terminal, agent, s, tmp_path):
    """Without key_dir: ~/.config/muster."""
    agent(s.ws, keys="")
    terminal.see(PROMPT)
    terminal.enter(KEY)
    keys = tmp_path / ".config" / "muster"
    assert re.fullmatch(r"127\.0\.0\.1_\d+\.key", the_file(keys).name)
    terminal.key("C-c")
    terminal.see("status=0")


def lives(pid):
    """A zombie does not."""
    try:
        return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def not_left(pid):
    try:
        yield
    finally:
        if lives(pid):
            os.kill(pid, signal.SIGKILL)


def ends_with(terminal, pid, status):
    """With the terminal, in order, as the file says that tells how it ended."""
    terminal.tmux("kill-session")
    eventually(lambda: not lives(pid))
    eventually(lambda: status.exists() and status.read_text())
    assert status.read_text() == "0\n"


def outlives(terminal, pid):
    terminal.tmux("kill-session")
    time.sleep(2)
    assert lives(pid)


def reloads(pid, log, word="reloaded"):
    before = log.read_text().count(word)
    os.kill(pid, signal.SIGHUP)
    eventually(lambda: log.read_text().count(word) > before)
    assert lives(pid)


def ends_when_told(pid):
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not lives(pid))


@pytest.mark.parametrize("how", ["foreground", "background", "asking"])
def test_it_ends_with_its_terminal(terminal, agent, s, tmp_path, how):
    """What tmux, ssh and windows do when they are closed: the shell passes its SIGHUP on, the kernel sends another."""
    status = tmp_path / "status"
    # The subshell outlives the signal that it gets as well, and tells how the agent ended.
    agent(s.ws, key="" if how == "asking" else KEY, before="(trap : HUP; ", to=f"; echo $? >{status}){' &' if how == 'background' else ''}")
    if how == "asking":
        terminal.see(PROMPT)
    else:
        online(s)
    pid = pid_of(tmp_path)
    with not_left(pid):
        os.kill(pid, signal.SIGHUP)  # a person's: a reload
        time.sleep(1)
        assert lives(pid)
        ends_with(terminal, pid, status)


@pytest.mark.parametrize("before,to", [("(trap '' HUP; ", ")"), ("", "& disown")])
def test_it_outlives_its_terminal_when_told_to(terminal, agent, s, tmp_path, before, to):
    """As nohup and disown have it; and then SIGHUP still reloads."""
    log = tmp_path / "log"
    agent(s.ws, key=KEY, before=before, to=f"2>{log} {to}", top='log = { level = "info"; };')
    online(s)
    pid = pid_of(tmp_path)
    with not_left(pid):
        outlives(terminal, pid)
        reloads(pid, log, "reload")
        time.sleep(1)
        assert lives(pid)
        ends_when_told(pid)


@pytest.fixture
def musterd(terminal, tmp_path):
    """A function that starts a server by typing its command; gives its process id and its log."""
    def begin(before, to):
        conf, log = tmp_path / "server.conf", tmp_path / "log"
        conf.write_text(f'listen = ( {{ address = "127.0.0.1"; port = {free_port()}; }} );\nplugins = ( {{ name = "machines"; }} );\n')
        conf.chmod(0o600)
        script = tmp_path / "run"
        script.write_text(f"{before}{shlex.quote(str(BUILD / 'bin/musterd'))} -c {conf} 2>{log} {to}\n")
        terminal.enter(f". {script}")
        eventually(lambda: log.exists() and "ready" in log.read_text(), 20)
        return pid_of(tmp_path, conf.name), log
    return begin


@pytest.mark.parametrize("how", ["foreground", "background"])
def test_the_server_ends_with_its_terminal(terminal, musterd, tmp_path, how):
    """Taken for a reload, the signal would leave a server behind that nobody sees any more and that keeps the port."""
    status = tmp_path / "status"
    pid, log = musterd("(trap : HUP; ", f"; echo $? >{status}){' &' if how == 'background' else ''}")
    with not_left(pid):
        reloads(pid, log)  # a person's signal
        ends_with(terminal, pid, status)


@pytest.mark.parametrize("before,to", [("(trap '' HUP; ", ")"), ("", "& disown")])
def test_the_server_outlives_its_terminal_when_told_to(terminal, musterd, before, to):
    pid, log = musterd(before, to)
    with not_left(pid):
        outlives(terminal, pid)
        reloads(pid, log)
        ends_when_told(pid)
