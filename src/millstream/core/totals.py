"""Usage of several model calls together."""

from __future__ import annotations

from millstream.core.messages import Usage


def total(before: Usage | None, usage: Usage) -> Usage:
    """Both together; what only one of them counts is that one's."""
    if before is None:
        return usage
    return Usage(
        before.input_tokens + usage.input_tokens,
        before.output_tokens + usage.output_tokens,
        _sum(before.cache_read_tokens, usage.cache_read_tokens),
        _sum(before.cache_write_tokens, usage.cache_write_tokens),
        _sum(before.reasoning_tokens, usage.reasoning_tokens),
        usage.extra,
    )


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)
