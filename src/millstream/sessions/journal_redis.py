"""A journal in Redis: gateways on several machines share it, and any of them reads what another writes.

What is appended while a round trip is under way goes out with the next one together. A writer's turns are numbered, so
that one whose answer got lost, because the server was restarted for one, is asked again without being done twice.
"""

from __future__ import annotations

import asyncio
import heapq
import secrets
from collections.abc import Sequence
from itertools import count
from typing import Any

from millstream.sessions import redis_scripts as scripts
from millstream.sessions.base import Clock
from millstream.sessions.journal import (
    Batch,
    JournalError,
    NoSuchStream,
    SequenceConflict,
    StreamInfo,
    StreamSealed,
    Trimmed,
)
from millstream.sessions.redis import PREFIX
from millstream.sessions.redis_line import PATIENCE_S, Argument, RedisLine, Script
from millstream.sessions.redis_news import News

_Answer = list[Any]

_READS_AT_ONCE = 16
"""Each may be large, and all of one round trip are held together."""


class RedisJournal:
    """A ``Journal`` at ``url``. Its entries together take ``max_bytes`` or so; beyond it, the oldest sealed streams are
    forgotten, and if there are none, the oldest entries of the stream that grows. Raises ``ValueError`` for a URL that
    is none. ``patience`` is how long, in seconds, a server that does not answer is waited for."""

    def __init__(
        self, url: str, now: Clock, max_bytes: int, *, prefix: str = PREFIX, patience: float = PATIENCE_S
    ) -> None:
        self._writer = RedisLine(url, "journal", patience=patience)
        self._reader = RedisLine(url, "journal", most_at_once=_READS_AT_ONCE, patience=patience)
        self._news = News(url, patience)
        self._now = now
        self._max_bytes = max_bytes
        self._base = prefix + "journal:"
        self._name = secrets.token_hex(6)
        self._turns = count(1)

    async def create(self, key: str, about: bytes, expires: float) -> bool:
        return await self._write(scripts.CREATE, key, expires, about) == [b"made"]

    async def append(
        self, key: str, entries: Sequence[bytes], *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        return await self._add(key, entries, expected, about, seal=0)

    async def seal(
        self, key: str, entries: Sequence[bytes] = (), *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        return await self._add(key, entries, expected, about, seal=1)

    async def _add(
        self, key: str, entries: Sequence[bytes], expected: int | None, about: bytes | None, *, seal: int
    ) -> int:
        before = "" if expected is None else expected
        changes = (0, b"") if about is None else (1, about)
        turn = next(self._turns)
        said, *rest = await self._write(
            scripts.APPEND, key, self._max_bytes, self._name, turn, before, seal, *changes, *entries
        )
        if said == b"sealed":
            raise StreamSealed(f"{key} is sealed")
        last: int = rest[0]
        if said == b"conflict":
            raise SequenceConflict(f"{key}: its last entry is number {last}, not {expected}")
        return last

    async def read(self, key: str, after: int, most_bytes: int = 256 * 1024) -> Batch:
        said, *rest = await self._ask(scripts.READ, key, after, most_bytes)
        if said == b"beyond":
            raise JournalError(f"{key}: {after} is beyond its last entry, number {rest[0]}")
        if said == b"trimmed":
            raise Trimmed(f"{key}: its first entry left is number {rest[0]}", rest[0])
        return Batch(after + 1, rest[1], bool(rest[0]))

    async def wait(self, key: str, after: int, seconds: float) -> bool:
        channel = f"{self._base}news:{key}".encode()
        end = asyncio.get_running_loop().time() + seconds
        while True:
            # Counted in before it looks, so that nothing comes unseen in between.
            waiter = self._news.waiter(channel)
            try:
                info = await self.info(key)
                if info.last > after or info.sealed:
                    return True
                async with asyncio.timeout_at(end):
                    message = await waiter
            except TimeoutError:
                return False
            finally:
                self._news.leave(channel, waiter)
            if message:
                last, _, sealed = message.partition(b" ")
                if int(last) > after or sealed == b"1":
                    return True

    async def keep(self, key: str, expires: float) -> None:
        await self._write(scripts.KEEP, key, expires)

    async def lease(self, key: str, holder: str, seconds: float) -> bool:
        return await self._write(scripts.LEASE, key, holder, self._now() + seconds) == [b"leased"]

    async def orphans(self, prefix: str) -> Sequence[StreamInfo]:
        return [_info(row) for row in (await self._ask(scripts.ORPHANS, prefix))[1:]]

    async def info(self, key: str) -> StreamInfo:
        return _info((await self._ask(scripts.INFO, key))[1:])

    async def list(self, prefix: str, most: int = 1000) -> Sequence[StreamInfo]:
        """In pages, so that nobody waits long for a server that does one thing at a time."""
        newest: list[tuple[float, int, StreamInfo]] = []
        start = b"[" + prefix.encode()
        while True:
            page, last = await self._ask(scripts.LIST, prefix, start)
            found = [_info(row[:9]) for row in page[1:]]
            numbers = [int(row[9]) for row in page[1:]]
            newest += zip((info.created for info in found), numbers, found, strict=True)
            newest = heapq.nlargest(most, newest, key=lambda item: item[:2])
            if not last:
                return [info for _, _, info in newest]
            start = b"(" + last

    async def delete(self, key: str) -> bool:
        return bool((await self._write(scripts.DELETE, key))[1])

    async def aclose(self) -> None:
        await self._news.aclose()
        await self._writer.aclose()
        await self._reader.aclose()

    async def _write(self, script: Script, key: str, *arguments: Argument) -> _Answer:
        return _there(key, await self._writer.ask(script, self._base, key, self._now(), *arguments, apart=key))

    async def _ask(self, script: Script, key: str, *arguments: Argument) -> _Answer:
        return _there(key, await self._reader.ask(script, self._base, key, self._now(), *arguments))


def _there(key: str, answer: _Answer) -> _Answer:
    if answer[0] == b"gone":
        raise NoSuchStream(f"there is no {key}")
    return answer


def _info(row: Sequence[bytes]) -> StreamInfo:
    key, first, last, size, sealed, about, created, expires, leased_until = row
    return StreamInfo(
        key.decode(),
        int(first),
        int(last),
        int(size),
        sealed == b"1",
        about,
        float(created),
        float(expires),
        float(leased_until),
    )
