# Is there one exchange per generation, whoever asks? Two edges and two schedulers work on the same
# data by mistake; a hundred requests come through both; the scheduler that has the exchange in hand
# is stopped in the middle. The provider is the strictest one: a second exchange costs the connection.
# STOP_SECONDS (10) is for how long the holder is stopped.

import concurrent.futures
import os
import signal
import threading

import pytest
from loose import Loose, Twin
from oauth import connect, generation, ping
from provider import Provider, Rules, oauth_service
from waiting import pause, until

STOP_SECONDS = int(os.environ.get("STOP_SECONDS", "10"))


@pytest.fixture(scope="module")
def twins():
    provider = Provider(Rules("strict"))
    with Loose([oauth_service("own", provider)]) as system:
        person = system.person()
        with Twin(system) as twin:
            yield system, twin, provider, person
    provider.close()


@pytest.fixture(params=["zero_knowledge", "managed"])
def grant(request, twins):
    system, twin, provider, person = twins
    made = connect(person, "own", request.param)
    made.family = provider.families[-1]
    return made


def exchanges(provider, grant):
    return [e.outcome for e in provider.entries(family=grant.family.number)]


@pytest.mark.parametrize("latency", [0, 1])
def test_a_hundred_requests_through_two_edges_and_schedulers_make_one_exchange(latency, grant, twins):
    system, twin, provider, _ = twins
    for wanted in (1, 2):
        provider.expire(grant.family.number)
        barrier = threading.Barrier(100)

        def ask(number):
            barrier.wait(30)
            return (twin.call if number % 2 else grant.call)(*[grant] * (number % 2), ping(number))

        with provider.behaving(latency=latency):
            with concurrent.futures.ThreadPoolExecutor(100) as pool:
                answers = list(pool.map(ask, range(100)))
        assert [a.status for a in answers] == [200] * 100
        assert exchanges(provider, grant) == ["issued"] * wanted
        assert generation(grant) == wanted + 1


def test_a_holder_that_is_stopped_in_the_middle_keeps_its_lock(grant, twins):
    """Its provider answers while it sleeps; when it wakes up the answer is stored, whatever the clocks
    say by then, because there will be no other."""
    system, twin, provider, _ = twins
    provider.expire(grant.family.number)
    provider.gate.clear()
    answers, asking = [], threading.Event()
    asking.set()

    def ask_on():
        while asking.is_set():
            answers.append(twin.call(grant).status)
            pause(0.2)

    first = threading.Thread(target=lambda: swallow(grant.call), daemon=True)
    other = threading.Thread(target=ask_on, daemon=True)
    holder = system.pid("scheduler")
    try:
        first.start()
        assert provider.held.acquire(timeout=10), "no exchange began"
        os.kill(holder, signal.SIGSTOP)
        other.start()
        provider.gate.set()
        pause(STOP_SECONDS)
        assert exchanges(provider, grant) == ["issued"]
    finally:
        provider.gate.set()
        os.kill(holder, signal.SIGCONT)
        asking.clear()
    other.join(90)
    until(lambda: twin.call(grant).status in (200, 403), 60, "an end through the second edge")
    assert exchanges(provider, grant) == ["issued"]
    assert twin.call(grant).status == 200
    until(lambda: grant.call().status == 200, 60, "service through the first edge")
    assert set(answers) <= {200, 503}, answers
    assert grant.listed()["needs_reauth_at"] is None


def test_a_holder_that_is_killed_in_the_middle_leaves_its_lock_to_the_other(grant, twins):
    """Here the answer is lost, and with this provider the connection: it says so once and clearly."""
    system, twin, provider, _ = twins
    provider.expire(grant.family.number)
    provider.gate.clear()
    first = threading.Thread(target=lambda: swallow(grant.call), daemon=True)
    try:
        first.start()
        assert provider.held.acquire(timeout=10), "no exchange began"
        system.kill("scheduler")
    finally:
        provider.gate.set()
    until(lambda: twin.call(grant).status == 403, 60, "the word that consent is needed")
    assert twin.call(grant).json()["error"]["code"] == -32005
    assert exchanges(provider, grant) == ["issued", "replayed"]
    system.launch("scheduler")
    system.wait_until_ready("scheduler")
    until(lambda: grant.call().status == 403, 20, "the same word through the first edge")
    assert exchanges(provider, grant) == ["issued", "replayed"]


def swallow(call):
    try:
        call()
    except Exception:  # what this caller sees is not the question
        pass
