# An official server of the second generation: tools with progress and cancellation, resources,
# prompts, sampling and elicitation, in the stateless and the session era on one endpoint.
# usage: server_mcp2.py (http|json|sse) API_KEY RECORD_FILE
# Every answer is a function of the arguments, so that two runs give the same transcript.

import sys
from typing import Annotated

import anyio
from gate import serve
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, Resolve, Sample
from mcp_types import SamplingMessage, TextContent
from pydantic import BaseModel

server = MCPServer("acceptance", version="1.0", instructions="A server for tests.")
seen = {"cancelled": 0, "started": 0}


class Colour(BaseModel):
    colour: str


async def ask_colour(ctx: Context) -> Elicit[Colour]:
    return Elicit("Which colour?", Colour)


async def ask_model(ctx: Context) -> Sample:
    question = SamplingMessage(role="user", content=TextContent(type="text", text="Say a word"))
    return Sample([question], max_tokens=16)


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def echo(text: str) -> str:
    """Gives back what it got."""
    return text


@server.tool()
async def count(to: int, ctx: Context) -> str:
    """Counts aloud."""
    for i in range(to):
        await ctx.report_progress(i + 1, to, f"step {i + 1}")
    return f"counted to {to}"


@server.tool()
async def endless(ctx: Context) -> str:
    """Goes on until it is cancelled."""
    seen["started"] += 1
    try:
        await ctx.report_progress(1, 2, "running")
        await anyio.sleep_forever()
    finally:
        seen["cancelled"] += 1
    return "never"


@server.tool()
def cancellations() -> int:
    """Says how many endless calls were cancelled."""
    return seen["cancelled"]


@server.tool()
def fail() -> str:
    """Always fails."""
    raise ValueError("as it should")


@server.tool()
async def favourite(answer: Annotated[Colour, Resolve(ask_colour)]) -> str:
    """Asks the person."""
    return f"the person likes {answer.colour}"


@server.tool()
async def think(answer: Annotated[object, Resolve(ask_model)]) -> str:
    """Asks the model of the client."""
    content = answer.content
    content = content[0] if isinstance(content, list) else content
    return f"the model said {content.text}"


@server.tool()
async def change(ctx: Context) -> str:
    """Announces a change of the lists on the stream that is for announcements."""
    await ctx.notify_tools_changed()
    if ctx.protocol_version < "2026":
        await ctx.session.send_tool_list_changed()
    return "announced"


@server.resource("note://one")
def note() -> str:
    """A note."""
    return "a note with an umlaut: ü"


@server.resource("note://many/{name}")
def notes(name: str) -> str:
    """A note by name."""
    return f"a note about {name}"


@server.prompt()
def greet(name: str) -> str:
    """A greeting."""
    return f"Please greet {name}."


if __name__ == "__main__":
    kind, key, record = sys.argv[1:4]
    app = server.sse_app() if kind == "sse" else server.streamable_http_app(json_response=kind == "json")
    serve(app, key, record)
