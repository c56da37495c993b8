"""``/ws/stream``: many streams on one connection, each a run of its own.

Every stream is read by a task of its own, so that none waits for another's model; they share the socket message by
message. What a slow client does not take stays in the runs' journals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing

import msgspec
from starlette.types import Receive, Scope, Send

from millstream.core.errors import ClientFault, GatewayBug, Kind, MillstreamError, PolicyRefusal, UpstreamFault
from millstream.core.run_events import RunEntry
from millstream.dialects.chat_events import ChatEvents, error_object
from millstream.policy.auth import SUBPROTOCOL
from millstream.server.deliver import ClientGone, Pulse
from millstream.server.plain.asking import Cancel, Ping, Resume, Start, read_wish
from millstream.server.plain.begin import Beginner
from millstream.server.plain.names import Names
from millstream.server.runs.manager import Runs, unreachable
from millstream.server.runs.reader import Reader
from millstream.server.socket import ClientSocket, socket_of
from millstream.sessions.base import StoreError
from millstream.telemetry import logs

_MOST_STREAMS = 64
_MOST_NAME = 200
_PONG = b'{"type":"pong"}'
_HEARTBEAT = b'{"type":"heartbeat"}'
_encode = msgspec.json.encode


class StreamSocket:
    """An ASGI application."""

    def __init__(self, beginner: Beginner, runs: Runs, names: Names, pulse: Pulse) -> None:
        self.beginner = beginner
        self.runs = runs
        self.names = names
        self.pulse = pulse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # websocket.connect
        await send({"type": "websocket.accept", "subprotocol": _protocol(scope)})
        connection = _Connection(self, scope, receive, send)
        try:
            await connection.serve()
        except* ClientGone:
            if connection.socket is not None:
                connection.socket.abort()


def _protocol(scope: Scope) -> str | None:
    """A browser breaks the connection off unless one of the protocols that it offered is chosen."""
    return SUBPROTOCOL if SUBPROTOCOL in scope.get("subprotocols", ()) else None


class _Connection:
    def __init__(self, owner: StreamSocket, scope: Scope, receive: Receive, send: Send) -> None:
        self.socket: ClientSocket | None = socket_of(scope)
        self._owner = owner
        self._receive = receive
        self._asgi_send = send
        self._streams: dict[str, tuple[asyncio.Task[None], str]] = {}
        """By the client's name for it: who reads it, and the run it is."""
        self._loop = asyncio.get_running_loop()
        self._last_sent = self._loop.time()
        self._group: asyncio.TaskGroup

    async def serve(self) -> None:
        """Until the client leaves. Raises ``ClientGone`` (in a group) if it takes nothing."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            beat = group.create_task(self._beat())
            while (message := await self._receive())["type"] != "websocket.disconnect":
                text = message.get("text")
                await self._obey(text if text is not None else message["bytes"])
                await asyncio.sleep(0)  # a read may bring thousands, and nothing above need wait: others get their turn
            beat.cancel()
            for task, _ in self._streams.values():
                task.cancel()

    async def _obey(self, message: str | bytes) -> None:
        stream_id: str | None = None
        try:
            wish = read_wish(message)
            if isinstance(wish, Ping):
                await self._send(_PONG)
                return
            stream_id = wish.stream_id
            await self._fulfil(wish)
        except MillstreamError as error:
            await self._refuse(error, stream_id)
        except StoreError as error:
            await self._refuse(unreachable(error), stream_id)

    async def _fulfil(self, wish: Start | Cancel | Resume) -> None:
        name = wish.stream_id
        under_way = self._streams.get(name)
        if isinstance(wish, Cancel):
            run_id = under_way[1] if under_way is not None else await self._owner.names.find(name)
            await self._owner.runs.cancel(run_id, self._owner.beginner.owner())
            return
        if under_way is not None:
            raise ClientFault(f"stream {name!r} is under way on this connection", code="stream_in_use")
        if not name or len(name) > _MOST_NAME:
            raise ClientFault(f"stream_id: write 1 to {_MOST_NAME} characters", param="stream_id")
        if len(self._streams) >= _MOST_STREAMS:
            message = f"{_MOST_STREAMS} streams are under way on this connection already"
            raise PolicyRefusal(message, Kind.RATE_LIMIT, retry_after=1)
        reader, run_id = await (self._start(wish) if isinstance(wish, Start) else self._resume(wish))
        self._streams[name] = (self._group.create_task(self._read(name, run_id, reader)), run_id)

    async def _start(self, wish: Start) -> tuple[Reader | None, str]:
        owner = self._owner
        if self.socket is not None and self.socket.leaving:
            raise PolicyRefusal("the gateway is shutting down; connect again", Kind.SHUTDOWN)
        run_id = wish.run_id or owner.runs.new_id()
        await owner.beginner.begin(wish, run_id, "websocket")
        reader = await owner.runs.open(run_id, owner.beginner.owner())
        try:
            await owner.names.give(wish.stream_id, run_id)
        except StoreError as error:  # it can be resumed by its run's id, if by anything
            logs.logger.warning("run %s keeps no name: %s", run_id, error)
        return reader, run_id

    async def _resume(self, wish: Resume) -> tuple[Reader | None, str]:
        run_id = wish.run_id or await self._owner.names.find(wish.stream_id)
        return await self._owner.runs.open(run_id, self._owner.beginner.owner(), wish.after), run_id

    async def _read(self, name: str, run_id: str, reader: Reader | None) -> None:
        """One stream to its end, whatever that is."""
        said_of = b',"stream_id":%b' % _encode(name)
        if self.socket is not None:
            self.socket.begin()
        try:
            await self._send(b'{"type":"started"%b,"run_id":%b}' % (said_of, _encode(run_id)))
            if reader is None:
                self._release(name)
                await self._send(b'{"type":"ended"%b}' % said_of)
                return
            with closing(reader):
                events = ChatEvents()
                while entries := await reader.next():
                    await self._say(events, entries, name, said_of)
        except MillstreamError as error:
            self._release(name)
            await self._refuse(error, name)
        except StoreError as error:
            self._release(name)
            await self._refuse(UpstreamFault(f"the journal cannot be read now: {error}", status=503), name)
        except ClientGone:
            raise
        except Exception as error:
            logs.logger.error("run %s could not be read", run_id, exc_info=error)
            self._release(name)
            await self._refuse(GatewayBug("an internal error; the gateway's log has it"), name)
        finally:
            if reader is not None:
                reader.close()
            self._release(name)
            if self.socket is not None:
                self.socket.end()

    def _release(self, name: str) -> None:
        """Before its last word is sent: whoever hears that may use the name again at once."""
        under_way = self._streams.get(name)
        if under_way is not None and under_way[0] is asyncio.current_task():
            del self._streams[name]

    async def _say(self, events: ChatEvents, entries: Sequence[RunEntry], name: str, said_of: bytes) -> None:
        for number, kind, data in events.objects(entries):
            if kind != "message":
                self._release(name)
            await self._send(b'%b%b,"seq":%d}' % (data[:-1], said_of, number))

    async def _refuse(self, error: MillstreamError, stream_id: str | None) -> None:
        said = error_object(error)
        await self._send(said if stream_id is None else b'%b,"stream_id":%b}' % (said[:-1], _encode(stream_id)))

    async def _beat(self) -> None:
        """A silent connection is taken for dead by what stands between."""
        every = self._owner.pulse.heartbeat
        while True:
            await asyncio.sleep(max(0.0, self._last_sent + every - self._loop.time()))
            if self._loop.time() - self._last_sent >= every:
                await self._send(_HEARTBEAT)

    async def _send(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._owner.pulse.send_timeout):
                await self._asgi_send({"type": "websocket.send", "text": data.decode()})
        except (TimeoutError, OSError) as error:  # the latter is what servers raise once the client has left
            raise ClientGone from error
        self._last_sent = self._loop.time()
