from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from played import DIALECTS, Taken, asked, limited, played, scenario
from tools import Tools, says

from millstream.agent.kept import Kept
from millstream.agent.run import AgentOptions, AgentRun
from millstream.agent.toolbox import Toolbox
from millstream.core import events as ev
from millstream.core import run_events as app
from millstream.core.errors import ClientFault
from millstream.core.events import Event
from millstream.core.grammar import TABLE, Grammar
from millstream.core.messages import Message, Request, TextPart, Tool, ToolCallPart, ToolChoice, ToolResultPart
from millstream.pipeline import Record
from millstream.providers.replay.scenario import Scenario
from millstream.sessions.memory import MemoryStore
from millstream.tools.base import Progress, ToolContext

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = {"name": "weather", "arguments": {"city": "Rome"}}
LOOP = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}.", "usage": {"input_tokens": 30, "output_tokens": 5}},
    {"text": "Let me look.", "tool_calls": [CALL], "usage": {"input_tokens": 10, "output_tokens": 7}},
)
CLIENT_TOOL = Tool("open_door", "Opens it.", {"type": "object"})


async def answered(
    script: Scenario, tools: Tools, dialect: str = "openai_chat", request: Request | None = None, **options: Any
) -> tuple[Taken, list[Request], Record]:
    gateway, transports = played(script, dialect)
    taken, record = Taken(), Record("run1", "test")
    run = AgentRun(
        gateway, Toolbox([tools]), AgentOptions(**options), request or asked(f"{dialect}/m"), record, approvals=None
    )
    await run.run(taken)
    return taken, transports[dialect].requests, record


def reply_of(taken: Taken) -> list[Event]:
    """The reply's own events, which must be a whole stream."""
    events = [event for event in taken.events if type(event) in TABLE]
    grammar = Grammar()
    grammar.advance(events)  # type: ignore[arg-type]  # chosen by the line above
    assert grammar.ended
    return events  # type: ignore[return-value]  # the same


def results(request: Request) -> list[ToolResultPart]:
    return [part for message in request.messages for part in message.parts if isinstance(part, ToolResultPart)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_two_model_calls_and_the_tool_between_them_are_one_reply(dialect: str) -> None:
    tools = Tools().add("weather", says("sun"), CITY)
    taken, requests, record = limited(answered(LOOP, tools, dialect))
    reply = reply_of(taken)
    assert taken.text == "Let me look.It says sun."
    assert [type(event) for event in reply].count(ev.MessageStart) == 1
    assert not taken.of(ev.ToolCallStart)
    assert [event.index for event in taken.of(ev.TextStart)] == [0, 1]
    usage = taken.of(ev.Usage)[-1].usage
    assert (usage.input_tokens, usage.output_tokens) == (40, 12)
    assert record.usage == usage
    assert taken.of(ev.ChoiceEnd) == [ev.ChoiceEnd(0, "stop")]
    assert tools.calls == [("weather", {"city": "Rome"})]
    assert [result.content for result in results(requests[1])] in (["sun"], [(TextPart("sun"),)])
    assert {tool.name for tool in requests[0].tools} == {"weather"}


def test_the_application_lane_tells_what_happens_in_its_order() -> None:
    taken, _, _ = limited(answered(LOOP, Tools().add("weather", says("sun"), CITY)))
    lane = [event for event in taken.events if type(event) not in TABLE]
    assert [type(event).__name__ for event in lane] == [
        "StepStart",
        "ToolDetected",
        "ToolRunStart",
        "ToolRunEnd",
        "StepStart",
    ]
    ran = taken.of(app.ToolRunEnd)[0]
    assert (ran.tool, ran.content, ran.is_error) == ("weather", "sun", False)
    assert [step.number for step in taken.of(app.StepStart)] == [1, 2]


def test_calls_of_one_turn_run_side_by_side() -> None:
    together = asyncio.Barrier(3)

    async def meet(arguments: Mapping[str, Any], context: ToolContext) -> str:
        await together.wait()
        return str(arguments["n"])

    script = scenario(
        {"when": {"last_role": "tool"}, "text": "Done."},
        {"tool_calls": [{"name": "meet", "arguments": {"n": n}} for n in range(3)]},
    )
    taken, requests, _ = limited(answered(script, Tools().add("meet", meet)))
    assert taken.text == "Done."
    assert [result.content for result in results(requests[1])] == ["0", "1", "2"]


def test_text_of_a_turn_has_left_while_its_tool_still_runs() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        taken = Taken()

        async def wait(_: Mapping[str, Any], context: ToolContext) -> str:
            context.progress(Progress(1, 2, "half"))
            await gate.wait()
            return "sun"

        gateway, _ = played(LOOP, "anthropic")
        tools = Toolbox([Tools().add("weather", wait, CITY)])
        run = AgentRun(gateway, tools, AgentOptions(), asked("anthropic/m"), Record("r", "test"))
        async with asyncio.TaskGroup() as group:
            group.create_task(run.run(taken))
            await taken.until(lambda: bool(taken.of(app.ToolRunProgress)))
            assert taken.text == "Let me look."
            assert not taken.of(app.ToolRunEnd)
            gate.set()
        assert taken.text == "Let me look.It says sun."

    limited(main())


def test_wrong_arguments_are_told_to_the_model_which_can_repair_them() -> None:
    script = scenario(
        {"when": {"turn": 1}, "tool_calls": [{"name": "weather", "arguments": {"city": 7}}]},
        {"when": {"turn": 2}, "tool_calls": [{"name": "weather", "arguments": '{"city": "Ro'}]},
        {"when": {"turn": 3}, "tool_calls": [CALL]},
        {"text": "At last."},
    )
    tools = Tools().add("weather", says("sun"), CITY)
    taken, requests, _ = limited(answered(script, tools))
    told = [(end.is_error, str(end.content)) for end in taken.of(app.ToolRunEnd)]
    assert told[0][0]
    assert "city: 7 is not of type 'string'" in told[0][1]
    assert told[1][0]
    assert "not valid JSON" in told[1][1]
    assert told[2] == (False, "sun")
    assert tools.calls == [("weather", {"city": "Rome"})]
    assert taken.text == "At last."
    assert len(requests) == 4


@pytest.mark.parametrize("dialect", DIALECTS)
def test_broken_arguments_leave_a_history_that_every_upstream_takes(dialect: str) -> None:
    script = scenario(
        {"when": {"last_role": "tool"}, "text": "Sorry."},
        {"tool_calls": [{"name": "weather", "arguments": '{"city": "Ro' if dialect != "gemini" else {"city": 3}}]},
    )
    taken, requests, _ = limited(answered(script, Tools().add("weather", says("sun"), CITY), dialect))
    assert taken.text == "Sorry."
    assert results(requests[1])


def test_a_tool_that_throws_fails_for_the_model_alone() -> None:
    async def throw(_: Mapping[str, Any], __: ToolContext) -> str:
        raise ValueError("no such place")

    taken, _, record = limited(answered(LOOP, Tools().add("weather", throw, CITY)))
    assert taken.of(app.ToolRunEnd)[0].is_error
    assert "ValueError: no such place" in taken.text
    assert record.error is None


def test_a_tool_that_hangs_is_stopped_at_its_time_limit() -> None:
    async def hang(_: Mapping[str, Any], __: ToolContext) -> str:
        await asyncio.Event().wait()
        raise AssertionError

    tools = Tools().add("weather", hang, CITY, timeout=0.05)
    taken, _, _ = limited(answered(LOOP, tools))
    assert "longer than 0.05 s" in taken.text
    assert tools.ended == ["weather"]


def test_a_result_of_a_hundred_megabytes_is_cut_and_says_so() -> None:
    async def shout(_: Mapping[str, Any], __: ToolContext) -> str:
        return "a" * 100_000_000

    taken, requests, _ = limited(answered(LOOP, Tools().add("weather", shout, CITY)))
    content = str(results(requests[1])[0].content)
    assert len(content) < 101_000
    assert "of 100000000 characters" in content
    assert len(str(taken.of(app.ToolRunEnd)[0].content)) < 101_000


def test_a_model_that_never_ends_is_ended_with_what_there_is() -> None:
    script = scenario({"text": "Again.", "tool_calls": [CALL]})
    tools = Tools().add("weather", says("sun"), CITY)
    taken, requests, _ = limited(answered(script, tools, max_iterations=3))
    assert len(requests) == 3
    assert len(tools.calls) == 2
    assert taken.text.startswith("Again.Again.Again.")
    assert "Stopped after 3 model calls" in taken.text
    assert taken.of(ev.ChoiceEnd) == [ev.ChoiceEnd(0, "stop")]
    assert [status.status for status in taken.of(app.Status)] == ["max_iterations"]
    reply_of(taken)


def test_a_tool_that_does_not_exist_is_told_to_the_model() -> None:
    script = scenario(
        {"when": {"last_role": "tool"}, "text": "{{result}}"}, {"tool_calls": [{"name": "flight", "arguments": {}}]}
    )
    taken, _, _ = limited(answered(script, Tools().add("weather", says("sun"), CITY)))
    assert "There is no tool 'flight'. There are: weather." in taken.text


def test_a_forced_tool_is_forced_once() -> None:
    request = asked("openai_chat/m", tool_choice=ToolChoice("any"))
    _, requests, _ = limited(answered(LOOP, Tools().add("weather", says("sun"), CITY), request=request))
    modes = [request.tool_choice.mode if request.tool_choice else "auto" for request in requests]
    assert modes == ["any", "auto"]


def test_an_upstream_that_fails_later_ends_the_reply_with_its_fault() -> None:
    script = scenario(
        {"when": {"last_role": "tool"}, "fault": {"kind": "status", "status": 400}},
        {"text": "Let me look.", "tool_calls": [CALL]},
    )
    taken, _, record = limited(answered(script, Tools().add("weather", says("sun"), CITY)))
    fault = taken.of(ev.Fault)[0]
    assert (fault.whose, fault.status, fault.content_sent) == ("upstream", 400, True)
    assert record.error is not None
    reply_of(taken)


def test_an_upstream_that_is_busy_in_a_later_round_is_asked_again() -> None:
    script = scenario(
        {"when": {"last_role": "tool"}, "text": "Sun.", "fault": {"kind": "status", "status": 529, "times": 1}},
        {"tool_calls": [CALL]},
    )
    taken, requests, record = limited(answered(script, Tools().add("weather", says("sun"), CITY)))
    assert taken.text == "Sun."
    assert len(requests) == 3
    assert record.error is None


def test_tools_of_the_client_stay_the_clients() -> None:
    script = scenario({"text": "Opening.", "tool_calls": [{"name": "open_door", "arguments": {"n": 1}}]})
    request = asked("openai_chat/m", tools=[CLIENT_TOOL])
    taken, requests, _ = limited(answered(script, Tools().add("weather", says("sun"), CITY), request=request))
    assert [call.name for call in taken.of(ev.ToolCallStart)] == ["open_door"]
    assert taken.of(ev.ChoiceEnd) == [ev.ChoiceEnd(0, "tool_calls")]
    assert len(requests) == 1
    assert not taken.of(app.ToolDetected)
    reply_of(taken)


MIXED = scenario(
    {"when": {"turn": 1}, "text": "First.", "tool_calls": [CALL]},
    {"when": {"turn": 2}, "text": "Both.", "tool_calls": [CALL, {"name": "open_door", "arguments": {"n": 1}}]},
    {"text": "All done."},
)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("remembered", [True, False])
def test_a_mixed_turn_goes_on_from_the_clients_history(dialect: str, remembered: bool) -> None:
    async def main() -> None:
        gateway, transports = played(MIXED, dialect)
        tools = Tools().add("weather", says("sun"), CITY)
        kept = Kept(MemoryStore(lambda: 0.0, 1 << 20), lambda: 0.0) if remembered else None

        async def turn(*messages: Message) -> Taken:
            request = asked(f"{dialect}/m", tools=[CLIENT_TOOL], messages=messages)
            taken = Taken()
            run = AgentRun(gateway, Toolbox([tools]), AgentOptions(), request, Record("r", "test"), kept=kept)
            await run.run(taken)
            reply_of(taken)
            return taken

        question = Message("user", (TextPart("Do it."),))
        first = await turn(question)
        call = first.of(ev.ToolCallStart)[0]
        assert (call.name, first.text) == ("open_door", "First.Both.")
        assert first.of(ev.ChoiceEnd)[0].reason == "tool_calls"
        assert len(tools.calls) == 2
        said = Message("assistant", (TextPart("First.Both."), ToolCallPart(call.id, call.name, '{"n":1}')))
        answer = Message("user", (ToolResultPart(call.id, "open", name="open_door"),))
        if remembered:
            second = await turn(question, said, answer)
            assert second.text == "All done."
            last = transports[dialect].requests[-1]
            assert len(results(last)) == 3
            calls = [p for m in last.messages for p in m.parts if isinstance(p, ToolCallPart)]
            assert [call.name for call in calls] == ["weather", "weather", "open_door"]
        else:
            await turn(question, said, answer)
            last = transports[dialect].requests[2]
            assert len(results(last)) == 1

    limited(main())


def test_cancelling_ends_every_tool() -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def hang(_: Mapping[str, Any], __: ToolContext) -> str:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

        tools = Tools().add("weather", hang, CITY)
        gateway, _ = played(LOOP, "openai_chat")
        run = AgentRun(gateway, Toolbox([tools]), AgentOptions(), asked("openai_chat/m"), Record("r", "test"))
        task = asyncio.create_task(run.run(Taken()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert tools.ended == ["weather"]
        assert len(asyncio.all_tasks()) == 1

    limited(main())


def test_a_slow_reader_gets_every_event_but_surplus_progress_in_order() -> None:
    async def main() -> None:
        async def busy(_: Mapping[str, Any], context: ToolContext) -> str:
            for number in range(5000):
                context.progress(Progress(number))
            return "sun"

        async def slow() -> None:
            for _ in range(3):
                await asyncio.sleep(0)

        gateway, _ = played(LOOP, "openai_chat")
        tools = Toolbox([Tools().add("weather", busy, CITY)])
        taken = Taken(slow)
        await AgentRun(gateway, tools, AgentOptions(), asked("openai_chat/m"), Record("r", "test")).run(taken)
        numbers = [event.current for event in taken.of(app.ToolRunProgress)]
        assert numbers == sorted(numbers)  # type: ignore[type-var]  # all are numbers
        assert 900 < len(numbers) < 1100
        assert taken.text == "Let me look.It says sun."
        reply_of(taken)

    limited(main())


def test_without_tools_it_is_one_model_call_with_the_upstreams_own_ids() -> None:
    async def main() -> None:
        script = scenario({"text": "Hi.", "tool_calls": [{"name": "open_door", "id": "call_theirs"}]})
        gateway, transports = played(script, "openai_chat")
        taken = Taken()
        request = asked("openai_chat/m", tools=[CLIENT_TOOL])
        await AgentRun(gateway, Toolbox(), AgentOptions(), request, Record("r", "test")).run(taken)
        assert [call.id for call in taken.of(ev.ToolCallStart)] == ["call_theirs"]
        assert len(transports["openai_chat"].requests) == 1
        reply_of(taken)

    limited(main())


def test_a_model_that_is_not_there_is_refused_before_anything_runs() -> None:
    gateway, _ = played(LOOP, "openai_chat")
    with pytest.raises(ClientFault, match="no model"):
        AgentRun(gateway, Toolbox(), AgentOptions(), asked("nowhere"), Record("r", "test"))


def test_twenty_calls_at_once_run_as_many_at_a_time_as_may() -> None:
    running: list[int] = [0]
    most: list[int] = [0]

    async def count(arguments: Mapping[str, Any], _: ToolContext) -> str:
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running[0] -= 1
        return str(arguments["n"])

    script = scenario(
        {"when": {"last_role": "tool"}, "text": "Done."},
        {"tool_calls": [{"name": "count", "arguments": {"n": n}} for n in range(20)]},
    )
    taken, requests, _ = limited(answered(script, Tools().add("count", count), parallel=4))
    assert most == [4]
    assert [result.content for result in results(requests[1])] == [str(n) for n in range(20)]
    assert len(taken.of(app.ToolRunEnd)) == 20
