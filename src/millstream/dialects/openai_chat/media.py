"""Images, sounds, files and sources: what requests and replies write alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from millstream.core.messages import CitationPart
from millstream.dialects.openai_chat import wire

_DATA_URL = re.compile(r"data:([^;,]+);base64,")
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg"}
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}


def data_url(url: str) -> tuple[str | None, str | None]:
    """Media type and base64 data; nothing of a URL that is none of this kind."""
    found = _DATA_URL.match(url)
    return (found[1], url[found.end() :]) if found else (None, None)


def to_data_url(media_type: str, data: str) -> str:
    return f"data:{media_type};base64,{data}"


def audio_type(form: str) -> str:
    return _AUDIO_TYPES.get(form, f"audio/{form}")


def audio_format(media_type: str | None) -> str:
    family, _, form = (media_type or "").partition("/")
    return _AUDIO_FORMATS.get(media_type or "", form if family == "audio" and form else "wav")


def citation_of(annotation: Mapping[str, Any]) -> CitationPart:
    """An ``annotations`` entry, of a reply or of a reply in a history."""
    details = wire.mapping(annotation, "url_citation") or annotation
    return CitationPart(
        wire.NAME,
        annotation,
        wire.string(details, "url") or None,
        wire.string(details, "title") or None,
        wire.string(details, "content") or None,
        wire.integer(details, "start_index"),
        wire.integer(details, "end_index"),
    )


def annotation_of(citation: CitationPart, start: int, end: int) -> dict[str, Any] | None:
    """A source of the answer's characters from ``start`` to ``end``. None if it is not one that this API can name:
    it knows only URLs. Positions that others give are within the source, so they are not used."""
    if citation.origin == wire.NAME and "url_citation" in citation.data:
        return dict(citation.data)
    if not citation.url:
        return None
    details = {"end_index": end, "start_index": start, "title": citation.title or citation.url, "url": citation.url}
    return {"type": "url_citation", "url_citation": details}


def media_delta(media_type: str, data: str | None, url: str | None, own: Mapping[str, Any]) -> dict[str, Any]:
    """What a model made, as the field of a message that holds it; empty if there is none. Images are where OpenRouter
    puts them, since OpenAI has no place for them."""
    if media_type.startswith("audio") and data is not None:
        return {"audio": {"id": "", "data": data, "expires_at": 0, "transcript": "", **own}}
    link = url if data is None else to_data_url(media_type if "/" in media_type else "image/png", data)
    if media_type.startswith("image") and link is not None:
        return {"images": [{"type": "image_url", "image_url": {"url": link}}]}
    return {}
