# SPDX-License-Identifier: ISC
"""The official client takes the rig for a Supabase project: rows, row-level security, errors, Realtime."""
import os

import pytest
from client import NODES, Client

pytestmark = pytest.mark.rig
DELETED = {"event": "DELETE", "schema": "public", "table": "machines"}
INSERTED = {"event": "INSERT", "schema": "public", "table": "machines"}
EVERYTHING = {"event": "*", "schema": "public", "table": "machines"}


@pytest.fixture(params=["dialect"] + (["postgrest"] if os.environ.get("POSTGREST_BIN") else []))
def project(supabase, request):
    return supabase(real=os.environ["POSTGREST_BIN"] if request.param == "postgrest" else None)


@pytest.fixture(params=NODES)
def connect(request):
    """A function that starts official clients under one of the nodes to try."""
    clients = []

    def start(project, key, **env):
        client = Client(project.url, key, request.param, **env)
        clients.append(client)
        return client.__enter__()

    yield start
    for client in clients:
        client.__exit__()


@pytest.mark.parametrize("kind", ["service_jwt", "secret"])
def test_rows(project, database, connect, kind):
    client = connect(project, getattr(project.keys, kind))
    made = client.query("users", ["insert", {"apikey": "somebody-1", "name": "Ann"}], ["select"], ["single"])
    assert made["status"] == 201 and made["data"]["name"] == "Ann" and made["error"] is None
    id = made["data"]["id"]
    assert database.value("select apikey from users where id = %s", id) == "somebody-1"
    assert client.query("users", ["insert", [{"apikey": "somebody-2"}, {"apikey": "some,body.3"}]]) == {
        "data": None, "error": None, "count": None, "status": 201}
    assert client.query("users", ["select", "id"], ["eq", "apikey", "somebody-1"], ["limit", 2])["data"] == [{"id": id}]
    assert client.query("users", ["select", "apikey"], ["in", "apikey", ["some,body.3", "somebody-2", "nobody"]], ["order", "apikey"])["data"] == [
        {"apikey": "some,body.3"}, {"apikey": "somebody-2"}]
    assert client.query("users", ["select", "id"], ["eq", "apikey", "somebody-1"], ["maybeSingle"])["data"] == {"id": id}
    assert client.query("users", ["select", "id"], ["eq", "apikey", "nobody"], ["maybeSingle"])["data"] is None
    assert client.query("users", ["select", "id"], ["eq", "apikey", "nobody"], ["single"])["error"]["code"] == "PGRST116"
    assert client.query("users", ["select", "id"], ["maybeSingle"])["error"]["code"] == "PGRST116"
    counted = client.query("users", ["select", "*", {"count": "exact", "head": True}])
    assert counted["count"] == 3 and not counted["data"]
    ranged = client.query("users", ["select", "apikey", {"count": "exact"}], ["order", "apikey", {"ascending": False}], ["range", 1, 2])
    assert ranged["data"] == [{"apikey": "somebody-1"}, {"apikey": "some,body.3"}] and ranged["count"] == 3
    assert client.query("users", ["select", "apikey"], ["like", "apikey", "some,%"])["data"] == [{"apikey": "some,body.3"}]
    assert len(client.query("users", ["select", "apikey"], ["is", "name", None])["data"]) == 2
    assert client.query("users", ["select", "apikey"], ["not", "name", "is", None])["data"] == [{"apikey": "somebody-1"}]
    assert len(client.query("users", ["select", "id"], ["or", 'apikey.eq."some,body.3",name.eq.Ann'])["data"]) == 2
    assert client.query("users", ["select", "key:apikey,name"], ["neq", "apikey", "somebody-2"], ["gt", "apikey", "some-"], ["order", "name"])[
        "data"][0] == {"key": "somebody-1", "name": "Ann"}
    assert client.query("users", ["update", {"name": "Eve"}], ["eq", "id", id], ["select", "name"])["data"] == [{"name": "Eve"}]
    assert client.query("users", ["update", {"name": "Eve"}], ["eq", "apikey", "nobody"])["status"] == 204
    assert client.query("users", ["upsert", {"id": id, "name": "Zoe"}], ["select", "name"])["data"] == [{"name": "Zoe"}]
    assert client.query("users", ["upsert", {"apikey": "somebody-2", "name": "Two"}, {"onConflict": "apikey"}])["error"] is None
    assert database.sql("select name from users order by name") == [("Two",), ("Zoe",), (None,)]
    gone = client.query("users", ["delete", {"count": "exact"}], ["eq", "id", id])
    assert gone["status"] == 204 and gone["count"] == 1 and database.value("select count(*) from users") == 2


def test_errors(project, database, connect):
    client = connect(project, project.keys.secret)
    database.add_user("somebody-1")
    assert client.query("users", ["insert", {"apikey": "somebody-1"}])["error"]["code"] == "23505"
    assert client.query("nothing", ["select"])["error"]["code"] == "PGRST205"
    assert client.query("users", ["select", "nothing"])["error"]["code"] == "42703"
    assert client.query("users", ["insert", {"nothing": 1}])["error"]["code"] == "PGRST204"
    assert client.query("users", ["select"], ["eq", "id", "nothing"])["error"]["code"] == "22P02"
    wrong = connect(project, "sb_secret_nobodys")
    answer = wrong.query("users", ["select"])
    assert answer["status"] == 401 and answer["error"]["message"] == "Invalid API key"
    project.behave(503)
    answer = client.query("users", ["select"])
    assert answer["status"] == 503 and answer["data"] is None


@pytest.mark.parametrize("kind", ["anon_jwt", "publishable"])
def test_row_level_security(project, database, connect, kind):
    user = database.add_user("somebody-1", name="Ann")
    client = connect(project, getattr(project.keys, kind))
    assert client.query("users", ["select"]) == {"data": [], "error": None, "count": None, "status": 200}
    refused = client.query("users", ["insert", {"apikey": "x"}])
    assert refused["status"] == 401 and refused["error"]["code"] == "42501"
    assert client.query("users", ["delete"], ["eq", "id", user])["status"] == 204 and database.value("select count(*) from users") == 1
    database.sql("create policy names on users for select to anon using (name is not null)")
    assert [row["id"] for row in client.query("users", ["select"])["data"]] == [user]


def live(client, name):
    assert client.next("status", channel=name)["status"] == "SUBSCRIBED"
    assert client.next("system", channel=name)["system"]["status"] == "ok"


@pytest.mark.parametrize("kind", ["service_jwt", "secret"])
def test_realtime_tells_changes(supabase, database, connect, kind):
    project = supabase()
    user = database.add_user("somebody-1")
    machine = database.add_machine(user, name="one")
    client = connect(project, getattr(project.keys, kind))
    client.subscribe("machines", DELETED, INSERTED)
    live(client, "machines")
    database.remove("machines", machine)
    told = client.change("machines")
    assert told["eventType"] == "DELETE" and told["old"] == {"id": machine} and told["new"] == {}
    assert (told["schema"], told["table"], told["errors"]) == ("public", "machines", None)
    machine = database.add_machine(user, name="two")
    told = client.change("machines")
    assert told["eventType"] == "INSERT" and told["new"]["id"] == machine and told["new"]["name"] == "two" and told["new"]["user_id"] == user
    database.sql("update machines set name = 'three'")  # nobody asked for it
    database.remove("users", user)  # its machine goes along
    assert client.change("machines")["old"] == {"id": machine}
    assert client.does("unsubscribe", name="machines") == "ok"
    project.realtime.wait_gone()
    assert len(project.realtime.joins) == 1


def test_realtime_everything_filters_and_identity(supabase, database, connect):
    project = supabase()
    ann, bob = database.add_user("somebody-1"), database.add_user("somebody-2")
    database.sql("alter table machines disable row level security; alter table machines replica identity full")
    client = connect(project, project.keys.secret)
    client.subscribe("all", EVERYTHING)
    live(client, "all")
    client.subscribe("bobs", {**EVERYTHING, "filter": f"user_id=eq.{bob}"})
    live(client, "bobs")
    anns, bobs = database.add_machine(ann, name="a"), database.add_machine(bob, name="b")
    assert [client.change("all")["new"]["id"] for _ in range(2)] == [anns, bobs] and client.change("bobs")["new"]["id"] == bobs
    database.sql("update machines set name = 'c' where id = %s", anns)
    told = client.change("all")
    assert told["eventType"] == "UPDATE" and told["old"]["name"] == "a" and told["new"]["name"] == "c"
    database.sql("delete from machines")
    assert {client.change("all")["old"]["name"] for _ in range(2)} == {"c", "b"} and client.change("bobs")["old"]["name"] == "b"
    # Under row-level security the old row shrinks to its key.
    database.sql("alter table machines enable row level security")
    bobs = database.add_machine(bob, name="b")
    database.remove("machines", bobs)
    client.change("all")
    assert client.change("all")["old"] == {"id": bobs}


def test_realtime_row_level_security(supabase, database, connect):
    project = supabase()
    user = database.add_user("somebody-1")
    anon, service = connect(project, project.keys.publishable), connect(project, project.keys.secret)
    for client in (anon, service):
        client.subscribe("machines", EVERYTHING)
        live(client, "machines")
    hidden = database.add_machine(user, name="hidden")
    assert service.change("machines")["new"]["id"] == hidden and anon.quiet("change")
    database.sql("create policy open on machines for select to anon using (name = 'open')")
    shown = database.add_machine(user, name="open")
    assert service.change("machines")["new"]["id"] == shown and anon.change("machines")["new"]["id"] == shown
    database.remove("machines", hidden)  # a deleted row cannot be judged any more: its key is told
    assert service.change("machines")["old"] == {"id": hidden} and anon.change("machines")["old"] == {"id": hidden}
    database.sql("revoke all on machines from anon")
    database.remove("machines", shown)
    assert service.change("machines")["old"] == {"id": shown}
    told = anon.change("machines")
    assert told["errors"] == ["Error 401: Unauthorized"] and told["old"] == {}


def test_realtime_refusals(supabase, database, connect):
    project = supabase()
    client = connect(project, project.keys.secret)
    client.subscribe("nothing", {"event": "DELETE", "schema": "public", "table": "nothing"})
    assert client.next("status", channel="nothing")["status"] == "SUBSCRIBED"
    said = client.next("system", channel="nothing")["system"]
    assert said["status"] == "error" and "Please check Realtime is enabled" in said["message"]
    project.realtime.on_join = "error"
    client.subscribe("machines", DELETED)
    status = client.next("status", channel="machines")
    assert status["status"] == "CHANNEL_ERROR" and "Unauthorized" in status["error"]
    wrong = connect(project, "sb_secret_nobodys")
    wrong.subscribe("machines", DELETED)
    assert wrong.next("status", channel="machines")["status"] == "CHANNEL_ERROR"
    assert wrong.quiet("system")


@pytest.mark.slow
def test_realtime_heartbeats(supabase, connect):
    project = supabase()
    client = connect(project, project.keys.secret, HEARTBEAT="200")
    client.subscribe("machines", DELETED)
    live(client, "machines")
    project.realtime._wait(lambda: project.realtime.heartbeats >= 3, 10, "no heartbeats")
    assert project.realtime.connections == 1
    project.realtime.answer_heartbeats = False
    project.realtime._wait(lambda: project.realtime.connections >= 2, 20, "the client does not notice")
    project.realtime.answer_heartbeats = True
    project.realtime.wait_live(2)


@pytest.mark.slow
def test_realtime_dropped_and_swallowed(supabase, database, connect):
    project = supabase()
    user = database.add_user("somebody-1")
    machines = [database.add_machine(user) for _ in range(4)]
    client = connect(project, project.keys.secret)
    client.subscribe("machines", DELETED)
    live(client, "machines")
    project.realtime.swallow = True
    database.remove("machines", machines[0])
    assert client.quiet("change")
    project.realtime.swallow = False
    database.remove("machines", machines[1])
    assert client.change("machines")["old"] == {"id": machines[1]}
    project.realtime.drop()
    database.remove("machines", machines[2])  # while nobody is connected: lost
    project.realtime.wait_live(2)
    database.remove("machines", machines[3])
    assert client.change("machines")["old"] == {"id": machines[3]}
    project.realtime.drop(1001)
    project.realtime.wait_live(3)


def test_realtime_outlives_the_database(own_postgres, supabase, connect):
    database = own_postgres.database("create table machines (id int primary key); alter publication supabase_realtime add table machines;"
                                     "insert into machines select generate_series(1, 3)")
    project = supabase(database)
    client = connect(project, project.keys.secret)
    client.subscribe("machines", DELETED)
    live(client, "machines")
    own_postgres.kill()
    own_postgres.start()
    project.realtime.wait_live(2)
    database.connection.close()
    database.remove("machines", 2)
    assert client.change("machines")["old"] == {"id": 2}
