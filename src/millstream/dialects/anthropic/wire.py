"""The events of a Messages stream: the fields that are read, nothing else, and the words both directions share.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming and the types of Anthropic's SDKs. Blocks are
kept as plain objects, since what this version does not know of them is carried.
"""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from millstream.core.messages import FinishReason

ORIGIN = "anthropic"
"""This dialect's name: in ``Request.origin``, ``Opaque.origin`` and as the key of its own fields in ``extra``."""

API_VERSION = "2023-06-01"
UNPARSED_INPUT = "__unparsedToolInput"
"""Where arguments that are no JSON object are kept, since ``input`` must be one. The name and the shape are Claude
Code's own (2.1.329): a client's tool or the model then sees what was wrong."""


class TextDelta(msgspec.Struct, tag_field="type", tag="text_delta"):
    text: str


class ThinkingDelta(msgspec.Struct, tag_field="type", tag="thinking_delta"):
    thinking: str


class InputJSONDelta(msgspec.Struct, tag_field="type", tag="input_json_delta"):
    partial_json: str


class SignatureDelta(msgspec.Struct, tag_field="type", tag="signature_delta"):
    signature: str


class CitationsDelta(msgspec.Struct, tag_field="type", tag="citations_delta"):
    citation: dict[str, Any]


Delta = TextDelta | ThinkingDelta | InputJSONDelta | SignatureDelta | CitationsDelta


class BlockDelta(msgspec.Struct, tag_field="type", tag="content_block_delta"):
    index: int
    delta: Delta


class BlockStart(msgspec.Struct, tag_field="type", tag="content_block_start"):
    index: int
    content_block: dict[str, Any]


class BlockStop(msgspec.Struct, tag_field="type", tag="content_block_stop"):
    index: int


class Ping(msgspec.Struct, tag_field="type", tag="ping"):
    pass


StreamEvent = BlockDelta | BlockStart | BlockStop | Ping
"""What comes many times. The rest (``message_start``, ``message_delta``, ``message_stop``, ``error``) comes once, and
is read as a plain object."""

STREAM_EVENT_TAGS = frozenset(str(event.__struct_config__.tag) for event in get_args(StreamEvent))

FINISH_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "compaction": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
}
STOP_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_calls": "tool_use",
    "pause": "pause_turn",
    "refusal": "refusal",
    "content_filter": "refusal",
    "context_window": "model_context_window_exceeded",
}

SERVER_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})
"""Blocks of calls that the provider runs itself."""


def is_server_result(block: dict[str, Any]) -> bool:
    """Whether ``block`` is what a tool run by the provider gave (``web_search_tool_result`` and its like)."""
    kind = block.get("type")
    return isinstance(kind, str) and kind.endswith("_tool_result") and isinstance(block.get("tool_use_id"), str)


_READABLE = ("title", "url", "text", "stdout", "stderr", "tool_name", "error_message")
_NESTED = ("content", "source", "tool_references")
_DEEPEST = 8


def digest(block: object) -> str:
    """The readable strings in a server tool's result, a line each, without what is encrypted or base64."""
    lines: list[str] = []
    _collect(block, lines, 0)
    return "\n".join(lines)


def _collect(value: object, lines: list[str], depth: int) -> None:
    if isinstance(value, str):
        lines.append(value)
    elif depth > _DEEPEST:
        return
    elif isinstance(value, list):
        for item in value:
            _collect(item, lines, depth + 1)
    elif isinstance(value, dict) and value.get("type") != "base64":
        if isinstance(value.get("error_code"), str):
            lines.append(f"error: {value['error_code']}")
        readable = (*_READABLE, "data") if value.get("type") == "text" else _READABLE
        lines.extend(value[name] for name in readable if isinstance(value.get(name), str) and value[name])
        for name in _NESTED:
            _collect(value.get(name), lines, depth + 1)
