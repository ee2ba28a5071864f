# An official server of the first generation: the session era and the legacy SSE transport.
# usage: server_mcp1.py (http|json|sse) API_KEY RECORD_FILE
# It offers the same tools, resources and prompts as the server of the second generation;
# sampling and elicitation are requests from the server to the client here.

import sys

import anyio
from gate import serve
from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent
from pydantic import BaseModel

kind, key, record = sys.argv[1:4]
server = FastMCP("acceptance", instructions="A server for tests.", json_response=kind == "json")
seen = {"cancelled": 0}


class Colour(BaseModel):
    colour: str


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
async def favourite(ctx: Context) -> str:
    """Asks the person."""
    answer = await ctx.elicit("Which colour?", Colour)
    return f"the person likes {answer.data.colour}"


@server.tool()
async def think(ctx: Context) -> str:
    """Asks the model of the client."""
    question = SamplingMessage(role="user", content=TextContent(type="text", text="Say a word"))
    answer = await ctx.session.create_message(
        [question], max_tokens=16, related_request_id=ctx.request_id)
    return f"the model said {answer.content.text}"


@server.tool()
async def change(ctx: Context) -> str:
    """Announces a change of the lists on the stream that is for announcements."""
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
    app = server.sse_app() if kind == "sse" else server.streamable_http_app()
    serve(app, key, record)
