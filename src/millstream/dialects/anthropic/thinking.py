"""A wish for reasoning, as another API's client put it, in this API's words.

Newer models take ``thinking: adaptive`` with ``output_config.effort``, older ones a ``budget_tokens``, which must be
at least 1,024 and below ``max_tokens``. Source: https://platform.claude.com/docs/en/build-with-claude/extended-thinking
and .../adaptive-thinking.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from millstream.core.messages import Reasoning, extra_of
from millstream.dialects.anthropic.blocks_in import KIND
from millstream.dialects.anthropic.blocks_out import own_fields
from millstream.dialects.anthropic.leftovers import REQUEST_EFFORT
from millstream.dialects.anthropic.wire import ORIGIN

_SMALLEST_BUDGET = 1024
_BUDGETS = {"minimal": 1024, "low": 4096, "medium": 12_288, "high": 24_576, "xhigh": 31_999, "max": 31_999}
_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}
_EFFORT_UP_TO = ((4096, "low"), (16_384, "medium"), (65_536, "high"))


class Thought(NamedTuple):
    """The field ``thinking``, the effort, and whether the wish could not be granted."""

    thinking: dict[str, Any] | None = None
    effort: str | None = None
    dropped: bool = False

    @property
    def on(self) -> bool:
        return self.thinking is not None and self.thinking["type"] != "disabled"


def own_thinking(reasoning: Reasoning) -> Thought:
    """As this API's own client said it."""
    own = extra_of(reasoning.extra, ORIGIN)
    effort = own.get(REQUEST_EFFORT) if REQUEST_EFFORT in own else reasoning.effort
    if reasoning.mode is None:
        return Thought(effort=effort)
    thinking: dict[str, Any] = {"type": own.get(KIND, reasoning.mode)}
    if reasoning.budget is not None:
        thinking["budget_tokens"] = reasoning.budget
    if reasoning.display is not None:
        thinking["display"] = reasoning.display
    return Thought({**thinking, **own_fields(reasoning.extra)}, effort)


def adaptive_thinking(reasoning: Reasoning, *, forced_tool: bool) -> Thought:
    """For models that decide themselves how much to think. Display: others' clients show what they are given."""
    if _unwanted(reasoning):
        return Thought({"type": "disabled"})
    effort = _EFFORTS.get(reasoning.effort or "") or _effort_of(reasoning.budget)
    if forced_tool:
        return Thought(effort=effort, dropped=True)
    return Thought({"type": "adaptive", "display": "summarized"}, effort)


def budget_thinking(reasoning: Reasoning, max_tokens: int, *, possible: bool) -> Thought:
    """For models that think within a number of tokens; at most three quarters of what they may write."""
    if _unwanted(reasoning):
        return Thought()
    wanted = reasoning.budget or _BUDGETS.get(reasoning.effort or "medium", _BUDGETS["medium"])
    budget = max(_SMALLEST_BUDGET, min(wanted, max_tokens * 3 // 4))
    if not possible or budget >= max_tokens:
        return Thought(dropped=True)
    return Thought({"type": "enabled", "budget_tokens": budget})


def _unwanted(reasoning: Reasoning) -> bool:
    return reasoning.mode == "disabled" or reasoning.effort == "none" or reasoning.budget == 0


def _effort_of(budget: int | None) -> str | None:
    if budget is None or budget < 0:
        return None
    return next((effort for limit, effort in _EFFORT_UP_TO if budget <= limit), "max")
