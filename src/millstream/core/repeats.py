"""What a stream repeats: most of its reads differ from the one before in a single JSON string, the piece of text.

Such a read need not be split, decoded and looked through again: whatever was true of the first holds for all that have
its bytes before and after the piece. On a busy machine, where each stream's read finds the caches cold, this saves half
of what reading an event costs (docs/decisions/0008-push-path.md).
"""

from __future__ import annotations

_TRIES = 8
"""Some upstreams put something new into every event; there is no point in going on for ever."""


class Repeated:
    """Knows one read by heart, all but a piece of text in it."""

    __slots__ = ("_after", "_before", "_least", "_tries")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._least = 0
        self._tries = 0

    @property
    def teachable(self) -> bool:
        return self._tries < _TRIES

    def miss(self) -> None:
        """There was something to learn from, and it could not be."""
        self._tries += 1

    def learn(self, data: bytes, field: bytes, text: str) -> bool:
        """``data`` is one whole frame, whose only effect was ``text``, the string in ``field``. False if it cannot be
        told where that is."""
        self.miss()
        name, value = b'"%b":' % field, b'"%b"' % text.encode()
        written = next((name + space + value for space in (b"", b" ") if data.count(name + space + value) == 1), None)
        if written is None:
            return False
        end = data.index(written) + len(written) - 1
        start = end - len(value) + 2
        self._before, self._after = data[:start], data[end:]
        self._least = len(self._before) + len(self._after) + 1
        return True

    def text_in(self, data: bytes) -> str:
        """The piece of text by which alone ``data`` differs from what was learnt; empty if that is not so, or if it
        cannot be told without a decoder."""
        before, after = self._before, self._after
        if len(data) < self._least or not data.startswith(before) or not data.endswith(after):
            return ""
        piece = data[len(before) : -len(after)]
        if b'"' in piece or b"\\" in piece:
            return ""
        try:
            text = piece.decode()
        except UnicodeDecodeError:
            return ""
        if not text.isprintable():  # no string of JSON has control characters in it
            return ""
        self._tries = 0
        return text
