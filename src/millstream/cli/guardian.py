"""What ends a program when the launch that waits for it was killed outright: a copy of us that does nothing else.

Nobody else can: who is killed by ``SIGKILL`` passes nothing on, and the program, without a gateway and with a terminal
that the shell has taken back, would stay for good.
"""

from __future__ import annotations

import os
import signal
import termios
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

TERM_LIMIT = 5.0
"""Seconds a program may take to end after it was asked to."""

_TO_EVERYBODY = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGTSTP,
    signal.SIGTTOU,
    signal.SIGPIPE,
)
"""Signals that a terminal, or who ends a whole group of processes, sends to us too."""


_HIGHEST = 65536
"""Above all descriptors that a launch has open."""


@contextmanager
def guarded(pid: int) -> Generator[None]:
    """Within, ``pid`` is ended if this process ends without leaving the block. Call without other threads."""
    before = termios.tcgetattr(0) if os.isatty(0) else None
    held, holding = os.pipe()
    guardian = os.fork()
    if guardian == 0:
        _guard(pid, held, before)
    os.close(held)
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            os.write(holding, b".")
        os.close(holding)
        os.waitpid(guardian, 0)


def _guard(pid: int, held: int, before: list[Any] | None) -> NoReturn:
    """In the copy: never returns into what the original was doing."""
    try:
        for number in _TO_EVERYBODY:
            signal.signal(number, signal.SIG_IGN)
        # All else is the original's, and would be kept open by us: the gateway's pipe, locks, the output's reader.
        os.dup2(held, 3)
        os.closerange(4, _HIGHEST)
        for inherited in (1, 2) if before is not None else (0, 1, 2):
            os.close(inherited)
        if not os.read(3, 1):
            _end(pid)
            if before is not None and os.tcgetpgrp(0) == os.getpgrp():
                termios.tcsetattr(0, termios.TCSANOW, before)
    finally:
        os._exit(0)


def _end(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + TERM_LIMIT
        while time.monotonic() < deadline:
            time.sleep(0.02)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)
