# SPDX-License-Identifier: ISC
"""The Supabase rig in one place: from rig import Postgres, Gateway, …; README.md shows how."""
from gateway import Gateway, Keys, make_certificates, make_keys  # noqa: F401
from postgres import HERE, Database, Postgres, free_port  # noqa: F401
from postgrest import make_jwt  # noqa: F401
from realtime import Realtime  # noqa: F401

SCHEMA, NOTIFY = HERE / "schema.sql", HERE / "notify.sql"
