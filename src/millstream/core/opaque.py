"""Carry an opaque value of one dialect through a client of another, and recognise it when it comes back.

A thinking signature is only good for the provider that made it. Given to a foreign client as it is, it would return
looking like that client's own, and a later upstream would reject the request. So a foreign value is marked with its
origin on the way out and unmarked on the way in.

Where a client's dialect has no slot at all, which is so for the signature of a tool call everywhere but in Gemini,
the call's id carries the value: clients give ids back unread, in the call and in its result.
"""

from __future__ import annotations

import base64
import re

from millstream.core.messages import Opaque

_MARK = "millstream."
_ID_MARK = "~ms~"
_SIGNED_TAIL = re.compile(r"([^~]+)~([A-Za-z0-9_-]+)")

MAX_SIGNED_ID = 16_384
"""Characters a signed id may have. The longest recorded signature (5,832 characters) needs 7,800; Claude Code 2.1.329
gave back an id of 32,768 unharmed. There is a limit because every later request repeats each id twice."""


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


def sign_call_id(call_id: str, signature: Opaque | None) -> str:
    """``call_id`` as ``<id>~ms~<origin>~<value in base64url>``, for a client whose dialect cannot hold a signature.

    The bare id where there is no signature, or where the result would pass ``MAX_SIGNED_ID``: then the signature is
    lost to this client, and whoever renders the next request does what its upstream wants of unsigned calls.
    """
    if signature is None:
        return call_id
    value = base64.urlsafe_b64encode(signature.value.encode()).decode().rstrip("=")
    signed = f"{call_id}{_ID_MARK}{signature.origin}~{value}"
    return signed if len(signed) <= MAX_SIGNED_ID else call_id


def split_call_id(text: str) -> tuple[str, Opaque | None]:
    """The id and signature that ``sign_call_id`` joined; ``text`` itself and None for every other id."""
    call_id, mark, tail = text.rpartition(_ID_MARK)
    found = _SIGNED_TAIL.fullmatch(tail) if mark else None
    if found is None:
        return text, None
    origin, value = found.groups()
    try:
        return call_id, Opaque(origin, base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode())
    except ValueError:
        return text, None
