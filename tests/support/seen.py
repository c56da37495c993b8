"""What a reader got out of a reply, in plain values, so that readers of different APIs can be compared."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """``stop`` in canonical words; usage as ``core.messages.Usage`` counts it, None where the reader was told none."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    refused: bool = False
    stop: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


def arguments(text: str) -> Any:
    """Tool arguments as a value; what is no JSON stays a text."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def frames(stream: bytes) -> list[tuple[str, Any]]:
    """Event name and JSON of each frame of a recorded stream, read without our decoder."""
    found: list[tuple[str, Any]] = []
    for block in stream.decode("utf-8-sig").replace("\r\n", "\n").split("\n\n"):
        name, data = "", []
        for line in block.split("\n"):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].strip())
            elif line.startswith("error:"):
                name, data = "error", [line[6:].strip()]
        text = "\n".join(data)
        if text and text != "[DONE]":
            found.append((name, json.loads(text)))
    return found
