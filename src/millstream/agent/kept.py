"""Mixed turns as the model wrote them, for the request that brings the client's part of the results.

The client is told nothing of the calls that ran here. If a turn is forgotten, the conversation goes on from what the
client sends, which is whole in itself: at worst the model calls those tools again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from millstream.agent.loop import calls_of
from millstream.core.messages import Message, ToolResultPart
from millstream.policy.caller import Owner
from millstream.sessions.base import SessionStore, StoreError

_KEEP_S = 24 * 3600.0
_PREFIX = "agent/turn/"


class Kept:
    """``owner`` keeps the turns of one caller from another's; ids of calls are random besides."""

    def __init__(self, store: SessionStore, now: Callable[[], float], owner: Owner = str) -> None:
        self._store = store
        self._now = now
        self._owner = owner

    async def put(self, turns: Sequence[Message]) -> None:
        """``turns`` of one reply: last the turn that calls tools of the client too, and the results found here."""
        here = {part.call_id for part in turns[-1].parts if isinstance(part, ToolResultPart)}
        theirs = [call.id for call in calls_of(turns[-2]) if call.id not in here]
        try:
            await self._store.put(self._key(theirs[0]), msgspec.json.encode(list(turns)), self._now() + _KEEP_S)
        except StoreError:
            return  # it is a memory, not a promise

    async def of(self, messages: Sequence[Message]) -> list[tuple[Message, ...]]:
        """What is kept of the turns in ``messages``."""
        found: list[tuple[Message, ...]] = []
        for message in messages:
            calls = calls_of(message) if message.role == "assistant" else []
            for call in calls[:1]:
                try:
                    value = await self._store.get(self._key(call.id))
                except StoreError:
                    return found
                if value is not None:
                    found.append(msgspec.json.decode(value, type=tuple[Message, ...]))
        return found

    def _key(self, call_id: str) -> str:
        return f"{_PREFIX}{self._owner()}/{call_id}"
