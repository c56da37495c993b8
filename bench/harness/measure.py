"""One measurement: start the upstream, the subject and the client, and make figures of what they say."""

from __future__ import annotations

import http.client
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import process
from harness.loads import RAMP_PER_TICK, TICK_S, Load
from harness.process import LOAD_CORE, SUBJECT_CORE, NotRunning, Process
from harness.subjects import Place, Subject

GENERATOR = Path(__file__).resolve().parents[1] / "build" / "load"
_LEAVE_LIMIT_S = 3.0
_WARM_UP_S = 0.3
_LOOK_S = 0.5
_REALTIME_PERIOD_S = 1.0
"""Of which the kernel keeps 50 ms for others where real-time programs want it all, as the warm-up does."""

_EVENTS_FOR_TICKS = 5000
"""Below, the kernel's part, which is counted in ticks of 10 ms, says nothing."""

NOISY = 0.05
"""Share of a core that others may take before a figure is called disturbed."""

Figures = dict[str, float]


@dataclass
class Measurement:
    """``figures`` are what the tables are made of, by name with unit; ``raw`` is what client and upstream said."""

    subject: str
    load: str
    figures: Figures = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


@dataclass(frozen=True)
class Bench:
    """What runs during one measurement. ``pid`` None: there is nothing between client and upstream."""

    subject: Subject
    folder: Path
    port: int
    upstream: int
    upstream_pid: int
    pid: int | None
    realtime: bool


@dataclass(frozen=True)
class Profiler:
    """A program that watches the subject during the window. ``{pid}``, ``{seconds}`` and ``{file}`` in its arguments
    are filled in."""

    command: list[str]
    folder: Path

    def start(self, bench: Bench, load: Load) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"profile-{bench.subject.name}-{load.name}"
        filled = [part.format(pid=bench.pid, seconds=round(load.window), file=file) for part in self.command]
        return subprocess.Popen(process.on_core(LOAD_CORE, filled, realtime=False))


def measure(subject: Subject, load: Load, *, realtime: bool = False, profiler: Profiler | None = None) -> Measurement:
    """Fresh processes each time, so that one load's leftovers are not another's start. ``realtime`` gives subject and
    load the real-time class, so that other programs disturb less."""
    folder = Path(tempfile.mkdtemp(prefix="millstream-bench-"))
    try:
        with _running(subject, folder, realtime) as bench:
            _client(bench, _warm_up(load))
            if realtime:
                time.sleep(_REALTIME_PERIOD_S)
            _ask(bench.upstream, "/reset")
            result = _client(bench, load, profiler)
            said = _upstream_after(bench, load, len(result["left_at"]))
            figures = _figures(load, result, said)
            if bench.pid is None:
                figures = {name: value for name, value in figures.items() if name not in _OF_A_PROCESS}
            return Measurement(subject.name, load.name, figures, {"client": result, "upstream": said})
    except NotRunning as error:
        return Measurement(subject.name, load.name, problem=str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def disturbed(measurement: Measurement) -> bool:
    """Other programs took a noticeable part of either core in the window."""
    figures = measurement.figures
    return max(figures.get("foreign_busy", 0.0), figures.get("load_foreign_busy", 0.0)) > NOISY


def await_quiet(seconds: float) -> None:
    """Until neither core is busy, for ``seconds`` at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = [process.core_busy_seconds(core) for core in (SUBJECT_CORE, LOAD_CORE)]
        began = time.monotonic()
        time.sleep(_LOOK_S)
        after = [process.core_busy_seconds(core) for core in (SUBJECT_CORE, LOAD_CORE)]
        spent = time.monotonic() - began
        if all(b - a <= NOISY * spent for a, b in zip(before, after, strict=True)):
            return


def _warm_up(load: Load) -> Load:
    return Load(
        name="warm-up", title="", kind="replies", streams=8, events=20, window=_WARM_UP_S, settle=0.0, whole=load.whole
    )


@contextmanager
def _running(subject: Subject, folder: Path, realtime: bool) -> Iterator[Bench]:
    upstream = process.free_port()
    command = process.on_core(LOAD_CORE, [str(GENERATOR), "upstream", "--port", str(upstream)], realtime=realtime)
    with Process(command, folder / "upstream.log") as source:
        source.await_port(upstream, None)
        if subject.start is None:
            yield Bench(subject, folder, upstream, upstream, source.pid, None, realtime)
            return
        port = process.free_port()
        launch = subject.start(subject, Place(folder, port, upstream))
        command = process.on_core(SUBJECT_CORE, launch.command, realtime=realtime)
        with Process(command, folder / "subject.log", launch.environ) as program:
            if launch.port is not None:
                port = int(program.await_words(launch.port))
            program.await_port(port, launch.ready)
            yield Bench(subject, folder, port, upstream, source.pid, program.pid, realtime)


def _client(bench: Bench, load: Load, profiler: Profiler | None = None) -> dict[str, Any]:
    """The client's result."""
    body = bench.folder / "body.json"
    body.write_bytes(bench.subject.body(load))
    arguments = [str(GENERATOR), *_client_arguments(bench, load, body)]
    command = process.on_core(LOAD_CORE, arguments, realtime=bench.realtime)
    watching = None
    said: dict[str, Any] = {"phase": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout is not None
        for line in client.stdout:
            said = json.loads(line)
            if said["phase"] == "window" and profiler is not None and bench.pid is not None:
                watching = profiler.start(bench, load)
    if watching is not None:
        watching.wait()
    if client.returncode != 0 or said["phase"] != "result":
        raise NotRunning(f"the load generator ended with status {client.returncode}")
    return said


def _client_arguments(bench: Bench, load: Load, body: Path) -> list[str]:
    subject = bench.subject
    arguments = ["client", "--port", str(bench.port), "--path", subject.path, "--body", str(body)]
    arguments += ["--streams", str(load.streams), "--ramp", str(RAMP_PER_TICK), "--tick-ms", f"{TICK_S * 1000:.0f}"]
    arguments += ["--settle", str(load.settle), "--window", str(load.window), "--rest", str(load.rest)]
    arguments += ["--expect", str(load.events_per_reply), "--upstream", str(bench.upstream_pid)]
    for pid in process.tree(bench.pid) if bench.pid is not None else []:
        arguments += ["--subject", str(pid)]
    for header in subject.headers(bench.upstream):
        arguments += ["--header", header]
    if not load.whole:
        arguments += ["--marker", subject.marker]
    if load.again:
        arguments.append("--again")
    if load.leave_gap_ms is not None:
        arguments += ["--leave-gap-ms", str(load.leave_gap_ms)]
    return arguments


def _ask(port: int, path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def _upstream_after(bench: Bench, load: Load, left: int) -> dict[str, Any]:
    """What the upstream saw, once it has seen every client's leaving or the limit is over."""
    end = time.monotonic() + _LEAVE_LIMIT_S
    said = _ask(bench.upstream, "/stats")
    while load.kind == "leave" and len(said["left_at"]) < left and time.monotonic() < end:
        time.sleep(0.05)
        said = _ask(bench.upstream, "/stats")
    return said


def _figures(load: Load, result: dict[str, Any], upstream: dict[str, Any]) -> Figures:
    window = result["window"]
    seconds, cpu = window["seconds"], window["subject_s"]
    load_cpu = window["upstream_s"] + window["client_s"]
    figures: Figures = {
        "subject_busy": cpu / seconds,
        "load_busy": load_cpu / seconds,
        "load_core_busy": window["core_s"][LOAD_CORE] / seconds,
        "foreign_busy": max(0.0, window["core_s"][SUBJECT_CORE] - cpu) / seconds,
        "load_foreign_busy": max(0.0, window["core_s"][LOAD_CORE] - load_cpu) / seconds,
        "failed": sum(result["failed"].values()) + result["unfinished"],
        "ok": result["ok"],
        "held": result["held"],
    }
    if load.kind in ("steady", "flood"):
        figures["events_s"] = result["events"] / seconds
        figures["cpu_us_event"] = cpu * 1e6 / max(result["events"], 1)
        if result["events"] > _EVENTS_FOR_TICKS:
            figures["kernel_us_event"] = window["subject_kernel_s"] * 1e6 / result["events"]
    if load.kind == "replies":
        figures["replies_s"] = result["replies"] / seconds
        figures["cpu_us_reply"] = cpu * 1e6 / max(result["replies"], 1)
        figures |= _percentiles("reply", result["reply_us"])
    if load.kind == "steady":
        figures |= _percentiles("delay", result["delay_us"]) | _percentiles("first", result["first_us"])
    if load.kind == "idle":
        figures["kb_stream"] = (window["resident"] - result["resident_before"]) / 1024 / load.streams
        figures["resident_mb"] = result["resident_before"] / 1024 / 1024
        figures["cpu_percent"] = 100 * cpu / seconds
    if load.kind == "leave":
        figures |= _leaving(result["left_at"], upstream["left_at"])
    return figures


_OF_A_PROCESS = frozenset(
    {"cpu_us_event", "kernel_us_event", "cpu_us_reply", "kb_stream", "resident_mb", "cpu_percent"}
)


def _percentiles(name: str, histogram: dict[str, float] | None) -> Figures:
    return {} if histogram is None else {f"{name}_{part}_us": histogram[part] for part in ("p50", "p99", "p999")}


def _leaving(left: dict[str, int], noticed: dict[str, int]) -> Figures:
    """Milliseconds from a client's close to the moment its upstream saw the connection close."""
    waits = [(noticed[number] - at) / 1e6 for number, at in left.items() if number in noticed]
    figures: Figures = {"noticed": len(waits), "never_noticed": len(left) - len(waits)}
    if waits:
        figures |= {"close_p50_ms": statistics.median(waits), "close_max_ms": max(waits)}
    return figures
