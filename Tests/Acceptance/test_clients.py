# Do real clients reach real servers through the edge, and notice nothing? The official SDK of
# both generations runs one fixed script directly and through the edge; the transcripts must be
# equal. Behind the edge every request must carry our key and nothing of the client's.
# Only the processes of the SDK speak MCP here.

import json
import os
import subprocess

import pytest
from system import ROOT, System, service
from waiting import until

PROGRAMS = ROOT / "Tests" / "Acceptance" / "programs"
KEY = "official-server-key-0123456789"
# name: (generation, kind of transport)
SERVERS = {f"{kind}{generation}": (generation, kind)
           for generation in (1, 2) for kind in ("http", "json", "sse")}
# (generation of the client, mode, server): era and transport in use
ROWS = [
    (2, "modern", "http2"), (2, "modern-json", "json2"),
    (2, "legacy", "http2"), (2, "legacy-json", "json2"), (2, "sse", "sse2"),
    (1, "session", "http1"), (1, "session-json", "json1"), (1, "sse", "sse1"),
    (2, "legacy", "http1"), (1, "session", "http2"), (2, "sse", "sse1"),
]
PASSED_ON = {
    "host", "authorization", "accept", "accept-encoding", "content-type", "content-length",
    "transfer-encoding", "connection", "user-agent", "mcp-protocol-version", "mcp-session-id",
    "mcp-method", "mcp-name", "last-event-id", "traceparent", "cache-control",
}


def python(generation):
    return str(ROOT / f".venv-mcp{generation}" / "bin" / "python")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder, running, ports = tmp_path_factory.mktemp("servers"), {}, {}
    for name, (generation, kind) in SERVERS.items():
        running[name] = subprocess.Popen(
            [python(generation), str(PROGRAMS / f"server_mcp{generation}.py"), kind, KEY,
             str(folder / name)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for name, process in running.items():
        ports[name] = int(process.stdout.readline().split()[1])
    yield folder, {n: f"http://127.0.0.1:{p}/{'sse' if 'sse' in n else 'mcp'}"
                   for n, p in ports.items()}
    for process in running.values():
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def accesses(servers):
    """A connection to each server: validated against it, in both storage modes."""
    services = [service(name, url, "sse" if "sse" in name else "streamable-http", "mcp")
                for name, url in servers[1].items()]
    with System(services) as system:
        person = system.person()
        yield {name: {"url": person.connect(name, KEY, "zero_knowledge"),
                      "header": person.connect(name, KEY, "managed")} for name in SERVERS}


@pytest.fixture(scope="module")
def direct(servers):
    """What each client says when nothing stands between it and the server."""
    return {row: transcript(row[0], row[1], servers[1][row[2]], KEY) for row in ROWS}


def transcript(generation, mode, url, credential=None):
    command = [python(generation), str(PROGRAMS / f"client_mcp{generation}.py"), mode, url]
    done = subprocess.run(command + ([credential] if credential else []), capture_output=True,
                          timeout=90, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, (done.stdout[-500:].decode(), done.stderr[-3000:].decode())
    return [json.loads(line) for line in done.stdout.splitlines()]


def records(file):
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize("form", ["url", "header"])
@pytest.mark.parametrize("row", ROWS, ids=lambda r: f"mcp{r[0]}-{r[1]}-{r[2]}")
def test_a_client_has_the_same_conversation_through_the_edge(row, form, servers, direct, accesses):
    generation, mode, name = row
    access, file = accesses[name][form], servers[0] / name
    end = "/sse" if mode == "sse" else ""
    before = len(records(file))
    if form == "url":
        through = transcript(generation, mode, access.url + end)
    else:
        url = f"{access.system.origin}/mcp/{name}{end}"
        through = transcript(generation, mode, url, access.api_key)
    assert through == direct[row]
    assert len(through) > 12
    seen = records(file)[before:]
    assert len(seen) > 10
    for request in seen:
        check_request(request, access)
    methods = {request["method"] for request in seen}
    if mode in ("legacy", "session"):
        until(lambda: "DELETE" in {r["method"] for r in records(file)[before:]}, 5, "the DELETE")
        assert "GET" in methods, "the stream for announcements went through"
    if mode.startswith("modern"):
        assert methods == {"POST"}


def check_request(request, access):
    names = [n.lower() for n, _ in request["headers"]]
    values = [v for n, v in request["headers"] if n.lower() == "authorization"]
    assert values == [f"Bearer {KEY}"]
    assert len(names) == len(set(names)), names
    strange = {n for n in names if n not in PASSED_ON and not n.startswith("mcp-param-")}
    assert not strange, strange
    everything = json.dumps(request)
    assert access.secret not in everything and access.secret[:43] not in everything
    assert "bnd_" not in everything


def test_a_wrong_key_is_refused_when_connecting_and_nothing_is_kept(accesses):
    person = accesses["http2"]["url"].person
    before = person.call("GET", "/api/connections").json()
    reply = person.call("POST", "/api/connections/http2/api-key", {"api_key": "wrong-key"})
    assert 400 <= reply.status < 500, reply
    assert b"wrong-key" not in reply.body
    assert person.call("GET", "/api/connections").json() == before
