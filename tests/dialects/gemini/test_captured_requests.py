"""What real clients sent comes back the same after a round trip through the canonical request."""

from __future__ import annotations

import json
from typing import Any

from millstream.core.messages import Message, Request, TextPart, ToolCallPart, ToolResultPart
from millstream.dialects.base import ClientCall, Target
from millstream.dialects.gemini import DIALECT
from millstream.dialects.gemini.fields import camel
from millstream.dialects.gemini.quirks import GeminiQuirks


def around(body: dict[str, Any], model: str, *, stream: bool) -> tuple[Request, dict[str, Any], str]:
    call = ClientCall(json.dumps(body).encode(), model=model, stream=stream, params={"alt": "sse"} if stream else {})
    request = DIALECT.parse_request(call)
    rendered = DIALECT.render_request(request, Target(model, GeminiQuirks(), stream=stream))
    assert rendered.dropped == ()
    found: dict[str, Any] = json.loads(rendered.body)
    return request, found, rendered.path


def plain(value: Any) -> Any:
    """In Google's JSON ``null`` and ``thought: false`` say nothing, and names have two spellings."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        said = {camel(name): one for name, one in value.items() if one is not None}
        return {name: plain(one) for name, one in said.items() if (name, one) != ("thought", False)}
    return value


def test_a_captured_request_makes_the_round_trip_unchanged(captured: dict[str, Any]) -> None:
    model, _, method = captured["path"].partition("/models/")[2].partition(":")
    request, found, path = around(captured["body"], model, stream=method.startswith("stream"))
    assert found == captured["body"]
    assert path == f"/v1beta/models/{model}:{method}"
    assert request.messages


def test_every_call_in_a_captured_request_has_its_answer(captured: dict[str, Any]) -> None:
    request, _, _ = around(captured["body"], "gemini-x", stream=False)
    parts = [part for message in request.messages for part in message.parts]
    calls = [part.id for part in parts if isinstance(part, ToolCallPart)]
    assert [part.call_id for part in parts if isinstance(part, ToolResultPart)] == calls


def test_a_recorded_request_makes_the_round_trip_unchanged(recorded_request: dict[str, Any]) -> None:
    _, found, _ = around(recorded_request, "gemini-2.5-flash", stream=True)
    recorded_request.pop("model", None)
    assert plain(found) == plain(recorded_request)


def test_what_the_gateway_adds_to_a_clients_history_is_rendered_with_it() -> None:
    body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    request = DIALECT.parse_request(ClientCall(json.dumps(body).encode(), model="gemini-2.5-flash"))
    added = (
        Message("assistant", (ToolCallPart("c1", "f", '{"a":1}'),)),
        Message("user", (ToolResultPart("c1", "done"), TextPart("go on"))),
    )
    grown = Request("gemini", request.model, (*request.messages, *added))
    found = json.loads(DIALECT.render_request(grown, Target("gemini-2.5-flash", GeminiQuirks())).body)
    assert found["contents"][1:] == [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}}]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "id": "c1", "response": {"output": "done"}}},
                {"text": "go on"},
            ],
        },
    ]
