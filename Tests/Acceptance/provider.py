# A scripted OAuth provider with an MCP server behind it, in one thread per connection: metadata
# (RFC 9728, RFC 8414), registration (RFC 7591), consent that approves by itself, tokens (RFC 6749,
# RFC 7636, RFC 8707), revocation (RFC 7009). How it behaves is data: a `Rules` per provider, which a
# test may change while it runs. Whatever happens stands in the ledger, in order.
# Lives are real seconds, kept short by the tests: no clock is turned.

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import json
import secrets
import socket
import struct
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

MISSING = object()  # for `says`: the answer has no expires_in


@dataclass
class Rules:
    """How a provider behaves."""
    # A refresh: "none" (the refresh token stays), "strict" (reuse kills the family), "repeat" (within
    # `grace` the same access token again, without a refresh token), "until used" (the old one works
    # until its successor was used), "leeway" (within `grace` a further pair).
    rotation: str = "strict"
    grace: float = 60.0
    refresh: bool = True  # whether a refresh token is given at all
    life: float | None = 3600.0  # of an access token in seconds; None: for ever
    says: object = None  # what `expires_in` says instead of the life
    refresh_says: int | None = None  # what `refresh_token_expires_in` says
    code_life: float = 30.0
    dead_status: int = 400  # of invalid_grant
    form: bool = False  # answers are forms
    errors_with_200: bool = False
    iss: str | None = ""  # in the answer of the authorization endpoint; "": its own, None: none
    deny: str | None = None  # the error that the person's answer is
    resource: bool = True  # whether `resource` is demanded
    protected_resource: bool = True  # whether RFC 9728 metadata is there
    registration: bool = True
    revocation: bool = True
    clients: dict = field(default_factory=dict)  # static ones: id -> secret
    authentication: str = "none"  # how clients prove themselves: none, post, basic
    registered_secret: bool = False  # whether a registered client gets a secret
    separator: str = " "
    metadata: dict = field(default_factory=dict)  # over the authorization server's metadata
    resource_metadata: dict = field(default_factory=dict)  # over the protected resource's
    # An answer instead of the token endpoint's own: (status, headers, body) or a function of the form.
    trouble: object = None
    metadata_trouble: object = None  # the same for the metadata
    latency: float = 0.0  # of the token endpoint, before it decides
    lose: int = 0  # so many answers of the token endpoint are cut off after the commit
    rate: int | None = None  # exchanges allowed in any second; more is 429
    judge: object = None  # another authority over tokens at the MCP endpoint: token -> bool


@dataclass
class Refresh:
    """A refresh token and what became of it."""
    value: str
    family: "Family"
    used_at: float | None = None
    dead: bool = False
    answer: dict | None = None  # what its use gave
    heir: "Refresh | None" = None
    parent: "Refresh | None" = None


@dataclass
class Family:
    """All tokens of one consent."""
    number: int
    client: str
    resource: str | None
    scope: str | None
    revoked: bool = False  # by the client
    killed: bool = False  # because of a replay
    access: list = field(default_factory=list)
    refresh: list = field(default_factory=list)


@dataclass
class Entry:
    """One request at the token or revocation endpoint."""
    at: float
    kind: str  # authorization_code, refresh_token, revoke
    token: str  # the code or token that was presented
    outcome: str  # issued, repeated, again, replayed, unknown, client, trouble, …
    family: int | None = None
    client: str | None = None
    form: dict = field(default_factory=dict)
    answered: float = 0.0


@dataclass
class Call:
    """One request at the MCP endpoint."""
    token: str | None
    accepted: bool
    body: bytes
    at: float


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a peer that left is no news


class Provider:
    """One provider on a free port of the loopback address."""

    def __init__(self, rules=None, port=0):
        self.rules = rules or Rules()
        self.lock = threading.RLock()
        self.forget()
        self.gate = threading.Event()  # closed: answers of the token endpoint wait after the commit
        self.gate.set()
        self.held = threading.Semaphore(0)
        self.faults = []
        self.listen(port)

    def listen(self, port):
        provider = self

        class Handler(Conversation):
            pass

        Handler.provider = provider
        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.origin}/mcp"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def reopen(self):
        """Listens again where it did; what it knew it still knows."""
        self.listen(self.port)

    def forget(self):
        with self.lock:
            self.ledger, self.calls, self.requests, self.families = [], [], [], []
            self.refresh_tokens, self.access_tokens, self.codes = {}, {}, {}
            self.clients, self.consents = {}, []

    @contextlib.contextmanager
    def behaving(self, **changes):
        """Other rules for the length of a block."""
        before = self.rules
        self.rules = dataclasses.replace(before, **changes)
        try:
            yield self
        finally:
            self.rules = before

    # What tests ask.

    def entries(self, kind="refresh_token", outcome=None, family=None):
        with self.lock:
            return [e for e in self.ledger if e.kind == kind and outcome in (None, e.outcome)
                    and family in (None, e.family)]

    @property
    def refreshes(self):
        return self.entries()

    def peak(self, seconds=1.0, kind="refresh_token"):
        """The most exchanges that began within `seconds`."""
        times, most, first = sorted(e.at for e in self.entries(kind)), 0, 0
        for last, at in enumerate(times):
            while at - times[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def secrets(self):
        """Every value that must not be found anywhere."""
        with self.lock:
            yield from self.refresh_tokens
            yield from self.access_tokens
            yield from self.codes
            yield from (s for _, s in self.clients.items() if s)
            yield from (s for s in self.rules.clients.values() if s)
            for entry in self.ledger:
                if verifier := entry.form.get("code_verifier"):
                    yield verifier

    def expire(self, family=None):
        """The access tokens end now, whatever was said about them."""
        with self.lock:
            for value, (owner, _) in self.access_tokens.items():
                if family in (None, owner.number):
                    self.access_tokens[value] = (owner, 0.0)

    def valid(self, token):
        family, end = self.access_tokens.get(token, (None, 0))
        return bool(family) and time.monotonic() < end and not (family.revoked or family.killed)

    def grant(self, client, resource=None, scope=None):
        """A new family with its first tokens, as after a consent."""
        with self.lock:
            family = Family(len(self.families) + 1, client, resource, scope)
            self.families.append(family)
            return self.issue(family)

    # The rules at work; the lock is held.

    def issue(self, family, parent=None, with_refresh=True):
        rules = self.rules
        access = f"at-{family.number}-{secrets.token_hex(24)}"
        end = float("inf") if rules.life is None else time.monotonic() + rules.life
        self.access_tokens[access] = (family, end)
        family.access.append(access)
        answer = {"access_token": access, "token_type": "Bearer"}
        said = rules.life if rules.says is None else rules.says
        if said is not MISSING and said is not None:
            answer["expires_in"] = int(said) if isinstance(said, float) else said
        if rules.refresh and with_refresh:
            token = Refresh(f"rt-{family.number}-{secrets.token_hex(24)}", family, parent=parent)
            self.refresh_tokens[token.value] = token
            family.refresh.append(token)
            answer["refresh_token"] = token.value
            if rules.refresh_says is not None:
                answer["refresh_token_expires_in"] = rules.refresh_says
            if parent:
                parent.heir = token
        if family.scope:
            answer["scope"] = family.scope
        return answer

    def use(self, token):
        """What a refresh with `token` gives: (outcome, answer or None)."""
        rules, now = self.rules, time.monotonic()
        family = token.family
        if family.revoked or family.killed or token.dead:
            return "dead", None
        if rules.rotation == "none":
            return "issued", self.issue(family, with_refresh=False)
        if token.parent:
            token.parent.dead = token.parent.dead or rules.rotation == "until used"
        if token.used_at is None:
            token.used_at = now
            token.answer = self.issue(family, parent=token)
            return "issued", token.answer
        in_time = now - token.used_at <= rules.grace
        if rules.rotation == "until used" or (rules.rotation == "leeway" and in_time):
            return "again", self.issue(family, parent=token)
        if rules.rotation == "repeat" and in_time:
            said = {k: v for k, v in token.answer.items() if k != "refresh_token"}
            return "repeated", said
        family.killed = True
        return "replayed", None

    def redeem(self, form, client):
        code = self.codes.get(form.get("code", ""))
        if not code or code["spent"] or code["client"] != client:
            return "unknown", None, None
        code["spent"] = True
        if time.monotonic() - code["at"] > self.rules.code_life:
            return "late", None, None
        if code["redirect"] != form.get("redirect_uri"):
            return "redirect", None, None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if code["challenge"] and \
                base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code["challenge"]:
            return "verifier", None, None
        if self.rules.resource and form.get("resource") != code["resource"]:
            return "resource", None, None
        family = Family(len(self.families) + 1, client, code["resource"], code["scope"])
        self.families.append(family)
        return "issued", self.issue(family), family

    def exchange(self, form, client, known):
        """Decides, commits and writes the ledger: (entry, answer or None, error code)."""
        kind = form.get("grant_type", "")
        presented = form.get("code" if kind == "authorization_code" else "refresh_token", "")
        entry = Entry(time.monotonic(), kind, presented, "unknown", client=client, form=form)
        with self.lock:
            self.ledger.append(entry)
            entry.at = time.monotonic()
            trouble = self.rules.trouble
            if callable(trouble):
                trouble = trouble(form)
            if trouble:
                entry.outcome = "trouble"
                return entry, trouble, "trouble"
            if self.rules.rate is not None:
                recent = [e for e in self.ledger if e.kind == kind and e.at > entry.at - 1]
                if len(recent) > self.rules.rate:
                    entry.outcome = "throttled"
                    return entry, (429, [("Retry-After", "1")], b"slow down"), "trouble"
            if not known:
                entry.outcome = "client"
                return entry, None, "invalid_client"
            if kind == "authorization_code":
                entry.outcome, answer, family = self.redeem(form, client)
                entry.family = family.number if family else None
                return entry, answer, "invalid_grant"
            token = self.refresh_tokens.get(presented)
            if not token or token.family.client != client:
                return entry, None, "invalid_grant"
            entry.family = token.family.number
            entry.outcome, answer = self.use(token)
            return entry, answer, "invalid_grant"

    def authenticate(self, form, authorization):
        """(client id, whether its proof holds)."""
        name, secret, way = form.get("client_id"), form.get("client_secret"), "post"
        if authorization.startswith("Basic "):
            way = "basic"
            pair = base64.b64decode(authorization[6:]).decode().split(":", 1)
            name, secret = (urllib.parse.unquote_plus(part) for part in pair)
        known = {**self.clients, **self.rules.clients}
        if name not in known:
            return name, name is not None and name.startswith("http") and not secret
        if known[name] is None:
            return name, not secret
        return name, secret == known[name] and way == self.rules.authentication

    def revoke(self, form, known, client):
        value = form.get("token", "")
        entry = Entry(time.monotonic(), "revoke", value, "unknown", client=client, form=form)
        with self.lock:
            self.ledger.append(entry)
            trouble = self.rules.trouble
            if callable(trouble):
                trouble = trouble(form)
            if trouble:
                entry.outcome = "trouble"
                return trouble
            if not known:
                entry.outcome = "client"
                return 401, [], b'{"error":"invalid_client"}'
            token = self.refresh_tokens.get(value)
            family = token.family if token else self.access_tokens.get(value, (None,))[0]
            if family and family.client == client:
                family.revoked, entry.outcome, entry.family = True, "revoked", family.number
            return 200, [], b""

    # Metadata and consent.

    def server_metadata(self):
        rules, origin = self.rules, self.origin
        ways = {"none": ["none"], "post": ["client_secret_post"],
                "basic": ["client_secret_basic"]}[rules.authentication]
        said = {"issuer": origin, "authorization_endpoint": f"{origin}/authorize",
                "token_endpoint": f"{origin}/token", "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ways}
        if rules.iss is not None:
            said["authorization_response_iss_parameter_supported"] = True
        if rules.registration:
            said["registration_endpoint"] = f"{origin}/register"
        if rules.revocation:
            said["revocation_endpoint"] = f"{origin}/revoke"
        return {k: v for k, v in {**said, **rules.metadata}.items() if v is not MISSING}

    def protected_metadata(self):
        said = {"resource": self.url, "authorization_servers": [self.origin],
                "bearer_methods_supported": ["header"], **self.rules.resource_metadata}
        return {k: v for k, v in said.items() if v is not MISSING}

    def register(self, body):
        wanted = json.loads(body)
        name = f"client-{secrets.token_hex(8)}"
        secret = f"cs-{secrets.token_hex(16)}" if self.rules.registered_secret else None
        with self.lock:
            self.clients[name] = secret
            self.registered = wanted
        answer = {**wanted, "client_id": name, "client_id_issued_at": int(time.time())}
        if secret:
            answer |= {"client_secret": secret, "client_secret_expires_at": 0,
                       "token_endpoint_auth_method": f"client_secret_{self.rules.authentication}"}
        return answer

    def authorize(self, query):
        """Where the browser is sent: back to the client, with a code or an error."""
        rules = self.rules
        back = {"state": query.get("state", "")}
        if rules.iss is not None:
            back["iss"] = rules.iss or self.origin
        with self.lock:
            self.consents.append(query)
            if rules.deny:
                back["error"] = rules.deny
            else:
                code = f"code-{secrets.token_hex(16)}"
                self.codes[code] = {
                    "at": time.monotonic(), "client": query.get("client_id"), "spent": False,
                    "redirect": query.get("redirect_uri"), "scope": query.get("scope"),
                    "challenge": query.get("code_challenge"), "resource": query.get("resource")}
                back["code"] = code
        return query["redirect_uri"] + "?" + urllib.parse.urlencode(back)


class Conversation(http.server.BaseHTTPRequestHandler):
    """One connection to a provider."""
    protocol_version = "HTTP/1.1"
    provider: Provider

    def log_message(self, *arguments):
        pass

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reply(self, status, body=b"", headers=(), kind="application/json"):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        names = {name.lower() for name, _ in headers}
        lines = [f"HTTP/1.1 {status} Whatever"]
        lines += [f"{name}: {value}" for name, value in headers]
        if "content-type" not in names:
            lines.append(f"Content-Type: {kind}")
        lines.append(f"Content-Length: {len(body)}")
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            out = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                out += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return out
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def form(self):
        pairs = urllib.parse.parse_qsl(self.body().decode(), keep_blank_values=True)
        assert len(dict(pairs)) == len(pairs), f"a name came twice: {pairs}"
        assert self.headers["Content-Type"] == "application/x-www-form-urlencoded"
        return dict(pairs)

    def cut(self):
        """The peer sees the connection break, not end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()
        self.close_connection = True

    def do_GET(self):
        provider, (path, _, query) = self.provider, self.path.partition("?")
        with provider.lock:
            provider.requests.append(("GET", self.path))
        if path.startswith("/.well-known/"):
            trouble = provider.rules.metadata_trouble
            if trouble:
                trouble(self, path)
            elif path.startswith("/.well-known/oauth-protected-resource"):
                if provider.rules.protected_resource:
                    self.reply(200, provider.protected_metadata())
                else:
                    self.reply(404, b"no such page")
            elif path == "/.well-known/oauth-authorization-server":
                self.reply(200, provider.server_metadata())
            else:
                self.reply(404, b"no such page")
        elif path == "/authorize":
            target = provider.authorize(dict(urllib.parse.parse_qsl(query)))
            self.reply(302, headers=[("Location", target)])
        elif path == "/mcp":
            self.guarded(b"", lambda: self.reply(405, headers=[("Allow", "POST")]))
        else:
            self.reply(404, b"no such page")

    def do_POST(self):
        provider, path = self.provider, self.path.partition("?")[0]
        with provider.lock:
            provider.requests.append(("POST", self.path))
        try:
            if path == "/mcp":
                body = self.body()
                self.guarded(body, lambda: self.mcp(body))
            elif path == "/register" and provider.rules.registration:
                self.reply(201, provider.register(self.body()))
            elif path == "/token":
                self.token()
            elif path == "/revoke" and provider.rules.revocation:
                form = self.form()
                client, known = provider.authenticate(form, self.headers.get("Authorization", ""))
                status, headers, body = provider.revoke(form, known, client)
                self.reply(status, body, headers)
            else:
                self.body()
                self.reply(404, b"no such page")
        except (AssertionError, KeyError, ValueError) as error:
            provider.faults.append(error)
            raise

    def do_DELETE(self):
        self.guarded(b"", lambda: self.reply(204))

    def token(self):
        provider, rules = self.provider, self.provider.rules
        form = self.form()
        if rules.latency:
            time.sleep(rules.latency)
        client, known = provider.authenticate(form, self.headers.get("Authorization", ""))
        entry, answer, error = provider.exchange(form, client, known)
        if not provider.gate.is_set():
            provider.held.release()
            provider.gate.wait(120)
        with provider.lock:
            lost = rules.lose > 0
            rules.lose -= lost
        if lost:
            self.cut()
        elif isinstance(answer, tuple):
            self.reply(answer[0], answer[2], answer[1], "text/plain")
        elif answer:
            self.tokens(200, answer)
        else:
            status = {"invalid_client": 401}.get(error, rules.dead_status)
            said = {"error": error, "error_description": "Unknown or invalid token."}
            self.tokens(200 if rules.errors_with_200 else status, said)
        entry.answered = time.monotonic()

    def tokens(self, status, answer):
        if self.provider.rules.form:
            self.reply(status, urllib.parse.urlencode(answer).encode(),
                       kind="application/x-www-form-urlencoded")
        else:
            self.reply(status, answer, [("Cache-Control", "no-store")])

    def guarded(self, body, serve):
        provider = self.provider
        token = self.headers.get("Authorization", "").removeprefix("Bearer ") or None
        judge = provider.rules.judge or provider.valid
        accepted = judge(token)
        with provider.lock:
            provider.calls.append(Call(token, accepted, body, self.received_at()))
        if accepted:
            serve()
            return
        where = f"{provider.origin}/.well-known/oauth-protected-resource/mcp"
        said = 'Bearer error="invalid_token"' if token else "Bearer"
        if provider.rules.protected_resource:
            said += f'{"," if token else ""} resource_metadata="{where}"'
        self.reply(401, b'{"error":"invalid_token"}', [("WWW-Authenticate", said)])

    def received_at(self):
        """When the kernel got the last byte of the request; a busy machine reads it much later."""
        info = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        return time.monotonic() - struct.unpack_from("=I", info, 52)[0] / 1000

    def mcp(self, body):
        try:
            identifier = json.loads(body).get("id")
        except ValueError:
            identifier = None
        self.reply(200, {"jsonrpc": "2.0", "id": identifier, "result": {
            "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}})


def oauth_service(name, provider, refresh=None, **oauth):
    """A catalogue entry for a provider."""
    rules = provider.rules
    said = {"registration": "static" if rules.clients else "dynamic", "scopes": ["read", "write"],
            "scope_separator": rules.separator, "resource": rules.resource,
            "client_authentication": rules.authentication, **oauth}
    return {"id": name, "name": name.title(), "mcp_url": provider.url,
            "transport": "streamable-http",
            "oauth": {k: v for k, v in said.items() if v is not MISSING},
            "refresh": {"rotates": rules.rotation != "none", "max_per_second": 1000,
                        **(refresh or {})}}
