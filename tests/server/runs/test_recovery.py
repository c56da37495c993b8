"""A run whose gateway died is gone on with by another, and its readers do not notice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import msgspec
import pytest
from gateway_site import run
from plain_site import WIRE, body
from played import asked, continuing, played, scenario
from raw_client import RawClient
from raw_http import Cut
from raw_upstream import Call, RawUpstream
from run_site import all_of, runs_on
from sse_reader import EventSource

from millstream.agent.left import REPLY_EVENTS
from millstream.config import Config, ConfigError, RunsConfig
from millstream.core import events as ev
from millstream.core.grammar import Grammar
from millstream.core.messages import Usage
from millstream.core.run_events import RunEnd, RunEvent, RunStart, encode_entry
from millstream.core.seam import Seam
from millstream.policy.caller import NOBODY
from millstream.server.app import build
from millstream.server.plain.begin import revive
from millstream.server.runs import watch
from millstream.server.runs.notes import ASKED, Asked
from millstream.sessions.journal_memory import MemoryJournal

PROGRAM = Path(__file__).parents[2] / "support/gateway_to_kill.py"
LEASE_S = 1.0
WORDS = [f"{number} " for number in range(400)]
WHOLE: tuple[RunEvent, ...] = (
    RunStart("r"),
    ev.MessageStart("a", "m"),
    ev.ReasoningStart(0),
    ev.ReasoningDelta(0, "Hm."),
    ev.ReasoningEnd(0),
    ev.TextStart(1),
    ev.TextDelta(1, "So "),
    ev.TextDelta(1, "far. "),
    ev.TextEnd(1),
    ev.Usage(Usage(3, 5)),
    ev.ChoiceEnd(0, "stop"),
    ev.Finish(),
)


@pytest.mark.parametrize("kept", range(len(WHOLE) + 1))
def test_a_run_left_after_any_of_its_events_ends_as_one_legal_reply(kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.005)
    clock = [1000.0]

    async def main() -> None:
        journal = MemoryJournal(lambda: clock[0], 2**20)
        await journal.create("runs/r", b'{"holder":"dead"}', 10**6)
        request = Asked(NOBODY, msgspec.Raw(msgspec.json.encode(asked("openai_chat/m"))))
        await journal.create(ASKED + "r", msgspec.json.encode(request), 10**6)
        await journal.lease("runs/r", "dead", watch.LEASE_S)
        entries = [encode_entry(number, 5, event).data for number, event in enumerate(WHOLE[:kept], 1)]
        if entries:
            await journal.append("runs/r", entries)
        clock[0] += watch.LEASE_S + 1
        script = scenario({"when": {"last_role": "assistant"}, "text": " And on."}, {"text": "Anew."}, strict=False)
        gateway = continuing(played(script, "openai_chat")[0])
        go_on = partial(revive, gateway)
        async with runs_on(journal, now=lambda: clock[0], recover=True, revive=go_on) as runs:
            got = await all_of(await runs.open("r", ""))
            events = [entry.event for entry in got]
            assert isinstance(events[-1], RunEnd)
            assert events[-1].reason == "finished"
            assert [entry.number for entry in got] == list(range(1, len(got) + 1))
            grammar = Grammar()
            grammar.advance(event for event in events if isinstance(event, REPLY_EVENTS))  # type: ignore[misc]
            assert grammar.fault is None
            assert grammar.ended
            assert events[:kept] == list(WHOLE[:kept])
            assert isinstance(events[0], RunStart)
            assert await all_of(await runs.open("r", "", len(got) - 2)) == got[-2:]

    run(main())


def test_half_a_tool_call_in_a_journal_is_not_gone_on_with() -> None:
    told: list[ev.Event] = [ev.MessageStart("a", "m"), ev.ToolCallStart(0, "c", "t"), ev.ToolCallDelta(0, "{")]
    assert not Seam.after(told).continuable


def test_recovering_needs_answers_that_are_gone_on_with() -> None:
    with pytest.raises(ConfigError, match="on_cut"):
        build(Config(runs=RunsConfig(recover="continue")), {})


def test_a_reader_of_a_killed_gateway_gets_one_seamless_stream_from_another(tmp_path: Path) -> None:
    """Two processes and one file. The one that works on the run is killed; the reader goes on at the other."""

    async def counting(call: Call) -> None:
        last = json.loads(call.body)["messages"][-1]
        begun = len(last["content"].split()) if last["role"] == "assistant" else 0
        await call.head()
        await call.send(WIRE.start())
        for number, word in enumerate(WORDS[begun:]):
            # What was said ends without its white space, which a model says again.
            await call.send(WIRE.text(0, f" {word}" if begun and not number else word, first=number == 0))
            if not begun and number == 200:
                await call.gone()
        await call.send(WIRE.close(0) + WIRE.end())
        await call.end()

    async def main() -> None:
        async with RawUpstream(counting) as upstream:
            arguments = [str(PROGRAM), str(tmp_path / "runs.db"), upstream.url + "/v1", str(LEASE_S), "continue"]
            processes = [
                await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
                for _ in range(2)
            ]
            try:
                ports = []
                for process in processes:
                    assert process.stdout is not None
                    ports.append(int(await process.stdout.readline()))
                there = EventSource(("127.0.0.1", ports[1]), "/api/v1/stream/killed")
                async with RawClient(("127.0.0.1", ports[0])) as client:
                    await client.send("POST", "/api/v1/stream", body(run_id="killed"))
                    assert await client.head() == 200
                    reading = asyncio.create_task(there.read())
                    await client.body.until(b'"200 "')
                    os.kill(processes[0].pid, signal.SIGKILL)
                    with pytest.raises(Cut):
                        await client.body.rest()
                got = await reading
            finally:
                for process in processes:
                    if process.returncode is None:
                        process.kill()
                    await process.wait()
        *pieces, end = got
        assert "".join(json.loads(frame.data)["content"] for frame in pieces) == "".join(WORDS)
        assert json.loads(end.data)["type"] == "complete"
        assert len(upstream.calls) == 2

    run(main(), 60)
