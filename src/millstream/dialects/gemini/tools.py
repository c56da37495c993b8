"""Tools and the choice among them, both ways."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from millstream.core.messages import Request, Tool, ToolChoice, ToolReferencePart, ToolResultPart, extra_of
from millstream.dialects.base import custom_as_function, own_extra
from millstream.dialects.gemini.fields import Fields, missing, wrong
from millstream.dialects.gemini.quirks import GeminiQuirks
from millstream.dialects.gemini.schema import Rendered, takes_nothing, to_json_schema
from millstream.dialects.gemini.wire import DIALECT

GROUP = "$group"
"""In a tool's ``extra``: which of the client's tool objects it stood in."""

_MODES = {"AUTO": "auto", "NONE": "none", "ANY": "any", "VALIDATED": "auto", "MODE_UNSPECIFIED": "auto"}

_OWN_TOOL_FOR = {
    "web_search": "googleSearch",
    "web_search_preview": "googleSearch",
    "web_fetch": "urlContext",
    "code_execution": "codeExecution",
    "code_interpreter": "codeExecution",
}
"""Other providers' server tools → this one's that does the same."""


def snake(name: str) -> str:
    """``googleSearch`` → ``google_search``: server tools go by such names in every dialect."""
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in name)


def tools_in(request: Fields) -> tuple[Tool, ...]:
    """``tools``: every declared function, and each other field of a tool object as a tool the provider runs."""
    tools: list[Tool] = []
    for group, fields in enumerate(request.items("tools")):
        tools.extend(_function(declared, group) for declared in fields.items("functionDeclarations"))
        for name, data in fields.rest().items():
            extra = own_extra(DIALECT, {GROUP: group})
            tools.append(Tool(snake(name), kind="server", origin=DIALECT, data={name: data}, extra=extra))
    return tuple(tools)


def _function(fields: Fields, group: int) -> Tool:
    name = fields.text("name")
    if not name:
        raise missing(fields.at("name"))
    own: dict[str, Any] = {GROUP: group}
    parameters: Any = None
    for field in ("parameters", "parametersJsonSchema"):
        written = fields.any(field)
        if written is not None:
            parameters = to_json_schema(written, fields.at(field))
            if not isinstance(parameters, Mapping):
                raise wrong(fields.at(field), "a schema", written)
            if field == "parameters" or parameters != written:
                own[field] = written
    description = fields.text("description")
    return Tool(name, description, parameters, extra=own_extra(DIALECT, {**own, **fields.rest()}))


def tool_choice_in(request: Fields) -> tuple[ToolChoice | None, dict[str, Any]]:
    """``toolConfig``: the choice, and the fields of it that are not about choosing."""
    config = request.nested("toolConfig")
    if config is None:
        return None, {}
    calling = config.nested("functionCallingConfig")
    rest = config.rest()
    if calling is None:
        return None, rest
    written = dict(calling.rest())
    mode = calling.text("mode") or "AUTO"
    canonical = _MODES.get(mode.upper())
    if canonical is None:
        raise wrong(calling.at("mode"), f"one of {', '.join(_MODES)}", mode)
    names = calling.strings("allowedFunctionNames")
    extra = own_extra(DIALECT, {"functionCallingConfig": written})
    if canonical == "any" and len(names) == 1:
        return ToolChoice("tool", names, extra), rest
    return ToolChoice(canonical, names, extra), rest  # type: ignore[arg-type]  # one of the modes by the table


class RenderedTools:
    """``tools`` and ``toolConfig`` for an upstream, and what had to be left out of them.

    ``missing`` names the server tools that this upstream has not; ``dropped`` is for the report to the client.
    """

    def __init__(self, request: Request, quirks: GeminiQuirks) -> None:
        self.dropped: list[str] = []
        self.missing: list[str] = []
        self._quirks = quirks
        self._schemas = Rendered(openapi=not quirks.json_schema)
        loaded = _loaded(request)
        tools = [tool for tool in request.tools if not tool.deferred or tool.name in loaded]
        self._allowed = self._only(request.tool_choice)
        only_server = bool(tools) and all(tool.kind == "server" for tool in tools)
        self.tools = self._grouped(tools, map_foreign=only_server and quirks.map_server_tools)
        self.config = self._choice(request.tool_choice, request)
        self.dropped.extend(sorted(self._schemas.dropped))

    def _only(self, choice: ToolChoice | None) -> tuple[str, ...]:
        """Where the mode to permit some tools is lacking, only those are declared."""
        if choice is not None and choice.mode == "auto" and choice.names and not self._quirks.validated_mode:
            return choice.names
        return ()

    def _grouped(self, tools: Iterable[Tool], *, map_foreign: bool) -> list[dict[str, Any]]:
        groups: dict[Any, dict[str, Any]] = {}
        for tool in tools:
            own = extra_of(tool.extra, DIALECT)
            if tool.kind != "server":
                if not self._allowed or tool.name in self._allowed:
                    group = groups.setdefault(own.get(GROUP, "functions"), {})
                    group.setdefault("functionDeclarations", []).append(self._declared(tool))
                continue
            data = self._server_tool(tool, map_foreign=map_foreign)
            if data is not None:
                groups.setdefault(own.get(GROUP, f"server {tool.name}"), {}).update(data)
        return list(groups.values())

    def _server_tool(self, tool: Tool, *, map_foreign: bool) -> Mapping[str, Any] | None:
        if tool.origin == DIALECT:
            return tool.data
        same = _OWN_TOOL_FOR.get(tool.name)
        if map_foreign and same is not None:
            return {same: {}}
        self.missing.append(tool.name)
        self.dropped.append(f"tools.{tool.name}")
        return None

    def _declared(self, tool: Tool) -> dict[str, Any]:
        if tool.kind == "custom":
            tool = custom_as_function(tool)
        if tool.strict and "tools[].strict" not in self.dropped:
            self.dropped.append("tools[].strict")
        own = dict(extra_of(tool.extra, DIALECT))
        from_own_client = own.pop(GROUP, None) is not None
        declared: dict[str, Any] = {"name": tool.name}
        if tool.description is not None:
            declared["description"] = tool.description
        written = own.pop("parametersJsonSchema", tool.parameters)
        if "parameters" not in own and tool.parameters is not None:
            if from_own_client and self._quirks.json_schema:
                declared["parametersJsonSchema"] = written
            elif not takes_nothing(tool.parameters):
                field = "parametersJsonSchema" if self._quirks.json_schema else "parameters"
                declared[field] = self._schemas.of(tool.parameters)
        return {**declared, **own}

    def _choice(self, choice: ToolChoice | None, request: Request) -> dict[str, Any]:
        config = dict(extra_of(request.extra, DIALECT).get("toolConfig") or {})
        declared = any("functionDeclarations" in group for group in self.tools)
        own = extra_of(choice.extra, DIALECT) if choice is not None else {}
        calling: dict[str, Any] = dict(own.get("functionCallingConfig") or {})
        if choice is not None and "functionCallingConfig" not in own and declared:
            calling = self._calling(choice)
        if self._quirks.stream_arguments and request.stream and declared:
            calling.setdefault("streamFunctionCallArguments", True)
        if calling or "functionCallingConfig" in own:
            config["functionCallingConfig"] = calling
        return config

    def _calling(self, choice: ToolChoice) -> dict[str, Any]:
        names = [name for name in choice.names if name not in self.missing]
        if choice.mode == "none":
            return {"mode": "NONE"}
        if choice.mode == "auto":
            validated = names and not self._allowed
            return {"mode": "VALIDATED", "allowedFunctionNames": names} if validated else {"mode": "AUTO"}
        if choice.mode == "tool" and not names:
            return {"mode": "AUTO"}
        return {"mode": "ANY", "allowedFunctionNames": names} if names else {"mode": "ANY"}


def _loaded(request: Request) -> set[str]:
    """Names of the deferred tools that a search has loaded by now."""
    return {
        item.name
        for message in request.messages
        for part in message.parts
        if isinstance(part, ToolResultPart) and not isinstance(part.content, str)
        for item in part.content
        if isinstance(item, ToolReferencePart)
    }
