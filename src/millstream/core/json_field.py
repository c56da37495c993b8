"""One string out of a JSON object whose text is still arriving: ``{"input": "..."}`` → the input, piece by piece.

Models that have no free-text tools write a tool's text as the one string argument of a function. A client that does
have such tools wants the text as it comes, not once the JSON is complete. What is not written as agreed (another
field first, no object at all) is kept and read as a whole at the end.
"""

from __future__ import annotations

import json
import re
from typing import Any

_ESCAPE_AT_END = re.compile(r"\\(u[0-9a-fA-F]{0,3})?\Z")
_HIGH_SURROGATE_AT_END = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(\\(u[0-9a-fA-F]{0,3})?)?\Z")
_UNESCAPED_QUOTE = re.compile(r'(?:[^"\\]|\\.)*?(")', re.DOTALL)


class StringField:
    """The value of the string field ``name``. ``feed`` gives what is new; ``finish`` what was still held back."""

    __slots__ = ("_closed", "_head", "_held", "_inside", "_opening", "_pieces")

    def __init__(self, name: str) -> None:
        self._head = re.compile(r'\s*\{\s*"' + re.escape(name) + r'"\s*:\s*"')
        self._opening = ""
        self._inside = False
        self._closed = False
        self._held = ""
        self._pieces: list[str] = []

    def feed(self, piece: str) -> str:
        """The decoded text that ``piece`` completed; empty while there is none."""
        if self._closed:
            return ""
        if self._inside:
            return self._take(piece)
        self._pieces.append(piece)
        if len(self._opening) > 4096:
            return ""
        self._opening += piece
        found = self._head.match(self._opening)
        if found is None:
            return ""
        self._inside = True
        return self._take(self._opening[found.end() :])

    def finish(self) -> str:
        """What is left once all pieces have come: the tail of a cut-off string, or the text of an unforeseen form."""
        if self._inside:
            return ""
        return _unforeseen("".join(self._pieces))

    def _take(self, piece: str) -> str:
        if not self._held and "\\" not in piece and '"' not in piece:
            return piece
        text = self._held + piece
        end = _UNESCAPED_QUOTE.match(text)
        if end is not None:
            self._closed = True
            self._held = ""
            return _decoded(text[: end.start(1)])
        split = len(text)
        for incomplete in (_HIGH_SURROGATE_AT_END, _ESCAPE_AT_END):
            cut = _tail(incomplete, text)
            if cut is not None:
                split = cut
                break
        self._held = text[split:]
        return _decoded(text[:split])


def _tail(incomplete: re.Pattern[str], text: str) -> int | None:
    """Where an unfinished escape at the end of ``text`` begins; an escaped backslash is a finished one."""
    found = incomplete.search(text, max(len(text) - 12, 0))
    if found is None:
        return None
    start = found.start()
    before = len(text[:start]) - len(text[:start].rstrip("\\"))
    return start + before % 2 if before % 2 else start


def _decoded(text: str) -> str:
    """``text`` without its JSON escapes. Line breaks that a model forgot to escape are let through."""
    if "\\" not in text:
        return text
    try:
        value: str = json.loads(f'"{text}"', strict=False)
    except ValueError:
        return text
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unforeseen(text: str) -> str:
    """The one string in ``text``, whatever it is called; without one, ``text`` itself."""
    try:
        value: Any = json.loads(text, strict=False)
    except ValueError:
        return text
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        strings = [field for field in value.values() if isinstance(field, str)]
        if len(strings) == 1:
            return strings[0]
    return text
