# Do bodies arrive as they were sent? Random bodies from nothing to 8 MiB, with a length and in
# chunks, both ways at once, compared byte for byte; then one GiB to a reader who takes his time,
# while the edge may not grow. Sizes are drawn so that small and large ones are equally common.
# BODIES sets the number of exchanges (default 10,000), STREAM_MIB the size of the long stream.

import os
import random
import threading

from conftest import key
from waiting import throughout, until
from wire import head

BODIES = int(os.environ.get("BODIES", "10000"))
STREAM_MIB = int(os.environ.get("STREAM_MIB", "1024"))
LARGEST = 8 << 20
WORKERS = 4


class Pool:
    """Random bytes to cut bodies from: a body is a place and a size in it."""

    def __init__(self, dice):
        self.bytes = memoryview(dice.randbytes(2 * LARGEST))

    def at(self, place, size):
        return self.bytes[place:place + size]


def draw(dice):
    size = 0 if dice.random() < 0.02 else min(LARGEST, int(2 ** dice.uniform(0, 23.001)))
    size = LARGEST if dice.random() < 0.003 else size
    return dice.randrange(LARGEST), size, dice.random() < 0.5


def exchange(seed, name):
    """What is sent there and back under a name: both sides draw the same."""
    dice = random.Random(f"{seed}-{name}")
    return draw(dice), draw(dice)


def pieces(dice, view):
    """Chunk sizes that range from one byte to the whole."""
    at, most = 0, max(1, int(2 ** dice.uniform(0, 20)))
    most = max(most, len(view) // 200)
    while at < len(view):
        size = dice.randint(1, most)
        yield view[at:at + size]
        at += size


def write(send, dice, view, is_chunked):
    """Sends a body, grouping small writes so that messages are split at odd places."""
    if not is_chunked:
        if len(view):
            send(view)
        return
    group = bytearray()
    for piece in pieces(dice, view):
        group += b"%x\r\n" % len(piece) + piece + b"\r\n"
        if len(group) > 1 << 16:
            send(group)
            group = bytearray()
    send(group + b"0\r\n\r\n")


def framing(is_chunked, size):
    return ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", str(size))


def test_random_bodies_arrive_byte_for_byte_both_ways(alice, alpha, seed):
    pool = Pool(random.Random(seed))
    failures, done, lock = [], [0], threading.Lock()

    def behave(connection):
        while request := connection.head():
            there, back = exchange(seed, request.header("mcp-name"))
            connection.body(request)
            request_body, request.body = request.body, b""
            if request_body != pool.at(*there[:2]):
                with lock:
                    failures.append(("up", there, len(request_body)))
            place, size, is_chunked = back
            name, value = framing(is_chunked, size)
            connection.send(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                            f"{name}: {value}\r\n\r\n".encode())
            write(connection.send, random.Random(size), pool.at(place, size), is_chunked)

    alpha.behaviour = behave
    accesses = [alice.connect("alpha", key()) for _ in range(WORKERS)]

    def run(index):
        dice, access = random.Random(f"{seed}-{index}"), accesses[index]
        wire = access.system.wire(timeout=20)
        for number in range(BODIES // WORKERS):
            there, back = exchange(seed, f"{index}-{number}")
            place, size, is_chunked = there
            wire.send(head("POST", access.target(), access.headers(extra=[
                ("Mcp-Name", f"{index}-{number}"), framing(is_chunked, size)])))
            sender = threading.Thread(
                target=write, args=(wire.send, dice, pool.at(place, size), is_chunked))
            sender.start()
            answer = wire.answer()
            sender.join()
            if answer.status != 200 or not answer.clean:
                failures.append((index, there, answer))
                return
            if answer.body != pool.at(*back[:2]):
                failures.append(("down", back, len(answer.body)))
            with lock:
                done[0] += 1
        wire.close()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    assert done[0] == BODIES // WORKERS * WORKERS


def test_a_stream_of_a_gib_to_a_slow_reader_leaves_the_edge_small(alpha_access, alpha, dice):
    block = dice.randbytes(1 << 20)
    sent = [0]

    def behave(connection):
        while connection.request():
            connection.stream()
            for _ in range(STREAM_MIB):
                connection.chunk(block)
                sent[0] += 1
            connection.finish()

    system = alpha_access.system
    for _ in range(3):
        alpha_access.call()
    alpha.become(behave)
    base, grown, got = system.resident(), [0], [0]

    def check(data):
        at = got[0] % len(block)
        rest = block[at:at + len(data)]
        assert data[:len(rest)] == rest
        if len(data) > len(rest):
            assert data[len(rest):] == block[:len(data) - len(rest)]
        got[0] += len(data)

    with system.wire(timeout=60, receive_buffer=1 << 16) as wire:
        alpha_access.post(wire, b"{}")
        status, headers = wire.head()
        assert status == 200

        def stands_still():
            before = sent[0]
            try:
                throughout(lambda: sent[0] == before, 0.25)
            except AssertionError:
                return False
            return True

        for pause in range(4):  # the reader stops; the whole way back stops with him
            until(stands_still, 20, "the upstream to be held back")
            grown[0] = max(grown[0], system.resident() - base)
            goal = got[0] + (STREAM_MIB << 20) // 8
            while got[0] < goal:
                check(wire.chunk())
            grown[0] = max(grown[0], system.resident() - base)
        number = 0
        while data := wire.chunk():
            check(data)
            number += 1
            if number % 64 == 0:
                grown[0] = max(grown[0], system.resident() - base)
    assert got[0] == STREAM_MIB << 20
    assert grown[0] < 1 << 20, f"the edge grew by {grown[0]} bytes"


def test_a_large_upload_to_a_slow_upstream_leaves_the_edge_small(alpha_access, alpha, dice):
    block, go = dice.randbytes(1 << 20), threading.Event()
    for _ in range(3):
        alpha_access.call()

    def behave(connection):
        connection.head()
        go.wait(30)
        left, connection.upstream.total = 64 << 20, 0
        while connection.upstream.total < left and connection.fill():
            connection.upstream.total += len(connection.buffer)
            connection.buffer.clear()
        connection.answer({"ok": True})

    alpha.become(behave)
    system = alpha_access.system
    base = system.resident()
    with system.wire(timeout=60) as wire:
        wire.send(head("POST", alpha_access.target(), alpha_access.headers(
            extra=[("Content-Length", str(64 << 20))])))
        sent = [0]

        def send():
            for _ in range(64):
                wire.send(block)
                sent[0] += 1

        sender = threading.Thread(target=send)
        sender.start()
        until(lambda: alpha.requests, 5, "the head upstream")
        throughout(lambda: sent[0] < 64, 0.5, "the client is held back")
        grown = system.resident() - base
        go.set()
        assert wire.answer().status == 200
        sender.join()
    assert grown < 1 << 20, f"the edge grew by {grown} bytes"
