"""A gateway whose users talk, an upstream that plays a scenario, and what the users hear."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from raw_client import RawClient

from millstream.config import (
    AuthConfig,
    Config,
    ConversationConfig,
    ProviderConfig,
    RunsConfig,
    ServerConfig,
    UpstreamConfig,
)
from millstream.providers.replay.scenario import Scenario
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import ReplayServer, replay_server

BASES = {"anthropic": "", "openai_chat": "/v1", "openai_responses": "/v1", "gemini": ""}
INTENT: dict[str, Any] = {
    "when": {"contains": "Label the last message."},
    "text": '{"intent": "ask_weather", "entities": [{"name": "city", "value": "Rome"}]}',
}
SUGGESTIONS: dict[str, Any] = {
    "when": {"contains": "What may the user say next?"},
    "text": '{"suggestions": ["And tomorrow?", "In Milan?", "Thanks!"]}',
}
STREAM = "/api/conversation-stream/ann"
WHOLE = "/api/conversation/ann"
SESSIONS = "/api/conversation/ann/sessions"


class Talk:
    """The gateway and its upstream, as users of an app see them."""

    def __init__(self, gateway: GatewayThread, upstream: ReplayServer | None = None) -> None:
        self.gateway = gateway
        self._upstream = upstream

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Those that the upstream got."""
        assert self._upstream is not None
        return [json.loads(body) for body in self._upstream.requests]

    async def ask(self, method: str, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        async with RawClient(self.gateway.address) as client:
            status, data = await client.ask(method, path, json.dumps(body).encode() if method == "POST" else b"")
            return status, json.loads(data)

    async def post(self, path: str = WHOLE, **body: Any) -> tuple[int, dict[str, Any]]:
        return await self.ask("POST", path, **body)

    async def say(self, message: str = "Weather?", path: str = STREAM, **body: Any) -> list[dict[str, Any]]:
        async with RawClient(self.gateway.address) as client:
            status, data = await client.ask("POST", path, json.dumps({"message": message, **body}).encode())
            assert status == 200, data
            return frames(data)


@asynccontextmanager
async def talk(
    script: Scenario,
    dialect: str = "openai_chat",
    *,
    providers: dict[str, ProviderConfig] | None = None,
    server: ServerConfig | None = None,
    runs: RunsConfig | None = None,
    auth: AuthConfig | None = None,
    **settings: Any,
) -> AsyncIterator[Talk]:
    """``settings`` are those of ``[conversation]``."""
    async with replay_server(script) as upstream:
        own = ProviderConfig(dialect=dialect, base_url=upstream.url + BASES[dialect], default_model="m", api_key="k")
        config = Config(
            providers={"up": own, **(providers or {})},
            default_model="up/m",
            server=server or ServerConfig(),
            runs=runs or RunsConfig(),
            auth=auth or AuthConfig(),
            upstream=UpstreamConfig(backoff=0.001),
            conversation=ConversationConfig(**settings),
        )
        with GatewayThread(config) as gateway:
            yield Talk(gateway, upstream)


def frames(data: bytes) -> list[dict[str, Any]]:
    """Of a stream that has ``data:`` only, but for comments."""
    found = []
    for frame in data.decode().split("\n\n"):
        if frame and not frame.startswith(":"):
            assert frame.startswith("data: ")
            assert "\n" not in frame
            found.append(json.loads(frame[6:]))
    return found


def text_of(events: Sequence[dict[str, Any]]) -> str:
    return "".join(event["content"] for event in events if event["type"] == "chunk")


def of(events: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [event for event in events if event["type"] == kind]
