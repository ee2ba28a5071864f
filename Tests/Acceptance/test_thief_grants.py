# What does a thief of the disk get of what MCP clients were granted? Codes that nobody exchanged yet,
# refresh tokens and access tokens of zero-knowledge connections: their holders open them as STORAGE.md
# says, and nothing that was stored, logged or configured does. As in test_thief.py no code is ours.

import base64
import hashlib
import json
import random
import shutil
import sqlite3

import pytest
from consent import Client, Visitor, use
from system import System
from test_thief import BLOB, guesses, opened, prefixed, rows_of, unsealed
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

COUNT = 8
ZERO = b"\0" * 8
PLACES = {"code": (b"oauth_grants", b"code_wrap"), "refresh": (b"oauth_grants", b"refresh_wrap"),
          "access": (b"oauth_access_tokens", b"wrap")}


def open_wrap(kind, value, key, grant, connection, owner):
    if len(value) != 314 or value[0] != 1 or value[1] != 1:
        return None
    table, field = PLACES[kind]
    place = b"".join(prefixed(part) for part in (
        table, grant.encode(), connection.encode(), owner.encode(), field)) + prefixed(ZERO)
    return opened(value, b"bindery wrap v1", key, value[:42] + place)


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Robbery:
    """A system with grants in every state, and everything that can be carried away from it."""

    def __init__(self, system, folder):
        self.system, self.folder, self.held = system, folder, {}
        person = system.person()
        visitor = Visitor(person)
        for number in range(COUNT):
            access = person.connect("alpha", f"canary-grant-{number}", "zero_knowledge")
            client = Client.registered(system, token_endpoint_auth_method="client_secret_post")
            choice = {"connection": access.id, "credential": access.api_key}
            self.held[access.id, "code"] = client.code(visitor, **choice)
            tokens = client.tokens(visitor, **choice)
            for _ in range(number % 3):
                tokens = client.refresh(tokens["refresh_token"]).json()
            assert use(system, tokens["access_token"]).status == 200
            self.held[access.id, "refresh"] = tokens["refresh_token"]
            self.held[access.id, "access"] = tokens["access_token"]
            self.held[access.id, "secret"] = client.secret
        assert system.stop() == 0
        folder.mkdir()
        for file in system.data.glob("*.sqlite*"):
            shutil.copy(file, folder)
        self.rows = rows_of(folder)
        self.masters = [bytes.fromhex(entry["key"])
                        for entry in json.loads((system.data / "managed-keys.json").read_text())]
        with sqlite3.connect(folder / "bindery.sqlite") as database:
            self.grants = database.execute(
                "SELECT id, connection_id, user_id, code_wrap, refresh_wrap, code_hash, refresh_hash"
                " FROM oauth_grants").fetchall()
            self.tokens = database.execute(
                "SELECT t.lookup, t.wrap, g.id, g.connection_id, g.user_id FROM oauth_access_tokens"
                " AS t JOIN oauth_grants AS g ON g.id = t.grant_id").fetchall()

    def loot(self):
        return [p.read_bytes() for p in self.system.folder.rglob("*") if p.is_file()] + [
            f"{n}={v}".encode() for n, v in self.system.environment.items()]

    def wraps(self):
        """Kind, sealed value, and its place."""
        for grant, connection, owner, code, refresh, _, _ in self.grants:
            kind, value = ("code", code) if code else ("refresh", refresh)
            yield kind, value, (grant, connection, owner)
        for _, wrap, *place in self.tokens:
            yield "access", wrap, tuple(place)

    def key(self, kind, connection):
        """The half that opens, as its holder has it."""
        text = self.held[connection, kind]
        if kind == "access":
            return hashlib.sha512(text.encode()).digest()[32:]
        return decoded(text)[-32:]


@pytest.fixture(scope="module")
def robbery(catalogue, scripted, tmp_path_factory):
    scripted["alpha"].reset()
    system = System(catalogue).start()
    try:
        yield Robbery(system, tmp_path_factory.mktemp("robbery") / "copy")
    finally:
        system.remove()


def test_whoever_holds_a_token_opens_its_wrap_as_documented(robbery):
    """Or the failures of the thief would mean nothing."""
    opened_by = {"code": 0, "refresh": 0, "access": 0}
    for kind, value, (grant, connection, owner) in robbery.wraps():
        key = open_wrap(kind, value, robbery.key(kind, connection), grant, connection, owner)
        if kind == "access" and key is None:
            continue  # an earlier access token of the grant, which nobody kept
        assert len(key) == 32
        opened_by[kind] += 1
        row = robbery.rows[connection]
        assert b"canary-grant-" in unsealed(row.values[BLOB], BLOB, key, connection, connection,
                                            owner, row.generation)
    assert opened_by == {"code": COUNT, "refresh": COUNT, "access": COUNT}


def test_a_previous_refresh_token_and_the_salt_give_the_next(robbery):
    """As STORAGE.md says it; the salt alone is nothing."""
    with sqlite3.connect(robbery.folder / "bindery.sqlite") as database:
        rows = database.execute("SELECT refresh_hash, previous_hash, successor_salt FROM oauth_grants"
                                " WHERE previous_hash IS NOT NULL").fetchall()
    assert rows
    for current, _, salt in rows:
        lost = HKDF(hashes.SHA256(), 64, salt, b"bindery refresh successor v1").derive(bytes(64))
        assert hashlib.sha256(lost[:32]).digest() != current


def test_the_thief_opens_nothing(robbery):
    keys = guesses(robbery)
    assert len(keys) > 1000 and set(robbery.masters) <= keys
    wraps = list(robbery.wraps())
    for kind, value, place in random.Random(4).sample(wraps, 6):
        for key in keys:
            assert open_wrap(kind, value, key, *place) is None
    for kind, value, place in wraps:
        for key in robbery.masters:
            assert open_wrap(kind, value, key, *place) is None


def test_no_wrap_opens_in_the_place_of_another(robbery):
    wraps = list(robbery.wraps())
    for kind, _, place in wraps[:6]:
        key = robbery.key(kind, place[1])
        fits = [v for k, v, _ in wraps if open_wrap(kind, v, key, *place)]
        assert len(fits) <= 1


def test_what_clients_hold_is_not_on_the_disk(robbery):
    disk = b"\0".join(robbery.loot())
    for (_, kind), text in robbery.held.items():
        raw = hashlib.sha512(text.encode()).digest() if kind == "access" else decoded(text)
        for secret in (raw[-32:], raw[-64:-32] or raw[-32:], hashlib.sha256(raw[-32:]).digest()):
            if kind == "secret" and secret == hashlib.sha256(raw[-32:]).digest():
                continue
            for form in (secret, secret.hex().encode(), base64.urlsafe_b64encode(secret)[:42]):
                assert form not in disk, kind
        assert text[-60:].encode() not in disk
    assert b"canary-grant-" not in disk
    for _, _, _, _, _, code_hash, refresh_hash in robbery.grants:
        assert code_hash in disk and (refresh_hash is None or refresh_hash in disk)
