"""One string out of a JSON object whose text is still arriving: ``{"input": "..."}`` → the input, piece by piece.

Models that have no free-text tools write a tool's text as the one string argument of a function. A client that does
have such tools wants the text as it comes, not once the JSON is complete. What is not written as agreed (another
field first, no object at all) is kept and read as a whole at the end.
"""

from __future__ import annotations

import json
import re
from typing import Any

_MAX_OPENING = 4096
"""Characters looked at for the field's beginning."""

_WHOLE = re.compile(
    r"""(?:
        [^"\\]+
      | \\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}
      | \\u(?![dD][89abAB])[0-9a-fA-F]{4}
      | \\[^u]
    )*""",
    re.VERBOSE | re.DOTALL,
)
"""The longest beginning that ends neither within an escape nor between the halves of a surrogate pair."""

_LONGEST_ESCAPE = len(r"\ud83d\ude00")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|(.))", re.DOTALL)
_SHORT_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}


class StringField:
    """The value of the string field ``name``. ``feed`` gives what is new; ``finish`` what was still held back."""

    __slots__ = ("_closed", "_head", "_held", "_inside", "_pieces", "_searched")

    def __init__(self, name: str) -> None:
        self._head = re.compile(r'\s*\{\s*"' + re.escape(name) + r'"\s*:\s*"')
        self._searched = ""
        self._pieces: list[str] = []
        self._inside = False
        self._closed = False
        self._held = ""

    def feed(self, piece: str) -> str:
        """The decoded text that ``piece`` completed; empty while there is none."""
        if self._closed:
            return ""
        if self._inside:
            if not self._held and "\\" not in piece and '"' not in piece:
                return piece
            return self._take(self._held + piece)
        self._pieces.append(piece)
        if len(self._searched) > _MAX_OPENING:
            return ""
        self._searched += piece
        found = self._head.match(self._searched)
        if found is None:
            return ""
        self._inside = True
        return self._take(self._searched[found.end() :])

    def finish(self) -> str:
        """After the last piece: the text of a form that was not foreseen, else nothing more."""
        return "" if self._inside else _unforeseen("".join(self._pieces))

    def _take(self, text: str) -> str:
        """Decode what is whole of ``text``, hold the rest."""
        decoded: list[str] = []
        while True:
            end = _WHOLE.match(text).end()  # type: ignore[union-attr]  # it matches nothing at least
            decoded.append(_ESCAPE.sub(_unescaped, text[:end]))
            self._held = text[end:]
            if self._held[:1] == '"':
                self._closed = True
            if self._closed or len(self._held) < _LONGEST_ESCAPE:
                return "".join(decoded)
            # Half a surrogate pair, or no hexadecimal digits: no later piece can mend it.
            decoded.append("\ufffd")
            text = self._held[6:] if self._held[2:6].isalnum() else self._held[2:]


def _unescaped(escape: re.Match[str]) -> str:
    high, low, short = escape.groups()
    if short is not None:
        return _SHORT_ESCAPES.get(short, escape[0])
    if low is not None:
        return bytes.fromhex(high + low).decode("utf-16-be", "replace")
    return bytes.fromhex(high).decode("utf-16-be", "replace")


def _unforeseen(text: str) -> str:
    """The one string in ``text``, whatever it is called; without one, ``text`` itself."""
    try:
        value: Any = json.loads(text, strict=False)
    except ValueError:
        return text
    if isinstance(value, dict):
        strings = [field for field in value.values() if isinstance(field, str)]
        return strings[0] if len(strings) == 1 else text
    return value if isinstance(value, str) else text
