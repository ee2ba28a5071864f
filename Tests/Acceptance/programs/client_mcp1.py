# The official client of the first generation, run through a fixed script.
# usage: client_mcp1.py (session|sse|session-json) URL [HEADER_CREDENTIAL]
# Prints one JSON line per step: a transcript in which nothing depends on time, on ports or on
# the order of unrelated events, so that two runs over different routes can be compared.

import json
import sys

import anyio
import httpx
from mcp import ClientSession, McpError, types
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client


def say(step, value):
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    print(json.dumps({"step": step, "value": value}, sort_keys=True), flush=True)


async def elicit(context, params):
    say("asked the person", params.message)
    return types.ElicitResult(action="accept", content={"colour": "green"})


async def sample(context, params):
    say("asked the model", params.messages[0].content.text)
    return types.CreateMessageResult(role="assistant", model="none",
                                     content=types.TextContent(type="text", text="word"))


async def cancel(session):
    started, ids = anyio.Event(), []

    async def progress(done, total, message):
        started.set()

    async def endless():
        try:
            await session.call_tool("endless", {}, progress_callback=progress)
        except McpError as error:
            say("endless", str(error))

    before = (await session.call_tool("cancellations")).structuredContent["result"]
    async with anyio.create_task_group() as group:
        ids.append(session._request_id)
        group.start_soon(endless)
        await started.wait()
        await session.send_notification(types.ClientNotification(types.CancelledNotification(
            params=types.CancelledNotificationParams(requestId=ids[0], reason="enough"))))
    with anyio.fail_after(10):
        while True:
            after = (await session.call_tool("cancellations")).structuredContent["result"]
            if after > before:
                break
            await anyio.sleep(0.02)
    say("cancelled", after - before)


async def script(read, write, streams, session_id=lambda: None):
    heard = anyio.Event()

    async def message(incoming):
        root = getattr(incoming, "root", None)
        if isinstance(root, types.ToolListChangedNotification):
            heard.set()

    async with ClientSession(read, write, sampling_callback=sample, elicitation_callback=elicit,
                             message_handler=message) as session:
        say("initialize", await session.initialize())
        say("has a session", bool(session_id()))
        say("ping", await session.send_ping())
        say("tools", await session.list_tools())
        say("add", await session.call_tool("add", {"a": 2, "b": 3}))
        say("echo", await session.call_tool("echo", {"text": "ü€😀 " * 2000}))
        steps = []

        async def progress(done, total, text):
            steps.append([done, total, text])

        say("count", await session.call_tool("count", {"to": 5}, progress_callback=progress))
        if streams:
            say("progress", steps)
        say("fail", await session.call_tool("fail"))
        say("resources", await session.list_resources())
        say("templates", await session.list_resource_templates())
        say("read", await session.read_resource("note://one"))
        say("read by name", await session.read_resource("note://many/bees"))
        say("prompts", await session.list_prompts())
        say("prompt", await session.get_prompt("greet", {"name": "Ada"}))
        try:
            say("unknown", await session.read_resource("note://none"))
        except Exception as error:
            say("unknown", str(error))
        if streams:
            say("favourite", await session.call_tool("favourite"))
            say("think", await session.call_tool("think"))
            await cancel(session)
            say("change", await session.call_tool("change"))
            with anyio.fail_after(10):
                await heard.wait()
            say("heard", "ToolsListChanged")
        say("after all", await session.call_tool("add", {"a": 20, "b": 3}))


async def main():
    mode, url = sys.argv[1:3]
    headers = {"Authorization": f"Bearer {sys.argv[3]}"} if len(sys.argv) > 3 else {}
    if mode == "sse":
        async with sse_client(url, headers=headers) as (read, write):
            await script(read, write, True)
        return
    async with httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(30)) as http:
        async with streamable_http_client(url, http_client=http) as (read, write, session_id):
            await script(read, write, mode == "session", session_id)


anyio.run(main)
