"""Tools that run here, for clients of the Responses API: over its WebSocket, and in the background."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateway_site import run
from openai import AsyncOpenAI
from played import scenario
from responses_site import sdk
from responses_socket import answer_to, ask, hear, socket_to, text_of
from tools import Tools, says

from millstream.config import Config, ProviderConfig, SessionsConfig, ToolsConfig
from millstream.providers.replay.scenario import Scenario
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import ReplayServer, replay_server
from millstream.tools.base import ToolContext

MODEL = "up/m"
LOOP = scenario(
    {"when": {"last_contains": "And now?"}, "text": "Still so."},
    {"when": {"last_role": "tool"}, "text": "It says {{result}}."},
    {"text": "Let me look.", "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]},
)


class Held:
    """A tool's work that a test lets go on; what it waits for may be cancelled."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.cancelled = threading.Event()

    async def __call__(self, _: Mapping[str, Any], context: ToolContext) -> str:
        self.begun.set()
        try:
            while not self.go_on.is_set():  # noqa: ASYNC110 - it is set from another thread
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "sun"


async def happens(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


@asynccontextmanager
async def place(
    script: Scenario, tools: Tools, dialect: str = "openai_chat"
) -> AsyncIterator[tuple[GatewayThread, ReplayServer]]:
    async with replay_server(script) as upstream:
        provider = ProviderConfig(dialect=dialect, base_url=upstream.url + "/v1", default_model="m")
        config = Config(
            providers={"up": provider},
            default_model=MODEL,
            tools=ToolsConfig(mode="gateway"),
            sessions=SessionsConfig(store="memory"),
        )
        with GatewayThread(config, tools=[tools]) as gateway:
            yield gateway, upstream


def told(upstream: ReplayServer) -> list[dict[str, Any]]:
    """The messages of the latest request."""
    messages: list[dict[str, Any]] = json.loads(upstream.requests[-1])["messages"]
    return messages


def test_a_turn_on_the_websocket_runs_its_tools_and_the_next_goes_on_from_it() -> None:
    async def main() -> None:
        tools = Tools().add("weather", says("sun"))
        async with place(LOOP, tools) as (gateway, upstream), socket_to(gateway) as connection:
            await ask(connection, model=MODEL, input="Weather?")
            events = await hear(connection)
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            first = events[-1]["response"]
            texts = [item["content"][0]["text"] for item in first["output"] if item["type"] == "message"]
            assert texts == ["Let me look.", "It says sun."]
            assert not [item for item in first["output"] if item["type"] == "function_call"]
            assert tools.calls == [("weather", {"city": "Rome"})]
            second = await answer_to(connection, model=MODEL, input="And now?", previous_response_id=first["id"])
            assert text_of(second) == "Still so."
            assert "Running" not in json.dumps(told(upstream))  # lines of progress are not the model's words
            assert "It says sun." in json.dumps(told(upstream))

    run(main())


@pytest.mark.parametrize("on", ["http", "websocket", "background"])
def test_an_upstream_of_the_same_api_is_told_the_whole_too(on: str) -> None:
    """What it stores itself ends with the call of the tool, which nobody answers there."""

    async def main() -> None:
        tools = Tools().add("weather", says("sun"))
        async with place(LOOP, tools, "openai_responses") as (gateway, upstream), sdk(gateway) as client:
            if on == "websocket":
                async with socket_to(gateway) as connection:
                    first = (await answer_to(connection, model=MODEL, input="Weather?"))["id"]
                    asked = {"model": MODEL, "input": "And now?", "previous_response_id": first}
                    assert text_of(await answer_to(connection, **asked)) == "Still so."
            else:
                reply = await client.responses.create(model=MODEL, input="Weather?", background=on == "background")
                reply = await until(client, reply.id, lambda reply: reply.status == "completed")
                assert reply.output_text == "Let me look.It says sun."
                more = await client.responses.create(model=MODEL, input="And now?", previous_response_id=reply.id)
                assert (more.output_text, more.previous_response_id) == ("Still so.", reply.id)
        last = json.loads(upstream.requests[-1])
        assert "previous_response_id" not in last
        assert [item for item in last["input"] if item.get("role") == "assistant"]
        assert "Weather?" in json.dumps(last["input"])
        assert not any(json.loads(body).get("background") for body in upstream.requests)

    run(main())


def test_two_turns_on_one_websocket_run_their_tools_side_by_side() -> None:
    async def main() -> None:
        slow = Held()
        tools = Tools().add("weather", slow).add("quick", says("now"))
        script = scenario(
            {"when": {"last_role": "tool"}, "text": "It says {{result}}."},
            {"when": {"last_contains": "Quick"}, "tool_calls": [{"name": "quick", "arguments": {}}]},
            {"tool_calls": [{"name": "weather", "arguments": {}}]},
        )
        async with place(script, tools) as (gateway, _), socket_to(gateway) as connection:
            await ask(connection, model=MODEL, input="Weather?", stream_id="slow")
            await happens(slow.begun)
            await ask(connection, model=MODEL, input="Quick!", stream_id="quick")
            quick = await hear(connection)
            assert (quick[-1]["stream_id"], text_of(quick[-1]["response"])) == ("quick", "It says now.")
            slow.go_on.set()
            end = (await hear(connection))[-1]
            assert (end["stream_id"], text_of(end["response"])) == ("slow", "It says sun.")

    run(main())


def test_a_mixed_turn_on_the_websocket_resumes_with_the_clients_result() -> None:
    async def main() -> None:
        tools = Tools().add("weather", says("sun"))
        script = scenario(
            {"when": {"last_role": "tool"}, "text": "All done."},
            {
                "tool_calls": [
                    {"name": "weather", "arguments": {"city": "Rome"}},
                    {"name": "open_door", "arguments": {}},
                ]
            },
        )
        door = {"type": "function", "name": "open_door", "parameters": {"type": "object"}}
        async with place(script, tools) as (gateway, upstream), socket_to(gateway) as connection:
            first = await answer_to(connection, model=MODEL, input="Go.", tools=[door])
            (call,) = [item for item in first["output"] if item["type"] == "function_call"]
            assert call["name"] == "open_door"
            result = {"type": "function_call_output", "call_id": call["call_id"], "output": "open"}
            asked = {"model": MODEL, "tools": [door], "previous_response_id": first["id"]}
            assert text_of(await answer_to(connection, input=[result], **asked)) == "All done."
            results = [message["content"] for message in told(upstream) if message["role"] == "tool"]
            assert sorted(map(str, results)) == ["open", "sun"]
            assert len(tools.calls) == 1

    run(main())


def test_a_websocket_that_closes_ends_the_tool() -> None:
    async def main() -> None:
        held = Held()
        async with place(LOOP, Tools().add("weather", held)) as (gateway, _):
            async with socket_to(gateway) as connection:
                await ask(connection, model=MODEL, input="Weather?")
                while "Running weather" not in str(await connection.recv()):
                    pass
                await happens(held.begun)
            await happens(held.cancelled)

    run(main())


async def until(client: AsyncOpenAI, reply_id: str, done: Callable[[Any], bool]) -> Any:
    while not done(reply := await client.responses.retrieve(reply_id)):
        pass
    return reply


def test_a_background_reply_runs_its_tools() -> None:
    async def main() -> None:
        held = Held()
        async with place(LOOP, Tools().add("weather", held)) as (gateway, _), sdk(gateway) as client:
            queued = await client.responses.create(model=MODEL, input="Weather?", background=True)
            await happens(held.begun)
            running = await until(client, queued.id, lambda reply: "Let me look." in reply.output_text)
            assert running.status == "in_progress"
            held.go_on.set()
            done = await until(client, queued.id, lambda reply: reply.status != "in_progress")
            assert (done.status, done.output_text) == ("completed", "Let me look.It says sun.")
            more = await client.responses.create(model=MODEL, input="And now?", previous_response_id=queued.id)
            assert more.output_text == "Still so."

    run(main())


def test_cancelling_a_background_reply_ends_its_tool() -> None:
    async def main() -> None:
        held = Held()
        async with place(LOOP, Tools().add("weather", held)) as (gateway, upstream), sdk(gateway) as client:
            queued = await client.responses.create(model=MODEL, input="Weather?", background=True)
            await happens(held.begun)
            assert (await client.responses.cancel(queued.id)).status == "cancelled"
            await happens(held.cancelled)
            assert len(upstream.requests) == 1

    run(main())


def test_a_background_stream_outlives_its_client_while_a_tool_runs() -> None:
    async def main() -> None:
        held = Held()
        async with place(LOOP, Tools().add("weather", held)) as (gateway, _), sdk(gateway) as client:
            stream = await client.responses.create(model=MODEL, input="Weather?", background=True, stream=True)
            seen = []
            async for event in stream:
                seen.append(event)
                if event.type == "response.output_text.delta":
                    break
            await stream.close()
            await happens(held.begun)
            reply_id = seen[0].response.id  # type: ignore[union-attr]  # a response.created
            resumed = await client.responses.retrieve(reply_id, stream=True, starting_after=seen[-1].sequence_number)
            held.go_on.set()
            seen += [event async for event in resumed]
            assert [event.sequence_number for event in seen] == list(range(len(seen)))
            assert seen[-1].type == "response.completed"
            assert seen[-1].response.output_text == "Let me look.It says sun."

    run(main())
