"""Which coding agents are here, and in which version."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from typer.exceptions import TyperException

from millstream.cli import places
from millstream.cli.programs import ALL, Program

_LIMIT_S = 10.0
_VERSION = re.compile(r"\d+(\.\d+)+")


@dataclass(frozen=True, slots=True)
class Found:
    """``path`` is None for an agent that is not here, ``version`` for one that does not tell it."""

    program: Program
    path: str | None
    version: str | None


def found_agents(environ: Mapping[str, str], root: Path = Path("/")) -> list[Found]:
    """All that ``launch`` knows, asked for their versions side by side. ``root`` is where absolute places begin."""
    with ThreadPoolExecutor(len(ALL)) as pool:
        return list(pool.map(lambda program: _found(program, environ, root), ALL))


def _found(program: Program, environ: Mapping[str, str], root: Path) -> Found:
    try:
        path = program.path(None, environ, root)
    except TyperException:
        return Found(program, None, None)
    try:
        done = subprocess.run(  # noqa: S603  # an agent of the user's own, asked for its version
            [path, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
            stdin=subprocess.DEVNULL,
            env=places.beside(path, environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return Found(program, path, None)
    version = _VERSION.search(done.stdout) if done.returncode == 0 else None
    return Found(program, path, version[0] if version else None)
