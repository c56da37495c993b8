"""A wire between a client and a gateway that keeps what the client says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from listening import listening


@dataclass
class Tap:
    url: str = ""
    said: list[bytearray] = field(default_factory=list)
    """By the client, one for each of its connections."""


@asynccontextmanager
async def tapped(address: tuple[str, int]) -> AsyncIterator[Tap]:
    """Listens on a free port, and passes everything on to ``address`` and back."""
    tap = Tap()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray | None = None) -> None:
        try:
            while data := await reader.read(2**16):
                if kept is not None:
                    kept += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tap.said.append(bytearray())
        onward, outward = await asyncio.open_connection(*address)
        await asyncio.gather(carry(reader, outward, tap.said[-1]), carry(onward, writer))

    async with listening(serve) as (host, port):
        tap.url = f"http://{host}:{port}"
        yield tap
