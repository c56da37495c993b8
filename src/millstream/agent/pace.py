"""For human eyes: text that came in a burst, word by word or character by character, a moment apart.

Nothing is buffered for it. A burst is given out in groups while its upstream is not read, so what comes meanwhile is
the next burst; as each takes at most half of ``LIMIT_S``, nothing is ever later than that.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from millstream.agent.outbox import RunSink
from millstream.core.events import ReasoningDelta, TextDelta
from millstream.core.run_events import RunEvent

Pace = Literal["off", "word", "char"]

LIMIT_S = 0.25
"""The most that is added to an event's way, in seconds."""

_MOST_GROUPS = 24
_GAP_S = LIMIT_S / 2 / _MOST_GROUPS
_WORD = re.compile(r"\s*\S+\s*$|\s*\S+(?=\s)|\s+")


class PacedSink:
    """Gives a burst of text on to ``sink`` in pieces. ``sleep`` is told seconds."""

    def __init__(
        self, sink: RunSink, pace: Literal["word", "char"], sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._sink = sink
        self._pace = pace
        self._sleep = sleep

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        pieces = [piece for event in events for piece in self._pieces(event)]
        if sum(isinstance(piece, TextDelta | ReasoningDelta) for piece in pieces) < 2:
            return self._sink.take(events)
        return self._give(pieces)

    def _pieces(self, event: RunEvent) -> Sequence[RunEvent]:
        """Log probabilities belong to a delta as it is."""
        if isinstance(event, TextDelta) and event.extra is None:
            return [TextDelta(event.index, piece) for piece in self._split(event.text)]
        if isinstance(event, ReasoningDelta):
            return [ReasoningDelta(event.index, piece) for piece in self._split(event.text)]
        return [event]

    def _split(self, text: str) -> Sequence[str]:
        return list(text) if self._pace == "char" else _WORD.findall(text)

    async def _give(self, pieces: Sequence[RunEvent]) -> None:
        size = -(-len(pieces) // _MOST_GROUPS)
        for start in range(0, len(pieces), size):
            if start:
                await self._sleep(_GAP_S)
            if (wait := self._sink.take(pieces[start : start + size])) is not None:
                await wait
