from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from millstream.core.messages import MediaPart, TextPart
from millstream.tools.base import ToolOutcome

Call = Callable[..., ToolOutcome]
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20


def test_lines_are_numbered_from_one(call: Call, root: Path) -> None:
    (root / "f").write_bytes(b"one\r\ntwo\nthree")
    assert call("Read", file_path="f").content == "     1→one\n     2→two\n     3→three"


def test_offset_and_limit_choose_lines_and_the_cut_says_how_to_go_on(call: Call, root: Path) -> None:
    (root / "f").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    told = call("Read", file_path="f", offset=4, limit=2).content
    assert told == "     4→line 4\n     5→line 5\n[cut here: the file goes on. Read it with offset 6 for more.]"
    assert call("Read", file_path="f", offset=6).content.endswith("    10→line 10")  # type: ignore[union-attr]  # text
    assert call("Read", file_path="f", offset=99).content == "(The file has only 10 lines.)"


def test_output_is_bounded_at_a_line(call: Call, root: Path) -> None:
    (root / "f").write_text("x" * 90 + "\n" + "y" * 90 + "\n" + "z" * 90 + "\n")
    told = call("Read", {"output_limit": 200}, file_path="f").content
    assert isinstance(told, str)
    assert "y" in told
    assert "z" not in told
    assert told.endswith("Read it with offset 3 for more.]")


def test_long_lines_are_cut_and_say_by_how_much(call: Call, root: Path) -> None:
    (root / "f").write_text("x" * 1_000_000 + "\nnext\n")
    told = call("Read", file_path="f").content
    assert told == f"     1→{'x' * 2000} [line cut: 998000 more characters]\n     2→next"


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ("\ufeffä".encode(), "     1→ä"),
        ("ä\n€".encode("utf-16"), "     1→ä\n     2→€"),
        ("ä".encode("utf-16-be"), None),
        (b"\xfe\xff" + "ä".encode("utf-16-be"), "     1→ä"),
        (b"caf\xe9", "     1→café\n[the file is not UTF-8; it was read as Latin-1]"),
        (b"", "(The file is empty.)"),
        (b"\x7fELF\0\1", None),
    ],
)
def test_encodings_are_found_and_binaries_refused(call: Call, root: Path, data: bytes, shown: str | None) -> None:
    (root / "f").write_bytes(data)
    outcome = call("Read", file_path="f")
    assert outcome.is_error == (shown is None)
    assert outcome.content == (shown or f"f is a binary file ({len(data)} bytes), not text")


def test_an_image_is_shown_as_an_image(call: Call, root: Path) -> None:
    (root / "f.dat").write_bytes(PNG)
    (part,) = tuple(call("Read", file_path="f.dat").content)
    assert isinstance(part, MediaPart)
    assert (part.kind, part.media_type) == ("image", "image/png")
    assert base64.b64decode(part.data or "") == PNG
    (root / "big.png").write_bytes(PNG + b"\0" * 3_750_000)
    assert call("Read", file_path="big.png").is_error


def test_a_notebook_is_shown_as_cells_with_outputs_and_pictures(call: Call, root: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"], "id": "m"},
        {
            "cell_type": "code",
            "source": "1/0",
            "outputs": [
                {"output_type": "stream", "text": ["out\n"]},
                {"output_type": "display_data", "data": {"image/png": "QUJD\n", "text/plain": "<Figure>"}},
                {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero"},
            ],
        },
    ]
    (root / "n.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}))
    text, image = tuple(call("Read", file_path="n.ipynb").content)
    assert isinstance(text, TextPart)
    assert '<cell number="1" id="m" type="markdown">\n# Title\ntext\n</cell>' in text.text
    assert "<output>\nout\n\n</output>" in text.text
    assert "ZeroDivisionError: division by zero" in text.text
    assert image == MediaPart(kind="image", media_type="image/png", data="QUJD")
    (root / "broken.ipynb").write_text("{}")
    assert call("Read", file_path="broken.ipynb").is_error


def test_what_is_missing_is_said(call: Call) -> None:
    outcome = call("Read", file_path="nothing/here")
    assert outcome.is_error
    assert "No such file" in str(outcome.content)


def test_ls_shows_kinds_and_leaves_out_what_it_is_told_to(call: Call, root: Path) -> None:
    (root / "d").mkdir()
    (root / "a.pyc").touch()
    (root / "b").touch()
    (root / "l").symlink_to("/etc")
    assert call("LS", ignore=["*.pyc"]).content == f"{root}/\n  b\n  d/\n  l@"
    assert call("LS", path="d").content == f"{root}/d/\n  (nothing)"
    assert call("LS", path="l").is_error
    assert call("LS", path="b").content == "b is not a directory"


def test_ls_says_what_it_cuts(call: Call, root: Path) -> None:
    for n in range(1010):
        (root / f"{n:04}").touch()
    told = str(call("LS").content)
    assert told.endswith("  0999\n[cut here: 10 more. Use Glob with a pattern.]")


def test_write_makes_directories_and_says_whether_a_file_was_there(call: Call, root: Path) -> None:
    assert call("Write", file_path="a/b/c.txt", content="1\n2").content == "Created a/b/c.txt (lines: 2)."
    assert call("Write", file_path=f"{root}/a/b/c.txt", content="").content == f"Overwrote {root}/a/b/c.txt (lines: 0)."
    assert (root / "a/b/c.txt").read_text() == ""


def test_nothing_is_written_where_that_is_not_allowed(call: Call, root: Path) -> None:
    (root / "f").write_text("x")
    closed = {"allow": frozenset[str]()}
    assert call("Write", closed, file_path="f", content="y").is_error
    assert call("Edit", closed, file_path="f", old_string="x", new_string="y").is_error
    assert call("MultiEdit", closed, file_path="f", edits=[{"old_string": "x", "new_string": "y"}]).is_error
    assert call("Bash", closed, command="echo y > f").is_error
    assert (root / "f").read_text() == "x"


def test_a_pipe_nobody_writes_to_does_not_hold_up_reading(call: Call, root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert call("Read", file_path="pipe").content == "pipe is a pipe, not a file"
