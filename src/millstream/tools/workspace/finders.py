"""The two programs that look for text, ripgrep and our own in Python: the same questions, the same answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from millstream.tools.workspace import sandbox, search_worker
from millstream.tools.workspace.family import ToolFault
from millstream.tools.workspace.process import Running

LARGEST_FILE = 20 * 1024 * 1024
_MOST_LINE = 4000
"""Characters kept of a line."""


class PatternRefused(Exception):
    """The pattern is not one that this program understands."""


@dataclass(frozen=True, slots=True)
class Asked:
    """``globs``: of each group, one pattern must fit. ``pattern`` None asks for files only."""

    pattern: str | None
    globs: tuple[tuple[str, ...], ...]
    mode: Literal["content", "files_with_matches", "count", "files"]
    before: int = 0
    after: int = 0
    ignore_case: bool = False
    multiline: bool = False
    skip: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    file: str
    number: int
    text: str
    matched: bool


@dataclass(slots=True)
class Found:
    """``lines`` in order, None between groups that do not touch; ``files`` in any order, with their time or count."""

    lines: list[Line | None] = field(default_factory=list)
    files: list[tuple[str, int]] = field(default_factory=list)
    complete: bool = True


class Finder(Protocol):
    async def find(self, asked: Asked, base: Path, fd: int, name: str | None, enough: int) -> Found:
        """Looks below ``base`` (open as ``fd``), or at ``name`` in it, until there are ``enough`` characters of lines.

        Raises ``PatternRefused``.
        """
        ...


class RipgrepFinder:
    """``program`` is ripgrep's path; ``contained`` the root that it sees nothing but, by a sandbox."""

    def __init__(self, program: str, contained: Path | None) -> None:
        self._program = program
        self._contained = contained

    async def find(self, asked: Asked, base: Path, fd: int, name: str | None, enough: int) -> Found:
        prefix = sandbox.search_sandbox(self._contained, self._program, base) if self._contained is not None else []
        words = [*prefix, self._program, *_ripgrep_flags(asked, single=name is not None)]
        words += ["-e", asked.pattern or "", "--", f"./{name}" if name is not None else "."]
        reader = _JsonLines(enough) if asked.mode == "content" else _Counts(asked.mode == "count")
        status = await _run(words, str(base), reader.take)
        if status == 2 and reader.errors and not reader.found.files and not reader.found.lines:
            raise PatternRefused(reader.errors)
        return reader.found


def _ripgrep_flags(asked: Asked, *, single: bool) -> list[str]:
    flags = ["--no-config", "--no-ignore", "--hidden", "--no-messages", "--encoding=none", "--crlf"]
    flags += [f"--max-filesize={LARGEST_FILE}", "--case-sensitive" if not asked.ignore_case else "--ignore-case"]
    if asked.multiline:
        flags += ["--multiline", "--multiline-dotall"]
    if asked.mode == "content":
        flags += ["--json", "--sort=path", f"--before-context={asked.before}", f"--after-context={asked.after}"]
    elif asked.mode == "count":
        flags += ["--count-matches" if asked.multiline else "--count", "--null", "--with-filename"]
    else:
        flags += ["--files-with-matches", "--null"]
    if not single:
        for group in asked.globs:
            flags += _ripgrep_globs(group)
        flags += [f"--glob=!**/{name}/" for name in asked.skip]
    return flags


def _ripgrep_globs(group: Sequence[str]) -> list[str]:
    if len(group) == 1:
        return [f"--glob={group[0]}"]
    return [*(f"--type-add=wanted:{pattern}" for pattern in group), "--type=wanted"]


class PythonFinder:
    async def find(self, asked: Asked, base: Path, fd: int, name: str | None, enough: int) -> Found:
        question = {
            "fd": fd,
            "name": name,
            "pattern": asked.pattern,
            "globs": asked.globs if name is None else (),
            "skip": asked.skip,
            "mode": asked.mode,
            "before": asked.before,
            "after": asked.after,
            "ignore_case": asked.ignore_case,
            "multiline": asked.multiline,
            "largest": LARGEST_FILE,
        }
        words = [sys.executable, "-I", "-S", search_worker.__file__, msgspec.json.encode(question).decode()]
        reader = _JsonLines(enough)
        await _run(words, "/", reader.take, (fd,))
        if reader.errors:
            raise ToolFault(f"the pattern cannot be used: {reader.errors}")
        return reader.found


class _Enough(Exception):
    pass


async def _run(words: Sequence[str], cwd: str, take: Callable[[bytes], None], fds: Sequence[int] = ()) -> int:
    running = await Running.start(words, cwd=cwd, env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"}, pass_fds=fds)
    try:
        return await running.read_to_end(take)
    except _Enough:
        return 0
    finally:
        await running.end()


class _Text(msgspec.Struct):
    """ripgrep gives what is not UTF-8 in base64."""

    text: str | None = None
    encoded: bytes = msgspec.field(name="bytes", default=b"")

    def plain(self) -> str:
        return self.text if self.text is not None else self.encoded.decode(errors="replace")

    def name(self) -> str:
        return (self.text if self.text is not None else os.fsdecode(self.encoded)).removeprefix("./")


class _Data(msgspec.Struct):
    path: _Text = msgspec.field(default_factory=_Text)
    lines: _Text = msgspec.field(default_factory=_Text)
    line_number: int | None = None


class _Message(msgspec.Struct):
    """https://docs.rs/grep-printer/latest/grep_printer/struct.JSON.html, and those of ``search_worker``."""

    type: str = ""
    data: _Data | None = None
    file: _Text | None = None
    time: int = 0
    count: int = 0
    error: str | None = None


class _JsonLines:
    def __init__(self, enough: int) -> None:
        self.found = Found()
        self.errors = ""
        self._enough = enough
        self._used = 0
        self._rest = b""
        self._decoder = msgspec.json.Decoder(_Message)

    def take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            try:
                message = self._decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.errors = f"{self.errors}\n{line.decode(errors='replace')}".strip()[:1000]
                continue
            if message.error is not None:
                self.errors = message.error
            elif message.file is not None:
                self.found.files.append((message.file.name(), message.count or message.time))
            elif message.type in ("match", "context") and message.data is not None:
                self._add(message.data, message.type == "match")

    def _add(self, data: _Data, matched: bool) -> None:
        name, text = data.path.name(), data.lines.plain()
        for number, line in enumerate(text.removesuffix("\n").split("\n"), data.line_number or 1):
            last = self.found.lines[-1] if self.found.lines else None
            if last is not None and (last.file != name or last.number < number - 1):
                self.found.lines.append(None)
            self.found.lines.append(Line(name, number, line.removesuffix("\r")[:_MOST_LINE], matched))
            self._used += len(name) + min(len(line), _MOST_LINE)
            if self._used > self._enough:
                self.found.complete = False
                raise _Enough


class _Counts:
    """What ``--null`` gives: names each ended by NUL, with ``counted`` followed by a number and a line's end."""

    def __init__(self, counted: bool) -> None:
        self.found = Found()
        self.errors = ""
        self._counted = counted
        self._rest = b""

    def take(self, piece: bytes) -> None:
        self._rest += piece
        if self._counted:
            *done, self._rest = self._rest.split(b"\n")
            for line in done:
                self._add(*line.partition(b"\0")[::2])
        else:
            *done, self._rest = self._rest.split(b"\0")
            for name in done:
                self._add(name, b"1")
        self.errors = self.errors or self._rest.decode(errors="replace")[:1000]

    def _add(self, name: bytes, count: bytes) -> None:
        if count:
            self.found.files.append((os.fsdecode(name).removeprefix("./"), int(count)))
        else:
            self.errors = self.errors or name.decode(errors="replace")
