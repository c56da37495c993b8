"""Tools that somebody has to allow first: the run waits, the answer comes by another way than the run's own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verdict:
    approved: bool
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that nobody has answered yet."""

    id: str
    run_id: str
    tool: str
    arguments: str
    answer: asyncio.Future[Verdict] = field(compare=False)


class Approvals:
    """The open questions of this process."""

    def __init__(self) -> None:
        self._open: dict[str, Asked] = {}

    def ask(self, question_id: str, run_id: str, tool: str, arguments: str) -> Asked:
        asked = Asked(question_id, run_id, tool, arguments, asyncio.get_running_loop().create_future())
        self._open[question_id] = asked
        return asked

    async def verdict(self, asked: Asked, limit: float) -> Verdict:
        """Waits for the answer; after ``limit`` seconds it is no."""
        try:
            async with asyncio.timeout(limit):
                return await asked.answer
        except TimeoutError:
            return Verdict(False, f"nobody answered within {limit:g} s")
        finally:
            self._open.pop(asked.id, None)

    def pending(self, run_id: str) -> list[Asked]:
        """In the order they were asked."""
        return [asked for asked in self._open.values() if asked.run_id == run_id]

    def give(self, run_id: str, question_id: str | None, verdict: Verdict) -> list[str]:
        """Answers a question of the run, or all that are open where none is named. The ids of those it answered."""
        found = [asked for asked in self.pending(run_id) if question_id in (None, asked.id) and not asked.answer.done()]
        for asked in found:
            asked.answer.set_result(verdict)
        return [asked.id for asked in found]
