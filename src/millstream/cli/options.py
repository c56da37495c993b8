"""Options that several commands share, and the settings they lead to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from millstream.config import Config

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="FILE", help="Settings file. [default: config.toml in your config folder]"),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="One setting, such as server.port=9000. May be repeated."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def load(file: Path | None, settings: list[str] | None, **named: object) -> Config:
    """The settings in force. ``named`` (``server__port=1``) come last and count only where they are not None."""
    from millstream import config

    return config.load(file, os.environ, as_flags(settings, **named))


def as_flags(settings: list[str] | None, **named: object) -> list[str]:
    own = [f"{name.replace('__', '.')}={value}" for name, value in named.items() if value is not None]
    return [*(settings or []), *own]
