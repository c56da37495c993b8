"""The tools that run here, of all sources together: their names, who may use them, and one call of one of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from millstream.agent.arguments import Schema, load_checker
from millstream.agent.bounds import bounded
from millstream.agent.clock import CallClock
from millstream.core.messages import Tool
from millstream.tools.base import Permission, ToolContext, ToolOutcome, ToolSource, ToolSourceError, ToolSpec

_NAME = re.compile(r"[^A-Za-z0-9_-]")
_MAX_NAME = 64
_LISTING_S = 20.0
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says of tools. Patterns are as of ``fnmatch``, on a tool's name or ``source/name``; of
    several that fit, the first counts. ``most_output`` is in characters, times are in seconds."""

    allow: tuple[str, ...] = ("*",)
    permissions: Mapping[str, Permission] = field(default_factory=dict)
    timeouts: Mapping[str, float] = field(default_factory=dict)
    most_output: int = 100_000


@dataclass(frozen=True, slots=True)
class BoxedTool:
    """A tool under the ``name`` that the model knows it by, which may differ from its source's."""

    name: str
    spec: ToolSpec
    source: ToolSource
    schema: Schema
    timeout: float
    permission: Permission

    @property
    def tool(self) -> Tool:
        return Tool(self.name, self.spec.description, self.spec.parameters)


@dataclass(frozen=True, slots=True)
class Listing:
    """What there is at one moment. ``missing`` says in one line each which sources cannot be used, and why."""

    tools: Mapping[str, BoxedTool]
    missing: tuple[str, ...] = ()

    def only(self, wanted: Sequence[str] | None) -> Listing:
        """Those that are named, by their own name, their source's or a pattern; None: all."""
        if wanted is None:
            return self
        found = {name: tool for name, tool in self.tools.items() if _fits(wanted, tool.name, tool.spec)}
        return Listing(found, self.missing)


class Toolbox:
    """The tools of ``sources``. A name that two sources have is prefixed with the source's in each."""

    def __init__(self, sources: Sequence[ToolSource] = (), rules: Rules | None = None) -> None:
        self.sources = tuple(sources)
        self.rules = rules or Rules()
        self.watchers: list[Callable[[str, float, bool], None]] = []
        """Told of each call that has ended: the tool, its seconds, and whether it failed."""
        self._stuck: set[asyncio.Task[ToolOutcome]] = set()

    def __bool__(self) -> bool:
        return bool(self.sources)

    async def list(self) -> Listing:
        """Asks all sources side by side. One that fails, or is silent for too long, costs only its own tools."""
        if not self.sources:
            return Listing({})
        answers, _ = await asyncio.gather(
            asyncio.gather(*(_ask(source) for source in self.sources)), asyncio.to_thread(load_checker)
        )
        missing = tuple(answer for answer in answers if isinstance(answer, str))
        found = [
            (source, spec)
            for source, answer in zip(self.sources, answers, strict=True)
            if not isinstance(answer, str)
            for spec in answer
        ]
        return Listing(self._named(found), missing)

    def _named(self, found: Iterable[tuple[ToolSource, ToolSpec]]) -> dict[str, BoxedTool]:
        rules = self.rules
        chosen = [(source, spec) for source, spec in found if _fits(rules.allow, spec.name, spec)]
        named: dict[str, BoxedTool] = {}
        plain = [plain_name(spec.name) for _, spec in chosen]
        for (source, spec), own in zip(chosen, plain, strict=True):
            name = own if plain.count(own) == 1 else plain_name(f"{spec.source}_{spec.name}")
            name = _unused(name, named)
            permission = _first(rules.permissions, name, spec) or spec.permission
            if permission != "deny":
                timeout = _first(rules.timeouts, name, spec) or spec.timeout
                schema = Schema(name, spec.parameters)
                named[name] = BoxedTool(name, spec, source, schema, timeout, permission)
        return named

    async def run(
        self, tool: BoxedTool, arguments: Mapping[str, Any], context: ToolContext, clock: CallClock | None = None
    ) -> ToolOutcome:
        """One call, to its end or its time limit, by ``clock``. Only cancelling raises."""
        clock = clock or CallClock()
        began = clock.seconds
        outcome = await self._run(tool, arguments, context, clock)
        for watch in self.watchers:
            watch(tool.name, clock.seconds - began, outcome.is_error)
        return outcome

    async def _run(
        self, tool: BoxedTool, arguments: Mapping[str, Any], context: ToolContext, clock: CallClock
    ) -> ToolOutcome:
        task = asyncio.ensure_future(_called(tool, arguments, context))
        try:
            async with clock.limit(tool.timeout):
                await asyncio.wait({task})
        except asyncio.CancelledError:
            await self._end(task)
            raise
        except TimeoutError:
            await self._end(task)
        else:
            return bounded(task.result(), self.rules.most_output)
        return ToolOutcome(f"{tool.name} was stopped: it took longer than {tool.timeout:g} s.", is_error=True)

    async def _end(self, task: asyncio.Task[ToolOutcome]) -> None:
        """Cancels ``task`` and waits, but not for ever: a tool may refuse to be cancelled."""
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE_S)
        if not task.done():
            self._stuck.add(task)
            task.add_done_callback(self._stuck.discard)

    async def aclose(self) -> None:
        """Ends every source, whatever the others do."""
        for task in list(self._stuck):
            task.cancel()
        await asyncio.gather(*(source.aclose() for source in self.sources), return_exceptions=True)


async def _called(tool: BoxedTool, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
    try:
        return await tool.source.call(tool.spec.name, arguments, context)
    except ToolSourceError as error:
        return ToolOutcome(str(error), is_error=True)
    except Exception as error:  # a tool may fail in any way, and the model is told how
        said = str(error)
        return ToolOutcome(f"{tool.name} failed: {type(error).__name__}{': ' if said else ''}{said}", is_error=True)


async def _ask(source: ToolSource) -> Sequence[ToolSpec] | str:
    try:
        async with asyncio.timeout(_LISTING_S):
            return await source.list()
    except TimeoutError:
        return f"{source.name}: it did not say within {_LISTING_S:g} s which tools it has"
    except ToolSourceError as error:
        return str(error)
    except Exception as error:
        return f"{source.name}: {type(error).__name__}: {error}"


def plain_name(name: str) -> str:
    """``name`` as every provider takes it: letters, digits, ``_`` and ``-``, at most 64 of them."""
    return _NAME.sub("_", name)[:_MAX_NAME] or "tool"


def _unused(name: str, taken: Mapping[str, object]) -> str:
    number, found = 2, name
    while found in taken:
        tail = f"_{number}"
        found = name[: _MAX_NAME - len(tail)] + tail
        number += 1
    return found


def _fits(patterns: Iterable[str], name: str, spec: ToolSpec) -> bool:
    names = (name, spec.name, spec.source, f"{spec.source}/{spec.name}")
    return any(fnmatchcase(one, pattern) for pattern in patterns for one in names)


def _first(rules: Mapping[str, Any], name: str, spec: ToolSpec) -> Any:
    return next((value for pattern, value in rules.items() if _fits((pattern,), name, spec)), None)
