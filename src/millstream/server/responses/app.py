"""The parts of this package put together, for the application."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.config import Config
from millstream.dialects.base import ClientCall
from millstream.dialects.openai_responses import wire
from millstream.pipeline import Gateway
from millstream.policy.caller import Owner
from millstream.server.deliver import Pulse
from millstream.server.model_api import Deliveries, ModelEndpoint
from millstream.server.responses.asking import Asking
from millstream.server.responses.http import ResponsesTurn
from millstream.server.responses.keeping import Keeper
from millstream.server.responses.runs import Runs
from millstream.server.responses.stored import StoredResponse
from millstream.server.responses.tasks import Tasks
from millstream.server.responses.websocket import ResponsesSocket
from millstream.sessions.base import SessionStore

_PATHS = ("/v1/responses", "/responses")


class _Nothing:
    """An ASGI application that is not there."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(404)


class ResponsesState:
    """``async with`` it where the application begins and ends. ``owner`` is whose the stored replies are; ``alone``: no
    other process uses the same store; ``runs_tools``: those of a call run here."""

    def __init__(
        self,
        config: Config,
        gateway: Gateway,
        deliveries: Deliveries,
        store: SessionStore,
        owner: Owner,
        *,
        alone: bool = True,
        runs_tools: Callable[[ClientCall], bool] = lambda _: False,
    ) -> None:
        self._elsewhere_for = 0.0 if alone else config.responses.run_limit
        self._config = config
        self._gateway = gateway
        self._dialect = gateway.dialects[wire.NAME]
        self._deliveries = deliveries
        self._store = store
        self._owner = owner
        self._tasks = Tasks()
        max_body = config.server.max_body
        self._keeper = Keeper(store, self._tasks, gateway.now, config.sessions.keep_for, max_body, alone=alone)
        self._asking = Asking(gateway, self._dialect, self._keeper, owner, max_body, runs_tools)
        self._runs = Runs(
            self._tasks,
            deliveries,
            gateway.now,
            most=config.responses.background_runs,
            limit=config.responses.run_limit,
            buffer=config.responses.run_buffer,
        )

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._tasks.__aexit__(kind, error, trace)
        finally:
            await self._store.aclose()

    def endpoint(self, pulse: Pulse) -> ASGIApp:
        """``POST /v1/responses``."""
        turn = partial(
            ResponsesTurn, asking=self._asking, runs=self._runs, deliveries=self._deliveries, owner=self._owner
        )
        max_body = self._config.server.max_body
        return ModelEndpoint(self._gateway, self._dialect, self._deliveries, pulse, max_body, turn=turn)

    def routes(self, pulse: Pulse) -> list[BaseRoute]:
        """All others: those below it, and the WebSocket."""
        stored = partial(
            StoredResponse,
            self._gateway,
            self._dialect,
            pulse,
            self._keeper,
            self._runs,
            self._owner,
            self._elsewhere_for,
        )
        socket = ResponsesSocket(
            self._gateway,
            self._dialect,
            self._asking,
            self._deliveries,
            pulse,
            max_message=self._config.server.max_body,
            limit=self._config.responses.connection_limit,
        )
        found: list[BaseRoute] = []
        for path in _PATHS:
            found += [
                Route(f"{path}/compact", _Nothing(), methods=["POST"]),  # else it were an id that takes no POST
                Route(f"{path}/{{response_id}}", stored("get"), methods=["GET"]),
                Route(f"{path}/{{response_id}}", stored("delete"), methods=["DELETE"]),
                Route(f"{path}/{{response_id}}/cancel", stored("cancel"), methods=["POST"]),
                Route(f"{path}/{{response_id}}/input_items", stored("input_items"), methods=["GET"]),
                WebSocketRoute(path, socket),
            ]
        return found
