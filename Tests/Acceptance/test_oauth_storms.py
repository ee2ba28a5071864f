# What happens to a thousand connections when their provider has a bad day? A client secret that is
# wrong for a while marks none dead; tokens that end all at once are renewed within the rate that the
# provider allows, and requests that wait come first.
# STORM_CONNECTIONS (50), STORM_SECONDS (8): the bad day. EXPIRING (200): tokens that end together.
# EXPIRING_RATE (40): exchanges a second that are allowed.

import concurrent.futures
import gc
import os
import signal
import time

import pytest
from oauth import connect, connections, nearly_ended
from provider import Rules, oauth_service
from waiting import pause, until

CONNECTIONS = int(os.environ.get("STORM_CONNECTIONS", "50"))
SECONDS = float(os.environ.get("STORM_SECONDS", "8"))
EXPIRING = int(os.environ.get("EXPIRING", "200"))
RATE = int(os.environ.get("EXPIRING_RATE", "40"))


def many(person, service, count, mode, workers=4):
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda _: connect(person, service, mode), range(count)))


@pytest.fixture
def storm(own_provider, own_system):
    provider = own_provider(Rules("strict", clients={"app": "static-secret-of-the-storm"},
                                  authentication="post"))
    system = own_system({"STORM_CLIENT_ID": "app",
                         "STORM_CLIENT_SECRET": "static-secret-of-the-storm"},
                        [oauth_service("storm", provider, {"max_per_second": 100})])
    return system, provider


@pytest.mark.parametrize("answer", ["invalid_client"])
def test_a_bad_client_secret_marks_no_connection_dead(answer, storm):
    system, provider = storm
    person = system.person()
    with provider.behaving(life=2):
        grants = many(person, "storm", CONNECTIONS // 2, "managed")
        grants += many(person, "storm", CONNECTIONS - len(grants), "zero_knowledge")
    good, provider.rules.clients = provider.rules.clients, {"app": "another-secret"}
    until(lambda: not any(provider.valid(f.access[-1]) for f in provider.families), 10)
    began, deadline, statuses = len(provider.refreshes), time.monotonic() + SECONDS, set()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        while time.monotonic() < deadline:
            statuses |= {a.status for a in pool.map(lambda g: g.call(), grants)}
            pause(0.2)
    asked = provider.refreshes[began:]
    assert statuses == {503} and {e.outcome for e in asked} == {"client"}
    assert all(c["needs_reauth_at"] is None for c in connections(person))
    # The breaker: nobody asks for each connection again and again.
    assert 5 <= len(asked) <= 100 + 10 * SECONDS, len(asked)
    provider.rules.clients = good
    until(lambda: grants[0].call().status == 200, 130, "the first good refresh")

    def all_work():
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return {a.status for a in pool.map(lambda g: g.call(), grants)} == {200}

    until(all_work, 130, "service for all")
    assert {f.killed for f in provider.families} == {False}
    print(f"{CONNECTIONS} connections, {len(asked)} exchanges in {SECONDS} s of invalid_client")


def test_tokens_that_end_together_are_renewed_within_the_rate_and_requests_come_first(
        own_provider, own_system):
    """The scheduler starts and finds them all due; of some the next request is there already."""
    latency = 0.4
    provider = own_provider(Rules("strict"))
    system = own_system({"EDGE_THREADS": "1"},
                        [oauth_service("own", provider, {"max_per_second": RATE})])
    person = system.person()
    managed = many(person, "own", EXPIRING, "managed")
    waiting = many(system.person(), "own", 24, "zero_knowledge")
    provider.rules.latency = latency
    gc.collect()
    gc.freeze()  # a provider that stands still for its garbage would see what piled up as a peak
    nearly_ended(system, 60)
    os.kill(system.pid("scheduler"), signal.SIGKILL)
    until(lambda: len(provider.refreshes) > 5, 40, "the background to begin")
    provider.expire()
    took = []

    def ask(grant):
        start = time.monotonic()
        answer = grant.call()
        took.append(time.monotonic() - start)
        return answer.status

    statuses, ids = [], {family.number for family in provider.families}
    # The background goes by ids: these it comes to last, so none of them was renewed before the
    # provider ended all tokens.
    late = sorted(managed, key=lambda grant: grant.id)
    for at in range(0, len(waiting), 3):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            statuses += pool.map(ask, [*waiting[at:at + 3], late.pop()])
    assert set(statuses) == {200} and len(statuses) > len(waiting)
    codes = len(provider.entries("authorization_code"))
    until(lambda: len(provider.ledger) >= codes + len(ids), EXPIRING / RATE * 3 + 60, "all")
    entries = provider.refreshes
    assert {e.family for e in entries} == ids
    assert {e.outcome for e in entries} == {"issued"}
    took.sort()
    p50, p99 = took[len(took) // 2], took[int(len(took) * 0.99)]
    span = entries[-1].at - entries[0].at
    print(f"{len(entries)} exchanges in {span:.1f} s, at most {provider.peak()} in a second; "
          f"on demand p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
    assert provider.peak() <= 1.25 * RATE, "more than the provider allows"
    assert p99 <= 2 * latency, f"{p99:.3f} s"
    assert all(c["needs_reauth_at"] is None for c in connections(person))
