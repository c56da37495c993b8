"""Anthropic's Messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from speakers.base import (
    CACHED,
    INPUT,
    OUTPUT,
    Asked,
    Block,
    Said,
    Speaker,
    Thought,
    Told,
    as_json,
    calls_in,
    event,
    text_of,
)


class Anthropic(Speaker):
    name = "anthropic"
    signs = True
    marks_failures = True
    _USAGE: Mapping[str, int] = {
        "input_tokens": INPUT - CACHED,
        "cache_read_input_tokens": CACHED,
        "cache_creation_input_tokens": 0,
        "output_tokens": OUTPUT,
    }
    _TYPES: Mapping[str, str] = {
        "overloaded": "overloaded_error",
        "rate": "rate_limit_error",
        "internal": "api_error",
        "invalid": "invalid_request_error",
    }

    def counted(self, tokens: int) -> bytes:
        return as_json({"input_tokens": tokens})

    def begun(self, *blocks: Block) -> list[bytes]:
        message = {**self._message(), "content": [], "stop_reason": None, "stop_sequence": None}
        pieces = [
            event({"type": "message_start", "message": {**message, "usage": {**self._USAGE, "output_tokens": 1}}})
        ]
        for index, block in enumerate(blocks):
            empty, deltas = self._streamed(block)
            pieces.append(event({"type": "content_block_start", "index": index, "content_block": empty}))
            pieces += [event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
            pieces.append(event({"type": "content_block_stop", "index": index}))
        return pieces

    def ended(self, *blocks: Block) -> list[bytes]:
        delta = {"stop_reason": self._stop(blocks), "stop_sequence": None}
        return [
            event({"type": "message_delta", "delta": delta, "usage": self._USAGE}) + event({"type": "message_stop"})
        ]

    def whole(self, blocks: Iterable[Block]) -> dict[str, Any]:
        blocks = tuple(blocks)
        content = [self._block(block) for block in blocks]
        end = {"stop_reason": self._stop(blocks), "stop_sequence": None}
        return {**self._message(), "content": content, **end, "usage": self._USAGE}

    def refusal(self, status: int, kind: str, message: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": self._TYPES[kind], "message": message}, "request_id": "req_1"}

    def error(self, kind: str, message: str) -> bytes:
        return event(self.refusal(200, kind, message))

    def told(self, body: Mapping[str, Any]) -> Told:
        told = Told()
        for message in body["messages"]:
            for block in message["content"] if isinstance(message["content"], list) else []:
                if block["type"] == "tool_use":
                    told.calls.append((block["id"], block["name"], block["input"]))
                elif block["type"] == "thinking":
                    told.signatures.append(block["signature"])
                elif block["type"] == "tool_result":
                    told.results.append((block["tool_use_id"], text_of(block["content"])))
                    told.failed += [block["tool_use_id"]] if block.get("is_error") else []
        return told

    @staticmethod
    def _message() -> dict[str, Any]:
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": "m"}

    @staticmethod
    def _stop(blocks: Iterable[Block]) -> str:
        return "tool_use" if calls_in(blocks) else "end_turn"

    @staticmethod
    def _block(block: Block) -> dict[str, Any]:
        match block:
            case Thought():
                return {"type": "thinking", "thinking": block.text, "signature": block.signature or ""}
            case Said():
                return {"type": "text", "text": block.text}
            case Asked():
                return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.arguments}

    @staticmethod
    def _streamed(block: Block) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The empty block and what fills it."""
        match block:
            case Thought():
                thinking = {"type": "thinking_delta", "thinking": block.text}
                signed = {"type": "signature_delta", "signature": block.signature or ""}
                return {"type": "thinking", "thinking": "", "signature": ""}, [thinking, signed]
            case Said():
                return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in block.pieces]
            case Asked():
                pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *block.pieces)]
                return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}, pieces
