"""The two ways to ask a gateway: as a model API, and as an agent whose tools run in the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from millstream.core import events as ev
from millstream.core import run_events as run
from millstream.core.errors import Kind, MillstreamError, UpstreamFault
from millstream.core.messages import Request, TextPart
from millstream.core.messages import Usage as TokenUsage
from millstream.core.sse import SSEDecoder
from millstream.dialects.base import Dialect, Headers, Target


class Reader(Protocol):
    """Bytes of one answer → events. Raises ``MillstreamError`` for bytes that are none."""

    def feed(self, data: bytes) -> Sequence[run.RunEvent]: ...

    def finish(self) -> Sequence[run.RunEvent]:
        """The gateway closed the stream."""
        ...


class Wire(Protocol):
    """One question in a gateway's words."""

    path: str
    body: bytes
    headers: Mapping[str, str]

    def reader(self) -> Reader: ...

    def refusal(self, status: int, headers: Headers, body: bytes) -> MillstreamError:
        """An answer that is an error."""
        ...


class ModelWire:
    """In the words of a model API's ``dialect``."""

    def __init__(self, dialect: Dialect, request: Request) -> None:
        asked = dialect.render_request(request, Target(request.model, dialect.quirks()))
        self.path = f"/v1{asked.path}"
        self.body = asked.body
        self.headers: Mapping[str, str] = asked.headers
        self._dialect = dialect

    def reader(self) -> Reader:
        return self._dialect.parser()

    def refusal(self, status: int, headers: Headers, body: bytes) -> MillstreamError:
        return self._dialect.parse_error(status, headers, body)


class _Said(msgspec.Struct):
    """An agent's event: the fields of all its kinds that are shown."""

    type: str
    model: str = ""
    run_id: str = ""
    iteration: int = 0
    chunk: str = ""
    tool: str = ""
    tool_call_id: str = ""
    id: str = ""
    arguments: str = ""
    status: str = ""
    progress: dict[str, float] | None = None
    message: str | None = None
    execution_time: str | None = msgspec.field(default=None, name="executionTime")
    content: str = ""
    is_error: bool = False
    approved: bool = False
    usage: dict[str, int] | None = None
    code: str | None = None


class AgentWire:
    """As ``POST /mcp/chat/stream``: the gateway runs the tools, and says how they get on."""

    path = "/mcp/chat/stream"

    def __init__(self, request: Request) -> None:
        told: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": message.role, "content": _text(message.parts)} for message in request.messages],
            "accumulated": False,
        }
        if request.system:
            told["system"] = _text(request.system)
        self.body = msgspec.json.encode(told)
        self.headers: Mapping[str, str] = {}

    def reader(self) -> Reader:
        return AgentReader()

    def refusal(self, status: int, headers: Headers, body: bytes) -> MillstreamError:
        try:
            said = msgspec.json.decode(body)
            message = str(said.get("message") or said.get("error", {}).get("message") or said)
        except (msgspec.MsgspecError, AttributeError):
            message = body.decode(errors="replace")[:500]
        return UpstreamFault(message or f"the gateway answered {status}", status=status)


class AgentReader:
    """Agent events → events of a run."""

    def __init__(self) -> None:
        self._decoder = SSEDecoder()
        self._ended = False
        self._seconds: dict[str, float] = {}

    def feed(self, data: bytes) -> list[run.RunEvent]:
        return [event for _, said in self._decoder.feed(data) if said for event in self._read(said)]

    def finish(self) -> list[run.RunEvent]:
        return [] if self._ended else [ev.truncated("the gateway closed the run's stream before its end")]

    def _read(self, data: bytes) -> list[run.RunEvent]:
        try:
            said = msgspec.json.decode(data, type=_Said)
        except msgspec.MsgspecError as error:
            raise UpstreamFault(f"the gateway's event cannot be read: {error}", Kind.MALFORMED) from error
        return self._events(said)

    def _events(self, said: _Said) -> list[run.RunEvent]:
        call = said.tool_call_id
        match said.type:
            case "session_start":
                return [run.RunStart(said.run_id, said.model)]
            case "iteration_start":
                return [run.StepStart(said.iteration), ev.TextStart(said.iteration)]
            case "text_chunk":
                return [ev.TextDelta(0, said.chunk)]
            case "tool_detected":
                return [run.ToolDetected(call, said.tool)]
            case "tool_progress" if said.status == "executing":
                counted = _counted(said.progress or {})
                progress = (counted.get("current"), counted.get("total"), said.message)
                return [run.ToolRunProgress(call, said.tool, *progress)]
            case "tool_progress":
                self._seconds[call] = _seconds(said.execution_time)
                return []
            case "tool_result":
                seconds = self._seconds.pop(call, 0.0)
                return [run.ToolRunEnd(call, said.tool, said.content, said.is_error, seconds)]
            case "approval_required":
                return [run.ApprovalAsked(said.id, call, said.tool, said.arguments)]
            case "approval_given":
                return [run.ApprovalGiven(said.id, call, said.approved)]
            case "complete":
                self._ended = True
                return [*_usage(said.usage), ev.Finish()]
            case "error":
                self._ended = True
                return [ev.Fault.of(UpstreamFault(said.message or "the run failed", code=said.code))]
            case _:
                return []


def _counted(progress: Mapping[str, float]) -> dict[str, float]:
    return {name: progress[name] for name in ("current", "total") if name in progress}


def _seconds(told: str | None) -> float:
    """``752ms`` in seconds."""
    digits = (told or "").removesuffix("ms")
    return int(digits) / 1000 if digits.isdecimal() else 0.0


def _usage(told: Mapping[str, int] | None) -> list[ev.Usage]:
    if not told:
        return []
    return [ev.Usage(TokenUsage(input_tokens=told.get("input_tokens", 0), output_tokens=told.get("output_tokens", 0)))]


def _text(parts: Sequence[object]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPart))
