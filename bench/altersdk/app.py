"""The same tool on FastMCP with the Alter SDK, in the shape of its guide.

Environment: SITE (own origin), PROVIDER (origin), ALTER_BASE_URL, ALTER_API_KEY,
and STATELESS=1 for no sessions and JSON answers in place of event streams.
"""

import os

from alter_sdk.fastapi import AlterFastAPI
from alter_sdk.mcp import AlterContext, AlterMCP
from fastapi import FastAPI
from fastmcp import FastMCP


def app():
    stateless = os.environ.get("STATELESS") == "1"
    url = os.environ["PROVIDER"] + "/user"
    alter = AlterFastAPI(api_key=os.environ["ALTER_API_KEY"], kind="app", caller="bench")
    auth = alter.auth_provider(base_url=os.environ["SITE"] + "/mcp", providers={"bench": ["profile"]})
    mcp = FastMCP("peer", auth=auth)

    @mcp.tool
    @AlterMCP(alter.vault).tool(provider="bench")
    async def get_profile(ctx: AlterContext) -> str:
        """The caller's profile at the provider."""
        answer = await ctx.request("GET", url)
        return answer.text

    inner = mcp.http_app(path="/", stateless_http=stateless, json_response=stateless)
    outer = FastAPI(lifespan=inner.lifespan)
    outer.router.routes.extend(auth.get_well_known_routes(mcp_path="/"))
    outer.mount("/mcp", inner)
    return outer
