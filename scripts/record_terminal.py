"""Record `millstream` in a terminal for the README: a text cast (asciinema's format), drawn as an animated SVG.

    .venv/bin/python scripts/record_terminal.py             # docs/images/terminal.cast and terminal.svg
    .venv/bin/python scripts/record_terminal.py --draw      # the picture alone, from the cast that is there

Needs the test dependencies (pexpect types and reads, pyte is the terminal). Answers come from docs/images/tour.toml.
"""

from __future__ import annotations

import html
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pyte

IMAGES = Path(__file__).parents[1] / "docs" / "images"
CAST, PICTURE = IMAGES / "terminal.cast", IMAGES / "terminal.svg"
COLUMNS, ROWS = 80, 34
LIMIT = 60.0
KEY = 0.045
"""Seconds between two keys, as somebody types who knows what to say."""
LONGEST_PAUSE = 1.6
FRAME = 0.06
HOLD = 4.0
"""Seconds for which the end is shown before it begins again."""


@dataclass(frozen=True)
class Step:
    """What is typed, what then is waited for, and how long that is left to be read."""

    typed: str
    seen: str
    pause: float = 0.6


SCENES = (
    Step("millstream setup\r", "or skip [groq]", 1.6),
    Step("groq\r", "not shown", 0.5),
    Step("gsk_this0key0is0made0up0for0the0recording0of0a0terminal\r", "Model [", 0.8),
    Step("\r", "test call", 0.8),
    Step("n\r", "[Y/n]", 1.0),
    Step("\r", "is set up", 1.6),
    Step("clear\r", "$ ", 0.3),
    Step("millstream chat --model replay/tour\r", "Ctrl-D leaves", 0.9),
    Step("How does a token travel?\r", "tokens/s", 1.6),
    Step("Tell me a long story\r", "socket", 1.6),
    Step("\x03", "(stopped)", 1.0),
    Step("\x04", "$ ", 0.3),
)


def record() -> list[tuple[float, str]]:
    """Type the scenes into a shell of their own; what it wrote, and when, in seconds from its start."""
    written: list[tuple[float, str]] = []
    with tempfile.TemporaryDirectory() as home:
        config = Path(home) / "settings.toml"
        config.write_text(f"[replay]\nfolder = {json.dumps(str(IMAGES))}\n")
        environ = {
            "HOME": home,
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PS1": "$ ",
            "MILLSTREAM_CONFIG": str(config),
            "MILLSTREAM_PORT": "0",
        }
        shell = pexpect.spawn("sh", env=environ, dimensions=(ROWS, COLUMNS), encoding="utf-8", cwd=home, timeout=LIMIT)
        began = time.monotonic()
        _read_until(shell, "$ ", 0, began, written)
        for step in SCENES:
            first = len(written)
            for key in step.typed:
                shell.send(key)
                _read_for(shell, KEY, began, written)
            _read_until(shell, step.seen, first, began, written)
            _read_for(shell, step.pause, began, written)
        shell.close(force=True)
        # The home that it had is gone by now.
        return [(at, text.replace(home, "~")) for at, text in written]


def _read_for(shell: pexpect.spawn[str], seconds: float, began: float, written: list[tuple[float, str]]) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            text = shell.read_nonblocking(65536, left)
        except pexpect.TIMEOUT:
            return
        written.append((time.monotonic() - began, text))


def _read_until(
    shell: pexpect.spawn[str], wanted: str, first: int, began: float, written: list[tuple[float, str]]
) -> None:
    end = time.monotonic() + LIMIT
    while wanted not in _bare("".join(text for _, text in written[first:])):
        if time.monotonic() > end:
            raise TimeoutError(f"never seen: {wanted}")
        _read_for(shell, 0.05, began, written)


def _bare(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def write_cast(written: list[tuple[float, str]]) -> None:
    """The cast, with long pauses cut short."""
    lines = [json.dumps({"version": 2, "width": COLUMNS, "height": ROWS, "env": {"TERM": "xterm-256color"}})]
    clock = last = 0.0
    for at, text in written:
        clock += min(at - last, LONGEST_PAUSE)
        last = at
        lines.append(json.dumps([round(clock, 3), "o", text], ensure_ascii=False))
    CAST.write_text("\n".join(lines) + "\n")


# The picture: every text a row has for a while is one element, shown for that while.

PALETTE = {
    "default": "#d5d8df", "black": "#3b4048", "red": "#e06c75", "green": "#98c379", "brown": "#e5c07b",
    "blue": "#61afef", "magenta": "#c678dd", "cyan": "#56b6c2", "white": "#d5d8df", "brightblack": "#7f8694",
    "brightred": "#e06c75", "brightgreen": "#98c379", "brightbrown": "#e5c07b", "brightyellow": "#e5c07b",
    "brightblue": "#61afef", "brightmagenta": "#c678dd", "brightcyan": "#56b6c2", "brightwhite": "#ffffff",
}  # fmt: skip
WIDE, HIGH, LEFT, TOP = 8.4, 18, 14, 40

Run = tuple[int, str, str, bool, bool]
"""Column, text, colour, bold, italic."""
Row = tuple[Run, ...]


@dataclass(frozen=True)
class Shown:
    """A row's text from one time to another; ``end`` None: to the end."""

    y: int
    row: Row
    begin: float
    end: float | None


def _frames() -> Iterator[tuple[float, list[Row]]]:
    """The screen whenever it has changed, ``FRAME`` apart at least."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    events = [json.loads(line) for line in CAST.read_text().splitlines()[1:]]
    drawn = -FRAME
    for number, (at, _, text) in enumerate(events):
        stream.feed(re.sub(r"\x1b\[([0-9;]*)m", _faint_as_grey, text))
        is_last = number + 1 == len(events)
        if is_last or events[number + 1][0] - drawn >= FRAME:
            drawn = at
            yield at, [_row(screen, y) for y in range(ROWS)]


def _faint_as_grey(found: re.Match[str]) -> str:
    """pyte knows no faint letters."""
    numbers = found[1].split(";")
    if "38" in numbers or "48" in numbers:
        return found[0]
    return f"\x1b[{';'.join('90' if number == '2' else number for number in numbers)}m"


def _row(screen: pyte.Screen, y: int) -> Row:
    runs: list[Run] = []
    for x in range(COLUMNS):
        cell = screen.buffer[y][x]
        style = (PALETTE.get(cell.fg, f"#{cell.fg}"), cell.bold, cell.italics)
        if runs and runs[-1][2:] == style and runs[-1][0] + len(runs[-1][1]) == x:
            column, text, *_ = runs.pop()
            runs.append((column, text + cell.data, *style))
        else:
            runs.append((x, cell.data, *style))
    return tuple((x, text.rstrip(), colour, bold, italic) for x, text, colour, bold, italic in runs if text.strip())


def _shown(frames: list[tuple[float, list[Row]]]) -> list[Shown]:
    found: list[Shown] = []
    for y in range(ROWS):
        row: Row = ()
        since = 0.0
        for at, rows in frames:
            if rows[y] != row:
                if row:
                    found.append(Shown(y, row, since, at))
                row, since = rows[y], at
        if row:
            found.append(Shown(y, row, since, None))
    return found


def _words(text: str) -> str:
    """Browsers draw several plain spaces as one."""
    return html.escape(text.strip(), quote=False).replace("  ", " \u00a0")


def _element(shown: Shown) -> str:
    spans = ""
    for x, text, colour, bold, italic in shown.row:
        look = ' font-weight="bold"' * bold + ' font-style="italic"' * italic
        fill = f' fill="{colour}"' if colour != PALETTE["default"] else ""
        inner = len(text) - len(text.lstrip())
        column = LEFT + (x + inner) * WIDE
        spans += f'<tspan x="{column:g}"{fill}{look}>{_words(text)}</tspan>'
    begin = f"l.begin+{shown.begin:.2f}s"
    if shown.end is None:
        # Whoever does not play the picture sees how it ends.
        hidden, timed = "", f'<set attributeName="visibility" to="hidden" begin="l.begin" dur="{shown.begin:.2f}s"/>'
    else:
        length = shown.end - shown.begin
        hidden = ' visibility="hidden"'
        timed = f'<set attributeName="visibility" to="visible" begin="{begin}" dur="{length:.2f}s"/>'
    return f'<text y="{TOP + shown.y * HIGH}"{hidden}>{spans}{timed}</text>'


def draw() -> None:
    """The cast as a picture that moves."""
    frames = list(_frames())
    width, height = 2 * LEFT + COLUMNS * WIDE, TOP + ROWS * HIGH
    length = frames[-1][0] + HOLD
    dots = "".join(
        f'<circle cx="{18 + number * 18}" cy="14" r="5" fill="{colour}"/>'
        for number, colour in enumerate(("#e06c75", "#e5c07b", "#98c379"))
    )
    loop = f'<animate id="l" attributeName="x" values="0;0" begin="0s;l.end" dur="{length:.2f}s"/>'
    size = f'viewBox="0 0 {width:g} {height}" width="{width:g}" height="{height}"'
    PICTURE.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n'
        f'<rect width="100%" height="100%" rx="8" fill="#21252b">{loop}</rect>{dots}\n'
        f'<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" font-size="14" '
        f'fill="{PALETTE["default"]}" xml:space="preserve">\n'
        + "\n".join(_element(shown) for shown in _shown(frames))
        + "\n</g>\n</svg>\n"
    )


if __name__ == "__main__":
    if "--draw" not in sys.argv[1:]:
        write_cast(record())
    draw()
