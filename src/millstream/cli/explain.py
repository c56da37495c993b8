"""``millstream help``: what a command does, as its own ``--help`` says it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

EXAMPLE = """\b
Examples:
  millstream help
  millstream help setup
  millstream help launch claude
"""


def explain(
    context: typer.Context,
    command: Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="Such as: launch claude.")] = None,
) -> None:
    """Show the help of a command, or of millstream."""
    place: Any = context.find_root()
    for name in command or []:
        group = place.command
        if not hasattr(group, "resolve_command"):
            raise typer.BadParameter(f"{place.info_name} has no commands below it")
        found, inner, _ = group.resolve_command(place, [name])
        place = type(place)(inner, info_name=found, parent=place)
    typer.echo(place.get_help())
