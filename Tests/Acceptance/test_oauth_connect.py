# Does connecting a service by OAuth work with every kind of provider, and does it refuse whatever is
# not its own: a foreign browser, a spent or unknown state, a foreign issuer, a code of somebody else,
# a claim of a stranger? What is refused leaves nothing behind.

import datetime
import json
import re
import secrets
import time
import urllib.parse

import matrix
import pytest
from oauth import Attempt, connect, connections, ping, rows, writing
from rules import keeps, refuses
from waiting import until


@pytest.mark.parametrize("mode", ["zero_knowledge", "managed"])
@pytest.mark.parametrize("row", matrix.ROWS)
def test_a_service_is_connected_and_used(row, mode, carol, providers):
    provider = providers[row]
    calls = len(provider.calls)
    grant = connect(carol, row, mode)
    assert grant.connection["auth_type"] == "oauth"
    assert grant.connection["key_storage_mode"] == mode
    assert grant.connection["status"] == "active"
    for form in ("url", "header"):
        answer = grant.call(ping(7), form)
        assert answer.status == 200 and answer.json()["id"] == 7, answer
    family = provider.families[-1]
    assert [call.token for call in provider.calls[calls:] if call.accepted] == [family.access[0]] * 2
    listed = grant.listed()
    assert listed["status"] == "active" and listed["needs_reauth_at"] is None
    assert listed["expires_at"] is None, "the grant has no end that anybody knows"


def test_the_end_of_the_refresh_token_is_the_end_of_the_connection(carol, providers):
    """As the provider says it, at the consent and at each refresh."""
    provider = providers["t01"]
    with provider.behaving(refresh_says=90 * 86400):
        grant = connect(carol, "t01")
    ends = [grant.listed()["expires_at"]]
    with provider.behaving(refresh_says=180 * 86400):
        provider.expire(provider.families[-1].number)
        grant.works()
    until(lambda: grant.listed()["expires_at"] != ends[0], 5, "the new end")
    ends.append(grant.listed()["expires_at"])
    days = [round((seconds(end) - time.time()) / 86400) for end in ends]
    assert days == [90, 180]


def seconds(stamp):
    return datetime.datetime.fromisoformat(stamp).timestamp()


@keeps("I7")
def test_the_request_for_consent_is_what_the_specifications_ask_for(carol, providers):
    provider = providers["t01"]
    attempt = Attempt(carol, "t01")
    query = attempt.query
    assert attempt.url.startswith(provider.origin + "/authorize?")
    assert query["response_type"] == "code" and query["code_challenge_method"] == "S256"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", query["code_challenge"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{43,}", query["state"])
    assert query["resource"] == provider.url
    assert query["scope"] == "read write"
    assert query["redirect_uri"] == carol.system.origin + "/api/connections/callback"
    assert query["client_id"] in provider.clients
    assert provider.registered["redirect_uris"] == [query["redirect_uri"]]
    assert provider.registered["token_endpoint_auth_method"] == "none"
    assert set(provider.registered["grant_types"]) == {"authorization_code", "refresh_token"}
    attempt.finish()
    form = provider.entries("authorization_code")[-1].form
    assert 43 <= len(form["code_verifier"]) <= 128 and form["resource"] == provider.url
    assert form["redirect_uri"] == query["redirect_uri"]
    comma = Attempt(carol, "t12comma").query
    assert comma["scope"] == "read,write"
    plain = Attempt(carol, "t13old").query
    assert "resource" not in plain


def test_each_attempt_has_its_own_state_and_challenge_and_one_registration_serves_all(carol, providers):
    first, second = Attempt(carol, "t01"), Attempt(carol, "t01")
    for name in ("state", "code_challenge"):
        assert first.query[name] != second.query[name]
    assert first.query["client_id"] == second.query["client_id"]
    assert len(providers["t01"].clients) == 1
    first.finish(), second.finish()


def test_no_secret_is_in_any_address_on_the_way(carol, providers):
    attempt = Attempt(carol, "t01")
    grant = attempt.finish()
    provider = providers["t01"]
    family = provider.families[-1]
    verifier = provider.entries("authorization_code")[-1].form["code_verifier"]
    for url in (attempt.url, *attempt.browser.visited, attempt.landed):
        for value in (grant.secret, verifier, *family.access, *(t.value for t in family.refresh)):
            assert value not in url
    assert "code" not in urllib.parse.urlsplit(attempt.landed).query


def refused_as_unknown(reply):
    assert reply.status == 400, reply
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert 10 < len(reply.body) < 1000


def nothing_made(carol, provider, before, exchanges):
    assert len(connections(carol)) == before
    assert len(provider.entries("authorization_code")) == exchanges


@pytest.fixture
def counted(carol, providers):
    """Fails when the test has made a connection or spent a code."""
    provider = providers["t01"]
    before, exchanges = len(connections(carol)), len(provider.entries("authorization_code"))
    yield provider
    nothing_made(carol, provider, before, exchanges)


@refuses("I7")
def test_a_browser_that_did_not_ask_is_refused(carol, counted):
    attempt = Attempt(carol, "t01")
    refused_as_unknown(attempt.callback(cookies=False))
    other = Attempt(carol, "t01")
    back = Attempt(carol, "t01").consent()
    refused_as_unknown(other.callback(back))


def test_a_state_nobody_gave_is_refused(carol, counted):
    attempt = Attempt(carol, "t01")
    back = urllib.parse.urlsplit(attempt.consent())
    query = dict(urllib.parse.parse_qsl(back.query))
    for state in (secrets.token_urlsafe(32), "", "x", query["state"][:-1], query["state"] + "A",
                  query["state"].swapcase()):
        said = urllib.parse.urlencode({**query, "state": state})
        refused_as_unknown(attempt.callback(back._replace(query=said).geturl()))
    del query["state"]
    refused_as_unknown(attempt.callback(back._replace(query=urllib.parse.urlencode(query)).geturl()))


@refuses("I7")
def test_a_state_is_good_once(carol, providers):
    attempt = Attempt(carol, "t01")
    back = attempt.consent()
    token = attempt.claim_token(attempt.callback(back))
    exchanges = len(providers["t01"].entries("authorization_code"))
    before = len(connections(carol))
    refused_as_unknown(attempt.callback(back))
    refused_as_unknown(attempt.callback(attempt.consent()))  # a fresh code does not help
    nothing_made(carol, providers["t01"], before, exchanges)
    assert attempt.claim(token).status == 200


def test_parallel_callbacks_with_one_state_make_one_connection(carol, providers):
    import concurrent.futures
    attempt = Attempt(carol, "t01")
    back, before = attempt.consent(), len(connections(carol))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: attempt.callback(back), range(8)))
    assert sorted(r.status for r in replies) == [302] + [400] * 7
    assert attempt.claim(attempt.claim_token(next(r for r in replies if r.status == 302))).status == 200
    assert len(connections(carol)) == before + 1


def test_a_state_that_is_too_old_is_refused(carol, counted):
    """Ten minutes; the stored end is moved into the past, because nobody waits that long here."""
    attempt = Attempt(carol, "t01")
    back = attempt.consent()
    with writing(carol.system, "bindery") as database:
        ends = database.execute("SELECT max(expires_at - created_at) FROM pending_authorizations")
        assert ends.fetchone()[0] <= 600
        database.execute("UPDATE pending_authorizations SET created_at = created_at - 700, "
                         "expires_at = expires_at - 700")
    refused_as_unknown(attempt.callback(back))


def test_a_claim_that_is_too_old_is_gone(carol):
    attempt = Attempt(carol, "t01")
    token = attempt.claim_token()
    with writing(carol.system, "bindery") as database:
        assert database.execute("SELECT max(expires_at - created_at) FROM claims").fetchone()[0] <= 300
        database.execute("UPDATE claims SET created_at = created_at - 400, "
                         "expires_at = expires_at - 400")
    assert attempt.claim(token).status == 404


def test_a_person_who_says_no_is_brought_back_with_an_error(carol, counted):
    with counted.behaving(deny="access_denied"):
        attempt = Attempt(carol, "t01")
        back = attempt.consent()
        assert attempt.error(attempt.callback(back)) == "access_denied"
        refused_as_unknown(attempt.callback(back))  # the state is spent


@pytest.mark.parametrize("said", ["server_error", "x" * 3000, "<script>alert(1)</script>", "a\r\nb"])
def test_any_other_error_of_the_provider_is_told_in_a_word_of_ours(said, carol, counted):
    with counted.behaving(deny=said):
        assert Attempt(carol, "t01").error() == "provider_error"


@refuses("I7")
def test_an_answer_that_names_another_issuer_is_refused(carol, counted):
    for iss in ("http://127.0.0.1:1", counted.origin + "/", counted.origin.upper(), "x"):
        with counted.behaving(iss=iss):
            attempt = Attempt(carol, "t01")
            back = attempt.consent()
            assert attempt.error(attempt.callback(back)) == "issuer_mismatch"
            refused_as_unknown(attempt.callback(back))
    attempt = Attempt(carol, "t01")  # it announced that it names itself, and does not
    with counted.behaving(iss=None):
        assert attempt.error() == "issuer_mismatch"


@refuses("I7")
def test_a_code_of_one_provider_does_not_go_to_another(carol, providers):
    """Mix-up: the answer of t03 comes back with the state of t01."""
    honest, other = Attempt(carol, "t01"), Attempt(carol, "t03")
    state = honest.query["state"]
    back = urllib.parse.urlsplit(other.consent())
    query = dict(urllib.parse.parse_qsl(back.query)) | {"state": state}
    exchanges = len(providers["t01"].entries("authorization_code"))
    reply = honest.callback(back._replace(query=urllib.parse.urlencode(query)).geturl())
    assert honest.error(reply) == "issuer_mismatch"
    assert len(providers["t01"].entries("authorization_code")) == exchanges


def test_a_code_that_came_too_late_is_an_error(carol, providers):
    provider, before = providers["t09"], len(connections(carol))
    with provider.behaving(code_life=-1):
        assert Attempt(carol, "t09").error() == "code_refused"
    assert provider.ledger[-1].outcome == "late"
    assert len(connections(carol)) == before


@pytest.mark.parametrize("trouble", matrix.TROUBLES)
def test_trouble_at_the_exchange_is_an_error_and_makes_nothing(trouble, carol, providers, oauth_system):
    provider, before = providers["t08"], len(connections(carol))
    blobs = rows(oauth_system, "tokens", "SELECT count(*) FROM token_blobs")
    with provider.behaving(trouble=matrix.TROUBLES[trouble]):
        code = Attempt(carol, "t08").error()
    refusals = {"invalid_client": "client_refused", "unauthorized_client with 200": "client_refused",
                "an empty token": "provider_error", "a token with a line break": "provider_error"}
    assert code == refusals.get(trouble, "provider_unavailable")
    assert len(connections(carol)) == before
    assert rows(oauth_system, "tokens", "SELECT count(*) FROM token_blobs") == blobs
    assert len([e for e in provider.entries("authorization_code") if e.outcome == "trouble"]) \
        == len({e.token for e in provider.entries("authorization_code") if e.outcome == "trouble"})


def test_a_claim_is_for_its_owner_and_once(carol, oauth_system):
    attempt, stranger = Attempt(carol, "t01"), oauth_system.person()
    token = attempt.claim_token()
    assert attempt.claim(token, stranger).status in (403, 404)
    reply = attempt.claim(token)
    assert reply.status == 200 and set(reply.json()) >= {"connection", "secret_url", "api_key"}
    assert attempt.claim(token).status == 404
    assert attempt.claim(token, stranger).status in (403, 404)
    for wrong in (token[:-1], token + "A", secrets.token_urlsafe(32), "x"):
        assert attempt.claim(wrong).status == 404
    nobody = oauth_system.person()
    nobody.token = None
    assert nobody.call("GET", "/api/connections/claim?token=" + token).status == 401


def test_asking_needs_an_account_and_a_service_with_oauth(carol, oauth_system):
    nobody = oauth_system.person()
    nobody.token = None
    assert nobody.call("POST", "/api/connections/t01/authorize", {}).status == 401
    assert carol.call("POST", "/api/connections/unheard/authorize", {}).status == 404
    for body in ({"key_storage_mode": "open"}, {"replace_connection_id": 5},
                 {"return_to": "https://evil.example/"}):
        reply = carol.call("POST", "/api/connections/t01/authorize", body)
        assert reply.status in (400, 422), (body, reply)


def test_replacing_leaves_exactly_one_working_connection(carol, providers):
    old = connect(carol, "t01", "managed")
    first = provider_family = providers["t01"].families[-1]
    old.works()
    before = len(connections(carol))
    new = connect(carol, "t01", "managed", replace_connection_id=old.id)
    assert len(connections(carol)) == before
    answer = old.call()
    assert answer.status == 404 and answer.json()["error"]["code"] == -32001
    new.works()
    assert providers["t01"].families[-1] is not first
    if new.id != old.id:
        assert old.listed() is None
    until(lambda: provider_family.revoked, 20, "the revocation of what was replaced")


def test_an_attempt_to_replace_that_fails_leaves_the_old_connection(carol, providers):
    old = connect(carol, "t01")
    with providers["t01"].behaving(deny="access_denied"):
        Attempt(carol, "t01", replace_connection_id=old.id).error()
    old.works()
    attempt = Attempt(carol, "t01", replace_connection_id=old.id)
    assert attempt.asked.status == 200
    old.works()


def test_what_is_not_ones_own_can_not_be_replaced(carol, oauth_system):
    grant, stranger = connect(carol, "t01"), oauth_system.person()
    for person, service, identifier in ((stranger, "t01", grant.id), (carol, "t03", grant.id),
                                        (carol, "t01", "nonsense")):
        reply = person.call("POST", f"/api/connections/{service}/authorize",
                            {"replace_connection_id": identifier})
        assert reply.status in ((404,) if person is stranger else (400, 404, 409)), reply
    grant.works()


def test_the_client_metadata_document_is_served_and_used(own_oauth):
    """https only in the world; with a loopback PUBLIC_URL the provider here may fetch it."""
    system, provider = own_oauth(registration="metadata_document")
    provider.rules.metadata = {"client_id_metadata_document_supported": True}
    attempt = Attempt(system.person(), "own")
    client = attempt.query["client_id"]
    assert client.startswith(system.origin + "/")
    status, body = system.fetch(system.port, client.removeprefix(system.origin))
    document = json.loads(body)
    assert status == 200 and document["client_id"] == client
    assert document["redirect_uris"] == [attempt.query["redirect_uri"]]
    assert document["token_endpoint_auth_method"] == "none"
    attempt.finish().works()
    assert not provider.clients
