# The authorization server as an MCP client and a person meet it: from the challenge of an MCP endpoint
# to tokens that work there, and what ends them. Each test names the rule that it holds us to; a
# refusal is always looked at together with what it left unchanged.

import base64
import hashlib
import json
import time
import urllib.parse

import pytest
from consent import Client, Forms, Visitor, claims, query, send, send_form, use
from rules import keeps, refuses
from waiting import until


@pytest.fixture(scope="module")
def alice_managed(alice, scripted):
    scripted["alpha"].reset()
    return alice.connect("alpha", "key-of-alice", "managed", "Managed one")


@pytest.fixture(scope="module")
def alice_closed(alice, scripted):
    return alice.connect("alpha", "key-of-alice-closed", "zero_knowledge", "Closed one")


@pytest.fixture
def visitor(alice):
    return Visitor(alice)


@keeps("A1", "A3", "O34")
@refuses("A1", "A3", "O34")
def test_the_challenge_leads_to_the_metadata(system):
    """401 without error, resource_metadata, scope; the document repeats the URL."""
    reply = send(system, "POST", "/mcp/alpha", b"{}", {"Content-Type": "application/json"})
    assert reply.status == 401
    place = f"{system.origin}/.well-known/oauth-protected-resource/mcp/alpha"
    assert reply.headers["WWW-Authenticate"] == \
        f'Bearer resource_metadata="{place}", scope="mcp"'
    reply = send(system, "GET", "/.well-known/oauth-protected-resource/mcp/alpha")
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    document = reply.json()
    assert document["resource"] == f"{system.origin}/mcp/alpha"
    assert document["authorization_servers"] == [system.origin]
    assert document["bearer_methods_supported"] == ["header"]
    assert document["scopes_supported"] == ["mcp"]
    assert send(system, "GET", "/.well-known/oauth-protected-resource").json()["resource"] == \
        system.origin
    for other in ("/mcp/nobody", "/mcp/", "/other", "/mcp/alpha/x"):
        reply = send(system, "GET", "/.well-known/oauth-protected-resource" + other)
        assert reply.status == 404, other


@keeps("O33", "A4", "A5", "A11", "A12", "O56")
def test_the_server_says_what_it_does(system):
    reply = send(system, "GET", "/.well-known/oauth-authorization-server")
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
    said = reply.json()
    assert said["issuer"] == system.origin
    for name in ("authorization", "token", "registration", "revocation", "introspection"):
        assert said[f"{name}_endpoint"].startswith(f"{system.origin}/oauth/")
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert said["response_types_supported"] == ["code"]
    assert said["grant_types_supported"] == ["authorization_code", "refresh_token"]
    assert said["authorization_response_iss_parameter_supported"] is True
    assert said["client_id_metadata_document_supported"] is True
    assert all(value != [] for value in said.values())
    assert said["jwks_uri"] == f"{system.origin}/.well-known/jwks.json"


@keeps("O2", "O6", "O7", "O8", "O22", "O23", "O24", "O25", "O35", "A5", "A7", "I2", "I9")
def test_a_person_allows_and_the_token_works(system, alice_managed, visitor, alpha):
    """The whole way with the client that everybody may be."""
    client = Client(system)
    tokens = client.tokens(visitor, connection=alice_managed.id)
    assert tokens["token_type"] == "Bearer" and 890 <= tokens["expires_in"] <= 900
    assert tokens["scope"] == "mcp"
    said = claims(tokens["access_token"])
    assert said["iss"] == system.origin and said["aud"] == client.resource()
    assert said["client_id"] == "bindery-mcp" and said["scope"] == "mcp"
    assert said["exp"] - said["iat"] == 900 and len(said["jti"]) == 43
    reply = use(system, tokens["access_token"])
    assert reply.status == 200, reply
    assert alpha.requests[-1].header("authorization") == "Bearer key-of-alice"


def test_a_zero_knowledge_connection_takes_what_opens_it(system, alice_closed, visitor, alpha):
    """Nothing that is stored opens it: its secret URL or its API key does."""
    client = Client(system)
    at, page = visitor.open(client.ask())
    form = Forms(page.body.decode())
    assert alice_closed.id in form.choices["connection"] and form.scripts == 0
    chosen = form.fields | {"decision": "allow", "connection": alice_closed.id}
    for wrong in ("", "bnd_test_" + "A" * 86, alice_closed.secret[:-1]):
        reply = visitor.send("POST", at, chosen | {"credential": wrong})
        assert reply.status in (400, 403) and b"zero-knowledge" in reply.body, reply
    for right in (alice_closed.url, alice_closed.api_key):
        client = Client(system)
        tokens = client.tokens(visitor, connection=alice_closed.id, credential=right)
        assert use(system, tokens["access_token"]).status == 200
        assert alpha.requests[-1].header("authorization") == "Bearer key-of-alice-closed"


def test_a_service_is_connected_on_the_way(system, visitor, alpha):
    """With an API key: the connection's only key is what the client holds."""
    client = Client(system)
    before = visitor.person.call("GET", "/api/connections").json()["connections"]
    tokens = client.tokens(visitor, connection="new", api_key="key-on-the-way")
    assert use(system, tokens["access_token"]).status == 200
    assert alpha.requests[-1].header("authorization") == "Bearer key-on-the-way"
    after = visitor.person.call("GET", "/api/connections").json()["connections"]
    new, = [c for c in after if c["id"] not in {b["id"] for b in before}]
    assert new["key_storage_mode"] == "zero_knowledge"
    listed = visitor.person.call("GET", f"/api/connections/{new['id']}/credentials").json()
    only, = listed["credentials"]
    assert only["client_id"] == "bindery-mcp"
    reply = visitor.person.call("DELETE", f"/api/connections/{new['id']}")
    assert reply.status == 200
    assert use(system, tokens["access_token"]).status == 401
    assert client.refresh(tokens["refresh_token"]).json()["error"] == "invalid_grant"


@keeps("O5", "O9", "A11")
def test_who_denies_sends_that(system, visitor, alice_managed):
    """Error, state and iss; nothing is granted."""
    client = Client(system)
    url = client.ask(state="st&te ü=%20")
    back = query(visitor.decide(url, "deny"))
    assert back == {"error": "access_denied", "state": "st&te ü=%20", "iss": system.origin}


BAD = [
    ({"response_type": None}, "unsupported_response_type"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code token"}, "unsupported_response_type"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge": ""}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge_method": "s256"}, "invalid_request"),
    ({"code_challenge": "A" * 42}, "invalid_request"),
    ({"code_challenge": "A" * 44}, "invalid_request"),
    ({"code_challenge": "A" * 42 + "="}, "invalid_request"),
    ({"code_challenge": "A" * 42 + "+"}, "invalid_request"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"scope": "admin"}, "invalid_scope"),
    ({"resource": None}, "invalid_target"),
    ({"resource": ""}, "invalid_target"),
    ({"resource": "mcp/alpha"}, "invalid_target"),
    ({"resource": "https://elsewhere.example/mcp/alpha"}, "invalid_target"),
    ({"scope": ["mcp", "mcp"]}, "invalid_request"),
    ({"response_type": ["code", "code"]}, "invalid_request"),
]


@keeps("O5", "O14", "O35")
@refuses("O1", "O6", "O7", "O14", "O16", "O30", "O35", "A5", "A11", "I2")
@pytest.mark.parametrize(("change", "error"), BAD, ids=[str(c) for c, _ in BAD])
def test_a_wrong_request_goes_back_once_someone_signed_in(change, error, system, visitor):
    """No stranger is redirected; who signed in is, with the error."""
    client = Client(system)
    url = client.ask(**change)
    reply = visitor.send("GET", url)
    assert reply.status == 400 and "Location" not in reply.headers
    to, _ = visitor.open(url)
    assert to.startswith(client.redirect + "?")
    assert query(to) == {"error": error, "state": client.state, "iss": system.origin}


def test_fragments_in_resources_are_none_of_ours(system, visitor):
    client = Client(system)
    to, _ = visitor.open(client.ask(resource=client.resource() + "#x"))
    assert query(to)["error"] == "invalid_target"


NOWHERE = [
    {"client_id": None}, {"client_id": ""}, {"client_id": "nobody"}, {"redirect_uri": None},
    {"redirect_uri": "https://client.example/callback"}, {"redirect_uri": "javascript:alert(1)"},
    {"redirect_uri": "http://client.example/callback"},
    {"redirect_uri": "http://127.0.0.1:9/callback#x"},
    {"redirect_uri": "http://user@127.0.0.1:9/callback"},
    {"redirect_uri": "http://127.0.0.1@evil.example/callback"},
    {"redirect_uri": "http://127.0.0.1.evil.example/callback"},
    {"redirect_uri": "http://127.1/callback"}, {"redirect_uri": "//127.0.0.1/callback"},
    {"redirect_uri": "http://127.0.0.1\\@evil.example/"},
    {"redirect_uri": ["http://127.0.0.1:9/callback", "http://127.0.0.1:9/other"]},
    {"client_id": ["bindery-mcp", "bindery-mcp"]},
]


@refuses("O2", "O4", "O5", "O15")
@pytest.mark.parametrize("change", NOWHERE, ids=[str(c) for c in NOWHERE])
def test_who_can_not_be_answered_is_sent_nowhere(change, system, visitor):
    """An error page, no Location, signed in or not."""
    for _ in range(2):
        reply = visitor.send("GET", Client(system).ask(**change))
        assert reply.status == 400 and "Location" not in reply.headers, reply
        assert b"<form" not in reply.body
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert reply.headers["X-Frame-Options"] == "DENY"
        visitor.open(Client(system).ask())


@keeps("O3", "O58", "A14", "I1")
@refuses("O3", "A14", "I1")
@pytest.mark.parametrize(("registered", "shown", "is_right"), [
    ("http://127.0.0.1/cb", "http://127.0.0.1:4711/cb", True),
    ("http://127.0.0.1:1/cb?a=b", "http://127.0.0.1:2/cb?a=b", True),
    ("http://[::1]/cb", "http://[::1]:4711/cb", True),
    ("http://localhost:80/cb", "http://localhost:4711/cb", True),
    ("http://127.0.0.1/cb", "http://localhost/cb", False),
    ("http://127.0.0.1/cb", "http://127.0.0.1:4711/cb/", False),
    ("http://127.0.0.1/cb", "http://127.0.0.1:4711/CB", False),
    ("http://127.0.0.1/cb", "http://127.0.0.1:4711/cb?x=1", False),
    ("http://127.0.0.1/cb", "https://127.0.0.1/cb", False),
    ("https://client.example/cb", "https://client.example/cb", True),
    ("https://client.example/cb", "https://client.example:444/cb", False),
    ("https://client.example/cb", "https://client.example/cb/x", False),
    ("https://client.example/cb", "https://CLIENT.example/cb", False),
    ("https://client.example/cb", "https://evil.client.example/cb", False),
])
def test_redirects_match_but_for_a_loopback_port(registered, shown, is_right, system, visitor):
    """Byte for byte otherwise."""
    client = Client.registered(system, registered)
    reply = visitor.send("GET", client.ask(redirect_uri=shown))
    assert (reply.status == 200) == is_right, reply
    assert "Location" not in reply.headers


@keeps("O4")
def test_the_query_of_a_redirect_is_kept(system, visitor):
    client = Client.registered(system, "http://127.0.0.1:9/cb?keep=me")
    back = visitor.decide(client.ask(), "deny")
    assert back.startswith("http://127.0.0.1:9/cb?keep=me&error=access_denied&")


@keeps("O13", "O15")
@refuses("O12")
def test_the_pages_protect_themselves(system, visitor, alice_managed):
    """Not framed, not cached, not read by others, without script."""
    client = Client.registered(system, "https://client.example/cb",
                               client_name="<b>Bold\u202e & co</b>")
    url = client.ask()
    signing = visitor.send("GET", url, headers={"Origin": "https://client.example"})
    at, consenting = visitor.open(url)
    for page in (signing, consenting):
        headers = page.headers
        assert headers["X-Frame-Options"] == "DENY" and headers["Cache-Control"] == "no-store"
        policy = headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
        assert "unsafe" not in policy and "script-src" not in policy
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers
        assert len(headers.get_all("X-Frame-Options")) == 1
        assert len(headers.get_all("Content-Security-Policy")) == 1
        assert b"<script" not in page.body and b"<b>" not in page.body
    text = consenting.body.decode()
    assert "client.example" in text and "Alpha" in text and client.resource() in text
    assert "scope mcp" in text and alice_managed.person.email in text
    assert send(system, "OPTIONS", "/oauth/authorize").status == 405


@keeps("A13")
def test_a_loopback_redirect_is_warned_of(system, visitor):
    _, page = visitor.open(Client(system).ask())
    assert b"127.0.0.1:9" in page.body and b"class=\"warning\"" in page.body


@refuses("I8")
def test_forms_of_other_pages_do_nothing(system, alice, bob, alice_managed):
    """Without the page's own token, or with another browser's, nothing happens."""
    visitor, other = Visitor(alice), Visitor(bob)
    client = Client(system)
    at, page = visitor.open(client.ask())
    form = Forms(page.body.decode()).fields | {"decision": "allow", "connection": alice_managed.id}
    theirs = Forms(other.open(at)[1].body.decode()).fields["form_token"]
    for token in ("", theirs, form["form_token"][:-1] + "_"):
        reply = visitor.send("POST", at, form | {"form_token": token})
        assert reply.status == 403 and "Location" not in reply.headers
    reply = visitor.send("POST", at, form, {"Origin": "https://evil.example"})
    assert reply.status == 403 and "Location" not in reply.headers
    # The token of one request is not good for another client.
    elsewhere = Client.registered(system, "https://client.example/cb").ask()
    assert visitor.send("POST", elsewhere, form).status == 403
    # Nor does a form sign a browser in that was not shown it.
    fresh = Visitor(alice)
    signing = Forms(fresh.send("GET", at).body.decode()).fields | {
        "email": alice.email, "password": "correct horse battery staple"}
    assert Visitor(alice).send("POST", at, signing).status == 403
    assert "Set-Cookie" in fresh.send("POST", at, signing).headers
    assert visitor.send("POST", at, form).status == 303


def test_somebody_elses_connection_is_not_there(system, bob, alice_managed, alice_closed):
    """Another's connection is answered as one that does not exist, whatever is shown with it."""
    visitor = Visitor(bob)
    bob.connect("alpha", "key-of-bob", "managed")
    at, page = visitor.open(Client(system).ask())
    assert alice_managed.id.encode() not in page.body
    form = Forms(page.body.decode()).fields | {"decision": "allow"}
    for chosen in ({"connection": alice_managed.id},
                   {"connection": alice_closed.id, "credential": alice_closed.url},
                   {"connection": "0" * 8 + "-0000-4000-8000-" + "0" * 12}):
        reply = visitor.send("POST", at, form | chosen)
        assert reply.status == 404 and b"not there any more" in reply.body


@refuses("I13")
def test_a_wrong_password_is_told_as_an_unknown_address(system, alice):
    """One answer for both."""
    answers = []
    for email in (alice.email, "nobody@example.org"):
        visitor = Visitor(alice)
        url = Client(system).ask(state="s")
        at, page = visitor.follow(url, visitor.send("GET", url))
        form = Forms(page.body.decode()).fields
        reply = visitor.send("POST", at, form | {"email": email, "password": "wrong password 1"})
        assert reply.status == 403 and "Location" not in reply.headers
        token = form["form_token"].encode()
        page_token = Forms(reply.body.decode()).fields["form_token"].encode()
        assert page_token == token
        answers.append(reply.body.replace(token, b"").split(b"<p><small>")[0])
    assert answers[0] == answers[1]


@refuses("A15")
def test_prompt_none_shows_nothing(system, visitor, alice_managed):
    client = Client(system)
    url = client.ask(prompt="none")
    assert query(visitor.send("GET", url).headers["Location"])["error"] == "login_required"
    visitor.open(client.ask())
    url = client.ask(prompt="none")
    assert query(visitor.send("GET", url).headers["Location"])["error"] == "consent_required"


# The token endpoint.

@pytest.fixture
def code(system, visitor, alice_managed):
    client = Client(system)
    return client, client.code(visitor, connection=alice_managed.id)


def refused(reply, error, status=400):
    assert reply.status == status, reply
    body = reply.json()
    assert body["error"] == error, body
    assert reply.headers["Cache-Control"] == "no-store"
    assert all(0x20 <= ord(c) <= 0x7e and c not in '"\\' for c in body["error_description"])
    return body


@keeps("O20")
@refuses("O1", "O20", "O23", "O25", "O26", "O56")
def test_the_token_endpoint_takes_forms_by_post(system, code):
    """Nothing of the query, nothing twice, no other media type."""
    client, value = code
    assert send(system, "GET", "/oauth/token").status == 405
    form = {"grant_type": "authorization_code", "code": value, "code_verifier": client.verifier,
            "redirect_uri": client.redirect, "client_id": client.id}
    encoded = urllib.parse.urlencode(form)
    refused(send_form(system, f"/oauth/token?{encoded}", {}), "invalid_request")
    refused(send(system, "POST", "/oauth/token", json.dumps(form),
                 {"Content-Type": "application/json"}), "invalid_request")
    refused(send(system, "POST", "/oauth/token", encoded + "&code=" + value,
                 {"Content-Type": "application/x-www-form-urlencoded"}), "invalid_request")
    refused(client.post("/oauth/token", {"grant_type": "password", "username": "a"}),
            "unsupported_grant_type")
    refused(client.post("/oauth/token", {}), "invalid_request")
    refused(client.exchange(value, code_verifier=None), "invalid_request")
    refused(client.exchange(value, client_id="nobody"), "invalid_client", 401)
    reply = client.exchange(value)
    assert reply.status == 200 and reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Content-Type"] == "application/json"


@refuses("O8")
def test_a_code_works_once_and_takes_back_what_it_gave(system, code):
    """The second use is refused and ends the first."""
    client, value = code
    tokens = client.exchange(value).json()
    assert use(system, tokens["access_token"]).status == 200
    refused(client.exchange(value), "invalid_grant")
    assert use(system, tokens["access_token"]).status == 401
    refused(client.refresh(tokens["refresh_token"]), "invalid_grant")


@refuses("O22", "O24", "I1")
@pytest.mark.parametrize("change", [
    {"code_verifier": "x" * 43}, {"code_verifier": "wrong"},
    {"redirect_uri": "http://127.0.0.1:10/callback"},
], ids=["verifier", "no verifier at all", "redirect"])
def test_what_does_not_fit_consumes_the_code(change, code):
    client, value = code
    refused(client.exchange(value, **change), "invalid_grant")
    refused(client.exchange(value), "invalid_grant")


@refuses("O31")
def test_another_resource_consumes_the_code(system, code):
    client, value = code
    refused(client.exchange(value, resource=client.resource("beta")), "invalid_target")
    refused(client.exchange(value), "invalid_grant")


@refuses("O22")
def test_another_client_leaves_the_code(system, code):
    """It is bound to its client, and nobody else can use it up."""
    client, value = code
    other = Client.registered(system)
    refused(other.exchange(value, code_verifier=client.verifier), "invalid_grant")
    assert client.exchange(value).status == 200


@keeps("O28", "O29", "O32", "A14", "I5")
@refuses("O28", "A14", "I5")
def test_tokens_rotate_with_one_successor(system, visitor, alice_managed):
    """The previous token gives the same successor until that is used; then it ends the grant."""
    client = Client(system)
    first = client.tokens(visitor, connection=alice_managed.id)
    second = client.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    again = client.refresh(first["refresh_token"]).json()
    assert again["refresh_token"] == second["refresh_token"]
    assert again["access_token"] != second["access_token"]
    third = client.refresh(second["refresh_token"]).json()
    for tokens in (first, second, again, third):
        assert use(system, tokens["access_token"]).status == 200
    refused(client.refresh(first["refresh_token"]), "invalid_grant")
    refused(client.refresh(third["refresh_token"]), "invalid_grant")
    for tokens in (first, second, again, third):
        assert use(system, tokens["access_token"]).status == 401


@keeps("O29")
@refuses("O28", "O29", "O32")
def test_a_refused_refresh_changes_nothing(system, visitor, alice_managed):
    """Another client, resource or scope."""
    client = Client(system)
    tokens = client.tokens(visitor, connection=alice_managed.id)
    other = Client.registered(system)
    refused(other.refresh(tokens["refresh_token"]), "invalid_grant")
    refused(client.refresh(tokens["refresh_token"], resource=client.resource("beta")),
            "invalid_target")
    refused(client.refresh(tokens["refresh_token"], scope="admin"), "invalid_scope")
    refused(client.refresh(tokens["refresh_token"][:-1]), "invalid_grant")
    assert client.refresh(tokens["refresh_token"], resource=None).status == 200


@keeps("O31")
@refuses("A7", "O31", "I9")
def test_a_token_is_for_its_service_alone(system, visitor, alice, alice_managed):
    """Another service of the same person refuses it, also where a connection is."""
    alice.connect("beta", "key-for-beta", "managed")
    client = Client(system)
    token = client.tokens(visitor, connection=alice_managed.id)["access_token"]
    reply = use(system, token, "beta")
    assert reply.status == 401 and 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
    assert use(system, token).status == 200
    reply = send(system, "POST", f"/mcp/alpha?access_token={token}", b"{}",
                 {"Content-Type": "application/json"})
    assert reply.status == 401 and "error=" not in reply.headers["WWW-Authenticate"]  # A8, O43


@keeps("O44", "O45", "O46", "O47")
@refuses("O44", "O45", "O46", "O47")
def test_a_changed_token_is_none(system, visitor, alice_managed):
    """Any bit, any header, no signature."""
    client = Client(system)
    token = client.tokens(visitor, connection=alice_managed.id)["access_token"]
    head, body, signature = token.split(".")

    def spelled(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    key = json.loads(base64.urlsafe_b64decode(head + "=="))
    changed = [f"{spelled(key | {'alg': alg})}.{body}.{sig}"
               for alg in ("none", "None", "HS256", "ES384", "es256") for sig in (signature, "")]
    changed += [f"{spelled(key | extra)}.{body}.{signature}" for extra in (
        {"typ": "JWT"}, {"typ": "bindery-session+jwt"}, {"kid": "../../x"}, {"jku": "http://x/"},
        {"jwk": {}}, {"crit": ["b64"], "b64": False}, {"zip": "DEF"})]
    changed += [token + "=", token + "A", token[:-2], f"{head}.{body}", f"{head}.{body}.{signature}.",
                f"{head}.{spelled(claims(token) | {'exp': 9999999999})}.{signature}"]
    for other in changed:
        assert use(system, other).status == 401, other
    assert use(system, token).status == 200


@keeps("O41")
@refuses("O41")
def test_revocation_is_at_once(system, visitor, alice_managed):
    """Unknown is fine, another's is refused, an access token alone, or all with the refresh token."""
    client, other = Client(system), Client.registered(system)
    tokens = client.tokens(visitor, connection=alice_managed.id)
    assert client.post("/oauth/revoke", {"token": "unknown"}).status == 200
    assert send_form(system, "/oauth/revoke", {"token": "unknown"}).status == 401
    refused(client.post("/oauth/revoke", {}), "invalid_request")
    assert other.post("/oauth/revoke", {"token": tokens["refresh_token"]}).status == 400
    assert use(system, tokens["access_token"]).status == 200
    reply = client.post("/oauth/revoke", {"token": tokens["access_token"],
                                          "token_type_hint": "refresh_token"})
    assert reply.status == 200
    assert use(system, tokens["access_token"]).status == 401
    tokens = client.refresh(tokens["refresh_token"]).json()
    assert use(system, tokens["access_token"]).status == 200
    assert client.post("/oauth/revoke", {"token": tokens["refresh_token"]}).status == 200
    assert use(system, tokens["access_token"]).status == 401
    refused(client.refresh(tokens["refresh_token"]), "invalid_grant")


@keeps("O21", "O42")
@refuses("O21", "O42")
@pytest.mark.parametrize("way", ["client_secret_basic", "client_secret_post"])
def test_a_client_with_a_secret_proves_itself(way, system, visitor, alice_managed):
    """In its own way and in one way only; then it may ask about its own tokens."""
    client = Client.registered(system, token_endpoint_auth_method=way)
    tokens = client.tokens(visitor, connection=alice_managed.id)
    secret, basic = client.secret, client.basic
    for wrong in ({"secret": secret + "x"}, {"secret": None, "basic": False},
                  {"basic": not basic}):
        for name, value in wrong.items():
            setattr(client, name, value)
        reply = client.refresh(tokens["refresh_token"])
        refused(reply, "invalid_client", 401)
        assert ("WWW-Authenticate" in reply.headers) == client.basic
        client.secret, client.basic = secret, basic
    both = client.post("/oauth/token", {"grant_type": "refresh_token", "client_secret": secret,
                                        "refresh_token": tokens["refresh_token"]},
                       {"Authorization": "Basic eDp5"} if not basic else {})
    refused(both, "invalid_request")
    told = client.post("/oauth/introspect", {"token": tokens["access_token"]}).json()
    said = claims(tokens["access_token"])
    assert told == {"active": True, "scope": "mcp", "client_id": client.id, "sub": said["sub"],
                    "aud": client.resource(), "iss": system.origin, "exp": said["exp"],
                    "token_type": "Bearer"}
    assert client.post("/oauth/introspect", {"token": tokens["refresh_token"]}).json()["active"]
    theirs = Client(system).tokens(visitor, connection=alice_managed.id)
    for token in ("unknown", theirs["access_token"], theirs["refresh_token"]):
        reply = client.post("/oauth/introspect", {"token": token})
        assert reply.json() == {"active": False} and reply.headers["Cache-Control"] == "no-store"
    assert client.post("/oauth/revoke", {"token": tokens["refresh_token"]}).status == 200
    for token in tokens["access_token"], tokens["refresh_token"]:
        assert client.post("/oauth/introspect", {"token": token}).json() == {"active": False}
    refused(Client(system).post("/oauth/introspect", {"token": "x"}), "invalid_client", 401)


@refuses("O36", "O37", "O38", "O39", "O58")
@pytest.mark.parametrize(("metadata", "error"), [
    ({"redirect_uris": []}, "invalid_redirect_uri"),
    ({"redirect_uris": None}, "invalid_redirect_uri"),
    ({"redirect_uris": "http://127.0.0.1/"}, "invalid_redirect_uri"),
    ({"redirect_uris": ["http://client.example/"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["https://client.example/#x"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["https://*.example/"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["https://u:p@client.example/"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["app.example:/cb"]}, "invalid_redirect_uri"),
    ({"redirect_uris": ["https://c.example/"] * 17}, "invalid_redirect_uri"),
    ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
    ({"response_types": ["token"]}, "invalid_client_metadata"),
    ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
    ({"jwks": {"keys": []}, "jwks_uri": "https://c.example/"}, "invalid_client_metadata"),
    ({"client_name": 5}, "invalid_client_metadata"),
])
def test_what_can_not_be_registered_is_told(metadata, error, system):
    body = {"redirect_uris": ["http://127.0.0.1/"]} | metadata
    body = {k: v for k, v in body.items() if v is not None}
    reply = send(system, "POST", "/oauth/register", json.dumps(body),
                 {"Content-Type": "application/json"})
    refused(reply, error)


@keeps("O36", "O37", "O38", "O39", "A13")
def test_a_registration_says_what_holds(system):
    """With defaults, without what is unknown; ids that look like no URL."""
    reply = send(system, "POST", "/oauth/register", json.dumps(
        {"redirect_uris": ["https://c.example/a", "http://[::1]/"], "client_name": "Näme",
         "logo_uri": "http://169.254.169.254/", "unknown": {"x": 1}}),
        {"Content-Type": "application/json"})
    assert reply.status == 201 and reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Access-Control-Allow-Origin"] == "*"
    made = reply.json()
    assert made["token_endpoint_auth_method"] == "client_secret_basic"
    assert made["grant_types"] == ["authorization_code"] and made["response_types"] == ["code"]
    assert made["redirect_uris"] == ["https://c.example/a", "http://[::1]/"]
    assert made["client_name"] == "Näme" and made["client_secret_expires_at"] == 0
    assert len(made["client_secret"]) == 43 and not made["client_id"].startswith("https://")
    assert abs(made["client_id_issued_at"] - time.time()) < 60
    assert "logo_uri" not in made and "unknown" not in made
    public = Client.registered(system)
    assert public.secret is None


@keeps("O12", "O33")
def test_pages_of_other_origins_may_fetch_all_but_the_page(system):
    """Without cookies, on errors too."""
    for path in ("/oauth/token", "/oauth/register", "/oauth/revoke", "/oauth/introspect"):
        preflight = send(system, "OPTIONS", path, headers={
            "Origin": "https://client.example", "Access-Control-Request-Method": "POST"})
        assert preflight.status == 204 and preflight.headers["Access-Control-Allow-Origin"] == "*"
        reply = send(system, "POST", path, "{", {"Origin": "https://client.example"})
        assert reply.status in (400, 401) and reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in reply.headers


@keeps("I6")
@refuses("I6")
def test_grants_stand_with_the_connection(system, alice, visitor, alice_managed):
    """Listed beside credentials without secrets, used, and ended one by one."""
    client = Client.registered(system, client_name="Listed one")
    tokens = client.tokens(visitor, connection=alice_managed.id)
    assert use(system, tokens["access_token"]).status == 200
    place = f"/api/connections/{alice_managed.id}/credentials"

    def mine():
        return [c for c in alice.call("GET", place).json()["credentials"]
                if c.get("client_id") == client.id]

    grant, = mine()
    assert grant["name"] == "Listed one" and grant["id"] == claims(tokens["access_token"])["sid"]
    assert tokens["refresh_token"] not in json.dumps(grant)
    until(lambda: mine()[0]["last_used_at"], 15, "the last use")
    assert alice.call("DELETE", f"{place}/{grant['id']}").status == 200
    assert use(system, tokens["access_token"]).status == 401
    refused(client.refresh(tokens["refresh_token"]), "invalid_grant")
    assert mine() == [] and alice_managed.call().status == 200


@keeps("O59", "A16")
@refuses("O59", "A16")
def test_nothing_that_a_client_holds_is_stored(system, visitor, alice_managed):
    """Codes, tokens and secrets: not one of them, whole or in part, on the disk or in a log."""
    client = Client.registered(system, token_endpoint_auth_method="client_secret_post")
    code = client.code(visitor, connection=alice_managed.id)
    tokens = client.exchange(code).json()
    assert use(system, tokens["access_token"]).status == 200
    second = client.refresh(tokens["refresh_token"]).json()
    disk = b"\0".join(p.read_bytes() for p in system.folder.rglob("*") if p.is_file())
    for secret in (code, client.secret, *(t[k] for t in (tokens, second)
                                          for k in ("access_token", "refresh_token"))):
        last = secret.split(".")[-1]
        raw = base64.urlsafe_b64decode(last + "=" * (-len(last) % 4))
        for form in (secret.encode(), secret.encode()[-40:], raw, raw[-32:], raw[-32:].hex().encode()):
            assert form not in disk
    assert hashlib.sha256(client.secret.encode()).digest() in disk, "the search works"
