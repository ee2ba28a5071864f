# Where are the limits of what a client may send? Request lines, heads, fields, bodies and JSON for
# the API: each just within and just over its limit, and what is over never reaches an upstream.
# How long a client may take is the question of test_slow_peers.py.

import json
import socket

import pytest
from system import PASSWORD
from wire import Cut, head


def status(wire):
    try:
        return wire.answer().status
    except (Cut, OSError):
        return None


def line_of(count, access):
    """A request line of `count` bytes, line end not counted."""
    start = f"POST {access.path}?"
    return start + "x" * (count - len(start) - len(" HTTP/1.1")) + " HTTP/1.1"


@pytest.mark.parametrize("count, fits", [(7900, True), (8192, True), (8200, False), (30000, False)])
def test_a_request_line_may_be_eight_kib_long(count, fits, alpha_access, alpha):
    lines = head("X", "X", alpha_access.headers(extra=[("Content-Length", "2")])).split(b"\r\n")
    with alpha_access.system.wire() as wire:
        wire.send(b"\r\n".join([line_of(count, alpha_access).encode(), *lines[1:]]) + b"{}")
        answered = status(wire)
    if fits:
        assert answered != 414, "it is within the limit"
    else:
        assert answered == 414 and not alpha.connections


@pytest.mark.parametrize("size, fits", [(30 << 10, True), (33 << 10, False), (200 << 10, False)])
def test_a_head_may_be_thirty_two_kib_large(size, fits, alpha_access, alpha):
    extra = [("X-A", "b" * 8000)] * (size // 8006) + [("X-A", "b" * (size % 8006))]
    with alpha_access.system.wire() as wire:
        try:
            wire.send(head("POST", alpha_access.path, alpha_access.headers(
                extra=[*extra, ("Content-Length", "2")])) + b"{}")
        except OSError:
            pass
        answered = status(wire)
    assert answered == (200 if fits else 431)
    assert fits or not alpha.connections


@pytest.mark.parametrize("count, fits", [(100, True), (101, False), (1000, False)])
def test_a_head_may_have_a_hundred_fields(count, fits, alpha_access, alpha):
    own = len(alpha_access.headers()) + 1
    extra = [("X-A", "b")] * (count - own) + [("Content-Length", "2")]
    with alpha_access.system.wire() as wire:
        try:
            wire.send(head("POST", alpha_access.path, alpha_access.headers(extra=extra)) + b"{}")
        except OSError:
            pass
        answered = status(wire)
    assert answered == (200 if fits else 431)


@pytest.mark.parametrize("path, limit", [("/api/auth/login", 64 << 10), ("/api/auth/register", 64 << 10),
                                         ("/webhooks/stripe", 1 << 20)])
def test_a_body_for_the_api_has_a_limit(path, limit, system):
    for size, is_chunked in ((limit + 1, False), (limit + 1, True), (1 << 30, False)):
        framing = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(size))
        with system.wire() as wire:
            wire.send(head("POST", path, [("Host", system.host), framing,
                                          ("Content-Type", "application/json")]))
            data = b" " * min(size, 2 << 20)
            try:
                wire.send(b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n" if is_chunked else data)
            except OSError:
                pass
            assert status(wire) in (413, None, 503)


def test_json_for_the_api_has_a_greatest_depth_and_no_double_keys(system):
    person = system.person()
    person.token = None
    deep = b'{"email":' + b"[" * 100 + b"]" * 100 + b"}"
    double = json.dumps({"email": "a@example.org"}).encode()[:-1] + \
        f',"password":"{PASSWORD}","password":"x"}}'.encode()
    for data in (deep, double, b"[" * 60000, b"{", b"\xff", b"nul"):
        with system.wire() as wire:
            wire.send(head("POST", "/api/auth/login", [
                ("Host", system.host), ("Content-Type", "application/json"),
                ("Content-Length", str(len(data)))]) + data)
            answer = wire.answer()
        assert answer.status == 400 and set(answer.json()) >= {"error", "message"}, answer


def test_hundreds_of_slow_heads_do_not_keep_others_out(alpha_access, alpha):
    system, sockets = alpha_access.system, []
    for _ in range(500):
        sock = socket.create_connection(system.address)
        sock.sendall(b"POST /mcp/al")
        sockets.append(sock)
    for _ in range(50):
        assert alpha_access.call().status == 200
    for sock in sockets:
        sock.close()
