# How long may a peer take? Clients that send too slowly and upstreams that answer too slowly, all at
# once, because each of them takes its full time: they start with the first test of the whole run
# and are judged at its end. Others are served meanwhile.

import itertools
import select
import threading
import time

import pytest
from system import System, service
from upstream import Upstream
from waiting import pause
from wire import Cut, Wire, head

PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
CLIENTS = ("head", "half a line", "fresh", "body", "idle")
UPSTREAMS = ("silent", "dripping")
LONGEST = 330


class Slow:
    """Peers that are slow on purpose, all at once; each notes after how many seconds it ended."""

    def __init__(self):
        self.upstream, self.took, self.answers, self.served = Upstream(), {}, {}, []
        self.upstream.behaviour = self.behave
        self.system = System([service("slow", self.upstream.url)]).start()
        self.access = self.system.person().connect("slow", "key-of-a-slow-one")
        self.rival = self.system.person().connect("slow", "key-of-a-quick-one")
        self.threads = {name: threading.Thread(target=self.one, args=(name,), daemon=True)
                        for name in (*CLIENTS, *UPSTREAMS)}
        self.threads["served"] = threading.Thread(target=self.serve_others, daemon=True)
        for thread in self.threads.values():
            thread.start()

    def behave(self, connection):
        while request := connection.request():
            name = request.header("mcp-name")
            {"silent": self.silent, "dripping": self.dripping}.get(name, self.prompt)(connection)

    def serve_others(self):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            before = time.monotonic()
            answer = self.rival.call()
            self.served.append((answer.status, time.monotonic() - before))
            pause(0.02)

    def result(self, name):
        self.threads[name].join(LONGEST + 10)
        return self.took.get(name), self.answers.get(name)

    def close(self):
        self.system.stop()
        self.system.remove()
        self.upstream.close()

    def prompt(self, connection):
        connection.answer({})

    def silent(self, connection):
        connection.wait_for_end(LONGEST)

    def dripping(self, connection):
        connection.send(b"HTTP/1.1 200 OK\r\n")
        while not connection.ended.is_set():
            connection.send(b"X")
            pause(0.5)

    def one(self, name):
        access, system = self.access, self.access.system
        start = time.monotonic()
        with Wire(system.address, timeout=LONGEST) as wire:
            if name in ("silent", "dripping"):
                access.post(wire, PING, extra=[("Mcp-Name", name)])
            elif name == "body":
                wire.send(head("POST", access.path, access.headers(
                    extra=[("Content-Length", "100000")])))
            elif name == "idle":
                access.post(wire, PING)
                wire.answer()
                start = time.monotonic()
            elif name == "half a line":
                wire.send(b"POST /mc")
            data = itertools.cycle("a" * 7 + "b")
            while time.monotonic() - start < LONGEST:
                readable, _, _ = select.select([wire.socket], [], [], 0.3)
                if readable:
                    break
                if name in ("head", "body"):
                    try:
                        wire.send(next(data).encode())
                    except OSError:
                        break
            try:
                self.answers[name] = wire.answer().status
            except (Cut, OSError, AssertionError):
                self.answers[name] = None
            self.took[name] = time.monotonic() - start


@pytest.mark.parametrize("name, least, most, status", [
    ("head", 5, 12, {408, None}), ("half a line", 5, 12, {408, None}), ("fresh", 5, 80, {408, None}),
    ("body", 9, 40, {408, 400, None}), ("idle", 10, 80, {None})])
def test_a_slow_client_is_cut_in_time(name, least, most, status, slow):
    took, answer = slow.result(name)
    assert least <= took <= most and answer in status, (took, answer)


def test_others_are_served_while_some_are_slow(slow):
    slow.result("served")
    assert len(slow.served) > 100
    assert all(answered == 200 for answered, _ in slow.served)


def test_a_head_that_drips_from_the_upstream_is_cut_in_time(slow):
    took, answer = slow.result("dripping")
    assert answer in (502, 504) and took < 15, (took, answer)


def test_an_upstream_that_stays_silent_is_a_timeout(slow):
    took, answer = slow.result("silent")
    assert answer == 504 and took < LONGEST, (took, answer)
