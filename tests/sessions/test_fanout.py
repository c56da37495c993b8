"""The tail of a stream: what it holds, what it lets go of, and who waits for it."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from millstream.sessions.fanout import Tail


@given(st.lists(st.integers(1, 5), max_size=200), st.integers(1, 60), st.integers(0, 100))
def test_a_reader_gets_what_follows_without_a_hole_or_is_told_to_look_elsewhere(
    batches: list[int], most: int, start: int
) -> None:
    tail: Tail[int] = Tail(most)
    tail.unsafe_after = None
    number = 0
    for count in batches:
        tail.add(range(number + 1, number + count + 1), count)
        number += count
    assert tail.last == number
    read = start
    while read < number:
        found = tail.after(read)
        if found is None:
            later = batches[bisect_left(list(accumulate(batches)), read + 1) :]
            assert sum(later) > most  # the batches that fit the bound are held
            return
        assert found
        assert list(found) == list(range(read + 1, read + 1 + len(found)))
        read += len(found)
    assert tail.after(read) == ()


def test_what_is_kept_nowhere_else_is_not_let_go_of() -> None:
    tail: Tail[int] = Tail(10)
    for number in range(1, 101):
        tail.add([number], 1)
    assert tail.after(0) is not None
    tail.unsafe_after = 50
    tail.add([101], 1)
    assert tail.after(0) is None
    assert tail.after(50) is not None
    tail.unsafe_after = None
    tail.add([102], 1)
    assert tail.after(50) is None
    assert tail.after(92) is not None


def test_memory_does_not_grow_with_what_has_passed() -> None:
    tail: Tail[bytes] = Tail(1000)
    tail.unsafe_after = None
    for _ in range(20_000):
        tail.add([b"x" * 10], 10)
    assert len(tail._batches) < 400


def test_those_who_wait_are_told_of_news_and_of_the_end() -> None:
    async def main() -> None:
        tail: Tail[int] = Tail(10)
        waiting = [asyncio.create_task(tail.wait(0)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait({waiting[0]})
        tail.add([1], 1)
        await asyncio.gather(*waiting[1:])
        await tail.wait(0)
        last = asyncio.create_task(tail.wait(1))
        await asyncio.sleep(0)
        assert not last.done()
        tail.close()
        await last

    asyncio.run(main())
