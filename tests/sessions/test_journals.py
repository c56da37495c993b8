"""The journals, each by the same check; and what only a file can get wrong."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from millstream.sessions.base import StoreError
from millstream.sessions.database import open_database
from millstream.sessions.journal import Batch, JournalError
from millstream.sessions.journal_memory import MemoryJournal
from millstream.sessions.journal_sqlite import SqliteJournal
from millstream.testing.journal import check_journal

LATER = 1e12
LIMIT = 64 * 1024 * 1024


def now() -> float:
    return 1000.0


def test_memory_keeps_the_promises_of_a_journal() -> None:
    asyncio.run(check_journal(MemoryJournal))


def test_sqlite_keeps_the_promises_of_a_journal(tmp_path: Path) -> None:
    numbers = count()
    asyncio.run(check_journal(lambda now, most: SqliteJournal(tmp_path / f"{next(numbers)}.db", now, most)))


class _Forgetful(MemoryJournal):
    """Loses the second of each two entries."""

    async def append(
        self, key: str, entries: Sequence[bytes], *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        return await super().append(key, entries[:1], expected=expected, about=about)


class _Hasty(MemoryJournal):
    """Says that a stream has ended before it has."""

    async def read(self, key: str, after: int, most_bytes: int = 256 * 1024) -> Batch:
        batch = await super().read(key, after, most_bytes)
        return Batch(batch.first, batch.entries, (await self.info(key)).sealed)


@pytest.mark.parametrize("broken", [_Forgetful, _Hasty])
def test_the_check_finds_a_journal_that_breaks_a_promise(broken: type[MemoryJournal]) -> None:
    with pytest.raises(AssertionError):
        asyncio.run(check_journal(broken))


def test_what_another_process_appends_wakes_who_waits(tmp_path: Path) -> None:
    async def main() -> None:
        here, there = (SqliteJournal(tmp_path / "j.db", now, LIMIT) for _ in range(2))
        await here.create("a", b"", LATER)
        waiting = asyncio.create_task(here.wait("a", 0, 60))
        await there.append("a", [b"1"])
        assert await waiting
        assert list((await here.read("a", 0)).entries) == [b"1"]
        await here.aclose()
        await there.aclose()

    asyncio.run(main())


def test_what_was_appended_is_there_after_a_kill(tmp_path: Path) -> None:
    """The last entry the process told of is the least that is there; nothing has a hole."""
    code = """
import asyncio, sys
from pathlib import Path
from millstream.sessions.journal_sqlite import SqliteJournal
async def main():
    journal = SqliteJournal(Path(sys.argv[1]), lambda: 1000.0, 1 << 30)
    await journal.create("a", b"", 1e12)
    while True:
        print(await journal.append("a", [b"x" * 100] * 10), flush=True)
asyncio.run(main())
"""
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "j.db")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = 0
    while told < 500:
        told = int(process.stdout.readline())
    process.kill()
    told = max([told, *(int(line) for line in process.stdout.read().split("\n")[:-1])])
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()

    async def main() -> None:
        journal = SqliteJournal(tmp_path / "j.db", now, LIMIT)
        info = await journal.info("a")
        assert told <= info.last <= told + 10
        batch = await journal.read("a", 0, most_bytes=LIMIT)
        assert len(batch.entries) == info.last
        assert not batch.sealed
        await journal.aclose()

    asyncio.run(main())


def test_many_entries_take_no_memory(tmp_path: Path) -> None:
    """A million entries are written and read in batches; the process that does it stays as small as it was."""
    code = """
import asyncio, resource, sys
from pathlib import Path
from millstream.sessions.journal_sqlite import SqliteJournal
async def main():
    journal = SqliteJournal(Path(sys.argv[1]), lambda: 1000.0, 1 << 40)
    await journal.create("a", b"", 1e12)
    await journal.append("a", [b"x" * 30] * 1000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(999):
        last = await journal.append("a", [b"x" * 30] * 1000)
    seen = 0
    while seen < last:
        seen += len((await journal.read("a", seen)).entries)
    assert seen == 1_000_000, seen
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    await journal.aclose()
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "j.db")], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 20_000  # kilobytes


def test_several_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    """Unless that is seen to, it goes wrong for about one file in thirteen."""
    wrong: list[Exception] = []

    def make(path: Path, together: threading.Barrier) -> None:
        together.wait()
        try:
            open_database(path, "CREATE TABLE a (x);\n", 1).close()
        except sqlite3.Error as error:
            wrong.append(error)

    for number in range(150):
        together = threading.Barrier(4)
        threads = [threading.Thread(target=make, args=(tmp_path / f"{number}.db", together)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    async def main() -> None:
        journal = SqliteJournal(tmp_path / "deep/j.db", now, LIMIT)
        await journal.create("a", b"", LATER)
        for file in (tmp_path / "deep").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        await journal.aclose()

    asyncio.run(main())


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "j.db").write_text("this is no database, whatever it is called" * 100)

    async def main() -> None:
        journal = SqliteJournal(tmp_path / "j.db", now, LIMIT)
        with pytest.raises(StoreError, match=r"the journal .*j\.db cannot be used: "):
            await journal.create("a", b"", LATER)
        await journal.aclose()
        with pytest.raises(StoreError, match="is closed"):
            await journal.info("a")

    asyncio.run(main())


def test_a_full_disk_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    """The file may take no more pages; once it may, the journal goes on where it was."""

    async def main() -> None:
        journal = SqliteJournal(tmp_path / "j.db", now, LIMIT)
        await journal.create("a", b"", LATER)
        await journal.append("a", [b"1"])
        await journal._writer.ask(lambda database: database.execute("PRAGMA max_page_count = 1").fetchone())
        with pytest.raises(StoreError, match="full"):
            for _ in range(100):
                await journal.append("a", [bytes(100_000)])
        last = (await journal.info("a")).last
        await journal._writer.ask(lambda database: database.execute("PRAGMA max_page_count = 100000").fetchone())
        assert await journal.append("a", [b"2"], expected=last) == last + 1
        await journal.aclose()

    asyncio.run(main())


def test_a_file_that_can_only_be_read_is_still_read(tmp_path: Path) -> None:
    async def fill() -> None:
        journal = SqliteJournal(tmp_path / "j.db", now, LIMIT)
        await journal.create("a", b"", LATER)
        await journal.append("a", [b"1"])
        await journal.aclose()

    async def main() -> None:
        journal = SqliteJournal(tmp_path / "j.db", now, LIMIT)
        assert list((await journal.read("a", 0)).entries) == [b"1"]
        await journal._writer.ask(lambda database: database.execute("PRAGMA query_only = 1").fetchone())
        with pytest.raises(StoreError, match="readonly"):
            await journal.append("a", [b"2"])
        assert list((await journal.read("a", 0)).entries) == [b"1"]
        await journal.aclose()

    asyncio.run(fill())
    asyncio.run(main())


def test_a_journal_of_another_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "j.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()

    async def main() -> None:
        journal = SqliteJournal(tmp_path / "j.db", now, LIMIT)
        with pytest.raises(StoreError, match="version 99"):
            await journal.info("a")
        await journal.aclose()

    asyncio.run(main())


def test_a_row_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        journal = SqliteJournal(tmp_path / "j.db", now, LIMIT)
        await journal.create("a", b"", LATER)
        await journal.append("a", [b"1"])
        with sqlite3.connect(tmp_path / "j.db") as database:
            database.execute("UPDATE entries SET data = ?", (b"\xc1",))
        database.close()
        with pytest.raises(JournalError, match="cannot be read"):
            await journal.read("a", 0)
        assert (await journal.info("a")).last == 1
        await journal.aclose()

    asyncio.run(main())
