"""Markdown that is still being written: what is final of it, and all of it as lines of a terminal."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown, MarkdownElement
from rich.padding import Padding
from rich.syntax import Syntax

FENCE_LINES = 24
"""A block of code that is longer than twice this is given out in portions of this many lines."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some blocks of a text. ``joined``: no empty line between it and the piece before."""

    text: str
    joined: bool = False


class _LeftHeading(Heading):
    LEVEL_ALIGN: ClassVar[dict[str, JustifyMethod]] = dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6"), "left")


class _PlainCode(CodeBlock):
    """Code in the terminal's own colours, on its own background, so that it can be read on any."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip("\n")
        syntax = Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True, background_color="default")
        yield Padding(syntax, (0, 0, 0, 2))


class _Markdown(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **Markdown.elements,
        "heading_open": _LeftHeading,
        "fence": _PlainCode,
        "code_block": _PlainCode,
    }

    def __init__(self, text: str) -> None:
        # Links are written out: a text that hides where it leads is a trap where anybody may have written it.
        super().__init__("", code_theme="ansi_dark", hyperlinks=False)
        self.parsed = _parser().parse(text)


def rendered(text: str) -> RenderableType:
    """``text`` for a rich console."""
    return _Markdown(text)


def divided(text: str) -> tuple[list[Piece], Piece]:
    """The pieces of ``text`` that what is still to come cannot change, and the rest. A very long block is cut inside,
    between the items of a list or the lines of code; the rest then begins as such a block does."""
    tokens = [token for token in _outline().parse(text) if token.map is not None]
    tops = [token for token in tokens if token.level == 0]
    if not tops:
        return [], Piece(text)
    lines = text.splitlines(keepends=True)
    starts = [0, *(_start(token) for token in tops[1:])]
    done = [Piece("".join(lines[begin:end])) for begin, end in itertools.pairwise(starts)]
    last, start = tops[-1], starts[-1]
    if last.type == "fence":
        more, rest = _fence(last, lines, start)
    else:
        more, rest = _items(last, tokens, lines, start)
    if more is None:
        return done, Piece("".join(lines[start:]))
    return [*done, Piece(more)], Piece(rest, joined=True)


def _items(last: Token, tokens: Sequence[Token], lines: Sequence[str], start: int) -> tuple[str | None, str]:
    if last.type not in ("bullet_list_open", "ordered_list_open"):
        return None, ""
    items = [_start(token) for token in tokens if token.type == "list_item_open" and token.level == 1]
    items = [line for line in items if line > start]
    if not items:
        return None, ""
    return "".join(lines[start : items[-1]]), "".join(lines[items[-1] :])


def _fence(last: Token, lines: Sequence[str], start: int) -> tuple[str | None, str]:
    opening = _start(last)  # before the first block there may be empty lines
    count = len(lines) - opening
    if count <= 2 * FENCE_LINES:
        return None, ""
    cut = opening + (count // FENCE_LINES - 1) * FENCE_LINES + 1
    return "".join([*lines[start:cut], last.markup, "\n"]), "".join([lines[opening], *lines[cut:]])


def _start(token: Token) -> int:
    return token.map[0] if token.map is not None else 0


@cache
def _parser() -> MarkdownIt:
    # Without "html": a model's <br> or <p> is text to be seen, rich would leave it out.
    return MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])


@cache
def _outline() -> MarkdownIt:
    """Finds blocks alone: it is asked again for every few words."""
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("inline")
