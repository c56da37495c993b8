"""Agent events: a run with its tools, as an app shows it. ``data:`` only, every object with ``type`` and ``timestamp``.

Render-only, from a run's entries: whoever takes the stream up again hears the same. Nothing waits for anything: each
entry is said when it comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core import run_events as app
from millstream.core.errors import MillstreamError
from millstream.core.messages import MediaPart, ResultPart, TextPart
from millstream.core.run_events import RunEntry
from millstream.core.timestamps import timestamp
from millstream.dialects.app_objects import failure, token_counts

NAME = "agent_events"
KEEPALIVE = b": keepalive\n\n"
MOST_RESULT = 4000
"""Characters of a tool's result that are shown; the model is told more."""

EXHAUSTED = "max_iterations"
_encode = msgspec.json.Encoder().encode


class AgentEvents:
    """One reader's way through one run, from its beginning. ``accumulated``: each piece of text comes with the whole so
    far. Pieces before number ``after`` are taken in, but not said."""

    def __init__(self, *, accumulated: bool = True, after: int = 0) -> None:
        self._accumulated = accumulated
        self._after = after
        self._text: list[str] = []
        self._so_far = ""
        self._fault: ev.Fault | None = None
        self._exhausted = False
        self._iterations = 0
        self._tool_calls = 0
        self._turn: list[str] = []
        self._running = False
        self._done = 0

    @property
    def text(self) -> str:
        return "".join(self._text)

    def objects(self, entries: Sequence[RunEntry]) -> list[dict[str, Any]]:
        """What ``entries`` are to this surface."""
        found: list[dict[str, Any]] = []
        for entry in entries:
            said = self._objects(entry)
            if entry.number > self._after:
                at = timestamp(entry.at)
                found += [one | {"timestamp": at} for one in said]
        return found

    def render(self, entries: Sequence[RunEntry]) -> bytes:
        return b"".join([b"data: %b\n\n" % _encode(said) for said in self.objects(entries)])

    def keepalive(self) -> bytes:
        return KEEPALIVE

    def failure(self, error: MillstreamError) -> bytes:
        """That the rest of the run cannot be told here."""
        return b"data: %b\n\n" % _encode(error_object(error))

    def _objects(self, entry: RunEntry) -> list[dict[str, Any]]:
        event = entry.event
        match event:
            case ev.TextDelta():
                return self._chunk(event.text)
            case app.RunStart():
                return [_start(event)]
            case app.StepStart():
                self._iterations = event.number
                self._turn, self._running, self._done = [], False, 0
                return [{"type": "iteration_start", "iteration": event.number}]
            case app.ToolDetected():
                return [self._detected(event.tool, event.call_id)]
            case app.ToolRunStart():
                return self._started(event)
            case app.ToolRunProgress():
                return [self._progress(event)]
            case app.ToolRunEnd():
                return self._ended(event)
            case app.ApprovalAsked():
                return [_asked(event)]
            case app.ApprovalGiven():
                said = {"type": "approval_given", "id": event.id, "tool_call_id": event.call_id}
                return [said | {"approved": event.approved, "reason": event.reason}]
            case app.Status():
                self._exhausted = self._exhausted or event.status == EXHAUSTED
                return [{"type": "status", "status": event.status, "message": event.message}]
            case ev.Fault():
                self._fault = event
                return []
            case app.RunEnd():
                return [self._end(event)]
            case _:
                return []  # what the model's API alone is about

    def _chunk(self, text: str) -> list[dict[str, Any]]:
        if not text:
            return []
        self._text.append(text)
        said = {"type": "text_chunk", "chunk": text}
        if self._accumulated:
            self._so_far += text
            said["accumulated"] = self._so_far
        return [said]

    def _detected(self, tool: str, call_id: str) -> dict[str, Any]:
        self._turn.append(tool)
        self._tool_calls += 1
        return _detected(tool, call_id)

    def _started(self, event: app.ToolRunStart) -> list[dict[str, Any]]:
        said: list[dict[str, Any]] = []
        if not self._running:
            self._running = True
            said.append({"type": "tools_executing", "tools": list(self._turn), "count": len(self._turn)})
        return [*said, self._status(event, "executing", {"current": self._done, "total": len(self._turn)})]

    def _progress(self, event: app.ToolRunProgress) -> dict[str, Any]:
        progress = {"current": event.current, "total": event.total} if event.current is not None else None
        said = self._status(event, "executing", progress or {"current": self._done, "total": len(self._turn)})
        return said | {"message": event.message} if event.message is not None else said

    def _ended(self, event: app.ToolRunEnd) -> list[dict[str, Any]]:
        self._done += 1
        status = "failed" if event.is_error else "completed"
        done = self._status(event, status, {"current": self._done, "total": len(self._turn)})
        result = {"type": "tool_result", "tool": event.tool, "tool_call_id": event.call_id}
        return [
            done | {"executionTime": f"{round(event.seconds * 1000)}ms"},
            result | {"content": shown(event.content), "is_error": event.is_error},
        ]

    def _status(
        self, event: app.ToolRunStart | app.ToolRunProgress | app.ToolRunEnd, status: str, progress: dict[str, Any]
    ) -> dict[str, Any]:
        said = {"type": "tool_progress", "tool": event.tool, "tool_call_id": event.call_id}
        return said | {"status": status, "progress": progress}

    def _end(self, end: app.RunEnd) -> dict[str, Any]:
        if self._fault is not None:
            return failure(self._fault)
        return {
            "type": "complete",
            "text": self.text,
            "usage": None if end.usage is None else token_counts(end.usage),
            "iterations": self._iterations,
            "tool_calls": self._tool_calls,
            "total_time_ms": round(end.seconds * 1000),
            "finish_reason": EXHAUSTED if self._exhausted else end.finish_reason or end.reason,
        }


def error_object(error: MillstreamError) -> dict[str, Any]:
    return failure(ev.Fault.of(error))


def shown(content: str | Sequence[ResultPart]) -> str:
    """A tool's result as text, at most ``MOST_RESULT`` characters of it."""
    text = content if isinstance(content, str) else "\n".join(map(_shown_part, content))
    if len(text) <= MOST_RESULT:
        return text
    return f"{text[:MOST_RESULT]}… [truncated: {MOST_RESULT} of {len(text)} characters]"


def _shown_part(part: ResultPart) -> str:
    match part:
        case TextPart():
            return part.text
        case MediaPart():
            return f"[{part.media_type or part.kind}]"
        case _:
            return f"[{type(part).__name__.removesuffix('Part')}]"


def _start(start: app.RunStart) -> dict[str, Any]:
    said = {"type": "session_start", "session_id": start.session_id or start.run_id, "run_id": start.run_id}
    return said | {"model": start.model, "message": f"Started with {start.model}"}


def _detected(tool: str, call_id: str) -> dict[str, Any]:
    return {"type": "tool_detected", "tool": tool, "tool_call_id": call_id, "message": f"Calling {tool}"}


def _asked(asked: app.ApprovalAsked) -> dict[str, Any]:
    said = {"type": "approval_required", "id": asked.id, "tool": asked.tool, "tool_call_id": asked.call_id}
    return said | {"arguments": asked.arguments}
