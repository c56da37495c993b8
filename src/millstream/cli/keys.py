"""Providers' keys: where one comes from, how it is shown, whether it looks right, and storing it (``keystore`` reads).

Shown is never more of a key than its provider's prefix and its last four characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import tomlkit

from millstream import keystore
from millstream.cli import files
from millstream.cli.checks import masked
from millstream.config import Config
from millstream.providers import catalog
from millstream.providers.catalog import Provider

_SHORTEST = 16
_LONGEST = 4096
"""Of what is typed. Longer than any token, shorter than a paste gone wrong."""
_PRINTABLE = re.compile(r"[!-~]+")
_HEAD = "Keys of providers, for millstream set-key to write and for nobody else to read."


class Store(StrEnum):
    """Where a key is kept: the system's keyring, a file that only its owner can read, or the former if it works."""

    AUTO = "auto"
    KEYRING = "keyring"
    FILE = "file"


class KeyringUnusable(Exception):
    """The system's keyring cannot be used. The message says why."""


@dataclass(frozen=True, slots=True)
class Held:
    """A provider's key and where it is from, both as they may be shown."""

    shown: str
    source: str


def held(provider: Provider, config: Config, environ: Mapping[str, str]) -> Held | None:
    """What is to be said of the key that ``provider`` uses; None where it has none."""
    if provider.key is None:
        return None
    own = config.providers.get(provider.name)
    shown = masked(provider.key, provider.key_prefix)
    if own is not None and own.api_key is not None:
        return Held(shown, "settings file")
    if own is not None and own.api_key_file is not None:
        return Held(shown, own.api_key_file)
    if provider.key_env is not None and environ.get(provider.key_env):
        return Held(shown, f"environment, {provider.key_env}")
    return Held(shown, place(provider.key_env or ""))


def place(variable: str) -> str:
    """Where the stored key is that stands in for ``variable``."""
    return str(keystore.path()) if keystore.entries().get(variable) is not None else "the system's keyring"


def problem(key: str, provider: Provider | catalog.Row, name: str) -> str | None:
    """Why ``key`` can hardly be one of the provider called ``name``, or None. It is not quoted."""
    if not key:
        return "that is empty"
    if not _PRINTABLE.fullmatch(key):
        return "a key has no spaces, and only plain letters, digits and signs"
    if len(key) > _LONGEST:
        return f"that is {len(key)} characters long"
    prefix = provider.key_prefix
    others = {row.key_prefix: other for other, row in reversed(catalog.rows().items()) if row.key_prefix}
    longest = max((known for known in others if key.startswith(known)), key=len, default=None)
    if prefix is not None and not key.startswith(prefix):
        also = f"; this looks like one of {others[longest]}" if longest else ""
        return f"keys of {name} begin with {prefix}{also}"
    if longest is not None and len(longest) > len(prefix or ""):
        return f"that looks like a key of {others[longest]}, not of {name}"
    if len(key) < _SHORTEST:
        return f"that is only {len(key)} characters long"
    return None


def store(variable: str, key: str, where: Store) -> str:
    """Keeps ``key`` for ``variable`` and says where.

    Raises ``KeyringUnusable``, ``TyperException`` and ``ConfigError``.
    """
    entries = keystore.entries()
    kept: str | None = key
    if where is not Store.FILE:
        try:
            _to_keyring(variable, key)
            kept = None
        except KeyringUnusable:
            if where is Store.KEYRING:
                raise
    _write({**entries, variable: kept})
    if kept is not None and entries.get(variable, "") is None:
        _from_keyring(variable)
    return place(variable)


def forget(variables: Iterable[str]) -> list[str]:
    """Removes stored keys and says which there were. Raises ``TyperException``, ``ConfigError``."""
    entries = keystore.entries()
    gone = [name for name in variables if name in entries]
    for name in gone:
        if entries[name] is None:
            _from_keyring(name)
    left = {name: key for name, key in entries.items() if name not in gone}
    if left:
        _write(left)
    elif gone:
        keystore.path().unlink(missing_ok=True)
    return gone


def _write(entries: Mapping[str, str | None]) -> None:
    document = tomlkit.document()
    document.add(tomlkit.comment(_HEAD))
    for name, key in sorted(entries.items()):
        value = tomlkit.inline_table() if key is None else tomlkit.string(key)
        if key is None:
            value["keyring"] = True  # type: ignore[index]  # an inline table, as the line above says
        document.add(name, value)
    files.write_secret(keystore.path(), tomlkit.dumps(document))


def _to_keyring(variable: str, key: str) -> None:
    """Raises ``KeyringUnusable`` also where what was stored does not come back."""
    try:
        import keyring
    except ImportError as error:
        raise KeyringUnusable("the library is not installed: pip install 'millstream[keyring]'") from error
    try:
        usable = keyring.get_keyring().priority >= 1
        if usable:
            keyring.set_password(keystore.SERVICE, variable, key)
        back = keyring.get_password(keystore.SERVICE, variable) if usable else None
    except Exception as error:  # backends raise what they like
        raise KeyringUnusable(f"it fails ({type(error).__name__})") from error
    if not usable:
        raise KeyringUnusable("this system has none that keeps secrets")
    if back != key:
        raise KeyringUnusable("it does not give back what it was given")


def _from_keyring(variable: str) -> None:
    try:
        import keyring

        keyring.delete_password(keystore.SERVICE, variable)
    except Exception:  # noqa: S110  # not there, or nobody to ask: nothing of ours refers to it any more
        pass
