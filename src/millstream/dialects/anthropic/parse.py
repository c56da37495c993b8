"""A Messages stream, or a whole reply, → events.

Source: https://platform.claude.com/docs/en/build-with-claude/streaming; the departures of Vertex, Bedrock, OpenRouter
and others are each proved by a test. A reply is complete with ``message_stop``, never without.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core.assemble import error_of
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.repeats import Around, Repeated
from millstream.core.sse import Frame, SSEDecoder
from millstream.dialects.anthropic.errors import stream_fault
from millstream.dialects.anthropic.message_in import Block, MessageIn, malformed
from millstream.dialects.anthropic.wire import (
    ORIGIN,
    STREAM_EVENT_TAGS,
    BlockDelta,
    BlockStart,
    BlockStop,
    InputJSONDelta,
    StreamEvent,
    TextDelta,
    ThinkingDelta,
)

_DECODE = msgspec.json.Decoder(StreamEvent).decode
_DONE = b"[DONE]"
_LONGEST_QUOTE = 500


class AnthropicParser:
    """Fulfils ``dialects.base.Parser``."""

    __slots__ = ("_message", "_repeated", "_repeats_text", "_speaking", "_sse", "more_of")

    def __init__(self) -> None:
        self._sse = SSEDecoder()
        self._message = MessageIn()
        self._repeated = Repeated()
        self._speaking: tuple[int, Block] | None = None
        """The block, and its number upstream, whose pieces of text ``_repeated`` knows, once it knows any."""
        self._repeats_text = True
        self.more_of = 0

    @property
    def pending(self) -> int:
        return self._sse.pending

    def feed(self, data: bytes) -> list[ev.Event]:
        message, sse = self._message, self._sse
        if message.ended:
            return []
        if text := self.more(data):
            return [ev.TextDelta(self.more_of, text) if self._repeats_text else ev.ReasoningDelta(self.more_of, text)]
        frames = sse.feed(data)
        self._take(frames)
        events = self._flushed()
        if len(frames) == len(events) == 1 and not sse.pending and self._repeated.teachable:
            self._learn(data, frames[0][1], events[0])
        return events

    def more(self, data: bytes) -> str:
        """Fulfils ``dialects.base.RepeatingParser``."""
        return self._repeated.text_in(data) if self._repeats else ""

    @property
    def around(self) -> Around | None:
        """Fulfils ``dialects.base.RepeatingParser``."""
        return self._repeated.around() if self._repeats else None

    @property
    def _repeats(self) -> bool:
        speaking = self._speaking
        if speaking is None or self._sse.pending or self._message.ended:
            return False
        number, block = speaking
        return self._message.blocks.get(number) is block

    def _learn(self, data: bytes, payload: bytes, event: ev.Event) -> None:
        """``data`` was one frame and gave ``event`` alone: if that was a piece of text, others like it will follow."""
        if not isinstance(event, ev.TextDelta | ev.ReasoningDelta):
            return
        try:
            said = _DECODE(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # read in another way (``_rare``)
        block = self._message.blocks.get(said.index) if isinstance(said, BlockDelta) else None
        if not isinstance(said, BlockDelta) or block is None:
            return
        kind, field = (TextDelta, b"text") if block.kind == "text" else (ThinkingDelta, b"thinking")
        known = type(said.delta) is kind and self._repeated.learn(data, field, event.text)
        self._speaking = (said.index, block) if known else None
        self._repeats_text = block.kind == "text"
        self.more_of = block.index

    def finish(self) -> list[ev.Event]:
        message = self._message
        if not message.ended:
            self._take(self._sse.finish())
        if not message.ended:
            self._take_stray()
        if not message.ended:
            message.fail(ev.truncated("message_stop is missing" if message.started else "it brought no message"))
        return self._flushed()

    def _flushed(self) -> list[ev.Event]:
        message = self._message
        out, message.out = message.out, []
        return out

    def _take(self, frames: list[Frame]) -> None:
        message = self._message
        blocks, out = message.blocks, message.out
        for name, data in frames:
            try:
                event = _DECODE(data)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                self._rare(name, data)
                if message.ended:
                    return
                continue
            kind = type(event)
            if kind is BlockDelta:
                delta = event.delta
                block = blocks.get(event.index)
                delta_kind = type(delta)
                if block is None:
                    message.orphan(event.index, delta)
                elif delta_kind is TextDelta and block.kind == "text":
                    if delta.text:
                        out.append(ev.TextDelta(block.index, delta.text))
                elif delta_kind is InputJSONDelta and block.kind == "call":
                    if delta.partial_json:
                        block.got_input = True
                        out.append(ev.ToolCallDelta(block.index, delta.partial_json))
                elif delta_kind is ThinkingDelta and block.kind == "thinking":
                    if delta.thinking:
                        out.append(ev.ReasoningDelta(block.index, delta.thinking))
                else:
                    message.other_delta(block, delta, data)
                if message.ended:
                    return
            elif kind is BlockStart:
                message.block_start(event.index, event.content_block)
            elif kind is BlockStop:
                message.block_stop(event.index)

    def _rare(self, name: bytes, data: bytes) -> None:
        """What comes once in a stream, or should not come at all."""
        message = self._message
        if data.strip() == _DONE:
            return
        payload = _decoded(data)
        if payload is None and name != b"error":
            message.fail(malformed("the upstream sent an event that is not JSON"))
            return
        fields = payload if isinstance(payload, dict) else {}
        kind = str(fields.get("type") or name.decode("utf-8", "replace"))
        if kind == "error" or isinstance(fields.get("error"), dict | str):
            message.fail(stream_fault(payload if payload is not None else data.decode("utf-8", "replace")))
        elif kind == "message_start":
            start = fields.get("message")
            message.start(start if isinstance(start, dict) else {})
        elif kind == "message_delta":
            message.delta(fields)
        elif kind == "message_stop":
            message.stop(fields)
        elif kind in STREAM_EVENT_TAGS:
            self._misfit({**fields, "type": kind}, data)
        else:
            message.out.append(_unknown(data, kind or None))

    def _misfit(self, fields: dict[str, Any], data: bytes) -> None:
        """A usual event that did not decode: named by ``event:`` alone, oddly encoded, or with an unknown delta."""
        try:
            event = msgspec.convert(fields, StreamEvent)
        except msgspec.ValidationError:
            self._unknown_delta(fields, data)
        else:
            self._take([(b"", msgspec.json.encode(event))])

    def _unknown_delta(self, fields: dict[str, Any], data: bytes) -> None:
        message = self._message
        delta, index = fields.get("delta"), fields.get("index")
        block = message.blocks.get(index) if isinstance(index, int) else None
        if block is None or not isinstance(delta, dict) or fields["type"] != "content_block_delta":
            message.fail(malformed(f"the upstream sent a {fields['type']} that cannot be read"))
        elif block.kind == "held":
            block.data.update({name: value for name, value in delta.items() if name != "type"})
        else:
            message.out.append(_unknown(data, "content_block_delta"))

    def _take_stray(self) -> None:
        """Bytes that were no events: an error, or the whole message, as plain JSON."""
        message = self._message
        text = self._sse.stray.strip()
        payload = _decoded(text) if text else None
        fields = payload if isinstance(payload, dict) else {}
        if fields.get("type") == "message" and not message.started:
            message.whole(fields)
        elif "error" in fields or fields.get("type") == "error":
            message.fail(stream_fault(fields))
        elif text and not message.started:
            said = text[:_LONGEST_QUOTE].decode("utf-8", "replace")
            message.fail(malformed(f"the upstream sent no events but: {said}"))


def parse_reply(body: bytes) -> list[ev.Event]:
    """A whole reply as the events it would have streamed. Raises ``UpstreamFault`` if it is not one."""
    payload = _decoded(body)
    fields = payload if isinstance(payload, dict) else {}
    if isinstance(fields.get("content"), list):
        message = MessageIn()
        message.whole(fields)
        return message.out
    if "error" in fields or fields.get("type") == "error":
        raise error_of(stream_fault(fields))
    raise UpstreamFault("the upstream's reply is not a message", Kind.MALFORMED)


def _unknown(data: bytes, name: str | None) -> ev.Unknown:
    return ev.Unknown(ORIGIN, data.decode("utf-8", "replace"), name)


def _decoded(data: bytes) -> Any:
    """JSON, also with broken UTF-8 or half surrogate pairs, which models that write byte by byte let through; None if
    it is none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return _mended(json.loads(data.decode("utf-8", "replace")))
    except (ValueError, RecursionError):
        return None


def _mended(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(name): _mended(item) for name, item in value.items()}
    return value
