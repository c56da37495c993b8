"""A whole reply as this API's clients read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from anthropic.types.beta import BetaMessage

from millstream.core import messages as msg
from millstream.dialects.anthropic import DIALECT
from millstream.dialects.base import ReplyContext

Wire = dict[str, Any]
Reply = Callable[..., Wire]


@pytest.fixture
def reply_of(context: Callable[..., ReplyContext]) -> Reply:
    def render(*parts: msg.Part, reason: msg.FinishReason = "stop", request: Wire | None = None, **fields: Any) -> Wire:
        reply = msg.Reply("msg_1", "m", (msg.Choice(parts, reason, **fields.pop("choice", {})),), **fields)
        body: Wire = json.loads(DIALECT.render_reply(reply, context(request=request or {})))
        return body

    return render


def test_every_field_its_readers_know_is_there(reply_of: Reply) -> None:
    body = reply_of(msg.TextPart("hi"), usage=msg.Usage(5, 2))
    BetaMessage.model_validate(body)
    assert body == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "hi", "citations": None}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": None,
            "output_tokens": 2,
            "output_tokens_details": None,
            "server_tool_use": None,
            "service_tier": None,
            "inference_geo": None,
        },
    }


def test_a_reply_without_choices_or_names_is_still_a_message(context: Callable[..., ReplyContext]) -> None:
    body = json.loads(DIALECT.render_reply(msg.Reply("", "", ()), context()))
    assert (body["id"], body["model"], body["content"]) == ("msg_ours", "asked-model", [])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"a": [1.50]}', {"a": [1.5]}),
        ("", {}),
        (" ", {}),
        ('{"a', {"__unparsedToolInput": {"raw": '{"a', "len": 3}}),
        ("[1]", {"__unparsedToolInput": {"raw": "[1]", "len": 3}}),
        ('"ü"', {"__unparsedToolInput": {"raw": '"ü"', "len": 4}}),
    ],
)
def test_arguments_become_an_object_and_broken_ones_are_kept(arguments: str, expected: Wire, reply_of: Reply) -> None:
    body = reply_of(msg.ToolCallPart("c", "f", arguments), reason="tool_calls")
    call = {"type": "tool_use", "id": "c", "name": "f", "input": expected, "caller": {"type": "direct"}}
    assert body["content"] == [call]
    assert body["stop_reason"] == "tool_use"


def test_every_part_has_a_block(reply_of: Reply) -> None:
    web = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    own = {"anthropic": {"$type": "server_tool_use", "caller": {"type": "direct"}}}
    mcp = {"anthropic": {"$type": "mcp_tool_use", "server_name": "files"}}
    cited = msg.CitationPart("openai_chat", {}, url="http://e.org", cited_text="c")
    body = reply_of(
        msg.ReasoningPart("hm", msg.Opaque("gemini", "s")),
        msg.ReasoningPart(redacted=msg.Opaque("anthropic", "x")),
        msg.TextPart("a", (cited, msg.CitationPart("openai_chat", {}))),
        msg.RefusalPart("no"),
        msg.ToolCallPart("s", "web_search", '{"query":"q"}', kind="server", extra=own),
        msg.ServerToolResultPart("anthropic", "s", web),
        msg.ToolCallPart("m", "find", "{}", kind="server", extra=mcp),
        msg.ToolCallPart("t", "browser", '{"q":1}', kind="server"),
        msg.ServerToolResultPart("openai_chat", "t", {}, text="found"),
        msg.ServerToolResultPart("openai_chat", "t", {}),
        msg.ToolCallPart("u", "f", "raw text", kind="custom"),
        msg.ToolCallPart("", "f", "{}", signature=msg.Opaque("gemini", "s")),
        msg.MediaPart(kind="image", media_type="image/png", data="aGk="),
        msg.UnknownPart("anthropic", {"type": "container_upload", "file_id": "f"}),
        msg.UnknownPart("openai_chat", {"type": "other"}),
    )
    BetaMessage.model_validate(body)
    web_citation = {
        "type": "web_search_result_location",
        "cited_text": "c",
        "encrypted_index": "",
        "title": None,
        "url": "http://e.org",
    }
    direct = {"caller": {"type": "direct"}}
    assert body["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "millstream.gemini.s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "a", "citations": [web_citation]},
        {"type": "text", "text": "no", "citations": None},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}, **direct},
        web,
        {"type": "mcp_tool_use", "id": "m", "name": "find", "input": {}, "server_name": "files"},
        {"type": "thinking", "thinking": 'browser {"q":1}', "signature": ""},
        {"type": "thinking", "thinking": "found", "signature": ""},
        {"type": "tool_use", "id": "u", "name": "f", "input": {"input": "raw text"}, **direct},
        {"type": "tool_use", "id": "toolu_msg_ours_11~ms~gemini~cw", "name": "f", "input": {}, **direct},
        {"type": "text", "text": "![generated image](data:image/png;base64,aGk=)", "citations": None},
        {"type": "container_upload", "file_id": "f"},
    ]
    assert body["stop_reason"] == "refusal"


def test_a_client_that_disabled_thinking_gets_none(reply_of: Reply) -> None:
    parts = (msg.ReasoningPart("hm"), msg.ReasoningPart(redacted=msg.Opaque("anthropic", "x")), msg.TextPart("a"))
    body = reply_of(*parts, request={"reasoning": msg.Reasoning("disabled")})
    assert [block["type"] for block in body["content"]] == ["text"]


def test_own_fields_come_back_where_they_were(reply_of: Reply) -> None:
    body = reply_of(
        extra={"anthropic": {"service_tier": "standard"}, "openai_chat": {"system_fingerprint": "f"}},
        choice={"extra": {"anthropic": {"container": {"id": "c"}, "context_management": {"applied_edits": []}}}},
        usage=msg.Usage(30, 2, 20, 4, extra={"anthropic": {"cache_creation": {"ephemeral_5m_input_tokens": 4}}}),
    )
    assert body["service_tier"] == "standard"
    assert body["container"] == {"id": "c"}
    assert body["context_management"] == {"applied_edits": []}
    assert "system_fingerprint" not in body
    usage = body["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (6, 20)
    assert (usage["cache_creation_input_tokens"], usage["cache_creation"]) == (4, {"ephemeral_5m_input_tokens": 4})
