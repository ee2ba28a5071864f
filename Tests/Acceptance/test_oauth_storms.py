# What happens to a thousand connections when their provider has a bad day? A client secret that is
# wrong for a while marks none dead; tokens that end all at once are renewed within the rate that the
# provider allows, and requests that wait come first.
# STORM_CONNECTIONS (50), STORM_SECONDS (15): the bad day. EXPIRING (200): tokens that end together;
# the last part connects as many first. EXPIRING_RATE (40): exchanges a second that are allowed.

import concurrent.futures
import os
import threading
import time

import pytest
from oauth import connect, connections
from provider import Rules, oauth_service
from waiting import until

CONNECTIONS = int(os.environ.get("STORM_CONNECTIONS", "50"))
SECONDS = float(os.environ.get("STORM_SECONDS", "15"))
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
    latency = 0.25
    provider = own_provider(Rules("strict"))
    system = own_system(None, [oauth_service("own", provider, {"max_per_second": RATE})])
    person = system.person()
    life = max(20.0, EXPIRING * 0.06)
    with provider.behaving(life=life):
        managed = many(person, "own", EXPIRING, "managed")
        waiting = many(person, "own", 40, "zero_knowledge")
    families = provider.families[:]
    began = len(provider.refreshes)
    provider.rules.latency = latency
    until(lambda: len(provider.refreshes) > began + 5, life + 60, "the background to begin")
    provider.expire()
    took, lock = [], threading.Lock()

    def ask(grant):
        start = time.monotonic()
        answer = grant.call()
        with lock:
            took.append(time.monotonic() - start)
        return answer.status

    statuses = []
    for at in range(0, len(waiting), 4):  # requests that need a refresh, within the allowed rate
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            statuses += pool.map(ask, waiting[at:at + 4])
    assert statuses == [200] * len(waiting)
    until(lambda: all(len(f.access) > 1 for f in families), EXPIRING / RATE * 3 + 60, "all of them")
    entries = provider.refreshes
    assert {e.outcome for e in entries} == {"issued"}
    took.sort()
    p99 = took[int(len(took) * 0.99) - 1]
    span = entries[-1].at - entries[began].at
    print(f"{len(entries)} exchanges in {span:.1f} s, at most {provider.peak()} in a second; "
          f"on demand p50 {took[len(took) // 2] * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
    assert provider.peak() <= 2 * RATE, provider.peak()
    assert p99 <= 2 * latency, f"{p99:.3f} s"
    assert all(c["needs_reauth_at"] is None for c in connections(person))
