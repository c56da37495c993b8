"""Calls and their answers in a history: which id belongs to which, where the client gives none.

Most of this API's histories name a call's function and nothing else; an answer belongs to the first call of its name
that has none yet. Ids made up here depend on the position alone, so that a history that grows keeps them.
"""

from __future__ import annotations

from collections import deque

NO_ID = "$noId"
"""In a part's ``extra``: its id is ours, and the client must not see it."""


class CallIds:
    """One history, read in order."""

    def __init__(self) -> None:
        self._unanswered: dict[str, deque[str]] = {}

    def called(self, given: str | None, name: str, position: str) -> str:
        """The id of a call of function ``name`` at ``position``, which is unique in the history."""
        call_id = given or f"call_{position}"
        self._unanswered.setdefault(name, deque()).append(call_id)
        return call_id

    def answered(self, given: str | None, name: str, position: str) -> str:
        """The id of the call that a response to ``name`` answers; one of its own where no call fits."""
        waiting = self._unanswered.get(name)
        if given:
            if waiting and given in waiting:
                waiting.remove(given)
            return given
        return waiting.popleft() if waiting else f"call_{position}"
