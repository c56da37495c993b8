"""``/mcp/chat``: a chat whose tools run here, as agent events while it happens, or whole."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import msgspec
from starlette.types import Receive, Scope

from millstream.agent.exchange import Agent
from millstream.agent.run import AgentRun
from millstream.core import run_events as app
from millstream.core.assemble import error_of
from millstream.core.events import Fault
from millstream.dialects.agent_events import NAME, AgentEvents
from millstream.pipeline import Gateway, Record
from millstream.policy.caller import Owner
from millstream.server.agent.asking import AgentAsk, read_as
from millstream.server.agent.reviving import asked_of
from millstream.server.deliver import Delivery, Pulse
from millstream.server.model_api import Deliveries
from millstream.server.plain.asking import Ask, request_of
from millstream.server.runs.endpoint import RUN_HEADER, RunEndpoint, logged
from millstream.server.runs.manager import Runs
from millstream.server.runs.reader import Reader
from millstream.server.runs.run import Run, RunAbout, RunSink, notes_of
from millstream.server.wire import encode_headers, query_map, read_body


class AgentChat(RunEndpoint):
    """``POST`` begins a run, ``GET`` with its id says it again and goes on.

    A run ends when its last reader leaves, unless it waits for an approval: then it goes on waiting.
    """

    about = "an agent's stream"

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
        super().__init__(deliveries, pulse, compress=compress)
        self._gateway = gateway
        self._agent = agent
        self._runs = runs
        self._owner = owner
        self._max_body = max_body

    async def serve(self, scope: Scope, receive: Receive, delivery: Delivery, headers: Mapping[str, str]) -> None:
        if scope["method"] == "POST":
            ask = read_as(AgentAsk, await read_body(scope, receive, self._max_body))
            run_id = self._runs.new_id()
            await self._begin(ask, run_id)
            accumulated = ask.accumulated
        else:
            run_id = scope["path_params"]["run_id"]
            accumulated = query_map(scope).get("accumulated", "true") != "false"
        with closing(await self._runs.read(run_id, self._owner())) as reader:
            if scope["path"].endswith("/chat"):
                await delivery.attend(lambda: self._whole(reader, run_id, delivery))
            else:
                events = AgentEvents(accumulated=accumulated)
                await self.follow(reader, events, delivery, headers, {RUN_HEADER: run_id})

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
        producer = logged(gateway, lambda sink: run.run(_Pausing(sink), notes_of(sink)), record)
        await self._runs.start(run_id, about, producer, on_disconnect="cancel", asked=asked_of(run, options))


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
