"""Forks: what they take over, and what is remembered of them.

A fork has a copy of what it took over: it reads like any stream, and its source may go. What is kept of the relation
is only what the protocol promises: a deleted stream that has forks is said to be gone until the last of them is gone.
It is a log of its own for each source: ``+`` a fork has come, ``-`` it has gone, ``x`` the source was deleted, which
itself was a fork of what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from millstream.server.durable.asking import Refused, is_json, messages_of
from millstream.sessions.journal import Journal, NoSuchStream, Trimmed

_FOREVER = 1e12


@dataclass(frozen=True, slots=True)
class _Relation:
    forks: set[str]
    gone: bool
    parent: str | None


class Forks:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def begin(self, owner: str, source: str, fork: str) -> None:
        key = _key(owner, source)
        while True:
            await self._journal.create(key, b"", _FOREVER)
            try:
                await self._journal.append(key, [b"+" + fork.encode()])
            except NoSuchStream:  # another's last fork has just gone
                continue
            return

    async def end(self, owner: str, source: str, fork: str) -> None:
        """``fork`` is no more; and with it, perhaps, what was kept of streams that were deleted."""
        while True:
            key = _key(owner, source)
            try:
                await self._journal.append(key, [b"-" + fork.encode()])
                relation = await self._relation(key)
            except NoSuchStream:
                return
            if relation.forks or not relation.gone:
                return
            await self._journal.delete(key)
            if relation.parent is None:
                return
            source, fork = relation.parent, source

    async def is_gone(self, owner: str, path: str) -> bool:
        """It was deleted, and has forks."""
        try:
            relation = await self._relation(_key(owner, path))
        except NoSuchStream:
            return False
        if not relation.gone:
            return False
        for fork in relation.forks:
            if await self._lives(owner, fork):
                return True
        await self._forget(owner, path, relation)
        return False

    async def bury(self, owner: str, path: str, parent: str | None) -> bool:
        """``path`` is about to be deleted. Does something remember it?"""
        key = _key(owner, path)
        try:
            relation = await self._relation(key)
            for fork in relation.forks:
                if await self._lives(owner, fork):
                    await self._journal.append(key, [b"x" + (parent or "").encode()])
                    return True
            await self._journal.delete(key)
        except NoSuchStream:
            pass
        return False

    async def _lives(self, owner: str, fork: str) -> bool:
        try:
            await self._journal.info(f"streams/{owner}/{fork}")
        except NoSuchStream:
            return await self.is_gone(owner, fork)
        return True

    async def _forget(self, owner: str, path: str, relation: _Relation) -> None:
        """All its forks have expired."""
        await self._journal.delete(_key(owner, path))
        if relation.parent is not None:
            await self.end(owner, relation.parent, path)

    async def _relation(self, key: str) -> _Relation:
        forks: set[str] = set()
        gone, parent, read = False, None, 0
        while True:
            batch = await self._journal.read(key, read)
            for entry in batch.entries:
                name = entry[1:].decode()
                if entry[:1] == b"x":
                    gone, parent = True, name or None
                elif entry[:1] == b"+":
                    forks.add(name)
                else:
                    forks.discard(name)
            if not batch.entries:
                return _Relation(forks, gone, parent)
            read += len(batch.entries)


def _key(owner: str, path: str) -> str:
    return f"forks/{owner}/{path}"


async def copy(journal: Journal, source: str, target: str, through: int) -> None:
    """The entries of ``source`` up to number ``through``. Raises ``Refused`` where they are not all there any more."""
    done = 0
    while done < through:
        try:
            batch = await journal.read(source, done)
        except (Trimmed, NoSuchStream):
            raise Refused(410, "the beginning of what is to be forked is kept no longer") from None
        done = await journal.append(target, batch.entries[: through - done])


def part_of(content_type: str, entries: Sequence[bytes], part: int) -> bytes:
    """The beginning of the first of ``entries``: ``part`` bytes, or messages of JSON."""
    whole: bytes | Sequence[bytes] = entries[0]
    if is_json(content_type):
        whole = messages_of(b"[%b]" % entries[0])
    if part > len(whole):
        raise Refused(400, "Stream-Fork-Sub-Offset: so much was not appended there at once")
    return whole[:part] if isinstance(whole, bytes) else b",".join(whole[:part])
