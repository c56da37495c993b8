"""One real call with a key and a model before either is written down, through a gateway of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from typer.exceptions import TyperException

from millstream import config
from millstream.cli import checks, config_file, embedded, gateway
from millstream.cli.checks import Check
from millstream.cli.known import known
from millstream.providers.catalog import Provider

_QUICK = ("upstream.retries=0", "upstream.connect_timeout=10", "sessions.store=memory")
"""Whoever waits for it would rather hear soon that it does not work."""


def call(provider: Provider, key: str | None, model: str, named: Path | None) -> Check:
    """What became of the call: ``ok`` with its first-token time, or ``broken`` with the reason.

    ``named`` is the settings file that the user names. Raises ``ConfigError``.
    """
    file, own = config_file.source(named, os.environ)
    if key is not None and provider.key_env is not None:
        own[provider.key_env] = key
    flags = [f"default_model={model}", *_QUICK]
    tree = config.load(file, own, flags)
    names = known(tree, own)
    try:
        embedded.prepare(tree, names, model)
        return _call(own, model, names.server_key, file, flags)
    except TyperException as error:
        return Check("model", model, "broken", error.message)


def _call(environ: dict[str, str], model: str, server_key: str | None, file: Path | None, flags: list[str]) -> Check:
    arguments = ["--config", str(file)] if file is not None else []
    for flag in flags:
        arguments += ["--set", flag]
    started = gateway.Started(arguments, environ)
    try:
        return checks.answer(started.url, model, server_key)
    finally:
        started.stop()


def tell(check: Check) -> None:
    from rich.text import Text

    from millstream.cli.output import console

    good = check.status == "ok"
    sign, style = ("✓", "green") if good else ("✗", "bold red")
    console().print(Text.assemble((sign, style), f" {check.name}: {check.detail}"))
    sys.stdout.flush()
