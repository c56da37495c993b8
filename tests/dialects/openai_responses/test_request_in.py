"""Requests of Responses clients → the canonical request."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

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
    ServerToolResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolReferencePart,
    ToolResultPart,
    UnknownPart,
)
from millstream.dialects.base import ClientCall, Target
from millstream.dialects.openai_responses import DIALECT
from millstream.dialects.openai_responses.quirks import ResponsesQuirks

NAME = "openai_responses"
Asked = Callable[..., Request]


def test_model_and_streaming_are_read_without_the_rest() -> None:
    envelope = DIALECT.peek(ClientCall(b'{"input": [{"bad": 1}], "model": "m", "stream": true}'))
    assert (envelope.model, envelope.stream) == ("m", True)


def test_a_plain_text_is_one_plain_message(asked: Asked) -> None:
    message = asked(input="Hi").messages[0]
    assert (message.role, message.parts, message.plain) == ("user", (TextPart("Hi"),), True)


def test_settings_have_their_canonical_names(asked: Asked) -> None:
    request = asked(
        instructions="Be brief.",
        stream=True,
        max_output_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=2,
        include=["message.output_text.logprobs"],
        parallel_tool_calls=False,
        reasoning={"effort": "high", "summary": "auto"},
        text={"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": True}, "verbosity": "low"},
        user="u",
        store=False,
        future_field={"x": 1},
    )
    assert request.system == (TextPart("Be brief."),)
    assert request.system_plain
    assert (request.stream, request.max_tokens, request.temperature, request.top_p) == (True, 9, 0.5, 0.9)
    assert (request.top_logprobs, request.logprobs, request.parallel_tool_calls, request.user) == (2, True, False, "u")
    assert request.reasoning == Reasoning("enabled", "high", extra={NAME: {"summary": "auto"}})
    assert request.response_format == ResponseFormat("json_schema", "n", {"a": 1}, strict=True)
    assert request.extra == {
        NAME: {
            "include": ["message.output_text.logprobs"],
            "store": False,
            "future_field": {"x": 1},
            "text": {"verbosity": "low"},
        }
    }


def test_reasoning_can_be_turned_off(asked: Asked) -> None:
    assert asked(reasoning={"effort": "none"}).reasoning == Reasoning("disabled", "none")


def test_messages_of_every_role_keep_their_place(asked: Asked) -> None:
    roles = ["developer", "system", "user", "assistant", "user"]
    request = asked(input=[{"role": role, "content": role} for role in roles])
    assert [message.role for message in request.messages] == roles
    assert [message.parts[0].text for message in request.messages] == roles  # type: ignore[union-attr]  # all texts


def test_an_assistants_items_are_one_turn_and_the_results_of_tools_another(asked: Asked) -> None:
    request = asked(
        input=[
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
            {
                "type": "reasoning",
                "id": "rs",
                "summary": [{"type": "summary_text", "text": "hm"}],
                "encrypted_content": "e",
            },
            {"type": "message", "role": "assistant", "id": "m", "content": [{"type": "output_text", "text": "ok"}]},
            {"type": "function_call", "id": "fc", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "function_call", "id": "fd", "call_id": "b", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
            {"type": "function_call_output", "call_id": "b", "output": "2"},
            {"type": "message", "role": "user", "content": "more"},
        ]
    )
    assert [message.role for message in request.messages] == ["user", "assistant", "user", "user"]
    assistant, results = request.messages[1].parts, request.messages[2].parts
    summary = [{"type": "summary_text", "text": "hm"}]
    assert assistant[0] == ReasoningPart("hm", Opaque(NAME, "rs|e"), id="rs", extra={NAME: {"summary": summary}})
    assert assistant[1] == TextPart("ok", extra={NAME: {"item": {"type": "message", "id": "m"}}})
    assert assistant[2] == ToolCallPart("a", "f", "{}", extra={NAME: {"id": "fc"}})
    assert results == (ToolResultPart("a", "1", name="f"), ToolResultPart("b", "2", name="g"))


def test_parts_of_a_users_message(asked: Asked) -> None:
    request = asked(
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "see"},
                    {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                    {"type": "input_image", "image_url": "https://x/y.png"},
                    {"type": "input_image", "file_id": "file-1", "detail": "auto"},
                    {"type": "input_file", "file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"},
                    {"type": "input_file", "file_url": "https://x/a.pdf"},
                    {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "mp3"}},
                    {"type": "input_hologram", "data": 1},
                ],
            }
        ]
    )
    assert request.messages[0].parts == (
        TextPart("see"),
        MediaPart("image", "image/png", data="AAAA", detail="low"),
        MediaPart("image", url="https://x/y.png"),
        MediaPart("image", file_id="file-1", detail="auto"),
        MediaPart("document", "application/pdf", data="BBBB", name="a.pdf"),
        MediaPart("document", url="https://x/a.pdf"),
        MediaPart("audio", "audio/mpeg", data="CCCC"),
        UnknownPart(NAME, {"type": "input_hologram", "data": 1}, asked=True),
    )


def test_an_assistants_text_has_its_citations_and_refusals_are_their_own(asked: Asked) -> None:
    annotation = {"type": "url_citation", "url": "http://a", "title": "A", "start_index": 0, "end_index": 2}
    content = [
        {"type": "output_text", "text": "ok", "annotations": [annotation]},
        {"type": "refusal", "refusal": "no"},
    ]
    text, refusal = asked(input=[{"role": "assistant", "content": content, "phase": "commentary"}]).messages[0].parts
    assert isinstance(text, TextPart)
    assert text.citations == (CitationPart(NAME, annotation, "http://a", "A", start=0, end=2),)
    assert text.extra == {NAME: {"annotations": [annotation], "item": {"phase": "commentary"}}}
    assert refusal == RefusalPart("no")


def test_results_of_tools_may_be_parts(asked: Asked) -> None:
    output = [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "data:image/png;base64,AA"}]
    part = asked(input=[{"type": "function_call_output", "call_id": "c", "output": output}]).messages[0].parts[0]
    assert part == ToolResultPart("c", (TextPart("x"), MediaPart("image", "image/png", data="AA")))


def test_free_text_calls_and_their_results_are_marked_as_such(asked: Asked) -> None:
    request = asked(
        input=[
            {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": "*** Begin"},
            {"type": "custom_tool_call_output", "call_id": "c", "output": "Done"},
        ]
    )
    assert request.messages[0].parts == (ToolCallPart("c", "apply_patch", "*** Begin", kind="custom"),)
    assert request.messages[1].parts == (ToolResultPart("c", "Done", kind="custom", name="apply_patch"),)


def test_a_call_in_a_namespace_has_the_name_its_tool_has(asked: Asked) -> None:
    tool = {"type": "namespace", "name": "agents", "description": "d", "tools": [{"type": "function", "name": "spawn"}]}
    call = {"type": "function_call", "call_id": "c", "name": "spawn", "namespace": "agents", "arguments": "{}"}
    request = asked(tools=[tool], input=[call])
    assert [found.name for found in request.tools] == ["agents__spawn"]
    assert request.messages[0].parts[0].name == "agents__spawn"  # type: ignore[union-attr]  # a call


@pytest.mark.parametrize(
    "item",
    [
        {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "file_search_call", "id": "fs", "queries": ["q"], "results": None},
        {"type": "code_interpreter_call", "id": "ci", "code": "1", "container_id": "c", "outputs": None},
        {"type": "mcp_call", "id": "mcp", "name": "n", "arguments": "{}", "server_label": "s", "output": "o"},
    ],
)
def test_what_the_provider_ran_is_its_result_verbatim(asked: Asked, item: dict[str, Any]) -> None:
    part = asked(input=[item]).messages[0].parts[0]
    assert isinstance(part, ServerToolResultPart)
    assert (part.call_id, part.data, asked(input=[item]).messages[0].role) == (item["id"], item, "assistant")


@pytest.mark.parametrize(
    ("kind", "role"),
    [
        ("image_generation_call", "assistant"),
        ("computer_call", "assistant"),
        ("local_shell_call", "assistant"),
        ("shell_call", "assistant"),
        ("apply_patch_call", "assistant"),
        ("mcp_list_tools", "assistant"),
        ("mcp_approval_request", "assistant"),
        ("program", "assistant"),
        ("from_the_future", "assistant"),
        ("computer_call_output", "user"),
        ("local_shell_call_output", "user"),
        ("shell_call_output", "user"),
        ("apply_patch_call_output", "user"),
        ("mcp_approval_response", "user"),
        ("compaction_trigger", "user"),
        ("additional_tools", "user"),
    ],
)
def test_items_without_a_canonical_form_are_kept_on_their_side(asked: Asked, kind: str, role: str) -> None:
    item = {"type": kind, "id": "x", "payload": None}
    assert asked(input=[item]).messages == (Message(role, (UnknownPart(NAME, item),)),)  # type: ignore[arg-type]  # a literal by the parameters


def test_a_search_for_tools_is_a_call_and_what_it_found_becomes_callable(asked: Asked) -> None:
    found = {"type": "function", "name": "rate", "parameters": {"type": "object"}, "defer_loading": True}
    request = asked(
        tools=[{"type": "tool_search", "execution": "client", "description": "d", "parameters": {"type": "object"}}],
        input=[
            {"type": "tool_search_call", "id": "t", "call_id": "c", "execution": "client", "arguments": {"query": "x"}},
            {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": [found]},
        ],
    )
    call, result = request.messages[0].parts[0], request.messages[1].parts[0]
    assert isinstance(call, ToolCallPart)
    assert (call.id, call.name, call.arguments) == ("c", "tool_search", '{"query":"x"}')
    assert isinstance(result, ToolResultPart)
    assert (result.call_id, result.content) == ("c", (ToolReferencePart("rate"),))
    search, rate = request.tools
    assert (search.name, search.kind, search.parameters) == ("tool_search", "function", {"type": "object"})
    assert (rate.name, rate.deferred) == ("rate", False)


def test_tools_of_every_kind(asked: Asked) -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    hosted = [
        {"type": "web_search", "external_web_access": True},
        {"type": "mcp", "server_label": "wiki", "server_url": "https://w"},
        {"type": "tool_search"},
        {"type": "local_shell"},
    ]
    request = asked(
        tools=[
            {
                "type": "function",
                "name": "f",
                "description": "d",
                "parameters": {"a": 1},
                "strict": True,
                "async": True,
            },
            {"type": "custom", "name": "p", "description": "d", "format": grammar},
            *hosted,
        ]
    )
    function, custom, *others = request.tools
    assert function == Tool("f", "d", {"a": 1}, strict=True, extra={NAME: {"async": True}})
    assert custom == Tool("p", "d", kind="custom", format=grammar)
    assert [(tool.name, tool.kind, tool.origin, tool.data) for tool in others] == [
        (name, "server", NAME, data)
        for name, data in zip(["web_search", "wiki", "tool_search", "local_shell"], hosted, strict=True)
    ]


def test_a_tool_that_the_providers_search_would_load_is_there_for_all_others(asked: Asked) -> None:
    given = [{"type": "function", "name": "f", "defer_loading": True}, {"type": "tool_search"}]
    request = asked(tools=given)
    assert [tool.deferred for tool in request.tools] == [False, False]
    sent = DIALECT.render_request(request, Target("m", DIALECT.quirks()))
    assert json.loads(sent.body)["tools"] == given


@pytest.mark.parametrize("kind", ["compaction", "item_reference"])
def test_what_stands_for_a_part_of_the_conversation_is_part_of_the_question(asked: Asked, kind: str) -> None:
    item = {"type": kind, "id": "x"}
    assert asked(input=[item]).messages == (Message("user", (UnknownPart(NAME, item, asked=True),)),)


@pytest.mark.parametrize(
    ("given", "mode", "names"),
    [
        ("auto", "auto", ()),
        ("none", "none", ()),
        ("required", "any", ()),
        ({"type": "function", "name": "f"}, "tool", ("f",)),
        ({"type": "custom", "name": "p"}, "tool", ("p",)),
        ({"type": "web_search_preview"}, "tool", ("web_search_preview",)),
        ({"type": "mcp", "server_label": "wiki", "name": "ask"}, "tool", ("wiki",)),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}],
            },
            "any",
            ("f", "image_generation"),
        ),
    ],
)
def test_every_form_of_tool_choice(asked: Asked, given: Any, mode: str, names: tuple[str, ...]) -> None:
    choice = asked(tool_choice=given).tool_choice
    assert isinstance(choice, ToolChoice)
    assert (choice.mode, choice.names) == (mode, names)


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": [5]}, "input[0]"),
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"instructions": ["x"]}, "instructions"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_output_tokens": 1.5}, "max_output_tokens"),
        ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        ({"reasoning": "high"}, "reasoning"),
        ({"reasoning": {"effort": 5}}, "reasoning.effort"),
        ({"text": {"format": {"type": 5}}}, "text.format.type"),
        ({"tool_choice": "maybe"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "function", "name": "f", "parameters": []}]}, "tools[0].parameters"),
        ({"tools": [{"type": "function", "name": "f"}] * 2}, "tools"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": 5}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "name": "f", "call_id": "c"}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": 5}]}, "input[0].output"),
    ],
)
def test_a_fault_names_the_path_of_the_field(asked: Asked, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(ClientFault) as caught:
        asked(**fields)
    assert caught.value.param == path
    assert path in caught.value.message


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_the_clients_fault(body: bytes) -> None:
    with pytest.raises(ClientFault):
        DIALECT.parse_request(ClientCall(body))


def test_a_request_that_goes_on_from_a_stored_one_needs_no_input(asked: Asked) -> None:
    request = asked(input=None, previous_response_id="resp_1")
    assert request.messages == ()
    assert request.extra == {NAME: {"previous_response_id": "resp_1"}}


def test_the_side_door_renames_the_model_and_keeps_what_the_api_knows_of_the_headers() -> None:

    body = b'{"model":"a","input":"hi","odd":[1, 2]}'
    headers = {"authorization": "Bearer x", "originator": "codex_exec", "x-codex-turn": "1", "session-id": "s"}
    sent = DIALECT.forward_request(ClientCall(body, headers), Target("b", ResponsesQuirks()))
    assert json.loads(sent.body) == {"model": "b", "input": "hi", "odd": [1, 2]}
    assert sent.path == "/responses"
    assert sent.headers == {"originator": "codex_exec", "x-codex-turn": "1", "session-id": "s"}
    counting = DIALECT.forward_count(ClientCall(body), Target("b", ResponsesQuirks()))
    assert counting is not None
    assert counting.path == "/responses/input_tokens"
    assert DIALECT.read_count(b'{"object":"response.input_tokens","input_tokens":11}') == 11
    assert DIALECT.read_count(b"<html>") is None
