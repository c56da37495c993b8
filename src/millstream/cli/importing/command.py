"""``millstream import``: the settings of another program as ours, shown or written."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millstream.cli import options

if TYPE_CHECKING:
    from millstream.cli.importing.result import Imported

EXAMPLE = """\b
Examples:
  millstream import ~/.claude-code-router/config.json
  millstream import litellm.yaml > gateway.toml
  millstream import ~/.kimi-code --write
"""

_HIDDEN = "…"
_SECRET_TABLES = ("env", "headers", "http_headers")


def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The program's file of settings, or its folder.")],
    write: Annotated[
        bool, typer.Option("--write", help="Write the settings file and store the keys. [default: print the settings]")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write over settings that are there; they stay in a file ending in .bak.")
    ] = False,
    store: Annotated[
        str, typer.Option("--store", metavar="auto|keyring|file", help="Where to keep keys; auto: keyring if usable.")
    ] = "auto",
    config: options.ConfigFile = None,
) -> None:
    """Turn settings of claude-code-router, LiteLLM or Kimi Code into ours, and name what cannot be carried."""
    from millstream import config as configuration
    from millstream.cli import config_file, set_key
    from millstream.cli.importing.reading import imported

    where = set_key.as_store(store)
    program, found = imported(path)
    tree = found.settings()
    if not tree:
        raise typer.BadParameter(f"{path}: nothing of these {program} settings has a meaning here")
    _check(tree, found, f"these settings of {program}")
    if not write:
        _print(program, path, tree)
    else:
        file = config_file.target(config, os.environ)
        _write(file, _text(program, path, tree), force=force)
        sys.stdout.write(f"The settings of {program} are in {file}\n")
        for variable, key in found.keys.items():
            sys.stdout.write(f"The key {variable} is in {set_key.keep(variable, key, where)}\n")
        configuration.load(file, os.environ)
    _tell(found, stored=write)


def _check(tree: dict[str, Any], found: Imported, source: str) -> None:
    """Raises ``ConfigError`` where a gateway could not start with it."""
    from millstream import config, registry
    from millstream.server import settings

    ours = config.check(tree, source)
    settings.routes(ours, registry.providers(ours, {**found.keys}))


def _text(program: str, path: Path, tree: dict[str, Any]) -> str:
    import tomlkit

    document = tomlkit.document()
    document.add(tomlkit.comment(f"Imported from {program} ({path.name})."))
    for name, value in tree.items():
        document.add(name, tomlkit.item(value))
    return tomlkit.dumps(document)


def _print(program: str, path: Path, tree: dict[str, Any]) -> None:
    """What only the written file may show, hidden."""
    shown = dict(tree)
    for section in ("providers", "mcp_servers"):
        if section in tree:
            shown[section] = {name: _hidden(table) for name, table in tree[section].items()}
    if shown != tree:
        sys.stderr.write(f"millstream: {_HIDDEN} stands for values that only --write writes\n")
    sys.stdout.write(_text(program, path, shown))


def _hidden(table: dict[str, Any]) -> dict[str, Any]:
    return {
        part: dict.fromkeys(value, _HIDDEN) if part in _SECRET_TABLES and isinstance(value, dict) else value
        for part, value in table.items()
    }


def _write(file: Path, text: str, *, force: bool) -> None:
    from typer.exceptions import TyperException

    from millstream.cli import files

    if file.exists() and file.read_text(encoding="utf-8", errors="surrogateescape").strip():
        if not force:
            raise TyperException(f"there are settings in {file}: --force writes over them, and keeps them in a .bak")
        before = file.read_text(encoding="utf-8", errors="surrogateescape")
        files.write(file.with_name(f"{file.name}.bak"), before)
    files.write(file, text)


def _tell(found: Imported, *, stored: bool) -> None:
    if found.keys and not stored:
        names = ", ".join(found.keys)
        sys.stderr.write(f"millstream: keys are not printed; --write stores them, or set them here: {names}\n")
    if found.left:
        sys.stderr.write("Not carried:\n")
        for name in found.left:
            sys.stderr.write(f"  {name}\n")
