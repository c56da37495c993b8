"""Streams → events: text, thinking, ends. One quirk per test, each of some provider's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import (
    CitationPart,
    MediaPart,
    Opaque,
    ReasoningPart,
    RefusalPart,
    Reply,
    TextPart,
)
from millstream.dialects.openai_chat import DIALECT

Chunk = Callable[..., dict[str, Any]]
Read = Callable[..., list[ev.Event]]
Fold = Callable[..., Reply]

DONE = "[DONE]"


def test_a_stream_of_text_is_one_block(chunk: Chunk, read: Read) -> None:
    first = chunk(
        {"role": "assistant", "content": ""}, system_fingerprint="fp", service_tier="default", obfuscation="x"
    )
    assert read(first, chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk(finish="stop"), DONE) == [
        ev.MessageStart(
            "chatcmpl-1",
            "m",
            1_700_000_000,
            extra={"openai_chat": {"system_fingerprint": "fp", "service_tier": "default"}},
        ),
        ev.TextStart(0),
        ev.TextDelta(0, "Hello"),
        ev.TextEnd(0),
        ev.ChoiceEnd(0, "stop"),
        ev.Finish(),
    ]


def test_a_prompts_filter_results_do_not_begin_the_reply(chunk: Chunk, read: Read) -> None:
    azure = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{}]}
    events = read(azure, chunk({"content": "a"}), chunk(finish="stop"), DONE)
    assert isinstance(events[0], ev.MessageStart)
    assert events[0].id == "chatcmpl-1"


def test_missing_ids_and_times_are_empty(read: Read) -> None:
    bare = {"id": "", "created": 0, "choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]}
    start = read(bare)[0]
    assert start == ev.MessageStart("", "", None, extra={"openai_chat": {}})


def test_content_in_the_finish_chunk_is_heard(chunk: Chunk, fold: Fold) -> None:
    assert fold(chunk({"content": "a"}), chunk({"content": "b"}, "stop")).choices[0].parts == (TextPart("ab"),)


def test_text_after_a_finish_reason_is_still_text(chunk: Chunk, fold: Fold) -> None:
    reply = fold(chunk({"content": "a"}), chunk({}, "stop"), chunk({"content": "b"}), DONE)
    assert reply.choices[0].parts == (TextPart("a"), TextPart("b"))
    assert reply.choices[0].finish_reason == "stop"


def test_a_repeated_finish_reason_counts_once(chunk: Chunk, fold: Fold) -> None:
    reply = fold(chunk({"content": "a"}), chunk({"content": ""}, "length"), chunk({"content": ""}, "stop"), DONE)
    assert [choice.finish_reason for choice in reply.choices] == ["length"]


@pytest.mark.parametrize("end", [(), (DONE,), (b": a comment\n\n", DONE), ('{"choices": []}', DONE)])
def test_a_finish_reason_is_enough_whatever_follows(end: tuple[Any, ...], chunk: Chunk, read: Read) -> None:
    assert isinstance(read(chunk({"content": "a"}), chunk({}, "stop"), *end)[-1], ev.Finish)


@pytest.mark.parametrize("end", [(), (DONE,)])
def test_without_a_finish_reason_the_answer_is_cut_off(end: tuple[Any, ...], chunk: Chunk, read: Read) -> None:
    fault = read(chunk({"content": "a"}), *end)[-1]
    assert isinstance(fault, ev.Fault)
    assert (fault.kind, fault.whose, fault.retryable) == (Kind.TRUNCATED, "upstream", True)


def test_every_choice_must_have_ended(chunk: Chunk, read: Read) -> None:
    events = read(chunk({"content": "a"}), chunk({"content": "b"}, index=1), chunk({}, "stop"), DONE)
    assert isinstance(events[-1], ev.Fault)


def test_a_stream_without_anything_is_cut_off(read: Read) -> None:
    assert isinstance(read()[-1], ev.Fault)
    assert isinstance(read(DONE)[-1], ev.Fault)


def test_nothing_follows_the_end(chunk: Chunk) -> None:
    parser = DIALECT.parser()
    stream = f"data: {json.dumps(chunk({'content': 'a'}, 'stop'))}\n\ndata: [DONE]\n\n".encode()
    assert isinstance(parser.feed(stream + stream)[-1], ev.Finish)
    assert parser.feed(stream) == []
    assert parser.finish() == []


def test_a_last_chunk_without_its_blank_line_is_read(chunk: Chunk, read: Read) -> None:
    last = f"data: {json.dumps(chunk({}, 'stop'))}".encode()
    assert isinstance(read(chunk({"content": "a"}), last)[-1], ev.Finish)


def test_half_a_last_chunk_is_a_cut_not_nonsense(chunk: Chunk, read: Read) -> None:
    fault = read(chunk({"content": "a"}), b'data: {"choices": [{"ind')[-1]
    assert isinstance(fault, ev.Fault)
    assert fault.kind is Kind.TRUNCATED


def test_crlf_comments_and_missing_spaces_are_all_one(chunk: Chunk, fold: Fold) -> None:
    def frame(one: dict[str, Any]) -> bytes:
        return b": OPENROUTER PROCESSING\r\n\r\ndata:" + json.dumps(one).encode() + b"\r\n\r\n"

    reply = fold(frame(chunk({"content": "a"})), frame(chunk({}, "stop")))
    assert reply.choices[0].parts == (TextPart("a"),)


def test_choices_interleave(chunk: Chunk, fold: Fold) -> None:
    pieces = [chunk({"content": text}, index=index) for text, index in (("a", 0), ("x", 1), ("b", 0), ("y", 1))]
    reply = fold(*pieces, chunk({}, "stop", index=1), chunk({}, "length"), DONE)
    assert [choice.parts for choice in reply.choices] == [(TextPart("ab"),), (TextPart("xy"),)]
    assert [choice.finish_reason for choice in reply.choices] == ["length", "stop"]


def test_a_refusal_is_a_block_of_its_own_kind(chunk: Chunk, fold: Fold) -> None:
    reply = fold(chunk({"content": None, "refusal": "I can"}), chunk({"refusal": "not."}), chunk({}, "stop"), DONE)
    assert reply.choices[0].parts == (RefusalPart("I cannot."),)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_comes_in_either_field(field: str, chunk: Chunk, fold: Fold) -> None:
    reply = fold(chunk({field: "hm", "content": None}), chunk({"content": "a", field: None}), chunk({}, "stop"), DONE)
    assert reply.choices[0].parts == (ReasoningPart("hm"), TextPart("a"))


def test_thinking_said_in_two_fields_is_heard_once(chunk: Chunk, fold: Fold) -> None:
    def entry(text: str) -> list[dict[str, Any]]:
        return [{"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}]

    reply = fold(
        chunk({"content": "", "reasoning_content": "a", "reasoning_details": entry("a")}),
        chunk({"content": "", "reasoning_content": "b", "reasoning_details": entry("b")}),
        chunk({"content": "c"}, "stop"),
    )
    assert reply.choices[0].parts == (ReasoningPart("ab"), TextPart("c"))


def test_thinking_only_in_its_details_is_heard(chunk: Chunk, fold: Fold) -> None:
    summary = {"type": "reasoning.summary", "summary": "in short", "index": 0}
    reply = fold(chunk({"reasoning_details": [summary]}), chunk({"content": "c"}, "stop"))
    assert reply.choices[0].parts == (ReasoningPart("in short"), TextPart("c"))


def test_a_signature_ends_up_with_its_thought(chunk: Chunk, fold: Fold) -> None:
    def entry(**fields: Any) -> list[dict[str, Any]]:
        return [{"type": "reasoning.text", **fields, "format": "anthropic-claude-v1", "index": 0}]

    reply = fold(
        chunk({"reasoning": "a", "reasoning_details": entry(text="a")}),
        chunk({"reasoning": "b", "reasoning_details": entry(text="b", signature="")}),
        chunk({"reasoning_details": entry(signature="SIG")}),
        chunk({"content": "c"}, "stop"),
    )
    thought, _ = reply.choices[0].parts
    assert isinstance(thought, ReasoningPart)
    assert thought.text == "ab"
    assert thought.signature is not None
    assert thought.signature.origin == "openai_chat"
    assert json.loads(thought.signature.value) == entry(signature="SIG")


def test_encrypted_thinking_beside_a_summary_signs_it(chunk: Chunk, fold: Fold) -> None:
    entries = [
        {"type": "reasoning.summary", "summary": "s", "format": "xai-responses-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "E", "format": "xai-responses-v1", "index": 0},
    ]
    reply = fold(chunk({"reasoning": "s", "reasoning_details": entries}), chunk({"content": "c"}, "stop"))
    thought = reply.choices[0].parts[0]
    assert isinstance(thought, ReasoningPart)
    assert thought.signature is not None
    kept = json.loads(thought.signature.value)
    assert kept == [{name: value for name, value in entries[0].items() if name != "summary"}, entries[1]]


def test_encrypted_thinking_by_itself_is_hidden(chunk: Chunk, fold: Fold) -> None:
    entry = {"type": "reasoning.encrypted", "data": "E", "id": "tool_1", "index": 0}
    reply = fold(chunk({"content": "a"}), chunk({"reasoning_details": [entry]}), chunk({}, "stop"))
    text, hidden = reply.choices[0].parts
    assert text == TextPart("a")
    assert isinstance(hidden, ReasoningPart)
    assert hidden.redacted == Opaque("openai_chat", json.dumps([entry], separators=(",", ":")))


def test_a_whole_thought_repeated_beside_its_signature_is_not_heard_again(chunk: Chunk, fold: Fold) -> None:
    """Which is how this gateway itself says it."""
    entry = {"type": "reasoning.text", "text": "ab", "signature": "S", "index": 0}
    reply = fold(
        chunk({"reasoning_content": "a"}),
        chunk({"reasoning_content": "b"}),
        chunk({"reasoning_details": [entry]}),
        chunk({"content": "c"}, "stop"),
    )
    thought = reply.choices[0].parts[0]
    assert isinstance(thought, ReasoningPart)
    assert thought.text == "ab"
    assert thought.signature is not None


def test_text_and_thinking_alternate_as_blocks(chunk: Chunk, fold: Fold) -> None:
    pieces = [{"reasoning_content": "a"}, {"content": "b"}, {"reasoning_content": "c"}, {"content": "d"}]
    reply = fold(*map(chunk, pieces), chunk({}, "stop"))
    assert reply.choices[0].parts == (ReasoningPart("a"), TextPart("b"), ReasoningPart("c"), TextPart("d"))


def test_content_may_be_a_list_of_thinking_and_text(chunk: Chunk, fold: Fold) -> None:
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]
    mixed = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "!"}], "closed": True},
        {"type": "text", "text": "4"},
    ]
    reply = fold(chunk({"content": thinking}), chunk({"content": mixed}), chunk({"content": "2"}, "stop"))
    assert reply.choices[0].parts == (ReasoningPart("hm!"), TextPart("42"))


@pytest.mark.parametrize("literal", ["<think>hm</think>4", "4</s>"])
def test_what_is_written_into_the_text_stays_text(literal: str, chunk: Chunk, fold: Fold) -> None:
    assert fold(chunk({"content": literal}, "eos_token")).choices[0].parts == (TextPart(literal),)


def test_log_probabilities_ride_with_their_text(chunk: Chunk, fold: Fold) -> None:
    def logprobs(token: str) -> dict[str, Any]:
        return {"content": [{"token": token, "logprob": -0.1}], "refusal": None}

    reply = fold(
        chunk({"content": "a"}, choice_logprobs=logprobs("a")),
        chunk({"content": ""}, choice_logprobs=logprobs("<eot>")),
        chunk({}, "stop", choice_logprobs={"content": None, "refusal": None}),
    )
    part = reply.choices[0].parts[0]
    assert isinstance(part, TextPart)
    assert part.extra is not None
    assert [entry["token"] for entry in part.extra["openai_chat"]["logprobs"]["content"]] == ["a", "<eot>"]


def test_log_probabilities_of_thinking_end_up_with_the_thought(chunk: Chunk, fold: Fold) -> None:
    logprobs = {"content": None, "reasoning_content": [{"token": "We"}]}
    reply = fold(chunk({"reasoning_content": "We"}, choice_logprobs=logprobs), chunk({}, "length"))
    extra = reply.choices[0].parts[0].extra  # type: ignore[union-attr]  # it is a thought
    assert extra == {"openai_chat": {"logprobs": logprobs}}


def test_sources_repeated_on_every_chunk_are_said_once_at_the_end_of_the_text(chunk: Chunk, read: Read) -> None:
    sources = {"citations": ["https://a", "https://b"], "search_results": [{"url": "https://a", "title": "A"}]}
    events = read(chunk({"content": "x"}, **sources), chunk({"content": "y"}, "stop", **sources))
    assert [event for event in events if isinstance(event, ev.Citation)] == [
        ev.Citation(0, "openai_chat", {"url": "https://a", "title": "A"}, "https://a", "A"),
        ev.Citation(0, "openai_chat", {"url": "https://b"}, "https://b"),
    ]
    assert isinstance(events[-3], ev.TextEnd)


def test_annotations_cite_the_text_that_is_open(chunk: Chunk, fold: Fold) -> None:
    details = {"url": "https://a", "title": "A", "start_index": 0, "end_index": 1}
    annotation = {"type": "url_citation", "url_citation": details}
    reply = fold(chunk({"content": "x"}), chunk({"annotations": [annotation]}), chunk({"content": "y"}, "stop"))
    cited = CitationPart("openai_chat", annotation, "https://a", "A", None, 0, 1)
    assert reply.choices[0].parts == (TextPart("xy", (cited,)),)


def test_annotations_before_any_text_wait_for_it(chunk: Chunk, fold: Fold) -> None:
    annotation = {"type": "url_citation", "url_citation": {"url": "https://a", "title": "A"}}
    reply = fold(chunk({"annotations": [annotation]}), chunk({"content": "y"}, "stop"))
    part = reply.choices[0].parts[0]
    assert isinstance(part, TextPart)
    assert [citation.url for citation in part.citations] == ["https://a"]


def test_images_are_blocks(chunk: Chunk, fold: Fold) -> None:
    images = [
        {"type": "image_url", "image_url": {"url": "data:image/webp;base64,AAAA"}, "index": 0},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}, "index": 1},
    ]
    reply = fold(chunk({"content": "see"}), chunk({"images": images}), chunk({}, "stop"))
    assert reply.choices[0].parts == (
        TextPart("see"),
        MediaPart("image", "image/webp", "AAAA"),
        MediaPart("image", "image", url="https://x/y.png"),
    )


def test_pieces_of_a_spoken_answer_are_carried_as_they_came(chunk: Chunk, read: Read) -> None:
    audio = {"id": "audio_1", "data": "UklGRg=="}
    events = read(chunk({"audio": audio}), chunk({}, "stop"))
    spoken = next(event for event in events if isinstance(event, ev.Unknown))
    assert (spoken.origin, spoken.name) == ("openai_chat", "audio")
    assert json.loads(spoken.data) == {"index": 0, "audio": audio}


def test_a_whole_message_in_a_chunk_stands_for_a_missing_delta(read: Read) -> None:
    whole = {"id": "x", "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]}
    assert ev.TextDelta(0, "a") in read(whole)


def test_a_message_beside_the_delta_is_a_copy(chunk: Chunk, fold: Fold) -> None:
    reply = fold(chunk({"content": "a"}, choice_message={"content": "a"}), chunk({"content": "b"}, "stop"))
    assert reply.choices[0].parts == (TextPart("ab"),)


def test_a_delta_may_be_missing(read: Read, chunk: Chunk) -> None:
    last = {"id": "x", "choices": [{"index": 0, "finish_reason": "stop", "content_filter_results": {}}]}
    assert isinstance(read(chunk({"content": "a"}), last)[-1], ev.Finish)


def test_frames_of_unknown_kinds_are_passed_on(chunk: Chunk, read: Read) -> None:
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    events = read(ping, "keepalive", chunk({"content": "a"}, "stop"))
    assert events[0] == ev.Unknown("openai_chat", '{"type": "ping"}', "ping")
    assert events[1] == ev.Unknown("openai_chat", "keepalive")
    assert isinstance(events[-1], ev.Finish)


def test_half_a_character_becomes_the_replacement_character(chunk: Chunk, fold: Fold) -> None:
    """Some gateways cut text between the two halves of an emoji, which is no legal JSON."""
    halves = json.dumps(chunk({"content": "<\ud83d>"})), json.dumps(chunk({"content": "\\ud83d 😀"}, "stop"))
    assert fold(*halves).choices[0].parts == (TextPart("<\ufffd>\\ud83d 😀"),)


def test_numbers_written_as_strings_are_read(fold: Fold) -> None:
    loose = {"id": "x", "choices": [{"index": "0", "delta": {"content": "a"}, "finish_reason": "stop"}]}
    assert fold(loose).choices[0].parts == (TextPart("a"),)


def test_a_chunk_that_cannot_be_read_is_a_fault(chunk: Chunk, read: Read) -> None:
    for nonsense in ('{"choices": [{]}', '{"choices": "none"}', '{"choices": [{"delta": {"content": 7}}]}'):
        fault = read(chunk({"content": "a"}), nonsense, chunk({}, "stop"))[-1]
        assert isinstance(fault, ev.Fault)
        assert fault.kind is Kind.MALFORMED


def test_json_in_place_of_a_stream_is_read_as_the_whole_reply() -> None:
    parser = DIALECT.parser()
    body = {"id": "x", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
    assert parser.feed(json.dumps(body, indent=2).encode()) == []
    events = parser.finish()
    assert ev.TextDelta(0, "a") in events
    assert isinstance(events[-1], ev.Finish)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "stop"),
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("COMPLETE", "stop"),
        ("length", "length"),
        ("max_tokens", "length"),
        ("model_length", "context_window"),
        ("content_filter", "content_filter"),
        ("sensitive", "content_filter"),
        ("refusal", "refusal"),
        ("tool_calls", "stop"),
    ],
)
def test_every_providers_word_for_the_end_is_known(word: str, reason: str, chunk: Chunk, fold: Fold) -> None:
    """``tool_calls`` without any call would leave a client waiting for its own answer."""
    assert fold(chunk({"content": "a"}, word)).choices[0].finish_reason == reason


def test_a_matched_stop_sequence_is_named(chunk: Chunk, fold: Fold) -> None:
    choice = fold(chunk({"content": "a"}, "stop", choice_stop_reason="END")).choices[0]
    assert (choice.finish_reason, choice.stop_sequence) == ("stop_sequence", "END")
    choice = fold(chunk({"content": "a"}, "stop", choice_matched_stop=163586)).choices[0]
    assert (choice.finish_reason, choice.stop_sequence) == ("stop", None)


@pytest.mark.parametrize("word", ["error", "network_error", "insufficient_system_resource"])
def test_some_words_for_the_end_mean_a_failure(word: str, chunk: Chunk, read: Read) -> None:
    fault = read(chunk({"content": "a"}), chunk({}, word), DONE)[-1]
    assert isinstance(fault, ev.Fault)
    assert (fault.code, fault.retryable) == (word, fault.kind is Kind.OVERLOADED)


def test_a_whole_reply_is_read_like_a_stream() -> None:
    message = {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "hm",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    body = {
        "id": "x",
        "created": 5,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    kinds = [type(event).__name__ for event in DIALECT.parse_reply(b"\n\n  " + json.dumps(body).encode())]
    assert kinds == [
        "MessageStart",
        *("ReasoningStart", "ReasoningDelta", "ReasoningEnd"),
        *("TextStart", "TextDelta", "TextEnd"),
        *("ToolCallStart", "ToolCallDelta", "ToolCallEnd"),
        *("Usage", "ChoiceEnd", "Finish"),
    ]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"id": "x"}', b'{"choices": []}', b'{"error": "no"}'])
def test_what_is_no_reply_is_a_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault):
        DIALECT.parse_reply(body)
