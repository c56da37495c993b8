"""``millstream provider``: which providers there are, and which one is asked where nobody says."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from millstream.cli import completing, options

if TYPE_CHECKING:
    from rich.text import Text

    from millstream.config import Config
    from millstream.providers.catalog import Provider

EXAMPLE = """\b
Examples:
  millstream provider
  millstream provider groq
  millstream provider openrouter --model moonshotai/kimi-k2-thinking
  millstream provider --json | jq -r '.[] | select(.usable) | .name'
"""


class Row(msgspec.Struct, frozen=True):
    """A provider. ``key`` is masked; ``lacks`` names the variable that has to be set before it can be used."""

    name: str
    model: str | None
    default: bool
    usable: bool
    key: str | None
    key_source: str | None
    lacks: str | None


def provider(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Make this the default.", autocompletion=completing.provider),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Its model. [default: the provider's own]",
            autocompletion=completing.model,
        ),
    ] = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    as_json: options.AsJson = False,
) -> None:
    """List the providers, or write which one is the default."""
    from millstream import registry
    from millstream.cli import choosing
    from millstream.cli.output import print_json
    from millstream.server.settings import routes

    tree = options.load(config, settings)
    providers = registry.providers(tree, os.environ)
    if name is not None:
        _make_default(choosing.named(providers, name), model, config)
        return
    if model is not None:
        raise typer.BadParameter("--model goes with a provider's name")
    table = routes(tree, providers)
    default = table.resolve(table.default).provider
    rows = [_row(upstream, tree, default) for upstream in providers.values() if upstream.kind != "replay"]
    rows.sort(key=lambda row: (not row.default, not row.usable))
    if as_json:
        print_json(msgspec.to_builtins(rows))
    else:
        _show(rows)


def _make_default(upstream: Provider, model: str | None, named: Path | None) -> None:
    from millstream.cli import choosing, config_file

    setting = choosing.model_setting(upstream, model)
    file = config_file.target(named, os.environ)
    changed = config_file.change(file, {("default_model",): setting})
    sys.stdout.write(f"The default model is {'now' if changed else 'already'} {setting} ({file}).\n")
    if upstream.lacks is not None:
        hint = f"millstream set-key {upstream.name}" if upstream.key is None else f"set {upstream.lacks}"
        sys.stderr.write(f"millstream: {upstream.name} cannot be used yet: {hint}\n")
    if os.environ.get("MILLSTREAM_DEFAULT_MODEL"):
        sys.stderr.write("millstream: MILLSTREAM_DEFAULT_MODEL is set in this shell, and wins over the file\n")


def _row(upstream: Provider, tree: Config, default: str) -> Row:
    from millstream.cli import keys

    held = keys.held(upstream, tree, os.environ)
    return Row(
        name=upstream.name,
        model=upstream.default_model,
        default=upstream.name == default,
        usable=upstream.usable,
        key=held.shown if held else None,
        key_source=held.source if held else None,
        lacks=upstream.lacks,
    )


def _show(rows: list[Row]) -> None:
    from rich.text import Text

    from millstream.cli.output import print_table

    def line(row: Row) -> list[str | Text]:
        name = Text(row.name, style="bold green" if row.default else "" if row.usable else "dim")
        return [name, row.model or "", _key(row), "default" if row.default else ""]

    print_table(["provider", "its model", "key", ""], [line(row) for row in rows])


def _key(row: Row) -> Text:
    from rich.text import Text

    if row.key is not None:
        return Text(f"{row.key} ({row.key_source})", style="green")
    if row.lacks is not None:
        return Text(f"{row.lacks} missing", style="yellow")
    return Text("not needed", style="dim")
