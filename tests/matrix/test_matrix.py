"""Every recorded stream × every client dialect × every SDK that reads it: each reads what the recording says.

What differs is explained in ``matrix_why``; ``make matrix`` prints the same as a table.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import matrix
import pytest
from matrix import DIALECTS, judge, judge_cuts, recording
from node_readers import NodeReaders, missing
from readers import Reader, node_readers_of, python_readers

from millstream.testing.streams import bytewise, parse, randomly


def recordings() -> Iterable[Any]:
    found = [pytest.param(name, upstream, id=name) for name, upstream in matrix.names()]
    none_here = pytest.mark.skip(reason="no recordings: set MILLSTREAM_CORPUS")
    return found or [pytest.param(None, None, marks=none_here)]


@pytest.fixture(scope="module")
def in_typescript() -> Generator[list[Reader]]:
    if lacking := missing():
        pytest.skip(lacking)
    process = NodeReaders()
    yield node_readers_of(process)
    process.close()


@pytest.fixture(params=["python", "typescript"])
def readers(request: pytest.FixtureRequest) -> list[Reader]:
    """The SDKs of one language in turn."""
    if request.param == "python":
        return python_readers()
    found: list[Reader] = request.getfixturevalue("in_typescript")
    return found


every_recording = pytest.mark.parametrize(("name", "upstream"), recordings())


@every_recording
def test_every_sdk_reads_what_the_recording_says(name: str, upstream: str, readers: list[Reader]) -> None:
    found = [deviation for reader in readers for deviation in judge(recording(name, upstream), reader)]
    assert not [deviation for deviation in found if deviation.reason is None]


@every_recording
def test_however_a_recording_is_split_its_events_are_the_same(name: str, upstream: str) -> None:
    stream = recording(name, upstream).stream
    events = parse(DIALECTS[upstream], [stream])
    assert parse(DIALECTS[upstream], bytewise(stream)) == events
    for seed in range(3):
        assert parse(DIALECTS[upstream], randomly(stream, seed)) == events


@every_recording
def test_every_sdk_tells_of_an_answer_that_was_cut_off(name: str, upstream: str, readers: list[Reader]) -> None:
    found = [deviation for reader in readers for deviation in judge_cuts(recording(name, upstream), reader)]
    assert not [deviation for deviation in found if deviation.reason is None]
