# What tests of plans share: a system without billing, which a test stands in for, and what people and
# programs are told about plans. Time passes by aging rows of a stopped system.

import itertools
import sqlite3

import rpc
from loose import Loose

DAY = 86400
ON = {"STRIPE_PRICE_CONNECTIONS": "price_test", "EDGE_THREADS": "1"}
PAID_ONLY = ON | {"TRIAL_DAYS": "0"}
versions = itertools.count(1)


class Desk(Loose):
    """A system without billing, which the tests stand in for."""

    def plan(self, person, plan="active", quantity=0, version=None, **more):
        """Puts a standing into force."""
        standing = {"version": version or next(versions), "plan": plan, "quantity": quantity,
                    "why": ["the test says so"], **more}
        return rpc.call(self, "auth", "plan_set", {"userID": person.id, "standing": standing})

    def contact(self, at):
        rpc.call(self, "auth", "billing_contact", {"caughtUpAt": int(at)})

    def age(self, *changes):
        """Changes rows while nothing runs, which is how time passes here."""
        assert self.stop() == 0
        database = sqlite3.connect(f"{self.data}/bindery.sqlite", isolation_level=None)
        for sql, *values in changes:
            assert database.execute(sql, values).rowcount > 0
        database.close()
        self.start()

    def enter(self):
        person = self.person()
        person.id = person.call("GET", "/api/me").json()["id"]
        return person


def endless(connection):
    """Answers a GET with a stream that nobody ends, and everything else."""
    while request := connection.request():
        if request.method == "GET":
            connection.stream()
            return connection.wait_for_end()
        connection.answer({})


def me(person):
    reply = person.call("GET", "/api/me")
    assert reply.status == 200, reply
    return reply.json()


def counts(person):
    value = me(person)
    return tuple(value[f"{n}_connections"] for n in ("max", "active", "suspended"))


def try_connect(person, service="alpha"):
    return person.call("POST", f"/api/connections/{service}/api-key", {"api_key": "key"})


def refused(reply, reason):
    assert reply.status == 403, reply
    value = reply.json()
    assert (value["error"], value["reason"]) == ("forbidden", reason), value
    assert "dashboard" in value["message"]


def is_suspended(system, answer):
    value = answer.json()
    assert (answer.status, value["error"]["code"], value["id"]) == (402, -32002, 1), answer
    assert value["error"]["data"] == {"dashboard_url": f"{system.origin}/dashboard"}


def is_ended(system, answer):
    value = answer.json()
    assert (answer.status, value["error"]["code"], value["id"]) == (403, -32004, 1), answer
    assert value["error"]["data"] == {"dashboard_url": f"{system.origin}/dashboard"}


def run(desk):
    """A desk for a fixture."""
    desk.start()
    yield desk
    desk.stop()
    desk.remove()
