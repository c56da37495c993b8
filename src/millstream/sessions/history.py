"""Conversations as they are kept: one stream of a journal each, an entry for whatever was asked, answered or summed up.

A journal, since several processes may add to one conversation, and none may overwrite what it has not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from millstream.core.messages import Usage
from millstream.sessions.journal import Journal, JournalError, NoSuchStream, StreamInfo, Trimmed

_PREFIX = "conversations/"
State = Literal["complete", "interrupted", "failed"]


class Asked(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """``run_id`` answers it. ``goes_on``: not a message of the user, but the wish that the last answer be ended."""

    id: str
    run_id: str
    at: int
    text: str
    tokens: int
    context: Any = None
    goes_on: bool = False


class Answered(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """What the run ``run_id`` said. ``at`` is Unix time in ms."""

    id: str
    run_id: str
    at: int
    text: str
    tokens: int
    state: State = "complete"
    model: str = ""
    intent: str | None = None
    entities: Mapping[str, Any] = {}
    suggestions: tuple[str, ...] = ()
    usage: Usage | None = None


class Summarised(msgspec.Struct, frozen=True, tag=True):
    """``text`` stands for all turns before the message ``before``."""

    before: str
    text: str


Entry = Asked | Answered | Summarised


class SessionAbout(msgspec.Struct, frozen=True):
    """What lists of conversations tell. ``updated`` is Unix time in ms."""

    title: str
    updated: int
    messages: int = 0


class NoSuchSession(Exception):
    """Never there, deleted, expired, or another user's."""


class Loaded(msgspec.Struct, frozen=True):
    """A conversation with all that is left of it. ``last`` is the number of its last entry."""

    id: str
    last: int
    about: SessionAbout
    created: float
    entries: tuple[Entry, ...]

    @property
    def pending(self) -> Asked | None:
        """What nobody has answered yet, or said that it cannot be."""
        for entry in reversed(self.entries):
            if isinstance(entry, Answered):
                return None
            if isinstance(entry, Asked):
                return entry
        return None

    @property
    def last_answer(self) -> Answered | None:
        return next((entry for entry in reversed(self.entries) if isinstance(entry, Answered)), None)


_encode = msgspec.json.Encoder().encode
_decode_entry = msgspec.json.Decoder(Entry).decode
_decode_about = msgspec.json.Decoder(SessionAbout).decode


class History:
    """The conversations of everybody. ``who`` is whose they are (``whose``); nobody else finds them. A conversation is
    forgotten ``keep_for`` seconds after its last answer, and by ``forget_oldest`` where ``who`` has more than ``most``.

    Every method raises ``StoreError`` where the journal fails.
    """

    def __init__(self, journal: Journal, now: Callable[[], float], keep_for: float, most: int) -> None:
        self._journal = journal
        self._now = now
        self._keep_for = keep_for
        self._most = most

    async def create(self, who: str, session_id: str, title: str) -> Loaded:
        about = SessionAbout(title, self._moment())
        await self._journal.create(_key(who, session_id), _encode(about), self._now() + self._keep_for)
        return Loaded(session_id, 0, about, self._now(), ())

    async def load(self, who: str, session_id: str) -> Loaded:
        """Raises ``NoSuchSession``."""
        key = _key(who, session_id)
        try:
            info = await self._journal.info(key)
            number = info.first - 1
            entries: list[Entry] = []
            while number < info.last:
                number, found = await self._read(key, number)
                entries += found
        except NoSuchStream:
            raise NoSuchSession from None
        return Loaded(session_id, number, _decode_about(info.about), info.created, tuple(entries))

    async def _read(self, key: str, after: int) -> tuple[int, list[Entry]]:
        try:
            batch = await self._journal.read(key, after)
        except Trimmed as trimmed:  # of a very long one the beginning is forgotten, and may be while it is read
            batch = await self._journal.read(key, trimmed.first - 1)
        found = [_decode_entry(data) for data in batch.entries]
        return batch.first + len(found) - 1, found

    async def add(self, who: str, loaded: Loaded, *entries: Entry, alone: bool = False) -> Loaded:
        """``alone``: only if nothing was added since ``loaded``. Raises ``NoSuchSession``, ``SequenceConflict``."""
        messages = loaded.about.messages + _count(loaded, entries)
        about = msgspec.structs.replace(loaded.about, updated=self._moment(), messages=messages)
        key = _key(who, loaded.id)
        try:
            last = await self._journal.append(
                key,
                [_encode(entry) for entry in entries],
                expected=loaded.last if alone else None,
                about=_encode(about),
            )
            if any(isinstance(entry, Answered) for entry in entries):  # a question is answered soon
                await self._journal.keep(key, self._now() + self._keep_for)
        except NoSuchStream:
            raise NoSuchSession from None
        return msgspec.structs.replace(loaded, last=last, about=about, entries=(*loaded.entries, *entries))

    async def forget_oldest(self, who: str) -> None:
        """Of conversations beyond the most that ``who`` may have."""
        for info in (await self._journal.list(_prefix(who)))[self._most :]:
            await self._journal.delete(info.key)

    async def list(self, who: str) -> Sequence[tuple[str, SessionAbout, StreamInfo]]:
        """Those that were used last come first."""
        infos = await self._journal.list(_prefix(who))
        found = [(info.key.rpartition("/")[2], _decode_about(info.about), info) for info in infos]
        return sorted(found, key=lambda one: -one[1].updated)

    async def delete(self, who: str, session_id: str) -> bool:
        """Whether there was one."""
        try:
            return await self._journal.delete(_key(who, session_id))
        except JournalError:
            return False

    def _moment(self) -> int:
        return int(self._now() * 1000)


def _count(loaded: Loaded, entries: Sequence[Entry]) -> int:
    """Of messages. The rest of an answer is none of its own."""
    asked = loaded.pending
    said = [entry for entry in entries if isinstance(entry, Asked | Answered) and entry.text]
    return sum(not (isinstance(entry, Answered) and asked is not None and asked.goes_on) for entry in said)


def whose(owner: str, user_id: str) -> str:
    """The name under which the conversations of ``owner``'s user ``user_id`` are kept: neither can be read off it."""
    return hashlib.sha256(f"{owner}\0{user_id}".encode()).hexdigest()[:32]


def _prefix(who: str) -> str:
    return f"{_PREFIX}{who}/"


def _key(who: str, session_id: str) -> str:
    return _prefix(who) + session_id
