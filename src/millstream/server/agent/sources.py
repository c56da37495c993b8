"""Where the tools that run here come from: MCP servers, the workspace, installed packages, and the app itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from millstream import registry
from millstream.agent.exchange import Agent
from millstream.agent.run import AgentRun
from millstream.agent.subagent import LastWords, parent, request_for
from millstream.config import Config, ConfigError
from millstream.core.errors import GatewayBug
from millstream.pipeline import Gateway, Record
from millstream.tools.base import ToolSource

if TYPE_CHECKING:
    from millstream.tools.workspace import AgentLimits

_GROUP = "millstream.tools"
"""Entry points of other packages: the name is the source's, the value makes it when it is called."""


class ToolSources:
    """``async with`` it where the application begins and ends. ``own`` are those the app brings along.

    Raises ``ConfigError``.
    """

    def __init__(self, config: Config, environ: Mapping[str, str], own: Sequence[ToolSource] = ()) -> None:
        self._stack = AsyncExitStack()
        self._agents: SubAgents = SubAgents()
        self._mcp = _mcp(config, environ)
        workspace = registry.workspace_tools(config, environ, self._agents)
        self.sources: tuple[ToolSource, ...] = (
            *own,
            *((workspace,) if workspace is not None else ()),
            *(self._mcp.sources if self._mcp is not None else ()),
            *(entry.load()() for entry in entry_points(group=_GROUP)),
        )
        if self.sources and find_spec("jsonschema") is None:
            raise ConfigError("tools that run here need the extra tools: pip install 'millstream[tools]'")

    def serve(self, gateway: Gateway, agent: Agent) -> None:
        """Tools that start agents do it by these."""
        self._agents.gateway, self._agents.agent = gateway, agent

    async def __aenter__(self) -> Self:
        if self._mcp is not None:
            await self._stack.enter_async_context(self._mcp)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._agents.agent is not None:
            await self._agents.agent.toolbox.aclose()
        await self._stack.__aexit__(kind, error, trace)


class SubAgents:
    """What Task asks: an agent with the model of the run that it works for."""

    def __init__(self) -> None:
        self.gateway: Gateway | None = None
        self.agent: Agent | None = None

    async def __call__(self, prompt: str, tools: Sequence[str], limits: AgentLimits) -> str:
        """Its last words. Raises ``MillstreamError``."""
        if self.gateway is None or self.agent is None:
            raise GatewayBug("an agent was started before there is a gateway")
        run = parent()
        record = Record(self.gateway.new_id(), "subagent", run.model, stream=True)
        options = replace(self.agent.options, tools=tuple(tools), max_iterations=limits.iterations)
        said = LastWords(run, self.agent.phrases)
        request = request_for(prompt, run.model)
        agent = AgentRun(
            self.gateway,
            self.agent.toolbox,
            options,
            request,
            record,
            approvals=self.agent.approvals,
            parent=run,
            elicits=run.elicits,
        )
        try:
            await agent.run(said)
        finally:
            if record.usage is not None:
                run.count(record.usage)
        if record.error is not None:
            raise record.error
        return said.text


def _mcp(config: Config, environ: Mapping[str, str]) -> Any:
    if not config.mcp_servers:
        return None
    from millstream.server.mcp import mcp_settings
    from millstream.tools.mcp.sources import McpSources

    return McpSources(mcp_settings(config.mcp_servers, environ))
