# SPDX-License-Identifier: ISC
"""Alerts by mail, with a real mail server."""
import email.utils
import socket
import threading
import time
import urllib.parse

import pytest

from accounts import KINDS
from conftest import eventually, free_port
from described import Described
from mailbox import Mailbox
from tls import self_signed
from wides import Home

PASSWORD = "a-mail-password-of-the-tests"
LOGIN = ("alerts@relay.example", PASSWORD)
ALL_HEADERS = {"date", "message-id", "from", "to", "subject", "auto-submitted", "mime-version", "content-type", "content-transfer-encoding"}


@pytest.fixture
def make(tmp_path, request):
    made = []

    def start(server, more="", alerts="", kind="sqlite"):
        database = None
        if kind == "mariadb":
            database = request.getfixturevalue("mariadb").database()
            request.addfinalizer(database.drop)
        options = f'alerts = {{ mail = {{ server = "{server}"; from = "alerts@relay.example"; {more} }}; {alerts} }};'
        made.append(Described(kind, tmp_path / f"relay{len(made)}", database, options=options).begin())
        made[-1].secrets |= {PASSWORD}
        return made[-1]

    yield start
    for one in made:
        if one.server.process.returncode is None:
            one.stop()


@pytest.fixture
def boxes():
    made = []

    def start(*arguments, **how):
        made.append(Mailbox(*arguments, **how))
        return made[-1]

    yield start
    for one in made:
        if one.controller.server:
            one.stop()


def alerts(home):
    return home.call("GET", "/api/alert-history").data["data"]


def address(home):
    return home.relay.value("SELECT email FROM users WHERE id = ?", home.id)


def trigger(home, count=1, first=0):
    for n in range(first, first + count):
        assert home.rule(rule_name=f"r{n}", data_key=f"k{n}", threshold=0).status == 201
        home.channel.say({f"k{n}": n + 1})


@pytest.mark.parametrize("kind", KINDS)
def test_a_mail(make, boxes, kind):
    box = boxes(free_port())
    relay = make(f"smtp://127.0.0.1:{box.port}", alerts='public_url = "https://relay.example";', kind=kind)
    home = Home(relay)
    home.rule()
    home.channel.say({"temperature": 21.5})
    mail = eventually(lambda: box.got and box.got[0])
    assert (mail.sender, mail.to) == ("alerts@relay.example", [address(home)])
    assert {name.lower() for name in mail.message.keys()} == ALL_HEADERS
    assert mail["To"] == address(home) and mail["From"] == "Muster <alerts@relay.example>"
    shown = home.device["custom_name"] or home.device["device_id"]
    assert mail["Subject"] == f"[critical] hot: {shown}"
    assert mail["Message-ID"].endswith("@relay.example>") and mail["Auto-Submitted"] == "auto-generated"
    assert abs(email.utils.parsedate_to_datetime(mail["Date"]).timestamp() - time.time()) < 60
    for line in ("Rule:      hot (critical)", "Condition: temperature > 20", "Value:     21.5", "Endpoint:  Home"):
        assert line in mail.text.splitlines(), mail.text
    assert home.endpoint["endpoint_id"] not in mail.text  # it is a credential
    got = eventually(lambda: (each := alerts(home)[0])["email_sent"] and each)
    assert got["notification_sent"] is False and got["triggered_at"] in mail.text
    link = urllib.parse.urlsplit(next(line for line in mail.text.splitlines() if line.startswith("https://")))
    assert relay.call("GET", f"{link.path}?{link.query}").status == 200
    assert alerts(home)[0]["status"] == "read"
    assert address(home) not in relay.server.log and link.query not in relay.server.log
    home.close()


def test_no_mail_unless_configured(make, boxes):
    box = boxes(free_port())
    relay = make("")
    home = Home(relay)
    trigger(home)
    eventually(lambda: alerts(home))
    time.sleep(1)
    assert box.got == [] and alerts(home)[0]["email_sent"] is False
    home.close()


@pytest.mark.parametrize("how", ["starttls", "wrapped"])
def test_tls_and_login(make, boxes, tmp_path, how):
    pair = self_signed(tmp_path / "tls", "mail")
    box = boxes(free_port(), tls=pair, how=how, login=LOGIN)
    scheme = "smtps" if how == "wrapped" else "smtp"
    login = f'user = "{LOGIN[0]}"; password = "{PASSWORD}"; starttls = true;'
    relay = make(f"{scheme}://127.0.0.1:{box.port}", f'{login} ca_file = "{pair.certificate}";')
    home = Home(relay)
    trigger(home)
    eventually(lambda: len(box.got) == 1 and alerts(home)[0]["email_sent"])
    assert box.logins and box.logins[0][1:] == LOGIN
    home.close()
    # An authority that this machine does not know: nothing is said to that server.
    said = len(box.logins)
    stranger = make(f"{scheme}://127.0.0.1:{box.port}", login)
    home = Home(stranger)
    trigger(home)
    stranger.server.logged("the mail server did not take a mail: ")
    assert len(box.got) == 1 and len(box.logins) == said and alerts(home)[0]["email_sent"] is False
    home.close()


def test_a_server_without_starttls_gets_nothing(make, boxes):
    box = boxes(free_port(), login=LOGIN)
    relay = make(f"smtp://127.0.0.1:{box.port}", f'user = "{LOGIN[0]}"; password = "{PASSWORD}"; starttls = true;')
    home = Home(relay)
    trigger(home)
    relay.server.logged("the mail server did not take a mail: no STARTTLS")
    assert box.got == [] and box.logins == []
    home.close()


def test_a_login_that_is_refused(make, boxes):
    box = boxes(free_port(), login=LOGIN)
    relay = make(f"smtp://127.0.0.1:{box.port}", f'user = "{LOGIN[0]}"; password = "{PASSWORD}x";')
    home = Home(relay)
    trigger(home)
    relay.server.logged("the mail server did not take a mail: refused (status 535)")
    tries = len(box.logins)
    time.sleep(6)  # it would try again after 5 s
    assert len(box.logins) == tries and box.got == [] and alerts(home)[0]["email_sent"] is False
    assert LOGIN[0] not in relay.server.log
    home.close()


@pytest.mark.slow
def test_a_server_that_is_away_and_back(make, boxes):
    port = free_port()
    relay = make(f"smtp://127.0.0.1:{port}")
    home = Home(relay)
    trigger(home)
    relay.server.logged("the mail server did not take a mail: ")
    box = boxes(port)
    box.refuse = 1  # and it is busy at first
    eventually(lambda: len(box.got) == 1, 50)  # tries: at once, after 5 s, after 30 s
    eventually(lambda: alerts(home)[0]["email_sent"])
    time.sleep(1)
    assert len(box.got) == 1
    home.close()


def test_an_address_that_the_server_does_not_know(make, boxes):
    box = boxes(free_port())
    relay = make(f"smtp://127.0.0.1:{box.port}")
    home, other = Home(relay), Home(relay)
    box.refuse_to = address(home)
    trigger(home)
    trigger(other)
    eventually(lambda: [mail.to for mail in box.got] == [[address(other)]])
    relay.server.logged("refused (status 550)")
    assert address(home) not in relay.server.log and alerts(home)[0]["email_sent"] is False
    home.close()
    other.close()


@pytest.mark.parametrize("bad", ["a@b.c\r\nRCPT TO:<x@y.z>", "a b@c.d", "<a@b.c>", "a@b.c,d@e.f", "ä@example.org", "@", "no address"])
def test_addresses_that_are_none(make, boxes, bad):
    """Another program may store what it likes."""
    box = boxes(free_port())
    relay = make(f"smtp://127.0.0.1:{box.port}")
    home = Home(relay)
    relay.sql("UPDATE users SET email = ? WHERE id = ?", bad, home.id)
    trigger(home)
    relay.server.logged("a mail was not sent: the user's address")
    assert box.got == [] and "RCPT" not in relay.server.log
    home.close()


@pytest.mark.parametrize("name", [
    "x\r\nBcc: victim@example.org\r\n\r\nspam", "x\nSubject: y", "Wärme im Büro ☀ 温度", "🔥" * 100, "y" * 100, "=?UTF-8?Q?=41?= \"<a@b.c>\", (c)", ".", " ", "a\tb",
    "\x7f\x01", "a" * 70 + " " + "ü" * 29,
])
def test_names_that_are_hostile(make, boxes, name):
    box = boxes(free_port())
    relay = make(f"smtp://127.0.0.1:{box.port}")
    home = Home(relay)
    rule = home.rule(operator="==", threshold="x").data["id"]
    relay.sql("UPDATE alert_rules SET rule_name = ?, threshold = ? WHERE id = ?", name, name, rule)
    relay.sql("UPDATE devices SET custom_name = ? WHERE id = ?", name, home.device["id"])
    relay.sql("UPDATE endpoints SET name = ? WHERE id = ?", name, home.endpoint["id"])
    home.rule(data_key="all are read again")
    home.channel.say({"temperature": name})
    mail = eventually(lambda: box.got and box.got[0])
    shown = "".join(" " if c < " " or c == "\x7f" else c for c in name)
    assert {each.lower() for each in mail.message.keys()} == ALL_HEADERS and mail.to == [address(home)]
    assert mail["Subject"] == f"[critical] {shown}: {shown}"
    assert f"Rule:      {shown} (critical)" in mail.text.split("\n") and f"Device:    {shown} ({home.device['device_id']})" in mail.text.split("\n")
    assert f"Value:     {shown}" in mail.text.split("\n") and len(mail.text.split("\n")) == 7
    home.close()


@pytest.mark.slow
def test_many_become_one_summary(make, boxes):
    box = boxes(free_port())
    relay = make(f"smtp://127.0.0.1:{box.port}", "per_user = 2; period = 25;")
    home, other = Home(relay), Home(relay)
    began = time.monotonic()
    trigger(home, 2)
    eventually(lambda: len(box.got) == 2)
    trigger(home, 30, first=2)
    trigger(other)  # others have their own
    eventually(lambda: len(box.got) == 3 and box.got[2].to == [address(other)])
    assert time.monotonic() - began < 25, "too slow to tell"
    assert sum("come in one summary" in mail.text for mail in box.got[:2]) == 1  # of two at once either comes first
    eventually(lambda: len(box.got) == 4, 60)
    assert time.monotonic() - began >= 24.5
    summary = box.got[3]
    assert summary.to == [address(home)] and summary["Subject"] == "30 more alerts" and "and 10 more" in summary.text
    assert summary.text.count(": ") >= 20 and "k2 = 3" in summary.text and "k21 = 22" in summary.text and "k22 = 23" not in summary.text
    time.sleep(1)
    assert len(box.got) == 4
    sent = {each["data_key"] for each in home.call("GET", "/api/alert-history?pageSize=100").data["data"] if each["email_sent"]}
    assert sent == {"k0", "k1"}
    home.close()
    other.close()


def test_who_is_banned_gets_no_mail(make, boxes):
    box = boxes(free_port())
    relay = make(f"smtp://127.0.0.1:{box.port}")
    home = Home(relay)
    home.rule()
    relay.sql("UPDATE users SET is_active = 0 WHERE id = ?", home.id)
    home.channel.say({"temperature": 30})
    eventually(lambda: relay.value("SELECT COUNT(*) FROM alert_history") == 1)
    time.sleep(1)
    assert box.got == []
    home.close()


class Silent:
    """Takes connections, says what it is told to, and then nothing more."""

    def __init__(self, *lines):
        self.s, self.lines, self.links = socket.create_server(("127.0.0.1", 0)), list(lines), []
        self.port = self.s.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                link = self.s.accept()[0]
            except OSError:
                return
            self.links.append(link)
            for line in self.lines:
                link.sendall(line)
                if not link.recv(65536):
                    break


# Silence at the greeting; after the text, where libcurl waits within one call.
@pytest.mark.parametrize("lines", [[], [b"220 hello\r\n", b"250 hello\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n"]])
def test_a_server_that_falls_silent_holds_nobody_up(make, lines):
    mail = Silent(*lines)
    relay = make(f"smtp://127.0.0.1:{mail.port}")
    home = Home(relay)
    trigger(home, 3)
    eventually(lambda: mail.links)
    time.sleep(1)
    longest = 0
    for _ in range(20):
        began = time.monotonic()
        assert home.call("GET", "/api/alert-history").status == 200
        longest = max(longest, time.monotonic() - began)
    assert longest < 2
    home.close()
    relay.stop()  # in time, though the mail is on its way: and the loop was never held
    mail.s.close()


@pytest.mark.parametrize("options, said", [
    ('server = "mail.example"; from = "a@b.c";', "server is"), ('server = "smtp://a:b@mail.example"; from = "a@b.c";', "server is"),
    ('server = "smtp://mail.example/x"; from = "a@b.c";', "server is"), ('server = "smtps://mail.example";', "from is the sender's address"),
    ('server = "smtps://mail.example"; from = "ä@b.c";', "from is the sender's address"),
    ('server = "smtps://mail.example"; from = "A <a@b.c>";', "from is the sender's address"),
    ('server = "smtps://mail.example"; from = "a@b.c"; from_name = "a\\r\\nBcc: b@c.d";', "from_name has no control"),
    ('server = "smtps://mail.example"; from = "a@b.c"; user = "u";', "are set together"),
    ('server = "smtps://mail.example"; from = "a@b.c"; per_user = 0;', "per_user"),
])
def test_options_that_are_wrong_are_said(tmp_path, options, said):
    relay = Described("sqlite", tmp_path / "r", options=f"alerts = {{ mail = {{ {options} }}; }};")
    with pytest.raises(AssertionError, match="ended without saying 'ready'"):
        relay.start()
    assert said in (tmp_path / "r" / "musterd.log").read_text()
