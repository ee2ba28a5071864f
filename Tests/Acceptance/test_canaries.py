# Does anything that passes through leave a trace? Canaries are planted in paths, queries, headers,
# bodies, upstream answers, account calls and every error path; then every log, database, journal,
# outbox file and metric is searched for them, raw, percent-encoded, in base64 and in hex.
# Only the two key files, whose purpose is to hold keys, are left out.

import base64
import json
import os
import re
import secrets
import signal
import urllib.parse

import pytest
from desk import Clerk
from prometheus_client.parser import text_string_to_metric_families
from system import PASSWORD, System
from test_jobs import PostOffice
from waiting import until
from wire import Cut, head

KEY_FILES = {"managed-keys.json", "signing-keys.json", "providers.json"}


class Canaries:
    """Makes canaries and knows every form in which one could come back."""

    def __init__(self):
        self.made = {}

    def new(self, place):
        value = f"canary{secrets.token_hex(12)}z"
        self.made[place] = value.encode()
        return value

    def add(self, place, value):
        self.made[place] = value if isinstance(value, bytes) else value.encode()

    def forms(self):
        for place, value in self.made.items():
            for form, text in forms(value):
                yield place, form, text


def forms(value):
    yield "raw", value
    yield "hex", value.hex().encode()
    yield "HEX", value.hex().upper().encode()
    yield "percent", "".join(f"%{b:02X}" for b in value).encode()
    yield "percent, small", "".join(f"%{b:02x}" for b in value).encode()
    yield "quoted", urllib.parse.quote(value).encode()
    for shift in range(3):  # where in a longer text it stands decides its base64 form
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            text = encode(b"\0" * shift + value + b"\0" * ((-shift - len(value)) % 3))
            yield f"{name} at {shift}", text[4 if shift else 0:len(text) - 4]


def contents(system):
    for path in sorted(system.folder.rglob("*")):
        if path.is_file() and path.name not in KEY_FILES and "epochs" not in path.name:
            yield str(path.relative_to(system.folder)), path.read_bytes()
    yield "metrics", system.metrics()


def search(system, canaries):
    wanted = list(canaries.forms())
    found = []
    for name, data in contents(system):
        small = data.lower()
        for place, form, text in wanted:
            if text in data or (form == "raw" and text.lower() in small):
                found.append((name, place, form))
    return found


def test_the_search_finds_every_form_of_a_canary():
    value = b"canary0123456789abcdefz"
    for form, text in forms(value):
        assert len(text) >= 20
    for shift in range(30):
        whole = base64.b64encode(b"x" * shift + value + b"yy")
        assert any(text in whole for form, text in forms(value) if form.startswith("base64")), shift


@pytest.fixture(scope="module")
def planted(catalogue, scripted):
    """A system of its own through which every canary went."""
    canaries, office, clerk = Canaries(), PostOffice(), Clerk()
    settings = {"LOG_LEVEL": "debug", **office.settings, **clerk.settings}
    try:
        with System(catalogue, settings) as system:
            everything(system, scripted["alpha"], canaries)
            forgotten(system, office, canaries)
            clerks_people(system, clerk, canaries)
            yield system, canaries
    finally:
        office.close()
        clerk.close()


def quietly(system, data, half_close=False):
    with system.wire() as wire:
        try:
            wire.send(data)
            if half_close:
                wire.socket.shutdown(1)
            return wire.answer()
        except (Cut, OSError):
            return None


def everything(system, upstream, canaries):
    new = canaries.new
    upstream.reset()
    person = system.person()
    accounts(system, person, canaries)
    key, managed_key = new("provider key"), new("managed provider key")
    access = person.connect("alpha", key)
    managed = person.connect("alpha", managed_key, "managed")
    dead = person.connect("dead", new("key of an unreachable provider"))
    for each in (access, managed, dead):
        half = base64.urlsafe_b64decode(each.secret + "==")
        canaries.add(f"secret URL of {each.service} {each.id[:4]}", each.secret)
        canaries.add(f"second half of {each.service} {each.id[:4]}", half[32:])
        canaries.add(f"first half of {each.service} {each.id[:4]}", half[:32])
    traffic(system, upstream, access, managed, dead, canaries)
    faults(system, upstream, access, canaries)


def accounts(system, person, canaries):
    new = canaries.new
    password = new("password")
    made = person.call("POST", "/api/auth/register",
                       {"email": f"x{secrets.token_hex(4)}@example.org", "password": password})
    assert made.status == 201
    for name in ("access_token", "refresh_token"):
        canaries.add(name, made.json()[name])
    cookie = re.search(r"bindery_session=([^;]+)", str(made.headers.get("Set-Cookie")))
    canaries.add("session cookie", cookie[1])
    person.call("POST", "/api/auth/login", {"email": "nobody@example.org",
                                            "password": new("wrong password")})
    person.call("POST", "/api/auth/login", {"email": new("unknown e-mail") + "@example.org",
                                            "password": PASSWORD})
    person.call("POST", "/api/auth/token", {"refresh_token": new("unknown refresh token")})
    person.call("GET", "/api/me", headers={"Authorization": "Bearer " + new("unknown access token")})
    person.call("GET", "/api/me", headers={"Cookie": "bindery_session=" + new("unknown cookie")})
    person.call("GET", "/api/" + new("unknown route"))
    person.call("GET", "/api/connections/" + new("unknown connection"))
    person.call("POST", "/api/connections/alpha/api-key", {"api_key": 5, new("unknown field"): 1})
    person.call("POST", f"/api/connections/{new('unknown service')}/api-key", {"api_key": "x"})
    for data in (b'{"email":"' + new("cut JSON").encode(), b"{" + new("bad JSON").encode() + b"}",
                 b'{"a":"' + new("double key").encode() + b'","a":1}'):
        quietly(system, head("POST", "/api/auth/login", [
            ("Host", system.host), ("Content-Type", "application/json"),
            ("Content-Length", str(len(data)))]) + data)


def forgotten(system, office, canaries):
    """A link to a new password on its way out, used, and used again; and others that are none."""
    person = system.person()
    post = lambda path, body: person.call("POST", f"/api/auth/{path}", body)
    assert post("forgot-password", {"email": person.email}).status == 202
    post("forgot-password", {"email": canaries.new("address without an account") + "@example.org"})

    def mailed():
        texts = [r["text_body"] for r in office.requests if r["to"] == [person.email]]
        return next((t for t in texts if "#token=" in t), None)

    token = re.search(r"#token=(\S+)", until(mailed, 20, "the link"))[1]
    canaries.add("reset token", token)
    canaries.add("signature of a reset token", token.split(".")[2])
    for _ in range(2):
        post("reset-password", {"token": token, "password": canaries.new("new password")})
    post("reset-password", {"token": canaries.new("unknown reset token"), "password": PASSWORD})
    forged = ".".join([*token.split(".")[:2], canaries.new("signature of a forged reset token")])
    assert post("reset-password", {"token": forged, "password": PASSWORD}).status == 400


def clerks_people(system, clerk, canaries):
    person = system.person()
    for place, claims in (("good", {}), ("late", {"exp": 1}), ("foreign", {"iss": "https://x.example"})):
        token = clerk.token("user_1", sid=canaries.new(f"session at Clerk of a {place} token"), **claims)
        canaries.add(f"{place} Clerk token", token)
        canaries.add(f"signature of a {place} Clerk token", token.split(".")[2])
        reply = person.call("GET", "/api/me", headers={"Authorization": f"Bearer {token}"})
        assert reply.status == (200 if place == "good" else 401)
    canaries.add("Clerk's API key", "sk_test_canary_of_clerk")


def traffic(system, upstream, access, managed, dead, canaries):
    new = canaries.new

    def behave(connection):
        while request := connection.request():
            connection.answer({"jsonrpc": "2.0", "id": 1, "result": new("answer")},
                              [("Mcp-Session-Id", new("session")), ("X-A", new("answer header"))])

    upstream.become(behave)
    for form in ("url", "header"):
        for each in (access, managed):
            body = '{"jsonrpc":"2.0","id":"%s","method":"%s","params":"%s"}' % (
                new(f"id {form}"), new(f"method {form}"), new(f"body {form}"))
            extra = [("Cookie", new("cookie")), ("X-Canary", new("header")), ("Mcp-Name", new("name")),
                     ("User-Agent", new("agent")), ("Mcp-Method", new("method header")),
                     ("Last-Event-ID", new("event id")), ("Referer", f"http://{new('referrer')}/"),
                     ("Mcp-Session-Id", new("unknown session")), ("traceparent", new("trace"))]
            each.call(body.encode(), form, [e for e in extra if e[0] != "Mcp-Session-Id"])
            each.call(body.encode(), form, extra)

    def stream(connection):
        connection.request()
        connection.stream()
        connection.chunk(f"id: {new('event')}\ndata: {new('data')}\n\n".encode())
        connection.finish()

    upstream.become(stream)
    access.call()
    dead.call(f'{{"id":"{new("id to nowhere")}","method":"{new("method to nowhere")}"}}'.encode())
    unknown = secrets.token_urlsafe(64)
    canaries.add("unknown secret URL", unknown)
    for target in (f"/mcp/alpha/{unknown}", f"/mcp/{new('unknown path')}/{unknown}",
                   f"/{new('path elsewhere')}?{new('query')}=1",
                   f"{access.path}?{new('query of a credential')}=1"):
        quietly(system, head("POST", target, access.headers(extra=[("Content-Length", "2")])) + b"{}")
    for value in (f"Bearer bnd_test_{unknown}", f"Bearer {new('unknown token')}",
                  f"Basic {new('basic')}", f"Bearer userk_{new('user key')}",
                  f"Bearer spacek_{new('space key')}", f"Bearer a.{new('JWT')}.b"):
        quietly(system, head("POST", "/mcp/alpha", [("Host", system.host), ("Authorization", value),
                                                    ("Content-Length", "2")]) + b"{}")
    quietly(system, head("POST", access.path, [
        ("Host", new("host").lower() + ".example"), ("Content-Length", "2")]) + b"{}")
    quietly(system, head("POST", access.path, [
        ("Host", system.host), ("Origin", f"http://{new('origin')}"), ("Content-Length", "2")]) + b"{}")


def faults(system, upstream, access, canaries):
    new, host = canaries.new, system.host
    for data in (f"{new('method')} / HTTP/1.1\r\nHost: {host}\r\n\r\n",
                 f"GET /{new('raw path')}\x00 HTTP/1.1\r\nHost: {host}\r\n\r\n",
                 f"GET / HTTP/{new('version')}\r\nHost: {host}\r\n\r\n",
                 f"GET / HTTP/1.1\r\nHost: {host}\r\n{new('header name')} : x\r\n\r\n",
                 f"GET / HTTP/1.1\r\nHost: {host}\r\nX: {new('header value')}\x7f\r\n\r\n",
                 f"POST {access.path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {new('length')}\r\n\r\n",
                 f"POST {access.path} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: {new('coding')}\r\n\r\n",
                 f"POST {access.path} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n"
                 f"{new('chunk size')}\r\n",
                 f"POST {access.path} HTTP/1.1\r\nHost: {host}\r\nExpect: {new('expectation')}\r\n\r\n",
                 f"POST {access.path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 500\r\n\r\n{new('cut body')}",
                 f"GET /{new('long line')}{'x' * 9000} HTTP/1.1\r\nHost: {host}\r\n\r\n",
                 f"GET / HTTP/1.1\r\nHost: {host}\r\nX: {new('large head')}{'x' * 40000}\r\n\r\n"):
        quietly(system, data.encode("latin-1"), half_close=True)
    for answer in (f"HTTP/1.1 500 {new('reason')}\r\nContent-Length: 40\r\n\r\n{new('short body')}",
                   f"{new('not HTTP')}\r\n\r\n",
                   f"HTTP/1.1 200 OK\r\n{new('upstream header')} : x\r\n\r\n",
                   f"HTTP/1.1 302 Found\r\nLocation: http://{new('redirect')}/\r\nContent-Length: 0\r\n\r\n",
                   f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{new('upstream chunk')}\r\n",
                   f"HTTP/1.1 401 No\r\nWWW-Authenticate: Bearer realm=\"{new('realm')}\"\r\n"
                   f"Content-Length: 31\r\n\r\n{new('refusal')}"):
        def behave(connection, answer=answer):
            connection.request()
            connection.send(answer.encode("latin-1"))
        upstream.become(behave)
        try:
            access.call(f'{{"id":"{new("id of a failure")}"}}'.encode())
        except Cut:
            pass
    upstream.reset()


def test_no_canary_is_in_a_log_a_database_a_journal_or_a_metric(planted):
    system, canaries = planted
    assert len(canaries.made) > 70
    assert not search(system, canaries)


def ready(system, name):
    try:
        return system.fetch(system.ops[name], "/readyz")[0] == 200
    except OSError:
        return False


def test_no_canary_is_left_when_a_service_dies_with_it_in_hand(planted, scripted):
    """A process that aborts in the middle of a request leaves neither a core nor a trace."""
    system, canaries = planted
    upstream = scripted["alpha"]

    def behave(connection):
        connection.request()
        connection.wait_for_end(10)

    upstream.reset(behave)
    person = system.person()
    access = person.connect("alpha", canaries.new("key at a crash"))
    canaries.add("secret at a crash", access.secret)
    for name in ("edge", "auth", "scheduler", "billing"):
        with system.wire() as wire:
            access.post(wire, f'{{"id":"{canaries.new("body at a crash of " + name)}"}}'.encode())
            until(lambda: upstream.requests, 5, "the request upstream")
            pid = system.pid(name)
            os.kill(pid, signal.SIGABRT)
            until(lambda: system.pids().get(name, pid) != pid, 20, f"a new {name}")
            until(lambda: ready(system, name), 20, f"a ready {name}")
        upstream.reset(behave)
    upstream.reset()

    def serves():
        try:
            return access.call().status == 200
        except (Cut, OSError):
            return False

    until(serves, 20, "service after the crashes")
    assert not list(system.folder.rglob("core*"))
    assert not search(system, canaries)


def test_no_canary_is_left_after_the_stop(planted):
    system, canaries = planted
    assert system.stop() == 0
    found = search(system, canaries)
    system.start()
    assert not found


def test_metrics_tell_what_happened_without_telling_about_whom(planted):
    system, _ = planted
    text = system.metrics().decode()
    for service in ("edge", "auth", "billing", "scheduler"):
        assert f"bindery_{service}_" in text
    assert "bindery_edge_requests_total" in text
    for line in text.splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9_]+(\{[^}]*\})? [0-9.eE+\-]+(Inf|NaN)?( \d+)?", line), line


@pytest.mark.parametrize("name", ["edge", "auth", "billing", "scheduler"])
def test_metrics_are_read_by_prometheus_and_keep_its_conventions(name, planted):
    system, _ = planted
    status, text = system.fetch(system.ops[name], "/metrics")
    families = list(text_string_to_metric_families(text.decode()))
    assert status == 200 and len(families) >= 4
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    for family in families:
        assert family.name.startswith(f"bindery_{name}_") and family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram"), family
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb)(_|$)", family.name)
        series = [(s.name, tuple(sorted(s.labels.items()))) for s in family.samples]
        assert len(set(series)) == len(series), family.name
        ends = {s.name.removeprefix(family.name) for s in family.samples}
        if family.type == "counter":
            assert ends == {"_total"} and all(s.value >= 0 for s in family.samples)
        elif family.type == "gauge":
            assert ends <= {""} and not family.name.endswith(("_total", "_count", "_sum"))
        else:
            check_histogram(family)


def check_histogram(family):
    buckets, counts = {}, {}
    for sample in family.samples:
        labels = tuple(sorted((n, v) for n, v in sample.labels.items() if n != "le"))
        if sample.name.endswith("_bucket"):
            buckets.setdefault(labels, []).append((float(sample.labels["le"]), sample.value))
        elif sample.name.endswith("_count"):
            counts[labels] = sample.value
    assert buckets and set(buckets) == set(counts), family.name
    for labels, row in buckets.items():
        assert row == sorted(row) and [v for _, v in row] == sorted(v for _, v in row)
        assert row[-1] == (float("inf"), counts[labels])


def test_the_log_is_one_json_object_per_line(planted):
    system, _ = planted
    lines = system.log.read_bytes().splitlines()
    assert len(lines) > 20
    for line in lines:
        value = json.loads(line)
        assert set(value) >= {"ts", "level", "service", "event"}, value


def test_services_cannot_dump_core_and_show_no_secret_in_their_environment(planted):
    system, canaries = planted
    key_file = system.data / "managed-keys.json"
    assert key_file.stat().st_mode & 0o777 == 0o600
    secret = re.findall(rb"[0-9a-f]{64}", key_file.read_bytes())
    assert secret
    for name, pid in system.pids().items():
        limits = open(f"/proc/{pid}/limits").read()
        assert re.search(r"Max core file size\s+0\s+0", limits), name
        for file in ("environ", "cmdline"):
            data = open(f"/proc/{pid}/{file}", "rb").read()
            assert not any(s in data for s in secret), (name, file)
