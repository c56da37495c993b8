"""Frames that repeat are read as any others: what they change besides the text is never passed over."""

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.repeats import Repeated
from millstream.dialects.openai_chat.parse import ChatParser
from millstream.dialects.openai_chat.wire import decode_chunk


def frame(delta: dict[str, Any], choice: dict[str, Any] | None = None, **chunk: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": None, **(choice or {})}]
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": choices, **chunk}).encode() + b"\n\n"


def fed(*reads: bytes) -> list[list[ev.Event]]:
    parser = ChatParser()
    return [parser.feed(read) for read in reads]


def texts(*pieces: str, **more: Any) -> list[bytes]:
    return [frame({"content": piece}, **more) for piece in pieces]


def test_pieces_of_text_are_given_one_by_one() -> None:
    events = fed(*texts("a", "b", "c", 'd"', "e"))
    assert events[1:] == [[ev.TextDelta(0, piece)] for piece in ("b", "c", 'd"', "e")]


def test_thinking_then_text_are_blocks_of_their_own() -> None:
    thoughts = [frame({"reasoning_content": piece}) for piece in "abc"]
    events = fed(*thoughts, *texts("d", "e", "f"), *thoughts)
    assert events[2] == [ev.ReasoningDelta(0, "c")]
    assert events[3] == [ev.ReasoningEnd(0), ev.TextStart(1), ev.TextDelta(1, "d")]
    assert events[5] == [ev.TextDelta(1, "f")]
    assert events[6] == [ev.TextEnd(1), ev.ReasoningStart(2), ev.ReasoningDelta(2, "a")]
    assert events[8] == [ev.ReasoningDelta(2, "c")]


def test_a_frame_in_two_reads_is_one_frame() -> None:
    [first, second, third, fourth] = texts("a", "b", "c", "d")
    events = fed(first, second, third[:-1], third[-1:] + fourth)
    assert events[1:] == [[ev.TextDelta(0, "b")], [], [ev.TextDelta(0, "c"), ev.TextDelta(0, "d")]]


def test_a_read_that_looks_whole_inside_another_frame_is_not_taken_for_one() -> None:
    [first, second, third] = texts("a", "b", "c")
    events = fed(first, second, b"data: ", third)
    assert [event for read in events[2:] for event in read] != [ev.TextDelta(0, "c")]


@pytest.mark.parametrize(
    "more",
    [
        {"choice": {"logprobs": {"content": [{"token": "x", "logprob": -0.1}]}}},
        {"choice": {"message": {"content": "all so far"}}},
        {"usage": {"prompt_tokens": 1, "completion_tokens": 1}},
        {"citations": ["https://a.example"]},
    ],
)
def test_frames_that_say_more_are_always_decoded(more: dict[str, Any]) -> None:
    reads = texts("a", "b", "c", **more)
    parser = ChatParser()
    one_by_one = [event for read in reads for event in parser.feed(read)]
    assert one_by_one == ChatParser().feed(b"".join(reads))


def test_choices_are_told_apart() -> None:
    reads = [frame({"content": piece}, {"index": number}) for piece in "abc" for number in (0, 1)]
    events = fed(*reads)
    assert events[2:] == [[ev.TextDelta(number, piece)] for piece in "bc" for number in (0, 1)]


def test_after_its_end_nothing_is_read() -> None:
    [text, more] = texts("a", "b")
    end = frame({}, {"finish_reason": "stop"})
    events = fed(text, more, end + b"data: [DONE]\n\n", more)
    assert events[-1] == []


def call(number: int) -> bytes:
    return frame(
        {"tool_calls": [{"index": number, "id": f"call_{number}", "function": {"name": "t", "arguments": "{}"}}]}
    )


@pytest.mark.parametrize("together", [False, True])
def test_text_after_a_call_is_a_block_of_its_own(together: bool) -> None:
    first, then = texts("a", "b", "c"), texts("d", "e", "f")
    reads = [b"".join(first), call(0), b"".join(then)] if together else [*first, call(0), *then]
    events = [event for read in fed(*reads) for event in read]
    pieces = [(event.index, event.text) for event in events if isinstance(event, ev.TextDelta)]
    assert pieces == [(0, "a"), (0, "b"), (0, "c"), (2, "d"), (2, "e"), (2, "f")]


pieces = st.sampled_from(["a", "\u00e9", 'b"', "\\", "\n", " ", "7"])
frames = st.one_of(
    st.builds(lambda text, number: frame({"content": text}, {"index": number}), pieces, st.sampled_from([0, 0, 0, 1])),
    st.builds(lambda text: frame({"content": text}), pieces),
    st.builds(lambda text: frame({"reasoning_content": text}), pieces),
    st.builds(lambda text: frame({"content": text}, usage={"prompt_tokens": 1}), pieces),
    st.builds(call, st.integers(0, 2)),
    st.just(frame({}, {"finish_reason": "stop"})),
    st.just(b": keepalive\n\n"),
    st.just(b"data: [DONE]\n\n"),
)


texts_in_a_row = st.lists(st.text(max_size=3), min_size=3, max_size=12).map(lambda row: b"".join(texts(*row)))
some_frames = st.lists(st.one_of(frames, texts_in_a_row), min_size=1, max_size=6).map(b"".join)


@given(st.lists(some_frames, max_size=8))
def test_what_is_known_by_heart_reads_as_if_it_were_not(reads: list[bytes]) -> None:
    with patch.object(Repeated, "text_in", return_value=""), patch.object(Repeated, "texts_in", return_value=[]):
        expected = fed(*reads)
    assert fed(*reads) == expected


MANY = "abcdefghijklmnopqrstuvwxyz" * 2


@pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning"])
def test_of_many_frames_in_one_read_only_the_first_are_decoded(field: str) -> None:
    read = b"".join(frame({field: piece}) for piece in MANY)
    with patch("millstream.dialects.openai_chat.wire.decode_chunk", wraps=decode_chunk) as decoded:
        [events] = fed(read)
    assert [event.text for event in events if isinstance(event, ev.TextDelta | ev.ReasoningDelta)] == list(MANY)
    assert decoded.call_count < 10


def test_frames_of_a_first_short_read_are_decoded_and_those_of_the_next_are_known() -> None:
    reads = [b"".join(texts(*MANY[:10]))] * 3
    with patch("millstream.dialects.openai_chat.wire.decode_chunk", wraps=decode_chunk) as decoded:
        events = fed(*reads)
    assert [len(some) for some in events] == [12, 10, 10]
    assert decoded.call_count < 25


@pytest.mark.parametrize(
    "between",
    [
        b": keepalive\n\n",
        b"event: other\n" + frame({"content": "x"}),
        frame({"content": ""}),
        frame({"content": "x"}, usage={"prompt_tokens": 1, "completion_tokens": 1}),
        frame({"content": "x"}, {"index": 1}),
        frame({"reasoning": "x"}),
        call(0),
        frame({"content": "\\"}),
        frame({"content": "x"}).replace(b'"x"', b'"x","y"'),
        frame({"content": "x"}).replace(b'"x"', rb'"\ud83d"'),
    ],
)
def test_what_stands_between_many_frames_is_read_in_its_place(between: bytes) -> None:
    row = b"".join(texts(*MANY[:26])), b"".join(texts(*MANY[26:]))
    one_by_one = ChatParser()
    frames = [part + b"\n\n" for part in (row[0] + between + row[1]).split(b"\n\n")[:-1]]
    expected = [event for part in frames for event in one_by_one.feed(part)]
    [together] = fed(row[0] + between + row[1])
    assert together == expected


def test_an_error_event_that_looks_like_text_is_an_error() -> None:
    read = b"".join(texts(*MANY[:26])) + b"event: error\n" + frame({"content": "x"}) + b"".join(texts(*MANY[26:]))
    [events] = fed(read)
    assert isinstance(events[-1], ev.Fault)
    assert len([event for event in events if isinstance(event, ev.TextDelta)]) == 26


def test_frames_from_which_nothing_can_be_learnt_are_soon_decoded_once() -> None:
    reads = texts(*"abcdefghijklmnopqrstuvwxyz", choice={"logprobs": {"content": [{"token": "x", "logprob": -0.1}]}})
    with patch("millstream.dialects.openai_chat.wire.decode_chunk", wraps=decode_chunk) as decoded:
        fed(*reads)
    assert decoded.call_count < len(reads) + 10
