# Does deleting a connection leave no byte of its sealed token behind? The blob is read before, and
# looked for afterwards in the database and its log: with all services well, and with the scheduler
# away while the connection is deleted, so that only its sweep can do it.

import os
import signal
import sqlite3

import pytest
from conftest import key
from waiting import until

SECONDS = 60  # the promise


def sealed(system, connection):
    """The sealed bytes of a connection, without header and tag."""
    with sqlite3.connect(f"file:{system.data}/tokens.sqlite?mode=ro", uri=True) as database:
        row = database.execute(
            "SELECT sealed FROM token_blobs WHERE connection_id = ?", [connection]).fetchone()
    return row[0][60:-20] if row else None


def traces(system, blob):
    """The files in which 16 successive bytes of the blob still stand."""
    pieces = [blob[place:place + 16] for place in range(0, len(blob) - 16, 16)]
    files = [path for path in system.data.iterdir() if path.name.startswith("tokens.sqlite")]
    return [path.name for path in files if any(piece in path.read_bytes() for piece in pieces)]


def test_a_deleted_connection_leaves_no_byte_of_its_token(system, alpha):
    person = system.person()
    accesses = [person.connect("alpha", key(), mode) for mode in ("zero_knowledge", "managed")]
    kept = person.connect("alpha", key())
    for access in accesses:
        blob = sealed(system, access.id)
        assert traces(system, blob)
        access.revoke()
        until(lambda: sealed(system, access.id) is None, SECONDS, "the blob to go")
        until(lambda: not traces(system, blob), SECONDS, "its last byte to go")
    assert kept.call().status == 200 and traces(system, sealed(system, kept.id))


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_sweep_destroys_what_was_deleted_while_the_scheduler_was_away(how, own_system, alpha):
    system = own_system()
    person = system.person()
    access, kept = person.connect("alpha", key()), person.connect("alpha", key())
    blob, pid = sealed(system, access.id), system.pid("scheduler")
    os.kill(system.process.pid, signal.SIGSTOP)  # so that nothing is started again yet
    os.kill(pid, how)
    try:
        access.revoke()
        assert access.call().status == 404
    finally:
        os.kill(system.process.pid, signal.SIGCONT)
        if how == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
    until(lambda: sealed(system, access.id) is None, SECONDS, "the blob to go")
    until(lambda: not traces(system, blob), SECONDS, "its last byte to go")
    assert kept.call().status == 200
