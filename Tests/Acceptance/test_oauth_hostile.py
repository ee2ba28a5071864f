# What does a provider reach that lies about itself? Metadata with foreign issuers, addresses that are
# not for us, too much of it or too slowly: each is refused when the person asks to connect, with a
# word that says so, and nothing is stored or sent anywhere.
# And does anything of a connect, a refresh or a disconnect leave a trace in files, logs or metrics?

import json
import socket
import threading

import pytest
from oauth import Attempt, connect, connections, rows
from provider import MISSING, Provider, Rules, oauth_service
from system import System
from test_canaries import Canaries, search
from waiting import pause, until
from wire import Seconds

METADATA = {
    "a file as authorization endpoint": {"authorization_endpoint": "file:///etc/passwd"},
    "a script as authorization endpoint": {"authorization_endpoint": "javascript:alert(1)"},
    "data as authorization endpoint": {"authorization_endpoint": "data:text/html,x"},
    "a plain authorization endpoint": {"authorization_endpoint": "http://example.org/authorize"},
    "an internal authorization endpoint": {"authorization_endpoint": "https://10.0.0.1/authorize"},
    "an authorization endpoint with a user": {
        "authorization_endpoint": "https://trusted.example@evil.example/"},
    "no authorization endpoint": {"authorization_endpoint": MISSING},
    "a file as token endpoint": {"token_endpoint": "file:///etc/passwd"},
    "a link-local token endpoint": {"token_endpoint": "http://169.254.169.254/latest/meta-data"},
    "an internal token endpoint": {"token_endpoint": "https://192.168.1.1/token"},
    "a mapped internal token endpoint": {"token_endpoint": "https://[::ffff:10.0.0.1]/token"},
    "no token endpoint": {"token_endpoint": MISSING},
    "a line break in an endpoint": {"token_endpoint": "https://example.org/\r\nX: y"},
    "another issuer": {"issuer": "https://accounts.example.org"},
    "no issuer": {"issuer": MISSING},
    "an issuer of another kind": {"issuer": 5},
    "an internal registration endpoint": {"registration_endpoint": "https://172.16.0.1/register"},
    "no S256": {"code_challenge_methods_supported": ["plain"]},
}
RESOURCE = {
    "the resource of somebody else": {"resource": "https://mcp.example.org/mcp"},
    "an internal authorization server": {"authorization_servers": ["https://10.1.2.3"]},
    "a link-local authorization server": {"authorization_servers": ["http://169.254.169.254"]},
    "a file as authorization server": {"authorization_servers": ["file:///etc"]},
    "no authorization server": {"authorization_servers": []},
}


def huge(conversation, path):
    body = json.dumps(conversation.provider.server_metadata() | {"x": "y" * 10_000_000}).encode()
    conversation.reply(200, body)


def endless(conversation, path):
    conversation.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{")
    while True:
        conversation.wfile.write(b" " * 100_000)


def slow(conversation, path):
    conversation.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                             b"Content-Length: 5000\r\n\r\n{")
    while True:
        conversation.wfile.write(b" ")
        pause(0.2)


def elsewhere(conversation, path):
    conversation.reply(302, headers=[("Location", f"http://127.0.0.1:{trap_port()}{path}")])


def page(conversation, path):
    conversation.reply(200, b"<html>Welcome</html>", kind="text/html")


def twice(conversation, path):
    said = json.dumps(conversation.provider.server_metadata())
    conversation.reply(200, (said[:-1] + ',"issuer":"https://evil.example"}').encode())


def trap_port():
    return trap.getsockname()[1]


trap = socket.create_server(("127.0.0.1", 0))
trapped = []
TROUBLES = {"10 MB": huge, "no end": endless, "a drip": slow, "a redirect": elsewhere,
            "a page": page, "a name twice": twice}


def watch_trap():
    while True:
        peer, _ = trap.accept()
        trapped.append(peer)


threading.Thread(target=watch_trap, daemon=True).start()


@pytest.fixture(scope="module")
def liars():
    """One service per lie, because what was found out about a service may be remembered."""
    made = {}
    for number, (name, said) in enumerate(METADATA.items()):
        made[name] = (f"m{number}", Provider(Rules(metadata=said)))
    for number, (name, said) in enumerate(RESOURCE.items()):
        made[name] = (f"r{number}", Provider(Rules(resource_metadata=said)))
    for number, (name, trouble) in enumerate(TROUBLES.items()):
        made[name] = (f"t{number}", Provider(Rules(metadata_trouble=trouble)))
    with System([oauth_service(name, provider) for name, provider in made.values()]) as system:
        yield system, system.person(), made
    for _, provider in made.values():
        provider.close()


def stored(system):
    """How many rows each table has."""
    found = {}
    for file in ("bindery", "tokens"):
        for (name,) in rows(system, file, "SELECT name FROM sqlite_schema WHERE type = 'table'"):
            if name not in ("audit_log", "audit_subjects", "job_state", "sqlite_sequence"):
                found[name] = rows(system, file, f"SELECT count(*) FROM {name}")[0][0]
    return found


@pytest.mark.parametrize("lie", [*METADATA, *RESOURCE, *TROUBLES])
def test_a_provider_that_lies_is_refused_and_nothing_is_stored(lie, liars):
    system, person, made = liars
    service, provider = made[lie]
    before = stored(system)
    with Seconds() as took:
        attempt = Attempt(person, service)
    assert took.value < 45
    if attempt.asked.status == 200:  # found out later at the latest
        pytest.fail(f"the person is sent to {attempt.url}")
    assert attempt.asked.status in (422, 502, 503, 504), attempt.asked
    said = attempt.asked.json()
    assert set(said) >= {"error", "message"} and 10 < len(said["message"]) < 600, said
    assert "169.254" not in said["message"] or lie.startswith("a link-local")
    assert not [p for method, p in provider.requests if p.startswith("/token")]
    assert stored(system) == before and connections(person) == []
    assert not trapped, "a redirect was followed"


def test_a_slow_provider_keeps_nobody_else_waiting(liars):
    system, person, made = liars
    threading.Thread(target=lambda: Attempt(person, made["a drip"][0]), daemon=True).start()
    until(lambda: len(made["a drip"][1].requests) > 1, 10, "the slow request")
    with Seconds() as took:
        assert person.call("GET", "/api/me").status == 200
    assert took.value < 5


def test_no_token_code_verifier_or_client_secret_leaves_a_trace(own_oauth):
    system, provider = own_oauth(Rules(clients={"app": "static-secret-canary-0001"},
                                       authentication="post"),
                                 {"LOG_LEVEL": "debug", "OWN_CLIENT_ID": "app",
                                  "OWN_CLIENT_SECRET": "static-secret-canary-0001"})
    person, canaries = system.person(), Canaries()
    for mode in ("zero_knowledge", "managed"):
        with provider.behaving(life=1):
            grant = connect(person, "own", mode)
        family = provider.families[-1]
        until(lambda: not provider.valid(family.access[0]), 5)
        grant.works()  # refreshes
        for trouble in ((500, [], b"oops"), (200, [], b'{"access_token":""}')):
            provider.expire(family.number)
            with provider.behaving(trouble=trouble):
                grant.call()
        canaries.add(f"credential {mode}", grant.secret)
        canaries.add(f"cookies {mode}", "|".join(grant.attempt.browser.jar.values()) or grant.secret)
        canaries.add(f"state {mode}", grant.attempt.query["state"])
        canaries.add(f"claim {mode}", grant.attempt.landed.rsplit("=", 1)[1])
        grant.disconnect(grant.api_key)
    with provider.behaving(code_life=-1):
        late = Attempt(person, "own")
        late.error()
        canaries.add("state of a failure", late.query["state"])
    for number, value in enumerate(provider.secrets()):
        canaries.add(f"of the provider {number}", value)
    assert len(canaries.made) > 20
    assert not search(system, canaries)
    assert system.stop() == 0
    found = search(system, canaries)
    system.start()
    assert not found
