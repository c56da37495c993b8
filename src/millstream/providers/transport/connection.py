"""One HTTP/1.1 connection to an upstream: a request at a time, its answer pushed to a sink or held for reads.

Per read of the socket there is one call of ``data_received`` and nothing else: no future, no task, no coroutine.
Framing is httptools' (llhttp), in its strict mode. Message format: https://www.rfc-editor.org/rfc/rfc9112.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Final, cast

import httptools

from millstream.providers.base import Sink
from millstream.shortcut import Shortcut

MAX_HEAD_BYTES: Final = 256 * 1024
_HELD_BYTES: Final = 64 * 1024
"""So much of an answer is kept for a reader who is not there yet; then the socket is no longer read."""

_INFLATED_BYTES: Final = 32 * 1024 * 1024
_WRITE_BYTES: Final = 256 * 1024
"""A larger body is written in pieces of this size, between which other streams go on."""


class Broken(Exception):
    """The connection ended, or said what is no HTTP, before the answer was complete."""


class Connection(asyncio.Protocol):
    """``status`` and ``headers`` (names in lower case) are those of the answer under way."""

    __slots__ = (
        "_by_end_of_file",
        "_expecting",
        "_head_bytes",
        "_heard_at",
        "_inflate",
        "_keep_alive",
        "_loop",
        "_news",
        "_on_lost",
        "_parser",
        "_paused",
        "_pieces",
        "_shortcut",
        "_sink",
        "_slow_reader",
        "_transport",
        "_writable",
        "answered",
        "complete",
        "error",
        "headers",
        "on_body",
        "status",
        "waiting",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: Callable[[Connection], None]) -> None:
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        """What the parser calls with each piece of a body."""
        self._parser = httptools.HttpResponseParser(self)
        self._writable: asyncio.Future[None] | None = None
        self._news: asyncio.Future[None] | None = None
        self._expecting = False
        self.error: Exception | None = None
        self._begin()

    def _begin(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.answered = False
        """The answer's head is here."""
        self.complete = False
        self._heard_at = 0.0
        self.waiting = False
        """Somebody waits for the upstream; the time in between is a slow client's."""
        self._sink: Sink | None = None
        self._shortcut: Shortcut | None = None
        self._slow_reader: Awaitable[None] | None = None
        self._pieces.clear()
        self._paused = False
        self._head_bytes = 0
        self._keep_alive = False
        self._by_end_of_file = False
        self._inflate: zlib._Decompress | None = None

    @property
    def reusable(self) -> bool:
        """The next request may go out here: nothing of this answer is left."""
        return self.complete and self._keep_alive and self.error is None and not (self._paused or self.closing)

    @property
    def heard(self) -> bool:
        """Anything came since the request."""
        return self._head_bytes > 0

    @property
    def heard_at(self) -> float:
        """The loop's time of the last read of the answer, or when waiting for it began."""
        return self._heard_at if self._shortcut is None else max(self._heard_at, self._shortcut.at)

    @property
    def closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    async def ask(self, head: bytes, body: bytes, until: float) -> None:
        """Send a request; returns once the head of its answer is here. Raises ``Broken``, what broke the socket, or
        ``TimeoutError`` where that takes longer than ``until``, a time of the loop's."""
        transport = self._open_transport()
        self._begin()
        self._expecting = True
        limit = self._loop.call_at(until, self._break, TimeoutError())
        try:
            if len(body) <= _WRITE_BYTES:
                transport.write(head + body)
            else:
                transport.write(head)
                await self._write(transport, body)
            while not self.answered:
                if self.error is not None:
                    raise self.error
                await self._wait()
        finally:
            limit.cancel()

    async def read(self) -> bytes:
        """The next bytes of the body; ``b""`` at its end. Raises ``Broken`` or what broke the socket."""
        self._attend()
        try:
            while not self._pieces:
                if self.complete:
                    return b""
                if self.error is not None:
                    raise self.error
                await self._wait()
        finally:
            self.waiting = False
        return self._held()

    async def pour(self, sink: Sink) -> None:
        """Give ``sink`` each read as it comes, until it is done or the body ends. Raises as ``read`` does, and what
        ``sink`` raised."""
        self._sink = sink
        try:
            self._attend()
            if self._pieces:
                self._push(sink, self._pieces)
            while not sink.done or self._slow_reader is not None:
                if self._slow_reader is not None:
                    await self._wait_for_reader(sink)
                elif self.complete and not self._pieces:
                    return
                elif self.error is not None and not self._pieces:
                    raise self.error
                else:
                    await self._wait()
        finally:
            self._sink = None
            self._shortcut = None
            self.waiting = False

    def close(self) -> None:
        """At once, without a word."""
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._shortcut is not None:
            try:
                if self._shortcut.take(data):
                    return
            except Exception as error:  # as in ``_push``
                self._break(error)
                return
            self._heard_at = self.heard_at
            self._shortcut = None
        if not self.answered:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break(Broken(f"what it sent is no HTTP: {error}"))
        pieces = self._pieces
        if pieces:
            sink = self._sink
            if sink is None:
                self._hold()
            elif self._slow_reader is None:
                body = pieces[0]
                self._push(sink, pieces)
                if sink.shortcut is not None:
                    self._shorten(sink.shortcut, data, body)
        if self.complete or not self.answered:
            self._settle()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._by_end_of_file and exc is None and self.error is None:
            self.complete = True
        if not self.complete and self.error is None:
            self.error = exc or Broken("it closed the connection")
        self._wake()
        self.resume_writing()
        self._on_lost(self)

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    # What the parser calls, inside ``data_received``.

    def on_message_begin(self) -> None:
        if not self._expecting:
            raise Broken("it spoke without being asked")  # which also stops the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.answered:  # else it is a trailer
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        self.status = status
        self.answered = True
        headers = self.headers
        self._keep_alive = self._parser.should_keep_alive()
        has_body = status not in (204, 304)
        self._by_end_of_file = has_body and "content-length" not in headers and "transfer-encoding" not in headers
        if headers.get("content-encoding", "identity") in ("gzip", "x-gzip", "deflate"):
            self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._wake()

    def on_message_complete(self) -> None:
        if self.answered:
            self.complete = True
            self._expecting = False
        else:
            self.headers = {}  # of an interim answer, such as 100 or 103

    # Inside.

    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None or self._transport.is_closing():
            raise self.error or Broken("it closed the connection")
        return self._transport

    async def _write(self, transport: asyncio.Transport, body: bytes) -> None:
        """An answer may come before all of ``body`` is taken, a refusal of its size for example."""
        view = memoryview(body)
        for start in range(0, len(body), _WRITE_BYTES):
            transport.write(view[start : start + _WRITE_BYTES])
            if self._writable is not None:
                await self._writable
            else:
                await asyncio.sleep(0)
            if self.answered or transport.is_closing():
                self._keep_alive = False
                return

    def _push(self, sink: Sink, pieces: list[bytes]) -> None:
        """Through the gateway to the client, in the callback that read the socket."""
        self._heard_at = self._loop.time()
        try:
            whole = len(pieces) == 1 and self._inflate is None
            wait = sink.take(pieces.pop() if whole else self._held())
        except Exception as error:  # the sink's failure is not the event loop's
            self._break(error)
            return
        if wait is not None:
            self._slow_reader = wait
            self._pause()
            self._wake()
        elif sink.done:
            self._sink = None  # what follows is held
            self._wake()

    def _shorten(self, shortcut: Shortcut, data: bytes, body: bytes) -> None:
        """``data`` has gone the long way; what is like it need not."""
        if self._sink is not None and self._slow_reader is None and self._inflate is None and shortcut.fits(data, body):
            self._shortcut = shortcut

    async def _wait_for_reader(self, sink: Sink) -> None:
        wait = self._slow_reader
        assert wait is not None  # noqa: S101  # seen by the caller
        self.waiting = False
        await wait
        self._slow_reader = None
        self._attend()
        if self._pieces:
            self._push(sink, self._pieces)

    def _attend(self) -> None:
        """From now on silence is the upstream's."""
        self._heard_at = self._loop.time()
        self.waiting = True
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self._transport.resume_reading()

    def _held(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return data if self._inflate is None else self._inflated(self._inflate, data)

    def _inflated(self, inflate: zlib._Decompress, data: bytes) -> bytes:
        """Asked for or not, an answer may be compressed."""
        try:
            inflated = inflate.decompress(data, _INFLATED_BYTES)
        except zlib.error as error:
            raise Broken(f"its answer cannot be decompressed: {error}") from error
        if inflate.unconsumed_tail:
            raise Broken("its answer is too large when decompressed")
        return inflated

    def _hold(self) -> None:
        if sum(map(len, self._pieces)) > _HELD_BYTES:
            self._pause()
        self._wake()

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _settle(self) -> None:
        """What a read may change at the edges of an answer."""
        if not self.answered and self._head_bytes > MAX_HEAD_BYTES:
            self._break(Broken(f"the head of its answer is longer than {MAX_HEAD_BYTES} bytes"))
        elif self.complete:
            self._wake()

    def _break(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
        self.close()
        self._wake()

    async def _wait(self) -> None:
        self._news = self._loop.create_future()
        try:
            await self._news
        finally:
            self._news = None

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
