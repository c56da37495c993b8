"""Codex CLI, Gemini CLI and Claude Code, each on scripted upstreams of the other dialects, good and bad.

``test_claude_code`` has Claude Code on OpenAI's Chat Completions.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Claude, Codex, GeminiCLI, system_of
from gateway_site import Site, run
from raw_upstream import Call
from sdk_types import problems
from speakers import SPEAKERS, Asked, Said, Speaker, Thought
from speakers.anthropic import Anthropic
from speakers.openai_chat import Chat
from tap import tapped

from millstream.config import Config, ProviderConfig, UpstreamConfig
from millstream.providers.replay.player import Received
from millstream.testing.gateway import GatewayThread
from millstream.testing.upstream import ReplayServer, replay_server, scenario_of

LIMIT_S = 60.0
ANSWER = "It printed MILLSTREAM, and the word that the note has is quern, all lower case."
PRINT = "echo millstream | tr a-z A-Z"
COUNTED = "echo one more run of this command >> runs.txt"
OF_AN_OLDER_VERSION = {"anthropic": {"temperature", "top_p", "top_k"}}
"""Fields that the version of the API which the gateway names has, and the SDK's types no longer."""

SIGNATURE = "c2lnbmF0dXJl"
FOREIGN = [
    pytest.param(agent, speaker, id=f"{agent.name}-on-{speaker.name}")
    for agent in (Codex, GeminiCLI, Claude)
    for speaker in SPEAKERS
    if speaker.name not in (agent.dialect, "openai_chat" if agent is Claude else "")
]
on_each_foreign_upstream = pytest.mark.parametrize(("agent_type", "speaker_type"), FOREIGN)
on_each_upstream_of_codex = pytest.mark.parametrize(
    "speaker_type", [param.values[1] for param in FOREIGN if param.values[0] is Codex]
)


def loop(*calls: tuple[str, dict[str, Any]], failing: Any = (), ending: Any = ()) -> dict[str, Any]:
    """A scenario: ``calls``, then, when their results are in, the answer. A request without the tool is a side call."""
    made = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return {
        "replies": [
            {"when": {"last_role": "tool"}, "text": ANSWER, "fault": ending},
            {"when": {"tool": calls[0][0]}, "tool_calls": made, "fault": failing},
            {"text": "side"},
        ]
    }


@asynccontextmanager
async def served(
    speaker: Speaker, scenario: dict[str, Any], **settings: Any
) -> AsyncIterator[tuple[GatewayThread, ReplayServer]]:
    """A gateway whose every model is the scenario, played by an upstream of the speaker's dialect."""
    async with replay_server(scenario_of(scenario, "loop")) as upstream:
        provider = ProviderConfig(
            dialect=speaker.name,
            base_url=f"{upstream.url}{speaker.base}",
            default_model="replay",
        )
        config = Config(
            providers={"up": provider},
            default_model="up/replay",
            unknown_model="default",
            upstream=UpstreamConfig(backoff=0.01, **settings),
        )
        with GatewayThread(config) as gateway:
            yield gateway, upstream


def problems_of(speaker: Speaker, received: Received) -> list[str]:
    body = json.loads(received.body)
    return problems(
        speaker.name, {name: body[name] for name in body.keys() - OF_AN_OLDER_VERSION.get(speaker.name, set())}
    )


def main_requests(upstream: ReplayServer) -> list[Received]:
    """Those that offer tools."""
    return [received for received in upstream.received if json.loads(received.body).get("tools")]


@on_each_foreign_upstream
def test_it_runs_two_tools_side_by_side_and_answers(
    agent_type: type[Agent], speaker_type: type[Speaker], tmp_path: Path
) -> None:
    agent, speaker = agent_type(tmp_path), speaker_type()
    note = agent.folder / "note.txt"
    note.write_text("the secret word is quern\n")
    made = [agent.shell(PRINT), agent.read(note)]

    async def main() -> None:
        async with served(speaker, loop(*made)) as (gateway, upstream):
            ran = await agent.ask(gateway.url, "Print a word, and read the note.")
            assert (ran.status, ran.answer) == (0, ANSWER), ran.complaints
            assert len(ran.results) == 2
            assert [received.status for received in upstream.received] == [200] * len(upstream.received)
            assert [problems_of(speaker, received) for received in upstream.received] == [[]] * len(upstream.received)
            first, second = (json.loads(received.body) for received in main_requests(upstream))
            assert agent.opening in system_of(speaker.name, first)
            assert agent.opening in system_of(speaker.name, second)
            told = speaker.told(second)
            assert [(name, arguments) for _, name, arguments in told.calls] == made
            results = dict(told.results)
            assert len(told.results) == len(results) == 2
            printed, read = (results[call_id] for call_id, _, _ in told.calls)
            assert "MILLSTREAM" in printed
            assert "the secret word is quern" in read

    run(main(), LIMIT_S)


@on_each_foreign_upstream
@pytest.mark.parametrize("fault", ["cut", "error_event"])
def test_an_answer_that_breaks_off_is_asked_for_anew(
    agent_type: type[Agent], speaker_type: type[Speaker], fault: str, tmp_path: Path
) -> None:
    agent, speaker = agent_type(tmp_path), speaker_type()
    broken = {"kind": fault, "after": 9, "times": 1}

    async def main() -> None:
        async with served(speaker, loop(agent.shell(PRINT), ending=broken)) as (gateway, upstream):
            ran = await agent.ask(gateway.url, "Print a word.")
            assert ran.status == 0, ran.complaints
            assert ran.answer.endswith(ANSWER)
            assert agent.shows_what_broke_off or ran.answer == ANSWER
            assert [received.faults for received in main_requests(upstream)] == [(), (fault,), ()]

    run(main(), LIMIT_S)


@on_each_foreign_upstream
def test_a_tool_call_that_breaks_off_is_not_run(
    agent_type: type[Agent], speaker_type: type[Speaker], tmp_path: Path
) -> None:
    """Gemini's upstreams send a call in one piece: there the break is inside it."""
    agent, speaker = agent_type(tmp_path), speaker_type()
    place = {"bytes": 70} if speaker.name == "gemini" else {"after": 5}
    broken = {"kind": "close", "times": 1, **place}

    async def main() -> None:
        async with served(speaker, loop(agent.shell(COUNTED), failing=broken)) as (gateway, upstream):
            ran = await agent.ask(gateway.url, "Run it.")
            assert (ran.status, ran.answer) == (0, ANSWER), ran.complaints
            assert (agent.folder / "runs.txt").read_text().splitlines() == ["one more run of this command"]
            assert [received.faults for received in main_requests(upstream)] == [("close",), (), ()]

    run(main(), LIMIT_S)


@pytest.mark.parametrize(
    ("agent_type", "speaker_type"),
    [param for param in FOREIGN if param.values[0] is not GeminiCLI or param.values[1] is Anthropic],
)
def test_a_429_is_waited_out_as_long_as_the_upstream_says(
    agent_type: type[Agent], speaker_type: type[Speaker], tmp_path: Path
) -> None:
    """By the agent: the gateway is not to try again. Gemini CLI waits five seconds at the least."""
    agent, speaker = agent_type(tmp_path), speaker_type()
    busy = {"kind": "status", "status": 429, "retry_after": 1, "times": 1}

    async def main() -> None:
        async with served(speaker, loop(agent.shell(PRINT), failing=busy), retries=0) as (gateway, upstream):
            ran = await agent.ask(gateway.url, "Print a word.")
            assert (ran.status, ran.answer) == (0, ANSWER), ran.complaints
            refused, again, last = main_requests(upstream)
            assert (refused.status, again.status, last.status) == (429, 200, 200)
            assert again.at - refused.at >= 1

    run(main(), LIMIT_S)


@pytest.mark.parametrize("agent_type", [Codex, GeminiCLI])
def test_an_answer_that_always_breaks_off_is_a_failure(agent_type: type[Agent], tmp_path: Path) -> None:
    agent, speaker = agent_type(tmp_path), SPEAKERS[1]()
    more = ["--config=model_providers.gateway.stream_max_retries=1"] if agent_type is Codex else []

    async def main() -> None:
        broken = {"kind": "cut", "after": 9}
        async with served(speaker, loop(agent.shell(PRINT), ending=broken)) as (gateway, _):
            ran = await agent.ask(gateway.url, "Print a word.", *more)
            assert ran.status != 0
            assert ran.complaints
            assert ANSWER not in ran.answer

    run(main(), LIMIT_S)


@on_each_upstream_of_codex
def test_codexs_patch_tool_with_its_own_grammar_is_used(speaker_type: type[Speaker], tmp_path: Path) -> None:
    """A custom tool, whose input is text: the other APIs only know functions of JSON."""
    agent, speaker = Codex(tmp_path), speaker_type()
    patch = '*** Begin Patch\n*** Add File: poem.txt\n+Tyger "tyger",\n+burning \\ bright\n*** End Patch\n'

    async def main() -> None:
        async with served(speaker, loop(("apply_patch", {"input": patch}))) as (gateway, upstream):
            ran = await agent.ask(gateway.url, "Write a poem.")
            assert (ran.status, ran.answer) == (0, ANSWER), ran.complaints
            assert (agent.folder / "poem.txt").read_text() == 'Tyger "tyger",\nburning \\ bright\n'
            _, second = main_requests(upstream)
            assert problems_of(speaker, second) == []
            told = speaker.told(json.loads(second.body))
            [(call_id, name, arguments)] = told.calls
            assert (name, arguments) == ("apply_patch", {"input": patch})
            [(result_id, result)] = told.results
            assert result_id == call_id
            assert "poem.txt" in result

    run(main(), LIMIT_S)


@on_each_upstream_of_codex
def test_codex_runs_a_tool_with_a_model_that_it_does_not_know(speaker_type: type[Speaker], tmp_path: Path) -> None:
    """It offers other tools then, some of them in a namespace."""
    agent, speaker = Codex(tmp_path), speaker_type()
    agent.model = "kimi-k2"

    async def main() -> None:
        async with served(speaker, loop(agent.shell(PRINT))) as (gateway, upstream):
            ran = await agent.ask(gateway.url, "Print a word.")
            assert (ran.status, ran.answer, ran.results) == (0, ANSWER, ["MILLSTREAM\n"]), ran.complaints
            assert [problems_of(speaker, received) for received in upstream.received] == [[], []]
            assert b"multi_agent" in upstream.received[0].body

    run(main(), LIMIT_S)


@pytest.mark.parametrize("speaker_type", [one for one in SPEAKERS if one.name != GeminiCLI.dialect])
def test_gemini_clis_choice_of_a_model_is_answered_in_its_schema(speaker_type: type[Speaker], tmp_path: Path) -> None:
    """It first has a small model judge how hard the task is."""
    agent, speaker = GeminiCLI(tmp_path), speaker_type()
    agent.model = "auto"
    choice = {"complexity_reasoning": "A word is easily printed.", "complexity_score": 10}
    scenario = loop(agent.shell(PRINT))
    scenario["replies"].insert(0, {"when": {"format": "json_schema"}, "text": json.dumps(choice)})

    async def main() -> None:
        async with served(speaker, scenario) as (gateway, upstream):
            ran = await agent.ask(gateway.url, "Print a word.")
            assert (ran.status, ran.answer) == (0, ANSWER), ran.complaints
            assert [problems_of(speaker, received) for received in upstream.received] == [[], [], []]
            assert b"complexity_score" in upstream.received[0].body
            assert len(main_requests(upstream)) == 2

    run(main(), LIMIT_S)


@pytest.mark.parametrize(
    ("agent_type", "speaker_type"),
    [param for param in FOREIGN if param.values[0] is not GeminiCLI and param.values[1] is not Chat],
)
def test_the_signature_of_a_thought_comes_back_to_who_gave_it(
    agent_type: type[Agent], speaker_type: type[Speaker], site: Site, tmp_path: Path
) -> None:
    """Gemini CLI keeps no thoughts."""
    agent, speaker = agent_type(tmp_path), speaker_type()
    name, arguments = agent.shell(PRINT)
    asked = Asked("call_1", name, (json.dumps(arguments),))
    steps = [speaker.saying(Thought("A tool will do.", SIGNATURE), asked), speaker.saying(Said((ANSWER,)))]
    told = []

    async def answer(call: Call) -> None:
        body = json.loads(call.body)
        if body.get("tools"):
            told.append(speaker.told(body))
            await steps.pop(0)(call)
        else:
            await speaker.saying(Said(("side",)))(call)

    async def main() -> None:
        async with site.upstream(answer):
            gateway = site.gateway(unknown_model="default", default_model=speaker.model)
            ran = await agent.ask(gateway.url, "Print a word.")
            assert (ran.status, ran.answer) == (0, ANSWER), ran.complaints
            assert [one.signatures for one in told] == [[], [SIGNATURE]]
            assert told[1].calls == [("call_1", name, arguments)]

    run(main(), LIMIT_S)


@pytest.mark.parametrize("agent_type", [Codex, GeminiCLI])
def test_it_closes_the_tool_loop_that_comes_with_millstream(agent_type: type[Agent], tmp_path: Path) -> None:
    """As docs/guide-codex-gemini.md has people try it."""
    agent = agent_type(tmp_path)
    agent.model = "replay/tools"

    async def main() -> None:
        with GatewayThread(Config(default_model="replay/tools", unknown_model="default")) as gateway:
            ran = await agent.ask(gateway.url, "Print a word.")
        assert ran.status == 0, ran.complaints
        assert [result.strip() for result in ran.results] == ["millstream"]
        assert "It said: " in ran.answer

    run(main(), LIMIT_S)


WEBSOCKET = "--config=model_providers.gateway.supports_websockets=true"


@on_each_upstream_of_codex
def test_codex_needs_one_websocket_for_a_loop(speaker_type: type[Speaker], tmp_path: Path) -> None:
    """It sends its second turn as what is new since the first: the upstream gets all of it."""
    agent, speaker = Codex(tmp_path), speaker_type()

    async def main() -> None:
        async with served(speaker, loop(agent.shell(PRINT))) as (gateway, upstream), tapped(gateway.address) as tap:
            ran = await agent.ask(tap.url, "Print a word.", WEBSOCKET)
            assert (ran.status, ran.answer, ran.results) == (0, ANSWER, ["MILLSTREAM\n"]), ran.complaints
            assert [b"upgrade: websocket" in said.lower() for said in tap.said] == [True]
            assert len(upstream.received) == 2
            assert [problems_of(speaker, received) for received in upstream.received] == [[], []]
            second = json.loads(upstream.received[1].body)
            assert agent.opening in system_of(speaker.name, second)
            [(call_id, *made)] = speaker.told(second).calls
            [(result_id, printed)] = speaker.told(second).results
            assert tuple(made) == agent.shell(PRINT)
            assert result_id == call_id
            assert "MILLSTREAM" in printed

    run(main(), LIMIT_S)


@on_each_upstream_of_codex
def test_an_answer_that_breaks_off_on_codexs_websocket_is_asked_for_anew(
    speaker_type: type[Speaker], tmp_path: Path
) -> None:
    agent, speaker = Codex(tmp_path), speaker_type()
    broken = {"kind": "close", "after": 9, "times": 1}

    async def main() -> None:
        scenario = loop(agent.shell(PRINT), ending=broken)
        async with served(speaker, scenario) as (gateway, upstream), tapped(gateway.address) as tap:
            ran = await agent.ask(tap.url, "Print a word.", WEBSOCKET)
            assert (ran.status, ran.answer) == (0, ANSWER), ran.complaints
            assert [received.faults for received in upstream.received] == [(), ("close",), ()]
            assert all(b"upgrade: websocket" in said.lower() for said in tap.said)

    run(main(), LIMIT_S)
