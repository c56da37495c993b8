"""A client's connection: uvicorn's own, within reach of whoever streams to it, so that a piece of a stream needs no
coroutine, and so that nobody has to wait to learn that the client has left.

Requests find it in their scope's extensions (https://asgi.readthedocs.io/en/latest/extensions.html). In another server,
or where middleware hides it, streams go through ASGI's ``send`` and ``receive`` instead (``deliver.AsgiLine``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

_EXTENSION = "millstream.connection"


class ClientConnection(HttpToolsProtocol):
    """``on_gone`` is called when the client has left, for whoever streams to it."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.on_gone: Callable[[], None] | None = None

    @property
    def is_idle(self) -> bool:
        """Nothing is under way on it: a request may come."""
        cycle: Any = self.cycle  # None before the first request, which its type does not say
        return cycle is None or bool(cycle.response_complete)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {_EXTENSION: {"connection": self}}

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.on_gone is not None:
            self.on_gone()


def connection_of(scope: Scope) -> ClientConnection | None:
    """The connection that a request came on, where this process's own server has it."""
    found = (scope.get("extensions") or {}).get(_EXTENSION)
    connection = found["connection"] if found is not None else None
    return connection if isinstance(connection, ClientConnection) else None
