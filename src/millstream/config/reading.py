"""The settings in force: the file, then the environment, then flags, each over the one before."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from millstream.config.environment import from_environment
from millstream.config.errors import ConfigError, plain
from millstream.config.names import check_names, override
from millstream.config.places import default_path
from millstream.config.tree import Config


def load(path: Path | None, environ: Mapping[str, str], flags: Sequence[str] = ()) -> Config:
    """The settings in force. ``flags`` are ``name=value`` pairs; ``path`` None means ``default_path()`` if it exists.

    Raises ``ConfigError``.
    """
    named = path or (Path(environ["MILLSTREAM_CONFIG"]) if environ.get("MILLSTREAM_CONFIG") else None)
    tree = _read(named) if named is not None else _read_if_there(default_path())
    source = str(named or default_path())
    check_names(tree, Config, source, ())
    for name, text in from_environment(environ).items():
        override(tree, name.split("."), text, f"environment variable for {name}")
    for flag in flags:
        name, equals, text = flag.partition("=")
        if not equals:
            raise ConfigError(f"--set {flag}: write it as NAME=VALUE, for example --set server.port=9000")
        override(tree, name.strip().split("."), text, f"--set {name}")
    return _converted(tree, source)


def check(tree: Mapping[str, Any], source: str) -> Config:
    """The settings of a file's content that is about to be written. Raises ``ConfigError`` as ``load`` would."""
    check_names(tree, Config, source, ())
    return _converted(tree, source)


def _converted(tree: Mapping[str, Any], source: str) -> Config:
    try:
        return msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {plain(error)}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.expanduser().open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise ConfigError(f"no configuration file at {path}: create it, or leave --config out") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _read_if_there(path: Path) -> dict[str, Any]:
    return _read(path) if path.exists() else {}
