"""Arguments in pieces become the JSON text of one object."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.core.errors import Kind, UpstreamFault
from millstream.dialects.gemini.arguments import PartialArguments, steps_of
from millstream.dialects.gemini.wire import PartialArg

names = st.text(alphabet="ab_'\"\\. [", min_size=1, max_size=4)
leaves = st.text(max_size=6) | st.booleans() | st.integers(-9, 9) | st.none() | st.just(2.5)
trees = st.dictionaries(
    names,
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(names, inner, min_size=1, max_size=3),
        max_leaves=6,
    ),
    min_size=1,
    max_size=4,
)


def piece(path: str, value: Any, *, more: bool = False) -> PartialArg:
    field = {str: "stringValue", bool: "boolValue", type(None): "nullValue"}.get(type(value), "numberValue")
    written = {"jsonPath": path, field: value, **({"willContinue": True} if more else {})}
    return msgspec.json.decode(msgspec.json.encode(written), type=PartialArg)


def step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if key.isalpha():
        return f".{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


def pieces_of(tree: Any, path: str = "$") -> list[PartialArg]:
    """As Vertex sends them: strings in two pieces and an empty one that ends them."""
    if isinstance(tree, (dict, list)):
        members = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return [found for key, value in members for found in pieces_of(value, path + step(key))]
    if isinstance(tree, str):
        half = len(tree) // 2
        halves = [piece(path, tree[:half], more=True), piece(path, tree[half:], more=True)]
        return [*halves, piece(path, "")]
    return [piece(path, tree)]


@given(trees, st.integers(1, 3))
def test_pieces_in_the_order_of_writing_make_the_whole(tree: dict[str, Any], per_chunk: int) -> None:
    arguments = PartialArguments()
    pieces = pieces_of(tree)
    text = "".join(arguments.add(pieces[at : at + per_chunk]) for at in range(0, len(pieces), per_chunk))
    assert json.loads(text + arguments.end()) == tree


def test_each_piece_gives_its_text_at_once() -> None:
    arguments = PartialArguments()
    assert arguments.add([piece("$.city", "Par", more=True)]) == '{"city":"Par'
    assert arguments.add([piece("$.city", "is")]) == 'is"'
    assert arguments.add([piece("$.n", 5)]) == ',"n":5'
    assert arguments.end() == "}"


def test_a_string_whose_end_is_not_said_ends_where_the_next_value_begins() -> None:
    arguments = PartialArguments()
    text = arguments.add([piece("$.a", "x", more=True), piece("$.b", True)])
    assert json.loads(text + arguments.end()) == {"a": "x", "b": True}


def test_an_empty_piece_after_the_end_of_a_string_changes_nothing() -> None:
    arguments = PartialArguments()
    text = arguments.add([piece("$.a", "x"), piece("$.a", "")])
    assert json.loads(text + arguments.end()) == {"a": "x"}


def test_no_pieces_are_an_empty_object() -> None:
    assert PartialArguments().end() == "{}"


def test_numbers_stay_as_they_are_written() -> None:
    written = b'{"jsonPath": "$.a", "numberValue": 5}'
    assert PartialArguments().add([msgspec.json.decode(written, type=PartialArg)]) == '{"a":5'
    odd = b'{"jsonPath": "$.a", "numberValue": "NaN"}'
    assert PartialArguments().add([msgspec.json.decode(odd, type=PartialArg)]) == '{"a":null'


@pytest.mark.parametrize(
    "paths", [["$.a.b", "$.c", "$.a.d"], ["$.a", "$.b", "$.a"], ["$.a[1]"], ["$.a[0]", "$.a[2]"], ["$.a[0]", "$.a.b"]]
)
def test_what_would_have_to_go_where_the_text_is_past_is_refused(paths: list[str]) -> None:
    arguments = PartialArguments()
    with pytest.raises(UpstreamFault, match="out of order") as raised:
        arguments.add([piece(path, 1) for path in paths])
    assert raised.value.kind is Kind.MALFORMED


@pytest.mark.parametrize("path", ["", "a", "$", "$a", "$[0]", "$.a[x]", "$.a[", "$..", "$.a['b]"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UpstreamFault):
        steps_of(path)


def test_paths_name_members_in_dots_and_brackets() -> None:
    assert steps_of("$.a[0]['b c'][\"d\"].e") == ["a", 0, "b c", "d", "e"]
    assert steps_of(r"$['it\'s']") == ["it's"]
