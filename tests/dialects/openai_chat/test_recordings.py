"""Recordings of 38 providers, read whole, byte by byte, at random splits and cut off after every frame."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.errors import ClientFault, Kind
from millstream.core.messages import TextPart, ToolCallPart
from millstream.dialects.base import ClientCall, Target
from millstream.dialects.openai_chat import DIALECT, OpenAIChatQuirks
from millstream.testing.dialect import assembled, check_dialect
from millstream.testing.streams import parse, randomly

_CUT_OFF = {
    "gpustack/001-chat-error-midstream-reasoning": Kind.INTERNAL,
    "groq/002-chat-error-midstream-reasoning": Kind.INTERNAL,
    "snowflake/001-chat-logprobs-text": Kind.TRUNCATED,
}
"""Streams that end in an error, or, as Snowflake's, without ever saying why they ended."""

_ERRORS = {
    "azure/020-error-404-invalid-request-error": Kind.NOT_FOUND,
    "deepseek/031-error-401-authentication-error": Kind.AUTHENTICATION,
    "doubleword/006-error-400-400": Kind.INVALID_REQUEST,
    "doubleword/008-error-404-invalid-request-error": Kind.NOT_FOUND,
    "groq/027-error-400-invalid-request-error": Kind.INTERNAL,
    "groq/029-error-404-invalid-request-error": Kind.NOT_FOUND,
    "huggingface/010-error-422-none": Kind.INVALID_REQUEST,
    "hyperbolic/004-error-422-none": Kind.INVALID_REQUEST,
    "llamacpp/019-error-400-invalid-request-error": Kind.INVALID_REQUEST,
    "llamacpp/020-error-400-exceed-context-size-error": Kind.CONTEXT_LENGTH,
    "mistral/028-error-400-1500": Kind.NOT_FOUND,
    "mistral/029-error-401-none": Kind.AUTHENTICATION,
    "mistral/031-error-404-none": Kind.NOT_FOUND,
    "ollama/013-error-401-api-error": Kind.AUTHENTICATION,
    "openai/114-error-unknown-insufficient-quota": Kind.BILLING,
    "openai/117-error-400-invalid-request-error": Kind.INVALID_REQUEST,
    "openai/119-error-400-invalid-request-error": Kind.INVALID_REQUEST,
    "openai/123-error-421-none": Kind.INVALID_REQUEST,
    "openrouter/036-error-401-401": Kind.AUTHENTICATION,
    "perplexity/004-error-400-too-many-prompt-tokens": Kind.CONTEXT_LENGTH,
}

_SMALL = 60_000
"""Bytes up to which a stream is also cut off after each of its frames, which takes time by its length squared."""


def test_a_stream_gives_the_same_events_however_the_network_cuts_it(streamed: Any) -> None:
    if streamed.name in _CUT_OFF or len(streamed.body) > _SMALL:
        events = parse(DIALECT, [streamed.body])
        assert all(parse(DIALECT, randomly(streamed.body, seed)) == events for seed in range(5))
    else:
        events = check_dialect(DIALECT, streamed.body)
    last = events[-1]
    if isinstance(last, ev.Fault):
        assert last.kind is _CUT_OFF[streamed.name]
    else:
        assert streamed.name not in _CUT_OFF


def test_a_whole_reply_holds_what_its_message_says(whole: Any) -> None:
    recorded = json.loads(whole.body)
    reply = assembled(DIALECT.parse_reply(whole.body))
    assert reply.id == recorded["id"]
    for choice, recorded_choice in zip(reply.choices, recorded["choices"], strict=True):
        message = recorded_choice["message"]
        content = message.get("content") or ""
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        assert "".join(part.text for part in choice.parts if isinstance(part, TextPart)) == content
        names = [part.name for part in choice.parts if isinstance(part, ToolCallPart)]
        called = [call["function"]["name"] for call in message.get("tool_calls") or []]
        legacy = message.get("function_call") or {}
        assert names == called + [legacy[name] for name in ("name",) if legacy.get(name)]


def test_an_error_is_told_apart_by_what_it_says_and_kept_to_the_byte(failed: Any) -> None:
    fault = DIALECT.parse_error(failed.status, failed.headers, failed.body)
    assert fault.kind is _ERRORS[failed.name]
    assert fault.message
    back = DIALECT.render_error(fault)
    assert (back.status, back.body) == (failed.status, failed.body)


_INVALID = ("hyperbolic/004", "llamacpp/019")
"""Requests that were recorded for the error they got: no messages, a string as temperature."""


def test_a_request_comes_out_as_it_came_in(recorded_request: Any, request: pytest.FixtureRequest) -> None:
    call = ClientCall(json.dumps(recorded_request).encode())
    if any(name in request.node.name for name in _INVALID):
        with pytest.raises(ClientFault):
            DIALECT.parse_request(call)
        return
    stream = bool(recorded_request.get("stream"))
    expected = {name: value for name, value in recorded_request.items() if name not in ("stream", "stream_options")}
    if stream:
        options = {**(recorded_request.get("stream_options") or {}), "include_usage": True}
        expected |= {"stream": True, "stream_options": options}
    target = Target(recorded_request["model"], OpenAIChatQuirks(), stream)
    assert json.loads(DIALECT.render_request(DIALECT.parse_request(call), target).body) == expected
