"""What an agent does next, decided from the conversation alone: no I/O, no clock, nothing remembered.

ask the model → its calls of tools that run here → their results → ask the model → … → its last word

A turn may call tools that run here and tools of the client. Those here are run; then the reply ends with the client's
calls, and its next request, which brings their results, is where the loop goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from millstream.core.messages import (
    Message,
    Opaque,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)

MARK = "\u2063"
"""INVISIBLE SEPARATOR: what a line of progress begins with, so that it is known when it comes back as history."""

OWN = "millstream"
"""Origin of the signature of reasoning that is progress."""

_PROGRESS_LINE = re.compile(rf"{MARK}[^\n]*\n?")


@dataclass(frozen=True, slots=True)
class AskModel:
    """The conversation is the model's to continue."""


@dataclass(frozen=True, slots=True)
class RunTools:
    """``calls`` run here, side by side. ``mixed``: the same turn calls tools of the client too, so that the model
    cannot be asked before the client has answered."""

    calls: tuple[ToolCallPart, ...]
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """The reply is complete. ``unrun``: calls that the limit of model calls leaves unanswered."""

    unrun: tuple[ToolCallPart, ...] = ()

    @property
    def exhausted(self) -> bool:
        return bool(self.unrun)


Step = AskModel | RunTools | Stop


def next_step(history: Sequence[Message], is_ours: Callable[[str], bool], steps: int, most: int) -> Step:
    """After ``steps`` model calls of at most ``most``. ``is_ours`` tells, by its name, which tool runs here."""
    last = history[-1] if history else None
    if last is None or last.role != "assistant":
        return AskModel()
    calls = calls_of(last)
    ours = tuple(call for call in calls if is_ours(call.name))
    if not ours:
        return Stop()
    mixed = len(ours) < len(calls)
    if steps >= most and not mixed:
        return Stop(ours)
    return RunTools(ours, mixed)


def results_message(calls: Sequence[ToolCallPart], results: Sequence[ToolResultPart]) -> Message:
    """The user's turn that answers ``calls``, in their order."""
    by_id = {result.call_id: result for result in results}
    return Message("user", tuple(by_id[call.id] for call in calls))


def offered(request: Request, ours: Sequence[Tool], step: int) -> Request:
    """``request`` with ``ours`` among its tools; one of the client's of the same name gives way, since it is run here.

    After the first ``step`` the model is no longer forced to call a tool: it could never end.
    """
    names = {tool.name for tool in ours}
    tools = (*(tool for tool in request.tools if tool.name not in names), *ours)
    choice = request.tool_choice
    if step > 1 and choice is not None and choice.mode in ("any", "tool"):
        choice = ToolChoice("auto", choice.names if choice.mode == "any" else ())
    return msgspec.structs.replace(request, tools=tools, tool_choice=choice, stream=True)


def without_progress(messages: Sequence[Message]) -> tuple[Message, ...]:
    """``messages`` without the lines of progress that earlier replies had in them: they are not the model's words."""
    return tuple(message for message in map(_without_progress, messages) if message is not None)


def _without_progress(message: Message) -> Message | None:
    if message.role != "assistant" or not any(_has_progress(part) for part in message.parts):
        return message
    parts = [part for part in map(_cleaned, message.parts) if part is not None]
    return msgspec.structs.replace(message, parts=tuple(parts)) if parts else None


def _has_progress(part: Part) -> bool:
    if isinstance(part, ReasoningPart) and _is_own(part.signature):
        return True
    return isinstance(part, TextPart | ReasoningPart) and MARK in part.text


def _cleaned(part: Part) -> Part | None:
    if not _has_progress(part) or not isinstance(part, TextPart | ReasoningPart):
        return part
    if isinstance(part, ReasoningPart) and _is_own(part.signature):
        return None
    text = _PROGRESS_LINE.sub("", part.text)
    return msgspec.structs.replace(part, text=text) if text else None


def _is_own(signature: Opaque | None) -> bool:
    return signature is not None and signature.origin == OWN


def calls_of(message: Message) -> list[ToolCallPart]:
    return [part for part in message.parts if isinstance(part, ToolCallPart) and part.kind != "server"]


def restored(messages: Sequence[Message], kept: Sequence[Message]) -> tuple[Message, ...]:
    """``messages``, where the client's version of a mixed turn is replaced by ``kept``: what came before the turn in
    the same reply, the turn as the model wrote it and, last, the results found here. Those of the client join them."""
    *run, ours = kept
    ids = {call.id for call in calls_of(run[-1])}
    found = [n for n, message in enumerate(messages) if any(call.id in ids for call in calls_of(message))]
    if not found:
        return tuple(messages)
    start = end = found[-1]
    while start > 0 and messages[start - 1].role == "assistant":
        start -= 1
    answers = messages[end + 1] if end + 1 < len(messages) else Message("user", ())
    joined = msgspec.structs.replace(answers, parts=(*ours.parts, *answers.parts), plain=False)
    return (*messages[:start], *run, joined, *messages[end + 2 :])
