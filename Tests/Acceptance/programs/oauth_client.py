# The official SDK's OAuth client, of either generation, given nothing but an MCP address: it finds the
# authorization server, registers or names its document, asks for consent, calls tools, refreshes.
# usage: oauth_client.py (session|modern) URL STORAGE_FILE DOCUMENT_URL_OR_DASH REDIRECT_URI
# Prints JSON lines. {"open": URL} wants one line on stdin: where the browser was sent back to. What it
# learned is in STORAGE_FILE, so that a second run is the same client after a restart.

import json
import pathlib
import sys
import time
import urllib.parse

import anyio
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

try:
    import httpx2 as httpx
    from mcp import Client
    from mcp.shared.auth import AuthorizationCodeResult
except ImportError:
    import httpx
    Client = None
from mcp.client.streamable_http import streamable_http_client


def say(**what):
    print(json.dumps(what), flush=True)


class Storage:
    """Tokens and the client, in a file."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def read(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def write(self, name, value):
        kept = value.model_dump(mode="json", exclude_none=True)
        self.path.write_text(json.dumps(self.read() | {name: kept}))

    async def get_tokens(self):
        kept = self.read().get("tokens")
        return OAuthToken.model_validate(kept) if kept else None

    async def set_tokens(self, tokens):
        self.write("tokens", tokens)

    async def get_client_info(self):
        kept = self.read().get("client")
        return OAuthClientInformationFull.model_validate(kept) if kept else None

    async def set_client_info(self, client_info):
        self.write("client", client_info)


async def opened(url):
    say(open=url)


async def returned():
    back = await anyio.to_thread.run_sync(sys.stdin.readline)
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(back.strip()).query))
    if Client is None:
        return query["code"], query.get("state")
    return AuthorizationCodeResult(code=query["code"], state=query.get("state"),
                                   iss=query.get("iss"))


async def talk(http, url, mode):
    if Client is None:
        from mcp import ClientSession
        async with streamable_http_client(url, http_client=http) as (read, write, _):
            async with ClientSession(read, write) as session:
                await session.initialize()
                result = await session.call_tool("add", {"a": 2, "b": 3})
                say(added=result.structuredContent["result"])
        return
    async with Client(streamable_http_client(url, http_client=http),
                      mode="auto" if mode == "modern" else "legacy") as client:
        say(version=client.protocol_version)
        result = await client.call_tool("add", {"a": 2, "b": 3})
        say(added=result.structured_content["result"])


async def main():
    mode, url, path, document, redirect = sys.argv[1:6]
    storage = Storage(path)
    provider = OAuthClientProvider(
        server_url=url, storage=storage, redirect_handler=opened, callback_handler=returned,
        client_metadata_url=None if document == "-" else document,
        client_metadata=OAuthClientMetadata(
            client_name="The official client", redirect_uris=[redirect],
            grant_types=["authorization_code", "refresh_token"], response_types=["code"],
            token_endpoint_auth_method="none"))
    async with httpx.AsyncClient(auth=provider, timeout=httpx.Timeout(30)) as http:
        await talk(http, url, mode)
        before = storage.read()["tokens"]
        provider.context.token_expiry_time = time.time() - 1
        await talk(http, url, mode)
        after = storage.read()["tokens"]
        say(refreshed=before["refresh_token"] != after["refresh_token"],
            client=storage.read().get("client", {}).get("client_id"))


anyio.run(main)
