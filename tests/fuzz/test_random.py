"""Broken input by hypothesis, which shrinks what it finds to the smallest form."""

from __future__ import annotations

import json
from typing import Any

import fuzz_seeds
import pytest
from fuzzing import DIALECTS, HOSTILE, TARGETS, Chooser, check_request, check_stream, seed_inputs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("target", TARGETS)
@EXAMPLES
@given(data=st.binary(min_size=4, max_size=200))
def test_any_bytes_are_answered_as_they_may_be(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_good_is_answered_as_it_may_be(target: str) -> None:
    for data in seed_inputs(target):
        TARGETS[target](data)


def _words(value: Any) -> set[str]:
    """Names and short texts in a JSON value."""
    if isinstance(value, dict):
        return {*value, *(word for inner in value.values() for word in _words(inner))}
    if isinstance(value, list):
        return {word for inner in value for word in _words(inner)}
    return {value} if isinstance(value, str) and len(value) < 40 else set()


def _values(words: set[str]) -> st.SearchStrategy[Any]:
    """JSON of an API's own words, put together any way."""
    names = st.sampled_from(sorted(words))
    return st.recursive(
        st.one_of(names, st.sampled_from(HOSTILE), st.integers(), st.floats(), st.text(max_size=8)),
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=6)),
        max_leaves=20,
    )


def _frames(dialect: str) -> list[Any]:
    lines = [line for stream in fuzz_seeds.streams(dialect) for line in stream.decode().splitlines()]
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


STREAMED = {name: _values({word for frame in _frames(name) for word in _words(frame)}) for name in DIALECTS}
ASKED = {
    name: st.dictionaries(
        st.sampled_from(sorted({key for body in fuzz_seeds.requests(name) for key in json.loads(body)})),
        _values({word for body in fuzz_seeds.requests(name) for word in _words(json.loads(body))}),
    )
    for name in DIALECTS
}


@pytest.mark.parametrize("dialect", DIALECTS)
@EXAMPLES
@given(data=st.data(), size=st.integers(0, 40))
def test_frames_of_an_apis_own_words_make_a_legal_reply(dialect: str, data: st.DataObject, size: int) -> None:
    frames = data.draw(st.lists(st.one_of(STREAMED[dialect], st.sampled_from(_frames(dialect))), max_size=8))
    stream = b"".join(b"data: " + json.dumps(frame).encode() + b"\n\n" for frame in frames)
    check_stream(DIALECTS[dialect], stream, size)


@pytest.mark.parametrize("dialect", DIALECTS)
@EXAMPLES
@given(data=st.data(), provider=st.binary(min_size=2, max_size=2))
def test_requests_of_an_apis_own_words_are_read_or_refused(dialect: str, data: st.DataObject, provider: bytes) -> None:
    good = json.loads(data.draw(st.sampled_from(fuzz_seeds.requests(dialect))))
    check_request(dialect, json.dumps({**good, **data.draw(ASKED[dialect])}).encode(), Chooser(provider))
