"""What the model is told of a tool's result, within bounds, and what it is told instead where there is none."""

from __future__ import annotations

from millstream.core.messages import MediaPart, ResultPart, TextPart
from millstream.tools.base import ToolOutcome

MAX_MEDIA_CHARS = 6 * 1024 * 1024
"""Of base64 in one result: what providers take of an image, 5 MB, and somewhat more."""


def bounded(outcome: ToolOutcome, most: int) -> ToolOutcome:
    """``outcome`` with at most ``most`` characters of text; what was cut is said."""
    if isinstance(outcome.content, str):
        return ToolOutcome(cut(outcome.content, most), outcome.is_error)
    left, media_left = most, MAX_MEDIA_CHARS
    parts: list[ResultPart] = []
    for part in outcome.content:
        if isinstance(part, TextPart):
            parts.append(TextPart(cut(part.text, left)))
            left = max(left - len(part.text), 0)
        elif isinstance(part, MediaPart) and len(part.data or part.text or "") > media_left:
            parts.append(TextPart(f"[{part.media_type or part.kind} left out: too large]"))
        else:
            if isinstance(part, MediaPart):
                media_left -= len(part.data or part.text or "")
            parts.append(part)
    return ToolOutcome(tuple(parts), outcome.is_error)


def cut(text: str, most: int) -> str:
    """The beginning of ``text``, with a note of what is missing if it is longer than ``most`` characters."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[truncated: the first {most} of {len(text)} characters are shown]"
