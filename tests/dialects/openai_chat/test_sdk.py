"""What the official SDK's accumulator makes of our streams, beyond text and calls, which ``tests/matrix`` judges."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import Opaque, Usage
from millstream.dialects.base import ReplyContext
from millstream.dialects.openai_chat import DIALECT
from millstream.testing.dialect import assembled

START = ev.MessageStart("msg_1", "claude", 1_700_000_000)
END = [ev.ChoiceEnd(0, "stop"), ev.Finish()]


@pytest.fixture
def sdk(context: Callable[..., ReplyContext]) -> Callable[..., Any]:
    """The completion that the SDK folds the chunks of these events to."""

    def completion(*events: ev.Event, **request: Any) -> Any:
        stream = DIALECT.renderer(context(usage=True)).render(list(events))

        def answer(_: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, headers={"content-type": DIALECT.stream_content_type}, content=stream)

        http = httpx2.Client(transport=httpx2.MockTransport(answer))
        client = openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=http, max_retries=0)
        messages: Any = [{"role": "user", "content": "hi"}]
        with client.chat.completions.stream(model="m", messages=messages, **request) as reply:
            return reply.get_final_completion()

    return completion


def test_several_choices_are_told_apart(sdk: Callable[..., Any]) -> None:
    first = [ev.TextStart(0, 0), ev.TextStart(1, 1), ev.TextDelta(0, "a"), ev.TextDelta(1, "x"), ev.TextDelta(0, "b")]
    ends = [ev.TextEnd(0), ev.TextEnd(1), ev.ChoiceEnd(1, "stop"), ev.ChoiceEnd(0, "stop"), ev.Finish()]
    completion = sdk(START, *first, *ends, n=2)
    assert [choice.message.content for choice in completion.choices] == ["ab", "x"]


def test_a_refusal_is_one(sdk: Callable[..., Any]) -> None:
    refusal = [ev.TextStart(0, kind="refusal"), ev.TextDelta(0, "I can"), ev.TextDelta(0, "not"), ev.TextEnd(0)]
    message = sdk(START, *refusal, *END).choices[0].message
    assert (message.refusal, message.content) == ("I cannot", "")


def test_log_probabilities_usage_and_model_arrive(sdk: Callable[..., Any]) -> None:
    def piece(token: str) -> ev.TextDelta:
        entry = {"token": token, "logprob": -0.5, "bytes": None, "top_logprobs": []}
        return ev.TextDelta(0, token, {"openai_chat": {"logprobs": {"content": [entry], "refusal": None}}})

    events = [START, ev.TextStart(0), piece("a"), piece("b"), ev.TextEnd(0), ev.Usage(Usage(7, 5, 3, None, 2)), *END]
    completion = sdk(*events)
    assert [entry.token for entry in completion.choices[0].logprobs.content] == ["a", "b"]
    assert (completion.model, completion.id) == ("claude", "chatcmpl-msg_1")
    usage = completion.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (7, 5, 12)
    assert usage.prompt_tokens_details.cached_tokens == 3
    assert usage.completion_tokens_details.reasoning_tokens == 2


def test_thoughts_signatures_and_sources_arrive_whole(sdk: Callable[..., Any]) -> None:
    thoughts: list[ev.Event] = []
    for index, name in enumerate(("one", "two")):
        thoughts += [ev.ReasoningStart(index), ev.ReasoningDelta(index, name)]
        thoughts.append(ev.ReasoningEnd(index, Opaque("anthropic", f"SIG-{name}")))
    cited = [ev.Citation(2, "anthropic", {}, f"https://{name}", name) for name in ("a", "b")]
    text = [ev.TextStart(2), ev.TextDelta(2, "x"), *cited, ev.TextEnd(2)]
    message = sdk(START, *thoughts, *text, *END).choices[0].message
    assert message.reasoning_content == "onetwo"
    assert [(entry["text"], entry["signature"]) for entry in message.reasoning_details] == [
        ("one", "millstream.anthropic.SIG-one"),
        ("two", "millstream.anthropic.SIG-two"),
    ]
    assert [entry.url_citation.url for entry in message.annotations] == ["https://a", "https://b"]


def test_arguments_are_parsed_by_the_sdk(sdk: Callable[..., Any]) -> None:
    tool = {"type": "function", "function": {"name": "f", "strict": True, "parameters": {"type": "object"}}}
    call = [ev.ToolCallStart(0, "a", "f"), ev.ToolCallDelta(0, '{"x"'), ev.ToolCallDelta(0, ": 1}"), ev.ToolCallEnd(0)]
    empty = [ev.ToolCallStart(1, "b", "f"), ev.ToolCallEnd(1)]
    message = sdk(START, *call, *empty, ev.ChoiceEnd(0, "tool_calls"), ev.Finish(), tools=[tool]).choices[0].message
    assert [entry.function.parsed_arguments for entry in message.tool_calls] == [{"x": 1}, {}]


def test_a_fault_raises(sdk: Callable[..., Any]) -> None:
    begun = [ev.TextStart(0), ev.TextDelta(0, "a")]
    with pytest.raises(openai.APIError, match="cut off") as raised:
        sdk(START, *begun, ev.Fault.of(UpstreamFault("cut off", Kind.TRUNCATED)))
    assert raised.value.code == "truncated"


def test_an_error_response_raises_the_sdks_own_class() -> None:
    reply = DIALECT.render_error(UpstreamFault("slow down", Kind.RATE_LIMIT, retry_after=2))

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(reply.status, headers=reply.headers, content=reply.body)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    client = openai.OpenAI(api_key="k", base_url="http://x/v1", http_client=http, max_retries=0)
    with pytest.raises(openai.RateLimitError, match="slow down") as raised:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert raised.value.code == "rate_limit_exceeded"


def test_a_whole_reply_is_read(context: Callable[..., ReplyContext]) -> None:
    recorded = {"id": "x", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
    body = DIALECT.render_reply(assembled(DIALECT.parse_reply(json.dumps(recorded).encode())), context())
    completion = openai.types.chat.ChatCompletion.model_validate_json(body, strict=True)
    assert completion.choices[0].message.content == "a"
