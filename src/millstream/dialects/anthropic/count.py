"""Counting a request's tokens instead of answering it: ``POST /v1/messages/count_tokens``.

Source: https://platform.claude.com/docs/en/build-with-claude/token-counting. The body is a request's without
``max_tokens``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.dialects.anthropic.request_out import headers_out
from millstream.dialects.base import ClientCall, Target, UpstreamRequest, rename_model

COUNT_TOKENS = "/v1/messages/count_tokens"


def forward_count(call: ClientCall, target: Target) -> UpstreamRequest:
    """The side door: only the model is renamed."""
    return UpstreamRequest(COUNT_TOKENS, rename_model(call.body, target.model), headers_out(call.headers))


def read_count(body: bytes) -> int | None:
    try:
        tokens = msgspec.json.decode(body, type=dict[str, Any]).get("input_tokens")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None


def count_reply(tokens: int) -> bytes:
    """``{"input_tokens": 17}``"""
    return msgspec.json.encode({"input_tokens": tokens})
