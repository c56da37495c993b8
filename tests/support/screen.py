"""A command in a terminal of its own, and what is to be seen there: pexpect types, pyte is the screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pexpect
import pyte

LIMIT = 60.0
"""Seconds until a screen counts as one that will never come. Nothing waits this long unless it is broken."""


class Screen:
    """Runs ``command`` from ``with`` to its end. ``raw`` is every byte it has written."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        folder: Path,
        *,
        columns: int = 80,
        rows: int = 30,
        term: str = "xterm-256color",
    ) -> None:
        self.raw = b""
        self._screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=1)
        self._stream = pyte.ByteStream(self._screen)
        self._child: pexpect.spawn[bytes] = pexpect.spawn(
            command[0],
            list(command[1:]),
            env={"TERM": term, "LANG": "C.UTF-8", **environ},
            cwd=str(folder),
            dimensions=(rows, columns),
            timeout=LIMIT,
        )
        self._child.delaybeforesend = None

    def __enter__(self) -> Screen:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close(force=True)

    def press(self, keys: str) -> None:
        self._child.send(keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        self._child.setwinsize(rows, columns)
        self._screen.resize(rows, columns)

    @property
    def text(self) -> str:
        """What is seen and what has scrolled away above it, without blanks at the lines' ends."""
        scrolled = ["".join(row[x].data for x in range(self._screen.columns)) for row in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*scrolled, *self._screen.display]).rstrip()

    def until(self, wanted: str | Callable[[str], bool]) -> str:
        """Wait for a text, or for a condition on the screen, and give the screen then."""
        end = time.monotonic() + LIMIT
        while not (wanted in self.text if isinstance(wanted, str) else wanted(self.text)):
            assert time.monotonic() < end, f"never seen: {wanted}\n{self.text}"
            try:
                self._read()
            except pexpect.EOF:
                text = self.text
                assert wanted in text if isinstance(wanted, str) else wanted(text), text
        return self.text

    def ended(self) -> int:
        """The exit status, once the command has ended."""
        end = time.monotonic() + LIMIT
        try:
            while True:
                assert time.monotonic() < end, f"never ended\n{self.text}"
                self._read()
        except pexpect.EOF:
            self._child.close()
        status = self._child.exitstatus
        assert status is not None, f"ended by signal {self._child.signalstatus}"
        return status

    def _read(self) -> None:
        try:
            data = self._child.read_nonblocking(65536, 1)
        except pexpect.TIMEOUT:
            return
        self.raw += data
        self._stream.feed(data)
