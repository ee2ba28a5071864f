# Starts the real system in a folder of its own: `bindery up` with a catalogue that names the
# test upstreams, and the REST calls that a person makes. Everything is on the loopback address.
# BINDERY_BIN names the folder of the executables (default: the release build).
# Nothing here reaches into the processes except through what operators and users have.

import http.client
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.parse

from waiting import until
from wire import Wire, head

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BINDERY_BIN", ROOT / ".build" / "release"))
PASSWORD = "correct horse battery staple"
SERVICES = ("edge", "auth", "billing", "scheduler")
counter = itertools.count(1)


given = []


def free_port():
    """A port that nobody uses. It is below those that the kernel gives to whoever asks for any, and a
    name in the kernel keeps it from other runs of these tests until this process ends."""
    first_of_kernel = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(10_000, max(first_of_kernel, 12_000))
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0bindery-test-port-{port}")
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            name.close()
            continue
        given.append(name)
        return port


def service(name, url, transport="streamable-http", validate="none", **api_key):
    return {"id": name, "name": name.title(), "mcp_url": url, "transport": transport,
            "api_key": {"header": "Authorization", "format": "Bearer {key}",
                        "instructions": "Ask the test.", "validate": {"method": validate},
                        **api_key}}


class System:
    """One running Bindery."""

    def __init__(self, services, settings=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bnd"))
        self.data, self.run = self.folder / "data", self.folder / "run"
        self.log = self.folder / "log"
        providers = self.folder / "providers.json"
        providers.write_text(json.dumps({"services": services}))
        self.port = free_port()
        self.ops = {name: free_port() for name in SERVICES}
        keep = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
        self.settings = {
            "BINDERY_DATA_DIR": str(self.data), "BINDERY_RUN_DIR": str(self.run),
            "EDGE_LISTEN": f"127.0.0.1:{self.port}",
            "AUTH_LISTEN": "none", "BILLING_LISTEN": "none",
            "PROVIDERS_FILE": str(providers), "SECRET_ENV_PREFIX": "test",
            "IP_ALLOWLIST": "127.0.0.1", **{f"{n.upper()}_OPS_LISTEN": f"127.0.0.1:{p}"
                                            for n, p in self.ops.items()},
        } | (settings or {})
        self.settings = {k: v for k, v in self.settings.items() if v is not None}
        self.environment = keep | self.settings
        self.process = None

    def start(self, seconds=60):
        self.log_file = open(self.log, "ab")
        self.process = subprocess.Popen(
            [str(BIN / "bindery"), "up"], env=self.environment, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log_file)
        os.set_blocking(self.process.stdout.fileno(), False)
        out = b""

        def ready():
            nonlocal out
            out += self.process.stdout.read() or b""
            assert self.process.poll() is None, f"bindery up ended: {self.tail()}"
            return out.endswith(b"\n")

        until(ready, seconds, "the ready line")
        self.ready_line = out.decode()
        self.origin = out.decode().split()[1]
        self.port = int(self.origin.rsplit(":", 1)[1])
        return self

    def tail(self, count=4000):
        return self.log.read_bytes()[-count:].decode(errors="replace")

    def stop(self, seconds=45):
        """SIGTERM; gives the exit code."""
        if self.process and self.process.poll() is None:
            for pid in [self.process.pid, *self.all_pids()]:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                for pid in self.all_pids():
                    os.kill(pid, signal.SIGKILL)
                self.process.kill()
                self.process.wait()
                raise
        self.log_file.close()
        return self.process.returncode

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        try:
            self.stop()
        finally:
            if error[0] is None:
                self.remove()
            else:
                print(f"the system's folder is kept: {self.folder}\n{self.tail()}")

    def all_pids(self):
        return list(self.pids().values())

    def pids(self):
        """The children of `bindery up` by the name of their executable."""
        found, parent = {}, self.process.pid
        for task in pathlib.Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = task.read_text().split()
            except OSError:
                continue
            for pid in children:
                try:
                    name = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
                except OSError:
                    continue
                found[os.path.basename(name.decode()).removeprefix("bindery-")] = int(pid)
        return found

    def pid(self, name):
        return self.pids()[name]

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def wire(self, **how):
        return Wire(self.address, **how)

    def fetch(self, port, path):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def metrics(self):
        out = b""
        for name, port in self.ops.items():
            try:
                out += self.fetch(port, "/metrics")[1]
            except OSError:
                pass
        return out

    def person(self):
        return Person(self)

    def resident(self, name="edge"):
        """Resident bytes of a service."""
        pages = pathlib.Path(f"/proc/{self.pid(name)}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


def dial(origin, timeout=30):
    """A connection to `origin`, over TLS where it says so; SSL_CERT_FILE names who is trusted then."""
    parts = urllib.parse.urlsplit(origin)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=timeout)


class Reply:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Person:
    """Someone with an account, who uses the REST API through the edge."""

    def __init__(self, system):
        self.system, self.token = system, None
        self.email = f"person{next(counter)}.{os.getpid()}@example.org"
        reply = self.call("POST", "/api/auth/register",
                          {"email": self.email, "password": PASSWORD})
        assert reply.status == 201, reply
        self.token = reply.json()["access_token"]

    def sign_in(self):
        """A token that is new again: one lasts 15 minutes."""
        self.token = None
        reply = self.call("POST", "/api/auth/login", {"email": self.email, "password": PASSWORD})
        assert reply.status == 200, reply
        self.token = reply.json()["access_token"]

    def call(self, method, path, body=None, headers=None):
        connection = dial(self.system.origin)
        headers = {"Host": self.system.host} | (headers or {})
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def connect(self, service, key, mode=None, label=None):
        body = {"api_key": key}
        if mode:
            body["key_storage_mode"] = mode
        if label:
            body["label"] = label
        reply = self.call("POST", f"/api/connections/{service}/api-key", body)
        assert reply.status == 201, reply
        return Access(self, service, reply.json(), key)


class Access:
    """A connection with one of its credentials, as its holder has it."""

    def __init__(self, person, service, made, key, connection=None):
        self.person, self.service, self.key = person, service, key
        self.connection = connection or made["connection"]
        self.id = self.connection["id"]
        self.url, self.api_key = made["secret_url"], made["api_key"]
        self.system = person.system
        self.path = self.url.removeprefix(self.system.settings.get(
            "PUBLIC_URL", self.system.origin))
        self.secret = self.path.rsplit("/", 1)[1]
        assert self.path.startswith(f"/mcp/{service}/"), self.url
        assert len(self.secret) == 86 and self.api_key.endswith(self.secret)

    def another(self, **how):
        """One more credential of the same connection."""
        body = {"name": "another", "credential": self.api_key, **how}
        reply = self.person.call("POST", f"/api/connections/{self.id}/credentials", body)
        assert reply.status == 201, reply
        return Access(self.person, self.service, reply.json(), self.key, self.connection)

    def credentials(self):
        return self.person.call("GET", f"/api/connections/{self.id}/credentials").json()

    def revoke(self):
        reply = self.person.call("DELETE", f"/api/connections/{self.id}")
        assert reply.status == 200, reply
        return reply

    def headers(self, body=b"", form="url", extra=()):
        """The usual request headers of an MCP client."""
        auth = [("Authorization", f"Bearer {self.api_key}")] if form == "header" else []
        return [("Host", self.system.host), *auth,
                ("Accept", "application/json, text/event-stream"),
                ("Content-Type", "application/json"), *extra]

    def target(self, form="url"):
        return self.path if form == "url" else f"/mcp/{self.service}"

    def post(self, wire, body, form="url", extra=()):
        """Sends one POST with a Content-Length on `wire`."""
        length = [("Content-Length", str(len(body)))]
        wire.send(head("POST", self.target(form), self.headers(form=form, extra=[*extra, *length]))
                  + body)

    def call(self, body=b'{"jsonrpc":"2.0","id":1,"method":"ping"}', form="url", extra=()):
        """One POST on a connection of its own."""
        with self.system.wire() as wire:
            self.post(wire, body, form, extra)
            return wire.answer()

    def get(self, wire, form="url", extra=()):
        wire.send(head("GET", self.target(form), [
            ("Host", self.system.host), ("Accept", "text/event-stream"),
            *([("Authorization", f"Bearer {self.api_key}")] if form == "header" else []), *extra]))
