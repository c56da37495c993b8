"""What a client of the Responses API gets for a reply, whatever dialect its upstream speaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import pytest

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import Opaque, Usage
from millstream.dialects.base import ReplyContext
from millstream.dialects.openai_responses import DIALECT
from millstream.dialects.openai_responses.emit import BARE, bare
from millstream.dialects.openai_responses.parse import ResponsesParser
from millstream.dialects.openai_responses.render import HANDLERS, ResponsesRenderer
from millstream.testing.dialect import assembled

Said = Callable[..., list[dict[str, Any]]]
Asked = Callable[..., Any]

START = ev.MessageStart("chatcmpl-1", "kimi", 1700000000)
STOP: list[ev.Event] = [ev.ChoiceEnd(0, "stop"), ev.Finish()]
CALLED: list[ev.Event] = [ev.ChoiceEnd(0, "tool_calls"), ev.Finish()]


def text(index: int, *pieces: str) -> list[ev.Event]:
    return [ev.TextStart(index), *(ev.TextDelta(index, piece) for piece in pieces), ev.TextEnd(index)]


def call(index: int, name: str, *pieces: str, call_id: str = "call_1", **start: Any) -> list[ev.Event]:
    deltas = [ev.ToolCallDelta(index, piece) for piece in pieces]
    return [ev.ToolCallStart(index, call_id, name, **start), *deltas, ev.ToolCallEnd(index)]


def types(payloads: list[dict[str, Any]]) -> list[str]:
    return [payload["type"].removeprefix("response.") for payload in payloads]


def output(payloads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = payloads[-1]["response"]["output"]
    return found


def test_every_event_has_its_form_or_is_known_to_have_none() -> None:
    without_handler = {ev.TextDelta, ev.ToolCallDelta, ev.ReasoningDelta, ev.ToolCallStart}
    assert set(get_args(ev.Event)) == without_handler | set(HANDLERS) | {ev.Unknown}


def test_a_text_comes_in_the_order_sdks_insist_on(said: Said) -> None:
    payloads = said([START, *text(0, "Hel", "lo"), ev.Usage(Usage(3, 2, 1, reasoning_tokens=0)), *STOP])
    assert types(payloads) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert [payload["sequence_number"] for payload in payloads] == list(range(10))
    where = {"item_id": "msg_1_0", "output_index": 0, "content_index": 0}
    item_id = payloads[2]["item"]["id"]
    assert [payload["delta"] for payload in payloads[4:6]] == ["Hel", "lo"]
    assert {name: payloads[4][name] for name in where} == {**where, "item_id": item_id}
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hello"}
    item = {"id": item_id, "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    assert (payloads[6]["text"], payloads[7]["part"], payloads[8]["item"]) == ("Hello", part, item)
    assert payloads[-1]["response"]["output"] == [item]
    assert payloads[-1]["response"]["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    }


def test_the_response_repeats_its_request_with_every_field_there(said: Said) -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}}
    asked = {
        "instructions": "Be brief.",
        "tools": [tool],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "max_output_tokens": 50,
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "metadata": {"a": "b"},
        "store": False,
        "previous_response_id": "resp_0",
        "prompt_cache_key": "k",
        "client_metadata": {"private": "x"},
    }
    response = said([START, *text(0, "hi"), *STOP], **asked)[0]["response"]
    assert response == {
        "id": "chatcmpl-1",
        "object": "response",
        "created_at": 1700000000,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": "kimi",
        "output": [],
        "usage": None,
        "background": False,
        "completed_at": None,
        "frequency_penalty": 0.0,
        "instructions": "Be brief.",
        "max_output_tokens": 50,
        "max_tool_calls": None,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "presence_penalty": 0.0,
        "previous_response_id": "resp_0",
        "prompt_cache_key": "k",
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 0.5,
        "text": {
            "format": {"type": "json_schema", "name": "n", "description": None, "schema": {}, "strict": False},
            "verbosity": "low",
        },
        "tool_choice": "required",
        "tools": [{**tool, "description": None, "strict": None}],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }


def test_without_an_upstreams_id_model_or_time_the_gateways_are_used(said: Said) -> None:
    response = said([ev.MessageStart(), *STOP])[-1]["response"]
    assert (response["id"], response["model"], response["created_at"]) == ("resp_own", "m", 1700000000)


def test_thoughts_text_and_calls_are_items_in_their_order(said: Said) -> None:
    thought: list[ev.Event] = [ev.ReasoningStart(0), ev.ReasoningDelta(0, "hm"), ev.ReasoningEnd(0)]
    payloads = said([START, *thought, *text(1, "hi"), *call(2, "f", '{"a"', ":1}"), *CALLED])
    assert types(payloads)[2:] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    reasoning, message, function_call = output(payloads)
    assert reasoning["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert message["content"][0]["text"] == "hi"
    assert (function_call["call_id"], function_call["name"], function_call["arguments"]) == ("call_1", "f", '{"a":1}')
    assert [item["output_index"] for item in payloads if "item" in item] == [0, 0, 1, 1, 2, 2]


def test_a_call_without_arguments_has_an_empty_object(said: Said) -> None:
    payloads = said([START, *call(0, "f"), *CALLED])
    assert output(payloads)[0]["arguments"] == "{}"
    assert "function_call_arguments.delta" in types(payloads)


def test_neighbouring_texts_are_parts_of_one_message(said: Said) -> None:
    payloads = said([START, *text(0, "one"), *text(1, "two"), *call(2, "f"), *text(3, "three"), *CALLED])
    assert [[part["text"] for part in item["content"]] for item in output(payloads) if item["type"] == "message"] == [
        ["one", "two"],
        ["three"],
    ]
    assert [item["type"] for item in output(payloads)] == ["message", "function_call", "message"]


def test_blocks_that_overlap_are_items_that_overlap(said: Said) -> None:
    events: list[ev.Event] = [
        START,
        ev.TextStart(0),
        ev.ToolCallStart(1, "c1", "f"),
        ev.TextDelta(0, "a"),
        ev.ToolCallStart(2, "c2", "g"),
        ev.ToolCallDelta(1, "{}"),
        ev.ToolCallDelta(2, '{"b":2}'),
        ev.TextDelta(0, "b"),
        ev.ToolCallEnd(2),
        ev.TextEnd(0),
        ev.ToolCallEnd(1),
        *CALLED,
    ]
    payloads = said(events)
    assert [item["type"] for item in output(payloads)] == ["message", "function_call", "function_call"]
    assert output(payloads)[0]["content"][0]["text"] == "ab"
    assert [item.get("arguments") for item in output(payloads)] == [None, "{}", '{"b":2}']


def test_only_the_first_of_several_answers_is_said(said: Said) -> None:
    second: list[ev.Event] = [
        ev.TextStart(1, choice=1),
        ev.TextDelta(1, "other"),
        ev.Citation(1, "openai_responses", {"type": "url_citation", "url": "http://a"}),
        ev.TextEnd(1),
        ev.ReasoningStart(2, choice=1),
        ev.ReasoningDelta(2, "hm"),
        ev.ReasoningEnd(2),
        ev.ToolCallStart(3, "c", "f", choice=1),
        ev.ToolCallDelta(3, "{}"),
        ev.ToolCallEnd(3),
        ev.ServerToolResult(4, "openai_responses", "c", {"type": "web_search_call"}, choice=1),
        ev.Media(5, "image/png", "AAAA", choice=1),
        ev.UnknownBlock(6, "openai_responses", {"type": "compaction"}, choice=1),
    ]
    ends: list[ev.Event] = [ev.ChoiceEnd(1, "length"), ev.ChoiceEnd(0, "stop"), ev.Finish()]
    payloads = said([START, *text(0, "first"), *second, *ends])
    assert types(payloads)[-1] == "completed"
    assert [item["content"][0]["text"] for item in output(payloads)] == ["first"]


def test_a_refusal_is_a_part_of_its_own_kind(said: Said) -> None:
    events: list[ev.Event] = [START, ev.TextStart(0, kind="refusal"), ev.TextDelta(0, "No."), ev.TextEnd(0)]
    payloads = said([*events, ev.ChoiceEnd(0, "refusal"), ev.Finish()])
    assert types(payloads)[3:7] == ["content_part.added", "refusal.delta", "refusal.done", "content_part.done"]
    assert output(payloads)[0]["content"] == [{"type": "refusal", "refusal": "No."}]
    assert types(payloads)[-1] == "completed"


@pytest.mark.parametrize(
    ("reason", "said_reason"),
    [
        ("length", "max_output_tokens"),
        ("context_window", "max_output_tokens"),
        ("pause", "max_output_tokens"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
    ],
)
def test_an_answer_that_was_cut_short_is_incomplete_and_says_why(said: Said, reason: Any, said_reason: str) -> None:
    payloads = said([START, *text(0, "half"), ev.ChoiceEnd(0, reason), ev.Finish()])
    assert types(payloads)[-1] == "incomplete"
    response = payloads[-1]["response"]
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": said_reason})
    assert response["output"][0]["status"] == "incomplete"


def test_citations_of_pages_are_annotations_over_the_text_they_support(said: Said) -> None:
    cited: list[ev.Event] = [
        START,
        ev.TextStart(0),
        ev.TextDelta(0, "Rome"),
        ev.Citation(0, "anthropic", {"type": "web_search_result_location"}, "http://a", "A"),
        ev.Citation(0, "anthropic", {"type": "char_location"}, cited_text="x"),
        ev.TextEnd(0),
        *STOP,
    ]
    annotation = {"type": "url_citation", "url": "http://a", "title": "A", "start_index": 0, "end_index": 4}
    payloads = said(cited)
    assert [payload["annotation"] for payload in payloads if "annotation" in payload] == [annotation]
    assert output(payloads)[0]["content"][0]["annotations"] == [annotation]


def test_a_page_that_the_provider_only_gave_the_address_of_has_all_fields_the_api_requires(said: Said) -> None:
    bare = {"type": "url_citation", "url": "http://a"}
    cited: list[ev.Event] = [
        START,
        ev.TextStart(0),
        ev.TextDelta(0, "Rome"),
        ev.Citation(0, "openai_responses", bare, "http://a"),
        ev.Citation(0, "openai_responses", {"type": "file_citation", "file_id": "f", "index": 4}),
        ev.TextEnd(0),
        *STOP,
    ]
    annotations = output(said(cited))[0]["content"][0]["annotations"]
    assert annotations[0] == {**bare, "title": "", "start_index": 0, "end_index": 4}
    assert annotations[1] == {"type": "file_citation", "file_id": "f", "index": 4}


def test_another_providers_signature_comes_back_as_its_own(said: Said, asked: Asked) -> None:
    thought: list[ev.Event] = [
        ev.ReasoningStart(0),
        ev.ReasoningDelta(0, "hm"),
        ev.ReasoningEnd(0, Opaque("anthropic", "sig==")),
        ev.ReasoningStart(1, redacted=Opaque("anthropic", "hidden")),
        ev.ReasoningEnd(1),
        *call(2, "f")[:-1],
        ev.ToolCallEnd(2, Opaque("gemini", "call-sig")),
    ]
    items = output(said([START, *thought, *CALLED]))
    assert [item["type"] for item in items] == ["reasoning", "reasoning", "function_call", "reasoning"]
    parts = asked(input=items).messages[0].parts
    assert [type(part).__name__ for part in parts] == ["ReasoningPart", "ReasoningPart", "ToolCallPart"]
    assert (parts[0].text, parts[0].signature, parts[0].redacted) == ("hm", Opaque("anthropic", "sig=="), None)
    assert (parts[1].signature, parts[1].redacted) == (None, Opaque("anthropic", "hidden"))
    assert parts[2].signature == Opaque("gemini", "call-sig")


def test_the_signature_of_a_call_that_comes_whole_rides_in_its_id(asked: Asked, payloads: Any) -> None:
    signed: list[ev.Event] = [*call(0, "f", "{}")[:-1], ev.ToolCallEnd(0, Opaque("gemini", "call-sig"))]
    renderer = DIALECT.renderer(ReplyContext("r", 1, asked()))
    (item,) = output(payloads(renderer.render([START, *signed, *CALLED])))
    result = {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
    said, given = asked(input=[item, result]).messages
    assert (said.parts[0].id, said.parts[0].signature) == ("call_1", Opaque("gemini", "call-sig"))
    assert (given.parts[0].call_id, given.parts[0].name) == ("call_1", "f")


def test_own_encrypted_reasoning_is_given_as_it_is(said: Said) -> None:
    thought: list[ev.Event] = [
        ev.ReasoningStart(0, id="rs_9"),
        ev.ReasoningEnd(0, Opaque("openai_responses", "rs_9|gAAA")),
    ]
    item = output(said([START, *thought, *STOP]))[0]
    assert item == {"id": "rs_9", "type": "reasoning", "summary": [], "encrypted_content": "gAAA"}


PATCH = {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
AGENTS = {
    "type": "namespace",
    "name": "agents",
    "description": "Sub-agents.",
    "tools": [{"type": "function", "name": "spawn", "parameters": {"type": "object"}}, {**PATCH, "name": "note"}],
}
SEARCH = {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}}


def test_a_function_called_for_a_free_text_tool_streams_as_that_tool(said: Said) -> None:
    pieces = ['{"inp', 'ut": "*** Begin', " Patch\\", "n*** End", ' Patch"}']
    payloads = said([START, *call(0, "apply_patch", *pieces), *CALLED], tools=[PATCH])
    assert types(payloads)[2:-1] == [
        "output_item.added",
        *["custom_tool_call_input.delta"] * 4,
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    deltas = [payload["delta"] for payload in payloads if "delta" in payload]
    assert deltas == ["*** Begin", " Patch", "\n*** End", " Patch"]
    item = output(payloads)[0]
    assert (item["type"], item["name"], item["input"]) == (
        "custom_tool_call",
        "apply_patch",
        "*** Begin Patch\n*** End Patch",
    )


def test_a_free_text_tool_called_in_an_unforeseen_way_still_gets_its_text(said: Said) -> None:
    payloads = said([START, *call(0, "apply_patch", '{"patch":', '"diff"}'), *CALLED], tools=[PATCH])
    assert output(payloads)[0]["input"] == "diff"


def test_a_free_text_call_of_an_upstream_that_knows_such_tools_is_passed_on(said: Said) -> None:
    payloads = said([START, *call(0, "apply_patch", '{"raw', '"', kind="custom"), *CALLED], tools=[PATCH])
    assert output(payloads)[0]["input"] == '{"raw"'


@pytest.mark.parametrize(
    ("name", "pieces", "expected"),
    [
        ("agents__spawn", ["{}"], {"type": "function_call", "name": "spawn", "namespace": "agents", "arguments": "{}"}),
        (
            "agents__note",
            ['{"input":"hi"}'],
            {"type": "custom_tool_call", "name": "note", "namespace": "agents", "input": "hi"},
        ),
        ("agents__unknown", ["{}"], {"type": "function_call", "name": "agents__unknown", "arguments": "{}"}),
        (
            "tool_search",
            ['{"query":', '"x"}'],
            {"type": "tool_search_call", "execution": "client", "arguments": {"query": "x"}},
        ),
        ("tool_search", ["not json"], {"type": "tool_search_call", "execution": "client", "arguments": "not json"}),
    ],
)
def test_calls_of_flattened_tools_come_back_as_what_they_were(
    said: Said, name: str, pieces: list[str], expected: dict[str, Any]
) -> None:
    item = output(said([START, *call(0, name, *pieces), *CALLED], tools=[AGENTS, SEARCH]))[0]
    assert item.pop("call_id") == "call_1"
    assert item.pop("status") == "completed"
    assert item.pop("id")
    assert item == expected


def test_ids_that_occur_twice_are_made_unique(said: Said) -> None:
    payloads = said([START, *call(0, "f", call_id=""), *call(1, "f", call_id="c"), *call(2, "f", call_id="c"), *CALLED])
    call_ids = [item["call_id"] for item in output(payloads)]
    assert len(set(call_ids)) == 3
    assert "" not in call_ids
    assert call_ids[1] == "c"


def test_another_providers_web_search_is_ours_and_its_other_tools_calls_of_a_remote_server(said: Said) -> None:
    events: list[ev.Event] = [
        START,
        *call(0, "web_search", '{"query":"ruby"}', call_id="srv_1", kind="server"),
        ev.ServerToolResult(1, "anthropic", "srv_1", {"content": []}, text="Ruby 4"),
        *call(2, "code_execution", '{"code":"1"}', call_id="srv_2", kind="server"),
        ev.ServerToolResult(3, "anthropic", "srv_2", {"content": []}, text="1"),
        *call(4, "web_search", call_id="srv_3", kind="server"),
        *STOP,
    ]
    search, code, unanswered = output(said(events))
    assert (search["type"], search["status"], search["action"]) == (
        "web_search_call",
        "completed",
        {"type": "search", "query": "ruby"},
    )
    assert (code["type"], code["name"], code["arguments"], code["output"], code["server_label"]) == (
        "mcp_call",
        "code_execution",
        '{"code":"1"}',
        "1",
        "anthropic",
    )
    assert unanswered["status"] == "incomplete"


def test_items_of_this_apis_own_upstream_are_kept_verbatim(said: Said) -> None:
    search = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}}
    begun = {**search, "status": "in_progress"}
    alone = {"type": "file_search_call", "id": "fs", "queries": ["q"], "results": None}
    compaction = {"type": "compaction", "id": "cmp", "encrypted_content": "e"}
    program = {"type": "program_output", "result": "r"}
    image = {"type": "image_generation_call", "id": "ig", "size": "1x1", "quality": "low"}
    events: list[ev.Event] = [
        START,
        *call(
            0, "web_search", '{"query":"q"}', call_id="ws", kind="server", extra={"openai_responses": {"item": begun}}
        ),
        ev.ServerToolResult(1, "openai_responses", "ws", search),
        ev.ServerToolResult(2, "openai_responses", "fs", alone),
        ev.UnknownBlock(3, "openai_responses", compaction),
        ev.UnknownBlock(4, "openai_responses", program),
        ev.UnknownBlock(5, "anthropic", {"type": "container_upload"}),
        ev.ServerToolResult(6, "anthropic", "nowhere", {}),
        ev.Media(7, "image/webp", "AAAA", extra={"openai_responses": {"item": image}}),
        *STOP,
    ]
    payloads = said(events)
    final = {**image, "status": "completed", "output_format": "webp", "result": "AAAA"}
    assert output(payloads) == [search, alone, compaction, program, final]
    assert next(payload["item"] for payload in payloads if "item" in payload) == begun


def test_parts_of_one_upstream_message_stay_in_it_and_its_phase_is_said(said: Said) -> None:
    def part(index: int, text: str, **item: str) -> list[ev.Event]:
        start = ev.TextStart(index, extra={"openai_responses": {"item": {"type": "message", **item}}})
        return [start, ev.TextDelta(index, text, {"openai_responses": {"other": 1}}), ev.TextEnd(index)]

    events = [
        START,
        *part(0, "a", id="m1", phase="commentary"),
        *part(1, "b", id="m1", phase="commentary"),
        *part(2, "c", id="m2", phase="final_answer"),
        *STOP,
    ]
    assert [
        (item["id"], item["phase"], [part["text"] for part in item["content"]]) for item in output(said(events))
    ] == [
        ("m1", "commentary", ["a", "b"]),
        ("m2", "final_answer", ["c"]),
    ]


def test_a_server_call_under_an_id_in_use_leaves_the_earlier_one_unanswered(said: Said) -> None:
    twice = [*call(0, "web_search", call_id="s", kind="server"), *call(1, "web_search", call_id="s", kind="server")]
    found = output(said([START, *twice, ev.ServerToolResult(2, "anthropic", "s", {}), *STOP]))
    assert [item["status"] for item in found] == ["incomplete", "completed"]


def test_a_failure_keeps_what_was_under_way_as_incomplete(said: Said) -> None:
    under_way: list[ev.Event] = [
        ev.TextStart(0),
        ev.TextDelta(0, "half"),
        ev.ReasoningStart(1),
        ev.ReasoningDelta(1, "hm"),
        *call(2, "web_search", call_id="s", kind="server"),
        ev.ToolCallStart(3, "c", "tool_search"),
        ev.ToolCallDelta(3, '{"q'),
    ]
    fault = ev.Fault.of(UpstreamFault("cut", Kind.TRUNCATED))
    message, thought, served, search = output(said([START, *under_way, fault], tools=[SEARCH]))
    assert (message["status"], message["content"][0]["text"]) == ("incomplete", "half")
    assert thought["summary"][0]["text"] == "hm"
    assert (served["status"], search["status"]) == ("incomplete", "incomplete")


def test_an_image_is_the_item_of_the_tool_that_makes_them_other_media_are_mentioned(said: Said) -> None:
    media: list[ev.Event] = [
        ev.Media(0, "image/jpeg", "AAAA"),
        ev.Media(1, "video/mp4", url="http://v"),
        ev.Media(2, "audio/wav", "BBBB"),
    ]
    image, video, audio = output(said([START, *media, *STOP]))
    assert (image["type"], image["result"], image["output_format"]) == ("image_generation_call", "AAAA", "jpeg")
    assert video["content"][0]["text"] == "http://v"
    assert "audio/wav" in audio["content"][0]["text"]


def test_a_failure_is_said_in_both_forms_and_then_nothing_more(said: Said, asked: Asked) -> None:
    fault = ev.Fault.of(UpstreamFault("Too many.", Kind.RATE_LIMIT, retry_after=2.5))
    payloads = said([START, *text(0, "done"), *call(1, "f", '{"a')[:2], fault])
    assert types(payloads)[-2:] == ["error", "failed"]
    response = payloads[-1]["response"]
    message = "Too many. Please try again in 2.5s."
    assert payloads[-2]["error"] == {
        "type": "rate_limit_error",
        "code": "rate_limit_exceeded",
        "message": message,
        "param": None,
    }
    assert (response["status"], response["error"]) == ("failed", {"code": "rate_limit_exceeded", "message": message})
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]
    renderer = DIALECT.renderer(ReplyContext("r", 1, asked()))
    assert renderer.render([START, fault])
    assert renderer.render([ev.Fault.of(UpstreamFault("again", Kind.TIMEOUT))]) == b""
    assert renderer.keepalive() == b""


def test_a_failure_before_anything_else_still_begins_with_created(said: Said) -> None:
    fault = ev.Fault.of(UpstreamFault("Gone.", Kind.UNREACHABLE))
    payloads = said([fault])
    assert types(payloads) == ["created", "in_progress", "error", "failed"]
    assert payloads[-1]["response"]["error"] == {"code": "server_error", "message": "Gone."}


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (Kind.CONTEXT_LENGTH, "context_length_exceeded"),
        (Kind.BILLING, "insufficient_quota"),
        (Kind.INVALID_REQUEST, "invalid_prompt"),
        (Kind.OVERLOADED, "server_error"),
        (Kind.TRUNCATED, "server_error"),
    ],
)
def test_the_code_tells_codex_whether_to_try_again(said: Said, kind: Kind, code: str) -> None:
    assert said([START, ev.Fault.of(UpstreamFault("x", kind))])[-1]["response"]["error"]["code"] == code


def test_silence_is_filled_with_the_state_so_far_under_the_last_number(asked: Asked) -> None:
    renderer = DIALECT.renderer(ReplyContext("r", 1, asked()))
    assert renderer.keepalive() == b": keepalive\n\n"
    before = renderer.render([START, *text(0, "hi")])
    last = json.loads(before.decode().strip().rpartition("data: ")[2])["sequence_number"]
    name, data = renderer.keepalive().decode().strip().split("\n")
    again = json.loads(data.removeprefix("data: "))
    assert name == "event: response.in_progress"
    assert (again["sequence_number"], again["response"]["status"]) == (last, "in_progress")
    assert b'"sequence_number":%d,' % (last + 1) in renderer.render(call(1, "f"))


def test_silence_is_filled_with_items_under_way_as_far_as_they_are(asked: Asked) -> None:
    renderer = ResponsesRenderer(ReplyContext("r", 1, asked(tools=[PATCH])), BARE)
    under_way: list[ev.Event] = [
        START,
        ev.ReasoningStart(0),
        ev.ReasoningDelta(0, "hm"),
        ev.TextStart(1),
        ev.TextDelta(1, "ha"),
        *call(2, "apply_patch", '{"input":"x')[:2],
    ]
    renderer.frames(under_way)
    thought, message, patch = json.loads(renderer.keepalive())["response"]["output"]
    assert thought["summary"][0]["text"] == "hm"
    assert (message["status"], message["content"][0]["text"]) == ("in_progress", "ha")
    assert (patch["status"], patch["input"]) == ("in_progress", "x")


def test_a_further_try_keeps_the_id_and_goes_on_counting(asked: Asked, payloads: Callable[[bytes], Any]) -> None:
    context = ReplyContext("r", 1, asked(), started=True, start=ev.MessageStart("resp_first", "first"))
    renderer = DIALECT.renderer(context)
    found = payloads(renderer.render([ev.MessageStart("resp_second", "second"), *text(0, "hi"), *STOP]))
    assert types(found)[0] == "output_item.added"
    assert found[0]["sequence_number"] == 2
    assert found[-1]["response"]["id"] == "resp_first"


def test_where_others_have_begun_the_reply_silence_is_only_a_comment_until_we_go_on_with_it(asked: Asked) -> None:
    context = ReplyContext("r", 1, asked(), started=True, start=ev.MessageStart("resp_first", "first"))
    renderer = DIALECT.renderer(context)
    assert renderer.keepalive() == b": keepalive\n\n"
    renderer.render([ev.MessageStart("resp_second")])
    assert b'"id":"resp_first"' in renderer.keepalive()


def test_a_second_start_says_nothing(asked: Asked) -> None:
    renderer = DIALECT.renderer(ReplyContext("r", 1, asked()))
    assert renderer.render([START])
    assert renderer.render([ev.MessageStart("other")]) == b""


def test_frames_are_numbered_by_their_place_so_that_a_stored_reply_can_be_resumed(asked: Asked) -> None:
    events: list[ev.Event] = [START, *text(0, "a", "b"), *call(1, "f"), *CALLED]
    frames = ResponsesRenderer(ReplyContext("r", 1, asked()), BARE).frames(events)
    assert [json.loads(frame)["sequence_number"] for frame in frames] == list(range(len(frames)))
    stream = DIALECT.renderer(ReplyContext("r", 1, asked())).render(events)
    assert [json.loads(frame.partition(b"data: ")[2]) for frame in stream.split(b"\n\n") if frame] == [
        json.loads(frame) for frame in frames
    ]


def test_events_on_a_websocket_may_carry_the_id_of_their_stream(asked: Asked) -> None:
    frames = ResponsesRenderer(ReplyContext("r", 1, asked()), bare("s1")).frames([START, *text(0, "a"), *STOP])
    assert {json.loads(frame)["stream_id"] for frame in frames} == {"s1"}


def test_the_object_of_a_running_reply_can_be_asked_for_at_any_time(asked: Asked) -> None:
    renderer = ResponsesRenderer(ReplyContext("r", 1, asked()))
    assert json.loads(renderer.snapshot("queued"))["status"] == "queued"
    renderer.render([START, *text(0, "hi"), *call(1, "f"), *CALLED])
    final = json.loads(renderer.snapshot())
    assert final["status"] == "completed"
    assert len(final["output"]) == 2
    assert json.loads(renderer.snapshot("cancelled"))["status"] == "cancelled"


def test_a_whole_reply_is_what_the_stream_ended_with(asked: Asked, said: Said) -> None:
    events: list[ev.Event] = [
        ev.MessageStart("resp_1", "m", 5),
        ev.ReasoningStart(0, id="rs"),
        ev.ReasoningDelta(0, "hm"),
        ev.ReasoningEnd(0, Opaque("anthropic", "sig")),
        *text(1, "hi"),
        *call(2, "apply_patch", '{"input":"x"}'),
        ev.Usage(Usage(1, 2)),
        *CALLED,
    ]
    context = ReplyContext("r", 1, asked(tools=[PATCH]))
    whole = json.loads(DIALECT.render_reply(assembled(events), context))
    assert whole == said(events, tools=[PATCH])[-1]["response"]


def test_log_probabilities_are_said_with_their_text_and_at_the_end(said: Said) -> None:
    logprobs = [{"token": "hi", "logprob": -0.5, "bytes": [104, 105], "top_logprobs": []}]
    extra = {"openai_responses": {"logprobs": logprobs}}
    payloads = said([START, ev.TextStart(0), ev.TextDelta(0, "hi", extra), ev.TextEnd(0), *STOP])
    assert payloads[4]["logprobs"] == logprobs
    assert output(payloads)[0]["content"][0]["logprobs"] == logprobs


def test_what_an_upstream_of_this_api_remarks_reaches_the_client(asked: Asked, payloads: Any) -> None:
    response = {
        "id": "resp_u",
        "model": "gpt",
        "status": "completed",
        "service_tier": "flex",
        "billing": {"payer": "d"},
    }
    final = {**response, "temperature": 0.1, "completed_at": 9, "output": []}
    events = ResponsesParser().feed_message(json.dumps({"type": "response.completed", "response": final}).encode())
    renderer = DIALECT.renderer(ReplyContext("r", 1, asked(temperature=0.9)))
    last = payloads(renderer.render(events))[-1]["response"]
    assert (last["service_tier"], last["billing"], last["completed_at"]) == ("flex", {"payer": "d"}, 9)
    assert last["temperature"] == 0.9
