# SPDX-License-Identifier: ISC
"""Ids of machines that an agent makes up: whatever they are, they keep nobody from noticing other users' deleted rows."""
import pytest

from sessions import agent
from test_deletions import BOB_KEY, KEY, group, is_deleted, seen, start  # noqa: F401

# What agents may call a machine; beyond the column's type, at its limits, or odd.
IDS = ["999999999999999999", "-999999999999999999", "9223372036854775807", "9223372036854775808", "2147483647", "2147483648", "-2147483648",
       "-2147483649", "32768", "0", "-1", "1.5", "1e3", "null", "web-1:80", "_"]


@pytest.mark.parametrize("column, kind", [("integer", "integer"), ("bigint", "bigint"), ("bigint", "integer"), ("text", "text")])
def test_nobody_breaks_the_polls_for_others(start, supabase, postgres, column, kind):  # noqa: F811
    made = postgres.database(
        "create table users (id integer primary key, apikey text); create table machines (id " + column + " primary key, user_id integer); "
        "grant select on users, machines to service_role; "
        f"insert into users values (1, '{KEY}'), (2, '{BOB_KEY}'); insert into machines values ('41', 1), ('42', 1), ('43', 2)")
    project = supabase(made)
    s = start(project, id_type=kind)
    a, b = agent(s, KEY, machineId="41"), agent(s, KEY, machineId="42")
    odd = [agent(s, BOB_KEY, machineId=id) for id in [*IDS, "43"]]
    seen(s, project)
    made.sql("delete from machines where id = '41'")
    is_deleted(a, 20)
    for other in (b, *odd):
        assert all(said["type"] == "ping" for said in other.settle())
        other.s.close()
    assert "cannot be asked for" not in s.log
    made.drop()
