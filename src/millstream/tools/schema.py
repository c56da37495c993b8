"""JSON schemas of typed arguments, in the plain form every model API takes: no ``$ref`` where it can be avoided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

_PREFIX = "#/$defs/"


def schema_of(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """The schema of kind ``object`` that ``arguments`` is checked by, with everything it refers to written in place.

    Types that contain themselves stay references. Raises ``TypeError`` for types that JSON cannot carry.
    """
    (top,), parts = msgspec.json.schema_components([arguments], ref_template=_PREFIX + "{name}")
    kept: set[str] = set()
    schema: dict[str, Any] = _inlined(top, parts, (), kept)
    schema.pop("title", None)
    schema.setdefault("additionalProperties", False)
    schema.setdefault("required", [])
    done: dict[str, Any] = {}
    while kept - done.keys():
        name = min(kept - done.keys())
        done[name] = _inlined(parts[name], parts, (name,), kept)
    if done:
        schema["$defs"] = done
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(schema))  # defaults may be tuples
    return plain


def _inlined(node: Any, parts: Mapping[str, Any], inside: tuple[str, ...], kept: set[str]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, parts, inside, kept) for item in node]
    if not isinstance(node, Mapping):
        return node
    name = str(node.get("$ref", "")).removeprefix(_PREFIX)
    if name in parts:
        if name in inside:
            kept.add(name)
            return dict(node)
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return {**_inlined(parts[name], parts, (*inside, name), kept), **rest}
    return {key: _inlined(value, parts, inside, kept) for key, value in node.items()}
