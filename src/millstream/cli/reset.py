"""``millstream reset``: list what millstream keeps for its user, ask, and delete it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = """\b
Examples:
  millstream reset
  millstream reset --only keys --only settings
  millstream reset --only state --yes
"""

_MB = 1_000_000
_NOT_STATE = ("config.toml", "keys.toml", "models")
"""What may share the folder of the state (on macOS, one folder holds it all)."""


class Kind(StrEnum):
    """What can be deleted apart from the rest."""

    SETTINGS = "settings"
    KEYS = "keys"
    ALIAS = "alias"
    STATE = "state"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Doomed:
    """One thing to delete: what it is called, and how it goes."""

    kind: Kind
    what: str
    delete: Callable[[], object]


def reset(
    only: Annotated[
        list[Kind] | None,
        typer.Option("--only", help="Delete this alone. May be repeated. [default: everything]"),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete settings, stored keys, aliases, what is kept of conversations, and the model. Lists it and asks first."""
    from typer.exceptions import TyperException

    from millstream.cli import asking

    wanted = only or list(Kind)
    doomed = [each for each in found() if each.kind in wanted]
    if not doomed:
        sys.stdout.write("There is nothing to delete.\n")
        return
    if Kind.STATE in wanted and any(each.kind is Kind.STATE for each in doomed):
        running = next(gateways(), None)
        if running is not None:
            raise TyperException(f"a gateway runs at {running} and uses what would go: stop it first")
    sys.stdout.write("This deletes:\n")
    for each in doomed:
        sys.stdout.write(f"  {each.kind.value:8}  {each.what}\n")
    if not yes:
        if not asking.possible():
            raise typer.BadParameter("no terminal to ask at: --yes deletes it")
        if not asking.confirm("Delete it all?", default=False):
            sys.stdout.write("Nothing is deleted.\n")
            return
    for each in doomed:
        try:
            each.delete()
        except OSError as error:
            raise TyperException(f"cannot delete {error.filename or each.what}: {error.strerror}") from error
    sys.stdout.write("Deleted.\n")


def found() -> list[Doomed]:
    """All that is there. Raises ``ConfigError`` and ``TyperException`` for files that cannot be read."""
    import platformdirs

    from millstream import config, keystore
    from millstream.cli import keys
    from millstream.cli.setup import alias
    from millstream.providers.model_file import models_folder

    doomed = []
    settings = config.default_path()
    if settings.exists():
        doomed.append(Doomed(Kind.SETTINGS, str(settings), settings.unlink))
    stored = keystore.path()
    if stored.exists():
        entries = _stored_keys()
        told = (f"{name} in the system's keyring" if key is None else name for name, key in entries.items())
        what = f"{stored} ({', '.join(told) or 'not readable'})"
        forget = partial(keys.forget, entries) if entries else stored.unlink
        doomed.append(Doomed(Kind.KEYS, what, forget))
    for file in alias.all_files(os.environ):
        gone = partial(alias.remove, file)
        doomed += [Doomed(Kind.ALIAS, f"{line.partition('  #')[0]} in {file}", gone) for line in alias.ours(file)]
    state = platformdirs.user_state_path("millstream")
    kept = sorted(state.iterdir()) if state.is_dir() else []
    doomed += [_files(Kind.STATE, path) for path in kept if path.name not in _NOT_STATE]
    if models_folder().is_dir():
        doomed.append(_files(Kind.MODEL, models_folder()))
    return doomed


def gateways() -> Iterator[str]:
    """The addresses of gateways that use this state."""
    import msgspec
    import platformdirs

    from millstream import config
    from millstream.cli import gateway, shared

    with_settings = []
    for record in (platformdirs.user_state_path("millstream") / "launch").glob("*/gateway.json"):
        try:
            with_settings.append(msgspec.json.decode(record.read_bytes(), type=shared.Record).url)
        except (OSError, msgspec.MsgspecError):
            continue
    try:
        server = config.load(None, os.environ).server
        with_settings.append(gateway.url_of(server.host, server.port))
    except config.ConfigError:
        with_settings.append(gateway.url_of("127.0.0.1", config.ServerConfig().port))
    yield from (url for url in with_settings if gateway.probe(url) is not None)


def _stored_keys() -> dict[str, str | None]:
    from millstream import keystore
    from millstream.config import ConfigError

    try:
        return keystore.entries()
    except ConfigError:
        return {}


def _files(kind: Kind, path: Path) -> Doomed:
    if path.is_dir() and not path.is_symlink():
        size = sum(each.lstat().st_size for each in path.rglob("*"))
        return Doomed(kind, f"{path}/{_size(size)}", partial(shutil.rmtree, path))
    return Doomed(kind, f"{path}{_size(path.lstat().st_size)}", path.unlink)


def _size(size: int) -> str:
    return f" ({size / _MB:.0f} MB)" if size >= _MB else ""
