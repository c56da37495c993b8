import json
from typing import Any

import pytest

from millstream.dialects.anthropic import DIALECT as ANTHROPIC
from millstream.dialects.base import ClientCall
from millstream.dialects.openai_chat import DIALECT
from millstream.providers.replay.scenario import CutFault, Scenario, ScriptedReply, StatusFault, When
from millstream.providers.replay.selection import Asked, Selection, applies, last_prompt, last_result

QUESTION: dict[str, Any] = {"role": "user", "content": "What is the “weather”?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
LOOP: list[Any] = [
    {"role": "system", "content": "Be brief."},
    QUESTION,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "rain"},
]
REMINDER = {"role": "system", "content": "<system-reminder>Today is Saturday.</system-reminder>"}
PICTURE = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]}
TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
FORMAT = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


def asked(messages: list[Any], number: int = 1, **fields: Any) -> Asked:
    body = json.dumps({"model": "m", "messages": messages, **fields}).encode()
    return Asked(DIALECT.parse_request(ClientCall(body)), body, number)


@pytest.mark.parametrize(
    ("when", "yes", "no"),
    [
        (When(contains="“weather”"), asked([QUESTION]), asked([{"role": "user", "content": "hi"}])),
        (When(contains="rain"), asked(LOOP), asked([QUESTION])),
        (When(lacks="rain"), asked([QUESTION]), asked(LOOP)),
        (When(last_contains="rain"), asked(LOOP), asked([*LOOP, QUESTION])),
        (When(last_role="tool"), asked(LOOP), asked([*LOOP, QUESTION])),
        (When(last_role="tool"), asked([*LOOP, REMINDER]), asked([*LOOP, QUESTION, REMINDER])),
        (When(last_role="user"), asked([QUESTION]), asked(LOOP)),
        (When(last_role="assistant"), asked([QUESTION, {"role": "assistant", "content": "a"}]), asked([QUESTION])),
        (When(tool="look"), asked([QUESTION], tools=TOOLS), asked([QUESTION])),
        (When(tool="*"), asked([QUESTION], tools=TOOLS), asked([QUESTION])),
        (When(tool="write"), asked([QUESTION], tools=[{**TOOLS[0], "function": {"name": "write"}}]), asked(LOOP)),
        (When(result_of="look"), asked(LOOP), asked([*LOOP, QUESTION])),
        (When(result_of="look"), asked([*LOOP, REMINDER]), asked([*LOOP, QUESTION, REMINDER])),
        (When(last_contains="rain"), asked([*LOOP, REMINDER]), asked([*LOOP, QUESTION, REMINDER])),
        (When(media="image"), asked([PICTURE]), asked([QUESTION])),
        (When(format="json_schema"), asked([QUESTION], response_format=FORMAT), asked([QUESTION])),
        (When(format="text"), asked([QUESTION]), asked([QUESTION], response_format=FORMAT)),
        (When(reasoning=True), asked([QUESTION], reasoning_effort="low"), asked([QUESTION])),
        (When(stream=True), asked([QUESTION], stream=True), asked([QUESTION])),
        (When(stream=False), asked([QUESTION]), asked([QUESTION], stream=True)),
        (When(model="m"), asked([QUESTION]), Asked(asked([QUESTION], model="n").request, b"", 1)),
        (When(request=2), asked([QUESTION], 2), asked([QUESTION], 1)),
        (When(turn=2), asked(LOOP), asked([QUESTION])),
        (When(tool="look", stream=True), asked([QUESTION], tools=TOOLS, stream=True), asked([QUESTION], tools=TOOLS)),
    ],
)
def test_each_condition_tells_requests_apart(when: When, yes: Asked, no: Asked) -> None:
    assert applies(when, yes)
    assert not applies(when, no)


def test_what_texts_are_filled_with() -> None:
    request = asked(LOOP).request
    assert (last_prompt(request), last_result(request)) == ("What is the “weather”?", "rain")
    empty = asked([{"role": "system", "content": "x"}]).request
    assert (last_prompt(empty), last_result(empty)) == ("", "")


def test_a_tool_result_in_parts_is_read_too() -> None:
    body = json.dumps(
        {
            "model": "m",
            "max_tokens": 5,
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": {}}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "rain"}]}
                    ],
                },
            ],
        }
    ).encode()
    request = ANTHROPIC.parse_request(ClientCall(body))
    assert last_result(request) == "rain"
    assert applies(When(result_of="look", last_contains="rain", last_role="tool"), Asked(request, body, 1))


def test_a_body_that_is_no_json_is_searched_as_text() -> None:
    request = asked([QUESTION]).request
    assert applies(When(contains="plain"), Asked(request, b"plain \xff text", 1))


def chosen(selection: Selection, count: int) -> list[tuple[str | None, int]]:
    found = []
    for _ in range(count):
        choice = selection.choose(asked([QUESTION]))
        assert choice is not None
        found.append((choice[0].text, len(choice[1])))
    return found


def test_replies_are_spent_after_their_times_and_the_next_one_follows() -> None:
    replies = (ScriptedReply(text="a", times=1), ScriptedReply(text="b", times=2), ScriptedReply(text="c"))
    selection = Selection(Scenario(replies=replies))
    assert [text for text, _ in chosen(selection, 5)] == ["a", "b", "b", "c", "c"]


def test_when_every_reply_is_spent_there_is_none() -> None:
    selection = Selection(Scenario(replies=(ScriptedReply(text="a", times=1),)))
    chosen(selection, 1)
    assert selection.choose(asked([QUESTION])) is None


def test_a_fault_of_limited_times_leaves_the_reply_to_the_retry() -> None:
    fault = StatusFault(status=429, times=2)
    replies = (ScriptedReply(text="a", times=1, fault=fault), ScriptedReply(text="b"))
    assert chosen(Selection(Scenario(replies=replies)), 4) == [("a", 1), ("a", 1), ("a", 0), ("b", 0)]


def test_a_fault_without_a_limit_is_met_each_time() -> None:
    reply = ScriptedReply(text="a", fault=CutFault(after=1))
    assert chosen(Selection(Scenario(replies=(reply,))), 3) == [("a", 1)] * 3
