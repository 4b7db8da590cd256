# SPDX-License-Identifier: ISC
"""The console's page in a real browser. MUSTER_SCREENSHOTS names a folder for pictures of it."""
import asyncio
import json
import os
import pathlib
import random
import re
import threading
import time

import pytest
import websockets

webdriver = pytest.importorskip("selenium.webdriver")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

from conftest import ALL_COLLECTORS, agent_headers, documented, entry, eventually, fixture, free_port  # noqa: E402

pytestmark = pytest.mark.browser
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-quic", "--hide-scrollbars")


@pytest.fixture
def browser(tmp_path):
    """A function that opens a browser of a width, in light or dark."""
    opened = []

    def open_(width=1440, height=1000, dark=False):
        options = webdriver.ChromeOptions()
        for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path}/profile{len(opened)}", f"--window-size={max(width, 520)},{height}",
                         *(["--force-dark-mode"] if dark else [])):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver", port=free_port()), options=options)
        opened.append(driver)
        # The window of a desktop has a least width; a phone's is emulated.
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                               {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                               {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        return driver

    yield open_
    for driver in opened:
        driver.quit()


def errors(driver, but=()):
    """What the browser complained of: scripts, policies, files."""
    return [line["message"] for line in driver.get_log("browser")
            if line["level"] in ("SEVERE", "WARNING") and not any(word in line["message"] for word in but)]


def ids(driver):
    """Of the cards that are drawn, in their order; all at once, for they come and go."""
    return driver.execute_script("return [...document.querySelectorAll('.card')].map((c) => c.dataset.id);")


def card(driver, id):
    return driver.execute_script("return [...document.querySelectorAll('.card')].find((c) => c.dataset.id === arguments[0]) ?? null;", id)


def bars(driver, id):
    """What the bars of a card say: {"CPU": "12 %"}."""
    return driver.execute_script(
        """const card = [...document.querySelectorAll('.card')].find((c) => c.dataset.id === arguments[0]);
           return Object.fromEntries([...card?.querySelectorAll('.bar') ?? []].map((b) => [b.children[0].textContent, b.querySelector('.value').textContent]));""", id)


def fact(driver, id, name):
    """The value of one of a card's facts; None without it."""
    return driver.execute_script(
        """const card = [...document.querySelectorAll('.card')].find((c) => c.dataset.id === arguments[0]);
           return [...card?.querySelectorAll('.facts dt') ?? []].find((dt) => dt.textContent === arguments[1])?.nextElementSibling.textContent ?? null;""", id, name)


def page(driver):
    """All the text of the page."""
    return driver.find_element(By.TAG_NAME, "main").text


def link_state(driver):
    return driver.execute_script("return document.getElementById('link')?.dataset.state;")


def online(driver, id):
    return driver.execute_script("return [...document.querySelectorAll('.card')].find((c) => c.dataset.id === arguments[0])?.dataset.online;", id)


class Feeder:
    """Agents that report again and again, in a thread of their own; make(n) gives the n-th report."""

    def __init__(self, server, reports, every=1.0):
        self.server, self.reports, self.every = server, dict(reports), every
        self.silent = set()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()))

    async def feed(self, id, make):
        n = 0
        while not self.ended.is_set():
            try:
                async with websockets.connect(self.server.ws + "/ws-report", extra_headers=agent_headers(id), max_size=None) as link:
                    while not self.ended.is_set():
                        if id not in self.silent:
                            await link.send(make(n))
                            n += 1
                        await asyncio.sleep(self.every)
            except (OSError, websockets.WebSocketException):
                await asyncio.sleep(0.2)

    async def run(self):
        await asyncio.gather(*(self.feed(id, make) for id, make in self.reports.items()))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def moving(id, cpu=20, memory=40, disks=2, seed=0, **metrics):
    """A machine whose values move."""
    chance = random.Random(seed)

    def make(n):
        report = documented(id)
        share = max(0.3, min(100, cpu + chance.uniform(-6, 6)))
        report["cpu"] = {"percent": round(share, 2), "cores": 8, "modelName": "AMD EPYC 7543 32-Core Processor"}
        report["memory"] = {"total": 33554432000, "used": int(335544320 * memory), "available": int(335544320 * (100 - memory)), "usedPercent": memory}
        report["disk"] = [{"path": path, "total": 512110190592, "used": int(5121101905.92 * used), "free": int(5121101905.92 * (100 - used)),
                           "usedPercent": used, "readSpeed": chance.randint(0, 9_000_000), "writeSpeed": chance.randint(0, 4_000_000)}
                          for path, used in (("/", 41.0), ("/srv/data", 83.5))[:disks]]
        report["network"] = {"interfaceName": "eth0", "bytesSent": 10**11 + n * 10**6, "bytesRecv": 4 * 10**11 + n * 10**6,
                             "inSpeed": chance.randint(1_000, 20_000_000), "outSpeed": chance.randint(1_000, 5_000_000)}
        report["system"] = {"hostname": id, "os": "linux", "platform": "debian", "arch": "x86_64", "kernel": "6.1.0-28-amd64", "uptime": 864000 + n}
        report["metrics"] = {"cpu": {"per_core": [max(0, min(100, cpu + chance.uniform(-cpu, 30))) for _ in range(8)],
                                     "load1": 0.71, "load5": 0.64, "load15": 0.52},
                             "system": {"platform_version": "12.11", "virtualization": "kvm"}, **metrics}
        return json.dumps(report)

    return make


# ---- it is live --------------------------------------------------------------------------------


def test_a_real_machine_is_shown_live(server, agent, browser):
    s = server(entry("demo", name="Demo", group="lab", country="CN"), status="offline_after = 3;")
    made = agent(s, collectors=(*ALL_COLLECTORS, "example"), interval=0.5, more='adaptive = "off";')
    driver = browser()
    driver.get(s.http + "/")
    eventually(lambda: online(driver, "demo") == "true")
    eventually(lambda: {"CPU", "Memory", "Disk"} <= set(bars(driver, "demo")))
    text = card(driver, "demo").text
    assert "Demo" in text and "%" in bars(driver, "demo")["Memory"]

    # Values change in place: the same elements, other texts.
    driver.execute_script("window.before = [...document.querySelectorAll('.card, .card *')];")
    first = card(driver, "demo").text
    eventually(lambda: card(driver, "demo").text != first, 20)
    assert driver.execute_script("return window.before.filter((e) => !e.isConnected).length;") == 0
    assert driver.execute_script("return document.querySelectorAll('.card').length;") == 1

    # A drop-in collector shows up on the machine's own page without anybody's doing, with a chart of what it counts.
    card(driver, "demo").find_element(By.TAG_NAME, "a").click()
    eventually(lambda: "Example" in page(driver) and "Open files" in page(driver))
    eventually(lambda: driver.find_elements(By.CSS_SELECTOR, '.chart[data-chart^="example."] canvas'))
    driver.back()
    eventually(lambda: card(driver, "demo"))

    # Offline when reports stay away, online when they are back.
    made.stop()
    eventually(lambda: online(driver, "demo") == "false", 20)
    assert "offline" in card(driver, "demo").text
    agent(s)
    eventually(lambda: online(driver, "demo") == "true", 20)
    assert errors(driver) == []


def test_it_recovers_from_a_restart_by_itself(server, browser):
    s = server(entry("demo", name="Demo"), entry("other", name="Other"))
    driver = browser()
    driver.get(s.http + "/")
    with Feeder(s, {"demo": moving("demo"), "other": moving("other")}, 0.3):
        eventually(lambda: online(driver, "demo") == "true")
        driver.execute_script("window.same = 'page';")
        s.stop()
        eventually(lambda: link_state(driver) == "lost")
        again = server(entry("demo", name="Renamed"), port=s.port)  # and one machine less
        eventually(lambda: link_state(driver) == "live", 30)
        eventually(lambda: online(driver, "demo") == "true" and card(driver, "other") is None, 20)
        assert driver.execute_script("return window.same;") == "page"
        eventually(lambda: "Renamed" in card(driver, "demo").text)
        assert len(driver.find_elements(By.CSS_SELECTOR, ".card")) == 1
        assert again.alive()
    # A browser reports that it could not connect: that is the restart, and nothing else.
    assert errors(driver, but=("WebSocket connection to",)) == []


# ---- whatever machines are called ----------------------------------------------------------------

NAMES = {
    "html": '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>',
    "rtl": "\u202emoc.elpmaxe \u05e9\u05dc\u05d5\u05dd",
    "long": "an-endless-name-" * 8,
    "words": "many words " * 11,
    "wide": "漢字" * 60,
    "marks": "&amp; \"quoted\" 'single' `tick` ${x} {{y}}",
}


def fits(driver):
    assert driver.execute_script("return document.documentElement.scrollWidth <= document.documentElement.clientWidth;")


def reach_out(driver, boxes, but):
    """What reaches out of its box to the left or right; names (`but`) are cut by what they stand in."""
    return driver.execute_script(
        """return [...document.querySelectorAll(arguments[0])].flatMap((card) => { const box = card.getBoundingClientRect();
             return [...card.querySelectorAll(`:not(:is(${arguments[1]}, .hidden, .fill))`)].filter((e) => e.getClientRects().length && (e.getBoundingClientRect().right > box.right + 1
               || e.getBoundingClientRect().left < box.left - 1)).map((e) => (card.dataset.id ?? card.className) + ' ' + e.className + ' ' + e.tagName); });""", boxes, but)


@pytest.mark.parametrize("width", [390, 1440])
def test_names_are_texts_and_the_layout_holds(server, browser, width):
    s = server(*(entry(id, name=name.strip()[:120 if id != "wide" else 40], group=("g-" + name)[:60 if id != "wide" else 30].strip(), owner=name.strip()[:120 if id != "wide" else 40])
                 for id, name in NAMES.items()), entry("own"))
    long = "x" * 200
    evil = moving("own", disks=1, **{"zoo": {"text": '<b onmouseover="window.hacked=1">' + long, "list": list(range(64)), "flag": True}})

    def own(n):
        report = json.loads(evil(n))
        report.update(serverName=long, group=long, location=long, countryCode="<i>")
        report["system"].update(hostname=long, platform="<script>window.hacked=1</script>", kernel=long)
        report["disk"][0]["path"] = "/" + long
        report["cpu"]["modelName"] = (NAMES["html"] + long)[:250]
        return json.dumps(report)

    driver = browser(width, 900)
    driver.get(s.http + "/")
    with Feeder(s, {"own": own, "html": moving("html"), "rtl": moving("rtl")}):
        eventually(lambda: len(driver.find_elements(By.CSS_SELECTOR, ".card")) == len(NAMES) + 1)
        eventually(lambda: online(driver, "own") == "true" and online(driver, "rtl") == "true")
        for view in ("cards", "list"):
            driver.find_element(By.CSS_SELECTOR, f'[data-view="{view}"]').click()
            eventually(lambda: driver.find_elements(By.CSS_SELECTOR, "article.card" if view == "cards" else "tr.card"))
            fits(driver)
            # Nothing of a card reaches out of it; in the list, what is cut is cut by its cell.
            if view == "cards":
                assert reach_out(driver, ".card", "bdi, bdi *") == []
            assert driver.execute_script("return document.querySelectorAll('.card img, .card script, .card b, .card i').length;") == 0
            assert card(driver, "html").find_element(By.CSS_SELECTOR, ".name").get_attribute("textContent") == NAMES["html"][:120]
            if view == "cards":
                assert fact(driver, "html", "Owner") == NAMES["html"][:120] and fact(driver, "own", "Owner") is None

        # The machine's own page, with all that it says of itself.
        driver.execute_script("location.hash = '#/machine/own';")
        eventually(lambda: "Zoo" in page(driver) and "<b onmouseover=" in page(driver))
        fits(driver)
        assert reach_out(driver, ".panel, .tile", "bdi, bdi *, .table-wrap *, canvas") == []
        assert driver.execute_script("return document.querySelectorAll('main :is(img, script, b, i)').length;") == 0
        assert driver.execute_script("return window.hacked;") is None
    assert errors(driver) == []


# What a machine of the session protocol says is shown as it says it: all of it may be of another kind than it should.
HOSTILE = {
    "cpu": {"percent": "much", "cores": {"toString": 1}, "model": ["<img src=x onerror='window.hacked=1'>"], "per_core": [1, "2", None, {}, 50], "load1": {"valueOf": 1}},
    "memory": {"total": {"toString": 1, "valueOf": 2}, "used": [], "used_percent": 1e300, "swap_total": "9", "swap_used_percent": None},
    "disk": {"used_percent": -5, "disks": {"length": 3}},
    "network": {"rx_speed": "<b>fast</b>", "tx_speed": {}, "interfaces": [None, 3, "eth0", {"name": {"toString": None}, "rx_speed": []}]},
    "system": {"uptime": {}, "hostname": {"toString": 1}, "platform": {"a": 1}, "kernel": 6.1, "temperatures": [{"name": [], "celsius": {"valueOf": 1}}, 7]},
    "agent": {"stuck": {"toString": 1}, "version": []},
    "__proto__": {"polluted": 1}, "constructor": {"x": {"toString": 1}}, "zoo": {"toString": {"toString": 1}, "text": "<script>window.hacked=1</script>", "none": None},
}


def test_machines_of_users_whatever_they_send(server, browser):
    key = "the-key-of-ann-0123456789"
    s = server(plugins=[f'{{ name = "auth_static"; config = {{ users = ( {{ id = "ann"; name = "<i>Ann</i>"; api_keys = [ "{key}" ]; }} ); }}; }}',
                        '{ name = "machines"; }', '{ name = "session"; config = { jwt_secret = "a-session-secret-of-the-tests-0123456789"; }; }',
                        '{ name = "console"; }'])
    good = {"cpu": {"percent": 12.4, "cores": 4}, "memory": {"used_percent": 34, "used": 340, "total": 1000},
            "disk": {"used_percent": 56, "disks": [{"path": "/srv", "used_percent": 56, "total": 1024}]}, "zoo": {"lions": 3}}
    driver = browser(390, 1200)
    driver.get(s.http + "/")
    ready, end = threading.Event(), threading.Event()

    async def run():
        async with websockets.connect(s.ws, close_timeout=1) as evil, websockets.connect(s.ws, close_timeout=1) as fine:
            for link, id in ((evil, "evil"), (fine, "fine")):
                for message in ({"type": "auth", "apiKey": key, "machineId": id}, {"type": "system_info", "public": True}):
                    await link.send(json.dumps(message))
            await evil.send(json.dumps({"type": "data", "metrics": HOSTILE}))
            await fine.send(json.dumps({"type": "data", "metrics": good}))
            ready.set()
            await asyncio.get_running_loop().run_in_executor(None, end.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(10)
        eventually(lambda: bars(driver, "fine") == {"CPU": "12 %", "Memory": "34 %", "Disk": "56 %"})
        eventually(lambda: online(driver, "evil") == "true")
        assert fact(driver, "fine", "Owner") == "<i>Ann</i>" == fact(driver, "evil", "Owner")
        assert "CPU" not in bars(driver, "evil")
        # Who has nothing that a card knows still says that it reports.
        assert re.search(r"\b\d+ other figures\b", card(driver, "evil").text) and "other figure" not in card(driver, "fine").text
        for id, word in (("evil", "Zoo"), ("fine", "Lions")):
            driver.execute_script("location.hash = '#/machine/' + arguments[0];", id)
            eventually(lambda: word in page(driver))
            fits(driver)
            assert driver.execute_script("return document.querySelectorAll('main :is(img, script, b, i)').length;") == 0
        driver.execute_script("location.hash = '#/';")
        eventually(lambda: card(driver, "fine"))
        assert driver.execute_script("return window.hacked ?? ({}).polluted;") is None
        assert driver.execute_script("return document.querySelectorAll('.card img, .card script, .card b, .card i').length;") == 0
        fits(driver)
        search = driver.find_element(By.ID, "search")
        search.send_keys("ann</i>")
        eventually(lambda: len(driver.find_elements(By.CSS_SELECTOR, ".card")) == 2)
        search.send_keys("x")
        eventually(lambda: not driver.find_elements(By.CSS_SELECTOR, ".card"))
    finally:
        end.set()
        thread.join()
    assert errors(driver) == []


def test_the_policy_forbids_foreign_code(server, browser):
    s = server(entry("demo"))
    driver = browser()
    driver.get(s.http + "/")
    eventually(lambda: link_state(driver) == "live")
    assert errors(driver) == []
    driver.execute_script("""const e = document.createElement('script'); e.textContent = 'window.hacked = 1'; document.body.append(e);
                             const i = document.createElement('img'); i.src = 'http://192.0.2.1/x.png'; document.body.append(i);""")
    eventually(lambda: any("Content Security Policy" in e for e in errors(driver)))
    assert driver.execute_script("return window.hacked;") is None


def test_searching(server, browser):
    s = server(entry("a", name="Alpha", group="one"), entry("b", name="Beta", group="two"))
    driver = browser()
    driver.get(s.http + "/")
    eventually(lambda: len(driver.find_elements(By.CSS_SELECTOR, ".card")) == 2)
    search = eventually(lambda: driver.find_elements(By.ID, "search"))[0]
    search.send_keys("bet")
    eventually(lambda: ids(driver) == ["b"])
    search.send_keys("xyz")
    eventually(lambda: any(e.is_displayed() for e in driver.find_elements(By.ID, "empty")))
    search.clear()
    search.send_keys(" ")
    eventually(lambda: len(driver.find_elements(By.CSS_SELECTOR, ".card")) == 2)


def test_without_machines_it_says_what_to_do(server, browser):
    s = server(plugins=['{ name = "auth_static"; }', '{ name = "machines"; }', '{ name = "console"; }'])
    driver = browser()
    driver.get(s.http + "/")
    eventually(lambda: any(e.is_displayed() for e in driver.find_elements(By.ID, "empty")))
    assert "muster-agent" in driver.find_element(By.ID, "empty").text and errors(driver) == []


def test_of_many_machines_only_what_is_near_the_screen_is_drawn(server, browser):
    s = server(*(entry(f"m{i:03}", name=f"Machine {i}", group=f"g{i // 100}") for i in range(300)))
    driver = browser()
    driver.get(s.http + "/")
    for view in ("list", "cards"):
        driver.execute_script("scrollTo(0, 0);")
        eventually(lambda: driver.find_elements(By.CSS_SELECTOR, f'[data-view="{view}"]'))[0].click()
        eventually(lambda: driver.find_elements(By.CSS_SELECTOR, "tr.card" if view == "list" else "article.card"))
        eventually(lambda: "m000" in ids(driver))
        assert 10 < len(ids(driver)) < 150
        driver.execute_script("scrollTo(0, document.documentElement.scrollHeight);")
        eventually(lambda: "m299" in ids(driver) and "m000" not in ids(driver))
        # What is on the screen has no holes: each machine after the other, as they are sorted.
        shown = ids(driver)
        assert shown == sorted(shown) and int(shown[-1][1:]) - int(shown[0][1:]) == len(shown) - 1
    driver.execute_script("scrollTo(0, 0);")
    driver.find_element(By.ID, "search").send_keys("machine 29")
    eventually(lambda: ids(driver) == ["m029", "m129", "m229", *(f"m29{i}" for i in range(10))])


def test_what_is_offline_can_be_shown_alone(server, browser):
    s = server(entry("up", name="Up"), entry("down", name="Down"))
    driver = browser()
    driver.get(s.http + "/")
    with Feeder(s, {"up": moving("up")}, 0.3):
        eventually(lambda: online(driver, "up") == "true" and online(driver, "down") == "false")
        eventually(lambda: driver.find_element(By.CSS_SELECTOR, '[data-filter="offline"]').text == "Offline 1")
        for kind, id in (("offline", "down"), ("online", "up")):
            driver.find_element(By.CSS_SELECTOR, f'[data-filter="{kind}"]').click()
            eventually(lambda: ids(driver) == [id])


# ---- one machine ---------------------------------------------------------------------------------


def test_the_page_of_a_machine(server, browser):
    """Charts with a past, every core, disk, interface and temperature, spans and zoom; the page outlives the keys of a server."""
    s = server(entry("demo", name="Demo"))
    make = moving("demo")

    def report(n):
        made = json.loads(make(n))
        made["metrics"]["system"]["temperatures"] = [{"name": "coretemp", "celsius": 51.5}]
        made["metrics"]["network"] = {"rx_speed": 10, "tx_speed": 20, "interfaces": [{"name": name, "rx_speed": 10, "tx_speed": 20, "rx_bytes": 1, "tx_bytes": 2} for name in ("eth0", "wg0")]}
        return json.dumps(made)

    driver = browser()
    with Feeder(s, {"demo": report}, 0.5):
        time.sleep(3)  # a past
        driver.get(s.http + "/#/machine/demo")
        eventually(lambda: {"cpu", "memory", "network", "read", "write", "load", "disk", "rx", "tx", "temperatures", "cores"} ==
                   set(driver.execute_script("return [...document.querySelectorAll('.chart')].map((c) => c.dataset.chart);")), 20)
        assert len(driver.find_elements(By.CSS_SELECTOR, ".cores li")) == 8
        for text in ("/srv/data", "wg0", "coretemp", "51.5 °C", "6.1.0-28-amd64", "kvm"):
            assert text in page(driver), text
        label = lambda: driver.find_element(By.CSS_SELECTOR, '[data-chart="cpu"] .plot').get_attribute("aria-label")  # noqa: E731
        before = label()
        eventually(lambda: label() != before)  # live
        # Something is drawn: the chart of CPU has pixels in the colour of its line.
        drawn = """const c = document.querySelector('[data-chart="cpu"] canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
                   let n = 0; for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200 && d[i + 1] > d[i] + 60) n++; return n;"""
        eventually(lambda: driver.execute_script(drawn) > 0)
        driver.find_element(By.CSS_SELECTOR, '[data-span="300"]').click()
        eventually(lambda: driver.find_element(By.CSS_SELECTOR, '[data-span="300"]').get_attribute("aria-pressed") == "true")
        assert not driver.find_elements(By.ID, "follow")
        driver.find_element(By.CSS_SELECTOR, '[data-zoom="zoomIn"]').click()
        eventually(lambda: driver.find_elements(By.ID, "follow"))[0].click()
        eventually(lambda: not driver.find_elements(By.ID, "follow"))
        assert errors(driver) == []
        s.stop()
        eventually(lambda: link_state(driver) == "lost")
        server(entry("aaa"), entry("demo", name="Again"), port=s.port)
        eventually(lambda: "Again" in page(driver), 30)
    driver.execute_script("location.hash = '#/machine/nobody';")
    eventually(lambda: "Machine not found" in page(driver))


# ---- theme and language --------------------------------------------------------------------------


def test_theme_and_language_are_chosen_and_kept(server, browser):
    s = server(entry("demo"))
    driver = browser()
    driver.get(s.http + "/")
    eventually(lambda: card(driver, "demo"))
    back = lambda: driver.execute_script("return getComputedStyle(document.body).backgroundColor;")  # noqa: E731
    light = back()
    driver.find_element(By.ID, "theme").click()  # light
    assert back() == light
    driver.find_element(By.ID, "theme").click()  # dark
    eventually(lambda: back() != light)
    dark = back()
    driver.find_element(By.ID, "language").click()
    eventually(lambda: "从未上线" in card(driver, "demo").text)
    assert driver.execute_script("return document.documentElement.lang;") == "zh-CN"
    driver.refresh()
    eventually(lambda: card(driver, "demo") and "从未上线" in card(driver, "demo").text)
    assert back() == dark
    driver.find_element(By.ID, "language").click()
    eventually(lambda: "never seen" in card(driver, "demo").text)
    assert errors(driver) == []


def test_it_is_used_with_the_keyboard(server, browser):
    s = server(entry("demo", name="Demo"))
    driver = browser()
    driver.get(s.http + "/")
    eventually(lambda: card(driver, "demo"))
    seen = []
    for _ in range(20):
        webdriver.ActionChains(driver).send_keys(Keys.TAB).perform()
        seen.append(driver.execute_script("const e = document.activeElement; return e.id || e.dataset.filter || e.dataset.view || e.textContent;"))
        if seen[-1] == "Demo":
            break
    assert {"Skip to content", "theme", "language", "search", "offline", "cards", "Demo"} <= set(seen)
    webdriver.ActionChains(driver).send_keys(Keys.ENTER).perform()
    eventually(lambda: driver.find_elements(By.CSS_SELECTOR, ".machine-head"))
    assert driver.execute_script("return document.activeElement.id;") == "main"


# ---- pictures ----------------------------------------------------------------------------------


def picture(driver, name):
    folder = os.environ.get("MUSTER_SCREENSHOTS")
    if folder:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(pathlib.Path(folder) / f"{name}.png"))


def test_pictures(server, agent, browser):
    """A park of machines, at two widths in light and dark; the pictures are for people to look at."""
    s = server(entry("db-1", name="Database", group="Production", country="DE"), entry("web-1", name="Web front", group="Production", country="US", owner="Ann"),
               entry("web-2", name="Web back", group="Production", country="US", owner="somebody@example.org"), entry("old", name="Recorded 1.x agent", group="Production", country="JP"),
               entry("gone", name="Gone since a while", group="Lab", country="CN"), entry("never", name="Rack 4, slot 12", group="Lab"),
               entry("long", name="a-machine-with-a-very-long-name.rack-17.datacenter-frankfurt.example.org", group="Lab", country="FR"),
               entry("this", name="This machine", group="Lab", country="CN"), status="offline_after = 4;")
    agent(s, "this", collectors=(*ALL_COLLECTORS, "example"))
    with Feeder(s, {"db-1": moving("db-1", 88, 91.2, seed=1), "web-1": moving("web-1", 34, 47, seed=2), "web-2": moving("web-2", 12, 38.4, seed=3),
                    "old": lambda n: fixture("agent-report.json"), "long": moving("long", 97, 62, seed=4),
                    "gone": moving("gone", 5, 22, seed=5)}) as feeder:
        drivers = [(browser(width, height, dark), f"page-{width}-{'dark' if dark else 'light'}")
                   for width, height in ((1440, 1100), (390, 2400)) for dark in (False, True)]
        for driver, _ in drivers:
            driver.get(s.http + "/")
            eventually(lambda: online(driver, "gone") == "true" and online(driver, "this") == "true", 20)
        feeder.silent.add("gone")
        for driver, name in drivers:
            eventually(lambda: online(driver, "gone") == "false", 20)
            time.sleep(0.6)  # the bars glide
            picture(driver, name)
            fits(driver)
            assert [g.text for g in driver.find_elements(By.CSS_SELECTOR, "h2 > :first-child")] == ["Lab", "Production"]
            assert errors(driver) == []
