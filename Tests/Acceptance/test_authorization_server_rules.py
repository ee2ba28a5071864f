# Rules of an authorization server that need a scene of their own, beside those that
# test_authorization_server.py meets on a client's usual way. Each test names its rules.

import http.client
import json
import uuid

import pytest
from consent import Client, Forms, Visitor, claims, query, send, send_form, send_json, use
from oauth import writing
from rules import keeps, refuses

JSON = {"Content-Type": "application/json"}
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


@pytest.fixture(scope="module")
def access(alice, scripted):
    scripted["alpha"].reset()
    return alice.connect("alpha", "key-of-the-rules", "managed")


@pytest.fixture
def visitor(alice):
    return Visitor(alice)


def granted(system, visitor, access, **change):
    """A client and its tokens, of a request with these changes."""
    client = Client(system)
    back = query(visitor.decide(client.ask(**change), connection=access.id))
    return client, client.exchange(back["code"]).json()


# The authorization endpoint.

@keeps("O1", "O16", "O30")
def test_what_nobody_knows_is_left_out(system, visitor, access):
    """Unknown and empty parameters, scopes beside ours, the resource said twice alike."""
    client = Client(system)
    for change in ({"nonce": "x", "audience": ["y", ""], "login_hint": ""}, {"scope": None},
                   {"scope": ""}, {"scope": "openid mcp offline_access"},
                   {"resource": [client.resource()] * 2}):
        if change.get("audience"):
            change["audience"] = "y"
        _, tokens = granted(system, visitor, access, **change)
        assert tokens["scope"] == "mcp" and claims(tokens["access_token"])["scope"] == "mcp"


@refuses("O9", "O30")
def test_a_state_that_was_not_sent_is_not_made_up(system, visitor):
    client = Client(system)
    for change, state in (({"state": None}, None), ({"state": ""}, None), ({"state": "x" * 500}, "x" * 500)):
        back = query(visitor.decide(client.ask(**change), "deny"))
        assert back.get("state") == state and back["error"] == "access_denied"
    to, _ = visitor.open(client.ask(state=["a", "b"]))
    assert query(to)["error"] == "invalid_request" and "state" not in query(to)
    to, _ = visitor.open(client.ask(resource=[client.resource(), client.resource("beta")]))
    assert query(to)["error"] == "invalid_target"


@keeps("O10")
@refuses("O10", "O23", "I2")
def test_who_saw_code_and_challenge_has_nothing(system, visitor, access):
    client = Client(system)
    asked = client.ask()
    challenge = query(asked)["code_challenge"]
    code = query(visitor.decide(asked, connection=access.id))["code"]
    assert challenge not in code and client.state not in code
    verifier, client.verifier = client.verifier, challenge
    assert client.exchange(code).json()["error"] == "invalid_grant"
    client.verifier = verifier
    assert client.exchange(code).json()["error"] == "invalid_grant", "the try has consumed it"
    asked = client.ask()
    code = query(visitor.decide(asked, connection=access.id))["code"]
    assert client.exchange(code, code_verifier="").json()["error"] == "invalid_request"
    assert client.exchange(code).status == 200


@keeps("O8")
@refuses("O8")
def test_codes_are_long_unlike_and_good_for_a_minute(system, visitor, access):
    codes = []
    for age, status in ((50, 200), (61, 400)):
        client = Client(system)
        codes.append(client.code(visitor, connection=access.id))
        with writing(system, "bindery") as database:
            database.execute("UPDATE oauth_grants SET code_expires_at = code_expires_at - ? "
                             "WHERE code_wrap IS NOT NULL", (age,))
        assert client.exchange(codes[-1]).status == status, age
    assert len(codes[0]) == len(codes[1]) == 86
    assert not any(codes[0][i:i + 8] in codes[1] for i in range(79))


@keeps("O11", "O15")
@refuses("O11", "O13")
def test_forms_end_in_a_303_without_a_referrer(system, alice, access):
    visitor, client = Visitor(alice), Client(system)
    asked = client.ask()
    form = Forms(visitor.send("GET", asked).body.decode()).fields
    wrong = visitor.send("POST", asked, form | {"email": alice.email, "password": "wrong password 1"})
    assert wrong.status == 403 and "Location" not in wrong.headers
    assert wrong.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in wrong.headers["Content-Security-Policy"]
    right = visitor.send("POST", asked, form | {"email": alice.email,
                                                "password": "correct horse battery staple"})
    assert right.status == 303
    page = visitor.send("GET", asked)
    for decision in ("allow", "deny"):
        answer = visitor.send("POST", asked, Forms(page.body.decode()).fields | {
            "decision": decision, "connection": access.id})
        assert answer.status == 303 and answer.headers["Location"].startswith(client.redirect)
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"


@keeps("A15", "I8")
@refuses("A15", "I8")
def test_each_client_is_asked_for_each_time(system, visitor, access):
    """A yes to one is none to the next, not to the same one the next time, and to no other address."""
    first = Client.registered(system, "https://one.example/cb", client_name="Number one")
    other = Client.registered(system, "https://two.example/cb", client_name="Number two")
    first.tokens(visitor, connection=access.id)
    for client, name, host in ((first, b"Number one", b"one.example"),
                               (other, b"Number two", b"two.example")):
        _, page = visitor.open(client.ask())
        assert page.status == 200 and name in page.body and host in page.body
        to, _ = visitor.open(client.ask(prompt="none"))
        assert query(to)["error"] == "consent_required"
    reply = visitor.send("GET", first.ask(redirect_uri="https://two.example/cb"))
    assert reply.status == 400 and "Location" not in reply.headers


# The token endpoint.

@keeps("O26")
@refuses("O26", "O59")
def test_errors_repeat_nothing_that_was_sent(system):
    """A name of RFC 6749 and a description of ours, whatever came."""
    client = Client(system)
    odd = 'canary-ä"\\\r\n<b>'
    for form, error in (({"grant_type": odd}, "unsupported_grant_type"),
                        ({"grant_type": "authorization_code", "code": odd, "code_verifier": odd},
                         "invalid_grant"),
                        ({"grant_type": "refresh_token", "refresh_token": odd}, "invalid_grant"),
                        ({"grant_type": "refresh_token", "refresh_token": "x", "scope": odd},
                         "invalid_scope"),
                        ({"grant_type": "refresh_token", "refresh_token": "x", "client_id": odd},
                         "invalid_client")):
        reply = client.post("/oauth/token", form)
        body = reply.json()
        assert reply.status == (401 if error == "invalid_client" else 400) and body["error"] == error
        assert b"canary" not in reply.body
        assert all(0x20 <= ord(c) <= 0x7e and c not in '"\\' for c in body["error_description"])


@keeps("I4")
@refuses("I4")
def test_nobody_ends_a_grant_with_what_is_not_theirs(system, visitor, access):
    """Another client with the spent code, a code that is nearly right, a refresh token of a guess."""
    client, stranger = Client(system), Client.registered(system)
    code = client.code(visitor, connection=access.id)
    tokens = client.exchange(code).json()
    stranger.verifier = client.verifier
    assert stranger.exchange(code).json()["error"] == "invalid_grant"
    for guess in (code[:10] + ("A" if code[10] != "A" else "B") + code[11:], "A" * 86, code[:-2]):
        assert client.exchange(guess).json()["error"] == "invalid_grant"
    refresh = tokens["refresh_token"]
    guess = ("A" if refresh[0] != "A" else "B") + refresh[1:]
    assert client.refresh(guess).json()["error"] == "invalid_grant"
    assert stranger.refresh(refresh).json()["error"] == "invalid_grant"
    assert use(system, tokens["access_token"]).status == 200
    assert client.refresh(refresh).status == 200


@keeps("O28", "I6")
@refuses("O28", "I6")
def test_a_grant_ends_by_itself_however_often_it_is_refreshed(system, visitor, access):
    client = Client(system)
    tokens = client.tokens(visitor, connection=access.id)
    grant = claims(tokens["access_token"])["sid"]

    def age(days):
        with writing(system, "bindery") as database:
            database.execute("UPDATE oauth_grants SET expires_at = expires_at - ? WHERE id = ?",
                             (days * 86_400, grant))

    age(89)
    tokens = client.refresh(tokens["refresh_token"]).json()
    age(1)
    assert client.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"


@keeps("O57")
@refuses("O56", "O57")
def test_no_client_is_a_person(system, visitor, access):
    """Names of clients and people are of different kinds, and no client has tokens for itself."""
    client = Client.registered(system, token_endpoint_auth_method="client_secret_post")
    said = claims(client.tokens(visitor, connection=access.id)["access_token"])
    assert str(uuid.UUID(said["sub"])) == said["sub"] != said["client_id"]
    assert said["client_id"] == client.id and client.id.startswith("client_")
    for form in ({"grant_type": "client_credentials"},
                 {"grant_type": "password", "username": "x", "password": "y"}):
        assert client.post("/oauth/token", form).json()["error"] == "unsupported_grant_type"
    reply = send_json(system, "/oauth/register", {
        "redirect_uris": [client.redirect], "grant_types": ["client_credentials"]})
    assert reply.status == 400


@keeps("O27", "O40", "I12")
@refuses("O27", "O40", "I12")
def test_guessing_and_registering_are_bounded(own_system):
    """Fifty guesses of a secret, 200 clients an hour, 64 KiB a client; one that nobody uses is forgotten."""
    system = own_system()
    client = Client.registered(system, token_endpoint_auth_method="client_secret_post")
    other = Client.registered(system, token_endpoint_auth_method="client_secret_basic")
    right, client.secret = client.secret, "wrong"
    ask = {"token": "x"}
    statuses = [client.post("/oauth/introspect", ask).status for _ in range(51)]
    assert statuses == [401] * 50 + [429]
    client.secret = right
    last = client.post("/oauth/introspect", ask)
    assert last.status == 429 and int(last.headers["Retry-After"]) > 0, "also with the right one"
    assert other.post("/oauth/introspect", ask).json() == {"active": False}
    body = {"redirect_uris": ["http://127.0.0.1/"], "token_endpoint_auth_method": "none"}
    for name, status in (("x" * 100, 201), ("x" * 1000, 400), ("x" * 70_000, 413)):
        assert send_json(system, "/oauth/register", body | {"client_name": name}).status == status
    # Three until here; a refused one is none.
    statuses = [send_json(system, "/oauth/register", body).status for _ in range(198)]
    assert statuses == [201] * 197 + [429]
    person = system.person()
    used, idle = Client(system, other.id, secret=other.secret, basic=True), client
    used.code(Visitor(person), connection=person.connect("alpha", "key-of-bounds", "managed").id)
    with writing(system, "bindery") as database:
        database.execute("UPDATE oauth_clients SET expires_at = expires_at - 86401")
    assert Visitor(person).send("GET", used.ask()).status == 200
    assert Visitor(person).send("GET", idle.ask()).status == 400


# Documents, and the use of tokens.

@keeps("O33", "A4", "A12")
@refuses("O33", "A4", "A12")
def test_there_is_one_document_of_one_issuer(system, visitor):
    place = "/.well-known/oauth-authorization-server"
    said = send(system, "GET", place).json()
    assert said["issuer"] == system.origin and said["code_challenge_methods_supported"] == ["S256"]
    assert said["token_endpoint_auth_methods_supported"] == [
        "none", "client_secret_basic", "client_secret_post"]
    assert send(system, "POST", place, b"").status == 405
    for other in (place + "/x", place + "/mcp/alpha", "/.well-known/openid-configuration"):
        assert send(system, "GET", other).status == 404, other
    # Nobody is a client by saying so.
    for name in ("client_unknown", "https://client.example", str(uuid.uuid4())):
        assert visitor.send("GET", Client(system, name).ask()).status == 400


@keeps("O43", "A8", "A9")
@refuses("O43", "A8", "A9", "A7")
def test_a_token_comes_in_the_header_and_once(system, visitor, access, alpha):
    token = Client(system).tokens(visitor, connection=access.id)["access_token"]

    def ask(path="/mcp/alpha", *fields, body=PING, media="application/json"):
        connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=30)
        connection.putrequest("POST", path)
        for name, value in (("Content-Type", media), ("Content-Length", str(len(body))), *fields):
            connection.putheader(name, value)
        connection.endheaders(body)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, answer.headers["WWW-Authenticate"]

    field = ("Authorization", f"Bearer {token}")
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert ask("/mcp/alpha", ("Authorization", f"{scheme} {token}")) == (200, None)
    place = f"{system.origin}/.well-known/oauth-protected-resource/mcp/alpha"
    bare = f'Bearer resource_metadata="{place}", scope="mcp"'
    bad = f'Bearer error="invalid_token", resource_metadata="{place}", scope="mcp"'
    assert ask() == ask(f"/mcp/alpha?access_token={token}") == (401, bare)
    assert ask(body=b"access_token=" + token.encode(),
               media="application/x-www-form-urlencoded") == (401, bare)
    for value in ("Bearer", "Bearer nonsense", f"Basic {token}", f"Bearer {token} x",
                  f"Bearer {token}, Bearer {token}"):
        assert ask("/mcp/alpha", ("Authorization", value)) == (401, bad), value
    assert ask("/mcp/alpha", field, field) == (400, None)
    # What stands in the query beside a token that is believed goes nowhere.
    alpha.reset()
    assert ask(f"/mcp/alpha?access_token={token}", field) == (200, None)
    seen = alpha.requests[-1]
    assert token not in seen.target and seen.header("authorization") == "Bearer key-of-the-rules"


TRICKS = [
    ("/api/me#", {}), ("/api/me%23", {}), ("/api/me/", {}), ("/api/me/.", {}), ("//api/me", {}),
    ("/api/../api/me", {}), ("/API/me", {}), ("/api/%6de", {}), ("/api/me;x=1", {}),
    ("/api/me?access_token=1", {}), ("/api/auth/login/../../me", {}),
    ("/api/me", {"User-Agent": "kube-probe/1.30"}), ("/api/me", {"User-Agent": "GoogleHC/1.0"}),
    ("/api/me", {"X-Original-URL": "/api/services"}), ("/api/me", {"X-Rewrite-URL": "/api/services"}),
    ("/api/services", {"X-Original-URL": "/api/me"}), ("/api/me", {"X-Forwarded-Uri": "/api/services"}),
    ("/api/me", {"X-HTTP-Method-Override": "OPTIONS"}), ("/api/me", {"X-Forwarded-For": "127.0.0.1"}),
    ("/api/me", {"X-Forwarded-User": "PERSON"}), ("/api/me", {"X-Forwarded-Email": "PERSON"}),
    ("/api/me", {"Remote-User": "PERSON"}), ("/api/me", {"Cookie": "bindery_session="}),
    ("/api/me", {"Cookie": "bindery_session=x; bindery_session=y"}),
    ("/api/me", {"Authorization": "Bearer null"}), ("/api/me", {"Authorization": "Bearer "}),
]


@keeps("I16")
@refuses("I16")
@pytest.mark.parametrize(("path", "headers"), TRICKS, ids=[f"{p} {h}" for p, h in TRICKS])
def test_no_trick_gets_past_sign_in(path, headers, system, alice):
    headers = {name: value.replace("PERSON", alice.email) for name, value in headers.items()}
    for method in ("GET", "HEAD"):
        reply = send(system, method, path, headers=headers)
        assert alice.email.encode() not in reply.body
        assert reply.status in (400, 401, 404) or path == "/api/services", reply
    token = {"Authorization": f"Bearer {alice.token}"}
    assert send(system, "GET", "/api/me", headers=headers | token).json()["email"] == alice.email \
        or "Authorization" in headers or "Cookie" in headers
