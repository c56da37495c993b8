"""The parts of this package put together, for the application."""

from __future__ import annotations

from dataclasses import replace

from starlette.routing import BaseRoute, Route

from millstream.agent.exchange import Agent
from millstream.config import Config
from millstream.pipeline import Gateway
from millstream.policy.caller import Owner
from millstream.server.deliver import Pulse
from millstream.server.front.agui import AgUi
from millstream.server.front.base import Fronts
from millstream.server.front.chat import Chat
from millstream.server.model_api import Deliveries
from millstream.server.plain.names import Names
from millstream.server.runs.manager import Runs
from millstream.server.runs.questions import Questions

EXPOSED_HEADERS = ("x-workflow-run-id", "x-workflow-stream-tail-index", "x-vercel-ai-ui-message-stream")
"""What pages of another origin have to be able to read."""


def front_routes(
    config: Config,
    gateway: Gateway,
    agent: Agent,
    runs: Runs,
    deliveries: Deliveries,
    owner: Owner,
    questions: Questions,
    pulse: Pulse,
) -> list[BaseRoute]:
    """Silence is filled as ``runs.heartbeat`` says, not as ``pulse`` does."""
    settings = config.runs
    fronts = Fronts(
        gateway,
        agent,
        runs,
        deliveries,
        owner,
        questions,
        Names(runs.journal, owner, gateway.now, settings.keep_for),
        replace(pulse, heartbeat=settings.heartbeat),
        config.server.max_body,
        compress=settings.compression,
        version=config.server.ui_stream,
    )
    chat, agui = Chat(fronts), AgUi(fronts)
    return [
        Route("/api/chat", chat, methods=["POST"]),
        Route("/api/chat/{id}/stream", chat, methods=["GET"]),
        Route("/api/chat/{id}/stop", chat, methods=["POST"]),
        Route("/agui", agui, methods=["GET", "POST"]),
    ]
