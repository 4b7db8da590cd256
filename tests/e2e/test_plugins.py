# SPDX-License-Identifier: ISC
"""Plugins that are damaged, foreign, open to others or badly behaved: refused with a reason, and the server runs on."""
import os
import shutil
import signal
import subprocess

import pytest

from conftest import BUILD, SANITIZED, entry, eventually, get, static_plugins

TEST_PLUGINS = BUILD / "tests" / "plugins"


@pytest.fixture
def plugins(tmp_path):
    """A folder of one's own with a good plugin in it."""
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    put(folder, "good")
    return folder


def put(folder, name, source=None):
    target = folder / f"{name}.so"
    shutil.copy(TEST_PLUGINS / f"{source or name}.so", target)
    target.chmod(0o755)
    return target


def dirs(folder):
    return f'plugin_dirs = [ "{BUILD}/lib/muster/plugins", "{folder}" ];'


def truncate(folder):
    file = put(folder, "bad", "good")
    os.truncate(file, file.stat().st_size // 2)


def junk(folder):
    (folder / "bad.so").write_bytes(b"\x7fELF" + os.urandom(5000))


def a_text(folder):
    (folder / "bad.so").write_text("this is no shared object\n")


def empty(folder):
    (folder / "bad.so").touch()


def symlink(folder):
    (folder / "bad.so").symlink_to(TEST_PLUGINS / "good.so")


def writable(folder):
    put(folder, "bad", "good").chmod(0o757)


def writable_by_group(folder):
    put(folder, "bad", "good").chmod(0o775)


def strangers(folder):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(put(folder, "bad", "good"), 12345, 12345)


def pipe(folder):
    os.mkfifo(folder / "bad.so", 0o644)


def named(name):
    def make(folder):
        put(folder, name)
    make.plugin = name
    return make


# How it is made; what the one line must say besides the file.
REFUSED = {
    "other ABI": (named("other_major"), ["is built for ABI 2.0; expected 1.x"]),
    "newer ABI": (named("newer_minor"), ["is built for ABI 1.", "expected 1.x with x at most"]),
    "another name": (named("wrong_name"), ['"another"', 'expected "wrong_name"']),
    "no descriptor": (named("no_descriptor"), ["muster_plugin"]),
    "missing symbol": (named("missing_symbol"), ["nobody_has_this_symbol"]),
    "private symbol": (named("private_symbol"), ["private"]),
    "crashing constructor": (named("crashing"), ["crashed when it was loaded", "signal 11", "expected"]),
    "aborting constructor": (named("aborting"), ["crashed when it was loaded", "signal 6", "expected"]),
    "ending constructor": (named("exiting"), ["ended the program when it was loaded", "exit status 3"]),
    "truncated": (truncate, ["expected|cannot be loaded|crashed"]),
    "junk": (junk, ["cannot be loaded|crashed"]),
    "a text": (a_text, ["cannot be loaded"]),
    "empty": (empty, ["cannot be loaded"]),
    "symbolic link": (symlink, ["is a symbolic link", "expected a regular file"]),
    "writable by others": (writable, ["can be written by others", "mode 0757", "expected its owner only"]),
    "writable by its group": (writable_by_group, ["can be written by its group", "mode 0775", "expected its owner only"]),
    "a stranger's": (strangers, ["belongs to uid 12345", "expected root"]),
    "a pipe": (pipe, ["is no regular file", "expected a shared object"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_reason_and_the_server_runs_on(server, plugins, case):
    make, words = REFUSED[case]
    make(plugins)
    name = getattr(make, "plugin", "bad")
    s = server(plugins=static_plugins(entry("demo")) + [f'{{ name = "{name}"; }}', '{ name = "good"; }'], more=dirs(plugins))
    lines = [line for line in s.log.splitlines() if f"{plugins}/{name}.so" in line]
    assert lines, s.log
    for word in words:
        assert any(any(w in line for w in word.split("|")) for line in lines), (word, lines)
    assert s.alive() and get(s.http + "/api/server/statusInfo")["data"][0]["id"] == "demo"


def test_all_of_them_at_once(server, plugins):
    names = ["other_major", "crashing", "aborting", "exiting", "missing_symbol", "wrong_name", "init_error", "start_error"]
    for name in names:
        put(plugins, name)
    truncate(plugins)
    s = server(plugins=[f'{{ name = "{n}"; }}' for n in names + ["bad"]] + static_plugins(entry("demo")), more=dirs(plugins))
    for name in names + ["bad"]:
        assert name in s.log
    assert get(s.http + "/api/server/statusInfo")["data"][0]["id"] == "demo"


def test_a_folder_that_others_can_write(server, plugins):
    plugins.chmod(0o757)
    s = server(plugins=static_plugins(entry("demo")) + ['{ name = "good"; }'], more=dirs(plugins))
    line = next(line for line in s.log.splitlines() if f"{plugins}/good.so" in line)
    assert "folder" in line and "can be written by others" in line and "expected its owner only" in line
    assert get(s.http + "/api/statistics")["code"] == 200


def test_required_stops_the_program(tmp_path, plugins):
    put(plugins, "crashing")
    file = tmp_path / "server.conf"
    text = f'listen = ( {{ address = "127.0.0.1"; port = 0; }} );\n{dirs(plugins)}\nplugins = ( {{ name = "crashing"; required = true; }} );\n'
    file.write_text(text)
    def run(*arguments):
        return subprocess.run([BUILD / "bin/musterd", "-c", file, *arguments], capture_output=True, text=True, timeout=60)
    told = run()
    assert told.returncode == 1 and "crashing.so" in told.stderr and "required" in told.stderr, told.stderr
    put(plugins, "start_error")
    file.write_text(text.replace("crashing", "start_error"))
    told = run()
    assert told.returncode == 1 and "start_error" in told.stderr and "required" in told.stderr, told.stderr
    # --check-config goes through everything and ends 78 on any.
    file.write_text(text.replace("required = true;", ""))
    told = run("--check-config")
    assert told.returncode == 78 and "server.conf:3" in told.stderr and "crashing.so" in told.stderr, told.stderr


def test_a_wrong_option_is_a_configuration_error_even_if_not_required(tmp_path, plugins):
    file = tmp_path / "server.conf"
    file.write_text(f'listen = ( {{ address = "127.0.0.1"; port = 0; }} );\n{dirs(plugins)}\n'
                    'plugins = ( { name = "good"; config = {\n  nubmer = 3; }; } );\n')
    told = subprocess.run([BUILD / "bin/musterd", "-c", file], capture_output=True, text=True, timeout=60)
    assert told.returncode == 78 and "server.conf:4" in told.stderr and "did you mean 'number'" in told.stderr


def test_who_blocks_the_loop_is_named_while_it_does(server, plugins):
    put(plugins, "blocker")
    s = server(plugins=['{ name = "blocker"; instance = "the_culprit"; }'] + static_plugins(entry("demo")), more=dirs(plugins))
    # It sleeps for 30 s: whatever is logged now is not the loop's own doing.
    s.logged("the_culprit", 10)
    line = next(line for line in s.log.splitlines() if "the_culprit" in line and "loop" in line)
    assert "timer" in line or "callback" in line
    # The process itself ends in time regardless, and says that it was not in order.
    s.process.send_signal(signal.SIGTERM)
    assert s.process.wait(15 if SANITIZED else 3) == 1
    assert "did not stop within" in s.log


def test_two_instances_of_one_plugin(server, plugins):
    s = server(plugins=static_plugins(entry("demo")) + ['{ name = "good"; instance = "first"; config = { number = 1; }; }',
                                                        '{ name = "good"; instance = "second"; config = { number = 2; }; }'],
               more=dirs(plugins))
    assert get(s.http + "/api/statistics")["code"] == 200
    assert " error: " not in s.log
    two_auths = server(plugins=[f'{{ name = "auth_static"; config = {{ servers = ( {entry("one")} ); }}; }}',
                                f'{{ name = "auth_static"; instance = "more"; config = {{ servers = ( {entry("two")} ); }}; }}',
                                '{ name = "machines"; }', '{ name = "server_status"; }'])
    assert {m["id"] for m in get(two_auths.http + "/api/server/statusInfo")["data"]} == {"one", "two"}


def test_two_instances_of_a_collector(server, agent):
    s = server(entry("demo"))
    agent(s, collectors=("memory", '{ name = "example"; }', '{ name = "example"; instance = "again"; config = { limit = false; }; }'))

    def both():
        shown = get(s.http + "/api/server/statusInfo")["data"][0].get("metrics", {})
        return shown if {"example", "again"} <= set(shown) else None

    shown = eventually(both)
    assert "limit" in shown["example"] and "limit" not in shown["again"]


def test_a_plugin_is_replaced_by_rename_and_reload(server, plugins):
    file = put(plugins, "no_reconfigure")
    s = server(plugins=static_plugins(entry("demo")) + ['{ name = "no_reconfigure"; }'], more=dirs(plugins))

    def mapped():
        with open(f"/proc/{s.pid}/maps") as maps:
            return {int(line.split()[4]) for line in maps if str(file) in line}

    assert mapped() == {file.stat().st_ino}
    put(plugins, "new", "no_reconfigure").rename(file)
    s.reload()
    s.logged("reloaded:")
    assert mapped() == {file.stat().st_ino}  # the new one, and nothing of the old
    assert get(s.http + "/api/statistics")["code"] == 200
