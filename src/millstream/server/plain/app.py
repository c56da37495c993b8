"""The parts of this package put together, for the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.config import Config
from millstream.dialects.base import ClientCall, Dialect
from millstream.pipeline import Gateway
from millstream.policy.caller import Owner
from millstream.server.deliver import Delivery, Pulse
from millstream.server.model_api import Deliveries, ModelEndpoint
from millstream.server.plain.attached import AttachedTurn
from millstream.server.plain.begin import Beginner
from millstream.server.plain.http import StreamEndpoint
from millstream.server.plain.manage import RunsApi
from millstream.server.plain.names import Names
from millstream.server.plain.websocket import StreamSocket
from millstream.server.runs.endpoint import RUN_HEADER
from millstream.server.runs.manager import Runs


class PlainSurface:
    """For ``owner``, whose the runs are."""

    def __init__(self, config: Config, gateway: Gateway, runs: Runs, deliveries: Deliveries, owner: Owner) -> None:
        self.runs = runs
        self._config = config
        self._gateway = gateway
        self._deliveries = deliveries
        self._owner = owner

    def routes(self, pulse: Pulse) -> list[BaseRoute]:
        """Silence is filled as ``runs.heartbeat`` says, not as ``pulse`` does."""
        settings = self._config.runs
        pulse = replace(pulse, heartbeat=settings.heartbeat)
        beginner = Beginner(self._gateway, self.runs, self._owner, settings.on_disconnect)
        max_body = self._config.server.max_body
        stream = StreamEndpoint(beginner, self.runs, self._deliveries, pulse, max_body, compress=settings.compression)
        names = Names(self.runs.journal, self._owner, self._gateway.now, settings.keep_for)
        return [
            Route("/api/v1/stream", stream, methods=["POST"]),
            Route("/api/v1/stream/{run_id}", stream, methods=["GET"]),
            WebSocketRoute("/ws/stream", StreamSocket(beginner, self.runs, names, pulse)),
            *RunsApi(self.runs, self._owner).routes(),
        ]

    def or_run(
        self, endpoint: ASGIApp, dialect: Dialect, pulse: Pulse, read_call: Callable[[Scope, bytes], ClientCall]
    ) -> ASGIApp:
        """``endpoint``, but calls that ask to be runs are."""

        def turn(gateway: Gateway, dialect: Dialect, delivery: Delivery) -> AttachedTurn:
            return AttachedTurn(gateway, dialect, delivery, self.runs, self._owner, self._config.runs.on_disconnect)

        max_body = self._config.server.max_body
        as_run = ModelEndpoint(self._gateway, dialect, self._deliveries, pulse, max_body, read_call, turn)
        return _Choice(endpoint, as_run)


class _Choice:
    def __init__(self, plain: ASGIApp, as_run: ASGIApp) -> None:
        self._plain = plain
        self._as_run = as_run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for name, _ in scope["headers"]:
            if name == _RUN:
                await self._as_run(scope, receive, send)
                return
        await self._plain(scope, receive, send)


_RUN = RUN_HEADER.encode()
