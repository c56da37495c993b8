"""``millstream doctor``: what is here, what is missing, what to do about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from millstream.cli import options

if TYPE_CHECKING:
    from rich.console import Console

    from millstream.cli.checks import Check
    from millstream.cli.known import Known
    from millstream.config import Config

EXAMPLE = """\b
Examples:
  millstream doctor
  millstream doctor --offline
  millstream doctor --json | jq '.checks[] | select(.status == "broken")'
"""

_NAME_WIDTH = 12
_SIGNS = {"ok": ("✓", "green"), "absent": ("–", "dim"), "warning": ("!", "yellow"), "broken": ("✗", "bold red")}


def doctor(
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the default model for an answer.")] = False,
    as_json: options.AsJson = False,
) -> int:
    """Look at everything millstream needs. Ends with status 1 if something needed is broken."""
    from millstream.cli import checks

    found = [*checks.libraries(), *checks.programs()]
    flags = settings or []
    about_settings, tree = checks.settings(config, flags, os.environ)
    found += about_settings
    if tree is not None:
        found += _about_gateway(tree, config, flags, offline=offline)
    broken = any(check.status == "broken" for check in found)
    if as_json:
        print_report(found, ok=not broken)
    else:
        show(found)
    return 1 if broken else 0


def _about_gateway(tree: Config, file: Path | None, flags: list[str], *, offline: bool) -> list[Check]:
    from millstream.cli import checks, embedded
    from millstream.cli.known import known
    from millstream.config import ConfigError

    try:
        names = known(tree, os.environ)
    except ConfigError as error:
        return [checks.Check("settings", "names", "broken", str(error), "mend the setting it names")]
    needed = embedded.is_default(names)
    about_model = checks.model_in_process(tree, needed=needed)
    found = [*checks.keys(names.providers), checks.port(tree, names.fingerprint), *about_model]
    answers = not needed or embedded.file(tree) is not None
    if not offline and answers and not any(check.status == "broken" for check in found):
        found.append(answer(tree, names, file, flags))
    return found


def answer(tree: Config, names: Known, file: Path | None, flags: list[str]) -> Check:
    """One real call to the default model, through a gateway that runs already or one for this call."""
    from typer.exceptions import TyperException

    from millstream.cli import checks, gateway

    model = names.routes.default
    try:
        with gateway.found_or_started(tree, names.fingerprint, file, flags) as url:
            return checks.answer(url, model, names.server_key)
    except TyperException as error:
        return checks.Check("model", model, "broken", error.message)


def print_report(found: list[Check], *, ok: bool) -> None:
    """For programs."""
    import msgspec

    from millstream.cli.output import print_json

    print_json({"ok": ok, "checks": msgspec.to_builtins(found)})


def show(found: list[Check], works: str = "All that is needed works.") -> None:
    """For people, under one heading for each section."""
    from itertools import groupby

    from rich.text import Text

    from millstream.cli.output import console

    out = console()
    for section, checks in groupby(found, key=lambda check: check.section):
        out.print(Text(section, style="bold"))
        for check in checks:
            _show_check(out, check)
        out.print()
    broken = [check for check in found if check.status == "broken"]
    verdict = f"{len(broken)} broken: {', '.join(check.name for check in broken)}" if broken else works
    out.print(Text(verdict, style="bold red" if broken else "bold green"))


def _show_check(out: Console, check: Check) -> None:
    from rich.table import Table
    from rich.text import Text

    sign, style = _SIGNS[check.status]
    name = Text.assemble(
        "  ", (sign, style), " ", (check.name.ljust(_NAME_WIDTH), "dim" if check.status == "absent" else "")
    )
    detail = Text(check.detail, style="dim")
    if check.fix is not None and check.status != "ok":
        detail.append(f"\n→ {check.fix}" if out.is_terminal else f" → {check.fix}", style=style)
    if not out.is_terminal:
        out.print(Text("  ").join([name, detail]))
        return
    # A long detail goes on under itself, not under the sign.
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(name, detail)
    out.print(line)
