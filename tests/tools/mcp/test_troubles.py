"""A server that hangs, floods, dies or talks rubbish costs only its own calls; and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from mcp_use import LIMIT, Heard, context, error, in_loop, is_running, python, source, text

from millstream.tools.base import Elicitation, ElicitationAnswer, ToolSourceError
from millstream.tools.mcp.settings import Address, Program, ServerSettings
from millstream.tools.mcp.sources import McpSources

NAUGHTY = "mcp_naughty.py"


def _settings(*arguments: str, **env: str) -> ServerSettings:
    return ServerSettings(python(NAUGHTY, *arguments, env=env), backoff=0.01, check_timeout=LIMIT, stop_timeout=0.2)


async def _until_dead(pid: int) -> None:
    async with asyncio.timeout(LIMIT):
        while is_running(pid):  # noqa: ASYNC110 - another process cannot set an event
            await asyncio.sleep(0.02)


def _starts(state: Path) -> list[int]:
    return [int(line) for line in state.read_text().split()]


@in_loop
async def test_nothing_starts_before_it_is_used(tmp_path: Path) -> None:
    async with source(_settings(str(tmp_path / "starts"))):
        pass
    assert not (tmp_path / "starts").exists()


@pytest.mark.parametrize("tool", ["die", "junk", "endless-line"])
@in_loop
async def test_a_call_that_ends_its_server_says_so_and_the_next_finds_a_new_one(tool: str, tmp_path: Path) -> None:
    async with source(_settings(str(tmp_path / "starts"))) as it:
        assert "7" in await text(it, "echo", n=7)
        said = error(await it.call(tool, {}, context()))
        assert said.startswith(f"{tool} of the MCP server it failed: ")
        assert await text(it, "echo", n=8) == '{"n": 8}'
        first, second = _starts(tmp_path / "starts")
        assert not is_running(first)
    assert not is_running(second)


@in_loop
async def test_last_words_are_told(tmp_path: Path) -> None:
    async with source(_settings()) as it:
        assert "status 7" in (said := error(await it.call("die", {}, context()))), said
        assert "I have had enough" in said


@in_loop
async def test_words_that_are_no_messages_are_passed_over() -> None:
    async with source(_settings()) as it:
        assert await text(it, "chatter") == "{}"


@in_loop
async def test_a_result_that_is_none_is_that_call_s_error() -> None:
    async with source(_settings()) as it:
        assert "not MCP" in error(await it.call("wrong", {}, context()))
        assert await text(it, "echo") == "{}"


@in_loop
async def test_a_hanging_call_is_left_and_the_server_goes_on_if_it_answers(tmp_path: Path) -> None:
    async with source(_settings(str(tmp_path / "starts"))) as it:
        await it.list()
        call = asyncio.ensure_future(it.call("hang", {}, context()))
        assert await text(it, "echo", n=1) == '{"n": 1}'
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        assert await text(it, "echo", n=2) == '{"n": 2}'
        assert len(_starts(tmp_path / "starts")) == 1


@in_loop
async def test_a_server_that_hears_nothing_any_more_is_replaced(tmp_path: Path) -> None:
    state = tmp_path / "starts"
    stuck = tmp_path / "stuck"
    async with source(replace(_settings(str(state), STUCK=str(stuck)), check_timeout=1.0)) as it:
        await it.list()
        call = asyncio.ensure_future(it.call("stubborn", {}, context()))
        async with asyncio.timeout(LIMIT):
            while not stuck.exists():  # noqa: ASYNC110 - it is made by another process
                await asyncio.sleep(0.02)
        call.cancel()
        await asyncio.wait({call})
        async with asyncio.timeout(LIMIT):
            while len(_starts(state)) < 2:  # noqa: ASYNC110 - the file is written by another process
                await asyncio.sleep(0.02)
        assert await text(it, "echo", n=2) == '{"n": 2}'
        await _until_dead(_starts(state)[0])


@in_loop
async def test_a_flood_leaves_the_loop_to_others() -> None:
    async with McpSources({"loud": _settings(), "calm": _settings()}) as servers:
        loud, calm = servers.sources
        heard = Heard()
        flood = asyncio.ensure_future(loud.call("flood", {}, context(heard)))
        async with asyncio.timeout(LIMIT):
            await heard.first.wait()
            await calm.list()
            began = time.monotonic()
            for n in range(50):
                assert await text(calm, "echo", n=n) == f'{{"n": {n}}}'
            seconds = time.monotonic() - began
        flood.cancel()
        await asyncio.wait({flood})
    assert len(heard.progress) < 500 + 20 * 500 * (seconds + 30)


@in_loop
async def test_a_change_of_tools_is_seen_in_the_next_list() -> None:
    async with source(_settings()) as it:
        assert "grown" not in {spec.name for spec in await it.list()}
        await text(it, "grow")
        assert "grown" in {spec.name for spec in await it.list()}


@in_loop
async def test_a_question_to_the_person_is_declined_where_nobody_can_be_asked() -> None:
    async with source(_settings()) as it:
        assert '"action": "decline"' in await text(it, "ask")


@in_loop
async def test_a_question_to_the_person_reaches_whoever_can_answer() -> None:
    asked: list[Elicitation] = []

    async def answer(question: Elicitation) -> ElicitationAnswer:
        asked.append(question)
        return ElicitationAnswer("accept", {"colour": "green"})

    async with source(_settings()) as it:
        done = await it.call("ask", {}, context(elicit=answer))
        assert '"content": {"colour": "green"}' in str(done.content)
    assert [(question.source, question.message, question.url) for question in asked] == [("it", "Which?", None)]
    assert asked[0].schema is not None
    assert "colour" in asked[0].schema["properties"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Program("no-such-program"), "no-such-program is not installed here"),
        (Program(sys.executable, ("-c", "import sys; sys.exit('no key')")), "status 1 (its last words: no key)"),
        (Address("http://127.0.0.1:9/mcp"), "cannot be reached"),
    ],
)
@in_loop
async def test_a_server_that_cannot_be_started_is_named_with_the_reason(target: Program | Address, words: str) -> None:
    async with source(ServerSettings(target)) as it:
        with pytest.raises(ToolSourceError, match="the MCP server it cannot be used now: ") as raised:
            await it.list()
        assert words in str(raised.value)
        began = time.monotonic()
        with pytest.raises(ToolSourceError):  # at once: the next attempt is not waited for
            await it.list()
        assert time.monotonic() - began < LIMIT / 10


@in_loop
async def test_a_server_that_never_answers_is_given_up_and_killed(tmp_path: Path) -> None:
    program = python(NAUGHTY, str(tmp_path / "starts"), env={"MUTE": "1"})
    async with source(ServerSettings(program, startup_timeout=3.0, stop_timeout=0.1)) as it:
        with pytest.raises(ToolSourceError, match="did not start within 3 s"):
            await it.list()
        for pid in _starts(tmp_path / "starts"):
            await _until_dead(pid)


@in_loop
async def test_whatever_a_server_started_ends_with_it(tmp_path: Path) -> None:
    child = tmp_path / "child"
    async with source(_settings(CHILD=str(child))) as it:
        await it.list()
        pid = int(child.read_text())
        assert is_running(pid)
    await _until_dead(pid)


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
@in_loop
async def test_servers_die_with_a_gateway_that_is_killed(tmp_path: Path) -> None:
    server = python(NAUGHTY, str(tmp_path / "starts"))
    environ = {"CHILD": str(tmp_path / "child"), "STUCK": str(tmp_path / "stuck")}
    script = f"""
import asyncio, os, sys
from millstream.tools.mcp.settings import Program, ServerSettings
from millstream.tools.mcp.sources import McpSources
async def main():
    program = Program(sys.executable, {server.args!r}, {environ!r})
    async with McpSources({{"it": ServerSettings(program)}}) as servers:
        await servers.sources[0].list()
        call = asyncio.create_task(servers.sources[0].call("stubborn", {{}}, None))
        while not os.path.exists({str(tmp_path / "stuck")!r}):
            await asyncio.sleep(0.02)
        print("ready", flush=True)
        await call
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert (await process.stdout.readline()).strip() == b"ready"
    pids = [*_starts(tmp_path / "starts"), int((tmp_path / "child").read_text())]
    assert len(pids) == 2
    assert all(is_running(pid) for pid in pids)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    process._transport.close()  # type: ignore[attr-defined]  # the servers' ends are no concern of ours
    for pid in pids:
        await _until_dead(pid)
