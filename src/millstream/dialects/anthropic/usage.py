"""Token counts, both directions.

The wire's ``input_tokens`` leaves out what was read from and written to the cache; the canonical count has it in.
Source: https://platform.claude.com/docs/en/build-with-claude/prompt-caching#tracking-cache-performance
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.core.messages import Usage, extra_of
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import own_extra

_COUNTS = frozenset({"input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"})
_DETAILS = "output_tokens_details"
_IN_DELTA_ONLY_IF_SET = frozenset({"cache_creation", "inference_geo", "service_tier"})


def merged(usage: Mapping[str, Any], update: object) -> dict[str, Any]:
    """``usage`` with what a later event says. Its counts are totals; what it leaves out or nulls still holds."""
    if not isinstance(update, dict):
        return dict(usage)
    return {**usage, **{name: value for name, value in update.items() if value is not None}}


def usage_in(usage: Mapping[str, Any]) -> Usage:
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    details = usage.get(_DETAILS)
    thinking = _count(details, "thinking_tokens") if isinstance(details, dict) else None
    return Usage(
        input_tokens=(_count(usage, "input_tokens") or 0) + (read or 0) + (written or 0),
        output_tokens=_count(usage, "output_tokens") or 0,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=thinking,
        extra=own_extra(ORIGIN, {name: value for name, value in usage.items() if name not in _COUNTS}),
    )


def usage_out(usage: Usage | None) -> dict[str, Any]:
    """The object of ``message_start`` and of whole replies, with every field that the SDKs' types know."""
    usage = usage or Usage()
    own = extra_of(usage.extra, ORIGIN)
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    by_lifetime = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
    details = None if usage.reasoning_tokens is None else {"thinking_tokens": usage.reasoning_tokens}
    fields: dict[str, Any] = {
        "input_tokens": max(usage.input_tokens - read - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": by_lifetime if usage.cache_write_tokens == 0 else None,
        "output_tokens": usage.output_tokens,
        _DETAILS: details,
        "server_tool_use": None,
        "service_tier": None,
        "inference_geo": None,
    }
    return {**fields, **own}


def delta_usage_out(usage: Usage | None) -> dict[str, Any]:
    """The object of ``message_delta``: the same totals, without what only the start tells."""
    fields = usage_out(usage)
    own = extra_of(usage.extra, ORIGIN) if usage is not None else {}
    return {name: value for name, value in fields.items() if name not in _IN_DELTA_ONLY_IF_SET or name in own}


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
