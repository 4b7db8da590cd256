# SPDX-License-Identifier: ISC
"""A Supabase project's one origin for tests: {url}/rest/v1/… and {url}/realtime/v1/websocket over a real database, able to fail on demand."""
import asyncio
import json
import secrets
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import namedtuple
from pathlib import Path
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web
from yarl import URL

from postgres import free_port
from postgrest import Answer, PostgREST, make_jwt
from realtime import Realtime

Request = namedtuple("Request", "method path query headers body when")
Keys = namedtuple("Keys", "jwt_secret anon_jwt service_jwt publishable secret")
Certificates = namedtuple("Certificates", "ca certificate key")


def make_keys():
    """The four keys of a project: two legacy ones (JWT) and two of the newer kind, which only the gateway understands."""
    jwt_secret = secrets.token_hex(32)
    now = int(time.time())
    jwt = {role: make_jwt(jwt_secret, {"iss": "supabase", "ref": "test", "role": role, "iat": now - 60, "exp": now + 86400})
           for role in ("anon", "service_role")}
    return Keys(jwt_secret, jwt["anon"], jwt["service_role"], f"sb_publishable_{secrets.token_urlsafe(16)}_{secrets.token_hex(4)}",
                f"sb_secret_{secrets.token_urlsafe(16)}_{secrets.token_hex(4)}")


def make_certificates(folder, names=("DNS:localhost", "IP:127.0.0.1")):
    """A CA of one's own and a certificate from it, as PEM files in the folder."""
    folder = Path(folder)
    made = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    (folder / "extensions").write_text(f"subjectAltName={','.join(names)}\nextendedKeyUsage=serverAuth\n")

    def openssl(*arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, text=True)
        assert done.returncode == 0, done.stdout

    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", made.ca, "-days", 2, "-subj", "/CN=Muster test CA")
    openssl("req", *new_key, "-keyout", made.key, "-out", "server.csr", "-subj", "/CN=localhost")
    openssl("x509", "-req", "-in", "server.csr", "-CA", made.ca, "-CAkey", "ca.key", "-CAcreateserial", "-out", made.certificate, "-days", 2,
            "-extfile", "extensions")
    return made


def plain_json(status, body, **headers):
    return Answer(status, json.dumps(body), {"Content-Type": "application/json; charset=utf-8", **headers})


class RealPostgREST:
    """A PostgREST program (POSTGREST_BIN) over the same database; the front maps keys to tokens all the same."""

    def __init__(self, program, database, jwt_secret, max_rows):
        self.folder = tempfile.TemporaryDirectory(prefix="muster-postgrest-")
        self.port, admin = free_port(), free_port()
        conf = Path(self.folder.name) / "postgrest.conf"
        conf.write_text(f'db-uri = "{database.uri("authenticator")}"\ndb-schemas = "public"\ndb-anon-role = "anon"\njwt-secret = "{jwt_secret}"\n'
                        f'db-max-rows = {max_rows}\nserver-host = "127.0.0.1"\nserver-port = {self.port}\nadmin-server-port = {admin}\n'
                        'db-extra-search-path = "public"\nlog-level = "warn"\n')
        self.log = open(Path(self.folder.name) / "log", "ab")
        self.process = subprocess.Popen([program, conf], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        self.url, self.session = f"http://127.0.0.1:{self.port}", None
        deadline = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{admin}/ready", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                assert self.process.poll() is None and time.monotonic() < deadline, Path(self.log.name).read_text()
                time.sleep(0.05)

    async def answer(self, method, path, raw_query, headers, body):
        if self.session is None:
            self.session = aiohttp.ClientSession(auto_decompress=False, connector=aiohttp.TCPConnector(limit=0))
        url = URL(f"{self.url}{path}{'?' + raw_query if raw_query else ''}", encoded=True)
        kept = {key: value for key, value in headers.items() if key not in ("host", "connection", "content-length", "transfer-encoding")}
        try:
            async with self.session.request(method, url, headers=kept, data=body or None, allow_redirects=False) as got:
                dropped = ("connection", "transfer-encoding", "content-length", "date", "server")
                return Answer(got.status, await got.read(), {k: v for k, v in got.headers.items() if k.lower() not in dropped})
        except aiohttp.ClientError as error:
            return plain_json(502, {"message": f"An invalid response was received from the upstream server: {error}"})

    async def close(self):
        if self.session:
            await self.session.close()
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
        self.folder.cleanup()


class Gateway:
    """with Gateway(database) as project: … project.url, project.keys.secret, project.count("/rest/v1/users")

    tls: certificates of make_certificates(). real: a PostgREST program instead of the own dialect.
    """

    def __init__(self, database, tls=None, keys=None, max_rows=1000, port=None, real=None):
        self.database, self.tls, self.keys = database, tls, keys or make_keys()
        self.port, self.direct_port = port or free_port(), free_port()
        self.max_rows, self.real = max_rows, real
        self.requests, self.in_flight, self.most_in_flight, self.connections = [], 0, 0, 0
        self.behaviour = {}  # path prefix → (mode, seconds)
        self.realtime = Realtime(self)
        self.loop, self.thread, self.backend = None, None, None
        self.servers = {}

    # ---- what tests ask and tell ----

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def direct_url(self):
        """PostgREST itself, without the gateway and its keys."""
        return self.backend.url if self.real else f"http://127.0.0.1:{self.direct_port}"

    def count(self, path="", method=None):
        """Requests so far whose path begins so."""
        return sum(request.path.startswith(path) and method in (None, request.method) for request in list(self.requests))

    def forget(self):
        self.requests.clear()
        self.most_in_flight = self.in_flight

    MODES = ("hang", "slow", "nonsense", "truncated", "cut", "close", "huge", "two", "empty", "object", "redirect")

    def behave(self, mode=None, path="/rest/v1/", seconds=1.0):
        """From now on requests below the path are answered so; None: as they should be.

        A status as a number (500, 401, 403, 404, 429, 503 …); hang (no answer until told otherwise), slow (the right answer after so many
        seconds), nonsense (200, no JSON), truncated (200, half a JSON text), cut (less body than announced), close (no answer, connection
        closed), huge (200, a 1 MiB array), two (every row twice; two made-up rows where there is none), empty (200 []), object (200, no
        array), redirect (302 to /elsewhere).
        """
        assert mode is None or isinstance(mode, int) or mode in self.MODES, mode
        if mode is None:
            self.behaviour.pop(path, None)
        else:
            self.behaviour[path] = (mode, seconds)

    def refuse(self):
        """Nobody listens any more and every open connection is cut: connecting is refused."""
        self._call(self._close_front())

    def accept(self):
        """Listens again, on the same port."""
        self._call(self._open_front())

    def reload_schema(self):
        """After a change of tables; only a real PostgREST has a cache of them."""
        self.database.sql("notify pgrst, 'reload schema'")

    # ---- life ----

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="gateway", daemon=True)
        self.thread.start()
        try:
            if self.real:
                self.backend = RealPostgREST(self.real, self.database, self.keys.jwt_secret, self.max_rows)
            else:
                self.backend = PostgREST(self.database, self.keys.jwt_secret, self.max_rows)
                self._call(self._open("direct", self.direct_port, self._direct, None))
            self.accept()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.behaviour.clear()
        self.realtime.stop()
        for name in list(self.servers):
            self._call(self._close(name))
        if self.real and self.backend:
            self._call(self.backend.close())
        elif self.backend:
            self.backend.close()
        self._call(self._end_tasks())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()

    def _call(self, coroutine, timeout=30):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    async def _end_tasks(self):
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self.loop.shutdown_default_executor()

    async def _open_front(self):
        context = None
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.tls.certificate, self.tls.key)
        await self._open("front", self.port, self._front, context)

    async def _close_front(self):
        await self._close("front")

    async def _open(self, name, port, handler, context):
        assert name not in self.servers
        server = web.Server(handler, access_log=None, keepalive_timeout=75)
        runner = web.ServerRunner(server)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context, backlog=1024, reuse_address=True, shutdown_timeout=0.2).start()
        self.servers[name] = (runner, server)

    async def _close(self, name):
        runner, server = self.servers.pop(name)
        for site in list(runner.sites):
            await site.stop()
        for connection in list(server.connections):
            if connection.transport:
                connection.transport.abort()
        await runner.cleanup()

    # ---- requests ----

    @staticmethod
    def _split(request):
        path, _, query = request.raw_path.partition("?")
        return path, query, {key.lower(): value for key, value in request.headers.items()}

    @staticmethod
    def _response(answer):
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)

    async def _direct(self, request):
        path, query, headers = self._split(request)
        return self._response(await self._ask(request.method, path, query, headers, await request.read()))

    async def _ask(self, *arguments):
        if self.real:
            return await self.backend.answer(*arguments)
        return await self.loop.run_in_executor(self.backend.pool, self.backend.answer, *arguments)

    def role(self, key):
        """The role that a key stands for, or None; the legacy ones are compared, not decoded, as the gateway does."""
        keys = self.keys
        return {keys.anon_jwt: "anon", keys.publishable: "anon", keys.service_jwt: "service_role", keys.secret: "service_role"}.get(key)

    def token(self, key):
        """The JWT that the gateway hands on for a key of the newer kind."""
        return self.keys.service_jwt if self.role(key) == "service_role" else self.keys.anon_jwt

    def refusal(self, headers, query):
        """The gateway's own 401, or None. The key may stand in the header or in the URL."""
        key = headers.get("apikey") or parse_qs(query).get("apikey", [None])[0]
        if not key:
            return plain_json(401, {"message": "No API key found in request", "hint": "No `apikey` request header or url param was found."})
        if not self.role(key):
            return plain_json(401, {"message": "Invalid API key", "hint": "Double check your Supabase `anon` or `service_role` API key."})
        return None

    async def _front(self, request):
        path, query, headers = self._split(request)
        body = await request.read()
        self.requests.append(Request(request.method, path, query, headers, body, time.time()))
        if not path.startswith("/rest/v1/"):
            return await self._route(request, path, query, headers, body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._route(request, path, query, headers, body)
        finally:
            self.in_flight -= 1

    async def _route(self, request, path, query, headers, body):
        prefixes = [prefix for prefix in self.behaviour if path.startswith(prefix)]
        mode, seconds = self.behaviour[max(prefixes, key=len)] if prefixes else (None, 0)
        if mode is not None:
            told = await self._misbehave(request, path, mode, seconds)
            if told is not None:
                return told
        refused = self.refusal(headers, query)
        if refused:
            return self._response(refused)
        if path == "/realtime/v1/websocket":
            return await self.realtime.serve(request, query)
        if not path.startswith("/rest/v1/"):
            return self._response(plain_json(404, {"message": "no Route matched with those values"}))
        key = headers.get("apikey") or ""
        if not key:  # it stood in the URL, where PostgREST would take it for a filter
            key = parse_qs(query)["apikey"][0]
            query = "&".join(part for part in query.split("&") if not part.startswith("apikey="))
        # Keys of the newer kind are no JWT: alone, or also sent as the bearer, they are replaced by one.
        if key.startswith("sb_") and headers.get("authorization", "Bearer sb_").lower().startswith("bearer sb_"):
            headers = {**headers, "authorization": f"Bearer {self.token(key)}"}
        answer = await self._ask(request.method, path[len("/rest/v1"):], query, headers, body)
        if mode == "two" and answer.status == 200:
            rows = json.loads(answer.body) or [{"id": "11111111-1111-1111-1111-111111111111"}]
            answer.body = json.dumps([row for row in rows for _ in range(2)]).encode()
        return self._response(answer)

    async def _misbehave(self, request, path, mode, seconds):
        """A response instead of the right one, or None for the right one."""
        if mode == "slow":
            await asyncio.sleep(seconds)
        elif mode == "hang":
            while any(path.startswith(prefix) and told[0] == "hang" for prefix, told in list(self.behaviour.items())) and request.transport:
                await asyncio.sleep(0.02)
        if mode in ("slow", "two"):
            return None
        if mode in ("close", "hang"):
            if request.transport:
                request.transport.abort()
            return web.Response(status=500)
        if isinstance(mode, int):
            words = {401: "Invalid API key", 403: "permission denied for table users", 404: "Not found", 429: "Too many requests"}
            return self._response(plain_json(mode, {"code": str(mode), "details": None, "hint": None, "message": words.get(mode, "told to fail")},
                                             **({"Retry-After": "1"} if mode in (429, 503) else {})))
        if mode == "redirect":
            return web.Response(status=302, headers={"Location": f"{self.url}/elsewhere"})
        if mode == "cut":
            response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'[{"id":"1')
            request.transport.abort()
            return response
        body = {"nonsense": "<html><body>It works!</body></html>", "truncated": '[{"id":"1111', "empty": "[]", "object": '{"id":"1"}',
                "huge": json.dumps([{"id": f"{n:036d}"} for n in range(24000)])}[mode]
        return self._response(Answer(200, body, {"Content-Type": "application/json; charset=utf-8", "Content-Range": "*/*"}))
