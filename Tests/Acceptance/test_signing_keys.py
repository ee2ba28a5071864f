# A new signing key while everything runs: what the old one signed holds until it ends by itself, at the
# edge and at the API; then the old one goes, and what it signed with it.

import base64
import json
import os
import signal
import stat
import subprocess

import pytest
from consent import Client, Visitor, send, use
from oauth import rows, writing
from rules import keeps, refuses
from system import BIN
from waiting import until


def tool(system, *words):
    done = subprocess.run([BIN / "bindery", "generate-key", *words], env=system.environment,
                          capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


def key_of(token):
    head = token.split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"]


def published(system):
    """Names in the set that everybody sees; nothing private is in it."""
    keys = json.loads(send(system, "GET", "/.well-known/jwks.json").body)["keys"]
    assert all(key.keys() == {"kty", "crv", "use", "alg", "kid", "x", "y"} for key in keys)
    return [key["kid"] for key in keys]


def reread(system, names):
    os.kill(system.process.pid, signal.SIGHUP)
    until(lambda: published(system) == names, 15, "auth reads its file")


def answers(system):
    try:
        return send(system, "GET", "/api/services").status == 200
    except OSError:
        return False


class Signed:
    """What one key signed: a sign-in, an access token at the edge, and their refresh tokens."""

    def __init__(self, system):
        self.system = system
        self.person = system.person()
        access = self.person.connect("alpha", "key-of-a-signature", "managed")
        self.client = Client(system)
        self.tokens = self.client.tokens(Visitor(self.person), connection=access.id)
        self.name = key_of(self.tokens["access_token"])
        assert key_of(self.person.token) == self.name

    def statuses(self):
        return (self.person.call("GET", "/api/me").status,
                use(self.system, self.tokens["access_token"]).status)


@keeps("O49")
@refuses("O49")
def test_a_new_key_signs_and_the_old_one_holds_until_it_goes(own_system, alpha):
    system = own_system()
    file = system.data / "signing-keys.json"
    first = Signed(system)
    assert published(system) == [first.name]
    assert tool(system, "--signing", "--remove-old")[0] == 1, "the only key stays"
    status, said, _ = tool(system, "--signing")
    assert status == 0 and "SIGHUP" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    names = [key["kid"] for key in json.loads(file.read_text())["keys"]]
    assert names[0] == first.name and len(names) == 2 and names[1] in said
    assert published(system) == [first.name], "nothing happens before the signal"
    reread(system, names)
    second = Signed(system)
    assert second.name == names[1]
    assert first.statuses() == second.statuses() == (200, 200)
    # A token of the old key that the edge has not seen yet, and one that it has forgotten.
    os.kill(system.pid("edge"), signal.SIGKILL)
    until(lambda: answers(system), 30, "the edge is back")
    assert first.statuses() == second.statuses() == (200, 200)
    assert key_of(first.client.refresh(first.tokens["refresh_token"]).json()["access_token"]) == \
        names[1]
    # The old one goes when nothing that it signed can hold any more, and not before.
    status, said, error = tool(system, "--signing", "--remove-old")
    assert status == 1 and said == "" and "61 minutes" in error
    with writing(system, "bindery") as database:
        database.execute("UPDATE signing_keys SET added_at = added_at - 3661")
    status, said, _ = tool(system, "--signing", "--remove-old", "--json")
    assert status == 0 and json.loads(said) == {"keys": [names[1]]}
    reread(system, [names[1]])
    assert rows(system, "bindery", "SELECT key_id FROM signing_keys") == [(names[1],)]
    assert first.person.call("GET", "/api/me").status == 401
    assert second.statuses() == (200, 200)


@refuses("O49")
def test_a_key_that_leaked_goes_at_once(own_system, alpha):
    """Everything that it signed ends; refresh tokens go on, under the new key."""
    system = own_system()
    old = Signed(system)
    tokens = old.client.tokens(Visitor(old.person), connection=old.person.call(
        "GET", "/api/connections").json()["connections"][0]["id"])
    assert tool(system, "--signing")[0] == 0
    status, said, _ = tool(system, "--signing", "--remove-old", "--at-once", "--json")
    assert status == 0
    name, = json.loads(said)["keys"]
    reread(system, [name])
    assert old.person.call("GET", "/api/me").status == 401
    assert use(system, tokens["access_token"]).status == 401, "which the edge sees for the first time"
    again = old.client.refresh(old.tokens["refresh_token"]).json()
    assert key_of(again["access_token"]) == name
    assert use(system, again["access_token"]).status == 200


@pytest.mark.parametrize("trouble", ["a broken file", "open to others", "no file"])
def test_a_file_that_is_not_sound_changes_nothing(trouble, own_system, alpha):
    system = own_system()
    signed, file = Signed(system), system.data / "signing-keys.json"
    kept = file.read_bytes()
    if trouble == "a broken file":
        file.write_bytes(kept.replace(b'"d":"', b'"d":"A', 1))
    elif trouble == "open to others":
        file.chmod(0o644)
    else:
        file.rename(file.with_suffix(".away"))
    status, said, error = tool(system, "--signing")
    assert status == 78 and said == "" and error
    if trouble != "no file":
        os.kill(system.process.pid, signal.SIGHUP)
        until(lambda: b"signing_keys_not_reloaded" in system.log.read_bytes(), 15, "the refusal")
        assert file.read_bytes() != kept or file.stat().st_mode & 0o777 == 0o644
    assert published(system) == [signed.name] and signed.statuses() == (200, 200)
