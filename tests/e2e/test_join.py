# SPDX-License-Identifier: ISC
"""muster-agent --join URL: the key from standard input or a terminal, tried once, saved, and an uplink in conf.d."""
import os
import pwd
import re
import shlex
import stat
import subprocess
import time

import pytest

import sessions
from conftest import BUILD, ROOT, eventually, free_port
from sessions import DIRS, KEY, SECOND_KEY, machines
from test_terminal import terminal  # noqa: F401
from uplinks import save

COLLECTORS = 'collectors = ( { name = "cpu"; interval = 0.3; }, { name = "memory"; interval = 0.3; } );\nadaptive = "off";\n'


@pytest.fixture
def s(server):
    return server(plugins=sessions.plugins(), more=DIRS)


@pytest.fixture
def home(tmp_path):
    """A folder with agent.conf; keys go below it."""
    def make(uplinks="", key_dir=True):
        folder = tmp_path / "etc"
        folder.mkdir(exist_ok=True)
        text = DIRS + "\n" + COLLECTORS + (f'key_dir = "{tmp_path}/keys";\n' if key_dir else "") + (f"uplinks = ( {uplinks} );\n" if uplinks else "")
        (folder / "agent.conf").write_text(text)
        (folder / "agent.conf").chmod(0o644)
        return folder
    return make


def join(folder, url, key=KEY, timeout=60, env=None, more=()):
    """The command as people paste it; nothing that it says may hold the key, and neither may its arguments."""
    command = [BUILD / "bin/muster-agent", "-c", folder / "agent.conf", "--join", url, *more]
    done = subprocess.run(command, input=key, capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})})
    assert not key.strip() or key.strip() not in done.stdout + done.stderr
    assert "Sanitizer" not in done.stderr and "runtime error:" not in done.stderr, done.stderr
    return done


def keys(tmp_path):
    return list((tmp_path / "keys").glob("*.key"))


def untouched(folder, tmp_path):
    assert not (folder / "conf.d").exists() and keys(tmp_path) == []


@pytest.mark.parametrize("key", [KEY, KEY + "\n", f"  {KEY}\r\nnothing of this\n"])
def test_a_machine_joins_and_is_live(s, home, tmp_path, key):
    folder = home()
    done = join(folder, s.ws, key=key)
    assert done.returncode == 0 and f'as "{os.uname().nodename}"' in done.stdout and str(tmp_path / "keys") in done.stdout, (done.stdout, done.stderr)
    assert "user" not in done.stdout and "no configuration" not in done.stdout  # ids say nothing to people
    file, = keys(tmp_path)
    assert file.read_text() == KEY + "\n" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    conf = folder / "conf.d/uplink.conf"
    assert f'url = "{s.ws}"' in conf.read_text() and KEY not in conf.read_text() and stat.S_IMODE(conf.stat().st_mode) == 0o644
    # The service that follows finds both.
    agent = subprocess.Popen([BUILD / "bin/muster-agent", "--service", "-c", folder / "agent.conf"], stderr=open(tmp_path / "log", "w"))
    try:
        eventually(lambda: [m for m in machines(s).values() if m["status"] == "online" and m["metrics"]], 20)
    finally:
        agent.terminate()
        assert agent.wait(15) == 0, (tmp_path / "log").read_text()
    # Once more, with another key and another address of the same server: the file is written anew, not twice.
    done = join(folder, s.ws + "/ws/session", key=SECOND_KEY)
    assert done.returncode == 0, done.stderr
    assert keys(tmp_path)[0].read_text() == SECOND_KEY + "\n" and conf.read_text().count("uplinks") == 1 and "/ws/session" in conf.read_text()
    check = subprocess.run([BUILD / "bin/muster-agent", "--check-config", "-c", folder / "agent.conf"], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_a_refused_key_changes_nothing(s, home, tmp_path):
    folder = home()
    done = join(folder, s.ws, key="a-key-that-nobody-has-0123")
    assert done.returncode == 77 and "does not know the API key" in done.stderr, done.stderr
    untouched(folder, tmp_path)
    # And what was saved before stays.
    save(tmp_path / "keys", s.ws[5:], KEY)
    assert join(folder, s.ws, key="a-key-that-nobody-has-0123").returncode == 77
    assert keys(tmp_path)[0].read_text() == KEY + "\n"


@pytest.mark.parametrize("key, word", [("", "no API key was given"), ("\n", "no API key was given"), ("short", "that is no API key"),
                                       ("with a blank in it", "that is no API key"), ("x" * 300, "that is no API key"), ("k\u00e9y-of-somebody", "that is no API key")])
def test_what_is_no_key(s, home, tmp_path, key, word):
    folder = home()
    done = join(folder, s.ws, key=key)
    assert done.returncode == 78 and word in done.stderr, done.stderr
    untouched(folder, tmp_path)


@pytest.mark.parametrize("url, word", [("https://example.org/", "must begin with wss://"), ("wss://", "the host must be"), ("ws://u:p@127.0.0.1/", "must not have a user"),
                                       ("ws://127.0.0.1/\"; x = \"", "must not have blanks"), ("ws://127.0.0.1:99999/", "the port")])
def test_what_is_no_address(home, tmp_path, url, word):
    folder = home()
    done = join(folder, url)
    assert done.returncode == 78 and word in done.stderr, done.stderr
    untouched(folder, tmp_path)


def test_no_server_and_no_muster(s, home, tmp_path):
    folder = home()
    began = time.monotonic()
    done = join(folder, f"ws://127.0.0.1:{free_port()}/")
    assert done.returncode == 1 and "there is no link to 127.0.0.1:" in done.stderr and "Nothing was changed" in done.stderr, done.stderr
    done = join(folder, s.ws + "/api/nothing")
    assert done.returncode == 1 and "HTTP 404" in done.stderr, done.stderr
    assert time.monotonic() - began < 20
    untouched(folder, tmp_path)


def test_an_uplink_that_is_configured_already_keeps_its_options(s, home, tmp_path):
    """Its own name and machine id are used for the try, only the key is saved."""
    folder = home(f'{{ name = "session"; config = {{ url = "{s.ws}"; name = "Named"; machine_id = "box-7"; }}; }}')
    done = join(folder, s.ws)
    assert done.returncode == 0 and 'as "Named"' in done.stdout and "already" in done.stdout, (done.stdout, done.stderr)
    assert len(keys(tmp_path)) == 1 and not (folder / "conf.d").exists()


def test_beside_another_uplink(s, home, tmp_path):
    folder = home('{ name = "session"; config = { url = "ws://127.0.0.1:1/"; }; }')
    done = join(folder, s.ws)
    assert done.returncode == 0 and "agent.conf:" in done.stderr and "take it out" in done.stderr, done.stderr
    assert 'instance = "joined"' in (folder / "conf.d/uplink.conf").read_text()
    check = subprocess.run([BUILD / "bin/muster-agent", "--check-config", "-c", folder / "agent.conf"], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr


def test_where_nothing_can_be_written(s, home, tmp_path):
    folder = home()
    (folder / "conf.d").symlink_to("nowhere")
    done = join(folder, s.ws)
    assert done.returncode == 1 and "uplink.conf cannot be written" in done.stderr, done.stderr
    (folder / "conf.d").unlink()
    (tmp_path / "keys").chmod(0o755)
    done = join(folder, s.ws)
    assert done.returncode == 1 and "cannot be saved" in done.stderr and "chmod 700" in done.stderr, done.stderr
    assert not (folder / "conf.d").exists()


def test_at_a_terminal_the_key_is_not_seen(terminal, s, home, tmp_path):  # noqa: F811
    folder = home()
    script = tmp_path / "run"
    script.write_text(f"{shlex.quote(str(BUILD / 'bin/muster-agent'))} -c {folder / 'agent.conf'} --join {s.ws}\necho status=$?\n")
    terminal.enter(f". {script}")
    terminal.see("API Key:")
    terminal.type(KEY)
    terminal.key("Enter")
    terminal.see("status=0")
    assert KEY not in terminal.text() and "knows the API key" in terminal.text()
    assert keys(tmp_path)[0].read_text() == KEY + "\n"
    terminal.echoes()


def listed(path):
    """The collectors of a configuration: names and options, as they are written."""
    text = re.sub(r"^\s*#.*$", "", path.read_text(), flags=re.M)
    text = re.search(r"^collectors = \((.*?)^\);", text, re.S | re.M)[1]
    return [(name, *re.findall(r"(?:interval|deadline) = [0-9.]+", rest)) for name, rest in re.findall(r'name = "(\w+)";([^}]*)', text)]


@pytest.mark.parametrize("below", ["agent.conf", "etc/agent.conf"])
def test_where_there_is_no_configuration_one_is_written(s, tmp_path, below):
    """A fresh machine: the agent is installed, nothing is configured. Two lines are enough; a third party's umask is no obstacle."""
    path, environment = tmp_path / below, {**os.environ, "STATE_DIRECTORY": str(tmp_path / "keys")}
    command = [BUILD / "bin/muster-agent", "-c", path]
    # A refused key leaves the machine as fresh as it was.
    refused = subprocess.run([*command, "--join", s.ws], input="a-key-that-nobody-has-0123", capture_output=True, text=True, timeout=60, env=environment)
    assert refused.returncode == 77 and not path.exists() and not (tmp_path / "etc").exists() and not (path.parent / "conf.d").exists(), refused.stderr
    done = subprocess.run([*command, "--join", s.ws], input=KEY, capture_output=True, text=True, timeout=60, env=environment, umask=0o077)
    assert done.returncode == 0 and f"There was no configuration: {path} was written" in done.stdout, (done.stdout, done.stderr)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 and stat.S_IMODE((path.parent / "conf.d/uplink.conf").stat().st_mode) == 0o644
    assert stat.S_IMODE((path.parent / "conf.d").stat().st_mode) == 0o755 and KEY not in path.read_text()
    if path.parent != tmp_path:
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    file, = keys(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert listed(path) == listed(ROOT / "etc/agent.conf")  # what it measures does not depend on who wrote the file
    check = subprocess.run([*command, "--check-config"], capture_output=True, text=True)
    assert check.returncode == 0 and check.stderr == "", check.stderr
    with subprocess.Popen([*command, "--service"], stderr=open(tmp_path / "log", "w"), env=environment) as agent:
        try:
            eventually(lambda: [m for m in machines(s).values() if m["status"] == "online" and "cpu" in m["metrics"]], 20)
        finally:
            agent.terminate()
    # What is there is never written again.
    path.write_text(path.read_text().replace("interval = 5.0", "interval = 7.0"))
    again = subprocess.run([*command, "--join", s.ws], input=KEY, capture_output=True, text=True, timeout=60, env=environment)
    assert again.returncode == 0 and "no configuration" not in again.stdout and "interval = 7.0" in path.read_text(), again.stderr


def test_a_configuration_that_is_written_while_the_key_is_asked_for_stays(terminal, s, tmp_path):  # noqa: F811
    path, script = tmp_path / "etc/agent.conf", tmp_path / "run"
    script.write_text(f"STATE_DIRECTORY={tmp_path}/keys {shlex.quote(str(BUILD / 'bin/muster-agent'))} -c {path} --join {s.ws}\necho status=$?\n")
    terminal.enter(f". {script}")
    terminal.see("API Key:")
    path.parent.mkdir()
    path.write_text(DIRS + "\n" + COLLECTORS)
    terminal.type(KEY)
    terminal.key("Enter")
    terminal.see("status=0")
    assert path.read_text() == DIRS + "\n" + COLLECTORS and "There was no configuration" not in terminal.text()
    assert s.ws in (path.parent / "conf.d/uplink.conf").read_text()


def test_where_there_is_only_a_conf_d_it_counts(s, tmp_path):
    """A server's machine, with parts of the agent's configuration, and no agent.conf yet."""
    path, drops, environment = tmp_path / "agent.conf", tmp_path / "conf.d", {**os.environ, "STATE_DIRECTORY": str(tmp_path / "keys")}
    drops.mkdir()
    (drops / "server.conf").write_text('plugins = ( { name = "machines"; } );\n')
    (drops / "mine.conf").write_text('uplinks = ( { name = "session"; config = { url = "ws://127.0.0.1:1"; api_key = "of-another-server-0123"; }; } );\n')
    command = [BUILD / "bin/muster-agent", "-c", path]
    done = subprocess.run([*command, "--join", s.ws], input=KEY, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0 and f"{path} was written" in done.stdout, (done.stdout, done.stderr)
    check = subprocess.run([*command, "--check-config"], capture_output=True, text=True)
    assert check.returncode == 0, check.stderr
    assert 'name = "session"' in (drops / "uplink.conf").read_text() and "instance = " in (drops / "uplink.conf").read_text()


def test_where_no_configuration_can_be_written_nobody_is_asked(tmp_path):
    """Before the server hears of the key."""
    path = tmp_path / "no/such/agent.conf"
    done = subprocess.run([BUILD / "bin/muster-agent", "-c", path, "--join", "ws://127.0.0.1:1/"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30)
    assert done.returncode == 78 and f"there is no configuration at {path}, and none can be written there: No such file" in done.stderr, done.stderr
    # The other ways to start still say that there is none.
    done = subprocess.run([BUILD / "bin/muster-agent", "--once"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    if not os.path.exists("/etc/muster/agent.conf"):
        assert done.returncode == 78 and "there is no configuration" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_the_key_belongs_to_who_runs_the_service(s, home, tmp_path):
    """The folder of keys is the service user's: so is the key; the configuration stays root's."""
    nobody = pwd.getpwnam("nobody")
    folder = home()
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and path != path.parent:
            path.chmod(path.stat().st_mode | 0o011)
    (tmp_path / "keys").mkdir(mode=0o700)
    os.chown(tmp_path / "keys", nobody.pw_uid, nobody.pw_gid)
    done = join(folder, s.ws)
    assert done.returncode == 0, done.stderr
    file, = keys(tmp_path)
    assert file.stat().st_uid == nobody.pw_uid and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (folder / "conf.d/uplink.conf").stat().st_uid == 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_it_works_where_it_is_installed(s, tmp_path):
    """The loader passes over $ORIGIN where a program has two users, and an installed agent finds its library by nothing else."""
    subprocess.run(["cmake", "--install", BUILD, "--prefix", tmp_path / "prefix"], check=True, capture_output=True, timeout=120)
    nobody = pwd.getpwnam("nobody")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_uid == 0 and path != path.parent:
            path.chmod(path.stat().st_mode | 0o011)
    (tmp_path / "keys").mkdir(mode=0o700)
    os.chown(tmp_path / "keys", nobody.pw_uid, nobody.pw_gid)
    path = tmp_path / "etc/agent.conf"
    done = subprocess.run([tmp_path / "prefix/bin/muster-agent", "-c", path, "--join", s.ws], input=KEY, capture_output=True, text=True, timeout=60,
                          env={**os.environ, "STATE_DIRECTORY": str(tmp_path / "keys")})
    assert done.returncode == 0, done.stderr
    file, = keys(tmp_path)
    assert file.stat().st_uid == nobody.pw_uid and (tmp_path / "etc/conf.d/uplink.conf").exists()


def no_service_user():
    try:
        return not pwd.getpwnam("muster")
    except KeyError:
        return True


@pytest.mark.skipif(os.geteuid() != 0 or not no_service_user(), reason="needs root, and no user muster")
def test_as_root_without_the_services_user_it_says_so(s, home, tmp_path):
    """The agent was copied, not installed: the key that root saves is not where a service would look."""
    folder = home(key_dir=False)
    done = join(folder, s.ws, env={"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert done.returncode == 0 and "there is no user \"muster\" yet" in done.stderr and "systemd-sysusers" in done.stderr, done.stderr
    file, = (tmp_path / "config/muster").glob("*.key")
    assert file.stat().st_uid == 0


def test_it_ends_at_once_when_it_is_told_to(s, home, tmp_path):
    folder = home()
    read, write = os.pipe()
    with subprocess.Popen([BUILD / "bin/muster-agent", "-c", folder / "agent.conf", "--join", s.ws], stdin=read, stderr=subprocess.PIPE) as waiting:
        time.sleep(1)
        assert waiting.poll() is None
        waiting.terminate()
        assert waiting.wait(10) != 0
    os.close(read), os.close(write)
    untouched(folder, tmp_path)
