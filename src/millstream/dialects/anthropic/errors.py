"""Anthropic's errors, both directions: as a response's body, and as the last event of a stream.

Source: https://platform.claude.com/docs/en/api/errors. Statuses and texts decide what Claude Code does next (retry,
compact, lower ``max_tokens``, give up), so its words are kept to the letter.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from millstream.core.errors import (
    DEFAULT_STATUS,
    ClientFault,
    GatewayBug,
    Kind,
    MillstreamError,
    RawError,
    UpstreamFault,
    kind_of_status,
)
from millstream.core.events import Fault
from millstream.dialects.anthropic.context_length import is_context_length, worded
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import ErrorReply, Headers, retry_after_seconds

_KINDS: dict[str, Kind] = {
    "invalid_request_error": Kind.INVALID_REQUEST,
    "authentication_error": Kind.AUTHENTICATION,
    "billing_error": Kind.BILLING,
    "permission_error": Kind.PERMISSION,
    "not_found_error": Kind.NOT_FOUND,
    "request_too_large": Kind.TOO_LARGE,
    "rate_limit_error": Kind.RATE_LIMIT,
    "timeout_error": Kind.TIMEOUT,
    "api_error": Kind.INTERNAL,
    "overloaded_error": Kind.OVERLOADED,
    "conflict_error": Kind.INVALID_REQUEST,
}
_TYPES: dict[Kind, str] = {
    Kind.INVALID_REQUEST: "invalid_request_error",
    Kind.CONTEXT_LENGTH: "invalid_request_error",
    Kind.AUTHENTICATION: "authentication_error",
    Kind.BILLING: "billing_error",
    Kind.PERMISSION: "permission_error",
    Kind.NOT_FOUND: "not_found_error",
    Kind.TOO_LARGE: "request_too_large",
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.TIMEOUT: "timeout_error",
    Kind.OVERLOADED: "overloaded_error",
    Kind.SHUTDOWN: "overloaded_error",
}
_ANY_OTHER_TYPE = "api_error"
_RETRIED_STATUSES = frozenset({408, 409, 429})
_LOW_CREDIT = "credit balance is too low"
_LONGEST_TEXT = 1000
_SERVICE_UNAVAILABLE = 503


def parse_error(status: int, headers: Headers, body: bytes) -> UpstreamFault:
    """An error response. ``raw`` keeps it, so that this API's own client is given it to the byte."""
    found = _object(body)
    error = _error_in(found)
    message = error.get("message")
    if not isinstance(message, str) or not message:
        text = body.decode("utf-8", "replace").strip()
        message = text[:_LONGEST_TEXT] or f"the upstream answered with status {status}"
    kind = _kind(error.get("type"), message, status)
    request_id = found.get("request_id") or headers.get("request-id")
    return UpstreamFault(
        message,
        kind,
        status=status,
        code=_code(error),
        retryable=_retryable(status, headers),
        retry_after=retry_after_seconds(headers),
        request_id=request_id if isinstance(request_id, str) else None,
        raw=RawError(ORIGIN, status, body, headers.get("content-type", "application/json")),
    )


def stream_fault(payload: object) -> Fault:
    """The fault of an ``error`` event, or of an error body that came where a stream should be."""
    error = _error_in(payload if isinstance(payload, dict) else {"error": payload})
    message = error.get("message")
    if not isinstance(message, str) or not message:
        message = "the upstream failed without saying why"
    kind = _kind(error.get("type"), message, None)
    status = DEFAULT_STATUS[kind]
    retryable = status in _RETRIED_STATUSES or status >= 500
    return Fault.of(UpstreamFault(message, kind, status=status, code=_code(error), retryable=retryable))


def render_error(error: MillstreamError) -> ErrorReply:
    """A response for this API's clients; what an upstream of this API said, to the byte."""
    headers = {"content-type": "application/json"}
    if error.request_id is not None:
        headers["request-id"] = error.request_id
    if error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after))
    if not error.retryable:
        headers["x-should-retry"] = "false"
    if error.raw is not None and error.raw.dialect == ORIGIN:
        headers["content-type"] = error.raw.content_type
        return ErrorReply(error.raw.status, error.raw.body, headers)
    body = msgspec.json.encode(error_object(error.kind, error.message, error.request_id))
    return ErrorReply(_status(error), body, headers)


def error_object(kind: Kind, message: str, request_id: str | None) -> dict[str, Any]:
    """``{"type": "error", "error": {"type": …, "message": …}, "request_id": …}``"""
    if kind is Kind.CONTEXT_LENGTH:
        message = worded(message)
    error = {"type": _TYPES.get(kind, _ANY_OTHER_TYPE), "message": message}
    return {"type": "error", "error": error, "request_id": request_id}


def _status(error: MillstreamError) -> int:
    """Overloaded is 529 with Anthropic. A 503 stays one: Claude Code tries it ten times, a 529 only three."""
    if isinstance(error, GatewayBug):
        return 500
    if isinstance(error, ClientFault):
        return error.status
    if error.kind is Kind.OVERLOADED and error.status != _SERVICE_UNAVAILABLE:
        return DEFAULT_STATUS[Kind.OVERLOADED]
    if error.kind in _TYPES and error.kind is not Kind.OVERLOADED:
        return DEFAULT_STATUS[error.kind]
    return error.status if error.status >= 400 else DEFAULT_STATUS[error.kind]


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _error_in(payload: dict[str, Any]) -> dict[str, Any]:
    """``error`` may be an object, a bare text, or missing around its own fields."""
    error = payload.get("error", payload)
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) else {}


def _kind(kind: object, message: str, status: int | None) -> Kind:
    if is_context_length(message) and status in (None, 400, 413):
        return Kind.CONTEXT_LENGTH
    if _LOW_CREDIT in message:
        return Kind.BILLING
    found = _KINDS.get(kind) if isinstance(kind, str) else None
    if found is not None and (found is not Kind.INTERNAL or status is None):
        return found
    return kind_of_status(status) if status is not None else Kind.INTERNAL


def _code(error: dict[str, Any]) -> str | None:
    """The most precise name the upstream has for it (``error.details.error_code``, else ``error.type``)."""
    details = error.get("details")
    code = details.get("error_code") if isinstance(details, dict) else None
    code = code or error.get("type")
    return code if isinstance(code, str) else None


def _retryable(status: int, headers: Headers) -> bool:
    """As Anthropic's SDKs decide it: the server's word first, then the status."""
    said = headers.get("x-should-retry")
    if said in ("true", "false"):
        return said == "true"
    return status in _RETRIED_STATUSES or status >= 500
