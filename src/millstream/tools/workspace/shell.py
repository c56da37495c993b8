"""Bash: one command at a time, in the sandbox where there is one, seen as it runs."""

from __future__ import annotations

import asyncio
import codecs
import os
import tempfile
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from millstream.tools.base import Progress, ToolContext, ToolOutcome
from millstream.tools.workspace import sandbox
from millstream.tools.workspace.confine import PathRefused, Workspace
from millstream.tools.workspace.family import Arguments, ToolFault, WorkspaceTool, in_thread
from millstream.tools.workspace.options import WorkspaceOptions
from millstream.tools.workspace.process import Running

_STATE = "workspace.cwd"
_NEWS_EVERY = 10 * 1024 * 1024
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TERM", "SHELL", "USER", "LOGNAME")
# The directory is told through descriptor 3 when the command's shell ends. The command comes as an argument, so that
# nothing in it can end the wrapping early; it may still replace the shell (exec), and then the directory stays.
_SCRIPT = 'trap \'pwd -P >&"$0" 2>/dev/null\' EXIT; eval "$1"'


class BashArguments(Arguments):
    command: Annotated[str, Meta(description="The command, for bash")]
    timeout: Annotated[float | None, Meta(description="Milliseconds until it is ended (30000 unless given)")] = None
    description: Annotated[str | None, Meta(description="What the command does, in five to ten words")] = None


class Shell:
    def __init__(self, workspace: Workspace, options: WorkspaceOptions) -> None:
        self._workspace = workspace
        self._options = options

    def tools(self) -> list[WorkspaceTool]:
        longest = int(self._options.longest_bash())
        network = "with" if self._options.network or self._options.unsafe else "without"
        return [
            WorkspaceTool(
                "Bash",
                f"Runs a command with bash in the workspace, {network} network, for at most {longest} s. The working"
                " directory stays from call to call, variables do not. Nothing goes on running after the command ends."
                " To look for files or in them, use Glob, Grep, LS and Read.",
                BashArguments,
                self._bash,
            )
        ]

    async def _bash(self, arguments: BashArguments, context: ToolContext) -> ToolOutcome:
        if "\0" in arguments.command:
            raise ToolFault("the command contains a NUL character")
        prefix = await self._prefix()
        limit = self._options.timeout("Bash")
        if arguments.timeout is not None:
            limit = min(max(arguments.timeout / 1000, 0.001), self._options.longest_bash())
        output = Output(self._options.output_limit, context)
        before = context.state.get(_STATE, ())
        told, status = await self._run(prefix, arguments.command, before, limit, output)
        notes = []
        if status is None:
            notes.append(f"[ended after {limit:g} s: the time limit]")
        elif status < 0:
            notes.append(f"[ended by signal {-status}]")
        elif status:
            notes.append(f"[exit status {status}]")
        moved = self._moved(told, before)
        if moved is None:
            notes.append(f"[the working directory is {self._workspace.root} again: the command left the workspace]")
        context.state[_STATE] = moved or ()
        text = "\n".join(part for part in (output.text(), *notes) if part)
        return ToolOutcome(text or "(no output)", is_error=status != 0)

    async def _prefix(self) -> list[str]:
        reason = await sandbox.unusable()
        if reason is not None:
            if self._options.unsafe:
                return []
            raise ToolFault(f"{reason}; install it, or set tools.workspace.unsafe = true")
        return sandbox.bash_sandbox(
            self._workspace.root, network=self._options.network, readable=self._options.readable
        )

    async def _run(
        self, prefix: list[str], command: str, where: tuple[str, ...], limit: float, output: Output
    ) -> tuple[str, int | None]:
        cwd = await in_thread(lambda stop: self._directory(where))
        with tempfile.TemporaryFile() as told:
            fd = told.fileno()
            words = [*prefix, "bash", "-c", _SCRIPT, str(fd), command]
            running = await Running.start(words, cwd=cwd, env=_environment(), pass_fds=(fd,))
            try:
                async with asyncio.timeout(limit):
                    status: int | None = await running.read_to_end(output.take)
            except TimeoutError:
                status = None
            finally:
                await running.end()
            told.seek(0)
            return told.read(8192).decode(errors="surrogateescape").removesuffix("\n"), status

    def _directory(self, where: tuple[str, ...]) -> str:
        """The directory to start in: ``where`` if it is still there."""
        try:
            return self._workspace.show(self._workspace.real_directory(self._workspace.show(where)))
        except (PathRefused, OSError):
            return str(self._workspace.root)

    def _moved(self, told: str, before: tuple[str, ...]) -> tuple[str, ...] | None:
        """The command's last directory below the root; None if that is elsewhere."""
        if not told:
            return before
        try:
            return self._workspace.real_directory(told)
        except (PathRefused, OSError):
            return None


class Output:
    """What a command says: told at once as progress and kept for the model, both up to a limit. The end is kept as
    well as the beginning, since that is where failures are explained."""

    def __init__(self, limit: int, context: ToolContext) -> None:
        self._half = limit // 2
        self._limit = limit
        self._context = context
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._head = ""
        self._tail = ""
        self._total = 0
        self._bytes = 0

    def take(self, piece: bytes) -> None:
        before, self._bytes = self._bytes, self._bytes + len(piece)
        told = self._take_text(self._decoder.decode(piece))
        if not told and before // _NEWS_EVERY != self._bytes // _NEWS_EVERY:
            self._context.progress(Progress(message=f"[{self._bytes // (1024 * 1024)} MiB of output so far]\n"))

    def _take_text(self, text: str) -> bool:
        """Whether it was told as progress."""
        shown = text[: max(0, self._limit - self._total)]
        self._total += len(text)
        if shown:
            self._context.progress(Progress(message=shown))
        free = self._half - len(self._head)
        if free > 0:
            self._head += text[:free]
            text = text[free:]
        self._tail = (self._tail + text)[-self._half :]
        return bool(shown)

    def text(self) -> str:
        """What is told to the model, without the last line's end."""
        self._take_text(self._decoder.decode(b"", final=True))
        left_out = self._total - len(self._head) - len(self._tail)
        if left_out <= 0:
            return (self._head + self._tail).rstrip("\n")
        note = f"[… {left_out} characters left out here: send output to a file and read parts of it …]"
        return f"{self._head}\n{note}\n{self._tail}".rstrip("\n")


def _environment() -> dict[str, str]:
    """Without the gateway's own variables, which hold keys."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    home = {"HOME": str(Path.home())}
    return {"PATH": os.defpath, **home, **kept, "GIT_TERMINAL_PROMPT": "0", "PAGER": "cat", "GIT_PAGER": "cat"}
