"""Where the calls of one turn are worked on, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from millstream.agent.approval import Approvals, Verdict
from millstream.agent.arguments import WrongArguments
from millstream.agent.asking import Asking
from millstream.agent.bounds import cut
from millstream.agent.clock import CallClock
from millstream.agent.outbox import Outbox
from millstream.agent.subagent import PARENT
from millstream.agent.toolbox import BoxedTool, Listing, Toolbox
from millstream.core.messages import ToolCallPart, ToolResultPart
from millstream.core.run_events import (
    ApprovalAsked,
    ApprovalGiven,
    RunEvent,
    ToolRunEnd,
    ToolRunProgress,
    ToolRunStart,
)
from millstream.tools.base import Progress, ToolContext, ToolOutcome

_MOST_MESSAGE = 16 * 1024
"""Characters of one piece of progress."""


class Bench:
    """``elicits``: whoever the run is for can be asked by its tools. ``state`` lives as long as the run does."""

    def __init__(
        self,
        toolbox: Toolbox,
        approvals: Approvals | None,
        run_id: str,
        new_id: Callable[[], str],
        parallel: int,
        approval_timeout: float,
        *,
        elicits: bool = False,
    ) -> None:
        self._toolbox = toolbox
        self._approvals = approvals
        self._run_id = run_id
        self._new_id = new_id
        self._parallel = parallel
        self._approval_timeout = approval_timeout
        self._elicits = elicits
        self._state: dict[str, Any] = {}

    async def run(self, calls: Sequence[ToolCallPart], listing: Listing, out: Outbox) -> list[ToolResultPart]:
        """The results, in the order of ``calls``. Raises only what ``out`` raises, and when cancelled."""
        room = asyncio.Semaphore(self._parallel)
        try:
            async with asyncio.TaskGroup() as group:
                out.shared(group)
                tasks = [group.create_task(self._result(call, listing, out, room)) for call in calls]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _result(
        self, call: ToolCallPart, listing: Listing, out: Outbox, room: asyncio.Semaphore
    ) -> ToolResultPart:
        tool = listing.tools.get(call.name)
        clock = CallClock()
        if tool is None:
            outcome = ToolOutcome(_unknown(call.name, listing), is_error=True)
        else:
            try:
                arguments = tool.schema.read(call.arguments)
            except WrongArguments as wrong:
                outcome = ToolOutcome(str(wrong), is_error=True)
            else:
                refusal = await self._refusal(tool, call, out)
                async with room:
                    clock = CallClock()
                    outcome = refusal or await self._work(tool, call, arguments, out, clock)
        out.put(ToolRunEnd(call.id, call.name, outcome.content, outcome.is_error, clock.seconds))
        return ToolResultPart(call.id, outcome.content, outcome.is_error, name=call.name)

    async def _work(
        self, tool: BoxedTool, call: ToolCallPart, arguments: dict[str, Any], out: Outbox, clock: CallClock
    ) -> ToolOutcome:
        over = False
        asking = self._asking(call, clock, out)

        def tell(event: RunEvent) -> None:
            if not over:
                out.put(event)

        def progress(step: Progress) -> None:
            message = None if step.message is None else cut(step.message, _MOST_MESSAGE)
            tell(ToolRunProgress(call.id, call.name, step.current, step.total, message))

        parent = PARENT.get()
        if parent is not None:
            PARENT.set(replace(parent, call_id=call.id, tool=call.name, tell=tell, elicits=self._elicits))
        out.put(ToolRunStart(call.id, call.name, call.arguments))
        context = ToolContext(self._run_id, call.id, progress, self._state, asking)
        try:
            outcome = await self._toolbox.run(tool, arguments, context, clock)
            if asking is not None:
                asking.forsake()
        finally:
            over = True
            if asking is not None:
                asking.close()
        return outcome

    def _asking(self, call: ToolCallPart, clock: CallClock, out: Outbox) -> Asking | None:
        if self._approvals is None or not self._elicits:
            return None
        limit = self._approval_timeout
        return Asking(self._approvals, self._run_id, call, lambda: f"in_{self._new_id()}", limit, clock, out.put)

    async def _refusal(self, tool: BoxedTool, call: ToolCallPart, out: Outbox) -> ToolOutcome | None:
        """What the model is told where somebody has to allow the call and does not."""
        if tool.permission != "ask":
            return None
        verdict = Verdict(False, "nobody can be asked here")
        if self._approvals is not None:
            question = f"ap_{self._new_id()}"
            asked = self._approvals.ask(question, self._run_id, call.name)
            out.put(ApprovalAsked(question, call.id, call.name, call.arguments))
            verdict = await self._approvals.verdict(asked, self._approval_timeout)
            out.put(ApprovalGiven(question, call.id, verdict.approved, verdict.reason))
        if verdict.approved:
            return None
        why = f": {verdict.reason}" if verdict.reason else ""
        return ToolOutcome(f"{call.name} was not allowed to run{why}.", is_error=True)


def _unknown(name: str, listing: Listing) -> str:
    there = ", ".join(listing.tools) or "none"
    return f"There is no tool {name!r}. There are: {there}."
