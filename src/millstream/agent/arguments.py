"""Whether what a model wrote as a tool's arguments is what the tool takes, in words that help it to do better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

MAX_ARGUMENTS = 4 * 1024 * 1024
"""Characters of one call's arguments."""

_MOST_COMPLAINTS = 5


class WrongArguments(Exception):
    """What the model is told."""


def load_checker() -> None:
    """Import what checks arguments: it takes a while, so best in a thread before the first call."""
    import jsonschema
    import referencing

    _ = jsonschema, referencing


class Schema:
    """A tool's JSON schema, compiled when it is first needed. A schema that is none itself lets everything pass: the
    tool will say what it cannot use."""

    def __init__(self, tool: str, schema: Mapping[str, Any]) -> None:
        self._tool = tool
        self._schema = schema
        self._validator: Any = None

    def read(self, text: str) -> dict[str, Any]:
        """The arguments in ``text``. Raises ``WrongArguments``."""
        if len(text) > MAX_ARGUMENTS:
            raise WrongArguments(f"{self._tool}: the arguments are longer than {MAX_ARGUMENTS} characters.")
        try:
            arguments = msgspec.json.decode(text) if text.strip() else {}
        except (msgspec.MsgspecError, RecursionError) as error:
            message = f"{self._tool}: the arguments are not valid JSON ({error}). Call it again with one JSON object."
            raise WrongArguments(message) from error
        if not isinstance(arguments, dict):
            raise WrongArguments(f"{self._tool}: the arguments have to be one JSON object.")
        complaints = self.complaints(arguments)
        if complaints and None in arguments.values():  # models write null for what they leave out
            arguments = {name: value for name, value in arguments.items() if value is not None}
            complaints = self.complaints(arguments)
        if complaints:
            listed = "\n".join(f"- {complaint}" for complaint in complaints)
            raise WrongArguments(f"{self._tool}: the arguments do not fit its schema:\n{listed}")
        return arguments

    def complaints(self, arguments: dict[str, Any]) -> list[str]:
        """What does not fit, at most a few of it."""
        from jsonschema.exceptions import SchemaError  # slow to import, and needed by few
        from referencing.exceptions import Unresolvable

        try:
            found = sorted(self._compiled().iter_errors(arguments), key=lambda error: list(map(str, error.path)))
        except (SchemaError, Unresolvable, RecursionError, ValueError, TypeError):
            return []
        return [_complaint(error) for error in found[:_MOST_COMPLAINTS]]

    def _compiled(self) -> Any:
        if self._validator is None:
            from jsonschema import Draft202012Validator
            from jsonschema.validators import validator_for
            from referencing import Registry

            kind = validator_for(self._schema, default=Draft202012Validator)
            kind.check_schema(self._schema)
            # Its own registry, because the default one fetches what a schema refers to.
            self._validator = kind(self._schema, registry=Registry())
        return self._validator


def _complaint(error: Any) -> str:
    path = ".".join(str(step) for step in error.absolute_path)
    message = str(error.message)
    if len(message) > 300:
        message = f"{message[:300]}…"
    return f"{path}: {message}" if path else message
