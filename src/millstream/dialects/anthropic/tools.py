"""Tools and the choice among them, both directions.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use and the SDK's ``ToolUnionParam``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from millstream.core.messages import (
    Message,
    Request,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolReferencePart,
    ToolResultPart,
    extra_of,
)
from millstream.dialects.anthropic.blocks_in import BLOCK
from millstream.dialects.anthropic.client_tools import known_schema
from millstream.dialects.anthropic.fields import Fields, wrong
from millstream.dialects.anthropic.quirks import AnthropicQuirks
from millstream.dialects.anthropic.schema import closed
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import custom_as_function, own_extra

DEFINITION = "$definition"
"""Note: a tool as the client defined it, for one whose schema goes by its type."""

DEFERRED = "$deferred"
"""Note: this tool is loaded by the provider's own search."""

ADDED = "$added"
"""Note: this tool was defined within the messages, not among the request's tools."""

_CHOICES = ("auto", "any", "tool", "none")


def tools_in(fields: Fields) -> tuple[Tool, ...]:
    """Raises ``ClientFault`` that names the path."""
    definitions = fields.array("tools") or []
    tools = tuple(_tool_in(definition, f"tools.{number}") for number, definition in enumerate(definitions))
    searched = any(tool.kind == "server" and _searches(tool) for tool in tools)
    return tuple(_offered(tool) if tool.deferred and searched else tool for tool in tools)


def _searches(tool: Tool) -> bool:
    return str((tool.data or {}).get("type", "")).startswith("tool_search_tool_")


def _offered(tool: Tool) -> Tool:
    """``tool``, which only the provider's own search would load, for all others to see."""
    own = {**extra_of(tool.extra, ORIGIN), DEFERRED: True}
    return msgspec.structs.replace(tool, deferred=False, extra=own_extra(ORIGIN, own))


def added_tools(messages: Iterable[Message], path: str) -> tuple[Tool, ...]:
    """Those that ``tool_addition`` blocks define."""
    blocks = [
        extra_of(part.extra, ORIGIN)[BLOCK]
        for message in messages
        for part in message.parts
        if isinstance(part, ToolReferencePart) and BLOCK in extra_of(part.extra, ORIGIN)
    ]
    definitions = [block["tool"]["definition"] for block in blocks if "definition" in block["tool"]]
    return tuple(
        msgspec.structs.replace(_tool_in(definition, path), deferred=False, extra=own_extra(ORIGIN, {ADDED: True}))
        for definition in definitions
    )


def _tool_in(definition: object, path: str) -> Tool:
    fields = Fields(definition, path)
    kind = fields.rest().get("type")
    if kind is not None and not isinstance(kind, str):
        raise wrong(fields.at("type"), "a valid string")
    if kind is None or kind == "custom":
        return _custom_in(fields, f"{path}.custom")
    data = dict(fields.rest())
    name = data.get("name") or data.get("mcp_server_name") or kind
    deferred = data.get("defer_loading") is True
    known = known_schema(kind, data)
    if known is not None:
        note = own_extra(ORIGIN, {DEFINITION: data})
        return Tool(str(name), known[0], known[1], deferred=deferred, extra=note)
    return Tool(str(name), kind="server", deferred=deferred, origin=ORIGIN, data=data)


def _custom_in(fields: Fields, path: str) -> Tool:
    fields.path = path
    name = fields.required_text("name")
    return Tool(
        name,
        fields.text("description"),
        fields.required_mapping("input_schema"),
        strict=True if fields.true("strict") else None,
        deferred=fields.true("defer_loading"),
        cache=fields.mapping("cache_control"),
        extra=fields.extra(),
    )


def tool_choice_in(fields: Fields) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether calls may be made side by side, if that is said."""
    choice = fields.nested("tool_choice")
    if choice is None:
        return None, None
    mode = choice.required_text("type")
    if mode not in _CHOICES:
        raise wrong(choice.at("type"), "'auto', 'any', 'tool' or 'none'")
    disabled = choice.flag("disable_parallel_tool_use")
    names = (choice.required_text("name"),) if mode == "tool" else ()
    parallel = None if disabled is None else not disabled
    return ToolChoice(mode, names, choice.extra()), parallel  # type: ignore[arg-type]  # one of the four by the check


class ToolsOut:
    """A request's tools in this API's words. ``dropped`` names server tools of others, ``missing`` their names."""

    def __init__(self, request: Request, quirks: AnthropicQuirks) -> None:
        self.dropped: list[str] = []
        self.missing: list[str] = []
        self._request = request
        self._own = request.origin == ORIGIN
        self._strict = quirks.structured_outputs
        self.tools = self._declared() if self._own else self._translated()
        self.choice = self._own_choice() if self._own else self._foreign_choice()

    def forces(self) -> bool:
        """Whether the model must call a tool; it cannot think then."""
        return self.choice is not None and self.choice["type"] in ("any", "tool")

    def _declared(self) -> list[dict[str, Any]]:
        return [self._tool(tool) for tool in self._request.tools if ADDED not in extra_of(tool.extra, ORIGIN)]

    def _translated(self) -> list[dict[str, Any]]:
        """What another API's client declared. Deferred tools are left out until something loaded or called them."""
        permitted = set(self._request.tool_choice.names) if self._request.tool_choice else set()
        forced = self._request.tool_choice is not None and self._request.tool_choice.mode == "tool"
        used = set(_names_used(self._request.messages))
        tools: list[dict[str, Any]] = []
        for tool in self._request.tools:
            if tool.kind == "server":
                self._leave_out(tool)
            elif (not permitted or forced or tool.name in permitted) and (not tool.deferred or tool.name in used):
                tools.append(self._tool(custom_as_function(tool) if tool.kind == "custom" else tool))
        if not tools:
            # The API refuses calls in a history without any tools.
            tools = [_placeholder(name) for name in sorted(set(_names_called(self._request.messages)))]
        return tools

    def _leave_out(self, tool: Tool) -> None:
        self.dropped.append(f"tools.{tool.name}")
        self.missing.append(tool.name)

    def _tool(self, tool: Tool) -> dict[str, Any]:
        own = extra_of(tool.extra, ORIGIN)
        if DEFINITION in own:
            return dict(own[DEFINITION])
        if tool.kind == "server":
            return dict(tool.data or {})
        fields: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            fields["description"] = tool.description
        strict = tool.strict is True and self._strict
        fields["input_schema"] = tool.parameters if self._own else _input_schema(tool, strict=strict)
        if strict:
            fields["strict"] = True
        if self._own and (tool.deferred or DEFERRED in own):
            fields["defer_loading"] = True
        if tool.cache is not None:
            fields["cache_control"] = tool.cache
        return {**fields, **{name: value for name, value in own.items() if name[:1] != "$"}}

    def _own_choice(self) -> dict[str, Any] | None:
        choice = self._request.tool_choice
        if choice is None:
            return None
        fields: dict[str, Any] = {"type": choice.mode}
        if choice.mode == "tool":
            fields["name"] = choice.names[0]
        if self._request.parallel_tool_calls is not None:
            fields["disable_parallel_tool_use"] = not self._request.parallel_tool_calls
        return {**fields, **extra_of(choice.extra, ORIGIN)}

    def _foreign_choice(self) -> dict[str, Any] | None:
        if not self.tools:
            return None
        if not self._request.tools or self._only_placeholders():
            return {"type": "none"}
        choice = self._request.tool_choice or ToolChoice("auto")
        fields: dict[str, Any] = {"type": choice.mode}
        if choice.mode == "tool":
            declared = {tool["name"] for tool in self.tools}
            fields = {"type": "tool", "name": choice.names[0]} if choice.names[0] in declared else {"type": "auto"}
        if self._request.parallel_tool_calls is False and fields["type"] != "none":
            fields["disable_parallel_tool_use"] = True
        said = self._request.tool_choice is not None or len(fields) > 1
        return fields if said else None

    def _only_placeholders(self) -> bool:
        declared = {tool.name for tool in self._request.tools}
        return not any(tool["name"] in declared for tool in self.tools)


def _input_schema(tool: Tool, *, strict: bool) -> dict[str, Any]:
    """The schema must be an object's. A strict one must say no more than the API can enforce."""
    schema = dict(tool.parameters or {})
    if strict:
        return closed({"type": "object", **schema})
    return schema if schema.get("type") == "object" else {"type": "object", **schema}


def _placeholder(name: str) -> dict[str, Any]:
    return {"name": name, "description": "Not available any more.", "input_schema": {"type": "object"}}


def _names_called(messages: Sequence[Message]) -> Iterable[str]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart) and part.kind != "server":
                yield part.name


def _names_used(messages: Sequence[Message]) -> Iterable[str]:
    """Called, or loaded by a tool search."""
    yield from _names_called(messages)
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolReferencePart):
                yield part.name
            elif isinstance(part, ToolResultPart) and not isinstance(part.content, str):
                yield from (inner.name for inner in part.content if isinstance(inner, ToolReferencePart))


def unknown_tool_note(names: Sequence[str]) -> str:
    """What the model is told about tools its provider does not have, so that it says so instead of inventing."""
    return " ".join(f"The tool {name} is not available here." for name in names)
