"""Sources: told apart from the text, in bytes, and read as citations of it, in characters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.messages import CitationPart, Reply
from millstream.dialects.gemini.grounding import Places, citations_of

Fold = Callable[[bytes], Reply]
Sse = Callable[..., bytes]
Said = Callable[..., dict[str, Any]]

CHUNKS = [{"web": {"uri": "https://a", "title": "A"}}, {"retrievedContext": {"text": "quoted", "uri": "gs://b"}}]


def support(start: int, end: int, text: str, *numbers: int) -> dict[str, Any]:
    return {"segment": {"startIndex": start, "endIndex": end, "text": text}, "groundingChunkIndices": list(numbers)}


def cited(reply: Reply) -> tuple[CitationPart, ...]:
    parts = [part for part in reply.choices[0].parts if hasattr(part, "citations")]
    found: tuple[CitationPart, ...] = parts[-1].citations
    return found


def test_a_segment_is_a_citation_of_each_of_its_sources(fold: Fold, sse: Sse, said: Said) -> None:
    metadata: dict[str, Any] = {"groundingChunks": CHUNKS, "groundingSupports": [support(8, 14, "naïve", 0, 1)]}
    stream = sse(said({"text": "Ein né "}), said({"text": "naïve."}, finish="STOP", groundingMetadata=metadata))
    reply = fold(stream)
    first, second = cited(reply)
    assert (first.url, first.title, first.start, first.end, first.origin) == ("https://a", "A", 7, 12, "gemini")
    assert (second.url, second.title, second.cited_text) == ("gs://b", None, "quoted")
    assert first.data == {"groundingChunk": CHUNKS[0], "groundingSupport": metadata["groundingSupports"][0]}
    assert reply.choices[0].extra == {"gemini": {"groundingMetadata": metadata}}


def test_a_segment_that_is_not_where_it_says_has_no_place(fold: Fold, sse: Sse, said: Said) -> None:
    metadata = {"groundingChunks": CHUNKS, "groundingSupports": [support(0, 3, "xyz", 0), support(0, 99, "abc", 0)]}
    citations = cited(fold(sse(said({"text": "abc"}, finish="STOP", groundingMetadata=metadata))))
    assert [(one.start, one.end) for one in citations] == [(None, None), (None, None)]


def test_recited_sources_of_all_chunks_are_citations(fold: Fold, sse: Sse, said: Said) -> None:
    first = {"startIndex": 0, "endIndex": 2, "uri": "https://a", "license": "mit"}
    second = {"endIndex": 3, "title": "B", "uri": ""}
    chunks = [said({"text": "ab"}, citationMetadata={"citations": [first]})]
    reply = fold(sse(*chunks, said({"text": "c"}, finish="STOP", citationMetadata={"citations": [second]})))
    assert [(one.url, one.title, one.start, one.end) for one in cited(reply)] == [
        ("https://a", None, 0, 2),
        (None, "B", 0, 3),
    ]
    assert reply.choices[0].extra == {"gemini": {"citationMetadata": {"citations": [first, second]}}}


def test_the_last_metadata_that_says_anything_counts(fold: Fold, sse: Sse, said: Said) -> None:
    full = {"groundingChunks": CHUNKS, "groundingSupports": [support(0, 1, "a", 0)]}
    urls = {"urlMetadata": [{"retrievedUrl": "https://a"}]}
    reply = fold(
        sse(
            said({"text": "a"}, groundingMetadata=full, urlContextMetadata=urls),
            said({"text": "b"}, finish="STOP", groundingMetadata={}),
        )
    )
    assert len(cited(reply)) == 1
    assert reply.choices[0].extra == {"gemini": {"groundingMetadata": full, "urlContextMetadata": urls}}


def test_sources_of_a_text_before_a_call_stand_in_that_text(fold: Fold, sse: Sse, said: Said) -> None:
    full = {"groundingChunks": CHUNKS, "groundingSupports": [support(0, 1, "a", 0)]}
    call = {"functionCall": {"name": "f", "args": {}}}
    reply = fold(sse(said({"text": "a"}, groundingMetadata=full), said(call, finish="STOP")))
    assert len(cited(reply)) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        5,
        [],
        {"groundingChunks": 5, "groundingSupports": [5]},
        {"groundingSupports": [{"segment": 5, "groundingChunkIndices": [0]}]},
        {"groundingChunks": [5], "groundingSupports": [support(0, 1, "a", 0, 9, -1)]},
    ],
)
def test_malformed_metadata_give_no_citations_and_no_error(metadata: Any) -> None:
    assert citations_of(0, "abc", metadata, [5, "x"]) == []


def test_citations_are_bounded() -> None:
    many = {"groundingChunks": CHUNKS, "groundingSupports": [support(0, 1, "a", *([0] * 1000))] * 1000}
    found = citations_of(0, "abc", many, [])
    assert len(found) == 10_000
    assert all(isinstance(one, ev.Citation) for one in found)


def test_bytes_are_counted_in_characters() -> None:
    text = "aé✅𝄞z"
    places = Places(text)
    ends = [len(text[:count].encode()) for count in range(len(text) + 1)]
    assert [places.of(0, end) for end in ends] == [(0, count) for count in range(len(text) + 1)]
    assert places.of(1, 3, "é") == (1, 2)
    assert places.of(None, 1) == (0, 1)
    assert places.of(3, 1) == (None, None)
    assert places.of(0, None) == (None, None)
