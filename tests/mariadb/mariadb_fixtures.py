# SPDX-License-Identifier: ISC
"""MariaDB as pytest fixtures: one server per session, a fresh database per test."""
from pathlib import Path

import pytest

RELEASED = Path(__file__).resolve().parents[1] / "fixtures" / "relay" / "released.sql"


@pytest.fixture(scope="session")
def mariadb():
    from mariadb import MariaDB
    with MariaDB() as made:
        yield made


@pytest.fixture
def own_mariadb():
    """A server for this test alone, to stop and to kill."""
    from mariadb import MariaDB
    with MariaDB() as made:
        yield made


@pytest.fixture
def mariadb_database(mariadb):
    """A fresh, empty database: .url() is its DATABASE_URL, .sql() asks it."""
    made = mariadb.database()
    yield made
    made.drop()


@pytest.fixture
def released_database(mariadb):
    """A database as the released relay server left it: its tables, with rows in them."""
    made = mariadb.database(RELEASED)
    yield made
    made.drop()
