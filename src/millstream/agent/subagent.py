"""Agents that a tool starts: runs within another. Its model hears their last words, people hear of each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

import msgspec

from millstream.agent.progress import Phrases
from millstream.core import run_events as app
from millstream.core.errors import GatewayBug
from millstream.core.events import TextDelta
from millstream.core.messages import Message, Request, TextPart, Usage
from millstream.core.run_events import RunEvent


@dataclass(frozen=True, slots=True)
class Parent:
    """The run whose tool is at work: the client's own one, however many agents are between. ``count`` takes what an
    agent of it has used. ``call_id`` of ``tool`` is the call that is at work, ``tell`` says an event of it, and
    ``elicits`` is as for the run."""

    model: str
    run_id: str
    count: Callable[[Usage], None]
    call_id: str = ""
    tool: str = ""
    tell: Callable[[RunEvent], None] = lambda _: None
    elicits: bool = False


PARENT: ContextVar[Parent | None] = ContextVar("millstream_agent_parent", default=None)


def parent() -> Parent:
    """Raises ``GatewayBug`` outside a tool's call."""
    found = PARENT.get()
    if found is None:
        raise GatewayBug("an agent was started outside a run")
    return found


def request_for(prompt: str, model: str) -> Request:
    return Request("millstream", model, (Message("user", (TextPart(prompt),), plain=True),), stream=True)


class LastWords:
    """A sink that keeps the text of the latest model call. What else happens is told as the progress of the call that
    the agent works for, a line each in the words of ``phrases``; questions are that call's."""

    def __init__(self, parent: Parent, phrases: Phrases) -> None:
        self._text: list[str] = []
        self._parent = parent
        self._phrases = phrases
        self._calls = self._done = 0

    @property
    def text(self) -> str:
        return "".join(self._text)

    def take(self, events: Sequence[RunEvent]) -> None:
        for event in events:
            match event:
                case TextDelta():
                    self._text.append(event.text)
                case app.StepStart():
                    self._text = []
                    self._calls = self._done = 0
                    self._line(self._phrases.thinking.format(step=event.number))
                case app.ToolDetected():
                    self._calls += 1
                case app.ToolRunStart():
                    self._line(self._phrases.running.format(tools=event.tool))
                case app.ToolRunEnd():
                    self._done += 1
                    phrase = self._phrases.failed if event.is_error else self._phrases.done
                    self._line(phrase.format(tool=event.tool, done=self._done, total=self._calls))
                case app.ApprovalAsked() | app.ApprovalGiven() | app.InputAsked() | app.InputGiven():
                    self._parent.tell(msgspec.structs.replace(event, call_id=self._parent.call_id))
                case _:
                    pass

    def _line(self, text: str) -> None:
        parent = self._parent
        parent.tell(app.ToolRunProgress(parent.call_id, parent.tool, message=text, step=True))
