"""The words of a scenario file. docs/replay.md explains them with examples; ``reading`` reads files of them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from millstream.core.messages import FinishReason

Count = Annotated[int, msgspec.Meta(ge=1)]
Position = Annotated[int, msgspec.Meta(ge=0)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Status = Annotated[int, msgspec.Meta(ge=400, le=599)]

_PIECES = re.compile(r"events|whole|bytes:[1-9]\d*|random(?::\d+)?")


class _Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class When(_Words, frozen=True, kw_only=True):
    """Which requests a reply is for: those that fulfil everything given.

    ``contains`` and ``lacks`` look at every string of the request's body, ``last_contains`` at the last message's own
    text and tool results. ``last_role`` is ``tool`` where the last message brings tool results; system messages at the
    end count for neither. ``tool`` is a tool the request offers (``*``: any), ``result_of`` the tool whose result came
    last. ``media`` is a kind of part in the last message. ``request`` counts the requests to this scenario, ``turn``
    the assistant's turns so far, this one included.
    """

    contains: str | None = None
    lacks: str | None = None
    last_contains: str | None = None
    last_role: Literal["user", "assistant", "tool", "system"] | None = None
    tool: str | None = None
    result_of: str | None = None
    media: Literal["image", "document", "audio", "video"] | None = None
    format: Literal["text", "json_object", "json_schema"] | None = None
    reasoning: bool | None = None
    stream: bool | None = None
    model: str | None = None
    request: Count | None = None
    turn: Count | None = None


class ToolCall(_Words, frozen=True, kw_only=True):
    """``name`` ``*`` is the first tool offered. ``arguments`` is a table, the very text that a model would write (also
    a broken one), or ``from schema``: the least that the offered tool's schema accepts."""

    name: str
    arguments: dict[str, Any] | str = {}
    id: str | None = None


class Usage(_Words, frozen=True, kw_only=True):
    """As ``core.messages.Usage``: input with what was cached, output with reasoning."""

    input_tokens: Position = 12
    output_tokens: Position = 24
    cache_read_tokens: Position | None = None
    cache_write_tokens: Position | None = None
    reasoning_tokens: Position | None = None


class Pace(_Words, frozen=True, kw_only=True):
    """Waits: before the response's head, before the first event, and between events, where one of ``event_ms``,
    ``per_second`` and ``recorded`` (as the recording says) may be given. All zero: as fast as can be."""

    head_ms: Milliseconds = 0
    first_ms: Milliseconds = 0
    event_ms: Milliseconds | None = None
    per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None
    recorded: bool = False

    def __post_init__(self) -> None:
        if (self.event_ms is not None) + (self.per_second is not None) + self.recorded > 1:
            raise ValueError("give one of event_ms, per_second and recorded")

    @property
    def gap(self) -> float:
        """Seconds between events."""
        if self.per_second is not None:
            return 1 / self.per_second
        return (self.event_ms or 0) / 1000


class Fault(_Words, frozen=True, kw_only=True, tag_field="kind"):
    """How a reply fails. ``times``: only for the first so many requests that meet it; then the reply is given whole."""

    times: Count | None = None


class StatusFault(Fault, frozen=True, kw_only=True, tag="status"):
    """An error status in place of the reply. Without a ``body`` the dialect words the error itself."""

    status: Status = 500
    retry_after: Seconds | None = None
    headers: dict[str, str] = {}
    body: dict[str, Any] | str | None = None


class RefuseFault(Fault, frozen=True, kw_only=True, tag="refuse"):
    """The connection closes before any answer."""


class SlowHeadFault(Fault, frozen=True, kw_only=True, tag="slow_head"):
    """Nothing at all for ``seconds``; None: until the client leaves."""

    seconds: Seconds | None = None


class _Placed(Fault, frozen=True, kw_only=True):
    """At the place ``after`` so many events, or so many ``bytes``."""

    after: Position | None = None
    bytes: Position | None = None

    def __post_init__(self) -> None:
        if (self.after is None) == (self.bytes is None):
            raise ValueError("give either after (events) or bytes")


class CutFault(_Placed, frozen=True, kw_only=True, tag="cut"):
    """The response ends properly in the middle of what it had to say."""


class CloseFault(_Placed, frozen=True, kw_only=True, tag="close"):
    """The connection is closed before the response has ended."""


class ResetFault(_Placed, frozen=True, kw_only=True, tag="reset"):
    """The connection is torn down (RST)."""


class StallFault(_Placed, frozen=True, kw_only=True, tag="stall"):
    """Silence for ``seconds``, then the rest; None: until the client leaves."""

    seconds: Seconds | None = None


class CorruptFault(Fault, frozen=True, kw_only=True, tag="corrupt"):
    """The event after so many has lost its second half."""

    after: Position


class ErrorEventFault(Fault, frozen=True, kw_only=True, tag="error_event"):
    """After so many events the dialect's own error event, and nothing more. A whole reply becomes an error status."""

    after: Position
    message: str = "Overloaded"
    status: Status = 529


class ContentTypeFault(Fault, frozen=True, kw_only=True, tag="content_type"):
    """The whole reply, under a content type that it is not of."""

    value: str


AnyFault = (
    StatusFault
    | RefuseFault
    | SlowHeadFault
    | CutFault
    | CloseFault
    | ResetFault
    | StallFault
    | CorruptFault
    | ErrorEventFault
    | ContentTypeFault
)

_SAID = ("text", "reasoning", "refusal", "tool_calls")


class ScriptedReply(_Words, frozen=True, kw_only=True):
    """One answer: said in canonical content (``text`` and its like), ``raw`` bytes, or a ``file`` beside the scenario.

    Said texts and arguments may hold ``{{prompt}}`` (the last text of the user), ``{{result}}`` (of the last tool) and
    ``{{model}}``. ``repeat`` says the text so many times over. ``words`` is how many make one event.
    """

    when: When = When()
    times: Count | None = None
    """It answers so many requests, then the next that applies does."""
    text: str | None = None
    reasoning: str | None = None
    signature: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason | None = None
    stop_sequence: str | None = None
    usage: Usage = Usage()
    words: Count = 1
    repeat: Count = 1
    raw: str | None = None
    file: str | None = None
    content_type: str | None = None
    headers: dict[str, str] = {}
    pace: Pace | None = None
    pieces: str | None = None
    fault: AnyFault | tuple[AnyFault, ...] = ()

    def __post_init__(self) -> None:
        _check_pieces(self.pieces)
        forms = [name for name in ("raw", "file") if getattr(self, name) is not None]
        forms += [name for name in _SAID if getattr(self, name)][:1]
        if len(forms) > 1:
            raise ValueError(f"a reply has both {forms[0]} and {forms[1]}: give one of said content, raw and file")
        if not forms and self.text is None and not self._only_fails:
            raise ValueError(f"a reply has nothing to say: give {', '.join(_SAID)}, raw or file")

    @property
    def _only_fails(self) -> bool:
        ends = StatusFault | RefuseFault
        return any(isinstance(fault, ends) and fault.times is None for fault in self.faults)

    @property
    def faults(self) -> tuple[AnyFault, ...]:
        return self.fault if isinstance(self.fault, tuple) else (self.fault,)


class Scenario(_Words, frozen=True, kw_only=True):
    """A whole file. The first reply that applies and is not spent answers.

    ``pace`` and ``pieces`` (``events``, ``whole``, ``bytes:N``, ``random:SEED``: how a body is cut into writes) hold
    for every reply without its own. ``dialect`` is that of its raw replies, where they do not show it themselves.
    ``strict`` refuses requests that the dialect's real API would refuse.
    """

    replies: Annotated[tuple[ScriptedReply, ...], msgspec.Meta(min_length=1)]
    description: str = ""
    model: str = "replay"
    dialect: str | None = None
    pace: Pace = Pace()
    pieces: str = "events"
    strict: bool = True

    def __post_init__(self) -> None:
        _check_pieces(self.pieces)


def _check_pieces(pieces: str | None) -> None:
    if pieces is not None and not _PIECES.fullmatch(pieces):
        raise ValueError(f'pieces "{pieces}" is not one of "events", "whole", "bytes:7" and "random:1"')
