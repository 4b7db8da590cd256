# SPDX-License-Identifier: ISC
"""Hostile JSON on the agents' and the pages' channel: a bad report is counted and dropped, and the link stays."""
import copy
import json
import time
import urllib.request

import pytest
from conftest import documented, eventually
from hostile import PING, PONG, TEXT, Target, counters_of, frame, upgrade


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = Target(tmp_path_factory.mktemp("json"), status="max_message = 1048576; show_ip = true;")
    yield made
    made.stop()


def deployed():
    return {"name": "", "group": "", "id": "", "lastReportTime": 0, "ip": "203.0.113.7", "loc": "de",
            "hostInfo": {"kernelArch": "x86_64", "kernelVersion": "6.1.0", "virtualizationSystem": "", "uptime": 1, "bootTime": 1,
                         "os": "linux", "platform": "debian", "platformFamily": "debian", "platformVersion": "12.11",
                         "avgStat": {"load1": 0.1, "load5": 0.1, "load15": 0.1}},
            "cpuInfo": {"percent": 1.5, "info": ["CPU x 2 "]},
            "virtualMemoryInfo": {"total": 2, "used": 1, "usedPercent": 50.0},
            "swapMemoryInfo": {"total": 2, "used": 1, "free": 1, "usedPercent": 50.0},
            "diskInfo": {"total": 2, "used": 1, "usedPercent": 50.0,
                         "partitions": [{"mountPoint": "/", "fstype": "ext4", "total": 2, "free": 1, "used": 1, "usedPercent": 50.0}]},
            "networkInfo": {"netInSpeed": 1, "netOutSpeed": 1, "netInTransfer": 1, "netOutTransfer": 1}}


def talk(link, *texts):
    """Sends them all, and is back when all were judged: the link is still there."""
    link.send(b"".join(frame(TEXT, text) for text in texts) + frame(PING, b"still there?"))
    got = link.read(10)
    assert got and got[2:] == (PONG, b"still there?"), got


def shown(target, id="demo"):
    with urllib.request.urlopen(target.server.http + "/api/server/statusInfo", timeout=5) as answer:
        return next(m for m in json.load(answer)["data"] if m["id"] == id)


def inside(member):
    """A documented report's text with one more member, written as it is."""
    return json.dumps(documented())[:-1] + "," + member + "}"


def instead(path, value):
    """A documented report's text with another literal at path."""
    report = documented()
    *way, last = path.split(".")
    at = report
    for name in way:
        at = at[name]
    at[last] = "@@@"
    return json.dumps(report).replace('"@@@"', value)


# ---- texts that are no JSON, or not ours --------------------------------------------------------

BAD = {
    "empty": "", "blank": "  \n", "word": "hello", "not-closed": json.dumps(documented())[:-1], "single-quotes": "{'a':1}",
    "comment": inside('"a":1/* */'), "trailing-comma": json.dumps(documented())[:-1] + ",}", "bom": "\ufeff" + json.dumps(documented()),
    "array": "[]", "array-of-one": "[" + json.dumps(documented()) + "]", "number": "5", "string": '"report"', "null": "null", "true": "true",
    "trailing-bytes": json.dumps(documented()) + "x", "trailing-nul": json.dumps(documented()) + "\0", "two-values": json.dumps(documented()) * 2,
    "depth-33": inside('"a":' + "[" * 32 + "]" * 32), "depth-33-objects": inside('"a":' + '{"a":' * 32 + "1" + "}" * 32),
    "depth-100000": inside('"a":' + "[" * 100000 + "]" * 100000), "depth-100000-open": "[" * 100000,
    "nan": instead("cpu.percent", "NaN"), "infinity": instead("cpu.percent", "Infinity"), "minus-infinity": instead("cpu.percent", "-Infinity"),
    "1e999": instead("cpu.percent", "1e999"), "1e999-unknown": inside('"a":1e999'), "nan-unknown": inside('"a":NaN'),
    "huge-exponent": inside('"a":1e' + "9" * 1000), "overflow": instead("memory.total", "99999999999999999999"),
    "2^63": instead("memory.total", "9223372036854775808"), "2^64": inside('"a":18446744073709551616'),
    "digits": inside('"a":' + "9" * 10000), "negative": instead("memory.total", "-1"), "minus-zero": instead("cpu.percent", "-0.1"),
    "fraction": instead("memory.total", "1.5"), "exponent": instead("memory.total", "1.5e0"), "percent-101": instead("cpu.percent", "101"),
    "leading-zero": instead("memory.total", "01"), "plus": instead("memory.total", "+1"), "hex": instead("memory.total", "0x10"),
    "dot": instead("cpu.percent", "1."), "only-dot": instead("cpu.percent", ".5"), "milliseconds": instead("timestamp", "1700000000000000"),
    "twice": inside('"cpu":{}'), "twice-inside": instead("cpu", '{"cores":1,"cores":2}'), "twice-escaped": inside('"\\u0063pu":{}'),
    "u0000": instead("serverName", '"a\\u0000b"'), "u0000-unknown": inside('"a":"\\u0000"'), "u0000-key": inside('"\\u0000":1'),
    "lone-surrogate": inside('"a":"\\ud800"'), "reversed-surrogates": inside('"a":"\\udc00\\ud800"'), "bad-escape": inside('"a":"\\x41"'),
    "raw-control": inside('"a":"\x01"'), "raw-newline": inside('"a":"\n"'), "short-escape": inside('"a":"\\u12"'),
    "key-not-text": inside("1:2"), "no-colon": inside('"a" 1'), "no-cpu": json.dumps({k: v for k, v in documented().items() if k != "cpu"}),
    "long-name": instead("serverName", '"' + "n" * 1000000 + '"'), "both-forms-bad": json.dumps({**deployed(), **documented(), "cpu": 1}),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_reports_are_counted_and_dropped(shared, name):
    with shared.attack("dropped", server_status__bad_reports=1), shared.agent() as link:
        before = shown(shared)["lastReportTime"]
        talk(link, BAD[name])
        assert shown(shared)["lastReportTime"] == before
    with shared.attack(), shared.agent() as link:
        talk(link, json.dumps(documented()))


GOOD = {
    "depth-32": inside('"a":' + "[" * 31 + "]" * 31), "unknown-megabyte": inside('"a":"' + "x" * 1000000 + '"'),
    "unknown-keys": inside(",".join(f'"k{i}":1' for i in range(80000))), "unknown-twice": inside('"a":1,"a":2'),
    "zero": instead("memory.total", "0"), "2^63-1": instead("memory.total", "9223372036854775807"), "minus-zero": instead("cpu.percent", "-0"),
    "pair": inside('"a":"\\ud834\\udd1e"'), "spaces": " \r\n\t" + json.dumps(documented(), indent=4) + "\n ",
    "missing-optional": json.dumps({**documented(), "cpu": {}, "memory": {}, "disk": [], "network": {}, "system": {}}),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_at_the_edge(shared, name):
    with shared.attack(), shared.agent() as link:
        before = counters_of(shared.port)["reports.demo"]
        talk(link, GOOD[name])
        assert counters_of(shared.port)["reports.demo"] == before + 1
    # What follows on the page is not held up by it.
    with shared.agent() as link:
        talk(link, json.dumps(documented()))


def test_100000_keys(shared):
    """More than a megabyte of them is over the limit, less is taken: either way in no time."""
    keys = "{" + ",".join(f'"{i:06}":{i % 10}' for i in range(95000)) + "}"
    with shared.attack("dropped", server_status__bad_reports=5), shared.agent() as link:
        assert len(keys) < 1048576
        talk(link, *[keys] * 5)
    with shared.attack("message too big", core__messages_too_big=1), shared.agent() as link:
        link.send(frame(TEXT, "{" + ",".join(f'"{i:06}":{i % 10}' for i in range(100000)) + "}"))
        assert link.close_code() == 1009


def test_metrics_without_bounds(shared):
    """The member that travels as it is: deep, wide and strange values end in no harm to pages, REST and console."""
    texts = [inside('"metrics":' + m) for m in (
        "{}", '{"a":{}}', '{"a":[]}', '{"a":5}', '{"a":{"b":null}}', '{"a":{"b":[[[[1]]]]}}', '{"a":{"b":{"c":{"d":1}}}}', '{"":{"":""}}',
        '{"<b>":{"<script>alert(1)</script>":"<img src=x onerror=alert(1)>"}}', '{"__proto__":{"constructor":1}}',
        "{" + ",".join(f'"c{i}":{{"m":{i}}}' for i in range(2000)) + "}")]
    with shared.attack() as moved, shared.raw().open("/api/console/live") as page, shared.agent() as link:
        before = shared.counters().get("server_status.bad_reports", 0)
        for text in texts:
            talk(link, text)
            assert shown(shared)["id"] == "demo"
        bad = shared.counters().get("server_status.bad_reports", 0) - before
        if bad:
            moved["server_status.bad_reports"] = bad
        assert bad < len(texts) / 2
        while (message := page.message(0.3)):
            json.loads(message)


# ---- every field, eight wrong types -------------------------------------------------------------

TEXTS, WHOLE, NUMBER, PERCENT, OBJECT, ARRAY = "text", "whole", "number", "percent", "object", "array"
FIELDS = {
    "documented": {
        "serverId": TEXTS, "serverName": TEXTS, "group": TEXTS, "countryCode": TEXTS, "location": TEXTS, "ip": TEXTS,
        "cpu": OBJECT, "cpu.percent": PERCENT, "cpu.cores": WHOLE, "cpu.modelName": TEXTS,
        "memory": OBJECT, "memory.total": WHOLE, "memory.used": WHOLE, "memory.available": WHOLE, "memory.usedPercent": PERCENT,
        "disk": ARRAY, "disk.0": OBJECT, "disk.0.path": TEXTS, "disk.0.total": WHOLE, "disk.0.used": WHOLE, "disk.0.free": WHOLE,
        "disk.0.usedPercent": PERCENT, "disk.0.readSpeed": NUMBER, "disk.0.writeSpeed": NUMBER,
        "network": OBJECT, "network.interfaceName": TEXTS, "network.bytesSent": WHOLE, "network.bytesRecv": WHOLE,
        "network.inSpeed": NUMBER, "network.outSpeed": NUMBER,
        "system": OBJECT, "system.hostname": TEXTS, "system.os": TEXTS, "system.platform": TEXTS, "system.arch": TEXTS,
        "system.kernel": TEXTS, "system.uptime": WHOLE, "timestamp": WHOLE},
    "deployed": {
        "name": TEXTS, "group": TEXTS, "id": TEXTS, "lastReportTime": WHOLE, "ip": TEXTS, "loc": TEXTS, "hostInfo": OBJECT,
        **{f"hostInfo.{name}": TEXTS for name in ("kernelArch", "kernelVersion", "virtualizationSystem", "os", "platform",
                                                 "platformFamily", "platformVersion")},
        "hostInfo.uptime": WHOLE, "hostInfo.bootTime": WHOLE, "hostInfo.avgStat": OBJECT, "hostInfo.avgStat.load1": NUMBER,
        "hostInfo.avgStat.load5": NUMBER, "hostInfo.avgStat.load15": NUMBER, "cpuInfo": OBJECT, "cpuInfo.percent": PERCENT,
        "cpuInfo.info": ARRAY, "cpuInfo.info.0": TEXTS, "virtualMemoryInfo": OBJECT, "virtualMemoryInfo.total": WHOLE,
        "virtualMemoryInfo.used": WHOLE, "virtualMemoryInfo.usedPercent": NUMBER, "swapMemoryInfo": OBJECT,
        "swapMemoryInfo.total": WHOLE, "swapMemoryInfo.used": WHOLE, "swapMemoryInfo.free": WHOLE, "swapMemoryInfo.usedPercent": PERCENT,
        "diskInfo": OBJECT, "diskInfo.total": WHOLE, "diskInfo.used": WHOLE, "diskInfo.usedPercent": PERCENT,
        "diskInfo.partitions": ARRAY, "diskInfo.partitions.0": OBJECT, "diskInfo.partitions.0.mountPoint": TEXTS,
        "diskInfo.partitions.0.fstype": TEXTS, "diskInfo.partitions.0.total": WHOLE, "diskInfo.partitions.0.free": WHOLE,
        "diskInfo.partitions.0.used": WHOLE, "diskInfo.partitions.0.usedPercent": PERCENT, "networkInfo": OBJECT,
        "networkInfo.netInSpeed": WHOLE, "networkInfo.netOutSpeed": WHOLE, "networkInfo.netInTransfer": WHOLE,
        "networkInfo.netOutTransfer": WHOLE},
}
FORMS = {"documented": documented, "deployed": deployed}
VALUES = {"true": True, "false": False, "text": "text", "text-5": "5", "whole": 1, "minus": -1, "fraction": 0.5, "array": [], "object": {},
          "array-of-array": [[]], "large": 1e300, "bytes": "x" * 5000}
FITS = {TEXTS: {"text", "text-5"}, WHOLE: {"whole"}, NUMBER: {"whole", "fraction", "large"}, PERCENT: {"whole", "fraction"},
        OBJECT: {"object"}, ARRAY: {"array", "array-of-array"}}


def wrong_reports(form, path):
    """The eight, and one more where null is not the same as absent; the text of a report for each."""
    for name in [name for name in VALUES if name not in FITS[FIELDS[form][path]]][:8]:
        report = copy.deepcopy(FORMS[form]())
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        at = report
        for step in way:
            at = at[step]
        at[last] = VALUES[name]
        yield json.dumps(report)


def named(path):
    return path.replace(".0", "[0]")


@pytest.mark.parametrize("form,path", [(form, path) for form in FIELDS for path in FIELDS[form]])
def test_wrong_types(shared, form, path):
    with shared.attack(server_status__bad_reports=8), shared.agent() as link:
        texts = list(wrong_reports(form, path))
        assert len(texts) == 8
        talk(link, *texts)


def test_the_log_names_the_field(shared):
    """One line a second: a few fields here; that every error names its field is tested with the codec itself."""
    with shared.attack(server_status__bad_reports=6), shared.agent() as link:
        for form, path in (("documented", "cpu.cores"), ("documented", "disk.0.readSpeed"), ("documented", "timestamp"),
                           ("deployed", "hostInfo.avgStat.load5"), ("deployed", "diskInfo.partitions.0.fstype"),
                           ("deployed", "virtualMemoryInfo.used")):
            time.sleep(1.05)
            talk(link, next(wrong_reports(form, path)))
            lines = [line for line in shared.server.log.splitlines() if 'report of "demo" dropped' in line]
            assert f"dropped: {named(path)} must be " in lines[-1], lines[-1]


def test_required_fields(shared):
    with shared.attack(server_status__bad_reports=10), shared.agent() as link:
        required = ("serverId", "serverName", "cpu", "memory", "disk", "network", "system", "timestamp")
        talk(link, *[json.dumps({k: v for k, v in documented().items() if k != name}) for name in required],
             *[json.dumps({k: v for k, v in deployed().items() if k != name}) for name in ("cpuInfo", "virtualMemoryInfo")])


def test_another_machines_id(shared):
    time.sleep(1.05)  # its line is not to be left out
    with shared.attack("identity_mismatch", server_status__identity_mismatch=4), shared.agent() as link:
        talk(link, *[json.dumps(documented(serverId=id)) for id in ("bystander", "", "Demo", "demo ")])
    with shared.attack(), shared.agent() as link:  # the same id, written in another way
        talk(link, json.dumps(documented()).replace('"serverId": "demo"', '"serverId": "\\u0064emo"'))


# ---- pages --------------------------------------------------------------------------------------


def test_pages_send_nonsense(shared):
    texts = ["", "x", "[]", "5", '{"type":5}', '{"type":"' + "x" * 100 + '"}', "{" * 2000, '{"type":"ping","type":"ping"}', '{"type":NaN}',
             '{"type":"\\u0000"}']
    ignored = ["{}", '{"type":"pong"}', '{"type":"nothing","data":[1,2,3]}', '{"data":{"type":"ping"}}']
    with shared.attack("ignored", server_status__bad_page_messages=len(texts)), shared.raw().open("/ws-frontend") as page:
        end = time.monotonic() + 0.5  # the bystander's figures never pause for long
        while time.monotonic() < end:
            page.message(0.1)
        page.send(b"".join(frame(TEXT, text) for text in texts + ignored) + frame(TEXT, '{"type":"ping"}'))
        answers = []
        while not answers:
            message = json.loads(page.message(5))
            if "type" in message:
                answers.append(message)
        assert answers[0]["type"] == "pong" and abs(answers[0]["timestamp"] - time.time()) < 5
    with shared.attack(), shared.raw().open("/api/console/live") as page:  # only listens
        page.send(b"".join(frame(TEXT, text[:1024]) for text in texts))
        assert json.loads(page.message())["type"] == "hello"


# ---- names that want to be something else -------------------------------------------------------

NAMES = {"html": "<script>alert(1)</script><img src=x onerror=alert(1)>", "crlf": "name\r\n2026-01-01T00:00:00.000Z error: core: forged",
         "ansi": "\x1b[2J\x1b[31mred\x1b]0;title\x07", "formula": "=HYPERLINK(\"http://x\")", "quotes": "\"'`\\", "c1": "\x9b31m", "bidi": "\u202eevil",
         "separators": "a\u2028b\u2029c", "nul-like": "\\u0000", "format": "%s%n%x{}$(id)", "emoji": "🦜"}


@pytest.mark.parametrize("name", NAMES)
def test_names_pass_as_text_and_never_as_more(shared, name):
    text = NAMES[name]
    with shared.attack(), shared.raw().open("/ws-frontend") as page, shared.raw().open("/api/console/live") as console:
        with shared.agent() as link:
            talk(link, json.dumps(documented(group=text, location=text, system={"hostname": text})))
            seen = None
            while not seen or seen.get("serverId") != "demo" or seen.get("location") != text:
                seen = json.loads(page.message())
            assert seen["group"] == text and seen["system"] == {"hostname": text}
        assert shown(shared)["group"] == text
        while json.loads(raw := console.message()).get("location") != text:
            pass
        assert b"\x1b" not in raw and b"\n" not in raw


@pytest.mark.parametrize("form", ("ansi", "crlf", "c1"))
def test_the_log_is_escaped(shared, form):
    id = {"ansi": b"\x1b[31mred", "crlf": b"a\tb", "c1": b"\xc2\x9b31m"}[form]
    with shared.attack(server_status__agents_refused=1, auth_static__unknown_id=1, core__upgrades_refused=1):
        time.sleep(1.05)  # its line is not to be left out
        answer = shared.talk(upgrade("/ws-report", "X-SERVER-ID: @@@", "X-AUTH-SECRET: wrong-but-long-enough").replace(b"@@@", id))
        assert answer.startswith(b"HTTP/1.1 401 ") and b"wrong-but" not in answer
        line = eventually(lambda: [line for line in shared.server.log.splitlines() if "refused" in line])[-1]
        assert all(c >= " " and not "\x7f" <= c < "\xa0" for c in line) and "\\x" in line and "wrong-but" not in line
