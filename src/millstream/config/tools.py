"""Tools that run here, and the workspace of coding agents."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from millstream.config.units import Seconds


class SearchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where WebSearch asks; without ``service`` there is none. ``url`` is needed for searxng only."""

    service: Literal["brave", "tavily", "searxng"] | None = None
    url: str | None = None
    api_key: str | None = None
    """Also as ``api_key_env`` or ``api_key_file``; else ``BRAVE_API_KEY`` or ``TAVILY_API_KEY``."""
    api_key_env: str | None = None
    api_key_file: str | None = None


class WorkspaceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The tools of coding agents on the files of one directory. Without ``root`` there are none."""

    root: str | None = None
    allow: tuple[Literal["Write", "Bash"], ...] = ()
    """What may change things: Write (with Edit and MultiEdit) and Bash."""
    network: bool = False
    """Commands of Bash may use the network."""
    unsafe: bool = False
    """Where bubblewrap cannot be used, Bash runs without a sandbox: it may do all that the gateway may."""
    readable: tuple[str, ...] = ()
    """Paths in hidden directories (people's homes, for one) that commands of Bash may read."""
    timeouts: dict[str, Seconds] = {}
    """By tool; otherwise Bash 30, Read 5, LS 3, Task 300, the others 10."""
    output_limit: Annotated[int, msgspec.Meta(ge=1000)] = 30_000
    """Characters of a result."""
    skip: tuple[str, ...] | None = None
    """Names of directories that Glob and Grep leave out, in place of .git, node_modules, .venv and their like."""
    private_addresses: bool = False
    """WebFetch may fetch from this machine and its network."""
    task_iterations: Annotated[int, msgspec.Meta(ge=1, le=100)] = 15
    """Model calls of one Task."""
    search: SearchConfig = SearchConfig()


class PhrasesConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Lines of progress. In braces: ``step``; ``tools``; ``tool``, ``done`` and ``total``; ``tool`` and ``run_id``."""

    starting: str = "Starting"
    thinking: str = "Thinking (step {step})"
    running: str = "Running {tools}"
    done: str = "{tool} ({done}/{total})"
    failed: str = "{tool} failed ({done}/{total})"
    approval: str = "{tool} waits for approval of run {run_id}"


class ToolsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Tools that run here. Names are patterns (``*``) of a tool, of its source, or ``source/tool``."""

    mode: Literal["client", "gateway"] = "client"
    """Who runs tools for clients of model APIs; a request's header ``x-millstream-tools`` says otherwise."""
    progress: Literal["thinking", "text", "off"] = "thinking"
    max_iterations: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 15
    """Model calls of one reply."""
    parallel: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    """Calls of one turn that run at a time."""
    allow: tuple[str, ...] = ("*",)
    permissions: dict[str, Literal["allow", "ask", "deny"]] = {}
    timeouts: dict[str, Seconds] = {}
    most_output: Annotated[int, msgspec.Meta(ge=1000)] = 100_000
    """Characters of a result that the model is told."""
    approval_timeout: Seconds = 300.0
    """Who is asked for permission and says nothing so long, has said no, and a server that asked is told `cancel`."""
    phrases: PhrasesConfig = PhrasesConfig()
    workspace: WorkspaceConfig = WorkspaceConfig()
