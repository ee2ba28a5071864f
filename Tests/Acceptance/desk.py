# Scripted services of others that answer one request at a time: Clerk with its keys and its API, Zoho
# with its token endpoint and its help desk. What was asked stands in `requests`, in order.

import email
import email.policy
import http.server
import json
import threading
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class Desk:
    """Answers by a function: (request) -> (status, body); a request is a dict."""

    def __init__(self):
        self.requests = []
        desk = self

        class Conversation(http.server.BaseHTTPRequestHandler):
            def take(self):
                length = int(self.headers.get("Content-Length") or 0)
                request = {"method": self.command, "path": self.path,
                           "headers": {k.lower(): v for k, v in self.headers.items()},
                           "body": self.rfile.read(length)}
                desk.requests.append(request)
                status, body = desk.answer(request)
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_DELETE = take

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Conversation)
        self.origin = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def asked(self, path):
        return [request for request in self.requests if request["path"] == path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Clerk(Desk):
    """A Clerk instance: it signs tokens with PyJWT, and people can be deleted once."""

    def __init__(self):
        super().__init__()
        self.keys, self.deleted, self.trouble = {}, [], None
        self.rotate("ins_1")

    def rotate(self, name):
        self.keys[name] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.name = name

    @property
    def settings(self):
        return {"CLERK_JWKS_URL": f"{self.origin}/.well-known/jwks.json",
                "CLERK_SECRET_KEY": "sk_test_canary_of_clerk", "CLERK_API_URL": self.origin}

    def answer(self, request):
        if self.trouble:
            return self.trouble, {"error": "trouble"}
        if request["path"] == "/.well-known/jwks.json":
            return 200, {"keys": [{**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True),
                                   "kid": name, "use": "sig", "alg": "RS256"}
                                  for name, key in self.keys.items()]}
        if request["method"] == "DELETE" and request["path"].startswith("/v1/users/"):
            if request["headers"].get("authorization") != "Bearer sk_test_canary_of_clerk":
                return 401, {}
            person = request["path"].rsplit("/", 1)[1]
            if person in self.deleted:
                return 404, {}
            self.deleted.append(person)
            return 200, {"id": person, "deleted": True}
        return 404, {}

    def token(self, subject="user_1", key=None, algorithm="RS256", headers=None, **claims):
        """A session token; a claim that is None is left out."""
        now = int(time.time())
        whole = {"iss": self.origin, "sub": subject, "sid": "sess_1", "iat": now, "nbf": now - 5,
                 "exp": now + 60, "v": 2, "sts": "active", **claims}
        return jwt.encode({k: v for k, v in whole.items() if v is not None},
                          key or self.keys[self.name], algorithm,
                          headers={"kid": self.name, "cat": "cl_B7d4PD111AAA", **(headers or {})})


class Zoho(Desk):
    """Zoho's accounts and its help desk in one."""

    def __init__(self):
        super().__init__()
        self.trouble, self.tokens, self.live, self.tickets = {}, 0, None, []

    @property
    def settings(self):
        return {"ZOHO_CLIENT_ID": "zoho-client", "ZOHO_CLIENT_SECRET": "canary-zoho-secret",
                "ZOHO_REFRESH_TOKEN": "canary-zoho-refresh", "ZOHO_ORG_ID": "7001",
                "ZOHO_DEPARTMENT_ID": "8001", "ZOHO_ACCOUNTS_URL": self.origin,
                "ZOHO_DESK_URL": self.origin}

    def answer(self, request):
        path = request["path"]
        if path in self.trouble:
            return self.trouble[path]
        if path == "/oauth/v2/token":
            form = dict(pair.split("=", 1) for pair in request["body"].decode().split("&"))
            good = {"grant_type": "refresh_token", "client_id": "zoho-client",
                    "client_secret": "canary-zoho-secret", "refresh_token": "canary-zoho-refresh"}
            if form != good:
                return 200, {"error": "invalid_code"}  # Zoho's way of saying no
            self.tokens += 1
            self.live = f"canary-zoho-access-{self.tokens}"
            return 200, {"access_token": self.live, "expires_in": 3600, "token_type": "Bearer",
                         "api_domain": self.origin}
        if (request["headers"].get("authorization") != f"Zoho-oauthtoken {self.live}"
                or request["headers"].get("orgid") != "7001"):
            return 401, {"errorCode": "INVALID_OAUTH"}
        if path == "/api/v1/tickets":
            self.tickets.append(json.loads(request["body"]))
            return 200, {"id": "90001", "ticketNumber": "101"}
        if path == "/api/v1/tickets/90001/attachments":
            return 200, {"id": "1"}
        return 404, {}

    @staticmethod
    def file(request):
        """Name and content of the file in an upload, read as a mail reader would."""
        head = b"Content-Type: " + request["headers"]["content-type"].encode() + b"\r\n\r\n"
        parts = list(email.message_from_bytes(
            head + request["body"], policy=email.policy.HTTP).iter_parts())
        assert len(parts) == 1
        return parts[0].get_filename(), parts[0].get_payload(decode=True)
