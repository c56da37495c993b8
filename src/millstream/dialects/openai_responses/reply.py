"""What a reply says about itself beside its output: tokens, and fields without a canonical name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.core.messages import Extra, Usage
from millstream.dialects.base import own_extra
from millstream.dialects.openai_responses import wire

SAID_OTHERWISE = frozenset(
    {
        "id",
        "object",
        "created_at",
        "status",
        "model",
        "output",
        "output_text",
        "usage",
        "error",
        "incomplete_details",
    }
)
"""Fields with a canonical form of their own."""

ECHOES = frozenset(
    {
        "background",
        "frequency_penalty",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "presence_penalty",
        "previous_response_id",
        "prompt_cache_key",
        "reasoning",
        "safety_identifier",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
"""Fields that repeat the request: our client must be told its own, not what the upstream was asked."""

_USAGE = frozenset({"input_tokens", "output_tokens", "total_tokens", "input_tokens_details", "output_tokens_details"})


def usage(response: Mapping[str, Any]) -> Usage | None:
    given = response.get("usage")
    if not isinstance(given, dict):
        return None
    read = wire.mapping(given, "input_tokens_details")
    written = wire.mapping(given, "output_tokens_details")
    return Usage(
        input_tokens=wire.integer(given, "input_tokens") or 0,
        output_tokens=wire.integer(given, "output_tokens") or 0,
        cache_read_tokens=wire.integer(read, "cached_tokens"),
        cache_write_tokens=wire.integer(read, "cache_write_tokens"),
        reasoning_tokens=wire.integer(written, "reasoning_tokens"),
        extra=own_extra(wire.NAME, {name: value for name, value in given.items() if name not in _USAGE}),
    )


def wire_usage(counted: Usage | None) -> dict[str, Any] | None:
    """All counts of the API's type, which clients insist on, even where nothing is known of them."""
    if counted is None:
        return None
    return {
        "input_tokens": counted.input_tokens,
        "input_tokens_details": {
            "cached_tokens": counted.cache_read_tokens or 0,
            "cache_write_tokens": counted.cache_write_tokens or 0,
        },
        "output_tokens": counted.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counted.reasoning_tokens or 0},
        "total_tokens": counted.input_tokens + counted.output_tokens,
        **wire.own(counted.extra),
    }


def final_extra(response: Mapping[str, Any]) -> Extra | None:
    """The upstream's own remarks (tier, billing, moderation, …), for a client of this dialect."""
    kept = {
        name: value
        for name, value in response.items()
        if value is not None and name not in SAID_OTHERWISE and name not in ECHOES
    }
    return own_extra(wire.NAME, kept)
