# Are tokens renewed when they must be, once, and never at the price of a connection? Each row of the
# matrix goes through a refresh because the token has ended and one because the service refused it;
# then the provider is in trouble, the grant is dead, a hundred ask at once.

import concurrent.futures
import threading

import matrix
import pytest
from oauth import connect, connections, generation, nearly_ended, ping, settled
from provider import Provider, Rules, oauth_service
from system import System
from waiting import throughout, until
from wire import Seconds

MODES = ("zero_knowledge", "managed")


def short(provider):
    """Rules under which the next token ends in a second, and says so if it says anything."""
    says = provider.rules.says
    return provider.behaving(life=1, says="1" if isinstance(says, str) else says)


@pytest.fixture(scope="module", autouse=True)
def idle():
    """Connections that nobody uses: one per row whose provider says how long a token lives, managed,
    and one that is not. Their first tokens end soon."""
    rows = [row for row in matrix.TELLING if row in matrix.REFRESHING]
    made = matrix.providers(rows)
    with System(matrix.services(made), matrix.settings(made)) as system:
        person, found = system.person(), {}
        for row in rows:
            with short(made[row]):
                found[row] = connect(person, row, "managed")
        with short(made["t01"]):
            found["zero_knowledge"] = connect(person, "t01")
        yield made, found
    for provider in made.values():
        provider.close()


@pytest.fixture(scope="module")
def ended(carol, providers):
    """A connection per row and mode whose first access token has ended, with its family."""
    made = {}
    for row in matrix.REFRESHING:
        for mode in MODES:
            with short(providers[row]):
                made[row, mode] = connect(carol, row, mode), providers[row].families
                made[row, mode] = made[row, mode][0], providers[row].families[-1]
    for (row, _), (_, family) in made.items():
        until(lambda: not providers[row].valid(family.access[0]), 5, "the end of the tokens")
    return made


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("row", matrix.REFRESHING)
def test_a_token_that_ended_is_renewed_once_for_the_request_that_needs_it(row, mode, ended, providers):
    provider, (grant, family) = providers[row], ended[row, mode]
    for _ in range(3):
        grant.works()
    made = provider.entries(family=family.number)
    assert [e.outcome for e in made] == ["issued"]
    form = made[0].form
    assert form["refresh_token"] == family.refresh[0].value
    assert form.get("resource") == (provider.url if provider.rules.resource else None)
    assert set(form) <= {"grant_type", "refresh_token", "resource", "client_id", "client_secret"}
    assert [c.token for c in provider.calls if c.accepted][-3:] == [family.access[1]] * 3
    assert generation(grant) == 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("row", matrix.REFRESHING)
def test_a_token_the_service_refuses_is_renewed_and_the_request_made_again_whole(
        row, mode, ended, providers):
    provider, (grant, family) = providers[row], ended[row, mode]
    grant.works()
    body = ping(9, params={"x": "é€😀" * 2000})
    before = len(provider.entries(family=family.number))
    provider.expire(family.number)
    calls = len(provider.calls)
    answer = grant.call(body)
    assert answer.status == 200 and answer.json()["result"]["bytes"] == len(body)
    seen = [c for c in provider.calls[calls:] if c.token and f"at-{family.number}-" in c.token]
    assert [c.accepted for c in seen] == [False, True]
    assert all(c.body == body for c in seen)
    made = provider.entries(family=family.number)[before:]
    assert [e.outcome for e in made] == ["issued"]
    assert made[0].token == family.refresh[-1 if provider.rules.rotation == "none" else -2].value
    assert grant.listed()["needs_reauth_at"] is None


def test_a_refused_token_is_renewed_whichever_thread_of_the_edge_is_asked(own_oauth):
    """Each thread remembers the tokens that it saw last; those of another thread are newer."""
    system, provider = own_oauth(settings={"EDGE_THREADS": "2"})
    grant = connect(system.person(), "own")
    statuses = []
    for _ in range(24):
        provider.expire()
        statuses.append(grant.call().status)
    assert statuses == [200] * 24, statuses
    assert len(provider.refreshes) == 24 and {e.outcome for e in provider.refreshes} == {"issued"}


def test_a_request_too_long_to_keep_is_not_made_twice(ended, providers):
    """Its body is gone when the service refuses it; the next request has the new token."""
    provider, (grant, family) = providers["t01"], ended["t01", "zero_knowledge"]
    grant.works()
    provider.expire(family.number)
    calls = len(provider.calls)
    answer = grant.call(ping(1, params="x" * 300_000))
    assert len([c for c in provider.calls[calls:] if len(c.body) > 300_000]) == 1
    assert answer.status in (401, 502, 503), answer
    until(lambda: grant.call().status == 200, 10, "the new token")
    assert not [c for c in provider.calls[calls:] if c.accepted and len(c.body) > 300_000]


def test_a_service_that_refuses_every_token_is_asked_once_more_after_one_exchange(ended, providers):
    provider, (grant, family) = providers["t05"], ended["t05", "zero_knowledge"]
    grant.works()
    exchanges, calls = len(provider.entries(family=family.number)), len(provider.calls)
    with provider.behaving(life=-1, says=3600):
        provider.expire(family.number)
        answer = grant.call()
    assert answer.status in (401, 403, 502), answer
    # A thread of the edge that still holds the tokens before finds the present ones first.
    assert len(provider.calls) - calls in (2, 3)
    assert len(provider.entries(family=family.number)) - exchanges == 1
    until(lambda: grant.call().status == 200, 60, "service after the trouble")


def test_a_connection_without_refresh_token_is_used_until_it_is_refused(carol, providers):
    provider = providers["t06"]
    grant = connect(carol, "t06")
    family = provider.families[-1]
    grant.works()
    provider.expire(family.number)
    status, code = grant.error_code()
    assert (status, code) == (403, -32005)
    assert not provider.entries(family=family.number)


@pytest.mark.parametrize("row, mode", [("t01", "zero_knowledge"), ("t04", "managed"),
                                       ("t07", "zero_knowledge"), ("t03", "managed")])
def test_a_dead_grant_asks_for_new_consent_and_gets_it(row, mode, carol, providers):
    provider = providers[row]
    grant = connect(carol, row, mode)
    family = provider.families[-1]
    family.killed = True  # the person withdrew it at the provider
    answer = grant.call(ping(33))
    assert answer.status == 403, answer
    said = answer.json()
    assert said["id"] == 33 and said["error"]["code"] == -32005
    where = said["error"]["data"]["reauthorize_url"]
    assert where.startswith(carol.system.origin + "/dashboard")
    assert grant.error_code(form="header") == (401, -32005)
    until(lambda: grant.listed()["needs_reauth_at"], 5, "needs_reauth_at in the list")
    asked = len(provider.entries(family=family.number))
    assert asked == 1
    for _ in range(5):
        assert grant.error_code()[1] == -32005
    assert len(provider.entries(family=family.number)) == asked, "a dead grant is not asked again"
    again = connect(carol, row, mode, replace_connection_id=grant.id)
    again.works()
    assert again.listed()["needs_reauth_at"] is None


@pytest.fixture(scope="module")
def troubled():
    """Providers that were all in trouble at once, each with a connection whose token had ended: what
    their requests were answered meanwhile. The trouble is over."""
    made = {name: Provider(Rules("leeway")) for name in matrix.TROUBLES}
    names = {name: f"x{number}" for number, name in enumerate(made)}
    entries = [oauth_service(names[name], provider) for name, provider in made.items()]
    with System(entries) as system:
        person, found = system.person(), {}
        for name, provider in made.items():
            with short(provider):
                grant = connect(person, names[name], "managed")
            provider.rules.trouble = matrix.TROUBLES[name]
            found[name] = provider, grant, []
        for provider in made.values():
            until(lambda: not provider.valid(provider.families[0].access[0]), 5)
        for provider, grant, answers in found.values():
            answers += [grant.call(ping(4)) for _ in range(3)]
        listed = {c["id"]: c for c in connections(person)}
        for provider, grant, answers in found.values():
            grant.meanwhile = listed[grant.id], len(provider.refreshes)
            provider.rules.trouble = None
        yield found
    for provider in made.values():
        provider.close()


@pytest.mark.parametrize("trouble", matrix.TROUBLES)
def test_trouble_of_the_provider_costs_no_connection(trouble, troubled):
    provider, grant, answers = troubled[trouble]
    for answer in answers:
        assert answer.status == 503 and answer.json()["error"]["code"] == -32007, answer
        assert answer.json()["id"] == 4 and 1 <= int(answer.header("retry-after")) <= 300
    listed, exchanges = grant.meanwhile
    assert 1 <= exchanges <= 3, "it is asked in moderation"
    assert listed["needs_reauth_at"] is None and listed["status"] == "active"
    until(lambda: grant.call().status == 200, 100, "service after the trouble")
    assert [e.outcome for e in provider.refreshes if e.outcome != "trouble"] == ["issued"]


@pytest.mark.parametrize("left", [25, 200])
def test_a_token_that_still_lives_is_used_while_the_provider_is_in_trouble(left, own_oauth):
    """It is due, but it has not ended: no answer of the provider is needed yet."""
    system, provider = own_oauth()
    grant = connect(system.person(), "own")
    nearly_ended(system, left)
    with provider.behaving(trouble=(500, [], b"oops")):
        for _ in range(3):
            grant.works()
        until(lambda: provider.refreshes, 5, "a try to refresh")
    assert [c.token for c in provider.calls if c.token] == [provider.families[0].access[0]] * 3
    
    def renewed():
        grant.works()
        return generation(grant) == 2

    until(renewed, 30, "the refresh after the trouble")


def test_nobody_waits_for_a_successor_while_there_is_time(own_oauth):
    system, provider = own_oauth()
    grant = connect(system.person(), "own")
    nearly_ended(system, 200)
    with provider.behaving(latency=4.0):
        with Seconds() as took:
            for _ in range(5):
                grant.works()
        until(lambda: generation(grant) == 2, 10, "the refresh beside the requests")
    assert took.value < 3
    assert len(provider.refreshes) == 1

    def uses_the_successor():  # once the edge has heard of it, too
        grant.works()
        return provider.calls[-1].token == provider.families[0].access[1]

    until(uses_the_successor, 5, "the successor in use")


def test_answers_that_are_lost_cost_no_connection_where_a_repeat_is_forgiven(own_oauth):
    system, provider = own_oauth(Rules("leeway"))
    grant = connect(system.person(), "own")
    provider.expire()
    provider.rules.lose = 1000
    for _ in range(3):
        assert grant.error_code() == (503, -32007)
    assert grant.listed()["needs_reauth_at"] is None
    provider.rules.lose = 0
    until(lambda: grant.call().status == 200, 30, "service after the trouble")
    assert {e.outcome for e in provider.refreshes} == {"issued", "again"}
    assert grant.listed()["needs_reauth_at"] is None


def test_an_authorization_server_that_is_away_costs_no_connection(own_provider, own_system):
    """The service itself answers all the while."""
    away = own_provider(Rules("strict"))
    front = own_provider(Rules(resource_metadata={"authorization_servers": [away.origin]},
                               judge=away.valid))
    system = own_system(None, [oauth_service("own", front)])
    grant = connect(system.person(), "own")
    grant.works()
    away.close()
    away.expire()
    for _ in range(3):
        assert grant.error_code() == (503, -32007)
    assert grant.listed()["needs_reauth_at"] is None
    away.reopen()
    until(lambda: grant.call().status == 200, 30, "service after the trouble")
    assert [e.outcome for e in away.refreshes] == ["issued"]


def crowd(count, ask):
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait(30)
        return ask(number)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@pytest.mark.parametrize("latency", [0, 1.5])
@pytest.mark.parametrize("why", ["ended", "refused"])
def test_a_hundred_requests_at_once_make_one_exchange(why, latency, carol, providers):
    provider = providers["t01"]
    with provider.behaving(life=1 if why == "ended" else 3600):
        grant = connect(carol, "t01")
    family = provider.families[-1]
    if why == "ended":
        until(lambda: not provider.valid(family.access[0]), 5)
    provider.expire(family.number)
    with provider.behaving(latency=latency):
        answers = crowd(100, lambda number: grant.call(ping(number)))
    assert [a.status for a in answers] == [200] * 100
    assert [a.json()["id"] for a in answers] == list(range(100))
    assert [e.outcome for e in provider.entries(family=family.number)] == ["issued"]
    assert generation(grant) == 2


def test_a_caller_that_hangs_up_does_not_break_the_exchange(carol, providers):
    provider = providers["t01"]
    grant = connect(carol, "t01")
    family = provider.families[-1]
    provider.expire(family.number)
    before = len(provider.ledger)
    with provider.behaving(latency=1.0):
        wire = grant.system.wire()
        grant.post(wire, ping())
        until(lambda: len([c for c in provider.calls if c.token == family.access[0]]) == 1, 5)
        throughout(lambda: True, 0.3)
        wire.reset()
        settled(provider, 1)
        until(lambda: len(provider.ledger) > before and provider.ledger[-1].answered, 10)
    until(lambda: generation(grant) == 2, 5, "the commit")
    grant.works()
    assert len(provider.entries(family=family.number)) == 1


def test_a_refresh_survives_a_restart_of_everything(own_oauth):
    system, provider = own_oauth()
    person = system.person()
    grants = [connect(person, "own", mode) for mode in MODES]
    for generation_wanted in (2, 3):
        provider.expire()
        for grant in grants:
            grant.works()
            assert generation(grant) == generation_wanted
        assert system.stop() == 0
        system.start()
    provider.expire()
    for grant in grants:
        grant.system = system
        grant.works()
    assert len(provider.refreshes) == 6 and {e.outcome for e in provider.refreshes} == {"issued"}


def test_a_stop_waits_for_an_exchange_in_flight(own_oauth):
    system, provider = own_oauth()
    grant = connect(system.person(), "own")
    provider.expire()
    provider.rules.latency = 2.0
    thread = threading.Thread(target=lambda: swallow(grant.call), daemon=True)
    thread.start()
    until(lambda: provider.calls, 5)
    throughout(lambda: True, 0.5)
    assert system.stop() == 0
    thread.join(30)
    assert [e.outcome for e in provider.refreshes] == ["issued"]
    assert generation(grant) == 2
    provider.rules.latency = 0
    system.start()
    grant.works()
    assert len(provider.refreshes) == 1


def swallow(call):
    try:
        call()
    except Exception:  # what the caller sees of a stop is not the question here
        pass


def test_an_answer_without_refresh_token_keeps_the_newest_one(own_oauth):
    """A repeat within the grace gives the access token again and no refresh token."""
    system, provider = own_oauth(Rules("repeat", grace=60))
    grant = connect(system.person(), "own")
    provider.expire()
    provider.rules.lose = 1
    assert grant.call().status in (200, 503)
    until(lambda: grant.call().status == 200, 100, "service after the lost answer")
    assert [e.outcome for e in provider.refreshes] == ["issued", "repeated"]
    assert grant.listed()["needs_reauth_at"] is None


@pytest.mark.parametrize("row", [r for r in matrix.TELLING if r in matrix.REFRESHING])
def test_a_managed_connection_that_nobody_uses_is_renewed_in_the_background(row, idle):
    made, found = idle
    provider, grant = made[row], found[row]
    family = provider.families[0]
    until(lambda: len(family.access) > 1, 45, "a refresh in the background")
    until(lambda: generation(grant) == 2, 5, "its commit")
    assert [e.outcome for e in provider.entries(family=1)] == ["issued"]
    grant.works()
    assert provider.calls[-1].token == family.access[1]
    assert len(provider.entries(family=1)) == 1


def test_a_zero_knowledge_connection_is_not_touched_while_nobody_uses_it(idle):
    made, found = idle
    family = made["t01"].families[1]
    until(lambda: len(made["t01"].families[0].access) > 1, 45, "a round of the background")
    assert family.access[1:] == [] and generation(found["zero_knowledge"]) == 1
    found["zero_knowledge"].works()
    assert len(family.access) == 2
