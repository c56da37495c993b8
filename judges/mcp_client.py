"""The client that the MCP conformance suite judges: our own source of tools, used as an agent would use it.

The suite starts it with the server's URL as its last argument and the scenario's name in the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.shared.auth import AuthorizationCodeResult

from millstream.tools.base import Elicitation, ElicitationAnswer, ToolContext, ToolSpec
from millstream.tools.mcp.settings import Address, OAuth, ServerSettings
from millstream.tools.mcp.sources import McpSources


class Browser:
    """A person who agrees to everything: follows the page to where it sends the browser."""

    redirect_uri = "http://localhost:3000/callback"

    def __init__(self) -> None:
        self._sent_back = ""

    async def show(self, url: str) -> None:
        async with httpx2.AsyncClient() as client:
            self._sent_back = (await client.get(url, follow_redirects=False)).headers["location"]

    async def answer(self) -> AuthorizationCodeResult:
        query = {name: values[0] for name, values in parse_qs(urlsplit(self._sent_back).query).items()}
        return AuthorizationCodeResult(code=query.get("code", ""), state=query.get("state"), iss=query.get("iss"))


async def main(url: str) -> None:
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    told: dict[str, Any] = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    with tempfile.TemporaryDirectory() as folder:
        settings = ServerSettings(Address(url, oauth=_oauth(scenario, told, Path(folder) / "tokens.json")))
        async with McpSources({"judge": settings}, Browser()) as servers:
            source = servers.sources[0]
            for call in told.get("toolCalls") or [
                {"name": spec.name, "arguments": _arguments(spec)} for spec in await source.list()
            ]:
                context = ToolContext("run", "call", lambda _: None, elicit=_accept)
                outcome = await source.call(call["name"], call.get("arguments") or {}, context)
                sys.stderr.write(f"{call['name']}: {outcome}\n")


async def _accept(question: Elicitation) -> ElicitationAnswer:
    """With each field's default."""
    fields = (question.schema or {}).get("properties", {})
    return ElicitationAnswer("accept", {name: field["default"] for name, field in fields.items() if "default" in field})


def _oauth(scenario: str, told: Mapping[str, Any], tokens: Path) -> OAuth | None:
    if not scenario.startswith("auth/"):
        return None
    grant = "client_credentials" if scenario.startswith("auth/client-credentials") else "authorization_code"
    return OAuth(tokens, grant, told.get("client_id"), told.get("client_secret"))  # type: ignore[arg-type]  # both are


def _arguments(spec: ToolSpec) -> dict[str, Any]:
    """Something of each required kind."""
    samples: dict[str, Any] = {"string": "text", "number": 5, "integer": 5, "boolean": True, "array": [], "object": {}}
    fields = spec.parameters.get("properties", {})
    return {name: samples.get(fields.get(name, {}).get("type"), "text") for name in spec.parameters.get("required", ())}


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1]))
