"""OpenAI's Chat Completions."""

from __future__ import annotations

import json
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
    calls_in,
    frame,
    text_of,
)


class Chat(Speaker):
    name = "openai_chat"
    base = "/v1"
    _USAGE: Mapping[str, Any] = {
        "prompt_tokens": INPUT,
        "completion_tokens": OUTPUT,
        "total_tokens": INPUT + OUTPUT,
        "prompt_tokens_details": {"cached_tokens": CACHED},
    }
    _CODES: Mapping[str, tuple[str, str | None]] = {
        "overloaded": ("server_error", "server_overloaded"),
        "rate": ("rate_limit_error", "rate_limit_exceeded"),
        "internal": ("server_error", None),
        "invalid": ("invalid_request_error", None),
    }

    def begun(self, *blocks: Block) -> list[bytes]:
        pieces = [self._chunk({"role": "assistant", "content": ""})]
        number = -1
        for block in blocks:
            match block:
                case Thought():
                    pieces.append(self._chunk({"reasoning_content": block.text}))
                case Said():
                    pieces += [self._chunk({"content": piece}) for piece in block.pieces]
                case Asked():
                    number += 1
                    named = {"index": number, "id": block.id, "type": "function"}
                    pieces.append(
                        self._chunk({"tool_calls": [{**named, "function": {"name": block.name, "arguments": ""}}]})
                    )
                    pieces += [
                        self._chunk({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
                        for piece in block.pieces
                    ]
        return pieces

    def ended(self, *blocks: Block) -> list[bytes]:
        usage = {**self._head("chat.completion.chunk"), "choices": [], "usage": self._USAGE}
        return [self._chunk({}, self._finish(blocks)), frame(usage) + b"data: [DONE]\n\n"]

    def whole(self, blocks: Iterable[Block]) -> dict[str, Any]:
        blocks = tuple(blocks)
        message: dict[str, Any] = {"role": "assistant", "refusal": None}
        message["content"] = "".join(block.text for block in blocks if isinstance(block, Said)) or None
        thought = "".join(block.text for block in blocks if isinstance(block, Thought))
        calls = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": json.dumps(one.arguments)}}
            for one in blocks
            if isinstance(one, Asked)
        ]
        message |= ({"reasoning_content": thought} if thought else {}) | ({"tool_calls": calls} if calls else {})
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish(blocks)}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._USAGE}

    def refusal(self, status: int, kind: str, message: str) -> dict[str, Any]:
        category, code = self._CODES[kind]
        return {"error": {"message": message, "type": category, "param": None, "code": code}}

    def error(self, kind: str, message: str) -> bytes:
        return frame(self.refusal(200, kind, message))

    def told(self, body: Mapping[str, Any]) -> Told:
        told = Told()
        for message in body["messages"]:
            for call in message.get("tool_calls") or []:
                arguments = json.loads(call["function"]["arguments"] or "{}")
                told.calls.append((call["id"], call["function"]["name"], arguments))
            if message["role"] == "tool":
                told.results.append((message["tool_call_id"], text_of(message["content"])))
        return told

    @staticmethod
    def _finish(blocks: Iterable[Block]) -> str:
        return "tool_calls" if calls_in(blocks) else "stop"

    @staticmethod
    def _head(kind: str) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "m"}

    def _chunk(self, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return frame({**self._head("chat.completion.chunk"), "choices": [choice]})
