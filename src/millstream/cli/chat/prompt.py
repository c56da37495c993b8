"""Where questions come from: a line editor on a terminal, plain lines otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from millstream.cli.chat.clean import clean

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent, Completion
    from prompt_toolkit.document import Document

MARK = "> "


class Prompt(Protocol):
    def ask(self) -> str | None:
        """The next question; None when there are no more. Raises ``KeyboardInterrupt`` for Ctrl-C."""
        ...


class LinePrompt:
    """One question per line. The mark goes to standard error, so that standard output has answers alone."""

    def ask(self) -> str | None:
        sys.stderr.write(MARK)
        sys.stderr.flush()
        line = sys.stdin.readline()
        return clean(line) if line else None


class EditedPrompt:
    """A line editor with history and completion. ``history`` is a file that only its user can read."""

    def __init__(self, history: Path, completions: Callable[[str], Sequence[str]]) -> None:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import Completer, Completion
        from prompt_toolkit.history import FileHistory, InMemoryHistory
        from prompt_toolkit.key_binding import KeyBindings
        from prompt_toolkit.key_binding.key_processor import KeyPressEvent
        from prompt_toolkit.output.vt100 import Vt100_Output
        from prompt_toolkit.shortcuts import CompleteStyle

        class Commands(Completer):
            def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
                return _completed(document.text_before_cursor, completions, Completion)

        keys = KeyBindings()

        @keys.add("escape", "enter")
        def _new_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        kept = _private(history)
        output = Vt100_Output.from_pty(sys.stdout, term=os.environ.get("TERM"))
        output.enable_cpr = False  # asking a terminal where its cursor is costs a warning on those that do not say
        self._session: PromptSession[str] = PromptSession(
            MARK,
            history=FileHistory(kept) if kept is not None else InMemoryHistory(),
            completer=Commands(),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
            key_bindings=keys,
            output=output,
        )

    def ask(self) -> str | None:
        try:
            return clean(self._session.prompt())
        except EOFError:
            return None


def _completed(
    before: str, completions: Callable[[str], Sequence[str]], make: type[Completion]
) -> Iterator[Completion]:
    if before.startswith("/") and "\n" not in before:
        for found in completions(before):
            yield make(found, start_position=-len(before))


def _private(path: Path) -> str | None:
    """``path``, there and readable for its user alone; None where that cannot be, so that nothing is kept."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.fchmod(file, 0o600)
        finally:
            os.close(file)
    except OSError:
        return None
    return str(path)
