"""Chat events: a run as an app without tools of its own wants it, ``chunk`` after ``chunk`` and then one end.

Render-only. Every object has a JSON form that is the same in each place and however often it is asked for, since all it
says is in the run's entries: that is what lets a stream be taken up anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from millstream.core.errors import MillstreamError
from millstream.core.events import Fault, TextDelta
from millstream.core.messages import Usage
from millstream.core.run_events import RunEnd, RunEntry
from millstream.core.timestamps import timestamp
from millstream.dialects.app_objects import failure_and_retry, token_counts
from millstream.dialects.base import ErrorReply

NAME = "millstream"
KEEPALIVE = b": keepalive\n\n"

_encode = msgspec.json.Encoder().encode


class ChatEvents:
    """One reader's way through one run, from wherever it took it up."""

    def __init__(self) -> None:
        self._fault: Fault | None = None

    def objects(self, entries: Sequence[RunEntry]) -> list[tuple[int, str, bytes]]:
        """Number, event name and JSON object of each entry that has something to say to this surface."""
        found: list[tuple[int, str, bytes]] = []
        for entry in entries:
            event = entry.event
            if isinstance(event, TextDelta):
                if event.text:
                    found.append((entry.number, "message", _chunk(event.text, entry.at)))
            elif isinstance(event, Fault):
                self._fault = event  # said with the run's last entry, after which nothing is left to resume
            elif isinstance(event, RunEnd):
                fault = self._fault
                name = "complete" if fault is None else "error"
                said = _complete(event, entry.at) if fault is None else error_object(fault, entry.at)
                found.append((entry.number, name, said))
        return found

    def render(self, entries: Sequence[RunEntry]) -> bytes:
        """Server-sent events."""
        return b"".join([frame(number, name, data) for number, name, data in self.objects(entries)])

    def keepalive(self) -> bytes:
        return KEEPALIVE

    def failure(self, error: MillstreamError) -> bytes:
        """That the rest of the run cannot be told here. It has no number, being no event of the run."""
        return frame(None, "error", error_object(error))


def frame(number: int | None, name: str, data: bytes) -> bytes:
    """One server-sent event. Without a number, a client that comes back goes on from the event before."""
    if number is None:
        return b"event: %b\ndata: %b\n\n" % (name.encode(), data)
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (number, name.encode(), data)


def error_object(error: Fault | MillstreamError, at: int | None = None) -> bytes:
    said = failure_and_retry(error)
    if at is not None:
        said["timestamp"] = timestamp(at)
    return _encode(said)


class ChatErrors:
    """Errors of this surface as whole responses."""

    def render_error(self, error: MillstreamError) -> ErrorReply:
        headers = {"content-type": "application/json"}
        if error.retry_after is not None:
            headers["retry-after"] = str(max(1, round(error.retry_after)))
        return ErrorReply(error.status, error_object(error), headers)


def _chunk(text: str, at: int) -> bytes:
    return b'{"type":"chunk","content":%b,"timestamp":"%b"}' % (_encode(text), timestamp(at).encode())


def _complete(end: RunEnd, at: int) -> bytes:
    duration = end.seconds
    tokens = end.usage.output_tokens if end.usage is not None else 0
    speaking = duration - (end.first_text or 0.0)
    return _encode(
        {
            "type": "complete",
            "usage": _usage(end.usage),
            "metrics": {
                "ttft_ms": None if end.first_text is None else round(end.first_text * 1000, 1),
                "duration_ms": round(duration * 1000, 1),
                "tokens_per_second": round(tokens / speaking, 1) if tokens and speaking > 0 else None,
                "chunks": end.texts,
            },
            "finish_reason": end.finish_reason or end.reason,
            "timestamp": timestamp(at),
        }
    )


def _usage(usage: Usage | None) -> dict[str, int] | None:
    if usage is None:
        return None
    optional = {
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
    return token_counts(usage) | {name: count for name, count in optional.items() if count is not None}
