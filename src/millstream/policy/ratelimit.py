"""How often: plain rates by the library ``limits``, in this process or in Redis, where replicas share them.

https://limits.readthedocs.io/en/stable/strategies.html: a moving window, so that no moment lets twice the rate in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millstream.core.errors import Kind, PolicyRefusal, UpstreamFault

if TYPE_CHECKING:
    from limits.aio.strategies import MovingWindowRateLimiter
    from redis.asyncio import ConnectionPool

_NAMESPACE = "millstream"
_TIMEOUT_S = 5.0


class Rates:
    """``redis_url`` such as ``redis://host:6379/0``; None counts in this process. ``now`` is Unix time."""

    def __init__(self, now: Callable[[], float], redis_url: str | None = None) -> None:
        self._now = now
        self._redis_url = redis_url
        self._limiter: MovingWindowRateLimiter | None = None
        self._pool: ConnectionPool | None = None

    async def take(self, what: str, account: str, per_minute: int) -> None:
        """One ``what`` of ``account``. Raises ``PolicyRefusal`` (429) with the seconds until the next one may come, and
        ``UpstreamFault`` (503) where Redis does not answer: a limit that cannot be looked up lets nobody in."""
        await self._ask(what, account, per_minute, takes=True)

    async def expect(self, what: str, account: str, per_minute: int) -> None:
        """As ``take``, but takes none."""
        await self._ask(what, account, per_minute, takes=False)

    async def _ask(self, what: str, account: str, per_minute: int, *, takes: bool) -> None:
        from limits import RateLimitItemPerMinute
        from limits.errors import StorageError

        limiter = self._limiter = self._limiter or self._made()
        item = RateLimitItemPerMinute(per_minute, namespace=_NAMESPACE)
        try:
            if await (limiter.hit if takes else limiter.test)(item, what, account):
                return
            reset, _ = await limiter.get_window_stats(item, what, account)
        except StorageError as error:
            message = "the limits' store does not answer"
            raise UpstreamFault(message, Kind.OVERLOADED, status=503, retry_after=1) from error
        wait = min(60.0, max(1.0, reset - self._now()))
        message = f"more than {per_minute} {what} a minute: try again in {wait:.0f} s"
        raise PolicyRefusal(message, Kind.RATE_LIMIT, retry_after=wait, code="rate_limit_exceeded")

    def _made(self) -> MovingWindowRateLimiter:
        """The library takes a tenth of a second to load: who has no limits does not wait for it."""
        from limits.aio.storage import MemoryStorage, RedisStorage
        from limits.aio.strategies import MovingWindowRateLimiter

        if self._redis_url is None:
            return MovingWindowRateLimiter(MemoryStorage(wrap_exceptions=True))
        from redis.asyncio import ConnectionPool

        self._pool = pool = ConnectionPool.from_url(
            self._redis_url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
        )
        options: dict[str, Any] = {"connection_pool": pool}
        storage = RedisStorage("async+redis://", wrap_exceptions=True, implementation="redispy", **options)
        return MovingWindowRateLimiter(storage)

    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.disconnect()
