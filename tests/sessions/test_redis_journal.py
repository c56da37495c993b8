"""The journal in real servers of Redis and Valkey, also one that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
from redis_server import RedisServer, redis_server

from millstream.sessions.base import StoreError
from millstream.sessions.journal import NoSuchStream
from millstream.sessions.journal_redis import RedisJournal
from millstream.testing.journal import check_journal

LATER = 1e12
LIMIT = 64 * 1024 * 1024


@pytest.fixture(scope="module", params=["redis", "valkey"])
def shared(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with redis_server(request.param) as server:
        yield server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


def _journal(server: RedisServer, patience: float = 20.0, most: int = LIMIT) -> RedisJournal:
    return RedisJournal(server.url, lambda: 1000.0, most, patience=patience)


def test_redis_keeps_the_promises_of_a_journal(shared: RedisServer) -> None:
    numbers = count()
    asyncio.run(
        check_journal(lambda now, most: RedisJournal(shared.url, now, most, prefix=f"{{check{next(numbers)}}}:"))
    )


def test_a_restart_in_the_middle_loses_and_doubles_nothing(server: RedisServer) -> None:
    """Several writers go on while the server is killed and started: each of their entries is there once."""

    async def main() -> None:
        journal = _journal(server)
        reader = _journal(server)
        for key in ("a", "b", "c"):
            await journal.create(key, b"", LATER)

        async def write(key: str) -> None:
            for number in range(300):
                await journal.append(key, [b"%d" % number])
            await journal.seal(key)

        async def read(key: str) -> list[bytes]:
            found: list[bytes] = []
            while True:
                assert await reader.wait(key, len(found), 60)
                batch = await reader.read(key, len(found))
                found += batch.entries
                if batch.sealed:
                    return found

        async def disturb() -> None:
            for _ in range(2):
                await reader.wait("a", (await reader.info("a")).last + 20, 60)
                server.stop()
                await asyncio.to_thread(server.start)

        reading = [asyncio.create_task(read(key)) for key in ("a", "b", "c")]
        await asyncio.gather(*(write(key) for key in ("a", "b", "c")), disturb())
        for found in await asyncio.gather(*reading):
            assert found == [b"%d" % number for number in range(300)]
        await journal.aclose()
        await reader.aclose()

    asyncio.run(main())


def test_an_answer_that_got_lost_is_asked_for_again_and_nothing_done_twice(server: RedisServer) -> None:
    """The server stands still after it was sent an entry; its writer gives up, and the entry comes later. What the
    writer appends next comes after it or instead of it, and neither comes twice."""

    async def main() -> None:
        journal = _journal(server, patience=0.5)
        await journal.create("a", b"", LATER)
        await journal.append("a", [b"1"])
        server.pause()
        with pytest.raises(StoreError):
            await journal.append("a", [b"2"])
        server.go_on()
        after = _journal(server)
        await after.info("a")
        await journal.append("a", [b"3"])
        entries = list((await after.read("a", 0)).entries)
        assert entries in ([b"1", b"2", b"3"], [b"1", b"3"])
        await journal.aclose()
        await after.aclose()

    asyncio.run(main())


def test_a_server_that_is_not_there_is_an_error_soon_also_for_those_who_wait(server: RedisServer) -> None:
    async def main() -> None:
        journal = _journal(server, patience=0.5)
        await journal.create("a", b"", LATER)
        waiting = asyncio.create_task(journal.wait("a", 0, 600))
        assert not await journal.wait("a", 0, 0.05)
        server.stop()
        async with asyncio.timeout(20):
            with pytest.raises(StoreError, match="the journal in Redis cannot be used: "):
                await journal.append("a", [b"1"])
            with pytest.raises(StoreError):
                await waiting
        await asyncio.to_thread(server.start)
        assert await journal.append("a", [b"1"]) == 1
        await journal.aclose()
        with pytest.raises(StoreError, match="is closed"):
            await journal.info("a")

    asyncio.run(main())


def test_who_waits_sleeps_through_a_restart_and_hears_what_comes_after_it(server: RedisServer) -> None:
    async def main() -> None:
        here, there = _journal(server), _journal(server)
        await here.create("a", b"", LATER)
        waiting = asyncio.create_task(here.wait("a", 0, 600))
        assert not await here.wait("a", 0, 0.05)
        server.stop()
        await asyncio.to_thread(server.start)
        await there.append("a", [b"1"])
        async with asyncio.timeout(30):
            assert await waiting
        await here.aclose()
        await there.aclose()

    asyncio.run(main())


def test_a_full_server_says_so_and_is_still_read(server: RedisServer) -> None:
    async def main() -> None:
        journal = _journal(server)
        await journal.create("a", b"", LATER)
        await journal.append("a", [b"1"])
        server.say("CONFIG", "SET", "maxmemory", "1")
        for refused in (journal.append("a", [b"2"]), journal.seal("a", [b"2"]), journal.create("b", b"", LATER)):
            with pytest.raises(StoreError, match="it is full"):
                await refused
        assert list((await journal.read("a", 0)).entries) == [b"1"]
        server.say("CONFIG", "SET", "maxmemory", "0")
        assert await journal.append("a", [b"2"], expected=1) == 2
        await journal.aclose()

    asyncio.run(main())


def test_a_stream_whose_entries_were_evicted_is_gone(server: RedisServer) -> None:
    """As a server does that is told to make room by itself."""

    async def main() -> None:
        journal = _journal(server)
        await journal.create("a", b"", LATER)
        await journal.append("a", [b"1"])
        assert server.say("DEL", "{millstream}:journal:entries:a") == b":1\r\n"
        with pytest.raises(NoSuchStream):
            await journal.read("a", 0)
        assert await journal.create("a", b"new", LATER)
        assert await journal.append("a", [b"2"]) == 1
        await journal.aclose()

    asyncio.run(main())


def test_one_who_waits_for_many_streams_hears_of_each(shared: RedisServer) -> None:
    """More than channels are kept open for: those that nobody waits for are left."""

    async def main() -> None:
        here, there = _journal(shared), _journal(shared)
        keys = [f"many/{number}" for number in range(300)]
        for key in keys:
            await there.create(key, b"", LATER)
        waiting = [asyncio.create_task(here.wait(key, 0, 60)) for key in keys]
        await asyncio.gather(*(there.append(key, [b"1"]) for key in keys))
        assert all(await asyncio.gather(*waiting))
        for number in range(1, 50):  # unheard
            await there.append(keys[0], [b"%d" % number])
        again = asyncio.create_task(here.wait(keys[0], 50, 60))
        assert not await here.wait(keys[0], 50, 0.02)
        await there.seal(keys[0])
        assert await again
        await here.aclose()
        await there.aclose()

    asyncio.run(main())


def test_a_list_longer_than_a_page_is_whole(shared: RedisServer) -> None:
    async def main() -> None:
        journal = _journal(shared)
        await asyncio.gather(*(journal.create(f"page/{number:04}", b"", LATER) for number in range(1100)))
        names = [info.key for info in await journal.list("page/", most=5000)]
        assert names == [f"page/{number:04}" for number in reversed(range(1100))]
        assert [info.key for info in await journal.list("page/", most=2)] == ["page/1099", "page/1098"]
        await journal.aclose()

    asyncio.run(main())


def test_many_entries_take_only_the_room_they_may(shared: RedisServer) -> None:
    """A stream of a million entries in a journal that may be two megabytes large."""

    async def main() -> None:
        journal = RedisJournal(shared.url, lambda: 1000.0, 2_000_000, prefix="{large}:")
        await journal.create("a", b"", LATER)
        last = 0
        for _ in range(200):
            last = await journal.append("a", [b"x" * 30] * 5000)
        info = await journal.info("a")
        assert (last, info.last) == (1_000_000, 1_000_000)
        assert 1_800_000 < info.size <= 2_000_000
        assert info.size == (info.last - info.first + 1) * 30
        batch = await journal.read("a", last - 10)
        assert len(batch.entries) == 10
        await journal.aclose()

    asyncio.run(main())


def test_large_entries_cost_the_server_no_more_than_is_asked_for(server: RedisServer) -> None:
    """It looks at little more than one of them: it does one thing at a time, and everyone waits."""

    def memory(name: str) -> int:
        fields = dict(line.split(":") for line in server.say("INFO", "memory").decode().splitlines() if ":" in line)
        return int(fields[name])

    async def main() -> None:
        journal = _journal(server)
        await journal.create("large", b"", LATER)
        for _ in range(60):
            await journal.append("large", [bytes(500_000)])
        for after in range(60):
            assert len((await journal.read("large", after)).entries) == 1
        assert memory("used_memory_peak") - memory("used_memory") < 10_000_000
        await journal.aclose()

    asyncio.run(main())
