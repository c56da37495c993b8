"""``millstream set-key``: keep a provider's key, where only its owner gets at it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from millstream.cli import completing, options

if TYPE_CHECKING:
    from millstream.cli.keys import Store

EXAMPLE = """\b
Examples:
  millstream set-key groq
  pass show groq | millstream set-key groq --stdin
  millstream set-key openai --from-env --store keyring
  millstream set-key groq --delete
"""


def set_key(
    provider: Annotated[str, typer.Argument(help="Such as groq.", autocompletion=completing.provider)],
    key: Annotated[
        str | None, typer.Argument(metavar="KEY", help="Better left out: your shell remembers it. [default: asks]")
    ] = None,
    stdin: Annotated[bool, typer.Option("--stdin", help="Read the key from standard input.")] = False,
    from_env: Annotated[bool, typer.Option("--from-env", help="Take it from the provider's own variable.")] = False,
    store: Annotated[
        str, typer.Option("--store", metavar="auto|keyring|file", help="Where to keep it; auto: keyring if it works.")
    ] = "auto",
    any_shape: Annotated[
        bool, typer.Option("--any-shape", help="Take a key that does not look like this provider's.")
    ] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Forget the key that is stored.")] = False,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
) -> None:
    """Store the key of a provider, in the system's keyring or in a file that only you can read."""
    from millstream import registry
    from millstream.cli import choosing, keys
    from millstream.cli.checks import masked

    upstream = choosing.named(registry.providers(options.load(config, settings), os.environ), provider)
    variable = choosing.key_variable(upstream)
    if delete:
        _delete(provider, variable)
        return
    where = as_store(store)
    typed = _given(variable, key, stdin=stdin, from_env=from_env) or _asked(provider)
    wrong = keys.problem(typed, upstream, provider)
    if wrong is not None and not (any_shape and typed):
        raise typer.BadParameter(f"{wrong}; --any-shape takes it all the same" if typed else wrong)
    place = keep(variable, typed, where)
    sys.stdout.write(f"The key of {provider}, {masked(typed, upstream.key_prefix)}, is in {place}.\n")
    if os.environ.get(variable, typed) != typed:
        sys.stderr.write(f"millstream: {variable} is set to another key in this shell, and wins over what is stored\n")


def as_store(text: str) -> Store:
    """Raises ``BadParameter``."""
    from millstream.cli import keys

    try:
        return keys.Store(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not one of auto, keyring, file") from error


def keep(variable: str, key: str, where: Store) -> str:
    """Stores ``key`` and says where. Raises ``TyperException``."""
    from typer.exceptions import TyperException

    from millstream.cli import keys

    try:
        return keys.store(variable, key, where)
    except keys.KeyringUnusable as error:
        raise TyperException(
            f"the system's keyring cannot be used: {error} (--store file keeps it in a file)"
        ) from error


def _delete(provider: str, variable: str) -> None:
    from millstream.cli import keys

    gone = keys.forget([variable])
    sys.stdout.write(f"The key of {provider} is forgotten.\n" if gone else f"No key of {provider} was stored.\n")
    if os.environ.get(variable):
        sys.stderr.write(f"millstream: {variable} is still set in this shell\n")


def _given(variable: str, key: str | None, *, stdin: bool, from_env: bool) -> str | None:
    if (key is not None) + stdin + from_env > 1:
        raise typer.BadParameter("give the key once: as an argument, with --stdin or with --from-env")
    if stdin:
        return read_line()
    if from_env:
        return from_variable(variable)
    return key.strip() if key is not None else None


def read_line() -> str:
    """The key on standard input. Raises ``BadParameter`` where there is none."""
    try:
        line = sys.stdin.readline().strip()
    except UnicodeDecodeError:
        line = ""
    if not line:
        raise typer.BadParameter("there is no key on standard input")
    return line


def from_variable(variable: str) -> str:
    """The key in the environment. Raises ``BadParameter`` where there is none."""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise typer.BadParameter(f"{variable} is not set in this shell")
    return key


def _asked(provider: str) -> str:
    from millstream.cli import asking

    if not asking.possible():
        raise typer.BadParameter("no terminal to ask at: pipe the key in with --stdin, or use --from-env")
    return asking.secret(f"Key of {provider} (not shown)")
