"""What ``useChat`` posts → a canonical request.

A UI message of the assistant holds several steps of a model; each becomes a turn with its calls, followed by their
results. Parts that are only for people (``data-*``, sources) are not told to the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import (
    Message,
    Opaque,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from millstream.dialects.fronts import file_part
from millstream.dialects.ui_messages import NAME
from millstream.dialects.ui_messages.model_messages import model_turns

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class UiMessage(msgspec.Struct, frozen=True):
    """With ``content`` in place of ``parts`` it is one of the AI SDK's model messages, as assistant-ui sends them."""

    role: str
    parts: list[dict[str, Any]] = []
    id: str = ""
    content: str | list[dict[str, Any]] | None = None


class ClientTool(msgspec.Struct, frozen=True):
    """A tool that the page itself runs."""

    name: str = ""
    description: str | None = None
    parameters: dict[str, Any] | None = None
    inputSchema: dict[str, Any] | None = None  # noqa: N815  # the AI SDK's own name


class ChatAsk(msgspec.Struct, frozen=True):
    """The body. ``id`` is the chat's; ``model``, ``system``, ``max_tokens`` and ``tools`` are what the page adds to it
    (``useChat({body})``)."""

    messages: list[UiMessage]
    id: str | None = None
    trigger: str = "submit-message"
    messageId: str | None = None  # noqa: N815  # the AI SDK's own name
    model: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    tools: tuple[ClientTool, ...] | dict[str, ClientTool] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """To a question: ``id`` is the one the stream gave it."""

    id: str
    approved: bool
    reason: str | None = None


def read_chat(body: bytes) -> ChatAsk:
    """Raises ``ClientFault``."""
    try:
        ask = msgspec.json.decode(body, type=ChatAsk)
    except msgspec.ValidationError as error:
        raise ClientFault(str(error)) from error
    except _UNREADABLE as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error
    if not ask.messages:
        raise ClientFault("messages: there is none", param="messages")
    if ask.max_tokens is not None and ask.max_tokens < 1:
        raise ClientFault("max_tokens: it must be at least 1", param="max_tokens")
    return ask


def answers_of(ask: ChatAsk) -> list[Answer]:
    """What the user has said to the questions of the last message, where its tools have not run yet."""
    last = ask.messages[-1]
    if last.role != "assistant":
        return []
    found = []
    for part in last.parts:
        approval = part.get("approval")
        if part.get("state") == "approval-responded" and isinstance(approval, dict):
            reason = approval.get("reason")
            approved = approval.get("approved") is True
            found.append(Answer(str(approval.get("id")), approved, reason if isinstance(reason, str) else None))
    return found


def request_of(ask: ChatAsk, default_model: str) -> Request:
    """Raises ``ClientFault`` that names the field."""
    system: list[Part] = [TextPart(ask.system)] if ask.system else []
    turns: list[Message] = []
    for number, message in enumerate(ask.messages):
        path = f"messages[{number}]"
        if message.role == "system":
            parts = _user_parts(message.parts, path)
            system += [TextPart(message.content)] if isinstance(message.content, str) else parts
        elif message.content is not None:
            turns += model_turns(message.role, message.content, path)
        elif message.role == "user":
            parts = _user_parts(message.parts, path)
            if parts:
                turns.append(Message("user", parts))
        elif message.role == "assistant":
            turns += _Steps(path).turns(message.parts)
        else:
            raise ClientFault(f"{path}.role: it is system, user or assistant", param=f"{path}.role")
    if not turns:
        raise ClientFault("messages: there is nothing in them", param="messages")
    return Request(
        NAME,
        ask.model or default_model,
        tuple(turns),
        system=tuple(system),
        system_plain=len(system) == 1,
        tools=_tools(ask),
        stream=True,
        include_usage=True,
        max_tokens=ask.max_tokens,
    )


def _tools(ask: ChatAsk) -> tuple[Tool, ...]:
    given = ask.tools.items() if isinstance(ask.tools, dict) else [(tool.name, tool) for tool in ask.tools]
    if not all(name for name, _ in given):
        raise ClientFault("tools: each needs a name", param="tools")
    return tuple(
        Tool(name, tool.description, tool.parameters or tool.inputSchema or {"type": "object"}) for name, tool in given
    )


def _user_parts(parts: Sequence[Mapping[str, Any]], path: str) -> tuple[Part, ...]:
    found: list[Part] = []
    for number, part in enumerate(parts):
        where = f"{path}.parts[{number}]"
        if part.get("type") == "text":
            text = _text(part, "text", where)
            if text:
                found.append(TextPart(text))
        elif part.get("type") == "file":
            media_type = _text(part, "mediaType", where) if part.get("mediaType") else None
            name = part.get("filename")
            url = _text(part, "url", where)
            found.append(file_part(url, media_type, name if isinstance(name, str) else None, f"{where}.url"))
    return tuple(found)


@dataclass
class _Steps:
    """One message of the assistant on its way to turns."""

    path: str
    said: list[Part] = field(default_factory=list)
    results: list[ToolResultPart] = field(default_factory=list)
    found: list[Message] = field(default_factory=list)

    def turns(self, parts: Sequence[Mapping[str, Any]]) -> list[Message]:
        for number, part in enumerate(parts):
            where = f"{self.path}.parts[{number}]"
            kind = part.get("type", "")
            if not isinstance(kind, str):
                raise ClientFault(f"{where}.type: it is a text", param=f"{where}.type")
            if kind == "step-start":
                self._flush()
            elif kind == "text":
                self._said(TextPart(_text(part, "text", where), signature=_opaque(part, "signature")))
            elif kind == "reasoning":
                self._said(_reasoning(part, where))
            elif kind == "dynamic-tool" or kind.startswith("tool-"):
                self._tool(part, kind, where)
        self._flush()
        return self.found

    def _said(self, part: Part) -> None:
        if self.results:
            self._flush()
        if not (isinstance(part, TextPart) and not part.text):
            self.said.append(part)

    def _tool(self, part: Mapping[str, Any], kind: str, where: str) -> None:
        if part.get("providerExecuted"):
            return  # its result is the provider's, whose answer has the gist of it
        state = part.get("state")
        if state == "input-streaming":
            return  # broken off before it was whole
        name = _text(part, "toolName", where) if kind == "dynamic-tool" else kind.removeprefix("tool-")
        call_id = _text(part, "toolCallId", where)
        given = part.get("input", part.get("rawInput", {}))
        arguments = msgspec.json.encode({} if given is None else given).decode()
        self.said.append(ToolCallPart(call_id, name, arguments, signature=_opaque(part, "signature")))
        self.results.append(_result(part, state, call_id, name))

    def _flush(self) -> None:
        if self.said:
            self.found.append(Message("assistant", tuple(self.said)))
        if self.results:
            self.found.append(Message("user", tuple(self.results)))
        self.said, self.results = [], []


def _result(part: Mapping[str, Any], state: object, call_id: str, name: str) -> ToolResultPart:
    """Every call has one: a model that sees a call without refuses the conversation."""
    if state == "output-available":
        output = part.get("output")
        content = output if isinstance(output, str) else msgspec.json.encode(output).decode()
        return ToolResultPart(call_id, content, name=name)
    if state == "output-error":
        return ToolResultPart(call_id, str(part.get("errorText") or "it failed"), is_error=True, name=name)
    if state == "output-denied":
        return ToolResultPart(call_id, f"{name} was not allowed to run.", is_error=True, name=name)
    return ToolResultPart(call_id, f"{name} was not run.", is_error=True, name=name)


def _reasoning(part: Mapping[str, Any], where: str) -> ReasoningPart:
    redacted = _opaque(part, "redacted")
    if redacted is not None:
        return ReasoningPart(redacted=redacted)
    return ReasoningPart(_text(part, "text", where), signature=_opaque(part, "signature"))


def _opaque(part: Mapping[str, Any], name: str) -> Opaque | None:
    metadata = part.get("providerMetadata") or part.get("callProviderMetadata")
    ours = metadata.get("millstream") if isinstance(metadata, dict) else None
    if not isinstance(ours, dict) or not isinstance(ours.get(name), str):
        return None
    return Opaque(str(ours.get("origin")), ours[name])


def _text(part: Mapping[str, Any], name: str, where: str) -> str:
    value = part.get(name)
    if not isinstance(value, str):
        raise ClientFault(f"{where}.{name}: it is a text", param=f"{where}.{name}")
    return value
