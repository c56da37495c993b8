"""How commands print: with colour and fitted to the width on a terminal, plain and unwrapped in a pipe."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_NARROW = 80
"""Below so many columns, a table that does not fit has its rows written as lines of text."""
_GAP = "  "


def console(*, stderr: bool = False) -> Console:
    """Takes ``NO_COLOR``, ``TERM`` and ``COLUMNS`` into account. In a pipe, nothing is wrapped."""
    found = Console(stderr=stderr, highlight=False, emoji=False, markup=False)
    if not found.is_terminal:
        found.soft_wrap = True
    return found


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Columns under ``headers``; long cells fold on a terminal and stay whole in a pipe."""
    target = console()
    lines = [[str(cell) for cell in line] for line in (headers, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    if target.is_terminal and target.width < min(_NARROW, sum(widths) + len(_GAP) * (len(widths) - 1)):
        for row in rows:
            for packed in _packed([cell if isinstance(cell, Text) else Text(cell) for cell in row], target.width):
                target.print(packed, soft_wrap=True)
        return
    if target.is_terminal:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for header in headers:
            table.add_column(header, overflow="fold")
        for row in rows:
            table.add_row(*row)
        target.print(table)
        return
    for line in lines:
        print_line(_GAP.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _packed(cells: Sequence[Text], width: int) -> list[Text]:
    """The cells side by side, as many as fit, and the rest below, further in."""
    found = [cells[0].copy()]
    for cell in cells[1:]:
        if not cell.plain:
            continue
        if found[-1].cell_len + len(_GAP) + cell.cell_len <= width:
            found[-1].append(_GAP).append_text(cell)
        else:
            found.append(Text(2 * _GAP).append_text(cell))
    return found


def print_text(text: str) -> None:
    """Sentences: on a terminal, broken between words alone, so that addresses and paths can be copied."""
    print_line("\n".join(fitted(line) for line in text.split("\n")))


def fitted(text: str) -> str:
    """``text`` as it is printed: broken between words where the terminal is narrower."""
    target = console()
    if not target.is_terminal or len(text) < target.width:
        return text
    indent = text[: len(text) - len(text.lstrip())]
    return textwrap.fill(
        text, target.width - 1, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def print_json(value: Any) -> None:
    print_line(json.dumps(value, indent=2, ensure_ascii=False))


def print_line(text: str) -> None:
    sys.stdout.write(text + "\n")
