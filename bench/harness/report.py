"""Medians over repetitions, as tables and as a JSON file."""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from harness.loads import Kind, Load
from harness.measure import NOISY, Figures, Measurement
from harness.process import LOAD_CORE, SUBJECT_CORE
from harness.subjects import Subject

BASELINE = "direct"
REFERENCE = "nginx"
_SATURATED = 0.9
_LONG = 1000


_LEGEND = """
added: above direct, of the same percentile, in µs; first event: likewise, p50, counted from connecting.
×nginx: in the same run.
cores: what the subject used of its core, and what upstream and client together used of theirs.
noise: what other programs used of the two. ≥: the load generator was at its limit, the subject was not."""


@dataclass(frozen=True)
class Column:
    """``over`` takes the baseline's figure off; ``ratio`` adds a column of multiples of the reference's."""

    title: str
    figure: str
    digits: int = 1
    over: bool = False
    ratio: bool = False
    rate: bool = False
    """More is better, and what the load generator could not exceed is only a lower bound."""


_STEADY = (
    Column("CPU\nµs/event", "cpu_us_event", ratio=True),
    Column("of it\nkernel", "kernel_us_event"),
    Column("delay\np50 µs", "delay_p50_us"),
    Column("added\np50", "delay_p50_us", over=True, ratio=True),
    Column("added\np99", "delay_p99_us", over=True),
    Column("first\nevent", "first_p50_us", digits=0, over=True),
    Column("held", "held", digits=0),
)
COLUMNS: dict[Kind, tuple[Column, ...]] = {
    "steady": _STEADY,
    "flood": (
        Column("events/s", "events_s", digits=0, ratio=True, rate=True),
        Column("CPU\nµs/event", "cpu_us_event", digits=2, ratio=True),
    ),
    "replies": (
        Column("replies/s", "replies_s", digits=0, ratio=True, rate=True),
        Column("CPU\nµs/reply", "cpu_us_reply", digits=0, ratio=True),
        Column("reply\np50 ms", "reply_p50_ms", digits=2),
        Column("p99 ms", "reply_p99_ms", digits=2),
    ),
    "idle": (
        Column("KB/stream", "kb_stream", ratio=True),
        Column("held", "held", digits=0),
        Column("before, MB", "resident_mb"),
        Column("CPU %", "cpu_percent"),
    ),
    "leave": (
        Column("upstream closed\np50 ms", "close_p50_ms", digits=2),
        Column("max ms", "close_max_ms", digits=2),
        Column("noticed", "noticed", digits=0),
        Column("never", "never_noticed", digits=0),
    ),
}


def medians(measurements: Sequence[Measurement]) -> dict[str, dict[str, Figures]]:
    """Load → subject → figure → median. Failures are summed instead."""
    found: dict[str, dict[str, Figures]] = {}
    for load in dict.fromkeys(m.load for m in measurements):
        for subject in dict.fromkeys(m.subject for m in measurements if m.load == load):
            runs = [m.figures for m in measurements if (m.load, m.subject, m.problem) == (load, subject, None)]
            names = dict.fromkeys(name for run in runs for name in run)
            figures = {name: statistics.median(run[name] for run in runs if name in run) for name in names}
            if runs:
                figures["failed"] = sum(run["failed"] for run in runs)
            for part in ("p50", "p99"):
                if f"reply_{part}_us" in figures:
                    figures[f"reply_{part}_ms"] = figures[f"reply_{part}_us"] / 1000
            found.setdefault(load, {})[subject] = figures
    return found


def _added(figures: Figures, column: Column, baseline: Figures | None) -> float | None:
    value = figures.get(column.figure)
    if value is None or not column.over:
        return value
    return None if baseline is None or column.figure not in baseline else value - baseline[column.figure]


def _cell(figures: Figures, column: Column, baseline: Figures | None) -> str:
    value = _added(figures, column, baseline)
    if value is None or (column.over and figures is baseline):
        return "–"
    least = column.rate and figures["load_core_busy"] > _SATURATED and figures["subject_busy"] < _SATURATED
    digits = 0 if abs(value) >= _LONG else column.digits
    return f"{'≥ ' if least else ''}{value:,.{digits}f}"


def _multiple(figures: Figures, column: Column, all_figures: dict[str, Figures]) -> str:
    baseline, reference = all_figures.get(BASELINE), all_figures.get(REFERENCE)
    if figures is baseline or reference is None:
        return "–"
    value, other = _added(figures, column, baseline), _added(reference, column, baseline)
    return "–" if value is None or other is None or other <= 0 else f"{value / other:.2f}"


def _notes(figures: Figures) -> str:
    notes = []
    if figures.get("failed"):
        notes.append(f"[red]{figures['failed']:.0f} failed[/red]")
    if figures["load_busy"] > _SATURATED:
        notes.append("load full")
    foreign = figures["foreign_busy"], figures["load_foreign_busy"]
    if max(foreign) > NOISY:
        notes.append(f"[yellow]noise {foreign[0]:.0%}+{foreign[1]:.0%}[/yellow]")
    return ", ".join(notes)


def table(load: Load, subjects: Sequence[Subject], measured: dict[str, Figures]) -> Table:
    shown = Table(title=load.title, title_justify="left", title_style="bold", header_style="", box=box.SIMPLE_HEAD)
    shown.add_column("", no_wrap=True)
    columns = COLUMNS[load.kind]
    for column in columns:
        shown.add_column(column.title, justify="right", no_wrap=True)
        if column.ratio:
            shown.add_column(f"×\n{REFERENCE}", justify="right", style="dim", no_wrap=True)
    shown.add_column("cores\nit+load", justify="right", style="dim", no_wrap=True)
    shown.add_column("", no_wrap=True)
    baseline = measured.get(BASELINE)
    for subject in subjects:
        figures = measured.get(subject.name)
        if not figures:
            continue
        cells = [subject.title]
        for column in columns:
            cells.append(_cell(figures, column, baseline))
            if column.ratio:
                cells.append(_multiple(figures, column, measured))
        busy = f"{figures['subject_busy']:.0%}+{figures['load_busy']:.0%}"
        shown.add_row(*cells, busy, _notes(figures))
    return shown


def print_report(
    console: Console, loads: Sequence[Load], subjects: Sequence[Subject], measurements: Sequence[Measurement]
) -> None:
    measured = medians(measurements)
    console.print(_LEGEND)
    for load in loads:
        if load.name in measured:
            console.print()
            console.print(table(load, subjects, measured[load.name]))
    for m in measurements:
        trouble = m.problem or (m.figures["failed"] and m.raw["client"]["first_failure"])
        if trouble:
            console.print(f"[red]{m.load}, {m.subject}:[/red] {trouble}", markup=True)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "subject_core": SUBJECT_CORE,
        "load_core": LOAD_CORE,
    }


def write(
    folder: Path,
    loads: Sequence[Load],
    subjects: Sequence[Subject],
    measurements: Sequence[Measurement],
    options: Mapping[str, Any],
) -> Path:
    """All there is, raw and as medians, into a file named by the time."""
    now = datetime.datetime.now(datetime.UTC)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{now:%Y-%m-%dT%H%M%S}.json"
    tree = {
        "at": now.isoformat(timespec="seconds"),
        "machine": machine(),
        "options": options,
        "versions": {s.name: s.version() for s in subjects if s.version is not None},
        "loads": [asdict(load) | {"prompt": load.prompt} for load in loads],
        "medians": medians(measurements),
        "measurements": [asdict(m) for m in measurements],
    }
    path.write_text(json.dumps(tree, indent=1))
    return path
