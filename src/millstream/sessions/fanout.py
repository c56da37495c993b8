"""One producer, many readers in this process: the latest entries of a stream, and a way to wait for further ones.

Only as much is held as fits a bound. A reader that fell further behind reads the stream's journal instead, until it has
caught up; nobody waits for it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_ONE_READ = 64 * 1024
"""Bytes of batches that a reader who lags is given at once."""


@dataclass(frozen=True, slots=True)
class _Batch(Generic[T]):
    first: int
    items: Sequence[T]
    size: int


class Tail(Generic[T]):
    """Entries numbered from 1 without holes, of which the newest ``most`` bytes or so are held."""

    def __init__(self, most: int) -> None:
        self.last = 0
        """The number of the newest entry."""
        self.closed = False
        """There will be no more."""
        self.unsafe_after: int | None = 0
        """Entries beyond this number are kept nowhere else yet, and so are not let go of. None: let go of any."""
        self._most = most
        self._size = 0
        self._start = 0
        self._batches: list[_Batch[T]] = []
        self._waiters: set[asyncio.Future[None]] = set()

    def add(self, items: Sequence[T], size: int) -> None:
        """The entries that follow ``last``, together ``size`` bytes large."""
        self._batches.append(_Batch(self.last + 1, items, size))
        self.last += len(items)
        self._size += size
        if self._size > self._most:
            self._let_go()
        self._tell()

    def close(self) -> None:
        self.closed = True
        self._tell()

    def after(self, number: int) -> Sequence[T] | None:
        """Some of what follows ``number``, nothing if there is nothing yet; None if it is no longer held."""
        if number >= self.last:
            return ()
        place = bisect_right(self._batches, number + 1, lo=self._start, key=lambda batch: batch.first) - 1
        if place < self._start:
            return None
        batch = self._batches[place]
        skipped = number + 1 - batch.first
        if place == len(self._batches) - 1 or batch.size >= _ONE_READ:
            return batch.items[skipped:] if skipped else batch.items
        found = list(batch.items[skipped:])
        size = batch.size
        while size < _ONE_READ and (place := place + 1) < len(self._batches):
            found += self._batches[place].items
            size += self._batches[place].size
        return found

    async def wait(self, number: int) -> None:
        """Until there is something after ``number``, or there will be no more."""
        if self.last > number or self.closed:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _let_go(self) -> None:
        while self._size > self._most and self._start < len(self._batches) - 1:
            batch = self._batches[self._start]
            if self.unsafe_after is not None and batch.first + len(batch.items) - 1 > self.unsafe_after:
                break
            self._size -= batch.size
            self._start += 1
        if self._start > 64 and self._start * 2 > len(self._batches):
            del self._batches[: self._start]
            self._start = 0

    def _tell(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
