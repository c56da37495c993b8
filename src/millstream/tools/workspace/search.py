"""Glob and Grep: what is asked and what is told. Looking is done by programs, ripgrep where there is one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, field

from millstream.tools.base import ToolContext, ToolOutcome
from millstream.tools.workspace import sandbox
from millstream.tools.workspace.confine import PathRefused, Workspace
from millstream.tools.workspace.family import Arguments, Stop, ToolFault, WorkspaceTool, bounded, in_thread
from millstream.tools.workspace.file_types import TYPES
from millstream.tools.workspace.finders import Asked, Finder, Found, Line, PatternRefused, PythonFinder, RipgrepFinder
from millstream.tools.workspace.options import WorkspaceOptions

_MOST_FILES = 200
_BINARY_SAMPLE = 64 * 1024
_LONGEST_LINE = 500
_HINT = "Use a narrower pattern, path or glob, or head_limit."


class GlobArguments(Arguments):
    pattern: Annotated[str, Meta(description='Such as "**/*.js", "src/**/*.{ts,tsx}"; without a slash: at any depth')]
    path: Annotated[str, Meta(description="The directory to look in; the workspace unless given")] = "."


_Count = Annotated[int, Meta(ge=0)]
_CONTEXT = Annotated[int, Meta(ge=0, le=1000)]


class GrepArguments(Arguments):
    pattern: Annotated[str, Meta(description="The regular expression, in ripgrep's syntax")]
    path: Annotated[str, Meta(description="The file or directory to look in; the workspace unless given")] = "."
    glob: Annotated[str | None, Meta(description='Only files like this: "*.js", "src/**/*.{ts,tsx}"')] = None
    type: Annotated[str | None, Meta(description="Only files of this type: py, js, ts, rust, go, java, md, …")] = None
    output_mode: Annotated[
        Literal["content", "files_with_matches", "count"],
        Meta(description="content: matching lines; files_with_matches (unless given): paths; count: how many per file"),
    ] = "files_with_matches"
    before: Annotated[_CONTEXT, Meta(description="Lines to show before each match (content)")] = field(
        name="-B", default=0
    )
    after: Annotated[_CONTEXT, Meta(description="Lines to show after each match (content)")] = field(
        name="-A", default=0
    )
    around: Annotated[_CONTEXT, Meta(description="Lines to show before and after each match (content)")] = field(
        name="-C", default=0
    )
    numbers: Annotated[bool, Meta(description="Show line numbers (content)")] = field(name="-n", default=True)
    ignore_case: Annotated[bool, Meta(description="Ignore case")] = field(name="-i", default=False)
    head_limit: Annotated[_Count | None, Meta(description="Only the first so many lines or paths")] = None
    multiline: Annotated[bool, Meta(description="A match may span lines, and . matches their ends")] = False


class Search:
    """``ripgrep`` is the path of that program, None for none; unless given, it is looked for when first needed."""

    def __init__(
        self, workspace: Workspace, options: WorkspaceOptions, ripgrep: str | Literal["installed"] | None = "installed"
    ) -> None:
        self._workspace = workspace
        self._options = options
        self._ripgrep = ripgrep

    def tools(self) -> list[WorkspaceTool]:
        skipped = ", ".join(self._options.skip)
        return [
            WorkspaceTool(
                "Glob",
                f"Finds files by a pattern of their path, the newest first. Not looked into: {skipped}.",
                GlobArguments,
                self._glob,
            ),
            WorkspaceTool(
                "Grep",
                "Finds text in files by a regular expression. Binary files and those above 20 MiB are left out. Not"
                f" looked into unless `path` is there: {skipped}.",
                GrepArguments,
                self._grep,
            ),
        ]

    async def _glob(self, arguments: GlobArguments, context: ToolContext) -> ToolOutcome:
        path, pattern = arguments.path, arguments.pattern
        if pattern.startswith("/"):
            path, pattern = self._split_absolute(pattern)
        base = await in_thread(lambda stop: self._workspace.real_directory(path))
        asked = Asked(pattern=None, globs=((pattern,),), mode="files", skip=self._options.skip)
        found = await self._look(PythonFinder(), asked, base, None)
        files = sorted(found.files, key=lambda one: (-one[1], one[0]))
        if not files:
            return ToolOutcome(f"No files match {arguments.pattern}.")
        lines = [self._shown(base, name) for name, _ in files[:_MOST_FILES]]
        if len(files) > _MOST_FILES:
            lines.append(f"[cut here: {len(files) - _MOST_FILES} more. Use a narrower pattern.]")
        return ToolOutcome(bounded("\n".join(lines), self._options.output_limit, "Use a narrower pattern."))

    def _split_absolute(self, pattern: str) -> tuple[str, str]:
        """The directory before the first component with a wildcard, and the rest."""
        parts = pattern.split("/")
        plain = next((i for i, part in enumerate(parts) if set(part) & set("*?[{")), len(parts) - 1)
        return "/".join(parts[:plain]) or "/", "/" + "/".join(parts[plain:])

    async def _grep(self, arguments: GrepArguments, context: ToolContext) -> ToolOutcome:
        base, name = await in_thread(lambda stop: self._where(arguments.path))
        globs: list[tuple[str, ...]] = [(arguments.glob,)] if arguments.glob else []
        if arguments.type is not None:
            if arguments.type not in TYPES:
                raise ToolFault(f"unknown type {arguments.type}; use glob, or one of {', '.join(sorted(TYPES))}")
            globs.append(TYPES[arguments.type])
        asked = Asked(
            pattern=arguments.pattern,
            globs=tuple(globs),
            mode=arguments.output_mode,
            before=max(arguments.before, arguments.around),
            after=max(arguments.after, arguments.around),
            ignore_case=arguments.ignore_case,
            multiline=arguments.multiline,
            skip=self._options.skip,
        )
        found = await self._with_any(asked, base, name)
        text = await in_thread(lambda stop: self._told(arguments, found, base, stop))
        return ToolOutcome(bounded(text, self._options.output_limit, _HINT))

    async def _with_any(self, asked: Asked, base: tuple[str, ...], name: str | None) -> Found:
        ripgrep = await in_thread(lambda stop: self._program())
        if ripgrep is not None:
            contained = await sandbox.unusable() is None
            try:
                finder = RipgrepFinder(ripgrep, self._workspace.root if contained else None)
                return await self._look(finder, asked, base, name)
            except PatternRefused:
                pass  # Python's expressions know some things that ripgrep's do not, such as looking around
        return await self._look(PythonFinder(), asked, base, name)

    def _program(self) -> str | None:
        found = shutil.which("rg") if self._ripgrep == "installed" else self._ripgrep
        return os.path.realpath(found) if found is not None else None

    async def _look(self, finder: Finder, asked: Asked, base: tuple[str, ...], name: str | None) -> Found:
        with self._workspace.place(self._workspace.show(base)) as place:
            fd = self._workspace.open_directory(place, ".")
        try:
            return await finder.find(asked, Path(self._workspace.show(base)), fd, name, self._options.output_limit * 2)
        finally:
            os.close(fd)

    def _where(self, path: str) -> tuple[tuple[str, ...], str | None]:
        """The directory to look in, and the name in it if one file is meant."""
        try:
            return self._workspace.real_directory(path), None
        except PathRefused:
            fd, _, parts = self._workspace.open_file(path)
            with os.fdopen(fd, "rb") as file:
                if b"\0" in file.read(_BINARY_SAMPLE):
                    raise ToolFault(f"{path} is a binary file") from None
            return parts[:-1], parts[-1]

    def _told(self, arguments: GrepArguments, found: Found, base: tuple[str, ...], stop: Stop) -> str:
        most = arguments.head_limit or None
        if arguments.output_mode == "content":
            lines = [self._line(line, base, arguments.numbers) for line in found.lines]
        elif arguments.output_mode == "count":
            lines = [f"{self._shown(base, name)}:{count}" for name, count in sorted(found.files, key=_by_path)]
        else:
            names = [name for name, _ in found.files]
            names.sort(key=lambda name: (-self._time(base, name), _by_path((name, 0))))
            lines = [self._shown(base, name) for name in names]
        if not lines:
            return "No matches."
        shown = lines[:most]
        if len(lines) > len(shown):
            shown.append(
                f"[cut here by head_limit: {len(lines) - len(shown)} more{'' if found.complete else ' or more'}]"
            )
        elif not found.complete:
            shown.append(f"[cut here: there is more. {_HINT}]")
        return "\n".join(shown)

    def _time(self, base: tuple[str, ...], name: str) -> int:
        try:
            return self._workspace.root.joinpath(*base, name).lstat().st_mtime_ns
        except OSError:
            return 0

    def _line(self, line: Line | None, base: tuple[str, ...], numbers: bool) -> str:
        if line is None:
            return "--"
        text = line.text if len(line.text) <= _LONGEST_LINE else f"{line.text[:_LONGEST_LINE]} [line cut]"
        mark = ":" if line.matched else "-"
        number = f"{line.number}{mark}" if numbers else ""
        return f"{self._shown(base, line.file)}{mark}{number}{text}"

    def _shown(self, base: tuple[str, ...], name: str) -> str:
        return self._workspace.show((*base, *name.split("/"))).encode("utf-8", "replace").decode()


def _by_path(found: tuple[str, int]) -> list[bytes]:
    return [os.fsencode(part) for part in found[0].split("/")]
