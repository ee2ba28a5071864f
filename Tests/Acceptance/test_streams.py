# How do event streams behave on their way through the edge? The first event at once, no buffering,
# heartbeats only between events, an end that is felt on both sides within a second, a cut that
# is visible as a cut, and sessions that belong to the connection that opened them.

import random
import statistics
import threading
import time

import pytest
from test_requests import CHUNKS
from waiting import pause, until
from wire import Cut, Seconds, head

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


@pytest.fixture(scope="module")
def rival(bob):
    """Another person's connection to the same service as Alice's."""
    return bob.connect("alpha", "key-of-a-rival")


def streaming(hold):
    """Opens a stream with one event and keeps it until `hold` is set."""
    def behave(connection):
        while connection.request():
            connection.stream()
            connection.chunk(b"event: message\ndata: {\"n\":1}\n\n")
            connection.held = True
            while not hold.wait(0.01):
                if connection.ended.is_set():
                    return
            connection.chunk(b"data: {\"n\":2}\n\n")
            connection.finish()
    return behave


@pytest.fixture
def hold():
    event = threading.Event()
    yield event
    event.set()


def watch(connection):
    """Notices in a thread of its own when the edge closes its side."""
    threading.Thread(target=connection.wait_for_end, daemon=True).start()
    return connection


def open_stream(access, upstream, method="POST", form="url"):
    wire = access.system.wire()
    if method == "POST":
        access.post(wire, PING, form)
    else:
        access.get(wire, form)
    status, headers = wire.head()
    assert status == 200
    return wire, {n.lower(): v for n, v in headers}


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_stream_is_announced_as_one_and_its_first_event_comes_at_once(
        method, alpha_access, alpha, hold):
    alpha.behaviour = streaming(hold)
    wire, headers = open_stream(alpha_access, alpha, method)
    with wire:
        assert headers["content-type"] == "text/event-stream"
        assert headers["x-accel-buffering"] == "no"
        assert "no-store" in headers["cache-control"]
        assert "content-encoding" not in headers and "content-length" not in headers
        assert wire.event() == b'event: message\ndata: {"n":1}\n\n'
        hold.set()
        assert wire.event() == b'data: {"n":2}\n\n'
        assert wire.event() is None, "a clean end"


def test_events_are_passed_on_within_milliseconds(alpha_access, alpha):
    times, ready = [], threading.Semaphore(0)

    def behave(connection):
        connection.request()
        connection.stream()
        for number in range(200):
            ready.acquire(timeout=10)
            times.append(time.monotonic())
            connection.chunk(b"data: %d\n\n" % number)
        connection.finish()

    alpha.behaviour = behave
    wire, _ = open_stream(alpha_access, alpha)
    delays = []
    with wire:
        for number in range(200):
            ready.release()
            assert wire.event() == b"data: %d\n\n" % number
            delays.append(time.monotonic() - times[number])
    assert statistics.quantiles(delays, n=100)[98] < 0.02, sorted(delays)[-5:]


def test_events_split_at_every_byte_arrive_unchanged(alpha_access, alpha):
    events = ("id: 7\nevent: message\ndata: {\"ü\":\"€😀\"}\n\n"
              "retry: 100\ndata: a\ndata: b\n\n").encode() * 3

    def behave(connection):
        connection.request()
        connection.stream()
        for at in range(len(events)):
            connection.chunk(events[at:at + 1])
        connection.finish()

    alpha.behaviour = behave
    wire, _ = open_stream(alpha_access, alpha)
    got = b""
    with wire:
        while data := wire.chunk():
            got += data
    assert got == events


def test_a_heartbeat_never_stands_inside_an_event(alpha_access, alpha):
    """The upstream stops in the middle of an event for longer than the edge stays silent."""
    halves = [b"data: {\"a\":", b"1}\n", b"\n"]
    done = threading.Event()

    def behave(connection):
        connection.request()
        connection.stream()
        connection.chunk(halves[0])
        pause(17)
        connection.chunk(halves[1])
        connection.chunk(halves[2])
        done.set()
        connection.wait_for_end(60)

    alpha.behaviour = behave
    wire, _ = open_stream(alpha_access, alpha)
    wire.socket.settimeout(60)
    got = b""
    with wire, Seconds() as took:
        while not done.is_set() or b"\n\n" not in got:
            got += wire.chunk()
        assert got.startswith(b"".join(halves)), got
        while b":" not in got.removeprefix(b"".join(halves)):
            got += wire.chunk()
        assert took.now < 60
    rest = got.removeprefix(b"".join(halves))
    assert rest.startswith(b":") and rest.endswith(b"\n"), "a comment between events"


MARK = b"\xef\xbb\xbf"
MARKED = {"whole": ([MARK + b"data: 1\n\n"], b"data: 1\n\n"),
          "in pieces": ([MARK[:1], MARK[1:2], MARK[2:] + b"data: 1\n\n"], b"data: 1\n\n"),
          "alone": ([MARK, b"data: 1\n\n"], b"data: 1\n\n"),
          "no mark": ([MARK[:2], b"data: 1\n\n"], MARK[:2] + b"data: 1\n\n")}


def test_a_byte_order_mark_behind_a_heartbeat_is_left_out(alpha_access, alpha):
    """In the first place it is no text; behind a comment of ours it would spoil the first event."""
    beaten = threading.Event()

    def behave(connection):
        pieces, _ = MARKED[connection.request().header("mcp-name")]
        connection.stream()
        beaten.wait(40)
        for piece in pieces:
            connection.chunk(piece)
            pause(0.02)
        connection.finish()

    alpha.behaviour = behave
    wires = {}
    for row in MARKED:
        wires[row] = alpha_access.system.wire(timeout=40)
        alpha_access.post(wires[row], PING, extra=[("Mcp-Name", row)])
        assert wires[row].head()[0] == 200
    for wire in wires.values():
        assert wire.chunk() == b":\n\n"
    beaten.set()
    for row, wire in wires.items():
        with wire:
            got = b"".join(iter(wire.chunk, b""))
        assert got.removeprefix(b":\n\n") == MARKED[row][1], row


@pytest.mark.parametrize("how", ["close", "reset", "half-close and close"])
def test_a_client_that_is_gone_ends_the_upstream_exchange_within_a_second(
        how, alpha_access, alpha, hold):
    alpha.behaviour = streaming(hold)
    wire, _ = open_stream(alpha_access, alpha)
    assert wire.event()
    connection = watch(until(lambda: alpha.live, 2)[0])
    with Seconds() as took:
        if how == "reset":
            wire.reset()
        else:
            if how != "close":
                wire.socket.shutdown(1)
            wire.close()
        assert connection.ended.wait(5)
    assert took.value < 1.0


def test_a_client_that_leaves_before_the_answer_ends_the_upstream_exchange(alpha_access, alpha):
    arrived = threading.Event()

    def behave(connection):
        connection.request()
        arrived.set()
        connection.wait_for_end(20)

    alpha.behaviour = behave
    with alpha_access.system.wire() as wire:
        alpha_access.post(wire, PING)
        assert arrived.wait(5)
    with Seconds() as took:
        assert alpha.connections[0].ended.wait(5)
    assert took.value < 1.0


def test_a_client_that_leaves_in_the_middle_of_its_body_ends_the_upstream_exchange(
        alpha_access, alpha):
    with alpha_access.system.wire() as wire:
        wire.send(head("POST", alpha_access.target(), alpha_access.headers(
            extra=[("Content-Length", "100000")])) + b"x" * 50000)
        until(lambda: alpha.bytes_seen > 40000, 5, "half of the body upstream")
    assert alpha.connections[0].ended.wait(2)
    assert not alpha.requests[0].clean


@pytest.mark.parametrize("row", CHUNKS)
def test_a_later_bad_chunk_ends_the_upstream_exchange_uncleanly_and_at_once(
        row, alpha_access, alpha):
    with alpha_access.system.wire() as wire:
        wire.send(head("POST", alpha_access.target(), alpha_access.headers(
            extra=[("Transfer-Encoding", "chunked")])) + b"4\r\n{\"a\"\r\n")
        until(lambda: alpha.bytes_seen > 0 and alpha.requests, 5, "the head upstream")
        wire.send(CHUNKS[row] + head("POST", alpha_access.target(), [
            *alpha_access.headers(), ("Content-Length", "2")]) + b"{}")
        with Seconds() as took:
            assert alpha.connections[0].ended.wait(5)
        assert took.value < 1.0
        try:
            assert wire.answer().status == 400
        except Cut:
            pass
        assert not wire.end(5), "nothing after a broken body is read as a request"
    assert not alpha.requests[0].clean and len(alpha.requests) == 1


@pytest.mark.parametrize("how", ["close", "reset", "in a chunk"])
def test_a_stream_cut_by_the_upstream_is_seen_as_a_cut(how, alpha_access, alpha):
    def behave(connection):
        connection.request()
        connection.stream()
        connection.chunk(b"data: 1\n\n")
        if how == "in a chunk":
            connection.send(b"ff\r\ndata: half")
        if how == "reset":
            connection.socket.settimeout(0.2)
            connection.fill()
            connection.reset()

    alpha.behaviour = behave
    wire, _ = open_stream(alpha_access, alpha)
    with wire, pytest.raises(Cut):
        while wire.chunk():
            pass


def test_an_early_answer_ends_a_connection_whose_body_was_not_read(alpha_access, alpha):
    def behave(connection):
        connection.head()
        connection.answer({"error": "early"}, status="413 Too Large")

    alpha.behaviour = behave
    following = head("POST", alpha_access.path, alpha_access.headers(
        extra=[("Content-Length", "2")])) + b"{}"
    with alpha_access.system.wire() as wire:
        wire.send(head("POST", alpha_access.target(), alpha_access.headers(
            extra=[("Content-Length", "1000000")])) + b"{")
        assert wire.answer().status in (413, 502)
        try:
            wire.send(following)
        except OSError:
            pass
        assert not wire.end(5), "the rest of a body is never a request"
    assert len(alpha.requests) == 1


def opening(session):
    def behave(connection):
        while request := connection.request():
            headers = [] if request.header("mcp-session-id") else [("Mcp-Session-Id", session)]
            connection.answer({"seen": request.header("mcp-session-id")}, headers)
    return behave


def test_a_session_id_is_tagged_on_the_way_out_and_bare_on_the_way_in(alpha_access, alpha):
    alpha.behaviour = opening("upstream-session-1")
    tagged = alpha_access.call().header("mcp-session-id")
    assert tagged and tagged != "upstream-session-1"
    assert all(0x21 <= ord(c) <= 0x7E for c in tagged)
    for form in ("url", "header"):
        answer = alpha_access.call(form=form, extra=[("Mcp-Session-Id", tagged)])
        assert answer.status == 200 and answer.json() == {"seen": "upstream-session-1"}
    another = alpha_access.another()
    assert another.call(extra=[("Mcp-Session-Id", tagged)]).json() == {"seen": "upstream-session-1"}


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize("kind", ["of another person", "bare", "cut short", "changed", "empty tag",
                                  "of another session"])
def test_a_session_id_without_its_valid_tag_goes_nowhere(method, kind, alpha_access, rival, alpha):
    alpha.become(opening("upstream-session-2"))
    own = alpha_access.call().header("mcp-session-id")
    alpha.become(opening("upstream-session-3"))
    third = alpha_access.call().header("mcp-session-id")
    foreign = rival.call().header("mcp-session-id")
    swapped = third.replace("upstream-session-3", "upstream-session-2")
    value = {"of another person": foreign, "bare": "upstream-session-2", "cut short": own[:-1],
             "changed": own[:-1] + ("A" if own[-1] != "A" else "B"),
             "empty tag": own.replace("upstream-session-2", ""),
             "of another session": swapped}[kind]
    assert value != own
    alpha.reset()
    extra = [("Mcp-Session-Id", value)]
    with alpha_access.system.wire() as wire:
        if method == "GET":
            alpha_access.get(wire, extra=extra)
        elif method == "DELETE":
            wire.send(head("DELETE", alpha_access.target(), alpha_access.headers(extra=extra)))
        else:
            alpha_access.post(wire, PING, extra=extra)
        assert wire.answer(method).status == 404
    assert not alpha.requests and alpha.bytes_seen == 0


def test_the_end_of_a_session_reaches_the_upstream(alpha_access, alpha):
    alpha.behaviour = opening("upstream-session-4")
    tagged = alpha_access.call().header("mcp-session-id")
    with alpha_access.system.wire() as wire:
        wire.send(head("DELETE", alpha_access.target(),
                       alpha_access.headers(extra=[("Mcp-Session-Id", tagged)])))
        assert wire.answer().status == 200
    assert alpha.requests[-1].method == "DELETE"
    assert alpha.requests[-1].header("mcp-session-id") == "upstream-session-4"


def test_many_streams_at_once_each_get_their_own_events(alpha_access, alpha):
    def behave(connection):
        while request := connection.request():
            name = request.header("mcp-name")
            connection.stream()
            for number in range(20):
                connection.chunk(b"data: %s-%d\n\n" % (name.encode(), number))
            connection.finish()

    alpha.behaviour = behave
    wires = [alpha_access.system.wire() for _ in range(200)]
    for number, wire in enumerate(wires):
        alpha_access.post(wire, PING, extra=[("Mcp-Name", f"stream{number}")])
    order = list(enumerate(wires))
    random.Random(1).shuffle(order)
    for number, wire in order:
        assert wire.head()[0] == 200
        for event in range(20):
            assert wire.event() == b"data: stream%d-%d\n\n" % (number, event)
        assert wire.event() is None
        wire.close()
