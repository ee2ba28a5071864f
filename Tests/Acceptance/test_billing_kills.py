# What is left of Stripe's events when the receiver dies, or the disk fails, at the worst moment? strace
# kills it at the Nth call of each write-like kind, or lets that call fail with EIO or ENOSPC, while
# events come in; and it is killed at random at 200 events a second. Every event that was answered 200
# is there afterwards, once. WEBHOOK_KILLS is the number of random kills, WEBHOOK_POINTS how many calls
# of each kind are struck.

import collections
import concurrent.futures
import http.client
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time

import pytest
from system import BIN, free_port
from test_billing import NEW, deliver, event, ready, sign
from test_kills import Killer
from waiting import until

KILLS = int(os.environ.get("WEBHOOK_KILLS", "6"))
POINTS = int(os.environ.get("WEBHOOK_POINTS", "2"))
CALLS = ("pwrite64", "fdatasync", "fsync", "write", "sendto", "writev")


class Receiver:
    """One more receiver on the same database, which nobody restarts but the test."""

    def __init__(self, system, name):
        self.folder = system.folder / name
        self.folder.mkdir(mode=0o750)
        self.port = free_port()
        self.environment = system.environment | {
            "BINDERY_RUN_DIR": str(self.folder), "BILLING_LISTEN": f"127.0.0.1:{self.port}",
            "BILLING_OPS_LISTEN": "none"}
        self.host, self.process = f"127.0.0.1:{self.port}", None

    def start(self):
        self.process = subprocess.Popen(
            [str(BIN / "bindery-billing")], env=self.environment, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.answers, 20, "the receiver")
        return self

    def answers(self):
        assert self.process.poll() is None, "the receiver ended"
        try:
            return deliver(self, "", None) == 400
        except (OSError, http.client.HTTPException):
            return False

    def begin_again(self):
        """Starts it if it gave itself up; always false."""
        if self.process.poll() is not None:
            self.start()
        return False

    def kill(self):
        self.process.kill()
        self.process.wait()


class Till:
    """A system that gets events, and what it said yes to."""

    def __init__(self, system):
        self.system, self.acknowledged, self.sent = system, [], 0
        self.statuses = collections.Counter()
        self.lock = threading.Lock()

    def send(self, receiver=None):
        with self.lock:
            self.sent += 1
            name = f"k{self.sent}"
        body = event(name)
        try:
            status = deliver(receiver or self.system, body, sign(body))
        except (OSError, http.client.HTTPException):
            status = 0
        with self.lock:
            self.statuses[status] += 1
            if status == 200:
                self.acknowledged.append(f"evt_{name}")
        return status

    def alive(self, old=None):
        """The process of billing's that takes events now, and is not `old`."""
        until(lambda: self.system.pids().get("billing", old) != old, 30, "a new process")
        until(lambda: ready(self.system), 30, "its readiness")
        return until(lambda: self.system.pids().get("billing"), 30, "the process")

    def check(self):
        with sqlite3.connect(f"file:{self.system.data}/bindery.sqlite?mode=ro", uri=True) as database:
            rows = [row[0] for row in database.execute("SELECT id FROM stripe_inbox")]
        assert len(rows) == len(set(rows))
        lost = set(self.acknowledged) - set(rows)
        assert not lost, f"{len(lost)} of {len(self.acknowledged)} are lost: {sorted(lost)[:5]}"

    def sound(self):
        """The database, looked at when nothing runs."""
        assert self.system.stop() == 0
        with tempfile.TemporaryDirectory() as folder:
            for file in self.system.data.glob("bindery.sqlite*"):
                shutil.copy(file, folder)
            with sqlite3.connect(f"{folder}/bindery.sqlite") as database:
                assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                ids = [row[0] for row in database.execute("SELECT id FROM stripe_inbox")]
        assert set(self.acknowledged) <= set(ids) and len(ids) == len(set(ids))


@pytest.fixture
def till(own_system):
    made = Till(own_system({"STRIPE_WEBHOOK_SECRET": NEW}))
    made.alive()
    return made


def test_a_kill_at_any_write_loses_nothing_that_was_acknowledged(till):
    receiver, killed = Receiver(till.system, "second"), 0
    for call in CALLS:
        for number in range(1, POINTS + 1):
            receiver.start()
            killer = Killer(receiver.process.pid, call, number)
            for _ in range(6):
                if till.send(receiver) != 200:
                    break
            died = killer.killed
            killer.close()
            killed += died
            receiver.kill()
            till.check()
            if not died:  # as many of these calls are never made
                break
    print(f"killed at {killed} calls")
    assert killed >= min(POINTS, 6), f"only {killed} kills"
    till.sound()


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_disk_that_fails_is_answered_5xx_and_loses_nothing(error, till):
    receiver, failed = Receiver(till.system, "second").start(), 0
    for call in ("pwrite64", "fdatasync", "fsync"):
        for number in range(1, POINTS + 1):
            pid = receiver.process.pid
            # The call fails from its Nth on, until strace lets go.
            strace = subprocess.Popen(
                ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                 f"inject={call}:error={error}:when={number}+", "-p", str(pid)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            until(lambda: strace.poll() is not None or is_traced(pid), 10, "strace")
            statuses = [till.send(receiver) for _ in range(4)]
            strace.kill()  # the kernel lets go of what it traced
            strace.wait(10)
            assert set(statuses) <= {200, 500, 502, 503, 504, 0}, statuses
            # After an error of the disk the process gives itself up, and another takes its place.
            until(lambda: till.send(receiver) == 200 or receiver.begin_again(), 30,
                  "an event to be taken again")
            till.check()
            if set(statuses) == {200}:  # as many of these calls are never made
                break
            failed += 1
    print(f"{error} at {failed} calls")
    assert failed >= 1, "no failure was felt"
    receiver.kill()
    till.sound()


def is_traced(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            return "TracerPid:\t0\n" not in status.read()
    except OSError:
        return True


def test_random_kills_under_load_lose_nothing(till, dice):
    stopping, receiver = threading.Event(), Receiver(till.system, "second").start()

    def worker():
        while not stopping.is_set():
            begun = time.monotonic()
            till.send(receiver)
            stopping.wait(max(0, 0.08 - (time.monotonic() - begun)))

    with concurrent.futures.ThreadPoolExecutor(16) as pool:  # 16 each 80 ms are 200 a second
        for _ in range(16):
            pool.submit(worker)
        try:
            for _ in range(KILLS):
                before = len(till.acknowledged)
                until(lambda: len(till.acknowledged) > before, 30, "an answer")
                stopping.wait(dice.random() * 0.2)
                receiver.kill()
                receiver.start()
        finally:
            stopping.set()
    receiver.kill()
    print(f"{KILLS} kills, {till.sent} sent, {len(till.acknowledged)} acknowledged")
    till.check()
    till.sound()


def test_sixty_four_copies_on_two_receivers_have_one_effect(till):
    second = Receiver(till.system, "second").start()
    body = event("copies")
    signature = sign(body)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(
            lambda n: deliver(second if n % 2 else till.system, body, signature), range(64)))
    assert set(answers) == {200}
    till.acknowledged.append("evt_copies")
    with sqlite3.connect(f"file:{till.system.data}/bindery.sqlite?mode=ro", uri=True) as database:
        def settled():
            return database.execute("SELECT state, tries FROM stripe_inbox WHERE state <> 'waiting'"
                                    ).fetchall()

        until(settled, 10, "its effect")
        assert settled() == [("ignored", 1)]  # an invoice without a subscription
    second.kill()
    till.sound()


def test_a_poison_event_delays_no_other(till):
    poison = event("poison", type="customer.subscription.updated",
                   data={"object": {"object": "subscription", "status": "active"}})
    assert deliver(till.system, poison, sign(poison)) == 200
    for _ in range(20):
        assert till.send() == 200
    with sqlite3.connect(f"file:{till.system.data}/bindery.sqlite?mode=ro", uri=True) as database:
        def state(name):
            return database.execute("SELECT state, tries, reason FROM stripe_inbox WHERE id = ?",
                                    (name,)).fetchone()

        until(lambda: all(state(each)[0] == "ignored" for each in till.acknowledged), 10,
              "the others")
        until(lambda: state("evt_poison")[1] >= 2, 20, "a second try")
        found = state("evt_poison")
        assert found[0] in ("waiting", "parked") and found[2] == "unreadable"
    done = subprocess.run([str(BIN / "bindery"), "webhooks", "list"], cwd="/", text=True,
                          env=till.system.environment, capture_output=True, timeout=30)
    assert "evt_poison customer.subscription.updated" in done.stdout, done
    till.acknowledged.append("evt_poison")
    till.sound()
