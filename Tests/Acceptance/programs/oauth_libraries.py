# OAuth clients of general libraries, which know nothing of MCP: the code flow with PKCE, a refresh, a
# revocation.
# usage: oauth_libraries.py (authlib|oauthlib|fastmcp) ORIGIN SERVICE CLIENT_ID SECRET_OR_DASH METHOD
# Prints JSON lines. {"open": URL} wants one line on stdin: where the browser was sent back to.

import asyncio
import json
import os
import secrets
import sys
import threading
import urllib.request

library, origin, service, client_id, secret, method = sys.argv[1:7]
secret = None if secret == "-" else secret
redirect, resource = "http://127.0.0.1:9/callback", f"{origin}/mcp/{service}"
authorize, token = f"{origin}/oauth/authorize", f"{origin}/oauth/token"
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the test is on loopback


def say(**what):
    print(json.dumps(what), flush=True)


def visit(url):
    say(open=url)
    return sys.stdin.readline().strip()


def authlib():
    from authlib.integrations.requests_client import OAuth2Session
    verifier = secrets.token_urlsafe(48)
    session = OAuth2Session(client_id, secret, scope="mcp", redirect_uri=redirect,
                            code_challenge_method="S256", token_endpoint_auth_method=method,
                            revocation_endpoint_auth_method=method)
    url, state = session.create_authorization_url(authorize, code_verifier=verifier,
                                                  resource=resource)
    first = session.fetch_token(token, authorization_response=visit(url), state=state,
                                code_verifier=verifier, resource=resource)
    second = session.refresh_token(token, refresh_token=first["refresh_token"])
    say(first=first, second=second)
    say(revoked=session.revoke_token(f"{origin}/oauth/revoke", second["refresh_token"],
                                     token_type_hint="refresh_token").status_code)


def oauthlib():
    from requests.auth import HTTPBasicAuth
    from requests_oauthlib import OAuth2Session
    auth = HTTPBasicAuth(client_id, secret) if method == "client_secret_basic" else None
    named = {} if auth else {"include_client_id": True}
    session = OAuth2Session(client_id, scope="mcp", redirect_uri=redirect, pkce="S256")
    url, _ = session.authorization_url(authorize, resource=resource)
    first = session.fetch_token(token, authorization_response=visit(url), auth=auth,
                                client_secret=None if auth else secret, resource=resource, **named)
    first = dict(first)
    more = {} if auth else {"client_id": client_id}
    if secret and not auth:
        more["client_secret"] = secret
    second = session.refresh_token(token, refresh_token=first["refresh_token"], auth=auth, **more)
    say(first=first, second=dict(second))


async def fastmcp():
    from fastmcp import Client
    from fastmcp.client.auth import OAuth

    class Printed(OAuth):
        async def redirect_handler(self, authorization_url):
            def go():
                urllib.request.urlopen(visit(authorization_url), timeout=30).read()

            threading.Thread(target=go, daemon=True).start()

    async with Client(resource, auth=Printed(client_name="A fastmcp client")) as client:
        say(tools=sorted(tool.name for tool in await client.list_tools()))
        result = await client.call_tool("add", {"a": 2, "b": 3})
        say(added=result.structured_content["result"])


if library == "fastmcp":
    asyncio.run(fastmcp())
else:
    {"authlib": authlib, "oauthlib": oauthlib}[library]()
