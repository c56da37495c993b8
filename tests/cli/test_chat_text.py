"""What a model wrote on its way to a terminal: cleaned, divided into blocks, painted with what came before in place."""

from __future__ import annotations

import io
import random

import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from millstream.cli.chat import markdown, view
from millstream.cli.chat.clean import Cleaner, clean, clean_line
from millstream.cli.chat.lines import plain_letters
from millstream.cli.chat.meter import Meter, money
from millstream.cli.chat.painter import Line, Painter
from millstream.cli.chat.view import ScreenView
from millstream.cli.chat.wires import AgentReader
from millstream.core.errors import Kind, UpstreamFault
from millstream.core.events import Fault, ReasoningDelta, TextDelta, Usage
from millstream.core.messages import Usage as TokenUsage
from millstream.providers.catalog import Provider
from millstream.registry import providers
from millstream.telemetry.prices import known as price

HOSTILE = {
    "\x1b[31mred\x1b[0m": "red",
    "\x1b]0;title\x07after": "after",
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\": "link",
    "\x9b31mred": "red",
    "\x90device\x9cafter": "after",
    "\x1bcreset": "reset",
    "a\x00b\x07c\x08d\x7fe": "abcde",
    "one\r\ntwo\rthree": "one\ntwothree",
    "left\u202eright\u2066\u200f": "leftright",
    "tag\U000e0041": "tag",
    "lone \ud800": "lone ",
    "kept\tas it is\n": "kept\tas it is\n",
    "👩‍💻 é 漢": "👩‍💻 é 漢",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_a_terminal_would_obey_is_left(text: str) -> None:
    assert clean(text) == HOSTILE[text]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_sequence_in_two_pieces_is_recognised(text: str) -> None:
    for cut in range(len(text)):
        cleaner = Cleaner()
        assert cleaner.feed(text[:cut]) + cleaner.feed(text[cut:]) == HOSTILE[text]


def test_a_sequence_that_never_ends_does_not_swallow_the_answer() -> None:
    cleaner = Cleaner()
    told = "".join(cleaner.feed(piece) for piece in ["\x1b]0;", *["word "] * 200])
    assert told.count("word") == 200
    assert "\x1b" not in told


@given(st.lists(st.text(st.characters(codec=None, exclude_categories=[]))))
@settings(max_examples=200)
def test_whatever_comes_no_control_passes(pieces: list[str]) -> None:
    cleaner = Cleaner()
    told = "".join(cleaner.feed(piece) for piece in pieces)
    assert not [letter for letter in told if ord(letter) < 32 and letter not in "\n\t"]
    assert not set(told) & {chr(code) for code in range(0x7F, 0xA0)}


def test_a_line_is_one_line() -> None:
    assert clean_line(" a\n\x1b[1mb\tc ") == "a b c"


def test_letters_that_a_locale_lacks_have_a_nearest_form() -> None:
    assert plain_letters("• é … 漢", "latin-1") == "* é ... ?"
    assert plain_letters("é", "latin-1") == "é"


TEXT = """
Intro with *stress*, `code` and a [link](http://example.org).

# Heading

1. one
2. two
   - nested

   with a paragraph
3. three
- other
- list

| a | b |
|---|---|
| 1 | 2 |

> quote
> more

---
Title
=====

```python
for number in range(10):
    print(number)
```
Last <br> words.
"""
CODE = "```text\n" + "".join(f"line {number}\n" for number in range(130)) + "```\n\nAfter.\n"


def test_pieces_are_the_whole_text_in_order() -> None:
    for end in range(len(TEXT)):
        pieces, rest = markdown.divided(TEXT[:end])
        assert "".join(piece.text for piece in pieces) + rest.text == TEXT[:end]


def test_long_code_is_given_out_while_it_is_still_being_written() -> None:
    pieces, rest = markdown.divided(CODE[:900])
    assert "line 10\n" in pieces[-1].text
    assert rest.joined
    assert rest.text.startswith("```text\nline ")


def _terminal(columns: int, rows: int) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=columns, height=rows, _environ={"TERM": "xterm"})
    return console, written


def _shown(written: str, columns: int, rows: int) -> list[str]:
    screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=1)
    pyte.Stream(screen).feed(written)
    scrolled = ["".join(row[x].data for x in range(columns)) for row in screen.history.top]
    lines = [line.rstrip() for line in [*scrolled, *screen.display]]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _painted(pieces: list[str], columns: int, rows: int) -> list[str]:
    console, written = _terminal(columns, rows)
    shown = ScreenView(console)
    for piece in pieces:
        shown.text(piece)
        shown.refresh()
    shown.end([])
    return _shown(written.getvalue(), columns, rows)


@pytest.mark.parametrize("columns", [30, 80])
@pytest.mark.parametrize("text", [TEXT, CODE], ids=["all kinds", "long code"])
def test_a_text_in_pieces_looks_as_one_that_came_at_once(
    monkeypatch: pytest.MonkeyPatch, text: str, columns: int
) -> None:
    monkeypatch.setattr(view, "FRAME", 0)
    whole = _painted([text], columns, 40)
    assert any("line 129" in line or "Last <br> words." in line for line in whole)
    chance = random.Random(7)
    for _ in range(2):
        cuts = sorted(chance.sample(range(len(text)), 40))
        pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        assert _painted(pieces, columns, 40) == whole


def test_what_scrolled_away_is_there_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "FRAME", 0)
    text = " ".join(f"word{number}" for number in range(200))
    shown = _painted([f"{word} " for word in text.split()], 40, 10)
    assert " ".join(shown).split() == text.split()


def test_letters_named_by_number_do_not_get_through() -> None:
    [line] = _painted(["&#x202E;abc&#x1b;[31m"], 60, 10)
    assert "\u202e" not in line
    assert "abc" in line


def test_a_frame_writes_no_more_than_what_is_new() -> None:
    written: list[str] = []
    painter = Painter(written.append, lambda: (80, 24))
    painter.paint([], [Line("Hello", 5)])
    painter.paint([], [Line("Hello world", 11)])
    painter.paint([], [Line("Hello world", 11)])
    assert written == ["Hello", " world"]


_lines = st.lists(st.text("abc ", max_size=20).map(lambda text: Line(text.rstrip(), len(text.rstrip()))), max_size=6)


@given(st.lists(st.tuples(_lines, _lines), max_size=12))
@settings(max_examples=60)
def test_the_screen_has_what_was_settled_and_then_what_is_live(frames: list[tuple[list[Line], list[Line]]]) -> None:
    written: list[str] = []
    painter = Painter(written.append, lambda: (30, 12))
    settled: list[Line] = []
    for done, live in frames:
        painter.paint(done, live)
        settled += done
        shown = _shown("".join(written), 30, 12)
        wanted = [line.text for line in [*settled, *live]]
        while wanted and not wanted[-1]:
            wanted.pop()
        assert shown == wanted


def test_after_the_terminal_became_narrower_the_live_lines_stand_once() -> None:
    size = [40, 12]
    written: list[str] = []
    painter = Painter(written.append, lambda: (size[0], size[1]))
    painter.paint([], [Line("a" * 30, 30), Line("b" * 30, 30)])
    size[0] = 20  # terminals fold the two lines into four
    painter.paint([], [Line("c" * 19, 19)])
    assert written[-1].startswith("\r\x1b[3A\x1b[J")


def test_a_runs_stream_that_ends_early_is_a_fault() -> None:
    reader = AgentReader()
    assert reader.feed(b'data: {"type":"text_chunk","chunk":"a"}\n\n: keepalive\n\n') == [TextDelta(0, "a")]
    [fault] = reader.finish()
    assert isinstance(fault, Fault)
    assert fault.kind is Kind.TRUNCATED


def test_a_runs_error_is_its_end() -> None:
    reader = AgentReader()
    [fault] = reader.feed(b'data: {"type":"error","code":"x","message":"no such tool","retryable":false}\n\n')
    assert isinstance(fault, Fault)
    assert fault.message == "no such tool"
    assert reader.finish() == []


def test_what_is_no_event_of_a_run_is_the_gateways_fault() -> None:
    with pytest.raises(UpstreamFault, match="cannot be read"):
        AgentReader().feed(b"data: <html>\n\n")


def _groq() -> Provider:
    from millstream.config import Config

    return providers(Config(), {"GROQ_API_KEY": "gsk_1"})["groq"]


def test_figures_are_counted_from_the_question_on() -> None:
    meter = Meter(10.0)
    meter.take(10.5, ReasoningDelta(0, "hm"))
    meter.take(12.5, TextDelta(1, "yes"))
    meter.take(12.6, Usage(TokenUsage(input_tokens=1000, output_tokens=200)))
    facts = meter.facts(_groq(), "moonshotai/kimi-k2-instruct-0905")
    assert facts[:4] == ["first token 500 ms", "100 tokens/s", "200 tokens", "1,000 in"]
    assert facts[4].startswith("$0.00")


def test_without_a_count_there_is_an_estimate_that_says_so() -> None:
    meter = Meter(0.0)
    meter.take(1.0, TextDelta(0, "some words"))
    meter.take(2.0, TextDelta(0, " and more of them"))
    assert [fact[0] for fact in meter.facts(None, "")[1:]] == ["~", "~"]


def test_an_answer_that_never_began_has_no_figures() -> None:
    assert Meter(0.0).facts(None, "") == []


def test_a_model_nobody_knows_has_no_price() -> None:
    assert price(TokenUsage(input_tokens=1), _groq(), "never-heard-of") is None


@pytest.mark.parametrize(
    ("dollars", "said"), [(0, "$0"), (0.00001, "< $0.0001"), (0.0012345, "$0.0012"), (2.341, "$2.34")]
)
def test_money_has_the_digits_that_matter(dollars: float, said: str) -> None:
    assert money(dollars) == said
