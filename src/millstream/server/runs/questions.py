"""What runs ask their users, whichever process they run in: what is open, and how an answer gets there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing

from millstream.agent.approval import Approvals, OpenQuestion, Verdict
from millstream.core.run_events import ApprovalAsked, ApprovalGiven, InputAsked, InputGiven, RunEvent
from millstream.policy.caller import Owner
from millstream.server.runs.manager import Runs
from millstream.tools.base import Elicitation

_MOST_PASSED_ON = 10_000
_BEHIND_S = 3.0
"""How much later than its reader the journal may know of a question."""


class Questions:
    """``owner`` is who calls now: whose runs may be answered."""

    def __init__(self, runs: Runs, approvals: Approvals, owner: Owner) -> None:
        self._runs = runs
        self._approvals = approvals
        self._owner = owner
        self._passed_on: dict[str, None] = {}
        """Answered by way of this process, though the journal need not say so yet."""

    async def find(self, run_id: str, question_id: str) -> OpenQuestion | None:
        """None where nobody waits for it. Raises ``ClientFault`` (404) for a run that is not there, or not the
        caller's."""
        here = self._approvals.find(run_id, question_id, self._owner())
        if here is not None:
            return here
        return next(iter(await self._elsewhere(run_id, question_id)), None)

    async def give(self, run_id: str, question_id: str | None, verdict: Verdict) -> list[str]:
        """Answers a question of the run, or all that are open where none is named. The ids of those it answered.

        Raises ``ClientFault``: as ``find`` does, and 400 where a question wants more than ``verdict`` gives.
        """
        given = self._approvals.give(run_id, question_id, verdict, self._owner())
        if given:
            return given
        found = await self._elsewhere(run_id, question_id)
        for asked in found:
            asked.check(verdict)
        for asked in found:
            await self._runs.pass_on(run_id, self._owner(), asked.id, verdict)
            self._note(asked.id)
        return [asked.id for asked in found]

    async def open_in(self, run_id: str) -> Callable[[str], bool]:
        """Tells of each question that the run asks whether anybody waits for its answer. Raises as ``find`` does."""
        owner = self._owner()
        if self._runs.is_here(run_id):
            return lambda question: self._approvals.find(run_id, question, owner) is not None
        info = await self._runs.info(run_id, owner)
        if info.sealed:
            return lambda question: False
        _, answered = await self._told(run_id, info.last)
        return lambda question: question not in answered and question not in self._passed_on

    async def _elsewhere(self, run_id: str, question_id: str | None) -> list[OpenQuestion]:
        """What a run of another process waits for: that question, or all where none is named. It is waited for, since
        its client may have heard of it before the journal."""
        loop = asyncio.get_running_loop()
        end = loop.time() + _BEHIND_S
        while True:
            info = await self._runs.info(run_id, self._owner())
            if info.sealed or self._runs.is_here(run_id):
                return []
            asked, answered = await self._told(run_id, info.last)
            closed = {*answered, *self._passed_on}
            found = [one for one in asked.values() if one.id not in closed and question_id in (None, one.id)]
            if found or question_id in closed or loop.time() >= end:
                return found
            await self._runs.journal.wait(info.key, info.last, end - loop.time())

    async def _told(self, run_id: str, last: int) -> tuple[dict[str, OpenQuestion], set[str]]:
        """What the run has asked up to entry ``last``, and the ids of what it knows the answers to."""
        asked: dict[str, OpenQuestion] = {}
        answered: set[str] = set()
        with closing(await self._runs.read(run_id, self._owner())) as reader:
            while reader.number < last and (entries := await reader.next()):
                for entry in entries:
                    _note(entry.event, asked, answered)
        return asked, answered

    def _note(self, question_id: str) -> None:
        self._passed_on[question_id] = None
        while len(self._passed_on) > _MOST_PASSED_ON:
            del self._passed_on[next(iter(self._passed_on))]


def _note(event: RunEvent, asked: dict[str, OpenQuestion], answered: set[str]) -> None:
    match event:
        case ApprovalAsked():
            asked[event.id] = OpenQuestion(event.id, event.tool)
        case InputAsked():
            question = Elicitation(event.source, event.message, event.schema, event.url)
            asked[event.id] = OpenQuestion(event.id, event.tool, question)
        case ApprovalGiven() | InputGiven():
            answered.add(event.id)
        case _:
            pass
