# Does each rule of the authorization server have a test that shows it at work and one that shows it refuse?

import ast
import pathlib

from consent import Client, send, send_form
from rules import NOT_OFFERED, RULES


def named(decorator):
    """Rules that tests name with a decorator."""
    found = set()
    for file in pathlib.Path(__file__).parent.glob("test_*.py"):
        for test in ast.walk(ast.parse(file.read_text())):
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                for call in test.decorator_list:
                    if isinstance(call, ast.Call) and getattr(call.func, "id", "") == decorator:
                        found |= {argument.value for argument in call.args}
    return found


def test_every_rule_is_shown_at_work_and_refusing():
    for decorator in ("keeps", "refuses"):
        missing = RULES.keys() - named(decorator)
        assert not missing, f"no test {decorator} {sorted(missing)}"


def test_what_is_not_offered_is_not_advertised_and_does_nothing(system):
    said = send(system, "GET", "/.well-known/oauth-authorization-server").json()
    assert not said.keys() & NOT_OFFERED
    for path in ("/oauth/par", "/oauth/device_authorization", "/oauth/bc-authorize"):
        assert send_form(system, path, {"client_id": "bindery-mcp"}).status == 404
    for grant in ("urn:ietf:params:oauth:grant-type:device_code", "implicit",
                  "urn:ietf:params:oauth:grant-type:token-exchange"):
        reply = Client(system).post("/oauth/token", {"grant_type": grant})
        assert reply.status == 400 and reply.json()["error"] == "unsupported_grant_type"
