"""``usageMetadata`` ⇄ token counts.

Google counts apart what the canonical form counts together: the prompt and what server tools put into it, the answer
and the thoughts. ``totalTokenCount`` is the sum of the four.
"""

from __future__ import annotations

from typing import Any

from millstream.core.messages import Usage, extra_of
from millstream.dialects.base import own_extra
from millstream.dialects.gemini.wire import DIALECT, UsageMetadata, given, value_of

_DETAILS = {
    "promptTokensDetails": "prompt_tokens_details",
    "candidatesTokensDetails": "candidates_tokens_details",
    "cacheTokensDetails": "cache_tokens_details",
    "toolUsePromptTokensDetails": "tool_use_prompt_tokens_details",
}


def counts_of(wire: UsageMetadata) -> Usage | None:
    """The counts without the details; None where the upstream has not counted yet (Vertex, until the last chunk)."""
    if wire.prompt_token_count is None and wire.total_token_count is None:
        return None
    prompt = (wire.prompt_token_count or 0) + (wire.tool_use_prompt_token_count or 0)
    thoughts = wire.thoughts_token_count
    output = (wire.candidates_token_count or 0) + (thoughts or 0)
    if wire.candidates_token_count is None and wire.total_token_count is not None:
        output = max(output, wire.total_token_count - prompt)
    return Usage(prompt, output, wire.cached_content_token_count, None, thoughts)


def usage_of(wire: UsageMetadata) -> Usage | None:
    """All of it. Raises ``UpstreamFault`` where a detail is not JSON."""
    counts = counts_of(wire)
    if counts is None:
        return None
    own: dict[str, Any] = {}
    if wire.tool_use_prompt_token_count is not None:
        own["toolUsePromptTokenCount"] = wire.tool_use_prompt_token_count
    for name, field in _DETAILS.items():
        raw = getattr(wire, field)
        if given(raw):
            own[name] = value_of(raw)
    if wire.traffic_type is not None:
        own["trafficType"] = wire.traffic_type
    if wire.service_tier is not None:
        own["serviceTier"] = wire.service_tier
    extra = own_extra(DIALECT, own)
    return Usage(
        counts.input_tokens, counts.output_tokens, counts.cache_read_tokens, None, counts.reasoning_tokens, extra
    )


def usage_out(usage: Usage) -> dict[str, Any]:
    own = dict(extra_of(usage.extra, DIALECT))
    from_tools = own.get("toolUsePromptTokenCount") or 0
    thoughts = usage.reasoning_tokens or 0
    wire: dict[str, Any] = {
        "promptTokenCount": usage.input_tokens - from_tools,
        "candidatesTokenCount": usage.output_tokens - thoughts,
    }
    if usage.cache_read_tokens is not None:
        wire["cachedContentTokenCount"] = usage.cache_read_tokens
    if usage.reasoning_tokens is not None:
        wire["thoughtsTokenCount"] = usage.reasoning_tokens
    return {**wire, "totalTokenCount": usage.input_tokens + usage.output_tokens, **own}
