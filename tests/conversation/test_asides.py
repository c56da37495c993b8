"""What is made of the words of small models, which do not always keep to their form."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.conversation.asides import (
    Intent,
    intent_request,
    read_intent,
    read_suggestions,
    suggestions_request,
    summary_request,
)
from millstream.conversation.turns import Turn
from millstream.core.messages import Request, TextPart

FOUND = Intent("book_flight", {"city": "Rome"})
PLAIN = '{"intent": "book_flight", "entities": [{"name": "city", "value": "Rome"}]}'


@pytest.mark.parametrize(
    "said",
    [
        PLAIN,
        f"```json\n{PLAIN}\n```",
        f"Here {{as you asked}} it is: {PLAIN} Anything else?",
        '{"intent": " book_flight ", "entities": {"city": "Rome"}}',
        '{"entities": [{"name": "city", "value": "Rome"}, 7, {"value": "x"}, {"name": 3, "value": 1}],'
        ' "intent": "book_flight", "more": []}',
    ],
)
def test_an_intent_is_found_in_whatever_surrounds_it(said: str) -> None:
    assert read_intent(said) == FOUND


@pytest.mark.parametrize(
    ("rest", "entities"),
    [
        ("", {}),
        (', "entities": [{"name": "city", "value": "Ro', {}),
        (', "entities": [{"name": "city", "value": "Rome"}, {"name": "day, [or", "value": "\\"Fri, ', {"city": "Rome"}),
        (', "entities": {"city": "Rome", "day', {"city": "Rome"}),
    ],
)
def test_an_intent_is_found_where_the_model_was_cut_off(rest: str, entities: dict[str, str]) -> None:
    assert read_intent('{"intent": "book_flight", "more": {"note": "a, {b"}' + rest) == Intent("book_flight", entities)


def test_suggestions_are_found_where_the_model_was_cut_off() -> None:
    assert read_suggestions('{"suggestions": ["One", "Two, or", "Thr') == ("One", "Two, or")


@pytest.mark.parametrize(
    "said", ["", "I cannot.", "{", '{"intent": ""}', '{"intent": 7}', "[1]", "{" * 5000 + "}" * 5000]
)
def test_what_has_no_intent_has_none(said: str) -> None:
    assert read_intent(said) is None


def test_an_intent_cannot_flood_a_client() -> None:
    entities = [{"name": f"n{n}" * 500, "value": "v" * 5000} for n in range(100)]
    found = read_intent(json.dumps({"intent": "i" * 5000, "entities": entities}))
    assert found is not None
    assert len(found.name) == 200
    assert len(found.entities) <= 20
    assert all(len(name) <= 200 and len(value) <= 200 for name, value in found.entities.items())


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('{"suggestions": ["One", "Two", "Three"]}', ("One", "Two", "Three")),
        (
            'Sure! {"suggestions": ["One", "One", " Two\\n lines ", 7, "", "Three", "Four"]}',
            ("One", "Two lines", "Three"),
        ),
        ('{"suggestions": "One"}', ()),
        ("None", ()),
    ],
)
def test_at_most_three_different_suggestions_are_read(said: str, expected: tuple[str, ...]) -> None:
    assert read_suggestions(said) == expected


@given(st.text())
def test_no_text_of_a_model_is_an_error(said: str) -> None:
    read_intent(said)
    assert len(read_suggestions(said)) <= 3


def _asked(request: Request) -> str:
    part = request.messages[0].parts[0]
    assert isinstance(part, TextPart)
    return part.text


def test_questions_ask_for_json_by_a_strict_schema_and_show_what_was_said_last() -> None:
    turns = [Turn("user", f"old {n}", 1) for n in range(20)]
    for request in (intent_request("m", turns, "Fly me to Rome"), suggestions_request("m", turns)):
        assert request.response_format is not None
        assert request.response_format.strict
        assert "old 19" in _asked(request)
        assert "old 1\n" not in _asked(request)
    assert "Fly me to Rome" in _asked(intent_request("m", turns, "Fly me to Rome"))


def test_a_summary_is_of_the_one_before_and_of_what_came_since() -> None:
    request = summary_request("m", "They like tea.", [Turn("user", "And cake.", 1)])
    assert "They like tea." in _asked(request)
    assert "user: And cake." in _asked(request)
    assert request.response_format is None
