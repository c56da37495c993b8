"""What an MCP tool answers, as parts of a message."""

from __future__ import annotations

import base64
import json

import mcp_types as types

from millstream.core.messages import MediaPart, ResultPart, TextPart
from millstream.tools.base import ToolOutcome

_DOCUMENTS = frozenset({"application/pdf"})


def outcome(result: types.CallToolResult) -> ToolOutcome:
    """Text alone becomes one string. A server's structured content counts only where it says nothing else."""
    parts = [_part(block) for block in result.content]
    if not parts and result.structured_content is not None:
        parts = [TextPart(json.dumps(result.structured_content, ensure_ascii=False))]
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    if len(texts) == len(parts):
        return ToolOutcome("\n".join(texts), bool(result.is_error))
    return ToolOutcome(tuple(parts), bool(result.is_error))


def _part(block: types.ContentBlock) -> ResultPart:
    if isinstance(block, types.TextContent):
        return TextPart(block.text)
    if isinstance(block, types.ImageContent):
        return MediaPart("image", block.mime_type, data=block.data)
    if isinstance(block, types.AudioContent):
        return MediaPart("audio", block.mime_type, data=block.data)
    if isinstance(block, types.ResourceLink):
        said = "; ".join(text for text in (block.title or block.name, block.mime_type, block.description) if text)
        return TextPart(f"[resource {block.uri}: {said}]")
    return _resource(block.resource)


def _resource(resource: types.TextResourceContents | types.BlobResourceContents) -> ResultPart:
    """Text is shown as text; bytes where some model can see such bytes, else only their name and size."""
    if isinstance(resource, types.TextResourceContents):
        return TextPart(f"[resource {resource.uri}]\n{resource.text}")
    media_type = resource.mime_type or "application/octet-stream"
    if media_type.startswith("image/"):
        return MediaPart("image", media_type, data=resource.blob)
    if media_type.startswith("audio/"):
        return MediaPart("audio", media_type, data=resource.blob)
    if media_type in _DOCUMENTS:
        return MediaPart("document", media_type, data=resource.blob, name=str(resource.uri))
    if media_type.startswith("text/"):
        return TextPart(f"[resource {resource.uri}]\n{_decoded(resource.blob)}")
    return TextPart(f"[resource {resource.uri}: {media_type}, {len(resource.blob) * 3 // 4} bytes, not shown]")


def _decoded(blob: str) -> str:
    try:
        return base64.b64decode(blob).decode(errors="replace")
    except ValueError:
        return blob
