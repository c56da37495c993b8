"""Text of others for a terminal: without anything the terminal, or the order of letters on it, would obey."""

from __future__ import annotations

import re

_LONGEST = 256
"""A sequence that is not over after so many characters is taken for text."""

_STRING = r"(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*"
_SEQUENCE = re.compile(rf"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|{_STRING}(?:\x07|\x1b\\|\x9c)|\x1b(?![\[\]PX^_])[ -/]*[0-~]")
_UNFINISHED = re.compile(rf"(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*|{_STRING}\x1b?|\x1b[ -/]*|\r)\Z")
_LINE_ENDS = re.compile("\r\n|[\u2028\u2029\x85]")
_OTHERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
"""Controls but for tab and line feed; marks that turn the direction of letters; tags nobody sees; lone surrogates."""


class Cleaner:
    """Cleans a text that comes in pieces: a sequence may begin in one and end in another."""

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        text = _SEQUENCE.sub("", self._held + text)
        self._held = ""
        found = _UNFINISHED.search(text)
        if found is not None and len(text) - found.start() <= _LONGEST:
            self._held = text[found.start() :]
            text = text[: found.start()]
        return _OTHERS.sub("", _LINE_ENDS.sub("\n", text))


def clean(text: str) -> str:
    """The whole of ``text``, cleaned. Line feeds and tabs stay."""
    return _OTHERS.sub("", _LINE_ENDS.sub("\n", _SEQUENCE.sub("", text)))


def clean_line(text: str) -> str:
    """``text`` on one line."""
    return " ".join(clean(text).split())
