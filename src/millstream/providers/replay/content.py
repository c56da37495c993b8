"""What a scripted reply says, in any dialect: the events of a stream as bytes, or one whole body."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core.assemble import Assembler, events_of
from millstream.core.errors import MillstreamError
from millstream.core.messages import (
    Choice,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Reply,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    Usage,
)
from millstream.dialects.base import ClientCall, Dialect, ErrorReply, ReplyContext
from millstream.providers.replay.recording import Recording
from millstream.providers.replay.sample import sample
from millstream.providers.replay.scenario import ScriptedReply, ToolCall
from millstream.providers.replay.selection import last_prompt, last_result

FROM_SCHEMA = "from schema"

_FRAME = re.compile(rb".*?(?:\r?\n\r?\n|\r\r)|.+\Z", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{\{(prompt|result|model)\}\}")
_WORD = re.compile(r"\s*\S+\s*|\s+")
_ARGUMENT_PIECE = 12
_CREATED = 1_700_000_000
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Content:
    """``events`` are one for a whole body. ``times`` are seconds from the head to each, where a recording has them."""

    events: tuple[bytes, ...]
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    times: tuple[float, ...] | None = None

    def with_events(self, events: tuple[bytes, ...]) -> Content:
        return replace(self, events=events)

    def as_error(self, status: int, body: Mapping[str, Any] | str | None) -> Content:
        """A refusal with ``status``, and ``body`` if that is given."""
        if body is None:
            return replace(self, status=status)
        if isinstance(body, str):
            content_type = _JSON if body.lstrip().startswith("{") else "text/plain"
            return replace(self, status=status, events=(body.encode(),), content_type=content_type)
        return replace(self, status=status, events=(msgspec.json.encode(body),), content_type=_JSON)


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who answers what: the dialect, the call and the request it was read as. ``id`` becomes the reply's."""

    dialect: Dialect
    call: ClientCall
    request: Request
    id: str

    def say(self, script: ScriptedReply, model: str) -> Content:
        """A script that says its content itself, in the form the request asks for."""
        reply = self._said(script, model)
        start, *rest = events_of(reply)
        if reply.usage is not None and isinstance(start, ev.MessageStart):
            # The prompt's length is known, and told, before the first token.
            start = msgspec.structs.replace(start, usage=msgspec.structs.replace(reply.usage, output_tokens=0))
        return self._in_form([start, *_spread(rest, script.words)])

    def play(self, recording: Recording, source: Dialect) -> Content:
        """A recording: to the byte if it has the dialect and the form that are asked for, else translated."""
        same_form = recording.is_stream == self.request.stream or recording.status >= 400
        if source.name == self.dialect.name and same_form:
            events = _frames(recording.body) if recording.is_stream else (recording.body,)
            times = recording.times if recording.times is not None and len(recording.times) == len(events) else None
            return Content(events, recording.content_type, recording.status, recording.headers, times)
        if recording.status >= 400:
            return self.refuse(source.parse_error(recording.status, recording.headers, recording.body))
        try:
            return self._in_form(recording.read(source))
        except MillstreamError as error:
            return self.refuse(error)

    def refuse(self, error: MillstreamError) -> Content:
        """An error status, in the dialect's words."""
        return refusal(self.dialect.render_error(error))

    def fail(self, error: MillstreamError) -> bytes:
        """An error event, in the dialect's words."""
        context = ReplyContext(self.id, _CREATED, self.request, started=True)
        return self.dialect.renderer(context).render([ev.Fault.of(error)])

    def _said(self, script: ScriptedReply, model: str) -> Reply:
        """The canonical reply of ``script``; one choice for each that was asked for."""
        fill = _filler(self.request, model)
        parts: list[Part] = []
        if script.reasoning is not None:
            signature = Opaque(self.dialect.name, script.signature) if script.signature is not None else None
            parts.append(ReasoningPart(fill(script.reasoning), signature=signature))
        if script.text is not None:
            parts.append(TextPart(fill(script.text) * script.repeat))
        if script.refusal is not None:
            parts.append(RefusalPart(fill(script.refusal)))
        for number, call in enumerate(script.tool_calls):
            parts.append(_call(call, self.request.tools, fill, f"call_{self.id}_{number}"))
        reason = script.finish_reason or ("tool_calls" if script.tool_calls else "stop")
        choice = Choice(tuple(parts), reason, script.stop_sequence)
        usage = msgspec.convert(msgspec.to_builtins(script.usage), Usage)
        return Reply(self.id, model, (choice,) * (self.request.n or 1), usage, _CREATED)

    def _in_form(self, events: list[ev.Event]) -> Content:
        context = ReplyContext(self.id, _CREATED, self.request)
        if not self.request.stream:
            assembler = Assembler()
            assembler.add(events)
            return Content((self.dialect.render_reply(assembler.reply(), context),), _JSON)
        renderer = self.dialect.renderer(context)
        content_type = self.dialect.stream_type(self.call)
        pieces = [piece for event in events if (piece := renderer.render([event]))]
        if content_type == _JSON:
            return Content(tuple(pieces), content_type)
        return Content(_frames(b"".join(pieces)), content_type)


def refusal(error: ErrorReply) -> Content:
    headers = {name.lower(): value for name, value in error.headers.items()}
    return Content((error.body,), headers.pop("content-type", _JSON), error.status, headers)


def _filler(request: Request, model: str) -> Callable[[str], str]:
    values = {"prompt": last_prompt, "result": last_result}

    def value(found: re.Match[str]) -> str:
        name = found[1]
        return model if name == "model" else values[name](request)

    return lambda text: _PLACEHOLDER.sub(value, text)


def _call(call: ToolCall, tools: tuple[Tool, ...], fill: Callable[[str], str], call_id: str) -> ToolCallPart:
    tool = next((tool for tool in tools if call.name in ("*", tool.name)), None)
    arguments: object = call.arguments
    if arguments == FROM_SCHEMA:
        arguments = sample(tool.parameters or {}) if tool is not None else {}
    text = fill(arguments) if isinstance(arguments, str) else msgspec.json.encode(_filled(arguments, fill)).decode()
    name = tool.name if tool is not None else call.name
    return ToolCallPart(call.id or call_id, name, text)


def _filled(value: object, fill: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, dict):
        return {name: _filled(inner, fill) for name, inner in value.items()}
    return [_filled(inner, fill) for inner in value] if isinstance(value, list) else value


def _frames(stream: bytes) -> tuple[bytes, ...]:
    """A stream's events as they stand on the wire, each with the blank line that ends it."""
    return tuple(_FRAME.findall(stream))


def _spread(events: list[ev.Event], words: int) -> Iterator[ev.Event]:
    """Each whole delta in pieces of some words, as a model would write it."""
    for event in events:
        match event:
            case ev.TextDelta() | ev.ReasoningDelta():
                found = _WORD.findall(event.text)
                for start in range(0, len(found), words):
                    yield msgspec.structs.replace(event, text="".join(found[start : start + words]))
            case ev.ToolCallDelta():
                for start in range(0, len(event.arguments), _ARGUMENT_PIECE):
                    yield msgspec.structs.replace(event, arguments=event.arguments[start : start + _ARGUMENT_PIECE])
            case _:
                yield event
