"""One response on its way to one client: head, frames, silence, and the client's leaving.

Leaving is watched from the first await to the last, also in the middle of an upstream's silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from starlette.types import Message, Receive, Send

from millstream.core.repeats import Repeats
from millstream.server.connection import ClientConnection
from millstream.shortcut import Shortcut


class ClientGone(Exception):
    """The client left, or took nothing for too long."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Times in seconds: the latest moment for a stream's head, the longest silence, the longest wait for a reader."""

    eager_after: float = 5.0
    heartbeat: float = 10.0
    send_timeout: float = 300.0


class Line(Protocol):
    """The way to the client. Times are the loop's."""

    last_sent: float
    sending_since: float | None
    """Since when the client has been slow to take what was sent."""

    def write(self, data: bytes) -> Awaitable[None] | None:
        """A piece of the body. What is returned, if anything, is to be awaited before the next."""
        ...

    def shortcut(self, repeats: Repeats) -> Shortcut | None:
        """A way past ``write``, if there is one and the client is not slow."""
        ...

    def cork(self) -> None:
        """More is to be written soon: it may leave together."""
        ...

    def watch(self, gone: Callable[[], None]) -> None:
        """Call ``gone`` once the client has left."""
        ...

    async def unwatch(self) -> None: ...


class DirectLine:
    """Straight to the socket: a piece of a stream costs one function call."""

    __slots__ = (
        "_connection",
        "_corked",
        "_flow",
        "_last_sent",
        "_loop",
        "_shortcut",
        "_transport",
        "cork",
        "sending_since",
    )

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._corked = connection.corked
        self.cork = connection.corked.cork
        self._transport = connection.corked.transport
        self._flow = connection.flow
        self._loop = connection.loop
        self._last_sent = self._loop.time()
        self._shortcut: Shortcut | None = None
        self.sending_since: float | None = None

    @property
    def last_sent(self) -> float:
        return self._last_sent if self._shortcut is None else max(self._last_sent, self._shortcut.at)

    @last_sent.setter
    def last_sent(self, at: float) -> None:
        self._last_sent = at

    def write(self, data: bytes) -> Awaitable[None] | None:
        """One chunk of the body, https://www.rfc-editor.org/rfc/rfc9112#name-chunked-transfer-coding."""
        if self._corked.held is not None:
            self._corked.held.append(b"%x\r\n%b\r\n" % (len(data), data))
        elif not self._transport.is_closing():
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        self._last_sent = self._loop.time()
        if not self._flow.write_paused:
            return None
        self.sending_since = self._last_sent
        return _Later(self._taken)

    async def _taken(self) -> None:
        await self._flow.drain()
        self.sending_since = None
        self._last_sent = self._loop.time()

    def shortcut(self, repeats: Repeats) -> Shortcut | None:
        if self._corked.held is not None or self._flow.write_paused or self._transport.is_closing():
            return None
        self._shortcut = self._connection.shortcut = Shortcut(repeats, self._transport, self._loop)
        return self._shortcut

    def watch(self, gone: Callable[[], None]) -> None:
        self._connection.on_gone = gone
        self._flow.resume_reading()  # a large request's body may have paused it, and then no leaving is seen
        if self._transport.is_closing():
            gone()

    async def unwatch(self) -> None:
        self._connection.on_gone = None
        self._connection.shortcut = None


class AsgiLine:
    """Any ASGI server. ``send`` after a disconnect is a silent no-op there; only ``receive`` tells of it."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._now = asyncio.get_running_loop().time
        self.last_sent = self._now()
        self.sending_since: float | None = None
        self._watcher: asyncio.Task[None] | None = None

    def write(self, data: bytes) -> Awaitable[None]:
        self.sending_since = self._now()
        return _Later(partial(self._sent, {"type": "http.response.body", "body": data, "more_body": True}))

    def shortcut(self, repeats: Repeats) -> None:
        return

    async def _sent(self, message: Message) -> None:
        await self._send(message)
        self.sending_since = None
        self.last_sent = self._now()

    def cork(self) -> None:
        return

    def watch(self, gone: Callable[[], None]) -> None:
        self._watcher = asyncio.create_task(self._until_gone(gone))

    async def unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait({self._watcher})
            self._watcher = None

    async def _until_gone(self, gone: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        gone()


class Delivery:
    """A response being sent. Implements ``pipeline.Client``."""

    def __init__(self, receive: Receive, send: Send, pulse: Pulse, connection: ClientConnection | None = None) -> None:
        self.started = False
        self._ended = False
        self._send = send
        self._line: Line = AsgiLine(receive, send) if connection is None else DirectLine(connection)
        self.write = self._line.write
        """Send a piece of the body; what it returns, if anything, is to be awaited before the next."""
        self.shortcut = self._line.shortcut
        self._pulse = pulse
        self._loop = asyncio.get_running_loop()
        self._starting = asyncio.Lock()
        self._head: Callable[[], list[tuple[bytes, bytes]]] = list
        self._keepalive: Callable[[], bytes] | None = None
        self._task: asyncio.Task[object] | None = None
        self._interruption: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._beat: asyncio.Task[None] | None = None

    @property
    def is_taken(self) -> bool:
        """Nothing that was sent still waits for a client that is slow to take it."""
        return self._line.sending_since is None

    def streams(self, head: Callable[[], list[tuple[bytes, bytes]]], keepalive: Callable[[], bytes]) -> None:
        """From now on silence is filled: with the head when it is due, then with ``keepalive`` frames."""
        self._head = head
        self._keepalive = keepalive

    async def start(self) -> None:
        """Send the head, once. Returns when it has left, whoever sent it."""
        async with self._starting:
            if not self.started:
                self._line.cork()
                await self._push({"type": "http.response.start", "status": 200, "headers": self._head()})
                self.started = True

    async def end(self) -> None:
        self._keepalive = None  # what comes after the end would be taken for the next response
        await self._push({"type": "http.response.body", "body": b"", "more_body": False})
        self._ended = True

    async def respond(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole response."""
        self.started = True
        self._keepalive = None
        if status != 204:  # https://www.rfc-editor.org/rfc/rfc9110#section-8.6-11
            headers = [(b"content-length", str(len(body)).encode()), *headers]
        self._line.cork()
        await self._push({"type": "http.response.start", "status": status, "headers": headers})
        await self._push({"type": "http.response.body", "body": body, "more_body": False})
        self._ended = True

    async def attend(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` for as long as the client is there.

        Raises ``ClientGone`` once it is not, the error given to ``interrupt``, or what ``work`` raised; in each case
        ``work`` has been cancelled and has ended.
        """
        self._task = asyncio.current_task()
        self._arm()
        try:
            self._line.watch(self._gone)
            await work()
        except asyncio.CancelledError:
            if self._interruption is None or self._task is None:
                raise
            self._task.uncancel()
            raise self._interruption from None
        finally:
            self._task = None
            await self._leave_alone()

    def interrupt(self, reason: Exception) -> None:
        """End ``attend`` with ``reason``."""
        if self._task is not None and self._interruption is None:
            self._interruption = reason
            self._task.cancel()

    async def _push(self, message: Message) -> None:
        self._line.sending_since = self._loop.time()
        await self._send(message)
        self._line.sending_since = None

    def _gone(self) -> None:
        # Servers say this too once the response is complete, which is no reason to break off what follows.
        if not self._ended:
            self.interrupt(ClientGone())

    def _arm(self) -> None:
        # Meanwhile the head may leave or a write may get stuck, which have times of their own.
        wait = min(self._until_due(), self._pulse.heartbeat, self._pulse.send_timeout)
        self._timer = self._loop.call_later(wait, self._look)

    def _until_due(self) -> float:
        pulse = self._pulse
        line = self._line
        if line.sending_since is not None:
            due = line.sending_since + pulse.send_timeout
        elif self._keepalive is None:
            return pulse.send_timeout
        else:
            due = line.last_sent + (pulse.heartbeat if self.started else pulse.eager_after)
        return max(due - self._loop.time(), 0.0)

    def _look(self) -> None:
        if self._until_due() > 0 or (self._line.sending_since is None and self._keepalive is None):
            self._arm()
        elif self._line.sending_since is not None:
            self.interrupt(ClientGone())
        else:
            self._beat = self._loop.create_task(self._fill_silence())

    async def _fill_silence(self) -> None:
        try:
            await self.start()
            # Also where the dialect has nothing to say yet, this silence has had its due.
            self._line.last_sent = self._loop.time()
            frame = self._keepalive() if self._keepalive is not None else b""
            if frame and (wait := self.write(frame)) is not None:
                await wait
        except Exception as error:  # whatever it is, the response cannot go on
            self.interrupt(error)
        else:
            self._arm()

    async def _leave_alone(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
            await asyncio.wait({self._beat})
        if self._timer is not None:
            self._timer.cancel()
        await self._line.unwatch()


class _Later:
    """An awaitable that begins when it is awaited, and may be let go of before."""

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[[], Coroutine[object, object, None]]) -> None:
        self._begin = begin

    def __await__(self) -> Generator[object, object, None]:
        return self._begin().__await__()
