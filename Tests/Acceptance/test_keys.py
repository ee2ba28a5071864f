# Do programs' keys keep their word? `userk_` acts for a person, `spacek_` for some of the person's
# connections and no more; both reach managed connections alone, and end at once with the key, the
# connection, the space, or the storage mode. Everything goes through the edge, as in production.

import copy
import json
import os
import signal
import time

import pytest
from conftest import key
from system import PASSWORD
from test_revocation import Race
from waiting import halt, until


ALL = ["connections:read", "connections:use", "connections:write"]
LATE = int(os.environ.get("REVOCATIONS", "10000")) // 20
PING = b'{"jsonrpc":"2.0","id":7,"method":"ping"}'


@pytest.fixture
def person(system):
    return system.person()


def made(reply, status=201):
    assert reply.status == status, reply
    return reply.json()


def user_key(person, **how):
    return made(person.call("POST", "/api/keys", {"name": "laptop", **how}))


def space(person, *connections, name="builds"):
    return made(person.call("POST", "/api/spaces", {
        "name": name, "connections": [each.id for each in connections]}))


def space_key(person, space, permissions, **how):
    return made(person.call("POST", f"/api/spaces/{space['id']}/keys",
                            {"permissions": permissions, **how}))


def with_key(access, text):
    """The same connection, reached with a program's key."""
    reached = copy.copy(access)
    reached.api_key = text
    return reached


def call(access, text, extra=()):
    return with_key(access, text).call(PING, "header", extra)


def problem(answer, status, code):
    assert answer.status == status, answer
    value = answer.json()
    assert value["error"]["code"] == code and value["id"] == 7
    return value["error"]["message"]


def requests(upstream):
    return [request for each in list(upstream.connections) for request in each.requests]


def authorizations(upstream):
    """The service's keys that came, in no order."""
    return {request.header("authorization") for request in requests(upstream)}


def reaches(text, upstream, access, extra=()):
    """The key reaches `access` and nothing else."""
    upstream.reset()
    answer = call(access, text, extra)
    assert answer.status == 200, answer
    assert authorizations(upstream) == {f"Bearer {access.key}"}
    return True


def bearer(person, text):
    """The same person's API, with a key in place of the sign-in."""
    program = copy.copy(person)
    program.token = text
    return program


def test_a_user_key_is_shown_once_and_stored_as_a_hash(person, system):
    value = user_key(person)
    assert value["key"].startswith("userk_") and len(value["key"]) == 92
    assert set(value) == {"id", "name", "key", "created_at", "expires_at", "last_used_at"}
    listed = person.call("GET", "/api/keys")
    assert value["key"] not in listed.body.decode()
    assert [each["id"] for each in listed.json()["keys"]] == [value["id"]]
    needle = value["key"][6:].encode()
    for file in list(system.data.glob("*")) + list(system.run.glob("*")) + [system.log]:
        if file.is_file():
            assert needle not in file.read_bytes(), file


def test_a_user_key_acts_for_its_person(person, alpha):
    access = person.connect("alpha", key(), "managed")
    value = user_key(person)
    program = bearer(person, value["key"])
    me = made(program.call("GET", "/api/me"), 200)
    assert me["email"] == person.email and me["active_connections"] == 1
    assert [each["id"] for each in made(program.call("GET", "/api/connections"), 200)[
        "connections"]] == [access.id]
    until(lambda: made(person.call("GET", "/api/keys"), 200)["keys"][0]["last_used_at"], 15,
          "the last use of the key")
    for method, path in [("GET", "/api/keys"), ("POST", "/api/keys"),
                         ("DELETE", f"/api/keys/{value['id']}"), ("POST", "/api/auth/logout")]:
        assert program.call(method, path).status == 403, path


def test_a_user_key_reaches_a_managed_connection(person, alpha):
    access = person.connect("alpha", key(), "managed")
    text = user_key(person)["key"]
    for _ in range(3):
        assert call(access, text).status == 200
    assert authorizations(alpha) == {f"Bearer {access.key}"}
    sent = b"".join(bytes(each.received) for each in alpha.connections)
    assert text.encode() not in sent

    def used():
        return person.call("GET", "/api/keys").json()["keys"][0]["last_used_at"]
    until(used, 15, "the last use of the key")

    def statuses():
        lines = person.call("GET", f"/api/connections/{access.id}/activity").json()
        return [each["status"] for each in lines]
    until(lambda: statuses() == [200, 200, 200], 15, "a line for each request")


def test_a_key_says_clearly_why_it_does_not_reach(person, alpha):
    text = user_key(person)["key"]
    closed = person.connect("alpha", key())
    assert "managed" in problem(call(closed, text), 403, -32004)
    missing = copy.copy(closed)
    missing.service = "beta"
    problem(call(missing, text), 404, -32006)
    assert call(closed, text[:-1]).status == 401
    unknown = "userk_" + "A" * 86
    refused = call(closed, unknown)
    problem(refused, 401, -32001)
    assert 'error="invalid_token"' in refused.header("www-authenticate")
    assert not requests(alpha)


@pytest.mark.parametrize("name", ["x", "", "00000000-0000-4000-8000-000000000000",
                                  "{other}", "{closed}"])
def test_the_header_names_only_what_the_key_reaches(name, system, person, alpha):
    other, closed = system.person().connect("alpha", key(), "managed"), person.connect(
        "alpha", key())
    access = person.connect("alpha", key(), "managed")
    text = user_key(person)["key"]
    wanted = name.format(other=other.id, closed=closed.id)
    answer = call(access, text, [("Bindery-Connection", wanted)])
    if name == "{closed}":
        problem(answer, 403, -32004)
    else:
        problem(answer, 404, -32006)
    assert not requests(alpha)


def test_the_oldest_active_connection_stands_for_all_unless_one_is_named(person, alpha):
    first, second = (person.connect("alpha", key(), "managed") for _ in range(2))
    text = user_key(person)["key"]
    assert reaches(text, alpha, first)
    assert reaches(text, alpha, second, [("Bindery-Connection", second.id)])
    assert reaches(text, alpha, first)
    first.revoke()
    assert reaches(text, alpha, second)
    assert reaches(text, alpha, second, [("Bindery-Connection", second.id)])
    assert "bindery-connection" not in b"".join(
        bytes(each.received) for each in alpha.connections).decode().lower()


def test_a_key_is_no_secret_url(person, alpha):
    access = person.connect("alpha", key(), "managed")
    text = user_key(person)["key"]
    for part in (text, text[6:]):
        access.path = f"/mcp/alpha/{part}"
        assert access.call(PING).status == 404
    assert with_key(access, f"bnd_test_{text[6:]}").call(PING, "header").status == 401
    assert not requests(alpha)


def test_sessions_are_the_connections_whatever_reaches_it(person, alpha):
    access = person.connect("alpha", key(), "managed")
    other = person.connect("alpha", key(), "managed")
    text = user_key(person)["key"]

    def with_session(connection):
        while connection.request():
            connection.answer({}, [("Mcp-Session-Id", "s1")])
    alpha.become(with_session)
    session = call(access, text).header("mcp-session-id")
    assert session.startswith("s1.")
    shown = [("Mcp-Session-Id", session)]
    assert access.call(PING, "url", shown).status == 200
    assert call(access, text, shown).status == 200
    assert call(access, text, [*shown, ("Bindery-Connection", other.id)]).status == 404


def test_a_space_key_needs_its_permission_and_its_space(person, alpha):
    inside = person.connect("alpha", key(), "managed")
    outside = person.connect("alpha", key(), "managed")
    box = space(person, inside)
    able, blind = (space_key(person, box, rights)["key"]
                   for rights in (["connections:use"], ["connections:read", "connections:write"]))
    assert able.startswith("spacek_") and len(able) == 93
    assert reaches(able, alpha, inside)
    problem(call(inside, able, [("Bindery-Connection", outside.id)]), 404, -32006)
    assert "connections:use" in problem(call(inside, blind), 403, -32004)
    assert len(requests(alpha)) == 1
    program = bearer(person, able)
    assert program.call("GET", "/api/me").status == 404
    assert program.call("GET", "/api/connections").status == 403
    program = bearer(person, blind)
    assert program.call("GET", "/api/me").status == 404
    listed = made(program.call("GET", "/api/connections"), 200)["connections"]
    assert [each["id"] for each in listed] == [inside.id]
    assert program.call("GET", f"/api/connections/{outside.id}").status == 404
    assert program.call("DELETE", f"/api/connections/{outside.id}").status == 404
    added = made(program.call("POST", "/api/connections/alpha/api-key", {"api_key": key()}))
    assert added["connection"]["id"] in made(
        person.call("GET", f"/api/spaces/{box['id']}"), 200)["connections"]


def test_routes_for_programs_take_no_cookie(person, system):
    cookie = person.call("POST", "/api/auth/login", {
        "email": person.email, "password": PASSWORD},
        {"Authorization": ""}).headers["Set-Cookie"].split(";")[0]
    text, person.token = user_key(person)["key"], None
    both = {"Cookie": cookie, "Origin": system.origin}
    assert person.call("GET", "/api/me", headers=both).status == 200
    for headers in ({}, both, both | {"Authorization": "Basic eDp5"}):
        reply = person.call("GET", "/api/mcp/tools", headers=headers)
        assert reply.status == 401
        assert reply.json()["error"] == "MCP routes require Bearer token"
    junk = person.call("GET", "/api/mcp/tools", headers=both | {"Authorization": "Bearer junk"})
    assert junk.status == 401 and junk.json()["error"] == "unauthorized"
    known = person.call("GET", "/api/mcp/tools", headers={"Authorization": f"Bearer {text}"})
    assert known.status == 404


def ends(person, access, text, box, what):
    """What ends the reach of a key, and the answer afterwards."""
    return {
        "the key": lambda: person.call(
            "DELETE", f"/api/spaces/{box['id']}/keys/{text['id']}") if box else person.call(
            "DELETE", f"/api/keys/{text['id']}"),
        "the connection": lambda: person.call("DELETE", f"/api/connections/{access.id}"),
        "the mode": lambda: person.call("PATCH", f"/api/connections/{access.id}/mode", {
            "key_storage_mode": "zero_knowledge", "credential": access.api_key}),
        "the space": lambda: person.call("DELETE", f"/api/spaces/{box['id']}"),
        "its place": lambda: person.call(
            "PATCH", f"/api/spaces/{box['id']}", {"connections": []}),
    }[what]


class Program:
    """Holds a key, and shows it in each request."""

    def __init__(self, access, text):
        self.system, self.reached = access.system, with_key(access, text)

    def post(self, wire, body, form=None):
        self.reached.post(wire, body, "header")


@pytest.mark.parametrize("what,kind", [
    ("the key", "user"), ("the connection", "user"), ("the mode", "user"), ("the key", "space"),
    ("the space", "space"), ("its place", "space"), ("the connection", "space")])
def test_no_request_begun_after_the_end_passes(what, kind, person, alpha):
    access = person.connect("alpha", key(), "managed")
    box = space(person, access) if kind == "space" else None
    text = space_key(person, box, ALL) if box else user_key(person)
    end = ends(person, access, text, box, what)

    def over():
        assert end().status == 200
    race = Race(Program(access, text["key"]), over, LATE)
    race.refusals = (401, 403, 404)
    race.run()


@pytest.mark.parametrize("what", ["the key", "the mode", "its place"])
def test_open_streams_end_with_the_reach(what, person, alpha):
    access = person.connect("alpha", key(), "managed")
    box = space(person, access)
    text = space_key(person, box, ["connections:use"])

    def stream(connection):
        connection.request()
        connection.stream()
        connection.chunk(b"data: 1\n\n")
        connection.wait_for_end()
    alpha.become(stream)
    with access.system.wire() as wire:
        with_key(access, text["key"]).get(wire, "header")
        assert wire.head()[0] == 200 and wire.event() == b"data: 1\n\n"
        assert ends(person, access, text, box, what)().status == 200
        begun = time.monotonic()
        wire.end()
        assert time.monotonic() - begun < 4, "two seconds, and as much for a busy machine"


def test_a_known_key_goes_on_without_auth_and_an_unknown_one_is_refused(own_system, alpha):
    system = own_system({"EDGE_THREADS": "1"})
    person = system.person()
    access = person.connect("alpha", key(), "managed")
    known, fresh = user_key(person)["key"], user_key(person)["key"]
    assert call(access, known).status == 200
    auth = system.pid("auth")
    halt(auth)
    try:
        assert call(access, known).status == 200
        problem(call(access, "userk_" + "A" * 86), 401, -32001)
        late = call(access, fresh)
        problem(late, 503, -32007)
        assert late.header("retry-after")
    finally:
        os.kill(auth, signal.SIGCONT)
    until(lambda: call(access, fresh).status == 200, 20, "the fresh key to be opened")


def test_many_first_requests_at_once_ask_auth_once_a_loop(own_system, alpha):
    system = own_system({"EDGE_THREADS": "1"})
    person = system.person()
    access = person.connect("alpha", key(), "managed")
    text = user_key(person)["key"]

    def asked():
        found = [line for line in system.metrics().splitlines() if b"unwrap_for_key" in line
                 and b"_count" in line]
        return float(found[0].rsplit(b" ", 1)[1]) if found else 0.0
    wires = [system.wire() for _ in range(64)]
    program = with_key(access, text)
    for wire in wires:
        program.post(wire, PING, "header")
    assert {wire.answer().status for wire in wires} == {200}
    for wire in wires:
        wire.close()
    until(asked, 10, "the count")
    assert asked() <= 3, asked()


def test_a_key_that_ends_by_time_is_refused(person, alpha):
    access = person.connect("alpha", key(), "managed")
    text = user_key(person, expires_in=4)["key"]
    assert call(access, text).status == 200
    until(lambda: call(access, text).status == 401, 15, "the key to end")
    assert bearer(person, text).call("GET", "/api/me").status == 401


@pytest.mark.parametrize("text", ["userk_", "spacek_", "userk_" + "A" * 85, "userk_" + "A" * 87,
                                  "userk_" + "A" * 85 + "B", "USERK_" + "A" * 86,
                                  "userk_" + "=" * 86, "userk_" + "\u00e9" * 43])
def test_what_is_no_key_is_refused_like_any_credential(text, person, alpha):
    access = person.connect("alpha", key(), "managed")
    answer = call(access, text.encode().decode("latin-1"))
    assert answer.status == 401
    assert not requests(alpha)


def test_guessing_keys_is_guessing(own_system, alpha):
    system = own_system({"IP_ALLOWLIST": None, "BLOCK_AFTER_BAD_CREDENTIALS": "5"})
    person = system.person()
    access = person.connect("alpha", key(), "managed")
    text = user_key(person)["key"]
    assert call(access, text).status == 200
    for index in range(5):
        assert call(access, f"userk_{'A' * 84}{index}A").status == 401
    assert call(access, text).status == 429


def test_a_replaced_connection_keeps_its_place_and_a_removed_one_leaves(person, alpha):
    access = person.connect("alpha", key(), "managed")
    box = space(person, access)
    access.revoke()
    value = made(person.call("GET", f"/api/spaces/{box['id']}"), 200)
    assert value["connections"] == []
    listed = made(person.call("GET", "/api/spaces"), 200)["spaces"]
    assert [each["id"] for each in listed] == [box["id"]]


def test_strangers_find_nothing(system, person):
    stranger, text = system.person(), user_key(person)
    box = space(person)
    held = space_key(person, box, ALL)
    path = f"/api/spaces/{box['id']}"
    for method, target, body in [
            ("DELETE", f"/api/keys/{text['id']}", None), ("GET", path, None),
            ("DELETE", path, None), ("PATCH", path, {"name": "x"}), ("GET", f"{path}/keys", None),
            ("POST", f"{path}/keys", {}), ("DELETE", f"{path}/keys/{held['id']}", None)]:
        assert stranger.call(method, target, body).status == 404, target
    assert bearer(person, text["key"]).call("GET", "/api/me").status == 200
    assert json.loads(bearer(person, held["key"]).call("GET", "/api/connections").body) == {
        "connections": []}


def test_each_kind_of_secret_is_good_at_its_places_alone(person, alpha):
    access = person.connect("alpha", key(), "managed")
    signed = person.call("POST", "/api/auth/login", {
        "email": person.email, "password": PASSWORD}, {"Authorization": ""})
    held = {"session": signed.json()["access_token"], "refresh": signed.json()["refresh_token"],
            "cookie": signed.headers["Set-Cookie"].split(";")[0].split("=", 1)[1],
            "user": user_key(person)["key"],
            "space": space_key(person, space(person, access), ALL)["key"],
            "credential": access.api_key, "url": access.secret}

    def api(method, path, body=None):
        return lambda text: bearer(person, text).call(method, path, body).status

    def by_cookie(text):
        return bearer(person, None).call(
            "GET", "/api/me", headers={"Cookie": f"bindery_session={text}"}).status

    def refreshed(text):
        return bearer(person, None).call("POST", "/api/auth/token", {"refresh_token": text}).status

    def in_path(text):
        reached = copy.copy(access)
        reached.path = f"/mcp/alpha/{text}"
        return reached.call(PING).status

    places = {
        "making keys": (api("POST", "/api/keys"), {"session"}),
        "making spaces": (api("POST", "/api/spaces", {"name": "x"}), {"session", "user"}),
        "seeing oneself": (api("GET", "/api/me"), {"session", "user"}),
        "seeing connections": (api("GET", "/api/connections"), {"session", "user", "space"}),
        "the cookie": (by_cookie, {"cookie"}), "refreshing": (refreshed, {"refresh"}),
        "a service, by header": (lambda text: call(access, text).status,
                                 {"user", "space", "credential"}),
        "a service, by address": (in_path, {"url"})}
    for place, (attempt, good) in places.items():
        found = {kind for kind, text in held.items() if attempt(text) in (200, 201)}
        assert found == good, place
