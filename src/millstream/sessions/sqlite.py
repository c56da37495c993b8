"""Sessions in one SQLite file: they survive a restart, and several processes may share them.

The file is opened when it is first needed, by the one thread that does all reading and writing.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from millstream.sessions.base import Clock, StoreError
from millstream.sessions.database import open_database

_VERSION = 1
_SCHEMA = """
CREATE TABLE entries (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    expires REAL NOT NULL,
    size INTEGER NOT NULL,
    value BLOB NOT NULL
);
CREATE INDEX entries_by_expiry ON entries (expires);
CREATE TABLE total (size INTEGER NOT NULL);
INSERT INTO total VALUES (0);
CREATE TRIGGER entry_came AFTER INSERT ON entries BEGIN UPDATE total SET size = size + new.size; END;
CREATE TRIGGER entry_went AFTER DELETE ON entries BEGIN UPDATE total SET size = size - old.size; END;
"""
T = TypeVar("T")


class SqliteStore:
    """A ``SessionStore`` at ``path``. Its values together never take more than ``max_bytes``; the file is somewhat
    larger. Only its owner can read the file."""

    def __init__(self, path: Path, now: Clock, max_bytes: int) -> None:
        self._path = path
        self._now = now
        self._max_bytes = max_bytes
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sessions")
        self._connection: sqlite3.Connection | None = None

    async def put(self, key: str, value: bytes, expires: float) -> bool:
        return await self._ask(lambda database: self._put(database, key, value, expires))

    async def get(self, key: str) -> bytes | None:
        return await self._ask(lambda database: self._get(database, key))

    async def delete(self, key: str) -> bool:
        return await self._ask(lambda database: self._delete(database, key))

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    async def _ask(self, question: Callable[[sqlite3.Connection], T]) -> T:
        def ask() -> T:
            try:
                database = self._database()
                with database:
                    return question(database)
            except (sqlite3.Error, OSError) as error:
                raise StoreError(f"the session store {self._path} cannot be used: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._thread, ask)

    def _put(self, database: sqlite3.Connection, key: str, value: bytes, expires: float) -> bool:
        # One process at a time decides what to forget.
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM entries WHERE key = ? OR expires <= ?", (key, self._now()))
        if len(value) > self._max_bytes:
            return False
        self._make_room(database, len(value))
        database.execute(
            "INSERT INTO entries (key, expires, size, value) VALUES (?, ?, ?, ?)", (key, expires, len(value), value)
        )
        return True

    def _make_room(self, database: sqlite3.Connection, wanted: int) -> None:
        (size,) = database.execute("SELECT size FROM total").fetchone()
        while size + wanted > self._max_bytes:
            number, freed = database.execute("SELECT number, size FROM entries ORDER BY number LIMIT 1").fetchone()
            database.execute("DELETE FROM entries WHERE number = ?", (number,))
            size -= freed

    def _get(self, database: sqlite3.Connection, key: str) -> bytes | None:
        found = database.execute("SELECT value FROM entries WHERE key = ? AND expires > ?", (key, self._now()))
        row: tuple[bytes] | None = found.fetchone()
        return None if row is None else row[0]

    def _delete(self, database: sqlite3.Connection, key: str) -> bool:
        there = self._get(database, key) is not None
        database.execute("DELETE FROM entries WHERE key = ?", (key,))
        return there

    def _database(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_database(self._path, _SCHEMA, _VERSION)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
