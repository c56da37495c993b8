"""Chunks out of bytes: server-sent events, one JSON array, and bare JSON."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.errors import UpstreamFault
from millstream.dialects.gemini.framing import Framing, JSONObjects

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='a"\\{}[],: \n'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='a"\\{}'), inner, max_size=3),
    max_leaves=8,
)
objects = st.lists(st.dictionaries(st.text(alphabet='k"\\{}[]'), values, max_size=3), max_size=4)


@given(objects, st.sampled_from([None, 2]), st.integers(1, 7))
def test_the_elements_of_an_array_come_out_whole_wherever_it_is_split(
    elements: list[dict[str, object]], indent: int | None, size: int
) -> None:
    data = json.dumps(elements, indent=indent).encode()
    splitter = JSONObjects()
    found = [element for at in range(0, len(data), size) for element in splitter.feed(data[at : at + size])]
    assert [json.loads(element) for element in found] == elements
    assert splitter.pending == 0


def test_an_element_is_given_as_soon_as_it_is_complete() -> None:
    framing = Framing()
    assert framing.feed(b'[{"a": 1}') == [b'{"a": 1}']
    assert framing.feed(b',\r\n{"b"') == []
    assert framing.in_object
    assert framing.feed(b": 2}") == [b'{"b": 2}']
    assert framing.feed(b"]") == []
    assert not framing.in_object


@pytest.mark.parametrize("head", [b"", b"\n", b"\r\n\r\n  ", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n"])
@pytest.mark.parametrize(
    ("body", "chunks"), [(b"[{}]", [b"{}"]), (b"data: {}\n\n", [b"{}"]), (b'{"e":1}', [b'{"e":1}'])]
)
def test_the_first_byte_that_means_something_tells_the_form(head: bytes, body: bytes, chunks: list[bytes]) -> None:
    whole, bytewise = Framing(), Framing()
    assert [*whole.feed(head + body), *whole.finish()] == chunks
    fed = [chunk for at in range(len(head + body)) for chunk in bytewise.feed((head + body)[at : at + 1])]
    assert [*fed, *bytewise.finish()] == chunks


def test_bare_json_between_events_is_a_chunk_too() -> None:
    framing = Framing()
    assert framing.feed(b'data: {"a":1}\r\n\r\n{\r\n  "error": {\r\n    "code": 5\r\n') == [b'{"a":1}']
    (chunk,) = [*framing.feed(b"  }\r\n}\r\n\r\n"), *framing.finish()]
    assert json.loads(chunk) == {"error": {"code": 5}}


def test_an_object_without_end_is_refused_beyond_the_limit() -> None:
    splitter = JSONObjects(limit=1000)
    splitter.feed(b'[{"a": "')
    with pytest.raises(UpstreamFault, match="over 1000 bytes"):
        for _ in range(20):
            splitter.feed(b"x" * 100)


def test_time_is_linear_in_the_size_of_the_input() -> None:
    def seconds(count: int) -> float:
        data = b'[{"a":"' + b'\\"{[' * count + b'"}]'
        began = time.process_time()
        splitter = JSONObjects()
        for at in range(0, len(data), 64):
            splitter.feed(data[at : at + 64])
        return time.process_time() - began

    small = min(seconds(10_000) for _ in range(3))
    assert min(seconds(80_000) for _ in range(3)) < 8 * small * 3
