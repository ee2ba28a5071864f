# What is left when the power goes at the worst moment? `strace` kills the auth service at the Nth
# call of each write-like kind while it connects a service, revokes a connection or revokes a
# credential; then everything else is killed too and started again. What was acknowledged must
# hold; what was not is wholly there or wholly not; and the databases are sound.
# KILL_POINTS_MAX bounds N for each kind of call (default: until the operation survives).

import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile

import pytest
from conftest import key
from system import Access, System
from waiting import until
from wire import Cut

CALLS = ("pwrite64", "write", "writev", "fsync", "fdatasync", "ftruncate", "unlink", "rename",
         "sendto", "sendmsg")
MOST = int(os.environ.get("KILL_POINTS_MAX", "60"))


def is_dead(pid):
    """True for a process that is gone or that only waits to be buried."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


class Killer:
    """Attaches to a process and kills it at the Nth call of one kind by any of its threads."""

    def __init__(self, pid, call, number):
        self.pid = pid
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
             "-e", f"inject={call}:signal=SIGKILL:when={number}", "-p", str(pid)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self.attached, 10, "strace to attach")

    def attached(self):
        if self.process.poll() is not None:  # the very first call of some thread was the one
            assert is_dead(self.pid), "strace ended"
            return True
        for status in pathlib.Path(f"/proc/{self.pid}/task").glob("*/status"):
            try:
                if "TracerPid:\t0\n" in status.read_text():
                    return False
            except OSError:
                pass
        return True

    @property
    def killed(self):
        return is_dead(self.pid)

    def close(self):
        self.process.kill()  # the kernel lets go of what it traced
        self.process.wait()


class Crash:
    """A system that is started, struck, and killed again and again on the same folder."""

    def __init__(self, services):
        self.system = System(services)
        self.system.start()
        self.person = self.system.person()
        self.points = 0

    def strike(self, call, number, operation, victim="auth", done=lambda: True):
        """Runs `operation` under a kill point; gives (acknowledged reply or None, was killed). What goes
        on behind the answer is over when `done` says so."""
        killer = Killer(self.system.pid(victim), call, number)
        os.kill(self.system.process.pid, signal.SIGSTOP)  # nothing is restarted in between
        reply = None
        try:
            reply = operation()
        except (OSError, http.client.HTTPException):
            pass
        if reply is None or reply.status >= 300:
            until(lambda: killer.killed, 5, "the kill, for the call failed")
        until(lambda: killer.killed or done(), 10, "the kill or the end of the work")
        killed = killer.killed
        killer.close()
        if reply is not None and reply.status >= 300:
            reply = None
        self.points += killed
        self.restart()
        return reply, killed

    def restart(self):
        pids = self.system.all_pids()
        self.system.process.kill()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.system.process.wait()
        until(lambda: all(is_dead(pid) for pid in pids), 10, "the deaths")
        self.system.log_file.close()
        self.system.start()

    def connections(self):
        found = self.person.call("GET", "/api/connections").json()
        found = found if isinstance(found, list) else found["connections"]
        return {c["id"]: c for c in found}

    def sound(self):
        """Checks copies of the databases, made while nothing runs."""
        assert self.system.stop() == 0
        with tempfile.TemporaryDirectory() as folder:
            for file in self.system.data.glob("*.sqlite*"):
                shutil.copy(file, folder)
            for file in pathlib.Path(folder).glob("*.sqlite"):
                with sqlite3.connect(file) as database:
                    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                    assert database.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.fixture
def crash(catalogue):
    made = Crash(catalogue)
    yield made
    try:
        made.sound()
    finally:
        if made.system.process.poll() is None:
            made.system.stop()
        print(made.system.tail())
        made.system.remove()


def works(access):
    try:
        answer = access.call()
    except (Cut, OSError):
        return False
    assert answer.status in (200, 404), answer
    return answer.status == 200


def every_point(crash, strike):
    """Strikes at the 1st, 2nd … call of each kind until the operation survives."""
    for call in CALLS:
        for number in range(1, MOST + 1):
            if not strike(call, number):
                break
        else:
            assert "KILL_POINTS_MAX" in os.environ, f"{call} goes on behind the last kill point"


@pytest.mark.parametrize("mode", ["zero_knowledge", "managed"])
def test_a_kill_while_connecting_leaves_the_old_state_or_the_new(mode, crash, alpha):
    def strike(call, number):
        before = crash.connections()
        provider_key = key()
        reply, killed = crash.strike(call, number, lambda: crash.person.call(
            "POST", "/api/connections/alpha/api-key",
            {"api_key": provider_key, "key_storage_mode": mode}))
        after = crash.connections()
        made = set(after) - set(before)
        assert set(before) <= set(after) and len(made) <= 1
        point = f"{call} {number}"
        if reply:
            access = Access(crash.person, "alpha", reply.json(), provider_key)
            assert made == {access.id}, f"an acknowledged connection is lost: {point}"
            check(access, provider_key, alpha)
        elif made and mode == "managed":
            identifier = made.pop()
            more = crash.person.call("POST", f"/api/connections/{identifier}/credentials",
                                     {"name": "after the kill"})
            assert more.status == 201, (point, more)
            access = Access(crash.person, "alpha", more.json(), provider_key, after[identifier])
            check(access, provider_key, alpha)
        elif made:
            found = crash.person.call("GET", f"/api/connections/{made.pop()}/credentials").json()
            found = found if isinstance(found, list) else found["credentials"]
            assert len(found) == 1, point
        return killed

    def check(access, provider_key, upstream):
        assert works(access)
        assert upstream.requests[-1].all("authorization") == [f"Bearer {provider_key}"]

    every_point(crash, strike)
    assert crash.points >= 5, f"only {crash.points} kill points"


def test_a_kill_of_the_scheduler_while_revoking_loses_no_revocation(crash, alpha):
    """It shreds the token: auth has committed by then, and a sweep finishes what was cut."""
    def left(prefix):
        path = f"file:{crash.system.data}/tokens.sqlite?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True)) as database:
            return database.execute("SELECT count(*) FROM token_blobs WHERE connection_id LIKE ?",
                                    (prefix + "%",)).fetchone()[0]

    def strike(call, number):
        access = crash.person.connect("alpha", key(), "managed")
        reply, killed = crash.strike(
            call, number, lambda: crash.person.call("DELETE", f"/api/connections/{access.id}"),
            "scheduler", lambda: left(access.id) == 0)
        assert reply, f"a revocation needs no scheduler: {call} {number}"
        assert access.id not in crash.connections() and not works(access)
        return killed

    for call in ("pwrite64", "fsync", "fdatasync", "sendto", "sendmsg", "write"):
        for number in (1, 2, 3):
            if not strike(call, number):
                break
    assert crash.points >= 3, f"only {crash.points} kill points"

    until(lambda: left("") == 0, 60, "the sweep of what was left")


# Calls that could change a file, a folder or what a peer believes.
WRITING = {"write", "writev", "pwrite64", "pwritev", "pwritev2", "fsync", "fdatasync", "msync",
           "sync_file_range", "ftruncate", "truncate", "fallocate", "unlink", "unlinkat", "rename",
           "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "mkdir", "mkdirat",
           "rmdir", "mknod", "mknodat", "fchmod", "chmod", "fchmodat", "fchown", "sendto", "sendmsg",
           "sendmmsg", "sendfile", "splice", "copy_file_range", "io_uring_enter"}


def test_the_kill_points_are_all_the_writing_there_is(catalogue, alpha, tmp_path):
    """What auth calls while it connects, adds and revokes is among the calls that are struck."""
    with System(catalogue) as system:
        person = system.person()
        trace = tmp_path / "trace"
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", str(trace), "-p",
                                   str(system.pid("auth"))], stderr=subprocess.DEVNULL)
        try:
            status = pathlib.Path(f"/proc/{system.pid('auth')}/task")
            until(lambda: all("TracerPid:\t0\n" not in task.read_text()
                              for task in status.glob("*/status")), 10)
            for mode in ("zero_knowledge", "managed"):
                access = person.connect("alpha", key(), mode)
                access.another()
                access.revoke()
        finally:
            tracer.terminate()
            tracer.wait()
        made = set(re.findall(r"(?m)^\d+ +(\w+)\(", trace.read_text()))
        created = re.findall(r"open(?:at)?\([^\n]*O_CREAT[^\n]*", trace.read_text())
    assert {"pwrite64", "fdatasync"} <= made or {"pwrite64", "fsync"} <= made, made
    assert made & WRITING <= set(CALLS), made & WRITING - set(CALLS)
    assert not [line for line in created if ".sqlite" not in line], created


@pytest.mark.parametrize("what", ["a connection", "a credential"])
def test_a_kill_while_revoking_leaves_the_old_state_or_the_new(what, crash, alpha):
    ready = []

    def strike(call, number):
        if not ready:
            first = crash.person.connect("alpha", key(), "managed")
            ready.append((first, first.another()))
        access, other = ready.pop()
        path = f"/api/connections/{access.id}"
        if what == "a credential":
            found = crash.person.call("GET", path + "/credentials").json()
            found = found if isinstance(found, list) else found["credentials"]
            identifier = next(c["id"] for c in found if c["name"] != "another")
            path += f"/credentials/{identifier}"
        reply, killed = crash.strike(call, number, lambda: crash.person.call("DELETE", path))
        is_listed, passes = access.id in crash.connections(), works(access)
        point = f"{call} {number}"
        if what == "a connection":
            assert is_listed == passes == works(other), f"half a revocation: {point}"
        else:
            assert is_listed and works(other), f"more than the credential is gone: {point}"
        if reply:
            assert not passes, f"an acknowledged revocation is lost: {point}"
        elif passes:
            ready.append((access, other))
        return killed

    every_point(crash, strike)
    assert crash.points >= 5, f"only {crash.points} kill points"
