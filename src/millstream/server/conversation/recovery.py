"""What becomes of a question whose answer was never written down, because the gateway that made it died: what it had
said is in the run's own journal."""

from __future__ import annotations

from collections.abc import Callable

from millstream.conversation.turns import text_tokens
from millstream.core.errors import ClientFault
from millstream.core.events import TextDelta
from millstream.core.run_events import RunEntry
from millstream.dialects.conversation import message_id_of
from millstream.server.runs.manager import Runs
from millstream.sessions.history import Answered, Asked, History, Loaded, State
from millstream.sessions.journal import JournalError

_STARTING_MS = 10_000
"""Between a question and its run's first entry."""


class Recovery:
    def __init__(self, runs: Runs, history: History, now: Callable[[], float]) -> None:
        self._runs = runs
        self._history = history
        self._now = now

    async def settled(self, who: str, owner: str, loaded: Loaded) -> Loaded:
        """``loaded``; with what there is of its last answer where nobody works on it any more. Raises
        ``NoSuchSession``."""
        pending = loaded.pending
        if pending is None or await self._is_alive(pending, owner):
            return loaded
        entries = await self._entries(pending, owner)
        text = "".join(entry.event.text for entry in entries if isinstance(entry.event, TextDelta))
        # Meanwhile somebody else may have done the same, which a second look shows.
        newest = await self._history.load(who, loaded.id)
        if newest.pending != pending:
            return newest
        state: State = "interrupted" if text else "failed"
        run_id, at = pending.run_id, int(self._now() * 1000)
        answered = Answered(message_id_of(run_id), run_id, at, text, text_tokens(text), state)
        return await self._history.add(who, newest, answered)

    async def _is_alive(self, pending: Asked, owner: str) -> bool:
        try:
            info = await self._runs.info(pending.run_id, owner)
        except ClientFault:
            return self._now() * 1000 - pending.at < _STARTING_MS
        return not info.sealed

    async def _entries(self, pending: Asked, owner: str) -> list[RunEntry]:
        found: list[RunEntry] = []
        try:
            reader = await self._runs.open(pending.run_id, owner)
            while reader is not None and (entries := await reader.next()):
                found += entries
        except (ClientFault, JournalError):
            pass  # no longer kept: what is left of it is better than nothing
        return found
