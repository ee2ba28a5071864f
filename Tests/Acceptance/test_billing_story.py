# Does the whole story of a paying person come out right, over real HTTP, with localstripe as Stripe?
# Checkout, subscription, another quantity, a payment that fails, recovery, cancellation; and what
# happens when Stripe's events, Stripe itself or auth are away for a while.

import json
import os
import signal
import sqlite3
import subprocess
import time

import pytest
import stripe
from conftest import key
from stripes import KEY, PRICE, Stripe
from system import BIN, System
from waiting import halt, until


@pytest.fixture(scope="module")
def shop(catalogue):
    """A Stripe and a system that belong together."""
    till = Stripe()
    with System(catalogue, till.settings | {"TRIAL_CONNECTIONS": "1"}) as running:
        till.send_to(running)
        yield running, till
    till.close()


def standing(system, person):
    with sqlite3.connect(f"file:{system.data}/bindery.sqlite?mode=ro", uri=True) as database:
        row = database.execute(
            "SELECT plan, quantity, past_due_since IS NOT NULL, access_until IS NOT NULL FROM plans"
            " WHERE user_id = (SELECT id FROM users WHERE email = ?)", (person.email,)).fetchone()
    return row and (row[0], row[1], bool(row[2]), bool(row[3]))


def rows(system, sql, *values):
    with sqlite3.connect(f"file:{system.data}/bindery.sqlite?mode=ro", uri=True) as database:
        return database.execute(sql, values).fetchall()


def subscription_of(system, person):
    found = rows(system, "SELECT s.id FROM subscriptions s JOIN stripe_customers c"
                 " ON c.id = s.customer_id JOIN users u ON u.id = c.user_id WHERE u.email = ?"
                 " ORDER BY s.created_at DESC, s.id", person.email)
    return found[0][0] if found else None


def subscribe(system, till, person, quantity=2):
    page = person.call("POST", "/api/billing/checkout", {"quantity": quantity})
    assert page.status == 200, page
    session = till.complete(page.json()["url"])
    until(lambda: standing(system, person) == ("active", quantity, False, False), 10,
          lambda: f"the standing, which is {standing(system, person)}")
    return session


def next_second():
    """What Stripe tells of one second needs asking; most of what people do takes longer."""
    now = int(time.time())
    until(lambda: time.time() > now + 1, 3, "the next second")


def tool(system, *words):
    done = subprocess.run([str(BIN / "bindery"), *words], env=system.environment, cwd="/",
                          capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout, done.stderr


def test_from_checkout_to_the_end(shop, alpha):
    system, till = shop
    person = system.person()
    assert person.call("POST", "/api/billing/portal").status == 400
    person.connect("alpha", key())
    refused = person.call("POST", "/api/connections/alpha/api-key", {"api_key": key()})
    assert refused.status in (402, 403), refused  # the trial's one connection is there
    session = subscribe(system, till, person)
    assert person.call("POST", "/api/billing/verify-checkout", {"session_id": session}).json() == {
        "success": True, "already_linked": True}
    person.connect("alpha", key())

    changed = person.call("POST", "/api/billing/update-quantity", {"quantity": 3})
    assert changed.json() == {"success": True, "quantity": 3}, changed
    assert standing(system, person) == ("active", 3, False, False)
    low = person.call("POST", "/api/billing/update-quantity", {"quantity": 1})
    assert (low.status, low.json()["error"]) == (400, "quantity_too_low")
    assert "billing.stripe.example" in person.call("POST", "/api/billing/portal").json()["url"]

    subscription = subscription_of(system, person)
    next_second()
    assert till.renew(subscription, "pm_card_chargeCustomerFail")["status"] == "open"
    until(lambda: standing(system, person) == ("active", 3, True, False), 10, "past due")
    assert till.renew(subscription)["status"] == "paid"
    until(lambda: standing(system, person) == ("active", 3, False, False), 10, "recovery")

    till.api.v1.subscriptions.update(subscription, {"cancel_at_period_end": True})
    until(lambda: standing(system, person) == ("canceled", 3, False, True), 10, "its end")
    till.api.v1.subscriptions.cancel(subscription)
    until(lambda: standing(system, person) == ("canceled", 0, False, True), 10, "the end")

    until(lambda: len(rows(system, "SELECT 1 FROM billing_mails")) == 0, 10, "the mails")
    mails = {kind for kind, in rows(
        system, "SELECT kind FROM mail_queue WHERE recipient = ?", person.email)}
    assert mails == {"subscription_confirmed", "payment_failed", "access_ends"}


def test_every_change_asked_of_stripe_has_a_key_and_the_pinned_version(shop):
    system, till = shop
    subscribe(system, till, system.person())
    ours = [each for each in till.told()["requests"] if each["version"] == "2026-10-28.endive"
            and each["path"] != "/v1/plans"]
    posts = [each for each in ours if each["method"] == "POST"]
    assert posts and all(each["key"] and len(each["key"]) >= 30 for each in posts)
    assert {each["authorization"] for each in ours} == {f"Bearer {KEY}"}
    assert all(each["key"] is None for each in ours if each["method"] != "POST")
    until(lambda: not rows(system, "SELECT purpose FROM stripe_posts"), 10, "every answer")
    log = system.log.read_text()
    assert KEY not in log and till.settings["STRIPE_WEBHOOK_SECRET"] not in log


def test_a_checkout_is_linked_before_its_events_arrive_and_only_to_its_person(shop):
    system, till = shop
    person, other = system.person(), system.person()
    till.switch("silent", True)
    try:
        page = person.call("POST", "/api/billing/checkout", {"quantity": 4}).json()["url"]
        open_session = page.rsplit("/", 1)[1]

        def verify(who, session):
            answer = who.call("POST", "/api/billing/verify-checkout", {"session_id": session})
            return answer.status, answer.json().get("error", answer.json().get("already_linked"))

        assert verify(person, open_session) == (400, "not_paid")
        session = till.complete(page)
        assert verify(other, session) == (403, "unauthorized")
        assert verify(person, "cs_test_nobody") == (400, "invalid_session")
        assert verify(person, "../events") == (400, "invalid_session")
        assert verify(person, session) == (200, False)
        assert standing(system, person) == ("active", 4, False, False)
        assert verify(person, session) == (200, True)
    finally:
        till.switch("silent", False)


def test_what_no_webhook_told_is_found_at_the_next_start(shop):
    system, till = shop
    person = system.person()
    subscribe(system, till, person)
    subscription = subscription_of(system, person)
    till.switch("silent", True)
    till.api.v1.subscriptions.update(subscription, {"items": [{"quantity": 7}]})
    till.switch("silent", False)
    assert standing(system, person)[1] == 2
    old = system.pid("billing")
    os.kill(old, signal.SIGKILL)
    until(lambda: system.pids().get("billing", old) != old, 20, "a new process")
    until(lambda: standing(system, person) == ("active", 7, False, False), 20, "the quantity")


def test_stripe_away_is_told_as_such_and_costs_no_event(shop):
    system, till = shop
    person = system.person()
    subscribe(system, till, person)
    next_second()
    till.switch("down", True)
    try:
        answer = person.call("POST", "/api/billing/checkout", {"quantity": 1})
        assert answer.status == 503 and answer.headers["Retry-After"], answer
        till.renew(subscription_of(system, person), "pm_card_chargeCustomerFail")
        # The events alone say enough, though nothing can be asked.
        until(lambda: standing(system, person) == ("active", 2, True, False), 10, "past due")
        assert rows(system, "SELECT count(*) FROM stripe_inbox WHERE state = 'parked'") == [(0,)]
    finally:
        till.switch("down", False)
    until(lambda: not rows(system, "SELECT 1 FROM subscriptions WHERE doubt IS NOT NULL"), 20,
          "the doubts to be settled")
    assert standing(system, person) == ("active", 2, True, False)


def test_auth_away_delays_a_standing_and_loses_none(shop):
    system, till = shop
    person = system.person()
    subscribe(system, till, person)
    auth = system.pid("auth")
    halt(auth)
    try:
        till.api.v1.subscriptions.update(subscription_of(system, person),
                                         {"items": [{"quantity": 6}]})
        until(lambda: rows(system, "SELECT 1 FROM billing_standings WHERE quantity = 6"), 10,
              "billing to know")
        assert standing(system, person)[1] == 2
        assert rows(system, "SELECT count(*) FROM stripe_inbox WHERE tries > 1") == [(0,)]
    finally:
        os.kill(auth, signal.SIGCONT)
    until(lambda: standing(system, person) == ("active", 6, False, False), 45, "auth to know")


def test_a_deleted_account_is_forgotten_here_and_at_stripe(shop):
    system, till = shop
    person = system.person()
    subscribe(system, till, person)
    subscription = subscription_of(system, person)
    customer = till.api.v1.subscriptions.retrieve(subscription).customer
    assert person.call("DELETE", "/api/account").status == 200
    until(lambda: till.api.v1.subscriptions.retrieve(subscription).status == "canceled", 20,
          "the subscription to end")

    def is_gone():
        try:
            till.api.v1.customers.retrieve(customer)
        except stripe.InvalidRequestError as error:
            return error.http_status == 404
        return False

    until(is_gone, 20, "the customer to go")
    until(lambda: not rows(system, "SELECT 1 FROM stripe_farewells"), 10, "the note of it")
    assert rows(system, "SELECT 1 FROM subscriptions WHERE id = ?", subscription) == []
    until(lambda: not rows(system, "SELECT 1 FROM stripe_inbox WHERE customer_id = ?"
                           " AND body IS NOT NULL", customer), 10, "the bodies to go")


def test_the_tool_lists_events_and_replays_them(shop):
    system, till = shop
    person = system.person()
    subscribe(system, till, person)
    code, out, _ = tool(system, "webhooks", "list", "--json")
    events = json.loads(out)
    assert {"id", "type", "state", "tries", "received_at"} <= set(events[0])
    assert code == 0 and {each["state"] for each in events} <= {"applied", "ignored", "waiting"}
    event = next(each for each in events if each["type"] == "customer.subscription.created")
    assert tool(system, "webhooks", "replay", event["id"])[:2] == (0, "replayed\n")
    until(lambda: rows(system, "SELECT state FROM stripe_inbox WHERE id = ?", event["id"])
          != [("waiting",)], 10, "the replay")
    assert standing(system, person) == ("active", 2, False, False)
    assert tool(system, "webhooks", "replay", "evt_nobody")[0] == 1
    assert tool(system, "webhooks")[0] == 2
