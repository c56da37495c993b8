"""What a run says on its way into the journal: in batches, in order, and never in the run's way.

A journal that fails for a moment is tried again. One that fails for longer is given up, and what it lacks is then never
passed over in silence: it is sealed with the words that say so, as soon as it can be written again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from millstream.core.errors import GatewayBug, MillstreamError
from millstream.core.events import Fault
from millstream.core.run_events import RunEnd, RunEntry, encode_entry
from millstream.sessions.base import StoreError
from millstream.sessions.fanout import Tail
from millstream.sessions.journal import Journal, JournalError, SequenceConflict
from millstream.telemetry import logs

_FULL = 1024 * 1024
"""Bytes that wait to be written, above which whoever makes them is held up."""

_TOO_MUCH = 8 * 1024 * 1024
LOST = "run_lost"
"""The code of the error of a run that ends because its process died."""

_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Between tries; the last one stays."""


class Writer:
    """Writes the entries of one run, from number 1 on. ``durable``: readers see an entry only once it is written.

    ``lost`` is called where the journal is another's now, or where a durable run has none any more.
    """

    def __init__(
        self, journal: Journal, key: str, tail: Tail[RunEntry], lost: Callable[[], None], *, durable: bool
    ) -> None:
        self.kept = 0
        """The number of the last entry in the journal."""
        self.given_up = False
        """What follows ``kept`` is in no journal, and will be in none."""
        self._journal = journal
        self._key = key
        self._tail = tail
        self._lost = lost
        self._durable = durable
        self._pending: list[RunEntry] = []
        self._size = 0
        self._last_at = 0
        self._failing = False
        self._closing = False
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    def add(self, entries: Sequence[RunEntry], size: int) -> asyncio.Future[None] | None:
        """What is returned, if anything, is to be awaited before more is made."""
        self._last_at = entries[-1].at
        if not self._durable or self.given_up:
            self._tail.add(entries, size)
        if self.given_up:
            return None
        self._pending += entries
        self._size += size
        self._wake()
        if self._size < _FULL or self._failing:
            return None
        if self._room is None:
            self._room = asyncio.get_running_loop().create_future()
        return self._room

    def close(self) -> None:
        """Nothing more will be added: the journal is sealed once all is written."""
        self._closing = True
        self._wake()

    def let_go(self) -> None:
        """Nothing more will be written, and nobody wants to hear of it."""
        self._lost = _nothing

    async def write(self) -> None:
        """Until closed, and all is written or given up."""
        while True:
            if not (self._pending or self._closing):
                await self._wait()
            last = self._closing
            batch = self._take()
            if not await self._until_written(batch, last=last):
                break
            self._written(batch)
            if last:
                return
        self.give_up(batch)
        while not self._closing:
            await self._wait()
        await self._seal_with_regret()

    def give_up(self, batch: Sequence[RunEntry] = ()) -> None:
        """Keep no more, neither of ``batch`` nor of what comes."""
        self.given_up = True
        self._tail.unsafe_after = None
        unread = [*batch, *self._pending]
        if self._durable and unread:
            self._tail.add(unread, sum(len(entry.data) for entry in unread))
        self._pending, self._size = [], 0
        self._make_room()

    def _take(self) -> list[RunEntry]:
        batch, self._pending, self._size = self._pending, [], 0
        self._make_room()
        return batch

    def _written(self, batch: Sequence[RunEntry]) -> None:
        self.kept += len(batch)
        self._tail.unsafe_after = self.kept
        if self._durable and batch:
            self._tail.add(batch, sum(len(entry.data) for entry in batch))

    async def _wait(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def _until_written(self, batch: Sequence[RunEntry], *, last: bool) -> bool:
        """False where it cannot be: too much waits, it takes too long, or the journal is another's."""
        tries = 0
        while True:
            try:
                written = await self._write(batch, tried=tries > 0, last=last)
            except StoreError as error:
                if not self._failing:
                    logs.logger.warning("run %s: %s", self._key, error)
                self._failing = True
                self._make_room()
                if self._size > _TOO_MUCH or ((last or self._durable) and tries == len(_PAUSES_S)):
                    if self._durable:
                        self._lost()
                    return False
                await asyncio.sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1
            except JournalError:
                self._lost()
                return False
            else:
                self._failing = False
                if not written:
                    self._lost()
                return written

    async def _write(self, batch: Sequence[RunEntry], *, tried: bool, last: bool) -> bool:
        """False where the journal has something else in this place. ``tried``: it may be there already."""
        goal = self.kept + len(batch)
        data = [entry.data for entry in batch]
        if last:
            info = await self._journal.info(self._key) if tried else None
            if info is not None and info.sealed:
                return info.last == goal
            return await self._journal.seal(self._key, data) == goal
        try:
            return await self._journal.append(self._key, data, expected=self.kept) == goal
        except SequenceConflict:
            if tried and (await self._journal.info(self._key)).last == goal:
                return True
            raise

    async def _seal_with_regret(self) -> None:
        """Where entries could not be kept, whoever resumes later learns it from the journal itself."""
        error = GatewayBug(
            f"what followed event {self.kept} of this run was not written down: its journal could not be reached",
            code="events_lost",
            retryable=True,
        )
        words = last_words(self.kept, self._last_at, error)
        for pause in _PAUSES_S:
            try:
                info = await self._journal.info(self._key)
                if not info.sealed and info.last == self.kept:
                    await self._journal.seal(self._key, words)
            except StoreError:
                await asyncio.sleep(pause)
            except JournalError:
                return
            else:
                return


def _nothing() -> None:
    return


def last_words(after: int, at: int, error: MillstreamError) -> list[bytes]:
    """What a journal is sealed with whose run did not come to its end there: as entries that follow ``after``."""
    return [encode_entry(after + 1, at, Fault.of(error)).data, encode_entry(after + 2, at, RunEnd("lost")).data]
