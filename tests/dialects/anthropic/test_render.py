"""What clients of this API are sent, one rule at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from anthropic import APIStatusError
from anthropic.types.beta import BetaMessage

from millstream.core import events as ev
from millstream.core import messages as msg
from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.anthropic import DIALECT
from millstream.dialects.base import ReplyContext

Wire = dict[str, Any]
Render = Callable[..., list[Wire]]


def _start(index: int, block: Wire) -> Wire:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(index: int, kind: str, field: str, value: object) -> Wire:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, field: value}}


def _text(index: int, text: str) -> Wire:
    return _delta(index, "text_delta", "text", text)


def _thought(index: int, text: str) -> Wire:
    return _delta(index, "thinking_delta", "thinking", text)


def _input(index: int, piece: str) -> Wire:
    return _delta(index, "input_json_delta", "partial_json", piece)


def _stop(index: int) -> Wire:
    return {"type": "content_block_stop", "index": index}


def _call(index: int, call_id: str = "c", name: str = "f") -> Wire:
    call = {"caller": {"type": "direct"}, "type": "tool_use", "id": call_id, "name": name, "input": {}}
    return _start(index, call)


_EMPTY_TEXT = {"type": "text", "text": ""}
_EMPTY_THOUGHT = {"type": "thinking", "thinking": "", "signature": ""}
_OWN_SERVER = {"anthropic": {"$type": "server_tool_use"}}


def test_a_message_starts_with_every_field_its_readers_know(render: Render) -> None:
    usage = msg.Usage(20, 2, cache_read_tokens=8, cache_write_tokens=0, reasoning_tokens=1)
    (frame,) = render(ev.MessageStart("msg_1", "m", usage=usage, extra={"anthropic": {"provider": "P"}}))
    assert frame == {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "container": None,
            "provider": "P",
            "usage": {
                "input_tokens": 12,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 8,
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                "output_tokens": 2,
                "output_tokens_details": {"thinking_tokens": 1},
                "server_tool_use": None,
                "service_tier": None,
                "inference_geo": None,
            },
        },
    }


def test_an_upstream_without_id_model_and_usage_gets_ours(render: Render) -> None:
    (frame,) = render(ev.MessageStart())
    assert (frame["message"]["id"], frame["message"]["model"]) == ("msg_ours", "asked-model")
    assert frame["message"]["usage"]["input_tokens"] == 0


def test_a_client_that_has_a_start_is_given_no_other(render: Render) -> None:
    assert render(ev.MessageStart("msg_2"), ev.TextStart(0), started=True) == [_start(0, _EMPTY_TEXT)]


def test_the_end_has_the_last_usage_and_the_reason(render: Render) -> None:
    usage = ev.Usage(msg.Usage(20, 9, 8, None, 4, {"anthropic": {"server_tool_use": {"web_search_requests": 1}}}))
    end = ev.ChoiceEnd(0, "stop_sequence", "###")
    _, delta, stop = render(ev.MessageStart(), ev.Usage(msg.Usage(1, 1)), usage, end, ev.Finish())
    assert delta == {
        "type": "message_delta",
        "delta": {
            "stop_reason": "stop_sequence",
            "stop_sequence": "###",
            "stop_details": None,
            "container": None,
        },
        "usage": {
            "input_tokens": 12,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 8,
            "output_tokens": 9,
            "output_tokens_details": {"thinking_tokens": 4},
            "server_tool_use": {"web_search_requests": 1},
        },
    }
    assert stop == {"type": "message_stop"}


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("content_filter", "refusal"),
        ("refusal", "refusal"),
        ("pause", "pause_turn"),
        ("context_window", "model_context_window_exceeded"),
    ],
)
def test_every_finish_reason_has_its_word(reason: msg.FinishReason, said: str, render: Render) -> None:
    _, delta, _ = render(ev.MessageStart(), ev.ChoiceEnd(0, reason), ev.Finish())
    assert delta["delta"]["stop_reason"] == said
    assert (delta["delta"]["stop_details"] is not None) is (said == "refusal")


def test_the_ends_own_fields_go_back_to_where_they_were(render: Render) -> None:
    own = {
        "$stop_reason": "compaction",
        "container": {"id": "c"},
        "safeguard_results": [1],
        "context_management": {"applied_edits": []},
    }
    end = ev.ChoiceEnd(0, "pause", extra={"anthropic": own, "openai_chat": {"x": 1}})
    _, delta, stop = render(ev.MessageStart(), end, ev.Finish({"anthropic": {"metrics": 7}}))
    assert delta["delta"] == {
        "stop_reason": "compaction",
        "stop_sequence": None,
        "stop_details": None,
        "container": {"id": "c"},
        "safeguard_results": [1],
    }
    assert delta["context_management"] == {"applied_edits": []}
    assert stop == {"type": "message_stop", "metrics": 7}


def test_text_is_streamed_piece_by_piece(say: Render) -> None:
    found = say(ev.TextStart(0), ev.TextDelta(0, 'a "quote"\n'), ev.TextDelta(0, "ü👋"), ev.TextEnd(0), batch=1)
    assert found == [_start(0, _EMPTY_TEXT), _text(0, 'a "quote"\n'), _text(0, "ü👋"), _stop(0)]


def test_thinking_is_signed_at_its_end(say: Render) -> None:
    found = say(ev.ReasoningStart(0), ev.ReasoningDelta(0, "hm"), ev.ReasoningEnd(0, msg.Opaque("anthropic", "sig")))
    signed = _delta(0, "signature_delta", "signature", "sig")
    assert found == [_start(0, _EMPTY_THOUGHT), _thought(0, "hm"), signed, _stop(0)]


def test_a_foreign_signature_is_marked_and_none_is_not_invented(say: Render) -> None:
    marked = say(ev.ReasoningStart(0), ev.ReasoningEnd(0, msg.Opaque("gemini", "sig")))
    assert marked[1] == _delta(0, "signature_delta", "signature", "millstream.gemini.sig")
    assert say(ev.ReasoningStart(0), ev.ReasoningEnd(0)) == [_start(0, _EMPTY_THOUGHT), _stop(0)]


@pytest.mark.parametrize(
    ("origin", "data"), [("anthropic", "x"), ("openai_responses", "millstream.openai_responses.x")]
)
def test_redacted_thinking_is_whole(origin: str, data: str, say: Render) -> None:
    found = say(ev.ReasoningStart(0, redacted=msg.Opaque(origin, "x")), ev.ReasoningEnd(0))
    assert found == [_start(0, {"type": "redacted_thinking", "data": data}), _stop(0)]


def test_thinking_is_kept_from_a_client_that_disabled_it(say: Render) -> None:
    thought = [ev.ReasoningStart(0), ev.ReasoningDelta(0, "hm"), ev.ReasoningEnd(0)]
    answer = [ev.TextStart(1), ev.TextDelta(1, "a"), ev.TextEnd(1)]
    found = say(*thought, *answer, request={"reasoning": msg.Reasoning("disabled")})
    assert found == [_start(0, _EMPTY_TEXT), _text(0, "a"), _stop(0)]


def test_a_call_begins_with_an_empty_piece_also_without_arguments(say: Render) -> None:
    assert say(ev.ToolCallStart(0, "c", "f"), ev.ToolCallEnd(0)) == [_call(0), _input(0, ""), _stop(0)]


def test_a_calls_arguments_are_streamed(say: Render) -> None:
    found = say(
        ev.ToolCallStart(0, "c", "f", extra={"anthropic": {"caller": {"type": "code"}}}),
        ev.ToolCallDelta(0, '{"a":'),
        ev.ToolCallDelta(0, "1}"),
        ev.ToolCallEnd(0),
        batch=1,
    )
    assert found[0]["content_block"]["caller"] == {"type": "code"}
    assert found[1:] == [_input(0, ""), _input(0, '{"a":'), _input(0, "1}"), _stop(0)]


def test_a_call_without_an_id_gets_one_of_its_own(say: Render) -> None:
    found = say(ev.ToolCallStart(0, "", "f"), ev.ToolCallEnd(0), ev.ToolCallStart(1, "", "f"), ev.ToolCallEnd(1))
    ids = [frame["content_block"]["id"] for frame in found if "content_block" in frame]
    assert ids == ["toolu_msg_ours_0", "toolu_msg_ours_1"]


def test_a_calls_signature_rides_in_its_id(say: Render) -> None:
    signature = msg.Opaque("gemini", "sig")
    found = say(ev.ToolCallStart(0, "c", "f"), ev.ToolCallDelta(0, "{}"), ev.ToolCallEnd(0, signature))
    assert found[0] == _call(0, "c~ms~gemini~c2ln")


def test_a_free_text_call_becomes_an_object_with_one_string(say: Render) -> None:
    found = say(
        ev.ToolCallStart(0, "c", "f", kind="custom"),
        ev.ToolCallDelta(0, 'say "hi"'),
        ev.ToolCallDelta(0, "\n"),
        ev.ToolCallEnd(0),
    )
    pieces = [frame["delta"]["partial_json"] for frame in found if "delta" in frame]
    assert json.loads("".join(pieces)) == {"input": 'say "hi"\n'}


def test_blocks_that_overlap_are_written_one_after_another_and_the_first_live(
    context: Callable[..., ReplyContext],
) -> None:
    renderer = DIALECT.renderer(context())

    def step(*events: ev.Event) -> list[str]:
        return [line[6:] for line in renderer.render(events).decode().split("\n") if line.startswith("data: ")]

    assert len(step(ev.MessageStart(), ev.ToolCallStart(0, "a", "f"), ev.ToolCallStart(1, "b", "g"))) == 3
    assert step(ev.ToolCallDelta(1, "{")) == []
    assert step(ev.ToolCallDelta(0, "{")) == [json.dumps(_input(0, "{"), separators=(",", ":"))]
    assert step(ev.TextStart(2), ev.ToolCallDelta(1, "}"), ev.ToolCallEnd(1), ev.TextDelta(2, "t")) == []
    after = [json.loads(line) for line in step(ev.ToolCallDelta(0, "}"), ev.ToolCallEnd(0))]
    assert after == [
        _input(0, "}"),
        _stop(0),
        _call(1, "b", "g"),
        _input(1, ""),
        _input(1, "{"),
        _input(1, "}"),
        _stop(1),
        _start(2, _EMPTY_TEXT),
        _text(2, "t"),
    ]
    assert [json.loads(line) for line in step(ev.TextDelta(2, "u"), ev.TextEnd(2))] == [_text(2, "u"), _stop(2)]


def test_a_waiting_calls_signature_is_found_too(say: Render) -> None:
    found = say(
        ev.TextStart(0),
        ev.ToolCallStart(1, "c", "f"),
        ev.ToolCallEnd(1, msg.Opaque("gemini", "sig")),
        ev.TextEnd(0),
        batch=1,
    )
    assert found[2] == _call(1, "c~ms~gemini~c2ln")


def test_only_the_first_choice_is_said(render: Render) -> None:
    found = render(
        ev.MessageStart(),
        ev.TextStart(0, choice=1),
        ev.TextStart(1, choice=0),
        ev.TextDelta(0, "other"),
        ev.TextDelta(1, "mine"),
        ev.TextEnd(0),
        ev.TextEnd(1),
        ev.ChoiceEnd(1, "length"),
        ev.ChoiceEnd(0, "stop"),
        ev.Finish(),
    )
    assert found[1:4] == [_start(0, _EMPTY_TEXT), _text(0, "mine"), _stop(0)]
    assert found[4]["delta"]["stop_reason"] == "end_turn"


def test_a_refusals_text_is_text_and_the_reason_says_so(render: Render) -> None:
    refusal = [ev.TextStart(0, kind="refusal"), ev.TextDelta(0, "no"), ev.TextEnd(0)]
    found = render(ev.MessageStart(), *refusal, ev.ChoiceEnd(0, "stop"), ev.Finish())
    assert found[2] == _text(0, "no")
    assert found[4]["delta"]["stop_reason"] == "refusal"
    assert found[4]["delta"]["stop_details"] == {"type": "refusal", "category": None, "explanation": None}


def test_calls_make_a_plain_stop_a_stop_for_tools(render: Render) -> None:
    call = [ev.ToolCallStart(0, "c", "f"), ev.ToolCallEnd(0)]
    found = render(ev.MessageStart(), *call, ev.ChoiceEnd(0, "stop"), ev.Finish())
    assert found[-2]["delta"]["stop_reason"] == "tool_use"
    cut = render(ev.MessageStart(), *call, ev.ChoiceEnd(0, "length"), ev.Finish())
    assert cut[-2]["delta"]["stop_reason"] == "max_tokens"


def test_own_citations_come_verbatim_and_foreign_ones_as_web_searches(say: Render) -> None:
    own = {"type": "char_location", "cited_text": "c"}
    found = say(
        ev.TextStart(0, extra={"anthropic": {"citations": []}}),
        ev.Citation(0, "anthropic", own),
        ev.Citation(0, "openai_chat", {"start_index": 0}, url="http://e.org", title="E"),
        ev.Citation(0, "openai_chat", {"file_id": "f"}),
        ev.TextEnd(0),
    )
    web = {"type": "web_search_result_location", "cited_text": "", "encrypted_index": "", "title": "E"}
    assert found == [
        _start(0, {**_EMPTY_TEXT, "citations": []}),
        _delta(0, "citations_delta", "citation", own),
        _delta(0, "citations_delta", "citation", {**web, "url": "http://e.org"}),
        _stop(0),
    ]


def test_own_server_tools_come_verbatim(say: Render) -> None:
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    found = say(
        ev.ToolCallStart(0, "s", "web_search", kind="server", extra=_OWN_SERVER),
        ev.ToolCallDelta(0, "{}"),
        ev.ToolCallEnd(0),
        ev.ServerToolResult(1, "anthropic", "s", result, text="digest"),
    )
    assert found[0]["content_block"]["type"] == "server_tool_use"
    assert found[4:] == [_start(1, result), _stop(1)]


def test_foreign_server_tools_are_told_as_thoughts(render: Render) -> None:
    found = render(
        ev.MessageStart(),
        ev.ToolCallStart(0, "s", "browser", kind="server"),
        ev.ToolCallDelta(0, '{"q":1}'),
        ev.ToolCallEnd(0),
        ev.ServerToolResult(1, "openai_chat", "s", {"x": 1}, text="found"),
        ev.ServerToolResult(2, "openai_chat", "s", {"x": 1}),
        ev.ChoiceEnd(0, "stop"),
        ev.Finish(),
    )
    assert found[1:-2] == [
        _start(0, _EMPTY_THOUGHT),
        _thought(0, "browser "),
        _thought(0, '{"q":1}'),
        _stop(0),
        _start(1, _EMPTY_THOUGHT),
        _thought(1, "found"),
        _stop(1),
    ]
    assert found[-2]["delta"]["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("media", "text"),
    [
        (ev.Media(0, "image/png", data="aGk="), "![generated image](data:image/png;base64,aGk=)"),
        (ev.Media(0, "audio/wav", url="http://e.org/a"), "[generated audio](http://e.org/a)"),
    ],
)
def test_media_become_markdown(media: ev.Media, text: str, say: Render) -> None:
    assert say(media) == [_start(0, _EMPTY_TEXT), _text(0, text), _stop(0)]


def test_unknown_blocks_come_back_as_they_were_and_foreign_ones_not_at_all(say: Render) -> None:
    own = {"type": "fallback", "from": {"model": "a"}}
    assert say(ev.UnknownBlock(0, "openai_chat", {"x": 1}), ev.UnknownBlock(1, "anthropic", own)) == [
        _start(0, own),
        _stop(0),
    ]


def test_a_compactions_summary_comes_in_a_delta(say: Render) -> None:
    found = say(ev.UnknownBlock(0, "anthropic", {"type": "compaction", "content": "so far"}))
    delta = _delta(0, "compaction_delta", "content", "so far")
    assert found == [_start(0, {"type": "compaction", "content": None}), delta, _stop(0)]


def test_unknown_events_are_not_sent(render: Render) -> None:
    """The AI SDK stops at event types it does not know."""
    assert render(ev.Unknown("anthropic", "{}", "novel")) == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind.OVERLOADED, "overloaded_error"),
        (Kind.RATE_LIMIT, "rate_limit_error"),
        (Kind.TRUNCATED, "api_error"),
        (Kind.TIMEOUT, "timeout_error"),
        (Kind.INVALID_REQUEST, "invalid_request_error"),
    ],
)
def test_a_fault_is_an_error_event_that_the_sdk_raises(
    kind: Kind,
    said: str,
    render: Render,
    context: Callable[..., ReplyContext],
    accumulate: Callable[[bytes], BetaMessage],
) -> None:
    fault = ev.Fault.of(UpstreamFault("went wrong", kind))
    error = {"type": "error", "error": {"type": said, "message": "went wrong"}, "request_id": "msg_ours"}
    assert render(fault) == [error]
    begun: list[ev.Event] = [ev.MessageStart(), ev.TextStart(0), ev.TextDelta(0, "a"), fault]
    assert render(*begun)[-1] == error
    with pytest.raises(APIStatusError, match="went wrong"):
        accumulate(DIALECT.renderer(context()).render(begun))


def test_silence_is_filled_with_pings(context: Callable[..., ReplyContext]) -> None:
    assert DIALECT.renderer(context()).keepalive() == b'event: ping\ndata: {"type": "ping"}\n\n'


def test_the_sdk_reads_everything_there_is(
    context: Callable[..., ReplyContext], accumulate: Callable[[bytes], BetaMessage]
) -> None:
    renderer = DIALECT.renderer(context())
    found = accumulate(
        renderer.keepalive()
        + renderer.render(
            [
                ev.MessageStart("msg_1", "m"),
                ev.ReasoningStart(0),
                ev.ReasoningDelta(0, "hm"),
                ev.ReasoningEnd(0, msg.Opaque("gemini", "s")),
                ev.ToolCallStart(1, "functions.Bash:0", "Bash"),
                ev.ToolCallStart(2, "functions.Read:1", "Read"),
                ev.ToolCallDelta(2, '{"file":"a"}'),
                ev.ToolCallDelta(1, ""),
                ev.ToolCallEnd(1),
                ev.ToolCallEnd(2),
                ev.Usage(msg.Usage(10, 4)),
                ev.ChoiceEnd(0, "tool_calls"),
                ev.Finish(),
            ]
        )
    )
    thinking, bash, read = (block.to_dict() for block in found.content)
    assert thinking == {"type": "thinking", "thinking": "hm", "signature": "millstream.gemini.s"}
    assert (bash["id"], bash["name"], bash["input"]) == ("functions.Bash:0", "Bash", {})
    assert (read["id"], read["name"], read["input"]) == ("functions.Read:1", "Read", {"file": "a"})
    assert (found.stop_reason, found.usage.input_tokens, found.usage.output_tokens) == ("tool_use", 10, 4)
