# SPDX-License-Identifier: ISC
"""The gateway: whose key is what role, what it does when told to fail, and that it keeps up."""
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from rig import NOTIFY

pytestmark = pytest.mark.rig


def get(project, path, context=None, timeout=10, method="GET", body=None, **headers):
    request = urllib.request.Request(project.url + path, headers={k.replace("_", "-"): v for k, v in headers.items()}, method=method, data=body)
    try:
        with urllib.request.urlopen(request, timeout=timeout, context=context) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def users(project, **more):
    return get(project, "/rest/v1/users?select=id", apikey=project.keys.secret, **more)


def test_keys(supabase, database):
    id = database.add_user("somebody-1")
    project = supabase()
    keys, path, everything = project.keys, "/rest/v1/users?select=id", json.dumps([{"id": id}], separators=(",", ":")).encode()
    bearer = "Bearer "
    assert get(project, path, apikey=keys.service_jwt, authorization=bearer + keys.service_jwt) == (200, everything)
    assert get(project, path, apikey=keys.secret) == (200, everything)
    assert get(project, path, apikey=keys.secret, authorization=bearer + keys.secret) == (200, everything)
    # A legacy key in apikey alone opens the gateway and no more: the role is anon.
    assert get(project, path, apikey=keys.service_jwt) == (200, b"[]")
    assert get(project, path, apikey=keys.publishable) == (200, b"[]")
    assert get(project, path, apikey=keys.anon_jwt, authorization=bearer + keys.anon_jwt) == (200, b"[]")
    assert get(project, path, apikey=keys.publishable, authorization=bearer + keys.service_jwt) == (200, everything)
    assert get(project, f"{path}&apikey={keys.secret}") == (200, everything)
    for wrong in ({}, {"apikey": "sb_secret_wrong"}, {"apikey": keys.service_jwt[:-2] + "xx"}, {"authorization": bearer + keys.service_jwt}):
        status, body = get(project, path, **wrong)
        assert status == 401 and b"message" in body
    assert get(project, "/elsewhere", apikey=keys.secret)[0] == 404
    assert project.count("/rest/v1/users") == 12 and project.count() == 13 and project.requests[0].headers["apikey"] == keys.service_jwt
    project.forget()
    assert project.count() == 0


def test_grants_are_real(supabase, database):
    project = supabase()
    database.sql("create table secrets (id int primary key); revoke all on secrets from anon, service_role")
    project.reload_schema()
    assert get(project, "/rest/v1/secrets", apikey=project.keys.secret)[0] == 403
    assert get(project, "/rest/v1/secrets", apikey=project.keys.publishable)[0] == 401
    database.sql("grant select on secrets to anon; insert into secrets values (7)")
    assert get(project, "/rest/v1/secrets", apikey=project.keys.publishable) == (200, b'[{"id":7}]')
    database.sql("alter table secrets enable row level security")
    assert get(project, "/rest/v1/secrets", apikey=project.keys.publishable) == (200, b"[]")
    database.sql("create policy odd on secrets for select to anon using (id % 2 = 1); insert into secrets values (8)")
    assert get(project, "/rest/v1/secrets", apikey=project.keys.publishable) == (200, b'[{"id":7}]')


def test_digest_and_other_table(supabase, database):
    database.sql('create table "user" (id bigint primary key, "API-Key" text); insert into "user" values (5, \'k 1\'), (6, \'k 2\')')
    id = database.add_user("somebody-1")
    project = supabase()
    digest = hashlib.sha256(b"somebody-1").hexdigest()
    assert get(project, f"/rest/v1/users?select=id&apikey_sha256=eq.{digest}", apikey=project.keys.secret)[1] == f'[{{"id":"{id}"}}]'.encode()
    assert get(project, "/rest/v1/user?select=id&API-Key=eq.k%202&limit=2", apikey=project.keys.secret)[1] == b'[{"id":6}]'


def test_no_more_than_max_rows(supabase, database):
    database.sql("insert into users (apikey) select 'key-' || n from generate_series(1, 1500) n")
    project = supabase()
    assert len(json.loads(users(project)[1])) == 1000


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 502, 503])
def test_told_statuses(supabase, status):
    project = supabase()
    project.behave(status)
    assert users(project)[0] == status
    project.behave()
    assert users(project) == (200, b"[]")


def test_told_bodies(supabase, database):
    id = database.add_user("somebody-1")
    project = supabase()
    project.behave("empty")
    assert users(project) == (200, b"[]")
    project.behave("two")
    assert [row["id"] for row in json.loads(users(project)[1])] == [id, id]
    project.behave("object")
    assert isinstance(json.loads(users(project)[1]), dict)
    project.behave("huge")
    assert len(users(project)[1]) > 1 << 20
    for mode in ("nonsense", "truncated"):
        project.behave(mode)
        status, body = users(project)
        assert status == 200
        with pytest.raises(ValueError):
            json.loads(body)
    project.behave("cut")
    with pytest.raises(http.client.IncompleteRead):
        users(project)
    project.behave("close")
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected, urllib.error.URLError)):
        users(project)
    project.behave("redirect")
    assert users(project)[0] == 404 and project.requests[-1].path == "/elsewhere"
    project.behave(500, "/rest/v1/machines")
    project.behave(401)
    assert users(project)[0] == 401 and get(project, "/rest/v1/machines", apikey=project.keys.secret)[0] == 500
    project.behave()
    assert users(project)[0] == 200 and get(project, "/rest/v1/machines", apikey=project.keys.secret)[0] == 500


def test_slow_and_hanging(supabase):
    project = supabase()
    project.behave("slow", seconds=0.5)
    began = time.monotonic()
    assert users(project) == (200, b"[]") and time.monotonic() - began >= 0.5
    project.behave("hang")
    with pytest.raises(OSError):
        users(project, timeout=0.5)
    project.behave()
    assert users(project) == (200, b"[]")
    assert project.count("/rest/v1/users") == 3


def test_refused_and_back(supabase):
    project = supabase()
    kept = http.client.HTTPConnection("127.0.0.1", project.port, timeout=5)
    kept.request("GET", "/rest/v1/users", headers={"apikey": project.keys.secret})
    assert kept.getresponse().read() == b"[]"
    project.refuse()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", project.port))
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        kept.sock and kept.request("GET", "/rest/v1/users", headers={"apikey": project.keys.secret})
        kept.getresponse()
    project.accept()
    assert users(project) == (200, b"[]")


def test_tls(supabase, certificates):
    project = supabase(tls=certificates)
    assert project.url.startswith("https://")
    assert users(project, context=ssl.create_default_context(cafile=certificates.ca)) == (200, b"[]")
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        users(project)


def test_hundreds_at_once_over_kept_connections(supabase, database):
    id = database.add_user("somebody-1")
    project, failures = supabase(), []
    barrier = threading.Barrier(300)

    def one(_):
        connection = http.client.HTTPConnection("127.0.0.1", project.port, timeout=30)
        barrier.wait(30)
        for _ in range(3):
            connection.request("GET", "/rest/v1/users?select=id&apikey=eq.somebody-1", headers={"apikey": project.keys.secret})
            answer = connection.getresponse()
            if (answer.status, answer.read()) != (200, f'[{{"id":"{id}"}}]'.encode()):
                failures.append(answer.status)
        connection.close()

    with ThreadPoolExecutor(300) as pool:
        list(pool.map(one, range(300)))
    assert not failures and project.count("/rest/v1/users") == 900 and project.most_in_flight > 16


def test_database_gone_and_back(own_postgres, supabase):
    database = own_postgres.database("create table users (id int primary key)")
    project = supabase(database)
    assert users(project) == (200, b"[]")
    for end in (own_postgres.stop, own_postgres.kill):
        end()
        status, body = users(project)
        assert status == 503 and json.loads(body)["code"].startswith("PGRST0")
        own_postgres.start()
        deadline = time.monotonic() + 10
        while users(project)[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_start_that_needs_two_tries_has_its_settings(own_postgres):
    """After a crash the last child may still hold the shared memory, so that the first try ends."""
    database = own_postgres.database()
    child = database.value("select pg_backend_pid()")
    os.kill(child, signal.SIGSTOP)
    own_postgres.process.kill()
    own_postgres.process.wait(30)
    ending = threading.Timer(1, os.kill, (child, signal.SIGKILL))
    ending.start()
    own_postgres.start()
    ending.join()
    database.connection.close()
    assert "shared memory" in own_postgres.log and database.value("show wal_level") == "logical"


def test_never_the_systems_cluster(postgres):
    database = postgres.database()
    assert database.value("show data_directory") == str(postgres.data) and database.value("show port") == str(postgres.port)
    assert int(database.value("show server_version_num")) >= 150000
    database.drop()


def test_databases_are_apart(postgres):
    one, two = postgres.database("create table t (id int)"), postgres.database()
    with pytest.raises(psycopg2.errors.UndefinedTable):
        two.sql("select * from t")
    one.drop()
    two.drop()


def test_notify_names_the_deleted_machine(postgres, database):
    database.sql(NOTIFY.read_text())
    user = database.add_user("somebody-1")
    machines = [database.add_machine(user) for _ in range(3)]
    listener = database.connect()
    listener.autocommit = True
    listener.cursor().execute("listen muster_machines")
    database.remove("machines", machines[0])
    database.sql("update machines set name = 'other'")
    database.remove("users", user)  # takes the other two along
    deadline = time.monotonic() + 10
    while len(listener.notifies) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
        listener.poll()
    assert [n.payload for n in listener.notifies][:1] == machines[:1] and {n.payload for n in listener.notifies} == set(machines)
    assert {n.channel for n in listener.notifies} == {"muster_machines"} and len(listener.notifies) == 3
    listener.close()
