"""Reading a request's JSON: a wrong type is the client's fault, and the fault names the field's path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millstream.core.errors import ClientFault

Path = str

_JSON_NAMES = {str: "a string", int: "an integer", float: "a number", bool: "a boolean", list: "an array"}


def wrong(path: Path, problem: str) -> ClientFault:
    return ClientFault(f"{path}: {problem}", param=path)


def text(data: Mapping[str, Any], name: str, path: Path) -> str:
    """A string that must be there."""
    value = data.get(name)
    if value is None:
        raise wrong(f"{path}.{name}", "this field is required")
    if not isinstance(value, str):
        raise wrong(f"{path}.{name}", f"expected a string, got {_kind(value)}")
    return value


def optional_text(data: Mapping[str, Any], name: str, path: Path) -> str | None:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(_join(path, name), f"expected a string, got {_kind(value)}")
    return value


def optional_int(data: Mapping[str, Any], name: str) -> int | None:
    value = data.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise wrong(name, f"expected an integer, got {_kind(value)}")
    return value


def optional_number(data: Mapping[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
        raise wrong(name, f"expected a number, got {_kind(value)}")
    return value


def optional_bool(data: Mapping[str, Any], name: str, path: Path) -> bool | None:
    value = data.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong(_join(path, name), f"expected a boolean, got {_kind(value)}")
    return value


def optional_object(data: Mapping[str, Any], name: str, path: Path = "") -> Mapping[str, Any] | None:
    value = data.get(name)
    if value is not None and not isinstance(value, dict):
        raise wrong(_join(path, name), f"expected an object, got {_kind(value)}")
    return value


def object_list(value: object, path: Path) -> list[Mapping[str, Any]]:
    """A list of objects; null stands for none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong(path, f"expected an array, got {_kind(value)}")
    for number, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise wrong(f"{path}[{number}]", f"expected an object, got {_kind(entry)}")
    return value


def _join(path: Path, name: str) -> Path:
    return f"{path}.{name}" if path else name


def _kind(value: object) -> str:
    return "null" if value is None else _JSON_NAMES.get(type(value), "an object")
