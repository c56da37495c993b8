"""Canonical parts → parts of ``contents`` or of a candidate. Source: https://ai.google.dev/api/caching#Part"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from millstream.core.messages import (
    Extra,
    MediaPart,
    Opaque,
    ReasoningPart,
    RefusalPart,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    UnknownPart,
    extra_of,
)
from millstream.dialects.base import CUSTOM_TOOL_INPUT
from millstream.dialects.gemini.parts_in import BARE, CARRIED, CODE_PART, TYPE, UNPARSED
from millstream.dialects.gemini.wire import DIALECT

Sign = Callable[[Opaque | None], str | None]
"""What may stand in ``thoughtSignature`` for an opaque value; None: nothing."""

Wire = dict[str, Any]

_TOOL_TYPES = {
    "web_search": "GOOGLE_SEARCH_WEB",
    "google_search": "GOOGLE_SEARCH_WEB",
    "web_fetch": "URL_CONTEXT",
    "url_context": "URL_CONTEXT",
    "google_maps": "GOOGLE_MAPS",
    "file_search": "FILE_SEARCH",
}
_ANY_TOOL = "TOOL_TYPE_UNSPECIFIED"


def own_fields(extra: Extra | None) -> tuple[Wire, Mapping[str, Any]]:
    """This dialect's own fields of a part, to be written as they came, and all of them with our marks (``$…``)."""
    own = extra_of(extra, DIALECT)
    return {name: value for name, value in own.items() if name[:1] != "$"}, own


def signed(part: Wire, signature: str | None) -> Wire:
    if signature:
        part["thoughtSignature"] = signature
    return part


def text_out(part: TextPart | RefusalPart, sign: Sign) -> Wire:
    fields, own = own_fields(part.extra)
    signature = sign(part.signature) if isinstance(part, TextPart) else None
    return signed({**({} if own.get(BARE) else {"text": part.text}), **fields}, signature)


def thought_out(part: ReasoningPart, signature: str | None) -> Wire:
    return signed({"text": part.text, "thought": True, **own_fields(part.extra)[0]}, signature)


def media_out(part: MediaPart, sign: Sign, media_type: str | None) -> Wire:
    """Of base64 data or a URL; for the other forms there is no part of this kind."""
    fields, own = own_fields(part.extra)
    blob: Wire = {"mimeType": media_type} if media_type else {}
    blob["data" if part.data is not None else "fileUri"] = part.data if part.data is not None else part.url
    blob.update(own.get("$blob") or {})
    return signed({"inlineData" if part.data is not None else "fileData": blob, **fields}, sign(part.signature))


def arguments_of(text: str, *, custom: bool = False) -> msgspec.Raw | Wire:
    """A call's ``args``: the model's own JSON text if it is an object, else an object that holds the text. Without
    line breaks, since it may become part of a stream's ``data:`` line."""
    if custom:
        return {CUSTOM_TOOL_INPUT: text}
    if not text.strip():
        return {}
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return {UNPARSED: text}
    written = text.encode()
    return msgspec.Raw(written if text.isprintable() else msgspec.json.format(written, indent=-1))


def call_out(part: ToolCallPart, signature: str | None, *, with_id: bool = True) -> Wire:
    fields, own = own_fields(part.extra)
    call: Wire = {"name": part.name}
    if not own.get(BARE):
        call["args"] = arguments_of(part.arguments, custom=part.kind == "custom")
    if with_id and not own.get("$noId"):
        call["id"] = part.id
    call.update(own.get("$call") or {})
    return signed({"functionCall": call, **fields}, signature)


def server_call_out(part: ToolCallPart, signature: str | None) -> Wire:
    """A call that the provider ran itself. One of a foreign provider is shown as this API shows its own, with its
    name kept beside it, so that a client that echoes parts gives all of it back."""
    fields, own = own_fields(part.extra)
    with_id: Wire = {} if own.get("$noId") else {"id": part.id}
    kind = own.get(TYPE)
    if kind == CODE_PART:
        return signed({CODE_PART: {**_object(part.arguments), **with_id}, **fields}, signature)
    call: Wire = {"toolType": kind or _TOOL_TYPES.get(part.name, _ANY_TOOL), **with_id}
    if not own.get(BARE):
        call["args"] = arguments_of(part.arguments)
    call.update(own.get("$call") or {})
    if kind is None:
        fields["partMetadata"] = {CARRIED: {"name": part.name}}
    return signed({"toolCall": call, **fields}, signature)


def server_result_out(part: ServerToolResultPart) -> Wire:
    """Our own result is a whole part as it came; a foreign one is carried beside a ``toolResponse``."""
    if part.origin == DIALECT:
        return dict(part.data)
    response: Wire = {"id": part.call_id, "toolType": _ANY_TOOL}
    if part.text is not None:
        response["response"] = {"output": part.text}
    carried = {"origin": part.origin, "data": part.data, **({"text": part.text} if part.text is not None else {})}
    return {"toolResponse": response, "partMetadata": {CARRIED: carried}}


def unknown_out(part: UnknownPart) -> Wire | None:
    return dict(part.data) if part.origin == DIALECT else None


def _object(text: str) -> Wire:
    try:
        found: Wire = msgspec.json.decode(text, type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}
    return found
