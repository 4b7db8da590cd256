# SPDX-License-Identifier: ISC
"""People with passwords: /api/auth and /api/admin, on SQLite and on MariaDB."""
import base64
import concurrent.futures
import hashlib
import http.client
import json
import socket
import sqlite3
import stat
import subprocess
import threading
import time

import pytest

from accounts import ADMIN_PASSWORD, DIRS, JWT_SECRET, KINDS, PASSWORD, Accounts, b64, forge, released_token
from conftest import BUILD, SANITIZED, eventually, get

U = ["id", "username", "email", "is_admin", "created_at", "is_active", "banned_at", "banned_reason", "banned_by"]


@pytest.fixture(params=KINDS)
def accounts(request, tmp_path):
    """A function that starts a server with people, on either database; all are stopped, and must stop well, at the end."""
    running = []

    def start(options="", begin=True, **more):
        database = request.getfixturevalue("mariadb_database") if request.param == "mariadb" else None
        made = Accounts(request.param, tmp_path / f"accounts{len(running)}", database, options, **more)
        running.append(made)
        return made.begin() if begin else made

    yield start
    for made in running:
        if made.server and made.server.process.returncode is None:
            made.stop()


def at_once(count, work):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, range(count)))


# ---- the first start ----------------------------------------------------------------------------


def test_the_first_start_makes_an_administrator_with_a_password_of_its_own(accounts):
    a = accounts(begin=False).start()
    eventually(a.password_file.exists)
    assert stat.S_IMODE(a.password_file.stat().st_mode) == 0o600
    assert [p.name for p in a.folder.iterdir() if p.name.startswith("first-password")] == ["first-password"]
    name, password = a.password_file.read_text().split()
    a.secrets.add(password)
    assert name == "admin" and len(password) >= 20
    a.server.logged(f"one-time password is in {a.password_file}")
    answer = a.login("admin", password)
    assert answer.data["password_change_required"] is True and answer.data["user"]["is_admin"] is True
    assert list(answer.data["user"]) == U
    # it holds until it is changed, also after a restart, which makes no second one
    a.password_file.unlink()
    a.stop()
    a.start()
    token = a.login("admin", password).data["token"]
    assert not a.password_file.exists() and a.value("SELECT COUNT(*) FROM users") == 1
    changed = a.call("PUT", "/api/auth/password", {"old_password": password, "new_password": ADMIN_PASSWORD}, token)
    assert "password_change_required" not in changed.data
    assert a.login("admin", password).code == "INVALID_CREDENTIALS"
    assert "password_change_required" not in a.login("admin", ADMIN_PASSWORD).data
    assert a.value("SELECT password_hash FROM users").startswith("$2b$10$")


def test_two_first_starts_have_two_passwords(tmp_path):
    found = set()
    for i in range(2):
        a = Accounts("sqlite", tmp_path / str(i), session=False).start()
        eventually(a.password_file.exists)
        found.add(a.password_file.read_text())
        a.stop()
    assert len(found) == 2


def stop_well(a):
    a.stop()
    if a.server.lost > 0.5:
        return  # a hash takes a fifth of a second, and has one for it
    assert "a job of it is still running" not in a.server.log and "did not stop in time" not in a.server.log, a.server.log


def forget_the_first(a):
    a.secrets.add(a.password_file.read_text().split()[1])
    a.password_file.unlink()
    a.sql("DELETE FROM users")


def test_a_stop_right_after_the_first_start(accounts):
    """While the password is hashed: nothing is left behind."""
    a = accounts(begin=False).start()  # without tables
    stop_well(a)
    a.start()
    eventually(a.password_file.exists)
    stop_well(a)
    forget_the_first(a)
    for moment in range(12):
        a.start()
        time.sleep(moment * 0.015)
        stop_well(a)
        if a.value("SELECT COUNT(*) FROM users"):
            forget_the_first(a)
        assert [p.name for p in a.folder.iterdir() if p.name.startswith("first-password")] == []
    a.start()
    assert a.first()


def test_a_stop_while_the_first_administrator_is_written(accounts):
    """Nobody is made whose password is lost."""
    a = accounts(begin=False).start()
    eventually(a.password_file.exists)
    stop_well(a)
    forget_the_first(a)
    if a.kind == "mariadb":
        other = a.database.connect()
        cursor = other.cursor()
        cursor.execute("START TRANSACTION")
        cursor.execute("SELECT id FROM users FOR UPDATE")
    else:
        other = sqlite3.connect(a.path, timeout=10, isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")
    a.start()
    eventually(lambda: any(p.name.startswith("first-password.") for p in a.folder.iterdir()), 30)
    a.server.logged("others hold a lock", 30)  # it is hashed, and the row waits
    threading.Timer(0.3, other.rollback).start()
    stop_well(a)
    other.close()
    assert a.value("SELECT COUNT(*) FROM users") == 1
    a.start()
    assert a.first()


def test_without_a_place_for_the_password_nobody_is_made(tmp_path):
    a = Accounts("sqlite", tmp_path / "a", session=False)
    a.password_file = tmp_path / "nowhere" / "password"
    a.start()
    a.server.logged("the first administrator could not be made")
    a.server.logged("musterd --add-admin admin makes one")
    assert a.value("SELECT COUNT(*) FROM users") == 0
    assert a.login("admin").code == "INVALID_CREDENTIALS"
    a.stop()


def test_where_the_password_goes_by_itself(tmp_path, monkeypatch):
    """systemd's state folder; also when several are named."""
    state = tmp_path / "state"
    state.mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", f"{state}:/elsewhere")
    a = Accounts("sqlite", tmp_path / "a", session=False)
    a.password_file = None
    a.start()
    a.password_file = state / "admin-password"
    eventually(a.password_file.exists)
    assert stat.S_IMODE(a.password_file.stat().st_mode) == 0o600 and a.first()
    a.stop()


def test_first_admin_can_be_left_out_or_named(tmp_path):
    a = Accounts("sqlite", tmp_path / "a", options='first_admin = "";', session=False).start()
    time.sleep(0.5)
    assert a.login("admin").code == "INVALID_CREDENTIALS" and not a.password_file.exists()
    a.stop()
    a.options = 'first_admin = "root_1";'
    a.start()
    eventually(a.password_file.exists)
    assert a.password_file.read_text().split()[0] == "root_1"
    a.stop()


# ---- the configuration --------------------------------------------------------------------------


@pytest.mark.parametrize("secret, words", [("", "jwt_secret"), ("x" * 31, "31 bytes: at least 32"), ("short", "at least 32")])
def test_a_weak_secret_is_refused(tmp_path, secret, words):
    conf = tmp_path / "musterd.conf"
    conf.write_text(f'listen = ( {{ port = 0; }} );\n{DIRS}\nplugins = ( {{ name = "store_sqlite"; config = {{ path = "{tmp_path}/m.db"; }}; }},\n'
                    f'{{ name = "auth_accounts"; config = {{ jwt_secret = "{secret}"; }}; }} );\n')
    conf.chmod(0o600)
    for more in ([], ["--check-config"]):
        done = subprocess.run([BUILD / "bin" / "musterd", "-c", conf, *more], capture_output=True, text=True, timeout=20)
        assert done.returncode == 78 and words in done.stderr, done
        assert not secret or secret not in done.stderr
    assert not (tmp_path / "m.db").exists()


def test_it_is_described(tmp_path):
    conf = tmp_path / "musterd.conf"
    conf.write_text(f"listen = ( {{ port = 0; }} );\n{DIRS}\n")
    conf.chmod(0o600)
    done = subprocess.run([BUILD / "bin" / "musterd", "-c", conf, "--describe", "auth_accounts"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    for option in ("jwt_secret", "token_days", "first_admin", "password_file", "attempts", "api_keys", "hash_threads", "watch_every"):
        assert option in done.stdout


def test_the_secret_can_be_rotated_at_run_time(accounts):
    a = accounts()
    old = a.token
    a.secret = "another-jwt-secret-0123456789-abcdefgh"
    a.secrets.add(a.secret)
    a.server.reload(a.server.text(a.plugins()))
    a.server.logged("everybody has to log in again")
    assert a.me(old).code == "INVALID_TOKEN"
    assert a.me(a.login("admin", ADMIN_PASSWORD).data["token"]).status == 200


# ---- register -----------------------------------------------------------------------------------

GOOD = {"inviteCode": "abcdefgh", "username": "ann", "email": "ann@example.com", "password": PASSWORD}
WRONG = [
    ({"inviteCode": "x"}, ["inviteCode"]), ({"inviteCode": "a" * 13}, ["inviteCode"]), ({"inviteCode": "abcd efgh"}, ["inviteCode"]),
    ({"inviteCode": None}, ["inviteCode"]), ({"inviteCode": 12345678}, ["inviteCode"]), ({"inviteCode": ["abcdefgh"]}, ["inviteCode"]),
    ({"username": "ab"}, ["username"]), ({"username": "a" * 31}, ["username"]), ({"username": "a b"}, ["username"]),
    ({"username": "jörg"}, ["username"]), ({"username": "ann\n"}, ["username"]), ({"username": {"$ne": ""}}, ["username"]),
    ({"email": "z"}, ["email"]), ({"email": "a@b"}, ["email"]), ({"email": "a b@c.de"}, ["email"]), ({"email": "a@" + "b" * 251 + ".de"}, ["email"]),
    ({"email": "a@b.de\r\nBcc: c@d.ef"}, ["email"]), ({"email": True}, ["email"]),
    ({"password": "Short1x"}, ["password"]), ({"password": "lowercase1"}, ["password"]), ({"password": "UPPERCASE1"}, ["password"]),
    ({"password": "NoDigitsHere"}, ["password"]), ({"password": 12345678}, ["password"]), ({"password": "q"}, ["password", "password"]),
    ({"inviteCode": "x", "username": "a b", "email": "z", "password": "q"}, ["inviteCode", "username", "email", "password", "password"]),
]


def test_what_is_not_valid_is_named(accounts):
    a = accounts()
    for changes, fields in WRONG:
        answer = a.call("POST", "/api/auth/register", {**GOOD, **changes})
        assert (answer.status, answer.code, answer.fields) == (400, "VALIDATION_ERROR", fields), (changes, answer)
    for name in GOOD:
        answer = a.call("POST", "/api/auth/register", {k: v for k, v in GOOD.items() if k != name})
        assert (answer.status, answer.code, answer.fields) == (400, "VALIDATION_ERROR", [name]), answer
    chinese = a.call("POST", "/api/auth/register", {**GOOD, "username": "a b"}, headers={"Accept-Language": "zh-CN,zh;q=0.9"})
    assert chinese.json["error"]["details"] == [{"field": "username", "message": "用户名只能包含字母、数字和下划线"}]
    for body in (b"{bad json", b"[]", b"", b'{"inviteCode":"a","inviteCode":"b"}', b'"text"'):
        answer = a.call("POST", "/api/auth/register", body)
        assert answer.status == 400 and answer.code in ("INVALID_JSON", "VALIDATION_ERROR"), (body, answer)
    assert a.value("SELECT COUNT(*) FROM users") == 1


def test_registering_and_logging_in(accounts):
    a = accounts()
    code = a.code()
    answer = a.register("Ann_1", code, email="Ann@Example.com")
    user = answer.data["user"]
    assert answer.status == 201 and list(user) == U
    assert user["username"] == "Ann_1" and user["email"] == "Ann@Example.com" and user["is_admin"] is False and user["is_active"] is True
    assert user["banned_at"] is None and len(user["id"]) == 36 and user["created_at"].endswith("Z")
    # by name or address, whatever the case
    for name in ("Ann_1", "ann_1", "Ann@Example.com", "ANN@example.COM"):
        answer = a.login(name)
        assert answer.data["user"] == user and "password_change_required" not in answer.data, answer
    token = answer.data["token"]
    assert a.me(token).data["user"] == user
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    assert header == {"alg": "HS256", "typ": "JWT"}
    assert (claims["userId"], claims["username"], claims["isAdmin"]) == (user["id"], "Ann_1", False)
    assert claims["exp"] - claims["iat"] == 7 * 86400
    # what is taken
    for taken in ({"username": "ANN_1", "email": "other@example.com"}, {"username": "other", "email": "ANN@example.com"}):
        answer = a.register(taken["username"], email=taken["email"])
        assert (answer.status, answer.code) == (409, "USER_EXISTS"), answer
    # without a code that holds nothing is told of names
    for bad in (code, "wrong-code", a.code(expires_at=int(time.time()) - 5)):
        answer = a.register("ann_1", bad)
        assert (answer.status, answer.code) == (400, "INVALID_INVITE_CODE"), answer
    assert a.value("SELECT COUNT(*) FROM users") == 2
    # the same rows as the released server makes
    used = a.sql("SELECT used_by FROM invite_codes WHERE code = ? AND used_at IS NOT NULL", code)
    assert [row[0] for row in used] == [user["id"]]


def test_one_code_makes_one_user(accounts):
    a = accounts()
    code = a.code()
    answers = at_once(50, lambda i: a.register(f"racer_{i}", code))
    made = [each for each in answers if each.status == 201]
    assert len(made) == 1, [each.status for each in answers]
    assert {each.code for each in answers if each.status != 201} == {"INVALID_INVITE_CODE"}
    assert a.value("SELECT COUNT(*) FROM users WHERE username LIKE 'racer%'") == 1
    assert a.value("SELECT used_by FROM invite_codes WHERE code = ?", code) == made[0].data["user"]["id"]


def test_one_name_makes_one_user_and_spends_one_code(accounts):
    a = accounts()
    codes = [a.code() for _ in range(20)]
    answers = at_once(20, lambda i: a.register("ann" if i % 2 else "ANN", codes[i], email=f"ann{i}@example.com"))
    assert sorted({each.status for each in answers}) == [201, 409] and [each.status for each in answers].count(201) == 1
    assert a.value("SELECT COUNT(*) FROM invite_codes WHERE used_by IS NOT NULL") == 1
    assert a.value("SELECT COUNT(*) FROM invite_codes WHERE used_at IS NOT NULL") == 1


# ---- login --------------------------------------------------------------------------------------


def test_wrong_credentials(accounts):
    a = accounts()
    a.person("ann")
    for name, password in (("ann", "password1234"), ("ann", PASSWORD + "x"), ("ann", PASSWORD[:-1]), ("nobody", PASSWORD), ("%", PASSWORD),
                           ("ann' OR '1'='1", PASSWORD), ("ann\\", PASSWORD), ("' OR 1=1 -- ", "x"), ("ann", "' OR '1'='1"), ("änn", "x")):
        answer = a.login(name, password)
        assert (answer.status, answer.code) == (401, "INVALID_CREDENTIALS"), (name, answer)
    texts = {(lambda e: (e["code"], e["message"]))(a.login(name, "wrong").json["error"]) for name in ("ann", "nobody")}
    assert len(texts) == 1
    for body, fields in (({}, ["username", "password"]), ({"username": "ann"}, ["password"]), ({"username": 1, "password": "x"}, ["username"]),
                         ({"username": "ann", "password": None}, ["password"])):
        answer = a.call("POST", "/api/auth/login", body)
        assert (answer.status, answer.code, answer.fields) == (400, "VALIDATION_ERROR", fields), answer
    answer = a.call("POST", "/api/auth/login", b"{bad json")
    assert (answer.status, answer.code) == (400, "INVALID_JSON")


@pytest.mark.alone
def test_who_does_not_exist_costs_the_same(accounts):
    a = accounts()
    a.person("ann")
    a.sql("UPDATE users SET is_active = 0 WHERE username = 'admin'")

    def took(name):
        began = time.monotonic()
        assert a.login(name, "Wrong-password-1").status == 401
        return time.monotonic() - began

    times = {name: [] for name in ("ann", "nobody", "admin", "nobody@example.com")}
    for _ in range(15):
        for name, list_ in times.items():
            list_.append(took(name))
    least = {name: min(list_) for name, list_ in times.items()}  # the one that a busy machine disturbed least
    assert min(least.values()) > 0.015, least  # all of them were hashed
    assert max(least.values()) < 2 * min(least.values()), least


def test_passwords_of_any_script(accounts):
    a = accounts()
    for name, password in (("long", "Aa1" + "x" * 68), ("chinese", "密码Aa1密码密码"), ("spaces", "  Aa 1  \t "), ("quotes", "'\"\\Aa1%s$$")):
        a.secrets.add(password)
        assert a.register(name, password=password).status == 201
        assert a.login(name, password).status == 200
        assert a.login(name, password.strip() + "y").status == 401


def test_attempts_are_counted_together_and_by_address(accounts):
    a = accounts("attempts = 5; attempts_window = 900;", begin=False).start()
    eventually(a.password_file.exists)
    for i in range(5):
        answer = a.login("admin", "wrong") if i % 2 else a.register("x", "12345678")
        assert answer.status in (400, 401)
        assert (answer.headers["ratelimit-limit"], answer.headers["ratelimit-remaining"]) == ("5", str(4 - i))
        assert 0 < int(answer.headers["ratelimit-reset"]) <= 900
    password = a.password_file.read_text().split()[1]
    for answer in (a.login("admin", password), a.register("y", "12345678")):
        assert (answer.status, answer.code) == (429, "RATE_LIMIT_EXCEEDED"), answer
        assert answer.headers["ratelimit-remaining"] == "0"
    # who says that he is another is not believed; who is another is not counted
    assert a.login("admin", password, headers={"X-Forwarded-For": "203.0.113.9"}).status == 429
    assert a.login("admin", password, source="127.0.0.2").status == 200


def test_attempts_behind_a_trusted_proxy(tmp_path):
    a = Accounts("sqlite", tmp_path / "a", options="attempts = 5;", session=False, limits='trusted_proxies = [ "127.0.0.1" ];').start()
    for address in ("203.0.113.9", "203.0.113.10"):
        statuses = [a.login("admin", "wrong", headers={"X-Forwarded-For": address}).status for _ in range(7)]
        assert statuses == [401] * 5 + [429] * 2, statuses
    a.stop()


def test_a_flood_of_logins_is_told_to_come_again(accounts):
    a = accounts("hash_threads = 1; hash_queue = 4;")
    _, token = a.person("ann")
    answers = at_once(40, lambda i: a.login("ann", PASSWORD if i % 2 else "wrong"))
    busy = [each for each in answers if each.status == 503]
    assert busy and all(each.code == "SERVICE_UNAVAILABLE" and int(each.headers["retry-after"]) > 0 for each in busy)
    assert all(each.status in (200, 401, 503) for each in answers), answers
    assert a.me(token).status == 200 and a.login("ann").status == 200


def test_one_address_does_not_keep_others_from_logging_in(accounts):
    """Who sends many logins and leaves: no more of them are hashed than one address may try."""
    a = accounts("attempts = 5; hash_threads = 1; hash_queue = 64;")  # one of the five went into the first login
    before = get(a.server.http + "/test/counters")["auth_accounts.logins_refused"]
    body = json.dumps({"username": "admin", "password": "wrong"}).encode()
    request = b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    for _ in range(300):
        with socket.create_connection(("127.0.0.1", a.server.port), timeout=5) as s:
            s.sendall(request)
    began = time.monotonic()
    assert a.login("admin", ADMIN_PASSWORD, source="127.0.0.2").status == 200
    assert time.monotonic() - began < (30 if SANITIZED else 10)
    assert get(a.server.http + "/test/counters")["auth_accounts.logins_refused"] - before <= 5


# ---- tokens -------------------------------------------------------------------------------------


def test_forged_tokens(accounts):
    a = accounts()
    id, token = a.person("ann")
    now = int(time.time())
    good = {"userId": id, "username": "ann", "isAdmin": False, "ver": 0, "iat": now, "exp": now + 60}
    assert a.me(forge(good)).status == 200
    none = b64(b'{"alg":"none","typ":"JWT"}') + "." + token.split(".")[1] + "."
    bad = {
        "none": none, "none with a signature": none + token.split(".")[2], "none, signed": forge(good, {"alg": "none", "typ": "JWT"}),
        "HS384": forge(good, {"alg": "HS384"}, digest=hashlib.sha384), "HS384 above HS256": forge(good, {"alg": "HS384", "typ": "JWT"}),
        "HS512": forge(good, {"alg": "HS512"}, digest=hashlib.sha512), "RS256": forge(good, {"alg": "RS256", "typ": "JWT"}),
        "no alg": forge(good, {"typ": "JWT", "kid": "12345"}), "kid": forge(good, {"alg": "HS256", "kid": "/dev/null"}, secret=""),
        "crit": forge(good, {"alg": "HS256", "crit": ["exp"]}), "other key": forge(good, secret=JWT_SECRET + "x"), "empty key": forge(good, secret=""),
        "expired": forge({**good, "exp": now - 1}), "no exp": forge({k: v for k, v in good.items() if k != "exp"}),
        "exp as text": forge({**good, "exp": str(now + 60)}), "exp null": forge({**good, "exp": None}), "exp 1e30": forge({**good, "exp": 1e30}),
        "not yet": forge({**good, "nbf": now + 600}), "of tomorrow": forge({**good, "iat": now + 86400, "exp": now + 2 * 86400}),
        "no user": forge({k: v for k, v in good.items() if k != "userId"}), "user as number": forge({**good, "userId": 1}),
        "empty user": forge({**good, "userId": ""}), "unknown user": forge({**good, "userId": "0" * 36}),
        "sql": forge({**good, "userId": "' OR '1'='1"}), "other sessions": forge({**good, "ver": 1}), "ver as text": forge({**good, "ver": "0"}),
        "ver negative": forge({**good, "ver": -1}), "no iat": forge({k: v for k, v in good.items() if k != "iat"}),
        "twice": forge(json.dumps(good)[:-1] + f',"userId":"{id}"}}'), "array": forge(f"[{json.dumps(good)}]"),
        "empty segments": "..", "empty body": token.split(".")[0] + ".." + token.split(".")[2], "four": token + ".x", "cut": token[:-1],
        "long": forge({**good, "x": "y" * 2000, "ver": 9}), "text": "not-a-token",
    }
    for case, each in bad.items():
        answer = a.me(each)
        assert (answer.status, answer.code) == (401, "INVALID_TOKEN"), (case, answer)
    with pytest.raises((http.client.HTTPException, OSError, AssertionError)):  # more than a request's head may have
        assert a.me(forge({**good, "x": "y" * 50000})).status == 200
    for header in ("", "Bearer", "Bearer ", "Basic " + token, token):
        answer = a.call("GET", "/api/auth/me", headers={"Authorization": header})
        assert answer.status == 401 and answer.code in ("MISSING_TOKEN", "INVALID_TOKEN"), (header, answer)
    assert a.me(None).code == "MISSING_TOKEN"
    # the token's own word for it counts nothing
    assert a.call("GET", "/api/admin/users", token=forge({**good, "isAdmin": True})).code == "FORBIDDEN"


def test_tokens_of_the_released_server_hold(accounts):
    a = accounts()
    id, _ = a.person("ann")
    assert a.me(released_token(id)).data["user"]["username"] == "ann"
    assert a.me(released_token(id, iat=int(time.time()) - 86400)).status == 200
    # until the password is another one
    token = a.login("ann").data["token"]
    old = released_token(id, iat=int(time.time()) - 1)
    assert a.call("PUT", "/api/auth/password", {"old_password": PASSWORD, "new_password": PASSWORD + "2"}, token).status == 200
    assert a.me(old).code == "INVALID_TOKEN"
    assert a.me(released_token(id, iat=int(time.time()) + 1)).status == 200


def test_rights_are_those_of_the_row(accounts):
    a = accounts()
    id, token = a.person("ann")
    assert a.call("GET", "/api/admin/users", token=token).code == "FORBIDDEN"
    a.sql("UPDATE users SET is_admin = 1 WHERE id = ?", id)
    assert a.call("GET", "/api/admin/users", token=token).status == 200
    a.sql("UPDATE users SET is_admin = 0 WHERE id = ?", id)
    assert a.call("GET", "/api/admin/users", token=token).code == "FORBIDDEN"
    a.sql("UPDATE users SET banned_at = '2026-01-01 00:00:00.000' WHERE id = ?", id)
    assert (a.me(token).status, a.me(token).code) == (403, "USER_BANNED")
    for language, words in (("en", "this user is banned"), ("zh", "用户已被封禁")):
        assert a.call("GET", "/api/auth/me", token=token, headers={"Accept-Language": language}).json["error"]["message"] == words
    assert (a.login("ann").status, a.login("ann").code) == (403, "USER_BANNED")
    assert a.login("ann", "wrong").code == "INVALID_CREDENTIALS"  # that somebody is banned is told to nobody else
    a.sql("UPDATE users SET banned_at = NULL, is_active = 0 WHERE id = ?", id)
    assert (a.me(token).status, a.me(token).code) == (401, "INVALID_TOKEN")
    assert a.login("ann").code == "INVALID_CREDENTIALS"
    a.sql("UPDATE users SET is_active = 1 WHERE id = ?", id)
    assert a.me(token).status == 200
    a.sql("DELETE FROM users WHERE id = ?", id)
    assert a.me(token).code == "INVALID_TOKEN"


# ---- profile, password --------------------------------------------------------------------------


def test_profile(accounts):
    a = accounts()
    _, token = a.person("ann")
    a.person("bob")
    answer = a.call("PUT", "/api/auth/profile", {"email": "new@example.com"}, token)
    assert answer.data["user"]["email"] == "new@example.com" and list(answer.data["user"]) == U
    assert a.call("PUT", "/api/auth/profile", {"email": "new@example.com"}, token).status == 200  # the same again
    for taken in ("bob@example.com", "BOB@EXAMPLE.COM"):
        answer = a.call("PUT", "/api/auth/profile", {"email": taken}, token)
        assert (answer.status, answer.code) == (409, "EMAIL_EXISTS")
    for bad in ({"email": "bad"}, {}, {"email": None}, {"email": 1}):
        assert a.call("PUT", "/api/auth/profile", bad, token).code == "VALIDATION_ERROR"
    assert a.call("PUT", "/api/auth/profile", {"email": "x@y.zz"}).code == "MISSING_TOKEN"
    assert a.me(token).data["user"]["email"] == "new@example.com"


def test_another_password(accounts):
    a = accounts()
    _, token = a.person("ann")
    other, third = a.login("ann").data["token"], a.login("ann").data["token"]
    _, bob = a.person("bob")

    def change(old, new, by=token):
        return a.call("PUT", "/api/auth/password", {"old_password": old, "new_password": new}, by)

    assert (change("wrong", "Another1234").status, change("wrong", "Another1234").code) == (400, "INVALID_CREDENTIALS")
    for new, fields in (("short1A", ["new_password"]), ("nodigitsA", ["new_password"]), (PASSWORD, ["new_password"]), (None, ["new_password"])):
        answer = change(PASSWORD, new)
        assert (answer.code, answer.fields) == ("VALIDATION_ERROR", fields), answer
    assert a.me(other).status == 200
    fresh = change(PASSWORD, "Another1234").data["token"]
    for old in (token, other, third):
        assert a.me(old).code == "INVALID_TOKEN"
    assert a.me(fresh).status == 200 and a.me(bob).status == 200
    assert a.login("ann").code == "INVALID_CREDENTIALS" and a.login("ann", "Another1234").status == 200


def test_of_two_changes_at_once_one_counts(accounts):
    a = accounts()
    _, token = a.person("ann")
    new = [f"Another1234{i}" for i in range(6)]
    answers = at_once(6, lambda i: a.call("PUT", "/api/auth/password", {"old_password": PASSWORD, "new_password": new[i]}, token))
    won = [i for i, each in enumerate(answers) if each.status == 200]
    assert len(won) == 1, answers
    assert all((each.status, each.code) in ((409, "CONFLICT"), (400, "INVALID_CREDENTIALS"), (401, "INVALID_TOKEN"))
               for i, each in enumerate(answers) if i not in won), answers
    assert [i for i in range(6) if a.login("ann", new[i]).status == 200] == won


# ---- administrators -----------------------------------------------------------------------------


def test_invite_codes(accounts):
    a = accounts()
    admin = a.me(a.token).data["user"]
    forms = {1893456000: "2030-01-01T00:00:00.000Z", "2030-01-01T00:00:00Z": "2030-01-01T00:00:00.000Z", "2030-01-01": "2030-01-01T00:00:00.000Z",
             "2030-01-01T12:30": "2030-01-01T12:30:00.000Z", "2030-01-01T01:00:00.5+01:00": "2030-01-01T00:00:00.500Z",
             1893456000.5: "2030-01-01T00:00:00.500Z", None: None}
    for given, wanted in forms.items():
        answer = a.call("POST", "/api/admin/invite-codes", {"expires_at": given}, a.token)
        assert answer.status == 201 and list(answer.json) == ["id", "code", "expires_at", "created_at"], answer
        assert answer.json["expires_at"] == wanted and 8 <= len(answer.json["code"]) <= 12
    assert a.call("POST", "/api/admin/invite-codes", None, a.token).json["expires_at"] is None
    for bad in ("zz", "", "2030-13-01", "2030-02-30T00:00:00Z", -1, 1e18, True, [], {}, "9" * 30, "2030-01-01T00:00:00Zjunk"):
        answer = a.call("POST", "/api/admin/invite-codes", {"expires_at": bad}, a.token)
        assert (answer.status, answer.code) == (400, "INVALID_DATE"), (bad, answer)
    code = a.code()
    user = a.register("ann", code).data["user"]
    listed = a.call("GET", "/api/admin/invite-codes", token=a.token).json
    assert len(listed) == len(forms) + 2
    used = next(each for each in listed if each["code"] == code)
    assert (used["used_by"], used["used_by_username"], used["created_by"], used["created_by_username"]) == (user["id"], "ann", admin["id"], "admin")
    assert used["used_at"] and all(each["used_by"] is None and each["used_by_username"] is None for each in listed if each is not used)
    assert [each["created_at"] for each in listed] == sorted((each["created_at"] for each in listed), reverse=True)
    # a user that goes leaves the code behind, used
    a.sql("DELETE FROM users WHERE id = ?", user["id"])
    used = next(each for each in a.call("GET", "/api/admin/invite-codes", token=a.token).json if each["code"] == code)
    assert used["used_by"] is None and used["used_at"] and a.register("bob", code).code == "INVALID_INVITE_CODE"


ADMIN_ROUTES = [("GET", "/api/admin/users"), ("GET", "/api/admin/invite-codes"), ("POST", "/api/admin/invite-codes"), ("GET", "/api/admin/ban-logs"),
                ("POST", "/api/admin/users/{id}/ban"), ("POST", "/api/admin/users/{id}/unban")]


def test_administrators_only(accounts):
    a = accounts()
    id, token = a.person("ann")
    admin = a.me(a.token).data["user"]["id"]
    for method, path in ADMIN_ROUTES:
        path = path.format(id=admin)
        assert a.call(method, path, {} if method == "POST" else None, token).code == "FORBIDDEN", path
        assert a.call(method, path, {} if method == "POST" else None).code == "MISSING_TOKEN", path
    assert a.me(a.token).status == 200 and a.value("SELECT COUNT(*) FROM ban_logs") == 0


def test_the_list_of_users(accounts):
    a = accounts()
    for name in ("ann", "bob", "cid"):
        a.register(name)
        time.sleep(0.01)
    listed = a.call("GET", "/api/admin/users", token=a.token).json
    assert [each["username"] for each in listed] == ["cid", "bob", "ann", "admin"]
    assert all(set(each) == {*U, "endpoint_count"} and each["endpoint_count"] == 0 for each in listed)
    assert "password" not in json.dumps(listed) and "$2" not in json.dumps(listed)
    pages = [a.call("GET", f"/api/admin/users?page={page}&page_size=3", token=a.token).json for page in (1, 2, 3)]
    assert [len(page) for page in pages] == [3, 1, 0] and pages[0] + pages[1] == listed


def test_bans(accounts):
    a = accounts()
    admin = a.me(a.token).data["user"]["id"]
    id, token = a.person("ann")
    answer = a.ban(id, reason="spam, 垃圾 & <more>")
    assert answer.status == 200 and set(answer.json) == {"message", "user"} and list(answer.json["user"]) == U
    user = answer.json["user"]
    assert user["banned_reason"] == "spam, 垃圾 & <more>" and user["banned_by"] == admin and user["banned_at"].endswith("Z")
    assert (a.me(token).status, a.me(token).code) == (403, "USER_BANNED")
    assert (a.login("ann").status, a.login("ann").code) == (403, "USER_BANNED")
    answer = a.ban(id)
    assert (answer.status, answer.code) == (400, "USER_ALREADY_BANNED")
    answer = a.unban(id)
    assert answer.status == 200 and answer.json["user"]["banned_at"] is answer.json["user"]["banned_reason"] is answer.json["user"]["banned_by"] is None
    assert (a.unban(id).status, a.unban(id).code) == (400, "USER_NOT_BANNED")
    # a token of before the ban may have been stolen: everybody logs in again
    assert a.me(token).code == "INVALID_TOKEN" and a.me(a.login("ann").data["token"]).status == 200
    for each in ("nobody", "0" * 36, "%25", "a'b", "x" * 300):
        assert (a.ban(each).status, a.ban(each).code) == (404, "USER_NOT_FOUND")
        assert (a.unban(each).status, a.unban(each).code) == (404, "USER_NOT_FOUND")
    assert (a.ban(admin).status, a.ban(admin).code) == (400, "CANNOT_BAN_SELF") and a.me(a.token).status == 200
    assert a.ban(id, reason="x" * 256).code == "VALIDATION_ERROR" and a.ban(id, reason=["x"]).code == "VALIDATION_ERROR"
    # one of many at once
    statuses = [each.status for each in at_once(10, lambda i: a.ban(id, reason=str(i)))]
    assert sorted(statuses) == [200] + [400] * 9
    logs = a.call("GET", "/api/admin/ban-logs", token=a.token).json
    assert logs["total"] == 3 and [each["action"] for each in logs["logs"]] == ["ban", "unban", "ban"]
    assert all(each["target_type"] == "user" and each["target_id"] == id and each["operator_id"] == admin for each in logs["logs"])


def test_ban_logs_are_filtered(accounts):
    a = accounts()
    rows = [(f"id-{i:03}", "user" if i % 2 else "endpoint", f"t{i}", "ban" if i % 3 else "unban", None if i % 4 else "why", f"op{i % 5}",
             f"2026-01-{1 + i // 10:02} 10:00:{i % 60:02}.000") for i in range(100)]
    for row in rows:
        a.sql("INSERT INTO ban_logs (id, target_type, target_id, action, reason, operator_id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)", *row)

    def ask(query=""):
        answer = a.call("GET", f"/api/admin/ban-logs{query}", token=a.token)
        assert answer.status == 200 and set(answer.json) == {"logs", "total"}, answer
        return answer.json

    everything = ask()
    assert everything["total"] == 100 and len(everything["logs"]) == 20
    assert [each["created_at"] for each in everything["logs"]] == sorted((each["created_at"] for each in everything["logs"]), reverse=True)
    assert list(everything["logs"][0]) == ["id", "target_type", "target_id", "action", "reason", "operator_id", "created_at"]
    for query, wanted in (("target_type=user", [r for r in rows if r[1] == "user"]), ("action=unban", [r for r in rows if r[3] == "unban"]),
                          ("operator_id=op3", [r for r in rows if r[5] == "op3"]), ("target_type=user&action=ban&operator_id=op1",
                                                                                    [r for r in rows if r[1] == "user" and r[3] == "ban" and r[5] == "op1"]),
                          ("start_date=2026-01-05T00:00:00Z", [r for r in rows if r[6] >= "2026-01-05"]),
                          ("start_date=2026-01-03&end_date=2026-01-04", [r for r in rows if "2026-01-03" <= r[6] < "2026-01-05"]),
                          ("end_date=2026-01-02T10:00:15.000Z", [r for r in rows if r[6] <= "2026-01-02 10:00:15.000"]), ("action=nothing", []),
                          ("target_type=user'%20OR%201=1--", [])):
        found = ask(f"?{query}&page_size=100")
        assert found["total"] == len(wanted) and {each["id"] for each in found["logs"]} == {r[0] for r in wanted}, query
    pages = [ask(f"?page={page}&page_size=30") for page in (1, 2, 3, 4, 5)]
    assert [len(page["logs"]) for page in pages] == [30, 30, 30, 10, 0] and all(page["total"] == 100 for page in pages)
    assert len({each["id"] for page in pages for each in page["logs"]}) == 100
    for bad in ("page_size=101", "page_size=0", "page=0", "page=x", "start_date=yesterday", "end_date=2026-99-99"):
        assert a.call("GET", f"/api/admin/ban-logs?{bad}", token=a.token).code == "VALIDATION_ERROR", bad


# ---- API keys -----------------------------------------------------------------------------------


def test_api_keys(accounts):
    a = accounts()
    id, token = a.person("ann")
    _, bob = a.person("bob")
    answer = a.call("POST", "/api/auth/api-keys", {"name": "the agent in the cellar"}, token)
    made = answer.data["api_key"]
    assert answer.status == 201 and set(made) == {"id", "name", "key", "created_at", "last_used_at"} and made["last_used_at"] is None
    assert made["key"].startswith("mk_") and len(made["key"]) == 46
    a.secrets.add(made["key"])
    listed = a.call("GET", "/api/auth/api-keys", token=token)
    assert listed.data["api_keys"] == [{k: made[k] for k in ("id", "name", "created_at", "last_used_at")}]
    assert made["key"] not in listed.text and made["key"][3:] not in str(a.sql("SELECT * FROM muster_api_keys"))
    assert a.value("SELECT digest FROM muster_api_keys") == hashlib.sha256(made["key"].encode()).hexdigest()
    # others neither see nor delete it; it is no login token
    assert a.call("GET", "/api/auth/api-keys", token=bob).data["api_keys"] == []
    answer = a.call("DELETE", f"/api/auth/api-keys/{made['id']}", token=bob)
    assert (answer.status, answer.code) == (404, "API_KEY_NOT_FOUND")
    assert a.call("DELETE", f"/api/auth/api-keys/{made['id']}", token=a.token).code == "API_KEY_NOT_FOUND"
    assert a.me(made["key"]).code == "INVALID_TOKEN"
    for bad in ({}, {"name": ""}, {"name": "x" * 101}, {"name": 1}):
        assert a.call("POST", "/api/auth/api-keys", bad, token).code == "VALIDATION_ERROR"
    assert a.call("DELETE", f"/api/auth/api-keys/{made['id']}", token=token).status == 200
    assert a.call("DELETE", f"/api/auth/api-keys/{made['id']}", token=token).code == "API_KEY_NOT_FOUND"
    assert a.call("GET", "/api/auth/api-keys", token=token).data["api_keys"] == []


def test_keys_are_limited_also_in_a_race(accounts):
    a = accounts("api_keys = 5;")
    _, token = a.person("ann")
    answers = at_once(20, lambda i: a.call("POST", "/api/auth/api-keys", {"name": str(i)}, token))
    assert sorted(each.status for each in answers) == [201] * 5 + [400] * 15
    assert {each.code for each in answers if each.status == 400} == {"API_KEY_LIMIT_REACHED"}
    assert a.value("SELECT COUNT(*) FROM muster_api_keys") == 5


# ---- the released server's database ---------------------------------------------------------------

TABLES = ("SELECT table_name, column_name, column_type, is_nullable, column_default, collation_name FROM information_schema.columns "
          "WHERE table_schema = DATABASE() AND table_name NOT LIKE 'muster%%' ORDER BY table_name, ordinal_position")


def test_a_released_database_goes_on(tmp_path, released_database):
    before = released_database.sql(TABLES)
    rows = released_database.sql("SELECT * FROM users ORDER BY id")
    a = Accounts("mariadb", tmp_path / "a", released_database).start()
    for name, password in (("admin", "Admin1234"), ("alice", "Alice1234"), ("bobby", "Bobby1234")):
        a.secrets.add(password)
        answer = a.login(name, password)
        assert answer.status == 200 and "password_change_required" not in answer.data, answer
        assert a.me(answer.data["token"]).data["user"]["username"] == name
    assert (a.login("carol", "Carol1234").status, a.login("carol", "Carol1234").code) == (403, "USER_BANNED")
    assert (a.login("daves", "Daves1234").status, a.login("daves", "Daves1234").code) == (401, "INVALID_CREDENTIALS")
    alice = a.value("SELECT id FROM users WHERE username = 'alice'")
    assert a.me(released_token(alice)).status == 200
    assert not a.password_file.exists()
    assert released_database.sql(TABLES) == before and released_database.sql("SELECT * FROM users ORDER BY id") == rows
    a.token = a.login("admin", "Admin1234").data["token"]
    assert a.ban(alice).status == 200 and a.unban(alice).status == 200 and a.person("newcomer")
    assert len(a.call("GET", "/api/admin/users", token=a.token).json) == len(rows) + 1
    a.stop()


# ---- the database away ----------------------------------------------------------------------------


@pytest.mark.slow
def test_while_the_database_is_away(tmp_path, own_mariadb):
    a = Accounts("mariadb", tmp_path / "a", own_mariadb.database()).begin()
    own_mariadb.stop()
    for answer in (a.me(a.token), a.login("admin", ADMIN_PASSWORD), a.register("ann", "12345678"), a.call("GET", "/api/admin/users", token=a.token)):
        assert answer.status == 503, answer
    own_mariadb.start()
    eventually(lambda: a.me(a.token).status == 200, 30)
    assert a.login("admin", ADMIN_PASSWORD).status == 200
    a.stop()


@pytest.mark.slow
def test_a_start_without_the_database_goes_on_when_it_comes(tmp_path, own_mariadb):
    database = own_mariadb.database()
    own_mariadb.stop()
    a = Accounts("mariadb", tmp_path / "a", database).start()
    assert a.login("admin").status == 503
    own_mariadb.start()
    eventually(a.password_file.exists, 60)
    a.token = a.first()
    assert a.me(a.token).status == 200
    a.stop()
