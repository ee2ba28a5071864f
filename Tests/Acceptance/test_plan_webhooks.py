# Do plans follow what Stripe says, all the way from a webhook to the edge? Every process is real, events
# are signed by the official library, and Stripe's API is not there to be asked.

import concurrent.futures
import itertools
import json
import os
import signal
import time

import pytest
from plan_desk import DAY, ON, counts, is_suspended, me, refused, run, try_connect
from system import System
from test_billing import deliver, sign
from test_jobs import rows, status
from test_plans import Onlooker
from waiting import until

SECRET = "whsec_plans"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shop(catalogue):
    yield from run(System(catalogue, ON | {"STRIPE_WEBHOOK_SECRET": SECRET, "TRIAL_DAYS": "0"}))


class Customer:
    """A person with a subscription at Stripe, as its events tell of it. Each event is a second younger
    than the one before, so that none is ambiguous."""

    def __init__(self, shop):
        self.shop, self.person, number = shop, shop.person(), next(numbers)
        self.person.id = self.id = me(self.person)["id"]
        self.customer, self.subscription = f"cus_{number}", f"sub_{number}"
        self.clock = int(time.time()) - 1000

    def tell(self, kind, item):
        self.clock += 1
        body = json.dumps({
            "id": f"evt_plan_{next(numbers)}", "object": "event", "type": kind, "livemode": False,
            "created": self.clock, "api_version": "2025-03-31.basil", "data": {"object": item}})
        assert deliver(self.shop, body, sign(body, SECRET)) == 200

    def subscribe(self, quantity, change="updated", status="active", **more):
        end = int(time.time()) + 30 * DAY
        self.tell(f"customer.subscription.{change}", {
            "id": self.subscription, "object": "subscription", "customer": self.customer,
            "status": status, "created": self.clock - 100, "cancel_at_period_end": False,
            "cancel_at": None, "ended_at": None, "metadata": {"bindery_user_id": self.id},
            "items": {"object": "list", "data": [{
                "id": "si_1", "quantity": quantity, "price": {"id": "price_test"},
                "current_period_end": end}]}, **more})

    def invoice(self, what):
        self.tell(f"invoice.{what}", {
            "id": f"in_{next(numbers)}", "object": "invoice", "customer": self.customer,
            "parent": {"type": "subscription_details",
                       "subscription_details": {"subscription": self.subscription}}})

    def comes_to(self, *wanted):
        until(lambda: counts(self.person) == wanted, 15, f"{wanted}, not {counts(self.person)}")


def test_a_plan_follows_the_events_of_a_subscription(shop, alpha):
    customer = Customer(shop)
    person = customer.person
    refused(try_connect(person), "trial_ended")
    customer.subscribe(3, "created")
    customer.comes_to(3, 0, 0)
    access = [person.connect("alpha", f"key{n}") for n in range(3)]
    customer.subscribe(1)
    customer.comes_to(1, 1, 2)
    assert access[0].call().status == 200
    is_suspended(shop, access[2].call())
    customer.subscribe(2)
    customer.comes_to(2, 2, 1)
    # A payment fails: everything goes on, and is well when it is paid.
    customer.invoice("payment_failed")
    until(lambda: me(person)["past_due_since"], 15, "the word of the failed payment")
    assert counts(person) == (2, 2, 1) and access[1].call().status == 200
    customer.invoice("paid")
    until(lambda: not me(person)["past_due_since"], 15, "the word of the payment")
    # Cancelled to the end of the period, and then ended.
    end = int(time.time()) + 20 * DAY
    customer.subscribe(2, cancel_at_period_end=True, cancel_at=end)
    until(lambda: me(person)["plan"] == "canceled", 15, "the cancellation")
    assert counts(person) == (2, 2, 1) and me(person)["access_until"]
    customer.subscribe(2, "deleted", status="canceled", ended_at=customer.clock)
    customer.comes_to(0, 0, 3)
    is_suspended(shop, access[0].call())
    refused(try_connect(person), "canceled")
    code, text = status(shop, "--user", person.id)
    assert code == 0 and "0 active, 3 suspended" in text and customer.subscription in text


def test_32_parallel_connects_never_exceed_what_a_webhook_lowers_meanwhile(shop, alpha):
    customer = Customer(shop)
    customer.subscribe(20, "created")
    customer.comes_to(20, 0, 0)
    with Onlooker(shop, customer) as onlooker, \
            concurrent.futures.ThreadPoolExecutor(32) as threads:
        tries = [threads.submit(try_connect, customer.person) for _ in range(32)]
        until(lambda: onlooker.most >= 3, 20, "the first connections")
        customer.subscribe(5)
        statuses = [each.result().status for each in tries]
    made = statuses.count(201)
    assert set(statuses) <= {201, 403} and 3 <= made <= 20 and not onlooker.broken
    customer.comes_to(5, min(made, 5), max(made - 5, 0))
    assert rows(shop, "SELECT count(*) FROM connections WHERE user_id = ?",
                customer.id) == [(made,)]


def test_an_event_that_came_while_auth_was_away_is_in_force_when_it_is_back(shop, alpha):
    customer = Customer(shop)
    customer.subscribe(2, "created")
    customer.comes_to(2, 0, 0)
    access = [customer.person.connect("alpha", "key") for _ in range(2)]
    before = shop.pid("auth")
    os.kill(before, signal.SIGKILL)
    customer.subscribe(1)
    until(lambda: shop.pids().get("auth", before) != before, 20, "another auth")
    until(lambda: access[1].call().status == 402, 40, "the suspension")
    assert access[0].call().status == 200
    # The token is of before; the person signs in as ever.
    assert counts(customer.person) == (1, 1, 1)
