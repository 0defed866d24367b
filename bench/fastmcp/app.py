"""The same tool on FastMCP: stateless, JSON answers, tokens checked by a static key.

Environment: PROVIDER (origin), KEY (PEM file).
"""

import os

import httpx
from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import JWTVerifier
from fastmcp.server.dependencies import get_access_token


def app():
    with open(os.environ["KEY"]) as file:
        key = file.read()
    auth = JWTVerifier(
        public_key=key,
        algorithm="ES256",
        issuer="https://issuer.bench",
        audience="bench",
        required_scopes=["mcp"],
    )
    mcp = FastMCP("peer", auth=auth)
    limits = httpx.Limits(max_connections=512, max_keepalive_connections=512)
    client = httpx.AsyncClient(base_url=os.environ["PROVIDER"], limits=limits, timeout=30)

    @mcp.tool
    async def get_profile() -> str:
        """The caller's profile at the provider."""
        name = get_access_token().claims["sub"]
        answer = await client.get("/user", headers={"Authorization": "Bearer prov-" + name})
        answer.raise_for_status()
        return answer.text

    return mcp.http_app(path="/mcp", stateless_http=True, json_response=True)
