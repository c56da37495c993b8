"""Inputs that once broke something, each in the smallest form that did. All were found by the tests beside this one."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.errors import ClientFault
from millstream.core.messages import Message, Opaque, Request, TextPart, Tool, ToolCallPart, ToolChoice, ToolResultPart
from millstream.dialects.anthropic.schema import closed
from millstream.dialects.base import ClientCall, Target, retry_after_seconds
from millstream.dialects.openai_chat.schema import is_enforceable, of_arguments
from millstream.registry import dialects
from millstream.testing.streams import parse

DIALECTS = dialects()


@pytest.mark.parametrize("frame", [b"data: {\n\n", b"data: null\n\n", b"data: [1]\n\n", b"event: error\ndata: x\n\n"])
def test_a_chat_stream_that_is_one_broken_frame_is_a_fault(frame: bytes) -> None:
    parser = DIALECTS["openai_chat"].parser()
    events = parser.feed(frame) + parser.finish()
    assert isinstance(events[-1], ev.Fault)


def test_what_is_no_field_of_a_gemini_stream_is_no_chunk_of_it_unless_it_is_an_error() -> None:
    gemini = DIALECTS["gemini"]
    last = b'data: {"candidates":[{"finishReason":"STOP"}],"responseId":"good"}\n\n'
    noise = b'datY: {"candidates":[],"responseId":"noise"}\n\n'
    assert parse(gemini, [noise + last]) == parse(gemini, [noise, last]) == parse(gemini, [last])
    error = b'{"error":{"code":503,"message":"no","status":"UNAVAILABLE"}}\n\n'
    assert isinstance(parse(gemini, [b": wait\n\n", error])[-1], ev.Fault)


def test_a_messages_delta_whose_type_is_in_the_events_name_alone_is_read_by_itself_too() -> None:
    parser = DIALECTS["anthropic"].parser()
    parser.feed(b'data: {"type":"message_start","message":{"id":"m"}}\n\n')
    parser.feed(b'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n')
    frame = b'event: content_block_delta\ndata: {"index":0,"delta":{"type":"text_delta","text":"a"}}\n\n'
    assert parser.feed(frame) == parser.feed(frame) == [ev.TextDelta(0, "a")]


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("body", [b'{"model":"\xc6"}', b"\xff", b"", b"[]", b"{", b"[" * 100_000])
def test_a_body_that_is_no_json_is_the_clients_fault(name: str, body: bytes) -> None:
    call = ClientCall(body, model="m", stream=False, params={})
    for read in (DIALECTS[name].parse_request, DIALECTS[name].parse_count):
        with pytest.raises(ClientFault):
            read(call)


DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("name", DIALECTS)
def test_what_is_nested_too_deeply_is_the_clients_fault(name: str) -> None:
    call = ClientCall(b'{"model":"m","x":%s}' % DEEP.encode(), model="m", stream=False, params={})
    with pytest.raises(ClientFault):
        DIALECTS[name].parse_request(call)
    with contextlib.suppress(ClientFault):
        DIALECTS[name].peek(call)


@pytest.mark.parametrize("upstream", DIALECTS)
@pytest.mark.parametrize("kind", ["function", "custom"])
def test_arguments_nested_too_deeply_stay_the_models_own_words(kind: Any, upstream: str) -> None:
    signed = Opaque("openai_chat", DEEP)
    call = ToolCallPart(
        "c1", "tool_search", DEEP, kind, signed, extra={"openai_responses": {"type": "tool_search_call"}}
    )
    turns = (Message("assistant", (call,)), Message("user", (ToolResultPart("c1", "ok"),)))
    request = Request("elsewhere", "m", turns, tools=(Tool("tool_search", kind=kind),))
    sent = DIALECTS[upstream].render_request(request, Target("m", DIALECTS[upstream].quirks()))
    assert b"[[[[" in sent.body


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "additionalProperties": False, "properties": 1},
        {"type": "object", "additionalProperties": False, "required": 0.5, "properties": {"a": {}}},
        {"type": "object", "additionalProperties": False, "required": [{}], "properties": {"a": {}}},
    ],
)
def test_a_schema_of_the_wrong_types_cannot_be_enforced(schema: dict[str, Any]) -> None:
    assert not is_enforceable(schema)


@pytest.mark.parametrize("name", ["anyOf", "oneOf", "$defs", "items"])
def test_a_schema_of_the_wrong_types_does_not_stop_a_translation(name: str) -> None:
    schema = {"type": "object", name: 1}
    assert is_enforceable({name: 1})
    assert of_arguments(schema, "moonshot")["type"] == "object"
    assert closed(schema)["additionalProperties"] is False


def test_a_format_that_is_no_text_is_said_in_words() -> None:
    assert closed({"type": "string", "format": {"x": 1}}) == {"type": "string", "description": '{format: {"x":1}}'}


def test_a_tool_that_the_provider_runs_may_be_among_the_permitted_ones() -> None:
    search = Tool("search", kind="server", origin="openai_chat", data={"type": "web_search"})
    choice = ToolChoice("any", ("search", "f"))
    hi = Message("user", (TextPart("hi"),))
    request = Request("openai_chat", "m", (hi,), tools=(Tool("f"), search), tool_choice=choice)
    chat = DIALECTS["openai_chat"]
    written = json.loads(chat.render_request(request, Target("m", chat.quirks())).body)
    assert written["tool_choice"]["allowed_tools"]["tools"] == [
        {"type": "web_search"},
        {"type": "function", "function": {"name": "f"}},
    ]


@pytest.mark.parametrize("seconds", ["1e400", "inf", "nan", "-1", ""])
def test_a_wait_without_end_is_none(seconds: str) -> None:
    assert retry_after_seconds({"retry-after": seconds}) is None
