"""A gateway whose upstreams play one scenario, each in another dialect, all inside this process."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from millstream.core import events as ev
from millstream.core.messages import Message, Request, TextPart, Tool
from millstream.core.run_events import RunEvent
from millstream.dialects.base import UpstreamRequest
from millstream.pipeline import Continuation, Gateway
from millstream.policy.retry import RetryPolicy
from millstream.policy.routing import Routes
from millstream.providers import catalog
from millstream.providers.replay.player import Player
from millstream.providers.replay.scenario import Scenario, ScriptedReply
from millstream.providers.replay.transport import ReplayReply, call_of
from millstream.registry import dialects
from millstream.upstream import Upstream

DIALECTS = ("anthropic", "openai_chat", "openai_responses", "gemini")
LIMIT_S = 30.0
E = TypeVar("E")
T = TypeVar("T")


def scenario(*replies: dict[str, Any], **about: Any) -> Scenario:
    return Scenario(replies=tuple(msgspec.convert(reply, ScriptedReply) for reply in replies), **about)


class PlayedTransport:
    """Implements ``providers.base.Transport``. ``requests`` are those it got, as its dialect reads them."""

    def __init__(self, dialect: str, script: Scenario) -> None:
        known = dialects()
        self._dialect = known[dialect]
        self._player = Player(script, Path(), known, lambda: asyncio.get_running_loop().time())
        self.replies: list[ReplayReply] = []

    @property
    def requests(self) -> list[Request]:
        return [
            self._dialect.parse_request(call_of(received.path, received.headers, received.body))
            for received in self._player.received
        ]

    async def open(self, request: UpstreamRequest, *, stream: bool) -> ReplayReply:
        call = call_of(request.path, request.headers, request.body, stream=stream)
        plan, received = self._player.play(self._dialect, call, request.path)
        if plan.head_at:
            await asyncio.sleep(min(plan.head_at, LIMIT_S * 2))
        reply = ReplayReply(plan, received, 60.0)
        self.replies.append(reply)
        return reply

    async def aclose(self) -> None:
        return


def played(script: Scenario, *names: str) -> tuple[Gateway, dict[str, PlayedTransport]]:
    """A gateway with the models ``anthropic/m``, ``openai_chat/m`` and so on, and what is behind each."""
    known = dialects()
    transports = {name: PlayedTransport(name, script) for name in names or DIALECTS}
    upstreams = {
        name: Upstream(
            catalog.provider(
                name, catalog.Row(dialect=name, kind="replay", default_model="m"), known[name], None, configured=True
            ),
            transport,
        )
        for name, transport in transports.items()
    }
    numbers = itertools.count(1)
    routes = Routes(dict.fromkeys(upstreams, "m"), f"{next(iter(upstreams))}/m", {})
    gateway = Gateway(
        known,
        routes,
        upstreams,
        RetryPolicy(2, 0.001, 1.0),
        now=lambda: 1_700_000_000.0,
        new_id=lambda: f"id{next(numbers)}",
    )
    return gateway, transports


def continuing(gateway: Gateway) -> Gateway:
    """``gateway``, where answers of its OpenAI upstream are gone on with."""
    upstream = gateway.upstreams["openai_chat"]
    quirks = type(upstream.provider.quirks)(continues=("*",))
    able = Upstream(replace(upstream.provider, quirks=quirks), upstream.transport)
    return replace(gateway, upstreams={"openai_chat": able}, continuation=Continuation())


def asked(model: str, text: str = "Do it.", *, tools: Sequence[Tool] = (), **fields: Any) -> Request:
    messages = fields.pop("messages", (Message("user", (TextPart(text),)),))
    return Request(
        "millstream", model, messages, tools=tuple(tools), max_tokens=fields.pop("max_tokens", 1000), **fields
    )


class Taken:
    """A sink that keeps what it takes. ``slow``: what it is to be awaited for each time."""

    def __init__(self, slow: Callable[[], Awaitable[None]] | None = None) -> None:
        self.events: list[RunEvent] = []
        self.batches: list[list[RunEvent]] = []
        self._slow = slow
        self._news = asyncio.Event()

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        self.events.extend(events)
        self.batches.append(list(events))
        self._news.set()
        return None if self._slow is None else self._slow()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.of(ev.TextDelta))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self._news.clear()
                await self._news.wait()


def limited(main: Awaitable[T]) -> T:
    """``main`` to its end; what hangs fails."""

    async def run() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await main

    return asyncio.run(run())
