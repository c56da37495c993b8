"""Streams on a journal: found, made, appended to, closed, deleted.

One request is one entry of the journal, so that its offset is the entry's number. What else is known of a stream is its
``about``; where that changes with an entry, both go in one step, and only if nobody else was there first.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import msgspec

from millstream.server.durable.about import About, Duplicate, judge
from millstream.server.durable.asking import (
    Append,
    Create,
    Refused,
    content_type_or_bytes,
    entries_of,
    kind,
    moment,
    offset_of,
)
from millstream.server.durable.forks import Forks, copy, part_of
from millstream.sessions.journal import Journal, NoSuchStream, SequenceConflict, StreamInfo, StreamSealed

_FOREVER = 1e12
_TRIES = 100
_MADE_WITHIN_S = 30.0
"""Whoever makes a stream and has not put in what belongs there by then, has died."""


@dataclass(frozen=True, slots=True)
class Found:
    key: str
    info: StreamInfo
    about: About


@dataclass(frozen=True, slots=True)
class Made:
    about: About
    last: int
    new: bool


@dataclass(frozen=True, slots=True)
class Appended:
    """``seq`` is the last number that its producer got through, where there is one."""

    last: int
    closed: bool
    new: bool
    seq: int | None


class Streams:
    """All methods raise ``Refused``, and ``StoreError`` where the journal fails. ``owner`` is whose the streams are."""

    def __init__(self, journal: Journal, now: Callable[[], float]) -> None:
        self.journal = journal
        self._now = now
        self._forks = Forks(journal)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, owner: str, path: str) -> Found:
        """404 where there is none, 410 where it was deleted and lives on in its forks."""
        key = key_of(owner, path)
        until = asyncio.get_running_loop().time() + _MADE_WITHIN_S
        while True:
            try:
                info = await self.journal.info(key)
                about = msgspec.json.decode(info.about, type=About)
                if about.ready:
                    return Found(key, info, about)
                left = until - asyncio.get_running_loop().time()
                if left <= 0 or self._now() - info.created > _MADE_WITHIN_S:
                    raise Refused(404, f"there is no stream {path!r} yet")
                await self.journal.wait(key, info.last, min(left, 1.0))
            except NoSuchStream:
                if await self._forks.is_gone(owner, path):
                    raise Refused(410, f"the stream {path!r} was deleted") from None
                raise Refused(404, f"there is no stream {path!r}") from None

    async def touch(self, found: Found) -> None:
        """A stream with a time to live lives on from its last use."""
        ttl, now = found.about.ttl, self._now()
        if ttl is not None and found.info.expires - now < ttl * 0.9:
            try:
                await self.journal.keep(found.key, now + ttl)
            except NoSuchStream:
                return

    async def make(self, owner: str, path: str, ask: Create) -> Made:
        for _ in range(_TRIES):
            there = await self._there(owner, path)
            if there is not None:
                if not there.about.is_as(ask):
                    raise Refused(409, "there is another stream of this name")
                return Made(there.about, there.info.last, new=False)
            made = await self._make(owner, path, ask)
            if made is not None:
                return made
        raise Refused(503, "others are making and deleting this stream")

    async def _there(self, owner: str, path: str) -> Found | None:
        try:
            return await self.find(owner, path)
        except Refused as refused:
            if refused.status == 410:
                raise Refused(409, f"the stream {path!r} was deleted, and forks of it are left") from None
        await self._clear(owner, path)
        return None

    async def _clear(self, owner: str, path: str) -> None:
        """Away with what somebody began to make and died."""
        try:
            info = await self.journal.info(key_of(owner, path))
        except NoSuchStream:
            return
        if not msgspec.json.decode(info.about, type=About).ready and self._now() - info.created > _MADE_WITHIN_S:
            await self.journal.delete(info.key)

    async def _make(self, owner: str, path: str, ask: Create) -> Made | None:
        """None where somebody else was quicker."""
        key = key_of(owner, path)
        source = await self._source(owner, ask) if ask.fork is not None else None
        about = self._about(ask, source)
        entries = list(entries_of(about.content_type, ask.body, may_be_empty=True))
        if source is not None and ask.fork is not None and ask.fork.part:
            batch = await self.journal.read(source.key, ask.fork.at or 0)
            entries.insert(0, part_of(about.content_type, batch.entries, ask.fork.part))
        at_once = not entries and source is None and not ask.closed
        first = about if at_once else msgspec.structs.replace(about, ready=False)
        if not await self.journal.create(key, msgspec.json.encode(first), self._expires(about)):
            return None
        if at_once:
            return Made(about, 0, new=True)
        try:
            if source is not None and ask.fork is not None:
                await self._take_over(owner, path, source, key, ask.fork.at)
            finish = self.journal.seal if ask.closed else self.journal.append
            last = await finish(key, entries, about=msgspec.json.encode(about))
        except NoSuchStream:
            if source is not None:
                await self.journal.delete(key)
                raise Refused(409, "the stream, or what is to be forked, was gone before it was made") from None
            last = len(entries)  # made, and gone again: its time was over, or somebody deleted it
        except BaseException:
            await self.journal.delete(key)
            raise
        return Made(about, last, new=True)

    async def _source(self, owner: str, ask: Create) -> Found:
        if ask.fork is None:
            raise ValueError
        try:
            source = await self.find(owner, ask.fork.source)
        except Refused as refused:
            if refused.status == 410:
                raise Refused(409, "what is to be forked was deleted") from None
            raise
        if ask.content_type is not None and kind(ask.content_type) != kind(source.about.content_type):
            raise Refused(409, f"what is to be forked is of {source.about.content_type}")
        at = source.info.last if ask.fork.at is None else ask.fork.at
        if at > source.info.last or (ask.fork.part and at == source.info.last):
            raise Refused(400, "what is to be forked does not go so far")
        return source

    async def _take_over(self, owner: str, path: str, source: Found, key: str, at: int | None) -> None:
        origin = source.key.partition("/")[2].partition("/")[2]
        await self._forks.begin(owner, origin, path)
        try:
            await copy(self.journal, source.key, key, source.info.last if at is None else at)
        except BaseException:
            await self._forks.end(owner, origin, path)
            raise

    def _about(self, ask: Create, source: Found | None) -> About:
        ttl, expires_at = ask.ttl, ask.expires_at
        content_type = content_type_or_bytes(ask.content_type)
        if source is not None and ask.fork is not None:
            content_type = ask.content_type or source.about.content_type
            if ttl is None and expires_at is None:
                ttl, expires_at = source.about.ttl, source.about.expires_at
        fork = ask.fork
        return About(
            id=secrets.token_hex(6),
            content_type=content_type,
            ttl=ttl,
            expires_at=expires_at,
            made_closed=ask.closed,
            source=None if fork is None else fork.source,
            fork_at=None if fork is None else fork.at,
            fork_part=0 if fork is None else fork.part,
        )

    def _expires(self, about: About) -> float:
        if about.ttl is not None:
            return self._now() + about.ttl
        return _FOREVER if about.expires_at is None else moment(about.expires_at)

    async def append(self, owner: str, path: str, ask: Append) -> Appended:
        key = key_of(owner, path)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            for _ in range(_TRIES):
                found = await self.find(owner, path)
                try:
                    done = await self._append(found, ask)
                except (SequenceConflict, StreamSealed):
                    continue
                except NoSuchStream:
                    raise Refused(404, f"there is no stream {path!r}") from None
                if done is not None:
                    await self.touch(found)
                    return done
        raise Refused(503, "too many write to this stream", {"retry-after": "1"})

    async def _append(self, found: Found, ask: Append) -> Appended | None:
        """None where somebody else closed it meanwhile."""
        last, closed = found.info.last, found.info.sealed
        closing = secrets.token_hex(6)
        judged = judge(found.about, ask, last, closed=closed, closing=closing)
        if isinstance(judged, Duplicate):
            return Appended(last, closed, new=False, seq=judged.seq)
        entries = entries_of(found.about.content_type, ask.body) if ask.body else []
        seq = None if ask.producer is None else ask.producer.seq
        if judged.about is None:
            return Appended(await self.journal.append(found.key, entries), closed=False, new=True, seq=seq)
        about = msgspec.json.encode(judged.about)
        if not ask.close:
            last = await self.journal.append(found.key, entries, expected=last, about=about)
            return Appended(last, closed=False, new=True, seq=seq)
        last = await self.journal.seal(found.key, entries, expected=last, about=about)
        closer = msgspec.json.decode((await self.journal.info(found.key)).about, type=About).closing
        return Appended(last, closed=True, new=True, seq=seq) if closer == closing else None

    async def delete(self, owner: str, path: str) -> None:
        found = await self.find(owner, path)
        parent = found.about.source
        kept = await self._forks.bury(owner, path, parent)
        await self.journal.delete(found.key)
        if parent is not None and not kept:
            await self._forks.end(owner, parent, path)


def key_of(owner: str, path: str) -> str:
    return f"streams/{owner}/{path}"


def headers_of(about: About, last: int, *, closed: bool) -> dict[str, str]:
    """What every answer about a stream says of it."""
    headers = {"content-type": about.content_type, "stream-next-offset": offset_of(last)}
    if closed:
        headers["stream-closed"] = "true"
    return headers


def lifetime_of(about: About) -> dict[str, str]:
    if about.ttl is not None:
        return {"stream-ttl": str(about.ttl)}
    return {} if about.expires_at is None else {"stream-expires-at": about.expires_at}


def joined(content_type: str, entries: Sequence[bytes]) -> bytes:
    """``entries`` as a reader gets them."""
    if kind(content_type) == "application/json":
        return b"[%b]" % b",".join(entries)
    return b"".join(entries)
