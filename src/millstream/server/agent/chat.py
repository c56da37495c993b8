"""``/mcp/chat``: a chat whose tools run here, as agent events while it happens, or whole."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from millstream.agent.exchange import Agent
from millstream.agent.run import AgentRun
from millstream.core import run_events as app
from millstream.core.assemble import error_of
from millstream.core.errors import GatewayBug, MillstreamError, UpstreamFault
from millstream.core.events import Fault
from millstream.dialects.agent_events import NAME, AgentEvents
from millstream.dialects.chat_events import ChatErrors
from millstream.pipeline import End, Gateway, Record
from millstream.policy.caller import Owner
from millstream.server.agent.asking import AgentAsk, read_as
from millstream.server.connection import connection_of
from millstream.server.deliver import ClientGone, Delivery, Pulse
from millstream.server.model_api import Deliveries
from millstream.server.plain.asking import Ask, request_of
from millstream.server.plain.compress import choose
from millstream.server.request_log import log_request
from millstream.server.runs.following import follow
from millstream.server.runs.manager import Runs
from millstream.server.runs.reader import Reader
from millstream.server.runs.run import Producer, Run, RunAbout, RunSink
from millstream.server.wire import encode_headers, header_map, query_map, read_body
from millstream.sessions.base import StoreError
from millstream.telemetry import logs

RUN_HEADER = "x-millstream-run"


class AgentChat:
    """An ASGI application: ``POST`` begins a run, ``GET`` with its id says it again and goes on.

    A run ends when its last reader leaves, unless it waits for an approval: then it goes on waiting.
    """

    def __init__(
        self,
        gateway: Gateway,
        agent: Agent,
        runs: Runs,
        deliveries: Deliveries,
        owner: Owner,
        pulse: Pulse,
        max_body: int,
        *,
        compress: bool,
    ) -> None:
        self._gateway = gateway
        self._agent = agent
        self._runs = runs
        self._deliveries = deliveries
        self._owner = owner
        self._pulse = pulse
        self._max_body = max_body
        self._compress = compress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        delivery = Delivery(receive, send, self._pulse, connection_of(scope))
        try:
            await self._serve(scope, receive, delivery)
        except ClientGone:
            return
        except MillstreamError as error:
            await _refuse(delivery, error)
        except StoreError as error:
            await _refuse(delivery, UpstreamFault(f"the journal cannot be reached: {error}", status=503))
        except Exception as error:
            logs.logger.error("an agent's stream failed", exc_info=error)
            await _refuse(delivery, GatewayBug("an internal error; the gateway's log has it"))

    async def _serve(self, scope: Scope, receive: Receive, delivery: Delivery) -> None:
        headers = header_map(scope)
        if scope["method"] == "POST":
            ask = read_as(AgentAsk, await read_body(scope, receive, self._max_body))
            run_id = self._runs.new_id()
            await self._begin(ask, run_id)
            accumulated = ask.accumulated
        else:
            run_id = scope["path_params"]["run_id"]
            accumulated = query_map(scope).get("accumulated", "true") != "false"
        reader = await self._runs.open(run_id, self._owner())
        if reader is None:
            raise GatewayBug(f"run {run_id} has no events")
        with closing(reader):
            if scope["path"].endswith("/chat"):
                await delivery.attend(lambda: self._whole(reader, run_id, delivery))
            else:
                await self._follow(reader, run_id, delivery, headers, accumulated=accumulated)

    async def _follow(
        self, reader: Reader, run_id: str, delivery: Delivery, headers: Mapping[str, str], *, accumulated: bool
    ) -> None:
        encoder = choose(headers) if self._compress else None
        if not reader.here:
            self._deliveries.add(delivery)
        try:
            events = AgentEvents(accumulated=accumulated)
            await follow(reader, events, delivery, {RUN_HEADER: run_id}, encoder=encoder)
        finally:
            self._deliveries.discard(delivery)

    async def _whole(self, reader: Reader, run_id: str, delivery: Delivery) -> None:
        events = AgentEvents(accumulated=False)
        said: list[dict[str, Any]] = []
        while entries := await reader.next():
            said += events.objects(entries)
            for entry in entries:
                if isinstance(entry.event, Fault):
                    raise error_of(entry.event)
        start, end = said[0], said[-1]
        about = {name: start[name] for name in ("session_id", "run_id", "model")}
        results = [{k: v for k, v in one.items() if k != "type"} for one in said if one["type"] == "tool_result"]
        body = msgspec.json.encode({**end, **about, "tool_results": results})
        headers = {"content-type": "application/json", RUN_HEADER: run_id}
        await delivery.respond(200, encode_headers(headers), body)

    async def _begin(self, ask: AgentAsk, run_id: str) -> None:
        """Raises ``MillstreamError``."""
        gateway, agent = self._gateway, self._agent
        plain = Ask(ask.query, ask.messages, ask.model, ask.system, ask.session_id, ask.max_tokens)
        request = request_of(plain, gateway.routes.default, gateway.dialects["openai_chat"])
        if gateway.meter is not None:
            await gateway.meter.expect()
        record = Record(run_id, NAME, model=request.model, stream=True)
        most = agent.options.max_iterations
        options = replace(
            agent.options,
            max_iterations=min(ask.max_iterations or most, most),
            tools=ask.tools,
            session_id=ask.session_id,
        )
        run = AgentRun(gateway, agent.toolbox, options, request, record, approvals=agent.approvals)
        model = record.route.name if record.route is not None else request.model
        about = RunAbout("", self._owner(), "agent", model, ask.session_id)
        await self._runs.start(run_id, about, self._producer(run, record), on_disconnect="cancel")

    def _producer(self, run: AgentRun, record: Record) -> Producer:
        began = self._gateway.now()

        async def produce(sink: RunSink) -> None:
            end: End = "failed"
            try:
                await run.run(_Pausing(sink))
                end = "finished" if record.error is None else "failed"
            except BaseException as error:
                end = "failed" if isinstance(error, Exception) else "cancelled"
                raise
            finally:
                log_request(self._gateway, record, 200, end, began)

        return produce


class _Pausing:
    """Keeps a run from ending with its last reader while somebody is asked."""

    def __init__(self, sink: RunSink) -> None:
        self._sink = sink
        self._open: set[str] = set()

    def take(self, events: Sequence[app.RunEvent]) -> Awaitable[None] | None:
        for event in events:
            if isinstance(event, app.ApprovalAsked):
                self._open.add(event.id)
            elif isinstance(event, app.ApprovalGiven):
                self._open.discard(event.id)
        if isinstance(self._sink, Run):
            self._sink.on_disconnect = "detach" if self._open else "cancel"
        return self._sink.take(events)


async def _refuse(delivery: Delivery, error: MillstreamError) -> None:
    if delivery.started:
        await delivery.end()
        return
    reply = ChatErrors().render_error(error)
    await delivery.respond(reply.status, encode_headers(reply.headers), reply.body)
