"""Gemini's URLs, where the model and the method stand: ``/v1beta/models/{model}:{method}``."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from millstream.core.errors import ClientFault, Kind
from millstream.dialects.base import ClientCall, Dialect
from millstream.server.guard import send_error
from millstream.server.wire import header_map

_STREAMING = {"generateContent": False, "streamGenerateContent": True}


def read_call(scope: Scope, body: bytes) -> ClientCall:
    """The call at a URL whose ``target`` is ``{model}:{method}``."""
    model, _, method = scope["path_params"]["target"].rpartition(":")
    params = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    return ClientCall(body, header_map(scope), model, stream=_STREAMING.get(method, False), params=params)


class GeminiMethods:
    """Sends a POST to the endpoint its method names. An ASGI application."""

    def __init__(self, dialect: Dialect, generate: ASGIApp, count: ASGIApp) -> None:
        self._dialect = dialect
        self._endpoints = {**dict.fromkeys(_STREAMING, generate), "countTokens": count}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target: str = scope["path_params"]["target"]
        method = target.rpartition(":")[2]
        endpoint = self._endpoints.get(method)
        if endpoint is None:
            message = f"no method {method!r} on models here; there are {', '.join(self._endpoints)}"
            await send_error(send, self._dialect, ClientFault(message, Kind.NOT_FOUND))
            return
        await endpoint(scope, receive, send)
