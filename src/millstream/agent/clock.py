"""A tool's own time: what its time limit counts, and what is told of how long it took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


class CallClock:
    """Runs from now on, and stands still while the user is asked."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._waited = 0.0
        self._waiting = 0
        self._since = 0.0
        self._allowed: float | None = None
        self._timeout: asyncio.Timeout | None = None

    @property
    def seconds(self) -> float:
        now = time.monotonic()
        return now - self._began - self._waited - (now - self._since if self._waiting else 0.0)

    def limit(self, seconds: float) -> asyncio.Timeout:
        """To be entered once: ``TimeoutError`` when the clock shows ``seconds`` more than now."""
        self._allowed = self.seconds + seconds
        self._timeout = asyncio.timeout(seconds)
        return self._timeout

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """May be entered several times at once."""
        self._waiting += 1
        if self._waiting == 1:
            self._since = time.monotonic()
            self._set(None)
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._waited += time.monotonic() - self._since
                if self._allowed is not None:
                    self._set(asyncio.get_running_loop().time() + self._allowed - self.seconds)

    def _set(self, when: float | None) -> None:
        if self._timeout is not None and self._timeout.when() != when and not self._timeout.expired():
            try:
                self._timeout.reschedule(when)
            except RuntimeError:
                self._timeout = None  # the call is over
