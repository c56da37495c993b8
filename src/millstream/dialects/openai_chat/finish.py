"""Why an answer ended: the words of OpenAI and of others, both directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import FinishReason
from millstream.dialects.base import own_extra
from millstream.dialects.openai_chat import wire

_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "length": "length",
    "max_tokens": "length",
    "model_length": "context_window",
    "model_context_window_exceeded": "context_window",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "safety": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
    "pause_turn": "pause",
}
"""Together (eos), TGI (eos_token), Mistral (model_length), Z.ai (sensitive), gateways before Anthropic's models."""

_FAILURES: Mapping[str, Kind] = {
    "error": Kind.INTERNAL,
    "network_error": Kind.INTERNAL,
    "insufficient_system_resource": Kind.OVERLOADED,
    "abort": Kind.INTERNAL,
}
"""OpenRouter and Mistral; Z.ai; DeepSeek; vLLM and SGLang: not the model's end of an answer but a failure's."""

_SAYABLE = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
"""What the official SDKs know."""


def failure_of(finish_reason: str) -> UpstreamFault | None:
    """The fault that a ``finish_reason`` stands for, if it is one."""
    kind = _FAILURES.get(finish_reason)
    if kind is None:
        return None
    return UpstreamFault(f"the upstream broke its answer off: {finish_reason}", kind, code=finish_reason)


def choice_end(number: int, finish_reason: str, stopped_at: object, *, called: bool) -> ev.ChoiceEnd:
    """``called``: the choice holds tool calls for the client. Then that is why it ended, whatever word was used: some
    say ``stop`` there, and a client would not look for the calls. The upstream's word is kept for its own dialect."""
    reason = _REASONS.get(finish_reason.lower(), "stop")
    sequence = stopped_at if isinstance(stopped_at, str) and reason == "stop" else None
    if sequence:
        reason = "stop_sequence"
    if called and reason == "stop":
        reason = "tool_calls"
    elif not called and reason == "tool_calls":
        reason = "stop"
    kept = {} if finish_reason in ("", _word(reason)) else {"finish_reason": finish_reason}
    return ev.ChoiceEnd(number, reason, sequence or None, own_extra(wire.NAME, kept))


def finish_reason(end: ev.ChoiceEnd) -> str:
    """The word for a client: the upstream's own if the SDKs know it."""
    given = wire.own(end.extra).get("finish_reason")
    return given if given in _SAYABLE else _word(end.reason)


def _word(reason: FinishReason) -> str:
    match reason:
        case "stop" | "stop_sequence" | "pause":
            return "stop"
        case "length" | "context_window":
            return "length"
        case "tool_calls":
            return "tool_calls"
        case "content_filter" | "refusal":
            return "content_filter"
        case _:
            assert_never(reason)
