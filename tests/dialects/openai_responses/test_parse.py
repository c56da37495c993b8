"""Upstream streams of the Responses API, one quirk of a provider at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.grammar import Grammar
from millstream.core.messages import Opaque
from millstream.dialects.openai_responses import DIALECT
from millstream.dialects.openai_responses.parse import ResponsesParser
from millstream.testing.dialect import assembled
from millstream.testing.streams import parse

Read = Callable[..., list[ev.Event]]
Data = dict[str, Any]

NAME = "openai_responses"
CREATED: Data = {"type": "response.created", "response": {"id": "resp_1", "model": "gpt", "created_at": 7}}
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}


def added(index: int, **item: Any) -> Data:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, **item: Any) -> Data:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def part(index: int, content_index: int = 0, kind: str = "output_text", state: str = "added", **fields: Any) -> Data:
    where = {"output_index": index, "content_index": content_index, "item_id": "i"}
    return {"type": f"response.content_part.{state}", **where, "part": {"type": kind, **fields}}


def delta(name: str, index: int, text: str, **fields: Any) -> Data:
    return {"type": f"response.{name}.delta", "output_index": index, "item_id": "i", "delta": text, **fields}


def completed(**response: Any) -> Data:
    return {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", **response}}


def message(text: str, **fields: Any) -> Data:
    return {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text, **fields}]}


def of(events: list[ev.Event], *kinds: type) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


def test_a_text_streams_with_its_item_its_usage_and_its_end(read: Read) -> None:
    events = read(
        CREATED,
        added(0, type="message", id="msg_1", phase="final_answer", status="in_progress"),
        part(0),
        delta("output_text", 0, "Hel", content_index=0),
        delta("output_text", 0, "lo", content_index=0),
        part(0, state="done", text="Hello"),
        done(0, **message("Hello"), id="msg_1"),
        completed(usage={**USAGE, "input_tokens_details": {"cached_tokens": 1}}, service_tier="flex"),
    )
    item = {"type": "message", "id": "msg_1", "phase": "final_answer"}
    assert events[:4] == [
        ev.MessageStart("resp_1", "gpt", 7),
        ev.TextStart(0, extra={NAME: {"item": item}}),
        ev.TextDelta(0, "Hello"),
        ev.TextEnd(0),
    ]
    usage = of(events, ev.Usage)[0].usage
    assert (usage.input_tokens, usage.output_tokens, usage.cache_read_tokens) == (3, 2, 1)
    assert events[-2:] == [ev.ChoiceEnd(0, "stop"), ev.Finish({NAME: {"service_tier": "flex"}})]


def test_frames_without_event_lines_comments_and_a_final_done_are_read(sse: Callable[..., bytes]) -> None:
    stream = sse(CREATED, done(0, **message("hi")), completed(), named=False)
    assert parse(DIALECT, [b": OPENROUTER PROCESSING\n\n", stream, b"data: [DONE]\n\n"]) == parse(DIALECT, [stream])


def test_comments_before_the_first_event_are_read_over(read: Read, sse: Callable[..., bytes]) -> None:
    stream = sse(CREATED, done(0, **message("hi")), completed())
    assert parse(DIALECT, [b": keepalive\n\n" * 3, stream]) == parse(DIALECT, [stream])


def test_websocket_messages_are_the_same_events_without_framing() -> None:
    parser = ResponsesParser()
    events = [
        event
        for frame in (CREATED, done(0, **message("hi")), completed())
        for event in parser.feed_message(json.dumps(frame).encode())
    ]
    assert assembled(events).choices[0].parts[0].text == "hi"  # type: ignore[union-attr]  # a text


def test_a_stream_that_was_queued_begins_like_any_other(read: Read) -> None:
    queued = {"type": "response.queued", "response": {"id": "resp_1", "model": "gpt"}}
    events = read(queued, {**queued, "type": "response.in_progress"}, done(0, **message("hi")), completed())
    assert [type(event) for event in events[:2]] == [ev.MessageStart, ev.TextStart]


def test_the_call_id_is_the_calls_and_the_items_own_id_is_kept_beside(read: Read) -> None:
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}
    events = read(CREATED, added(0, **item, arguments=""), done(0, **item, arguments="{}"), completed())
    assert of(events, ev.ToolCallStart) == [ev.ToolCallStart(0, "call_1", "f", extra={NAME: {"id": "fc_1"}})]
    assert of(events, ev.ChoiceEnd) == [ev.ChoiceEnd(0, "tool_calls")]


def test_arguments_that_never_streamed_are_taken_from_the_done_item(read: Read) -> None:
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}
    said = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": '{"a":1}'}
    events = read(CREATED, added(0, **item), said, done(0, **item, arguments='{"a":1}'), completed())
    assert of(events, ev.ToolCallDelta) == [ev.ToolCallDelta(0, '{"a":1}')]


def test_arguments_that_streamed_are_not_said_twice(read: Read) -> None:
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f"}
    pieces = [delta("function_call_arguments", 0, piece) for piece in ('{"a"', ":1}")]
    events = read(CREATED, added(0, **item), *pieces, done(0, **item, arguments='{"a":1}'), completed())
    assert of(events, ev.ToolCallDelta) == [ev.ToolCallDelta(0, '{"a":1}')]


def test_item_ids_that_change_with_every_event_do_not_matter(read: Read) -> None:
    events = read(
        CREATED,
        added(0, type="message", id="a"),
        {**part(0), "item_id": "b"},
        delta("output_text", 0, "one", content_index=0, item_id="c"),
        {**part(0, state="done", text="one"), "item_id": "d"},
        done(0, **message("one"), id="e"),
        completed(),
    )
    assert [event.text for event in of(events, ev.TextDelta)] == ["one"]


def test_events_without_an_index_belong_to_the_item_of_their_id(read: Read) -> None:
    events = read(
        CREATED,
        {
            "type": "response.output_item.added",
            "item": {"type": "function_call", "id": "x", "call_id": "c", "name": "f"},
        },
        {"type": "response.function_call_arguments.delta", "item_id": "x", "delta": "{}"},
        {
            "type": "response.output_item.done",
            "item": {"type": "function_call", "id": "x", "call_id": "c", "name": "f", "arguments": "{}"},
        },
        completed(),
    )
    assert [type(event) for event in events[1:4]] == [ev.ToolCallStart, ev.ToolCallDelta, ev.ToolCallEnd]


def test_items_that_overlap_stay_apart(read: Read) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f"}
    events = read(
        CREATED,
        added(0, type="reasoning", id="rs"),
        added(1, **call),
        added(2, type="message", id="msg"),
        part(2),
        delta("output_text", 2, "te", content_index=0),
        delta("function_call_arguments", 1, "{}"),
        delta("reasoning_summary_text", 0, "hm", summary_index=0),
        delta("output_text", 2, "xt", content_index=0),
        done(1, **call, arguments="{}"),
        done(0, type="reasoning", id="rs", summary=[{"type": "summary_text", "text": "hm"}]),
        done(2, **message("text")),
        completed(),
    )
    reply = assembled(events)
    assert [type(piece).__name__ for piece in reply.choices[0].parts] == ["ReasoningPart", "ToolCallPart", "TextPart"]
    assert [getattr(piece, "text", None) for piece in reply.choices[0].parts] == ["hm", None, "text"]


def test_encrypted_reasoning_is_the_one_of_the_done_item(read: Read) -> None:
    events = read(
        CREATED,
        added(0, type="reasoning", id="rs_1", summary=[], encrypted_content="early"),
        done(0, type="reasoning", id="rs_1", summary=[], encrypted_content="late"),
        completed(),
    )
    assert of(events, ev.ReasoningStart, ev.ReasoningEnd) == [
        ev.ReasoningStart(0, id="rs_1"),
        ev.ReasoningEnd(0, Opaque(NAME, "rs_1|late")),
    ]


def test_parts_of_a_summary_are_paragraphs_of_one_thought(read: Read) -> None:
    events = read(
        CREATED,
        added(0, type="reasoning", id="rs"),
        delta("reasoning_summary_text", 0, "one", summary_index=0),
        delta("reasoning_summary_text", 0, "two", summary_index=1),
        done(0, type="reasoning", id="rs"),
        completed(),
    )
    assert "".join(event.text for event in of(events, ev.ReasoningDelta)) == "one\n\ntwo"


def test_reasoning_told_as_text_is_a_thought_too_and_kept_to_be_given_back(read: Read) -> None:
    content = [{"type": "reasoning_text", "text": "hm"}]
    events = read(
        CREATED,
        added(0, type="reasoning", id="rs", summary=[], content=[]),
        part(0, kind="reasoning_text", text=""),
        delta("reasoning_text", 0, "hm", content_index=0),
        part(0, kind="reasoning_text", state="done", text="hm"),
        done(0, type="reasoning", id="rs", summary=[], content=content),
        completed(),
    )
    assert of(events, ev.ReasoningDelta) == [ev.ReasoningDelta(0, "hm")]
    assert of(events, ev.ReasoningEnd) == [ev.ReasoningEnd(0, extra={NAME: {"content": content}})]
    assert of(events, ev.TextStart) == []


def test_reasoning_that_never_streamed_is_taken_from_the_done_item(read: Read) -> None:
    summary = [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}]
    events = read(CREATED, done(0, type="reasoning", id="rs", summary=summary), completed())
    assert of(events, ev.ReasoningDelta) == [ev.ReasoningDelta(0, "a\n\nb")]


def test_an_output_left_empty_at_the_end_takes_nothing_back(read: Read) -> None:
    events = read(CREATED, done(0, **message("kept")), completed(output=[]))
    assert [piece.text for piece in assembled(events).choices[0].parts] == ["kept"]  # type: ignore[union-attr]  # a text


def test_a_stream_that_only_says_its_end_is_read_from_there(read: Read) -> None:
    events = read(CREATED, completed(output=[message("all at once")]))
    assert of(events, ev.TextDelta) == [ev.TextDelta(0, "all at once")]


def test_items_that_were_never_done_are_settled_from_the_final_output(read: Read) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f"}
    events = read(CREATED, added(0, **call), completed(output=[{**call, "arguments": '{"a":1}'}]))
    assert of(events, ev.ToolCallDelta) == [ev.ToolCallDelta(0, '{"a":1}')]


def test_deltas_of_a_part_that_was_never_announced_begin_it(read: Read) -> None:
    events = read(
        CREATED,
        added(0, type="message"),
        delta("output_text", 0, "hi", content_index=0),
        done(0, **message("hi")),
        completed(),
    )
    assert [type(event) for event in events[1:4]] == [ev.TextStart, ev.TextDelta, ev.TextEnd]


def test_a_refusal_is_a_text_of_its_own_kind(read: Read) -> None:
    refusal = {"type": "refusal", "refusal": "I can't."}
    events = read(
        CREATED,
        added(0, type="message"),
        part(0, kind="refusal", refusal=""),
        delta("refusal", 0, "I can't.", content_index=0),
        part(0, kind="refusal", state="done", refusal="I can't."),
        done(0, type="message", content=[refusal]),
        completed(),
    )
    assert [event.kind for event in of(events, ev.TextStart)] == ["refusal"]
    assert of(events, ev.TextDelta) == [ev.TextDelta(0, "I can't.")]


def test_annotations_are_citations_once_each_also_if_only_the_end_has_them(read: Read) -> None:
    first = {"type": "url_citation", "url": "http://a", "title": "A", "start_index": 0, "end_index": 2}
    second = {"type": "file_citation", "file_id": "file-1", "filename": "b.txt", "index": 3}
    streamed = {"type": "response.output_text.annotation.added", "output_index": 0, "content_index": 0}
    events = read(
        CREATED,
        added(0, type="message"),
        part(0),
        delta("output_text", 0, "hi", content_index=0),
        {**streamed, "annotation": first},
        part(0, state="done", text="hi", annotations=[first, second]),
        done(0, **message("hi", annotations=[first, second])),
        completed(),
    )
    assert of(events, ev.Citation) == [
        ev.Citation(0, NAME, first, "http://a", "A", start=0, end=2),
        ev.Citation(0, NAME, second, title="b.txt"),
    ]


def test_log_probabilities_ride_with_their_text(read: Read) -> None:
    logprobs = [{"token": "hi", "logprob": -0.5, "bytes": [104, 105], "top_logprobs": []}]
    events = read(
        CREATED,
        added(0, type="message"),
        part(0),
        delta("output_text", 0, "hi", content_index=0, logprobs=logprobs),
        done(0, **message("hi", logprobs=logprobs)),
        completed(),
    )
    assert of(events, ev.TextDelta) == [ev.TextDelta(0, "hi", {NAME: {"logprobs": logprobs}})]


def test_free_text_calls_stream_their_text(read: Read) -> None:
    item = {"type": "custom_tool_call", "id": "ctc", "call_id": "c", "name": "apply_patch"}
    pieces = [delta("custom_tool_call_input", 0, piece) for piece in ("*** Begin", " Patch")]
    events = read(CREATED, added(0, **item, input=""), *pieces, done(0, **item, input="*** Begin Patch"), completed())
    assert of(events, ev.ToolCallStart)[0].kind == "custom"
    assert of(events, ev.ToolCallDelta) == [ev.ToolCallDelta(0, "*** Begin Patch")]
    assert of(events, ev.ChoiceEnd)[0].reason == "tool_calls"


def test_a_call_in_a_namespace_is_named_after_both(read: Read) -> None:
    item = {"type": "function_call", "call_id": "c", "name": "spawn", "namespace": "agents", "arguments": "{}"}
    events = read(CREATED, done(0, **item), completed())
    assert of(events, ev.ToolCallStart) == [
        ev.ToolCallStart(0, "c", "agents__spawn", extra={NAME: {"namespace": "agents"}})
    ]


def test_the_namespace_of_a_lone_deferred_function_is_not_part_of_its_name(read: Read) -> None:
    item = {"type": "function_call", "call_id": "c", "name": "rate", "namespace": "rate", "arguments": "{}"}
    assert of(read(CREATED, done(0, **item), completed()), ev.ToolCallStart)[0].name == "rate"


def test_a_search_for_tools_that_the_client_runs_is_a_call_like_any_other(read: Read) -> None:
    item = {"type": "tool_search_call", "id": "t", "call_id": "c", "execution": "client", "arguments": {"query": "x"}}
    events = read(CREATED, done(0, **item), completed())
    assert of(events, ev.ToolCallStart)[0].name == "tool_search"
    assert of(events, ev.ToolCallDelta) == [ev.ToolCallDelta(0, '{"query":"x"}')]
    assert of(events, ev.ChoiceEnd)[0].reason == "tool_calls"


@pytest.mark.parametrize(
    ("item", "name", "arguments", "digest"),
    [
        (
            {"type": "web_search_call", "action": {"type": "search", "query": "ruby"}},
            "web_search",
            {"type": "search", "query": "ruby"},
            "query: ruby",
        ),
        ({"type": "web_search_call", "arguments": '{"query":"xai"}'}, "web_search", {"query": "xai"}, None),
        (
            {"type": "file_search_call", "queries": ["a", "b"]},
            "file_search",
            {"queries": ["a", "b"]},
            "query: a\nquery: b",
        ),
        (
            {"type": "code_interpreter_call", "code": "1+1", "outputs": [{"type": "logs", "logs": "2"}]},
            "code_interpreter",
            {"code": "1+1"},
            "1+1\n2",
        ),
        (
            {"type": "mcp_call", "name": "ask", "arguments": '{"q":1}', "server_label": "wiki", "output": "it is so"},
            "ask",
            {"q": 1},
            "it is so",
        ),
    ],
)
def test_a_tool_the_provider_runs_is_a_server_call_with_its_result(
    read: Read, item: Data, name: str, arguments: Data, digest: str | None
) -> None:
    events = read(CREATED, added(0, **item, id="ws_1"), done(0, **item, id="ws_1"), completed())
    start, call, result = of(events, ev.ToolCallStart, ev.ToolCallDelta, ev.ServerToolResult)
    assert (start.id, start.name, start.kind) == ("ws_1", name, "server")
    assert json.loads(call.arguments) == arguments
    assert (result.call_id, result.origin, result.text) == ("ws_1", NAME, digest)
    assert result.data == {**item, "id": "ws_1"}
    assert of(events, ev.ChoiceEnd)[0].reason == "stop"


@pytest.mark.parametrize("kind", ["compaction", "mcp_list_tools", "tool_search_output", "from_the_future"])
def test_an_item_without_a_canonical_form_is_kept_verbatim(read: Read, kind: str) -> None:
    item = {"type": kind, "id": "x", "payload": {"deep": [1, None]}}
    events = read(CREATED, added(0, type=kind, id="x"), done(0, **item), completed())
    assert of(events, ev.UnknownBlock) == [ev.UnknownBlock(0, NAME, item)]
    assert of(events, ev.ChoiceEnd)[0].reason == "stop"


def test_a_shell_call_waits_for_the_client_unless_its_output_is_there(read: Read) -> None:
    call = done(0, type="shell_call", id="sh", call_id="c", action={"commands": ["ls"]})
    output = done(1, type="shell_call_output", id="sho", call_id="c", output=[])
    assert of(read(CREATED, call, completed()), ev.ChoiceEnd)[0].reason == "tool_calls"
    assert of(read(CREATED, call, output, completed()), ev.ChoiceEnd)[0].reason == "stop"


def test_a_generated_image_is_media(read: Read) -> None:
    item = {"type": "image_generation_call", "id": "ig", "output_format": "webp", "size": "1x1"}
    partial = {"type": "response.image_generation_call.partial_image", "output_index": 0, "partial_image_b64": "AA=="}
    events = read(CREATED, added(0, **item), partial, done(0, **item, result="BBBB"), completed())
    assert events[1] == ev.Media(0, "image/webp", "BBBB", extra={NAME: {"item": item}})


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("steered", "stop"), ("new", "length")],
)
def test_an_incomplete_reply_says_why(read: Read, reason: str, finish: str) -> None:
    details = {"reason": reason}
    end = {"type": "response.incomplete", "response": {"id": "resp_1", "incomplete_details": details}}
    events = read(CREATED, done(0, **message("half")), end)
    assert of(events, ev.ChoiceEnd) == [ev.ChoiceEnd(0, finish, extra={NAME: {"incomplete_details": details}})]  # type: ignore[arg-type]  # a literal by the parameters


def test_blocks_still_open_when_a_reply_is_cut_short_are_closed(read: Read) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f"}
    end = {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}
    events = read(CREATED, added(0, **call), delta("function_call_arguments", 0, '{"a'), end)
    assert [type(event) for event in events[1:4]] == [ev.ToolCallStart, ev.ToolCallDelta, ev.ToolCallEnd]


RATE_LIMIT = {"type": "tokens", "code": "rate_limit_exceeded", "message": "Slow down. Please try again in 1.5s."}


@pytest.mark.parametrize(
    "failure",
    [
        {"type": "error", "error": RATE_LIMIT},
        {"type": "error", **{name: value for name, value in RATE_LIMIT.items() if name != "type"}},
        {"type": "error", "status": 429, "error": RATE_LIMIT},
        {"type": "response.failed", "response": {"status": "failed", "error": RATE_LIMIT}},
        {"type": "response.completed", "response": {"status": "failed", "error": RATE_LIMIT}},
    ],
)
def test_every_form_of_failure_is_a_fault_of_its_kind(read: Read, failure: Data) -> None:
    events = read(CREATED, failure, completed())
    assert [type(event) for event in events] == [ev.MessageStart, ev.Fault]
    fault = of(events, ev.Fault)[0]
    assert (fault.kind, fault.status, fault.code) == (Kind.RATE_LIMIT, 429, "rate_limit_exceeded")
    assert (fault.retryable, fault.retry_after) == (True, 1.5)


def test_how_long_to_wait_is_read_from_a_websocket_errors_headers(read: Read) -> None:
    error = {"code": "rate_limit_exceeded", "message": "Wait.", "headers": {"Retry-After": "7"}}
    assert of(read({"type": "error", "status": 429, "error": error}), ev.Fault)[0].retry_after == 7


def test_an_error_that_is_no_event_is_still_one() -> None:
    stream = b'data: {"error": {"message": "model crashed", "code": 502}}\n\n'
    fault = parse(DIALECT, [stream])[0]
    assert isinstance(fault, ev.Fault)
    assert (fault.message, fault.status) == ("model crashed", 502)


def test_bare_json_instead_of_a_stream_is_the_error_it_says() -> None:
    fault = parse(DIALECT, [b'{"detail":"Unauthorized"}'])[0]
    assert isinstance(fault, ev.Fault)
    assert fault.message == "Unauthorized"


def test_a_failure_without_an_explanation_is_one_all_the_same(read: Read) -> None:
    fault = of(read(CREATED, {"type": "response.failed", "response": {"error": None}}), ev.Fault)[0]
    assert fault.kind is Kind.INTERNAL
    assert fault.retryable


@pytest.mark.parametrize("end", [b"", b"data: [DONE]\n\n"])
def test_a_stream_without_its_last_event_is_cut_off(sse: Callable[..., bytes], end: bytes) -> None:
    events = parse(DIALECT, [sse(CREATED, done(0, **message("half"))) + end])
    assert isinstance(events[-1], ev.Fault)
    assert events[-1].kind is Kind.TRUNCATED


@pytest.mark.parametrize(
    "frame",
    [
        b"event: response.output_text.delta\ndata: {not json\n\n",
        b'event: response.output_text.delta\ndata: {"delta": 5}\n\n',
        b'event: response.output_item.added\ndata: {"item": [1]}\n\n',
        b'event: response.completed\ndata: {"response": null}\n\n',
        b"data: \xff\xfe\n\n",
        b"data: 5\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
)
def test_what_cannot_be_read_is_the_upstreams_fault(sse: Callable[..., bytes], frame: bytes) -> None:
    events = parse(DIALECT, [sse(CREATED) + frame])
    assert isinstance(events[-1], ev.Fault)
    assert events[-1].kind is Kind.MALFORMED


def test_a_frame_of_an_unknown_type_is_passed_on_as_such(read: Read) -> None:
    events = read(CREATED, {"type": "response.something.new", "x": 1}, completed())
    unknown = of(events, ev.Unknown)[0]
    assert (unknown.name, json.loads(unknown.data)["x"]) == ("response.something.new", 1)


def test_nothing_follows_the_end(read: Read) -> None:
    events = read(CREATED, completed(), done(0, **message("late")), completed())
    assert isinstance(events[-1], ev.Finish)
    assert of(events, ev.TextStart) == []


_names = st.sampled_from(
    [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.function_call_arguments.delta",
        "response.reasoning_summary_text.delta",
        "response.output_text.annotation.added",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
        "error",
    ]
)
_types = st.sampled_from(["message", "function_call", "reasoning", "web_search_call", "image_generation_call", "odd"])
_leaf = st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=3)
_entry = st.dictionaries(st.sampled_from(["type", "text", "id", "name", "output", "content", "summary"]), _leaf)
_item = st.fixed_dictionaries(
    {"type": _types},
    optional={
        "id": _leaf,
        "call_id": _leaf,
        "name": _leaf,
        "arguments": _leaf,
        "content": _leaf | st.lists(_entry | _leaf, max_size=2),
        "summary": st.lists(_entry, max_size=2),
        "encrypted_content": _leaf,
        "action": _leaf | _entry,
        "result": _leaf,
    },
)
_event = st.fixed_dictionaries(
    {"type": _names},
    optional={
        "output_index": st.integers(-1, 2),
        "content_index": st.integers(0, 2),
        "summary_index": st.integers(0, 1),
        "item": _item | st.none(),
        "part": st.fixed_dictionaries({"type": st.sampled_from(["output_text", "refusal", "x"])}),
        "delta": st.text(max_size=2),
        "annotation": _entry,
        "response": st.fixed_dictionaries(
            {}, optional={"output": st.lists(_item, max_size=2), "usage": _leaf | _entry}
        ),
        "error": _entry | st.text(max_size=2),
    },
)


@given(st.lists(_event, max_size=12))
def test_whatever_the_events_are_what_comes_of_them_is_legal(events: list[Data]) -> None:
    stream = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    found = parse(DIALECT, [stream])
    grammar = Grammar()
    grammar.advance(found)
    assert grammar.ended


def test_a_whole_reply_is_read_as_what_it_would_have_streamed() -> None:
    output = [
        {
            "type": "reasoning",
            "id": "rs",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "e",
        },
        message("hi"),
        {"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": "{}", "status": "completed"},
    ]
    body = {"id": "resp_1", "model": "gpt", "created_at": 7, "status": "completed", "output": output, "usage": USAGE}
    reply = assembled(DIALECT.parse_reply(json.dumps(body).encode()))
    assert (reply.id, reply.model, reply.created) == ("resp_1", "gpt", 7)
    assert [type(piece).__name__ for piece in reply.choices[0].parts] == ["ReasoningPart", "TextPart", "ToolCallPart"]
    assert reply.choices[0].finish_reason == "tool_calls"


def test_reasoning_beside_the_output_of_a_whole_reply_is_a_thought() -> None:
    body = {"id": "r", "status": "completed", "output": [message("hi")], "reasoning": "let me see"}
    parts = assembled(DIALECT.parse_reply(json.dumps(body).encode())).choices[0].parts
    assert [getattr(piece, "text", None) for piece in parts] == ["let me see", "hi"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>", Kind.MALFORMED),
        (b"[]", Kind.MALFORMED),
        (b'{"id": "x"}', Kind.MALFORMED),
        (b'{"status": "in_progress", "output": []}', Kind.TRUNCATED),
        (b'{"status": "failed", "output": [], "error": {"code": "server_error", "message": "x"}}', Kind.INTERNAL),
        (b'{"error": {"code": "context_length_exceeded", "message": "x"}}', Kind.CONTEXT_LENGTH),
    ],
)
def test_what_is_no_whole_reply_is_the_upstreams_fault(body: bytes, kind: Kind) -> None:
    with pytest.raises(UpstreamFault) as caught:
        DIALECT.parse_reply(body)
    assert caught.value.kind is kind
