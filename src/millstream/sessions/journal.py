"""What a journal is: entries of a run in the order they happened, with sequence numbers from 1 without holes.

A stream of bytes under a key; runs (``RunEvent`` as JSON, one entry each) and Durable Streams are both kept in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


class JournalError(Exception):
    """What was asked of the journal cannot be done; one line that says why."""


class NoSuchStream(JournalError):
    """Never made, deleted, or expired."""


class StreamSealed(JournalError):
    """Nothing can be appended any more."""


class SequenceConflict(JournalError):
    """Another writer was there first: ``expected`` was not the last number."""


class Trimmed(JournalError):
    """Entries after the number asked for are gone already; ``first`` is the first one left."""

    def __init__(self, message: str, first: int) -> None:
        super().__init__(message)
        self.first = first


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """``first`` is the number of the oldest entry still kept, ``last`` that of the newest (0: none yet). ``about`` is
    what was given at its creation. Times are Unix seconds; ``leased_until`` 0 where nobody holds a lease."""

    key: str
    first: int
    last: int
    size: int
    sealed: bool
    about: bytes
    created: float
    expires: float
    leased_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that follow a number, in order. ``sealed`` is true where the last of them is the stream's last."""

    first: int
    entries: Sequence[bytes]
    sealed: bool


class Journal(Protocol):
    """Nothing here blocks the event loop. Every method raises ``StoreError`` where the store itself fails and
    ``NoSuchStream`` where the stream is not there."""

    async def create(self, key: str, about: bytes, expires: float) -> bool:
        """False if there is one under this key already: whoever finds that attaches."""
        ...

    async def append(
        self, key: str, entries: Sequence[bytes], *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        """The number of the last entry, once they can be read. ``expected`` is the last number before them, for a
        writer that must not follow another; ``about`` takes the place of the stream's, in the same step. Raises
        ``StreamSealed``, ``SequenceConflict``."""
        ...

    async def read(self, key: str, after: int, most_bytes: int = 256 * 1024) -> Batch:
        """What follows number ``after``, at least one entry if there is any; an empty batch at the end. Raises
        ``Trimmed``; a number beyond the end is a ``JournalError``."""
        ...

    async def wait(self, key: str, after: int, seconds: float) -> bool:
        """Until there is something after ``after`` or the stream is sealed; False if ``seconds`` passed before."""
        ...

    async def seal(
        self, key: str, entries: Sequence[bytes] = (), *, expected: int | None = None, about: bytes | None = None
    ) -> int:
        """Append the last entries and close, in one step; otherwise as ``append``. Sealing a sealed stream changes
        nothing."""
        ...

    async def keep(self, key: str, expires: float) -> None:
        """Until the Unix time ``expires``, whatever was said before."""
        ...

    async def lease(self, key: str, holder: str, seconds: float) -> bool:
        """Say that ``holder`` works on it and will for ``seconds``; False where another's lease still holds."""
        ...

    async def orphans(self, prefix: str) -> Sequence[StreamInfo]:
        """Streams that are not sealed and whose lease ran out."""
        ...

    async def info(self, key: str) -> StreamInfo: ...

    async def list(self, prefix: str, most: int = 1000) -> Sequence[StreamInfo]:
        """The newest first."""
        ...

    async def delete(self, key: str) -> bool: ...

    async def aclose(self) -> None: ...
