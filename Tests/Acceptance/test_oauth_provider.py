# Is the scripted provider right about itself? What the other tests conclude from its ledger holds only
# if its rules are those of the matrix; each is tried here with requests made by hand.

import http.client
import json
import urllib.parse

import pytest
from provider import MISSING, Provider, Rules
from waiting import until


def post(provider, path, **form):
    connection = http.client.HTTPConnection("127.0.0.1", provider.port, timeout=10)
    try:
        connection.request("POST", path, urllib.parse.urlencode(form),
                           {"Content-Type": "application/x-www-form-urlencoded"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def refresh(provider, token):
    status, body = post(provider, "/token", grant_type="refresh_token", refresh_token=token,
                        client_id="c")
    return status, json.loads(body)


@pytest.fixture
def made(own_provider):
    def start(*arguments, **more):
        provider = own_provider(Rules(*arguments, **more))
        provider.clients["c"] = None
        return provider, provider.grant("c", provider.url)["refresh_token"]

    return start


def test_strict_rotation_kills_the_family_on_reuse(made):
    provider, first = made("strict")
    _, answer = refresh(provider, first)
    assert provider.valid(answer["access_token"]) and answer["refresh_token"] != first
    assert refresh(provider, first) == (400, {"error": "invalid_grant",
                                             "error_description": "Unknown or invalid token."})
    assert not provider.valid(answer["access_token"])
    assert refresh(provider, answer["refresh_token"])[0] == 400
    assert [e.outcome for e in provider.refreshes] == ["issued", "replayed", "dead"]


def test_a_repeat_within_the_grace_gives_the_access_token_alone(made):
    provider, first = made("repeat", grace=0.5)
    _, answer = refresh(provider, first)
    _, again = refresh(provider, first)
    assert again["access_token"] == answer["access_token"] and "refresh_token" not in again
    until(lambda: refresh(provider, first)[0] == 400, 5)
    assert not provider.valid(answer["access_token"])


def test_the_old_token_lives_until_the_new_one_is_used(made):
    provider, first = made("until used")
    _, second = refresh(provider, first)
    _, third = refresh(provider, first)
    assert refresh(provider, third["refresh_token"])[0] == 200
    assert refresh(provider, first)[0] == 400
    assert refresh(provider, second["refresh_token"])[0] == 200


def test_a_leeway_gives_a_further_pair_until_it_ends(made):
    provider, first = made("leeway", grace=0.5, dead_status=403)
    assert refresh(provider, first)[1]["refresh_token"] != refresh(provider, first)[1]["refresh_token"]
    until(lambda: refresh(provider, first)[0] == 403, 5)


def test_without_rotation_the_token_stays(made):
    provider, first = made("none")
    answers = [refresh(provider, first)[1] for _ in range(3)]
    assert all("refresh_token" not in answer for answer in answers)
    assert len({answer["access_token"] for answer in answers}) == 3


@pytest.mark.parametrize("says, said", [(None, 3600), ("3600", "3600"), (0, 0), (-5, -5),
                                        (MISSING, None)])
def test_expires_in_is_what_the_rules_say(says, said, made):
    provider, first = made(says=says)
    assert refresh(provider, first)[1].get("expires_in") == said


def test_an_answer_that_is_lost_was_committed(made):
    provider, first = made("strict", lose=1)
    with pytest.raises(OSError):
        refresh(provider, first)
    assert refresh(provider, first)[0] == 400
    assert [e.outcome for e in provider.refreshes] == ["issued", "replayed"]


def test_too_many_exchanges_in_a_second_are_refused(made):
    provider, first = made("none", rate=3)
    statuses = []
    for _ in range(5):
        statuses.append(post(provider, "/token", grant_type="refresh_token", refresh_token=first,
                             client_id="c")[0])
    assert statuses == [200] * 3 + [429] * 2 and provider.peak() == 5


def test_revocation_ends_the_family(made):
    provider, first = made()
    _, answer = refresh(provider, first)
    assert post(provider, "/revoke", token=answer["refresh_token"], client_id="c") == (200, b"")
    assert not provider.valid(answer["access_token"])
    assert refresh(provider, answer["refresh_token"])[0] == 400
    assert post(provider, "/revoke", token="unheard", client_id="c")[0] == 200


def test_a_port_is_taken_again_after_a_pause():
    provider = Provider()
    provider.close()
    with pytest.raises(OSError):
        post(provider, "/token")
    provider.reopen()
    assert post(provider, "/token", grant_type="refresh_token", client_id="x")[0] == 401
    provider.close()
