# SPDX-License-Identifier: ISC
"""What admins of the session protocol see, and what pages on which nobody logged in see of users' machines."""
import json
import subprocess
import time

import pytest

import sessions
from conftest import BUILD, SANITIZED, agent_headers, documented, entry, eventually, get
from hostile import Raw, TEXT, frame
from sessions import BOB_KEY, DIRS, KEY, SECOND_KEY, USERS, Client, admin, agent, machines, sample, steer

MEMBERS = ["machineId", "userId", "name", "ip", "ram", "cpu", "hostname", "os", "status", "connectedAt", "lastSeen", "metrics"]
INFO = {"ip": "192.0.2.7", "ram": "16 GB", "cpu": 8, "hostname": "web-1.example", "os": "linux"}


def pushed(server):
    return {k.split(".", 1)[1]: n for k, n in get(server.http + "/test/counters").items() if k.startswith("admin_push.")}


@pytest.fixture
def start(server):
    def begin(*users, servers=(), status="", top="", more=(), **how):
        static = f'{{ name = "auth_static"; config = {{ users = ( {", ".join(users or USERS)} ); servers = ( {", ".join(servers)} ); }}; }}'
        listed = sessions.plugins(static, **how, more=[f'{{ name = "server_status"; config = {{ {status} }}; }}', '{ name = "keeper"; }', *more])
        return server(plugins=listed, more=DIRS + top)
    return begin


@pytest.fixture
def s(start):
    return start()


def report(server, id, **changes):
    """A connection of the status page's protocol with one report on it."""
    link = Raw(server.port).open("/ws-report", *(f"{k}: {v}" for k, v in agent_headers(id).items()))
    link.send(frame(TEXT, json.dumps(documented(id, **changes))))
    return link


# ---- events -------------------------------------------------------------------------------------


def test_every_event_of_a_machines_life(s):
    watching = admin(s)
    assert watching.machines == {}
    a = agent(s, machineId="web-1")
    online = watching.until("machine_update")
    assert online["event"] == "online" and list(online) == ["type", "event", "machine"] and list(online["machine"]) == MEMBERS
    m = online["machine"]
    assert (m["machineId"], m["userId"], m["name"], m["ip"], m["status"]) == ("web-1", "alice", "web-1", "127.0.0.1", "online")
    assert (m["ram"], m["cpu"], m["hostname"], m["os"], m["metrics"]) == (None, None, None, None, {})
    assert abs(m["connectedAt"] / 1000 - time.time()) < 30 and m["lastSeen"] >= m["connectedAt"]
    a.say("system_info", **INFO)
    info = watching.until("machine_update")
    assert info["event"] == "info" and {k: info["machine"][k] for k in INFO} == INFO and info["machine"]["name"] == "web-1.example"
    a.say("heartbeat")
    beat = watching.until("machine_update")
    assert beat["event"] == "heartbeat" and beat["machine"]["lastSeen"] >= info["machine"]["lastSeen"]
    a.say("data", **sample(1, cpu={"percent": 12.5}, own={"text": "é\"\n", "big": 2**63}))
    data = watching.until("machine_update")
    assert data["event"] == "data" and data["machine"]["metrics"] == {"cpu": {"percent": 12.5}, "own": {"text": "é\"\n", "big": 2**63}}
    assert {k: data["machine"][k] for k in INFO} == INFO
    a.s.close()
    offline = watching.until("machine_update")
    assert offline["event"] == "offline" and offline["machine"]["status"] == "offline"
    assert offline["machine"]["metrics"] == data["machine"]["metrics"] and offline["machine"]["connectedAt"] == m["connectedAt"]
    steer(s, "keeper", remove="web-1")
    deleted = watching.until("machine_update")
    assert deleted["event"] == "deleted" and deleted["machine"]["machineId"] == "web-1" and deleted["machine"]["status"] == "offline"
    assert watching.ask("machine_list") == {"type": "machine_list", "machines": []}


def test_a_deletion_while_the_machine_is_there(s):
    watching = admin(s)
    a = agent(s, machineId="web-1")
    assert watching.until("machine_update")["event"] == "online"
    steer(s, "keeper", remove="web-1")
    assert watching.until("machine_update")["event"] == "deleted"
    assert a.until("machine_deleted") and a.close_code() == 4003
    watching.quiet()  # no "offline" after it


def test_the_list_is_sorted_and_has_everything(s):
    linked = [agent(s, machineId=id, name=name) for id, name in (("c", "Zebra"), ("a", "apple"), ("b", "Apple"))]
    linked[0].say("data", **sample(1, cpu={"percent": 1.0}))
    watching = eventually(lambda: (lambda w: w if w.machines["c"]["metrics"] else w.s.close())(admin(s)))
    listed = watching.ask("machine_list")["machines"]
    assert sorted(m["name"] for m in listed) == ["Apple", "Zebra", "apple"] and all(list(m) == MEMBERS for m in listed)
    assert listed == watching.ask("machine_list")["machines"]


def test_a_crowd_of_admins_gets_the_same_and_is_served_from_one_list(s):
    a = agent(s, machineId="web-1")
    crowd = [admin(s) for _ in range(10)]
    a.say("data", **sample(7))
    seen = [w.until("machine_update") for w in crowd]
    assert all(u == seen[0] for u in seen) and seen[0]["event"] == "data"
    for w in crowd[:5]:
        w.s.close()
    a.say("data", **sample(8))
    assert all(w.until("machine_update")["machine"]["metrics"]["cpu"]["percent"] == 8.0 for w in crowd[5:])


def test_coming_back_gives_the_present(s):
    a = agent(s, machineId="web-1")
    first = admin(s)
    first.s.close()
    a.say("data", **sample(1, x={"n": 1}))
    a.settle()
    assert admin(s).machines["web-1"]["metrics"] == {"x": {"n": 1}}
    a.s.close()
    eventually(lambda: machines(s)["web-1"]["status"] == "offline")
    back = agent(s, machineId="web-1", name="Again")
    again = machines(s)["web-1"]
    back.settle()
    assert again["status"] == "online" and again["name"] == "Again" and again["metrics"] == {"x": {"n": 1}}


def test_nothing_is_made_for_users_whom_nobody_watches(s):
    watching = admin(s, BOB_KEY)
    a = agent(s, machineId="web-1")
    for seq in range(1, 20):
        a.say("data", **sample(seq))
    a.settle()
    assert pushed(s)["updates"] == 0
    watching.quiet()
    b = agent(s, BOB_KEY, machineId="web-1")
    assert watching.until("machine_update")["machine"]["userId"] == "bob"
    watching.s.close()
    eventually(lambda: get(s.http + "/test/counters")["net.open_ws"] == 2)
    before = pushed(s)["updates"]
    b.say("data", **sample(1))
    b.settle()
    assert pushed(s)["updates"] == before


# ---- what machines say of themselves ------------------------------------------------------------


NAMES = ["plain", "quo\"te and back\\slash", "\"},\"userId\":\"bob\",{\"", "two\nlines\r\t\x01\x1b[31m", "\u202egnp.exe\u202c \u200f", "\u2028\u2029",
         "</script><img src=x onerror=alert(1)>", "机器 🖥", "%s%n{}", "a" * 128]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_text(s, name):
    watching = admin(s)
    a = agent(s, machineId="web-1", name=name)
    update = watching.until("machine_update")
    assert update["machine"]["name"] == name and update["machine"]["userId"] == "alice"
    a.say("system_info", **{**INFO, "hostname": name, "os": name[:128]})
    info = watching.until("machine_update", event="info")["machine"]
    assert (info["hostname"], info["name"]) == (name, name)
    with admin(s, BOB_KEY) as bob:
        assert bob.machines == {}


@pytest.mark.parametrize("written", ['"8 GB"', "8589934592", "8.50", "1e3", '"8"', "0", '""', '"\\u0038"'])
def test_ram_and_cpu_are_kept_as_sent(s, written):
    watching = admin(s)
    a = agent(s, machineId="web-1")
    watching.until("machine_update")
    a.say('{"type":"system_info","ram":' + written + ',"cpu":' + written + "}")
    text = watching.message(5).decode()
    assert f'"ram":{written},"cpu":{written},' in text


WRITTEN = ('{ "cpu" :{"percent":12.50,"cores":4} ,"own":{"e":1E+2,"u":18446744073709551615,"s":"\\u00e9\\/\\ud83d\\ude00 é\u2028 \\"},{",'
           '"list":[[],{"a":null}]},"memory":{"total":5},"system":{"hostname":"h\\u0031","os":"linux"}}')


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
def test_figures_go_out_as_they_came(s, told):
    """Byte for byte, whether the machine told its facts or the figures stand in for them."""
    watching, a = admin(s), agent(s, machineId="web-1")
    if told:
        a.say("system_info", **INFO)
        watching.until("machine_update", event="info")
    a.say('{"type":"data","boot":"b","seq":1,"metrics":' + WRITTEN + ',"timestamp":1}')
    a.settle()
    text = b""
    while b'"event":"data"' not in text:
        text = watching.message(5)
    assert text.decode().endswith(',"metrics":' + WRITTEN + "}}")
    m = json.loads(text)["machine"]
    assert m["metrics"] == json.loads(WRITTEN) and list(m) == MEMBERS
    assert [m[k] for k in ("ram", "cpu", "hostname", "os")] == ([INFO[k] for k in ("ram", "cpu", "hostname", "os")] if told else [5, 4, "h1", "linux"])
    assert machines(s)["web-1"]["metrics"] == json.loads(WRITTEN)


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("odd", ['5', 'null', '"{}"', '[{}]', 'true'])
def test_collectors_that_are_no_objects_are_left_out(s, odd, told):
    watching, a = admin(s), agent(s, machineId="web-1")
    if told:
        a.say("system_info", **INFO)
        watching.until("machine_update", event="info")
    a.say('{"type":"data","boot":"b","seq":1,"timestamp":1,"metrics":{"cpu":{"cores":4},"odd":' + odd + ',"own":{"odd":' + odd + "}}}")
    m = watching.until("machine_update", event="data")["machine"]
    assert m["metrics"] == {"cpu": {"cores": 4}, "own": {"odd": json.loads(odd)}} and m["cpu"] == (INFO["cpu"] if told else 4)


def test_machines_of_the_status_page_that_the_user_owns(start):
    s = start(servers=[entry("box", owner="alice", public=False, name="Box"), entry("demo"), entry("hers", owner="bob")])
    watching, other = admin(s), admin(s, BOB_KEY)
    never = watching.machines["box"]
    assert list(watching.machines) == ["box"] and list(other.machines) == ["hers"]
    assert (never["status"], never["lastSeen"], never["connectedAt"], never["metrics"]) == ("offline", None, None, {})
    link = report(s, "box")
    update = watching.until("machine_update")
    assert update["event"] == "online"  # although a report came in the same moment
    m = update["machine"]
    assert (m["name"], m["userId"], m["ip"]) == ("Box", "alice", "203.0.113.7")
    assert (m["ram"], m["cpu"], m["hostname"], m["os"]) == (16777216000, 8, "host", "linux") and m["metrics"]["cpu"]["percent"] == 45.2
    link.send(frame(TEXT, json.dumps(documented("box", cpu={"percent": 1.5, "cores": 4, "modelName": "x"}))))
    update = watching.until("machine_update")
    assert update["event"] == "data" and update["machine"]["cpu"] == 4 and update["machine"]["metrics"]["cpu"]["percent"] == 1.5
    report(s, "demo")  # the operator's: nobody's among the users
    watching.quiet()
    other.quiet()


# ---- who watches --------------------------------------------------------------------------------


def test_an_account_and_its_machines_only(s):
    watching, bob = admin(s), admin(s, BOB_KEY)
    hers = agent(s, BOB_KEY, machineId="web-1", name="Bob's", userId="alice", owner="alice")
    update = bob.until("machine_update")
    assert update["machine"]["userId"] == "bob"
    watching.quiet()
    assert watching.ask("machine_list")["machines"] == [] and watching.ask("machine_list", userId="bob")["machines"] == []
    second = admin(s, SECOND_KEY)  # another key of the same user
    own = agent(s, machineId="web-1")
    assert second.until("machine_update") == watching.until("machine_update")
    hers.settle(), own.settle()


def test_who_did_not_prove_anything_sees_nothing(s):
    a = agent(s, machineId="web-1")
    for text in ('{"type":"machine_list"}', '{"type":"machine_public","machineId":"web-1","public":true}'):
        with Client(s) as nobody:
            assert nobody.ask(text)["code"] == "not_authenticated"
    for token in ("", "x", "e30.e30.e30", a.welcome["sessionToken"], a.welcome["sessionToken"][:-2]):
        with Client(s) as nobody:
            said = nobody.ask("admin_connect", token=token)
            assert said["type"] == "admin_failed" and said["code"] in ("token_invalid", "forbidden"), said
    for members in ({}, {"token": 5}, {"token": None}, {"token": "x" * 5000}):
        with Client(s) as nobody:
            said = nobody.ask("admin_connect", **members)
            assert (said["type"], said["code"], said["refType"]) == ("error", "bad_field", "admin_connect")
    assert a.ask("machine_list")["code"] == "forbidden" and a.ask("admin_connect", token=a.welcome["sessionToken"])["code"] == "forbidden"
    assert pushed(s)["admins"] == 0 and pushed(s)["lists"] == 0


def test_a_session_of_scope_admin_may_ask_before_it_watches(s):
    a = agent(s, machineId="web-1")
    with Client(s) as c:
        token = c.ask("auth", apiKey=KEY, scope="admin")["sessionToken"]
        assert [m["machineId"] for m in c.ask("machine_list")["machines"]] == ["web-1"]
        a.say("heartbeat")
        c.quiet()
        assert c.ask("admin_connect", token=token)["type"] == "admin_success" and c.hear()["type"] == "machine_list"
        assert c.ask("admin_connect", token=token)["type"] == "admin_success" and c.hear()["type"] == "machine_list"
        a.say("heartbeat")
        assert c.until("machine_update")["event"] == "heartbeat"
        c.quiet()  # once, not twice


def test_taking_the_plugin_away_and_back(start, server):
    s = start()
    a, watching = agent(s, machineId="web-1"), admin(s)
    without = sessions.plugins(push=False, more=['{ name = "server_status"; }', '{ name = "keeper"; }'])
    s.reload(s.text(without))
    assert watching.close_code() == 1001
    with Client(s) as c:
        token = c.ask("auth", apiKey=KEY, scope="admin")["sessionToken"]
        assert c.ask("admin_connect", token=token)["code"] == "unknown_type"
    a.say("data", **sample(1))
    a.settle()
    s.reload(s.text(sessions.plugins(more=['{ name = "server_status"; }', '{ name = "keeper"; }'])))
    eventually(lambda: "admin_push.lists" in get(s.http + "/test/counters"))
    assert machines(s)["web-1"]["metrics"] == {"cpu": {"percent": 1.0}}


# ---- what everybody sees ------------------------------------------------------------------------


def shown(server):
    return {m["id"]: m for m in get(server.http + "/api/server/statusInfo")["data"]}


def page_of(server):
    return Raw(server.port).open("/ws-frontend")


def snapshot(page, wanted, timeout=10):
    """The machines of the first snapshot that is as wanted, by id."""
    end = time.monotonic() + timeout
    while True:
        text = page.message(max(0.1, end - time.monotonic()))
        assert text is not None, "no such snapshot"
        listed = {m["id"]: m for m in json.loads(text)["data"]}
        if wanted(listed):
            return listed


METRICS = {"cpu": {"percent": 12.5, "cores": 8}, "memory": {"total": 1000, "used": 500}, "system": {"hostname": "web-1", "os": "linux"}, "own": {"x": 1}}


def test_a_public_machine_on_the_page_as_reports(start):
    s = start(status='push = "report";')
    page, watching = page_of(s), admin(s)
    a = agent(s, machineId="web-1", name="Web")
    a.say("data", **sample(1, **METRICS))
    a.settle()
    assert page.message(0.4) is None and shown(s) == {}, "private unless its user says so"
    assert watching.ask("machine_public", machineId="web-1", public=True) is not None
    answer = watching.until("machine_public")
    assert answer == {"type": "machine_public", "machineId": "web-1", "public": True}
    a.say("data", **sample(2, **METRICS))
    seen = json.loads(page.message(5))
    assert (seen["serverId"], seen["serverName"], seen["cpu"]["percent"], seen["memory"]["total"]) == ("web-1", "Web", 12.5, 1000)
    assert seen["system"]["hostname"] == "web-1" and seen["metrics"]["own"] == {"x": 1} and "ip" not in seen
    assert set(documented()) - {"ip", "group", "countryCode", "location"} <= set(seen)
    assert shown(s)["web-1"]["isOnline"] and "alice" not in json.dumps([seen, shown(s)])
    with page_of(s) as late:
        assert json.loads(late.message(5))["serverId"] == "web-1"
    watching.say("machine_public", machineId="web-1", public=False)
    assert watching.until("machine_public")["public"] is False
    a.say("data", **sample(3, **METRICS))
    a.settle()
    assert page.message(0.4) is None and shown(s) == {}
    with page_of(s) as late:
        assert late.message(0.4) is None


def test_a_public_machine_on_the_page_as_snapshots(start):
    s = start(status='push = "snapshot";')
    page, watching = page_of(s), admin(s)
    a, private = agent(s, machineId="web-1"), agent(s, machineId="web-2")
    for each in (a, private):
        each.say("data", **sample(1, **METRICS))
    a.settle()
    assert snapshot(page, lambda m: True) == {}
    watching.say("machine_public", machineId="web-1", public=True)
    watching.until("machine_public")
    listed = snapshot(page, lambda m: "web-1" in m)
    assert list(listed) == ["web-1"] and listed["web-1"]["isOnline"] and listed["web-1"]["hostInfo"]["RAMTotal"] == 1000
    a.s.close()
    assert not snapshot(page, lambda m: not m["web-1"]["isOnline"])["web-1"]["isOnline"]
    watching.say("machine_public", machineId="web-1", public=False)
    watching.until("machine_public")
    snapshot(page, lambda m: m == {})
    assert shown(s) == {}


def test_the_machine_may_say_it_itself(start):
    s = start(status='push = "report";')
    page, watching = page_of(s), admin(s)
    a = agent(s, machineId="web-1")
    a.say("system_info", **INFO, public=True)
    a.say("data", **sample(1, **METRICS))
    assert json.loads(page.message(5))["serverId"] == "web-1"
    assert watching.until("machine_update", event="data")["machine"]["machineId"] == "web-1"
    a.say("system_info", **INFO, public=False)
    a.say("data", **sample(2, **METRICS))
    a.settle()
    assert page.message(0.4) is None and shown(s) == {}


def test_who_may_not_switch(start):
    s = start(servers=[entry("box", owner="alice", public=False), entry("open", owner="alice")])
    hers = agent(s, BOB_KEY, machineId="hers")
    watching = admin(s)
    watching.say("machine_public", machineId="hers", public=True)
    refusal = watching.until("error")
    assert (refusal["code"], refusal["refType"]) == ("unknown_machine", "machine_public")
    for id in ("nowhere", "", "a\"b", "x" * 128):
        watching.say("machine_public", machineId=id, public=True)
        assert watching.until("error") == refusal  # the same words: nothing is told of what others have
    watching.say("machine_public", machineId="box", public=True)
    assert watching.until("error")["code"] == "configured"
    watching.say("machine_public", machineId="open", public=True)
    assert watching.until("machine_public")["public"] is True
    for members in ({}, {"machineId": "box"}, {"machineId": "box", "public": "yes"}, {"machineId": 7, "public": True}):
        watching.say("machine_public", **members)
        assert watching.until("error")["code"] == "bad_field"
    assert list(shown(s)) == ["open"]
    hers.settle()


# ---- readers that do not read -------------------------------------------------------------------


def test_a_slow_admin_sees_the_newest_and_never_an_older_one_after_it(s):
    a = agent(s, machineId="web-1", name="n")
    slow = admin(s, rcvbuf=4096)
    filler = "x" * 20000
    for seq in range(1, 501):
        a.say("data", **sample(seq, x={"n": seq, "filler": filler}))
    a.settle()
    numbers = []
    while not numbers or numbers[-1] < 500:
        numbers.append(slow.until("machine_update")["machine"]["metrics"]["x"]["n"])
    assert numbers == sorted(set(numbers)) and len(numbers) < 500, "not slow enough to prove anything"


@pytest.mark.alone
@pytest.mark.slow
def test_admins_that_never_read_cost_little_and_slow_nobody(server):
    """Each is the only admin of its user, so that nothing is shared between them: the dearest case."""
    names = [f"u{n}" for n in range(101)]
    keys = {name: f"key-of-{name}-0123456789abcdef" for name in names}
    static = sessions.static(*(f'{{ id = "{name}"; api_keys = [ "{key}" ]; }}' for name, key in keys.items()))
    s = server(plugins=sessions.plugins(static, session="messages_per_minute = 1000000; reports_per_minute = 1000000;"),
               more=DIRS + "limits = { max_connections = 5000; max_connections_per_peer = 0; connects_per_second = 0; send_timeout = 300.0; };")
    done = subprocess.run([BUILD / "tests/stalled_admins", str(s.port), str(s.pid), "rounds=60"], text=True, capture_output=True, timeout=300,
                          input="".join(f"auth_static {name} {key}\n" for name, key in keys.items()))
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    print("{admins} admins that never read, each of {machines_each} machines of its own: {kb_per_admin} KB of the server's memory each, "
          "{kernel_kb_per_admin} KB of the kernel's, {behind:.0f} of {rounds} updates replaced by newer ones; a bystander's update takes "
          "p50 {p50_ms} p99 {p99_ms} worst {worst_ms} ms ({probes} probes), while all read p50 {p50_ms_while_all_read} p99 {p99_ms_while_all_read} ms"
          .format(rounds=60 * figures["machines_each"], **figures))
    # Of 480 updates each: what waits does so in the queue, where newer replaces older, and not in the kernel.
    assert figures["admins"] == 100 and figures["behind"] > 100, figures
    assert figures["worst_ms"] < 1000, figures
    if not SANITIZED:
        assert figures["kb_per_admin"] + figures["kernel_kb_per_admin"] < 64, figures
