"""``contents`` for an upstream.

A history of this API's own client goes back turn for turn. Any other is brought into the form this API demands
(https://ai.google.dev/gemini-api/docs/function-calling): user and model alternate, the user begins, and what answers
a function call comes first in the turn after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.core.errors import ClientFault
from millstream.core.messages import (
    MediaPart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    Request,
    ResultPart,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    ToolReferencePart,
    ToolResultPart,
    UnknownPart,
)
from millstream.dialects.base import is_cached, left_out
from millstream.dialects.gemini import parts_out
from millstream.dialects.gemini.calls import NO_ID
from millstream.dialects.gemini.models import version
from millstream.dialects.gemini.parts_in import BARE, TYPE, response_of
from millstream.dialects.gemini.parts_out import Wire, own_fields
from millstream.dialects.gemini.quirks import GeminiQuirks
from millstream.dialects.gemini.signatures import SKIP_VALIDATION, for_upstream
from millstream.dialects.gemini.wire import DIALECT

_SIGNED_SINCE = (3, 0)
"""From this version on a function call without a signature is refused, and results may hold media."""

_OPENING = "(The conversation begins.)"
"""The user's turn before a history that begins with the model's or has no turn at all."""

_MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "mov": "video/mov",
}


class RenderedContents:
    """``leading_system`` holds system messages that came before all others; ``dropped`` names what could not go."""

    def __init__(self, request: Request, model: str, quirks: GeminiQuirks) -> None:
        self.contents: list[Wire] = []
        self.leading_system: list[str] = []
        self.dropped: list[str] = []
        self._quirks = quirks
        self._own = request.origin == DIALECT
        self._signs = quirks.skip_signature and version(model) >= _SIGNED_SINCE
        nested = version(model) >= _SIGNED_SINCE if quirks.media_in_results == "auto" else None
        self._nested = quirks.media_in_results == "nested" if nested is None else nested
        self._names: dict[str, str] = {}
        for index, message in enumerate(request.messages):
            self._message(message, f"messages[{index}]")
        if not self._own:
            self._arrange()
        if any(message.name is not None for message in request.messages):
            self.dropped.append("messages.name")
        if is_cached(request):
            self.dropped.append("cache_control")

    def _message(self, message: Message, path: str) -> None:
        if message.role in ("system", "developer"):
            self._system(message, path)
            return
        parts: list[Wire] = []
        for part in message.parts:
            parts.extend(self._part(part, path, said_by_model=message.role == "assistant"))
        if message.role == "assistant":
            self._sign(parts)
        fields, own = own_fields(message.extra)
        role = own.get("$role", "model" if message.role == "assistant" else "user")
        if not self._own:
            self._append(role, parts)
            return
        content = {**({"role": role} if role else {}), **fields}
        self.contents.append(content if own.get("$noParts") else {**content, "parts": parts})

    def _system(self, message: Message, path: str) -> None:
        texts = [part.text for part in message.parts if isinstance(part, TextPart) and part.text]
        if len(texts) < len([part for part in message.parts if not isinstance(part, TextPart) or part.text]):
            raise ClientFault(f"{path}: this model takes only text in a system message", param=path)
        if not self.contents:
            self.leading_system.extend(texts)
        elif texts:
            body = "\n\n".join(texts)
            self._append("user", [{"text": f"<system-reminder>\n{body}\n</system-reminder>"}])

    def _append(self, role: str, parts: list[Wire]) -> None:
        """A turn, joined to the one before it if that is of the same role."""
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"].extend(parts)
        elif parts:
            self.contents.append({"role": role, "parts": parts})

    def _arrange(self) -> None:
        """The user begins, and answers to calls come before what else is in their turn."""
        if not self.contents or self.contents[0]["role"] != "user":
            self.contents.insert(0, {"role": "user", "parts": [{"text": _OPENING}]})
        for content in self.contents:
            content["parts"].sort(key=lambda part: "functionResponse" not in part)

    def _sign(self, parts: list[Wire]) -> None:
        """Of parallel calls only the first is signed."""
        first = next((part for part in parts if "functionCall" in part), None)
        if self._signs and first is not None:
            first.setdefault("thoughtSignature", SKIP_VALIDATION)

    def _part(self, part: Part, path: str, *, said_by_model: bool) -> list[Wire]:
        match part:
            case TextPart():
                empty = not part.text and not self._own and for_upstream(part.signature) is None
                return [] if empty else [parts_out.text_out(part, for_upstream)]
            case RefusalPart():
                return [parts_out.text_out(part, for_upstream)] if part.text else []
            case ReasoningPart():
                return self._thought(part)
            case MediaPart():
                return [self._media(part, path)]
            case ToolCallPart():
                return self._call(part)
            case ToolResultPart():
                return self._result(part, path)
            case ServerToolResultPart() if part.origin == DIALECT and self._own:
                return [parts_out.server_result_out(part)]
            case UnknownPart() if part.origin == DIALECT:
                return [dict(part.data)]
            case UnknownPart():
                return self._drop(left_out(part, path, said_by_model=said_by_model))
            case ServerToolResultPart():
                return self._drop("messages.server_tool_result")
            case ToolReferencePart():
                return [{"text": _loaded(part.name)}]

    def _drop(self, name: str) -> list[Wire]:
        self.dropped.append(name)
        return []

    def _thought(self, part: ReasoningPart) -> list[Wire]:
        """Thinking goes back to the model that had it; that of another would only mislead it."""
        signature = for_upstream(part.signature)
        if part.redacted is not None or (signature is None and not self._own):
            return []
        return [parts_out.thought_out(part, signature)]

    def _call(self, part: ToolCallPart) -> list[Wire]:
        self._names[part.id] = part.name
        signature = for_upstream(part.signature)
        if part.kind != "server":
            return [parts_out.call_out(part, signature, with_id=self._quirks.call_ids)]
        if not self._own or TYPE not in own_fields(part.extra)[1]:
            return self._drop("messages.server_tool_use")
        return [parts_out.server_call_out(part, signature)]

    def _result(self, part: ToolResultPart, path: str) -> list[Wire]:
        fields, own = own_fields(part.extra)
        name = part.name or self._names.get(part.call_id)
        if name is None:
            message = f"{path}: there is no call {part.call_id!r} that this tool result could answer"
            raise ClientFault(message, param=path)
        items = (TextPart(part.content),) if isinstance(part.content, str) else part.content
        answer: Wire = {"name": name}
        if self._quirks.call_ids and not own.get(NO_ID):
            answer["id"] = part.call_id
        if not own.get(BARE):
            text = "\n".join(_text_of(item) for item in items if not isinstance(item, MediaPart | UnknownPart))
            answer["response"] = own["$response"] if "$response" in own else response_of(text, is_error=part.is_error)
        answer.update(own.get("$answer") or {})
        return self._with_media({"functionResponse": answer, **fields}, part, items, path)

    def _with_media(self, result: Wire, part: ToolResultPart, items: Sequence[ResultPart], path: str) -> list[Wire]:
        """A result's pictures within it where the model knows them there, else beside it."""
        media: list[Wire] = []
        for item in items:
            if isinstance(item, MediaPart):
                media.append(self._media(item, path))
            elif isinstance(item, UnknownPart):
                media.extend([dict(item.data)] if item.origin == DIALECT else self._drop(left_out(item, path)))
        if not media or not (self._nested or self._own):
            return [result, *media]
        answer: Wire = result["functionResponse"]
        texts = [one["text"] for one in media if "text" in one]
        if texts:
            answer["response"] = response_of("\n".join([_said(answer), *texts]), is_error=part.is_error)
        pictures = [one for one in media if "text" not in one]
        if pictures:
            answer["parts"] = pictures
        return [result]

    def _media(self, part: MediaPart, path: str) -> Wire:
        if part.detail not in (None, "auto") and not self._own:
            self.dropped.append("detail")
        if part.text is not None:
            return {"text": "\n\n".join(text for text in (part.name, part.context, part.text) if text)}
        media_type = part.media_type if part.media_type and "/" in part.media_type else None
        if part.url is not None:
            media_type = media_type or _MEDIA_TYPES.get(part.url.partition("?")[0].rpartition(".")[2].lower())
            if not self._own and not part.url.startswith(self._quirks.file_uri_schemes):
                fetched = " and ".join(self._quirks.file_uri_schemes)
                raise ClientFault(f"{path}: this model's provider fetches only {fetched}, not {part.url}", param=path)
        elif part.data is None:
            raise ClientFault(f"{path}: this model's provider does not know the file {part.file_id}", param=path)
        elif media_type is None and not self._own:
            raise ClientFault(f"{path}: say the media type of this {part.kind}", param=path)
        return parts_out.media_out(part, for_upstream, media_type)


def _said(answer: Wire) -> str:
    response: dict[str, Any] = answer.get("response") or {}
    return str(response.get("output") or response.get("error") or "")


def _text_of(part: Part) -> str:
    return (
        part.text if isinstance(part, TextPart) else _loaded(part.name) if isinstance(part, ToolReferencePart) else ""
    )


def _loaded(name: str) -> str:
    return f"The tool {name} is loaded and can be called now."
