"""What is told of a request that has ended: a line in the log, and its record to whoever observes."""

from __future__ import annotations

from millstream.pipeline import End, Gateway, Record
from millstream.telemetry import logs


def log_request(gateway: Gateway, record: Record, status: int, end: End, began: float) -> None:
    """``began`` is a Unix time; it ends now. A client that left is told as status 499."""
    now = gateway.now()
    status = 499 if end == "cancelled" else status
    error = record.error
    first = record.first_content_at
    usage = record.usage
    logs.request(
        logs.RequestLine(
            id=record.id,
            client=record.dialect,
            model=record.model,
            upstream=record.route.name if record.route else "",
            status=status,
            end=end,
            duration_ms=round((now - began) * 1000),
            first_content_ms=None if first is None else round((first - began) * 1000),
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            finish_reason=record.finish_reason,
            tries=max(record.tries, 1),
            dropped=record.dropped,
            switched=record.switched,
            error=None if error is None else f"{error.kind.value}: {error.message}",
        )
    )
    for observe in gateway.observers:
        observe(record, status, end, began, now)
