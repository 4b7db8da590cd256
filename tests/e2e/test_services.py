# SPDX-License-Identifier: ISC
"""What a service manager is told (Type=notify in packaging/): scripts/check-units tries the units under a systemd."""
import os
import socket
import subprocess

import pytest

from conftest import BUILD, free_port

DIRS = f'plugin_dirs = [ "{BUILD}/lib/muster/plugins" ];'
SERVER = DIRS + ' listen = ( {{ port = {port}; }} ); plugins = ( {{ name = "machines"; }} );'
AGENT = DIRS + ' collectors = ( {{ name = "cpu"; }} ); uplinks = ( {{ name = "server_status"; config = {{ url = "ws://127.0.0.1:{port}/"; server_id = "a"; secret = "a-secret-0123456789"; }}; }} );'


@pytest.fixture
def manager(tmp_path):
    """Starts a program as a service manager does; its socket has a path or an abstract name."""
    made = []

    def start(name, conf, abstract=False):
        file = tmp_path / f"{name}.conf"
        file.write_text(conf)
        file.chmod(0o600)
        where = f"muster-test-{os.getpid()}-{free_port()}" if abstract else str(tmp_path / "notify")
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ear.bind("\0" + where if abstract else where)
        ear.settimeout(20)
        process = subprocess.Popen([BUILD / "bin" / name, "-c", file], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                                   env={**os.environ, "NOTIFY_SOCKET": "@" + where if abstract else where})
        made.append((ear, process))
        return ear, process

    yield start
    for ear, process in made:
        ear.close()
        if process.poll() is None:
            process.kill()
        process.wait(10)
        process.stderr.close()


@pytest.mark.parametrize("name, conf", [("musterd", SERVER), ("muster-agent", AGENT)])
@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told_when_it_is_ready(manager, name, conf, abstract):
    port = free_port()
    ear, process = manager(name, conf.format(port=port), abstract)
    assert ear.recv(4096) == b"READY=1"
    if name == "musterd":  # and it is
        socket.create_connection(("127.0.0.1", port), 5).close()
    process.terminate()
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0 and "cannot be told" not in log, log
    ear.setblocking(False)
    with pytest.raises(BlockingIOError):
        ear.recv(4096)


@pytest.mark.parametrize("name, conf", [("musterd", SERVER), ("muster-agent", AGENT)])
def test_a_start_that_fails_is_never_ready(manager, name, conf):
    ear, process = manager(name, conf.format(port=free_port()) + " nonsense = 1;")
    _, log = process.communicate(timeout=20)
    assert process.returncode == 78 and "nonsense" in log, log
    ear.setblocking(False)
    with pytest.raises(BlockingIOError):
        ear.recv(4096)


@pytest.mark.parametrize("name, conf", [("musterd", SERVER), ("muster-agent", AGENT)])
def test_the_journal_is_told_priorities(tmp_path, name, conf):
    """`journalctl -p err` finds what went wrong."""
    file, log = tmp_path / f"{name}.conf", tmp_path / "log"
    file.write_text(conf.format(port=free_port()) + " nonsense = 1;")
    file.chmod(0o600)
    for stream in (True, False):
        with open(log, "w") as to:
            is_ = os.fstat(to.fileno())
            env = {**os.environ, "JOURNAL_STREAM": f"{is_.st_dev}:{is_.st_ino + (not stream)}"}
            assert subprocess.run([BUILD / "bin" / name, "-c", file], stderr=to, stdin=subprocess.DEVNULL, env=env, timeout=20).returncode == 78
        begin = "<3>" if stream else ""
        assert f"{begin}{file}:1: error: unknown option 'nonsense'" in log.read_text().splitlines()[0], log.read_text()
        assert log.read_text().startswith(begin + str(tmp_path))


def test_a_manager_that_has_gone(tmp_path):
    """Told once, and the server serves."""
    (tmp_path / "musterd.conf").write_text(SERVER.format(port=free_port()))
    (tmp_path / "musterd.conf").chmod(0o600)
    for where in (str(tmp_path / "nobody"), "relative", "@", "/" + "x" * 200):
        process = subprocess.Popen([BUILD / "bin/musterd", "-c", tmp_path / "musterd.conf"], stderr=subprocess.PIPE, text=True,
                                   stdin=subprocess.DEVNULL, env={**os.environ, "NOTIFY_SOCKET": where})
        try:
            seen = ""
            while "cannot be told" not in seen:
                line = process.stderr.readline()
                assert line, seen
                seen += line
            assert "ready" in seen and process.poll() is None
        finally:
            process.terminate()
            assert process.wait(20) == 0
            process.stderr.close()
