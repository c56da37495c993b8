"""Canonical parts → content blocks, for requests to this API and for whole replies to its clients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from millstream.core.events import Citation
from millstream.core.messages import (
    CitationPart,
    Extra,
    MediaPart,
    Part,
    ReasoningPart,
    RefusalPart,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    ToolReferencePart,
    ToolResultPart,
    UnknownPart,
    extra_of,
)
from millstream.dialects.anthropic.blocks_in import BLOCK, KIND, WITHIN
from millstream.dialects.anthropic.call_input import input_of
from millstream.dialects.anthropic.media import media_block
from millstream.dialects.anthropic.wire import ORIGIN
from millstream.dialects.base import left_out

Block = dict[str, Any]

_UNSAFE = re.compile(r"[^a-zA-Z0-9_-]")


def own_fields(extra: Extra | None) -> dict[str, Any]:
    """This dialect's own fields of a part, to be written as they came."""
    return {name: value for name, value in extra_of(extra, ORIGIN).items() if name[:1] != "$"}


def citation_out(citation: CitationPart | Citation) -> Mapping[str, Any] | None:
    """A citation of another API becomes a web search's if it has an address, and is lost without one."""
    if citation.origin == ORIGIN:
        return citation.data
    if citation.url is None:
        return None
    return {
        "type": "web_search_result_location",
        "cited_text": citation.cited_text or "",
        "encrypted_index": "",
        "title": citation.title,
        "url": citation.url,
    }


class CallIds:
    """Ids as the API takes them (``^[a-zA-Z0-9_-]+$``). Other APIs' ids (``functions.Bash:0``) are spelt safely, the
    same way for a call and its result, and no two alike."""

    def __init__(self) -> None:
        self._safe: dict[str, str] = {}
        self._taken: set[str] = set()
        self._numbers: dict[str, int] = {}

    def safe(self, call_id: str) -> str:
        found = self._safe.get(call_id)
        if found is None:
            found = base = _UNSAFE.sub("_", call_id) or "call"
            number = self._numbers.get(base, 1)
            while found in self._taken:
                number += 1
                found = f"{base}_{number}"
            self._numbers[base] = number
            self._safe[call_id] = found
            self._taken.add(found)
        return found


class PartsOut:
    """Parts of one request. ``own``: it was written in this dialect, and goes out as it came.

    Left out without a fault: thinking that only another provider can read, calls of server tools that another provider
    ran and what they gave (the text that used it stays), and unknown parts of what a model wrote.
    """

    def __init__(self, *, own: bool, unsigned_thinking: bool) -> None:
        self._own = own
        self._unsigned_thinking = unsigned_thinking
        self.dropped: list[str] = []
        self._ids = CallIds()

    def blocks(self, parts: tuple[Part, ...], path: str, *, said_by_model: bool = False) -> list[Block]:
        """Raises ``ClientFault`` for what cannot be said and would be missed."""
        found = [self._block(part, f"{path}.{number}", said_by_model) for number, part in enumerate(parts)]
        return [block for block in found if block is not None]

    def _block(self, part: Part, path: str, said_by_model: bool) -> Block | None:
        match part:
            case TextPart():
                return self._text(part)
            case RefusalPart():
                return {"type": "text", "text": part.text} if part.text else None
            case ReasoningPart():
                return self._reasoning(part)
            case ToolCallPart():
                return self._call(part)
            case ToolResultPart():
                return self._result(part, path)
            case MediaPart():
                within = WITHIN in extra_of(part.extra, ORIGIN)
                if part.detail not in (None, "auto"):
                    self.dropped.append("detail")
                return None if within else media_block(part, path, own=self._own)
            case ToolReferencePart():
                return self._reference(part)
            case ServerToolResultPart():
                return dict(part.data) if part.origin == ORIGIN else self._drop("messages.server_tool_result")
            case UnknownPart():
                return self._unknown(part, path, said_by_model)

    def _text(self, part: TextPart) -> Block | None:
        extra = extra_of(part.extra, ORIGIN)
        if BLOCK in extra:
            return dict(extra[BLOCK])
        if not self._own and not part.text.strip():
            return None  # the API refuses texts of nothing but white space
        block: Block = {"type": "text", "text": part.text, **own_fields(part.extra)}
        cited = [citation.data for citation in part.citations if citation.origin == ORIGIN]
        if cited:
            block["citations"] = cited
        return _cached(block, part.cache)

    def _reasoning(self, part: ReasoningPart) -> Block | None:
        extra = own_fields(part.extra)
        if part.redacted is not None:
            known = part.redacted.origin == ORIGIN
            return {"type": "redacted_thinking", "data": part.redacted.value, **extra} if known else None
        if part.signature is not None and part.signature.origin == ORIGIN:
            return {"type": "thinking", "thinking": part.text, "signature": part.signature.value, **extra}
        if self._unsigned_thinking and part.text:
            return {"type": "thinking", "thinking": part.text, "signature": ""}
        return None

    def _call(self, part: ToolCallPart) -> Block | None:
        extra = extra_of(part.extra, ORIGIN)
        if part.kind == "server":
            if KIND not in extra:
                return self._drop("messages.server_tool_use")
            block = {"type": extra[KIND], "id": part.id}
        else:
            block = {"type": "tool_use", "id": self._ids.safe(part.id)}
        block = {**block, "name": part.name, "input": input_of(part), **own_fields(part.extra)}
        return _cached(block, part.cache)

    def _result(self, part: ToolResultPart, path: str) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": self._ids.safe(part.call_id)}
        if isinstance(part.content, str):
            block["content"] = part.content
        elif part.content:
            block["content"] = self.blocks(part.content, f"{path}.content")
        if part.is_error:
            block["is_error"] = True
        return _cached({**block, **own_fields(part.extra)}, part.cache)

    def _reference(self, part: ToolReferencePart) -> Block:
        extra = extra_of(part.extra, ORIGIN)
        if BLOCK in extra:
            return dict(extra[BLOCK])
        if self._own:
            return {"type": "tool_reference", "tool_name": part.name, **own_fields(part.extra)}
        return {"type": "text", "text": f"The tool {part.name} is available now."}

    def _unknown(self, part: UnknownPart, path: str, said_by_model: bool) -> Block | None:
        if part.origin == ORIGIN:
            return dict(part.data)
        return self._drop(left_out(part, path, said_by_model=said_by_model))

    def _drop(self, name: str) -> Block | None:
        self.dropped.append(name)
        return None


def _cached(block: Block, cache: Mapping[str, Any] | None) -> Block:
    return block if cache is None else {**block, "cache_control": cache}
