"""The blocks of an answer as they grow: text, thinking, tools. Each says which of its lines are final."""

from __future__ import annotations

from typing import Protocol

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from millstream.cli.chat import markdown
from millstream.cli.chat.clean import Cleaner, clean_line
from millstream.cli.chat.lines import LineMaker
from millstream.cli.chat.painter import EMPTY, Line
from millstream.core.run_events import ToolRunProgress

_SHOWN_OF_ARGUMENTS = 200
_SHOWN_OF_RESULT = 200


class Block(Protocol):
    """``closed``: nothing is added any more. ``dense``: no empty line between two blocks of this class."""

    closed: bool
    dense: bool

    def lines(self, maker: LineMaker) -> tuple[list[Line], list[Line]]:
        """The lines that became final since the last call, and those that still may change; none of the latter once it
        is closed."""
        ...


class TextBlock:
    """What the model says, in Markdown."""

    dense = False

    def __init__(self) -> None:
        self.closed = False
        self._cleaner = Cleaner()
        self._rest = ""
        self._joined = True

    def add(self, text: str) -> None:
        self._rest += self._cleaner.feed(text)

    def lines(self, maker: LineMaker) -> tuple[list[Line], list[Line]]:
        pieces, rest = markdown.divided(self._rest)
        if self.closed:
            pieces, rest = [*pieces, rest], markdown.Piece("")
        settled = [line for piece in pieces for line in self._piece(piece, maker)]
        self._rest = rest.text
        if pieces:
            # What follows begins a block of its own, unless it was cut off from the one before.
            self._joined = rest.joined
        joined, live = self._joined, self._drawn(rest, maker)
        if live and not joined:
            live.insert(0, EMPTY)
        return settled, live

    def _piece(self, piece: markdown.Piece, maker: LineMaker) -> list[Line]:
        drawn = self._drawn(piece, maker)
        if drawn and not (self._joined or piece.joined):
            drawn.insert(0, EMPTY)
        if drawn:
            self._joined = False
        return drawn

    def _drawn(self, piece: markdown.Piece, maker: LineMaker) -> list[Line]:
        if not piece.text.strip():
            return []
        drawn = maker.lines(markdown.rendered(piece.text))
        while drawn and drawn[-1].width == 0:
            drawn.pop()
        while drawn and drawn[0].width == 0:
            drawn.pop(0)
        return drawn


class ReasoningBlock:
    """What the model thinks, dimmed."""

    dense = False

    def __init__(self) -> None:
        self.closed = False
        self._cleaner = Cleaner()
        self._rest = ""
        self._blank = True

    def add(self, text: str) -> None:
        self._rest += self._cleaner.feed(text)

    def lines(self, maker: LineMaker) -> tuple[list[Line], list[Line]]:
        whole, end, rest = self._rest.rpartition("\n")
        if self.closed:
            whole, rest = self._rest.rstrip(), ""
            end = "\n" if whole else ""
        self._rest = rest
        settled: list[Line] = []
        for line in whole.split("\n") if end else []:
            if line.strip() or not self._blank:
                settled += maker.lines(_dim(line)) if line.strip() else [EMPTY]
            self._blank = not line.strip()
        return settled, maker.lines(_dim(rest)) if rest.strip() else []


class ToolBlock:
    """A tool that the gateway runs, on one line: its name, how far it is, what came of it."""

    dense = True

    def __init__(self, tool: str) -> None:
        self.closed = False
        self._tool = clean_line(tool)
        self._told = ""
        self._mark = ("● ", "yellow")

    def start(self, arguments: str) -> None:
        self._told = f" {shortened(arguments, _SHOWN_OF_ARGUMENTS)}"

    def progress(self, event: ToolRunProgress) -> None:
        counted = f" {event.current:g}" if event.current is not None else ""
        if counted and event.total is not None:
            counted += f"/{event.total:g}"
        self._told = counted + (f" {shortened(event.message, _SHOWN_OF_RESULT)}" if event.message else "")

    def end(self, result: str, *, failed: bool, seconds: float) -> None:
        self._mark = ("✗ ", "red") if failed else ("✓ ", "green")
        self._told = f" {took(seconds)} {shortened(result, _SHOWN_OF_RESULT)}".rstrip()
        self.closed = True

    @property
    def plain(self) -> str:
        return f"{self._mark[0]}{self._tool}{self._told}"

    def lines(self, maker: LineMaker) -> tuple[list[Line], list[Line]]:
        text = Text.assemble(self._mark, (self._tool, "bold"), (self._told, "dim"), no_wrap=True, overflow="ellipsis")
        drawn = maker.lines(text)
        return (drawn, []) if self.closed else ([], drawn)


class NoteBlock:
    """Something to be known beside the answer, whole from the start."""

    closed = True

    def __init__(self, note: RenderableType, *, dense: bool = False) -> None:
        self.dense = dense
        self._note = note

    def lines(self, maker: LineMaker) -> tuple[list[Line], list[Line]]:
        return maker.lines(self._note), []


def shortened(text: str, most: int) -> str:
    """``text`` on one line of at most ``most`` characters."""
    line = clean_line(text[: most * 4])
    return line if len(line) <= most else line[: most - 1] + "…"


def took(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _dim(text: str) -> RenderableType:
    return Padding(Text(text, style="dim italic"), (0, 0, 0, 2))
