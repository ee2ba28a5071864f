# Uses a running Bindery as a person and as an MCP client.
# usage: call.py connect ORIGIN API_KEY     registers, connects once in each mode, prints what a
#                                           client needs: [{url, credential}]
#        call.py call MADE                  calls a tool with the official client in every way

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
    ways = []
    for mode in ("zero_knowledge", "managed"):
        made = post(f"{origin}/api/connections/upstream/api-key",
                    {"api_key": api_key, "key_storage_mode": mode}, person["access_token"])
        ways.append({"url": made["secret_url"], "credential": None})
        ways.append({"url": f"{origin}/mcp/upstream", "credential": made["api_key"]})
    print(json.dumps(ways))


async def call(way):
    """Calls a tool in both eras of the protocol; returns their versions."""
    held = way["credential"]
    headers = {"Authorization": f"Bearer {held}"} if held else {}
    versions = []
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(20)) as http:
        for mode in ("auto", "legacy"):
            transport = streamable_http_client(way["url"], http_client=http)
            async with Client(transport, mode=mode, read_timeout_seconds=20) as client:
                answer = await client.call_tool("add", {"a": 2, "b": 40})
                text = answer.content[0].text
                assert text == "42", text
                versions.append(client.protocol_version)
    return versions


if sys.argv[1] == "connect":
    connect(*sys.argv[2:])
else:
    answered = [anyio.run(call, way) for way in json.loads(sys.argv[2])]
    print(f"{sum(map(len, answered))} calls answered, protocol {' and '.join(answered[0])}")
