# SPDX-License-Identifier: ISC
"""REST from tables: routing, access, checks, errors in two languages, limits and the description, through a plugin that only has tables."""
import asyncio
import http.client
import json
import random
import re
import socket
import ssl
import threading
import time
from urllib.parse import quote

import jsonschema
import pytest
import websockets
from conftest import BUILD, Server, eventually, free_port, get
from hostile import Raw, request, status_of, upgrade
from tls import self_signed

DIRS = f'plugin_dirs = [ "{BUILD}/lib/muster/plugins", "{BUILD}/tests/plugins" ];'
PAGE = "https://page.example"
ZH = {"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"}


class Answer:
    def __init__(self, status, headers, data):
        self.status, self.headers, self.data = status, headers, data

    @property
    def json(self):
        return json.loads(self.data)

    @property
    def error(self):
        return self.json["error"]

    @property
    def details(self):
        return {(d["field"], d["message"]) for d in self.error["details"]}

    @property
    def fields(self):
        return [d["field"] for d in self.error["details"]]


class Client:
    def __init__(self, server, source="127.0.0.1"):
        self.link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10, source_address=(source, 0))

    def __call__(self, method, path, body=None, token=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.link.request(method, path, body.encode() if isinstance(body, str) else body, headers)
        answer = self.link.getresponse()
        return Answer(answer.status, answer.headers, answer.read())


PLUGINS = ('{ name = "rest_probe"; }', '{ name = "chatter"; }', '{ name = "counters"; }')


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rest")
    port_line = '{{ address = "127.0.0.1"; port = {}; origins = [ "%s" ]; }}' % PAGE
    port = free_port()
    made = Server(folder, PLUGINS, listen=port_line.format(port), port=port,
                  more=f'{DIRS}\nlimits = {{ connects_per_second = 0; trusted_proxies = [ "127.0.0.9" ]; }};')
    yield made
    made.stop()


@pytest.fixture
def ask(shared):
    return Client(shared)


# ---- routing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ("GET", "POST", "PUT", "PATCH", "DELETE"))
def test_unknown_paths_under_api_have_the_full_form(ask, method):
    got = ask(method, "/api/nope?a=1", body={} if method in ("POST", "PUT", "PATCH") else None)
    assert (got.status, got.headers["Content-Type"]) == (404, "application/json; charset=utf-8")
    assert set(got.error) == {"code", "message", "timestamp", "requestId"}
    assert (got.error["code"], got.error["message"]) == ("NOT_FOUND", f"Route {method} /api/nope not found")
    assert re.fullmatch(r"[A-Za-z0-9_-]{12}", got.error["requestId"]) and got.headers["X-Request-Id"] == got.error["requestId"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", got.error["timestamp"])


def test_a_path_in_an_error_is_quoted(ask):
    assert ask("GET", "/api/%22%3Cb%3E%e8%ae%be%ff").error["message"] == 'Route GET /api/"<b>设\ufffd not found'


def test_elsewhere_errors_stay_as_they_are(ask):
    assert ask("GET", "/nope").json == {"code": "not_found", "message": "there is nothing at this path"}
    assert ask("GET", "/apix").json["code"] == "not_found"
    assert ask("POST", "/test/counters", {}).json["code"] == "method_not_allowed"
    got = ask("GET", "/probe/plain")
    assert (got.status, got.json["code"]) == (401, "unauthorized") and "X-Request-Id" not in got.headers


def test_request_ids_differ(ask):
    assert len({ask("GET", "/api/probe/things").headers["X-Request-Id"] for _ in range(200)}) == 200


def test_literals_beat_parameters(ask):
    def path(p, method="GET"):
        return ask(method, p, token="user:u").json["param"]
    assert path("/api/probe/things/7") == {"id": "7"}
    assert path("/api/probe/things/special") == {"id": "special"}  # the literal one has no GET
    assert path("/api/probe/things/special", "PUT") == {}
    assert path("/api/probe/things/a/parts/b") == {"ep": "a", "sub": "b"}
    assert path("/api/probe/things/a/parts/first") == {"ep": "a"}
    assert path("/api/probe/things/a%20b%2bc%25/parts/%E8%AE%BE") == {"ep": "a b+c%", "sub": "设"}
    assert path("/api/probe/things/7/") == {"id": "7"} and path("/api/probe/things/special/", "PUT") == {}
    assert ask("GET", "/api/probe/things/?page=2").json["given"] == {"page": 2} and ask("PUT", "/api/probe/things/", {}).status == 405
    assert ask("GET", "/api/nope/").error["message"] == "Route GET /api/nope/ not found"
    for other in ("/api/probe/things/a/parts", "/api/probe/things/a/parts/b/c", "/api/probe/things/a/b", "/api/probe/thing"):
        assert ask("GET", other, token="user:u").status == 404


@pytest.mark.parametrize("path", ("%ff", "a%01", "%c0%af", "a%7f", "%ed%a0%80"))
def test_parameters_are_text(ask, path):
    got = ask("GET", f"/api/probe/things/{path}", token="user:u")
    assert (got.status, got.error["code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("path", ("x%0d%0aAuthorization:%20Bearer%20admin:a%0d%0aX:", "x%20HTTP/1.1%0d%0aAuthorization:%20Bearer%20admin:a%0d%0aX:", "x%0a", "x%00", "x%00y", "%"))
def test_what_the_library_decodes_makes_no_headers(ask, path):
    """It takes an escaped line's end for one; such a request has no version left, so that it is refused whatever it goes on to say."""
    try:
        got = ask("GET", f"/api/probe/things/{path}")
    except (http.client.BadStatusLine, ConnectionError):
        return  # cut
    assert got.status >= 400 and b"param" not in got.data


def test_methods(ask):
    got = ask("PATCH", "/api/probe/things", {})
    assert (got.status, got.error["code"], got.headers["Allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, HEAD, POST, OPTIONS")
    got = ask("PATCH", "/api/probe/things/special", {})
    assert (got.status, got.headers["Allow"]) == (405, "GET, HEAD, PUT, DELETE, OPTIONS")
    got = ask("HEAD", "/api/probe/things")
    assert (got.status, got.data) == (200, b"") and int(got.headers["Content-Length"]) > 10
    assert ask("HEAD", "/api/nope").status == 404
    got = ask("OPTIONS", "/api/probe/things")
    assert (got.status, got.headers["Allow"], got.data) == (204, "GET, HEAD, POST, OPTIONS", b"")
    assert "Access-Control-Allow-Origin" not in got.headers


def test_pages_of_other_origins(ask):
    got = ask("OPTIONS", "/api/probe/things/1", Origin=PAGE, Access_Control_Request_Method="DELETE",
              Access_Control_Request_Headers="authorization, content-type, x-trace")
    assert got.status == 204
    assert got.headers["Access-Control-Allow-Origin"] == PAGE and got.headers["Access-Control-Allow-Credentials"] == "true"
    assert "DELETE" in got.headers["Access-Control-Allow-Methods"]
    assert got.headers["Access-Control-Allow-Headers"] == "authorization, content-type, x-trace"
    assert "Origin" in got.headers["Vary"]
    for path, status in (("/api/probe/things", 200), ("/api/probe/things/1", 401), ("/api/nope", 404)):
        got = ask("GET", path, Origin=PAGE)
        assert (got.status, got.headers["Access-Control-Allow-Origin"]) == (status, PAGE)
        assert "X-Request-Id" in got.headers["Access-Control-Expose-Headers"]
    for origin in ("https://evil.example", "null", PAGE + ".evil", "http://page.example", PAGE + ", https://evil.example"):
        for method in ("GET", "OPTIONS"):
            got = ask(method, "/api/probe/things", Origin=origin, Access_Control_Request_Method="GET")
            assert got.status in (200, 204) and not any(h.lower().startswith("access-control") for h in got.headers), origin
            assert "Origin" in got.headers["Vary"]
    hostile = ask("OPTIONS", "/api/probe/things", Origin=PAGE, Access_Control_Request_Headers="x: y<script>")
    assert hostile.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type"


# ---- access -------------------------------------------------------------------------------------

MATRIX = [  # token, user route, admin route
    (None, (401, "MISSING_TOKEN"), (401, "MISSING_TOKEN")),
    ("user:u", (200, None), (403, "FORBIDDEN")),
    ("admin:a", (200, None), (200, None)),
    ("machine:m", (403, "FORBIDDEN"), (403, "FORBIDDEN")),
    ("slow:u", (200, None), (403, "FORBIDDEN")),
    ("banned:u", (403, "USER_BANNED"), (403, "USER_BANNED")),
    ("owing:u", (403, "PAYMENT_DUE"), (403, "PAYMENT_DUE")),
    ("nobody", (401, "INVALID_TOKEN"), (401, "INVALID_TOKEN")),
    ("down", (503, "SERVICE_UNAVAILABLE"), (503, "SERVICE_UNAVAILABLE")),
]


@pytest.mark.parametrize("token,user,admin", MATRIX, ids=[str(row[0]) for row in MATRIX])
def test_access(ask, token, user, admin):
    for method, path, (status, code) in (("GET", "/api/probe/things/1", user), ("POST", "/api/probe/admin/act", admin),
                                         ("PATCH", "/api/probe/admin", admin)):
        got = ask(method, path, {"text": "abc"} if method != "GET" else None, token)
        assert got.status == status, (path, got.data)
        if code:
            assert got.error["code"] == code
        else:
            assert got.json["user"] == token.split(":")[1]
        if status == 401:
            assert got.headers["WWW-Authenticate"].startswith("Bearer")
        if status == 503:
            assert got.headers["Retry-After"] == "9"


def test_who_judges_tokens_brings_the_words_for_its_code(ask):
    for token, words, zh in (("owing:u", "first the bill", "请先付款"), ("banned:u", "this user may not do that now", None)):
        assert ask("GET", "/api/probe/things/1", token=token).error["message"] == words
        got = ask("GET", "/api/probe/things/1", token=token, **ZH)
        assert got.status == 403 and got.error["message"] != words and got.error["message"] == (zh or got.error["message"])
    assert ask("GET", "/probe/plain", token="owing:u").json["message"] == "first the bill"


def test_whether_a_request_came_over_tls_is_the_trusted_proxys_word(shared):
    def secure(source, **headers):
        return Client(shared, source)("GET", "/api/probe/things/1", token="user:u", **headers).json["secure"]
    assert secure("127.0.0.9", X_Forwarded_Proto="https") is True
    assert secure("127.0.0.9", X_Forwarded_Proto="HTTPS") is True
    assert secure("127.0.0.9", X_Forwarded_Proto="http") is False
    assert secure("127.0.0.9") is False
    assert secure("127.0.0.1", X_Forwarded_Proto="https") is False


def test_whether_a_request_came_over_tls(server, tmp_path):
    port = free_port()
    server(plugins=PLUGINS, port=port, more=DIRS, listen=f'{{ address = "127.0.0.1"; port = {port}; {self_signed(tmp_path, "localhost").conf} }}')
    link = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ssl._create_unverified_context())
    link.request("GET", "/api/probe/things/1", headers={"Authorization": "Bearer user:u", "X-Forwarded-Proto": "http"})
    assert json.loads(link.getresponse().read())["secure"] is True
    link.close()


def test_delete_has_a_body(ask):
    assert ask("DELETE", "/api/probe/things/1", {"x": 10}, "user:u").fields == ["x"]
    assert ask("DELETE", "/api/probe/things/1", token="user:u").fields == ["x"]
    assert ask("DELETE", "/api/probe/things/1", {"x": 1}, "slow:u").status == 200


def test_access_is_judged_before_bodies_and_queries(ask):
    for token, status in ((None, 401), ("nobody", 401), ("user:u", 403), ("admin:a", 400)):
        assert ask("PATCH", "/api/probe/admin", "{broken", token).status == status


@pytest.mark.parametrize("header,code", (("Basic dXNlcjpwdw==", "MISSING_TOKEN"), ("Bearer", "MISSING_TOKEN"), ("Bearer ", "MISSING_TOKEN"),
                                         ("Bearer\tuser:u", None), ("bearer user:u", None), ("Bearer   user:u", None), ("BEARER user:u", None),
                                         ("Beareruser:u", "MISSING_TOKEN"), ("Bearer user:u x", None), ("user:u", "MISSING_TOKEN")))
def test_forms_of_the_header(ask, header, code):
    got = ask("GET", "/api/probe/things/1", Authorization=header)
    assert got.error["code"] == code if code else got.status == 200, got.data


def test_routes_of_other_plugins_know_principals(ask):
    assert ask("GET", "/probe/plain", token="user:u7").data == b"user=u7"
    for how, status, body in (("error", 409, {"code": "taken", "message": "this is taken"}), ("answer", 200, "not given"),
                              ("invalid", 400, {"code": "VALIDATION_ERROR", "message": "is no good"}), ("null", 500, None)):
        got = ask("GET", f"/probe/plain?&&how={how}", token="user:u")
        assert got.status == status and body in (None, got.json)
    for token, status, code in (("nobody", 401, "unauthorized"), ("banned:u", 403, "forbidden"), ("down", 503, "unavailable"),
                                ("machine:m", 403, "forbidden")):
        got = ask("GET", "/probe/plain", token=token)
        assert (got.status, got.json["code"]) == (status, code)


def test_principals_do_not_last(ask):
    """On one connection, who asked before is nobody's business."""
    assert ask("GET", "/api/probe/things/1", token="user:u1").json["user"] == "u1"
    assert ask("GET", "/api/probe/things").json["user"] is None
    assert ask("GET", "/api/probe/things/1").status == 401
    assert ask("GET", "/api/probe/things/1", token="slow:u2").json["user"] == "u2"


def test_who_leaves_while_he_is_judged(shared, ask):
    for _ in range(50):
        s = socket.create_connection(("127.0.0.1", shared.port))
        s.sendall(b"GET /api/probe/things/1 HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer slow:x\r\n\r\n")
        s.close()
    time.sleep(0.3)
    assert ask("GET", "/api/probe/things/1", token="slow:u").json["user"] == "u"


@pytest.mark.slow
def test_a_backend_that_never_answers(shared):
    began = time.monotonic()
    link = Client(shared)
    link.link.timeout = 45
    got = link("GET", "/api/probe/things/1", token="never")
    assert got.headers["Retry-After"] == "5"
    assert (got.status, got.error["code"]) == (503, "SERVICE_UNAVAILABLE") and 28 < time.monotonic() - began < 40


# ---- bodies -------------------------------------------------------------------------------------


def given(ask, body, **headers):
    got = ask("POST", "/api/probe/things", body, **headers)
    assert got.status == 201, got.data
    return got.json["given"]


GOOD = {
    "text": ("ab", "abcde", "设备设备设", "\U0001d11e\U0001d11e", "a\\nb"), "words": ("red", "blue"), "code": ("abc", "A_9" * 10),
    "whole": (-10, 10, 0, 5.0, 1e1), "number": (0, -1.5, 1e300, 18446744073709551615), "flag": (True, False),
    "any": (None, 1, "x", [], {"a": [None]}), "maybe": (None, "", "x" * 255), "list": ([], ["a", "b"]),
    "thing": ({"x": 0}, {"x": 9, "y": 1}), "things": ([], [{"x": 1}] * 3), "secret": ("x" * 8,),
}


@pytest.mark.parametrize("name", GOOD)
def test_good_values(ask, name):
    for value in GOOD[name]:
        seen = given(ask, {"text": "abc", name: value})
        expected = {"x": value["x"]} if name == "thing" else value
        assert seen[name] == expected and type(seen[name]) in (type(expected), int), (value, seen)


TIMES = {1763710042: 1763710042000, 1.5: 1500, 0: 0, -1: -1000, "2026-11-21T07:47:22.328Z": 1795247242328, "2026-11-21T08:47:22+01:00": 1795247242000,
         "2026-11-21T07:47:22.3281239Z": 1795247242328, "2026-11-21": 1795219200000, "2026-11-21T07:47": 1795247220000,
         "2026-11-21 07:47:22": 1795247242000, "2024-02-29T00:00:00Z": 1709164800000, "1969-12-31T23:59:59.999Z": -1,
         "2026-11-21T07:47:22-0530": 1795267042000, "0000-01-01T00:00:00Z": -62167219200000, 253402300799: 253402300799000}


@pytest.mark.parametrize("value", TIMES, ids=str)
def test_times(ask, value):
    assert given(ask, {"text": "abc", "time": value})["time"] == TIMES[value]
    if isinstance(value, str):
        got = ask("GET", "/api/probe/things?since=" + quote(value))
        assert got.json["given"]["since"] == TIMES[value]


@pytest.mark.parametrize("value", ("", "zz", "2026-13-01", "2026-02-30", "2025-02-29", "2026-11-21T24:00:00Z", "2026-11-21T07:60Z", "2026-11-21T", "2026-11-21T07",
                                   "2026-11-21T07:47:22+25:00", "2026-11-21T07:47:22Zx", "2026-11-21T07:47:22.Z", "21.11.2026", 1795247242328, True, [], "99999-01-01"))
def test_no_times(ask, value):
    got = ask("POST", "/api/probe/things", {"text": "abc", "time": value})
    assert (got.status, got.fields) == (400, ["time"]), got.data


BAD = [  # what is sent besides a good text, the field, English, Chinese
    ({"text": None}, "text", "must be a text", "必须是字符串"),
    ({"text": 5}, "text", "must be a text", "必须是字符串"),
    ({"text": "a"}, "text", "must have from 2 to 5 characters", "长度必须为 2-5 个字符"),
    ({"text": "设" * 6}, "text", "must have from 2 to 5 characters", "长度必须为 2-5 个字符"),
    ({"text": "Fool"}, "text", "must not be a fool", "不能是傻瓜"),
    ({"words": "yellow"}, "words", "must be one of: red, green, blue", "必须是以下之一: red, green, blue"),
    ({"words": ["red"]}, "words", "must be a text", "必须是字符串"),
    ({"code": "a b"}, "code", "only letters, digits and underscores", "只能包含字母、数字和下划线"),
    ({"code": "abc\n"}, "code", "only letters, digits and underscores", "只能包含字母、数字和下划线"),
    ({"code": "ab"}, "code", "must be a code of 3 to 30 characters", "长度必须为 3-30 位"),
    ({"code": 7}, "code", "must be a code of 3 to 30 characters", "长度必须为 3-30 位"),
    ({"whole": 11}, "whole", "must be from -10 to 10", "必须在 -10 到 10 之间"),
    ({"whole": 1.5}, "whole", "must be a whole number", "必须是整数"),
    ({"whole": "1"}, "whole", "must be a whole number", "必须是整数"),
    ({"whole": 1e300}, "whole", "must be a whole number", "必须是整数"),
    ({"whole": 18446744073709551615}, "whole", "must be a whole number", "必须是整数"),
    ({"whole": True}, "whole", "must be a whole number", "必须是整数"),
    ({"number": "1"}, "number", "must be a number", "必须是数字"),
    ({"flag": 1}, "flag", "must be true or false", "必须是布尔值"),
    ({"flag": "true"}, "flag", "must be true or false", "必须是布尔值"),
    ({"time": "soon"}, "time", "must be a time: ISO 8601, or Unix seconds", "必须是 ISO 8601 时间或 Unix 秒数"),
    ({"thing": []}, "thing", "must be an object", "必须是对象"),
    ({"thing": {}}, "thing.x", "is missing", "不能为空"),
    ({"thing": {"x": 10}}, "thing.x", "must be from 0 to 9", "必须在 0 到 9 之间"),
    ({"things": {}}, "things", "must be an array", "必须是数组"),
    ({"things": [{"x": 1}] * 4}, "things", "must have at most 3 items", "不能超过 3 项"),
    ({"things": [{"x": 1}, {"x": 1, "when": "no"}]}, "things[1].when", "must be a time: ISO 8601, or Unix seconds", "必须是 ISO 8601 时间或 Unix 秒数"),
    ({"things": [None]}, "things[0]", "must be an object", "必须是对象"),
    ({"list": ["a", 1]}, "list[1]", "must be a text", "必须是字符串"),
    ({"list": "a"}, "list", "must be an array", "必须是数组"),
    ({"maybe": 5}, "maybe", "must be a text", "必须是字符串"),
    ({"maybe": "x" * 256}, "maybe", "must have at most 255 characters", "长度不能超过 255 个字符"),
    ({"secret": "hunter2"}, "secret", "must have from 8 to 100 characters", "长度必须为 8-100 个字符"),
]


@pytest.mark.parametrize("body,field,en,zh", BAD, ids=[f"{list(row[0])[0]}-{n}" for n, row in enumerate(BAD)])
def test_bad_values(ask, body, field, en, zh):
    got = ask("POST", "/api/probe/things", {"text": "abc", **body})
    assert (got.status, got.error["code"], got.error["message"]) == (400, "VALIDATION_ERROR", "the request's data are not valid")
    assert got.error["details"] == [{"field": field, "message": en}]
    got = ask("POST", "/api/probe/things", {"text": "abc", **body}, **ZH)
    assert got.error["message"] == "请求数据验证失败" and got.error["details"] == [{"field": field, "message": zh}]


def test_all_bad_fields_are_named(ask):
    got = ask("POST", "/api/probe/things", {"code": "!", "whole": 99, "flag": 0, "thing": {"x": "1"}, "list": [1, 2]})
    assert got.fields == ["text", "code", "code", "whole", "flag", "thing.x", "list[0]", "list[1]"]
    assert ask("POST", "/api/probe/things", {}).details == {("text", "is missing")}
    assert ask("POST", "/api/probe/things", "").details == {("text", "is missing")}
    many = ask("POST", "/api/probe/things", {"text": "abc", "list": [1] * 5000})
    assert len(many.fields) == 50


def test_other_spellings(ask):
    assert given(ask, {"other_text": "abc"}) == {"text": "abc"}
    assert given(ask, {"other_text": 5, "text": "abc"}) == {"text": "abc"}
    assert ask("POST", "/api/probe/things", {"other_text": 5}).fields == ["other_text"]
    assert ask("GET", "/api/probe/things?q=x").json["given"] == {"query": "x"}


def test_what_no_table_names_is_dropped(ask):
    assert given(ask, {"text": "abc", "isAdmin": True, "__proto__": 1, "thing": {"x": 1, "isAdmin": True}}) == {"text": "abc", "thing": {"x": 1}}


TEXT = '{"text":"abc",'
BROKEN = {
    "not-closed": '{"text":"abc"', "comment": TEXT + '"a":1/**/}', "comma": TEXT + "}", "single": "{'text':'abc'}", "word": "hello", "two": "{}{}",
    "nul": TEXT + '"a":"\\u0000"}', "raw-nul": '{"text":"abc\0"}', "surrogate": TEXT + '"a":"\\ud800"}', "utf8": b'{"text":"\xff\xfe"}',
    "overlong": b'{"text":"\xc0\xafab"}', "nan": TEXT + '"a":NaN}', "1e999": TEXT + '"a":1e999}', "depth": TEXT + '"a":' + "[" * 40 + "]" * 40 + "}",
    "deep": "[" * 90000, "digits": TEXT + '"a":' + "9" * 90000 + "}", "bom": "\ufeff{}", "blank": "   ", "nul-end": '{"text":"abc"}\0', "twice": TEXT + '"text":"abd"}', "twice-within": TEXT + '"any":[{"a":{"b":1,"b":1}}]}', "twice-escaped": TEXT + '"t\\u0065xt":"abd"}', "newline": '{"text":"a\nb"}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_no_json(ask, name):
    began = time.monotonic()
    got = ask("POST", "/api/probe/things", BROKEN[name])
    assert (got.status, got.error["code"]) == (400, "INVALID_JSON"), got.data
    assert "not valid JSON" in got.error["message"] and time.monotonic() - began < 2
    assert "JSON" in ask("POST", "/api/probe/things", BROKEN[name], **ZH).error["message"]
    # A route that takes no body looks at it all the same.
    if len(BROKEN[name]) < 1000:
        assert ask("POST", "/api/probe/admin/act", BROKEN[name], "admin:a").error["code"] == "INVALID_JSON"


def test_how_many_values(ask):
    """A body is no place for thousands of objects, which cost more than their bytes; brackets within texts are none."""
    assert ask("POST", "/api/probe/things", {"text": "abc", "any": [{}] * 1998}).status == 201
    assert ask("POST", "/api/probe/things", {"text": "abc", "any": [{}] * 1999}).error["code"] == "INVALID_JSON"
    assert ask("POST", "/api/probe/things", {"text": "abc", "any": '\\"[{:' * 5000}).status == 201


@pytest.mark.parametrize("body", ("[]", "5", '"text"', "null", "true", '[{"text":"abc"}]'))
def test_bodies_are_objects(ask, body):
    got = ask("POST", "/api/probe/things", body)
    assert got.error["code"] == "VALIDATION_ERROR" and got.details == {("", "the body must be an object")}


@pytest.mark.parametrize("kind,good", (("application/json", 1), ("application/json; charset=utf-8", 1), ("Application/JSON;charset=UTF-8", 1), ("text/plain", 0),
                                       ("application/x-www-form-urlencoded", 0), ("application/jsonx", 0), ("", 0), ("multipart/form-data; boundary=x", 0)))
def test_content_types(ask, kind, good):
    got = ask("POST", "/api/probe/things", {"text": "abc"}, Content_Type=kind)
    assert got.status == (201 if good else 415), got.data
    if not good:
        assert got.error["code"] == "UNSUPPORTED_MEDIA_TYPE"


def test_no_body_needs_no_type(ask):
    assert ask("POST", "/api/probe/admin/act", token="admin:a").status == 200
    assert ask("POST", "/api/probe/admin/act", {}, "admin:a").status == 200  # pages send one all the same
    assert ask("POST", "/api/probe/admin/act", " " * 2000 + "{}", "admin:a").error["code"] == "PAYLOAD_TOO_LARGE"


def test_sizes(shared, ask):
    def padded(n):
        return TEXT + '"maybe":null}' + " " * (n - len(TEXT) - 13)
    assert ask("POST", "/api/probe/things", padded(100 * 1024)).status == 201
    got = ask("POST", "/api/probe/things", padded(100 * 1024 + 1))
    assert (got.status, got.error["code"], got.headers["Connection"]) == (413, "PAYLOAD_TOO_LARGE", "close")
    assert Client(shared)("POST", "/api/probe/long", padded(1000)).status == 200
    assert Client(shared)("POST", "/api/probe/long", padded(1001)).status == 413


def raw(shared, data, wait=5):
    with socket.create_connection(("127.0.0.1", shared.port), wait) as s:
        s.sendall(data)
        got = b""
        try:
            while piece := s.recv(65536):
                got += piece
        except (socket.timeout, ConnectionResetError):
            pass
        return got


@pytest.mark.parametrize("head,status,code", (
    ("POST /api/probe/things HTTP/1.1\r\nHost: t", 400, "VALIDATION_ERROR"), ("POST /api/probe/things HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked", 411, "LENGTH_REQUIRED"),
    ("POST /api/probe/things HTTP/1.1\r\nHost: t\r\nContent-Length: x", 400, "BAD_REQUEST"), ("GET /api/probe/things HTTP/1.1", 400, "BAD_REQUEST"),
    ("GET /api/nope HTTP/1.1\r\nHost: a\r\nHost: b", 400, "BAD_REQUEST"), ("GET /api/probe/things HTTP/1.1\r\nHost: t\r\nContent-Length: 5", 413, "PAYLOAD_TOO_LARGE"),
    ("POST /api/probe/things HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\nExpect: tea", 417, "EXPECTATION_FAILED")))
def test_heads_that_are_refused_in_rest_form(shared, head, status, code):
    got = raw(shared, head.encode() + b"\r\nContent-Type: application/json\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 %d " % status), got
    assert json.loads(got.split(b"\r\n\r\n", 1)[1])["error"]["code"] == code


# ---- queries ------------------------------------------------------------------------------------


@pytest.mark.parametrize("query,expected", (
    ("", {}), ("page=5", {"page": 5}), ("page=&q=&words=&flag=", {}), ("page", {}), ("flag=true&number=1.5", {"flag": True, "number": 1.5}), ("flag=0", {"flag": False}),
    ("q=a+b%20c%2B", {"query": "a b c+"}), ("list=1&list=2", {"list": [1, 2]}), ("other=1&page=2&pagex=3&pag=4", {"page": 2}), ("words=red", {"words": "red"}),
    ("q=%E8%AE%BE", {"query": "设"}), ("since=1795247242", {"since": 1795247242000}), ("since=2026-11-21T08:47:22+01:00", {"since": 1795247242000}), ("q=a=b", {"query": "a=b"}),
    ("q=x&&page=2&", {"query": "x", "page": 2}), ("&page=2", {"page": 2}), ("other=" + "x" * 3000 + "&page=2", {"page": 2})))
def test_good_queries(ask, query, expected):
    got = ask("GET", "/api/probe/things?" + query)
    assert (got.status, got.json["given"] if got.status == 200 else got.data) == (200, expected)


@pytest.mark.parametrize("query,fields", (
    ("page=0", ["page"]), ("page=x", ["page"]), ("page=1.5", ["page"]), ("page=1&page=2", ["page"]), ("page=0x10", ["page"]), ("page=99999999999999999999", ["page"]),
    ("page=+1", ["page"]), ("page=1%20", ["page"]), ("flag=yes", ["flag"]), ("number=NaN", ["number"]), ("number=1e999", ["number"]), ("words=RED", ["words"]), ("q=%ff", ["q"]),
    ("q=" + "x" * 11, ["q"]), ("q=" + "x" * 3000, ["q"]), ("list=1&list=x", ["list"]), ("list=1&list=1&list=1&list=1", ["list"]), ("since=tomorrow", ["since"]),
    ("page=0&flag=2&words=x", ["page", "flag", "words"]), ("number=1}", ["number"]), ("page=%31%2c2", ["page"])))
def test_bad_queries(ask, query, fields):
    got = ask("GET", "/api/probe/things?" + query)
    assert (got.status, got.error["code"]) == (400, "VALIDATION_ERROR"), got.data
    assert sorted(got.fields) == sorted(fields)


# ---- answers and errors -------------------------------------------------------------------------


def test_answers_that_wait(ask):
    assert ask("GET", "/api/probe/later?page=100").json["given"] == {"page": 100}
    got = ask("POST", "/api/probe/later?page=50", {"x": 1}, token="slow:u9")
    assert got.json["given"] == {"page": 50} and got.json["user"] == "u9"
    assert ask("GET", "/api/probe/later").fields == ["page"]


def test_handlers_errors(ask):
    got = ask("GET", "/api/probe/fail/conflict")
    assert (got.status, got.error["code"], got.error["message"]) == (409, "USER_EXISTS", "this name is taken")
    assert ask("GET", "/api/probe/fail/conflict", **ZH).error["message"] == "用户名已存在"
    got = ask("GET", "/api/probe/fail/invalid", **ZH)
    assert (got.status, got.error["code"], got.details) == (400, "VALIDATION_ERROR", {("email", "邮箱格式不正确")})
    assert got.error["message"] == "邮箱格式不正确"
    for how in ("null", "nothing", "other"):
        got = ask("GET", f"/api/probe/fail/{how}")
        assert (got.status, got.error["code"]) == (500, "INTERNAL_SERVER_ERROR")


@pytest.mark.slow
def test_an_answer_that_never_comes(shared):
    link = Client(shared)
    link.link.timeout = 45
    got = link("GET", "/api/probe/fail/never")
    assert (got.status, got.error["code"]) == (504, "TIMEOUT")


def test_forms_of_errors(ask):
    for path, status, code, token in (("/api/probe/short/conflict", 409, "USER_EXISTS", "user:u"), ("/api/probe/short/conflict", 401, "MISSING_TOKEN", None),
                                      ("/api/probe/short/other", 500, "INTERNAL_SERVER_ERROR", "user:u")):
        got = ask("GET", path, token=token)
        assert got.status == status and set(got.json) == {"error"} and set(got.error) == {"code", "message"} and got.error["code"] == code
        assert got.headers["X-Request-Id"]
    for body, token, status in (({"x": 1}, "user:u", 409), ({}, "user:u", 400), ("{", "user:u", 400), ({"x": 1}, None, 401)):
        got = ask("POST", "/api/probe/text/conflict", body, token)
        assert got.status == status and isinstance(got.error, str) and list(got.json) == ["error"]
    # Where there is no room for details, the message says it.
    assert ask("POST", "/api/probe/text/conflict", {}, "user:u").error == "x: is missing"
    assert ask("POST", "/api/probe/text/conflict", {"x": 10}, "user:u", **ZH).error == "x: 必须在 0 到 9 之间"


@pytest.mark.parametrize("header,zh", (("zh", 1), ("zh-CN", 1), ("zh-Hans;q=0.5, en;q=0.4", 1), ("en, zh;q=0.9", 0), ("en-US,en;q=0.9,zh;q=0.8", 0), ("zh;q=0.3,en;q=0.3", 1),
                                       ("en;q=0.3,zh;q=0.3", 0), ("*", 0), ("de, zh", 1), ("zh;q=0", 0), ("", 0), ("zhx", 0), (";;,,zh;q=x", 0), ("ZH-tw", 1), ("z", 0)))
def test_languages(ask, header, zh):
    got = ask("GET", "/api/probe/things", Accept_Language=header)
    assert got.json["language"] == ("zh" if zh else "en")


# ---- rates --------------------------------------------------------------------------------------


def rate_left(got):
    return got.status, int(got.headers["RateLimit-Limit"]), int(got.headers["RateLimit-Remaining"])


def test_rates(shared):
    a, b = Client(shared, "127.0.0.21"), Client(shared, "127.0.0.22")
    assert [rate_left(a("GET", "/api/probe/try")) for _ in range(2)] == [(200, 3, 2), (200, 3, 1)]
    assert rate_left(a("POST", "/api/probe/try", {"x": 10})) == (400, 3, 0)  # what fails counts, and the name is shared
    got = a("POST", "/api/probe/try", {"x": 1})
    assert rate_left(got) == (429, 3, 0) and got.error["code"] == "RATE_LIMIT_EXCEEDED"
    assert got.headers["RateLimit-Policy"] == "3;w=2" and 1 <= int(got.headers["RateLimit-Reset"]) <= 2
    assert got.headers["Retry-After"] == got.headers["RateLimit-Reset"]
    assert a("GET", "/api/probe/try", **ZH).error["message"].startswith("请求过于频繁")
    assert a("OPTIONS", "/api/probe/try").status == 204 and "RateLimit-Limit" not in a("GET", "/api/probe/things").headers
    assert rate_left(b("GET", "/api/probe/try")) == (200, 3, 2)
    eventually(lambda: a("GET", "/api/probe/try").status == 200, 5, 0.2)


def test_rates_behind_proxies(shared):
    proxy, other = Client(shared, "127.0.0.9"), Client(shared, "127.0.0.23")
    def through(address):
        return proxy("GET", "/api/probe/try", X_Forwarded_For=address)
    assert [through("203.0.113.5").status for _ in range(4)] == [200, 200, 200, 429]
    assert through("203.0.113.6").status == 200
    # IPv6: a customer has a /64.
    assert [through(f"2001:db8:1:1::{n}").status for n in range(4)] == [200, 200, 200, 429]
    assert through("2001:db8:1:2::1").status == 200
    # What a client claims of itself does not count.
    assert [other("GET", "/api/probe/try", X_Forwarded_For=f"198.51.100.{n}").status for n in range(4)] == [200, 200, 200, 429]


# ---- the description ----------------------------------------------------------------------------

LITERAL = {"/api/probe/things", "/api/probe/things/{id}", "/api/probe/things/special", "/api/probe/things/{ep}/parts/{sub}", "/api/probe/things/{ep}/parts/first",
           "/api/probe/admin", "/api/probe/admin/act", "/api/probe/later", "/api/probe/fail/{how}", "/api/probe/short/{how}", "/api/probe/text/{how}", "/api/probe/try",
           "/api/probe/long"}


def resolve(document, schema):
    while "$ref" in schema:
        at = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        schema = at
    return schema


def test_the_description(shared, ask):
    document = ask("GET", "/api/openapi.json").json
    assert document["openapi"] == "3.1.0" and document["info"]["title"] == "Muster" and set(document["paths"]) == LITERAL
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert method in ("get", "post", "put", "patch", "delete")
            named = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
            assert named == re.findall(r"\{(\w+)\}", path)
            assert (operation["security"] == []) == (operation["x-muster-access"] == "public")
            for parameter in operation["parameters"]:
                jsonschema.Draft202012Validator.check_schema(parameter["schema"])
            if body := operation.get("requestBody"):
                jsonschema.Draft202012Validator.check_schema(body["content"]["application/json"]["schema"])
            for answer in operation["responses"].values():
                assert answer["description"]
                for content in answer.get("content", {}).values():
                    jsonschema.Draft202012Validator.check_schema(resolve(document, content["schema"]))
    things = document["paths"]["/api/probe/things"]
    assert things["get"]["responses"]["200"]["content"]["application/json"]["schema"]["type"] == "array"
    assert "201" in things["post"]["responses"]
    one = document["paths"]["/api/probe/things/{id}"]["get"]
    assert (one["x-muster-owner"], one["security"], one["summary"]) == ("thing", [{"bearer": []}], "One thing")
    assert document["paths"]["/api/probe/try"]["get"]["x-muster-rate"] == {"name": "tries", "count": 3, "window_s": 2}
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    short = document["paths"]["/api/probe/short/{how}"]["get"]["responses"]["401"]["content"]["application/json"]["schema"]
    assert short == {"$ref": "#/components/schemas/ShortError"}


def test_the_description_says_what_is_checked(shared, ask):
    """Whatever the server takes its own description takes, and the other way round."""
    document = ask("GET", "/api/openapi.json").json
    schema = document["paths"]["/api/probe/things"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema.Draft202012Validator(schema)
    bodies = [{"text": "abc", name: value} for name in GOOD for value in GOOD[name]] + [{"text": "abc", **row[0]} for row in BAD] + [{}, {"text": "abc"}]
    for body in bodies:
        if body.get("text") == "Fool" or body.get("code") == "abc\n" or body.get("time") == "soon" or "when" in str(body):
            continue  # what no schema can say, or not in Python's expressions
        assert validator.is_valid(body) == (ask("POST", "/api/probe/things", body).status == 201), body


def test_errors_fit_the_description(ask):
    document = ask("GET", "/api/openapi.json").json
    error = jsonschema.Draft202012Validator(document["components"]["schemas"]["Error"])
    for got in (ask("GET", "/api/nope"), ask("POST", "/api/probe/things", {}), ask("GET", "/api/probe/things/1")):
        error.validate(got.json)


def test_the_description_follows_plugins_and_listeners(server):
    port, second = free_port(), free_port()
    s = server(plugins=list(PLUGINS), more=DIRS, port=port,
               listen=f'{{ port = {port}; }}, {{ port = {second}; plugins = [ "counters" ]; }}')
    def paths(of):
        return set(get(f"http://127.0.0.1:{of}/api/openapi.json")["paths"])
    for _ in range(2):
        assert (paths(port), paths(second)) == (LITERAL, set())
    s.reload(s.text(['{ name = "counters"; }', '{ name = "chatter"; }']))
    eventually(lambda: paths(port) == set())
    s.reload(s.text(list(PLUGINS)))
    eventually(lambda: paths(port) == LITERAL)


# ---- plugins that come and go -------------------------------------------------------------------


def test_requests_that_wait_when_their_plugin_stops(server):
    s = server(plugins=list(PLUGINS), more=DIRS)
    waiting = [Raw(s.port) for _ in range(12)]
    asked = [("later?page=60000", ())] * 5 + [("things/1", ["Authorization: Bearer never"])] * 5 + [("fail/never", ())] * 2
    for link, (path, headers) in zip(waiting, asked):
        link.send(request(f"GET /api/probe/{path} HTTP/1.1", "Host: t", "Connection: close", *headers))
    assert Client(s)("GET", "/api/probe/things").status == 200  # they came before
    assert not any(link.more(0.01) for link in waiting)
    s.reload(s.text(['{ name = "counters"; }', '{ name = "chatter"; }']))
    for link in waiting:
        assert status_of(link.answer(10)) == 503 and json.loads(link.rest())["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert Client(s)("GET", "/api/probe/things").status == 404
    s.reload(s.text(list(PLUGINS)))
    eventually(lambda: Client(s)("GET", "/api/probe/things").status == 200)


# ---- logs and counters --------------------------------------------------------------------------


def test_secrets_are_not_logged(server):
    s = server(plugins=list(PLUGINS), more=DIRS + '\nlog = { level = "debug"; };')
    ask = Client(s)
    for secret in ("hunter2", "correct-horse-battery"):
        ask("POST", "/api/probe/things", {"text": "abc", "secret": secret})
        ask("POST", "/api/probe/things", '{"secret":"%s' % secret)
        ask("GET", f"/api/probe/things/{secret}", token=secret)
        ask("GET", f"/api/probe/things?page=x&token={secret}", token=secret)
        ask("GET", f"/api/probe/fail/{secret}?token={secret}")
        assert secret not in s.log, s.log
    counters = get(s.http + "/test/counters")
    assert counters["rest_probe.rest_refused"] >= 6 and counters["rest_probe.rest_failed"] == 2
    assert re.search(r"request [\w-]{12}, POST /api/probe/things: 400", s.log)
    assert re.search(r"request [\w-]{12}, GET /api/probe/fail/:how: 500 INTERNAL_SERVER_ERROR", s.log)


# ---- subprotocols -------------------------------------------------------------------------------

def offering(shared, *offers):
    """(status, subprotocol)"""
    with Raw(shared.port) as link:
        link.send(upgrade("/ws-chat", *(f"Sec-WebSocket-Protocol: {o}".encode().decode("latin-1") for o in offers)))
        head = link.answer()
    found = re.search(rb"\r\nSec-WebSocket-Protocol: ([^\r]*)(\r\n|$)", head, re.I)
    return status_of(head), found and found[1].decode()


@pytest.mark.parametrize("offers,expected", (
    ((), (101, None)), (("mqtt",), (101, "mqtt")), (("a, b",), (101, "a")), (("a,b ,\tc",), (101, "a")), (("a", "b"), (101, "a")), (("muster",), (101, "muster")),
    (("x, muster",), (101, "x")), (("muster, x",), (101, "muster")), (("n" * 62,), (101, "n" * 62)), (("n" * 63,), (400, None)), (("n" * 50 + ", " + "m" * 74,), (101, "n" * 50)),
    (("n" * 50 + ", " + "m" * 75,), (400, None)), (("m" * 2000,), (400, None)), (("arduino",), (101, "arduino")), (("1a",), (101, "1a")), (("v1.2-beta",), (101, "v1.2-beta")),
    (("!#$%&'*+-.^_`|~",), (101, "!#$%&'*+-.^_`|~")), (("13",), (400, None)), (("1.5",), (400, None)), (("1.2.3a",), (400, None)), (("a b",), (400, None)), (("a,,b",), (400, None)),
    (("a;b",), (400, None)), (("é",), (400, None)), (("(none)",), (400, None)), (("a,",), (400, None)), (("a/b",), (400, None)), (('"a"',), (400, None)), (("mqtt, 13",), (101, "mqtt"))))
def test_subprotocols(shared, offers, expected):
    assert offering(shared, *offers) == expected


def test_any_name_is_echoed_or_refused(shared):
    """Names of every form, as many do at once: each gets its own back, and nobody is cut without a word."""
    def some(seed):
        rng = random.Random(seed)
        for _ in range(150):
            names = ["".join(rng.choice("!#$%&'*+-.^_`|~abzAZ0123456789.-.1") for _ in range(rng.choice((1, 2, 3, 8, 30, 62)))) for _ in range(rng.randrange(1, 4))]
            status, chosen = offering(shared, ", ".join(names))
            if status == 101 and chosen != names[0] or status not in (101, 400):
                wrong.append((names, status, chosen))
    wrong = []
    threads = [threading.Thread(target=some, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---- relayed messages ---------------------------------------------------------------------------


def test_relay_reaches_all_but_the_sender(shared):
    async def talk():
        async with websockets.connect(shared.ws + "/ws-chat", subprotocols=["mqtt"]) as a, websockets.connect(shared.ws + "/ws-chat") as b, \
                websockets.connect(shared.ws + "/ws-chat") as c:
            assert a.subprotocol == "mqtt" and b.subprotocol is None
            sent = ["hello", b"\x00\x01\xff", "", b"", "设" * 1000, b"\xff" * 70000, "x" * 500000]
            for message in sent:
                await a.send(message)
            for one in (b, c):
                assert [await asyncio.wait_for(one.recv(), 5) for _ in sent] == sent
            await b.send("from b")
            assert await asyncio.wait_for(a.recv(), 5) == "from b"  # the first thing that a hears
            assert await asyncio.wait_for(c.recv(), 5) == "from b"
            await c.send("close me")
            with pytest.raises(websockets.ConnectionClosed):
                await c.recv()
            await a.send("two left")
            assert await asyncio.wait_for(b.recv(), 5) == "two left"
    asyncio.run(talk())


def test_relay_cuts_who_does_not_read(shared):
    async def talk():
        async with websockets.connect(shared.ws + "/ws-chat") as a, websockets.connect(shared.ws + "/ws-chat", max_size=None) as b:
            slow = Raw(shared.port, rcvbuf=4096).open("/ws-chat")
            before = get(shared.http + "/test/counters").get("core.readers_too_slow", 0)
            big = b"z" * 500000
            for _ in range(40):
                await a.send(big)
                assert await asyncio.wait_for(b.recv(), 5) == big
            slow.s.close()
            assert get(shared.http + "/test/counters")["core.readers_too_slow"] == before + 1
    asyncio.run(talk())
