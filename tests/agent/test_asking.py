"""What tools ask while they run: whom it reaches, and that nothing hangs on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from played import Taken, asked, limited, played, scenario
from tools import Tools

from millstream.agent.approval import Approvals, Verdict
from millstream.agent.run import AgentOptions, AgentRun
from millstream.agent.toolbox import Toolbox
from millstream.core import run_events as app
from millstream.core.errors import ClientFault
from millstream.pipeline import Record
from millstream.tools.base import Elicitation, ElicitationAnswer, ToolContext

LOOP = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}."},
    {"tool_calls": [{"name": "paint", "arguments": {}}]},
)
COLOUR = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
Work = Callable[[Mapping[str, Any], ToolContext], Awaitable[str]]


async def paint(_: Mapping[str, Any], context: ToolContext) -> str:
    assert context.elicit is not None
    answer = await context.elicit(Elicitation("house", "Which?", COLOUR))
    return f"{answer.action} {dict(answer.content or {})}"


class Painting:
    """A run whose tool is ``work``."""

    def __init__(self, work: Work, *, elicits: bool = True, timeout: float = 30.0, **options: Any) -> None:
        gateway, _ = played(LOOP, "openai_chat")
        self.taken, self.approvals = Taken(), Approvals()
        self._run = AgentRun(
            gateway,
            Toolbox([Tools().add("paint", work, timeout=timeout)]),
            AgentOptions(**options),
            asked("openai_chat/m"),
            Record("run1", "test"),
            approvals=self.approvals,
            elicits=elicits,
        )

    async def run(self) -> app.ToolRunEnd:
        await self._run.run(self.taken)
        (end,) = self.taken.of(app.ToolRunEnd)
        return end

    async def questions(self, count: int = 1) -> list[app.InputAsked]:
        await self.taken.until(lambda: len(self.taken.of(app.InputAsked)) == count)
        return self.taken.of(app.InputAsked)

    @property
    def actions(self) -> list[str]:
        return [given.action for given in self.taken.of(app.InputGiven)]


def test_the_answer_reaches_the_tool_and_its_content_nobody_else() -> None:
    async def main() -> None:
        painting = Painting(paint)
        run = asyncio.ensure_future(painting.run())
        (question,) = await painting.questions()
        assert (question.tool, question.source, question.message, question.schema) == (
            "paint",
            "house",
            "Which?",
            COLOUR,
        )
        with pytest.raises(ClientFault, match="'colour' is a required property"):
            painting.approvals.give("run1", question.id, Verdict(True))
        assert painting.approvals.give("run1", question.id, Verdict(True, content={"colour": "red"})) == [question.id]
        assert (await run).content == "accept {'colour': 'red'}"
        assert painting.actions == ["accept"]
        assert not painting.approvals.pending("run1")

    limited(main())


def test_no_is_no_and_put_away_is_put_away() -> None:
    async def main(verdict: Verdict) -> str:
        painting = Painting(paint)
        run = asyncio.ensure_future(painting.run())
        await painting.questions()
        painting.approvals.give("run1", None, verdict)
        return str((await run).content)

    assert limited(main(Verdict(False))) == "decline {}"
    assert limited(main(Verdict(False, dismissed=True))) == "cancel {}"


def test_without_somebody_to_ask_there_is_nothing_to_ask_with() -> None:
    async def work(_: Mapping[str, Any], context: ToolContext) -> str:
        return str(context.elicit)

    assert limited(Painting(work, elicits=False).run()).content == "None"


def test_nobodys_answer_is_a_cancel_and_does_not_count_as_the_tools_time() -> None:
    async def main() -> None:
        painting = Painting(paint, timeout=0.3, approval_timeout=0.5)
        end = await painting.run()
        assert end.content == "cancel {}"
        assert end.seconds < 0.5

    limited(main())


def test_a_tool_that_hangs_after_its_answer_is_stopped_all_the_same() -> None:
    async def work(_: Mapping[str, Any], context: ToolContext) -> str:
        await paint(_, context)
        await asyncio.Event().wait()
        return "never"

    async def main() -> None:
        painting = Painting(work, timeout=0.05)
        run = asyncio.ensure_future(painting.run())
        await painting.questions()
        painting.approvals.give("run1", None, Verdict(False))
        assert "longer than 0.05 s" in str((await run).content)

    limited(main())


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_a_call_still_asks_when_it_is_over_is_put_away(*, cancelled: bool) -> None:
    answers: list[ElicitationAnswer] = []
    elsewhere: list[asyncio.Task[None]] = []
    go_on = asyncio.Event()

    async def work(_: Mapping[str, Any], context: ToolContext) -> str:
        elicit = context.elicit
        assert elicit is not None

        async def ask() -> None:
            answers.append(await elicit(Elicitation("house", "Which?", COLOUR)))
            answers.append(await elicit(Elicitation("house", "And now?", COLOUR)))

        elsewhere.append(asyncio.ensure_future(ask()))  # as an SDK asks from a task of its own
        await go_on.wait()
        return "done"

    async def main() -> None:
        painting = Painting(work)
        run = asyncio.ensure_future(painting.run())
        await painting.questions()
        if cancelled:
            run.cancel()
            await asyncio.wait({run})
        else:
            go_on.set()
            assert (await run).content == "done"
            assert painting.actions == ["cancel"]
        await elsewhere[0]
        assert answers == [ElicitationAnswer("cancel")] * 2
        assert not painting.approvals.pending("run1")
        assert len(painting.taken.of(app.InputAsked)) == 1

    limited(main())


def test_a_call_may_ask_only_so_much_at_a_time() -> None:
    async def work(_: Mapping[str, Any], context: ToolContext) -> str:
        elicit = context.elicit
        assert elicit is not None
        big = {"type": "object", "properties": {"x": {"type": "string", "description": "x" * 100_000}}}
        answers = await asyncio.gather(
            elicit(Elicitation("house", "Big?", big)), *(elicit(Elicitation("house", "y" * 9_000)) for _ in range(20))
        )
        return " ".join(answer.action for answer in answers)

    async def main() -> None:
        painting = Painting(work)
        run = asyncio.ensure_future(painting.run())
        questions = await painting.questions(8)
        assert all(len(question.message) < 5_000 for question in questions)
        painting.approvals.give("run1", None, Verdict(True))
        assert str((await run).content).split() == ["decline", *["accept"] * 8, *["decline"] * 12]

    limited(main())
