"""The application lane: what happens around the model's own words while a run works.

They stand between the events of a reply (``core/events.py``), never inside its grammar: dialects of model APIs do not
see them. Surfaces of our own (chat events, agent events, AG-UI, …) render both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core.events import Event, Unknown
from millstream.core.messages import FinishReason, ResultPart, Usage


class RunStart(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A run began: the first event of its journal. ``model`` is the name it was routed to."""

    run_id: str
    model: str = ""
    session_id: str | None = None


class StepStart(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Another model call of the run; counted from 1."""

    number: int


class ToolDetected(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The model names a tool that runs here; its arguments are still to come."""

    call_id: str
    tool: str


class ToolRunStart(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """``arguments`` is the whole JSON text the model wrote, checked against the tool's schema."""

    call_id: str
    tool: str
    arguments: str


class ToolRunProgress(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """``current`` of ``total`` as the tool counts them; ``message`` is a line for people, or a piece of output.
    ``step``: it tells a step of an agent that the tool has started."""

    call_id: str
    tool: str
    current: float | None = None
    total: float | None = None
    message: str | None = None
    step: bool = False


class ToolRunEnd(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """``content`` is what the model is told; ``seconds`` is the tool's own time."""

    call_id: str
    tool: str
    content: str | tuple[ResultPart, ...]
    is_error: bool = False
    seconds: float = 0.0


class ApprovalAsked(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The run pauses until somebody says whether ``tool`` may run with these ``arguments``."""

    id: str
    call_id: str
    tool: str
    arguments: str


class ApprovalGiven(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    id: str
    call_id: str
    approved: bool
    reason: str | None = None


class InputAsked(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The run pauses because ``tool`` asks the user in the middle of its call, on behalf of ``source``: for values that
    ``schema`` (JSON schema of kind ``object``) describes, or to visit ``url``."""

    id: str
    call_id: str
    tool: str
    source: str
    message: str
    schema: Mapping[str, Any] | None = None
    url: str | None = None


class InputGiven(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """``action`` is ``accept``, ``decline`` or ``cancel``. What was given is the tool's alone."""

    id: str
    call_id: str
    action: str


class Switched(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The reply goes on with another upstream, or with another call to the same, after ``reason``."""

    model: str
    reason: str


class Status(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    status: str
    message: str | None = None


class Context(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What the user seems to want (a conversation's intent and entities), found beside the answer."""

    intent: str
    entities: Mapping[str, Any] = {}
    updated: bool = True


class Suggestions(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    items: tuple[str, ...]


class RunEnd(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """After the reply's ``Finish`` or ``Fault``, the last event of the journal. ``reason`` is ``finished``, ``failed``,
    ``cancelled``, ``max_iterations`` or ``lost`` (its gateway died)."""

    reason: str
    steps: int = 1
    tool_calls: int = 0
    seconds: float = 0.0
    usage: Usage | None = None
    finish_reason: FinishReason | None = None
    first_text: float | None = None
    """Seconds from the run's start to the first piece of text; ``texts`` is how many pieces there were."""
    texts: int = 0


AppEvent = (
    RunStart
    | StepStart
    | ToolDetected
    | ToolRunStart
    | ToolRunProgress
    | ToolRunEnd
    | ApprovalAsked
    | ApprovalGiven
    | InputAsked
    | InputGiven
    | Switched
    | Status
    | Context
    | Suggestions
    | RunEnd
)

RunEvent = Event | AppEvent


class RunEntry(msgspec.Struct, frozen=True):
    """An event in its place in a run's journal: numbers count from 1 without holes, ``at`` is Unix time in ms and never
    less than the entry before had. ``data`` is the entry as it is kept: the event's JSON, with ``at`` for its last
    field."""

    number: int
    at: int
    event: RunEvent
    data: bytes


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(RunEvent).decode


def encode_entry(number: int, at: int, event: RunEvent) -> RunEntry:
    return RunEntry(number, at, event, b'%b,"at":%d}' % (_encode(event)[:-1], at))


def decode_entry(number: int, data: bytes) -> RunEntry:
    """What ``encode_entry`` kept. A kind of event that this version has no name for becomes ``Unknown``."""
    _, _, at = data.rpartition(b'"at":')
    try:
        event: RunEvent = _decode(data)
    except msgspec.ValidationError:
        event = Unknown("millstream", data.decode())
    return RunEntry(number, int(at[:-1]), event, data)
