"""Names and ids in the form that a provider demands. The same id always becomes the same, in calls and in results."""

from __future__ import annotations

import hashlib
import re
from typing import Literal

_NINE = re.compile(r"[a-zA-Z0-9]{9}")
_MAX_SHORT = 40
_MAX_NAME = 64
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


class CallIds:
    """The ids of tool calls. ``form`` as in ``OpenAIChatQuirks.call_ids``."""

    def __init__(self, form: Literal["any", "short", "nine_alphanumeric"]) -> None:
        self._form = form

    def __call__(self, call_id: str) -> str:
        if self._form == "nine_alphanumeric" and not _NINE.fullmatch(call_id):
            return _base62(call_id, 9)
        if self._form == "short" and len(call_id) > _MAX_SHORT:
            return f"call_{_base62(call_id, 24)}"
        return call_id


def _base62(text: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(digits)


def tool_name(name: str, pattern: str) -> str:
    """The name of a past call, for which there is no answer to understand any more."""
    if re.fullmatch(pattern, name):
        return name
    return _NOT_IN_NAMES.sub("_", name)[:_MAX_NAME] or "tool"
