from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from millstream.tools.base import Progress, ToolContext, ToolOutcome
from millstream.tools.workspace import WorkspaceOptions, WorkspaceTools, sandbox

Call = Callable[..., ToolOutcome]


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """Skips where bubblewrap is missing or not allowed to work (unprivileged user namespaces may be off)."""
    reason = asyncio.run(sandbox.unusable())
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def ripgrep() -> str:
    found = shutil.which("rg")
    if found is None:
        pytest.skip("ripgrep (rg) is not installed")
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A workspace beside which something lies that it must not reach."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.txt").write_text("the secret\n")
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return workspace


@pytest.fixture
def progress() -> list[Progress]:
    return []


@pytest.fixture
def context(progress: list[Progress]) -> ToolContext:
    return ToolContext(run_id="run", call_id="call", progress=progress.append)


@pytest.fixture
def call(root: Path, context: ToolContext) -> Call:
    """Calls a tool that may write: ``call("Read", file_path="a")``; ``options`` are of ``WorkspaceOptions``."""

    def run(name: str, /, options: dict[str, Any] | None = None, **arguments: Any) -> ToolOutcome:
        given = {"allow": frozenset({"Write"}), **(options or {})}
        tools = WorkspaceTools(WorkspaceOptions(root, **given))
        return asyncio.run(tools.call(name, arguments, context))

    return run
