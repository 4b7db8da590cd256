# SPDX-License-Identifier: ISC
"""auth_static and auth_supabase side by side: a key known to either works, and users of both with the same id are strangers."""
import json

import pytest

import sessions
from sessions import DIRS, SECOND_KEY, Client, admin, agent, sample, static
from test_admin_push import METRICS, page_of, shown, snapshot
from test_supabase import ANN, INVALID, NOBODY, auth

STATIC_KEY = SECOND_KEY


@pytest.fixture(params=["report", "snapshot"])
def both(server, supabase, database, request):
    """A server, and the id that a user has in the project as well as in the configuration."""
    id = database.add_user(ANN)
    users = static(f'{{ id = "{id}"; name = "Ann of the file"; api_keys = [ "{STATIC_KEY}" ]; }}')
    page = f'{{ name = "server_status"; config = {{ push = "{request.param}"; }}; }}'
    s = server(plugins=sessions.plugins(users, more=[auth(supabase()), page]), more=DIRS)
    s.push = request.param
    return s, id


def test_users_of_both_with_the_same_id_are_strangers(both):
    s, id = both
    watching = {"file": admin(s, STATIC_KEY), "project": admin(s, ANN)}
    agents = {"file": agent(s, STATIC_KEY, machineId="web-1"), "project": agent(s, ANN, machineId="web-1")}
    assert {a.welcome["userId"] for a in agents.values()} == {id}
    for n, (whose, a) in enumerate(agents.items()):
        a.say("system_info", hostname=f"host-of-{whose}")
        a.say("data", **sample(1, cpu={"percent": float(n + 1)}))
        a.settle()  # the second "web-1" did not replace the first
    for n, (whose, a) in enumerate(watching.items()):
        seen = a.until("machine_update", event="data")["machine"]
        assert (seen["hostname"], seen["metrics"]["cpu"]["percent"]) == (f"host-of-{whose}", n + 1)
        rest = json.dumps(a.settle())
        assert f"host-of-{'project' if whose == 'file' else 'file'}" not in rest
        listed = a.ask("machine_list")["machines"]
        assert [(m["machineId"], m["hostname"]) for m in listed] == [("web-1", f"host-of-{whose}")]
    # A token of one provider's user is none of the other's.
    said = watching["file"].ask("admin_connect", token=watching["project"].token)
    assert said["type"] == "admin_failed", said
    with Client(s) as c:
        assert c.ask("auth", apiKey=NOBODY) == INVALID


def test_what_one_of_them_shows_to_all_is_that_users_own(both):
    s, _ = both
    page, watching = page_of(s), admin(s, ANN)
    agents = [agent(s, STATIC_KEY, machineId="web-1", name="of the file"), agent(s, ANN, machineId="web-1", name="of the project")]
    for a in agents:
        a.say("data", **sample(1, **METRICS))
        a.settle()
    assert shown(s) == {}
    watching.say("machine_public", machineId="web-1", public=True)
    watching.until("machine_public")
    for a in agents:
        a.say("data", **sample(2, **METRICS))
        a.settle()
    if s.push == "snapshot":
        assert [m["name"] for m in snapshot(page, len).values()] == ["of the project"]
    else:
        assert json.loads(page.message(5))["serverName"] == "of the project" and page.message(0.4) is None
    assert [m["name"] for m in shown(s).values()] == ["of the project"]
