"""The shapes of Chat Completions on the wire, as far as they are read.

Specification: https://platform.openai.com/docs/api-reference/chat; departures of other providers that the recordings
show. Everything is optional here, since some provider leaves out each of these fields; what is not named is skipped.
Names in ``extra`` that begin with ``$`` are this package's own notes, not fields of the wire.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Mapping
from typing import Any

import msgspec

from millstream.core.messages import Extra

NAME = "openai_chat"


class Function(msgspec.Struct, gc=False):
    """``arguments`` is JSON text; some providers send the object itself."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class Custom(msgspec.Struct, gc=False):
    name: str | None = None
    input: str | None = None


class ToolCall(msgspec.Struct):
    """A whole call or a piece of one. ``extra_content`` is where Google's endpoint of this API signs calls."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    custom: Custom | None = None
    extra_content: dict[str, Any] | None = None


class Delta(msgspec.Struct):
    """What a chunk adds to a message; also a whole message, which has the same fields.

    ``content`` is a list where Mistral's models think. ``reasoning_content`` (DeepSeek, Moonshot, xAI, Z.ai, vLLM),
    ``reasoning`` (Groq, OpenRouter, Ollama, Cerebras) and ``reasoning_details`` (OpenRouter and what is built on it)
    say the same; providers send one or two of them.
    """

    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    function_call: Function | None = None
    annotations: list[Any] | None = None
    images: list[Any] | None = None
    audio: dict[str, Any] | None = None


class Choice(msgspec.Struct):
    """``stop_reason`` (vLLM) and ``matched_stop`` (SGLang) name the stop sequence, or the token, that ended it.

    Moonshot has reported ``usage`` in here. Writer and Perplexity repeat the delta, or all so far, as ``message``.
    """

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None
    usage: Any = None
    stop_reason: Any = None
    matched_stop: Any = None
    error: Any = None


class Chunk(msgspec.Struct):
    """A chunk, and a whole reply. ``citations`` and ``search_results`` are Perplexity's."""

    id: str | None = None
    choices: list[Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None
    citations: list[Any] | None = None
    search_results: list[Any] | None = None


_SILENT = Choice(index=0, delta=Delta())


def text_alone(choice: Choice) -> str:
    """The text, if a piece of it is all that the first choice says; else empty."""
    delta = choice.delta
    text = delta.content if delta is not None else None
    if delta is None or not isinstance(text, str):
        return ""
    delta.content = None
    alone = choice == _SILENT
    delta.content = text
    return text if alone else ""


def only_text(chunk: Chunk) -> tuple[bytes, str] | None:
    """Field and text, if a piece of text or of thinking is all that ``chunk`` says."""
    choices = chunk.choices
    if choices and len(choices) == 1 and (text := text_alone(choices[0])) and chunk == Chunk(chunk.id, choices):
        return b"content", text
    said = _said(chunk)
    choices = said.pop("choices", None)
    if said.keys() - {"id"} or not choices or len(choices) != 1:
        return None
    choice = _said(choices[0])
    delta = choice.pop("delta", None)
    pieces = _said(delta) if delta is not None and not choice.keys() - {"index"} else {}
    if len(pieces) != 1:
        return None
    [(field, text)] = pieces.items()
    known = field in ("content", "reasoning_content", "reasoning") and isinstance(text, str)
    return (field.encode(), text) if known else None


def _said(fields: msgspec.Struct) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(fields).items() if value not in (None, "")}


_decoder = msgspec.json.Decoder(Chunk)
_decode = _decoder.decode

_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}|\\[^u]|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def decode_chunk(data: bytes) -> Chunk:
    """Raises ``ValueError`` if ``data`` is no JSON object with the fields of a chunk, however loosely."""
    try:
        return _decode(data)
    except (ValueError, RecursionError):
        return _decode_loosely(data)


def _decode_loosely(data: bytes) -> Chunk:
    """Numbers written as strings, and half of a character where an upstream cut its text inside one."""
    try:
        return msgspec.convert(decode_any(data), Chunk, strict=False)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(str(error)) from error


def decode_any(data: bytes) -> Any:
    """Any JSON. Raises ``ValueError``."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        text = _LONE_SURROGATE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data)
        return json.loads(text.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def string(data: Mapping[str, Any], name: str) -> str:
    """The field as text; empty where it is missing or something else."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def integer(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def without(data: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in known}


def own(extra: Extra | None) -> Mapping[str, Any]:
    """What this dialect put into ``extra``, its notes included."""
    return (extra or {}).get(NAME, {})


def own_fields(extra: Extra | None) -> dict[str, Any]:
    """What this dialect put into ``extra`` of a client's own fields."""
    return {name: value for name, value in own(extra).items() if name[:1] != "$"}


def json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()
