# Does a disconnect reach the provider? Managed connections at once, zero-knowledge ones as soon as
# somebody shows a credential, each over the time that the provider is away and over restarts; and
# in every case nobody passes from the moment of the disconnect on.

import matrix
import pytest
from oauth import connect, rows
from provider import Rules, oauth_service
from waiting import until

REVOKING = [row for row in matrix.ROWS if matrix.ROWS[row].revocation]


def gone(grant):
    answer = grant.call()
    return answer.status == 404 and answer.json()["error"]["code"] == -32001


def shredded(grant):
    return not rows(grant.system, "tokens",
                    "SELECT 1 FROM token_blobs WHERE connection_id = ?", grant.id)


@pytest.mark.parametrize("row", REVOKING)
def test_a_managed_connection_is_revoked_at_its_provider_at_once(row, carol, providers):
    provider = providers[row]
    grant = connect(carol, row, "managed")
    family = provider.families[-1]
    assert grant.disconnect() == "revoked"
    assert gone(grant) and family.revoked and grant.listed() is None
    made = [e for e in provider.entries("revoke") if e.family == family.number]
    newest = family.refresh[-1].value if family.refresh else family.access[-1]
    assert newest in {e.token for e in made}
    assert all(e.outcome == "revoked" for e in made)
    until(lambda: shredded(grant), 10, "the end of the blob")


@pytest.mark.parametrize("row", ["t01", "t05", "t11basic"])
def test_a_zero_knowledge_connection_is_revoked_when_its_secret_is_shown(row, carol, providers):
    provider = providers[row]
    grant = connect(carol, row)
    family = provider.families[-1]
    assert grant.disconnect() == "pending"
    assert not family.revoked and grant.listed() is None
    for _ in range(3):
        assert gone(grant), "a disconnected secret never passes"
    until(lambda: family.revoked, 20, "the revocation at the provider")
    assert gone(grant)
    until(lambda: shredded(grant), 20, "the end of the blob")
    assert len([e for e in provider.entries("revoke") if e.family == family.number]) <= 2


def test_with_the_credential_in_hand_it_is_revoked_at_once(carol, providers):
    for how in ("api_key", "secret"):
        grant = connect(carol, "t01")
        family = providers["t01"].families[-1]
        value = grant.api_key if how == "api_key" else grant.url
        assert grant.disconnect(value) == "revoked", how
        assert family.revoked and gone(grant)


def test_a_wrong_credential_does_not_disconnect_or_is_as_good_as_none(carol, providers):
    grant, other = connect(carol, "t01"), connect(carol, "t01")
    family = providers["t01"].families[-2]
    reply = carol.call("DELETE", f"/api/connections/{grant.id}", {"credential": other.api_key})
    if reply.status == 200:
        assert reply.json()["upstream_revocation"] == "pending"
    else:
        assert reply.status in (400, 401, 403, 404, 422)
        grant.works()
    assert not family.revoked
    other.works()


@pytest.mark.parametrize("mode", ["managed", "zero_knowledge"])
def test_a_provider_without_revocation_is_said_to_have_none(mode, carol, providers):
    grant = connect(carol, "t07", mode)
    said = grant.disconnect(grant.api_key if mode == "zero_knowledge" else None)
    assert said == "unsupported"
    assert gone(grant)
    until(lambda: shredded(grant), 20, "the end of the blob")


def test_an_api_key_connection_has_nothing_to_revoke_upstream(system, alice, new_key):
    reply = alice.call("DELETE", f"/api/connections/{alice.connect('alpha', new_key()).id}")
    assert reply.json() == {"success": True, "upstream_revocation": "unsupported"}


def test_a_provider_that_is_away_is_told_when_it_is_back(own_provider, own_system):
    """Also over a restart of everything. Three of them: one is down, two are in trouble."""
    made = {name: own_provider() for name in ("down", "broken", "busy")}
    system = own_system(None, [oauth_service(name, provider) for name, provider in made.items()])
    person = system.person()
    grants = {name: connect(person, name, "managed") for name in made}
    made["down"].close()
    made["broken"].rules.trouble = (500, [], b"no")
    made["busy"].rules.trouble = (429, [("Retry-After", "1")], b"no")
    for grant in grants.values():
        assert grant.disconnect() == "pending"
    assert system.stop() == 0
    system.start()
    assert all(gone(grant) for grant in grants.values())
    assert not any(provider.families[0].revoked for provider in made.values())
    made["down"].reopen()
    for name in ("broken", "busy"):
        made[name].rules.trouble = None
    until(lambda: all(p.families[0].revoked for p in made.values()), 90, "the revocations")
    for name, provider in made.items():
        until(lambda: shredded(grants[name]), 20, "the end of the blob")
        assert [e.outcome for e in provider.entries("revoke") if e.outcome != "trouble"][0] \
            == "revoked"
    assert all(gone(grant) for grant in grants.values())


def test_what_is_revoked_is_the_newest_token(own_oauth):
    system, provider = own_oauth(Rules("until used"))
    grant = connect(system.person(), "own", "managed")
    for _ in range(3):
        provider.expire()
        grant.works()
    family = provider.families[0]
    assert grant.disconnect() == "revoked"
    assert provider.entries("revoke")[0].token == family.refresh[-1].value
    assert {e.outcome for e in provider.entries("revoke")} == {"revoked"}
