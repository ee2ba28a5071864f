# Does every situation of the contract's error table get its code and its HTTP status, in both
# forms of a credential, with the request's id and nothing else of the request? And do Host,
# Origin and headers of strangers get what they deserve?
# Errors are constant: they echo no input and name no version.

import base64
import json

import pytest
from waiting import until
from wire import head

UNKNOWN = "A" * 86


def body(identifier, method="tools/list"):
    return json.dumps({"jsonrpc": "2.0", "id": identifier, "method": method}).encode()


def send(system, target, headers=(), data=body(7), method="POST"):
    extra = [("Content-Length", str(len(data)))] if method == "POST" else []
    with system.wire() as wire:
        wire.send(head(method, target, [("Host", system.host), ("Content-Type", "application/json"),
                                        *headers, *extra]) + (data if method == "POST" else b""))
        return wire.answer(method)


def is_error(answer, status, code, identifier=7):
    assert answer.status == status, answer
    assert answer.clean and answer.header("content-type").startswith("application/json")
    value = answer.json()
    assert value["jsonrpc"] == "2.0" and value["error"]["code"] == code, value
    assert isinstance(value["error"]["message"], str) and value["error"]["message"]
    if identifier is None:
        assert value.get("id") is None
    else:
        assert value["id"] == identifier
    return value


def challenge(answer, service):
    value = answer.header("www-authenticate")
    assert value.startswith("Bearer ")
    assert f'/.well-known/oauth-protected-resource/mcp/{service}"' in value
    return value


DEAD_CREDENTIALS = ["unknown", "short", "long", "not base64url", "of the wrong service", "revoked",
                    "with a foreign second half", "with a wrong prefix"]


@pytest.fixture(scope="module")
def dead(alice, bob, alpha_access):
    other = bob.connect("beta", "key")
    revoked = alice.connect("alpha", "key")
    revoked.revoke()
    secret = alpha_access.secret
    halves = base64.urlsafe_b64decode(secret + "==")
    foreign = base64.urlsafe_b64decode(other.secret + "==")
    mixed = base64.urlsafe_b64encode(halves[:32] + foreign[32:]).decode().rstrip("=")
    return {"unknown": UNKNOWN, "short": secret[:-1], "long": secret + "A",
            "not base64url": secret[:-1] + "+", "of the wrong service": other.secret,
            "revoked": revoked.secret, "with a foreign second half": mixed,
            "with a wrong prefix": secret}


@pytest.mark.parametrize("kind", [k for k in DEAD_CREDENTIALS if k != "with a wrong prefix"])
def test_all_dead_credentials_look_alike_in_a_url(kind, dead, system, alpha):
    answer = send(system, f"/mcp/alpha/{dead[kind]}")
    reference = send(system, f"/mcp/alpha/{UNKNOWN}")
    is_error(answer, 404, -32001)
    assert answer.body == reference.body
    assert [n for n, _ in answer.headers] == [n for n, _ in reference.headers]
    assert not alpha.connections


@pytest.mark.parametrize("kind", DEAD_CREDENTIALS)
def test_all_dead_credentials_look_alike_in_a_header(kind, dead, system, alpha):
    prefix = "bnd_live_" if kind == "with a wrong prefix" else "bnd_test_"
    answer = send(system, "/mcp/alpha", [("Authorization", f"Bearer {prefix}{dead[kind]}")])
    reference = send(system, "/mcp/alpha", [("Authorization", f"Bearer bnd_test_{UNKNOWN}")])
    is_error(answer, 401, -32001)
    assert 'error="invalid_token"' in challenge(answer, "alpha")
    assert answer.body == reference.body
    assert [n for n, _ in answer.headers] == [n for n, _ in reference.headers]
    assert not alpha.connections


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_no_credential_gets_the_way_to_one(method, system, alpha):
    answer = send(system, "/mcp/alpha", method=method)
    assert answer.status == 401
    value = challenge(answer, "alpha")
    assert f'resource_metadata="{system.origin}/.well-known' in value and "error=" not in value
    assert value.endswith(', scope="mcp"')
    assert not alpha.connections


def test_a_credential_in_the_query_is_no_credential(system, alpha_access, alpha):
    answer = send(system, f"/mcp/alpha?access_token={alpha_access.api_key}")
    assert answer.status == 401 and not alpha.connections


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "bnd_test_x",
                                   "Bearer a b", "Bearer bnd_test_", "Token x"])
def test_another_kind_of_authorization_is_refused(value, system, alpha):
    assert send(system, "/mcp/alpha", [("Authorization", value)]).status in (400, 401)
    assert not alpha.connections


def test_two_authorizations_are_refused(system, alpha_access, alpha):
    value = ("Authorization", f"Bearer {alpha_access.api_key}")
    assert send(system, "/mcp/alpha", [value, value]).status in (400, 401)
    assert not alpha.connections


def test_the_scheme_may_be_written_in_any_case(system, alpha_access, alpha):
    for scheme in ("bearer", "BEARER"):
        assert send(system, "/mcp/alpha", [
            ("Authorization", f"{scheme} {alpha_access.api_key}")]).status == 200


@pytest.mark.parametrize("form", ["url", "header"])
def test_an_unreachable_upstream_is_a_502(form, alice):
    access = alice.connect("dead", "key")
    is_error(access.call(body(7), form), 502, -32003)


def test_an_upstream_that_hangs_up_is_a_502(alpha_access, alpha):
    alpha.behaviour = lambda connection: connection.request()
    is_error(alpha_access.call(body(7)), 502, -32003)
    assert len(alpha.requests) == 1


@pytest.mark.parametrize("form", ["url", "header"])
def test_a_key_that_the_provider_refuses_asks_for_a_new_one(form, alice, alpha):
    def behave(connection):
        while connection.request():
            connection.answer({"x": 1}, [("WWW-Authenticate", 'Bearer realm="theirs"')],
                              "401 Unauthorized")

    alpha.behaviour = behave
    access = alice.connect("alpha", "a-key-that-is-refused")
    answer = access.call(body(7), form)
    value = is_error(answer, 401 if form == "header" else 403, -32005)
    assert value["error"]["data"]["reauthorize_url"].startswith(access.system.origin)
    assert access.secret not in json.dumps(value)
    assert "theirs" not in str(answer.headers)


def test_an_unknown_service_is_not_found(system, alpha_access):
    is_error(send(system, f"/mcp/nowhere/{alpha_access.secret}"), 404, -32006)
    is_error(send(system, "/mcp/nowhere", [("Authorization", f"Bearer {alpha_access.api_key}")]),
             404, -32006)


def test_a_network_that_is_not_allowed_is_forbidden(alpha_access, alpha):
    elsewhere = alpha_access.another(networks=["192.0.2.0/24"])
    for form in ("url", "header"):
        is_error(elsewhere.call(body(7), form), 403, -32004)
    assert not alpha.connections
    here = alpha_access.another(networks=["192.0.2.0/24", "127.0.0.0/8"])
    assert here.call(body(7)).status == 200


IDS = [(b'{"jsonrpc":"2.0","id":7,"method":"ping"}', 7),
       (b'{"jsonrpc":"2.0","id":"seven","method":"ping"}', "seven"),
       (b'{"jsonrpc":"2.0","id":-3,"method":"ping"}', -3),
       (b'{"jsonrpc":"2.0","id":"\\u00fc\\"\\n","method":"ping"}', 'ü"\n'),
       (b'{"jsonrpc":"2.0","method":"ping","params":{"id":5},"id":9}', 9),
       (b'{"jsonrpc":"2.0","method":"notifications/x","params":{"id":5}}', None),
       (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', None),
       (b'{"jsonrpc":"2.0","id":{"a":1},"method":"ping"}', None),
       (b'[{"jsonrpc":"2.0","id":7,"method":"ping"}]', None),
       (b'not JSON, "id": 7', None), (b"", None), (b'{"id":7', None),
       (b'{"jsonrpc":"2.0","method":"x","params":"' + b"y" * 200000 + b'","id":7}', None)]


@pytest.fixture(scope="module")
def unreachable(alice):
    return alice.connect("dead", "key")


@pytest.mark.parametrize("row", range(len(IDS)))
def test_an_error_carries_the_id_of_the_request_when_it_is_known(row, unreachable):
    data, identifier = IDS[row]
    answer = unreachable.call(data)
    assert answer.status == 502
    value = answer.json()
    if row == len(IDS) - 1:
        assert value.get("id") in (None, 7), "beyond the bounded look it may be unknown"
    else:
        assert value.get("id") == identifier


def test_a_browser_of_another_origin_is_refused(alpha_access, alpha):
    system = alpha_access.system
    for origin in ("http://attacker.example", "null", f"https://{system.host}",
                   f"http://{system.host}.attacker.example", f"{system.origin}/", "", "http://localhost"):
        for method in ("POST", "GET", "DELETE"):
            answer = send(system, alpha_access.path, [("Origin", origin)], method=method)
            assert answer.status == 403, (origin, method, answer)
    assert not alpha.connections
    assert send(system, alpha_access.path, [("Origin", system.origin)]).status == 200


def test_a_browser_of_an_allowed_origin_is_served(own_system, alpha):
    system = own_system({"ADMIN_URL": "https://dash.example,https://two.example",
                         "MCP_ALLOWED_ORIGINS": "https://client.example"})
    access = system.person().connect("alpha", "key")
    for origin, status in (("https://dash.example", 200), ("https://two.example", 200),
                           ("https://client.example", 200), (system.origin, 200),
                           ("https://other.example", 403), ("http://dash.example", 403)):
        assert send(system, access.path, [("Origin", origin)]).status == status, origin


def test_any_origin_is_served_when_the_operator_says_so(own_system, alpha):
    system = own_system({"MCP_ALLOWED_ORIGINS": "*"})
    access = system.person().connect("alpha", "key")
    assert send(system, access.path, [("Origin", "https://anything.example")]).status == 200


PROTECTED = ["authorization", "host", "content-length", "content-type", "transfer-encoding",
             "mcp-session-id", "mcp-protocol-version", "accept"]


@pytest.mark.parametrize("name", PROTECTED)
def test_a_connection_header_removes_nothing_that_is_ours(name, alpha_access, alpha):
    answer = alpha_access.call(body(7), extra=[("Connection", name),
                                               ("Mcp-Protocol-Version", "2025-11-25")])
    assert answer.status in (200, 400)
    for request in alpha.requests:
        assert request.header("authorization") == f"Bearer {alpha_access.key}"
        assert request.header("host") == f"127.0.0.1:{alpha.port}"
        assert request.body == body(7)


def test_the_upstream_sees_our_key_and_nothing_of_the_client(alpha_access, alpha):
    system = alpha_access.system
    planted = [("Cookie", "canary=1"), ("Proxy-Authorization", "Basic canary"), ("X-Api-Key", "canary"),
               ("Forwarded", "for=canary"), ("X-Forwarded-For", "canary"), ("X-Forwarded-Host", "canary"),
               ("X-Forwarded-Proto", "canary"), ("X-Real-Ip", "canary"), ("Via", "1.1 canary"),
               ("Referer", alpha_access.url), ("Origin", system.origin), ("X-Canary", "canary"),
               ("Te", "trailers"), ("Keep-Alive", "canary"), ("Trailer", "canary"), ("Cf-Ray", "canary"),
               ("X-Original-Url", "canary"), ("X-Http-Method-Override", "DELETE"), ("Range", "bytes=0-1")]
    passed = [("Mcp-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/call"), ("Mcp-Name", "add"),
              ("Mcp-Param-Region", "=?base64?dw==?="), ("Last-Event-ID", "41"), ("User-Agent", "a/1"),
              ("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01")]
    for form in ("url", "header"):
        assert alpha_access.call(body(7), form, [*planted, *passed]).status == 200
    assert len(alpha.requests) == 2
    for request in alpha.requests:
        assert request.all("authorization") == [f"Bearer {alpha_access.key}"]
        assert request.target == "/mcp" and request.method == "POST"
        text = repr((request.target, request.headers))
        assert "canary" not in text and alpha_access.secret not in text and "bnd_" not in text
        names = [n.lower() for n, _ in request.headers]
        for name in ("origin", "referer", "te", "trailer", "upgrade", "keep-alive", "range", "via"):
            assert name not in names, name
        for name, value in passed:
            assert request.header(name) == value, name


def test_names_with_an_underscore_do_not_reach_the_upstream(alpha_access, alpha):
    answer = alpha_access.call(body(7), extra=[("Mcp_Session_Id", "x"), ("Content_Length", "1")])
    assert answer.status in (200, 400)
    for request in alpha.requests:
        assert not any("_" in name for name, _ in request.headers)


def test_a_query_of_the_client_does_not_reach_the_upstream_with_a_secret(alpha_access, alpha):
    with alpha_access.system.wire() as wire:
        wire.send(head("POST", alpha_access.path + "?api_key=canary", alpha_access.headers(
            extra=[("Content-Length", "2")])) + b"{}")
        wire.answer()
    for connection in alpha.connections:
        assert alpha_access.secret.encode() not in connection.received


def test_errors_name_neither_the_software_nor_the_input(system, alpha_access, dead):
    for target in (f"/mcp/alpha/{UNKNOWN}", "/mcp/nowhere-canary/x", "/nowhere-canary"):
        answer = send(system, target)
        text = repr(answer.headers) + answer.body.decode()
        assert "canary" not in text and "swift" not in text.lower() and UNKNOWN not in text
        assert answer.header("server") is None


def test_many_bad_credentials_block_an_address_and_say_until_when(own_system, alpha):
    system = own_system({"IP_ALLOWLIST": None, "BLOCK_AFTER_BAD_CREDENTIALS": "5"})
    access = system.person().connect("alpha", "key")
    assert access.call().status == 200
    for number in range(5):
        send(system, f"/mcp/alpha/{'B' * 80}{number:06}")
    answer = until(lambda: (a := access.call()).status == 429 and a, 5, "the block")
    assert int(answer.header("retry-after")) > 0
    assert answer.json()["error"] == "rate_limited"


def test_a_rate_limit_per_connection_says_when_to_come_again(own_system, alpha):
    system = own_system({"MCP_PROXY_RATE_LIMIT_PER_HOUR": "10"})
    person = system.person()
    access, other = person.connect("alpha", "key"), person.connect("alpha", "key-2")
    answers = [access.call() for _ in range(15)]
    statuses = [a.status for a in answers]
    assert statuses.count(200) in range(10, 13) and statuses[-1] == 429, statuses
    assert int(answers[-1].header("retry-after")) > 0
    assert answers[-1].json()["error"] == "rate_limited"
    assert other.call().status == 200, "another connection is not concerned"
