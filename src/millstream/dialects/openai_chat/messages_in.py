"""The messages of a client → turns.

A tool's results have a role of their own in this API; here they are the user's, those of one turn in one message. A
first message of the system's or developer's is the request's ``system``; later ones stay where they are.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from millstream.core.messages import (
    Message,
    Opaque,
    Part,
    RefusalPart,
    ResultPart,
    Role,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from millstream.core.opaque import split_call_id
from millstream.dialects.openai_chat import reasoning, wire
from millstream.dialects.openai_chat.calls import LEGACY
from millstream.dialects.openai_chat.fields import Fields, missing, unexpected, wrong
from millstream.dialects.openai_chat.media import citation_of
from millstream.dialects.openai_chat.parts_in import parts_in, result_parts_in

SYSTEM = "$message"
"""Note on the first part of the system prompt: what else its message says, its role included."""

REFUSED = "$field"
"""Note on a refusal: it came in the message's field, not among the parts."""

_ROLES: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}


class Conversation:
    """``system`` and its ``plain`` as in ``Request``; ``messages`` is the rest."""

    def __init__(self, entries: list[Any]) -> None:
        """Raises ``ClientFault`` that names the path."""
        self.system: tuple[Part, ...] = ()
        self.system_plain = False
        self.messages: list[Message] = []
        self._results: list[ToolResultPart] = []
        self._functions: dict[str, str] = {}
        for number, entry in enumerate(entries):
            self._take(entry, number, f"messages[{number}]")
        self._flush()

    def _take(self, entry: object, number: int, path: str) -> None:
        fields = Fields(entry, path)
        role = fields.required_text("role")
        if role == "tool":
            self._results.append(_result(fields))
            return
        if role == "function":
            self._results.append(self._function_result(fields))
            return
        self._flush()
        if role not in _ROLES:
            known = "'system', 'developer', 'user', 'assistant', 'tool' or 'function'"
            raise wrong(fields.at("role"), f"expected {known}, got {role!r}")
        if role == "assistant":
            self.messages.append(self._assistant(fields, number))
            return
        message = _message(fields, _ROLES[role])
        if number == 0 and role in ("system", "developer") and _only_text(message):
            self._set_system(message)
        else:
            self.messages.append(message)

    def _flush(self) -> None:
        """Results that stood side by side answer the calls of one turn."""
        if self._results:
            self.messages.append(Message("user", tuple(self._results)))
            self._results = []

    def _set_system(self, message: Message) -> None:
        about: dict[str, Any] = wire.own_fields(message.extra)
        if message.role != "system":
            about["role"] = message.role
        if message.name is not None:
            about["name"] = message.name
        first, *others = message.parts
        if about and isinstance(first, TextPart):
            first = msgspec.structs.replace(first, extra={wire.NAME: {**wire.own(first.extra), SYSTEM: about}})
        self.system, self.system_plain = (first, *others), message.plain

    def _function_result(self, fields: Fields) -> ToolResultPart:
        """The deprecated form has no ids: a result belongs to the last call of its name."""
        name = fields.required_text("name")
        call_id = self._functions.get(name)
        if call_id is None:
            raise wrong(fields.path, f"no function {name!r} was called before")
        content = fields.text("content") or ""
        fields.keep(LEGACY, value=True)
        return ToolResultPart(call_id, content, name=name, extra=fields.extra())

    def _assistant(self, fields: Fields, number: int) -> Message:
        parts: list[Part] = list(_thoughts(fields))
        content, plain = _content(fields)
        parts += content
        refusal = fields.text("refusal")
        if refusal is not None:
            parts.append(RefusalPart(refusal, {wire.NAME: {REFUSED: True}}))
        for position, call in enumerate(fields.array("tool_calls") or []):
            parts.append(_call(Fields(call, f"{fields.at('tool_calls')}[{position}]")))
        function_call = fields.nested("function_call")
        if function_call is not None:
            parts.append(self._function_call(function_call, number))
        if not parts and fields.peek("content") is None and "audio" not in fields.rest():
            raise missing(fields.at("content"))
        name = fields.text("name")
        return Message("assistant", tuple(_cited(parts, fields)), plain, name, fields.extra())

    def _function_call(self, fields: Fields, number: int) -> ToolCallPart:
        name, arguments = fields.required_text("name"), fields.required_text("arguments")
        call_id = f"call_{number}_{name}"
        self._functions[name] = call_id
        fields.keep(LEGACY, value=True)
        return ToolCallPart(call_id, name, arguments, extra=fields.extra())


def _only_text(message: Message) -> bool:
    return bool(message.parts) and all(isinstance(part, TextPart) for part in message.parts)


def _message(fields: Fields, role: Role) -> Message:
    if fields.peek("content") is None:
        raise missing(fields.at("content"))
    parts, plain = _content(fields, keep_empty=True)
    name = fields.text("name")
    return Message(role, tuple(parts), plain, name, fields.extra())


def _content(fields: Fields, *, keep_empty: bool = False) -> tuple[list[Part], bool]:
    """The parts, and whether they were a plain text. An assistant's empty text says nothing and stays unread."""
    content = fields.peek("content")
    if isinstance(content, str):
        if not content and not keep_empty:
            return [], False
        fields.any("content")
        return [TextPart(content)], True
    if isinstance(content, list):
        return list(parts_in(fields.array("content") or [], fields.at("content"))), False
    if content is not None:
        raise unexpected(fields.at("content"), "a string or an array", content)
    return [], False


def _thoughts(fields: Fields) -> list[Part]:
    """Past thinking, from whichever fields hold it. They stay in ``extra`` for an upstream of this dialect."""
    text = fields.peek("reasoning_content") or fields.peek("reasoning")
    details = fields.peek("reasoning_details")
    plain = text if isinstance(text, str) else None
    return list(reasoning.parts_of(details if isinstance(details, list) else [], plain))


def _cited(parts: list[Part], fields: Fields) -> list[Part]:
    """Sources belong to the last text. They too stay in ``extra``."""
    annotations = fields.peek("annotations")
    texts = [number for number, part in enumerate(parts) if isinstance(part, TextPart)]
    if isinstance(annotations, list) and annotations and texts:
        citations = tuple(citation_of(entry) for entry in annotations if isinstance(entry, dict))
        parts[texts[-1]] = msgspec.structs.replace(parts[texts[-1]], citations=citations)
    return parts


def _call(fields: Fields) -> ToolCallPart:
    given_id = fields.required_text("id")
    call_id, signature = split_call_id(given_id)
    kind: Literal["function", "custom"] = "custom" if fields.peek("type") == "custom" else "function"
    written = fields.any("type") if fields.peek("type") in ("function", "custom") else None
    inner = fields.required(kind)
    name = inner.required_text("name")
    arguments = inner.required_text("input" if kind == "custom" else "arguments")
    if written is None and fields.peek("type") is None and "type" not in fields.rest():
        fields.keep(UNTYPED, value=True)
    if inner.rest():
        fields.keep(kind, inner.rest())
    signed = fields.peek("extra_content")
    if isinstance(signed, dict):
        signature = Opaque(wire.NAME, wire.json_text({"extra_content": signed}))
    return ToolCallPart(call_id, name, arguments, kind, signature, extra=fields.extra())


UNTYPED = "$untyped"
"""Note on a call: it came without ``type``."""


def _result(fields: Fields) -> ToolResultPart:
    call_id, _ = split_call_id(fields.required_text("tool_call_id"))
    content = fields.peek("content")
    name = fields.text("name")
    found: str | tuple[ResultPart, ...]
    if isinstance(content, list):
        fields.any("content")
        found = result_parts_in(content, fields.at("content"))
    else:
        found = fields.text("content") or ""
        if content is None:
            raise missing(fields.at("content"))
    return ToolResultPart(call_id, found, name=name, extra=fields.extra())
