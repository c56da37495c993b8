"""Tool calls as output items of a reply to a client.

A client of this API has kinds of tools that an upstream may have been told of as plain functions: free-text tools,
functions in namespaces, its own search for deferred tools. Their calls are turned back into what they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from millstream.core import events as ev
from millstream.core.json_field import StringField
from millstream.core.messages import Tool
from millstream.dialects.base import CUSTOM_TOOL_INPUT
from millstream.dialects.openai_responses import wire
from millstream.dialects.openai_responses.outputs import Outputs


class CallBlock:
    """A call of a function, streamed as the JSON text of its arguments."""

    __slots__ = ("_about", "_call_id", "_head", "_id", "_index", "_outputs", "_pieces", "_place")

    kind = "function_call"
    field = "arguments"
    prefix = "fc"

    def __init__(self, outputs: Outputs, call_id: str, item_id: str, about: Mapping[str, Any]) -> None:
        self._outputs = outputs
        self._id = outputs.unique(item_id, self.prefix)
        self._call_id = outputs.unique(call_id, "call")
        self._about = {name: value for name, value in about.items() if name not in ("id", "status")}
        self._pieces: list[str] = []
        self._index = outputs.begin(self._item("in_progress", ""))
        self._place = {"item_id": self._id, "output_index": self._index}
        self._head = outputs.emit.delta_head(b"response.%b.delta" % self._event(), self._place)

    def _event(self) -> bytes:
        return f"{self.kind}_{self.field}".encode()

    def _item(self, status: str, value: str) -> dict[str, Any]:
        item = {"id": self._id, "type": self.kind, "status": status, self.field: value, "call_id": self._call_id}
        return item | self._about

    def delta(self, text: str) -> None:
        self._pieces.append(text)
        self._outputs.emit.delta(self._head, text)

    def end(self) -> None:
        if not self._pieces and self.kind == "function_call":
            self.delta("{}")
        value = "".join(self._pieces)
        self._outputs.emit.event(b"response.%b.done" % self._event(), {**self._place, self.field: value})
        self._outputs.end(self._index, self._item("completed", value))

    def keep(self, status: str) -> None:
        self._outputs.keep(self._index, self._item(status, "".join(self._pieces)))


class CustomBlock(CallBlock):
    """A call of a free-text tool that the upstream knows as one."""

    __slots__ = ()

    kind = "custom_tool_call"
    field = "input"
    prefix = "ctc"


class UnwrappedBlock(CustomBlock):
    """A call of a free-text tool that the upstream knows as a function: its text is taken out of the arguments."""

    __slots__ = ("_text",)

    def __init__(self, outputs: Outputs, call_id: str, item_id: str, about: Mapping[str, Any]) -> None:
        super().__init__(outputs, call_id, item_id, about)
        self._text = StringField(CUSTOM_TOOL_INPUT)

    def delta(self, text: str) -> None:
        if found := self._text.feed(text):
            super().delta(found)

    def end(self) -> None:
        if rest := self._text.finish():
            super().delta(rest)
        super().end()


class SearchBlock:
    """A call of the client's own search for tools, whose arguments are an object and do not stream."""

    __slots__ = ("_about", "_call_id", "_id", "_index", "_outputs", "_pieces")

    def __init__(self, outputs: Outputs, call_id: str, item_id: str, about: Mapping[str, Any]) -> None:
        self._outputs = outputs
        self._id = outputs.unique(item_id, "tsc")
        self._call_id = outputs.unique(call_id, "call")
        self._about = {name: value for name, value in about.items() if name not in ("id", "status")}
        self._pieces: list[str] = []
        self._index = outputs.begin(self._item("in_progress", {}))

    def _item(self, status: str, arguments: Any) -> dict[str, Any]:
        item = {"id": self._id, "type": "tool_search_call", "status": status, "arguments": arguments}
        return {**item, "call_id": self._call_id, "execution": "client", **self._about}

    def delta(self, text: str) -> None:
        self._pieces.append(text)

    def end(self) -> None:
        self._outputs.end(self._index, self._item("completed", _decoded("".join(self._pieces))))

    def keep(self, status: str) -> None:
        self._outputs.keep(self._index, self._item(status, {}))


class ServedBlock:
    """A call that the provider runs; done once its result is there.

    Of this API's own provider the items are kept as they are. Another's web search becomes ours, everything else the
    call of a tool on a remote server, which is this API's general form of it.
    """

    __slots__ = ("_id", "_index", "_item", "_name", "_outputs", "_pieces")

    def __init__(self, outputs: Outputs, start: ev.ToolCallStart) -> None:
        self._outputs = outputs
        self._name = start.name
        self._pieces: list[str] = []
        own = wire.own(start.extra).get("item")
        prefix = "ws" if start.name == "web_search" else "mcp"
        self._id = outputs.unique(wire.string(own or {}, "id"), prefix)
        self._item: dict[str, Any] = {**(own or self._foreign("in_progress")), "id": self._id}
        self._index = outputs.begin(self._item)

    def delta(self, text: str) -> None:
        self._pieces.append(text)

    def end(self) -> None:
        """The call is complete, its result is not there yet."""

    def result(self, event: ev.ServerToolResult) -> None:
        if event.origin == wire.NAME:
            self._item = {**event.data, "id": self._id}
        else:
            self._item = self._foreign("completed", event.origin, event.text)
        self._outputs.end(self._index, self._item)

    def unanswered(self) -> None:
        """The reply ended without a result."""
        self._outputs.end(self._index, {**self._item, "status": "incomplete"})

    def keep(self, status: str) -> None:
        self._outputs.keep(self._index, {**self._item, "status": status})

    def _foreign(self, status: str, origin: str = "", output: str | None = None) -> dict[str, Any]:
        arguments = "".join(self._pieces)
        if self._name == "web_search":
            asked = _decoded(arguments)
            query = wire.string(asked, "query") if isinstance(asked, dict) else ""
            action = {"type": "search", "query": query}
            return {"id": self._id, "type": "web_search_call", "status": status, "action": action}
        return {
            "id": self._id,
            "type": "mcp_call",
            "status": status,
            "approval_request_id": None,
            "arguments": arguments,
            "error": None,
            "name": self._name,
            "output": output,
            "server_label": origin or "provider",
        }


Called = CallBlock | SearchBlock


class ClientTools:
    """What the client's tools are, where an upstream may know them as something simpler."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = {tool.name: tool for tool in tools if tool.kind == "custom" or tool.extra is not None}

    def block(self, outputs: Outputs, start: ev.ToolCallStart, call_id: str) -> Called:
        """The item that the call is to this client, under ``call_id``."""
        own = dict(wire.own(start.extra))
        item_id = wire.string(own, "id")
        tool = self._tools.get(start.name)
        known = wire.own(tool.extra) if tool is not None else {}
        if own.get("type") == "tool_search_call" or known.get("type") == wire.TOOL_SEARCH:
            return SearchBlock(outputs, call_id, item_id, own)
        about = {"name": start.name, **own}
        namespace = own.get("namespace")
        if isinstance(namespace, str):
            about["name"] = start.name.removeprefix(f"{namespace}__")
        elif "namespace" in known:
            about |= {"name": known["name"], "namespace": known["namespace"]["name"]}
        if start.kind == "custom":
            return CustomBlock(outputs, call_id, item_id, about)
        if tool is not None and tool.kind == "custom":
            return UnwrappedBlock(outputs, call_id, item_id, about)
        return CallBlock(outputs, call_id, item_id, about)


def _decoded(arguments: str) -> Any:
    try:
        return msgspec.json.decode(arguments) if arguments else {}
    except (msgspec.DecodeError, RecursionError):
        return arguments
