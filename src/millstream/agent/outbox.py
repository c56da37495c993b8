"""Events of several tasks at once to one sink, whose reader may be slow. Whoever puts something in never waits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

from millstream.core.run_events import RunEvent, ToolRunProgress

_MOST_HELD = 1000


class RunSink(Protocol):
    """Where the events of a run go."""

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        """None: go on. Else to be awaited before the next call: whoever reads at the other end is slow."""
        ...


class Outbox:
    """What cannot be taken yet is held, in order; of progress that nobody reads, at most so much."""

    def __init__(self, sink: RunSink) -> None:
        self._sink = sink
        self._held: list[RunEvent] = []
        self._group: asyncio.TaskGroup | None = None
        self._busy = False

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        """As ``RunSink``."""
        return self._sink.take(events)

    async def say(self, events: Sequence[RunEvent]) -> None:
        """Returns once the sink wants more. Not while tasks ``put``."""
        if events and (wait := self._sink.take(events)) is not None:
            await wait

    def shared(self, group: asyncio.TaskGroup) -> None:
        """From now on tasks of ``group`` put events in; what they put has been taken when the group is done."""
        self._group = group

    def put(self, *events: RunEvent) -> None:
        if not self._busy:
            self._give(events)
        elif len(self._held) < _MOST_HELD:
            self._held.extend(events)
        else:
            self._held.extend(event for event in events if not isinstance(event, ToolRunProgress))

    def _give(self, events: Sequence[RunEvent]) -> None:
        wait = self._sink.take(events)
        if wait is not None and self._group is not None:
            self._busy = True
            self._group.create_task(self._drain(wait))

    async def _drain(self, wait: Awaitable[None] | None) -> None:
        while True:
            if wait is not None:
                await wait
            if not self._held:
                self._busy = False
                return
            held, self._held = self._held, []
            wait = self._sink.take(held)
