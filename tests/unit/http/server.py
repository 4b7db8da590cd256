# SPDX-License-Identifier: ISC
"""A web server that behaves in every way that test_fetch.c asks for by its path. Prints its ports as one line, ends with its stdin.

Usage: server.py FOLDER (gets ca.pem, and the certificates the servers use)
"""
import asyncio
import json
import socket
import ssl
import subprocess
import sys

seen = {"connections": 0, "requests": 0, "open": 0, "most": 0}


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(folder):
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name, names in (("good", "DNS:localhost,IP:127.0.0.1"), ("other", "DNS:elsewhere.test")):
        openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name,
                "-keyout", name + ".key", "-out", name + ".csr")
        (folder_file := open(f"{folder}/{name}.ext", "w")).write(f"subjectAltName={names}\n")
        folder_file.close()
        openssl(folder, "x509", "-req", "-in", name + ".csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "2", "-extfile", name + ".ext", "-out", name + ".pem")


def answer(status, body=b"", headers=()):
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def respond(path, head, body, writer):
    """Answers one request; False: the connection must end."""
    if path == "/ok":
        writer.write(answer("200 OK", b'{"a":1}', ["Content-Type: Application/JSON; charset=utf-8"]))
    elif path == "/retry":
        writer.write(answer("503 Service Unavailable", b"later", ["Retry-After: 17"]))
    elif path == "/empty":
        writer.write(answer("200 OK"))
    elif path == "/echo":
        writer.write(answer("200 OK", head + b"\n" + body))
    elif path == "/redirect":
        writer.write(answer("302 Found", b"", ["Location: /ok"]))
    elif path == "/zipped":
        writer.write(answer("200 OK", b"not zipped at all", ["Content-Encoding: gzip"]))
    elif path == "/cookie":
        writer.write(answer("200 OK", b"", ["Set-Cookie: a=b"]))
    elif path.startswith("/bytes/"):
        writer.write(answer("200 OK", b"x" * int(path[7:])))
    elif path == "/endless":
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            await writer.drain()
    elif path == "/headers":
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-More: " + b"y" * 1000 + b"\r\n")
            await writer.drain()
    elif path == "/slow":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"z")
            await writer.drain()
            await asyncio.sleep(0.05)
    elif path == "/wait":
        await asyncio.sleep(0.2)
        writer.write(answer("200 OK", b"done"))
    elif path == "/hang":
        await asyncio.sleep(3600)
    elif path == "/half":
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"a\"")
        return False
    elif path == "/close":
        return False
    elif path == "/nonsense":
        writer.write(b"\x00\x01 this is no HTTP\r\n\r\n")
        return False
    elif path == "/old":
        writer.write(b"just a text, as HTTP 0.9 had it")
        return False
    elif path == "/seen":
        writer.write(answer("200 OK", json.dumps(seen).encode()))
    else:
        writer.write(answer("404 Not Found"))
    await writer.drain()
    return True


async def serve(reader, writer):
    seen["connections"] += 1
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            line, *headers = head.decode("latin-1").split("\r\n")
            length = [int(h.split(":")[1]) for h in headers if h.lower().startswith("content-length:")]
            body = await reader.readexactly(length[0]) if length else b""
            path = line.split(" ")[1].split("?")[0]
            seen["requests"] += path != "/seen"
            counted = path == "/wait" or path.startswith("/bytes/")
            seen["open"] += counted
            seen["most"] = max(seen["most"], seen["open"])
            try:
                if not await respond(path, head, body, writer):
                    break
            finally:
                seen["open"] -= counted
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def silent(_reader, writer):
    try:
        await asyncio.sleep(3600)
    finally:
        writer.close()


def context(folder, name):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{folder}/{name}.pem", f"{folder}/{name}.key")
    return tls


async def main(folder):
    certificates(folder)
    quiet = lambda loop, what: None
    asyncio.get_running_loop().set_exception_handler(quiet)
    servers = [
        await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20),
        await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context(folder, "good")),
        await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context(folder, "other")),
        await asyncio.start_server(silent, "127.0.0.1", 0),
    ]
    free = socket.socket()  # bound, not listening: refuses
    free.bind(("127.0.0.1", 0))
    print(*[server.sockets[0].getsockname()[1] for server in servers], free.getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    sys.stdout.flush()
    import os
    os._exit(0)


asyncio.run(main(sys.argv[1]))
