# How do the processes live? One ready line, one address, settings that are refused by name, traffic
# that goes on while other services are stopped, restarts that nobody has to order, and an end that
# lets requests finish. Each test starts a system of its own, because it breaks it.

import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest
from conftest import key
from system import BIN, SERVICES
from waiting import pause, throughout, until
from wire import Cut, Seconds

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


def ready(system, name):
    try:
        return system.fetch(system.ops[name], "/readyz")[0] == 200
    except OSError:
        return False


def test_the_ready_line_carries_the_real_address(own_system, alpha):
    system = own_system({"EDGE_LISTEN": "127.0.0.1:0"})
    assert re.fullmatch(r"ready http://127\.0\.0\.1:[1-9]\d*\n", system.ready_line)
    access = system.person().connect("alpha", key())
    assert access.call().status == 200


def test_every_service_is_alive_and_ready(own_system):
    system = own_system()
    assert set(system.pids()) == set(SERVICES)
    for name in SERVICES:
        for path in ("/livez", "/readyz", "/metrics"):
            assert system.fetch(system.ops[name], path)[0] == 200, (name, path)
        assert system.fetch(system.ops[name], "/else")[0] == 404


BAD_SETTINGS = [("BINDERY_UNKNOWN", "x"), ("EDGE_LISTEN", "nonsense"), ("EDGE_LISTEN", "127.0.0.1:99999"),
                ("SECRET_ENV_PREFIX", "prod"), ("PUBLIC_URL", "http://public.example"),
                ("PUBLIC_URL", "not a url"), ("EDGE_THREADS", "-1"), ("EDGE_THREADS", "+2"),
                ("MANAGED_ENCRYPTION_KEYS", "[]"), ("MANAGED_ENCRYPTION_KEYS", '[{"key":"00"}]'),
                ("MANAGED_ENCRYPTION_KEYS", json.dumps([{"key": "0" * 64}])),
                ("MANAGED_ENCRYPTION_KEYS", json.dumps([{"key": "ab" * 32}] * 2)),
                ("TRUSTED_PROXIES", "10.0.0.0/33"), ("PROVIDERS_FILE", "/nowhere/providers.json"),
                ("TLS_CERTIFICATE_FILE", "/nowhere/cert.pem"), ("LOG_LEVEL", "loud"),
                ("MANAGED_ENCRYPTION_KEYS_FILE", "/nowhere/keys"), ("BLOCK_AFTER_BAD_CREDENTIALS", "many"),
                ("AUTH_LOCAL_ACCOUNTS", "perhaps"), ("MAX_USERS", "1.5")]


@pytest.mark.parametrize("name, value", BAD_SETTINGS, ids=lambda v: str(v)[:40])
def test_a_bad_setting_is_refused_by_name_and_its_value_is_not_shown(name, value, tmp_path):
    done = subprocess.run(
        [str(BIN / "bindery"), "up"], cwd="/", capture_output=True, timeout=30,
        env={"PATH": os.environ["PATH"], "BINDERY_DATA_DIR": str(tmp_path / "d"),
             "BINDERY_RUN_DIR": str(tmp_path / "r"), "EDGE_LISTEN": "127.0.0.1:0", name: value})
    assert done.returncode == 78, done
    text = (done.stderr + done.stdout).decode()
    assert name in text
    if len(value) > 8 and "KEYS" in name and "FILE" not in name:
        assert "abab" not in text and "0000" not in text


@pytest.mark.parametrize("fault", ["mcp_url", "transport", "id"])
def test_a_bad_catalogue_is_refused_naming_the_service_and_the_field(fault, tmp_path):
    entry = {"id": "broken", "name": "B", "mcp_url": "https://broken.example/mcp",
             "transport": "streamable-http"}
    entry[fault] = {"mcp_url": "http://plain.example/mcp", "transport": "pigeon", "id": "Bad Id"}[fault]
    file = tmp_path / "providers.json"
    file.write_text(json.dumps({"services": [entry]}))
    done = subprocess.run(
        [str(BIN / "bindery"), "up"], cwd="/", capture_output=True, timeout=30,
        env={"PATH": os.environ["PATH"], "BINDERY_DATA_DIR": str(tmp_path / "d"),
             "BINDERY_RUN_DIR": str(tmp_path / "r"), "EDGE_LISTEN": "127.0.0.1:0",
             "PROVIDERS_FILE": str(file)})
    assert done.returncode == 78, done
    assert fault in done.stderr.decode()
    if fault != "id":
        assert "broken" in done.stderr.decode()


def test_the_services_speak_for_themselves_from_any_folder():
    for name in ("bindery-edge", "bindery-auth", "bindery-billing", "bindery-scheduler"):
        assert (BIN / name).exists()
    done = subprocess.run([str(BIN / "bindery"), "settings"], cwd="/", capture_output=True,
                          timeout=20, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0
    for setting in ("PUBLIC_URL", "EDGE_LISTEN", "PROVIDERS_FILE", "STRIPE_WEBHOOK_SECRET"):
        assert setting in done.stdout.decode()


@pytest.mark.parametrize("stopped", [("auth",), ("billing",), ("scheduler",),
                                     ("auth", "billing", "scheduler")], ids="+".join)
@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_the_edge_serves_while_others_are_down(stopped, how, own_system, alpha):
    system = own_system()
    person = system.person()
    accesses = [person.connect("alpha", key()), person.connect("alpha", key(), "managed")]
    pids = system.pids()
    os.kill(system.process.pid, signal.SIGSTOP)  # so that nothing is started again
    try:
        for name in stopped:
            os.kill(pids[name], how)
        for _ in range(20):
            for access in accesses:
                for form in ("url", "header"):
                    assert access.call(form=form).status == 200
        if "auth" in stopped and how == signal.SIGKILL:
            with Seconds() as took:
                reply = person.call("POST", "/api/auth/login", {"email": "a@example.org",
                                                                "password": "x" * 12})
            assert reply.status == 503 and int(reply.headers["Retry-After"]) > 0
            assert took.value < 5
        if "billing" in stopped and how == signal.SIGKILL:
            assert person.call("POST", "/webhooks/stripe", {}).status == 503
    finally:
        os.kill(system.process.pid, signal.SIGCONT)
        for name in stopped:
            if how == signal.SIGSTOP:
                os.kill(pids[name], signal.SIGCONT)
    until(lambda: all(ready(system, name) for name in SERVICES), 20, "all services again")
    assert person.call("GET", "/api/me").status == 200
    assert person.connect("alpha", key(), "managed").call().status == 200


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_that_dies_is_started_again_and_found_again(name, own_system, alpha):
    system = own_system()
    person = system.person()
    access = person.connect("alpha", key())
    old = system.pid(name)
    os.kill(old, signal.SIGKILL)
    until(lambda: system.pids().get(name, old) != old, 20, "a new process")
    until(lambda: ready(system, name), 20, "its readiness")

    def all_works():
        try:
            return access.call().status == 200 and person.call("GET", "/api/me").status == 200
        except (Cut, OSError):
            return False

    until(all_works, 20, "the whole way")
    assert person.connect("alpha", key(), "managed").call().status == 200


def test_everything_is_there_again_after_a_clean_stop(own_system, alpha):
    system = own_system()
    person = system.person()
    accesses = [person.connect("alpha", key()), person.connect("alpha", key(), "managed")]
    assert system.stop() == 0
    system.start()
    assert all(access.call().status == 200 for access in accesses)
    assert person.call("GET", "/api/me").status == 200
    reply = person.call("POST", f"/api/connections/{accesses[1].id}/credentials", {"name": "later"})
    assert reply.status == 201, "the master key opens what it sealed before"


def test_the_fingerprint_of_a_master_key_is_a_function_of_its_text(own_system):
    text = "0123456789ABCDEF" * 4
    system = own_system({"MANAGED_ENCRYPTION_KEYS": json.dumps([{"key": text}])})
    system.person().connect("alpha", key(), "managed")
    assert system.stop() == 0
    with sqlite3.connect(system.data / "bindery.sqlite") as database:
        stored = database.execute("SELECT managed_fingerprint FROM connections").fetchone()[0]
    assert stored == hashlib.sha256(text.lower().encode()).hexdigest()[:16]


def test_a_stop_lets_requests_finish_and_ends_streams_cleanly(own_system, alpha):
    system = own_system()
    access = system.person().connect("alpha", key())
    release, arrived = threading.Event(), threading.Semaphore(0)

    def behave(connection):
        while request := connection.request():
            if request.header("mcp-name") == "stream":
                connection.stream()
                connection.chunk(b"data: 1\n\n")
                connection.wait_for_end(40)
            else:
                arrived.release()
                release.wait(20)
                connection.answer({"finished": True})

    alpha.behaviour = behave
    stream, slow = system.wire(timeout=60), system.wire(timeout=60)
    access.post(stream, PING, extra=[("Mcp-Name", "stream")])
    assert stream.head()[0] == 200 and stream.event() == b"data: 1\n\n"
    access.post(slow, PING)
    assert arrived.acquire(timeout=10)
    idle = system.wire()
    with Seconds() as took:
        system.process.send_signal(signal.SIGTERM)
        threading.Timer(1.0, release.set).start()
        answer = slow.answer()
        assert answer.status == 200 and answer.json() == {"finished": True}
        assert stream.event() is None, "a clean end"
        assert system.process.wait(35) == 0
    assert took.value < 32
    assert idle.end(5) == b""
    with pytest.raises(OSError):
        socket.create_connection(system.address, timeout=2).close()


def test_a_second_stop_ends_it_at_once(own_system, alpha):
    system = own_system()
    access = system.person().connect("alpha", key())
    alpha.behaviour = lambda connection: connection.request() and connection.wait_for_end(60)
    wire = system.wire(timeout=60)
    access.post(wire, PING)
    until(lambda: alpha.requests, 5, "the request upstream")
    system.process.send_signal(signal.SIGTERM)
    throughout(lambda: system.process.poll() is None, 0.5, "the drain")
    with Seconds() as took:
        system.process.send_signal(signal.SIGTERM)
        system.process.wait(20)
    assert took.value < 5
    wire.close()


def test_an_edge_that_is_draining_says_that_it_is_not_ready(own_system, alpha):
    system = own_system()
    access = system.person().connect("alpha", key())
    alpha.behaviour = lambda connection: connection.request() and connection.wait_for_end(60)
    with system.wire(timeout=60) as wire:
        access.post(wire, PING)
        until(lambda: alpha.requests, 5, "the request upstream")
        os.kill(system.pid("edge"), signal.SIGTERM)
        until(lambda: not ready(system, "edge"), 5, "not ready")


def test_status_tells_of_all_services_and_what_they_counted(own_system, alpha):
    system = own_system()
    access = system.person().connect("alpha", key())
    for _ in range(3):
        assert access.call().status == 200
    access.revoke()
    assert access.call().status == 404

    def status(*words):
        done = subprocess.run([str(BIN / "bindery"), "status", *words], env=system.environment,
                              cwd="/", capture_output=True, timeout=20)
        assert done.returncode == 0, done
        return done.stdout.decode()

    answers = {a["service"]: a["answer"] for a in json.loads(status("--json"))}
    assert set(answers) == set(SERVICES)
    for name, answer in answers.items():
        assert answer["ready"], name
    counters = answers["edge"]["counters"]
    assert counters["bindery_edge_requests_total"] == 3
    assert counters["bindery_edge_refusals_total"] == 1 and counters["bindery_edge_blocks_total"] == 0
    lines = {line.split()[0]: line for line in status().splitlines()}
    assert ", 1 refusals, 3 requests" in lines["edge"] and "blocks" not in lines["edge"]
    assert "requests" in lines["auth"] and "wal bytes" in lines["scheduler"]


def test_the_routes_of_other_services_lead_to_them(own_system):
    system = own_system()
    person = system.person()
    assert person.call("GET", "/api/me").json()["id"]
    services = person.call("GET", "/api/services").json()
    services = services if isinstance(services, list) else services["services"]
    assert "alpha" in [s["id"] for s in services]
    assert person.call("POST", "/webhooks/stripe", {}).status in (400, 503)
    assert person.call("GET", "/.well-known/oauth-protected-resource/mcp/alpha").status in (200, 404)
    assert person.call("GET", "/elsewhere").status == 404


def test_a_catalogue_read_again_serves_what_is_new(own_system, alpha, beta):
    """SIGHUP reloads the catalogue."""
    system = own_system()
    person = system.person()
    file = system.folder / "providers.json"
    value = json.loads(file.read_text())
    value["services"].append({**value["services"][0], "id": "gamma", "name": "Gamma"})
    file.write_text(json.dumps(value))
    system.process.send_signal(signal.SIGHUP)

    def known():
        return b'"gamma"' in person.call("GET", "/api/services").body

    until(known, 10, "the new service")
    access = person.connect("gamma", key())
    until(lambda: access.call().status == 200, 10, "the new service at the edge")


def test_the_key_files_are_closed_to_all_but_auth(own_system, catalogue, tmp_path, alpha):
    """All services run as one user here; what keeps them apart is the sandbox."""
    file, other, trace = (tmp_path / name for name in ("providers.json", "other.json", "trace"))
    for each in (file, other):
        each.write_text(json.dumps({"services": catalogue}))
    system = own_system({"PROVIDERS_FILE": str(file)})
    starts = {line["service"]: line for line in map(json.loads, system.log.read_bytes().splitlines())
              if line["event"] == "starting" and line["service"] in SERVICES}
    if not starts["edge"]["landlock"]:
        pytest.skip("a kernel without Landlock")
    assert {name: line["key_files_closed"] for name, line in starts.items()} == {
        "edge": True, "billing": True, "scheduler": True, "auth": False}
    access, pid = system.person().connect("alpha", key(), "managed"), system.pid("edge")
    opened = rf'"{file}", [^)]*\) = (-1 )?(\w+)'
    for target, verdict in ((other, r"\d+"), (system.data / "managed-keys.json", "EACCES"),
                            (system.data / "signing-keys.json", "EACCES"),
                            (system.data / "elsewhere", "ENOENT|EACCES")):
        file.unlink()
        file.symlink_to(target)  # the edge is made to open what it should never ask for
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=open,openat",
                                   "-p", str(pid)], stderr=subprocess.DEVNULL)
        try:
            until(lambda: all("TracerPid:\t0\n" not in task.read_text()
                              for task in pathlib.Path(f"/proc/{pid}/task").glob("*/status")), 10)
            os.kill(pid, signal.SIGHUP)
            found = until(lambda: trace.exists() and re.search(opened, trace.read_text()), 10)
        finally:
            tracer.terminate()
            tracer.wait()
        assert re.fullmatch(verdict, found[2]), (target, found[0])
        trace.unlink()
    assert access.call().status == 200


@pytest.mark.parametrize("fault, told", [
    (("gamma", "mcp_url", "http://public.example/"),
     {"provider": "gamma", "field": "mcp_url", "problem": "insecure"}),
    (("gamma", "surplus", "canary-0123456789"),
     {"provider": "gamma", "field": "surplus", "problem": "unknown"}), (None, {})],
    ids=["insecure", "unknown", "no JSON"])
def test_a_bad_catalogue_read_again_changes_nothing_and_says_where(fault, told, own_system, alpha):
    system = own_system()
    access = system.person().connect("alpha", key())
    file = system.folder / "providers.json"
    value = json.loads(file.read_text())
    if fault:
        service, field, bad = fault
        value["services"].append({**value["services"][0], "id": service, field: bad})
    file.write_text(json.dumps(value) if fault else "{")
    system.process.send_signal(signal.SIGHUP)

    def lines():
        found = [json.loads(line) for line in system.log.read_bytes().splitlines()]
        return [line for line in found if line["event"].endswith("_not_reloaded")]

    until(lambda: {line["service"] for line in lines()} == {"edge", "auth", "scheduler"}, 10,
          "all to say it")
    for line in lines():
        assert line["setting"] == "PROVIDERS_FILE"
        assert {n: line.get(n) for n in ("provider", "field", "problem") if n in line} == told
    assert b"canary-0123456789" not in system.log.read_bytes()
    assert access.call().status == 200


def test_idle_services_are_quiet(own_system):
    """No service burns time while nothing happens."""
    system = own_system()

    def ticks():
        total = 0
        for pid in system.all_pids():
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total

    until(lambda: all(ready(system, name) for name in SERVICES), 10)
    before, start = ticks(), time.monotonic()
    pause(3)
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start)
    assert used < 0.05, f"{used:.0%} of a core while idle"
