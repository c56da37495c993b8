"""Changes to the settings file: comments and order stay, and what would not be valid is not written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from millstream import config
from millstream.cli import files

Changes = Mapping[tuple[str, ...], Any]
"""Names of settings, one part each → values; None takes a setting out."""

_HEAD = "Settings of millstream: docs/configuration.md has them all, `millstream doctor` checks them."


def target(named: Path | None, environ: Mapping[str, str]) -> Path:
    """The file that ``config.load`` would read, whether it is there or not."""
    own = environ.get("MILLSTREAM_CONFIG")
    return (named or (Path(own) if own else config.default_path())).expanduser()


def load_if_there(named: Path | None, environ: Mapping[str, str], flags: Sequence[str] = ()) -> config.Config:
    """The settings in force, also while the file that is named does not exist yet. Raises ``ConfigError``."""
    return config.load(*source(named, environ), flags)


def source(named: Path | None, environ: Mapping[str, str]) -> tuple[Path | None, dict[str, str]]:
    """``named`` and ``environ`` without the names of a file that does not exist yet."""
    rest = dict(environ)
    if target(named, environ).exists():
        return named, rest
    rest.pop("MILLSTREAM_CONFIG", None)
    return None, rest


def change(path: Path, changes: Changes) -> bool:
    """Writes ``changes`` to ``path`` and says whether that made a difference.

    Raises ``ConfigError`` for a file or a value that is not valid, ``TyperException`` where it cannot be written.
    """
    before = _read(path)
    after = changed(before, changes, str(path))
    if after == before:
        return False
    files.write(path, after)
    return True


def changed(text: str, changes: Changes, source: str) -> str:
    """``text`` with ``changes``. Raises ``ConfigError``."""
    try:
        document = tomlkit.parse(text)
    except TOMLKitError as error:
        raise config.ConfigError(f"{source} is not valid TOML: {error}") from error
    if not text.strip():
        document.add(tomlkit.comment(_HEAD))
    for path, value in changes.items():
        _set(document, path, value)
    config.check(document.unwrap(), source)
    return tomlkit.dumps(document)


def _set(document: tomlkit.TOMLDocument, path: tuple[str, ...], value: Any) -> None:
    node: Any = document
    for name in path[:-1]:
        if name not in node:
            if value is None:
                return
            node[name] = tomlkit.table(is_super_table=name in ("providers", "mcp_servers") and node is document)
        node = node[name]
    if value is None:
        node.pop(path[-1], None)
    elif path[-1] not in node or node[path[-1]].unwrap() != value:
        node[path[-1]] = value


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise config.ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise config.ConfigError(f"{path} is not valid TOML: it is not UTF-8") from error
