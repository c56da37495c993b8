"""``millstream models``: the names one may ask for, and what each still needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from millstream.cli import options
from millstream.policy.routing import Route

if TYPE_CHECKING:
    from rich.text import Text

    from millstream.cli.known import Known

EXAMPLE = """\b
Examples:
  millstream models
  millstream models --json | jq -r '.[] | select(.usable) | .name'
"""

ANY_MODEL = "MODEL"
"""Stands for the models of a server that has no default one: write the name it knows instead."""


class Row(msgspec.Struct, frozen=True):
    """One routable name. ``key`` is the variable its key is looked for in; None where none is needed."""

    name: str
    provider: str
    model: str | None
    default: bool
    usable: bool
    key: str | None
    aliases: list[str]


def models(
    config: options.ConfigFile = None, settings: options.Settings = None, as_json: options.AsJson = False
) -> None:
    """List the model names that requests may use."""
    from millstream.cli.known import known
    from millstream.cli.output import print_json

    rows = table(known(options.load(config, settings), os.environ))
    if as_json:
        print_json(msgspec.to_builtins(rows))
    else:
        _show(rows)


def table(names: Known) -> list[Row]:
    """The default first, then what can be used at once, then what lacks a key."""
    routes = names.routes
    aliases: dict[Route, list[str]] = {}
    for alias, goal in routes.aliases.items():
        aliases.setdefault(routes.resolve(goal), []).append(alias)
    default = routes.resolve(routes.default)
    own = [Route(provider.name, provider.default_model or ANY_MODEL) for provider in names.providers.values()]
    rows = []
    for route in dict.fromkeys([default, *own, *aliases]):
        provider = names.providers[route.provider]
        rows.append(
            Row(
                name=route.provider if provider.kind == "embedded" else route.name,
                provider=route.provider,
                model=None if route.model == ANY_MODEL else route.model,
                default=route == default,
                usable=provider.usable,
                key=provider.lacks or provider.key_env,
                aliases=aliases.get(route, []),
            )
        )
    return sorted(rows, key=lambda row: (not row.default, not row.usable))


def _show(rows: list[Row]) -> None:
    from rich.text import Text

    from millstream.cli.output import print_table

    def line(row: Row) -> list[str | Text]:
        name = Text(row.name, style="" if row.usable else "dim")
        if row.default:
            name.stylize("bold green")
        also = ", ".join([*(["default"] if row.default else []), *row.aliases])
        return [name, _key(row), also]

    print_table(["model", "key", "also called"], [line(row) for row in rows])


def _key(row: Row) -> Text:
    from rich.text import Text

    if row.key is None:
        return Text("not needed", style="dim")
    return Text(f"{row.key} set", style="green") if row.usable else Text(f"{row.key} missing", style="yellow")
