"""A whole reply for a client: canonical → ``chat.completion``."""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.core.events import ChoiceEnd
from millstream.core.json_field import StringField
from millstream.core.messages import (
    Choice,
    CitationPart,
    MediaPart,
    ReasoningPart,
    RefusalPart,
    Reply,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
)
from millstream.core.opaque import sign_call_id
from millstream.dialects.base import CUSTOM_TOOL_INPUT, ReplyContext
from millstream.dialects.openai_chat import media, reasoning, wire
from millstream.dialects.openai_chat.calls import LEGACY
from millstream.dialects.openai_chat.finish import finish_reason
from millstream.dialects.openai_chat.identity import custom_tools, identity, sources, wants_function_call
from millstream.dialects.openai_chat.usage import usage_out

_KIND = "chat.completion"


def render_reply(reply: Reply, context: ReplyContext) -> bytes:
    """The body of a response."""
    fields = identity(context, _KIND, reply.id, reply.model, reply.created, reply.extra)
    tail = {name: fields.pop(name) for name in ("service_tier", "system_fingerprint") if name in fields}
    fields["choices"] = [_Choice(choice, context).body(number) for number, choice in enumerate(reply.choices)]
    if reply.usage is not None:
        fields["usage"] = usage_out(reply.usage)
    return msgspec.json.encode({**fields, **tail})


class _Choice:
    def __init__(self, choice: Choice, context: ReplyContext) -> None:
        self._choice = choice
        self._custom = custom_tools(context.request)
        self._legacy = wants_function_call(context.request)
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._thoughts: list[str] = []
        self._details: list[reasoning.Entry] = []
        self._annotations: list[dict[str, Any]] = []
        self._calls: list[dict[str, Any]] = []
        self._function_call: dict[str, Any] | None = None
        self._more: dict[str, Any] = {}
        self._logprobs: dict[str, Any] = {}

    def body(self, number: int) -> dict[str, Any]:
        for part in self._choice.parts:
            self._take(part)
        end = ChoiceEnd(number, self._choice.finish_reason, self._choice.stop_sequence, self._choice.extra)
        reason = finish_reason(end)
        if self._function_call is not None and reason == "tool_calls":
            reason = "function_call"
        logprobs = {"content": None, "refusal": None, **self._logprobs} if self._logprobs else None
        return {"index": number, "message": self._message(), "logprobs": logprobs, "finish_reason": reason}

    def _message(self) -> dict[str, Any]:
        """``content`` is null only where something else was said in its place."""
        said_otherwise = self._calls or self._function_call or self._refusals or "audio" in self._more
        content = "".join(self._texts) if self._texts or not said_otherwise else None
        refusal = "".join(self._refusals) if self._refusals else None
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": refusal}
        if self._thoughts:
            message["reasoning_content"] = "".join(self._thoughts)
        if self._details:
            message["reasoning_details"] = self._details
        if self._calls:
            message["tool_calls"] = self._calls
        if self._function_call is not None:
            message["function_call"] = self._function_call
        message["annotations"] = self._annotations
        return {**message, **self._more}

    def _take(self, part: object) -> None:
        match part:
            case TextPart():
                self._text(part)
            case RefusalPart():
                self._refusals.append(part.text)
                self._note_logprobs(part)
            case ReasoningPart():
                if part.text:
                    self._thoughts.append(part.text)
                opaque = (part.signature, part.redacted)
                self._details += reasoning.details_for_client(part.text, *opaque, len(self._details))
                self._note_logprobs(part)
            case ToolCallPart():
                self._call(part)
            case ServerToolResultPart():
                place = sum(map(len, self._texts))
                for url, title in sources(part.data):
                    self._annotate(CitationPart(part.origin, {}, url, title), place, place)
            case MediaPart():
                self._media(part)
            case _:
                pass

    def _text(self, part: TextPart) -> None:
        start = sum(map(len, self._texts))
        self._texts.append(part.text)
        for citation in part.citations:
            self._annotate(citation, start, start + len(part.text))
        self._note_logprobs(part)

    def _annotate(self, citation: CitationPart, start: int, end: int) -> None:
        annotation = media.annotation_of(citation, start, end)
        if annotation is not None:
            self._annotations.append(annotation)

    def _note_logprobs(self, part: TextPart | RefusalPart | ReasoningPart) -> None:
        for name, value in wire.own(part.extra).get("logprobs", {}).items():
            if isinstance(value, list):
                self._logprobs[name] = [*(self._logprobs.get(name) or ()), *value]

    def _call(self, part: ToolCallPart) -> None:
        """Those a provider ran itself are not the client's to answer."""
        if part.kind == "server":
            return
        arguments = part.arguments or "{}"
        if self._legacy or LEGACY in wire.own(part.extra):
            self._function_call = self._function_call or {"name": part.name, "arguments": arguments}
            return
        call: dict[str, Any] = {"id": sign_call_id(part.id, part.signature)}
        if part.kind == "custom":
            call |= {"type": "custom", "custom": {"name": part.name, "input": part.arguments}}
        elif part.name in self._custom:
            field = StringField(CUSTOM_TOOL_INPUT)
            text = field.feed(part.arguments) + field.finish()
            call |= {"type": "custom", "custom": {"name": part.name, "input": text}}
        else:
            call |= {"type": "function", "function": {"name": part.name, "arguments": arguments}}
        self._calls.append(call)

    def _media(self, part: MediaPart) -> None:
        delta = media.media_delta(part.media_type or part.kind, part.data, part.url, wire.own_fields(part.extra))
        for name, value in delta.items():
            known = self._more.get(name)
            self._more[name] = [*known, *value] if isinstance(known, list) else value
