"""Endpoints that tell about the gateway itself: health, models, and what lives at ``/``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from millstream import __version__
from millstream.core.errors import ClientFault, Kind
from millstream.dialects.base import ErrorWords
from millstream.pipeline import Gateway
from millstream.server.identity import caller
from millstream.server.model_api import Deliveries

_UNKNOWN = dict.fromkeys(("capabilities", "deprecated_at", "line", "max_input_tokens", "max_tokens", "retires_at"))
"""What Anthropic tells of its models and nobody of those behind us. Its clients want the fields to be there."""

_ENDPOINTS = (
    ("POST /v1/messages", "Anthropic Messages"),
    ("POST /v1/chat/completions", "OpenAI Chat"),
    ("POST /v1/responses", "OpenAI Responses, also a WebSocket"),
    ("POST /v1beta/models/MODEL:METHOD", "Gemini"),
    ("POST /api/v1/stream", "plain events; GET /ws/stream is the WebSocket"),
    ("POST /mcp/chat/stream", "agents with tools"),
    ("POST /api/conversation-stream/USER", "conversations"),
    ("POST /api/chat", "AI SDK UI messages"),
    ("POST /agui", "AG-UI"),
    ("PUT  /v1/stream/NAME", "Durable Streams"),
    ("GET  /v1/models", "models"),
    ("GET  /docs", "the endpoints for apps"),
    ("GET  /metrics", "for Prometheus"),
    ("GET  /health", "version, uptime, open streams"),
)
"""What there is, for whoever asks at ``/`` without a browser."""


class Info:
    """Handlers over one gateway. ``fingerprint`` tells gateways of other configurations apart, without secrets;
    ``worker`` is this process's number where it is one of several."""

    def __init__(
        self,
        gateway: Gateway,
        deliveries: Deliveries,
        fingerprint: str,
        dialect_of: Callable[[str], ErrorWords],
        worker: int | None,
    ) -> None:
        self._gateway = gateway
        self._deliveries = deliveries
        self._fingerprint = fingerprint
        self._dialect_of = dialect_of
        self.worker = worker
        self._began = time.monotonic()
        self._began_at = int(time.time())

    async def health(self, _: Request) -> Response:
        state: dict[str, object] = {
            "status": "ok",
            "version": __version__,
            "uptime_s": round(time.monotonic() - self._began, 1),
            "open_streams": len(self._deliveries),
            "config": self._fingerprint,
        }
        if self.worker is not None:
            state |= {"worker": self.worker, "pid": os.getpid()}
        return _json(state)

    async def hello(self, _: Request) -> Response:
        """Claude Code asks ``HEAD /api/hello`` at its start; any status will do."""
        return Response(status_code=204)

    async def home(self, _: Request) -> Response:
        return PlainTextResponse(
            f"millstream {__version__}\n\n" + "".join(f"{path:37}{what}\n" for path, what in _ENDPOINTS)
        )

    async def models(self, _: Request) -> Response:
        """In the words of OpenAI and Anthropic at once, and in Google's, whose SDK asks at this path too."""
        names = self._names()
        found = [self._model(name) for name in names]
        edges = {"first_id": found[0]["id"], "last_id": found[-1]["id"]} if found else {}
        google = [self._gemini_model(name) for name in names]
        return _json({"object": "list", "data": found, "has_more": False, **edges, "models": google})

    async def model(self, request: Request) -> Response:
        name: str = request.path_params["name"]
        try:
            self._gateway.routes.resolve(name)
        except ClientFault as fault:
            return self.refusal(request, fault)
        return _json({**self._model(name), **self._gemini_model(name)})

    async def gemini_models(self, _: Request) -> Response:
        """https://ai.google.dev/api/models, on one page."""
        return _json({"models": [self._gemini_model(name) for name in self._names()]})

    async def gemini_model(self, request: Request) -> Response:
        name: str = request.path_params["target"]
        try:
            return _json(self._gemini_model(name))
        except ClientFault as fault:
            return self.refusal(request, fault)

    async def missing(self, request: Request, _: Exception) -> Response:
        """Whatever has no route."""
        message = f"nothing is served at {request.method} {request.url.path}; GET /v1/models lists the models"
        return self.refusal(request, ClientFault(message, Kind.NOT_FOUND))

    async def wrong_method(self, request: Request, error: Exception) -> Response:
        allowed = error.headers if isinstance(error, HTTPException) else None
        message = f"{request.url.path} does not take {request.method}"
        response = self.refusal(request, ClientFault(message, status=405))
        response.headers.update(allowed or {})
        return response

    def refusal(self, request: Request, fault: ClientFault) -> Response:
        reply = self._dialect_of(request.url.path).render_error(fault)
        return Response(reply.body, reply.status, reply.headers)

    def _names(self) -> list[str]:
        """Those that the caller may use."""
        routes, who = self._gateway.routes, caller()
        return [name for name in routes.names() if who.may_use(name, routes.resolve(name).name)]

    def _model(self, name: str) -> dict[str, object]:
        """OpenAI's and Anthropic's fields in one object."""
        route = self._gateway.routes.resolve(name)
        created = datetime.fromtimestamp(self._began_at, UTC).isoformat().replace("+00:00", "Z")
        return {
            "id": name,
            "object": "model",
            "created": self._began_at,
            "owned_by": route.provider,
            "type": "model",
            "display_name": name if name == route.name else f"{name} ({route.name})",
            "created_at": created,
            "lifecycle": "active",
            **_UNKNOWN,
        }

    def _gemini_model(self, name: str) -> dict[str, object]:
        route = self._gateway.routes.resolve(name)
        shown = name if name == route.name else f"{name} ({route.name})"
        methods = ["generateContent", "countTokens"]
        return {"name": f"models/{name}", "version": "", "displayName": shown, "supportedGenerationMethods": methods}


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
