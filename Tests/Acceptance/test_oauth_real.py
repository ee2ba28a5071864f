# Does it also work with providers that nobody here wrote? The official SDK's own authorization server
# in front of its own MCP server, and a provider for OpenID Connect from the package index, whose
# tokens a scripted MCP server accepts by asking it. Both by dynamic registration.

import http.client
import json
import subprocess
import urllib.parse

import pytest
from oauth import Attempt, connect, ping
from provider import Provider, Rules, oauth_service
from system import ROOT, System, free_port
from waiting import until

PROGRAMS = ROOT / "Tests" / "Acceptance" / "programs"


@pytest.fixture(scope="module")
def sdk(tmp_path_factory):
    """The SDK's server: (system, the record as a function)."""
    record = tmp_path_factory.mktemp("sdk") / "record"
    process = subprocess.Popen(
        [str(ROOT / ".venv-mcp2" / "bin" / "python"), str(PROGRAMS / "authorized_mcp2.py"), "2",
         str(record)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    port = int(process.stdout.readline().split()[1])
    entry = {"id": "sdk", "name": "SDK", "mcp_url": f"http://127.0.0.1:{port}/mcp",
             "oauth": {"registration": "dynamic", "scopes": ["notes"],
                       # By Basic this server takes everything but a revocation.
                       "client_authentication": "post"}}
    try:
        with System([entry]) as system:
            yield system, lambda: [json.loads(line) for line in record.read_text().splitlines()]
    finally:
        process.kill()
        process.wait()


def add(grant, a, b):
    """A tool call in the era without sessions; gives the sum."""
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {}}
    body = json.dumps({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {
        "name": "add", "arguments": {"a": a, "b": b}, "_meta": meta}}).encode()
    answer = grant.call(body, extra=[("MCP-Protocol-Version", "2026-07-28"),
                                     ("Mcp-Method", "tools/call"), ("Mcp-Name", "add")])
    assert answer.status == 200, answer
    return answer.json()["result"]["structuredContent"]["result"]


@pytest.mark.parametrize("mode", ["zero_knowledge", "managed"])
def test_the_authorization_server_of_the_official_sdk(mode, sdk):
    system, record = sdk
    before = len(record())
    person = system.person()
    grant = connect(person, "sdk", mode)
    assert add(grant, 2, 3) == 5
    until(lambda: [e for e in record()[before:] if e["event"] == "refreshed"] or
          add(grant, 1, 1) != 2, 10, "the refresh")
    assert add(grant, 20, 3) == 23
    assert grant.disconnect(grant.api_key) == "revoked"
    assert grant.call().status == 404
    events = [e["event"] for e in record()[before:]]
    assert events.count("issued") == 1 and events.count("refreshed") == 1
    assert events.count("revoked") >= 1 and "replayed" not in events
    assert {e["resource"] for e in record()[before:] if e["event"] in ("issued", "refreshed")} \
        == {next(iter(system_services(system)))["mcp_url"]}


def system_services(system):
    return json.loads((system.folder / "providers.json").read_text())["services"]


@pytest.fixture(scope="module")
def oidc(tmp_path_factory):
    """The provider for OpenID Connect and a scripted MCP server that trusts it."""
    port = free_port()
    process = subprocess.Popen(
        [str(ROOT / ".venv-oidc" / "bin" / "python"), "-m", "oidc_provider_mock", "-r", "-e", "2",
         "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    origin = f"http://127.0.0.1:{port}"

    def ask(method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def is_valid(token):
        return bool(token) and ask("GET", "/userinfo",
                                   headers={"Authorization": f"Bearer {token}"})[0] == 200

    def answers():
        try:
            return ask("GET", "/.well-known/openid-configuration")[0] == 200
        except OSError:
            return False

    until(answers, 20, "the provider")
    server = Provider(Rules(resource_metadata={"authorization_servers": [origin]}, judge=is_valid))
    # It announces neither S256 nor revocation nor that its clients prove themselves by Basic.
    entry = oauth_service("oidc", server, {"rotates": False}, scopes=["openid", "email"],
                          pkce=False, resource=False, client_authentication="basic")
    try:
        with System([entry]) as system:
            yield system, server, ask
    finally:
        process.kill()
        process.wait()
        server.close()


class Consent(Attempt):
    """The form of this provider wants a name."""

    def __init__(self, ask, *arguments):
        super().__init__(*arguments)
        self.ask = ask

    def consent(self):
        parts = urllib.parse.urlsplit(self.url)
        status, headers, body = self.ask(
            "POST", f"{parts.path}?{parts.query}", urllib.parse.urlencode({"sub": "ada"}),
            {"Content-Type": "application/x-www-form-urlencoded"})
        assert status == 302, body
        return headers["Location"]


@pytest.mark.parametrize("mode", ["zero_knowledge", "managed"])
def test_a_provider_for_openid_connect(mode, oidc):
    system, server, ask = oidc
    grant = Consent(ask, system.person(), "oidc", mode).finish()
    grant.works()
    first = server.calls[-1].token
    until(lambda: grant.call(ping()).status == 200 and server.calls[-1].token != first, 10,
          "a new token")
    assert [c.accepted for c in server.calls if c.token and c.token != first][-1]
    assert grant.disconnect(grant.api_key) == "unsupported"
    assert grant.call().status == 404
