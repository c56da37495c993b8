"""A server's process, and its standard streams as the SDK's transport.

Other than the SDK's own: the process cannot outlive us (``guard.py``), a line and the rate of lines have limits, what
is no message is counted instead of logged, and the last words on standard error are kept for whoever asks why it died.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from millstream.tools.mcp.pace import Pace
from millstream.tools.mcp.settings import Program

MAX_LINE = 16 * 1024 * 1024
MAX_JUNK_LINES = 1000
_CHUNK = 64 * 1024
_GUARD = Path(__file__).with_name("guard.py")
_LAST_WORDS = 300
_STATUS_S = 0.2


class Trouble:
    """Why a process is of no use any more, filled in as it shows."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._errors: deque[bytes] = deque(maxlen=8)

    def said(self, chunk: bytes) -> None:
        self._errors.append(chunk[-_CHUNK:])

    def last_words(self) -> str:
        lines = b"".join(self._errors).decode(errors="replace").split("\n")
        spoken = [" ".join(line.split()) for line in lines if line.strip()]
        return spoken[-1][:_LAST_WORDS] if spoken else ""

    def __str__(self) -> str:
        words = self.last_words()
        return f"{self.reason or 'it ended'}{f' (its last words: {words})' if words else ''}"


@asynccontextmanager
async def program_transport(
    program: Program, trouble: Trouble, ended: Callable[[], None], stop_timeout: float
) -> AsyncIterator[TransportStreams]:
    """Starts ``program`` and ends it, with its process group, at the latest when the block is left.

    ``ended`` is called once when nothing more can come from it. Raises ``OSError`` if it cannot be started.
    """
    process = await _start(program)
    out_send, out = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    into, into_receive = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read, process, out_send, trouble, ended)
            tasks.start_soon(_listen, process.stderr, trouble)
            tasks.start_soon(_write, process.stdin, into_receive)
            try:
                yield out, into
            finally:
                out.close()
                into.close()
                with anyio.CancelScope(shield=True):
                    await _stop(process, stop_timeout)
                tasks.cancel_scope.cancel()
    finally:
        _signal(process, signal.SIGKILL)
        os.close(process.life)
        for stream in (out_send, out, into, into_receive):
            stream.close()


@dataclass(frozen=True, slots=True)
class _Process:
    """``life`` is our end of the pipe that says we live."""

    handle: asyncio.subprocess.Process
    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader
    life: int


async def _start(program: Program) -> _Process:
    if os.name != "posix":
        raise OSError("programs are started only where there are process groups; on Windows, use the server's url")
    environ = get_default_environment() | dict(program.env)
    command = shutil.which(program.command, path=environ.get("PATH"))
    if command is None:
        raise FileNotFoundError(f"the command {program.command} is not installed here, or not on the PATH")
    theirs, ours = os.pipe()
    try:
        handle = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_GUARD), str(theirs), command, *program.args),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environ,
            cwd=program.cwd,
            pass_fds=(theirs,),
            start_new_session=True,
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    if handle.stdin is None or handle.stdout is None or handle.stderr is None:
        raise OSError("the program has no standard streams")  # asked for above: never so
    return _Process(handle, handle.stdin, handle.stdout, handle.stderr, ours)


async def _read(
    process: _Process,
    out: MemoryObjectSendStream[SessionMessage | Exception],
    trouble: Trouble,
    ended: Callable[[], None],
) -> None:
    rest = bytearray()
    junk = 0
    pace = Pace()
    try:
        while chunk := await process.stdout.read(_CHUNK):
            rest += chunk
            *lines, tail = rest.split(b"\n") if b"\n" in chunk else (rest,)
            rest = tail
            if len(rest) > MAX_LINE:
                trouble.reason = f"it sent a message of more than {MAX_LINE} bytes"
                return
            for line in lines:
                await pace.step()
                message = _message(bytes(line))
                if message is not None:
                    await out.send(message)
                elif line.strip():
                    junk += 1
            if junk > MAX_JUNK_LINES:
                trouble.reason = f"it wrote {junk} lines that are no messages to its standard output"
                return
        with anyio.move_on_after(_STATUS_S):
            await _gone(process)
            trouble.reason = f"it ended with status {process.handle.returncode}"
    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
        return  # the session is over
    finally:
        ended()
        out.close()


def _message(line: bytes) -> SessionMessage | None:
    """None for what is no message: some servers print to their standard output what they should log."""
    try:
        return SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return None


async def _listen(stderr: asyncio.StreamReader, trouble: Trouble) -> None:
    while chunk := await stderr.read(_CHUNK):
        trouble.said(chunk)


async def _write(stdin: asyncio.StreamWriter, messages: MemoryObjectReceiveStream[SessionMessage]) -> None:
    with suppress(OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
        async for message in messages:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            stdin.write(text.encode() + b"\n")
            await stdin.drain()
    messages.close()


async def _stop(process: _Process, patience: float) -> None:
    """As the protocol asks: close its input, wait, tell it to end, wait, kill."""
    process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            _signal(process, number)
        with anyio.move_on_after(patience):
            await _gone(process)
            break
    _signal(process, signal.SIGKILL)  # what it started may have stayed
    transport = getattr(process.handle, "_transport", None)
    if transport is not None:  # nothing public closes our ends of pipes that a stray child holds open
        transport.close()
    await asyncio.sleep(0)


async def _gone(process: _Process) -> None:
    """Not ``process.wait()``, which also waits for whoever inherited its pipes."""
    while process.handle.returncode is None:  # noqa: ASYNC110 - asyncio has no event for the exit alone
        await asyncio.sleep(0.01)


def _signal(process: _Process, number: signal.Signals) -> None:
    """To all that is left of its group, also where its leader has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.handle.pid, number)
