"""Events → a client's stream or whole reply.

A stream is ``data:`` lines alone, ended like Google's own by CRLF: ``event:`` lines, comments and ``[DONE]`` break
Google's SDKs and Gemini CLI. Without ``alt=sse`` it is one JSON array. Calls go out whole, since no client of the
plain API reads pieces of arguments; ``finishReason`` and usage come last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec

from millstream.core import events as ev
from millstream.core.assemble import error_of, part_of_block
from millstream.core.messages import Part, ReasoningPart, Request, TextPart, ToolCallPart, Usage, extra_of
from millstream.core.repeats import Around
from millstream.dialects.base import ReplyContext
from millstream.dialects.gemini.errors import error_body
from millstream.dialects.gemini.grounding import Grounding
from millstream.dialects.gemini.parts_out import Wire
from millstream.dialects.gemini.reply_out import body_out, candidate_out, hides_thoughts, part_out
from millstream.dialects.gemini.request_in import ALT
from millstream.dialects.gemini.wire import DIALECT

_encode = msgspec.json.encode
_END_OF_FRAME = b"\r\n\r\n"
_PARTS_HEAD = b'{"candidates":[{"content":{"parts":['
_TEXT_HEAD = _PARTS_HEAD + b'{"text":'


def wants_array(request: Request) -> bool:
    """Whether the client asked for its stream as one JSON array, which it did by not saying ``alt=sse``."""
    return ALT in extra_of(request.extra, DIALECT)


def stream_content_type(request: Request) -> str:
    return "application/json; charset=UTF-8" if wants_array(request) else "text/event-stream"


class _Block:
    """An open block. ``tail`` is what follows the text of a delta, to the end of its frame; empty: not shown."""

    __slots__ = ("ascii", "choice", "pieces", "start", "tail")

    def __init__(self, start: ev.TextStart | ev.ReasoningStart | ev.ToolCallStart, tail: bytes) -> None:
        self.start = start
        self.choice = start.choice
        self.tail = tail
        self.pieces: list[str] = []
        self.ascii = True

    def hear(self, text: str) -> None:
        if self.ascii and not text.isascii():
            self.ascii = False


class GeminiRenderer:
    """One client's stream."""

    __slots__ = (
        "_after",
        "_array",
        "_before",
        "_between",
        "_blocks",
        "_ends",
        "_grounding",
        "_hides_thoughts",
        "_id",
        "_model",
        "_own",
        "_tails",
        "_usage",
    )

    def __init__(self, context: ReplyContext) -> None:
        self._array = wants_array(context.request)
        self._before = b"[" if self._array else b"data: "
        self._between = b",\r\n" if self._array else b"data: "
        self._after = b"" if self._array else _END_OF_FRAME
        self._hides_thoughts = hides_thoughts(context.request)
        self._id = context.reply_id
        self._model = context.request.model
        self._own: Wire = {}
        self._usage: Usage | None = None
        self._blocks: dict[int, _Block] = {}
        self._tails: dict[int, bytes] = {}
        self._ends: list[ev.ChoiceEnd] = []
        self._grounding: dict[int, Grounding] = {}

    def render(self, events: Sequence[ev.Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if isinstance(event, (ev.TextDelta, ev.ReasoningDelta)):
                block = self._blocks[event.index]
                if block.tail:
                    out += (self._before, _TEXT_HEAD, _encode(event.text), block.tail)
                    self._before = self._between
                    block.hear(event.text)
            else:
                self._other(event, out)
        return b"".join(out)

    def more(self, index: int, text: str) -> bytes:
        """Fulfils ``dialects.base.RepeatingRenderer``."""
        return self.render((ev.TextDelta(index, text),))

    def around(self, index: int) -> Around | None:
        """Fulfils ``dialects.base.RepeatingRenderer``."""
        block = self._blocks[index]
        if not block.tail or self._before != self._between:
            return None
        return Around(self._before + _TEXT_HEAD, block.tail, block.hear)

    def keepalive(self) -> bytes:
        """A bare newline: not a line of any event, and white space between the elements of an array. Comments and
        empty events cost Gemini CLI an attempt."""
        return b"\n"

    def _other(self, event: ev.Event, out: list[bytes]) -> None:
        match event:
            case ev.Usage():
                self._usage = event.usage
            case ev.TextStart():
                self._blocks[event.index] = _Block(event, b"}" + self._tail(event.choice))
            case ev.ReasoningStart():
                self._begin_thought(event, out)
            case ev.ToolCallStart():
                self._blocks[event.index] = _Block(event, b"")
            case ev.ToolCallDelta():
                self._blocks[event.index].pieces.append(event.arguments)
            case ev.TextEnd() | ev.ReasoningEnd() | ev.ToolCallEnd():
                self._end(event, out)
            case ev.ServerToolResult() | ev.Media() | ev.UnknownBlock():
                self._part(event.choice, part_of_block(event), out)
            case ev.Citation():
                block = self._blocks[event.index]
                if event.origin != DIALECT:
                    grounding = self._grounding.setdefault(block.choice, Grounding())
                    grounding.add(event, in_bytes=block.ascii)
            case ev.MessageStart():
                self._start(event)
            case ev.ChoiceEnd():
                self._ends.append(event)
            case ev.Finish():
                self._finish(event, out)
            case ev.Fault():
                self._fail(error_body(error_of(event)), out)
            case ev.Unknown() | ev.TextDelta() | ev.ReasoningDelta():
                pass
            case _:
                assert_never(event)

    def _start(self, event: ev.MessageStart) -> None:
        self._id = event.id or self._id
        self._model = event.model or self._model
        self._usage = event.usage
        self._own = dict(extra_of(event.extra, DIALECT))

    def _tail(self, choice: int) -> bytes:
        """What follows the parts of a chunk of ``choice``."""
        tail = self._tails.get(choice)
        if tail is None:
            name, reply_id = _encode(self._model), _encode(self._id)
            tail = b'],"role":"model"},"index":%d}],"modelVersion":%b,"responseId":%b}' % (choice, name, reply_id)
            tail = self._tails[choice] = tail + self._after
        return tail

    def _begin_thought(self, start: ev.ReasoningStart, out: list[bytes]) -> None:
        tail = b"" if self._hides_thoughts else b',"thought":true}' + self._tail(start.choice)
        self._blocks[start.index] = _Block(start, tail)
        if start.redacted is not None and tail:
            self._part(start.choice, ReasoningPart(redacted=start.redacted), out)

    def _end(self, end: ev.TextEnd | ev.ReasoningEnd | ev.ToolCallEnd, out: list[bytes]) -> None:
        block = self._blocks.pop(end.index)
        start = block.start
        if isinstance(start, ev.ToolCallStart):
            arguments = "".join(block.pieces)
            part = ToolCallPart(start.id, start.name, arguments, start.kind, end.signature, extra=start.extra)
            self._part(block.choice, part, out)
        elif end.signature is not None and block.tail:
            signed = TextPart if isinstance(start, ev.TextStart) else ReasoningPart
            self._part(block.choice, signed("", signature=end.signature), out)

    def _part(self, choice: int, part: Part, out: list[bytes]) -> None:
        wire = part_out(part)
        if wire is not None:
            out += (self._before, _PARTS_HEAD, _encode(wire), self._tail(choice))
            self._before = self._between

    def _finish(self, event: ev.Finish, out: list[bytes]) -> None:
        own = {**self._own, **extra_of(event.extra, DIALECT)}
        candidates = [self._candidate(end) for end in self._ends]
        self._last(body_out(candidates, own, self._usage, self._model, self._id), out)

    def _candidate(self, end: ev.ChoiceEnd) -> Wire:
        """The last chunk has an empty text, as Google's own; but not where a filter left nothing at all."""
        own, grounding = extra_of(end.extra, DIALECT), self._grounding.get(end.choice)
        nothing = end.choice not in self._tails and end.reason in ("content_filter", "refusal")
        return candidate_out(end.choice, end.reason, own, None if nothing else [{"text": ""}], grounding)

    def _fail(self, body: bytes, out: list[bytes]) -> None:
        """Said twice where the stream is one of lines. Google's JavaScript SDK takes an error in a ``data:`` line for
        an empty chunk, and Gemini CLI, after a tool's result, what came before it for the whole answer. What they see
        is Google's own form: bare JSON, as a read of its own; or that some bytes are left at the stream's end."""
        self._last(body, out)
        if not self._array:
            out.append(body)

    def _last(self, body: bytes, out: list[bytes]) -> None:
        out += (self._before, body, b"]" if self._array else self._after)
