"""What is known by heart is never more than what a decoder would have read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.repeats import Repeated

FRAME = b'data: {"id":"c1","delta":{"content":" mill"},"n":null}\n\n'


def taught(frame: bytes = FRAME, text: str = " mill") -> Repeated:
    repeated = Repeated()
    assert repeated.learn(frame, b"content", text)
    return repeated


def frame_with(text: str) -> bytes:
    return FRAME.replace(b'" mill"', json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def test_a_read_that_differs_in_the_text_alone_gives_it() -> None:
    assert taught().text_in(frame_with("stone")) == "stone"
    assert taught().text_in(frame_with("größer 水")) == "größer 水"


@given(st.text())
def test_it_gives_the_text_that_json_has_or_none(text: str) -> None:
    assert taught().text_in(frame_with(text)) in ("", text)


@given(st.binary(max_size=80))
def test_bytes_of_any_kind_around_the_text_are_left_to_the_decoder(noise: bytes) -> None:
    for data in (noise, FRAME[:-2] + noise, noise + FRAME, FRAME + noise):
        if data != FRAME:
            assert taught().text_in(data) == ""


@pytest.mark.parametrize(
    "data",
    [
        FRAME.replace(b"c1", b"c2"),
        FRAME.replace(b"null", b"1"),
        FRAME[:-1],
        FRAME + FRAME,
        FRAME.replace(b" mill", b""),
        FRAME.replace(b" mill", b'a"b'),
        FRAME.replace(b" mill", b"a\nb"),
        FRAME.replace(b" mill", b"a\x00b"),
        FRAME.replace(b" mill", b"\xff"),
        FRAME[:36] + FRAME[41:],
        b"",
    ],
)
def test_whatever_else_differs_gives_nothing(data: bytes) -> None:
    assert taught().text_in(data) == ""


def test_a_space_after_the_colon_is_no_matter() -> None:
    frame = FRAME.replace(b'"content":', b'"content": ')
    assert taught(frame).text_in(frame.replace(b" mill", b"stone")) == "stone"


def test_text_that_stands_there_twice_cannot_be_learnt() -> None:
    frame = b'data: {"content":"a","message":{"content":"a"}}\n\n'
    assert not Repeated().learn(frame, b"content", "a")


def test_it_stops_learning_from_a_stream_in_which_nothing_repeats() -> None:
    repeated = Repeated()
    for number in range(100):
        if not repeated.teachable:
            break
        repeated.learn(b'{"content":"a","seq":%d}' % number, b"content", "a")
    assert number < 20
    assert taught().teachable


def test_a_hit_lets_it_learn_again() -> None:
    repeated = Repeated()
    while repeated.teachable:
        repeated.learn(FRAME, b"content", " mill")
    assert repeated.text_in(FRAME) == " mill"
    assert repeated.teachable


@given(st.lists(st.text(min_size=1), max_size=6), st.one_of(st.binary(max_size=20), st.just(frame_with(""))))
def test_frames_in_a_row_give_their_texts_up_to_the_first_that_is_other(texts: list[str], other: bytes) -> None:
    frames = [frame_with(text) for text in texts]
    found = taught().texts_in([*frames, other, *frames])
    known = all(taught().text_in(frame) for frame in frames)
    assert found == (texts if known else [])


def test_where_nothing_is_alike_nothing_is_lost_by_looking() -> None:
    known = taught()
    for _ in range(20):
        assert known.texts_in([frame_with(""), FRAME]) == []
    assert known.teachable


@pytest.mark.parametrize("piece", [b"\\", b'",\n"', b'a","b', b"a\nb", b'a"', b"\xff", rb"\ud83d"])
def test_frames_in_a_row_with_what_is_no_string_are_left_to_the_decoder(piece: bytes) -> None:
    row = [frame_with("a"), FRAME.replace(b" mill", piece), FRAME.replace(b" mill", b',"b'), frame_with("c")]
    known = taught()
    assert known.texts_in(row) == []
    for _ in range(20):
        known.texts_in(row)
    assert not known.teachable
