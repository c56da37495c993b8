"""A setting that cannot be used, said so that its reader knows what to mend."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec


class ConfigError(Exception):
    """A setting cannot be used. The message is one line that names it and the fix."""


def nearest(name: str, known: Mapping[str, Any]) -> str:
    """The end of a message about ``name``, which is none of ``known``."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(sorted(known))}"


def plain(error: msgspec.ValidationError) -> str:
    """msgspec's message with its path (``- at `$.server.port```) in front, as a person would write it."""
    message, _, path = str(error).partition(" - at `$")
    name = path.rstrip("`").replace("[...]", "").lstrip(".")
    message = message[:1].lower() + message[1:]
    return f"{name}: {message}" if name else message
