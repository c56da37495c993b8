"""Text that came at once, a piece at a time: the same text, in order, and never later than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from millstream.agent.pace import LIMIT_S, Pace, PacedSink
from millstream.core.events import Finish, TextDelta, TextEnd, TextStart
from millstream.core.run_events import RunEvent


class Paper:
    def __init__(self) -> None:
        self.groups: list[list[RunEvent]] = []
        self.slept: list[float] = []

    def take(self, events: Sequence[RunEvent]) -> Awaitable[None] | None:
        self.groups.append(list(events))
        return None

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def text(self) -> str:
        return "".join(event.text for group in self.groups for event in group if isinstance(event, TextDelta))


def paced(pace: Pace, *batches: Sequence[RunEvent]) -> Paper:
    paper = Paper()

    async def main() -> None:
        assert pace != "off"
        sink = PacedSink(paper, pace, paper.sleep)
        for batch in batches:
            if (wait := sink.take(batch)) is not None:
                await wait

    asyncio.run(main())
    return paper


def test_words_leave_one_by_one() -> None:
    paper = paced("word", [TextStart(0), TextDelta(0, "Down by the  river.\n\nYes"), TextEnd(0), Finish()])
    texts = [event.text for group in paper.groups for event in group if isinstance(event, TextDelta)]
    assert texts == ["Down", " by", " the", "  river.", "\n\nYes"]
    assert paper.groups[0] == [TextStart(0)]
    assert paper.groups[-1] == [Finish()]


def test_what_came_alone_is_not_held_up() -> None:
    paper = paced("word", [TextDelta(0, "one")], [TextDelta(0, " two")], [TextEnd(0), Finish()])
    assert paper.slept == []
    assert len(paper.groups) == 3


@given(st.lists(st.text(max_size=300), min_size=1, max_size=5), st.sampled_from(["word", "char"]))
def test_nothing_is_lost_and_no_burst_takes_more_than_half_the_limit(texts: list[str], pace: Pace) -> None:
    paper = paced(pace, [TextDelta(0, text) for text in texts if text])
    assert paper.text == "".join(texts)
    assert sum(paper.slept) <= LIMIT_S / 2
