"""What a request gets, in each dialect; the bytes are judged by the dialects' own parsers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from millstream.core import events as ev
from millstream.core.assemble import Assembler
from millstream.core.errors import ClientFault, Kind
from millstream.core.messages import ReasoningPart, RefusalPart, Reply, TextPart, ToolCallPart
from millstream.dialects.base import ClientCall, Dialect
from millstream.providers.replay.plan import Plan
from millstream.providers.replay.player import Player
from millstream.providers.replay.reading import ScenarioError, scenario_of
from millstream.registry import dialects
from millstream.testing.dialect import assembled
from millstream.testing.streams import joined, parse

KNOWN = dialects()
NAMES = ("anthropic", "openai_chat", "openai_responses", "gemini")
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}


def call(name: str, *, stream: bool, tools: bool = False) -> ClientCall:
    """The same small request in each dialect."""
    asked = [{"role": "user", "content": "Say “hi”"}]
    bodies: dict[str, dict[str, Any]] = {
        "openai_chat": {"messages": asked, "stream_options": {"include_usage": True}}
        if stream
        else {"messages": asked},
        "anthropic": {"messages": asked, "max_tokens": 100},
        "openai_responses": {"input": asked},
        "gemini": {"contents": [{"role": "user", "parts": [{"text": "Say “hi”"}]}]},
    }
    offered: dict[str, Any] = {
        "openai_chat": {"type": "function", "function": {"name": "Read", "parameters": SCHEMA}},
        "anthropic": {"name": "Read", "input_schema": SCHEMA},
        "openai_responses": {"type": "function", "name": "Read", "parameters": SCHEMA},
        "gemini": {"functionDeclarations": [{"name": "Read", "parameters": SCHEMA}]},
    }
    body = bodies[name] | ({"tools": [offered[name]]} if tools else {})
    if name == "gemini":
        return ClientCall(json.dumps(body).encode(), {}, "m", stream, {"alt": "sse"} if stream else {})
    return ClientCall(json.dumps({"model": "m", "stream": stream, **body}).encode())


def player(folder: Path = Path(), **scenario: Any) -> Player:
    return Player(scenario_of(scenario, "test"), folder, KNOWN, lambda: 0.0)


def played(plan: Plan) -> bytes:
    return b"".join(send.data for send in plan.sends)


def heard(dialect: Dialect, plan: Plan, *, stream: bool) -> Reply:
    if stream:
        return assembled(parse(dialect, [send.data for send in plan.sends]))
    assembler = Assembler()
    assembler.add(dialect.parse_reply(played(plan)))
    return assembler.reply()


def get(reply: Mapping[str, Any], name: str, *, stream: bool = True, tools: bool = False) -> Reply:
    dialect = KNOWN[name]
    plan, _ = player(replies=[reply]).play(dialect, call(name, stream=stream, tools=tools))
    assert plan.status == 200
    return heard(dialect, plan, stream=stream)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_said_content_arrives_in_every_dialect_and_form(name: str, stream: bool) -> None:
    script = {
        "reasoning": "They want a greeting.",
        "text": "Hello,  Wörld\n\nagain",
        "tool_calls": [{"name": "Read", "arguments": {"path": "a"}}, {"name": "Read", "arguments": {"path": "b"}}],
        "usage": {"input_tokens": 7, "output_tokens": 9},
    }
    reply = get(script, name, stream=stream)
    (choice,) = reply.choices
    texts = [part.text for part in choice.parts if isinstance(part, TextPart)]
    thoughts = [part.text for part in choice.parts if isinstance(part, ReasoningPart)]
    calls = [part for part in choice.parts if isinstance(part, ToolCallPart)]
    assert "".join(texts) == "Hello,  Wörld\n\nagain"
    assert thoughts == ["They want a greeting."]
    assert [(made.name, json.loads(made.arguments)) for made in calls] == [
        ("Read", {"path": "a"}),
        ("Read", {"path": "b"}),
    ]
    assert len({made.id for made in calls}) == 2
    assert choice.finish_reason == "tool_calls"
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (7, 9)


def test_a_text_is_cut_into_words_and_arguments_into_pieces() -> None:
    script = {"text": "one two three", "words": 2, "tool_calls": [{"name": "a", "arguments": "x" * 30}]}
    plan, _ = player(replies=[script]).play(KNOWN["openai_chat"], call("openai_chat", stream=True))
    chunks = [json.loads(line[6:]) for line in played(plan).splitlines() if line.startswith(b"data: {")]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    assert [delta["content"] for delta in deltas if delta.get("content")] == ["one two ", "three"]
    arguments = [made["function"]["arguments"] for delta in deltas for made in delta.get("tool_calls", [])]
    assert [len(piece) for piece in arguments if piece] == [12, 12, 6]


def test_a_text_may_be_repeated_and_filled_from_the_request() -> None:
    (choice,) = get({"text": "{{prompt}} {{model}}; ", "repeat": 2}, "anthropic").choices
    assert choice.parts == (TextPart("Say “hi” replay; Say “hi” replay; "),)


def test_arguments_are_filled_inside_their_json() -> None:
    script = {"tool_calls": [{"name": "a", "arguments": {"deep": ["{{prompt}}", 1]}}, {"name": "b", "arguments": "{{"}]}
    parts = get(script, "openai_chat").choices[0].parts
    made = [part.arguments for part in parts if isinstance(part, ToolCallPart)]
    assert json.loads(made[0]) == {"deep": ["Say “hi”", 1]}
    assert made[1] == "{{"


def test_a_tool_that_the_script_does_not_know_is_called_by_its_schema() -> None:
    script = {"tool_calls": [{"name": "*", "arguments": "from schema"}]}
    (part,) = get(script, "anthropic", tools=True).choices[0].parts
    assert isinstance(part, ToolCallPart)
    assert (part.name, json.loads(part.arguments)) == ("Read", {"path": "example"})


def test_a_refusal_and_a_finish_reason_are_said() -> None:
    (choice,) = get({"refusal": "I would rather not."}, "openai_chat").choices
    assert choice.parts == (RefusalPart("I would rather not."),)
    assert get({"text": "cut", "finish_reason": "length"}, "anthropic").choices[0].finish_reason == "length"


def test_several_choices_are_given_where_they_are_asked_for() -> None:
    body = json.dumps({"model": "m", "n": 2, "messages": [{"role": "user", "content": "x"}]}).encode()
    dialect = KNOWN["openai_chat"]
    plan, _ = player(replies=[{"text": "a b"}]).play(dialect, ClientCall(body))
    assert [choice.parts for choice in heard(dialect, plan, stream=False).choices] == [(TextPart("a b"),)] * 2


@pytest.mark.parametrize("name", NAMES)
def test_an_error_status_is_worded_by_the_dialect(name: str) -> None:
    fault = {"kind": "status", "status": 429, "retry_after": 2, "headers": {"X-Own": "1"}}
    dialect = KNOWN[name]
    plan, received = player(replies=[{"fault": fault}]).play(dialect, call(name, stream=True))
    assert (plan.status, plan.headers["retry-after"], plan.headers["x-own"]) == (429, "2", "1")
    assert dialect.parse_error(429, plan.headers, played(plan)).kind is Kind.RATE_LIMIT
    assert (received.status, received.faults) == (429, ("status",))


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        ({"error": "x"}, "application/json", b'{"error":"x"}'),
        ('{"a": 1}', "application/json", b'{"a": 1}'),
        ("<html>", "text/plain", b"<html>"),
        ("", "text/plain", b""),
    ],
)
def test_an_error_may_have_a_body_of_its_own(body: object, content_type: str, sent: bytes) -> None:
    fault = {"kind": "status", "status": 503, "body": body}
    plan, _ = player(replies=[{"fault": fault}]).play(KNOWN["anthropic"], call("anthropic", stream=True))
    assert (plan.status, plan.headers["content-type"], played(plan)) == (503, content_type, sent)


@pytest.mark.parametrize("name", NAMES)
def test_an_error_event_ends_a_stream_in_the_dialects_words(name: str) -> None:
    dialect = KNOWN[name]
    fault = {"kind": "error_event", "after": 3, "message": "too many of you"}
    plan, _ = player(replies=[{"text": "a b c d e f", "fault": fault}]).play(dialect, call(name, stream=True))
    last = parse(dialect, [played(plan)])[-1]
    assert isinstance(last, ev.Fault)
    assert last.retryable
    assert "too many of you" in last.message


def test_an_error_event_in_a_whole_reply_is_an_error_status() -> None:
    reply = {"text": "a", "fault": {"kind": "error_event", "after": 3}}
    plan, _ = player(replies=[reply]).play(KNOWN["anthropic"], call("anthropic", stream=False))
    assert plan.status == 529


def test_a_reply_may_have_headers_and_a_type_of_its_own() -> None:
    reply = {"text": "a", "headers": {"X-Request-Id": "r1"}, "content_type": "text/x"}
    plan, _ = player(replies=[reply]).play(KNOWN["anthropic"], call("anthropic", stream=True))
    assert plan.headers == {"content-type": "text/x", "x-request-id": "r1"}


@pytest.mark.parametrize("name", NAMES)
def test_a_request_that_the_real_api_would_refuse_is_refused(name: str) -> None:
    broken = ClientCall(b'{"model": "m"}', {}, "m" if name == "gemini" else None, False)
    with pytest.raises(ClientFault):
        player(replies=[{"text": "a"}]).play(KNOWN[name], broken)
    lenient = player(replies=[{"text": "a"}], strict=False)
    assert lenient.play(KNOWN[name], broken)[0].status == 200


def test_a_request_that_no_reply_is_for_is_told_so() -> None:
    with pytest.raises(ClientFault, match=r"no reply for request 1 \(last role user, stream, tools: Read\)") as caught:
        player(replies=[{"text": "a", "when": {"last_role": "tool"}}]).play(
            KNOWN["anthropic"], call("anthropic", stream=True, tools=True)
        )
    assert not caught.value.retryable


def test_requests_are_kept_as_they_came_up_to_a_thousand() -> None:
    playing = player(replies=[{"text": "a"}])
    asked = call("anthropic", stream=True)
    for _ in range(1001):
        playing.play(KNOWN["anthropic"], asked, "/v1/messages")
    assert len(playing.received) == 1000
    kept = playing.received[-1]
    assert (kept.path, kept.body, kept.dialect, kept.stream, kept.status) == (
        "/v1/messages", asked.body, "anthropic", True, 200
    )  # fmt: skip


def test_a_recording_plays_to_the_byte_in_its_own_dialect(shelf: Path) -> None:
    stream = (shelf / "recordings/recorded/response.sse").read_bytes()
    for file in ("recordings/recorded", "alone.sse"):
        plan, _ = player(shelf, replies=[{"file": file}]).play(
            KNOWN["openai_chat"], call("openai_chat", stream=True)
        )  # fmt: skip
        assert played(plan) == stream
        assert len(plan.sends) == 5


def test_a_recordings_times_are_kept(shelf: Path) -> None:
    playing = player(shelf, pace={"recorded": True}, replies=[{"file": "recordings/recorded"}])
    plan, _ = playing.play(KNOWN["openai_chat"], call("openai_chat", stream=True))
    assert [send.at for send in plan.sends] == [0.001, 0.002, 0.003, 0.004, 0.005]


@pytest.mark.parametrize("file", ["recordings/recorded", "recordings/whole"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_a_recording_is_translated_to_the_dialect_and_form_that_are_asked_for(
    shelf: Path, name: str, stream: bool, file: str
) -> None:
    plan, _ = player(shelf, replies=[{"file": file}]).play(KNOWN[name], call(name, stream=stream))
    (part,) = heard(KNOWN[name], plan, stream=stream).choices[0].parts
    assert isinstance(part, TextPart)
    assert part.text == "Good day"


def test_a_recorded_refusal_keeps_its_status_headers_and_meaning(shelf: Path) -> None:
    replies = [{"file": "recordings/refused"}]
    body = (shelf / "recordings/refused/response.json").read_bytes()
    plan, _ = player(shelf, replies=replies).play(KNOWN["openai_chat"], call("openai_chat", stream=True))
    assert (plan.status, plan.headers["retry-after"], played(plan)) == (429, "7", body)
    plan, _ = player(shelf, replies=replies).play(KNOWN["anthropic"], call("anthropic", stream=True))
    assert (plan.status, plan.headers["retry-after"]) == (429, "7")
    assert "slow down" in KNOWN["anthropic"].parse_error(429, plan.headers, played(plan)).message


def test_a_recording_that_was_cut_short_is_a_failure_where_a_whole_reply_is_asked_for(shelf: Path) -> None:
    stream = (shelf / "alone.sse").read_text()
    (shelf / "cut.sse").write_text(stream[: len(stream) // 2])
    dialect = KNOWN["anthropic"]
    plan, _ = player(shelf, replies=[{"file": "cut.sse"}]).play(dialect, call("anthropic", stream=False))
    assert plan.status == 502
    assert "cut off" in dialect.parse_error(502, plan.headers, played(plan)).message


def test_raw_bytes_are_sent_as_they_stand() -> None:
    for raw, content_type in (("data: nonsense\n\n", "text/event-stream"), ('{"any": 1}', "application/json")):
        stream = not raw.startswith("{")
        playing = player(replies=[{"raw": raw}])
        plan, _ = playing.play(KNOWN["anthropic"], call("anthropic", stream=stream))
        assert (played(plan), plan.headers["content-type"]) == (raw.encode(), content_type)


def test_a_file_that_is_not_there_or_of_no_known_dialect_is_named(shelf: Path) -> None:
    asked = call("anthropic", stream=True)
    with pytest.raises(ScenarioError, match=r"gone\.sse"):
        player(shelf, replies=[{"file": "gone.sse"}]).play(KNOWN["anthropic"], asked)
    with pytest.raises(ScenarioError, match="no dialect 'morse'"):
        player(shelf, dialect="morse", replies=[{"file": "alone.sse"}]).play(KNOWN["anthropic"], asked)
    (shelf / "recordings/whole/meta.json").write_text("{")
    with pytest.raises(ScenarioError, match=r"meta\.json"):
        player(shelf, replies=[{"file": "recordings/whole"}]).play(KNOWN["anthropic"], asked)
    with pytest.raises(ScenarioError, match="neither response"):
        player(shelf, replies=[{"file": "deep"}]).play(KNOWN["anthropic"], asked)


def test_every_recording_of_the_corpus_plays_in_every_dialect_it_can(corpus: Path) -> None:
    index = json.loads((corpus / "index.json").read_bytes())
    names = {"openai-chat", "anthropic-messages", "openai-responses", "gemini"}
    entries = [entry for entry in index if entry["dialect"] in names and entry["streaming"] and entry["status"] == 200]
    assert len(entries) > 200
    for entry in entries:
        playing = player(corpus / "streams", replies=[{"file": entry["path"]}])
        own = {"openai-chat": "openai_chat", "anthropic-messages": "anthropic", "openai-responses": "openai_responses"}
        name = own.get(entry["dialect"], "gemini")
        plan, _ = playing.play(KNOWN[name], call(name, stream=True))
        stream = (corpus / "streams" / entry["path"] / "response.sse").read_bytes()
        assert played(plan) == stream, entry["path"]
        for other in NAMES:
            plan, _ = playing.play(KNOWN[other], call(other, stream=True))
            assert joined(KNOWN[other].parser().feed(played(plan))) or plan.status >= 400, (entry["path"], other)
