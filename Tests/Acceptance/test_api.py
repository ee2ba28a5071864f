# Is the REST API what its document says, for browsers and programs, whatever they send? Every call
# that can be generated from /api/openapi.json is answered as documented and never with a server
# error (SCHEMA_CALLS, default 600, is how many); texts that break other systems do no harm in any
# field; CORS and CSRF rules hold on every route and on errors.

import http.client
import json
import os
import subprocess

import pytest
from conftest import key
from rules import refuses
from system import PASSWORD, ROOT, Reply

CALLS = int(os.environ.get("SCHEMA_CALLS", "600"))
FOREIGN = ["https://attacker.example", "null", "http://127.0.0.1.attacker.example", ""]


@pytest.fixture(scope="module")
def place(catalogue):
    from system import System, free_port
    port = free_port()
    admin = "http://127.0.0.1:3999"
    with System(catalogue, {"EDGE_LISTEN": f"127.0.0.1:{port}",
                            "ADMIN_URL": f"http://127.0.0.1:{port},{admin}"}) as running:
        running.admin = admin
        yield running


@pytest.fixture
def person(place):
    return place.person()


def made(reply, status=201):
    assert reply.status == status, reply
    return reply.json()


def raw(system, method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=30)
    try:
        connection.request(method, path, body, {"Host": system.host} | (headers or {}))
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def cookie(person):
    person.token, token = None, person.token
    reply = person.call("POST", "/api/auth/login", {"email": person.email, "password": PASSWORD})
    person.token = token
    return reply.headers["Set-Cookie"].split(";")[0]


def document(system):
    return made(raw(system, "GET", "/api/openapi.json"), 200)


def operations(system):
    return [(method.upper(), path, operation) for path, item in document(system)["paths"].items()
            for method, operation in item.items() if method != "parameters"]


def test_every_generated_call_is_answered_as_documented(place, alpha, seed, tmp_path):
    person, other = place.person(), place.person()
    access = person.connect("alpha", key(), "managed")
    value = access.another()
    box = made(person.call("POST", "/api/spaces", {"name": "x", "connections": [access.id]}))
    user = made(person.call("POST", "/api/keys"))
    rights = ["connections:read", "connections:use", "connections:write"]
    space = made(person.call("POST", f"/api/spaces/{box['id']}/keys", {"permissions": rights}))
    foreign = other.connect("alpha", key())
    sessions = [place.person().token for _ in range(20)]
    facts = tmp_path / "facts"
    facts.write_text(json.dumps({
        "url": f"{place.origin}/api/openapi.json",
        "tokens": [person.token, person.token, user["key"], space["key"], ""],
        "spare": sessions,
        "ids": {"id": [access.id, foreign.id, box["id"]], "service": ["alpha", "dead", "nobody"],
                "credential": [access.credentials()["credentials"][1]["id"]],
                "key": [user["id"], space["id"]]}}))
    assert value
    done = subprocess.run(
        [str(ROOT / ".venv-api" / "bin" / "python"),
         str(ROOT / "Tests" / "Acceptance" / "programs" / "schema_calls.py"), str(facts),
         str(CALLS), str(seed % 2**32)], capture_output=True, text=True, timeout=3600, cwd=tmp_path)
    assert done.stdout, done.stderr[-3000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["failures"] == [], "\n".join(result["failures"])
    assert result["calls"] >= CALLS, result
    assert result["operations"] == len(operations(place))
    print(result)


NAUGHTY = [
    "", " ", "\t", "undefined", "null", "None", "true", "NaN", "-1", "1e400", "0x0", "1;2",
    "\u0000", "a\u0000b", "\u0001\u0007\u001b[31m", "\u007f\u0085", "\u200b\u200c\u2060",
    "\u202egnirts", "\u2066x\u2069", "\ufeff", "\ufffe", "\uffff", "\U0001f469\u200d\U0001f467",
    "Z\u0351\u036b\u0343a\u0363\u0307l\u0324g\u0329o", "\u0430dmin", "\u212a", "e\u0301", "\ufb01",
    "\u3000", "\r\nSet-Cookie: x=y", "x\r\n\r\n<html>", "'; DROP TABLE users; --", "' OR 1=1 --",
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "{{7*7}}", "${7*7}", "%s%n%x",
    "../../../etc/passwd", "..%2f..%2f", "file:///etc/passwd", "|cat /etc/passwd", "$(id)", "`id`",
    "http://169.254.169.254/", "\\\\server\\share", "CON", "a" * 257, "a" * 5000, "\u00e9" * 3000,
    "\U0010ffff", "=1+1", "@SUM(1)", "\ud800".encode("utf-16", "surrogatepass").hex(),
]


def fields(schema, components):
    """The text members of a body, by name."""
    if "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[1]]
    for name, member in schema.get("properties", {}).items():
        kinds = member.get("type", "string")
        kinds = kinds if isinstance(kinds, list) else [kinds]
        if "string" in kinds:
            yield name, None
        if "array" in kinds:
            yield name, []


def sound(name, place):
    """A value that is good for this member, so that only one is naughty at a time."""
    return {"email": "a@example.org", "password": PASSWORD, "api_key": "k", "name": "x",
            "label": "x", "key_storage_mode": "zero_knowledge"}.get(name, "x")


def test_naughty_strings_do_no_harm_in_any_field(place, person, alpha):
    access = person.connect("alpha", key(), "managed")
    box = made(person.call("POST", "/api/spaces", {"name": "x", "connections": [access.id]}))
    paths = {"{service}": "alpha", "{credential}": access.id, "{key}": access.id}
    count = 0
    for method, path, operation in operations(place):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if not content or path.endswith("/logout"):
            continue
        target = path.replace("{id}", box["id"] if "spaces" in path else access.id)
        for name, value in paths.items():
            target = target.replace(name, value)
        if method == "DELETE" and target.count("/") == 3:
            continue  # it would end what the other calls need
        needed = {n: sound(n, place) for n in content["schema"].get("required", [])}
        for name, shape in fields(content["schema"], document(place)["components"]["schemas"]):
            for text in NAUGHTY:
                reply = person.call(method, target, needed | {
                    name: [text] if shape == [] else text})
                count += 1
                known = operation["responses"]
                off = reply.status == 503 and reply.json()["error"] == "billing_disabled"
                assert str(reply.status) in known and (
                    reply.status < 500 or reply.status == 502 or off), (
                        method, path, name, text, reply)
                assert reply.headers["X-Content-Type-Options"] == "nosniff"
                assert reply.headers["Set-Cookie"] is None or reply.status in (200, 201)
                assert b"<script>" not in reply.body and b"<img" not in reply.body
    assert count > 500
    for text in NAUGHTY:
        from urllib.parse import quote
        for path in ("/api/connections/{}", "/api/spaces/{}", "/api/connections/{}/activity"):
            encoded = quote(text, safe="")
            if encoded:
                reply = person.call("GET", path.format(encoded))
                assert reply.status in (400, 404, 414, 431), (text, reply)
    kept = made(person.call("GET", "/api/connections"), 200)["connections"]
    assert access.id in [each["id"] for each in kept]


def test_a_kept_text_comes_back_as_it_was(person, alpha):
    access = person.connect("alpha", key())
    for text in ["\u0430dmin", "\U0001f469\u200d\U0001f467", "'; DROP TABLE users; --", "e\u0301",
                 "<b>", "\u00e9", "{{7*7}}", "Z\u0351\u036ba"]:
        reply = person.call("PATCH", f"/api/connections/{access.id}", {"label": text})
        assert made(reply, 200)["label"] == text
        assert person.call("GET", f"/api/connections/{access.id}").json()["label"] == text


def readable(reply, origin):
    assert reply.headers.get_all("Access-Control-Allow-Origin") == [origin], reply.headers
    assert reply.headers.get_all("Access-Control-Allow-Credentials") == ["true"]
    assert "Origin" in ", ".join(reply.headers.get_all("Vary"))


def hidden(reply):
    for name in ("Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"):
        assert reply.headers[name] is None, reply.headers


def test_every_route_is_readable_by_the_dashboard_and_by_nobody_else(place, person):
    for method, path, _ in operations(place):
        if not path.startswith("/api/"):
            continue  # what is for MCP clients has its own rule
        target = path.replace("{", "").replace("}", "")
        ours = raw(place, method, target, {"Origin": place.admin})
        assert ours.status in (200, 204, 400, 401, 415, 429), (method, path, ours)
        readable(ours, place.admin)
        for origin in FOREIGN:
            hidden(raw(place, method, target, {"Origin": origin}))
        hidden(raw(place, method, target))


@pytest.mark.parametrize("what", ["unknown", "method", "too large", "media type", "unauthorized"])
def test_errors_are_readable_by_the_dashboard(what, place, person):
    headers = {"Origin": place.admin, "Authorization": f"Bearer {person.token}"}
    method, path, body, status = {
        "unknown": ("GET", "/api/nothing", None, 404), "method": ("PUT", "/api/me", None, 405),
        "too large": ("POST", "/api/keys", b"x" * 70_000, 413),
        "media type": ("POST", "/api/keys", b"{}", 415),
        "unauthorized": ("GET", "/api/me", None, 401)}[what]
    if what == "unauthorized":
        del headers["Authorization"]
    reply = raw(place, method, path, headers, body)
    assert reply.status == status, reply
    readable(reply, place.admin)
    assert set(reply.json()) == {"error", "message"}
    hidden(raw(place, method, path, headers | {"Origin": FOREIGN[0]}, body))


def test_the_dashboard_reads_that_auth_is_down(own_system):
    import signal
    from system import free_port
    port, admin = free_port(), "http://127.0.0.1:3999"
    system = own_system({"EDGE_LISTEN": f"127.0.0.1:{port}", "ADMIN_URL": admin})
    os.kill(system.process.pid, signal.SIGSTOP)  # nobody starts auth again meanwhile
    try:
        os.kill(system.pid("auth"), signal.SIGKILL)
        from waiting import until
        until(lambda: raw(system, "GET", "/api/me").status == 503, 10, "auth to be gone")
        reply = raw(system, "GET", "/api/me", {"Origin": admin})
        assert reply.status == 503 and reply.headers["Retry-After"]
        readable(reply, admin)
        hidden(raw(system, "GET", "/api/me", {"Origin": FOREIGN[0]}))
    finally:
        os.kill(system.process.pid, signal.SIGCONT)


def test_preflights(place):
    asks = {"Access-Control-Request-Method": "PATCH",
            "Access-Control-Request-Headers": "authorization, content-type"}
    for path in ("/api/me", "/api/connections/x", "/api/auth/login", "/api/nothing"):
        reply = raw(place, "OPTIONS", path, asks | {"Origin": place.admin})
        assert reply.status == 204 and not reply.body
        readable(reply, place.admin)
        methods = reply.headers["Access-Control-Allow-Methods"].replace(" ", "").split(",")
        assert {"GET", "POST", "PATCH", "DELETE"} <= set(methods) and "*" not in methods
        allowed = reply.headers["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
        assert set(allowed) == {"authorization", "content-type"}
        assert int(reply.headers["Access-Control-Max-Age"]) <= 86400
        for origin in FOREIGN:
            refused = raw(place, "OPTIONS", path, asks | {"Origin": origin})
            assert refused.status == 403
            hidden(refused)


@refuses("I14")
def test_a_cookie_changes_nothing_for_a_foreign_page(place, person, alpha):
    access = person.connect("alpha", key(), "managed")
    held = cookie(person)
    own = place.origin
    for method, path, operation in operations(place):
        if method == "GET" or operation["security"] == []:
            continue
        assert "`forbidden`" in operation["responses"]["403"]["description"]
        target = path.replace("{id}", access.id).replace("{service}", "alpha")
        target = target.replace("{credential}", access.id).replace("{key}", access.id)
        for origin in [*FOREIGN[:3], None]:
            headers = {"Cookie": held, "Content-Type": "application/json"}
            headers |= {"Origin": origin} if origin else {}
            reply = raw(place, method, target, headers, b"{}")
            assert reply.status == 403, (method, path, origin, reply)
            assert reply.json()["error"] in ("forbidden", "forbidden_origin")
    kept = raw(place, "GET", f"/api/connections/{access.id}", {"Cookie": held})
    assert kept.status == 200
    for origin in (own, place.admin):
        reply = raw(place, "PATCH", f"/api/connections/{access.id}",
                    {"Cookie": held, "Origin": origin, "Content-Type": "application/json"},
                    json.dumps({"label": origin[:50]}).encode())
        assert reply.status == 200, reply


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded",
                                  "multipart/form-data; boundary=x", None])
def test_what_a_form_can_send_is_no_body(kind, place, person):
    """A page can send these across origins without being asked first."""
    headers = {"Cookie": cookie(person), "Origin": place.origin}
    headers |= {"Content-Type": kind} if kind else {}
    reply = raw(place, "POST", "/api/spaces", headers, b'{"name":"x"}')
    assert reply.status == 415
    assert person.call("GET", "/api/spaces").json() == {"spaces": []}


def test_the_document_is_for_everybody_and_names_this_installation(place):
    value = document(place)
    assert value["openapi"] == "3.1.0"
    assert value["servers"] == [{"url": place.origin}]
    text = json.dumps(value)
    for word in ("userk_", "spacek_", "bindery_session"):
        assert word in text


def test_a_mode_is_changed_with_a_working_credential_alone(person, alpha):
    access = person.connect("alpha", key())
    path = f"/api/connections/{access.id}/mode"
    other = person.connect("alpha", key())
    for body in ({}, {"key_storage_mode": "managed"},
                 {"key_storage_mode": "managed", "credential": None},
                 {"key_storage_mode": "x", "credential": access.api_key}):
        assert person.call("PATCH", path, body).status == 400
    for credential in ("x", other.api_key, access.api_key[:-2] + "AA"):
        reply = person.call("PATCH", path, {"key_storage_mode": "managed", "credential": credential})
        assert reply.status == 403, reply
    for form, mode in ((access.api_key, "managed"), (access.url, "zero_knowledge"),
                       (access.secret, "managed")):
        value = made(person.call(
            "PATCH", path, {"key_storage_mode": mode, "credential": form}), 200)
        assert value["connection"]["key_storage_mode"] == mode
        assert access.call().status == 200
