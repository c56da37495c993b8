"""Sessions in Redis: several gateways share them, on machines of their own.

All keys begin with one prefix in braces, so that a cluster keeps them on one node, where the scripts find them.
"""

from __future__ import annotations

from millstream.sessions.base import Clock
from millstream.sessions.redis_line import PATIENCE_S, RedisLine, Script

PREFIX = "{millstream}:"

_COMMON = """
local base, key, now = KEYS[1], ARGV[1], ARGV[2]
local function forget(name)
    local size = redis.call('HGET', base .. 'value:' .. name, 'size')
    redis.call('UNLINK', base .. 'value:' .. name)
    redis.call('ZREM', base .. 'order', name)
    redis.call('ZREM', base .. 'expiry', name)
    if size then redis.call('DECRBY', base .. 'size', size) end
    return size and 1 or 0
end
"""
_PUT = Script(
    _COMMON
    + """
local expires, most, value = ARGV[3], tonumber(ARGV[4]), ARGV[5]
local number = redis.call('INCR', base .. 'number')  -- first: this is what a full server refuses
forget(key)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', base .. 'expiry', '-inf', now)) do forget(name) end
if #value > most then return 0 end
while tonumber(redis.call('GET', base .. 'size') or 0) + #value > most do
    local oldest = redis.call('ZRANGE', base .. 'order', 0, 0)[1]
    if not oldest then redis.call('SET', base .. 'size', 0) break end
    forget(oldest)
end
redis.call('HSET', base .. 'value:' .. key, 'value', value, 'size', #value, 'expires', expires)
redis.call('ZADD', base .. 'order', number, key)
redis.call('ZADD', base .. 'expiry', expires, key)
redis.call('INCRBY', base .. 'size', #value)
return 1
"""
)
_GET = Script("""
local found = redis.call('HMGET', KEYS[1] .. 'value:' .. ARGV[1], 'value', 'expires')
if not found[1] or tonumber(found[2]) <= tonumber(ARGV[2]) then return false end
return found[1]
""")
_DELETE = Script(
    _COMMON
    + """
local expires = redis.call('HGET', base .. 'value:' .. key, 'expires')
local there = expires and tonumber(expires) > tonumber(now)
forget(key)
return there and 1 or 0
"""
)


class RedisStore:
    """A ``SessionStore`` at ``url``. Its values together never take more than ``max_bytes``. Raises ``ValueError`` for
    a URL that is none."""

    def __init__(
        self, url: str, now: Clock, max_bytes: int, *, prefix: str = PREFIX, patience: float = PATIENCE_S
    ) -> None:
        self._line = RedisLine(url, "session store", patience=patience)
        self._now = now
        self._max_bytes = max_bytes
        self._base = prefix + "sessions:"

    async def put(self, key: str, value: bytes, expires: float) -> bool:
        done = await self._line.ask(_PUT, self._base, key, self._now(), expires, self._max_bytes, value, apart=key)
        return bool(done)

    async def get(self, key: str) -> bytes | None:
        found: bytes | None = await self._line.ask(_GET, self._base, key, self._now(), apart=key)
        return found

    async def delete(self, key: str) -> bool:
        return bool(await self._line.ask(_DELETE, self._base, key, self._now(), apart=key))

    async def aclose(self) -> None:
        await self._line.aclose()
