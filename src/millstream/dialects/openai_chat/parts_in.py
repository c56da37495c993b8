"""Content parts of a client's message → canonical.

Source: https://platform.openai.com/docs/api-reference/chat/create and what providers of this API add (``cache_control``
of OpenRouter, ``video_url``, ``thinking`` parts of Mistral). A part's fields without a canonical name ride in
``extra``; a part of an unknown kind is an ``UnknownPart``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from millstream.core.messages import (
    MediaPart,
    Part,
    ReasoningPart,
    RefusalPart,
    ResultPart,
    TextPart,
    UnknownPart,
)
from millstream.dialects.openai_chat import media, wire
from millstream.dialects.openai_chat.fields import Fields, missing, unexpected

BARE = "$bare"
"""Note: a text, an image's URL or a file's data is not wrapped as it usually is."""

PART = "$part"
"""Note: the whole part, where its canonical form says less."""


def parts_in(content: list[Any], path: str) -> tuple[Part, ...]:
    """Raises ``ClientFault`` that names the path."""
    return tuple(_part(part, f"{path}[{number}]") for number, part in enumerate(content))


def result_parts_in(content: list[Any], path: str) -> tuple[ResultPart, ...]:
    """The parts of a tool's result."""
    parts = zip(content, parts_in(content, path), strict=True)
    return tuple(part if isinstance(part, ResultPart) else UnknownPart(wire.NAME, entry) for entry, part in parts)


def _part(part: object, path: str) -> Part:
    if isinstance(part, str):
        return TextPart(part, extra={wire.NAME: {BARE: True}})
    fields = Fields(part, path)
    kind = fields.required_text("type")
    reader = _READERS.get(kind)
    if reader is None:
        return UnknownPart(wire.NAME, {"type": kind, **fields.rest()}, asked=True)
    return reader(fields)


def _text(fields: Fields) -> Part:
    text, cache = fields.required_text("text"), fields.mapping("cache_control")
    return TextPart(text, cache=cache, extra=fields.extra())


def _refusal(fields: Fields) -> Part:
    return RefusalPart(fields.required_text("refusal"), fields.extra())


def _image(fields: Fields) -> Part:
    return _linked(fields, "image_url", "image")


def _video(fields: Fields) -> Part:
    return _linked(fields, "video_url", "video")


def _linked(fields: Fields, name: str, kind: str) -> Part:
    cache = fields.mapping("cache_control")
    given = fields.peek(name)
    if isinstance(given, str):
        fields.keep(BARE, value=True)
        link = Fields({"url": fields.any(name)}, fields.at(name))
    else:
        link = fields.required(name)
    url, detail = link.required_text("url"), link.text("detail")
    media_type, data = media.data_url(url)
    if link.rest():
        fields.keep(name, link.rest())
    return MediaPart(
        kind,  # type: ignore[arg-type]  # image or video by the two callers
        media_type,
        data,
        None if data is not None else url,
        detail=detail,
        cache=cache,
        extra=fields.extra(),
    )


def _audio(fields: Fields) -> Part:
    cache = fields.mapping("cache_control")
    given = fields.peek("input_audio")
    if isinstance(given, str):
        # Mistral's: a URL or base64, of any format.
        fields.any("input_audio")
        fields.keep(BARE, value=True)
        url, data = (given, None) if given.startswith(("https://", "http://")) else (None, given)
        return MediaPart("audio", "audio", data, url, cache=cache, extra=fields.extra())
    audio = fields.required("input_audio")
    data, form = audio.required_text("data"), audio.required_text("format")
    if audio.rest():
        fields.keep("input_audio", audio.rest())
    return MediaPart("audio", media.audio_type(form), data, cache=cache, extra=fields.extra())


def _file(fields: Fields) -> Part:
    cache = fields.mapping("cache_control")
    file = fields.required("file")
    given, file_id, name = file.text("file_data"), file.text("file_id"), file.text("filename")
    if given is None and file_id is None:
        raise missing(file.at("file_data"))
    if file.rest():
        fields.keep("file", file.rest())
    part = MediaPart("document", file_id=file_id, name=name, cache=cache)
    if given is None:
        return msgspec.structs.replace(part, extra=fields.extra())
    media_type, data = media.data_url(given)
    if data is None and not given.startswith(("https://", "http://")):
        fields.keep(BARE, value=True)
        data = given
    url = given if data is None else None
    return msgspec.structs.replace(part, media_type=media_type, data=data, url=url, extra=fields.extra())


def _thinking(fields: Fields) -> Part:
    """Mistral's: thinking is itself a list of parts."""
    whole = {"type": "thinking", **fields.rest()}
    inner: object = whole.get("thinking")
    if not isinstance(inner, list | str):
        raise unexpected(fields.at("thinking"), "an array", inner)
    pieces = [inner] if isinstance(inner, str) else [_text_in(piece) for piece in inner]
    return ReasoningPart("".join(pieces), extra={wire.NAME: {PART: whole}})


def _text_in(piece: object) -> str:
    return wire.string(piece, "text") if isinstance(piece, Mapping) else ""


_READERS: dict[str, Callable[[Fields], Part]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "video_url": _video,
    "input_audio": _audio,
    "file": _file,
    "thinking": _thinking,
}
