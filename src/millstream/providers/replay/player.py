"""One scenario being played: a request in, the plan of its answer out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from millstream.core.errors import ClientFault, Kind, UpstreamFault, kind_of_status
from millstream.core.messages import Request
from millstream.dialects.base import ClientCall, Dialect, Headers
from millstream.providers.replay.content import Content, Speaker
from millstream.providers.replay.plan import REFUSED, Plan, at_speed, lay_out
from millstream.providers.replay.reading import ScenarioError
from millstream.providers.replay.recording import Recording, read_recording, recorded_text
from millstream.providers.replay.scenario import (
    AnyFault,
    ErrorEventFault,
    RefuseFault,
    Scenario,
    ScriptedReply,
    StatusFault,
)
from millstream.providers.replay.selection import Asked, Selection, last_role

MAX_KEPT = 1000


@dataclass(slots=True)
class Received:
    """A request as it came, and what became of it. Times are the event loop's; ``sent`` has one per event."""

    path: str
    headers: Headers
    body: bytes
    dialect: str
    at: float
    stream: bool = False
    status: int = 0
    faults: tuple[str, ...] = ()
    sent: list[float] = field(default_factory=list)
    left: float | None = None
    """When it was noticed that the client had gone before the end of its answer."""


class Player:
    """Plays one scenario to any number of clients. ``received`` keeps the last thousand requests."""

    def __init__(
        self,
        scenario: Scenario,
        folder: Path,
        dialects: Mapping[str, Dialect],
        now: Callable[[], float],
        *,
        speed: float = 1.0,
    ) -> None:
        """``folder`` is where the scenario's files are; ``now`` is the event loop's time."""
        self.scenario = scenario
        self.received: deque[Received] = deque(maxlen=MAX_KEPT)
        self._folder = folder
        self._dialects = dialects
        self._now = now
        self._speed = speed
        self._selection = Selection(scenario)
        self._recordings: dict[Path, Recording] = {}

    def play(self, dialect: Dialect, call: ClientCall, path: str = "") -> tuple[Plan, Received]:
        """What answers ``call``. Raises ``ClientFault`` if its dialect's real API would refuse it or no reply applies,
        and ``ScenarioError`` if a file the reply needs cannot be used."""
        received = Received(path, call.headers, call.body, dialect.name, self._now())
        self.received.append(received)
        self._selection.requests += 1
        number = self._selection.requests
        request = self._understood(dialect, call)
        chosen = self._selection.choose(Asked(request, call.body, number))
        if chosen is None:
            raise ClientFault(_unmatched(request, number), Kind.NOT_FOUND)
        script, faults = chosen
        speaker = Speaker(dialect, call, request, f"replay_{number}")
        plan = at_speed(self._plan(speaker, script, faults), self._speed)
        received.stream, received.status = request.stream, plan.status
        received.faults = tuple(str(fault.__struct_config__.tag) for fault in faults)
        return plan, received

    def _plan(self, speaker: Speaker, script: ScriptedReply, faults: tuple[AnyFault, ...]) -> Plan:
        pace = script.pace or self.scenario.pace
        pieces = script.pieces or self.scenario.pieces
        for fault in faults:
            if isinstance(fault, RefuseFault):
                return REFUSED
            if isinstance(fault, StatusFault):
                refused, headers = _refused(speaker, fault)
                return lay_out(refused, pace, "events", faults, headers)
        content = _broken_off(self._content(speaker, script), speaker, faults)
        headers = {name.lower(): value for name, value in script.headers.items()}
        if script.content_type is not None:
            headers["content-type"] = script.content_type
        return lay_out(content, pace, pieces, faults, headers)

    def _content(self, speaker: Speaker, script: ScriptedReply) -> Content:
        if script.raw is not None:
            recording = recorded_text(script.raw, self.scenario.dialect)
        elif script.file is not None:
            recording = self._recording(script.file)
        else:
            return speaker.say(script, self.scenario.model)
        name = recording.dialect or speaker.dialect.name
        source = self._dialects.get(name)
        if source is None:
            raise ScenarioError(f"{script.file or 'raw'}: no dialect {name!r}; there are {', '.join(self._dialects)}")
        return speaker.play(recording, source)

    def _recording(self, name: str) -> Recording:
        path = self._folder / name
        if path not in self._recordings:
            self._recordings[path] = read_recording(path, self.scenario.dialect)
        return self._recordings[path]

    def _understood(self, dialect: Dialect, call: ClientCall) -> Request:
        try:
            return dialect.parse_request(call)
        except ClientFault:
            if self.scenario.strict:
                raise
        envelope = dialect.peek(call)
        return Request(origin=dialect.name, model=envelope.model, messages=(), stream=envelope.stream)


def _refused(speaker: Speaker, fault: StatusFault) -> tuple[Content, dict[str, str]]:
    error = UpstreamFault("the scenario says so", kind_of_status(fault.status), status=fault.status)
    content = speaker.refuse(error)
    headers = {name.lower(): value for name, value in fault.headers.items()}
    if fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:g}"
    return content.as_error(fault.status, fault.body), headers


def _broken_off(content: Content, speaker: Speaker, faults: tuple[AnyFault, ...]) -> Content:
    """``content`` up to an error event, if there is to be one. A whole body becomes a refusal."""
    fault = next((fault for fault in faults if isinstance(fault, ErrorEventFault)), None)
    if fault is None:
        return content
    error = UpstreamFault(fault.message, kind_of_status(fault.status), status=fault.status)
    if not speaker.request.stream:
        return speaker.refuse(error)
    return content.with_events((*content.events[: fault.after], speaker.fail(error)))


def _unmatched(request: Request, number: int) -> str:
    tools = ", ".join(tool.name for tool in request.tools) or "none"
    return (
        f"the scenario has no reply for request {number} (last role {last_role(request)}, "
        f"{'stream' if request.stream else 'whole'}, tools: {tools}): add one whose `when` applies"
    )
