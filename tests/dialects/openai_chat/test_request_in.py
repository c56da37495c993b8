"""A client's request → canonical, and back as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.errors import ClientFault
from millstream.core.messages import (
    CitationPart,
    MediaPart,
    Message,
    Opaque,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    ResponseFormat,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    UnknownPart,
)
from millstream.core.opaque import sign_call_id
from millstream.dialects.base import ClientCall, Target
from millstream.dialects.openai_chat import DIALECT, OpenAIChatQuirks

Parse = Callable[..., Request]


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def test_model_and_streaming_are_peeked_at() -> None:
    envelope = DIALECT.peek(ClientCall(b'{"messages": [{"role": "user"}], "model": "m", "stream": true}'))
    assert (envelope.model, envelope.stream) == ("m", True)
    assert DIALECT.peek(ClientCall(b'{"model": "m", "stream": null}')).stream is False


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ("{}", "model"),
        ('{"model": 7}', "model"),
        ('{"model": "m", "stream": "yes"}', "stream"),
        ("[1]", "the body"),
        ("nonsense", None),
        ("", None),
    ],
)
def test_a_peek_names_what_is_wrong(sent: str, param: str | None) -> None:
    with pytest.raises(ClientFault) as raised:
        DIALECT.peek(ClientCall(sent.encode()))
    assert raised.value.param == param


_PART = "messages[0].content[0]"
_NONE: dict[str, Any] = {"mode": "auto", "tools": []}


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "x"}, {"role": "user"}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
        ({"messages": user({"text": "x"})}, "messages[0].content[0].type"),
        ({"messages": user({"type": "text"})}, "messages[0].content[0].text"),
        ({"messages": user({"type": "image_url", "image_url": {}})}, f"{_PART}.image_url.url"),
        ({"messages": user({"type": "input_audio", "input_audio": {"data": "x"}})}, f"{_PART}.input_audio.format"),
        ({"messages": user({"type": "file", "file": {}})}, f"{_PART}.file.file_data"),
        ({"messages": [{"role": "assistant", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[0].tool_calls[0].function"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": True}, "n"),
        ({"stop": [1]}, "stop[0]"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"function": {"name": "f"}}]}, "tools[0].type"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": _NONE}}, "tool_choice.allowed_tools.tools"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_a_fault_names_the_path(sent: dict[str, Any], param: str, parse: Parse) -> None:
    with pytest.raises(ClientFault) as raised:
        parse(**sent)
    assert raised.value.param == param
    assert param in raised.value.message


def test_the_first_system_message_is_the_system_prompt(parse: Parse) -> None:
    request = parse(messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}])
    assert (request.system, request.system_plain) == ((TextPart("Be brief."),), True)
    assert request.messages == (Message("user", (TextPart("hi"),), plain=True),)


def test_later_system_messages_stay_where_they_are(parse: Parse) -> None:
    roles = ["developer", "system", "user", "system"]
    request = parse(messages=[{"role": role, "content": role} for role in roles])
    assert len(request.system) == 1
    assert [message.role for message in request.messages] == ["system", "user", "system"]


def test_results_that_stand_side_by_side_are_one_turn_of_the_user(parse: Parse) -> None:
    calls = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in ("a", "b")]
    results: list[dict[str, Any]] = [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
    ]
    question = {"role": "user", "content": "go"}
    request = parse(
        messages=[question, {"role": "assistant", "content": None, "tool_calls": calls}, *results, question]
    )
    assert request.messages[1].parts == (ToolCallPart("a", "a", "{}"), ToolCallPart("b", "b", "{}"))
    assert request.messages[2] == Message("user", (ToolResultPart("a", "1"), ToolResultPart("b", (TextPart("2"),))))
    assert request.messages[3].parts == (TextPart("go"),)


def test_every_kind_of_part_is_read(parse: Parse) -> None:
    request = parse(
        messages=user(
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
            {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "video_url", "video_url": {"url": "https://x/y.mp4"}},
            {"type": "hologram", "depth": 3},
        )
    )
    assert request.messages[0].parts == (
        TextPart("a", cache={"type": "ephemeral"}),
        MediaPart("image", "image/png", "AAAA", detail="low"),
        MediaPart("image", url="https://x/y.png"),
        MediaPart("audio", "audio/wav", "UklG"),
        MediaPart("document", "application/pdf", "JVBE", name="a.pdf"),
        MediaPart("document", file_id="file-1"),
        MediaPart("video", url="https://x/y.mp4"),
        UnknownPart("openai_chat", {"type": "hologram", "depth": 3}, asked=True),
    )


def test_an_assistants_parts_are_thoughts_text_refusal_and_calls(parse: Parse) -> None:
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}],
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}},
            {"id": "d", "type": "custom", "custom": {"name": "p", "input": "raw"}},
        ],
    }
    parts = parse(messages=[{"role": "user", "content": "x"}, message]).messages[1].parts
    assert parts == (
        ReasoningPart("hm"),
        TextPart("a"),
        RefusalPart("no"),
        ToolCallPart("c", "f", "{"),
        ToolCallPart("d", "p", "raw", "custom"),
    )


def test_thinking_that_came_from_another_dialect_finds_its_way_back(parse: Parse) -> None:
    """In the form in which ``render`` gave it to the client."""
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "millstream.anthropic.SIG", "index": 0},
        {"type": "reasoning.encrypted", "data": "millstream.anthropic.DATA", "index": 1},
    ]
    message = {"role": "assistant", "content": "a", "reasoning_content": "hm", "reasoning_details": details}
    parts = parse(messages=[{"role": "user", "content": "x"}, message]).messages[1].parts
    assert parts[:2] == (
        ReasoningPart("hm", Opaque("anthropic", "SIG")),
        ReasoningPart(redacted=Opaque("anthropic", "DATA")),
    )


def test_thinking_of_this_dialect_keeps_its_entries(parse: Parse) -> None:
    entry = {"type": "reasoning.text", "text": "hm", "signature": "SIG", "format": "f", "index": 0}
    message = {"role": "assistant", "content": "a", "reasoning_details": [entry]}
    thought = parse(messages=[{"role": "user", "content": "x"}, message]).messages[1].parts[0]
    assert isinstance(thought, ReasoningPart)
    assert thought.text == "hm"
    assert thought.signature is not None
    del entry["text"]
    assert json.loads(thought.signature.value) == [entry]


def test_a_signature_given_back_without_its_text_finds_it_in_the_other_field(parse: Parse) -> None:
    entry = {"type": "reasoning.text", "signature": "millstream.anthropic.SIG", "index": 0}
    message = {"role": "assistant", "content": "a", "reasoning": "hm", "reasoning_details": [entry]}
    parts = parse(messages=[{"role": "user", "content": "x"}, message]).messages[1].parts
    assert parts[0] == ReasoningPart("hm", Opaque("anthropic", "SIG"))


def test_a_call_id_gives_back_the_signature_it_carried(parse: Parse) -> None:
    signature = Opaque("gemini", "SIG")
    signed = sign_call_id("call_1", signature)
    call = {"id": signed, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "tool_call_id": signed, "content": "x"}
    request = parse(messages=[{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [call]}, result])
    assert request.messages[1].parts == (ToolCallPart("call_1", "f", "{}", signature=signature),)
    assert request.messages[2].parts == (ToolResultPart("call_1", "x"),)


def test_sources_of_a_past_answer_are_read(parse: Parse) -> None:
    annotation = {
        "type": "url_citation",
        "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 1},
    }
    message = {"role": "assistant", "content": "a", "annotations": [annotation]}
    part = parse(messages=[{"role": "user", "content": "x"}, message]).messages[1].parts[0]
    assert part == TextPart("a", (CitationPart("openai_chat", annotation, "https://a", "A", None, 0, 1),))


def test_tools_are_read(parse: Parse) -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    request = parse(
        tools=[
            {"type": "function", "function": function},
            {"type": "custom", "custom": {"name": "p", "description": "d", "format": grammar}},
            {"type": "browser_search"},
        ],
        web_search_options={"search_context_size": "low"},
    )
    search = {"web_search_options": {"search_context_size": "low"}}
    assert request.tools == (
        Tool("f", "d", {"type": "object"}, strict=True),
        Tool("p", "d", kind="custom", format={"type": "grammar", "syntax": "lark", "definition": "start: x"}),
        Tool("browser_search", kind="server", origin="openai_chat", data={"type": "browser_search"}),
        Tool("web_search", kind="server", origin="openai_chat", data=search),
    )


@pytest.mark.parametrize(
    ("given_choice", "read_as"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("any")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("tool", ("f",))),
        ({"type": "custom", "custom": {"name": "p"}}, ToolChoice("tool", ("p",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            ToolChoice("any", ("f",)),
        ),
    ],
)
def test_every_choice_of_tools_is_read(given_choice: Any, read_as: ToolChoice, parse: Parse) -> None:
    assert parse(tool_choice=given_choice).tool_choice == read_as


@pytest.mark.parametrize(
    ("fields", "read_as"),
    [
        ({"reasoning_effort": "low"}, Reasoning(effort="low")),
        ({"reasoning_effort": "none"}, Reasoning("disabled")),
        ({"reasoning": {"effort": "high"}}, Reasoning(effort="high")),
        ({"reasoning": {"max_tokens": 2000}}, Reasoning(budget=2000)),
        ({"reasoning": {"enabled": False}}, Reasoning("disabled")),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, Reasoning("enabled", budget=9)),
        ({"thinking": {"type": "disabled"}}, Reasoning("disabled")),
        ({"enable_thinking": True, "thinking_budget": 9}, Reasoning("enabled", budget=9)),
    ],
)
def test_how_much_to_think_is_read_from_any_providers_fields(
    fields: dict[str, Any], read_as: Reasoning, parse: Parse
) -> None:
    found = parse(**fields).reasoning
    assert found is not None
    assert (found.mode, found.effort, found.budget) == (read_as.mode, read_as.effort, read_as.budget)


def test_an_answers_form_is_read(parse: Parse) -> None:
    schema = {"type": "object"}
    inner = {"name": "n", "description": "d", "schema": schema, "strict": True}
    read = parse(response_format={"type": "json_schema", "json_schema": inner}).response_format
    assert read == ResponseFormat("json_schema", "n", schema, True, "d")
    assert parse(response_format={"type": "json_object"}).response_format == ResponseFormat("json_object")
    together = parse(response_format={"type": "json_object", "schema": schema}).response_format
    assert together is not None
    assert (together.kind, together.schema) == ("json_schema", schema)


def test_sampling_and_limits_are_read(parse: Parse) -> None:
    request = parse(
        max_completion_tokens=5,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        seed=7,
        n=2,
        stop="END",
        logprobs=True,
        top_logprobs=3,
        frequency_penalty=0.1,
        presence_penalty=0.2,
        user="u",
        parallel_tool_calls=False,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k) == (5, 0.5, 0.9, 40)
    assert (request.seed, request.n, request.stop, request.logprobs, request.top_logprobs) == (7, 2, ("END",), True, 3)
    assert (request.frequency_penalty, request.presence_penalty, request.user) == (0.1, 0.2, "u")
    assert (request.parallel_tool_calls, request.stream, request.include_usage) == (False, True, True)


_TEXT = {"role": "user", "content": "hi"}
_CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
_SIGNED = {"extra_content": {"google": {"thought_signature": "S"}}}
_UNTYPED = {"id": "a", "function": {"name": "f", "arguments": ""}, "index": 0}
_THINKING = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True}
_FUNCTION_RESULT = {"role": "function", "name": "f", "content": "1"}
_SVG = "data:image/svg+xml;utf8,<svg/>"


def after(*later: dict[str, Any], **assistant: Any) -> dict[str, Any]:
    """A request whose second message is the assistant's."""
    return {"messages": [_TEXT, {"role": "assistant", **assistant}, *later]}


def asking(*parts: Any) -> dict[str, Any]:
    return {"messages": user(*parts)}


_ODDITIES: list[dict[str, Any]] = [
    {"max_tokens": 5, "max_completion_tokens": 6},
    {"stop": None, "n": None, "tools": [], "temperature": None, "metadata": {"a": "b"}, "store": True},
    {"stop": ["END"]},
    {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}, "prediction": {"type": "content"}},
    {"service_tier": "flex", "prompt_cache_key": "k", "verbosity": "low", "logit_bias": {"1": 2}, "min_p": 0.1},
    {"reasoning_effort": "low", "reasoning": {"summary": "auto"}},
    {"thinking": {"type": "enabled", "keep": "all"}, "provider": {"order": ["a"]}, "plugins": [{"id": "web"}]},
    {"web_search_options": {}},
    {"tool_choice": "any"},
    {"tool_choice": {"type": "web_search"}},
    {"response_format": {"type": "text"}},
    {"response_format": {"type": "grammar", "grammar": "x"}},
    {"response_format": {"type": "json_schema", "schema": {"type": "object"}}},
    {"functions": [{"name": "f", "parameters": {"type": "object"}, "x": 1}], "function_call": {"name": "f"}},
    {"functions": [{"name": "f"}], "function_call": "auto"},
    {"tools": [{"type": "function", "function": {"name": "f", "x": 1}, "cache_control": {"type": "ephemeral"}}]},
    {"tools": [{"type": "custom", "custom": {"name": "p", "format": {"type": "text"}}}]},
    {"messages": [{"role": "developer", "name": "n", "content": [{"type": "text", "text": "a"}]}, _TEXT]},
    {"messages": [{"role": "system", "content": "a", "cache_control": {"type": "ephemeral"}}, _TEXT]},
    {"messages": [{"role": "user", "name": "bob", "content": ""}]},
    {"messages": [{"role": "user", "content": []}]},
    asking("a", {"type": "text", "text": "b", "x": 1}),
    asking({"type": "image_url", "image_url": "https://x"}, {"type": "image_url", "image_url": {"url": _SVG, "x": 1}}),
    asking({"type": "file", "file": {"file_data": "JVBE", "filename": "a"}}),
    asking({"type": "file", "file": {"file_data": "https://x", "x": 1}}),
    asking({"type": "input_audio", "input_audio": {"data": "x", "format": "flac"}}),
    asking({"type": "input_audio", "input_audio": "UklG"}, {"type": "input_audio", "input_audio": "https://x"}),
    after(content="", refusal=None, tool_calls=[]),
    after(content=None, refusal="no", name="n"),
    after(content=[_THINKING, {"type": "text", "text": "a"}]),
    after(content="a", reasoning="x", reasoning_details=[{"type": "reasoning.text", "text": "x"}]),
    after(audio={"id": "audio_1"}),
    after(content="a", annotations=[{"type": "url_citation", "url_citation": {}}]),
    after({"role": "tool", "tool_call_id": "a", "name": "f", "content": ""}, tool_calls=[_UNTYPED]),
    after(_FUNCTION_RESULT, content=None, function_call={"name": "f", "arguments": "{}"}),
    after(content=None, tool_calls=[{**_CALL, **_SIGNED}]),
]


@pytest.mark.parametrize("sent", _ODDITIES)
def test_whatever_way_it_was_written_it_comes_out_the_same(sent: dict[str, Any], parse: Parse, body: Any) -> None:
    assert body(parse(**sent), custom_tools=True) == {"model": "m", "messages": [_TEXT], **sent}


_FIELDS = ["role", "content", "type", "text", "tool_calls", "id", "function", "name", "arguments", "image_url", "url"]
_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=4),
)


@given(_JSON)
def test_any_json_is_read_or_refused(value: Any) -> None:
    for field in ("messages", "tools", "tool_choice", "response_format", "reasoning", "stop"):
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], field: value}
        try:
            request = DIALECT.parse_request(ClientCall(json.dumps(body).encode()))
        except ClientFault:
            continue
        DIALECT.render_request(request, Target("m", OpenAIChatQuirks()))
