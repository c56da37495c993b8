"""What the endpoints for apps answer, as types. They are written down to be read by people and programs; tests hold
every answer against them.

A field that is ``UNSET`` may be missing; one that may be ``None`` is always there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Timestamp = Annotated[
    str, Meta(description="ISO 8601, UTC, with milliseconds.", extra_json_schema={"format": "date-time"})
]
State = Annotated[
    str, Meta(description="running, finished, failed, cancelled, max_iterations, lost (its gateway died), or ended.")
]


class Error(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """What went wrong, as the body of an answer and as the last event of a stream. ``code`` is for programs."""

    code: str
    message: str
    retryable: bool
    retry_after: Annotated[float, Meta(description="Seconds.")] | UnsetType = UNSET
    timestamp: Timestamp | UnsetType = UNSET


class Usage(msgspec.Struct, frozen=True):
    """Tokens. ``input_tokens`` includes those read from a cache and written to it, ``output_tokens`` reasoning."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    cache_read_tokens: int | UnsetType = UNSET
    cache_write_tokens: int | UnsetType = UNSET
    reasoning_tokens: int | UnsetType = UNSET


class Metrics(msgspec.Struct, frozen=True):
    """``ttft_ms`` is the time to the first piece of text."""

    ttft_ms: float | None
    duration_ms: float
    tokens_per_second: float | None
    chunks: int


class StreamChunk(msgspec.Struct, frozen=True, tag="chunk", tag_field="type"):
    """A piece of the answer's text. The event's name is ``message``."""

    content: str
    timestamp: Timestamp


class StreamComplete(msgspec.Struct, frozen=True, tag="complete", tag_field="type"):
    """The end of an answer."""

    usage: Usage | None
    metrics: Metrics
    finish_reason: str
    timestamp: Timestamp


StreamEvent = StreamChunk | StreamComplete | Error


class Run(msgspec.Struct, frozen=True):
    """A run: an answer that is kept while it is made. ``events`` is how many there are so far, ``first_event`` the
    first that is still kept; ``size`` is in bytes."""

    id: str
    state: State
    surface: str
    model: str
    session_id: str | None
    events: int
    first_event: int
    size: int
    created: Timestamp
    expires: Timestamp
    seconds: float | None
    output_tokens: int | None


class RunList(msgspec.Struct, frozen=True):
    """Newest first."""

    runs: list[Run]


class Cancelled(msgspec.Struct, frozen=True):
    """False: it had ended before."""

    cancelled: bool


class Deleted(msgspec.Struct, frozen=True):
    deleted: bool


class Progress(msgspec.Struct, frozen=True):
    """``total`` None: nobody knows."""

    current: float
    total: float | None


class SessionStart(msgspec.Struct, frozen=True, tag="session_start", tag_field="type"):
    session_id: str
    run_id: str
    model: str
    message: str
    timestamp: Timestamp


class IterationStart(msgspec.Struct, frozen=True, tag="iteration_start", tag_field="type"):
    """Another call of the model, counted from 1."""

    iteration: int
    timestamp: Timestamp


class TextChunk(msgspec.Struct, frozen=True, tag="text_chunk", tag_field="type"):
    """``accumulated`` is the whole text so far, unless the request leaves it out."""

    chunk: str
    timestamp: Timestamp
    accumulated: str | UnsetType = UNSET


class ToolDetected(msgspec.Struct, frozen=True, tag="tool_detected", tag_field="type"):
    """The model has named a tool; its arguments are still to come."""

    tool: str
    tool_call_id: str
    message: str
    timestamp: Timestamp


class ToolsExecuting(msgspec.Struct, frozen=True, tag="tools_executing", tag_field="type"):
    tools: list[str]
    count: int
    timestamp: Timestamp


class ToolProgress(msgspec.Struct, frozen=True, tag="tool_progress", tag_field="type"):
    """``executionTime`` is there once the tool has ended, such as ``752ms``."""

    tool: str
    tool_call_id: str
    status: Literal["executing", "completed", "failed"]
    progress: Progress
    timestamp: Timestamp
    message: str | UnsetType = UNSET
    executionTime: str | UnsetType = UNSET  # noqa: N815  # its name on the wire


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result", tag_field="type"):
    """What the tool answered, shortened where it is long, which is said then."""

    tool: str
    tool_call_id: str
    content: str
    is_error: bool
    timestamp: Timestamp


class ApprovalRequired(msgspec.Struct, frozen=True, tag="approval_required", tag_field="type"):
    """The run waits for ``POST /api/v1/runs/{run_id}/approve``. ``arguments`` is JSON."""

    id: str
    tool: str
    tool_call_id: str
    arguments: str
    timestamp: Timestamp


class ApprovalGiven(msgspec.Struct, frozen=True, tag="approval_given", tag_field="type"):
    id: str
    tool_call_id: str
    approved: bool
    reason: str | None
    timestamp: Timestamp


class AgentStatus(msgspec.Struct, frozen=True, tag="status", tag_field="type"):
    status: str
    message: str | None
    timestamp: Timestamp


class AgentComplete(msgspec.Struct, frozen=True, tag="complete", tag_field="type"):
    """The end of a run. ``finish_reason`` is ``max_iterations`` where it was not let go on."""

    text: str
    usage: Usage | None
    iterations: int
    tool_calls: int
    total_time_ms: int
    finish_reason: str
    timestamp: Timestamp


AgentEvent = (
    SessionStart
    | IterationStart
    | TextChunk
    | ToolDetected
    | ToolsExecuting
    | ToolProgress
    | ToolResult
    | ApprovalRequired
    | ApprovalGiven
    | AgentStatus
    | AgentComplete
    | Error
)


class ToolAnswer(msgspec.Struct, frozen=True):
    tool: str
    tool_call_id: str
    content: str
    is_error: bool
    timestamp: Timestamp


class AgentReply(msgspec.Struct, frozen=True, tag="complete", tag_field="type"):
    """A whole run."""

    text: str
    usage: Usage | None
    iterations: int
    tool_calls: int
    total_time_ms: int
    finish_reason: str
    timestamp: Timestamp
    session_id: str
    run_id: str
    model: str
    tool_results: list[ToolAnswer]


class ToolEntry(msgspec.Struct, frozen=True):
    """``parameters`` is a JSON schema, ``timeout`` in seconds."""

    name: str
    description: str
    source: str
    parameters: dict[str, Any]
    permission: Literal["allow", "ask", "deny"]
    timeout: float


class ToolList(msgspec.Struct, frozen=True):
    """``missing`` says which sources cannot be reached now, and why."""

    tools: list[ToolEntry]
    missing: list[str]


class RouteChoice(msgspec.Struct, frozen=True):
    """The model that ``auto`` would be for a request."""

    complexity: Literal["simple", "moderate", "complex"]
    model: str
    reason: str
    signals: dict[str, Any]


class Approved(msgspec.Struct, frozen=True):
    """``answered`` names the questions that this was the answer to."""

    run_id: str
    answered: list[str]
    approved: bool


class TalkStatus(msgspec.Struct, frozen=True, tag="status", tag_field="type"):
    """``processing`` comes first, with the ids; ``switched``: another model goes on, and ``message`` says why."""

    status: str
    timestamp: Timestamp
    session_id: str | UnsetType | None = UNSET
    message_id: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    model: str | UnsetType = UNSET


class TalkContext(msgspec.Struct, frozen=True, tag="context", tag_field="type"):
    """What the user seems to want; it comes when it is known, beside the answer."""

    intent: str
    entities: dict[str, Any]
    updated: bool
    timestamp: Timestamp


class TalkComplete(msgspec.Struct, frozen=True, tag="complete", tag_field="type"):
    """The end of an answer, with what the user might say next."""

    suggestions: list[str]
    session_id: str | None
    message_id: str
    model: str
    usage: Usage | None
    metrics: Metrics
    finish_reason: str
    timestamp: Timestamp


class TalkError(msgspec.Struct, frozen=True, tag="error", tag_field="type"):
    """What went wrong. ``resumable``: something was said, and may be gone on with by ``resume``."""

    code: str
    message: str
    retryable: bool
    retry_after: float | UnsetType = UNSET
    session_id: str | UnsetType | None = UNSET
    message_id: str | UnsetType = UNSET
    resumable: bool | UnsetType = UNSET
    timestamp: Timestamp | UnsetType = UNSET


TalkEvent = TalkStatus | TalkContext | StreamChunk | TalkComplete | TalkError


class TalkReply(msgspec.Struct, frozen=True):
    """A whole answer."""

    message: str
    suggestions: list[str]
    session_id: str | None
    message_id: str
    model: str
    usage: Usage | None
    metrics: Metrics
    finish_reason: str
    intent: str | None
    entities: dict[str, Any]


class Session(msgspec.Struct, frozen=True):
    """A conversation."""

    id: str
    title: str
    created: Timestamp
    updated: Timestamp
    message_count: int


class SessionList(msgspec.Struct, frozen=True):
    sessions: list[Session]


class SessionContext(msgspec.Struct, frozen=True):
    intent: str | None
    entities: dict[str, Any]


class SessionUsage(msgspec.Struct, frozen=True):
    input_tokens: int
    output_tokens: int


class SessionMessage(msgspec.Struct, frozen=True):
    """What was said. From ``state`` on, only answers have the fields."""

    id: str
    role: Literal["user", "assistant"]
    content: str
    created: Timestamp
    run_id: str
    state: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    suggestions: list[str] | UnsetType = UNSET
    intent: str | UnsetType = UNSET
    entities: dict[str, Any] | UnsetType = UNSET
    usage: SessionUsage | UnsetType = UNSET


class SessionDetail(msgspec.Struct, frozen=True):
    """``running`` is the run of the answer that is under way."""

    id: str
    title: str
    created: Timestamp
    updated: Timestamp
    message_count: int
    context: SessionContext
    running: str | None
    messages: list[SessionMessage]


class Stopped(msgspec.Struct, frozen=True):
    """False: nothing was under way."""

    stopped: bool
