"""Exchanges of every end, side by side: for what must be the same after many of them as it was before."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter

from raw_client import RawClient
from raw_http import Cut
from raw_upstream import JSON, Call
from wires import Wire

KINDS = ("finished", "whole", "leaves", "never reads", "reads slowly", "cut", "limited", "refused")
_PIECES = 20
_BULK = 40
_SMALL_BUFFER = 16 * 1024
_PATIENCE_S = 60.0


class Mixed:
    """Plays both sides of a gateway: ``answer`` is the upstream's, ``exchange`` the client's. What is to happen is in
    the model's name. ``ends`` counts what happened."""

    def __init__(self, address: tuple[str, int], provider: str, client: Wire, upstream: Wire) -> None:
        self._address = address
        self._provider = provider
        self._client = client
        self._upstream = upstream
        self.ends: Counter[str] = Counter()

    def turn_to(self, address: tuple[str, int]) -> None:
        """Where the gateway is."""
        self._address = address

    async def answer(self, call: Call) -> None:
        kind = json.loads(call.body)["model"].replace("-", " ")
        if kind in ("limited", "refused"):
            status, name = (429, "rate") if kind == "limited" else (400, "invalid")
            await call.answer(status, self._upstream.refusal(name, "no"), {**JSON, "retry-after": "60"})
            return
        if kind == "whole":
            await call.answer(200, self._upstream.reply("first"))
            return
        await call.head()
        await call.send(self._upstream.start() + self._upstream.text(0, "first", first=True))
        if kind in ("leaves", "never reads"):
            await self._pour_until_gone(call, bulky=kind == "never reads")
        elif kind == "cut":
            call.cut()
        else:
            bulky = kind == "reads slowly"
            for _ in range(_BULK if bulky else _PIECES):
                await call.send(self._upstream.text(0, "x" * 8000 if bulky else "piece "))
            await call.send(self._upstream.close(0) + self._upstream.end())
            await call.end()

    async def _pour_until_gone(self, call: Call, *, bulky: bool) -> None:
        gone = asyncio.create_task(call.gone())
        try:
            while not gone.done():
                await call.send(self._upstream.text(0, "x" * 8000 if bulky else "piece "))
                if not bulky:
                    await asyncio.wait({gone}, timeout=0.005)
        except ConnectionError:
            pass  # it has gone
        finally:
            gone.cancel()
            await asyncio.wait({gone})

    async def exchange(self, kind: str) -> None:
        """Raises ``AssertionError`` where it ends in another way than ``kind`` says, ``TimeoutError`` if it hangs."""
        small = _SMALL_BUFFER if kind in ("never reads", "reads slowly") else None
        async with asyncio.timeout(_PATIENCE_S), RawClient(self._address, small) as client:
            model = f"{self._provider}/{kind.replace(' ', '-')}"
            await client.send("POST", self._client.path, self._client.request(model=model, stream=kind != "whole"))
            status = await client.head()
            if kind in ("limited", "refused"):
                assert status == (429 if kind == "limited" else 400), (kind, status)
                assert self._client.problem_in(await client.body.rest())
            else:
                assert status == 200, (kind, status)
                await self._hear(kind, client)
        self.ends[kind] += 1

    async def _hear(self, kind: str, client: RawClient) -> None:
        if kind == "never reads":
            return
        if kind == "whole":
            assert self._client.said_in(await client.body.rest()) == "first"
            return
        got = await client.body.until(b"first")
        if kind == "leaves":
            return
        try:
            got += await client.body.rest()
        except Cut as cut:
            raise AssertionError(f"{kind}: the stream broke off after {len(got + cut.got)} bytes") from cut
        heard = self._client.hear(got)
        assert (heard.ends, len(heard.errors)) == ((0, 1) if kind == "cut" else (1, 0)), (kind, heard.errors)

    async def round(self, count: int, at_once: int, seed: int) -> None:
        """``count`` exchanges, as many of each kind, ``at_once`` at a time, in an order that ``seed`` shuffles."""
        kinds = [KINDS[number % len(KINDS)] for number in range(count)]
        random.Random(seed).shuffle(kinds)
        waiting = iter(kinds)

        async def work() -> None:
            for kind in waiting:
                await self.exchange(kind)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())
