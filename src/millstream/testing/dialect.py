"""The conformance check every dialect's parser passes, ours and those of other packages."""

from __future__ import annotations

from millstream.core import events as ev
from millstream.core.assemble import Assembler
from millstream.core.grammar import Grammar
from millstream.core.messages import Reply
from millstream.dialects.base import Dialect
from millstream.testing.streams import bytewise, frame_prefixes, framewise, parse, randomly


def check_dialect(dialect: Dialect, stream: bytes, *, seeds: int = 5) -> list[ev.Event]:
    """Replay a recorded stream whole, frame by frame, byte by byte, at ``seeds`` random splits, and truncated after
    each frame.

    Raises ``AssertionError`` unless every way gives the same legal events, and every truncation a fault, or else the
    same content as the whole (where all that was cut off is accounting). Returns the events.
    """
    whole = parse(dialect, [stream])
    _check_legal(whole)
    assert parse(dialect, bytewise(stream)) == whole, "byte by byte it gives other events than whole"
    assert parse(dialect, framewise(stream)) == whole, "frame by frame it gives other events than whole"
    for seed in range(seeds):
        assert parse(dialect, randomly(stream, seed)) == whole, f"split by seed {seed} it gives other events than whole"
    if isinstance(whole[-1], ev.Finish):
        _check_truncations(dialect, stream, whole)
    return whole


def assembled(events: list[ev.Event]) -> Reply:
    """The reply that ``events`` make. Raises the fault they end with."""
    assembler = Assembler()
    assembler.add(events)
    return assembler.reply()


def _check_legal(events: list[ev.Event]) -> None:
    grammar = Grammar()
    grammar.advance(events)
    assert grammar.ended, "the stream's end is neither Finish nor Fault"


def _check_truncations(dialect: Dialect, stream: bytes, whole: list[ev.Event]) -> None:
    content = [(choice.parts, choice.finish_reason) for choice in assembled(whole).choices]
    for prefix in frame_prefixes(stream):
        events = parse(dialect, [prefix])
        _check_legal(events)
        if isinstance(events[-1], ev.Fault):
            continue
        rest = [(choice.parts, choice.finish_reason) for choice in assembled(events).choices]
        assert rest == content, f"cut off after {len(prefix)} bytes, it ends politely with part of the answer"
