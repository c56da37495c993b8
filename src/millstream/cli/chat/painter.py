"""Lines on a terminal of which the last may still change, with no more written than differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

_SYNCHRONISED = ("\x1b[?2026h", "\x1b[?2026l")
"""What is between these, terminals show at once. Those that do not know it ignore it."""


@dataclass(frozen=True, slots=True)
class Line:
    """What is written for a line, and how many columns that takes."""

    text: str
    width: int


EMPTY = Line("", 0)


class Painter:
    """Settled lines scroll away as any output does; the live ones below them are painted over.

    ``size`` gives columns and rows. Between calls the cursor stands behind the last live line.
    """

    def __init__(self, write: Callable[[str], object], size: Callable[[], tuple[int, int]]) -> None:
        self._write = write
        self._size = size
        self._shown: list[Line] = []
        self._columns = size()[0]
        self._gone = 0

    def paint(self, settled: Sequence[Line], live: Sequence[Line]) -> None:
        """``settled`` follow on those given before, and ``live`` on them. No line is wider than the terminal.

        Live lines that do not fit are scrolled away with the settled ones: they can no longer change.
        """
        columns, rows = self._size()
        wanted = [*settled, *live][self._gone :]
        out = self._forgotten(columns) if columns != self._columns else ""
        out += self._changes(wanted)
        if out:
            self._write(out)
        kept = min(len(wanted), len(live), max(1, rows - 1))
        self._shown = wanted[len(wanted) - kept :]
        self._gone = len(live) - kept
        if not self._shown and wanted:
            self._write("\r\n")

    def _changes(self, wanted: Sequence[Line]) -> str:
        shown = self._shown
        same = 0
        for old, new in zip(shown, wanted, strict=False):
            if old != new:
                break
            same += 1
        if same == len(shown) == len(wanted):
            return ""
        if same == len(shown):
            return ("\r\n" if shown else "") + "\r\n".join(line.text for line in wanted[same:])
        at_end = same == len(shown) - 1
        if at_end and same < len(wanted) and wanted[same].text.startswith(shown[same].text):
            added = wanted[same].text[len(shown[same].text) :]
            return "\r\n".join([added, *(line.text for line in wanted[same + 1 :])])
        up = len(shown) - 1 - same
        moved = f"\r\x1b[{up}A" if up else "\r"
        drawn = "\r\n".join(f"{line.text}\x1b[K" for line in wanted[same:])
        cleared = "\x1b[J" if len(wanted) < len(shown) else ""
        if same == len(wanted) and same:  # nothing is left to draw where the cursor is: end behind the line above
            cleared = f"\x1b[J\x1b[A\x1b[{wanted[-1].width}C" if wanted[-1].width else "\x1b[J\x1b[A"
        return drawn.join((_SYNCHRONISED[0] + moved, cleared + _SYNCHRONISED[1]))

    def _forgotten(self, columns: int) -> str:
        """The terminal's width has changed, and with it the rows that the shown lines take: start over there."""
        self._columns = columns
        rows = sum(max(1, -(-line.width // columns)) for line in self._shown)
        self._shown = []
        return (f"\r\x1b[{rows - 1}A" if rows > 1 else "\r") + "\x1b[J" if rows else ""
