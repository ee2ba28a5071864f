# What does a thief of the disk get? A program that shares no code with ours (the format is in
# STORAGE.md) takes both databases, their logs, everything that was logged, the environment and all
# master keys of a running system with two hundred connections. Then somebody who can write the
# databases swaps what is sealed, and the real services are asked for it.

import base64
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import sqlite3
import struct

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from system import System

ROWS = 200
WRAP, MANAGED, BLOB = 1, 2, 3
PURPOSES = {WRAP: b"bindery wrap v1", MANAGED: b"bindery wrap v1", BLOB: b"bindery blob v1"}
PLACES = {WRAP: ("credentials", "wrap"), MANAGED: ("connections", "managed_wrap"),
          BLOB: ("token_blobs", "sealed")}


def prefixed(data):
    return struct.pack(">I", len(data)) + data


def unsealed(value, mode, key, row, connection, owner, generation=0):
    """The plaintext of a sealed value in its place, or None."""
    if len(value) < 314 or value[0] != 1 or value[1] != mode:
        return None
    return opened(value, PURPOSES[mode], key, value[:42] + b"".join(map(prefixed, [
        PLACES[mode][0].encode(), row.encode(), connection.encode(), owner.encode(),
        PLACES[mode][1].encode()])) + prefixed(struct.pack(">Q", generation)))


def opened(value, purpose, key, authenticated):
    material = HKDF(hashes.SHA256(), 44, value[10:42], prefixed(purpose)).derive(key)
    try:
        padded = AESGCM(material[:32]).decrypt(material[32:], value[42:], authenticated)
    except InvalidTag:
        return None
    size, = struct.unpack(">I", padded[:4])
    assert not any(padded[4 + size:])
    return padded[4:4 + size]


class Row:
    """One connection as the databases have it."""

    def __init__(self, identifier, owner, mode, managed_wrap, credential, wrap, generation, blob):
        self.id, self.owner, self.mode, self.credential = identifier, owner, mode, credential
        self.generation = generation
        self.values = {WRAP: wrap, MANAGED: managed_wrap, BLOB: blob}

    def open(self, kind, key, value=None):
        row = self.credential if kind == WRAP else self.id
        return unsealed(self.values[kind] if value is None else value, kind, key, row, self.id,
                        self.owner, self.generation if kind == BLOB else 0)


def rows_of(folder):
    with sqlite3.connect(folder / "bindery.sqlite") as database:
        database.execute("ATTACH ? AS t", (str(folder / "tokens.sqlite"),))
        return {row[0]: Row(*row) for row in database.execute(
            """SELECT k.id, k.user_id, k.key_storage_mode, k.managed_wrap, c.id, c.wrap,
                 b.generation, b.sealed
               FROM connections AS k JOIN credentials AS c ON c.connection_id = k.id
               JOIN t.token_blobs AS b ON b.connection_id = k.id""")}


class Heist:
    """A system, its connections, and everything that can be carried away from it."""

    def __init__(self, system, folder):
        self.system, self.folder = system, folder
        self.person = system.person()
        self.accesses = [self.person.connect("alpha", f"canary-key-{number:04}",
                                             ("zero_knowledge", "managed")[number % 2])
                         for number in range(ROWS)]
        for access in self.accesses[:20]:
            assert access.call().status == 200
        assert system.stop() == 0
        self.copy(system.data, folder)
        self.rows = rows_of(folder)
        ring = json.loads((system.data / "managed-keys.json").read_text())
        self.masters = [bytes.fromhex(entry["key"]) for entry in ring]

    @staticmethod
    def copy(source, target):
        target.mkdir(exist_ok=True)
        for file in source.glob("*.sqlite*"):
            shutil.copy(file, target)

    def row(self, access):
        return self.rows[access.id]

    def loot(self):
        """Every byte of the disk and of the environment."""
        files = [p for p in self.system.folder.rglob("*") if p.is_file()]
        assert {"managed-keys.json", "signing-keys.json", "log"} <= {p.name for p in files}
        return [p.read_bytes() for p in files] + [
            f"{name}={value}".encode() for name, value in self.system.environment.items()]

    def restored(self, change):
        """Runs the system on the databases as they were, after `change` was made to them."""
        for file in self.system.data.glob("*.sqlite*"):
            file.unlink()
        self.copy(self.folder, self.system.data)
        for name in ("bindery", "tokens"):
            with sqlite3.connect(self.system.data / f"{name}.sqlite") as database:
                change(name, database)
            database.close()
        self.system.log_file.close()
        self.system.start()


@pytest.fixture(scope="module")
def heist(catalogue, scripted, tmp_path_factory):
    scripted["alpha"].reset()
    system = System(catalogue)
    system.start()
    try:
        yield Heist(system, tmp_path_factory.mktemp("heist") / "copy")
    finally:
        system.stop()
        system.remove()


def halves(access):
    secret = base64.urlsafe_b64decode(access.secret + "==")
    return secret[:32], secret[32:]


def test_the_owner_opens_every_row_as_documented(heist):
    """Or the failures of the thief would mean nothing."""
    for access in heist.accesses:
        data_key = heist.row(access).open(WRAP, halves(access)[1])
        assert len(data_key) == 32
        assert access.key.encode() in heist.row(access).open(BLOB, data_key)


def test_the_holder_of_the_master_key_opens_managed_rows_alone(heist):
    opened = {r.id for r in heist.rows.values() for master in heist.masters
              if r.values[MANAGED] and (key := r.open(MANAGED, master)) and r.open(BLOB, key)}
    assert opened == {a.id for a in heist.accesses if a.connection["key_storage_mode"] == "managed"}
    assert len(opened) == ROWS // 2
    wrong = [hashlib.sha256(heist.masters[0]).digest(), bytes(32), os.urandom(32)]
    wrong += [bytes([heist.masters[0][0] ^ 1]) + heist.masters[0][1:]]
    for row in heist.rows.values():
        assert row.values[MANAGED] is None or not any(row.open(MANAGED, key) for key in wrong)


def guesses(heist):
    """All 32-byte strings that what was stolen spells, in any usual form, and their hashes."""
    found = set()
    for data in heist.loot():
        for word in re.findall(rb"[A-Za-z0-9_+/=-]{16,200}", data):
            found |= {word, hashlib.sha256(word).digest()}
            for decode in (bytes.fromhex, lambda t: base64.urlsafe_b64decode(t + b"=="),
                           lambda t: base64.b64decode(t + b"==")):
                try:
                    found.add(decode(word.decode() if decode == bytes.fromhex else word))
                except ValueError:
                    pass
    for file in ("bindery", "tokens"):
        with sqlite3.connect(heist.folder / f"{file}.sqlite") as database:
            for (table,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'"):
                for value in itertools.chain(*database.execute(f"SELECT * FROM {table}")):
                    if isinstance(value, (bytes, str)):
                        found.add(value if isinstance(value, bytes) else value.encode())
    for value in list(found):
        found.add(hashlib.sha256(value).digest())
        found |= {value[at:at + 32] for at in range(0, min(len(value), 320) - 31, 8)}
    return {value for value in found if len(value) == 32} | set(heist.masters)


def test_the_thief_opens_no_zero_knowledge_row(heist):
    keys = guesses(heist)
    assert len(keys) > 3000 and set(heist.masters) <= keys
    closed = [r for r in heist.rows.values() if r.mode == "zero_knowledge"]
    assert len(closed) == ROWS // 2 and all(r.values[MANAGED] is None for r in closed)
    for row in random.Random(1).sample(closed, 3):
        for key in keys:
            assert row.open(WRAP, key) is None and row.open(BLOB, key) is None
    for row in closed:
        for key in heist.masters:
            assert row.open(WRAP, key) is None and row.open(BLOB, key) is None
    # The same search finds what opens the others.
    managed = next(r for r in heist.rows.values() if r.values[MANAGED])
    assert any(managed.open(MANAGED, key) for key in keys)


def test_neither_half_of_a_secret_nor_a_key_is_on_the_disk(heist):
    disk = b"\0".join(p.read_bytes() for p in heist.system.folder.rglob("*")
                      if p.is_file() and p.name != "managed-keys.json")
    for access in heist.accesses:
        first, second = halves(access)
        data_key = heist.row(access).open(WRAP, second)
        for secret in (first, second, data_key, hashlib.sha256(second).digest()):
            for form in (secret, secret.hex().encode(), base64.urlsafe_b64encode(secret)[:42]):
                assert form not in disk
        assert hashlib.sha256(first).digest() in disk, "the search works"
    assert b"canary-key-" not in disk


def test_no_sealed_value_opens_in_the_place_of_another(heist):
    values = [(r, kind, v) for r in heist.rows.values() for kind, v in r.values.items() if v]
    assert len(values) == ROWS * 2 + ROWS // 2
    keys = {r.id: r for r in heist.rows.values()}
    for access in random.Random(2).sample(heist.accesses, 20):
        row = keys[access.id]
        data_key = row.open(WRAP, halves(access)[1])
        for place, key in ((WRAP, halves(access)[1]), (BLOB, data_key), (MANAGED, heist.masters[-1])):
            fits = [v for _, _, v in values if row.open(place, key, v)]
            assert fits == [v for v in [row.values[place]] if v]


COLUMNS = {WRAP: ("bindery", "credentials", "wrap", "connection_id"),
           MANAGED: ("bindery", "connections", "managed_wrap", "id"),
           BLOB: ("tokens", "token_blobs", "sealed", "connection_id")}


@pytest.mark.parametrize("kind", COLUMNS, ids=["wraps", "managed wraps", "blobs"])
def test_the_services_open_nothing_that_was_swapped(kind, heist, scripted):
    """Each row gets the value of another, and the last fifty a value of another kind."""
    owners = [a for a in heist.accesses if heist.row(a).values[kind]]
    random.Random(3).shuffle(owners)
    given = {a.id: heist.row(b).values[kind] for a, b in zip(owners, owners[1:] + owners[:1])}
    for access in owners[-50:]:
        given[access.id] = heist.row(access).values[BLOB if kind != BLOB else WRAP]
    file, table, column, identifier = COLUMNS[kind]

    def change(name, database):
        if name == file:
            done = database.executemany(
                f"UPDATE {table} SET {column} = ? WHERE {identifier} = ?",
                [(value, key) for key, value in given.items()])
            assert done.rowcount == len(owners)

    scripted["alpha"].reset()
    heist.restored(change)
    try:
        for access in owners:
            if kind == MANAGED:
                reply = access.person.call("POST", f"/api/connections/{access.id}/credentials",
                                           {"name": "by the owner"})
                assert reply.status >= 400 and b"secret_url" not in reply.body
            else:
                assert access.call().status >= 400
        assert scripted["alpha"].bytes_seen == 0
    finally:
        assert heist.system.stop() == 0


def test_without_a_swap_everything_opens_again(heist, scripted):
    scripted["alpha"].reset()
    heist.restored(lambda name, database: None)
    try:
        for access in heist.accesses:
            assert access.call().status == 200
        made = heist.accesses[1].person.call(
            "POST", f"/api/connections/{heist.accesses[1].id}/credentials", {"name": "once more"})
        assert made.status == 201
    finally:
        assert heist.system.stop() == 0
