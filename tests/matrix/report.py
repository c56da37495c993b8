"""``make matrix``: the matrix as a table, and every deviation with its reason. See docs/judges.md."""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby

import matrix
from matrix import Deviation, Recording, judge, judge_cuts, recording
from node_readers import Broken, NodeReaders, missing
from readers import Reader, node_readers_of, python_readers
from rich.console import Console
from rich.table import Table

Row = tuple[str, str]
"""A provider and the dialect it was recorded in."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make matrix", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="recordings whose name contains this")
    only = parser.parse_args().only
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    names = [(name, upstream) for name, upstream in matrix.names() if only in name]
    lacking = missing() or (None if names else "no recordings: set MILLSTREAM_CORPUS")
    if lacking:
        console.print(lacking)
        return 2
    began = time.monotonic()
    process = NodeReaders()
    readers = [*python_readers(), *node_readers_of(process)]
    readers.sort(key=lambda reader: reader.client)
    found = [recording(name, upstream) for name, upstream in names]
    deviations = [deviation for one in found for reader in readers for deviation in _judged(one, reader)]
    process.close()
    _show_table(console, found, readers, deviations)
    _show_reasons(console, readers, deviations)
    unexplained = [deviation for deviation in deviations if deviation.reason is None]
    for one in unexplained:
        console.print(f"[red]unexplained[/] {one.recording} × {one.reader}: {one.field}")
        console.print(f"  said {one.said!r:.300}\n  read {one.read!r:.300}", markup=False)
    console.print(
        f"{len(found)} recordings × {len(readers)} readers: {len(deviations) - len(unexplained)} deviations explained, "
        f"{len(unexplained)} not, in {time.monotonic() - began:.0f} s"
    )
    return 1 if unexplained else 0


def _judged(one: Recording, reader: Reader) -> Iterator[Deviation]:
    yield from judge(one, reader)
    yield from judge_cuts(one, reader)


def _show_table(
    console: Console, found: Sequence[Recording], readers: Sequence[Reader], deviations: Sequence[Deviation]
) -> None:
    """In each cell, how many recordings the reader read as they are, and how many with a difference."""
    for number, reader in enumerate(readers, 1):
        console.print(f"{number:2}  {reader.client} by {reader.name}")
    rows: dict[Row, list[str]] = defaultdict(list)
    for one in found:
        rows[one.name.partition("/")[0], one.upstream].append(one.name)
    explained = {(one.recording, one.reader) for one in deviations if one.reason is not None}
    wrong = {(one.recording, one.reader) for one in deviations if one.reason is None}
    table = Table("provider", "recorded as", *(str(number) for number in range(1, len(readers) + 1)), box=None)
    for (provider, upstream), names in sorted(rows.items()):
        cells = [_cell([(name, reader.name) for name in names], explained, wrong) for reader in readers]
        table.add_row(provider, upstream, *cells)
    console.print(table)
    console.print("12: read as it is; +1: with an explained deviation; !1: with another\n")


def _cell(pairs: list[tuple[str, str]], explained: set[tuple[str, str]], wrong: set[tuple[str, str]]) -> str:
    bad = sum(pair in wrong for pair in pairs)
    told = sum(pair in explained and pair not in wrong for pair in pairs)
    good = len(pairs) - bad - told
    return str(good) + (f"+{told}" if told else "") + (f"[red]!{bad}[/]" if bad else "")


def _show_reasons(console: Console, readers: Sequence[Reader], deviations: Sequence[Deviation]) -> None:
    places: dict[str, dict[tuple[str, str], set[str]]] = defaultdict(lambda: defaultdict(set))
    for one in deviations:
        if one.reason is not None:
            places[one.reason][one.recording, one.field].add(one.reader)
    for reason, found in places.items():
        console.print(f"[bold]{reason}[/]", soft_wrap=True)
        for (name, field), who in found.items():
            line = f"  {name}: {field}, by {', '.join(_named(readers, who))}"
            console.print(line, markup=False, soft_wrap=True)
        console.print()


def _named(readers: Sequence[Reader], who: set[str]) -> Iterator[str]:
    """``who`` in fewer words, where they are all the readers of a dialect or all there are."""
    if len(who) == len(readers):
        yield "all"
        return
    for client, group in groupby(readers, key=lambda reader: reader.client):
        of_client = [reader.name for reader in group]
        if who.issuperset(of_client):
            yield f"all of {client}"
        else:
            yield from (name for name in of_client if name in who)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Broken as broken:
        sys.exit(f"a reader fell over: {broken}")
