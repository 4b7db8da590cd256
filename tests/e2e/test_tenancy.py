# SPDX-License-Identifier: ISC
"""Users against each other: random agents, admins and strangers over real connections, every pushed byte held against who owns it.

MUSTER_TENANCY_PUSHES sets how many pushes are checked; scripts/tenancy N is the long form.
"""
import os
import subprocess

import pytest

from conftest import BUILD, SANITIZED

PUSHES = int(os.environ.get("MUSTER_TENANCY_PUSHES", 20000 if SANITIZED else 50000))
LIMITS = "limits = { max_connections = 5000; max_connections_per_peer = 0; connects_per_second = 0; };"
JWT_SECRET = "a-jwt-secret-of-the-tests-0123456789"


def key_of(provider, user):
    return f"key-of-{provider}-{user}-0123456789"


def auth_static(instance, users):
    listed = ", ".join(f'{{ id = "{user}"; api_keys = [ "{key_of(instance, user)}" ]; }}' for user in users)
    return f'{{ name = "auth_static"; instance = "{instance}"; config = {{ users = ( {listed} ); }}; }}'


def session_plugins(*more, session=""):
    return [f'{{ name = "machines"; }}',
            f'{{ name = "session"; config = {{ jwt_secret = "{JWT_SECRET}"; failed_auths_per_minute = 100000; '
            f'messages_per_minute = 1000000; reports_per_minute = 1000000; {session} }}; }}',
            '{ name = "admin_push"; }', '{ name = "server_status"; }', *more]


@pytest.mark.slow
def test_nobody_sees_a_machine_of_somebody_else(server):
    """Two backends whose users have the same ids."""
    users = [f"u{n}" for n in range(6)]
    s = server(plugins=[auth_static("alpha", users), auth_static("beta", users), *session_plugins('{ name = "remover"; }', '{ name = "counters"; }')],
               more=f'{LIMITS}\nplugin_dirs = ( "{BUILD}/lib/muster/plugins", "{BUILD}/tests/plugins" );')
    lines = "".join(f"{provider} {user} {key_of(provider, user)}\n" for provider in ("alpha", "beta") for user in users)
    done = subprocess.run([BUILD / "tests/tenancy_load", str(s.port), f"pushes={PUSHES}"], input=lines, text=True, capture_output=True,
                          timeout=120 + PUSHES / 500)
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    assert " 0 leaks" in done.stdout and int(done.stdout.split()[0]) >= PUSHES
    log = s.log
    assert JWT_SECRET not in log and "0123456789" not in log, "a key in the log"
