"""One reply of several calls, each of which goes on where the one before it broke off. Pure: events in, events out.

What the client has stays as it is: one start, blocks counted on, an open text gone on with in its own block. A tool
call is held back until it is whole, since half of one can be neither taken back nor gone on with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar, assert_never

import msgspec

from millstream.core import events as ev
from millstream.core.messages import Message, ReasoningPart, TextPart, Usage
from millstream.core.totals import total

_Block = TypeVar(
    "_Block",
    bound=ev.TextStart | ev.ReasoningStart | ev.ToolCallStart | ev.ServerToolResult | ev.Media | ev.UnknownBlock,
)


class Overlap:
    """What the next piece of text may say again: ``echo`` is what the upstream was given to go on from, where it says
    that once more; ``withheld`` is white space that it was not given, since many refuse it at the end."""

    def __init__(self, echo: str, withheld: str) -> None:
        self._echo = echo
        self._withheld = withheld
        self._held = ""

    def trimmed(self, text: str) -> str:
        """What of ``text`` is new. What may still turn out to be said again is held back."""
        if self._echo:
            text = self._held + text
            if len(text) < len(self._echo) and self._echo.startswith(text):
                self._held = text
                return ""
            text = text.removeprefix(self._echo)
            self._echo = self._held = ""
        if self._withheld and text:
            again = _common(text, self._withheld)
            self._withheld = self._withheld[again:] if again == len(text) else ""
            text = text[again:]
        return text


class Seam:
    """``take`` what each call says, ``cut`` where it broke off, and either ``finish`` or begin the next one with what
    ``beginning`` gives."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        """Of all calls so far, as far as they told."""
        self.began = False
        self.ended = False
        self.continuable = True
        """Nothing was said that cannot be handed back as the beginning of an answer."""
        self.calls = 0
        """Tool calls that were said whole."""
        self._blocks = 0
        self._places: dict[int, int] = {}
        self._open: dict[int, ev.TextEnd | ev.ReasoningEnd] = {}
        self._held: dict[int, list[ev.Event]] = {}
        self._ends: list[ev.ChoiceEnd] = []
        self._ends_said = False
        self._joined: int | None = None
        self._overlap: Overlap | None = None
        self._before: Usage | None = None
        self._text: list[str] = []
        self._thoughts: list[ReasoningPart] = []
        self._thought: list[str] = []

    @classmethod
    def after(cls, events: Sequence[ev.Event]) -> Seam:
        """As if ``events`` had been said by it: those of a reply that another seam made."""
        seam = cls()
        seam.take(events)
        seam.continuable = seam.continuable and not seam._held
        seam._ends_said = bool(seam._ends)
        return seam

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def complete(self) -> bool:
        """Nothing is missing but the very end: the answer said why it ended, or has calls that can be answered."""
        return (bool(self._ends) and not self._held) or self.calls > 0

    def take(self, events: Sequence[ev.Event]) -> list[ev.Event]:
        """What the client is told of ``events`` of the call under way."""
        said: list[ev.Event] = []
        for event in events:
            self._take(event, said)
        self.began = self.began or bool(said)
        return said

    def beginning(self, messages: Sequence[Message]) -> tuple[tuple[Message, ...], str] | None:
        """``messages`` with what was said so far as their last, and the text which that ends with; None where nothing
        was said, so that the question is asked again as it was."""
        text = self.text.rstrip()
        if not text:
            return None
        last = messages[-1] if messages else None
        if last is not None and last.role == "assistant":
            *parts, end = last.parts or (TextPart(""),)
            if isinstance(end, TextPart):
                text = end.text + text
            else:
                parts.append(end)
            joined = msgspec.structs.replace(last, parts=(*parts, TextPart(text)))
            return (*messages[:-1], joined), text
        return (*messages, Message("assistant", (*self._thoughts, TextPart(text)))), text

    def resume(self, echo: str) -> list[ev.Event]:
        """Another call goes on; ``echo`` is what it will say again first, if anything. Thinking that was cut short is
        closed without a signature: it is not handed back."""
        said: list[ev.Event] = []
        self._joined = None
        for index, end in list(self._open.items()):
            if isinstance(end, ev.TextEnd):
                self._joined = index
            else:
                said.append(self._open.pop(index))
        text = self.text
        self._overlap = Overlap(echo, text[len(text.rstrip()) :])
        self._places, self._held, self._ends, self._thought = {}, {}, [], []
        if not text.strip():
            self._thoughts = []  # it is asked anew, and thinks anew
        self._before = self.usage
        return said

    def finish(self) -> list[ev.Event]:
        """The end of an answer that is ``complete`` although its call broke off."""
        said: list[ev.Event] = []
        self._close(said)
        if not self._ends_said:
            said += self._ends or [ev.ChoiceEnd(0, "tool_calls")]
        self.ended = True
        return [*said, ev.Finish()]

    def fail(self, fault: ev.Fault) -> list[ev.Event]:
        self.ended = True
        return [msgspec.structs.replace(fault, content_sent=self._blocks > 0)]

    def _take(self, event: ev.Event, said: list[ev.Event]) -> None:
        match event:
            case ev.TextDelta() | ev.ReasoningDelta() | ev.ToolCallDelta():
                self._grow(event, said)
            case ev.TextStart() | ev.ReasoningStart() | ev.ToolCallStart():
                self._start(event, said)
            case ev.TextEnd() | ev.ReasoningEnd() | ev.ToolCallEnd():
                self._end(event, said)
            case ev.Citation():
                said.append(msgspec.structs.replace(event, index=self._places[event.index]))
            case ev.ServerToolResult() | ev.Media() | ev.UnknownBlock():
                self.continuable = False
                said.append(self._placed(event, said))
            case ev.MessageStart():
                self._begin(event, said)
            case ev.Usage():
                self._count(event.usage)
                said.append(ev.Usage(self.usage or event.usage))
            case ev.ChoiceEnd():
                self._ends.append(event)
            case ev.Finish():
                self._close(said)
                said += [*self._ends, event]
                self.ended = True
            case ev.Fault() | ev.Unknown():
                said.append(event)
            case _:
                assert_never(event)

    def _begin(self, event: ev.MessageStart, said: list[ev.Event]) -> None:
        self._count(event.usage)
        if not self.began:
            said.append(event)

    def _start(self, event: ev.TextStart | ev.ReasoningStart | ev.ToolCallStart, said: list[ev.Event]) -> None:
        if event.choice or (isinstance(event, ev.TextStart) and event.kind != "text"):
            self.continuable = False
        if isinstance(event, ev.ToolCallStart) and event.kind != "server":
            self._held[event.index] = [event]
        elif isinstance(event, ev.TextStart) and self._joined is not None:
            self._places[event.index], self._joined = self._joined, None
        elif isinstance(event, ev.ToolCallStart):
            self.continuable = False
            said.append(self._placed(event, said))
        else:
            placed = self._placed(event, said)
            text = isinstance(event, ev.TextStart)
            self._open[placed.index] = ev.TextEnd(placed.index) if text else ev.ReasoningEnd(placed.index)
            if isinstance(event, ev.ReasoningStart) and event.redacted is not None:
                self._thoughts.append(ReasoningPart(redacted=event.redacted))
            said.append(placed)

    def _grow(self, event: ev.TextDelta | ev.ReasoningDelta | ev.ToolCallDelta, said: list[ev.Event]) -> None:
        if event.index in self._held:
            self._held[event.index].append(event)
            return
        place = self._places[event.index]
        if isinstance(event, ev.TextDelta):
            text = event.text if self._overlap is None else self._overlap.trimmed(event.text)
            if not text and (event.text or event.extra is None):
                return
            self._text.append(text)
            if text is not event.text:
                event = msgspec.structs.replace(event, text=text)
        elif isinstance(event, ev.ReasoningDelta):
            self._thought.append(event.text)
        said.append(event if place == event.index else msgspec.structs.replace(event, index=place))

    def _end(self, event: ev.TextEnd | ev.ReasoningEnd | ev.ToolCallEnd, said: list[ev.Event]) -> None:
        held = self._held.pop(event.index, None)
        if held is not None:
            self.calls += 1
            place = self._place(event.index, said)
            said += [msgspec.structs.replace(one, index=place) for one in (*held, event)]
            return
        place = self._places[event.index]
        self._open.pop(place, None)
        if isinstance(event, ev.ReasoningEnd) and self._thought:
            self._thoughts.append(ReasoningPart("".join(self._thought), event.signature))
            self._thought = []
        said.append(msgspec.structs.replace(event, index=place))

    def _placed(self, event: _Block, said: list[ev.Event]) -> _Block:
        return msgspec.structs.replace(event, index=self._place(event.index, said))

    def _place(self, index: int, said: list[ev.Event]) -> int:
        """Where a new block comes: after all others, and after the text that the calls before left open."""
        if self._joined is not None:
            said.append(self._open.pop(self._joined))
            self._joined = None
        place = self._places[index] = self._blocks
        self._blocks += 1
        return place

    def _close(self, said: list[ev.Event]) -> None:
        said += self._open.values()
        self._open.clear()
        self._joined = None

    def _count(self, usage: Usage | None) -> None:
        if usage is not None:
            self.usage = total(self._before, usage)


def _common(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
