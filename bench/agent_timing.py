"""How long after its cause an event of an agent's run reaches the client, and whether tools of one turn overlap.

    .venv/bin/python bench/agent_timing.py --runs 60
    chrt -r 10 .venv/bin/python bench/agent_timing.py --check      # as root, before everything else on the machine

The gateway is a process of its own; upstream and client share another. Whatever causes an event writes the moment
(``CLOCK_MONOTONIC``, ns) into it, and the client subtracts when it has read it: a tool into its progress and result,
the upstream into its text (of a tool that it names, it remembers the moment). Runs follow one another, and each tool
works for a tenth of a second. ``--check`` ends with status 1 where a limit is passed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from raw_client import RawClient
from raw_upstream import JSON, Call, RawUpstream

from millstream.config import Config, ProviderConfig, ToolsConfig
from millstream.testing.gateway import GatewayThread
from millstream.tools.functions import Functions, FunctionTool, Report, tool

STEPS = 20
STEP_S = 0.005
STAMP = re.compile(r"@(\d+)@")
TOOLS = ("left", "right")
PAUSE_S = 0.005
"""Between the pieces that the upstream says."""


@dataclass(frozen=True)
class Limit:
    """``most`` in ms, of the share ``at`` of what was measured."""

    what: str
    most: float
    at: float = 0.99


LIMITS = {
    "progress": Limit("from a tool's progress to its event", 5),
    "result": Limit("from a tool's end to its result", 5),
    "detected": Limit("from the upstream's naming of a tool to `tool_detected`", 5),
    "text": Limit("from the upstream's text between tools to its event", 5),
    "final": Limit("from the upstream's first token of the last call to the client", 5),
    "start": Limit("from the request to the first event of `/mcp/chat/stream`", 100),
    "line": Limit("from the request to the first line of progress, `/v1/messages`", 100),
    "overlap": Limit("two tools of 100 ms, from the first's start to the last's result", 150),
}


@dataclass
class Delays:
    """In ms, by name."""

    of: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in LIMITS})

    def add(self, name: str, caused: int, seen: int) -> None:
        self.of[name].append((seen - caused) / 1e6)


def stamp() -> str:
    return f"@{time.monotonic_ns()}@"


def serve(upstream: str) -> None:
    """The gateway, until its standard input ends. Says its address."""

    def working(name: str) -> FunctionTool[Any, Any]:
        @tool(name=name)
        async def work(report: Report) -> str:
            for number in range(STEPS):
                await asyncio.sleep(STEP_S)
                report(number, STEPS, stamp())
            return stamp()

        return work

    provider = ProviderConfig(dialect="openai_chat", base_url=f"{upstream}/v1", default_model="m")
    config = Config(providers={"up": provider}, default_model="up/m", tools=ToolsConfig(mode="gateway"))
    with GatewayThread(config, tools=[Functions([working(name) for name in TOOLS])]) as gateway:
        print(gateway.url, flush=True)
        sys.stdin.read()


class Upstream:
    """Names two tools, one after the other, after a few words; says a few more when it has their results."""

    def __init__(self) -> None:
        self.named: dict[str, int] = {}
        """When each tool was named last."""

    async def chat(self, call: Call) -> None:
        asked = json.loads(call.body)
        await call.head()
        if asked["messages"][-1]["role"] == "tool":
            await self._say(call, {"role": "assistant", "content": "F" + stamp()})
            end = "stop"
        else:
            await self._say(call, {"role": "assistant", "content": "T" + stamp()})
            for index, name in enumerate(TOOLS):
                await asyncio.sleep(PAUSE_S)
                self.named[name] = time.monotonic_ns()
                named = {"index": index, "id": f"c{index}", "type": "function"}
                await self._say(call, {"tool_calls": [named | {"function": {"name": name, "arguments": "{}"}}]})
            end = "tool_calls"
        await asyncio.sleep(PAUSE_S)
        await self._say(call, {}, end)
        await call.send(b"data: [DONE]\n\n")
        await call.end()

    @staticmethod
    async def _say(call: Call, delta: dict[str, Any], end: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": end}
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        await call.send(b"data: %b\n\n" % json.dumps(chunk).encode())


class Client:
    def __init__(self, gateway: RawClient, upstream: Upstream, delays: Delays) -> None:
        self._gateway = gateway
        self._upstream = upstream
        self._delays = delays

    async def agent_run(self) -> None:
        """One run as ``/mcp/chat/stream`` tells it."""
        began, first, started, ended = time.monotonic_ns(), True, 0, 0
        async for at, event in self._events("/mcp/chat/stream", {"query": "Go."}):
            if first:
                self._delays.add("start", began, at)
                first = False
            kind = event["type"]
            stamped = STAMP.search(event.get("message") or event.get("content") or event.get("chunk") or "")
            if kind == "tool_detected":
                self._delays.add("detected", self._upstream.named[event["tool"]], at)
            elif kind == "tools_executing":
                started = at
            elif kind == "tool_result":
                ended = at
                self._note("result", stamped, at)
            elif kind == "tool_progress" and event["status"] == "executing" and "message" in event:
                self._note("progress", stamped, at)
            elif kind == "text_chunk":
                self._note("final" if event["chunk"].startswith("F") else "text", stamped, at)
            elif kind == "error":
                raise SystemExit(f"the run failed: {event}")
        self._delays.add("overlap", started, ended)

    async def model_run(self) -> None:
        """One run as a client of a model API sees it."""
        began = time.monotonic_ns()
        messages = [{"role": "user", "content": "Go."}]
        body = {"model": "up/m", "max_tokens": 100, "stream": True, "messages": messages}
        seen = False
        async for at, event in self._events("/v1/messages", body):
            delta = event.get("delta", {})
            if not seen and delta.get("thinking"):
                seen = True
                self._delays.add("line", began, at)
            if delta.get("text", "").startswith("F"):
                self._note("final", STAMP.search(delta["text"]), at)

    async def _events(self, path: str, body: dict[str, Any]) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        await self._gateway.send("POST", path, json.dumps(body).encode(), JSON)
        status = await self._gateway.head()
        if status != 200:
            raise SystemExit(f"{path} answers with status {status}")
        while piece := await self._gateway.body.read():
            at = time.monotonic_ns()
            for line in piece.splitlines():
                if line.startswith(b"data: "):
                    yield at, json.loads(line[6:])

    def _note(self, name: str, stamped: re.Match[str] | None, at: int) -> None:
        if stamped is None:
            raise SystemExit(f"{name}: an event without the moment of its cause")
        self._delays.add(name, int(stamped[1]), at)


@contextmanager
def gateway(upstream: str) -> Iterator[str]:
    command = [sys.executable, __file__, "--serve", upstream]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdin is None or process.stdout is None:
            raise SystemExit("the gateway has no pipes")
        yield process.stdout.readline().strip()
        process.stdin.close()


async def measured(runs: int) -> Delays:
    upstream, delays = Upstream(), Delays()
    async with RawUpstream(upstream.chat) as model:
        with gateway(model.url) as url:
            host, _, port = url.removeprefix("http://").partition(":")
            async with RawClient((host, int(port))) as wire:
                warm, client = Client(wire, upstream, Delays()), Client(wire, upstream, delays)
                ways: list[Callable[[Client], Awaitable[None]]] = [Client.agent_run, Client.model_run]
                for number in range(runs + 3):
                    for way in ways:
                        await way(warm if number < 3 else client)
    return delays


def at_share(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def report(delays: Delays) -> bool:
    """Prints the table. True where every limit is kept."""
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    now = datetime.now(UTC)
    print(f"{now:%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, load before the end {load}\n")
    print("| ms | events | median | p99 | most | limit (p99) |\n|-|-|-|-|-|-|")
    kept = True
    for name, limit in LIMITS.items():
        values = delays.of[name]
        high = at_share(values, limit.at)
        kept = kept and high < limit.most
        figures = f"{statistics.median(values):.1f} | {high:.1f} | {max(values):.1f}"
        print(f"| {limit.what} | {len(values)} | {figures} | {limit.most:g} |")
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=60, help="of each of the two ways to ask")
    parser.add_argument("--check", action="store_true", help="status 1 where a limit is passed")
    parser.add_argument("--serve", metavar="UPSTREAM", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    kept = report(asyncio.run(measured(given.runs)))
    if given.check and not kept:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
