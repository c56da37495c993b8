"""Rates, and amounts that are reserved first and set right afterwards."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.errors import Kind, PolicyRefusal
from millstream.policy.budget import MemoryLedger, Window, minute_of, period_of
from millstream.policy.ratelimit import Rates

WINDOW = Window(0, 60)


def test_one_more_than_the_rate_is_told_when_to_come_back() -> None:
    async def main() -> None:
        import time

        rates = Rates(time.time)
        for _ in range(3):
            await rates.take("requests", "a", 3)
        with pytest.raises(PolicyRefusal) as caught:
            await rates.take("requests", "a", 3)
        assert (caught.value.status, caught.value.kind) == (429, Kind.RATE_LIMIT)
        assert caught.value.retry_after is not None
        assert 1 <= caught.value.retry_after <= 60
        await rates.take("requests", "b", 3)  # somebody else
        await rates.take("messages", "a", 3)  # something else

    asyncio.run(main())


def test_reservations_count_before_anything_is_spent() -> None:
    async def main() -> None:
        ledger = MemoryLedger(lambda: 30.0)
        answers = await asyncio.gather(*(ledger.reserve("a", WINDOW, 40, 100) for _ in range(5)))
        assert answers.count(True) == 2
        await ledger.correct("a", WINDOW, 10 - 40)
        assert await ledger.reserve("a", WINDOW, 40, 100)
        assert not await ledger.reserve("a", WINDOW, 40, 100)

    asyncio.run(main())


def test_what_is_larger_than_the_limit_gets_in_alone() -> None:
    async def main() -> None:
        ledger = MemoryLedger(lambda: 30.0)
        assert await ledger.reserve("a", WINDOW, 500, 100)
        assert not await ledger.reserve("a", WINDOW, 1, 100)

    asyncio.run(main())


def test_a_new_window_begins_at_what_was_used_before_a_restart() -> None:
    async def used() -> int:
        return 90

    async def main() -> None:
        ledger = MemoryLedger(lambda: 30.0)
        assert not await ledger.reserve("a", WINDOW, 20, 100, used)
        assert await ledger.reserve("a", WINDOW, 10, 100, used)
        assert await ledger.reserve("a", Window(60, 120), 20, 100)

    asyncio.run(main())


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 60)), max_size=40))
def test_when_estimates_err_high_no_more_than_the_limit_is_ever_spent(calls: list[tuple[int, int]]) -> None:
    async def main() -> None:
        ledger = MemoryLedger(lambda: 30.0)
        spent = 0
        for estimate, share in calls:
            if await ledger.reserve("a", WINDOW, estimate, 100):
                actual = min(share, estimate)
                spent += actual
                await ledger.correct("a", WINDOW, actual - estimate)
        assert spent <= 100

    asyncio.run(main())


def test_ended_windows_are_forgotten() -> None:
    async def main() -> None:
        now = 30.0
        ledger = MemoryLedger(lambda: now)
        await ledger.reserve("a", WINDOW, 100, 100)
        now = 1000.0
        await ledger.reserve("b", minute_of(now), 1, 100)
        await ledger.correct("a", WINDOW, 5)
        assert ledger._used.keys() == {("b", minute_of(now))}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("now", "period", "start", "end"),
    [
        ("2026-12-31T23:59:59", "month", "2026-12-01", "2027-01-01"),
        ("2028-02-29T12:00:00", "month", "2028-02-01", "2028-03-01"),
        ("2028-02-29T12:00:00", "day", "2028-02-29", "2028-03-01"),
    ],
)
def test_periods_are_the_calendars(now: str, period: str, start: str, end: str) -> None:
    def at(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())

    assert period_of(at(now), "day" if period == "day" else "month") == Window(at(start), at(end))
