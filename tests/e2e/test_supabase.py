# SPDX-License-Identifier: ISC
"""API keys in Supabase: sessions over a real PostgreSQL behind PostgREST's dialect, well, ill, and gone."""
import hashlib
import json
import os
import resource
import subprocess
import time

import pytest

import sessions
from conftest import eventually, free_port, get
from sessions import DIRS, Client, admin, agent, claims_of, sample
from test_config import check, write

ANN, BOB = "key-of-ann-0123456789abcdef", "key-of-bob-0123456789abcdef"
NOBODY = "key-of-nobody-0123456789abcdef"
INVALID = {"type": "auth_failed", "message": "Invalid API Key", "code": "invalid_api_key", "retryable": False}
LIMITS = "limits = { connects_per_second = 0; max_connections_per_peer = 0; };"


def auth(project, key=None, url=None, machines="table = \"\";", **options):
    def text(v):
        return str(v) if isinstance(v, int) else f'"{v}"'
    more = " ".join(f"{k} = {text(v)};" for k, v in options.items())
    return (f'{{ name = "auth_supabase"; config = {{ url = "{url or project.url}"; key = "{key or project.keys.secret}"; {more} '
            f'machines = {{ {machines} }}; }}; }}')


@pytest.fixture
def supabase(supabase):
    """With POSTGREST_BIN all of this runs over a real PostgREST."""
    return lambda *over, **how: supabase(*over, real=os.environ.get("POSTGREST_BIN"), **how)


@pytest.fixture
def start(server):
    """A function that starts a server whose users are in the project; machines' rows are not watched."""
    def begin(project, session="", top="", push=True, port=None, **options):
        return server(plugins=sessions.plugins(auth(project, **options), session, push=push), more=DIRS + LIMITS + top, port=port)
    return begin


@pytest.fixture
def ann(database):
    return str(database.add_user(ANN))


@pytest.fixture
def bob(database):
    return str(database.add_user(BOB))


def counters(server):
    return {k.split(".", 1)[1]: n for k, n in get(server.http + "/test/counters").items() if k.startswith("auth_supabase.")}


def refused(server, key=NOBODY):
    with Client(server) as c:
        said = c.ask("auth", apiKey=key)
        assert said == INVALID, said
        assert c.close_code() == 4002


def unavailable(server, key=ANN, timeout=15):
    """Told to come again, not that the key is bad; the seconds it is told."""
    with Client(server) as c:
        c.say("auth", apiKey=key)
        said = c.hear(timeout)
        assert said and (said["type"], said["code"], said["retryable"]) == ("auth_failed", "unavailable", True), said
        assert said["message"] != INVALID["message"] and said["retryAfter"] >= 1
        assert c.close_code() == 1013
        return said["retryAfter"]


def no_secrets(server, project, *keys):
    for secret in (ANN, BOB, NOBODY, project.keys.secret, project.keys.service_jwt, *keys):
        assert secret not in server.log
    assert "/rest/v1" not in server.log and "apikey=eq" not in server.log


# ---- the question -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["secret", "service_jwt"])
def test_a_key_opens_a_session(start, supabase, ann, kind):
    project = supabase()
    key = getattr(project.keys, kind)
    s = start(project, key=key)
    a = agent(s, ANN, machineId="web-1")
    assert a.welcome["userId"] == ann
    claims = claims_of(a.welcome["sessionToken"])
    assert (claims["sub"], claims["provider"]) == (ann, "auth_supabase") and len(claims["credential"]) == 24
    assert ANN not in json.dumps(claims)
    asked = [r for r in project.requests if r.path.startswith("/rest/v1/")]
    assert len(asked) == 1
    assert (asked[0].method, asked[0].path, asked[0].query) == ("GET", "/rest/v1/users", f"select=id&apikey=eq.{ANN}&limit=2")
    assert asked[0].headers["apikey"] == key
    assert asked[0].headers.get("authorization") == (f"Bearer {key}" if kind == "service_jwt" else None)
    assert "cookie" not in asked[0].headers and "accept-encoding" not in asked[0].headers
    assert [m["userId"] for m in admin(s, ANN).machines.values()] == [ann]
    assert project.count("/rest/v1/users") == 1  # remembered
    no_secrets(s, project)


def test_unknown_keys_are_told_so_and_remembered_briefly(start, supabase, ann):
    project = supabase()
    s = start(project, cache_unknown=2)
    refused(s)
    refused(s)
    assert project.count("/rest/v1/users") == 1
    time.sleep(2.1)
    project.database.add_user(NOBODY)  # now it is somebody's
    assert agent(s, NOBODY).welcome["type"] == "auth_success"
    assert counters(s)["unknown_key"] == 2
    no_secrets(s, project)


@pytest.mark.parametrize("key", ["short12", "k" * 257, "has a space", "1234567\u00e4", "12345678\n", "1234\x7f5678", "1234\t5678", ""])
def test_what_can_be_no_key_is_never_asked_for(start, supabase, key):
    project = supabase()
    s = start(project)
    refused(s, key)
    assert project.count() == 0


@pytest.mark.parametrize("key", ["a,b.c:(d)\"e\\f&g=h+i%k#l", "null....", "eq.eq.eq.", "*%00*%ff*", "'); drop table users; --".replace(" ", "_"), "k" * 256,
                                 "x&or=(id.not.is.null)", "../../../x", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"])
def test_every_key_is_taken_by_the_letter(start, supabase, database, key):
    user = str(database.add_user(key))
    database.add_user(key + "x" if len(key) < 256 else key[:-1])
    s = start(supabase())
    assert agent(s, key).welcome["userId"] == user
    refused(s, key[:-1] + ("y" if key[-1] != "y" else "z"))


def test_only_the_digest_leaves_the_server(start, supabase, ann):
    project = supabase()
    s = start(project, digest_column="apikey_sha256")
    assert agent(s, ANN).welcome["userId"] == ann
    refused(s)
    sent = [r.query for r in project.requests]
    assert sent[0] == f"select=id&apikey_sha256=eq.{hashlib.sha256(ANN.encode()).hexdigest()}&limit=2"
    assert ANN not in str(project.requests) and NOBODY not in str(project.requests)


def test_numbers_as_ids_and_other_names(start, supabase, postgres):
    made = postgres.database('create table "user" (id bigint primary key, token text); grant select on "user" to service_role; '
                             f"insert into \"user\" values (9007199254740993, '{ANN}')")
    s = start(supabase(made), table="user", column="token")
    assert agent(s, ANN).welcome["userId"] == "9007199254740993"
    made.drop()


@pytest.mark.parametrize("column, key, other", [("uuid", "0f0e0d0c-0b0a-4908-8706-050403020100", "0f0e0d0c-0b0a-4908-8706-050403020101"),
                                                ("bigint", "1234567890", "1234567891"), ("integer", "12345678", "12345679")])
def test_a_key_that_the_column_cannot_hold_is_unknown(start, supabase, postgres, column, key, other):
    """PostgREST answers 400 to it, which must not look as if nobody could be asked: it counts as a wrong key, also for the limit."""
    made = postgres.database(f"create table users (id integer primary key, apikey {column}); grant select on users to service_role; "
                             f"insert into users values (1, '{key}')")
    project = supabase(made)
    s = start(project, session="failed_auths_per_minute = 4;")
    assert agent(s, key).welcome["userId"] == "1"
    for wrong in (NOBODY, "99999999999999999999999999", 'a"b\\c"defgh', other):
        refused(s, wrong)
    with Client(s) as c:
        assert c.ask("auth", apiKey=NOBODY)["code"] == "rate_limited"
    seen = counters(s)
    assert seen["unknown_key"] == 4 and seen["unavailable"] == 0 and seen["requests_failed"] == 0
    no_secrets(s, project, 'a"b')
    made.drop()


def test_a_table_that_is_mistyped_itself_is_unavailable(start, supabase, postgres):
    """The same code, for another value: nobody may be told that his key is wrong."""
    made = postgres.database("create table t (id integer primary key, apikey text); create view users as select id, apikey from t where lower('ZZ')::uuid "
                             f"is not null; grant select on users to service_role; insert into t values (1, '{ANN}')")
    s = start(supabase(made))
    unavailable(s)
    s.logged("22P02")
    assert counters(s)["unknown_key"] == 0
    made.drop()


# ---- answers that are none ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [400, 401, 403, 404, 429, 500, 502, 503, "nonsense", "truncated", "cut", "close", "huge", "object", "redirect"])
def test_what_is_no_answer_is_unavailable_and_not_kept(start, supabase, ann, mode):
    project = supabase()
    s = start(project)
    project.behave(mode)
    unavailable(s)
    unavailable(s, NOBODY)
    assert project.count("/elsewhere") == 0  # not followed
    if mode in (401, 403, 404):
        s.logged('Supabase refuses us the table "users"')
    else:
        s.logged("no usable answer from Supabase")
    project.behave()
    assert agent(s, ANN).welcome["userId"] == ann
    refused(s)
    no_secrets(s, project)


def test_two_rows_are_denied(start, supabase, ann):
    project = supabase()
    s = start(project)
    project.behave("two")
    refused(s, ANN)
    s.logged("several rows")
    project.behave()
    assert agent(s, ANN).welcome["userId"] == ann  # not kept either
    no_secrets(s, project)


def test_slow_is_waited_for(start, supabase, ann):
    project = supabase()
    project.behave("slow", seconds=2)
    assert agent(start(project), ANN).welcome["userId"] == ann


@pytest.mark.slow
def test_too_slow_is_unavailable(start, supabase, ann):
    project = supabase()
    s = start(project)
    project.behave("hang")
    began = time.monotonic()
    unavailable(s)
    assert 7 < time.monotonic() - began < 10  # the session waits 10 s at most, Supabase is given 8
    project.behave()
    assert agent(s, ANN).welcome["userId"] == ann


def test_the_breaker_spares_a_project_that_is_down(start, supabase, ann, bob):
    project = supabase()
    s = start(project)
    a = agent(s, ANN)
    project.refuse()
    for _ in range(12):
        unavailable(s, BOB)
    seen = counters(s)
    assert seen["breaker_opened"] == 1 and seen["requests_failed"] == 5 and seen["requests_not_sent"] == 7
    assert 1 <= unavailable(s, BOB) <= 5
    assert a.ask("ping")["type"] == "pong"  # who is in stays
    with Client(s) as c:  # and comes back by token
        assert c.ask("auth", sessionToken=a.welcome["sessionToken"])["type"] == "auth_success"
    project.accept()
    eventually(lambda: able(s, BOB), 15, 0.3)
    s.logged("Supabase answers again")
    no_secrets(s, project)


def able(server, key):
    with Client(server) as c:
        c.say("auth", apiKey=key)
        said = c.hear(12)
        assert said and said.get("code") != "invalid_api_key", said
        return said["type"] == "auth_success"


# ---- many ---------------------------------------------------------------------------------------


def many(server, keys, answer_within=40):
    """All of them connect, then all of them authenticate at once; what they are told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, len(keys) + 500)), hard))
    clients = [Client(server) for _ in keys]
    for client, key in zip(clients, keys):
        client.say("auth", apiKey=key)
    return clients, [client.hear(answer_within) for client in clients]


def test_equal_questions_are_asked_once(start, supabase, ann):
    project = supabase()
    s = start(project)
    project.behave("slow", seconds=1)
    clients, told = many(s, [ANN] * 30)
    assert {t["type"] for t in told} == {"auth_success"} and project.count("/rest/v1/users") == 1
    for client in clients:
        client.s.close()


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.5])
def test_a_thousand_agents_ask_once_for_each_key(start, supabase, database, seconds):
    """A slow project: all questions are asked before the first is answered. Every tenth key is nobody's."""
    keys = [f"key-number-{n:08d}" for n in range(100)]
    users = {key: None if n % 10 == 9 else str(database.add_user(key)) for n, key in enumerate(keys)}
    project = supabase()
    s = start(project, cache_unknown=60)
    project.behave("slow" if seconds else None, seconds=seconds)
    wanted = keys * 10
    clients, told = many(s, wanted)
    assert [t.get("userId") for t in told] == [users[key] for key in wanted], [t for t in told if not t or t["type"] != "auth_success"][:3]
    assert [t for t in told if t["type"] != "auth_success"] == [INVALID] * 100
    assert project.count("/rest/v1/users") == len(keys)
    assert project.most_in_flight <= 32
    project.behave(None)
    again, told = many(s, wanted)  # all come once more: what is known by now is not asked for
    assert [t.get("userId") for t in told] == [users[key] for key in wanted]
    assert project.count("/rest/v1/users") == len(keys)
    for client in clients + again:
        client.s.close()


@pytest.mark.slow
def test_postgresql_stops_under_load(start, own_postgres, supabase):
    from rig import SCHEMA
    database = own_postgres.database(SCHEMA)
    keys = [f"key-number-{n:08d}" for n in range(60)]
    for key in keys:
        database.add_user(key)
    project = supabase(database)
    s = start(project, recheck=2)
    inside = [agent(s, key) for key in keys[:20]]
    own_postgres.stop()
    until, seq = time.monotonic() + 8, 0
    while time.monotonic() < until:  # more than the interval of asking again
        seq += 1
        for n, a in enumerate(inside):
            a.say("data", **sample(seq))
        unavailable(s, keys[20 + seq % 40])
        time.sleep(0.2)
    for a in inside:
        assert a.ask("ping")["type"] == "pong"
    for a in inside[:5]:
        with Client(s) as c:
            assert c.ask("auth", sessionToken=a.welcome["sessionToken"])["type"] == "auth_success"
    own_postgres.start()
    began = time.monotonic()
    waiting = set(keys[20:])
    while waiting:
        assert time.monotonic() - began < 30, f"{len(waiting)} are not in"
        waiting -= {key for key in sorted(waiting) if able(s, key)}
        time.sleep(0.5)
    assert counters(s)["revoked"] == 0


# ---- keys that are taken back ---------------------------------------------------------------------


def closed(client, timeout=15):
    assert client.close_code(timeout) == 4010


def test_a_key_taken_back_closes_its_connections(start, supabase, database, ann, bob):
    project = supabase()
    s = start(project, recheck=1, cache_unknown=0)
    a, watching, other = agent(s, ANN), admin(s, ANN), agent(s, BOB)
    database.sql("update users set apikey = null where id = %s", ann)
    closed(a)
    closed(watching)
    refused(s, ANN)
    with Client(s) as c:
        assert c.ask("auth", sessionToken=a.welcome["sessionToken"])["code"] == "token_invalid"
    assert other.ask("ping")["type"] == "pong"
    seen = counters(s)
    assert seen["revoked"] == 1 and seen["alarms"] == 0
    database.sql("update users set apikey = %s where id = %s", ANN, ann)
    assert agent(s, ANN).welcome["userId"] == ann
    no_secrets(s, project)


def test_a_key_that_is_replaced(start, supabase, database, ann):
    s = start(supabase(), recheck=1)
    a = agent(s, ANN)
    database.sql("update users set apikey = %s where id = %s", NOBODY, ann)
    b = agent(s, NOBODY)
    closed(a)
    assert b.ask("ping")["type"] == "pong" and b.welcome["userId"] == ann


def test_a_key_that_moves_to_another_user(start, supabase, database, ann, bob):
    s = start(supabase(), recheck=1)
    a = agent(s, ANN)
    database.sql("update users set apikey = null where id = %s", ann)
    database.sql("update users set apikey = %s where id = %s", ANN, bob)
    closed(a)
    assert agent(s, ANN).welcome["userId"] == bob


def test_deleted_users(start, supabase, database, ann, bob):
    s = start(supabase(), recheck=1)
    a, b = agent(s, ANN), agent(s, BOB)
    database.remove("users", ann)
    closed(a)
    assert b.ask("ping")["type"] == "pong"
    database.remove("users", bob)  # the last one: after four answers
    closed(b)
    refused(s, ANN)
    refused(s, BOB)


def test_a_login_that_fails_leads_to_the_question(start, supabase, database, ann, bob):
    """Long before its turn, a key that somebody else tries in vain is looked at."""
    s = start(supabase(), recheck=3600, cache=0)
    a, b = agent(s, ANN), agent(s, BOB)
    database.sql("update users set apikey = null where id = %s", ann)
    unavailable(s, ANN)  # not invalid before it is certain
    closed(a)
    refused(s, ANN)
    assert b.ask("ping")["type"] == "pong"


def test_a_table_that_nobody_can_read_cuts_nobody_off(start, supabase, database, ann, bob):
    project = supabase()
    s = start(project, recheck=1, cache=0, cache_unknown=0)
    a, b = agent(s, ANN), agent(s, BOB)
    project.behave("empty")
    eventually(lambda: counters(s)["alarms"] == 1, 20)
    s.logged("ALARM")
    unavailable(s, ANN)
    unavailable(s, BOB)
    unavailable(s)  # who knows
    time.sleep(3)
    assert a.ask("ping")["type"] == "pong" and b.ask("ping")["type"] == "pong"
    with Client(s) as c:
        assert c.ask("auth", sessionToken=a.welcome["sessionToken"])["type"] == "auth_success"
    project.behave()
    s.logged("the alarm is over")
    eventually(lambda: able(s, ANN), 10)
    refused(s)
    time.sleep(2)
    assert b.ask("ping")["type"] == "pong"
    seen = counters(s)
    assert seen["revoked"] == 0 and seen["alarms"] == 1


def test_row_level_security_by_mistake(start, supabase, database, ann, bob):
    """The same with a real mistake: the service role loses what lets it pass row-level security."""
    project = supabase()
    s = start(project, recheck=1)
    a, b = agent(s, ANN), agent(s, BOB)
    database.sql("alter role service_role nobypassrls")
    try:
        eventually(lambda: counters(s)["alarms"] == 1, 20)
        assert a.ask("ping")["type"] == "pong" and b.ask("ping")["type"] == "pong"
    finally:
        database.sql("alter role service_role bypassrls")
    s.logged("the alarm is over")


# ---- tokens after a restart -----------------------------------------------------------------------


def test_tokens_after_a_restart_are_held_against_the_user(start, supabase, database, ann, bob):
    project = supabase()
    s = start(project)
    a, b = agent(s, ANN), agent(s, BOB)
    tokens = [c.welcome["sessionToken"] for c in (a, b)]
    s.stop()
    project.forget()
    database.remove("users", bob)
    s = start(project, port=s.port)
    for _ in range(2):
        with Client(s) as c:
            assert c.ask("auth", sessionToken=tokens[0])["userId"] == ann
    with Client(s) as c:
        assert c.ask("auth", sessionToken=tokens[1])["code"] == "token_invalid"
    assert sorted(r.query for r in project.requests) == sorted(f"select=id,apikey&id=eq.{user}&limit=2" for user in (ann, bob))


@pytest.mark.parametrize("options", [{}, {"digest_column": "apikey_sha256"}], ids=["keys", "digests"])
def test_tokens_after_a_restart_are_held_against_the_key(start, supabase, database, ann, bob, options):
    """Of one user the key was replaced, of another it was taken away, while the server was down."""
    third = str(database.add_user(NOBODY))
    project = supabase()
    s = start(project, **options)
    tokens = [agent(s, key).welcome["sessionToken"] for key in (ANN, BOB, NOBODY)]
    s.stop()
    project.forget()
    database.sql("update users set apikey = 'another-key-of-ann-01234' where id = %s", ann)
    database.sql("update users set apikey = null where id = %s", third)
    s = start(project, port=s.port, **options)
    for token, user in zip(tokens, (None, bob, None)):
        with Client(s) as c:
            said = c.ask("auth", sessionToken=token)
            assert said.get("userId") == user and (user or said["code"] == "token_invalid"), said
    if options:
        assert not any(key in str(project.requests) for key in (ANN, BOB, NOBODY))
    no_secrets(s, project, "another-key-of-ann")


@pytest.mark.parametrize("options", [{}, {"digest_column": "apikey_sha256"}], ids=["keys", "digests"])
def test_a_resumed_session_ends_with_its_key(start, supabase, database, ann, bob, options):
    """Known by a token only, and asked for again as long as it lives."""
    project = supabase()
    s = start(project, **options)
    tokens = [agent(s, key).welcome["sessionToken"] for key in (ANN, BOB)]
    s.stop()
    s = start(project, port=s.port, recheck=1, **options)
    a, b = Client(s), Client(s)
    assert [c.ask("auth", sessionToken=token)["userId"] for c, token in zip((a, b), tokens)] == [ann, bob]
    project.forget()
    eventually(lambda: project.count("/rest/v1/users") >= 6, 30)  # asked for again and again, and nothing happens
    assert a.ask("ping")["type"] == "pong"
    database.sql("update users set apikey = %s where id = %s", NOBODY, ann)
    closed(a)
    with Client(s) as c:
        assert c.ask("auth", sessionToken=tokens[0])["code"] == "token_invalid"
    assert agent(s, NOBODY).welcome["userId"] == ann
    assert b.ask("ping")["type"] == "pong" and counters(s)["revoked"] == 1


@pytest.mark.slow
def test_a_slow_answer_brings_no_key_back(start, supabase, database, ann, bob):
    """A token's bearer is asked for by id; before the answer comes, the key that the token was made for is another's."""
    project = supabase()
    s = start(project)
    with agent(s, ANN, machineId="m") as a:
        token = a.welcome["sessionToken"]
    s.stop()
    s = start(project, port=s.port, recheck=1, cache_unknown=0)
    project.forget()
    project.behave("slow", seconds=7)
    with Client(s) as c:
        c.say("auth", sessionToken=token)
        eventually(lambda: project.count("/rest/v1/users") == 1)
        project.behave(None)
        other = agent(s, ANN, machineId="n")  # now the key is known here
        database.sql("update users set apikey = null where id = %s", ann)
        database.sql("update users set apikey = %s where id = %s", ANN, bob)
        closed(other, 6)
        assert c.hear(10)["code"] == "token_invalid"
    assert agent(s, ANN).welcome["userId"] == bob


def test_tokens_after_a_restart_while_the_project_is_down(start, supabase, database, ann, bob):
    project = supabase()
    s = start(project)
    a, b = agent(s, ANN), agent(s, BOB)
    s.stop()
    project.refuse()
    s = start(project, port=s.port, recheck=1)
    back = []
    for old in (a, b):
        client = Client(s)
        assert client.ask("auth", sessionToken=old.welcome["sessionToken"])["type"] == "auth_success"
        back.append(client)
    database.remove("users", ann)
    project.accept()
    closed(back[0], 25)  # asked for as soon as that is possible
    assert back[1].ask("ping")["type"] == "pong"


# ---- configuration ------------------------------------------------------------------------------


def problems(tmp_path, key="sb_secret_abcdefgh", url="https://abc.supabase.co", more=""):
    file = write(tmp_path, 'listen = ( { port = 8900; } );\n' + DIRS + 'plugins = (\n{ name = "auth_supabase"; config = {\n' + f'url = "{url}";\nkey = "{key}";\n{more}\n}}; }} );\n')
    status, found, said = check(file)
    if key:
        assert key not in said or len(key) < 8
    return status, [text for _, _, text in found], said


def test_right_options(tmp_path):
    status, found, said = problems(tmp_path)
    assert status == 0, said
    assert problems(tmp_path, url="http://localhost:54321/", more='table = "user"; digest_column = "apikey_sha256";')[0] == 0


def test_a_key_that_sees_nobody_is_refused(tmp_path):
    from rig import make_keys
    keys = make_keys()
    for key in (keys.publishable, keys.anon_jwt):
        status, found, _ = problems(tmp_path, key)
        assert status == 78 and len(found) == 1 and "publishable" in found[0]
    assert problems(tmp_path, keys.service_jwt)[0] == 0
    status, _, said = problems(tmp_path, "something-else")
    assert status == 0 and "warning" in said


@pytest.mark.parametrize("more", ['table = "users&or=x";', 'column = "apikey,id";', 'digest_column = "a-b";', 'table = "";', 'column = "9a";',
                                  'ca_file = "/nowhere/ca.pem";', "recheck = 0;", "at_once = 0;", 'machines = { table = "a b"; };'])
def test_wrong_options(tmp_path, more):
    status, found, _ = problems(tmp_path, more=more)
    assert status == 78 and len(found) == 1, found


@pytest.mark.parametrize("url", ["http://abc.supabase.co", "abc.supabase.co", "https://a:b@abc.supabase.co", "https://abc.supabase.co/?a=b", "http://127.evil.example",
                                 "ftp://localhost"])
def test_wrong_addresses(tmp_path, url):
    status, found, _ = problems(tmp_path, url=url)
    assert status == 78 and len(found) == 1, found


# ---- on the way ---------------------------------------------------------------------------------


def test_certificates_are_checked(start, supabase, certificates, ann):
    project = supabase(tls=certificates)
    s = start(project)
    unavailable(s)
    s.logged("no usable answer from Supabase")
    assert project.count() == 0
    s = start(project, ca_file=certificates.ca)
    assert agent(s, ANN).welcome["userId"] == ann


@pytest.fixture
def nginx(tmp_path, certificates):
    """A function that puts nginx with HTTP/2 in front of a port; .port, .lines() of its log: (protocol, connection, status)."""
    running = []

    class Front:
        def __init__(self, backend):
            self.port, self.folder = free_port(), tmp_path / "nginx"
            self.folder.mkdir()
            temporary = " ".join(f"{kind}_temp_path {self.folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            (self.folder / "nginx.conf").write_text(
                f"daemon off; master_process off; pid {self.folder}/pid; error_log {self.folder}/error.log;\n"
                "events { worker_connections 500; }\n"
                f"http {{ {temporary} log_format l '$server_protocol $connection $status'; access_log {self.folder}/access.log l;\n"
                f"server {{ listen 127.0.0.1:{self.port} ssl http2; ssl_certificate {certificates.certificate}; ssl_certificate_key {certificates.key};\n"
                f"location / {{ proxy_pass http://127.0.0.1:{backend}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }} }}\n")
            self.process = subprocess.Popen(["/usr/sbin/nginx", "-p", self.folder, "-c", self.folder / "nginx.conf"], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            running.append(self.process)
            eventually(lambda: self.process.poll() is not None or (self.folder / "pid").exists())
            assert self.process.poll() is None, (self.folder / "error.log").read_text()

        def lines(self):
            return [line.split() for line in (self.folder / "access.log").read_text().splitlines()]

    yield Front
    for process in running:
        process.terminate()
        process.wait(10)


def test_http2(start, supabase, database, certificates, nginx):
    keys = [f"key-number-{n:08d}" for n in range(60)]
    for key in keys:
        database.add_user(key)
    project = supabase()
    front = nginx(project.port)
    s = start(project, url=f"https://localhost:{front.port}", ca_file=certificates.ca)
    assert agent(s, keys[0])
    clients, told = many(s, keys[1:])
    assert {t["type"] for t in told} == {"auth_success"}
    eventually(lambda: len(front.lines()) == len(keys))
    assert {(protocol, status) for protocol, _, status in front.lines()} == {("HTTP/2.0", "200")}
    assert len({connection for _, connection, _ in front.lines()}) == 1  # all of them over one connection
    for client in clients:
        client.s.close()
