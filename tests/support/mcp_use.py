"""MCP servers for the tests: real ones, each as settings, and a way to use them."""

from __future__ import annotations

import asyncio
import functools
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec

import pytest

from millstream.tools.base import ElicitationAnswer, Progress, ToolContext, ToolOutcome
from millstream.tools.mcp.settings import Address, Program, ServerSettings
from millstream.tools.mcp.source import McpSource
from millstream.tools.mcp.sources import McpSources

TESTS = Path(__file__).parents[1]
SUPPORT = TESTS / "support"
LIMIT = 60.0
"""Seconds until something counts as hung; nothing takes so long unless it is broken."""


_P = ParamSpec("_P")


def in_loop(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """A test that is a coroutine."""

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def python(name: str, *arguments: str, env: Mapping[str, str] | None = None) -> Program:
    """A server of tests/support."""
    return Program(sys.executable, (str(SUPPORT / name), *arguments), dict(env or {}))


def node(package: str, *arguments: str) -> Program:
    script = TESTS / "e2e/node_modules/@modelcontextprotocol" / package / "dist/index.js"
    if shutil.which("node") is None or not script.is_file():
        pytest.skip(f"{package} is not installed: it needs npm (make test installs it)")
    return Program("node", (str(script), *arguments))


@asynccontextmanager
async def over_http(program: Program, port_at: str) -> AsyncIterator[Address]:
    """``program`` serves HTTP; what it says on standard error names its port by the pattern ``port_at``."""
    process = await asyncio.create_subprocess_exec(
        program.command,
        *program.args,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", **program.env},
        stderr=asyncio.subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert process.stderr is not None
    try:
        while line := (await process.stderr.readline()).decode():
            if found := re.search(port_at, line):
                yield Address(f"http://127.0.0.1:{found[1]}/mcp")
                return
        raise AssertionError("the server ended before it listened")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # else its pipe is found open by the garbage collector


@dataclass
class Heard:
    """What a call told besides its outcome."""

    progress: list[Progress] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)

    def __call__(self, progress: Progress) -> None:
        self.progress.append(progress)
        self.first.set()


def context(
    heard: Heard | None = None, elicit: Callable[..., Awaitable[ElicitationAnswer]] | None = None
) -> ToolContext:
    return ToolContext("run", "call", heard or Heard(), elicit=elicit)


@asynccontextmanager
async def source(settings: ServerSettings | Program) -> AsyncIterator[McpSource]:
    if isinstance(settings, Program):
        settings = ServerSettings(settings)
    async with asyncio.timeout(LIMIT), McpSources({"it": settings}) as servers:
        yield servers.sources[0]


async def text(source: McpSource, tool: str, **arguments: Any) -> str:
    """What a call says that must not fail."""
    done = await source.call(tool, arguments, context())
    assert not done.is_error, done
    assert isinstance(done.content, str)
    return done.content


def error(outcome: ToolOutcome) -> str:
    assert outcome.is_error
    assert isinstance(outcome.content, str)
    return outcome.content


def is_running(pid: int) -> bool:
    """A zombie has ended."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")
