# An official MCP server behind TLS, on an address the containers reach.
# usage: upstream.py ADDRESS PORT CERTIFICATE KEY API_KEY
# Demands the API key, so that an answer proves that the edge swapped the credential.

import asyncio
import sys

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

address, port, certificate, key, api_key = sys.argv[1:6]
server = MCPServer("containers", version="1.0")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


inner = server.streamable_http_app(
    transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False))


async def guarded(scope, receive, send):
    if scope["type"] == "http":
        given = [v for n, v in scope["headers"] if n == b"authorization"]
        if given != [f"Bearer {api_key}".encode()]:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
    await inner(scope, receive, send)


config = uvicorn.Config(guarded, host=address, port=int(port), log_level="error",
                        ssl_certfile=certificate, ssl_keyfile=key)
asyncio.run(uvicorn.Server(config).serve())
