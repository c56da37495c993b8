"""OpenAI's Responses."""

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
    as_json,
    event,
    text_of,
)
from speakers.openai_chat import Chat


class Responses(Speaker):
    name = "openai_responses"
    base = "/v1"
    signs = True
    _USAGE: Mapping[str, Any] = {
        "input_tokens": INPUT,
        "input_tokens_details": {"cached_tokens": CACHED, "cache_write_tokens": 0},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": INPUT + OUTPUT,
    }

    def __init__(self) -> None:
        self._number = -1
        """Of the event sent last."""

    def counted(self, tokens: int) -> bytes:
        return as_json({"object": "response.input_tokens", "input_tokens": tokens})

    def begun(self, *blocks: Block) -> list[bytes]:
        self._number = -1
        open_response = self._response([], "in_progress")
        pieces = [self._tell("created", response=open_response) + self._tell("in_progress", response=open_response)]
        for index, block in enumerate(blocks):
            done = self._item(block, index)
            empty = {**done, **self._emptied(block)}
            pieces.append(self._tell("output_item.added", output_index=index, item=empty))
            pieces += self._filled(block, {"item_id": done["id"], "output_index": index})
            pieces.append(self._tell("output_item.done", output_index=index, item=done))
        return pieces

    def ended(self, *blocks: Block) -> list[bytes]:
        return [self._tell("completed", response=self.whole(blocks))]

    def whole(self, blocks: Iterable[Block]) -> dict[str, Any]:
        items = [self._item(block, index) for index, block in enumerate(blocks)]
        return {**self._response(items, "completed"), "usage": self._USAGE}

    def refusal(self, status: int, kind: str, message: str) -> dict[str, Any]:
        return Chat().refusal(status, kind, message)

    def error(self, kind: str, message: str) -> bytes:
        code = {"overloaded": "server_is_overloaded", "rate": "rate_limit_exceeded", "internal": "server_error"}[kind]
        failed = {**self._response([], "failed"), "error": {"code": code, "message": message}}
        self._number += 1
        error = {"type": "server_error", "code": code, "message": message, "param": None}
        nested = {"type": "error", "sequence_number": self._number, "error": error}
        return event(nested) + self._tell("failed", response=failed)

    def told(self, body: Mapping[str, Any]) -> Told:
        told = Told()
        for item in body["input"]:
            if item.get("type") == "function_call":
                told.calls.append((item["call_id"], item["name"], json.loads(item["arguments"] or "{}")))
            elif item.get("type") == "function_call_output":
                told.results.append((item["call_id"], text_of(item["output"])))
            elif item.get("type") == "reasoning":
                told.signatures.append(item["encrypted_content"])
        return told

    def _tell(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        return event({"type": f"response.{kind}", "sequence_number": self._number, **fields})

    @staticmethod
    def _response(output: list[Any], status: str) -> dict[str, Any]:
        asked = {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True, "metadata": {}, "temperature": 1.0}
        state = {"error": None, "incomplete_details": None, "instructions": None, "usage": None, "top_p": 1.0}
        head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m"}
        return {**head, "status": status, "output": output, **asked, **state}

    @staticmethod
    def _item(block: Block, index: int) -> dict[str, Any]:
        match block:
            case Thought():
                summary = [{"type": "summary_text", "text": block.text}]
                secret = {"encrypted_content": block.signature} if block.signature else {}
                return {"id": f"rs_{index}", "type": "reasoning", "summary": summary, **secret}
            case Said():
                text = {"type": "output_text", "text": block.text, "annotations": [], "logprobs": []}
                head = {"id": f"msg_{index}", "type": "message", "role": "assistant", "status": "completed"}
                return {**head, "content": [text]}
            case Asked():
                head = {"id": f"fc_{index}", "type": "function_call", "status": "completed", "call_id": block.id}
                return {**head, "name": block.name, "arguments": "".join(block.pieces) or "{}"}

    @staticmethod
    def _emptied(block: Block) -> dict[str, Any]:
        match block:
            case Thought():
                return {"summary": []}
            case Said():
                return {"status": "in_progress", "content": []}
            case Asked():
                return {"status": "in_progress", "arguments": ""}

    def _filled(self, block: Block, at: Mapping[str, Any]) -> list[bytes]:
        match block:
            case Thought():
                part = {"type": "summary_text", "text": block.text}
                return [
                    self._tell("reasoning_summary_part.added", **at, summary_index=0, part={**part, "text": ""}),
                    self._tell("reasoning_summary_text.delta", **at, summary_index=0, delta=block.text),
                    self._tell("reasoning_summary_text.done", **at, summary_index=0, text=block.text),
                    self._tell("reasoning_summary_part.done", **at, summary_index=0, part=part),
                ]
            case Said():
                text: dict[str, Any] = {"type": "output_text", "text": block.text, "annotations": [], "logprobs": []}
                at = {**at, "content_index": 0}
                return [
                    self._tell("content_part.added", **at, part={**text, "text": ""}),
                    *(self._tell("output_text.delta", **at, delta=piece, logprobs=[]) for piece in block.pieces),
                    self._tell("output_text.done", **at, text=block.text, logprobs=[]),
                    self._tell("content_part.done", **at, part=text),
                ]
            case Asked():
                pieces = block.pieces or ("{}",)
                deltas = [self._tell("function_call_arguments.delta", **at, delta=piece) for piece in pieces]
                whole = "".join(pieces)
                return [*deltas, self._tell("function_call_arguments.done", **at, name=block.name, arguments=whole)]
