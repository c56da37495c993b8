"""What a stream of this API says, one of its ways at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core import messages as msg
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.grammar import Grammar
from millstream.dialects.anthropic import DIALECT
from millstream.testing.dialect import assembled
from millstream.testing.streams import parse

Wire = dict[str, Any]
Write = Callable[..., bytes]
Block = Callable[..., list[Wire]]
Read = Callable[[bytes], list[ev.Event]]

_TEXT = {"type": "text", "text": ""}
_CALL = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}


def _text(text: str) -> Wire:
    return {"type": "text_delta", "text": text}


def _json(piece: str) -> Wire:
    return {"type": "input_json_delta", "partial_json": piece}


def _own(fields: Wire) -> Wire:
    return {"anthropic": fields}


def test_text_comes_between_its_start_and_end(message: Write, block: Block, read: Read) -> None:
    assert read(message(*block(0, _TEXT, _text("Hel"), _text("lo")))) == [
        ev.TextStart(0),
        ev.TextDelta(0, "Hello"),
        ev.TextEnd(0),
        ev.ChoiceEnd(0, "stop"),
        ev.Finish(),
    ]


def test_the_start_carries_id_model_and_what_else_was_said(message: Write) -> None:
    stream = message().replace(b'"role"', b'"provider": "Amazon Bedrock", "container": null, "role"', 1)
    start = parse(DIALECT, [stream])[0]
    usage = msg.Usage(3, 1)
    assert start == ev.MessageStart("msg_1", "claude", usage=usage, extra=_own({"provider": "Amazon Bedrock"}))


def test_padding_inside_a_frame_changes_nothing(message: Write, block: Block) -> None:
    stream = message(*block(0, _TEXT, _text("hi")))
    assert parse(DIALECT, [stream.replace(b"}\n\n", b"}  \n\n").replace(b"0}", b"0   }")]) == parse(DIALECT, [stream])


def test_pings_are_ignored_wherever_they_come(message: Write, block: Block, sse: Write) -> None:
    stream = message(*block(0, _TEXT, _text("hi")))
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    pinged = ping + stream.replace(b"\n\n", b"\n\n" + ping) + sse({"type": "ping", "cost": "0"})
    assert parse(DIALECT, [pinged]) == parse(DIALECT, [stream])


def test_an_empty_first_piece_of_input_is_not_an_event(message: Write, block: Block, read: Read) -> None:
    found = read(message(*block(0, _CALL, _json(""), _json('{"a":'), _json("1}")), stop_reason="tool_use"))
    assert found == [
        ev.ToolCallStart(0, "toolu_1", "Bash"),
        ev.ToolCallDelta(0, '{"a":1}'),
        ev.ToolCallEnd(0),
        ev.ChoiceEnd(0, "tool_calls"),
        ev.Finish(),
    ]


def test_a_call_without_arguments_has_none(message: Write, block: Block, read: Read) -> None:
    found = read(message(*block(0, _CALL, _json("")), stop_reason="tool_use"))
    assert found[:2] == [ev.ToolCallStart(0, "toolu_1", "Bash"), ev.ToolCallEnd(0)]


def test_the_caller_and_unknown_fields_of_a_block_are_carried(message: Write, block: Block, read: Read) -> None:
    call = {**_CALL, "caller": {"type": "direct"}, "toolset_name": "browser", "later": None}
    start = read(message(*block(0, call, _json("{}"))))[0]
    carried = {"caller": {"type": "direct"}, "toolset_name": "browser"}
    assert start == ev.ToolCallStart(0, "toolu_1", "Bash", extra=_own(carried))


def test_a_late_signature_ends_the_thinking(message: Write, block: Block, read: Read) -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    deltas = ({"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "sig"})
    assert read(message(*block(0, thinking, *deltas)))[:3] == [
        ev.ReasoningStart(0),
        ev.ReasoningDelta(0, "hm"),
        ev.ReasoningEnd(0, msg.Opaque("anthropic", "sig")),
    ]


def test_omitted_thinking_is_a_signature_alone(message: Write, block: Block, read: Read) -> None:
    deltas = ({"type": "thinking_delta", "thinking": ""}, {"type": "signature_delta", "signature": "sig"})
    found = read(message(*block(0, {"type": "thinking", "thinking": ""}, *deltas)))
    assert found[:2] == [ev.ReasoningStart(0), ev.ReasoningEnd(0, msg.Opaque("anthropic", "sig"))]


def test_redacted_thinking_is_whole_in_its_start(message: Write, block: Block, read: Read) -> None:
    found = read(message(*block(0, {"type": "redacted_thinking", "data": "secret"})))
    redacted = msg.Opaque("anthropic", "secret")
    assert found[:2] == [ev.ReasoningStart(0, redacted=redacted), ev.ReasoningEnd(0)]


def test_usage_is_cumulative_and_counts_the_cache_as_input(sse: Write) -> None:
    cached = {"cache_read_input_tokens": 10, "cache_creation_input_tokens": 5, "service_tier": "standard"}
    usage = {"input_tokens": 3, "output_tokens": 1, **cached}
    later = {"output_tokens": 40, "cache_read_input_tokens": None, "output_tokens_details": {"thinking_tokens": 30}}
    found = parse(
        DIALECT,
        [
            sse({"type": "message_start", "message": {"usage": usage}})
            + sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": later})
        ],
    )
    extra = _own({"service_tier": "standard", "output_tokens_details": {"thinking_tokens": 30}})
    assert isinstance(found[0], ev.MessageStart)
    assert found[0].usage == msg.Usage(18, 1, 10, 5, extra=_own({"service_tier": "standard"}))
    assert found[1] == ev.Usage(msg.Usage(18, 40, 10, 5, 30, extra=extra))


def test_input_tokens_that_the_end_repeats_replace_those_of_the_start(message: Write) -> None:
    stream = message().replace(b'"usage": {"output_tokens": 9}', b'"usage": {"input_tokens": 32, "output_tokens": 16}')
    assert ev.Usage(msg.Usage(32, 16)) in parse(DIALECT, [stream])


def test_a_server_tools_result_comes_whole_with_its_start(message: Write, block: Block, read: Read) -> None:
    found_page = {"type": "web_search_result", "url": "http://e.org", "title": "E", "encrypted_content": "x"}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [found_page]}
    found = read(message(*block(0, result)))[0]
    assert found == ev.ServerToolResult(0, "anthropic", "srvtoolu_1", result, text="E\nhttp://e.org")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"type": "bash_code_execution_result", "stdout": "out", "stderr": "err", "content": []}, "out\nerr"),
        ({"type": "web_fetch_tool_result_error", "error_code": "url_not_accessible"}, "error: url_not_accessible"),
        (
            {
                "type": "web_fetch_result",
                "url": "http://e.org",
                "content": {"type": "document", "source": {"type": "text", "data": "page"}, "title": "E"},
            },
            "http://e.org\nE\npage",
        ),
        ({"type": "document", "source": {"type": "base64", "data": "AAAA"}}, None),
    ],
)
def test_a_result_has_a_readable_digest(
    result: Wire, text: str | None, message: Write, block: Block, read: Read
) -> None:
    whole = {"type": "some_tool_result", "tool_use_id": "s", "content": result}
    assert read(message(*block(0, whole)))[0] == ev.ServerToolResult(0, "anthropic", "s", whole, text=text)


def test_a_server_tools_call_is_streamed(message: Write, block: Block, read: Read) -> None:
    call = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    assert read(message(*block(0, call, _json(""), _json('{"query":"q"}'))))[:3] == [
        ev.ToolCallStart(0, "srvtoolu_1", "web_search", kind="server", extra=_own({"$type": "server_tool_use"})),
        ev.ToolCallDelta(0, '{"query":"q"}'),
        ev.ToolCallEnd(0),
    ]


def test_a_server_tools_call_may_be_whole_in_its_start(message: Write, block: Block, read: Read) -> None:
    call = {"type": "mcp_tool_use", "id": "m_1", "name": "find", "server_name": "files", "input": {"q": [1.5]}}
    extra = _own({"$type": "mcp_tool_use", "server_name": "files"})
    assert read(message(*block(0, call)))[:3] == [
        ev.ToolCallStart(0, "m_1", "find", kind="server", extra=extra),
        ev.ToolCallDelta(0, '{"q":[1.5]}'),
        ev.ToolCallEnd(0),
    ]


def test_streamed_input_replaces_what_the_start_held(message: Write, block: Block, read: Read) -> None:
    found = read(message(*block(0, {**_CALL, "input": {"old": 1}}, _json('{"new":2}'))))
    assert [event for event in found if isinstance(event, ev.ToolCallDelta)] == [ev.ToolCallDelta(0, '{"new":2}')]


def test_citations_mix_with_text(message: Write, block: Block, read: Read) -> None:
    cited = {"type": "char_location", "cited_text": "green", "document_title": "D", "start_char_index": 1}
    delta = {"type": "citations_delta", "citation": cited}
    start = {"type": "text", "text": "", "citations": []}
    assert read(message(*block(0, start, delta, _text("green"))))[:3] == [
        ev.TextStart(0, extra=_own({"citations": []})),
        ev.Citation(0, "anthropic", cited, title="D", cited_text="green", start=1),
        ev.TextDelta(0, "green"),
    ]


def test_a_compaction_is_an_unknown_block_with_its_summary(message: Write, block: Block, read: Read) -> None:
    delta = {"type": "compaction_delta", "content": "so far", "encrypted_content": "x"}
    found = read(message(*block(0, {"type": "compaction", "content": None}, delta)))
    data = {"type": "compaction", "content": "so far", "encrypted_content": "x"}
    assert found[0] == ev.UnknownBlock(0, "anthropic", data)


def test_context_management_container_and_stop_details_come_with_the_end(sse: Write, message: Write) -> None:
    edits: Wire = {"applied_edits": []}
    stream = message(container={"id": "c"}, stop_details=None).replace(
        b'"type": "message_delta"', b'"type": "message_delta", "context_management": ' + json.dumps(edits).encode()
    )
    end = parse(DIALECT, [stream])[-2]
    assert end == ev.ChoiceEnd(0, "stop", extra=_own({"container": {"id": "c"}, "context_management": edits}))


@pytest.mark.parametrize(
    ("said", "reason", "kept"),
    [
        ("end_turn", "stop", None),
        ("max_tokens", "length", None),
        ("stop_sequence", "stop_sequence", None),
        ("tool_use", "tool_calls", None),
        ("pause_turn", "pause", None),
        ("refusal", "refusal", None),
        ("model_context_window_exceeded", "context_window", None),
        ("compaction", "pause", "compaction"),
        ("of_a_later_year", "stop", "of_a_later_year"),
    ],
)
def test_every_stop_reason_has_a_name_and_none_is_lost(
    said: str, reason: msg.FinishReason, kept: str | None, message: Write, read: Read
) -> None:
    extra = _own({"$stop_reason": kept}) if kept else None
    assert read(message(stop_reason=said))[0] == ev.ChoiceEnd(0, reason, extra=extra)


def test_the_stop_sequence_is_named(message: Write, read: Read) -> None:
    end = read(message(stop_reason="stop_sequence").replace(b'"stop_sequence": null', b'"stop_sequence": "###"'))[0]
    assert end == ev.ChoiceEnd(0, "stop_sequence", "###")


def test_a_fallback_block_is_carried_as_it_came(message: Write, block: Block, read: Read) -> None:
    data = {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}}
    assert read(message(*block(0, data)))[0] == ev.UnknownBlock(0, "anthropic", data)


def test_an_unknown_blocks_deltas_are_gathered_in_it(message: Write, block: Block, read: Read) -> None:
    deltas = (_text("a"), _text("b"), {"type": "novel_delta", "shade": 7})
    found = read(message(*block(0, {"type": "novel", "text": ""}, *deltas)))
    assert found[0] == ev.UnknownBlock(0, "anthropic", {"type": "novel", "text": "ab", "shade": 7})


def test_unknown_deltas_and_events_are_passed_on_raw(message: Write, block: Block, sse: Write, read: Read) -> None:
    odd = {"type": "content_block_delta", "index": 0, "delta": {"type": "shade_delta", "shade": 7}}
    start, stop = block(0, _TEXT)
    later: Wire = {"type": "of_a_later_year", "x": 1}
    found = read(message(start, odd, stop, later))
    assert found[1] == ev.Unknown("anthropic", json.dumps(odd), "content_block_delta")
    assert found[3] == ev.Unknown("anthropic", json.dumps(later), "of_a_later_year")


def test_a_delta_of_a_block_that_came_whole_is_passed_on_raw(message: Write, block: Block, read: Read) -> None:
    result = {"type": "x_tool_result", "tool_use_id": "s", "content": "found"}
    whole, delta, unknown = read(message(*block(0, result, _text("more"))))[:3]
    assert whole == ev.ServerToolResult(0, "anthropic", "s", result, text="found")
    assert isinstance(delta, ev.Unknown)
    assert isinstance(unknown, ev.ChoiceEnd)


def test_a_start_may_already_hold_content(message: Write, block: Block, read: Read) -> None:
    stream = message(*block(1, _TEXT, _text("b"))).replace(
        b'"content": []', b'"content": [{"type": "text", "text": "a"}]'
    )
    assert [event.text for event in read(stream) if isinstance(event, ev.TextDelta)] == ["a", "b"]


def test_a_frame_that_has_not_ended_is_pending() -> None:
    parser = DIALECT.parser()
    parser.feed(b"event: ping\ndata: {}\n\nevent: pi")
    assert parser.pending == len(b"event: pi")


def test_bedrocks_metrics_ride_on_the_finish(message: Write, read: Read) -> None:
    metrics = b'"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}'
    stream = message().replace(b'{"type": "message_stop"}', b'{"type": "message_stop", ' + metrics + b"}")
    assert read(stream)[-1] == ev.Finish(_own({"amazon-bedrock-invocationMetrics": {"inputTokenCount": 3}}))


def test_a_done_marker_is_tolerated_but_ends_nothing(message: Write, block: Block, read: Read) -> None:
    stream = message(*block(0, _TEXT, _text("hi")))
    assert read(stream + b"data: [DONE]\n\n") == read(stream)
    cut = stream[: stream.index(b"event: message_stop")] + b"data: [DONE]\n\n"
    end = parse(DIALECT, [cut])[-1]
    assert isinstance(end, ev.Fault)
    assert end.kind is Kind.TRUNCATED


def test_frames_named_by_data_alone_or_by_event_alone_are_understood(message: Write, block: Block, read: Read) -> None:
    stream = message(*block(0, _TEXT, _text("hi")))
    unnamed = b"\n".join(line for line in stream.split(b"\n") if not line.startswith(b"event:"))
    untyped = stream
    for kind in (b"message_start", b"content_block_start", b"content_block_stop", b"message_delta", b"message_stop"):
        untyped = untyped.replace(b'{"type": "' + kind + b'"', b'{"x": 0', 1)
    assert read(unnamed) == read(stream)
    assert [type(event) for event in read(untyped)] == [type(event) for event in read(stream)]


def test_a_stream_without_its_start_begins_with_its_first_block(message: Write, block: Block, read: Read) -> None:
    stream = message(*block(0, _TEXT, _text("hi")))
    headless = stream[stream.index(b"event: content_block_start") :]
    assert read(headless) == read(stream)


def test_text_without_a_block_start_still_counts(message: Write, block: Block, read: Read) -> None:
    _, delta, stop = block(0, _TEXT, _text("hi"))
    thought = {"type": "content_block_delta", "index": 1, "delta": {"type": "thinking_delta", "thinking": "hm"}}
    found = read(message(delta, stop, thought))
    assert found[:3] == [ev.TextStart(0), ev.TextDelta(0, "hi"), ev.TextEnd(0)]
    assert found[3:5] == [ev.ReasoningStart(1), ev.ReasoningDelta(1, "hm")]


def test_input_without_its_call_is_a_fault(message: Write, block: Block, read: Read) -> None:
    _, delta, stop = block(0, _CALL, _json("{}"))
    end = read(message(delta, stop))[-1]
    assert isinstance(end, ev.Fault)
    assert end.kind is Kind.MALFORMED


def test_blocks_left_open_are_closed_at_the_end(message: Write, block: Block, read: Read) -> None:
    start, delta, _ = block(0, _TEXT, _text("hi"))
    assert read(message(start, delta))[:3] == [ev.TextStart(0), ev.TextDelta(0, "hi"), ev.TextEnd(0)]


def test_an_index_that_starts_again_ends_the_block_before(message: Write, block: Block, read: Read) -> None:
    first, delta, _ = block(0, _TEXT, _text("a"))
    found = read(message(first, delta, *block(0, _TEXT, _text("b"))))
    assert found[:5] == [ev.TextStart(0), ev.TextDelta(0, "a"), ev.TextEnd(0), ev.TextStart(1), ev.TextDelta(1, "b")]


def test_gaps_in_the_wires_indexes_are_closed(message: Write, block: Block, read: Read) -> None:
    found = read(message(*block(3, _TEXT, _text("a")), *block(9, _TEXT, _text("b"))))
    assert [event.index for event in found if isinstance(event, ev.TextStart)] == [0, 1]


def test_an_end_without_a_reason_is_told_by_the_calls(message: Write, block: Block, read: Read) -> None:
    called = message(*block(0, _CALL, _json("{}")))
    silent = called.replace(b'"stop_reason": "end_turn"', b'"stop_reason": null')
    assert read(silent)[-2] == ev.ChoiceEnd(0, "tool_calls")
    assert read(message().replace(b'"stop_reason": "end_turn"', b'"x": 1'))[-2] == ev.ChoiceEnd(
        0, "stop", extra=_own({"x": 1})
    )


@pytest.mark.parametrize(
    ("kind", "expected", "status"),
    [
        ("overloaded_error", Kind.OVERLOADED, 529),
        ("rate_limit_error", Kind.RATE_LIMIT, 429),
        ("api_error", Kind.INTERNAL, 500),
        ("timeout_error", Kind.TIMEOUT, 504),
        ("invalid_request_error", Kind.INVALID_REQUEST, 400),
        ("billing_error", Kind.BILLING, 402),
        ("of_a_later_year", Kind.INTERNAL, 500),
    ],
)
def test_an_error_event_is_a_fault_of_its_kind(
    kind: str, expected: Kind, status: int, message: Write, block: Block, sse: Write
) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "no"}}
    begun = message(*block(0, _TEXT, _text("hi")))
    found = parse(DIALECT, [begun[: begun.index(b"event: content_block_stop")] + sse(error) + b"data: more\n\n"])
    fault = found[-1]
    assert isinstance(fault, ev.Fault)
    assert (fault.kind, fault.status, fault.message, fault.code) == (expected, status, "no", kind)
    assert fault.retryable is (status in (429, 500, 504, 529))
    assert isinstance(found[-2], ev.TextDelta)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b'event: error\ndata: {"error": {"type": "overloaded_error", "message": "busy"}}\n\n', "busy"),
        (b'event: error\ndata: {"error": "busy"}\n\n', "busy"),
        (b'event: error\ndata: "busy"\n\n', "busy"),
        (b"event: error\ndata: busy\n\n", "busy"),
        (b'event: error\ndata: {"type": "error"}\n\n', "the upstream failed without saying why"),
        (b'{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}', "busy"),
        (b'{\n  "error": {\n    "message": "busy"\n  }\n}\n', "busy"),
        (b"<html>Bad gateway</html>", "the upstream sent no events but: <html>Bad gateway</html>"),
        (b"", "the upstream's stream was cut off: it brought no message"),
        (b"data: {oh no}\n\n", "the upstream sent an event that is not JSON"),
        (b'event: message_stop\ndata: {"type": "message_stop"}\n\n', "the upstream ended a message that never began"),
    ],
)
def test_errors_of_any_shape_are_faults(stream: bytes, expected: str) -> None:
    (fault,) = parse(DIALECT, [stream])
    assert isinstance(fault, ev.Fault)
    assert fault.message == expected


def test_a_plain_error_in_mid_stream_is_heard(message: Write, block: Block) -> None:
    begun = message(*block(0, _TEXT, _text("hi")))
    cut = begun[: begun.index(b"event: content_block_stop")]
    fault = parse(DIALECT, [cut, b'{"error": {"type": "rate_limit_error", "message": "slow down"}}\n'])[-1]
    assert isinstance(fault, ev.Fault)
    assert (fault.kind, fault.message) == (Kind.RATE_LIMIT, "slow down")


def test_a_whole_message_in_place_of_a_stream_is_read() -> None:
    body = {"type": "message", "id": "msg_1", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}
    events = parse(DIALECT, [json.dumps(body).encode()])
    assert events == DIALECT.parse_reply(json.dumps(body).encode())
    assert assembled(events).choices == (msg.Choice((msg.TextPart("hi"),)),)


def test_a_second_start_with_the_same_id_or_before_any_block_is_ignored(message: Write, block: Block) -> None:
    stream = message(*block(0, _TEXT, _text("hi")))
    start = stream[: stream.index(b"event: content_block_start")]
    twice = start.replace(b"msg_1", b"msg_0") + stream
    assert parse(DIALECT, [twice])[1:] == parse(DIALECT, [stream])[1:]
    again = stream.replace(b"event: content_block_stop", start + b"event: content_block_stop")
    assert parse(DIALECT, [again]) == parse(DIALECT, [stream])


def test_another_message_in_the_middle_of_one_is_a_cut(message: Write, block: Block) -> None:
    stream = message(*block(0, _CALL, _json('{"a')))
    begun = stream[: stream.index(b"event: content_block_stop")]
    fault = parse(DIALECT, [begun + stream.replace(b"msg_1", b"msg_2")])[-1]
    assert isinstance(fault, ev.Fault)
    assert (fault.kind, fault.retryable) == (Kind.TRUNCATED, True)


def test_a_delta_that_does_not_fit_its_block_is_a_fault_and_nothing_follows(message: Write, block: Block) -> None:
    parser = DIALECT.parser()
    events = parser.feed(message(*block(0, _TEXT, _json("{}"))))
    assert isinstance(events[-1], ev.Fault)
    assert events[-1].kind is Kind.MALFORMED
    assert parser.feed(b"data: {}\n\n") == []
    assert parser.finish() == []


def test_broken_utf8_and_half_surrogates_become_replacement_characters(message: Write, block: Block) -> None:
    stream = message(*block(0, _TEXT, _text("A"), _text("B")))
    broken = stream.replace(b'"A"', b'"\xff"').replace(b'"B"', b'"\\ud83d"')
    assert assembled(parse(DIALECT, [broken])).choices[0].parts == (msg.TextPart("\ufffd\ufffd"),)


def test_a_last_frame_without_its_blank_line_counts(message: Write, read: Read) -> None:
    assert read(message().removesuffix(b"\n\n")) == read(message())


def test_a_whole_reply_gives_the_events_of_its_stream() -> None:
    body = {
        "id": "msg_1",
        "type": "message",
        "model": "m",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "secret"},
            {"type": "text", "text": "A", "citations": [{"type": "page_location", "cited_text": "c"}]},
            {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            {"type": "tool_use", "id": "u", "name": "g", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "container": {"id": "c"},
        "usage": {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 4},
    }
    events = DIALECT.parse_reply(json.dumps(body).encode())
    Grammar().advance(events)
    cited = msg.CitationPart("anthropic", {"type": "page_location", "cited_text": "c"}, cited_text="c")
    assert assembled(events) == msg.Reply(
        "msg_1",
        "m",
        (
            msg.Choice(
                (
                    msg.ReasoningPart("hm", msg.Opaque("anthropic", "sig")),
                    msg.ReasoningPart(redacted=msg.Opaque("anthropic", "secret")),
                    msg.TextPart("A", (cited,)),
                    msg.ToolCallPart("t", "f", ""),
                    msg.ToolCallPart("u", "g", '{"a":1}'),
                ),
                "tool_calls",
                extra=_own({"container": {"id": "c"}}),
            ),
        ),
        usage=msg.Usage(5, 2, cache_read_tokens=4),
    )


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"oops", b'{"content": "text"}'])
def test_a_body_that_is_no_message_is_the_upstreams_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault, match="not a message"):
        DIALECT.parse_reply(body)


def test_an_error_in_place_of_a_whole_reply_is_raised_as_what_it_is() -> None:
    with pytest.raises(UpstreamFault, match="busy") as caught:
        DIALECT.parse_reply(b'{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}')
    assert caught.value.kind is Kind.OVERLOADED


_NAMES = st.sampled_from(["type", "index", "delta", "content_block", "message", "text", "usage", "error", "input", "x"])
_TYPES = st.sampled_from(
    [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"),
        *("message_stop", "ping", "error", "text", "thinking", "tool_use", "redacted_thinking", "text_delta"),
        *("thinking_delta", "input_json_delta", "signature_delta", "citations_delta", "x_tool_result", "novel"),
    ]
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=3) | _TYPES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=5),
    max_leaves=12,
)


@given(st.lists(st.fixed_dictionaries({"type": _TYPES | _VALUES}, optional={"index": st.integers(0, 2)}) | _VALUES))
def test_whatever_the_frames_are_the_events_are_legal(frames: list[Any]) -> None:
    """The grammar raises for anything illegal, and the parser raises nothing but an upstream's fault."""
    stream = b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames)
    grammar = Grammar()
    grammar.advance(parse(DIALECT, [stream]))
    assert grammar.ended


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["content_block_start", "content_block_delta", "content_block_stop"])},
            optional={
                "index": st.integers(0, 2),
                "content_block": st.fixed_dictionaries({"type": _TYPES}, optional={"input": _VALUES, "text": _VALUES}),
                "delta": st.fixed_dictionaries(
                    {"type": _TYPES}, optional={"text": st.text(max_size=2), "partial_json": st.just("{"), "x": _VALUES}
                ),
            },
        ),
        max_size=12,
    )
)
def test_whatever_the_blocks_are_the_events_are_legal(frames: list[Wire]) -> None:
    stream = b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames)
    grammar = Grammar()
    grammar.advance(parse(DIALECT, [stream + b'data: {"type": "message_stop"}\n\n']))
    assert grammar.ended
