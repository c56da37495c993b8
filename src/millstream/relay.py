"""The synchronous heart of one reply: upstream bytes in, client bytes out. No await, no clock, no task.

Two ways through. ``HubRelay`` parses to events and renders them in the client's dialect. ``SideDoor`` is for an
upstream of the client's own dialect: whole frames pass untouched while the parser only watches, so that nothing we
have no name for is lost. Both stop at the first fault and say whether content had come before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, cast

from millstream.core import events as ev
from millstream.core.assemble import Assembler, error_of
from millstream.core.errors import GatewayBug, Kind, MillstreamError, UpstreamFault
from millstream.core.grammar import Grammar, GrammarError, State
from millstream.core.repeats import Repeats
from millstream.core.sse import FRAME_END
from millstream.core.stops import StopSequences
from millstream.dialects.base import Parser, Renderer, RepeatingParser, RepeatingRenderer


class Relay(Protocol):
    """``watch`` holds what is known of the reply so far; ``error`` is set by the fault that ended it, and its
    ``content_sent`` tells whether content came first. Without content the fault is not said: there may be another
    try."""

    watch: Grammar
    error: MillstreamError | None
    done: bool
    by_heart: bool
    """What was fed last was known by what came before it."""

    @property
    def repeats(self) -> Repeats | None:
        """``by_heart``: what such reads consist of, and what they become; they need not be fed any more. None: they
        must be."""
        ...

    def feed(self, data: bytes) -> bytes: ...

    def finish(self) -> bytes:
        """The upstream closed its stream cleanly."""
        ...

    def cut(self, error: UpstreamFault) -> bytes:
        """The upstream's connection failed."""
        ...

    def take(self, events: list[ev.Event]) -> bytes:
        """The upstream answered with a whole reply instead of a stream: its events."""
        ...


class _Watched:
    """Parse, check against the grammar, and keep the fault."""

    __slots__ = ("_parser", "by_heart", "done", "error", "watch")

    def __init__(self, parser: Parser) -> None:
        self.watch = Grammar()
        self.error: MillstreamError | None = None
        self.done = False
        self.by_heart = False
        self._parser = parser

    def _parsed(self, data: bytes) -> list[ev.Event]:
        try:
            events = self._parser.feed(data)
        except UpstreamFault as error:
            events = [ev.Fault.of(error)]
        return self._checked(events)

    def _finished(self) -> list[ev.Event]:
        watch = self.watch
        if watch.ended:
            return []
        try:
            events = self._parser.finish()
        except UpstreamFault as error:
            events = [ev.Fault.of(error)]
        events = self._checked(events)
        if watch.state is State.OPEN or watch.state is State.IDLE:
            events = [*events, *self._checked([ev.truncated("it has no end")])]
        return events

    def _cut_short(self, error: UpstreamFault) -> list[ev.Event]:
        """What the parser still held may complete the answer; if not, our fault says more than its own."""
        events = self._finished()
        if self.error is None:
            return events
        error.content_sent = self.watch.blocks > 0
        self.error = error
        return [ev.Fault.of(error)]

    def _checked(self, events: list[ev.Event]) -> list[ev.Event]:
        watch = self.watch
        if watch.ended:
            return []
        try:
            watch.advance(events)
        except GrammarError as wrong:
            events = self._illegal(wrong)
        self._note_fault()
        return events

    def _note_fault(self) -> None:
        watch = self.watch
        if watch.fault is not None:
            self.error = error_of(watch.fault)
            self.error.content_sent = watch.blocks > 0

    def _illegal(self, wrong: GrammarError) -> list[ev.Event]:
        fault = ev.Fault.of(GatewayBug(f"the reply's events came out of order: {wrong}"))
        self.watch.fail(fault)
        return [fault]


def _repeating(parser: Parser) -> RepeatingParser | None:
    # What isinstance takes to look at a protocol would be felt in each request.
    return cast("RepeatingParser", parser) if hasattr(parser, "more") else None


class HubRelay(_Watched):
    """Every event through the client's renderer. ``stop``: sequences that the upstream does not stop at itself.

    A read that is known by what the one before it was changes nothing but the text that is passed on: where parser and
    renderer can say so, it needs no event either.
    """

    __slots__ = ("_renderer", "_repeating", "_says", "_stops")

    def __init__(self, parser: Parser, renderer: Renderer, stop: Sequence[str] = ()) -> None:
        super().__init__(parser)
        self._renderer = renderer
        self._stops = StopSequences(stop) if stop else None
        self._repeating = _repeating(parser) if hasattr(renderer, "more") and not stop else None
        if self._repeating is not None:
            self._says = cast("RepeatingRenderer", renderer)

    @property
    def repeats(self) -> Repeats | None:
        if self._repeating is None or (heard := self._repeating.around) is None:
            return None
        said = self._says.around(self._repeating.more_of)
        return Repeats(heard, said) if said is not None else None

    def feed(self, data: bytes) -> bytes:
        if self.done:
            return b""
        if self._repeating is not None and (text := self._repeating.more(data)):
            self.by_heart = True
            return self._says.more(self._repeating.more_of, text)
        self.by_heart = False
        try:
            events = self._parser.feed(data)
        except UpstreamFault as error:
            events = [ev.Fault.of(error)]
        if self._stops is not None:
            events = self._stops.apply(events)
        try:
            self.watch.advance(events)
        except GrammarError as wrong:
            events = self._illegal(wrong)
        if self.watch.ended:
            self._note_fault()
            return self._rendered(events)
        return self._renderer.render(events) if events else b""

    def finish(self) -> bytes:
        return self._rendered(self._finished())

    def cut(self, error: UpstreamFault) -> bytes:
        return self._rendered(self._cut_short(error))

    def take(self, events: list[ev.Event]) -> bytes:
        return self._rendered(self._checked(events))

    def _checked(self, events: list[ev.Event]) -> list[ev.Event]:
        return super()._checked(events if self._stops is None else self._stops.apply(events))

    def _rendered(self, events: list[ev.Event]) -> bytes:
        self.done = self.watch.ended
        if not events or (self.error is not None and not self.error.content_sent):
            return b""
        return self._renderer.render(events)


class Collector:
    """A renderer that keeps events for ``core/assemble`` instead of saying them: the reply is wanted whole."""

    def __init__(self) -> None:
        self.assembler = Assembler()

    def render(self, events: Sequence[ev.Event]) -> bytes:
        self.assembler.add(events)
        return b""

    def keepalive(self) -> bytes:
        return b""


_UNSAID_BY_UPSTREAM = frozenset({Kind.MALFORMED, Kind.TRUNCATED})
"""Faults that only the watching parser knows of; all others came in words the client reads itself."""


class SideDoor(_Watched):
    """Whole frames as they came, to the end of the upstream's stream.

    The client's renderer is only made where the upstream could not say itself how it ended.
    """

    __slots__ = ("_blind", "_held", "_held_size", "_new_parser", "_renderer", "_repeating")

    def __init__(self, new_parser: Callable[[], Parser], renderer: Callable[[], Renderer]) -> None:
        super().__init__(new_parser())
        self._repeating = _repeating(self._parser)
        self._new_parser = new_parser
        self._renderer = renderer
        self._held: list[bytes] = []
        self._held_size = 0
        self._blind = False

    @property
    def repeats(self) -> Repeats | None:
        heard = self._repeating.around if self._repeating is not None and not self._held else None
        return Repeats(heard, None) if heard is not None else None

    def feed(self, data: bytes) -> bytes:
        self.by_heart = self._repeating is not None and not self._held and bool(self._repeating.more(data))
        if self.by_heart:
            return data
        self._parsed(data)
        if self.error is None:
            if not (self._held or self._parser.pending or self.watch.ended):
                return data
            return self._whole_frames(data)
        self.done = True
        fault = self.watch.fault
        return self._up_to(fault, b"".join([*self._held, data])) if fault and self.error.content_sent else b""

    def _up_to(self, fault: ev.Fault, data: bytes) -> bytes:
        """``data`` to the frame that ended the reply: with it if it says so itself, else with our words in its place.

        The parser does not tell where in ``data`` it stopped; the frame that gives another one the same fault is it.
        """
        start = end = 0
        for found in FRAME_END.finditer(data):
            start, end = end, found.end()
            if _fault_in(self._new_parser(), data[start:end]) == fault:
                break
        if fault.kind in _UNSAID_BY_UPSTREAM:
            return data[:start] + self._renderer().render([fault])
        return data[:end]

    def finish(self) -> bytes:
        return self._ended(self._finished())

    def cut(self, error: UpstreamFault) -> bytes:
        return self._ended(self._cut_short(error))

    def take(self, events: list[ev.Event]) -> bytes:
        self.done = True
        self._checked(events)
        return self._renderer().render(events) if self.error is None else b""

    def _whole_frames(self, data: bytes) -> bytes:
        """What was held back and ``data``, up to the last frame that is complete; the rest is held."""
        self._held.append(data)
        self._held_size += len(data)
        # What follows the reply's end is no longer the parser's, but still no keepalive may get between its bytes.
        pending = _unfinished(b"".join(self._held)) if self.watch.ended else self._parser.pending
        if pending >= self._held_size:
            return b""
        whole = b"".join(self._held)
        split = len(whole) - pending
        self._held = [whole[split:]] if pending else []
        self._held_size = pending
        return whole[:split]

    def _checked(self, events: list[ev.Event]) -> list[ev.Event]:
        return [] if self._blind else super()._checked(events)

    def _illegal(self, wrong: GrammarError) -> list[ev.Event]:
        """That the watcher lost its way is no reason to take the answer from the client."""
        self._blind = True
        return []

    def _ended(self, events: list[ev.Event]) -> bytes:
        self.done = True
        if self.error is None:
            return b"".join(self._held)
        if not self.error.content_sent:
            return b""
        return self._renderer().render([event for event in events if isinstance(event, ev.Fault)])


def _unfinished(data: bytes) -> int:
    """How many bytes follow the last whole frame of ``data``."""
    ends = (data.rfind(end) + len(end) for end in (b"\n\n", b"\r\n\r\n") if end in data)
    return len(data) - max(ends, default=0)


def _fault_in(parser: Parser, frame: bytes) -> ev.Fault | None:
    try:
        events = parser.feed(frame)
    except UpstreamFault as error:
        return ev.Fault.of(error)
    return next((event for event in events if isinstance(event, ev.Fault)), None)
