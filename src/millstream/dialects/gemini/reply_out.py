"""Whole replies for a client, and the pieces that its streams are made of too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core.errors import GatewayBug
from millstream.core.messages import (
    Choice,
    FinishReason,
    MediaPart,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Reply,
    Request,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    UnknownPart,
    Usage,
    extra_of,
)
from millstream.dialects.base import ReplyContext
from millstream.dialects.gemini import parts_out, signatures
from millstream.dialects.gemini.finish import reason_out
from millstream.dialects.gemini.grounding import Grounding
from millstream.dialects.gemini.parts_out import Wire
from millstream.dialects.gemini.usage import usage_out
from millstream.dialects.gemini.wire import DIALECT


def hides_thoughts(request: Request) -> bool:
    """Whether the client said ``includeThoughts: false``. One that says nothing is shown thoughts, marked as such."""
    return request.reasoning is not None and request.reasoning.display == "omitted"


def part_out(part: Part) -> Wire | None:
    """None for what only another dialect's own clients understand."""
    match part:
        case TextPart() | RefusalPart():
            return parts_out.text_out(part, _sign)
        case ReasoningPart():
            redacted = part.redacted is not None
            opaque = part.redacted if part.redacted is not None else part.signature
            return parts_out.thought_out(part, _sign(opaque, redacted=redacted))
        case MediaPart():
            return parts_out.media_out(part, _sign, part.media_type)
        case ToolCallPart(kind="server"):
            return parts_out.server_call_out(part, _sign(part.signature))
        case ToolCallPart():
            return parts_out.call_out(part, _sign(part.signature))
        case ServerToolResultPart():
            return parts_out.server_result_out(part)
        case UnknownPart():
            return parts_out.unknown_out(part)
        case _:
            raise GatewayBug(f"a reply cannot hold a {type(part).__name__}")


def _sign(opaque: Opaque | None, *, redacted: bool = False) -> str | None:
    return signatures.for_client(opaque, redacted=redacted) if opaque is not None else None


def candidate_out(
    number: int, reason: FinishReason, own: Mapping[str, Any], parts: list[Wire] | None, grounding: Grounding | None
) -> Wire:
    """A candidate with how it ended. ``own``: what Google's own candidate said beyond our words for it."""
    candidate: Wire = {} if parts is None else {"content": {"parts": parts, "role": "model"}}
    candidate["finishReason"] = own.get("finishReason") or reason_out(reason)
    candidate["index"] = number
    if grounding:
        candidate["groundingMetadata"] = grounding.metadata()
    return {**candidate, **own}


def body_out(candidates: list[Wire], own: Mapping[str, Any], usage: Usage | None, model: str, reply_id: str) -> bytes:
    """A reply's JSON; also a stream's last chunk. A prompt that was blocked has feedback instead of candidates."""
    feedback = own.get("promptFeedback")
    blocked = (
        isinstance(feedback, Mapping) and feedback.get("blockReason") and not any("content" in c for c in candidates)
    )
    body: Wire = {} if blocked else {"candidates": candidates}
    if usage is not None:
        body["usageMetadata"] = usage_out(usage)
    body["modelVersion"] = model
    body["responseId"] = reply_id
    return msgspec.json.encode({**body, **own})


def render_reply(reply: Reply, context: ReplyContext) -> bytes:
    hides = hides_thoughts(context.request)
    candidates = [_candidate(number, choice, hides=hides) for number, choice in enumerate(reply.choices)]
    model = reply.model or context.request.model
    return body_out(candidates, extra_of(reply.extra, DIALECT), reply.usage, model, reply.id or context.reply_id)


def _candidate(number: int, choice: Choice, *, hides: bool) -> Wire:
    shown = [part for part in choice.parts if not (hides and isinstance(part, ReasoningPart))]
    parts = [wire for part in shown if (wire := part_out(part)) is not None]
    grounding = Grounding()
    for index, part in enumerate(choice.parts):
        if isinstance(part, TextPart):
            for citation in part.citations:
                if citation.origin != DIALECT:
                    grounding.add(ev.Citation(index, **msgspec.structs.asdict(citation)), in_bytes=part.text.isascii())
    filtered = choice.finish_reason in ("content_filter", "refusal")
    said = parts or (None if filtered else [{"text": ""}])
    return candidate_out(number, choice.finish_reason, extra_of(choice.extra, DIALECT), said, grounding)
