"""A whole reply → ``chat.completion``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core.messages import (
    Choice,
    CitationPart,
    MediaPart,
    Opaque,
    Part,
    ReasoningPart,
    RefusalPart,
    Reply,
    ServerToolResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    Usage,
)
from millstream.dialects.base import ReplyContext
from millstream.dialects.openai_chat import DIALECT
from millstream.testing.dialect import assembled

Written = Callable[..., dict[str, Any]]


@pytest.fixture
def written(context: Callable[..., ReplyContext]) -> Written:
    """The body for a reply of these parts."""

    def rendered(*parts: Part, reason: Any = "stop", **options: Any) -> dict[str, Any]:
        reply = Reply("msg_1", "claude", (Choice(parts, reason),), Usage(3, 2), 1_700_000_000)
        found: dict[str, Any] = json.loads(DIALECT.render_reply(reply, context(**options)))
        return found

    return rendered


@pytest.fixture
def message(written: Written) -> Written:
    def rendered(*parts: Part, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = written(*parts, **options)["choices"][0]["message"]
        return found

    return rendered


def test_a_reply_has_every_field_openai_writes(written: Written) -> None:
    body = written(TextPart("Hello"))
    assert list(body) == ["id", "object", "created", "model", "choices", "usage"]
    assert (body["id"], body["object"]) == ("chatcmpl-msg_1", "chat.completion")
    said: dict[str, Any] = {"role": "assistant", "content": "Hello", "refusal": None, "annotations": []}
    assert body["choices"] == [{"index": 0, "message": said, "logprobs": None, "finish_reason": "stop"}]
    assert body["usage"]["total_tokens"] == 5


def test_texts_are_one_content(message: Written) -> None:
    assert message(TextPart("a"), ReasoningPart("hm"), TextPart("b"))["content"] == "ab"


def test_content_is_null_only_where_something_else_was_said(message: Written) -> None:
    assert message(ToolCallPart("c", "f", "{}"))["content"] is None
    assert message(RefusalPart("no")) == {"role": "assistant", "content": None, "refusal": "no", "annotations": []}
    assert message(ReasoningPart("hm"))["content"] == ""
    assert message()["content"] == ""


def test_thinking_and_its_signature_are_there(message: Written) -> None:
    found = message(ReasoningPart("hm", Opaque("anthropic", "SIG")), TextPart("a"))
    assert found["reasoning_content"] == "hm"
    entry = {"type": "reasoning.text", "text": "hm", "signature": "millstream.anthropic.SIG", "index": 0}
    assert found["reasoning_details"] == [entry]


def test_calls_are_listed_and_a_providers_own_are_not(message: Written) -> None:
    server = ToolCallPart("s", "web_search", "{}", "server")
    found = message(ToolCallPart("c", "f", ""), server, ToolCallPart("d", "p", "raw", "custom"))
    assert found["tool_calls"] == [
        {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "d", "type": "custom", "custom": {"name": "p", "input": "raw"}},
    ]


def test_a_free_text_tool_called_as_a_function_is_turned_back(message: Written) -> None:
    call = ToolCallPart("c", "patch", '{"input": "x\\ny"}')
    found = message(call, tools=(Tool("patch", kind="custom"),))
    assert found["tool_calls"] == [{"id": "c", "type": "custom", "custom": {"name": "patch", "input": "x\ny"}}]


def test_a_client_of_the_deprecated_functions_gets_a_function_call(written: Written, parse: Any) -> None:
    tools = parse(functions=[{"name": "f"}]).tools
    choice = written(ToolCallPart("c", "f", "{}"), reason="tool_calls", tools=tools)["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "{}"}


def test_sources_are_annotations(message: Written) -> None:
    cited = TextPart("six...", (CitationPart("anthropic", {}, "https://a", "A"),))
    found = ServerToolResultPart("anthropic", "s", {"content": [{"url": "https://b", "title": "B"}]})
    urls = [entry["url_citation"] for entry in message(TextPart("four"), cited, found)["annotations"]]
    assert urls == [
        {"end_index": 10, "start_index": 4, "title": "A", "url": "https://a"},
        {"end_index": 10, "start_index": 10, "title": "B", "url": "https://b"},
    ]


def test_pictures_and_sounds_are_there(message: Written) -> None:
    found = message(MediaPart("image", "image/png", "AAAA"), MediaPart("image", "image/png", "BBBB"))
    assert [image["image_url"]["url"][-4:] for image in found["images"]] == ["AAAA", "BBBB"]
    sound = MediaPart("audio", "audio", "UklG", extra={"openai_chat": {"id": "audio_1", "transcript": "hi"}})
    assert message(sound)["audio"] == {"id": "audio_1", "data": "UklG", "expires_at": 0, "transcript": "hi"}


def test_log_probabilities_of_all_texts_are_joined(written: Written) -> None:
    def part(token: str) -> TextPart:
        return TextPart(token, extra={"openai_chat": {"logprobs": {"content": [{"token": token}], "refusal": None}}})

    logprobs = written(part("a"), part("b"))["choices"][0]["logprobs"]
    assert logprobs == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}


def test_a_recorded_reply_comes_out_as_it_was(whole: Any, context: Callable[..., ReplyContext]) -> None:
    """Of what OpenAI's own fields say. Providers' own fields around a message are not carried through the hub."""
    recorded = json.loads(whole.body)
    body = json.loads(DIALECT.render_reply(assembled(DIALECT.parse_reply(whole.body)), context()))
    assert body["id"] == (recorded["id"] or "reply_1")
    for ours, theirs in zip(body["choices"], recorded["choices"], strict=True):
        assert ours["finish_reason"] == (theirs["finish_reason"] or "tool_calls")
        mine, original = ours["message"], theirs["message"]
        if isinstance(original.get("content"), str) and original["content"]:
            assert mine["content"] == original["content"]
        thought = original.get("reasoning_content") or original.get("reasoning")
        assert thought is None or mine["reasoning_content"] == thought
        for call, recorded_call in zip(mine.get("tool_calls") or [], original.get("tool_calls") or [], strict=True):
            assert call["id"] == recorded_call["id"]
            given = recorded_call["function"]["arguments"]
            assert call["function"]["name"] == recorded_call["function"]["name"]
            assert json.loads(call["function"]["arguments"]) == (json.loads(given) or {})
