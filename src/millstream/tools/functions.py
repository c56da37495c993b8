"""An app's own functions as tools: ``@tool`` on a typed function, ``Functions`` as the source of several.

The schema comes from the type hints (``Annotated[int, msgspec.Meta(ge=1, description="…")]`` says more), the
description from the docstring. A parameter of type ``Report`` is given what reports progress, one of type
``ToolContext`` the call's surroundings; neither is told to the model.
"""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

import msgspec

from millstream.core.messages import MediaPart, TextPart
from millstream.tools.base import Permission, Progress, ToolContext, ToolOutcome, ToolSpec
from millstream.tools.schema import schema_of

P = ParamSpec("P")
R = TypeVar("R")


class Report(Protocol):
    """Tells how far a function is; may be called from any thread and never waits."""

    def __call__(
        self, current: float | None = None, total: float | None = None, message: str | None = None
    ) -> None: ...


class ToolError(Exception):
    """Raised by a function to tell the model what went wrong; any other exception is told by its kind and text."""


@dataclass(frozen=True)
class FunctionTool(Generic[P, R]):
    """A function that is also a tool. Calling it is calling the function."""

    function: Callable[P, R]
    spec: ToolSpec
    arguments: type[msgspec.Struct]
    injected: Mapping[str, type]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    async def run(self, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """One call by a model. Functions that are not ``async`` run in a thread. Raises what the function raises."""
        given = msgspec.convert(arguments, self.arguments, strict=False)
        values = {name: getattr(given, name) for name in given.__struct_fields__}
        loop = asyncio.get_running_loop()
        for name, kind in self.injected.items():
            values[name] = context if kind is ToolContext else _reporter(loop, context)
        function: Callable[..., Any] = self.function
        if inspect.iscoroutinefunction(function):
            return outcome_of(await function(**values))
        return outcome_of(await asyncio.to_thread(function, **values))


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float = 30.0,
    permission: Permission = "allow",
    read_only: bool = False,
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    function: Callable[P, R] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout: float = 30.0,
    permission: Permission = "allow",
    read_only: bool = False,
) -> FunctionTool[P, R] | Callable[[Callable[P, R]], FunctionTool[P, R]]:
    """Makes a tool of a function. ``timeout`` in seconds; ``read_only``: it changes nothing, so that it may be called
    again for a run whose gateway died.

    Raises ``TypeError`` if a parameter has no type, a type JSON cannot carry, or no name (``*args``).
    """

    def made(function: Callable[P, R]) -> FunctionTool[P, R]:
        own = name or function.__name__
        arguments, injected = _arguments(function, own)
        spec = ToolSpec(
            name=own,
            description=description or inspect.getdoc(function) or "",
            parameters=_schema(arguments, own),
            source="functions",
            timeout=timeout,
            permission=permission,
            read_only=read_only,
        )
        return FunctionTool(function, spec, arguments, injected)

    return made if function is None else made(function)


class Functions:
    """``ToolSource`` of functions. Raises ``ValueError`` if two have one name."""

    def __init__(self, tools: Sequence[FunctionTool[Any, Any]], name: str = "functions") -> None:
        self.name = name
        self._tools = {one.spec.name: one for one in tools}
        if len(self._tools) < len(tools):
            names = [one.spec.name for one in tools]
            raise ValueError(f"two tools are called {next(n for n in names if names.count(n) > 1)}")

    async def list(self) -> Sequence[ToolSpec]:
        return [dataclasses.replace(one.spec, source=self.name) for one in self._tools.values()]

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        one = self._tools.get(name)
        if one is None:
            return ToolOutcome(f"There is no tool {name}; there are {', '.join(self._tools)}.", is_error=True)
        try:
            return await one.run(arguments, context)
        except msgspec.ValidationError as error:
            return ToolOutcome(f"The arguments do not fit: {error}", is_error=True)
        except ToolError as error:
            return ToolOutcome(str(error), is_error=True)
        except Exception as error:  # an app's function may raise anything, and none of it may end the run
            return ToolOutcome(f"{type(error).__name__}: {error}", is_error=True)

    async def aclose(self) -> None:
        """Functions are their app's."""


def outcome_of(value: object) -> ToolOutcome:
    """What a model is told of what a function returned: text as it is, parts as parts, anything else as JSON."""
    if isinstance(value, ToolOutcome):
        return value
    if isinstance(value, str):
        return ToolOutcome(value)
    if isinstance(value, TextPart | MediaPart):
        return ToolOutcome((value,))
    if value is None:
        return ToolOutcome("(done)")
    return ToolOutcome(msgspec.json.encode(value, enc_hook=str).decode())


def _reporter(loop: asyncio.AbstractEventLoop, context: ToolContext) -> Report:
    def report(current: float | None = None, total: float | None = None, message: str | None = None) -> None:
        progress = Progress(current, total, message)
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            context.progress(progress)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(context.progress, progress)

    return report


def _arguments(function: Callable[..., Any], name: str) -> tuple[type[msgspec.Struct], dict[str, type]]:
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    injected: dict[str, type] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise TypeError(f"tool {name}: a model gives arguments by name, so {parameter} cannot be one")
        if parameter.name not in hints:
            raise TypeError(f"tool {name}: {parameter.name} needs a type, for the model to know what to give")
        hint = hints[parameter.name]
        if hint in (Report, ToolContext):
            injected[parameter.name] = hint
        elif parameter.default is parameter.empty:
            fields.append((parameter.name, hint))
        else:
            fields.append((parameter.name, hint, _default(parameter.default)))
    return msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True), injected


def _default(value: Any) -> Any:
    """Lists and the like are made anew for each call."""
    if isinstance(value, list | dict | set):
        return msgspec.field(default_factory=value.copy)
    return value


def _schema(arguments: type[msgspec.Struct], name: str) -> dict[str, Any]:
    try:
        return schema_of(arguments)
    except TypeError as error:
        raise TypeError(f"tool {name}: {error}") from error
