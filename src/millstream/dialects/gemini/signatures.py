"""Thought signatures: what goes into ``thoughtSignature``, and what is read out of it.

The field is bytes in base64, and Google's own SDKs decode it. A foreign value is marked with its origin
(``core/opaque.py``) and then encoded, so that it survives a client that decodes and encodes it again.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

from millstream.core.messages import Opaque
from millstream.core.opaque import unwrap, wrap
from millstream.dialects.gemini.wire import DIALECT

SKIP_VALIDATION = "skip_thought_signature_validator"
"""For calls that no Gemini model made (https://ai.google.dev/gemini-api/docs/thought-signatures)."""

_REDACTED = "#redacted"
_MARK = base64.b64encode(b"millstrea").decode()
"""How every marked value begins: nine bytes, so that no other byte has a share in the last character."""


class Held(NamedTuple):
    """What a ``thoughtSignature`` held. ``redacted``: not a signature but thinking only its provider can read."""

    opaque: Opaque
    redacted: bool = False


def for_client(opaque: Opaque, *, redacted: bool = False) -> str:
    """The value a client of this dialect is given to keep."""
    if opaque.origin == DIALECT:
        return opaque.value
    marked = Opaque(opaque.origin + _REDACTED, opaque.value) if redacted else opaque
    return base64.b64encode(wrap(marked, DIALECT).encode()).decode()


def from_client(text: str) -> Held:
    """What ``for_client`` was given, in either base64 alphabet; any other text is Gemini's own signature."""
    if text.startswith(_MARK):
        padded = text.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            plain = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode()
        except ValueError:
            return Held(Opaque(DIALECT, text))
        opaque = unwrap(plain, DIALECT)
        if opaque.origin != DIALECT:
            origin = opaque.origin.removesuffix(_REDACTED)
            return Held(Opaque(origin, opaque.value), origin != opaque.origin)
    return Held(Opaque(DIALECT, text))


def for_upstream(opaque: Opaque | None) -> str | None:
    """The signature as the upstream may see it: only its own."""
    return opaque.value if opaque is not None and opaque.origin == DIALECT else None
