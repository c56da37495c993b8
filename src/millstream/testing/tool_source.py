"""Does a source of tools keep its promises? For whoever writes one: ``asyncio.run(check_tool_source(make, calls))``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from millstream.tools.base import Progress, ToolContext, ToolOutcome, ToolSource, ToolSpec

_LIMIT = 30.0
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what every model API takes


@dataclass(frozen=True, slots=True)
class Call:
    """A call that must work, or fail in words if ``fails``; ``endless`` ones only end by being cancelled."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fails: bool = False
    endless: bool = False


async def check_tool_source(make: Callable[[], ToolSource], calls: Sequence[Call]) -> None:
    """Raises ``AssertionError`` where a source of ``make`` does not do what ``ToolSource`` says.

    ``calls`` are tried each on its own and all at once; a source that starts programs should give an ``endless`` one.
    """
    async with asyncio.timeout(_LIMIT):
        for check in (_lists, _calls, _calls_side_by_side, _ends_when_cancelled, _knows_its_names):
            source = make()
            try:
                await check(source, calls)
            finally:
                await source.aclose()
        await make().aclose()  # also where nothing was ever asked


async def _lists(source: ToolSource, calls: Sequence[Call]) -> None:
    specs = await source.list()
    again = await source.list()
    names = [spec.name for spec in specs]
    assert names == [spec.name for spec in again], "list() changes its mind, or its order"
    assert len(set(names)) == len(names), "two tools of one name"
    for spec in specs:
        _check_spec(spec, source.name)
    unknown = {call.name for call in calls} - set(names)
    assert not unknown, f"calls of tools that are not listed: {unknown}"


def _check_spec(spec: ToolSpec, source: str) -> None:
    assert _NAME.fullmatch(spec.name), f"{spec.name!r} is no name for all model APIs"
    assert spec.source == source, f"{spec.name} says it is of {spec.source}"
    assert spec.description.strip(), f"{spec.name} has no description"
    assert spec.timeout > 0, f"{spec.name} has no time"
    assert spec.parameters.get("type") == "object", f"the parameters of {spec.name} are no object"
    assert msgspec.json.decode(msgspec.json.encode(spec.parameters)) == spec.parameters, f"{spec.name}: not plain JSON"


async def _calls(source: ToolSource, calls: Sequence[Call]) -> None:
    for call in calls:
        if not call.endless:
            _check_outcome(call, await source.call(call.name, call.arguments, _context()))


async def _calls_side_by_side(source: ToolSource, calls: Sequence[Call]) -> None:
    context = _context()
    ending = [call for call in calls if not call.endless]
    outcomes = await asyncio.gather(*(source.call(call.name, call.arguments, context) for call in ending))
    for call, outcome in zip(ending, outcomes, strict=True):
        _check_outcome(call, outcome)


async def _ends_when_cancelled(source: ToolSource, calls: Sequence[Call]) -> None:
    for call in calls:
        if not call.endless:
            continue
        began = asyncio.Event()
        context = _context(lambda progress: began.set())  # noqa: B023 - the call ends within this turn of the loop
        task = asyncio.ensure_future(source.call(call.name, call.arguments, context))
        waiting = asyncio.ensure_future(began.wait())
        await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert not task.done(), f"{call.name} was said to be endless, but gave {task.result()}"
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled(), f"{call.name} made something else of being cancelled"


async def _knows_its_names(source: ToolSource, calls: Sequence[Call]) -> None:
    try:
        outcome = await source.call("no-such-tool", {}, _context())
    except Exception:  # the contract allows any, and the caller makes an outcome of it
        return
    assert outcome.is_error, "a tool that does not exist gave a result"


def _check_outcome(call: Call, outcome: ToolOutcome) -> None:
    assert outcome.is_error == call.fails, f"{call.name}: {outcome.content!r}"
    assert outcome.content, f"{call.name} told the model nothing"


def _context(progress: Callable[[Progress], None] = lambda progress: None) -> ToolContext:
    return ToolContext(run_id="run", call_id="call", progress=progress)
