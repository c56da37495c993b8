"""Content blocks of a client's message → canonical parts.

Source: https://platform.claude.com/docs/en/api/messages and the request types of Anthropic's SDKs (2.11), beta ones
included. A block's fields without a canonical name ride in ``extra``; a block of an unknown kind is an ``UnknownPart``.
Names in ``extra`` that begin with ``$`` are this package's own notes, not fields of the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from millstream.core.messages import (
    CitationPart,
    MediaPart,
    Opaque,
    Part,
    ReasoningPart,
    ResultPart,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    ToolReferencePart,
    ToolResultPart,
    UnknownPart,
)
from millstream.core.opaque import split_call_id, unwrap
from millstream.dialects.anthropic.fields import Fields, missing, wrong
from millstream.dialects.anthropic.wire import ORIGIN, SERVER_CALLS, digest, is_server_result
from millstream.dialects.base import own_extra

BLOCK = "$block"
"""Note: the whole block, for kinds whose canonical form says less than they do."""

SOURCE = "$source"
"""Note: a document's ``source`` of the kind ``content``, whose text alone is canonical."""

WITHIN = "$within"
"""Note on an image: it stands within the document before it, and is part of that document's ``$source``."""

_BOOKKEEPING = frozenset({"fallback", "mcp_tool_listing", "tool_removal"})
"""Kinds of blocks that say nothing to the model."""

KIND = "$type"
"""Note: the wire's own ``type``, where several share one canonical form."""


def parts_in(content: object, path: str) -> tuple[Part, ...]:
    """The blocks of one message. Raises ``ClientFault`` that names the path."""
    return tuple(part for number, block in _blocks(content, path) for part in _part_in(block, f"{path}.{number}"))


def citation_of(data: Mapping[str, Any]) -> CitationPart:
    """A citation, from a request's text block or a reply's."""
    return CitationPart(
        origin=ORIGIN,
        data=data,
        url=_string(data, "url"),
        title=_string(data, "title") or _string(data, "document_title"),
        cited_text=_string(data, "cited_text"),
        start=_number(data, "start_char_index"),
        end=_number(data, "end_char_index"),
    )


def _string(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) else None


def _number(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    return value if isinstance(value, int) else None


def _blocks(content: object, path: str) -> list[tuple[int, dict[str, Any]]]:
    if not isinstance(content, list):
        raise wrong(path, "a valid list")
    for number, block in enumerate(content):
        if not isinstance(block, dict):
            raise wrong(f"{path}.{number}", "a valid dictionary")
        if not isinstance(block.get("type"), str):
            raise missing(f"{path}.{number}.type")
    return list(enumerate(content))


def _part_in(block: dict[str, Any], path: str) -> tuple[Part, ...]:
    kind: str = block["type"]
    reader = _READERS.get(kind)
    if reader is not None:
        fields = Fields(block, f"{path}.{kind}")
        fields.any("type")
        return reader(fields, block)
    if is_server_result(block):
        return (ServerToolResultPart(ORIGIN, block["tool_use_id"], block, digest(block) or None),)
    return (UnknownPart(ORIGIN, block, asked=kind not in _BOOKKEEPING),)


def _text(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    text = fields.required_text("text")
    cited = fields.array("citations") or []
    for number, citation in enumerate(cited):
        if not isinstance(citation, dict):
            raise wrong(f"{fields.at('citations')}.{number}", "a valid dictionary")
    cache = fields.mapping("cache_control")
    return (TextPart(text, tuple(map(citation_of, cited)), cache, fields.extra()),)


def _image(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    source = _source(fields)
    cache = fields.mapping("cache_control")
    kind = source.required_text("type")
    if kind == "base64":
        media_type, data = source.required_text("media_type"), source.required_text("data")
        media = MediaPart(kind="image", media_type=media_type, data=data, cache=cache)
    elif kind == "url":
        media = MediaPart(kind="image", url=source.required_text("url"), cache=cache)
    elif kind == "file":
        media = MediaPart(kind="image", file_id=source.required_text("file_id"), cache=cache)
    else:
        return (UnknownPart(ORIGIN, block, asked=True),)
    return (_with_extra(media, fields, source),)


def _document(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    source = _source(fields)
    cache = fields.mapping("cache_control")
    name, context = fields.text("title"), fields.text("context")
    kind = source.required_text("type")
    media_type = source.text("media_type")
    media = MediaPart(kind="document", media_type=media_type, name=name, context=context, cache=cache)
    if kind == "base64":
        media = msgspec.structs.replace(media, data=source.required_text("data"))
    elif kind == "text":
        media = msgspec.structs.replace(media, text=source.required_text("data"))
    elif kind == "url":
        media = msgspec.structs.replace(media, url=source.required_text("url"))
    elif kind == "file":
        media = msgspec.structs.replace(media, file_id=source.required_text("file_id"))
    elif kind == "content":
        return _composed(fields, source, media, block)
    else:
        return (UnknownPart(ORIGIN, block, asked=True),)
    return (_with_extra(media, fields, source),)


def _composed(fields: Fields, source: Fields, media: MediaPart, block: dict[str, Any]) -> tuple[Part, ...]:
    """A document made of blocks: its text, and its images as parts of their own for those who cannot nest them."""
    content = source.any("content")
    if content is None:
        raise missing(source.at("content"))
    inner = [TextPart(content)] if isinstance(content, str) else parts_in(content, source.at("content"))
    text = "\n".join(part.text for part in inner if isinstance(part, TextPart))
    fields.keep(SOURCE, block["source"])
    within = {ORIGIN: {WITHIN: True}}
    images = [msgspec.structs.replace(part, extra=within) for part in inner if isinstance(part, MediaPart)]
    return (msgspec.structs.replace(media, media_type="text/plain", text=text, extra=fields.extra()), *images)


def _source(fields: Fields) -> Fields:
    source = fields.nested("source")
    if source is None:
        raise missing(fields.at("source"))
    return source


def _with_extra(media: MediaPart, fields: Fields, source: Fields) -> MediaPart:
    if source.rest():
        fields.keep("source", source.rest())
    return msgspec.structs.replace(media, extra=fields.extra())


def _search_result(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    content = parts_in(fields.array("content") or [], fields.at("content"))
    text = "\n".join(part.text for part in content if isinstance(part, TextPart))
    name, context = fields.required_text("title"), fields.required_text("source")
    cache = fields.mapping("cache_control")
    note = {ORIGIN: {BLOCK: block}}
    media_type = "text/plain"
    return (MediaPart("document", media_type, text=text, name=name, context=context, cache=cache, extra=note),)


def _thinking(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    text = fields.required_text("thinking")
    signature = fields.text("signature")
    return (ReasoningPart(text, _opaque(signature), extra=fields.extra()),)


def _opaque(value: str | None) -> Opaque | None:
    """An empty signature is what a client was given that thinks along with a model that signs nothing."""
    return unwrap(value, ORIGIN) if value else None


def _redacted_thinking(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    data = fields.required_text("data")
    return (ReasoningPart(redacted=unwrap(data, ORIGIN), extra=fields.extra()),)


def _call(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    kind = block["type"]
    call_id, signature = split_call_id(fields.required_text("id"))
    name = fields.required_text("name")
    arguments = msgspec.json.encode(fields.required_mapping("input")).decode()
    cache = fields.mapping("cache_control")
    if kind not in SERVER_CALLS:
        return (ToolCallPart(call_id, name, arguments, "function", signature, cache, fields.extra()),)
    fields.keep(KIND, kind)
    return (ToolCallPart(call_id, name, arguments, "server", signature, cache, fields.extra()),)


def _tool_result(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    call_id, _ = split_call_id(fields.required_text("tool_use_id"))
    is_error = fields.true("is_error")
    cache = fields.mapping("cache_control")
    content = fields.any("content")
    result: str | tuple[ResultPart, ...]
    if isinstance(content, str):
        result = content
    else:
        path = fields.at("content")
        result = tuple(_result_part(part, path) for part in parts_in(content if content is not None else [], path))
    return (ToolResultPart(call_id, result, is_error, cache=cache, extra=fields.extra()),)


def _result_part(part: Part, path: str) -> ResultPart:
    if isinstance(part, ResultPart):
        return part
    raise wrong(path, "text, images, documents, search results or tool references")


def _tool_reference(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    return (ToolReferencePart(fields.required_text("tool_name"), fields.extra()),)


def _tool_addition(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    """A tool offered from here on. One that is declared among the request's tools is thereby loaded; a definition
    given right here joins them (``tools.py``)."""
    tool = fields.required_mapping("tool")
    definition = tool.get("definition")
    name = tool.get("name") if tool.get("type") == "tool_reference" else None
    if isinstance(definition, dict):
        name = definition.get("name")
    if not isinstance(name, str):
        return (UnknownPart(ORIGIN, block),)
    return (ToolReferencePart(name, own_extra(ORIGIN, {BLOCK: block})),)


def _compaction(fields: Fields, block: dict[str, Any]) -> tuple[Part, ...]:
    """The summary that stands for what came before it: to any other API a text."""
    summary = fields.text("content")
    if not summary:
        return (UnknownPart(ORIGIN, block),)
    return (TextPart(summary, cache=fields.mapping("cache_control"), extra=own_extra(ORIGIN, {BLOCK: block})),)


_READERS: dict[str, Callable[[Fields, dict[str, Any]], tuple[Part, ...]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "thinking": _thinking,
    "redacted_thinking": _redacted_thinking,
    "tool_use": _call,
    "server_tool_use": _call,
    "mcp_tool_use": _call,
    "tool_result": _tool_result,
    "tool_reference": _tool_reference,
    "tool_addition": _tool_addition,
    "compaction": _compaction,
}
