# SPDX-License-Identifier: ISC
"""Command lines and configurations, right and wrong."""
import http.server
import os
import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import BUILD, Program, ROOT, SECRET, entry, eventually, free_port, get, static_plugins

PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/CMakeLists.txt"))
COLLECTORS = sorted(path.parent.name for path in (ROOT / "plugins/collectors").glob("*/CMakeLists.txt")) + ["example"]
UPLINK = f'{{ name = "server_status"; config = {{ url = "ws://127.0.0.1:1/ws-report"; server_id = "demo"; secret = "{SECRET}"; }}; }}'
SECOND = UPLINK.replace("config", 'instance = "second"; config').replace("server_id", "serverid")


def run(program, *arguments, env=None, cwd=None, timeout=60):
    return subprocess.run([BUILD / "bin" / program, *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **(env or {})}, cwd=cwd)


def write(folder, text, name="server.conf"):
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
    return file


def check(file, program="musterd", env=None):
    """Exit status, and the problems as (file's name, line, text)."""
    result = run(program, "--check-config", "-c", file, env=env)
    found = re.findall(r"^(?:.*/)?([^/\n:]+):(\d+): error: (.*)$", result.stderr, re.M)
    assert "Sanitizer" not in result.stderr, result.stderr
    return result.returncode, [(name, int(line), text) for name, line, text in found], result.stderr


GOOD = f"""listen = (
  {{ address = "127.0.0.1"; port = 8900; }}
);
limits = {{
  max_connections = 100;
}};
plugins = (
  {{ name = "auth_static"; config = {{
      servers = (
        {{ id = "demo"; secret = "{SECRET}"; }}
      ); }}; }},
  {{ name = "machines"; }},
  {{ name = "server_status"; config = {{
      push = "report"; }}; }},
  {{ name = "console"; }}
);
"""

# What is replaced by what, the line and words of the one message.
BROKEN = {
    "unknown option": ("max_connections = 100", "max_connection = 100", 5, ["'limits.max_connection'|'max_connection'", "did you mean 'max_connections'"]),
    "unknown option at the top": ("limits = {", "limit = {", 4, ["unknown option 'limit'", "did you mean 'limits'"]),
    "wrong type": ("port = 8900", 'port = "8900"', 2, ["port", "expected an integer, found a string"]),
    "a group where a list belongs": ("plugins = (", "plugins = {};\nx = (", None, ["plugins", "expected a list of groups"]),
    "out of range": ("port = 8900", "port = 70000", 2, ["port", "70000 is out of range"]),
    "a number that would wrap": ("port = 8900", "port = 99999999999999999999", 2, ["99999999999999999999", "out of range"]),
    "a word that is none of those": ('push = "report"', 'push = "reports"', 14, ["server_status: ", "push", '"reports" is not one of', 'did you mean "report"']),
    "missing secret": (f' secret = "{SECRET}";', "", 10, ["auth_static: ", "secret", "missing|required"]),
    "missing name": ('{ name = "machines"; }', '{ required = true; }', 12, ["name", "missing|required"]),
    "empty secret": (f'secret = "{SECRET}"', 'secret = ""', 10, ["secret", "is empty"]),
    "set twice": ("max_connections = 100;", "max_connections = 100;\n  max_connections = 200;", 6, ["'max_connections' is already set at", ":5"]),
    "one id twice": ("      ); }; },", f'      , {entry("demo")} ); }}; }},', 11, ['"demo"', "already"]),
    "a variable that is not set": (f'"{SECRET}"', '"env:J_NOT_SET"', 10, ["J_NOT_SET", "not set"]),
    "a file that is not there": (f'"{SECRET}"', '"file:/nowhere/at/all"', 10, ["/nowhere/at/all", "No such file"]),
    "unknown plugin": ('"machines"', '"machine"', 12, ['plugin "machine" was not found', 'did you mean "machines"']),
    "one plugin twice": ('{ name = "console"; }', '{ name = "console"; }, { name = "console"; }', 15, ["console", "instance|twice|already"]),
    "an impossible name": ('"machines"', '"../machines"', 12, ["cannot be a plugin's name"]),
    "syntax": ("max_connections = 100;", "max_connections 100;", 5, ["syntax error"]),
    "an open bracket": ("  max_connections = 100;\n};", "  max_connections = 100;\n", 4, ["'{' is never closed"]),
    "an open text": ('"127.0.0.1"', '"127.0.0.1', 2, ["closing quote"]),
    "a missing include": ("limits = {", '@include "missing.conf"\nlimits = {', 4, ["missing.conf", "No such file"]),
    "no address": ('"127.0.0.1"', '"my.host"', 2, ['"my.host" is no numeric address']),
    "an unknown instance at a listener": ("port = 8900;", 'port = 8900; plugins = [ "consle" ];', 2, ["consle"]),
    "the same address twice": ("  { address", '  { address = "127.0.0.1"; port = 8900; },\n  { address', 3, ["8900", "twice"]),
    "TLS without a key": ("port = 8900;", 'port = 8900; tls = { certificate = "/nowhere.pem"; };', 2, ["key|certificate|nowhere"]),
    "a name of the agent": ("limits = {", "collectors = ( );\nlimits = {", 4, ["unknown option 'collectors'"]),
    "a token that is missing": ('push = "report"', 'frontend_access = "token"', 14, ["frontend_token"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_configuration_is_told_with_file_and_line(tmp_path, case):
    old, new, line, words = BROKEN[case]
    assert GOOD.count(old) >= 1
    status, problems, text = check(write(tmp_path, GOOD.replace(old, new, 1)))
    assert status == 78, text
    assert problems, text
    at = [p for p in problems if all(re.search("|".join(re.escape(w) for w in word.split("|")), p[2]) for word in words)]
    assert at, text
    assert at[0][0] == "server.conf" and (line is None or at[0][1] == line), text
    assert SECRET not in text


def test_the_good_one_is_good(tmp_path):
    status, problems, text = check(write(tmp_path, GOOD))
    assert (status, problems) == (0, []), text


def test_all_problems_are_reported_not_the_first(tmp_path):
    text = GOOD
    cases = ["unknown option", "wrong type", "a word that is none of those", "missing secret", "unknown plugin", "unknown option at the top"]
    lines = []
    for case in cases[:5]:
        old, new, line, _ = BROKEN[case]
        text = text.replace(old, new, 1)
        lines.append(line)
    write(tmp_path, 'workres = 3;\nplugins = ( { name = "consol"; } );\n', "conf.d/10-more.conf")
    status, problems, told = check(write(tmp_path, text))
    assert status == 78
    assert {("server.conf", line) for line in lines} | {("10-more.conf", 1), ("10-more.conf", 2)} <= {p[:2] for p in problems}, told


def test_a_broken_configuration_does_not_start(tmp_path):
    file = write(tmp_path, GOOD.replace("max_connections", "max_connection"))
    result = run("musterd", "-c", file)
    assert result.returncode == 78 and "server.conf:5" in result.stderr


@pytest.mark.parametrize("text, line, word", [
    (f'collectors = ( {{ name = "cpu"; intervall = 3.0; }} );\nuplinks = ( {UPLINK} );\n', 1, "interval"),
    (f'collectors = ( {{ name = "cpus"; }} );\nuplinks = ( {UPLINK} );\n', 1, 'did you mean "cpu"'),
    (f'uplinks = (\n {UPLINK.replace("ws://", "http://")} );\n', 2, "ws://"),
    (f'uplinks = (\n {SECOND} );\n', 2, "error: second: "),
    (f'uplinks = (\n {UPLINK.replace("server_id", "serverid")} );\n', 2, "server_id"),
    ('adaptive = "often";\n', 1, "often"),
    ('\nlisten = ( { port = 1; } );\n', 2, "unknown option 'listen'"),
    ('collectors = ( { name = "cpu"; interval = -1.0; } );\n', 1, "out of range"),
    ('collectors = ( { name = "cpu"; instance = "agent"; } );\n', 1, "agent"),
    ('collectors = ( { name = "console"; } );\n', 1, "console"),
])
def test_agents_configurations(tmp_path, text, line, word):
    status, problems, told = check(write(tmp_path, text, "agent.conf"), "muster-agent")
    assert status == 78 and ("agent.conf", line) in {p[:2] for p in problems} and word in told and SECRET not in told, told


def test_a_folder_with_both_programs_and_one_conf_d(tmp_path):
    """The shipped folder: what is the other program's is passed over, a slip in it is told by its owner alone."""
    server = write(tmp_path, GOOD)
    agent = write(tmp_path, f'collectors = ( {{ name = "cpu"; }} );\nuplinks = ( {UPLINK} );\n', "agent.conf")
    write(tmp_path, 'plugins = ( { name = "example"; } );\n', "conf.d/10-server.conf")
    write(tmp_path, 'collectors = ( { name = "example"; } );\nadaptive = "off";\n', "conf.d/20-agent.conf")
    write(tmp_path, 'plugins = ( { name = "example"; instance = "second"; } );\nlog = { level = "debug"; };\n', "conf.d/30-both.conf")
    assert check(agent, "muster-agent")[0] == 0
    assert check(server)[0] == 0
    write(tmp_path, 'collectors = ( { name = "exampel"; } );\n', "conf.d/20-agent.conf")
    assert check(server)[0] == 0
    status, problems, text = check(agent, "muster-agent")
    assert status == 78 and ("20-agent.conf", 1) in {p[:2] for p in problems}, text
    write(tmp_path, 'lsten = ( );\n', "conf.d/40-slip.conf")
    assert check(server)[0] == 78 and check(agent, "muster-agent")[0] == 78


def test_conf_d_appends_and_twice_is_an_error_naming_both(tmp_path):
    server = write(tmp_path, GOOD)
    write(tmp_path, 'plugins = ( { name = "example"; } );\n', "conf.d/a.conf")
    write(tmp_path, '# a remark\nlimits = { max_connections = 5; };\n', "conf.d/b.conf")
    status, problems, text = check(server)
    assert status == 78 and len(problems) == 1 and problems[0][:2] == ("b.conf", 2)
    assert "'limits' is already set at" in problems[0][2] and "server.conf:4" in problems[0][2]


@pytest.mark.parametrize("program, name", [("musterd", "server.conf"), ("muster-agent", "agent.conf")])
def test_every_shipped_configuration_passes(program, name):
    assert {f.name for f in (ROOT / "etc").glob("*.conf")} == {"server.conf", "server-accounts.conf", "agent.conf"}
    # What it takes from the environment: with values it is right, without one it says which.
    lines = (line for line in (ROOT / "etc" / name).read_text().splitlines() if not line.lstrip().startswith("#"))
    names = re.findall(r'"env:([A-Z_]+)"', "\n".join(lines))
    status, problems, text = check(ROOT / "etc" / name, program, {n: f"{n}-{SECRET}-{SECRET}" for n in names})
    assert (status, problems) == (0, []), text
    for empty in names:
        status, problems, text = check(ROOT / "etc" / name, program, {n: "" if n == empty else f"{n}-{SECRET}-{SECRET}" for n in names})
        assert status == 78 and "is empty" in text and empty in text, text


@pytest.mark.parametrize("name, plugins", [("relay", ""), ("session", '{ name = "auth_static"; config = { users = ( { id = "u1"; api_keys = [ "env:ANN_KEY" ]; } ); }; }, { name = "machines"; }')])
def test_files_to_switch_on_pass(tmp_path, name, plugins):
    """conf.d/NAME.conf.off, renamed, beside a server.conf with what it says it needs."""
    assert {f.name for f in (ROOT / "etc/conf.d").glob("*.off")} == {"relay.conf.off", "session.conf.off"}
    conf = write(tmp_path, f"plugins = ( {plugins} );\n")
    write(tmp_path, (ROOT / f"etc/conf.d/{name}.conf.off").read_text(), f"conf.d/{name}.conf")
    env = {"ANN_KEY": SECRET * 2, "JWT_SECRET": SECRET * 3, "DATABASE_URL": "mysql://muster:p%40ss@127.0.0.1:3306/relay"}
    assert check(conf, "musterd", env)[:2] == (0, []), check(conf, "musterd", env)[2]


def test_the_whole_server_with_accounts_runs(tmp_path):
    """etc/server-accounts.conf as it is, but for its paths and the port: the first administrator is made, and the console has every page."""
    text = (ROOT / "etc/server-accounts.conf").read_text()
    port = free_port()
    for old, new in (("/etc/muster/jwt.secret", f"{tmp_path}/jwt.secret"), ("/var/lib/muster", str(tmp_path)), ("8900", str(port))):
        assert old in text
        text = text.replace(old, new)
    write(tmp_path, SECRET * 3, "jwt.secret")
    conf = write(tmp_path, text)
    env = {**os.environ, "STATE_DIRECTORY": str(tmp_path)}
    assert check(conf, "musterd")[:2] == (0, []), check(conf, "musterd")[2]
    with subprocess.Popen([BUILD / "bin/musterd", "-c", conf], stdin=subprocess.DEVNULL, stdout=open(tmp_path / "log", "w"), stderr=subprocess.STDOUT, env=env) as server:
        try:
            eventually(lambda: (tmp_path / "admin-password").exists(), 20)
            site = get(f"http://127.0.0.1:{port}/api/console/site")
            assert site["login"] is True and site["missing"] == {} and all(site["pages"][name] for name in ("relay", "accounts", "join", "plugins"))
        finally:
            server.terminate()
    assert "failed" not in (tmp_path / "log").read_text()


def test_what_the_readme_shows_passes(tmp_path):
    """Its server.conf with every entry that it names besides, and its agent.conf."""
    blocks = re.findall(r"^```\n(.*?)^```$", (ROOT / "README.md").read_text(), re.S | re.M)
    server, = (block for block in blocks if block.startswith("listen"))
    agent, = (block for block in blocks if block.startswith("collectors"))
    more = [block for block in blocks if block.lstrip().startswith("{ name")]
    assert len(more) >= 2
    server = server.replace("plugins = (\n", "plugins = (\n" + "".join(more))
    for name in set(re.findall(r'"file:/etc/muster/([a-z.]+)"', server)):
        write(tmp_path, SECRET * 2, name)
    conf = write(tmp_path, server.replace("file:/etc/muster/", "file:").replace("/var/lib/muster/", f"{tmp_path}/"))
    env = {"SUPABASE_URL": "https://example.supabase.co", "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_" + SECRET}
    assert check(conf, "musterd", env)[:2] == (0, []), check(conf, "musterd", env)[2]
    conf = write(tmp_path, agent, "agent.conf")
    assert check(conf, "muster-agent")[:2] == (0, []), check(conf, "muster-agent")[2]


@pytest.mark.parametrize("program, names", [("musterd", PLUGINS), ("muster-agent", COLLECTORS + ["server_status"])])
def test_describe_and_the_sample_name_the_same_options(program, names):
    """Option by option, both ways, from the programs' own mouth."""
    for name in names:
        told = run(program, "--describe", name)
        assert told.returncode == 0 and told.stdout.startswith(name + " "), told.stderr
        options = set(re.findall(r"^ +([a-z][a-z0-9_]*): (?:string|number|integer|true or false|\"|list|group)", told.stdout, re.M))
        folder = ROOT / "plugins" / name
        sample = (folder if folder.is_dir() else ROOT / "plugins" / "collectors" / name) / f"{name}.conf"
        text = sample.read_text()
        # "#name = value" is an option that is switched off; "# text" is a remark.
        shown = set(re.findall(r"(?:^|[{(;,#])[ \t]*([a-z][a-z0-9_]*)[ \t]*=", re.sub(r"^[ \t]*# .*$", "", text, flags=re.M), re.M))
        shown -= {"name", "config", "interval", "deadline", "instance", "required", "use"} - options
        assert options == shown, (name, options ^ shown)


def test_describe_lists_options_and_plugins():
    told = run("musterd", "--describe")
    assert told.returncode == 0
    for word in ("listen", "max_connections", "plugin_dirs", *PLUGINS, "cpu"):
        assert word in told.stdout
    unknown = run("musterd", "--describe", "auth_statik")
    assert unknown.returncode == 1 and 'did you mean "auth_static"' in unknown.stderr


@pytest.mark.parametrize("program", ["musterd", "muster-agent"])
def test_help_and_version(program):
    told = run(program, "--help")
    assert told.returncode == 0 and told.stderr == ""
    for word in ("-c FILE", "--check-config", "--describe", "--version", "--help", "SIGHUP", "78"):
        assert word in told.stdout
    if program == "muster-agent":
        assert "--once" in told.stdout and "--list" in told.stdout
    told = run(program, "--version")
    assert told.returncode == 0 and re.fullmatch(rf"{program} \d+\.\d+\.\d+.*\n", told.stdout)


@pytest.mark.parametrize("arguments", [["--bogus"], ["extra"], ["-c"], ["-c", ""], ["-x"], ["--check-config=yes"], ["--check-config", "--describe"]])
@pytest.mark.parametrize("program", ["musterd", "muster-agent"])
def test_wrong_usage(program, arguments):
    told = run(program, *arguments)
    assert told.returncode == 2 and f"Try '{program} --help'" in told.stderr and told.stdout == ""


def test_two_things_at_once(tmp_path):
    conf = tmp_path / "a.conf"
    conf.write_text("")
    for two in (["--once", "--list"], ["--list", "--once"], ["--check-config", "--list"]):
        told = run("muster-agent", "-c", conf, *two)
        assert told.returncode == 2 and told.stdout == "", two
        assert all(option in told.stderr for option in ("only one at a time", "--check-config", "--describe", "--once", "--list")), told.stderr


def test_no_configuration(tmp_path):
    told = run("musterd", "-c", tmp_path / "nowhere.conf")
    assert told.returncode == 78 and "nowhere.conf" in told.stderr and "No such file" in told.stderr


def test_a_port_in_use(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = run("musterd", "-c", write(tmp_path, GOOD.replace("8900", str(port))))
    assert told.returncode == 1 and str(port) in told.stderr and "in use" in told.stderr
    assert len(told.stderr.strip().splitlines()) <= 3, told.stderr


def test_a_configuration_that_others_can_read_is_a_warning(tmp_path):
    file = write(tmp_path, GOOD)
    file.chmod(0o644)
    told = run("musterd", "--check-config", "-c", file)
    assert told.returncode == 0 and "warning" in told.stderr and "server.conf:10" in told.stderr and SECRET not in told.stderr
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    status, problems, text = check(write(tmp_path, GOOD.replace(f'"{SECRET}"', '"file:secret"')))
    assert status == 78 and "others" in text, text


def test_an_open_page_off_loopback_is_warned_of(server):
    port = free_port()
    s = server(port=port, listen=f'{{ address = "0.0.0.0"; port = {port}; }}')
    s.logged("everybody who reaches this server sees its public machines")
    private = server(status='frontend_access = "token"; frontend_token = "0123456789abcdef0123";')
    assert "everybody" not in private.log and get(s.http + "/api/statistics")["code"] == 200


def test_a_listener_with_some_plugins_only(server):
    first, second = free_port(), free_port()
    server(port=first, listen=f'{{ address = "127.0.0.1"; port = {first}; plugins = [ "server_status" ]; }}, '
                              f'{{ address = "127.0.0.1"; port = {second}; plugins = [ "console" ]; }}')
    assert get(f"http://127.0.0.1:{first}/api/statistics")["code"] == 200
    with pytest.raises(OSError):
        get(f"http://127.0.0.1:{second}/api/statistics")
    with pytest.raises(OSError):
        get(f"http://127.0.0.1:{first}/")


def test_a_port_that_somebody_has_is_refused(tmp_path):
    """Also when that one, a musterd, would share it: two servers by mistake would each see half of the agents."""
    port = free_port()
    file = write(tmp_path, GOOD.replace("8900", str(port)))
    first = subprocess.Popen([BUILD / "bin" / "musterd", "-c", file], stderr=subprocess.PIPE, text=True)
    try:
        assert any("ready" in line for line in first.stderr)
        result = run("musterd", "-c", file)
        assert result.returncode == 1 and f"port {port}: Address already in use" in result.stderr, result.stderr
    finally:
        first.terminate()
        first.communicate(timeout=20)


def test_a_reload_that_is_asked_for_while_it_starts_waits(tmp_path):
    """What renews certificates or turns logs does not know how far the server is."""
    (tmp_path / "conf.d").mkdir()
    for n in range(2000):  # so that reading them takes a while
        (tmp_path / f"conf.d/{n:04}.conf").write_text("# nothing\n")
    server = Program("musterd", tmp_path, 'listen = ( { port = 0; } );\nplugins = ( { name = "machines"; } );\n')

    def reading():
        try:
            return any(os.readlink(fd).endswith("/conf.d") for fd in Path(f"/proc/{server.pid}/fd").iterdir())
        except FileNotFoundError:  # one was closed meanwhile
            return False

    try:
        eventually(lambda: reading() or "ready" in server.log, step=0)  # ready: this program was not given a processor in time to see it
        server.reload()
        server.logged("reloaded: ", 30)
        assert "ready" in server.log
    finally:
        server.stop()


def test_plugins_that_do_not_run_are_named_at_the_end(tmp_path):
    """Some: the server serves the rest. None: it would serve nothing, and says so by its status."""
    conf = f'plugin_dirs = [ "{BUILD}/lib/muster/plugins", "{BUILD}/tests/plugins" ];\nlisten = ( {{ port = 0; }} );\n'
    wrong = '{ name = "init_error"; }, { name = "start_error"; instance = "second"; }'
    result = run("musterd", "-c", write(tmp_path, f"{conf}plugins = ( {wrong} );\n"))
    assert result.returncode == 1, result.stderr
    assert re.search(r"ready\n.*2 of 2 plugins do not run: init_error, second; see above\n", result.stderr), result.stderr
    some = subprocess.Popen([BUILD / "bin" / "musterd", "-c", write(tmp_path, f'{conf}plugins = ( {wrong}, {{ name = "good"; }} );\n')],
                            stderr=subprocess.PIPE, text=True)
    try:
        assert any("2 of 3 plugins do not run: init_error, second; see above" in line for line in some.stderr)
    finally:
        some.terminate()
        some.communicate(timeout=20)
    assert some.returncode == 0


def test_an_agent_without_work_does_not_start(tmp_path):
    result = run("muster-agent", "-c", write(tmp_path, 'adaptive = "off";\n', "agent.conf"))
    assert result.returncode == 78 and "nothing to do" in result.stderr, result.stderr


def test_a_link_that_fails_tells_why(tmp_path):
    """Refused, an unknown name, no TLS, and an HTTP status: each in words that lead to the cause."""
    class Plain(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    port = web.server_address[1]
    urls = [f"ws://127.0.0.1:{free_port()}/", "ws://nowhere.invalid/", f"wss://127.0.0.1:{port}/", f"ws://127.0.0.1:{port}/"]
    links = ", ".join(UPLINK.replace("ws://127.0.0.1:1/ws-report", url).replace("config", f'instance = "link{n}"; config')
                      for n, url in enumerate(urls))
    log = tmp_path / "log"
    with open(log, "wb") as to:
        agent = subprocess.Popen([BUILD / "bin" / "muster-agent", "-c", write(tmp_path, f"uplinks = ( {links} );\n", "agent.conf")], stderr=to)
    try:
        for words in ("link0: .*connection refused", "link1: .*(name not found|temporarily unavailable)", "link2: .*TLS handshake failed: ", "link3: .*HTTP 501"):
            eventually(lambda: re.search(words, log.read_text()), 20)
        assert "lws_client_handshake" not in log.read_text()
    finally:
        agent.terminate()
        agent.wait(20)
        web.shutdown()
