"""An upstream's reply → events. One reading for streams and whole replies.

A reply is complete once every choice that began has its ``finish_reason``, whatever follows; without it, ``[DONE]`` and
the end of the stream are a truncation (docs/decisions/0004). Choices are only ended there, since usage, sources, an
error and even text may follow a ``finish_reason``.
"""

from __future__ import annotations

from itertools import count

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.repeats import Around
from millstream.core.sse import Frame, SSEDecoder
from millstream.dialects.openai_chat import errors, wire
from millstream.dialects.openai_chat.answer import Answer
from millstream.dialects.openai_chat.known import Known
from millstream.dialects.openai_chat.usage import usage_in

_DONE = b"[DONE]"
_NOT_OF_THE_REPLY = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "error", "obfuscation", "p", "citations", "search_results"}
)
"""Fields of a chunk that say nothing about the whole reply, or have a canonical name."""

_MAX_ID = 40
_FEW = 6
"""Frames that are not worth a look at whether they are alike."""

_MANY = 32
"""Frames of a stream's first such read from which on it pays to learn what they are like."""

_AT_ONCE = 256


class ChatParser:
    """One reply."""

    __slots__ = (
        "_alike",
        "_answers",
        "_decoder",
        "_ended",
        "_indexes",
        "_known",
        "_reply_id",
        "_started",
        "_usage",
        "more_of",
    )

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
        self._answers: dict[int, Answer] = {}
        self._indexes = count()
        self._reply_id = ""
        self._started = False
        self._ended = False
        self._usage: object = None
        self._known = Known()
        self._alike: Known | None = None
        self.more_of = 0

    @property
    def pending(self) -> int:
        return self._decoder.pending

    def feed(self, data: bytes) -> list[ev.Event]:
        events: list[ev.Event] = []
        if self._ended:
            return events
        if text := self.more(data):
            return [self._known.event(text)]
        try:
            frames = self._decoder.feed(data)
            if len(frames) > _FEW:
                self._many(frames, events)
            else:
                for name, payload in frames:
                    self._frame(name, payload, events)
        except UpstreamFault as fault:
            self._fail(fault, events)
        else:
            if len(frames) == len(events) == 1 and not self._decoder.pending:
                self._known.learn(data, frames[0][1], self._answers, events[0])
                self.more_of = self._known.block
        return events

    def more(self, data: bytes) -> str:
        """Fulfils ``dialects.base.RepeatingParser``."""
        return "" if self._decoder.pending or self._ended else self._known.text_in(data)

    @property
    def around(self) -> Around | None:
        """Fulfils ``dialects.base.RepeatingParser``."""
        return None if self._decoder.pending or self._ended else self._known.around

    def finish(self) -> list[ev.Event]:
        events: list[ev.Event] = []
        if self._ended:
            return events
        try:
            for name, payload in self._decoder.finish():
                self._last_frame(name, payload, events)
            if not self._ended:
                self._end_of_stream(events)
        except UpstreamFault as fault:
            self._fail(fault, events)
        return events

    def take_whole(self, body: bytes) -> list[ev.Event]:
        """The body of a whole reply. Raises ``UpstreamFault`` if it is not one."""
        try:
            reply = wire.decode_chunk(body)
        except ValueError as error:
            raise UpstreamFault(f"the upstream's reply is not the JSON of this API: {error}", Kind.MALFORMED) from error
        events: list[ev.Event] = []
        if not reply.choices:
            fault = errors.fault_in(wire.decode_any(body))
            raise fault or UpstreamFault("the upstream's reply has no choices", Kind.MALFORMED)
        self._whole(reply, body, events)
        return events

    def _fail(self, fault: UpstreamFault, events: list[ev.Event]) -> None:
        self._ended = True
        events.append(ev.Fault.of(fault))

    def _frame(self, name: bytes, data: bytes, events: list[ev.Event]) -> None:
        if self._ended:
            return
        if name == b"error":
            raise errors.fault_of(_value(data))
        if data == _DONE:
            self._end(events)
            return
        try:
            chunk = wire.decode_chunk(data)
        except ValueError as error:
            self._not_a_chunk(name, data, error, events)
            return
        if chunk.error or chunk.choices is None:
            self._without_choices(chunk, name, data, events)
            return
        if not self._started:
            self._start(chunk, data, events)
        if chunk.citations or chunk.search_results:
            self._cite(chunk)
        if not self._more_text(chunk.choices, events):
            for number, choice in enumerate(chunk.choices):
                self._choice(choice, number, events)
        if chunk.usage is not None or chunk.x_groq is not None:
            self._count(chunk.usage or (chunk.x_groq.get("usage") if isinstance(chunk.x_groq, dict) else None), events)

    def _many(self, frames: list[Frame], events: list[ev.Event]) -> None:
        """As ``_frame`` for each: of a fast model, or of a whole network's delay. Most are known by what the first
        piece of text was. To learn that does not pay for one short read."""
        known, self._alike = self._alike, self._alike or Known()
        rest = 0 if known is None and len(frames) < _MANY else self._known_first(frames, self._alike, events)
        for name, payload in frames[rest:]:
            self._frame(name, payload, events)

    def _known_first(self, frames: list[Frame], known: Known, events: list[ev.Event]) -> int:
        """Reads all but the last few, by heart where it can. How many it has read."""
        payloads = [payload if not name else b"" for name, payload in frames]
        position = 0
        while len(frames) - position > _FEW:
            if more := known.events_in(payloads[position : position + _AT_ONCE]):
                events += more
                position += len(more)
                continue
            before = len(events)
            self._frame(*frames[position], events)
            payload = payloads[position]
            if len(events) == before + 1 and payload:
                known.learn(payload, payload, self._answers, events[-1])
            position += 1
        return position

    def _not_a_chunk(self, name: bytes, data: bytes, error: ValueError, events: list[ev.Event]) -> None:
        text = data.strip()
        if text == _DONE:
            self._end(events)
        elif text[:1] == b"{":
            raise UpstreamFault(f"the upstream sent a chunk that cannot be read: {error}", Kind.MALFORMED)
        elif text:
            events.append(_unknown(name, text))

    def _without_choices(self, chunk: wire.Chunk, name: bytes, data: bytes, events: list[ev.Event]) -> None:
        """An error; else accounting, or what only this upstream knows."""
        fault = errors.fault_in(wire.decode_any(data))
        if fault is not None:
            raise fault
        if isinstance(chunk.usage, dict) and self._started:
            self._count(chunk.usage, events)
        else:
            events.append(_unknown(name, data))

    def _start(self, chunk: wire.Chunk, data: bytes, events: list[ev.Event]) -> None:
        """The first chunk that is about the reply: Azure's is about the prompt alone, and names no model."""
        if not chunk.choices and not chunk.usage and not chunk.id:
            return
        fields = wire.decode_any(data)
        self._started = True
        self._reply_id = (chunk.id or "")[-_MAX_ID:]
        about = {name: value for name, value in fields.items() if name not in _NOT_OF_THE_REPLY and value is not None}
        created = wire.integer(fields, "created") or None
        model = wire.string(fields, "model")
        events.append(ev.MessageStart(chunk.id or "", model, created, extra={wire.NAME: about}))

    def _more_text(self, choices: list[wire.Choice], events: list[ev.Event]) -> bool:
        """As ``_choice``, for what most chunks are and in a third of its time. False if it is anything else."""
        answer = self._answers.get(0)
        if answer is None or answer.voice != "text" or len(choices) != 1 or not (text := wire.text_alone(choices[0])):
            return False
        events.append(ev.TextDelta(answer.block, text))
        return True

    def _choice(self, choice: wire.Choice, number: int, events: list[ev.Event]) -> None:
        answer = self._answer(choice, number)
        if choice.error:
            raise errors.fault_of(choice.error)
        answer.take(choice, events)
        if choice.usage is not None:
            self._count(choice.usage, events)

    def _answer(self, choice: wire.Choice, number: int) -> Answer:
        index = choice.index if choice.index is not None else number
        answer = self._answers.get(index)
        if answer is None:
            answer = self._answers[index] = Answer(index, self._indexes, self._reply_id)
        return answer

    def _cite(self, chunk: wire.Chunk) -> None:
        """Sources of the whole reply, which come with every chunk."""
        results = chunk.search_results or []
        urls = chunk.citations or [wire.string(result, "url") for result in results if isinstance(result, dict)]
        for number, choice in enumerate(chunk.choices or ()):
            self._answer(choice, number).cite(urls, results)

    def _count(self, usage: object, events: list[ev.Event]) -> None:
        """Providers repeat it, some with every chunk."""
        if isinstance(usage, dict) and usage and usage != self._usage:
            self._usage = usage
            events.append(ev.Usage(usage_in(usage)))

    def _last_frame(self, name: bytes, data: bytes, events: list[ev.Event]) -> None:
        """What came without its blank line. If it cannot be read, the rest of it is missing."""
        try:
            self._frame(name, data, events)
        except UpstreamFault as fault:
            if fault.kind is Kind.MALFORMED:
                raise _truncated("in the middle of a chunk") from fault
            raise

    def _end_of_stream(self, events: list[ev.Event]) -> None:
        if not self._complete and self._decoder.stray:
            self._bare_json(self._decoder.stray, events)
        if not self._ended:
            self._end(events)

    def _bare_json(self, stray: bytes, events: list[ev.Event]) -> None:
        """Lines that are no part of an event stream: an error, or a whole reply to a request for a stream."""
        try:
            data = wire.decode_any(stray)
        except ValueError:
            return
        fault = errors.fault_in(data)
        if fault is not None:
            raise fault
        if not self._started and isinstance(data, dict) and data.get("choices"):
            self._whole(wire.decode_chunk(stray), stray, events)

    @property
    def _complete(self) -> bool:
        return bool(self._answers) and all(answer.finish_reason is not None for answer in self._answers.values())

    def _end(self, events: list[ev.Event]) -> None:
        """The stream is over. Raises ``UpstreamFault`` if the answer is not."""
        if not self._answers:
            raise _truncated("it has no answer")
        if not self._complete:
            raise _truncated("it never said why it ended")
        self._ended = True
        for answer in self._answers.values():
            answer.close(events)
        events += [answer.end() for answer in self._answers.values()]
        events.append(ev.Finish())

    def _whole(self, reply: wire.Chunk, body: bytes, events: list[ev.Event]) -> None:
        """A whole message is one large delta; that it is complete need not be said."""
        if reply.error:
            raise errors.fault_of(reply.error)
        self._start(reply, body, events)
        self._cite(reply)
        for number, choice in enumerate(reply.choices or ()):
            choice.delta = choice.message or choice.delta
            for position, call in enumerate((choice.delta and choice.delta.tool_calls) or ()):
                call.index = position
            self._choice(choice, number, events)
            answer = self._answer(choice, number)
            answer.finish_reason = answer.finish_reason or ""
        self._count(reply.usage, events)
        self._end(events)


def parse_reply(body: bytes) -> list[ev.Event]:
    """A whole reply as the events it would have streamed. Raises ``UpstreamFault`` if it is not one."""
    return ChatParser().take_whole(body)


def _truncated(detail: str) -> UpstreamFault:
    fault = ev.truncated(detail)
    return UpstreamFault(fault.message, fault.kind)


def _value(data: bytes) -> object:
    try:
        return wire.decode_any(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _unknown(name: bytes, data: bytes) -> ev.Unknown:
    text = data.decode("utf-8", "replace")
    return ev.Unknown(wire.NAME, text, name.decode("utf-8", "replace") or None)
