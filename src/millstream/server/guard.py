"""What every request passes before any route: credentials or, where none are needed, the host name and the page that it
comes from.

An ASGI middleware in the raw.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from millstream.core.errors import MillstreamError
from millstream.dialects.base import ErrorWords
from millstream.policy.auth import require_local_host, require_own_origin, shown_keys
from millstream.policy.caller import NOBODY, Caller
from millstream.server.credentials import Credentials
from millstream.server.identity import set_caller
from millstream.server.wire import encode_headers, header_map

_OPEN_PATHS = frozenset({"/", "/health", "/docs", "/openapi.json"})
_OPEN_FOLDER = "/web/"
"""The pages, in which no data are."""


class Guard:
    """Refuses in the dialect of whoever asked, and says who is let in (``identity.py``). Who shows nothing, where
    nothing need be shown, is judged by the host name and the origin. ``open_paths`` are anyone's."""

    def __init__(
        self,
        app: ASGIApp,
        credentials: Credentials,
        allowed_hosts: Collection[str],
        allowed_origins: Collection[str],
        dialect_of: Callable[[str], ErrorWords],
        open_paths: Collection[str] = (),
    ) -> None:
        self._app = app
        self._credentials = credentials
        self._open_paths = _OPEN_PATHS.union(open_paths)
        self._allowed_hosts = allowed_hosts
        self._allowed_origins = allowed_origins
        self._dialect_of = dialect_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            try:
                set_caller(scope, NOBODY if self._is_open(scope) else await self._caller(header_map(scope)))
            except MillstreamError as refusal:
                await send_error(before_handshake(scope, send), self._dialect_of(scope["path"]), refusal)
                return
        await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"]
        return path in self._open_paths or path.startswith(_OPEN_FOLDER) or scope.get("method") == "OPTIONS"

    async def _caller(self, headers: Mapping[str, str]) -> Caller:
        shown = shown_keys(headers)
        found = self._credentials.find(shown)
        if found is not None:
            return found
        caller = await self._credentials.verify(shown)
        if caller is self._credentials.anybody:
            require_local_host(headers.get("host", ""), self._allowed_hosts)
            require_own_origin(headers.get("origin"), self._allowed_origins)
        return caller


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
