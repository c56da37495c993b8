"""What is told of requests that have ended: a line in the log, and their records to whoever observes.

It is told of all that end within a moment together: code that runs for one request after the other finds the caches
warm (docs/decisions/0012-what-a-request-costs.md).
"""

from __future__ import annotations

import asyncio

from millstream.pipeline import End, Ended, Gateway, Record
from millstream.telemetry import logs

_MOMENT_S = 0.01
_MOST = 500
_LOST_S = 1.0
"""The event loop that was to tell of them has ended before: some hosts have one for each request."""


def log_request(gateway: Gateway, record: Record, status: int, end: End, began: float) -> None:
    """``began`` is a Unix time; it ends now. A client that left is told as status 499."""
    untold, now = gateway.untold, gateway.now()
    if not untold or now - untold[0].at > _LOST_S:
        asyncio.get_running_loop().call_later(_MOMENT_S, tell, gateway)
    untold.append(Ended(record, 499 if end == "cancelled" else status, end, began, now))
    if len(untold) >= _MOST:
        tell(gateway)


def tell(gateway: Gateway) -> None:
    """What has ended by now, for who cannot wait."""
    untold = gateway.untold[:]
    gateway.untold.clear()
    for ended in untold:
        logs.request(_line(ended), ended.at)
    for observe in gateway.observers:
        for ended in untold:
            observe(*ended)


def _line(ended: Ended) -> logs.RequestLine:
    record, began = ended.record, ended.began
    error, usage, first = record.error, record.usage, record.first_content_at
    return logs.RequestLine(
        id=record.id,
        client=record.dialect,
        model=record.model,
        upstream=record.route.name if record.route else "",
        status=ended.status,
        end=ended.end,
        duration_ms=round((ended.at - began) * 1000),
        first_content_ms=None if first is None else round((first - began) * 1000),
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output_tokens if usage else None,
        finish_reason=record.finish_reason,
        tries=max(record.tries, 1),
        dropped=record.dropped,
        switched=record.switched,
        error=None if error is None else f"{error.kind.value}: {error.message}",
    )
