# What people without an account may send: messages to the help desk (a scripted Zoho Desk), reports of
# browsers, wishes for services. Forms are written by `requests`, and by hand where they are wrong.

import concurrent.futures
import json
import uuid

import pytest
import requests
from desk import Zoho
from oauth import rows
from system import System
from waiting import until

TEXT = "It does not work.\n<b>Really</b> & \"truly\"."


@pytest.fixture
def zoho():
    started = Zoho()
    yield started
    started.close()


@pytest.fixture
def world(own_system, zoho):
    return own_system(zoho.settings)


@pytest.fixture(scope="module")
def silent(catalogue):
    """Without a help desk."""
    with System(catalogue) as system:
        yield system


def post(system, path, **how):
    headers = {"Host": system.host} | how.pop("headers", {})
    return requests.post(f"http://127.0.0.1:{system.port}{path}", headers=headers, timeout=60, **how)


def nonce(system):
    reply = post(system, "/api/support/nonce")
    assert reply.status_code == 200 and set(reply.json()) == {"nonce"}
    return reply.json()["nonce"]


def ticket(system, file=None, **change):
    fields = {"nonce": None, "email": "writer@example.org", "username": "Wri Ter", "topic": "Help",
              "description": TEXT} | change
    if fields["nonce"] is None:
        fields["nonce"] = nonce(system)
    parts = [(name, (None, value)) for name, value in fields.items() if value is not ...]
    return post(system, "/api/support/ticket", files=parts + ([("file", file)] if file else []))


def refused(reply, status, code):
    assert reply.status_code == status, reply.text
    assert reply.json()["error"] == code, reply.text


def test_a_message_becomes_a_ticket(world, zoho):
    reply = ticket(world)
    assert reply.status_code == 200 and reply.json() == {"ok": True, "ticket_number": "101"}
    text = ("It does not work.<br>&lt;b&gt;Really&lt;/b&gt; &amp; &quot;truly&quot;.<br><br>---<br>"
            "App version: 0.1.0")
    assert zoho.tickets == [{
        "subject": "Help", "departmentId": "8001", "email": "writer@example.org", "channel": "Web",
        "contact": {"email": "writer@example.org", "lastName": "Wri Ter"}, "description": text}]
    assert ticket(world, username=...).status_code == 200
    assert zoho.tickets[-1]["contact"]["lastName"] == "writer@example.org"
    assert zoho.tokens == 1, "one token serves many"
    log = world.log.read_bytes()
    for word in (b"canary-zoho", b"writer@example.org", b"does not work", b"Wri Ter"):
        assert word not in log


@pytest.mark.parametrize("size", [0, 1, 100_000, 10 * 1024 * 1024])
def test_a_file_goes_along_byte_for_byte(size, world, zoho):
    content = bytes(i * 7 % 256 for i in range(1000)) * (size // 1000 + 1)
    content = (b"\r\n--x\r\n" + content)[:size]
    assert ticket(world, ("shot \u00e9 1.png", content, "image/png")).status_code == 200
    upload = zoho.asked("/api/v1/tickets/90001/attachments")[0]
    name, received = Zoho.file(upload)
    assert received == content
    assert name == "shot____1.png" or name.startswith("shot"), name


def test_a_file_that_is_too_large_is_refused(world, zoho):
    refused(ticket(world, ("x", b"x" * (10 * 1024 * 1024 + 1))), 400, "invalid_request")
    assert post(world, "/api/support/ticket", files=[("file", ("x", b"x" * 11_000_000))]
                ).status_code == 413
    assert not zoho.tickets


def test_a_lost_attachment_loses_no_ticket(world, zoho):
    zoho.trouble["/api/v1/tickets/90001/attachments"] = (500, {})
    assert ticket(world, ("x.txt", b"x")).json() == {"ok": True, "ticket_number": "101"}
    until(lambda: b'"ticket_attachment_lost"' in world.log.read_bytes(), 10, "the line")


def test_a_nonce_lets_one_message_through(world, zoho):
    used = nonce(world)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: ticket(world, nonce=used).status_code, range(8)))
    assert sorted(replies) == [200] + [403] * 7 and len(zoho.tickets) == 1
    refused(ticket(world, nonce=used), 403, "invalid_nonce")
    refused(ticket(world, nonce=str(uuid.uuid4())), 403, "invalid_nonce")
    refused(ticket(world, nonce="x"), 403, "invalid_nonce")
    refused(ticket(world, nonce=""), 400, "invalid_request")
    refused(ticket(world, nonce=...), 400, "invalid_request")
    spent = nonce(world)
    refused(ticket(world, nonce=spent, email="no address"), 400, "invalid_request")
    refused(ticket(world, nonce=spent), 403, "invalid_nonce")


@pytest.mark.parametrize("change", [
    {"email": "no address"}, {"email": ...}, {"email": "a@b.example\r\nBcc: c@d.example"},
    {"topic": ""}, {"topic": ...}, {"topic": "x" * 101}, {"topic": "a\nb"},
    {"description": ""}, {"description": ...}, {"description": " \n "}, {"description": "x" * 10_001},
    {"description": "a\0b"}, {"description": b"\xff\xfe"}, {"username": "x" * 101},
    {"username": "a\u202eb"}])
def test_a_field_that_is_wrong_is_refused(change, silent):
    refused(ticket(silent, **change), 400, "invalid_request")


def test_without_a_help_desk_nothing_is_taken(silent):
    refused(ticket(silent), 503, "service_unavailable")


@pytest.mark.parametrize("path, answer", [
    ("/api/v1/tickets", (500, {})), ("/api/v1/tickets", (200, {})),
    ("/api/v1/tickets", (200, {"id": "../x", "ticketNumber": "1"})),
    ("/api/v1/tickets", (422, {"errorCode": "INVALID_DATA"})),
    ("/oauth/v2/token", (200, {"error": "invalid_code"})), ("/oauth/v2/token", (500, {}))])
def test_trouble_at_the_help_desk_is_told_as_such(path, answer, world, zoho):
    zoho.trouble[path] = answer
    refused(ticket(world), 500, "ticket_creation_failed")
    del zoho.trouble[path]
    assert ticket(world).status_code == 200


def test_a_token_that_ended_early_is_replaced(world, zoho):
    assert ticket(world).status_code == 200
    zoho.live = None
    assert ticket(world).status_code == 200
    assert zoho.tokens == 2 and len(zoho.tickets) == 2


def field(name, value=b"x", head=b""):
    return (b'--B\r\nContent-Disposition: form-data; name="%s"\r\n%s\r\n%s\r\n'
            % (name, head, value))


WRONG_FORMS = {
    "empty": b"", "only the end": b"--B--\r\n", "no end": field(b"nonce"),
    "preamble": b"hello\r\n" + field(b"nonce") + b"--B--\r\n",
    "epilogue": field(b"nonce") + b"--B--\r\nmore",
    "bare line feeds": field(b"nonce").replace(b"\r\n", b"\n") + b"--B--\n",
    "another boundary": field(b"nonce").replace(b"--B", b"--C") + b"--C--\r\n",
    "blank behind the boundary": field(b"nonce").replace(b"--B\r", b"--B \r") + b"--B--\r\n",
    "no disposition": b"--B\r\nContent-Type: text/plain\r\n\r\nx\r\n--B--\r\n",
    "two dispositions": field(b"nonce", head=b"Content-Disposition: form-data; name=\"x\"\r\n")
    + b"--B--\r\n",
    "a strange field": field(b"nonce", head=b"X-A: b\r\n") + b"--B--\r\n",
    "an encoded part": field(b"nonce", head=b"Content-Transfer-Encoding: base64\r\n") + b"--B--\r\n",
    "an escaped name": field(b'no\\"nce') + b"--B--\r\n",
    "a long head": field(b"nonce", head=b"Content-Type: " + b"x" * 2000 + b"\r\n") + b"--B--\r\n",
    "too many parts": field(b"nonce") * 17 + b"--B--\r\n",
}


@pytest.mark.parametrize("what", WRONG_FORMS)
def test_a_form_that_can_be_read_in_two_ways_is_refused(what, silent):
    reply = post(silent, "/api/support/ticket", data=WRONG_FORMS[what],
                 headers={"Content-Type": "multipart/form-data; boundary=B"})
    refused(reply, 400, "invalid_request")


@pytest.mark.parametrize("kind", [
    "application/json", "multipart/mixed; boundary=B", "multipart/form-data",
    "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "B" * 71,
    "multipart/form-data; boundary=B; boundary=C", "multipart/form-data; boundary=\"B"])
def test_what_is_no_form_with_files_is_refused(kind, silent):
    reply = post(silent, "/api/support/ticket", data=field(b"nonce") + b"--B--\r\n",
                 headers={"Content-Type": kind})
    refused(reply, 415, "unsupported_media_type")


def test_a_page_of_somebody_else_can_send_nothing(silent):
    foreign = {"Origin": "http://attacker.example"}
    for path in ("/api/support/nonce", "/api/support/ticket", "/api/interest"):
        assert post(silent, path, headers=foreign).status_code == 403


OLD = {"csp-report": {"document-uri": "http://canary.example/canary-page?canary",
                      "violated-directive": "script-src 'self' canary-value",
                      "blocked-uri": "https://canary.example/canary.js", "line-number": 7,
                      "disposition": "report", "original-policy": "canary-policy"}}
NEW = [{"type": "csp-violation", "age": 1, "url": "canary",
        "body": {"documentURL": "canary", "effectiveDirective": "style-src-elem", "blockedURL": "inline",
                 "disposition": "enforce", "lineNumber": 3, "sample": "canary-sample"}},
       {"type": "deprecation", "body": {"id": "canary"}}]


def logged(system):
    return [json.loads(line) for line in system.log.read_bytes().splitlines()
            if b'"content_policy_violated"' in line]


def test_reports_of_browsers_leave_words_of_ours_alone(own_system):
    system = own_system()
    own = {"csp-report": OLD["csp-report"] | {"document-uri": system.origin + "/dashboard?canary=1",
                                              "violated-directive": "canary-src"}}
    for body in (OLD, NEW, own):
        reply = post(system, "/api/csp-report", data=json.dumps(body),
                     headers={"Content-Type": "application/csp-report"})
        assert reply.status_code == 204 and not reply.content
    lines = until(lambda: len(logged(system)) == 3 and logged(system), 10, "the lines")
    shown = [{k: line[k] for k in ("directive", "blocked", "disposition", "page", "line")}
             for line in lines]
    assert shown == [
        {"directive": "script-src", "blocked": "https", "disposition": "report", "page": "other",
         "line": 7},
        {"directive": "style-src-elem", "blocked": "inline", "disposition": "enforce",
         "page": "other", "line": 3},
        {"directive": "other", "blocked": "https", "disposition": "report", "page": "ours",
         "line": 7}]
    for rubbish in (b"", b"{}", b"[]", b"x", b'{"csp-report":5}', b"[1]", b'{"a":1,"a":2}',
                    b"\xff" * 10):
        assert post(system, "/api/csp-report", data=rubbish).status_code in (204, 429)
    assert b"canary" not in system.log.read_bytes()
    assert len(logged(system)) == 3


def test_reports_are_few_and_small(own_system):
    system = own_system()
    assert post(system, "/api/csp-report", data=b"x" * 10_241).status_code == 413
    assert post(system, "/api/csp-report", data=b"x" * 10_240).status_code == 204
    statuses = [post(system, "/api/csp-report", data=b"{}").status_code for _ in range(10)]
    assert statuses == [204] * 9 + [429]
    assert requests.get(f"http://127.0.0.1:{system.port}/api/csp-report", timeout=30,
                        headers={"Host": system.host}).status_code == 405


@pytest.fixture
def wishing(own_system, catalogue):
    coming = {"id": "coming", "name": "Coming", "mcp_url": "https://coming.example/mcp",
              "transport": "streamable-http", "oauth": {"registration": "static"}}
    set_up = {**coming, "id": "here", "name": "Here"}
    return own_system({"HERE_CLIENT_ID": "x", "HERE_CLIENT_SECRET": "y"},
                      [*catalogue, coming, set_up])


def wish(system, service, headers=None):
    return post(system, "/api/interest", json={"service": service}, headers=headers or {})


def test_a_wish_is_noted_once_an_hour_without_an_address(wishing):
    system = wishing
    person = system.person()
    me = person.call("GET", "/api/me").json()["id"]
    bearer = {"Authorization": f"Bearer {person.token}"}
    for _ in range(3):
        reply = wish(system, "coming", bearer)
        assert reply.status_code == 200 and reply.json() == {"ok": True}
    assert rows(system, "bindery", "SELECT service, user_id FROM interest") == [("coming", me)]
    for service in ("alpha", "here", "nowhere", "", "Coming", "coming ", "c\u00f6ming", "../x"):
        refused(wish(system, service), 400, "invalid_request")
    for body in ({}, {"service": 5}, {"service": None}, []):
        assert post(system, "/api/interest", json=body).status_code == 400


def test_a_wish_of_nobody_counts_too(wishing):
    assert wish(wishing, "coming", {"Authorization": "Bearer junk"}).status_code == 200
    assert rows(wishing, "bindery", "SELECT service, user_id FROM interest") == [("coming", None)]


def test_nonces_are_few_for_one_network(own_system):
    system = own_system()
    statuses = [post(system, "/api/support/nonce").status_code for _ in range(31)]
    assert statuses == [200] * 30 + [429]
