"""How much of a conversation a model is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from millstream.conversation.turns import Past, Turn, answer_request, first_kept, text_tokens
from millstream.core.messages import Message, TextPart

TURNS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=20).map(
    lambda pairs: [turn for asked, said in pairs for turn in (Turn("user", "a", asked), Turn("assistant", "b", said))]
)


def _texts(messages: tuple[Message, ...]) -> list[str]:
    return [part.text for message in messages for part in message.parts if isinstance(part, TextPart)]


@given(TURNS, st.integers(0, 2000))
def test_what_is_kept_fits_and_begins_with_a_question_and_no_more_would_fit(turns: list[Turn], budget: int) -> None:
    first = first_kept(turns, budget)
    kept = turns[first:]
    assert sum(turn.tokens for turn in kept) <= budget
    assert not kept or kept[0].role == "user"
    if first >= 2:
        assert sum(turn.tokens for turn in turns[first - 2 :]) > budget


def test_a_model_is_told_the_system_prompt_the_summary_and_the_context() -> None:
    past = Past((Turn("user", "Hi", 1), Turn("assistant", "Hello", 1)), "They like tea.")
    request = answer_request("m", past, "And now?", system="Be kind.", context={"page": "/cart"}, max_tokens=7)
    assert [message.role for message in request.messages] == ["user", "assistant", "user"]
    assert _texts(request.messages) == ["Hi", "Hello", "And now?"]
    (system,) = request.system
    assert isinstance(system, TextPart)
    assert system.text.startswith("Be kind.\n\n")
    assert "They like tea." in system.text
    assert '{"page":"/cart"}' in system.text
    assert request.max_tokens == 7


def test_nothing_is_made_up_where_nothing_is_known() -> None:
    assert answer_request("m", Past(), "Hi").system == ()


def test_an_answer_that_was_cut_off_is_told_as_such() -> None:
    past = Past((Turn("user", "Count.", 1), Turn("assistant", "One, two", 1, cut=True)))
    assert _texts(answer_request("m", past, "Why?").messages)[1] == "One, two [cut off here]"


def test_tokens_grow_with_the_text() -> None:
    assert 0 < text_tokens("Hi") < text_tokens("Hi there, how are you today?")
