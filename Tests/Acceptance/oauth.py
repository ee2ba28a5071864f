# What a person and her browser do to connect a service by OAuth: ask for the provider's page, agree
# there, come back with the code, and claim the secret that was made. Redirects are followed by hand,
# so that each address on the way can be looked at.

import contextlib
import http.client
import http.cookies
import json
import sqlite3
import time
import urllib.parse

from system import Access, Reply
from waiting import until


class Browser:
    """A cookie jar and what it fetches; it never follows a redirect by itself."""

    def __init__(self, system):
        self.system, self.jar, self.visited = system, {}, []

    def take(self, headers):
        for line in headers.get_all("Set-Cookie") or []:
            for name, morsel in http.cookies.SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self.jar.pop(name, None)
                else:
                    self.jar[name] = morsel.value

    def get(self, url, cookies=True):
        parts = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        headers = {}
        if cookies and self.jar and parts.port == self.system.port:
            headers["Cookie"] = "; ".join(f"{n}={v}" for n, v in self.jar.items())
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        self.visited.append(url)
        try:
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
            if parts.port == self.system.port:
                self.take(answer.headers)
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()


class Attempt:
    """One try to connect a service, step by step."""

    def __init__(self, person, service, mode=None, **body):
        self.person, self.service, self.system = person, service, person.system
        self.browser = Browser(self.system)
        if mode:
            body["key_storage_mode"] = mode
        self.asked = person.call("POST", f"/api/connections/{service}/authorize", body)
        self.browser.take(self.asked.headers)

    @property
    def url(self):
        """The provider's page."""
        assert self.asked.status == 200, self.asked
        return self.asked.json()["url"]

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.url).query))

    def consent(self):
        """The person agrees; gives the address that the provider sends the browser back to."""
        reply = self.browser.get(self.url)
        assert reply.status == 302, reply
        self.back = reply.headers["Location"]
        return self.back

    def callback(self, url=None, cookies=True):
        return self.browser.get(url or self.consent(), cookies)

    def claim_token(self, reply=None):
        """What the redirect to the dashboard carries."""
        reply = reply or self.callback()
        assert reply.status == 302, reply
        self.landed = reply.headers["Location"]
        parts = urllib.parse.urlsplit(self.landed)
        query = dict(urllib.parse.parse_qsl(parts.query))
        assert parts.path == "/dashboard" and "claim" in query, self.landed
        return query["claim"]

    def claim(self, token=None, person=None):
        token = urllib.parse.quote(token or self.claim_token())
        return (person or self.person).call("GET", f"/api/connections/claim?token={token}")

    def finish(self):
        reply = self.claim()
        assert reply.status == 200, reply
        return Grant(self, reply.json())

    def error(self, reply=None):
        """The error code with which the dashboard is reached."""
        reply = reply or self.callback()
        assert reply.status == 302, reply
        parts = urllib.parse.urlsplit(reply.headers["Location"])
        assert parts.path == "/dashboard", reply.headers["Location"]
        query = dict(urllib.parse.parse_qsl(parts.query))
        assert set(query) == {"error"}, query
        return query["error"]


class Grant(Access):
    """A connection made by OAuth, with its first credential."""

    def __init__(self, attempt, made):
        super().__init__(attempt.person, attempt.service, made, None)
        self.attempt = attempt

    def listed(self):
        """The connection as the REST API shows it, or None."""
        return next((c for c in connections(self.person) if c["id"] == self.id), None)

    def disconnect(self, credential=None):
        body = {"credential": credential} if credential else None
        reply = self.person.call("DELETE", f"/api/connections/{self.id}", body)
        assert reply.status == 200, reply
        assert reply.json()["success"] is True
        return reply.json()["upstream_revocation"]

    def works(self):
        answer = self.call()
        assert answer.status == 200, answer
        return answer.json()["result"]

    def error_code(self, **how):
        """(HTTP status, JSON-RPC code) of a call that fails."""
        answer = self.call(**how)
        return answer.status, answer.json()["error"]["code"]


def connect(person, service, mode=None, **body):
    return Attempt(person, service, mode, **body).finish()


def connections(person):
    reply = person.call("GET", "/api/connections")
    assert reply.status == 200, reply
    found = reply.json()
    return found if isinstance(found, list) else found["connections"]


def rows(system, file, query, *values):
    """Reads a database as an operator would, without writing."""
    path = f"file:{system.data}/{file}.sqlite?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True, timeout=10)) as database:
        return database.execute(query, values).fetchall()


def holding(system, *texts):
    """Tables of both databases in which some value holds one of the texts, in bytes."""
    found = set()
    for file in ("bindery", "tokens"):
        for (name,) in rows(system, file, "SELECT name FROM sqlite_schema WHERE type = 'table'"):
            for row in rows(system, file, f'SELECT * FROM "{name}"'):
                values = [v if isinstance(v, bytes) else str(v).encode() for v in row]
                if any(text.encode() in value for value in values for text in texts):
                    found.add(name)
    return found


@contextlib.contextmanager
def writing(system, file):
    """Changes a row that only time would change. Nothing is checkpointed from here."""
    database = sqlite3.connect(system.data / f"{file}.sqlite", timeout=10)
    try:
        database.execute("PRAGMA wal_autocheckpoint = 0")
        with database:
            yield database
    finally:
        database.close()


def nearly_ended(system, seconds_left):
    """All stored tokens were made an hour ago and end in so many seconds, as far as we know."""
    now = int(time.time())
    with writing(system, "tokens") as database:
        database.execute("UPDATE token_blobs SET updated_at = ?, expires_at = ?",
                         (now - 3600, now + seconds_left))


def generation(grant):
    found = rows(grant.system, "tokens",
                 "SELECT generation FROM token_blobs WHERE connection_id = ?", grant.id)
    return found[0][0] if found else None


def provider_family(provider, number=None):
    """The family of the last consent, or that of a number."""
    with provider.lock:
        return provider.families[-1 if number is None else number - 1]


def settled(provider, count, seconds=10):
    until(lambda: len([e for e in provider.refreshes if e.answered]) >= count, seconds,
          f"{count} exchanges")


def ping(number=1, **more):
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "ping", **more}).encode()
