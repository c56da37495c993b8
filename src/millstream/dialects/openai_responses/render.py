"""Events → the Responses API's stream, and its whole replies.

The order is what the official SDKs insist on: ``response.created`` before anything else, each item announced before
its parts and each part before its deltas, every announced item done before ``response.completed``, which holds the
whole output again. The id never changes. Codex only believes ``output_item.done`` and the last event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from millstream.core import events as ev
from millstream.core.assemble import events_of
from millstream.core.messages import FinishReason, Opaque, Reply, Usage
from millstream.core.opaque import sign_call_id
from millstream.dialects.base import ReplyContext
from millstream.dialects.openai_responses import errors, wire
from millstream.dialects.openai_responses.calls import Called, ClientTools, ServedBlock
from millstream.dialects.openai_responses.echo import ResponseObject
from millstream.dialects.openai_responses.emit import BARE, SSE, Emitter, Framing
from millstream.dialects.openai_responses.items_out import wire_annotations
from millstream.dialects.openai_responses.outputs import MessageItem, Outputs, TextBlock, ThoughtBlock

_BEGINNING = 2
"""Numbers that the start of a reply takes: ``response.created`` and ``response.in_progress``."""

_INCOMPLETE: dict[FinishReason, str] = {
    "length": "max_output_tokens",
    "context_window": "max_output_tokens",
    "pause": "max_output_tokens",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
_IMAGE_FORMATS = {"image/jpeg": "jpeg", "image/webp": "webp", "image/gif": "gif", "image/svg+xml": "svg"}

_Block = TextBlock | ThoughtBlock | Called | ServedBlock


class ResponsesRenderer:
    """One reply to one client. ``render`` gives bytes; ``frames`` gives each event by itself, in the order of their
    numbers, so that the n-th frame of a stored reply is the event numbered n.

    The client can be told of one answer only: of several, the first is rendered.
    """

    def __init__(self, context: ReplyContext, framing: Framing = SSE) -> None:
        self._context = context
        self._framing = framing
        self._emit = Emitter(framing, _BEGINNING if context.started else 0)
        self._tools = ClientTools(context.request.tools)
        self._blocks: dict[int, _Block] = {}
        self._messages: list[MessageItem] = []
        self._served: dict[str, ServedBlock] = {}
        self._signed_calls: set[int] = set()
        self._usage: Usage | None = None
        self._end = ev.ChoiceEnd(0, "stop")
        self._refused = False
        self._heard = False
        self._object: ResponseObject | None = None
        self._final: bytes | None = None
        if context.started:
            self._begin(context.start or ev.MessageStart())

    def render(self, events: Sequence[ev.Event]) -> bytes:
        return b"".join(self.frames(events))

    def frames(self, events: Sequence[ev.Event]) -> list[bytes]:
        blocks = self._blocks
        self._heard = self._heard or bool(events)
        for event in events:
            if type(event) is ev.TextDelta:
                block = blocks.get(event.index)
                if block is not None:
                    if event.extra is None:
                        block.delta(event.text)
                    else:
                        self._weighed(event, block)
            elif type(event) is ev.ToolCallDelta:
                block = blocks.get(event.index)
                if block is not None:
                    block.delta(event.arguments)
            elif type(event) is ev.ReasoningDelta:
                block = blocks.get(event.index)
                if block is not None:
                    block.delta(event.text)
            elif self._final is None:
                if type(event) is ev.ToolCallStart:
                    self._call_start(event, _signature(events, event.index))
                    continue
                handler = HANDLERS.get(type(event))
                if handler is not None:
                    handler(self, event)
        return self._emit.take()

    def keepalive(self) -> bytes:
        """The state so far, said again: a comment would not reset Codex's patience.

        Only a comment where the client's state is not known here: before the reply has begun, when SDKs refuse any
        other event, and where another renderer or the upstream itself has begun it and nothing came from us yet.
        """
        if self._final is not None:
            return b""
        if self._object is None or not self._heard:
            return self._framing.comment
        return self._emit.again(b"response.in_progress", self.snapshot("in_progress"))

    def snapshot(self, status: str | None = None) -> bytes:
        """The response object as it is now, said to be in ``status``; the final one once the reply has ended."""
        if self._final is not None and status is None:
            return self._final
        if self._object is None:
            self._begin(ev.MessageStart())
        assert self._object is not None  # noqa: S101  # set by the line above
        status = status or "in_progress"
        if self._final is None:
            self._keep("in_progress" if status in ("queued", "in_progress") else "incomplete")
        return self._object.write(status, self._outputs.written, self._usage)

    def ended(self, final: bytes) -> None:
        """For whoever keeps replies: the final response object, just before the event that tells it leaves."""

    def _keep(self, status: str) -> None:
        """Bring every item under way up to date. SDKs take the output of each response object for the whole truth, and
        add later deltas to it."""
        for block in self._blocks.values():
            block.keep(status)
        for message in self._messages:
            message.keep(status)
        for served in self._served.values():
            served.keep(status)

    def _start(self, event: ev.MessageStart) -> None:
        if self._object is None:
            self._begin(event)
            beginning = self.snapshot("in_progress")
            self._emit.response(b"response.created", beginning)
            self._emit.response(b"response.in_progress", beginning)

    def _begin(self, start: ev.MessageStart) -> None:
        context = self._context
        reply_id = start.id or context.reply_id
        self._object = ResponseObject(
            context.request, reply_id, start.model or context.request.model, start.created or context.created
        )
        self._object.add(wire.own(start.extra))
        self._outputs = Outputs(self._emit, reply_id)

    # Blocks. Those of other answers than the first get no entry, so that nothing is said of them.

    def _text_start(self, event: ev.TextStart) -> None:
        if event.choice:
            return
        own = wire.own(event.extra)
        message = self._message(own.get("item"))
        refusal = event.kind == "refusal"
        self._refused = self._refused or refusal
        logprobs = own.get("logprobs", ())
        self._blocks[event.index] = TextBlock(message, self._emit, refusal=refusal, logprobs=logprobs)

    def _message(self, about: dict[str, Any] | None) -> MessageItem:
        """The open message that a text belongs to, or a new one."""
        for message in self._messages:
            named = about is not None and about.get("id") is not None
            if named and about is not None and about["id"] == message.upstream_id:
                return message
            if not named and message.upstream_id is None and message.index == self._outputs.count - 1:
                return message
        self._close_idle()
        message = MessageItem(self._outputs, about or {})
        self._messages.append(message)
        return message

    def _close_idle(self, status: str = "completed") -> None:
        for message in self._messages:
            if not message.open_parts:
                message.end(status)
        self._messages = [message for message in self._messages if message.open_parts]

    def _weighed(self, event: ev.TextDelta, block: _Block) -> None:
        logprobs = wire.own(event.extra).get("logprobs")
        if isinstance(block, TextBlock) and logprobs:
            block.weighed(event.text, logprobs)
        elif event.text:
            block.delta(event.text)

    def _citation(self, event: ev.Citation) -> None:
        block = self._blocks.get(event.index)
        if not isinstance(block, TextBlock):
            return
        for annotation in wire_annotations([event]):
            if event.end is None and annotation.get("type") == "url_citation":
                annotation["end_index"] = block.length
            block.annotate(annotation)

    def _text_end(self, event: ev.TextEnd) -> None:
        block = self._blocks.pop(event.index, None)
        if isinstance(block, TextBlock):
            block.end()

    def _reasoning_start(self, event: ev.ReasoningStart) -> None:
        if event.choice:
            return
        self._close_idle()
        self._blocks[event.index] = ThoughtBlock(self._outputs, event.id or "", event.redacted)

    def _reasoning_end(self, event: ev.ReasoningEnd) -> None:
        block = self._blocks.pop(event.index, None)
        if isinstance(block, ThoughtBlock):
            block.end(event.signature, wire.own(event.extra))

    def _call_start(self, event: ev.ToolCallStart, signature: Opaque | None) -> None:
        if event.choice:
            return
        self._close_idle()
        if event.kind == "server":
            if event.id in self._served:
                self._served.pop(event.id).unanswered()
            served = self._served[event.id] = ServedBlock(self._outputs, event)
            self._blocks[event.index] = served
        else:
            signed = sign_call_id(event.id, signature)
            if signed != event.id:
                self._signed_calls.add(event.index)
            self._blocks[event.index] = self._tools.block(self._outputs, event, signed)

    def _call_end(self, event: ev.ToolCallEnd) -> None:
        block = self._blocks.pop(event.index, None)
        if block is None or isinstance(block, TextBlock | ThoughtBlock):
            return
        block.end()
        if event.signature is not None and event.index not in self._signed_calls:
            # It came after the id had left, or is too long for one: an item follows that only carries it.
            carrier = {"id": self._outputs.unique("", "rs"), "type": "reasoning", "summary": []}
            sealed = wire.encrypted_content(of_call=event.signature)
            self._outputs.whole({**carrier, "encrypted_content": sealed}, carrier)

    def _server_result(self, event: ev.ServerToolResult) -> None:
        if event.choice:
            return
        served = self._served.pop(event.call_id, None)
        if served is not None:
            served.result(event)
        elif event.origin == wire.NAME:
            self._close_idle()
            self._outputs.whole(self._named(event.data))

    def _unknown_block(self, event: ev.UnknownBlock) -> None:
        if not event.choice and event.origin == wire.NAME:
            self._close_idle()
            self._outputs.whole(self._named(event.data))

    def _named(self, data: Any) -> dict[str, Any]:
        return {**data, "id": self._outputs.unique(wire.string(data, "id"), "item")} if "id" in data else dict(data)

    def _media(self, event: ev.Media) -> None:
        if event.choice:
            return
        self._close_idle()
        if event.data is None or not event.media_type.startswith("image"):
            self._mention(event)
            return
        about = dict(wire.own(event.extra).get("item", {}))
        item_id = self._outputs.unique(wire.string(about, "id"), "ig")
        form = _IMAGE_FORMATS.get(event.media_type, "png")
        item = {"type": "image_generation_call", "output_format": form, **about, "id": item_id, "status": "completed"}
        self._outputs.whole({**item, "result": event.data}, {**item, "status": "in_progress", "result": None})

    def _mention(self, event: ev.Media) -> None:
        """Media the API has no item for: its address, or that it cannot be given."""
        message = MessageItem(self._outputs, {})
        block = TextBlock(message, self._emit, refusal=False)
        block.delta(event.url or f"[{event.media_type}: this API cannot carry it]")
        block.end()
        message.end("completed")

    # The end, which comes once.

    def _counted(self, event: ev.Usage) -> None:
        self._usage = event.usage

    def _choice_end(self, event: ev.ChoiceEnd) -> None:
        if event.choice == 0:
            self._end = event

    def _finish(self, event: ev.Finish) -> None:
        for served in self._served.values():
            served.unanswered()
        reason = None if self._end.reason == "refusal" and self._refused else _INCOMPLETE.get(self._end.reason)
        incomplete = None if reason is None else {"reason": reason}
        if incomplete is not None:
            incomplete = wire.own(self._end.extra).get("incomplete_details", incomplete)
        status = "completed" if incomplete is None else "incomplete"
        self._close_idle(status)
        assert self._object is not None  # noqa: S101  # by the grammar a reply begins before it ends
        self._object.add(wire.own(event.extra))
        self._final = self._object.write(status, self._outputs.written, self._usage, incomplete=incomplete)
        self._emit.response(f"response.{status}".encode(), self._final)
        self.ended(self._final)

    def _fault(self, event: ev.Fault) -> None:
        """Both of the API's own forms: SDKs raise at ``error``, Codex honours only ``response.failed``."""
        if self._object is None:
            self._start(ev.MessageStart())
        self._keep("incomplete")
        assert self._object is not None  # noqa: S101  # begun above
        error = errors.wire_error(event)
        self._emit.event(b"error", {"error": errors.wire_error_event(event)})
        self._final = self._object.write("failed", self._outputs.written, self._usage, error=error)
        self._emit.response(b"response.failed", self._final)
        self._blocks.clear()
        self.ended(self._final)


_R = ResponsesRenderer
HANDLERS: dict[type, Callable[[ResponsesRenderer, Any], None]] = {
    ev.MessageStart: _R._start,
    ev.TextStart: _R._text_start,
    ev.Citation: _R._citation,
    ev.TextEnd: _R._text_end,
    ev.ReasoningStart: _R._reasoning_start,
    ev.ReasoningEnd: _R._reasoning_end,
    ev.ToolCallEnd: _R._call_end,
    ev.ServerToolResult: _R._server_result,
    ev.Media: _R._media,
    ev.UnknownBlock: _R._unknown_block,
    ev.Usage: _R._counted,
    ev.ChoiceEnd: _R._choice_end,
    ev.Finish: _R._finish,
    ev.Fault: _R._fault,
}
"""All but deltas and the starts of calls, which ``frames`` tells apart itself; ``Unknown`` has no form here."""


def _signature(events: Sequence[ev.Event], index: int) -> Opaque | None:
    """The signature of the call ``index``, if the call comes whole within ``events``."""
    for event in events:
        if isinstance(event, ev.ToolCallEnd) and event.index == index:
            return event.signature
    return None


def render_reply(reply: Reply, context: ReplyContext) -> bytes:
    renderer = ResponsesRenderer(context, BARE)
    renderer.frames(events_of(reply))
    return renderer.snapshot()
