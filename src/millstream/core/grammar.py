"""Which event may follow which: a stream's state machine as a literal table.

    idle → open → (block open ⇄ block closed)* → finished | failed

Two rules. All of a stream's state lives in ``Grammar``; and this file knows no dialect. Every parser's output and
every renderer's input passes ``advance``, so a mistake such as text after a closed block fails in one place, blamed
on the right side. Several blocks may be open at once, each by its index; indexes count up from 0 without holes.
``Usage`` may repeat, the last wins. After ``Finish`` or ``Fault`` there is nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from millstream.core import events as ev
from millstream.core.messages import Usage as TokenUsage


class State(Enum):
    IDLE = "idle"
    OPEN = "open"
    FINISHED = "finished"
    FAILED = "failed"


class Act(Enum):
    """What an event does to the block it names."""

    NONE = "none"
    OPENS = "opens"
    INSIDE = "inside"
    CLOSES = "closes"
    WHOLE = "whole"


class Rule(NamedTuple):
    allowed_in: tuple[State, ...]
    leads_to: State | None = None
    act: Act = Act.NONE
    block: str = ""


_IDLE = (State.IDLE,)
_OPEN = (State.OPEN,)
_LIVE = (State.OPEN, State.IDLE)
_ENDS = (State.FINISHED, State.FAILED)

TABLE: dict[type, Rule] = {
    ev.MessageStart: Rule(_IDLE, State.OPEN),
    ev.TextStart: Rule(_OPEN, None, Act.OPENS, "text"),
    ev.TextDelta: Rule(_OPEN, None, Act.INSIDE, "text"),
    ev.Citation: Rule(_OPEN, None, Act.INSIDE, "text"),
    ev.TextEnd: Rule(_OPEN, None, Act.CLOSES, "text"),
    ev.ReasoningStart: Rule(_OPEN, None, Act.OPENS, "reasoning"),
    ev.ReasoningDelta: Rule(_OPEN, None, Act.INSIDE, "reasoning"),
    ev.ReasoningEnd: Rule(_OPEN, None, Act.CLOSES, "reasoning"),
    ev.ToolCallStart: Rule(_OPEN, None, Act.OPENS, "tool call"),
    ev.ToolCallDelta: Rule(_OPEN, None, Act.INSIDE, "tool call"),
    ev.ToolCallEnd: Rule(_OPEN, None, Act.CLOSES, "tool call"),
    ev.ServerToolResult: Rule(_OPEN, None, Act.WHOLE),
    ev.Media: Rule(_OPEN, None, Act.WHOLE),
    ev.UnknownBlock: Rule(_OPEN, None, Act.WHOLE),
    ev.Usage: Rule(_OPEN),
    ev.ChoiceEnd: Rule(_OPEN),
    ev.Finish: Rule(_OPEN, State.FINISHED),
    ev.Fault: Rule(_LIVE, State.FAILED),
    ev.Unknown: Rule(_LIVE),
}


_BLOCK_OF_DELTA = {event: rule.block for event, rule in TABLE.items() if rule.act is Act.INSIDE}
"""The rows that nearly every event needs, so that it costs one look."""


class GrammarError(Exception):
    """An event that may not come here. Whoever runs the machine says whose mistake it is."""


class Grammar:
    """One stream's progress through the table; feed it every event once, in order."""

    __slots__ = ("_ended_choices", "blocks", "ended", "fault", "open_blocks", "start", "state", "usage")

    def __init__(self) -> None:
        self.state = State.IDLE
        self.ended = False
        """Finished or failed."""
        self.open_blocks: dict[int, str] = {}
        self.blocks = 0
        """How many blocks have begun; the first one is the first content."""
        self.start: ev.MessageStart | None = None
        self.usage: TokenUsage | None = None
        self.fault: ev.Fault | None = None
        self._ended_choices: dict[int, ev.ChoiceEnd] = {}

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended, once it has."""
        end = self._ended_choices.get(0)
        return end.reason if end is not None else None

    def advance(self, events: Iterable[ev.Event]) -> None:
        """Take ``events`` in; raises ``GrammarError`` at the first illegal one, leaving the state before it."""
        for event in events:
            block = _BLOCK_OF_DELTA.get(type(event), "")
            if block and block == self.open_blocks.get(event.index):  # type: ignore[union-attr]  # deltas have one
                continue  # blocks are only open while the stream is
            rule = TABLE[type(event)]
            if self.state not in rule.allowed_in:
                raise GrammarError(f"{type(event).__name__} while {self.state.value}")
            act = rule.act
            if act is Act.INSIDE:
                raise GrammarError(self._misplaced(event, rule))
            if act is not Act.NONE:
                self._block(event, rule)
            else:
                self._note(event, rule)

    def fail(self, fault: ev.Fault) -> None:
        """End the stream from outside: whoever watches found that it cannot go on."""
        self.fault = fault
        self._lead_to(State.FAILED)

    def _block(self, event: ev.Event, rule: Rule) -> None:
        index: int = event.index  # type: ignore[union-attr]  # every block event has one
        if rule.act is Act.CLOSES:
            if self.open_blocks.get(index) != rule.block:
                raise GrammarError(self._misplaced(event, rule))
            del self.open_blocks[index]
            return
        if index != self.blocks:
            raise GrammarError(f"{type(event).__name__} has index {index}, expected {self.blocks}")
        choice: int = event.choice  # type: ignore[union-attr]  # every event that begins a block has one
        if choice in self._ended_choices:
            raise GrammarError(f"{type(event).__name__} in choice {choice}, which has ended")
        self.blocks += 1
        if rule.act is Act.OPENS:
            self.open_blocks[index] = rule.block

    def _note(self, event: ev.Event, rule: Rule) -> None:
        if isinstance(event, ev.Usage | ev.MessageStart):
            self.usage = event.usage
            if isinstance(event, ev.MessageStart):
                self.start = event
        elif isinstance(event, ev.ChoiceEnd):
            if event.choice in self._ended_choices:
                raise GrammarError(f"ChoiceEnd for choice {event.choice} twice")
            self._ended_choices[event.choice] = event
        elif isinstance(event, ev.Fault):
            self.fault = event
        elif isinstance(event, ev.Finish):
            if self.open_blocks:
                raise GrammarError(f"Finish while blocks are open: {sorted(self.open_blocks)}")
            if not self._ended_choices:
                raise GrammarError("Finish before any ChoiceEnd")
        if rule.leads_to is not None:
            self._lead_to(rule.leads_to)

    def _lead_to(self, state: State) -> None:
        self.state = state
        if state in _ENDS:
            self.ended = True
            self.open_blocks.clear()

    def _misplaced(self, event: ev.Event, rule: Rule) -> str:
        index: int = event.index  # type: ignore[union-attr]  # only called for block events
        found = self.open_blocks.get(index, "nothing")
        return f"{type(event).__name__} for block {index}, where {found} is open and {rule.block} is needed"
