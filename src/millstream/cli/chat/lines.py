"""What rich renders as lines for ``painter``: cleaned, never wider than the terminal, in letters its locale has."""

from __future__ import annotations

from rich.color import ColorSystem
from rich.console import Console, RenderableType
from rich.segment import Segment

from millstream.cli.chat.clean import clean
from millstream.cli.chat.painter import Line

MOST_COLUMNS = 120
"""Longer lines are hard to read."""

_SYSTEMS = {
    "standard": ColorSystem.STANDARD,
    "256": ColorSystem.EIGHT_BIT,
    "truecolor": ColorSystem.TRUECOLOR,
    "windows": ColorSystem.WINDOWS,
}
_PLAIN_LETTERS = str.maketrans(
    {"•": "*", "…": "...", "·": "-", "─": "-", "━": "-", "│": "|", "▌": "|", "✓": "+", "✗": "x", "●": "*", "→": ">"}
)


def plain_letters(text: str, encoding: str) -> str:
    """``text`` with what ``encoding`` lacks in its nearest form, or as a question mark."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN_LETTERS)
    return text.encode(encoding, "replace").decode(encoding)


class LineMaker:
    """Renders for one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._colors = _SYSTEMS.get(console.color_system or "")

    def lines(self, renderable: RenderableType) -> list[Line]:
        """One line for each that ``renderable`` takes, without blanks at their ends."""
        # The last column stays free: a cursor that stands behind it is in another place on every terminal.
        width = max(2, min(self._console.width, MOST_COLUMNS) - 1)
        options = self._console.options.update(width=width, height=None)
        return [self._line(line) for line in self._console.render_lines(renderable, options, pad=False)]

    def _line(self, segments: list[Segment]) -> Line:
        kept = [segment for segment in segments if not segment.control]
        while kept and not kept[-1].text.strip() and not (kept[-1].style and kept[-1].style.bgcolor):
            kept.pop()
        if kept:
            text, style, _ = kept[-1]
            kept[-1] = Segment(text.rstrip(), style)
        if self._console.no_color:
            kept = list(Segment.remove_color(kept))
        encoding = self._console.encoding
        if not encoding.lower().startswith("utf"):
            kept = [Segment(plain_letters(text, encoding), style) for text, style, _ in kept]
        # Markdown can name letters by number: what it turned into is looked at once more.
        cleaned = [Segment(_clean(text), style) for text, style, _ in kept]
        drawn = "".join(
            style.render(text, color_system=self._colors) if style else text for text, style, _ in cleaned if text
        )
        return Line(drawn, sum(segment.cell_length for segment in cleaned))


def _clean(text: str) -> str:
    return text if text.isascii() and text.isprintable() else clean(text).replace("\n", " ").expandtabs(4)
