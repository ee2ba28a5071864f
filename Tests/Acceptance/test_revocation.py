# Is a revocation at once? Of the requests begun after the revoke call returned none may pass,
# whichever form, connection or credential they use; open streams end within two seconds, also
# when the services that could have been asked are stopped. Credentials that were not revoked
# keep working. REVOCATIONS sets how many late requests are made (default 10,000).

import os
import signal
import threading
import time

import pytest
from conftest import key
from system import service
from waiting import pause, throughout, until
from wire import Cut, Seconds, head

REVOCATIONS = int(os.environ.get("REVOCATIONS", "10000"))
ROUNDS = 20
RUNNERS = 4


class Race:
    """Runners that call without a pause, before and after the revoke call returns."""

    refusals = (401, 404)

    def __init__(self, access, revoke, goal):
        self.access, self.revoke, self.goal = access, revoke, goal
        self.returned, self.stop = threading.Event(), threading.Event()
        self.lock, self.early, self.late, self.passed = threading.Lock(), 0, 0, []

    def runner(self, index):
        wire, form = self.access.system.wire(), "url" if index % 2 else "header"
        while not self.stop.is_set():
            begun_after = self.returned.is_set()
            try:
                self.access.post(wire, b'{"jsonrpc":"2.0","id":1,"method":"ping"}', form)
                answer = wire.answer()
            except (Cut, OSError):
                wire.close()
                wire = self.access.system.wire()
                continue
            with self.lock:
                if begun_after:
                    self.late += 1
                    if answer.status not in self.refusals:
                        self.passed.append(answer)
                elif answer.status == 200:
                    self.early += 1
            if answer.header("connection") == "close":
                wire.close()
                wire = self.access.system.wire()
        wire.close()

    def run(self):
        threads = [threading.Thread(target=self.runner, args=(i,)) for i in range(RUNNERS)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: self.early > 20, 20, "requests before the revocation")
            self.revoke()
            self.returned.set()
            until(lambda: self.late >= self.goal, 60, "enough late requests")
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(30)
        assert not self.passed, f"{len(self.passed)} of {self.late} passed: {self.passed[:2]}"


@pytest.mark.parametrize("what", ["a connection", "a credential"])
def test_no_request_begun_after_the_revoke_call_returned_passes(what, alice, alpha):
    for number in range(ROUNDS // 2):
        first = alice.connect("alpha", key(), ("zero_knowledge", "managed")[number % 2])
        second = first.another()
        if what == "a connection":
            revoke = first.revoke
        else:
            revoke = revoker(first)
        Race(first, revoke, REVOCATIONS // ROUNDS).run()
        if what == "a connection":
            assert second.call().status == 404
        else:
            assert second.call().status == 200, "the other credential goes on"
            second.revoke()


def credential_id(access):
    """The id of this credential: the one that was not there before another was made."""
    return next(c["id"] for c in listed(access) if c["id"] not in later(access))


def listed(access):
    found = access.credentials()
    return found if isinstance(found, list) else found["credentials"]


def later(access):
    by_time = sorted(listed(access), key=lambda c: (c["created_at"], c.get("name") == "another"))
    return {c["id"] for c in by_time[1:]}


def revoker(access):
    identifier = credential_id(access)

    def revoke():
        reply = access.person.call("DELETE", f"/api/connections/{access.id}/credentials/{identifier}")
        assert reply.status == 200, reply
    return revoke


class Listener:
    """A client that reads a stream in a thread and notes when it ended."""

    def __init__(self, access, method="POST"):
        self.wire, self.ended_at, self.events = access.system.wire(timeout=60), None, 0
        if method == "POST":
            access.post(self.wire, b'{"jsonrpc":"2.0","id":1,"method":"ping"}')
        else:
            access.get(self.wire)
        assert self.wire.head()[0] == 200
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        try:
            while self.wire.chunk():
                self.events += 1
        except (Cut, OSError):
            pass
        self.ended_at = time.monotonic()


class Legacy(Listener):
    """The same on the older transport."""

    def __init__(self, access):
        self.wire, self.ended_at, self.events = access.system.wire(timeout=60), None, 0
        self.wire.send(head("GET", access.path + "/sse", [
            ("Host", access.system.host), ("Accept", "text/event-stream")]))
        assert self.wire.head()[0] == 200
        assert b"event: endpoint" in self.wire.chunk()
        threading.Thread(target=self.listen, daemon=True).start()


def talking(connection):
    while connection.request():
        connection.stream()
        try:
            while not connection.upstream.silent:
                connection.chunk(b"data: 1\n\n")
                pause(0.05)
            connection.wait_for_end(60)
        except OSError:
            connection.ended.set()
            return


@pytest.mark.parametrize("silent", [False, True], ids=["talking", "silent"])
@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("what", ["a connection", "a credential"])
def test_open_streams_end_within_two_seconds(what, method, silent, alice, alpha):
    alpha.behaviour, alpha.silent = talking, silent
    access = alice.connect("alpha", key())
    other = access.another()
    streams, kept = [Listener(access, method) for _ in range(20)], Listener(other, method)
    stranger = Listener(alice.connect("alpha", key()), method)
    revoke = access.revoke if what == "a connection" else revoker(access)
    revoke()
    returned = time.monotonic()
    until(lambda: all(s.ended_at for s in streams), 5, "the end of the streams")
    assert max(s.ended_at for s in streams) - returned < 2.0
    if what == "a connection":
        until(lambda: kept.ended_at, 2, "the end of the other credential's stream")
    else:
        throughout(lambda: not kept.ended_at, 0.5, "the stream of the other credential")
    throughout(lambda: not stranger.ended_at, 0.3, "the stream of the other connection")
    ended = 20 + (what == "a connection")
    until(lambda: sum(c.ended.is_set() or c.closed for c in alpha.connections) >= ended, 3,
          "the end of the exchanges upstream")


def legacy(connection):
    """The older transport: an endless stream that begins with where to post."""
    connection.request()
    connection.stream()
    connection.chunk(b"event: endpoint\ndata: /messages?session=1\n\n")
    connection.wait_for_end(60)


@pytest.mark.parametrize("how", [None, signal.SIGSTOP], ids=["all there", "auth and scheduler stopped"])
def test_a_stream_of_the_legacy_transport_ends_too(how, own_system, scripted, alpha):
    system = own_system(services=[service("older", alpha.url.replace("/mcp", "/sse"), "sse")])
    alpha.behaviour = legacy
    access = system.person().connect("older", key())
    stays = system.person().connect("older", key())
    listeners = [Legacy(a) for a in (access, access, stays)]
    pids = system.pids()
    os.kill(system.process.pid, signal.SIGSTOP)
    try:
        access.revoke()
        returned = time.monotonic()
        for name in ("auth", "scheduler") if how else ():
            os.kill(pids[name], how)
        until(lambda: all(l.ended_at for l in listeners[:2]), 5, "the end of the streams")
        assert max(l.ended_at for l in listeners[:2]) - returned < 2.0
        throughout(lambda: not listeners[2].ended_at, 0.3, "the stream of another")
    finally:
        for pid in (system.process.pid, pids["auth"], pids["scheduler"]):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_revocation_holds_and_cuts_streams_without_auth_and_scheduler(how, own_system, alpha):
    system = own_system()
    alpha.behaviour, alpha.silent = talking, True
    person = system.person()
    access = person.connect("alpha", key(), "managed")
    stays = person.connect("alpha", key())
    streams = [Listener(access) for _ in range(10)]
    pids = system.pids()
    os.kill(system.process.pid, signal.SIGSTOP)  # so that nothing is started again
    try:
        access.revoke()
        returned = time.monotonic()
        for name in ("auth", "scheduler"):
            os.kill(pids[name], how)
        until(lambda: all(s.ended_at for s in streams), 5, "the end of the streams")
        assert max(s.ended_at for s in streams) - returned < 2.0
        for form in ("url", "header"):
            assert access.call(form=form).status in (401, 404)
        alpha.reset()
        assert stays.call().status == 200
    finally:
        os.kill(system.process.pid, signal.SIGCONT)
        for name in ("auth", "scheduler"):
            try:
                os.kill(pids[name], signal.SIGCONT)
            except ProcessLookupError:
                pass


def test_a_revocation_survives_a_restart_of_the_edge(own_system, alpha):
    system = own_system()
    person = system.person()
    access, stays = person.connect("alpha", key()), person.connect("alpha", key())
    access.revoke()
    os.kill(system.pid("edge"), signal.SIGKILL)
    served(stays)
    assert access.call().status == 404


def served(access):
    """Waits until the edge serves again."""
    def answered():
        try:
            return access.call().status == 200
        except (OSError, Cut):
            return False
    until(answered, 20, "the edge to serve again")


def test_a_deleted_connection_is_gone_from_the_list_and_its_key_from_the_disk(alice, alpha):
    planted = f"planted-{os.urandom(12).hex()}"
    access = alice.connect("alpha", planted)
    with Seconds() as took:
        reply = access.revoke().json()
    assert reply["success"] is True and took.value < 5
    assert reply["upstream_revocation"] in ("revoked", "pending", "unsupported")
    found = alice.call("GET", "/api/connections").json()
    found = found if isinstance(found, list) else found["connections"]
    assert access.id not in [c["id"] for c in found]
    assert alice.call("GET", f"/api/connections/{access.id}").status == 404


def test_a_stranger_can_neither_see_nor_revoke(alpha_access, bob, alpha):
    for method, path in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("GET", "/credentials"),
                         ("POST", "/credentials"), ("GET", "/activity")):
        body = {"label": "x", "name": "x"} if method in ("PATCH", "POST") else None
        reply = bob.call(method, f"/api/connections/{alpha_access.id}{path}", body)
        assert reply.status == 404, (method, path, reply)
    assert alpha_access.call().status == 200
