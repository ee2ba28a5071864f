# Can the master key be changed while everybody goes on? A rotation from end to end with the real
# tool: requests never fail, auth is killed in the middle and goes on, every row opens afterwards, the
# old key goes only when nothing needs it, and a key that is missing is an alarm. ROTATION_ROWS is the
# number of managed connections of the measurement (default 5000); with ROTATION_KILL_POINTS=all auth is
# killed at every one of its writes, not at a selection.

import hashlib
import json
import os
import pathlib
import secrets
import shutil
import signal
import stat
import subprocess
import threading

import pytest
from conftest import key
from system import BIN
from test_kills import Crash, Killer
from waiting import pause, until

ROWS = int(os.environ.get("ROTATION_ROWS", "5000"))


def fingerprint(key_text):
    return hashlib.sha256(key_text.encode()).hexdigest()[:16]


class Keys:
    """The keys file of a system, and the tool."""

    def __init__(self, system):
        self.system, self.path = system, system.data / "managed-keys.json"

    def read(self):
        return [entry["key"] for entry in json.loads(self.path.read_text())]

    def fingerprints(self):
        return [fingerprint(text) for text in self.read()]

    def write(self, keys):
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps([{"key": text} for text in keys]))
        draft.chmod(0o600)
        draft.rename(self.path)

    def append(self):
        """A fresh key, active from the next reload on; gives its fingerprint."""
        made = subprocess.run([BIN / "bindery", "generate-key"], capture_output=True, check=True)
        fresh = made.stdout.decode().strip()
        self.write([*self.read(), fresh])
        return fingerprint(fresh)

    def start(self, *words, file=True):
        command = [BIN / "bindery", "rotate-keys", *(["--keys-file", self.path] if file else []), *words]
        return subprocess.Popen(command, env=self.system.environment, cwd="/", stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def tool(self, *words, file=True, seconds=300):
        process = self.start(*words, file=file)
        out, err = process.communicate(timeout=seconds)
        return process.returncode, out.decode(), err.decode()

    def events(self, *words):
        status, out, err = self.tool("--json", *words)
        return status, [json.loads(line) for line in out.splitlines()], err

    def status(self):
        """What `bindery status` says of auth, and how it ends."""
        done = subprocess.run([BIN / "bindery", "status", "--json"], env=self.system.environment,
                              capture_output=True, timeout=30)
        answer = {item["service"]: item["answer"] for item in json.loads(done.stdout)}["auth"]
        return answer, done.returncode

    def held(self):
        return self.status()[0]["keys"]["fingerprints"]

    def rows(self):
        counts = {}
        for row in self.status()[0]["keys"]["rows"]:
            counts[row["fingerprint"]] = counts.get(row["fingerprint"], 0) + row["count"]
        return counts

    def seed(self, count):
        subprocess.run([BIN / "rotation-rows", "seed", self.system.data, self.path, str(count)],
                       check=True, timeout=600)

    def check(self):
        """Opens every managed connection with the keys in the file."""
        done = subprocess.run([BIN / "rotation-rows", "check", self.system.data, self.path],
                              capture_output=True, timeout=600)
        return json.loads(done.stdout)


def logged(system, event):
    lines = [line for line in system.log.read_bytes().splitlines() if f'"{event}"'.encode() in line]
    return [json.loads(line) for line in lines]


def readiness(system):
    status, body = system.fetch(system.ops["auth"], "/readyz")
    return status, json.loads(body)


def further(access):
    """A new credential from the wrap under the master key alone."""
    reply = access.person.call("POST", f"/api/connections/{access.id}/credentials", {"name": "more"})
    return reply.status


def image(system):
    return {path.name: path.read_bytes() for path in system.data.glob("*.json*")}


def test_from_one_key_to_the_next(own_system, alpha):
    system = own_system()
    keys, person = Keys(system), system.person()
    managed, sealed = person.connect("alpha", key(), "managed"), person.connect("alpha", key())
    old = keys.fingerprints()[0]
    assert keys.rows() == {old: 1} and keys.held() == [old]
    status, out, err = keys.tool()
    assert (status, err) == (0, "") and out == f"all 1 rows are under {old}\n"
    assert keys.tool("--remove", old)[0] == 1, "the only key stays"

    new = keys.append()
    before = image(system)
    status, events, _ = keys.events("--dry-run")
    assert status == 0 and events == [{"event": "plan", "active": new, "load": [new], "rewrap": 1,
                                       "missing": []}]
    status, out, err = keys.tool("--remove", old, "--dry-run")
    assert status == 1 and "1 rows are under it" in err
    assert image(system) == before and keys.held() == [old], "a dry run changes nothing"

    status, _, err = keys.tool("--remove", old)
    assert status == 1 and "1 rows are under it (connections.managed_wrap)" in err
    assert keys.fingerprints() == [old, new]
    status, events, _ = keys.events()
    assert status == 0 and events[-1]["event"] == "ended" and events[-1]["state"] == "completed"
    assert events[-1]["done"] == 1 and events[-1]["removable"] == [old]
    assert keys.rows() == {new: 1} and keys.held() == [old, new]
    assert managed.call().status == sealed.call().status == 200 and further(managed) == 201

    status, _, err = keys.tool("--remove", new)
    assert status == 1 and "active" in err
    status, _, err = keys.tool("--remove", "0123456789abcdef")
    assert status == 1 and "no such key" in err
    keys.path.chmod(0o400)
    before = os.stat(keys.path)
    status, out, err = keys.tool("--remove", old)
    assert (status, out, err) == (0, f"removed {old}; auth holds {new}\n", "")
    after = os.stat(keys.path)
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert keys.fingerprints() == [new] == keys.held()
    assert set(image(system)) == {"managed-keys.json", "signing-keys.json"}
    assert managed.call().status == sealed.call().status == 200 and further(managed) == 201
    os.kill(system.pid("auth"), signal.SIGKILL)
    until(lambda: further(managed) == 201, 30, "auth with the new key alone")
    text = system.log.read_bytes() + system.metrics()
    for secret in keys.read():
        assert secret.encode() not in text


def test_a_signal_is_enough_and_a_bad_file_changes_nothing(own_system, alpha):
    system = own_system()
    keys, person = Keys(system), system.person()
    access = person.connect("alpha", key(), "managed")
    good = keys.read()

    def reload():
        count = len(logged(system, "reloading"))
        os.kill(system.pid("auth"), signal.SIGHUP)
        until(lambda: len(logged(system, "reloading")) > count)

    keys.write([*good, "ab" * 31])
    reload()
    [line] = until(lambda: logged(system, "master_keys_not_reloaded"))
    assert line["entry"] == 2 and line["setting"] == "MANAGED_ENCRYPTION_KEYS_FILE"
    keys.write([secrets.token_hex(32)])
    reload()
    line = until(lambda: logged(system, "master_keys_not_reloaded")[1:])[0]
    assert line["reason"] == "key_needed" and line["fingerprint"] == fingerprint(good[0])
    assert keys.held() == [fingerprint(good[0])] and further(access) == 201
    status, _, err = keys.tool()
    assert status == 78 and fingerprint(good[0]) in err and "1 rows" in err

    keys.write(good)
    new = keys.append()
    reload()
    until(lambda: keys.held() == [fingerprint(good[0]), new])
    person.connect("alpha", key(), "managed")
    assert keys.rows() == {fingerprint(good[0]): 1, new: 1}


def test_a_missing_key_is_an_alarm(own_system, alpha):
    system = own_system()
    keys, person = Keys(system), system.person()
    access = person.connect("alpha", key(), "managed")
    old = keys.read()
    assert keys.status()[1] == 0 and readiness(system)[1]["degraded"] == {}
    assert system.stop() == 0
    keys.write([secrets.token_hex(32)])
    system.start()
    until(lambda: readiness(system)[1]["degraded"] == {"keys": "master_key_missing"}, 30)
    assert readiness(system)[0] == 200, "everything else goes on"
    alarm = until(lambda: logged(system, "master_key_missing"))[0]
    assert (alarm["level"], alarm["fingerprint"], alarm["rows"]) == ("error", fingerprint(old[0]), 1)
    assert b"bindery_auth_orphaned_rows 1" in system.metrics()
    answer, status = keys.status()
    assert status == 1 and answer["degraded"] == {"keys": "master_key_missing"} and answer["ready"]
    shown = subprocess.run([BIN / "bindery", "status"], env=system.environment, capture_output=True)
    assert f"key {fingerprint(old[0])} MISSING, 1 rows do not open".encode() in shown.stdout
    assert access.call().status == 200, "its credential opens it"
    status, out, _ = keys.tool()
    assert status == 1 and "1 rows do not open" in out
    [line] = logged(system, "rotation_row_unreadable")
    assert line["row"] == access.id[:8]

    keys.write([*old, *keys.read()])
    status, out, _ = keys.tool()
    assert status == 0 and "re-wrapped 1 rows" in out, "the key is back"
    until(lambda: readiness(system)[1]["degraded"] == {}, 30, "the end of the alarm")
    assert keys.status()[1] == 0 and further(access) == 201


def test_files_that_are_refused(own_system, tmp_path):
    system = own_system()
    keys = Keys(system)
    place = pathlib.Path(system.folder) / "tree"
    (place / "deep").mkdir(parents=True)
    (place / ".git").mkdir()

    def refused(path, word):
        done = subprocess.run([BIN / "bindery", "rotate-keys", "--keys-file", path], cwd=place,
                              env=system.environment, capture_output=True, timeout=30)
        assert done.returncode == 78 and word in done.stderr.decode(), (path, done)
        assert not done.stdout

    copy = place / "deep" / "keys.json"
    shutil.copy(keys.path, copy)
    refused(copy, "git work tree")
    refused("deep/keys.json", "git work tree")
    (place / ".git").rmdir()
    keys.path.chmod(0o640)
    refused(keys.path, "mode 640")
    keys.path.chmod(0o600)
    link = place / "link.json"
    link.symlink_to(keys.path)
    refused(link, "link")
    other = place / "other.json"
    other.write_text(json.dumps([{"key": "cd" * 32}]))
    other.chmod(0o600)
    refused(other, f"only in the file: {fingerprint('cd' * 32)}; only in auth: {keys.held()[0]}")
    other.write_text(json.dumps([{"key": "cd" * 32}, {"key": "00" * 32}]))
    refused(other, "entry 2 is all zero")

    old, _ = keys.fingerprints()[0], keys.append()
    assert keys.tool()[0] == 0
    both = keys.fingerprints()
    shutil.copy(keys.path, other)
    done = subprocess.run([BIN / "bindery", "rotate-keys", "--keys-file", other, "--remove", old],
                          env=system.environment, capture_output=True, timeout=30)
    assert done.returncode == 1 and "auth still finds it in its own" in done.stderr.decode(), done
    assert keys.fingerprints() == both == keys.held(), "a copy is changed in vain"
    assert system.stop() == 0
    status, _, err = keys.tool()
    assert status == 1 and "auth does not answer" in err


def test_held_and_slowed_down(own_system):
    system = own_system()
    keys = Keys(system)
    keys.seed(400)
    new = keys.append()
    assert "no rotation is under way" in keys.tool("--pause", file=False)[2]
    watcher = keys.start("--rate", "100", "--json")
    until(lambda: 0 < keys.rows().get(new, 0) < 400)
    status, out, _ = keys.tool("--pause", file=False)
    assert status == 0 and out.startswith("paused at ")
    out, _ = watcher.communicate(timeout=30)
    assert watcher.returncode == 0 and json.loads(out.splitlines()[-1])["event"] == "held"
    done = until(lambda: keys.rows())[new]
    os.kill(system.pid("auth"), signal.SIGKILL)
    until(lambda: keys.status()[0] is not None, 30)
    pause(1)
    assert keys.rows()[new] == done < 400, "held over a restart"
    status, _, err = keys.tool("--remove", keys.fingerprints()[0])
    assert status == 1 and "a rotation is under way" in err
    assert keys.tool("--resume", "--rate", "100000", file=False)[0] == 0
    assert keys.rows() == {new: 400}
    assert keys.check() == {"opened": 400, "refused": 0, "stale": 0}


class Traffic:
    """Calls without end; what fails is kept."""

    def __init__(self, accesses):
        self.failures, self.calls, self.over = [], 0, threading.Event()
        self.threads = [threading.Thread(target=self.loop, args=(access,)) for access in accesses]
        for thread in self.threads:
            thread.start()

    def loop(self, access):
        while not self.over.is_set():
            try:
                answer = access.call()
                if answer.status != 200:
                    self.failures.append(answer)
            except Exception as error:  # whatever it is, the request failed
                self.failures.append(error)
            self.calls += 1

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_nobody_notices_though_auth_is_killed_again_and_again(own_system, alpha, dice):
    system = own_system()
    keys, person = Keys(system), system.person()
    accesses = [person.connect("alpha", key(), mode) for mode in ("managed", "zero_knowledge") * 2]
    keys.seed(2000)
    old, new = keys.fingerprints()[0], keys.append()
    traffic = Traffic(accesses)
    try:
        watcher = keys.start("--rate", "200", "--json")
        kills = 0
        for _ in range(5):
            until(lambda: "auth" in system.pids() and further(accesses[0]) == 201, 60, "auth")
            pause(dice.uniform(0, 0.4))
            os.kill(system.pid("auth"), signal.SIGKILL)
            kills += 1
        until(lambda: keys.status()[0] is not None, 60, "auth")
        assert keys.rows().get(old, 0) > 0, "killed in the middle, not behind it"
        late = person.connect("alpha", key(), "managed")
        out, err = watcher.communicate(timeout=120)
    finally:
        traffic.stop()
    events = [json.loads(line) for line in out.splitlines()]
    assert watcher.returncode == 0 and events[-1]["state"] == "completed", (events[-3:], err)
    assert traffic.failures == [] and traffic.calls > 100, traffic.failures[:3]
    assert kills == 5 and keys.rows() == {new: 2003}
    assert keys.check() == {"opened": 2003, "refused": 0, "stale": 0}
    status, out, err = keys.tool("--remove", old)
    assert status == 0, err
    assert keys.check() == {"opened": 2003, "refused": 0, "stale": 0}
    for access in [*accesses, late]:
        assert access.call().status == 200
    assert further(accesses[0]) == further(late) == 201
    print(f"{traffic.calls} calls, {kills} kills")


def numbers():
    """1, 2, 3 … or ever larger steps."""
    number = 1
    while True:
        yield number
        number += 1 if os.environ.get("ROTATION_KILL_POINTS") == "all" else 1 + number // 3


def test_a_kill_of_auth_at_any_write_leaves_every_row_readable(catalogue):
    crash = Crash(catalogue)
    system, keys, points, rows = crash.system, Keys(crash.system), {}, 600
    try:
        keys.seed(rows)
        for call in ("pwrite64", "fdatasync", "fsync", "ftruncate", "write", "sendto", "sendmsg"):
            for number in numbers():
                old, new = keys.fingerprints()[-1], keys.append()
                killer = Killer(system.pid("auth"), call, number)
                os.kill(system.process.pid, signal.SIGSTOP)  # nothing is restarted in between
                watcher = keys.start("--json")
                until(lambda: killer.killed or watcher.poll() is not None, 60, "the kill or the end")
                killed = killer.killed
                killer.close()
                crash.restart()
                out, err = watcher.communicate(timeout=60)
                point = f"{call} {number}"
                if watcher.returncode != 0:
                    assert killed, (point, out, err)
                    status, _, err = keys.tool()
                    assert status == 0, (point, err)
                assert keys.rows() == {new: rows}, point
                assert keys.check() == {"opened": rows, "refused": 0, "stale": 0}, point
                status, _, err = keys.tool("--remove", old)
                assert status == 0, (point, err)
                if not killed:
                    break
                points.setdefault(call, []).append(number)
        crash.sound()
    finally:
        if system.process.poll() is None:
            system.stop()
        print(system.tail())
        system.remove()
    print({call: (len(found), found[-1]) for call, found in points.items()})
    assert sum(map(len, points.values())) >= 10, points


CALLS = ("openat", "flock", "write", "sendto", "fchown", "fchmod", "fsync", "rename", "unlink")


def test_a_kill_of_the_tool_leaves_the_file_whole(own_system, alpha):
    system = own_system()
    keys, person = Keys(system), system.person()
    access = person.connect("alpha", key(), "managed")
    points = {}
    for call in CALLS:
        for number in range(1, 200):
            new = keys.append()
            assert keys.tool()[0] == 0
            before = keys.fingerprints()
            old = before[0]
            command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                       "-e", f"inject={call}:signal=SIGKILL:when={number}",
                       BIN / "bindery", "rotate-keys", "--keys-file", keys.path, "--remove", old]
            done = subprocess.run(command, env=system.environment, cwd="/", capture_output=True,
                                  timeout=60)
            point = f"{call} {number}"
            assert keys.fingerprints() in (before, before[1:]), point
            mode = os.stat(keys.path)
            assert stat.S_IMODE(mode.st_mode) == 0o600 and mode.st_uid == os.geteuid(), point
            assert keys.held()[-1] == new and further(access) == 201, point
            if old in keys.fingerprints():
                status, _, err = keys.tool("--remove", old)
                assert status == 0, (point, err)
            else:
                assert keys.tool()[0] == 0, point
            assert keys.fingerprints() == keys.held() == [new], point
            assert set(image(system)) <= {"managed-keys.json", "signing-keys.json"}, point
            if done.returncode == 0:
                break
            points[call] = number
        else:
            raise AssertionError(f"{call} goes on behind the last kill point")
    print(points)
    assert {"write", "fchmod", "fsync", "rename"} <= set(points), points


def test_how_fast_rows_come_under_a_new_key(own_system):
    system = own_system()
    keys = Keys(system)
    keys.seed(ROWS)
    old, new = keys.fingerprints()[0], keys.append()
    status, events, err = keys.events()
    assert status == 0, err
    assert events[-1]["done"] == ROWS and keys.rows() == {new: ROWS}
    print(f"{ROWS} rows, {events[-1]['rows_per_second']} rows/s")
    assert keys.check() == {"opened": ROWS, "refused": 0, "stale": 0}
    assert keys.tool("--remove", old)[0] == 0
