"""A client's JSON, field by field. A wrong type is the client's fault, and the fault names the path as OpenAI does.

What is read is taken out; ``rest`` is what nobody has read, and goes into ``extra``. A field that is null counts as not
read, so that it is still there.
"""

from __future__ import annotations

from typing import Any

from millstream.core.errors import ClientFault
from millstream.core.messages import Extra
from millstream.dialects.base import own_extra
from millstream.dialects.openai_chat import wire

_TYPES: dict[type, str] = {
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "an array",
    dict: "an object",
    type(None): "null",
}


def wrong(path: str, problem: str) -> ClientFault:
    return ClientFault(f"Invalid '{path}': {problem}.", param=path)


def unexpected(path: str, wanted: str, value: object) -> ClientFault:
    found = _TYPES.get(type(value), "something else")
    return ClientFault(
        f"Invalid type for '{path}': expected {wanted}, but got {found} instead.", param=path, code="invalid_type"
    )


def missing(path: str) -> ClientFault:
    return ClientFault(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


class Fields:
    """The fields of one object. ``path`` is empty for the body itself."""

    def __init__(self, data: object, path: str = "") -> None:
        if not isinstance(data, dict):
            raise unexpected(path or "the body", "an object", data)
        self.path = path
        self._rest: dict[str, Any] = dict(data)

    def at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def peek(self, name: str) -> Any:
        return self._rest.get(name)

    def any(self, name: str) -> Any:
        """The value whatever it is; None if it is missing or null."""
        if self._rest.get(name) is None:
            return None
        return self._rest.pop(name)

    def text(self, name: str) -> str | None:
        value = self._rest.get(name)
        if value is not None and not isinstance(value, str):
            raise unexpected(self.at(name), "a string", value)
        return self.any(name)  # type: ignore[no-any-return]  # a string by the check

    def required_text(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            raise missing(self.at(name))
        return value

    def integer(self, name: str) -> int | None:
        value = self._rest.get(name)
        if isinstance(value, float) and value.is_integer():
            value = self._rest[name] = int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise unexpected(self.at(name), "an integer", value)
        return self.any(name)  # type: ignore[no-any-return]  # an integer by the check

    def number(self, name: str) -> float | None:
        value = self._rest.get(name)
        if value is not None and (not isinstance(value, int | float) or isinstance(value, bool)):
            raise unexpected(self.at(name), "a number", value)
        return self.any(name)  # type: ignore[no-any-return]  # a number by the check

    def flag(self, name: str) -> bool | None:
        value = self._rest.get(name)
        if value is not None and not isinstance(value, bool):
            raise unexpected(self.at(name), "a boolean", value)
        return self.any(name)  # type: ignore[no-any-return]  # a boolean by the check

    def mapping(self, name: str) -> dict[str, Any] | None:
        value = self._rest.get(name)
        if value is not None and not isinstance(value, dict):
            raise unexpected(self.at(name), "an object", value)
        return self.any(name)  # type: ignore[no-any-return]  # an object by the check

    def nested(self, name: str) -> Fields | None:
        value = self.mapping(name)
        return None if value is None else Fields(value, self.at(name))

    def required(self, name: str) -> Fields:
        found = self.nested(name)
        if found is None:
            raise missing(self.at(name))
        return found

    def array(self, name: str) -> list[Any] | None:
        """An empty one counts as not read, like null: it says nothing."""
        value = self._rest.get(name)
        if value is not None and not isinstance(value, list):
            raise unexpected(self.at(name), "an array", value)
        return self.any(name) if value else None

    def keep(self, name: str, value: object) -> None:
        """Put something into what goes into ``extra``: a note, or what is left of a nested object."""
        self._rest[name] = value

    def rest(self) -> dict[str, Any]:
        return self._rest

    def extra(self) -> Extra | None:
        return own_extra(wire.NAME, self._rest)
