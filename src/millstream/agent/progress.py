"""What people see of a run through a model API: lines of progress between the model's own words.

The lines stand in blocks of their own, of reasoning or of text, and each begins with ``loop.MARK``, so that none of
them is taken for the model's words when the conversation comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import msgspec

from millstream.agent.loop import MARK, OWN
from millstream.core import events as ev
from millstream.core import run_events as app
from millstream.core.messages import Opaque

Style = Literal["thinking", "text", "off"]

_OPENS = (ev.TextStart, ev.ReasoningStart, ev.ToolCallStart)
_WHOLE = (ev.ServerToolResult, ev.Media, ev.UnknownBlock)
_CLOSES = (ev.TextEnd, ev.ReasoningEnd, ev.ToolCallEnd)
_INSIDE = (ev.TextDelta, ev.ReasoningDelta, ev.ToolCallDelta, ev.Citation)


@dataclass(frozen=True, slots=True)
class Phrases:
    """The words of the lines. In braces: ``step``, ``tools``, ``tool``, ``done``, ``total``, ``run_id``."""

    starting: str = "Starting"
    thinking: str = "Thinking (step {step})"
    running: str = "Running {tools}"
    done: str = "{tool} ({done}/{total})"
    failed: str = "{tool} failed ({done}/{total})"
    approval: str = "{tool} waits for approval of run {run_id}"


class ReplyLane:
    """A run's events → those of one reply of a model API. ``style`` ``off``: without a line."""

    def __init__(self, style: Style, phrases: Phrases, run_id: str) -> None:
        self._style = style
        self._phrases = phrases
        self._run_id = run_id
        self._started = False
        self._blocks = 0
        self._places: dict[int, int] = {}
        self._open: set[int] = set()
        self._own: int | None = None
        """The block of lines that is open."""
        self._held: list[str] = []
        self._tools: list[str] = []
        self._running = False
        self._done = 0

    def opening(self, model: str) -> list[ev.Event]:
        """The reply's start and the first line, before anything is known of the model's answer."""
        self._started = True
        events: list[ev.Event] = [ev.MessageStart(model=model)]
        self._line(self._phrases.starting, events)
        return events

    def take(self, events: Sequence[app.RunEvent]) -> list[ev.Event]:
        said: list[ev.Event] = []
        for event in events:
            self._take(event, said)
        return said

    def _take(self, event: app.RunEvent, said: list[ev.Event]) -> None:
        if isinstance(event, _INSIDE):
            said.append(msgspec.structs.replace(event, index=self._places[event.index]))
        elif isinstance(event, _OPENS + _WHOLE):
            self._close(said)
            place = self._places[event.index] = self._blocks
            self._blocks += 1
            said.append(msgspec.structs.replace(event, index=place))
            if isinstance(event, _OPENS):
                self._open.add(event.index)
        elif isinstance(event, _CLOSES):
            said.append(msgspec.structs.replace(event, index=self._places[event.index]))
            self._open.discard(event.index)
            self._flush(said)
        elif isinstance(event, ev.MessageStart):
            self._start(event, said)
        elif isinstance(event, ev.ChoiceEnd | ev.Fault):
            self._close(said)
            said.append(event)
        elif isinstance(event, ev.Usage | ev.Finish | ev.Unknown):
            said.append(event)
        else:
            self._tell(event, said)

    def _start(self, start: ev.MessageStart, said: list[ev.Event]) -> None:
        if not self._started:
            self._started = True
            said.append(start)
        elif start.usage is not None:
            said.append(ev.Usage(start.usage))

    def _tell(self, event: app.AppEvent, said: list[ev.Event]) -> None:
        words = self._phrases
        match event:
            case app.StepStart():
                self._tools, self._running, self._done = [], False, 0
                self._line(words.thinking.format(step=event.number), said)
            case app.ToolDetected():
                self._tools.append(event.tool)
            case app.ToolRunStart():
                if not self._running:
                    self._running = True
                    self._line(words.running.format(tools=", ".join(self._tools)), said)
            case app.ToolRunProgress():
                if event.step:
                    self._line(f"{event.tool}: {event.message}", said)
            case app.ToolRunEnd():
                self._done += 1
                phrase = words.failed if event.is_error else words.done
                self._line(phrase.format(tool=event.tool, done=self._done, total=len(self._tools)), said)
            case app.ApprovalAsked():
                self._line(words.approval.format(tool=event.tool, run_id=self._run_id), said)
            case (
                app.RunStart()
                | app.RunEnd()
                | app.ApprovalGiven()
                | app.InputAsked()
                | app.InputGiven()
                | app.Switched()
                | app.Status()
                | app.Context()
                | app.Suggestions()
            ):
                pass
            case _:
                assert_never(event)

    def _line(self, text: str, said: list[ev.Event]) -> None:
        if self._style == "off":
            return
        self._held.append(f"{MARK}{' '.join(text.split())}\n")
        self._flush(said)

    def _flush(self, said: list[ev.Event]) -> None:
        """Says the lines that wait, unless a block of the model's own is open: clients know one at a time."""
        if not self._held or self._open or not self._started:
            return
        text = "".join(self._held)
        self._held = []
        if self._own is None:
            self._own = self._blocks
            self._blocks += 1
            said.append(ev.ReasoningStart(self._own) if self._style == "thinking" else ev.TextStart(self._own))
        if self._style == "thinking":
            said.append(ev.ReasoningDelta(self._own, text))
        else:
            said.append(ev.TextDelta(self._own, text))

    def _close(self, said: list[ev.Event]) -> None:
        if self._own is None:
            return
        signature = Opaque(OWN, "progress")
        said.append(ev.ReasoningEnd(self._own, signature) if self._style == "thinking" else ev.TextEnd(self._own))
        self._own = None
