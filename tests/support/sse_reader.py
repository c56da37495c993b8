"""A browser's ``EventSource``, by the standard: it reads frames, remembers the last number, and comes back.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from raw_client import RawClient
from raw_http import Cut


@dataclass(frozen=True, slots=True)
class Frame:
    number: str
    name: str
    data: str


@dataclass(slots=True)
class FrameReader:
    """Bytes, however they are cut, to frames. One that is not complete when the connection ends is thrown away."""

    last_number: str = ""
    _rest: bytes = b""
    _lines: list[str] = field(default_factory=list)

    def feed(self, data: bytes) -> list[Frame]:
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        found: list[Frame] = []
        for block in blocks:
            name, said = "message", []
            for line in block.decode().split("\n"):
                key, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if key == "id":
                    self.last_number = value
                elif key == "event":
                    name = value
                elif key == "data":
                    said.append(value)
            if said:
                found.append(Frame(self.last_number, name, "\n".join(said)))
        return found

    def cut(self) -> None:
        self._rest = b""


class EventSource:
    """Reads ``path`` at ``address`` until there is nothing left (204). A gateway that is away for a moment (502 to 504
    from a proxy before it) is asked again."""

    def __init__(self, address: tuple[str, int], path: str, headers: Mapping[str, str] | None = None) -> None:
        self.connections = 0
        self.frames: list[Frame] = []
        self._address = address
        self._path = path
        self._headers = headers or {}
        self._news = asyncio.Event()

    async def has_read(self, count: int) -> None:
        """Waits until there are ``count`` frames."""
        while len(self.frames) < count:
            self._news.clear()
            await self._news.wait()

    async def read(self) -> list[Frame]:
        frames = FrameReader()
        while True:
            try:
                async with RawClient(self._address) as client:
                    self.connections += 1
                    number = {"last-event-id": frames.last_number} if frames.last_number else {}
                    await client.send("GET", self._path, headers={**self._headers, **number})
                    status = await client.head()
                    if status == 204:
                        return self.frames
                    if status in (502, 503, 504):
                        await asyncio.sleep(0.02)
                        continue
                    assert status == 200, await client.body.rest()
                    while piece := await client.body.read():
                        self.frames += frames.feed(piece)
                        self._news.set()
            except (Cut, ConnectionError):
                pass
            frames.cut()
            await asyncio.sleep(0)
