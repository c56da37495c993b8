"""Performs what ``loop`` decides: asks the model, runs tools side by side, and says it all as one reply."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass

import msgspec

from millstream.agent.approval import Approvals
from millstream.agent.bench import Bench
from millstream.agent.kept import Kept
from millstream.agent.left import NEVER_RAN, Left, Notes
from millstream.agent.loop import (
    AskModel,
    RunTools,
    Stop,
    calls_of,
    next_step,
    offered,
    restored,
    results_message,
    without_progress,
)
from millstream.agent.outbox import Outbox, RunSink
from millstream.agent.stitch import Stitcher
from millstream.agent.subagent import PARENT, Parent
from millstream.agent.toolbox import Listing, Toolbox
from millstream.continuation import Answer, ContinuedCall, model_call
from millstream.core.errors import ClientFault, GatewayBug, MillstreamError
from millstream.core.events import Event, Fault
from millstream.core.messages import Message, Request, ToolCallPart, ToolResultPart
from millstream.core.run_events import RunEvent, Status, StepStart, Switched, ToolRunEnd, ToolRunStart
from millstream.core.seam import Seam
from millstream.pipeline import Gateway, Record

MAX_ITERATIONS = 15
EXHAUSTED = "max_iterations"
"""The ``Status`` of a run that was ended by the limit of its model calls."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """``max_iterations`` model calls at most; ``tools`` that may be used, by name, source or pattern (None: all);
    ``parallel`` calls of one turn at a time; ``approval_timeout`` in seconds."""

    max_iterations: int = MAX_ITERATIONS
    tools: tuple[str, ...] | None = None
    parallel: int = 16
    approval_timeout: float = 300.0
    session_id: str | None = None


class AgentRun:
    """A reply for which the model may be asked several times. After it is made: ``run``, once.

    With an empty toolbox it is one model call, and the client's tools are the client's.
    """

    def __init__(
        self,
        gateway: Gateway,
        toolbox: Toolbox,
        options: AgentOptions,
        request: Request,
        record: Record,
        *,
        approvals: Approvals | None = None,
        kept: Kept | None = None,
        parent: Parent | None = None,
        elicits: bool = False,
        left: Left | None = None,
    ) -> None:
        """Routes ``request``, and translates it once to see that it can be. ``approvals`` is where questions are
        answered (without it nobody can, and the answer is no); ``kept`` is where mixed turns are remembered;
        ``parent`` is the run that this one works for; ``elicits``: whoever hears of it can be asked by tools;
        ``left`` is how far another process had come with it.

        Raises ``ClientFault`` or ``PolicyRefusal``.
        """
        self.record = record
        self._gateway = gateway
        self._toolbox = toolbox
        self._options = options
        self._request = request
        self._kept = kept
        self._run_id = record.id if parent is None else parent.run_id
        parallel, patience = options.parallel, options.approval_timeout
        self._bench = Bench(toolbox, approvals, self._run_id, gateway.new_id, parallel, patience, elicits=elicits)
        self._listing = Listing({})
        self._stitcher = Stitcher(self._is_ours, self._new_call_id if toolbox else None)
        self._history: list[Message] = []
        self._steps = 0
        self._left = left
        self._notes: Notes | None = None
        if toolbox and (request.n or 1) > 1:
            raise ClientFault("n: where tools run here, there is one answer", param="n")
        self._first: Answer | None = model_call(gateway, request, record)
        if record.route is not None:  # what was chosen for the first call answers them all
            self._request = msgspec.structs.replace(request, model=record.route.name)

    @property
    def request(self) -> Request:
        """What is asked for, of the model that was chosen for it."""
        return self._request

    async def run(self, sink: RunSink, notes: Notes | None = None) -> None:
        """Every event as it happens: one reply, which ends in exactly one ``Finish`` or ``Fault``, and around its words
        what belongs to the application lane, but for the run's own start and end, which are whose run it is. Turns
        with calls go into ``notes``.

        Nothing but cancelling raises; the error of a ``Fault`` is in ``record.error``.
        """
        out = Outbox(sink)
        self._notes = notes
        try:
            await self._loop(out)
        except MillstreamError as error:
            self.record.error = error
            await out.say(self._stitcher.fail(Fault.of(error)))
        finally:
            self._stitcher.let_go()  # else the conversation would wait for the garbage collector

    async def _loop(self, out: Outbox) -> None:
        await self._open(out)
        before = len(self._history)
        if self._left is not None and not await self._pick_up(self._left, out):
            return
        while True:
            match step := next_step(self._history, self._is_ours, self._steps, self._options.max_iterations):
                case AskModel():
                    if not await self._ask(out):
                        return
                case RunTools():
                    if self._notes is not None and not self._is_noted():
                        await self._notes.add(self._history[-1])
                    results = await self._work(step, out)
                    self._history.append(results_message(step.calls, results))
                    if step.mixed:
                        await self._keep(self._history[before:])
                        await out.say(self._stitcher.end())
                        return
                case Stop():
                    await out.say(self._ending(step))
                    return

    async def _open(self, out: Outbox) -> None:
        """What the model is told at first: the tools there are, and the conversation without what is not its own."""
        if not self._toolbox:
            self._history = list(self._request.messages)
            return
        self._listing = (await self._toolbox.list()).only(self._options.tools)
        if self._listing.missing:
            await out.say([Status("tools_missing", line) for line in self._listing.missing])
        messages = without_progress(self._request.messages)
        if self._kept is not None:
            for kept in await self._kept.of(messages):
                messages = restored(messages, kept)
        self._history = list(messages)

    async def _ask(self, out: Outbox) -> bool:
        """One model call. False where it failed, which has been said."""
        self._steps += 1
        await out.say([StepStart(self._steps)])
        call, self._first = self._first, None
        if call is None or self._toolbox:
            call = model_call(self._gateway, self._next_request(), self.record)
        self._stitcher.begin()
        return await self._hear(call, out)

    async def _hear(self, call: Answer, out: Outbox) -> bool:
        before = self.record.tries
        try:
            await call.run(_Stitching(self._stitcher, out))
        finally:
            self.record.usage = self._stitcher.usage
            if 0 < before < self.record.tries:  # the first try of a further call is nobody's second
                self.record.tries -= 1
        if self._stitcher.fault is not None:
            return False
        self._history.append(self._stitcher.turn() if self._toolbox else Message("assistant", ()))
        return True

    async def _work(self, step: RunTools, out: Outbox) -> list[ToolResultPart]:
        model = self.record.route.name if self.record.route is not None else self._request.model
        token = PARENT.set(Parent(model, self._run_id, self._stitcher.count))
        try:
            if self._left is not None and self._is_noted():
                return await self._work_on(step.calls, self._left, out)
            return await self._bench.run(step.calls, self._listing, out)
        finally:
            PARENT.reset(token)
            self.record.usage = self._stitcher.usage

    async def _pick_up(self, left: Left, out: Outbox) -> bool:
        """Goes on where ``left`` ends. False where that failed, which has been said."""
        self._steps = left.steps
        self._stitcher.go_on_after(left)
        self.record.usage = left.usage
        for turn in left.turns:
            answered = [call for call in calls_of(turn) if call.id in left.results]
            self._history += [turn, results_message(answered, list(left.results.values()))]
        if not left.is_asking:
            if left.turns:  # the last one's calls are worked on next
                del self._history[-1]
            return True
        await out.say([ToolRunEnd(one.call_id, one.tool, NEVER_RAN, is_error=True) for one in left.announced])
        ways = self._gateway.continuation
        if ways is None:
            raise _lost("answers are not gone on with here")
        seam = Seam.after(left.under_way)
        return await self._hear(ContinuedCall(self._gateway, self._next_request(), self.record, ways, seam), out)

    def _is_noted(self) -> bool:
        """The last turn is one that another process noted."""
        left = self._left
        return left is not None and bool(left.turns) and self._history[-1] is left.turns[-1]

    async def _work_on(self, calls: Sequence[ToolCallPart], left: Left, out: Outbox) -> list[ToolResultPart]:
        """Those of ``calls`` that have no result yet, if nothing is lost by running them twice."""
        rest = [call for call in calls if call.id not in left.results]
        for call in rest:
            tool = self._listing.tools.get(call.name)
            if tool is None or tool.permission != "allow" or not tool.spec.read_only:
                raise _lost(f"nobody knows what {call.name} had done by then")
        again = await self._bench.run(rest, self._listing, Outbox(_Again(out, left.begun)))
        return [*left.results.values(), *again]

    def _next_request(self) -> Request:
        request = msgspec.structs.replace(self._request, messages=tuple(self._history))
        return offered(request, [tool.tool for tool in self._listing.tools.values()], self._steps)

    def _ending(self, step: Stop) -> list[RunEvent]:
        if not step.exhausted:
            return self._stitcher.end()
        limit = self._options.max_iterations
        why = f"not run: the limit of {limit} model calls is reached"
        unrun: list[RunEvent] = [ToolRunEnd(call.id, call.name, why, is_error=True) for call in step.unrun]
        calls = "call" if limit == 1 else "calls"
        said = self._stitcher.notice(f"\n[Stopped after {limit} model {calls}, the limit (max_iterations).]\n")
        return [
            *unrun,
            Status(EXHAUSTED, f"the limit of {limit} model {calls}"),
            *said,
            *self._stitcher.end(stopped=True),
        ]

    async def _keep(self, turns: Sequence[Message]) -> None:
        if self._kept is not None:
            await self._kept.put(turns)

    def _is_ours(self, name: str) -> bool:
        """Names that nobody knows are the client's, where it has tools at all."""
        if self._left is not None and name in self._left.tools:
            return True
        return name in self._listing.tools or not self._request.tools

    def _new_call_id(self) -> str:
        return f"call_{self._gateway.new_id()}"


class _Stitching:
    """The ``SwitchSink`` of one model call."""

    __slots__ = ("_say", "_take")

    def __init__(self, stitcher: Stitcher, out: Outbox) -> None:
        self._take = stitcher.take
        self._say = out.take

    def take(self, events: Sequence[Event | Switched]) -> Awaitable[None] | None:
        said = self._take(events)
        return self._say(said) if said else None


class _Again:
    """A ``RunSink`` that says of calls that were said to have ``begun`` nothing of the kind again."""

    def __init__(self, out: Outbox, begun: Collection[str]) -> None:
        self._out = out
        self._begun = begun

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        said = [event for event in events if not (isinstance(event, ToolRunStart) and event.call_id in self._begun)]
        return self._out.take(said) if said else None


def _lost(why: str) -> GatewayBug:
    return GatewayBug(f"the gateway that worked on this run died, and {why}", code="run_lost", retryable=True)
