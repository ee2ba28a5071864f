# Is anything lost when the master key changes while tokens are renewed all the time, and auth and
# scheduler are killed at random? Managed connections by OAuth with short tokens, renewed in the
# background and for requests; one rotation over all of them; `bindery up` starts what was killed.
# A request may be told to come back while somebody is away, and then must pass; nothing else may
# happen to it. ROTATION_ROWS (300) is the number of connections, REFRESHES_PER_SECOND (50) how
# many exchanges a second their tokens' life asks for.

import concurrent.futures
import json
import os
import random
import signal
import subprocess
import threading
import time

from provider import Provider, Rules, oauth_service
from system import BIN
from test_rotation import Keys
from waiting import pause, until
from wire import Cut, head

COUNT = int(os.environ.get("ROTATION_ROWS", "300"))
RATE = int(os.environ.get("REFRESHES_PER_SECOND", "50"))
LIFE = max(3, COUNT // RATE)
ROTATION_SECONDS = 12  # at least; the rotation of a few rows is slowed down to it
CALLERS = 4
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


class Seeded:
    """One connection, known by its secret alone."""

    def __init__(self, system, secret):
        self.system, self.path = system, f"/mcp/own/{secret}"

    def call(self):
        with self.system.wire(timeout=60) as wire:
            wire.send(head("POST", self.path, [
                ("Host", self.system.host), ("Content-Type", "application/json"),
                ("Accept", "application/json, text/event-stream"),
                ("Content-Length", str(len(PING)))]) + PING)
            return wire.answer()


def seeded(system, keys, provider):
    """As many connections as wanted, whose grants the provider really made."""
    with provider.lock:
        provider.clients["seeded"] = None
        made = [provider.grant("seeded", provider.url) for _ in range(COUNT)]
    lines = "".join(f"{m['access_token']} {m['refresh_token']}\n" for m in made)
    done = subprocess.run(
        [BIN / "rotation-rows", "grants", system.data, keys.path, "own", "seeded", provider.origin,
         str(LIFE)], input=lines.encode(), capture_output=True, check=True, timeout=600)
    secrets = done.stdout.decode().split()
    assert len(secrets) == COUNT
    return [Seeded(system, secret) for secret in secrets]


class Traffic:
    """Calls of random connections; who is told to come back does so once."""

    def __init__(self, connections, seed):
        self.connections, self.over = connections, threading.Event()
        self.lock, self.calls, self.retried, self.failures = threading.Lock(), 0, 0, []
        self.coming_back = 0
        self.away = threading.Event()  # set: somebody was killed and is not there again
        self.back = threading.Event()
        self.back.set()
        self.threads = [threading.Thread(target=self.loop, args=(random.Random(f"{seed}/{n}"),))
                        for n in range(CALLERS)]
        for thread in self.threads:
            thread.start()

    def loop(self, dice):
        while not self.over.is_set():
            self.ask(dice.choice(self.connections))
            pause(0.005)

    def ask(self, connection):
        was_away = self.away.is_set()
        answer = self.attempt(connection)
        with self.lock:
            self.calls += 1
        if isinstance(answer, Exception) or answer.status != 503:
            if isinstance(answer, Exception) or answer.status != 200:
                self.failures.append(answer)
            return
        if not (was_away or self.away.is_set()) or not answer.header("retry-after"):
            self.failures.append(("503 though all are there", answer))
            return
        with self.lock:
            self.retried += 1
            self.coming_back += 1
        self.back.wait(120)
        pause(int(answer.header("retry-after")))
        again = self.attempt(connection)
        with self.lock:
            self.coming_back -= 1
        if isinstance(again, Exception) or again.status != 200:
            self.failures.append(("the second time, too", again))

    def attempt(self, connection):
        try:
            return connection.call()
        except (Cut, OSError, AssertionError) as error:
            return error

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(180)
            assert not thread.is_alive()


def is_ready(system, name):
    try:
        return system.fetch(system.ops[name], "/readyz")[0] == 200
    except OSError:
        return False


def kill(system, name, traffic):
    """Kills a service and waits until it is back and all who were sent away have been served."""
    victim = system.pid(name)
    traffic.back.clear()
    traffic.away.set()
    os.kill(victim, signal.SIGKILL)
    until(lambda: system.pids().get(name) not in (None, victim) and is_ready(system, name), 90, name)
    traffic.back.set()
    # Requests that were under way during the kill end within the patience of the edge.
    until(lambda: traffic.coming_back == 0, 90, "those who were told to come back")
    pause(0.5)
    traffic.away.clear()


def test_rotation_and_refreshes_and_kills_together_lose_nothing(own_provider, own_system, seed):
    dice = random.Random(f"{seed}/load")
    provider = own_provider(Rules("leeway", grace=600, life=float(LIFE)))
    system = own_system({"EDGE_THREADS": "2"},
                        [oauth_service("own", provider, {"max_per_second": 2 * RATE})])
    keys = Keys(system)
    connections = seeded(system, keys, provider)
    until(lambda: len(provider.refreshes) > min(COUNT, 100) / 2, 120, "the refreshes to begin")
    old, new = keys.fingerprints()[0], keys.append()
    traffic, kills = Traffic(connections, seed), {"auth": 0, "scheduler": 0}
    began, before = time.monotonic(), len(provider.refreshes)
    try:
        watcher = keys.start("--json", "--rate", str(max(COUNT // ROTATION_SECONDS, 1)))
        until(lambda: keys.rows().get(new, 0) > 0, 30, "the first row under the new key")
        while keys_under(keys, old) or min(kills.values()) == 0:
            name = dice.choice(("auth", "scheduler"))
            if kills[name] > kills["auth"] + kills["scheduler"] - kills[name] + 1:
                continue
            pause(dice.uniform(0, 1.5))
            kill(system, name, traffic)
            kills[name] += 1
        out, err = watcher.communicate(timeout=600)
        took, made = time.monotonic() - began, len(provider.refreshes) - before
    finally:
        traffic.stop()
    events = [json.loads(line) for line in out.splitlines()]
    assert watcher.returncode == 0 and events[-1]["state"] == "completed", (events[-3:], err)
    print(f"seed {seed}: {COUNT} rows, {events[-1].get('rows_per_second')} rows/s said, "
          f"{COUNT / took:.0f} rows/s with {made / took:.0f} refreshes/s over {took:.1f} s; kills "
          f"{kills}; {traffic.calls} calls, {traffic.retried} told to come back")
    assert traffic.failures == [], (len(traffic.failures), traffic.failures[:3])
    assert keys.rows() == {new: COUNT}
    assert keys.check() == {"opened": COUNT, "refused": 0, "stale": 0}
    assert not any(family.killed for family in provider.families)
    assert keys.tool("--remove", old)[0] == 0
    # Each connection answers, and once more with tokens that only its stored refresh token gives.
    for asked in (connections, dice.sample(connections, min(COUNT, 2000))):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda c: c.call(), asked))
        assert {a.status for a in answers} == {200}, [a for a in answers if a.status != 200][:3]
        provider.expire()
    renewed = {e.family for e in provider.refreshes if e.outcome in ("issued", "again")}
    assert len(renewed) >= min(COUNT, 2000)


def keys_under(keys, old):
    """How many rows are still under the old key; while auth is away nobody knows."""
    answer = keys.status()[0]
    if answer is None:
        return True
    return sum(r["count"] for r in answer["keys"]["rows"] if r["fingerprint"] == old)
