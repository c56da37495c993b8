"""Agents that a tool starts: a run of their own within another run, of which only the last words are heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from millstream.core.errors import GatewayBug
from millstream.core.events import TextDelta
from millstream.core.messages import Message, Request, TextPart, Usage
from millstream.core.run_events import RunEvent, StepStart


@dataclass(frozen=True, slots=True)
class Parent:
    """The run whose tool is at work: the client's own one, however many agents are between. ``count`` takes what an
    agent of it has used."""

    model: str
    run_id: str
    count: Callable[[Usage], None]


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
    """A sink that keeps the text of the latest model call."""

    def __init__(self) -> None:
        self._text: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._text)

    def take(self, events: Sequence[RunEvent]) -> None:
        for event in events:
            if isinstance(event, StepStart):
                self._text = []
            elif isinstance(event, TextDelta):
                self._text.append(event.text)
