"""What a recorded stream says, read slowly and plainly from its JSON without any code of ours: the truth.

Each provider's shape of the same thing is looked for; nothing is checked. A recording that ends in an error gives None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from seen import Seen, arguments, frames

_STOPS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "stop_sequence": "stop_sequence",
    "refusal": "refusal",
    "pause_turn": "pause",
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "STOP": "stop",
    "MAX_TOKENS": "length",
}


def anthropic(stream: bytes) -> Seen | None:
    seen = Seen()
    usage: dict[str, Any] = {}
    calls: dict[int, list[str]] = {}
    for _, event in frames(stream):
        match event["type"]:
            case "message_start":
                usage |= event["message"].get("usage") or {}
            case "content_block_start":
                _anthropic_start(seen, calls, event)
            case "content_block_delta":
                _anthropic_delta(seen, calls, event)
            case "message_delta":
                usage |= {name: value for name, value in (event.get("usage") or {}).items() if value is not None}
                seen.stop = _STOPS.get(event["delta"].get("stop_reason") or "")
            case "error":
                return None
    for name, *pieces in calls.values():
        seen.calls.append((name, arguments("".join(pieces))))
    cached = (usage.get("cache_read_input_tokens") or 0) + (usage.get("cache_creation_input_tokens") or 0)
    seen.input_tokens = usage.get("input_tokens", 0) + cached
    seen.output_tokens = usage.get("output_tokens")
    return seen


def _anthropic_start(seen: Seen, calls: dict[int, list[str]], event: Any) -> None:
    block = event["content_block"]
    seen.text += block.get("text", "") if block["type"] == "text" else ""
    if block["type"] == "tool_use":
        calls[event["index"]] = [block["name"]]


def _anthropic_delta(seen: Seen, calls: dict[int, list[str]], event: Any) -> None:
    delta = event["delta"]
    if delta["type"] == "text_delta":
        seen.text += delta["text"]
    elif delta["type"] == "thinking_delta":
        seen.reasoning += delta["thinking"]
    elif delta["type"] == "input_json_delta" and event["index"] in calls:
        calls[event["index"]].append(delta["partial_json"])


def openai_chat(stream: bytes) -> Seen | None:
    seen = Seen()
    calls: list[dict[str, Any]] = []
    usage: dict[str, Any] = {}
    for name, chunk in frames(stream):
        if name == "error" or chunk.get("error"):
            return None
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage") or usage
        for choice in chunk.get("choices") or []:
            if choice.get("index", 0) != 0:
                continue
            usage = choice.get("usage") or usage
            seen.stop = _STOPS.get(choice.get("finish_reason") or "", seen.stop)
            delta = choice.get("delta") or {}
            _chat_text(seen, delta)
            for call in delta.get("tool_calls") or []:
                _chat_call(calls, call)
    for call in calls:
        seen.calls.append((call["name"], arguments(call["arguments"])))
    if seen.refused and seen.stop == "stop":
        seen.stop = "refusal"
    if usage:
        seen.input_tokens = usage.get("prompt_tokens")
        seen.output_tokens = usage.get("completion_tokens")
        thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
        if usage.get("total_tokens") == (seen.input_tokens or 0) + (seen.output_tokens or 0) + thought:
            # xAI leaves reasoning out of completion_tokens; its total has it.
            seen.output_tokens = (seen.output_tokens or 0) + thought
    return seen


def _chat_text(seen: Seen, delta: dict[str, Any]) -> None:
    content = delta.get("content")
    if isinstance(content, list):
        for part in content:
            if part["type"] == "thinking":
                seen.reasoning += "".join(piece.get("text", "") for piece in part["thinking"])
            else:
                seen.text += part.get("text", "")
    elif content:
        seen.text += content
    if delta.get("refusal"):
        seen.text += delta["refusal"]
        seen.refused = True
    seen.reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""


def _chat_call(calls: list[dict[str, Any]], call: dict[str, Any]) -> None:
    function = call.get("function") or {}
    index = call.get("index")
    found = next((known for known in calls if index is not None and known["index"] == index), None)
    if found is None or (index is None and function.get("name")):
        found = {"index": index, "name": function.get("name"), "arguments": ""}
        calls.append(found)
    found["arguments"] += function.get("arguments") or ""


def openai_responses(stream: bytes) -> Seen | None:
    seen = Seen(stop="stop")
    for name, event in frames(stream):
        kind = event.get("type") or name
        if kind in ("error", "response.failed"):
            return None
        if kind == "response.output_item.done":
            _response_item(seen, event["item"])
        elif kind in ("response.completed", "response.incomplete"):
            response = event["response"]
            usage = response.get("usage") or {}
            seen.input_tokens, seen.output_tokens = usage.get("input_tokens"), usage.get("output_tokens")
            if seen.calls:
                seen.stop = "tool_calls"
            elif seen.refused:
                seen.stop = "refusal"
            if kind == "response.incomplete":
                seen.stop = "length" if "max" in response["incomplete_details"]["reason"] else "content_filter"
    return seen


def _response_item(seen: Seen, item: Any) -> None:
    if item["type"] == "message":
        seen.text += "".join(part.get("text") or part.get("refusal") or "" for part in item["content"])
        seen.refused = seen.refused or any("refusal" in part for part in item["content"])
    elif item["type"] == "reasoning":
        parts = [*(item.get("summary") or []), *(item.get("content") or [])]
        seen.reasoning += "".join(part["text"] for part in parts)
    elif item["type"] == "function_call":
        seen.calls.append((item["name"], arguments(item["arguments"])))
    elif item["type"] == "custom_tool_call":
        seen.calls.append((item["name"], {"input": item["input"]}))


def gemini(stream: bytes) -> Seen | None:
    seen = Seen()
    blocked = False
    for _, chunk in frames(stream):
        if "error" in chunk:
            return None
        blocked = blocked or "blockReason" in (chunk.get("promptFeedback") or {})
        usage = chunk.get("usageMetadata") or {}
        if usage:
            seen.input_tokens = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
            seen.output_tokens = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
        for candidate in chunk.get("candidates") or []:
            if reason := candidate.get("finishReason"):
                seen.stop = _STOPS.get(reason, "content_filter")
            for part in (candidate.get("content") or {}).get("parts") or []:
                _gemini_part(seen, part)
    if blocked:
        seen.stop = "content_filter"
    if seen.calls and seen.stop == "stop":
        seen.stop = "tool_calls"
    return seen


def _gemini_part(seen: Seen, part: Any) -> None:
    if "functionCall" in part:
        _gemini_call(seen, part["functionCall"])
    elif part.get("thought"):
        seen.reasoning += part.get("text", "")
    else:
        seen.text += part.get("text", "")


def _gemini_call(seen: Seen, call: Any) -> None:
    if "name" in call:
        seen.calls.append((call["name"], call.get("args") or {}))
    for piece in call.get("partialArgs") or []:
        _put(seen.calls[-1][1], piece)


def _put(place: Any, piece: Any) -> None:
    """``piece`` at its JSON path below ``place``. A text comes in several pieces."""
    path = [int(key) if key.isdigit() else key for key in re.findall(r"\w+", piece["jsonPath"])]
    for key, following in pairwise(path):
        place = _held(place, key, [] if isinstance(following, int) else {})
    if "stringValue" in piece:
        place[path[-1]] = _held(place, path[-1], "") + piece["stringValue"]
    else:
        place[path[-1]] = piece.get("numberValue", piece.get("boolValue"))


def _held(place: Any, key: int | str, new: Any) -> Any:
    if isinstance(key, str):
        return place.setdefault(key, new)
    if key == len(place):
        place.append(new)
    return place[key]


ORACLES: dict[str, Callable[[bytes], Seen | None]] = {
    "anthropic": anthropic,
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
    "gemini": gemini,
}
