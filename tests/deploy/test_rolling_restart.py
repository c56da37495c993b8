"""Two replicas, Redis and haproxy, each a process of its own, with the settings that examples/deploy has for them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from gateway_site import run
from plain_site import WIRE, body
from raw_client import RawClient
from raw_http import Cut
from raw_upstream import Call, RawUpstream
from redis_server import redis_server
from sse_reader import EventSource, Frame

EXAMPLES = Path(__file__).parents[2] / "examples/deploy"
KEY = "client-key"
HEADERS = {"authorization": f"Bearer {KEY}"}
WORDS = [f"{number} " for number in range(60)]
APPS = 6


class Replica:
    """``millstream serve`` at a port of its own, which it keeps when it is started again."""

    def __init__(self, folder: Path, name: str, redis: str, upstream: str) -> None:
        self._port = 0
        self._config = folder / f"{name}.toml"
        text = (EXAMPLES / "replica.toml").read_text().replace("redis://redis:6379/0", redis)
        text = text.replace('"groq/moonshotai/kimi-k2-instruct-0905"', '"up/m"').replace("0.0.0.0", "127.0.0.1")
        text += (
            f'\n[providers.up]\ndialect = "openai_chat"\nbase_url = "{upstream}/v1"\nquirks = {{ continues = ["*"] }}\n'
        )
        self._config.write_text(text)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    async def start(self) -> None:
        """It takes requests after that."""
        command = ["-m", "millstream", "serve", "--config", str(self._config), "--port", str(self._port)]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, *command, "--address-only"),
            env={**os.environ, "MILLSTREAM_KEY": KEY},
            stdout=pipe,
            stderr=pipe,
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._leaving = asyncio.Event()
        self._reading = asyncio.create_task(self._read_log(self._process.stderr))
        said = (await self._process.stdout.readline()).decode()
        assert said, "it has ended"
        self._port = int(said.rpartition(":")[2])

    async def _read_log(self, lines: asyncio.StreamReader) -> None:
        async for line in lines:
            if b"stopping: " in line:
                self._leaving.set()
        self._leaving.set()

    async def leave(self) -> None:
        """It takes no further requests after that, and is not gone before those under way have ended."""
        assert self._process is not None
        self._process.terminate()
        await self._leaving.wait()

    async def end(self, *, hard: bool = False) -> None:
        if self._process is not None and self._process.returncode is None:
            if hard:
                self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def _haproxy(folder: Path, replicas: list[Replica]) -> AsyncIterator[tuple[str, int]]:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("haproxy is not installed")
    config = folder / "haproxy.cfg"
    silent = asyncio.subprocess.DEVNULL
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
        text = (EXAMPLES / "haproxy.cfg").read_text().replace("0.0.0.0:8080", f"fd@{listener.fileno()}")
        for example, replica in zip(("10.0.0.11:8090", "10.0.0.12:8090"), replicas, strict=True):
            assert example in text
            text = text.replace(example, f"127.0.0.1:{replica.address[1]}")
        config.write_text(text)
        process = await asyncio.create_subprocess_exec(
            *(program, "-db", "-f", str(config)), pass_fds=[listener.fileno()], stdout=silent, stderr=silent
        )
    try:
        yield address
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Model:
    """Says half of its answer, and the rest when it is let. Goes on from a beginning of its answer, as models do."""

    def __init__(self) -> None:
        self._held: list[asyncio.Event] = []
        self._patient = True
        self._news = asyncio.Event()

    async def answer(self, call: Call) -> None:
        last = json.loads(call.body)["messages"][-1]
        begun = len(last["content"].split()) if last["role"] == "assistant" else 0
        await call.head()
        await call.send(WIRE.start())
        for number, word in enumerate(WORDS[begun:]):
            if begun + number == len(WORDS) // 2 and self._patient:
                await self._wait()
            await call.send(WIRE.text(0, f" {word}" if begun and not number else word, first=number == 0))
        await call.send(WIRE.close(0) + WIRE.end())
        await call.end()

    async def _wait(self) -> None:
        let = asyncio.Event()
        self._held.append(let)
        self._news.set()
        await let.wait()

    async def holds(self, number: int) -> None:
        """Waits until so many answers are half said."""
        while len(self._held) < number:
            self._news.clear()
            await self._news.wait()

    def let(self, *, all_others: bool = False) -> None:
        """Those that are half said, and ``all_others`` from now on."""
        self._patient = not all_others
        for held in self._held:
            held.set()
        self._held = []


async def _one(front: tuple[str, int], run_id: str) -> list[Frame]:
    """Begins a run, and reads it to its end however often it is cut off."""
    while True:
        try:
            async with RawClient(front) as client:
                await client.send("POST", "/api/v1/stream", body(run_id=run_id), HEADERS)
                if await client.head() == 200:
                    await client.body.until(b"event: ")
                    break
        except (Cut, ConnectionError):
            pass
        await asyncio.sleep(0.02)
    return await EventSource(front, f"/api/v1/stream/{run_id}", HEADERS).read()


def _check(got: list[Frame]) -> None:
    *pieces, end = got
    assert "".join(json.loads(frame.data)["content"] for frame in pieces) == "".join(WORDS)
    assert json.loads(end.data)["type"] == "complete", end
    numbers = [int(frame.number) for frame in got]
    assert numbers == sorted(set(numbers))


def test_replicas_restarted_one_after_the_other_and_killed_lose_no_event(tmp_path: Path) -> None:
    async def main() -> None:
        model = Model()
        with redis_server() as redis:
            async with RawUpstream(model.answer) as upstream:
                replicas = [Replica(tmp_path, name, redis.url, upstream.url) for name in ("one", "two")]
                try:
                    await asyncio.gather(*(replica.start() for replica in replicas))
                    async with _haproxy(tmp_path, replicas) as front:
                        done = asyncio.Event()
                        ended: list[str] = []

                        async def load(name: str) -> None:
                            number = 0
                            while not done.is_set():
                                _check(await _one(front, f"{name}-{number}"))
                                ended.append(f"{name}-{number}")
                                number += 1

                        async with asyncio.TaskGroup() as group:
                            for number in range(APPS):
                                group.create_task(load(f"app{number}"))
                            for replica in replicas:
                                await model.holds(APPS)
                                await replica.leave()
                                model.let()
                                await replica.end()
                                await replica.start()
                            await model.holds(APPS)
                            done.set()
                            model.let()
                        assert len(ended) == 3 * APPS
                        before = len(upstream.calls)
                        async with asyncio.TaskGroup() as group:
                            reads = [group.create_task(_one(front, f"killed{number}")) for number in range(APPS)]
                            await model.holds(APPS)
                            await replicas[0].end(hard=True)
                            model.let(all_others=True)
                        for read in reads:
                            _check(read.result())
                        assert len(upstream.calls) > before + APPS, "runs of the killed replica were gone on with"
                finally:
                    await asyncio.gather(*(replica.end(hard=True) for replica in replicas))

    run(main(), 90)
