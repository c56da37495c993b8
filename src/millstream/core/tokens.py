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
from collections.abc import Mapping
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

_PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d{1,3}|[\r\n]+[ \t]*|[ \t]{2,}|[!-/:-@\[-`{-~]{1,3}|[^\x00-\x7f]")
_LONG_WORDS = re.compile(r"[A-Z]?[a-z]{8,}|[A-Z]{9,}")
_ASTRAL = re.compile(r"[^\x00-\uffff]")
"""Emoji and rare scripts: three tokens each."""

_SHORT = 8
_LETTERS_PER_FURTHER_TOKEN = 6
_LITTLE = frozenset({None, "none", "minimal", "low"})
"""Efforts of thinking that no template speaks of."""

_UNKNOWN_IMAGE = 1600
_BASE64_PER_TOKEN = {"document": 20, "audio": 120, "video": 200}
"""Of a PDF full of text, of speech in a thrifty codec, of a small video."""


def estimate(request: Request, model: str | None = None) -> int:
    """Tokens of ``request`` as a prompt of the upstream's ``model``, most likely a little more than it would count."""
    family = family_of(model or request.model)
    words = sum(_part(part, family) for part in request.system)
    words += sum(_part(part, family) for message in request.messages for part in message.parts)
    if request.response_format is not None and request.response_format.schema is not None:
        words += _json(request.response_format.schema)
    tools = [tool for tool in request.tools if not tool.deferred]
    words += sum(_tool(tool, family) for tool in tools)
    total = math.ceil(words * family.scale) + family.request
    total += family.message * (len(request.messages) + bool(request.system))
    total += sum(_fixed(part, family) for message in request.messages for part in message.parts)
    if tools:
        total += family.tools + family.tool * len(tools)
    thinks = request.reasoning
    if thinks is not None and (thinks.mode == "enabled" or thinks.effort not in _LITTLE):
        total += family.thinking
    return total


def text_tokens(text: str) -> int:
    """Tokens of a plain text for the usual tokenizer."""
    total = len(_PIECES.findall(text))
    total += sum(math.ceil((len(word) - _SHORT) / _LETTERS_PER_FURTHER_TOKEN) for word in _LONG_WORDS.findall(text))
    return total if text.isascii() else total + 2 * len(_ASTRAL.findall(text))


def _json(value: object) -> int:
    return text_tokens(msgspec.json.encode(value).decode())


def _tool(tool: Tool, family: Family) -> int:
    described = text_tokens(tool.name) + text_tokens(tool.description or "")
    if family.declared and tool.parameters is not None:
        return described + _declared(tool.parameters)
    return described + _json(tool.parameters or tool.data or {})


def _declared(schema: Mapping[str, Any]) -> int:
    """``schema`` as a type: ``{ // the description\\n name?: string, … }``."""
    total = 2 + text_tokens(str(schema.get("description") or ""))
    for name, inner in (schema.get("properties") or {}).items():
        total += text_tokens(name) + 3 + (_declared(inner) if isinstance(inner, Mapping) else 0)
    items = schema.get("items")
    if isinstance(items, Mapping):
        total += _declared(items)
    known = {"type", "description", "properties", "items", "required", "additionalProperties", "title", "$schema"}
    rest = {name: value for name, value in schema.items() if name not in known}
    return total + (_json(rest) if rest else 0)


def _part(part: Part, family: Family) -> int:
    """Words only; what else a part takes is ``_fixed``."""
    match part:
        case TextPart() | RefusalPart() | ReasoningPart():
            return text_tokens(part.text)
        case MediaPart():
            return text_tokens(part.text or "")
        case ToolCallPart():
            return text_tokens(part.name) + text_tokens(part.arguments)
        case ToolResultPart():
            content = part.content
            return text_tokens(content) if isinstance(content, str) else sum(_part(one, family) for one in content)
        case ToolReferencePart():
            return text_tokens(part.name)
        case ServerToolResultPart() | UnknownPart():
            return _json(part.data)
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
