"""Errors, in every shape that providers of this API give them, and ours in OpenAI's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.errors import ClientFault, Kind, MillstreamError, PolicyRefusal, RawError, UpstreamFault
from millstream.dialects.openai_chat import DIALECT

Chunk = Callable[..., dict[str, Any]]
Read = Callable[..., list[ev.Event]]


def fault(status: int, body: Any, **headers: str) -> UpstreamFault:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return DIALECT.parse_error(status, {name.replace("_", "-"): value for name, value in headers.items()}, data)


def _openai(message: str = "m", **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


_SHAPES: list[tuple[int, Any, str, str | None]] = [
    (400, _openai(type="invalid_request_error", param="n", code=None), "invalid_request", "m"),
    (400, _openai(code="context_length_exceeded"), "context_length", "m"),
    (429, _openai(type="insufficient_quota", code="insufficient_quota"), "billing", "m"),
    (429, _openai(type="tokens", code="rate_limit_exceeded"), "rate_limit", "m"),
    (413, _openai(code="rate_limit_exceeded"), "too_large", "m"),
    (400, {"code": "Client specified an invalid argument", "error": "Invalid API key"}, "authentication", None),
    (404, {"error": "model 'x' not found"}, "not_found", "model 'x' not found"),
    (
        422,
        {"object": "error", "message": {"detail": [{"loc": ["body", "n"], "msg": "bad"}]}},
        "invalid_request",
        "n: bad",
    ),
    (400, {"object": "error", "message": "m", "type": "invalid_model", "code": "1500"}, "not_found", "m"),
    (401, {"detail": "Invalid API Key"}, "authentication", "Invalid API Key"),
    (422, {"detail": [{"loc": ["body", "n"], "msg": "required"}]}, "invalid_request", "n: required"),
    (404, {"message": "no Route matched", "request_id": "r"}, "not_found", "no Route matched"),
    (400, {"code": 400, "message": "Validation", "type": "Bad Request"}, "invalid_request", "Validation"),
    (422, "inputs must be shorter", "invalid_request", "inputs must be shorter"),
    (503, "<html><head><style>x{}</style></head><body><h1>Oh no</h1></body></html>", "overloaded", "Oh no"),
    (500, "", "internal", "the upstream answered with status 500"),
    (402, _openai("Insufficient Balance"), "billing", "Insufficient Balance"),
    (429, _openai("busy", type="engine_overloaded_error"), "overloaded", "busy"),
    (400, _openai("Your request exceeded model token limit: 262144"), "context_length", None),
    (400, _openai("request (9 tokens) exceeds the available context size (5 tokens)"), "context_length", None),
    (400, [{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}], "invalid_request", "m"),
    (529, _openai(), "overloaded", "m"),
]


@pytest.mark.parametrize(("status", "body", "kind", "message"), _SHAPES)
def test_an_error_says_what_it_is_in_any_shape(status: int, body: Any, kind: str, message: str | None) -> None:
    """Without a ``message``: it is the one field's text."""
    found = fault(status, body)
    assert (found.kind, found.status) == (kind, status)
    assert found.message == (message or (body["error"] if isinstance(body["error"], str) else body["error"]["message"]))


def test_the_parameter_and_the_code_are_kept() -> None:
    found = fault(400, {"error": {"message": "m", "param": "messages[3]", "code": "invalid_value"}})
    assert (found.param, found.code) == ("messages[3]", "invalid_value")


def test_what_a_provider_behind_a_router_said_is_heard() -> None:
    behind = json.dumps({"error": {"message": "This model's maximum context length is 10 tokens"}})
    metadata = {"raw": behind, "provider_name": "Moonshot"}
    found = fault(400, {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}})
    assert found.kind is Kind.CONTEXT_LENGTH
    assert found.message == "Provider returned error (Moonshot: This model's maximum context length is 10 tokens)"


def test_what_the_model_itself_did_wrong_may_go_better_next_time() -> None:
    found = fault(400, {"error": {"message": "Failed to call a function", "code": "tool_use_failed"}})
    assert (found.kind, found.status, found.retryable) == (Kind.INTERNAL, 500, True)


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry_after": "7"}, "m", 7),
        ({"retry_after_ms": "0", "retry_after": "3"}, "m", 3),
        ({"retry_after_ms": "250"}, "m", 0.25),
        ({}, "Please try again in 7.66s.", 7.66),
        ({}, "Please try again in 1m26.4s.", 86.4),
        ({}, "Please try again in 577ms.", 0.577),
        ({}, "Please try again in 2h0m5s", 7205),
        ({}, "Please try again later", None),
    ],
)
def test_when_to_come_back_is_in_headers_or_in_words(headers: dict[str, str], message: str, seconds: Any) -> None:
    assert fault(429, {"error": {"message": message}}, **headers).retry_after == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (
            b'event: error\ndata: {"error": {"message": "m", "code": "tool_use_failed", "status_code": 400}}\n\n',
            "internal",
        ),
        (b'error: {"detail": "m", "error": {"message": "m"}}\n\n', "internal"),
        (b'data: {"error": {"message": "m", "type": "server_error"}}\n\n', "internal"),
        (b'data: {"error": {"message": "m", "code": 429}}\n\n', "rate_limit"),
        (b'data: {"error": "m", "error_type": "overloaded"}\n\n', "internal"),
        (b'data: {"object": "error", "message": "m", "code": 400}\n\n', "invalid_request"),
        (b'data: {"code": 503, "message": "m"}\n\n', "overloaded"),
        (b"event: error\ndata: m\n\n", "internal"),
        (
            b'data: {"id": "x", "choices": [{"index": 0, "delta": {}, "error": {"message": "m", "code": 502}}]}\n\n',
            "internal",
        ),
        (b'{"error": {"message": "m", "code": 503}}\n', "overloaded"),
    ],
)
def test_an_error_within_a_stream_ends_it(frame: bytes, kind: str, chunk: Chunk, read: Read) -> None:
    last = read(chunk({"content": "a"}), frame)[-1]
    assert isinstance(last, ev.Fault)
    assert (last.kind, last.message, last.whose) == (kind, "m", "upstream")


def test_an_error_after_a_finish_reason_is_still_one(chunk: Chunk, read: Read) -> None:
    error = {"error": {"message": "m", "code": 502}, "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}
    last = read(chunk({"content": "a"}, "stop"), error, "[DONE]")[-1]
    assert isinstance(last, ev.Fault)


def test_an_error_in_place_of_a_stream_is_one_before_any_content(read: Read) -> None:
    events = read(b'{\n  "error": {\n    "message": "m",\n    "type": "insufficient_quota"\n  }\n}\n')
    assert [type(event) for event in events] == [ev.Fault]
    assert events[0].kind is Kind.BILLING  # type: ignore[union-attr]  # a fault by the line above


def test_an_error_of_our_own_is_told_in_openais_words() -> None:
    error = ClientFault("no such thing", param="messages[1].content")
    reply = DIALECT.render_error(error)
    assert reply.status == 400
    assert json.loads(reply.body) == {
        "error": {
            "message": "no such thing",
            "type": "invalid_request_error",
            "param": "messages[1].content",
            "code": None,
        }
    }


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        (PolicyRefusal("m", Kind.AUTHENTICATION), 401, "invalid_request_error", "invalid_api_key"),
        (PolicyRefusal("m", Kind.RATE_LIMIT), 429, "rate_limit_error", "rate_limit_exceeded"),
        (UpstreamFault("m", Kind.OVERLOADED), 503, "server_error", "overloaded"),
        (UpstreamFault("m", Kind.CONTEXT_LENGTH), 400, "invalid_request_error", "context_length_exceeded"),
        (UpstreamFault("m", Kind.NOT_FOUND), 404, "invalid_request_error", "model_not_found"),
        (UpstreamFault("m", Kind.TIMEOUT), 504, "server_error", "timeout"),
    ],
)
def test_each_kind_has_its_status_type_and_code(error: MillstreamError, status: int, kind: str, code: str) -> None:
    reply = DIALECT.render_error(error)
    told = json.loads(reply.body)["error"]
    assert (reply.status, told["type"], told["code"]) == (status, kind, code)


def test_when_to_come_back_is_told_in_seconds_and_milliseconds() -> None:
    reply = DIALECT.render_error(UpstreamFault("m", Kind.RATE_LIMIT, retry_after=0.25))
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("1", "250")


def test_an_error_of_another_dialects_upstream_is_put_into_words_of_this_one() -> None:
    raw = RawError("anthropic", 529, b'{"type":"error"}')
    reply = DIALECT.render_error(UpstreamFault("Overloaded", Kind.OVERLOADED, raw=raw))
    assert json.loads(reply.body)["error"]["message"] == "Overloaded"
