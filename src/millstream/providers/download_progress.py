"""How far a download is: a bar where it is seen by a person, a few lines where it goes to a file or a pipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

Progress = Callable[[int], None]
"""Called with the bytes that are here so far."""

_LINES = 5


@contextmanager
def progress_on(stream: TextIO | None, what: str, total: int) -> Iterator[Progress]:
    """Shows the download of ``total`` bytes on ``stream``; nowhere if that is None."""
    if stream is None:
        yield lambda _: None
    elif stream.isatty():
        with _bar(stream, what, total) as bar:
            yield bar
    else:
        yield _Lines(stream, what, total)


@contextmanager
def _bar(stream: TextIO, what: str, total: int) -> Iterator[Progress]:
    from rich import progress as parts
    from rich.console import Console

    columns = (
        parts.TextColumn("{task.description}"),
        parts.BarColumn(),
        parts.DownloadColumn(),
        parts.TransferSpeedColumn(),
        parts.TimeRemainingColumn(),
    )
    with parts.Progress(*columns, console=Console(file=stream)) as shown:
        task = shown.add_task(what, total=total)
        yield lambda done: shown.update(task, completed=done)


class _Lines:
    def __init__(self, stream: TextIO, what: str, total: int) -> None:
        self._stream = stream
        self._what = what
        self._total = total
        self._told = 0
        self._say(f"downloading {what} ({total // 10**6} MB)")

    def __call__(self, done: int) -> None:
        reached = done * _LINES // self._total
        if reached > self._told:
            self._told = reached
            self._say(f"{self._what}: {reached * 100 // _LINES} %")

    def _say(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()
