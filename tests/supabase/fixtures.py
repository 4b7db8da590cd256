# SPDX-License-Identifier: ISC
"""The rig as pytest fixtures: one PostgreSQL per session, a fresh database and gateways of its own per test."""
import pytest


@pytest.fixture(scope="session")
def postgres():
    from rig import Postgres
    with Postgres() as made:
        yield made


@pytest.fixture
def own_postgres():
    """A cluster for this test alone, to stop and to kill."""
    from rig import Postgres
    with Postgres() as made:
        yield made


@pytest.fixture
def database(postgres):
    """A fresh database with the tables of schema.sql."""
    from rig import SCHEMA
    made = postgres.database(SCHEMA)
    yield made
    made.drop()


@pytest.fixture
def supabase(database):
    """A function that starts gateways, over the fixture's database or another; all are stopped at the end."""
    from rig import Gateway
    running, over = [], database

    def start(database=None, **more):
        made = Gateway(database or over, **more)
        made.__enter__()
        running.append(made)
        return made

    yield start
    for made in running:
        made.__exit__()


@pytest.fixture
def certificates(tmp_path_factory):
    """A CA of one's own and a certificate for localhost and 127.0.0.1: .ca, .certificate, .key"""
    from rig import make_certificates
    return make_certificates(tmp_path_factory.mktemp("certificates"))
