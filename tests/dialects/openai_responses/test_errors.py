"""Errors of Responses upstreams, and errors told to Responses clients."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millstream.core.errors import ClientFault, Kind, PolicyRefusal, RawError, UpstreamFault
from millstream.dialects.openai_responses import DIALECT


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("status", "content", "kind", "message"),
    [
        (400, body(error={"message": "m", "type": "invalid_request_error", "code": None}), Kind.INVALID_REQUEST, "m"),
        (404, body(error={"message": "m", "code": "model_not_found", "param": "model"}), Kind.NOT_FOUND, "m"),
        (400, body(error={"message": "m", "code": "context_length_exceeded"}), Kind.CONTEXT_LENGTH, "m"),
        (400, body(error={"message": "exceeds the context window"}), Kind.CONTEXT_LENGTH, "exceeds the context window"),
        (429, body(error={"message": "m", "type": "tokens", "code": "rate_limit_exceeded"}), Kind.RATE_LIMIT, "m"),
        (
            429,
            body(error={"message": "m", "type": "insufficient_quota", "code": "insufficient_quota"}),
            Kind.BILLING,
            "m",
        ),
        (500, body(error={"message": "m", "type": "server_error"}), Kind.INTERNAL, "m"),
        (503, body(error={"message": "m", "code": "server_is_overloaded"}), Kind.OVERLOADED, "m"),
        (401, body(detail="Could not parse your authentication token."), Kind.AUTHENTICATION, "Could not parse"),
        (422, body(detail=[{"loc": ["body"], "msg": "bad"}]), Kind.INVALID_REQUEST, '[{"loc":["body"]'),
        (400, body(code="invalid-argument", error="Incorrect API key provided."), Kind.AUTHENTICATION, "Incorrect API"),
        (502, body(error={"message": "m", "code": 502, "metadata": {"raw": "x"}}), Kind.INTERNAL, "m"),
        (413, b"<html>too large</html>", Kind.TOO_LARGE, "<html>too large"),
        (500, b"", Kind.INTERNAL, "the upstream failed without saying why"),
        (500, b"\xff\xfe", Kind.INTERNAL, "\ufffd\ufffd"),
        (500, b"[1]", Kind.INTERNAL, "[1]"),
    ],
)
def test_every_shape_of_error_has_its_kind_and_words(status: int, content: bytes, kind: Kind, message: str) -> None:
    fault = DIALECT.parse_error(status, {"x-request-id": "req_1"}, content)
    assert (fault.kind, fault.status, fault.request_id) == (kind, status, "req_1")
    assert fault.message.startswith(message)
    assert fault.raw == RawError("openai_responses", status, content)


def test_server_errors_may_be_tried_again_and_spent_quotas_not() -> None:
    assert DIALECT.parse_error(500, {}, b"").retryable
    assert not DIALECT.parse_error(429, {}, body(error={"code": "insufficient_quota", "message": "m"})).retryable


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "7"}, "m", 7.0),
        ({"retry-after-ms": "250"}, "m", 0.25),
        ({"retry-after-ms": "0", "retry-after": "3"}, "m", 3.0),
        ({}, "Please try again in 6ms. Visit", 0.006),
        ({}, "Please try again in 1.5s.", 1.5),
        ({}, "Please try again in 2m.", 120.0),
        ({}, "Please try again in ....s", None),
        ({}, "m", None),
    ],
)
def test_how_long_to_wait_is_kept(headers: dict[str, str], message: str, seconds: float | None) -> None:
    content = body(error={"code": "rate_limit_exceeded", "message": message})
    assert DIALECT.parse_error(429, headers, content).retry_after == seconds


def test_an_error_of_the_same_api_is_given_back_to_the_byte_with_its_wait() -> None:
    content = b'{\n  "error": {"message": "Slow",  "code": "rate_limit_exceeded"}\n}'
    fault = DIALECT.parse_error(429, {"retry-after": "2", "content-type": "application/json; x"}, content)
    reply = DIALECT.render_error(fault)
    assert (reply.status, reply.body) == (429, content)
    assert reply.headers == {"content-type": "application/json; x", "retry-after": "2", "retry-after-ms": "2000"}


def test_an_error_of_another_api_is_said_in_this_ones_words() -> None:
    raw = RawError("anthropic", 529, b'{"type":"error"}')
    fault = UpstreamFault("Overloaded", Kind.OVERLOADED, retry_after=0.4, raw=raw)
    reply = DIALECT.render_error(fault)
    assert (reply.status, reply.headers["retry-after"], reply.headers["retry-after-ms"]) == (503, "1", "400")
    assert json.loads(reply.body) == {
        "error": {"type": "server_error", "code": "server_error", "message": "Overloaded", "param": None}
    }


@pytest.mark.parametrize(
    ("error", "status", "error_type", "code", "param"),
    [
        (ClientFault("bad", param="input[0]"), 400, "invalid_request_error", "invalid_prompt", "input[0]"),
        (ClientFault("no", Kind.NOT_FOUND), 404, "invalid_request_error", "model_not_found", None),
        (PolicyRefusal("who?", Kind.AUTHENTICATION), 401, "invalid_request_error", "invalid_api_key", None),
        (PolicyRefusal("later", Kind.RATE_LIMIT), 429, "rate_limit_error", "rate_limit_exceeded", None),
        (PolicyRefusal("spent", Kind.BILLING), 402, "insufficient_quota", "insufficient_quota", None),
        (UpstreamFault("cut", Kind.TRUNCATED), 502, "server_error", "server_error", None),
    ],
)
def test_our_own_errors(error: Any, status: int, error_type: str, code: str, param: str | None) -> None:
    reply = DIALECT.render_error(error)
    said = json.loads(reply.body)["error"]
    assert (reply.status, said["type"], said["code"], said["param"]) == (status, error_type, code, param)
    assert said["message"] == error.message or said["message"].startswith(error.message)
    assert "retry-after" not in reply.headers


def test_a_more_exact_code_of_the_upstream_is_kept() -> None:
    fault = UpstreamFault("m", Kind.BILLING, code="usage_limit_reached")
    assert json.loads(DIALECT.render_error(fault).body)["error"]["code"] == "usage_limit_reached"
    foreign = UpstreamFault("m", Kind.OVERLOADED, code="overloaded_error")
    assert json.loads(DIALECT.render_error(foreign).body)["error"]["code"] == "server_error"
