"""Google's errors become faults that say whose they are, and ours are said in Google's words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millstream.core.errors import ClientFault, GatewayBug, Kind, MillstreamError, PolicyRefusal, UpstreamFault
from millstream.dialects.gemini import DIALECT

RPC = "type.googleapis.com/google.rpc."


def parsed(code: int, headers: dict[str, str] | None = None, **error: Any) -> UpstreamFault:
    return DIALECT.parse_error(code, headers or {}, json.dumps({"error": {"code": code, **error}}).encode())


def said(error: MillstreamError) -> tuple[int, dict[str, Any], dict[str, str]]:
    reply = DIALECT.render_error(error)
    return reply.status, json.loads(reply.body)["error"], reply.headers


@pytest.mark.parametrize(
    ("status", "name", "kind", "retryable"),
    [
        (400, "INVALID_ARGUMENT", Kind.INVALID_REQUEST, False),
        (400, "FAILED_PRECONDITION", Kind.INVALID_REQUEST, False),
        (401, "UNAUTHENTICATED", Kind.AUTHENTICATION, False),
        (403, "PERMISSION_DENIED", Kind.PERMISSION, False),
        (404, "NOT_FOUND", Kind.NOT_FOUND, False),
        (429, "RESOURCE_EXHAUSTED", Kind.RATE_LIMIT, True),
        (499, "CANCELLED", Kind.CANCELLED, False),
        (500, "INTERNAL", Kind.INTERNAL, True),
        (503, "UNAVAILABLE", Kind.OVERLOADED, True),
        (504, "DEADLINE_EXCEEDED", Kind.TIMEOUT, True),
        (502, "NEW_NAME", Kind.INTERNAL, True),
    ],
)
def test_a_status_name_tells_the_kind(status: int, name: str, kind: Kind, retryable: bool) -> None:
    fault = parsed(status, message="m", status=name)
    assert (fault.kind, fault.status, fault.retryable, fault.message) == (kind, status, retryable, "m")


def test_a_bad_key_is_a_400_that_means_authentication() -> None:
    detail = {"@type": RPC + "ErrorInfo", "reason": "API_KEY_INVALID"}
    fault = parsed(400, message="API key not valid.", status="INVALID_ARGUMENT", details=[detail])
    assert (fault.kind, fault.status, fault.code) == (Kind.AUTHENTICATION, 401, "API_KEY_INVALID")
    assert DIALECT.render_error(fault).status == 400


def test_unpaid_bills_are_told_apart() -> None:
    detail = {"@type": RPC + "ErrorInfo", "reason": "BILLING_DISABLED"}
    fault = parsed(403, message="m", status="PERMISSION_DENIED", details=[detail])
    assert (fault.kind, fault.status) == (Kind.BILLING, 402)


@pytest.mark.parametrize(
    "message",
    [
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        "Unable to submit request because the input token count is 40000 but model only supports up to 32767.",
    ],
)
def test_too_long_a_prompt_is_told_apart(message: str) -> None:
    assert parsed(400, message=message, status="INVALID_ARGUMENT").kind is Kind.CONTEXT_LENGTH


@pytest.mark.parametrize(("delay", "seconds"), [("48s", 48), ("1.5s", 1.5), ("0s", None), ("soon", None), (5, None)])
def test_how_long_to_wait_stands_in_the_details(delay: Any, seconds: float | None) -> None:
    detail = {"@type": RPC + "RetryInfo", "retryDelay": delay}
    assert parsed(429, message="m", status="RESOURCE_EXHAUSTED", details=[detail, 7]).retry_after == seconds


def test_a_header_says_it_better() -> None:
    detail = {"@type": RPC + "RetryInfo", "retryDelay": "48s"}
    assert parsed(429, {"retry-after": "3"}, message="m", details=[detail]).retry_after == 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>Bad Gateway</html>", "<html>Bad Gateway</html>"),
        (b"", "the upstream answered 502 without a word"),
        (b'{"error": "no"}', "no"),
        (b'[{"error": {"code": 502, "message": "in an array"}}]', "in an array"),
        (b'{"error": {"message": 5, "details": 5}}', "the upstream answered 502"),
        (b"[]", "[]"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_any_body_becomes_a_fault(body: bytes, message: str) -> None:
    fault = DIALECT.parse_error(502, {}, body)
    assert (fault.message, fault.kind, fault.retryable) == (message, Kind.INTERNAL, True)


def test_an_upstreams_own_error_is_given_back_to_the_byte() -> None:
    body = b'{ "error" : {"code": 418} }\n'
    fault = DIALECT.parse_error(418, {"content-type": "application/json; charset=UTF-8"}, body)
    reply = DIALECT.render_error(fault)
    assert (reply.status, reply.body) == (418, body)
    assert reply.headers["content-type"] == "application/json; charset=UTF-8"


@pytest.mark.parametrize(
    ("error", "status", "name"),
    [
        (ClientFault("m", param="contents[0].role"), 400, "INVALID_ARGUMENT"),
        (ClientFault("m", Kind.TOO_LARGE), 413, "INVALID_ARGUMENT"),
        (ClientFault("m", Kind.NOT_FOUND), 404, "NOT_FOUND"),
        (PolicyRefusal("m", Kind.AUTHENTICATION), 401, "UNAUTHENTICATED"),
        (PolicyRefusal("m", Kind.RATE_LIMIT, retry_after=7), 429, "RESOURCE_EXHAUSTED"),
        (UpstreamFault("m", Kind.OVERLOADED), 503, "UNAVAILABLE"),
        (UpstreamFault("m", Kind.TRUNCATED), 502, "UNAVAILABLE"),
        (UpstreamFault("m", Kind.TIMEOUT), 504, "DEADLINE_EXCEEDED"),
        (GatewayBug("m"), 500, "INTERNAL"),
    ],
)
def test_our_errors_are_said_in_googles_words(error: MillstreamError, status: int, name: str) -> None:
    code, body, _ = said(error)
    assert (code, body["code"], body["status"], body["message"]) == (status, status, name, "m")


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_a_status_that_googles_clients_know(kind: Kind) -> None:
    status, body, _ = said(UpstreamFault("m", kind))
    assert 400 <= status < 600
    assert status != 529
    assert body["status"]


def test_the_field_and_the_wait_are_said() -> None:
    _, body, headers = said(PolicyRefusal("m", Kind.RATE_LIMIT, retry_after=0.25, param="contents"))
    assert headers["retry-after"] == "1"
    assert body["details"][1:] == [
        {"@type": RPC + "BadRequest", "fieldViolations": [{"field": "contents", "description": "m"}]},
        {"@type": RPC + "RetryInfo", "retryDelay": "0.25s"},
    ]
