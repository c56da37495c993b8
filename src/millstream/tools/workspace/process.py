"""Programs that are started for a tool: read as they speak, and ended with everything they started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence

_GRACE = 0.5
"""Seconds between asking a group of processes to end and ending it, and for its last output to arrive."""
_PIECE = 64 * 1024


class Running:
    """A process in a group of its own; what it writes to ``stdout`` and ``stderr`` comes as one."""

    def __init__(self, process: asyncio.subprocess.Process, output: asyncio.StreamReader, pipe: asyncio.BaseTransport):
        self._process = process
        self._output = output
        self._pipe = pipe
        self._gone = False

    @classmethod
    async def start(
        cls, words: Sequence[str], *, cwd: str, env: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
    ) -> Running:
        """Raises ``OSError`` if the program cannot be started."""
        # A pipe of our own: waiting for a process with asyncio's pipes may also wait for all who hold them.
        ours, theirs = os.pipe()
        try:
            reader = asyncio.StreamReader(limit=_PIECE)
            loop = asyncio.get_running_loop()
            # The transport closes it.
            end = os.fdopen(ours, "rb", 0)
            pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), end)
            try:
                process = await asyncio.create_subprocess_exec(
                    *words,
                    cwd=cwd,
                    env=env,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=theirs,
                    stderr=theirs,
                    start_new_session=True,
                    pass_fds=pass_fds,
                )
            except BaseException:
                pipe.close()
                raise
        finally:
            os.close(theirs)
        return cls(process, reader, pipe)

    async def read_to_end(self, take: Callable[[bytes], object]) -> int:
        """Gives pieces of output to ``take`` until the process ends, then its exit status (negative: the signal).

        What it left running is ended with it. Raises what ``take`` raises.
        """
        reader = asyncio.create_task(self._pump(take))
        exit_status = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait((reader, exit_status), return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
            status = await exit_status
            self._kill()
            await asyncio.wait((reader,), timeout=_GRACE)
            if reader.done():
                reader.result()
            return status
        finally:
            reader.cancel()
            exit_status.cancel()
            await asyncio.wait((reader, exit_status))

    async def _pump(self, take: Callable[[bytes], object]) -> None:
        while piece := await self._output.read(_PIECE):
            take(piece)

    async def end(self) -> None:
        """Ends the whole group: asked first, then made to. Goes on to its end even if it is cancelled itself."""
        await asyncio.shield(asyncio.ensure_future(self._end()))

    async def _end(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_GRACE):
                    await self._process.wait()
        self._kill()
        await self._process.wait()
        self._pipe.close()

    def _kill(self) -> None:
        """Once only: afterwards the group's number may be another's."""
        if not self._gone:
            self._gone = True
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
