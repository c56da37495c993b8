"""A journal in this process: forgotten when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

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


class _Stream:
    def __init__(self, about: bytes, created: float, expires: float) -> None:
        self.about = about
        self.created = created
        self.expires = expires
        self.first = 1
        self.entries: list[bytes] = []
        self.size = 0
        self.sealed = False
        self.holder = ""
        self.leased_until = 0.0
        self.waiters: set[asyncio.Future[None]] = set()

    @property
    def last(self) -> int:
        return self.first + len(self.entries) - 1

    def add(self, entries: Sequence[bytes]) -> int:
        self.entries += entries
        size = sum(map(len, entries))
        self.size += size
        return size

    def tell(self) -> None:
        waiters, self.waiters = self.waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class MemoryJournal:
    """A ``Journal``. Its entries together take ``max_bytes`` or so; beyond it, the oldest sealed streams are forgotten,
    and if there are none, the oldest entries of the stream that grows."""

    def __init__(self, now: Clock, max_bytes: int) -> None:
        self._now = now
        self._max_bytes = max_bytes
        self._streams: dict[str, _Stream] = {}
        self._size = 0

    async def create(self, key: str, about: bytes, expires: float) -> bool:
        self._forget_expired()
        if key in self._streams:
            return False
        self._streams[key] = _Stream(about, self._now(), expires)
        return True

    async def append(
        self, key: str, entries: Sequence[bytes], *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        stream = self._stream(key)
        if stream.sealed:
            raise StreamSealed(f"{key} is sealed")
        self._add(key, stream, entries, expected, about)
        self._make_room(stream)
        stream.tell()
        return stream.last

    def _add(
        self, key: str, stream: _Stream, entries: Sequence[bytes], expected: int | None, about: bytes | None
    ) -> None:
        if expected is not None and expected != stream.last:
            raise SequenceConflict(f"{key}: its last entry is number {stream.last}, not {expected}")
        self._size += stream.add(entries)
        stream.about = stream.about if about is None else about

    async def read(self, key: str, after: int, most_bytes: int = 256 * 1024) -> Batch:
        stream = self._stream(key)
        if after > stream.last:
            raise JournalError(f"{key}: {after} is beyond its last entry, number {stream.last}")
        if after + 1 < stream.first:
            raise Trimmed(f"{key}: its first entry left is number {stream.first}", stream.first)
        found: list[bytes] = []
        size = 0
        place = after + 1 - stream.first
        while place < len(stream.entries) and (not found or size + len(stream.entries[place]) <= most_bytes):
            found.append(stream.entries[place])
            size += len(stream.entries[place])
            place += 1
        return Batch(after + 1, found, stream.sealed and place == len(stream.entries))

    async def wait(self, key: str, after: int, seconds: float) -> bool:
        stream = self._stream(key)
        if stream.last > after or stream.sealed:
            return True
        waiter = asyncio.get_running_loop().create_future()
        stream.waiters.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            stream.waiters.discard(waiter)
        return True

    async def seal(
        self, key: str, entries: Sequence[bytes] = (), *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        stream = self._stream(key)
        if not stream.sealed:
            self._add(key, stream, entries, expected, about)
            stream.sealed = True
            stream.leased_until = 0.0
            stream.tell()
        return stream.last

    async def keep(self, key: str, expires: float) -> None:
        self._stream(key).expires = expires

    async def lease(self, key: str, holder: str, seconds: float) -> bool:
        stream = self._stream(key)
        now = self._now()
        if stream.holder != holder and stream.leased_until > now:
            return False
        stream.holder, stream.leased_until = holder, now + seconds
        return True

    async def orphans(self, prefix: str) -> Sequence[StreamInfo]:
        now = self._now()
        return [
            _info(key, stream)
            for key, stream in self._streams.items()
            if key.startswith(prefix) and not stream.sealed and stream.leased_until <= now
        ]

    async def info(self, key: str) -> StreamInfo:
        return _info(key, self._stream(key))

    async def list(self, prefix: str, most: int = 1000) -> Sequence[StreamInfo]:
        self._forget_expired()
        found = [_info(key, stream) for key, stream in self._streams.items() if key.startswith(prefix)]
        found.reverse()  # the newest first where two are of one moment
        return sorted(found, key=lambda info: -info.created)[:most]

    async def delete(self, key: str) -> bool:
        there = key in self._streams
        self._forget(key)
        return there

    async def aclose(self) -> None:
        for key in list(self._streams):
            self._forget(key)

    def _stream(self, key: str) -> _Stream:
        stream = self._streams.get(key)
        if stream is not None and stream.expires <= self._now():
            self._forget(key)
            stream = None
        if stream is None:
            raise NoSuchStream(f"there is no {key}")
        return stream

    def _forget_expired(self) -> None:
        now = self._now()
        for key in [key for key, stream in self._streams.items() if stream.expires <= now]:
            self._forget(key)

    def _forget(self, key: str) -> None:
        stream = self._streams.pop(key, None)
        if stream is not None:
            self._size -= stream.size
            stream.tell()

    def _make_room(self, growing: _Stream) -> None:
        if self._size <= self._max_bytes:
            return
        for key in [key for key, stream in self._streams.items() if stream.sealed]:
            if self._size <= self._max_bytes:
                return
            self._forget(key)
        count = 0
        goal = self._max_bytes * 3 // 4  # many at once: each time costs as much as is held
        while self._size > goal and count < len(growing.entries) - 1:
            freed = len(growing.entries[count])
            growing.size -= freed
            self._size -= freed
            count += 1
        del growing.entries[:count]
        growing.first += count


def _info(key: str, stream: _Stream) -> StreamInfo:
    return StreamInfo(
        key,
        stream.first,
        stream.last,
        stream.size,
        stream.sealed,
        stream.about,
        stream.created,
        stream.expires,
        stream.leased_until,
    )
