"""When which bytes of a reply leave, and how it ends: pace, pieces and faults, laid out before the first byte."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from millstream.providers.replay.content import Content
from millstream.providers.replay.scenario import (
    AnyFault,
    CloseFault,
    ContentTypeFault,
    CorruptFault,
    CutFault,
    Pace,
    ResetFault,
    SlowHeadFault,
    StallFault,
)

FOREVER = float("inf")

End = Literal["eof", "close", "reset"]
"""A proper end of the body; the connection closed inside it; the connection torn down."""

_PIECES_PER_EVENT = 2
_ENDS: Mapping[type, End] = {CutFault: "eof", CloseFault: "close", ResetFault: "reset"}


class Send(NamedTuple):
    """``at`` is in seconds after the head, ``events`` how many are complete with this piece."""

    at: float
    data: bytes
    events: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer. Times are in seconds, and infinite where it never comes to that: ``head_at`` after the request,
    ``end_at`` after the head. ``refused``: the connection closes in place of an answer."""

    status: int
    headers: Mapping[str, str]
    sends: tuple[Send, ...]
    head_at: float = 0.0
    end_at: float = 0.0
    end: End = "eof"
    refused: bool = False


REFUSED = Plan(0, {}, (), refused=True)


def at_speed(plan: Plan, speed: float) -> Plan:
    """``plan`` so many times as fast. What never comes still never comes."""
    sends = tuple(send._replace(at=send.at / speed) for send in plan.sends)
    return replace(plan, sends=sends, head_at=plan.head_at / speed, end_at=plan.end_at / speed)


def lay_out(content: Content, pace: Pace, pieces: str, faults: Sequence[AnyFault], headers: Mapping[str, str]) -> Plan:
    """The plan of ``content``. ``faults`` are those that strike a reply under way; others are decided before."""
    events = list(content.events)
    for fault in faults:
        if isinstance(fault, CorruptFault) and fault.after < len(events):
            events[fault.after] = _halved(events[fault.after])
    body = _Body.timed(events, _due(content, pace, len(events)))
    head_at = pace.head_ms / 1000
    content_type = content.content_type
    for fault in faults:
        match fault:
            case StallFault():
                body.stall(body.place(fault.after, fault.bytes), FOREVER if fault.seconds is None else fault.seconds)
            case CutFault() | CloseFault() | ResetFault():
                body.cut(body.place(fault.after, fault.bytes), _ENDS[type(fault)])
            case SlowHeadFault():
                head_at += FOREVER if fault.seconds is None else fault.seconds
            case ContentTypeFault():
                content_type = fault.value
            case _:
                pass
    sends = body.sends(pieces)
    all_headers = {**content.headers, "content-type": content_type, **headers}
    return Plan(content.status, all_headers, sends, head_at, body.end_at, body.end)


def _due(content: Content, pace: Pace, count: int) -> Iterable[float]:
    first = pace.first_ms / 1000
    if pace.recorded and content.times is not None:
        return (first + time for time in content.times)
    return (first + number * pace.gap for number in range(count))


def _halved(event: bytes) -> bytes:
    text = event.rstrip(b"\r\n")
    return text[: len(text) // 2] + event[len(text) :]


class _Span(NamedTuple):
    """An event or a part of one: where its bytes end, when they are due, whether the event ends with them."""

    end: int
    at: float
    whole: bool


class _Body:
    """All bytes of a body and when each is due. Faults change it before it is cut into pieces."""

    def __init__(self, data: bytes, spans: list[_Span]) -> None:
        self._data = data
        self._spans = spans
        self._event_ends = [0, *(span.end for span in spans)]
        self.end: End = "eof"
        self.end_at = spans[-1].at if spans else 0.0

    @classmethod
    def timed(cls, events: list[bytes], due: Iterable[float]) -> _Body:
        ends = itertools.accumulate(len(event) for event in events)
        return cls(b"".join(events), [_Span(end, at, True) for end, at in zip(ends, due, strict=False)])

    def place(self, events: int | None, count: int | None) -> int:
        """The byte that so many events, or bytes, lead to."""
        if events is not None:
            return self._event_ends[min(events, len(self._event_ends) - 1)]
        return min(count or 0, len(self._data))

    def stall(self, place: int, seconds: float) -> None:
        """What lies behind ``place`` comes ``seconds`` later."""
        self._split(place)
        self._spans = [span if span.end <= place else span._replace(at=span.at + seconds) for span in self._spans]
        self.end_at += seconds

    def cut(self, place: int, end: End) -> None:
        """There is nothing behind ``place``."""
        self._split(place)
        self._spans = [span for span in self._spans if span.end <= place]
        self._data = self._data[:place]
        self.end = end
        self.end_at = self._spans[-1].at if self._spans else 0.0

    def _split(self, place: int) -> None:
        for number, span in enumerate(self._spans):
            start = self._spans[number - 1].end if number else 0
            if start < place < span.end:
                self._spans[number : number + 1] = [_Span(place, span.at, False), span]
                return

    def sends(self, pieces: str) -> tuple[Send, ...]:
        """The body in writes. A piece that reaches into several events leaves with the last of them."""
        kind, _, number = pieces.partition(":")
        size = len(self._data)
        if kind == "whole":
            ends = [size] if size else []
        elif kind == "bytes":
            ends = [*range(int(number), size, int(number)), size] if size else []
        elif kind == "random":
            chance = random.Random(int(number or 0))  # noqa: S311  # reproducible, not secret
            count = min(size, _PIECES_PER_EVENT * len(self._spans))
            ends = sorted({*(chance.randrange(1, size + 1) for _ in range(count)), size}) if size else []
        else:
            ends = [span.end for span in self._spans]
        # What never comes may not hold back what comes before it: a stall is a border for every way of cutting.
        borders = {a.end for a, b in itertools.pairwise(self._spans) if a.at < b.at == FOREVER}
        found: list[Send] = []
        start = span = complete = 0
        for end in sorted(borders.union(ends)):
            while self._spans[span].end < end:
                complete += self._spans[span].whole
                span += 1
            done = self._spans[span].end == end and self._spans[span].whole
            found.append(Send(self._spans[span].at, self._data[start:end], complete + done))
            start = end
        return tuple(found)
