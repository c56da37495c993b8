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
from every_event import everything
from gateway_site import run
from played import scenario
from tools import Tools, says

from millstream.config import Config, ProviderConfig, SessionsConfig, ToolsConfig
from millstream.dialects.ui_messages.render import UiMessageView, Version
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


VERSIONS: dict[str, Version] = {"ai5-first": 5, "ai5": 5, "ai6-first": 6, "ai6": 6, "ai7-first": 7, "ai": 7}
"""First releases refuse a stream for one field that they do not know, the last ones for one that they miss."""


def chunks(version: Version) -> list[dict[str, Any]]:
    view = UiMessageView("run_1", "m1", lambda _: False, version=version)
    said = view.render(everything("finished")).decode().split("\n\n")
    return [json.loads(one.removeprefix("data: ")) for one in said if one not in ("", "data: [DONE]")]


def made_of(told: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """By each release, of its chunks."""
    command = [node(), str(HERE / "schemas.mjs")]
    done = subprocess.run(command, input=json.dumps(told), capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_part_is_in_the_schema_of_the_release_it_is_for() -> None:
    made = made_of({name: chunks(version) for name, version in VERSIONS.items()})
    assert made.keys() == VERSIONS.keys()
    for name, message in made.items():
        assert (message["refused"], message["errors"]) == ([], []), name
        states = {part["toolCallId"]: part["state"] for part in message["parts"] if "toolCallId" in part}
        denied = "output-error" if VERSIONS[name] == 5 else "output-denied"
        broken = "output-error"
        assert states == {
            "c5": "input-available",
            "c6": broken,
            "c7": "input-available",
            "c8": "output-available",
            "c10": broken,
            "r1": "output-available",
            "r2": "output-error",
            "r3": denied,
            "r4": denied,
        }


def test_the_schemas_of_first_releases_are_strict() -> None:
    """Else the test above would not say much."""
    made = made_of({"ai5-first": chunks(6), "ai6-first": chunks(7)})
    kinds = {name: {chunk["type"] for chunk, _ in message["refused"]} for name, message in made.items()}
    assert kinds == {
        "ai5-first": {"tool-input-error", "tool-approval-request", "tool-output-denied", "finish"},
        "ai6-first": {"tool-approval-response"},
    }
