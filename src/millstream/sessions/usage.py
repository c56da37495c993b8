"""What was used, by whom and of which model: sums for each hour, in memory or in a SQLite file beside the sessions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from millstream.sessions.base import StoreError
from millstream.sessions.database import DatabaseThread

HOUR_S = 3600
_KEEP_HOURS = 400 * 24
_VERSION = 1
_SCHEMA = """
CREATE TABLE usage (
    hour INTEGER NOT NULL, key TEXT NOT NULL, user TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, failed INTEGER NOT NULL, unpriced INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, cost_micro INTEGER NOT NULL,
    PRIMARY KEY (hour, key, user, model)
) WITHOUT ROWID;
"""
_ADD = """
INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET requests = requests + excluded.requests, failed = failed + excluded.failed,
    unpriced = unpriced + excluded.unpriced, input_tokens = input_tokens + excluded.input_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    output_tokens = output_tokens + excluded.output_tokens, cost_micro = cost_micro + excluded.cost_micro
"""


class Place(NamedTuple):
    """``hour`` is Unix time in hours; ``key`` and ``user`` are empty where there was none."""

    hour: int
    key: str
    user: str
    model: str


class Used(NamedTuple):
    """``unpriced`` counts the requests of which nobody knows the cost; ``cost_micro`` is in millionths of a dollar."""

    requests: int = 0
    failed: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    cost_micro: int = 0

    def plus(self, other: Used) -> Used:
        return Used(*(one + more for one, more in zip(self, other, strict=True)))


Row = tuple[Place, Used]


class MemoryUsage:
    """In this process, for as long as it lives."""

    def __init__(self) -> None:
        self._rows: dict[Place, Used] = {}

    async def add(self, rows: Sequence[Row]) -> None:
        for place, used in rows:
            self._rows[place] = self._rows.get(place, Used()).plus(used)

    async def between(self, first: int, last: int) -> list[Row]:
        """Of the hours from ``first`` to before ``last``."""
        return [(place, used) for place, used in self._rows.items() if first <= place.hour < last]

    async def aclose(self) -> None:
        return


class SqliteUsage:
    """In the file at ``path``, which all workers of a machine share. Methods raise ``StoreError``."""

    def __init__(self, path: Path) -> None:
        self._database = DatabaseThread(
            path, "usage file", _SCHEMA, _VERSION, begin="BEGIN IMMEDIATE", refusals=StoreError
        )

    async def add(self, rows: Sequence[Row]) -> None:
        def write(database: sqlite3.Connection) -> None:
            database.executemany(_ADD, [(*place, *used) for place, used in rows])
            oldest = max(place.hour for place, _ in rows) - _KEEP_HOURS
            database.execute("DELETE FROM usage WHERE hour < ?", (oldest,))

        if rows:
            await self._database.ask(write)

    async def between(self, first: int, last: int) -> list[Row]:
        """Of the hours from ``first`` to before ``last``."""

        def read(database: sqlite3.Connection) -> list[Row]:
            found = database.execute("SELECT * FROM usage WHERE hour >= ? AND hour < ?", (first, last))
            return [(Place(*row[:4]), Used(*row[4:])) for row in found]

        return await self._database.ask(read)

    async def aclose(self) -> None:
        await self._database.aclose()


UsageStore = MemoryUsage | SqliteUsage
