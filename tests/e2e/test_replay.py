"""Agents on scripted upstreams: what people are told to try, tried."""

from typing import Any

import pytest
from claude_code import ClaudeCode
from gateway_site import run

from millstream.config import Config, ProviderConfig
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server, scenario_of

LIMIT_S = 60.0
ECHO = {"command": "echo millstream-$((40+2))", "description": "Print a word"}


def loop_with(*answers: dict[str, Any]) -> dict[str, Any]:
    """A scenario: the agent's side calls get a word; its main ones ``answers``, then a call, then what it gave."""
    return {
        "replies": [
            {"when": {"result_of": "Bash"}, "text": "It printed: {{result}}"},
            *({"times": 1, **answer} for answer in answers),
            {
                "when": {"tool": "Bash"},
                "reasoning": "A tool will do.",
                "text": "Let me see.",
                "tool_calls": [{"name": "Bash", "arguments": ECHO}],
            },
            {"text": "side"},
        ]
    }


@pytest.mark.parametrize("pieces", ["events", "whole", "bytes:7", "random:3"])
def test_it_closes_a_tool_loop_however_the_upstreams_stream_is_cut(claude: ClaudeCode, pieces: str) -> None:
    scenario = scenario_of({**loop_with(), "pieces": pieces}, "loop")

    async def main() -> None:
        async with replay_server(scenario) as upstream:
            provider = ProviderConfig(dialect="openai_chat", base_url=f"{upstream.url}/v1", default_model="replay")
            config = Config(providers={"up": provider}, default_model="up/replay", unknown_model="default")
            with GatewayThread(config) as gateway:
                ran = await claude.ask(gateway.url, "Print a word.")
        assert (ran.status, ran.result["result"]) == (0, "It printed: millstream-42")
        assert ran.calls == [("Bash", ECHO)]
        assert ran.tool_results == ["millstream-42"]
        assert ran.texts == ["Let me see.", "It printed: millstream-42"]

    run(main(), LIMIT_S)


def test_it_closes_the_tool_loop_that_comes_with_millstream(claude: ClaudeCode) -> None:
    """``replay/tools``, inside the gateway: no upstream, no key."""
    config = Config(default_model="replay/tools", unknown_model="default")

    async def main() -> None:
        with GatewayThread(config) as gateway:
            ran = await claude.ask(gateway.url, "Print a word.")
        assert ran.status == 0
        assert ran.tool_results == ["millstream"]
        assert ran.result["result"].endswith("It said: millstream")

    run(main(), LIMIT_S)
