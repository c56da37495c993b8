"""Content parts: canonical → an upstream's words."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from millstream.core.errors import ClientFault
from millstream.core.messages import MediaPart, Part, RefusalPart, TextPart, ToolReferencePart, UnknownPart
from millstream.dialects.base import check_fetchable, left_out
from millstream.dialects.openai_chat import media, wire
from millstream.dialects.openai_chat.parts_in import BARE
from millstream.dialects.openai_chat.quirks import OpenAIChatQuirks

Wire = dict[str, Any]

BETWEEN = "\n\n"
"""What stands between texts that become one."""


def text_of(part: Part) -> str | None:
    """What a part says in words; None for one that cannot be put into words."""
    match part:
        case TextPart() | RefusalPart():
            return part.text
        case ToolReferencePart():
            return f"The tool {part.name} is loaded and can be called now."
        case MediaPart() if part.kind == "document":
            text = part.text if part.text is not None else _decoded(part)
            return None if text is None else _document(part, text)
        case _:
            return None


def _decoded(part: MediaPart) -> str | None:
    """The text of a document that came as base64 of a text."""
    media_type = part.media_type or ""
    if part.data is None or not (media_type.startswith("text/") or media_type == "application/json"):
        return None
    try:
        return base64.b64decode(part.data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def _document(part: MediaPart, text: str) -> str:
    title = f' title="{part.name}"' if part.name else ""
    context = f"{part.context}\n\n" if part.context else ""
    return f"<document{title}>\n{context}{text}\n</document>"


def spoken(parts: Sequence[Part]) -> str:
    """The assistant's text. A text with sources is a piece of the text around it."""
    text, cited_before = "", False
    for part in parts:
        piece = text_of(part)
        if not piece:
            continue
        cited = isinstance(part, TextPart) and bool(part.citations)
        text += piece if not text or cited or cited_before else BETWEEN + piece
        cited_before = cited
    return text


def with_error(text: str, *, is_error: bool) -> str:
    """This API has no mark for a failed tool: the text says it."""
    if not is_error or text[:5].lower() == "error" or text.startswith("<tool_use_error>"):
        return text
    return f"Error: {text}" if text else "Error"


class PartsOut:
    """``dropped`` names the kinds of parts that this API has no words for."""

    def __init__(self, quirks: OpenAIChatQuirks, *, own: bool) -> None:
        self.dropped: list[str] = []
        self._quirks = quirks
        self._own = own

    def parts(self, parts: tuple[Part, ...], path: str) -> list[Any]:
        """Raises ``ClientFault`` for what this upstream does not take."""
        written = [self._part(part, f"{path}[{number}]") for number, part in enumerate(parts)]
        return [part for part in written if part is not None]

    def _part(self, part: Part, path: str) -> Any:
        text = None if self._own and isinstance(part, MediaPart) else text_of(part)
        if isinstance(part, TextPart) and BARE in wire.own(part.extra):
            return part.text
        if isinstance(part, RefusalPart) and self._own:
            return {"type": "refusal", "refusal": part.text, **wire.own_fields(part.extra)}
        if text is not None:
            return self._with_cache({"type": "text", "text": text}, part)
        if isinstance(part, MediaPart):
            return self._with_cache(self._media(part, path), part)
        if isinstance(part, UnknownPart) and part.origin == wire.NAME:
            return dict(part.data)
        if isinstance(part, UnknownPart):
            left_out(part, path)
        self.drop(part)
        return None

    def drop(self, part: Part) -> None:
        match part:
            case UnknownPart():
                kind = wire.string(part.data, "type") or "unknown"
            case MediaPart():
                kind = part.kind
            case _:
                kind = "server_tool_result"
        self.dropped.append(f"messages.{kind}")

    def _with_cache(self, written: Wire, part: Part) -> Wire:
        cache = getattr(part, "cache", None)
        if cache is not None and (self._own or self._quirks.cache_control):
            written["cache_control"] = cache
        for name, value in wire.own_fields(getattr(part, "extra", None)).items():
            known = written.get(name)
            written[name] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
        return written

    def _media(self, part: MediaPart, path: str) -> Wire:
        if part.url is not None and not self._own:
            check_fetchable(part.url, path)
        match part.kind:
            case "image":
                if not self._quirks.images:
                    raise _refused(path, "this model cannot see images")
                return self._linked(part, "image_url", path)
            case "video":
                if not self._quirks.video and not self._own:
                    raise _refused(path, "this model takes no video")
                return self._linked(part, "video_url", path)
            case "audio":
                return self._audio(part, path)
            case "document":
                return self._file(part, path)

    def _linked(self, part: MediaPart, name: str, path: str) -> Wire:
        if part.data is None and part.url is None:
            raise _refused(path, "a file uploaded to another provider cannot be read by this one; send its content")
        usual = "image/png" if part.kind == "image" else "video/mp4"
        media_type = part.media_type if part.media_type and "/" in part.media_type else usual
        url = media.to_data_url(media_type, part.data) if part.data is not None else part.url
        if BARE in wire.own(part.extra):
            return {"type": name, name: url}
        link: Wire = {"url": url}
        if part.detail is not None:
            link["detail"] = part.detail
        return {"type": name, name: link}

    def _audio(self, part: MediaPart, path: str) -> Wire:
        if BARE in wire.own(part.extra):
            return {"type": "input_audio", "input_audio": part.data if part.data is not None else part.url}
        if not self._quirks.audio or part.data is None:
            raise _refused(path, "this model takes no audio" if part.data is not None else "send the audio as base64")
        audio = {"data": part.data, "format": media.audio_format(part.media_type)}
        return {"type": "input_audio", "input_audio": audio}

    def _file(self, part: MediaPart, path: str) -> Wire:
        file: Wire = {} if part.name is None else {"filename": part.name}
        if self._own:
            return {"type": "file", "file": file | _own_file(part)}
        if part.file_id is not None:
            raise _refused(path, "a file uploaded to another provider cannot be read by this one; send its content")
        if self._quirks.files == "none" or (part.url is not None and self._quirks.files != "url"):
            what = "documents by URL" if part.url is not None else f"documents of type {part.media_type}"
            raise _refused(path, f"this model takes no {what}; send their text")
        file.setdefault("filename", "document.pdf")
        media_type = part.media_type or "application/pdf"
        file["file_data"] = media.to_data_url(media_type, part.data) if part.data is not None else part.url
        return {"type": "file", "file": file}


def _own_file(part: MediaPart) -> Wire:
    if part.file_id is not None and part.data is None and part.url is None:
        return {"file_id": part.file_id}
    bare = BARE in wire.own(part.extra)
    data = part.data if bare or part.data is None else media.to_data_url(part.media_type or "", part.data)
    written: Wire = {"file_data": data if data is not None else part.url}
    return written | ({"file_id": part.file_id} if part.file_id is not None else {})


def _refused(path: str, reason: str) -> ClientFault:
    return ClientFault(f"Invalid '{path}': {reason}.", param=path)
