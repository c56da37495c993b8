"""Addresses with parts of the user's own: a cloud's project, region, resource. ``{name}`` stands for a row's value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.providers.catalog import Row

_GOOGLE_HOST = "google_host"
"""Not a value of its own but made of ``location``."""


def values_of(row: Row, own: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """What stands for ``row``'s values: the configuration's ``own``, else the environment's, else the row's."""
    found: dict[str, str] = {}
    for name, value in row.values.items():
        given = (environ[variable] for variable in value.env if environ.get(variable))
        text = own.get(name) or next(given, value.default)
        if text is not None:
            found[name] = text.rstrip("/")
    if "location" in found:
        found[_GOOGLE_HOST] = google_host(found["location"])
    return found


def filled(row: Row, values: Mapping[str, str]) -> Row:
    """``row`` with ``values`` in its address, and in quirks that are parts of it."""
    quirks = {name: _filled(quirk, values) for name, quirk in row.quirks.items()}
    return msgspec.structs.replace(row, base_url=_filled(row.base_url, values), quirks=quirks)


def missing(row: Row) -> tuple[str, ...]:
    """The variables in which the first value that is not there is looked for; none if the address is complete."""
    texts = [row.base_url, *(quirk for quirk in row.quirks.values() if isinstance(quirk, str))]
    for name, value in row.values.items():
        if any(f"{{{name}}}" in text for text in texts):
            return value.env
    return ()


def google_host(location: str) -> str:
    """Where Vertex AI is served: https://cloud.google.com/vertex-ai/docs/reference/rest#service-endpoint"""
    if location == "global":
        return "aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"


def _filled(text: Any, values: Mapping[str, str]) -> Any:
    if isinstance(text, str):
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
    return text
