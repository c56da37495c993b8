"""The log's line for a request that has ended, from what became known of it."""

from __future__ import annotations

from typing import Literal

from millstream.pipeline import Record
from millstream.telemetry import logs

End = Literal["finished", "cancelled", "failed"]


def log_request(record: Record, status: int, end: End, began: float, now: float) -> None:
    """``began`` and ``now`` are Unix times. A client that left is told as status 499."""
    error = record.error
    first = record.first_content_at
    usage = record.usage
    logs.request(
        logs.RequestLine(
            id=record.id,
            client=record.dialect,
            model=record.model,
            upstream=record.route.name if record.route else "",
            status=499 if end == "cancelled" else status,
            end=end,
            duration_ms=round((now - began) * 1000),
            first_content_ms=None if first is None else round((first - began) * 1000),
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            finish_reason=record.finish_reason,
            tries=max(record.tries, 1),
            dropped=record.dropped,
            error=None if error is None else f"{error.kind.value}: {error.message}",
        )
    )
