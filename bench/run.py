"""Compare millstream with nothing and with nginx in between, on loads over loopback. See --help."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import FrameType

from harness import peers
from harness.loads import LOADS, Load
from harness.measure import Measurement, Profiler, await_quiet, disturbed, measure
from harness.report import print_report, write
from harness.subjects import SUBJECTS as OWN_SUBJECTS
from harness.subjects import Subject
from rich.console import Console

SUBJECTS = (*OWN_SUBJECTS, *peers.SUBJECTS)
HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
_PROFILERS = {
    "py-spy": ["py-spy", "record", "--pid", "{pid}", "--duration", "{seconds}", "--rate", "500", "--native",
               "--format", "raw", "--output", "{file}.folded"],
    "flame": ["py-spy", "record", "--pid", "{pid}", "--duration", "{seconds}", "--rate", "100", "--native",
              "--gil", "--function", "--format", "flamegraph", "--output", "{file}.svg"],
    "perf": ["perf", "record", "-g", "-p", "{pid}", "-o", "{file}.perf", "--", "sleep", "{seconds}"],
}  # fmt: skip


def main() -> int:
    arguments = _arguments()
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
    if sys.platform != "linux":
        console.print("The load generator runs on Linux only (epoll, /proc, pinned cores).")
        return 2
    if arguments.list:
        _list(console)
        return 0
    if arguments.profile and shutil.which(_PROFILERS[arguments.profile][0]) is None:
        console.print(f"{_PROFILERS[arguments.profile][0]} is not on the path")
        return 2
    subprocess.run(["make", "--quiet", "-C", str(HERE)], check=True)
    signal.signal(signal.SIGTERM, _exit)
    subjects = _available(console, _wanted(arguments))
    loads = _loads(arguments)
    reps = arguments.reps or (1 if arguments.quick else 3)
    profiler = Profiler(_PROFILERS[arguments.profile], RESULTS) if arguments.profile else None
    once = partial(measure, realtime=arguments.realtime, profiler=profiler)
    measurements = _measure_all(console, subjects, loads, reps, partial(_patiently, once, arguments.patience))
    print_report(console, loads, subjects, measurements)
    path = write(RESULTS, loads, subjects, measurements, {**vars(arguments), "reps": reps})
    console.print(f"\nMedians of {reps}. Everything measured: {path.relative_to(HERE.parent)}", soft_wrap=True)
    return 1 if any(m.problem or m.figures["failed"] for m in measurements) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [subject.name for subject in SUBJECTS]
    parser.add_argument("--only", action="append", choices=names, metavar="SUBJECT", help="may be repeated")
    parser.add_argument("--load", action="append", choices=[x.name for x in LOADS], metavar="LOAD", help="likewise")
    parser.add_argument("--quick", action="store_true", help="one short repetition, in under two minutes")
    parser.add_argument("--peers", action="store_true", help="other gateways as well (`make peers` installs them)")
    parser.add_argument("--reps", type=int, help="repetitions (default 3; 1 with --quick)")
    parser.add_argument("--realtime", action="store_true", help="before all else that runs here (needs root)")
    parser.add_argument(
        "--patience", type=float, default=0, metavar="SECONDS",
        help="per measurement: wait for a quiet machine, and measure again what others disturbed",
    )  # fmt: skip
    parser.add_argument("--profile", choices=_PROFILERS, help="record the subject's window; slows it down")
    parser.add_argument("--list", action="store_true", help="the names of subjects and loads")
    return parser.parse_args()


def _wanted(arguments: argparse.Namespace) -> list[Subject]:
    if arguments.only:
        return [subject for subject in SUBJECTS if subject.name in arguments.only]
    return list(SUBJECTS if arguments.peers else OWN_SUBJECTS)


def _loads(arguments: argparse.Namespace) -> list[Load]:
    if arguments.load:
        chosen = [load for load in LOADS if load.name in arguments.load]
    else:
        chosen = [load for load in LOADS if load.in_quick or not arguments.quick]
    return [load.quick() for load in chosen] if arguments.quick else chosen


def _available(console: Console, subjects: Sequence[Subject]) -> list[Subject]:
    for subject in subjects:
        if reason := subject.missing():
            console.print(f"[yellow]left out: {subject.name} ({reason})[/yellow]")
    return [subject for subject in subjects if subject.missing() is None]


def _measure_all(
    console: Console,
    subjects: Sequence[Subject],
    loads: Sequence[Load],
    reps: int,
    once: Callable[[Subject, Load], Measurement],
) -> list[Measurement]:
    """Subjects take turns within each load, in an order that shifts: a noisy minute then hits all of them. Ctrl-C ends
    it early, with what there is."""
    measurements: list[Measurement] = []
    total = len(subjects) * len(loads) * reps
    began = time.monotonic()
    with console.status("") as status, suppress(KeyboardInterrupt):
        for rep in range(reps):
            for load in loads:
                shift = rep % max(len(subjects), 1)
                for subject in [*subjects[shift:], *subjects[:shift]]:
                    spent = time.monotonic() - began
                    status.update(f"{len(measurements)}/{total} after {spent:.0f} s: {load.name}, {subject.name}")
                    measurements.append(once(subject, load))
    return measurements


def _patiently(
    once: Callable[[Subject, Load], Measurement], patience: float, subject: Subject, load: Load
) -> Measurement:
    """The first undisturbed measurement, or the last one there was time for."""
    end = time.monotonic() + patience
    while True:
        await_quiet(end - time.monotonic())
        measurement = once(subject, load)
        if not disturbed(measurement) or time.monotonic() >= end:
            return measurement


def _list(console: Console) -> None:
    for subject in SUBJECTS:
        console.print(f"{subject.name:22} {subject.title}  {subject.missing() or ''}")
    console.print()
    for load in LOADS:
        console.print(f"{load.name:22} {load.title}")


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)  # through every `with`, which ends what was started


if __name__ == "__main__":
    sys.exit(main())
