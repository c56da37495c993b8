"""A run whose process died, as far as it had come: read from its entries, and from the turns noted beside them.

A turn with calls is noted once everything that was said of it is kept, and before any tool of it runs. So whatever is
not noted has had no effect, and its model call can be made again. Of what is noted, results that were said are known;
any other call may have begun, and only a tool that changes nothing is run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, get_args

import msgspec

from millstream.core import events as ev
from millstream.core import run_events as app
from millstream.core.messages import Message, ToolResultPart, Usage
from millstream.core.run_events import RunEntry, RunEvent

REPLY_EVENTS: tuple[type, ...] = get_args(ev.Event)
_ENDS = (ev.ChoiceEnd, ev.Finish, ev.Fault)
BLOCKS = (ev.TextStart, ev.ReasoningStart, ev.ToolCallStart, ev.ServerToolResult, ev.Media, ev.UnknownBlock)
"""What opens a block of the reply, and has a place of its own."""

NEVER_RAN = "Not run: the gateway that was to run it died."
"""The result of a call that the model had begun to make; it is asked again."""


class Notes(Protocol):
    """Keeps a run's turns with calls, for another process to go on with it."""

    async def add(self, turn: Message) -> None:
        """Returns once ``turn`` is kept, and everything that the run said before. Raises ``MillstreamError``."""
        ...


@dataclass(frozen=True, slots=True)
class Left:
    """``steps`` model calls had begun, and ``turns`` were noted: the last call is ``under_way`` where its turn is not
    among them. What it had said follows ``before`` blocks of the reply, and is numbered from 0. ``said`` is all of the
    reply, with ``usage`` as it was last told."""

    steps: int
    turns: tuple[Message, ...]
    results: Mapping[str, ToolResultPart]
    begun: frozenset[str]
    """Calls that were said to run."""
    tools: frozenset[str]
    """Tools that ran here, whatever this process has."""
    announced: tuple[app.ToolDetected, ...]
    """Calls of the model call under way."""
    said: tuple[ev.Event, ...]
    under_way: tuple[ev.Event, ...]
    before: int
    usage: Usage | None

    @property
    def is_asking(self) -> bool:
        """The model was being asked."""
        return len(self.turns) < self.steps

    @property
    def ended(self) -> bool:
        """Why the reply ended was said, if not yet that it did."""
        return any(isinstance(event, _ENDS) for event in self.said)


def left_of(entries: Sequence[RunEntry], turns: Sequence[Message]) -> Left | None:
    """None where ``turns`` are not those of the run that ``entries`` tell of."""
    reading = _Reading()
    for entry in entries:
        reading.take(entry.event)
    if reading.steps - len(turns) not in (0, 1):
        return None
    return reading.left(tuple(turns))


class _Reading:
    def __init__(self) -> None:
        self.steps = 0
        self._results: dict[str, ToolResultPart] = {}
        self._begun: set[str] = set()
        self._tools: set[str] = set()
        self._announced: dict[str, app.ToolDetected] = {}
        self._said: list[ev.Event] = []
        self._under_way: list[ev.Event] = []
        self._blocks = self._before = 0
        self._usage: Usage | None = None

    def take(self, event: RunEvent) -> None:
        match event:
            case app.StepStart():
                self.steps = event.number
                self._before = self._blocks
                self._under_way, self._announced = [], {}
            case app.ToolDetected():
                self._tools.add(event.tool)
                self._announced[event.call_id] = event
            case app.ToolRunStart():
                self._begun.add(event.call_id)
            case app.ToolRunEnd():
                self._announced.pop(event.call_id, None)
                result = ToolResultPart(event.call_id, event.content, event.is_error, name=event.tool)
                self._results[event.call_id] = result
            case _ if isinstance(event, REPLY_EVENTS):
                self._reply(cast("ev.Event", event))

    def _reply(self, event: ev.Event) -> None:
        self._said.append(event)
        if isinstance(event, BLOCKS):
            self._blocks += 1
        if isinstance(event, ev.Usage | ev.MessageStart):
            self._usage = event.usage or self._usage
        if isinstance(event, ev.MessageStart):
            self._under_way.append(msgspec.structs.replace(event, usage=None))
        elif not isinstance(event, (ev.Usage, ev.Unknown, *_ENDS)):
            self._under_way.append(msgspec.structs.replace(event, index=event.index - self._before))

    def left(self, turns: tuple[Message, ...]) -> Left:
        is_asking = len(turns) < self.steps
        return Left(
            self.steps,
            turns,
            self._results,
            frozenset(self._begun),
            frozenset(self._tools),
            tuple(self._announced.values()) if is_asking else (),
            tuple(self._said),
            tuple(self._under_way) if is_asking else (),
            self._before if is_asking else self._blocks,
            self._usage,
        )
