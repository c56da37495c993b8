"""A server over HTTP that hangs, floods, dies or talks rubbish costs only the call it did it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from mcp_use import LIMIT, Heard, context, error, in_loop, over_http, python, source, text

from millstream.tools.base import ToolSourceError
from millstream.tools.mcp.settings import Address, ServerSettings
from millstream.tools.mcp.source import McpSource
from millstream.tools.mcp.sources import McpSources

PORT = r"listening on port (\d+)"


@asynccontextmanager
async def serving(manner: str = "", port: int = 0) -> AsyncIterator[Address]:
    async with over_http(python("mcp_naughty_http.py", str(port), manner), PORT) as address:
        yield address


def settings(address: Address) -> ServerSettings:
    return ServerSettings(address, backoff=0.01, check_timeout=LIMIT)


@asynccontextmanager
async def naughty(manner: str = "") -> AsyncIterator[McpSource]:
    async with serving(manner) as address, source(settings(address)) as it:
        yield it


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("reset", "cannot be reached"),
        ("cut_json", "broke off"),
        ("cut_stream", "ended without a response"),
        ("huge_json", "more than 16777216 bytes"),
        ("huge_event", "exceeded"),
        ("packed", "packed"),
        ("page", "text/html"),
        ("junk_json", "JSON"),
        ("junk_event", "SSE message"),
        ("no_result", "not MCP"),
        ("nothing", "ended without a response"),
        ("broken", "error response"),
        ("forgetful", "Not Found"),
        ("elsewhere", "not followed"),
    ],
)
@in_loop
async def test_a_call_that_goes_wrong_says_how_and_others_know_nothing_of_it(tool: str, words: str) -> None:
    async with naughty() as it:
        await it.list()
        other = asyncio.ensure_future(text(it, "wait"))
        said = error(await it.call(tool, {}, context()))
        assert said.startswith(f"{tool} of the MCP server it failed: ")
        assert words in said
        await text(it, "release")
        assert await other == "released"


@pytest.mark.parametrize("tool", ["hang", "say_nothing", "flood", "chatter"])
@in_loop
async def test_a_call_without_end_can_be_left_and_others_know_nothing_of_it(tool: str) -> None:
    async with naughty() as it:
        await it.list()
        other = asyncio.ensure_future(text(it, "wait"))
        heard = Heard()
        call = asyncio.ensure_future(it.call(tool, {}, context(heard)))
        assert await text(it, "echo") == "here"
        if tool == "flood":
            await heard.first.wait()
        call.cancel()
        await asyncio.wait({call})
        assert call.cancelled()
        while tool not in await text(it, "over"):  # the server is no longer listened to
            pass
        await text(it, "release")
        assert await other == "released"


@in_loop
async def test_a_server_that_never_answers_is_given_up() -> None:
    async with serving("mute") as address, source(replace(settings(address), startup_timeout=0.5)) as it:
        with pytest.raises(ToolSourceError, match=r"did not start within 0\.5 s"):
            await it.list()


@in_loop
async def test_a_server_that_does_not_answer_the_goodbye_is_left_without() -> None:
    async with naughty("clinging") as it:
        assert await text(it, "echo") == "here"


@in_loop
async def test_a_server_that_ends_its_own_stream_at_once_is_not_asked_for_it_all_the_time() -> None:
    async with naughty("hasty") as it:
        began = asyncio.get_running_loop().time()
        await it.list()
        for _ in range(100):
            await text(it, "echo")
        asked = int(await text(it, "gets"))
        assert 0 < asked <= 6 + asyncio.get_running_loop().time() - began


@in_loop
async def test_a_flood_is_slowed_down_and_leaves_the_loop_to_others() -> None:
    async with (
        serving() as loud_at,
        serving() as calm_at,
        McpSources({"loud": settings(loud_at), "calm": settings(calm_at)}) as servers,
    ):
        loud, calm = servers.sources
        await loud.list()
        heard = Heard()
        began = asyncio.get_running_loop().time()
        flood = asyncio.ensure_future(loud.call("flood", {}, context(heard)))
        async with asyncio.timeout(LIMIT):
            await heard.first.wait()
            for _ in range(50):
                assert await text(calm, "echo") == "here"
            while len(heard.progress) < 3000:
                await text(calm, "echo")
        seconds = asyncio.get_running_loop().time() - began
        assert len(heard.progress) < 2000 + 5000 * seconds
        flood.cancel()
        await asyncio.wait({flood})


@in_loop
async def test_a_server_that_dies_costs_its_calls_and_is_found_again_when_it_is_back() -> None:
    async with (
        serving() as address,
        serving() as calm_at,
        McpSources({"it": settings(address), "calm": settings(calm_at)}) as servers,
    ):
        it, calm = servers.sources
        await it.list()
        others = asyncio.ensure_future(text(calm, "wait"))
        its = asyncio.ensure_future(it.call("hang", {}, context()))
        assert await text(it, "echo") == "here"
        assert "cannot be reached" in error(await it.call("die", {}, context()))
        assert "failed" in error(await its)
        with pytest.raises(ToolSourceError, match="the MCP server it cannot be used now: it cannot be reached"):
            while True:  # it may take a moment until that is noticed
                await it.list()
                await asyncio.sleep(0.02)
        port = int(address.url.removesuffix("/mcp").rpartition(":")[2])
        async with serving("", port):
            while (await it.call("echo", {}, context())).is_error:  # noqa: ASYNC110 - it comes back by itself
                await asyncio.sleep(0.02)
        await text(calm, "release")
        assert await others == "released"
