"""Events become a stream that Google's clients read, or a whole reply."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.assemble import Assembler
from millstream.core.errors import Kind
from millstream.core.messages import Opaque, Reasoning, Request, ServerToolResultPart, ToolCallPart, Usage
from millstream.dialects.base import ClientCall, ReplyContext
from millstream.dialects.gemini import DIALECT

START = ev.MessageStart("R1", "m")
END: list[ev.Event] = [ev.ChoiceEnd(0, "stop"), ev.Finish()]


def text_block(index: int, *pieces: str, choice: int = 0) -> list[ev.Event]:
    deltas = [ev.TextDelta(index, piece) for piece in pieces]
    return [ev.TextStart(index, choice), *deltas, ev.TextEnd(index)]


def asked(**fields: Any) -> ReplyContext:
    return ReplyContext("reply-1", 1, Request(origin="gemini", model="asked", messages=(), **fields))


def frames(events: list[ev.Event], context: ReplyContext | None = None) -> list[Any]:
    """The chunks, after the framing that Google's clients rely on has been checked."""
    data = DIALECT.renderer(context or asked()).render(events)
    assert data.endswith(b"\r\n\r\n")
    lines = data[:-4].split(b"\r\n\r\n")
    assert all(line.startswith(b"data: {") and b"\n" not in line for line in lines)
    return [json.loads(line[6:]) for line in lines]


def failure(events: list[ev.Event]) -> Any:
    """The error that ends a stream: in a frame, and bare, without an end, for readers that see only that."""
    framed, _, bare = DIALECT.renderer(asked()).render(events).rpartition(b"\r\n\r\n")
    assert framed.rpartition(b"\r\n\r\n")[2] == b"data: " + bare
    return json.loads(bare)["error"]


def parts(events: list[ev.Event], context: ReplyContext | None = None) -> list[Any]:
    """The parts of all chunks but the last."""
    chunks = frames([START, *events, *END], context)[:-1]
    return [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]


def whole(events: list[ev.Event], context: ReplyContext | None = None) -> Any:
    assembler = Assembler()
    assembler.add(events)
    return json.loads(DIALECT.render_reply(assembler.reply(), context or asked()))


def test_a_stream_is_data_lines_that_end_with_the_finish_and_the_usage() -> None:
    usage = Usage(7, 5, cache_read_tokens=2, reasoning_tokens=3)
    assert frames([START, *text_block(0, "Hi", " you"), ev.Usage(usage), *END]) == [
        {
            "candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}],
            "modelVersion": "m",
            "responseId": "R1",
        }
        for text in ("Hi", " you")
    ] + [
        {
            "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP", "index": 0}],
            "usageMetadata": {
                "promptTokenCount": 7,
                "candidatesTokenCount": 2,
                "cachedContentTokenCount": 2,
                "thoughtsTokenCount": 3,
                "totalTokenCount": 12,
            },
            "modelVersion": "m",
            "responseId": "R1",
        }
    ]


def test_event_by_event_and_in_one_batch_are_the_same_bytes() -> None:
    events: list[ev.Event] = [START, *text_block(0, "a", "b"), *END]
    renderer = DIALECT.renderer(asked())
    assert b"".join(renderer.render([event]) for event in events) == DIALECT.renderer(asked()).render(events)


def test_an_upstream_without_id_or_model_is_given_ours() -> None:
    chunk = frames([ev.MessageStart(), *text_block(0, "x"), *END])[0]
    assert (chunk["responseId"], chunk["modelVersion"]) == ("reply-1", "asked")


def test_thoughts_are_marked_as_thoughts() -> None:
    thought: list[ev.Event] = [
        ev.ReasoningStart(0),
        ev.ReasoningDelta(0, 'h"m'),
        ev.ReasoningEnd(0, Opaque("gemini", "c2ln")),
    ]
    assert parts([*thought, *text_block(1, "x")]) == [
        {"text": 'h"m', "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "x"},
    ]


def test_thoughts_that_the_client_declined_are_not_shown() -> None:
    context = asked(reasoning=Reasoning(display="omitted"))
    thought: list[ev.Event] = [
        ev.ReasoningStart(0),
        ev.ReasoningDelta(0, "hm"),
        ev.ReasoningEnd(0, Opaque("gemini", "c2ln")),
    ]
    assert parts([*thought, *text_block(1, "x")], context) == [{"text": "x"}]
    reply = whole([START, *thought, *text_block(1, "x"), *END], context)
    assert reply["candidates"][0]["content"]["parts"] == [{"text": "x"}]


def test_a_call_is_held_until_it_is_whole() -> None:
    renderer = DIALECT.renderer(asked())
    call: list[ev.Event] = [
        START,
        ev.ToolCallStart(0, "c1", "f"),
        ev.ToolCallDelta(0, '{"a":'),
        ev.ToolCallDelta(0, " [1,\n2]}"),
    ]
    assert renderer.render(call) == b""
    (chunk,) = renderer.render([ev.ToolCallEnd(0, Opaque("gemini", "c2ln"))]).splitlines()[::2]
    (part,) = json.loads(chunk[6:])["candidates"][0]["content"]["parts"]
    assert part == {"functionCall": {"name": "f", "args": {"a": [1, 2]}, "id": "c1"}, "thoughtSignature": "c2ln"}


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ("", {}),
        ("{}", {}),
        ("  ", {}),
        ("{oops", {"__unparsedToolInput": "{oops"}),
        ("[1]", {"__unparsedToolInput": "[1]"}),
    ],
)
def test_arguments_are_always_an_object(arguments: str, args: Any) -> None:
    delta = [ev.ToolCallDelta(0, arguments)] if arguments else []
    assert parts([ev.ToolCallStart(0, "c1", "f"), *delta, ev.ToolCallEnd(0)])[0]["functionCall"]["args"] == args


def test_interleaved_calls_keep_their_own_arguments() -> None:
    events: list[ev.Event] = [
        ev.ToolCallStart(0, "c1", "f"),
        ev.ToolCallStart(1, "c2", "g"),
        ev.ToolCallDelta(1, '{"b":2}'),
        ev.ToolCallDelta(0, '{"a":1}'),
        ev.ToolCallEnd(1),
        ev.ToolCallEnd(0),
    ]
    assert [part["functionCall"] for part in parts(events)] == [
        {"name": "g", "args": {"b": 2}, "id": "c2"},
        {"name": "f", "args": {"a": 1}, "id": "c1"},
    ]


def test_an_id_that_google_did_not_give_is_not_shown() -> None:
    start = ev.ToolCallStart(0, "call_R1_1", "f", extra={"gemini": {"$noId": True}})
    assert parts([start, ev.ToolCallEnd(0)]) == [{"functionCall": {"name": "f", "args": {}}}]


def test_another_providers_server_tools_are_carried_and_come_back() -> None:
    data = {"type": "web_search_tool_result", "content": [{"encrypted_content": "x"}]}
    events: list[ev.Event] = [
        ev.ToolCallStart(0, "srv_1", "web_search", kind="server"),
        ev.ToolCallDelta(0, '{"query":"q"}'),
        ev.ToolCallEnd(0),
        ev.ServerToolResult(1, "anthropic", "srv_1", data, text="found"),
    ]
    shown = parts(events)
    assert [next(iter(part)) for part in shown] == ["toolCall", "toolResponse"]
    assert shown[0]["toolCall"] == {"toolType": "GOOGLE_SEARCH_WEB", "id": "srv_1", "args": {"query": "q"}}
    assert shown[1]["toolResponse"]["response"] == {"output": "found"}
    history = {"contents": [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": shown}]}
    request = DIALECT.parse_request(ClientCall(json.dumps(history).encode(), model="m"))
    call, result = request.messages[1].parts
    assert isinstance(call, ToolCallPart)
    assert (call.id, call.name, call.kind, call.arguments) == ("srv_1", "web_search", "server", '{"query":"q"}')
    assert result == ServerToolResultPart("anthropic", "srv_1", data, "found")


def test_pictures_are_inline_or_by_address() -> None:
    events: list[ev.Event] = [ev.Media(0, "image/png", "AA"), ev.Media(1, "video/mp4", None, "gs://b/v")]
    assert parts(events) == [
        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
        {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/v"}},
    ]


def test_unknown_blocks_are_shown_only_to_those_who_made_them() -> None:
    own, foreign = ev.UnknownBlock(0, "gemini", {"hologram": 1}), ev.UnknownBlock(1, "anthropic", {"type": "x"})
    assert parts([own, foreign]) == [{"hologram": 1}]


def test_sources_of_others_are_grounding_with_places_where_bytes_are_characters() -> None:
    def cited(text: str) -> Any:
        citation = ev.Citation(0, "openai_responses", {}, "https://x", "X", start=0, end=2)
        again = ev.Citation(0, "anthropic", {}, "https://x", "X")
        events: list[ev.Event] = [START, ev.TextStart(0), ev.TextDelta(0, text), citation, again, ev.TextEnd(0), *END]
        streamed = frames(events)[-1]["candidates"][0]["groundingMetadata"]
        assert whole(events)["candidates"][0]["groundingMetadata"] == streamed
        return streamed

    chunks = [{"web": {"uri": "https://x", "title": "X"}}]
    supports = [{"segment": {"startIndex": 0, "endIndex": 2}, "groundingChunkIndices": [0]}]
    assert cited("Hi!") == {"groundingChunks": chunks, "groundingSupports": supports}
    assert cited("Hé!") == {"groundingChunks": chunks}


def test_what_google_said_of_the_answer_is_said_again() -> None:
    own = {"gemini": {"finishReason": "RECITATION", "citationMetadata": {"citations": []}, "avgLogprobs": -0.5}}
    events: list[ev.Event] = [START, *text_block(0, "x"), ev.ChoiceEnd(0, "content_filter", extra=own), ev.Finish()]
    for candidate in (frames(events)[-1]["candidates"][0], whole(events)["candidates"][0]):
        assert candidate["finishReason"] == "RECITATION"
        assert (candidate["citationMetadata"], candidate["avgLogprobs"]) == ({"citations": []}, -0.5)


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        ("stop", "STOP"),
        ("stop_sequence", "STOP"),
        ("tool_calls", "STOP"),
        ("pause", "STOP"),
        ("length", "MAX_TOKENS"),
        ("context_window", "MAX_TOKENS"),
        ("content_filter", "SAFETY"),
        ("refusal", "SAFETY"),
    ],
)
def test_every_reason_has_a_word(reason: Any, written: str) -> None:
    chunk = frames([START, *text_block(0, "x"), ev.ChoiceEnd(0, reason), ev.Finish()])[-1]
    assert chunk["candidates"][0]["finishReason"] == written


def test_where_a_filter_left_nothing_there_is_no_content() -> None:
    events: list[ev.Event] = [START, ev.ChoiceEnd(0, "content_filter"), ev.Finish()]
    assert frames(events)[0]["candidates"] == [{"finishReason": "SAFETY", "index": 0}]
    assert whole(events)["candidates"] == [{"finishReason": "SAFETY", "index": 0}]
    empty: list[ev.Event] = [START, *END]
    assert frames(empty)[0]["candidates"][0]["content"]["parts"] == [{"text": ""}]


def test_a_blocked_prompt_has_feedback_and_no_candidates() -> None:
    own = {"gemini": {"promptFeedback": {"blockReason": "SAFETY"}}}
    events: list[ev.Event] = [START, ev.ChoiceEnd(0, "content_filter"), ev.Finish(extra=own)]
    for reply in (frames(events)[0], whole(events)):
        assert reply["promptFeedback"] == {"blockReason": "SAFETY"}
        assert "candidates" not in reply


def test_answers_side_by_side_keep_their_numbers() -> None:
    events: list[ev.Event] = [
        START,
        ev.TextStart(0, 0),
        ev.TextStart(1, 1),
        ev.TextDelta(1, "b"),
        ev.TextDelta(0, "a"),
        ev.TextEnd(0),
        ev.TextEnd(1),
        ev.ChoiceEnd(1, "length"),
        ev.ChoiceEnd(0, "stop"),
        ev.Finish(),
    ]
    chunks = frames(events)
    assert [chunk["candidates"][0]["index"] for chunk in chunks[:2]] == [1, 0]
    assert [(c["index"], c["finishReason"]) for c in chunks[2]["candidates"]] == [(1, "MAX_TOKENS"), (0, "STOP")]


def test_an_error_is_the_last_thing_said() -> None:
    fault = ev.Fault("upstream", Kind.RATE_LIMIT, "slow down", 429, retryable=True, retry_after=2.5)
    error = failure([START, *text_block(0, "x")[:2], fault])
    assert (error["code"], error["status"], error["message"]) == (429, "RESOURCE_EXHAUSTED", "slow down")
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"} in error["details"]
    assert failure([ev.Fault("gateway", Kind.INTERNAL, "ours", 500)])["status"] == "INTERNAL"


def test_an_error_is_read_back_as_one() -> None:
    fault = ev.Fault("upstream", Kind.TRUNCATED, "cut", 502, content_sent=True)
    data = DIALECT.renderer(asked()).render([START, *text_block(0, "x")[:2], fault])
    parser = DIALECT.parser()
    events = [*parser.feed(data), *parser.finish()]
    assert [event.message for event in events if isinstance(event, ev.Fault)] == ["cut"]


def test_an_array_is_one_json_text_with_white_space_to_keep_it_alive() -> None:
    context = asked(extra={"gemini": {"$alt": "json"}})
    renderer = DIALECT.renderer(context)
    events: list[ev.Event] = [START, *text_block(0, "a", "b"), ev.Media(1, "image/png", "AA"), *END]
    data = renderer.keepalive()
    for event in events:
        data += renderer.render([event]) + (renderer.keepalive() if event is not events[-1] else b"")
    assert json.loads(data) == frames(events)


def test_an_array_that_fails_is_still_one_json_text() -> None:
    context = asked(extra={"gemini": {"$alt": "json"}})
    fault = ev.Fault("upstream", Kind.TRUNCATED, "cut", 502)
    (only,) = json.loads(DIALECT.renderer(context).render([fault]))
    assert only["error"]["message"] == "cut"
    _, last = json.loads(DIALECT.renderer(context).render([START, *text_block(0, "x")[:2], fault]))
    assert last["error"]["code"] == 502


def test_a_keepalive_is_a_bare_newline() -> None:
    assert DIALECT.renderer(asked()).keepalive() == b"\n"


def test_a_whole_reply_puts_signatures_on_their_parts() -> None:
    signed = Opaque("gemini", "c2ln")
    events: list[ev.Event] = [
        START,
        ev.TextStart(0),
        ev.TextDelta(0, "x"),
        ev.TextEnd(0, signed),
        ev.ToolCallStart(1, "c1", "f"),
        ev.ToolCallEnd(1, signed),
        ev.Usage(Usage(1, 2)),
        ev.ChoiceEnd(0, "tool_calls"),
        ev.Finish(),
    ]
    reply = whole(events)
    assert reply["candidates"][0]["content"]["parts"] == [
        {"text": "x", "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "f", "args": {}, "id": "c1"}, "thoughtSignature": "c2ln"},
    ]
    assert (reply["usageMetadata"]["totalTokenCount"], reply["modelVersion"], reply["responseId"]) == (3, "m", "R1")
