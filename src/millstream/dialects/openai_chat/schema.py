"""JSON schemas of tools and answers, as strict as the providers that read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Schema = dict[str, Any]

_MAPS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_UNIONS = ("anyOf", "oneOf")


def of_arguments(parameters: Mapping[str, Any] | None, flavour: str) -> Schema:
    """The schema of a tool's arguments, which every provider wants to be an object's, with properties."""
    schema = dict(parameters or {})
    schema.setdefault("type", "object")
    if schema["type"] == "object":
        schema.setdefault("properties", {})
    return _moonshot_root(schema) if flavour == "moonshot" else schema


def is_enforceable(schema: object) -> bool:
    """Whether OpenAI's ``strict`` takes it: every object is closed and requires all its properties.

    https://platform.openai.com/docs/guides/structured-outputs#supported-schemas
    """
    if not isinstance(schema, Mapping):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties, required = schema.get("properties") or {}, schema.get("required") or []
        if not isinstance(properties, Mapping) or not isinstance(required, list):
            return False
        if schema.get("additionalProperties") is not False or sorted(map(str, required)) != sorted(properties):
            return False
    inner = [value for name in _MAPS for value in _mapping(schema, name).values()]
    inner += [value for name in _LISTS for value in _list(schema, name)]
    inner.append(schema.get("items"))
    return all(is_enforceable(value) for value in inner)


def _mapping(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = schema.get(name)
    return value if isinstance(value, Mapping) else {}


def _list(schema: Mapping[str, Any], name: str) -> list[Any]:
    value = schema.get(name)
    return value if isinstance(value, list) else []


def _moonshot_root(schema: Schema) -> Schema:
    """Moonshot wants an object at the root, and no ``type`` beside a union. So a union there becomes one object with
    the properties of all its members: which of them go together, the tool itself will say."""
    schema = dict(schema)
    for union in _UNIONS:
        for member in _list({union: schema.pop(union, None)}, union):
            if isinstance(member, Mapping):
                schema["properties"] = {**_mapping(member, "properties"), **_mapping(schema, "properties")}
    return _moonshot(schema)


def _moonshot_inner(schema: Any) -> Any:
    return _moonshot(schema) if isinstance(schema, Mapping) else schema


def _moonshot(schema: Mapping[str, Any]) -> Schema:
    found = _each_inner(schema, _moonshot_inner)
    items = found.get("items")
    if isinstance(items, list):
        del found["items"]
        found["prefixItems"] = [_moonshot_inner(item) for item in items]
    for union in _UNIONS:
        if isinstance(found.get(union), list) and "type" in found:
            kind = found.pop("type")
            found[union] = [
                {"type": kind, **member} if isinstance(member, Mapping) else member for member in found[union]
            ]
    return found


def _each_inner(schema: Mapping[str, Any], change: Callable[[Any], Any]) -> Schema:
    """``schema`` with ``change`` applied to the schemas in it."""
    found = dict(schema)
    for name in _MAPS:
        if isinstance(found.get(name), Mapping):
            found[name] = {key: change(value) for key, value in found[name].items()}
    for name in _LISTS:
        if isinstance(found.get(name), list):
            found[name] = [change(value) for value in found[name]]
    for name in _SINGLE:
        if isinstance(found.get(name), Mapping):
            found[name] = change(found[name])
    return found
