"""Where installers put coding agents without telling ``PATH``, as data: what is searched is what is listed here.

A place begins with ``~`` (the home), a variable (left out where it is not set) or ``/``, and may hold one ``*`` or
more: of several versions the newest counts. Each was looked up with those who make or use it:

- Homebrew: docs.brew.sh/Installation. npm: its own ``prefix``, of a variable or ~/.npmrc (docs.npmjs.com, "prefix").
- Volta, bun, pnpm: docs.volta.sh, bun.sh/docs/cli/pm (``bun pm bin -g``), pnpm.io/global-packages (before version 11
  the programs were in the folder itself). fnm, nvm, mise, asdf: the folders that their shells put into ``PATH``.
- Claude Code of Anthropic's desktop app, a folder for each version: anthropics/claude-code issues 39647 and 43164
  (``claude.app`` within), open-webui/computer issue 157 (a bare program); newer ones have another folder in between.
- Codex of OpenAI's desktop apps: nexu-io/open-design pull request 4889 (Codex.app), pingdotgg/t3code issue 10514
  (ChatGPT.app); of its own installer: lidge-jun/opencodex pull request 2685.
- opencode of its desktop app: anomalyco/opencode issues 16532 and 21241.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_ANYBODY_S = (
    "~/.local/bin",
    "$NPM_CONFIG_PREFIX/bin",
    "~/.npm-global/bin",
    "$VOLTA_HOME/bin",
    "~/.volta/bin",
    "$BUN_INSTALL/bin",
    "~/.bun/bin",
    "$PNPM_HOME/bin",
    "$PNPM_HOME",
    "~/Library/pnpm/bin",
    "~/Library/pnpm",
    "~/.local/share/pnpm/bin",
    "~/.local/share/pnpm",
    "$FNM_DIR/aliases/default/bin",
    "~/.local/share/fnm/aliases/default/bin",
    "~/Library/Application Support/fnm/aliases/default/bin",
    "~/.fnm/aliases/default/bin",
    "$NVM_DIR/versions/node/*/bin",
    "~/.nvm/versions/node/*/bin",
    "~/.local/share/mise/shims",
    "~/.asdf/shims",
    "/opt/homebrew/bin",
    "/usr/local/bin",
    "/home/linuxbrew/.linuxbrew/bin",
    "~/.linuxbrew/bin",
)
"""Folders of programs. What a user installed on purpose is before what came with something else."""

_FIRST: Mapping[str, Sequence[str]] = {
    "claude": ("~/.claude/local/claude",),
    "opencode": ("~/.opencode/bin/opencode",),
}
_LAST: Mapping[str, Sequence[str]] = {
    "claude": (
        "~/Library/Application Support/Claude/claude-code/*/*/claude.app/Contents/MacOS/claude",
        "~/Library/Application Support/Claude/claude-code/*/claude.app/Contents/MacOS/claude",
        "~/Library/Application Support/Claude/claude-code/*/claude",
        "~/.config/Claude/claude-code/*/claude",
    ),
    "codex": (
        "$CODEX_HOME/packages/standalone/current/bin/codex",
        "~/.codex/packages/standalone/current/bin/codex",
        "/Applications/Codex.app/Contents/Resources/codex",
        "~/Applications/Codex.app/Contents/Resources/codex",
        "/Applications/ChatGPT.app/Contents/Resources/codex",
        "~/Applications/ChatGPT.app/Contents/Resources/codex",
    ),
    "opencode": (
        "/Applications/OpenCode.app/Contents/MacOS/opencode-cli",
        "~/Applications/OpenCode.app/Contents/MacOS/opencode-cli",
    ),
}
_PREFIX = re.compile(r"^\s*prefix\s*=\s*(.+?)\s*$", re.MULTILINE)


def find(name: str, environ: Mapping[str, str], root: Path = Path("/")) -> str | None:
    """The program of the agent ``name`` outside of ``PATH``. ``root`` is where places that begin with ``/`` begin."""
    home = Path(environ.get("HOME") or Path.home())
    folders = [*_ANYBODY_S[:1], *_npm_prefix(home), *_ANYBODY_S[1:]]
    places = [*_FIRST.get(name, ()), *(f"{folder}/{name}" for folder in folders), *_LAST.get(name, ())]
    for place in places:
        for path in _matches(place, home, environ, root):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return None


def beside(program: str, environ: Mapping[str, str]) -> dict[str, str]:
    """``environ`` as ``program`` needs it: one that node runs finds the node it was installed with, last of all."""
    folder = Path(program).parent
    path = environ.get("PATH", os.defpath)
    if not (folder / "node").exists() or shutil.which("node", path=path):
        return dict(environ)
    return {**environ, "PATH": f"{path}{os.pathsep}{folder}"}


def _npm_prefix(home: Path) -> list[str]:
    """What ``npm config set prefix`` has written. Asking npm itself would take it half a second."""
    try:
        found = _PREFIX.search((home / ".npmrc").read_text(errors="replace"))
    except OSError:
        return []
    prefix = found[1].strip("\"'").replace("${HOME}", "~") if found else ""
    return [f"{prefix}/bin"] if prefix.startswith(("/", "~/")) else []


def _matches(place: str, home: Path, environ: Mapping[str, str], root: Path) -> Iterator[Path]:
    start, _, rest = place.partition("/")
    if start == "~":
        base = home
    elif start.startswith("$"):
        if not environ.get(start[1:]):
            return
        base = Path(environ[start[1:]])
    else:
        base = root
    before, star, _ = rest.partition("*")
    if not star:
        yield base / rest
        return
    fixed = base / before
    pattern = rest[len(before) :]
    with_versions = [(_version(path.relative_to(fixed).parts[0]), path) for path in _glob(fixed, pattern)]
    yield from (path for _, path in sorted(with_versions, reverse=True))


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return list(folder.glob(pattern))
    except OSError:
        return []


def _version(folder: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder)]
