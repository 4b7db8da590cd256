# SPDX-License-Identifier: ISC
"""Every request that a real PostgREST was asked is asked again: the same status, range, type and body."""
import http.client
import json
import os
import re
import time
from pathlib import Path

import pytest
from rig import Gateway, make_jwt

pytestmark = pytest.mark.rig
CASES = json.loads((Path(__file__).resolve().parents[1] / "fixtures" / "session" / "postgrest-observed.json").read_text())["cases"]
# What the recording implies: seven users whose keys are hard to quote, one machine, one table that nobody may read.
SCHEMA = """
create table users (id uuid primary key, apikey text);
create table machines (id uuid primary key, user_id uuid references users (id));
create table "user" (id uuid primary key, apikey text);
insert into users values
  ('11111111-1111-1111-1111-111111111111', 'k-plain'), ('22222222-2222-2222-2222-222222222222', E'a,b.c:(d)"e\\\\f&g=h+i j%k#l'),
  ('33333333-3333-3333-3333-333333333333', 'eq.x'), ('44444444-4444-4444-4444-444444444444', 'a+b'),
  ('55555555-5555-5555-5555-555555555555', 'null'), ('66666666-6666-6666-6666-666666666666', '"quoted"'),
  ('77777777-7777-7777-7777-777777777777', 'ключ');
insert into machines values ('aaaaaaaa-0000-0000-0000-000000000001', '11111111-1111-1111-1111-111111111111');
alter table users enable row level security;
revoke all on machines from anon;
revoke all on "user" from anon, authenticated, service_role;
"""
# The recorder kept only the beginning of these bodies, or wrote its own last line behind them.
CUT = {"like": 300, "offset past end count": 2}
OVERWRITTEN = {"in empty": "[]"}


@pytest.fixture(scope="module", params=["dialect"] + (["postgrest"] if os.environ.get("POSTGREST_BIN") else []))
def project(postgres, request):
    database = postgres.database(SCHEMA)
    with Gateway(database, real=os.environ["POSTGREST_BIN"] if request.param == "postgrest" else None) as made:
        yield made
    database.drop()


def authorization(case, keys):
    role, now = case["role"], int(time.time())
    malformed = re.fullmatch(r"\(malformed: (.*)\)", role or "")
    if malformed:
        return malformed[1]
    if role is None:
        return None
    secret, alg, expires = keys.jwt_secret, "HS256", now + 3600
    if case["name"] == "jwt expired":
        expires = now - 3600
    if case["name"] == "jwt wrong secret":
        secret = "another secret that is 32 bytes!!"
    if case["name"] == "jwt alg none":
        alg = "none"
    return "Bearer " + make_jwt(secret, {"role": role, "exp": expires}, alg)


def ask(base, method, path, headers, body=None):
    """The path goes out byte by byte as it is written."""
    connection = http.client.HTTPConnection(base.removeprefix("http://"), timeout=10)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_as_observed(project, case):
    headers = dict(case["headers"])
    bearer = authorization(case, project.keys)
    if bearer is not None:
        headers["authorization"] = bearer
    answer, body = ask(project.direct_url, case["method"], case["path"], headers, b"" if case["method"] == "POST" else None)
    expected = case["answer"]
    assert answer.status == expected["status"], body
    assert answer.headers.get("content-range", "-") == expected["content_range"]
    assert answer.headers.get("content-type", "").split(";")[0] == expected["content_type"]
    text = re.sub(r"\s*\n\s*", " ", body.decode())
    if expected["body"] is None:
        assert text == ""
    elif case["name"] in CUT:
        assert len(expected["body"]) <= CUT[case["name"]] and text.startswith(expected["body"])
    else:
        assert text == OVERWRITTEN.get(case["name"], expected["body"])


def test_all_are_there():
    assert len(CASES) == 43
