# Calls every operation of an OpenAPI document with valid and with invalid data, and judges each
# answer by the document: no server error, no undocumented status or type, no other shape, the right
# answer to methods that are not there.
# usage: schema_calls.py FACTS CALLS SEED
# FACTS is a JSON file: {"url", "tokens": [...], "spare": [...], "ids": {pattern: [...]}}. A call takes
# one of the tokens; what ends a sign-in takes a spare one. Prints one JSON line: {"calls",
# "operations", "statuses", "failures"}; exit 1 when something failed.

import collections
import json
import sys

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings, strategies
from hypothesis import seed as seeded
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (content_type_conformance,
                                               response_headers_conformance,
                                               response_schema_conformance,
                                               status_code_conformance)

load_all_checks()
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance,
          response_headers_conformance, response_schema_conformance]
# What ends a sign-in or an account.
ENDS = {("POST", "/api/auth/logout"), ("DELETE", "/api/account")}
facts = json.load(open(sys.argv[1]))
goal, seed = int(sys.argv[2]), int(sys.argv[3])
# Read by ourselves: fetched by the tool, the document's own operation would be left out.
base = facts["url"].rsplit("/api/", 1)[0]
schema = schemathesis.openapi.from_dict(requests.get(facts["url"], timeout=10).json())
operations = [result.ok() for result in schema.get_all_operations()]
calls, statuses, failures = 0, collections.Counter(), []
session = requests.Session()
spare = iter(facts["spare"])


def fill(case, draw):
    """Puts real ids in place of made-up ones, most of the time."""
    for name in case.path_parameters or {}:
        known = facts["ids"].get(name) or []
        if known and draw(strategies.integers(0, 3)):
            case.path_parameters[name] = draw(strategies.sampled_from(known))


def is_switched_off(answer):
    """Not an error of the server: it has no billing. The document must say so all the same."""
    return answer.status_code == 503 and answer.json()["error"] == "billing_disabled"


def run(operation, mode, count, turn):
    @seeded(seed + turn)
    @settings(max_examples=count, deadline=None, database=None,
              phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck))
    @given(data=strategies.data())
    def attempt(data):
        global calls
        case = data.draw(operation.as_strategy(generation_mode=mode))
        fill(case, data.draw)
        if (operation.method.upper(), operation.path) in ENDS:
            token = next(spare, facts["tokens"][-1])
        else:
            token = data.draw(strategies.sampled_from(facts["tokens"]))
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = case.call(base_url=base, session=session, headers=headers, allow_redirects=False)
        calls += 1
        statuses[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS[1:] if is_switched_off(answer) else CHECKS)

    try:
        attempt()
    except Unsatisfiable:
        # Nothing that such a call could say is wrong.
        if mode is GenerationMode.POSITIVE:
            failures.append(f"{operation.method.upper()} {operation.path}: no valid call")
    except Exception as error:
        failures.append(f"{operation.method.upper()} {operation.path} ({mode.name}): "
                        f"{type(error).__name__}: {error}"[:3000])


def absent_methods():
    """What is not in the document is 405 with the methods that are."""
    global calls
    there = collections.defaultdict(set)
    for operation in operations:
        there[operation.path].add(operation.method.upper())
    for path, methods in there.items():
        target = base + path.replace("{", "").replace("}", "")
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"} - methods:
            answer = session.request(method, target, headers={
                "Authorization": f"Bearer {facts['tokens'][0]}"}, allow_redirects=False)
            calls += 1
            statuses[answer.status_code] += 1
            # Another pattern may have this method at the same place.
            known = {m for p, ms in there.items() if fits(p, target[len(base):]) for m in ms}
            if method in known:
                continue
            allowed = set(answer.headers.get("Allow", "").replace(" ", "").split(","))
            if answer.status_code != 405 or not methods <= allowed:
                failures.append(f"{method} {path}: {answer.status_code}, Allow {allowed}")


def fits(pattern, path):
    ours, theirs = pattern.split("/"), path.split("/")
    return len(ours) == len(theirs) and all(
        a == b or a.startswith("{") for a, b in zip(ours, theirs))


# Some operations have few different calls; the others make up for them.
turn = 0
while calls < goal and not failures:
    each = max(1, (goal - calls) // (2 * len(operations)))
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            run(operation, mode, each, turn)
    turn += 1
absent_methods()
print(json.dumps({"calls": calls, "operations": len(operations),
                  "statuses": {str(k): v for k, v in sorted(statuses.items())},
                  "failures": failures}))
sys.exit(1 if failures else 0)
