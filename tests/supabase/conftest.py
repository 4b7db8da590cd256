# SPDX-License-Identifier: ISC
"""The rig proves itself here; tests of musterd over it stand in tests/e2e, where the same fixtures are."""
from fixtures import certificates, database, own_postgres, postgres, supabase  # noqa: F401


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
    config.addinivalue_line("markers", "rig: proves the tests' own rig, no part of Muster")
