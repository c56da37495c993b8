"""The shortest way of a token: one call between the read of the upstream's socket and the write to the client's.

Most reads of a stream are one HTTP chunk with one frame that differs from the last in its text alone
(``core/repeats``). Such a read is taken apart and said anew without asking the HTTP parser, the dialects and the line
to the client one after another, each of which has its own part of memory to fetch for every stream: a fifth of what an
event costs (docs/decisions/0013-shortcut.md). Whatever is not so goes the long way (``pipeline``), and nothing of it
has been touched.
"""

from __future__ import annotations

from typing import Final, Protocol

from millstream.core.repeats import Repeats, text_of

_LONGEST: Final = 4096
"""Bytes of a read. A longer one costs its time elsewhere."""


class Wire(Protocol):
    """The socket of a client, as asyncio has it."""

    def write(self, data: bytes) -> object: ...


class Clock(Protocol):
    """The event loop's."""

    def time(self) -> float: ...


def _size_lines() -> tuple[bytes, ...]:
    """By the length of a read that is one chunk: how it begins. https://www.rfc-editor.org/rfc/rfc9112#name-chunked-transfer-coding"""
    lines = [b"\0"] * _LONGEST  # which no read begins with
    for size in range(1, _LONGEST):
        line = b"%x\r\n" % size
        length = len(line) + size + 2
        if length < _LONGEST:
            lines[length] = line
    return tuple(lines)


_LOWER = _size_lines()
_UPPER = tuple(line.upper() for line in _LOWER)


class Shortcut:
    """For as long as one reply ``repeats`` itself. Not made where the client is slow, and dead from then on.

    ``taken`` counts the reads that went this way, ``at`` is the clock's time of the last.
    """

    __slots__ = (
        "_after",
        "_before",
        "_clock",
        "_head",
        "_hear",
        "_hear_too",
        "_rest",
        "_sizes",
        "_wire",
        "at",
        "open",
        "taken",
    )

    def __init__(self, repeats: Repeats, wire: Wire, clock: Clock) -> None:
        heard, said = repeats
        self.open = True
        self.taken = 0
        self.at = clock.time()
        self._clock = clock
        self._wire = wire
        self._sizes = _LOWER
        self._before = heard.before + b'"'
        self._after = b'"%b\r\n' % heard.after
        self._hear = heard.hear
        self._hear_too = said.hear if said is not None else None
        self._head: bytes | None = None
        self._rest = b""
        if said is not None:
            self._head, self._rest = said.before + b'"', b'"%b\r\n' % said.after

    def fits(self, read: bytes, body: bytes) -> bool:
        """Whether ``read`` was one chunk, and ``body`` what was in it: then the next one may be offered."""
        if len(read) < _LONGEST:
            for sizes in (_LOWER, _UPPER):
                if read == sizes[len(read)] + body + b"\r\n":
                    self._sizes = sizes
                    return self.open
        return False

    def take(self, read: bytes) -> bool:
        """Passes on what one read of the upstream's socket says, if it is one chunk with one text."""
        if len(read) >= _LONGEST:
            return False
        line, before, after = self._sizes[len(read)], self._before, self._after
        begin, end = len(line) + len(before), len(read) - len(after)
        if begin >= end:  # to slice so is an error of mypyc's
            return False
        piece = read[begin:end]
        # Quicker than to look at beginning and end.
        if read != b"".join((line, before, piece, after)) or not self.open:
            return False
        text = text_of(b'"%b"' % piece)
        if not text:
            return False
        if self._hear is not None:
            self._hear(text)
        if self._hear_too is not None:
            self._hear_too(text)
        head = self._head
        if head is not None:
            rest = self._rest
            read = b"%x\r\n%b%b%b" % (len(head) + len(piece) + len(rest) - 2, head, piece, rest)
        self._wire.write(read)
        self.taken += 1
        self.at = self._clock.time()
        return True
