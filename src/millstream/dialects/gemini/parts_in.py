"""One part of a client's ``contents`` → its canonical part. Source: https://ai.google.dev/api/caching#Part"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import (
    MediaPart,
    Opaque,
    Part,
    ReasoningPart,
    ResultPart,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
    UnknownPart,
)
from millstream.dialects.base import own_extra
from millstream.dialects.gemini import signatures
from millstream.dialects.gemini.calls import CallIds
from millstream.dialects.gemini.fields import Fields, missing
from millstream.dialects.gemini.wire import DIALECT

KINDS = (
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
)
CODE_TOOL = "code_execution"
CODE_PART = "executableCode"
UNPARSED = "__unparsedToolInput"
"""Where arguments that are no JSON object are kept: ``args`` must be one, and the client's tool then says so itself."""

BARE = "$bare"
"""In a part's ``extra``: the field that usually holds its content was left out."""

_ABOUT_A_PART = frozenset({"thought", "thoughtSignature", "partMetadata", "mediaResolution", "videoMetadata"})
"""Fields that say something about a part's content, and nothing without it."""

TYPE = "$type"
"""In the ``extra`` of a server tool's call: as what this API told of it. Without it, the call is another provider's."""

CARRIED = "millstream"
"""In ``partMetadata``: what this dialect cannot say of another's server tool."""

_FAMILIES: dict[str, Literal["image", "document", "audio", "video"]] = {
    "image": "image",
    "audio": "audio",
    "video": "video",
}
_DETAILS = {"MEDIA_RESOLUTION_LOW": "low", "MEDIA_RESOLUTION_MEDIUM": "auto", "MEDIA_RESOLUTION_HIGH": "high"}


def part_in(fields: Fields, ids: CallIds, position: str) -> Part:
    """Raises ``ClientFault`` that names the path. ``position`` is the part's place in the history."""
    kinds = [kind for kind in KINDS if kind in fields]
    if len(kinds) > 1:
        message = f"{fields.path}: a part holds one of {', '.join(KINDS)}; this one has {' and '.join(kinds)}"
        raise ClientFault(message, param=fields.path)
    written = dict(fields.rest())
    signature = fields.text("thoughtSignature")
    held = signatures.from_client(signature) if signature else None
    opaque = held.opaque if held is not None else None
    match kinds[0] if kinds else "":
        case "":
            return _without_content(fields, written, opaque)
        case "text":
            return _text(fields, held)
        case "inlineData" | "fileData" as kind:
            return _media(fields, kind, opaque)
        case "functionCall":
            return _call(fields, ids, position, opaque)
        case "functionResponse":
            return _response(fields, ids, position)
        case "executableCode":
            return _code(fields, ids, position, opaque)
        case "toolCall":
            return _server_call(fields, position, opaque)
        case kind:
            return _server_result(fields, kind, written, ids, position)


def _own(fields: Fields, **more: Any) -> Mapping[str, Mapping[str, Any]] | None:
    marks = {f"${name}": value for name, value in more.items() if value is not None and value is not False}
    return own_extra(DIALECT, {**fields.rest(), **marks})


def _without_content(fields: Fields, written: dict[str, Any], signature: Opaque | None) -> Part:
    if signature is not None and not fields.rest():
        return TextPart("", extra=own_extra(DIALECT, {BARE: True}), signature=signature)
    return UnknownPart(DIALECT, written, asked=any(name not in _ABOUT_A_PART for name in written))


def _text(fields: Fields, held: signatures.Held | None) -> Part:
    text = fields.text("text") or ""
    thought = fields.flag("thought")
    if not thought:
        return TextPart(text, extra=_own(fields), signature=held.opaque if held is not None else None)
    if held is not None and held.redacted:
        return ReasoningPart(text, redacted=held.opaque, extra=_own(fields))
    return ReasoningPart(text, signature=held.opaque if held is not None else None, extra=_own(fields))


def _media(fields: Fields, kind: str, signature: Opaque | None) -> MediaPart:
    blob = fields.inner(kind)
    media_type = blob.text("mimeType")
    content = blob.text("data" if kind == "inlineData" else "fileUri")
    if content is None:
        raise missing(blob.at("data" if kind == "inlineData" else "fileUri"))
    name = blob.rest().get("displayName")
    level = fields.rest().get("mediaResolution")
    return MediaPart(
        kind=_FAMILIES.get((media_type or "").partition("/")[0], "document"),
        media_type=media_type,
        data=content if kind == "inlineData" else None,
        url=content if kind == "fileData" else None,
        name=name if isinstance(name, str) else None,
        detail=_DETAILS.get(str(level.get("level"))) if isinstance(level, Mapping) else None,
        extra=_own(fields, blob=blob.rest() or None),
        signature=signature,
    )


def _call(fields: Fields, ids: CallIds, position: str, signature: Opaque | None) -> ToolCallPart:
    call = fields.inner("functionCall")
    name = call.text("name")
    if not name:
        raise missing(call.at("name"))
    given = call.text("id")
    args = call.mapping("args")
    arguments = args.get(UNPARSED) if args is not None and len(args) == 1 else None
    if not isinstance(arguments, str):
        arguments = msgspec.json.encode(args or {}).decode()
    extra = _own(fields, noId=not given, bare=args is None, call=call.rest() or None)
    return ToolCallPart(ids.called(given, name, position), name, arguments, signature=signature, extra=extra)


def _response(fields: Fields, ids: CallIds, position: str) -> ToolResultPart:
    answer = fields.inner("functionResponse")
    name = answer.text("name")
    if not name:
        raise missing(answer.at("name"))
    given = answer.text("id")
    response = answer.mapping("response")
    media = tuple(_result_media(part) for part in answer.items("parts"))
    text, is_error = response_text(response, name)
    content: str | tuple[ResultPart, ...] = (*((TextPart(text),) if text else ()), *media) if media else text
    written = None if response == response_of(text, is_error=is_error) else response
    extra = _own(fields, noId=not given, bare=response is None, response=written, answer=answer.rest() or None)
    return ToolResultPart(ids.answered(given, name, position), content, is_error, name=name, extra=extra)


def _result_media(fields: Fields) -> ResultPart:
    for kind in ("inlineData", "fileData"):
        if kind in fields:
            return _media(fields, kind, None)
    return UnknownPart(DIALECT, fields.rest(), asked=True)


def response_text(response: Mapping[str, Any] | None, name: str) -> tuple[str, bool]:
    """What the tool ``name`` said, and whether it failed: the one value of ``response`` by the customs of Google's
    documentation and SDKs, or else the whole as JSON."""
    if response is None:
        return "", False
    value: Any = response
    if len(response) == 1:
        value = next((response[key] for key in ("output", "error", "result") if key in response), response)
    elif len(response) == 2 and response.get("name") == name:
        value = response.get("content", response)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode(), set(response) == {"error"}


def response_of(text: str, *, is_error: bool) -> dict[str, Any]:
    return {"error" if is_error else "output": text}


def _code(fields: Fields, ids: CallIds, position: str, signature: Opaque | None) -> ToolCallPart:
    code = fields.inner(CODE_PART)
    given = code.text("id")
    arguments = msgspec.json.encode(code.rest()).decode()
    call_id = ids.called(given, CODE_TOOL, position)
    extra = _own(fields, noId=not given, type=CODE_PART)
    return ToolCallPart(call_id, CODE_TOOL, arguments, "server", signature, extra=extra)


def _server_call(fields: Fields, position: str, signature: Opaque | None) -> ToolCallPart:
    call = fields.inner("toolCall")
    given = call.text("id")
    kind = call.text("toolType") or "TOOL_TYPE_UNSPECIFIED"
    args = call.mapping("args")
    arguments = msgspec.json.encode(args or {}).decode()
    carried = _carried(fields)
    name = carried.get("name") if carried else kind.lower()
    extra = _own(fields, noId=not given, bare=args is None, type=None if carried else kind, call=call.rest() or None)
    return ToolCallPart(given or f"call_{position}", str(name), arguments, "server", signature, extra=extra)


def _server_result(fields: Fields, kind: str, written: dict[str, Any], ids: CallIds, position: str) -> Part:
    result = fields.inner(kind)
    given = result.text("id")
    carried = _carried(fields)
    if carried and isinstance(carried.get("data"), Mapping):
        text = carried.get("text")
        origin = str(carried.get("origin"))
        return ServerToolResultPart(origin, given or "", carried["data"], text if isinstance(text, str) else None)
    if kind == "codeExecutionResult":
        call_id = ids.answered(given, CODE_TOOL, position)
        return ServerToolResultPart(DIALECT, call_id, written, result.text("output"))
    return ServerToolResultPart(DIALECT, given or f"call_{position}", written)


def _carried(fields: Fields) -> Mapping[str, Any] | None:
    """What ``parts_out`` put beside a call or result that another dialect's provider ran."""
    metadata = fields.rest().get("partMetadata")
    carried = metadata.get(CARRIED) if isinstance(metadata, Mapping) else None
    return carried if isinstance(carried, Mapping) else None
