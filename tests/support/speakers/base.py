"""What a speaker is, and what it can be made to say."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raw_upstream import JSON, Answer, Call

CACHED, INPUT, OUTPUT = 4, 9, 5
"""Tokens of every reply: ``CACHED`` of ``INPUT`` came out of a cache."""


@dataclass(frozen=True)
class Thought:
    text: str
    signature: str | None = None


@dataclass(frozen=True)
class Said:
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Asked:
    """A tool call; ``pieces`` of the JSON of its arguments, none where it has none."""

    id: str
    name: str
    pieces: tuple[str, ...] = ()

    @property
    def arguments(self) -> Any:
        return json.loads("".join(self.pieces) or "{}")


Block = Thought | Said | Asked


@dataclass
class Told:
    """What a request says of the turns before. ``failed`` are the calls whose results are marked as errors."""

    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    signatures: list[str] = field(default_factory=list)


class Speaker(ABC):
    """``base`` stands between a host and the dialect's own SDK's base URL."""

    name: str
    base: str = ""
    signs: bool = False
    """Its thoughts or calls carry a signature, which has to come back."""

    marks_failures: bool = False
    """A tool's result can be marked as an error."""

    @property
    def model(self) -> str:
        """As clients of the gateway of ``gateway_site`` name it."""
        return f"{self.name}-up/m"

    def saying(self, *blocks: Block) -> Answer:
        """Answers with ``blocks``, streamed or whole as it is asked, one piece per chunk."""

        async def answer(call: Call) -> None:
            if self.asked_to_stream(call):
                await call.stream(*self.begun(*blocks), *self.ended(*blocks))
            else:
                await call.answer(200, as_json(self.whole(blocks)))

        return answer

    def refusing(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
        async def answer(call: Call) -> None:
            await call.answer(status, as_json(self.refusal(status, kind, message)), {**JSON, **(headers or {})})

        return answer

    def breaking(self, last: bytes | None, *blocks: Block) -> Answer:
        """Begins with ``blocks``, then ends with ``last``, or without a word where that is None."""

        async def answer(call: Call) -> None:
            await call.head()
            await call.send(b"".join(self.begun(*blocks)))
            if last is None:
                call.cut()
            else:
                await call.send(last)
                await call.end()

        return answer

    def asked_to_stream(self, call: Call) -> bool:
        return bool(json.loads(call.body).get("stream"))

    def count_in(self, call: Call) -> bool:
        return "count" in call.path or "input_tokens" in call.path

    def counted(self, tokens: int) -> bytes | None:
        """The answer of its counting endpoint; None if there is none."""
        return None

    @abstractmethod
    def begun(self, *blocks: Block) -> list[bytes]:
        """A stream up to its last block."""

    @abstractmethod
    def ended(self, *blocks: Block) -> list[bytes]: ...

    @abstractmethod
    def whole(self, blocks: Iterable[Block]) -> dict[str, Any]: ...

    @abstractmethod
    def refusal(self, status: int, kind: str, message: str) -> dict[str, Any]:
        """The body of an error response. ``kind`` is ``overloaded``, ``rate``, ``internal`` or ``invalid``."""

    @abstractmethod
    def error(self, kind: str, message: str) -> bytes:
        """An error inside a stream."""

    @abstractmethod
    def told(self, body: Mapping[str, Any]) -> Told: ...


def as_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def frame(value: object) -> bytes:
    return b"data: " + as_json(value) + b"\n\n"


def event(value: Mapping[str, Any]) -> bytes:
    return f"event: {value['type']}\n".encode() + frame(value)


def calls_in(blocks: Iterable[Block]) -> bool:
    return any(isinstance(block, Asked) for block in blocks)


def text_of(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
