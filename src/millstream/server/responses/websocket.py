"""``/v1/responses`` as a WebSocket: many turns on one connection, each with only what is new.

https://developers.openai.com/api/docs/guides/websocket-mode. Requests of one stream are answered in their order,
those of several side by side.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from starlette.types import Receive, Scope, Send

from millstream.core.errors import ClientFault, Kind, MillstreamError, PolicyRefusal
from millstream.dialects.base import Dialect
from millstream.dialects.openai_responses.websocket import Create, error_message, read_message
from millstream.pipeline import Gateway
from millstream.server.deliver import ClientGone, Pulse
from millstream.server.model_api import Deliveries
from millstream.server.responses.asking import Asking
from millstream.server.responses.memory import Memory
from millstream.server.responses.turn import SocketTurn
from millstream.server.socket import ClientSocket, socket_of
from millstream.server.wire import header_map

_MOST_AT_ONCE = 16
_MOST_STREAMS = 32
_MOST_WAITING = 64
_NORMAL = 1000


class ResponsesSocket:
    """An ASGI application."""

    def __init__(
        self,
        gateway: Gateway,
        dialect: Dialect,
        asking: Asking,
        deliveries: Deliveries,
        pulse: Pulse,
        *,
        max_message: int,
        limit: float,
    ) -> None:
        self.gateway = gateway
        self.dialect = dialect
        self.asking = asking
        self.deliveries = deliveries
        self.pulse = pulse
        self.max_message = max_message
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept"})
        connection = _Connection(self, scope, receive, send)
        try:
            await connection.serve()
        except* ClientGone:
            if connection.socket is not None:
                connection.socket.abort()


@dataclass(slots=True)
class _Stream:
    """Requests that are answered one after another."""

    waiting: deque[Create] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class _Connection:
    def __init__(self, owner: ResponsesSocket, scope: Scope, receive: Receive, send: Send) -> None:
        self.socket: ClientSocket | None = socket_of(scope)
        self._owner = owner
        self._receive = receive
        self._asgi_send = send
        self._headers = header_map(scope)
        self._memory = Memory(2 * owner.max_message)
        self._streams: dict[str | None, _Stream] = {}
        self._turns: set[SocketTurn] = set()
        self._slots = asyncio.Semaphore(_MOST_AT_ONCE)
        self._waiting = 0
        self._waiting_bytes = 0
        self._expired = False
        self._loop = asyncio.get_running_loop()
        self._group: asyncio.TaskGroup

    async def serve(self) -> None:
        """Until the client leaves, or its time is over. Raises ``ClientGone`` (in a group) if it reads nothing."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            beat = group.create_task(self._beat())
            await self._read()
            beat.cancel()
            for stream in self._streams.values():
                if stream.task is not None:
                    stream.task.cancel()

    async def _read(self) -> None:
        deadline = self._loop.time() + self._owner.limit
        while True:
            try:
                async with asyncio.timeout_at(None if self._expired else deadline):
                    message = await self._receive()
            except TimeoutError:
                self._expired = True
                await self._end_if_idle()
                continue
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            await self._take(text.encode() if text is not None else message["bytes"])
            await asyncio.sleep(0)  # a read may bring thousands, and nothing above need wait: others get their turn

    async def _take(self, data: bytes) -> None:
        try:
            self._line_up(read_message(data))
        except _Refused as refused:
            await self._send([error_message(refused.error, refused.stream_id)])
        except ClientFault as fault:
            await self._send([error_message(fault)])

    def _line_up(self, create: Create) -> None:
        name = create.stream_id
        if self._expired:
            raise _Refused(_expired(self._owner.limit), name)
        if self.socket is not None and self.socket.leaving:
            raise _Refused(PolicyRefusal("the gateway is shutting down; send the request again", Kind.SHUTDOWN), name)
        if self._waiting >= _MOST_WAITING or self._waiting_bytes > self._owner.max_message:
            message = f"{self._waiting} requests wait on this connection already"
            raise _Refused(PolicyRefusal(message, Kind.RATE_LIMIT, retry_after=1), name)
        if name not in self._streams:
            if name is not None and len(self._streams.keys() - {None}) >= _MOST_STREAMS:
                raise _Refused(_too_many_streams(), name)
            self._streams[name] = _Stream()
        stream = self._streams[name]
        stream.waiting.append(create)
        self._waiting += 1
        self._waiting_bytes += len(create.body)
        if stream.task is None:
            stream.task = self._group.create_task(self._answer_all(stream))

    async def _answer_all(self, stream: _Stream) -> None:
        while stream.waiting:
            create = stream.waiting.popleft()
            async with self._slots:
                self._waiting -= 1
                self._waiting_bytes -= len(create.body)
                await self._answer(create)
        stream.task = None
        await self._end_if_idle()

    async def _answer(self, create: Create) -> None:
        owner = self._owner
        turn = SocketTurn(owner.gateway, owner.dialect, owner.asking, self._memory, self._send, create, self._headers)
        self._turns.add(turn)
        owner.deliveries.add(turn)
        if self.socket is not None:
            self.socket.begin()
        try:
            await turn.serve()
        finally:
            self._turns.discard(turn)
            owner.deliveries.discard(turn)
            if self.socket is not None:
                self.socket.end()

    async def _end_if_idle(self) -> None:
        if self._expired and not any(stream.task for stream in self._streams.values()):
            await self._send([error_message(_expired(self._owner.limit))])
            await self._asgi_send({"type": "websocket.close", "code": _NORMAL})

    async def _beat(self) -> None:
        """Says in a long silence that a reply is still under way: not every client takes a ping for a sign of life."""
        heartbeat = self._owner.pulse.heartbeat
        while True:
            await asyncio.sleep(heartbeat / 2)
            for turn in list(self._turns):
                if self._loop.time() - turn.last_sent >= heartbeat:
                    await turn.beat()

    async def _send(self, texts: list[bytes]) -> None:
        try:
            async with asyncio.timeout(self._owner.pulse.send_timeout):
                for text in texts:
                    await self._asgi_send({"type": "websocket.send", "text": text.decode()})
        except TimeoutError as error:
            raise ClientGone from error
        except OSError as error:  # what ASGI servers raise once the client has left
            raise ClientGone from error


class _Refused(Exception):
    def __init__(self, error: MillstreamError, stream_id: str | None) -> None:
        super().__init__(error.message)
        self.error = error
        self.stream_id = stream_id


def _expired(limit: float) -> ClientFault:
    message = (
        f"Responses websocket connection limit reached ({limit / 60:g} minutes). "
        "Create a new websocket connection to continue."
    )
    return ClientFault(message, code="websocket_connection_limit_reached")


def _too_many_streams() -> ClientFault:
    message = (
        f"This WebSocket connection has reached its maximum number of distinct stream IDs ({_MOST_STREAMS}). "
        "Reuse an existing stream_id or open a new WebSocket connection."
    )
    return ClientFault(message, code="websocket_stream_limit_reached", param="stream_id")
