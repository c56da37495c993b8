"""Every recorded stream × every client dialect × every SDK that reads it: each reads what the recording says.

What differs is explained in ``matrix_why``; ``make matrix`` prints the same as a table.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import matrix
import pytest
from matrix import DIALECTS, judge, judge_cuts, places, recording
from node_readers import NodeReaders, missing
from readers import Reader, node_names, node_reader, python_readers

from millstream.testing.streams import bytewise, parse, randomly

PYTHON = {reader.name: reader for reader in python_readers()}
NODE = [name for name, _ in node_names()]


def recordings() -> Iterable[Any]:
    found = [pytest.param(name, upstream, id=name) for name, upstream in matrix.names()]
    none_here = pytest.mark.skip(reason="no recordings: set MILLSTREAM_CORPUS")
    return found or [pytest.param(None, None, marks=none_here)]


@pytest.fixture(scope="module")
def process() -> Generator[NodeReaders]:
    if lacking := missing():
        pytest.skip(lacking)
    found = NodeReaders()
    yield found
    found.close()


@pytest.fixture
def reader(request: pytest.FixtureRequest) -> Reader:
    name: str = request.param
    return PYTHON.get(name) or node_reader(request.getfixturevalue("process"), name)


every_reader = pytest.mark.parametrize("reader", [*PYTHON, *NODE], indirect=True)
every_recording = pytest.mark.parametrize(("name", "upstream"), recordings())


@every_reader
@every_recording
def test_a_clients_own_sdk_reads_what_the_recording_says(name: str, upstream: str, reader: Reader) -> None:
    # The SDKs in Python take thirty milliseconds to begin with, and part bytes into lines with one library.
    ways = ["whole"] if reader.name in PYTHON else None
    unexplained = [found for found in judge(recording(name, upstream), reader, ways) if found.reason is None]
    assert not unexplained


@every_recording
def test_however_a_recording_is_split_its_events_are_the_same(name: str, upstream: str) -> None:
    stream = recording(name, upstream).stream
    events = parse(DIALECTS[upstream], [stream])
    assert parse(DIALECTS[upstream], bytewise(stream)) == events
    for seed in range(3):
        assert parse(DIALECTS[upstream], randomly(stream, seed)) == events


@every_reader
@every_recording
def test_a_stream_cut_off_anywhere_never_ends_politely_with_less(name: str, upstream: str, reader: Reader) -> None:
    found = recording(name, upstream)
    prefixes = places(found.stream, len(name))
    if reader.name in PYTHON:
        prefixes = [*prefixes[-2:], *prefixes[: len(prefixes) // 2][-1:]]
    assert not [cut for cut in judge_cuts(found, reader, prefixes) if cut.reason is None]
