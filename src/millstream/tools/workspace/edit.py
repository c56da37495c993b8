"""Edit and MultiEdit: exact replacements, all of a call's or none."""

from __future__ import annotations

import codecs
import threading
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from millstream.tools.base import ToolContext, ToolOutcome
from millstream.tools.workspace.confine import Workspace
from millstream.tools.workspace.family import Arguments, Stop, ToolFault, WorkspaceTool, in_thread
from millstream.tools.workspace.reading import encoding_of

_LARGEST = 20 * 1024 * 1024
_AROUND = 3
_WIDE = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_FILE = Annotated[str, Meta(description="The file, absolute or relative to the workspace")]
_OLD = Annotated[str, Meta(description="The text to replace, exactly as it stands in the file, without line numbers")]
_NEW = Annotated[str, Meta(description="The text to put in its place")]
_ALL = Annotated[bool, Meta(description="Replace every occurrence; otherwise there must be exactly one")]


class EditArguments(Arguments):
    file_path: _FILE
    old_string: _OLD
    new_string: _NEW
    replace_all: _ALL = False


class Replacement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    old_string: _OLD
    new_string: _NEW
    replace_all: _ALL = False


class MultiEditArguments(Arguments):
    file_path: _FILE
    edits: Annotated[
        list[Replacement],
        Meta(min_length=1, description="Replacements, done one after the other, each on what the one before left"),
    ]


class Edits:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        # Calls of one turn run side by side; two on one file must not lose each other's work.
        self._one_at_a_time = threading.Lock()

    def tools(self) -> list[WorkspaceTool]:
        return [
            WorkspaceTool(
                "Edit",
                "Replaces one text in a file by another. The old text must occur exactly once (give enough lines around"
                " it) unless replace_all is set. An empty old text makes a new file.",
                EditArguments,
                self._edit,
            ),
            WorkspaceTool(
                "MultiEdit",
                "Makes several replacements in one file, in order. If one cannot be made, none is.",
                MultiEditArguments,
                self._multi_edit,
            ),
        ]

    async def _edit(self, arguments: EditArguments, context: ToolContext) -> ToolOutcome:
        one = Replacement(
            old_string=arguments.old_string, new_string=arguments.new_string, replace_all=arguments.replace_all
        )
        return await in_thread(lambda stop: self._apply(arguments.file_path, [one], stop))

    async def _multi_edit(self, arguments: MultiEditArguments, context: ToolContext) -> ToolOutcome:
        return await in_thread(lambda stop: self._apply(arguments.file_path, arguments.edits, stop))

    def _apply(self, path: str, edits: Sequence[Replacement], stop: Stop) -> ToolOutcome:
        with self._one_at_a_time:
            if stop():
                raise ToolFault("stopped")
            try:
                data, seen = self._workspace.read_file(path, _LARGEST)
            except FileNotFoundError:
                return self._create(path, edits)
            encoding = encoding_of(data, whole=True)
            if encoding is None:
                raise ToolFault(f"{path} is a binary file")
            text = _decoded(data, encoding, path)
            at = 0
            for number, edit in enumerate(edits, 1):
                text, at = _replaced(text, edit, f"edit {number}: " if len(edits) > 1 else "", path)
            self._workspace.write_file(path, _encoded(text, encoding, data), seen=seen)
        return ToolOutcome(f"Changed {path}. It now reads there:\n{_around(text, at)}")

    def _create(self, path: str, edits: Sequence[Replacement]) -> ToolOutcome:
        if edits[0].old_string:
            raise ToolFault(f"{path} does not exist")
        text = edits[0].new_string
        for number, edit in enumerate(edits[1:], 2):
            text, _ = _replaced(text, edit, f"edit {number}: ", path)
        self._workspace.write_file(path, text.encode())
        return ToolOutcome(f"Created {path}.")


def _replaced(text: str, edit: Replacement, which: str, path: str) -> tuple[str, int]:
    old, new = edit.old_string, edit.new_string
    if old == new:
        raise ToolFault(f"{which}old_string and new_string are the same; nothing was changed")
    if not old:
        if text:
            raise ToolFault(f"{which}old_string is empty, but {path} is not; nothing was changed")
        return new, 0
    count = text.count(old)
    if not count and "\r\n" in text and "\r" not in old:
        old, new = old.replace("\n", "\r\n"), new.replace("\n", "\r\n")
        count = text.count(old)
    if not count:
        raise ToolFault(f"{which}old_string was not found in {path}; nothing was changed.{_hint(text, old)}")
    if count > 1 and not edit.replace_all:
        raise ToolFault(
            f"{which}old_string occurs {count} times in {path}; nothing was changed. Give more of the lines around"
            " the one that is meant, or set replace_all."
        )
    at = text.index(old)
    return text.replace(old, new), text.count("\n", 0, at)


def _hint(text: str, old: str) -> str:
    squeezed = [line.strip() for line in old.strip().splitlines()]
    lines = [line.strip() for line in text.splitlines()]
    for start in range(len(lines) - len(squeezed) + 1):
        if squeezed and lines[start : start + len(squeezed)] == squeezed:
            return f" It is there with other white space, from line {start + 1}."
    return " Read the file again: it may have changed, or line numbers were copied along."


def _around(text: str, line: int) -> str:
    lines = text.split("\n")
    start = max(0, line - _AROUND)
    shown = lines[start : line + _AROUND + 4]
    return "\n".join(f"{number:6}→{content[:500].rstrip(chr(13))}" for number, content in enumerate(shown, start + 1))


def _decoded(data: bytes, encoding: str, path: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ToolFault(f"{path} begins as {encoding} but is not: {error.reason} at byte {error.start}") from error


def _encoded(text: str, encoding: str, before: bytes) -> bytes:
    """``text`` with the byte order and mark that the file had ``before``."""
    for mark, name in _WIDE:
        if encoding == name[:6] and before.startswith(mark):
            return mark + text.encode(name)
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        wrong = text[error.start : error.end]
        raise ToolFault(f"the file is encoded as {encoding}, which has no {wrong!r}; nothing was changed") from error
