"""Claude Code as a process, far from its user's own settings: a scratch home, a bare environment, one gateway."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from agent_process import run_agent

_PACKAGES = Path(__file__).parents[1] / "e2e" / "node_modules"
_MISSING = "needs Claude Code: make test installs it with npm"
VERSIONS = ("2.1.329", "1.0.128")

Line = dict[str, Any]


@dataclass(slots=True)
class Ran:
    """What one run printed, line by line, and how it ended."""

    status: int
    lines: list[Line]
    errors: str

    @property
    def result(self) -> Line:
        """The last line of its kind, which says what came of it all."""
        return next(line for line in reversed(self.lines) if line["type"] == "result")

    @property
    def blocks(self) -> list[Line]:
        """Every block the assistant ended up with, in order."""
        said = (line["message"]["content"] for line in self.lines if line["type"] == "assistant")
        return [block for content in said for block in content]

    @property
    def texts(self) -> list[str]:
        return [block["text"] for block in self.blocks if block["type"] == "text"]

    @property
    def calls(self) -> list[tuple[str, Any]]:
        return [(block["name"], block["input"]) for block in self.blocks if block["type"] == "tool_use"]

    @property
    def tool_results(self) -> list[str]:
        told = (line["message"]["content"] for line in self.lines if line["type"] == "user")
        blocks = [block for content in told if isinstance(content, list) for block in content]
        return [_text(block["content"]) for block in blocks if block["type"] == "tool_result"]


@dataclass(frozen=True, slots=True)
class ClaudeCode:
    """One installed version. ``home`` and ``folder`` (where it works) are the test's own."""

    version: str
    command: tuple[str, ...]
    home: Path
    folder: Path
    more_path: tuple[str, ...] = field(default=())

    def environment(self, **more: str) -> dict[str, str]:
        """All that it gets to know."""
        return {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([*self.more_path, "/usr/bin", "/bin"]),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
            **more,
        }

    async def ask(
        self,
        url: str,
        prompt: str,
        *arguments: str,
        seen: Callable[[Line], None] = lambda line: None,
        environment: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run it headless on the gateway at ``url`` to its end; ``seen`` gets each line as it is printed."""
        own = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_AUTH_TOKEN": "any", "ANTHROPIC_API_KEY": ""}
        command = [*self.command, *self.arguments(prompt), "--model", "claude-sonnet-5", *arguments]
        return await self.run(command, self.environment(**own, **(environment or {})), seen)

    def arguments(self, prompt: str) -> list[str]:
        """For a run without a person: what it prints is what ``Ran`` reads."""
        shown = ["--output-format", "stream-json", "--include-partial-messages", "--verbose"]
        return ["--print", prompt, *shown, "--dangerously-skip-permissions"]

    async def run(
        self, command: Sequence[str], environment: Mapping[str, str], seen: Callable[[Line], None] = lambda line: None
    ) -> Ran:
        lines: list[Line] = []

        def read(text: str) -> None:
            lines.append(json.loads(text))
            seen(lines[-1])

        ended = await run_agent(command, environment, self.folder, read)
        return Ran(ended.status, lines, ended.errors)


def installed(version: str, scratch: Path) -> ClaudeCode:
    """Skips the test where it is not."""
    home, folder = scratch / "home", scratch / "work"
    home.mkdir()
    folder.mkdir()
    if version.startswith("1."):
        script, node = _PACKAGES / "claude-code-1" / "cli.js", shutil.which("node")
        if node is None or not script.is_file():
            pytest.skip(_MISSING)
        return ClaudeCode(version, (node, str(script)), home, folder, (str(Path(node).parent),))
    native = next(iter(sorted(_PACKAGES.glob("@anthropic-ai/claude-code-*/claude"))), None)
    if native is None:
        pytest.skip(_MISSING)
    return ClaudeCode(version, (str(native),), home, folder)


def delta_of(line: Line) -> str:
    """The kind of the delta that a line of a partial message tells of; empty for any other line."""
    event = line.get("event") or {}
    kind = event.get("delta", {}).get("type", "") if event.get("type") == "content_block_delta" else ""
    return str(kind)


def _text(content: str | list[Line]) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
