"""One run of a coding agent as a process: bounded in time, with nothing of it left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 60.0
_LINE_LIMIT = 16 * 1024 * 1024


@dataclass(slots=True)
class Ended:
    """What it printed, and how it ended."""

    status: int
    lines: list[str]
    errors: str


async def run_agent(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    seen: Callable[[str], None] = lambda line: None,
) -> Ended:
    """``command`` to its end, in ``folder`` and with no environment but the given. ``seen`` gets each line as it is
    printed. Raises ``TimeoutError`` after ``LIMIT_S`` seconds."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.ensure_future(process.stderr.read())
    lines: list[str] = []
    try:
        async with asyncio.timeout(LIMIT_S):
            async for text in process.stdout:
                lines.append(text.decode())
                seen(lines[-1])
            return Ended(await process.wait(), lines, (await errors).decode())
    except BaseException:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
