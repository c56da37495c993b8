"""How fast a server may speak."""

from __future__ import annotations

import asyncio
import time

_BURST, _BURST_S = 500, 0.5
"""So many messages pass at once, and so many in each of so many seconds: more would take the loop from others."""


class Pace:
    """Lets bursts through and slows a flood down, so that the rest of the gateway has its turns."""

    def __init__(self) -> None:
        self._left = _BURST
        self._since = time.monotonic()

    async def step(self, count: int = 1) -> None:
        """``count`` messages have come."""
        self._left -= count
        while self._left <= 0:
            spent = time.monotonic() - self._since
            await asyncio.sleep(max(0.0, _BURST_S - spent))
            self._left += _BURST
            self._since = time.monotonic()
