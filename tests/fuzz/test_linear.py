"""Work grows with the input and no faster: eight times as much takes about eight times as long.

Processor time is measured, not the clock's, the least of several runs; a factor of three is left for caches and the
allocator. What is quadratic takes sixty-four times as long.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from time import process_time
from typing import Any

import pytest
from features.table import MODELS
from fuzzing import DIALECTS
from long_inputs import STREAMS, WIRES, Pieces, gemini_array, requests

from millstream.core import events as ev
from millstream.core.errors import ClientFault, UpstreamFault
from millstream.core.json_field import StringField
from millstream.core.sse import SSEDecoder
from millstream.core.stops import StopSequences
from millstream.dialects.base import ClientCall, Target

SHORT = 64 * 1024
TIMES = 8
ALLOWED = 3 * TIMES
RUNS = 3
TOO_SHORT_TO_MEASURE = 0.002


def check_linear(work: Callable[[Any], object], make: Callable[[int], Any], size: int = SHORT) -> None:
    short, long = make(size), make(TIMES * size)
    for _ in range(2):
        # A second look, since another process may have had the caches.
        before, after = _seconds(work, short), _seconds(work, long)
        if after <= ALLOWED * max(before, TOO_SHORT_TO_MEASURE):
            return
    pytest.fail(f"{size} took {before:.4f} s, {TIMES} times as much {after:.4f} s")


def _seconds(work: Callable[[Any], object], given: Any) -> float:
    def once() -> float:
        start = process_time()
        work(given)
        return process_time() - start

    return min(once() for _ in range(RUNS))


def read(name: str, pieces: Pieces) -> None:
    parser = DIALECTS[name].parser()
    try:
        for piece in pieces:
            parser.feed(piece)
        parser.finish()
    except UpstreamFault:
        pass


@pytest.mark.parametrize("shape", STREAMS)
@pytest.mark.parametrize("name", WIRES)
def test_a_stream_is_read_in_linear_time(name: str, shape: str) -> None:
    check_linear(lambda pieces: read(name, pieces), lambda size: STREAMS[shape](WIRES[name], size))


def test_a_stream_that_is_one_array_is_read_in_linear_time() -> None:
    check_linear(lambda pieces: read("gemini", pieces), gemini_array)


@pytest.mark.parametrize("upstream", DIALECTS)
@pytest.mark.parametrize("client", DIALECTS)
def test_a_long_history_is_translated_in_linear_time(client: str, upstream: str) -> None:
    target = Target(MODELS[upstream], DIALECTS[upstream].quirks())

    def make(size: int) -> ClientCall:
        body = json.dumps(requests(size)[client]).encode()
        return ClientCall(body, model="m", stream=False, params={}) if client == "gemini" else ClientCall(body)

    def translate(call: ClientCall) -> None:
        DIALECTS[upstream].render_request(DIALECTS[client].parse_request(call), target)

    check_linear(translate, make, 256 * 1024)


@pytest.mark.parametrize("body", [b"[", b'{"messages":', b'{"a":[', b'"\\u0000', b"1"])
@pytest.mark.parametrize("client", DIALECTS)
def test_a_body_that_is_no_request_is_refused_in_linear_time(client: str, body: bytes) -> None:
    def refuse(data: bytes) -> None:
        with pytest.raises(ClientFault):
            DIALECTS[client].parse_request(ClientCall(data, model="m", stream=False, params={}))

    check_linear(refuse, lambda size: body * (size // len(body)), 512 * 1024)


@pytest.mark.parametrize("piece", ["a", "\\n", "\\u00e9", "\\ud83d\\ude00", '\\"', "\\u", "\\ud83d"])
def test_the_text_of_a_field_is_taken_out_in_linear_time(piece: str) -> None:
    def take(pieces: list[str]) -> None:
        field = StringField("input")
        for one in pieces:
            field.feed(one)
        field.finish()

    size = 4096
    check_linear(take, lambda size: ['{"input":"', *([piece] * size), '"}'], size)
    check_linear(take, lambda size: list('{"input":"' + piece * size + '"}'), size)
    check_linear(take, lambda size: ['{"other":"', *([piece] * size), '"}'], size)


def test_stop_sequences_are_looked_for_in_linear_time() -> None:
    def look(events: list[ev.Event]) -> None:
        StopSequences(("aaaaaaaaab", "ab" * 50)).apply(events)

    check_linear(look, lambda size: [ev.TextStart(0), *(ev.TextDelta(0, "aaaa") for _ in range(size // 16))])


@pytest.mark.parametrize("limit", [1024, 32 * 1024])
@pytest.mark.parametrize("size", [1, 7, 600])
def test_no_more_is_kept_of_a_frame_than_the_limit_and_a_piece(limit: int, size: int) -> None:
    decoder = SSEDecoder(limit)
    most = 0
    with pytest.raises(UpstreamFault, match=str(limit)):
        for _ in range(2 * limit):
            decoder.feed(b"x" * size)
            most = max(most, decoder.pending)
    assert limit - size <= most <= limit
