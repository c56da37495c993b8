"""Run a program in our place: its terminal, its signals, its exit status; we only wait."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import termios
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from millstream.cli.guardian import TERM_LIMIT, guarded

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


def run(command: Sequence[str], environ: Mapping[str, str], lifeline: int | None = None) -> int:
    """Runs ``command`` in the foreground and gives its exit status, 128 + n if signal n ended it.

    Ctrl-C and Ctrl-\\ reach it from the terminal as they reach us: they are its own to handle. ``SIGTERM`` and
    ``SIGHUP`` sent to us are passed on. ``lifeline`` is the writing end of a pipe: when nobody reads it any more, the
    program is asked to end, as it would only wait for what is gone. It is also ended if we are killed. Raises
    ``OSError`` if it cannot be run.
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
    with _handlers(table), _terminal_kept():
        process = subprocess.Popen(list(command), env=dict(environ))  # noqa: S603  # what the user asked for
        running.append(process.pid)
        for number in early:
            os.kill(process.pid, number)
        with guarded(process.pid), _ended_with(lifeline, running):
            process.returncode = _wait(process.pid)
            running.clear()
    return process.returncode if process.returncode >= 0 else status_of_signal(-process.returncode)


@contextmanager
def _ended_with(lifeline: int | None, running: Sequence[int]) -> Generator[None]:
    """Within, the end of ``lifeline``'s reader is ``SIGTERM`` to who is ``running``, and ``SIGKILL`` if that is not
    enough."""
    if lifeline is None:
        yield
        return
    stop, wake = os.pipe()

    def watch() -> None:
        events = select.poll()
        events.register(lifeline, 0)  # an error is reported all the same: that nobody reads
        events.register(stop, 0)
        if any(descriptor == stop for descriptor, _ in events.poll()):
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in tuple(running):
                os.kill(pid, number)
            events = select.poll()
            events.register(stop, 0)
            if events.poll(TERM_LIMIT * 1000):
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(wake)  # reported as a hang-up
        thread.join()
        os.close(stop)


@contextmanager
def _terminal_kept() -> Generator[None]:
    """A program that a signal ends leaves the terminal as it had it: without echo, for one. Put it back."""
    if not os.isatty(0):
        yield
        return
    before = termios.tcgetattr(0)
    try:
        yield
    finally:
        if _in_foreground() and termios.tcgetattr(0) != before:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


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
