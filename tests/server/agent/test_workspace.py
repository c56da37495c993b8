"""The workspace's tools behind the gateway: what a client's leaving ends, and agents within agents."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_site import run
from played import scenario
from raw_client import RawClient

from millstream.agent.loop import MARK
from millstream.config import Config, ProviderConfig, ToolsConfig, WorkspaceConfig
from millstream.providers.replay.scenario import Scenario
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server


def config(url: str, root: Path) -> Config:
    workspace = WorkspaceConfig(root=str(root), allow=("Bash",), unsafe=True)
    provider = ProviderConfig(dialect="openai_chat", base_url=f"{url}/v1", default_model="m")
    return Config(providers={"up": provider}, default_model="up/m", tools=ToolsConfig(workspace=workspace))


def running(marker: str) -> int:
    """How many processes sleep for ``marker`` seconds. Their numbers may be a sandbox's own, so they tell nothing."""
    found = 0
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += line.read_bytes() == f"sleep\0{marker}\0".encode()
    return found


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  # there is no event for what other processes do
        await asyncio.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/mcp/chat/stream", {"query": "Go."}),
        ("/mcp/chat", {"query": "Go."}),
        ("/v1/chat/completions", {"model": "up/m", "stream": True, "messages": [{"role": "user", "content": "Go."}]}),
        ("/v1/chat/completions", {"model": "up/m", "messages": [{"role": "user", "content": "Go."}]}),
    ],
)
def test_a_client_that_leaves_in_the_middle_of_bash_leaves_no_process(
    path: str, body: dict[str, object], tmp_path: Path
) -> None:
    marker = str(10**6 + secrets.randbelow(10**6))
    command = f"trap '' TERM; sleep {marker} & wait"
    script = scenario({"text": "Now.", "tool_calls": [{"name": "Bash", "arguments": {"command": command}}]})

    async def main() -> None:
        async with replay_server(script) as upstream:
            with GatewayThread(config(upstream.url, tmp_path)) as gateway:
                async with RawClient(gateway.address) as client:
                    headers = {"x-millstream-tools": "gateway"}
                    await client.send("POST", path, json.dumps(body).encode(), headers)
                    await until(lambda: running(marker) > 0)
                await until(lambda: running(marker) == 0)

    run(main(), limit=30)


TASK: Scenario = scenario(
    {"when": {"last_contains": "count them"}, "text": "There are three.", "usage": {"input_tokens": 5}},
    {"when": {"last_role": "tool"}, "text": "It says: {{result}}", "usage": {"input_tokens": 7}},
    {
        "tool_calls": [{"name": "Task", "arguments": {"description": "Count", "prompt": "count them"}}],
        "usage": {"input_tokens": 100},
    },
)


def test_a_tool_may_start_an_agent_of_its_own_which_is_counted_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with replay_server(TASK) as upstream:
            with GatewayThread(config(upstream.url, tmp_path)) as gateway:
                async with RawClient(gateway.address) as client:
                    status, data = await client.ask("POST", "/mcp/chat", b'{"query": "Go."}')
                answer = json.loads(data)
                assert (status, answer["text"]) == (200, "It says: There are three.")
                assert answer["usage"]["input_tokens"] == 112
                offered = [
                    {tool["function"]["name"] for tool in json.loads(body)["tools"]} for body in upstream.requests
                ]
                assert "Task" in offered[0]
                assert "Task" not in offered[1]
                assert "Read" in offered[1]

    run(main())


HELD = "while [ ! -e go ]; do sleep 0.02; done; echo found it"
STEPS = scenario(
    {"when": {"last_contains": "look into it"}, "tool_calls": [{"name": "Bash", "arguments": {"command": HELD}}]},
    {"when": {"last_contains": "found it"}, "text": "There it is."},
    {"when": {"last_role": "tool"}, "text": "It says: {{result}}"},
    {"tool_calls": [{"name": "Task", "arguments": {"description": "Look", "prompt": "look into it"}}]},
)
LINES = ["Look", "Thinking (step 1)", "Running Bash", "Bash (1/1)", "Thinking (step 2)"]


@asynccontextmanager
async def stepping(root: Path, **tools: Any) -> AsyncIterator[GatewayThread]:
    """A gateway whose Task starts an agent that calls Bash, which waits for the file ``go``."""
    async with replay_server(STEPS) as upstream:
        settings = config(upstream.url, root)
        settings = msgspec.structs.replace(settings, tools=msgspec.structs.replace(settings.tools, **tools))
        with GatewayThread(settings) as gateway:
            yield gateway


async def heard(client: RawClient, enough: Callable[[bytes], bool]) -> bytes:
    assert await client.head() == 200
    seen = b""
    while not enough(seen):
        piece = await client.body.read()
        assert piece, seen
        seen += piece
    return seen


def test_each_step_of_a_tasks_agent_is_told_while_it_runs(tmp_path: Path) -> None:
    async def main() -> None:
        async with stepping(tmp_path) as gateway, RawClient(gateway.address) as client:
            await client.send("POST", "/mcp/chat/stream", b'{"query": "Go."}')
            seen = await heard(client, lambda seen: b"Running Bash" in seen)
            assert b"tool_result" not in seen
            (tmp_path / "go").touch()
            seen += await client.body.rest()
        events = [json.loads(line[6:]) for line in seen.decode().split("\n") if line.startswith("data: ")]
        told = [event for event in events if event["type"] == "tool_progress" and "message" in event]
        assert [event["message"] for event in told] == LINES
        assert {(event["tool"], event["status"]) for event in told} == {("Task", "executing")}
        assert [event["tool"] for event in events if event["type"] == "tool_result"] == ["Task"]
        assert events[-1]["text"] == "It says: There it is."

    run(main())


def test_a_model_apis_client_sees_them_as_lines_of_progress(tmp_path: Path) -> None:
    async def main() -> None:
        async with stepping(tmp_path, mode="gateway") as gateway, RawClient(gateway.address) as client:
            body = {"model": "up/m", "max_tokens": 99, "stream": True, "messages": [{"role": "user", "content": "Go."}]}
            await client.send("POST", "/v1/messages", json.dumps(body).encode())
            seen = await heard(client, lambda seen: b"Task: Running Bash" in seen)
            (tmp_path / "go").touch()
            seen += await client.body.rest()
        deltas = [json.loads(line[6:]) for line in seen.decode().split("\n") if line.startswith("data: ")]
        thoughts = "".join(event.get("delta", {}).get("thinking", "") for event in deltas)
        lines = [line.strip(MARK) for line in thoughts.split("\n")]
        assert [line.removeprefix("Task: ") for line in lines if line.startswith("Task: ")] == LINES[1:]

    run(main())


def test_an_approval_within_a_task_is_asked_of_its_client(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "go").touch()
        async with (
            stepping(tmp_path, permissions={"Bash": "ask"}) as gateway,
            RawClient(gateway.address) as client,
        ):
            await client.send("POST", "/mcp/chat/stream", b'{"query": "Go."}')
            asked = re.compile(rb'"approval_required","id":"(ap_[^"]+)","tool":"Bash"')
            seen = await heard(client, lambda seen: asked.search(seen) is not None)
            run_id = json.loads(seen.split(b"\n")[0][6:])["run_id"]
            async with RawClient(gateway.address) as other:
                answer = json.dumps({"id": asked.findall(seen)[0].decode()}).encode()
                assert (await other.ask("POST", f"/api/v1/runs/{run_id}/approve", answer))[0] == 200
            assert b"There it is." in await client.body.rest()

    run(main())
