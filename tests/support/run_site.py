"""Runs made by a test's own hand, and journals that fail when they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from millstream.core import events as ev
from millstream.core.errors import Kind, PolicyRefusal
from millstream.core.messages import Usage
from millstream.core.run_events import RunEntry, RunEvent
from millstream.server.model_api import Deliveries
from millstream.server.runs.manager import Revive, RunOptions, Runs
from millstream.server.runs.reader import Reader
from millstream.server.runs.run import Producer, RunSink
from millstream.sessions.base import StoreError
from millstream.sessions.journal import Journal
from millstream.sessions.journal_memory import MemoryJournal

OPENING: tuple[RunEvent, ...] = (ev.MessageStart("id", "m"), ev.TextStart(0))
ENDING: tuple[RunEvent, ...] = (
    ev.TextEnd(0),
    ev.Usage(Usage(input_tokens=3, output_tokens=5)),
    ev.ChoiceEnd(0, "stop"),
    ev.Finish(),
)
BEFORE_TEXT = 3
"""Entries of a run before its first piece of text: its own start is the first."""


class Hand:
    """A producer that says what the test tells it to."""

    def __init__(self) -> None:
        self.sink: RunSink
        self.begun = asyncio.Event()
        self.stopped: BaseException | None = None
        self._end = asyncio.Event()

    async def __call__(self, sink: RunSink) -> None:
        self.sink = sink
        sink.take(OPENING)
        self.begun.set()
        try:
            await self._end.wait()
        except BaseException as error:
            self.stopped = error
            raise
        sink.take(ENDING)

    def say(self, *pieces: str) -> Awaitable[None] | None:
        return self.sink.take([ev.TextDelta(0, piece) for piece in pieces])

    def finish(self) -> None:
        self._end.set()


def saying(*pieces: str) -> Producer:
    async def produce(sink: RunSink) -> None:
        sink.take([*OPENING, *(ev.TextDelta(0, piece) for piece in pieces), *ENDING])

    return produce


class BrittleJournal(MemoryJournal):
    """Fails where ``broken``. What ``after_all`` names does its work first, and fails then."""

    def __init__(self, max_bytes: int = 2**26) -> None:
        super().__init__(time.time, max_bytes)
        self.broken = False
        self.after_all = False
        self.asked = asyncio.Event()

    def _fail(self) -> None:
        if self.broken:
            self.asked.set()
            raise StoreError("the journal is broken")

    async def create(self, key: str, about: bytes, expires: float) -> bool:
        self._fail()
        return await super().create(key, about, expires)

    async def append(self, key: str, entries: Sequence[bytes], *, expected: int | None = None, **more: Any) -> int:
        self._fail()
        last = await super().append(key, entries, expected=expected, **more)
        if self.after_all and not key.startswith("control/"):
            self.after_all = False
            raise StoreError("nobody knows whether that was written")
        return last

    async def read(self, key: str, after: int, most_bytes: int = 256 * 1024) -> Any:
        self._fail()
        return await super().read(key, after, most_bytes)

    async def seal(self, key: str, entries: Sequence[bytes] = (), **more: Any) -> int:
        self._fail()
        return await super().seal(key, entries, **more)


@contextlib.asynccontextmanager
async def runs_on(
    journal: Journal | None = None,
    now: Callable[[], float] = time.time,
    holder: str = "one",
    revive: Revive | None = None,
    **options: Any,
) -> AsyncIterator[Runs]:
    numbers = iter(range(10**6))
    deliveries = Deliveries()
    runs = Runs(
        journal or MemoryJournal(now, 2**26),
        deliveries,
        now,
        lambda: f"x_{holder}{next(numbers)}",
        holder,
        RunOptions(**options),
        revive,
    )
    async with runs:
        try:
            yield runs
        finally:  # as the server does when it stops
            deliveries.interrupt(lambda: PolicyRefusal("the gateway is shutting down", Kind.SHUTDOWN))


async def all_of(reader: Reader | None) -> list[RunEntry]:
    """What is left of a run, to its end."""
    assert reader is not None, "nothing is left"
    found: list[RunEntry] = []
    while entries := await reader.next():
        found += entries
    reader.close()
    return found


def texts(entries: Sequence[RunEntry]) -> list[str]:
    return [entry.event.text for entry in entries if isinstance(entry.event, ev.TextDelta)]
