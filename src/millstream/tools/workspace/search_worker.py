"""Finds files and text below a directory: a program of its own, on the standard library alone.

A process, because a pattern may take Python's ``re`` for ever, during which nothing else in the process runs; it is
ended like any other program. Its one argument is a JSON object. It walks from the directory open as descriptor ``fd``,
never through a symbolic link, and prints one JSON object per line: files with their time or count, and for lines what
``rg --json`` prints, as far as ``finders.py`` reads it. Files come in the order of ``rg --sort path``.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_VARIANTS = 1000
_BINARY_SAMPLE = 64 * 1024  # ripgrep's buffer: what has a NUL in it is left out, later ones end the search


def variants(pattern: str) -> list[str]:
    """``pattern`` with each ``{a,b}`` written out. Raises ``ValueError`` if there are too many."""
    found: list[str] = []
    todo = [pattern]
    while todo:
        one = todo.pop()
        match = re.search(r"\{([^{}]*)\}", one)
        if match is None:
            found.append(one)
        else:
            todo += [one[: match.start()] + choice + one[match.end() :] for choice in match[1].split(",")]
        if len(found) + len(todo) > _MOST_VARIANTS:
            raise ValueError("the pattern stands for too many others")
    return found


class Glob:
    """A pattern as ``rg --glob`` reads it: without a slash it is for names at any depth, with one for whole paths."""

    def __init__(self, pattern: str) -> None:
        self._named = []
        self._paths = []
        for variant in variants(pattern):
            parts = [part for part in variant.split("/") if part]
            if "/" in variant.rstrip("/"):
                self._paths.append([None if part == "**" else _component(part) for part in parts])
            elif parts:
                self._named.append(_component(parts[0]))

    def matches(self, parts: list[str]) -> bool:
        return any(name.fullmatch(parts[-1]) for name in self._named) or any(
            _path_matches(path, parts) for path in self._paths
        )


def _path_matches(pattern: list[re.Pattern[str] | None], parts: list[str]) -> bool:
    """Whether ``parts`` fit; None in ``pattern`` is any number of components. Time grows with the product of both."""
    reached = {0}
    for index, part in enumerate(pattern):
        if part is None:
            first = min(reached)
            # At its end ** stands for at least one component: below a directory, not the directory itself.
            reached = set(range(first + (index == len(pattern) - 1), len(parts) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(parts) and part.fullmatch(parts[at])}
        if not reached:
            return False
    return len(parts) in reached


def _component(pattern: str) -> re.Pattern[str]:
    out: list[str] = []
    index = 0
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if char == "*":
            out.append("" if out and out[-1] == ".*" else ".*")
        elif char == "?":
            out.append(".")
        elif char == "\\" and index < len(pattern):
            out.append(re.escape(pattern[index]))
            index += 1
        elif char == "[" and (end := pattern.find("]", index + 1 + (pattern[index : index + 1] in ("!", "^")))) > 0:
            inside = pattern[index:end]
            negated = inside[:1] in ("!", "^")
            out.append(f"[{'^' if negated else ''}{re.escape(inside[negated:]).replace(chr(92) + '-', '-')}]")
            index = end + 1
        else:
            out.append(re.escape(char))
    return re.compile("".join(out), re.DOTALL)


def walk(root: int, skip: frozenset[str]) -> Iterator[tuple[list[str], int]]:
    """Each file below ``root``: its components, and the descriptor of its directory (until the next one is asked)."""
    path: list[str] = []
    open_directories = [root]
    todo = [_entries(root)]
    while todo:
        if not todo[-1]:
            todo.pop()
            if path:
                path.pop()
                os.close(open_directories.pop())
            continue
        name, is_directory = todo[-1].pop()
        if not is_directory:
            yield [*path, name], open_directories[-1]
        elif name not in skip:
            try:
                fd = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=open_directories[-1])
            except OSError:
                continue
            path.append(name)
            open_directories.append(fd)
            todo.append(_entries(fd))


def _entries(fd: int) -> list[tuple[str, bool]]:
    """Files and directories, last first."""
    try:
        with os.scandir(fd) as entries:
            found = [
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if entry.is_dir(follow_symlinks=False) or entry.is_file(follow_symlinks=False)
            ]
    except OSError:
        return []
    found.sort(key=lambda entry: os.fsencode(entry[0]), reverse=True)
    return found


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")


def _path(parts: list[str]) -> dict[str, str]:
    path = os.fsencode("/".join(parts))
    try:
        return {"text": path.decode()}
    except UnicodeDecodeError:
        return {"bytes": base64.b64encode(path).decode()}


def find(asked: dict[str, Any], candidates: Iterator[tuple[list[str], int]]) -> None:
    for parts, fd in candidates:
        try:
            time = os.stat(parts[-1], dir_fd=fd, follow_symlinks=False).st_mtime_ns
        except OSError:
            continue
        _say({"file": _path(parts), "time": time})


def read(name: str, fd: int, largest: int) -> str | None:
    """The file's text; None for what is binary, too large or gone."""
    try:
        with os.fdopen(os.open(name, _FLAGS, dir_fd=fd), "rb") as file:
            if os.fstat(file.fileno()).st_size > largest:
                return None
            data = file.read(largest + 1)
    except OSError:
        return None
    if b"\0" in data[:_BINARY_SAMPLE] or len(data) > largest:
        return None
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def search(asked: dict[str, Any], candidates: Iterator[tuple[list[str], int]]) -> None:
    flags = re.IGNORECASE if asked["ignore_case"] else 0
    matcher = _Multiline(asked, flags) if asked["multiline"] else _Lines(asked, flags)
    for parts, fd in candidates:
        text = read(parts[-1], fd, asked["largest"])
        if text is None or not matcher.may_match(text):
            continue
        path = _path(parts)
        if asked["mode"] != "content":
            count = matcher.count(text, 1 if asked["mode"] == "files_with_matches" else None)
            if count:
                _say({"file": path, "count": count})
            continue
        for kind, number, line in matcher.lines(text):
            data = {"path": path, "line_number": number, "lines": {"text": line}}
            _say({"type": kind, "data": data})


class _Lines:
    def __init__(self, asked: dict[str, Any], flags: int) -> None:
        self._pattern = re.compile(asked["pattern"], flags)
        self._before, self._after = asked["before"], asked["after"]
        # Where a line matches, so does the whole text, unless the pattern looks at what is around it.
        simple = not re.search(r"\(\?(?!:)|\\[AZ]", asked["pattern"])
        self._whole = re.compile(asked["pattern"], flags | re.MULTILINE) if simple else None

    def may_match(self, text: str) -> bool:
        # Line ends of Windows stand between the last character and "$".
        return self._whole is None or "\r" in text or self._whole.search(text) is not None

    def count(self, text: str, most: int | None) -> int:
        """Lines that match, counted up to ``most``."""
        found = (1 for line in _split(text) if self._pattern.search(line.removesuffix("\r")))
        return sum(itertools.islice(found, most))

    def lines(self, text: str) -> Iterator[tuple[str, int, str]]:
        lines = _split(text)
        matched = [i for i, line in enumerate(lines) if self._pattern.search(line.removesuffix("\r"))]
        yield from _with_context(lines, matched, self._before, self._after)


class _Multiline:
    def __init__(self, asked: dict[str, Any], flags: int) -> None:
        self._pattern = re.compile(asked["pattern"], flags | re.MULTILINE | re.DOTALL)
        self._before, self._after = asked["before"], asked["after"]

    def may_match(self, text: str) -> bool:
        return True

    def count(self, text: str, most: int | None) -> int:
        """Matches, counted up to ``most``."""
        return sum(itertools.islice((1 for _ in self._pattern.finditer(text)), most))

    def lines(self, text: str) -> Iterator[tuple[str, int, str]]:
        lines = _split(text)
        matched: set[int] = set()
        at = line = 0
        for match in self._pattern.finditer(text):
            line += text.count("\n", at, match.start())
            at = match.start()
            last = line + text.count("\n", at, max(at, match.end() - 1))
            matched.update(range(line, min(last, len(lines) - 1) + 1))
        yield from _with_context(lines, sorted(matched), self._before, self._after)


def _split(text: str) -> list[str]:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def _with_context(lines: list[str], matched: list[int], before: int, after: int) -> Iterator[tuple[str, int, str]]:
    shown = -1
    for index, number in enumerate(matched):
        for context in range(max(shown + 1, number - before), number):
            yield "context", context + 1, lines[context]
        yield "match", number + 1, lines[number]
        until = matched[index + 1] if index + 1 < len(matched) else len(lines)
        shown = min(number + after, until - 1, len(lines) - 1)
        for context in range(number + 1, shown + 1):
            yield "context", context + 1, lines[context]


def main() -> None:
    asked = json.loads(sys.argv[1])
    try:
        globs = [[Glob(pattern) for pattern in patterns] for patterns in asked["globs"]]
        if asked["name"] is not None:
            single = [([asked["name"]], asked["fd"])]
        candidates = single if asked["name"] is not None else walk(asked["fd"], frozenset(asked["skip"]))
        wanted = (
            found for found in candidates if all(any(glob.matches(found[0]) for glob in any_of) for any_of in globs)
        )
        (find if asked["pattern"] is None else search)(asked, wanted)
    except (ValueError, re.error) as error:
        _say({"error": str(error)})


if __name__ == "__main__":
    main()
