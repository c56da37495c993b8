"""What a source of tools is. Each module beside this one provides one kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from millstream.core.messages import ResultPart

Permission = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model is told of it. ``parameters`` is a JSON schema of kind ``object``; ``timeout`` in seconds.

    ``source`` is the name of the source it comes from, for people and for allow lists. ``read_only``: by its maker's
    word it changes nothing, so that a call may be made again where nobody knows whether it was made.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    source: str
    timeout: float = 30.0
    permission: Permission = "allow"
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """``current`` of ``total`` in the tool's own counting; ``message`` is a line for people or a piece of output."""

    current: float | None = None
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What the model is told. ``is_error``: it went wrong, in words that help the model to do better."""

    content: str | tuple[ResultPart, ...]
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Elicitation:
    """A tool asks the person in the middle of a call: for values that ``schema`` (JSON schema of kind ``object``)
    describes, or to visit ``url``. ``source`` says who asks."""

    source: str
    message: str
    schema: Mapping[str, Any] | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ElicitationAnswer:
    """``content`` is given only with ``accept``."""

    action: Literal["accept", "decline", "cancel"]
    content: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ToolContext:
    """One call's surroundings. ``state`` lives as long as the run and is shared by its calls (a shell's working
    directory, a list of todos): each source keeps its own under its name.

    ``progress`` may be called at any time from the event loop; it never waits. ``elicit`` is there only where the
    client's protocol can carry a question; without it every question is declined.
    """

    run_id: str
    call_id: str
    progress: Callable[[Progress], None]
    state: dict[str, Any] = field(default_factory=dict)
    elicit: Callable[[Elicitation], Awaitable[ElicitationAnswer]] | None = None


class ToolSource(Protocol):
    """Tools of one kind. Nothing starts before the first ``list`` or ``call``; ``aclose`` ends whatever did."""

    name: str

    async def list(self) -> Sequence[ToolSpec]:
        """What there is now. A source that cannot be reached raises ``ToolSourceError``; others go on without it."""
        ...

    async def call(self, name: str, arguments: Mapping[str, Any], context: ToolContext) -> ToolOutcome:
        """Runs one tool to its end; cancelling the task ends it with all it started. The caller sets the time limit,
        has checked the arguments against the schema and bounds what is told to the model. A tool's own failure is a
        ``ToolOutcome`` with ``is_error``; any exception but ``CancelledError`` becomes one too."""
        ...

    async def aclose(self) -> None: ...


class ToolSourceError(Exception):
    """A source cannot be used now. One line that names it, the reason and the fix."""
