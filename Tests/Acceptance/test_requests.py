# Which requests are refused before the upstream sees a byte? The published corpus of malformed
# requests, as it is and transplanted onto a valid path, then rows of our own: each is one way in
# which two servers could disagree about where a message ends or what it says.
# After every row the upstream has seen nothing, and the connection takes no further request.

import re

import pytest
from system import ROOT
from waiting import pause, until
from wire import Cut, Wire, head

CORPUS = ROOT / "Tests" / "Vectors" / "http" / "invalid"
FILES = sorted(path.name for path in CORPUS.glob("*.http"))
# Faults of these files that a transplant repairs (a missing Host), or limits that only the
# publisher's settings have; as they are they must be refused all the same.
ONLY_AS_THEY_ARE = {"010.http", "011.http", "012.http", "017.http", "019.http", "041.http",
                    "009.http", "006.http", "limit_header_default_01.http"}
# Well framed requests with a method that nobody knows: refused, but the connection may go on.
STRANGE_METHODS = {"003c.http"}
REFUSALS = {400, 404, 405, 408, 411, 413, 414, 417, 421, 431, 501, 505}
BODY = b'{"jsonrpc":"2.0","id":7,"method":"ping"}'


def decoded(file):
    text = (CORPUS / file).read_bytes().replace(b"\n", b"")
    for escape, value in ((rb"\r", b"\r"), (rb"\n", b"\n"), (rb"\0", b"\0"), (rb"\t", b"\t")):
        text = text.replace(escape, value)
    return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda m: bytes([int(m[1], 16)]), text)


def transplanted(file, access):
    """The same fault on the path of a working credential, with a Host when there was none."""
    text = decoded(file)
    first, end, rest = text.partition(b"\r\n")
    parts = first.split(b" ")
    if len(parts) == 3 and parts[1].startswith(b"/"):
        first = b" ".join([parts[0], access.path.encode(), parts[2]])
    if not re.search(rb"(?i)\r\nhost *:", text):
        rest = b"Host: " + access.system.host.encode() + b"\r\n" + rest
    return first + end + rest


def refused(access, upstream, data, statuses=REFUSALS, half_close=True, may_go_on=False):
    """Sends `data` and a valid request after it: one refusal, an end, and no byte upstream."""
    following = head("POST", access.path, access.headers(extra=[("Content-Length", "2")])) + b"{}"
    following = b"" if may_go_on else following
    upstream.reset()
    with access.system.wire() as wire:
        try:
            wire.send(data + following)
            if half_close:
                wire.socket.shutdown(1)
        except OSError:
            pass
        try:
            answer = wire.answer()
        except Cut:
            answer = None  # closed without a word: allowed for what is not HTTP at all
        if answer:
            assert answer.status in statuses, answer
            assert answer.how != "cut", answer
        rest = wire.end()
        assert not rest, f"a second answer: {rest[:200]!r}"
    assert upstream.bytes_seen == 0, bytes(upstream.connections[0].received[:300])
    return answer


@pytest.mark.parametrize("file", FILES)
def test_a_malformed_request_of_the_corpus_is_refused(file, alpha_access, alpha):
    refused(alpha_access, alpha, decoded(file), may_go_on=file in STRANGE_METHODS)


@pytest.mark.parametrize("file", [f for f in FILES if f not in ONLY_AS_THEY_ARE])
def test_the_same_fault_on_a_working_path_is_refused(file, alpha_access, alpha):
    refused(alpha_access, alpha, transplanted(file, alpha_access), may_go_on=file in STRANGE_METHODS)


def test_the_corpus_is_there():
    assert len(FILES) >= 60


def fields(*pairs):
    return lambda access: head("POST", access.path, [*access.headers(), *pairs]) + BODY


def raw(*lines, body=BODY):
    def build(access):
        first = [f"POST {access.path} HTTP/1.1".encode(), b"Host: " + access.system.host.encode()]
        return b"\r\n".join([*first, *lines, b"", b""]) + body
    return build


def chunks(text):
    return raw(b"Transfer-Encoding: chunked", body=text)


LENGTH = f"{len(BODY)}"
LENGTHS = {
    "with Transfer-Encoding after it": fields(("Content-Length", LENGTH), ("Transfer-Encoding", "chunked")),
    "with Transfer-Encoding before it": fields(("Transfer-Encoding", "chunked"), ("Content-Length", LENGTH)),
    "twice and equal": fields(("Content-Length", LENGTH), ("Content-Length", LENGTH)),
    "twice and different": fields(("Content-Length", LENGTH), ("Content-Length", "0")),
    "as a list of equals": fields(("Content-Length", f"{LENGTH}, {LENGTH}")),
    "empty": fields(("Content-Length", "")),
    "with a plus": fields(("Content-Length", "+40")),
    "minus zero": fields(("Content-Length", "-0")),
    "negative": fields(("Content-Length", "-40")),
    "hexadecimal": fields(("Content-Length", "0x28")),
    "with a blank inside": fields(("Content-Length", "4 0")),
    "with an underscore": fields(("Content-Length", "4_0")),
    "with a fraction": fields(("Content-Length", "40.0")),
    "over 2^64": fields(("Content-Length", str((1 << 64) + 40))),
    "over 2^63": fields(("Content-Length", str((1 << 63) + 40))),
    "of 400 digits": fields(("Content-Length", "0" * 398 + "40")),
    "with a vertical tab": raw(b"Content-Length:\x0b40"),
    "in Arabic digits": raw("Content-Length: ٤٠".encode()),
    "with a semicolon": fields(("Content-Length", "40;")),
}
CODINGS = {
    "chunked twice": fields(("Transfer-Encoding", "chunked, chunked")),
    "in two fields": fields(("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")),
    "identity": fields(("Transfer-Encoding", "identity")),
    "gzip then chunked": fields(("Transfer-Encoding", "gzip, chunked")),
    "chunked then identity": fields(("Transfer-Encoding", "chunked, identity")),
    "unknown": fields(("Transfer-Encoding", "xchunked")),
    "empty": fields(("Transfer-Encoding", "")),
    "with a parameter": fields(("Transfer-Encoding", "chunked;q=1")),
    "quoted": fields(("Transfer-Encoding", '"chunked"')),
    "with a comma after it": fields(("Transfer-Encoding", "chunked,")),
    "with a comma before it": fields(("Transfer-Encoding", ",chunked")),
    "with a vertical tab": raw(b"Transfer-Encoding: \x0bchunked"),
    "with a NUL": raw(b"Transfer-Encoding: chunked\0"),
    "with a blank before the colon": raw(b"Transfer-Encoding : chunked"),
    "folded": raw(b"Transfer-Encoding:", b" chunked"),
    "of HTTP/1.0": lambda a: head("POST", a.path, [*a.headers(), ("Transfer-Encoding", "chunked")],
                                  "HTTP/1.0") + b"2\r\n{}\r\n0\r\n\r\n",
}
CHUNKS = {
    "a sign": b"+2\r\n{}\r\n0\r\n\r\n", "a minus": b"-2\r\n{}\r\n0\r\n\r\n",
    "a prefix": b"0x2\r\n{}\r\n0\r\n\r\n", "an underscore": b"0_2\r\n{}\r\n0\r\n\r\n",
    "a blank before": b" 2\r\n{}\r\n0\r\n\r\n", "a blank after": b"2 \r\n{}\r\n0\r\n\r\n",
    "a tab after": b"2\t\r\n{}\r\n0\r\n\r\n", "no digit": b"\r\n{}\r\n0\r\n\r\n",
    "only an extension": b";a=b\r\n{}\r\n0\r\n\r\n", "a letter": b"g\r\n{}\r\n0\r\n\r\n",
    "17 digits": b"00000000000000002\r\n{}\r\n0\r\n\r\n",
    "2^64 and two": b"10000000000000002\r\n{}\r\n0\r\n\r\n",
    "2^63 and two": b"8000000000000002\r\n{}\r\n0\r\n\r\n",
    "all ones": b"FFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
    "a bare line feed": b"2\n{}\n0\n\n", "a bare carriage return": b"2\r{}\r0\r\r",
    "a line feed after the data": b"2\r\n{}\n0\r\n\r\n",
    "more data than it says": b"2\r\n{}}\r\n0\r\n\r\n",
    "no line end after the data": b"2\r\n{}0\r\n\r\n",
    "a bare carriage return in an extension": b"2;a=\rb\r\n{}\r\n0\r\n\r\n",
    "a bare line feed in an extension": b"2;a=\nb\r\n{}\r\n0\r\n\r\n",
    "a NUL in an extension": b"2;a=\0b\r\n{}\r\n0\r\n\r\n",
    "a size line over 256 bytes": b"2;" + b"a" * 300 + b"\r\n{}\r\n0\r\n\r\n",
    "full-width digits": "２\r\n{}\r\n0\r\n\r\n".encode(),
    "a bad last chunk": b"2\r\n{}\r\n0x0\r\n\r\n",
    "a bad line after the last chunk": b"2\r\n{}\r\n0\r\nno colon\r\n\r\n",
    "a length among the trailers": b"2\r\n{}\r\n0\r\nContent-Length: 2\r\n\r\n",
    "a transfer coding among the trailers": b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a host among the trailers": b"2\r\n{}\r\n0\r\nHost: elsewhere\r\n\r\n",
    "a credential among the trailers": b"2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n",
}
LINES = {
    "a blank before the colon": b"X-A : b", "a tab before the colon": b"X-A\t: b",
    "no colon": b"X-A", "an empty name": b": b", "a blank before the name": b" X-A: b",
    "a NUL in the value": b"X-A: b\0c", "a bare carriage return in the value": b"X-A: b\rc",
    "a bare line feed in the value": b"X-A: b\nX-C: d", "a DEL in the value": b"X-A: b\x7f",
    "a bell in the value": b"X-A: b\x07", "a non-ASCII name": "X-Ä: b".encode(),
    "a Latin-1 name": b"X-\xe4: b", "brackets in the name": b"X-(A): b",
    "a NUL in the name": b"X-\0A: b", "a folded value": b"X-A: b\r\n c",
    "an escape in the value": b"X-A: \x1b[0m", "a slash in the name": b"X/A: b",
    "a second Host": b"Host: elsewhere.example", "the same Host again": b"Host: 127.0.0.1",
}
HOSTS = {
    "no Host": [], "an empty Host": [b"Host:"], "two hosts in one": [b"Host: a, b"],
    "user information": [b"Host: me@127.0.0.1"], "a path": [b"Host: 127.0.0.1/x"],
    "a blank": [b"Host: 127.0.0.1 x"], "a bad port": [b"Host: 127.0.0.1:http"],
    "a port over 65535": [b"Host: 127.0.0.1:99999"], "an open bracket": [b"Host: [::1"],
    "another name": [b"Host: attacker.example"], "a rebound name": [b"Host: 127.0.0.1.nip.example"],
    "another port": [b"Host: 127.0.0.1:1"],
}
FIRST_LINES = {
    "two blanks": "POST  {path} HTTP/1.1", "a tab": "POST\t{path} HTTP/1.1",
    "a blank before": " POST {path} HTTP/1.1", "a blank after": "POST {path} HTTP/1.1 ",
    "no version": "POST {path}", "version 0.9": "POST {path} HTTP/0.9",
    "version 1.2": "POST {path} HTTP/1.2", "version 2.0": "POST {path} HTTP/2.0",
    "version 1.10": "POST {path} HTTP/1.10", "small letters": "POST {path} http/1.1",
    "a fragment": "POST {path}#x HTTP/1.1", "a NUL": "POST {path}\0 HTTP/1.1",
    "a bare carriage return": "POST {path}\r HTTP/1.1", "a quote": 'POST {path}" HTTP/1.1',
    "a non-ASCII byte": "POST {path}\xe4 HTTP/1.1", "an unknown method": "BREW {path} HTTP/1.1",
    "a method in small letters": "post {path} HTTP/1.1", "TRACE": "TRACE {path} HTTP/1.1",
    "PUT": "PUT {path} HTTP/1.1", "PATCH": "PATCH {path} HTTP/1.1",
    "CONNECT": "CONNECT 127.0.0.1:80 HTTP/1.1", "CONNECT with a path": "CONNECT {path} HTTP/1.1",
    "a relative target": "POST mcp HTTP/1.1", "an asterisk": "POST * HTTP/1.1",
    "another authority": "POST http://elsewhere.example{path} HTTP/1.1",
    "user information": "POST http://me@{host}{path} HTTP/1.1",
    "another scheme": "POST ftp://{host}{path} HTTP/1.1",
}
PATHS = {
    "a dot segment": "/mcp/./{rest}", "a parent segment": "/mcp/x/../{rest}",
    "an encoded parent": "/mcp/x/%2e%2e/{rest}", "an encoded slash": "/mcp%2f{rest}",
    "two slashes": "//mcp/{rest}", "two slashes inside": "/mcp//{rest}",
    "a backslash": "/mcp\\{rest}", "an encoded backslash": "/mcp%5c{rest}",
    "a parameter": "/mcp;x/{rest}", "an overlong slash": "/mcp%c0%af{rest}",
    "an encoded NUL": "/mcp/{rest}%00", "a double encoding": "/mcp/%252e/{rest}",
    "a broken escape": "/mcp/{rest}%zz", "a half escape": "/mcp/{rest}%4",
    "capitals": "/MCP/{rest}", "a further segment": "/mcp/{rest}/more",
    "a slash at the end": "/mcp/{rest}/", "a character less": "/mcp/{short}",
    "a character more": "/mcp/{rest}A", "padding": "/mcp/{rest}==",
}


@pytest.mark.parametrize("row", LENGTHS)
def test_a_content_length_is_digits_once_and_alone(row, alpha_access, alpha):
    answer = refused(alpha_access, alpha, LENGTHS[row](alpha_access), {400, 413})
    assert answer, "an answer before the close"


@pytest.mark.parametrize("row", CODINGS)
def test_a_transfer_coding_is_one_final_chunked(row, alpha_access, alpha):
    assert refused(alpha_access, alpha, CODINGS[row](alpha_access), {400, 501})


@pytest.mark.parametrize("row", CHUNKS)
def test_a_bad_chunk_that_came_with_the_head_is_refused_before_the_head_goes_on(
        row, alpha_access, alpha):
    assert refused(alpha_access, alpha, chunks(CHUNKS[row])(alpha_access), {400})


@pytest.mark.parametrize("row", LINES)
def test_a_malformed_header_line_is_refused(row, alpha_access, alpha):
    data = raw(LINES[row], b"Content-Length: " + LENGTH.encode())(alpha_access)
    assert refused(alpha_access, alpha, data, {400})


@pytest.mark.parametrize("row", HOSTS)
def test_a_host_that_is_not_ours_is_refused(row, alpha_access, alpha):
    lines = [f"POST {alpha_access.path} HTTP/1.1".encode(), *HOSTS[row],
             b"Content-Length: " + LENGTH.encode(), b"", b""]
    upstream, misdirected = alpha, row in ("another name", "a rebound name", "another port")
    following = b"" if misdirected else None
    if following is None:
        assert refused(alpha_access, upstream, b"\r\n".join(lines) + BODY, {400})
        return
    with alpha_access.system.wire() as wire:
        wire.send(b"\r\n".join(lines) + BODY)
        assert wire.answer().status == 421
    assert upstream.bytes_seen == 0


@pytest.mark.parametrize("row", FIRST_LINES)
def test_a_request_line_says_one_thing_only(row, alpha_access, alpha):
    first = FIRST_LINES[row].format(path=alpha_access.path, host=alpha_access.system.host)
    lines = head("X", "X", [*alpha_access.headers(), ("Content-Length", LENGTH)]).split(b"\r\n")
    data = b"\r\n".join([first.encode("latin-1"), *lines[1:]]) + BODY
    with alpha_access.system.wire() as wire:
        wire.send(data)
        answer = wire.answer()
        assert answer.status in REFUSALS, answer
    assert alpha.bytes_seen == 0


@pytest.mark.parametrize("row", PATHS)
def test_only_the_plain_path_of_a_credential_leads_upstream(row, alpha_access, alpha):
    rest = alpha_access.path.removeprefix("/mcp/")
    path = PATHS[row].format(rest=rest, short=rest[:-1])
    with alpha_access.system.wire() as wire:
        wire.send(head("POST", path, alpha_access.headers(extra=[("Content-Length", LENGTH)])) + BODY)
        assert wire.answer().status in (400, 404)
    assert alpha.bytes_seen == 0


@pytest.mark.parametrize("protocol", ["websocket", "h2c, websocket", "TLS/1.2", "h2"])
def test_an_upgrade_opens_no_tunnel(protocol, alpha_access, alpha):
    data = fields(("Connection", "Upgrade"), ("Upgrade", protocol), ("Content-Length", LENGTH))
    assert refused(alpha_access, alpha, data(alpha_access), {400, 501})


H2C = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"),
       ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA")]


@pytest.mark.parametrize("form", ["url", "header"])
def test_an_offer_of_http_2_is_served_in_http_1_and_nothing_behind_it(form, alpha_access, alpha):
    with alpha_access.system.wire() as wire:
        alpha_access.post(wire, BODY, form, H2C)
        alpha_access.post(wire, BODY, form)
        answer = wire.answer()
        assert answer.status == 200 and answer.clean and answer.header("upgrade") is None
        assert answer.header("connection") == "close" and not wire.end()
    assert len(alpha.requests) == 1 and alpha.requests[0].body == BODY
    names = {name.lower() for name, _ in alpha.requests[0].headers}
    assert not names & {"upgrade", "http2-settings", "connection"}


def test_our_own_services_ignore_an_offer_of_http_2_too(system):
    data = b'{"email":"nobody@example.org","password":"wrong horse battery staple"}'
    for wire in (system.wire(), Wire(str(system.run / "auth.http.sock"))):
        with wire:
            wire.send(head("POST", "/api/auth/login", [
                ("Host", system.host), ("Content-Type", "application/json"),
                ("Content-Length", str(len(data))), *H2C]) + data)
            assert wire.answer().status == 401


EXPECTATIONS = ["100-continue, 100-continue", "100-Continue;x", "200-ok", "", "y 100-continue",
                "100-continue\t,", "\x0b100-continue", "100 continue"]


@pytest.mark.parametrize("value", EXPECTATIONS)
def test_an_unknown_expectation_is_refused(value, alpha_access, alpha):
    data = fields(("Expect", value), ("Content-Length", LENGTH))(alpha_access)
    assert refused(alpha_access, alpha, data, {400, 417})


def test_a_plain_expectation_is_met_by_the_edge_or_refused(alpha_access, alpha):
    extra = [("Expect", "100-continue"), ("Content-Length", LENGTH)]
    with alpha_access.system.wire() as wire:
        wire.send(head("POST", alpha_access.path, alpha_access.headers(extra=extra)))
        status, _ = wire.head()
        if status == 100:
            wire.send(BODY)
            assert wire.answer().status == 200
        else:
            assert status == 417
    for request in alpha.requests:
        assert request.header("expect") is None and request.body == BODY


def test_the_edge_speaks_again_after_all_this(alpha_access, alpha):
    with Wire(alpha_access.system.address) as wire:
        for _ in range(3):
            alpha_access.post(wire, BODY)
            assert wire.answer().status == 200
    until(lambda: len(alpha.requests) == 3, 5, "three requests")


def test_a_request_is_read_alike_at_every_byte_split(alpha_access, alpha):
    """The head and two chunks, cut in two at each byte."""
    data = head("POST", alpha_access.path, alpha_access.headers(
        extra=[("Transfer-Encoding", "chunked")])) + b"14;a=b\r\n" + BODY[:20] + b"\r\n" + \
        b"%X\r\n" % (len(BODY) - 20) + BODY[20:] + b"\r\n0\r\n\r\n"
    with alpha_access.system.wire() as wire:
        for at in range(1, len(data)):
            wire.send(data[:at])
            wire.send(data[at:])
            assert wire.answer().status == 200, at
        for at in range(len(data)):
            wire.send(data[at:at + 1])
        assert wire.answer().status == 200
    assert len(alpha.requests) == len(data)
    assert {r.body for r in alpha.requests} == {BODY}


VALID = sorted((CORPUS.parent / "valid").glob("*.http"))


def settled(file, access):
    """A valid request of the corpus as one for us: our host, a working path, a method we serve."""
    text = re.sub(rb"(?i)\r\nhost:[^\r]*", b"", decoded(f"../valid/{file}"))

    def line(match):
        method = match[1] if match[1] in (b"GET", b"POST", b"DELETE") else b"POST"
        return b"%s %s %s\r\nHost: %s\r\n" % (
            method, access.path.encode(), match[2], access.system.host.encode())

    return re.sub(rb"(?m)^([A-Z!#$%&'*+.^_`|~-]+) \S+ (HTTP/1\.[01])\r\n", line, text)


def understood(access, upstream, pieces, count=None):
    """Sends pieces; gives the answers and what the upstream was asked. Without a count of answers to
    wait for, waits until there are no more."""
    seen, answers = len(upstream.requests), []
    with access.system.wire(timeout=0.4 if count is None else 10) as wire:
        for number, piece in enumerate(pieces):
            if number:
                pause(0.0005)  # or the kernel would put them together again
            wire.send(piece)
        while count is None or len(answers) < count:
            try:
                answers.append(wire.answer())
            except (Cut, TimeoutError):
                break
    asked = [(r.method, r.target, [(n, v) for n, v in r.headers if n.lower() != "traceparent"],
              r.body, r.clean) for r in upstream.requests[seen:]]
    return [(a.status, a.how, a.header("connection")) for a in answers], asked


def test_every_valid_request_of_the_corpus_is_read_alike_at_every_byte_split(alpha_access, alpha):
    reached = 0
    for file in VALID:
        data = settled(file.name, alpha_access)
        whole = understood(alpha_access, alpha, [data])
        if not whole[0]:  # a body that is shorter than it says, at the end of a connection
            continue
        reached += bool(whole[1])
        places = range(1, len(data)) if len(data) < 700 else [
            *range(1, 600), *range(len(data) - 60, len(data))]
        for at in places:
            split = understood(alpha_access, alpha, [data[:at], data[at:]], len(whole[0]))
            assert split == whole, (file.name, at)
        alpha.reset()
    assert len(VALID) >= 57 and reached >= 20, reached


def test_pipelined_requests_are_answered_in_order(alpha_access, alpha):
    def behave(connection):
        while request := connection.request():
            connection.answer(request.body)

    alpha.behaviour = behave
    with alpha_access.system.wire() as wire:
        bodies = [b'{"id":%d}' % number for number in range(50)]
        for body in bodies:
            alpha_access.post(wire, body)
        for body in bodies:
            assert wire.answer().body == body
    assert [r.body for r in alpha.requests] == bodies
