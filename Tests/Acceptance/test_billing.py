# Does the webhook receiver believe Stripe and nobody else, and lose nothing it said yes to? Signed
# by the official library, sent through the edge to the real process; what was acknowledged is
# looked for in the database after a kill.

import concurrent.futures
import gzip
import hashlib
import hmac
import http.client
import json
import os
import signal
import sqlite3
import time

import pytest
import stripe
from system import System
from waiting import until

NEW, OLD = "whsec_new_secret", "whsec_old_secret"
PATHS = ("/webhooks/stripe", "/api/webhooks/stripe")


@pytest.fixture(scope="module")
def desk(catalogue):
    with System(catalogue, {"STRIPE_WEBHOOK_SECRET": f"{NEW},{OLD}"}) as running:
        yield running


def event(name, **more):
    return json.dumps({
        "id": f"evt_{name}", "object": "event", "type": "invoice.paid", "livemode": False,
        "created": int(time.time()), "api_version": "2025-01-27.acacia",
        "data": {"object": {"id": "in_1", "object": "invoice", "customer": "cus_1"}}, **more})


def sign(body, secret=NEW, at=None):
    at = int(time.time()) if at is None else at
    code = stripe.WebhookSignature._compute_signature(f"{at}.{body}", secret)
    header = f"t={at},v1={code}"
    if abs(time.time() - at) < 290:
        stripe.WebhookSignature.verify_header(body, header, secret, 300)
    return header


def deliver(system, body, signature, path=PATHS[0]):
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=30)
    headers = {"Host": system.host, "Content-Type": "application/json; charset=utf-8"}
    if signature is not None:
        headers["Stripe-Signature"] = signature
    try:
        connection.request("POST", path, body.encode() if isinstance(body, str) else body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def filed(system):
    """The ids in the inbox. Another process's reads take no lock that matters to ours."""
    with sqlite3.connect(f"file:{system.data}/bindery.sqlite?mode=ro", uri=True) as database:
        return [row[0] for row in database.execute("SELECT id FROM stripe_inbox ORDER BY sequence")]


def ready(system):
    try:
        return system.fetch(system.ops["billing"], "/readyz")[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("secret", [NEW, OLD], ids=["new", "old"])
def test_an_event_of_stripe_is_filed(path, secret, desk):
    body = event(f"good_{secret}_{PATHS.index(path)}")
    assert deliver(desk, body, sign(body, secret), path) == 200
    assert json.loads(body)["id"] in filed(desk)


def test_what_is_not_stripes_or_no_event_is_refused(desk):
    body, before = event("forged"), filed(desk)
    now = int(time.time())
    refused = [
        (body, None), (body, ""), (body, sign(body, "whsec_other")), (body, sign(body, at=now - 310)),
        (body, sign(body, at=now + 310)), (body + " ", sign(body)), (body, sign(body) + f",t={now}"),
        (body, sign(body).replace("v1=", "v0=")), ("[]", sign("[]")), ("{", sign("{")),
        (body[:-1] + ',"id":"evt_second"}', sign(body[:-1] + ',"id":"evt_second"}')),
    ]
    for text, signature in refused:
        assert deliver(desk, text, signature) == 400, (text, signature)
    assert filed(desk) == before


def test_a_thousand_signatures_are_judged_in_bounded_time(desk):
    body = event("many")
    good = sign(body)
    # As many as a head may carry.
    header = ",".join([good.split(",")[0], *["v1=" + "0" * 64] * 400, good.split(",")[1]])
    start = time.monotonic()
    assert deliver(desk, body, header) == 200
    assert time.monotonic() - start < 1


def test_the_largest_body_passes_and_one_byte_more_does_not(desk):
    for size, status in (((1 << 20) - 1, 200), (1 << 20, 200), ((1 << 20) + 1, 413)):
        body = event(f"size_{size}", pad="")
        body = body[:-2] + "x" * (size - len(body)) + body[-2:]
        assert len(body) == size
        assert deliver(desk, body, sign(body)) == status


def test_the_bytes_count_not_what_they_mean(desk):
    """Line ends, blanks and compression are part of what is signed; nobody changes them on the way."""
    body = event("crlf").replace(", ", ",\r\n\t ")
    assert deliver(desk, body, sign(body)) == 200
    assert deliver(desk, body.replace("\r\n", "\n"), sign(body)) == 400
    with sqlite3.connect(f"file:{desk.data}/bindery.sqlite?mode=ro", uri=True) as database:
        kept = database.execute("SELECT body FROM stripe_inbox WHERE id = 'evt_crlf'").fetchone()[0]
    assert kept == body.encode()
    packed = gzip.compress(event("gzip").encode())
    at = int(time.time())
    code = hmac.new(NEW.encode(), b"%d." % at + packed, hashlib.sha256).hexdigest()
    # Signed truly, but Stripe sends no such thing, and nothing here unpacks it.
    assert deliver(desk, packed, f"t={at},v1={code}") == 400
    assert "evt_gzip" not in filed(desk)


def test_the_clock_may_differ_by_300_seconds(desk):
    now = int(time.time())
    for name, at, status in (("past", now - 298, 200), ("future", now + 298, 200),
                             ("older", now - 302, 400), ("newer", now + 303, 400)):
        body = event(f"clock_{name}")
        assert deliver(desk, body, sign(body, at=at)) == status, name


def test_sixty_four_copies_are_one_event(desk):
    body = event("copies")
    signature = sign(body)
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        assert set(pool.map(lambda _: deliver(desk, body, signature), range(64))) == {200}
    assert filed(desk).count("evt_copies") == 1


def test_an_acknowledged_event_survives_a_kill(own_system):
    system = own_system({"STRIPE_WEBHOOK_SECRET": NEW})
    acknowledged = []

    def send(number):
        body = event(f"kill_{number}")
        try:
            if deliver(system, body, sign(body)) == 200:
                acknowledged.append(f"evt_kill_{number}")
        except (OSError, http.client.HTTPException):
            pass

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for round in range(5):
            tasks = [pool.submit(send, round * 100 + number) for number in range(100)]
            until(lambda: len(acknowledged) > round * 20, 20, "some answers")
            old = system.pid("billing")
            os.kill(old, signal.SIGKILL)
            concurrent.futures.wait(tasks)
            until(lambda: system.pids().get("billing", old) != old, 20, "a new process")
            until(lambda: ready(system), 20, "its readiness")
    rows = filed(system)
    assert len(rows) == len(set(rows))
    assert set(acknowledged) <= set(rows)
    assert len(acknowledged) > 50


def test_billing_that_is_off_says_so(system):
    body = event("off")
    assert deliver(system, body, sign(body)) == 503
    assert "evt_off" not in filed(system)
