"""What clients call their streams, kept beside the runs: so that one can be resumed by its name on another connection,
and at another replica."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from millstream.core.errors import ClientFault, Kind
from millstream.policy.caller import Owner
from millstream.sessions.journal import Journal, NoSuchStream

_PREFIX = "names/"


class Names:
    """Of ``owner``. A name stands for the run that it was last given to."""

    def __init__(self, journal: Journal, owner: Owner, now: Callable[[], float], keep_for: float) -> None:
        self._journal = journal
        self._owner = owner
        self._now = now
        self._keep_for = keep_for

    async def give(self, name: str, run_id: str) -> None:
        key = self._key(name)
        await self._journal.create(key, b"", self._now() + self._keep_for)
        await self._journal.append(key, [run_id.encode()])

    async def find(self, name: str) -> str:
        """Raises ``ClientFault`` (404)."""
        key = self._key(name)
        try:
            info = await self._journal.info(key)
            batch = await self._journal.read(key, info.last - 1)
        except NoSuchStream:
            message = f"there is no stream {name!r}, or it is kept no longer"
            raise ClientFault(message, Kind.NOT_FOUND, code="stream_not_found") from None
        return batch.entries[-1].decode()

    def _key(self, name: str) -> str:
        return _PREFIX + hashlib.sha256(f"{self._owner()}\0{name}".encode()).hexdigest()[:40]
