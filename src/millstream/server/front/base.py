"""What the endpoints of front ends share: runs with tools that go on without their readers, and answers to questions.

Pages are reloaded and networks change, so a run ends when it is asked to, not when nobody reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from millstream.agent.approval import Verdict
from millstream.agent.exchange import Agent
from millstream.agent.run import AgentRun
from millstream.core.errors import ClientFault, Kind, MillstreamError
from millstream.core.messages import Request
from millstream.core.run_events import RunEntry
from millstream.pipeline import Gateway, Record
from millstream.policy.caller import Owner
from millstream.server.agent.reviving import asked_of
from millstream.server.deliver import Delivery, Pulse
from millstream.server.model_api import Deliveries
from millstream.server.plain.names import Names
from millstream.server.runs.endpoint import RunEndpoint, logged, may_begin
from millstream.server.runs.manager import RunExists, Runs
from millstream.server.runs.questions import Questions
from millstream.server.runs.reader import Reader
from millstream.server.runs.run import RunAbout, notes_of
from millstream.sessions.base import StoreError
from millstream.telemetry import logs


class View(Protocol):
    """A renderer of a part of a run."""

    paused: bool

    def render(self, entries: Sequence[RunEntry]) -> bytes: ...

    def keepalive(self) -> bytes: ...

    def failure(self, error: MillstreamError) -> bytes: ...


class Part:
    """What ``reader`` reads until ``view`` has its part."""

    def __init__(self, reader: Reader, view: View) -> None:
        self._reader = reader
        self._view = view

    async def next(self) -> Sequence[RunEntry]:
        return () if self._view.paused else await self._reader.next()


@dataclass(frozen=True, slots=True)
class Fronts:
    """What a front end's endpoint works with. ``owner`` is whose the runs are."""

    gateway: Gateway
    agent: Agent
    runs: Runs
    deliveries: Deliveries
    owner: Owner
    questions: Questions
    names: Names
    pulse: Pulse
    max_body: int
    compress: bool
    version: int = 6

    async def begin(
        self, request: Request, run_id: str, surface: str, session_id: str | None, *, elicits: bool = False
    ) -> bool:
        """Begin the run, or find that it was begun before: then false. ``elicits``: its tools may ask the client.

        Raises ``MillstreamError``.
        """
        agent = self.agent
        record = Record(run_id, surface, model=request.model, stream=True)
        options = replace(agent.options, session_id=session_id)
        approvals = agent.approvals
        run = AgentRun(self.gateway, agent.toolbox, options, request, record, approvals=approvals, elicits=elicits)
        if not await may_begin(self.gateway, self.runs, run_id, self.owner()):
            return False
        model = record.route.name if record.route is not None else request.model
        about = RunAbout("", self.owner(), surface, model, session_id)
        try:
            producer = logged(self.gateway, lambda sink: run.run(sink, notes_of(sink)), record)
            asked = asked_of(run, options, elicits=elicits)
            await self.runs.start(run_id, about, producer, on_disconnect="detach", asked=asked)
        except RunExists:
            return False
        return True

    async def answer(self, run_id: str, approval: str, verdict: Verdict) -> bool:
        """False where nobody waits for it any more. Raises ``ClientFault``: 404 for a run that is not there, or not the
        caller's; 400 where more is asked for than ``verdict`` gives."""
        await self.runs.info(run_id, self.owner())
        return bool(await self.questions.give(run_id, approval, verdict))

    async def name(self, name: str, value: str) -> None:
        try:
            await self.names.give(name, value)
        except StoreError as error:  # it can be resumed by its run's id, if by anything
            logs.logger.warning("%s keeps no name: %s", value, error)

    async def named(self, name: str) -> str | None:
        try:
            return await self.names.find(name)
        except ClientFault as fault:
            if fault.kind is not Kind.NOT_FOUND:
                raise
            return None

    async def open(self, run_id: str) -> Reader:
        """From its beginning. Raises ``ClientFault`` (404)."""
        return await self.runs.read(run_id, self.owner())


class FrontEndpoint(RunEndpoint):
    """For the client of one protocol."""

    about = "a front end's stream"

    def __init__(self, fronts: Fronts) -> None:
        super().__init__(fronts.deliveries, fronts.pulse, compress=fronts.compress)
        self.fronts = fronts

    async def say(
        self, reader: Reader, view: View, delivery: Delivery, asked: Mapping[str, str], told: Mapping[str, str]
    ) -> None:
        """What ``view`` has its part in. ``asked`` are the request's headers, ``told`` the response's."""
        await self.follow(reader, view, delivery, asked, told, part=Part(reader, view))


async def no_content(delivery: Delivery) -> None:
    await delivery.respond(204, [], b"")
