"""Reading a stream: what is there, what comes next, and everything as it comes."""

from __future__ import annotations

import asyncio
import base64
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec

from millstream.server.deliver import Delivery
from millstream.server.durable.about import About
from millstream.server.durable.asking import Read, Refused, kind, offset_of
from millstream.server.durable.streams import headers_of, joined
from millstream.server.wire import encode_headers
from millstream.sessions.journal import Batch, Journal, JournalError, NoSuchStream, Trimmed

_COLLAPSE_S = 20
_COLLAPSE_FROM = 1728432000
"""Cursors count intervals of 20 seconds from 9 October 2024 on, section 8.1 of the protocol."""

_JITTER_S = 3600
_LINES = re.compile(rb"\r\n|\r|\n")
_WHOLE = "private, max-age=60, stale-while-revalidate=300"
"""Of an answer that is full: what stands there never changes."""

_GROWING = "private, no-cache"
SECURITY = {"x-content-type-options": "nosniff", "cross-origin-resource-policy": "cross-origin"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class _Control(msgspec.Struct, frozen=True, omit_defaults=True):
    streamNextOffset: str  # noqa: N815  # the protocol's own names
    streamCursor: str | None = None  # noqa: N815
    upToDate: bool = False  # noqa: N815
    streamClosed: bool = False  # noqa: N815


@dataclass(frozen=True, slots=True)
class Source:
    """A stream to be read. ``used`` is called while somebody follows it; ``last`` was its last number just now."""

    key: str
    about: About
    last: int
    closed: bool
    used: Callable[[], Awaitable[None]]


class Reading:
    """Times are in seconds: how long a poll waits, and how long one connection of events is kept."""

    def __init__(self, journal: Journal, now: Callable[[], float], poll: float, follow: float) -> None:
        self._journal = journal
        self._now = now
        self._poll = poll
        self._follow = follow

    async def catch_up(self, source: Source, ask: Read, known: str | None) -> Answer:
        if ask.after is None:
            headers = headers_of(source.about, source.last, closed=source.closed)
            headers |= {"stream-up-to-date": "true", "cache-control": "no-store"}
            return Answer(200, headers, joined(source.about.content_type, []))
        batch = await self._read(source.key, ask.after)
        return self._answer(source, ask, batch, known)

    async def poll(self, source: Source, ask: Read) -> Answer:
        """What follows, as soon as there is something."""
        after = source.last if ask.after is None else ask.after
        batch = await self._read(source.key, after)
        if not batch.entries and not batch.sealed:
            if await self._wait(source.key, after, self._poll):
                batch = await self._read(source.key, after)
            await source.used()
        if batch.entries:
            return self._answer(source, ask, batch, None)
        headers = headers_of(source.about, after, closed=batch.sealed)
        headers |= {"stream-up-to-date": "true", "stream-cursor": self._cursor(ask), "cache-control": "no-store"}
        return Answer(204, headers)

    def _answer(self, source: Source, ask: Read, batch: Batch, known: str | None) -> Answer:
        upto = batch.first + len(batch.entries) - 1
        headers = headers_of(source.about, upto, closed=batch.sealed)
        if upto >= source.last:
            headers["stream-up-to-date"] = "true"
        headers["cache-control"] = _GROWING if upto >= source.last else _WHOLE
        headers["etag"] = f'"{source.about.id}:{batch.first - 1}:{upto}{":c" if batch.sealed else ""}"'
        if ask.live:
            headers["stream-cursor"] = self._cursor(ask)
        if known is not None and headers["etag"] in (name.strip() for name in known.split(",")):
            return Answer(304, headers)
        return Answer(200, headers, joined(source.about.content_type, batch.entries))

    async def follow(self, source: Source, ask: Read, delivery: Delivery) -> None:
        """As server-sent events, for some time: then the client comes again, perhaps by way of a cache."""
        encode, head = _events_of(source.about.content_type)
        head |= {"cache-control": "no-cache", "x-accel-buffering": "no", **SECURITY}
        after = source.last if ask.after is None else ask.after
        batch = await self._read(source.key, after)
        delivery.streams(lambda: encode_headers(head), lambda: b": keepalive\n\n")
        await delivery.attend(lambda: self._pass_on(source, ask, delivery, batch, encode))

    async def _pass_on(
        self, source: Source, ask: Read, delivery: Delivery, batch: Batch, encode: Callable[[bytes], bytes]
    ) -> None:
        await delivery.start()
        clock = asyncio.get_running_loop().time
        end = clock() + self._follow
        after, first = batch.first - 1, True
        try:
            while True:
                if batch.entries or batch.sealed or first:
                    out = encode(joined(source.about.content_type, batch.entries)) if batch.entries else b""
                    after += len(batch.entries)
                    last = after if batch.sealed else (await self._journal.info(source.key)).last
                    out += self._control(ask, after, caught_up=after >= last, closed=batch.sealed)
                    first = False
                    if (wait := delivery.write(out)) is not None:
                        await wait
                if batch.sealed or clock() >= end:
                    break
                await self._journal.wait(source.key, after, max(end - clock(), 0.0))
                await source.used()
                batch = await self._journal.read(source.key, after)
        except JournalError:
            pass  # deleted or trimmed: the client asks again, and is told
        await delivery.end()

    def _control(self, ask: Read, after: int, *, caught_up: bool, closed: bool) -> bytes:
        cursor = None if closed else self._cursor(ask)
        said = _Control(offset_of(after), cursor, caught_up, closed)
        return b"event: control\ndata:%b\n\n" % msgspec.json.encode(said)

    def _cursor(self, ask: Read) -> str:
        interval = int(self._now() - _COLLAPSE_FROM) // _COLLAPSE_S
        if ask.cursor < interval:
            return str(interval)
        return str(ask.cursor + 1 + secrets.randbelow(_JITTER_S // _COLLAPSE_S))

    async def _read(self, key: str, after: int) -> Batch:
        try:
            return await self._journal.read(key, after)
        except NoSuchStream:
            raise Refused(404, "the stream was deleted") from None
        except Trimmed as trimmed:
            first = {"stream-earliest-offset": offset_of(trimmed.first - 1)}
            raise Refused(410, "what stood there is kept no longer", first) from None
        except JournalError:
            raise Refused(400, "the offset is beyond the stream's end") from None

    async def _wait(self, key: str, after: int, seconds: float) -> bool:
        try:
            return await self._journal.wait(key, after, seconds)
        except NoSuchStream:
            raise Refused(404, "the stream was deleted") from None


def _events_of(content_type: str) -> tuple[Callable[[bytes], bytes], dict[str, str]]:
    """How the data of an event is said, and the head of such events."""
    head = {"content-type": "text/event-stream"}
    if kind(content_type) == "application/json" or kind(content_type).startswith("text/"):
        return _text_event, head
    return _base64_event, {**head, "stream-sse-data-encoding": "base64"}


def _text_event(data: bytes) -> bytes:
    """No space behind the colon, as the protocol's judge has it; readers take one away, if there is one."""
    lines = [b" " + line if line[:1] == b" " else line for line in _LINES.split(data)]
    return b"event: data\n%b\n" % b"".join(b"data:%b\n" % line for line in lines)


def _base64_event(data: bytes) -> bytes:
    return b"event: data\ndata:%b\n\n" % base64.b64encode(data)
