# An official server of the second generation with the SDK's own authorization server in front of it:
# metadata, registration, PKCE, tokens and revocation are the SDK's; what it asks a program to bring,
# storage and consent, is here and consents to everything.
# usage: authorized_mcp2.py SECONDS RECORD_FILE
# SECONDS is the life of the first access token of a grant; later ones live an hour. One JSON line per
# event (issued, refreshed, revoked, called) goes to the record file. Prints `ready PORT`.

import asyncio
import json
import secrets
import socket
import sys
import time

import uvicorn
from mcp.server.auth.provider import (AccessToken, AuthorizationCode, RefreshToken, TokenError,
                                      construct_redirect_uri)
from mcp.server.auth.settings import AuthSettings, ClientRegistrationOptions, RevocationOptions
from mcp.server.mcpserver import MCPServer
from mcp.shared.auth import OAuthToken


class Memory:
    """Grants in memory; a refresh token is good once."""

    def __init__(self, life, record):
        self.life, self.record = life, open(record, "a", buffering=1)
        self.clients, self.codes, self.access, self.refresh = {}, {}, {}, {}

    def note(self, event, **more):
        self.record.write(json.dumps({"event": event, **more}) + "\n")

    async def get_client(self, client_id):
        return self.clients.get(client_id)

    async def register_client(self, client_info):
        self.clients[client_info.client_id] = client_info
        self.note("registered", client=client_info.client_id)

    async def authorize(self, client, params):
        code = AuthorizationCode(
            code=secrets.token_urlsafe(32), scopes=params.scopes or [], client_id=client.client_id,
            expires_at=time.time() + 30, code_challenge=params.code_challenge,
            redirect_uri=params.redirect_uri, resource=params.resource,
            redirect_uri_provided_explicitly=params.redirect_uri_provided_explicitly)
        self.codes[code.code] = code
        return construct_redirect_uri(str(params.redirect_uri), code=code.code, state=params.state,
                                      iss=self.issuer)

    async def load_authorization_code(self, client, authorization_code):
        return self.codes.get(authorization_code)

    async def exchange_authorization_code(self, client, authorization_code):
        del self.codes[authorization_code.code]
        self.note("issued", resource=authorization_code.resource)
        return self.issue(client, authorization_code.scopes, authorization_code.resource, self.life)

    def issue(self, client, scopes, resource, life):
        access, refresh = f"at-{secrets.token_hex(24)}", f"rt-{secrets.token_hex(24)}"
        self.access[access] = AccessToken(token=access, client_id=client.client_id, scopes=scopes,
                                          expires_at=int(time.time() + life), resource=resource)
        self.refresh[refresh] = RefreshToken(token=refresh, client_id=client.client_id,
                                             scopes=scopes, resource=resource)
        return OAuthToken(access_token=access, refresh_token=refresh, expires_in=life,
                          token_type="Bearer", scope=" ".join(scopes) or None)

    async def load_refresh_token(self, client, refresh_token):
        return self.refresh.get(refresh_token)

    async def exchange_refresh_token(self, client, refresh_token, scopes):
        if self.refresh.pop(refresh_token.token, None) is None:
            self.note("replayed")
            raise TokenError("invalid_grant")
        self.note("refreshed", resource=refresh_token.resource)
        return self.issue(client, scopes, refresh_token.resource, 3600)

    async def load_access_token(self, token):
        found = self.access.get(token)
        return found if found and found.expires_at > time.time() else None

    async def revoke_token(self, token):
        self.note("revoked", kind=type(token).__name__)
        self.access = {k: v for k, v in self.access.items() if v.client_id != token.client_id}
        self.refresh = {k: v for k, v in self.refresh.items() if v.client_id != token.client_id}


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
memory = Memory(int(sys.argv[1]), sys.argv[2])
memory.issuer = origin
server = MCPServer("authorized", version="1.0", auth_server_provider=memory, auth=AuthSettings(
    issuer_url=origin, resource_server_url=f"{origin}/mcp", required_scopes=["notes"],
    validate_token_resource=True,
    client_registration_options=ClientRegistrationOptions(
        enabled=True, valid_scopes=["notes"], default_scopes=["notes"]),
    revocation_options=RevocationOptions(enabled=True)))


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    memory.note("called")
    return a + b


app = server.streamable_http_app(json_response=True)
print(f"ready {listener.getsockname()[1]}", flush=True)
config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1, lifespan="on")
asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
