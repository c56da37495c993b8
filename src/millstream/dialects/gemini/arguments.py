"""Arguments that come as values with their places (``partialArgs``) → the JSON text of one object, as it grows.

Vertex sends them so where ``streamFunctionCallArguments`` was asked for: ``$.recipe.steps[2]`` and a string, of which
more may follow. The model writes its arguments from front to back, so each value can be put down at once. A value
that would have to be put where the text has already gone past is the upstream's fault.
Source: https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/Content#PartialArg
"""

from __future__ import annotations

import re

import msgspec

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.gemini.wire import PartialArg, given

_STEP = re.compile(r"""\.([^.\[\]]+)|\[([0-9]+)\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")
_ESCAPED = re.compile(r"\\(.)")

Step = str | int


def steps_of(path: str) -> list[Step]:
    """``$.a[0]['b c']`` → ``["a", 0, "b c"]``. Raises ``UpstreamFault`` for what is no such path."""
    steps: list[Step] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None:
            break
        name, index, single, double = found.groups()
        quoted = single if single is not None else double
        steps.append(int(index) if index is not None else name or _ESCAPED.sub(r"\1", quoted))
        at = found.end()
    if path[:1] != "$" or at < len(path) or not steps or isinstance(steps[0], int):
        raise UpstreamFault(f"the upstream sent tool arguments for {path[:200]!r}, which is no place", Kind.MALFORMED)
    return steps


class _Level:
    """An object or array that is still open; ``step`` leads to it from the level above."""

    __slots__ = ("keys", "length", "step")

    def __init__(self, step: Step | None, *, is_array: bool) -> None:
        self.step = step
        self.keys: set[str] | None = None if is_array else set()
        self.length = 0


class PartialArguments:
    """One call's arguments. ``add`` gives the text that its pieces add; ``end`` what completes the object."""

    def __init__(self) -> None:
        self._levels: list[_Level] = []
        self._last: str | None = None
        self._in_string = False

    @property
    def untouched(self) -> bool:
        return not self._levels

    def add(self, pieces: list[PartialArg]) -> str:
        text: list[str] = []
        for piece in pieces:
            self._piece(piece, text)
        return "".join(text)

    def end(self) -> str:
        """Without any pieces, the whole of it: ``{}``."""
        text: list[str] = []
        if not self._levels:
            return "{}"
        self._end_string(text)
        self._close_down_to(0, text)
        return "".join(text)

    def _piece(self, piece: PartialArg, text: list[str]) -> None:
        again = piece.json_path == self._last
        if again and self._in_string:
            text.append(_characters(piece.string_value or ""))
        elif again and not piece.string_value and piece.string_value is not None:
            return
        else:
            self._end_string(text)
            steps = steps_of(piece.json_path)
            self._go_to(steps, piece.json_path, text)
            self._member(steps[-1], piece.json_path, text)
            text.append(_value(piece))
            self._in_string = piece.string_value is not None
        self._last = piece.json_path
        if self._in_string and not piece.will_continue:
            self._end_string(text)

    def _end_string(self, text: list[str]) -> None:
        if self._in_string:
            text.append('"')
            self._in_string = False

    def _go_to(self, steps: list[Step], path: str, text: list[str]) -> None:
        """Close and open what lies between here and the object or array that the last step is a member of."""
        if not self._levels:
            self._open(None, steps[0], text)
        shared = 0
        while shared < len(steps) - 1 and shared + 1 < len(self._levels):
            if self._levels[shared + 1].step != steps[shared]:
                break
            shared += 1
        self._close_down_to(shared + 1, text)
        for at in range(shared, len(steps) - 1):
            self._member(steps[at], path, text)
            self._open(steps[at], steps[at + 1], text)

    def _open(self, step: Step | None, first: Step, text: list[str]) -> None:
        is_array = isinstance(first, int)
        self._levels.append(_Level(step, is_array=is_array))
        text.append("[" if is_array else "{")

    def _close_down_to(self, depth: int, text: list[str]) -> None:
        while len(self._levels) > depth:
            text.append("]" if self._levels.pop().keys is None else "}")

    def _member(self, step: Step, path: str, text: list[str]) -> None:
        """The comma and the key before a value of the innermost level."""
        level = self._levels[-1]
        if level.length:
            text.append(",")
        if level.keys is None and step == level.length:
            level.length += 1
        elif level.keys is not None and isinstance(step, str) and step not in level.keys:
            level.keys.add(step)
            level.length += 1
            text.append(f'"{_characters(step)}":')
        else:
            raise UpstreamFault(f"the upstream sent tool arguments out of order, at {path[:200]}", Kind.MALFORMED)


def _characters(text: str) -> str:
    """``text`` as it stands between the quotes of a JSON string."""
    return msgspec.json.encode(text).decode()[1:-1]


def _value(piece: PartialArg) -> str:
    """A value's JSON text; of a string all but its closing quote."""
    if piece.string_value is not None:
        return f'"{_characters(piece.string_value)}'
    if piece.bool_value is not None:
        return "true" if piece.bool_value else "false"
    if given(piece.number_value):
        return _number(bytes(piece.number_value))
    return "null"


def _number(raw: bytes) -> str:
    """As the upstream wrote it, so that 5 stays 5. ``"NaN"`` and its like have no JSON number."""
    try:
        msgspec.json.decode(raw, type=float)
    except ValueError:
        return "null"
    return raw.decode().strip()
