"""A string taken out of a JSON object while the object is still arriving."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.json_field import StringField


def read(pieces: list[str], name: str = "input") -> list[str]:
    field = StringField(name)
    return [*(field.feed(piece) for piece in pieces), field.finish()]


@given(
    text=st.text(), ascii_only=st.booleans(), cuts=st.lists(st.integers(0, 400)), after=st.sampled_from(["", " ", "\n"])
)
def test_any_text_survives_any_splitting(text: str, ascii_only: bool, cuts: list[int], after: str) -> None:
    document = json.dumps({"input": text}, ensure_ascii=ascii_only) + after
    edges = sorted({0, len(document), *(cut % (len(document) + 1) for cut in cuts)})
    pieces = [document[start:end] for start, end in itertools.pairwise(edges)]
    assert "".join(read(pieces)) == text


def test_text_comes_out_before_the_object_is_complete() -> None:
    assert read(['{"in', 'put": "*** Begin', " Patch\\", "n", '+line"', "}"]) == [
        "",
        "*** Begin",
        " Patch",
        "\n",
        "+line",
        "",
        "",
    ]


def test_a_surrogate_pair_split_in_the_middle_is_held_until_it_is_whole() -> None:
    assert read(['{"input":"a\\ud83d', "\\ude00b", '"}']) == ["a", "😀b", "", ""]


def test_half_a_surrogate_pair_becomes_a_replacement_character() -> None:
    assert "".join(read(['{"input":"a\\ud83d and then some"}'])) == "a\ufffd and then some"


def test_an_escape_json_does_not_have_is_kept_as_written() -> None:
    assert "".join(read(['{"input":"\\d+"}'])) == "\\d+"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ('{"patch": "diff"}', "diff"),
        ('"diff"', "diff"),
        ("*** Begin Patch", "*** Begin Patch"),
        ('{"a": "1", "b": "2"}', '{"a": "1", "b": "2"}'),
        ('{"input": 5}', '{"input": 5}'),
        ("", ""),
    ],
)
def test_a_form_that_was_not_agreed_is_read_as_a_whole_at_the_end(document: str, text: str) -> None:
    given_pieces = read(list(document))
    assert given_pieces[-1] == text
    assert "".join(given_pieces[:-1]) == ""


def test_a_value_that_is_cut_off_gives_what_came_of_it() -> None:
    assert "".join(read(['{"input": "half a pat', "ch\\"])) == "half a patch"
