"""A run with tools whose gateway died is gone on with by another: nothing is said twice, and no tool runs twice that
might do something twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from gateway_site import run
from played import asked, continuing, played, scenario
from run_site import all_of, runs_on, texts
from tools import Tools, says

from millstream.agent.exchange import Agent
from millstream.agent.left import REPLY_EVENTS
from millstream.agent.run import AgentRun
from millstream.agent.toolbox import Toolbox
from millstream.core import run_events as app
from millstream.core.events import ChoiceEnd, Fault
from millstream.core.grammar import Grammar
from millstream.core.run_events import RunEntry
from millstream.dialects.ag_ui.render import AgUiView
from millstream.dialects.agent_events import AgentEvents
from millstream.dialects.ui_messages.render import UiMessageView
from millstream.pipeline import Continuation, Gateway, Record
from millstream.policy.caller import NOBODY
from millstream.server.agent.reviving import asked_of
from millstream.server.reviving import Reviver
from millstream.server.runs import watch
from millstream.server.runs.notes import ASKED, Asked
from millstream.server.runs.run import RunAbout, notes_of
from millstream.sessions.journal_memory import MemoryJournal

ABOUT = RunAbout("dead", surface="agent", model="openai_chat/m")
SCRIPT = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}."},
    {"when": {"last_role": "assistant"}, "text": " And on."},
    {
        "text": "Let me look.",
        "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}, {"name": "clock", "arguments": {}}],
    },
    strict=False,
)


def _gateway() -> Gateway:
    return continuing(played(SCRIPT, "openai_chat")[0])


def _agent(*, read_only: bool = False) -> tuple[Agent, Tools]:
    tools = Tools().add("weather", says("sun"), read_only=read_only).add("clock", says("noon"), read_only=read_only)
    return Agent(Toolbox([tools])), tools


async def _recorded() -> tuple[list[RunEntry], bytes, list[bytes]]:
    """A run from its beginning to its end: its events, what was asked, and the turns that were noted."""
    journal = MemoryJournal(lambda: 1000.0, 2**20)
    notes: list[bytes] = []
    gateway, (agent, _) = _gateway(), _agent()
    request = msgspec.structs.replace(asked("openai_chat/m"), tools=())
    work = AgentRun(gateway, agent.toolbox, agent.options, request, Record("r", "agent"))
    async with runs_on(journal, now=lambda: 1000.0, recover=True) as runs:

        async def noted(sink: object) -> None:
            kept = notes_of(sink)  # type: ignore[arg-type]
            assert kept is not None
            await work.run(sink, kept)  # type: ignore[arg-type]
            notes.extend((await journal.read(ASKED + "r", 0)).entries)

        await runs.start("r", ABOUT, noted, asked=asked_of(work, agent.options))
        entries = await all_of(await runs.open("r", ""))
    return entries, asked_of(work, agent.options)(), notes


async def _taken_over(
    entries: Sequence[RunEntry], request: bytes, turns: Sequence[bytes], agent: Agent, gateway: Gateway | None = None
) -> list[RunEntry]:
    """All of a run in the end that was left after ``entries``."""
    clock = [1000.0]
    journal = MemoryJournal(lambda: clock[0], 2**20)
    await journal.create("runs/r", msgspec.json.encode(ABOUT), 10**6)
    await journal.create(ASKED + "r", msgspec.json.encode(Asked(NOBODY, msgspec.Raw(request))), 10**6)
    await journal.lease("runs/r", "dead", watch.LEASE_S)
    if entries:
        await journal.append("runs/r", [entry.data for entry in entries])
    if turns:
        await journal.append(ASKED + "r", turns)
    clock[0] += watch.LEASE_S + 1
    reviver = Reviver(gateway or _gateway(), agent)
    async with runs_on(journal, now=lambda: clock[0], recover=True, revive=reviver) as runs:
        got = await all_of(await runs.open("r", ""))
    assert not await journal.list(ASKED), "what was asked is kept no longer than it is needed"
    _check(got)
    return got


def _check(entries: Sequence[RunEntry]) -> None:
    """One legal reply, with a beginning and an end of each call, however it is shown."""
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    events = [entry.event for entry in entries]
    grammar = Grammar()
    grammar.advance(event for event in events if isinstance(event, REPLY_EVENTS))  # type: ignore[misc]
    assert grammar.ended
    assert isinstance(events[-1], app.RunEnd)
    detected = [event.call_id for event in events if isinstance(event, app.ToolDetected)]
    lost = isinstance(events[-2], Fault)
    ended = [event.call_id for event in events if isinstance(event, app.ToolRunEnd)]
    assert len(set(ended)) == len(ended)
    assert set(ended) <= set(detected)
    assert lost or set(ended) == set(detected)
    parts = [json.loads(chunk) for _, _, chunk in UiMessageView("r", "r", _never).chunks(entries)]
    told = Counter((part["type"], part["toolCallId"]) for part in parts if "toolCallId" in part)
    assert all(count == 1 for (kind, _), count in told.items() if kind != "tool-input-delta"), told
    told_to_apps = AgentEvents(accumulated=False).objects(entries)
    assert [one["type"] for one in told_to_apps][-1] in ("complete", "error")
    agui = [json.loads(chunk) for _, _, chunk in AgUiView("r", "r", "t", _never).chunks(entries)]
    shown = Counter((event["type"], event["toolCallId"]) for event in agui if event["type"].startswith("TOOL_CALL"))
    assert all(count == 1 for count in shown.values()), shown


def _never(_: str) -> bool:
    return False


@pytest.mark.parametrize("read_only", [False, True])
def test_a_run_left_after_any_of_its_events_ends_as_one_legal_reply(
    monkeypatch: pytest.MonkeyPatch, *, read_only: bool
) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.005)

    async def main() -> None:
        whole, request, turns = await _recorded()
        _check(whole)
        assert "".join(texts(whole)) == "Let me look.It says noon."
        assert len(turns) == 1
        starts = [n for n, entry in enumerate(whole) if isinstance(entry.event, app.ToolRunStart)]
        ends = [n for n, entry in enumerate(whole) if isinstance(entry.event, app.ToolRunEnd)]
        assert len(starts) == len(ends) == 2
        seen: Counter[str] = Counter()
        for kept in range(len(whole)):
            for noted in (False, True):
                if (noted and kept < starts[0]) or (not noted and kept > starts[0]):
                    continue  # a turn is noted after its words and before its tools
                seen[await _one(whole[:kept], request, turns if noted else [], read_only=read_only)] += 1
        assert seen["lost"] == (0 if read_only else ends[1] - starts[0] + 1)
        assert seen["again"] == (ends[1] - starts[0] + 1 if read_only else 0)
        assert min(seen["anew"], seen["went on"], seen["known"]) > 1, seen

    async def _one(kept: Sequence[RunEntry], request: bytes, turns: Sequence[bytes], *, read_only: bool) -> str:
        agent, tools = _agent(read_only=read_only)
        got = await _taken_over(kept, request, turns, agent)
        assert [entry.data for entry in got[: len(kept)]] == [entry.data for entry in kept]
        end, ran = got[-1].event, [name for name, _ in tools.calls]
        assert isinstance(end, app.RunEnd)
        results = {entry.event.call_id for entry in kept if isinstance(entry.event, app.ToolRunEnd)}
        said = "".join(texts(got))
        if not turns:
            assert end.reason == "finished"
            if not texts(kept):
                assert ran == ["weather", "clock"]
                assert said == "Let me look.It says noon."
                return "anew"
            assert ran == []
            assert said == "".join(texts(kept)).rstrip() + " And on."
            return "went on"
        if len(results) < 2:
            if not read_only:
                assert ran == []
                assert end.reason == "lost"
                fault = got[-2].event
                assert isinstance(fault, Fault)
                assert fault.code == "run_lost"
                return "lost"
            assert len(ran) == 2 - len(results)
            assert said == "Let me look.It says noon."
            return "again"
        assert ran == []
        assert end.reason == "finished"
        before = "".join(texts(kept)).removeprefix("Let me look.")
        if any(isinstance(entry.event, ChoiceEnd) for entry in kept):
            assert said == "Let me look.It says noon."
            return "was over"
        assert said == "Let me look." + (f"{before.rstrip()} And on." if before else "It says noon.")
        return "known"

    run(main())


def test_a_run_whose_model_cannot_go_on_with_its_text_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.005)

    async def main() -> None:
        whole, request, _ = await _recorded()
        said = next(n for n, entry in enumerate(whole) if texts([entry])) + 1
        agent, tools = _agent()
        unable = replace(played(SCRIPT, "openai_chat")[0], continuation=Continuation())
        got = await _taken_over(whole[:said], request, [], agent, unable)
        fault, end = got[-2].event, got[-1].event
        assert isinstance(fault, Fault)
        assert isinstance(end, app.RunEnd)
        assert (fault.code, fault.retryable, end.reason) == ("run_lost", True, "lost")
        assert not tools.calls

    run(main())


def test_a_run_may_be_left_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.005)

    async def main() -> None:
        whole, request, turns = await _recorded()
        second = next(n for n, entry in enumerate(whole) if texts([entry]) == ["It "]) + 1
        entries = whole[:second]
        for more in range(1, 5):
            agent, tools = _agent()
            got = await _taken_over(entries, request, turns, agent)
            assert not tools.calls
            assert got[-1].event.reason == "finished"  # type: ignore[union-attr]  # it is a RunEnd
            news = [n for n, entry in enumerate(got) if isinstance(entry.event, app.Status) and n >= len(entries)]
            assert len(news) == 1
            assert got[: len(entries)] == entries
            entries = got[: len(entries) + 2 + more]

    run(main())
