"""Reading a request's objects: names in either spelling, types checked, faults that name the field's path.

Google's JSON takes ``snake_case`` for ``camelCase`` and ``null`` for absent, and writes 64-bit integers as strings;
so do clients. What is taken out is known; the rest is given back as it came and rides in ``extra``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from millstream.core.errors import ClientFault

_T = TypeVar("_T")
_SNAKE = re.compile(r"(?<=[A-Za-z0-9])_([a-z0-9])")
_INTEGER = re.compile(r"-?[0-9]{1,18}")


def camel(name: str) -> str:
    """``max_output_tokens`` → ``maxOutputTokens``; a name in camel case stays as it is."""
    return _SNAKE.sub(lambda found: found.group(1).upper(), name) if "_" in name else name


class Fields:
    """One JSON object at ``path``. Each ``take`` removes a field; ``rest`` is what nobody took."""

    __slots__ = ("_data", "path")

    def __init__(self, data: object, path: str) -> None:
        if not isinstance(data, Mapping):
            raise wrong(path, "an object", data)
        self.path = path
        self._data: dict[str, Any] = {camel(name): value for name, value in data.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._data

    def rest(self) -> dict[str, Any]:
        return self._data

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def any(self, name: str) -> Any:
        return self._data.pop(name, None)

    def text(self, name: str) -> str | None:
        return self._typed(name, str, "a string")

    def flag(self, name: str) -> bool | None:
        return self._typed(name, bool, "true or false")

    def mapping(self, name: str) -> dict[str, Any] | None:
        return self._typed(name, dict, "an object")

    def array(self, name: str) -> list[Any] | None:
        return self._typed(name, list, "an array")

    def strings(self, name: str) -> tuple[str, ...]:
        values = self.array(name) or []
        for index, value in enumerate(values):
            if not isinstance(value, str):
                raise wrong(f"{self.at(name)}[{index}]", "a string", value)
        return tuple(values)

    def number(self, name: str) -> float | None:
        value = self._data.pop(name, None)
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            return value
        raise wrong(self.at(name), "a number", value)

    def integer(self, name: str) -> int | None:
        value = self._data.pop(name, None)
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            return int(value)
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise wrong(self.at(name), "an integer", value)

    def nested(self, name: str) -> Fields | None:
        """The object in field ``name``, for reading in turn."""
        value = self._data.pop(name, None)
        return None if value is None else Fields(value, self.at(name))

    def inner(self, name: str) -> Fields:
        """``nested`` of a field that must be there."""
        if name not in self._data:
            raise missing(self.at(name))
        return Fields(self._data.pop(name), self.at(name))

    def items(self, name: str) -> Iterator[Fields]:
        """The objects of the array in field ``name``."""
        for index, value in enumerate(self.array(name) or []):
            yield Fields(value, f"{self.at(name)}[{index}]")

    def _typed(self, name: str, kind: type[_T], words: str) -> _T | None:
        value = self._data.pop(name, None)
        if value is None or isinstance(value, kind):
            return value
        raise wrong(self.at(name), words, value)


def wrong(path: str, words: str, value: object) -> ClientFault:
    """The fault of a field that is not what it must be."""
    kind = {dict: "an object", list: "an array", str: "a string", bool: "true or false"}.get(type(value), "a number")
    where = path or "the request body"
    return ClientFault(f"{where}: expected {words}, got {'null' if value is None else kind}", param=path or None)


def missing(path: str) -> ClientFault:
    return ClientFault(f"{path}: this field is required", param=path)
