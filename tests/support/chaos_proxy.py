"""A wire that breaks: it cuts each connection after a random number of bytes, the same ones for the same seed."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from listening import listening


class ChaosProxy:
    """Passes on to ``goal``. Of every connection ``least`` to ``most`` bytes of the answer come through, in pieces of a
    random size, and then it is cut: orderly or by a reset. After ``cuts`` cuts it is a good wire."""

    def __init__(self, goal: tuple[str, int], seed: int, cuts: int, *, least: int = 0, most: int = 2000) -> None:
        self.cuts_left = cuts
        self.cuts = 0
        self.healed = asyncio.Event()
        """Something has come through the wire since it is a good one."""
        self.address = ("", 0)
        self._goal = goal
        self._random = random.Random(seed)
        self._least = least
        self._most = most

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward: asyncio.StreamWriter | None = None
        try:
            back, onward = await asyncio.open_connection(*self._goal)
            asking = asyncio.create_task(_carry(reader, onward))
            await self._answer(back, writer)
            asking.cancel()
            await asyncio.wait({asking})
        except ConnectionError:
            pass
        finally:
            for end in (writer, onward):
                if end is not None:
                    end.close()

    async def _answer(self, back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        budget = None
        if self.cuts_left:
            self.cuts_left -= 1
            budget = self._random.randint(self._least, self._most)
        while data := await back.read(self._random.choice((1, 7, 64, 1000))):
            if budget is not None and len(data) >= budget:
                self.cuts += 1
                writer.write(data[:budget])
                if self._random.random() < 0.5:
                    await writer.drain()
                else:
                    _reset(writer)
                return
            writer.write(data)
            await writer.drain()
            if budget is None:
                self.healed.set()
            else:
                budget -= len(data)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


@asynccontextmanager
async def chaos(
    goal: tuple[str, int], seed: int, cuts: int, *, least: int = 0, most: int = 2000
) -> AsyncIterator[ChaosProxy]:
    """Listens on a free port."""
    proxy = ChaosProxy(goal, seed, cuts, least=least, most=most)
    async with listening(proxy.serve) as proxy.address:
        yield proxy
