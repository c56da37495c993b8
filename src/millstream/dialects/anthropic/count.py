"""Counting a request's tokens instead of answering it: ``POST /v1/messages/count_tokens``.

Source: https://platform.claude.com/docs/en/build-with-claude/token-counting. The body is a request's without
``max_tokens``.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from millstream.core.messages import Request
from millstream.dialects.anthropic.address import addressed_count, quirks_of
from millstream.dialects.anthropic.request_out import headers_out, render_request
from millstream.dialects.base import ClientCall, Target, UpstreamRequest, rename_model

_COUNTED: Final = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "output_format"}
    | {"context_management", "mcp_servers", "cache_control"}
)
"""Fields of a request that the endpoint knows; it refuses all others."""


def forward_count(call: ClientCall, target: Target) -> UpstreamRequest:
    """The side door: only the model is renamed."""
    path, body = addressed_count(rename_model(call.body, target.model), target)
    return UpstreamRequest(path, body, headers_out(call.headers))


def render_count(request: Request, target: Target) -> UpstreamRequest:
    """A request of any dialect. Raises ``ClientFault`` as ``render_request``."""
    plain = msgspec.structs.replace(quirks_of(target), messages_path="", stream_path=None, version_in_body=None)
    rendered = render_request(request, Target(target.model, plain, stream=False))
    fields = msgspec.json.decode(rendered.body, type=dict[str, msgspec.Raw])
    counted = msgspec.json.encode({name: value for name, value in fields.items() if name in _COUNTED})
    path, body = addressed_count(counted, target)
    return UpstreamRequest(path, body, rendered.headers)


def read_count(body: bytes) -> int | None:
    try:
        tokens = msgspec.json.decode(body, type=dict[str, Any]).get("input_tokens")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None


def count_reply(tokens: int) -> bytes:
    """``{"input_tokens": 17}``"""
    return msgspec.json.encode({"input_tokens": tokens})
