"""Which model a request needs, where its client leaves that to us: read off the request alone, by rules one can read.

Each signal counts points; the sum says ``simple``, ``moderate`` or ``complex``, and the configuration names a model for
each. No model is asked, so that the choice costs next to nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from millstream.core.messages import MediaPart, Message, Request, TextPart, ToolCallPart, ToolResultPart

AUTO = "auto"
Complexity = Literal["simple", "moderate", "complex"]

_CODE = re.compile(
    r"```|^\s*(?:def |class |import |#include|function |const |let |SELECT |public |fn )|[{};]\s*$|Traceback \(most",
    re.MULTILINE,
)
_HARD = re.compile(
    r"\b(?:step by step|prove|proof|derive|debug|refactor|architect\w*|design|optimi[sz]e|analy[sz]e|compare"
    r"|trade-?offs?|implement|migrate|root cause|explain why|security)\b",
    re.IGNORECASE,
)
_ROUNDS = re.compile(
    r"\b(?:then|after that|finally|next|all (?:the )?\w+s|every|each|whole (?:project|repo\w*|code\s?base))\b"
    r"|^\s*(?:\d+[.)]|[-*]) ",
    re.IGNORECASE | re.MULTILINE,
)
_LOOKED_AT = 50_000
"""Characters of the last question that are searched."""

_MOST_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class Signals:
    """What was found. Lengths are in characters; ``tool_rounds`` is a guess at how often tools will be called."""

    length: int
    conversation: int
    code: bool
    tools: int
    images: int
    reasoning: bool
    tool_rounds: int


@dataclass(frozen=True, slots=True)
class Choice:
    """``model`` is None where the configuration names none for this complexity: then the default model is meant."""

    complexity: Complexity
    model: str | None
    reason: str
    signals: Signals


@dataclass(frozen=True, slots=True)
class Auto:
    """``models`` by complexity; from ``moderate`` points on a request is moderate, from ``complex`` on complex."""

    models: Mapping[str, str] = field(default_factory=dict)
    moderate: int = 2
    complex: int = 4

    def choose(self, request: Request) -> Choice:
        signals = signals_of(request)
        points = _points(signals)
        total = sum(points.values())
        complexity: Complexity = "simple"
        if total >= self.complex:
            complexity = "complex"
        elif total >= self.moderate:
            complexity = "moderate"
        reason = ", ".join(points) or "short and plain"
        return Choice(complexity, self.models.get(complexity), reason, signals)


def _points(signals: Signals) -> dict[str, int]:
    """Reason → points."""
    found: dict[str, int] = {}
    if signals.length > 6000:
        found["a very long question"] = 2
    elif signals.length > 1200:
        found["a long question"] = 1
    if signals.conversation > 60_000:
        found["a long conversation"] = 1
    if signals.code:
        found["code"] = 1
    if signals.images:
        found["images"] = 1
    if signals.reasoning:
        found["reasoning asked for"] = 2
    if signals.tools and signals.tool_rounds >= 3:
        found["many tool calls to expect"] = 2
    elif signals.tools:
        found["tools"] = 1
    return found


def signals_of(request: Request) -> Signals:
    question = _question(request.messages)
    looked_at = question[:_LOOKED_AT]
    parts = [part for message in request.messages for part in message.parts]
    called = sum(isinstance(part, ToolCallPart) for part in parts)
    thinking = request.reasoning
    asked = thinking is not None and thinking.mode != "disabled" and thinking.effort not in ("none", "minimal", "low")
    return Signals(
        length=len(question),
        conversation=sum(_length(part) for part in parts),
        code=_CODE.search(looked_at) is not None,
        tools=len(request.tools),
        images=sum(isinstance(part, MediaPart) for part in parts),
        reasoning=asked or _HARD.search(looked_at) is not None,
        tool_rounds=_rounds(looked_at, called) if request.tools else 0,
    )


def _rounds(question: str, called: int) -> int:
    steps = sum(1 for _ in zip(range(_MOST_ROUNDS), _ROUNDS.finditer(question), strict=False))
    return min(max(1 + steps, called), _MOST_ROUNDS)


def _question(messages: tuple[Message, ...]) -> str:
    """What the user said last, tools' results aside."""
    for message in reversed(messages):
        texts = [part.text for part in message.parts if isinstance(part, TextPart)]
        if message.role == "user" and texts:
            return "\n".join(texts)
    return ""


def _length(part: Any) -> int:
    if isinstance(part, TextPart):
        return len(part.text)
    return len(part.content) if isinstance(part, ToolResultPart) and isinstance(part.content, str) else 0
