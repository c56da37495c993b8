"""Objects that the streams for apps have in common."""

from __future__ import annotations

from typing import Any

from millstream.core.errors import MillstreamError
from millstream.core.events import Fault
from millstream.core.messages import Usage


def failure(error: Fault | MillstreamError) -> dict[str, Any]:
    """Without the moment to try again, which not every stream tells."""
    return {
        "type": "error",
        "code": error.code or error.kind.value,
        "message": error.message,
        "retryable": error.retryable,
    }


def failure_and_retry(error: Fault | MillstreamError) -> dict[str, Any]:
    said = failure(error)
    return said if error.retry_after is None else said | {"retry_after": error.retry_after}


def token_counts(usage: Usage) -> dict[str, int]:
    """Without what is known of caches and reasoning."""
    total = usage.input_tokens + usage.output_tokens
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "total_tokens": total}
