# What can a hostile upstream do? Each behaviour here must end as an error or as a visible cut,
# never as a clean answer, and no byte of it may reach another tenant or a later request.
# The word POISON marks what nobody may ever receive. The upstream is the same for both people,
# so that sharing a connection between them would show.

import threading

import pytest
from upstream import OK, well_behaved
from waiting import until
from wire import Cut

POISON = b"POISON"
PING = b'{"jsonrpc":"2.0","id":"seven","method":"ping"}'
EVIL = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\nPOISON"
START = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def tenants(alice, bob):
    """Two strangers with connections to the same service."""
    return alice.connect("alpha", "key-of-alice"), bob.connect("alpha", "key-of-bob", "managed")


def once(*pieces, then="close"):
    """Answers the first request with raw bytes; afterwards closes, or waits for the edge to."""
    def behave(connection):
        if connection.request() is None:
            return
        for piece in pieces:
            connection.send(piece)
        if then == "wait":
            connection.wait_for_end(30)
    return behave


# Wholly malformed heads: nothing of them may reach the client, so the answer is a 502.
HEADS = {
    "two equal lengths": START + b"Content-Length: 6\r\nContent-Length: 6\r\n\r\nPOISON",
    "two different lengths": START + b"Content-Length: 6\r\nContent-Length: 2\r\n\r\nPOISON",
    "a length and chunked": START + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
                            b"6\r\nPOISON\r\n0\r\n\r\n",
    "chunked and a length": START + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n"
                            b"6\r\nPOISON\r\n0\r\n\r\n",
    "a list of lengths": START + b"Content-Length: 6, 6\r\n\r\nPOISON",
    "a length with a plus": START + b"Content-Length: +6\r\n\r\nPOISON",
    "a negative length": START + b"Content-Length: -6\r\n\r\nPOISON",
    "an empty length": START + b"Content-Length:\r\n\r\nPOISON",
    "a length over 2^64": START + b"Content-Length: 18446744073709551622\r\n\r\nPOISON",
    "chunked twice": START + b"Transfer-Encoding: chunked, chunked\r\n\r\n6\r\nPOISON\r\n0\r\n\r\n",
    "an unknown coding": START + b"Transfer-Encoding: xchunked\r\n\r\n6\r\nPOISON\r\n0\r\n\r\n",
    "gzip and chunked": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n6\r\nPOISON\r\n0\r\n\r\n",
    "a folded header": START + b"X-A: b\r\n POISON\r\nContent-Length: 6\r\n\r\nPOISON",
    "a bare line feed": START + b"X-A: b\nX-B: c\r\nContent-Length: 6\r\n\r\nPOISON",
    "a bare carriage return": START + b"X-A: b\rX-B: c\r\nContent-Length: 6\r\n\r\nPOISON",
    "a NUL in a header": START + b"X-A: b\0\r\nContent-Length: 6\r\n\r\nPOISON",
    "a blank before a colon": START + b"Content-Length : 6\r\n\r\nPOISON",
    "a line without a colon": START + b"POISON\r\nContent-Length: 6\r\n\r\nPOISON",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 6\r\n\r\nPOISON",
    "a status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 6\r\n\r\nPOISON",
    "a status that is a word": b"HTTP/1.1 abc OK\r\nContent-Length: 6\r\n\r\nPOISON",
    "a status of 99": b"HTTP/1.1 099 OK\r\nContent-Length: 6\r\n\r\nPOISON",
    "another protocol": b"SSH-2.0-POISON\r\n",
    "the second version of HTTP": b"HTTP/2.0 200 OK\r\nContent-Length: 6\r\n\r\nPOISON",
    "nothing at all": b"",
    "half a head": START + b"Content-Len",
    "a switch of protocols": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
                             b"Connection: Upgrade\r\n\r\nPOISON",
    "too many header fields": START + b"X-A: b\r\n" * 500 + b"Content-Length: 6\r\n\r\nPOISON",
    "a header of 128 KiB": START + b"X-A: " + b"b" * (1 << 17) + b"\r\nContent-Length: 6\r\n\r\nPOISON",
}
# Bodies that end wrongly: the client may have seen a part, and must see that it was cut.
BODIES = {
    "a length that is not reached": START + b"Content-Length: 1000\r\n\r\nhalf",
    "a missing last chunk": START + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    "half a chunk": START + b"Transfer-Encoding: chunked\r\n\r\nff\r\nhalf",
    "no line end after the last chunk": START + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    "a bad chunk size": START + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n-4\r\nPOISON\r\n0\r\n\r\n",
    "a chunk with a sign": START + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n+6\r\nPOISON\r\n0\r\n\r\n",
    "a chunk longer than its size": START + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhaPOISON\r\n0\r\n\r\n",
    "a chunk size over 2^64": START + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
                              b"10000000000000006\r\nPOISON\r\n0\r\n\r\n",
    "bare line feeds in chunks": START + b"Transfer-Encoding: chunked\r\n\r\n4\nhalf\n0\n\n",
    "endless extensions": START + b"Transfer-Encoding: chunked\r\n\r\n"
                          + b"1;" + b"x" * 5000 + b"\r\nh\r\n0\r\n\r\n",
    "surplus after the length": START + b"Content-Length: 4\r\n\r\nhalfPOISON",
    "surplus after the last chunk": START + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r\nPOISON",
    "a second answer at once": START + b"Content-Length: 4\r\n\r\nhalf" + EVIL,
}
# The same, but the body comes in a segment of its own after the head went on.
LATER = {
    "a length that is not reached": (b"Content-Length: 1000\r\n\r\n", b"half"),
    "a missing last chunk": (b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nhalf\r\n"),
    "half a chunk": (b"Transfer-Encoding: chunked\r\n\r\n", b"ff\r\nhalf"),
    "a bad chunk size": (b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nhalf\r\nPOISON\r\n0\r\n\r\n"),
    "a missing line end": (b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nhalf0\r\n\r\n"),
}


def post(access, extra=()):
    """One POST on a connection of its own; None when the edge closed without an answer."""
    with access.system.wire() as wire:
        access.post(wire, PING, "header", extra)
        try:
            return wire.answer()
        except Cut:
            return None


def innocents_are_served(tenants, upstream):
    upstream.behaviour = well_behaved
    for access in (tenants[1], tenants[0], tenants[1]):
        answer = post(access)
        assert answer.status == 200 and answer.clean and POISON not in answer.body
        assert answer.json()["result"] == {"bytes": len(PING)}


@pytest.mark.parametrize("row", HEADS)
def test_a_malformed_answer_becomes_a_502(row, tenants, alpha):
    alpha.behaviour = once(HEADS[row])
    answer = post(tenants[0])
    assert answer.status == 502, answer
    assert POISON not in answer.body and answer.clean
    assert answer.json()["error"]["code"] == -32003
    assert answer.json()["id"] == "seven"
    assert len(alpha.requests) == 1, "a POST is never sent twice"
    innocents_are_served(tenants, alpha)


@pytest.mark.parametrize("row", BODIES)
def test_a_body_that_ends_wrongly_never_looks_whole(row, tenants, alpha):
    alpha.behaviour = once(BODIES[row])
    answer = post(tenants[0])
    assert answer is None or answer.status == 502 or not answer.clean, answer
    assert answer is None or POISON not in answer.body
    assert len(alpha.requests) == 1
    innocents_are_served(tenants, alpha)


@pytest.mark.parametrize("row", LATER)
def test_a_body_that_goes_wrong_after_its_head_is_cut(row, tenants, alpha):
    first, second = LATER[row]
    passed = threading.Event()

    def behave(connection):
        connection.request()
        connection.send(START + first)
        passed.wait(10)
        connection.send(second)

    alpha.behaviour = behave
    with tenants[0].system.wire() as wire:
        tenants[0].post(wire, PING)
        threading.Timer(0.2, passed.set).start()
        try:
            answer = wire.answer()
        except Cut:
            answer = None
        assert answer is None or answer.status == 502 or not answer.clean, answer
    innocents_are_served(tenants, alpha)


@pytest.mark.parametrize("wait", [0, 0.05], ids=["at once", "a moment later"])
def test_an_unasked_answer_on_an_idle_connection_goes_nowhere(wait, tenants, alpha):
    sent = threading.Event()

    def behave(connection):
        connection.request()
        connection.send(OK)
        if wait:
            connection.socket.settimeout(wait)
            connection.fill()  # nothing comes: this is the pause
        try:
            connection.send(EVIL)
            sent.set()
            connection.wait_for_end(10)
        except OSError:
            sent.set()

    alpha.behaviour = behave
    wire = tenants[0].system.wire()
    tenants[0].post(wire, PING)
    answer = wire.answer()
    assert answer.body == b"{}" or not answer.clean or answer.status == 502
    assert sent.wait(10)
    alpha.behaviour = well_behaved
    for _ in range(3):
        try:
            tenants[0].post(wire, PING)
            answer = wire.answer()
        except (Cut, OSError):  # what came too early may end the client's connection
            wire = tenants[0].system.wire()
            continue
        assert answer.status in (200, 502) and POISON not in answer.body
        if answer.status == 200:
            assert answer.json()["result"] == {"bytes": len(PING)}
    wire.close()
    innocents_are_served(tenants, alpha)


def endless(first, piece):
    def behave(connection):
        connection.request()
        connection.send(first)
        while True:
            connection.send(piece)
    return behave


ENDLESS = {
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"),
    "header fields": (START, b"X-A: b\r\n"),
    "one header line": (START + b"X-A: ", b"b" * 1000),
    "a reason phrase": (b"HTTP/1.1 200 ", b"O" * 1000),
    "blank lines": (b"", b"\r\n"),
}


@pytest.mark.parametrize("row", ENDLESS)
def test_an_endless_head_is_cut_within_ten_seconds(row, tenants, alpha):
    alpha.behaviour = endless(*ENDLESS[row])
    before = tenants[0].system.resident()
    answer = post(tenants[0])
    assert answer.status == 502 and answer.clean
    assert alpha.connections[0].ended.wait(5) or alpha.connections[0].closed
    assert tenants[0].system.resident() - before < 4 << 20
    innocents_are_served(tenants, alpha)


def test_endless_trailers_are_cut(tenants, alpha):
    alpha.behaviour = endless(START + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n")
    answer = post(tenants[0])
    assert answer is None or answer.status == 502 or not answer.clean
    innocents_are_served(tenants, alpha)


def test_a_few_interim_answers_are_allowed(tenants, alpha):
    alpha.behaviour = once(b"HTTP/1.1 100 Continue\r\n\r\n" * 2, OK, then="wait")
    answer = post(tenants[0])
    assert answer.status == 200 and answer.body == b"{}" and answer.clean


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_goes_nowhere(status, tenants, alpha, beta):
    target = f"http://127.0.0.1:{beta.port}/mcp".encode()
    alpha.behaviour = once(b"HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n"
                           % (status, target))
    answer = post(tenants[0])
    assert answer.status == 502 and answer.header("location") is None
    assert not beta.connections and len(alpha.requests) == 1


def test_what_only_concerns_the_upstream_does_not_reach_the_client(tenants, alpha):
    hidden = [("Set-Cookie", "a=b"), ("Alt-Svc", 'h3=":443"'), ("Strict-Transport-Security", "max-age=1"),
              ("Location", "http://elsewhere.example/"), ("Connection", "x-secret"), ("X-Secret", "1"),
              ("Keep-Alive", "timeout=5"), ("Proxy-Authenticate", "Basic"), ("Upgrade", "h2c")]
    kept = [("Retry-After", "3"), ("Cache-Control", "private")]

    def behave(connection):
        while connection.request():
            connection.answer({}, hidden + kept)

    alpha.behaviour = behave
    answer = post(tenants[0])
    assert answer.status == 200
    for name in ("set-cookie", "alt-svc", "strict-transport-security", "location", "x-secret",
                 "proxy-authenticate", "upgrade"):
        assert answer.header(name) is None, name
    assert answer.header("retry-after") == "3"


def test_tenants_never_share_a_connection_nor_an_answer(tenants, alpha, dice):
    """The upstream answers with the key it was shown, and now and then says more than asked.

    What it says too early may meet the next request of the same tenant, who talks to nobody else;
    another tenant must never see a byte of it."""
    rolls, lock = [dice.random() for _ in range(5000)], threading.Lock()

    def behave(connection):
        shown = set()
        while request := connection.request():
            shown.add(request.header("authorization"))
            assert len(shown) == 1, "two tenants on one connection"
            connection.answer({"key": request.header("authorization"),
                               "body": request.body.decode()})
            with lock:
                roll = rolls.pop() if rolls else 1
            if roll < 0.1:
                connection.answer({"key": request.header("authorization"), "body": "unasked"})
            elif roll < 0.2:
                return

    alpha.behaviour = behave
    wrong, counts = [], [0, 0, 0, 0]

    def run(index):
        access = tenants[index % 2]
        wire = access.system.wire()
        for number in range(1000):
            body = b'{"id":"%d-%d","method":"ping"}' % (index, number)
            try:
                access.post(wire, body)
                answer = wire.answer()
            except (Cut, OSError):
                wire.close()
                wire = access.system.wire()
                continue
            if answer.status == 200 and answer.clean:
                counts[index] += 1
            if tenants[1 - index % 2].key.encode() in answer.body:
                wrong.append(answer)
            if not answer.clean:
                wire.close()
                wire = access.system.wire()
        wire.close()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:3]
    assert min(counts) > 500, counts
    assert not alpha.faults
