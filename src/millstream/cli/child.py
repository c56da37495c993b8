"""Run a program in our place: its terminal, its signals, its exit status; we only wait."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

FORWARDED = (signal.SIGTERM, signal.SIGHUP)


def status_of_signal(number: int) -> int:
    """The exit status that shells give a program which a signal ended."""
    return 128 + number


@contextmanager
def leaving_on_signals() -> Generator[None]:
    """Within, ``SIGTERM`` and ``SIGHUP`` raise ``SystemExit``, so that what was started is also stopped."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(status_of_signal(number))

    with _handlers(dict.fromkeys(FORWARDED, leave)):
        yield


def run(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs ``command`` in the foreground and gives its exit status, 128 + n if signal n ended it.

    Ctrl-C and Ctrl-\\ reach it from the terminal as they reach us: they are its own to handle. ``SIGTERM`` and
    ``SIGHUP`` sent to us are passed on. Raises ``OSError`` if it cannot be run.
    """
    early: list[int] = []
    running: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        if running:
            os.kill(running[0], number)
        else:
            early.append(number)

    def leave_to_child(_number: int, _frame: FrameType | None) -> None:
        pass  # A handler, not SIG_IGN, which the child would inherit.

    table = dict.fromkeys(FORWARDED, forward) | dict.fromkeys((signal.SIGINT, signal.SIGQUIT), leave_to_child)
    with _handlers(table):
        process = subprocess.Popen(list(command), env=dict(environ))  # noqa: S603  # what the user asked for
        running.append(process.pid)
        for number in early:
            os.kill(process.pid, number)
        process.returncode = _wait(process.pid)
        running.clear()
    return process.returncode if process.returncode >= 0 else status_of_signal(-process.returncode)


def _wait(pid: int) -> int:
    """Exit status of ``pid``, negative for a signal. Where it stops itself (Ctrl-Z), so do we, and go on together."""
    while True:
        _, status = os.waitpid(pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return os.waitstatus_to_exitcode(status)
        # The keyboard stops both of us at once: by the time we run again, the shell may have called both back.
        changed, status = os.waitpid(pid, os.WNOHANG | os.WCONTINUED)
        if changed and not os.WIFCONTINUED(status):
            return os.waitstatus_to_exitcode(status)
        if not changed and _in_foreground():
            os.kill(os.getpid(), signal.SIGSTOP)
            os.kill(pid, signal.SIGCONT)


def _in_foreground() -> bool:
    """A shell with job control waits for us: it must see us stop, or the terminal would hang."""
    return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()


@contextmanager
def _handlers(table: Mapping[signal.Signals, object]) -> Generator[None]:
    before = {number: signal.signal(number, handler) for number, handler in table.items()}  # type: ignore[arg-type]  # both kinds of handler fit
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
