"""The table of legal streams."""

import pytest

from millstream.core import events as ev
from millstream.core.errors import Kind
from millstream.core.grammar import TABLE, Grammar, GrammarError, State
from millstream.core.messages import Usage

START = ev.MessageStart("id", "m")
END: list[ev.Event] = [ev.ChoiceEnd(0, "stop"), ev.Finish()]


def test_the_table_names_every_event_of_the_union() -> None:
    assert set(TABLE) == set(ev.Event.__args__)


def test_a_plain_answer_is_legal() -> None:
    grammar = Grammar()
    grammar.advance([START, ev.TextStart(0), ev.TextDelta(0, "hi"), ev.TextEnd(0), *END])
    assert grammar.state is State.FINISHED
    assert grammar.blocks == 1
    assert grammar.finish_reason == "stop"


def test_several_blocks_may_be_open_at_once() -> None:
    grammar = Grammar()
    grammar.advance(
        [
            START,
            ev.ToolCallStart(0, "a", "f"),
            ev.ToolCallStart(1, "b", "f"),
            ev.ToolCallDelta(0, "{"),
            ev.ToolCallDelta(1, "{"),
            ev.ToolCallEnd(1),
            ev.ToolCallEnd(0),
            *END,
        ]
    )
    assert grammar.ended


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([ev.TextStart(0)], "TextStart while idle"),
        ([START, START], "MessageStart while open"),
        ([START, ev.TextDelta(0, "x")], "block 0, where nothing is open"),
        ([START, ev.TextStart(1)], "index 1, expected 0"),
        ([START, ev.TextStart(0), ev.TextEnd(0), ev.TextDelta(0, "x")], "where nothing is open"),
        ([START, ev.TextStart(0), ev.ReasoningDelta(0, "x")], "where text is open and reasoning is needed"),
        ([START, ev.TextStart(0), ev.ToolCallEnd(0)], "where text is open and tool call is needed"),
        ([START, ev.TextStart(0), *END], "Finish while blocks are open: [0]"),
        ([START, ev.Finish()], "Finish before any ChoiceEnd"),
        ([START, ev.ChoiceEnd(0, "stop"), ev.ChoiceEnd(0, "stop")], "choice 0 twice"),
        ([START, ev.ChoiceEnd(0, "stop"), ev.TextStart(0)], "choice 0, which has ended"),
        ([START, *END, ev.Usage(Usage())], "Usage while finished"),
        ([START, ev.truncated("x"), ev.Finish()], "Finish while failed"),
    ],
)
def test_what_the_table_does_not_allow_is_named(events: list[ev.Event], complaint: str) -> None:
    with pytest.raises(GrammarError) as caught:
        Grammar().advance(events)
    assert complaint in str(caught.value)


def test_a_fault_may_come_before_anything_and_with_blocks_open() -> None:
    early, late = Grammar(), Grammar()
    early.advance([ev.truncated("nothing came")])
    late.advance([START, ev.TextStart(0), ev.truncated("cut")])
    assert early.state is late.state is State.FAILED
    assert late.fault is not None
    assert late.fault.kind is Kind.TRUNCATED


def test_the_last_usage_wins() -> None:
    grammar = Grammar()
    first, last = Usage(input_tokens=1), Usage(input_tokens=1, output_tokens=9)
    grammar.advance([ev.MessageStart(usage=first), ev.Usage(first), ev.Usage(last), *END])
    assert grammar.usage == last
