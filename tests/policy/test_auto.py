from __future__ import annotations

from dataclasses import replace

import pytest

from millstream.core.messages import MediaPart, Message, Part, Reasoning, Request, TextPart, Tool
from millstream.policy.auto import Auto


def request(text: str, *more: Part, tools: int = 0, reasoning: Reasoning | None = None) -> Request:
    message = Message("user", (TextPart(text), *more))
    return Request(
        "millstream", "auto", (message,), tools=tuple(Tool(f"t{n}") for n in range(tools)), reasoning=reasoning
    )


@pytest.mark.parametrize(
    ("asked", "complexity", "reason"),
    [
        (request("Hello, how are you?"), "simple", "short and plain"),
        (request("What is this?", MediaPart("image", "image/png", data="")), "simple", "images"),
        (request("What does this do?\n```python\nprint(1)\n```", tools=1), "moderate", "code, tools"),
        (request("Prove that it ends."), "moderate", "reasoning asked for"),
        (request("Hi", reasoning=Reasoning(effort="high")), "moderate", "reasoning asked for"),
        (request("Hi", reasoning=Reasoning(effort="low")), "simple", "short and plain"),
        (request("a " * 4000), "moderate", "a very long question"),
        (
            request("1. Read all the files\n2. then refactor each\n3. finally test", tools=3),
            "complex",
            "reasoning asked for, many tool calls to expect",
        ),
    ],
)
def test_what_a_request_needs_is_read_off_it(asked: Request, complexity: str, reason: str) -> None:
    choice = Auto().choose(asked)
    assert (choice.complexity, choice.reason, choice.model) == (complexity, reason, None)


def test_the_configuration_names_the_models_and_the_limits() -> None:
    auto = Auto({"simple": "small", "complex": "large"})
    assert auto.choose(request("Hello")).model == "small"
    assert auto.choose(request("Prove it.")).model is None
    assert replace(auto, complex=2).choose(request("Prove it.")).model == "large"


def test_a_very_long_question_is_read_in_no_time() -> None:
    choice = Auto().choose(request("{;\n" * 1_000_000, tools=1))
    assert choice.signals.length == 3_000_000
    assert choice.complexity == "complex"
