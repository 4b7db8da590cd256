# SPDX-License-Identifier: ISC
"""Rows that go while LISTEN is away, or before its machine was looked at, and nothing polls regularly: nothing is missed for good."""
import time

import pytest

from conftest import eventually
from sessions import agent
from test_deletions import KEY, ann, counters, is_deleted, refused, shown, start, stays, tells_owners, two  # noqa: F401

CONFIRM = 10  # seconds between two questions while something is in doubt


class Away:
    """with Away(postgres, database, server): LISTEN has no connection, and gets none."""

    def __init__(self, postgres, database, server):
        self.postgres, self.database, self.server = postgres, database, server
        self.lost, self.back = (server.log.count(text) for text in ("does not tell", "PostgreSQL tells"))

    def allow(self, yes):
        self.postgres._admin(f"alter database {self.database.name} allow_connections {yes}")

    def __enter__(self):
        self.allow(False)
        assert self.database.value("select count(pg_terminate_backend(pid)) from pg_stat_activity "
                                   "where application_name = 'musterd' and datname = current_database()") == 1
        eventually(lambda: self.server.log.count("does not tell") > self.lost)

    def __exit__(self, *_):
        self.allow(True)
        eventually(lambda: self.server.log.count("PostgreSQL tells") > self.back, 30)


@pytest.fixture
def listening(postgres, supabase, start):  # noqa: F811
    """(server, project, database, ids, agents): two machines whose rows were seen, and no polls."""
    from rig import NOTIFY, SCHEMA
    database = postgres.database(SCHEMA, NOTIFY)
    ann = database.add_user(KEY)
    rows = [database.add_machine(ann) for _ in range(3)]
    project = supabase(database)
    s = start(project, poll_every=0, listen=database.uri())
    s.logged("PostgreSQL tells")
    agents = [agent(s, KEY, machineId=machine) for machine in rows[:2]]
    shown(s, 2)
    eventually(lambda: project.in_flight == 0)
    yield s, project, database, rows, agents
    database.drop()


@pytest.mark.slow
def test_a_row_that_went_meanwhile(postgres, listening):
    s, project, database, rows, (a, b) = listening
    with Away(postgres, database, s):
        database.remove("machines", rows[0])
    is_deleted(a, 3 * CONFIRM)
    assert counters(s).get("listen_notices", 0) == 0, "it was to be missed"
    refused(s, rows[0], a.welcome["sessionToken"])
    stays(b)
    # Then there is nothing left to ask.
    before = project.count("/rest/v1/machines")
    time.sleep(1.5 * CONFIRM)
    assert project.count("/rest/v1/machines") == before


@pytest.mark.slow
def test_the_first_question_fails_and_others_come_between(postgres, listening):
    """A new machine is being asked for when the failed question is due again."""
    s, project, database, rows, (a, b) = listening
    with Away(postgres, database, s):
        database.remove("machines", rows[0])
        project.behave(500, "/rest/v1/machines")
    s.logged("cannot be asked for")
    failed = time.monotonic()
    project.behave("slow", "/rest/v1/machines", seconds=4)
    time.sleep(max(0, failed + CONFIRM - 2 - time.monotonic()))
    c = agent(s, KEY, machineId=rows[2])
    is_deleted(a, 5 * CONFIRM)
    assert counters(s).get("listen_notices", 0) == 0
    stays(b), stays(c)


@pytest.mark.slow
def test_an_alarm_in_between(postgres, listening):
    """All rows are hidden at the first question: nobody is deleted, and it is asked until they show."""
    s, project, database, rows, (a, b) = listening
    project.behave("empty", "/rest/v1/machines")
    with Away(postgres, database, s):
        database.remove("machines", rows[0])
    s.logged("vanished from \"machines\" together")
    stays(a), stays(b)
    project.behave(None, "/rest/v1/machines")
    is_deleted(a, 5 * CONFIRM)
    assert counters(s).get("listen_notices", 0) == 0
    stays(b)


def test_news_that_come_after_the_first_look(database, supabase, start, two):  # noqa: F811
    """The row goes as its machine comes: the first look finds none, and only then Realtime tells, and whose it was."""
    tells_owners(database)
    project = supabase()
    s = start(project, poll_every=0, realtime=True)
    s.logged("Realtime tells")
    project.realtime.late = 1.5
    a, b = (agent(s, KEY, machineId=machine) for machine in two)
    database.remove("machines", two[0])
    is_deleted(a)
    stays(b)
