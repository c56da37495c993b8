"""Conversations: a run as a chat's front end wants it. ``data:`` only, every object with ``type`` and ``timestamp``.

Render-only, from a run's entries: whoever takes the stream up again hears the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from millstream.core.errors import MillstreamError
from millstream.core.events import Fault, TextDelta
from millstream.core.run_events import Context, RunEnd, RunEntry, RunStart, Status, Suggestions, Switched
from millstream.core.timestamps import timestamp
from millstream.dialects.app_objects import failure_and_retry, token_counts
from millstream.dialects.base import ErrorReply

NAME = "conversation"
KEEPALIVE = b": keepalive\n\n"
PROCESSING = "processing"
SWITCHED = "switched"

_encode = msgspec.json.Encoder().encode


def message_id_of(run_id: str) -> str:
    """The id of the message that the run says."""
    return f"msg_{run_id.removeprefix('run_')}"


class ConversationEvents:
    """One reader's way through one run, from its beginning."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.context: Context | None = None
        self.suggestions: tuple[str, ...] = ()
        self.fault: Fault | None = None
        self.start = RunStart("")
        self.model = ""
        self._began = 0
        self._first: int | None = None
        self._last = 0

    def render(self, entries: Sequence[RunEntry]) -> bytes:
        return b"".join([self._frame(entry) for entry in entries])

    def keepalive(self) -> bytes:
        return KEEPALIVE

    def failure(self, error: MillstreamError) -> bytes:
        """That the rest of the run cannot be told here."""
        return b"data: %b\n\n" % _encode(failure_and_retry(error))

    def _frame(self, entry: RunEntry) -> bytes:
        event = entry.event
        if isinstance(event, TextDelta):
            if not event.text:
                return b""
            self._take_text(event.text, entry.at)
            at = timestamp(entry.at).encode()
            return b'data: {"type":"chunk","content":%b,"timestamp":"%b"}\n\n' % (_encode(event.text), at)
        said = self._said(entry)
        return b"data: %b\n\n" % _encode(said | {"timestamp": timestamp(entry.at)}) if said is not None else b""

    def _take_text(self, text: str, at: int) -> None:
        if self._first is None:
            self._first = at
        self._last = at
        self.text.append(text)

    def _said(self, entry: RunEntry) -> dict[str, Any] | None:
        event = entry.event
        match event:
            case RunStart():
                self.start, self.model, self._began = event, event.model, entry.at
            case Status():
                return self._status(event)
            case Switched():
                self.model = event.model
                return {"type": "status", "status": SWITCHED, "model": event.model, "message": event.reason}
            case Context():
                self.context = event
                said = {"type": "context", "intent": event.intent, "entities": event.entities}
                return said | {"updated": event.updated}
            case Suggestions():
                self.suggestions = event.items
            case Fault():
                self.fault = event
            case RunEnd():
                return self._end(event)
            case _:
                pass  # what the model's API alone is about
        return None

    def _status(self, event: Status) -> dict[str, Any]:
        said: dict[str, Any] = {"type": "status", "status": event.status}
        if event.status == PROCESSING:
            said |= self._ids()
        return said | {"message": event.message} if event.message is not None else said

    def _end(self, end: RunEnd) -> dict[str, Any]:
        if self.fault is not None:
            return failure_and_retry(self.fault) | self._ids() | {"resumable": bool(self.text)}
        return {"type": "complete", **self.outcome(end)}

    def outcome(self, end: RunEnd) -> dict[str, Any]:
        """What is told of an answer that has ended well, besides its words."""
        return {
            "suggestions": list(self.suggestions),
            **self._ids(),
            "model": self.model,
            "usage": None if end.usage is None else token_counts(end.usage),
            "metrics": self._metrics(end),
            "finish_reason": end.finish_reason or end.reason,
        }

    def _ids(self) -> dict[str, Any]:
        return {"session_id": self.start.session_id, "message_id": message_id_of(self.start.run_id)}

    def _metrics(self, end: RunEnd) -> dict[str, Any]:
        tokens = end.usage.output_tokens if end.usage is not None else 0
        speaking = 0 if self._first is None else self._last - self._first
        return {
            "ttft_ms": None if end.first_text is None else round(end.first_text * 1000, 1),
            "duration_ms": round(end.seconds * 1000, 1),
            "tokens_per_second": round(tokens * 1000 / speaking, 1) if tokens and speaking else None,
            "chunks": end.texts,
        }


def error_reply(error: MillstreamError, *, as_stream: bool) -> ErrorReply:
    """``error`` as a whole response; ``as_stream``: to a client that reads events, as the only one."""
    body = _encode(failure_and_retry(error))
    headers = {"content-type": "application/json"}
    if as_stream:
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache, no-transform"}
        body = b"data: %b\n\n" % body
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    return ErrorReply(error.status, body, headers)
