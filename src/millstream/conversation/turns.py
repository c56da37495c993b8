"""What a model is told of a conversation: its newest turns as far as they fit, and what came before them in short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from millstream.core import tokens
from millstream.core.messages import Message, Request, TextPart

NAME = "conversation"
"""The origin of requests that conversations make."""

GO_ON = (
    "Your last answer was cut off. Go on exactly where it ended, with the very next character: "
    "repeat nothing, and say nothing about the interruption."
)
_CUT = "[cut off here]"


class Turn(msgspec.Struct, frozen=True):
    """``tokens`` are an estimate that errs high. ``cut``: there was more to say."""

    role: Literal["user", "assistant"]
    text: str
    tokens: int
    cut: bool = False


class Past(msgspec.Struct, frozen=True):
    """``summary`` stands for what came before ``turns``."""

    turns: tuple[Turn, ...] = ()
    summary: str = ""


def text_tokens(text: str) -> int:
    """Tokens of a message of ``text``, with what surrounds it."""
    return tokens.estimate(Request(NAME, "", (Message("user", (TextPart(text),)),))) - _EMPTY


_EMPTY = tokens.estimate(Request(NAME, "", ()))


def first_kept(turns: Sequence[Turn], budget: int) -> int:
    """The place of the first of ``turns`` that is told, if all that follow are to fit in ``budget`` tokens. It is a
    user's, so that no answer stands without its question; ``len(turns)`` if not even the last one fits."""
    left = budget
    first = len(turns)
    for place in range(len(turns) - 1, -1, -1):
        left -= turns[place].tokens
        if left < 0:
            break
        if turns[place].role == "user":
            first = place
    return first


def answer_request(
    model: str,
    past: Past,
    message: str,
    *,
    system: str | None = None,
    context: Any = None,
    max_tokens: int | None = None,
) -> Request:
    """The request for an answer to ``message``. ``context`` is what the application says about the user's situation,
    a text or anything that JSON can say."""
    about = [system or ""]
    if past.summary:
        about.append(f"What was said before, in short:\n{past.summary}")
    if context is not None:
        said = context if isinstance(context, str) else msgspec.json.encode(context).decode()
        about.append(f"What the application knows about this moment (not said by the user):\n{said}")
    text = "\n\n".join(part for part in about if part)
    messages = [_message(turn) for turn in past.turns]
    return Request(
        NAME,
        model,
        (*messages, Message("user", (TextPart(message),), plain=True)),
        system=(TextPart(text),) if text else (),
        system_plain=True,
        stream=True,
        include_usage=True,
        max_tokens=max_tokens,
    )


def _message(turn: Turn) -> Message:
    text = f"{turn.text} {_CUT}" if turn.cut and turn.role == "assistant" else turn.text
    return Message(turn.role, (TextPart(text),), plain=True)
