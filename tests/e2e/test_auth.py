# SPDX-License-Identifier: ISC
"""Who may report: refused before the upgrade, logged with the id, never with a secret."""
import asyncio
import json

import pytest
import websockets

import sessions
from conftest import SECRET, agent_headers, documented, entry, eventually, get
from hostile import TEXT, Raw, frame, status_of
from hostile import upgrade as upgrade_request

WRONG = "this-is-not-the-secret-99"


def upgrade(server, headers):
    """A report link's status, its headers (lower case) and its body, which is none after 101."""
    with Raw(server.port) as link:
        link.send(upgrade_request("/ws-report", *(f"{k}: {v}" for k, v in headers)))
        head = link.answer()
        got = {k.lower(): v for k, v in (line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])}
        return status_of(head), got, link.rest() if status_of(head) != 101 else b""


BAD = {
    "wrong secret": [("X-SERVER-ID", "demo"), ("X-AUTH-SECRET", WRONG)],
    "unknown id": [("X-SERVER-ID", "nobody"), ("X-AUTH-SECRET", SECRET)],
    "no id": [("X-AUTH-SECRET", SECRET)],
    "no secret": [("X-SERVER-ID", "demo")],
    "empty id": [("X-SERVER-ID", ""), ("X-AUTH-SECRET", SECRET)],
    "empty secret": [("X-SERVER-ID", "demo"), ("X-AUTH-SECRET", "")],
    "neither": [],
    "another's secret": [("X-SERVER-ID", "demo"), ("X-AUTH-SECRET", "the-secret-of-the-other-1")],
    "a prefix of the secret": [("X-SERVER-ID", "demo"), ("X-AUTH-SECRET", SECRET[:-1])],
    "more than the secret": [("X-SERVER-ID", "demo"), ("X-AUTH-SECRET", SECRET + "x")],
    "id in capitals": [("X-SERVER-ID", "DEMO"), ("X-AUTH-SECRET", SECRET)],
    "huge id": [("X-SERVER-ID", "d" * 1500), ("X-AUTH-SECRET", SECRET)],
}


@pytest.mark.parametrize("case", BAD)
def test_refused_before_the_upgrade(server, case):
    s = server(entry("demo"), entry("other", secret="the-secret-of-the-other-1"))
    status, headers, body = upgrade(s, BAD[case])
    assert status == 401 and "application/json" in headers["content-type"]
    answer = json.loads(body)
    assert answer["code"] and answer["message"]
    s.logged("refused")
    lines = [line for line in s.log.splitlines() if "refused" in line]
    assert len(lines) == 1, lines
    named = dict(BAD[case]).get("X-SERVER-ID", "")
    assert f'"{named[:64]}"' in lines[0]
    for secret in (SECRET, WRONG, SECRET[:-1], "the-secret-of-the-other-1"):
        assert secret not in s.log and secret not in body.decode()


def test_unknown_id_and_wrong_secret_are_answered_alike(server):
    s = server(entry("demo"))
    first, second = upgrade(s, BAD["wrong secret"]), upgrade(s, BAD["unknown id"])
    assert (first[0], first[2]) == (second[0], second[2])


def test_a_name_cannot_write_log_lines(server):
    s = server(entry("demo"))
    upgrade(s, [("X-SERVER-ID", "a\x1b[31mred\tb\x85\xe2\x80\xae"), ("X-AUTH-SECRET", WRONG)])
    s.logged("refused")
    line = next(line for line in s.log.splitlines() if "refused" in line)
    assert "\x1b" not in s.log and "\u202e" not in s.log and "red" in line


@pytest.mark.parametrize("name, secret", [("X-SERVER-ID", "X-AUTH-SECRET"), ("x-server-id", "x-auth-secret"),
                                          ("X-Server-Id", "X-Auth-Secret"), ("x-SERVER-iD", "X-auth-SECRET")])
def test_header_names_in_any_case(server, name, secret):
    s = server(entry("demo"))
    assert upgrade(s, [(name, "demo"), (secret, SECRET)])[0] == 101


def test_without_entries_it_warns_and_refuses_everybody(server):
    s = server(plugins=['{ name = "auth_static"; }', '{ name = "machines"; }', '{ name = "server_status"; }'])
    assert "there are neither servers nor users: everybody is refused" in s.log
    assert upgrade(s, agent_headers().items())[0] == 401
    assert upgrade(s, [])[0] == 401


def test_a_brute_force_does_not_fill_the_log_nor_hurt_a_bystander(server):
    s = server(entry("demo"), entry("other"), more="limits = { connects_per_second = 0; };")

    async def run():
        async with websockets.connect(s.ws + "/ws-frontend") as page:
            async with websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers("other")) as link:
                await asyncio.to_thread(
                    lambda: [upgrade(s, [("X-SERVER-ID", "demo"), ("X-AUTH-SECRET", f"guess-{i:04}")]) for i in range(200)])
                await link.send(json.dumps(documented("other")))
                return json.loads(await asyncio.wait_for(page.recv(), 5))

    assert asyncio.run(run())["serverId"] == "other"
    assert 1 <= s.log.count("refused") < 30 and "guess-" not in s.log


def test_secrets_from_a_file_and_from_the_environment(server, tmp_path):
    file = tmp_path / "secret"
    file.write_text("the-secret-of-a-file-123\n")
    file.chmod(0o600)
    s = server(entry("demo", secret="env:J_SECRET"), entry("filed", secret=f"file:{file}"), env={"J_SECRET": SECRET})
    assert upgrade(s, agent_headers("demo").items())[0] == 101
    assert upgrade(s, agent_headers("filed", "the-secret-of-a-file-123").items())[0] == 101
    assert upgrade(s, agent_headers("filed", f"file:{file}").items())[0] == 401
    assert "the-secret-of-a-file-123" not in s.log


@pytest.mark.parametrize("mode", ["up", "slow"])
def test_only_machines_report(server, mode):
    """Whatever a backend takes a person's secret for: people do not report, judged at once or after the upgrade."""
    s = server(plugins=[sessions.ORACLE, '{ name = "machines"; }', '{ name = "server_status"; }', '{ name = "counters"; }'], more=sessions.DIRS)
    sessions.steer(s, "oracle", mode=mode)

    def link(role):
        return Raw(s.port).open("/ws-report", *(f"{k}: {v}" for k, v in agent_headers("demo", f"{role}:demo:x").items()))

    with link("machine") as good:
        good.send(frame(TEXT, json.dumps(documented())))
        eventually(lambda: get(s.http + "/test/counters").get("reports.demo") == 1)
    for role in ("user", "admin"):
        if mode == "up":
            assert upgrade(s, agent_headers("demo", f"{role}:demo:x").items())[0] == 401
        else:
            assert link(role).close_code() == 1008


def test_nobody_who_was_refused_can_report(server):
    s = server(entry("demo"))

    async def run():
        async with websockets.connect(s.ws + "/ws-frontend") as page:
            with pytest.raises(websockets.InvalidStatusCode):
                async with websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers("demo", WRONG)) as link:
                    await link.send(json.dumps(documented()))
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(page.recv(), 0.5)

    asyncio.run(run())
