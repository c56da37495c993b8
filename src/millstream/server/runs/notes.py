"""What is kept of a run besides its events, for another process to go on with it: who asked for what, and its turns.

It is a stream of the journal. Whoever takes the run over writes into it first: from then on the process that had it
before, should it be alive after all, can note nothing more, and so runs no tool.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import Message
from millstream.policy.caller import Caller
from millstream.sessions.base import StoreError
from millstream.sessions.journal import Journal, JournalError

ASKED = "asked/"
"""Of the keys under which this is kept; what follows is the run's id."""

_TAKEN = b"null"
"""The turns so far are another process's now."""

_ANEW = b"false"
"""What was noted before is of another run, which is kept no longer."""


class Asked(msgspec.Struct, frozen=True):
    """``request`` is what the run's surface needs to go on with it; ``caller`` is whose usage it is."""

    caller: Caller
    request: msgspec.Raw


class RunNotes:
    """Implements ``agent.left.Notes``. ``last`` is the number of the last entry there; ``written`` returns once all
    that the run has said is in its journal."""

    def __init__(self, journal: Journal, run_id: str, last: int, written: Callable[[], Awaitable[None]]) -> None:
        self._journal = journal
        self._key = ASKED + run_id
        self._last = last
        self._written = written

    async def add(self, turn: Message) -> None:
        await self._written()
        try:
            self._last = await self._journal.append(self._key, [msgspec.json.encode(turn)], expected=self._last)
        except (StoreError, JournalError) as error:
            message = f"no tool is run, since the run cannot be kept: {error}"
            raise UpstreamFault(message, Kind.OVERLOADED, status=503, code="journal_unreachable") from error


async def begin_anew(journal: Journal, run_id: str, asked: Asked) -> int:
    """For a run whose id another had that is kept no longer: the number of the last entry. Raises ``JournalError``."""
    return await journal.append(ASKED + run_id, [_ANEW], about=msgspec.json.encode(asked))


async def take_notes(journal: Journal, run_id: str) -> tuple[Asked, Sequence[bytes], int]:
    """What was asked, the turns that were noted, and the number of the last entry; from now on they are ours.

    Raises ``JournalError``, also where it is another version's.
    """
    key = ASKED + run_id
    info = await journal.info(key)
    last = await journal.append(key, [_TAKEN], expected=info.last)
    turns: list[bytes] = []
    read = 0
    while read < last:
        batch = await journal.read(key, read)
        read += len(batch.entries)
        for entry in batch.entries:
            if entry == _ANEW:
                turns = []
            elif entry != _TAKEN:
                turns.append(entry)
    try:
        return msgspec.json.decode(info.about, type=Asked), turns, last
    except msgspec.MsgspecError as error:
        raise JournalError(f"the request of run {run_id} cannot be read: {error}") from error
