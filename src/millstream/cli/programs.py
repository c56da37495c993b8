"""The coding agents that can be launched: where their programs are, how they are got, what settings of theirs win."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from typer.exceptions import TyperException

from millstream.cli.agents import OTHER_BACKENDS
from millstream.config import ConfigError

_WINNING = ("ANTHROPIC_BASE_URL", *OTHER_BACKENDS)
_HOMEBREW = ("/opt/homebrew/bin", "/usr/local/bin", "/home/linuxbrew/.linuxbrew/bin")


@dataclass(frozen=True, slots=True)
class Program:
    """``name`` is also that of the command. ``usual`` are folders below the home where its own installer puts it."""

    name: str
    title: str
    package: str
    usual: tuple[str, ...] = ()

    def path(self, named: str | None, environ: Mapping[str, str]) -> str:
        """``named``, or what is found. Raises ``TyperException`` that says how to get it."""
        found = shutil.which(named or self.name, path=environ.get("PATH"))
        if found is None and named is None:
            found = self._elsewhere(environ)
        if found is None:
            what = f"no program {named}" if named else f"{self.title} is not installed, or not on PATH"
            raise TyperException(f"{what}: npm install -g {self.package}, or name it with --bin PATH")
        return found

    def _elsewhere(self, environ: Mapping[str, str]) -> str | None:
        """Where installers put it without telling ``PATH``: npm's own prefix, Homebrew, ~/.local."""
        home = Path.home()
        folders = [home / folder for folder in (".local/bin", *self.usual, ".npm-global/bin")]
        if environ.get("NPM_CONFIG_PREFIX"):
            folders.append(Path(environ["NPM_CONFIG_PREFIX"], "bin"))
        folders += [Path(folder) for folder in _HOMEBREW]
        return next((str(f / self.name) for f in folders if os.access(f / self.name, os.X_OK)), None)


CLAUDE = Program("claude", "Claude Code", "@anthropic-ai/claude-code", (".claude/local",))
CODEX = Program("codex", "Codex CLI", "@openai/codex")
GEMINI = Program("gemini", "Gemini CLI", "@google/gemini-cli")
OPENCODE = Program("opencode", "opencode", "opencode-ai", (".opencode/bin",))
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
