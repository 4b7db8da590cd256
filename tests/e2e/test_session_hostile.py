# SPDX-License-Identifier: ISC
"""The session protocol against everything that is wrong: members, tokens, identities, floods. Nothing crashes, nobody else notices."""
import contextlib
import json
import os
import re
import subprocess
import time

import pytest

import sessions
from conftest import BUILD, ROOT, Server, eventually, get
from hostile import TEXT, frame
from sessions import BOB_KEY, DIRS, JWT_SECRET, KEY, Client, admin, agent, b64, claims_of, counters, jwt, machines, sample

WRONG = ("null", "true", "-1", "1.5", '"a text"', "[]", "{}", "1e400")  # eight kinds of wrong; each member takes some of them
TAKES = {
    "any": ("null", "-1", "1.5", '"a text"'),  # number, text or null: judged after the pass
    "bool": ("true",), "int": ("-1",), "uint": (), "number": ("-1", "1.5"), "string": ('"a text"',), "object": ("{}",), "array": ("[]",),
}
REST = {  # what the other members must be, so that the one that is looked at decides
    "auth": {"apiKey": "no-such-key-0123456789"}, "data": {"boot": "b", "seq": 1, "metrics": {}},
}
ADMINS = (("admin_connect", "token", "string"), ("machine_public", "machineId", "string"), ("machine_public", "public", "bool"))


def fields():
    """The protocol's own tables, from the program that tests them."""
    said = subprocess.run([BUILD / "tests" / "session_test_codec", "--fields"], capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


@pytest.fixture(scope="module")
def s(tmp_path_factory):
    """One server for all of them, and a bystander of another user who must not notice."""
    options = "messages_per_minute = 1000000; reports_per_minute = 1000000; auth_timeout = 60;"
    made = Server(tmp_path_factory.mktemp("session"), sessions.plugins(session=options),
                  more=DIRS + "\nlimits = { connects_per_second = 100000; };")
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def bystander(s):
    """Another user's agent and admin, before and after each test."""
    with admin(s, BOB_KEY, source="127.0.0.2") as watching, agent(s, BOB_KEY, machineId="bystander", source="127.0.0.2") as a:
        watching.until("machine_update", event="online")
        yield
        assert s.alive(), s.log[-3000:]
        a.say("data", **sample(time.monotonic_ns()))
        began = time.monotonic()
        heard = []
        while not heard or heard[-1].get("event") != "data":
            heard.append(watching.hear(5))
            assert heard[-1], heard
        assert time.monotonic() - began < 3
        assert all(m["type"] == "ping" or m["machine"]["machineId"] in ("bystander", "bobs") and m["machine"]["userId"] == "bob"
                   for m in heard)
        assert all(m["type"] == "ping" for m in a.settle())


# ---- members ------------------------------------------------------------------------------------


def with_member(type, path, literal):
    """A message with one member's literal replaced."""
    message = {"type": type, **json.loads(json.dumps(REST.get(type, {})))}
    at, way = message, path.replace("[]", ".0").split(".")
    for name in way[:-1]:
        at = at.setdefault(name, {})
    if way[-1] == "0":  # a list's element
        message[way[0]] = ["@@@"]
    else:
        at[way[-1]] = "@@@"
    return json.dumps(message).replace('"@@@"', literal)


def test_every_member_refuses_every_wrong_type(s):
    judged = 0
    with agent(s, machineId="fields") as a, Client(s) as nobody:
        for row in fields():
            for literal in WRONG:
                right = literal in TAKES[row["kind"]] or literal == "null" and row["nullable"]
                if right or row["type"] == "auth" and row["path"] in ("machineId", "scope") and literal == '"a text"':
                    continue
                link = nobody if row["type"] == "auth" else a
                before = counters(s)["bad_fields"] if judged % 50 == 0 else None
                said = link.ask(with_member(row["type"], row["path"], literal))
                assert (said["type"], said["code"], said["refType"]) == ("error", "bad_field", row["type"]), (row, literal, said)
                assert said["message"].startswith(row["path"].replace("[]", "[0]") + " "), (row, literal, said)
                assert "\n" not in said["message"] and len(said["message"]) < 200
                assert before is None or counters(s)["bad_fields"] == before + 1
                judged += 1
        assert a.settle() == [] and nobody.settle() == []
    assert judged > 150, judged


def test_every_member_takes_what_is_right(s):
    right = {"any": ("null", "-1", "1.5", '"a text"'), "bool": ("true", "false"), "int": ("-1", "0", "9223372036854775807"),
             "uint": ("0", "9223372036854775807"), "string": ('"a"',), "object": ("{}", '{"x":[1]}'), "array": ("[]",)}
    with agent(s, machineId="fields") as a:
        for row in fields():
            if row["type"] in ("auth", "ping"):
                continue
            for literal in right[row["kind"]]:
                a.say(with_member(row["type"], row["path"], literal))
        assert a.settle() == []


def test_every_text_has_its_longest(s):
    with agent(s, machineId="fields") as a:
        for row in fields():
            if row["kind"] != "string" or row["type"] == "auth" or not row["max"]:
                continue
            n = int(row["max"])
            a.say(with_member(row["type"], row["path"], '"' + "a" * n + '"'))
            said = a.ask(with_member(row["type"], row["path"], '"' + "a" * (n + 1) + '"'))
            assert said["code"] == "bad_field" and said["message"] == f"{row['path'].replace('[]', '[0]')} must be at most {n} bytes long"
        assert a.settle() == []


def test_members_given_twice(s):
    with agent(s, machineId="fields") as a, Client(s) as nobody:
        for row in fields():
            if "[]" in row["path"] or "." in row["path"]:
                continue
            literal = {"any": "1", "bool": "true", "int": "1", "uint": "1", "string": '"a"', "object": "{}", "array": "[]"}[row["kind"]]
            text = f'{{"type":"{row["type"]}","{row["path"]}":{literal},"{row["path"]}":{literal}}}'
            said = (nobody if row["type"] == "auth" else a).ask(text)
            assert said["code"] == "bad_field" and said["message"] == f"{row['path']} is given twice"


def test_members_of_the_admins_messages(s):
    with admin(s) as watching:
        for type, member, kind in ADMINS:
            for literal in WRONG:
                if literal in TAKES[kind]:
                    continue
                said = watching.ask(f'{{"type":"{type}","{member}":{literal}}}')
                assert (said["code"], said["refType"]) == ("bad_field", type) and said["message"].startswith(member + " "), said
        assert watching.settle() == []


HOSTILE = {
    "deep": '{"type":"data","metrics":' + '{"a":' * 40 + "1" + "}" * 41,
    "very deep": '{"type":"data","metrics":' + "[" * 30000,
    "nan": '{"type":"data","metrics":{"a":{"b":NaN}}}',
    "infinity": '{"type":"data","metrics":{"a":{"b":Infinity}}}',
    "too large": '{"type":"data","metrics":{"a":{"b":1e999}}}',
    "nul": '{"type":"data","metrics":{"a":{"b":"\\u0000"}}}',
    "lone surrogate": '{"type":"data","metrics":{"a":{"b":"\\ud800"}}}',
    "single quotes": "{'type':'data'}",
    "comment": '{"type":"data",/**/"metrics":{}}',
    "trailing comma": '{"type":"data","metrics":{},}',
    "trailing bytes": '{"type":"data","metrics":{}}{}',
    "control character": '{"type":"data","metrics":{"a":{"b":"\x01"}}}',
    "byte order mark": '\ufeff{"type":"heartbeat"}',
    "huge integer": '{"type":"data","seq":99999999999999999999999,"boot":"b","metrics":{}}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts(s, name):
    with agent(s, machineId="hostile") as a:
        said = a.ask(HOSTILE[name])
        assert said["type"] == "error" and said["code"] in ("bad_json", "bad_field"), said
        assert a.settle() == []


def test_many_keys_and_odd_names(s):
    with agent(s, machineId="odd") as a:
        a.say('{"type":"data","metrics":{' + ",".join(f'"{n}":{{}}' for n in range(6000)) + "}}")
        assert a.settle() == []
        odd = {"cpu": {"<script>": "\u2028\x1b[31m"}, "__proto__": {"a": 1}, "=1+1": {"": None}, "x": 5, "": {}}
        a.say("data", metrics=odd)
        assert a.settle() == []
        a.say("system_info", hostname="<img src=x>\r\n\x1b[2J", os="=cmd|' /C calc'!A0", name="‮evil")
        assert a.settle() == []
    seen = machines(s)["odd"]
    assert seen["name"] == "‮evil" and seen["hostname"] == "<img src=x>\r\n\x1b[2J" and "\x1b" not in s.log
    assert seen["metrics"]["cpu"] == odd["cpu"]


# ---- tokens -------------------------------------------------------------------------------------


def good_claims(s):
    with agent(s, machineId="tokens") as a:
        return claims_of(a.welcome["sessionToken"]), a.welcome["sessionToken"]


def altered(claims, **changes):
    return {k: v for k, v in {**claims, **changes}.items() if v is not None}


def traps(claims, token):
    head, body, signature = token.split(".")
    now = int(time.time())
    none = b64(b'{"alg":"none","typ":"JWT"}')
    yield "none", f"{none}.{body}.", "token_invalid"
    yield "none with a signature", f"{none}.{body}.{signature}", "token_invalid"
    yield "HS384 under the same key", jwt(claims, alg="HS384"), "token_invalid"
    yield "HS512 under the same key", jwt(claims, alg="HS512"), "token_invalid"
    yield "HS384 with a signature of 43 characters", jwt(claims, alg="HS256", header={"alg": "HS384"}), "token_invalid"
    yield "another key", jwt(claims, secret="b" * 40), "token_invalid"
    yield "an empty key", jwt(claims, secret=""), "token_invalid"
    yield "expired", jwt(altered(claims, iat=now - 100, nbf=now - 100, exp=now - 1)), "token_expired"
    yield "not yet", jwt(altered(claims, nbf=now + 1000)), "token_invalid"
    yield "made in the future", jwt(altered(claims, iat=now + 1000)), "token_invalid"
    yield "no exp", jwt(altered(claims, exp=None)), "token_invalid"
    yield "exp as text", jwt(altered(claims, exp=str(now + 1000))), "token_invalid"
    yield "exp as fraction", jwt(altered(claims, exp=now + 1000.5)), "token_invalid"
    yield "exp negative", jwt(altered(claims, exp=-1)), "token_invalid"
    yield "exp null", jwt(json.dumps({**claims, "exp": None}).encode()), "token_invalid"
    yield "no nbf", jwt(altered(claims, nbf=None)), "token_invalid"
    yield "no iat", jwt(altered(claims, iat=None)), "token_invalid"
    yield "no sub", jwt(altered(claims, sub=None)), "token_invalid"
    yield "empty sub", jwt(altered(claims, sub="")), "token_invalid"
    yield "sub as number", jwt(altered(claims, sub=5)), "token_invalid"
    yield "no jti", jwt(altered(claims, jti=None)), "token_invalid"
    yield "no scope", jwt(altered(claims, scope=None)), "token_invalid"
    yield "another scope", jwt(altered(claims, scope="agent admin")), "token_invalid"
    yield "no provider", jwt(altered(claims, provider=None)), "token_invalid"
    yield "another provider", jwt(altered(claims, provider="session")), "token_invalid"
    yield "no machine", jwt(altered(claims, machine=None)), "token_invalid"
    yield "a machine that is no id", jwt(altered(claims, machine="../m")), "token_invalid"
    yield "another issuer", jwt(altered(claims, iss="mustard")), "token_invalid"
    yield "another audience", jwt(altered(claims, aud="muster")), "token_invalid"
    yield "an unknown user", jwt(altered(claims, sub="mallory")), "token_invalid"
    yield "another credential", jwt(altered(claims, credential="0" * 24)), "token_invalid"
    yield "a machine's own scope", jwt(altered(claims, scope="machine")), "token_invalid"
    yield "critical header", jwt(claims, header={"alg": "HS256", "crit": ["x"], "x": 1}), "token_invalid"
    yield "kid with other key", jwt(claims, secret="b" * 40, header={"alg": "HS256", "kid": "../../dev/null"}), "token_invalid"
    yield "empty header", f".{body}.{signature}", "token_invalid"
    yield "empty body", f"{head}..{signature}", "token_invalid"
    yield "empty signature", f"{head}.{body}.", "token_invalid"
    yield "all empty", "..", "token_invalid"
    yield "nothing", "", "token_invalid"
    yield "two segments", f"{head}.{body}", "token_invalid"
    yield "four segments", f"{token}.{signature}", "token_invalid"
    yield "signature cut", token[:-1], "token_invalid"
    yield "signature longer", token + "A", "token_invalid"
    yield "signature of another", f"{head}.{body}." + jwt({**claims, "sub": "bob"}).split(".")[2], "token_invalid"
    yield "body that is no JSON", jwt(b"nonsense that is long enough"), "token_invalid"
    yield "body that is a list", jwt(b'["a list that is long enough"]'), "token_invalid"
    yield "padding", f"{head}=.{body}.{signature}", "token_invalid"
    yield "a space", " " + token, "token_invalid"
    yield "huge", f"{head}.{'A' * 4040}.{signature}"[:4096], "token_invalid"


def test_libjwt_traps(s):
    claims, token = good_claims(s)
    asked = 0
    for scope in ({}, {"scope": "admin"}):
        for name, forged, code in traps(claims, token):
            with Client(s) as c:
                said = c.ask("auth", sessionToken=forged, **scope)
                # A good token of another scope is "forbidden" for it; nothing else may differ.
                assert (said["type"], said["code"]) == ("auth_failed", code) or \
                    scope and said["code"] == "forbidden" and name in ("a machine's own scope", "an unknown user", "another credential",
                                                                       "another provider"), (name, said)
                assert c.ask("heartbeat")["code"] == "not_authenticated" if said["code"] != "forbidden" else c.close_code() == 4002, name
            asked += 1
    for name, forged, code in traps(claims, token):
        with Client(s) as c:
            said = c.ask("admin_connect", token=forged)
            assert said["type"] == "admin_failed" and said["code"] in (code, "forbidden"), (name, said)
    with Client(s) as c:  # beyond what a token can be
        said = c.ask("auth", sessionToken="a" * 5000)
        assert said["code"] == "bad_field" and said["message"] == "sessionToken must be at most 4096 bytes long"
    assert asked > 90 and set(machines(s)) >= {"tokens"} and "mallory" not in s.log
    # The same helper makes a token that is good: the traps are what made the difference. A kid names nothing here.
    for good in (jwt(claims), jwt(claims, header={"alg": "HS256", "typ": "JWT", "kid": "x"})):
        with Client(s) as c:
            assert c.ask("auth", sessionToken=good)["type"] == "auth_success"


def test_an_escaped_token(s):
    _, token = good_claims(s)
    with Client(s) as c:
        said = c.ask('{"type":"auth","sessionToken":"\\u0065' + token[1:] + '"}')
        assert said["code"] == "token_invalid"


# ---- identities ---------------------------------------------------------------------------------


def test_nobody_says_who_he_is(s):
    members = {"userId": "bob", "owner": "bob", "provider": "x", "user": {"id": "bob"}, "role": "admin"}
    with agent(s, machineId="bystander", **members) as a:  # the id of bob's machine is one of alice's here
        assert a.welcome["userId"] == "alice"
        a.say("system_info", userId="bob", machineId="bystander2", hostname="mine")
        a.say("data", **{**sample(1, boot="x"), "userId": "bob", "machineId": "other"})
        assert a.settle() == []
        assert set(machines(s, BOB_KEY)) == {"bystander"} and machines(s, BOB_KEY)["bystander"]["name"] != "mine"
        assert machines(s)["bystander"]["hostname"] == "mine" and "other" not in machines(s)


def test_another_users_token(s):
    with agent(s, BOB_KEY, machineId="bobs", source="127.0.0.3") as bob:
        token = bob.welcome["sessionToken"]
        with Client(s) as c:  # it is bob's session, whoever carries it; never alice's machine
            said = c.ask("auth", sessionToken=token, machineId="tokens")
            assert said["code"] == "token_invalid"
            assert c.ask("auth", apiKey=KEY, machineId="bobs")["userId"] == "alice"
        assert bob.settle() == []
    claims = claims_of(token)
    with Client(s) as c:  # signed as it must be, but with a key of another user
        assert c.ask("auth", sessionToken=jwt({**claims, "sub": "alice"}))["code"] == "token_invalid"


def test_two_credentials_at_once(s):
    with Client(s) as c:
        c.send(frame(TEXT, json.dumps({"type": "auth", "apiKey": KEY, "machineId": "twice"})) +
               frame(TEXT, json.dumps({"type": "auth", "apiKey": BOB_KEY, "machineId": "twice"})))
        assert c.hear()["userId"] == "alice" and c.hear()["code"] == "already_authenticated"
    assert "twice" not in machines(s, BOB_KEY)


# ---- floods -------------------------------------------------------------------------------------


def test_a_thousand_connections_that_come_and_go(s):
    before, held = counters(s)["auth_granted"], get(s.http + "/test/counters")["net.open_ws"]
    for _ in range(20):
        links = [Client(s) for _ in range(50)]
        for n, link in enumerate(links):
            if n % 3:
                link.say("auth", apiKey=KEY, machineId=f"flood-{n}")
        for link in links:
            link.s.close()
    eventually(lambda: counters(s)["auth_granted"] > before + 100, 20)  # of 660; some are gone before they are read
    eventually(lambda: get(s.http + "/test/counters")["net.open_ws"] == held, 20)
    eventually(lambda: all(m["status"] == "offline" for i, m in machines(s).items() if i.startswith("flood-")), 20)


def test_one_machine_from_many_sides(s):
    links = []
    for n in range(60):
        link = Client(s)
        link.say("auth", apiKey=KEY, machineId="contested")
        links.append(link)
    for link in links[:-1]:
        assert link.close_code() == 4009
    links[-1].say("data", **sample(1, boot="contest"))
    links[-1].until("auth_success")
    assert links[-1].settle() == []
    seen = machines(s)["contested"]
    assert seen["status"] == "online" and seen["metrics"] == {"cpu": {"percent": 1}}
    links[-1].s.close()
    eventually(lambda: machines(s)["contested"]["status"] == "offline")


def test_a_machine_that_never_reads(s):
    """Answers to a peer that does not read are bounded: it is closed, and costs less than the bound by then."""
    a = agent(s, machineId="deaf", rcvbuf=4096)
    rss = int(open(f"/proc/{s.pid}/statm").read().split()[1])
    a.s.settimeout(5)
    with contextlib.suppress(OSError):
        for _ in range(400):
            a.s.sendall(frame(TEXT, '{"type":"no_such_type"}') * 200)
    eventually(lambda: machines(s)["deaf"]["status"] == "offline", 30)
    grown = (int(open(f"/proc/{s.pid}/statm").read().split()[1]) - rss) * os.sysconf("SC_PAGE_SIZE")
    assert grown < 48 << 20, grown
    a.s.close()


def test_log_lines_are_few(s):
    before = len(s.log)
    with agent(s, machineId="noisy") as a:
        for _ in range(500):
            a.say('{"type":"no_such_type"}')
        heard = a.settle()  # a pong may overtake answers that wait for the end of the loop's turn
        while len(heard) < 500:
            heard.append(a.until("error"))
    assert s.log[before:].count("unknown_type") <= 8, s.log[before:]


def test_no_secret_in_the_log(s):
    for secret in (KEY, BOB_KEY, JWT_SECRET, "no-such-key"):
        assert secret not in s.log
    assert get(s.http + "/test/counters")["session.handlers_failed"] == 0


# ---- the document -------------------------------------------------------------------------------


def test_the_document_knows_every_member_and_code():
    text = (ROOT / "docs" / "session.md").read_text()
    for row in fields():
        assert f"`{row['path']}`" in text and f"`{row['type']}`" in text, row
    source = "".join((ROOT / "plugins" / "session" / name).read_text() for name in ("auth.c", "dispatch.c", "ping.c", "agents.c"))
    codes = set(re.findall(r'\{"([a-z_]+)", "[A-Z]', source)) | set(re.findall(r'(?:server_error\(conn, |code = )"([a-z_]+)"', source))
    assert len(codes) >= 14, codes
    for code in codes:
        assert f"`{code}`" in text, code
