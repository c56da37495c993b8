"""One test per way in which this API's replies differ from what one would think."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.messages import (
    MediaPart,
    Opaque,
    ReasoningPart,
    Reply,
    ServerToolResultPart,
    TextPart,
    ToolCallPart,
    UnknownPart,
    Usage,
)
from millstream.dialects.gemini import DIALECT, wire

Read = Callable[..., list[ev.Event]]
Sse = Callable[..., bytes]
Said = Callable[..., dict[str, Any]]
Fold = Callable[[bytes], Reply]

TEXT = {"text": "Hi"}
CALL = {"functionCall": {"name": "f", "args": {"a": 1}}}


def only(reply: Reply) -> list[Any]:
    (choice,) = reply.choices
    return list(choice.parts)


def fault(events: list[ev.Event]) -> ev.Fault:
    last = events[-1]
    assert isinstance(last, ev.Fault)
    return last


def test_a_text_is_one_block_however_many_chunks_it_comes_in(read: Read, sse: Sse, said: Said) -> None:
    stream = sse(said(TEXT), said({"text": " you"}), said({"text": ""}, finish="STOP"))
    assert read(stream) == [
        ev.MessageStart("R1", "gemini-x"),
        ev.TextStart(0),
        ev.TextDelta(0, "Hi"),
        ev.TextDelta(0, " you"),
        ev.TextEnd(0),
        ev.ChoiceEnd(0, "stop"),
        ev.Finish(),
    ]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_line_end_will_do(read: Read, sse: Sse, said: Said, newline: str) -> None:
    stream = sse(said(TEXT), said(finish="STOP"), newline=newline)
    assert [event.text for event in read(stream) if isinstance(event, ev.TextDelta)] == ["Hi"]
    assert read(stream, size=1) == read(stream)


def test_thoughts_are_a_block_of_their_own(fold: Fold, sse: Sse, said: Said) -> None:
    thought = {"text": "hm", "thought": True}
    reply = fold(sse(said(thought), said(thought), said(TEXT, finish="STOP")))
    assert only(reply) == [ReasoningPart("hmhm"), TextPart("Hi")]


def test_stop_after_a_call_is_a_wish_for_tools(fold: Fold, sse: Sse, said: Said) -> None:
    reply = fold(sse(said(CALL, finish="STOP", finishMessage="Model generated function call(s).")))
    assert reply.choices[0].finish_reason == "tool_calls"


def test_a_call_after_which_the_limit_came_is_cut_short_all_the_same(fold: Fold, sse: Sse, said: Said) -> None:
    assert fold(sse(said(CALL, finish="MAX_TOKENS"))).choices[0].finish_reason == "length"


def test_a_call_without_an_id_gets_one_that_no_other_reply_has(fold: Fold, sse: Sse, said: Said) -> None:
    first, second = only(fold(sse(said(CALL, CALL, finish="STOP"))))
    assert (first.id, second.id) == ("call_R1_1", "call_R1_2")
    assert first.extra == {"gemini": {"$noId": True}}
    other = json.loads(json.dumps(said(CALL, finish="STOP")).replace("R1", "R2"))
    assert only(fold(sse(other)))[0].id == "call_R2_1"


def test_ids_stay_unlike_each_other_where_a_reply_has_no_id(fold: Fold, sse: Sse) -> None:
    def reply(text: str) -> bytes:
        return sse({"candidates": [{"content": {"parts": [{"text": text}, CALL]}, "finishReason": "STOP"}]})

    assert only(fold(reply("a")))[1].id != only(fold(reply("b")))[1].id
    assert only(fold(reply("a")))[1].id == only(fold(reply("a")))[1].id


def test_a_given_id_is_kept(fold: Fold, sse: Sse, said: Said) -> None:
    (call,) = only(fold(sse(said({"functionCall": {"name": "f", "id": "u959", "args": {}}}, finish="STOP"))))
    assert call == ToolCallPart("u959", "f", "{}")


def test_parallel_calls_may_share_a_chunk_or_not_and_only_the_first_is_signed(fold: Fold, sse: Sse, said: Said) -> None:
    signed = {**CALL, "thoughtSignature": "c2ln"}
    together = only(fold(sse(said(signed, CALL, finish="STOP"))))
    apart = only(fold(sse(said(signed), said(CALL), said({"text": ""}, finish="STOP"))))
    assert together == apart
    assert [call.signature for call in apart] == [Opaque("gemini", "c2ln"), None]


def test_arguments_stay_the_text_that_came(fold: Fold, sse: Sse, said: Said) -> None:
    stream = sse(said(CALL, finish="STOP")).replace(b'{"a": 1}', b'{"b":  1.50, "a": "\\u003c"}')
    assert only(fold(stream))[0].arguments == '{"b":  1.50, "a": "\\u003c"}'


@pytest.mark.parametrize("call", [{"name": "f"}, {"name": "f", "args": {}}, {"name": "f", "args": None}])
def test_no_arguments_are_an_empty_object(fold: Fold, sse: Sse, said: Said, call: dict[str, Any]) -> None:
    assert only(fold(sse(said({"functionCall": call}, finish="STOP"))))[0].arguments == "{}"


def test_arguments_in_pieces_are_streamed_as_they_come(read: Read, sse: Sse, said: Said) -> None:
    def more(*pieces: dict[str, Any]) -> dict[str, Any]:
        return said({"functionCall": {"partialArgs": list(pieces), "willContinue": True}})

    stream = sse(
        said({"functionCall": {"name": "f", "willContinue": True}, "thoughtSignature": "c2ln"}),
        more({"jsonPath": "$.a[0].b", "stringValue": "x\n", "willContinue": True}),
        more({"jsonPath": "$.a[0].b", "stringValue": "y"}),
        said({"functionCall": {"willContinue": True}}),
        more({"jsonPath": "$.a[1].b", "numberValue": 5}, {"jsonPath": "$.c", "boolValue": True}),
        said({"functionCall": {}}),
        said({"functionCall": {"name": "g"}}),
        said({"text": ""}, finish="STOP"),
    )
    events = read(stream)
    deltas = [event.arguments for event in events if isinstance(event, ev.ToolCallDelta) and event.index == 0]
    assert deltas == ['{"a":[{"b":"x\\n', 'y"', '},{"b":5}],"c":true', "}"]
    assert ev.ToolCallEnd(0, Opaque("gemini", "c2ln")) in events
    assert ev.ToolCallStart(1, "call_R1_2", "g", extra={"gemini": {"$noId": True}}) in events


def test_a_call_in_pieces_that_never_ends_by_itself_ends_with_the_stream(fold: Fold, sse: Sse, said: Said) -> None:
    piece = {"jsonPath": "$.a", "stringValue": "x", "willContinue": True}
    stream = sse(
        said({"functionCall": {"name": "f", "willContinue": True}}),
        said({"functionCall": {"partialArgs": [piece], "willContinue": True}}, finish="STOP"),
    )
    assert only(fold(stream))[0].arguments == '{"a":"x"}'


def test_pieces_of_a_call_without_a_name_are_the_upstreams_fault(read: Read, sse: Sse, said: Said) -> None:
    piece = {"jsonPath": "$.a", "stringValue": "x"}
    assert fault(read(sse(said({"functionCall": {"partialArgs": [piece]}})))).kind is Kind.MALFORMED


def test_a_signature_on_an_empty_last_part_belongs_to_the_text_before_it(fold: Fold, sse: Sse, said: Said) -> None:
    reply = fold(sse(said(TEXT), said({"text": "", "thoughtSignature": "c2ln"}, finish="STOP")))
    assert only(reply) == [TextPart("Hi", signature=Opaque("gemini", "c2ln"))]


def test_a_signature_with_no_text_at_all_is_kept(fold: Fold, sse: Sse, said: Said) -> None:
    reply = fold(sse(said(CALL), said({"thoughtSignature": "c2ln"}, finish="STOP")))
    assert only(reply)[1] == TextPart("", signature=Opaque("gemini", "c2ln"))


def test_text_after_a_signature_is_another_block(fold: Fold, sse: Sse, said: Said) -> None:
    signed = {"text": "a", "thoughtSignature": "c2ln"}
    thought = {"text": "t", "thought": True, "thoughtSignature": "dGg="}
    reply = fold(sse(said(thought), said({"text": "u", "thought": True}), said(signed), said(TEXT, finish="STOP")))
    assert only(reply) == [
        ReasoningPart("t", Opaque("gemini", "dGg=")),
        ReasoningPart("u"),
        TextPart("a", signature=Opaque("gemini", "c2ln")),
        TextPart("Hi"),
    ]


def test_a_finish_in_the_middle_does_not_end_the_reply(fold: Fold, read: Read, sse: Sse, said: Said) -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)"}}
    result = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}}
    chunks = [said(code, finish="STOP"), said(result), said(TEXT, finish="STOP")]
    call, answer, text = only(fold(sse(*chunks)))
    assert (call.kind, call.name, json.loads(call.arguments)) == ("server", "code_execution", code["executableCode"])
    assert answer == ServerToolResultPart("gemini", call.id, result, "1\n")
    assert text == TextPart("Hi")
    assert fold(sse(*chunks)).choices[0].finish_reason == "stop"
    assert fault(read(sse(*chunks[:2]))).kind is Kind.TRUNCATED
    assert fault(read(sse(*chunks[:1]))).kind is Kind.TRUNCATED


def test_tools_that_google_runs_are_calls_and_results_of_the_server(fold: Fold, sse: Sse, said: Said) -> None:
    call = {"toolCall": {"toolType": "FILE_SEARCH", "id": "t1", "args": {"q": 1}}, "thoughtSignature": "c2ln"}
    result = {"toolResponse": {"toolType": "FILE_SEARCH", "id": "t1"}, "thoughtSignature": "cmVz"}
    first, second, _ = only(fold(sse(said(call), said(result), said(TEXT, finish="STOP"))))
    assert (first.kind, first.id, first.name, first.arguments) == ("server", "t1", "file_search", '{"q": 1}')
    assert first.signature == Opaque("gemini", "c2ln")
    assert second == ServerToolResultPart("gemini", "t1", result)


def test_pictures_and_files_come_as_media(fold: Fold, sse: Sse, said: Said) -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}, "thoughtSignature": "c2ln"}
    file = {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v.mp4"}}
    first, second = only(fold(sse(said(picture), said(file, finish="STOP"))))
    assert first == MediaPart("image", "image/png", data="iVBO", signature=Opaque("gemini", "c2ln"))
    assert second == MediaPart("video", "video/mp4", url="gs://b/v.mp4")


def test_a_part_of_a_kind_yet_unknown_is_carried_whole(fold: Fold, sse: Sse, said: Said) -> None:
    part = {"hologram": {"depth": 3}, "thought": False}
    assert only(fold(sse(said(part, finish="STOP")))) == [UnknownPart("gemini", part)]


def test_many_unknown_parts_of_one_chunk_are_read_in_one_go(
    fold: Fold, sse: Sse, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[object] = []
    original = wire.value_of

    def counted(raw: Any) -> Any:
        decoded.append(raw)
        return original(raw)

    monkeypatch.setattr(wire, "value_of", counted)
    assert len(only(fold(sse(said(*[{"new": number} for number in range(50)], finish="STOP"))))) == 50
    assert len(decoded) == 1


def test_several_answers_come_side_by_side(fold: Fold, sse: Sse, said: Said) -> None:
    both = said({"text": "a"}, index=0)
    both["candidates"].append(said({"text": "b"}, index=1)["candidates"][0])
    ends = [said(finish="STOP", index=1), said({"text": "A"}, finish="MAX_TOKENS", index=0)]
    reply = fold(sse(both, *ends))
    assert [(choice.parts, choice.finish_reason) for choice in reply.choices] == [
        ((TextPart("aA"),), "length"),
        ((TextPart("b"),), "stop"),
    ]


def test_one_of_several_answers_without_an_end_is_truncated(read: Read, sse: Sse, said: Said) -> None:
    stream = sse(said({"text": "a"}, index=0, finish="STOP"), said({"text": "b"}, index=1))
    assert fault(read(stream)).kind is Kind.TRUNCATED


def test_usage_grows_with_the_stream_and_the_last_one_tells_all(read: Read, sse: Sse, said: Said) -> None:
    early = {"promptTokenCount": 10, "totalTokenCount": 10}
    later = {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 15}
    last = {**later, "toolUsePromptTokenCount": 7, "totalTokenCount": 22, "serviceTier": "standard"}
    chunks = [said(TEXT, usageMetadata=early), said(TEXT, usageMetadata=early), said(TEXT, usageMetadata=later)]
    events = read(sse(*chunks, said(finish="STOP", usageMetadata=last)))
    start = events[0]
    assert isinstance(start, ev.MessageStart)
    assert start.usage == Usage(10, 0)
    counts = [event.usage for event in events if isinstance(event, ev.Usage)]
    own = {"gemini": {"toolUsePromptTokenCount": 7, "serviceTier": "standard"}}
    assert counts == [Usage(10, 5, reasoning_tokens=2), Usage(17, 5, reasoning_tokens=2, extra=own)]


def test_vertex_counts_only_at_the_end(fold: Fold, sse: Sse, said: Said) -> None:
    silent = {"trafficType": "ON_DEMAND"}
    end = {"promptTokenCount": 9, "candidatesTokenCount": 1, "totalTokenCount": 10, "cachedContentTokenCount": 4}
    reply = fold(sse(said(TEXT, usageMetadata=silent), said(finish="STOP", usageMetadata=end)))
    assert reply.usage == Usage(9, 1, 4)


def test_answers_that_are_not_counted_are_the_rest_of_the_total(fold: Fold, sse: Sse, said: Said) -> None:
    usage = {"promptTokenCount": 9, "thoughtsTokenCount": 5, "totalTokenCount": 20}
    reply = fold(sse(said(TEXT, finish="STOP", usageMetadata=usage)))
    assert reply.usage == Usage(9, 11, reasoning_tokens=5)


def test_the_time_of_creation_is_unix_time(fold: Fold, sse: Sse, said: Said) -> None:
    stream = sse(said(TEXT, finish="STOP", createTime="2026-05-04T20:01:02.264968Z"))
    assert fold(stream).created == 1777924862
    assert fold(stream.replace(b"2026-05", b"someday")).created is None


@pytest.mark.parametrize("content", [{}, {"role": "model"}, None])
def test_an_end_may_come_without_parts_or_content(fold: Fold, sse: Sse, content: Any) -> None:
    candidate = {"finishReason": "MAX_TOKENS", **({"content": content} if content is not None else {})}
    reply = fold(sse({"candidates": [candidate]}))
    assert only(reply) == []
    assert reply.choices[0].finish_reason == "length"


@pytest.mark.parametrize("reason", ["NO_IMAGE", "SAFETY", "RECITATION", "SPII", "IMAGE_SAFETY", "OTHER"])
def test_a_filter_is_named_and_its_own_word_kept(fold: Fold, sse: Sse, said: Said, reason: str) -> None:
    choice = fold(sse(said(TEXT, finish=reason, finishMessage="why"))).choices[0]
    assert choice.finish_reason == "content_filter"
    assert choice.extra == {"gemini": {"finishReason": reason, "finishMessage": "why"}}


def test_a_reason_yet_unknown_is_an_end_whose_word_is_kept(fold: Fold, sse: Sse, said: Said) -> None:
    choice = fold(sse(said(TEXT, finish="BEDTIME"))).choices[0]
    assert (choice.finish_reason, choice.extra) == ("stop", {"gemini": {"finishReason": "BEDTIME"}})


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"])
def test_a_model_that_broke_off_is_no_answer(read: Read, sse: Sse, said: Said, reason: str) -> None:
    broken = fault(read(sse(said(finish=reason, finishMessage="Malformed function call: f("))))
    assert (broken.kind, broken.code, broken.retryable) == (Kind.MALFORMED, reason, True)
    assert "f(" in broken.message


def test_a_missing_signature_is_not_worth_another_try(read: Read, sse: Sse, said: Said) -> None:
    missing = fault(read(sse(said(finish="MISSING_THOUGHT_SIGNATURE"))))
    assert (missing.kind, missing.retryable) == (Kind.INVALID_REQUEST, False)


def test_a_blocked_prompt_is_filtered_and_says_why(fold: Fold, sse: Sse) -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "no"}
    reply = fold(sse({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}}))
    assert reply.choices[0].finish_reason == "content_filter"
    assert reply.extra == {"gemini": {"promptFeedback": feedback}}
    assert reply.usage == Usage(4, 0)


def test_feedback_without_a_block_is_only_carried(fold: Fold, sse: Sse, said: Said) -> None:
    feedback = {"safetyRatings": [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]}
    reply = fold(sse(said(TEXT, finish="STOP", promptFeedback=feedback)))
    assert reply.choices[0].finish_reason == "stop"
    assert reply.extra == {"gemini": {"promptFeedback": feedback}}


def test_ratings_and_probabilities_ride_along(fold: Fold, sse: Sse, said: Said) -> None:
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]
    first = {"chosenCandidates": [{"token": "H", "logProbability": -0.1}], "logProbabilitySum": -0.1}
    second = {"chosenCandidates": [{"token": "i", "logProbability": -0.2}], "logProbabilitySum": -0.3}
    chunks = [said({"text": "H"}, logprobsResult=first, safetyRatings=[]), said({"text": "i"}, logprobsResult=second)]
    choice = fold(sse(*chunks, said(finish="STOP", safetyRatings=ratings, avgLogprobs=-0.15))).choices[0]
    joined = {"chosenCandidates": [*first["chosenCandidates"], *second["chosenCandidates"]], "logProbabilitySum": -0.3}  # type: ignore[misc]  # both are lists
    assert choice.extra == {"gemini": {"safetyRatings": ratings, "avgLogprobs": -0.15, "logprobsResult": joined}}


def test_an_error_instead_of_a_chunk_ends_the_stream(read: Read, sse: Sse, said: Said) -> None:
    error = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}
    events = read(sse(said(TEXT), error, said(TEXT, finish="STOP")))
    assert fault(events).kind is Kind.OVERLOADED
    assert (fault(events).status, fault(events).retryable) == (503, True)


def test_an_error_in_bare_json_between_frames_ends_the_stream(read: Read, sse: Sse, said: Said) -> None:
    error = json.dumps({"error": {"code": 429, "message": "slow {down}", "status": "RESOURCE_EXHAUSTED"}}, indent=2)
    for tail in ("", "\n", "\r\n\r\n"):
        stream = sse(said(TEXT)) + (error + tail).encode()
        assert fault(read(stream)).kind is Kind.RATE_LIMIT
        assert fault(read(stream)).message == "slow {down}"
        assert read(stream, size=1) == read(stream)


def test_an_error_after_the_finish_is_still_an_error(read: Read, sse: Sse, said: Said) -> None:
    error = {"error": {"code": 500, "message": "oops", "status": "INTERNAL"}}
    assert fault(read(sse(said(TEXT, finish="STOP"), error))).kind is Kind.INTERNAL


def test_nothing_follows_a_fault(sse: Sse, said: Said) -> None:
    parser = DIALECT.parser()
    assert isinstance(parser.feed(b"data: nonsense\n\n")[-1], ev.Fault)
    assert parser.feed(sse(said(TEXT, finish="STOP"))) == []
    assert parser.finish() == []


@pytest.mark.parametrize(
    "chunk",
    [
        b"nonsense",
        b"[1]",
        b'{"candidates": 5}',
        b'{"candidates": [{"content": {"parts": [{"text": 7}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"text": "\xff"}]}}]}',
        b'{"candidates": [{"groundingMetadata": {"x": "\xff"}}]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": "\xff"}}}]}}]}',
        b'{"usageMetadata": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_what_is_no_chunk_is_the_upstreams_fault(read: Read, chunk: bytes) -> None:
    events = read(b"data: " + chunk + b"\n\ndata: {}\n\n")
    assert fault(events).kind is Kind.MALFORMED
    assert fault(events).whose == "upstream"


@pytest.mark.parametrize("stream", [b"", b"\r\n\r\n", b"data: {}\n\n", b": hello\n\n", b"<html>no</html>"])
def test_a_stream_that_says_nothing_is_truncated(read: Read, stream: bytes) -> None:
    assert fault(read(stream)).kind is Kind.TRUNCATED


def test_usage_alone_is_no_answer(read: Read, sse: Sse) -> None:
    stream = sse({"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1}})
    assert fault(read(stream)).kind is Kind.TRUNCATED


def test_a_proxys_done_and_empty_chunks_are_passed_over(fold: Fold, sse: Sse, said: Said) -> None:
    stream = sse({}) + sse(said(TEXT, finish="STOP")) + b"data: {}\n\ndata: [DONE]\n\n"
    assert only(fold(stream)) == [TextPart("Hi")]


def test_a_last_frame_without_its_blank_line_counts(fold: Fold, sse: Sse, said: Said) -> None:
    assert only(fold(sse(said(TEXT, finish="STOP")).rstrip())) == [TextPart("Hi")]


def test_what_is_held_back_is_counted(sse: Sse, said: Said) -> None:
    parser = DIALECT.parser()
    parser.feed(sse(said(TEXT)) + b"data: {")
    assert parser.pending == len(b"data: {")


def test_a_whole_reply_without_an_end_is_refused() -> None:
    with pytest.raises(UpstreamFault) as raised:
        DIALECT.parse_reply(b'{"candidates": [{"content": {"parts": [{"text": "x"}]}}]}')
    assert raised.value.kind is Kind.TRUNCATED


def test_a_whole_reply_may_end_in_code_without_a_result(sse: Sse, said: Said) -> None:
    code = said({"executableCode": {"code": "1"}}, finish="STOP")
    assert isinstance(DIALECT.parse_reply(json.dumps(code).encode())[-1], ev.Finish)


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"{}", b'"text"', b'{"error": {"code": 500}}'])
def test_what_is_no_reply_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamFault):
        DIALECT.parse_reply(body)
