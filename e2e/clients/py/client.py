"""The client of the Python SDK. Usage: python client.py MCP-URL

It prints one JSON object a line. At {"step": "authorize"} the Go test opens the
URL in the person's browser; after {"step": "tools"} it names tools to call, one
a line, and ends its output when it is done.
"""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken


def say(step: str, **values: object) -> None:
    print(json.dumps({"step": step, **values}), flush=True)


class Memory:
    """A token storage that keeps all in memory."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Callback:
    """Listens on a loopback port for the one redirect of the authorization server."""

    async def listen(self) -> None:
        self.params: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/callback"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        target = urlsplit(request.split(b" ", 2)[1].decode())
        body = b"You may close this window."
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()
        if target.path == "/callback" and not self.params.done():
            self.params.set_result({key: values[0] for key, values in parse_qs(target.query).items()})

    async def received(self) -> AuthorizationCodeResult:
        params = await self.params
        self.server.close()
        return AuthorizationCodeResult(code=params["code"], state=params.get("state"), iss=params.get("iss"))


async def report(progress: float, total: float | None, message: str | None) -> None:
    say("progress", progress={"progress": progress, "total": total, "message": message})


async def use_tools(client: Client) -> None:
    tools = (await client.list_tools()).tools
    say("tools", protocol=client.protocol_version, names=sorted(tool.name for tool in tools))

    while name := (await asyncio.to_thread(sys.stdin.readline)).strip():
        result = await client.call_tool(name, {}, progress_callback=report)
        say("call", name=name, result=result.model_dump(mode="json", by_alias=True, exclude_none=True))


async def main(url: str) -> None:
    callback = Callback()
    await callback.listen()

    async def authorize(address: str) -> None:
        say("authorize", url=address)

    auth = OAuthClientProvider(
        server_url=url,
        client_metadata=OAuthClientMetadata(client_name="Python SDK", redirect_uris=[callback.url]),
        storage=Memory(),
        redirect_handler=authorize,
        callback_handler=callback.received,
    )
    async with httpx2.AsyncClient(auth=auth, timeout=30) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            await use_tools(client)


asyncio.run(main(sys.argv[1]))
