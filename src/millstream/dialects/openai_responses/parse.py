"""Upstream frames, or a whole reply → events.

Items are told apart by ``output_index``: some providers give an item a new id with each event, and several items may
be under way at once. What a stream leaves out (argument deltas, announcements of parts or whole items, a complete
``output`` at the end) is taken from the event that has it; what deltas have said is not said again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core.assemble import error_of
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import FinishReason
from millstream.core.sse import Frame, SSEDecoder
from millstream.dialects.base import own_extra
from millstream.dialects.openai_responses import errors, wire
from millstream.dialects.openai_responses.items import Block, Items
from millstream.dialects.openai_responses.reply import final_extra, usage

_delta = msgspec.json.Decoder(wire.Delta).decode
_text_delta = msgspec.json.Decoder(wire.TextDelta).decode
_summary_delta = msgspec.json.Decoder(wire.SummaryDelta).decode
_item_event = msgspec.json.Decoder(wire.ItemEvent).decode
_part_event = msgspec.json.Decoder(wire.PartEvent).decode
_response_event = msgspec.json.Decoder(wire.ResponseEvent).decode
_type_only = msgspec.json.Decoder(wire.TypeOnly).decode

_DONE = b"[DONE]"
_FINISH_OF: Mapping[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_messages": "length",
    "content_filter": "content_filter",
    "steered": "stop",
}


class ResponsesParser:
    """One reply's stream. ``feed`` takes server-sent events, ``feed_message`` one WebSocket message."""

    def __init__(self) -> None:
        self._sse = SSEDecoder()
        self._items = Items()
        self._begun = False
        self._over = False

    @property
    def pending(self) -> int:
        return self._sse.pending

    def feed(self, data: bytes) -> list[ev.Event]:
        return self._frames(self._sse.feed(data))

    def feed_message(self, data: bytes) -> list[ev.Event]:
        return self._frames([(b"", data)])

    def finish(self) -> list[ev.Event]:
        events = self._frames(self._sse.finish())
        if not self._over:
            fault = None if self._begun else errors.bare_fault(self._sse.stray)
            self._end(fault or ev.truncated("response.completed never came"), events)
        return events

    def _frames(self, frames: list[Frame]) -> list[ev.Event]:
        events: list[ev.Event] = []
        for name, data in frames:
            if self._over:
                break
            try:
                take = _HANDLERS.get(name)
                if take is not None:
                    take(self, data, events)
                else:
                    self._unnamed(name, data, events)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                message = f"the upstream sent an event that cannot be read: {error}"
                self._end(ev.Fault.of(UpstreamFault(message, Kind.MALFORMED)), events)
        return events

    def _unnamed(self, name: bytes, data: bytes, events: list[ev.Event]) -> None:
        """A frame without an event name, as some providers send all of theirs, or with one that means nothing here."""
        if data.strip() == _DONE:
            self._end(ev.truncated("[DONE] came before response.completed"), events)
            return
        kind = _type_only(data).type
        take = _HANDLERS.get(kind.encode()) if kind is not None else None
        if take is not None:
            take(self, data, events)
        elif kind is None and (fault := errors.bare_fault(data)) is not None:
            self._end(fault, events)
        else:
            events.append(ev.Unknown(wire.NAME, data.decode(), name.decode() or kind))

    def _end(self, fault: ev.Fault, events: list[ev.Event]) -> None:
        self._over = True
        events.append(fault)

    # One method per kind of event. The first three are the path of every token.

    def _text(self, data: bytes, events: list[ev.Event]) -> None:
        delta = _text_delta(data)
        block = self._items.text(delta.output_index, delta.content_index, delta.item_id)
        if block is None:
            block = self._late_part(delta, "output_text", events)
        if block is None or not block.open:
            return
        if delta.logprobs:
            events.append(ev.TextDelta(block.index, delta.delta, {wire.NAME: {"logprobs": delta.logprobs}}))
        elif delta.delta:
            events.append(ev.TextDelta(block.index, delta.delta))
        block.fed = True

    def _call(self, data: bytes, events: list[ev.Event]) -> None:
        delta = _delta(data)
        block = self._items.call(delta.output_index, delta.item_id)
        if block is not None and block.open and delta.delta:
            block.fed = True
            events.append(ev.ToolCallDelta(block.index, delta.delta))

    def _summary(self, data: bytes, events: list[ev.Event]) -> None:
        delta = _summary_delta(data)
        self._thought(delta.output_index, delta.item_id, ("summary", delta.summary_index), delta.delta, events)

    def _reasoning_text(self, data: bytes, events: list[ev.Event]) -> None:
        delta = _delta(data)
        self._thought(delta.output_index, delta.item_id, ("content", delta.content_index), delta.delta, events)

    def _thought(
        self, output_index: int, item_id: str, section: tuple[str, int], text: str, events: list[ev.Event]
    ) -> None:
        block = self._items.thought(output_index, item_id)
        if block is None or not block.open or not text:
            return
        if block.section != section:
            if block.section is not None:
                events.append(ev.ReasoningDelta(block.index, "\n\n"))
            block.section = section
        block.fed = True
        events.append(ev.ReasoningDelta(block.index, text))

    def _refusal(self, data: bytes, events: list[ev.Event]) -> None:
        delta = _delta(data)
        block = self._items.text(delta.output_index, delta.content_index, delta.item_id)
        if block is None:
            block = self._late_part(delta, "refusal", events)
        if block is not None and block.open and delta.delta:
            block.fed = True
            events.append(ev.TextDelta(block.index, delta.delta))

    def _late_part(self, delta: wire.TextDelta | wire.Delta, kind: str, events: list[ev.Event]) -> Block | None:
        """The part a delta belongs to, which was never announced."""
        self._begin({}, events)
        part = {"type": kind}
        return self._items.add_part(delta.output_index, delta.content_index, delta.item_id, part, events)

    def _part_added(self, data: bytes, events: list[ev.Event]) -> None:
        event = _part_event(data)
        self._begin({}, events)
        self._items.add_part(event.output_index, event.content_index, event.item_id, event.part, events)

    def _part_done(self, data: bytes, events: list[ev.Event]) -> None:
        event = _part_event(data)
        self._begin({}, events)
        self._items.end_part(event.output_index, event.content_index, event.item_id, event.part, events)

    def _annotation(self, data: bytes, events: list[ev.Event]) -> None:
        event = _part_event(data)
        block = self._items.text(event.output_index, event.content_index, event.item_id)
        if block is not None and block.open and event.annotation is not None:
            self._items.cite(block, event.annotation, events)

    def _item_added(self, data: bytes, events: list[ev.Event]) -> None:
        event = _item_event(data)
        if event.item is not None:
            self._begin({}, events)
            self._items.add(event.output_index, event.item, events)

    def _item_done(self, data: bytes, events: list[ev.Event]) -> None:
        event = _item_event(data)
        if event.item is not None:
            self._begin({}, events)
            self._items.end(event.output_index, event.item, events)

    def _opening(self, data: bytes, events: list[ev.Event]) -> None:
        if not self._begun:
            self._begin(_response_event(data).response, events)

    def _begin(self, response: Mapping[str, Any], events: list[ev.Event]) -> None:
        if self._begun:
            return
        self._begun = True
        created = wire.integer(response, "created_at")
        events.append(ev.MessageStart(wire.string(response, "id"), wire.string(response, "model"), created or None))

    def _closing(self, data: bytes, events: list[ev.Event]) -> None:
        self.complete(_response_event(data).response, events)

    def _cut_short(self, data: bytes, events: list[ev.Event]) -> None:
        self.complete({**_response_event(data).response, "status": "incomplete"}, events)

    def _failed(self, data: bytes, events: list[ev.Event]) -> None:
        self._end(errors.fault_of(wire.mapping(_response_event(data).response, "error")), events)

    def _error(self, data: bytes, events: list[ev.Event]) -> None:
        self._end(errors.event_fault(data), events)

    def _ignore(self, data: bytes, events: list[ev.Event]) -> None:
        """It says nothing that the item's end does not say again."""

    def complete(self, response: Mapping[str, Any], events: list[ev.Event]) -> None:
        """The reply is whole: ``response`` is its final form. Also the reader of replies that were never streamed."""
        self._begin(response, events)
        if response.get("status") == "failed":
            self._end(errors.fault_of(wire.mapping(response, "error")), events)
            return
        self._items.settle(wire.objects(response, "output"), events)
        counted = usage(response)
        if counted is not None:
            events.append(ev.Usage(counted))
        events.append(self._choice_end(response))
        events.append(ev.Finish(final_extra(response)))
        self._over = True

    def _choice_end(self, response: Mapping[str, Any]) -> ev.ChoiceEnd:
        if response.get("status") != "incomplete":
            return ev.ChoiceEnd(0, "tool_calls" if self._items.waits_for_client else "stop")
        details = wire.mapping(response, "incomplete_details")
        reason = _FINISH_OF.get(wire.string(details, "reason"), "length")
        return ev.ChoiceEnd(0, reason, extra=own_extra(wire.NAME, {"incomplete_details": details} if details else {}))


_SAID_AGAIN = (
    "output_text.done",
    "refusal.done",
    "function_call_arguments.done",
    "custom_tool_call_input.done",
    "reasoning_text.done",
    "reasoning.done",
    "reasoning_summary_text.done",
    "reasoning_summary.done",
    "reasoning_summary_part.added",
    "reasoning_summary_part.done",
    *(f"{call}_call.{state}" for call in ("web_search", "file_search") for state in ("in_progress", "searching")),
    *(
        f"{call}_call.completed"
        for call in ("web_search", "file_search", "code_interpreter", "mcp", "image_generation")
    ),
    *(f"code_interpreter_call.{state}" for state in ("in_progress", "interpreting")),
    *(f"code_interpreter_call_code.{state}" for state in ("delta", "done")),
    *(f"image_generation_call.{state}" for state in ("in_progress", "generating", "partial_image")),
    *(f"mcp_call.{state}" for state in ("in_progress", "failed")),
    *(f"mcp_call_arguments.{state}" for state in ("delta", "done")),
    *(f"mcp_list_tools.{state}" for state in ("in_progress", "completed", "failed")),
    *(f"shell_call_command.{state}" for state in ("added", "delta", "done")),
    *(f"shell_call_output_content.{state}" for state in ("delta", "done")),
)
"""Events whose whole content comes again with the end of their item."""

_Handler = Callable[[ResponsesParser, bytes, list[ev.Event]], None]
_P = ResponsesParser
_HANDLERS: dict[bytes, _Handler] = {
    b"response.output_text.delta": _P._text,
    b"response.function_call_arguments.delta": _P._call,
    b"response.custom_tool_call_input.delta": _P._call,
    b"response.reasoning_summary_text.delta": _P._summary,
    b"response.reasoning_summary.delta": _P._summary,
    b"response.reasoning_text.delta": _P._reasoning_text,
    b"response.reasoning.delta": _P._reasoning_text,
    b"response.refusal.delta": _P._refusal,
    b"response.content_part.added": _P._part_added,
    b"response.content_part.done": _P._part_done,
    b"response.output_text.annotation.added": _P._annotation,
    b"response.output_item.added": _P._item_added,
    b"response.output_item.done": _P._item_done,
    b"response.created": _P._opening,
    b"response.queued": _P._opening,
    b"response.in_progress": _P._opening,
    b"response.completed": _P._closing,
    b"response.incomplete": _P._cut_short,
    b"response.failed": _P._failed,
    b"error": _P._error,
    **{f"response.{name}".encode(): _P._ignore for name in _SAID_AGAIN},
}


def parse_reply(body: bytes) -> list[ev.Event]:
    """A whole reply as the events it would have streamed. Raises ``UpstreamFault`` if it is not one."""
    try:
        response = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamFault(f"the upstream's reply is not a JSON object: {error}", Kind.MALFORMED) from error
    if not isinstance(response.get("output"), list):
        failed = errors.bare_fault(body)
        if failed is not None:
            raise error_of(failed)
        raise UpstreamFault("the upstream's reply has no output", Kind.MALFORMED)
    status = wire.string(response, "status")
    if status in ("queued", "in_progress", "cancelled"):
        raise UpstreamFault(f"the upstream's reply is not whole: its status is {status}", Kind.TRUNCATED)
    if thoughts := wire.string(response, "reasoning"):
        # mistral.rs puts the text of the reasoning where others repeat the request's settings.
        summary = [{"type": "summary_text", "text": thoughts}]
        response["output"] = [{"type": "reasoning", "summary": summary}, *response["output"]]
    events: list[ev.Event] = []
    ResponsesParser().complete(response, events)
    if isinstance(events[-1], ev.Fault):
        raise error_of(events[-1])
    return events
