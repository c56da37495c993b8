"""The items of ``input`` → turns.

The API lists a turn's thoughts, texts and calls as separate items; the canonical model, like most other APIs, has
them as parts of one message. Neighbouring items of one side are therefore joined, and what tells them apart stays in
the parts' ``extra``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from millstream.core.messages import (
    Message,
    Part,
    ReasoningPart,
    RefusalPart,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    ToolReferencePart,
    ToolResultPart,
    UnknownPart,
)
from millstream.core.opaque import split_call_id
from millstream.dialects.base import own_extra
from millstream.dialects.openai_responses import content_in, fields, wire

_MESSAGE = ("role", "content")
_ROLES = ("user", "system", "developer", "assistant")
_STANDING_FOR_OTHERS = frozenset({"compaction", "item_reference"})
"""Items that stand for a part of the conversation which only the provider can read."""

_NOT_THE_MODELS = frozenset({"additional_tools", "configuration_update", "compaction_trigger", "mcp_approval_response"})
"""Items of the client's side that are neither a message nor called an output."""


def messages(entries: Sequence[Mapping[str, Any]], path: str) -> tuple[Message, ...]:
    """The turns that ``entries`` are. Raises ``ClientFault`` that names the item."""
    turns = _Turns()
    for number, item in enumerate(entries):
        turns.add(item, f"{path}[{number}]")
    return turns.finish()


class _Turns:
    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._said: list[Part] = []
        self._results: list[Part] = []
        self._names: dict[str, str] = {}

    def finish(self) -> tuple[Message, ...]:
        self._flush()
        return tuple(self._messages)

    def add(self, item: Mapping[str, Any], path: str) -> None:
        kind = fields.optional_text(item, "type", path)
        if kind is None:
            kind = "message" if "role" in item else "item_reference"
        if kind == "message":
            self._message(item, path)
            return
        read = _READERS.get(kind)
        if read is not None:
            read(self, item, path)
        elif kind in wire.SERVER_CALLS:
            call_id = wire.string(item, "id")
            self._say(ServerToolResultPart(wire.NAME, call_id, item, text=wire.digest(item)))
        elif kind in _STANDING_FOR_OTHERS:
            self._give(UnknownPart(wire.NAME, item, asked=True))
        elif kind.endswith("_output") or kind in _NOT_THE_MODELS:
            self._give(UnknownPart(wire.NAME, item))
        else:
            self._say(UnknownPart(wire.NAME, item))

    def _flush(self) -> None:
        if self._said:
            self._messages.append(Message("assistant", tuple(self._said)))
            self._said = []
        if self._results:
            self._messages.append(Message("user", tuple(self._results)))
            self._results = []

    def _say(self, *parts: Part) -> None:
        if self._results:
            self._flush()
        self._said.extend(parts)

    def _give(self, part: Part) -> None:
        if self._said:
            self._flush()
        self._results.append(part)

    def _message(self, item: Mapping[str, Any], path: str) -> None:
        role = fields.text(item, "role", path)
        if role not in _ROLES:
            raise fields.wrong(f"{path}.role", f"expected one of {', '.join(_ROLES)}, got {role!r}")
        given = item.get("content")
        plain = isinstance(given, str)
        kept = wire.rest(item, _MESSAGE)
        text_type = "output_text" if role == "assistant" else "input_text"
        parts: tuple[content_in.ContentPart, ...]
        if isinstance(given, str):
            parts = (TextPart(given),)
        else:
            parts = content_in.content(fields.object_list(given, f"{path}.content"), f"{path}.content", text_type)
        if role == "assistant":
            self._assistant(parts, item, {**kept, "plain": True} if plain else kept)
            return
        self._flush()
        extra = {wire.NAME: {"item": kept}}
        self._messages.append(Message(_role(role), parts, plain=plain, extra=extra))

    def _assistant(self, parts: tuple[content_in.ContentPart, ...], item: Mapping[str, Any], kept: Any) -> None:
        said = [part for part in parts if isinstance(part, TextPart | RefusalPart)]
        if not said or len(said) < len(parts):
            self._say(UnknownPart(wire.NAME, item))
            return
        extra = {wire.NAME: {**wire.own(said[0].extra), "item": kept}}
        self._say(msgspec.structs.replace(said[0], extra=extra), *said[1:])

    def _reasoning(self, item: Mapping[str, Any], path: str) -> None:
        item_id = fields.optional_text(item, "id", path) or ""
        given = fields.optional_text(item, "encrypted_content", path)
        sealed = wire.read_encrypted(given, item_id) if given is not None else wire.Sealed()
        if sealed.of_call is not None:
            self._sign_last_call(sealed)
            return
        texts = wire.objects(item, "summary") or wire.objects(item, "content")
        part = ReasoningPart(
            "\n\n".join(wire.string(entry, "text") for entry in texts),
            signature=sealed.signature,
            redacted=sealed.redacted,
            id=item_id or None,
            extra=own_extra(wire.NAME, wire.rest(item, ("type", "id", "encrypted_content"))),
        )
        self._say(part)

    def _sign_last_call(self, sealed: wire.Sealed) -> None:
        """A signature of another provider's tool call follows that call in an item of its own."""
        for number in range(len(self._said) - 1, -1, -1):
            part = self._said[number]
            if isinstance(part, ToolCallPart):
                self._said[number] = msgspec.structs.replace(part, signature=sealed.of_call)
                return

    def _function_call(self, item: Mapping[str, Any], path: str) -> None:
        namespace = fields.optional_text(item, "namespace", path) or ""
        inner = fields.text(item, "name", path)
        kept = wire.rest(item, ("type", "call_id", "name", "arguments"))
        name = wire.flat_name(namespace, inner)
        self._call(name, item, path, fields.text(item, "arguments", path), "function", kept)

    def _custom_call(self, item: Mapping[str, Any], path: str) -> None:
        namespace = fields.optional_text(item, "namespace", path) or ""
        inner = fields.text(item, "name", path)
        kept = wire.rest(item, ("type", "call_id", "name", "input"))
        name = wire.flat_name(namespace, inner)
        self._call(name, item, path, fields.text(item, "input", path), "custom", kept)

    def _search_call(self, item: Mapping[str, Any], path: str) -> None:
        if item.get("execution") != "client" or not item.get("call_id"):
            self._say(UnknownPart(wire.NAME, item))
            return
        arguments = msgspec.json.encode(item.get("arguments")).decode()
        kept = wire.rest(item, ("call_id", "arguments"))
        self._call(wire.TOOL_SEARCH, item, path, arguments, "function", kept)

    def _call(
        self,
        name: str,
        item: Mapping[str, Any],
        path: str,
        arguments: str,
        kind: Literal["function", "custom"],
        kept: dict[str, Any],
    ) -> None:
        call_id, signature = split_call_id(fields.text(item, "call_id", path))
        self._names[call_id] = name
        self._say(ToolCallPart(call_id, name, arguments, kind, signature, extra=own_extra(wire.NAME, kept)))

    def _function_output(self, item: Mapping[str, Any], path: str) -> None:
        self._result(item, path, "function")

    def _custom_output(self, item: Mapping[str, Any], path: str) -> None:
        self._result(item, path, "custom")

    def _result(self, item: Mapping[str, Any], path: str, kind: Literal["function", "custom"]) -> None:
        given_id = fields.optional_text(item, "call_id", path)
        if given_id is None:
            self._give(UnknownPart(wire.NAME, item))
            return
        call_id, _ = split_call_id(given_id)
        given = item.get("output")
        if isinstance(given, str):
            content: str | tuple[Any, ...] = given
        elif given is None:
            raise fields.wrong(f"{path}.output", "this field is required")
        else:
            content = content_in.result_content(fields.object_list(given, f"{path}.output"), f"{path}.output")
        kept = wire.rest(item, ("type", "call_id", "output"))
        name = self._names.get(call_id) or wire.string(item, "name") or None
        self._give(ToolResultPart(call_id, content, kind=kind, name=name, extra=own_extra(wire.NAME, kept)))

    def _search_output(self, item: Mapping[str, Any], path: str) -> None:
        call_id = item.get("call_id")
        if item.get("execution") != "client" or not isinstance(call_id, str):
            self._say(UnknownPart(wire.NAME, item))
            return
        call_id, _ = split_call_id(call_id)
        found = tuple(ToolReferencePart(name) for name in _tool_names(wire.objects(item, "tools")))
        kept = wire.rest(item, ("call_id",))
        self._give(ToolResultPart(call_id, found, name=wire.TOOL_SEARCH, extra=own_extra(wire.NAME, kept)))


_Reader = Callable[[_Turns, Mapping[str, Any], str], None]
_READERS: dict[str, _Reader] = {
    "reasoning": _Turns._reasoning,
    "function_call": _Turns._function_call,
    "custom_tool_call": _Turns._custom_call,
    "tool_search_call": _Turns._search_call,
    "function_call_output": _Turns._function_output,
    "custom_tool_call_output": _Turns._custom_output,
    "tool_search_output": _Turns._search_output,
}


def _role(role: str) -> Literal["user", "system", "developer"]:
    return "system" if role == "system" else "developer" if role == "developer" else "user"


def _tool_names(tools: Sequence[Mapping[str, Any]]) -> list[str]:
    names: list[str] = []
    for tool in tools:
        inner = wire.objects(tool, "tools")
        if inner:
            names += [wire.flat_name(wire.string(tool, "name"), wire.string(entry, "name")) for entry in inner]
        elif name := wire.string(tool, "name"):
            names.append(name)
    return names
