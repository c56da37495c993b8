"""Events → chunks, as OpenAI writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import Opaque, Tool, Usage
from millstream.core.opaque import sign_call_id
from millstream.dialects.base import custom_as_function
from millstream.dialects.openai_chat import DIALECT

Said = Callable[..., list[Any]]

START = ev.MessageStart("msg_1", "claude", 1_700_000_000)
END: list[ev.Event] = [ev.ChoiceEnd(0, "stop"), ev.Finish()]


def deltas(chunks: list[Any]) -> list[dict[str, Any]]:
    """The deltas of choice 0 but the first, which only says whose turn it is."""
    found = [choice["delta"] for chunk in chunks if chunk != "[DONE]" for choice in chunk["choices"]]
    return found[1:]


def text(*pieces: str, index: int = 0, choice: int = 0) -> list[ev.Event]:
    return [ev.TextStart(index, choice), *(ev.TextDelta(index, piece) for piece in pieces), ev.TextEnd(index)]


def test_a_reply_of_text_is_written_as_openai_writes_it(said: Said) -> None:
    head = {"id": "chatcmpl-msg_1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "claude"}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]}

    assert said([START, *text('He"l\n', "lo 😀"), *END]) == [
        chunk({"role": "assistant", "content": "", "refusal": None}),
        chunk({"content": 'He"l\n'}),
        chunk({"content": "lo 😀"}),
        chunk({}, "stop"),
        "[DONE]",
    ]


def test_fields_are_in_openais_order(context: Any) -> None:
    start = ev.MessageStart("x", "m", 5, extra={"openai_chat": {"system_fingerprint": "fp", "service_tier": "default"}})
    rendered = DIALECT.renderer(context()).render([start])
    names = list(json.loads(rendered[6:]))
    assert names == ["id", "object", "created", "model", "service_tier", "system_fingerprint", "choices"]


def test_an_id_of_an_upstream_of_this_dialect_is_left_as_it_is(said: Said) -> None:
    start = ev.MessageStart("gen-1", "m", 5, extra={"openai_chat": {}})
    assert said([start])[0]["id"] == "gen-1"


def test_what_the_upstream_did_not_say_is_filled_in(said: Said) -> None:
    first = said([ev.MessageStart()])[0]
    assert (first["id"], first["created"], first["model"]) == ("chatcmpl-reply_1", 1_700_000_001, "asked-for")


def test_usage_comes_last_and_only_if_it_was_asked_for(said: Said) -> None:
    events = [START, ev.Usage(Usage(3, 2, 1)), *text("a"), *END]
    chunks = said(events, usage=True)
    assert chunks[-1] == "[DONE]"
    assert chunks[-2]["choices"] == []
    assert chunks[-2]["usage"]["total_tokens"] == 5
    assert all(chunk["usage"] is None for chunk in chunks[:-2])
    assert all("usage" not in chunk for chunk in said(events)[:-1])


def test_the_last_count_is_the_one_that_is_told(said: Said) -> None:
    chunks = said([START, ev.Usage(Usage(3, 2)), *text("a"), ev.Usage(Usage(3, 9)), *END], usage=True)
    assert chunks[-2]["usage"]["completion_tokens"] == 9


def test_a_refusal_has_its_own_field(said: Said) -> None:
    events = [START, ev.TextStart(0, kind="refusal"), ev.TextDelta(0, "no"), ev.TextEnd(0), *END]
    assert deltas(said(events)) == [{"refusal": "no"}, {}]


def test_thinking_is_reasoning_content(said: Said) -> None:
    events = [START, ev.ReasoningStart(0), ev.ReasoningDelta(0, "hm"), ev.ReasoningEnd(0), *text("a", index=1), *END]
    assert deltas(said(events)) == [{"reasoning_content": "hm"}, {"content": "a"}, {}]


def test_a_signature_of_another_dialect_comes_with_the_whole_thought(said: Said) -> None:
    signature = Opaque("anthropic", "SIG")
    thought = [ev.ReasoningDelta(0, "h"), ev.ReasoningDelta(0, "m"), ev.ReasoningEnd(0, signature)]
    hidden = [ev.ReasoningStart(1, redacted=Opaque("anthropic", "DATA")), ev.ReasoningEnd(1)]
    found = deltas(said([START, ev.ReasoningStart(0), *thought, *hidden, *END]))
    assert found[2:4] == [
        {
            "reasoning_details": [
                {"type": "reasoning.text", "text": "hm", "signature": "millstream.anthropic.SIG", "index": 0}
            ]
        },
        {"reasoning_details": [{"type": "reasoning.encrypted", "data": "millstream.anthropic.DATA", "index": 1}]},
    ]


def test_a_signature_of_this_dialect_becomes_the_entries_it_was(said: Said) -> None:
    entries = [{"type": "reasoning.text", "signature": "S", "format": "anthropic-claude-v1", "index": 0}]
    signature = Opaque("openai_chat", json.dumps(entries))
    events = [START, ev.ReasoningStart(0), ev.ReasoningDelta(0, "hm"), ev.ReasoningEnd(0, signature), *END]
    assert deltas(said(events))[1] == {"reasoning_details": [{**entries[0], "text": "hm"}]}


def test_a_call_begins_with_its_name_and_goes_on_with_its_arguments(said: Said) -> None:
    call = [ev.ToolCallStart(0, "toolu_1", "Bash"), ev.ToolCallDelta(0, '{"a"'), ev.ToolCallDelta(0, ":1}")]
    found = deltas(said([START, *call, ev.ToolCallEnd(0), ev.ChoiceEnd(0, "tool_calls"), ev.Finish()]))
    function = {"name": "Bash", "arguments": ""}
    assert found == [
        {"tool_calls": [{"index": 0, "id": "toolu_1", "type": "function", "function": function}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}]},
        {},
    ]


def test_calls_are_counted_by_themselves(said: Said) -> None:
    events = [START, *text("a"), ev.ToolCallStart(1, "a", "f"), ev.ToolCallEnd(1), ev.ToolCallStart(2, "b", "g")]
    calls = [delta["tool_calls"][0]["index"] for delta in deltas(said(events)) if "tool_calls" in delta]
    assert calls == [0, 0, 1]


def test_a_call_without_arguments_has_an_empty_object_of_them(said: Said) -> None:
    found = deltas(said([START, ev.ToolCallStart(0, "a", "f"), ev.ToolCallEnd(0)]))
    assert found[-1] == {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}


def test_several_open_blocks_are_no_matter(said: Said) -> None:
    calls = [ev.ToolCallStart(0, "a", "f"), ev.ToolCallStart(1, "b", "g")]
    pieces = [ev.ToolCallDelta(1, "{}"), ev.ToolCallDelta(0, "{}"), ev.ToolCallEnd(0), ev.ToolCallEnd(1)]
    found = deltas(said([START, *calls, *pieces]))
    assert [delta["tool_calls"][0]["index"] for delta in found] == [0, 1, 1, 0]


def test_a_signed_calls_id_carries_the_signature(said: Said) -> None:
    signature = Opaque("gemini", "SIG")
    events = [START, ev.ToolCallStart(0, "call_1", "f"), ev.ToolCallDelta(0, "{}"), ev.ToolCallEnd(0, signature)]
    assert deltas(said(events))[0]["tool_calls"][0]["id"] == sign_call_id("call_1", signature)


def test_a_call_of_a_free_text_tool_is_turned_back_into_one(said: Said) -> None:
    patch = Tool("patch", "d", kind="custom")
    assert custom_as_function(patch).kind == "function"
    pieces = ['{"inp', 'ut": "*** Be', "gin\\n", '"}']
    call = [ev.ToolCallStart(0, "a", "patch"), *(ev.ToolCallDelta(0, piece) for piece in pieces), ev.ToolCallEnd(0)]
    found = [delta["tool_calls"][0] for delta in deltas(said([START, *call], tools=(patch,)))]
    assert found[0] == {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": ""}}
    assert "".join(entry["custom"]["input"] for entry in found[1:]) == "*** Begin\n"


def test_a_client_of_the_deprecated_functions_gets_a_function_call(said: Said, parse: Any) -> None:
    tools = parse(functions=[{"name": "f", "parameters": {"type": "object"}}]).tools
    call = [ev.ToolCallStart(0, "a", "f"), ev.ToolCallDelta(0, "{}"), ev.ToolCallEnd(0)]
    chunks = said([START, *call, ev.ChoiceEnd(0, "tool_calls"), ev.Finish()], tools=tools)
    assert deltas(chunks)[:2] == [
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
    ]
    assert chunks[-2]["choices"][0]["finish_reason"] == "function_call"


def test_tools_the_provider_ran_are_not_the_clients_to_run(said: Said) -> None:
    result = {"type": "web_search_tool_result", "content": [{"url": "https://a", "title": "A"}]}
    events = [
        START,
        ev.ToolCallStart(0, "srv_1", "web_search", kind="server"),
        ev.ToolCallDelta(0, '{"query":"x"}'),
        ev.ToolCallEnd(0),
        ev.ServerToolResult(1, "anthropic", "srv_1", result),
        *text("a", index=2),
        *END,
    ]
    found = deltas(said(events))
    details = {"end_index": 0, "start_index": 0, "title": "A", "url": "https://a"}
    assert found == [
        {"annotations": [{"type": "url_citation", "url_citation": details, "index": 0}]},
        {"content": "a"},
        {},
    ]


def test_sources_cover_the_text_they_belong_to(said: Said) -> None:
    cited = ev.Citation(1, "anthropic", {"type": "x"}, "https://a", "A", "quote", 100, 120)
    events = [START, *text("four"), ev.TextStart(1), ev.TextDelta(1, "six..."), cited, ev.TextEnd(1), *END]
    annotation = next(delta["annotations"][0] for delta in deltas(said(events)) if "annotations" in delta)
    assert annotation["url_citation"] == {"start_index": 4, "end_index": 10, "title": "A", "url": "https://a"}


def test_sources_without_a_url_cannot_be_said(said: Said) -> None:
    cited = ev.Citation(0, "anthropic", {"type": "page_location"}, None, "A")
    events = [START, ev.TextStart(0), ev.TextDelta(0, "x"), cited, ev.TextEnd(0), *END]
    assert deltas(said(events)) == [{"content": "x"}, {}]


def test_images_are_where_openrouter_puts_them(said: Said) -> None:
    events = [START, ev.Media(0, "image/png", "AAAA"), ev.Media(1, "image", url="https://x"), *END]
    urls = [delta["images"][0]["image_url"]["url"] for delta in deltas(said(events))[:2]]
    assert urls == ["data:image/png;base64,AAAA", "https://x"]


def test_pieces_of_a_spoken_answer_pass_through(said: Said) -> None:
    audio = ev.Unknown("openai_chat", json.dumps({"index": 0, "audio": {"data": "UklG"}}), "audio")
    assert deltas(said([START, audio])) == [{"audio": {"data": "UklG"}}]


def test_what_other_dialects_have_no_name_for_is_not_said(said: Said) -> None:
    events = [START, ev.Unknown("anthropic", "{}", "ping"), ev.UnknownBlock(0, "anthropic", {"type": "x"}), *END]
    assert deltas(said(events)) == [{}]


def test_log_probabilities_are_said_with_their_text(said: Said) -> None:
    logprobs = {"content": [{"token": "a", "logprob": -0.1}], "refusal": None}
    piece = ev.TextDelta(0, "a", {"openai_chat": {"logprobs": logprobs}})
    chunks = said([START, ev.TextStart(0), piece, ev.TextEnd(0), *END])
    assert chunks[1]["choices"][0]["logprobs"] == logprobs


def test_each_choice_begins_and_ends_by_itself(said: Said) -> None:
    ends = [ev.ChoiceEnd(1, "length"), ev.ChoiceEnd(0, "stop"), ev.Finish()]
    chunks = said([START, *text("a"), *text("x", index=1, choice=1), *ends])
    said_of = [
        (choice["index"], choice["delta"], choice["finish_reason"]) for c in chunks[:-1] for choice in c["choices"]
    ]
    assert said_of == [
        (0, {"role": "assistant", "content": "", "refusal": None}, None),
        (0, {"content": "a"}, None),
        (1, {"role": "assistant", "content": "", "refusal": None}, None),
        (1, {"content": "x"}, None),
        (1, {}, "length"),
        (0, {}, "stop"),
    ]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("stop_sequence", "stop"),
        ("pause", "stop"),
        ("length", "length"),
        ("context_window", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
    ],
)
def test_every_reason_has_a_word_that_the_sdks_know(reason: Any, word: str, said: Said) -> None:
    assert said([START, ev.ChoiceEnd(0, reason), ev.Finish()])[-2]["choices"][0]["finish_reason"] == word


def test_the_upstreams_own_word_is_given_back_if_the_sdks_know_it(said: Said) -> None:
    def word(given: str) -> Any:
        end = ev.ChoiceEnd(0, "tool_calls", extra={"openai_chat": {"finish_reason": given}})
        return said([START, end, ev.Finish()])[-2]["choices"][0]["finish_reason"]

    assert (word("stop"), word("eos")) == ("stop", "tool_calls")


def test_a_fault_is_an_error_without_a_polite_end(said: Said) -> None:
    fault = ev.Fault.of(UpstreamFault("cut", Kind.TRUNCATED))
    chunks = said([START, ev.TextStart(0), ev.TextDelta(0, "a"), fault])
    assert chunks[-1] == {"error": {"message": "cut", "type": "server_error", "param": None, "code": "truncated"}}
    assert "[DONE]" not in chunks


def test_a_fault_before_anything_else_stands_alone(said: Said) -> None:
    assert len(said([ev.Fault.of(UpstreamFault("no", Kind.OVERLOADED))])) == 1


def test_a_client_that_has_a_start_gets_no_second_one(said: Said) -> None:
    first = ev.MessageStart("msg_0", "m0", 7)
    chunks = said([START, *text("a"), *END], started=True, start=first)
    assert deltas(chunks) == [{}]
    assert chunks[0]["choices"][0]["delta"] == {"content": "a"}
    assert {chunk["id"] for chunk in chunks[:-1]} == {"chatcmpl-msg_0"}


def test_a_keepalive_is_a_comment(context: Any) -> None:
    assert DIALECT.renderer(context()).keepalive() == b": keepalive\n\n"


def test_how_events_are_batched_makes_no_difference(context: Any) -> None:
    call: list[ev.Event] = [ev.ToolCallStart(1, "c", "f"), ev.ToolCallDelta(1, "{}"), ev.ToolCallEnd(1)]
    events: list[ev.Event] = [START, *text("a", "b"), *call, *END]
    one_by_one = DIALECT.renderer(context())
    assert b"".join(one_by_one.render([event]) for event in events) == DIALECT.renderer(context()).render(events)
