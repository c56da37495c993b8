"""A client's connection: uvicorn's own, within reach of whoever streams to it, so that a piece of a stream needs no
coroutine, and so that nobody has to wait to learn that the client has left.

Requests find it in their scope's extensions (https://asgi.readthedocs.io/en/latest/extensions.html). In another server,
or where middleware hides it, streams go through ASGI's ``send`` and ``receive`` instead (``deliver.AsgiLine``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from millstream.server.cork import CorkedTransport
from millstream.shortcut import Shortcut

_EXTENSION = "millstream.connection"

HEAD_LIMIT_S = 30.0
"""How long a request's head may take, from the connection's beginning or from its own first byte. uvicorn waits for
ever, and who opens enough connections could hold them all."""

HEAD_LIMIT = 256 * 1024
"""Bytes that may come while a head is incomplete; the parser itself keeps whatever is sent."""


class ClientConnection(HttpToolsProtocol):
    """``on_gone`` is called when the client has left, for whoever streams to it."""

    # uvicorn's own attributes are as many as Python keeps without a dict for each instance: 1.2 KB of a connection.
    __slots__ = ("_head_size", "_late", "corked", "on_gone", "shortcut")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.on_gone: Callable[[], None] | None = None
        self.shortcut: Shortcut | None = None
        """Writes past everything else; not to a client that is slow or gone."""
        self._late: asyncio.TimerHandle | None = None
        self._head_size = 0

    @property
    def is_idle(self) -> bool:
        """Nothing is under way on it: a request may come."""
        cycle: Any = self.cycle  # None before the first request, which its type does not say
        return cycle is None or bool(cycle.response_complete)

    @property
    def has_request(self) -> bool:
        """All of the request that is served has come; reading it waits for nobody."""
        cycle: Any = self.cycle
        return cycle is not None and not cycle.more_body

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        self.corked = CorkedTransport(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self.corked))
        self._late = self.loop.call_later(HEAD_LIMIT_S, self._refuse, b"408 Request Timeout")

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._late is not None:
            self._head_size += len(data)
            if self._head_size > HEAD_LIMIT:
                self._refuse(b"431 Request Header Fields Too Large")

    def _refuse(self, status: bytes) -> None:
        self._head_came()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 %b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n" % status)
            self.transport.close()

    def _head_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_size = 0
        if self._late is None:
            self._late = self.loop.call_later(HEAD_LIMIT_S, self._refuse, b"408 Request Timeout")
        self.scope["extensions"] = {_EXTENSION: {"connection": self}}

    def handle_websocket_upgrade(self) -> None:
        self.transport = self.corked.transport  # a socket's frames are written one by one
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._close_shortcut()

    def _close_shortcut(self) -> None:
        if self.shortcut is not None:
            self.shortcut.open = False
            self.shortcut = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._close_shortcut()
        super().connection_lost(exc)
        self._head_came()
        if self.on_gone is not None:
            self.on_gone()


def connection_of(scope: Scope) -> ClientConnection | None:
    """The connection that a request came on, where this process's own server has it."""
    found = (scope.get("extensions") or {}).get(_EXTENSION)
    connection = found["connection"] if found is not None else None
    return connection if isinstance(connection, ClientConnection) else None
