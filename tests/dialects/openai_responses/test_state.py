"""Stored replies as the beginning of the next turn, and the WebSocket's own messages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.errors import ClientFault, Kind, UpstreamFault
from millstream.core.messages import Opaque, Request, TextPart, ToolCallPart, ToolResultPart
from millstream.dialects.base import ClientCall, ReplyContext
from millstream.dialects.openai_responses import DIALECT
from millstream.dialects.openai_responses.state import continued, input_items, referenced, reply_items
from millstream.dialects.openai_responses.websocket import error_message, read_message
from millstream.testing.dialect import assembled

Asked = Callable[..., Request]

PATCH = {"type": "custom", "name": "apply_patch"}
EVENTS: list[ev.Event] = [
    ev.MessageStart("resp_1"),
    ev.ReasoningStart(0),
    ev.ReasoningDelta(0, "hm"),
    ev.ReasoningEnd(0, Opaque("anthropic", "sig")),
    ev.TextStart(1),
    ev.TextDelta(1, "I patch."),
    ev.TextEnd(1),
    ev.ToolCallStart(2, "call_1", "apply_patch"),
    ev.ToolCallDelta(2, '{"input":"x"}'),
    ev.ToolCallEnd(2),
    ev.ChoiceEnd(0, "tool_calls"),
    ev.Finish(),
]


def test_a_stored_reply_is_the_beginning_of_the_next_turn(asked: Asked) -> None:
    first = json.dumps({"model": "m", "input": "Patch it.", "tools": [PATCH]}).encode()
    context = ReplyContext("resp_1", 1, DIALECT.parse_request(ClientCall(first)))
    earlier = [*input_items(first), *reply_items(assembled(EVENTS), context)]
    assert [item["type"] for item in earlier] == ["message", "reasoning", "message", "custom_tool_call"]

    output = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Done"}
    second = {"model": "m", "previous_response_id": "resp_1", "input": [output], "tools": [PATCH]}
    whole = continued(json.dumps(second).encode(), earlier)
    assert "previous_response_id" not in json.loads(whole)
    request = DIALECT.parse_request(ClientCall(whole))
    user, assistant, result = request.messages
    assert user.parts == (TextPart("Patch it."),)
    assert assistant.parts[0].signature == Opaque("anthropic", "sig")  # type: ignore[union-attr]  # a thought
    call = assistant.parts[2]
    assert isinstance(call, ToolCallPart)
    assert (call.id, call.name, call.arguments, call.kind) == ("call_1", "apply_patch", "x", "custom")
    assert isinstance(result.parts[0], ToolResultPart)


def test_references_are_replaced_by_the_items_they_name() -> None:
    stored: dict[str, dict[str, Any]] = {"msg_1": {"type": "message", "role": "user", "content": "before"}}
    body = json.dumps({"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}, {"id": "msg_2"}]}).encode()
    assert referenced(body) == ["msg_1", "msg_2"]
    with pytest.raises(ClientFault) as caught:
        continued(body, [], stored)
    assert (caught.value.kind, "msg_2" in caught.value.message) == (Kind.NOT_FOUND, True)
    both: dict[str, dict[str, Any]] = {**stored, "msg_2": {"type": "reasoning", "id": "rs", "summary": []}}
    assert json.loads(continued(body, [], both))["input"] == list(both.values())


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"input": 5}', b'{"input": [5]}'])
def test_input_that_has_no_items_is_the_clients_fault(body: bytes) -> None:
    with pytest.raises(ClientFault):
        input_items(body)


def test_a_websocket_message_is_the_request_it_would_be_as_a_post() -> None:
    message: dict[str, Any] = {
        "type": "response.create",
        "model": "m",
        "input": [],
        "generate": False,
        "stream_id": "s",
        "background": False,
    }
    create = read_message(json.dumps(message).encode())
    assert json.loads(create.body) == {"model": "m", "input": [], "stream": True}
    assert (create.generate, create.stream_id) == (False, "s")
    assert read_message(b'{"type":"response.create","model":"m"}').generate


@pytest.mark.parametrize("message", [b"", b"[]", b"{}", b'{"type":"response.steer"}', b"\xff"])
def test_other_websocket_messages_are_the_clients_fault(message: bytes) -> None:
    with pytest.raises(ClientFault):
        read_message(message)


def test_an_error_on_a_websocket_has_its_status_and_headers() -> None:
    fault = UpstreamFault("Slow.", Kind.RATE_LIMIT, retry_after=2)
    said = json.loads(error_message(fault, "s"))
    assert (said["type"], said["status"], said["stream_id"]) == ("error", 429, "s")
    assert (said["error"]["code"], said["error"]["headers"]["retry-after"]) == ("rate_limit_exceeded", "2")
    assert json.loads(error_message(ClientFault("bad", param="input"))) == {
        "type": "error",
        "status": 400,
        "error": {"type": "invalid_request_error", "code": "invalid_prompt", "message": "bad", "param": "input"},
    }
