"""Tools and the choice among them: canonical → wire, for upstreams and for what a reply repeats of its request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from millstream.core.messages import Request, Tool, ToolChoice, ToolReferencePart, ToolResultPart
from millstream.dialects.base import custom_as_function
from millstream.dialects.openai_responses import wire
from millstream.dialects.openai_responses.quirks import ResponsesQuirks
from millstream.dialects.openai_responses.tools_in import DEFERRED, IN_INPUT

_OWN_BOOKKEEPING = frozenset({"namespace", "name", DEFERRED, IN_INPUT})
_NOTHING = {"type": "object", "properties": {}}


def wire_tools(tools: Iterable[Tool], quirks: ResponsesQuirks) -> list[dict[str, Any]]:
    """Definitions in the API's words; functions of one namespace together again."""
    written: list[dict[str, Any]] = []
    open_namespace: dict[str, Any] | None = None
    for tool in tools:
        own = wire.own(tool.extra)
        if IN_INPUT in own and quirks.tool_search:
            continue
        around = own.get("namespace")
        if around is None or not quirks.namespaces:
            open_namespace = None
            written.append(_own_tool(tool, tool.name, quirks))
            continue
        if open_namespace is None or open_namespace["name"] != around["name"]:
            open_namespace = {"type": "namespace", **around, "tools": []}
            written.append(open_namespace)
        open_namespace["tools"].append(_own_tool(tool, own["name"], quirks))
    return written


def _own_tool(tool: Tool, name: str, quirks: ResponsesQuirks) -> dict[str, Any]:
    definition = _tool(tool, name, quirks)
    if tool.deferred or DEFERRED in wire.own(tool.extra):
        definition["defer_loading"] = True
    return definition


def _tool(tool: Tool, name: str, quirks: ResponsesQuirks) -> dict[str, Any]:
    if tool.kind == "server":
        return dict(tool.data or {})
    if tool.kind == "custom" and not quirks.custom_tools:
        tool = custom_as_function(tool)
    kept = {field: value for field, value in wire.own(tool.extra).items() if field not in _OWN_BOOKKEEPING}
    if kept.get("type") == wire.TOOL_SEARCH and not quirks.tool_search:
        kept = {}
    written: dict[str, Any] = {"type": kept.pop("type", tool.kind)}
    if written["type"] != wire.TOOL_SEARCH:
        written["name"] = name
    if tool.description is not None:
        written["description"] = tool.description
    if tool.format is not None:
        written["format"] = tool.format
    if tool.parameters is not None:
        written["parameters"] = tool.parameters
    if tool.strict is not None:
        written["strict"] = tool.strict
    return {**written, **kept}


def foreign_tools(tools: Iterable[Tool], loaded: frozenset[str], quirks: ResponsesQuirks) -> list[dict[str, Any]]:
    """Tools of another dialect's client. This API makes functions strict unless told not to, which their schemas are
    not written for; and it knows deferred tools only with its own search, so those not ``loaded`` are left out."""
    written: list[dict[str, Any]] = []
    for tool in tools:
        if tool.deferred and tool.name not in loaded:
            continue
        definition = _tool(tool, tool.name, quirks)
        if definition["type"] == "function":
            definition.setdefault("parameters", _NOTHING)
            definition.setdefault("strict", False)
        written.append(definition)
    return written


def loaded_tools(request: Request) -> frozenset[str]:
    """Names of deferred tools that a search in this conversation has found."""
    return frozenset(
        inner.name
        for message in request.messages
        for part in message.parts
        if isinstance(part, ToolResultPart) and not isinstance(part.content, str)
        for inner in part.content
        if isinstance(inner, ToolReferencePart)
    )


def available(tools: Iterable[Tool], quirks: ResponsesQuirks) -> tuple[list[Tool], list[str]]:
    """The tools this upstream can be told of, and the names of the others."""
    kept: list[Tool] = []
    missing: list[str] = []
    for tool in tools:
        if tool.kind != "server" or _is_hosted(tool, quirks):
            kept.append(tool)
        else:
            missing.append(tool.name)
    return kept, missing


def _is_hosted(tool: Tool, quirks: ResponsesQuirks) -> bool:
    if tool.origin != wire.NAME:
        return False
    return quirks.hosted_tools is None or wire.string(tool.data or {}, "type") in quirks.hosted_tools


def wire_choice(choice: ToolChoice, tools: Sequence[Tool], quirks: ResponsesQuirks) -> str | Mapping[str, Any]:
    """The choice in the API's words; one that forces a tool not in ``tools`` becomes ``auto``."""
    by_name = {tool.name: tool for tool in tools}
    known = [by_name[name] for name in choice.names if name in by_name]
    as_given = wire.own(choice.extra).get("choice")
    if as_given is not None and len(known) == len(choice.names) and quirks.custom_tools and quirks.namespaces:
        return as_given  # type: ignore[no-any-return]  # what this dialect's own reader put there
    if choice.mode == "none":
        return "none"
    if choice.names and not known:
        return "auto"
    if choice.mode == "tool":
        return _chosen(known[0], quirks)
    mode = "required" if choice.mode == "any" else "auto"
    if not known:
        return mode
    return {"type": "allowed_tools", "mode": mode, "tools": [_chosen(tool, quirks) for tool in known]}


def _chosen(tool: Tool, quirks: ResponsesQuirks) -> dict[str, Any]:
    if tool.kind == "server":
        return {"type": wire.string(tool.data or {}, "type")}
    custom = tool.kind == "custom" and quirks.custom_tools
    return {"type": "custom" if custom else "function", "name": tool.name}
