# SPDX-License-Identifier: ISC
"""musterd --add-admin NAME, and the first password on a terminal."""
import contextlib
import os
import pty
import re
import select
import sqlite3
import subprocess
import threading
import time

import pytest

from accounts import ADMIN_PASSWORD, DIRS, KINDS, PASSWORD, Accounts
from conftest import BUILD, eventually, free_port
from sessions import Client


@pytest.fixture(params=KINDS)
def accounts(request, tmp_path):
    database = request.getfixturevalue("mariadb_database") if request.param == "mariadb" else None
    made = Accounts(request.param, tmp_path / "accounts", database)
    yield made
    if made.server and made.server.process.returncode is None:
        made.stop()


def write(a, plugins=None, port=None):
    a.folder.mkdir(exist_ok=True)
    conf = a.folder / "admin.conf"
    conf.write_text(f'listen = ( {{ address = "127.0.0.1"; port = {port or free_port()}; }} );\n{DIRS}\nplugins = ( {", ".join(plugins or a.plugins())} );\n')
    conf.chmod(0o600)
    return conf


def add_admin(a, name, plugins=None, timeout=40, port=None, **how):
    """Runs it: (status, stdout, stderr)."""
    how = {"stdout": subprocess.PIPE, **how}
    done = subprocess.run([BUILD / "bin" / "musterd", "-c", write(a, plugins, port), "--add-admin", name], stderr=subprocess.PIPE, text=True,
                          timeout=timeout, env={**os.environ, **a.env}, stdin=subprocess.DEVNULL, **how)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def password_of(answer):
    status, out, err = answer
    assert status == 0, answer
    assert re.fullmatch(r"[A-Za-z0-9]{20,}\n", out), out
    assert out.strip() not in err, "the password is in the log"
    return out.strip()


def test_it_makes_one(accounts):
    a = accounts
    password = password_of(add_admin(a, "root_1"))
    assert not a.password_file.exists()  # it asks for this one, and for no other
    assert list(a.sql("SELECT username, email, is_admin, is_active FROM users")) == [("root_1", "root_1@localhost", 1, 1)]
    a.secrets.add(password)
    a.start()
    answer = a.login("root_1", password)
    assert answer.data["password_change_required"] is True and answer.data["user"]["is_admin"] is True
    time.sleep(0.5)
    assert not a.password_file.exists() and a.value("SELECT COUNT(*) FROM users") == 1


def test_it_gives_another_password_while_a_server_runs(accounts):
    a = accounts
    a.begin()
    _, token = a.person("ann")
    _, key = a.key(a.token)
    with Client(a.server) as open_one:
        open_one.say("auth", apiKey=key, machineId="m1")
        open_one.until("auth_success")
        # its port is taken: nothing is listened to
        password = password_of(add_admin(a, "ADMIN", port=a.server.port))
        a.secrets.add(password)
        assert a.me(a.token).code == "INVALID_TOKEN" and a.me(token).status == 200
        end = time.monotonic() + 10
        while time.monotonic() < end and not open_one.ended and (open_one.read(0.2) or (0, 0, 0))[2] != 8:
            pass
        assert time.monotonic() < end, "what the administrator had open is still open"
    assert a.login("admin", ADMIN_PASSWORD).code == "INVALID_CREDENTIALS"
    assert a.login("admin", password).data["password_change_required"] is True
    assert a.value("SELECT COUNT(*) FROM users") == 2


def test_it_lifts_a_ban_and_raises_a_user(accounts):
    a = accounts
    a.begin()
    id, _ = a.person("ann")
    assert a.ban(id, reason="x").status == 200
    a.sql("UPDATE users SET is_active = 0 WHERE id = ?", id)
    password = password_of(add_admin(a, "ann"))
    a.secrets.add(password)
    user = a.login("ann", password).data["user"]
    assert user["is_admin"] is user["is_active"] is True and user["banned_at"] is user["banned_reason"] is user["banned_by"] is None
    logs = a.call("GET", "/api/admin/ban-logs", token=a.token).json["logs"]
    assert (logs[0]["action"], logs[0]["target_id"], logs[0]["reason"]) == ("unban", id, "musterd --add-admin")


def test_a_name_that_another_program_makes_meanwhile(tmp_path):
    """Between the look whether it is there and the making: it is there now, so it gets the password."""
    a = Accounts("sqlite", tmp_path / "a")
    password_of(add_admin(a, "first"))
    log = a.folder / "log"
    with contextlib.closing(sqlite3.connect(a.path, isolation_level=None)) as other, open(log, "w") as to:
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO users (id, username, email, password_hash) SELECT 'x', 'admin', 'x@example.com', password_hash FROM users")
        with subprocess.Popen([BUILD / "bin" / "musterd", "-c", write(a), "--add-admin", "admin"], stdout=subprocess.PIPE, stderr=to, text=True) as asked:
            eventually(lambda: "locked" in log.read_text(), 20)
            other.execute("COMMIT")
            out, _ = asked.communicate(timeout=40)
        password_of((asked.returncode, out, log.read_text()))
    assert list(a.sql("SELECT username, email, is_admin FROM users ORDER BY email")) == [("first", "first@localhost", 1), ("admin", "x@example.com", 1)]


@pytest.mark.parametrize("name", ["", "ab", "a" * 31, "a b", "jörg", "a'b", "../x", "-x-x"])
def test_bad_names(tmp_path, name):
    a = Accounts("sqlite", tmp_path / "a")
    status, out, err = add_admin(a, name)
    assert (status, out) == (1, "") and "3 to 30 letters, digits and _" in err
    assert a.value("SELECT COUNT(*) FROM users") == 0


def test_an_address_that_is_taken(tmp_path):
    a = Accounts("sqlite", tmp_path / "a").begin()
    a.register("ann", email="ann@example.com")
    a.sql("UPDATE users SET email = 'bob@localhost' WHERE username = 'ann'")
    status, out, err = add_admin(a, "bob")
    assert (status, out) == (1, "") and "bob@localhost" not in out and "NAME@localhost" in err
    a.stop()


def test_nobody_keeps_accounts(tmp_path):
    a = Accounts("sqlite", tmp_path / "a")
    for plugins in ([a.store()], ['{ name = "auth_static"; }']):
        status, out, err = add_admin(a, "admin", plugins)
        assert (status, out) == (78, "") and "no configured plugin provides accounts/1; configure the plugin auth_accounts" in err
    assert not a.path.exists()  # and nothing was started


def test_no_store(tmp_path):
    a = Accounts("sqlite", tmp_path / "a")
    status, out, err = add_admin(a, "admin", [a.plugins()[1]])
    assert (status, out) == (78, "") and "store/1" in err


def test_wrong_usage(tmp_path):
    for arguments in (["--add-admin"], ["--add-admin", "a", "b"], ["--add-admin", "abc", "--check-config"]):
        done = subprocess.run([BUILD / "bin" / "musterd", "-c", "/nonexistent", *arguments], capture_output=True, text=True, timeout=20)
        assert done.returncode == 2 and not done.stdout, done
    done = subprocess.run([BUILD / "bin" / "musterd", "-c", "/nonexistent", "--add-admin", "abc"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 78 and not done.stdout
    assert "--add-admin NAME" in subprocess.run([BUILD / "bin" / "musterd", "--help"], capture_output=True, text=True, timeout=20).stdout


def test_a_database_that_is_no_database(tmp_path):
    a = Accounts("sqlite", tmp_path / "a")
    a.folder.mkdir()
    a.path.write_bytes(b"this is no database, and it is not overwritten" * 100)
    before = a.path.read_bytes()
    status, out, err = add_admin(a, "admin")
    assert status == 1 and out == "" and "add-admin" in err
    assert a.path.read_bytes() == before


@pytest.mark.slow
def test_the_database_is_away(tmp_path, own_mariadb):
    a = Accounts("mariadb", tmp_path / "a", own_mariadb.database())
    own_mariadb.stop()
    began = time.monotonic()
    status, out, err = add_admin(a, "admin")
    assert (status, out) == (1, "") and "--add-admin: " in err and time.monotonic() - began < 30
    assert "p@ss:w" not in err and "p%40ss%3Aw" not in err
    own_mariadb.start()
    password_of(add_admin(a, "admin"))


@pytest.mark.slow
def test_the_database_stands_still(tmp_path, own_mariadb):
    a = Accounts("mariadb", tmp_path / "a", own_mariadb.database())
    own_mariadb.pause()
    try:
        began = time.monotonic()
        status, out, err = add_admin(a, "admin")
        assert (status, out) == (1, "") and time.monotonic() - began < 30, err
    finally:
        own_mariadb.resume()


def test_a_password_that_cannot_be_written_is_a_failure(tmp_path):
    a = Accounts("sqlite", tmp_path / "a")
    with open("/dev/full", "w") as full:
        status, _, err = add_admin(a, "admin", stdout=full)
    assert status == 1 and "standard output" in err


def test_other_plugins_are_not_started(tmp_path):
    """Only what provides accounts/1 and what that needs: the rest may be listening, writing, talking to others."""
    a = Accounts("sqlite", tmp_path / "a")
    status, _, err = add_admin(a, "admin")
    assert status == 0 and "listening" not in err and "ready" not in err and "session:" not in err and "machines:" not in err, err


def test_on_a_terminal_the_password_is_shown_there(tmp_path):
    a = Accounts("sqlite", tmp_path / "a")
    conf = write(a)
    leader, follower = pty.openpty()
    process = subprocess.Popen([BUILD / "bin" / "musterd", "-c", conf], stdin=subprocess.DEVNULL, stdout=follower, stderr=follower)
    os.close(follower)
    shown, end = "", time.monotonic() + 15
    try:
        while "makes a new one" not in shown and time.monotonic() < end:
            if select.select([leader], [], [], 0.2)[0]:
                shown += os.read(leader, 65536).decode()
        found = re.search(r'log in as "admin" with the one-time password +([A-Za-z0-9]{20,})', shown)
        assert found, shown
        assert shown.count(found.group(1)) == 1 and not a.password_file.exists()
    finally:
        process.terminate()
        while True:
            try:
                if not os.read(leader, 65536):
                    break
            except OSError:
                break
        assert process.wait(15) == 0
        os.close(leader)


@pytest.mark.slow
def test_interrupted(tmp_path, own_mariadb):
    """SIGTERM is no success: nothing was printed."""
    a = Accounts("mariadb", tmp_path / "a", own_mariadb.database())
    own_mariadb.pause()
    try:
        process = subprocess.Popen([BUILD / "bin" / "musterd", "-c", write(a), "--add-admin", "admin"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env={**os.environ, **a.env})
        time.sleep(2)
        process.terminate()
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (1, ""), err
    finally:
        own_mariadb.resume()


def test_two_first_starts_on_one_database(accounts, tmp_path):
    """One administrator, and the password that is left is his."""
    a = accounts
    b = Accounts(a.kind, tmp_path / "second", a.database)
    b.path = a.path
    a.folder.mkdir(exist_ok=True)
    starts = [threading.Thread(target=each.start) for each in (a, b)]
    for each in starts:
        each.start()
    for each in starts:
        each.join(30)
    eventually(lambda: a.password_file.exists() or b.password_file.exists())
    time.sleep(1)
    assert a.value("SELECT COUNT(*) FROM users") == 1
    left = [each.password_file for each in (a, b) if each.password_file.exists()]
    assert len(left) == 1
    password = left[0].read_text().split()[1]
    for each in (a, b):
        each.secrets.add(password)
        assert each.login("admin", password).status == 200
        eventually(lambda: [path.name for path in each.folder.iterdir() if path.name.startswith("first-password.")] == [])
    b.stop()
