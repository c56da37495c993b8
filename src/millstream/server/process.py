"""A worker as its supervisor sees it: started, told what to do, waited for."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import msgspec

from millstream.config import Config
from millstream.server.figures import Figures
from millstream.server.peers import Peer
from millstream.server.worker import READY, Order

_START_LIMIT_S = 60.0
_FIGURES_LIMIT_S = 2.0
_LAST_WORDS_S = 1.0


class WorkerProcess:
    """``start`` it once. ``serves``: it has begun to take requests; ``status`` is its exit status once it has one,
    negative for a signal. ``answer`` gives the figures that it may ask for."""

    def __init__(
        self, config: Config, listener: int, number: int, answer: Callable[[bool], Awaitable[Figures]]
    ) -> None:
        self.number = number
        self.serves = False
        self._config = config
        self._listener = listener
        ours, self._theirs = socket.socketpair()
        self._peer = Peer(ours, answer)
        self._listening: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._began = 0.0
        self._ended_at: float | None = None

    @property
    def status(self) -> int | None:
        return self._process.returncode if self._process is not None else None

    @property
    def age(self) -> float:
        """How long it has lived, in seconds."""
        until = self._ended_at if self._ended_at is not None else asyncio.get_running_loop().time()
        return until - self._began

    @property
    def end(self) -> str:
        """How it ended, in words."""
        status = self.status
        if status is None:
            return "it still runs"
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    async def start(self) -> None:
        """Returns once it serves or has ended. Cancelled, it ends the process."""
        self._began = asyncio.get_running_loop().time()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "millstream.server.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[self._listener, self._theirs.fileno()],
            process_group=0,  # Ctrl-C at the terminal is the supervisor's: it says what is to happen
        )
        order = Order(self._config, self._listener, self._theirs.fileno(), self.number)
        self._theirs.close()
        self._listening = asyncio.create_task(self._peer.run())
        self.tell(msgspec.json.encode(order) + b"\n")
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                self.serves = await self._first_answer() == READY
                if not self.serves:
                    await self.ended()
        except TimeoutError:
            self.kill()
            await self.ended()
        except asyncio.CancelledError:
            self.kill()
            raise

    async def _first_answer(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            return b""
        return await self._process.stdout.read(1)

    async def ended(self) -> None:
        """Waits for its end."""
        if self._process is not None:
            await self._process.wait()
            if self._listening is not None:
                await asyncio.wait({self._listening}, timeout=_LAST_WORDS_S)
            self._ended_at = self._ended_at or asyncio.get_running_loop().time()

    async def tell_figures(self, scraped: bool) -> None:
        """Returns once ``last_figures`` are those of now, or where it does not say them."""
        if self.status is None:
            await self._peer.ask(scraped, _FIGURES_LIMIT_S)

    @property
    def last_figures(self) -> Figures:
        """What it had counted when it last said so."""
        return self._peer.last

    def tell(self, order: bytes) -> None:
        """What it is to do. One that has ended does not hear it."""
        if self._process is not None and self._process.stdin is not None and self.status is None:
            with suppress(OSError):
                self._process.stdin.write(order)

    def kill(self) -> None:
        if self._process is not None and self.status is None:
            with suppress(ProcessLookupError):
                self._process.kill()
