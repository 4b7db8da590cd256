# SPDX-License-Identifier: ISC
"""kill -9 at random during load loses nothing that was acknowledged or shown. More rounds: scripts/relay-kill."""
import os

import pytest

from kills import Rounds
from relays import KINDS

ROUNDS = int(os.environ.get("MUSTER_KILL_ROUNDS", "5"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_random_nothing_acknowledged_is_lost(kind, tmp_path, request):
    mariadb = request.getfixturevalue("own_mariadb") if kind == "mariadb" else None
    rounds = Rounds(kind, tmp_path / "relay", mariadb.database() if mariadb else None, mariadb)
    for _ in range(ROUNDS):
        rounds.round()
    rounds.stop()
    print(f"{kind}: {rounds.count} rounds, {rounds.checked} things that were told held against the database")
    assert rounds.checked > 10 * ROUNDS
