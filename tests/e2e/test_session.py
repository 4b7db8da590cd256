# SPDX-License-Identifier: ISC
"""The session protocol over real sockets: every message, every code, every close code of docs/session.md."""
import json
import time

import pytest

import sessions
from conftest import eventually, free_port, get
from hostile import BINARY, PING, PONG, TEXT, frame
from sessions import BOB_KEY, DIRS, JWT_SECRET, KEY, ORACLE, SECOND_KEY, Client, admin, agent, claims_of, counters, jwt, machines, \
    sample, static, steer


@pytest.fixture
def start(server):
    """A function that starts a server with the session protocol."""
    def begin(auth=None, session="", **how):
        more = how.pop("top", "")
        listed = sessions.plugins(auth, session, **how)
        return server(plugins=listed, more=DIRS + more)
    return begin


@pytest.fixture
def s(start):
    return start()


@pytest.fixture
def oracle(start):
    return start(ORACLE)


@pytest.fixture
def kept(start):
    return start(ORACLE, more=['{ name = "keeper"; }'])


# ---- auth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/ws/session"])
def test_a_key_opens_a_session(s, path):
    a = agent(s, path=path, machineId="web-1", name="Web one")
    said = a.welcome
    assert set(said) == {"type", "sessionToken", "message", "userId", "machineId", "expiresIn", "durable"}
    assert (said["message"], said["userId"], said["machineId"]) == ("Authentication successful", "alice", "web-1")
    assert said["expiresIn"] == 24 * 3600 and said["durable"] is False
    claims = claims_of(said["sessionToken"])
    assert (claims["sub"], claims["scope"], claims["machine"], claims["provider"]) == ("alice", "agent", "web-1", "auth_static")
    assert claims["iss"] == "muster" and claims["aud"] == "muster-session" and claims["exp"] - claims["iat"] == 24 * 3600 and claims["jti"]
    assert claims["nbf"] == claims["iat"] and KEY not in json.dumps(claims)
    seen = machines(s)["web-1"]
    assert (seen["name"], seen["status"], seen["userId"]) == ("Web one", "online", "alice") and machines(s, BOB_KEY) == {}


def test_lifetimes_are_options(start):
    s = start(session="token_hours = 2; admin_token_hours = 3;")
    assert agent(s).welcome["expiresIn"] == 2 * 3600
    with Client(s) as c:
        assert c.ask("auth", apiKey=KEY, scope="admin")["expiresIn"] == 3 * 3600


def test_a_wrong_key_is_told_so_and_closed(s):
    with Client(s) as c:
        said = c.ask("auth", apiKey="no-such-key-0123456789")
        assert said == {"type": "auth_failed", "message": "Invalid API Key", "code": "invalid_api_key", "retryable": False}
        assert c.close_code() == 4002
    with Client(s) as c:
        assert c.ask("auth", apiKey="")["code"] == "invalid_api_key" and c.close_code() == 4002
    assert "no-such-key" not in s.log and counters(s)["auth_refused"] == 2


def test_who_says_nothing_is_closed_in_time(start):
    s = start(session="auth_timeout = 1;")
    began = time.monotonic()
    with Client(s) as c:
        said = c.hear(5)
        assert (said["type"], said["code"]) == ("auth_failed", "auth_timeout") and c.close_code() == 4001
        assert 0.9 < time.monotonic() - began < 4
    with Client(s) as c:  # messages that are no authentication do not prolong it
        c.say("pong")
        c.until("auth_failed", code="auth_timeout")
        assert c.close_code() == 4001
    with agent(s) as a:
        time.sleep(2.2)
        assert a.settle() == [] and counters(s)["auth_timeouts"] == 2


def test_a_backend_that_is_down_is_never_a_wrong_key(oracle):
    steer(oracle, "oracle", mode="down")
    for key in ("user:u:one", "nonsense-0123456789"):
        with Client(oracle) as c:
            said = c.ask("auth", apiKey=key)
            assert (said["type"], said["code"], said["retryable"], said["retryAfter"]) == ("auth_failed", "unavailable", True, 7)
            assert "Invalid API Key" not in said["message"] and c.close_code() == 1013
    steer(oracle, "oracle", mode="up")
    agent(oracle, "user:u:one").s.close()


def test_a_backend_that_does_not_answer_is_unavailable(start):
    s = start(ORACLE, session="auth_timeout = 1;")
    steer(s, "oracle", mode="never")
    with Client(s) as c:
        said = c.ask("auth", apiKey="user:u:one")
        assert (said["code"], said["retryable"]) == ("unavailable", True) and c.close_code() == 1013


def test_while_it_is_judged_nothing_else_counts(oracle):
    steer(oracle, "oracle", mode="held")
    with Client(oracle) as c:
        c.say("auth", apiKey="user:u:one", machineId="m")
        assert c.ask("auth", apiKey="user:u:two")["code"] == "already_authenticated"
        said = c.ask("data", **sample(1))
        assert (said["type"], said["code"], said["refType"]) == ("error", "not_authenticated", "data")
        steer(oracle, "oracle", mode="up")
        assert c.until("auth_success")["machineId"] == "m"
    # Who leaves meanwhile is no machine; the answer finds nobody.
    steer(oracle, "oracle", mode="held")
    with Client(oracle) as c:
        c.say("auth", apiKey="user:u:one", machineId="left")
        assert c.settle() == []
    eventually(lambda: get(oracle.http + "/test/counters")["net.open_ws"] == 0)
    steer(oracle, "oracle", mode="up")
    assert "left" not in machines(oracle, "user:u:one")


def test_no_auth_plugin_means_unavailable(server):
    listed = [p for p in sessions.plugins() if "auth_static" not in p]
    s = server(plugins=listed, more=DIRS)
    with Client(s) as c:
        said = c.ask("auth", apiKey=KEY)
        assert (said["type"], said["code"], said["retryable"]) == ("auth_failed", "unavailable", True) and c.close_code() == 1013


@pytest.mark.parametrize("secret", ["", "a" * 31])
def test_a_short_secret_is_refused_at_the_start(tmp_path, secret):
    from conftest import Program
    listed = ", ".join(sessions.plugins(secret=secret))
    p = Program("musterd", tmp_path, f'listen = ( {{ port = {free_port()}; }} );\n{DIRS}\nplugins = ( {listed} );\n')
    assert p.process.wait(10) == 78 and "jwt_secret" in p.log and (not secret or secret not in p.log), p.log


# ---- session tokens -----------------------------------------------------------------------------


def test_resuming_with_the_token(s):
    with agent(s, machineId="web-1") as a:
        token = a.welcome["sessionToken"]
    for more in ({}, {"machineId": "web-1"}, {"scope": "agent"}):
        with Client(s) as c:
            said = c.ask("auth", sessionToken=token, **more)
            assert (said["type"], said["machineId"], said["userId"]) == ("auth_success", "web-1", "alice")
            assert said["sessionToken"] == token and 24 * 3600 - 60 < said["expiresIn"] <= 24 * 3600
    assert counters(s)["auth_resumed"] == 3


def test_an_expired_token_leaves_the_way_to_the_key_open(s):
    with agent(s, machineId="web-1") as a:
        claims = claims_of(a.welcome["sessionToken"])
    now = int(time.time())
    old = jwt({**claims, "iat": now - 100, "nbf": now - 100, "exp": now - 1})
    with Client(s) as c:
        said = c.ask("auth", sessionToken=old)
        assert (said["type"], said["code"], said["retryable"]) == ("auth_failed", "token_expired", False)
        assert c.ask("auth", apiKey=KEY, machineId="web-1")["type"] == "auth_success"


def test_resume_works_while_the_backend_is_down_and_not_when_it_says_no(oracle):
    with agent(oracle, "user:u:one", machineId="m") as a:
        token = a.welcome["sessionToken"]
    steer(oracle, "oracle", mode="down")
    with Client(oracle) as c:
        assert c.ask("auth", sessionToken=token)["type"] == "auth_success"
        steer(oracle, "oracle", revoke="u", credential="one")  # even so resumed, it can be revoked
        assert c.close_code() == 4010
    steer(oracle, "oracle", mode="up")
    with Client(oracle) as c:
        assert c.ask("auth", sessionToken=token)["code"] == "token_invalid"  # made before that
        time.sleep(1.1)
        fresh = c.ask("auth", apiKey="user:u:one", machineId="m")["sessionToken"]
    with Client(oracle) as c:
        assert c.ask("auth", sessionToken=fresh)["type"] == "auth_success"
    steer(oracle, "oracle", mode="strict")
    with Client(oracle) as c:
        assert c.ask("auth", sessionToken=fresh)["code"] == "token_invalid"
    steer(oracle, "oracle", mode="never")
    with Client(oracle) as c:
        c.say("auth", sessionToken=fresh)
        c.quiet()


def test_revoking_one_key_leaves_the_other(oracle):
    one, two = agent(oracle, "user:u:one", machineId="m1"), agent(oracle, "user:u:two", machineId="m2")
    other = agent(oracle, "user:v:one", machineId="m1")
    steer(oracle, "oracle", revoke="u", credential="one")
    assert one.close_code() == 4010
    assert two.settle() == [] and other.settle() == []
    with Client(oracle) as c:
        assert c.ask("auth", sessionToken=two.welcome["sessionToken"])["type"] == "auth_success"
    with Client(oracle) as c:
        assert c.ask("auth", sessionToken=one.welcome["sessionToken"])["code"] == "token_invalid"


@pytest.mark.parametrize("how", ["revoked", "secret"])
def test_a_token_that_ends_while_its_bearer_is_judged(oracle, how):
    with agent(oracle, "user:u:one", machineId="m") as a:
        token = a.welcome["sessionToken"]
    steer(oracle, "oracle", mode="held")
    with Client(oracle) as c:
        c.say("auth", sessionToken=token)
        assert c.settle() == []
        if how == "revoked":
            steer(oracle, "oracle", revoke="u", credential="one")
        else:
            oracle.reload(oracle.text(sessions.plugins(ORACLE, secret="another-secret-0123456789-0123456789")))
            oracle.logged("reloaded")
        steer(oracle, "oracle", mode="up")
        assert c.hear()["code"] == "token_invalid"
        assert c.ask("auth", apiKey="user:u:two", machineId="m")["type"] == "auth_success"


def test_a_key_that_the_configuration_takes_back(start):
    s = start()
    one, two = agent(s, KEY, machineId="m1"), agent(s, SECOND_KEY, machineId="m2")
    s.reload(s.text(sessions.plugins(static(f'{{ id = "alice"; api_keys = [ "{SECOND_KEY}" ]; }}'))))
    assert one.close_code() == 4010 and two.settle() == []
    with Client(s) as c:
        assert c.ask("auth", sessionToken=one.welcome["sessionToken"])["code"] == "token_invalid"
        assert c.ask("auth", apiKey=KEY)["code"] == "invalid_api_key" and c.close_code() == 4002


def test_a_new_secret_ends_tokens_and_no_connection(start):
    s = start()
    a = agent(s, machineId="m")
    s.reload(s.text(sessions.plugins(secret="another-secret-0123456789-0123456789")))
    s.logged("reloaded")
    with Client(s) as c:
        assert c.ask("auth", sessionToken=a.welcome["sessionToken"])["code"] == "token_invalid"
    assert a.settle() == []
    a.say("data", **sample(1))
    assert a.settle() == [] and machines(s)["m"]["metrics"] == {"cpu": {"percent": 1.0}}


# ---- which machine ------------------------------------------------------------------------------


def test_clients_without_an_id_get_their_machine_back(s):
    first, second = agent(s), agent(s)
    ids = [first.welcome["machineId"], second.welcome["machineId"]]
    assert ids[0].startswith("auto-") and ids[0].endswith("-1") and ids[1] == ids[0][:-1] + "2"
    first.s.close()
    eventually(lambda: machines(s)[ids[0]]["status"] == "offline")
    assert agent(s).welcome["machineId"] == ids[0]
    assert agent(s, source="127.0.0.5").welcome["machineId"][:-1] != ids[0][:-1]
    assert agent(s, BOB_KEY).welcome["machineId"] == ids[0]  # another user's
    assert set(machines(s, BOB_KEY)) == {ids[0]} and second.settle() == []


def test_the_newer_connection_of_a_machine_wins(s):
    with admin(s) as watching:
        old = agent(s, machineId="web-1")
        watching.until("machine_update", event="online")
        new = agent(s, machineId="web-1")
        assert old.close_code() == 4009
        new.say("data", **sample(1))
        update = watching.until("machine_update", event="data")
        assert update["machine"]["status"] == "online"
        assert all(m["status"] == "online" for m in machines(s).values()) and counters(s)["agents_replaced"] == 1
        bob = agent(s, BOB_KEY, machineId="web-1")  # the same id of another user is another machine
        assert new.settle() == [] and bob.settle() == []


def test_a_deleted_machine(kept):
    key = "user:u:one"
    a = agent(kept, key, machineId="m")
    other = agent(kept, key, machineId="n")
    assert steer(kept, "keeper", remove="m") == {"sent": 0}
    said = a.hear()
    assert said == {"type": "machine_deleted", "message": "Your machine has been deleted. Please re-authenticate."}
    assert a.close_code() == 4003 and other.settle() == []
    for how in ({"apiKey": key, "machineId": "m"}, {"sessionToken": a.welcome["sessionToken"]}):
        with Client(kept) as c:
            assert c.ask("auth", **how)["type"] == "machine_deleted" and c.close_code() == 4003
    assert set(machines(kept, key)) == {"n"} and counters(kept)["machines_deleted"] == 3


def test_what_a_deleted_machine_still_says_is_ignored(kept):
    a = agent(kept, "user:u:one", machineId="m")
    steer(kept, "keeper", remove="m")
    a.send(frame(TEXT, json.dumps({"type": "data", **sample(1)})) * 20)
    assert [m["type"] for m in iter(a.hear, None)] == ["machine_deleted"]
    assert machines(kept, "user:u:one") == {} and steer(kept, "keeper") == []


def test_too_many_machines(start):
    s = start(machines="max_per_owner = 2;")
    held = [agent(s, machineId=f"m{i}") for i in range(2)]
    with Client(s) as c:
        said = c.ask("auth", apiKey=KEY, machineId="m3")
        assert (said["code"], said["retryable"]) == ("machine_limit", True) and said["retryAfter"] > 0 and c.close_code() == 1013
    with Client(s) as c:
        assert c.ask("auth", apiKey=KEY)["code"] == "machine_limit"
    assert all(a.settle() == [] for a in held)
    assert agent(s, BOB_KEY, machineId="m3").welcome["machineId"] == "m3"


def test_a_machine_with_a_key_of_its_own(oracle):
    a = agent(oracle, "machine:m-1:one", machineId="something-else")
    assert (a.welcome["machineId"], a.welcome["userId"]) == ("m-1", "")
    token = a.welcome["sessionToken"]
    with Client(oracle) as c:
        said = c.ask("auth", apiKey="machine:m-1:one", scope="admin")
        assert said["code"] == "forbidden" and c.close_code() == 4002
    with Client(oracle) as c:
        assert c.ask("auth", sessionToken=token)["machineId"] == "m-1"
    assert a.close_code() == 4009
    steer(oracle, "oracle", mode="down")  # the token does not say whose machine it is
    with Client(oracle) as c:
        assert c.ask("auth", sessionToken=token)["code"] == "unavailable" and c.close_code() == 1013


# ---- what agents say ----------------------------------------------------------------------------


def test_system_info_is_kept_as_sent(s):
    with admin(s) as watching, agent(s, machineId="web-1") as a:
        watching.until("machine_update", event="online")
        a.say('{"type":"system_info","ip":"203.0.113.7","ram":16777216000,"cpu":"8 cores","hostname":"h\\u00f6st","os":"linux","arch":"x86_64"}')
        seen = watching.until("machine_update", event="info")["machine"]
        assert {k: seen[k] for k in ("ip", "ram", "cpu", "hostname", "os", "name")} == \
            {"ip": "203.0.113.7", "ram": 16777216000, "cpu": "8 cores", "hostname": "höst", "os": "linux", "name": "höst"}
        a.say('{"type":"system_info","ram":1.50,"name":"Own name","hostname":"host"}')
        seen = watching.until("machine_update", event="info")["machine"]
        assert (seen["ram"], seen["name"], seen["cpu"]) == (1.5, "Own name", None)
        a.say("system_info", hostname="another")
        assert watching.until("machine_update", event="info")["machine"]["name"] == "Own name"
        assert a.settle() == []


def test_a_name_given_with_auth_stays(s):
    with agent(s, machineId="web-1", name="Given") as a:
        a.say("system_info", hostname="host")
        assert a.settle() == [] and machines(s)["web-1"]["name"] == "Given"


def test_heartbeats_are_signs_of_life(s):
    with admin(s) as watching, agent(s, machineId="web-1") as a:
        before = watching.until("machine_update", event="online")["machine"]
        time.sleep(0.05)
        a.say("heartbeat")
        seen = watching.until("machine_update", event="heartbeat")["machine"]
        assert seen["lastSeen"] > before["lastSeen"] and seen["connectedAt"] == before["connectedAt"]
        a.say("heartbeat", timestamp=int(time.time() * 1000))
        watching.until("machine_update", event="heartbeat")
    assert abs(seen["lastSeen"] / 1000 - time.time()) < 30


def test_data_is_live_at_once(s):
    with admin(s) as watching, agent(s, machineId="web-1") as a:
        metrics = {"cpu": {"percent": 1.5, "cores": 8}, "gpu": {"cards": [{"name": "ä\n\"", "load": 0.25}]}}
        a.say("data", boot="b", seq=1, timestamp=int(time.time() * 1000), metrics=metrics)
        seen = watching.until("machine_update", event="data")["machine"]
        assert seen["metrics"] == metrics and seen["status"] == "online"
        a.say("data", metrics={"memory": {"total": 5}})  # without a number: nothing can be stored, but it is live
        assert watching.until("machine_update", event="data")["machine"]["metrics"] == {"memory": {"total": 5}}
    seen = eventually(lambda: (m := machines(s)["web-1"])["status"] == "offline" and m)
    assert seen["metrics"] == {"memory": {"total": 5}}  # the last that is known


def test_a_replay_is_never_live(s):
    with agent(s, machineId="m") as a:
        def live():
            assert a.settle() == []
            return machines(s)["m"]["metrics"]["cpu"]["percent"]
        now = int(time.time() * 1000)
        a.say("data", **sample(5, timestamp=now - 1000))
        assert live() == 5
        for old in (sample(4), sample(5), sample(99, boot="older", timestamp=now - 2000), sample(98, boot="older", timestamp=now - 1000)):
            a.say("data", **old)
        assert live() == 5 and counters(s)["replays"] == 4
        a.say("data", **sample(6))
        assert live() == 6
        a.say("data", **sample(1, boot="newer", timestamp=now + 5000))
        assert live() == 1
        a.say("data", **sample(2, boot="newer", timestamp=now))
        assert live() == 2
    with agent(s, machineId="m") as a:  # known across connections
        a.say("data", **sample(1, boot="newer"))
        assert live() == 2


def test_a_clock_that_was_set_back_by_a_restart(s):
    """The machine comes back an hour behind: what it says now is live at once, what it said before is a replay for good."""
    def live():
        return machines(s)["m"]["metrics"]["cpu"]["percent"]
    now = int(time.time() * 1000)
    with agent(s, machineId="m") as a:
        a.say("data", **sample(7, boot="before", timestamp=now))
        assert a.settle() == [] and live() == 7
    with agent(s, machineId="m") as a:
        a.say("data", **sample(1, boot="after", timestamp=now - 3600_000))
        assert a.settle() == [] and live() == 1
        a.say("data", **sample(2, boot="after", timestamp=now - 3599_000))
        a.say("data", **sample(8, boot="before", timestamp=now + 1000))
        assert a.settle() == [] and live() == 2
    with agent(s, machineId="m") as a:
        a.say("data", **sample(9, boot="before", timestamp=now + 2000))
        assert a.settle() == [] and live() == 2


def test_a_clock_that_ran_ahead_or_was_never_set(s):
    with agent(s, machineId="m") as a:
        a.say("data", **sample(1, boot="ahead", timestamp=int(time.time() * 1000) + 86400_000))
        assert a.settle() == []
        time.sleep(0.05)
        a.say("data", **sample(2, boot="right"))
        assert a.settle() == [] and machines(s)["m"]["metrics"]["cpu"]["percent"] == 2
        a.say("data", **sample(3, boot="unset", timestamp=1000))
        assert a.settle() == [] and machines(s)["m"]["metrics"]["cpu"]["percent"] == 3


def test_public_is_the_owners_word(start):
    s = start(more=['{ name = "server_status"; }'])
    def shown():
        return [m["id"] for m in get(s.http + "/api/server/statusInfo")["data"]]
    with agent(s, machineId="m") as a:
        a.say("data", **sample(1))
        for word, wanted in ((None, []), (True, ["m"]), (False, []), (True, ["m"])):
            a.say("system_info", **({} if word is None else {"public": word}))
            assert a.settle() == [] and shown() == wanted
        a.say("system_info", hostname="says nothing of it")
        assert a.settle() == [] and shown() == ["m"]
        assert a.ask("system_info", public="yes")["message"] == "public must be true or false"
    assert eventually(lambda: not get(s.http + "/api/statistics")["data"]["onlineIds"]) and shown() == ["m"]


# ---- ping ---------------------------------------------------------------------------------------


def test_pings_both_ways(start):
    s = start(session="ping_every = 1;")
    with agent(s) as a:
        for _ in range(4):
            assert a.hear(3) == {"type": "ping"}
            a.say("pong")
        assert a.ask("ping") == {"type": "pong"}
    with admin(s) as watching:
        watching.until("ping")
        assert watching.ask("ping") == {"type": "pong"}


def test_two_pings_without_an_answer(start):
    s = start(session="ping_every = 1;")
    a, lively = agent(s), agent(s)
    began, pings = time.monotonic(), 0
    while (got := a.hear(5)):
        pings += got == {"type": "ping"}
        lively.say("heartbeat")  # any message is an answer
    assert pings == 2 and time.monotonic() - began > 1.9
    assert not lively.ended and all(m == {"type": "ping"} for m in lively.settle()) and counters(s)["silent"] == 1


def test_the_close_code_of_silence(start):
    with agent(start(session="ping_every = 1;")) as a:
        assert a.close_code() == 1001


# ---- admins -------------------------------------------------------------------------------------


def test_an_admin_by_token_alone(s):
    with Client(s) as c:
        said = c.ask("auth", apiKey=KEY, scope="admin", machineId="ignored")
        assert "machineId" not in said and "durable" not in said and claims_of(said["sessionToken"])["scope"] == "admin"
    with Client(s) as c:
        assert c.ask("admin_connect", token=said["sessionToken"])["type"] == "admin_success"
        assert c.until("machine_list")["machines"] == []
        assert c.ask("machine_list") == {"type": "machine_list", "machines": []}
        assert c.ask("data", **sample(1))["code"] == "forbidden"
        assert c.ask("auth", apiKey=KEY)["code"] == "already_authenticated"
    with Client(s) as c:
        resumed = c.ask("auth", sessionToken=said["sessionToken"], scope="admin")
        assert resumed["type"] == "auth_success" and resumed["userId"] == "alice"


def test_tokens_that_open_no_admin_connection(s):
    with agent(s) as a:
        token = a.welcome["sessionToken"]
        assert a.ask("admin_connect", token=token)["code"] == "forbidden"  # an agent's connection stays one
        assert a.ask("machine_list")["code"] == "forbidden"
    with Client(s) as c:
        said = c.ask("admin_connect", token=token)
        assert (said["type"], said["code"]) == ("admin_failed", "forbidden") and c.close_code() == 4002
    with Client(s) as c:
        said = c.ask("admin_connect", token="nonsense")
        assert (said["type"], said["code"]) == ("admin_failed", "token_invalid")
        assert c.ask("machine_list")["code"] == "not_authenticated"
    with Client(s) as c:
        assert c.ask("auth", sessionToken=token, scope="admin")["code"] == "forbidden" and c.close_code() == 4002
    with admin(s) as watching:
        with Client(s) as c:
            assert c.ask("auth", sessionToken=watching.token)["code"] == "forbidden" and c.close_code() == 4002


def test_an_admin_keeps_to_one_user(s):
    with admin(s) as watching, admin(s, BOB_KEY) as bob:
        said = watching.ask("admin_connect", token=bob.token)
        assert (said["type"], said["code"], said["message"]) == ("admin_failed", "forbidden", "Not permitted with this credential")
        agent(s, BOB_KEY, machineId="bobs").s.close()
        agent(s, machineId="own").s.close()
        assert watching.until("machine_update")["machine"]["machineId"] == "own"
        watching.say("admin_connect", token=watching.token)
        watching.until("admin_success")


def test_agents_tokens_as_admin_where_that_is_allowed(start):
    s = start(session="allow_agent_token_as_admin = true;")
    assert "whoever has the session token of one machine sees all machines of its user" in s.log
    with agent(s, machineId="m") as a:
        token = a.welcome["sessionToken"]
        with Client(s) as c:
            assert c.ask("admin_connect", token=token)["type"] == "admin_success"
            assert [m["machineId"] for m in c.until("machine_list")["machines"]] == ["m"]


def test_an_admins_time_is_over_with_its_token(oracle):
    with admin(oracle, "user:u:one") as watching:
        claims = claims_of(watching.token)
    short = jwt({**claims, "exp": int(time.time()) + 2})
    with Client(oracle) as c:
        assert c.ask("admin_connect", token=short)["type"] == "admin_success"
        c.until("error", code="token_expired")
        assert c.close_code() == 4010
    with Client(oracle) as c:
        said = c.ask("admin_connect", token=short)
        assert (said["type"], said["code"]) == ("admin_failed", "token_expired")
        assert c.ask("admin_connect", token=watching.token)["type"] == "admin_success"  # another try is free


def test_a_revoked_admin_is_sent_away(oracle):
    with admin(oracle, "user:u:one") as watching, admin(oracle, "user:u:two") as other:
        steer(oracle, "oracle", revoke="u", credential="one")
        assert watching.close_code() == 4010
        assert other.ask("machine_list")["type"] == "machine_list"


# ---- what is wrong ------------------------------------------------------------------------------


def test_before_and_after_auth(s):
    with Client(s) as c:
        for type, members in (("data", sample(1)), ("heartbeat", {}), ("system_info", {}), ("ping", {}), ("pong", {}), ("machine_list", {})):
            said = c.ask(type, **members)
            assert (said["type"], said["code"], said["refType"]) == ("error", "not_authenticated", type)
        assert c.ask("auth", apiKey=KEY)["type"] == "auth_success"
        said = c.ask("auth", apiKey=KEY)
        assert (said["type"], said["code"], said["refType"]) == ("error", "already_authenticated", "auth")
        assert c.settle() == []


def test_bad_json_three_times(s):
    for texts in (["{", "[]", "nonsense"], ['{"type":"heartbeat"', '"x"', ""], ['{"type":"auth","apiKey":5', "null", "{}x"]):
        with agent(s) as a:
            for n, text in enumerate(texts):
                a.send(frame(TEXT, text))
                said = a.hear()
                assert (said["type"], said["code"]) == ("error", "bad_json"), text
                assert n == 2 or a.settle() == []
            assert a.close_code() == 1008
    with Client(s) as c:  # who is nobody has no more
        c.send(frame(TEXT, "{") * 3)
        assert [c.hear()["code"] for _ in range(3)] == ["bad_json"] * 3 and c.close_code() == 1008
    assert counters(s)["bad_json"] == 12


def test_binary_and_too_long(s):
    with agent(s) as a:
        a.send(frame(BINARY, b"{}"))
        assert a.close_code() == 1003
    with agent(s, machineId="m") as a:
        body = json.dumps({"type": "data", "metrics": {"x": {"a": ""}}})
        a.say(body.replace('""', '"' + "b" * (65536 - len(body)) + '"'))
        assert a.settle() == [] and len(machines(s)["m"]["metrics"]["x"]["a"]) > 65000
        a.say(body.replace('""', '"' + "b" * (65537 - len(body)) + '"'))
        assert a.close_code() == 1009


def test_unknown_types_stay(s):
    with agent(s) as a:
        said = a.ask("no_such_type", payload={"a": 1})
        assert (said["code"], said["refType"]) == ("unknown_type", "no_such_type")
        for text in ('{"type":"<b>\\u001b[31m"}', '{"type":"' + "a" * 32 + '"}', '{"type":""}'):
            said = a.ask(text)
            assert said["code"] == "unknown_type" and "refType" not in said
        assert a.ask('{"payload":1}')["message"] == "type is missing"
        assert a.ask('{"type":["data"]}')["message"] == "type must be a string"
        assert a.settle() == [] and "\x1b" not in s.log


def test_a_type_that_does_not_come_first_or_is_escaped(s):
    with agent(s, machineId="m") as a:
        a.say('{"metrics":{"cpu":{"percent":7}},"seq":1,"boot":"b","type":"data"}')
        a.say('{"t\\u0079pe":"heart\\u0062eat"}')
        assert a.settle() == [] and machines(s)["m"]["metrics"] == {"cpu": {"percent": 7}}
        assert a.ask('{"type":"heartbeat","t\\u0079pe":"heartbeat"}')["code"] == "bad_field"


def test_credentials_that_are_no_credentials(s):
    with Client(s) as c:
        for members, what in (({}, "apiKey is missing"), ({"apiKey": KEY, "sessionToken": "t"}, "sessionToken must not be given together with apiKey"),
                              ({"apiKey": KEY, "scope": "root"}, 'scope must be "agent" or "admin"'),
                              ({"apiKey": KEY, "machineId": "a/../b"}, "machineId must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -"),
                              ({"apiKey": 5}, "apiKey must be a string")):
            said = c.ask("auth", **members)
            assert (said["code"], said["message"], said["refType"]) == ("bad_field", what, "auth")
        assert c.ask("auth", apiKey=KEY)["type"] == "auth_success"


# ---- limits -------------------------------------------------------------------------------------


def test_failed_attempts_by_address(start):
    s = start(session="failed_auths_per_minute = 5;")
    with agent(s, machineId="m") as a:
        token = a.welcome["sessionToken"]
    for _ in range(12):  # ten servers behind one address: what succeeds does not count
        agent(s, machineId="m").s.close()
    for n in range(5):
        with Client(s) as c:
            assert c.ask("auth", apiKey=f"wrong-key-number-{n}")["code"] == "invalid_api_key"
    for key in ("wrong-key-number-6", KEY):
        with Client(s) as c:
            said = c.ask("auth", apiKey=key)
            assert (said["code"], said["retryable"]) == ("rate_limited", True) and 0 < said["retryAfter"] <= 12
            assert "Invalid API Key" not in said["message"] and c.close_code() == 1013
    with Client(s) as c:  # a token is judged here, and a forged one adds nothing that is not known
        assert c.ask("auth", sessionToken=token)["type"] == "auth_success"
    with Client(s) as c:
        assert c.ask("auth", sessionToken=token[:-2] + "xx")["code"] == "rate_limited"
    assert agent(s, source="127.0.0.9").welcome["type"] == "auth_success"
    assert counters(s)["auth_rate_limited"] == 3


def test_forged_tokens_count(start):
    s = start(session="failed_auths_per_minute = 5;")
    with Client(s) as c:
        for n in range(5):
            assert c.ask("auth" if n % 2 else "admin_connect", **{"sessionToken" if n % 2 else "token": f"forged.token.{n}"})["code"] == "token_invalid"
        said = c.ask("auth", apiKey=KEY)
        assert said["code"] == "rate_limited" and c.close_code() == 1013


def hang_up(s, key):
    """Brings a key and goes before the answer."""
    with Client(s) as c:
        c.say("auth", apiKey=key)
        c.send(frame(PING, b"read?"))
        assert c.read(10)[2] == PONG


def test_who_hangs_up_before_the_answer_failed_all_the_same(start):
    s = start(ORACLE, session="failed_auths_per_minute = 5;")
    steer(s, "oracle", mode="held")
    for n in range(5):
        hang_up(s, f"wrong-key-number-{n}")
    steer(s, "oracle", mode="up")
    time.sleep(1)  # they are judged
    with Client(s) as c:
        assert c.ask("auth", apiKey="user:u:one")["code"] == "rate_limited"
    assert agent(s, "user:u:one", source="127.0.0.9").welcome["userId"] == "u"


def test_who_hangs_up_cannot_fill_a_backend_that_is_slow(start):
    s = start(ORACLE, session="failed_auths_per_minute = 5;")
    steer(s, "oracle", mode="never")
    for n in range(5):
        hang_up(s, f"some-key-number-{n}")
    with Client(s) as c:
        said = c.ask("auth", apiKey="some-key-number-6")
        assert (said["code"], said["retryable"]) == ("rate_limited", True) and said["retryAfter"] >= 1 and c.close_code() == 1013


def test_who_hangs_up_with_a_good_key_did_not_fail(start):
    s = start(ORACLE, session="failed_auths_per_minute = 5;")
    steer(s, "oracle", mode="held")
    for n in range(4):
        hang_up(s, "user:u:one")
    steer(s, "oracle", mode="up")
    time.sleep(1)
    for n in range(5):
        with Client(s) as c:
            assert c.ask("auth", apiKey=f"wrong-key-number-{n}")["code"] == "invalid_api_key"
    with Client(s) as c:
        assert c.ask("auth", apiKey="user:u:one")["code"] == "rate_limited"


def test_keys_at_once_are_no_way_around_the_limit(start):
    s = start(ORACLE, session="failed_auths_per_minute = 5;")
    with Client(s) as c:
        assert c.ask("auth", apiKey="wrong-key-number-0")["code"] == "invalid_api_key"
    steer(s, "oracle", mode="held")
    clients = [Client(s) for _ in range(20)]
    for n, c in enumerate(clients):
        c.say("auth", apiKey=f"other-key-number-{n}" if n < 19 else "user:u:one")  # the guess that would have been right
        if n < 4:
            assert c.settle() == []
    assert [c.hear()["code"] for c in clients[4:]] == ["rate_limited"] * 16
    steer(s, "oracle", mode="up")
    assert [c.hear()["code"] for c in clients[:4]] == ["invalid_api_key"] * 4
    for c in clients:
        c.s.close()
    # Nobody failed at this address: as many as there are may come together.
    steer(s, "oracle", mode="held")
    clients = [Client(s, source="127.0.0.9") for _ in range(20)]
    for n, c in enumerate(clients):
        c.say("auth", apiKey=f"user:u:key-{n}", machineId=f"m{n}")
        assert c.settle() == []
    steer(s, "oracle", mode="up")
    assert [c.hear()["type"] for c in clients] == ["auth_success"] * 20
    for c in clients:
        c.s.close()


def test_messages_have_a_rate(start):
    s = start(session="messages_per_minute = 10;")
    with agent(s, machineId="m") as a, agent(s, machineId="n") as other:
        answers = [a.ask("ping") for _ in range(12)]
        assert [m["type"] for m in answers] == ["pong"] * 9 + ["error"] * 3  # auth was the tenth
        said = answers[-1]
        assert (said["code"], said["refType"]) == ("rate_limited", "ping") and 1 <= said["retryAfter"] <= 6
        a.say("data", **sample(1))  # reports have a rate of their own
        assert a.settle() == [] and machines(s)["m"]["metrics"]["cpu"]["percent"] == 1
        for _ in range(27):
            assert a.ask("ping")["code"] == "rate_limited"
        assert a.close_code() == 4008
        assert other.ask("ping") == {"type": "pong"}


def test_reports_have_a_rate(start):
    s = start(session="reports_per_minute = 5;")
    with agent(s, machineId="m") as a:
        for n in range(1, 6):
            a.say("data", **sample(n))
        said = a.ask("data", **sample(6))
        assert (said["code"], said["refType"]) == ("rate_limited", "data") and 1 <= said["retryAfter"] <= 12
        assert a.ask("ping") == {"type": "pong"} and machines(s)["m"]["metrics"]["cpu"]["percent"] == 5


def test_forwarded_addresses_count_only_from_trusted_proxies(start):
    s = start(session="failed_auths_per_minute = 5;", top='\nlimits = { trusted_proxies = [ "127.0.0.7" ]; };')
    def wrong(source, forwarded, n=0):
        with Client(s, source=source, headers=(f"X-Forwarded-For: {forwarded}",)) as c:
            return c.ask("auth", apiKey=f"wrong-key-number-{n}")["code"]
    # One /64 behind the proxy is one address.
    assert [wrong("127.0.0.7", f"2001:db8:1:1::{n}") for n in range(6)] == ["invalid_api_key"] * 5 + ["rate_limited"]
    assert wrong("127.0.0.7", "2001:db8:1:2::1") == "invalid_api_key"
    # Nobody else is believed.
    assert [wrong("127.0.0.8", f"198.51.100.{n}") for n in range(6)] == ["invalid_api_key"] * 5 + ["rate_limited"]


# ---- samples that are stored --------------------------------------------------------------------


def test_acknowledged_after_they_are_stored(kept):
    with agent(kept, "user:u:one", machineId="m") as a:
        assert a.welcome["durable"] is True and "lastAck" not in a.welcome
        began = time.monotonic()
        for n in range(1, 51):
            a.say("data", **sample(n))
        acks = []
        while not acks or acks[-1]["seq"] < 50:
            acks.append(a.until("ack"))
        assert time.monotonic() - began < 10 and len(acks) < 25  # batched
        assert all(set(m) == {"type", "boot", "seq"} and m["boot"] == "boot-1" for m in acks)
        assert [k["seq"] for k in steer(kept, "keeper")] == list(range(1, 51))
        began = time.monotonic()
        a.say("data", **sample(51))
        assert a.until("ack")["seq"] == 51 and time.monotonic() - began < 3
    with agent(kept, "user:u:one", machineId="m") as a:
        assert a.welcome["lastAck"] == {"boot": "boot-1", "seq": 51}
        a.say("data", metrics={"cpu": {"percent": 1}})  # nothing to acknowledge it by
        assert a.settle() == [] and len(steer(kept, "keeper")) == 51


def test_not_stored_is_not_acknowledged(kept):
    with agent(kept, "user:u:one", machineId="m") as a:
        steer(kept, "keeper", hold=1)
        a.say("data", **sample(1))
        a.quiet(1.5)
        steer(kept, "keeper", hold=0)
        assert a.until("ack")["seq"] == 1
        steer(kept, "keeper", refuse=1)
        a.say("data", **sample(2))
        assert a.settle() == []
        steer(kept, "keeper", refuse=0)
        a.say("data", **sample(3))  # above the gap: shown, not stored
        a.quiet(1.5)
        assert [k["seq"] for k in steer(kept, "keeper")] == [1] and machines(kept, "user:u:one")["m"]["metrics"]["cpu"]["percent"] == 3
        assert counters(kept)["samples_not_kept"] == 2
    with agent(kept, "user:u:one", machineId="m") as a:
        assert a.welcome["lastAck"]["seq"] == 1
        a.say("data", **sample(2))
        a.say("data", **sample(3))
        assert a.until("ack", seq=3)
        assert machines(kept, "user:u:one")["m"]["metrics"]["cpu"]["percent"] == 3


@pytest.mark.slow
def test_a_gap_ends_the_connection(kept):
    with agent(kept, "user:u:one", machineId="m") as a:
        steer(kept, "keeper", refuse=1)
        a.say("data", **sample(1))
        began = time.monotonic()
        assert a.close_code(60) == 1013 and time.monotonic() - began > 25


def test_a_report_over_the_rate_is_a_gap_that_no_ack_covers(start):
    kept = start(ORACLE, session="reports_per_minute = 10;", more=['{ name = "keeper"; }'])
    with agent(kept, "user:u:one", machineId="m") as a:
        now = int(time.time() * 1000)
        for n in range(1, 31):
            a.say("data", **sample(n, boot="b", timestamp=now + n))
        got = a.settle()
        limited = [m for m in got if m.get("code") == "rate_limited"]
        assert limited and all(m["refType"] == "data" for m in limited)
        stored = [k["seq"] for k in steer(kept, "keeper")]
        assert stored == list(range(1, len(stored) + 1)) and len(stored) == 30 - len(limited)
        acks = [m["seq"] for m in got if m["type"] == "ack"] or [a.until("ack")["seq"]]
        assert max(acks) <= len(stored)


def test_replays_are_stored_and_not_live(kept):
    with agent(kept, "user:u:one", machineId="m") as a:
        now = int(time.time() * 1000)
        a.say("data", **sample(10, boot="new", timestamp=now))
        for n in (1, 2):
            a.say("data", **sample(n, boot="old", timestamp=now - 5000 + n))
        seen = {}
        while seen != {"new": 10, "old": 2}:
            said = a.until("ack")
            seen[said["boot"]] = said["seq"]
        assert machines(kept, "user:u:one")["m"]["metrics"]["cpu"]["percent"] == 10
        stored = steer(kept, "keeper")
        assert [(k["boot"], k["seq"]) for k in stored] == [("new", 10), ("old", 1), ("old", 2)] and stored[0]["time"] == now
        assert stored[1]["metrics"] == {"cpu": {"percent": 1}}
        a.say("data", **sample(10, boot="new", timestamp=now))  # again: stored once
        assert a.settle() == [] and len(steer(kept, "keeper")) == 3


def test_a_keeper_that_comes_later(start):
    s = start(ORACLE)
    with agent(s, "user:u:one", machineId="m") as a:
        assert a.welcome["durable"] is False
        s.reload(s.text(sessions.plugins(ORACLE, more=['{ name = "keeper"; }'])))
        s.logged("reloaded")
        a.say("data", **sample(1))
        eventually(lambda: len(steer(s, "keeper")) == 1)  # stored all the same
        a.quiet(1.5)  # and not acknowledged: it was told that nothing would be
    with agent(s, "user:u:one", machineId="m") as a:
        assert a.welcome["durable"] is True and a.welcome["lastAck"] == {"boot": "boot-1", "seq": 1}


def test_another_machines_acks_are_not_heard(kept):
    with agent(kept, "user:u:one", machineId="m") as a, agent(kept, "user:v:one", machineId="m") as b:
        a.say("data", **sample(1))
        assert a.until("ack")["seq"] == 1
        b.quiet(1)
    with agent(kept, "user:v:one", machineId="m") as b:
        assert "lastAck" not in b.welcome


# ---- other plugins' messages --------------------------------------------------------------------


def test_message_types_of_other_plugins(kept):
    with Client(kept) as c:
        assert c.ask("shout", text="hi", times=2) == {"type": "shouted", "scope": 1, "machine": "", "text": "hi", "times": 2}
        assert c.ask("fail")["code"] == "not_authenticated"
        c.say("auth", apiKey="user:u:one", machineId="m")
        c.until("auth_success")
        assert c.ask('{"times":3,"text":"a\\nb","type":"shout"}') == {"type": "shouted", "scope": 2, "machine": "m", "text": "a\nb", "times": 3}
        for members, what in (({}, "text is missing"), ({"text": 5}, "text must be a string"), ({"text": "a" * 21}, "text must be at most 20 bytes long"),
                              ({"text": "a", "times": 10}, "times must be a number from 0 to 9")):
            said = c.ask("shout", **members)
            assert (said["code"], said["message"], said["refType"]) == ("bad_field", what, "shout")
        said = c.ask("fail")
        assert (said["code"], said["refType"]) == ("internal", "fail") and c.settle() == []
    assert counters(kept)["handlers_failed"] == 1


def test_a_message_to_a_machine(kept):
    with agent(kept, "user:u:one", machineId="m") as a:
        payload = {"command": ["a", None, 1.5], "ä": True}
        assert steer(kept, "keeper", send="m", payload=json.dumps(payload)) == {"sent": 0}
        assert a.hear() == {"type": "data", "payload": payload}
        assert steer(kept, "keeper", send="m", payload="{no json")["sent"] < 0
        assert steer(kept, "keeper", send="m", payload='1}, {"x":2')["sent"] < 0
        assert a.settle() == []
    assert eventually(lambda: steer(kept, "keeper", send="m", payload="1")["sent"] < 0)


def test_what_a_plugin_registered_ends_with_it(kept):
    a = agent(kept, "user:u:one", machineId="m")
    assert a.ask("shout", text="hi")["type"] == "shouted"
    kept.reload(kept.text(sessions.plugins(ORACLE)))
    eventually(lambda: a.ask("shout", text="hi")["type"] == "error")
    assert a.ask("shout", text="hi")["code"] == "unknown_type"
    a.say("data", **sample(1))
    assert a.settle() == []
    with agent(kept, "user:u:one", machineId="n") as b:
        assert b.welcome["durable"] is False


# ---- life ---------------------------------------------------------------------------------------


def test_options_change_for_connections_that_are_open(start):
    s = start()
    a = agent(s, machineId="m")
    s.reload(s.text(sessions.plugins(session="messages_per_minute = 10; ping_every = 1;")))
    s.logged("reloaded")
    answers = [a.ask("ping") for _ in range(12)]
    assert answers[-1]["code"] == "rate_limited"


def test_stopping_closes_with_going_away(s):
    a, watching, nobody = agent(s), admin(s), Client(s)
    s.stop()
    assert {a.close_code(), watching.close_code(), nobody.close_code()} == {1001}
    assert KEY not in s.log and JWT_SECRET not in s.log
