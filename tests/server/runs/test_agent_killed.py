"""Two gateways with one Redis, and runs with tools at one of them when it is killed: the other goes on with those of
which nothing can happen twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway_site import run
from plain_site import WIRE, frames, kept_entries
from raw_client import RawClient
from raw_upstream import Call, RawUpstream
from redis_server import redis_server
from run_site import texts

from millstream.core.events import Fault
from millstream.core.run_events import RunEnd, RunEntry, Status, ToolRunEnd, ToolRunStart
from millstream.server.runs.manager import RECOVERED

PROGRAM = Path(__file__).parents[2] / "support/gateway_to_kill.py"
LEASE_S = 1.0
WORDS = [f"{number} " for number in range(300)]
SAID = 150
ASKED = {"mcp": "quick", "chat": "quick", "agui": "quick", "talk": "words", "looking": "look", "changing": "change"}


async def _model(call: Call) -> None:
    """Calls the tool that it is asked for, then counts: after ``quick`` and ``words``, not to the end at first."""
    messages = json.loads(call.body)["messages"]
    last = messages[-1]
    stays = messages[0]["content"].endswith(("quick", "words"))
    begun = len(last["content"].split()) if last["role"] == "assistant" else 0
    await call.head()
    await call.send(WIRE.start())
    if last["role"] == "user" and not last["content"].endswith("words"):
        tool = last["content"].split()[-1]
        await call.send(WIRE.tool(0, "c", tool) + WIRE.arguments(0, "{}") + WIRE.end("tools"))
        await call.end()
        return
    for number, word in enumerate(WORDS[begun:]):
        await call.send(WIRE.text(0, f" {word}" if begun and not number else word, first=number == 0))
        if stays and not begun and number == SAID:
            await call.gone()
    await call.send(WIRE.close(0) + WIRE.end())
    await call.end()


async def _begin(address: tuple[str, int], name: str) -> tuple[RawClient, str]:
    """Its run; if it counts, what it says before its gateway is killed has been read."""
    client = await RawClient(address).__aenter__()
    question = f"use {ASKED[name]}"
    ask: dict[str, Any]
    match name:
        case "chat":
            message = {"id": "u", "role": "user", "parts": [{"type": "text", "text": question}]}
            path, ask = "/api/chat", {"id": "c", "messages": [message]}
        case "agui":
            messages = [{"id": "u", "role": "user", "content": question}]
            path = "/agui"
            ask = {"threadId": "t", "runId": "agui", "messages": messages, "tools": [], "context": [], "state": {}}
            ask |= {"forwardedProps": {}}
        case "talk":
            path, ask = "/api/conversation-stream/ann", {"message": question}
        case _:
            path, ask = "/mcp/chat/stream", {"query": question}
    await client.send("POST", path, json.dumps(ask).encode())
    assert await client.head() == 200
    if ASKED[name] in ("quick", "words"):
        await client.body.until(f'"{SAID} "'.encode())
    return client, client.headers["x-millstream-run"]


async def _until(condition: Callable[[], bool]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.01)


async def _parts(client: RawClient, path: str, *, method: str = "GET", ask: dict[str, Any] | None = None) -> list[Any]:
    await client.send(method, path, json.dumps(ask).encode() if ask else b"")
    assert await client.head() == 200
    return [json.loads(frame.data) for frame in frames(await client.body.rest()) if frame.data != "[DONE]"]


def test_runs_of_a_killed_gateway_end_at_another_without_anything_happening_twice(tmp_path: Path) -> None:
    file = tmp_path / "tools"
    environ = {**os.environ, "MILLSTREAM_TEST_TOOLS": str(file)}

    async def main(place: str) -> None:
        async with RawUpstream(_model) as upstream:
            arguments = [str(PROGRAM), place, upstream.url + "/v1", str(LEASE_S), "continue"]
            processes = [
                await asyncio.create_subprocess_exec(
                    sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, env=environ
                )
                for _ in range(2)
            ]
            try:
                addresses = []
                for process in processes:
                    assert process.stdout is not None
                    addresses.append(("127.0.0.1", int(await process.stdout.readline())))
                begun = {name: await _begin(addresses[0], name) for name in ASKED}
                await _until(lambda: {"look", "change"} <= set(file.read_text().split()))
                os.kill(processes[0].pid, signal.SIGKILL)
                await processes[0].wait()
                for client, _ in begun.values():
                    await client.__aexit__(None, None, None)
                await _read(addresses[1], {name: run_id for name, (_, run_id) in begun.items()})
            finally:
                for process in processes:
                    if process.returncode is None:
                        process.kill()
                    await process.wait()

    async def _read(there: tuple[str, int], runs: dict[str, str]) -> None:
        whole = "".join(WORDS)
        async with RawClient(there) as client:
            chat = await _parts(client, "/api/chat/c/stream?startIndex=0")
            assert "".join(part["delta"] for part in chat if part["type"] == "text-delta") == whole
            assert [part["type"] for part in chat if part["type"] == "tool-output-available"] == [
                "tool-output-available"
            ]
            assert chat[-1]["type"] == "finish"
            agui = await _parts(client, "/agui?runId=agui")
            assert "".join(event["delta"] for event in agui if event["type"] == "TEXT_MESSAGE_CONTENT") == whole
            assert agui[-1]["type"] == "RUN_FINISHED"
            mcp = await _parts(client, f"/mcp/chat/stream/{runs['mcp']}?accumulated=false")
            assert mcp[-1]["type"] == "complete"
            talk = await _parts(client, f"/api/conversation-stream/ann/{runs['talk']}")
            assert "".join(said["content"] for said in talk if said["type"] == "chunk") == whole
            assert talk[-1]["type"] == "complete"
            _, data = await client.ask("GET", "/api/conversation/ann/sessions")
            (session,) = json.loads(data)["sessions"]
            _, data = await client.ask("GET", f"/api/conversation/ann/sessions/{session['id']}")
            question, answer = json.loads(data)["messages"]
            assert (question["content"], answer["content"]) == ("use words", whole)
            assert answer["state"] == "complete"
            for name in ("looking", "changing"):
                await _parts(client, f"/mcp/chat/stream/{runs[name]}")
        journals = {name: await kept_entries(there, run_id) for name, run_id in runs.items() if name != "talk"}
        for name in ("mcp", "chat", "agui", "looking"):
            _check_whole(journals[name], whole)
        fault, end = (entry.event for entry in journals["changing"][-2:])
        assert isinstance(fault, Fault)
        assert (fault.code, fault.retryable) == ("run_lost", True)
        assert "change" in fault.message
        assert isinstance(end, RunEnd)
        assert end.reason == "lost"
        ran = file.read_text().split()
        assert sorted(ran) == ["change", "look", "look", "quick", "quick", "quick"]

    def _check_whole(journal: list[RunEntry], whole: str) -> None:
        events = [entry.event for entry in journal]
        assert "".join(texts(journal)) == whole
        assert isinstance(events[-1], RunEnd)
        assert events[-1].reason == "finished"
        assert (events[-1].steps, events[-1].tool_calls) == (2, 1)
        assert sum(isinstance(event, Status) and event.status == RECOVERED for event in events) == 1
        assert sum(isinstance(event, ToolRunStart) for event in events) == 1
        assert sum(isinstance(event, ToolRunEnd) for event in events) == 1

    with redis_server() as redis:
        run(main(redis.url), 60)
