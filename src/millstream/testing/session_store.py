"""Does a store of sessions keep its promises? For whoever writes one: ``asyncio.run(check_session_store(make))``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from millstream.sessions.base import Clock, SessionStore

_MAX_BYTES = 1000
_LATER = 1000.0

Make = Callable[[Clock, int], SessionStore]
"""A new, empty store with the given clock and bound in bytes."""


async def check_session_store(make: Make) -> None:
    """Raises ``AssertionError`` where a store of ``make`` does not do what ``SessionStore`` says."""
    for check in (_keeps, _replaces, _expires, _makes_room, _refuses_what_never_fits, _serves_many):
        clock = _Clock()
        store = make(clock, _MAX_BYTES)
        try:
            await check(store, clock)
        finally:
            await store.aclose()


class _Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


async def _keeps(store: SessionStore, clock: _Clock) -> None:
    assert await store.get("a") is None
    assert await store.delete("a") is False
    for key, value in (("a", b""), ("responses/ä'\"%", bytes(range(256)))):
        assert await store.put(key, value, _LATER)
        assert await store.get(key) == value
    assert await store.delete("a") is True
    assert await store.get("a") is None
    assert await store.delete("a") is False


async def _replaces(store: SessionStore, clock: _Clock) -> None:
    for value in (b"x" * 600, b"y" * 600, b"z" * 600):
        assert await store.put("a", value, _LATER)
        assert await store.get("a") == value
    # Had the earlier values not been forgotten, there would be no room.
    await store.put("b", b"b" * 400, _LATER)
    assert await store.get("a") == b"z" * 600


async def _expires(store: SessionStore, clock: _Clock) -> None:
    await store.put("soon", b"1", 200.0)
    await store.put("late", b"2", 300.0)
    clock.time = 199.9
    assert await store.get("soon") == b"1"
    clock.time = 200.0
    assert await store.get("soon") is None
    assert await store.delete("soon") is False
    assert await store.get("late") == b"2"
    await store.put("soon", b"3", 300.0)
    assert await store.get("soon") == b"3"


async def _makes_room(store: SessionStore, clock: _Clock) -> None:
    await store.put("expired", b"e" * 300, 150.0)
    await store.put("first", b"1" * 300, _LATER)
    await store.put("second", b"2" * 300, _LATER)
    await store.put("first", b"1" * 300, _LATER)  # now the second is the oldest
    clock.time = 150.0
    await store.put("third", b"3" * 400, _LATER)
    assert [key for key in ("first", "second", "third") if await store.get(key)] == ["first", "second", "third"]
    await store.put("fourth", b"4" * 300, _LATER)
    assert [key for key in ("first", "second", "third", "fourth") if await store.get(key)] == [
        "first",
        "third",
        "fourth",
    ]
    await store.put("all", b"a" * _MAX_BYTES, _LATER)
    assert [key for key in ("first", "third", "fourth", "all") if await store.get(key)] == ["all"]


async def _refuses_what_never_fits(store: SessionStore, clock: _Clock) -> None:
    await store.put("other", b"o", _LATER)
    await store.put("a", b"a", _LATER)
    assert await store.put("a", b"a" * (_MAX_BYTES + 1), _LATER) is False
    assert await store.get("a") is None
    assert await store.get("other") == b"o"


async def _serves_many(store: SessionStore, clock: _Clock) -> None:
    async def use(number: int) -> bytes | None:
        await store.put(str(number), b"%d" % number, _LATER)
        return await store.get(str(number))

    assert await asyncio.gather(*map(use, range(100))) == [b"%d" % number for number in range(100)]
