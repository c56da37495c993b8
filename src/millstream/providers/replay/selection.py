"""Which reply of a scenario a request gets: pure questions about the request, and a memory of what was given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from millstream.core.messages import (
    MediaPart,
    Message,
    Part,
    RefusalPart,
    Request,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from millstream.providers.replay.scenario import AnyFault, Scenario, ScriptedReply, When


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as replies look at it. ``number`` counts the scenario's requests from 1."""

    request: Request
    body: bytes
    number: int


@dataclass(slots=True)
class Selection:
    """``requests`` counts what was asked; a reply is spent after its ``times``, a fault after its own."""

    scenario: Scenario
    requests: int = 0
    _given: dict[int, int] = field(default_factory=dict)
    _failed: dict[int, int] = field(default_factory=dict)

    def choose(self, asked: Asked) -> tuple[ScriptedReply, tuple[AnyFault, ...]] | None:
        """The reply and the faults it meets this time. None if no reply applies.

        A request that meets a fault of limited ``times`` does not spend the reply: its retry gets the same one.
        """
        for number, reply in enumerate(self.scenario.replies):
            if reply.times is not None and self._given.get(number, 0) >= reply.times:
                continue
            if applies(reply.when, asked):
                return reply, self._faults(number, reply)
        return None

    def _faults(self, number: int, reply: ScriptedReply) -> tuple[AnyFault, ...]:
        failed = self._failed.get(number, 0)
        faults = tuple(fault for fault in reply.faults if fault.times is None or failed < fault.times)
        memory = self._failed if any(fault.times is not None for fault in faults) else self._given
        memory[number] = memory.get(number, 0) + 1
        return faults


def applies(when: When, asked: Asked) -> bool:
    """Whether everything that ``when`` says is so."""
    request = asked.request
    said = (
        (when.stream, request.stream),
        (when.model, request.model),
        (when.request, asked.number),
        (when.turn, 1 + sum(message.role == "assistant" for message in request.messages)),
        (when.last_role, last_role(request)),
        (when.result_of, _result_of(request)),
        (when.format, request.response_format.kind if request.response_format else "text"),
        (when.reasoning, request.reasoning is not None and request.reasoning.mode != "disabled"),
    )
    return all(wanted is None or wanted == found for wanted, found in said) and _holds(when, asked)


def _holds(when: When, asked: Asked) -> bool:
    request = asked.request
    last = _last_turn(request)
    if when.tool is not None and not any(when.tool in ("*", tool.name) for tool in request.tools):
        return False
    if when.media is not None and not any(isinstance(part, MediaPart) and part.kind == when.media for part in last):
        return False
    if when.last_contains is not None and when.last_contains not in _text(last):
        return False
    if when.contains is None and when.lacks is None:
        return True
    body = "\n".join(_strings(_decoded(asked.body)))
    return (when.contains is None or when.contains in body) and (when.lacks is None or when.lacks not in body)


def last_role(request: Request) -> str:
    """Whose turn the history ends with; a message that brings tool results counts as ``tool``.

    What a program then adds as ``system`` is nobody's turn: Claude Code reminds the model of this and that.
    """
    turns = [message for message in request.messages if message.role not in ("system", "developer")]
    if not turns:
        return "system"
    return "tool" if any(isinstance(part, ToolResultPart) for part in turns[-1].parts) else turns[-1].role


def _last_turn(request: Request) -> tuple[Part, ...]:
    """The last message and, where that is only a reminder, the turn before it."""
    parts: list[Part] = []
    for message in reversed(request.messages):
        parts[:0] = message.parts
        if message.role not in ("system", "developer"):
            break
    return tuple(parts)


def last_prompt(request: Request) -> str:
    """The user's last own text."""
    for message in reversed(request.messages):
        texts = [part.text for part in message.parts if isinstance(part, TextPart)]
        if message.role == "user" and texts:
            return "\n".join(texts)
    return ""


def last_result(request: Request) -> str:
    """The text of the last tool result."""
    result = _last_result(request)
    return _text((result,)) if result is not None else ""


def _last_result(request: Request) -> ToolResultPart | None:
    results = [part for part in _all_parts(request.messages) if isinstance(part, ToolResultPart)]
    return results[-1] if results else None


def _result_of(request: Request) -> str | None:
    """The name of the tool whose result ends the history; None if something else does."""
    result = _last_result(request)
    if result is None or last_role(request) != "tool":
        return None
    calls = [part for part in _all_parts(request.messages) if isinstance(part, ToolCallPart)]
    return result.name or next((call.name for call in calls if call.id == result.call_id), None)


def _all_parts(messages: tuple[Message, ...]) -> Iterator[Part]:
    for message in messages:
        yield from message.parts


def _text(parts: tuple[Part, ...]) -> str:
    found: list[str] = []
    for part in parts:
        match part:
            case TextPart() | RefusalPart():
                found.append(part.text)
            case ToolResultPart(content=str(text)):
                found.append(text)
            case ToolResultPart(content=tuple() as inner):
                found.append(_text(inner))
    return "\n".join(found)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return body.decode(errors="replace")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
