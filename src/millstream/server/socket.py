"""A client's WebSocket: uvicorn's own, that can be broken off, and that outlives the order to shut down for as long as
an answer is under way on it."""

from __future__ import annotations

from starlette.types import Scope
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

_EXTENSION = "millstream.socket"


class ClientSocket(WebSocketsSansIOProtocol):
    """``leaving``: it is to be closed once nothing is under way on it."""

    leaving = False
    _under_way = 0

    def begin(self) -> None:
        """An answer begins. It may go on when the server has been told to stop."""
        self._under_way += 1

    def end(self) -> None:
        """An answer has ended, and its last bytes are with the transport."""
        self._under_way -= 1
        if self.leaving and not self._under_way:
            super().shutdown()

    def abort(self) -> None:
        """Drop the connection with whatever its client has not taken."""
        self.transport.abort()

    def shutdown(self) -> None:
        self.leaving = True
        if not self._under_way:
            super().shutdown()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # there is none to wait for; uvicorn would log that it never came

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            self.scope["extensions"][_EXTENSION] = {"socket": self}

    def keepalive_timeout(self) -> None:
        """A client that answers no ping is gone, or reads nothing: what was not sent would hold the socket for ever."""
        super().keepalive_timeout()
        self.transport.abort()


def socket_of(scope: Scope) -> ClientSocket | None:
    """The socket of a WebSocket's scope, where this process's own server has it."""
    found = (scope.get("extensions") or {}).get(_EXTENSION)
    socket = found["socket"] if found is not None else None
    return socket if isinstance(socket, ClientSocket) else None
