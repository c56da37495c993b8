"""Tools and the choice among them → a chat upstream's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millstream.core.messages import (
    Message,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolReferencePart,
    ToolResultPart,
)
from millstream.dialects.openai_chat import schema

Body = Callable[..., dict[str, Any]]

HI = Message("user", (TextPart("hi"),), plain=True)
READ = Tool("Read", "Reads.", {"type": "object", "properties": {"path": {"type": "string"}}})
BASH = Tool("Bash", "Runs.", {"type": "object", "properties": {}})
SEARCH = Tool("web_search", kind="server", origin="anthropic", data={"type": "web_search_20250305"})


def asking(*tools: Tool, messages: tuple[Message, ...] = (HI,), **fields: Any) -> Request:
    return Request("anthropic", "m", messages, tools=tools, **fields)


def names(sent: dict[str, Any]) -> list[str]:
    return [tool["function"]["name"] for tool in sent.get("tools", [])]


def test_tools_are_functions(body: Body) -> None:
    function = {"name": "Read", "description": "Reads.", "parameters": READ.parameters}
    assert body(asking(READ))["tools"] == [{"type": "function", "function": function}]


@pytest.mark.parametrize(
    ("parameters", "written"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"$schema": "x", "type": "object", "properties": {"a": {}}}, None),
    ],
)
def test_parameters_are_always_an_objects(parameters: Any, written: Any, body: Body) -> None:
    sent = body(asking(Tool("f", parameters=parameters)))["tools"][0]["function"]["parameters"]
    assert sent == (written or parameters)


def test_strict_is_said_only_of_schemas_that_can_be_enforced(body: Body) -> None:
    closed = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    tools = (Tool("f", parameters=closed, strict=True), Tool("g", parameters={"type": "object"}, strict=True))
    functions = [tool["function"] for tool in body(asking(*tools))["tools"]]
    assert [function["strict"] for function in functions] == [True, False]
    assert "strict" not in body(asking(*tools), strict_tools=False)["tools"][0]["function"]


@pytest.mark.parametrize(
    ("given", "enforceable"),
    [
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [{"type": "string"}, {"type": "object", "properties": {}}]}, False),
        ({"$defs": {"x": {"type": "object"}}}, False),
        ({"type": "string"}, True),
    ],
)
def test_a_schema_is_enforceable_if_all_its_objects_are_closed(given: dict[str, Any], enforceable: bool) -> None:
    assert schema.is_enforceable(given) is enforceable


def test_moonshot_wants_types_within_unions_and_no_lists_of_items(body: Body) -> None:
    parameters = {
        "type": "object",
        "properties": {
            "type": {"type": "string", "anyOf": [{"enum": ["a"]}, {"type": "string", "minLength": 2}]},
            "pair": {"type": "array", "items": [{"type": "string"}, {"type": "integer"}]},
        },
    }
    assert body(asking(Tool("f", parameters=parameters)), schema="moonshot")["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "type": {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "string", "minLength": 2}]},
            "pair": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
        },
    }
    assert body(asking(Tool("f", parameters=parameters)))["tools"][0]["function"]["parameters"] == parameters


def test_for_moonshot_a_union_at_the_root_becomes_one_object(body: Body) -> None:
    members = [{"properties": {"a": {"type": "string"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}}]
    parameters = {"type": "object", "anyOf": members, "properties": {"c": {}}}
    sent = body(asking(Tool("f", parameters=parameters)), schema="moonshot")["tools"][0]["function"]["parameters"]
    assert sent == {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}, "c": {}}}


def test_free_text_tools_become_functions_where_those_are_unknown(body: Body) -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    tool = Tool("patch", "Patches.", kind="custom", format=grammar)
    nested = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    custom = {"name": "patch", "description": "Patches.", "format": nested}
    assert body(asking(tool), custom_tools=True)["tools"] == [{"type": "custom", "custom": custom}]
    function = body(asking(tool))["tools"][0]["function"]
    assert list(function["parameters"]["properties"]) == ["input"]
    assert "start: x" in function["description"]


def test_cache_marks_of_tools_are_told_only_where_they_are_known(body: Body) -> None:
    marked = Tool("f", parameters={}, cache={"type": "ephemeral"})
    assert "cache_control" not in body(asking(marked))["tools"][0]
    assert body(asking(marked), cache_control=True)["tools"][0]["cache_control"] == {"type": "ephemeral"}


def test_a_deferred_tool_is_sent_once_a_search_has_loaded_it(body: Body) -> None:
    deferred = (
        Tool("WebFetch", deferred=True),
        Tool("DeferredToolPlaceholder", deferred=True),
        Tool("Edit", deferred=True),
    )
    assert names(body(asking(READ, *deferred))) == ["Read"]
    search = Message("assistant", (ToolCallPart("a", "ToolSearch", "{}"),))
    loaded = Message("user", (ToolResultPart("a", (ToolReferencePart("WebFetch"),)),))
    called = Message("assistant", (ToolCallPart("b", "Edit", "{}"),))
    assert names(body(asking(READ, *deferred, messages=(HI, search, loaded, called)))) == ["Read", "WebFetch", "Edit"]


def test_a_tool_that_its_provider_ran_is_left_out_and_the_model_told(render: Any, body: Body) -> None:
    request = asking(READ, SEARCH, tool_choice=ToolChoice("tool", ("web_search",)))
    sent = body(request)
    assert names(sent) == ["Read"]
    assert "tool_choice" not in sent
    assert sent["messages"][0] == {
        "role": "system",
        "content": "The tool web_search is not available here. Say so instead of inventing its results.",
    }
    assert render(request).dropped == ("tools.web_search",)


def test_the_note_joins_the_system_prompt_there_is(body: Body) -> None:
    sent = body(asking(SEARCH, system=(TextPart("Be brief."),)))
    assert sent["messages"][0]["content"].startswith("Be brief.\n\nThe tool web_search is not")
    assert "tools" not in sent


@pytest.mark.parametrize(
    ("quirk", "field", "value"),
    [("web_search_options", "web_search_options", {}), ("plugin", "plugins", [{"id": "web"}])],
)
def test_a_search_alone_may_be_the_providers_own(quirk: str, field: str, value: Any, render: Any, body: Body) -> None:
    assert body(asking(SEARCH), web_search=quirk)[field] == value
    assert render(asking(SEARCH), web_search=quirk).dropped == ()
    assert field not in body(asking(READ, SEARCH), web_search=quirk)


def test_a_tool_whose_name_is_not_taken_is_left_out_and_the_model_told(render: Any, body: Body) -> None:
    request = asking(READ, Tool("mcp.server:tool", parameters={}), Tool("x" * 65, parameters={}))
    assert names(body(request)) == ["Read"]
    assert render(request).dropped == ("tools.mcp.server:tool", f"tools.{'x' * 65}")
    assert len(names(body(request, tool_names=".+"))) == 3


NAMED = {"type": "function", "function": {"name": "Bash"}}


@pytest.mark.parametrize(
    ("choice", "quirks", "written", "tools"),
    [
        (ToolChoice("auto"), {}, None, ["Read", "Bash"]),
        (ToolChoice("none"), {}, "none", ["Read", "Bash"]),
        (ToolChoice("any"), {}, "required", ["Read", "Bash"]),
        (ToolChoice("tool", ("Bash",)), {}, NAMED, ["Read", "Bash"]),
        (ToolChoice("tool", ("Bash",)), {"named_tool_choice": False}, "required", ["Bash"]),
        (ToolChoice("tool", ("Gone",)), {}, None, ["Read", "Bash"]),
        (ToolChoice("auto", ("Bash",)), {"allowed_tools": False}, "auto", ["Bash"]),
        (ToolChoice("any", ("Bash",)), {"allowed_tools": False}, "required", ["Bash"]),
        (
            ToolChoice("any", ("Bash",)),
            {},
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [NAMED]}},
            ["Read", "Bash"],
        ),
    ],
)
def test_the_choice_is_told_as_far_as_the_provider_understands(
    choice: ToolChoice, quirks: dict[str, Any], written: Any, tools: list[str], body: Body
) -> None:
    sent = body(asking(READ, BASH, tool_choice=choice), **quirks)
    assert sent.get("tool_choice") == written
    assert names(sent) == tools


def test_a_choice_that_cannot_be_told_is_asked_for_in_the_system_prompt(body: Body) -> None:
    quirks = {"required_tool_choice": False, "named_tool_choice": False}
    sent = body(asking(READ, BASH, tool_choice=ToolChoice("tool", ("Bash",))), **quirks)
    assert "tool_choice" not in sent
    assert sent["messages"][0]["content"] == "You must call the tool Bash now, whatever else you do."
    sent = body(asking(READ, tool_choice=ToolChoice("any")), **quirks)
    assert "call one of your tools" in sent["messages"][0]["content"]


def test_no_tools_no_choice(body: Body) -> None:
    sent = body(asking(tool_choice=ToolChoice("any"), parallel_tool_calls=False))
    assert "tool_choice" not in sent
    assert "parallel_tool_calls" not in sent


def test_parallel_calls_are_forbidden_where_that_can_be_said(render: Any, body: Body) -> None:
    request = asking(READ, parallel_tool_calls=False)
    assert body(request)["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in body(request, parallel_tool_calls=False)
    assert render(request, parallel_tool_calls=False).dropped == ("parallel_tool_calls",)
