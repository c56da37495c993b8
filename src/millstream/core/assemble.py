"""Fold a finished stream of events into the whole reply. This is all that ``stream: false`` adds to the path."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from millstream.core import events as ev
from millstream.core.errors import (
    ClientFault,
    GatewayBug,
    Kind,
    MillstreamError,
    PolicyRefusal,
    UpstreamFault,
    Whose,
)
from millstream.core.messages import (
    Choice,
    CitationPart,
    Extra,
    MediaPart,
    Part,
    ReasoningPart,
    RefusalPart,
    Reply,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    UnknownPart,
    Usage,
)


class _Open:
    """A block under way: its start event and what its deltas brought."""

    __slots__ = ("citations", "extras", "pieces", "start")

    def __init__(self, start: ev.TextStart | ev.ReasoningStart | ev.ToolCallStart) -> None:
        self.start = start
        self.pieces: list[str] = []
        self.citations: list[CitationPart] = []
        self.extras: list[Extra] = []


class Assembler:
    """Collects events; ``reply()`` is the whole once ``ended``. Its memory is the reply's own size."""

    def __init__(self) -> None:
        self._start = ev.MessageStart()
        self._open: dict[int, _Open] = {}
        self._done: dict[int, tuple[int, Part]] = {}
        self._ends: dict[int, ev.ChoiceEnd] = {}
        self._usage: Usage | None = None
        self._extra: Extra | None = None
        self.ended = False
        self.fault: ev.Fault | None = None

    def add(self, events: Iterable[ev.Event]) -> None:
        for event in events:
            self._take(event)

    def _take(self, event: ev.Event) -> None:
        match event:
            case ev.TextDelta() | ev.ReasoningDelta() | ev.ToolCallDelta() | ev.Citation():
                self._grow(event)
            case ev.TextStart() | ev.ReasoningStart() | ev.ToolCallStart():
                self._open[event.index] = _Open(event)
            case ev.TextEnd() | ev.ReasoningEnd() | ev.ToolCallEnd():
                self._close(event)
            case ev.MessageStart():
                self._start = event
                self._usage = event.usage
            case ev.Usage():
                self._usage = event.usage
            case ev.ChoiceEnd():
                self._ends[event.choice] = event
            case ev.Finish():
                self._extra = event.extra
                self.ended = True
            case ev.Fault():
                self.fault = event
                self.ended = True
            case ev.ServerToolResult() | ev.Media() | ev.UnknownBlock():
                self._done[event.index] = (event.choice, part_of_block(event))
            case ev.Unknown():
                pass
            case _:
                assert_never(event)

    def _grow(self, event: ev.TextDelta | ev.ReasoningDelta | ev.ToolCallDelta | ev.Citation) -> None:
        block = self._open[event.index]
        match event:
            case ev.ToolCallDelta():
                block.pieces.append(event.arguments)
            case ev.Citation():
                block.citations.append(
                    CitationPart(
                        origin=event.origin,
                        data=event.data,
                        url=event.url,
                        title=event.title,
                        cited_text=event.cited_text,
                        start=event.start,
                        end=event.end,
                    )
                )
            case _:
                block.pieces.append(event.text)
                if isinstance(event, ev.TextDelta) and event.extra is not None:
                    block.extras.append(event.extra)

    def _close(self, end: ev.TextEnd | ev.ReasoningEnd | ev.ToolCallEnd) -> None:
        block = self._open.pop(end.index)
        start = block.start
        text = "".join(block.pieces)
        extra = _merge([start.extra, *block.extras, end.extra])
        part: Part
        match start:
            case ev.TextStart(kind="refusal"):
                part = RefusalPart(text, extra=extra)
            case ev.TextStart():
                signature = end.signature if isinstance(end, ev.TextEnd) else None
                part = TextPart(text, citations=tuple(block.citations), extra=extra, signature=signature)
            case ev.ReasoningStart():
                part = ReasoningPart(text, signature=end.signature, redacted=start.redacted, id=start.id, extra=extra)
            case ev.ToolCallStart():
                part = ToolCallPart(start.id, start.name, text, kind=start.kind, signature=end.signature, extra=extra)
            case _:
                assert_never(start)
        self._done[end.index] = (start.choice, part)

    def reply(self) -> Reply:
        """The whole. Raises the fault the stream ended with, or ``UpstreamFault`` if it has not ended."""
        if self.fault is not None:
            raise error_of(self.fault)
        if not self.ended:
            raise UpstreamFault("the upstream's answer ended before it was complete", Kind.TRUNCATED)
        parts: dict[int, list[Part]] = {choice: [] for choice in sorted(self._ends)}
        for index in sorted(self._done):
            choice, part = self._done[index]
            parts.setdefault(choice, []).append(part)
        choices = tuple(self._choice(number, content) for number, content in sorted(parts.items()))
        extra = _merge([self._start.extra, self._extra])
        return Reply(self._start.id, self._start.model, choices, self._usage, self._start.created, extra)

    def _choice(self, number: int, parts: list[Part]) -> Choice:
        end = self._ends.get(number, ev.ChoiceEnd(number, "stop"))
        return Choice(tuple(parts), end.reason, end.stop_sequence, end.extra)


def part_of_block(event: ev.ServerToolResult | ev.Media | ev.UnknownBlock) -> Part:
    """The part that a block which comes whole stands for."""
    match event:
        case ev.ServerToolResult():
            return ServerToolResultPart(event.origin, event.call_id, event.data, event.text)
        case ev.UnknownBlock():
            return UnknownPart(event.origin, event.data)
        case ev.Media():
            family = event.media_type.partition("/")[0]
            kind = family if family in ("image", "audio", "video") else "document"
            return MediaPart(
                kind=kind,  # type: ignore[arg-type]  # one of the four by the line above
                media_type=event.media_type,
                data=event.data,
                url=event.url,
                extra=event.extra,
                signature=event.signature,
            )
        case _:
            assert_never(event)


def _merge(extras: list[Extra | None]) -> Extra | None:
    """One ``Extra`` of several: later fields win, but lists (log probabilities come in pieces) are joined."""
    merged: dict[str, dict[str, object]] = {}
    for extra in extras:
        for dialect, fields in (extra or {}).items():
            own = merged.setdefault(dialect, {})
            for name, value in fields.items():
                own[name] = _join(own.get(name), value)
    return merged or None


def _join(old: object, new: object) -> object:
    if isinstance(old, list) and isinstance(new, list):
        return [*old, *new]
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{name: _join(old.get(name), value) for name, value in new.items()}}
    return new


_FAULT_CLASSES: dict[Whose, type[MillstreamError]] = {
    cls.whose: cls for cls in (ClientFault, UpstreamFault, PolicyRefusal, GatewayBug)
}


def error_of(fault: ev.Fault) -> MillstreamError:
    """The exception form of a ``Fault`` event."""
    return _FAULT_CLASSES[fault.whose](
        fault.message,
        fault.kind,
        status=fault.status,
        code=fault.code,
        retryable=fault.retryable,
        retry_after=fault.retry_after,
        content_sent=fault.content_sent,
    )


def events_of(reply: Reply) -> list[ev.Event]:
    """The shortest stream that assembles to ``reply``; ids, order and every part are kept."""
    events: list[ev.Event] = [ev.MessageStart(reply.id, reply.model, reply.created, extra=reply.extra)]
    index = 0
    for number, choice in enumerate(reply.choices):
        for part in choice.parts:
            events.extend(_events_of_part(part, index, number))
            index += 1
    if reply.usage is not None:
        events.append(ev.Usage(reply.usage))
    for number, choice in enumerate(reply.choices):
        events.append(ev.ChoiceEnd(number, choice.finish_reason, choice.stop_sequence, choice.extra))
    events.append(ev.Finish())
    return events


def _events_of_part(part: Part, index: int, choice: int) -> list[ev.Event]:
    match part:
        case TextPart():
            cited = [ev.Citation(index, **msgspec.structs.asdict(c)) for c in part.citations]
            body = [ev.TextDelta(index, part.text)] if part.text else []
            start_of_text = ev.TextStart(index, choice, extra=part.extra)
            return [start_of_text, *body, *cited, ev.TextEnd(index, part.signature)]
        case RefusalPart():
            return [ev.TextStart(index, choice, "refusal"), ev.TextDelta(index, part.text), ev.TextEnd(index)]
        case ReasoningPart():
            start = ev.ReasoningStart(index, choice, part.redacted, part.id, part.extra)
            thought = [ev.ReasoningDelta(index, part.text)] if part.text else []
            return [start, *thought, ev.ReasoningEnd(index, part.signature)]
        case ToolCallPart():
            call = ev.ToolCallStart(index, part.id, part.name, choice, part.kind, part.extra)
            arguments = [ev.ToolCallDelta(index, part.arguments)] if part.arguments else []
            return [call, *arguments, ev.ToolCallEnd(index, part.signature)]
        case ServerToolResultPart():
            return [ev.ServerToolResult(index, part.origin, part.call_id, part.data, choice, part.text)]
        case MediaPart():
            media_type = part.media_type or part.kind
            return [ev.Media(index, media_type, part.data, part.url, choice, part.signature, part.extra)]
        case UnknownPart():
            return [ev.UnknownBlock(index, part.origin, part.data, choice)]
        case _:
            raise GatewayBug(f"a reply cannot hold a {type(part).__name__}")
