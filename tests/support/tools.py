"""Tools for tests: what they do is given as functions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from millstream.tools.base import ToolContext, ToolOutcome, ToolSpec

Work = Callable[[Mapping[str, Any], ToolContext], Awaitable[ToolOutcome | str]]
ANYTHING: dict[str, Any] = {"type": "object"}


class Tools:
    """A ``ToolSource``. ``calls`` are those that began, ``ended`` those that are over, however that came."""

    def __init__(self, name: str = "house") -> None:
        self.name = name
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.ended: list[str] = []
        self.closed = False
        self._tools: dict[str, tuple[ToolSpec, Work]] = {}

    def add(self, name: str, work: Work, parameters: Mapping[str, Any] = ANYTHING, **about: Any) -> Tools:
        spec = ToolSpec(name, about.pop("description", f"Does {name}."), parameters, self.name, **about)
        self._tools[name] = (spec, work)
        return self

    async def list(self) -> Sequence[ToolSpec]:
        return [spec for spec, _ in self._tools.values()]

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        self.calls.append((name, dict(arguments)))
        try:
            found = await self._tools[name][1](arguments, context)
        finally:
            self.ended.append(name)
        return found if isinstance(found, ToolOutcome) else ToolOutcome(found)

    async def aclose(self) -> None:
        self.closed = True


def says(text: str) -> Work:
    async def work(_: Mapping[str, Any], __: ToolContext) -> str:
        return text

    return work
