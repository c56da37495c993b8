"""An estimate of a request's tokens that errs high, for upstreams that cannot count.

No tokenizer fits all models, and none of the newest is public; agents use the count to decide when to compact, where
too low is an error from the upstream and a little too high is harmless.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

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

_ASCII_PER_TOKEN = 3.0
_NON_ASCII_PER_TOKEN = 1.0
_PER_MESSAGE = 6
_PER_TOOL = 24
_PER_REQUEST = 12
_TOOL_PREAMBLE = 350
"""What a provider adds to the system prompt as soon as there are tools."""
_IMAGE = 1600
_BASE64_BYTES_PER_DOCUMENT_TOKEN = 20


def estimate(request: Request) -> int:
    """Tokens of ``request`` as a prompt, most likely a little more than the upstream would count."""
    total = _PER_REQUEST + sum(_part(part) for part in request.system)
    for message in request.messages:
        total += _PER_MESSAGE + sum(_part(part) for part in message.parts)
    if request.tools:
        total += _TOOL_PREAMBLE + sum(_tool(tool) for tool in request.tools if not tool.deferred)
    if request.response_format is not None and request.response_format.schema is not None:
        total += _json(request.response_format.schema)
    return total


def text_tokens(text: str) -> int:
    """Tokens of a plain text, rounded up."""
    plain = len(text.encode("ascii", "ignore"))
    return round(plain / _ASCII_PER_TOKEN + (len(text) - plain) / _NON_ASCII_PER_TOKEN + 0.5)


def _json(value: object) -> int:
    return text_tokens(msgspec.json.encode(value).decode())


def _tool(tool: Tool) -> int:
    described = text_tokens(tool.name) + text_tokens(tool.description or "")
    return _PER_TOOL + described + _json(tool.parameters or tool.data or {})


def _part(part: Part) -> int:
    match part:
        case TextPart() | RefusalPart() | ReasoningPart():
            return text_tokens(part.text)
        case MediaPart():
            return _media(part)
        case ToolCallPart():
            return _PER_TOOL + text_tokens(part.name) + text_tokens(part.arguments)
        case ToolResultPart():
            content = part.content
            return _PER_TOOL + (
                text_tokens(content) if isinstance(content, str) else sum(_part(inner) for inner in content)
            )
        case ToolReferencePart():
            return _PER_TOOL + text_tokens(part.name)
        case ServerToolResultPart() | UnknownPart():
            return _json(part.data)
        case _:
            assert_never(part)


def _media(part: MediaPart) -> int:
    if part.text is not None:
        return text_tokens(part.text)
    if part.kind == "image" or part.data is None:
        return _IMAGE
    return _IMAGE + len(part.data) // _BASE64_BYTES_PER_DOCUMENT_TOKEN
