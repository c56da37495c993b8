"""Where the calls of one turn are worked on, side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from millstream.agent.approval import Approvals, Verdict
from millstream.agent.arguments import WrongArguments
from millstream.agent.bounds import cut
from millstream.agent.outbox import Outbox
from millstream.agent.toolbox import BoxedTool, Listing, Toolbox
from millstream.core.messages import ToolCallPart, ToolResultPart
from millstream.core.run_events import ApprovalAsked, ApprovalGiven, ToolRunEnd, ToolRunProgress, ToolRunStart
from millstream.tools.base import Progress, ToolContext, ToolOutcome

_MOST_MESSAGE = 16 * 1024
"""Characters of one piece of progress."""


class Bench:
    """``state`` lives as long as the run does."""

    def __init__(
        self,
        toolbox: Toolbox,
        approvals: Approvals | None,
        run_id: str,
        new_id: Callable[[], str],
        parallel: int,
        approval_timeout: float,
    ) -> None:
        self._toolbox = toolbox
        self._approvals = approvals
        self._run_id = run_id
        self._new_id = new_id
        self._parallel = parallel
        self._approval_timeout = approval_timeout
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
        began = time.monotonic()
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
                    began = time.monotonic()
                    outcome = refusal or await self._work(tool, call, arguments, out)
        seconds = time.monotonic() - began
        out.put(ToolRunEnd(call.id, call.name, outcome.content, outcome.is_error, seconds))
        return ToolResultPart(call.id, outcome.content, outcome.is_error, name=call.name)

    async def _work(self, tool: BoxedTool, call: ToolCallPart, arguments: dict[str, Any], out: Outbox) -> ToolOutcome:
        over = False

        def progress(step: Progress) -> None:
            if not over:
                message = None if step.message is None else cut(step.message, _MOST_MESSAGE)
                out.put(ToolRunProgress(call.id, call.name, step.current, step.total, message))

        out.put(ToolRunStart(call.id, call.name, call.arguments))
        try:
            return await self._toolbox.run(tool, arguments, ToolContext(self._run_id, call.id, progress, self._state))
        finally:
            over = True

    async def _refusal(self, tool: BoxedTool, call: ToolCallPart, out: Outbox) -> ToolOutcome | None:
        """What the model is told where somebody has to allow the call and does not."""
        if tool.permission != "ask":
            return None
        verdict = Verdict(False, "nobody can be asked here")
        if self._approvals is not None:
            question = f"ap_{self._new_id()}"
            asked = self._approvals.ask(question, self._run_id, call.name, call.arguments)
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
