"""Where an answer is shown: painted on a terminal, or as plain text that only ever grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TextIO

from rich.console import Console
from rich.text import Text

from millstream.cli.chat.blocks import Block, NoteBlock, ReasoningBlock, TextBlock, ToolBlock
from millstream.cli.chat.clean import Cleaner, clean_line
from millstream.cli.chat.lines import LineMaker, plain_letters
from millstream.cli.chat.painter import EMPTY, Line, Painter

FRAME = 1 / 30
"""Seconds between two paintings of a terminal, at least."""


class View(Protocol):
    """One answer's. Blocks are begun one after the other; ``end`` is called once, also where it broke off."""

    def waiting(self, seconds: float) -> None:
        """Nothing has come yet."""
        ...

    def text(self, text: str) -> None: ...

    def reasoning(self, text: str) -> None: ...

    def tool(self, call_id: str, tool: str) -> None: ...

    def tool_told(self, call_id: str, told: Callable[[ToolBlock], None]) -> None:
        """Whatever changes about a tool's line."""
        ...

    def note(self, text: str, style: str = "dim") -> None: ...

    def fail(self, text: str) -> None:
        """Why there is no answer, or no more of it."""
        ...

    def pause(self) -> None:
        """A text or thinking block is over."""
        ...

    def refresh(self) -> None:
        """Everything that came at once has been said."""
        ...

    def end(self, facts: Sequence[str]) -> None: ...


class ScreenView:
    """Paints as often as eyes can follow."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._maker = LineMaker(console)
        self._painter = Painter(self._write, lambda: (console.width, console.height))
        self._blocks: list[Block] = []
        self._tools: dict[str, ToolBlock] = {}
        self._before: Block | None = None
        self._gap_given = False
        self._status: str | None = None
        self._painted = 0.0

    def waiting(self, seconds: float) -> None:
        self._status = f"waiting … {seconds:.1f} s" if seconds >= 0.3 else None

    def text(self, text: str) -> None:
        found = self._blocks[-1] if self._blocks else None
        if not isinstance(found, TextBlock) or found.closed:
            found = TextBlock()
            self._begin(found)
        found.add(text)

    def reasoning(self, text: str) -> None:
        found = self._blocks[-1] if self._blocks else None
        if not isinstance(found, ReasoningBlock) or found.closed:
            found = ReasoningBlock()
            self._begin(found)
        found.add(text)

    def tool(self, call_id: str, tool: str) -> None:
        block = self._tools[call_id] = ToolBlock(tool)
        self._begin(block)

    def tool_told(self, call_id: str, told: Callable[[ToolBlock], None]) -> None:
        if call_id in self._tools:
            told(self._tools[call_id])

    def note(self, text: str, style: str = "dim") -> None:
        self._begin(NoteBlock(Text(clean_line(text), style=style), dense=True))

    def fail(self, text: str) -> None:
        self.note(text, "red")

    def pause(self) -> None:
        if self._blocks and isinstance(self._blocks[-1], (TextBlock, ReasoningBlock)):
            self._blocks[-1].closed = True

    def refresh(self) -> None:
        now = time.monotonic()
        if now - self._painted >= FRAME:
            self._paint()
            self._painted = time.monotonic()

    def end(self, facts: Sequence[str]) -> None:
        self._status = None
        for block in self._blocks:
            block.closed = True
        if facts:
            self._begin(NoteBlock(Text(" · ".join(facts), style="dim")))
        self._paint()
        self._painter.paint([EMPTY], [])

    def _begin(self, block: Block) -> None:
        self._status = None
        self.pause()
        self._blocks.append(block)

    def _paint(self) -> None:
        settled: list[Line] = []
        live: list[Line] = []
        while self._blocks:
            block = self._blocks[0]
            closed = block.closed
            done, open_ = block.lines(self._maker)
            if not self._gap_given and (done or open_):
                if self._before is not None and not (self._before.dense and block.dense):
                    # An empty line above lines that may vanish would stay behind: it goes with the first that stay.
                    (settled if done else live).append(EMPTY)
                self._gap_given = bool(done)
            settled += done
            live += open_
            if not closed:
                break
            if self._gap_given:
                self._before = block
            self._gap_given = False
            self._blocks.pop(0)
        live += self._coming()
        if self._status is not None:
            live += self._maker.lines(Text(self._status, style="dim"))
        self._painter.paint(settled, live)

    def _coming(self) -> list[Line]:
        """Blocks behind one that is still open. None of their lines is settled before it is."""
        found: list[Line] = []
        before = self._blocks[0] if self._blocks else None
        for block in self._blocks[1:]:
            if isinstance(block, ToolBlock | NoteBlock):
                if before is not None and not (before.dense and block.dense):
                    found.append(EMPTY)
                done, open_ = block.lines(self._maker)
                found += done + open_
            before = block
        return found

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()


class PlainView:
    """The answer's text goes to ``out`` as it comes; failures to ``errors``, and
    everything else to ``notes``, if there is somebody to read it."""

    def __init__(self, out: TextIO, notes: TextIO | None, errors: TextIO) -> None:
        self._out = out
        self._errors = errors
        self._notes = notes
        self._cleaner = Cleaner()
        self._kind = ""
        self._line_open = False
        self._tools: dict[str, ToolBlock] = {}
        self._gap = ""

    def waiting(self, seconds: float) -> None:
        pass

    def text(self, text: str) -> None:
        self._say(self._out, "text", text)

    def reasoning(self, text: str) -> None:
        if self._notes is not None:
            self._say(self._notes, "reasoning", text)

    def tool(self, call_id: str, tool: str) -> None:
        self._tools[call_id] = ToolBlock(tool)

    def tool_told(self, call_id: str, told: Callable[[ToolBlock], None]) -> None:
        block = self._tools.get(call_id)
        if block is not None:
            told(block)
            if block.closed:
                self.note(block.plain)

    def note(self, text: str, style: str = "dim") -> None:
        self.pause()
        if self._notes is not None:
            self._write(self._notes, clean_line(text) + "\n")

    def fail(self, text: str) -> None:
        self.pause()
        self._out.flush()
        self._write(self._errors, f"millstream: {clean_line(text)}\n")

    def pause(self) -> None:
        if self._line_open:
            self._write(self._notes if self._kind == "reasoning" and self._notes else self._out, "\n")
        if self._kind:
            self._gap = "\n"
        self._kind, self._line_open = "", False
        self._cleaner = Cleaner()

    def refresh(self) -> None:
        self._out.flush()
        if self._notes is not None:
            self._notes.flush()

    def end(self, facts: Sequence[str]) -> None:
        self.pause()
        if facts:
            self.note(f"[{', '.join(facts)}]")
        self.refresh()

    def _say(self, target: TextIO, kind: str, text: str) -> None:
        if self._kind != kind:
            self.pause()
            self._kind = kind
            text = text.lstrip("\n")
            if self._gap and target is self._out:
                self._write(target, self._gap)
                self._gap = ""
            if kind == "reasoning":
                self._write(target, "[thinking] ")
        cleaned = self._cleaner.feed(text)
        if cleaned:
            self._write(target, cleaned)
            self._line_open = not cleaned.endswith("\n")

    def _write(self, target: TextIO, text: str) -> None:
        encoding = target.encoding or "utf-8"
        target.write(text if encoding.lower().startswith("utf") else plain_letters(text, encoding))
