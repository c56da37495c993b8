"""Sessions in real servers of Redis and Valkey, also one that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
from redis_server import RedisServer, redis_server

from millstream.sessions.base import StoreError
from millstream.sessions.redis import RedisStore
from millstream.testing.session_store import check_session_store

FOREVER = 1e12


@pytest.fixture(scope="module", params=["redis", "valkey"])
def shared(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with redis_server(request.param) as server:
        yield server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def _store(server: RedisServer, patience: float = 20.0) -> RedisStore:
    return RedisStore(server.url, lambda: 0.0, 100_000, patience=patience)


def test_redis_keeps_the_promises_of_a_store(shared: RedisServer) -> None:
    numbers = count()
    asyncio.run(
        check_session_store(lambda now, most: RedisStore(shared.url, now, most, prefix=f"{{check{next(numbers)}}}:"))
    )


def test_what_one_gateway_kept_another_reads(shared: RedisServer) -> None:
    async def main() -> None:
        here, there = _store(shared), _store(shared)
        await here.put("a", b"1", FOREVER)
        assert await there.get("a") == b"1"
        assert await there.delete("a")
        assert await here.get("a") is None
        await here.aclose()
        await there.aclose()
        with pytest.raises(StoreError, match="is closed"):
            await here.get("a")

    asyncio.run(main())


def test_a_restart_in_between_is_not_noticed(server: RedisServer) -> None:
    async def main() -> None:
        store = _store(server)
        await store.put("a", b"1", FOREVER)
        server.stop()
        asking = asyncio.create_task(store.get("a"))
        await asyncio.to_thread(server.start)
        assert await asking == b"1"
        await store.aclose()

    asyncio.run(main())


def test_a_server_that_is_not_there_is_an_error_soon(server: RedisServer) -> None:
    async def main() -> None:
        store = _store(server, patience=0.5)
        server.stop()
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="the session store in Redis cannot be used: "):
                await store.get("a")
        await asyncio.to_thread(server.start)
        assert await store.get("a") is None
        await store.aclose()

    asyncio.run(main())


def test_a_server_that_does_not_answer_is_an_error_soon(server: RedisServer) -> None:
    async def main() -> None:
        store = _store(server, patience=0.5)
        await store.put("a", b"1", FOREVER)
        server.pause()
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="cannot be used"):
                await store.get("a")
        server.go_on()
        await store.aclose()
        later = _store(server)
        assert await later.get("a") == b"1"
        await later.aclose()

    asyncio.run(main())


def test_a_full_server_says_so_and_is_still_read(server: RedisServer) -> None:
    async def main() -> None:
        store = _store(server)
        await store.put("a", b"1", FOREVER)
        server.say("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreError, match="it is full"):
            await store.put("a", b"2", FOREVER)
        assert await store.get("a") == b"1"
        server.say("CONFIG", "SET", "maxmemory", "0")
        assert await store.put("a", b"2", FOREVER)
        await store.aclose()

    asyncio.run(main())


def test_a_password_that_is_wrong_is_told_and_not_shown(server: RedisServer) -> None:
    async def main() -> None:
        server.say("CONFIG", "SET", "requirepass", "right")
        store = RedisStore(server.url + "?password=secret-word", lambda: 0.0, 1000, patience=0.5)
        with pytest.raises(StoreError, match="password") as told:
            await store.get("a")
        assert "secret-word" not in str(told.value)
        await store.aclose()

    asyncio.run(main())
