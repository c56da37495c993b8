"""What one call of a tool asks the user while it runs (MCP's elicitation). The run waits, the tool's clock too."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from millstream.agent.approval import Approvals, Asked, Verdict
from millstream.agent.bounds import cut
from millstream.agent.clock import CallClock
from millstream.core.messages import ToolCallPart
from millstream.core.run_events import InputAsked, InputGiven, RunEvent
from millstream.tools.base import Elicitation, ElicitationAnswer

_MOST_MESSAGE = 4 * 1024
"""Characters of a question."""

_MOST_SCHEMA = 64 * 1024
"""Bytes of what a question wants to be filled in."""

_MOST_OPEN = 8
"""Questions of one call at a time."""


class Asking:
    """``ToolContext.elicit`` of one call. ``limit`` in seconds: after it the question counts as put away."""

    def __init__(
        self,
        approvals: Approvals,
        run_id: str,
        call: ToolCallPart,
        question_id: Callable[[], str],
        limit: float,
        clock: CallClock,
        put: Callable[[RunEvent], None],
    ) -> None:
        self._approvals = approvals
        self._run_id = run_id
        self._call = call
        self._question_id = question_id
        self._limit = limit
        self._clock = clock
        self._put = put
        self._open: dict[str, Asked] = {}
        self._over = False

    async def __call__(self, question: Elicitation) -> ElicitationAnswer:
        if self._over:
            return ElicitationAnswer("cancel")
        if len(self._open) >= _MOST_OPEN or len(msgspec.json.encode(question.schema)) > _MOST_SCHEMA:
            return ElicitationAnswer("decline")
        call = self._call
        asked = self._approvals.ask(self._question_id(), self._run_id, call.name, question)
        self._open[asked.id] = asked
        message = cut(question.message, _MOST_MESSAGE)
        self._put(InputAsked(asked.id, call.id, call.name, question.source, message, question.schema, question.url))
        try:
            with self._clock.stopped():
                answer = _answer(await self._approvals.verdict(asked, self._limit), question)
        finally:
            self._open.pop(asked.id, None)
        if not self._over:
            self._put(InputGiven(asked.id, call.id, answer.action))
        return answer

    def forsake(self) -> None:
        """The call has ended by itself: what it still asks needs no answer, and that is told."""
        for asked in self._open.values():
            self._put(InputGiven(asked.id, self._call.id, "cancel"))
        self.close()

    def close(self) -> None:
        """Whoever asks, asks in vain: the call is over, however that came."""
        self._over = True
        for asked in self._open.values():
            if not asked.answer.done():
                asked.answer.set_result(Verdict(False, dismissed=True))


def _answer(verdict: Verdict, question: Elicitation) -> ElicitationAnswer:
    if verdict.approved:
        return ElicitationAnswer("accept", None if question.schema is None else verdict.content or {})
    return ElicitationAnswer("cancel" if verdict.dismissed else "decline")
