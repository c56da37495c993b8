"""Errors in Anthropic's words, which decide what its clients do next."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from anthropic import Anthropic, APIStatusError

from millstream.core.errors import (
    ClientFault,
    GatewayBug,
    Kind,
    MillstreamError,
    PolicyRefusal,
    RawError,
    UpstreamFault,
)
from millstream.dialects.anthropic import DIALECT
from millstream.dialects.anthropic.context_length import is_context_length, worded


def _body(kind: str, message: str = "no", **fields: Any) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, **fields}).encode()


@pytest.mark.parametrize(
    ("status", "kind", "expected", "retryable"),
    [
        (400, "invalid_request_error", Kind.INVALID_REQUEST, False),
        (401, "authentication_error", Kind.AUTHENTICATION, False),
        (402, "billing_error", Kind.BILLING, False),
        (403, "permission_error", Kind.PERMISSION, False),
        (404, "not_found_error", Kind.NOT_FOUND, False),
        (409, "conflict_error", Kind.INVALID_REQUEST, True),
        (413, "request_too_large", Kind.TOO_LARGE, False),
        (429, "rate_limit_error", Kind.RATE_LIMIT, True),
        (500, "api_error", Kind.INTERNAL, True),
        (502, "api_error", Kind.INTERNAL, True),
        (503, "api_error", Kind.OVERLOADED, True),
        (504, "timeout_error", Kind.TIMEOUT, True),
        (529, "overloaded_error", Kind.OVERLOADED, True),
        (418, "of_a_later_year", Kind.INVALID_REQUEST, False),
    ],
)
def test_every_type_of_error_has_its_kind(status: int, kind: str, expected: Kind, retryable: bool) -> None:
    fault = DIALECT.parse_error(status, {}, _body(kind))
    assert (fault.kind, fault.status, fault.message, fault.code) == (expected, status, "no", kind)
    assert fault.retryable is retryable


def test_the_request_id_comes_from_the_body_or_the_head() -> None:
    assert DIALECT.parse_error(500, {"request-id": "b"}, _body("api_error", request_id="a")).request_id == "a"
    assert DIALECT.parse_error(500, {"request-id": "b"}, _body("api_error")).request_id == "b"


def test_the_wait_is_in_seconds_and_not_cut() -> None:
    assert DIALECT.parse_error(429, {"retry-after": "3600"}, _body("rate_limit_error")).retry_after == 3600.0


@pytest.mark.parametrize(("said", "retryable"), [("true", True), ("false", False)])
def test_the_servers_word_on_retrying_counts_most(said: str, retryable: bool) -> None:
    for status in (400, 529):
        fault = DIALECT.parse_error(status, {"x-should-retry": said}, _body("api_error"))
        assert fault.retryable is retryable


def test_the_most_precise_name_of_an_error_is_kept() -> None:
    error = {"type": "invalid_request_error", "message": "no", "details": {"error_code": "tools_limit_exceeded"}}
    fault = DIALECT.parse_error(400, {}, json.dumps({"type": "error", "error": error}).encode())
    assert fault.code == "tools_limit_exceeded"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the upstream answered with status 503"),
        (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
        (b'{"error": "busy"}', "busy"),
        (b'{"error": {"message": "busy", "type": "server_error"}}', "busy"),
        (b'{"message": "busy"}', "busy"),
        (b'{"error": null}', '{"error": null}'),
        (b"[]", "[]"),
        (b"\xff", "\ufffd"),
    ],
)
def test_bodies_of_any_shape_have_a_message(body: bytes, message: str) -> None:
    fault = DIALECT.parse_error(503, {}, body)
    assert (fault.message, fault.kind) == (message, Kind.OVERLOADED)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("prompt is too long: 205000 tokens > 200000 maximum", Kind.CONTEXT_LENGTH),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", Kind.CONTEXT_LENGTH),
        ("Your credit balance is too low to access the Anthropic API.", Kind.BILLING),
        ("max_tokens: 64000 > 32000, which is the maximum allowed number of output tokens", Kind.INVALID_REQUEST),
        ("messages.1.role: Input should be 'user' or 'assistant'", Kind.INVALID_REQUEST),
    ],
)
def test_texts_tell_more_than_the_type(message: str, kind: Kind) -> None:
    assert DIALECT.parse_error(400, {}, _body("invalid_request_error", message)).kind is kind


def test_an_upstreams_error_is_given_back_to_the_byte() -> None:
    body = b'{"type":"error",  "error":{"type":"rate_limit_error","message":"slow"},"request_id":"req_1"}'
    headers = {"retry-after": "7", "content-type": "application/json; charset=utf-8", "x-should-retry": "true"}
    reply = DIALECT.render_error(DIALECT.parse_error(429, headers, body))
    assert (reply.status, reply.body) == (429, body)
    assert reply.headers == {
        "content-type": "application/json; charset=utf-8",
        "retry-after": "7",
        "request-id": "req_1",
    }


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (ClientFault("no"), 400, "invalid_request_error"),
        (ClientFault("no", status=415), 415, "invalid_request_error"),
        (ClientFault("no", Kind.NOT_FOUND), 404, "not_found_error"),
        (ClientFault("no", Kind.TOO_LARGE), 413, "request_too_large"),
        (PolicyRefusal("no", Kind.AUTHENTICATION), 401, "authentication_error"),
        (PolicyRefusal("no", Kind.PERMISSION), 403, "permission_error"),
        (PolicyRefusal("no", Kind.BILLING), 402, "billing_error"),
        (PolicyRefusal("no", Kind.RATE_LIMIT), 429, "rate_limit_error"),
        (PolicyRefusal("no", Kind.SHUTDOWN), 503, "overloaded_error"),
        (UpstreamFault("no", Kind.OVERLOADED), 529, "overloaded_error"),
        (UpstreamFault("no", Kind.OVERLOADED, status=500), 529, "overloaded_error"),
        (UpstreamFault("no", Kind.OVERLOADED, status=503), 503, "overloaded_error"),
        (UpstreamFault("no", Kind.TIMEOUT), 504, "timeout_error"),
        (UpstreamFault("no", Kind.UNREACHABLE), 502, "api_error"),
        (UpstreamFault("no", Kind.TRUNCATED), 502, "api_error"),
        (UpstreamFault("no", Kind.INTERNAL, status=500), 500, "api_error"),
        (UpstreamFault("no", Kind.INTERNAL, status=200), 500, "api_error"),
        (GatewayBug("no"), 500, "api_error"),
    ],
)
def test_every_kind_of_error_has_its_status_and_type(error: MillstreamError, status: int, kind: str) -> None:
    reply = DIALECT.render_error(error)
    assert reply.status == status
    assert json.loads(reply.body) == {
        "type": "error",
        "error": {"type": kind, "message": "no"},
        "request_id": None,
    }


def test_another_apis_body_is_not_given_to_this_ones_clients() -> None:
    raw = RawError("openai_chat", 429, b'{"error": {}}')
    reply = DIALECT.render_error(UpstreamFault("slow", Kind.RATE_LIMIT, raw=raw, retry_after=2.2, request_id="r"))
    assert json.loads(reply.body)["error"]["type"] == "rate_limit_error"
    assert (reply.headers["retry-after"], reply.headers["request-id"]) == ("3", "r")
    assert "x-should-retry" not in reply.headers


def test_what_would_fail_again_is_marked_so() -> None:
    """Claude Code would try a 401 and a 500 ten times."""
    for error in (PolicyRefusal("no", Kind.AUTHENTICATION), GatewayBug("no")):
        assert DIALECT.render_error(error).headers["x-should-retry"] == "false"


def test_the_sdk_reads_our_errors() -> None:
    reply = DIALECT.render_error(UpstreamFault("busy", Kind.OVERLOADED, retry_after=0.5, request_id="req_1"))
    answer = httpx2.Response(reply.status, headers=reply.headers, content=reply.body)
    transport = httpx2.MockTransport(lambda _: answer)
    client = Anthropic(
        api_key="k", base_url="http://sdk.test", max_retries=0, http_client=httpx2.Client(transport=transport)
    )
    with client, pytest.raises(APIStatusError, match="busy") as caught:
        client.messages.create(model="m", max_tokens=1, messages=[{"role": "user", "content": "x"}])
    assert (caught.value.status_code, caught.value.request_id) == (529, "req_1")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 tokens.",
            "prompt is too long: 130001 tokens > 128000 maximum",
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens "
            "(8000 in the messages, 1000 in the completion).",
            "prompt is too long: 8000 tokens > 4096 maximum",
        ),
        (
            "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens "
            "(4000 in the messages, 1000 in the completion).",
            "input length and `max_tokens` exceed context limit: 4000 + 1000 > 4096, "
            "decrease input length or `max_tokens` and try again",
        ),
        (
            "This model's maximum context length is 8192 tokens. However, you requested 1000 output tokens and your "
            "prompt contains at least 7500 input tokens, for a total of at least 8500 tokens.",
            "input length and `max_tokens` exceed context limit: 7500 + 1000 > 8192, "
            "decrease input length or `max_tokens` and try again",
        ),
        (
            "'max_tokens' is too large: 9000. This model's maximum context length is 8192 tokens and your request has "
            "500 input tokens (9000 > 8192 - 500).",
            "input length and `max_tokens` exceed context limit: 500 + 9000 > 8192, "
            "decrease input length or `max_tokens` and try again",
        ),
        (
            "This endpoint's maximum context length is 32768 tokens. However, you requested about 40000 tokens "
            "(38000 of text input, 2000 in the output).",
            "prompt is too long: 38000 tokens > 32768 maximum",
        ),
        (
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "prompt is too long: 1200000 tokens > 1048576 maximum",
        ),
        (
            "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
            "prompt is too long: 40000 tokens > 32768 maximum",
        ),
        (
            "This model's maximum prompt length is 131,072 but the request contains 140,000 tokens.",
            "prompt is too long: 140000 tokens > 131072 maximum",
        ),
        (
            "request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it",
            "prompt is too long: 5000 tokens > 4096 maximum",
        ),
        (
            "Please reduce the length of the messages or completion. Current length is 9000 while limit is 8192",
            "prompt is too long: 9000 tokens > 8192 maximum",
        ),
        (
            "Your request exceeded model token limit: 131072 (requested: 140000)",
            "prompt is too long: 140000 tokens > 131072 maximum",
        ),
        (
            "Your input exceeds the context window of this model.",
            "prompt is too long: Your input exceeds the context window of this model.",
        ),
        (
            "prompt is too long: 205000 tokens > 200000 maximum",
            "prompt is too long: 205000 tokens > 200000 maximum",
        ),
    ],
)
def test_a_prompt_too_long_is_said_so_that_claude_code_compacts(message: str, expected: str) -> None:
    assert is_context_length(message)
    assert worded(message) == expected
    reply = DIALECT.render_error(UpstreamFault(message, Kind.CONTEXT_LENGTH))
    assert (reply.status, json.loads(reply.body)["error"]["message"]) == (400, expected)


@pytest.mark.parametrize("message", ["messages: at least one message is required", "Overloaded", "invalid x-api-key"])
def test_other_messages_are_not_taken_for_it(message: str) -> None:
    assert not is_context_length(message)
