"""An upstream that plays scenarios and recordings: for demonstrations, and for people to test their own apps with.

``Player`` decides what a request gets, as a list of steps; ``ReplayTransport`` takes the steps inside this process,
``testing.replay_server`` on a real socket.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from millstream.core import events as ev
from millstream.core.assemble import events_of
from millstream.core.errors import ClientFault, Kind, UpstreamFault
from millstream.core.messages import Choice, Opaque, Part, ReasoningPart, Reply, Request, TextPart, ToolCallPart, Usage
from millstream.dialects.base import ClientCall, Dialect, Headers, ReplyContext, UpstreamRequest
from millstream.providers.scenario import (
    Fault,
    Pace,
    Scenario,
    ScenarioError,
    ScriptedReply,
    applies,
    load,
    pieces_of,
)

_FRAME = re.compile(rb".*?(?:\r?\n\r?\n|\Z)", re.DOTALL)
_CREATED = 1_700_000_000
_MAX_RECEIVED = 1000
_SUFFIXES = (".toml", ".json", ".sse", "")


@dataclass(frozen=True, slots=True)
class Wait:
    """``seconds`` None: for ever."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """``reset`` tears the connection, ``cut`` ends the response properly in the middle of what it had to say."""

    how: Literal["complete", "cut", "reset"]


Step = Wait | Send | End


@dataclass(frozen=True, slots=True)
class Play:
    """What one request gets. ``refused``: the connection closes before any answer."""

    status: int
    headers: dict[str, str]
    steps: tuple[Step, ...]
    head_wait: float = 0.0
    refused: bool = False


@dataclass
class Player:
    """One scenario being played. ``received`` keeps the requests, newest last, up to a thousand."""

    scenario: Scenario
    folder: Path | None = None
    received: list[bytes] = field(default_factory=list)
    _answered: dict[int, int] = field(default_factory=dict)
    _requests: int = 0

    def play(self, dialect: Dialect, call: ClientCall) -> Play:
        """The next reply that applies to ``call``. Raises ``ClientFault`` if none does."""
        self.received.append(call.body)
        del self.received[:-_MAX_RECEIVED]
        self._requests += 1
        number, reply = self._choose(call)
        self._answered[number] = self._answered.get(number, 0) + 1
        fault = reply.fault
        if fault is not None and fault.times is not None and self._answered[number] > fault.times:
            fault = None
        if fault is not None and fault.kind in ("status", "refuse"):
            return _refusal(fault, dialect)
        pace = reply.pace or self.scenario.pace
        request = _understood(dialect, call)
        events, stream = self._content(reply, dialect, request)
        kind = reply.content_type or (dialect.stream_content_type if stream else "application/json")
        cut = reply.pieces or self.scenario.pieces
        steps = tuple(_steps(_faulty(events, fault, dialect, request), pace, fault, cut if stream else "whole"))
        return Play(200, {"content-type": kind, **reply.headers}, steps, pace.head_ms / 1000)

    def _choose(self, call: ClientCall) -> tuple[int, ScriptedReply]:
        for number, reply in enumerate(self.scenario.replies):
            spent = reply.times is not None and self._answered.get(number, 0) >= reply.times
            if not spent and applies(reply.when, call.body, self._requests):
                return number, reply
        message = f"the scenario has no reply for request {self._requests}: add one whose `when` applies"
        raise ClientFault(message, Kind.NOT_FOUND)

    def _content(self, reply: ScriptedReply, dialect: Dialect, request: Request) -> tuple[list[bytes], bool]:
        """The reply's frames, and whether they are a stream."""
        raw = reply.raw.encode() if reply.raw is not None else None
        if reply.file is not None:
            raw = _inside(self.folder, reply.file).read_bytes()
        if raw is not None:
            whole = raw.lstrip().startswith(b"{")
            return ([raw] if whole else [frame for frame in _FRAME.findall(raw) if frame]), not whole
        context = ReplyContext(f"replay-{self._requests}", _CREATED, request)
        answer = _reply(reply, self.scenario.model, f"replay-{self._requests}")
        if not request.stream:
            return [dialect.render_reply(answer, context)], False
        renderer = dialect.renderer(context)
        frames = [renderer.render([event]) for event in _spread(events_of(answer), reply.words)]
        return [frame for frame in frames if frame], True


class ReplayReply:
    """Implements ``providers.base.Reply``."""

    def __init__(self, play: Play) -> None:
        self.status = play.status
        self.headers: Headers = play.headers
        self._steps = iter(play.steps)
        self._closed = asyncio.Event()

    async def read(self) -> bytes:
        for step in self._steps:
            match step:
                case Send():
                    return step.data
                case Wait():
                    await self._wait(step.seconds)
                case End(how="reset"):
                    raise UpstreamFault("replay broke off its answer (the scenario says so)", Kind.TRUNCATED)
                case End():
                    return b""
        return b""

    async def read_all(self, limit: int) -> bytes:
        body = b""
        while data := await self.read():
            body += data
            if len(body) > limit:
                raise UpstreamFault(f"replay's answer is longer than {limit} bytes", Kind.MALFORMED)
        return body

    def close(self) -> None:
        self._steps = iter(())
        self._closed.set()

    async def _wait(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return


class ReplayTransport:
    """``replay/NAME``: the scenario or recording NAME of ``folder``, or of those that come with millstream.

    Implements ``providers.base.Transport``. ``dialect`` is the one the provider is configured to speak.
    """

    def __init__(self, dialect: Dialect, folder: Path | None) -> None:
        self._dialect = dialect
        self._folder = folder
        self._players: dict[str, Player] = {}

    async def open(self, request: UpstreamRequest, *, stream: bool) -> ReplayReply:
        """Raises ``UpstreamFault``: NOT_FOUND for a name that is not there, UNREACHABLE where a scenario says so."""
        call = ClientCall(request.body, request.headers, stream=stream)
        try:
            play = self._player(self._dialect.peek(call).model).play(self._dialect, call)
        except ScenarioError as error:
            raise UpstreamFault(str(error), Kind.NOT_FOUND) from error
        except ClientFault as error:
            raise UpstreamFault(error.message, error.kind) from error
        if play.refused:
            raise UpstreamFault("replay refused the connection (the scenario says so)", Kind.UNREACHABLE)
        await asyncio.sleep(play.head_wait)
        return ReplayReply(play)

    async def aclose(self) -> None:
        self._players.clear()

    def _player(self, name: str) -> Player:
        if name not in self._players:
            path = find(name, self._folder)
            self._players[name] = Player(load(path), path.parent)
        return self._players[name]


def find(name: str, folder: Path | None) -> Path:
    """The file NAME stands for, with or without its suffix. Raises ``ScenarioError`` that lists what there is."""
    shipped = Path(str(resources.files("millstream.providers").joinpath("scenarios")))
    for place in [folder, shipped] if folder is not None else [shipped]:
        for suffix in _SUFFIXES:
            path = place / f"{name}{suffix}"
            if path.exists() and path.resolve().is_relative_to(place.resolve()):
                return path
    there = sorted({path.stem for place in (folder, shipped) if place is not None for path in place.glob("*")})
    where = f"in {folder}" if folder is not None else "here (replay.folder is not set)"
    raise ScenarioError(f"no scenario or recording {name!r} {where}; there are {', '.join(there)}")


def _inside(folder: Path | None, name: str) -> Path:
    """A file a scenario names, which may not lead out of its folder."""
    path = (folder or Path()) / name
    if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
        raise ScenarioError(f"file {name!r} is outside of the scenario's folder")
    if not path.is_file():
        raise ScenarioError(f"there is no file {name!r} beside the scenario")
    return path


def _refusal(fault: Fault, dialect: Dialect) -> Play:
    if fault.kind == "refuse":
        return Play(0, {}, (), refused=True)
    error = UpstreamFault(f"scripted failure with status {fault.status}", status=fault.status)
    body = fault.body.encode() if fault.body is not None else dialect.render_error(error).body
    headers = {"content-type": "application/json", **fault.headers}
    if fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:g}"
    return Play(fault.status, headers, (Send(body), End("complete")))


def _understood(dialect: Dialect, call: ClientCall) -> Request:
    """The request, for what its reply depends on; a body only the real API could judge still gets its reply."""
    try:
        return dialect.parse_request(call)
    except ClientFault:
        envelope = dialect.peek(call)
        return Request(origin=dialect.name, model=envelope.model, messages=(), stream=envelope.stream)


def _reply(reply: ScriptedReply, model: str, reply_id: str) -> Reply:
    parts: list[Part] = []
    if reply.reasoning is not None:
        signature = Opaque("anthropic", reply.signature) if reply.signature else None
        parts.append(ReasoningPart(reply.reasoning, signature=signature))
    if reply.text is not None:
        parts.append(TextPart(reply.text))
    for number, call in enumerate(reply.tool_calls):
        arguments = call.arguments if isinstance(call.arguments, str) else msgspec.json.encode(call.arguments).decode()
        parts.append(ToolCallPart(call.id or f"call_{reply_id}_{number}", call.name, arguments))
    reason = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
    usage = msgspec.convert(msgspec.to_builtins(reply.usage), Usage)
    return Reply(reply_id, model, (Choice(tuple(parts), reason),), usage, _CREATED)


def _spread(events: list[ev.Event], words: int) -> Iterator[ev.Event]:
    """Each whole delta in pieces of some words, as a model would write it."""
    for event in events:
        match event:
            case ev.TextDelta() | ev.ReasoningDelta():
                found = re.findall(r"\S*\s*", event.text)
                for start in range(0, len(found), words):
                    if piece := "".join(found[start : start + words]):
                        yield msgspec.structs.replace(event, text=piece)
            case ev.ToolCallDelta():
                for start in range(0, len(event.arguments), 12):
                    yield msgspec.structs.replace(event, arguments=event.arguments[start : start + 12])
            case _:
                yield event


def _faulty(events: list[bytes], fault: Fault | None, dialect: Dialect, request: Request) -> list[bytes]:
    """``events`` with what the fault puts in their place."""
    if fault is None:
        return events
    if fault.kind == "corrupt" and fault.after < len(events):
        return [*events[: fault.after], b"data: {corrupt\n\n", *events[fault.after + 1 :]]
    if fault.kind == "error_event":
        error = UpstreamFault(fault.body or "Overloaded", Kind.OVERLOADED)
        said = dialect.renderer(ReplyContext("replay", _CREATED, request, started=True)).render([ev.Fault.of(error)])
        return [*events[: fault.after], said]
    return events


def _steps(events: list[bytes], pace: Pace, fault: Fault | None, cut: str) -> Iterator[Step]:
    if pace.first_ms:
        yield Wait(pace.first_ms / 1000)
    ends = fault if fault is not None and fault.kind in ("cut", "reset", "stall") else None
    sent = 0
    for number, piece in enumerate(_cut(events, cut)):
        if ends is not None and ends.bytes is None and number == ends.after:
            yield from _failing(ends)
        if ends is not None and ends.bytes is not None and sent + len(piece) > ends.bytes:
            yield Send(piece[: ends.bytes - sent])
            yield from _failing(ends)
        if number and pace.event_ms:
            yield Wait(pace.event_ms / 1000)
        yield Send(piece)
        sent += len(piece)
    yield End("complete")


def _failing(fault: Fault) -> Iterator[Step]:
    """A stall that has a length goes on afterwards; everything else is the end."""
    if fault.kind == "stall":
        yield Wait(fault.seconds)
        if fault.seconds is not None:
            return
    yield End("reset" if fault.kind == "reset" else "cut")


def _cut(events: list[bytes], how: str) -> list[bytes]:
    kind, number = pieces_of(how)
    if kind == "events":
        return events
    data = b"".join(events)
    if kind == "whole" or not data:
        return [data] if data else []
    if kind == "bytes":
        return [data[start : start + number] for start in range(0, len(data), number)]
    chance = random.Random(number)  # noqa: S311  # reproducible, not secret
    cuts = sorted({chance.randrange(1, len(data)) for _ in range(len(events))}) if len(data) > 1 else []
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
