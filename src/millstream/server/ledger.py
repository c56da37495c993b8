"""Reserved and used amounts in Redis, where replicas and workers count together (``policy/budget.py``)."""

from __future__ import annotations

from typing import Any

from millstream.policy.budget import Seed, Window
from millstream.sessions.base import StoreError

_TIMEOUT_S = 5.0
_RESERVE = """
local used = redis.call('GET', KEYS[1])
if not used then
  used = tonumber(ARGV[3])
  if used < 0 then return -1 end
end
used = tonumber(used)
if used > 0 and used + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], used + tonumber(ARGV[1]), 'EXAT', ARGV[4])
return 1
"""
_CORRECT = """
local used = redis.call('GET', KEYS[1])
if used then redis.call('SET', KEYS[1], math.max(0, used + tonumber(ARGV[1])), 'KEEPTTL') end
"""
_LATER_S = 60
"""How long an ended window is kept: clocks differ."""


class RedisLedger:
    """Shared by all that use the same Redis. Raises ``ImportError`` and ``ValueError``; its methods ``StoreError``."""

    def __init__(self, url: str, prefix: str = "millstream:used:") -> None:
        from redis.asyncio import Redis
        from redis.exceptions import RedisError

        self._client = Redis.from_url(url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
        self._error = RedisError
        self._prefix = prefix
        self._reserve = self._client.register_script(_RESERVE)
        self._correct = self._client.register_script(_CORRECT)

    async def reserve(self, account: str, window: Window, amount: int, limit: int, seed: Seed | None = None) -> bool:
        keys = [self._key(account, window)]
        before = -1 if seed is not None else 0
        answer = await self._run(self._reserve, keys, [amount, limit, before, window.end + _LATER_S])
        if answer == -1 and seed is not None:
            answer = await self._run(self._reserve, keys, [amount, limit, await seed(), window.end + _LATER_S])
        return bool(answer == 1)

    async def correct(self, account: str, window: Window, change: int) -> None:
        await self._run(self._correct, [self._key(account, window)], [change])

    def _key(self, account: str, window: Window) -> str:
        return f"{self._prefix}{account}\0{window.start}"

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _run(self, script: Any, keys: list[str], arguments: list[int]) -> Any:
        try:
            return await script(keys, arguments)
        except (self._error, OSError) as error:
            raise StoreError(f"Redis does not answer: {error}") from error
