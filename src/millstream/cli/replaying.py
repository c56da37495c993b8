"""What ``replay`` does: lay out a reply in time, then show it, print its bytes, or serve it."""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import structs

from millstream.cli import child
from millstream.cli.chat import terminal
from millstream.cli.chat.clean import Cleaner
from millstream.cli.chat.meter import Meter
from millstream.cli.chat.showing import Showing
from millstream.cli.chat.view import View
from millstream.cli.kept_runs import kept_run
from millstream.config import ConfigError
from millstream.core.errors import ClientFault, MillstreamError
from millstream.core.events import Fault
from millstream.core.messages import Message, Request, TextPart
from millstream.core.run_events import RunEvent
from millstream.dialects.base import Dialect, Target
from millstream.providers.replay.library import load
from millstream.providers.replay.plan import Plan
from millstream.providers.replay.player import Player
from millstream.providers.replay.reading import ScenarioError
from millstream.providers.replay.recording import is_recording, read_recording
from millstream.providers.replay.scenario import Pace, Scenario
from millstream.providers.replay.server import serving
from millstream.providers.replay.transport import call_of
from millstream.registry import dialects

PER_SECOND = 50.0
"""Events per second of a recording that does not say when its own came."""

EXIT_FAILED = 1
EXIT_STOPPED = 130
_TICK = 0.1
_SPOKEN = "openai_chat"
"""The dialect of what has none of its own."""

Timed = Iterator[tuple[float, Sequence[RunEvent]]]
"""When, in seconds from the question, what came. What is kept elsewhere than in files is shown the same way."""


def show(source: Path, question: str, speed: float, *, plain: bool) -> int:
    """On the screen, as ``chat`` shows an answer. Raises ``ConfigError`` for what cannot be played."""
    scenario, own = _read(source)
    dialect = dialects()[own or _SPOKEN]
    plan = _plan(scenario, source, dialect, question)
    make, _ = terminal.plain() if plain or not terminal.can_paint() else terminal.painted()
    return show_events(_events(plan, dialect), speed, make())


def show_run(url: str, key: str | None, run_id: str, speed: float, *, plain: bool) -> int:
    """A run that the gateway at ``url`` keeps, on the screen. Raises ``TyperException`` if there is none."""
    timed = kept_run(url, key, run_id)
    first = next(timed, (0.0, ()))
    make, _ = terminal.plain() if plain or not terminal.can_paint() else terminal.painted()
    return show_events(itertools.chain([first], timed), speed, make())


def show_events(timed: Timed, speed: float, view: View) -> int:
    """``timed`` at ``speed``; its figures are those of the recording, however fast it is played."""
    showing, meter = Showing(view), Meter(0.0)
    began = time.monotonic()
    status = 0
    try:
        for at, events in timed:
            if math.isinf(at):
                view.fail("here it stalls for ever")
                status = EXIT_FAILED
                break
            while (left := began + at / speed - time.monotonic()) > 0:
                if meter.first is None:
                    view.waiting((time.monotonic() - began) * speed)
                view.refresh()
                time.sleep(min(left, _TICK))
            showing.take(events)
            for event in events:
                meter.take(at, event)
            view.refresh()
    except KeyboardInterrupt:
        view.note("(stopped)", "yellow")
        status = EXIT_STOPPED
    if showing.fault is not None:
        view.fail(showing.fault.message)
        status = EXIT_FAILED
    view.end(meter.facts(None, ""))
    return status


def print_stream(source: Path, name: str, question: str, speed: float) -> int:
    """The bytes, in the words of the dialect ``name``, to standard output when they are due."""
    scenario, _ = _read(source)
    plan = _plan(scenario, source, dialects()[name], question)
    began = time.monotonic()
    cleaner = Cleaner() if sys.stdout.isatty() else None
    for send in plan.sends:
        if math.isinf(plan.head_at + send.at):
            return EXIT_FAILED
        time.sleep(max(0.0, began + (plan.head_at + send.at) / speed - time.monotonic()))
        # A terminal is spared what it would obey; whoever reads a pipe gets every byte.
        data = send.data if cleaner is None else cleaner.feed(send.data.decode(errors="replace")).encode()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return 0 if plan.status < 400 and plan.end == "eof" else EXIT_FAILED


def serve(source: Path, host: str, port: int, speed: float) -> int:
    """An upstream at an address, until Ctrl-C. Its URL goes to standard output."""
    folder = source.is_dir() and not is_recording(source)
    what = source if folder else _read(source)[0]

    async def run() -> None:
        async with serving(what, dialects(), host=host, port=port, folder=source.parent, speed=speed) as server:
            sys.stdout.write(f"{server.url}\n")
            sys.stdout.flush()
            if sys.stdout.isatty():
                sys.stderr.write(f"As a base URL: {server.url}/v1 (Anthropic's and Gemini's SDKs: without /v1).\n")
            await asyncio.Event().wait()

    try:
        with child.leaving_on_signals():
            asyncio.run(run())
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    except ScenarioError as error:
        raise ConfigError(str(error)) from error
    return 0


def _read(source: Path) -> tuple[Scenario, str | None]:
    """What is at ``source``, and the dialect of its own words, if it has any."""
    if not source.exists():
        raise ConfigError(f"there is no {source}")
    try:
        scenario = load(source)
        if not is_recording(source):
            return scenario, scenario.dialect
        recording = read_recording(source)
    except ScenarioError as error:
        raise ConfigError(str(error)) from error
    if recording.dialect is not None and recording.dialect not in dialects():
        raise ConfigError(f"{source}: no dialect {recording.dialect!r} here")
    timed = recording.times is not None
    pace = Pace(recorded=True) if timed else Pace(per_second=PER_SECOND)
    return structs.replace(scenario, pace=pace), recording.dialect


def _plan(scenario: Scenario, source: Path, dialect: Dialect, question: str) -> Plan:
    """What answers ``question``."""
    request = Request(
        origin=dialect.name,
        model=scenario.model,
        messages=(Message("user", (TextPart(question),), plain=True),),
        stream=True,
        include_usage=True,
    )
    asked = dialect.render_request(request, Target(scenario.model, dialect.quirks()))
    player = Player(scenario, source.parent, dialects(), time.monotonic)
    try:
        plan, _ = player.play(dialect, call_of(asked.path, asked.headers, asked.body, stream=True))
    except (ClientFault, ScenarioError) as error:
        raise ConfigError(f"{source}: {error}") from error
    if plan.refused:
        raise ConfigError(f"{source}: refuses the connection, as it says")
    return plan


def _events(plan: Plan, dialect: Dialect) -> Timed:
    if plan.status >= 400:
        body = b"".join(send.data for send in plan.sends)
        yield plan.head_at, [Fault.of(dialect.parse_error(plan.status, plan.headers, body))]
        return
    parser = dialect.parser()
    at = plan.head_at
    try:
        for send in plan.sends:
            at = plan.head_at + send.at
            yield at, ([] if math.isinf(at) else parser.feed(send.data))
        yield plan.head_at + plan.end_at, parser.finish()
    except MillstreamError as error:
        yield at, [Fault.of(error)]
