"""Tools that somebody has to allow first, and what tools ask while they run: the run waits, the answer comes by another
way than the run's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millstream.agent.arguments import Schema
from millstream.core.errors import ClientFault
from millstream.tools.base import Elicitation


@dataclass(frozen=True, slots=True)
class Verdict:
    """``content`` is what a tool asked for; ``dismissed``: the question was put away rather than answered with no."""

    approved: bool
    reason: str | None = None
    content: Mapping[str, Any] | None = None
    dismissed: bool = False


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """Nobody has answered it yet: ``question``, or without it whether ``tool`` may run."""

    id: str
    tool: str
    question: Elicitation | None = None

    def check(self, verdict: Verdict) -> None:
        """Raises ``ClientFault`` where ``verdict`` does not give what was asked for."""
        if self.question is None or self.question.schema is None or not verdict.approved:
            return
        complaints = Schema(self.tool, self.question.schema).complaints(dict(verdict.content or {}))
        if complaints:
            raise ClientFault(f"content: it does not fit what was asked for: {'; '.join(complaints)}", param="content")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked(OpenQuestion):
    """By a run of this process, which is ``owner``'s."""

    run_id: str
    owner: str
    answer: asyncio.Future[Verdict] = field(compare=False)


class Approvals:
    """The open questions of this process. ``owner`` tells whose the present run is; only they may answer."""

    def __init__(self, owner: Callable[[], str] = lambda: "") -> None:
        self._owner = owner
        self._open: dict[str, Asked] = {}

    def ask(self, question_id: str, run_id: str, tool: str, question: Elicitation | None = None) -> Asked:
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        asked = Asked(question_id, tool, question, run_id=run_id, owner=self._owner(), answer=answer)
        self._open[question_id] = asked
        return asked

    async def verdict(self, asked: Asked, limit: float) -> Verdict:
        """Waits for the answer; after ``limit`` seconds it is no."""
        try:
            async with asyncio.timeout(limit):
                return await asked.answer
        except TimeoutError:
            return Verdict(False, f"nobody answered within {limit:g} s", dismissed=True)
        finally:
            self._open.pop(asked.id, None)

    def pending(self, run_id: str, owner: str = "") -> list[Asked]:
        """In the order they were asked."""
        of_run = [asked for asked in self._open.values() if asked.run_id == run_id and asked.owner == owner]
        return [asked for asked in of_run if not asked.answer.done()]

    def find(self, run_id: str, question_id: str, owner: str = "") -> Asked | None:
        return next((asked for asked in self.pending(run_id, owner) if asked.id == question_id), None)

    def give(self, run_id: str, question_id: str | None, verdict: Verdict, owner: str = "") -> list[str]:
        """Answers a question of the run, or all that are open where none is named. The ids of those it answered.

        Raises ``ClientFault`` where one of them wants more than that; then none is answered.
        """
        found = [asked for asked in self.pending(run_id, owner) if question_id in (None, asked.id)]
        for asked in found:
            asked.check(verdict)
        for asked in found:
            asked.answer.set_result(verdict)
        return [asked.id for asked in found]
