"""Provider keys that people have stored: a file that only they can read, or the system's keyring.

Keys go by the environment variable that they stand in for, so that providers which share one share its key, and what
is in the environment wins. The file is TOML: ``NAME = "key"``, or ``NAME = {keyring = true}`` for a key that the
keyring holds; only such a line makes anyone ask the keyring, which may be slow or want a password.

This module reads; ``cli.keys`` writes.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from millstream.config import ConfigError

SERVICE = "millstream"
"""What our keys go by in the keyring."""

_log = logging.getLogger(__name__)


def path() -> Path:
    return platformdirs.user_config_path("millstream") / "keys.toml"


def entries() -> dict[str, str | None]:
    """Variable → key; None where the keyring holds it. Raises ``ConfigError`` for a file that cannot be used."""
    file = path()
    try:
        with file.open("rb") as opened:
            tree: dict[str, Any] = tomllib.load(opened)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # Its message may quote what is in the file, which is secret.
        raise ConfigError(f"{file} is not valid TOML: mend it, or remove it and use millstream set-key") from error
    found: dict[str, str | None] = {}
    for name, value in tree.items():
        if not (isinstance(value, str) or value == {"keyring": True}):
            raise ConfigError(f"{file}: {name} must be a text, or {{keyring = true}}")
        found[name] = value if isinstance(value, str) else None
    return found


class Stored(Mapping[str, str]):
    """The keys as a mapping, the keyring asked for each when it is wanted, and once."""

    def __init__(self, found: Mapping[str, str | None]) -> None:
        self._found = dict(found)

    def __getitem__(self, name: str) -> str:
        if self._found[name] is None:
            self._found[name] = _from_keyring(name) or ""
        key = self._found[name]
        if not key:
            raise KeyError(name)
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def stored(environ: Mapping[str, str]) -> Mapping[str, str]:
    """What is stored for the owner of ``environ``: nothing where it has no ``HOME``. Raises ``ConfigError``."""
    return Stored(entries()) if "HOME" in environ else {}


def _from_keyring(name: str) -> str | None:
    """The keyring's key, or None with a word in the log: other providers go on without it."""
    try:
        import keyring
    except ImportError:
        _log.warning("the key %s is in the system's keyring: pip install 'millstream[keyring]' to use it", name)
        return None
    try:
        key = keyring.get_password(SERVICE, name)
    except Exception as error:  # backends raise what they like
        _log.warning("the system's keyring does not give the key %s (%s)", name, type(error).__name__)
        return None
    if key is None:
        _log.warning("the system's keyring has no key %s any more: millstream set-key stores it again", name)
    return key
