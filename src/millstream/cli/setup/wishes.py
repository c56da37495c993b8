"""What the options of ``setup`` have answered already, and what is missing where nobody can be asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from millstream.cli import choosing
from millstream.cli.keys import Store
from millstream.providers.catalog import Provider


@dataclass(frozen=True, slots=True)
class Wishes:
    """None where nothing was said. ``asks`` is whether somebody is there to answer."""

    asks: bool
    provider: str | None
    model: str | None
    key_from_env: bool
    key_stdin: bool
    any_shape: bool
    store: Store
    test: bool | None
    alias: str | None
    no_alias: bool
    agent: str | None
    config: Path | None


def require_answers(wishes: Wishes, providers: Mapping[str, Provider], *, yes: bool) -> None:
    """Raises ``BadParameter`` that says which options to give, where nobody can be asked and something is open."""
    if wishes.asks:
        return
    missing = [] if yes else ["--yes"]
    if wishes.provider is None and wishes.alias is None:
        missing.append("--provider NAME (such as groq)")
    if wishes.provider is not None and not (wishes.key_from_env or wishes.key_stdin):
        upstream = choosing.named(providers, wishes.provider)
        if upstream.key is None and upstream.key_env is not None:
            missing.append(f"--key-from-env (takes {upstream.key_env}) or --key-stdin")
    if missing:
        why = "--yes was given" if yes else "there is no terminal"
        raise typer.BadParameter(f"nobody can be asked, as {why}: give {', '.join(missing)}")


def environment_key(provider: Provider) -> str | None:
    """The key in this shell's environment."""
    return os.environ.get(provider.key_env or "", "").strip() or None
