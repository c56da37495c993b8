from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.tools.base import ToolContext, ToolOutcome
from millstream.tools.workspace import WorkspaceOptions, WorkspaceTools

Call = Callable[..., ToolOutcome]


def test_the_one_occurrence_is_replaced_and_shown(call: Call, root: Path) -> None:
    (root / "f").write_text("a\nb\nc\n")
    outcome = call("Edit", file_path="f", old_string="b\n", new_string="B\nB\n")
    assert (root / "f").read_text() == "a\nB\nB\nc\n"
    assert "     2→B\n     3→B\n     4→c" in str(outcome.content)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("x", "y", "occurs 2 times"),
        ("missing", "y", "was not found"),
        ("x", "x", "are the same"),
        ("", "y", "is not"),
        ("  x = 2", "y", "with other white space, from line 2"),
    ],
)
def test_what_is_not_clear_changes_nothing(call: Call, root: Path, old: str, new: str, why: str) -> None:
    (root / "f").write_text("x = 1\n\tx = 2\n")
    outcome = call("Edit", file_path="f", old_string=old, new_string=new)
    assert outcome.is_error
    assert why in str(outcome.content)
    assert (root / "f").read_text() == "x = 1\n\tx = 2\n"


def test_all_occurrences_are_replaced_if_asked(call: Call, root: Path) -> None:
    (root / "f").write_text("x x x")
    assert not call("Edit", file_path="f", old_string="x", new_string="xx", replace_all=True).is_error
    assert (root / "f").read_text() == "xx xx xx"


def test_several_edits_build_on_each_other(call: Call, root: Path) -> None:
    (root / "f").write_text("one two")
    edits = [{"old_string": "one", "new_string": "1 one"}, {"old_string": "1 one two", "new_string": "done"}]
    assert not call("MultiEdit", file_path="f", edits=edits).is_error
    assert (root / "f").read_text() == "done"


def test_of_several_edits_none_is_made_if_one_cannot_be(call: Call, root: Path) -> None:
    (root / "f").write_text("one two")
    edits = [{"old_string": "one", "new_string": "1"}, {"old_string": "three", "new_string": "3"}]
    outcome = call("MultiEdit", file_path="f", edits=edits)
    assert outcome.is_error
    assert "edit 2: old_string was not found" in str(outcome.content)
    assert (root / "f").read_text() == "one two"


def test_an_empty_old_text_makes_a_file(call: Call, root: Path) -> None:
    assert not call("Edit", file_path="new/f", old_string="", new_string="x\n").is_error
    assert (root / "new/f").read_text() == "x\n"
    assert call("Edit", file_path="other", old_string="x", new_string="y").content == "other does not exist"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be", "utf-32-le", "latin-1"])
def test_the_encoding_is_kept(call: Call, root: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding.startswith(("utf-16", "utf-32")) else ""
    (root / "f").write_bytes((mark + "ä = 1\r\nö\r\n").encode(encoding))
    assert not call("Edit", file_path="f", old_string="ä = 1\nö", new_string="ä = 2\nü").is_error
    assert (root / "f").read_bytes() == (mark + "ä = 2\r\nü\r\n").encode(encoding)


def test_what_the_encoding_has_not_is_refused(call: Call, root: Path) -> None:
    (root / "f").write_bytes(b"caf\xe9")
    outcome = call("Edit", file_path="f", old_string="caf", new_string="€")
    assert "latin-1, which has no '€'" in str(outcome.content)
    assert (root / "f").read_bytes() == b"caf\xe9"


def test_binaries_are_not_edited(call: Call, root: Path) -> None:
    (root / "f").write_bytes(b"a\0b")
    assert call("Edit", file_path="f", old_string="a", new_string="c").is_error


def test_edits_side_by_side_lose_nothing(root: Path, context: ToolContext) -> None:
    (root / "f").write_text("".join(f"<{n}>\n" for n in range(40)))
    tools = WorkspaceTools(WorkspaceOptions(root, allow=frozenset({"Write"})))

    async def all_at_once() -> list[ToolOutcome]:
        edits = ({"file_path": "f", "old_string": f"<{n}>", "new_string": f"[{n}]"} for n in range(40))
        return await asyncio.gather(*(tools.call("Edit", edit, context) for edit in edits))

    outcomes = asyncio.run(all_at_once())
    assert [outcome for outcome in outcomes if outcome.is_error] == []
    assert (root / "f").read_text() == "".join(f"[{n}]\n" for n in range(40))
