# The official client of the second generation, run through a fixed script.
# usage: client_mcp2.py (modern|legacy|sse|modern-json|legacy-json) URL [HEADER_CREDENTIAL]
# Prints one JSON line per step: a transcript in which nothing depends on time, on ports or on
# the order of unrelated events, so that two runs over different routes can be compared.

import json
import sys

import anyio
import httpx2
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CreateMessageResult, ElicitResult, TextContent


def say(step, value):
    if hasattr(value, "model_dump"):
        value = value.model_dump(mode="json", by_alias=True, exclude_none=True)
    print(json.dumps({"step": step, "value": value}, sort_keys=True), flush=True)


async def elicit(context, params):
    say("asked the person", params.message)
    return ElicitResult(action="accept", content={"colour": "green"})


async def sample(context, params):
    say("asked the model", params.messages[0].content.text)
    return CreateMessageResult(role="assistant", model="none",
                               content=TextContent(type="text", text="word"))


async def cancel(client):
    started = anyio.Event()

    async def progress(done, total, message):
        started.set()

    before = (await client.call_tool("cancellations")).structured_content["result"]
    async with anyio.create_task_group() as group:
        group.start_soon(client.call_tool, "endless", {}, None, progress)
        await started.wait()
        group.cancel_scope.cancel()
    with anyio.fail_after(10):
        while True:
            after = (await client.call_tool("cancellations")).structured_content["result"]
            if after > before:
                break
            await anyio.sleep(0.02)
    say("cancelled", after - before)


async def announcements(client, heard, modern):
    if modern:
        async with client.listen(tools_list_changed=True) as changes:
            say("change", await client.call_tool("change"))
            async for event in changes:
                say("heard", type(event).__name__)
                break
        return
    say("change", await client.call_tool("change"))
    with anyio.fail_after(10):
        await heard.wait()
    say("heard", "ToolsListChanged")


async def script(transport, mode):
    heard, modern, streams = anyio.Event(), mode.startswith("modern"), not mode.endswith("json")

    async def message(incoming):
        if getattr(incoming, "method", "") == "notifications/tools/list_changed":
            heard.set()

    async with Client(transport, mode="auto" if modern else "legacy",
                      message_handler=message, sampling_callback=sample,
                      elicitation_callback=elicit, read_timeout_seconds=30) as client:
        say("version", client.protocol_version)
        say("server", client.server_info)
        say("capabilities", client.server_capabilities)
        say("tools", await client.list_tools())
        say("add", await client.call_tool("add", {"a": 2, "b": 3}))
        say("echo", await client.call_tool("echo", {"text": "ü€😀 " * 2000}))
        steps = []

        async def progress(done, total, text):
            steps.append([done, total, text])

        say("count", await client.call_tool("count", {"to": 5}, progress_callback=progress))
        if streams:
            say("progress", steps)
        say("fail", await client.call_tool("fail"))
        say("resources", await client.list_resources())
        say("templates", await client.list_resource_templates())
        say("read", await client.read_resource("note://one"))
        say("read by name", await client.read_resource("note://many/bees"))
        say("prompts", await client.list_prompts())
        say("prompt", await client.get_prompt("greet", {"name": "Ada"}))
        try:
            say("unknown", await client.read_resource("note://none"))
        except Exception as error:
            say("unknown", str(error))
        if modern or streams:
            say("favourite", await client.call_tool("favourite"))
            say("think", await client.call_tool("think"))
        if streams:
            await cancel(client)
            await announcements(client, heard, modern)
        say("after all", await client.call_tool("add", {"a": 20, "b": 3}))


async def main():
    mode, url = sys.argv[1:3]
    headers = {"Authorization": f"Bearer {sys.argv[3]}"} if len(sys.argv) > 3 else {}
    if mode == "sse":
        await script(sse_client(url, headers=headers), mode)
        return
    async with httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(30)) as http:
        await script(streamable_http_client(url, http_client=http), mode)


anyio.run(main)
