"""Images and documents in this API's words, and which of them it does not take."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from millstream.core.errors import ClientFault
from millstream.core.messages import MediaPart, extra_of
from millstream.dialects.anthropic.blocks_in import BLOCK, SOURCE
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import check_fetchable

_MAGIC = {"/9j/": "image/jpeg", "iVBORw0K": "image/png", "R0lGOD": "image/gif", "UklGR": "image/webp"}
"""How the base64 of each type begins. The API refuses an image whose type is wrong, and clients often guess it."""


def media_block(part: MediaPart, path: str, *, own: bool) -> dict[str, Any]:
    """``part`` as a block. Raises ``ClientFault`` for what the API does not take; ``own``: it was written for it."""
    extra = extra_of(part.extra, ORIGIN)
    if BLOCK in extra:
        return dict(extra[BLOCK])
    if part.kind not in ("image", "document"):
        raise _refused(f"this model's API takes no {part.kind} input", path)
    if part.file_id is not None and not own:
        raise _refused("a file uploaded to another provider cannot be read by this model's; send its content", path)
    if part.url is not None and not own:
        check_fetchable(part.url, path)
    source: Mapping[str, Any]
    if SOURCE in extra:
        source = extra[SOURCE]
    else:
        image = part.kind == "image"
        source = _image_source(part, own=own) if image else _document_source(part, path, own=own)
        source = {**source, **extra.get("source", {})}
    described = {"title": part.name, "context": part.context} if part.kind == "document" else {}
    named = {**described, "cache_control": part.cache}
    block = {"type": part.kind, "source": source, **{name: value for name, value in named.items() if value is not None}}
    return {**block, **{name: value for name, value in extra.items() if name[:1] != "$" and name != "source"}}


def _image_source(part: MediaPart, *, own: bool) -> dict[str, Any]:
    if part.data is not None:
        media_type = part.media_type if own else _image_type(part.data, part.media_type)
        return {"type": "base64", "media_type": media_type, "data": part.data}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "file", "file_id": part.file_id}


def _image_type(data: str, said: str | None) -> str | None:
    for beginning, media_type in _MAGIC.items():
        if data.startswith(beginning):
            return media_type
    return "image/jpeg" if said in (None, "image", "image/*", "image/jpg") else said


def _document_source(part: MediaPart, path: str, *, own: bool) -> dict[str, Any]:
    if part.text is not None:
        return {"type": "text", "media_type": part.media_type or "text/plain", "data": part.text}
    if part.data is None:
        source = {"type": "url", "url": part.url} if part.url is not None else {"type": "file", "file_id": part.file_id}
        return {**source, "media_type": part.media_type} if own and part.media_type is not None else source
    media_type = part.media_type or "application/pdf"
    if own or media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": part.data}
    return {"type": "text", "media_type": "text/plain", "data": _text_of(part.data, media_type, path)}


def _text_of(data: str, media_type: str, path: str) -> str:
    """The API takes PDF and plain text; whatever decodes as text can go as such."""
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _refused(f"this model's API takes PDF and text documents, not {media_type}", path) from error


def _refused(reason: str, path: str) -> ClientFault:
    return ClientFault(f"{path}: {reason}", param=path)
