"""Tools and the choice among them: canonical → an upstream's words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from millstream.core.messages import Request, Tool, ToolCallPart, ToolChoice, ToolReferencePart, ToolResultPart
from millstream.dialects.base import custom_as_function
from millstream.dialects.openai_chat import schema, wire
from millstream.dialects.openai_chat.identity import LEGACY_TOOL
from millstream.dialects.openai_chat.quirks import OpenAIChatQuirks
from millstream.dialects.openai_chat.tools_in import GIVEN, WEB_SEARCH

_WEB_SEARCHES = frozenset({"web_search", "web_search_preview", "google_search", "googleSearch"})
_DEMAND = "You must call the tool {} now, whatever else you do."
_DEMAND_ANY = "You must call one of your tools now instead of answering in words."
_NOT_IN_GRAMMARS = ("definition", "syntax")


class ToolsOut:
    """``fields``: ``tools``, ``tool_choice`` and whatever else says them. ``missing`` names the tools that had to be
    left out, ``demands`` are sentences for the system prompt that stand for a choice which cannot be told."""

    def __init__(self, request: Request, quirks: OpenAIChatQuirks) -> None:
        self.fields: dict[str, Any] = {}
        self.dropped: list[str] = []
        self.missing: list[str] = []
        self.demands: list[str] = []
        self._quirks = quirks
        self._own = request.origin == wire.NAME
        self._only_server = bool(request.tools) and all(tool.kind == "server" for tool in request.tools)
        used = frozenset(_names_used(request))
        kept = [tool for tool in request.tools if self._is_sayable(tool, used)]
        choice = self._possible(request.tool_choice, kept)
        if choice is not None and not self._tells_names(choice):
            kept = [tool for tool in kept if tool.name in choice.names]
        self._say_tools(kept)
        self._say_choice(choice, kept, given=request.tool_choice)
        self._say_parallel(request.parallel_tool_calls)

    def _is_sayable(self, tool: Tool, used: frozenset[str]) -> bool:
        if tool.deferred and tool.name not in used:
            return False
        if tool.kind == "server":
            sayable = tool.origin == wire.NAME or self._searches(tool)
        else:
            sayable = self._own or re.fullmatch(self._quirks.tool_names, tool.name) is not None
        if not sayable:
            self.missing.append(tool.name)
            self.dropped.append(f"tools.{tool.name}")
        return sayable

    def _searches(self, tool: Tool) -> bool:
        return self._only_server and self._quirks.web_search != "none" and tool.name in _WEB_SEARCHES

    def _say_tools(self, kept: list[Tool]) -> None:
        tools: list[dict[str, Any]] = []
        functions: list[dict[str, Any]] = []
        for tool in kept:
            if tool.kind == "server":
                self._say_server_tool(tool, tools)
            elif LEGACY_TOOL in wire.own(tool.extra):
                functions.append(self._definition(tool))
            else:
                tools.append(self._tool(tool))
        if tools:
            self.fields["tools"] = tools
        if functions:
            self.fields["functions"] = functions

    def _say_server_tool(self, tool: Tool, tools: list[dict[str, Any]]) -> None:
        data = tool.data or {}
        if tool.origin == wire.NAME and WEB_SEARCH in data:
            self.fields[WEB_SEARCH] = data[WEB_SEARCH]
        elif tool.origin == wire.NAME:
            tools.append(dict(data))
        elif self._quirks.web_search == "plugin":
            self.fields["plugins"] = [{"id": "web"}]
        else:
            self.fields[WEB_SEARCH] = {}

    def _tool(self, tool: Tool) -> dict[str, Any]:
        if tool.kind == "custom" and self._quirks.custom_tools:
            return self._custom(tool)
        if tool.kind == "custom":
            tool = custom_as_function(tool)
        around = {name: value for name, value in wire.own_fields(tool.extra).items() if name != "function"}
        if tool.cache is not None and (self._own or self._quirks.cache_control):
            around["cache_control"] = tool.cache
        return {"type": "function", "function": self._definition(tool), **around}

    def _definition(self, tool: Tool) -> dict[str, Any]:
        definition: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            definition["description"] = tool.description
        if not self._own:
            definition["parameters"] = schema.of_arguments(tool.parameters, self._quirks.schema)
        elif tool.parameters is not None:
            definition["parameters"] = tool.parameters
        if tool.strict is not None and self._quirks.strict_tools:
            enforceable = self._own or schema.is_enforceable(definition["parameters"])
            definition["strict"] = tool.strict and enforceable
        if tool.strict and not definition.get("strict"):
            self.dropped.append("tools[].strict")
        return {**definition, **wire.mapping(wire.own(tool.extra), "function")}

    def _custom(self, tool: Tool) -> dict[str, Any]:
        definition: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            definition["description"] = tool.description
        if tool.format is not None:
            definition["format"] = _nested(tool.format)
        around = wire.own_fields(tool.extra)
        inner = around.pop("custom", {})
        return {"type": "custom", "custom": {**definition, **inner}, **around}

    def _possible(self, choice: ToolChoice | None, kept: list[Tool]) -> ToolChoice | None:
        """The choice as far as its tools are there; one that is left without any becomes ``auto``."""
        if choice is None or not choice.names:
            return choice
        names = tuple(name for name in choice.names if any(tool.name == name for tool in kept))
        return ToolChoice(choice.mode, names, choice.extra) if names else ToolChoice("auto")

    def _tells_names(self, choice: ToolChoice) -> bool:
        """Whether ``tool_choice`` itself can name them."""
        if not choice.names:
            return True
        if choice.mode == "tool":
            return self._quirks.named_tool_choice
        return self._quirks.allowed_tools

    def _say_choice(self, choice: ToolChoice | None, kept: list[Tool], *, given: ToolChoice | None) -> None:
        if choice is None or not (kept or self._own):
            return
        own = wire.own(choice.extra)
        if GIVEN in own:
            self.fields["tool_choice"] = own[GIVEN]
            return
        demanded = choice.mode in ("any", "tool")
        if demanded and not self._quirks.required_tool_choice:
            named = choice.mode == "tool" and choice.names
            self.demands.append(_DEMAND.format(choice.names[0]) if named else _DEMAND_ANY)
            return
        if not self._own and choice.mode == "auto" and not choice.names:
            return
        if LEGACY_TOOL in own:
            self.fields["function_call"] = {"name": choice.names[0]} if choice.names else choice.mode
        else:
            self.fields["tool_choice"] = self._choice(choice, kept)

    def _choice(self, choice: ToolChoice, kept: list[Tool]) -> str | dict[str, Any]:
        mode = {"auto": "auto", "none": "none"}.get(choice.mode, "required")
        if not choice.names or not self._tells_names(choice):
            return mode
        named = sorted(
            (tool for tool in kept if tool.name in choice.names), key=lambda tool: choice.names.index(tool.name)
        )
        chosen = [self._chosen(tool) for tool in named]
        if choice.mode == "tool":
            return chosen[0]
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": chosen}}

    def _chosen(self, tool: Tool) -> dict[str, Any]:
        if tool.kind == "server":
            return {"type": wire.string(tool.data or {}, "type")}
        kind = "custom" if tool.kind == "custom" and self._quirks.custom_tools else "function"
        return {"type": kind, kind: {"name": tool.name}}

    def _say_parallel(self, parallel: bool | None) -> None:
        """OpenAI takes the field only beside tools."""
        if parallel is None or not (self._own or "tools" in self.fields):
            return
        if self._quirks.parallel_tool_calls:
            self.fields["parallel_tool_calls"] = parallel
        else:
            self.dropped.append("parallel_tool_calls")


def _nested(form: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's format with the level that this API puts around a grammar."""
    grammar = {name: form[name] for name in _NOT_IN_GRAMMARS if name in form}
    if not grammar:
        return dict(form)
    return {**wire.without(form, _NOT_IN_GRAMMARS), "grammar": grammar}


def _names_used(request: Request) -> Iterator[str]:
    """Tools that the conversation has called, or loaded by a search."""
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart | ToolReferencePart):
                yield part.name
            elif isinstance(part, ToolResultPart) and not isinstance(part.content, str):
                yield from (inner.name for inner in part.content if isinstance(inner, ToolReferencePart))
