# What happens when a connection is revoked in the very moment in which something else happens to it?
# Seeded interleavings: a request, a stream or a background refresh of a connection whose tokens are
# due; its DELETE, with or without the credential; re-wraps under new master keys; kills of scheduler
# and auth. The provider is narrow: it ends only the token that is shown to it, and takes one that was
# used before for unknown, so a successor made at the same time would live on.
# RACES (150) is the number of interleavings; `--seed` repeats them.

import concurrent.futures
import json
import os
import random
import signal
import threading
import time

import pytest
from loose import Loose
from oauth import connect, rows
from provider import Conversation, Provider, Rules, oauth_service
from test_rotation import Keys
from waiting import pause, until
from wire import Cut

RACES = int(os.environ.get("RACES", "150"))
BATCH = 50
WORKERS = 6
# A request that we sent before the DELETE returned may be read by the provider this much later.
ON_THE_WAY = 0.2
CUT_WITHIN = 2.0
SHREDDED_WITHIN = 60


class Plan:
    """How long the exchange of one family takes, before and after it counts."""

    def __init__(self, before, after):
        self.before, self.after, self.began = before, after, threading.Event()


class Talk(Conversation):
    """Answers `listen` with a stream that has no end."""

    def mcp(self, body):
        if json.loads(body).get("method") != "listen":
            super().mcp(body)
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         b"Connection: close\r\n\r\n")
        self.close_connection = True
        try:
            while not self.provider.over.is_set():
                self.wfile.write(b"data: {}\n\n")
                pause(0.1)
        except OSError:
            pass


class Narrow(Provider):
    """Ends one token at a time, and is as slow as planned."""

    def __init__(self):
        self.plans, self.first_life, self.over = {}, 3600, threading.Event()
        super().__init__(Rules("strict", life=3600.0))

    def listen(self, port):
        super().listen(port)
        self.server.RequestHandlerClass = type("Here", (Talk,), {"provider": self})

    def issue(self, family, parent=None, with_refresh=True):
        answer = super().issue(family, parent, with_refresh)
        if parent is None:
            answer["expires_in"] = self.first_life
            family.life = self.first_life
        elif family.life == TICK:
            answer["expires_in"] = TICK
        return answer

    def exchange(self, form, client, known):
        token = self.refresh_tokens.get(form.get("refresh_token", ""))
        plan = self.plans.get(token.family.number) if token else None
        arrived = time.monotonic()
        if plan:
            plan.began.set()
            time.sleep(plan.before)
        result = super().exchange(form, client, known)
        result[0].arrived = arrived
        if plan:
            time.sleep(plan.after)
        return result

    def revoke(self, form, known, client):
        with self.lock:
            answer = super().revoke(form, known, client)
            value = form.get("token", "")
            token = self.refresh_tokens.get(value)
            if token:
                token.family.revoked = False
                token.dead = True
            elif value in self.access_tokens:
                family, _ = self.access_tokens[value]
                family.revoked = False
                self.access_tokens[value] = (family, 0.0)
            return answer

    def alive(self, family):
        """The refresh tokens with which somebody could still get others."""
        with self.lock:
            return [] if family.killed else [
                token.value for token in family.refresh if token.used_at is None and not token.dead]

    def uses_since(self, family, moment):
        """How long after `moment` each MCP request of this family came."""
        with self.lock:
            values = set(family.access)
            return [round(c.at - moment, 3) for c in self.calls if c.token in values
                    and c.at > moment]


TICK = 2  # the life of tokens that end at once, in seconds
KINDS = ("refused", "stream", "ended", "background")


class Race:
    """One interleaving: all that is decided about it comes from the seed and its number."""

    def __init__(self, seed, number):
        dice = self.dice = random.Random(f"{seed}/{number}")
        self.number, self.kind = number, dice.choice(KINDS)
        managed = {"background": 1.0, "ended": 0.0}.get(self.kind, 0.5)
        self.mode = "managed" if dice.random() < managed else "zero_knowledge"
        self.shows = dice.random() < 0.5
        slow = dice.random() < 0.2
        self.plan = Plan(dice.uniform(0, 0.3 if slow else 0.03),
                         dice.uniform(0, 0.5 if slow else 0.03))
        self.requests = dice.randint(1, 2)
        self.request_at = [dice.uniform(0, 0.03) for _ in range(self.requests)]
        self.waits_for_exchange = dice.random() < 0.6
        span = self.plan.before + self.plan.after + 0.02
        self.delete_at = dice.uniform(0, span) if self.waits_for_exchange else dice.uniform(0, 0.05)
        self.stale_at_provider = dice.random() < 0.6
        self.said, self.returned, self.statuses, self.ended = None, None, [], []

    @property
    def is_short(self):
        return self.kind in ("ended", "background")

    def describe(self):
        return (f"interleaving {self.number}: {self.kind} {self.mode} shows={self.shows} "
                f"delete_at={self.delete_at:.3f} after_exchange={self.waits_for_exchange} "
                f"plan={self.plan.before:.3f}+{self.plan.after:.3f} said={self.said} "
                f"statuses={self.statuses}")

    def connect(self, person, provider, lock):
        with lock:  # which family is whose shows in the order
            self.grant = connect(person, "own", self.mode)
            self.family = provider.families[-1]
        provider.plans[self.family.number] = self.plan

    def run(self, provider, troubled):
        if self.kind == "refused" or (self.kind == "stream" and self.stale_at_provider):
            provider.expire(self.family.number)
        if self.kind == "ended":
            pause(max(0, self.family.made + TICK + 0.05 - time.monotonic()))
        began, threads = time.monotonic(), []
        if self.kind != "background":
            for at in self.request_at:
                threads.append(threading.Thread(target=self.ask, args=(began + at,), daemon=True))
        elif not self.waits_for_exchange:
            # Somewhere in the second in which the background comes to it.
            pause(max(0, self.family.made + TICK + self.dice.uniform(0, 1.2) - began))
        for thread in threads:
            thread.start()
        if self.waits_for_exchange:
            self.plan.began.wait(5 if self.kind == "background" else 1)
        pause(self.delete_at)
        self.delete(troubled)
        self.check_at_once(provider, troubled)
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), self.describe()

    def ask(self, at):
        pause(max(0, at - time.monotonic()))
        method = "listen" if self.kind == "stream" else "ping"
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method}).encode()
        try:
            with self.grant.system.wire(timeout=60) as wire:
                self.grant.post(wire, body)
                if self.kind != "stream":
                    self.statuses.append(wire.answer().status)
                    return
                status, _ = wire.head()
                self.statuses.append(status)
                if status == 200:
                    try:
                        while wire.chunk():
                            pass
                    except Cut:
                        pass
                    self.ended.append(time.monotonic())
        except (Cut, OSError):
            self.statuses.append("cut")

    def delete(self, troubled):
        body = {"credential": self.grant.api_key} if self.shows else None
        deadline = time.monotonic() + 60
        while True:
            try:
                reply = self.grant.person.call("DELETE", f"/api/connections/{self.grant.id}", body)
                status = reply.status
            except OSError:
                status, reply = None, None
            if status == 200:
                self.said = reply.json()["upstream_revocation"]
                break
            if status == 404 and troubled.at:
                break  # done before auth was killed, but nobody was told
            assert status in (None, 502, 503, 504, 500) and troubled.at, \
                (self.describe(), reply)
            assert time.monotonic() < deadline, self.describe()
            pause(0.05)
        self.returned = time.monotonic()
        assert self.said in ("revoked", "pending", None), self.describe()

    def check_at_once(self, provider, troubled):
        alive = provider.alive(self.family)
        if self.said == "revoked" and alive and not self.lost_answer(provider, troubled):
            raise AssertionError(
                f"{len(alive)} refresh tokens live on: {self.describe()}; kills {troubled.at}, "
                f"{[vars(e) for e in provider.entries(family=self.family.number)]}")
        for form in ("url", "header"):
            answer = self.grant.call(form=form)
            assert answer.status == {"url": 404, "header": 401}[form], (self.describe(), answer)
            assert answer.json()["error"]["code"] == -32001

    def lost_answer(self, provider, troubled):
        """Whether an answer came to a scheduler that was killed before it could be durable. It may
        have been killed before the exchange counted: the provider does not see that."""
        at = troubled.at.get("scheduler")
        return at and any(getattr(e, "arrived", e.at) <= at + 0.05
                          and (not e.answered or e.answered >= at - 0.1)
                          for e in provider.entries(family=self.family.number))

    def check_afterwards(self, provider):
        uses = provider.uses_since(self.family, self.returned)
        late = [use for use in uses if use > ON_THE_WAY]
        assert not late, f"used {late} s after the end: {self.describe()}"
        for end in self.ended:
            assert end - self.returned <= CUT_WITHIN, \
                f"a stream went on for {end - self.returned:.2f} s: {self.describe()}"
        allowed = {200, 404, 502, 503, 504, 403, "cut"}
        assert set(self.statuses) <= allowed, self.describe()
        return uses


def is_up(system, name):
    try:
        return system.fetch(system.ops[name], "/readyz")[0] == 200
    except OSError:
        return False


class Rotor:
    """Changes the master key again and again."""

    def __init__(self, system, dice):
        self.keys, self.dice, self.rounds, self.over = Keys(system), dice, 0, threading.Event()
        self.fault, self.system, self.refusals = None, system, []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.over.is_set():
                self.turn()
                self.over.wait(self.dice.uniform(0.1, 1.0))
        except BaseException as error:
            self.fault = error

    def turn(self):
        old = self.keys.fingerprints()[0]
        self.keys.append()
        if self.dice.random() < 0.5:
            for name in ("auth", "scheduler"):
                # One that has only just started may not be ready for the signal.
                if is_up(self.system, name):
                    self.system.processes[name].send_signal(signal.SIGHUP)
        deadline, said = time.monotonic() + 60, None
        # Auth may be away, and a connection that is being made may come under the old key just
        # behind the rotation: then the tool refuses to remove it until there was another one.
        while True:
            for words in ((), ("--remove", old)):
                status, _, err = self.keys.tool(*words)
                # Auth may be killed between the file's change and its word that it read the file.
                if status != 0 and not (words and old not in self.keys.fingerprints()):
                    said = words, err
                    break
            else:
                break
            assert time.monotonic() < deadline, f"rotate-keys: {said}"
        if said:
            self.refusals.append(said)
        self.rounds += 1

    def stop(self):
        self.over.set()
        self.thread.join(120)
        if self.fault:
            raise self.fault


class Killing:
    """At most one kill, at a random moment of a batch; whoever meets it can see when."""

    def __init__(self, system, dice):
        self.system, self.victim, self.at = system, None, {}
        self.moment = dice.uniform(0, 2)
        if dice.random() < 0.5:
            self.victim = dice.choice(("scheduler", "scheduler", "auth"))
        self.thread = threading.Thread(target=self.run, daemon=True)

    def begin(self):
        if self.victim:
            self.thread.start()

    def run(self):
        pause(self.moment)
        self.at[self.victim] = time.monotonic()
        self.system.kill(self.victim)
        self.system.launch(self.victim)

    def end(self):
        if self.victim:
            self.thread.join(10)


@pytest.fixture(scope="module")
def stage(seed):
    provider = Narrow()
    entry = oauth_service("own", provider, {"max_per_second": 1000})
    with Loose([entry], {"EDGE_THREADS": "2"}) as system:
        yield system, provider
    provider.over.set()
    provider.close()
    assert not provider.faults


def left(system, races):
    """What the databases still have of revoked connections: ids with a blob, ids that must not."""
    ids = {race.grant.id for race in races}
    blobs = {row[0] for row in rows(system, "tokens", "SELECT connection_id FROM token_blobs")}
    pending = {row[0] for row in rows(
        system, "bindery", "SELECT connection_id FROM upstream_revocations WHERE state = 'pending'")}
    return blobs & ids, (blobs & ids) - pending


def test_a_connection_that_is_revoked_in_the_moment_of_anything_else_is_gone(stage, seed):
    system, provider = stage
    dice = random.Random(f"{seed}/around")
    people, signed_in = [system.person() for _ in range(4)], time.monotonic()
    provider.first_life = TICK
    connect(people[0], "own", "managed")  # whose tokens never last keeps the background awake
    races, uses, kills, once_gone = [], [], {}, set()
    rotor = Rotor(system, random.Random(f"{seed}/rotation"))
    try:
        for start in range(0, RACES, BATCH):
            if time.monotonic() - signed_in > 600:
                signed_in = time.monotonic()
                for person in people:
                    person.sign_in()
            batch = [Race(seed, number) for number in range(start, min(start + BATCH, RACES))]
            races += batch
            once_gone |= one_batch(system, provider, people, batch, dice, kills)
            for race in batch:
                uses += race.check_afterwards(provider)
            back = left(system, races)[0] & once_gone
            assert not back, f"blobs came back: {back}"
            once_gone |= {race.grant.id for race in races} - left(system, races)[0]
    finally:
        rotor.stop()
    until(lambda: not left(system, races)[1], SHREDDED_WITHIN, "the end of all blobs")
    check_rows(system, races)
    for race in races:
        race.check_afterwards(provider)
        if race.number % max(1, RACES // 100) == 0:
            assert race.grant.call().status == 404, race.describe()
    said = [race.said for race in races]
    met = sum(1 for race in races if any(
        e.at > race.returned for e in provider.entries(family=race.family.number)))
    print(f"seed {seed}: {len(races)} interleavings, said "
          f"{ {word: said.count(word) for word in set(said)} }, {rotor.rounds} rotations, "
          f"kills {kills}, {met} exchanges after the DELETE, {sum(len(r.ended) for r in races)} "
          f"streams cut, {len(uses)} requests on the way "
          f"(the latest {max(uses, default=0) * 1000:.0f} ms); rotations refused at first: "
          f"{[err.strip() for _, err in rotor.refusals][:5]}")
    assert said.count("revoked") > 0 and said.count("pending") > 0
    assert any(200 in race.statuses for race in races) and rotor.rounds > 0


def one_batch(system, provider, people, batch, dice, kills):
    """Connects, races; gives the ids whose blobs were seen to be gone."""
    until(lambda: all(is_up(system, name) for name in system.wanted), 60, "all services")
    lock = threading.Lock()
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for short in (False, True):
            provider.first_life = TICK if short else 3600
            some = [race for race in batch if race.is_short == short]
            for race in some:
                race.connect(people[race.number % len(people)], provider, lock)
                race.family.made = time.monotonic()
        killing = Killing(system, dice)
        killing.begin()
        ordered = sorted(batch, key=lambda race: ("background", "refused", "stream", "ended")
                         .index(race.kind))
        done = [pool.submit(race.run, provider, killing) for race in ordered]
        try:
            for each in done:
                each.result(180)
        finally:
            for each in done:
                each.cancel()
            killing.end()
    if killing.victim:
        kills[killing.victim] = kills.get(killing.victim, 0) + 1
    return {race.grant.id for race in batch} - left(system, batch)[0]


def check_rows(system, races):
    """Nothing of a revoked connection is there again, under whichever key."""
    ids = {race.grant.id for race in races}
    found = {row[0]: row[1:] for row in rows(
        system, "bindery", "SELECT id, status, revoked_at, managed_wrap FROM connections")}
    for race in races:
        status, revoked_at, wrap = found[race.grant.id]
        assert status == "revoked" and revoked_at and wrap is None, race.describe()
    wraps = rows(system, "bindery",
                 "SELECT connection_id FROM credentials WHERE wrap IS NOT NULL")
    assert not ids & {row[0] for row in wraps}
    assert not ids & {row[0] for row in rows(system, "bindery", "SELECT connection_id FROM claims")}
    kept = left(system, races)[0]
    for table in ("refresh_journal", "refresh_state"):
        there = {row[0] for row in rows(system, "tokens", f"SELECT connection_id FROM {table}")}
        assert there & ids <= kept, f"{table} knows connections whose tokens are gone"
    settled = rows(system, "bindery", """
        SELECT connection_id FROM upstream_revocations
        WHERE state != 'pending' AND managed_wrap IS NOT NULL""")
    assert not settled
