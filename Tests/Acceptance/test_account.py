# Does an account keep its promises from the forgotten password to the last row? Links to new
# passwords, the export and the end of everything that is stored, and the log of what was done.

import concurrent.futures
import http.client
import json
import re
import sqlite3
import subprocess
import threading
import time

import pytest
from conftest import key
from desk import Clerk
from oauth import connect, holding, rows
from provider import oauth_service
from system import BIN, PASSWORD, System
from test_jobs import PostOffice, change, ran
from waiting import until

NEW = "another horse battery staple"


def plain(person, path, body):
    token, person.token = person.token, None
    try:
        return person.call("POST", path, body)
    finally:
        person.token = token


def sign_in(person, password=PASSWORD):
    return plain(person, "/api/auth/login", {"email": person.email, "password": password})


def forget(person, email=None):
    return plain(person, "/api/auth/forgot-password", {"email": email or person.email})


def reset(person, token, password=NEW):
    return plain(person, "/api/auth/reset-password", {"token": token, "password": password})


@pytest.fixture
def office():
    started = PostOffice()
    yield started
    started.close()


def link(office, person, after=0):
    """The token of the newest link that was mailed to a person."""
    def found():
        texts = [r["text_body"] for r in office.requests
                 if r["to"] == [person.email] and "new password" in r["subject"]]
        return texts[-1] if len(texts) > after else None

    text = until(found, 20, "the mail")
    return re.search(r"/dashboard/reset-password#token=(\S+)\n", text)[1]


def test_a_forgotten_password_is_set_by_a_link_that_works_once(own_system, office):
    system = own_system(office.settings)
    person, other = system.person(), system.person()
    session = sign_in(person).json()
    assert forget(person, person.email.upper()).status == 202
    token = link(office, person)
    # Nothing of the link is stored, not even while the mail waits.
    assert not holding(system, token, token.split(".")[2])
    assert reset(person, token, "short").status == 400
    assert reset(person, token).status == 200
    again = reset(person, token)
    assert again.status == 400 and again.json()["error"] == "invalid_token"
    assert sign_in(person).status == 401 and sign_in(person, NEW).status == 200
    me = person.call("GET", "/api/me", headers={"Authorization": f"Bearer {session['access_token']}"})
    assert me.status == 401
    refreshed = plain(person, "/api/auth/token", {"refresh_token": session["refresh_token"]})
    assert refreshed.status == 401
    assert other.call("GET", "/api/me").status == 200
    told = until(lambda: [r for r in office.requests if "was changed" in r["subject"]], 20, "a word")
    assert [r["to"] for r in told] == [[person.email]]
    log = system.log.read_bytes()
    for secret in (token, person.email, NEW):
        assert secret.encode() not in log


def test_a_link_dies_with_any_change_of_the_password(own_system, office):
    system = own_system(office.settings)
    person = system.person()
    forget(person)
    first = link(office, person)
    forget(person)
    second = link(office, person, after=1)
    assert reset(person, second).status == 200
    assert reset(person, first).status == 400
    forget(person)
    third = link(office, person, after=2)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        uses = list(pool.map(lambda n: reset(person, third, f"{NEW} {n}").status, range(8)))
    assert sorted(uses) == [200] + [400] * 7


def test_a_link_lives_an_hour_from_the_asking_and_waits_for_nobody(own_system, office):
    system = own_system(office.settings)
    person = system.person()
    office.answer = lambda request: (500, "no")
    forget(person)
    until(lambda: rows(system, "bindery", "SELECT 1 FROM mail_queue WHERE kind = 'password_reset' "
                                          "AND tries = 1"), 20, "the failed try")
    stored = rows(system, "bindery", "SELECT body FROM mail_queue WHERE kind = 'password_reset'")
    assert "{reset_link}" in stored[0][0] and "token=" not in stored[0][0]
    system.stop()
    change(system, "UPDATE password_resets SET asked_at = asked_at - 3600")
    change(system, "UPDATE mail_queue SET next_try_at = 1")
    change(system, "DELETE FROM job_state")
    before = len(office.requests)
    office.answer = office.accept
    system.start()
    until(lambda: not rows(system, "bindery",
                           "SELECT 1 FROM mail_queue WHERE kind = 'password_reset'"), 20, "the end")
    assert not [r for r in office.requests[before:] if r["to"] == [person.email]]


def test_asking_for_a_new_password_tells_nobody_who_has_an_account(system, alice):
    known = forget(alice)
    for email in ("nobody@example.org", "no address", "", "x" * 500 + "@example.org"):
        other = forget(alice, email)
        assert other.status == known.status == 202 and other.body == known.body
        assert [n for n, _ in other.headers.items()] == [n for n, _ in known.headers.items()]
    for body in ({}, {"email": 5}, [], {"email": None}):
        assert plain(alice, "/api/auth/forgot-password", body).status == 400


BAD_RESETS = [{}, {"token": "x"}, {"password": NEW}, {"token": 5, "password": NEW},
              {"token": "", "password": NEW}, {"token": "a.b.c", "password": NEW},
              {"token": "x" * 9000, "password": NEW}, {"token": "x", "password": "short"}, []]


@pytest.mark.parametrize("body", BAD_RESETS)
def test_a_bad_reset_is_refused(body, alice):
    assert plain(alice, "/api/auth/reset-password", body).status == 400


def test_tokens_of_other_kinds_set_no_password(alice):
    session = sign_in(alice).json()
    for token in (session["access_token"], session["refresh_token"], alice.token):
        assert reset(alice, token).status == 400
    assert sign_in(alice).status == 200


def export(person):
    reply = person.call("GET", "/api/account/export")
    assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    return reply.json()


def bindery(system, *words):
    done = subprocess.run([BIN / "bindery", *words], env=system.environment, capture_output=True,
                          text=True, timeout=60, cwd="/")
    return done.returncode, done.stdout, done.stderr


def secrets_of(access):
    return [access.secret, access.secret[:43], access.secret[43:], access.key or "canary"]


def test_an_export_is_whole_without_secrets_and_alike_from_both_sides(own_oauth):
    system, provider = own_oauth()
    person, stranger = system.person(), system.person()
    grants = [connect(person, "own"), connect(person, "own", "managed")]
    foreign = connect(stranger, "own")
    ended = connect(person, "own", "managed")
    ended.disconnect()
    assert grants[0].call().status == 200
    id = person.call("GET", "/api/me").json()["id"]
    for table in ("activity", "credential_use"):
        until(lambda: rows(system, "bindery", f"SELECT 1 FROM {table} WHERE connection_id = ?",
                           grants[0].id), 15, table)
    whole = export(person)
    assert whole["format"] == 1 and abs(whole["exported_at"] - time.time()) < 60
    assert whole["users"] == [{"id": id, "email": person.email,
                               "created_at": whole["users"][0]["created_at"]}]
    assert {c["id"] for c in whole["connections"]} == {g.id for g in [*grants, ended]}
    assert {c["connection_id"] for c in whole["token_blobs"]} >= {g.id for g in grants}
    assert len(whole["credentials"]) == 3 and len(whole["sessions"]) == 1
    assert [r["connection_id"] for r in whole["activity"]] == [grants[0].id]
    events = [row["event"] for row in whole["audit_log"]]
    assert events[:2] == ["user_added", "session_opened"]
    assert events.count("connection_added") == 3 and events[-1] == "connection_revoked"
    text = json.dumps(whole)
    for grant in [*grants, ended]:
        assert not [s for s in secrets_of(grant) if s in text]
    family = provider.families[0]
    assert family.access[0] not in text and family.refresh[0].value not in text
    assert foreign.id not in text and stranger.email not in text
    # What anybody could use or crack stays here: no value is a hash, a wrap or a sealed token.
    assert not re.search(r"[A-Za-z0-9_\-/+]{43,}", text), "something long and random"
    code, out, _ = bindery(system, "export-user", id)
    mine = json.loads(out)
    for one in (mine, whole):
        one.pop("exported_at")
    assert code == 0 and mine == whole
    code, out, error = bindery(system, "export-user", "00000000-0000-4000-8000-000000000000")
    assert code == 1 and not out and "no such person" in error
    for words in ((), ("x",), (id, "more")):
        assert bindery(system, "export-user", *words)[0] == 2


def test_without_a_sign_in_there_is_no_export_and_no_deletion(alice):
    token, alice.token = alice.token, None
    try:
        for method, path in (("GET", "/api/account/export"), ("DELETE", "/api/account")):
            assert alice.call(method, path).status == 401
    finally:
        alice.token = token
    cookie = re.search(r"bindery_session=[^;]+", sign_in(alice).headers["Set-Cookie"])[0]
    alice.token = None
    try:
        for headers in ({"Cookie": cookie}, {"Cookie": cookie, "Origin": "http://attacker.example"}):
            assert alice.call("DELETE", "/api/account", headers=headers).status == 403
    finally:
        alice.token = token
    assert alice.call("GET", "/api/me").status == 200


def test_a_deleted_account_leaves_nothing_and_nobody_else_notices(own_system, own_provider):
    provider = own_provider()
    entries = [oauth_service("own", provider),
               {"id": "plain", "name": "Plain", "mcp_url": provider.url,
                "transport": "streamable-http",
                "api_key": {"header": "Authorization", "format": "Bearer {key}",
                            "instructions": ".", "validate": {"method": "none"}}}]
    system = own_system({"ADMIN_NOTIFICATION_EMAIL": "operator@b.example"}, entries)
    person, other = system.person(), system.person()
    sign_in(person, "wrong password 123")
    zero, managed = connect(person, "own"), connect(person, "own", "managed")
    parted = connect(person, "own")
    assert parted.disconnect() == "pending"
    simple = person.connect("plain", key(), "managed")
    kept = connect(other, "own", "managed")
    person.call("POST", "/api/connections/own/authorize", {})
    forget(person)
    for access in (zero, managed, simple):
        access.call()
    me = person.call("GET", "/api/me").json()["id"]
    ids = [each.id for each in (zero, managed, parted, simple)]
    until(lambda: len(rows(system, "bindery", "SELECT 1 FROM credential_use")) == 3, 15, "the uses")
    until(lambda: holding(system, me) >= {"password_resets", "mail_queue"}, 15, "the asking")
    before = holding(system, me)
    assert before >= {"users", "password_hashes", "sessions", "connections", "audit_subjects",
                      "upstream_revocations", "parted_wraps", "pending_authorizations",
                      "mail_queue", "password_resets"}, before
    families = {grant: provider.families[number] for number, grant in enumerate(
        [zero, managed, parted, kept])}
    kept_before = export(other)
    reply = person.call("DELETE", "/api/account")
    assert reply.status == 200, reply
    assert reply.json() == {"success": True, "warnings": ["provider_not_told:own"] * 2}
    assert "bindery_session=;" in reply.headers["Set-Cookie"].replace("; ", ";")
    assert families[managed].revoked and not families[kept].revoked
    # From here on nobody passes, and nothing is found: by id, by address, by connection.
    for access in (zero, managed, parted, simple):
        assert access.call().status == 404
    assert person.call("GET", "/api/me").status == 401
    assert sign_in(person).status == 401
    assert holding(system, me, person.email) == set()
    assert not rows(system, "tokens", "SELECT 1 FROM token_blobs WHERE connection_id != ?", kept.id)
    assert holding(system, *ids) <= {"audit_log", "erased_connections", "activity", "credential_use"}
    ran(system, "tidy")
    system.stop()
    change(system, "DELETE FROM job_state WHERE name = 'tidy'")
    system.start()
    ran(system, "tidy")
    assert holding(system, *ids) <= {"audit_log", "erased_connections"}
    assert holding(system, me, person.email) == set()
    assert kept.call().status == 200
    after = export(other)
    assert after["connections"] == kept_before["connections"]
    assert bindery(system, "verify", "audit")[0] == 0
    # The address is free again, and what comes then is another person.
    again = plain(other, "/api/auth/register", {"email": person.email, "password": PASSWORD})
    assert again.status == 201 and again.json()["user"]["id"] != me


def test_a_deletion_while_the_account_is_in_use_still_leaves_nothing(own_oauth):
    system, _ = own_oauth()
    person = system.person()
    me = person.call("GET", "/api/me").json()["id"]
    grants = [connect(person, "own", "managed") for _ in range(6)]
    stop, worked = threading.Event(), []

    def use(grant):
        while not stop.is_set():
            worked.append(grant.call().status)

    threads = [threading.Thread(target=use, args=(grant,)) for grant in grants]
    for thread in threads:
        thread.start()
    try:
        until(lambda: worked.count(200) > 30, 30, "traffic")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda _: person.call("DELETE", "/api/account").status, range(4)))
        assert replies.count(200) >= 1 and set(replies) <= {200, 401}, replies
        begun = [grant.call().status for grant in grants]
        assert begun == [404] * 6
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert set(worked) <= {200, 404}
    assert holding(system, me, person.email) == set()
    until(lambda: not rows(system, "tokens", "SELECT 1 FROM token_blobs"), 60, "the end of blobs")


def test_a_deletion_says_which_providers_could_not_be_told(own_oauth):
    system, provider = own_oauth()
    person = system.person()
    connect(person, "own", "managed")
    provider.rules.trouble = (503, [], b"")
    reply = person.call("DELETE", "/api/account")
    assert reply.status == 200
    assert reply.json() == {"success": True, "warnings": ["provider_not_told:own"]}
    assert not rows(system, "tokens", "SELECT 1 FROM token_blobs")


def audit(system):
    code, out, _ = bindery(system, "verify", "audit", "--json")
    return code, json.loads(out)


def test_the_audit_log_tells_what_was_done_and_names_nobody(own_system, alpha):
    system = own_system()
    person = system.person()
    sign_in(person, "wrong password 123")
    access = person.connect("alpha", key())
    access.another()
    access.revoke()
    log = rows(system, "bindery", "SELECT event, about, hex(subject) FROM audit_log ORDER BY sequence")
    assert [event for event, _, _ in log] == [
        "user_added", "session_opened", "sign_in_failed", "connection_added", "credential_added",
        "connection_revoked"]
    assert len({subject for _, _, subject in log}) == 1
    me = person.call("GET", "/api/me").json()["id"]
    assert holding(system, me) >= {"audit_subjects"} and "audit_log" not in holding(system, me)
    assert "audit_log" not in holding(system, person.email, access.secret, access.key)
    code, report = audit(system)
    assert code == 0 and report["rows"] == report["head"] == 6 and report["broken_at"] is None
    head = rows(system, "bindery", "SELECT hex(hash) FROM audit_log WHERE sequence = 6")[0][0]
    assert report["hash"] == head.lower()


@pytest.mark.parametrize("sql, row", [
    ("UPDATE audit_log SET event = 'session_opened' WHERE event = 'sign_in_failed'", 3),
    ("DELETE FROM audit_log WHERE event = 'sign_in_failed'", 3),
    ("UPDATE audit_log SET at = at - 60 WHERE sequence = 1", 1)])
def test_a_changed_audit_log_is_refused_and_where_it_was_not_found(sql, row, own_system):
    system = own_system()
    person = system.person()
    sign_in(person, "wrong password 123")
    sign_in(person)
    first = ran(system, "audit_chain")
    assert first["outcome"] == "done"
    system.stop()
    with pytest.raises(sqlite3.IntegrityError):
        change(system, sql)
    for trigger in ("append", "stays", "keeps"):
        change(system, f"DROP TRIGGER audit_log_{trigger}")
    assert change(system, sql) == 1
    change(system, "DELETE FROM job_state WHERE name = 'audit_chain'")
    system.start()
    job = ran(system, "audit_chain")
    assert job["outcome"] == "findings" and job["counts"]["broken"] == 1
    until(lambda: b'"audit_log_broken"' in system.log.read_bytes(), 10, "the line")
    code, report = audit(system)
    assert code == 1 and report["broken_at"] == row
    assert bindery(system, "verify")[0] == 2 and bindery(system, "verify", "tokens")[0] == 2


def test_kills_leave_the_audit_log_whole(own_system):
    """Auth is killed in the middle of sign-ins, again and again."""
    import os
    import signal
    system = own_system()
    person = system.person()
    stop = threading.Event()

    def try_on():
        while not stop.is_set():
            try:
                sign_in(person)
            except (OSError, http.client.HTTPException):
                pass

    threads = [threading.Thread(target=try_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            count = rows(system, "bindery", "SELECT count(*) FROM audit_log")[0][0]
            until(lambda: rows(system, "bindery", "SELECT count(*) FROM audit_log")[0][0] > count,
                  30, "another row")
            pid = system.pid("auth")
            os.kill(pid, signal.SIGKILL)
            until(lambda: system.pids().get("auth") not in (None, pid), 30, "the next auth")
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    code, report = audit(system)
    assert code == 0 and report["rows"] > 4
