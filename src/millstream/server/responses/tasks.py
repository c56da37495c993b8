"""Work that outlives the request that began it, owned by the application: it ends before the application does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Self

from millstream.telemetry import logs


class Tasks:
    """``async with`` it where the application begins and ends. What fails is logged, and does not harm the rest."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None

    async def __aenter__(self) -> Self:
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._group is not None:
                await self._group.__aexit__(kind, error, trace)  # what still runs may begin more
        finally:
            self._group = None

    def start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Raises ``RuntimeError`` where the application is not running."""
        if self._group is None:
            work.close()
            raise RuntimeError("the application has not begun, or has ended")
        return self._group.create_task(_logged(work))


async def _logged(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except Exception:
        logs.logger.exception("a task failed")
