# SPDX-License-Identifier: ISC
"""What a PostgREST 13 answers, over a real database: its grammar, roles, statuses and error bodies, as far as Muster and the official client need them."""
import base64
import contextlib
import hashlib
import hmac
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote_to_bytes

import psycopg2

JSON, OBJECT = "application/json", "application/vnd.pgrst.object+json"
OPERATORS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "like", "ilike": "ilike", "match": "~",
             "imatch": "~*", "cs": "@>", "cd": "<@", "ov": "&&", "isdistinct": "IS DISTINCT FROM"}
IS = {"null": "NULL", "not_null": "NOT NULL", "true": "TRUE", "false": "FALSE", "unknown": "UNKNOWN"}
RESERVED = {"select", "order", "limit", "offset", "columns", "on_conflict"}
# SQLSTATE, or its beginning, to the HTTP status.
STATUSES = {"08": 503, "09": 500, "0L": 403, "0P": 403, "23503": 409, "23505": 409, "25006": 405, "25": 500, "28": 403, "2D": 500, "38": 500,
            "39": 500, "3B": 500, "40": 500, "53400": 500, "53": 503, "54": 500, "55": 500, "57": 500, "58": 500, "F0": 500, "HV": 500,
            "P0001": 400, "P0": 500, "XX": 500, "42883": 404, "42P01": 404, "42P17": 500}


class Answer:
    def __init__(self, status, body=b"", headers=None):
        self.status, self.headers = status, dict(headers or {})
        self.body = body.encode() if isinstance(body, str) else body


class Refused(Exception):
    def __init__(self, status, code, message, details=None, hint=None, **headers):
        super().__init__(message)
        body = {"code": code, "details": details, "hint": hint, "message": message}
        self.answer = Answer(status, json.dumps(body, separators=(",", ":"), ensure_ascii=False),
                             {"Content-Type": f"{JSON}; charset=utf-8", **{k.replace("_", "-"): v for k, v in headers.items()}})


# ---- JSON Web Tokens ----------------------------------------------------------------------------


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def make_jwt(secret, claims, alg="HS256"):
    signed = b64(json.dumps({"alg": alg, "typ": "JWT"}).encode()) + "." + b64(json.dumps(claims).encode())
    if alg == "none":
        return signed + "."
    return signed + "." + b64(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())


def bad_token(code, message, details=None):
    return Refused(401, code, message, details, WWW_Authenticate=f'Bearer error="invalid_token", error_description="{message}"')


def check_jwt(secret, token):
    """Its claims; the refusals are PostgREST's own words."""
    if not token:
        raise bad_token("PGRST301", "Empty JWT is sent in Authorization header")
    parts = token.split(".")
    if len(parts) != 3:
        raise bad_token("PGRST301", f"Expected 3 parts in JWT; got {len(parts)}")
    wrong = bad_token("PGRST301", "No suitable key or wrong key type", "None of the keys was able to decode the JWT")
    try:
        alg = json.loads(unb64(parts[0]))["alg"]
        claims = json.loads(unb64(parts[1]))
        signature = unb64(parts[2])
    except (ValueError, KeyError, TypeError):
        raise wrong from None
    if alg == "none":
        raise bad_token("PGRST301", "Wrong or unsupported encoding algorithm", "JWT is unsecured but expected 'alg' was not 'none'")
    expected = hmac.new(secret.encode(), f"{parts[0]}.{parts[1]}".encode(), hashlib.sha256).digest()
    if alg != "HS256" or not hmac.compare_digest(signature, expected):
        raise wrong
    now, skew = time.time(), 30
    if "exp" in claims and claims["exp"] < now - skew:
        raise bad_token("PGRST303", "JWT expired")
    if "nbf" in claims and claims["nbf"] > now + skew:
        raise bad_token("PGRST303", "JWT not yet valid")
    if "iat" in claims and claims["iat"] > now + skew:
        raise bad_token("PGRST303", "JWT issued at future")
    return claims


# ---- the query string → SQL ---------------------------------------------------------------------


def ident(name):
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    """Of type unknown, as PostgREST's parameters are. libpq's C strings end at a NUL."""
    return "'" + text.split("\0", 1)[0].replace("'", "''") + "'"


def unparsable(what, text, details, column=1):
    return Refused(400, "PGRST100", f'"failed to parse {what} ({text})" (line 1, column {column})', details)


def split_top(text):
    """Splits at commas outside quotes and parentheses."""
    parts, depth, quoted, begin, i = [], 0, False, 0, 0
    while i < len(text):
        c = text[i]
        if quoted and c == "\\":
            i += 1
        elif c == '"':
            quoted = not quoted
        elif not quoted and c in "()":
            depth += 1 if c == "(" else -1
        elif not quoted and c == "," and depth == 0:
            parts.append(text[begin:i])
            begin = i + 1
        i += 1
    return parts + [text[begin:]]


def unquoted(text):
    if len(text) > 1 and text[0] == '"' and text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def column(table, text):
    """A column, perhaps with a path into its JSON: data->a->>b"""
    name, *path = re.split(r"(->>?)", text)
    made = f"{table}.{ident(unquoted(name))}"
    for arrow, key in zip(path[::2], path[1::2]):
        made += arrow + (key if re.fullmatch(r"-?\d+", key) else literal(key))
    return made


class Query:
    def __init__(self, table, raw):
        self.table = f"{ident('public')}.{ident(table)}"
        self.select, self.order, self.limit, self.offset, self.columns, self.conflict = "*", None, None, 0, None, None
        self.where = []
        for part in raw.split("&") if raw else []:
            key, _, value = part.partition("=")
            key, value = (unquote_to_bytes(text.replace("+", " ")).decode() for text in (key, value))  # UnicodeDecodeError: a 500
            if key in RESERVED:
                self.reserved(key, value)
            elif key in ("and", "or", "not.and", "not.or"):
                self.where.append(self.logic(key, value))
            else:
                self.where.append(self.filter(column(self.table, key), value))

    def reserved(self, key, value):
        if key in ("limit", "offset"):
            if not re.fullmatch(r"-?\d+", value):
                raise Refused(400, "PGRST100", f'"failed to parse {key} parameter ({value})" (line 1, column 1)')
            setattr(self, key, max(0, int(value)))
        elif key == "select":
            self.select = value or "*"
        elif key == "order":
            self.order = value
        else:
            setattr(self, "conflict" if key == "on_conflict" else key, [unquoted(name) for name in split_top(value)])

    def filter(self, what, text):
        rest, negated = (text[4:], True) if text.startswith("not.") else (text, False)
        name, dot, value = rest.partition(".")
        if not dot or name not in OPERATORS and name not in ("in", "is"):
            seen = f'"{rest[0]}"' if rest else "end of input"
            expected = "operator (eq, gt, ...)" if negated else '"not" or operator (eq, gt, ...)'
            raise unparsable("filter", text, f"unexpected {seen} expecting {expected}", 5 if negated else 1)
        if name == "is":
            if value.lower() not in IS:
                raise unparsable("filter", text, f'unexpected "{value[:1]}" expecting isVal: (null, not_null, true, false, unknown)', 4)
            made = f"{what} IS {IS[value.lower()]}"
        elif name == "in":
            if not (value.startswith("(") and value.endswith(")")):
                raise unparsable("filter", text, f'unexpected "{value[:1]}" expecting "("', 4)
            items = [unquoted(item) for item in split_top(value[1:-1])] if value != "()" else []
            array = "{" + ",".join('"' + re.sub(r'(["\\])', r"\\\1", item) + '"' for item in items) + "}"
            made = f"{what} = ANY ({literal(array)})"
        else:
            made = f"{what} {OPERATORS[name]} {literal(value.replace('*', '%') if name in ('like', 'ilike') else value)}"
        return f"NOT {made}" if negated else made

    def logic(self, key, text):
        if not (text.startswith("(") and text.endswith(")")):
            raise unparsable("logic tree", text, f'unexpected "{text[:1]}" expecting "("')
        made = []
        for part in split_top(text[1:-1]):
            nested = re.fullmatch(r"((?:not\.)?(?:and|or))(\(.*\))", part, re.S)
            if nested:
                made.append(self.logic(*nested.groups()))
                continue
            name, _, rest = part.partition(".")
            op, _, value = rest.rpartition(".") if rest.endswith('"') and '."' in rest else (rest, "", "")
            if value:  # within a logic tree a value may be quoted
                op, value = rest.split('."', 1)
                rest = f'{op}.' + unquoted('"' + value)
            made.append(self.filter(column(self.table, name), rest))
        joined = "(" + (" OR " if key.endswith("or") else " AND ").join(made) + ")"
        return f"NOT {joined}" if key.startswith("not.") else joined

    def selected(self):
        made = []
        for item in split_top(self.select):
            item = item.strip()
            if "(" in item:
                raise NotImplementedError(f"this stand-in embeds and aggregates nothing: select={self.select}")
            if item == "*":
                made.append(f"{self.table}.*")
                continue
            found = re.fullmatch(r'(?:([^:"]+|"[^"]*"):(?!:))?(.+?)(?:::(\w+))?', item, re.S)
            alias, name, cast = found.groups()
            text = column(self.table, name)
            alias = alias or (re.split(r"->>?", name)[-1] if "->" in name else None)
            made.append((f"CAST({text} AS {ident(cast)})" if cast else text) +
                        (f" AS {ident(unquoted(alias))}" if alias else f" AS {ident(unquoted(name))}" if cast else ""))
        return ", ".join(made)

    def filters(self):
        return f" WHERE {' AND '.join(self.where)}" if self.where else ""

    def ordered(self):
        made = []
        for item in split_top(self.order) if self.order else []:
            name, *words = item.split(".")
            text = column(self.table, name)
            for word in words:
                if word not in ("asc", "desc", "nullsfirst", "nullslast"):
                    raise unparsable("order", self.order, f'unexpected "{word[:1]}" expecting "asc", "desc", "nullsfirst" or "nullslast"')
                text += {"asc": " ASC", "desc": " DESC", "nullsfirst": " NULLS FIRST", "nullslast": " NULLS LAST"}[word]
            made.append(text)
        return " ORDER BY " + ", ".join(made) if made else ""


# ---- the server ---------------------------------------------------------------------------------


def accepted(headers):
    wanted = [part.split(";")[0].strip().lower() for part in headers.get("accept", "*/*").split(",")]
    for kind in wanted:
        if kind == OBJECT:
            return OBJECT
        if kind in ("*/*", "application/*", JSON):
            return JSON
    raise Refused(406, "PGRST107", f"None of these media types are available: {', '.join(wanted)}")


def content_range(lower, upper, total):
    span = f"{lower}-{upper}" if total != 0 and lower <= upper else "*"
    return f"{span}/{'*' if total is None else total}"


class PostgREST:
    """answer() may be called from any thread; connections are kept per worker."""

    def __init__(self, database, jwt_secret, max_rows=1000, workers=16):
        self.database, self.jwt_secret, self.max_rows = database, jwt_secret, max_rows
        self.pool = ThreadPoolExecutor(workers, "postgrest")
        self.local = threading.local()
        self.connections = []

    def close(self):
        self.pool.shutdown(wait=True, cancel_futures=True)
        for connection in self.connections:
            connection.close()

    def answer(self, method, path, raw_query, headers, body):
        try:
            return self._answer(method, path, raw_query, headers, body)
        except Refused as refused:
            return refused.answer
        except UnicodeDecodeError:
            return Answer(500, "Something went wrong", {"Content-Type": "text/plain"})

    def _answer(self, method, path, raw_query, headers, body):
        authorization = headers.get("authorization", "")
        claims = {"role": "anon"}
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() == "bearer":
            claims = {"role": "anon", **check_jwt(self.jwt_secret, token.strip())}
        kind = accepted(headers)
        name = unquote_to_bytes(path.strip("/")).decode()
        if not name or "/" in name:
            raise Refused(404, "PGRST125", "Invalid path specified in request URL")
        if method not in ("GET", "HEAD", "POST", "PATCH", "DELETE"):
            raise Refused(405, "PGRST117", f"Unsupported HTTP method: {method}")
        prefer = {}
        for part in headers.get("prefer", "").split(","):
            key, _, value = part.strip().partition("=")
            prefer[key] = value
        query = Query(name, raw_query)
        try:
            if method in ("GET", "HEAD"):
                return self.read(query, claims, kind, prefer, headers, method)
            return self.write(query, name, claims, kind, prefer, method, body)
        except psycopg2.OperationalError as error:
            if error.pgcode is None or error.pgcode[:2] in ("08", "57"):
                raise Refused(503, "PGRST001", "Database client error. Retrying the connection.", str(error).strip()) from None
            raise self.refusal(error, name, claims, method) from None
        except psycopg2.Error as error:
            raise self.refusal(error, name, claims, method) from None

    @staticmethod
    def refusal(error, name, claims, method):
        code, said = error.pgcode or "XX000", error.diag
        message = said.message_primary or str(error)
        if code == "42P01" and message == f'relation "public.{name}" does not exist':
            return Refused(404, "PGRST205", f"Could not find the table 'public.{name}' in the schema cache")
        missing = re.fullmatch(r'column "(.*)" (?:of relation ".*" )?does not exist', message) if code == "42703" else None
        if missing and method in ("POST", "PATCH"):
            return Refused(400, "PGRST204", f"Could not find the '{missing[1]}' column of '{name}' in the schema cache")
        status = next((STATUSES[key] for key in (code, code[:2]) if key in STATUSES), 400)
        more = {}
        if code == "42501":
            status = 403
            if claims["role"] == "anon":
                status, more = 401, {"WWW_Authenticate": "Bearer"}
        if code == "22023" and message.startswith("role "):
            status = 401
        return Refused(status, code, message, said.message_detail, said.message_hint, **more)

    def run(self, claims, statement, read_only, check=None):
        """One transaction in the role of the claims; check(row) may refuse and so roll it back."""
        connection = getattr(self.local, "connection", None)
        if connection is None or connection.closed:
            connection = self.local.connection = self.database.connect("authenticator")
            connection.autocommit = True
            self.connections.append(connection)
        settings = {"role": claims["role"], "request.jwt.claims": json.dumps(claims)}
        begin = f"BEGIN {'READ ONLY' if read_only else 'READ WRITE'}; SELECT " + ", ".join(
            f"set_config({literal(key)}, {literal(value)}, true)" for key, value in settings.items())
        with connection.cursor() as cursor:
            try:
                cursor.execute(f"{begin}; {statement}")
                row = cursor.fetchone()
                if check:
                    check(row)
                cursor.execute("COMMIT")
                return row
            except BaseException:
                if not connection.closed:
                    try:
                        cursor.execute("ROLLBACK")
                    except psycopg2.Error:
                        connection.close()
                raise

    @staticmethod
    def aggregate(kind):
        return "coalesce(json_agg(_t), '[]')::text" if kind == JSON else "coalesce((json_agg(_t) -> 0)::text, 'null')"

    @staticmethod
    def single(kind, rows):
        if kind == OBJECT and rows != 1:
            raise Refused(406, "PGRST116", "Cannot coerce the result to a single JSON object", f"The result contains {rows} rows")

    def read(self, query, claims, kind, prefer, headers, method):
        lower, upper = query.offset, None if query.limit is None else query.offset + query.limit - 1
        asked = re.fullmatch(r"(?:items=)?(\d+)-(\d*)", headers.get("range", "").strip())
        if asked and method == "GET":
            lower = max(lower, int(asked[1]))
            ends = [end for end in (upper, int(asked[2]) if asked[2] else None) if end is not None]
            upper = min(ends) if ends else None
        if upper is not None and upper < lower - 1:
            raise Refused(416, "PGRST103", "Requested range not satisfiable", "The lower boundary must be lower than or equal to the upper boundary in the Range header.")
        limits = [n for n in (None if upper is None else upper - lower + 1, self.max_rows) if n is not None]
        limit = f" LIMIT {min(limits)}" if limits else ""
        count = prefer.get("count") in ("exact", "planned", "estimated")
        statement = (f"WITH pgrst_source AS (SELECT {query.selected()} FROM {query.table}{query.filters()}{query.ordered()}{limit} OFFSET {lower}) "
                     f"SELECT {f'(SELECT count(*) FROM {query.table}{query.filters()})' if count else 'NULL::bigint'}, count(_t), {self.aggregate(kind)} "
                     "FROM (SELECT * FROM pgrst_source) _t")
        total, rows, body = self.run(claims, statement, True)
        self.single(kind, rows)
        span = content_range(lower, lower + rows - 1, total)
        if total is not None and lower > total:
            raise Refused(416, "PGRST103", "Requested range not satisfiable", f"An offset of {lower} was requested, but there are only {total} rows.",
                          Content_Range=span)
        return Answer(206 if total is not None and rows < total else 200, body,
                      {"Content-Type": f"{kind}; charset=utf-8", "Content-Range": span})

    @staticmethod
    def payload(body):
        try:
            value = json.loads(body)
        except ValueError:
            value = None
        if not isinstance(value, (dict, list)) or isinstance(value, list) and not all(isinstance(row, dict) for row in value):
            raise Refused(400, "PGRST102", "Empty or invalid json")
        return value

    def write(self, query, name, claims, kind, prefer, method, body):
        minimal = prefer.get("return", "minimal") != "representation"
        returning = "1" if minimal else query.selected()
        if method == "DELETE":
            source = f"DELETE FROM {query.table}{query.filters()} RETURNING {returning}"
        else:
            value = self.payload(body)
            rows = value if isinstance(value, list) else [value]
            keys = query.columns or (list(rows[0]) if rows else [])
            if not query.columns and any(set(row) != set(keys) for row in rows):
                raise Refused(400, "PGRST102", "All object keys must match")
            given = f"json_populate_recordset(null::{query.table}, {literal(json.dumps(rows))}::json)"
            names = ", ".join(map(ident, keys))
            if not keys or not rows:
                source = f"SELECT {returning} FROM {query.table} WHERE false"
                if method == "POST" and rows:
                    source = f"INSERT INTO {query.table} DEFAULT VALUES RETURNING {returning}"
            elif method == "POST":
                source = (f"INSERT INTO {query.table} ({names}) SELECT {names} FROM {given}{self.conflict(query, prefer, keys)} "
                          f"RETURNING {returning}")
            else:
                changes = ", ".join(f"{ident(key)} = pgrst_body.{ident(key)}" for key in keys)
                source = f"UPDATE {query.table} SET {changes} FROM (SELECT {names} FROM {given} LIMIT 1) pgrst_body{query.filters()} RETURNING {returning}"
        statement = f"WITH pgrst_source AS ({source}) SELECT count(_t), {self.aggregate(kind)} FROM (SELECT * FROM pgrst_source) _t"
        count, text = self.run(claims, statement, False, None if minimal else lambda row: self.single(kind, row[0]))
        total = count if prefer.get("count") in ("exact", "planned", "estimated") else None
        span = content_range(0, count - 1, total) if method == "PATCH" else content_range(1, 0, total)
        applied = [f"return={prefer['return']}"] if prefer.get("return") else []
        more = {"Content-Range": span, **({"Preference-Applied": ", ".join(applied)} if applied else {})}
        if minimal:
            return Answer(201 if method == "POST" else 204, b"", more)
        return Answer(201 if method == "POST" else 200, text, {"Content-Type": f"{kind}; charset=utf-8", **more})

    def conflict(self, query, prefer, keys):
        resolution = prefer.get("resolution")
        if resolution not in ("merge-duplicates", "ignore-duplicates"):
            return ""
        if query.conflict:
            columns = query.conflict
        else:
            with contextlib.closing(self.database.connect()) as connection, connection.cursor() as cursor:
                cursor.execute("select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey) "
                               "where i.indisprimary and i.indrelid = to_regclass(%s)", (query.table,))
                columns = [row[0] for row in cursor.fetchall()]
        target = ", ".join(map(ident, columns))
        if resolution == "ignore-duplicates":
            return f" ON CONFLICT ({target}) DO NOTHING"
        return f" ON CONFLICT ({target}) DO UPDATE SET " + ", ".join(f"{ident(key)} = EXCLUDED.{ident(key)}" for key in keys)
