# Do clients that others wrote get tokens, with nothing but the address of an MCP endpoint? The official
# SDK of both generations by dynamic registration and by a document at its own URL, with an official
# server behind the edge; and after a restart of everything with what it had stored.

import http.server
import json
import os
import ssl
import subprocess
import threading
import urllib.parse

import pytest
from consent import Client, Visitor, use
from system import ROOT, System, service
from test_clients import KEY, PROGRAMS, python
from test_tls import authority, certificate

# (generation of the client, mode)
CLIENTS = [(1, "session"), (2, "session"), (2, "modern")]


class Documents:
    """Serves documents of clients over TLS on loopback."""

    def __init__(self, folder):
        authority(folder, "ours")
        certificate(folder, "good", "ours", "DNS:localhost,IP:127.0.0.1")
        self.ca, self.served, self.asked = folder / "ours.pem", {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                status, headers, body = outer.served.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in ({"Content-Type": "application/json"} | headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "good.pem", folder / "good.key")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.origin = f"https://127.0.0.1:{self.server.server_address[1]}"

    def serve(self, path, document, status=200, **headers):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.served[path] = (status, {k.replace("_", "-"): v for k, v in headers.items()}, body)
        return self.origin + path

    def client(self, path="/client.json", **change):
        url = self.origin + path
        return self.serve(path, {
            "client_id": url, "client_name": "By document", "client_uri": self.origin,
            "redirect_uris": ["http://127.0.0.1/callback"], "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        } | change)


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    made = Documents(tmp_path_factory.mktemp("documents"))
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def real(documents, tmp_path_factory):
    """A system with an official server behind it, and somebody who connected it."""
    folder = tmp_path_factory.mktemp("real")
    process = subprocess.Popen(
        [python(2), str(PROGRAMS / "server_mcp2.py"), "http", KEY, str(folder / "record")],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    port = int(process.stdout.readline().split()[1])
    try:
        with System([service("real", f"http://127.0.0.1:{port}/mcp"),
                     service("other", f"http://127.0.0.1:{port}/mcp")],
                    {"UPSTREAM_CA_FILE": str(documents.ca)}) as system:
            system.one = system.person()
            system.access = system.one.connect("real", KEY, "managed")
            system.one.connect("other", KEY, "managed")
            yield system
    finally:
        process.kill()
        process.wait()


class Run:
    """One run of a client program; the person agrees to whatever it opens."""

    def __init__(self, command, visitor=None, choice=None):
        self.said, self.opened = [], []
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"],
                                                                "HOME": "/nonexistent"})
        for line in process.stdout:
            said = json.loads(line)
            if "open" in said:
                self.opened.append(said["open"])
                back = visitor.decide(said["open"], **(choice or {}))
                process.stdin.write(back.encode() + b"\n")
                process.stdin.flush()
            self.said.append(said)
        errors = process.stderr.read()
        assert process.wait(60) == 0, errors[-3000:].decode()

    def values(self, name):
        return [said[name] for said in self.said if name in said]


def command(generation, mode, system, storage, document="-"):
    return [python(generation), str(PROGRAMS / "oauth_client.py"), mode,
            f"{system.origin}/mcp/real", str(storage), document, "http://127.0.0.1:9/callback"]


@pytest.mark.parametrize("way", ["registration", "document"])
@pytest.mark.parametrize("client", CLIENTS, ids=lambda c: f"mcp{c[0]}-{c[1]}")
def test_the_official_client_needs_the_address_alone(client, way, real, documents, tmp_path):
    """Registers, authorizes, calls tools, refreshes; and once more after a restart of everything."""
    document = documents.client() if way == "document" else "-"
    visitor, storage = Visitor(real.one), tmp_path / "kept.json"
    first = Run(command(*client, real, storage, document), visitor)
    assert first.values("added") == [5, 5] and first.values("refreshed") == [True]
    assert len(first.opened) == 1
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(first.opened[0]).query))
    assert asked["resource"] == f"{real.origin}/mcp/real"
    assert (asked["client_id"] == document) == (way == "document")
    assert real.stop() == 0
    real.start()
    second = Run(command(*client, real, storage, document), visitor)
    assert second.values("added") == [5, 5] and second.values("refreshed") == [True]
    assert second.opened == []
    listed = real.one.call("GET", f"/api/connections/{real.access.id}/credentials").json()
    grants = [c for c in listed["credentials"] if c.get("client_id") == asked["client_id"]]
    assert grants and all(
        g["name"] == ("By document" if way == "document" else "The official client")
        for g in grants)


def other(*arguments):
    return [str(ROOT / ".venv-oauth" / "bin" / "python"),
            str(PROGRAMS / "oauth_libraries.py"), *arguments]


def test_fastmcp_needs_the_address_alone(real):
    run = Run(other("fastmcp", real.origin, "real", "-", "-", "none"), Visitor(real.one))
    assert len(run.opened) == 1 and run.values("added") == [5]
    assert "add" in run.values("tools")[0]


@pytest.mark.parametrize("library", ["authlib", "oauthlib"])
@pytest.mark.parametrize("method", ["none", "client_secret_basic", "client_secret_post"])
def test_general_libraries_get_and_refresh_tokens(library, method, real):
    client = Client.registered(real, token_endpoint_auth_method=method)
    run = Run(other(library, real.origin, "real", client.id, client.secret or "-", method),
              Visitor(real.one))
    first, second = run.values("first")[0], run.values("second")[0]
    assert first["token_type"] == "Bearer" and first["refresh_token"] != second["refresh_token"]
    revoked = library == "authlib"
    assert run.values("revoked") == ([200] if revoked else [])
    for tokens in (first, second):
        assert use(real, tokens["access_token"], "real").status == (401 if revoked else 400)
