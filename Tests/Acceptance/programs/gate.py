# Stands in front of an official server: demands the API key and writes down what it saw.
# One JSON line per request (method, target, header pairs, in order) goes to the record file.
# It is plain ASGI, so that both generations of the SDK can wear it, and it serves on a port
# that the system picks and that is printed as `ready PORT`.
# It alters nothing between the server and its client.

import asyncio
import json
import socket

import uvicorn


class Gate:
    def __init__(self, app, key, record):
        self.app, self.key = app, key
        self.record = open(record, "a", buffering=1)

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = [[n.decode("latin-1"), v.decode("latin-1")] for n, v in scope["headers"]]
        target = scope["raw_path"].decode("latin-1")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        line = {"method": scope["method"], "target": target, "headers": headers}
        self.record.write(json.dumps(line) + "\n")
        given = [v for n, v in headers if n.lower() == "authorization"]
        if given != [f"Bearer {self.key}"]:
            await send({"type": "http.response.start", "status": 401,
                        "headers": [(b"content-length", b"0"), (b"www-authenticate", b"Bearer")]})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, send)


def serve(app, key, record):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    print(f"ready {listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(Gate(app, key, record), log_level="error",
                            timeout_graceful_shutdown=1, lifespan="on")
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
