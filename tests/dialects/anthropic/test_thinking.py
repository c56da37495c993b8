"""How other APIs' wishes for reasoning are put to newer and older models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millstream.core import messages as msg
from millstream.dialects.anthropic import DIALECT, AnthropicQuirks
from millstream.dialects.anthropic.models import is_adaptive
from millstream.dialects.base import Target, UpstreamRequest

Wire = dict[str, Any]
Translate = Callable[..., tuple[Wire, UpstreamRequest]]
Said = Callable[..., msg.Message]

_OLDER = "claude-sonnet-4-5"
_ADAPTIVE = {"type": "adaptive", "display": "summarized"}


def _budget(tokens: int) -> Wire:
    return {"type": "enabled", "budget_tokens": tokens}


@pytest.mark.parametrize(
    ("model", "adaptive"),
    [
        ("claude-3-7-sonnet-20250219", False),
        ("claude-sonnet-4-20250514", False),
        ("claude-opus-4-1-20250805", False),
        ("claude-sonnet-4-5@20250929", False),
        ("anthropic/claude-haiku-4.5", False),
        ("claude-opus-4-6", True),
        ("anthropic/claude-opus-4.7", True),
        ("claude-sonnet-5", True),
        ("claude-opus-5-5-20260801", True),
        ("claude-latest", True),
        ("kimi-k2-0905-preview", False),
    ],
)
def test_a_models_name_tells_how_it_thinks(model: str, adaptive: bool) -> None:
    assert is_adaptive(model) is adaptive


@pytest.mark.parametrize(
    ("wish", "thinking", "effort"),
    [
        (msg.Reasoning(effort="minimal"), _ADAPTIVE, "low"),
        (msg.Reasoning(effort="xhigh"), _ADAPTIVE, "xhigh"),
        (msg.Reasoning("enabled"), _ADAPTIVE, None),
        (msg.Reasoning("enabled", budget=8000), _ADAPTIVE, "medium"),
        (msg.Reasoning("enabled", budget=100_000), _ADAPTIVE, "max"),
        (msg.Reasoning("adaptive", budget=-1), _ADAPTIVE, None),
        (msg.Reasoning(effort="none"), {"type": "disabled"}, None),
        (msg.Reasoning(budget=0), {"type": "disabled"}, None),
        (None, None, None),
    ],
)
def test_newer_models_take_an_effort(
    wish: msg.Reasoning | None, thinking: Wire | None, effort: str | None, translate: Translate
) -> None:
    body, rendered = translate(reasoning=wish)
    assert (body.get("thinking"), body.get("output_config", {}).get("effort")) == (thinking, effort)
    assert rendered.dropped == ()


@pytest.mark.parametrize(
    ("wish", "max_tokens", "thinking"),
    [
        (msg.Reasoning(effort="low"), None, _budget(4096)),
        (msg.Reasoning(effort="max"), None, _budget(24_000)),
        (msg.Reasoning("enabled"), None, _budget(12_288)),
        (msg.Reasoning("enabled", budget=2000), None, _budget(2000)),
        (msg.Reasoning("enabled", budget=500), None, _budget(1024)),
        (msg.Reasoning(effort="high"), 4000, _budget(3000)),
        (msg.Reasoning(effort="none"), None, None),
        (msg.Reasoning("disabled"), None, None),
    ],
)
def test_older_models_take_a_budget_below_what_they_may_write(
    wish: msg.Reasoning, max_tokens: int | None, thinking: Wire | None, translate: Translate
) -> None:
    body, rendered = translate(reasoning=wish, max_tokens=max_tokens, model=_OLDER)
    assert body.get("thinking") == thinking
    assert "output_config" not in body
    assert rendered.dropped == ()


def test_no_budget_fits_into_a_short_answer(translate: Translate) -> None:
    body, rendered = translate(reasoning=msg.Reasoning(effort="low"), max_tokens=1000, model=_OLDER)
    assert "thinking" not in body
    assert rendered.dropped == ("reasoning",)


@pytest.mark.parametrize("model", ["claude-sonnet-5", _OLDER])
def test_a_forced_call_leaves_no_room_for_thinking(model: str, translate: Translate) -> None:
    tools = (msg.Tool("f"),)
    wish = msg.Reasoning(effort="high")
    body, rendered = translate(reasoning=wish, tools=tools, tool_choice=msg.ToolChoice("any"), model=model)
    assert "thinking" not in body
    assert rendered.dropped == ("reasoning",)


def test_a_turn_whose_calls_were_made_without_thinking_goes_on_without(
    translate: Translate, user: Said, assistant: Said
) -> None:
    """Older models refuse a thinking request in the middle of such a turn; the next turn may think again."""
    wish = msg.Reasoning(effort="high")
    turn = (user("hi"), assistant("so", msg.ToolCallPart("a", "f", "{}")), user(msg.ToolResultPart("a", "1")))
    body, rendered = translate(*turn, reasoning=wish, model=_OLDER)
    assert "thinking" not in body
    assert rendered.dropped == ("reasoning",)
    assert "thinking" in translate(*turn, assistant("done"), user("more"), reasoning=wish, model=_OLDER)[0]
    assert translate(*turn, reasoning=wish)[0]["thinking"] == _ADAPTIVE
    thought = msg.ReasoningPart("hm", msg.Opaque("anthropic", "sig"))
    signed = (turn[0], assistant(thought, *turn[1].parts), turn[2])
    assert "thinking" in translate(*signed, reasoning=wish, model=_OLDER)[0]


def test_with_thinking_only_a_large_top_p_may_go_along(translate: Translate) -> None:
    wish = msg.Reasoning(effort="low")
    body, rendered = translate(reasoning=wish, temperature=0.2, top_k=4, top_p=0.99)
    assert body["top_p"] == 0.99
    assert rendered.dropped == ("temperature", "top_k")
    assert translate(reasoning=wish, top_p=0.5)[1].dropped == ("top_p",)
    assert translate(reasoning=msg.Reasoning(effort="none"), temperature=0.2)[0]["temperature"] == 0.2


@pytest.mark.parametrize(
    ("quirk", "model", "thinking"),
    [
        ("adaptive", "kimi-k2", _ADAPTIVE),
        ("budget", "claude-sonnet-5", _budget(4096)),
        ("none", "claude-sonnet-5", None),
    ],
)
def test_a_quirk_overrules_the_name(quirk: Any, model: str, thinking: Wire | None, translate: Translate) -> None:
    body, rendered = translate(
        reasoning=msg.Reasoning(effort="low"), model=model, quirks=AnthropicQuirks(thinking=quirk)
    )
    assert body.get("thinking") == thinking
    assert rendered.dropped == (("reasoning",) if quirk == "none" else ())


def test_anthropics_own_clients_are_taken_at_their_word(ask: Callable[..., msg.Request]) -> None:
    request = ask(thinking={"type": "enabled", "budget_tokens": 4}, temperature=0.5, tool_choice={"type": "any"})
    rendered = DIALECT.render_request(request, Target("claude-sonnet-5", AnthropicQuirks()))
    assert b'"thinking":{"type":"enabled","budget_tokens":4}' in rendered.body
    assert rendered.dropped == ()
