"""The AI SDK's model messages, which assistant-ui posts in place of UI messages.

Source: https://ai-sdk.dev/docs/reference/ai-sdk-core/model-message and ``toLanguageModelMessages`` of the npm package
``@assistant-ui/react-data-stream``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import Message, Part, ReasoningPart, TextPart, ToolCallPart, ToolResultPart
from millstream.dialects.fronts import file_part


def model_turns(role: str, content: str | Sequence[Mapping[str, Any]], path: str) -> list[Message]:
    """None for a message without content. Raises ``ClientFault`` that names the field."""
    if role not in ("user", "assistant", "tool"):
        raise ClientFault(f"{path}.role: it is system, user, assistant or tool", param=f"{path}.role")
    if isinstance(content, str):
        return [Message("user" if role == "user" else "assistant", (TextPart(content),))] if content else []
    parts = [_part(part, f"{path}.content[{number}]") for number, part in enumerate(content)]
    found = tuple(part for part in parts if not (isinstance(part, TextPart) and not part.text))
    return [Message("assistant" if role == "assistant" else "user", found)] if found else []


def _part(part: Mapping[str, Any], path: str) -> Part:
    match part.get("type"):
        case "text":
            return TextPart(_text(part, "text", path))
        case "reasoning":
            return ReasoningPart(_text(part, "text", path))
        case "file" | "image":
            media_type = part.get("mediaType")
            name = part.get("filename")
            kind = media_type if isinstance(media_type, str) else "image" if part["type"] == "image" else None
            url = _text(part, "data" if "data" in part else "image", path)
            return file_part(_as_url(url, kind), kind, name if isinstance(name, str) else None, path)
        case "tool-call":
            arguments = msgspec.json.encode(part.get("input", {})).decode()
            return ToolCallPart(_text(part, "toolCallId", path), _text(part, "toolName", path), arguments)
        case "tool-result":
            return _result(part, path)
        case other:
            raise ClientFault(f"{path}.type: {other!r} is none of a model message's", param=f"{path}.type")


def _result(part: Mapping[str, Any], path: str) -> ToolResultPart:
    output = part.get("output")
    kind = output.get("type", "") if isinstance(output, dict) else "json"
    value = output.get("value") if isinstance(output, dict) and "type" in output else output
    content = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    is_error = kind in ("error-text", "error-json")
    return ToolResultPart(
        _text(part, "toolCallId", path), content, is_error=is_error, name=_text(part, "toolName", path)
    )


def _as_url(value: str, media_type: str | None) -> str:
    """Files are URLs or bare base64."""
    if value.startswith(("data:", "http://", "https://")):
        return value
    return f"data:{media_type or 'application/octet-stream'};base64,{value}"


def _text(part: Mapping[str, Any], name: str, path: str) -> str:
    value = part.get(name)
    if not isinstance(value, str):
        raise ClientFault(f"{path}.{name}: it is a text", param=f"{path}.{name}")
    return value
