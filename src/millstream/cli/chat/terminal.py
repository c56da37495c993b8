"""The terminal around a conversation: what may be painted on it, and that nothing typed shows up in an answer."""

from __future__ import annotations

import sys
import termios
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from rich.text import Text

from millstream.cli.chat.clean import clean
from millstream.cli.chat.view import PlainView, ScreenView, View
from millstream.cli.output import console
from millstream.config import ConfigError


def question_of(words: list[str] | None) -> str | None:
    """What is asked by the command line and the pipe into it; None where the user is there to be asked.

    Raises ``ConfigError`` where there is neither a question nor a user.
    """
    asked = " ".join(words or [])
    if sys.stdin is not None and sys.stdin.isatty():
        return asked or None
    piped = sys.stdin.buffer.read().decode(sys.stdin.encoding, "replace") if sys.stdin is not None else ""
    whole = "\n\n".join(part for part in (asked, piped.strip("\n")) if part.strip())
    if not whole:
        raise ConfigError('nothing was asked: millstream chat "…", or a question piped into it')
    return whole


def can_paint() -> bool:
    """Whether standard output is a terminal on which the cursor can be moved."""
    target = console()
    return target.is_terminal and not target.is_dumb_terminal


def painted() -> tuple[Callable[[], View], Callable[[str], None]]:
    """Makes views, and tells lines of our own, on the screen."""
    target = console()
    return lambda: ScreenView(target), lambda text: target.print(Text(clean(text), style="dim"))


def plain() -> tuple[Callable[[], View], Callable[[str], None]]:
    """The same without layout. What is not the answer is for people: it is left out where none look."""
    notes = next((stream for stream in (sys.stdout, sys.stderr) if stream.isatty()), None)

    def tell(text: str) -> None:
        sys.stderr.write(clean(text) + "\n")
        sys.stderr.flush()

    return lambda: PlainView(sys.stdout, notes, sys.stderr), tell


@contextmanager
def without_echo() -> Generator[None]:
    """What is typed meanwhile is kept for whoever reads next, and not shown. Ctrl-C goes on to mean what it does."""
    try:
        before = termios.tcgetattr(0)
    except termios.error:
        yield
        return
    silent = [*before]
    silent[3] = before[3] & ~termios.ECHO
    termios.tcsetattr(0, termios.TCSANOW, silent)
    try:
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(0, termios.TCSANOW, before)
