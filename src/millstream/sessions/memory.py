"""Sessions in this process: forgotten when it ends."""

from __future__ import annotations

from millstream.sessions.base import Clock


class MemoryStore:
    """A ``SessionStore``. Its values together never take more than ``max_bytes``."""

    def __init__(self, now: Clock, max_bytes: int) -> None:
        self._now = now
        self._max_bytes = max_bytes
        self._entries: dict[str, tuple[bytes, float]] = {}
        self._size = 0

    async def put(self, key: str, value: bytes, expires: float) -> bool:
        self._forget(key)
        if len(value) > self._max_bytes:
            return False
        self._make_room(len(value))
        self._entries[key] = (value, expires)
        self._size += len(value)
        return True

    async def get(self, key: str) -> bytes | None:
        value, expires = self._entries.get(key, (None, 0.0))
        if value is not None and expires <= self._now():
            self._forget(key)
            return None
        return value

    async def delete(self, key: str) -> bool:
        there = await self.get(key) is not None
        self._forget(key)
        return there

    async def aclose(self) -> None:
        self._entries.clear()
        self._size = 0

    def _make_room(self, wanted: int) -> None:
        if self._size + wanted <= self._max_bytes:
            return
        now = self._now()
        for key in [key for key, (_, expires) in self._entries.items() if expires <= now]:
            self._forget(key)
        while self._size + wanted > self._max_bytes:
            self._forget(next(iter(self._entries)))

    def _forget(self, key: str) -> None:
        value, _ = self._entries.pop(key, (b"", 0.0))
        self._size -= len(value)
