"""What the tests with official SDKs have in common, whichever SDK it is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pydantic
from raw_upstream import Answer, Call
from sdk_types import problems
from speakers import Asked, Said, Speaker, Thought, Told

WORDS = ("Hel", "lo ", "you.")
HELLO = Said(WORDS)
WEATHER = {"city": "Ulm"}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}}
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}
TOOLS = {"get_weather": SCHEMA, "list_cities": NO_ARGUMENTS}

THOUGHT = Thought("It rains there.", "c2lnbmVk")
ONE_CALL = Asked("call_a", "get_weather", ('{"city"', ': "Ulm"}'))
CALLS = (THOUGHT, Said(("Let me look.",)), ONE_CALL, Asked("call_b", "list_cities"))
RAIN = Said(("Rain in Ulm.",))

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"lighthouse" * 9).decode()
"""Spelled alike in both alphabets of base64: Google's SDK writes the one for URLs."""

FACTS = ("You are a lighthouse.", "What is in it?", PICTURE, "Looks the weather up.", "get_weather", "city", "321")
"""What every rich request says, and every upstream must be told: the prompts, a picture, a tool, the answer's limit."""

_DETAIL = "detail: ResponseInputImageParam requires it"
"""The SDK's type does; the API takes ``auto`` for what is not there."""

REFUSALS = [
    (400, "invalid"),
    (401, "invalid"),
    (403, "invalid"),
    (404, "invalid"),
    (413, "invalid"),
    (429, "rate"),
    (500, "internal"),
    (503, "overloaded"),
    (529, "overloaded"),
]
"""Statuses of an upstream, and what their bodies say."""


class Place(pydantic.BaseModel):
    """An answer in a shape of its own."""

    city: str
    days: int


PLACE = Said(('{"city": "Ul', 'm", "days": 3}'))


def assert_shape_was_told(call: Call) -> None:
    """The upstream is told the shape of ``Place``, in whichever words."""
    body = call.body.decode()
    assert all(f'"{name}' in body or f'\\"{name}' in body for name in Place.model_fields), body


def counting(speaker: Speaker, tokens: int) -> Answer:
    """An upstream that answers nothing but its counting endpoint, where it has one."""

    async def answer(call: Call) -> None:
        body = speaker.counted(tokens)
        assert speaker.count_in(call), f"it was asked at {call.path}"
        assert body is not None, "this API cannot count"
        asked = json.loads(call.body)
        assert not asked.keys() & {"max_tokens", "max_output_tokens", "stream", "store", "include"}, (
            "it would be refused"
        )
        assert "Say hello." in json.dumps(asked)
        await call.answer(200, body)

    return answer


async def never(call: Call) -> None:
    raise AssertionError(f"the upstream was asked for {call.path}")


def assert_loop_was_told(speaker: Speaker, call: Call, *, failed: bool = False, thoughts: bool = True) -> None:
    """The second request of a loop has the calls and, in their order, both results; signatures came home. ``failed``:
    the client could mark the second result as an error, and did. Not ``thoughts``: it cannot give signed ones back."""
    told: Told = speaker.told(json.loads(call.body))
    assert told.calls == [("call_a", "get_weather", WEATHER), ("call_b", "list_cities", {})]
    assert [call_id for call_id, _ in told.results] == ["call_a", "call_b"]
    assert "rain" in told.results[0][1]
    assert "no such thing" in told.results[1][1]
    if failed and speaker.marks_failures:
        assert told.failed == ["call_b"]
    if speaker.signs and (thoughts or speaker.name == "gemini"):
        assert told.signatures == [THOUGHT.signature]


def assert_facts_were_told(speaker: Speaker, call: Call, client: str) -> None:
    """Nothing of what the request says is missing. If it is not its own SDK's, that would have let it be sent."""
    body = json.loads(call.body)
    given = {} if client == speaker.name else problems(speaker.name, body)
    found = [problem for problem in given if not problem.endswith(_DETAIL)]
    assert not found, found
    said = json.dumps(body)
    missing = [fact for fact in FACTS if fact not in said]
    assert not missing, missing
