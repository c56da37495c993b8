"""How commands print: with colour and fitted to the width on a terminal, plain and unwrapped in a pipe."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_NARROW = 60
"""Below so many columns a table's cells stand under each other."""


def console(*, stderr: bool = False) -> Console:
    """Takes ``NO_COLOR``, ``TERM`` and ``COLUMNS`` into account. In a pipe, nothing is wrapped."""
    found = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not found.is_terminal:
        found.soft_wrap = True
    return found


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Columns under ``headers``; long cells fold on a terminal and stay whole in a pipe."""
    target = console()
    if target.is_terminal and target.width < _NARROW:
        for first, *others in rows:
            target.print(first, soft_wrap=True)
            for cell in others:
                if str(cell):
                    target.print(Text("  ").append_text(Text(cell) if isinstance(cell, str) else cell))
        return
    if target.is_terminal:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for header in headers:
            table.add_column(header, overflow="fold")
        for row in rows:
            table.add_row(*row)
        target.print(table)
        return
    lines = [[str(cell) for cell in line] for line in (headers, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        print_line("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_json(value: Any) -> None:
    print_line(json.dumps(value, indent=2, ensure_ascii=False))


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
