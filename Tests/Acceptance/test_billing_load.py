# How fast is an event durable? p99 of the answer at 200 events a second, and events a second beside a
# plain INSERT per event with synchronous=FULL on the same disk in the same minute. LOAD_SECONDS and
# LOAD_EVENTS are the sizes; figures are printed (pytest -s), and held against their bounds.

import asyncio
import os
import pathlib
import sqlite3
import tempfile
import time

from test_billing import NEW, event, ready, sign
from waiting import until

SECONDS = int(os.environ.get("LOAD_SECONDS", "5"))
EVENTS = int(os.environ.get("LOAD_EVENTS", "2000"))
LANES = 32


class Lane:
    """One connection to billing's own socket, as the edge has it."""

    def __init__(self, path):
        self.path = path

    async def open(self):
        self.reader, self.writer = await asyncio.open_unix_connection(str(self.path))
        return self

    async def post(self, body, signature):
        self.writer.write(
            f"POST /webhooks/stripe HTTP/1.1\r\nHost: localhost\r\nStripe-Signature: {signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
        await self.reader.readexactly(int(lengths[0].split(b":")[1]))
        return int(head.split()[1])

    def close(self):
        self.writer.close()


def make(count, prefix):
    """Events of 3 kB, as Stripe's are."""
    bodies = (event(f"{prefix}{number}", pad="x" * 2700) for number in range(count))
    return [(body, sign(body)) for body in bodies]


async def steady(path, events, rate):
    """Sends at a rate; gives the latencies, each from when it was due."""
    lanes = [await Lane(path).open() for _ in range(LANES)]
    free = asyncio.Queue()
    for lane in lanes:
        free.put_nowait(lane)
    start, latencies = time.monotonic() + 0.05, []

    async def one(number, body, signature):
        due = start + number / rate
        await asyncio.sleep(max(0, due - time.monotonic()))
        lane = await free.get()
        assert await lane.post(body, signature) == 200
        latencies.append(time.monotonic() - due)
        free.put_nowait(lane)

    await asyncio.gather(*(one(n, *each) for n, each in enumerate(events)))
    for lane in lanes:
        lane.close()
    return sorted(latencies)


async def burst(path, events):
    """As fast as they are taken; gives the seconds."""
    lanes = [await Lane(path).open() for _ in range(LANES)]
    left = iter(events)
    start = time.monotonic()

    async def work(lane):
        for each in left:
            assert await lane.post(*each) == 200

    await asyncio.gather(*(work(lane) for lane in lanes))
    seconds = time.monotonic() - start
    for lane in lanes:
        lane.close()
    return seconds


def plain(events, folder):
    """One INSERT and one commit per event, synchronous=FULL, on the disk of the system's folder."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        database = sqlite3.connect(pathlib.Path(place) / "plain.sqlite", isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE inbox (id TEXT PRIMARY KEY, body BLOB)")
        start = time.monotonic()
        for number, (body, _) in enumerate(events):
            database.execute("INSERT INTO inbox VALUES (?, ?)", (str(number), body))
        seconds = time.monotonic() - start
        database.close()
    return seconds


def test_two_hundred_events_a_second_are_answered_soon(own_system):
    system = own_system({"STRIPE_WEBHOOK_SECRET": NEW})
    until(lambda: ready(system), 20, "readiness")
    socket = system.run / "billing.http.sock"
    asyncio.run(steady(socket, make(200, "warm"), 200))
    best = None
    for turn in range(3):  # a machine that does something else for a moment gets another chance
        latencies = asyncio.run(steady(socket, make(200 * SECONDS, f"load{turn}_"), 200))
        p50, p99 = (latencies[int(len(latencies) * part)] * 1000 for part in (0.5, 0.99))
        print(f"\n200 events/s for {SECONDS} s: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
              f"most {latencies[-1] * 1000:.1f} ms")
        best = min(p99, best or p99)
        if best < 50:
            return
    raise AssertionError(f"p99 {best:.1f} ms")


def test_throughput_beside_a_plain_insert(own_system):
    system = own_system({"STRIPE_WEBHOOK_SECRET": NEW})
    until(lambda: ready(system), 20, "readiness")
    socket = system.run / "billing.http.sock"
    asyncio.run(burst(socket, make(200, "warm")))
    ratios = []
    for turn in range(3):
        events = make(EVENTS // 2, f"turn{turn}_")
        theirs = len(events) / plain(events, system.folder)
        ours = len(events) / asyncio.run(burst(socket, events))
        ratios.append(ours / theirs)
        print(f"\nplain INSERT {theirs:.0f} events/s, billing {ours:.0f} events/s, "
              f"ratio {ratios[-1]:.2f}")
    assert max(ratios) >= 0.8, ratios
