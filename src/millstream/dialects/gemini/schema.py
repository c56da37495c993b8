"""Schemas: JSON Schema, which the canonical request speaks, and OpenAPI's, which this API spoke first.

Sources: ``Schema`` and ``responseJsonSchema`` in https://ai.google.dev/api/caching#Schema and
https://ai.google.dev/api/generate-content#generationconfig, which lists the keywords that are understood.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millstream.core.errors import ClientFault
from millstream.dialects.gemini.fields import camel, wrong

_MAX_DEPTH = 100
_MAX_NODES = 20_000

_TYPES = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
_COUNTS = frozenset({"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"})
_MAPS = frozenset({"properties", "$defs", "definitions", "defs"})
_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_ONE = frozenset({"items", "additionalProperties"})

_BOTH = frozenset(
    {
        *("type", "format", "title", "description", "enum", "default", "items", "minItems", "maxItems", "minLength"),
        *("maxLength", "minProperties", "maxProperties", "minimum", "maximum", "pattern", "anyOf", "properties"),
        *("required", "propertyOrdering", "nullable"),
    }
)
_UNDERSTOOD = _BOTH | {"$id", "$defs", "$ref", "$anchor", "prefixItems", "oneOf", "additionalProperties", "uniqueItems"}
_SILENT = frozenset(
    {
        *("$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "examples", "readOnly", "writeOnly"),
        *("deprecated", "additionalProperties"),
    }
)
"""Go without a word: they say nothing of a value, or (the last) only forbid what a model has no cause to write."""

_SHAPES = frozenset({"properties", "$ref", "anyOf", "oneOf", "allOf", "additionalProperties", "patternProperties"})
_OPENAPI_FORMATS = frozenset({"enum", "date-time", "int32", "int64", "float", "double"})


def to_json_schema(schema: Any, path: str, depth: int = 0) -> Any:
    """A schema as a client wrote it, in JSON Schema: types in lower case, ``nullable`` as a type, counts as numbers.

    What is JSON Schema already stays as it is. Raises ``ClientFault`` that names the path.
    """
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, Mapping):
        raise wrong(path, "a schema", schema)
    if depth > _MAX_DEPTH:
        raise ClientFault(f"{path}: the schema is nested too deeply", param=path)
    found: dict[str, Any] = {}
    for key, value in schema.items():
        name = key if key.startswith("$") else camel(key)
        if value is None or name == "propertyOrdering" or value == "TYPE_UNSPECIFIED":
            continue
        if name == "type":
            found[name] = _lower(value)
        elif name in _COUNTS and isinstance(value, str) and value.isdigit():
            found[name] = int(value)
        elif name == "format" and value == "enum":
            continue
        elif name == "example":
            found["examples"] = [value]
        else:
            found[name] = _each(name, value, lambda part, at: to_json_schema(part, at, depth + 1), path)
    return _with_null(found)


def _lower(value: Any) -> Any:
    if isinstance(value, list):
        return [_lower(one) for one in value]
    return value.lower() if isinstance(value, str) and value in _TYPES else value


def _with_null(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.pop("nullable", False) is not True:
        return schema
    kind = schema.get("type")
    if isinstance(kind, str) and kind != "null":
        schema["type"] = [kind, "null"]
        if "enum" in schema and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
    elif "anyOf" in schema:
        schema["anyOf"] = [*schema["anyOf"], {"type": "null"}]
    return schema


def _each(name: str, value: Any, convert: Callable[[Any, str], Any], path: str) -> Any:
    """``value`` of keyword ``name`` with ``convert`` applied to every schema directly in it."""
    at = f"{path}.{name}"
    if name in _MAPS and isinstance(value, Mapping):
        return {key: convert(part, f"{at}.{key}") for key, part in value.items()}
    if name in _LISTS and isinstance(value, list):
        return [convert(part, f"{at}[{index}]") for index, part in enumerate(value)]
    if name in _ONE and isinstance(value, (Mapping, bool)):
        return convert(value, at)
    return value


class Rendered:
    """A schema made fit for this API. ``dropped`` names the keywords that had to go, which only constrain."""

    def __init__(self, *, openapi: bool) -> None:
        self.dropped: set[str] = set()
        self._openapi = openapi
        self._known = _BOTH if openapi else _UNDERSTOOD
        self._nodes = 0
        self._root: Mapping[str, Any] = {}

    def of(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ``ClientFault`` for a schema that is too large or nested beyond reason."""
        self._root = schema
        node: dict[str, Any] = self._node(schema, 0, frozenset())
        return node

    def _node(self, schema: Any, depth: int, within: frozenset[str]) -> Any:
        """``within`` holds the references that are being replaced by what they point to."""
        self._nodes += 1
        if depth > _MAX_DEPTH or self._nodes > _MAX_NODES:
            raise ClientFault("a tool's or response's schema is too large or nested too deeply")
        if not isinstance(schema, Mapping):
            return {} if self._openapi else schema
        target = schema.get("$ref")
        if isinstance(target, str) and self._openapi:
            return {} if target in within else self._node(self._target(schema, target), depth + 1, within | {target})
        if isinstance(target, str):
            schema = {name: value for name, value in schema.items() if name[:1] == "$" or name == "definitions"}
        found: dict[str, Any] = {}
        for name, value in _without_all_of(schema).items():
            self._keyword(found, name, value, lambda part, _: self._node(part, depth + 1, within))
        return _as_openapi(found) if self._openapi else found

    def _keyword(self, found: dict[str, Any], name: str, value: Any, convert: Callable[[Any, str], Any]) -> None:
        if name == "const":
            found["enum"] = [value]
        elif name == "$ref":
            found[name] = value.replace("#/definitions/", "#/$defs/") if isinstance(value, str) else value
        elif name in self._known:
            found[name] = _each(name, value, convert, "")
        elif name == "definitions" and not self._openapi:
            found["$defs"] = _each(name, value, convert, "")
        elif name == "oneOf":
            found["anyOf"] = _each(name, value, convert, "")
        elif name not in _SILENT:
            self.dropped.add(f"schema.{name}")

    def _target(self, schema: Mapping[str, Any], target: str) -> Mapping[str, Any]:
        """What the JSON pointer ``target`` points to, with what ``schema`` says beside it."""
        found: Any = self._root
        for step in target.removeprefix("#").strip("/").split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        return {**found, **beside} if isinstance(found, Mapping) else beside


def _without_all_of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """``allOf``, which this API lacks, folded into the schema that has it."""
    parts = schema.get("allOf")
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
        return schema
    merged: dict[str, Any] = {}
    for part in (*parts, {name: value for name, value in schema.items() if name != "allOf"}):
        for name, value in _without_all_of(part).items():
            old = merged.get(name)
            if name == "properties" and isinstance(old, Mapping) and isinstance(value, Mapping):
                merged[name] = {**old, **value}
            elif name == "required" and isinstance(old, list) and isinstance(value, list):
                merged[name] = [*old, *(one for one in value if one not in old)]
            else:
                merged[name] = value
    return merged


def _as_openapi(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, list):
        del schema["type"]
        kinds = [one for one in kind if isinstance(one, str) and one != "null"]
        if "null" in kind:
            schema["nullable"] = True
        if len(kinds) == 1:
            kind = kinds[0]
        else:
            schema.setdefault("anyOf", [{"type": one.upper()} for one in kinds])
    if isinstance(kind, str):
        schema["type"] = kind.upper()
    _openapi_enum(schema)
    if schema.get("format") not in _OPENAPI_FORMATS:
        schema.pop("format", None)
    return schema


def _openapi_enum(schema: dict[str, Any]) -> None:
    """``enum`` holds strings only; of other constants their type is what can be said."""
    values = schema.pop("enum", None)
    if not isinstance(values, list):
        return
    constants = [value for value in values if value is not None]
    if len(constants) < len(values):
        schema["nullable"] = True
    if constants and all(isinstance(value, str) for value in constants):
        schema["enum"] = constants
        schema.setdefault("type", "STRING")


def takes_nothing(schema: Mapping[str, Any] | None) -> bool:
    """An object without properties. This API refuses one; a tool without parameters has no schema at all."""
    return not schema or (schema.get("type") == "object" and not _SHAPES & {key for key in schema if schema[key]})
