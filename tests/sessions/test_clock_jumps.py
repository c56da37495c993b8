"""Journals whose clock is set while they work: by an administrator, or by a machine that wakes up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis_server import redis_server

from millstream.sessions.base import Clock
from millstream.sessions.journal import Journal, NoSuchStream
from millstream.sessions.journal_memory import MemoryJournal
from millstream.sessions.journal_redis import RedisJournal
from millstream.sessions.journal_sqlite import SqliteJournal

LATER = 1e12
LIMIT = 64 * 1024 * 1024
Make = Callable[[Clock], Journal]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    if request.param == "memory":
        yield lambda now: MemoryJournal(now, LIMIT)
    elif request.param == "sqlite":
        yield lambda now: SqliteJournal(tmp_path / "j.db", now, LIMIT)
    else:
        with redis_server() as server:
            yield lambda now: RedisJournal(server.url, now, LIMIT)


def test_numbers_and_waiting_do_not_care_what_time_it_is(make: Make) -> None:
    async def main() -> None:
        time = 1000.0
        journal = make(lambda: time)
        await journal.create("a", b"", LATER)
        waiting = asyncio.create_task(journal.wait("a", 3, 60))
        for time in (5000.0, 10.0, 90000.0):  # the clock reads it
            await journal.append("a", [b"%d" % time])
        await journal.append("a", [b"last"], expected=3)
        async with asyncio.timeout(30):
            assert await waiting
        assert list((await journal.read("a", 0)).entries) == [b"5000", b"10", b"90000", b"last"]
        await journal.aclose()

    asyncio.run(main())


def test_a_lease_can_be_renewed_after_the_clock_was_put_back(make: Make) -> None:
    """Whoever holds it goes on; a stranger waits until the time comes again."""

    async def main() -> None:
        time = 1000.0
        journal = make(lambda: time)
        await journal.create("a", b"", LATER)
        assert await journal.lease("a", "me", 5)
        time = 500.0
        assert await journal.lease("a", "me", 5)
        assert not await journal.lease("a", "other", 5)
        time = 505.0
        assert [info.key for info in await journal.orphans("")] == ["a"]
        assert await journal.lease("a", "other", 5)
        await journal.aclose()

    asyncio.run(main())


def test_a_name_that_expired_is_free_and_stays_its_new_owners_when_the_clock_is_put_back(
    make: Make,
) -> None:
    async def main() -> None:
        time = 1000.0
        journal = make(lambda: time)
        await journal.create("a", b"", 2000.0)
        time = 3000.0
        with pytest.raises(NoSuchStream):
            await journal.info("a")
        assert await journal.create("a", b"new", 4000.0)
        time = 1000.0
        assert (await journal.info("a")).about == b"new"
        await journal.aclose()

    asyncio.run(main())
