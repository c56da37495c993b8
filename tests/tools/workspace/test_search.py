"""Glob and Grep: the same answers with ripgrep and without."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from millstream.tools.base import ToolContext, ToolOutcome
from millstream.tools.workspace import WorkspaceOptions, WorkspaceTools
from millstream.tools.workspace.search_worker import Glob

Ask = Callable[..., ToolOutcome]
FILES = {
    "a.py": "import os\n\n\ndef one():\n    return 1\n\n\ndef two():\n    return os\n",
    "src/b.ts": "const one = 1;\r\nexport { one };\r\n",
    "src/deep/c.tsx": "one\n" * 3,
    "src/deep/d.py": "ÄRGER und Öl\nnaïve\n",
    ".hidden/e.py": "hidden one\n",
    "node_modules/f.py": "skipped one\n",
    "src/__pycache__/g.py": "skipped one\n",
    "no newline.md": "last one",
    "[x].txt": "one in brackets",
    "a.b/h.txt": "one\n",
    "a/i.txt": "one\n",
    "ignored.txt": "one\n",
    ".gitignore": "ignored.txt\n",
    "utf16.txt": "",
    "long.txt": "x" * 3000 + " one\n",
}


@pytest.fixture
def furnished(root: Path) -> Path:
    for number, (name, text) in enumerate(FILES.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        os.utime(path, (1000 + number, 1000 + number))
    (root / "binary.py").write_bytes(b"one\n\0\1\2one\n")
    (root / "utf16.txt").write_bytes("one\n".encode("utf-16"))
    (root / "not-utf8.txt").write_bytes(b"caf\xe9 one\n")
    (root / "out").symlink_to("../outside")
    (root / "link.py").symlink_to("a.py")
    return root


@pytest.fixture
def ask(furnished: Path, context: ToolContext) -> Ask:
    """Answers without the workspace's path: ``ask("Grep", ripgrep, pattern="x")``."""

    def run(name: str, ripgrep: str | Literal["installed"] | None = None, /, **arguments: Any) -> ToolOutcome:
        tools = WorkspaceTools(WorkspaceOptions(furnished), ripgrep=ripgrep)
        outcome = asyncio.run(tools.call(name, arguments, context))
        return ToolOutcome(str(outcome.content).replace(f"{furnished}/", ""), outcome.is_error)

    return run


QUESTIONS: list[dict[str, Any]] = [
    {"pattern": "one"},
    {"pattern": "ONE", "-i": True},
    {"pattern": "ärger|ÖL", "-i": True, "output_mode": "content"},
    {"pattern": r"na\wve$", "output_mode": "content"},
    {"pattern": "^one$", "output_mode": "content"},
    {"pattern": r"one\s*[;}]", "output_mode": "content"},
    {"pattern": "one", "output_mode": "content"},
    {"pattern": "one", "output_mode": "content", "-n": False},
    {"pattern": "def", "output_mode": "content", "-A": 1},
    {"pattern": "def", "output_mode": "content", "-B": 1},
    {"pattern": "def", "output_mode": "content", "-C": 2},
    {"pattern": "def", "output_mode": "content", "-C": 9},
    {"pattern": "one", "output_mode": "count"},
    {"pattern": r"one\none", "multiline": True, "output_mode": "content"},
    {"pattern": r"def.*?return", "multiline": True, "output_mode": "content"},
    {"pattern": r"one\n", "multiline": True, "output_mode": "count"},
    {"pattern": r"one\n", "multiline": True},
    {"pattern": "one", "glob": "*.py"},
    {"pattern": "one", "glob": "*.{ts,tsx}"},
    {"pattern": "one", "glob": "src/*.ts*"},
    {"pattern": "one", "glob": "src/**/*.tsx"},
    {"pattern": "one", "glob": "**/deep/**"},
    {"pattern": "one", "glob": "/a.py"},
    {"pattern": "one", "glob": "[!a].txt"},
    {"pattern": "one", "glob": "?.py"},
    {"pattern": "one", "glob": r"\[x\].txt"},
    {"pattern": "one", "type": "ts"},
    {"pattern": "one", "type": "py"},
    {"pattern": "one", "type": "py", "glob": "a*"},
    {"pattern": "one", "path": "src"},
    {"pattern": "one", "path": "src", "glob": "/b.ts"},
    {"pattern": "one", "path": "a.py", "output_mode": "content"},
    {"pattern": "one", "path": "node_modules"},
    {"pattern": "one", "path": "link.py", "output_mode": "count"},
    {"pattern": "one", "path": "binary.py"},
    {"pattern": "one", "path": "out"},
    {"pattern": "secret"},
    {"pattern": "", "output_mode": "count"},
    {"pattern": "nowhere"},
    {"pattern": "(?<=def )one", "output_mode": "content"},
    {"pattern": "(one", "output_mode": "content"},
    {"pattern": "-e"},
    {"pattern": "one", "output_mode": "content", "head_limit": 2},
]


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_ripgrep_and_python_say_the_same(ask: Ask, ripgrep: str, question: dict[str, Any]) -> None:
    assert ask("Grep", ripgrep, **question) == ask("Grep", None, **question)


def test_matching_files_come_newest_first_and_skipped_ones_not_at_all(ask: Ask) -> None:
    names = str(ask("Grep", pattern="one").content).split("\n")
    assert names[0] == "not-utf8.txt"
    assert names[1:] == [
        "long.txt",
        "ignored.txt",
        "a/i.txt",
        "a.b/h.txt",
        "[x].txt",
        "no newline.md",
        ".hidden/e.py",
        "src/deep/c.tsx",
        "src/b.ts",
        "a.py",
    ]


def test_lines_come_by_path_with_context_and_separators(ask: Ask) -> None:
    told = ask("Grep", pattern="def", output_mode="content", **{"-A": 1}, glob="*.py").content
    assert told == "a.py:4:def one():\na.py-5-    return 1\n--\na.py:8:def two():\na.py-9-    return os"


def test_long_lines_are_cut(ask: Ask) -> None:
    assert ask("Grep", pattern="x one", output_mode="content").content == f"long.txt:1:{'x' * 500} [line cut]"


def test_wrong_patterns_and_types_are_said(ask: Ask) -> None:
    assert "the pattern cannot be used: missing )" in str(ask("Grep", pattern="(").content)
    assert "unknown type cobol" in str(ask("Grep", pattern="x", type="cobol").content)
    assert ask("Glob", pattern="{a,b}" * 12).is_error


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.tsx", ["src/deep/c.tsx"]),
        ("**/*.ts*", ["src/deep/c.tsx", "src/b.ts"]),
        ("src/*", ["src/b.ts"]),
        ("src/**", ["src/deep/d.py", "src/deep/c.tsx", "src/b.ts"]),
        ("{a,src/**/d}.py", ["src/deep/d.py", "a.py"]),
        ("[[]x].txt", ["[x].txt"]),
        ("nowhere/*", None),
    ],
)
def test_glob_finds_newest_first(ask: Ask, pattern: str, found: list[str] | None) -> None:
    told = str(ask("Glob", pattern=pattern).content)
    assert told == ("\n".join(found) if found else f"No files match {pattern}.")


def test_glob_takes_a_path_and_absolute_patterns(ask: Ask, furnished: Path) -> None:
    assert ask("Glob", pattern="*.tsx", path="src/deep").content == "src/deep/c.tsx"
    assert ask("Glob", pattern=f"{furnished}/src/**/*.tsx").content == "src/deep/c.tsx"
    assert ask("Glob", pattern=f"{furnished}/a.py").content == "a.py"
    assert ask("Glob", pattern="/etc/*").is_error
    assert ask("Glob", pattern="*", path="out").is_error


def test_a_glob_takes_no_longer_for_being_nested() -> None:
    parts = ["a"] * 60
    assert not Glob("/".join(["**", "a*a"] * 20)).matches(parts)


def test_a_pattern_that_never_ends_is_ended(root: Path, context: ToolContext) -> None:
    (root / "f").write_text("a" * 60 + "!\n")

    async def limited() -> None:
        tools = WorkspaceTools(WorkspaceOptions(root), ripgrep=None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await tools.call("Grep", {"pattern": "(a+)+$"}, context)

    began = time.monotonic()
    asyncio.run(limited())
    assert time.monotonic() - began < 15


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100,000 files."""
    root = tmp_path_factory.mktemp("large")
    for number in range(200):
        directory = root / f"d{number}"
        directory.mkdir()
        first = directory / "needle.txt"
        first.write_text("hay\n" * 3)
        for other in range(498):
            os.link(first, directory / f"f{other}.py")
        (directory / "found.txt").write_text("a needle\n")
    return root


@pytest.mark.parametrize("program", ["ripgrep", "python"])
def test_a_hundred_thousand_files_are_searched_in_time(
    large: Path, context: ToolContext, program: str, request: pytest.FixtureRequest
) -> None:
    found = request.getfixturevalue("ripgrep") if program == "ripgrep" else None
    tools = WorkspaceTools(WorkspaceOptions(large), ripgrep=found)
    began = time.monotonic()
    told = asyncio.run(tools.call("Grep", {"pattern": "needle", "output_mode": "count"}, context)).content
    assert str(told).count(":1\n") == 199
    names = asyncio.run(tools.call("Glob", {"pattern": "d1?/**/found.*"}, context)).content
    assert str(names).count("found.txt") == 10
    assert time.monotonic() - began < 40
