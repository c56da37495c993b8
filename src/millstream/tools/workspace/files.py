"""LS, Read and Write."""

from __future__ import annotations

import os
import stat
from fnmatch import fnmatch
from typing import Annotated

from msgspec import Meta

from millstream.tools.base import ToolContext, ToolOutcome
from millstream.tools.workspace.confine import Workspace
from millstream.tools.workspace.family import Arguments, Stop, ToolFault, WorkspaceTool, in_thread
from millstream.tools.workspace.reading import read

_LARGEST_LISTING = 1000
_LARGEST_WRITE = 20 * 1024 * 1024


class LSArguments(Arguments):
    path: Annotated[str, Meta(description="The directory, absolute or relative to the workspace")] = "."
    ignore: Annotated[tuple[str, ...], Meta(description="Glob patterns of names to leave out")] = ()


class ReadArguments(Arguments):
    file_path: Annotated[str, Meta(description="The file, absolute or relative to the workspace")]
    offset: Annotated[int, Meta(ge=0, description="The line to start from, counted from 1")] = 1
    limit: Annotated[int, Meta(ge=1, description="How many lines to read")] = 2000


class WriteArguments(Arguments):
    file_path: Annotated[str, Meta(description="The file, absolute or relative to the workspace")]
    content: Annotated[str, Meta(description="The whole new content of the file")]


class Files:
    def __init__(self, workspace: Workspace, output_limit: int) -> None:
        self._workspace = workspace
        self._limit = output_limit

    def tools(self) -> list[WorkspaceTool]:
        return [
            WorkspaceTool("LS", "Lists what is in a directory. Directories end in '/'.", LSArguments, self._ls),
            WorkspaceTool(
                "Read",
                "Reads a file. Lines come with their numbers, counted from 1; 2000 lines unless told otherwise, long"
                " lines are cut. Images are shown as images, Jupyter notebooks as their cells with outputs.",
                ReadArguments,
                self._read,
            ),
            WorkspaceTool(
                "Write",
                "Writes a file, over what was in it if it exists. Makes missing directories. To change a part of a"
                " file, use Edit.",
                WriteArguments,
                self._write,
            ),
        ]

    async def _ls(self, arguments: LSArguments, context: ToolContext) -> ToolOutcome:
        return ToolOutcome(await in_thread(lambda stop: self._listing(arguments)))

    def _listing(self, arguments: LSArguments) -> str:
        with self._workspace.place(arguments.path) as place:
            fd = self._workspace.open_directory(place, arguments.path)
            parts = place.parts
        try:
            with os.scandir(fd) as entries:
                names = sorted(
                    entry.name + _suffix(entry)
                    for entry in entries
                    if not any(fnmatch(entry.name, pattern) for pattern in arguments.ignore)
                )
        finally:
            os.close(fd)
        more = len(names) - _LARGEST_LISTING
        lines = [f"{self._workspace.show(parts)}/", *(f"  {name}" for name in names[:_LARGEST_LISTING])]
        if not names:
            lines.append("  (nothing)")
        if more > 0:
            lines.append(f"[cut here: {more} more. Use Glob with a pattern.]")
        return "\n".join(lines).encode("utf-8", "replace").decode()

    async def _read(self, arguments: ReadArguments, context: ToolContext) -> ToolOutcome:
        def work(stop: Stop) -> ToolOutcome:
            fd, _, parts = self._workspace.open_file(arguments.file_path)
            with os.fdopen(fd, "rb") as file:
                return ToolOutcome(
                    read(file, parts[-1], max(1, arguments.offset), arguments.limit, self._limit, stop),
                )

        return await in_thread(work)

    async def _write(self, arguments: WriteArguments, context: ToolContext) -> ToolOutcome:
        data = arguments.content.encode("utf-8", "surrogatepass")
        if len(data) > _LARGEST_WRITE:
            raise ToolFault(f"the content has {len(data)} bytes; at most {_LARGEST_WRITE} are written at once")
        existed = await in_thread(lambda stop: self._workspace.write_file(arguments.file_path, data))
        lines = arguments.content.count("\n") + (not arguments.content.endswith("\n") and bool(arguments.content))
        return ToolOutcome(f"{'Overwrote' if existed else 'Created'} {arguments.file_path} (lines: {lines}).")


def _suffix(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "@"
    mode = entry.stat(follow_symlinks=False).st_mode
    return "/" if stat.S_ISDIR(mode) else ""
