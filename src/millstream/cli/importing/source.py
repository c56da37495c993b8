"""A tree of foreign settings that knows what has been read of it, so that nothing of the rest goes unmentioned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

Path = tuple[str | int, ...]
T = TypeVar("T")


class Source:
    """``tree`` is made of mappings, lists and plain values. What is not of the type that is wanted counts as unread."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree
        self._read: set[Path] = set()

    def get(self, kind: type[T], *path: str | int) -> T | None:
        """The value at ``path``, marked as read with all below it; None where there is none of this type."""
        value = self._at(path)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind in (int, float)):
            return None
        self._read.add(path)
        return value

    def keys(self, *path: str | int) -> list[str]:
        """Names below ``path``, without reading what they hold."""
        value = self._at(path)
        return [str(name) for name in value] if isinstance(value, dict) else []

    def count(self, *path: str | int) -> int:
        """How many entries the list at ``path`` has."""
        value = self._at(path)
        return len(value) if isinstance(value, list) else 0

    def refuse(self, *path: str | int) -> None:
        """What was read at ``path``, and below it, could not be used after all."""
        self._read = {read for read in self._read if read[: len(path)] != path}

    def left(self) -> list[str]:
        """The settings that nobody has read, each by the topmost name that stands for nothing that was."""
        return list(self._unread(self._tree, ()))

    def _unread(self, value: Any, path: Path) -> Iterator[str]:
        if path in self._read:
            return
        below = any(read[: len(path)] == path for read in self._read) or not path
        if not below:
            yield _name(self._tree, path)
            return
        entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, inner in entries:
            yield from self._unread(inner, (*path, name))

    def _at(self, path: Path) -> Any:
        value = self._tree
        for name in path:
            try:
                value = value[name]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def _name(tree: Any, path: Path) -> str:
    """Dotted, with entries of lists by their own name if they have one."""
    text = ""
    for step in path:
        tree = tree[step]
        if isinstance(step, int):
            own = tree.get("name", tree.get("model_name", step)) if isinstance(tree, dict) else step
            text += f"[{own}]"
        else:
            text += f".{step}" if text else str(step)
    return text
