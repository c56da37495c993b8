"""Reading a request's objects: types checked, faults that name the path in Anthropic's own words.

What is taken out is known; the rest, ``null`` included, is given back as it came and rides in ``extra``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import Extra
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import own_extra


class Fields:
    """One JSON object at ``path``. Each method takes a field out, if it is there and not ``null``."""

    __slots__ = ("_data", "path")

    def __init__(self, data: object, path: str) -> None:
        if not isinstance(data, dict):
            raise wrong(path, "a valid dictionary")
        self._data: dict[str, Any] = dict(data)
        self.path = path

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def any(self, name: str) -> Any:
        value = self._data.get(name)
        if value is not None:
            del self._data[name]
        return value

    def text(self, name: str) -> str | None:
        value: str | None = self._typed(name, str, "a valid string")
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        value: dict[str, Any] | None = self._typed(name, dict, "a valid dictionary")
        return value

    def array(self, name: str) -> list[Any] | None:
        """An empty one counts as absent, and so stays in the rest."""
        value: list[Any] | None = self._typed(name, list, "a valid list") if self._data.get(name) != [] else None
        return value

    def flag(self, name: str) -> bool | None:
        value: bool | None = self._typed(name, bool, "a valid boolean")
        return value

    def true(self, name: str) -> bool:
        """Whether the field is true. An explicit false stays in the rest."""
        if self._data.get(name) is False:
            return False
        return bool(self.flag(name))

    def integer(self, name: str) -> int | None:
        value: int | None = self._counted(name, int, "a valid integer")
        return value

    def number(self, name: str) -> float | None:
        value: float | None = self._counted(name, (int, float), "a valid number")
        return value

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def required_mapping(self, name: str) -> dict[str, Any]:
        value = self.mapping(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def nested(self, name: str) -> Fields | None:
        value = self.mapping(name)
        return None if value is None else Fields(value, self.at(name))

    def keep(self, name: str, value: object) -> None:
        """Put ``value`` into the rest."""
        self._data[name] = value

    def rest(self) -> dict[str, Any]:
        return self._data

    def extra(self) -> Extra | None:
        return own_extra(ORIGIN, self._data)

    def _counted(self, name: str, kind: type | tuple[type, ...], expected: str) -> Any:
        if isinstance(self._data.get(name), bool):
            raise wrong(self.at(name), expected)
        return self._typed(name, kind, expected)

    def _typed(self, name: str, kind: type | tuple[type, ...], expected: str) -> Any:
        value = self._data.get(name)
        if value is None:
            return None
        if not isinstance(value, kind):
            raise wrong(self.at(name), expected)
        del self._data[name]
        return value


def wrong(path: str, expected: str) -> ClientFault:
    """``messages.1.role: Input should be 'user' or 'assistant'``"""
    return ClientFault(f"{path}: Input should be {expected}" if path else f"Input should be {expected}", param=path)


def missing(path: str) -> ClientFault:
    """``messages: Field required``"""
    return ClientFault(f"{path}: Field required", param=path)


def body_of(data: bytes) -> Fields:
    """A request's body. Raises ``ClientFault`` if it is not a JSON object."""
    try:
        return Fields(msgspec.json.decode(data), "")
    except RecursionError as error:
        raise ClientFault("the request body is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error
