# SPDX-License-Identifier: ISC
"""The live channel: tickets, differences, and who sees what."""
import asyncio
import json
import random
import threading
import time

import pytest
import websockets

from accounts import PASSWORD, forge
from conftest import SANITIZED, agent_headers, documented, entry, eventually, static_plugins
from consoles import Reader, agree, console, machine, report, ticket  # noqa: F401
from test_accounts_admin import add_admin, password_of

TOKEN = 'a "token" of pages-0123'


async def closed(server, hello, within=10, **headers):
    """The code with which the server ends a channel that said this."""
    async with Reader(server, hello, **headers) as reader:
        try:
            await reader.settle(within)
        except websockets.ConnectionClosed as end:
            return end.code
        return None


async def outcome(server, hello):
    """The same, or that it is let in."""
    async with Reader(server, hello) as reader:
        try:
            await reader.until("hello")
            return "let in"
        except websockets.ConnectionClosed as end:
            return end.code


# ---- tickets --------------------------------------------------------------------------------------


def test_a_ticket_is_good_once(console):
    a = console()
    id, token = a.person("ann")
    assert a.call("POST", "/api/console/ticket", {}).status == 401
    assert a.call("POST", "/api/console/ticket", {}, "wrong.token.here").status == 401
    one, two = ticket(a, token), ticket(a, token)
    assert one != two and len(one) == 43

    async def run():
        async with Reader(a.server, {"type": "hello", "ticket": one}) as reader:
            hello = await reader.next()
            assert hello["type"] == "hello" and abs(hello["now"] - time.time() * 1000) < 60000
            assert hello["user"] == {"id": id, "name": "ann", "role": "user"}
            assert (await reader.next())["type"] == "ready"
            assert await closed(a.server, {"type": "hello", "ticket": one}) == 4002
            for wrong in ("", "x", two[:-1], two + "x", "\u00e9" * 43, "x" * 400):
                assert await closed(a.server, {"type": "hello", "ticket": wrong}) == 4002, wrong
        async with Reader(a.server, {"type": "hello", "ticket": two}) as reader:
            await reader.until("ready")
        async with Reader(a.server, {"type": "hello", "ticket": ticket(a, a.token)}) as reader:
            assert (await reader.next())["user"]["role"] == "admin"

    asyncio.run(run())
    assert one not in a.server.log and two not in a.server.log


@pytest.mark.slow
def test_a_ticket_of_half_a_minute_ago_is_nothing(console):
    a = console()
    _, token = a.person("ann")
    old = ticket(a, token)
    time.sleep(31)
    assert asyncio.run(closed(a.server, {"type": "hello", "ticket": old})) == 4002


def test_a_new_password_ends_the_channel_and_the_tickets(console):
    a = console()
    id, token = a.person("ann")

    async def run():
        async with Reader(a.server, {"type": "hello", "ticket": ticket(a, token)}) as reader, \
                Reader(a.server, {"type": "hello"}) as nobody:
            await reader.until("ready")
            await nobody.until("ready")
            left = ticket(a, token)
            assert a.call("PUT", "/api/auth/password", {"old_password": PASSWORD, "new_password": "Another12345"}, token).status == 200
            with pytest.raises(websockets.ConnectionClosed) as end:
                await reader.settle(10)
            assert end.value.code == 4010
            assert await closed(a.server, {"type": "hello", "ticket": left}) == 4002
            await nobody.settle()
            # And a ban does the same.
            token2 = a.login("ann", "Another12345").data["token"]
            async with Reader(a.server, {"type": "hello", "ticket": ticket(a, token2)}) as again:
                await again.until("ready")
                assert a.ban(id, reason="test").status == 200
                with pytest.raises(websockets.ConnectionClosed) as end:
                    await again.settle(10)
                assert end.value.code == 4010

    a.secrets.add("Another12345")
    asyncio.run(run())


def test_the_channel_ends_with_the_login(console):
    a = console()
    id, _ = a.person("ann")
    now = int(time.time())
    token = forge({"userId": id, "username": "ann", "isAdmin": False, "ver": 0, "iat": now, "exp": now + 4})

    async def run():
        async with Reader(a.server, {"type": "hello", "ticket": ticket(a, token)}) as reader:
            await reader.until("ready")
            assert reader.user["id"] == id
            with pytest.raises(websockets.ConnectionClosed) as end:
                await reader.settle(20)
            assert end.value.code == 4010 and time.time() >= now + 4
        # A ticket that was got for it ends with it too.
        late = ticket(a, forge({"userId": id, "username": "ann", "isAdmin": False, "ver": 0, "iat": now, "exp": int(time.time()) + 2}))
        time.sleep(2.5)
        assert await closed(a.server, {"type": "hello", "ticket": late}) == 4010

    asyncio.run(run())


def test_another_secret_ends_channels_and_tickets(console):
    """jwt_secret is changed where tokens may have leaked."""
    a = console()
    _, token = a.person("ann")
    _, key_text = a.key(token)

    async def run():
        link = await machine(a.server, key_text, "m1")  # came with a key, which is still good
        async with Reader(a.server, {"type": "hello", "ticket": ticket(a, token)}) as reader, Reader(a.server, {"type": "hello"}) as nobody:
            await reader.until("ready")
            await nobody.until("ready")
            left = ticket(a, token)
            a.secret = "another-jwt-secret-0123456789-abcdefgh"
            a.secrets.add(a.secret)
            a.server.reload(a.server.text(a.plugins()))
            with pytest.raises(websockets.ConnectionClosed) as end:
                await reader.settle(10)
            assert end.value.code == 4010
            assert await closed(a.server, {"type": "hello", "ticket": left}) == 4002
            await report(link, 1, zoo={"lions": 1})
            await link.ping()
            assert link.open
            await nobody.settle()
        await link.close()

    asyncio.run(run())


def test_a_password_of_another_program_ends_the_channel_though_its_owner_logs_in_here(console):
    """musterd --add-admin, while somebody else is in; the look for such changes comes later than the login."""
    a = console(options="watch_every = 60.0;")

    async def run():
        async with Reader(a.server, {"type": "hello", "ticket": ticket(a, a.token)}) as reader:
            await reader.until("ready")
            password = password_of(add_admin(a, "admin", port=a.server.port))
            a.secrets.add(password)
            assert a.me(a.login("admin", password).data["token"]).status == 200
            with pytest.raises(websockets.ConnectionClosed) as end:
                await reader.settle(10)
            assert end.value.code == 4010

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("what", ("ban", "password"))
def test_no_ticket_slips_past_a_ban(console, what):
    """Requests that were judged already, and wait for their turn, are asked nothing more when the ban comes."""
    a = console()
    for n in range(6 if SANITIZED else 12):
        id, token = a.person(f"user{n}")
        got, ended = [], threading.Event()

        def hammer(source):
            while not ended.is_set():
                answer = a.call("POST", "/api/console/ticket", {}, token, source=source)
                if answer.status != 200:
                    return
                got.append(answer.json["ticket"])

        threads = [threading.Thread(target=hammer, args=(f"127.{n + 1}.0.{i + 1}",)) for i in range(16)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(got) > 20)
        if what == "ban":
            assert a.ban(id, reason="test").status == 200
        else:
            assert a.call("PUT", "/api/auth/password", {"old_password": PASSWORD, "new_password": "Another12345"}, token).status == 200
        time.sleep(0.05)
        ended.set()
        for thread in threads:
            thread.join()
        outcomes = {asyncio.run(outcome(a.server, {"type": "hello", "ticket": each})) for each in got[-8:]}
        assert outcomes == {4002}, (n, outcomes)
    a.secrets.add("Another12345")


# ---- who may watch --------------------------------------------------------------------------------


def token_server(server, options):
    return server(plugins=static_plugins(console=False) + [f'{{ name = "console"; config = {{ {options} }}; }}'])


def test_a_browser_says_its_token_first(server):
    s = token_server(server, 'token = "' + TOKEN.replace('"', '\\"') + '";')
    origin = {"origin": s.http}

    async def run():
        async with Reader(s, {"type": "hello", "token": TOKEN}, **origin) as reader:
            assert (await reader.next())["user"] is None
            await reader.until("ready")
        for wrong in ({"type": "hello"}, {"type": "hello", "token": "wrong"}, {"type": "hello", "token": None}, {"type": "hello", "ticket": TOKEN}):
            assert await closed(s, wrong, **origin) == 4002, wrong
        began = time.monotonic()
        assert await closed(s, {"type": "other"}, **origin) == 4001 and 4 < time.monotonic() - began < 9
        for scheme in ("Bearer", "bearer"):
            async with Reader(s, {"type": "hello"}, extra_headers={"Authorization": f"{scheme} {TOKEN}"}) as reader:
                await reader.until("ready")

    asyncio.run(run())
    assert TOKEN not in s.log


def test_without_a_login_nothing(console):
    a = console(console="public_status = false;")
    _, token = a.person("ann")
    assert a.call("GET", "/api/console/site").json["status"] == "login"

    async def run():
        assert await closed(a.server, {"type": "hello"}) == 4002
        assert await closed(a.server, {"type": "hello"}, origin=a.server.http) == 4002
        assert await closed(a.server, None) == 4001
        async with Reader(a.server, {"type": "hello", "ticket": ticket(a, token)}) as reader:
            await reader.until("ready")

    asyncio.run(run())


def test_a_foreign_page_is_refused(server):
    s = server()
    for origin in ("http://evil.example", "null", s.http + ".evil.example", "http://127.0.0.1:1"):
        with pytest.raises(websockets.InvalidStatusCode) as refused:
            asyncio.run(closed(s, {"type": "hello"}, origin=origin))
        assert refused.value.status_code == 403


# ---- differences ----------------------------------------------------------------------------------


def test_only_what_changed_is_sent(server):
    s = server(entry("demo"), entry("other"))

    async def run():
        async with websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers("demo")) as link, \
                Reader(s, {"type": "hello"}) as reader, Reader(s) as old:
            await reader.until("ready")
            await old.until("ready")
            await link.send(json.dumps(documented("demo")))
            while not any(machine["metrics"] for machine in reader.machines.values()):
                await reader.next()
            await reader.settle()
            first = len(reader.heard)
            report = documented("demo")
            report["cpu"]["percent"] = 77.25
            await link.send(json.dumps(report))
            change = await reader.until("change")
            key = change["key"]
            assert change["m"]["metrics"] == {"cpu": {"percent": 77.25}} and abs(change["t"] - time.time() * 1000) < 60000
            assert set(change["m"]) <= {"metrics", "lastSeen"} and len(json.dumps(change)) < 200
            assert [m["type"] for m in reader.heard[first:]] == ["change"]
            report["metrics"] = {"zoo": {"lions": 3, "tigers": 4}}
            await link.send(json.dumps(report))
            assert (await reader.until("change"))["m"]["metrics"] == {"zoo": {"lions": 3, "tigers": 4}}
            report["metrics"] = {"zoo": {"lions": 3}}
            await link.send(json.dumps(report))
            assert (await reader.until("change"))["m"]["metrics"] == {"zoo": {"tigers": None}}
            del report["metrics"]
            await link.send(json.dumps(report))
            assert (await reader.until("change"))["m"]["metrics"] == {"zoo": None}
            # What was put together is what one who comes now is told.
            async with Reader(s, {"type": "hello"}) as late:
                await late.until("ready")
                await agree(reader, late)
                assert reader.machines == late.machines and set(late.machines) > {key}
            # One that never said hello gets it whole, as ever.
            await old.settle()
            assert "change" not in {m["type"] for m in old.heard} and old.machines == reader.machines

    asyncio.run(run())


@pytest.mark.slow
def test_who_does_not_read_gets_whole_machines_again(server):
    """A reader that sleeps through hundreds of reports has, when it wakes, what everybody has."""
    machines = [f"m-{n:02d}" for n in range(20)]
    s = server(*(entry(id) for id in machines))

    async def run():
        links = {id: await websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers(id)) for id in machines}
        async with Reader(s, {"type": "hello"}) as awake:
            await awake.until("ready")
            sleeper = await websockets.connect(s.ws + "/api/console/live", close_timeout=1, max_size=None, max_queue=1, read_limit=1024)
            await sleeper.send(json.dumps({"type": "hello"}))
            chance = random.Random(1)
            for n in range(150):
                for id, link in links.items():
                    await link.send(json.dumps(documented(id, metrics={"zoo": {f"x{chance.randint(0, 9)}": n, "pad": "p" * 2000 + str(n)}})))
                await asyncio.sleep(0)
                if n % 10 == 0:
                    await awake.settle(0.01)
            await awake.settle(1)
            late = Reader(s, {"type": "hello"})
            late.link = sleeper
            await late.settle(2)
            await agree(awake, late)
            kinds = [m["type"] for m in late.heard]
            assert kinds.count("machine") > 20, "it never was behind: the test proves nothing"
            assert len(late.heard) < 150 * 20 and late.machines == awake.machines
            await sleeper.close()
        for link in links.values():
            await link.close()

    asyncio.run(run())


@pytest.mark.slow
def test_who_comes_while_everything_changes_knows_what_everybody_knows(server):
    """What there is at the beginning is told in slices: what changes between them is neither lost nor told twice over."""
    machines = [f"m-{n:03d}" for n in range(300)]
    s = server(*(entry(id) for id in machines))

    async def run():
        links = {id: await websockets.connect(s.ws + "/ws-report", extra_headers=agent_headers(id)) for id in machines}
        ended = False

        async def change():
            chance, n = random.Random(2), 0
            while not ended:
                id, n = chance.choice(machines), n + 1
                await links[id].send(json.dumps(documented(id, metrics={"zoo": {f"x{n % 7}": n, "pad": "p" * 500}})))
                if n % 20 == 0:
                    await asyncio.sleep(0.001)

        async def come(after):
            await asyncio.sleep(after)
            reader = await Reader(s, {"type": "hello"}).__aenter__()
            await reader.until("ready", 60)
            return reader

        busy = asyncio.create_task(change())
        readers = await asyncio.gather(*(come(0.02 * n) for n in range(12)))
        ended = True
        await busy
        await agree(*readers)
        assert [m["type"] for m in readers[-1].heard].count("change") + [m["type"] for m in readers[0].heard].count("change") > 0
        for reader in readers:
            assert len(reader.machines) == len(machines) and reader.machines == readers[0].machines
            await reader.__aexit__()
        for link in links.values():
            await link.close()

    asyncio.run(run())


# ---- who sees what --------------------------------------------------------------------------------


@pytest.mark.slow
def test_everybody_sees_just_what_is_theirs(console):
    """Random users, machines, visibility and life against an oracle; nobody is ever told of what they may not see."""
    rounds = 40 if SANITIZED else 120
    servers = ", ".join(entry(f"op{n}", **({} if n % 2 else {"public": False})) for n in range(3))
    a = console(more=[f'{{ name = "auth_static"; config = {{ servers = ( {servers} ); users = ( {{ id = "1"; name = "Same id"; api_keys = [ "the-key-of-static-0123" ]; }} ); }}; }}',
                      '{ name = "server_status"; }'])
    users = {}
    for name in ("ann", "bob"):
        id, token = a.person(name)
        users[name] = {"id": id, "token": token, "key": a.key(token)[1]}
    chance = random.Random(20261121)

    async def run():
        def hello(token):
            return {"type": "hello", "ticket": ticket(a, token)} if token else {"type": "hello"}

        readers = {name: await Reader(a.server, hello(token)).__aenter__()
                   for name, token in (("ann", users["ann"]["token"]), ("bob", users["bob"]["token"]), ("admin", a.token), ("nobody", None))}
        readers["old"] = await Reader(a.server).__aenter__()
        for reader in readers.values():
            await reader.until("ready")
        keys = {"ann": users["ann"]["key"], "bob": users["bob"]["key"], "admin": a.key(a.token)[1], "static": "the-key-of-static-0123"}
        machines, links, seq = {}, {}, 0  # (owner, id) → public
        for _ in range(rounds):
            owner, id = chance.choice(list(keys)), f"m{chance.randint(0, 3)}"
            act, this = chance.random(), (owner, f"{owner}-{id}")
            if this not in machines:
                machines[this] = chance.random() < 0.5
                links[this] = await machine(a.server, keys[owner], this[1], public=machines[this])
            elif act < 0.5:
                machines[this] = not machines[this]
                await links[this].send(json.dumps({"type": "system_info", "public": machines[this]}))
            else:
                seq += 1
                await report(links[this], seq, zoo={"secret of": owner, "n": seq})
            if chance.random() < 0.15:  # somebody comes anew
                name = chance.choice(["ann", "bob", "admin", "nobody"])
                await readers[name].__aexit__()
                token = {"ann": users["ann"]["token"], "bob": users["bob"]["token"], "admin": a.token, "nobody": None}[name]
                heard = readers[name].heard
                readers[name] = await Reader(a.server, hello(token)).__aenter__()
                readers[name].heard = heard
                await readers[name].until("ready")
        await asyncio.sleep(0.5)
        for name, reader in readers.items():
            await reader.settle(1)
            expected = {id for (owner, id), public in machines.items() if public or owner == name}
            expected |= {f"op{n}" for n in range(3) if n % 2 or name == "admin"}
            assert reader.ids() == expected, name
        # Nobody was ever told a word of a machine that was private all along.
        for name, reader in readers.items():
            for message in reader.heard:
                if message["type"] != "machine":
                    continue
                if not message["public"]:
                    assert message["id"].startswith("op") if name == "admin" and not message["owner"] else message["id"].startswith(name + "-"), (name, message)
            assert "203.0.113.77" not in json.dumps(reader.heard)
        for link in links.values():
            await link.close()
        for reader in readers.values():
            await reader.__aexit__()
        return machines, users

    machines, users = asyncio.run(run())
    assert len(machines) > 8 and {True, False} == set(machines.values())
    # The history says the same: found by the same keys, and 404 for everybody else.
    asyncio.run(histories(a, users))


async def histories(a, users):
    async with Reader(a.server, {"type": "hello", "ticket": ticket(a, users["ann"]["token"])}) as reader:
        await reader.until("ready")
        private = [key for key, m in reader.machines.items() if not m["public"]]
        public = [key for key, m in reader.machines.items() if m["public"]]
    assert private and public
    for key in private:
        path = f"/api/console/machines/{key}/history"
        assert a.call("GET", path, token=users["ann"]["token"]).status == 200
        for token in (None, users["bob"]["token"], a.token):
            answer = a.call("GET", path, token=token)
            unknown = a.call("GET", "/api/console/machines/18446744073709551615/history", token=token)
            assert (answer.status, answer.code) == (unknown.status, unknown.code) == (404, "MACHINE_NOT_FOUND")
    for key in public:
        assert a.call("GET", f"/api/console/machines/{key}/history").status == 200
