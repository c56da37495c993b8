"""Several model calls as one reply: one start, blocks counted on, usage summed, the end said once.

Calls of tools that run here do not show as blocks of the reply; they are announced on the application lane. The
result passes the grammar again, since it is a stream of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never, cast, get_args

import msgspec

from millstream.agent.left import BLOCKS, Left
from millstream.core import events as ev
from millstream.core.assemble import Assembler
from millstream.core.errors import GatewayBug, UpstreamFault
from millstream.core.grammar import Grammar, GrammarError
from millstream.core.messages import Message, Usage
from millstream.core.run_events import AppEvent, RunEvent, Switched, ToolDetected
from millstream.core.totals import total

_APP_EVENTS: tuple[type, ...] = get_args(AppEvent)


def _nothing_is(_: str) -> bool:
    return False


class Stitcher:
    """``is_ours`` tells which tools run here; ``new_call_id`` gives calls an id of their own. Where it is None no tool
    does, ids are the upstream's, and ``turn`` is not asked for."""

    def __init__(self, is_ours: Callable[[str], bool], new_call_id: Callable[[], str] | None) -> None:
        self.watch = Grammar()
        self.usage: Usage | None = None
        """Of all model calls so far."""
        self.fault: ev.Fault | None = None
        self._is_ours = is_ours
        self._new_call_id = new_call_id
        self._started = False
        self._blocks = 0
        self._places: dict[int, int | None] = {}
        self._before: Usage | None = None
        self._ends: list[ev.ChoiceEnd] = []
        self._finish: ev.Finish | None = None
        self._assembler = Assembler()

    def let_go(self) -> None:
        """Nothing more is stitched: whoever made this is no longer asked, nor kept."""
        self._is_ours = _nothing_is
        self._new_call_id = None

    def begin(self) -> None:
        """Another model call begins."""
        self._places = {}
        self._before = self.usage
        self._ends = []
        self._finish = None
        self._assembler = Assembler()

    def go_on_after(self, left: Left) -> None:
        """As if all that ``left`` tells of had been said by it; the model call under way goes on."""
        self.watch.advance(left.said)
        self._started = any(isinstance(event, ev.MessageStart) for event in left.said)
        self.usage = self._before = left.usage
        own = sum(isinstance(event, BLOCKS) for event in left.under_way)
        self._places = {index: left.before + index for index in range(own)}
        self._blocks = left.before + own
        if left.is_asking:
            self._assembler.add(left.under_way)
        else:  # whatever the model said after its calls, they are why its turn ended
            self._ends = [ev.ChoiceEnd(0, "tool_calls")]

    def take(self, events: Sequence[ev.Event | Switched]) -> list[RunEvent]:
        """What the reply says to ``events`` of the call under way."""
        said: list[RunEvent] = []
        for event in events:
            if isinstance(event, Switched):
                said.append(event)
            else:
                self._take(event, said)
        return self.checked(said)

    def count(self, usage: Usage) -> None:
        """Counts what was used beside the model calls of the reply itself."""
        self.usage = total(self.usage, usage)

    def checked(self, events: list[RunEvent]) -> list[RunEvent]:
        """``events``, after a look at those of the reply. Raises ``GatewayBug``."""
        try:
            self.watch.advance(cast("ev.Event", event) for event in events if not isinstance(event, _APP_EVENTS))
        except GrammarError as wrong:
            raise GatewayBug(f"the stitched reply's events came out of order: {wrong}") from wrong
        return events

    def turn(self) -> Message:
        """What the model said in the call that has ended. Raises ``UpstreamFault`` if it said nothing whole."""
        reply = self._assembler.reply()
        if not reply.choices:
            raise UpstreamFault("the upstream's answer has no content")
        return Message("assistant", reply.choices[0].parts)

    def notice(self, text: str) -> list[RunEvent]:
        """``text`` as a block of its own."""
        index = self._blocks
        self._blocks += 1
        return self.checked([ev.TextStart(index), ev.TextDelta(index, text), ev.TextEnd(index)])

    def end(self, *, stopped: bool = False) -> list[RunEvent]:
        """The end as the last model call said it; ``stopped``: as if it had not asked for more."""
        ends = [ev.ChoiceEnd(end.choice, "stop") if stopped else end for end in self._ends]
        return self.checked([*(ends or [ev.ChoiceEnd(0, "stop")]), self._finish or ev.Finish()])

    def fail(self, fault: ev.Fault) -> list[RunEvent]:
        """The end that ``fault`` makes; nothing where the reply has one."""
        return [] if self.watch.ended else self.checked([self._failed(fault)])

    def _take(self, event: ev.Event, said: list[RunEvent]) -> None:
        match event:
            case ev.TextDelta() | ev.ReasoningDelta() | ev.ToolCallDelta():
                place = self._places[event.index]
                if place is not None:
                    said.append(event if place == event.index else msgspec.structs.replace(event, index=place))
            case ev.TextEnd() | ev.ReasoningEnd() | ev.ToolCallEnd() | ev.Citation():
                place = self._places[event.index]
                if place is not None:
                    said.append(msgspec.structs.replace(event, index=place))
            case ev.ToolCallStart():
                event = self._call(event, said)
            case ev.TextStart() | ev.ReasoningStart() | ev.ServerToolResult() | ev.Media() | ev.UnknownBlock():
                said.append(msgspec.structs.replace(event, index=self._place(event.index)))
            case ev.MessageStart():
                self._count(event.usage)
                if not self._started:
                    self._started = True
                    said.append(event)
            case ev.Usage():
                self._count(event.usage)
                said.append(ev.Usage(self.usage or event.usage))
            case ev.ChoiceEnd():
                self._ends.append(event)
            case ev.Finish():
                self._finish = event
            case ev.Fault():
                said.append(self._failed(event))
            case ev.Unknown():
                said.append(event)
            case _:
                assert_never(event)
        if self._new_call_id is not None:
            self._assembler.add((event,))

    def _place(self, index: int) -> int:
        place = self._places[index] = self._blocks
        self._blocks += 1
        return place

    def _call(self, event: ev.ToolCallStart, said: list[RunEvent]) -> ev.ToolCallStart:
        """The call as the history has it."""
        if self._new_call_id is None or event.kind == "server":
            said.append(msgspec.structs.replace(event, index=self._place(event.index)))
            return event
        event = msgspec.structs.replace(event, id=self._new_call_id())
        if self._is_ours(event.name):
            self._places[event.index] = None
            said.append(ToolDetected(event.id, event.name))
        else:
            said.append(msgspec.structs.replace(event, index=self._place(event.index)))
        return event

    def _count(self, usage: Usage | None) -> None:
        if usage is not None:
            self.usage = total(self._before, usage)

    def _failed(self, fault: ev.Fault) -> ev.Fault:
        self.fault = msgspec.structs.replace(fault, content_sent=self._blocks > 0)
        return self.fault
