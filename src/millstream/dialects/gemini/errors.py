"""Errors, both ways: ``{"error": {"code", "message", "status", "details"}}``.

Status names: https://cloud.google.com/apis/design/errors; ``details`` are messages of ``google.rpc``. A bad key is a
400 here, and how long to wait after a 429 stands in ``RetryInfo``, not in a header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core.errors import DEFAULT_STATUS, Kind, MillstreamError, RawError, UpstreamFault, kind_of_status
from millstream.dialects.base import ErrorReply, Headers, retry_after_seconds
from millstream.dialects.gemini.wire import DIALECT

_KINDS: dict[str, Kind] = {
    "INVALID_ARGUMENT": Kind.INVALID_REQUEST,
    "FAILED_PRECONDITION": Kind.INVALID_REQUEST,
    "OUT_OF_RANGE": Kind.INVALID_REQUEST,
    "ALREADY_EXISTS": Kind.INVALID_REQUEST,
    "UNAUTHENTICATED": Kind.AUTHENTICATION,
    "PERMISSION_DENIED": Kind.PERMISSION,
    "NOT_FOUND": Kind.NOT_FOUND,
    "RESOURCE_EXHAUSTED": Kind.RATE_LIMIT,
    "UNAVAILABLE": Kind.OVERLOADED,
    "DEADLINE_EXCEEDED": Kind.TIMEOUT,
    "CANCELLED": Kind.CANCELLED,
    "ABORTED": Kind.OVERLOADED,
    "INTERNAL": Kind.INTERNAL,
    "UNKNOWN": Kind.INTERNAL,
    "DATA_LOSS": Kind.INTERNAL,
}
_STATUS_NAMES: dict[Kind, str] = {
    Kind.INVALID_REQUEST: "INVALID_ARGUMENT",
    Kind.AUTHENTICATION: "UNAUTHENTICATED",
    Kind.PERMISSION: "PERMISSION_DENIED",
    Kind.BILLING: "PERMISSION_DENIED",
    Kind.NOT_FOUND: "NOT_FOUND",
    Kind.TOO_LARGE: "INVALID_ARGUMENT",
    Kind.CONTEXT_LENGTH: "INVALID_ARGUMENT",
    Kind.RATE_LIMIT: "RESOURCE_EXHAUSTED",
    Kind.OVERLOADED: "UNAVAILABLE",
    Kind.TIMEOUT: "DEADLINE_EXCEEDED",
    Kind.UNREACHABLE: "UNAVAILABLE",
    Kind.TRUNCATED: "UNAVAILABLE",
    Kind.MALFORMED: "UNAVAILABLE",
    Kind.CANCELLED: "CANCELLED",
    Kind.SHUTDOWN: "UNAVAILABLE",
    Kind.INTERNAL: "INTERNAL",
}
_KEY_REASONS = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "ACCESS_TOKEN_EXPIRED", "CREDENTIALS_MISSING"})
_BILLING_REASONS = frozenset({"BILLING_DISABLED", "BILLING_NOT_ACTIVE"})
_TOO_LONG = re.compile(r"exceeds the maximum number of tokens|input token count|context (window|length)", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
_MAX_MESSAGE = 4000

_OVERLOADED = 503
"""Google's clients do not know 529 and would not try again."""


def parse_error(status: int, headers: Headers, body: bytes) -> UpstreamFault:
    """A failed response. Its bytes are kept for a client of this dialect."""
    raw = RawError(DIALECT, status, body, headers.get("content-type", "application/json"))
    error = _error_of(body)
    wait = retry_after_seconds(headers)
    if error is None:
        said = body[:_MAX_MESSAGE].decode(errors="replace").strip()
        return _fault(said or f"the upstream answered {status} without a word", status, {}, wait, raw)
    return _fault(_text(error, "message") or f"the upstream answered {status}", status, error, wait, raw)


def stream_error(error: Any) -> UpstreamFault:
    """The ``error`` object that a stream which began well can end with."""
    fields = error if isinstance(error, Mapping) else {"message": str(error)}
    code = fields.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return _fault(_text(fields, "message") or "the upstream ended its stream with an error", status, fields, None, None)


def render_error(error: MillstreamError) -> ErrorReply:
    """This dialect's own upstream is given back to the byte."""
    wait = {} if error.retry_after is None else {"retry-after": str(max(1, round(error.retry_after)))}
    if error.raw is not None and error.raw.dialect == DIALECT:
        return ErrorReply(error.raw.status, error.raw.body, {"content-type": error.raw.content_type, **wait})
    return ErrorReply(_status_of(error), error_body(error), {"content-type": "application/json", **wait})


def error_body(error: MillstreamError) -> bytes:
    """One line of JSON that begins with ``{"error":``, as the Python SDK looks for in a stream."""
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": _reason_of(error), "domain": "millstream"}
    ]
    if error.param is not None:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    if error.retry_after is not None:
        delay = f"{error.retry_after:.3f}".rstrip("0").rstrip(".")
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{delay}s"})
    status = _status_of(error)
    name = _STATUS_NAMES[error.kind]
    return msgspec.json.encode(
        {"error": {"code": status, "message": error.message, "status": name, "details": details}}
    )


def _status_of(error: MillstreamError) -> int:
    return _OVERLOADED if error.status == DEFAULT_STATUS[Kind.OVERLOADED] else error.status


def _reason_of(error: MillstreamError) -> str:
    return re.sub(r"[^A-Z0-9_]", "_", (error.code or error.kind.value).upper())


def _fault(
    message: str, status: int, error: Mapping[str, Any], wait: float | None, raw: RawError | None
) -> UpstreamFault:
    given = error.get("details")
    details = [detail for detail in given if isinstance(detail, Mapping)] if isinstance(given, list) else []
    reasons = {_text(detail, "reason") for detail in details}
    kind = _kind_of(_text(error, "status"), status, reasons, message)
    return UpstreamFault(
        message,
        kind,
        status=DEFAULT_STATUS[kind] if kind in (Kind.AUTHENTICATION, Kind.BILLING) else status,
        code=next((reason for reason in sorted(reasons) if reason), None) or _text(error, "status") or None,
        retryable=status >= 500 or status in (408, 429),
        retry_after=wait if wait is not None else _retry_delay(details),
        raw=raw,
    )


def _kind_of(name: str, status: int, reasons: set[str], message: str) -> Kind:
    if reasons & _KEY_REASONS:
        return Kind.AUTHENTICATION
    if reasons & _BILLING_REASONS:
        return Kind.BILLING
    kind = _KINDS.get(name) or kind_of_status(status)
    if kind is Kind.INVALID_REQUEST and _TOO_LONG.search(message):
        return Kind.CONTEXT_LENGTH
    return kind


def _retry_delay(details: list[Mapping[str, Any]]) -> float | None:
    for detail in details:
        found = _DURATION.fullmatch(_text(detail, "retryDelay"))
        if found is not None:
            return float(found.group(1)) or None
    return None


def _error_of(body: bytes) -> Mapping[str, Any] | None:
    """The ``error`` object; a stream that was asked for as an array fails with an array of one."""
    try:
        data = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None
    first = data[0] if isinstance(data, list) and data else data
    error = first.get("error") if isinstance(first, Mapping) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, Mapping) else None


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""
