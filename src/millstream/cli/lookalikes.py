"""Text for terminals that do not know all characters: in place of one that is not there, one that looks alike."""

from __future__ import annotations

import codecs
import io
from typing import Final, TextIO

_NAME: Final = "millstream-lookalikes"
_INSTEAD: Final = {
    "…": "...",
    "–": "-",
    "—": "-",
    "→": "->",
    "✓": "+",
    "✗": "x",
    "×": "x",
    "µ": "u",
    "•": "*",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "─": "-",
    "━": "-",
    "│": "|",
    "❯": ">",
}


def allow(stream: TextIO) -> None:
    """Makes ``stream`` write any text, where its encoding would raise an error for some."""
    if isinstance(stream, io.TextIOWrapper) and not (stream.encoding or "").lower().startswith("utf"):
        codecs.register_error(_NAME, _instead)
        stream.reconfigure(errors=_NAME)


def _instead(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_INSTEAD.get(sign, "?") for sign in error.object[error.start : error.end]), error.end
