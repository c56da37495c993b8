"""Where the microseconds of one event go inside the pure path: parse, check, render, per pair of dialects.

No sockets: an upstream stream is written by its dialect's own renderer, cut into reads of 1 and of 16 frames, and fed
to each stage alone and to all of them together as the gateway does. CPU time of this process, the median of several
runs. See --help.
"""

from __future__ import annotations

import argparse
import gc
import pkgutil
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TypeVar

from rich.console import Console
from rich.table import Table

import millstream.dialects
from millstream.core import events as ev
from millstream.core.grammar import Grammar
from millstream.core.messages import Request
from millstream.core.messages import Usage as TokenUsage
from millstream.dialects.base import Dialect, ReplyContext
from millstream.relay import HubRelay, SideDoor

PIECES = (" the", " river", " turns", ' a "wheel"', ",\n", " and", " grinds", " größer")
BATCHES = (1, 16)
KINDS = ("text", "reasoning", "tool")
T = TypeVar("T")
_FRAME = re.compile(rb".+?\r?\n\r?\n", re.DOTALL)


@dataclass(frozen=True)
class Stream:
    """One upstream's reply: its bytes in reads, and the events of each read."""

    upstream: Dialect
    reads: list[bytes]
    events: list[list[ev.Event]]


@dataclass(frozen=True)
class Row:
    upstream: str
    client: str
    batch: int
    stages: dict[str, float]
    """Microseconds of CPU per event, by stage."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deltas", type=int, default=10_000, help="deltas per stream (default 10000)")
    parser.add_argument("--runs", type=int, default=7, help="runs each median is of (default 7)")
    parser.add_argument("--kind", choices=KINDS, default="text", help="what the deltas are of (default text)")
    parser.add_argument("--pair", metavar="CLIENT:UPSTREAM", help="only this pair, such as anthropic:openai_chat")
    arguments = parser.parse_args()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    dialects = list(_dialects(console))
    rows = []
    for upstream in dialects:
        for client in dialects:
            if arguments.pair not in (None, f"{client.name}:{upstream.name}"):
                continue
            for batch in BATCHES:
                stream = _stream(upstream, arguments.kind, arguments.deltas, batch)
                rows.append(_row(client, stream, arguments.deltas, batch, arguments.runs))
    console.print(_table(rows, arguments.kind))
    return 0


def _dialects(console: Console) -> Iterator[Dialect]:
    """Every dialect of the package that can parse a stream."""
    for found in pkgutil.iter_modules(millstream.dialects.__path__, "millstream.dialects."):
        if not found.ispkg:
            continue
        try:
            dialect: Dialect = import_module(found.name).DIALECT
        except (ImportError, AttributeError) as error:
            console.print(f"[yellow]left out: {found.name} ({error})[/yellow]")
        else:
            yield dialect


def _reply(kind: str, deltas: int) -> Iterator[ev.Event]:
    pieces = [PIECES[number % len(PIECES)] for number in range(deltas)]
    yield ev.MessageStart("msg_1", "m", 1_763_700_000)
    reason: ev.ChoiceEnd
    if kind == "tool":
        yield ev.ToolCallStart(0, "call_1", "write_file")
        yield ev.ToolCallDelta(0, '{"text":"')
        yield from (ev.ToolCallDelta(0, piece.replace('"', '\\"').replace("\n", "\\n")) for piece in pieces)
        yield ev.ToolCallDelta(0, '"}')
        yield ev.ToolCallEnd(0)
        reason = ev.ChoiceEnd(0, "tool_calls")
    elif kind == "reasoning":
        yield ev.ReasoningStart(0)
        yield from (ev.ReasoningDelta(0, piece) for piece in pieces)
        yield ev.ReasoningEnd(0)
        reason = ev.ChoiceEnd(0, "stop")
    else:
        yield ev.TextStart(0)
        yield from (ev.TextDelta(0, piece) for piece in pieces)
        yield ev.TextEnd(0)
        reason = ev.ChoiceEnd(0, "stop")
    yield reason
    yield ev.Usage(TokenUsage(input_tokens=12, output_tokens=deltas))
    yield ev.Finish()


def _context(dialect: Dialect) -> ReplyContext:
    return ReplyContext("ms_1", 1_763_700_000, Request(dialect.name, "m", (), stream=True, include_usage=True))


def _stream(upstream: Dialect, kind: str, deltas: int, batch: int) -> Stream:
    wire = upstream.renderer(_context(upstream)).render(list(_reply(kind, deltas)))
    frames = _FRAME.findall(wire)
    reads = [b"".join(frames[at : at + batch]) for at in range(0, len(frames), batch)]
    parser = upstream.parser()
    events = [parser.feed(read) for read in reads]
    found = sum(isinstance(event, ev.Fault) for batch_events in events for event in batch_events)
    if found:
        raise SystemExit(f"{upstream.name} does not read what it writes")
    return Stream(upstream, reads, events)


def _row(client: Dialect, stream: Stream, deltas: int, batch: int, runs: int) -> Row:
    upstream = stream.upstream

    def timed(make: Callable[[], Callable[[bytes], object]]) -> float:
        return _per_event(make, stream.reads, deltas, runs)

    def on_events(make: Callable[[], Callable[[list[ev.Event]], object]]) -> float:
        return _per_event(make, stream.events, deltas, runs)

    stages = {
        "parse": timed(lambda: upstream.parser().feed),
        "check": on_events(lambda: Grammar().advance),
    }
    if client is upstream:
        stages["all"] = timed(lambda: SideDoor(upstream.parser, lambda: client.renderer(_context(client))).feed)
    else:
        stages["render"] = on_events(lambda: client.renderer(_context(client)).render)
        stages["all"] = timed(lambda: HubRelay(upstream.parser(), client.renderer(_context(client))).feed)
    return Row(upstream.name, client.name, batch, stages)


def _per_event(make: Callable[[], Callable[[T], object]], inputs: Sequence[T], deltas: int, runs: int) -> float:
    return statistics.median(_run(make(), inputs) for _ in range(runs)) / deltas / 1000


def _run(step: Callable[[T], object], inputs: Iterable[T]) -> int:
    """Nanoseconds of CPU time, the garbage collector running as it does in the gateway."""
    gc.collect()
    began = time.process_time_ns()
    for one in inputs:
        step(one)
    return time.process_time_ns() - began


def _table(rows: Sequence[Row], kind: str) -> Table:
    title = f"CPU µs per event, {kind} deltas, Python {sys.version.split()[0]}"
    table = Table(title=title, title_justify="left", title_style="bold", header_style="")
    for heading in ("client ← upstream", "frames/read", "parse", "check", "render", "all"):
        table.add_column(heading, justify="left" if "←" in heading else "right")
    for row in rows:
        same = row.client == row.upstream
        name = f"{row.client} ← {row.upstream}{', side door' if same else ''}"
        figures = [f"{row.stages[s]:.2f}" if s in row.stages else "–" for s in ("parse", "check", "render")]
        table.add_row(
            name,
            str(row.batch),
            *figures,
            f"[bold]{row.stages['all']:.2f}[/bold]",
            end_section=row.batch == BATCHES[-1],
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
