"""Events → a Messages stream as Anthropic itself would write it.

Its clients expect one block after another: an index starts when the one before has stopped. Canonical streams may
have several open at once, so the earliest is written as it comes and later ones wait their turn. What this API cannot
say: a picture the model made becomes a text with a Markdown image; a tool run by a provider of another API becomes a
thinking block that tells what was run and found; a foreign citation becomes a web search's, if it has an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_never

import msgspec

from millstream.core import events as ev
from millstream.core.messages import Opaque, ToolCallPart
from millstream.core.messages import Usage as TokenUsage
from millstream.core.opaque import wrap
from millstream.core.repeats import Around
from millstream.dialects.anthropic import reply_out
from millstream.dialects.anthropic.blocks_out import citation_out, own_fields
from millstream.dialects.anthropic.errors import error_object
from millstream.dialects.anthropic.usage import delta_usage_out
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import CUSTOM_TOOL_INPUT, ReplyContext

_ENCODE = msgspec.json.Encoder().encode
_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_END_OF_DELTA = b"}}\n\n"
_NOTHING_LIVE = -1
_TEXT_DELTA = ev.TextDelta
_REASONING_DELTA = ev.ReasoningDelta

_Start = ev.TextStart | ev.ReasoningStart | ev.ToolCallStart
_Whole = ev.ServerToolResult | ev.Media | ev.UnknownBlock
_Delta = ev.TextDelta | ev.ReasoningDelta | ev.ToolCallDelta
_End = ev.TextEnd | ev.ReasoningEnd | ev.ToolCallEnd
_Inside = _Delta | _End | ev.Citation
_BEGINS = (ev.TextStart, ev.ReasoningStart, ev.ToolCallStart, ev.ServerToolResult, ev.Media, ev.UnknownBlock)


class AnthropicRenderer:
    """Fulfils ``dialects.base.Renderer``."""

    __slots__ = (
        "_called",
        "_context",
        "_custom",
        "_delta",
        "_end",
        "_hidden",
        "_hide_thinking",
        "_live",
        "_out",
        "_refused",
        "_usage",
        "_waiting",
        "_written",
    )

    def __init__(self, context: ReplyContext) -> None:
        self._context = context
        self._hide_thinking = reply_out.hides_thinking(context.request)
        self._live = _NOTHING_LIVE
        self._delta = b""
        self._custom = False
        self._waiting: dict[int, tuple[_Start | _Whole, list[_Inside]]] = {}
        self._hidden: set[int] = set()
        self._written = 0
        self._called = False
        self._refused = False
        self._usage: TokenUsage | None = None
        self._end: ev.ChoiceEnd | None = None
        self._out: list[bytes] = []

    def keepalive(self) -> bytes:
        return _PING

    def render(self, events: Sequence[ev.Event]) -> bytes:
        if len(events) == 1:
            event = events[0]
            kind = type(event)
            if (kind is _TEXT_DELTA or kind is _REASONING_DELTA) and event.index == self._live:  # type: ignore[union-attr]  # both have one
                return b"%b%b}}\n\n" % (self._delta, _ENCODE(event.text))  # type: ignore[union-attr]
        return self._render_all(events)

    def more(self, index: int, text: str) -> bytes:
        """Fulfils ``dialects.base.RepeatingRenderer``."""
        if index == self._live:
            return b"%b%b}}\n\n" % (self._delta, _ENCODE(text))
        return self._render_all([ev.TextDelta(index, text)])

    def around(self, index: int) -> Around | None:
        """Fulfils ``dialects.base.RepeatingRenderer``."""
        return Around(self._delta, _END_OF_DELTA) if index == self._live else None

    def _render_all(self, events: Sequence[ev.Event]) -> bytes:
        out = self._out
        for position, event in enumerate(events):
            if isinstance(event, ev.TextDelta):
                piece = event.text
            elif isinstance(event, ev.ToolCallDelta):
                piece = event.arguments
            elif isinstance(event, ev.ReasoningDelta):
                piece = event.text
            else:
                self._other(event, events, position)
                continue
            if event.index == self._live and not self._custom:
                out += (self._delta, _ENCODE(piece), _END_OF_DELTA)
            else:
                self._take(event, ())
        rendered = b"".join(out)
        out.clear()
        return rendered

    def _other(self, event: ev.Event, events: Sequence[ev.Event], position: int) -> None:
        match event:
            case ev.MessageStart():
                self._usage = event.usage
                if not self._context.started:
                    self._message_start(event)
            case ev.Usage():
                self._usage = event.usage
            case ev.ChoiceEnd():
                self._end = event if event.choice == 0 else self._end
            case ev.Finish():
                self._finish(event)
            case ev.Fault():
                error = error_object(event.kind, event.message, self._context.reply_id)
                self._write("error", error)
            case ev.Unknown():
                return
            case _:
                self._take(event, events[position + 1 :] if isinstance(event, ev.ToolCallStart) else ())

    def _message_start(self, event: ev.MessageStart) -> None:
        message_id = event.id or self._context.reply_id
        model = event.model or self._context.request.model
        message = reply_out.message_object(message_id, model, event.usage, event.extra)
        self._write("message_start", {"type": "message_start", "message": message})

    def _take(self, event: _Start | _Whole | _Inside, following: Iterable[ev.Event]) -> None:
        """An event of a block: written if it is that block's turn, else kept until it is."""
        index = event.index
        if isinstance(event, _BEGINS):
            if self._unsayable(event):
                self._hidden.add(index)
            elif self._live == _NOTHING_LIVE:
                self._begin(event, following)
            else:
                self._waiting[index] = (event, [])
        elif index == self._live:
            self._go_on(event)
            self._next()
        elif index not in self._hidden:
            self._waiting[index][1].append(event)

    def _unsayable(self, event: _Start | _Whole) -> bool:
        """Other choices than the first, unwanted thoughts, and what only another API has words for."""
        if event.choice != 0:
            return True
        if isinstance(event, ev.UnknownBlock):
            return event.origin != ORIGIN
        told = isinstance(event, ev.ToolCallStart) and reply_out.is_foreign_run(event)
        if isinstance(event, ev.ServerToolResult) and event.origin != ORIGIN:
            told = True
            if not event.text:
                return True
        return self._hide_thinking and (told or isinstance(event, ev.ReasoningStart))

    def _next(self) -> None:
        """The blocks whose turn has come: all that are complete, and the first that is not."""
        while self._waiting and self._live == _NOTHING_LIVE:
            index = next(iter(self._waiting))
            first, rest = self._waiting.pop(index)
            self._begin(first, rest)
            for event in rest:
                self._go_on(event)

    def _begin(self, event: _Start | _Whole, following: Iterable[ev.Event]) -> None:
        match event:
            case ev.TextStart():
                self._refused = self._refused or event.kind == "refusal"
                self._open(event.index, reply_out.text_block("", event.extra), "text_delta", "text")
            case ev.ReasoningStart(redacted=Opaque() as redacted):
                self._open(event.index, reply_out.redacted_block(redacted, event.extra))
            case ev.ReasoningStart():
                self._open_thinking(event.index, reply_out.thinking_block("", None, event.extra))
            case ev.ToolCallStart():
                self._begin_call(event, following)
            case ev.ServerToolResult() if event.origin == ORIGIN:
                self._whole(event.data)
            case ev.ServerToolResult():
                self._open_thinking(event.index, reply_out.thinking_block("", None, None))
                self._piece(event.text or "")
                self._close()
            case ev.Media():
                self._open(event.index, reply_out.text_block("", None), "text_delta", "text")
                self._piece(reply_out.text_of_media(event))
                self._close()
            case ev.UnknownBlock():
                self._unknown(event)
            case _:
                assert_never(event)

    def _begin_call(self, event: ev.ToolCallStart, following: Iterable[ev.Event]) -> None:
        if reply_out.is_foreign_run(event):
            self._open_thinking(event.index, reply_out.thinking_block("", None, None))
            self._piece(reply_out.told_call(event.name))
            return
        self._called = self._called or event.kind != "server"
        ends = (later for later in following if isinstance(later, ev.ToolCallEnd) and later.index == event.index)
        end = next(ends, None)
        signature = end.signature if end is not None else None
        call = ToolCallPart(event.id, event.name, "", signature=signature, extra=event.extra)
        fallback_id = f"toolu_{self._context.reply_id}_{event.index}"
        self._open(event.index, reply_out.call_block(call, fallback_id), "input_json_delta", "partial_json")
        self._piece("")
        if event.kind == "custom":
            self._piece('{"' + CUSTOM_TOOL_INPUT + '":"')
            self._custom = True

    def _go_on(self, event: _Inside) -> None:
        """An event of the live block."""
        match event:
            case ev.TextDelta() | ev.ReasoningDelta():
                self._piece(event.text)
            case ev.ToolCallDelta():
                self._piece(_ENCODE(event.arguments)[1:-1].decode() if self._custom else event.arguments)
            case ev.Citation():
                self._cite(event)
            case ev.ReasoningEnd():
                if event.signature is not None:
                    self._sign(event.signature)
                self._close()
            case ev.ToolCallEnd():
                if self._custom:
                    self._piece('"}')
                self._close()
            case ev.TextEnd():
                self._close()
            case _:
                assert_never(event)

    def _open_thinking(self, index: int, block: dict[str, Any]) -> None:
        self._open(index, block, "thinking_delta", "thinking")

    def _open(self, index: int, block: Mapping[str, Any], delta: str = "", field: str = "") -> None:
        self._live = index
        wire = self._written
        self._write("content_block_start", {"type": "content_block_start", "index": wire, "content_block": block})
        self._delta = (
            f"event: content_block_delta\n"
            f'data: {{"type":"content_block_delta","index":{wire},"delta":{{"type":"{delta}","{field}":'
        ).encode()

    def _piece(self, text: str) -> None:
        self._out += (self._delta, _ENCODE(text), _END_OF_DELTA)

    def _write_delta(self, delta: Mapping[str, Any]) -> None:
        event = {"type": "content_block_delta", "index": self._written, "delta": delta}
        self._write("content_block_delta", event)

    def _sign(self, signature: Opaque) -> None:
        self._write_delta({"type": "signature_delta", "signature": wrap(signature, ORIGIN)})

    def _cite(self, event: ev.Citation) -> None:
        citation = citation_out(event)
        if citation is not None:
            self._write_delta({"type": "citations_delta", "citation": citation})

    def _close(self) -> None:
        self._write("content_block_stop", {"type": "content_block_stop", "index": self._written})
        self._written += 1
        self._live = _NOTHING_LIVE
        self._custom = False

    def _whole(self, block: Mapping[str, Any]) -> None:
        self._open(0, block)
        self._close()

    def _unknown(self, event: ev.UnknownBlock) -> None:
        """As it came. A compaction's summary comes in a delta, as in Anthropic's own streams."""
        if event.data.get("type") != "compaction":
            self._whole(event.data)
            return
        self._open(event.index, {"type": "compaction", "content": None})
        self._write_delta({**event.data, "type": "compaction_delta"})
        self._close()

    def _finish(self, event: ev.Finish) -> None:
        end = self._end or ev.ChoiceEnd(0, "stop")
        said = reply_out.ending(end.reason, end.stop_sequence, end.extra, called=self._called, refused=self._refused)
        usage = delta_usage_out(self._usage)
        self._write("message_delta", {"type": "message_delta", "delta": said.delta, "usage": usage, **said.beside})
        rest = own_fields(event.extra)
        if rest:
            self._write("message_stop", {"type": "message_stop", **rest})
        else:
            self._out.append(_STOP)

    def _write(self, name: str, data: Mapping[str, Any]) -> None:
        self._out += (b"event: ", name.encode(), b"\ndata: ", _ENCODE(data), b"\n\n")
