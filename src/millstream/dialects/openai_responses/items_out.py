"""Turns → the items of ``input``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.events import Citation
from millstream.core.messages import (
    CitationPart,
    MediaPart,
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    ToolReferencePart,
    ToolResultPart,
    UnknownPart,
)
from millstream.dialects.base import check_fetchable, custom_arguments, left_out
from millstream.dialects.openai_responses import wire
from millstream.dialects.openai_responses.quirks import ResponsesQuirks

_MAX_CALL_ID = 64
_AUDIO_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}

Item = dict[str, Any]


class Items:
    """Collects the items of a conversation; ``dropped`` names what could not be said."""

    def __init__(self, quirks: ResponsesQuirks, *, own: bool) -> None:
        self._quirks = quirks
        self._own = own
        self.items: list[Item] = []
        self.dropped: set[str] = set()

    def add(self, message: Message, path: str) -> None:
        """Raises ``ClientFault`` where a part has no form here and leaving it out would change the question."""
        if message.name is not None:
            self.dropped.add("messages.name")
        if message.role == "assistant":
            self._assistant(message.parts, path)
        else:
            self._given(message, path)

    def _given(self, message: Message, path: str) -> None:
        """A turn that the model did not make: messages, and the results of tools."""
        kept = wire.own(message.extra).get("item")
        content: list[Item] = []
        for number, part in enumerate(message.parts):
            if isinstance(part, ToolResultPart):
                self._message(message, kept, content)
                content = []
                self.items.append(self._result(part, f"{path}.content[{number}]"))
            elif isinstance(part, UnknownPart):
                (content if kept is not None else self.items).extend(self._unknown(part, path))
            else:
                content.append(self._content(part, f"{path}.content[{number}]"))
        if content or kept is not None:
            self._message(message, kept, content)

    def _message(self, message: Message, kept: Mapping[str, Any] | None, content: list[Item]) -> None:
        if not content and kept is None:
            return
        role = message.role
        if role == "developer" and not self._quirks.developer_role:
            role = "system"
        plain = message.plain and len(content) == 1 and content[0].keys() == {"type", "text"}
        body = content[0]["text"] if plain else content
        around = {"type": "message"} if kept is None else kept
        self.items.append({"role": role, "content": body, **around})

    def _assistant(self, parts: Iterable[Part], path: str) -> None:
        said: Item | None = None
        for number, part in enumerate(parts):
            if isinstance(part, TextPart | RefusalPart):
                said = self._say(part, said)
                continue
            said = None
            match part:
                case ReasoningPart():
                    self.items.extend(self._reasoning(part))
                case ToolCallPart(kind="server"):
                    if not self._own:
                        self.dropped.add("messages.server_tool_use")  # of our own, its result's item holds the call
                case ToolCallPart():
                    self.items.append(self._call(part))
                case ServerToolResultPart():
                    self.items.extend(self._served(part))
                case MediaPart():
                    self.items.append(self._made(part, f"{path}.content[{number}]"))
                case UnknownPart():
                    self.items.extend(self._unknown(part, path, said_by_model=True))
                case _:
                    raise ClientFault(f"{path}.content[{number}]: not a part of an assistant's message")

    def _say(self, part: TextPart | RefusalPart, said: Item | None) -> Item | None:
        """Append to the message item ``said`` of this API's own client, or begin a new one.

        Of other clients a text is a message by itself, in the one form that needs no ids and that all providers take.
        """
        own = dict(wire.own(part.extra))
        kept = own.pop("item", None)
        if kept is None and said is None:
            self.items.append(_easy(part.text))
            return None
        if said is None or (kept is not None and ("id" not in kept or kept["id"] != said.get("id"))):
            kept = dict(kept or {})
            plain = kept.pop("plain", False)
            said = {"role": "assistant", "content": [], **kept}
            self.items.append(said)
            if plain:
                said["content"] = part.text
                return None
        said["content"].append(_said(part, own))
        return said

    def _reasoning(self, part: ReasoningPart) -> list[Item]:
        """Only what this API itself made can be given back to it."""
        own = wire.own(part.extra)
        item: Item = {"type": "reasoning", "summary": [] if own.get("content") else _summary(part.text), **own}
        if part.id is not None:
            item["id"] = part.id
        if part.signature is None and part.redacted is None and own:
            return [item]  # not encrypted: the provider may know it by its id, or reads it as it is
        if part.signature is None or part.signature.origin != wire.NAME:
            return []
        item_id, item["encrypted_content"] = wire.unseal(part.signature)
        if item_id:
            item["id"] = item_id
        return [item]

    def _call(self, part: ToolCallPart) -> Item:
        own = dict(wire.own(part.extra))
        call: Item = {"call_id": call_id(part.id)}
        if own.get("type") == "tool_search_call":
            if self._quirks.tool_search:
                return {**call, "arguments": _decoded(part.arguments), **own}
            own = {}
        name = self._name(part.name, own)
        if part.kind == "custom" and self._quirks.custom_tools:
            return {"type": "custom_tool_call", **call, "name": name, "input": part.arguments, **own}
        arguments = custom_arguments(part.arguments) if part.kind == "custom" else part.arguments or "{}"
        return {"type": "function_call", **call, "name": name, "arguments": arguments, **own}

    def _name(self, name: str, own: dict[str, Any]) -> str:
        namespace = own.get("namespace")
        if isinstance(namespace, str) and self._quirks.namespaces:
            return name.removeprefix(f"{namespace}__")
        own.pop("namespace", None)
        return name

    def _result(self, part: ToolResultPart, path: str) -> Item:
        own = dict(wire.own(part.extra))
        answered = call_id(part.call_id)
        if own.get("type") == "tool_search_output":
            if self._quirks.tool_search:
                return {"call_id": answered, **own}
            own = {}
        custom = part.kind == "custom" and self._quirks.custom_tools
        kind = "custom_tool_call_output" if custom else "function_call_output"
        return {"type": kind, "call_id": answered, "output": self._output(part, path), **own}

    def _output(self, part: ToolResultPart, path: str) -> str | list[Item]:
        if isinstance(part.content, str):
            return _marked(part.content) if part.is_error else part.content
        written: list[Item] = []
        for number, inner in enumerate(part.content):
            if isinstance(inner, UnknownPart):
                written.extend(self._unknown(inner, path))
            else:
                written.append(self._content(inner, f"{path}.content[{number}]"))
        if part.is_error and (not written or not written[0].get("text", "").lower().startswith("error")):
            written.insert(0, {"type": "input_text", "text": "Error:"})
        return written

    def _served(self, part: ServerToolResultPart) -> list[Item]:
        if part.origin == wire.NAME:
            return [dict(part.data)]
        self.dropped.add("messages.server_tool_result")
        return [] if part.text is None else [_easy(part.text)]

    def _made(self, part: MediaPart, path: str) -> Item:
        """A picture the model made. The API takes it back as its own tool's item only; else the user shows it."""
        item = wire.own(part.extra).get("item")
        if isinstance(item, dict):
            return {**item, "result": part.data}
        return {"type": "message", "role": "user", "content": [self._content(part, path)]}

    def _unknown(self, part: UnknownPart, path: str, *, said_by_model: bool = False) -> list[Item]:
        if part.origin == wire.NAME:
            return [dict(part.data)]
        self.dropped.add(left_out(part, path, said_by_model=said_by_model))
        return []

    def _content(self, part: Part, path: str) -> Item:
        if isinstance(part, MediaPart) and part.url is not None and not self._own:
            check_fetchable(part.url, path)
        match part:
            case TextPart() | RefusalPart():
                own = dict(wire.own(part.extra))
                own.pop("item", None)
                return {"type": "input_text", "text": part.text, **own}
            case ToolReferencePart():
                return {"type": "input_text", "text": f"The tool {part.name} can be called now."}
            case MediaPart(file_id=str()) if not self._own:
                reason = "a file uploaded to another provider cannot be read by this one; send its content"
                raise ClientFault(f"{path}: {reason}", param=path)
            case MediaPart(kind="image"):
                return _image(part, path)
            case MediaPart(kind="document"):
                return _document(part)
            case MediaPart(kind="audio"):
                return _audio(part, path)
            case _:
                name = part.kind if isinstance(part, MediaPart) else type(part).__name__
                raise ClientFault(f"{path}: this upstream cannot be given a part of the kind {name}", param=path)


def call_id(text: str) -> str:
    """``text`` as the API takes it: longer ids of other dialects are cut to a digest, the same in call and result."""
    if len(text) <= _MAX_CALL_ID:
        return text
    return "call_" + hashlib.sha256(text.encode()).hexdigest()[:40]


_PAGE: Item = {"title": "", "start_index": 0, "end_index": 0}


def wire_annotations(citations: Iterable[CitationPart | Citation]) -> list[Item]:
    """Citations in the API's words, as far as it has some: its own, and pages of the web.

    xAI leaves out fields of the latter that the API requires, and clients that check them would reject the answer.
    """
    written: list[Item] = []
    for citation in citations:
        if citation.origin == wire.NAME:
            page = citation.data.get("type") == "url_citation"
            written.append({**(_PAGE if page else {}), **citation.data})
        elif citation.url is not None:
            span = {"start_index": citation.start or 0, "end_index": citation.end or 0}
            written.append({"type": "url_citation", "url": citation.url, "title": citation.title or "", **span})
    return written


def _said(part: TextPart | RefusalPart, own: dict[str, Any]) -> Item:
    if isinstance(part, RefusalPart):
        return {"type": "refusal", "refusal": part.text, **own}
    if part.citations and "annotations" not in own:
        own["annotations"] = wire_annotations(part.citations)
    return {"type": "output_text", "text": part.text, **own}


def _easy(text: str) -> Item:
    return {"type": "message", "role": "assistant", "content": text}


def _summary(text: str) -> list[Item]:
    return [{"type": "summary_text", "text": text}] if text else []


def _decoded(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return arguments


def _marked(text: str) -> str:
    """The API has no flag for a tool's failure, so the text must say it."""
    return text if text.lower().startswith("error") else f"Error: {text}"


def _image(part: MediaPart, path: str) -> Item:
    own = wire.own(part.extra)
    image: Item = {"type": "input_image"}
    if part.data is not None:
        image["image_url"] = f"data:{part.media_type or 'image/png'};base64,{part.data}"
    elif part.url is not None:
        image["image_url"] = part.url
    if part.file_id is not None:
        image["file_id"] = part.file_id
    if len(image) == 1:
        raise ClientFault(f"{path}: an image needs data, a URL or a file id", param=path)
    if part.detail is not None:
        image["detail"] = part.detail
    return {**image, **own}


def _document(part: MediaPart) -> Item:
    if part.text is not None:
        title = f"{part.name}\n\n" if part.name else ""
        return {"type": "input_text", "text": f"{title}{part.text}"}
    document: Item = {"type": "input_file"}
    if part.data is not None:
        # Without a media type it came as bare base64 from this API's own client.
        document["file_data"] = part.data if part.media_type is None else f"data:{part.media_type};base64,{part.data}"
    if part.url is not None:
        document["file_url"] = part.url
    if part.file_id is not None:
        document["file_id"] = part.file_id
    if part.name is not None:
        document["filename"] = part.name
    elif part.data is not None and part.extra is None:
        document["filename"] = "document"  # the API refuses data without a name
    return {**document, **wire.own(part.extra)}


def _audio(part: MediaPart, path: str) -> Item:
    if part.data is None:
        raise ClientFault(f"{path}: this upstream takes audio as base64 data only", param=path)
    media_type = part.media_type or "audio/wav"
    form = _AUDIO_FORMATS.get(media_type, media_type.removeprefix("audio/"))
    return {"type": "input_audio", "input_audio": {"data": part.data, "format": form}, **wire.own(part.extra)}
