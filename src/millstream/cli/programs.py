"""The coding agents that can be launched: where their programs are, how they are got, what settings of theirs win."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from typer.exceptions import TyperException

from millstream.cli import places
from millstream.cli.agents import OTHER_BACKENDS
from millstream.config import ConfigError

_WINNING = ("ANTHROPIC_BASE_URL", *OTHER_BACKENDS)


@dataclass(frozen=True, slots=True)
class Program:
    """``name`` is also that of the command."""

    name: str
    title: str
    package: str

    def path(self, named: str | None, environ: Mapping[str, str], root: Path = Path("/")) -> str:
        """``named``, or what is found, ``PATH`` before the places where installers put it.

        Raises ``TyperException`` that says how to get it.
        """
        found = shutil.which(named or self.name, path=environ.get("PATH"))
        if found is None and named is None:
            found = places.find(self.name, environ, root)
        if found is None:
            what = f"no program {named}" if named else f"{self.title} is not installed, or not on PATH"
            raise TyperException(f"{what}: npm install -g {self.package}, or name it with --bin PATH")
        return found


CLAUDE = Program("claude", "Claude Code", "@anthropic-ai/claude-code")
CODEX = Program("codex", "Codex CLI", "@openai/codex")
GEMINI = Program("gemini", "Gemini CLI", "@google/gemini-cli")
OPENCODE = Program("opencode", "opencode", "opencode-ai")
ALL = (CLAUDE, CODEX, GEMINI, OPENCODE)


def refuse_overriding_settings(environ: Mapping[str, str]) -> None:
    """Raises ``ConfigError`` where a settings file of Claude Code names another gateway: that wins over ours."""
    own = Path(environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
    project = Path.cwd() / ".claude"
    for file in (own / "settings.json", project / "settings.json", project / "settings.local.json"):
        try:
            settings = json.loads(file.read_bytes())
            wins = [name for name in _WINNING if name in settings.get("env", {})]
        except (OSError, ValueError, AttributeError, TypeError):
            continue  # Claude Code has its own word on a file that it cannot read.
        if wins:
            raise ConfigError(f"{file} sets {wins[0]} in its env, which wins over this gateway: remove it there")
