# SPDX-License-Identifier: ISC
"""Machines whose rows are deleted in a real PostgreSQL: told by LISTEN/NOTIFY, by Realtime and by polls, and nothing brings them back."""
import os
import subprocess
import threading
import time
import uuid

import pytest

import sessions
from conftest import BUILD, SANITIZED, eventually, get
from sessions import DIRS, Client, admin, agent, machines, sample

KEY, BOB_KEY = "key-of-ann-0123456789abcdef", "key-of-bob-0123456789abcdef"
DELETED = {"type": "machine_deleted", "message": "Your machine has been deleted. Please re-authenticate."}
PROMISE = 5.0 if SANITIZED else 1.0  # seconds from the commit to the close, where nothing else keeps the machine busy


def group(**options):
    """The group `machines` of auth_supabase; by default nothing but polls, quickly."""
    options = {"poll_every": 1, "realtime": False, **options}
    def text(v):
        return ("true" if v else "false") if isinstance(v, bool) else str(v) if isinstance(v, int) else f'"{v}"'
    return "machines = { " + " ".join(f"{k} = {text(v)};" for k, v in options.items()) + " };"


def auth(project, key=None, more="", **options):
    return (f'{{ name = "auth_supabase"; config = {{ url = "{project.url}"; key = "{key or project.keys.secret}"; {more} '
            f'{group(**options)} }}; }}')


@pytest.fixture
def start(server):
    def begin(project, key=None, more="", top="", session="", **options):
        return server(plugins=sessions.plugins(auth(project, key, more, **options), session), more=DIRS + top)
    return begin


def counters(server):
    return {k.split(".", 1)[1]: n for k, n in get(server.http + "/test/counters").items() if k.startswith("auth_supabase.")}


def seen(server, project, rounds=2):
    """Every machine that is linked now has been asked for."""
    before = project.count("/rest/v1/machines")
    eventually(lambda: project.count("/rest/v1/machines") >= before + rounds, 60)


def shown(server, count):
    """So many rows, since the start, were found for the machines that they belong to: from then on an event needs not to name the owner."""
    eventually(lambda: counters(server).get("machines_seen", 0) >= count, 30)


def tells_owners(database):
    """Realtime's old row has all columns; under row-level security it would be the primary key alone, whatever the replica identity."""
    database.sql("alter table machines disable row level security; alter table machines replica identity full")


def is_deleted(client, timeout=30):
    """It is told so, and closed with 4003."""
    end = time.monotonic() + timeout
    client.until("machine_deleted", timeout)
    assert client.close_code() == 4003
    assert time.monotonic() < end


def stays(client):
    """Nothing comes but pings, whose time may be any, and it is open."""
    for wait in (0, 0.4):
        time.sleep(wait)
        assert all(said["type"] == "ping" for said in client.settle())


def refused(server, machine, token, key=KEY):
    """Neither the key nor the token brings the machine back."""
    for how in ({"apiKey": key, "machineId": machine}, {"sessionToken": token}):
        with Client(server) as c:
            assert c.ask("auth", **how) == DELETED and c.close_code() == 4003


@pytest.fixture
def ann(database):
    return database.add_user(KEY)


@pytest.fixture
def two(database, ann):
    """Two machines' rows."""
    return database.add_machine(ann), database.add_machine(ann)


# ---- the three sources --------------------------------------------------------------------------


def test_notify_ends_the_session_at_once(postgres, supabase, start):
    from rig import NOTIFY, SCHEMA
    database = postgres.database(SCHEMA, NOTIFY)
    ann = database.add_user(KEY)
    one, other = database.add_machine(ann), database.add_machine(ann)
    s = start(supabase(database), poll_every=0, listen=database.uri())
    s.logged("PostgreSQL tells")
    a, b = agent(s, KEY, machineId=one), agent(s, KEY, machineId=other)
    shown(s, 2)
    database.remove("machines", one)
    is_deleted(a)
    refused(s, one, a.welcome["sessionToken"])
    stays(b)
    assert list(machines(s, KEY)) == [other] and counters(s)["machines_deleted"] == 1
    database.drop()


def test_the_shipped_trigger_tells(postgres, supabase, start):
    """notify.sql as it is installed, run twice, with a role that may do nothing but connect. It tells the owner: no row needs to be seen."""
    from conftest import ROOT
    from rig import SCHEMA
    database = postgres.database(SCHEMA, *[ROOT / "plugins/auth_supabase/notify.sql"] * 2)
    ann = database.add_user(KEY)
    machine = database.add_machine(ann)
    s = start(supabase(database), poll_every=0, listen=database.uri("authenticator"))
    s.logged("PostgreSQL tells")
    a = agent(s, KEY, machineId=machine)
    database.remove("machines", machine)
    is_deleted(a)
    database.drop()


@pytest.mark.parametrize("kind", ["secret", "service_jwt"])
def test_realtime_ends_the_session_at_once(database, supabase, start, two, kind):
    project = supabase()
    key = getattr(project.keys, kind)
    s = start(project, key, poll_every=0, realtime=True, top='log = { level = "debug"; };')
    s.logged("Realtime tells")
    a, b = (agent(s, KEY, machineId=machine) for machine in two)
    shown(s, 2)
    database.remove("machines", two[0])
    is_deleted(a)
    refused(s, two[0], a.welcome["sessionToken"])
    stays(b)
    assert list(machines(s, KEY)) == [two[1]]
    assert key not in s.log and KEY not in s.log


def test_realtime_over_tls(database, supabase, start, two, certificates):
    project = supabase(tls=certificates)
    s = start(project, more=f'ca_file = "{certificates.ca}";', poll_every=0, realtime=True)
    s.logged("Realtime tells")
    a = agent(s, KEY, machineId=two[0])
    shown(s, 1)
    database.remove("machines", two[0])
    is_deleted(a)
    assert project.keys.secret not in s.log


def answered(project):
    """Polls that were over before what comes next: those under way may already see it."""
    begun = project.count("/rest/v1/machines")
    return begun - project.in_flight


def test_polls_need_two_answers(database, supabase, start, two):
    project = supabase()
    s = start(project)
    a, b = (agent(s, KEY, machineId=machine) for machine in two)
    shown(s, 2)
    before = answered(project)
    database.remove("machines", two[0])
    is_deleted(a)
    assert project.count("/rest/v1/machines") - before >= 2
    refused(s, two[0], a.welcome["sessionToken"])
    stays(b)
    assert list(machines(s, KEY)) == [two[1]]


@pytest.mark.slow
def test_a_lone_machine_needs_four(database, supabase, start, ann):
    project = supabase()
    machine = database.add_machine(ann)
    s = start(project)
    a = agent(s, KEY, machineId=machine)
    shown(s, 1)
    before = answered(project)
    database.remove("machines", machine)
    is_deleted(a)
    assert project.count("/rest/v1/machines") - before >= 4
    assert counters(s).get("machine_alarms", 0) == 0


@pytest.mark.alone
@pytest.mark.parametrize("source", ["notify", "realtime"])
def test_told_within_a_second(database, supabase, start, source):
    """Eleven rows, one after the other; a busy machine may be late for a few of them."""
    from rig import NOTIFY
    database.sql(NOTIFY.read_text())
    ann = database.add_user(KEY)
    rows = [database.add_machine(ann) for _ in range(11)]
    options = {"listen": database.uri()} if source == "notify" else {"realtime": True}
    s = start(supabase(database), poll_every=0, session="messages_per_minute = 1000;", **options)
    s.logged("PostgreSQL tells" if source == "notify" else "Realtime tells")
    took = []
    for count, machine in enumerate(rows, 1):
        with agent(s, KEY, machineId=machine) as client:
            shown(s, count)
            began = time.monotonic()
            database.remove("machines", machine)
            is_deleted(client)
            took.append(time.monotonic() - began)
    assert sorted(took)[len(took) // 2] < PROMISE, took


# ---- what is no deletion ------------------------------------------------------------------------


@pytest.mark.slow
def test_lost_grants_delete_nobody(database, supabase, start, two):
    project = supabase()
    s = start(project)
    a, b = (agent(s, KEY, machineId=machine) for machine in two)
    shown(s, 2)
    database.sql("revoke all on machines from service_role")  # 403
    eventually(lambda: counters(s).get("machine_polls_failed", 0) >= 4, 20)
    database.sql("grant select on machines to service_role")
    seen(s, project)
    # Row-level security that hides everything: 200 and no row.
    database.sql("alter table machines force row level security")
    database.sql("alter role service_role nobypassrls")
    try:
        eventually(lambda: counters(s).get("machine_alarms", 0) >= 5, 20)
        assert s.log.count("vanished from") == 1, s.log  # once, not at each poll
    finally:
        database.sql("alter role service_role bypassrls")
    for client in (a, b):
        client.say("heartbeat")
        stays(client)
    assert counters(s).get("machines_deleted", 0) == 0
    # And then it works again.
    seen(s, project)
    database.remove("machines", two[0])
    is_deleted(a)
    stays(b)


@pytest.mark.slow
@pytest.mark.parametrize("how", [500, 401, 404, "nonsense", "cut", "hang", "empty"])
def test_answers_that_are_none_delete_nobody(database, supabase, start, two, how):
    """`empty` is a valid answer without any row: the alarm's business."""
    project = supabase()
    s = start(project)
    clients = [agent(s, KEY, machineId=machine) for machine in two]
    shown(s, 2)
    project.behave(how, path="/rest/v1/machines")
    time.sleep(5)
    project.behave(path="/rest/v1/machines")
    for client in clients:
        client.say("heartbeat")
        stays(client)
    assert counters(s).get("machines_deleted", 0) == 0


@pytest.mark.slow
def test_a_machine_without_a_row_stays(database, supabase, start, two):
    """Released clients send no machineId; others may have no row yet."""
    project = supabase()
    s = start(project)
    clients = [agent(s, KEY), agent(s, KEY, machineId="web-1"), agent(s, KEY, machineId=str(uuid.uuid4()))]
    row = agent(s, KEY, machineId=two[0])
    agent(s, KEY, machineId=two[1])
    shown(s, 2)
    seen(s, project, 6)
    database.remove("machines", two[0])
    is_deleted(row)
    for client in clients:
        stays(client)
    asked = [r.query for r in project.requests if r.path == "/rest/v1/machines"]
    assert asked and not any("auto-" in q or "web-1" in q for q in map(str, asked))


def test_a_row_is_its_owners_alone(database, supabase, start, two):
    """Bob says that he is Ann's machine; the end of her row is no business of his."""
    bob = database.add_user(BOB_KEY)
    bobs = database.add_machine(bob)
    project = supabase()
    s = start(project, realtime=True)
    s.logged("Realtime tells")
    a, thief = agent(s, KEY, machineId=two[0]), agent(s, BOB_KEY, machineId=two[0])
    b = agent(s, BOB_KEY, machineId=bobs)
    shown(s, 2)
    seen(s, project)
    database.remove("machines", two[0])
    is_deleted(a)
    stays(thief)
    stays(b)
    assert set(machines(s, BOB_KEY)) == {two[0], bobs} and machines(s, KEY) == {}


@pytest.mark.parametrize("source", ["realtime", "realtime with owners", "notify", "notify with owners"])
def test_a_strangers_row_is_no_news(database, supabase, start, source):
    """Bob has a row with the id of Ann's machine, which has none, and deletes it: before it comes, while it is looked for, and after that."""
    from conftest import ROOT
    from rig import NOTIFY
    notify, owners = source.startswith("notify"), source.endswith("owners")
    if notify:
        database.sql((ROOT / "plugins/auth_supabase/notify.sql" if owners else NOTIFY).read_text())
    elif owners:
        tells_owners(database)
    ann, bob = database.add_user(KEY), database.add_user(BOB_KEY)
    row, machine = database.add_machine(ann), str(uuid.uuid4())
    s = start(supabase(database), poll_every=0, realtime=not notify, **({"listen": database.uri()} if notify else {}))
    s.logged("tells of deleted")

    def strike(count):
        database.add_machine(bob, id=machine)
        database.remove("machines", machine)
        eventually(lambda: counters(s)["listen_notices" if notify else "realtime_deleted"] == count)

    strike(1)
    a, witness = agent(s, KEY, machineId=machine), agent(s, KEY, machineId=row)
    strike(2)
    shown(s, 1)  # the witness's row; so the first look is over
    strike(3)
    stays(a)
    again = agent(s, KEY, machineId=machine)  # nor is it refused later
    assert counters(s).get("machines_deleted", 0) == 0
    stays(again)
    database.remove("machines", row)
    is_deleted(witness)


# ---- races and gaps -----------------------------------------------------------------------------


def test_nothing_that_races_brings_it_back(database, supabase, start, two):
    """Heartbeats, samples and second connections while the row goes; the admin sees it go once and for all."""
    project = supabase()
    s = start(project, session="messages_per_minute = 100000; reports_per_minute = 100000;", realtime=True)
    s.logged("Realtime tells")
    watching = admin(s, KEY)
    a = agent(s, KEY, machineId=two[0])
    token, heard = a.welcome["sessionToken"], None
    shown(s, 1)
    deleting = threading.Timer(0.1, database.remove, ("machines", two[0]))
    deleting.start()
    for seq in range(1, 2000):
        try:
            a.say("heartbeat")
            a.say("data", **sample(seq))
        except OSError:  # it is closed
            break
        if not heard:
            heard = a.hear(0.001)
    deleting.join()
    heard = heard or a.hear(10)
    assert heard == DELETED and counters(s)["machines_deleted"] == 1
    gone = watching.until("machine_update", event="deleted")
    assert gone["machine"]["machineId"] == two[0]
    for _ in range(20):
        refused(s, two[0], token)
    stays(watching)
    assert machines(s, KEY) == {}
    # Another machine of the same user comes and goes as before.
    agent(s, KEY, machineId=two[1]).say("heartbeat")
    assert list(machines(s, KEY)) == [two[1]]


def test_deleted_while_it_was_away(database, supabase, start, two):
    """The row goes while nobody is connected as it; the server has never seen the machine, but is told whose row it was."""
    tells_owners(database)
    project = supabase()
    s = start(project, realtime=True)
    s.logged("Realtime tells")
    database.remove("machines", two[0])
    eventually(lambda: counters(s).get("realtime_deleted", 0) == 1)
    a = agent(s, KEY, machineId=two[0])
    is_deleted(a)
    refused(s, two[0], a.welcome["sessionToken"])


def test_deleted_while_it_was_off_line(database, supabase, start, two):
    """The row was seen, its machine went off line: nobody needs to say whose it was."""
    project = supabase()
    s = start(project, poll_every=0, realtime=True)
    s.logged("Realtime tells")
    with agent(s, KEY, machineId=two[0]) as a:
        shown(s, 1)
    database.remove("machines", two[0])
    eventually(lambda: counters(s).get("machines_deleted", 0) == 1)
    refused(s, two[0], a.welcome["sessionToken"])


@pytest.mark.slow
def test_a_poll_catches_what_realtime_lost(database, supabase, start, two):
    project = supabase()
    s = start(project, poll_every=5, realtime=True)
    s.logged("Realtime tells")
    a, b = (agent(s, KEY, machineId=machine) for machine in two)
    shown(s, 2)
    project.realtime.swallow = True
    database.remove("machines", two[0])
    time.sleep(0.5)
    project.realtime.swallow = False
    before = project.count("/rest/v1/machines")
    project.realtime.drop()
    eventually(lambda: s.log.count("Realtime tells") == 2)
    eventually(lambda: project.count("/rest/v1/machines") > before)
    is_deleted(a)
    # And Realtime tells again.
    database.remove("machines", two[1])
    is_deleted(b)


@pytest.mark.slow
def test_realtime_joins_again(database, supabase, start, two):
    """After a refused join, one without an answer, one without the database's word, and a closed channel."""
    project = supabase()
    project.realtime.on_join = "error"
    s = start(project, poll_every=0, realtime=True, top='log = { level = "debug"; };')
    s.logged("the join was refused")
    project.realtime.on_join = "system_error"
    s.logged("is the table in the publication")
    project.realtime.on_join = "no_system"
    s.logged("the database's word did not come", 30)
    project.realtime.on_join = None
    s.logged("Realtime tells", 30)
    project.realtime.shut_channels()
    eventually(lambda: s.log.count("Realtime tells") == 2)
    a = agent(s, KEY, machineId=two[0])
    shown(s, 1)
    database.remove("machines", two[0])
    is_deleted(a)
    assert project.keys.secret not in s.log


@pytest.mark.slow
def test_realtime_that_falls_silent_is_left(database, supabase, start, two):
    project = supabase()
    s = start(project, poll_every=0, realtime=True)
    s.logged("Realtime tells")
    project.realtime.answer_heartbeats = False
    s.logged("a heartbeat was not answered", 70)
    project.realtime.answer_heartbeats = True
    eventually(lambda: s.log.count("Realtime tells") == 2)


@pytest.mark.slow
def test_postgresql_restarts_under_listen(own_postgres, supabase, start):
    from rig import NOTIFY, SCHEMA
    database = own_postgres.database(SCHEMA, NOTIFY)
    ann = database.add_user(KEY)
    rows = [database.add_machine(ann) for _ in range(3)]
    project = supabase(database)
    s = start(project, listen=database.uri())
    s.logged("PostgreSQL tells")
    a, b, c = (agent(s, KEY, machineId=machine) for machine in rows)
    shown(s, 3)
    own_postgres.restart()
    database.connection.close()
    eventually(lambda: s.log.count("PostgreSQL tells") == 2, 20)
    database.remove("machines", rows[0])
    is_deleted(a)
    # It is killed, and a row goes before Muster is back: a poll finds out.
    own_postgres.kill()
    eventually(lambda: s.log.count("does not tell") == 2, 20)
    own_postgres.start()
    database.connection.close()
    database.remove("machines", rows[1])
    is_deleted(b, 60)
    stays(c)


@pytest.mark.slow
def test_a_row_that_comes_back(database, supabase, start, two, ann):
    project = supabase()
    s = start(project, realtime=True)
    s.logged("Realtime tells")
    a, b = (agent(s, KEY, machineId=machine) for machine in two)
    shown(s, 2)
    database.remove("machines", two[0])
    is_deleted(a)
    refused(s, two[0], a.welcome["sessionToken"])
    database.add_machine(ann, id=two[0])
    s.logged("has a row again", 30)
    again = agent(s, KEY, machineId=two[0])
    shown(s, 3)
    seen(s, project, 3)
    stays(again)
    database.remove("machines", two[0])
    is_deleted(again)
    stays(b)


@pytest.mark.slow
def test_many_at_once(database, supabase, start, ann):
    """More than one question's worth, deleted by one statement; and all of a user who leaves."""
    project = supabase()
    rows = [database.add_machine(ann) for _ in range(120)]
    bob = database.add_user(BOB_KEY)
    bobs = database.add_machine(bob)
    s = start(project, realtime=True)
    s.logged("Realtime tells")
    clients = [agent(s, KEY, machineId=machine) for machine in rows]
    b = agent(s, BOB_KEY, machineId=bobs)
    shown(s, 121)
    database.sql("delete from machines where id = any(%s::uuid[])", rows[:60])
    for client in clients[:60]:
        is_deleted(client)
    for client in clients[60:]:
        client.settle()
    database.sql("delete from users where id = %s", ann)
    for client in clients[60:]:
        client.until("machine_deleted", 30)
    stays(b)
    assert counters(s)["machines_deleted"] == 120 and list(machines(s, BOB_KEY)) == [bobs]
    assert "more than 10 machines were deleted within a second" in s.log
    for request in project.requests:
        assert len(request.path) + len(str(request.query)) < 8000


@pytest.mark.slow
def test_a_reload_keeps_watching(database, supabase, start, two):
    """Other options start the plugin anew, and the session server with it: who comes back with his token is watched on."""
    project = supabase()
    s = start(project, poll_every=0, realtime=True)
    s.logged("Realtime tells")
    a, b = (agent(s, KEY, machineId=machine) for machine in two)
    shown(s, 2)
    database.remove("machines", two[0])
    is_deleted(a)
    s.reload(s.conf.read_text().replace("poll_every = 0", "poll_every = 3"))
    assert b.close_code() == 1001
    eventually(lambda: s.log.count("Realtime tells") == 2)
    refused(s, two[0], a.welcome["sessionToken"])
    with Client(s) as again:
        assert again.ask("auth", sessionToken=b.welcome["sessionToken"])["type"] == "auth_success"
        seen(s, project)
        database.remove("machines", two[1])
        is_deleted(again)


# ---- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize("option, words", [
    ({"table": "machines?select"}, "only letters, digits and _"),
    ({"id_column": "1d"}, "only letters, digits and _"),
    ({"owner_column": "user_id)"}, "only letters, digits and _"),
    ({"channel": 'm\\"; drop'}, "only letters, digits and _"),
    ({"realtime_url": "ws://example.org/realtime"}, "plain text"),
    ({"realtime_url": "https://example.org"}, "must begin with wss://"),
    ({"realtime_url": "wss://example.org/x?y=1"}, "must end before"),
    ({"listen": "postgresql://me:geheim-123@[::1/x"}, "as libpq takes it"),
    ({"listen": "postgresql://me:un@geheim-123@host/x"}, "%40"),
    ({"listen": "postgresql://me:geheim-123/@host/x"}, "%2F"),
    ({"listen": "password=geheim-123 nonsense=1"}, "as libpq takes it"),
    ({"listen": "host=x password=geheim-123 replication=database"}, "replication"),
])
def test_bad_options_are_told_without_their_secrets(tmp_path, option, words):
    class Project:
        url = "http://127.0.0.1:1"
        class keys:
            secret = "sb_secret_0123456789abcdef"
    conf = tmp_path / "server.conf"
    conf.write_text(f'listen = ( {{ address = "127.0.0.1"; port = 1; }} );\n{DIRS}\nplugins = ( {{ name = "machines"; }}, {auth(Project, **option)} );\n')
    conf.chmod(0o600)
    done = subprocess.run([BUILD / "bin/musterd", "-c", conf, "--check-config"], capture_output=True, text=True, env={**os.environ})
    said = done.stdout + done.stderr
    assert done.returncode != 0 and words in said and f"machines.{list(option)[0]}" in said, said
    assert "geheim" not in said and Project.keys.secret not in said, said


def test_secrets_of_links_that_fail_stay_out_of_the_log(database, supabase, start, two):
    project = supabase()
    project.behave(403, path="/realtime")
    s = start(project, realtime=True, listen="postgresql://nobody-here:geheim-123@127.0.0.1:1/nothing", top='log = { level = "debug"; };')
    s.logged("PostgreSQL does not tell")
    s.logged("Realtime does not tell")
    time.sleep(2)
    assert "geheim" not in s.log and project.keys.secret not in s.log
