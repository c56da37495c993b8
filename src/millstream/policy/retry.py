"""Whether to try an upstream again, and after how long. Asked only while nothing of an answer has left."""

from __future__ import annotations

from dataclasses import dataclass

from millstream.core.errors import MillstreamError

_MAX_BACKOFF_S = 8.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``retries`` beyond the first try; ``backoff`` seconds, doubled each time; a ``retry-after`` of over ``max_wait``
    seconds is left to the client, who can wait longer than we may hold its connection."""

    retries: int = 2
    backoff: float = 0.5
    max_wait: float = 10.0

    def wait(self, error: MillstreamError, tries: int, jitter: float) -> float | None:
        """Seconds to wait before the next try, or None to give up. ``jitter`` is a random number from 0 to 1."""
        if not error.retryable or error.content_sent or tries > self.retries:
            return None
        if error.retry_after is not None:
            return error.retry_after * (1 + jitter / 4) if error.retry_after <= self.max_wait else None
        return min(self.backoff * 2.0 ** (tries - 1), _MAX_BACKOFF_S) * (0.5 + jitter / 2)
