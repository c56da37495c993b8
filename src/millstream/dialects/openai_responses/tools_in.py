"""Tools and the choice among them: wire → canonical.

Functions in a namespace become functions of their own, named after both, so that every upstream can be told of them;
``extra`` remembers the namespace. A search for deferred tools that the client runs is a function like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from millstream.core.messages import Tool, ToolChoice
from millstream.dialects.base import own_extra
from millstream.dialects.openai_responses import fields, wire

_FUNCTION = ("type", "name", "description", "parameters", "strict", "defer_loading")
_CUSTOM = ("type", "name", "description", "format", "defer_loading")
_MODES: dict[str, Literal["auto", "none", "any"]] = {"auto": "auto", "none": "none", "required": "any"}

DEFERRED = "deferred"
"""Marks a tool that the provider's own search loads."""

IN_INPUT = "in_input"
"""Marks a tool that an item of ``input`` brought, not the request's own list."""


def tools(entries: Sequence[Mapping[str, Any]], path: str) -> tuple[Tool, ...]:
    found = [tool for number, entry in enumerate(entries) for tool in _tools(entry, f"{path}[{number}]")]
    seen: set[str] = set()
    for tool in found:
        if tool.kind != "server" and tool.name in seen:
            raise fields.wrong(path, f"two tools are called {tool.name!r}")
        seen.add(tool.name)
    if any(tool.kind == "server" and tool.name == wire.TOOL_SEARCH for tool in found):
        return tuple(_offered(tool) if tool.deferred else tool for tool in found)
    return tuple(found)


def _offered(tool: Tool) -> Tool:
    """``tool``, which only the provider's own search would load, for all others to see."""
    extra = {wire.NAME: {**wire.own(tool.extra), DEFERRED: True}}
    return msgspec.structs.replace(tool, deferred=False, extra=extra)


def tools_of_items(entries: Sequence[Mapping[str, Any]], path: str, known: Sequence[Tool]) -> tuple[Tool, ...]:
    """Tools that a search found or that were added later on, as far as they are not ``known``."""
    names = {tool.name for tool in known}
    found: list[Tool] = []
    for number, item in enumerate(entries):
        if item.get("type") not in ("additional_tools", "tool_search_output") or item.get("execution") == "server":
            continue
        given = fields.object_list(item.get("tools"), f"{path}[{number}].tools")
        for tool in tools(given, f"{path}[{number}].tools"):
            if tool.name in names:
                continue
            names.add(tool.name)
            extra = {wire.NAME: {**wire.own(tool.extra), IN_INPUT: True}}
            found.append(msgspec.structs.replace(tool, deferred=False, extra=extra))
    return tuple(found)


def _tools(entry: Mapping[str, Any], path: str) -> list[Tool]:
    kind = fields.text(entry, "type", path)
    if kind == "namespace" and entry.get("tools"):
        return _namespace(entry, path)
    if kind == "function":
        return [_function(entry, path)]
    if kind == "custom":
        return [_custom(entry, path)]
    if kind == "tool_search" and entry.get("execution") == "client":
        return [_client_search(entry, path)]
    name = fields.optional_text(entry, "name", path) or fields.optional_text(entry, "server_label", path) or kind
    return [Tool(name, kind="server", origin=wire.NAME, data=entry)]


def _function(entry: Mapping[str, Any], path: str) -> Tool:
    return Tool(
        fields.text(entry, "name", path),
        fields.optional_text(entry, "description", path),
        fields.optional_object(entry, "parameters", path),
        strict=fields.optional_bool(entry, "strict", path),
        deferred=fields.optional_bool(entry, "defer_loading", path) or False,
        extra=own_extra(wire.NAME, _kept(entry, _FUNCTION)),
    )


def _custom(entry: Mapping[str, Any], path: str) -> Tool:
    return Tool(
        fields.text(entry, "name", path),
        fields.optional_text(entry, "description", path),
        kind="custom",
        format=fields.optional_object(entry, "format", path),
        deferred=fields.optional_bool(entry, "defer_loading", path) or False,
        extra=own_extra(wire.NAME, _kept(entry, _CUSTOM)),
    )


def _kept(entry: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    kept = wire.rest(entry, known)
    if entry.get("defer_loading") is False:
        kept["defer_loading"] = False
    return kept


def _client_search(entry: Mapping[str, Any], path: str) -> Tool:
    return Tool(
        wire.TOOL_SEARCH,
        fields.optional_text(entry, "description", path),
        fields.optional_object(entry, "parameters", path),
        extra=own_extra(wire.NAME, wire.rest(entry, ("description", "parameters"))),
    )


def _namespace(entry: Mapping[str, Any], path: str) -> list[Tool]:
    name = fields.text(entry, "name", path)
    around = {field: value for field, value in entry.items() if field not in ("type", "tools")}
    found: list[Tool] = []
    for number, inner in enumerate(fields.object_list(entry.get("tools"), f"{path}.tools")):
        for tool in _tools(inner, f"{path}.tools[{number}]"):
            extra = {wire.NAME: {**wire.own(tool.extra), "namespace": around, "name": tool.name}}
            found.append(msgspec.structs.replace(tool, name=f"{name}__{tool.name}", extra=extra))
    return found


def tool_choice(value: object) -> ToolChoice | None:
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _MODES:
            raise fields.wrong("tool_choice", f"expected one of {', '.join(_MODES)}, got {value!r}")
        return ToolChoice(_MODES[value])
    if not isinstance(value, dict):
        raise fields.wrong("tool_choice", "expected a string or an object")
    kind = fields.text(value, "type", "tool_choice")
    if kind in ("function", "custom"):
        return ToolChoice("tool", (_chosen(value, "tool_choice"),), extra=own_extra(wire.NAME, {"choice": value}))
    if kind == "allowed_tools":
        return _allowed(value)
    name = fields.optional_text(value, "server_label", "tool_choice") or kind
    return ToolChoice("tool", (name,), extra=own_extra(wire.NAME, {"choice": value}))


def _allowed(value: Mapping[str, Any]) -> ToolChoice:
    allowed = fields.object_list(value.get("tools"), "tool_choice.tools")
    names = tuple(_chosen(entry, f"tool_choice.tools[{number}]") for number, entry in enumerate(allowed))
    extra = own_extra(wire.NAME, {"choice": value})
    return ToolChoice("any" if value.get("mode") == "required" else "auto", names, extra=extra)


def _chosen(entry: Mapping[str, Any], path: str) -> str:
    kind = fields.text(entry, "type", path)
    if kind not in ("function", "custom"):
        return fields.optional_text(entry, "server_label", path) or kind
    return wire.flat_name(wire.string(entry, "namespace"), fields.text(entry, "name", path))
