# Does an answer, or the time that it takes, tell who has an account? People with a password, people of
# Clerk and nobody at all are asked for in turns. Two kinds are told apart when the ranks of their times
# lie five deviations from chance: of a million honest runs one fails, and a skipped password hash never
# passes.

import json
import time

import pytest
from consent import send
from desk import Clerk
from rules import keeps, refuses
from system import System
from test_clerk import call

EACH = 20
KINDS = ("known", "clerk", "nobody")


@pytest.fixture(scope="module")
def people(catalogue):
    """A system, and addresses of each kind."""
    clerk = Clerk()
    with System(catalogue, clerk.settings) as system:
        emails = {"nobody": [f"nobody{n}@example.org" for n in range(EACH)],
                  "clerk": [f"clerk{n}@example.org" for n in range(EACH)], "known": []}
        for number, email in enumerate(emails["clerk"]):
            assert call(system, clerk.token(f"user_{number}", email=email)).status == 200
        for _ in range(EACH):
            emails["known"].append(system.person().email)
        yield system, emails
    clerk.close()


def deviations(one, other):
    """How far the ranks of two samples are from those of one (Mann and Whitney)."""
    wins = sum((a > b) + (a == b) / 2 for a in one for b in other)
    count = len(one) * len(other)
    return (wins - count / 2) / (count * (len(one) + len(other) + 1) / 12) ** 0.5


def judge(times):
    for kind in KINDS:
        print(kind, *(f"{1000 * t:.2f}" for t in sorted(times[kind])[::5]), "ms")
    for one, other in (("known", "nobody"), ("clerk", "nobody"), ("known", "clerk")):
        found = deviations(times[one], times[other])
        assert abs(found) < 5, f"{one} and {other} differ by {found:.1f} deviations"


def test_the_judge_sees_what_is_there():
    even, late = [n / 10 for n in range(EACH)], [n / 10 + 2 for n in range(EACH)]
    assert abs(deviations(even, even)) < 1 and deviations(late, even) > 5 > -5 > deviations(even, late)


def asked(people, ask, rounds=1):
    """Asks for each address, kind after kind; one answer for all, and the times."""
    system, emails = people
    times, answers = {kind: [] for kind in KINDS}, set()
    for number in range(EACH * rounds):
        for turn in range(3):
            kind = KINDS[(number + turn) % 3]
            began = time.perf_counter()
            reply = ask(system, emails[kind][number % EACH])
            times[kind].append(time.perf_counter() - began)
            answers.add((reply.status, reply.body, tuple(n for n, _ in reply.headers.items())))
    assert len(answers) == 1, answers
    judge(times)
    return answers.pop()


def post(system, path, body):
    return send(system, "POST", path, json.dumps(body), {"Content-Type": "application/json"})


@keeps("I13")
@refuses("I13")
def test_a_wrong_password_tells_nothing(people):
    answer = asked(people, lambda system, email: post(
        system, "/api/auth/login", {"email": email, "password": "wrong password 123"}))
    assert answer[0] == 401


@keeps("I13")
@refuses("I13")
def test_a_forgotten_password_tells_nothing(people):
    """Nor does the next answer, for which the first one's work might still go on."""
    def ask(system, email):
        reply = post(system, "/api/auth/forgot-password", {"email": email})
        send(system, "GET", "/api/me", headers={"Authorization": f"Bearer userk_{'A' * 86}"})
        return reply

    assert asked(people, ask, rounds=4)[0] == 202
