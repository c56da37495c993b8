"""A terminal that tests type at and read the screen of: a window of tmux, with a server of its own."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pytest

LIMIT_S = 60.0
"""Until a screen counts as one that will never come. Nothing waits this long unless it is broken."""

AGAIN_S = 2.0
"""Until a key without any effect is pressed again."""

ENDED = "\nended with "
"""Comes to the screen with the end of the command."""

_RUN = """
before=$(stty -g)
{command}
status=$?
[ "$(stty -g)" = "$before" ] || stty -a
printf '\\nended with %s, terminal %s\\n' "$status" "$([ "$(stty -g)" = "$before" ] && echo kept || echo changed)"
exec cat
"""


class Terminal:
    """Runs one command in a window. Within ``with``; afterwards nothing of it is left.

    When the command ends, the screen shows ``ended with STATUS, terminal kept`` (or ``changed``: its modes).
    """

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], folder: Path, *, size: tuple[int, int] = (110, 40)
    ) -> None:
        self._tmux = shutil.which("tmux") or pytest.skip("needs tmux")
        self._own = Path(tempfile.mkdtemp(prefix="terminal-"))  # a socket's path must be short
        script = self._own / "run"
        script.write_text(_RUN.format(command=shlex.join(command)))
        wide, high = map(str, size)
        self._environ = {"LANG": "C.UTF-8", **environ}
        os.mkfifo(self._own / "output")
        self._output = os.open(self._own / "output", os.O_RDWR | os.O_NONBLOCK)
        # The window starts on something that waits, so that nothing is written before it is piped.
        self._ask("-f", "/dev/null", "new-session", "-d", "-x", wide, "-y", high, "-c", str(folder), "exec cat")
        self._ask("set", "-g", "remain-on-exit", "on")
        self._ask("pipe-pane", "-O", f"exec cat >{self._own / 'output'}")
        self._ask("respawn-pane", "-k", "-c", str(folder), f"exec sh {script}")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ask("kill-server")
        os.close(self._output)
        shutil.rmtree(self._own)

    def _ask(self, *arguments: str) -> str:
        command = [self._tmux, "-u", "-S", str(self._own / "socket"), *arguments]
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=LIMIT_S, check=True)
        return done.stdout

    @property
    def screen(self) -> str:
        """What is seen, with what has scrolled out of sight above it, without the empty lines."""
        lines = self._ask("capture-pane", "-p", "-S", "-500").splitlines()
        return "\n".join(line.rstrip() for line in lines if line.strip())

    def until(self, what: str | Callable[[str], bool], *, pressing: str = "") -> str:
        """Waits for a screen with ``what`` on it, or that ``what`` is true of, and gives it.

        ``pressing`` is a key to get there: programs pass over one that follows too closely on what they show or on
        other keys, so it is pressed again, as a person does, where nothing has come of it.
        """
        last, pressed = time.monotonic() + LIMIT_S, 0.0
        while True:
            screen = self.screen
            if what in screen if isinstance(what, str) else what(screen):
                return screen
            now = time.monotonic()
            if now > last:
                pytest.fail(f"no {what!r} on the screen within {LIMIT_S:.0f} s:\n{screen}")
            if pressing and now > pressed + AGAIN_S:
                self.key(pressing)
                pressed = now
            ready, _, _ = select.select([self._output], [], [], AGAIN_S)
            if ready:
                os.read(self._output, 1024 * 1024)

    def key(self, *names: str) -> None:
        """Keys by tmux's names for them: ``Enter``, ``Escape``, ``C-c``."""
        self._ask("send-keys", *names)

    def type(self, text: str) -> None:
        """Types ``text`` and waits until it is seen."""
        self._ask("send-keys", "-l", text)
        self.until(text)

    def enter(self, text: str, what: str | Callable[[str], bool]) -> str:
        """Types a line, sends it off, and waits for ``what``."""
        self.type(text)
        return self.until(what, pressing="Enter")

    def resize(self, wide: int, high: int) -> None:
        self._ask("resize-window", "-x", str(wide), "-y", str(high))

    def ended(self) -> str:
        """Waits for the command's end and gives how that was: its status, and what became of the terminal's modes."""
        screen = self.until(ENDED)
        return screen.rpartition(ENDED)[2].splitlines()[0]
