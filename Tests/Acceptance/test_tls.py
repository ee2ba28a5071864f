# Is TLS what it should be on both sides? The edge with a certificate of its own, read again on
# SIGHUP; and upstreams whose certificates are good, expired, for another name, by a stranger, or
# too old in protocol: the key goes to the good one alone, and the others see no request.

import os
import signal
import socket
import ssl
import subprocess
import threading

import pytest
from conftest import key
from system import System, service
from upstream import Connection, Upstream
from waiting import until
from wire import Wire

WORLD = ("rsa:2048", "-nodes", "-sha256")


def openssl(*arguments, folder):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def authority(folder, name):
    openssl("req", "-x509", "-newkey", *WORLD, "-keyout", f"{name}.key", "-out", f"{name}.pem",
            "-days", "30", "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
            folder=folder)


def certificate(folder, name, by, alternatives, days=20, subject="test", start=None):
    (folder / f"{name}.ext").write_text(
        (f"subjectAltName={alternatives}\n" if alternatives else "") + "basicConstraints=CA:FALSE\n")
    openssl("req", "-new", "-newkey", *WORLD, "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={subject}", folder=folder)
    span = ["-days", str(days)]
    if start:  # `openssl ca` is the one that can make a certificate of the past
        (folder / "index.txt").write_text("")
        (folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nrand_serial=yes\nnew_certs_dir=.\n"
            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-config", "ca.cnf", "-cert", f"{by}.pem", "-keyfile", f"{by}.key",
                "-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.ext", "-notext",
                "-startdate", start[0], "-enddate", start[1], folder=folder)
        return
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key",
            "-CAcreateserial", "-out", f"{name}.pem", "-extfile", f"{name}.ext", *span,
            folder=folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("tls")
    authority(made, "ours")
    authority(made, "stranger")
    good = "DNS:localhost,IP:127.0.0.1"
    certificate(made, "good", "ours", good)
    certificate(made, "good2", "ours", good)
    certificate(made, "by a stranger", "stranger", good)
    certificate(made, "of another name", "ours", "DNS:elsewhere.example")
    certificate(made, "with a common name only", "ours", None, subject="localhost")
    certificate(made, "expired", "ours", good, start=("20200101000000Z", "20210101000000Z"))
    certificate(made, "of the future", "ours", good, start=("20400101000000Z", "20410101000000Z"))
    authority(made, "self-signed")
    return made


class SecureUpstream(Upstream):
    """A scripted upstream behind TLS."""

    def __init__(self, folder, name, greatest=None):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        if greatest:
            self.context.set_ciphers("ALL:@SECLEVEL=0")
            self.context.minimum_version = self.context.maximum_version = greatest
        self.resumed = 0
        super().__init__()

    def serve(self, connection):
        raw = connection.socket
        try:
            secure = self.context.wrap_socket(raw, server_side=True)
        except (OSError, ssl.SSLError):
            connection.ended.set()
            raw.close()
            return
        self.resumed += secure.session_reused
        inner = Connection(self, secure)
        with self.lock:
            self.connections[self.connections.index(connection)] = inner
        super().serve(inner)


BAD = ["by a stranger", "of another name", "with a common name only", "expired", "of the future",
       "self-signed"]


@pytest.fixture(scope="module")
def upstreams(folder):
    made = {name: SecureUpstream(folder, name) for name in ["good", *BAD]}
    made["too old"] = SecureUpstream(folder, "good", ssl.TLSVersion.TLSv1_1)
    yield made
    for upstream in made.values():
        upstream.close()


@pytest.fixture(scope="module")
def secure(folder, upstreams):
    services = [service(f"s{number}", f"https://localhost:{upstream.port}/mcp")
                for number, upstream in enumerate(upstreams.values())]
    services.append(service("address", f"https://127.0.0.1:{upstreams['good'].port}/mcp"))
    with System(services, {"UPSTREAM_CA_FILE": str(folder / "ours.pem")}) as system:
        yield system


@pytest.fixture(scope="module")
def person(secure):
    return secure.person()


def test_a_verified_upstream_is_served_by_name_and_by_address(person, upstreams):
    for name in ("s0", "address"):
        access = person.connect(name, key())
        for _ in range(3):
            assert access.call().status == 200
    assert all(r.all("authorization") for r in upstreams["good"].requests)


@pytest.mark.parametrize("name", [*BAD, "too old"])
def test_an_upstream_that_cannot_be_verified_sees_nothing(name, person, upstreams):
    number = list(upstreams).index(name)
    access = person.connect(f"s{number}", key())
    answer = access.call()
    assert answer.status == 502 and answer.json()["error"]["code"] == -32003
    assert not upstreams[name].requests and upstreams[name].bytes_seen == 0


def test_sessions_with_an_upstream_are_resumed(person, upstreams):
    upstream = upstreams["good"]

    def behave(connection):
        connection.request()
        connection.answer({}, [("Connection", "close")])

    upstream.reset(behave)
    access = person.connect("s0", key())
    before = upstream.resumed
    for _ in range(10):
        assert access.call().status == 200
    assert upstream.resumed - before >= 5, "most handshakes are short"


def test_a_tls_stream_that_is_cut_without_a_farewell_is_a_cut(person, upstreams):
    def behave(connection):
        connection.request()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        raw = socket.socket(fileno=connection.socket.detach())
        raw.close()

    upstreams["good"].reset(behave)
    answer = person.connect("s0", key()).call()
    assert answer.status == 502 or not answer.clean, answer
    upstreams["good"].reset()


def test_the_edge_serves_tls_and_takes_a_new_certificate(folder, scripted, catalogue):
    scripted["alpha"].reset()
    for ending in ("pem", "key"):
        (folder / f"edge.{ending}").write_bytes((folder / f"good.{ending}").read_bytes())
    (folder / "edge.key").chmod(0o600)
    system = System(catalogue, {
        "TLS_CERTIFICATE_FILE": str(folder / "edge.pem"), "TLS_KEY_FILE": str(folder / "edge.key")})
    system.settings["PUBLIC_URL"] = f"https://127.0.0.1:{system.port}"
    system.environment["PUBLIC_URL"] = system.settings["PUBLIC_URL"]
    context = ssl.create_default_context(cafile=folder / "ours.pem")

    def connect(how=context):
        wire = Wire(system.address)
        wire.socket = how.wrap_socket(wire.socket, server_hostname="127.0.0.1")
        return wire

    def shown():
        with connect() as wire:
            return wire.socket.getpeercert()["serialNumber"]

    with system:
        with connect() as wire:
            assert wire.socket.version() in ("TLSv1.3", "TLSv1.2")
            wire.send(b"GET /api/services HTTP/1.1\r\nHost: %s\r\n\r\n" % system.host.encode())
            assert wire.answer("GET").status == 200
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, OSError)):
            connect(old)
        first = shown()
        held = connect()
        for ending in ("pem", "key"):
            (folder / f"edge.{ending}").write_bytes((folder / f"good2.{ending}").read_bytes())
        os.kill(system.pid("edge"), signal.SIGHUP)
        until(lambda: shown() != first, 10, "the new certificate")
        held.send(b"GET /api/services HTTP/1.1\r\nHost: %s\r\n\r\n" % system.host.encode())
        assert held.answer("GET").status == 200, "old connections go on"
        held.close()
        slow = [socket.create_connection(system.address) for _ in range(3)]
        ended = [threading.Event() for _ in slow]

        def wait(sock, event):
            sock.settimeout(30)
            sock.sendall(b"\x16\x03\x01")
            try:
                sock.recv(1)
            except OSError:
                pass
            event.set()

        for sock, event in zip(slow, ended):
            threading.Thread(target=wait, args=(sock, event), daemon=True).start()
        assert all(event.wait(12) for event in ended), "a handshake has ten seconds"
