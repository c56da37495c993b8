"""``thinkingConfig``, both ways: a level from Gemini 3 on, a budget of tokens before.

Levels, budgets and their limits: https://ai.google.dev/gemini-api/docs/thinking. What other dialects call effort is
mapped as Google's own OpenAI-compatible endpoint maps it.
"""

from __future__ import annotations

from typing import Any, Literal

from millstream.core.messages import Reasoning, extra_of
from millstream.dialects.base import own_extra
from millstream.dialects.gemini.fields import Fields
from millstream.dialects.gemini.models import version
from millstream.dialects.gemini.quirks import GeminiQuirks
from millstream.dialects.gemini.wire import DIALECT

_LEVELS = {
    "none": "MINIMAL",
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
_MAX_BUDGET = 24_576
"""What every model that takes budgets takes."""

_MIN_PRO_BUDGET = 128
"""The larger models of 2.5 cannot be told not to think."""

_DYNAMIC = -1


def thinking_in(config: Fields) -> Reasoning | None:
    written = config.mapping("thinkingConfig")
    if written is None:
        return None
    fields = Fields(written, config.at("thinkingConfig"))
    shown = fields.flag("includeThoughts")
    budget = fields.integer("thinkingBudget")
    level = fields.text("thinkingLevel")
    mode: Literal["enabled", "disabled", "adaptive"] | None = None
    if budget is not None:
        mode = "disabled" if budget == 0 else "adaptive" if budget < 0 else "enabled"
    return Reasoning(
        mode=mode,
        effort=level.lower() if level and level != "THINKING_LEVEL_UNSPECIFIED" else None,
        budget=budget if budget is not None and budget > 0 else None,
        display="omitted" if shown is False else None,
        extra=own_extra(DIALECT, {"thinkingConfig": written}),
    )


def thinking_out(reasoning: Reasoning | None, model: str, quirks: GeminiQuirks) -> dict[str, Any] | None:
    """None where nothing is to be said: the model then thinks as it likes and shows none of it."""
    if reasoning is None:
        return None
    own = extra_of(reasoning.extra, DIALECT).get("thinkingConfig")
    if own is not None:
        return dict(own)
    style = _style(model, quirks)
    if style == "none":
        return None
    amount = _amount(reasoning, model, style)
    if reasoning.mode != "disabled" and reasoning.effort != "none" and reasoning.display != "omitted":
        amount["includeThoughts"] = True
    return amount or None


def _style(model: str, quirks: GeminiQuirks) -> Literal["level", "budget", "none"]:
    if quirks.thinking != "auto":
        return quirks.thinking
    found = version(model)
    return "level" if found >= (3, 0) else "budget" if found >= (2, 5) else "none"


def _amount(reasoning: Reasoning, model: str, style: Literal["level", "budget"]) -> dict[str, Any]:
    off = reasoning.mode == "disabled"
    if style == "level":
        level = "MINIMAL" if off else _level(reasoning)
        if level == "MINIMAL" and "pro" in model:
            level = "LOW"
        return {"thinkingLevel": level} if level else {}
    least = _MIN_PRO_BUDGET if "pro" in model else 0
    budget = 0 if off else _budget(reasoning)
    return {} if budget is None else {"thinkingBudget": budget if budget < 0 else max(least, min(budget, _MAX_BUDGET))}


def _level(reasoning: Reasoning) -> str | None:
    if reasoning.effort is not None:
        return _LEVELS.get(reasoning.effort)
    if reasoning.budget is None:
        return None
    return "LOW" if reasoning.budget <= _BUDGETS["low"] else "MEDIUM" if reasoning.budget <= 8192 else "HIGH"


def _budget(reasoning: Reasoning) -> int | None:
    if reasoning.budget is not None:
        return reasoning.budget
    if reasoning.effort is not None:
        return _BUDGETS.get(reasoning.effort)
    return _DYNAMIC if reasoning.mode == "adaptive" else None
