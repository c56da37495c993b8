"""Token counts from all the places where providers put them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.messages import Usage
from millstream.dialects.openai_chat.usage import usage_in, usage_out

Chunk = Callable[..., dict[str, Any]]
Read = Callable[..., list[ev.Event]]

BASE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        (BASE, Usage(100, 10)),
        ({**BASE, "prompt_tokens_details": {"cached_tokens": 0}}, Usage(100, 10, 0)),
        ({**BASE, "prompt_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 3}}, Usage(100, 10, 64, 3)),
        ({**BASE, "prompt_tokens_details": None, "completion_tokens_details": None}, Usage(100, 10)),
        ({**BASE, "cached_tokens": 64}, Usage(100, 10, 64)),
        ({**BASE, "num_cached_tokens": 64}, Usage(100, 10, 64)),
        ({**BASE, "prompt_cache_hit_tokens": 64}, Usage(100, 10, 64)),
        ({**BASE, "cache_read_input_tokens": 64, "cache_creation_input_tokens": 3}, Usage(100, 10, 64, 3)),
        ({**BASE, "completion_tokens_details": {"reasoning_tokens": 7}}, Usage(100, 10, reasoning_tokens=7)),
        ({**BASE, "reasoning_tokens": 7}, Usage(100, 10, reasoning_tokens=7)),
        ({}, Usage()),
    ],
)
def test_counts_are_found_wherever_they_are(sent: dict[str, Any], read_as: Usage) -> None:
    assert usage_in(sent) == read_as


def test_thinking_counted_beside_the_completion_is_part_of_the_output() -> None:
    """xAI: the total shows it. Vercel's gateway for Gemini: there is more of it than of the completion."""
    xai = {"prompt_tokens": 432, "completion_tokens": 68, "total_tokens": 636}
    assert usage_in({**xai, "completion_tokens_details": {"reasoning_tokens": 136}}).output_tokens == 204
    vercel = {"prompt_tokens": 40, "completion_tokens": 14, "total_tokens": 54}
    assert usage_in({**vercel, "completion_tokens_details": {"reasoning_tokens": 43}}).output_tokens == 57


def test_a_prompt_without_what_was_cached_gets_it_added() -> None:
    usage = usage_in({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 70, "cache_read_input_tokens": 64})
    assert (usage.input_tokens, usage.cache_read_tokens) == (69, 64)


def test_no_more_was_read_from_a_cache_than_the_prompt_holds() -> None:
    usage = usage_in({"prompt_tokens": 10, "completion_tokens": 142, "total_tokens": 152, "num_cached_tokens": 64})
    assert (usage.input_tokens, usage.cache_read_tokens) == (10, 10)
    assert usage_out(usage)["prompt_tokens_details"]["cached_tokens"] == 64


def test_what_has_no_name_here_is_carried() -> None:
    sent = {**BASE, "cost": 0.1, "prompt_tokens_details": {"audio_tokens": 4, "cached_tokens": 2}}
    written = usage_out(usage_in(sent))
    assert written["cost"] == 0.1
    assert written["prompt_tokens_details"] == {"cached_tokens": 2, "audio_tokens": 4}


def test_every_field_openai_has_is_written() -> None:
    assert usage_out(Usage(100, 10, 64, None, 7)) == {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "total_tokens": 110,
        "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 7,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@pytest.mark.parametrize(
    "place",
    ["in a chunk without choices", "in the finish chunk", "in the choice", "in x_groq", "after the finish", "alone"],
)
def test_usage_is_read_in_any_place(place: str, chunk: Chunk, read: Read) -> None:
    text, finish = chunk({"content": "a"}), chunk({}, "stop")
    bare = {name: value for name, value in finish.items() if name != "choices"}
    frames = {
        "in a chunk without choices": [finish, {**finish, "choices": [], "usage": BASE}],
        "in the finish chunk": [{**finish, "usage": BASE}],
        "in the choice": [chunk({}, "stop", choice_usage=BASE)],
        "in x_groq": [{**finish, "x_groq": {"id": "req", "usage": BASE}}],
        "after the finish": [finish, {**chunk({"content": ""}), "usage": BASE}, chunk({})],
        "alone": [finish, {**bare, "usage": BASE}],
    }[place]
    events = read(text, *frames, "[DONE]")
    assert [event for event in events if isinstance(event, ev.Usage)] == [ev.Usage(Usage(100, 10))]
    assert isinstance(events[-1], ev.Finish)


def test_a_repeated_count_is_said_once_and_a_growing_one_as_it_grows(chunk: Chunk, read: Read) -> None:
    grown = {**BASE, "completion_tokens": 11, "total_tokens": 111}
    events = read(chunk({"content": "a"}, usage=BASE), chunk({}, "stop", usage=grown), chunk(usage=grown))
    counts = [event.usage.output_tokens for event in events if isinstance(event, ev.Usage)]
    assert counts == [10, 11]


def test_usage_null_on_every_chunk_is_nothing(chunk: Chunk, read: Read) -> None:
    events = read(chunk({"content": "a"}, usage=None), chunk({}, "stop", usage=None))
    assert not any(isinstance(event, ev.Usage) for event in events)
