"""Requests and streams of an API, written by hand, and what a client hears of them: independent of our own dialects.

A test that speaks through a ``Wire`` is the same for every API. Pieces are whole frames; who sends them decides where
they are cut.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Call = tuple[str, str, str]
"""A tool call: its id, its name, the JSON text of its arguments."""


@dataclass(slots=True)
class Heard:
    """What one stream told its client, and how it ended: exactly one of ``ends`` and ``errors``."""

    starts: int = 0
    id: str = ""
    pieces: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    reason: str | None = None
    ends: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    keepalives: int = 0
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def over(self) -> bool:
        return bool(self.ends or self.errors)


class Wire(ABC):
    """``path`` is where its requests go, ``base`` what stands between a host and its own SDK's base URL."""

    name: str
    path: str
    base: str

    def request(self, *, model: str = "up/m", stream: bool = True, **fields: object) -> bytes:
        messages = [{"role": "user", "content": "Say hello."}]
        return _json({"model": model, "max_tokens": 100, "messages": messages, "stream": stream, **fields})

    def answer(self, text: str) -> list[bytes]:
        """A whole good stream."""
        return [self.start(), self.text(0, text, first=True), self.close(0), self.end()]

    def hear(self, data: bytes) -> Heard:
        """Reads ``data`` as a strict client would. Raises ``AssertionError`` for what no client may be sent."""
        assert not data or data.endswith(b"\n\n"), f"it ends inside a frame: {data[-80:]!r}"
        heard = Heard()
        for frame in data.split(b"\n\n")[:-1]:
            assert not heard.over, f"something comes after the end: {frame!r}"
            self._take(frame, heard)
        return heard

    @abstractmethod
    def start(self, reply_id: str = "id_1") -> bytes: ...

    @abstractmethod
    def text(self, index: int, piece: str, *, first: bool = False) -> bytes:
        """A piece of block ``index``; the ``first`` one also opens the block."""

    @abstractmethod
    def tool(self, index: int, call_id: str, name: str) -> bytes: ...

    @abstractmethod
    def arguments(self, index: int, piece: str) -> bytes: ...

    @abstractmethod
    def close(self, index: int) -> bytes:
        """Where blocks have ends."""

    @abstractmethod
    def end(self, reason: str = "stop") -> bytes:
        """``stop`` or ``tools``."""

    @abstractmethod
    def error(self, kind: str, message: str) -> bytes:
        """An error inside a stream. ``kind`` is ``overloaded``, ``rate``, ``internal`` or ``invalid``."""

    @abstractmethod
    def refusal(self, kind: str, message: str) -> bytes:
        """The body of an error response."""

    @abstractmethod
    def reply(self, text: str) -> bytes:
        """A whole reply."""

    @abstractmethod
    def said_in(self, reply: bytes) -> str:
        """The text of a whole reply."""

    @abstractmethod
    def problem_in(self, body: bytes) -> tuple[str, str]:
        """Type and message of an error response. Raises ``AssertionError`` if it is not one of this API's."""

    @abstractmethod
    def _take(self, frame: bytes, heard: Heard) -> None: ...


class AnthropicWire(Wire):
    name = "anthropic"
    path = "/v1/messages"
    base = ""
    _TYPES: Mapping[str, str] = {
        "overloaded": "overloaded_error",
        "rate": "rate_limit_error",
        "internal": "api_error",
        "invalid": "invalid_request_error",
    }

    def start(self, reply_id: str = "id_1") -> bytes:
        usage = {"input_tokens": 9, "output_tokens": 1}
        message: dict[str, Any] = {"id": reply_id, "type": "message", "role": "assistant", "model": "m", "content": []}
        message |= {"stop_reason": None, "stop_sequence": None, "usage": usage}
        return self._event({"type": "message_start", "message": message})

    def text(self, index: int, piece: str, *, first: bool = False) -> bytes:
        block = {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
        delta = {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": piece}}
        return (self._event(block) if first else b"") + self._event(delta)

    def tool(self, index: int, call_id: str, name: str) -> bytes:
        block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        return self._event({"type": "content_block_start", "index": index, "content_block": block})

    def arguments(self, index: int, piece: str) -> bytes:
        delta = {"type": "input_json_delta", "partial_json": piece}
        return self._event({"type": "content_block_delta", "index": index, "delta": delta})

    def close(self, index: int) -> bytes:
        return self._event({"type": "content_block_stop", "index": index})

    def end(self, reason: str = "stop") -> bytes:
        delta = {"stop_reason": "tool_use" if reason == "tools" else "end_turn", "stop_sequence": None}
        usage = {"input_tokens": 9, "output_tokens": 5}
        last = {"type": "message_delta", "delta": delta, "usage": usage}
        return self._event(last) + self._event({"type": "message_stop"})

    def error(self, kind: str, message: str) -> bytes:
        return self._event({"type": "error", "error": {"type": self._TYPES[kind], "message": message}})

    def refusal(self, kind: str, message: str) -> bytes:
        error = {"type": self._TYPES[kind], "message": message}
        return _json({"type": "error", "error": error, "request_id": "req_1"})

    def reply(self, text: str) -> bytes:
        head = {"id": "id_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
        said = {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}
        return _json({**head, **said, "usage": {"input_tokens": 9, "output_tokens": 5}})

    def said_in(self, reply: bytes) -> str:
        return "".join(block["text"] for block in json.loads(reply)["content"] if block["type"] == "text")

    def problem_in(self, body: bytes) -> tuple[str, str]:
        found = json.loads(body)
        assert found["type"] == "error", found
        return found["error"]["type"], found["error"]["message"]

    def _event(self, data: Mapping[str, Any]) -> bytes:
        return f"event: {data['type']}\ndata: ".encode() + _json(data) + b"\n\n"

    def _take(self, frame: bytes, heard: Heard) -> None:
        name, _, line = frame.partition(b"\n")
        assert name.startswith(b"event: "), frame
        assert line.startswith(b"data: "), frame
        data = json.loads(line[6:])
        assert name[7:].decode() == data["type"], frame
        match data["type"]:
            case "ping":
                heard.keepalives += 1
            case "message_start":
                heard.starts += 1
                heard.id = data["message"]["id"]
                assert "usage" in data["message"], "the SDK needs usage here"
            case "content_block_start":
                assert heard.starts == 1, "a block before the message"
                block = data["content_block"]
                if block["type"] == "tool_use":
                    heard.calls.append((block["id"], block["name"], ""))
            case "content_block_delta":
                self._delta(data["delta"], heard)
            case "message_delta":
                heard.reason = data["delta"]["stop_reason"]
                heard.usage = data["usage"]
            case "message_stop":
                heard.ends += 1
            case "error":
                heard.errors.append(data["error"])

    def _delta(self, delta: Mapping[str, Any], heard: Heard) -> None:
        if delta["type"] == "text_delta":
            heard.pieces.append(delta["text"])
        elif delta["type"] == "input_json_delta":
            call_id, name, arguments = heard.calls[-1]
            heard.calls[-1] = (call_id, name, arguments + delta["partial_json"])


class ChatWire(Wire):
    name = "openai_chat"
    path = "/v1/chat/completions"
    base = "/v1"
    _CODES: Mapping[str, tuple[str, str | None]] = {
        "overloaded": ("server_error", "server_overloaded"),
        "rate": ("rate_limit_error", "rate_limit_exceeded"),
        "internal": ("server_error", None),
        "invalid": ("invalid_request_error", None),
    }

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        """Block index → number of the call, which this API counts by itself."""
        self._id = "id_1"

    def start(self, reply_id: str = "id_1") -> bytes:
        self._calls.clear()
        self._id = reply_id
        return self._chunk({"role": "assistant", "content": ""})

    def text(self, index: int, piece: str, *, first: bool = False) -> bytes:
        return self._chunk({"content": piece})

    def tool(self, index: int, call_id: str, name: str) -> bytes:
        number = self._calls.setdefault(index, len(self._calls))
        function = {"name": name, "arguments": ""}
        return self._chunk({"tool_calls": [{"index": number, "id": call_id, "type": "function", "function": function}]})

    def arguments(self, index: int, piece: str) -> bytes:
        return self._chunk({"tool_calls": [{"index": self._calls[index], "function": {"arguments": piece}}]})

    def close(self, index: int) -> bytes:
        return b""

    def end(self, reason: str = "stop") -> bytes:
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        finish = self._chunk({}, "tool_calls" if reason == "tools" else "stop")
        return finish + self._frame({**self._head(), "choices": [], "usage": usage}) + b"data: [DONE]\n\n"

    def error(self, kind: str, message: str) -> bytes:
        return self._frame(json.loads(self.refusal(kind, message)))

    def refusal(self, kind: str, message: str) -> bytes:
        category, code = self._CODES[kind]
        return _json({"error": {"message": message, "type": category, "param": None, "code": code}})

    def reply(self, text: str) -> bytes:
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
        head = {"id": "id_1", "object": "chat.completion", "created": 1, "model": "m"}
        return _json({**head, "choices": [choice], "usage": usage})

    def said_in(self, reply: bytes) -> str:
        text: str = json.loads(reply)["choices"][0]["message"]["content"]
        return text

    def problem_in(self, body: bytes) -> tuple[str, str]:
        error = json.loads(body)["error"]
        assert {"message", "type", "param", "code"} <= error.keys(), error
        return error["type"], error["message"]

    def _head(self) -> dict[str, Any]:
        return {"id": self._id, "object": "chat.completion.chunk", "created": 1, "model": "m"}

    def _chunk(self, delta: Mapping[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._frame({**self._head(), "choices": [choice]})

    def _frame(self, data: Mapping[str, Any]) -> bytes:
        return b"data: " + _json(data) + b"\n\n"

    def _take(self, frame: bytes, heard: Heard) -> None:
        if frame.startswith(b":"):
            heard.keepalives += 1
            return
        assert frame.startswith(b"data: "), frame
        if frame == b"data: [DONE]":
            assert heard.reason is not None, "the SDK needs a finish_reason"
            heard.ends += 1
            return
        data = json.loads(frame[6:])
        if "error" in data:
            heard.errors.append(data["error"])
            return
        assert data["object"] == "chat.completion.chunk", frame
        assert data["id"] == (heard.id or data["id"]), "the id changed within one reply"
        heard.id = data["id"]
        heard.usage = data.get("usage") or heard.usage
        for choice in data["choices"]:
            heard.reason = choice["finish_reason"] or heard.reason
            self._delta(choice["delta"], heard)

    def _delta(self, delta: Mapping[str, Any], heard: Heard) -> None:
        heard.starts += "role" in delta
        heard.pieces.append(delta.get("content") or "")
        for call in delta.get("tool_calls") or []:
            if "id" in call:
                assert call["index"] == len(heard.calls), "calls are numbered in their order"
                heard.calls.append((call["id"], call["function"]["name"], ""))
            call_id, name, arguments = heard.calls[call["index"]]
            heard.calls[call["index"]] = (call_id, name, arguments + call["function"].get("arguments", ""))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
