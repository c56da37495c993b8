"""``RunAgentInput`` → a canonical request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from millstream.core.errors import ClientFault
from millstream.core.messages import (
    MediaPart,
    Message,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)
from millstream.core.opaque import unwrap
from millstream.dialects.ag_ui import NAME
from millstream.dialects.fronts import file_part

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_REDACTED = "redacted:"
_FILES = frozenset({"image", "audio", "video", "document"})


class Called(msgspec.Struct, frozen=True):
    name: str
    arguments: str = ""


class Call(msgspec.Struct, frozen=True):
    id: str
    function: Called


class AgUiMessage(msgspec.Struct, frozen=True, rename="camel"):
    role: str
    content: Any = None
    tool_calls: tuple[Call, ...] | None = None
    tool_call_id: str | None = None
    error: str | None = None
    encrypted_value: str | None = None


class AgUiTool(msgspec.Struct, frozen=True):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ContextEntry(msgspec.Struct, frozen=True):
    description: str = ""
    value: str = ""


class ResumeEntry(msgspec.Struct, frozen=True, rename="camel"):
    interrupt_id: str
    status: str
    payload: Any = None

    @property
    def approved(self) -> bool:
        """Only a plain yes is one."""
        said = self.payload.get("approved") if isinstance(self.payload, dict) else self.payload
        return self.status == "resolved" and said is True

    @property
    def reason(self) -> str | None:
        reason = self.payload.get("reason") if isinstance(self.payload, dict) else None
        return reason if isinstance(reason, str) else None

    @property
    def action(self) -> Literal["accept", "decline", "cancel"] | None:
        """What is done with a tool's question; None: it cannot be told."""
        if self.status == "cancelled":
            return "cancel"
        said = self.payload.get("action") if isinstance(self.payload, dict) else None
        return said if said in ("accept", "decline", "cancel") else None

    @property
    def content(self) -> dict[str, Any] | None:
        content = self.payload.get("content") if isinstance(self.payload, dict) else None
        return content if isinstance(content, dict) else None


class RunAgentInput(msgspec.Struct, frozen=True, rename="camel"):
    """``forwarded_props`` may name ``model``, ``system`` and ``max_tokens``. ``state`` is the page's own."""

    thread_id: str
    run_id: str
    messages: tuple[AgUiMessage, ...] = ()
    tools: tuple[AgUiTool, ...] = ()
    context: tuple[ContextEntry, ...] = ()
    forwarded_props: Any = None
    resume: tuple[ResumeEntry, ...] | None = None

    def prop(self, name: str) -> Any:
        return self.forwarded_props.get(name) if isinstance(self.forwarded_props, dict) else None


def read_input(body: bytes) -> RunAgentInput:
    """Raises ``ClientFault``."""
    try:
        return msgspec.json.decode(body, type=RunAgentInput)
    except msgspec.ValidationError as error:
        raise ClientFault(str(error)) from error
    except _UNREADABLE as error:
        raise ClientFault(f"the request body is not valid JSON: {error}") from error


@dataclass(frozen=True, slots=True)
class History:
    """A conversation as the client sent it (JSON, on one line), and the ids of the calls in it."""

    messages: bytes = b"[]"
    calls: frozenset[str] = frozenset()


class _Said(msgspec.Struct, frozen=True):
    messages: msgspec.Raw = msgspec.Raw(b"[]")


def history_of(given: RunAgentInput, body: bytes) -> History:
    """``body`` is what ``given`` was read from."""
    calls = frozenset(call.id for message in given.messages for call in message.tool_calls or ())
    return History(msgspec.json.format(bytes(msgspec.json.decode(body, type=_Said).messages), indent=-1), calls)


def request_of(given: RunAgentInput, default_model: str) -> Request:
    """Raises ``ClientFault`` that names the field."""
    model, system, most = given.prop("model"), given.prop("system"), given.prop("max_tokens")
    words: list[Part] = [TextPart(system)] if isinstance(system, str) and system else []
    turns: list[Message] = []
    for number, message in enumerate(given.messages):
        path = f"messages[{number}]"
        if message.role in ("system", "developer"):
            words += [part for part in _content(message.content, path) if isinstance(part, TextPart)]
        elif (turn := _turn(message, path)) is not None:
            _join(turns, turn)
    if not turns:
        raise ClientFault("messages: there is none for the model", param="messages")
    words += [TextPart(f"{entry.description}: {entry.value}") for entry in given.context]
    return Request(
        NAME,
        model if isinstance(model, str) and model else default_model,
        tuple(turns),
        system=tuple(words),
        system_plain=len(words) == 1,
        tools=tuple(Tool(tool.name, tool.description, tool.parameters or {"type": "object"}) for tool in given.tools),
        stream=True,
        include_usage=True,
        max_tokens=most if isinstance(most, int) and most > 0 else None,
    )


def _turn(message: AgUiMessage, path: str) -> Message | None:
    match message.role:
        case "user":
            parts = _content(message.content, path)
            return Message("user", parts) if parts else None
        case "assistant":
            calls = [
                ToolCallPart(one.id, one.function.name, one.function.arguments) for one in message.tool_calls or ()
            ]
            said = (*_content(message.content, path), *calls)
            return Message("assistant", said) if said else None
        case "tool":
            if message.tool_call_id is None:
                raise ClientFault(f"{path}.toolCallId: it is missing", param=f"{path}.toolCallId")
            text = "\n".join(part.text for part in _content(message.content, path) if isinstance(part, TextPart))
            result = ToolResultPart(message.tool_call_id, message.error or text, is_error=message.error is not None)
            return Message("user", (result,))
        case "reasoning":
            return Message("assistant", (_reasoning(message),))
        case "activity":
            return None
        case _:
            raise ClientFault(f"{path}.role: {message.role!r} is none of AG-UI's", param=f"{path}.role")


def _join(turns: list[Message], turn: Message) -> None:
    """What a model says in one turn, and results that answer it, are messages of their own in AG-UI."""
    last = turns[-1] if turns else None
    if last is not None and last.role == turn.role and (turn.role == "assistant" or _only_results(last, turn)):
        turns[-1] = Message(turn.role, (*last.parts, *turn.parts))
    else:
        turns.append(turn)


def _only_results(*messages: Message) -> bool:
    return all(isinstance(part, ToolResultPart) for message in messages for part in message.parts)


def _reasoning(message: AgUiMessage) -> ReasoningPart:
    value = message.encrypted_value
    if value is not None and value.startswith(_REDACTED):
        return ReasoningPart(redacted=unwrap(value.removeprefix(_REDACTED), NAME))
    text = message.content if isinstance(message.content, str) else ""
    return ReasoningPart(text, signature=None if value is None else unwrap(value, NAME))


def _content(content: Any, path: str) -> tuple[Part, ...]:
    if content is None or content == "":
        return ()
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, Sequence):
        raise ClientFault(f"{path}.content: it is a text or a list of parts", param=f"{path}.content")
    return tuple(_part(part, f"{path}.content[{number}]") for number, part in enumerate(content))


def _part(part: Any, path: str) -> Part:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return TextPart(part["text"])
    source = part.get("source") if isinstance(part, Mapping) else None
    if kind not in _FILES or not isinstance(source, dict) or not isinstance(source.get("value"), str):
        raise ClientFault(f"{path}: it is none of AG-UI's parts", param=path)
    media_type = source.get("mimeType") or kind
    if source.get("type") == "data":
        return MediaPart(kind, media_type, data=source["value"])
    if source.get("type") == "file":
        return MediaPart(kind, media_type, file_id=source["value"])
    return file_part(source["value"], media_type, None, path)
