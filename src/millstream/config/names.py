"""Dotted names of settings: whether there is such a one, and what is put under it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any, get_args, get_origin

import msgspec

from millstream.config.errors import ConfigError, nearest, plain
from millstream.config.tree import Config


def fields_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """Names of settings → their types."""
    return {field.name: field.type for field in msgspec.structs.fields(struct)}


def struct_of(kind: Any) -> type[msgspec.Struct] | None:
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def check_names(tree: Mapping[str, Any], struct: type[msgspec.Struct], source: str, above: tuple[str, ...]) -> None:
    """Whether everything in ``tree``, found at ``above`` in ``source``, is a setting. Raises ``ConfigError``."""
    fields = fields_of(struct)
    for name, value in tree.items():
        path = (*above, name)
        if name not in fields:
            raise ConfigError(f"{source}: {'.'.join(path)} is not a setting{nearest(name, fields)}")
        if not isinstance(value, Mapping):
            continue
        inner = struct_of(fields[name])
        if inner is not None:
            check_names(value, inner, source, path)
        elif get_origin(fields[name]) is dict and (entry := struct_of(get_args(fields[name])[1])) is not None:
            for key, item in value.items():
                if isinstance(item, Mapping):
                    check_names(item, entry, source, (*path, key))


def override(tree: dict[str, Any], path: list[str], text: str, source: str) -> None:
    """Put what ``text`` says at ``path`` of ``tree``. Raises ``ConfigError`` that blames ``source``."""
    kind: Any = Config
    node = tree
    for depth, name in enumerate(path):
        struct = struct_of(kind)
        if struct is not None:
            fields = fields_of(struct)
            if name not in fields:
                raise ConfigError(f"{source}: {'.'.join(path)} is not a setting{nearest(name, fields)}")
            kind = fields[name]
        elif get_origin(kind) is dict:
            kind = get_args(kind)[1]
        else:
            raise ConfigError(f"{source}: {'.'.join(path[:depth])} has no settings below it")
        if depth < len(path) - 1:
            node = node.setdefault(name, {})
    node[path[-1]] = _value(text, kind, source)


def _value(text: str, kind: Any, source: str) -> Any:
    """``text`` as ``kind``: plain for numbers, booleans and strings; TOML for lists and tables."""
    try:
        value: Any = text
        if text[:1] in ("[", "{"):
            value = tomllib.loads(f"v = {text}")["v"]
        return msgspec.to_builtins(msgspec.convert(value, kind, strict=False))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: {text!r} is not valid: {error}") from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {plain(error)}") from error
