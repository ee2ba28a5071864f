# What a person and her browser do when an MCP client sends them to Bindery: sign in, choose a
# connection, allow or deny. Forms are read from the pages and sent as a browser would; redirects are
# followed by hand, and the one that leaves for the client is the answer.

import base64
import hashlib
import html.parser
import http.client
import http.cookies
import json
import secrets
import urllib.parse

from system import PASSWORD, Reply, dial

REDIRECT = "http://127.0.0.1:9/callback"


class Forms(html.parser.HTMLParser):
    """The fields of the one form of a page, and its radio buttons."""

    def __init__(self, page):
        super().__init__()
        self.fields, self.choices, self.buttons, self.scripts = {}, {}, [], 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "script":
            self.scripts += 1
        if tag == "button":
            self.buttons.append((given.get("name"), given.get("value")))
        if tag != "input":
            return
        kind, name, value = given.get("type"), given["name"], given.get("value", "")
        if kind == "radio":
            self.choices.setdefault(name, []).append(value)
            if "checked" in given:
                self.fields[name] = value
        elif kind == "checkbox":
            if "checked" in given:
                self.fields[name] = value
        else:
            self.fields[name] = value


class Visitor:
    """A browser with a cookie jar, and the person in front of it."""

    def __init__(self, person=None, origin=None):
        self.person, self.jar = person, {}
        self.origin = origin or (person and person.system.origin)

    def send(self, method, url, form=None, headers=None):
        parts = urllib.parse.urlsplit(url)
        connection = dial(url, timeout=60)
        given = {"Accept": "text/html"} | (headers or {})
        if self.jar:
            given["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.jar.items())
        body = None
        if form is not None:
            body = urllib.parse.urlencode(form)
            given.setdefault("Content-Type", "application/x-www-form-urlencoded")
            given.setdefault("Origin", self.origin)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request(method, target, body, given)
            answer = connection.getresponse()
            for line in answer.headers.get_all("Set-Cookie") or []:
                for name, morsel in http.cookies.SimpleCookie(line).items():
                    if morsel["max-age"] == "0":
                        self.jar.pop(name, None)
                    else:
                        self.jar[name] = morsel.value
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def is_ours(self, url):
        return url.startswith(self.origin + "/") or url.startswith("/")

    def follow(self, url, reply):
        """Goes on over redirects inside Bindery; gives the last address and answer."""
        while reply.status in (302, 303):
            to = urllib.parse.urljoin(url, reply.headers["Location"])
            if not to.startswith(self.origin + "/"):
                return to, reply
            url, reply = to, self.send("GET", to)
        return url, reply

    def sign_in(self, url, reply, email=None, password=PASSWORD):
        form = Forms(reply.body.decode())
        assert "password" in form.fields, reply
        fields = form.fields | {"email": email or self.person.email, "password": password}
        return self.follow(url, self.send("POST", url, fields))

    def open(self, url):
        """The consent page, or the answer to the client."""
        at, reply = self.follow(url, self.send("GET", url))
        if reply.status in (200, 400) and b'name="password"' in reply.body:
            at, reply = self.sign_in(at, reply)
        return at, reply

    def decide(self, url, decision="allow", **choice):
        """Signs in if need be and decides; gives where the browser goes then."""
        at, reply = self.open(url)
        if reply.status in (302, 303):
            return at
        assert reply.status == 200, reply
        return self.decide_at(at, reply, decision, **choice)

    def decide_at(self, at, reply, decision="allow", **choice):
        form = Forms(reply.body.decode())
        assert ("decision", decision) in form.buttons, reply
        answer = self.send("POST", at, form.fields | {"decision": decision} | choice)
        assert answer.status == 303, answer
        return urllib.parse.urljoin(at, answer.headers["Location"])


def query(url):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))


class Client:
    """An MCP client that writes its requests itself."""

    def __init__(self, system, client_id="bindery-mcp", redirect=REDIRECT, secret=None, basic=False):
        self.system, self.id, self.redirect = system, client_id, redirect
        self.secret, self.basic, self.verifier = secret, basic, None

    @classmethod
    def registered(cls, system, redirect=REDIRECT, **metadata):
        body = {"client_name": "The test", "redirect_uris": [redirect],
                "token_endpoint_auth_method": "none",
                "grant_types": ["authorization_code", "refresh_token"]} | metadata
        reply = send_json(system, "/oauth/register", body)
        assert reply.status == 201, reply
        made = reply.json()
        return cls(system, made["client_id"], redirect, made.get("client_secret"),
                   made["token_endpoint_auth_method"] == "client_secret_basic")

    def resource(self, service="alpha"):
        return f"{self.system.origin}/mcp/{service}"

    def ask(self, service="alpha", **change):
        """The address of an authorization request; a parameter of None is left out."""
        self.verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(
            hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        self.state = secrets.token_urlsafe(8)
        asked = {"response_type": "code", "client_id": self.id, "redirect_uri": self.redirect,
                 "state": self.state, "code_challenge": challenge, "code_challenge_method": "S256",
                 "resource": self.resource(service), "scope": "mcp"} | change
        asked = [(k, v) for k, v in asked.items() if v is not None]
        return f"{self.system.origin}/oauth/authorize?{urllib.parse.urlencode(asked, doseq=True)}"

    def post(self, path, form, headers=None):
        form = {"client_id": self.id} | form
        headers = dict(headers or {})
        if self.basic:
            pair = f"{urllib.parse.quote_plus(self.id)}:{urllib.parse.quote_plus(self.secret)}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        elif self.secret:
            form["client_secret"] = self.secret
        form = {k: v for k, v in form.items() if v is not None}
        return send_form(self.system, path, form, headers)

    def code(self, visitor, service="alpha", **choice):
        """A fresh code of the person's choice."""
        back = query(visitor.decide(self.ask(service), **choice))
        assert back["state"] == self.state and back["iss"] == self.system.origin, back
        return back["code"]

    def exchange(self, code, service="alpha", **change):
        return self.post("/oauth/token", {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect,
            "code_verifier": self.verifier, "resource": self.resource(service)} | change)

    def tokens(self, visitor, service="alpha", **choice):
        reply = self.exchange(self.code(visitor, service, **choice), service)
        assert reply.status == 200, reply
        return reply.json()

    def refresh(self, token, service="alpha", **change):
        return self.post("/oauth/token", {
            "grant_type": "refresh_token", "refresh_token": token,
            "resource": self.resource(service)} | change)


def send_form(system, path, form, headers=None):
    return send(system, "POST", path, urllib.parse.urlencode(form),
                {"Content-Type": "application/x-www-form-urlencoded"} | (headers or {}))


def send_json(system, path, value, headers=None):
    return send(system, "POST", path, json.dumps(value),
                {"Content-Type": "application/json"} | (headers or {}))


def send(system, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=60)
    try:
        connection.request(method, path, body, {"Host": system.host} | (headers or {}))
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())
    finally:
        connection.close()


def use(system, token, service="alpha", body=b'{"jsonrpc":"2.0","id":1,"method":"ping"}'):
    """One MCP request with an access token."""
    return send(system, "POST", f"/mcp/{service}", body, {
        "Authorization": f"Bearer {token}", "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream"})


def claims(token):
    """What a token says; nobody believes it here."""
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
