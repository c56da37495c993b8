"""Frames out of bytes, however the bytes are cut."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.errors import Kind, UpstreamFault
from millstream.core.sse import Frame, SSEDecoder


def decode(*pieces: bytes) -> list[Frame]:
    decoder = SSEDecoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return frames + decoder.finish()


@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        (b"data: x\n\n", [(b"", b"x")]),
        (b"data:x\n\n", [(b"", b"x")]),
        (b"data:  x\n\n", [(b"", b" x")]),
        (b"data\n\n", [(b"", b"")]),
        (b"event: a\ndata: x\n\n", [(b"a", b"x")]),
        (b"event: a\ndata:x\n\n", [(b"a", b"x")]),
        (b"event: a\nid: 7\n\n", []),
        (b"event: a\nevent: b\n\ndata: x\n\n", [(b"", b"x")]),
        (b"event: a\ndata: x\ndata: y\n\n", [(b"a", b"x\ny")]),
        (b"data: x\nevent: a\n\n", [(b"a", b"x")]),
        (b"data: x\ndata: y\n\n", [(b"", b"x\ny")]),
        (b": comment\n\ndata: x\n\n", [(b"", b"x")]),
        (b": comment\ndata: x\n\n", [(b"", b"x")]),
        (b"event: lonely\n\n", []),
        (b"id: 7\nretry: 10\ndata: x\n\n", [(b"", b"x")]),
        (b"data: x\r\n\r\ndata: y\r\n\r\n", [(b"", b"x"), (b"", b"y")]),
        (b"data: x\r\rdata: y\r\r", [(b"", b"x"), (b"", b"y")]),
        (b"data: x\n\r\ndata: y\r\n\r\n", [(b"", b"x"), (b"", b"y")]),
        (b"data: x\r\n\r\ndata: y\n\ndata: z\r\n\r\n", [(b"", b"x"), (b"", b"y"), (b"", b"z")]),
        (b"event: a\r\ndata: x\r\n\r\n", [(b"a", b"x")]),
        (b"\n\n\ndata: x\n\n", [(b"", b"x")]),
        (b"\xef\xbb\xbfdata: x\n\n", [(b"", b"x")]),
        (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", [(b"", b"x")]),  # the mark counts only at the very beginning
        (b"data: {}   \n\n", [(b"", b"{}   ")]),
        (b"data: unfinished", [(b"", b"unfinished")]),
        (b"error: {}\n\n", [(b"error", b"{}")]),
    ],
)
def test_each_form_of_a_frame_is_read_whole_and_byte_by_byte(stream: bytes, frames: list[Frame]) -> None:
    assert decode(stream) == frames
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == frames


@given(st.lists(st.tuples(st.sampled_from([b"", b"ping"]), st.binary(max_size=30)), max_size=8), st.integers())
def test_any_split_gives_the_same_frames(content: list[tuple[bytes, bytes]], seed: int) -> None:
    newline = random.Random(seed).choice([b"\n", b"\r\n"])
    stream = b""
    for name, data in content:
        clean = data.replace(b"\r", b"").replace(b"\n", b"")
        stream += (b"event: " + name + newline if name else b"") + b"data: " + clean + newline * 2
    whole = decode(stream)
    cuts = sorted(random.Random(seed).randrange(len(stream) + 1) for _ in range(6))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert decode(*pieces) == whole


def test_pending_counts_the_bytes_no_frame_has_taken() -> None:
    decoder = SSEDecoder()
    decoder.feed(b"data: x\n\ndata: y")
    assert decoder.pending == len(b"data: y")
    decoder.feed(b"\n\n")
    assert decoder.pending == 0


def test_a_frame_beyond_the_limit_is_the_upstreams_fault() -> None:
    decoder = SSEDecoder(limit=100)
    with pytest.raises(UpstreamFault) as caught:
        for _ in range(11):
            decoder.feed(b"0123456789")
    assert caught.value.kind is Kind.MALFORMED


def test_lines_of_no_known_field_are_kept_as_stray() -> None:
    decoder = SSEDecoder()
    decoder.feed(b'{"error": {\n "code": 503}}\n\n')
    assert decoder.stray == b'{"error": {\n "code": 503}}\n'
