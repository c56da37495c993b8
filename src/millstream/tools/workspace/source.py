"""The source of all workspace tools: which there are, and one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from millstream.tools.base import ToolContext, ToolOutcome, ToolSourceError, ToolSpec
from millstream.tools.schema import schema_of
from millstream.tools.workspace import sandbox
from millstream.tools.workspace.confine import PathRefused, Workspace
from millstream.tools.workspace.edit import Edits
from millstream.tools.workspace.family import ToolFault, WorkspaceTool
from millstream.tools.workspace.files import Files
from millstream.tools.workspace.options import WorkspaceOptions
from millstream.tools.workspace.search import Search
from millstream.tools.workspace.shell import Shell
from millstream.tools.workspace.task import RunAgent, Tasks
from millstream.tools.workspace.todo import Todos
from millstream.tools.workspace.web import Resolve, Web, resolve
from millstream.tools.workspace.web_search import WebSearch

_ALLOWED_BY = {"Write": "Write", "Edit": "Write", "MultiEdit": "Write", "Bash": "Bash"}
_READ_ONLY = ("LS", "Read", "Glob", "Grep", "WebFetch", "WebSearch")
_OWN_LIMIT = ("Bash", "Task")
_SLACK = 5.0
"""Seconds more for tools that keep their own limit, so that they can say what they have."""


class WorkspaceTools:
    """``ToolSource`` of the tools of coding agents on the files below ``options.root``.

    ``run_agent`` is what Task asks; without it there is no Task. ``resolve`` and ``ripgrep`` are for tests.
    """

    name = "workspace"

    def __init__(
        self,
        options: WorkspaceOptions,
        run_agent: RunAgent | None = None,
        *,
        resolve: Resolve = resolve,
        ripgrep: str | Literal["installed"] | None = "installed",
    ) -> None:
        self._options = options
        workspace = Workspace(options.root)
        families = (
            Files(workspace, options.output_limit),
            Edits(workspace),
            Shell(workspace, options),
            Search(workspace, options, ripgrep),
            Web(options, resolve),
            WebSearch(options),
            Todos(),
            Tasks(options, run_agent, lambda: list(self._tools)),
        )
        self._root = workspace.root
        self._tools: dict[str, WorkspaceTool] = {
            tool.name: tool
            for family in families
            for tool in family.tools()
            if _ALLOWED_BY.get(tool.name) in (None, *options.allow)
        }

    async def list(self) -> Sequence[ToolSpec]:
        if not self._root.is_dir():
            raise ToolSourceError(f"workspace: {self._root} is not a directory; set tools.workspace.root to one")
        if self._root == Path("/"):
            raise ToolSourceError(
                "workspace: / as a workspace contains nothing; set tools.workspace.root to a directory"
            )
        if "Bash" in self._tools and not self._options.unsafe and (reason := await sandbox.unusable()) is not None:
            raise ToolSourceError(
                f"workspace: {reason}, so Bash has no sandbox; install bubblewrap, take Bash out of"
                " tools.workspace.allow, or set tools.workspace.unsafe = true"
            )
        return [self._spec(tool) for tool in self._tools.values()]

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        tool = self._tools.get(name)
        if tool is None:
            return ToolOutcome(f"There is no tool {name}; there are {', '.join(self._tools)}.", is_error=True)
        try:
            # Models write null for what they leave out, and numbers as strings.
            given = {key: value for key, value in arguments.items() if value is not None}
            return await tool.run(msgspec.convert(given, tool.arguments, strict=False), context)
        except msgspec.ValidationError as error:
            return ToolOutcome(f"The arguments do not fit: {error}", is_error=True)
        except (ToolFault, PathRefused) as error:
            return ToolOutcome(f"{error}", is_error=True)
        except OSError as error:
            what = f"{error.filename}: " if isinstance(error.filename, str) else ""
            return ToolOutcome(f"{what}{error.strerror or error}", is_error=True)

    async def aclose(self) -> None:
        """Nothing outlives a call."""

    def _spec(self, tool: WorkspaceTool) -> ToolSpec:
        timeout = self._options.timeout(tool.name)
        if tool.name in _OWN_LIMIT:
            timeout = (self._options.longest_bash() if tool.name == "Bash" else timeout) + _SLACK
        return ToolSpec(
            name=tool.name,
            description=tool.description,
            parameters=schema_of(tool.arguments),
            source=self.name,
            timeout=timeout,
            read_only=tool.name in _READ_ONLY,
        )
