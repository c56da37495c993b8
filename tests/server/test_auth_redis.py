"""Limits that several gateways count together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator

import pytest
from redis_server import RedisServer, redis_server

from millstream.core.errors import PolicyRefusal, UpstreamFault
from millstream.policy.budget import period_of
from millstream.policy.ratelimit import Rates
from millstream.server.ledger import RedisLedger
from millstream.sessions.base import StoreError


@pytest.fixture(scope="module")
def server() -> Generator[RedisServer]:
    with redis_server() as found:
        yield found


def test_two_gateways_reserve_from_one_budget(server: RedisServer) -> None:
    async def main() -> None:
        window = period_of(time.time(), "day")
        one, other = RedisLedger(server.url), RedisLedger(server.url)
        try:
            answers = await asyncio.gather(
                *(ledger.reserve("a", window, 30, 100) for ledger in (one, other) for _ in range(10))
            )
            assert answers.count(True) == 3
            await other.correct("a", window, -30)
            assert await one.reserve("a", window, 30, 100)
            assert not await other.reserve("a", window, 30, 100)
            assert await other.reserve("b", window, 500, 100)
            assert not await one.reserve("b", window, 1, 100)
            await one.correct("never-reserved", window, 5)
        finally:
            await one.aclose()
            await other.aclose()

    asyncio.run(main())


def test_a_new_window_begins_at_what_was_used_before(server: RedisServer) -> None:
    async def used() -> int:
        return 90

    async def main() -> None:
        window = period_of(time.time(), "month")
        ledger = RedisLedger(server.url)
        try:
            assert not await ledger.reserve("c", window, 20, 100, used)
            assert await ledger.reserve("c", window, 10, 100, used)
            assert not await ledger.reserve("c", window, 1, 100, used)
        finally:
            await ledger.aclose()

    asyncio.run(main())


def test_two_gateways_share_a_rate(server: RedisServer) -> None:
    async def main() -> None:
        one, other = Rates(time.time, server.url), Rates(time.time, server.url)
        try:
            await one.take("requests", "a", 2)
            await other.expect("requests", "a", 2)
            await other.take("requests", "a", 2)
            for rates in (one, other):
                with pytest.raises(PolicyRefusal) as caught:
                    await rates.take("requests", "a", 2)
                assert caught.value.status == 429
        finally:
            await one.aclose()
            await other.aclose()

    asyncio.run(main())


def test_a_store_that_is_away_lets_nobody_in() -> None:
    async def main() -> None:
        rates = Rates(time.time, "redis://127.0.0.1:1/0")
        with pytest.raises(UpstreamFault) as caught:
            await rates.take("requests", "a", 2)
        assert caught.value.status == 503
        await rates.aclose()
        ledger = RedisLedger("redis://127.0.0.1:1/0")
        with pytest.raises(StoreError):
            await ledger.reserve("a", period_of(time.time(), "day"), 1, 2)
        await ledger.aclose()

    asyncio.run(main())
