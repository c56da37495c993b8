"""What a store of sessions is, and the one error it raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

Clock = Callable[[], float]
"""Unix time in seconds."""


class StoreError(Exception):
    """The store cannot be read or written. The message is one line that says which and why."""


class SessionStore(Protocol):
    """Bytes by key. Nothing here blocks the event loop; every method raises ``StoreError`` where the store fails."""

    async def put(self, key: str, value: bytes, expires: float) -> bool:
        """Keep ``value`` until the Unix time ``expires``, in place of what the key had.

        Makes room by forgetting what was put longest ago. False if the value alone is larger than the whole store may
        be: then nothing is kept under the key, the value it had included.
        """
        ...

    async def get(self, key: str) -> bytes | None:
        """The value, unless it was never there, was forgotten, or has expired."""
        ...

    async def delete(self, key: str) -> bool:
        """Whether there was something to delete."""
        ...

    async def aclose(self) -> None:
        """Ends what is under way and lets go of files and threads. Nothing may be asked afterwards."""
        ...
