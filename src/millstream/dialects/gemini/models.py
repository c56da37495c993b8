"""What a model's name tells about the API it wants to be spoken to in."""

from __future__ import annotations

import re
import string

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_NEWEST = (99, 0)
_PLAIN = frozenset(string.ascii_letters + string.digits + "-_.~/@:")


def version(model: str) -> tuple[int, int]:
    """``gemini-2.5-flash`` → (2, 5). Aliases such as ``gemini-flash-latest`` stand for the newest."""
    found = _VERSION.search(model)
    return (int(found.group(1)), int(found.group(2) or 0)) if found else _NEWEST


def path_of(model: str, template: str, method: str) -> str:
    """The URL path of ``method``. A name may bring its own collection (``tunedModels/…``) along.

    A model's name comes from a client, so what has a meaning in a URL is escaped.
    """
    name = _escaped(model.removeprefix("models/"))
    if name.startswith("tunedModels/"):
        template = template.replace("models/{model}", "{model}")
    return f"{template.replace('{model}', name)}:{method}"


def _escaped(name: str) -> str:
    """Percent-encoding of all but unreserved characters, ``/``, ``@`` and ``:``; ``..`` never climbs."""
    safe = "".join(char if char in _PLAIN else _percent(char) for char in name)
    return "/".join("%2E%2E" if step == ".." else step for step in safe.split("/"))


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())
