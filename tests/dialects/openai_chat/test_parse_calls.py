"""Streams → events: tool calls, however they are cut up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.errors import Kind
from millstream.core.messages import Opaque, Reply, TextPart, ToolCallPart

Chunk = Callable[..., dict[str, Any]]
Read = Callable[..., list[ev.Event]]
Fold = Callable[..., Reply]


def piece(index: int | None = 0, arguments: Any = None, name: str | None = None, **more: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    call: dict[str, Any] = {"function": function, **more}
    return call if index is None else {"index": index, **call}


def calls(reply: Reply) -> list[tuple[str, str, str]]:
    parts = [part for part in reply.choices[0].parts if isinstance(part, ToolCallPart)]
    return [(part.id, part.name, part.arguments) for part in parts]


@pytest.fixture
def called(chunk: Chunk, fold: Fold) -> Callable[..., list[tuple[str, str, str]]]:
    """The calls of a stream whose chunks hold these lists of pieces."""

    def folded(*chunks: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
        return calls(fold(*(chunk({"tool_calls": pieces}) for pieces in chunks), chunk({}, "tool_calls")))

    return folded


def test_a_call_comes_in_pieces(chunk: Chunk, read: Read) -> None:
    first = piece(0, "", "Bash", id="call_1", type="function")
    events = read(
        chunk({"content": None, "tool_calls": [first]}),
        chunk({"tool_calls": [piece(0, '{"a"')]}),
        chunk({"tool_calls": [piece(0, ":1}")]}),
        chunk({}, "tool_calls"),
    )
    assert events[1:] == [
        ev.ToolCallStart(0, "call_1", "Bash"),
        ev.ToolCallDelta(0, '{"a":1}'),
        ev.ToolCallEnd(0),
        ev.ChoiceEnd(0, "tool_calls"),
        ev.Finish(),
    ]


def test_whole_calls_share_a_chunk(called: Any) -> None:
    pieces = [piece(0, "{}", "f", id="aaaaaaaaa"), piece(1, '{"x":1}', "g", id="bbbbbbbbb")]
    assert called(pieces) == [("aaaaaaaaa", "f", "{}"), ("bbbbbbbbb", "g", '{"x":1}')]


def test_calls_without_an_index_are_told_apart_by_their_ids(called: Any) -> None:
    first, second = piece(None, '{"a"', "f", id="a"), piece(None, "{}", "g", id="b")
    assert called([first], [piece(None, ":1}")], [second]) == [("a", "f", '{"a":1}'), ("b", "g", "{}")]


def test_parallel_calls_may_all_have_the_same_index(called: Any) -> None:
    """Google's endpoint of this API."""
    assert called([piece(0, "{}", "f", id="a")], [piece(0, "{}", "f", id="b")]) == [("a", "f", "{}"), ("b", "f", "{}")]


@pytest.mark.parametrize("later", [{"id": "a"}, {"id": ""}, {"id": None, "type": None}, {}])
@pytest.mark.parametrize("name", ["f", "", None])
def test_ids_and_names_of_later_pieces_say_nothing_new(later: dict[str, Any], name: str | None, called: Any) -> None:
    assert called([piece(0, '{"a"', "f", id="a")], [piece(0, ":1}", name, **later)]) == [("a", "f", '{"a":1}')]


def test_interleaved_calls_keep_their_pieces(called: Any) -> None:
    started = [piece(0, "", "f", id="a"), piece(1, "", "g", id="b")]
    rest = [[piece(0, '{"a"')], [piece(1, '{"b"')], [piece(0, ":1}")], [piece(1, ":2}")]]
    assert called(started, *rest) == [("a", "f", '{"a":1}'), ("b", "g", '{"b":2}')]


def test_a_complete_call_ends_when_the_next_begins(chunk: Chunk, read: Read) -> None:
    events = read(
        chunk({"tool_calls": [piece(0, '{"a":1}', "f", id="a")]}),
        chunk({"tool_calls": [piece(1, '{"b"', "g", id="b")]}),
        chunk({"tool_calls": [piece(1, ":2}")]}),
        chunk({}, "tool_calls"),
    )
    assert [type(event).__name__ for event in events[1:5]] == [
        "ToolCallStart",
        "ToolCallDelta",
        "ToolCallEnd",
        "ToolCallStart",
    ]


def test_a_call_without_arguments_may_still_get_some_after_the_next_began(chunk: Chunk, read: Read) -> None:
    events = read(
        chunk({"tool_calls": [piece(0, "", "f", id="a"), piece(1, "", "g", id="b")]}),
        chunk({"tool_calls": [piece(0, "{}")]}),
        chunk({}, "tool_calls"),
    )
    assert [event for event in events if isinstance(event, ev.ToolCallDelta)] == [ev.ToolCallDelta(0, "{}")]


def test_a_blank_after_a_finished_call_is_nothing_but_more_is_a_fault(chunk: Chunk, read: Read) -> None:
    both = chunk({"tool_calls": [piece(0, "{}", "f", id="a"), piece(1, "{}", "g", id="b")]})
    assert isinstance(read(both, chunk({"tool_calls": [piece(0, "\n")]}), chunk({}, "tool_calls"))[-1], ev.Finish)
    fault = read(both, chunk({"tool_calls": [piece(0, '{"a":1}')]}), chunk({}, "tool_calls"))[-1]
    assert isinstance(fault, ev.Fault)
    assert fault.kind is Kind.MALFORMED


@pytest.mark.parametrize(("sent", "read_as"), [("", ""), (None, ""), ("{}", "{}"), ("null", ""), ({"a": 1}, '{"a":1}')])
def test_arguments_may_be_missing_empty_or_an_object(sent: Any, read_as: str, called: Any) -> None:
    assert called([piece(0, sent, "f", id="a")]) == [("a", "f", read_as)]


def test_an_empty_list_of_calls_is_nothing(chunk: Chunk, fold: Fold) -> None:
    assert fold(chunk({"content": "a", "tool_calls": []}, "stop")).choices[0].parts == (TextPart("a"),)


def test_a_missing_type_is_a_function_and_a_missing_id_is_made_up(chunk: Chunk, fold: Fold) -> None:
    reply = fold(chunk({"tool_calls": [piece(0, "{}", "f"), piece(1, "{}", "g")]}), chunk({}, "tool_calls"))
    ids = [call_id for call_id, _, _ in calls(reply)]
    assert len(set(ids)) == 2
    assert all(call_id.startswith("call_chatcmpl-1") for call_id in ids)


@pytest.mark.parametrize("call_id", ["functions.Bash:0", "toolu_01A", "fc_1", "0"])
def test_ids_of_any_form_are_kept(call_id: str, called: Any) -> None:
    assert called([piece(0, "{}", "f", id=call_id)]) == [(call_id, "f", "{}")]


def test_a_name_may_come_after_the_id(called: Any) -> None:
    assert called([piece(0, None, None, id="a")], [piece(0, '{"x"', "f")], [piece(0, ":1}")]) == [("a", "f", '{"x":1}')]


def test_a_call_that_never_gets_a_name_is_a_fault(chunk: Chunk, read: Read) -> None:
    fault = read(chunk({"tool_calls": [piece(0, "{}", None, id="a")]}), chunk({}, "tool_calls"))[-1]
    assert isinstance(fault, ev.Fault)
    assert fault.kind is Kind.MALFORMED


def test_free_text_calls_are_read(chunk: Chunk, fold: Fold) -> None:
    first = {"index": 0, "id": "a", "type": "custom", "custom": {"name": "patch", "input": ""}}
    more = {"index": 0, "custom": {"input": "*** Begin"}}
    reply = fold(chunk({"tool_calls": [first]}), chunk({"tool_calls": [more]}), chunk({}, "tool_calls"))
    assert reply.choices[0].parts == (ToolCallPart("a", "patch", "*** Begin", "custom"),)


def test_the_deprecated_function_call_is_a_call(chunk: Chunk, fold: Fold) -> None:
    first, more = {"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": '{"a":1}'}}
    reply = fold(chunk({"content": None, **first}), chunk(more), chunk({}, "function_call"))
    part = reply.choices[0].parts[0]
    assert isinstance(part, ToolCallPart)
    assert (part.name, part.arguments) == ("f", '{"a":1}')
    assert reply.choices[0].finish_reason == "tool_calls"


def test_empty_fields_of_a_call_there_is_not_are_nothing(fold: Fold, chunk: Chunk) -> None:
    """Snowflake's messages have all of them."""
    empty = {"name": "", "arguments": ""}
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, "custom": empty}
    reply = fold(chunk({"function_call": empty, "tool_calls": [call]}), chunk({}, "tool_calls"))
    assert [type(part) for part in reply.choices[0].parts] == [ToolCallPart]


def test_googles_signature_of_a_call_is_kept(chunk: Chunk, fold: Fold) -> None:
    signed = {"google": {"thought_signature": "SIG"}}
    reply = fold(chunk({"tool_calls": [piece(0, "{}", "f", id="a", extra_content=signed)]}), chunk({}, "tool_calls"))
    part = reply.choices[0].parts[0]
    assert isinstance(part, ToolCallPart)
    expected = json.dumps({"extra_content": signed}, separators=(",", ":"))
    assert part.signature == Opaque("openai_chat", expected)


def test_calls_make_stop_a_call_for_tools_and_the_word_is_kept(chunk: Chunk, fold: Fold) -> None:
    """OpenAI says ``stop`` where a tool was forced, and older Ollama always."""
    choice = fold(chunk({"tool_calls": [piece(0, "{}", "f", id="a")]}), chunk({}, "stop")).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.extra == {"openai_chat": {"finish_reason": "stop"}}


def test_text_around_calls_keeps_its_place(chunk: Chunk, fold: Fold) -> None:
    reply = fold(
        chunk({"content": "I look"}),
        chunk({"content": "", "tool_calls": [piece(0, "{}", "f", id="a")]}),
        chunk({"content": "done"}),
        chunk({}, "tool_calls"),
    )
    assert reply.choices[0].parts == (TextPart("I look"), ToolCallPart("a", "f", "{}"), TextPart("done"))
