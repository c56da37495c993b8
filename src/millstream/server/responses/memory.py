"""What one connection remembers of its own replies, also of those that are not to be stored."""

from __future__ import annotations

from collections import OrderedDict

from millstream.server.responses.keeping import History

_MOST = 32
"""As many as a connection can have streams."""


class Memory:
    """The latest replies, of which all but the very latest must fit into ``max_bytes`` together."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._found: OrderedDict[str, tuple[History, int]] = OrderedDict()
        self._size = 0

    def add(self, reply_id: str, history: History, size: int) -> None:
        """``size`` is about what ``history`` takes, in bytes."""
        _, replaced = self._found.pop(reply_id, (None, 0))
        self._found[reply_id] = (history, size)
        self._size += size - replaced
        while len(self._found) > 1 and (self._size > self._max_bytes or len(self._found) > _MOST):
            _, (_, freed) = self._found.popitem(last=False)
            self._size -= freed

    def find(self, reply_id: str) -> History | None:
        found = self._found.get(reply_id)
        return found[0] if found is not None else None

    def drop(self, reply_id: str) -> None:
        _, freed = self._found.pop(reply_id, (None, 0))
        self._size -= freed
