"""An alias in the start-up file of the user's own shell, on one line that says whose it is."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from typer.exceptions import TyperException

from millstream.cli import files

_MARK = "# added by millstream setup"
_OURS = re.compile(rf"^alias .*{re.escape(_MARK)}[ \t]*$", re.MULTILINE)
_FISH_FILE = "millstream.fish"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Shell:
    """``file`` is read by each interactive shell that starts."""

    name: str
    file: Path

    def line(self, alias: str, command: str) -> str:
        equals = " " if self.name == "fish" else "="
        return f"alias {alias}{equals}{shlex.quote(command)}  {_MARK}"


def own_shell(environ: Mapping[str, str]) -> Shell | None:
    """By ``SHELL``; None for one that is not bash, zsh or fish."""
    home = Path(environ.get("HOME") or Path.home())
    name = Path(environ.get("SHELL", "")).name
    if name == "bash":
        # A terminal of macOS starts login shells, which read another file.
        return Shell(name, home / (".bash_profile" if sys.platform == "darwin" else ".bashrc"))
    if name == "zsh":
        return Shell(name, Path(environ.get("ZDOTDIR") or home) / ".zshrc")
    if name == "fish":
        return Shell(name, Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "fish/conf.d" / _FISH_FILE)
    return None


def all_files(environ: Mapping[str, str]) -> list[Path]:
    """Wherever an alias of ours may be."""
    home = Path(environ.get("HOME") or Path.home())
    found = [home / ".bashrc", home / ".bash_profile", home / ".zshrc", home / ".config/fish/conf.d" / _FISH_FILE]
    for name in ("bash", "zsh", "fish"):
        shell = own_shell({**environ, "SHELL": name})
        if shell is not None:
            found.append(shell.file)
    return list(dict.fromkeys(found))


def command(agent: str, config: Path | None) -> str:
    """What starts ``agent`` through millstream from any folder."""
    words = [*_own_words(), "launch", agent, *(["--config", str(config.absolute())] if config else [])]
    return shlex.join([*words, "--"])


def _own_words() -> list[str]:
    script = Path(sys.argv[0])
    if script.name != "millstream":
        return [sys.executable, "-m", "millstream"]
    on_path = shutil.which("millstream")
    same = on_path is not None and script.exists() and script.samefile(on_path)
    return ["millstream"] if same else [str(script.absolute())]


def problem(alias: str, environ: Mapping[str, str]) -> str | None:
    """Why ``alias`` should not be used, or None."""
    if not _NAME.fullmatch(alias):
        return f"{alias!r} cannot be the name of an alias"
    program = shutil.which(alias, path=environ.get("PATH"))
    return f"{alias} is a program already ({program})" if program else None


def write(shell: Shell, alias: str, what: str) -> bool:
    """Puts the alias in, in place of one of ours by that name, and says whether that made a difference.

    Raises ``TyperException``.
    """
    before = _read(shell.file)
    line = shell.line(alias, what)
    old = re.compile(rf"^alias {re.escape(alias)}[= ].*{re.escape(_MARK)}[ \t]*$", re.MULTILINE)
    if old.search(before):
        after = old.sub(lambda _: line, before)
    else:
        ended = before if not before or before.endswith("\n") else before + "\n"
        after = f"{ended}{line}\n"
    if after != before:
        files.write(shell.file, after)
    return after != before


def ours(file: Path) -> list[str]:
    """The lines of ``file`` that ``setup`` has put there. Raises ``TyperException``."""
    return _OURS.findall(_read(file))


def remove(file: Path) -> None:
    """Takes our lines out; a file that then holds nothing is removed if it is ours alone. Raises ``TyperException``."""
    left = re.sub(rf"{_OURS.pattern}\n?", "", _read(file), flags=re.MULTILINE)
    if not left and file.name == _FISH_FILE:
        file.unlink(missing_ok=True)
    else:
        files.write(file, left)


def _read(file: Path) -> str:
    """Bytes that are not UTF-8 come back as they were when it is written."""
    try:
        return file.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise TyperException(f"cannot read {file}: {error.strerror}") from error
