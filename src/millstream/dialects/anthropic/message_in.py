"""One message of a reply → events: its start, its blocks, its end. What each stream and each whole reply go through."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import FinishReason, Opaque
from millstream.dialects.anthropic import usage as counts
from millstream.dialects.anthropic.blocks_in import KIND, citation_of
from millstream.dialects.anthropic.wire import (
    FINISH_REASONS,
    ORIGIN,
    SERVER_CALLS,
    STOP_REASONS,
    CitationsDelta,
    InputJSONDelta,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
    digest,
    is_server_result,
)
from millstream.dialects.base import own_extra

_MESSAGE_FIELDS = frozenset({"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"})
_SAID_AT_THE_END = frozenset({"container", "stop_details", "context_management", "safeguard_results"})
"""Fields of a whole reply that a stream says in ``message_delta``."""

RAW_REASON = "$stop_reason"
"""Note: a ``stop_reason`` that shares its canonical name with others, or has none."""


class Block:
    """A block under way. ``index`` is ours, -1 for one that is given whole when it stops."""

    __slots__ = ("data", "got_input", "index", "kind", "signature")

    def __init__(self, kind: str, index: int, data: dict[str, Any]) -> None:
        self.kind = kind
        self.index = index
        self.data = data
        self.signature = ""
        self.got_input = False


class MessageIn:
    """Collects events in ``out``. ``blocks`` are those under way, by the wire's index."""

    def __init__(self) -> None:
        self.out: list[ev.Event] = []
        self.blocks: dict[int, Block] = {}
        self.started = False
        self.ended = False
        self._next = 0
        self._id = ""
        self._called = False
        self._usage: dict[str, Any] = {}
        self._reason: str | None = None
        self._stop_sequence: str | None = None
        self._end_extra: dict[str, Any] = {}

    def whole(self, reply: dict[str, Any]) -> None:
        """A complete ``message`` object: each of its blocks starts and stops at once."""
        self.start({name: value for name, value in reply.items() if name not in _SAID_AT_THE_END})
        delta = {name: reply.get(name) for name in ("stop_reason", "stop_sequence", *_SAID_AT_THE_END)}
        self.delta({"delta": delta})
        self.stop({})

    def fail(self, fault: ev.Fault) -> None:
        self.out.append(fault)
        self.ended = True

    def start(self, message: dict[str, Any]) -> None:
        message_id = _text(message, "id")
        self._usage = counts.merged(self._usage, message.get("usage"))
        if self.started:
            if message_id != self._id and (self._next or self.blocks):
                detail = "the upstream began another message in the middle of this one"
                self.fail(ev.truncated(detail))
            return
        self.started = True
        self._id = message_id
        extra = {name: value for name, value in message.items() if name not in _MESSAGE_FIELDS and value is not None}
        usage = counts.usage_in(self._usage) if self._usage else None
        start = ev.MessageStart(message_id, _text(message, "model"), usage=usage, extra=own_extra(ORIGIN, extra))
        self.out.append(start)
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else []):
            if isinstance(block, dict):
                self.block_start(index, block)
                self.block_stop(index)

    def block_start(self, index: int, content: dict[str, Any]) -> None:
        if not self.started:
            self.start({})
        if index in self.blocks:
            self.block_stop(index)
        kind = _text(content, "type")
        extra = {name: value for name, value in content.items() if value is not None and name != "type"}
        if kind == "text":
            self._text_start(index, extra)
        elif kind in ("thinking", "redacted_thinking"):
            self._thinking_start(index, extra)
        elif kind == "tool_use" or kind in SERVER_CALLS:
            self._call_start(index, kind, extra)
        elif is_server_result(content):
            block = self._open(index, "whole")
            readable = digest(content) or None
            self.out.append(ev.ServerToolResult(block.index, ORIGIN, content["tool_use_id"], content, text=readable))
        else:
            self.blocks[index] = Block("held", -1, dict(content))

    def _open(self, index: int, kind: str, data: dict[str, Any] | None = None) -> Block:
        block = Block(kind, self._next, data or {})
        self._next += 1
        self.blocks[index] = block
        return block

    def _text_start(self, index: int, fields: dict[str, Any]) -> None:
        block = self._open(index, "text")
        text = fields.pop("text", "")
        cited = fields.get("citations")
        if cited:
            del fields["citations"]
        self.out.append(ev.TextStart(block.index, extra=own_extra(ORIGIN, fields)))
        if isinstance(text, str) and text:
            self.out.append(ev.TextDelta(block.index, text))
        for citation in cited if isinstance(cited, list) else []:
            self._cite(block, citation)

    def _thinking_start(self, index: int, fields: dict[str, Any]) -> None:
        block = self._open(index, "thinking")
        text, data = fields.pop("thinking", ""), fields.pop("data", None)
        block.signature = _text(fields, "signature")
        fields.pop("signature", None)
        redacted = Opaque(ORIGIN, data) if isinstance(data, str) else None
        self.out.append(ev.ReasoningStart(block.index, redacted=redacted, extra=own_extra(ORIGIN, fields)))
        if isinstance(text, str) and text:
            self.out.append(ev.ReasoningDelta(block.index, text))

    def _call_start(self, index: int, kind: str, fields: dict[str, Any]) -> None:
        block = self._open(index, "call", {"input": fields.pop("input", None)})
        call_id, name = _text(fields, "id"), _text(fields, "name")
        extra = {field: value for field, value in fields.items() if field not in ("id", "name")}
        if kind == "tool_use":
            self._called = True
            self.out.append(ev.ToolCallStart(block.index, call_id, name, extra=own_extra(ORIGIN, extra)))
        else:
            extra = {KIND: kind, **extra}
            self.out.append(ev.ToolCallStart(block.index, call_id, name, 0, "server", own_extra(ORIGIN, extra)))

    def orphan(self, index: int, delta: object) -> None:
        """A delta of a block that never started: text and thinking need no more than their kind."""
        if isinstance(delta, TextDelta):
            self.block_start(index, {"type": "text", "text": delta.text})
        elif isinstance(delta, ThinkingDelta):
            self.block_start(index, {"type": "thinking", "thinking": delta.thinking})
        elif isinstance(delta, InputJSONDelta):
            self.fail(malformed("the upstream sent a tool call's input without the call"))

    def other_delta(self, block: Block, delta: object, data: bytes) -> None:
        if isinstance(delta, SignatureDelta):
            block.signature = delta.signature
        elif isinstance(delta, CitationsDelta) and block.kind == "text":
            self._cite(block, delta.citation)
        elif block.kind == "held":
            for name, piece in msgspec.to_builtins(delta).items():
                if name != "type":
                    known = block.data.get(name)
                    block.data[name] = known + piece if isinstance(known, str) else piece
        elif block.kind == "whole":
            self.out.append(ev.Unknown(ORIGIN, data.decode("utf-8", "replace"), "content_block_delta"))
        elif block.kind != "call" or not isinstance(delta, CitationsDelta):
            self.fail(malformed(f"the upstream sent a {type(delta).__name__} in a {block.kind} block"))

    def _cite(self, block: Block, citation: object) -> None:
        if isinstance(citation, dict):
            fields = msgspec.structs.asdict(citation_of(citation))
            self.out.append(ev.Citation(block.index, **fields))

    def block_stop(self, index: int) -> None:
        block = self.blocks.pop(index, None)
        if block is None:
            return
        signature = Opaque(ORIGIN, block.signature) if block.signature else None
        if block.kind == "text":
            self.out.append(ev.TextEnd(block.index, signature))
        elif block.kind == "thinking":
            self.out.append(ev.ReasoningEnd(block.index, signature))
        elif block.kind == "call":
            given = block.data["input"]
            if given and not block.got_input:
                self.out.append(ev.ToolCallDelta(block.index, given if isinstance(given, str) else _json(given)))
            self.out.append(ev.ToolCallEnd(block.index, signature))
        elif block.kind == "held":
            self.out.append(ev.UnknownBlock(self._next, ORIGIN, block.data))
            self._next += 1

    def delta(self, fields: dict[str, Any]) -> None:
        if not self.started:
            self.start({})
        delta = fields.get("delta")
        said = dict(delta) if isinstance(delta, dict) else {}
        self._reason = _text(said, "stop_reason") or self._reason
        self._stop_sequence = _text(said, "stop_sequence") or self._stop_sequence
        about = {name: value for name, value in fields.items() if name not in ("type", "delta", "usage")}
        for name, value in (*said.items(), *about.items()):
            if value is not None and name not in ("stop_reason", "stop_sequence"):
                self._end_extra[name] = value
        if isinstance(fields.get("usage"), dict):
            self._usage = counts.merged(self._usage, fields["usage"])
            self.out.append(ev.Usage(counts.usage_in(self._usage)))

    def stop(self, fields: dict[str, Any]) -> None:
        if not self.started:
            self.fail(malformed("the upstream ended a message that never began"))
            return
        for index in sorted(self.blocks):
            self.block_stop(index)
        reason = self._finish_reason()
        extra = own_extra(ORIGIN, self._end_extra)
        self.out.append(ev.ChoiceEnd(0, reason, self._stop_sequence, extra))
        rest = {name: value for name, value in fields.items() if name != "type" and value is not None}
        self.out.append(ev.Finish(own_extra(ORIGIN, rest)))
        self.ended = True

    def _finish_reason(self) -> FinishReason:
        if self._reason is None:
            return "tool_calls" if self._called else "stop"
        reason = FINISH_REASONS.get(self._reason, "stop")
        if STOP_REASONS[reason] != self._reason:
            self._end_extra[RAW_REASON] = self._reason
        return reason


def malformed(message: str) -> ev.Fault:
    return ev.Fault.of(UpstreamFault(message, Kind.MALFORMED))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""
