"""``/mcp/chat`` on real sockets, with a scripted upstream."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from gateway_site import run
from played import scenario
from raw_client import RawClient
from tools import Tools, says

from millstream.config import AutoConfig, Config, ProviderConfig, RunsConfig, ToolsConfig
from millstream.providers.replay.scenario import Scenario
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import ReplayServer, replay_server
from millstream.tools.base import Progress, ToolContext, ToolSourceError, ToolSpec

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CALL = {"name": "weather", "arguments": {"city": "Rome"}}
LOOP = scenario(
    {"when": {"last_role": "tool"}, "text": "It says {{result}}.", "usage": {"input_tokens": 30, "output_tokens": 5}},
    {"text": "Let me look.", "tool_calls": [CALL], "usage": {"input_tokens": 10, "output_tokens": 7}},
)


class Place:
    """A gateway before an upstream."""

    def __init__(self, gateway: GatewayThread, upstream: ReplayServer) -> None:
        self.gateway = gateway
        self.upstream = upstream

    async def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        async with RawClient(self.gateway.address) as client:
            status, data = await client.ask("POST", path, json.dumps(body).encode())
            return status, json.loads(data)

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        async with RawClient(self.gateway.address) as client:
            status, data = await client.ask("GET", path)
            return status, json.loads(data)

    async def events(self, **body: Any) -> list[dict[str, Any]]:
        async with RawClient(self.gateway.address) as client:
            status, data = await client.ask(
                "POST", "/mcp/chat/stream", json.dumps({"query": "Weather?", **body}).encode()
            )
            assert status == 200
            return frames(data)

    async def idle(self) -> None:
        """Until nothing is under way any more."""
        while await asyncio.to_thread(lambda: self.gateway.open_streams):
            await asyncio.to_thread(threading.Event().wait, 0.01)


@asynccontextmanager
async def place(script: Scenario, tools: Tools, **settings: Any) -> AsyncIterator[Place]:
    async with replay_server(script) as upstream:
        provider = ProviderConfig(dialect="openai_chat", base_url=upstream.url + "/v1", default_model="m")
        runs = settings.pop("runs", RunsConfig())
        auto = settings.pop("auto", AutoConfig())
        config = Config(
            providers={"up": provider},
            default_model="up/m",
            aliases={"small": "up/tiny", "large": "up/huge"},
            tools=ToolsConfig(**settings),
            runs=runs,
            auto=auto,
        )
        with GatewayThread(config, tools=[tools]) as gateway:
            yield Place(gateway, upstream)


def frames(data: bytes) -> list[dict[str, Any]]:
    found = []
    for frame in data.decode().split("\n\n"):
        if frame and not frame.startswith(":"):
            assert frame.startswith("data: ")
            assert "\n" not in frame
            found.append(json.loads(frame[6:]))
    return found


def weather() -> Tools:
    return Tools().add("weather", says("sun"), CITY)


def test_a_run_is_told_event_by_event_in_order() -> None:
    async def main() -> list[dict[str, Any]]:
        async with place(LOOP, weather()) as there:
            return await there.events(session_id="s1")

    events = run(main())
    names = [event["type"] for event in events]
    assert re.sub(r"(text_chunk )+", "text_chunk ", " ".join(names) + " ").split() == [
        "session_start",
        "iteration_start",
        "text_chunk",
        "tool_detected",
        "tools_executing",
        "tool_progress",
        "tool_progress",
        "tool_result",
        "iteration_start",
        "text_chunk",
        "complete",
    ]
    by_type = {event["type"]: event for event in events}
    start, end = events[0], events[-1]
    assert (start["session_id"], start["model"]) == ("s1", "up/m")
    assert start["run_id"].startswith("run_")
    assert by_type["tools_executing"]["tools"] == ["weather"]
    assert by_type["tools_executing"]["count"] == 1
    running, done = (event for event in events if event["type"] == "tool_progress")
    assert (running["status"], running["progress"]) == ("executing", {"current": 0, "total": 1})
    assert (done["status"], done["progress"]) == ("completed", {"current": 1, "total": 1})
    assert re.fullmatch(r"\d+ms", done["executionTime"])
    result = by_type["tool_result"]
    assert (result["tool"], result["content"], result["is_error"]) == ("weather", "sun", False)
    ids = {event["tool_call_id"] for event in events if "tool_call_id" in event}
    assert len(ids) == 1
    assert end["text"] == "Let me look.It says sun."
    assert (end["iterations"], end["tool_calls"], end["finish_reason"]) == (2, 1, "stop")
    assert end["usage"] == {"input_tokens": 40, "output_tokens": 12, "total_tokens": 52}
    assert events[-2]["accumulated"] == end["text"]
    moments = [datetime.strptime(event["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z") for event in events]
    assert moments == sorted(moments)


def test_the_whole_text_so_far_is_left_out_where_it_is_not_wanted() -> None:
    async def main() -> list[dict[str, Any]]:
        async with place(LOOP, weather()) as there:
            return await there.events(accumulated=False)

    assert not any("accumulated" in event for event in run(main()))


def test_a_whole_answer_has_the_same_and_the_tools_results() -> None:
    async def main() -> tuple[int, dict[str, Any]]:
        async with place(LOOP, weather()) as there:
            return await there.post("/mcp/chat", messages=[{"role": "user", "content": "Weather?"}])

    status, body = run(main())
    assert status == 200
    assert (body["text"], body["iterations"], body["tool_calls"]) == ("Let me look.It says sun.", 2, 1)
    assert body["run_id"].startswith("run_")
    assert [result["content"] for result in body["tool_results"]] == ["sun"]


def test_a_failure_is_an_event_of_a_stream_and_a_status_of_the_whole() -> None:
    async def main() -> None:
        script = scenario({"fault": {"kind": "status", "status": 401}})
        async with place(script, weather()) as there:
            last = (await there.events())[-1]
            assert (last["type"], last["code"], last["retryable"]) == ("error", "invalid_api_key", False)
            assert last["message"]
            status, body = await there.post("/mcp/chat", query="Weather?")
            assert (status, body["type"], body["code"]) == (401, "error", "invalid_api_key")

    run(main())


@pytest.mark.parametrize(
    ("body", "said"),
    [({}, "query"), ({"query": "a", "model": "nowhere"}, "no model"), ({"query": "a", "max_iterations": 0}, ">= 1")],
)
def test_a_request_that_cannot_be_served_is_refused_with_the_reason(body: dict[str, Any], said: str) -> None:
    async def main() -> None:
        async with place(LOOP, weather()) as there:
            status, answer = await there.post("/mcp/chat/stream", **body)
            assert 400 <= status < 500
            assert answer["type"] == "error"
            assert said in answer["message"]

    run(main())


def test_only_the_tools_that_are_named_are_offered() -> None:
    async def main() -> None:
        tools = weather().add("flight", says("late"))
        async with place(scenario({"text": "Hi."}), tools) as there:
            await there.events(tools=["fli*"])
            await there.events(tools=["house"])
            await there.events()
            offered = [
                [tool["function"]["name"] for tool in json.loads(body)["tools"]] for body in there.upstream.requests
            ]
            assert offered == [["flight"], ["weather", "flight"], ["weather", "flight"]]

    run(main())


def test_a_model_that_never_ends_is_ended_and_the_end_says_so() -> None:
    async def main() -> list[dict[str, Any]]:
        async with place(scenario({"text": "Again.", "tool_calls": [CALL]}), weather()) as there:
            return await there.events(max_iterations=2)

    end = run(main())[-1]
    assert (end["type"], end["finish_reason"], end["iterations"]) == ("complete", "max_iterations", 2)
    assert "Stopped after 2 model calls" in end["text"]


def test_progress_leaves_while_the_tool_runs_and_silence_is_filled() -> None:
    async def main() -> None:
        go_on = threading.Event()

        async def slow(_: Mapping[str, Any], context: ToolContext) -> str:
            context.progress(Progress(3, 7, "third"))
            await asyncio.to_thread(go_on.wait)
            return "sun"

        async with (
            place(LOOP, Tools().add("weather", slow, CITY), runs=RunsConfig(heartbeat=0.05)) as there,
            RawClient(there.gateway.address) as client,
        ):
            await client.send("POST", "/mcp/chat/stream", b'{"query": "Weather?"}')
            assert await client.head() == 200
            seen = b""
            while b": keepalive\n\n" not in seen.partition(b'"tool_progress"')[2]:
                seen += await client.body.read()
            told = [event for event in frames(seen) if event["type"] == "tool_progress"][-1]
            assert (told["message"], told["progress"]) == ("third", {"current": 3, "total": 7})
            go_on.set()
            assert frames(seen + await client.body.rest())[-1]["type"] == "complete"

    run(main())


def test_a_client_that_leaves_in_the_middle_of_a_tool_ends_everything() -> None:
    async def main() -> None:
        started = threading.Event()

        async def hang(_: Mapping[str, Any], __: ToolContext) -> str:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

        tools = Tools().add("weather", hang, CITY)
        async with place(LOOP, tools) as there:
            async with RawClient(there.gateway.address) as client:
                await client.send("POST", "/mcp/chat/stream", b'{"query": "Weather?"}')
                await asyncio.to_thread(started.wait)
            await there.idle()
            assert tools.ended == ["weather"]

    run(main())


ASK = {"permissions": {"weather": "ask"}}


@pytest.mark.parametrize("approved", [True, False])
def test_a_tool_that_has_to_be_allowed_waits_for_the_answer_even_without_its_client(approved: bool) -> None:
    async def main() -> None:
        tools = weather()
        async with place(LOOP, tools, **ASK) as there:
            async with RawClient(there.gateway.address) as client:
                await client.send("POST", "/mcp/chat/stream", b'{"query": "Weather?"}')
                await client.head()
                seen = b""
                while b"approval_required" not in seen:
                    seen += await client.body.read()
                run_id = client.headers["x-millstream-run"]
            assert not tools.calls
            question = next(event for event in frames(seen) if event["type"] == "approval_required")
            assert (question["tool"], json.loads(question["arguments"])) == ("weather", {"city": "Rome"})
            path = f"/api/v1/runs/{run_id}/approve"
            assert (await there.post(path, id="ap_other"))[0] == 404
            async with RawClient(there.gateway.address) as client:  # back again, before there is an answer
                await client.send("GET", f"/mcp/chat/stream/{run_id}")
                await client.head()
                status, answer = await there.post(path, id=question["id"], approved=approved, reason="no rain")
                assert (status, answer["answered"]) == (200, [question["id"]])
                events = frames(await client.body.rest())
            assert [event["type"] for event in events][:2] == ["session_start", "iteration_start"]
            given = next(event for event in events if event["type"] == "approval_given")
            assert given["approved"] is approved
            assert bool(tools.calls) is approved
            assert ("sun" if approved else "was not allowed to run: no rain") in events[-1]["text"]
            assert (await there.post(path))[0] == 404

    run(main())


def test_an_approval_that_nobody_gives_is_a_refusal() -> None:
    async def main() -> None:
        async with place(LOOP, weather(), approval_timeout=0.05, **ASK) as there:
            assert "nobody answered within 0.05 s" in (await there.events())[-1]["text"]

    run(main())


def test_a_tool_that_is_denied_is_not_there() -> None:
    async def main() -> None:
        async with place(LOOP, weather(), permissions={"house/*": "deny"}) as there:
            assert (await there.get("/mcp/tools"))[1]["tools"] == []

    run(main())


def test_every_tool_is_listed_with_its_source_and_schema() -> None:
    async def main() -> None:
        async with place(LOOP, weather()) as there:
            status, body = await there.get("/mcp/tools")
            assert status == 200
            (tool,) = body["tools"]
            assert (tool["name"], tool["source"], tool["parameters"]) == ("weather", "house", CITY)
            assert (tool["permission"], tool["timeout"]) == ("allow", 30.0)

    run(main())


class Broken(Tools):
    async def list(self) -> list[ToolSpec]:
        raise ToolSourceError("house: the door is locked; unlock it")


def test_a_source_that_cannot_be_used_costs_its_own_tools_and_is_told() -> None:
    async def main() -> None:
        async with place(scenario({"text": "Hi."}), Broken()) as there:
            _, body = await there.get("/mcp/tools")
            assert body == {"tools": [], "missing": ["house: the door is locked; unlock it"]}
            events = await there.events()
            assert {"status": "tools_missing"}.items() <= events[1].items()
            assert events[-1]["text"] == "Hi."

    run(main())


def test_a_model_is_chosen_by_how_hard_the_request_looks() -> None:
    async def main() -> None:
        auto = AutoConfig(simple="small", moderate="large", complex="large")
        async with place(scenario({"text": "Hi."}), weather(), auto=auto) as there:
            _, easy = await there.post("/api/v1/route", query="Hello!")
            assert (easy["complexity"], easy["model"], easy["reason"]) == ("simple", "up/tiny", "short and plain")
            hard_question = "Debug this step by step, then refactor all the modules:\n```python\ndef f(): ...\n```"
            _, hard = await there.post("/api/v1/route", query=hard_question, tools=["Read", "Bash"])
            assert (hard["complexity"], hard["model"]) == ("complex", "up/huge")
            assert hard["signals"]["tools"] == 2
            body = {"model": "auto", "messages": [{"role": "user", "content": "Hello!"}]}
            status, _ = await there.post("/v1/chat/completions", **body)
            assert status == 200
            assert json.loads(there.upstream.requests[-1])["model"] == "tiny"
            assert (await there.events(model="auto", query=hard_question))[0]["model"] == "up/huge"

    run(main())


def test_agents_and_plain_clients_share_a_gateway() -> None:
    async def main() -> None:
        async with place(LOOP, weather(), mode="gateway", progress="off") as there:
            body = {"model": "up/m", "messages": [{"role": "user", "content": "Weather?"}]}
            _, answer = await there.post("/v1/chat/completions", **body)
            assert answer["choices"][0]["message"]["content"] == "Let me look.It says sun."

    run(main())
