"""The closed union of stream events: what a reply is while it happens.

Nouns with Start, Delta and End. Every block has an ``index``, counted from 0 in the order blocks start; several may
be open at once. ``choice`` tells answers apart where ``n`` of them were asked for. ``core/grammar.py`` says which
event may follow which. Consumers match all members and end in ``assert_never``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from millstream.core.errors import Kind, MillstreamError, UpstreamFault, Whose
from millstream.core.messages import Extra, FinishReason, Opaque
from millstream.core.messages import Usage as TokenUsage


class MessageStart(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The reply began. ``id`` and ``model`` are the upstream's, empty where it gave none; ``created`` is Unix time."""

    id: str = ""
    model: str = ""
    created: int | None = None
    usage: TokenUsage | None = None
    extra: Extra | None = None


class TextStart(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    index: int
    choice: int = 0
    kind: Literal["text", "refusal"] = "text"
    extra: Extra | None = None


class TextDelta(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A piece of text, never empty unless ``extra`` (log probabilities, say) has something to carry."""

    index: int
    text: str
    extra: Extra | None = None


class TextEnd(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """``signature`` signs the text itself (Gemini's thought signatures may sit on a text part)."""

    index: int
    signature: Opaque | None = None
    extra: Extra | None = None


class ReasoningStart(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """``redacted`` holds thinking that only its provider can read; such a block has no deltas."""

    index: int
    choice: int = 0
    redacted: Opaque | None = None
    id: str | None = None
    extra: Extra | None = None


class ReasoningDelta(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    index: int
    text: str


class ReasoningEnd(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """``signature`` is what the provider wants back with this thinking in the next request."""

    index: int
    signature: Opaque | None = None
    extra: Extra | None = None


class ToolCallStart(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """``kind`` ``server``: the provider runs it itself; ``custom``: the input is free text, not JSON."""

    index: int
    id: str
    name: str
    choice: int = 0
    kind: Literal["function", "custom", "server"] = "function"
    extra: Extra | None = None


class ToolCallDelta(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A piece of the arguments' JSON text (of the free text, for ``custom``). All pieces joined may be empty."""

    index: int
    arguments: str


class ToolCallEnd(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    index: int
    signature: Opaque | None = None
    extra: Extra | None = None


class ServerToolResult(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A whole block: what a tool run by the provider gave, as ``origin`` wrote it. ``text`` is a readable digest."""

    index: int
    origin: str
    call_id: str
    data: Mapping[str, Any]
    choice: int = 0
    text: str | None = None


class Media(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A whole block: an image, sound or file the model made, as base64 ``data`` or a ``url``."""

    index: int
    media_type: str
    data: str | None = None
    url: str | None = None
    choice: int = 0
    signature: Opaque | None = None
    extra: Extra | None = None


class UnknownBlock(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A whole block of a kind this version has no name for, as ``origin`` wrote it."""

    index: int
    origin: str
    data: Mapping[str, Any]
    choice: int = 0


class Citation(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A source of the text block ``index``, which is open. ``data`` is the citation as ``origin`` wrote it."""

    index: int
    origin: str
    data: Mapping[str, Any]
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None


class Usage(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """Tokens so far. It may repeat; each replaces the one before, so the last is the truth."""

    usage: TokenUsage


class ChoiceEnd(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """One of ``n`` answers is complete. Sent for every choice, in the order they end, before ``Finish``."""

    choice: int
    reason: FinishReason
    stop_sequence: str | None = None
    extra: Extra | None = None


class Finish(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The reply ended as it should. Nothing follows."""

    extra: Extra | None = None


class Fault(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """The reply ended as it should not. Nothing follows. Fields as in ``MillstreamError``."""

    whose: Whose
    kind: Kind
    message: str
    status: int
    retryable: bool = False
    retry_after: float | None = None
    code: str | None = None
    content_sent: bool = False

    @classmethod
    def of(cls, error: MillstreamError) -> Fault:
        return cls(
            whose=error.whose,
            kind=error.kind,
            message=error.message,
            status=error.status,
            retryable=error.retryable,
            retry_after=error.retry_after,
            code=error.code,
            content_sent=error.content_sent,
        )


class Unknown(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A frame of a kind this version has no name for: its event name, if it had one, and its data."""

    origin: str
    data: str
    name: str | None = None


Event = (
    MessageStart
    | TextStart
    | TextDelta
    | TextEnd
    | ReasoningStart
    | ReasoningDelta
    | ReasoningEnd
    | ToolCallStart
    | ToolCallDelta
    | ToolCallEnd
    | ServerToolResult
    | Media
    | UnknownBlock
    | Citation
    | Usage
    | ChoiceEnd
    | Finish
    | Fault
    | Unknown
)

CONTENT_EVENTS: frozenset[type] = frozenset(
    {TextStart, ReasoningStart, ToolCallStart, ServerToolResult, Media, UnknownBlock}
)
"""The first of these in a reply commits the gateway to its upstream: after it nothing is retried."""


def truncated(detail: str) -> Fault:
    """The fault of a stream that ended without its own end marker."""
    message = f"the upstream's stream was cut off: {detail}"
    return Fault.of(UpstreamFault(message, Kind.TRUNCATED))
