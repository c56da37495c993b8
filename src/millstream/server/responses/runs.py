"""Background runs: replies that go on when their client leaves, and that it can come back to.

Their events are held in this process, up to a bound; what was let go of is never passed over in silence.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from millstream.core.errors import ClientFault, GatewayBug, Kind, MillstreamError, PolicyRefusal
from millstream.core.repeats import Repeats
from millstream.dialects.openai_responses.held import HeldRenderer
from millstream.pipeline import End, Exchange
from millstream.server.model_api import Deliveries
from millstream.server.request_log import log_request
from millstream.server.responses.tasks import Tasks
from millstream.telemetry import logs

_FINISHED_RUNS = 64
"""How many runs that have ended keep their events, for clients that lost their connection just then."""

_FINISHED_FOR_S = 300.0
_BATCH = 256 * 1024


class Run:
    """One reply under way. Implements ``pipeline.Client``: its reader is whoever follows it."""

    def __init__(self, reply_id: str, owner: str, exchange: Exchange, renderer: HeldRenderer, most: int) -> None:
        self.id = reply_id
        self.owner = owner
        self.exchange = exchange
        self.started = True
        self.done = False
        self.ended_at = 0.0
        self._renderer = renderer
        self._most = most
        self._size = 0
        self._frames: list[bytes] = []
        self._first = 0
        self._news: asyncio.Future[None] | None = None
        self._stop: MillstreamError | None = None
        self._cancelled = False
        self._task: asyncio.Task[None] | None = None
        self.beginning = renderer.snapshot("queued")
        """The response object while nothing is known of the reply."""
        self.write(renderer.opening())

    @property
    def count(self) -> int:
        """Events so far: the number of the next one."""
        return self._first + len(self._frames)

    def snapshot(self) -> bytes:
        """The response object as it is now."""
        return self._renderer.snapshot(None if self.done else "in_progress")

    def keepalive(self) -> bytes:
        return self._renderer.keepalive()

    async def start(self) -> None:
        return

    def write(self, data: bytes) -> None:
        # Within an event no line is empty, and no keepalive gets in here: every end of a frame is one event's end.
        for frame in data.split(b"\n\n")[:-1]:
            self._frames.append(frame + b"\n\n")
            self._size += len(frame) + 2
        if self._size > self._most:
            self._let_go()
        self._tell()

    def shortcut(self, repeats: Repeats) -> None:
        return

    async def end(self) -> None:
        return

    def _let_go(self) -> None:
        """Of the oldest events, and of a quarter of what may be held at once: each time costs as much as is held."""
        number = 0
        while self._size > self._most * 3 // 4 and number < len(self._frames) - 1:
            self._size -= len(self._frames[number])
            number += 1
        del self._frames[:number]
        self._first += number

    def check(self, after: int) -> None:
        """Raises ``ClientFault`` if the events that follow number ``after`` are no longer all here."""
        if after + 1 < self._first:
            message = (
                f"starting_after: of this response's events those before number {self._first} are no longer held; "
                f"take up from {self._first - 1}, or get the response without stream"
            )
            raise ClientFault(message, param="starting_after")

    def after(self, number: int) -> list[bytes]:
        """The next events that follow number ``number``, as many as make one write. Raises as ``check``."""
        self.check(number)
        found: list[bytes] = []
        size = 0
        place = number + 1 - self._first
        while place < len(self._frames) and size < _BATCH:
            found.append(self._frames[place])
            size += len(self._frames[place])
            place += 1
        return found

    async def news(self) -> None:
        """Waits for a further event, or the end."""
        if self.done:
            return
        if self._news is None:
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._news)

    def cancel(self) -> None:
        """As its client asks for: it ends as ``cancelled``."""
        if not self.done and not self._called_off:
            self._cancelled = True
            self._break_off()

    def interrupt(self, reason: Exception) -> None:
        """As the gateway wants it: it fails with ``reason``."""
        if not self.done and not self._called_off:
            self._stop = reason if isinstance(reason, MillstreamError) else GatewayBug(str(reason))
            self._break_off()

    @property
    def _called_off(self) -> bool:
        return self._cancelled or self._stop is not None

    def _break_off(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def run(self, limit: float) -> None:
        """To its end, whatever that is; at most ``limit`` seconds."""
        self._task = asyncio.current_task()
        try:
            if not self._called_off:
                async with asyncio.timeout(limit):
                    await self.exchange.stream(self)
        except TimeoutError:
            message = f"the response took longer than {limit:g} s (responses.run_limit)"
            await self.exchange.fail(self, PolicyRefusal(message, Kind.TIMEOUT))
        except asyncio.CancelledError:
            if self._task is None or not self._called_off:
                raise
            self._task.uncancel()
        except Exception as error:
            logs.logger.error("request %s failed", self.exchange.record.id, exc_info=error)
            bug = GatewayBug(f"an internal error; the gateway's log has it as {self.exchange.record.id}")
            await self.exchange.fail(self, bug)
        finally:
            self._task = None
            if self._stop is not None:
                await self.exchange.fail(self, self._stop)
            if self._cancelled:
                self.write(self._renderer.cancelled())
            self.done = True
            self.ended_at = asyncio.get_running_loop().time()
            self._tell()

    @property
    def end_told(self) -> End:
        if self._cancelled:
            return "cancelled"
        return "finished" if self.exchange.record.error is None else "failed"

    def _tell(self) -> None:
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)


class Runs:
    """The runs of this process: those under way, and the latest that have ended. Times are in seconds."""

    def __init__(
        self,
        tasks: Tasks,
        deliveries: Deliveries,
        now: Callable[[], float],
        *,
        most: int,
        limit: float,
        buffer: int,
    ) -> None:
        self._tasks = tasks
        self._deliveries = deliveries
        self._now = now
        self._most = most
        self._limit = limit
        self._buffer = buffer
        self._running: dict[str, Run] = {}
        self._finished: OrderedDict[str, Run] = OrderedDict()

    def begin(self, reply_id: str, owner: str, exchange: Exchange) -> Run:
        """Raises ``PolicyRefusal`` (429) where there are as many as there may be."""
        if len(self._running) >= self._most:
            message = f"{self._most} responses run in the background already (responses.background_runs)"
            raise PolicyRefusal(message, Kind.RATE_LIMIT, retry_after=10)
        renderer = exchange.renderer
        assert isinstance(renderer, HeldRenderer)  # noqa: S101  # what HeldResponses makes
        run = Run(reply_id, owner, exchange, renderer, self._buffer)
        self._running[reply_id] = run
        self._tasks.start(self._to_its_end(run))
        return run

    def find(self, reply_id: str, owner: str) -> Run | None:
        self._forget_old()
        run = self._running.get(reply_id) or self._finished.get(reply_id)
        return run if run is not None and run.owner == owner else None

    def forget(self, reply_id: str) -> None:
        self._finished.pop(reply_id, None)

    async def _to_its_end(self, run: Run) -> None:
        began = self._now()
        self._deliveries.add(run)
        try:
            await run.run(self._limit)
        finally:
            self._deliveries.discard(run)
            del self._running[run.id]
            self._finished[run.id] = run
            self._forget_old()
            log_request(run.exchange.gateway, run.exchange.record, 200, run.end_told, began)

    def _forget_old(self) -> None:
        if not self._finished:
            return
        oldest = asyncio.get_running_loop().time() - _FINISHED_FOR_S
        while self._finished:
            run = next(iter(self._finished.values()))
            if len(self._finished) <= _FINISHED_RUNS and run.ended_at > oldest:
                return
            self._finished.popitem(last=False)
