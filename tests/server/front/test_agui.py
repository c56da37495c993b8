"""``/agui`` on real sockets, with a scripted upstream."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateway_site import run
from played import scenario
from raw_client import RawClient
from tools import Tools, says

from millstream.config import Config, ProviderConfig, SessionsConfig, ToolsConfig
from millstream.providers.replay.scenario import Scenario
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import ReplayServer, replay_server

LOOP = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}.", "usage": {"input_tokens": 30, "output_tokens": 5}},
    {"text": "Let me look.", "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]},
)
ASK = {"permissions": {"weather": "ask"}}


class Place:
    def __init__(self, gateway: GatewayThread, upstream: ReplayServer) -> None:
        self.gateway = gateway
        self.upstream = upstream

    async def ask(
        self, body: dict[str, Any] | None, path: str = "/agui", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        if body is not None:
            return await self.send(json.dumps(body), headers, path)
        async with RawClient(self.gateway.address) as client:
            return await client.ask("GET", path, b"", headers or {})

    async def send(self, body: str, headers: dict[str, str] | None = None, path: str = "/agui") -> tuple[int, bytes]:
        async with RawClient(self.gateway.address) as client:
            return await client.ask("POST", path, body.encode(), headers or {})


@asynccontextmanager
async def place(script: Scenario, tools: Tools, **settings: Any) -> AsyncIterator[Place]:
    async with replay_server(script) as upstream:
        provider = ProviderConfig(dialect="openai_chat", base_url=upstream.url + "/v1", default_model="m")
        config = Config(
            providers={"up": provider},
            default_model="up/m",
            tools=ToolsConfig(**settings),
            sessions=SessionsConfig(store="memory"),
        )
        with GatewayThread(config, tools=[tools]) as gateway:
            yield Place(gateway, upstream)


def body(run_id: str = "r1", **fields: Any) -> dict[str, Any]:
    message = {"id": "u1", "role": "user", "content": "Weather?"}
    given = {"threadId": "t1", "runId": run_id, "messages": [message], "tools": [], "context": [], "state": {}}
    return given | {"forwardedProps": {}} | fields


def events(answer: tuple[int, bytes]) -> list[dict[str, Any]]:
    status, data = answer
    assert status == 200, data
    return [json.loads(frame.partition("data: ")[2]) for frame in data.decode().split("\n\n") if "data: " in frame]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    names = [one["type"] for one in found]
    return [name for n, name in enumerate(names) if n == 0 or not (name.endswith("CONTENT") and names[n - 1] == name)]


def weather() -> Tools:
    return Tools().add("weather", says("sun"))


TEXT = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
CALL = ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"]


def test_a_run_with_a_tool_is_told_in_the_protocols_events() -> None:
    async def main() -> None:
        async with place(LOOP, weather()) as there:
            found = events(await there.ask(body()))
        first = ["STEP_STARTED", *TEXT, *CALL, "TOOL_CALL_RESULT", "STEP_FINISHED"]
        assert kinds(found) == ["RUN_STARTED", *first, "STEP_STARTED", *TEXT, "STEP_FINISHED", "RUN_FINISHED"]
        assert (found[0]["threadId"], found[0]["runId"]) == ("t1", "r1")
        assert found[-1]["outcome"] == {"type": "success"}
        assert found[-1]["usage"][0]["outputTokens"] > 0

    run(main())


@pytest.mark.parametrize("approved", [True, False])
def test_an_approval_is_an_interrupt_and_resume_goes_on(*, approved: bool) -> None:
    async def main() -> None:
        tools = weather()
        async with place(LOOP, tools, **ASK) as there:
            first = events(await there.ask(body()))
            (question,) = first[-1]["outcome"]["interrupts"]
            assert first[-1]["outcome"]["type"] == "interrupt"
            assert question["toolCallId"] == first[[e["type"] for e in first].index("TOOL_CALL_START")]["toolCallId"]
            assert tools.calls == []
            answer = {"interruptId": question["id"], "status": "resolved", "payload": {"approved": approved}}
            resumed = body("r2", resume=[answer])
            second = events(await there.ask(resumed))
            assert (second[0]["type"], second[0]["runId"]) == ("RUN_STARTED", "r2")
            assert bool(tools.calls) is approved
            (result,) = [event for event in second if event["type"] == "TOOL_CALL_RESULT"]
            assert ("sun" if approved else "not allowed") in result["content"]
            assert second[-1]["outcome"] == {"type": "success"}
            assert events(await there.ask(resumed)) == second

    run(main())


def called_in(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation after a run of a call, as a client keeps it."""
    start = next(event for event in found if event["type"] == "TOOL_CALL_START")
    function = {"name": "weather", "arguments": '{"city":"Rome"}'}
    call = {"id": start["toolCallId"], "type": "function", "function": function}
    return [*body()["messages"], {"id": start["parentMessageId"], "role": "assistant", "toolCalls": [call]}]


def test_a_run_that_goes_on_begins_with_the_conversation_that_tells_of_its_calls() -> None:
    async def main() -> None:
        async with place(LOOP, weather(), **ASK) as there:
            first = events(await there.ask(body()))
            (question,) = first[-1]["outcome"]["interrupts"]
            answer = {"interruptId": question["id"], "status": "resolved", "payload": {"approved": True}}
            messages = called_in(first)
            resumed = json.dumps(body("r2", resume=[answer], messages=messages), indent=2)
            status, data = await there.send(resumed)
            found = events((status, data))
            assert kinds(found)[:2] == ["RUN_STARTED", "MESSAGES_SNAPSHOT"]
            assert found[1]["messages"] == messages
            assert "TOOL_CALL_RESULT" in kinds(found)
            assert "TOOL_CALL_START" not in kinds(found)
            frames = data.split(b"\n\n")
            second = frames[1].partition(b"\n")[0].removeprefix(b"id: ").decode()
            rest = b"\n\n".join(frames[2:])
            assert await there.send(resumed, {"last-event-id": second}) == (status, rest)
            known = await there.ask(None, "/agui?runId=r2", {"last-event-id": second})
            assert known == (status, rest), "events have the same ids where there is no history"

    run(main())


def test_a_client_that_sends_only_part_of_the_conversation_keeps_its_own() -> None:
    async def main() -> None:
        async with place(LOOP, weather(), **ASK) as there:
            (question,) = events(await there.ask(body()))[-1]["outcome"]["interrupts"]
            answer = {"interruptId": question["id"], "status": "resolved", "payload": {"approved": True}}
            found = events(await there.ask(body("r2", resume=[answer])))
            assert "MESSAGES_SNAPSHOT" not in kinds(found)
            assert found[-1]["outcome"] == {"type": "success"}

    run(main())


TWO = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}."},
    {"tool_calls": [{"name": "weather", "arguments": {"city": city}} for city in ("Rome", "Oslo")]},
)


def test_of_two_questions_answered_at_once_what_comes_of_either_is_told() -> None:
    async def main() -> None:
        async with place(TWO, weather(), **ASK) as there:
            questions = events(await there.ask(body()))[-1]["outcome"]["interrupts"]
            resume = [
                {"interruptId": question["id"], "status": "resolved", "payload": {"approved": approved}}
                for question, approved in zip(questions, (False, True), strict=True)
            ]
            resumed = body("r2", resume=resume)
            found = events(await there.ask(resumed))
            results = [event for event in found if event["type"] == "TOOL_CALL_RESULT"]
            assert [one["toolCallId"] for one in results] == [one["toolCallId"] for one in questions]
            assert found[-1]["outcome"] == {"type": "success"}
            assert events(await there.ask(resumed)) == found

    run(main())


@pytest.mark.parametrize("payload", [None, {}, {"approved": "yes"}, "true"])
def test_only_a_plain_yes_lets_a_tool_run(payload: Any) -> None:
    async def main() -> None:
        tools = weather()
        async with place(LOOP, tools, **ASK) as there:
            (question,) = events(await there.ask(body()))[-1]["outcome"]["interrupts"]
            answer = {"interruptId": question["id"], "status": "resolved", "payload": payload}
            events(await there.ask(body("r2", resume=[answer])))
            assert tools.calls == []

    run(main())


def test_a_known_run_is_told_again_from_the_event_that_was_the_last() -> None:
    async def main() -> None:
        async with place(LOOP, weather()) as there:
            status, data = await there.ask(body())
            asked = len(there.upstream.requests)
            frames = data.split(b"\n\n")
            last = frames[7].partition(b"\n")[0].removeprefix(b"id: ").decode()
            rest = await there.ask(body(), headers={"last-event-id": last, "x-run-id": "r1"})
            assert rest == (status, b"\n\n".join(frames[8:]))
            assert await there.ask(None, "/agui?runId=r1&offset=-1") == (status, data)
            assert (await there.ask(None, "/agui?runId=other&offset=-1"))[0] == 204
            assert len(there.upstream.requests) == asked

    run(main())


def test_a_failure_is_a_run_error() -> None:
    async def main() -> None:
        broken = scenario({"text": "One two three four.", "fault": {"kind": "error_event", "after": 4}})
        async with place(broken, weather()) as there:
            found = events(await there.ask(body()))
        assert found[-1]["type"] == "RUN_ERROR"
        assert found[-1]["message"]

    run(main())


def test_tools_of_the_page_are_called_there_and_their_results_are_read() -> None:
    async def main() -> None:
        script = scenario(
            {"when": {"last_role": "tool"}, "text": "It is {{result}}."},
            {"tool_calls": [{"name": "paint", "arguments": {"colour": "red"}}]},
        )
        tool = {"name": "paint", "description": "Paints.", "parameters": {"type": "object"}}
        async with place(script, weather()) as there:
            found = events(await there.ask(body(tools=[tool])))
            assert [kind for kind in dict.fromkeys(kinds(found)) if kind.startswith("TOOL")] == CALL
            start = next(event for event in found if event["type"] == "TOOL_CALL_START")
            called = {"id": start["toolCallId"], "type": "function", "function": {"name": "paint", "arguments": "{}"}}
            messages = [
                *body()["messages"],
                {"id": "a", "role": "assistant", "toolCalls": [called]},
                {"id": "b", "role": "tool", "toolCallId": start["toolCallId"], "content": "done"},
            ]
            found = events(await there.ask(body("r2", tools=[tool], messages=messages)))
            assert "".join(event.get("delta", "") for event in found) == "It is done."

    run(main())
