"""Claude Code itself, an old and a new one, on upstreams of its own and of OpenAI's dialect, good and bad."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from claude_code import VERSIONS, ClaudeCode, Line, delta_of, installed
from gateway_site import Site, run
from raw_client import RawClient
from raw_upstream import JSON, Call
from wires import AnthropicWire, ChatWire, Wire

from millstream.testing.gateway import GatewayThread

ECHO = {"command": "echo millstream-$((40+2))", "description": "Print a word"}
AGENT_LIMIT_S = 60.0
SILENT = "who-gets-no-answer"
Step = Callable[[Call, "Script"], Awaitable[None]]


class Script:
    """An upstream that takes ``steps`` one by one for the agent's main requests and answers its side calls shortly.

    ``told`` holds the bodies of the main requests. ``showing`` is set when the agent has shown a piece of the kind that
    a step waits for: what comes next then finds it in the middle of a reply.
    """

    def __init__(self, wire: Wire, *steps: Step) -> None:
        self.wire = wire
        self.told: list[dict[str, Any]] = []
        self._steps = list(steps)
        self._shown: dict[str, asyncio.Event] = {}

    async def __call__(self, call: Call) -> None:
        body = json.loads(call.body)
        if "count_tokens" in call.path:
            await call.answer(404, self.wire.refusal("invalid", "cannot count"))
        elif SILENT.encode() in call.body:
            await call.gone()
        elif not body.get("tools"):
            await self.say(call, "side")
        else:
            self.told.append(body)
            step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
            await step(call, self)

    def seen(self, line: Line) -> None:
        if kind := delta_of(line):
            self._event(kind).set()

    async def shown(self, kind: str) -> None:
        """Waits until the agent shows a delta of ``kind``."""
        await self._event(kind).wait()

    async def say(self, call: Call, text: str) -> None:
        if json.loads(call.body).get("stream"):
            await call.stream(*self.wire.answer(text))
        else:
            await call.answer(200, self.wire.reply(text))

    def _event(self, kind: str) -> asyncio.Event:
        return self._shown.setdefault(kind, asyncio.Event())


def says(text: str) -> Step:
    async def step(call: Call, script: Script) -> None:
        await script.say(call, text)

    return step


def calls(*made: tuple[str, str, dict[str, Any]]) -> Step:
    async def step(call: Call, script: Script) -> None:
        wire = script.wire
        await call.head()
        await call.send(wire.start() + wire.text(0, "Let me see.", first=True) + wire.close(0))
        for index, (call_id, name, arguments) in enumerate(made, start=1):
            text = json.dumps(arguments)
            await call.send(wire.tool(index, call_id, name) + wire.arguments(index, text[:7]))
            await call.send(wire.arguments(index, text[7:]) + wire.close(index))
        await call.send(wire.end("tools"))
        await call.end()

    return step


def refuses(status: int, kind: str, message: str = "not now", headers: dict[str, str] | None = None) -> Step:
    async def step(call: Call, script: Script) -> None:
        await call.answer(status, script.wire.refusal(kind, message), {**JSON, **(headers or {})})

    return step


async def _half_a_text(call: Call, script: Script) -> None:
    wire = script.wire
    await call.head()
    await call.send(wire.start() + wire.text(0, "It is forty", first=True))
    await script.shown("text_delta")


async def cuts_in_a_text(call: Call, script: Script) -> None:
    await _half_a_text(call, script)
    call.cut()


async def ends_in_a_text(call: Call, script: Script) -> None:
    """In proper HTTP: only the dialect's own last word is missing."""
    await _half_a_text(call, script)
    await call.end()


async def resets_in_a_text(call: Call, script: Script) -> None:
    await _half_a_text(call, script)
    call.reset()


async def stalls_in_a_text(call: Call, script: Script) -> None:
    await _half_a_text(call, script)
    await call.gone()


async def errs_in_a_text(call: Call, script: Script) -> None:
    await _half_a_text(call, script)
    await call.send(script.wire.error("overloaded", "Overloaded"))
    await call.end()


async def _half_a_tool_call(call: Call, script: Script) -> None:
    wire = script.wire
    await call.head()
    await call.send(wire.start() + wire.text(0, "Let me see.", first=True) + wire.close(0))
    await call.send(wire.tool(1, "call_broken", "Bash") + wire.arguments(1, '{"command": "echo never > never'))
    await script.shown("input_json_delta")


async def cuts_in_a_tool_call(call: Call, script: Script) -> None:
    await _half_a_tool_call(call, script)
    call.cut()


async def ends_in_a_tool_call(call: Call, script: Script) -> None:
    await _half_a_tool_call(call, script)
    await call.end()


async def resets_in_a_tool_call(call: Call, script: Script) -> None:
    await _half_a_tool_call(call, script)
    call.reset()


def agent_on(site: Site, wire: Wire, **settings: Any) -> GatewayThread:
    """A gateway where each of the agent's models is ``wire``'s upstream."""
    return site.gateway(unknown_model="default", default_model=f"{wire.name}-up/m", **settings)


def results_in(wire: Wire, body: dict[str, Any]) -> list[tuple[str, str]]:
    """Id and text of each tool result that a request brings."""
    if isinstance(wire, ChatWire):
        return [(m["tool_call_id"], str(m["content"])) for m in body["messages"] if m["role"] == "tool"]
    contents = [message["content"] for message in body["messages"] if isinstance(message["content"], list)]
    blocks = [block for content in contents for block in content if block["type"] == "tool_result"]
    return [(block["tool_use_id"], str(block["content"])) for block in blocks]


def test_it_runs_a_tool_and_answers(site: Site, claude: ClaudeCode, upstream: Wire) -> None:
    script = Script(upstream, calls(("call_1", "Bash", ECHO)), says("It printed millstream-42."))

    async def main() -> None:
        async with site.upstream(script):
            ran = await claude.ask(agent_on(site, upstream).url, "Print a word.")
            assert (ran.status, ran.result["is_error"], ran.result["result"]) == (0, False, "It printed millstream-42.")
            assert ran.calls == [("Bash", ECHO)]
            assert ran.tool_results == ["millstream-42"]
            assert ran.texts == ["Let me see.", "It printed millstream-42."]
            assert len(script.told) == 2
            assert results_in(upstream, script.told[1]) == [("call_1", "millstream-42")]

    run(main(), AGENT_LIMIT_S)


def test_it_runs_two_tools_side_by_side(site: Site, claude: ClaudeCode, upstream: Wire) -> None:
    file = claude.folder / "note.txt"
    file.write_text("the secret word is quern\n")
    read = {"file_path": str(file)}
    script = Script(upstream, calls(("call_1", "Bash", ECHO), ("call_2", "Read", read)), says("42 and quern."))

    async def main() -> None:
        async with site.upstream(script):
            ran = await claude.ask(agent_on(site, upstream).url, "Print a word, and read the note.")
            assert (ran.status, ran.result["result"]) == (0, "42 and quern.")
            assert ran.calls == [("Bash", ECHO), ("Read", read)]
            brought = dict(results_in(upstream, script.told[1]))
            assert brought.keys() == {"call_1", "call_2"}
            assert "millstream-42" in brought["call_1"]
            assert "the secret word is quern" in brought["call_2"]

    run(main(), AGENT_LIMIT_S)


@pytest.mark.parametrize(
    "fails",
    [cuts_in_a_text, ends_in_a_text, resets_in_a_text, stalls_in_a_text, errs_in_a_text],
    ids=lambda step: step.__name__,
)
def test_a_text_that_breaks_off_is_asked_for_anew_and_said_once(
    site: Site, claude: ClaudeCode, upstream: Wire, fails: Step
) -> None:
    script = Script(upstream, fails, says("It is forty-two."))

    async def main() -> None:
        async with site.upstream(script):
            gateway = agent_on(site, upstream, idle_timeout=0.3)
            ran = await claude.ask(gateway.url, "What is it?", seen=script.seen)
            assert (ran.status, ran.result["is_error"], ran.result["result"]) == (0, False, "It is forty-two.")
            assert ran.texts == ["It is forty-two."]
            assert len(script.told) == 2

    run(main(), AGENT_LIMIT_S)


@pytest.mark.parametrize(
    "fails",
    [cuts_in_a_tool_call, ends_in_a_tool_call, resets_in_a_tool_call],
    ids=lambda step: step.__name__,
)
def test_a_tool_call_that_breaks_off_is_never_run(site: Site, claude: ClaudeCode, upstream: Wire, fails: Step) -> None:
    script = Script(upstream, fails, says("It is forty-two."))

    async def main() -> None:
        async with site.upstream(script):
            ran = await claude.ask(agent_on(site, upstream).url, "What is it?", seen=script.seen)
            assert (ran.status, ran.result["is_error"], ran.result["result"]) == (0, False, "It is forty-two.")
            assert ran.texts == ["Let me see.", "It is forty-two."]
            assert ran.tool_results == []
            assert not (claude.folder / "never").exists()

    run(main(), AGENT_LIMIT_S)


@pytest.mark.parametrize(
    "refusal",
    [
        refuses(429, "rate", headers={"retry-after": "1"}),
        refuses(529, "overloaded"),
    ],
    ids=["429-retry-after", "529"],
)
@pytest.mark.parametrize("who", ["the-gateway", "the-agent"])
def test_a_refusal_for_now_is_waited_out(
    site: Site, claude: ClaudeCode, upstream: Wire, refusal: Step, who: str
) -> None:
    """By the gateway, of which the agent sees nothing; or, where that is not to try again, by the agent."""
    script = Script(upstream, refusal, says("It is forty-two."))

    async def main() -> None:
        async with site.upstream(script):
            gateway = agent_on(site, upstream, retries=2 if who == "the-gateway" else 0)
            ran = await claude.ask(gateway.url, "What is it?")
            assert (ran.status, ran.result["result"]) == (0, "It is forty-two.")
            assert ran.texts == ["It is forty-two."]
            assert len(script.told) == 2
            retried = [line for line in ran.lines if line.get("subtype") == "api_retry"]
            if who == "the-gateway":
                assert retried == []

    run(main(), AGENT_LIMIT_S)


@pytest.mark.parametrize("second", [(529, "overloaded"), (503, "internal")], ids=["529", "503"])
def test_refusals_of_different_kinds_in_a_row_are_waited_out(
    site: Site, claude: ClaudeCode, upstream: Wire, second: tuple[int, str]
) -> None:
    first = refuses(429, "rate", headers={"retry-after": "1"})
    script = Script(upstream, first, refuses(*second), says("It is forty-two."))

    async def main() -> None:
        async with site.upstream(script):
            ran = await claude.ask(agent_on(site, upstream).url, "What is it?")
            assert (ran.status, ran.result["result"]) == (0, "It is forty-two.")
            assert ran.texts == ["It is forty-two."]
            assert len(script.told) == 3

    run(main(), AGENT_LIMIT_S)


def test_a_refusal_for_good_ends_it_with_the_upstreams_words(site: Site, claude: ClaudeCode, upstream: Wire) -> None:
    script = Script(upstream, refuses(403, "invalid", "This key may not use that model."))

    async def main() -> None:
        async with site.upstream(script):
            ran = await claude.ask(agent_on(site, upstream).url, "What is it?")
            assert ran.status == 1
            assert ran.result["is_error"] is True
            assert "This key may not use that model." in ran.result["result"]

    run(main(), AGENT_LIMIT_S)


def test_the_upstreams_own_400_tells_it_what_to_leave_out(site: Site, tmp_path: Path) -> None:
    """It reads the text of the refusal: one word changed, and it would try five other things first."""
    claude = installed(VERSIONS[0], tmp_path)
    upstream = AnthropicWire()
    refusal = refuses(400, "invalid", "context_management: Extra inputs are not permitted")
    script = Script(upstream, refusal, says("It is forty-two."))

    async def main() -> None:
        async with site.upstream(script):
            ran = await claude.ask(agent_on(site, upstream).url, "What is it?")
            assert (ran.status, ran.result["result"]) == (0, "It is forty-two.")
            first, second = script.told
            assert first.keys() - second.keys() == {"context_management"}

    run(main(), AGENT_LIMIT_S)


def test_a_long_silence_is_bridged(site: Site, claude: ClaudeCode, upstream: Wire) -> None:
    """Keepalives before and within a reply disturb nothing."""
    gateway = agent_on(site, upstream, heartbeat=0.02, eager_after=0.02)

    async def slow(call: Call, script: Script) -> None:
        wire = script.wire
        await call.head()
        await keepalives_pass(gateway, 5)
        await call.send(wire.start() + wire.text(0, "It is forty", first=True))
        await script.shown("text_delta")
        await keepalives_pass(gateway, 5)
        await call.send(wire.text(0, "-two.") + wire.close(0) + wire.end())
        await call.end()

    script = Script(upstream, slow)

    async def main() -> None:
        async with site.upstream(script):
            ran = await claude.ask(gateway.url, "What is it?", seen=script.seen)
            assert (ran.status, ran.texts, ran.result["result"]) == (0, ["It is forty-two."], "It is forty-two.")

    run(main(), AGENT_LIMIT_S)


async def keepalives_pass(gateway: GatewayThread, number: int) -> None:
    """As long as it takes for ``number`` of them to be sent to somebody else."""
    wire = AnthropicWire()
    async with RawClient(gateway.address) as other:
        await other.send("POST", wire.path, wire.request(model="default", metadata={"user_id": SILENT}))
        await other.head()
        got = b""
        while wire.hear(got).keepalives < number:
            got += await other.body.read()
