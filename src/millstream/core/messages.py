"""The canonical request and reply that every dialect parses to and renders from.

A superset of what the dialects can say. Three rules keep it lossless:

* what a dialect says and the model has no name for rides in ``extra``, under the dialect's own name, and only that
  dialect reads it back;
* opaque values (signatures, encrypted reasoning) carry the dialect that made them, since only it may be given them;
* tool arguments stay the JSON text the model wrote, valid or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Extra = Mapping[str, Mapping[str, Any]]
"""Fields without a canonical name: dialect name → field → value as decoded from JSON."""

Role = Literal["system", "developer", "user", "assistant"]


class Opaque(msgspec.Struct, frozen=True):
    """A value only ``origin`` (a dialect's name) can read: a thinking signature, encrypted reasoning."""

    origin: str
    value: str


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one reply.

    ``input_tokens`` counts the whole prompt, with what was read from and written to a cache;
    ``output_tokens`` counts everything generated, with reasoning. The other counts are parts of these two.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    extra: Extra | None = None


class TextPart(msgspec.Struct, frozen=True, tag="text", omit_defaults=True):
    """``signature`` signs the text itself (Gemini's thought signatures may sit on a text part)."""

    text: str
    citations: tuple[CitationPart, ...] = ()
    cache: Mapping[str, Any] | None = None
    extra: Extra | None = None
    signature: Opaque | None = None


class CitationPart(msgspec.Struct, frozen=True, tag="citation", omit_defaults=True):
    """Where a text comes from. ``data`` is the citation as ``origin`` wrote it."""

    origin: str
    data: Mapping[str, Any]
    url: str | None = None
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None


class RefusalPart(msgspec.Struct, frozen=True, tag="refusal", omit_defaults=True):
    text: str
    extra: Extra | None = None


class MediaPart(msgspec.Struct, frozen=True, tag="media", omit_defaults=True):
    """An image, document, audio or video, given by exactly one of base64 ``data``, ``url``, ``file_id`` or ``text``.

    ``media_type`` is a MIME type, or a bare family such as ``image`` where only that is known.
    """

    kind: Literal["image", "document", "audio", "video"]
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    text: str | None = None
    name: str | None = None
    context: str | None = None
    detail: str | None = None
    cache: Mapping[str, Any] | None = None
    extra: Extra | None = None
    signature: Opaque | None = None


class ReasoningPart(msgspec.Struct, frozen=True, tag="reasoning", omit_defaults=True):
    """What the model thought. ``redacted`` holds thinking that only its provider can read, in place of text."""

    text: str = ""
    signature: Opaque | None = None
    redacted: Opaque | None = None
    id: str | None = None
    extra: Extra | None = None


class ToolCallPart(msgspec.Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """``kind`` ``server`` marks a call that the provider itself runs; ``custom`` one whose input is free text."""

    id: str
    name: str
    arguments: str
    kind: Literal["function", "custom", "server"] = "function"
    signature: Opaque | None = None
    cache: Mapping[str, Any] | None = None
    extra: Extra | None = None


class ToolReferencePart(msgspec.Struct, frozen=True, tag="tool_reference", omit_defaults=True):
    """Inside a tool result: the named deferred tool is now loaded."""

    name: str
    extra: Extra | None = None


class UnknownPart(msgspec.Struct, frozen=True, tag="unknown", omit_defaults=True):
    """A part of a kind this version has no name for, as ``origin`` wrote it.

    ``asked``: it is content, not bookkeeping, so that without it a user's question would be another.
    """

    origin: str
    data: Mapping[str, Any]
    asked: bool = False


ResultPart = TextPart | MediaPart | ToolReferencePart | UnknownPart


class ToolResultPart(msgspec.Struct, frozen=True, tag="tool_result", omit_defaults=True):
    """The answer to a tool call; ``content`` as a plain string stays one so that a round trip is exact."""

    call_id: str
    content: str | tuple[ResultPart, ...]
    is_error: bool = False
    kind: Literal["function", "custom"] = "function"
    name: str | None = None
    cache: Mapping[str, Any] | None = None
    extra: Extra | None = None


class ServerToolResultPart(msgspec.Struct, frozen=True, tag="server_tool_result", omit_defaults=True):
    """The result of a tool the provider ran, as ``origin`` wrote the whole block."""

    origin: str
    call_id: str
    data: Mapping[str, Any]
    text: str | None = None


Part = (
    TextPart
    | RefusalPart
    | MediaPart
    | ReasoningPart
    | ToolCallPart
    | ToolResultPart
    | ServerToolResultPart
    | ToolReferencePart
    | UnknownPart
)


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn. A tool's results are parts of a ``user`` message, also where a dialect gives them a role of their own.

    ``plain`` remembers that the content came as a bare string rather than as a list of parts.
    """

    role: Role
    parts: tuple[Part, ...]
    plain: bool = False
    name: str | None = None
    extra: Extra | None = None


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool the model may call.

    ``kind`` ``server`` is run by the provider: its definition is ``data`` in the words of ``origin``. ``deferred``
    tools are known by name only until a search loads them. ``format`` is a ``custom`` tool's grammar.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    kind: Literal["function", "custom", "server"] = "function"
    strict: bool | None = None
    deferred: bool = False
    format: Mapping[str, Any] | None = None
    cache: Mapping[str, Any] | None = None
    origin: str | None = None
    data: Mapping[str, Any] | None = None
    extra: Extra | None = None


class ToolChoice(msgspec.Struct, frozen=True, omit_defaults=True):
    """``names`` holds the one forced tool for ``tool``, or the permitted ones as a restriction of ``auto``/``any``."""

    mode: Literal["auto", "none", "any", "tool"]
    names: tuple[str, ...] = ()
    extra: Extra | None = None


class Reasoning(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much the model should think; ``budget`` in tokens. ``adaptive`` leaves the amount to the model."""

    mode: Literal["enabled", "disabled", "adaptive"] | None = None
    effort: str | None = None
    budget: int | None = None
    display: str | None = None
    extra: Extra | None = None


class ResponseFormat(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: Mapping[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None
    extra: Extra | None = None


class Leftovers(msgspec.Struct, frozen=True, omit_defaults=True):
    """A request's fields without a canonical name, as an upstream of another dialect has to see them.

    ``shared`` holds those that some dialects have in common, by the name they go by there, each with its own name and
    value; ``tuning`` names those that are left out and reported; ``meant`` those without which the answer would be
    another, so that none can be given.
    """

    shared: Mapping[str, tuple[str, Any]] = {}
    tuning: tuple[str, ...] = ()
    meant: tuple[str, ...] = ()


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model call, as any dialect's client meant it. ``origin`` is the dialect it was written in."""

    origin: str
    model: str
    messages: tuple[Message, ...]
    system: tuple[Part, ...] = ()
    system_plain: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    stream: bool = False
    include_usage: bool = False
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    user: str | None = None
    leftovers: Leftovers | None = None
    extra: Extra | None = None


FinishReason = Literal[
    "stop", "stop_sequence", "length", "tool_calls", "content_filter", "refusal", "pause", "context_window"
]


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """One answer of a reply; there are several only where the client asked for ``n`` of them."""

    parts: tuple[Part, ...]
    finish_reason: FinishReason = "stop"
    stop_sequence: str | None = None
    extra: Extra | None = None


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole answer: what folding a finished stream of events gives (``core/assemble.py``)."""

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None = None
    created: int | None = None
    extra: Extra | None = None


def extra_of(extra: Extra | None, dialect: str) -> Mapping[str, Any]:
    """What ``dialect`` itself put into ``extra``; empty if nothing."""
    if extra is None:
        return {}
    return extra.get(dialect, {})
