# Does everybody have a turn? A client that pipelines requests which the edge refuses by itself keeps
# its connection's task busy for as long as bytes wait; others on the same event loop must be
# answered in between. Judged by the order of answers, not by time: the kernel stamps what arrives,
# and the edge is stopped until all requests wait, so a slow machine changes nothing.

import os
import signal
import socket
import struct
import threading

import pytest
from system import System
from waiting import halt, until

REFUSED = 600
SO_TIMESTAMPNS = 35  # of Linux; the socket module does not name it


@pytest.fixture(scope="module")
def one_loop(catalogue):
    """A system whose edge has one event loop."""
    with System(catalogue, {"EDGE_THREADS": "1"}) as running:
        yield running


class Stamped:
    """A connection that notes when the kernel got each piece of the answers."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.pieces = []

    def read(self, answers):
        """Reads until so many answers are there. Pieces that the kernel joined bear the last one's
        time, so none looks older than it is."""
        seen = b""
        while seen.count(b"HTTP/1.1 ") < answers or not seen.endswith(b"}"):
            data, ancillary, _, _ = self.socket.recvmsg(1 << 16, 256)
            assert data, f"ended after {seen.count(b'HTTP/1.1 ')} of {answers} answers"
            stamp = [struct.unpack("qq", value) for level, kind, value in ancillary
                     if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS)]
            self.pieces.append((stamp[0] if stamp else None, data))
            seen += data
        self.seen = seen

    def warm_up(self, request):
        """Makes the connection known to the loop, and waits until the kernel stamps: it begins a
        little after it is asked to."""
        def stamped():
            self.pieces.clear()
            self.socket.sendall(request)
            self.read(1)
            return self.pieces[-1][0]

        until(stamped, 10, "a stamp of the kernel")
        self.pieces.clear()


def answers_behind_the_other(system):
    """Lets a crowd of refused requests wait before one other, and gives how many of the crowd's
    answers came after the other's."""
    refused = f"GET /elsewhere HTTP/1.1\r\nHost: {system.host}\r\n\r\n".encode()
    greedy, modest = Stamped(system.address), Stamped(system.address)
    try:
        greedy.warm_up(refused)
        modest.warm_up(refused)
        edge = system.pid("edge")
        halt(edge)
        try:
            greedy.socket.sendall(refused * REFUSED)
            modest.socket.sendall(refused)
        finally:
            os.kill(edge, signal.SIGCONT)
        reader = threading.Thread(target=greedy.read, args=(REFUSED,))
        reader.start()
        modest.read(1)
        reader.join(30)
        assert greedy.seen.count(b"HTTP/1.1 404 ") == REFUSED
        turn = modest.pieces[-1][0]
        return b"".join(data for stamp, data in greedy.pieces if stamp > turn).count(b"HTTP/1.1 ")
    finally:
        greedy.socket.close()
        modest.socket.close()


def test_a_crowd_of_refused_requests_leaves_a_turn_to_others(one_loop):
    behind = [answers_behind_the_other(one_loop) for _ in range(10)]
    print(f"of {REFUSED} answers came after the other client's: {behind}")
    assert min(behind) >= REFUSED // 2
