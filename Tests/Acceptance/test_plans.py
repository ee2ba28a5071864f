# Does everybody have exactly the connections that their plan allows, at every instant? Real processes;
# standings come over the socket that billing uses, from a peer that says what a test wants to be true.

import calendar
import concurrent.futures
import json
import os
import signal
import sqlite3
import threading
import time
import types

import pytest
import rpc
from consent import Client, Forms, Visitor, use
from plan_desk import (DAY, ON, PAID_ONLY, Desk, counts, endless, is_suspended, me, refused, run,
                       try_connect)
from test_jobs import rows, status
from test_keys import user_key
from test_revocation import Listener
from upstream import well_behaved
from waiting import halt, throughout, until


@pytest.fixture(scope="module")
def paid(catalogue):
    """Plans without a trial: what is paid for is all there is."""
    yield from run(Desk(catalogue, PAID_ONLY))


@pytest.fixture(scope="module")
def trial(catalogue):
    yield from run(Desk(catalogue, ON))


def test_a_trial_gives_two_connections_and_says_what_to_do_next(trial, alpha):
    person = trial.enter()
    value = me(person)
    assert (value["plan"], value["max_connections"], value["paid_connections"]) == ("free_trial", 2, 0)
    ends = time.strptime(value["trial_ends_at"], "%Y-%m-%dT%H:%M:%SZ")
    assert abs(time.time() + 5 * DAY - calendar.timegm(ends)) < 60
    first, second = person.connect("alpha", "key"), person.connect("alpha", "key")
    asked = len(alpha.connections)
    refused(try_connect(person), "limit_reached")
    assert len(alpha.connections) == asked  # no key is tried for nothing
    assert counts(person) == (2, 2, 0)
    first.revoke()
    third = person.connect("alpha", "key")
    assert second.call().status == third.call().status == 200
    # More than the trial gives, at once.
    assert trial.plan(person, quantity=3) == {"applied": True, "unknown": False}
    person.connect("alpha", "key")
    refused(try_connect(person), "limit_reached")
    assert me(person)["paid_connections"] == 3


def test_less_paid_for_suspends_the_newest_and_more_wakes_the_oldest(paid, alpha):
    person = paid.enter()
    refused(try_connect(person), "trial_ended")
    paid.plan(person, quantity=4)
    all_four = [person.connect("alpha", f"key{n}") for n in range(4)]
    alpha.become(endless)
    kept, cut = Listener(all_four[0], "GET"), Listener(all_four[3], "GET")
    paid.plan(person, quantity=2)
    is_suspended(paid, all_four[3].call())  # at once
    until(lambda: cut.ended_at, 5, "the end of the stream")
    throughout(lambda: not kept.ended_at, 1, "the stream of what is paid for")
    alpha.become(well_behaved)
    is_suspended(paid, all_four[2].call(form="header"))
    assert [each.call().status for each in all_four] == [200, 200, 402, 402]
    assert counts(person) == (2, 2, 2)
    listed = person.call("GET", "/api/connections").json()["connections"]
    assert [each["status"] for each in listed] == ["active"] * 2 + ["suspended"] * 2
    paid.plan(person, quantity=3)
    assert [each.call().status for each in all_four] == [200, 200, 200, 402]
    # An older standing that comes late, or the same again, changes nothing.
    for version in (1, 2):
        assert not paid.plan(person, quantity=0, version=version)["applied"]
    assert counts(person) == (3, 3, 1)
    # One that goes makes room for the oldest that waits.
    all_four[1].revoke()
    until(lambda: all_four[3].call().status == 200, 10, "the one that waited")
    assert [each.call().status for each in all_four] == [200, 404, 200, 200]
    paid.plan(person, quantity=9)
    assert counts(person) == (9, 3, 0)
    assert paid.plan(types.SimpleNamespace(
        id="00000000-0000-4000-8000-000000000000")) == {"applied": False, "unknown": True}


@pytest.fixture(scope="module")
def nobody(paid):
    return paid.enter()


@pytest.mark.parametrize("standing", [
    {"version": 0}, {"version": -1}, {"quantity": -1}, {"quantity": 1_000_001},
    {"quantity": 2**63 - 1}, {"pastDueSince": 2**63 - 1}, {"accessUntil": -1},
    {"paidUntil": 253402300800}, {"plan": "gold"}, {"plan": None}, {"quantity": "3"},
    {"why": ["two\nlines"]}, {"why": ["x"] * 65}, {"why": ["x" * 513]}],
    ids=lambda value: "-".join(f"{k}" for k in value))
def test_a_standing_that_can_not_be_is_refused_and_changes_nothing(standing, paid, nobody):
    person = nobody
    request = {"version": 3, "plan": "active", "quantity": 1, "why": [], **standing}
    with pytest.raises(rpc.Refused, match="malformed_request"):
        rpc.call(paid, "auth", "plan_set", {"userID": person.id, "standing": request})
    assert counts(person) == (0, 0, 0)
    for other in ("edge", "scheduler", "operator"):
        with pytest.raises(rpc.Refused, match="not_allowed"):
            rpc.call(paid, "auth", "plan_set", {"userID": person.id, "standing": request}, other)


class Onlooker:
    """Looks at every state of the database that it can get hold of, as fast as it can."""

    def __init__(self, system, person):
        self.system, self.person = system, person
        self.most, self.looks, self.broken = 0, 0, []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join()

    def look(self):
        database = sqlite3.connect(f"file:{self.system.data}/bindery.sqlite?mode=ro", uri=True)
        while not self.over.is_set():
            active, allowed = database.execute(
                "SELECT (SELECT count(*) FROM connections WHERE user_id = ?1 AND status = 'active'),"
                " (SELECT quantity FROM plans WHERE user_id = ?1)", (self.person.id,)).fetchone()
            self.looks, self.most = self.looks + 1, max(self.most, active)
            if active > allowed:
                self.broken.append((active, allowed))
        database.close()


def test_32_parallel_connects_never_exceed_a_limit_that_falls_and_rises_meanwhile(paid, alpha):
    person = paid.enter()
    paid.plan(person, quantity=20)
    with Onlooker(paid, person) as onlooker, \
            concurrent.futures.ThreadPoolExecutor(33) as threads:
        tries = [threads.submit(try_connect, person) for _ in range(32)]
        until(lambda: onlooker.most >= 3, 20, "the first connections")
        for quantity in (6, 11, 2, 16, 7):
            paid.plan(person, quantity=quantity)
        statuses = [each.result().status for each in tries]
    assert set(statuses) <= {201, 403} and onlooker.looks > 50
    assert not onlooker.broken
    made = statuses.count(201)
    assert 3 <= made <= 20 and onlooker.most <= 20
    # What was answered with 201 is there, and no more.
    assert rows(paid, "SELECT count(*) FROM connections WHERE user_id = ?", person.id) == [(made,)]
    maximum, active, suspended = counts(person)
    assert (maximum, active) == (7, min(made, 7)) and active + suspended == made


def test_32_parallel_connects_get_exactly_what_is_paid_for(paid, alpha):
    person = paid.enter()
    paid.plan(person, quantity=5)
    with Onlooker(paid, person) as onlooker, \
            concurrent.futures.ThreadPoolExecutor(32) as threads:
        replies = list(threads.map(lambda _: try_connect(person), range(32)))
    assert sorted(each.status for each in replies) == [201] * 5 + [403] * 27
    for each in replies:
        if each.status == 403:
            refused(each, "limit_reached")
    assert not onlooker.broken and counts(person) == (5, 5, 0)


def test_a_deleted_account_is_told_to_billing_until_it_hears(paid, alpha):
    person = paid.enter()
    paid.plan(person, quantity=1)
    person.connect("alpha", "key")
    exported = person.call("GET", "/api/account/export").json()
    assert exported["plans"][0]["quantity"] == 1
    reply = person.call("DELETE", "/api/account")
    assert reply.json() == {"success": True, "warnings": ["billing_told_later"]}
    assert rows(paid, "SELECT user_id FROM billing_farewells") == [(person.id,)]
    with rpc.Peer(paid, "billing", {"billing_forget": lambda request: {}}) as billing:
        until(lambda: not rows(paid, "SELECT 1 FROM billing_farewells"), 45, "the farewell")
        assert billing.asked == [("billing_forget", {"userID": person.id})]
        other = paid.enter()
        assert other.call("DELETE", "/api/account").json() == {"success": True}


def test_the_consent_page_connects_within_the_plan_and_says_what_to_do_next(paid, alpha):
    person = paid.enter()
    paid.plan(person, quantity=1)
    visitor, client = Visitor(person), Client(paid)
    new = {"connection": "new", "api_key": "key"}
    tokens = client.tokens(visitor, **new)
    assert use(paid, tokens["access_token"], "alpha").status == 200
    at, page = visitor.open(client.ask())
    form = Forms(page.body.decode()).fields | {"decision": "allow"} | new
    reply = visitor.send("POST", at, form)
    assert reply.status == 403 and b"allows no further connection" in reply.body
    assert counts(person) == (1, 1, 0)
    # A connection whose plan was taken away is not offered, and its token says why.
    paid.plan(person, "canceled", quantity=0)
    is_suspended(paid, use(paid, tokens["access_token"], "alpha"))
    assert client.refresh(tokens["refresh_token"]).status == 200  # it will be good again
    connection, = person.call("GET", "/api/connections").json()["connections"]
    assert connection["id"] not in visitor.open(client.ask())[1].body.decode()
    reply = visitor.send("POST", at, form)
    assert reply.status == 403 and b"subscribe again" in reply.body


def test_billing_asks_who_somebody_is(paid):
    person = paid.enter()
    ask = lambda who: rpc.call(paid, "auth", "billing_user", {"userID": who})
    assert ask(person.id) == {"exists": True, "email": person.email}
    assert ask("00000000-0000-4000-8000-000000000000") == {"exists": False}
    with pytest.raises(rpc.Refused, match="malformed_request"):
        ask("nobody")


def test_the_operator_sees_why_an_account_is_as_it_is(paid, alpha):
    person = paid.enter()
    paid.plan(person, quantity=3, version=7)
    for _ in range(3):
        person.connect("alpha", "key")
    due = int(time.time()) - 60
    paid.plan(person, quantity=1, version=9, pastDueSince=due, why=["invoice in_1 is not paid"])
    code, text = status(paid, "--user", person.id)
    assert code == 1 and "billing does not answer" in text  # it is not there
    assert "plan       active, 1 paid for, since " in text and "(version 9)" in text
    assert "because invoice in_1 is not paid" in text and "past due   since " in text
    assert "1 active, 2 suspended" in text and text.count("alpha suspended since ") == 2
    assert "plan_changed plan=active quantity=3 version=7" in text
    answers = {"standing": {"version": 10, "plan": "active", "quantity": 2, "why": ["paid"]},
               "deliveredVersion": 9, "entries": [{"at": due, "text": "evt_1: in_1 is not paid"}]}
    with rpc.Peer(paid, "billing", {"billing_trail": lambda _: answers}) as billing:
        code, text = status(paid, "--user", person.id)
        assert code == 0 and "evt_1: in_1 is not paid" in text
        assert "version 10 is not in force yet" in text
        assert ("billing_trail", {"userID": person.id}) in billing.asked
        code, text = status(paid, "--user", person.id, "--json")
        value = json.loads(text)
    assert code == 0 and value["plan"]["past_due_since"] == due and value["plan"]["version"] == 9
    assert value["plan"]["ends_at"] == due + 3 * 86400
    assert [each["status"] for each in value["connections"]] == ["active"] + ["suspended"] * 2
    assert [each["event"] for each in value["events"]] == [
        "plan_changed", "plan_changed", "connection_suspended", "connection_suspended"]
    assert value["billing"] == {
        "standing": answers["standing"], "delivered_version": 9, "trail": answers["entries"]}
    assert status(paid, "--user", "00000000-0000-4000-8000-000000000000")[0] == 1
    assert status(paid, "--user", "nobody")[0] == status(paid, "--user")[0] == 2


BAD_QUANTITIES = [0, -1, 1.5, "3", None, True, [1], 10_001, 2**63, 1e300]


def test_what_is_asked_of_billing_is_checked_and_says_when_billing_is_away(paid):
    person = paid.enter()

    def ask(path, body=None):
        return person.call("POST", f"/api/billing/{path}", body)

    for path in ("checkout", "update-quantity"):
        for quantity in BAD_QUANTITIES:
            reply = ask(path, {"quantity": quantity})
            assert (reply.status, reply.json()["error"]) == (400, "invalid_quantity"), quantity
        assert ask(path, {}).json()["error"] == "invalid_quantity"
        assert ask(path, [1]).status == ask(path).status - 15 == 400
    for session in ("", "cs test", "cs_1/../x", "ü", "x" * 256, 7, None, {"a": 1}):
        reply = ask("verify-checkout", {"session_id": session})
        assert (reply.status, reply.json()["error"]) == (400, "invalid_session"), session
    good = [("checkout", {"quantity": 3}), ("verify-checkout", {"session_id": "cs_test_1"}),
            ("update-quantity", {"quantity": 3}), ("portal", None)]
    for path, body in good:
        reply = ask(path, body)
        assert (reply.status, reply.json()["error"]) == (503, "service_unavailable")
        assert int(reply.headers["Retry-After"]) > 0
        reply = person.call("POST", f"/api/billing/{path}", body, {"Authorization": "Bearer x"})
        assert reply.status == 401
    key = user_key(person)["key"]
    reply = person.call("POST", "/api/billing/portal",
                        headers={"Authorization": f"Bearer {key}"})
    assert reply.status == 403  # money takes a sign-in


REFUSALS = {"invalid_session": 400, "not_paid": 400, "unauthorized": 403, "invalid_quantity": 400,
            "no_subscription": 400, "quantity_too_low": 400, "billing_disabled": 503,
            "stripe_unreachable": 503}


def test_billings_answers_become_those_of_the_api(paid, alpha):
    person = paid.enter()
    paid.plan(person, quantity=2)
    person.connect("alpha", "key")
    answers = {
        "billing_checkout": {"url": "https://checkout.stripe.com/c/pay/cs_1"},
        "billing_verify": {"alreadyLinked": True}, "billing_quantity": {"quantity": 4},
        "billing_portal": {"url": "https://billing.stripe.com/p/session/1"}}

    def ask(path, body=None):
        return person.call("POST", f"/api/billing/{path}", body)

    with rpc.Peer(paid, "billing", {n: lambda _, n=n: answers[n] for n in answers}) as billing:
        until(lambda: ask("portal").status == 200, 20, "auth to find billing")
        billing.asked.clear()
        assert ask("checkout", {"quantity": 3}).json() == {"url": answers["billing_checkout"]["url"]}
        assert ask("verify-checkout", {"session_id": "cs_test_1"}).json() == {
            "success": True, "already_linked": True}
        assert ask("update-quantity", {"quantity": 4}).json() == {"success": True, "quantity": 4}
        assert ask("portal").json() == {"url": answers["billing_portal"]["url"]}
        page = f"{paid.origin}/dashboard"
        assert billing.asked == [
            ("billing_checkout", {
                "userID": person.id, "email": person.email, "quantity": 3, "cancelURL": page,
                "successURL": page + "?session_id={CHECKOUT_SESSION_ID}"}),
            ("billing_verify", {"userID": person.id, "sessionID": "cs_test_1"}),
            ("billing_quantity", {"userID": person.id, "quantity": 4, "activeConnections": 1}),
            ("billing_portal", {"userID": person.id, "returnURL": page})]
        for refusal, status in REFUSALS.items():
            for name in answers:
                answers[name] = {"refusal": refusal, "alreadyLinked": False}
            reply = ask("verify-checkout", {"session_id": "cs_1"})
            assert reply.status == status and reply.json()["error"] == {
                "stripe_unreachable": "service_unavailable"}.get(refusal, refusal)
            assert ("Retry-After" in reply.headers) == (refusal == "stripe_unreachable")
            assert ask("portal").status == ask("update-quantity", {"quantity": 1}).status == status
        for name in answers:
            answers[name] = {"refusal": "moon_phase", "alreadyLinked": False}
        assert ask("portal").status == 503  # of a newer build


def test_without_a_price_there_are_no_plans(own_system, alpha):
    system = own_system()
    person = system.person()
    access = [person.connect("alpha", "key") for _ in range(5)]
    assert all(each.call().status == 200 for each in access)
    value = me(person)
    assert (value["plan"], value["max_connections"], value["active_connections"]) == (
        "unlimited", None, 5)
    for path in ("checkout", "verify-checkout", "update-quantity", "portal"):
        reply = person.call("POST", f"/api/billing/{path}", {"quantity": 1, "session_id": "cs_1"})
        assert (reply.status, reply.json()["error"]) == (503, "billing_disabled")
    assert person.call("DELETE", "/api/account").json() == {"success": True}
    assert rows(system, "SELECT count(*) FROM billing_farewells") == [(0,)]


def test_billing_killed_stops_nobody(own_system, alpha):
    system = own_system(ON)
    person = system.person()
    access = person.connect("alpha", "key")
    halt(system.pid("billing"))
    try:
        assert access.call().status == 200 and me(person)["max_connections"] == 2
        person.connect("alpha", "key")
        refused(try_connect(person), "limit_reached")
    finally:
        os.kill(system.pid("billing"), signal.SIGKILL)
    throughout(lambda: access.call().status == 200, 2, "the traffic")
