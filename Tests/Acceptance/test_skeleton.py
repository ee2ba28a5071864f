# What is common to the four services, without `bindery up`: they start in any order, before the
# databases exist; they shut themselves in; they say when they are ready; they end when told.

import itertools
import json
import os
import pathlib
import signal
import socket
import sqlite3
import struct
import subprocess

import pytest
from system import BIN, SERVICES, free_port
from waiting import until

ORDERS = [("edge", "auth", "billing", "scheduler"), ("scheduler", "billing", "auth", "edge"),
          ("auth", "scheduler", "edge", "billing"), ("billing", "edge", "scheduler", "auth")]
PEERS = {"edge": {"auth", "billing", "scheduler"}, "auth": {"scheduler"},
         "billing": {"auth", "scheduler"}, "scheduler": {"auth"}}
CANARY = "c0ffee" * 10 + "beef"


class Services:
    """The four executables, each started by hand."""

    def __init__(self, folder):
        self.folder, self.running = folder, {}
        self.data, self.run = folder / "data", folder / "run"
        self.ops = {name: free_port() for name in SERVICES}
        self.common = {"PATH": os.environ["PATH"], "BINDERY_DATA_DIR": str(self.data),
                       "BINDERY_RUN_DIR": str(self.run), "EDGE_LISTEN": f"127.0.0.1:{free_port()}"}

    def start(self, name, settings=None, **how):
        settings = {f"{name.upper()}_OPS_LISTEN": f"127.0.0.1:{self.ops[name]}",
                    **({} if name == "edge" else {f"{name.upper()}_LISTEN": "none"}),
                    **({"MANAGED_ENCRYPTION_MASTER_KEY": CANARY} if name == "auth" else {}),
                    **(settings or {})}
        settings.pop("SCHEDULER_LISTEN", None)
        with open(self.folder / f"{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(
                [str(BIN / f"bindery-{name}")], cwd="/", stderr=log, stdin=subprocess.DEVNULL,
                env=self.common | settings, **how)
        return self.running[name]

    def migrate(self):
        subprocess.run([str(BIN / "bindery"), "migrate"], env=self.common, check=True, cwd="/",
                       capture_output=True, timeout=30)

    def ask(self, name, path="/readyz", method="GET"):
        with socket.create_connection(("127.0.0.1", self.ops[name]), timeout=10) as wire:
            wire.sendall(f"{method} {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: wire.recv(65536), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def state(self, name):
        try:
            return json.loads(self.ask(name)[1])
        except OSError:
            return None

    def is_ready(self, name):
        return (self.state(name) or {}).get("ready") is True

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def end(self):
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def services(tmp_path):
    made = Services(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_services_start_in_any_order_and_find_each_other(order, services):
    for name in order:
        services.start(name)
    for name in order:
        until(lambda: services.state(name), 20, f"the ops port of {name}")
        assert services.state(name)["broken"], f"{name} is ready without a database"
        assert services.ask(name)[0] == 503 and services.ask(name, "/livez")[0] == 200
    services.migrate()
    for name in order:
        until(lambda: services.is_ready(name), 20, f"{name} to be ready")
    for name in order:
        until(lambda: {p for p, here in services.state(name)["peers"].items() if here} == PEERS[name],
              10, f"the peers of {name}")
    assert all(services.log(name).count("database_awaited") in (1, 2) for name in order)


def test_a_lost_peer_is_told_of_and_found_again(services):
    services.migrate()
    for name in SERVICES:
        services.start(name)
    until(lambda: services.is_ready("edge") and services.state("edge")["peers"]["scheduler"], 20,
          "the peer")
    services.running["scheduler"].kill()
    until(lambda: services.state("edge")["peers"]["scheduler"] is False, 5, "its loss to show")
    assert services.is_ready("edge"), "a missing peer is no reason to be unready"
    services.running["scheduler"].wait()
    services.start("scheduler")
    until(lambda: services.state("edge")["peers"]["scheduler"], 10, "its return")


@pytest.mark.parametrize("name", SERVICES)
def test_a_process_is_shut_in(name, services):
    services.migrate()
    process = services.start(name)
    until(lambda: services.is_ready(name), 20, "readiness")
    proc = pathlib.Path(f"/proc/{process.pid}")
    for task in (proc / "task").iterdir():
        status = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines()
                      if ":\t" in line)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", task
    core = next(line for line in (proc / "limits").read_text().splitlines()
                if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    assert CANARY.encode() not in (proc / "environ").read_bytes()
    assert CANARY.encode() not in (proc / "cmdline").read_bytes()
    sockets = list(services.run.glob("*.sock"))
    assert sockets and all(path.stat().st_mode & 0o777 == 0o660 for path in sockets)
    assert services.run.stat().st_mode & 0o777 == 0o750
    assert '"event":"starting"' in services.log(name)


@pytest.mark.parametrize("name", SERVICES)
def test_a_schema_that_is_not_known_ends_the_process(name, services):
    services.migrate()
    with sqlite3.connect(services.data / "bindery.sqlite") as database:
        database.execute("PRAGMA wal_autocheckpoint=0")
        columns = [row[1] for row in database.execute("PRAGMA table_info(schema_migrations)")]
        row = dict(zip(columns, database.execute(
            "SELECT * FROM schema_migrations ORDER BY number DESC LIMIT 1").fetchone()))
        row |= {"number": 9000, "needs": 9000, "name": "9000_later"}
        row = {column: row[column] for column in columns}
        database.execute(
            f"INSERT INTO schema_migrations ({','.join(row)}) VALUES ({','.join('?' * len(row))})",
            list(row.values()))
    process = services.start(name)
    assert process.wait(20) == 78
    assert '"event":"schema_refused","reason":"newer"' in services.log(name)


@pytest.mark.parametrize("name", SERVICES)
def test_a_stop_before_readiness_is_obeyed_at_once(name, services):
    process = services.start(name)
    until(lambda: services.state(name), 20, "the ops port")
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0


@pytest.mark.parametrize("name", SERVICES)
def test_readiness_is_told_to_a_supervisor(name, services):
    services.migrate()
    ours, theirs = os.pipe()
    services.ops[name] = 0
    services.start(name, {"BINDERY_READY_FD": str(theirs)}, pass_fds=[theirs])
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        lines = pipe.read().splitlines()
    assert len(lines) == 1
    told = json.loads(lines[0])
    assert told["service"] == name
    services.ops[name] = int(told["ops"].rpartition(":")[2])
    assert services.is_ready(name)
    if name == "edge":
        assert services.common["EDGE_LISTEN"] in told["listen"]


@pytest.mark.parametrize("fatal", [signal.SIGSEGV, signal.SIGABRT, signal.SIGILL])
def test_a_crash_prints_no_memory_and_leaves_no_core(fatal, services, tmp_path):
    services.migrate()
    process = services.start("auth", {"SWIFT_BACKTRACE": "enable=yes,color=no"})
    until(lambda: services.is_ready("auth"), 20, "readiness")
    before = services.log("auth")
    process.send_signal(fatal)
    assert process.wait(20) == -fatal
    assert services.log("auth").removeprefix(before) == ""
    assert not [path for path in tmp_path.rglob("*") if "core" in path.name]


def test_a_signal_that_a_parent_left_ignored_is_heard(services):
    services.migrate()
    shell = f'trap "" HUP TERM; exec "{BIN}/bindery-scheduler"'
    services.running["scheduler"] = process = subprocess.Popen(
        ["/bin/sh", "-c", shell], cwd="/", stderr=open(services.folder / "scheduler.log", "ab"),
        env=services.common | {"SCHEDULER_OPS_LISTEN": f"127.0.0.1:{services.ops['scheduler']}"})
    until(lambda: services.is_ready("scheduler"), 20, "readiness")
    process.send_signal(signal.SIGHUP)
    until(lambda: '"event":"reloading"' in services.log("scheduler"), 5, "the reload")
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_standard_descriptors_that_are_closed_stay_out_of_the_databases(services):
    services.migrate()
    shell = f'exec "{BIN}/bindery-scheduler" <&- >&- 2>&-'
    services.running["scheduler"] = process = subprocess.Popen(
        ["/bin/sh", "-c", shell], cwd="/", env=services.common | {
            "SCHEDULER_OPS_LISTEN": f"127.0.0.1:{services.ops['scheduler']}"})
    until(lambda: services.is_ready("scheduler"), 20, "readiness")
    for number in (0, 1, 2):
        assert os.readlink(f"/proc/{process.pid}/fd/{number}") == "/dev/null"


def test_the_ops_port_answers_three_questions_and_changes_nothing(services):
    services.migrate()
    services.start("scheduler")
    until(lambda: services.is_ready("scheduler"), 20, "readiness")
    for path in ("/livez", "/readyz", "/metrics"):
        assert services.ask("scheduler", path)[0] == 200
        assert services.ask("scheduler", path, "POST")[0] == 405
    assert services.ask("scheduler", "/debug")[0] == 404
    metrics = services.ask("scheduler", "/metrics")[1].decode()
    for name in ("bindery_scheduler_wal_bytes", "bindery_scheduler_peer_connected",
                 "bindery_scheduler_ready 1", "bindery_scheduler_uptime_seconds"):
        assert name in metrics


def frame(kind, payload, version=1, number=1):
    return struct.pack(">IBBQI", 14 + len(payload), version, kind, number, 2000) + payload


def greeting(service="operator", **more):
    value = {"service": service, "build": "test", "lowest": 1, "highest": 1, **more}
    return frame(1, json.dumps(value).encode(), 0, 0)


def test_strangers_at_an_rpc_socket_end_their_own_connection_alone(services):
    services.migrate()
    process = services.start("scheduler")
    until(lambda: services.is_ready("scheduler"), 20, "readiness")
    fds = pathlib.Path(f"/proc/{process.pid}/fd")

    def knock(*pieces):
        with socket.socket(socket.AF_UNIX) as wire:
            wire.settimeout(10)
            wire.connect(str(services.run / "scheduler.rpc.sock"))
            for piece in pieces:
                wire.sendall(piece)
            wire.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: wire.recv(65536), b""))

    status = b"\x06status{}"
    good = knock(greeting(), frame(2, status))
    assert b'"ready":true' in good
    before = len(list(fds.iterdir()))
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\0" * 4, greeting("nobody"),
                    greeting(lowest=2, highest=3), greeting() + greeting(),
                    greeting() + frame(9, b""), greeting() + frame(3, b"{}"), frame(2, status)):
        assert b'"ready":true' not in knock(garbage)
    assert b"unknown_call" in knock(greeting(), frame(2, b"\x05dance{}"))
    assert b"not_allowed" in knock(greeting(), frame(2, b"\x05shred" + b'{"connectionID":"x"}'))
    assert b"malformed_request" in knock(greeting("auth"), frame(2, b"\x05shred{}"))
    for size in itertools.chain(range(1, 30), [64, 200]):
        pieces = [(greeting() + frame(2, status))[i:i + size] for i in range(0, 400, size)]
        assert b'"ready":true' in knock(*pieces)
    until(lambda: len(list(fds.iterdir())) <= before, 10, "no descriptor to leak")
    assert services.is_ready("scheduler")


KNOCK = """
import socket, sys
wire = socket.socket(socket.AF_UNIX)
wire.settimeout(10)
wire.connect(sys.argv[1])
try:
    sys.stdout.write(str(len(wire.recv(100))))
except ConnectionResetError:
    sys.stdout.write("0")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to become somebody else")
def test_another_user_hears_nothing_even_where_the_modes_are_open(services):
    services.migrate()
    services.start("scheduler")
    until(lambda: services.is_ready("scheduler"), 20, "readiness")
    path = services.run / "scheduler.rpc.sock"
    for place in [path, *path.parents][:-1]:
        if place.stat().st_uid == 0 and place.is_relative_to(services.folder.parents[1]):
            place.chmod(0o777)
    for user, heard in ((65534, b"0"), (0, None)):
        done = subprocess.run(
            ["python3", "-c", KNOCK, str(path)], user=user, group=user, extra_groups=[],
            capture_output=True, timeout=20, check=True)
        assert done.stdout == heard if heard else int(done.stdout) > 18
    assert "rpc_peer_refused" in services.log("scheduler")
