# `bindery doctor` against small servers, each with one rung of the way to its tokens broken. What it
# says must name the rung, the rule and what helps, and nothing of what the servers wrote.

import http.server
import json
import os
import socketserver
import ssl
import subprocess
import threading
import time

import pytest
from system import BIN, free_port
from test_tls import authority, certificate

CANARY = "canary-of-the-body"
RUNGS = ["name_resolution", "connection", "mcp_request", "challenge", "resource_metadata",
         "server_metadata", "pkce", "endpoints", "registration", "token_endpoint", "api_key"]


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """A service whose every address answers what `routes` says; others are 404."""

    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.origin = f"http{'s' if context else ''}://127.0.0.1:{self.server_port}"
        self.asked = []
        self.resource = "/.well-known/oauth-protected-resource/mcp"
        self.metadata = "/.well-known/oauth-authorization-server"
        self.routes = {
            "/mcp": (401, {"WWW-Authenticate":
                           f'Bearer resource_metadata="{self.origin}{self.resource}"'}, b""),
            self.resource: self.json({"resource": f"{self.origin}/mcp",
                                      "authorization_servers": [self.origin]}),
            self.metadata: self.json(self.document()),
            "/token": self.json({"error": "invalid_grant", "error_description": CANARY}, 400),
            "/register": self.json({"client_id": "registered"}, 201),
            "/key": (401, {}, b""),
        }
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def document(self, **changes):
        document = {"issuer": self.origin, "authorization_endpoint": f"{self.origin}/authorize",
                    "token_endpoint": f"{self.origin}/token",
                    "registration_endpoint": f"{self.origin}/register",
                    "code_challenge_methods_supported": ["S256"], "note": CANARY} | changes
        return {name: value for name, value in document.items() if value is not None}

    @staticmethod
    def json(value, status=200):
        return status, {"Content-Type": "application/json"}, json.dumps(value).encode()

    def change(self, **changes):
        self.routes[self.metadata] = self.json(self.document(**changes))

    def handle_error(self, request, address):
        pass  # the doctor hangs up where it has seen enough


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append((self.command, self.path))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, body = self.server.routes.get(self.path, (404, {}, CANARY.encode()))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if callable(body):
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for piece in body():
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


def entry(server, **members):
    return {"id": "sick", "name": "Sick", "mcp_url": f"{server.origin}/mcp",
            "oauth": {"registration": "dynamic"}} | members


def doctor(tmp_path, services, *arguments, **settings):
    providers = tmp_path / "providers.json"
    providers.write_text(json.dumps({"services": services}))
    keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
    return subprocess.run(
        [str(BIN / "bindery"), "doctor", *arguments], capture_output=True, text=True, timeout=60,
        env=keep | {"PROVIDERS_FILE": str(providers), "BINDERY_DATA_DIR": str(tmp_path / "data"),
                    "BINDERY_RUN_DIR": str(tmp_path / "run")} | settings)


def examine(tmp_path, service, *arguments, **settings):
    """The exit status and the findings by rung; a rung with several keeps the worst."""
    done = doctor(tmp_path, [service], "--service", "sick", "--json", *arguments, **settings)
    assert CANARY not in done.stdout + done.stderr
    assert done.stderr == "", done.stderr
    [diagnosis] = json.loads(done.stdout)
    assert set(diagnosis) == {"service", "good", "findings"} and diagnosis["service"] == "sick"
    found = {}
    for finding in diagnosis["findings"]:
        assert set(finding) == {"rung", "state", "url", "rule", "mend"}
        assert finding["rung"] in RUNGS and finding["state"] in ("good", "failed", "skipped")
        if found.get(finding["rung"], {}).get("state") != "failed":
            found[finding["rung"]] = finding
    failed = [rung for rung in found if found[rung]["state"] == "failed"]
    assert diagnosis["good"] == (not failed) and done.returncode == (1 if failed else 0)
    for rung in failed:
        assert found[rung]["rule"] and found[rung]["mend"]
    return failed, found


def test_good(server, tmp_path):
    failed, found = examine(tmp_path, entry(server))
    assert failed == []
    good = [rung for rung in RUNGS if rung in found and found[rung]["state"] == "good"]
    assert good == RUNGS[:-1], found
    assert found["token_endpoint"]["url"] == f"{server.origin}/token"
    # It registers nothing unless it is told to.
    assert ("POST", "/register") not in server.asked
    failed, found = examine(tmp_path, entry(server), "--register")
    assert failed == [] and server.asked.count(("POST", "/register")) == 1


def no_metadata(server):
    server.routes = {"/mcp": (401, {}, b"")}


def not_oauth(server):
    server.routes = {"/mcp": (200, {}, CANARY.encode())}


def no_mcp(server):
    del server.routes["/mcp"]


def foreign_resource(server):
    server.routes[server.resource] = server.json(
        {"resource": "https://example.com/mcp", "authorization_servers": [server.origin]})


def hostile_challenge(server):
    server.routes["/mcp"] = (401, {
        "WWW-Authenticate": 'Bearer resource_metadata="https://169.254.169.254/x"'}, b"")


def private_server(server):
    server.routes[server.resource] = server.json(
        {"resource": f"{server.origin}/mcp", "authorization_servers": ["https://10.0.0.1"]})


def broken_challenge(server):
    server.routes["/mcp"] = (401, {"WWW-Authenticate": 'Bearer realm="x'}, b"")


def large(server):
    server.routes[server.metadata] = (200, {}, b" " * 10_000_000 + b"{}")


def endless(server):
    def dribble():
        while True:
            yield b" "
            time.sleep(0.2)
    server.routes[server.metadata] = (200, {}, dribble)


def redirect(server):
    server.routes[server.metadata] = (302, {"Location": "/moved"}, b"")
    server.routes["/moved"] = server.json(server.document())


def page(server):
    server.routes[server.metadata] = (200, {"Content-Type": "text/html"}, b"<html>" + CANARY.encode())


def busy(server):
    server.routes[server.metadata] = (503, {}, CANARY.encode())


def no_registration(server):
    server.change(registration_endpoint=None)


def token_page(server):
    server.routes["/token"] = (400, {}, f"<html>{CANARY}</html>".encode())


def generous(server):
    server.routes["/token"] = server.json({"access_token": CANARY, "token_type": "Bearer"})


BROKEN = [
    (no_metadata, "token_endpoint", "RFC 6749 section 5.2"),
    (not_oauth, "server_metadata", "RFC 9728 section 3"),
    (no_mcp, "mcp_request", "answered 404"),
    (foreign_resource, "resource_metadata", "RFC 9728 section 3.3"),
    (hostile_challenge, "resource_metadata", "RFC 6890"),
    (private_server, "server_metadata", "RFC 6890"),
    (broken_challenge, "challenge", "RFC 9110 section 11.6.1"),
    (lambda s: s.change(issuer="https://example.com"), "server_metadata", "RFC 8414 section 3.3"),
    (lambda s: s.change(issuer=s.origin + "/"), "server_metadata", "RFC 8414 section 3.3"),
    (lambda s: s.change(code_challenge_methods_supported=None), "pkce", "must name S256"),
    (lambda s: s.change(code_challenge_methods_supported=["plain"]), "pkce", "must name S256"),
    (lambda s: s.change(authorization_endpoint="http://example.com/a"), "endpoints", "is https"),
    (lambda s: s.change(authorization_endpoint="javascript:alert(1)"), "server_metadata",
     "authorization_endpoint has a wrong"),
    (lambda s: s.change(token_endpoint="https://10.0.0.1/token"), "endpoints", "RFC 6890"),
    (lambda s: s.change(token_endpoint="https://[::ffff:a00:1]/token"), "endpoints", "RFC 6890"),
    (lambda s: s.change(token_endpoint=None), "server_metadata", "has no token_endpoint"),
    (large, "server_metadata", "at most 1 MiB"),
    (endless, "server_metadata", "no answer in time"),
    (redirect, "server_metadata", "redirect is not followed"),
    (page, "server_metadata", "RFC 8259"),
    (busy, "server_metadata", "answered 503"),
    (no_registration, "registration", "RFC 7591"),
    (token_page, "token_endpoint", "RFC 6749 section 5.2"),
    (generous, "token_endpoint", "RFC 6749 section 6"),
]


@pytest.mark.parametrize("breaks, rung, rule", BROKEN)
def test_broken(server, tmp_path, breaks, rung, rule):
    breaks(server)
    begun = time.monotonic()
    failed, found = examine(tmp_path, entry(server))
    assert rung in failed and rule in found[rung]["rule"], found
    # One cause, one failure; a server without OAuth at all has more than one.
    if breaks is not no_mcp:
        assert failed == [rung], found
    assert ("GET", "/moved") not in server.asked
    assert time.monotonic() - begun < 25


def test_unreachable(server, tmp_path):
    service = entry(server, mcp_url=f"http://127.0.0.1:{free_port()}/mcp")
    failed, found = examine(tmp_path, service)
    assert failed == ["connection"] and "ECONNREFUSED" in found["connection"]["rule"]
    assert found["name_resolution"]["state"] == "good" and "mcp_request" not in found


def test_private_authority(tmp_path):
    authority(tmp_path, "ours")
    certificate(tmp_path, "good", "ours", "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "good.pem", tmp_path / "good.key")
    server = Server(context)
    failed, found = examine(tmp_path, entry(server))
    assert failed == ["connection"] and "TLS" in found["connection"]["rule"]
    assert "UPSTREAM_CA_FILE" in found["connection"]["mend"] and server.asked == []
    failed, found = examine(tmp_path, entry(server), UPSTREAM_CA_FILE=str(tmp_path / "ours.pem"))
    assert failed == [] and found["token_endpoint"]["state"] == "good"
    server.shutdown()
    server.server_close()


def test_static_clients(server, tmp_path):
    service = entry(server, oauth={"registration": "static", "client_authentication": "post"})
    failed, found = examine(tmp_path, service)
    assert failed == [] and found["registration"]["state"] == "skipped"
    assert "SICK_CLIENT_ID" in found["registration"]["mend"]
    failed, found = examine(tmp_path, service, SICK_CLIENT_ID="id")
    assert failed == ["registration"] and "SICK_CLIENT_SECRET" in found["registration"]["mend"]
    failed, found = examine(tmp_path, service, SICK_CLIENT_ID="id", SICK_CLIENT_SECRET=CANARY)
    assert failed == [] and found["registration"]["state"] == "good"
    assert ("POST", "/register") not in server.asked


def test_api_keys(server, tmp_path):
    rules = {"header": "Authorization", "format": "Bearer {key}", "instructions": "Ask.",
             "validate": {"method": "http", "url": f"{server.origin}/key"}}
    service = {"id": "sick", "name": "Sick", "mcp_url": f"{server.origin}/mcp", "api_key": rules}
    failed, found = examine(tmp_path, service)
    assert failed == [] and found["api_key"]["state"] == "good"
    assert "challenge" not in found and "token_endpoint" not in found
    server.routes["/key"] = (200, {}, CANARY.encode())
    failed, found = examine(tmp_path, service)
    assert failed == ["api_key"] and "without a key" in found["api_key"]["rule"]


def test_refused_registration(server, tmp_path):
    server.routes["/register"] = server.json({"error": "invalid_client_metadata"}, 403)
    failed, found = examine(tmp_path, entry(server), "--register")
    assert failed == ["registration"] and "403 invalid_client_metadata" in found["registration"]["rule"]


def test_text_and_usage(server, tmp_path):
    server.change(issuer="https://example.com")
    done = doctor(tmp_path, [entry(server)], "--service", "sick")
    assert done.returncode == 1 and CANARY not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "sick" and lines[-1] == "1 service, trouble with: sick."
    assert [line for line in lines if line.startswith("  failed   server metadata")]
    assert "mend: " in done.stdout
    assert doctor(tmp_path, [], "--service", "nosuch").returncode == 2
    assert doctor(tmp_path, [], "--nonsense").returncode == 2
    bad = doctor(tmp_path, [{"id": "sick"}])
    assert bad.returncode == 78 and "PROVIDERS_FILE" in bad.stderr
