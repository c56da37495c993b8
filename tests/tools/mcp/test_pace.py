from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import httpx2
import pytest

from millstream.tools.mcp import http, pace


class Slept:
    """In the place of the clock: nothing takes time but sleeping."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: self.seconds))
        monkeypatch.setattr(pace, "asyncio", SimpleNamespace(sleep=self._sleep))

    async def _sleep(self, seconds: float) -> None:
        self.seconds += seconds


class Said(httpx2.AsyncByteStream):
    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def test_a_burst_passes_and_a_flood_comes_at_a_thousand_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = Slept(monkeypatch)

    async def main() -> None:
        steps = pace.Pace()
        for _ in range(499):
            await steps.step()
        assert slept.seconds == 0
        for _ in range(5_000):
            await steps.step()
        assert 4.5 <= slept.seconds <= 5.5
        await steps.step(5_000)
        assert 9.5 <= slept.seconds <= 10.5

    asyncio.run(main())


@pytest.mark.parametrize("event", [b"data: x\n\n", b": x\n\n", b"data: x\r\n\r\n"])
def test_a_stream_over_http_is_slowed_down_by_its_events(event: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    slept = Slept(monkeypatch)

    async def main() -> None:
        stream = http._Events(Said(*[event * 400] * 10), http._Wait())
        assert b"".join([chunk async for chunk in stream]) == event * 4_000
        assert 3.0 <= slept.seconds <= 4.5

    asyncio.run(main())
