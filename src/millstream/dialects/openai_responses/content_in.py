"""The parts of a message or of a tool's output: wire → canonical."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from millstream.core.messages import CitationPart, MediaPart, RefusalPart, ResultPart, TextPart, UnknownPart
from millstream.dialects.base import own_extra
from millstream.dialects.openai_responses import fields, wire

ContentPart = TextPart | RefusalPart | MediaPart | UnknownPart
"""Any part of a message; of a tool's output all but a refusal."""

_DATA_URL = re.compile(r"data:([^;,]+);base64,", re.IGNORECASE)
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def content(entries: Sequence[Mapping[str, Any]], path: str, text_type: str) -> tuple[ContentPart, ...]:
    """``text_type`` is the type of text that needs no mention: ``input_text``, or ``output_text`` of an assistant."""
    return tuple(_part(entry, f"{path}[{number}]", text_type) for number, entry in enumerate(entries))


def result_content(entries: Sequence[Mapping[str, Any]], path: str) -> tuple[ResultPart, ...]:
    parts: list[ResultPart] = []
    for entry, part in zip(entries, content(entries, path, "input_text"), strict=True):
        parts.append(UnknownPart(wire.NAME, entry) if isinstance(part, RefusalPart) else part)
    return tuple(parts)


def _part(entry: Mapping[str, Any], path: str, text_type: str) -> ContentPart:
    kind = fields.text(entry, "type", path)
    match kind:
        case "input_text" | "output_text" | "text":
            return _text(entry, path, {} if kind == text_type else {"type": kind})
        case "refusal":
            extra = own_extra(wire.NAME, wire.rest(entry, ("type", "refusal")))
            return RefusalPart(fields.text(entry, "refusal", path), extra=extra)
        case "input_image":
            return _image(entry, path)
        case "input_file":
            return _file(entry, path)
        case "input_audio":
            return _audio(entry, path)
        case _:
            return UnknownPart(wire.NAME, entry, asked=True)


def _text(entry: Mapping[str, Any], path: str, extra: dict[str, Any]) -> TextPart:
    value = fields.text(entry, "text", path)
    extra |= wire.rest(entry, ("type", "text"))
    return TextPart(value, citations=citations(entry), extra=own_extra(wire.NAME, extra))


def citations(part: Mapping[str, Any]) -> tuple[CitationPart, ...]:
    return tuple(citation(annotation) for annotation in wire.objects(part, "annotations"))


def citation(annotation: Mapping[str, Any]) -> CitationPart:
    return CitationPart(
        origin=wire.NAME,
        data=annotation,
        url=wire.string(annotation, "url") or None,
        title=wire.string(annotation, "title") or wire.string(annotation, "filename") or None,
        start=wire.integer(annotation, "start_index"),
        end=wire.integer(annotation, "end_index"),
    )


def _image(entry: Mapping[str, Any], path: str) -> MediaPart:
    url = fields.optional_text(entry, "image_url", path)
    file_id = fields.optional_text(entry, "file_id", path)
    if url is None and file_id is None:
        raise fields.wrong(path, "an image needs image_url or file_id")
    media_type, data = split_data_url(url)
    return MediaPart(
        "image",
        media_type=media_type,
        data=data,
        url=None if data is not None else url,
        file_id=file_id,
        detail=fields.optional_text(entry, "detail", path),
        extra=own_extra(wire.NAME, wire.rest(entry, ("type", "image_url", "file_id", "detail"))),
    )


def _file(entry: Mapping[str, Any], path: str) -> MediaPart:
    known = ("type", "file_data", "file_url", "file_id", "filename")
    given = fields.optional_text(entry, "file_data", path)
    url = fields.optional_text(entry, "file_url", path)
    file_id = fields.optional_text(entry, "file_id", path)
    if given is None and url is None and file_id is None:
        raise fields.wrong(path, "a file needs file_data, file_url or file_id")
    media_type, data = split_data_url(given)
    return MediaPart(
        "document",
        media_type=media_type,
        data=given if data is None else data,
        url=url,
        file_id=file_id,
        name=fields.optional_text(entry, "filename", path),
        extra=own_extra(wire.NAME, wire.rest(entry, known)),
    )


def _audio(entry: Mapping[str, Any], path: str) -> MediaPart:
    audio = fields.optional_object(entry, "input_audio", path)
    if audio is None:
        raise fields.wrong(f"{path}.input_audio", "this field is required")
    form = fields.text(audio, "format", f"{path}.input_audio")
    return MediaPart(
        "audio",
        media_type=_AUDIO_TYPES.get(form, f"audio/{form}"),
        data=fields.text(audio, "data", f"{path}.input_audio"),
        extra=own_extra(wire.NAME, wire.rest(entry, ("type", "input_audio"))),
    )


def split_data_url(url: str | None) -> tuple[str | None, str | None]:
    """Media type and base64 data; nothing of a URL that is none of this kind."""
    found = _DATA_URL.match(url) if url else None
    return (found[1], url[found.end() :]) if found and url else (None, None)
