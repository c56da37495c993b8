"""How a worker and its supervisor ask each other for figures: frames of JSON over a pair of sockets, the length first.

Each end answers with what it has: a worker with its own figures, the supervisor with those of all its workers.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from millstream.server.figures import Figures
from millstream.telemetry import logs

_LENGTH = 4


class _Ask(msgspec.Struct, frozen=True, tag="ask"):
    number: int
    scraped: bool


class _Told(msgspec.Struct, frozen=True, tag="told"):
    """The answer to the question of that number; 0: nobody asked, and nothing follows."""

    number: int
    figures: Figures


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Ask | _Told).decode


class Peer:
    """One end, to be ``run`` as a task. ``answer`` gives what it has; ``last`` is what the other one said last."""

    def __init__(self, end: socket.socket, answer: Callable[[bool], Awaitable[Figures]]) -> None:
        self.last = Figures()
        self._end = end
        self._answer = answer
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Figures]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._opened = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Returns once the other end has closed."""
        reader, self._writer = await asyncio.open_unix_connection(sock=self._end)
        self._opened.set()
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(_LENGTH))
                self._take(_decode(await reader.readexactly(length)))
        except (OSError, asyncio.IncompleteReadError):
            pass
        except msgspec.MsgspecError as error:
            logs.logger.error("a process of ours says what cannot be read: %s", error)
        finally:
            for waiting in self._asked.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionError("it has ended"))
            for task in self._answering:
                task.cancel()
            self._writer.close()
            self._writer = None

    async def ask(self, scraped: bool, limit: float) -> Figures | None:
        """The other one's figures, with what is for Prometheus if ``scraped``; None where it does not say them within
        ``limit`` seconds."""
        number = next(self._numbers)
        waiting: asyncio.Future[Figures] = asyncio.get_running_loop().create_future()
        self._asked[number] = waiting
        try:
            async with asyncio.timeout(limit):
                await self._opened.wait()
                self._send(_Ask(number, scraped))
                return await waiting
        except (TimeoutError, ConnectionError):
            return None
        finally:
            del self._asked[number]

    def _take(self, said: _Ask | _Told) -> None:
        if isinstance(said, _Ask):
            task = asyncio.create_task(self._tell(said))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        figures = said.figures
        if not figures.families:  # they were not asked for, and those that were told before hold
            figures = msgspec.structs.replace(figures, families=self.last.families)
        self.last = figures
        waiting = self._asked.get(said.number)
        if waiting is not None and not waiting.done():
            waiting.set_result(said.figures)

    async def _tell(self, asked: _Ask) -> None:
        figures = await self._answer(asked.scraped)
        with suppress(ConnectionError):
            self._send(_Told(asked.number, figures))

    def _send(self, said: _Ask | _Told) -> None:
        if self._writer is None:
            raise ConnectionError("it has ended")
        self._writer.write(_frame(said))


def say_last(end: socket.socket, figures: Figures, limit: float) -> None:
    """Before a process ends, without an event loop. It is tried for ``limit`` seconds."""
    end.settimeout(limit)
    with suppress(OSError):
        end.sendall(_frame(_Told(0, figures)))


def _frame(said: _Ask | _Told) -> bytes:
    data = _encode(said)
    return len(data).to_bytes(_LENGTH) + data
