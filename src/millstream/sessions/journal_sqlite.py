"""A journal in one SQLite file: it survives the process, and the workers of one machine may share it.

One thread writes, another reads; in SQLite's WAL neither waits for the other. What is appended while a transaction is
under way goes into the next one together, so that many runs cost one commit. A process that is killed loses what was
not committed by then; see ``runs.durable`` for those who may not lose that.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from millstream.sessions.base import Clock, StoreError
from millstream.sessions.database import DatabaseThread
from millstream.sessions.journal import (
    Batch,
    JournalError,
    NoSuchStream,
    SequenceConflict,
    StreamInfo,
    StreamSealed,
    Trimmed,
)

_VERSION = 3
_SCHEMA = """
CREATE TABLE streams (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    first INTEGER NOT NULL DEFAULT 1,
    last INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL DEFAULT 0,
    sealed INTEGER NOT NULL DEFAULT 0,
    about BLOB NOT NULL,
    created REAL NOT NULL,
    expires REAL NOT NULL,
    holder TEXT NOT NULL DEFAULT '',
    leased_until REAL NOT NULL DEFAULT 0
);
CREATE INDEX streams_by_expiry ON streams (expires);
CREATE TABLE entries (
    place INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);
"""
_FIELDS = "key, first, last, size, sealed, about, created, expires, leased_until"
_LOOK_AFTER_S = (0.05, 0.25)
"""How soon what another process has written is seen by those who wait for it: while much is written, and at most."""

_PLACES = 2**32
"""Of one stream: entry ``number`` of stream ``id`` has the place ``id * _PLACES + number``, and a row that of its last.
One integer is a key that SQLite appends at in two thirds of the time that a pair takes."""

_ROW_BYTES = 32 * 1024
"""Entries that come together share rows of this size, as lists in MessagePack: to insert a row takes longer than to
pack twenty entries into it."""

_unpack = msgspec.msgpack.Decoder(list[bytes]).decode
_LAST_KEY = "\U0010ffff"


class SqliteJournal:
    """A ``Journal`` at ``path``. Its entries together take ``max_bytes`` or so; beyond it, the oldest sealed streams
    are forgotten, and if there are none, the oldest entries of the stream that grows."""

    def __init__(self, path: Path, now: Clock, max_bytes: int) -> None:
        self._path = path
        self._now = now
        self._max_bytes = max_bytes
        self._row_bytes = min(_ROW_BYTES, max_bytes // 32)
        self._writer = DatabaseThread(
            path, "journal", _SCHEMA, _VERSION, begin="BEGIN IMMEDIATE", refusals=JournalError
        )
        self._reader = DatabaseThread(path, "journal", _SCHEMA, _VERSION, begin="BEGIN", refusals=JournalError)
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._grown = 0

    async def create(self, key: str, about: bytes, expires: float) -> bool:
        def create(database: sqlite3.Connection) -> bool:
            now = self._now()
            old = database.execute("SELECT key FROM streams WHERE expires <= ?", (now,)).fetchall()
            for (name,) in old:
                _forget(database, name)
            words = "INSERT INTO streams (key, about, created, expires) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
            return database.execute(words, (key, about, now, expires)).rowcount == 1

        return await self._writer.ask(create)

    async def append(
        self, key: str, entries: Sequence[bytes], *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        def append(database: sqlite3.Connection) -> int:
            stream, info = self._stream(database, key)
            if info.sealed:
                raise StreamSealed(f"{key} is sealed")
            return self._add(database, stream, info, entries, expected, about, sealed=False)

        last = await self._writer.ask(append)
        self._tell(key)
        return last

    async def seal(
        self, key: str, entries: Sequence[bytes] = (), *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        def seal(database: sqlite3.Connection) -> int:
            stream, info = self._stream(database, key)
            if info.sealed:
                return info.last
            return self._add(database, stream, info, entries, expected, about, sealed=True)

        last = await self._writer.ask(seal)
        self._tell(key)
        return last

    def _add(
        self,
        database: sqlite3.Connection,
        stream: int,
        info: StreamInfo,
        entries: Sequence[bytes],
        expected: int | None,
        about: bytes | None,
        *,
        sealed: bool,
    ) -> int:
        if expected is not None and expected != info.last:
            raise SequenceConflict(f"{info.key}: its last entry is number {info.last}, not {expected}")
        rows = list(_rows(stream * _PLACES + info.last, entries, self._row_bytes))
        database.executemany("INSERT INTO entries VALUES (?, ?)", rows)
        last, grown = info.last + len(entries), sum(len(data) for _, data in rows)
        leased = 0.0 if sealed else info.leased_until
        database.execute(
            "UPDATE streams SET last = ?, size = size + ?, sealed = ?, leased_until = ?, about = ? WHERE id = ?",
            (last, grown, sealed, leased, info.about if about is None else about, stream),
        )
        self._grown += grown
        if self._grown > self._max_bytes // 32:
            self._grown = 0
            self._make_room(database, stream)
        return last

    async def read(self, key: str, after: int, most_bytes: int = 256 * 1024) -> Batch:
        def read(database: sqlite3.Connection) -> Batch:
            stream, info = self._stream(database, key)
            if after > info.last:
                raise JournalError(f"{key}: {after} is beyond its last entry, number {info.last}")
            if after + 1 < info.first:
                raise Trimmed(f"{key}: its first entry left is number {info.first}", info.first)
            found: list[bytes] = []
            size = 0
            with closing(_entries(database, stream, after)) as entries:
                for data in entries:
                    if found and size + len(data) > most_bytes:
                        break
                    found.append(data)
                    size += len(data)
            return Batch(after + 1, found, info.sealed and after + len(found) == info.last)

        return await self._reader.ask(read)

    async def wait(self, key: str, after: int, seconds: float) -> bool:
        waiter = asyncio.get_running_loop().create_future()
        end = asyncio.get_running_loop().time() + seconds
        while True:
            # Counted in before it looks, so that nothing comes unseen in between.
            self._waiters.setdefault(key, set()).add(waiter)
            try:
                info = await self.info(key)
                if info.last > after or info.sealed:
                    return True
                self._look_out()
                async with asyncio.timeout_at(end):
                    await waiter
            except TimeoutError:
                return False
            finally:
                self._waiters.get(key, set()).discard(waiter)
                if not self._waiters.get(key, True):
                    del self._waiters[key]
            waiter = asyncio.get_running_loop().create_future()

    async def lease(self, key: str, holder: str, seconds: float) -> bool:
        def lease(database: sqlite3.Connection) -> bool:
            now = self._now()
            stream, _ = self._stream(database, key)
            words = "UPDATE streams SET holder = ?, leased_until = ? WHERE id = ? AND (holder = ? OR leased_until <= ?)"
            return database.execute(words, (holder, now + seconds, stream, holder, now)).rowcount == 1

        return await self._writer.ask(lease)

    async def keep(self, key: str, expires: float) -> None:
        def keep(database: sqlite3.Connection) -> None:
            stream, _ = self._stream(database, key)
            database.execute("UPDATE streams SET expires = ? WHERE id = ?", (expires, stream))

        await self._writer.ask(keep)

    async def orphans(self, prefix: str) -> Sequence[StreamInfo]:
        words = "key >= ? AND key < ? AND NOT sealed AND leased_until <= ? AND expires > ? ORDER BY id"
        return await self._infos(words, prefix, prefix + _LAST_KEY, self._now(), self._now())

    async def info(self, key: str) -> StreamInfo:
        return await self._reader.ask(lambda database: self._stream(database, key)[1])

    async def list(self, prefix: str, most: int = 1000) -> Sequence[StreamInfo]:
        words = "key >= ? AND key < ? AND expires > ? ORDER BY created DESC, id DESC LIMIT ?"
        return await self._infos(words, prefix, prefix + _LAST_KEY, self._now(), most)

    async def delete(self, key: str) -> bool:
        there = await self._writer.ask(lambda database: _forget(database, key))
        self._tell(key)
        return there

    async def aclose(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        for key in list(self._waiters):
            self._tell(key)
        await self._writer.aclose()
        await self._reader.aclose()

    async def _infos(self, words: str, *values: object) -> Sequence[StreamInfo]:
        def infos(database: sqlite3.Connection) -> Sequence[StreamInfo]:
            rows = database.execute(f"SELECT {_FIELDS} FROM streams WHERE {words}", values)  # noqa: S608  # ours
            return [_info(row) for row in rows]

        return await self._reader.ask(infos)

    def _stream(self, database: sqlite3.Connection, key: str) -> tuple[int, StreamInfo]:
        row = database.execute(f"SELECT id, {_FIELDS} FROM streams WHERE key = ?", (key,)).fetchone()  # noqa: S608
        if row is None or row[8] <= self._now():
            raise NoSuchStream(f"there is no {key}")
        return row[0], _info(row[1:])

    def _make_room(self, database: sqlite3.Connection, growing: int) -> None:
        (size,) = database.execute("SELECT coalesce(sum(size), 0) FROM streams").fetchone()
        if size <= self._max_bytes:
            return
        sealed = database.execute("SELECT key, size FROM streams WHERE sealed AND id <> ? ORDER BY id", (growing,))
        for key, freed in sealed.fetchall():
            if size <= self._max_bytes:
                return
            _forget(database, key)
            size -= freed
        if size > self._max_bytes:
            _trim(database, growing, size - self._max_bytes * 3 // 4)

    def _tell(self, key: str) -> None:
        for waiter in self._waiters.pop(key, ()):
            if not waiter.done():
                waiter.set_result(None)

    def _look_out(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_for_others())

    async def _look_for_others(self) -> None:
        """While somebody waits: has another process written? One question answers for all."""
        seen = None
        soonest, pause = _LOOK_AFTER_S
        while self._waiters:
            try:
                [version] = await self._reader.ask(lambda database: database.execute("PRAGMA data_version").fetchone())
            except StoreError:
                version = None  # those who wait find out themselves
            if version != seen or version is None:
                seen, pause = version, soonest
                for key in list(self._waiters):
                    self._tell(key)
            await asyncio.sleep(pause)
            pause = min(pause * 1.2, _LOOK_AFTER_S[1])


def _info(row: Sequence[Any]) -> StreamInfo:
    key, first, last, size, sealed, about, created, expires, leased_until = row
    return StreamInfo(key, first, last, size, bool(sealed), about, created, expires, leased_until)


def _rows(place: int, entries: Sequence[bytes], most: int) -> Iterator[tuple[int, bytes]]:
    """``place`` is that of the entry before them."""
    some: list[bytes] = []
    size = 0
    for entry in entries:
        if some and size + len(entry) > most:
            yield place, msgspec.msgpack.encode(some)
            some, size = [], 0
        some.append(entry)
        size += len(entry)
        place += 1
    if some:
        yield place, msgspec.msgpack.encode(some)


def _entries(database: sqlite3.Connection, stream: int, after: int) -> Generator[bytes, None, None]:
    """Those of ``stream`` that follow number ``after``."""
    begin, end = stream * _PLACES, (stream + 1) * _PLACES
    words = "SELECT place, data FROM entries WHERE place > ? AND place < ? ORDER BY place"
    with closing(database.execute(words, (begin + after, end))) as rows:
        for place, data in rows:
            try:
                entries = _unpack(data)
            except msgspec.DecodeError as error:
                raise JournalError(f"what is kept in the row at {place} cannot be read: {error}") from error
            before = place - begin - len(entries)
            yield from entries[max(after - before, 0) :]


def _forget(database: sqlite3.Connection, key: str) -> bool:
    row = database.execute("DELETE FROM streams WHERE key = ? RETURNING id", (key,)).fetchone()
    if row is not None:
        _delete(database, row[0], _PLACES - 1)
    return row is not None


def _trim(database: sqlite3.Connection, stream: int, wanted: int) -> None:
    """The oldest rows of ``stream``, all but its last, until ``wanted`` bytes are free."""
    freed, through = 0, 0
    begin, end = stream * _PLACES, (stream + 1) * _PLACES
    words = "SELECT place, length(data) FROM entries WHERE place > ? AND place < ? ORDER BY place"
    for place, size in database.execute(words, (begin, end)).fetchall()[:-1]:
        freed, through = freed + size, place - begin
        if freed >= wanted:
            break
    if not through:
        return
    _delete(database, stream, through)
    database.execute("UPDATE streams SET first = ?, size = size - ? WHERE id = ?", (through + 1, freed, stream))


def _delete(database: sqlite3.Connection, stream: int, through: int) -> None:
    begin = stream * _PLACES
    database.execute("DELETE FROM entries WHERE place > ? AND place <= ?", (begin, begin + through))
