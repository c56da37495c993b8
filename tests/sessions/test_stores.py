"""The stores of sessions, each by the same check; and what only a file can get wrong."""

import asyncio
import sqlite3
import stat
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from millstream.sessions.base import SessionStore, StoreError
from millstream.sessions.memory import MemoryStore
from millstream.sessions.sqlite import SqliteStore
from millstream.testing.session_store import check_session_store

FOREVER = 1e12


def test_memory_keeps_the_promises_of_a_store() -> None:
    asyncio.run(check_session_store(MemoryStore))


def test_sqlite_keeps_the_promises_of_a_store(tmp_path: Path) -> None:
    numbers = count()
    asyncio.run(
        check_session_store(lambda now, most: SqliteStore(tmp_path / f"{next(numbers)}.db", now, max_bytes=most))
    )


class _Forgetful(MemoryStore):
    """Forgets nothing that has expired."""

    async def get(self, key: str) -> bytes | None:
        return self._entries.get(key, (None, 0.0))[0]


def test_the_check_finds_a_store_that_breaks_a_promise() -> None:
    with pytest.raises(AssertionError):
        asyncio.run(check_session_store(_Forgetful))


def _store(path: Path, now: Callable[[], float] = lambda: 0.0) -> SessionStore:
    return SqliteStore(path, now, 1000)


def test_what_one_process_kept_the_next_one_reads(tmp_path: Path) -> None:
    async def main() -> None:
        first = _store(tmp_path / "s.db")
        await first.put("a", b"1", FOREVER)
        beside = _store(tmp_path / "s.db")
        assert await beside.get("a") == b"1"
        await beside.put("b", b"2", FOREVER)
        await first.aclose()
        await beside.aclose()
        later = _store(tmp_path / "s.db")
        assert (await later.get("a"), await later.get("b")) == (b"1", b"2")
        await later.aclose()

    asyncio.run(main())


def test_nobody_else_may_read_the_file_or_what_lies_beside_it(tmp_path: Path) -> None:
    async def main() -> None:
        store = _store(tmp_path / "state" / "s.db")
        await store.put("a", b"1", FOREVER)
        folder = tmp_path / "state"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = list(folder.iterdir())
        assert len(files) > 1
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        await store.aclose()

    asyncio.run(main())


def test_nothing_is_written_before_something_is_asked(tmp_path: Path) -> None:
    async def main() -> None:
        await _store(tmp_path / "state" / "s.db").aclose()
        assert not (tmp_path / "state").exists()

    asyncio.run(main())


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.db").write_bytes(b"not a database at all" * 100)

    async def main() -> None:
        store = _store(tmp_path / "s.db")
        with pytest.raises(StoreError, match=r"s\.db"):
            await store.get("a")
        await store.aclose()

    asyncio.run(main())


def test_a_store_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "s.db")
    database.execute("PRAGMA user_version = 99")
    database.close()

    async def main() -> None:
        store = _store(tmp_path / "s.db")
        with pytest.raises(StoreError, match="version 99"):
            await store.put("a", b"1", FOREVER)
        await store.aclose()

    asyncio.run(main())
