"""HTTP/1.1 by hand, for tests that care about single bytes and the moment each one comes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

_LIMIT = 1024 * 1024


class Cut(Exception):
    """The connection ended inside a message. ``got`` is what had come of the body."""

    def __init__(self, got: bytes = b"") -> None:
        super().__init__(f"the connection ended after {len(got)} bytes of a body")
        self.got = got


@dataclass(slots=True)
class Head:
    """``first`` is the request or status line in its three parts; header names are in lower case."""

    first: tuple[str, str, str]
    headers: dict[str, str] = field(default_factory=dict)


async def read_head(reader: asyncio.StreamReader) -> Head:
    """Raises ``Cut`` if the connection ends before a whole head."""
    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise Cut from error
    first, *lines = text[:-4].split("\r\n")
    one, two, three = [*first.split(" ", 2), "", ""][:3]
    pairs = (line.partition(":") for line in lines)
    return Head((one, two, three), {name.lower(): value.strip() for name, _, value in pairs})


class Body:
    """A message's body, piece by piece: each ``read`` gives one chunk exactly as its sender wrote it."""

    def __init__(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> None:
        self._reader = reader
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._rest = int(headers.get("content-length", 0))
        self._ended = not self._chunked and self._rest == 0

    async def read(self) -> bytes:
        """``b""`` at the end. Raises ``Cut``."""
        if self._ended:
            return b""
        try:
            return await (self._chunk() if self._chunked else self._counted())
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Cut from error

    async def rest(self) -> bytes:
        """All that is left of it. Raises ``Cut`` with what had come."""
        pieces: list[bytes] = []
        try:
            while piece := await self.read():
                pieces.append(piece)
        except Cut as cut:
            raise Cut(b"".join(pieces)) from cut
        return b"".join(pieces)

    async def until(self, marker: bytes) -> bytes:
        """Everything up to and with the chunk that completes ``marker``. Raises ``Cut``, also at a clean end."""
        got = b""
        while marker not in got:
            piece = await self.read()
            if not piece:
                raise Cut(got)
            got += piece
        return got

    async def _chunk(self) -> bytes:
        size = int((await self._reader.readuntil(b"\r\n")).strip(), 16)
        data = await self._reader.readexactly(size)
        await self._reader.readexactly(2)
        self._ended = size == 0
        return data

    async def _counted(self) -> bytes:
        data = await self._reader.read(min(self._rest, _LIMIT))
        if not data:
            raise Cut
        self._rest -= len(data)
        self._ended = self._rest == 0
        return data


def chunk(data: bytes) -> bytes:
    """``data`` as one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
