# Do people of Clerk come in, and nobody else? Tokens are made by PyJWT and go through the edge to the
# real auth, which fetches the keys of a scripted Clerk.

import concurrent.futures
import base64
import hashlib
import hmac
import html
import http.client
import json
import re
import time
import urllib.parse

import jwt
import pytest
from conftest import key
from consent import Client, Visitor, query, send_json, use
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from desk import Clerk
from oauth import holding, rows, writing
from rules import keeps, refuses
from system import PASSWORD, Reply, System
from waiting import until


@pytest.fixture(scope="module")
def clerk():
    started = Clerk()
    yield started
    started.close()


@pytest.fixture(scope="module")
def world(catalogue, clerk):
    with System(catalogue, {**clerk.settings, "ADMIN_URL": "http://127.0.0.1:3999"}) as system:
        yield system


def call(system, token, method="GET", path="/api/me", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=30)
    headers = {"Host": system.host, "Authorization": f"Bearer {token}"}
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    try:
        connection.request(method, path, data, headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


@keeps("I10", "I15")
def test_the_first_calls_make_one_account_however_many_come_at_once(world, clerk):
    token = clerk.token("user_many", email="many@example.org", azp="http://127.0.0.1:3999")
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        replies = list(pool.map(lambda _: call(world, token), range(64)))
    assert {reply.status for reply in replies} == {200}
    assert len({reply.json()["id"] for reply in replies}) == 1
    assert replies[0].json()["email"] == "many@example.org"
    assert rows(world, "bindery", "SELECT count(*) FROM clerk_identities WHERE subject = 'user_many'"
                ) == [(1,)]


def test_a_person_of_clerk_connects_and_is_a_stranger_to_others(world, clerk, alpha):
    mine, other = clerk.token("user_mine"), clerk.token("user_other")
    made = call(world, mine, "POST", "/api/connections/alpha/api-key", {"api_key": key()})
    assert made.status == 201, made
    path = f"/api/connections/{made.json()['connection']['id']}"
    assert call(world, mine, path=path).status == 200
    assert call(world, other, path=path).status == 404
    # Another session of the same person, by its own token.
    assert call(world, clerk.token("user_mine", sid="sess_2"), path=path).status == 200


@refuses("I15")
def test_an_address_leads_to_no_account_that_was_opened_here(world, clerk):
    person = world.person()
    reply = call(world, clerk.token("user_namesake", email=person.email))
    assert reply.status == 200 and reply.json()["email"] == person.email
    assert reply.json()["id"] != person.call("GET", "/api/me").json()["id"]


def now(seconds):
    return int(time.time()) + seconds


BAD = {
    "expired": lambda: {"exp": now(-60), "iat": now(-120)},
    "not yet": lambda: {"nbf": now(600)},
    "from the future": lambda: {"iat": now(600), "exp": now(660)},
    "for a year": lambda: {"exp": now(31_000_000)},
    "without an end": lambda: {"exp": None},
    "another issuer": lambda: {"iss": "https://clerk.attacker.example"},
    "no issuer": lambda: {"iss": None},
    "another page": lambda: {"azp": "https://attacker.example"},
    "another audience": lambda: {"aud": "convex"},
    "nobody": lambda: {"sub": None},
    "a path for a subject": lambda: {"sub": "../users/user_2"},
    "a pending session": lambda: {"sts": "pending"},
}


@refuses("I10")
@pytest.mark.parametrize("how", BAD)
def test_a_token_that_does_not_hold_is_refused(how, world, clerk):
    assert call(world, clerk.token("user_bad", **BAD[how]())).status == 401


def unsigned(header, claims):
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
             for part in (header, claims)]
    return b".".join(parts)


@refuses("I10")
def test_a_token_that_clerk_did_not_sign_is_refused(world, clerk):
    claims = jwt.decode(clerk.token("user_forged"), options={"verify_signature": False})
    foreign = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = clerk.keys["ins_1"].public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    bare = unsigned({"alg": "none", "kid": "ins_1", "typ": "JWT"}, claims)
    confused = unsigned({"alg": "HS256", "kid": "ins_1", "typ": "JWT"}, claims)
    mac = base64.urlsafe_b64encode(hmac.digest(public, confused, hashlib.sha256)).rstrip(b"=")
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk(foreign.public_key(), as_dict=True)
    good = clerk.token("user_forged")
    head, body, signature = good.split(".")
    for token in (
            clerk.token("user_forged", key=foreign), (bare + b".").decode(), bare.decode(),
            (confused + b"." + mac).decode(), clerk.token("user_forged", algorithm="RS512"),
            clerk.token("user_forged", algorithm="PS256"),
            clerk.token("user_forged", key=foreign, headers={"jwk": jwk}),
            clerk.token("user_forged", key=ec.generate_private_key(ec.SECP256R1()),
                        algorithm="ES256"),
            clerk.token("user_forged", headers={"kid": "ins_unknown"}),
            f"{head}.{body}.", f"{head}.{body}", f"{good}=", f"{good}.{signature}",
            f"{head}.{body[:-1]}.{signature}"):
        assert call(world, token).status == 401, token
    assert not rows(world, "bindery",
                    "SELECT 1 FROM clerk_identities WHERE subject = 'user_forged'")


@keeps("I11")
@refuses("I11")
def test_a_rotated_key_is_found_and_unknown_names_cost_one_fetch(own_system, clerk):
    system = own_system(clerk.settings)
    clerk.requests.clear()
    for number in range(50):
        token = clerk.token("user_1", headers={"kid": f"junk{number}"})
        assert call(system, token).status == 401
    assert call(system, clerk.token()).status == 200
    assert len(clerk.asked("/.well-known/jwks.json")) == 1
    old = clerk.name
    clerk.rotate("ins_2")
    try:
        # Half a minute after the last fetch, and not before, a new name is looked for.
        until(lambda: call(system, clerk.token()).status == 200, 60, "the new key")
        assert len(clerk.asked("/.well-known/jwks.json")) == 2
    finally:
        clerk.name = old
    assert call(system, clerk.token()).status == 200


@keeps("I11")
def test_clerk_may_be_away_as_long_as_its_keys_are_known(own_system, clerk):
    system = own_system(clerk.settings)
    clerk.trouble = 500
    try:
        first = call(system, clerk.token())
        assert first.status == 503 and first.headers["Retry-After"]
        clerk.trouble = None
        until(lambda: call(system, clerk.token()).status == 200, 60, "the keys")
        clerk.trouble = 500
        assert call(system, clerk.token()).status == 200
    finally:
        clerk.trouble = None


def test_max_users_holds_for_both_kinds_of_people(own_system, clerk):
    system = own_system({**clerk.settings, "MAX_USERS": "2",
                         "ADMIN_NOTIFICATION_EMAIL": "operator@b.example"})
    system.person()
    assert call(system, clerk.token("user_1", email="first@example.org")).status == 200
    refused = call(system, clerk.token("user_2"))
    assert refused.status == 403 and refused.json()["error"] == "max_users_reached"
    assert call(system, clerk.token("user_1")).status == 200
    until(lambda: len(list((system.data / "outbox").glob("*.eml"))) == 2, 15, "a word of each")
    texts = "".join(file.read_text() for file in (system.data / "outbox").glob("*.eml"))
    assert "first@example.org has registered" in texts


def test_deleting_an_account_deletes_it_at_clerk_and_old_tokens_make_none(own_system, clerk):
    system = own_system(clerk.settings)
    token = clerk.token("user_gone", email="gone@example.org", iat=now(-5), exp=now(120))
    assert call(system, token).status == 200
    reply = call(system, token, "DELETE", "/api/account")
    assert reply.status == 200 and reply.json() == {"success": True}
    assert "user_gone" in clerk.deleted
    assert call(system, token).status == 401
    # Clerk says 404 for somebody who is gone already, and that is good.
    later = clerk.token("user_gone", iat=now(2), exp=now(60))
    assert call(system, later).status == 200
    assert call(system, later, "DELETE", "/api/account").json() == {"success": True}
    clerk.trouble = 500
    try:
        again = clerk.token("user_kept", iat=now(-1))
        clerk.trouble = None
        assert call(system, again).status == 200
        clerk.trouble = 500
        assert call(system, again, "DELETE", "/api/account").json() == {
            "success": True, "warnings": ["clerk_account_kept"]}
    finally:
        clerk.trouble = None
    assert b"sk_test_canary" not in system.log.read_bytes()
    for text in ("user_gone", "user_kept", "gone@example.org"):
        assert not holding(system, text)
    for table in ("users", "clerk_identities"):
        assert rows(system, "bindery", f"SELECT count(*) FROM {table}") == [(0,)]


# The consent page, which runs no script of Clerk's: the dashboard brings the person there.

DASHBOARD = "http://127.0.0.1:3999"


def borrow(visitor, token, **headers):
    """What the dashboard does in this browser for somebody who signed in at Clerk."""
    given = {"Authorization": f"Bearer {token}", "Origin": DASHBOARD} | headers
    return visitor.send("POST", f"{visitor.origin}/api/auth/session",
                        headers={k: v for k, v in given.items() if v})


def test_a_person_of_clerk_lets_a_client_in(world, clerk, alpha):
    token, visitor = clerk.token("user_consents", email="consents@example.org"), Visitor(
        origin=world.origin)
    made = call(world, token, "POST", "/api/connections/alpha/api-key",
                {"api_key": "key-of-clerk", "key_storage_mode": "managed"})
    client = Client(world)
    asked = client.ask()
    page = visitor.send("GET", asked)
    link, = re.findall(r'href="([^"]+)">Continue in the dashboard', page.body.decode())
    at, _, sought = html.unescape(link).partition("?return_to=")
    assert at == f"{DASHBOARD}/dashboard" and urllib.parse.unquote(sought) == asked
    assert b'name="password"' in page.body, "there are local accounts, too"
    reply = borrow(visitor, token)
    assert reply.status == 200 and reply.json() == {
        "user": {"id": call(world, token).json()["id"], "email": "consents@example.org"},
        "expires_in": 3600}
    cookie, = reply.headers.get_all("Set-Cookie")
    name, _, attributes = cookie.partition(";")
    assert name.startswith("bindery_session=") and attributes == \
        " Path=/; HttpOnly; SameSite=Strict; Max-Age=3600"
    assert reply.headers["Access-Control-Allow-Origin"] == DASHBOARD
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    consent = visitor.send("GET", urllib.parse.unquote(sought))
    assert b"consents@example.org" in consent.body
    back = query(visitor.decide_at(asked, consent, connection=made.json()["connection"]["id"]))
    tokens = client.exchange(back["code"]).json()
    assert use(world, tokens["access_token"]).status == 200
    assert alpha.requests[-1].header("authorization") == "Bearer key-of-clerk"
    # The sign-in ends here when it is ended here, and by itself after its hour.
    assert visitor.send("POST", f"{world.origin}/api/auth/logout",
                        headers={"Origin": DASHBOARD}).status == 200
    assert b"Continue in the dashboard" in visitor.send("GET", client.ask()).body
    assert borrow(visitor, token).status == 200
    assert b"consents@example.org" in visitor.send("GET", client.ask()).body
    assert borrow(visitor, token).status == 200
    with writing(world, "bindery") as database:
        database.execute("UPDATE sessions SET expires_at = expires_at - 3601 WHERE user_id = ?",
                         (reply.json()["user"]["id"],))
    assert b"Continue in the dashboard" in visitor.send("GET", client.ask()).body


def test_nothing_else_becomes_a_sign_in(world, clerk):
    """No page but the dashboard, no key, no token of ours, no cookie, and no token that is not held."""
    token, visitor = clerk.token("user_careful"), Visitor(origin=world.origin)
    person = world.person()
    key = person.call("POST", "/api/keys", {"name": "one"}).json()["key"]
    cookie = send_json(world, "/api/auth/login", {"email": person.email, "password": PASSWORD}
                       ).headers["Set-Cookie"].split(";")[0]
    for status, error, shown, headers in (
            (403, "forbidden", token, {"Origin": None}),
            (403, "forbidden", token, {"Origin": "null"}),
            (403, "forbidden", token, {"Origin": "https://attacker.example"}),
            (403, "forbidden", person.token, {}), (403, "forbidden", key, {}),
            (401, "unauth", None, {"Authorization": None, "Cookie": cookie}),
            (401, "unauth", "junk", {"Cookie": cookie}),
            (401, "unauth", clerk.token("user_careful", azp="https://attacker.example"), {}),
            (401, "unauth", clerk.token("user_careful", exp=now(-60), iat=now(-120)), {})):
        reply = borrow(visitor, shown, **headers)
        assert reply.status == status and error in reply.json()["error"], (headers, reply)
        assert "Set-Cookie" not in reply.headers and visitor.jar == {}
    assert rows(world, "bindery", "SELECT count(*) FROM clerk_identities WHERE subject = ?",
                "user_careful") == [(0,)]


def test_without_local_accounts_the_dashboard_is_the_way(own_system, clerk):
    system = own_system({**clerk.settings, "ADMIN_URL": DASHBOARD, "AUTH_LOCAL_ACCOUNTS": "false"})
    visitor = Visitor(origin=system.origin)
    page = visitor.send("GET", Client(system).ask())
    assert page.status == 200 and b"Continue in the dashboard" in page.body
    assert b"<form" not in page.body and b"<script" not in page.body
    assert borrow(visitor, clerk.token("user_alone", email="alone@example.org")).status == 200
    page = visitor.send("GET", Client(system).ask())
    assert b"alone@example.org" in page.body and b'value="allow"' in page.body


def test_without_clerk_nothing_leads_there(system):
    visitor = Visitor(origin=system.origin)
    assert b"dashboard" not in visitor.send("GET", Client(system).ask()).body
    assert borrow(visitor, "junk", Origin=system.origin).status == 401
