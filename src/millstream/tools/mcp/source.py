"""An MCP server as a source of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millstream.tools.base import Elicitation, Progress, ToolContext, ToolOutcome, ToolSourceError, ToolSpec
from millstream.tools.mcp.settings import Address, ServerSettings, ToolSettings

if TYPE_CHECKING:
    from mcp import Client
    from mcp_types import Tool

    from millstream.tools.mcp.oauth import Login
    from millstream.tools.mcp.server import Server, Spawn

_NOTHING_SPECIAL = ToolSettings()
_MOST_PAGES = 4
_NO_SDK = "needs the MCP SDK: pip install 'millstream[mcp]'"


class McpSource:
    """The tools of the server ``name``; made by ``McpSources``, which gives its tasks a place to live (``spawn``)."""

    def __init__(self, name: str, settings: ServerSettings, spawn: Spawn, login: Login | None = None) -> None:
        self.name = name
        self._settings = settings
        self._spawn = spawn
        self._login = login
        self._server: Server | None = None

    async def list(self) -> Sequence[ToolSpec]:
        """Those that the settings admit, as the server has them now. Raises ``ToolSourceError``."""
        tools = await self._started().tools()
        return [self._spec(tool) for tool in tools if self._settings.admits(tool.name)]

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Asks the server. Whatever goes wrong with it is told as this call's outcome."""
        if not self._settings.admits(name):
            return ToolOutcome(f"the MCP server {self.name} has no tool {name} that may be used", is_error=True)
        try:
            server = self._started()
        except ToolSourceError as error:
            return ToolOutcome(str(error), is_error=True)
        from millstream.tools.mcp.reasons import explained

        try:
            async with server.client(context) as client:
                return await self._call(client, name, arguments, context)
        except ToolSourceError as error:
            return ToolOutcome(str(error), is_error=True)
        except Exception as error:
            return ToolOutcome(f"{name} of the MCP server {self.name} failed: {explained(error)}", is_error=True)

    async def _call(self, client: Client, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """A server may refuse a call until the person has visited a page, and is then called once more."""
        from mcp import MCPError, UrlElicitationRequiredError
        from mcp_types import URL_ELICITATION_REQUIRED

        from millstream.tools.mcp.results import outcome

        async def told(progress: float, total: float | None, message: str | None) -> None:
            context.progress(Progress(progress, total, message))

        try:
            return outcome(await client.call_tool(name, dict(arguments), progress_callback=told))
        except MCPError as error:
            if error.error.code != URL_ELICITATION_REQUIRED or context.elicit is None:
                raise
            for page in UrlElicitationRequiredError.from_error(error.error).elicitations[:_MOST_PAGES]:
                answer = await context.elicit(Elicitation(self.name, page.message, url=page.url))
                if answer.action != "accept":
                    return ToolOutcome(f"{name}: the user did not go to {page.url} ({answer.action}).", is_error=True)
        return outcome(await client.call_tool(name, dict(arguments), progress_callback=told))

    async def aclose(self) -> None:
        if self._server is not None:
            await self._server.aclose()

    def _started(self) -> Server:
        if self._server is None:
            try:
                from millstream.tools.mcp.server import Server
            except ImportError as error:
                raise ToolSourceError(f"the MCP server {self.name} {_NO_SDK}") from error
            self._server = Server(self.name, self._settings, self._spawn, self._authorization)
        return self._server

    def _authorization(self, address: Address) -> Any:
        if address.oauth is None:
            return None
        from millstream.tools.mcp.oauth import authorization

        return authorization(self.name, address, self._login)

    def _spec(self, tool: Tool) -> ToolSpec:
        own = self._settings.tools.get(tool.name, _NOTHING_SPECIAL)
        return ToolSpec(
            name=tool.name,
            description=tool.description or tool.title or "",
            parameters=tool.input_schema,
            source=self.name,
            timeout=own.timeout or self._settings.timeout,
            permission=own.permission or self._settings.permission,
            read_only=bool(tool.annotations and tool.annotations.read_only_hint),
        )
