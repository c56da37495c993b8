"""The workspace's tools behind the gateway: what a client's leaving ends, and agents within agents."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from gateway_site import run
from played import scenario
from raw_client import RawClient

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
