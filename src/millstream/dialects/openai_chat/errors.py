"""Errors: what upstreams of this API say, in every shape they say it, and how its clients are told of ours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core.errors import RETRYABLE_KINDS, Kind, MillstreamError, RawError, UpstreamFault, kind_of_status
from millstream.dialects.base import ErrorReply, Headers, retry_after_seconds
from millstream.dialects.openai_chat import wire

_MAX_MESSAGE = 2000

_KINDS: Mapping[str, Kind] = {
    "context_length_exceeded": Kind.CONTEXT_LENGTH,
    "exceed_context_size_error": Kind.CONTEXT_LENGTH,
    "too_many_prompt_tokens": Kind.CONTEXT_LENGTH,
    "tokens_limit_reached": Kind.CONTEXT_LENGTH,
    "insufficient_quota": Kind.BILLING,
    "insufficient_balance": Kind.BILLING,
    "billing_hard_limit_reached": Kind.BILLING,
    "billing_not_active": Kind.BILLING,
    "exceeded_current_quota_error": Kind.BILLING,
    "rate_limit_exceeded": Kind.RATE_LIMIT,
    "rate_limit_error": Kind.RATE_LIMIT,
    "rate_limit_reached_error": Kind.RATE_LIMIT,
    "engine_overloaded_error": Kind.OVERLOADED,
    "overloaded_error": Kind.OVERLOADED,
    "server_overloaded": Kind.OVERLOADED,
    "service_unavailable": Kind.OVERLOADED,
    "capacity_exceeded": Kind.OVERLOADED,
    "invalid_api_key": Kind.AUTHENTICATION,
    "authentication_error": Kind.AUTHENTICATION,
    "invalid_authentication_error": Kind.AUTHENTICATION,
    "incorrect_api_key_error": Kind.AUTHENTICATION,
    "permission_error": Kind.PERMISSION,
    "permission_denied_error": Kind.PERMISSION,
    "model_not_found": Kind.NOT_FOUND,
    "invalid_model": Kind.NOT_FOUND,
    "deploymentnotfound": Kind.NOT_FOUND,
    "not_found_error": Kind.NOT_FOUND,
    "resource_not_found_error": Kind.NOT_FOUND,
    "server_error": Kind.INTERNAL,
    "internal_server_error": Kind.INTERNAL,
    "tool_use_failed": Kind.INTERNAL,
    "output_parse_failed": Kind.INTERNAL,
    "json_validate_failed": Kind.INTERNAL,
}
"""Codes and types, in lower case. The last three are Groq's: its model wrote what it should not have, so that another
try may help, whatever the status says."""

_PHRASES: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (
        re.compile(
            r"context (length|window)|maximum context|model token limit|prompt is too long|input is too long"
            r"|too many (prompt|input) tokens|total length of all messages|reduce the length of the (messages|input)"
            r"|(prompt|input|request)\b.{0,60}\bexceeds?\b.{0,60}\b(context|tokens?|max(imum)?)\b",
            re.IGNORECASE | re.DOTALL,
        ),
        Kind.CONTEXT_LENGTH,
    ),
    (
        re.compile(r"(incorrect|invalid|missing|no) api[ _-]?key|api key (is )?(not valid|invalid)", re.IGNORECASE),
        Kind.AUTHENTICATION,
    ),
    (
        re.compile(r"insufficient (balance|credits?|funds|quota)|exceeded your current quota", re.IGNORECASE),
        Kind.BILLING,
    ),
    (re.compile(r"\bmodel\b.{0,120}\b(not found|does not exist|not exist)\b", re.IGNORECASE), Kind.NOT_FOUND),
    (re.compile(r"\boverloaded\b|at capacity|currently loading", re.IGNORECASE), Kind.OVERLOADED),
)
_CERTAIN_STATUSES = frozenset({401, 402, 403, 408, 413, 504, 529})
"""Statuses that say more than any text."""

_TRY_AGAIN = re.compile(r"try again in (?:(\d+)h)?(?:(\d+)m(?!s))?\s*(?:(\d+(?:\.\d+)?)\s*(ms|s))?", re.IGNORECASE)
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.IGNORECASE | re.DOTALL)

_TYPES: Mapping[Kind, tuple[str, str | None]] = {
    Kind.INVALID_REQUEST: ("invalid_request_error", None),
    Kind.TOO_LARGE: ("invalid_request_error", "request_too_large"),
    Kind.CONTEXT_LENGTH: ("invalid_request_error", "context_length_exceeded"),
    Kind.NOT_FOUND: ("invalid_request_error", "model_not_found"),
    Kind.AUTHENTICATION: ("invalid_request_error", "invalid_api_key"),
    Kind.PERMISSION: ("permission_error", None),
    Kind.RATE_LIMIT: ("rate_limit_error", "rate_limit_exceeded"),
    Kind.BILLING: ("insufficient_quota", "insufficient_quota"),
}
_STATUSES: Mapping[int, int] = {529: 503}
"""Statuses only another API has."""


class _Told(msgspec.Struct):
    """What an error body says, wherever it says it."""

    message: str = ""
    codes: tuple[str, ...] = ()
    param: str | None = None
    status: int | None = None
    retry_after: float | None = None


def parse_error(status: int, headers: Headers, body: bytes) -> UpstreamFault:
    """The body of an answer that is no reply, in any of the shapes providers use: OpenAI's, a string under ``error``
    (xAI, Ollama, Venice), Mistral's three, OpenRouter's with the raw error of another inside, a bare text."""
    told = _read(body)
    retry_after = retry_after_seconds(headers) or told.retry_after or _seconds_in(told.message)
    request_id = headers.get("x-request-id") or headers.get("apim-request-id") or headers.get("mistral-correlation-id")
    raw = RawError(wire.NAME, status, body, headers.get("content-type", "application/json"))
    return _fault(told, status, retry_after=retry_after, request_id=request_id, raw=raw)


def fault_in(data: object) -> UpstreamFault | None:
    """The error that a frame of a stream is, or what came in place of one; None if it is none."""
    if not isinstance(data, dict):
        return None
    bare = data.get("object") == "error" or data.get("detail") or ("code" in data and wire.string(data, "message"))
    return _of(data) if data.get("error") or (bare and not data.get("choices")) else None


def fault_of(error: object) -> UpstreamFault:
    """The value of an ``error`` field, or the data of an ``error`` event, whatever it is."""
    return _of(error if isinstance(error, dict) and error.get("error") else {"error": error})


def _of(data: Mapping[str, Any]) -> UpstreamFault:
    told = _told(data)
    return _fault(told, told.status, retry_after=told.retry_after or _seconds_in(told.message))


def _fault(
    told: _Told,
    status: int | None,
    *,
    retry_after: float | None,
    request_id: str | None = None,
    raw: RawError | None = None,
) -> UpstreamFault:
    kind = _kind(told, status)
    failed_model = kind is Kind.INTERNAL and status is not None and status < 500
    unsaid = "failed without saying why" if status is None else f"answered with status {status}"
    return UpstreamFault(
        told.message or f"the upstream {unsaid}",
        kind,
        status=None if failed_model else status,
        code=next(iter(told.codes), None),
        param=told.param,
        retryable=kind in RETRYABLE_KINDS or kind is Kind.INTERNAL,
        retry_after=retry_after,
        request_id=request_id,
        raw=raw,
    )


def _kind(told: _Told, status: int | None) -> Kind:
    if status is not None and status in _CERTAIN_STATUSES:
        return kind_of_status(status)
    for code in told.codes:
        found = _KINDS.get(code.lower())
        if found is not None and not (found is Kind.AUTHENTICATION and status == 404):
            return found
    if status is None or status < 500:
        for phrase, kind in _PHRASES:
            if phrase.search(told.message):
                return kind
    if status is None:
        named = "invalid_request_error" in told.codes or "bad_request" in told.codes
        return Kind.INVALID_REQUEST if named else Kind.INTERNAL
    return kind_of_status(status)


def _read(body: bytes) -> _Told:
    try:
        data = wire.decode_any(body)
    except ValueError:
        return _Told(_plain(body.decode("utf-8", "replace")))
    if isinstance(data, list) and data:
        data = data[0]
    return _told(data) if isinstance(data, dict) else _Told(_plain(str(data)))


def _told(data: Mapping[str, Any]) -> _Told:
    """Fields that describe the error lie on the body or within its ``error``; the inner ones say more."""
    error = data.get("error")
    inner = error if isinstance(error, dict) else {}
    message = inner.get("message") or (error if isinstance(error, str) else None)
    message = message or data.get("message") or data.get("detail") or inner.get("detail") or error or data.get("msg")
    codes = [inner.get("code"), inner.get("type"), data.get("code"), data.get("type"), data.get("error_type")]
    numbers = [inner.get("status_code"), inner.get("code"), inner.get("status"), data.get("status_code")]
    numbers += [data.get("raw_status_code"), data.get("code"), data.get("status")]
    told = _Told(
        _text(message),
        tuple(code for code in codes if isinstance(code, str) and code),
        wire.string(inner, "param") or None,
        next((number for value in numbers if (number := _status(value)) is not None), None),
        wire.integer(inner, "retry_after") or wire.integer(data, "retry_after"),
    )
    metadata = wire.mapping(inner, "metadata")
    return _with_raw(told, metadata) if metadata else told


def _with_raw(told: _Told, metadata: Mapping[str, Any]) -> _Told:
    """OpenRouter's: what the provider behind it said, as JSON text or as any text."""
    raw = metadata.get("raw")
    if raw is None:
        return told
    behind = _read(raw.encode()) if isinstance(raw, str) else _read(msgspec.json.encode(raw))
    provider = wire.string(metadata, "provider_name")
    said = f"{provider}: {behind.message}" if provider else behind.message
    told.message = _plain(f"{told.message} ({said})") if said else told.message
    told.codes = (*told.codes, *behind.codes)
    return told


def _text(value: object) -> str:
    if isinstance(value, str):
        return _plain(value)
    if isinstance(value, dict):
        found = value.get("message") or value.get("detail") or value.get("msg")
        return _text(found) if found else _plain(wire.json_text(value))
    if isinstance(value, list):
        return _plain("; ".join(_located(entry) for entry in value))
    return "" if value is None else str(value)


def _located(entry: object) -> str:
    """One finding of a validator: its text, and the place it is about."""
    if not isinstance(entry, dict) or not isinstance(entry.get("loc"), list):
        return _text(entry)
    place = ".".join(str(step) for step in entry["loc"] if step != "body")
    return f"{place}: {_text(entry)}" if place else _text(entry)


def _plain(text: str) -> str:
    if "<html" in text[:500].lower():
        text = " ".join(_TAGS.sub(" ", text).split())
    return text.strip()[:_MAX_MESSAGE]


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        value = int(value[:4])
    return value if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600 else None


def _seconds_in(message: str) -> float | None:
    """``Please try again in 1m26.4s``, as OpenAI and Groq put it."""
    found = _TRY_AGAIN.search(message)
    if found is None:
        return None
    hours, minutes, amount, unit = found.groups()
    seconds = float(amount or 0) / (1000 if unit == "ms" else 1)
    return (int(hours or 0) * 3600 + int(minutes or 0) * 60 + seconds) or None


def error_body(message: str, kind: Kind, code: str | None, param: str | None = None) -> bytes:
    """An error as OpenAI writes it; all four fields are always there."""
    category, usual_code = _TYPES.get(kind, ("server_error", kind.value))
    error = {"message": message, "type": category, "param": param, "code": code or usual_code}
    return msgspec.json.encode({"error": error})


def fault_body(fault: ev.Fault) -> bytes:
    return error_body(fault.message, fault.kind, fault.code)


def render_error(error: MillstreamError) -> ErrorReply:
    """An error of this dialect's own upstream is given back to the byte."""
    headers = {"content-type": "application/json"}
    if error.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
        headers["retry-after-ms"] = str(max(1, round(error.retry_after * 1000)))
    if error.raw is not None and error.raw.dialect == wire.NAME:
        return ErrorReply(error.raw.status, error.raw.body, {**headers, "content-type": error.raw.content_type})
    status = _STATUSES.get(error.status, error.status)
    return ErrorReply(status, error_body(error.message, error.kind, error.code, error.param), headers)
