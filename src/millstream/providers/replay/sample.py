"""The least value that a JSON schema accepts, for tools that a script calls without knowing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 8
_BY_TYPE: dict[str, object] = {"string": "example", "boolean": True, "null": None}


def sample(schema: Mapping[str, Any]) -> Any:
    """A value with every required property and nothing else. Follows ``$ref`` within ``schema``."""
    return _value(schema, schema, 0)


def _value(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("enum", "examples"):
        if schema.get(key):
            return schema[key][0]
    if isinstance(schema.get("$ref"), str):
        return _value(_resolved(schema["$ref"], root), root, depth + 1)
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _value(schema[key][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    kind = kinds if isinstance(kinds, str) else next(iter(kinds), "string")
    match kind.lower():  # Gemini writes types in capitals
        case "object":
            known = schema.get("properties", {})
            return {name: _value(known.get(name, {}), root, depth + 1) for name in schema.get("required", ())}
        case "array":
            return [_value(schema.get("items", {}), root, depth + 1) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case plain:
            return _BY_TYPE.get(plain, "example")


def _resolved(ref: str, root: Mapping[str, Any]) -> Any:
    node: Any = root
    for step in filter(None, ref.removeprefix("#").split("/")):
        node = node.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(node, Mapping) else {}
    return node
