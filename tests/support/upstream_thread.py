"""A scripted upstream in a thread, for tests that wait for a terminal or a process meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType

from millstream.testing.upstream import ReplayServer, Source, replay_server

_LIMIT = 60.0


class UpstreamThread:
    """Serves ``source`` from ``with`` to its end."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._up: Future[tuple[ReplayServer, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> UpstreamThread:
        self._thread.start()
        self.url = self._up.result(_LIMIT)[0].url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _, loop, end = self._up.result(_LIMIT)
        loop.call_soon_threadsafe(end.set)
        self._thread.join(_LIMIT)

    def until(self, condition: Callable[[ReplayServer], bool]) -> None:
        server, loop, _ = self._up.result(_LIMIT)
        asyncio.run_coroutine_threadsafe(server.until(condition, _LIMIT), loop).result(_LIMIT)

    @property
    def requests(self) -> list[bytes]:
        return self._up.result(_LIMIT)[0].requests

    async def _run(self) -> None:
        async with replay_server(self._source) as server:
            end = asyncio.Event()
            self._up.set_result((server, asyncio.get_running_loop(), end))
            await end.wait()
