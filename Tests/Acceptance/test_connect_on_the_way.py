# A person who has not connected the service yet does it in the middle of an MCP client's request: over
# the provider's page and back to the consent page, and what the client gets works. The fresh credential
# served for this alone: afterwards nobody holds a secret of the connection but the client.

import urllib.parse

import matrix
import pytest
from consent import Client, Forms, Visitor, claims, query, send, use
from oauth import rows
from waiting import until


@pytest.mark.parametrize("mode", ["zero_knowledge", "managed"])
@pytest.mark.parametrize("row", list(matrix.ROWS)[:2])
def test_a_service_is_connected_in_the_middle(row, mode, oauth_system, providers):
    person = oauth_system.person()
    visitor, client = Visitor(person), Client(oauth_system)
    choice = {"key_storage_mode": "managed"} if mode == "managed" else {}
    there = visitor.decide(client.ask(row), connection="new", **choice)
    assert not visitor.is_ours(there), there
    agreed = visitor.send("GET", there)
    assert agreed.status == 302
    at, page = visitor.follow(agreed.headers["Location"],
                              visitor.send("GET", agreed.headers["Location"]))
    assert urllib.parse.urlsplit(at).path == "/oauth/authorize" and "claim" in query(at)
    connection, = person.call("GET", "/api/connections").json()["connections"]
    assert connection["key_storage_mode"] == mode and connection["auth_type"] == "oauth"
    back = visitor.decide_at(at, page)
    assert query(back)["state"] == client.state
    tokens = client.exchange(query(back)["code"], row).json()
    assert claims(tokens["access_token"])["aud"] == client.resource(row)
    assert use(oauth_system, tokens["access_token"], row).status == 200
    listed = person.call("GET", f"/api/connections/{connection['id']}/credentials").json()
    grants = [c for c in listed["credentials"] if "client_id" in c]
    assert [g["client_id"] for g in grants] == ["bindery-mcp"]
    if mode == "zero_knowledge":
        assert len(listed["credentials"]) == 1
        # The page's ticket was good once.
        form = Forms(page.body.decode()).fields | {"decision": "allow"}
        reply = visitor.send("POST", at, form)
        assert reply.status in (400, 403) and b"zero-knowledge" in reply.body


def test_who_declines_at_the_provider_is_asked_again(oauth_system, providers):
    """The error comes back to the consent page, and nothing of the provider's words with it."""
    row = list(matrix.ROWS)[0]
    person = oauth_system.person()
    visitor, client = Visitor(person), Client(oauth_system)
    there = visitor.decide(client.ask(row), connection="new")
    asked = query(there)
    refused = f"{asked['redirect_uri']}?" + urllib.parse.urlencode(
        {"error": "access_denied", "error_description": "canary<b>", "state": asked["state"],
         "iss": providers[row].origin})
    at, page = visitor.follow(refused, visitor.send("GET", refused))
    assert page.status == 200 and b"could not be connected" in page.body
    assert b"canary" not in page.body
    assert query(visitor.decide_at(at, page, "deny"))["error"] == "access_denied"
    assert person.call("GET", "/api/connections").json()["connections"] == []


def test_another_persons_ticket_is_worth_nothing(oauth_system, providers):
    row = list(matrix.ROWS)[0]
    one, other = oauth_system.person(), oauth_system.person()
    visitor, client = Visitor(one), Client(oauth_system)
    there = visitor.send("GET", visitor.decide(client.ask(row), connection="new"))
    at, page = visitor.follow(there.headers["Location"],
                              visitor.send("GET", there.headers["Location"]))
    stranger = Visitor(other)
    seen_at, seen = stranger.open(at)
    connection = one.call("GET", "/api/connections").json()["connections"][0]["id"]
    assert connection.encode() not in seen.body
    form = Forms(seen.body.decode()).fields | {
        "decision": "allow", "connection": connection, "claim": query(at)["claim"]}
    assert stranger.send("POST", seen_at, form).status == 404
    assert query(visitor.decide_at(at, page))["state"] == client.state
    assert send(oauth_system, "GET", "/.well-known/jwks.json").status == 200


def held_by_a_client(oauth_system, row):
    """A zero-knowledge connection whose only key is what a client holds."""
    person = oauth_system.person()
    visitor, client = Visitor(person), Client(oauth_system)
    there = visitor.send("GET", visitor.decide(client.ask(row), connection="new"))
    at, page = visitor.follow(there.headers["Location"],
                              visitor.send("GET", there.headers["Location"]))
    code = query(visitor.decide_at(at, page))["code"]
    connection, = person.call("GET", "/api/connections").json()["connections"]
    return person, connection["id"], client, client.exchange(code, row).json()


def test_its_provider_is_told_when_the_client_comes_back(oauth_system, providers):
    """A connection that only a client can open ends: the client's next refresh tells the provider."""
    row = list(matrix.ROWS)[0]
    person, connection, client, first = held_by_a_client(oauth_system, row)
    family = providers[row].families[-1]
    tokens = client.refresh(first["refresh_token"], row).json()
    reply = person.call("DELETE", f"/api/connections/{connection}")
    assert reply.json() == {"success": True, "upstream_revocation": "pending"}
    assert use(oauth_system, tokens["access_token"], row).status == 401 and not family.revoked
    newest = tokens["refresh_token"]
    for wrong in (first["refresh_token"], newest[:-1] + ("A" if newest[-1] != "A" else "B"),
                  newest[:30] + first["refresh_token"][30:]):
        assert client.refresh(wrong, row).json()["error"] == "invalid_grant"
        assert not family.revoked
    for _ in range(2):
        assert client.refresh(newest, row).json()["error"] == "invalid_grant"
    until(lambda: family.revoked, 20, "the revocation at the provider")
    for file, table in (("bindery", "parted_grants"), ("tokens", "token_blobs")):
        until(lambda: not rows(oauth_system, file,
                               f"SELECT 1 FROM {table} WHERE connection_id = ?", connection),
              20, f"the end of what {table} has of it")
    state, = rows(oauth_system, "bindery",
                  "SELECT state FROM upstream_revocations WHERE connection_id = ?", connection)
    assert state == ("revoked",)
