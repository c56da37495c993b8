"""Sources of MCP tools keep the promises of every source, and cost nothing until they are used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_use import in_loop, node

from millstream.testing.tool_source import Call, check_tool_source
from millstream.tools.base import ToolContext, ToolOutcome, ToolSpec
from millstream.tools.mcp.settings import ServerSettings
from millstream.tools.mcp.source import McpSource
from millstream.tools.mcp.sources import McpSources


class _Fresh:
    """A source of a new ``McpSources`` each, which the check closes by itself."""

    def __init__(self, settings: ServerSettings, group: McpSources) -> None:
        self._own = McpSource("everything", settings, group.sources[0]._spawn)
        self.name = self._own.name

    async def list(self) -> Sequence[ToolSpec]:
        return [spec for spec in await self._own.list() if spec.description]

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        return await self._own.call(name, arguments, context)

    async def aclose(self) -> None:
        await self._own.aclose()


@in_loop
async def test_a_server_is_a_source_as_any_other() -> None:
    settings = ServerSettings(node("server-everything"))
    calls = [
        Call("echo", {"message": "word"}),
        Call("get-tiny-image"),
        Call("get-sum", {"a": "no number", "b": 2}, fails=True),
        Call("trigger-long-running-operation", {"duration": 600, "steps": 60_000}, endless=True),
    ]
    async with McpSources({"everything": settings}) as group:
        await check_tool_source(lambda: _Fresh(settings, group), calls)


def test_the_sdk_is_loaded_only_when_a_server_is_used() -> None:
    code = (
        "import sys, millstream.server.mcp\n"
        "from millstream.tools.mcp.sources import McpSources\n"
        "from millstream.tools.mcp.settings import Program, ServerSettings\n"
        "McpSources({'it': ServerSettings(Program('it'))})\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('mcp', 'pydantic', 'httpx2')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
