"""Carry an opaque value of one dialect through a client of another, and recognise it when it comes back.

A thinking signature is only good for the provider that made it. Given to a foreign client as it is, it would return
looking like that client's own, and a later upstream would reject the request. So a foreign value is marked with its
origin on the way out and unmarked on the way in.
"""

from __future__ import annotations

from millstream.core.messages import Opaque

_MARK = "millstream."


def wrap(opaque: Opaque, dialect: str) -> str:
    """``opaque`` as a client of ``dialect`` may hold it: bare if its own, else marked with its origin."""
    if opaque.origin == dialect:
        return opaque.value
    return f"{_MARK}{opaque.origin}.{opaque.value}"


def unwrap(text: str, dialect: str) -> Opaque:
    """What a client of ``dialect`` gave back: marked values regain their origin, all others are ``dialect``'s own."""
    if text.startswith(_MARK):
        origin, dot, value = text[len(_MARK) :].partition(".")
        if dot:
            return Opaque(origin, value)
    return Opaque(dialect, text)
