"""Inputs of any length, made so that work which grows faster than the input would show. ``n`` is about their bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

Pieces = list[bytes]


def _sse(*frames: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(frame, separators=(",", ":")).encode() + b"\n\n" for frame in frames)


def _pieces(data: bytes, size: int) -> Pieces:
    return [data[at : at + size] for at in range(0, len(data), size)]


class Wire:
    """How one API streams: a beginning, a text, arguments, an end. Numbers count calls from 0."""

    def __init__(
        self, start: bytes, text: Callable[[str], bytes], call: Callable[[int, list[str]], bytes], end: bytes
    ) -> None:
        self.start, self.text, self.call, self.end = start, text, call, end


def _anthropic_call(number: int, arguments: list[str]) -> bytes:
    block = {"type": "tool_use", "id": f"t{number}", "name": "f", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in arguments]
    return _sse(
        {"type": "content_block_start", "index": number + 1, "content_block": block},
        *({"type": "content_block_delta", "index": number + 1, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": number + 1},
    )


def _chat_call(number: int, arguments: list[str]) -> bytes:
    first = {"index": number, "id": f"c{number}", "type": "function", "function": {"name": "f", "arguments": ""}}
    later = [{"index": number, "function": {"arguments": piece}} for piece in arguments]
    return _sse(*({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]} for call in (first, *later)))


def _responses_call(number: int, arguments: list[str]) -> bytes:
    item = {"type": "function_call", "id": f"i{number}", "call_id": f"c{number}", "name": "f", "arguments": ""}
    place = {"output_index": number + 1, "item_id": f"i{number}"}
    return _sse(
        {"type": "response.output_item.added", "output_index": number + 1, "item": item},
        *({"type": "response.function_call_arguments.delta", "delta": piece, **place} for piece in arguments),
        {
            "type": "response.output_item.done",
            "output_index": number + 1,
            "item": {**item, "arguments": "".join(arguments)},
        },
    )


def _gemini_call(number: int, arguments: list[str]) -> bytes:
    def part(call: dict[str, Any]) -> dict[str, Any]:
        return {"candidates": [{"content": {"parts": [{"functionCall": call}]}}]}

    pieces = [{"jsonPath": "$.input", "stringValue": piece, "willContinue": True} for piece in arguments]
    first = {"name": "f", "id": f"c{number}", "willContinue": True}
    return _sse(part(first), *(part({"partialArgs": [piece], "willContinue": True}) for piece in pieces), part({}))


def _delta(text: str) -> bytes:
    return _sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


WIRES: dict[str, Wire] = {
    "anthropic": Wire(
        _sse(
            {"type": "message_start", "message": {"id": "m", "model": "m"}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        ),
        _delta,
        _anthropic_call,
        _sse(
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            {"type": "message_stop"},
        ),
    ),
    "openai_chat": Wire(
        b"",
        lambda text: _sse({"choices": [{"index": 0, "delta": {"content": text}}]}),
        _chat_call,
        _sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n",
    ),
    "openai_responses": Wire(
        _sse(
            {"type": "response.created", "response": {"id": "r"}},
            {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m"}},
        ),
        lambda text: _sse(
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "m", "delta": text}
        ),
        _responses_call,
        _sse({"type": "response.completed", "response": {"id": "r", "output": []}}),
    ),
    "gemini": Wire(
        b"",
        lambda text: _sse({"candidates": [{"content": {"parts": [{"text": text}]}}]}),
        _gemini_call,
        _sse({"candidates": [{"content": {"parts": [{"text": ""}]}, "finishReason": "STOP"}]}),
    ),
}


def text_in_small_deltas(wire: Wire, n: int) -> Pieces:
    return [wire.start, *_pieces(b"".join(wire.text(f"word {at} ") for at in range(n // 80)), 4096), wire.end]


def one_long_text(wire: Wire, n: int) -> Pieces:
    """One frame of ``n`` bytes that arrives by the kilobyte."""
    return _pieces(wire.start + wire.text("é" * (n // 6)) + wire.end, 1024)


def arguments_in_small_deltas(wire: Wire, n: int) -> Pieces:
    pieces = ['{"input":"', *(f"line {at}\\\\n" for at in range(n // 150)), '"}']
    return [wire.start, *_pieces(wire.call(0, pieces), 4096), wire.end]


def many_calls(wire: Wire, n: int) -> Pieces:
    calls = b"".join(wire.call(number, ["{}"]) for number in range(n // 400))
    return [wire.start, *_pieces(calls, 4096), wire.end]


def a_line_without_end(wire: Wire, n: int) -> Pieces:
    return [wire.start, *_pieces(b"data: " + b"x" * n, 512)]


def bytes_one_by_one(wire: Wire, n: int) -> Pieces:
    return _pieces(wire.start + wire.text("x" * (n // 8)) + wire.end, 1)


def frames_of_nothing(wire: Wire, n: int) -> Pieces:
    return [wire.start, b": \n\n" * (n // 4), b"\n" * n, b"\r\n" * (n // 2), wire.end]


def lines_of_no_field(wire: Wire, n: int) -> Pieces:
    return [wire.start, *_pieces(b"stray\n" * (n // 6), 4096), b"\n", wire.end]


def a_frame_of_many_lines(wire: Wire, n: int) -> Pieces:
    return [wire.start, *_pieces(b"data: 1\n" * (n // 8), 4096), b"\n", wire.end]


def brackets(wire: Wire, n: int) -> Pieces:
    return [wire.start, b"data: " + b'{"choices":' * (n // 11) + b"\n\n", b"data: " + b"[" * n + b"\n\n", wire.end]


STREAMS: dict[str, Callable[[Wire, int], Pieces]] = {
    shape.__name__: shape
    for shape in (
        text_in_small_deltas,
        one_long_text,
        arguments_in_small_deltas,
        many_calls,
        a_line_without_end,
        bytes_one_by_one,
        frames_of_nothing,
        lines_of_no_field,
        a_frame_of_many_lines,
        brackets,
    )
}


def gemini_array(n: int) -> Pieces:
    """The form of a stream that is one JSON array, by the kilobyte."""
    chunk = json.dumps({"candidates": [{"content": {"parts": [{"text": 'a "[{" b'}]}}]})
    last = json.dumps({"candidates": [{"finishReason": "STOP"}]})
    return _pieces(f"[{','.join([chunk] * (n // len(chunk)))},{last}]".encode(), 1024)


def _turns(n: int) -> Iterable[int]:
    return range(n // 300)


def requests(n: int) -> dict[str, dict[str, Any]]:
    """A long history of each API: calls side by side, each answered, with ids that need respelling."""
    numbers = [*_turns(n)]
    # The second kind are all alike to an API that takes only letters of ASCII.
    ids = [f"functions.f:{number}" if number % 2 else chr(0x4E00 + number) for number in numbers]
    uses = [{"type": "tool_use", "id": i, "name": "f", "input": {}} for i in ids]
    return {
        "anthropic": {
            "model": "m",
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": uses},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": "ok"} for i in ids]},
            ],
        },
        "openai_chat": {
            "model": "m",
            "messages": [
                {"role": "user", "content": "Hi"},
                {
                    "role": "assistant",
                    "tool_calls": [
                        {"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids
                    ],
                },
                *({"role": "tool", "tool_call_id": i, "content": "ok"} for i in ids),
            ],
        },
        "openai_responses": {
            "model": "m",
            "input": [
                {"role": "user", "content": "Hi"},
                *({"type": "function_call", "call_id": i, "name": "f", "arguments": "{}"} for i in ids),
                *({"type": "function_call_output", "call_id": i, "output": "ok"} for i in ids),
            ],
        },
        "gemini": {
            "contents": [
                {"role": "user", "parts": [{"text": "Hi"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}} for _ in ids]},
                {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}} for _ in ids]},
            ]
        },
    }
