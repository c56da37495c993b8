"""Streams cut into pieces, the ways a network cuts them, and put together again."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator

import msgspec

from millstream.core import events as ev
from millstream.core.errors import UpstreamFault
from millstream.dialects.base import Dialect

_FRAME_END = re.compile(rb"\r?\n\r?\n|\r\r")


def bytewise(stream: bytes) -> list[bytes]:
    """Every byte by itself."""
    return [stream[i : i + 1] for i in range(len(stream))]


def randomly(stream: bytes, seed: int, pieces: int = 20) -> list[bytes]:
    """``stream`` in at most ``pieces`` pieces at places chosen by ``seed``."""
    chance = random.Random(seed)  # noqa: S311  # reproducible, not secret
    cuts = sorted({chance.randrange(len(stream) + 1) for _ in range(pieces - 1)})
    return [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True) if a < b]


def framewise(stream: bytes) -> list[bytes]:
    """One frame at a time, as most upstreams write them."""
    ends = [found.end() for found in _FRAME_END.finditer(stream)]
    return [stream[a:b] for a, b in zip([0, *ends], [*ends, len(stream)], strict=True) if a < b]


def frame_prefixes(stream: bytes) -> Iterator[bytes]:
    """``stream`` cut off after each of its frames but the last."""
    for found in _FRAME_END.finditer(stream):
        if found.end() < len(stream):
            yield stream[: found.end()]


def parse(dialect: Dialect, pieces: Iterable[bytes]) -> list[ev.Event]:
    """The events of one stream, with neighbouring deltas of a block joined, since a split may part them.

    An ``UpstreamFault`` the parser raises is given as the event it becomes; any other exception is a defect and rises.
    """
    parser = dialect.parser()
    events: list[ev.Event] = []
    try:
        for piece in pieces:
            events += parser.feed(piece)
        events += parser.finish()
    except UpstreamFault as fault:
        events.append(ev.Fault.of(fault))
    return joined(events)


def joined(events: Iterable[ev.Event]) -> list[ev.Event]:
    """Neighbouring plain deltas of the same block as one."""
    result: list[ev.Event] = []
    for event in events:
        last = result[-1] if result else None
        match (last, event):
            case (ev.TextDelta(extra=None), ev.TextDelta(extra=None)) if last.index == event.index:
                result[-1] = msgspec.structs.replace(last, text=last.text + event.text)
            case (ev.ReasoningDelta(), ev.ReasoningDelta()) if last.index == event.index:
                result[-1] = msgspec.structs.replace(last, text=last.text + event.text)
            case (ev.ToolCallDelta(), ev.ToolCallDelta()) if last.index == event.index:
                result[-1] = msgspec.structs.replace(last, arguments=last.arguments + event.arguments)
            case _:
                result.append(event)
    return result
