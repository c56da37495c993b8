"""Stock npm clients of front ends against a gateway on real sockets. One node process is all of them, in turn."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from gateway_site import run
from played import scenario
from tools import Tools, says

from millstream.config import Config, ProviderConfig, SessionsConfig, ToolsConfig
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
LIMIT_S = 120
ANSWER = "Let me look.It says sun."
SCRIPT = scenario(
    {"when": {"contains": "break"}, "text": "One two three.", "fault": {"kind": "cut", "after": 4}},
    {"when": {"last_role": "tool"}, "text": "It says {{result}}.", "usage": {"input_tokens": 30, "output_tokens": 5}},
    {"text": "Let me look.", "tool_calls": [{"name": "weather", "arguments": {"city": "Rome"}}]},
)


def node() -> str:
    """The one that is installed beside the clients: they need a newer one than most machines have."""
    found = next((str(one) for one in MODULES.glob("node-*/bin/node")), None)
    if found is None or not (MODULES / ".package-lock.json").is_file() or shutil.which("npm") is None:
        pytest.skip("the stock clients are not installed: make test installs them where npm is")
    return found


def asked(questions: list[tuple[str, str]], permissions: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What each client shows after its question."""
    program = node()

    async def main() -> dict[str, Any]:
        async with replay_server(SCRIPT) as upstream:
            provider = ProviderConfig(dialect="openai_chat", base_url=upstream.url + "/v1", default_model="m")
            config = Config(
                providers={"up": provider},
                default_model="up/m",
                tools=ToolsConfig(permissions=dict(permissions or {})),
                sessions=SessionsConfig(store="memory"),
            )
            with GatewayThread(config, tools=[Tools().add("weather", says("sun"))]) as gateway:
                base = "http://{}:{}".format(*gateway.address)
                command = [program, str(HERE / "clients.mjs"), base, json.dumps(questions)]
                done = await asyncio.to_thread(
                    subprocess.run, command, capture_output=True, text=True, timeout=LIMIT_S, check=False
                )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        broken = {name: seen["broken"] for name, seen in found.items() if "broken" in seen}
        assert not broken, broken
        return found

    return run(main(), LIMIT_S)


EVERYONE = ["ai5", "ai6", "ai7", "workflow", "vue", "assistant", "agent", "tanstack"]


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    return asked([(name, "Weather?") for name in EVERYONE])


@pytest.fixture(scope="module")
def failed() -> dict[str, Any]:
    return asked([(name, "break") for name in EVERYONE])


@pytest.mark.parametrize("name", EVERYONE)
def test_each_client_shows_the_whole_answer(shown: dict[str, Any], name: str) -> None:
    assert shown[name]["text"] == ANSWER
    assert not shown[name].get("errors")


@pytest.mark.parametrize("name", ["ai5", "ai6", "ai7", "workflow"])
def test_each_ai_sdk_shows_the_tool_and_the_usage(shown: dict[str, Any], name: str) -> None:
    assert shown[name]["tools"] == [["weather", "output-available"]]
    assert shown[name]["usage"]["outputTokens"] > 0


@pytest.mark.parametrize("name", ["ai5", "ai6", "ai7"])
def test_nothing_is_resumed_after_the_end(shown: dict[str, Any], name: str) -> None:
    assert shown[name]["after"] is None


def test_those_that_reconnect_go_on_where_the_network_broke(shown: dict[str, Any]) -> None:
    first, second = shown["workflow"]["seen"]
    assert first == "POST "
    assert int(second.removeprefix("GET ?startIndex=")) > 0
    assert shown["tanstack"]["seen"] == 2


def test_assistant_ui_and_ag_ui_show_the_tools_result(shown: dict[str, Any]) -> None:
    assert shown["assistant"]["tools"] == [["weather", "sun"]]
    assert shown["assistant"]["status"] == "complete"
    assert shown["agent"]["results"] == ["sun"]
    assert shown["agent"]["outcomes"] == ["success"]


@pytest.mark.parametrize("name", ["ai5", "ai6", "ai7", "workflow", "agent", "tanstack"])
def test_a_failure_is_an_error_to_each_after_what_was_said(failed: dict[str, Any], name: str) -> None:
    assert len(failed[name]["errors"]) == 1
    assert "cut off" in failed[name]["errors"][0]
    assert failed[name]["text"].startswith("One")


def test_a_client_asks_its_user_and_the_answer_lets_the_tool_run() -> None:
    seen = asked([("vue", "Weather?"), ("agent", "Weather?")], {"weather": "ask"})
    vue, agent = seen["vue"], seen["agent"]
    assert vue["asked"]
    assert (vue["text"], vue["tools"]) == (ANSWER, [["weather", "output-available"]])
    assert vue["messages"] == 2, "the answer goes on with the same message"
    assert (agent["text"], agent["results"]) == (ANSWER, ["sun"])
    assert agent["outcomes"] == ["interrupt", "success"]
