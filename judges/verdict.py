"""What a judge said of one client dialect on one upstream, and the table of it all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Verdict:
    """``passed`` includes those that ``warned``. ``problems`` are what was not expected; without any, all is well.
    ``remarks`` are what was."""

    judge: str
    client: str
    upstream: str
    passed: int = 0
    failed: int = 0
    warned: int = 0
    skipped: int = 0
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def show(console: Console, verdicts: Sequence[Verdict]) -> None:
    """The table, then every problem and each remark once."""
    table = Table("judge", "client dialect", "upstream", title="Independent judges", title_justify="left")
    for name in ("passed", "failed", "warned", "skipped"):
        table.add_column(name, justify="right")
    table.add_column("verdict")
    for verdict in verdicts:
        counts = (verdict.passed, verdict.failed, verdict.warned, verdict.skipped)
        word = "[red]not as expected[/red]" if verdict.problems else "[green]as expected[/green]"
        names = (verdict.judge, verdict.client, verdict.upstream)
        table.add_row(*names, *(str(count) for count in counts), word)
    console.print(table)
    for verdict in verdicts:
        for problem in verdict.problems:
            where = f"{verdict.judge} {verdict.client} on {verdict.upstream}"
            console.print(f"[red]{escape(where)}:[/red] {escape(problem)}", soft_wrap=True)
    for remark in dict.fromkeys(remark for verdict in verdicts for remark in verdict.remarks):
        console.print(f"expected: {remark}", soft_wrap=True, markup=False)
