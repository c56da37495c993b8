"""A client's request of a model API, for which tools run here: an exchange like any other, to whoever delivers it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from millstream.agent.approval import Approvals
from millstream.agent.kept import Kept
from millstream.agent.outbox import RunSink
from millstream.agent.pace import Pace, PacedSink
from millstream.agent.progress import Phrases, ReplyLane, Style
from millstream.agent.run import AgentOptions, AgentRun
from millstream.agent.toolbox import Toolbox
from millstream.continuation import can_continue
from millstream.core.assemble import Assembler
from millstream.core.errors import ClientFault
from millstream.core.events import Event, Fault, Finish
from millstream.core.messages import Request, extra_of
from millstream.core.run_events import RunEvent
from millstream.dialects.base import ClientCall, Dialect
from millstream.pipeline import Client, Exchange, Gateway, Record

TOOLS_HEADER = "x-millstream-tools"
"""Who runs tools, for this request: ``client`` or ``gateway``."""

PACE_HEADER = "x-millstream-pace"
"""How bursts of text leave, for this request: ``off``, ``word`` or ``char``."""


@dataclass(frozen=True, slots=True)
class Agent:
    """What runs of this gateway share. ``by_default``: tools run here unless a request says otherwise."""

    toolbox: Toolbox = field(default_factory=Toolbox)
    options: AgentOptions = field(default_factory=AgentOptions)
    approvals: Approvals = field(default_factory=Approvals)
    kept: Kept | None = None
    by_default: bool = False
    progress: Style = "thinking"
    phrases: Phrases = field(default_factory=Phrases)
    pace: Pace = "off"

    def exchange(self, gateway: Gateway, client: Dialect, call: ClientCall, record: Record) -> Exchange | None:
        """None where the client runs the tools, and nothing else is to be done for it.

        Raises ``ClientFault`` or ``PolicyRefusal``.
        """
        here = self.runs_tools(call)
        pace = self._pace(call)
        if here:
            return AgentExchange(gateway, client, call, record, replace(self, pace=pace))
        if pace != "off" or _goes_on(gateway, client, call):
            return AgentExchange(gateway, client, call, record, replace(_WITHOUT_TOOLS, pace=pace))
        return None

    def runs_tools(self, call: ClientCall) -> bool:
        """Whether tools run here for ``call``. Raises ``ClientFault``."""
        wanted = call.headers.get(TOOLS_HEADER)
        if wanted not in (None, "client", "gateway"):
            raise ClientFault(f"{TOOLS_HEADER}: {wanted!r} is neither client nor gateway", param=TOOLS_HEADER)
        here = self.by_default if wanted is None else wanted == "gateway"
        return here and bool(self.toolbox)

    def _pace(self, call: ClientCall) -> Pace:
        wanted = call.headers.get(PACE_HEADER)
        match wanted:
            case None:
                return self.pace
            case "off" | "word" | "char":
                return wanted
            case _:
                raise ClientFault(f"{PACE_HEADER}: {wanted!r} is none of off, word and char", param=PACE_HEADER)


_WITHOUT_TOOLS = Agent(progress="off")


def _goes_on(gateway: Gateway, client: Dialect, call: ClientCall) -> bool:
    """Whether the answer to ``call`` can be gone on with where it breaks off: then it is read as events."""
    ways = gateway.continuation
    if ways is None:
        return False
    model = client.peek(call).model
    return bool(ways.models) or can_continue(gateway, model, lambda: client.parse_request(call))


class AgentExchange(Exchange):
    """The reply of an ``AgentRun`` to a client of a model API."""

    def __init__(self, gateway: Gateway, client: Dialect, call: ClientCall, record: Record, agent: Agent) -> None:
        self._agent = agent
        super().__init__(gateway, client, call, record)

    def _prepare(self) -> None:
        agent = self._agent
        self._run = AgentRun(
            self._gateway,
            agent.toolbox,
            agent.options,
            _resolved(self.request, self._gateway.dialects[self._dialect.name], self._dialect),
            self.record,
            approvals=agent.approvals,
            kept=agent.kept,
        )

    async def stream(self, client: Client) -> None:
        """The head and the first line of progress leave at once; without lines, the head leaves with the answer's."""
        agent, record = self._agent, self.record
        lane = ReplyLane(agent.progress, agent.phrases, record.id)
        if agent.progress != "off":
            await client.start()
            opening = lane.opening(record.route.model if record.route is not None else "")
            wait = client.write(self.renderer.render(opening))
            if wait is not None:
                await wait
        sink: RunSink = _ToClient(self, lane, client)
        await self._run.run(sink if agent.pace == "off" else PacedSink(sink, agent.pace))
        if record.error is not None and not client.started:
            raise record.error
        await client.end()

    async def whole(self) -> bytes:
        """Without lines of progress: whoever waits for the whole has no use for them."""
        collected = _Collected(ReplyLane("off", self._agent.phrases, self.record.id))
        await self._run.run(collected)
        if self.record.error is not None:
            raise self.record.error
        return self._dialect.render_reply(collected.assembler.reply(), self._reply_context())

    @property
    def stream_type(self) -> str:
        return self._dialect.stream_type(self._call)

    def said(self, events: Sequence[Event]) -> bytes:
        """``events`` as the client is told them."""
        if isinstance(events[-1], Finish | Fault):
            self._end_left = True
        return self.renderer.render(events)


def _resolved(request: Request, known: Dialect, own: Dialect) -> Request:
    """``request`` without what it says of state that is held here: ``own``, the dialect of this one call, leaves no
    more to an upstream than it names, and a model call by itself goes by ``known``."""
    resolved = set(known.stateful) - set(own.stateful)
    said = extra_of(request.extra, known.name)
    if not resolved & said.keys():
        return request
    left = {name: value for name, value in said.items() if name not in resolved}
    return msgspec.structs.replace(request, extra={**(request.extra or {}), known.name: left})


class _ToClient:
    """Events of the run → what the client reads."""

    def __init__(self, exchange: AgentExchange, lane: ReplyLane, client: Client) -> None:
        self._exchange = exchange
        self._lane = lane
        self._client = client

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        said = self._lane.take(events)
        if not said:
            return None
        if not self._client.started:
            return None if isinstance(said[0], Fault) else self._begin(said)
        out = self._exchange.said(said)
        return self._client.write(out) if out else None

    async def _begin(self, said: Sequence[Event]) -> None:
        await self._client.start()
        out = self._exchange.said(said)
        if out and (wait := self._client.write(out)) is not None:
            await wait


class _Collected:
    """Events of the run, for the whole."""

    def __init__(self, lane: ReplyLane) -> None:
        self.assembler = Assembler()
        self._lane = lane

    def take(self, events: Sequence[RunEvent]) -> None:
        self.assembler.add(self._lane.take(events))
