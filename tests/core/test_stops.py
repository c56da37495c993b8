"""Stop sequences enforced on events, for upstreams that know none."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from millstream.core import events as ev
from millstream.core.grammar import Grammar
from millstream.core.stops import StopSequences


def reply(*pieces: str) -> list[ev.Event]:
    deltas = [ev.TextDelta(0, piece) for piece in pieces]
    end: list[ev.Event] = [ev.TextEnd(0), ev.ChoiceEnd(0, "stop"), ev.Finish()]
    return [ev.MessageStart("r"), ev.TextStart(0), *deltas, *end]


def text(events: list[ev.Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, ev.TextDelta))


def test_the_reply_ends_where_a_sequence_begins() -> None:
    said = StopSequences(["</block>"]).apply(reply("<block>no", "</block> and more", " text"))
    assert said == [
        ev.MessageStart("r"),
        ev.TextStart(0),
        ev.TextDelta(0, "<block>no"),
        ev.TextEnd(0),
        ev.ChoiceEnd(0, "stop_sequence", "</block>"),
        ev.Finish(),
    ]


def test_a_sequence_in_pieces_is_found_and_only_its_possible_beginning_waits() -> None:
    stops = StopSequences(["STOP"])
    assert stops.apply([ev.TextStart(0), ev.TextDelta(0, "go S")]) == [ev.TextStart(0), ev.TextDelta(0, "go ")]
    assert stops.apply([ev.TextDelta(0, "T")]) == []
    assert stops.apply([ev.TextDelta(0, "ART ST")]) == [ev.TextDelta(0, "START ")]
    assert text(stops.apply([ev.TextDelta(0, "OP!")])) == ""


def test_text_that_was_held_is_said_when_its_block_ends() -> None:
    assert text(StopSequences(["STOP"]).apply(reply("all the ST"))) == "all the ST"


def test_of_several_sequences_the_first_complete_one_counts() -> None:
    said = StopSequences(["two", "one"]).apply(reply("zero one two"))
    assert text(said) == "zero "
    assert said[-2] == ev.ChoiceEnd(0, "stop_sequence", "one")


def test_every_open_block_is_closed_before_the_end() -> None:
    events: list[ev.Event] = [
        ev.MessageStart(),
        ev.TextStart(0),
        ev.ToolCallStart(1, "c", "f"),
        ev.TextDelta(0, "STOP"),
    ]
    said = StopSequences(["STOP"]).apply(events)
    grammar = Grammar()
    grammar.advance(said)
    assert grammar.ended


def test_thoughts_and_arguments_are_left_alone() -> None:
    events: list[ev.Event] = [
        ev.ReasoningStart(0),
        ev.ReasoningDelta(0, "STOP"),
        ev.ReasoningEnd(0),
        ev.ToolCallStart(1, "c", "f"),
        ev.ToolCallDelta(1, "STOP"),
        ev.ToolCallEnd(1),
    ]
    assert StopSequences(["STOP"]).apply(events) == events


@given(
    whole=st.text("abX", max_size=40),
    sequences=st.lists(st.text("abX", min_size=1, max_size=4), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 40)),
)
def test_any_splitting_gives_the_text_before_the_first_sequence(
    whole: str, sequences: list[str], cuts: list[int]
) -> None:
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    stops = StopSequences(sequences)
    said = [out for event in reply(*pieces) for out in stops.apply([event])]
    grammar = Grammar()
    grammar.advance(said)
    assert grammar.ended
    complete = [
        (whole.find(sequence) + len(sequence), whole.find(sequence)) for sequence in sequences if sequence in whole
    ]
    assert text(said) == (whole[: min(complete)[1]] if complete else whole)
    assert said[-2].reason == ("stop_sequence" if complete else "stop")  # type: ignore[union-attr]  # the choice's end
