"""The client of FastMCP 3 and 4. Usage: python client.py MCP-URL

It opens the person's browser by itself and prints one JSON object a line. After
{"step": "tools"} the Go test names tools to call, one a line, and ends its output
when it is done.
"""

import asyncio
import json
import sys

from fastmcp import Client


def say(step: str, **values: object) -> None:
    print(json.dumps({"step": step, **values}), flush=True)


async def main(url: str) -> None:
    async with Client(url, auth="oauth") as client:
        say("tools", names=sorted(tool.name for tool in await client.list_tools()))
        while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
            result = await client.call_tool(name, {}, raise_on_error=False)
            content = [part.model_dump(mode="json", by_alias=True, exclude_none=True) for part in result.content]
            say("call", name=name, result={"content": content, "isError": result.is_error})


asyncio.run(main(sys.argv[1]))
