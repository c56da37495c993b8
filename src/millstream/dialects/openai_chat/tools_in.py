"""Tools and the choice among them: a client's → canonical.

Source: https://platform.openai.com/docs/api-reference/chat/create. Tools that a provider runs have many types (Groq's
``browser_search``, Moonshot's ``builtin_function``, OpenRouter's ``openrouter:web_search``); each is kept whole.
"""

from __future__ import annotations

from typing import Any

from millstream.core.messages import Tool, ToolChoice
from millstream.dialects.base import own_extra
from millstream.dialects.openai_chat import wire
from millstream.dialects.openai_chat.fields import Fields, unexpected, wrong
from millstream.dialects.openai_chat.identity import LEGACY_TOOL

WEB_SEARCH = "web_search_options"
"""The field that lets OpenAI's search models search. To others it is a tool that the provider runs."""

GIVEN = "$given"
"""Note: how it was written, where it would be written otherwise."""

_MODES = {"auto": "auto", "none": "none", "required": "any", "any": "any"}


def tools_in(body: Fields) -> tuple[Tool, ...]:
    """Raises ``ClientFault`` that names the path."""
    tools = [_tool(entry, f"tools[{number}]") for number, entry in enumerate(body.array("tools") or [])]
    functions = enumerate(body.array("functions") or [])
    tools += [_function(Fields(entry, f"functions[{number}]"), {LEGACY_TOOL: True}) for number, entry in functions]
    options = body.mapping(WEB_SEARCH)
    if options is not None:
        tools.append(Tool("web_search", kind="server", origin=wire.NAME, data={WEB_SEARCH: options}))
    return tuple(tools)


def _tool(entry: object, path: str) -> Tool:
    fields = Fields(entry, path)
    kind = fields.required_text("type")
    if kind == "function":
        inner = fields.required("function")
        return _function(inner, fields.rest())
    if kind == "custom":
        return _custom(fields.required("custom"), fields.rest())
    data = {"type": kind, **fields.rest()}
    name = wire.string(wire.mapping(data, "function"), "name") or wire.string(data, "name") or kind
    return Tool(name, kind="server", origin=wire.NAME, data=data)


def _function(fields: Fields, around: dict[str, Any]) -> Tool:
    """``around``: what stands beside the definition; what is left of the definition itself rides in ``function``."""
    name = fields.required_text("name")
    description, parameters, strict = fields.text("description"), fields.mapping("parameters"), fields.flag("strict")
    cache = around.pop("cache_control", None)
    inner = {"function": fields.rest()} if fields.rest() else {}
    extra = own_extra(wire.NAME, {**around, **inner})
    return Tool(
        name, description, parameters, strict=strict, cache=cache if isinstance(cache, dict) else None, extra=extra
    )


def _custom(fields: Fields, around: dict[str, Any]) -> Tool:
    name, description = fields.required_text("name"), fields.text("description")
    given = fields.mapping("format")
    inner = {"custom": fields.rest()} if fields.rest() else {}
    extra = own_extra(wire.NAME, {**around, **inner})
    return Tool(name, description, kind="custom", format=_flat(given) if given else None, extra=extra)


def _flat(form: dict[str, Any]) -> dict[str, Any]:
    """A grammar as the canonical model has it, without the level that this API adds."""
    grammar = form.get("grammar")
    if not isinstance(grammar, dict):
        return form
    return {**{name: value for name, value in form.items() if name != "grammar"}, **grammar}


def tool_choice_in(body: Fields) -> ToolChoice | None:
    """Raises ``ClientFault`` that names the path."""
    for name, legacy in (("tool_choice", False), ("function_call", True)):
        given = body.any(name)
        if given is not None:
            return _choice(given, name, legacy=legacy)
    return None


def _choice(given: object, path: str, *, legacy: bool) -> ToolChoice:
    note = own_extra(wire.NAME, {LEGACY_TOOL: True} if legacy else {})
    if isinstance(given, str):
        mode = _MODES.get(given)
        if mode is None:
            raise wrong(path, f"expected 'none', 'auto', 'required' or an object, got {given!r}")
        if given == "any":
            note = own_extra(wire.NAME, {GIVEN: given})
        return ToolChoice(mode, extra=note)  # type: ignore[arg-type]  # a mode by the table
    fields = Fields(given, path)
    if legacy:
        return ToolChoice("tool", (fields.required_text("name"),), note)
    kind = fields.required_text("type")
    if kind == "allowed_tools":
        return _allowed(fields.required("allowed_tools"))
    if kind in ("function", "custom"):
        return ToolChoice("tool", (fields.required(kind).required_text("name"),), note)
    # The provider's own tools: only an upstream of this dialect can be told.
    return ToolChoice("auto", extra={wire.NAME: {GIVEN: given}})


def _allowed(fields: Fields) -> ToolChoice:
    mode = fields.required_text("mode")
    if mode not in ("auto", "required"):
        raise wrong(fields.at("mode"), f"expected 'auto' or 'required', got {mode!r}")
    names = []
    for number, entry in enumerate(fields.array("tools") or []):
        tool = Fields(entry, f"{fields.at('tools')}[{number}]")
        kind = tool.required_text("type")
        names.append(tool.required(kind).required_text("name") if kind in ("function", "custom") else kind)
    if not names:
        raise unexpected(fields.at("tools"), "a non-empty array", [])
    return ToolChoice("any" if mode == "required" else "auto", tuple(names))
