# SPDX-License-Identifier: ISC
"""Users of the configuration and their API keys, through the session protocol."""
import asyncio
import json
import subprocess

import pytest
import websockets

from conftest import BUILD, agent_headers, documented, entry, eventually

JWT = "a-session-secret-of-the-tests-0123456789"
ANN, ANN2, BOB = "key-one-of-ann-0123456789", "key-two-of-ann-0123456789", "the-key-of-bob-0123456789"


def user(id, *keys, name="", admin=False):
    listed = ", ".join(f'"{key}"' for key in keys)
    return f'{{ id = "{id}"; name = "{name}"; admin = {"true" if admin else "false"}; api_keys = [ {listed} ]; }}'


def plugins(*users, servers=(), more=(), session=""):
    return [f'{{ name = "auth_static"; config = {{ users = ( {", ".join(users)} ); servers = ( {", ".join(servers)} ); }}; }}',
            '{ name = "machines"; }', f'{{ name = "session"; config = {{ jwt_secret = "{JWT}"; {session} }}; }}', *more]


async def say(link, **message):
    await link.send(json.dumps(message))


async def hear(link, type, timeout=10):
    """The next message of a type."""
    while True:
        message = json.loads(await asyncio.wait_for(link.recv(), timeout))
        if message["type"] == type:
            return message


async def login(server, machine="m1", answer="auth_success", link=None, **credential):
    """An open connection and the answer to its auth."""
    link = link or await websockets.connect(server.ws + "/ws/session", close_timeout=0.2)
    members = {"machineId": machine} if machine else {}
    await say(link, type="auth", **members, **credential)
    return link, await hear(link, answer)


async def closed(link, code, timeout=10):
    async def drain():
        while True:
            await link.recv()
    with pytest.raises(websockets.ConnectionClosed):
        await asyncio.wait_for(drain(), timeout)
    assert link.close_code == code, (link.close_code, link.close_reason)


async def alive(link):
    """Still open, and answering."""
    await say(link, type="ping")
    await hear(link, "pong")


def reload(server, *users, **more):
    before = server.log.count("reloaded")
    server.reload(server.text(plugins(*users, **more)))
    eventually(lambda: server.log.count("reloaded") > before)


def quiet(server):
    for key in (ANN, ANN2, BOB, JWT):
        assert key not in server.log


# ---- logging in ----------------------------------------------------------------------------------


def test_a_key_is_its_user(server):
    s = server(plugins=plugins(user("ann", ANN, ANN2, name="Ann"), user("bob", BOB)))

    async def run():
        for key, wanted in ((ANN, "ann"), (ANN2, "ann"), (BOB, "bob")):
            link, answer = await login(s, apiKey=key)
            assert answer["userId"] == wanted and answer["machineId"] == "m1" and answer["sessionToken"]
            assert key not in json.dumps(answer)
            await link.close()

    asyncio.run(run())
    quiet(s)


WRONG = {"a prefix": ANN[:-1], "more": ANN + "x", "in capitals": ANN.upper(), "the user's id": "ann", "where it comes from": "env:ANN_KEY",
         "long": "k" * 300, "not ASCII": "schlüssel-" + ANN, "with a space": ANN + " "}


@pytest.mark.parametrize("case", WRONG)
def test_no_other_key_does(server, case):
    s = server(plugins=plugins(user("ann", ANN)))

    async def run():
        link, answer = await login(s, answer="auth_failed", apiKey=WRONG[case])
        assert answer["code"] == "invalid_api_key" and answer["message"] == "Invalid API Key"
        await closed(link, 4002)

    asyncio.run(run())
    quiet(s)
    assert WRONG[case][:20] not in s.log


def test_keys_from_the_environment_and_from_files(server, tmp_path):
    file = tmp_path / "key"
    file.write_text(ANN2 + "\n")
    file.chmod(0o600)
    s = server(plugins=plugins(user("ann", "env:J_KEY", f"file:{file}"), user("bob", BOB)), env={"J_KEY": ANN})

    async def run():
        for key in (ANN, ANN2, BOB):
            link, _ = await login(s, apiKey=key)
            await link.close()
        link, answer = await login(s, answer="auth_failed", apiKey="env:J_KEY")
        assert answer["code"] == "invalid_api_key"

    asyncio.run(run())
    quiet(s)


# ---- taken back ----------------------------------------------------------------------------------


def test_a_key_that_is_taken_back_ends_only_its_own_connections(server):
    s = server(plugins=plugins(user("ann", ANN, ANN2), user("bob", BOB)))

    async def run():
        one, first = await login(s, "m1", apiKey=ANN)
        two, second = await login(s, "m2", apiKey=ANN2)
        bob, _ = await login(s, "m1", apiKey=BOB)
        admin, _ = await login(s, None, apiKey=ANN, scope="admin")
        resumed, again = await login(s, "m3", apiKey=ANN)
        await resumed.close()
        resumed, _ = await login(s, "m3", sessionToken=again["sessionToken"])
        reload(s, user("ann", ANN2), user("bob", BOB))
        for link in (one, admin, resumed):  # also the one that came back with a token of that key
            await closed(link, 4010)
        await alive(two)
        await alive(bob)
        link, answer = await login(s, "m1", "auth_failed", sessionToken=first["sessionToken"])
        assert answer["code"] == "token_invalid"
        _, answer = await login(s, "m1", "auth_failed", link=link, apiKey=ANN)
        assert answer["code"] == "invalid_api_key"
        await two.close()
        two, _ = await login(s, "m2", sessionToken=second["sessionToken"])
        await alive(two)

    asyncio.run(run())
    s.logged('user "ann": a key was taken back')
    quiet(s)


def test_a_key_can_be_replaced_without_a_break(server):
    s = server(plugins=plugins(user("ann", ANN)))

    async def run():
        old, _ = await login(s, "m1", apiKey=ANN)
        reload(s, user("ann", ANN2, ANN, name="Ann"))
        await alive(old)
        new, _ = await login(s, "m2", apiKey=ANN2)
        reload(s, user("ann", ANN2))
        await closed(old, 4010)
        await alive(new)

    asyncio.run(run())


def test_a_removed_user_is_out(server):
    s = server(plugins=plugins(user("ann", ANN, ANN2), user("bob", BOB)))

    async def run():
        links = [await login(s, "m1", apiKey=ANN), await login(s, "m2", apiKey=ANN2), await login(s, None, apiKey=ANN, scope="admin")]
        bob, _ = await login(s, "m1", apiKey=BOB)
        reload(s, user("bob", BOB))
        for link, _ in links:
            await closed(link, 4010)
        await alive(bob)
        for _, answer in links[:2]:
            link, refused = await login(s, answer["machineId"], "auth_failed", sessionToken=answer["sessionToken"])
            assert refused["code"] == "token_invalid"
            await link.close()
        link, answer = await login(s, answer="auth_failed", apiKey=ANN)
        assert answer["code"] == "invalid_api_key"
        await closed(link, 4002)

    asyncio.run(run())
    s.logged('user "ann": removed')
    quiet(s)


def test_another_role_is_another_login(server):
    s = server(plugins=plugins(user("ann", ANN), user("bob", BOB)))

    async def run():
        ann, _ = await login(s, apiKey=ANN)
        bob, _ = await login(s, apiKey=BOB)
        reload(s, user("ann", ANN, admin=True), user("bob", BOB))
        await closed(ann, 4010)
        await alive(bob)
        ann, _ = await login(s, apiKey=ANN)
        reload(s, user("bob", BOB))
        await closed(ann, 4010)

    asyncio.run(run())


def test_a_machine_of_the_same_id_is_somebody_else(server):
    """Its secret changes: the user of that id stays connected, and keeps the token."""
    s = server(plugins=plugins(user("twin", ANN), servers=[entry("twin")]))

    async def run():
        link, answer = await login(s, apiKey=ANN)
        reload(s, user("twin", ANN), servers=[entry("twin", secret="another-secret-of-the-tests-01")])
        s.logged('machine "twin": changed, must log in again')
        await alive(link)
        await link.close()
        link, again = await login(s, sessionToken=answer["sessionToken"])
        await alive(link)

    asyncio.run(run())


def test_after_a_restart_tokens_hold_as_long_as_their_key(server):
    s = server(plugins=plugins(user("ann", ANN, ANN2)))

    async def start():
        one, first = await login(s, "m1", apiKey=ANN)
        two, second = await login(s, "m2", apiKey=ANN2)
        return first["sessionToken"], second["sessionToken"]

    first, second = asyncio.run(start())
    s.stop()
    again = server(plugins=plugins(user("ann", ANN2)), port=s.port)

    async def resume():
        link, answer = await login(again, "m1", "auth_failed", sessionToken=first)
        assert answer["code"] == "token_invalid"
        link, answer = await login(again, "m2", sessionToken=second)
        assert answer["userId"] == "ann" and answer["machineId"] == "m2"

    asyncio.run(resume())
    quiet(again)


# ---- the configuration ---------------------------------------------------------------------------


def checked(tmp_path, *users, env=None):
    """Exit status and text of --check-config."""
    file = tmp_path / "server.conf"
    file.write_text('listen = ( { address = "127.0.0.1"; port = 8900; } );\nplugins = (\n'
                    '{ name = "auth_static"; config = { users = (\n' + ",\n".join(users) + "\n); }; } );\n")
    file.chmod(0o600)
    done = subprocess.run([BUILD / "bin" / "musterd", "--check-config", "-c", file], capture_output=True, text=True, timeout=60, env=env)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


BROKEN = {
    "no id": ('{ name = "x"; }', "the required option 'id' is missing"),
    "an empty id": (user("", BOB), "'users[1].id': the id is empty"),
    "a bad id": (user("a b", BOB), "'users[1].id': the id \"a b\" may have letters, digits and . _ : @ - only"),
    "the same id twice": (user("ann", BOB), "'users[1].id': the id \"ann\" is that of users[0] already"),
    "another's key": (user("bob", BOB, ANN), "'users[1].api_keys[1]': the key is that of users[0].api_keys[0] already"),
    "a short key": (user("bob", "shorter"), "'users[1].api_keys[0]': the key has 7 characters: it may have 8 to 256"),
    "a long key": (user("bob", "k" * 257), "'users[1].api_keys[0]': the key has 257 characters: it may have 8 to 256"),
    "an empty key": (user("bob", ""), "'users[1].api_keys[0]' is empty"),
    "a space in a key": (user("bob", "key of bob 0123456789"), "'users[1].api_keys[0]': the key has a character that is not visible ASCII"),
    "an umlaut in a key": (user("bob", "schlüssel-0123456789"), "'users[1].api_keys[0]': the key has a character that is not visible ASCII"),
    "no such variable": (user("bob", BOB, "env:J_NOT_SET"), "'users[1].api_keys[1]': the environment variable J_NOT_SET is not set"),
    "no such file": (user("bob", "file:/nonexistent/key"), "'users[1].api_keys[0]'"),
    "a key alone": ('{ id = "bob"; api_keys = "' + BOB + '"; }', "'users[1].api_keys': expected a list of strings"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_mistakes_are_named_without_the_key(tmp_path, case):
    broken, message = BROKEN[case]
    status, text = checked(tmp_path, user("ann", ANN), broken)
    assert status == 78 and message in text and "server.conf:5: error:" in text
    for key in (ANN, BOB, "shorter", "k" * 100, "key of bob", "schl"):
        assert key not in text


def test_what_is_only_worth_a_warning(tmp_path):
    status, text = checked(tmp_path, user("ann", "tencharact"), user("bob"))
    assert status == 0, text
    assert "warning: auth_static: 'users[0].api_keys[0]': the key is shorter than 16 characters: easy to guess" in text
    assert "warning: auth_static: 'users[1].api_keys': the user has no key: nobody can log in" in text
    assert "tencharact" not in text and "refused" not in text
    status, text = checked(tmp_path, user("ann", ANN))
    assert status == 0 and "warning" not in text


def test_a_broken_reload_changes_nothing(server):
    s = server(plugins=plugins(user("ann", ANN)))

    async def run():
        link, _ = await login(s, apiKey=ANN)
        s.reload(s.text(plugins(user("ann", ANN2), user("ann", BOB))))
        s.logged('the id "ann" is that of users[0] already')
        await alive(link)
        await link.close()
        await login(s, apiKey=ANN)

    asyncio.run(run())
    quiet(s)


# ---- beside machines with secrets ----------------------------------------------------------------


def test_machines_of_the_configuration_name_their_owner(server):
    """`owner` may be a user here, who has a name, or anybody else; the user's key does not speak for them, and their secret is no key."""
    servers = (entry("own", owner="ann"), entry("foreign", owner="somebody"), entry("operators"))
    s = server(plugins=plugins(user("ann", ANN, name="Ann"), servers=servers, more=['{ name = "server_status"; }', '{ name = "console"; }']))

    async def run():
        owners = {}
        async with websockets.connect(s.ws + "/api/console/live") as page:
            while (message := json.loads(await asyncio.wait_for(page.recv(), 10)))["type"] != "ready":
                if message["type"] == "machine":
                    owners[message["id"]] = (message["owner"], message["lastSeen"])
            assert owners == {"own": ("Ann", 0), "foreign": ("somebody", 0), "operators": ("", 0)}
            reload(s, user("ann", ANN, name="Ann B."), servers=servers, more=['{ name = "server_status"; }', '{ name = "console"; }'])
            message = await hear(page, "machine")
            assert (message["id"], message["owner"]) == ("own", "Ann B.")
        async with websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers("own")) as link:
            await link.send(json.dumps(documented("own")))
        with pytest.raises(websockets.InvalidStatusCode):
            await websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers("own", ANN))

    asyncio.run(run())


@pytest.mark.parametrize("others", ["none", "left out"])
def test_a_key_is_not_refused_while_who_may_know_it_is_missing(server, others):
    """Clients forget a key that was refused. So a backend that failed, or was forgotten in the configuration, is no refusal."""
    alone = plugins(user("u1", ANN))
    listed = alone[1:] if others == "none" else alone + ['{ name = "auth_that_is_not_installed"; }']
    s = server(plugins=listed)

    async def run():
        if others == "left out":  # who is there knows its own, as ever
            link, _ = await login(s, apiKey=ANN)
            await link.close()
        link, answer = await login(s, apiKey=BOB, answer="auth_failed")
        assert answer["code"] == "unavailable" and answer["retryable"] is True and answer["message"] != "Invalid API Key"
        await closed(link, 1013)
        # The operator mends the configuration: now it is known that nobody knows it.
        s.reload(s.text(alone))
        for _ in range(50):
            await asyncio.sleep(0.1)
            link, answer = await login(s, apiKey=BOB, answer="auth_failed")
            await link.close()
            if answer["code"] != "unavailable":
                break
        assert answer["code"] == "invalid_api_key"

    asyncio.run(run())
