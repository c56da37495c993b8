"""Goes on with runs of agents whose process died."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec

from millstream.agent.exchange import Agent
from millstream.agent.left import left_of
from millstream.agent.run import AgentOptions, AgentRun
from millstream.core.errors import MillstreamError
from millstream.core.events import ChoiceEnd, Finish
from millstream.core.messages import Message, Request
from millstream.pipeline import Gateway, Record
from millstream.server.plain.begin import nothing_more
from millstream.server.runs.endpoint import logged
from millstream.server.runs.manager import Orphan
from millstream.server.runs.run import Producer, RunSink, notes_of


class AgentAsked(msgspec.Struct, frozen=True, tag="agent", tag_field="kind"):
    """What another process needs to go on with a run: its request, and the options that are its own."""

    request: Request
    max_iterations: int
    tools: tuple[str, ...] | None
    elicits: bool = False


def asked_of(run: AgentRun, options: AgentOptions, *, elicits: bool = False) -> Callable[[], bytes]:
    return lambda: msgspec.json.encode(AgentAsked(run.request, options.max_iterations, options.tools, elicits))


def revive_agent(gateway: Gateway, agent: Agent, orphan: Orphan) -> Producer | None:
    """None where it cannot be gone on with."""
    try:
        asked = msgspec.json.decode(orphan.request, type=AgentAsked)
        left = left_of(orphan.entries, [msgspec.json.decode(turn, type=Message) for turn in orphan.turns])
        if left is None:
            return None
        if left.ended:
            return _end if isinstance(left.said[-1], ChoiceEnd) else nothing_more
        options = replace(
            agent.options,
            max_iterations=asked.max_iterations,
            tools=asked.tools,
            session_id=orphan.about.session_id,
        )
        record = Record(orphan.id, orphan.about.surface, model=asked.request.model, stream=True)
        run = AgentRun(
            gateway,
            agent.toolbox,
            options,
            asked.request,
            record,
            approvals=agent.approvals,
            elicits=asked.elicits,
            left=left,
        )
    except (msgspec.MsgspecError, MillstreamError):
        return None  # another version's, or of another configuration
    return logged(gateway, lambda sink: run.run(sink, notes_of(sink)), record)


async def _end(sink: RunSink) -> None:
    sink.take([Finish()])
