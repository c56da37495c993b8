"""Tools, and the choice among them, of other APIs' clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import messages as msg
from millstream.dialects.anthropic import AnthropicQuirks
from millstream.dialects.base import UpstreamRequest

Wire = dict[str, Any]
Translate = Callable[..., tuple[Wire, UpstreamRequest]]
Said = Callable[..., msg.Message]

_OBJECT = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}}
_F = msg.Tool("f", "does f", _OBJECT)
_G = msg.Tool("g", parameters={"properties": {}})
_SEARCH = msg.Tool("web_search", kind="server", origin="openai_responses", data={"type": "web_search"})


def test_functions(translate: Translate) -> None:
    body, _ = translate(tools=(_F, _G, msg.Tool("h")))
    assert body["tools"] == [
        {"name": "f", "description": "does f", "input_schema": _OBJECT},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
        {"name": "h", "input_schema": {"type": "object"}},
    ]
    assert "tool_choice" not in body


def test_a_strict_function_has_a_closed_schema_where_that_is_enforced(translate: Translate) -> None:
    strict = msg.Tool("f", None, _OBJECT, strict=True)
    closed = {
        "type": "object",
        "properties": {"a": {"type": "string", "description": "{maxLength: 3}"}},
        "additionalProperties": False,
    }
    assert translate(tools=(strict,))[0]["tools"] == [{"name": "f", "input_schema": closed, "strict": True}]
    loose = AnthropicQuirks(structured_outputs=False)
    assert translate(tools=(strict,), quirks=loose)[0]["tools"] == [{"name": "f", "input_schema": _OBJECT}]


def test_a_free_text_tool_is_a_function_with_one_string(translate: Translate) -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: WORD"}
    (tool,) = translate(tools=(msg.Tool("patch", "edits", kind="custom", format=grammar),))[0]["tools"]
    assert list(tool["input_schema"]["properties"]) == ["input"]
    assert "start: WORD" in tool["description"]


def test_a_server_tool_of_another_provider_is_left_out_and_the_model_told(translate: Translate) -> None:
    forced = msg.ToolChoice("tool", ("web_search",))
    body, rendered = translate(tools=(_SEARCH, _F), tool_choice=forced, system=(msg.TextPart("be brief"),))
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == {"type": "auto"}
    assert body["system"][-1]["text"] == "The tool web_search is not available here."
    assert rendered.dropped == ("tools.web_search",)


def test_a_request_with_nothing_but_that_tool_is_still_answered(translate: Translate) -> None:
    body, rendered = translate(tools=(_SEARCH,), tool_choice=msg.ToolChoice("any"))
    assert not {"tools", "tool_choice"} & set(body)
    assert rendered.dropped == ("tools.web_search",)


def test_deferred_tools_are_sent_once_they_were_loaded_or_called(
    translate: Translate, user: Said, assistant: Said
) -> None:
    tools = tuple(msg.Tool(name, deferred=True) for name in ("loaded", "called", "unknown"))
    history = (
        user("hi"),
        assistant(msg.ToolCallPart("a", "called", "{}")),
        user(msg.ToolResultPart("a", (msg.ToolReferencePart("loaded"),))),
    )
    body, _ = translate(*history, tools=(_F, *tools))
    assert [tool["name"] for tool in body["tools"]] == ["f", "loaded", "called"]
    assert not any("defer_loading" in tool for tool in body["tools"])


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (msg.ToolChoice("auto"), None, {"type": "auto"}),
        (msg.ToolChoice("none"), None, {"type": "none"}),
        (msg.ToolChoice("none"), False, {"type": "none"}),
        (msg.ToolChoice("any"), None, {"type": "any"}),
        (msg.ToolChoice("tool", ("g",)), False, {"type": "tool", "name": "g", "disable_parallel_tool_use": True}),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (None, True, None),
    ],
)
def test_the_choice(
    choice: msg.ToolChoice | None, parallel: bool | None, expected: Wire | None, translate: Translate
) -> None:
    body, _ = translate(tools=(_F, _G), tool_choice=choice, parallel_tool_calls=parallel)
    assert body.get("tool_choice") == expected


def test_a_choice_limited_to_some_tools_offers_only_those(translate: Translate) -> None:
    body, _ = translate(tools=(_F, _G), tool_choice=msg.ToolChoice("any", ("g",)))
    assert [tool["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_history_of_calls_without_tools_still_has_their_names(
    translate: Translate, user: Said, assistant: Said
) -> None:
    """The API refuses calls where no tools are declared; the model must not call them either."""
    history = (user("hi"), assistant(msg.ToolCallPart("a", "f", "{}")), user(msg.ToolResultPart("a", "1")))
    body, _ = translate(*history)
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    assert body["tool_choice"] == {"type": "none"}
