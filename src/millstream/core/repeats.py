"""What a stream repeats: most of its reads differ from the one before in a single JSON string, the piece of text.

Such a read need not be split, decoded and looked through again: whatever was true of the first holds for all that have
its bytes before and after the piece. On a busy machine, where each stream's read finds the caches cold, this saves half
of what reading an event costs (docs/decisions/0008-push-path.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

_STRING = msgspec.json.Decoder(str).decode
_STRINGS = msgspec.json.Decoder(list[str]).decode
_TRIES = 8
"""Some upstreams put something new into every event; there is no point in going on for ever."""


class Around(NamedTuple):
    """The bytes ``before`` and ``after`` a JSON string that is a piece of text. ``hear`` wants to know each text."""

    before: bytes
    after: bytes
    hear: Callable[[str], object] | None = None


class Repeats(NamedTuple):
    """What a reply repeats for now: what is around each text that is ``heard``, and what is ``said`` around it then.
    None: it is passed on in the words that it came in."""

    heard: Around
    said: Around | None


class Repeated:
    """Knows one read by heart, all but a piece of text in it."""

    __slots__ = ("_after", "_before", "_tries")

    def __init__(self) -> None:
        self._before = b""
        self._after = b""
        self._tries = 0

    @property
    def teachable(self) -> bool:
        return self._tries < _TRIES

    def miss(self) -> None:
        """There was something to learn from, and it could not be."""
        self._tries += 1

    def around(self, hear: Callable[[str], object] | None = None) -> Around:
        """What is known, once anything is."""
        return Around(self._before[:-1], self._after[1:], hear)

    def learn(self, data: bytes, field: bytes, text: str) -> bool:
        """``data`` is one whole frame, whose only effect was ``text``, the string in ``field``. False if it cannot be
        told where that is."""
        self.miss()
        name, value = b'"%b":' % field, msgspec.json.encode(text)
        written = next((name + space + value for space in (b"", b" ") if data.count(name + space + value) == 1), None)
        if written is None:
            return False
        end = data.index(written) + len(written) - 1
        start = end - len(value) + 2
        self._before, self._after = data[:start], data[end:]
        return True

    def text_in(self, data: bytes) -> str:
        """The piece of text by which alone ``data`` differs from what was learnt; empty if that is not so."""
        before, after = self._before, self._after
        if not before or len(data) <= len(before) + len(after):
            return ""
        if not (data.startswith(before) and data.endswith(after)):
            return ""
        text = text_of(data[len(before) - 1 : 1 - len(after)])
        if text:
            self._tries = 0
        return text

    def texts_in(self, payloads: Sequence[bytes]) -> list[str]:
        """The pieces of text by which alone the first of ``payloads`` differ from what was learnt, up to the first that
        has none or differs in more."""
        before, after = self._before, self._after
        if not before:
            return []
        start, end, least = len(before), -len(after), len(before) + len(after)
        pieces: list[bytes] = []
        for payload in payloads:
            if len(payload) <= least or not (payload.startswith(before) and payload.endswith(after)):
                break
            pieces.append(payload[start:end])
        if not pieces:
            return []
        texts = texts_of(pieces)
        if len(texts) == len(pieces):
            self._tries = 0
            return texts
        self.miss()
        return []


def text_of(string: bytes) -> str:
    """The text of a JSON string, from quote to quote; empty if it is none."""
    try:
        return _STRING(string)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""


def texts_of(pieces: Sequence[bytes]) -> list[str]:
    """The texts of JSON strings without their quotes; of another number than ``pieces`` if one of them is none."""
    try:
        # A line break is in no string of JSON, so that none can reach from one piece into the next.
        return _STRINGS(b'["%b"]' % b'",\n"'.join(pieces))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []
