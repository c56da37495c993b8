"""What every request passes before any route: the key or, without one, the host name and the page it comes from.

An ASGI middleware in the raw.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millstream.core.errors import MillstreamError, PolicyRefusal
from millstream.dialects.base import ErrorWords
from millstream.policy.auth import require_key, require_local_host, require_own_origin, server_caller
from millstream.policy.caller import ANYBODY
from millstream.server.identity import set_caller
from millstream.server.wire import encode_headers, header_map

_OPEN_PATHS = frozenset({"/", "/health", "/docs", "/openapi.json"})
_OPEN_FOLDER = "/web/"
"""The pages, in which no data are."""


class Guard:
    """Refuses in the dialect of whoever asked. ``key`` None: no key is asked for; who may call is told by the host name
    and the origin then."""

    def __init__(
        self,
        app: ASGIApp,
        key: str | None,
        allowed_hosts: Collection[str],
        allowed_origins: Collection[str],
        dialect_of: Callable[[str], ErrorWords],
    ) -> None:
        self._app = app
        self._key = key
        self._caller = ANYBODY if key is None else server_caller(key)
        self._allowed_hosts = allowed_hosts
        self._allowed_origins = allowed_origins
        self._dialect_of = dialect_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope)
            except PolicyRefusal as refusal:
                await send_error(before_handshake(scope, send), self._dialect_of(scope["path"]), refusal)
                return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        if scope["path"] in _OPEN_PATHS or scope["path"].startswith(_OPEN_FOLDER) or scope.get("method") == "OPTIONS":
            return
        headers = header_map(scope)
        if self._key is not None:
            require_key(self._key, headers)
        else:
            require_local_host(headers.get("host", ""), self._allowed_hosts)
            require_own_origin(headers.get("origin"), self._allowed_origins)
        set_caller(scope, self._caller)


def before_handshake(scope: Scope, send: Send) -> Send:
    """How an HTTP answer is given to who asks for a WebSocket.

    https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response
    """
    if scope["type"] == "http":
        return send

    async def deny(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return deny


async def send_error(send: Send, dialect: ErrorWords, error: MillstreamError) -> None:
    """``error`` as a whole response in the words of ``dialect``."""
    reply = dialect.render_error(error)
    headers = [*encode_headers(reply.headers), (b"content-length", str(len(reply.body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
