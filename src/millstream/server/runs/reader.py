"""One reader's way through a run: what this process still holds of it comes from there, all else from its journal."""

from __future__ import annotations

from collections.abc import Sequence

from millstream.core.errors import ClientFault, Kind
from millstream.core.run_events import RunEntry, decode_entry
from millstream.server.runs.run import Run
from millstream.sessions.journal import Journal, JournalError, NoSuchStream, Trimmed

_WAIT_S = 30.0
_GONE = 410


class Reader:
    """Reads what follows number ``after``. ``run`` is the run itself where it is this process's."""

    def __init__(self, journal: Journal, key: str, run: Run | None, after: int) -> None:
        self.number = after
        """The number of the last entry that was read."""
        self._journal = journal
        self._key = key
        self._run = run
        self._ended = False
        self._closed = False
        if run is not None:
            run.joined()

    @property
    def here(self) -> bool:
        """The run is this process's: it ends before the process does."""
        return self._run is not None

    def close(self) -> None:
        """Nothing more is read. The run may end with its last reader."""
        if self._run is not None and not self._closed:
            self._closed = True
            self._run.left()

    async def next(self) -> Sequence[RunEntry]:
        """Some of what follows, as soon as there is something; nothing at the run's end.

        Raises ``ClientFault`` (410) where entries are missing, ``StoreError`` where the journal cannot be read.
        """
        while True:
            entries = self._held()
            if entries is None:
                entries = await self._kept()
            if entries or self._ended:
                self.number += len(entries)
                return entries
            if self._run is not None:
                await self._run.tail.wait(self.number)
            else:
                await self._wait()

    def _held(self) -> Sequence[RunEntry] | None:
        """None: look into the journal."""
        if self._run is None:
            return None
        entries = self._run.tail.after(self.number)
        if entries is not None and not entries:
            self._ended = self._run.tail.closed
        if entries is None and self._run.writer.given_up and self.number >= self._run.writer.kept:
            raise _missing(self.number, "could not be written down, and are no longer held")
        return entries

    async def _kept(self) -> Sequence[RunEntry]:
        if self._ended:
            return ()
        try:
            batch = await self._journal.read(self._key, self.number)
        except Trimmed as trimmed:
            raise _missing(
                self.number, f"were kept no longer; the first that is left is number {trimmed.first}"
            ) from None
        except NoSuchStream:
            raise _missing(self.number, "were deleted, or kept no longer") from None
        except JournalError as error:
            raise _missing(self.number, f"cannot be had: {error}") from None
        self._ended = batch.sealed and self._run is None
        return [decode_entry(batch.first + place, data) for place, data in enumerate(batch.entries)]

    async def _wait(self) -> None:
        try:
            await self._journal.wait(self._key, self.number, _WAIT_S)
        except NoSuchStream:
            raise _missing(self.number, "were deleted, or kept no longer") from None


def _missing(after: int, what: str) -> ClientFault:
    message = f"the run's events after number {after} {what}"
    return ClientFault(message, Kind.NOT_FOUND, status=_GONE, code="events_missing")
