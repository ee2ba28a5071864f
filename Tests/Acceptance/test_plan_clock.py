# Does everything that the clock ends end at its second, and not before? Also while auth sleeps, over
# restarts, and while billing is silent, when the last plan holds for 72 hours and no longer.

import os
import signal
import time

import pytest
from consent import Client, Visitor
from plan_desk import (DAY, ON, PAID_ONLY, Desk, counts, endless, is_ended, is_suspended, me, refused,
                       run, try_connect)
from test_keys import space, space_key, user_key, with_key
from test_revocation import Listener
from waiting import halt, throughout, until


@pytest.fixture(scope="module")
def paid(catalogue):
    """Plans without a trial: what is paid for is all there is."""
    yield from run(Desk(catalogue, PAID_ONLY))


@pytest.fixture(scope="module")
def trial(catalogue):
    yield from run(Desk(catalogue, ON))


def test_the_edge_refuses_at_the_end_itself_while_auth_sleeps(trial, alpha):
    person = trial.enter()
    first, second = person.connect("alpha", "key"), person.connect("alpha", "key", "managed")
    room = space(person, second)
    programs = [with_key(second, text) for text in (
        user_key(person)["key"], space_key(person, room, ["connections:use"])["key"],
        Client(trial).tokens(Visitor(person), connection=second.id)["access_token"])]
    end = int(time.time()) + 7
    trial.age(("UPDATE billing_contact SET enabled_at = 1, caught_up_at = ?", end - 30),
              ("UPDATE users SET created_at = ? WHERE id = ?", end - 5 * DAY, person.id))
    shown = [(first, "url"), (first, "header"), (second, "url"),
             *((program, "header") for program in programs)]
    assert [a.call(form=f).status for a, f in shown] == [200] * len(shown)
    assert time.time() < end - 1, "the machine was too slow for this test"
    alpha.become(endless)
    stream = Listener(first, "GET")
    halt(trial.pid("auth"))
    try:
        until(lambda: time.time() >= end, 10, "the end of the trial")
        for access, form in shown:
            is_ended(trial, access.call(form=form))
        until(lambda: stream.ended_at, 5, "the end of the stream")
    finally:
        os.kill(trial.pid("auth"), signal.SIGCONT)
    until(lambda: first.call().status == 402, 10, "the suspension")
    is_suspended(trial, second.call())
    assert counts(person) == (0, 0, 2)
    refused(try_connect(person), "trial_ended")


def test_grace_wins_and_a_payment_reactivates(paid, alpha):
    person = paid.enter()
    paid.plan(person, quantity=2)
    access = [person.connect("alpha", "key") for _ in range(2)]
    now = int(time.time())
    # Past due, and the paid period is over: nobody is suspended by looking.
    paid.plan(person, quantity=2, pastDueSince=now - DAY, paidUntil=now - DAY)
    for _ in range(3):
        assert counts(person) == (2, 2, 0)
    value = me(person)
    assert value["past_due_since"] and value["access_until"]
    paid.contact(time.time())
    paid.plan(person, quantity=2, pastDueSince=now - 3 * DAY + 3)
    assert [each.call().status for each in access] == [200, 200]
    until(lambda: access[0].call().status in (402, 403), 15, "the end of the grace")
    until(lambda: access[1].call().status == 402, 10, "the suspension")
    refused(try_connect(person), "past_due")
    paid.plan(person, quantity=2, paidUntil=now + 30 * DAY)
    assert [each.call().status for each in access] == [200, 200]
    assert counts(person) == (2, 2, 0)


def test_what_is_cancelled_works_to_its_end_and_on_when_that_is_undone(paid, alpha):
    person = paid.enter()
    paid.plan(person, quantity=1)
    access = person.connect("alpha", "key")
    paid.contact(time.time())
    end = int(time.time()) + 3
    paid.plan(person, "canceled", quantity=1, accessUntil=end)
    assert access.call().status == 200 and me(person)["plan"] == "canceled"
    paid.plan(person, quantity=1)
    until(lambda: time.time() > end + 1, 10)
    assert access.call().status == 200 and me(person)["access_until"] is None
    paid.plan(person, "canceled", quantity=1, accessUntil=int(time.time()) - 1)
    is_suspended(paid, access.call())
    refused(try_connect(person), "canceled")


def test_billing_silent_keeps_the_last_plan_for_72_hours_and_no_longer(trial, alpha):
    person = trial.enter()
    trial.plan(person, quantity=2)
    access = [person.connect("alpha", "key") for _ in range(2)]
    now = int(time.time())
    trial.plan(person, quantity=2, pastDueSince=now - 3 * DAY - 3600)  # ended an hour ago
    until(lambda: counts(person)[0] == 2, 5)  # the trial holds yet
    trial.age(("UPDATE users SET created_at = ? WHERE id = ?", now - 30 * DAY, person.id),
              ("UPDATE billing_contact SET enabled_at = 1, caught_up_at = ?", now - 70 * 3600))
    # Billing was silent at the end: its last plan holds, over restarts.
    assert counts(person) == (2, 2, 0)
    assert [each.call().status for each in access] == [200, 200]
    last = int(time.time()) + 5
    trial.age(("UPDATE billing_contact SET caught_up_at = ?", last - 72 * 3600))
    assert access[0].call().status == 200 or time.time() >= last
    until(lambda: access[0].call().status != 200, 15, "the 72 hours to end")
    assert time.time() >= last
    until(lambda: access[1].call().status == 402, 10, "the suspension")
    assert counts(person) == (0, 0, 2)


def test_an_end_that_was_put_off_holds_as_soon_as_billing_is_back(trial, alpha):
    person = trial.enter()
    trial.plan(person, quantity=1)
    access = person.connect("alpha", "key")
    now = int(time.time())
    trial.plan(person, "canceled", quantity=1, accessUntil=now - 60)
    trial.age(("UPDATE users SET created_at = ? WHERE id = ?", now - 30 * DAY, person.id),
              ("UPDATE billing_contact SET enabled_at = 1, caught_up_at = ?", now - 600))
    throughout(lambda: access.call().status == 200, 3, "the last plan")
    trial.contact(time.time())
    until(lambda: access.call().status == 402, 10, "the suspension")
