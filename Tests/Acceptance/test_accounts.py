# Does the REST API keep its word to people and their dashboards? Accounts, sessions with cookies
# and tokens, connections in both storage modes, further credentials, labels, activity: names and
# shapes as the contract has them, secrets shown once and to their owner alone.
# Everything goes through the edge, as in production.

import http.cookies
import json
import threading

import pytest
from conftest import key
from rules import keeps, refuses
from system import PASSWORD, Access
from waiting import until

FIELDS = {"id", "service", "label", "status", "auth_type", "key_storage_mode", "networks",
          "created_at", "last_used_at", "expires_at", "needs_reauth_at"}


def plain(person, method, path, body=None, **headers):
    """A call without this person's token."""
    token, person.token = person.token, None
    try:
        return person.call(method, path, body, {n.replace("_", "-"): v for n, v in headers.items()})
    finally:
        person.token = token


@pytest.fixture
def person(system):
    return system.person()


def items(reply, name):
    value = reply.json()
    return value if isinstance(value, list) else value[name]


def is_problem(reply, status):
    assert reply.status == status, reply
    value = reply.json()
    assert isinstance(value["error"], str) and isinstance(value["message"], str)
    return value["error"]


def sign_in(person, **change):
    return plain(person, "POST", "/api/auth/login",
                 {"email": person.email, "password": PASSWORD} | change)


@keeps("I13", "I14")
def test_signing_in_gives_tokens_and_a_strict_cookie(person):
    reply = sign_in(person)
    assert reply.status == 200, reply
    value = reply.json()
    assert value["token_type"].lower() == "bearer" and value["expires_in"] == 900
    assert value["access_token"] and value["refresh_token"]
    text = reply.headers["Set-Cookie"]
    assert text.startswith("bindery_session=")
    for attribute in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert attribute.lower() in text.lower()
    assert reply.headers["Cache-Control"] == "no-store"


@refuses("I13")
def test_an_unknown_person_and_a_wrong_password_look_alike(person):
    wrong = sign_in(person, password="wrong password 123")
    unknown = sign_in(person, email="nobody@example.org")
    assert wrong.status == unknown.status == 401 and wrong.body == unknown.body
    names = [[n for n, _ in reply.headers.items()] for reply in (wrong, unknown)]
    assert names[0] == names[1]


@pytest.mark.parametrize("change", [{"password": "short"}, {"password": "x" * 11}, {"email": "no at"},
                                    {"email": "a@b@c.example"}, {"email": ""}, {"email": 5},
                                    {"password": None}])
def test_a_bad_registration_is_refused(change, person):
    body = {"email": "fresh@example.org", "password": PASSWORD} | change
    is_problem(plain(person, "POST", "/api/auth/register", body), 400)


def test_an_address_has_one_account(person):
    for email in (person.email, person.email.upper()):
        reply = plain(person, "POST", "/api/auth/register", {"email": email, "password": PASSWORD})
        assert 400 <= reply.status < 500, reply


def test_a_refresh_token_rotates_and_signing_out_ends_it(person):
    first = sign_in(person).json()
    second = plain(person, "POST", "/api/auth/token", {"refresh_token": first["refresh_token"]})
    assert second.status == 200, second
    second = second.json()
    assert second["refresh_token"] != first["refresh_token"]
    me = plain(person, "GET", "/api/me", Authorization=f"Bearer {second['access_token']}")
    assert me.status == 200 and me.json()["id"]
    as_access = plain(person, "GET", "/api/me", Authorization=f"Bearer {second['refresh_token']}")
    assert as_access.status == 401
    out = plain(person, "POST", "/api/auth/logout", {},
                Authorization=f"Bearer {second['access_token']}")
    assert out.status in (200, 204), out
    third = plain(person, "POST", "/api/auth/token", {"refresh_token": second["refresh_token"]})
    assert third.status in (400, 401), third


def test_a_cookie_may_read_anywhere_and_write_from_an_allowed_origin(person):
    reply = sign_in(person)
    cookie = next(iter(http.cookies.SimpleCookie(reply.headers["Set-Cookie"]).values()))
    header = f"{cookie.key}={cookie.value}"
    origin = person.system.origin
    assert plain(person, "GET", "/api/me", Cookie=header).status == 200
    path, body = "/api/connections/alpha/api-key", {"api_key": key()}
    assert plain(person, "POST", path, body, Cookie=header).status in (401, 403)
    assert plain(person, "POST", path, body, Cookie=header,
                 Origin="http://attacker.example").status == 403
    assert plain(person, "POST", path, body, Cookie=header, Origin=origin).status == 201
    assert plain(person, "POST", "/api/auth/logout", {}, Cookie=header, Origin=origin).status < 300
    assert plain(person, "GET", "/api/me", Cookie=header).status == 401


def test_without_a_session_nothing_of_a_person_is_shown(person):
    for method, path in (("GET", "/api/me"), ("GET", "/api/connections"), ("GET", "/api/connections/x"),
                         ("POST", "/api/connections/alpha/api-key"), ("DELETE", "/api/connections/x")):
        reply = plain(person, method, path, {} if method == "POST" else None)
        is_problem(reply, 401)


def test_services_are_public_and_tell_what_they_need(person):
    reply = plain(person, "GET", "/api/services")
    assert reply.status == 200
    alpha = next(s for s in items(reply, "services") if s["id"] == "alpha")
    assert alpha["name"] == "Alpha" and alpha["supports_api_key"] is True
    assert alpha["supports_oauth"] is False and alpha["api_key_instructions"] == "Ask the test."
    assert "managed_supported" in alpha
    linear = next(s for s in items(reply, "services") if s["id"] == "linear")
    assert linear["supports_oauth"] is True, "the built-in catalogue is merged in"


@pytest.mark.parametrize("mode", [None, "zero_knowledge", "managed"])
def test_a_connection_is_shown_without_its_secrets(mode, person):
    access = person.connect("alpha", key(), mode, label="My alpha")
    listed = items(person.call("GET", "/api/connections"), "connections")
    one = person.call("GET", f"/api/connections/{access.id}").json()
    for shown in (access.connection, listed[0], one.get("connection", one)):
        assert set(shown) == FIELDS, set(shown) ^ FIELDS
        assert shown["id"] == access.id and shown["service"] == "alpha"
        assert shown["label"] == "My alpha" and shown["status"] == "active"
        assert shown["auth_type"] == "api_key" and shown["networks"] is None
        assert shown["key_storage_mode"] == (mode or "zero_knowledge")
    text = json.dumps([listed, one]) + person.call(
        "GET", f"/api/connections/{access.id}/credentials").body.decode()
    for secret in (access.secret, access.secret[:43], access.secret[43:], access.key):
        assert secret not in text


def test_connections_are_numbered_and_can_be_renamed(person):
    first, second = person.connect("alpha", key()), person.connect("alpha", key())
    assert first.connection["label"] == "Alpha 1" and second.connection["label"] == "Alpha 2"
    path = f"/api/connections/{first.id}"
    assert person.call("PATCH", path, {"label": "  Mine  "}).status == 200
    listed = items(person.call("GET", "/api/connections"), "connections")
    assert "Mine" in [c["label"] for c in listed]
    for bad in ("", "   ", "x" * 300, 5):
        is_problem(person.call("PATCH", path, {"label": bad}), 400)


@pytest.mark.parametrize("body", [{}, {"api_key": ""}, {"api_key": 5}, {"api_key": "a\nb"},
                                  {"api_key": "x", "key_storage_mode": "open"}, []])
def test_a_bad_connection_is_refused(body, person):
    is_problem(person.call("POST", "/api/connections/alpha/api-key", body), 400)
    assert not items(person.call("GET", "/api/connections"), "connections")


def test_an_unknown_service_cannot_be_connected(person):
    is_problem(person.call("POST", "/api/connections/nowhere/api-key", {"api_key": "x"}), 404)


def test_a_zero_knowledge_connection_gives_a_credential_only_for_a_credential(person, alpha):
    access = person.connect("alpha", key())
    other = person.connect("alpha", key())
    path = f"/api/connections/{access.id}/credentials"
    for body in ({"name": "x"}, {"name": "x", "credential": "bnd_test_" + "A" * 86},
                 {"name": "x", "credential": other.api_key}, {"name": "x", "credential": "rubbish"}):
        reply = person.call("POST", path, body)
        assert 400 <= reply.status < 500, reply
    for credential in (access.api_key, access.url, access.secret):
        reply = person.call("POST", path, {"name": "x", "credential": credential})
        if credential is not access.secret:
            assert reply.status == 201, reply
    more = access.another()
    assert more.secret != access.secret and more.call().status == 200
    assert alpha.requests[-1].all("authorization") == [f"Bearer {access.key}"]


def test_a_managed_connection_gives_a_credential_to_its_owner(person, alpha):
    access = person.connect("alpha", key(), "managed")
    reply = person.call("POST", f"/api/connections/{access.id}/credentials", {"name": "more"})
    assert reply.status == 201, reply
    more = Access(person, "alpha", reply.json(), access.key, access.connection)
    assert more.call().status == 200 and access.call().status == 200
    names = [c["name"] for c in items(person.call(
        "GET", f"/api/connections/{access.id}/credentials"), "credentials")]
    assert len(names) == 2 and "more" in names


def test_a_credential_that_expires_stops_then(person, alpha):
    access = person.connect("alpha", key())
    brief = access.another(expires_in=1)
    assert brief.call().status in (200, 404)
    until(lambda: brief.call().status == 404, 10, "the expiry")
    assert access.call().status == 200


def test_activity_tells_what_happened_and_nothing_of_what_was_said(person, alpha):
    access = person.connect("alpha", key())
    access.call(b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"secret":"canary"}}')

    def rows():
        return items(person.call("GET", f"/api/connections/{access.id}/activity"), "activity")

    found = until(rows, 15, "the activity")
    assert set(found[0]) >= {"at", "status", "duration_ms", "network"}
    assert found[0]["status"] == 200 and "canary" not in json.dumps(found)
    shown = person.call("GET", f"/api/connections/{access.id}").json()
    assert shown.get("connection", shown)["last_used_at"] is not None


def test_ids_of_the_same_person_do_not_mix(person, alpha):
    first, second = person.connect("alpha", key()), person.connect("alpha", key())
    credentials = items(person.call("GET", f"/api/connections/{second.id}/credentials"), "credentials")
    reply = person.call("DELETE", f"/api/connections/{first.id}/credentials/{credentials[0]['id']}")
    assert reply.status == 404 and second.call().status == 200


def test_many_sign_ins_at_once_are_bounded_and_others_are_served(person, alpha):
    access, statuses = person.connect("alpha", key()), []

    def attempt():
        try:
            statuses.append(sign_in(person, password="wrong password 123").status)
        except OSError:
            statuses.append(None)

    threads = [threading.Thread(target=attempt) for _ in range(60)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert access.call().status == 200
    for thread in threads:
        thread.join(60)
    assert set(statuses) <= {401, 429, 503}, set(statuses)
