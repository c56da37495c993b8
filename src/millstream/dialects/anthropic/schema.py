"""JSON schemas as Anthropic's structured outputs take them.

Objects must be closed, and constraints that the grammar cannot enforce are refused; they move into the description,
where the model still reads them, as Anthropic's own SDKs do (``transform_schema``). Source:
https://platform.claude.com/docs/en/build-with-claude/structured-outputs#json-schema-limitations
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

_KEPT = frozenset({"type", "title", "description", "enum", "const", "default", "required", "$ref"})
_SCHEMAS = frozenset({"$defs", "definitions", "properties"})
_FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"},
)


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """``schema`` with every object closed and what cannot be enforced said in words."""
    result: dict[str, Any] = {}
    unenforced: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _SCHEMAS and isinstance(value, Mapping):
            result[name] = {key: _inner(item) for key, item in value.items()}
        elif name in ("anyOf", "oneOf", "allOf") and isinstance(value, list):
            result["anyOf" if name == "oneOf" else name] = [_inner(item) for item in value]
        elif name == "items" and isinstance(value, Mapping):
            result[name] = closed(value)
        elif name in _KEPT or _enforced(name, value):
            result[name] = value
        elif name not in ("additionalProperties", "$schema", "$id", "$comment", "strict"):
            unenforced[name] = value
    if schema.get("type") == "object" or "properties" in schema:
        result["additionalProperties"] = False
    if unenforced:
        rules = ", ".join(f"{name}: {msgspec.json.encode(value).decode()}" for name, value in unenforced.items())
        described = f"{result['description']}\n\n" if result.get("description") else ""
        result["description"] = f"{described}{{{rules}}}"
    return result


def _enforced(name: str, value: object) -> bool:
    return (name == "format" and isinstance(value, str) and value in _FORMATS) or (
        name == "minItems" and value in (0, 1)
    )


def _inner(schema: object) -> object:
    return closed(schema) if isinstance(schema, Mapping) else schema
