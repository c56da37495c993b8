"""The objects of a reply, as streams and whole replies share them.

Every field that the SDKs' types or the published schema call required is there, ``null`` where there is nothing to say.
Source: https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from millstream.core import events as ev
from millstream.core.messages import (
    Extra,
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
from millstream.core.opaque import sign_call_id, wrap
from millstream.dialects.anthropic.blocks_in import KIND
from millstream.dialects.anthropic.blocks_out import Block, citation_out, own_fields
from millstream.dialects.anthropic.call_input import input_of
from millstream.dialects.anthropic.message_in import RAW_REASON
from millstream.dialects.anthropic.usage import usage_out
from millstream.dialects.anthropic.wire import ORIGIN, STOP_REASONS
from millstream.dialects.base import ReplyContext

_DIRECT = {"type": "direct"}
_BESIDE_DELTA = frozenset({"context_management", "input_transformations"})
"""What ``message_delta`` says beside its ``delta``."""


def message_object(message_id: str, model: str, usage: Usage | None, extra: Extra | None) -> dict[str, Any]:
    """A message that has only begun."""
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": usage_out(usage),
        **own_fields(extra),
    }


class Ending(NamedTuple):
    """Why a message ended: the fields of ``delta``, and those beside it."""

    delta: dict[str, Any]
    beside: dict[str, Any]


def ending(
    reason: FinishReason, stop_sequence: str | None, extra: Extra | None, *, called: bool, refused: bool
) -> Ending:
    """``called``, ``refused``: the message holds tool calls for the client, or a refusal. They say more than ``stop``,
    which is all that some APIs say."""
    own = own_fields(extra)
    stop_reason = extra_of(extra, ORIGIN).get(RAW_REASON) or STOP_REASONS[reason]
    if reason == "stop" and (called or refused):
        stop_reason = "refusal" if refused else "tool_use"
    details = {"type": "refusal", "category": None, "explanation": None} if stop_reason == "refusal" else None
    delta = {
        "stop_reason": stop_reason,
        "stop_sequence": stop_sequence,
        "stop_details": details,
        "container": None,
        **{name: value for name, value in own.items() if name not in _BESIDE_DELTA},
    }
    return Ending(delta, {name: value for name, value in own.items() if name in _BESIDE_DELTA})


def hides_thinking(request: Request) -> bool:
    """Whether the client said ``thinking: disabled``: it may not expect such blocks then."""
    return request.reasoning is not None and request.reasoning.mode == "disabled"


def text_block(text: str, extra: Extra | None) -> Block:
    return {"type": "text", "text": text, **own_fields(extra)}


def thinking_block(text: str, signature: Opaque | None, extra: Extra | None) -> Block:
    signed = wrap(signature, ORIGIN) if signature is not None else ""
    return {"type": "thinking", "thinking": text, "signature": signed, **own_fields(extra)}


def redacted_block(redacted: Opaque, extra: Extra | None) -> Block:
    return {"type": "redacted_thinking", "data": wrap(redacted, ORIGIN), **own_fields(extra)}


def call_block(call: ToolCallPart, fallback_id: str) -> Block:
    """A call for the client, or one that Anthropic ran. The id carries a signature this API has no place for."""
    kind = extra_of(call.extra, ORIGIN).get(KIND, "tool_use")
    call_id = sign_call_id(call.id or fallback_id, call.signature) if kind == "tool_use" else call.id
    block = {"type": kind, "id": call_id, "name": call.name, "input": input_of(call), **own_fields(call.extra)}
    return block if kind == "mcp_tool_use" else {"caller": _DIRECT, **block}


def is_foreign_run(call: ToolCallPart | ev.ToolCallStart) -> bool:
    """Whether a provider of another API ran this call itself."""
    return call.kind == "server" and KIND not in extra_of(call.extra, ORIGIN)


def told_call(name: str) -> str:
    """The beginning of what a client is told of a call that another provider ran; its arguments follow."""
    return f"{name} "


def text_of_media(media: MediaPart | ev.Media) -> str:
    """What the model drew, as Markdown: this API's replies have no pictures, and nothing may be lost."""
    media_type = media.media_type or "application/octet-stream"
    address = media.url or f"data:{media_type};base64,{media.data or ''}"
    return f"{'!' if media_type.startswith('image') else ''}[generated {media_type.partition('/')[0]}]({address})"


def render_reply(reply: Reply, context: ReplyContext) -> bytes:
    """The first choice: this API's clients cannot ask for more."""
    choice = reply.choices[0] if reply.choices else None
    parts = choice.parts if choice is not None else ()
    model = reply.model or context.request.model
    message = message_object(reply.id or context.reply_id, model, reply.usage, reply.extra)
    hidden = hides_thinking(context.request)
    blocks = [_block(part, f"toolu_{context.reply_id}_{number}", hidden) for number, part in enumerate(parts)]
    message["content"] = [block for block in blocks if block is not None]
    if choice is not None:
        called = any(isinstance(part, ToolCallPart) and part.kind != "server" for part in parts)
        refused = any(isinstance(part, RefusalPart) for part in parts)
        end = ending(choice.finish_reason, choice.stop_sequence, choice.extra, called=called, refused=refused)
        message.update({**end.delta, **end.beside})
    return msgspec.json.encode(message)


def _block(part: Part, fallback_id: str, hide_thinking: bool) -> Mapping[str, Any] | None:
    match part:
        case TextPart():
            cited = [found for citation in part.citations if (found := citation_out(citation)) is not None]
            return {"citations": None, **text_block(part.text, part.extra), **({"citations": cited} if cited else {})}
        case RefusalPart():
            return {"citations": None, **text_block(part.text, part.extra)}
        case ReasoningPart(redacted=Opaque() as redacted):
            return None if hide_thinking else redacted_block(redacted, part.extra)
        case ReasoningPart():
            return None if hide_thinking else thinking_block(part.text, part.signature, part.extra)
        case ToolCallPart():
            told = told_call(part.name) + part.arguments
            return call_block(part, fallback_id) if not is_foreign_run(part) else _aside(told, hide_thinking)
        case ServerToolResultPart():
            return part.data if part.origin == ORIGIN else _aside(part.text, hide_thinking)
        case MediaPart():
            return {"citations": None, **text_block(text_of_media(part), None)}
        case UnknownPart(origin="anthropic"):
            return part.data
        case _:
            return None


def _aside(text: str | None, hide_thinking: bool) -> Block | None:
    """What a foreign provider did by itself, as a thought."""
    return None if hide_thinking or not text else thinking_block(text, None, None)
