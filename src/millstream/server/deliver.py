"""One response on its way to one client: head, frames, silence, and the client's leaving.

``send()`` after a disconnect is a silent no-op in ASGI servers, so leaving is only noticed by ``receive()``: it is
watched from the first await to the last, also in the middle of an upstream's silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import Message, Receive, Send

from millstream.core.errors import MillstreamError


class ClientGone(Exception):
    """The client left, or took nothing for too long."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """Times in seconds: the latest moment for a stream's head, the longest silence, the longest wait for a reader."""

    eager_after: float = 5.0
    heartbeat: float = 10.0
    send_timeout: float = 300.0


class Delivery:
    """A response being sent. Implements ``pipeline.Client``."""

    def __init__(self, receive: Receive, send: Send, pulse: Pulse) -> None:
        self.started = False
        self._ended = False
        self._receive = receive
        self._send = send
        self._pulse = pulse
        self._loop = asyncio.get_running_loop()
        self._last_sent = self._loop.time()
        self._sending_since: float | None = None
        self._head: Callable[[], list[tuple[bytes, bytes]]] = list
        self._keepalive: Callable[[], bytes] | None = None
        self._task: asyncio.Task[object] | None = None
        self._interruption: Exception | None = None

    def streams(self, head: Callable[[], list[tuple[bytes, bytes]]], keepalive: Callable[[], bytes]) -> None:
        """From now on silence is filled: with the head when it is due, then with ``keepalive`` frames."""
        self._head = head
        self._keepalive = keepalive

    async def start(self) -> None:
        """Send the head, once."""
        if not self.started:
            self.started = True
            await self._push({"type": "http.response.start", "status": 200, "headers": self._head()})

    async def write(self, data: bytes) -> None:
        """Send a piece of the body; returns when the client's buffers can take more."""
        await self._push({"type": "http.response.body", "body": data, "more_body": True})
        self._last_sent = self._loop.time()

    async def end(self) -> None:
        await self._push({"type": "http.response.body", "body": b"", "more_body": False})
        self._ended = True

    async def respond(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole response."""
        self.started = True
        headers = [(b"content-length", str(len(body)).encode()), *headers]
        await self._push({"type": "http.response.start", "status": status, "headers": headers})
        await self._push({"type": "http.response.body", "body": body, "more_body": False})
        self._ended = True

    async def _push(self, message: Message) -> None:
        self._sending_since = self._loop.time()
        await self._send(message)
        self._sending_since = None

    async def attend(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` for as long as the client is there.

        Raises ``ClientGone`` once it is not, the error given to ``interrupt``, or what ``work`` raised; in each case
        ``work`` has been cancelled and has ended.
        """
        self._task = asyncio.current_task()
        failure: Exception | None = None
        completed = False
        try:
            async with asyncio.TaskGroup() as group:
                watcher = group.create_task(self._watch())
                try:
                    await work()
                    completed = True
                except Exception as error:  # raised below, outside of the group that would wrap it
                    failure = error
                finally:
                    watcher.cancel()
        except asyncio.CancelledError:
            if self._interruption is None or self._task is None:
                raise
            self._task.uncancel()
            if not completed:
                raise self._interruption from None
        finally:
            self._task = None
        if failure is not None:
            raise failure

    def interrupt(self, reason: MillstreamError | ClientGone) -> None:
        """End ``attend`` with ``reason``."""
        if self._task is not None and self._interruption is None:
            self._interruption = reason
            self._task.cancel()

    async def _watch(self) -> None:
        """Wait for the client to leave; fill the silence meanwhile."""
        receiving = asyncio.ensure_future(self._receive())
        try:
            while True:
                # Meanwhile the head may leave or a write may get stuck, which have times of their own.
                timeout = min(self._until_due(), self._pulse.heartbeat, self._pulse.send_timeout)
                await asyncio.wait({receiving}, timeout=timeout)
                if not receiving.done():
                    await self._tick()
                elif receiving.result()["type"] == "http.disconnect":
                    # Servers say this too once the response is complete, which is no reason to break off what follows.
                    if not self._ended:
                        self.interrupt(ClientGone())
                    return
                else:
                    receiving = asyncio.ensure_future(self._receive())
        finally:
            receiving.cancel()

    def _until_due(self) -> float:
        pulse = self._pulse
        if self._sending_since is not None:
            due = self._sending_since + pulse.send_timeout
        elif self._keepalive is None:
            return pulse.send_timeout
        else:
            due = self._last_sent + (pulse.heartbeat if self.started else pulse.eager_after)
        return max(due - self._loop.time(), 0.0)

    async def _tick(self) -> None:
        if self._sending_since is not None:
            if self._loop.time() - self._sending_since >= self._pulse.send_timeout:
                self.interrupt(ClientGone())
            return
        if self._keepalive is None or self._until_due() > 0:
            return
        await self.start()
        # Also where the dialect has nothing to say yet, this silence has had its due.
        self._last_sent = self._loop.time()
        if frame := self._keepalive():
            await self.write(frame)
