"""Where an answer's text comes from: ``groundingMetadata`` and ``citationMetadata`` ⇄ citations.

Google tells it apart from the text, at the end, and counts a segment's place in bytes; canonical citations stand in
the text's block and count characters. Source: https://ai.google.dev/api/generate-content#GroundingMetadata
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate, chain, islice
from typing import Any

from millstream.core.events import Citation
from millstream.dialects.gemini.wire import DIALECT

_MAX_CITATIONS = 10_000


class Places:
    """Byte offsets in a text → character offsets, each in constant time."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode(errors="replace")
        self._starts: list[int] | None = None
        if len(self._bytes) != len(text):
            self._starts = [0, *accumulate(int((byte & 0xC0) != 0x80) for byte in self._bytes)]

    def of(self, start: object, end: object, expected: object = None) -> tuple[int | None, int | None]:
        """Both as characters; neither where the segment is not in this text as ``expected``."""
        first = start if isinstance(start, int) else 0
        if not isinstance(end, int) or not 0 <= first <= end <= len(self._bytes):
            return None, None
        if isinstance(expected, str):
            quoted = expected.encode(errors="replace")
            if len(quoted) != end - first or self._bytes[first:end] != quoted:
                return None, None
        return (first, end) if self._starts is None else (self._starts[first], self._starts[end])


def citations_of(index: int, text: str, grounding: Any, cited: list[Any]) -> list[Citation]:
    """The citations of text block ``index``. Malformed metadata gives none: the answer matters more."""
    places = Places(text)
    found = chain(_grounded(index, places, grounding), _recited(index, places, cited))
    return list(islice(found, _MAX_CITATIONS))


def _grounded(index: int, places: Places, grounding: Any) -> Iterator[Citation]:
    chunks = _list(grounding, "groundingChunks")
    for support in _list(grounding, "groundingSupports"):
        if not isinstance(support, Mapping):
            continue
        segment = support.get("segment")
        segment = segment if isinstance(segment, Mapping) else {}
        quoted = segment.get("text")
        start, end = places.of(segment.get("startIndex"), segment.get("endIndex"), quoted)
        for number in _list(support, "groundingChunkIndices"):
            if isinstance(number, int) and 0 <= number < len(chunks) and isinstance(chunks[number], Mapping):
                source = _source(chunks[number])
                data = {"groundingChunk": chunks[number], "groundingSupport": support}
                url, title = _text(source, "uri"), _text(source, "title")
                yield Citation(index, DIALECT, data, url, title, _text(source, "text"), start, end)


def _recited(index: int, places: Places, cited: list[Any]) -> Iterator[Citation]:
    for citation in cited:
        if isinstance(citation, Mapping):
            start, end = places.of(citation.get("startIndex"), citation.get("endIndex"))
            url, title = _text(citation, "uri"), _text(citation, "title")
            yield Citation(index, DIALECT, citation, url, title, None, start, end)


def _list(data: Any, name: str) -> list[Any]:
    values = data.get(name) if isinstance(data, Mapping) else None
    return values if isinstance(values, list) else []


def _source(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    """A chunk holds one of ``web``, ``retrievedContext``, ``maps`` and ``image``."""
    return next((value for value in chunk.values() if isinstance(value, Mapping)), {})


def _text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) and value else None


class Grounding:
    """Another dialect's citations as ``groundingMetadata``: each source once, and the segments it supports."""

    def __init__(self) -> None:
        self._chunks: dict[tuple[str, str], int] = {}
        self._supports: list[dict[str, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def add(self, citation: Citation, *, in_bytes: bool) -> None:
        """``in_bytes``: the citation's characters are also its bytes, so that its place can be said."""
        if citation.url is None:
            return
        source = (citation.url, citation.title or "")
        number = self._chunks.setdefault(source, len(self._chunks))
        if in_bytes and citation.start is not None and citation.end is not None:
            segment = {"startIndex": citation.start, "endIndex": citation.end}
            self._supports.append({"segment": segment, "groundingChunkIndices": [number]})

    def metadata(self) -> dict[str, Any]:
        chunks = [{"web": {"uri": url, **({"title": title} if title else {})}} for url, title in self._chunks]
        return {"groundingChunks": chunks, **({"groundingSupports": self._supports} if self._supports else {})}
