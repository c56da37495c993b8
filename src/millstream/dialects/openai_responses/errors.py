"""Errors: what upstreams of this API say, and how this API's clients are told of ours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core.errors import Kind, MillstreamError, RawError, UpstreamFault, kind_of_status
from millstream.core.events import Fault
from millstream.dialects.base import ErrorReply, Headers, retry_after_seconds
from millstream.dialects.openai_responses import wire

_KINDS: Mapping[str, Kind] = {
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "rate_limit_error": Kind.RATE_LIMIT,
    "tokens": Kind.RATE_LIMIT,
    "requests": Kind.RATE_LIMIT,
    "insufficient_quota": Kind.BILLING,
    "billing_hard_limit_reached": Kind.BILLING,
    "billing_not_active": Kind.BILLING,
    "usage_limit_reached": Kind.BILLING,
    "context_length_exceeded": Kind.CONTEXT_LENGTH,
    "invalid_api_key": Kind.AUTHENTICATION,
    "authentication_error": Kind.AUTHENTICATION,
    "permission_error": Kind.PERMISSION,
    "model_not_found": Kind.NOT_FOUND,
    "not_found_error": Kind.NOT_FOUND,
    "previous_response_not_found": Kind.NOT_FOUND,
    "server_is_overloaded": Kind.OVERLOADED,
    "overloaded_error": Kind.OVERLOADED,
    "slow_down": Kind.OVERLOADED,
    "server_error": Kind.INTERNAL,
    "internal_server_error": Kind.INTERNAL,
    "vector_store_timeout": Kind.TIMEOUT,
    "invalid_request_error": Kind.INVALID_REQUEST,
    "invalid_stream_id": Kind.INVALID_REQUEST,
    "websocket_connection_limit_reached": Kind.INVALID_REQUEST,
    "websocket_stream_limit_reached": Kind.INVALID_REQUEST,
    "invalid_prompt": Kind.INVALID_REQUEST,
    "cyber_policy": Kind.PERMISSION,
    "bio_policy": Kind.PERMISSION,
}
_INVALID = re.compile(r"invalid|image|unsupported|not_supported")
_BAD_KEY = re.compile(r"(incorrect|invalid) api key", re.IGNORECASE)
_TRY_AGAIN = re.compile(r"try again in ([0-9.]+)\s*(ms|s|m)\b", re.IGNORECASE)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}

_CODES: Mapping[Kind, str] = {
    Kind.RATE_LIMIT: "rate_limit_exceeded",
    Kind.BILLING: "insufficient_quota",
    Kind.CONTEXT_LENGTH: "context_length_exceeded",
    Kind.AUTHENTICATION: "invalid_api_key",
    Kind.NOT_FOUND: "model_not_found",
    Kind.INVALID_REQUEST: "invalid_prompt",
    Kind.TOO_LARGE: "invalid_prompt",
    Kind.PERMISSION: "invalid_prompt",
}
_TYPES: Mapping[Kind, str] = {
    Kind.RATE_LIMIT: "rate_limit_error",
    Kind.BILLING: "insufficient_quota",
}
_STATUSES = {529: 503}
"""Statuses that only another API has."""


def parse_error(status: int, headers: Headers, body: bytes) -> UpstreamFault:
    """The body of an answer that is no reply; every shape that providers of this API use."""
    details = _details(body)
    fault = _fault(details, status)
    return UpstreamFault(
        fault.message,
        fault.kind,
        status=status,
        code=fault.code,
        param=wire.string(details, "param") or None,
        retryable=fault.retryable or status >= 500,
        retry_after=retry_after_seconds(headers) or fault.retry_after,
        request_id=headers.get("x-request-id"),
        raw=RawError(wire.NAME, status, body, headers.get("content-type", "application/json")),
    )


def _details(body: bytes) -> Mapping[str, Any]:
    """Message, type and code, wherever the body has them."""
    try:
        data: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = body.decode("utf-8", "replace").strip()
        return {"message": text[:2000]}
    if not isinstance(data, dict):
        return {"message": str(data)[:2000]}
    for field in ("error", "detail"):
        value = data.get(field)
        if isinstance(value, dict):
            return value
        if isinstance(value, str):
            return {**data, "message": value}
        if value is not None:
            return {**data, "message": msgspec.json.encode(value).decode()[:2000]}
    return data


def fault_of(details: Mapping[str, Any]) -> Fault:
    """An error that ended a stream."""
    return Fault.of(_fault(details, wire.integer(details, "status")))


def event_fault(data: bytes) -> Fault:
    """An ``error`` event: its fields nested under ``error``, or on the event itself; on a WebSocket with a status."""
    details = _details(data)
    headers = {name.lower(): str(value) for name, value in wire.mapping(details, "headers").items()}
    fault = _fault(details, wire.integer(_object(data), "status"))
    fault.retry_after = retry_after_seconds(headers) or fault.retry_after
    return Fault.of(fault)


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def bare_fault(data: bytes) -> Fault | None:
    """The error in a JSON object that is no event of this API, if it is one."""
    event = _object(data)
    if not (event.get("error") or event.get("detail")):
        return None
    details = _details(data)
    return Fault.of(_fault(details, wire.integer(details, "code")))


def _fault(details: Mapping[str, Any], status: int | None) -> UpstreamFault:
    message = wire.string(details, "message") or "the upstream failed without saying why"
    code = wire.string(details, "code") or None
    kind = _kind(code, wire.string(details, "type"), message, status)
    waiting = _TRY_AGAIN.search(message)
    retry_after = _seconds(waiting) if waiting is not None else None
    retryable = True if kind is Kind.INTERNAL else None
    plausible = status if status is not None and 400 <= status < 600 else None
    return UpstreamFault(message, kind, status=plausible, code=code, retryable=retryable, retry_after=retry_after)


def _kind(code: str | None, error_type: str, message: str, status: int | None) -> Kind:
    for name in (code, error_type):
        if name and name in _KINDS and name != "invalid_request_error":
            return _KINDS[name]
    if _BAD_KEY.search(message):
        return Kind.AUTHENTICATION  # xAI answers 400 to it
    if "maximum context length" in message or "context window" in message:
        return Kind.CONTEXT_LENGTH
    if status is not None and 400 <= status < 600:
        return kind_of_status(status)
    if error_type == "invalid_request_error" or (code is not None and _INVALID.search(code)):
        return Kind.INVALID_REQUEST
    return Kind.INTERNAL


def _seconds(waiting: re.Match[str]) -> float | None:
    try:
        return float(waiting[1]) * _UNITS[waiting[2].lower()] or None
    except ValueError:
        return None


def wire_error(error: MillstreamError | Fault) -> dict[str, Any]:
    """``code`` and ``message`` as ``response.failed`` has them.

    Codex reads how long to wait out of a rate limit's message, and gives up at once on codes for an overload; those
    are ``server_error`` here, which it retries.
    """
    message = error.message
    if error.kind is Kind.RATE_LIMIT and error.retry_after and not _TRY_AGAIN.search(message):
        message = f"{message} Please try again in {error.retry_after:g}s."
    return {"code": _code(error), "message": message}


def _code(error: MillstreamError | Fault) -> str:
    known = _KINDS.get(error.code) if error.code is not None else None
    if error.code is not None and known is error.kind and error.kind is not Kind.OVERLOADED:
        return error.code
    return _CODES.get(error.kind, "server_error")


def wire_error_event(error: MillstreamError | Fault) -> dict[str, Any]:
    """The ``error`` of an event or of a whole response."""
    client = error.status < 500
    error_type = _TYPES.get(error.kind, "invalid_request_error" if client else "server_error")
    param = error.param if isinstance(error, MillstreamError) else None
    return {"type": error_type, **wire_error(error), "param": param}


def render_error(error: MillstreamError) -> ErrorReply:
    """An error as a whole HTTP response; one of this API's own upstreams to the byte."""
    headers = {"content-type": "application/json", **retry_headers(error)}
    raw = error.raw
    if raw is not None and raw.dialect == wire.NAME:
        return ErrorReply(raw.status, raw.body, {**headers, "content-type": raw.content_type})
    body = msgspec.json.encode({"error": wire_error_event(error)})
    return ErrorReply(wire_status(error), body, headers)


def wire_status(error: MillstreamError) -> int:
    return _STATUSES.get(error.status, error.status)


def retry_headers(error: MillstreamError) -> dict[str, str]:
    """When to come back. Codex ends its turn at a 429 that does not say; fractions are for those who read them."""
    if error.retry_after is None:
        return {}
    milliseconds = math.ceil(error.retry_after * 1000)
    return {"retry-after": str(math.ceil(error.retry_after)), "retry-after-ms": str(milliseconds)}
