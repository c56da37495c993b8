"""Conversations in every journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from millstream.sessions.history import Answered, Asked, History, NoSuchSession, Summarised, whose
from millstream.sessions.journal import Journal, SequenceConflict
from millstream.sessions.journal_memory import MemoryJournal
from millstream.sessions.journal_sqlite import SqliteJournal

ANN, BOB = whose("key", "ann"), whose("key", "bob")
ASKED = Asked("msg_1u", "run_1", 1, "Hi", 3, {"page": 1})
ANSWERED = Answered("msg_1", "run_1", 2, "Hello", 4, intent="greet", suggestions=("More",))


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture(params=["memory", "sqlite"])
def journal_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Clock], Journal]:
    if request.param == "memory":
        return lambda now: MemoryJournal(now, 2**24)
    return lambda now: SqliteJournal(tmp_path / "j.db", now, 2**24)


@asynccontextmanager
async def history(
    journal_of: Callable[[Clock], Journal], now: Clock | None = None, most: int = 10
) -> AsyncIterator[History]:
    now = now or Clock()
    journal = journal_of(now)
    try:
        yield History(journal, now, 60.0, most)
    finally:
        await journal.aclose()


def test_what_was_said_is_read_back_in_order(journal_of: Callable[[Clock], Journal]) -> None:
    async def main() -> None:
        async with history(journal_of) as kept:
            made = await kept.create(ANN, "s1", "Hi")
            asked = await kept.add(ANN, made, ASKED)
            assert asked.pending == ASKED
            await kept.add(ANN, asked, ANSWERED, Summarised("msg_1u", "They said hi."))
            found = await kept.load(ANN, "s1")
            assert found.entries == (ASKED, ANSWERED, Summarised("msg_1u", "They said hi."))
            assert found.pending is None
            assert found.last_answer == ANSWERED
            assert (found.about.title, found.about.messages) == ("Hi", 2)

    asyncio.run(main())


def test_of_two_who_ask_at_once_one_is_told(journal_of: Callable[[Clock], Journal]) -> None:
    async def main() -> None:
        async with history(journal_of) as kept:
            made = await kept.create(ANN, "s1", "Hi")
            await kept.add(ANN, made, ASKED, alone=True)
            with pytest.raises(SequenceConflict):
                await kept.add(ANN, made, ASKED, alone=True)

    asyncio.run(main())


def test_nobody_finds_what_is_anothers(journal_of: Callable[[Clock], Journal]) -> None:
    async def main() -> None:
        async with history(journal_of) as kept:
            await kept.create(ANN, "s1", "Hi")
            with pytest.raises(NoSuchSession):
                await kept.load(BOB, "s1")
            assert await kept.list(BOB) == []
            assert not await kept.delete(BOB, "s1")
            assert [session_id for session_id, _, _ in await kept.list(ANN)] == ["s1"]

    asyncio.run(main())


def test_users_of_two_keys_are_not_the_same_whatever_they_are_called() -> None:
    assert len({whose("k", "a"), whose("", "ka"), whose("ka", ""), whose("l", "a")}) == 4


def test_the_one_used_last_comes_first_and_too_many_push_out_the_oldest(
    journal_of: Callable[[Clock], Journal],
) -> None:
    async def main() -> None:
        now = Clock()
        async with history(journal_of, now, most=3) as kept:
            for name in ("a", "b", "c"):
                now.time += 1
                await kept.create(ANN, name, name)
            now.time += 1
            await kept.add(ANN, await kept.load(ANN, "b"), ASKED)
            assert [one[0] for one in await kept.list(ANN)] == ["b", "c", "a"]
            await kept.create(ANN, "d", "d")
            await kept.forget_oldest(ANN)
            assert {one[0] for one in await kept.list(ANN)} == {"b", "c", "d"}

    asyncio.run(main())


def test_what_is_used_is_kept_and_what_is_not_is_forgotten(journal_of: Callable[[Clock], Journal]) -> None:
    async def main() -> None:
        now = Clock()
        async with history(journal_of, now) as kept:
            await kept.create(ANN, "idle", "i")
            used = await kept.create(ANN, "used", "u")
            now.time += 40
            await kept.add(ANN, used, ASKED, ANSWERED)
            now.time += 40
            assert (await kept.load(ANN, "used")).entries == (ASKED, ANSWERED)
            with pytest.raises(NoSuchSession):
                await kept.load(ANN, "idle")

    asyncio.run(main())


def test_nothing_is_added_to_what_was_deleted(journal_of: Callable[[Clock], Journal]) -> None:
    async def main() -> None:
        async with history(journal_of) as kept:
            made = await kept.create(ANN, "s1", "Hi")
            assert await kept.delete(ANN, "s1")
            assert not await kept.delete(ANN, "s1")
            with pytest.raises(NoSuchSession):
                await kept.add(ANN, made, ASKED)

    asyncio.run(main())


def test_of_a_very_long_one_what_is_left_is_read() -> None:
    async def main() -> None:
        async with history(lambda now: MemoryJournal(now, 20_000)) as kept:
            loaded = await kept.create(ANN, "s1", "Hi")
            for number in range(100):
                loaded = await kept.add(ANN, loaded, Asked(f"m{number}", "r", 1, "x" * 500, 1))
            found = await kept.load(ANN, "s1")
            assert 0 < len(found.entries) < 100
            assert found.entries[-1] == loaded.entries[-1]
            assert found.last == 100

    asyncio.run(main())
