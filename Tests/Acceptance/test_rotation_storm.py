# Master keys change while tokens are renewed all the time and auth and the scheduler are killed at
# random: no row is unreadable afterwards, no refresh token is lost, and no request fails but those that
# needed a refresh in the moment when nobody was there to make it, which are told to come again.
# ROTATION_ROWS (5000) rows are seeded; ROTATION_GRANTS (40) connections have tokens of ROTATION_LIFE
# (1) seconds; ROTATION_KILLS (6) kills.

import json
import os
import signal
import threading
import time

import pytest
from oauth import connect, connections
from provider import Provider, Rules, oauth_service
from test_rotation import Keys
from waiting import pause, until

ROWS = int(os.environ.get("ROTATION_ROWS", "5000"))
GRANTS = int(os.environ.get("ROTATION_GRANTS", "40"))
LIFE = float(os.environ.get("ROTATION_LIFE", "1"))
KILLS = int(os.environ.get("ROTATION_KILLS", "6"))


@pytest.fixture
def provider():
    made = Provider(Rules("leeway"))
    yield made
    made.close()
    assert not made.faults


class Callers:
    """Calls over all grants without end."""

    def __init__(self, grants, count=16):
        self.over, self.calls, self.later, self.failures = threading.Event(), 0, 0, []
        self.threads = [threading.Thread(target=self.loop, args=(grants[at::count],))
                        for at in range(count)]
        for thread in self.threads:
            thread.start()

    def loop(self, grants):
        while not self.over.is_set():
            for grant in grants:
                try:
                    answer = grant.call()
                except Exception as error:  # whatever it is, the request failed
                    self.failures.append(error)
                    continue
                self.calls += 1
                if answer.status == 503 and answer.header("retry-after"):
                    self.later += 1
                elif answer.status != 200:
                    self.failures.append(answer)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_a_rotation_among_refreshes_and_kills(own_system, provider, dice):
    entry = oauth_service("own", provider, {"max_per_second": 1000, "grace_seconds": 60})
    system = own_system(None, [entry])
    keys, person = Keys(system), system.person()
    with provider.behaving(life=LIFE):
        grants = [connect(person, "own", "managed" if at % 2 else "zero_knowledge")
                  for at in range(GRANTS)]
        keys.seed(ROWS)
        old, new = keys.fingerprints()[0], keys.append()
        callers, began, first = Callers(grants), time.monotonic(), len(provider.refreshes)
        try:
            watcher = keys.start("--rate", str(max(100, ROWS // 15)), "--json")
            for at in range(KILLS):
                victim = ("auth", "scheduler")[at % 2]
                until(lambda: victim in system.pids(), 60, victim)
                pause(dice.uniform(0.2, 1.5))
                if victim in system.pids():
                    os.kill(system.pid(victim), signal.SIGKILL)
            out, err = watcher.communicate(timeout=300)
            span, refreshes = time.monotonic() - began, len(provider.refreshes) - first
            assert watcher.returncode == 0, (out, err)
        finally:
            callers.stop()
        assert callers.failures == [], callers.failures[:3]
        for grant in grants:
            until(lambda grant=grant: grant.call().status == 200, 60, "the grant to work")
    last = json.loads(out.splitlines()[-1])
    print(f"{last['done']} rows, {last['rows_per_second']} rows/s; {refreshes / span:.0f} refreshes/s; "
          f"{callers.calls} calls, {callers.later} told to come again; {KILLS} kills")
    assert last["state"] == "completed" and last["failed"] == 0
    assert all(c["needs_reauth_at"] is None for c in connections(person))
    assert {f.killed for f in provider.families} == {False}
    managed = ROWS + GRANTS // 2
    assert keys.rows() == {new: managed}
    assert keys.check() == {"opened": managed, "refused": 0, "stale": 0}
    status, _, err = keys.tool("--remove", old)
    assert status == 0, err
    assert keys.check() == {"opened": managed, "refused": 0, "stale": 0}
