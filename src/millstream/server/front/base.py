"""What the endpoints of front ends share: runs with tools that go on without their readers, and answers to questions.

Pages are reloaded and networks change, so a run ends when it is asked to, not when nobody reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from starlette.types import Receive, Scope, Send

from millstream.agent.approval import Verdict
from millstream.agent.exchange import Agent
from millstream.agent.run import AgentRun
from millstream.core.errors import ClientFault, GatewayBug, Kind, MillstreamError, UpstreamFault
from millstream.core.messages import Request
from millstream.core.run_events import RunEntry
from millstream.dialects.chat_events import ChatErrors
from millstream.pipeline import End, Gateway, Record
from millstream.policy.caller import Owner
from millstream.server.connection import connection_of
from millstream.server.deliver import ClientGone, Delivery, Pulse
from millstream.server.model_api import Deliveries
from millstream.server.plain.compress import choose
from millstream.server.plain.names import Names
from millstream.server.request_log import log_request
from millstream.server.runs.following import follow
from millstream.server.runs.manager import RunExists, Runs
from millstream.server.runs.reader import Reader
from millstream.server.runs.run import Producer, RunAbout, RunSink
from millstream.server.wire import encode_headers
from millstream.sessions.base import StoreError
from millstream.telemetry import logs

RUN_HEADER = "x-millstream-run"


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
    names: Names
    pulse: Pulse
    max_body: int
    compress: bool
    version: int = 6

    async def begin(self, request: Request, run_id: str, surface: str, session_id: str | None) -> bool:
        """Begin the run, or find that it was begun before: then false. Raises ``MillstreamError``."""
        agent = self.agent
        record = Record(run_id, surface, model=request.model, stream=True)
        options = replace(agent.options, session_id=session_id)
        run = AgentRun(self.gateway, agent.toolbox, options, request, record, approvals=agent.approvals)
        model = record.route.name if record.route is not None else request.model
        about = RunAbout("", self.owner(), surface, model, session_id)
        try:
            await self.runs.start(run_id, about, self._producer(run, record), on_disconnect="detach")
        except RunExists:
            return False
        return True

    def _producer(self, run: AgentRun, record: Record) -> Producer:
        began = self.gateway.now()

        async def produce(sink: RunSink) -> None:
            end: End = "failed"
            try:
                await run.run(sink)
                end = "finished" if record.error is None else "failed"
            except BaseException as error:
                end = "failed" if isinstance(error, Exception) else "cancelled"
                raise
            finally:
                log_request(self.gateway, record, 200, end, began)

        return produce

    async def answer(self, run_id: str, approval: str, verdict: Verdict) -> bool:
        """False where nobody waits for it any more. Raises ``ClientFault`` (404) for a run that is not there, or not
        the caller's."""
        await self.runs.info(run_id, self.owner())
        return bool(self.agent.approvals.give(run_id, approval, verdict))

    def is_open(self, run_id: str, approval: str) -> bool:
        return any(asked.id == approval for asked in self.agent.approvals.pending(run_id) if not asked.answer.done())

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
        reader = await self.runs.open(run_id, self.owner())
        if reader is None:
            raise GatewayBug(f"run {run_id} has no events")
        return reader

    async def follow(
        self, reader: Reader, view: View, delivery: Delivery, headers: Mapping[str, str], asked: Mapping[str, str]
    ) -> None:
        """``headers`` are the response's, ``asked`` the request's."""
        encoder = choose(asked) if self.compress else None
        if not reader.here:
            self.deliveries.add(delivery)
        try:
            await follow(Part(reader, view), view, delivery, headers, encoder=encoder)
        finally:
            self.deliveries.discard(delivery)


class FrontEndpoint:
    """An ASGI application. Subclasses say ``serve``."""

    def __init__(self, fronts: Fronts) -> None:
        self.fronts = fronts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(receive, send, self.fronts.pulse, connection_of(scope))
        try:
            await self.serve(scope, receive, delivery)
        except ClientGone:
            return
        except MillstreamError as error:
            await _refuse(delivery, error)
        except StoreError as error:
            await _refuse(delivery, UpstreamFault(f"the journal cannot be reached: {error}", status=503))
        except Exception as error:
            logs.logger.error("a front end's stream failed", exc_info=error)
            await _refuse(delivery, GatewayBug("an internal error; the gateway's log has it"))

    async def serve(self, scope: Scope, receive: Receive, delivery: Delivery) -> None:
        raise NotImplementedError


async def no_content(delivery: Delivery) -> None:
    await delivery.respond(204, [], b"")


async def _refuse(delivery: Delivery, error: MillstreamError) -> None:
    if delivery.started:
        await delivery.end()
        return
    reply = ChatErrors().render_error(error)
    await delivery.respond(reply.status, encode_headers(reply.headers), reply.body)
