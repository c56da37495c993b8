"""An estimate of a request's tokens that errs high, for upstreams that cannot count.

Agents use the count to decide when to compact: too low is an error from the upstream, a little too high is harmless.
No tokenizer fits all models, and none of the newest is public, but all of them cut text at the same places: words of a
language's common stock are one token with the space before them, and so are line ends with their indentation, up to
three digits, and short runs of punctuation. What each family adds around the text is in ``token_families.py``.

What a provider puts into a prompt by itself cannot be known: results of tools that it runs, a hidden system prompt.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, assert_never

import msgspec

from millstream.core.image_size import image_size
from millstream.core.messages import (
    MediaPart,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    ServerToolResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolReferencePart,
    ToolResultPart,
    UnknownPart,
)
from millstream.core.token_families import Family, family_of

Count = Callable[[str], int]

_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d{1,3}|[\r\n]+[ \t]*|[ \t]{2,}| (?=\d)|[!-/:-@\[-`{-~]{1,3}|[^\x00-\x7f]")
_LONG_WORDS = re.compile(r"[A-Z]?[a-z]{8,}|[A-Z]{9,}")
_DIGIT_RUNS = re.compile(r"\d{1,3}")
_DIGITS = re.compile(r"\d")
_RUNS = re.compile(r"[A-Za-z0-9+/]{40,}")
_ACCENTED = re.compile(r"[\u00c0-\u024f]")
"""Letters of Latin alphabets other than English: their words are rarer, and cut in more places."""

_OTHER_ALPHABETS = re.compile(r"[\u0370-\u0eff]")
"""Greek, Cyrillic, Hebrew, Arabic, the scripts of India, Thai: two letters per token."""

_ASTRAL = re.compile(r"[^\x00-\uffff]")
"""Emoji and rare scripts: three tokens each."""

_SLICE = 64 * 1024
_SHORT = 8
_LETTERS_PER_FURTHER_TOKEN = 6
_LITTLE = frozenset({None, "none", "minimal", "low"})
"""Efforts of thinking that no template speaks of."""

_DECLARED = frozenset(
    {"type", "description", "properties", "items", "required", "additionalProperties", "title", "$schema"}
)
"""What of a JSON schema a type declaration says shortly or not at all."""

_UNKNOWN_IMAGE = 1600
_BASE64_PER_TOKEN = {"document": 20, "audio": 120, "video": 200}
"""Of a PDF full of text, of speech in a thrifty codec, of a small video."""


def estimate(request: Request, model: str | None = None) -> int:
    """Tokens of ``request`` as a prompt of the upstream's ``model``, most likely a little more than it would count."""
    family = family_of(model or request.model)
    count: Count = partial(text_tokens, digits=family.digits)
    parts = [part for message in request.messages for part in message.parts]
    tools = [tool for tool in request.tools if not tool.deferred]
    words = sum(_part(part, count) for part in (*request.system, *parts))
    words += sum(_tool(tool, family, count) for tool in tools)
    if request.response_format is not None and request.response_format.schema is not None:
        words += _json(request.response_format.schema, count)
    total = math.ceil(words * family.scale) + family.request
    total += family.message * (len(request.messages) + bool(request.system))
    total += sum(_fixed(part, family) for part in parts)
    if tools:
        total += family.tools + family.tool * len(tools)
    thinks = request.reasoning
    if thinks is not None and (thinks.mode == "enabled" or thinks.effort not in _LITTLE):
        total += family.thinking
    return total


def text_tokens(text: str, digits: int = 3) -> int:
    """Tokens of a plain text for the usual tokenizer, which takes up to ``digits`` digits at once.

    A long text is counted in slices, so that other threads get their turn.
    """
    if len(text) > _SLICE:
        return sum(text_tokens(text[start : start + _SLICE], digits) for start in range(0, len(text), _SLICE))
    total = len(_PIECES.findall(text))
    total += sum(math.ceil((len(word) - _SHORT) / _LETTERS_PER_FURTHER_TOKEN) for word in _LONG_WORDS.findall(text))
    total += sum(len(run) // _LETTERS_PER_FURTHER_TOKEN for run in _RUNS.findall(text) if _is_opaque(run))
    if digits == 1:
        total += len(_DIGITS.findall(text)) - len(_DIGIT_RUNS.findall(text))
    if not text.isascii():
        total += 3 * len(_ACCENTED.findall(text)) + 2 * len(_ASTRAL.findall(text))
        total -= len(_OTHER_ALPHABETS.findall(text)) // 2
    return total


def _is_opaque(run: str) -> bool:
    """Base64 and its like."""
    return not (run.isalpha() or run.isdigit() or run.islower() or run.isupper())


def _json(value: object, count: Count) -> int:
    return count(msgspec.json.encode(value).decode())


def _tool(tool: Tool, family: Family, count: Count) -> int:
    described = count(tool.name) + count(tool.description or "")
    if family.declared and tool.parameters is not None:
        return described + _declared(tool.parameters, count)
    return described + _json(tool.parameters or tool.data or {}, count)


def _declared(schema: Mapping[str, Any], count: Count) -> int:
    """``schema`` as a type: ``{ // the description\\n name?: string, … }``."""
    total = 2 + count(str(schema.get("description") or ""))
    for name, inner in (schema.get("properties") or {}).items():
        total += count(name) + 3 + (_declared(inner, count) if isinstance(inner, Mapping) else 0)
    items = schema.get("items")
    if isinstance(items, Mapping):
        total += _declared(items, count)
    rest = {name: value for name, value in schema.items() if name not in _DECLARED}
    return total + (_json(rest, count) if rest else 0)


def _part(part: Part, count: Count) -> int:
    """Words only; what else a part takes is ``_fixed``."""
    match part:
        case TextPart() | RefusalPart() | ReasoningPart():
            return count(part.text)
        case MediaPart():
            return count(part.text or "")
        case ToolCallPart():
            return count(part.name) + count(part.arguments)
        case ToolResultPart():
            content = part.content
            return count(content) if isinstance(content, str) else sum(_part(inner, count) for inner in content)
        case ToolReferencePart():
            return count(part.name)
        case ServerToolResultPart() | UnknownPart():
            return _json(part.data, count)
        case _:
            assert_never(part)


def _fixed(part: Part, family: Family) -> int:
    """What ``part`` takes besides its words."""
    match part:
        case MediaPart(text=None):
            return _image(part, family) if part.kind == "image" else _media(part)
        case ToolCallPart():
            return family.call
        case ToolResultPart():
            return family.call + (0 if isinstance(part.content, str) else sum(_fixed(x, family) for x in part.content))
        case ReasoningPart():
            sealed = part.redacted or part.signature
            return math.ceil(family.sealed * len(sealed.value)) if sealed is not None else 0
        case _:
            return 0


def _image(part: MediaPart, family: Family) -> int:
    size = image_size(part.data) if part.data is not None else None
    if size is None:
        return min(_UNKNOWN_IMAGE, family.image)
    width, height = size
    squares = math.ceil(width / family.side) * math.ceil(height / family.side)
    return min(family.frame + math.ceil(family.tile * squares), family.image)


def _media(part: MediaPart) -> int:
    return _UNKNOWN_IMAGE + len(part.data or "") // _BASE64_PER_TOKEN.get(part.kind, 20)
