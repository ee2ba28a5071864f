# Seven kinds of secrets that people and programs carry, seven places that take one: each place takes its own
# kind and none of the others, whatever spelling they have in common.

import http.client
import json

import pytest
from consent import Client, Visitor, send, send_form, use
from rules import keeps, refuses
from system import PASSWORD

KINDS = ["session cookie", "session token", "refresh token of a session", "credential",
         "code", "refresh token of a grant", "access token"]


@pytest.fixture(scope="module")
def world(system, scripted):
    scripted["alpha"].reset()
    person = system.person()
    access = person.connect("alpha", "key-of-the-kinds", "managed")
    client = Client(system)
    visitor = Visitor(person)
    return system, person, access, client, visitor


def fresh(world):
    """One of each kind, all of them of the same person."""
    system, person, access, client, visitor = world
    reply = send(system, "POST", "/api/auth/login",
                 json.dumps({"email": person.email, "password": PASSWORD}),
                 {"Content-Type": "application/json"})
    assert reply.status == 200, reply
    cookie = reply.headers["Set-Cookie"].split("=", 1)[1].split(";")[0]
    tokens = client.tokens(visitor, connection=access.id)
    code = client.code(visitor, connection=access.id)
    return dict(zip(KINDS, [cookie, reply.json()["access_token"], reply.json()["refresh_token"],
                            access.api_key, code, tokens["refresh_token"],
                            tokens["access_token"]]))


def cookie(world, value):
    return send(world[0], "GET", "/api/me", headers={"Cookie": f"bindery_session={value}"})


def bearer(world, value):
    return send(world[0], "GET", "/api/me", headers={"Authorization": f"Bearer {value}"})


def session(world, value):
    return send(world[0], "POST", "/api/auth/token", json.dumps({"refresh_token": value}),
                {"Content-Type": "application/json"})


def url(world, value):
    secret = value.removeprefix("bnd_test_")
    return send(world[0], "POST", f"/mcp/alpha/{secret}", b"{}",
                {"Content-Type": "application/json"})


def header(world, value):
    return use(world[0], value)


def exchange(world, value):
    return world[3].exchange(value)


def refresh(world, value):
    return world[3].refresh(value)


# A place, and the kinds that it takes.
PLACES = {
    cookie: {"session cookie"}, bearer: {"session token"},
    session: {"refresh token of a session"}, url: {"credential"},
    header: {"credential", "access token"}, exchange: {"code"},
    refresh: {"refresh token of a grant"},
}


@keeps("O48", "I9")
@refuses("O48", "I9")
@pytest.mark.parametrize("place", PLACES, ids=lambda p: p.__name__)
def test_a_place_takes_its_own_kind_alone(place, world):
    for kind, value in fresh(world).items():
        try:
            status = place(world, value).status
        except http.client.HTTPException as error:
            pytest.fail(f"{kind}: {error}")
        if kind in PLACES[place]:
            assert status == 200, (kind, status)
        else:
            assert status in (400, 401, 404), (kind, status)


def test_the_bytes_of_an_access_token_are_no_credential(world):
    """Nor its hash written as a secret URL or an API key: the edge finds it by that hash."""
    import base64
    import hashlib
    token = fresh(world)["access token"]
    assert header(world, token).status == 200
    secret = base64.urlsafe_b64encode(hashlib.sha512(token.encode()).digest()).rstrip(b"=").decode()
    assert len(secret) == 86
    assert url(world, secret).status == 404
    assert header(world, "bnd_test_" + secret).status == 401
    assert send_form(world[0], "/oauth/token", {
        "grant_type": "refresh_token", "client_id": "bindery-mcp",
        "refresh_token": secret}).status == 400
    assert header(world, token).status == 200
