"""Read a scenario file strictly: a mistake is one line that names the file, the key and the fix."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from millstream.providers.replay.scenario import Scenario

_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?")
_BAD_KIND = re.compile(r"Invalid value '(?P<value>[^']*)' - at `\$(?P<path>[^`]*)\.kind`")
_BAD_CHOICE = re.compile(r"Invalid enum value '(?P<value>[^']*)' - at `\$(?P<path>[^`]*)`")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`(?: - at `\$(?P<path>[^`]*)`)?")
_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(?P<key>\w+)|\[(?P<index>\d+)\]")


class ScenarioError(Exception):
    """A scenario or recording cannot be used. The message is one line that names the file, the key and the fix."""


def read_scenario(path: Path) -> Scenario:
    """A TOML or JSON file as a scenario. Raises ``ScenarioError``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ScenarioError(f"{path}: cannot be read: {reason}") from error
    try:
        tree = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScenarioError(f"{path}: not valid {path.suffix[1:].upper()}: {error}") from error
    return scenario_of(tree, str(path))


def scenario_of(tree: object, source: str) -> Scenario:
    """A scenario from what its file decodes to. ``source`` is named in errors. Raises ``ScenarioError``."""
    try:
        return msgspec.convert(tree, Scenario)
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{source}: {_plain(str(error), tree)}") from error


def _plain(message: str, tree: object) -> str:
    """msgspec's message as a person would write it: the key in front, the nearest name at the end."""
    if (found := _UNKNOWN.fullmatch(message)) is not None:
        name, path = found["field"], found["path"] or ""
        known = [field.encode_name for kind in _structs_at(path, tree) for field in kind.fields]
        return f"{_key(f'{path}.{name}')} is not a key here{_nearest(name, known)}"
    if (found := _MISSING.fullmatch(message)) is not None:
        name, path = found["field"], found["path"] or ""
        return f"{_key(f'{path}.{name}')} is missing"
    if (found := _BAD_KIND.fullmatch(message)) is not None:
        kinds = [str(kind.tag) for kind in _types_at(found["path"]) if isinstance(kind, inspect.StructType)]
        return f"{_key(found['path'] + '.kind')}: no kind {found['value']!r}{_nearest(found['value'], kinds)}"
    if (found := _BAD_CHOICE.fullmatch(message)) is not None:
        kinds = [str(v) for t in _types_at(found["path"]) if isinstance(t, inspect.LiteralType) for v in t.values]
        return f"{_key(found['path'])}: {found['value']!r} is none of its values{_nearest(found['value'], kinds)}"
    at = _AT.search(message)
    said = message[: at.start()] if at else message
    said = said[:1].lower() + said[1:]
    return f"{_key(at['path'])}: {said}" if at and at["path"] else said


def _key(path: str) -> str:
    return path.lstrip(".")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(sorted(set(known)))}"


def _structs_at(path: str, tree: object) -> list[inspect.StructType]:
    """The tables that may stand at ``path``: of a fault only its own kind."""
    node: Any = tree
    for step in _STEP.finditer(path):
        node = node[step["key"]] if step["key"] else node[int(step["index"])]
    kind = node.get("kind") if isinstance(node, dict) else None
    found = [kind_ for kind_ in _types_at(path) if isinstance(kind_, inspect.StructType)]
    return [struct for struct in found if struct.tag is None or struct.tag == kind]


def _types_at(path: str) -> list[inspect.Type]:
    keys = [step["key"] for step in _STEP.finditer(path) if step["key"]]
    return _below(inspect.type_info(Scenario), keys)


def _below(kind: inspect.Type, keys: list[str]) -> list[inspect.Type]:
    """The types that a value under ``keys`` may have."""
    match kind:
        case inspect.UnionType():
            return [found for member in kind.types for found in _below(member, keys)]
        case inspect.VarTupleType():
            return _below(kind.item_type, keys)
        case inspect.StructType() if keys:
            inner = [field.type for field in kind.fields if field.encode_name == keys[0]]
            return [found for field in inner for found in _below(field, keys[1:])]
        case _:
            return [] if keys else [kind]
