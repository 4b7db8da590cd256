# SPDX-License-Identifier: ISC
"""The console's API: what is there, the last hour, plugins, the configuration without its secrets; and how its files are served."""
import asyncio
import gzip
import http.client
import json
import os
import re
import subprocess
import time
from types import SimpleNamespace

import pytest

from conftest import BUILD, ROOT, eventually, free_port, get, static_plugins
from consoles import Reader, ask, console, machine, report, ticket  # noqa: F401
from described import Description


# ---- what there is --------------------------------------------------------------------------------


def test_the_site_says_what_is_missing(server, console):
    s = server()
    site = get(s.http + "/api/console/site")
    assert site["status"] == "open" and site["login"] is False and site["version"] and site["name"] and site["agent_url"] == ""
    assert site["pages"] == {"status": True, "plugins": True, "history": "ring", "relay": False, "accounts": False, "join": False}
    assert site["missing"] == {"relay": "relay", "accounts": "auth_accounts", "join": "session"}
    # These three alone serve the public status.
    bare = server(plugins=['{ name = "auth_static"; }', '{ name = "machines"; }', '{ name = "console"; }'])
    assert get(bare.http + "/api/console/site") == site
    a = console(console='agent_url = "wss://muster.example.org:5000/"; history_machines = 0;', more=['{ name = "relay"; config = { websocket_base_url = "ws://localhost:1"; }; }'])
    site = a.call("GET", "/api/console/site").json
    assert site["login"] is True and site["missing"] == {} and site["agent_url"] == "wss://muster.example.org:5000/"
    assert site["pages"] == {"status": True, "plugins": True, "history": "", "relay": True, "accounts": True, "join": True}


def test_answers_are_as_they_are_described(console):
    a = console()
    _, token = a.person("ann")
    description = Description(a.call("GET", "/api/openapi.json").json)
    for method, path, who in (("GET", "/api/console/site", None), ("POST", "/api/console/ticket", token), ("POST", "/api/console/ticket", None),
                              ("GET", "/api/console/plugins", a.token), ("GET", "/api/console/plugins", token), ("GET", "/api/console/config", a.token),
                              ("GET", "/api/console/config", None), ("GET", "/api/console/machines/1/history", None)):
        answer = a.call(method, path, {} if method == "POST" else None, who)
        description.judge(method, path, answer)
        assert answer.status in (200, 401, 403, 404)
    assert len({key[:2] for key in description.seen}) == 5


@pytest.mark.parametrize("options, word", [('agent_url = "http://x/";', "agent_url"), ('agent_url = "wss://u:p@x/";', "agent_url"), ("history_machines = -1;", "history_machines")])
def test_wrong_options(tmp_path, options, word):
    conf = tmp_path / "server.conf"
    conf.write_text('listen = ( { port = 0; } ); plugins = ( { name = "machines"; }, { name = "console"; config = { ' + options + " }; } );")
    conf.chmod(0o600)
    done = subprocess.run([BUILD / "bin/musterd", "-c", conf, "--check-config"], capture_output=True, text=True)
    assert done.returncode == 78 and word in done.stderr, done.stderr


# ---- the last hour --------------------------------------------------------------------------------


def history(a, key, token=None, **query):
    return a.call("GET", f"/api/console/machines/{key}/history?" + "&".join(f"{k}={v}" for k, v in query.items()), token=token)


def test_the_last_hour(console):
    a = console()
    _, token = a.person("ann")
    _, key_text = a.key(token)

    async def run():
        link = await machine(a.server, key_text, "m1", public=True)
        async with Reader(a.server, {"type": "hello"}) as reader:
            await reader.until("ready")
            for seq in range(1, 4):
                await report(link, seq, cpu={"percent": 10.5, "cores": 4}, disk={"disks": [{"path": "/srv", "used_percent": 40}]}, zoo={"lions": seq})
            await reader.settle()
            key, = reader.machines
        begun = time.time() * 1000
        answer = history(a, key).json
        assert answer["source"] == "ring" and answer["retention_ms"] == 3600000 and answer["step_ms"] == 10000 and answer["left_out"] == 0
        assert len(answer["t"]) == 360 and begun - 11000 < answer["t"][-1] <= begun + 1000 and answer["t"][0] == answer["from"] == answer["t"][-1] - 359 * 10000
        names = [series["name"] for series in answer["series"]]
        assert set(names) == {"cpu.percent", "disk.disks[/srv].used_percent", "zoo.lions"} and len(answer["v"]) == 3
        units = dict((series["name"], series["unit"]) for series in answer["series"])
        assert units["cpu.percent"] == "%" and units["zoo.lions"] == ""
        values = answer["v"][names.index("cpu.percent")]
        assert len(values) == 360 and values.count(None) >= 358 and {v for v in values if v is not None} == {10.5}
        # Fewer points are means of whole steps; the same moments whenever one asks.
        few = history(a, key, points=7).json
        assert len(few["t"]) <= 7 and few["step_ms"] % 10000 == 0 and any(v is not None for v in few["v"][0])
        one = history(a, key, **{"from": answer["t"][-1], "to": answer["t"][-1]}).json
        assert len(one["t"]) == 1
        past = history(a, key, **{"from": 1000, "to": 2000}).json
        assert past["t"] == [] and all(v == [] for v in past["v"])
        for wrong in ({"points": 0}, {"points": 1001}, {"points": "x"}, {"from": -1}, {"from": 2000, "to": 1000}, {"to": "1e99"}, {"points": 1.5}):
            refused = history(a, key, **wrong)
            assert (refused.status, refused.code) == (400, "VALIDATION_ERROR"), wrong
        for odd in ("0", "-1", "1x", "x", "18446744073709551616", "99999999999999999999999999", "%00", "1%2F2"):
            assert history(a, odd).status == 404 or odd == "%00", odd
        # Nobody's history without the right to see the machine; wrong tokens are wrong everywhere.
        assert history(a, key, token="no.such.token").status == 401
        await link.send(json.dumps({"type": "system_info", "public": False}))
        eventually(lambda: history(a, key).status == 404)
        assert history(a, key, token=token).status == 200 and history(a, key, token=a.token).status == 404
        await link.close()

    asyncio.run(run())


def test_rest_is_the_same_beside_the_pages(console):
    """The pages claim every path, but not what is REST's: released clients end theirs with a slash."""
    a = console()
    _, token = a.person("ann")
    assert a.call("GET", "/api/auth/me/", token=token).status == a.call("GET", "/api/auth/me", token=token).status == 200
    assert a.call("GET", "/api/console/site/").json == a.call("GET", "/api/console/site").json
    for path in ("/api/nothing", "/api/nothing/"):
        answer = a.call("GET", path)
        assert (answer.status, answer.code) == (404, "NOT_FOUND"), path


def test_what_is_no_page_runs_nothing(console):
    a = console()
    _, token = a.person("ann")
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "http://evil.example"}
    for status, method, path, how in ((200, "GET", "/api/console/site", {}), (401, "GET", "/api/auth/me", {}), (403, "GET", "/api/console/plugins", {"token": token}),
                                      (404, "GET", "/nothing", {}), (404, "GET", "/api/nothing", {}), (405, "DELETE", "/api/console/site", {}),
                                      (204, "OPTIONS", "/api/console/site", {}), (400, "POST", "/api/auth/login", {"body": {}}), (403, "GET", "/api/console/live", {"headers": upgrade})):
        answer = a.call(method, path, **how)
        assert answer.status == status, (path, answer.status)
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'", (status, path)
        assert answer.headers["referrer-policy"] == "no-referrer" and answer.headers["x-content-type-options"] == "nosniff" and "no-store" in answer.headers["cache-control"]


def test_as_many_machines_as_allowed(console):
    a = console(console="history_machines = 1;")
    _, token = a.person("ann")
    _, key_text = a.key(token)

    async def run():
        links = [await machine(a.server, key_text, id, public=True) for id in ("m1", "m2")]
        async with Reader(a.server, {"type": "hello"}) as reader:
            for n, link in enumerate(links):
                await report(link, 1, zoo={"lions": n})
                await reader.settle()
            found = [len(history(a, key).json["series"]) for key in sorted(reader.machines, key=lambda k: reader.machines[k]["id"])]
        assert found == [1, 0]
        for link in links:
            await link.close()

    asyncio.run(run())
    assert get(a.server.http + "/test/counters")["console.history_left_out"] == 1


def test_one_user_leaves_room_for_the_past_of_others(console):
    a = console(console="history_machines = 4;")
    keys = {}
    for name in ("ann", "bob"):
        _, token = a.person(name)
        keys[name] = a.key(token)[1]

    async def run():
        links = {id: await machine(a.server, keys["ann"], id, public=True) for id in ("a1", "a2", "a3", "a4")}
        links |= {id: await machine(a.server, keys["bob"], id, public=True) for id in ("b1", "b2", "b3")}
        for seq in range(1, 4):  # room is not looked for at each report, and of two that a held server hears at once only for one
            for id, link in links.items():
                await report(link, seq, zoo={"lions": 1})
                await asyncio.sleep(0.05)
        async with Reader(a.server, {"type": "hello"}) as reader:
            await reader.until("ready")
            await reader.settle()
            kept = [m["id"] for key, m in reader.machines.items() if history(a, key).json["series"]]
        assert sorted(id[0] for id in kept) == ["a", "a", "b", "b"], kept
        for link in links.values():
            await link.close()

    asyncio.run(run())


def test_what_was_private_stays_its_owners(console):
    a = console()
    _, token = a.person("ann")
    _, key_text = a.key(token)

    async def run():
        link = await machine(a.server, key_text, "m1", public=False)
        await report(link, 1, zoo={"lions": 7})
        async with Reader(a.server, {"type": "hello", "ticket": ticket(a, token)}) as reader:
            await reader.until("ready")
            await reader.settle()
            key, = reader.machines
            assert [v for v in history(a, key, token=token).json["v"][0] if v is not None] == [7]
            await link.send(json.dumps({"type": "system_info", "public": True}))
            eventually(lambda: history(a, key).status == 200)
            assert all(v is None for column in history(a, key).json["v"] for v in column)
            assert [v for v in history(a, key, token=token).json["v"][0] if v is not None] == [7]
        await link.close()

    asyncio.run(run())


@pytest.mark.parametrize("options, why", [
    ('token = "sesame";', "console.token: shorter than 16 characters"),
    ('agent_url = "wss://agents.example/?key=abc";', "console.agent_url: it must have no"),
    ('agent_url = "wss://user@agents.example/";', "console.agent_url: it must have no"),
    ('agent_url = "https://agents.example/";', "console.agent_url: it must begin with"),
])
def test_what_everybody_would_be_shown_or_guess_is_refused(tmp_path, options, why):
    (tmp_path / "musterd.conf").write_text(f'plugins = ( {{ name = "machines"; }}, {{ name = "console"; config = {{ {options} }}; }} );\n')
    done = subprocess.run([BUILD / "bin/musterd", "-c", tmp_path / "musterd.conf", "--check-config"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 78 and why.split(": ", 1)[1] in done.stderr and why.split(".")[1].split(":")[0] in done.stderr, done.stderr
    assert "sesame" not in done.stderr


def test_with_a_token_of_the_page(server):
    token = "a-token-for-pages-0123"
    s = server(plugins=static_plugins(console=False) + [f'{{ name = "console"; config = {{ token = "{token}"; }}; }}'])
    assert get(s.http + "/api/console/site")["status"] == "token"

    async def key():
        async with Reader(s, {"type": "hello", "token": token}, origin=s.http) as reader:
            await reader.until("ready")
            return list(reader.machines)[0]

    path = f"/api/console/machines/{asyncio.run(key())}/history"
    assert ask(s, path)[0] == 401 and ask(s, path, {"Authorization": "Bearer wrong"})[0] == 401
    assert ask(s, path, {"Authorization": f"Bearer {token}"})[0] == 200


def test_a_past_that_is_stored(console):
    """With history/1 it is asked, as far back as that goes, and the last hour is not kept twice."""
    a = console(more=['{ name = "past"; }'])
    _, token = a.person("ann")
    _, key_text = a.key(token)
    ids = ("m1", "late-1", "broken-1", "refused-1", "never-1")
    assert a.call("GET", "/api/console/site").json["pages"]["history"] == "store"

    async def run():
        links = {id: await machine(a.server, key_text, id, public=True) for id in ids}
        async with Reader(a.server, {"type": "hello"}) as reader:
            await reader.until("ready")
            await reader.settle()
            return links, {m["id"]: key for key, m in reader.machines.items()}

    links, keys = asyncio.run(run())
    day, end = 86400000, int(time.time() * 1000)
    for id in ("m1", "late-1"):
        # Whose links are gone is asked for all the same; who is not signed in sees what a machine did since it is public.
        answer = history(a, keys[id], token=token, **{"from": end - 2 * day, "to": end, "points": 100}).json
        assert answer["source"] == "store" and answer["retention_ms"] == 30 * day and answer["left_out"] == 0
        assert answer["series"] == [{"name": "cpu.percent", "unit": "%"}, {"name": "disk.disks[/].used", "unit": "B"}]
        assert 90 <= len(answer["t"]) <= 100 and answer["t"][1] - answer["t"][0] == answer["step_ms"] and answer["from"] <= end - 2 * day
        assert answer["v"][0][:6] == [1, 2, None, 4, 5, None] and set(answer["v"][1]) == {answer["step_ms"]}
        assert len(answer["v"][0]) == len(answer["v"][1]) == len(answer["t"])
    far = history(a, keys["m1"], token=token, **{"from": end - 400 * day, "to": end - 300 * day}).json
    assert far["t"] == [] and far["source"] == "store"
    for id in ("broken-1", "refused-1"):
        refused = history(a, keys[id], token=token)
        assert (refused.status, refused.code) == (503, "SERVICE_UNAVAILABLE") and refused.headers["retry-after"]
    # One that never answers holds nobody up, neither the end of the server.
    connection = http.client.HTTPConnection("127.0.0.1", a.server.port, timeout=30)
    connection.request("GET", f"/api/console/machines/{keys['never-1']}/history", headers={"Authorization": f"Bearer {token}"})
    assert history(a, keys["m1"], token=token).status == 200
    # It is taken out at run time: from then on the last hour is kept here.
    a.more = [each for each in a.more if '"past"' not in each]
    a.server.reload(a.server.text(a.plugins()))
    eventually(lambda: a.call("GET", "/api/console/site").json["pages"]["history"] == "ring")
    assert history(a, keys["m1"], token=token).json["source"] == "ring"
    connection.close()


# ---- plugins and configuration --------------------------------------------------------------------


def test_plugins_and_how_they_do(console):
    a = console(more=['{ name = "init_error"; }', '{ name = "example"; instance = "second"; }'])
    _, token = a.person("ann")
    assert a.call("GET", "/api/console/site").status == 200
    assert a.call("GET", "/api/console/plugins").status == 401 and a.call("GET", "/api/console/plugins", token=token).status == 403
    listed = {p["instance"]: p for p in a.call("GET", "/api/console/plugins", token=a.token).json}
    assert {"store_sqlite", "auth_accounts", "machines", "session", "console", "init_error", "second"} <= set(listed)
    assert listed["init_error"]["state"] == "failed" and listed["init_error"]["version"] == "" and listed["second"]["plugin"] == "example"
    own = listed["console"]
    assert own["state"] == "running" and own["kind"] == "server" and "machines/1" in own["needs"] and own["file"].endswith("/console.so") and own["licence"] == "ISC"
    assert listed["machines"]["provides"] == ["machines/1"] and "pages_refused" in own["counters"]
    calls = {c["name"]: c for c in own["callbacks"]}
    assert calls["init"]["calls"] == 1 and calls["http"]["calls"] >= 1 and calls["init"]["max_us"] >= calls["init"]["p99_us"] >= 0
    before = calls["http"]["calls"]
    a.call("GET", "/api/console/site")
    now = {p["instance"]: p for p in a.call("GET", "/api/console/plugins", token=a.token).json}["console"]
    assert {c["name"]: c for c in now["callbacks"]}["http"]["calls"] >= before + 2
    # After a reload that takes one out, it is gone.
    a.more = [m for m in a.more if "init_error" not in m and "second" not in m]
    a.server.reload(a.server.text(a.plugins()))
    eventually(lambda: not {"init_error", "second"} & {p["instance"] for p in a.call("GET", "/api/console/plugins", token=a.token).json})


def test_what_people_do_wrong_is_no_error_of_a_plugin(console):
    """A refused password is counted as a refused login; the administrator's page shows errors of plugins in red."""
    a = console()
    a.person("ann")
    for password in ("Wrong-password-1", "Wrong-password-2"):
        assert a.call("POST", "/api/auth/login", {"username": "ann", "password": password}).status == 401
    assert a.call("POST", "/api/auth/login", {"username": "nobody_here", "password": "Wrong-password-1"}).status == 401
    own = {p["instance"]: p for p in a.call("GET", "/api/console/plugins", token=a.token).json}["auth_accounts"]
    assert own["counters"]["logins_refused"] >= 3
    assert {c["name"]: c["errors"] for c in own["callbacks"] if c["errors"]} == {}
    assert {c["name"]: c for c in own["callbacks"]}["job"]["calls"] >= 3  # they were compared


def texts(value):
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def test_the_configuration_without_its_secrets(console, tmp_path):
    canaries = [f"canary-{word}-0123456789abcdef0123456789abcdef" for word in ("page", "jwt", "file", "key", "env")]
    (tmp_path / "secret").write_text(canaries[2] + "\n")
    (tmp_path / "secret").chmod(0o600)
    os.environ["CANARY_GROUP"] = canaries[4]
    try:
        a = console(console=f'token = "{canaries[0]}";', more=[
            f'{{ name = "auth_static"; config = {{ servers = ( {{ id = "x"; group = "env:CANARY_GROUP"; secret = "file:{tmp_path}/secret"; }} ); '
            f'users = ( {{ id = "u"; api_keys = [ "{canaries[3]}" ]; }} ); }}; }}'])
    finally:
        del os.environ["CANARY_GROUP"]
    _, token = a.person("ann")
    assert a.call("GET", "/api/console/config").status == 401 and a.call("GET", "/api/console/config", token=token).status == 403
    answer = a.call("GET", "/api/console/config", token=a.token)
    for secret in (*canaries, *a.secrets):
        assert secret not in answer.text, secret[:12]
    config = answer.json
    assert config["program"]["listen"][0]["port"] == a.server.port
    plugins = {p["instance"]: p["config"] for p in config["plugins"]}
    assert plugins["console"] == {"page": "", "token": "(hidden)", "public_status": True, "agent_url": "", "history_machines": 1000}
    server, = plugins["auth_static"]["servers"]
    assert (server["id"], server["group"], server["secret"]) == ("x", "(hidden)", "(hidden)")
    assert plugins["auth_accounts"]["jwt_secret"] == "(hidden)" and plugins["session"]["jwt_secret"] == "(hidden)"
    assert plugins["store_sqlite"]["path"].endswith("muster.db")


SHIPPED = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/CMakeLists.txt") if path.parent.name != "collectors")


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("program", ["musterd", "muster-agent"])
def test_every_option_that_holds_a_secret_says_so(name, program):
    """What is hidden is what the tables call secret: so no table may forget it."""
    told = subprocess.run([BUILD / "bin" / program, "-c", "/dev/null", "--describe", name], capture_output=True, text=True)
    if told.returncode != 0:
        told = subprocess.run([BUILD / "bin" / program, "--describe", name], capture_output=True, text=True, cwd="/")
    assert told.returncode == 0, told.stderr
    options = re.findall(r"^ +([a-z0-9_]+): ([^\n]*)$", told.stdout, re.M)
    for option, kind in options:
        if "string" in kind and re.search(r"secret|password|token$|api_?key|^key$|^keys$|private", option) and not re.search(r"file$|_days$|_header$", option):
            assert "secret" in kind, f"{name}: {option} is not marked as secret: {kind}"


# ---- files ----------------------------------------------------------------------------------------


HASHED = "app-0123456789abcdef.js"


@pytest.fixture
def pages(server, tmp_path):
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>x</title>")
    (folder / HASHED).write_text("console.log(1)\n" * 50)
    (folder / (HASHED + ".gz")).write_bytes(gzip.compress(b"console.log(1)\n" * 50))
    (folder / (HASHED + ".br")).write_bytes(b"this stands for brotli")
    (folder / "status-overview.js").write_text("1")
    (folder / "app-0123456789abcdeg.js").write_text("1")
    return server(plugins=static_plugins(console=False) + [f'{{ name = "console"; config = {{ page = "{folder}"; }}; }}'])


@pytest.mark.parametrize("accepted, coding", [
    (None, None), ("", None), ("gzip", "gzip"), ("br", "br"), ("gzip, br", "br"), ("gzip, deflate, br, zstd", "br"), ("br;q=0.5, gzip;q=0.9", "gzip"), ("br;q=0, gzip", "gzip"),
    ("*", "br"), ("*;q=0", None), ("br;q=0, *", "gzip"), ("identity", None), ("BR", "br"), ("br ; q=1.000", "br"), ("br;q=1.001", None), ("br;q=x", None), ("brotli", None),
    ("gzip;q=0.001", "gzip"), (",,br,,", "br"), ("br;level=5", None), (";q=1", None), ("x" * 3000, None)])
def test_compressed_files(pages, accepted, coding):
    headers = {"Accept-Encoding": accepted} if accepted is not None else {"Accept-Encoding": ""}
    status, got, body = ask(pages, "/" + HASHED, headers)
    assert status == 200 and got.get("content-encoding") == coding and got["vary"] == "Accept-Encoding" and got["content-type"].startswith("text/javascript")
    assert got["cache-control"] == "public, max-age=31536000, immutable"
    plain = b"console.log(1)\n" * 50
    assert body == (plain if coding is None else b"this stands for brotli" if coding == "br" else body)
    assert coding != "gzip" or gzip.decompress(body) == plain
    # Each form has an ETag of its own, and HEAD says the same.
    assert ask(pages, "/" + HASHED, {**headers, "If-None-Match": got["etag"]})[0] == 304
    head = ask(pages, "/" + HASHED, headers, "HEAD")
    assert head[0] == 200 and head[1]["etag"] == got["etag"] and head[2] == b"" and int(head[1]["content-length"]) == len(body)


def test_what_browsers_may_keep_and_do(pages):
    status, got, _ = ask(pages, "/")
    assert status == 200 and got["cache-control"] == "no-cache" and got["etag"]
    for policy in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "object-src 'none'", "connect-src 'self'"):
        assert policy in got["content-security-policy"]
    assert "unsafe" not in got["content-security-policy"] and "data:" not in got["content-security-policy"]
    assert (got["x-content-type-options"], got["referrer-policy"], got["x-frame-options"]) == ("nosniff", "no-referrer", "DENY")
    assert got["cross-origin-opener-policy"] == got["cross-origin-resource-policy"] == "same-origin" and "camera=()" in got["permissions-policy"]
    for name in ("status-overview.js", "app-0123456789abcdeg.js"):  # no hash: asked for each time
        assert ask(pages, "/" + name)[1]["cache-control"] == "no-cache"


def test_without_pages_it_says_so(tmp_path, server):
    """A tree that was installed without web: programs and plugins, no share/muster/console."""
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/musterd").write_bytes((BUILD / "bin/musterd").read_bytes())
    (tree / "bin/musterd").chmod(0o755)
    (tree / "lib").symlink_to(BUILD / "lib")
    conf = tmp_path / "server.conf"
    port = free_port()
    conf.write_text(f'plugin_dirs = [ "{BUILD}/lib/muster/plugins" ]; listen = ( {{ port = {port}; }} ); plugins = ( {{ name = "machines"; }}, {{ name = "console"; }} );')
    conf.chmod(0o600)
    log = tmp_path / "log"
    process = subprocess.Popen([tree / "bin/musterd", "-c", conf], stderr=open(log, "w"), env={**os.environ, "LD_LIBRARY_PATH": str(BUILD / "lib")})
    try:
        eventually(lambda: "ready" in log.read_text())
        here = SimpleNamespace(port=port)
        status, got, body = ask(here, "/")
        assert status == 200 and b"without its web console" in body and b"npm" in body and "default-src 'self'" in got["content-security-policy"]
        assert json.loads(ask(here, "/api/console/site")[2])["status"] == "open"
        assert ask(here, "/nothing")[0] == 404
        assert "there are no pages" in log.read_text()
    finally:
        process.terminate()
        assert process.wait(10) == 0
