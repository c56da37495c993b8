"""Codex CLI on one WebSocket: it prepares its conversation, then sends each turn with only what is new."""

import json
from pathlib import Path

import pytest
from agents import Codex
from gateway_site import run
from request_lines import lines_in
from speakers import SPEAKERS, Speaker

from millstream.config import Config, ProviderConfig
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import replay_server, scenario_of

LIMIT_S = 60.0
ANSWER = "It printed MILLSTREAM."


@pytest.mark.parametrize("speaker_type", SPEAKERS, ids=lambda speaker: speaker.name)
def test_codex_runs_a_tool_and_answers_on_a_websocket(
    speaker_type: type[Speaker], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "millstream")
    agent, speaker = Codex(tmp_path), speaker_type()
    name, arguments = agent.shell("echo millstream | tr a-z A-Z")
    replies = [
        {"when": {"last_role": "tool"}, "text": ANSWER},
        {"when": {"tool": name}, "tool_calls": [{"name": name, "arguments": arguments}]},
        {"text": "side"},
    ]

    async def main() -> None:
        async with replay_server(scenario_of({"replies": replies}, "loop")) as upstream:
            provider = ProviderConfig(
                dialect=speaker.name, base_url=upstream.url + speaker.base, default_model="replay"
            )
            config = Config(providers={"up": provider}, default_model="up/replay", unknown_model="default")
            with GatewayThread(config) as gateway:
                sockets = "--config=model_providers.gateway.supports_websockets=true"
                ran = await agent.ask(gateway.url, "Print a word.", sockets)
            assert (ran.status, ran.answer, ran.complaints) == (0, ANSWER, "")
            assert ["MILLSTREAM" in result for result in ran.results] == [True]
            last = json.loads(upstream.received[-1].body)
            assert "Print a word." in json.dumps(last), "a turn of only what is new reaches the model as a whole"

    run(main(), LIMIT_S)
    lines = lines_in(caplog)
    assert [line.status for line in lines] == [200] * len(lines)
    prepared = [line for line in lines if line.tries == 1 and line.output_tokens is None]
    assert prepared, "it has prepared its conversation"
