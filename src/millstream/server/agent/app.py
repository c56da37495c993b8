"""The parts of this package put together, for the application."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import msgspec
from starlette.routing import BaseRoute, Route

from millstream.agent.approval import Approvals
from millstream.agent.exchange import Agent
from millstream.agent.kept import Kept
from millstream.agent.progress import Phrases
from millstream.agent.run import AgentOptions
from millstream.agent.toolbox import Rules, Toolbox
from millstream.config import Config, ConfigError
from millstream.pipeline import Gateway
from millstream.policy.auto import Auto
from millstream.policy.caller import Owner
from millstream.server.agent.chat import AgentChat
from millstream.server.agent.small import SmallAnswers
from millstream.server.agent.sources import ToolSources
from millstream.server.deliver import Pulse
from millstream.server.model_api import Deliveries
from millstream.server.runs.manager import Runs
from millstream.server.runs.questions import Questions
from millstream.sessions.base import Clock, SessionStore
from millstream.tools.base import ToolSource

_SAMPLES = {"step": 1, "tools": "a, b", "tool": "a", "done": 1, "total": 2, "run_id": "r"}


def agent_of(config: Config, sources: Sequence[ToolSource], store: SessionStore, now: Clock, owner: Owner) -> Agent:
    """What the settings say of tools that run here. Raises ``ConfigError``."""
    tools = config.tools
    rules = Rules(tools.allow, tools.permissions, tools.timeouts, tools.most_output)
    options = AgentOptions(tools.max_iterations, None, tools.parallel, tools.approval_timeout)
    phrases = Phrases(**msgspec.structs.asdict(tools.phrases))
    for name, phrase in asdict(phrases).items():
        try:
            phrase.format(**_SAMPLES)
        except (KeyError, IndexError, ValueError) as error:
            known = ", ".join(f"{{{sample}}}" for sample in _SAMPLES)
            raise ConfigError(f"tools.phrases.{name}: {phrase!r} cannot be filled in; there are {known}") from error
    return Agent(
        Toolbox(sources, rules),
        options,
        Approvals(owner),
        Kept(store, now, owner),
        by_default=tools.mode == "gateway",
        progress=tools.progress,
        phrases=phrases,
        pace=config.server.pace,
    )


def auto_of(config: Config) -> Auto:
    auto = config.auto
    named = {"simple": auto.simple, "moderate": auto.moderate, "complex": auto.complex}
    models = {complexity: model for complexity, model in named.items() if model is not None}
    return Auto(models, auto.moderate_from, auto.complex_from)


class AgentSurface:
    """For ``owner``, whose the runs are."""

    def __init__(
        self,
        config: Config,
        gateway: Gateway,
        agent: Agent,
        sources: ToolSources,
        runs: Runs,
        deliveries: Deliveries,
        owner: Owner,
    ) -> None:
        self.sources = sources
        self._config = config
        self._gateway = gateway
        self._agent = agent
        self._runs = runs
        self._deliveries = deliveries
        self._owner = owner
        self.questions = Questions(runs, agent.approvals, owner)

    def routes(self, pulse: Pulse) -> list[BaseRoute]:
        """Silence is filled as ``runs.heartbeat`` says, not as ``pulse`` does."""
        settings = self._config.runs
        pulse = replace(pulse, heartbeat=settings.heartbeat)
        max_body = self._config.server.max_body
        chat = AgentChat(
            self._gateway,
            self._agent,
            self._runs,
            self._deliveries,
            self._owner,
            pulse,
            max_body,
            compress=settings.compression,
        )
        small = SmallAnswers(self._gateway, self._agent, self.questions, max_body)
        return [
            Route("/mcp/chat", chat, methods=["POST"]),
            Route("/mcp/chat/stream", chat, methods=["POST"]),
            Route("/mcp/chat/stream/{run_id}", chat, methods=["GET"]),
            Route("/mcp/tools", small("tools"), methods=["GET"]),
            Route("/api/v1/route", small("route"), methods=["POST"]),
            Route("/api/v1/runs/{run_id}/approve", small("approve"), methods=["POST"]),
        ]
