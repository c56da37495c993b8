"""Does a journal keep its promises? For whoever writes one: ``asyncio.run(check_journal(make))``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from millstream.sessions.base import Clock
from millstream.sessions.journal import (
    Journal,
    JournalError,
    NoSuchStream,
    SequenceConflict,
    StreamInfo,
    StreamSealed,
    Trimmed,
)

_LATER = 1e12
_MAX_BYTES = 64 * 1024

Make = Callable[[Clock, int], Journal]
"""A new, empty journal with the given clock and bound in bytes."""


async def check_journal(make: Make) -> None:
    """Raises ``AssertionError`` where a journal of ``make`` does not do what ``Journal`` says."""
    checks = (
        _numbers_without_holes,
        _creates_once,
        _reads_from_anywhere,
        _refuses_what_cannot_be,
        _reads_in_pieces,
        _seals,
        _changes_what_it_is_about,
        _wakes_who_waits,
        _leases,
        _expires,
        _lists,
        _deletes,
        _bounds_itself,
        _bounds_what_comes_many_at_a_time,
        _keeps_writers_apart,
        _serves_many,
    )
    for check in checks:
        clock = _Clock()
        journal = make(clock, _MAX_BYTES)
        try:
            await check(journal, clock)
        finally:
            await journal.aclose()


class _Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


async def _refused(kind: type[JournalError], asked: Awaitable[object]) -> JournalError:
    try:
        answer = await asked
    except kind as error:
        if type(error) is kind:
            return error
        answer = error
    raise AssertionError(f"{answer!r} instead of {kind.__name__}")


async def _numbers_without_holes(journal: Journal, _: _Clock) -> None:
    await journal.create("a", b"", _LATER)
    assert (await journal.info("a")).last == 0
    assert await journal.append("a", [b"1"]) == 1
    assert await journal.append("a", []) == 1
    assert await journal.append("a", [b"", bytes(range(256))]) == 3
    batch = await journal.read("a", 0)
    assert (batch.first, list(batch.entries), batch.sealed) == (1, [b"1", b"", bytes(range(256))], False)
    batch = await journal.read("a", 2)
    assert (batch.first, list(batch.entries)) == (3, [bytes(range(256))])
    batch = await journal.read("a", 3)
    assert (list(batch.entries), batch.sealed) == ([], False)


async def _creates_once(journal: Journal, clock: _Clock) -> None:
    assert await journal.create("a", b"about", _LATER)
    assert not await journal.create("a", b"another", _LATER)
    info = await journal.info("a")
    assert (info.key, info.about, info.created, info.expires) == ("a", b"about", clock.time, _LATER)
    assert (info.first, info.last, info.size, info.sealed) == (1, 0, 0, False)


async def _reads_from_anywhere(journal: Journal, _: _Clock) -> None:
    """However many came together."""
    said = [bytes([number % 251]) * (number % 80) for number in range(500)]
    await journal.create("a", b"", _LATER)
    begin = 0
    for many in (1, 7, 2, 300, 190):
        await journal.append("a", said[begin : begin + many])
        begin += many
    for after in (0, 1, 5, 8, 10, 150, 309, 310, 311, 499, 500):
        for most in (1, 1000, 10**6):
            batch = await journal.read("a", after, most)
            entries = list(batch.entries)
            assert (batch.first, entries) == (after + 1, said[after : after + len(entries)])
            assert entries or after == 500
            assert len(entries) <= 1 or sum(map(len, entries)) <= most
        assert after + len(entries) == 500


async def _refuses_what_cannot_be(journal: Journal, _: _Clock) -> None:
    for asked in (journal.append("a", [b"1"]), journal.read("a", 0), journal.info("a"), journal.seal("a")):
        await _refused(NoSuchStream, asked)
    await _refused(NoSuchStream, journal.wait("a", 0, 5))
    await _refused(NoSuchStream, journal.lease("a", "h", 1))
    await _refused(NoSuchStream, journal.keep("a", 1))
    assert not await journal.delete("a")
    await journal.create("a", b"", _LATER)
    await journal.append("a", [b"1"])
    await _refused(JournalError, journal.read("a", 2))


async def _reads_in_pieces(journal: Journal, _: _Clock) -> None:
    await journal.create("a", b"", _LATER)
    entries = [b"%05d" % number for number in range(1, 101)]
    await journal.append("a", entries)
    found: list[bytes] = []
    while len(found) < len(entries):
        batch = await journal.read("a", len(found), most_bytes=23)
        assert batch.first == len(found) + 1
        assert 1 <= len(batch.entries) <= 4
        found += batch.entries
    assert found == entries
    assert list((await journal.read("a", 0, most_bytes=1)).entries) == [b"00001"]


async def _seals(journal: Journal, _: _Clock) -> None:
    await journal.create("a", b"", _LATER)
    await journal.append("a", [b"1"])
    assert await journal.seal("a", [b"2", b"3"]) == 3
    assert await journal.seal("a", [b"4"]) == 3
    await _refused(StreamSealed, journal.append("a", [b"4"]))
    assert not (await journal.read("a", 0, most_bytes=2)).sealed
    batch = await journal.read("a", 2)
    assert (list(batch.entries), batch.sealed) == ([b"3"], True)
    assert (await journal.read("a", 3)).sealed
    assert await journal.wait("a", 3, 0.001)
    assert (await journal.info("a")).sealed


async def _changes_what_it_is_about(journal: Journal, _: _Clock) -> None:
    await journal.create("a", b"one", _LATER)
    await journal.append("a", [b"1"], about=b"two")
    assert (await journal.info("a")).about == b"two"
    await _refused(SequenceConflict, journal.append("a", [b"2"], expected=7, about=b"three"))
    assert (await journal.info("a")).about == b"two"
    await _refused(SequenceConflict, journal.seal("a", expected=0))
    await journal.seal("a", [b"2"], expected=1, about=b"four")
    assert (await journal.info("a")).about == b"four"


async def _wakes_who_waits(journal: Journal, _: _Clock) -> None:
    await journal.create("a", b"", _LATER)
    assert not await journal.wait("a", 0, 0.001)
    waiting = [asyncio.create_task(journal.wait("a", after, 30)) for after in (0, 0, 1)]
    await journal.append("a", [b"1"])
    assert await waiting[0]
    assert await waiting[1]
    await journal.seal("a")
    assert await waiting[2]


async def _leases(journal: Journal, clock: _Clock) -> None:
    await journal.create("runs/1", b"", _LATER)
    assert await journal.lease("runs/1", "me", 10)
    assert await journal.lease("runs/1", "me", 10)
    assert not await journal.lease("runs/1", "other", 10)
    assert not await journal.orphans("runs/")
    clock.time += 11
    assert [info.key for info in await journal.orphans("runs/")] == ["runs/1"]
    assert not await journal.orphans("others/")
    assert await journal.lease("runs/1", "other", 10)
    assert not await journal.lease("runs/1", "me", 10)
    clock.time += 11
    await journal.seal("runs/1")
    assert not await journal.orphans("runs/")


async def _expires(journal: Journal, clock: _Clock) -> None:
    await journal.create("a", b"", clock.time + 10)
    await journal.create("b", b"", clock.time + 10)
    await journal.append("a", [b"1"])
    await journal.keep("b", clock.time + 100)
    clock.time += 11
    await _refused(NoSuchStream, journal.read("a", 0))
    assert [info.key for info in await journal.list("")] == ["b"]
    assert await journal.create("a", b"new", _LATER)
    assert (await journal.info("a")).last == 0


async def _lists(journal: Journal, clock: _Clock) -> None:
    for key in ("runs/1", "runs/2", "runs/ä%_*", "other"):
        await journal.create(key, b"", _LATER)
        clock.time += 1
    await journal.append("runs/2", [b"1"])
    assert [info.key for info in await journal.list("runs/")] == ["runs/ä%_*", "runs/2", "runs/1"]
    assert [info.key for info in await journal.list("runs/", most=1)] == ["runs/ä%_*"]
    assert [info.last for info in await journal.list("runs/2")] == [1]
    assert len(await journal.list("")) == 4


async def _deletes(journal: Journal, _: _Clock) -> None:
    await journal.create("a", b"", _LATER)
    await journal.append("a", [b"1"])
    assert await journal.delete("a")
    assert not await journal.delete("a")
    await _refused(NoSuchStream, journal.read("a", 0))
    await journal.create("a", b"", _LATER)
    assert not (await journal.read("a", 0)).entries


async def _bounds_itself(journal: Journal, _: _Clock) -> None:
    await journal.create("old", b"", _LATER)
    await journal.seal("old", [bytes(1000)])
    await journal.create("growing", b"", _LATER)
    last = 0
    for _round in range(300):
        last = await journal.append("growing", [bytes(1000)])
    info = await _trimmed(journal, "growing")
    assert info.last == last == 300
    await _refused(NoSuchStream, journal.info("old"))


async def _bounds_what_comes_many_at_a_time(journal: Journal, _: _Clock) -> None:
    await journal.create("growing", b"", _LATER)
    for begin in range(1, 1001, 50):
        await journal.append("growing", [b"%0500d" % number for number in range(begin, begin + 50)])
    info = await _trimmed(journal, "growing")
    assert info.last == 1000
    assert info.first < 990
    for number in (info.first, info.first + 1, 1000):
        assert (await journal.read("growing", number - 1, 1)).entries == [b"%0500d" % number]


async def _trimmed(journal: Journal, key: str) -> StreamInfo:
    info = await journal.info(key)
    assert info.first > 1
    assert info.size <= _MAX_BYTES * 1.1
    trimmed = await _refused(Trimmed, journal.read(key, 0))
    assert isinstance(trimmed, Trimmed)
    assert trimmed.first == info.first
    assert (await journal.read(key, info.first - 1)).first == info.first
    return info


async def _keeps_writers_apart(journal: Journal, _: _Clock) -> None:
    """Two who write one stream: of each number there is one entry, and whoever lost knows it."""
    await journal.create("a", b"", _LATER)

    async def write(name: bytes) -> int:
        won = 0
        for _round in range(20):
            last = (await journal.info("a")).last
            try:
                await journal.append("a", [name], expected=last)
            except SequenceConflict:
                continue
            won += 1
        return won

    x, y = await asyncio.gather(write(b"x"), write(b"y"))
    entries = list((await journal.read("a", 0)).entries)
    assert (entries.count(b"x"), entries.count(b"y")) == (x, y)
    assert (await journal.info("a")).last == x + y


async def _serves_many(journal: Journal, _: _Clock) -> None:
    async def one(key: str) -> None:
        await journal.create(key, b"", _LATER)
        for number in range(1, 11):
            assert await journal.append(key, [b"%d" % number], expected=number - 1) == number
        assert list((await journal.read(key, 8)).entries) == [b"9", b"10"]

    await asyncio.gather(*(one(f"many/{number}") for number in range(50)))
    assert len(await journal.list("many/")) == 50
