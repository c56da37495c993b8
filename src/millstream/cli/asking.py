"""Questions at the terminal: one line each, an answer in brackets that Enter takes, no answer shown that is secret."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence

import typer

_YES = ("y", "yes")
_NO = ("n", "no")


def possible() -> bool:
    """Somebody sits at a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def text(question: str, default: str = "") -> str:
    """What is typed, or ``default``. Raises ``typer.Abort`` at the end of input (Ctrl-D) and at Ctrl-C."""
    shown = f"{question} [{default}]: " if default else f"{question}: "
    try:
        return input(_fitted(shown)).strip() or default
    except (EOFError, KeyboardInterrupt):
        sys.stdout.write("\n")
        raise typer.Abort from None
    except UnicodeDecodeError:
        return ""


def secret(question: str) -> str:
    """What is typed, unseen. Raises ``typer.Abort`` as ``text`` does."""
    try:
        return getpass.getpass(_fitted(f"{question}: ")).strip()
    except (EOFError, KeyboardInterrupt):
        sys.stdout.write("\n")
        raise typer.Abort from None
    except UnicodeDecodeError:
        return ""


def _fitted(question: str) -> str:
    """What the last line of the question is; the lines before it are printed."""
    from millstream.cli.output import fitted

    *before, last = fitted(question).split("\n")
    sys.stdout.write("".join(f"{line}\n" for line in before))
    sys.stdout.flush()
    return f"{last.rstrip()} "


def confirm(question: str, *, default: bool) -> bool:
    """Asks until it is yes or no."""
    while True:
        answer = text(f"{question} [{'Y/n' if default else 'y/N'}]").lower()
        if not answer:
            return default
        if answer in (*_YES, *_NO):
            return answer in _YES
        sys.stdout.write("Please answer y or n.\n")


def choose(question: str, names: Sequence[str], default: str) -> str:
    """One of ``names``, by itself, by its beginning if only one begins so, or by its number from 1."""
    while True:
        answer = text(question, default)
        if answer.isdecimal() and 1 <= int(answer) <= len(names):
            return names[int(answer) - 1]
        if answer in names:
            return answer
        near = [name for name in names if name.startswith(answer.lower())]
        if len(near) == 1:
            return near[0]
        sys.stdout.write(f"Please choose one of 1 to {len(names)}, or a name.\n")
