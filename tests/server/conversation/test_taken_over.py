"""An answer whose gateway died is gone on with by another, and kept as one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from gateway_site import run
from played import continuing, played, scenario
from run_site import all_of, runs_on, texts

from millstream.agent.exchange import Agent
from millstream.agent.left import REPLY_EVENTS
from millstream.config import ConversationConfig
from millstream.core.events import ChoiceEnd
from millstream.core.grammar import Grammar
from millstream.core.run_events import Context, RunEnd, RunEntry, Status, Suggestions
from millstream.dialects.conversation import PROCESSING
from millstream.policy.caller import NOBODY
from millstream.server.conversation.asking import TalkAsk
from millstream.server.conversation.begin import Beginner, User
from millstream.server.conversation.reviving import TalkReviver
from millstream.server.reviving import Reviver
from millstream.server.runs import watch
from millstream.server.runs.notes import ASKED, Asked
from millstream.sessions.history import Answered, History
from millstream.sessions.journal_memory import MemoryJournal

ANN = User("ann", "ann")
SCRIPT = scenario(
    {"when": {"contains": "Label the last message"}, "text": '{"intent": "greeting", "entities": []}'},
    {"when": {"contains": "What may the user say next"}, "text": '{"suggestions": ["Bye."]}'},
    {"when": {"last_role": "assistant"}, "text": " And on."},
    {"text": "Hello to you."},
    strict=False,
)
CONFIG = ConversationConfig(model="openai_chat/m")
KEEP_S = 10.0**6


class _Place:
    """A journal, and a gateway with it; ``clock`` is the time in both."""

    def __init__(self) -> None:
        self.clock = [1000.0]
        self.journal = MemoryJournal(self.now, 2**22)
        self.gateway = continuing(played(SCRIPT, "openai_chat")[0])
        self.history = History(self.journal, self.now, KEEP_S, 10)

    def now(self) -> float:
        return self.clock[0]

    @property
    def reviver(self) -> Reviver:
        return Reviver(self.gateway, Agent(), TalkReviver(self.gateway, self.history, CONFIG))

    async def copied_to(self, other: _Place, key: str, most: int) -> None:
        """The first ``most`` entries of a stream."""
        info = await self.journal.info(key)
        await other.journal.create(key, info.about, KEEP_S)
        if most:
            await other.journal.append(key, (await self.journal.read(key, 0)).entries[:most])


async def _recorded() -> tuple[_Place, list[RunEntry], str, bytes]:
    """An answer from its beginning to its end, its conversation, and what was asked."""
    place = _Place()
    asked: list[bytes] = []
    async with runs_on(place.journal, now=place.now, recover=True) as runs:
        begun = await Beginner(place.gateway, runs, place.history, CONFIG).begin(ANN, TalkAsk("Hello."))
        asked.append((await place.journal.info(ASKED + begun.run_id)).about)
        entries = await all_of(await runs.open(begun.run_id, ANN.owner))
    return place, entries, begun.session_id, asked[0]


def _check(entries: Sequence[RunEntry], said: str) -> None:
    events = [entry.event for entry in entries]
    grammar = Grammar()
    grammar.advance(event for event in events if isinstance(event, REPLY_EVENTS))  # type: ignore[misc]
    assert grammar.ended
    assert grammar.fault is None
    assert isinstance(events[-1], RunEnd)
    assert events[-1].reason == "finished"
    assert "".join(texts(entries)) == said
    assert events.count(Status(PROCESSING)) == 1
    assert sum(isinstance(event, Context) for event in events) == 1
    assert sum(isinstance(event, Suggestions) for event in events) == 1


def test_an_answer_left_after_any_of_its_events_is_one_answer_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.005)

    async def main() -> None:
        there, whole, session_id, asked = await _recorded()
        assert msgspec.json.decode(asked, type=Asked).caller != NOBODY, "who asked is kept with what was asked"
        _check(whole, "Hello to you.")
        over = next(place for place, entry in enumerate(whole) if isinstance(entry.event, Suggestions))
        for kept in range(over + 3):
            for answered in (False, True):
                if answered == (kept > over) or kept == over:
                    await one(there, whole[:kept], session_id, asked, answered=answered)

    async def one(there: _Place, kept: Sequence[RunEntry], session_id: str, asked: bytes, *, answered: bool) -> None:
        """``answered``: it was written down as well."""
        here = _Place()
        (conversation,) = [info.key for info in await there.journal.list("conversations/")]
        await there.copied_to(here, conversation, 2 if answered else 1)
        (key,) = [info.key for info in await there.journal.list("runs/")]
        await there.copied_to(here, key, len(kept))
        run_id = key.removeprefix("runs/")
        await here.journal.create(ASKED + run_id, asked, KEEP_S)
        await here.journal.lease(key, "dead", watch.LEASE_S)
        here.clock[0] += watch.LEASE_S + 1
        async with runs_on(here.journal, now=here.now, recover=True, revive=here.reviver) as runs:
            got = await all_of(await runs.open(run_id, ANN.owner))
        before = "".join(texts(kept))
        ended = answered or any(isinstance(entry.event, ChoiceEnd) for entry in kept)
        _check(got, before if ended else f"{before.rstrip()} And on." if before else "Hello to you.")
        loaded = await here.history.load(ANN.who, session_id)
        (answer,) = [entry for entry in loaded.entries if isinstance(entry, Answered)]
        assert (answer.text, answer.state, answer.run_id) == ("".join(texts(got)), "complete", run_id)
        assert (answer.intent, answer.suggestions) == ("greeting", ("Bye.",))

    run(main())
