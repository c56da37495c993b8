"""Token counts, both directions.

Every vendor has a place of its own for cached tokens. The canonical counts include what was cached and what was
thought; so does OpenAI, while xAI counts thinking beside ``completion_tokens``, which its total shows, and Vercel's
gateway does for Gemini, which shows where more was thought than completed. Mistral has reported more tokens read from
its cache than the prompt had: a part is at most the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.core.messages import Usage
from millstream.dialects.base import own_extra
from millstream.dialects.openai_chat import wire

_PROMPT = "prompt_tokens_details"
_COMPLETION = "completion_tokens_details"
_READ = ("cached_tokens", "num_cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
"""Moonshot and Together; Mistral; DeepSeek; Venice and other gateways before Anthropic's models."""

_WRITTEN = ("cache_write_tokens", "cache_creation_input_tokens")
_COUNTED = frozenset({"prompt_tokens", "completion_tokens", "total_tokens", "reasoning_tokens", *_READ, *_WRITTEN})
_COUNTED_PARTS = frozenset({"cached_tokens", "cache_write_tokens", "reasoning_tokens"})


def usage_in(data: Mapping[str, Any]) -> Usage:
    """What an upstream counted. Fields without a canonical name (cost, audio tokens) ride in ``extra``."""
    prompt_parts, completion_parts = wire.mapping(data, _PROMPT), wire.mapping(data, _COMPLETION)
    read = _first((prompt_parts, "cached_tokens"), *((data, name) for name in _READ))
    written = _first((prompt_parts, "cache_write_tokens"), *((data, name) for name in _WRITTEN))
    reasoning = _first((completion_parts, "reasoning_tokens"), (data, "reasoning_tokens"))
    prompt = wire.integer(data, "prompt_tokens") or 0
    completion = wire.integer(data, "completion_tokens") or 0
    total = wire.integer(data, "total_tokens")
    if reasoning and (total == prompt + completion + reasoning or reasoning > completion):
        completion += reasoning
    extra = wire.without(data, _COUNTED | {_PROMPT, _COMPLETION})
    for name, parts in ((_PROMPT, prompt_parts), (_COMPLETION, completion_parts)):
        if left := wire.without(parts, _COUNTED_PARTS):
            extra[name] = left
    cached = (read or 0) + (written or 0)
    if cached > prompt and total is not None and total >= prompt + completion + cached:
        prompt += cached
    elif cached > prompt:
        extra[_PROMPT] = {**extra.get(_PROMPT, {}), "cached_tokens": read}
        read, written = read and min(read, prompt), written and min(written, max(prompt - (read or 0), 0))
    return Usage(prompt, completion, read, written, reasoning, own_extra(wire.NAME, extra))


def _first(*places: tuple[Mapping[str, Any], str]) -> int | None:
    """The first count that says anything; zero if any of them was given."""
    counts = [count for data, name in places if (count := wire.integer(data, name)) is not None]
    return next((count for count in counts if count), 0 if counts else None)


def usage_out(usage: Usage) -> dict[str, Any]:
    """``usage`` as OpenAI writes it, with whatever else an upstream of this dialect reported."""
    prompt_parts: dict[str, Any] = {"cached_tokens": usage.cache_read_tokens or 0, "audio_tokens": 0}
    if usage.cache_write_tokens is not None:
        prompt_parts["cache_write_tokens"] = usage.cache_write_tokens
    completion_parts: dict[str, Any] = {
        "reasoning_tokens": usage.reasoning_tokens or 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    extra = dict(wire.own(usage.extra))
    prompt_parts.update(extra.pop(_PROMPT, {}))
    completion_parts.update(extra.pop(_COMPLETION, {}))
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        _PROMPT: prompt_parts,
        _COMPLETION: completion_parts,
        **extra,
    }
