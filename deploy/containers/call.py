# Uses a running Bindery as a person and as an MCP client.
# usage: call.py connect ORIGIN API_KEY     registers, connects, prints {secret_url, api_key}
#        call.py call URL [CREDENTIAL]      calls a tool with the official client, checks the answer

import json
import sys
import urllib.request

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


def post(url, body, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def connect(origin, api_key):
    person = post(f"{origin}/api/auth/register",
                  {"email": "person@example.com", "password": "correct horse battery staple"})
    made = post(f"{origin}/api/connections/upstream/api-key", {"api_key": api_key},
                person["access_token"])
    print(json.dumps({k: made[k] for k in ("secret_url", "api_key")}))


async def call(url, credential=None):
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(20)) as http:
        for mode in ("auto", "legacy"):
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, mode=mode, read_timeout_seconds=20) as client:
                answer = await client.call_tool("add", {"a": 2, "b": 40})
                text = answer.content[0].text
                assert text == "42", text
                print(f"{client.protocol_version}: 2 + 40 = {text}")


if sys.argv[1] == "connect":
    connect(*sys.argv[2:])
else:
    anyio.run(call, *sys.argv[2:])
