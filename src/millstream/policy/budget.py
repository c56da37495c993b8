"""How much: tokens and money, of which nobody knows beforehand what a call will take.

So an estimate is reserved when a call is let in, and set right once the call has ended: no crowd of calls that begin
together can spend what only one of them may. Amounts are whole numbers (tokens, millionths of a dollar); a window is
the time that an amount is for, named by when it began.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from millstream.policy.caller import Period

MICRO = 1_000_000
"""Millionths of a dollar in a dollar."""


@dataclass(frozen=True, slots=True)
class Window:
    """Unix times; ``end`` is no longer part of it."""

    start: int
    end: int


def minute_of(now: float) -> Window:
    start = int(now) // 60 * 60
    return Window(start, start + 60)


def period_of(now: float, period: Period) -> Window:
    """The calendar's day or month (UTC) that ``now`` is in."""
    moment = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "day":
        return Window(int(moment.timestamp()), int((moment + timedelta(days=1)).timestamp()))
    first = moment.replace(day=1)
    following = (first + timedelta(days=32)).replace(day=1)
    return Window(int(first.timestamp()), int(following.timestamp()))


Seed = Callable[[], Awaitable[int]]
"""What has been used already, where nothing is known of a window yet."""


class Ledger(Protocol):
    """Amounts by account and window."""

    async def reserve(self, account: str, window: Window, amount: int, limit: int, seed: Seed | None = None) -> bool:
        """Adds ``amount``, unless that would exceed ``limit``: then nothing is added, and it is False. What is more
        than the whole limit is let in while nothing is used, or it never could be."""
        ...

    async def correct(self, account: str, window: Window, change: int) -> None:
        """Adds ``change``, which may be negative, to a window that has not ended; others are past caring."""
        ...

    async def aclose(self) -> None: ...


class MemoryLedger:
    """In this process. ``now`` is Unix time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._used: dict[tuple[str, Window], int] = {}
        self._swept = 0.0

    async def reserve(self, account: str, window: Window, amount: int, limit: int, seed: Seed | None = None) -> bool:
        self._sweep()
        key = (account, window)
        if key not in self._used:
            found = await seed() if seed is not None else 0
            self._used.setdefault(key, found)  # another call may have been quicker
        used = self._used[key]
        if used > 0 and used + amount > limit:
            return False
        self._used[key] = used + amount
        return True

    async def correct(self, account: str, window: Window, change: int) -> None:
        key = (account, window)
        if key in self._used:
            self._used[key] = max(0, self._used[key] + change)

    async def aclose(self) -> None:
        return

    def _sweep(self) -> None:
        now = self._now()
        if now - self._swept > 60:
            self._swept = now
            self._used = {key: used for key, used in self._used.items() if key[1].end > now}
