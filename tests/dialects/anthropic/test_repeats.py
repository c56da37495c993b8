"""Frames that repeat are read as any others, block by block."""

import json
from typing import Any

from millstream.core import events as ev
from millstream.dialects.anthropic.parse import AnthropicParser

START = {"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": [], "usage": {}}}


def frame(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())


def block(index: int, kind: str) -> bytes:
    return frame({"type": "content_block_start", "index": index, "content_block": {"type": kind, kind: ""}})


def stop(index: int) -> bytes:
    return frame({"type": "content_block_stop", "index": index})


def delta(index: int, kind: str, text: str) -> bytes:
    said = {"type": f"{kind}_delta", kind: text}
    return frame({"type": "content_block_delta", "index": index, "delta": said})


def fed(*reads: bytes) -> list[list[ev.Event]]:
    parser = AnthropicParser()
    return [parser.feed(read) for read in (frame(START), *reads)][1:]


def test_pieces_of_a_block_are_given_one_by_one() -> None:
    events = fed(block(0, "thinking"), *(delta(0, "thinking", piece) for piece in ("a", "b", "größer", 'd"', "e")))
    assert events[1:] == [[ev.ReasoningDelta(0, piece)] for piece in ("a", "b", "größer", 'd"', "e")]


def test_blocks_are_told_apart_by_their_index() -> None:
    reads = [delta(index, "text", piece) for piece in "abc" for index in (0, 1)]
    events = fed(block(0, "text"), block(1, "text"), *reads)
    assert events[2:] == [[ev.TextDelta(index, piece)] for piece in "abc" for index in (0, 1)]


def test_a_block_under_the_number_of_an_earlier_one_is_another_block() -> None:
    pieces = [delta(0, "text", piece) for piece in "abc"]
    events = fed(block(0, "text"), *pieces, stop(0), block(0, "text"), *pieces)
    assert events[3] == [ev.TextDelta(0, "c")]
    assert events[-3:] == [[ev.TextDelta(1, piece)] for piece in "abc"]


def test_a_piece_for_a_block_that_has_stopped_is_read_as_ever() -> None:
    pieces = [delta(0, "text", piece) for piece in "abcd"]
    reads = (block(0, "text"), *pieces[:3], stop(0), pieces[3])
    assert fed(*reads)[-1] == fed(b"".join(reads[:-1]), reads[-1])[-1]


def test_a_frame_in_two_reads_is_one_frame() -> None:
    [first, second, third] = (delta(0, "text", piece) for piece in "abc")
    events = fed(block(0, "text"), first, second, third[:-1], third[-1:])
    assert events[2:] == [[ev.TextDelta(0, "b")], [], [ev.TextDelta(0, "c")]]
