"""What the workspace tools are told by whoever sets them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

SKIPPED = (
    ".git",
    ".hg",
    ".jj",
    ".svn",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".tox",
    ".venv",
    "__pycache__",
    "node_modules",
)

TIMEOUTS: Mapping[str, float] = {"Bash": 30.0, "Read": 5.0, "LS": 3.0, "Task": 300.0}
OTHER_TIMEOUT = 10.0
BASH_LONGEST = 60.0

Allowed = Literal["Write", "Bash"]


@dataclass(frozen=True, slots=True)
class SearchBackend:
    """Where WebSearch asks. ``url`` None is the service's own address; SearXNG has none, so it must be given."""

    kind: Literal["brave", "tavily", "searxng"]
    api_key: str | None = field(default=None, repr=False)
    url: str | None = None


@dataclass(frozen=True, slots=True)
class WorkspaceOptions:
    """``root`` bounds every path. ``allow`` names what may change things: ``Write`` (also Edit, MultiEdit), ``Bash``.

    ``network`` lets sandboxed commands use the network; ``unsafe`` runs Bash without a sandbox where there is none;
    ``readable`` are paths in a home directory that sandboxed commands may read nonetheless. ``timeouts``: seconds by
    tool. ``output_limit`` in characters told to the model. ``skip``: names of directories that searches leave out.
    ``private_addresses`` lets WebFetch reach this machine and its network; ``task_iterations`` are the model calls of
    one Task.
    """

    root: Path
    allow: frozenset[str] = frozenset()
    network: bool = False
    unsafe: bool = False
    readable: tuple[Path, ...] = ()
    timeouts: Mapping[str, float] = field(default_factory=dict)
    output_limit: int = 30_000
    skip: tuple[str, ...] = SKIPPED
    private_addresses: bool = False
    task_iterations: int = 15
    search: SearchBackend | None = None

    def timeout(self, tool: str) -> float:
        """Seconds that ``tool`` may take; Bash by default, without the longer time a call may ask for."""
        return self.timeouts.get(tool, TIMEOUTS.get(tool, OTHER_TIMEOUT))

    def longest_bash(self) -> float:
        """Seconds that a call of Bash may ask for."""
        return max(BASH_LONGEST, self.timeout("Bash"))
