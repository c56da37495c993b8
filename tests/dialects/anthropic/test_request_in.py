"""What a client's request means, and what is said to one that cannot be read."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import messages as msg
from millstream.core.errors import ClientFault
from millstream.core.tokens import estimate
from millstream.dialects.anthropic import DIALECT, AnthropicQuirks
from millstream.dialects.base import ClientCall, Envelope, Target

Wire = dict[str, Any]
Ask = Callable[..., msg.Request]


def _call(body: object) -> ClientCall:
    return ClientCall(json.dumps(body).encode())


def _parts(request: msg.Request, number: int = 0) -> tuple[msg.Part, ...]:
    return request.messages[number].parts


def _user(*blocks: Wire) -> Wire:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("body", "envelope"),
    [
        ({"model": "m"}, Envelope("m")),
        ({"model": "m", "stream": True, "messages": 7}, Envelope("m", stream=True)),
        ({"model": "m", "stream": None}, Envelope("m")),
    ],
)
def test_routing_reads_model_and_streaming_alone(body: Wire, envelope: Envelope) -> None:
    assert DIALECT.peek(_call(body)) == envelope


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "model: Field required"),
        ({"model": 7}, "model: Input should be a valid string"),
        ({"model": "m", "stream": "yes"}, "stream: Input should be a valid boolean"),
        ([], "Input should be a valid dictionary"),
    ],
)
def test_routing_says_what_it_misses(body: object, message: str) -> None:
    with pytest.raises(ClientFault) as caught:
        DIALECT.peek(_call(body))
    assert caught.value.message == message


@pytest.mark.parametrize("body", [b"", b"{oops", b'{"model": "\xff"}', b'{"a": "\\ud83d"}'])
def test_what_is_not_json_is_the_clients_fault(body: bytes) -> None:
    with pytest.raises(ClientFault, match="not valid JSON"):
        DIALECT.peek(ClientCall(body))
    with pytest.raises(ClientFault, match="not valid JSON"):
        DIALECT.parse_request(ClientCall(body))


def test_nesting_has_an_end() -> None:
    with pytest.raises(ClientFault, match="nested too deeply"):
        DIALECT.parse_request(ClientCall(b'{"model": "m", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"))


_CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"messages": None}, "messages: Field required"),
        ({"messages": {}}, "messages: Input should be a valid list"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": ["hi"]}, "messages.0: Input should be a valid dictionary"),
        ({"messages": [{"content": "hi"}]}, "messages.0.role: Field required"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]},
            "messages.1.role: Input should be 'user', 'assistant' or 'system'",
        ),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "messages.0.role: Input should be 'user'"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content: Input should be a valid list"),
        (_user("hi"), "messages.0.content.0: Input should be a valid dictionary"),  # type: ignore[arg-type]  # on purpose
        (_user({"text": "hi"}), "messages.0.content.0.type: Field required"),
        (_user({"type": "text"}), "messages.0.content.0.text.text: Field required"),
        (_user({"type": "text", "text": 7}), "messages.0.content.0.text.text: Input should be a valid string"),
        (
            _user({"type": "text", "text": "a", "citations": ["c"]}),
            "messages.0.content.0.text.citations.0: Input should be a valid dictionary",
        ),
        (_user({"type": "image"}), "messages.0.content.0.image.source: Field required"),
        (
            _user({"type": "image", "source": {"type": "base64", "data": "aGk="}}),
            "messages.0.content.0.image.source.media_type: Field required",
        ),
        (
            _user({"type": "document", "source": {"type": "content"}}),
            "messages.0.content.0.document.source.content: Field required",
        ),
        (
            _user({"type": "document", "source": {"type": "content", "content": [{"type": "text"}]}}),
            "messages.0.content.0.document.source.content.0.text.text: Field required",
        ),
        (_user({"type": "tool_result"}), "messages.0.content.0.tool_result.tool_use_id: Field required"),
        (
            _user({"type": "tool_result", "tool_use_id": "t", "is_error": "no"}),
            "messages.0.content.0.tool_result.is_error: Input should be a valid boolean",
        ),
        (
            _user({"type": "tool_result", "tool_use_id": "t", "content": [_CALL]}),
            "messages.0.content.0.tool_result.content: Input should be text, images",
        ),
        (
            _user({**_CALL, "input": "x"}),
            "messages.0.content.0.tool_use.input: Input should be a valid dictionary",
        ),
        ({"system": 7}, "system: Input should be a valid list"),
        ({"system": [{"type": "text"}]}, "system.0.text.text: Field required"),
        ({"max_tokens": "many"}, "max_tokens: Input should be a valid integer"),
        ({"max_tokens": True}, "max_tokens: Input should be a valid integer"),
        ({"temperature": "hot"}, "temperature: Input should be a valid number"),
        ({"stop_sequences": "###"}, "stop_sequences: Input should be a valid list"),
        ({"stop_sequences": ["a", 7]}, "stop_sequences.1: Input should be a valid string"),
        ({"tools": {}}, "tools: Input should be a valid list"),
        ({"tools": ["f"]}, "tools.0: Input should be a valid dictionary"),
        ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.custom.name: Field required"),
        ({"tools": [{"type": 7}]}, "tools.0.type: Input should be a valid string"),
        ({"tool_choice": "auto"}, "tool_choice: Input should be a valid dictionary"),
        ({"tool_choice": {"type": "all"}}, "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name: Field required"),
        ({"thinking": {}}, "thinking.type: Field required"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1.5}}, "thinking.budget_tokens: Input should be a valid"),
        ({"output_config": {"effort": 3}}, "output_config.effort: Input should be a valid string"),
        (
            {"output_config": {"format": {"type": "grammar"}}},
            "output_config.format.type: Input should be 'json_schema'",
        ),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema: Field required"),
        ({"metadata": "me"}, "metadata: Input should be a valid dictionary"),
    ],
)
def test_a_fault_names_the_path_in_anthropics_words(fields: Wire, message: str, ask: Ask) -> None:
    with pytest.raises(ClientFault) as caught:
        ask(**fields)
    assert caught.value.message.startswith(message)
    assert caught.value.param == message.partition(": ")[0]


def test_the_plain_parts_of_a_request_have_their_names(ask: Ask) -> None:
    request = ask(
        stream=True,
        system="be brief",
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        stop_sequences=["###"],
        metadata={"user_id": "u"},
        service_tier="auto",
    )
    assert request == msg.Request(
        origin="anthropic",
        model="m",
        messages=(msg.Message("user", (msg.TextPart("hi"),), plain=True),),
        system=(msg.TextPart("be brief"),),
        system_plain=True,
        stream=True,
        include_usage=True,
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        stop=("###",),
        user="u",
        extra={"anthropic": {"service_tier": "auto"}},
    )


def test_max_tokens_is_required_of_all_but_those_who_only_count() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(ClientFault) as caught:
        DIALECT.parse_request(_call(body))
    assert (caught.value.message, caught.value.param) == ("max_tokens: Field required", "max_tokens")
    assert DIALECT.parse_count(_call(body)).max_tokens is None


def test_media_have_their_kinds_and_places(ask: Ask) -> None:
    request = ask(
        **_user(
            {"type": "image", "source": {"type": "url", "url": "http://e.org"}},
            {"type": "document", "source": {"type": "file", "file_id": "f"}, "title": "T", "context": "C"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "abc"}},
        )
    )
    assert _parts(request) == (
        msg.MediaPart("image", url="http://e.org"),
        msg.MediaPart("document", file_id="f", name="T", context="C"),
        msg.MediaPart("document", "text/plain", text="abc"),
    )


def test_a_document_of_blocks_is_its_text_and_its_images(ask: Ask) -> None:
    """So that an API whose documents cannot nest is still given all of it."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0K"}}
    content = [{"type": "text", "text": "a"}, image, {"type": "text", "text": "b"}]
    document, picture = _parts(ask(**_user({"type": "document", "source": {"type": "content", "content": content}})))
    assert isinstance(document, msg.MediaPart)
    assert isinstance(picture, msg.MediaPart)
    assert (document.kind, document.text) == ("document", "a\nb")
    assert (picture.kind, picture.media_type, picture.data) == ("image", "image/png", "iVBORw0K")


def test_a_search_result_is_a_document_with_its_source(ask: Ask) -> None:
    block = {
        "type": "search_result",
        "source": "http://e.org",
        "title": "T",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    }
    (part,) = _parts(ask(**_user(block)))
    assert isinstance(part, msg.MediaPart)
    assert (part.kind, part.text, part.name, part.context) == ("document", "a\nb", "T", "http://e.org")


def test_marked_values_regain_their_origin(ask: Ask) -> None:
    blocks: list[Wire] = [
        {"type": "thinking", "thinking": "hm", "signature": "millstream.gemini.sig"},
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "redacted_thinking", "data": "millstream.openai_responses.x"},
        {**_CALL, "id": "c~ms~gemini~c2ln"},
        {"type": "tool_result", "tool_use_id": "c~ms~gemini~c2ln", "content": "done"},
    ]
    assert _parts(ask(**_user(*blocks))) == (
        msg.ReasoningPart("hm", msg.Opaque("gemini", "sig")),
        msg.ReasoningPart("hm"),
        msg.ReasoningPart(redacted=msg.Opaque("openai_responses", "x")),
        msg.ToolCallPart("c", "f", "{}", signature=msg.Opaque("gemini", "sig")),
        msg.ToolResultPart("c", "done"),
    )


def test_server_tools_calls_and_results_are_told_apart_from_the_clients(ask: Ask) -> None:
    result = {"type": "mcp_tool_result", "tool_use_id": "m", "content": [{"type": "text", "text": "found"}]}
    call = {"type": "mcp_tool_use", "id": "m", "name": "find", "server_name": "files", "input": {"q": 1}}
    extra = {"anthropic": {"server_name": "files", "$type": "mcp_tool_use"}}
    assert _parts(ask(**_user(call, result))) == (
        msg.ToolCallPart("m", "find", '{"q":1}', kind="server", extra=extra),
        msg.ServerToolResultPart("anthropic", "m", result, text="found"),
    )


def test_a_compactions_summary_is_text_to_others(ask: Ask) -> None:
    (part,) = _parts(ask(**_user({"type": "compaction", "content": "so far"})))
    assert isinstance(part, msg.TextPart)
    assert part.text == "so far"


def test_tools_have_their_kinds(ask: Ask) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    schema = {"type": "object", "properties": {}}
    plain, deferred, server, toolset = ask(
        tools=[
            {"name": "f", "description": "d", "input_schema": schema, "strict": True, "cache_control": {"x": 1}},
            {"name": "g", "input_schema": schema, "defer_loading": True, "input_examples": []},
            search,
            {"type": "mcp_toolset", "mcp_server_name": "files"},
        ]
    ).tools
    assert plain == msg.Tool("f", "d", schema, strict=True, cache={"x": 1})
    assert deferred == msg.Tool("g", None, schema, deferred=True, extra={"anthropic": {"input_examples": []}})
    assert server == msg.Tool("web_search", kind="server", origin="anthropic", data=search)
    assert (toolset.name, toolset.kind) == ("files", "server")


@pytest.mark.parametrize(
    ("kind", "name", "fields"),
    [
        ("bash_20250124", "bash", {"command", "restart"}),
        ("text_editor_20250728", "str_replace_based_edit_tool", {"command", "path", "old_str", "view_range"}),
        ("memory_20250818", "memory", {"command", "old_path", "new_path"}),
        ("computer_20250124", "computer", {"action", "coordinate", "text"}),
    ],
)
def test_tools_that_the_client_runs_are_functions_with_the_documented_schema(
    kind: str, name: str, fields: set[str], ask: Ask
) -> None:
    size = {"display_width_px": 800, "display_height_px": 600}
    (tool,) = ask(tools=[{"type": kind, "name": name, **size}]).tools
    assert (tool.name, tool.kind) == (name, "function")
    assert tool.parameters is not None
    assert fields <= set(tool.parameters["properties"])
    assert "800x600" in (tool.description or "")


def test_tools_added_on_the_way_join_the_others(ask: Ask) -> None:
    definition = {"name": "g", "input_schema": {"type": "object"}, "defer_loading": True}
    added = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": definition}}
    loaded = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}
    messages = [{"role": "user", "content": "hi"}, {"role": "system", "content": [added, loaded]}]
    tools = [{"name": "f", "input_schema": {"type": "object"}, "defer_loading": True}]
    request = ask(messages=messages, tools=tools)
    assert [(tool.name, tool.deferred) for tool in request.tools] == [("f", True), ("g", False)]
    assert [part.name for part in _parts(request, 1) if isinstance(part, msg.ToolReferencePart)] == ["g", "f"]


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, msg.ToolChoice("auto"), None),
        ({"type": "any", "disable_parallel_tool_use": True}, msg.ToolChoice("any"), False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, msg.ToolChoice("tool", ("f",)), True),
        ({"type": "none"}, msg.ToolChoice("none"), None),
    ],
)
def test_the_choice_of_tools(choice: Wire, expected: msg.ToolChoice, parallel: bool | None, ask: Ask) -> None:
    request = ask(tool_choice=choice)
    assert (request.tool_choice, request.parallel_tool_calls) == (expected, parallel)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048, "display": "updates"}},
            msg.Reasoning("enabled", budget=2048, display="updates"),
        ),
        ({"thinking": {"type": "disabled"}}, msg.Reasoning("disabled")),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, msg.Reasoning("adaptive", "max")),
        ({"output_config": {"effort": "low"}}, msg.Reasoning(effort="low")),
        (
            {"thinking": {"type": "between_tools"}},
            msg.Reasoning("adaptive", extra={"anthropic": {"$type": "between_tools"}}),
        ),
        ({}, None),
    ],
)
def test_thinking_and_effort(fields: Wire, expected: msg.Reasoning | None, ask: Ask) -> None:
    assert ask(**fields).reasoning == expected


@pytest.mark.parametrize("field", ["output_config", "output_format"])
def test_a_schema_for_the_answer_in_its_newer_and_older_place(field: str, ask: Ask) -> None:
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    found = ask(**{field: {"format": wanted} if field == "output_config" else wanted}).response_format
    assert found is not None
    assert (found.kind, found.schema) == ("json_schema", {"type": "object"})


def test_a_large_request_is_read_whole(ask: Ask) -> None:
    data = base64.b64encode(b"x" * 3_000_000).decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    request = ask(**_user(*({"type": "document", "source": source} for _ in range(3))))
    assert [part.data for part in _parts(request) if isinstance(part, msg.MediaPart)] == [data] * 3


def test_a_captured_request_can_be_estimated(captured: Any) -> None:
    """Every part is of a kind that the rest of the gateway knows."""
    request = DIALECT.parse_count(_call(captured))
    assert estimate(request) > len(json.dumps(captured["messages"])) / 6


_WORDS = st.sampled_from(
    [
        *("text", "image", "document", "search_result", "thinking", "redacted_thinking", "tool_use", "tool_result"),
        *("server_tool_use", "tool_addition", "compaction", "web_search_tool_result", "base64", "url", "content"),
        *("user", "assistant", "system", "auto", "enabled", "json_schema", "tool_definition", "novel"),
    ]
)
_KEYS = st.sampled_from(
    [
        *("type", "text", "source", "data", "media_type", "content", "id", "name", "input", "tool_use_id", "tool"),
        *("title", "thinking", "signature", "definition", "citations", "cache_control", "is_error", "effort"),
    ]
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.text(max_size=2) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=15,
)
_BLOCKS = st.lists(
    st.fixed_dictionaries(
        {"type": _WORDS},
        optional={
            "text": st.text(max_size=2),
            "id": st.just("t"),
            "tool_use_id": st.just("t"),
            "name": st.just("f"),
            "title": st.just("T"),
            "input": st.dictionaries(_KEYS, _JSON, max_size=2),
            "source": st.fixed_dictionaries({"type": _WORDS}, optional={"data": st.just("aGk="), "content": _JSON}),
            "content": _JSON,
            "tool": _JSON,
        },
    ),
    max_size=3,
)
_MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": _BLOCKS | _JSON}),
    max_size=3,
)


@given(
    st.fixed_dictionaries(
        {"model": st.just("m"), "max_tokens": st.just(5), "messages": _MESSAGES | _JSON},
        optional=dict.fromkeys(("system", "tools", "tool_choice", "thinking", "output_config", "metadata"), _JSON),
    )
)
def test_any_json_is_understood_or_refused_and_what_is_understood_can_be_said(body: Wire) -> None:
    """No exception but a fault of the client's, for whoever the request is then meant."""
    try:
        request = DIALECT.parse_request(_call(body))
    except ClientFault:
        return
    estimate(request)
    DIALECT.render_request(request, Target("m", AnthropicQuirks()))
    foreign = msgspec.structs.replace(request, origin="openai_chat")
    with contextlib.suppress(ClientFault):
        DIALECT.render_request(foreign, Target("m", AnthropicQuirks()))
